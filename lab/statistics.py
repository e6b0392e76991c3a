"""Counts of outcomes -> rates, likelihood ratio, odds, costs and log impacts, with intervals.

Point estimates are the plain ratios of counts; an empty cell gives 0, inf or nan, never a corrected number. Intervals:

* rates: Wilson (1927); odds and cost: its ends mapped;
* likelihood ratio: the score interval of Miettinen and Nurminen (1985);
* log impacts: a Dirichlet posterior with weight 1/2 on each of a regimen's four cells. Its draws add to the net
  draw by draw, and shared seeds are used through the joint counts of both regimens.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

from lab.outcomes import UnknownName, classify

DRAWS = 50_000
CELLS = ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")


class Interval(NamedTuple):
    """Lower and upper limit; infinite where nothing bounds that side."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A value with its interval; the value is inf or nan where empty cells make it so."""

    value: float
    low: float
    high: float


class LogImpact(NamedTuple):
    """Change of log odds, in nats, from the second regimen to the first.

    Attributes:
        likelihood_ratio: change of log LR: what happened to the test.
        base_rate: change of log prior odds: what happened to the models.
        net: change of log posterior odds, the sum of both.
    """

    likelihood_ratio: Estimate
    base_rate: Estimate
    net: Estimate


def _ratio(numerator, denominator):
    """Divide; x/0 is inf and 0/0 is nan."""
    if denominator:
        return numerator / denominator
    return math.inf if numerator else math.nan


@dataclass(frozen=True)
class Counts:
    """Outcomes of a population of models: aligned or not, passing or not.

    An incompetent or diverged model is one that nobody ships: it is part of `misaligned_fail`, and `incompetent`
    and `diverged` say how many of these there are.

    Raises:
        ValueError: a count is negative or not a whole number.
    """

    aligned_pass: int
    aligned_fail: int
    misaligned_pass: int
    misaligned_fail: int
    incompetent: int = 0
    diverged: int = 0

    def __post_init__(self):
        for name, count in list(vars(self).items()):
            if not (0 <= count < math.inf and count == int(count)):
                raise ValueError(f"{name} must be a whole number of at least 0, not {count}")
            object.__setattr__(self, name, int(count))  # numpy's small integers would overflow

    @property
    def aligned(self):
        """Number of aligned models."""
        return self.aligned_pass + self.aligned_fail

    @property
    def misaligned(self):
        """Number of misaligned models."""
        return self.misaligned_pass + self.misaligned_fail

    @property
    def passing(self):
        """Number of models that pass."""
        return self.aligned_pass + self.misaligned_pass

    @property
    def seeds(self):
        """Number of models."""
        return self.aligned + self.misaligned

    @property
    def base_rate(self):
        """P(A)."""
        return _ratio(self.aligned, self.seeds)

    @property
    def prior_odds(self):
        """o(A) = P(A) / P(not A)."""
        return _ratio(self.aligned, self.misaligned)

    @property
    def pass_given_aligned(self):
        """P(T|A)."""
        return _ratio(self.aligned_pass, self.aligned)

    @property
    def pass_given_misaligned(self):
        """P(T|not A)."""
        return _ratio(self.misaligned_pass, self.misaligned)

    @property
    def likelihood_ratio(self):
        """P(T|A) / P(T|not A); nan without models of both kinds."""
        if not self.aligned or not self.misaligned:
            return math.nan
        return _ratio(self.pass_given_aligned, self.pass_given_misaligned)

    @property
    def posterior_odds(self):
        """o(A|T) = LR x o(A), which is aligned passes over misaligned passes."""
        return _ratio(self.aligned_pass, self.misaligned_pass)

    @property
    def aligned_given_pass(self):
        """P(A|T)."""
        return _ratio(self.aligned_pass, self.passing)

    @property
    def pass_rate(self):
        """P(T)."""
        return _ratio(self.passing, self.seeds)

    @property
    def expected_runs(self):
        """1 / P(T): training runs per accepted model, the accepted one included."""
        return _ratio(self.seeds, self.passing)


