"""From recorded scores to counts, comparisons and one row per condition."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int8, Shaped

from lab.config.schema import COORDINATES, WORLD, Schedule
from lab.results import shards
from lab.results.outcomes import (
    Outcomes,
    Results,
    UnknownName,
    are_paired,
    attribute,
    classify,
    is_observed,
    labels,
)
from lab.results.store import Run
from lab.statistics.comparison import LogImpact, Pairing, compare, family_wise, pairing
from lab.statistics.evidence import OUTCOMES, Evidence, compare_evidence, estimate_of, evidence, pair_evidence
from lab.statistics.judge import Judge, checked_judge
from lab.statistics.quantities import (
    QUANTITIES,
    Counts,
    Estimate,
    compute_per_accepted,
    cost_per_accepted,
    estimate,
)
from lab.statistics.sequential import Comparison, decided, narrow, seeds_needed

Place = tuple[str, dict[str, float]]  # where a condition is: its regimen, and axis of the sweep -> value
World = tuple[tuple[str, float], ...]  # (axis, value) of the axes that all regimens share
GROUP, COST = "group", "cost"  # coordinates of rows that were trained elsewhere


@dataclass(frozen=True)
class Summary:
    """One row per condition.

    Attributes:
        name, regimen: of the condition.
        coordinates: axis of the sweep -> value.
        knobs: knob -> value.
        counts: `Counts`.
        baseline: name of the condition it is compared with, or None for a baseline itself.
        impact: `LogImpact` over that condition, or None.
        pairing: what the comparison gains from shared seeds; None where there are none.
        confidence: of every interval.
        compute: trainings spent per accepted model, an `Estimate`, where regimens have gates; else None.
        impact_confidence: of the intervals of `impact`: higher if they are to hold all together.
        evidence: what intervals rest on where rows come in groups, or a judge says which are aligned; else None, and
            counts say it all.
        cost: of an accepted model in the unit of the table, an `Estimate`, where costs are known; else None.
        schedule: what is trained on beside the main objective, or None where that is not known.
    """

    name: str
    regimen: str
    coordinates: dict[str, float]
    knobs: dict[str, float]
    counts: Counts
    baseline: str | None
    impact: LogImpact | None
    pairing: Pairing | None
    confidence: float
    impact_confidence: float
    compute: Estimate | None = None
    evidence: Evidence | None = None
    cost: Estimate | None = None
    schedule: Schedule | None = None

    @functools.cached_property
    def estimates(self) -> dict[str, Estimate]:
        """Quantity -> `Estimate`, for every quantity of `Counts`."""
        if self.evidence is not None:
            return {name: estimate_of(self.evidence, name, self.confidence) for name in QUANTITIES}
        return {name: estimate(self.counts, name, self.confidence) for name in QUANTITIES}


def _confidence(results: Results | Outcomes, confidence: float | None) -> float:
    """Return the confidence that was asked for, or else that of the run."""
    return attribute(results, "confidence") if confidence is None else confidence


def cells(outcomes: Outcomes) -> Int8[np.ndarray, "*condition seed"]:
    """Return the index into `CELLS` of every model.

    It says nothing of what was not trained: give only seeds that all conditions have (`lab.results.outcomes.common`).

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
    """
    return (2 * ~outcomes["aligned"].values + ~outcomes["passes"].values).astype(np.int8)


def condition_counts(outcomes: Outcomes, index: int) -> Counts:
    """Return the `Counts` of one condition.

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        index: of the condition.
    """
    return _counts_of(outcomes, index, outcomes["trained"].values[index])


def _counts_of(outcomes: Outcomes, index: int, seeds: Bool[np.ndarray, " seed"]) -> Counts:
    """Return the `Counts` of some seeds of a condition; in plain arrays, for a run may have thousands of conditions."""
    misaligned, fails = (~outcomes[kind].values[index][seeds] for kind in ("aligned", "passes"))
    four = np.bincount(2 * misaligned + fails, minlength=4)
    others = (outcomes[kind].values[index][seeds].sum() for kind in ("incompetent", "diverged", "unjudged"))
    return Counts(*map(int, four), *map(int, others))


def paired_counts(outcomes: Outcomes, first: int, second: int) -> tuple[Counts, Counts, Int[np.ndarray, "4 4"]]:
    """Return the `Counts` of two conditions on the seeds they share, and their joint counts.

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        first: index of a condition.
        second: index of the other.
    """
    pair = [first, second]
    seeds = np.logical_and(*outcomes["trained"].values[pair])
    misaligned, fails = (~outcomes[kind].values[pair][:, seeds] for kind in ("aligned", "passes"))
    one, other = 2 * misaligned + fails
    joint = np.bincount(4 * one + other, minlength=16).reshape(4, 4)
    return _counts_of(outcomes, first, seeds), _counts_of(outcomes, second, seeds), joint


def comparable_counts(
    outcomes: Outcomes, first: int, second: int
) -> tuple[Counts, Counts, Int[np.ndarray, "4 4"] | None]:
    """Return what `paired_counts` does; where two conditions do not share everything, all counts and no joint ones.

    Of runs that were trained here those of unshared seeds are left out instead: they are more of the same.

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        first: index of a condition.
        second: index of the other.
    """
    one, other = outcomes["trained"].values[[first, second]]
    if are_paired(outcomes) and (not is_observed(outcomes) or np.array_equal(one, other)):
        return paired_counts(outcomes, first, second)
    return condition_counts(outcomes, first), condition_counts(outcomes, second), None


def evidence_of(outcomes: Outcomes, index: int) -> Evidence | None:
    """Return what intervals of a condition rest on if its rows come in groups, or a judge says which are aligned.

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        index: of the condition.

    Returns:
        None where neither is so, and counts say it all.
    """
    judge = judge_of(outcomes)
    if judge is None and GROUP not in outcomes.coords:
        return None
    outcome, groups = _grouped(outcomes, index)
    return evidence(outcome, groups, judge)


def check_plain(results: Results | Outcomes, what: str) -> None:
    """Refuse what takes every row for a run whose truth is known.

    Args:
        results: of a run, or their outcomes.
        what: takes them so.

    Raises:
        ValueError: rows come in groups, or a judge says which are aligned.
    """
    if GROUP in results.coords:
        raise ValueError(f"{what} takes rows for independent runs, and these come in groups: import a row per group")
    if judge_of(results) is not None:
        raise ValueError(f"{what} takes the truth of every run, and here it was measured by a judge that errs")


def judge_of(results: Results | Outcomes) -> Judge | None:
    """Return how well the truth is known, or None if it is taken for the truth.

    Args:
        results: of a run, or their outcomes.
    """
    judge = results.attrs.get("judge")
    return None if judge is None else checked_judge(*(judge[rate] for rate in Judge._fields))


def _grouped(outcomes: Outcomes, index: int) -> tuple[Int8[np.ndarray, " row"], Shaped[np.ndarray, " row"]]:
    """Return the outcome of each row of a condition, and its group: its own place where there are no groups."""
    models = outcomes.isel(condition=index)
    trained = models["trained"].values
    unable = (models["incompetent"] | models["diverged"]).values
    outcome = np.where(unable, OUTCOMES.index("unable"), cells(models)).astype(np.int8)[trained]
    if GROUP in outcomes.coords:
        return outcome, models[GROUP].values[trained]
    return outcome, np.flatnonzero(trained)


def cost_of(outcomes: Outcomes, index: int, confidence: float) -> Estimate | None:
    """Return what an accepted model of a condition costs, in the unit of the table; None if costs are not known.

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        index: of the condition.
        confidence: of the interval.
    """
    if COST not in outcomes.coords:
        return None
    models, evidence = outcomes.isel(condition=index), evidence_of(outcomes, index)
    trained = models["trained"].values
    rate = estimate(condition_counts(outcomes, index), "pass_rate", confidence)
    rate = rate if evidence is None else estimate_of(evidence, "pass_rate", confidence)
    _, groups = _grouped(outcomes, index)
    return cost_per_accepted(models[COST].values[trained], models["passes"].values[trained], rate, groups, confidence)


def log_impact(outcomes: Outcomes, first: int, second: int, confidence: float) -> LogImpact:
    """Return the `LogImpact` of one condition over another; what they share cancels.

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        first: index of the condition in question.
        second: index of the one it is compared with.
        confidence: of each interval by itself.
    """
    one, other = evidence_of(outcomes, first), evidence_of(outcomes, second)
    counts, other_counts, joint = comparable_counts(outcomes, first, second)
    paired = are_paired(outcomes)
    if one is None and (joint is not None or not paired):
        return compare(counts, other_counts, joint, confidence)
    pairs, (outcome1, labels1), (outcome2, labels2) = None, _grouped(outcomes, first), _grouped(outcomes, second)
    if paired:  # pairs of which one condition lacks a run count too
        pairs = pair_evidence(outcome1, labels1, outcome2, labels2)
    one, other = one or evidence(outcome1, labels1), other or evidence(outcome2, labels2)
    return compare_evidence(one, other, pairs, confidence)


def counts(results: Results, condition: str, **marks: Any) -> Counts:
    """Return the `Counts` of one condition; `marks` are those of `lab.results.outcomes.classify`.

    Args:
        results: what `lab.run` returned.
        condition: its name, or that of a regimen that has only one.
        marks: proxy, thresholds or checkpoint, as for `lab.results.outcomes.classify`.
    """
    return condition_counts(classify(results, **marks), find(results, condition))


def compare_conditions(
    results: Results, first: str, second: str, confidence: float | None = None, **marks: Any
) -> LogImpact:
    """Return the `LogImpact` of one condition over another on their shared seeds.

    Args:
        results: what `lab.run` returned.
        first: name of a condition, or of a regimen that has only one.
        second: the same, of the one it is compared with.
        confidence: the run's own by default.
        marks: proxy, thresholds or checkpoint, as for `lab.results.outcomes.classify`.

    Raises:
        UnknownName: no such condition.
    """
    outcomes = classify(results, **marks)
    return log_impact(outcomes, find(results, first), find(results, second), _confidence(results, confidence))


def find(results: Results, name: str) -> int:
    """Return the index of a condition by its name, or by its regimen's if that has only one.

    Args:
        results: what `lab.run` returned.
        name: of a condition or a regimen; the axes in a condition's name may stand in any order.

    Raises:
        UnknownName: no such condition, or several.
    """
    names, regimens = labels(results)
    if name in names:
        return names.index(name)
    if regimens.count(name) == 1:
        return regimens.index(name)
    parts = sorted(str(name).split())
    turned = [index for index, other in enumerate(names) if sorted(other.split()) == parts]
    if len(turned) == 1:
        return turned[0]
    many = [other for other, regimen in zip(names, regimens, strict=True) if regimen == name]
    known = ", ".join(repr(other) for other in (many or names))
    raise UnknownName(f"{'several conditions are' if many else 'no condition is'} named {name!r}: {known}")


def worlds(places: Sequence[Place]) -> dict[World, list[int]]:
    """Group conditions by the axes of the sweep that all regimens share, the others aside.

    Args:
        places: of each condition.

    Returns:
        The indices of the conditions of each world, in order.
    """
    regimens = {regimen for regimen, _ in places}
    axes = dict.fromkeys(axis for _, coordinates in places for axis in coordinates)
    shared = [axis for axis in axes if {regimen for regimen, place in places if axis in place} == regimens]
    groups: dict[World, list[int]] = {}
    for index, (_, coordinates) in enumerate(places):
        groups.setdefault(tuple((axis, coordinates[axis]) for axis in shared), []).append(index)
    return groups


def places(results: Results | Outcomes) -> list[Place]:
    """Return where each condition is.

    Args:
        results: what `lab.run` returned; other numbers that somebody has added to conditions count as axes.
    """
    axes = {
        str(name): coordinate.values
        for name, coordinate in results.coords.items()
        if name not in COORDINATES and coordinate.dims == ("condition",) and coordinate.dtype.kind in "fiu"
    }
    return [
        (regimen, {axis: float(values[index]) for axis, values in axes.items() if not np.isnan(values[index])})
        for index, regimen in enumerate(labels(results)[1])
    ]


def in_world(results: Results | Outcomes, world: int) -> list[int]:
    """Return the indices of the conditions in one of the worlds that a run has drawn.

    Args:
        results: what `lab.run` returned.
        world: its number.

    Raises:
        UnknownName: no such world, or the run draws none.
    """
    if WORLD not in results.coords:
        raise UnknownName(f"no world {world}: no worlds are drawn in this run")
    numbers = results[WORLD].values
    if world not in numbers:
        raise UnknownName(f"no world {world}; known: {np.nanmin(numbers):.0f} to {np.nanmax(numbers):.0f}")
    return np.flatnonzero(numbers == world).tolist()


def comparisons(results: Results, baseline: str | None = None, **marks: Any) -> list[Comparison]:
    """Return a `lab.statistics.Comparison` per condition, on the seeds both have; that of a baseline has no `other`.

    Args:
        results: what `lab.run` returned.
        baseline: regimen to compare with; the run's own by default.
        marks: as for `lab.results.outcomes.classify`.

    Raises:
        UnknownName: no such regimen, score or checkpoint.
    """
    return compared(classify(results, **marks), baseline)


def compared(outcomes: Outcomes, baseline: str | None = None, only: Iterable[int] | None = None) -> list[Comparison]:
    """Return what `comparisons` does, from what `lab.results.outcomes.classify` returned.

    Args:
        outcomes: with the labels and the attributes of the run.
        baseline: as there.
        only: indices of the conditions to return, in order; all by default.
    """
    baseline, (names, regimens) = baseline or attribute(outcomes, "baseline"), labels(outcomes)
    if baseline not in regimens:
        known = ", ".join(dict.fromkeys(regimens))
        raise UnknownName(f"no regimen {baseline!r}; known: {known}")
    rows: dict[int, Comparison] = {}
    wanted = range(len(names)) if only is None else list(only)
    asked = set(wanted)
    for members in worlds(places(outcomes)).values():
        # where the baseline has an axis of its own, its first condition stands for it
        reference = next((index for index in members if regimens[index] == baseline), None)
        for index in asked & set(members):
            if reference is None or reference == index:
                rows[index] = Comparison(names[index], condition_counts(outcomes, index))
            else:
                counts, other, joint = comparable_counts(outcomes, index, reference)
                rows[index] = Comparison(names[index], counts, names[reference], other, joint)
    return [rows[index] for index in wanted]


def summarise(
    results: Results,
    baseline: str | None = None,
    confidence: float | None = None,
    together: bool = False,
    **marks: Any,
) -> tuple[Summary, ...]:
    """Return one `Summary` per condition, in the order of the config.

    Args:
        results: what `lab.run` returned.
        baseline: regimen to compare with; the run's own by default.
        confidence: of every interval; the run's own by default.
        together: make the intervals of each part of the log impacts hold all together (`family_wise`).
        marks: proxy, thresholds or checkpoint, as for `lab.results.outcomes.classify`.

    Raises:
        UnknownName: no such regimen, score or checkpoint.
    """
    outcomes, compute = classify(results, **marks), None
    if "spent" in results.coords:
        confidence = _confidence(results, confidence)
        tables = (results.spent.values, outcomes["passes"].values, outcomes["trained"].values)
        compute = [
            compute_per_accepted(spent[trained], passes[trained], confidence)
            for spent, passes, trained in zip(*tables, strict=True)
        ]
    return summaries(outcomes, baseline, confidence, together, compute)


def summaries(
    outcomes: Outcomes,
    baseline: str | None = None,
    confidence: float | None = None,
    together: bool = False,
    compute: Sequence[Estimate] | None = None,
    only: Sequence[int] | None = None,
) -> tuple[Summary, ...]:
    """Return what `summarise` does, from what `lab.results.outcomes.classify` returned.

    Args:
        outcomes: with the labels and the attributes of the run.
        baseline: as there.
        confidence: as there.
        together: as there.
        compute: the `Estimate` of each condition's trainings per accepted model; none by default.
        only: indices of the conditions to return, in order; all by default.
    """
    confidence = _confidence(outcomes, confidence)
    only = range(outcomes.sizes["condition"]) if only is None else only
    rows = compared(outcomes, baseline, only)
    corrected = family_wise(confidence, sum(row.other is not None for row in rows) if together else 1)
    conditions, knobs, names = places(outcomes), attribute(outcomes, "knobs"), labels(outcomes)[0]
    schedules = outcomes.attrs.get("schedules", {})
    return tuple(
        Summary(
            name=row.name,
            regimen=conditions[index][0],
            coordinates=conditions[index][1],
            knobs=knobs[row.name],
            counts=condition_counts(outcomes, index),
            baseline=row.baseline,
            impact=None if row.baseline is None else _impact(outcomes, index, row, names, corrected),
            pairing=_pairing(outcomes, row),
            confidence=confidence,
            impact_confidence=corrected,
            compute=None if compute is None else compute[index],
            evidence=evidence_of(outcomes, index),
            cost=cost_of(outcomes, index, confidence),
            schedule=schedules.get(row.name),
        )
        for index, row in zip(only, rows, strict=True)
    )


def _pairing(outcomes: Outcomes, row: Comparison) -> Pairing | None:
    """Return what a comparison gains from shared seeds, or None where there are none or where these are not all."""
    plain = GROUP not in outcomes.coords and judge_of(outcomes) is None
    return pairing(row.counts, row.other, row.joint) if plain and row.other and row.joint is not None else None


def _impact(outcomes: Outcomes, index: int, row: Comparison, names: Sequence[str], confidence: float) -> LogImpact:
    """Return the log impact of a condition over the one that a comparison names."""
    if row.other is None or is_observed(outcomes):
        return log_impact(outcomes, index, names.index(str(row.baseline)), confidence)
    return compare(row.counts, row.other, row.joint, confidence)


def still_open(say: Callable[[str], None] | None = None) -> Callable[[Run], set[str]]:
    """Return a function that tells which conditions of a run still need seeds by its config's rule.

    A width counts at the present look, a decision also where an earlier one brought it. A condition whose net is open
    needs its baseline too. None is open once the rule is met.

    Args:
        say: called with a line of text on what is still open.
    """

    def names(run: Run) -> set[str]:
        results = shards.results(run, last_only=True)
        by_width = results.attrs["stop"]["width"] is not None
        rows = _stopping_rows(results)
        undone, outlook = _too_wide(results, rows) if by_width else _undecided(results, rows)
        if say:
            goal = "narrow enough" if by_width else "decided"
            line = f"{results.sizes['seed']:,} seeds: {len(rows) - len(undone)} of {len(rows)} {goal}"
            say(line + (f"; {undone[0].name} is not; {outlook}" if undone else ": the rule is met"))
        return {name for row in undone for name in (row.name, row.baseline) if name}

    return names


def _stopping_rows(results: Results) -> list[Comparison]:
    """Return the conditions, or the comparisons with their baselines, that the config's rule for stopping looks at."""
    if results.attrs["stop"]["of"] == "net":
        return [row for row in comparisons(results) if row.other is not None]
    outcomes = classify(results)
    return [Comparison(name, condition_counts(outcomes, index)) for index, name in enumerate(labels(results)[0])]


