"""What conditions are called on the page: the regimen in words, and what differs among conditions."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lab.results.summary import Summary, worlds
from lab.words import setting


class Names(NamedTuple):
    """Names for people, by the name that a condition has in the config.

    Attributes:
        full: with every axis along which conditions differ.
        short: without the axes that all conditions of a world share.
    """

    full: dict[str, str]
    short: dict[str, str]


def words(name: str) -> str:
    """Return a name of the config in words: "train_early" is "train early"."""
    return name.replace("_", " ")


def place_words(coordinates: Iterable[tuple[str, float]]) -> str:
    """Return a place in a sweep in words: "weight 0.3, onset 0.1"."""
    return ", ".join(f"{words(axis)} {setting(value)}" for axis, value in coordinates)


def varied_axes(rows: Sequence[Summary]) -> dict[str, list[float]]:
    """Return axis of the sweep -> its values in order, of the axes that are in names and have more than one value."""
    values: dict[str, set[float]] = {}
    for row in rows:
        written = {part.partition("=")[0] for part in row.name.split()[1:]}
        for axis, value in row.coordinates.items():
            if axis in written:
                values.setdefault(axis, set()).add(value)
    return {axis: sorted(places) for axis, places in values.items() if len(places) > 1}


def condition_names(rows: Sequence[Summary]) -> Names:
    """Return the names of all conditions; those of the config where two would be called alike."""
    axes = varied_axes(rows)
    groups = worlds([(row.regimen, row.coordinates) for row in rows])
    shared = {axis for world in groups for axis, _ in world}
    full = {row.name: _name(row, axes) for row in rows}
    if len(set(full.values())) < len(full):
        full = {name: name for name in full}
        return Names(full, full)
    return Names(full, {row.name: _name(row, [axis for axis in axes if axis not in shared]) for row in rows})


def _name(row: Summary, axes: Iterable[str]) -> str:
    """Return the regimen of a condition, and its places on some axes."""
    if not row.coordinates:
        return words(row.name)
    places = place_words((axis, row.coordinates[axis]) for axis in axes if axis in row.coordinates)
    return ", ".join(part for part in (words(row.regimen), places) if part)
