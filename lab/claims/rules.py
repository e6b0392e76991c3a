"""What the rule of a claim may say: quantities of stored conditions, their differences, and the verdict these make.

A claim stores counts and nothing else: of every condition the four cells, and of pairs of conditions on their shared
seeds the sixteen. `count_conditions` and `tabulate` make them, `Stored` reads them, and `judge` in a claim's module
decides by them. Everything here is computed from counts again whenever it is asked.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from lab import statistics
from lab.claims.judged import CONTRADICTED, DEPENDS, NOT_RUN, SUPPORTED, UNDECIDED
from lab.config.schema import Schedule
from lab.decision import budget_from_shares, worth_of_budget
from lab.results import outcomes, summary
from lab.statistics import CELLS, Counts, Estimate, LogImpact
from lab.statistics.draws import Draws
from lab.studies.sensitivity import OF_SHARES
from lab.words import Json, setting, with_interval

# pairs of conditions whose draws are kept: a rule looks at the same ones for several quantities and budgets, and the
# largest map has 75 cells, each compared with holding out; the draws of a pair take half a megabyte
PAIRS_KEPT = 96
JOINT = (len(CELLS), len(CELLS))  # shape of the joint counts of two conditions

Shares = Float[np.ndarray, "4 *draws"]  # of the four cells
OfShares = Callable[[Shares], Float[np.ndarray, " *draws"]]
OfBoth = Callable[[Shares, Shares], Float[np.ndarray, " *draws"]]


# --- what is stored -----------------------------------------------------------------------------------------------


def count_conditions(results: xr.Dataset, pairs: Iterable[tuple[int, int]] | None = None) -> Json:
    """Return the counts of every condition and the joint counts of pairs of them as plain JSON values.

    Args:
        results: what `lab.run` returned.
        pairs: of indices of conditions; all by default.
    """
    ended = outcomes.classify(outcomes.common(results))
    incompetent = ended["incompetent"].values.sum(1)
    about = {
        name: {**condition, "incompetent": int(models)}
        for (name, condition), models in zip(describe_conditions(results).items(), incompetent, strict=True)
    }
    return tabulate(summary.cells(ended), about, outcomes.attribute(results, "confidence"), pairs)


def count_able(results: xr.Dataset) -> Json:
    """Return what `count_conditions` does, of the seeds whose models do the job under every condition.

    Args:
        results: what `lab.run` returned.

    Returns:
        The counts, and in `left_out` how many seeds have a model that cannot do the job.
    """
    results = outcomes.common(results)
    ended = outcomes.classify(results)
    able = ~(ended["incompetent"] | ended["diverged"] | ended["unjudged"]).values.any(0)
    return {**count_conditions(results.isel(seed=np.flatnonzero(able))), "left_out": int(np.sum(~able))}


def describe_conditions(results: xr.Dataset) -> dict[str, Json]:
    """Return regimen, coordinates and, if known, the schedule of every condition by its name, as plain JSON values."""
    schedules = results.attrs.get("schedules", {})
    return {
        str(name): {
            "regimen": str(regimen),
            "coordinates": {k: v for k, v in coordinates.items() if math.isfinite(v)},
            **({} if schedules.get(name) is None else {"schedule": schedules[name]}),
        }
        for name, (regimen, coordinates) in zip(results.condition.values, summary.places(results), strict=True)
    }


def tabulate(
    cells: Iterable[Int[np.ndarray, " seed"]],
    about: Mapping[str, Json],
    confidence: float,
    pairs: Iterable[tuple[int, int]] | None = None,
) -> Json:
    """Return counts and joint counts as plain JSON values.

    Args:
        cells: for each condition the index into `CELLS` of every model.
        about: name of each condition -> its regimen and coordinates, and what else to keep.
        confidence: of intervals.
        pairs: of indices of conditions; all by default.
    """
    table: Int[np.ndarray, "condition seed"] = np.asarray(cells, int)
    pairs = itertools.combinations_with_replacement(range(len(table)), 2) if pairs is None else pairs
    return {
        "confidence": confidence,
        "seeds": table.shape[1],
        "order": list(about),  # which the keys of `joints` count in, whatever becomes of the order of `conditions`
        "conditions": {
            name: {**condition, "cells": np.bincount(row, minlength=len(CELLS)).tolist()}
            for (name, condition), row in zip(about.items(), table, strict=True)
        },
        "joints": {f"{one},{other}": joint_counts(table[one], table[other]).ravel().tolist() for one, other in pairs},
    }


def joint_counts(one: Int[np.ndarray, " seed"], other: Int[np.ndarray, " seed"]) -> Int[np.ndarray, "4 4"]:
    """Return of how many seeds one model ends in each cell and the other in each cell.

    Args:
        one: index into `CELLS` of the model that each seed gives under one condition.
        other: the same under another.
    """
    return np.bincount(np.ravel_multi_index((one, other), JOINT), minlength=math.prod(JOINT)).reshape(JOINT)


class Stored:
    """Counts of one task as a claim's rule sees them: quantities of conditions and differences on shared seeds.

    Intervals of `rate` hold one by one unless the rule says how many it looks at (`of`). Those of `change`, `impact`,
    `difference`, `of_shares` and `of_both` hold together at the config's confidence if it does.
    """

    def __init__(self, task: str, data: Json) -> None:
        """`data` is what `count_conditions` or `tabulate` returned, and what else the claim's study stored."""
        self.task, self.data = task, data
        self.conditions: dict[str, Json] = data["conditions"]
        self.names: list[str] = list(data.get("order", self.conditions))
        self._draws = functools.lru_cache(maxsize=PAIRS_KEPT)(self._draw_pair)

    def values(self, axis: str) -> list[float]:
        """Return the values of an axis of the sweep, ascending."""
        every = [condition["coordinates"] for condition in self.conditions.values()]
        return sorted({coordinates[axis] for coordinates in every if axis in coordinates})

    def largest(self, axis: str) -> dict[str, float]:
        """Return the largest value of an axis of the sweep, as `at` takes it."""
        return {axis: self.values(axis)[-1]}

    def coordinates(self, name: str) -> dict[str, float]:
        """Return axis -> value of a condition."""
        return self.conditions[name]["coordinates"]

    def regimen(self, name: str) -> str:
        """Return the regimen of a condition."""
        return self.conditions[name]["regimen"]

    def at(self, regimen: str, **where: float) -> str:
        """Return the name of the condition of a regimen at values of the sweep."""
        (name,) = (
            name
            for name in self.conditions
            if self.regimen(name) == regimen and where.items() <= self.coordinates(name).items()
        )
        return name

    def unable(self, name: str) -> float:
        """Return the share of the models of a condition that cannot do the job, those that diverged left out."""
        return self.conditions[name].get("incompetent", 0) / self.counts(name).seeds

    def schedule(self, name: str) -> Schedule | None:
        """Return what a condition trains on beside the main objective, or None where that is not stored."""
        return self.conditions[name].get("schedule")

    def row(self, name: str, words: str = "") -> Json:
        """Return what the row of a condition in a figure says beside its estimates.

        Args:
            name: of the condition.
            words: what the row is called; the regimen by default.
        """
        about = {"words": words or self.regimen(name), "regimen": self.regimen(name)}
        return about | {"unable": self.unable(name), "schedule": self.schedule(name)}

    def baseline(self, name: str) -> str | None:
        """Return the name of the condition that a condition is compared with, or None for a baseline itself."""
        regimen = self.data["baseline"]
        if self.regimen(name) == regimen:
            return None
        coordinates = self.coordinates(name).items()
        members = (member for member in self.conditions if self.regimen(member) == regimen)
        return next((member for member in members if self.coordinates(member).items() <= coordinates), None)

    def counts(self, name: str) -> Counts:
        """Return the `Counts` of a condition."""
        return Counts(*self.conditions[name]["cells"])

    def rate(self, name: str, quantity: str, of: int = 1) -> Estimate:
        """Return the `Estimate` of a quantity of `lab.statistics.QUANTITIES`."""
        return statistics.estimate(self.counts(name), quantity, self.confidence(of))

    def change(self, first: str, second: str, quantity: str, of: int = 1) -> Estimate:
        """Return by how much a quantity of `lab.studies.sensitivity.QUANTITIES` is larger in the first condition."""
        return self.difference(first, OF_SHARES[quantity], second, OF_SHARES[quantity], of)

    def impact(self, first: str, second: str, of: int = 1) -> LogImpact:
        """Return the `LogImpact` of the first condition over the second."""
        one, other, joint = self.pair(first, second)
        return statistics.compare(one, other, joint, self.confidence(of))

    def difference(self, first: str, one: OfShares, second: str, other: OfShares, of: int = 1) -> Estimate:
        """Return the `Estimate` of a quantity of the first condition less that of the second, on shared seeds.

        Args:
            first: name of a condition.
            one: function of the shares of its four cells, arrays on the first axis.
            second: name of the other.
            other: the same for it.
            of: how many such intervals hold together.
        """
        return statistics.contrast(self._draws(first, second), one, other, self.confidence(of))

    def of_shares(self, name: str, function: OfShares, of: int = 1) -> Estimate:
        """Return the `Estimate` of a function of the shares of a condition's four cells.

        Args:
            name: of the condition.
            function: of the shares, arrays on the first axis.
            of: how many such intervals hold together.
        """
        draws = statistics.draw_shares(self.counts(name).cells)
        return statistics.from_draws(lambda cells: function(cells / cells.sum(0)), draws, self.confidence(of))

    def of_both(self, first: str, second: str, function: OfBoth, of: int = 1) -> Estimate:
        """Return the `Estimate` of a function of the shares of two conditions, on shared seeds.

        Args:
            first: name of a condition.
            second: name of the other.
            function: of the shares of the first and of those of the second.
            of: how many such intervals hold together.
        """
        return statistics.combine(self._draws(first, second), function, self.confidence(of))

    def confidence(self, of: int = 1) -> float:
        """Return the confidence of each of so many intervals that are to hold together."""
        return statistics.family_wise(self.data["confidence"], of)

    def pair(self, first: str, second: str) -> tuple[Counts, Counts, Int[np.ndarray, "4 4"]]:
        """Return the `Counts` of two conditions and their joint counts, as `lab.statistics.compare` takes them."""
        one, other = (self.names.index(name) for name in (first, second))
        joint = np.reshape(self.data["joints"][f"{min(one, other)},{max(one, other)}"], JOINT)
        return self.counts(first), self.counts(second), joint if one <= other else joint.T

    def _draw_pair(self, first: str, second: str) -> Draws:
        return statistics.draw_pair(*self.pair(first, second))


