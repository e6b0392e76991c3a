"""That passing and failing misaligned models are close in weight space does not decide what training on a proxy does.

Command:   lab experiment closeness
Expected:  depends: how the objective treats them decides while they are close, and so does distance where it is
           indifferent
Cost:      about six minutes on 2 cores

A late incentive to pass is given, or the test is held out; what the incentive does is its change of P(A|T). The
landscape is varied at equal distance: the objective does not mind how models behave in tests, or wants misaligned
models to fail with ten times the incentive's weight, or wants models to pass with ten times that weight. The distance
is varied at equal landscape: the input that tells a test apart is seen ten times as large, and ten times smaller
weights then do the same with it. That changes no function that can be learned and no loss of any; but initial weights
stay as they are, so near models begin by telling tests apart a little. In `race`, where they do not, the slope of
faking is a hundred times as large, which is gradient descent on a weight that lies ten times nearer. Its own cost of
faking is not scaled by that, so it is set to ten times the incentive at each distance. How far it is from a misaligned
model that fails to the passing one which the same seed gives with the incentive is measured where the objective is
indifferent, over all weights. (In `scratchpad` these distances differ by a fifth, because Adam moves the other weights
as well; the factor of ten is that of the weights which tell tests apart.)

Rule, per task, with 95% intervals that hold together over all worlds: the landscape moves what the incentive does if,
at the smaller distance, it changes by over .1 from the indifferent objective to another; distance moves it if it
changes by over .1 from the smaller distance to the larger one, whatever the objective. Supported if the landscape moves
it and distance does not, all for sure; depends if both do; contradicted if the landscape does not; else undecided. (The
first rule ranked regimens by the distance between their models, which the regimens themselves cause. On seeds from
7,000,000 it was supported in `shortcut`, contradicted in `scratchpad` and undecided in `race` and `reasoner`. This rule
was committed before the run on other seeds that decides.)
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import quantile_test

from lab import claims
from lab.config.experiment import Condition, Experiment
from lab.figures import name_task
from lab.figures.palette import BLACK, SKY, VERMILION
from lab.figures.style import SMALLEST, Axes, Figure, Line, Mark, grid, holds, interval
from lab.results import outcomes, shards, summary
from lab.statistics import CELLS, Estimate
from lab.statistics.counts import UNABLE_SHOWN
from lab.tasks.base import Params
from lab.tasks.race import FAKING
from lab.tasks.settings import stacked
from lab.training.engine import block_width, use_all_cores
from lab.training.population import Trainer
from lab.training.tree import used_terms
from lab.words import Json, estimate_from_json, estimate_json

NOTHING = 0.1  # change of what the incentive does to P(A|T) that does not count; of the rule
DISTANCE, PASSING = "detectability", "implicit_proxy"  # knobs: 1 / distance; how much the objective wants passing
COSTS = ("cue_cost", "faking_cost")  # knobs: how much the objective wants misaligned models to fail, where there is one
AGAINST, INDIFFERENT, FOR = LANDSCAPES = ("against passing", "indifferent", "for passing")
NEAR, FAR = -1, 0  # indices of the values of `DISTANCE`
MEASURED_SEEDS = 256  # on which distances are measured
LEAST = 8  # pairs of models of which a distance is said
DECIMALS = 4  # of a distance that is stored
MISALIGNED_PASS, MISALIGNED_FAIL = CELLS.index("misaligned_pass"), CELLS.index("misaligned_fail")

BySeed = Float[np.ndarray, " seed"]
World = tuple[int, str]  # index of the distance, and landscape
_measured: dict[tuple[str, ...], BySeed] = {}


# --- distances ----------------------------------------------------------------------------------------------------


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count every condition, and measure distances where the objective is indifferent."""
    results = shards.results(train(experiment, folder), last_only=True)
    stored = claims.Stored(experiment.task.name, claims.count_conditions(results))
    rows = summary.cells(outcomes.classify(results))[:, :MEASURED_SEEDS]
    cells = dict(zip(results.condition.values.tolist(), rows, strict=True))
    distances = {}
    for index, words in ((NEAR, "near"), (FAR, "far")):
        names = conditions(stored, (index, INDIFFERENT))
        held_out, given = (cells[name] for name in names)
        chosen = (held_out == MISALIGNED_FAIL) & (given == MISALIGNED_PASS)
        two = [condition for name in names for condition in experiment.conditions if condition.name == name]
        measured = distance(experiment, two)[chosen]
        distances[words] = np.round(measured, DECIMALS).tolist()
    return stored.data | {"distances": distances}


