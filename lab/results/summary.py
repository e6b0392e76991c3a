"""From recorded scores to counts, comparisons and one row per condition."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from lab.config.schema import COORDINATES
from lab.results import outcomes
from lab.results.outcomes import UnknownName, attribute, classify, labels
from lab.statistics.comparison import LogImpact, Pairing, compare, family_wise, pairing
from lab.statistics.quantities import QUANTITIES, Counts, Estimate, compute_per_accepted, estimate
from lab.statistics.sequential import Comparison, decided, narrow, seeds_needed


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
        pairing: what the comparison gains from shared seeds, or None.
        confidence: of every interval.
        compute: trainings spent per accepted model, an `Estimate`, where regimens have gates; else None.
        impact_confidence: of the intervals of `impact`: higher if they are to hold all together.
    """

    name: str
    regimen: str
    coordinates: dict
    knobs: dict
    counts: Counts
    baseline: str | None
    impact: LogImpact | None
    pairing: Pairing | None
    confidence: float
    impact_confidence: float
    compute: Estimate | None = None

    @functools.cached_property
    def estimates(self):
        """Quantity -> `Estimate`, for every quantity of `Counts`."""
        return {name: estimate(self.counts, name, self.confidence) for name in QUANTITIES}


def cells(outcomes):
    """Return the index into `CELLS` of every model, shape (condition, seed), from what `classify` returned.

    It says nothing of what was not trained: give only seeds that all conditions have (`lab.results.outcomes.common`).

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
    """
    return (2 * ~outcomes["aligned"].values + ~outcomes["passes"].values).astype(np.int8)


def _counts(outcomes, index):
    own = outcomes.isel(condition=index)
    four = np.bincount(cells(own)[own["trained"].values], minlength=4)
    return Counts(*map(int, four), *(int(own[kind].sum()) for kind in ("incompetent", "diverged", "unjudged")))


def paired_counts(outcomes, first, second):
    """Return the `Counts` of two conditions on the seeds they share, and their joint counts, shape (4, 4).

    Args:
        outcomes: what `lab.results.outcomes.classify` returned.
        first: index of a condition.
        second: index of the other.
    """
    both = outcomes.isel(condition=[first, second])
    both = both.isel(seed=np.flatnonzero(both["trained"].values.all(axis=0)))
    one, other = cells(both)
    return _counts(both, 0), _counts(both, 1), np.bincount(4 * one + other, minlength=16).reshape(4, 4)


def counts(results, condition, **marks):
    """Return the `Counts` of one condition; `marks` are those of `lab.results.outcomes.classify`.

    Args:
        results: what `lab.run` returned.
        condition: its name, or that of a regimen that has only one.
        marks: proxy, thresholds or checkpoint, as for `lab.results.outcomes.classify`.
    """
    outcomes = classify(results, **marks)
    return _counts(outcomes, find(results, condition))


def compare_conditions(results, first, second, confidence=None, **marks):
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
    confidence = attribute(results, "confidence") if confidence is None else confidence
    return compare(*paired_counts(outcomes, find(results, first), find(results, second)), confidence)


def find(results, name):
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


def worlds(places):
    """Group conditions by the axes of the sweep that all regimens share, the others aside.

    Args:
        places: (regimen, coordinates) of each condition.

    Returns:
        A dict from a world, a tuple of (axis, value), to the indices of its conditions, in order.
    """
    regimens = {regimen for regimen, _ in places}
    axes = dict.fromkeys(axis for _, coordinates in places for axis in coordinates)
    shared = [axis for axis in axes if {regimen for regimen, own in places if axis in own} == regimens]
    groups = {}
    for index, (_, own) in enumerate(places):
        groups.setdefault(tuple((axis, own[axis]) for axis in shared), []).append(index)
    return groups


def places(results):
    """Return (regimen, coordinates) of each condition.

    Args:
        results: what `lab.run` returned; other numbers that somebody has added to conditions count as axes.
    """
    axes = {
        axis: own.values
        for axis, own in results.coords.items()
        if axis not in COORDINATES and own.dims == ("condition",) and own.dtype.kind in "fiu"
    }
    return [
        (
            regimen,
            {str(axis): float(values[index]) for axis, values in axes.items() if not np.isnan(values[index])},
        )
        for index, regimen in enumerate(labels(results)[1])
    ]


def comparisons(results, baseline=None, **marks):
    """Return a `lab.statistics.Comparison` per condition, on the seeds both have; that of a baseline has no `other`.

    Args:
        results: what `lab.run` returned.
        baseline: regimen to compare with; the run's own by default.
        marks: as for `lab.results.outcomes.classify`.

    Raises:
        UnknownName: no such regimen, score or checkpoint.
    """
    return compared(classify(results, **marks), baseline)


