"""Numbers and names in words, and estimates as plain JSON values."""

import math

from lab.statistics import Estimate


def plain(value):
    """Return a float as JSON can hold it: infinities become the strings "inf" and "-inf", nan becomes None."""
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else value


def estimate_json(estimate):
    """Return an `Estimate` as {"value", "low", "high"}."""
    return {key: plain(value) for key, value in estimate._asdict().items()}


def from_json(value):
    """Return the `Estimate` that `estimate_json` made."""
    return Estimate(*(math.nan if value[key] is None else float(value[key]) for key in Estimate._fields))


def number(value, digits=2):
    """Return a number for people: `digits` decimals, or infinity and n/a in words."""
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    value = round(value, digits) + 0.0  # no "-0.0"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def digits_for(low, high):
    """Return how many decimals an interval supports: the first digit of its half width."""
    limits = [abs(limit) for limit in (low, high) if math.isfinite(limit)]
    if len(limits) < 2:
        return 1 if limits and limits[0] < 10 else 0
    width = (high - low) / 2
    return 3 if width <= 0 else min(3, max(0, -math.floor(math.log10(width))))


def with_interval(estimate):
    """Return "value [low, high]", rounded to what the interval supports."""
    if estimate.low == estimate.high:
        return f"{estimate.value:g}"
    digits = digits_for(estimate.low, estimate.high)
    while digits < 3 and any(x and math.isfinite(x) and not round(x, digits) for x in (estimate.low, estimate.high)):
        digits += 1  # a limit that is not 0 does not read as 0
    return f"{number(estimate.value, digits)} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def in_words(coordinates):
    """Return (axis, value) pairs as "axis = value, ..."."""
    return ", ".join(f"{axis} = {value:g}" for axis, value in coordinates)


def within(world, name):
    """Return a condition's name without the coordinates of its world."""
    shared = {f"{axis}={value:.12g}" for axis, value in world}
    return " ".join(part for part in name.split() if part not in shared)