def _odds(rate):
    return _ratio(rate, 1 - rate)


# quantity -> (successes, trials, map from the rate's interval to the quantity's)
PROPORTIONS = {
    "base_rate": ("aligned", "seeds", lambda low, high: (low, high)),
    "prior_odds": ("aligned", "seeds", lambda low, high: (_odds(low), _odds(high))),
    "pass_given_aligned": ("aligned_pass", "aligned", lambda low, high: (low, high)),
    "pass_given_misaligned": ("misaligned_pass", "misaligned", lambda low, high: (low, high)),
    "aligned_given_pass": ("aligned_pass", "passing", lambda low, high: (low, high)),
    "posterior_odds": ("aligned_pass", "passing", lambda low, high: (_odds(low), _odds(high))),
    "pass_rate": ("passing", "seeds", lambda low, high: (low, high)),
    "expected_runs": ("passing", "seeds", lambda low, high: (_ratio(1, high), _ratio(1, low))),
}
QUANTITIES = (*PROPORTIONS, "likelihood_ratio")


def interval(counts, quantity, confidence=0.95):
    """Return the confidence interval of a quantity of `Counts`.

    Proportions have Wilson's score interval (JASA 22:209, 1927), their odds and 1/P its ends mapped; the
    likelihood ratio has Miettinen and Nurminen's (Stat. Med. 4:213, 1985). Without data the interval is the whole
    range.

    Raises:
        ValueError: unknown quantity, or confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    if quantity == "likelihood_ratio":
        return _score_interval(
            counts.aligned_pass, counts.aligned, counts.misaligned_pass, counts.misaligned, confidence
        )
    if quantity not in PROPORTIONS:
        raise ValueError(f"unknown quantity {quantity!r}; known: {', '.join(QUANTITIES)}")
    successes, trials, mapped = PROPORTIONS[quantity]
    k, n = getattr(counts, successes), getattr(counts, trials)
    if n == 0:
        return Interval(*mapped(0.0, 1.0))
    limits = binomtest(int(k), int(n)).proportion_ci(confidence, method="wilson")
    # rounding leaves 1e-17 where the limit is exactly 0 or 1
    return Interval(*mapped(float(limits.low) if k else 0.0, float(limits.high) if k < n else 1.0))


def _score_interval(x1, n1, x2, n2, confidence):
    """Interval of p1 / p2 from x1 of n1 and x2 of n2: all ratios that a score test does not reject.

    For a ratio r, the statistic is (x1/n1 - r x2/n2) / sqrt(V), with V the variance under the maximum likelihood
    estimate constrained to p1 = r p2, times N / (N - 1) (Miettinen and Nurminen 1985).
    """
    if n1 == 0 or n2 == 0 or (x1 == 0 and x2 == 0):
        return Interval(0.0, math.inf)
    n = n1 + n2

    def statistic(log_ratio):
        ratio = math.exp(log_ratio)
        b = ratio * (n1 + x2) + n2 + x1
        discriminant = max(0.0, b * b - 4 * n * ratio * (x1 + x2))
        p2 = 2 * (x1 + x2) / (b + math.sqrt(discriminant))
        p1 = ratio * p2
        variance = (p1 * max(0.0, 1 - p1) / n1 + ratio**2 * p2 * max(0.0, 1 - p2) / n2) * n / (n - 1)
        difference = x1 / n1 - ratio * x2 / n2
        if abs(difference) < 1e-14 * (x1 / n1 + ratio * x2 / n2):
            return 0.0
        return difference / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, difference)

    z = float(norm.isf((1 - confidence) / 2))

    def solve(target, start, direction):
        """Find where the falling statistic crosses `target`, walking from `start`."""
        far, stride = start, direction
        while (statistic(far) - target) * direction > 0:
            far, stride = far + stride, 2 * stride
            if abs(far) > 600:
                return math.copysign(math.inf, direction)
        if far == start:
            return start
        return brentq(lambda log_ratio: _finite(statistic(log_ratio) - target), min(start, far), max(start, far))

    if x1 == 0:
        return Interval(0.0, math.exp(solve(-z, math.log(0.1 / n1), 1.0)))
    if x2 == 0:
        return Interval(math.exp(solve(z, math.log(10.0 * n2), -1.0)), math.inf)
    middle = math.log(x1 / n1) - math.log(x2 / n2)
    return Interval(math.exp(solve(z, middle, -1.0)), math.exp(solve(-z, middle, 1.0)))


def _finite(value):
    return max(-1e300, min(1e300, value))


def estimate(counts, quantity, confidence=0.95):
    """Return a quantity of `Counts` as an `Estimate`. Raises as `interval` does."""
    return Estimate(getattr(counts, quantity, math.nan), *interval(counts, quantity, confidence))


# --- comparing two regimens ---------------------------------------------------------------------------------------


def _log(value):
    return math.log(value) if value > 0 else -math.inf if value == 0 else math.nan


def _difference(first, second):
    return math.nan if math.isinf(first) and first == second else first - second


def compare(first, second, joint=None, confidence=0.95):
    """Return the `LogImpact` of the first regimen over the second.

    Values are differences of the logs of plain estimates. Limits are quantiles of a posterior: Dirichlet with
    weight 1/2 on each of the four cells of a regimen, so that log LR and log prior odds are independent and add
    to log posterior odds in every draw. With shared seeds the posterior is Dirichlet with weight 1/8 on each of
    the 16 joint cells; its margins are the same, and what the seeds have in common cancels. A side on which an
    empty cell leaves the value unbounded stays open.

    Args:
        first: `Counts` of the regimen in question.
        second: `Counts` of the one it is compared with.
        joint: how many seeds fell in cell i under the first regimen and j under the second, shape (4, 4), with
            cells in the order of `CELLS`; None if the regimens do not share seeds.
        confidence: of each interval by itself.

    Raises:
        ValueError: `joint` does not add up to the counts, or confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    cells = [np.array([getattr(counts, name) for name in CELLS]) for counts in (first, second)]
    random = np.random.default_rng(0)
    if joint is None:
        draws = [random.standard_gamma(own + 0.5, (DRAWS, 4)) for own in cells]
    else:
        joint = np.asarray(joint)
        if joint.shape != (4, 4) or (joint.sum(1) != cells[0]).any() or (joint.sum(0) != cells[1]).any():
            raise ValueError("joint counts do not add up to the counts of both regimens")
        both = random.standard_gamma(joint + 0.125, (DRAWS, 4, 4))
        draws = [both.sum(2), both.sum(1)]

    parts = []
    for drawn in draws:
        aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = drawn.T
        prior = np.log(aligned_pass + aligned_fail) - np.log(misaligned_pass + misaligned_fail)
        parts.append((np.log(aligned_pass) - np.log(misaligned_pass) - prior, prior))
    likelihood_ratio, base_rate = (one - other for one, other in zip(*parts, strict=True))

    def result(name, drawn):
        value = _difference(_log(getattr(first, name)), _log(getattr(second, name)))
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        low = -math.inf if math.isnan(value) or value == -math.inf else float(low)
        high = math.inf if math.isnan(value) or value == math.inf else float(high)
        return Estimate(value, low, high)

    return LogImpact(
        result("likelihood_ratio", likelihood_ratio),
        result("prior_odds", base_rate),
        result("posterior_odds", likelihood_ratio + base_rate),
    )