def distance(experiment: Experiment, two: Sequence[Condition]) -> BySeed:
    """Return how far apart the models are that a seed gives under two conditions of the same world.

    In `race` a slope that counts g times as much is that of a weight that is sqrt(g) times nearer. What was measured is
    kept, because no mark of alignment changes it.
    """
    names = experiment.hash, *(condition.name for condition in two)
    if names in _measured:
        return _measured[names]
    seeds = min(len(experiment.seeds), MEASURED_SEEDS)
    few = dataclasses.replace(experiment, conditions=tuple(two)).with_seeds(seeds)
    first, second = ended_models(few)
    if experiment.task.name == "race":
        knobs = dict(zip(experiment.task.knobs, two[0].settings[-1].world_knobs, strict=True))
        scale = np.ones(3)
        scale[FAKING] = knobs[DISTANCE] ** -0.5
        first, second = (jax.tree.map(lambda p: p * scale, model["params"]) for model in (first, second))
    return _measured.setdefault(names, _norm(first, second))


def ended_models(experiment: Experiment) -> list[Params]:
    """Return the parameters of every seed after training, a tree per condition with leaves (seeds, ...)."""
    use_all_cores()
    devices = jax.devices()
    width, used = block_width(experiment, devices), used_terms(experiment)
    trainer = Trainer(experiment.task, experiment.training, width, devices, used, len(experiment.ends))
    seeds = np.array(experiment.seeds)
    ends: list[list[Params]] = [[] for _ in experiment.conditions]
    for first in range(0, len(seeds), trainer.lanes):
        rows = np.minimum(np.arange(first, first + trainer.lanes), len(seeds) - 1)
        block, kept = seeds[rows].astype(np.uint32), slice(len(seeds) - first)
        for condition, blocks in zip(experiment.conditions, ends, strict=True):
            settings = stacked(condition.settings)
            state = trainer.init(block, jax.tree.map(lambda leaf: leaf[0], settings))
            state, _ = trainer.train(block, settings, state, [0, *experiment.ends])
            blocks.append(_rows(state.params, kept))
    return [jax.tree.map(lambda *leaves: np.concatenate(leaves), *blocks) for blocks in ends]


def _rows(tree: Params, rows: slice | Bool[np.ndarray, " seed"]) -> Params:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tree)


def _norm(one: Params, other: Params) -> BySeed:
    """Return the Euclidean distance of parameters."""
    squares = jax.tree.map(lambda a, b: ((a - b).astype(float) ** 2).reshape(len(a), -1).sum(1), one, other)
    return np.sqrt(sum(jax.tree.leaves(squares)))


def median(values: Sequence[float] | BySeed, confidence: float = 0.95) -> Estimate:
    """Return the median with an interval from order statistics."""
    low, high = quantile_test(values, p=0.5).confidence_interval(confidence)
    return Estimate(float(np.median(values)), float(low), float(high))


# --- the rule -----------------------------------------------------------------------------------------------------


def conditions(stored: claims.Stored, world: World) -> tuple[str, str]:
    """Return the conditions that hold the test out and that give the incentive in a world."""
    index, landscape = world
    where = {DISTANCE: stored.values(DISTANCE)[index], PASSING: stored.values(PASSING)[-1 if landscape == FOR else 0]}
    if knob := cost_of(stored):
        prices = stored.values(knob)  # 0, and one for all distances, or for each
        where[knob] = prices[index if len(prices) > 2 else -1] if landscape == AGAINST else 0
    held_out, given = (stored.at(name, **where) for name in ("hold_out", "incentive"))
    return held_out, given


def cost_of(stored: claims.Stored) -> str | None:
    """Return the knob with which the objective wants misaligned models to fail, or None."""
    return next((knob for knob in COSTS if stored.values(knob)), None)


def landscapes_of(stored: claims.Stored) -> tuple[str, ...]:
    """Return the landscapes that a task has; without a cost of its own nothing is against passing."""
    return LANDSCAPES if cost_of(stored) else (INDIFFERENT, FOR)


def effect_change(stored: claims.Stored, one: World, other: World) -> Estimate:
    """Return by how much more the incentive raises P(A|T) in one world than in another.

    The same models are compared under the incentive and where the test is held out, each on shared seeds.
    """
    share, together = claims.aligned_share_of_passing, 2 * (2 * len(landscapes_of(stored)) - 1)
    pairs = zip(conditions(stored, one), conditions(stored, other), strict=True)
    held_out, given = (stored.difference(first, share, second, share, together) for first, second in pairs)
    return claims.less(given, held_out)


def effects(stored: claims.Stored) -> dict[World, Estimate]:
    """Return by how much the incentive changes P(A|T) in every world, with intervals one by one."""
    share, found = claims.aligned_share_of_passing, {}
    for world in [(index, landscape) for index in (NEAR, FAR) for landscape in landscapes_of(stored)]:
        held_out, given = conditions(stored, world)
        found[world] = stored.difference(given, share, held_out, share)
    return found