def compared(outcomes, baseline=None, only=None):
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
    found = places(outcomes)
    rows = {index: None for index in (range(len(names)) if only is None else only)}
    for members in worlds(found).values():
        # where the baseline has an axis of its own, its first condition stands for it
        reference = next((index for index in members if found[index][0] == baseline), None)
        for index in rows.keys() & set(members):
            if reference in (None, index):
                rows[index] = Comparison(names[index], _counts(outcomes, index))
            else:
                own, other, joint = paired_counts(outcomes, index, reference)
                rows[index] = Comparison(names[index], own, names[reference], other, joint)
    return list(rows.values())


def summarise(results, baseline=None, confidence=None, together=False, **marks):
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
        confidence = attribute(results, "confidence") if confidence is None else confidence
        tables = (results.spent.values, outcomes["passes"].values, outcomes["trained"].values)
        compute = [
            compute_per_accepted(spent[there], passes[there], confidence)
            for spent, passes, there in zip(*tables, strict=True)
        ]
    return summaries(outcomes, baseline, confidence, together, compute)


def summaries(outcomes, baseline=None, confidence=None, together=False, compute=None, only=None):
    """Return what `summarise` does, from what `lab.results.outcomes.classify` returned.

    Args:
        outcomes: with the labels and the attributes of the run.
        baseline: as there.
        confidence: as there.
        together: as there.
        compute: the `Estimate` of each condition's trainings per accepted model; none by default.
        only: indices of the conditions to return, in order; all by default.
    """
    confidence = attribute(outcomes, "confidence") if confidence is None else confidence
    only = range(outcomes.sizes["condition"]) if only is None else only
    rows = compared(outcomes, baseline, only)
    corrected = family_wise(confidence, sum(row.other is not None for row in rows) if together else 1)
    found, knobs = places(outcomes), attribute(outcomes, "knobs")
    return tuple(
        Summary(
            name=row.name,
            regimen=found[index][0],
            coordinates=found[index][1],
            knobs=knobs[row.name],
            counts=_counts(outcomes, index),
            baseline=row.baseline,
            impact=row.other and compare(row.counts, row.other, row.joint, corrected),
            pairing=row.other and pairing(row.counts, row.other, row.joint),
            confidence=confidence,
            impact_confidence=corrected,
            compute=compute and compute[index],
        )
        for index, row in zip(only, rows, strict=True)
    )


def still_open(say=None):
    """Return a function of a `lab.results.store.Run` that tells which conditions still need seeds by its config's rule.

    A width counts at the present look, a decision also where an earlier one brought it. A condition whose net is open
    needs its baseline too. None is open once the rule is met.

    Args:
        say: called with a line of text on what is still open.
    """

    def names(run):
        results = outcomes.results(run, last_only=True)
        stop, seeds, confidence = results.attrs["stop"], results.sizes["seed"], attribute(results, "confidence")
        rows = _compared(results, stop["of"])
        if stop["width"] is not None:
            still = [row for row in rows if not narrow(row, stop["of"], stop["width"], confidence)]
            needed = max((seeds_needed(row, stop["of"], stop["width"], confidence) for row in still), default=0)
            outlook = f"about {needed:,} seeds each" if math.isfinite(needed) else "no end in sight: an empty cell"
        else:
            looks = [look for look in results.attrs["looks"] if look <= seeds]
            planned = len(results.attrs["looks"]) if stop["decided"] == "planned_looks" else None
            rules = [
                {row.name: decided(row, stop["of"], planned, confidence) for row in _compared(part, stop["of"])}
                for part in (results.isel(seed=slice(look)) for look in looks)
            ]
            still = [row for row in rows if not any(rule[row.name] for rule in rules)]
            left = len(results.attrs["looks"]) - len(looks)
            outlook = f"{left} looks to come" if left else "that was the last look"
        if say:
            goal = "decided" if stop["width"] is None else "narrow enough"
            line = f"{seeds:,} seeds: {len(rows) - len(still)} of {len(rows)} {goal}"
            say(line + (f"; {still[0].name} is not; {outlook}" if still else ": the rule is met"))
        return {name for row in still for name in (row.name, row.baseline) if name}

    return names


def _compared(results, of):
    if of == "net":
        return [row for row in comparisons(results) if row.other is not None]
    outcomes = classify(results)
    return [Comparison(str(name), _counts(outcomes, index)) for index, name in enumerate(results.condition.values)]