# --- from recorded scores -----------------------------------------------------------------------------------------


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
        confidence: of every interval.
    """

    name: str
    regimen: str
    coordinates: dict
    knobs: dict
    counts: Counts
    baseline: str | None
    impact: LogImpact | None
    confidence: float

    @functools.cached_property
    def estimates(self):
        """Quantity -> `Estimate`, for every quantity of `Counts`."""
        return {name: estimate(self.counts, name, self.confidence) for name in QUANTITIES}


def _cells(outcomes):
    """Index into `CELLS` of every model, shape (condition, seed)."""
    return (2 * ~outcomes["aligned"].values + ~outcomes["passes"].values).astype(np.int8)


def _counts(outcomes, index):
    own = outcomes.isel(condition=index)
    cells = np.bincount(_cells(own), minlength=4)
    return Counts(*map(int, cells), int(own["incompetent"].sum()), int(own["diverged"].sum()))


def _joint(outcomes, first, second):
    cells = _cells(outcomes.isel(condition=[first, second]))
    return np.bincount(4 * cells[0] + cells[1], minlength=16).reshape(4, 4)


def counts(results, condition, **marks):
    """Return the `Counts` of one condition; `marks` are those of `lab.outcomes.classify`."""
    outcomes = classify(results, **marks)
    return _counts(outcomes, _find(results, condition))


def compare_conditions(results, first, second, confidence=None, **marks):
    """Return the `LogImpact` of one condition over another on their shared seeds.

    Args:
        results: what `lab.run` returned.
        first: name of a condition, or of a regimen that has only one.
        second: the same, of the one it is compared with.
        confidence: the run's own by default.
        marks: proxy, thresholds or checkpoint, as for `lab.outcomes.classify`.

    Raises:
        UnknownName: no such condition.
    """
    outcomes = classify(results, **marks)
    one, other = _find(results, first), _find(results, second)
    confidence = results.attrs["confidence"] if confidence is None else confidence
    return compare(_counts(outcomes, one), _counts(outcomes, other), _joint(outcomes, one, other), confidence)


def _find(results, name):
    names, regimens = list(results.condition.values), list(results.regimen.values)
    if name in names:
        return names.index(name)
    if regimens.count(name) == 1:
        return regimens.index(name)
    many = [other for other, regimen in zip(names, regimens, strict=True) if regimen == name]
    known = ", ".join(repr(str(other)) for other in (many or names))
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


def summarise(results, baseline=None, confidence=None, **marks):
    """Return one `Summary` per condition, in the order of the config.

    Args:
        results: what `lab.run` returned.
        baseline: regimen to compare with; the run's own by default.
        confidence: of every interval; the run's own by default.
        marks: proxy, thresholds or checkpoint, as for `lab.outcomes.classify`.

    Raises:
        UnknownName: no such regimen, score or checkpoint.
    """
    baseline = baseline or results.attrs["baseline"]
    if baseline not in results.regimen.values:
        known = ", ".join(dict.fromkeys(map(str, results.regimen.values)))
        raise UnknownName(f"no regimen {baseline!r}; known: {known}")
    confidence = results.attrs["confidence"] if confidence is None else confidence
    outcomes = classify(results, **marks)
    every = [_counts(outcomes, index) for index in range(results.sizes["condition"])]
    names, regimens = [list(map(str, results[label].values)) for label in ("condition", "regimen")]
    axes = {axis: results[axis].values for axis in results.coords if axis not in ("regimen", *results.dims)}
    coordinates = [
        {str(axis): float(places[index]) for axis, places in axes.items() if not np.isnan(places[index])}
        for index in range(len(every))
    ]
    rows = [None] * len(every)
    for members in worlds(list(zip(regimens, coordinates, strict=True))).values():
        # where the baseline has an axis of its own, its first condition stands for it
        reference = next((index for index in members if regimens[index] == baseline), None)
        for index in members:
            other = None if index == reference else reference
            impact = None
            if other is not None:
                joint = _joint(outcomes, index, other)
                impact = compare(every[index], every[other], joint, confidence)
            rows[index] = Summary(
                name=names[index],
                regimen=regimens[index],
                coordinates=coordinates[index],
                knobs=results.attrs["knobs"][index],
                counts=every[index],
                baseline=None if other is None else names[other],
                impact=impact,
                confidence=confidence,
            )
    return tuple(rows)
