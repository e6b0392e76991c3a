"""Rejecting early dominates rejecting at the very end, per unit of compute.

Command:   lab experiment early_rejection
Expected:  supported where values settle early and gaming late
Cost:      three minutes on 2 cores, shared with other claims

P(accepted is aligned) for a compute of three trainings: with a gate at a fifth of training before the test at the end,
and with the test at the end alone. A run is rejected only while the compute left pays for another; the last is accepted
in any case. The gate's mark lets nine tenths of the models pass that end aligned; it is chosen on every second seed and
judged on the others. In the world of `four_regimens` where a held-out test is imperfect.

Rule, per task: supported if the early gate raises it (95% interval above 0), contradicted if it lowers it, else
undecided.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from lab import claims
from lab.config.experiment import Experiment
from lab.results import outcomes, shards
from lab.results.outcomes import Results
from lab.statistics import Estimate, draw_shares, family_wise, from_draws
from lab.studies.rejection import compute_budget
from lab.words import Json, number

CONFIGS = "regimens"
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
    """Count the fates of models with and without the early gate."""
    results = shards.results(train(experiment, folder))
    name = f"hold_out implicit_proxy={max(results.implicit_proxy.values):.12g}"
    cells, mark = count_fates(results, name, "test")
    about = {"end": {"regimen": "hold_out", "coordinates": {}}, "early": {"regimen": "early", "coordinates": {}}}
    return claims.tabulate(cells, about, results.attrs["confidence"]) | {"mark": mark}


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    gain, end, early = gain_of_gate(stored.pair("end", "early")[2], stored.data["confidence"])
    why = (
        f"P(accepted is aligned) {number(end)} at the end, {number(early)} with the gate, {claims.phrase('gain', gain)}"
    )
    return claims.Verdict(claims.decide(gain), why)


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
