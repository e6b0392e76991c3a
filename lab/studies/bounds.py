"""Schedules of weights within a cap and a budget, and those that somebody would make by hand.

A schedule is a weight of every chosen loss term in every segment, its sign free. Its budget is the sum over segments
and terms of |weight| times the share of training that it lasts; its cap bounds each |weight|.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

EARLY = (1, 2, 4)  # segments for which a schedule made by hand pushes at the start

Schedule = Float[np.ndarray, "segments terms"]
Lengths = Float[np.ndarray, " segments"]  # share of training of each segment


@dataclass(frozen=True)
class Bounds:
    """What a schedule may spend.

    Attributes:
        lengths: share of training of each segment.
        cap: largest |weight|.
        budget: largest sum of |weight| times length.
    """

    lengths: Lengths
    cap: float
    budget: float


def project(weights: Schedule, bounds: Bounds) -> Schedule:
    """Return the nearest weights within bounds.

    The nearest point of a box and a weighted ball of the 1-norm: weights shrink by a multiple of how long they last,
    then are cut off at the cap; the multiple is found by bisection.

    Args:
        weights: any.
        bounds: to keep.
    """
    spans = np.asarray(bounds.lengths)[:, None]

    def shrunk(by: float) -> Schedule:
        return np.clip(np.sign(weights) * np.maximum(np.abs(weights) - by * spans, 0.0), -bounds.cap, bounds.cap)

    low, high = 0.0, float(np.max(np.abs(weights) / spans, initial=0.0))
    if (spans * np.abs(shrunk(low))).sum() <= bounds.budget:
        return shrunk(low)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if (spans * np.abs(shrunk(middle))).sum() > bounds.budget else (low, middle)
    return shrunk(high)


def spend_from_start(bounds: Bounds) -> Lengths:
    """Return weights of one term that spend a budget at the cap from the start of training on."""
    return _spend(bounds, range(len(bounds.lengths)))


def spend_to_end(bounds: Bounds) -> Lengths:
    """Return weights of one term that spend a budget at the cap in the last part of training."""
    return _spend(bounds, reversed(range(len(bounds.lengths))))


def _spend(bounds: Bounds, order: Iterable[int]) -> Lengths:
    weights, left = np.zeros(len(bounds.lengths)), bounds.budget
    for segment in order:
        weights[segment] = min(bounds.cap, left / bounds.lengths[segment])
        left = max(0.0, left - weights[segment] * bounds.lengths[segment])
    return weights


def handmade(bounds: Bounds, terms: Sequence[str]) -> dict[str, Schedule]:
    """Return name -> schedule of what one would try by hand with one term at a time.

    Hold out; push at the start, for one, two or four segments; the same and then against it with what is left of the
    budget, evenly over the rest of training or at its end; push or go against throughout or at the end.
    """
    nothing = np.zeros((len(bounds.lengths), len(terms)))
    schedules = {"hold_out": nothing}
    for index, term in enumerate(terms):
        for name, weights in _handmade_of_one(bounds).items():
            schedule = nothing.copy()
            schedule[:, index] = weights
            schedules[f"{name}_{term}" if len(terms) > 1 else name] = schedule
    kept: dict[str, Schedule] = {}
    for name, schedule in schedules.items():
        if not any(np.allclose(schedule, other) for other in kept.values()):
            kept[name] = schedule
    return kept


def _handmade_of_one(bounds: Bounds) -> dict[str, Lengths]:
    """Return name -> weights of one term."""
    lengths, cap, budget = np.asarray(bounds.lengths), bounds.cap, bounds.budget
    throughout, late = np.full(len(lengths), min(cap, budget / lengths.sum())), spend_to_end(bounds)
    weights = {"throughout": throughout, "late": late, "anti_throughout": -throughout, "anti_late": -late}
    for first in (count for count in EARLY if count < len(lengths)):
        early = np.zeros(len(lengths))
        early[:first] = spend_from_start(Bounds(lengths[:first], cap, budget))
        left = budget - (early * lengths).sum()
        at_end, evenly = np.zeros(len(lengths)), np.zeros(len(lengths))
        at_end[first:] = spend_to_end(Bounds(lengths[first:], cap, left))
        evenly[first:] = min(cap, left / lengths[first:].sum())
        weights[f"early_{first}"] = early
        weights[f"early_{first}_then_anti"] = early - evenly
        weights[f"early_{first}_then_anti_last"] = early - at_end
    return weights
