"""How many seeds: stop on a width, on a decision at planned looks, or on a confidence sequence; and foresee it.

Stopping when an interval is narrow enough leaves its coverage nearly as it is. Stopping when it excludes "no
difference" does not: looking twenty times at 95% finds a difference where there is none far more often than in 5%.
So a decision is taken either at planned looks, each at a higher confidence, or by a confidence sequence, which holds
at all times together.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float
from numpy.typing import ArrayLike

from lab.statistics.comparison import compare
from lab.statistics.counts import Counts
from lab.statistics.quantities import PARTS, QUANTITIES, interval, quantity_named
from lab.statistics.score import (
    ALMOST_NONE,
    Estimate,
    Interval,
    checked_confidence,
    checked_counts,
    constrained_rates,
    crossing,
    root_between,
    whole,
)

MINIMUM = 10  # smallest count that a ratio may rest on when training stops
MOST_LOOKS = 1_000
LEAST_NODES, NODES = 60, 40  # of a look, and per root of their number: Pocock's z then has ten right digits
LEAST_Z, MOST_Z = 0.01, 12.0  # between which Pocock's z lies


def _log_likelihood(successes: int, trials: int, rate: float) -> float:
    return float(scipy.special.xlogy(successes, rate) + scipy.special.xlog1py(trials - successes, -rate))


def _log_mixture(successes: int, trials: int, prior: tuple[float, float]) -> float:
    a, b = prior
    return float(scipy.special.betaln(a + successes, b + trials - successes) - scipy.special.betaln(a, b))


def confidence_sequence(
    successes: float, trials: float, confidence: float = 0.95, prior: tuple[float, float] = (1.0, 1.0)
) -> Interval:
    """Return an interval of a proportion that holds at every number of trials together.

    All p with p^x (1 - p)^(n - x) >= alpha B(a + x, b + n - x) / B(a, b): the beta-binomial mixture of Robbins
    (Ann. Math. Stat. 41:1397, 1970), valid at any time by Ville's inequality.

    Args:
        successes: x.
        trials: n.
        confidence: 1 - alpha.
        prior: a and b of the mixture, which change the width and not the validity.
    """
    confidence, (successes, trials) = checked_confidence(confidence), checked_counts(successes, trials)
    if not trials:
        return Interval(0.0, 1.0)
    failures = trials - successes
    least = math.log1p(-confidence) + _log_mixture(successes, trials, prior)

    def outside(log_odds: float) -> float:  # in which rates next to 0 and next to 1 keep their digits
        return least - float(
            successes * scipy.special.log_expit(log_odds) + failures * scipy.special.log_expit(-log_odds)
        )

    middle = math.log(max(successes, ALMOST_NONE)) - math.log(max(failures, ALMOST_NONE))
    low = crossing(outside, middle, -1) if successes else 0.0
    high = crossing(lambda log_odds: -outside(log_odds), middle, 1) if failures else math.inf
    return Interval(low / (1 + low), high / (1 + high) if high < math.inf else 1.0)


def ratio_confidence_sequence(
    x1: float,
    n1: float,
    x2: float,
    n2: float,
    confidence: float = 0.95,
    prior: tuple[float, float] = (0.5, 0.5),
) -> Interval:
    """Return an interval of p1 / p2 that holds at all numbers of trials of two independent streams together.

    All r for which the largest likelihood with p1 = r p2 is at least alpha times the product of both mixtures (Turner
    and Gruenwald, Stat. Prob. Lett. 198:109835, 2023, treat such two-stream tests).

    Args:
        x1: successes of the first group.
        n1: its size.
        x2: successes of the second group.
        n2: its size.
        confidence: in (0, 1).
        prior: a and b of each mixture, which change the width and not the validity.
    """
    confidence = checked_confidence(confidence)
    (x1, n1), (x2, n2) = checked_counts(x1, n1), checked_counts(x2, n2)
    if not n1 or not n2 or not x1 + x2:
        return Interval(0.0, math.inf)
    least = math.log1p(-confidence) + _log_mixture(x1, n1, prior) + _log_mixture(x2, n2, prior)

    def outside(log_ratio: float) -> float:
        p1, p2 = constrained_rates(x1, n1, x2, n2, math.exp(log_ratio))
        return least - _log_likelihood(x1, n1, p1) - _log_likelihood(x2, n2, p2)

    middle = math.log(max(x1, ALMOST_NONE) / n1) - math.log(max(x2, ALMOST_NONE) / n2)
    return Interval(
        crossing(outside, middle, -1) if x1 else 0.0,
        crossing(lambda log_ratio: -outside(log_ratio), middle, 1) if x2 else math.inf,
    )


def pocock(looks: int, confidence: float = 0.95) -> float:
    """Return the z at which each of several equally spaced looks tests, so that all together err in 1 - confidence.

    Pocock (Biometrika 64:191, 1977), by the recursion of Armitage, McPherson and Rowe (J. R. Stat. Soc. A 132:235,
    1969): the density of the sum of k normal increments on paths that never left +-z sqrt(k), by Gauss-Legendre.

    Args:
        looks: their number.
        confidence: in (0, 1).

    Example:
        Pocock's table for five looks says 2.413.

        >>> round(pocock(5), 3)
        2.413
    """
    return _pocock(whole("looks", looks, 1, MOST_LOOKS), checked_confidence(confidence))


@functools.cache
def _pocock(looks: int, confidence: float) -> float:
    # the region widens with the root of the looks, the normal kernel does not
    nodes, weights = np.polynomial.legendre.leggauss(max(LEAST_NODES, NODES * math.ceil(math.sqrt(looks))))

    def normal(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)

    def leaves(z: float) -> float:
        """P(some look leaves the region), summed look by look: what stays loses digits where it is nearly 1."""
        sums, density, left = z * nodes, normal(z * nodes) * z * weights, 2 * scipy.special.ndtr(-z)
        for look in range(2, looks + 1):
            edge = z * math.sqrt(look)
            next_sums = edge * nodes
            left += density @ (scipy.special.ndtr(sums - edge) + scipy.special.ndtr(-sums - edge))
            density = (density @ normal(next_sums - sums[:, None])) * edge * weights
            sums = next_sums
        return left

    return root_between(lambda z: leaves(z) - (1 - confidence), LEAST_Z, MOST_Z, 1e-10)


def planned_confidence(looks: int, confidence: float = 0.95) -> float:
    """Return the confidence of the interval at each of several planned looks; see `pocock`.

    Args:
        looks: their number.
        confidence: of all of them together.
    """
    return 1 - 2 * float(scipy.special.ndtr(-pocock(looks, confidence)))


# --- rules for stopping -------------------------------------------------------------------------------------------


class Comparison(NamedTuple):
    """A condition and the one it is compared with, if any: names, counts on the seeds they share, and joint counts."""

    name: str
    counts: Counts
    baseline: str | None = None
    other: Counts | None = None
    joint: ArrayLike | None = None


STOPS = ("net", *QUANTITIES)  # what a run may be stopped by: the log impact on posterior odds, or a quantity
DECIDES = ("net", "likelihood_ratio")  # of these, what has a value of no difference


def width(comparison: Comparison, of: str, confidence: float = 0.95) -> float:
    """Return the width of an interval: of rates as they are, of odds, ratios and costs in their natural logs.

    Args:
        comparison: of a condition, with a baseline for net.
        of: one of `QUANTITIES`, or net: the log impact on posterior odds.
        confidence: of the interval.
    """
    if of == "net":
        net = _net(comparison, confidence)
        return net.high - net.low
    low, high = interval(comparison.counts, of, confidence)
    if quantity_named(of).scale == "linear":
        return high - low
    return math.log(high) - math.log(low) if low > 0 and high < math.inf else math.inf


def _net(comparison: Comparison, confidence: float) -> Estimate:
    return compare(comparison.counts, _other(comparison), comparison.joint, confidence).net


def _other(comparison: Comparison) -> Counts:
    if comparison.other is None:
        raise ValueError(f"{comparison.name} is compared with nothing")
    return comparison.other


def narrow(comparison: Comparison, of: str, target: float, confidence: float = 0.95) -> bool:
    """Return whether an interval is narrow enough to stop: at most `target` wide, and on counts of at least 10.

    Args:
        comparison: of a condition, with a baseline for net.
        of: net, or a quantity of `Counts`.
        target: the width: of rates as they are, of everything else in nats.
        confidence: in (0, 1).
    """
    populations = (comparison.counts, _other(comparison)) if of == "net" else (comparison.counts,)
    rests_on = PARTS["net"].rests_on if of == "net" else quantity_named(of).rests_on
    if any(getattr(counts, name) < MINIMUM for counts in populations for name in rests_on):
        return False
    return width(comparison, of, confidence) <= target


def decided(comparison: Comparison, of: str, looks: int | None, confidence: float = 0.95) -> bool:
    """Return whether a difference is decided: an interval that allows for all looks excludes "no difference".

    Args:
        comparison: of a condition, with a baseline for net.
        of: net (no difference from the baseline) or likelihood_ratio (no difference from 1).
        looks: number of planned looks (`pocock`), or None for a confidence sequence. That of net combines one of
            each regimen at half the error, which holds however their seeds depend on each other.
        confidence: of all looks together.
    """
    counts = comparison.counts
    if of == "likelihood_ratio":
        if looks is None:
            cells = counts.aligned_pass, counts.aligned, counts.misaligned_pass, counts.misaligned
            low, high = ratio_confidence_sequence(*cells, confidence)
        else:
            low, high = interval(counts, of, planned_confidence(looks, confidence))
        return low > 1 or high < 1
    if looks is None:
        half = 1 - (1 - confidence) / 2
        rate, other_rate = (
            confidence_sequence(population.aligned_pass, population.passing, half)
            for population in (counts, _other(comparison))
        )
        return rate.low > other_rate.high or rate.high < other_rate.low  # odds rise with the rate
    net = _net(comparison, planned_confidence(looks, confidence))
    return net.low > 0 or net.high < 0


def seeds_needed(comparison: Comparison, of: str, target: float, confidence: float = 0.95, most: int = 10**9) -> float:
    """Return how many seeds an interval of a width needs if counts keep the shares of a pilot; inf if it cannot tell.

    Every count is scaled to a number of seeds and the interval computed from it; the smallest number that meets
    `narrow`, to about 1%, is returned.

    Args:
        comparison: of the pilot.
        of: net, or a quantity of `Counts`.
        target: the width, as for `narrow`.
        confidence: in (0, 1).
        most: seeds to look at.
    """
    pilot = comparison.counts.seeds

    def enough(seeds: int) -> bool:
        return narrow(_scaled(comparison, seeds / pilot), of, target, confidence)

    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if high > most:
            return math.inf
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _scaled(comparison: Comparison, factor: float) -> Comparison:
    """Return a comparison with every count multiplied and rounded."""

    def scaled(counts: Counts) -> Counts:
        return Counts(*[round(cell * factor) for cell in counts.cells])

    if comparison.joint is None:
        other = comparison.other and scaled(comparison.other)
        return comparison._replace(counts=scaled(comparison.counts), other=other)
    joint = np.rint(np.asarray(comparison.joint) * factor).astype(int)
    return comparison._replace(counts=Counts(*joint.sum(1)), other=Counts(*joint.sum(0)), joint=joint)