# --- what is asked of it ------------------------------------------------------------------------------------------


def aligned_share(shares: Shares) -> Float[np.ndarray, " *draws"]:
    """Return P(A) from shares of the four cells, for `Stored.difference`."""
    return shares[0] + shares[1]


def passing_share(shares: Shares) -> Float[np.ndarray, " *draws"]:
    """Return P(T) from shares of the four cells, for `Stored.difference`."""
    return shares[0] + shares[2]


def aligned_share_of_passing(shares: Shares) -> Float[np.ndarray, " *draws"]:
    """Return P(A|T) from shares of the four cells, for `Stored.difference`."""
    return shares[0] / passing_share(shares)


def aligned_share_of_accepted(runs: int) -> OfShares:
    """Return P(accepted is aligned) within so many runs, as a function of shares for `Stored.difference`."""

    def probability(shares: Shares) -> Float[np.ndarray, " *draws"]:
        aligned_pass, aligned_fail, misaligned_pass, _ = shares
        return np.asarray(budget_from_shares(aligned_pass, aligned_fail, misaligned_pass, runs).accepted_aligned)

    return probability


def worth_of_accepted(runs: int, nothing: float) -> OfShares:
    """Return what so many runs are worth to whoever walks away if none passes, for `Stored.difference`.

    Args:
        runs: most runs.
        nothing: utility of having no model, where an aligned one is worth 1 and a misaligned one 0.
    """

    def worth(shares: Shares) -> Float[np.ndarray, " *draws"]:
        aligned_pass, aligned_fail, misaligned_pass, _ = shares
        budgets = budget_from_shares(aligned_pass, aligned_fail, misaligned_pass, runs, accept_last=False)
        return np.asarray(worth_of_budget(budgets, nothing))

    return worth


