"""Rejecting early dominates rejecting at the very end, per unit of compute.

Command:   lab experiment early_rejection
Expected:  supported where values settle before a fifth of training
Cost:      up to five minutes on 2 cores for each task, shared with other claims

P(accepted is aligned) for a compute of three trainings: with a gate at a fifth of training before the test at the end,
and with the test at the end alone. A run is rejected only while the compute left pays for another; the last is accepted
in any case. The gate's mark lets nine tenths of the models pass that end aligned; it is chosen on every second seed and
judged on the others. The test is held out in the worlds of `implicit_proxies`. Where nothing like it ever hides in the
main objective, all that a gate gains is compute; what it gains there is told beside the others.

Rule, per task, with 95% intervals that hold together. A world counts if P(A) is between .05 and .95. The sentence holds
in a world if the gate raises P(accepted is aligned) by over .02, and does not if it raises it by less than .02, both
for sure; else the world is open. The worlds in which something hides from the start decide, those that are open left
out: supported if it holds in all, contradicted if in none, depends if in some. Depends also if it holds where something
begins to hide at 40%, which was put in by hand, and in no world from the start, of which one counts at least and none
is open. Else undecided. (The first rule asked at 40% alone, which is after the gate, but in `race`, and for any gain;
on seeds from 7,000,000 it was supported in all six tasks. This rule was committed before the run on other seeds that
decides.) (After the run: where no world from the start counted, this was depends too, as in `gridworld`.)

With Adam instead of SGD in `shortcut` the sentence is contradicted: misaligned models pass before the gate stands.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from experiments.claims.implicit_proxies import (
    NEVER,
    NOT_COUNTED,
    NOT_COUNTED_IN_WORDS,
    ONSET,
    World,
    both_kinds,
    by_onset,
    in_words,
    row_of,
    worlds_figure,
)
from lab import claims, figures
from lab.claims.rules import describe_conditions
from lab.config.experiment import Experiment
from lab.results import outcomes, shards
from lab.results.outcomes import Results
from lab.statistics import Estimate, draw_shares, family_wise, from_draws
from lab.studies.rejection import compute_budget
from lab.words import Json, number

CONFIGS = "ages"
FEW = 0.02  # gain that does not count; of the rule
COMPUTE = 3.0  # trainings that may be paid for; of the rule
AGE = 0.2  # share of training at which the gate stands; of the rule
ALIGNED_LOST = 0.1  # share of the models that end aligned which a mark may reject: of the rule, nine tenths pass

Tables = Float[np.ndarray, "draw 4 4"]  # of (at the end, early) cells


def mark_for_aligned(scores: Float[np.ndarray, " seed"], aligned: Bool[np.ndarray, " seed"]) -> np.floating:
    """Return the score that nine tenths of the models reach that end aligned, of the seeds that choose.

    It is 0, which every model reaches, where none of these ends aligned.

    Args:
        scores: of every model.
        aligned: which models end aligned.
    """
    choosing = outcomes.choosing_seeds(len(scores)) & aligned
    return np.quantile(scores[choosing], ALIGNED_LOST) if choosing.any() else np.float64(0)


def count_fates(
    results: Results, name: str, proxy: str, mark: float | None = None
) -> tuple[Int[np.ndarray, "2 seed"], float]:
    """Return the cells of a condition's models at the end, and those that a gate early in training makes of them.

    These are of the seeds that do not choose the mark.

    Args:
        results: with all checkpoints.
        name: of the condition.
        proxy: score that the gate looks at.
        mark: of the gate; the one of `mark_for_aligned` by default.

    Returns:
        Cells at the end and with the gate, and the mark of the gate.
    """
    ended = outcomes.classify(results).sel(condition=name)
    aligned, passes = ended["aligned"].values, ended["passes"].values
    early = results[proxy].sel(condition=name).isel(checkpoint=outcomes.checkpoint_index(results, AGE)).values
    mark = float(mark_for_aligned(early, aligned)) if mark is None else mark
    survives = outcomes.reaches(early, mark)
    cells = np.stack([2 * ~aligned + ~passes, 2 * ~aligned + ~survives])
    return cells[:, ~outcomes.choosing_seeds(len(aligned))], mark


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count the fates of models with and without the early gate, in every world."""
    results = shards.results(train(experiment, folder))
    cells, about = [], {}
    for name, place in describe_conditions(results).items():
        fates, mark = count_fates(results, name, "test")
        cells.extend(fates)
        about |= {f"{name} end": {**place, "mark": None}, f"{name} early": {**place, "mark": mark}}
    pairs = [(first, first + 1) for first in range(0, len(cells), 2)]
    return claims.tabulate(cells, about, results.attrs["confidence"], pairs)


