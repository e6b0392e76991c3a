"""Intervals of a ratio of proportions that other packages offer, to measure them beside those of `lab.statistics`.

Each takes x1, n1, x2, n2 and the confidence and returns (low, high); (nan, nan) where the method is undefined.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import beta, norm

from lab.statistics import wilson_interval
from lab.statistics.score import root_between

Limits = tuple[float, float]


def katz(x1: float, n1: float, x2: float, n2: float, confidence: float = 0.95) -> Limits:
    """Katz et al. (Biometrics 34:469, 1978), for likelihood ratios Simel et al. (J. Clin. Epidemiol. 44:763, 1991)."""
    if not x1 or not x2:
        return math.nan, math.nan
    half = float(norm.isf((1 - confidence) / 2)) * math.sqrt(1 / x1 - 1 / n1 + 1 / x2 - 1 / n2)
    middle = math.log(x1 / n1) - math.log(x2 / n2)
    return math.exp(middle - half), math.exp(middle + half)


def walter(x1: float, n1: float, x2: float, n2: float, confidence: float = 0.95) -> Limits:
    """Walter (Biometrika 62:371, 1975): the same with 1/2 added to every count and total."""
    return katz(x1 + 0.5, n1 + 0.5, x2 + 0.5, n2 + 0.5, confidence)


def jeffreys_interval(successes: float, trials: float, confidence: float = 0.95) -> Limits:
    """Equal-tailed interval of the Jeffreys posterior."""
    tail = (1 - confidence) / 2
    low, high = beta.ppf([tail, 1 - tail], successes + 0.5, trials - successes + 0.5)
    return (float(low) if successes else 0.0), (float(high) if successes < trials else 1.0)


def share(successes: float, trials: float) -> float:
    """Plain estimate of a proportion."""
    return successes / trials


def mover(
    x1: float,
    n1: float,
    x2: float,
    n2: float,
    confidence: float = 0.95,
    one_sample: Callable[[float, float, float], Limits] = wilson_interval,
    middle: Callable[[float, float], float] = share,
) -> Limits:
    """Donner and Zou (Stat. Methods Med. Res. 21:347, 2012): from an interval and an estimate of each proportion."""
    p1, p2 = middle(x1, n1), middle(x2, n2)
    (l1, u1), (l2, u2) = one_sample(x1, n1, confidence), one_sample(x2, n2, confidence)
    product = p1 * p2
    low = product - math.sqrt(max(0.0, product**2 - l1 * u2 * (2 * p1 - l1) * (2 * p2 - u2)))
    high = product + math.sqrt(max(0.0, product**2 - u1 * l2 * (2 * p1 - u1) * (2 * p2 - l2)))
    low_scale, high_scale = u2 * (2 * p2 - u2), l2 * (2 * p2 - l2)
    return (low / low_scale if low_scale else 0.0), (high / high_scale if high_scale > 0 else math.inf)


def mover_jeffreys(x1: float, n1: float, x2: float, n2: float, confidence: float = 0.95) -> Limits:
    """`mover` from Jeffreys intervals around posterior medians (ratesci's moverci, type jeff)."""
    return mover(x1, n1, x2, n2, confidence, jeffreys_interval, lambda x, n: float(beta.median(x + 0.5, n - x + 0.5)))


def bayes(x1: float, n1: float, x2: float, n2: float, confidence: float = 0.95) -> Limits:
    """Equal-tailed interval of the ratio of two independent Jeffreys posteriors, by quadrature."""
    first, second = beta(x1 + 0.5, n1 - x1 + 0.5), beta(x2 + 0.5, n2 - x2 + 0.5)
    ranks = (0.5 + np.arange(2000)) / 2000
    rates = second.ppf(ranks)

    def below(log_ratio: float) -> float:
        return float(first.cdf((math.exp(log_ratio) * rates).clip(0, 1)).mean())

    def quantile(share: float) -> float:
        return math.exp(root_between(lambda log_ratio: below(log_ratio) - share, -30, 30))

    tail = (1 - confidence) / 2
    return quantile(tail), quantile(1 - tail)