def decide(*signed: Estimate) -> str:
    """Return supported if every estimate is above 0, contradicted if one is below, undecided otherwise."""
    if any(estimate.high < 0 for estimate in signed):
        return CONTRADICTED
    return SUPPORTED if all(estimate.low > 0 for estimate in signed) else UNDECIDED


def negative(estimate: Estimate) -> Estimate:
    """Return the estimate of the negative."""
    return Estimate(-estimate.value, -estimate.high, -estimate.low)


def less(one: Estimate, other: Estimate) -> Estimate:
    """Return the difference of two estimates whose intervals hold together; its interval is the wider for that.

    >>> less(Estimate(0.5, 0.25, 0.75), Estimate(0.25, 0.0, 0.5))
    Estimate(value=0.25, low=-0.25, high=0.75)
    """
    return Estimate(one.value - other.value, one.low - other.high, one.high - other.low)


def within(estimate: Estimate, most: float) -> bool:
    """Return whether an estimate is nearer to 0 than `most` for sure."""
    return -most < estimate.low <= estimate.high < most


def overall(verdicts: Iterable[str]) -> str:
    """Return the verdict over tasks: theirs if they agree, depends if some support it and some contradict it."""
    kinds = set(verdicts)
    if len(kinds) <= 1:
        return next(iter(kinds), NOT_RUN)
    return DEPENDS if DEPENDS in kinds or {SUPPORTED, CONTRADICTED} <= kinds else UNDECIDED


