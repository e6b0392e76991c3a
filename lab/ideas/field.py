"""A field of ideas whose prior is not known: fitted to the trials of many ideas."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Int

from lab.ideas.beliefs import checked_rates, log_aligned
from lab.statistics.score import checked_confidence, root_between, whole

HYPERPRIOR = 2.5  # p(a, b) ~ (a + b)^-2.5: Gelman et al. (2013), equation 5.9
LARGEST_LEAST_CONCENTRATION = 1e3  # with it two runs of an idea correlate by a thousandth: ideas are alike
POINTS = (32, 64, 128, 256, 512, 1024)  # of the grid, along each axis, until the evidence is known
EVIDENCE_TOLERANCE = 1e-6  # natural log
NEGLIGIBLE = 20  # natural log by which the density at the edge of the box lies below its peak
EDGE_POINTS = 41  # along an edge of the box
WIDENINGS = 200  # of the box: each makes it a quarter longer
STIRLING_FROM = 100.0  # from there on the series below is right to 1e-13, and log gamma loses digits in differences
LEAST_SLOPE, LEAST_SHARE = 0.1, 0.01  # of what the grid is laid around; they change how many points it takes

_Points = Float[np.ndarray, " point"]


class Range(NamedTuple):
    """Posterior mean of a quantity with its central interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class FieldFit:
    """Posterior of a field of ideas with theta ~ Beta(a, b).

    Attributes:
        log_odds: grid of log(a / b); narrower where the concentration is larger.
        log_concentration: grid of log(a + b), one per column of `log_odds`.
        weights: posterior weights on the grid; they sum to 1.
        propensity: `Range` of the field's mean propensity a / (a + b); its mean is that of a fresh idea.
        correlation: `Range` of the correlation of two runs of one idea, 1 / (a + b + 1).
        idea_means: posterior mean propensity of each idea tried, shrunk towards the field.
        log_evidence: log of the integral of hyperprior (not normalised) times likelihood of the ordered sequences.
    """

    log_odds: Float[np.ndarray, "point concentration"]
    log_concentration: Float[np.ndarray, " concentration"]
    weights: Float[np.ndarray, "point concentration"]
    propensity: Range
    correlation: Range
    idea_means: tuple[float, ...]
    log_evidence: float


def fit_field(
    trials: Sequence[tuple[int, int]],
    pass_given_aligned: float = 1.0,
    pass_given_misaligned: float = 0.0,
    confidence: float = 0.95,
    least_concentration: float = 0.0,
) -> FieldFit:
    """Return the `FieldFit` of ideas with unknown a and b: theta_i ~ Beta(a, b), p(a, b) ~ (a + b)^(-5/2).

    The model and hyperprior are those of Gelman et al., Bayesian Data Analysis (3rd ed., 2013), section 5.3, extended
    to a noisy test. There are two unknowns, so the posterior is summed over Gauss-Legendre points in log(a/b) and
    log(a+b): as exact as the sum, in a fraction of a second, with no seed, no chains to check and no dependency. The
    box is widened until the density at its edge is e^-20 of its peak, and points are doubled until the evidence
    stays within 1e-6. Time grows with the number of distinct trials, for a noisy test also with runs per idea.

    As a + b -> 0 ideas become all-or-nothing and the hyperprior alone has infinite mass there. A perfect test rules
    that out as soon as one idea has both outcomes; a noisy one never does, so it needs `least_concentration`.

    Args:
        trials: (aligned, misaligned) runs per idea with the default rates, else (passes, failures).
        pass_given_aligned: P(T|A), known.
        pass_given_misaligned: P(T|not A), known.
        confidence: of the intervals.
        least_concentration: smallest a + b that the hyperprior allows; 0 for no limit.

    Raises:
        ValueError: a count or rate out of range, trials that are impossible under the rates, or a posterior that is
            not proper: no idea has both outcomes, or the test is noisy, and `least_concentration` is 0.
    """
    s, f = checked_rates(pass_given_aligned, pass_given_misaligned)
    counts = [(whole("passes", passes), whole("failures", failures)) for passes, failures in trials]
    confidence = checked_confidence(confidence)
    field = _checked_trials(counts, s, f, least_concentration)
    lowest = math.log(least_concentration) if least_concentration else -math.inf
    units, log_concentration, weights, means, log_evidence = _posterior(field, lowest)
    log_odds = field.centre + units[:, None] * field.width(log_concentration)
    idea_means = dict(zip(field.unique, np.einsum("vku,uv->k", means, weights).tolist(), strict=True))
    return FieldFit(
        log_odds=log_odds,
        log_concentration=log_concentration,
        weights=weights,
        propensity=_range(log_odds, weights, scipy.special.expit, confidence),
        correlation=_range(log_concentration[:, None], weights.sum(axis=0)[:, None], _correlation, confidence),
        idea_means=tuple(idea_means[trial] for trial in counts),
        log_evidence=log_evidence,
    )


