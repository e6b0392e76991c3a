"""Worlds drawn at random: the points of a scrambled Sobol sequence, as values of knobs and of other keys of a config.

A sequence of that kind fills a box more evenly than independent draws do (Owen, "Scrambling Sobol' and
Niederreiter-Xing points", J. Complexity 14:466, 1998). Values have six digits, so that no rounding of a logarithm makes
another world on another machine.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from lab.config.schema import WAYS
from lab.config.source import Key, Raw, is_number

DIGITS = 6  # of a drawn value


class Draw(NamedTuple):
    """What is drawn once per world.

    Attributes:
        above: where a config says so.
        keys: what takes the value.
        way: how it is drawn, one of `WAYS`.
        numbers: the two ends of a range, or the choices.
    """

    above: Key
    keys: list[str]
    way: str
    numbers: list[float]

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest value that may be drawn."""
        return min(self.numbers), max(self.numbers)

    def value(self, share: float) -> float:
        """Return the value at a share in [0, 1) of the distribution."""
        if self.way == "choose":
            return self.numbers[int(share * len(self.numbers))]
        low, high = self.numbers
        exact = low * (high / low) ** share if self.way == "log" else low + (high - low) * share
        return float(f"{exact:.{DIGITS}g}")


def read_draws(raw: Raw) -> dict[str, Draw]:
    """Return what a config draws, by the name of the knob or of the axis, as far as it is well formed."""
    worlds = raw.get("worlds")
    draws: dict[str, Draw] = {}
    for section in ("knobs", "keys"):
        entries = worlds.get(section) if isinstance(worlds, dict) else None
        for label, entry in entries.items() if isinstance(entries, dict) else ():
            draw = _draw(("worlds", section, label), label, {"between": entry} if isinstance(entry, list) else entry)
            if draw is not None and label not in draws:
                draws[label] = draw
    return draws


def _draw(above: Key, label: str, entry: object) -> Draw | None:
    """Return one thing to draw, or None where the types of a config say already what is wrong."""
    ways = [way for way in WAYS if isinstance(entry, dict) and entry.get(way) is not None]
    if not isinstance(entry, dict) or len(ways) != 1:
        return None
    written, numbers = entry.get("key") if above[1] == "keys" else f"knobs.{label}", entry[ways[0]]
    keys = [key for key in (written if isinstance(written, list) else [written]) if isinstance(key, str)]
    if not isinstance(numbers, list) or not all(map(is_number, numbers)):
        return None
    if not numbers or (ways[0] != "choose" and len(numbers) != 2):
        return None
    return Draw(above, keys, ways[0], [float(number) for number in numbers])


def wrong_draws(draws: Mapping[str, Draw]) -> Iterator[tuple[Key, str]]:
    """Yield (key, message) of what is wrong with ranges and choices by themselves."""
    for draw in draws.values():
        low, high = draw.numbers[0], draw.numbers[-1]
        if draw.way == "choose":
            if len(set(draw.numbers)) < len(draw.numbers):
                yield draw.above, "holds the same choice twice"
        elif not low < high:
            yield draw.above, f"a range must rise, and {low:g} to {high:g} does not"
        elif draw.way == "log" and low * high <= 0:
            yield draw.above, f"a range of logarithms must lie above 0 or below, and {low:g} to {high:g} does not"
        elif not math.isfinite(high - low):
            yield draw.above, "the range is too wide"


def drawn_values(draws: Mapping[str, Draw], count: int, seed: int) -> dict[str, list[float]]:
    """Return the value of everything that is drawn in each world.

    The order in which a config names things does not count; one more of them makes other worlds.

    Args:
        draws: by name.
        count: of worlds; the first of them are the same however many there are.
        seed: of the scrambling.
    """
    if not draws:
        return {}
    from scipy.stats import qmc  # takes half a second to import, and few configs need it

    names = sorted(draws)
    points = qmc.Sobol(len(names), rng=seed).random_base2(max(0, math.ceil(math.log2(count))))[:count]
    return {name: [draws[name].value(share) for share in points[:, index]] for index, name in enumerate(names)}