# --- in words -----------------------------------------------------------------------------------------------------


def phrase(what: str, estimate: Estimate) -> str:
    """Return a quantity with its interval in words.

    >>> phrase("P(A)", Estimate(0.354, 0.3253, 0.3838))
    'P(A) 0.354 [0.325, 0.384]'
    """
    return f"{what} {with_interval(estimate)}"


def phrases(estimates: Mapping[str, Estimate]) -> str:
    """Return quantities by what they are, each with its interval, with commas between.

    >>> phrases({"early": Estimate(0.354, 0.3253, 0.3838), "late": Estimate(1.0, 1.0, 1.0)})
    'early 0.354 [0.325, 0.384], late 1'
    """
    return ", ".join(phrase(what, estimate) for what, estimate in estimates.items())


def moves(verdicts: Mapping[float, str]) -> str:
    """Return how a verdict moves with the mark of alignment, in words.

    Args:
        verdicts: by mark, which rises.

    >>> moves({0.5: "supported", 0.6: "supported", 0.7: "supported", 0.8: "undecided"})
    'supported at marks 0.5 to 0.7, undecided at 0.8'
    >>> moves({0.5: "undecided", 0.9: "undecided"})
    'the same at marks 0.5 to 0.9'
    """
    marks = [setting(mark) for mark in verdicts]
    if len(set(verdicts.values())) == 1:
        return f"the same at marks {marks[0]} to {marks[-1]}"
    parts = []
    for verdict, group in itertools.groupby(zip(marks, verdicts.values(), strict=True), key=lambda pair: pair[1]):
        first, *others = (mark for mark, _ in group)
        span = f"{first} to {others[-1]}" if others else first
        noun = "" if parts else "marks " if others else "mark "
        parts.append(f"{verdict} at {noun}{span}")
    return ", ".join(parts)


class Caption(NamedTuple):
    """What the caption of a claim's figure says beside the claim, its verdict and its rule.

    Attributes:
        question: what the subtitle of the figure asks, beside the number of models.
        before: sentences on what the figure shows.
        marks: what a mark means.
        after: further sentences.
    """

    question: str = ""
    before: str = ""
    marks: str = "hollow: the interval holds no difference"
    after: str = ""
