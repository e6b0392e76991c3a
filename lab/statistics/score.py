"""Score intervals of a ratio of two proportions and of their odds ratio.

Each holds the values that a score test does not reject: the difference between what was seen and what the value
asks for, over its standard error under the maximum likelihood estimate that the value allows. They are defined
wherever the data say anything: at empty and full cells they are one-sided, never undefined.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

ROUNDING = 1e-14  # relative: differences of rates below it are rounding errors
ALMOST_NONE = 0.01  # models in the place of none, where a search for a limit begins
LARGEST = 1e300  # what infinities become for a root finder
FARTHEST = 230.0  # natural log: 1e100, whose cube is still a float; beyond it a limit is infinite


class Interval(NamedTuple):
    """Lower and upper limit; infinite where nothing bounds that side."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A value with its interval; the value is inf or nan where empty cells make it so."""

    value: float
    low: float
    high: float


def checked_confidence(confidence: float) -> float:
    """Return a confidence as a float. Raises a ValueError unless it lies strictly between 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    return float(confidence)


def whole(name: str, value: float, least: int = 0, most: float = math.inf) -> int:
    """Return a count as an int, of whatever type it came: numpy's small integers overflow where they are multiplied.

    Args:
        name: what the error calls it.
        value: a number.
        least: smallest allowed.
        most: largest allowed.

    Raises:
        ValueError: the value is not a whole number in that range.
    """
    try:
        count = int(value) if np.ndim(value) == 0 else None
    except (TypeError, ValueError, OverflowError):  # no number, nan, inf
        count = None
    if count is None or count != value or not least <= count <= most:
        span = f"of at least {least:,}" if math.isinf(most) else f"from {least:,} to {most:,}"
        raise ValueError(f"{name} must be a whole number {span}, not {value}")
    return count


def checked_counts(successes: float, trials: float) -> tuple[int, int]:
    """Return successes and trials as ints. Raises a ValueError unless they are whole and 0 <= successes <= trials."""
    trials = whole("trials", trials)
    try:
        return whole("successes", successes, 0, trials), trials
    except ValueError:
        message = f"successes must lie in 0 to the number of trials, {trials}, and be whole, not {successes}"
        raise ValueError(message) from None


def constrained_rates(x1: int, n1: int, x2: int, n2: int, ratio: float) -> tuple[float, float]:
    """Return the maximum likelihood estimate of (p1, p2) among those with p1 = ratio x p2.

    The root of Koopman's quadratic (Biometrics 40:513, 1984, section 2) that lies in [0, 1], written so that
    nothing cancels.
    """
    b = ratio * (n1 + x2) + n2 + x1
    root = math.sqrt(max(0.0, b * b - 4 * (n1 + n2) * ratio * (x1 + x2)))
    p2 = 2 * (x1 + x2) / (b + root) if x1 + x2 else 0.0
    return min(1.0, ratio * p2), min(1.0, p2)


def ratio_interval(
    x1: float,
    n1: float,
    x2: float,
    n2: float,
    confidence: float = 0.95,
    *,
    skewness: bool = False,
    correction: bool = True,
) -> Interval:
    """Return the score interval of p1 / p2 from x1 successes of n1 and x2 of n2.

    For a ratio r the statistic is S / sqrt(V), with S = x1/n1 - r x2/n2 and V = p1 (1 - p1) / n1 + r^2 p2 (1 - p2) / n2
    at the constrained estimate (Koopman, Biometrics 40:513, 1984).

    Args:
        x1: successes of the first group.
        n1: its size.
        x2: successes of the second group.
        n2: its size.
        confidence: in (0, 1).
        skewness: solve S / sqrt(V) = z + (z^2 - 1) m for z, with m = mu3 / (6 V^1.5) and mu3 the third moment of S
            (Gart and Nam, Biometrics 44:323, 1988; as a quadratic in z, Laud, Pharm. Stat. 16:334, 2017).
        correction: multiply V by N / (N - 1) (Miettinen and Nurminen, Stat. Med. 4:213, 1985; equation 9).

    Raises:
        ValueError: a count is not a whole number, exceeds its size, or the confidence lies outside (0, 1).

    Example:
        >>> ratio = ratio_interval(670, 744, 202, 842)
        >>> round(ratio.low, 2), round(ratio.high, 2)
        (3.33, 4.25)
        >>> ratio_interval(5, 12, 0, 20).high
        inf
    """
    confidence = checked_confidence(confidence)
    (x1, n1), (x2, n2) = checked_counts(x1, n1), checked_counts(x2, n2)
    if not n1 or not n2 or not x1 + x2:
        return Interval(0.0, math.inf)
    if not x2:
        mirrored = ratio_interval(x2, n2, x1, n1, confidence, skewness=skewness, correction=correction)
        return Interval(1 / mirrored.high if mirrored.high else math.inf, math.inf)
    widen = (n1 + n2) / (n1 + n2 - 1) if correction else 1.0

    def statistic(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        p1, p2 = constrained_rates(x1, n1, x2, n2, ratio)
        first, second = p1 * (1 - p1) / n1, ratio**2 * p2 * (1 - p2) / n2
        variance = (first + second) * widen
        difference = _difference(x1 / n1, ratio * x2 / n2)
        if variance <= 0:
            return math.copysign(math.inf, difference) if difference else 0.0
        score = difference / math.sqrt(variance)
        if not skewness:
            return score
        m = (first * (1 - 2 * p1) / n1 - second * ratio * (1 - 2 * p2) / n2) / (6 * variance**1.5)
        # the root of m z^2 + z - (score + m) = 0 that tends to the score as m vanishes
        return 2 * (score + m) / (1 + math.sqrt(max(0.0, 1 + 4 * m * (score + m))))

    if not x1:
        return Interval(0.0, _limit(statistic, math.log(1e-9 / n1), confidence, 1))
    middle = math.log(x1 / n1) - math.log(x2 / n2)
    return Interval(_limit(statistic, middle, confidence, -1), _limit(statistic, middle, confidence, 1))


def odds_ratio_interval(x1: float, n1: float, x2: float, n2: float, confidence: float = 0.95) -> Interval:
    """Return the score interval of p1 (1 - p2) / ((1 - p1) p2) from x1 successes of n1 and x2 of n2.

    The statistic is n1 (x1/n1 - p1) sqrt(1 / (n1 p1 (1 - p1)) + 1 / (n2 p2 (1 - p2))) at the constrained estimate,
    times sqrt((N - 1) / N) (Miettinen and Nurminen, Stat. Med. 4:213, 1985, equations 12 to 14). Rounding shows from
    about 10^7 models a cell on.

    Args:
        x1: successes of the first group.
        n1: its size.
        x2: successes of the second group.
        n2: its size.
        confidence: in (0, 1).

    Raises:
        ValueError: as `ratio_interval`.

    Example:
        The worked example of R's contingencytables:

        >>> odds = odds_ratio_interval(9, 13, 4, 14)
        >>> round(odds.low, 4), round(odds.high, 4)
        (1.0934, 28.9419)
    """
    confidence = checked_confidence(confidence)
    (x1, n1), (x2, n2) = checked_counts(x1, n1), checked_counts(x2, n2)
    for_it, against = x1 * (n2 - x2), x2 * (n1 - x1)
    if not for_it and not against:
        return Interval(0.0, math.inf)
    shrink = math.sqrt((n1 + n2 - 1) / (n1 + n2))

    def statistic(log_ratio: float) -> float:
        # one rate of the two must be the root with x1 + x2 expected successes: n2 p2 + n1 p1 = x1 + x2
        ratio = math.exp(log_ratio)
        a = n2 * (ratio - 1)
        b = n1 * ratio + n2 - (x1 + x2) * (ratio - 1)
        root = math.sqrt(b * b + 4 * a * (x1 + x2))
        p2 = 2 * (x1 + x2) / (b + root)
        q2 = 1 - p2
        p1, q1 = ratio * p2 / (q2 + ratio * p2), q2 / (q2 + ratio * p2)
        difference = _difference(x1 / n1, p1)
        if min(p1, q1, p2, q2) <= 0:
            return math.copysign(math.inf, difference) if difference else 0.0
        return n1 * difference * math.sqrt(1 / (n1 * p1 * q1) + 1 / (n2 * p2 * q2)) * shrink

    if not for_it or not against:
        almost = [max(cell, ALMOST_NONE) for cell in (x1, n2 - x2, x2, n1 - x1)]
        start = math.log(almost[0] * almost[1] / almost[2] / almost[3])
        if not for_it:
            return Interval(0.0, _limit(statistic, start, confidence, 1))
        return Interval(_limit(statistic, start, confidence, -1), math.inf)
    middle = math.log(for_it) - math.log(against)
    return Interval(_limit(statistic, middle, confidence, -1), _limit(statistic, middle, confidence, 1))


def _difference(one: float, other: float) -> float:
    """Subtract, and call rounding errors zero."""
    return 0.0 if abs(one - other) < ROUNDING * (one + other) else one - other


def _limit(statistic: Callable[[float], float], start: float, confidence: float, direction: int) -> float:
    """Return where the statistic, which falls with the log ratio, leaves the acceptance region in a direction."""
    z = -float(scipy.special.ndtri((1 - confidence) / 2))
    return crossing(lambda log_ratio: statistic(log_ratio) + direction * z, start, direction)


def crossing(falling: Callable[[float], float], start: float, direction: int) -> float:
    """Return exp of where a falling function crosses zero, walking from `start`; 0 or inf if it does not.

    Where it has crossed already at `start`, that is the answer.

    Args:
        falling: function of the natural log of what is looked for.
        start: where to begin, a natural log.
        direction: 1 to walk upwards, -1 downwards.
    """
    if falling(start) * direction <= 0:
        return math.exp(start)
    near, stride = start, direction
    far = near + stride
    while falling(far) * direction > 0:
        near, stride = far, 2 * stride
        far = near + stride
        if abs(far) > FARTHEST:
            return math.inf if direction > 0 else 0.0

    def bounded(log_ratio: float) -> float:
        return max(-LARGEST, min(LARGEST, falling(log_ratio)))

    return math.exp(root_between(bounded, min(near, far), max(near, far), 1e-13))


def root_between(function: Callable[[float], float], low: float, high: float, tolerance: float = 2e-12) -> float:
    """Return where a function is 0 between two points at which its signs differ (Brent's method).

    Args:
        function: of a number.
        low: one of the points.
        high: the other.
        tolerance: how far from the root the answer may be; by default that of `scipy.optimize.brentq`.
    """
    root, _ = scipy.optimize.brentq(function, low, high, xtol=tolerance, full_output=True)
    return float(root)
