"""That passing and failing misaligned models are close in weight space does not decide what training on a proxy does.

Command:   lab experiment closeness
Expected:  supported: no order between how near they are and how good the regimen is
Cost:      about five minutes on 2 cores

Five ways to train on a test beside holding it out, where a held-out test is imperfect. Seeds that end misaligned and
failing when it is held out, and misaligned and passing when it is trained on: how far apart these two models are, as a
share of how far the first one went from its initial weights, and by how much the main objective rises on the straight
line between them (the barrier). All five regimens are counted on the same seeds; those with fewer than 8 such pairs of
models are left out.

Rule, per task: two regimens compare if both the medians of the distance and the net log impacts differ (95% intervals
that do not overlap; those of the nets hold together). Supported if in one such pair the closer regimen has the lower
net and in another the higher one; contradicted if there are at least three pairs and the closer one always has the
lower net, or always the higher; else undecided.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binom

from lab import claims
from lab.config.experiment import Condition, Experiment
from lab.figures.style import WIDTH, Figure, interval, label, mark_of, subplots
from lab.machine.fixed import fixed
from lab.results import outcomes, shards, summary
from lab.statistics import CELLS, Estimate
from lab.tasks import Task
from lab.tasks.base import Params
from lab.tasks.settings import stacked
from lab.training.engine import block_width, use_all_cores
from lab.training.population import Trainer
from lab.training.tree import used_terms
from lab.words import Json, estimate_from_json, estimate_json

LEAST = 8  # pairs of models of a regimen; of the rule
LEAST_PAIRS = 3  # of regimens that compare, to contradict; of the rule
DISTANCE_DECIMALS, BARRIER_DECIMALS = 4, 6  # that are stored
MOST_DRAWN = 6.0  # nats: where the axis of nets ends
ALONG = np.linspace(0, 1, 11)  # of the line between two models, both ends included
MISALIGNED_PASS, MISALIGNED_FAIL = CELLS.index("misaligned_pass"), CELLS.index("misaligned_fail")

BySeed = Float[np.ndarray, " seed"]


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count every condition, and measure what lies between a seed's models."""
    results = shards.results(train(experiment, folder), last_only=True)
    ended = outcomes.classify(results)
    cells, able = summary.cells(ended), ~ended["incompetent"].values
    starts, models = ended_models(experiment)
    held_out = [condition.regimen for condition in experiment.conditions].index(experiment.baseline)
    near = {}
    for row, condition in enumerate(experiment.conditions):
        chosen = (cells[held_out] == MISALIGNED_FAIL) & (cells[row] == MISALIGNED_PASS) & able[held_out] & able[row]
        if row == held_out or not chosen.any():
            continue
        passing, failing, start = (_rows(tree, chosen) for tree in (models[row], models[held_out], starts))
        near[condition.name] = {
            "distance": np.round(_norm(passing, failing) / _norm(failing, start), DISTANCE_DECIMALS).tolist(),
            "barrier": np.round(barrier(experiment.task, condition, failing, passing), BARRIER_DECIMALS).tolist(),
        }
    return claims.count_conditions(results) | {"near": near}


def ended_models(experiment: Experiment) -> tuple[Params, list[Params]]:
    """Return the parameters of every seed before training, and of every condition after it, leaves (seeds, ...)."""
    use_all_cores()
    devices = jax.devices()
    width, used = block_width(experiment, devices), used_terms(experiment)
    trainer = Trainer(experiment.task, experiment.training, width, devices, used, len(experiment.ends))
    seeds = np.array(experiment.seeds)
    starts: list[Params] = []
    ends: list[list[Params]] = [[] for _ in experiment.conditions]
    for first in range(0, len(seeds), trainer.lanes):
        rows = np.minimum(np.arange(first, first + trainer.lanes), len(seeds) - 1)
        block, kept = seeds[rows].astype(np.uint32), slice(len(seeds) - first)
        for condition, blocks in zip(experiment.conditions, ends, strict=True):
            settings = stacked(condition.settings)
            state = trainer.init(block, jax.tree.map(lambda leaf: leaf[0], settings))
            if blocks is ends[0]:
                starts.append(_rows(state.params, kept))
            state, _ = trainer.train(block, settings, state, [0, *experiment.ends])
            blocks.append(_rows(state.params, kept))
    return _joined(starts), [_joined(blocks) for blocks in ends]


def _joined(blocks: Sequence[Params]) -> Params:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *blocks)


def _rows(tree: Params, rows: slice | Bool[np.ndarray, " seed"]) -> Params:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tree)


def _norm(one: Params, other: Params) -> BySeed:
    """Return the Euclidean distance of parameters."""
    squares = jax.tree.map(lambda a, b: ((a - b).astype(float) ** 2).reshape(len(a), -1).sum(1), one, other)
    return np.sqrt(sum(jax.tree.leaves(squares)))