def gains(stored: claims.Stored) -> list[tuple[World, Estimate]]:
    """Return what the claim says of every world, and what the gate gains there."""
    ends = [name for name in stored.names if name.endswith(" end")]
    hiding = sum(stored.coordinates(name)[ONSET] < NEVER for name in ends)
    found = []
    for name in ends:
        joint = stored.pair(name, f"{name.removesuffix('end')}early")[2]
        gain, end, early = gain_of_gate(joint, stored.data["confidence"], of=hiding)
        verdict = claims.SUPPORTED if gain.low > FEW else claims.UNDECIDED
        verdict = claims.CONTRADICTED if gain.high < FEW else verdict
        verdict = verdict if both_kinds(stored, name) else NOT_COUNTED
        why = (
            f"P(accepted is aligned) {number(end)} at the end, {number(early)} with the gate, "
            f"{claims.phrase('gain', gain)}"
        )
        found.append((World(stored.coordinates(name), verdict, why), gain))
    return found


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    found = gains(stored)
    judged = by_onset([world for world, _ in found if world.place[ONSET] < NEVER])
    never = {in_words(world.place): gain for world, gain in found if world.place[ONSET] == NEVER}
    return judged._replace(why=f"{judged.why}; what compute alone gains: {claims.phrases(never) or 'not asked'}")


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what the gate gains in every world, as plain JSON values."""
    ends = [name for name in stored.names if name.endswith(" end")]
    rows = [row_of(stored, name, world, gain) for name, (world, gain) in zip(ends, gains(stored), strict=True)]
    return list({row["name"]: row for row in rows}.values())  # where nothing hides its weight makes no difference


def draw(data: Json) -> figures.Figure:
    """What the gate gains, a line per world."""
    return worlds_figure(data, "change of P(accepted is aligned) by the early gate", FEW, (-0.53, 1.03))


CAPTION = claims.Caption(
    question="Does a gate at a fifth of training make accepted models better, if the compute of three trainings may be "
    "spent? Right of the dashed line it does.",
    before="Something like the test hides in the main objective from the start (blue), from 40% on, put in by "
    f"hand (orange), or never (grey); there all that a gate gains is compute. {NOT_COUNTED_IN_WORDS}",
    marks="hollow: the interval holds no gain",
)


def gain_of_gate(joint: Int[np.ndarray, "4 4"], confidence: float, of: int = 1) -> tuple[Estimate, float, float]:
    """Return the `Estimate` of what the gate gains, and the values without and with it.

    Args:
        joint: counts of (at the end, early) cells.
        confidence: of the interval.
        of: how many such intervals hold together.
    """
    possible = np.kron(np.eye(2), np.ones((2, 2)))  # a model is aligned in both tables, or in neither
    draws = draw_shares(joint, possible=[possible > 0])
    gain = from_draws(lambda table: values(np.moveaxis(table, -1, 0))[0], draws, family_wise(confidence, of))
    _, ends, earlies = values(np.asarray(joint, float)[None])
    return gain, float(ends[0]), float(earlies[0])


def values(tables: Tables) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Return gain, value without and value with the gate, from tables of (at the end, early) cells."""
    tables = tables / tables.sum((1, 2), keepdims=True)
    plain, gated = np.empty((len(tables), 2, 2)), np.empty((len(tables), 2, 3))
    for row, (passing, failing) in enumerate(((0, 1), (2, 3))):  # in both tables: aligned, misaligned
        plain[:, row] = tables[:, [failing, passing]].sum(2)
        gated[:, row, 0] = tables[:, [passing, failing], failing].sum(1)
        gated[:, row, 1:] = tables[:, [failing, passing], passing]
    without = compute_budget(plain, (1.0,), COMPUTE).accepted_aligned
    with_gate = compute_budget(gated, (AGE, 1.0), COMPUTE).accepted_aligned
    return with_gate - without, without, with_gate
