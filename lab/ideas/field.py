"""A field of ideas whose prior is not known: fitted to the trials of many ideas."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit, gammaln, logsumexp

from lab.ideas.beliefs import checked_rates, log_aligned
from lab.statistics.score import checked_confidence, whole


class Range(NamedTuple):
    """Posterior mean of a quantity with its central interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class FieldFit:
    """Posterior of a field of ideas with theta ~ Beta(a, b).

    Attributes:
        log_odds: grid of log(a / b), shape (n, n); narrower where the concentration is larger.
        log_concentration: grid of log(a + b), shape (n,), one per column of `log_odds`.
        weights: posterior weights on the grid, shape (n, n); they sum to 1.
        propensity: `Range` of the field's mean propensity a / (a + b); its mean is that of a fresh idea.
        correlation: `Range` of the correlation of two runs of one idea, 1 / (a + b + 1).
        idea_means: posterior mean propensity of each idea tried, shrunk towards the field.
        log_evidence: log of the integral of hyperprior (not normalised) times likelihood of the ordered sequences.
    """

    log_odds: np.ndarray
    log_concentration: np.ndarray
    weights: np.ndarray
    propensity: Range
    correlation: Range
    idea_means: tuple
    log_evidence: float


def fit_field(trials, pass_given_aligned=1.0, pass_given_misaligned=0.0, confidence=0.95, least_concentration=0.0):
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
    if not counts:
        raise ValueError("trials must hold at least one idea")
    confidence = checked_confidence(confidence)
    if not 0 <= least_concentration < 1e3:
        raise ValueError(f"least_concentration must lie in [0, 1000), not {least_concentration}")
    unique = sorted(set(counts))
    times = np.array([counts.count(own) for own in unique])
    terms = [log_aligned(*own, s, f) for own in unique]
    if not all((own > -np.inf).any() for own in terms):
        raise ValueError("trials are impossible under pass_given_aligned and pass_given_misaligned")
    # all-or-nothing ideas explain an idea's runs unless neither all aligned nor all misaligned runs could give them
    if not least_concentration and all(max(own[0], own[-1]) > -np.inf for own in terms):
        raise ValueError(
            "trials leave a + b without a lower bound: some idea needs both aligned and misaligned runs"
            if (s, f) == (1, 0)
            else "least_concentration must be positive with a noisy test, which cannot rule out all-or-nothing ideas"
        )
    lowest = math.log(least_concentration) if least_concentration else -math.inf
    lengths = np.array([len(own) - 1 for own in terms])
    aligned = [np.flatnonzero(own > -np.inf) for own in terms]  # runs that may be aligned: one number if perfect
    misaligned = [n - own for n, own in zip(lengths, aligned, strict=True)]
    needed = [np.unique(np.concatenate(own)) for own in (aligned, misaligned, [lengths])]

    # log odds are known the better the larger a + b is: in units of that width the posterior is no funnel
    slope = max(abs(s - f), 0.1)
    rate = (sum(k for k, _ in counts) + 0.5) / (sum(map(sum, counts)) + 1)
    share = min(max((rate - min(s, f)) / slope, 0.01), 0.99)
    centre = math.log((share if s > f else 1 - share) / (1 - share if s > f else share))
    noise = float(np.average(1 / (lengths + 1), weights=times)) / slope**2

    def width(log_concentration):
        return np.sqrt(noise + 1 / (np.exp(log_concentration) + 1))

    def density(units, log_concentration):
        """Log posterior density (not normalised) and means of the unique ideas, at points of shape (n,)."""
        total = np.exp(log_concentration)
        log_odds = centre + width(log_concentration) * units
        a, b = total * expit(log_odds), total * expit(-log_odds)
        of_a, of_b, of_total = (_log_rising(x[:, None], own) for x, own in zip((a, b, total), needed, strict=True))
        # da db = a b d(log odds) d(log concentration)
        log_density = np.log(a) + np.log(b) - 2.5 * np.log(total) + np.log(width(log_concentration))
        means = np.empty((len(unique), len(a)))
        for i, n in enumerate(lengths):
            columns = [np.searchsorted(needed[0], aligned[i]), np.searchsorted(needed[1], misaligned[i])]
            joint = terms[i][aligned[i]] + of_a[:, columns[0]] + of_b[:, columns[1]]
            highest = joint.max(axis=1, keepdims=True)
            weights = np.exp(joint - highest)
            sums = weights.sum(axis=1)
            log_likelihood = np.log(sums) + highest[:, 0] - of_total[:, np.searchsorted(needed[2], n)]
            log_density += times[i] * log_likelihood
            means[i] = (a + weights @ aligned[i] / sums) / (total + n)
        return log_density, means

    low, high = _box(lambda *point: density(*point)[0], np.array([-np.inf, lowest]))
    before = math.inf
    for points in (32, 64, 128, 256, 512, 1024):
        x, dx = np.polynomial.legendre.leggauss(points)
        units, v = ((low + high)[:, None] + (high - low)[:, None] * x) / 2
        rows = [density(units, np.full(points, own)) for own in v]
        log_weights = np.array([row[0] for row in rows]).T + np.log(np.outer(dx, dx) * np.prod((high - low) / 2))
        log_evidence = float(logsumexp(log_weights))
        if abs(log_evidence - before) < 1e-6:
            break
        before = log_evidence
    else:
        raise ValueError("trials give a posterior too uneven for 1024 x 1024 points")
    weights = np.exp(log_weights - log_evidence)
    idea_means = dict(zip(unique, np.einsum("vku,uv->k", np.array([row[1] for row in rows]), weights), strict=True))
    u = centre + units[:, None] * width(v)
    return FieldFit(
        u,
        v,
        weights,
        _range(u, weights, expit, confidence),
        _range(v[:, None], weights.sum(axis=0)[:, None], lambda own: 1 / (np.exp(own) + 1), confidence),
        tuple(float(idea_means[own]) for own in counts),
        log_evidence,
    )


