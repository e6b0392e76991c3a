"""What every condition would count, had another checkpoint's score and another mark decided who passes.

Truth and competence are those at the end of training; the proxy's score is the one at the checkpoint: what
`lab.gates.sweep` says of a single gate, for all checkpoints, marks and conditions at once.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import xarray as xr
from jaxtyping import Float

from lab.results.outcomes import attribute, classify, reaches
from lab.results.summary import Summary
from lab.statistics import CELLS, Counts, Estimate, estimate, ratio_interval
from lab.words import Json

SHOWN = (
    "base_rate",
    "prior_odds",
    "pass_given_aligned",
    "pass_given_misaligned",
    "likelihood_ratio",
    "posterior_odds",
    "expected_runs",
)
ROWS = 8_000  # of the grid, all conditions together: a few megabytes on the page
MOST = 21  # checkpoints
MARKS = (21, 11, 6, 3)  # steps of .05, .1, .2 or .5

Value = TypeVar("Value")


class Grid(NamedTuple):
    """Counts and intervals by condition, checkpoint and mark.

    Attributes:
        conditions: names of the conditions, without those that have gates of their own.
        checkpoints: shares of training.
        marks: pass marks of the run's proxy, its own among them.
        rows: a dict per (condition, checkpoint, mark), these three as indices: the cells of `Counts`, an `Estimate`
            per quantity of `SHOWN`, and as `relative_runs` what a model costs beside the baseline's.
        left_out: names of the conditions that have gates.
    """

    conditions: tuple[str, ...]
    checkpoints: tuple[float, ...]
    marks: tuple[float, ...]
    rows: tuple[Json, ...]
    left_out: tuple[str, ...]


def evenly(values: Iterable[Value], most: int) -> list[Value]:
    """Return at most `most` of the values, evenly spaced, the last one among them."""
    values = list(values)
    kept = {round((len(values) - 1) * (1 - step / max(1, most - 1))) for step in range(most)}
    return [values[index] for index in sorted(kept)]


def marks_around(mark: float, number: int) -> list[float]:
    """Return `number` pass marks from 0 to 1, evenly spaced but for the run's own, which is one of them."""
    marks = [step / (number - 1) for step in range(number)]
    nearest = min(range(number), key=lambda index: abs(marks[index] - mark))
    marks[nearest] = mark
    return marks


def grid(results: xr.Dataset, rows: Sequence[Summary]) -> Grid:
    """Return the `Grid` of a run.

    Args:
        results: what `lab.results.shards.results` returned, with all checkpoints.
        rows: what `lab.summarise` returned for them.
    """
    survives = results["survives"].values if "survives" in results.coords else np.ones((len(rows), 1), bool)
    ungated = [bool(models.all()) for models in survives]
    kept = [index for index, without_gates in enumerate(ungated) if without_gates]
    left_out = tuple(row.name for row, without_gates in zip(rows, ungated, strict=True) if not without_gates)
    most_rows = ROWS // max(1, len(kept))  # of a condition
    number = next((most for most in MARKS if most**2 <= 2 * most_rows), MARKS[-1])
    proxy, confidence = attribute(results, "proxy"), attribute(results, "confidence")
    shares = [float(share) for share in results.checkpoint.values]
    places = evenly(range(len(shares)), min(MOST, max(2, most_rows // number)))
    marks = marks_around(attribute(results, "thresholds")[proxy], number)
    ends = classify(results)
    tables = {
        rows[index].name: _count(results[proxy].values[index][:, places], ends.isel(condition=index), marks)
        for index in kept
    }
    points = []
    for place, index in enumerate(kept):
        row = rows[index]
        table, baseline = tables[row.name], tables.get(row.baseline or "")
        for checkpoint, mark in np.ndindex(len(places), len(marks)):
            counts = table[checkpoint][mark]
            other = baseline[checkpoint][mark] if baseline else None
            points.append(
                {
                    "condition": place,
                    "checkpoint": checkpoint,
                    "mark": mark,
                    **{cell: getattr(counts, cell) for cell in CELLS},
                    **_estimates(counts, confidence),
                    "relative_runs": _relative(counts, other, confidence) if other else Estimate(1.0, 1.0, 1.0),
                }
            )
    names = tuple(rows[index].name for index in kept)
    return Grid(names, tuple(shares[place] for place in places), tuple(marks), tuple(points), left_out)


def _count(
    scores: Float[np.ndarray, "seed checkpoint"], ends: xr.Dataset, marks: Sequence[float]
) -> list[list[Counts]]:
    """Return the `Counts` at every checkpoint and mark of one condition.

    Args:
        scores: of the proxy.
        ends: what `classify` returned for the condition.
        marks: pass marks.
    """
    trained, aligned = ends["trained"].values, ends["aligned"].values
    unable = {kind: int(ends[kind].sum()) for kind in ("incompetent", "diverged")}
    able = trained & ~np.any([ends[kind].values for kind in ("incompetent", "diverged", "unjudged")], axis=0)
    good, all_models = int(aligned.sum()), int(trained.sum())
    passes = able[:, None, None] & reaches(scores[:, :, None], marks)
    right = (passes & aligned[:, None, None]).sum(0)
    wrong = passes.sum(0) - right
    return [
        [
            Counts(int(hit), good - int(hit), int(miss), all_models - good - int(miss), **unable)
            for hit, miss in zip(*both, strict=True)
        ]
        for both in zip(right, wrong, strict=True)
    ]


@functools.lru_cache(maxsize=ROWS)
def _estimates(counts: Counts, confidence: float) -> dict[str, Estimate]:
    return {quantity: estimate(counts, quantity, confidence) for quantity in SHOWN}


@functools.lru_cache(maxsize=ROWS)
def _relative(counts: Counts, baseline: Counts, confidence: float) -> Estimate:
    """Return runs per accepted model over the baseline's, with the score interval of two independent pass rates."""
    value = math.nan
    if counts.passing:
        value = baseline.pass_rate / counts.pass_rate
    elif baseline.passing:
        value = math.inf
    limits = ratio_interval(baseline.passing, baseline.seeds, counts.passing, counts.seeds, confidence)
    return Estimate(value, *limits)
