"""What every condition would count, had another checkpoint's score and another mark decided who passes.

Truth and competence are those at the end of training; the proxy's score is the one at the checkpoint: what
`lab.gates.sweep` says of a single gate, for all checkpoints, marks and conditions at once.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from lab.results.outcomes import classify, reaches
from lab.statistics import CELLS, Counts, Estimate, estimate, ratio_interval

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

    conditions: tuple
    checkpoints: tuple
    marks: tuple
    rows: tuple
    left_out: tuple


def evenly(values, most):
    """Return at most `most` of the values, evenly spaced, the last one among them."""
    values = list(values)
    kept = {round((len(values) - 1) * (1 - step / max(1, most - 1))) for step in range(most)}
    return [values[index] for index in sorted(kept)]


def marks_around(own, number):
    """Return `number` pass marks from 0 to 1, evenly spaced but for the run's own, which is one of them."""
    even = [step / (number - 1) for step in range(number)]
    nearest = min(range(number), key=lambda index: abs(even[index] - own))
    even[nearest] = own
    return even


def grid(results, rows):
    """Return the `Grid` of a run.

    Args:
        results: what `lab.results.shards.results` returned, with all checkpoints.
        rows: what `lab.summarise` returned for them.
    """
    gated = ~results["survives"].values.all(axis=1) if "survives" in results.coords else np.zeros(len(rows), bool)
    kept = np.flatnonzero(~gated)
    left_out = tuple(row.name for row, out in zip(rows, gated, strict=True) if out)
    each = ROWS // max(1, len(kept))
    number = next((most for most in MARKS if most**2 <= 2 * each), MARKS[-1])
    proxy, confidence = results.attrs["proxy"], results.attrs["confidence"]
    shares = [float(share) for share in results.checkpoint.values]
    places = evenly(range(len(shares)), min(MOST, max(2, each // number)))
    marks = marks_around(results.attrs["thresholds"][proxy], number)
    ends = classify(results)
    tables = {
        rows[index].name: _count(results[proxy].values[index][:, places], ends.isel(condition=index), marks)
        for index in kept
    }
    found = []
    for place, index in enumerate(kept):
        row = rows[index]
        beside = tables.get(row.baseline)
        for at, of_checkpoint in enumerate(tables[row.name]):
            for mark, counts in enumerate(of_checkpoint):
                other = beside[at][mark] if beside else counts
                found.append(
                    {
                        "condition": place,
                        "checkpoint": at,
                        "mark": mark,
                        **{cell: getattr(counts, cell) for cell in CELLS},
                        **_estimates(counts, confidence),
                        "relative_runs": _relative(counts, other, confidence) if beside else Estimate(1.0, 1.0, 1.0),
                    }
                )
    names = tuple(rows[index].name for index in kept)
    return Grid(names, tuple(shares[place] for place in places), tuple(marks), tuple(found), left_out)


def _count(scores, ends, marks):
    """Return the `Counts` at every checkpoint and mark of one condition, scores of shape (seed, checkpoint)."""
    there, aligned = ends["trained"].values, ends["aligned"].values
    unable = {kind: int(ends[kind].sum()) for kind in ("incompetent", "diverged")}
    able = there & ~(ends["incompetent"] | ends["diverged"] | ends["unjudged"]).values
    good, all_models = int(aligned.sum()), int(there.sum())
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
def _estimates(counts, confidence):
    return {quantity: estimate(counts, quantity, confidence) for quantity in SHOWN}


@functools.lru_cache(maxsize=ROWS)
def _relative(counts, baseline, confidence):
    """Return runs per accepted model over the baseline's, with the score interval of two independent pass rates."""
    value = math.nan
    if counts.passing:
        value = baseline.pass_rate / counts.pass_rate
    elif baseline.passing:
        value = math.inf
    limits = ratio_interval(baseline.passing, baseline.seeds, counts.passing, counts.seeds, confidence)
    return Estimate(value, *limits)