def _correlation(log_concentration: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return the correlation of two runs of one idea."""
    return 1 / (np.exp(log_concentration) + 1)


class _Density(NamedTuple):
    """Log posterior density (not normalised), and the posterior mean of each distinct trial's propensity."""

    log_density: _Points
    means: Float[np.ndarray, "trial point"]


@dataclass(frozen=True)
class _Trials:
    """Distinct trials of the ideas of a field, as polynomials of the propensity.

    Attributes:
        unique: distinct (passes, failures).
        times: how many ideas have each.
        terms: log coefficients of each, by the number of runs that are aligned (`log_aligned`).
        s: P(T|A).
        f: P(T|not A).
    """

    unique: list[tuple[int, int]]
    times: Int[np.ndarray, " trial"]
    terms: list[Float[np.ndarray, " aligned"]]
    s: float
    f: float

    @cached_property
    def lengths(self) -> Int[np.ndarray, " trial"]:
        """Runs of each trial."""
        return np.array([len(terms) - 1 for terms in self.terms])

    @cached_property
    def aligned(self) -> list[Int[np.ndarray, " possible"]]:
        """Numbers of runs of each trial that may be aligned: one number if the test is perfect."""
        return [np.flatnonzero(terms > -np.inf) for terms in self.terms]

    @cached_property
    def misaligned(self) -> list[Int[np.ndarray, " possible"]]:
        """Numbers of runs that then are not."""
        return [length - aligned for length, aligned in zip(self.lengths, self.aligned, strict=True)]

    @cached_property
    def needed(self) -> list[Int[np.ndarray, " n"]]:
        """Lengths of the rising factorials of a, b and a + b: each is worked out once, whichever trials take it."""
        return [np.unique(np.concatenate(numbers)) for numbers in (self.aligned, self.misaligned, [self.lengths])]

    @cached_property
    def slope(self) -> float:
        """By how much more often an aligned model passes."""
        return max(abs(self.s - self.f), LEAST_SLOPE)

    @cached_property
    def centre(self) -> float:
        """Log odds of about the mean propensity, around which the grid is laid."""
        passes, runs = (self.times @ np.array([(k, k + m) for k, m in self.unique])).tolist()
        rate = (passes + 0.5) / (runs + 1)
        share = min(max((rate - min(self.s, self.f)) / self.slope, LEAST_SHARE), 1 - LEAST_SHARE)
        return math.log((share if self.s > self.f else 1 - share) / (1 - share if self.s > self.f else share))

    @cached_property
    def noise(self) -> float:
        """About the variance of the log odds that the trials leave to each idea."""
        return float(np.average(1 / (self.lengths + 1), weights=self.times)) / self.slope**2

    def width(self, log_concentration: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Return the unit of log odds at a log concentration.

        Log odds are known the better the larger a + b is: in these units the posterior is no funnel.
        """
        return np.sqrt(self.noise + 1 / (np.exp(log_concentration) + 1))

    def density(self, units: _Points, log_concentration: _Points) -> _Density:
        """Return the density of (units of log odds, log concentration) at some points."""
        total = np.exp(log_concentration)
        log_odds = self.centre + self.width(log_concentration) * units
        a, b = total * scipy.special.expit(log_odds), total * scipy.special.expit(-log_odds)
        of_a, of_b, of_total = (_log_rising(x[:, None], n) for x, n in zip((a, b, total), self.needed, strict=True))
        # da db = a b d(log odds) d(log concentration)
        log_density = np.log(a) + np.log(b) - HYPERPRIOR * np.log(total) + np.log(self.width(log_concentration))
        means = np.empty((len(self.unique), len(a)))
        for i, (terms, aligned, misaligned) in enumerate(zip(self.terms, self.aligned, self.misaligned, strict=True)):
            columns = np.searchsorted(self.needed[0], aligned), np.searchsorted(self.needed[1], misaligned)
            joint = terms[aligned] + of_a[:, columns[0]] + of_b[:, columns[1]]
            highest = joint.max(axis=1, keepdims=True)
            weights = np.exp(joint - highest)
            sums = weights.sum(axis=1)
            of_length = of_total[:, np.searchsorted(self.needed[2], self.lengths[i])]
            log_likelihood = np.log(sums) + highest[:, 0] - of_length
            log_density += self.times[i] * log_likelihood
            means[i] = (a + weights @ aligned / sums) / (total + self.lengths[i])
        return _Density(log_density, means)


def _checked_trials(counts: list[tuple[int, int]], s: float, f: float, least_concentration: float) -> _Trials:
    """Return the `_Trials`. Raises a ValueError where the posterior would not be proper."""
    if not counts:
        raise ValueError("trials must hold at least one idea")
    if not 0 <= least_concentration < LARGEST_LEAST_CONCENTRATION:
        raise ValueError(f"least_concentration must lie in [0, 1000), not {least_concentration}")
    unique = sorted(set(counts))
    terms = [log_aligned(*trial, s, f) for trial in unique]
    if not all((of_trial > -np.inf).any() for of_trial in terms):
        raise ValueError("trials are impossible under pass_given_aligned and pass_given_misaligned")
    # all-or-nothing ideas explain an idea's runs unless neither all aligned nor all misaligned runs could give them
    if not least_concentration and all(max(of_trial[0], of_trial[-1]) > -np.inf for of_trial in terms):
        raise ValueError(
            "trials leave a + b without a lower bound: some idea needs both aligned and misaligned runs"
            if (s, f) == (1, 0)
            else "least_concentration must be positive with a noisy test, which cannot rule out all-or-nothing ideas"
        )
    return _Trials(unique, np.array([counts.count(trial) for trial in unique]), terms, s, f)


class _Grid(NamedTuple):
    """The posterior on a grid of (units of log odds, log concentration)."""

    units: _Points
    log_concentration: Float[np.ndarray, " concentration"]
    weights: Float[np.ndarray, "point concentration"]
    means: Float[np.ndarray, "concentration trial point"]
    log_evidence: float


def _posterior(field: _Trials, lowest: float) -> _Grid:
    """Return the posterior on a grid fine enough for its evidence. Raises a ValueError if none is.

    Args:
        field: the trials.
        lowest: log concentration that the hyperprior allows.
    """

    def log_density(units: _Points, log_concentration: _Points) -> _Points:
        return field.density(units, log_concentration).log_density

    low, high = _box(log_density, np.array([-np.inf, lowest]))
    before = math.inf
    for points in POINTS:
        x, dx = np.polynomial.legendre.leggauss(points)
        units, log_concentration = ((low + high)[:, None] + (high - low)[:, None] * x) / 2
        columns = [field.density(units, np.full(points, value)) for value in log_concentration]
        area = np.outer(dx, dx) * np.prod((high - low) / 2)
        log_weights = np.array([column.log_density for column in columns]).T + np.log(area)
        log_evidence = float(np.asarray(scipy.special.logsumexp(log_weights)))
        if abs(log_evidence - before) < EVIDENCE_TOLERANCE:
            means = np.array([column.means for column in columns])
            return _Grid(units, log_concentration, np.exp(log_weights - log_evidence), means, log_evidence)
        before = log_evidence
    raise ValueError(f"trials give a posterior too uneven for {POINTS[-1]} x {POINTS[-1]} points")


def _log_rising(x: Float[np.ndarray, "point 1"], n: Int[np.ndarray, " n"]) -> Float[np.ndarray, "point n"]:
    """Return log x (x+1) ... (x+n-1): a difference of log gamma, by Stirling's series where that would lose digits."""
    far = np.maximum(x, STIRLING_FROM)
    end = far + n
    series = (1 / end - 1 / far) / 12 - (1 / end**3 - 1 / far**3) / 360
    stirling = (far - 0.5) * np.log1p(n / far) + n * np.log(end) - n + series
    return np.where(x < STIRLING_FROM, scipy.special.gammaln(x + n) - scipy.special.gammaln(x), stirling)


_Point = Float[np.ndarray, "2"]  # units of log odds, log concentration


def _box(log_density: Callable[[_Points, _Points], _Points], limit: _Point) -> tuple[_Point, _Point]:
    """Return the lower and the upper ends of a box with nearly all of the mass.

    Starts at the mode and moves every edge outwards until the density along it is negligible; an edge at `limit` stays.
    """
    start = np.maximum([0.1, 2.0], limit + 1)

    def height(point: _Point) -> float:
        return log_density(*np.maximum(point, limit)[:, None])[0]

    highest = scipy.optimize.minimize(lambda point: -height(point), start, method="Nelder-Mead")
    mode, peak = np.maximum(highest.x, limit), -highest.fun
    ends = np.maximum(mode - 0.01, limit), mode + 0.01
    for _ in range(WIDENINGS):
        moved = False
        for side, axis in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if ends[side][axis] == limit[axis]:
                continue
            edge = np.empty((2, EDGE_POINTS))
            edge[axis] = ends[side][axis]
            edge[1 - axis] = np.linspace(ends[0][1 - axis], ends[1][1 - axis], EDGE_POINTS)
            if log_density(*edge).max() > peak - NEGLIGIBLE:
                step = 0.25 * (ends[1][axis] - ends[0][axis])
                ends[side][axis] = np.maximum(ends[side][axis] + (step if side else -step), limit[axis])
                moved = True
        if not moved:
            return ends
    raise ValueError("trials give a posterior whose mass has no end")


def _range(
    grid: Float[np.ndarray, "point column"],
    weights: Float[np.ndarray, "point column"],
    quantity: Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]],
    confidence: float,
) -> Range:
    """Return the `Range` of a monotone quantity.

    Each column of the grid is a Gauss-Legendre rule, integrated as its series.
    """
    n = len(grid)
    x = np.polynomial.legendre.leggauss(n)[0]
    series = (np.polynomial.legendre.legvander(x, n - 1).T @ weights) * (np.arange(n) + 0.5)[:, None]
    integral = np.polynomial.legendre.legint(series, lbnd=-1)
    half = (grid[-1] - grid[0]) / (x[-1] - x[0])

    def below(limit: float) -> float:
        at = np.clip(x[0] + (limit - grid[0]) / half, -1, 1)
        return float(np.polynomial.legendre.legval(at, integral, tensor=False).sum())

    def quantile(share: float) -> float:
        low, high = (grid[0] - (1 + x[0]) * half).min(), (grid[-1] + (1 - x[-1]) * half).max()
        return float(quantity(np.array(root_between(lambda limit: below(limit) - share, low, high))))

    limits = [quantile((1 - confidence) / 2), quantile((1 + confidence) / 2)]
    return Range(float((weights * quantity(grid)).sum()), min(limits), max(limits))