def any_counts(changes: Mapping[str, Estimate]) -> bool:
    """Return whether one of some changes counts for sure."""
    return any(change.low > NOTHING or change.high < -NOTHING for change in changes.values())


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    found, landscapes = effects(stored), landscapes_of(stored)
    by_landscape = {
        words: effect_change(stored, (NEAR, words), (NEAR, INDIFFERENT)) for words in landscapes if words != INDIFFERENT
    }
    by_distance = {words: effect_change(stored, (FAR, words), (NEAR, words)) for words in landscapes}
    why = (
        f"the incentive changes P(A|T) near by {claims.phrases({words: found[NEAR, words] for words in landscapes})}; "
        f"this changes with the landscape by {claims.phrases(by_landscape)}, with distance by "
        f"{claims.phrases(by_distance)}; distance from failing to passing {how_far(stored)}"
    )
    if all(claims.within(change, NOTHING) for change in by_landscape.values()):
        return claims.Verdict(claims.CONTRADICTED, why)
    if not any_counts(by_landscape):
        return claims.Verdict(claims.UNDECIDED, why)
    if any_counts(by_distance):
        return claims.Verdict(claims.DEPENDS, why)
    nothing = all(claims.within(change, NOTHING) for change in by_distance.values())
    return claims.Verdict(claims.SUPPORTED if nothing else claims.UNDECIDED, why)


def how_far(stored: claims.Stored) -> str:
    """Return the median distances in words."""
    words = []
    for place, pairs in stored.data["distances"].items():
        words.append(claims.phrase(place, median(pairs)) if len(pairs) >= LEAST else f"{place} in {len(pairs)} seeds")
    return ", ".join(words)


# --- the figure ---------------------------------------------------------------------------------------------------

MARKS = {AGAINST: Mark(SKY, "P"), INDIFFERENT: Mark(BLACK, "o"), FOR: Mark(VERMILION, "X")}
ASIDE = {AGAINST: -0.16, INDIFFERENT: 0.0, FOR: 0.16}  # so that no mark hides another
BOTTOM = -1.32  # of the axis: below the changes stands who cannot do the job


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what the incentive does in every world, and who cannot do the job there, as plain JSON values."""
    places = {NEAR: "near", FAR: "far"}
    return [
        {
            "place": places[world[0]],
            "landscape": world[1],
            **estimate_json(effect),
            "unable": max(stored.unable(name) for name in conditions(stored, world)),
        }
        for world, effect in effects(stored).items()
    ]


def draw(data: Json) -> Figure:
    """A panel per task: what the incentive does to P(A|T), near and far, under every objective."""
    tasks = data["tasks"]
    figure, panels, blank = grid(len(tasks), 1.75, sharex=True, sharey=True)
    for ax, (task, counts) in zip(panels, tasks.items(), strict=True):
        draw_panel(ax, counts["plotted"])
        name_task(ax, task, counts)
    panels[0].set(xlim=(-0.4, 1.4), ylim=(BOTTOM, 0.35), yticks=[-1, -0.5, 0])
    panels[0].set_xticks([0, 1], ["near", "ten times farther"])
    figure.supxlabel("distance from misaligned models that fail to ones that pass", fontsize="small")
    for ax in panels[::3]:
        ax.set_ylabel("change of P(A|T)\nby the incentive")
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, markersize=mark.size, label=words)
        for words, mark in MARKS.items()
    ]
    about = {"title": "the objective is", "alignment": "left", "frameon": False, "fontsize": "small"}
    blank[0].legend(handles=handles, loc="upper left", title_fontsize="small", **about)
    words = "Numbers below: share of models\nthat cannot do the job, if above 2%."
    blank[0].text(0.03, 0.12, words, transform=blank[0].transAxes, fontsize="x-small")
    return figure


def draw_panel(ax: Axes, worlds: Sequence[Json]) -> None:
    """Draw what the incentive does in every world of a task; hollow where nothing is known of its sign."""
    for landscape, mark in MARKS.items():
        rows = [row for row in worlds if row["landscape"] == landscape]
        places = [place + ASIDE[landscape] for place in range(len(rows))]
        ax.plot(places, [row["value"] for row in rows], color=mark.colour, linewidth=0.8)
        for place, row in zip(places, rows, strict=True):
            estimate = estimate_from_json(row)
            interval(ax, place, estimate, mark, hollow=holds(estimate, 0), upright=True)
            if row["unable"] > UNABLE_SHOWN:
                words = {"color": mark.colour, "fontsize": SMALLEST, "ha": "center", "va": "bottom", "rotation": 90}
                ax.text(place, BOTTOM, f"{row['unable']:.0%}", **words)
    ax.axhline(0, color="black", linewidth=0.6, linestyle=":")


CAPTION = claims.Caption(
    question="What does a late incentive to pass do? Lines that lie apart: the landscape decides. Lines that slope: "
    "distance does.",
    before="The horizontal axis is how far misaligned models that fail are from ones that pass, in the weights that "
    "tell tests apart. Lines that lie apart: the landscape decides. Lines that slope: distance does. Numbers at the "
    "bottom are shares of models that cannot do the job, the larger of held out and with the incentive; P(A|T) is a "
    "share of models that pass, which all can.",
)