@fixed()
def barrier(task: Task, condition: Condition, one: Params, other: Params) -> BySeed:
    """Return by how much the main objective rises at most above the chord between two models."""
    knobs = dict(zip(task.knobs, map(np.float32, condition.settings[-1].world_knobs), strict=True))
    batch = task.sample(jax.random.key(0), knobs)

    @jax.jit
    @jax.vmap
    def along(one: Params, other: Params) -> jax.Array:
        def at(share: jax.Array) -> jax.Array:
            params = jax.tree.map(lambda a, b: a + share * (b - a), one, other)
            return task.losses(params, batch, knobs, jnp.float32(1))["main"]

        return jax.lax.map(at, ALONG.astype(np.float32))

    losses = np.asarray(along(one, other), float)
    chord = losses[:, :1] + ALONG * (losses[:, -1:] - losses[:, :1])
    return (losses - chord).max(1)


def median(values: Sequence[float] | BySeed, confidence: float = 0.95) -> Estimate:
    """Return the median with an interval from order statistics."""
    ordered = np.sort(values)
    low = int(binom.ppf((1 - confidence) / 2, len(ordered), 0.5))
    low = max(low - 1, 0)
    return Estimate(float(np.median(ordered)), float(ordered[low]), float(ordered[len(ordered) - 1 - low]))


class Nearness(NamedTuple):
    """How near a regimen's passing models are to failing ones, and how good the regimen is.

    Attributes:
        distance: in weight space, as a share of the way trained.
        barrier: by how much the main objective rises between them.
        net: log impact over holding out.
    """

    distance: Estimate
    barrier: Estimate
    net: Estimate


def measured(stored: claims.Stored) -> Mapping[str, Nearness]:
    """Return regimen -> `Nearness`, of those with enough pairs of models."""
    near = {name: pairs for name, pairs in stored.data["near"].items() if len(pairs["distance"]) >= LEAST}
    held_out = stored.data["baseline"]
    return {
        name: Nearness(
            median(pairs["distance"]),
            median(pairs["barrier"]),
            stored.impact(name, held_out, max(len(near), 1)).net,
        )
        for name, pairs in near.items()
    }


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    regimens, worse, better = measured(stored), 0, 0
    for closer, farther in itertools.permutations(regimens.values(), 2):
        if closer.distance.high < farther.distance.low:
            worse += closer.net.high < farther.net.low
            better += closer.net.low > farther.net.high
    why = "; ".join(f"{name}: {claims.phrases(nearness._asdict())}" for name, nearness in regimens.items())
    why += f"; of pairs that differ in both, the closer has the lower net in {worse}, the higher in {better}"
    if worse and better:
        return claims.Verdict(claims.SUPPORTED, why)
    return claims.Verdict(claims.CONTRADICTED if worse + better >= LEAST_PAIRS else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> dict[str, Json]:
    """Return regimen -> distance and net as plain JSON values, of those with enough pairs of models."""
    return {
        name: {"distance": estimate_json(nearness.distance), "net": estimate_json(nearness.net)}
        for name, nearness in measured(stored).items()
    }


def draw(data: Json) -> Figure:
    """A panel per task: the net of a regimen over how near its passing models are to failing ones."""
    tasks = data["tasks"]
    figure, axes = subplots(1, len(tasks), figsize=(WIDTH * 1.2, 1.9), squeeze=False)
    for ax, (task, counts) in zip(axes[0], tasks.items(), strict=True):
        for row, (name, estimates) in enumerate(counts["plotted"].items()):
            distance, net = (estimate_from_json(estimates[key]) for key in ("distance", "net"))
            x, y = distance.value, float(np.clip(net.value, -MOST_DRAWN, MOST_DRAWN))
            interval(ax, y, distance, mark_of(name, row))
            interval(ax, x, net, mark_of(name, row), (-MOST_DRAWN, MOST_DRAWN), upright=True)
            above = 3 if row % 2 else -7  # some regimens are the same to the eye
            ax.annotate(label(name), (x, y), xytext=(3, above), textcoords="offset points", fontsize=5)
        ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
        ax.set_title(task, loc="left", fontsize="small")
        ax.margins(x=0.25, y=0.15)
    axes[0][0].set_ylabel("net (nats)")
    figure.supxlabel("distance from failing to passing models, as a share of the way trained", fontsize="small")
    return figure


CAPTION = claims.Caption(
    before="Across: how far misaligned models that pass are from the misaligned ones that fail which the same seeds "
    "give with the test held out. Up: what the regimen does to the odds of an accepted model.",
    marks="",
)