def _log_rising(x, n):
    """Return log x (x+1) ... (x+n-1): a difference of log gamma, by Stirling's series where that would lose digits."""
    far = np.maximum(x, 100.0)
    end = far + n
    series = (1 / end - 1 / far) / 12 - (1 / end**3 - 1 / far**3) / 360
    stirling = (far - 0.5) * np.log1p(n / far) + n * np.log(end) - n + series
    return np.where(x < 100, gammaln(x + n) - gammaln(x), stirling)


def _box(log_density, limit):
    """Return lower and upper ends, each (units of log odds, log concentration), of a box with nearly all of the mass.

    Starts at the mode and moves every edge outwards until the density along it is negligible; an edge at `limit` stays.
    """
    start = np.maximum([0.1, 2.0], limit + 1)
    found = minimize(lambda point: -log_density(*np.maximum(point, limit)[:, None])[0], start, method="Nelder-Mead")
    mode, peak = np.maximum(found.x, limit), -found.fun
    ends = [np.maximum(mode - 0.01, limit), mode + 0.01]
    for _ in range(200):
        moved = False
        for side, axis in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if ends[side][axis] == limit[axis]:
                continue
            edge = np.empty((2, 41))
            edge[axis] = ends[side][axis]
            edge[1 - axis] = np.linspace(ends[0][1 - axis], ends[1][1 - axis], 41)
            if log_density(*edge).max() > peak - 20:
                step = 0.25 * (ends[1][axis] - ends[0][axis])
                ends[side][axis] = np.maximum(ends[side][axis] + (step if side else -step), limit[axis])
                moved = True
        if not moved:
            return ends
    raise ValueError("trials give a posterior whose mass has no end")


def _range(grid, weights, quantity, confidence):
    """`Range` of a monotone quantity; each column of the grid is a Gauss-Legendre rule, integrated as its series."""
    n = len(grid)
    x = np.polynomial.legendre.leggauss(n)[0]
    series = (np.polynomial.legendre.legvander(x, n - 1).T @ weights) * (np.arange(n) + 0.5)[:, None]
    integral = np.polynomial.legendre.legint(series, lbnd=-1)
    half = (grid[-1] - grid[0]) / (x[-1] - x[0])

    def below(limit):
        at = np.clip(x[0] + (limit - grid[0]) / half, -1, 1)
        return float(np.polynomial.legendre.legval(at, integral, tensor=False).sum())

    low, high = (grid[0] - (1 + x[0]) * half).min(), (grid[-1] + (1 - x[-1]) * half).max()
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    limits = [float(quantity(brentq(lambda limit, own=own: below(limit) - own, low, high))) for own in tails]
    return Range(float((weights * quantity(grid)).sum()), min(limits), max(limits))