def _too_wide(results: Results, rows: Sequence[Comparison]) -> tuple[list[Comparison], str]:
    """Return the rows whose intervals are still wider than the rule asks for, and how long that may last, in words."""
    stop, confidence = results.attrs["stop"], attribute(results, "confidence")
    undone = [row for row in rows if not narrow(row, stop["of"], stop["width"], confidence)]
    needed = max((seeds_needed(row, stop["of"], stop["width"], confidence) for row in undone), default=0)
    return undone, f"about {needed:,} seeds each" if math.isfinite(needed) else "no end in sight: an empty cell"


def _undecided(results: Results, rows: Sequence[Comparison]) -> tuple[list[Comparison], str]:
    """Return the rows that no look has decided so far, and how many looks are to come, in words."""
    stop, confidence, planned_looks = results.attrs["stop"], attribute(results, "confidence"), results.attrs["looks"]
    looks = [look for look in planned_looks if look <= results.sizes["seed"]]
    planned = len(planned_looks) if stop["decided"] == "planned_looks" else None
    decisions: list[Mapping[str, bool]] = [
        {row.name: decided(row, stop["of"], planned, confidence) for row in _stopping_rows(part)}
        for part in (results.isel(seed=slice(look)) for look in looks)
    ]
    undone = [row for row in rows if not any(decision[row.name] for decision in decisions)]
    left = len(planned_looks) - len(looks)
    return undone, f"{left} looks to come" if left else "that was the last look"
