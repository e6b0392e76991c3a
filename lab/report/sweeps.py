"""A sweep of many conditions by its axes: a row per value of the longest one, a column per point of the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from lab.report.layout import Sheet
from lab.report.readings import any_unable, unable_share
from lab.report.tables import NOT_ABLE, outcome_sentences, title
from lab.results.outcomes import Results
from lab.results.summary import Summary
from lab.statistics import PARTS, QUANTITIES
from lab.words import name_in_words, setting, with_interval

RATES = ("base_rate", "pass_given_misaligned")  # of those that the net is made of, what a push on a test may move
PARTS_SHOWN = ("base_rate", "likelihood_ratio", "net")
ALL_OF_IT = "`--json` prints every quantity of every condition."

Cell = Callable[[Summary], str]
Point = tuple[tuple[str, float], ...]  # (axis, value)


@dataclass(frozen=True)
class Grid:
    """Where the conditions of a sweep stand.

    Attributes:
        axis: whose values are rows: the longest one.
        columns: regimen and point on the other axes of each column.
        baselines: name of a regimen without that axis -> index of a column -> its condition there.
        rows: value on the axis -> index of a column -> the condition.
    """

    axis: str
    columns: list[tuple[str, Point]]
    baselines: dict[str, dict[int, Summary]]
    rows: dict[float, dict[int, Summary]]

    @property
    def names(self) -> list[list[str]]:
        """What a column is called: by what tells it from the others, part by part."""
        regimens = {regimen for regimen, _ in self.columns}
        places = [dict(point) for _, point in self.columns]
        varied = [axis for axis in places[0] if len({place.get(axis) for place in places}) > 1]
        names = []
        for (regimen, _), place in zip(self.columns, places, strict=True):
            words = [f"{name_in_words(axis)} {setting(place[axis])}" for axis in varied if axis in place]
            named = [name_in_words(regimen)] if len(regimens) > 1 or not words else []
            names.append([*named, *words])
        return names

    def lines(self, cell: Cell) -> dict[str, list[str]]:
        """Return name of a row -> its cells, empty where a column has no such condition.

        Args:
            cell: returns that of a condition.
        """
        rows = {name_in_words(name): members for name, members in self.baselines.items()}
        rows |= {setting(value): members for value, members in self.rows.items()}
        places = range(len(self.columns))
        return {
            name: [cell(members[index]) if index in members else "" for index in places]
            for name, members in rows.items()
        }


def grid(summaries: Sequence[Summary]) -> Grid:
    """Return where the conditions of a sweep stand.

    Args:
        summaries: what `lab.summarise` returned, of conditions with coordinates.
    """
    values: dict[str, dict[float, None]] = {}
    for row in summaries:
        for name, value in row.coordinates.items():
            values.setdefault(name, {})[value] = None
    axis = max(values, key=lambda name: len(values[name]))
    swept = [row for row in summaries if axis in row.coordinates]
    columns = list(dict.fromkeys((row.regimen, _others(row, axis)) for row in swept))
    rows: dict[float, dict[int, Summary]] = {value: {} for value in sorted(values[axis])}
    for row in swept:
        rows[row.coordinates[axis]][columns.index((row.regimen, _others(row, axis)))] = row
    baselines: dict[str, dict[int, Summary]] = {}
    shared = {name for _, point in columns for name, _ in point}
    for row in summaries:
        if axis not in row.coordinates:
            own = [f"{name}={setting(value)}" for name, value in row.coordinates.items() if name not in shared]
            of_regimen = baselines.setdefault(" ".join([row.regimen, *own]), {})
            of_regimen |= {index: row for index, (_, point) in enumerate(columns) if _agrees(row, dict(point))}
    return Grid(axis, columns, baselines, rows)


def _others(row: Summary, axis: str) -> Point:
    """Return where a condition stands on the axes but one."""
    return tuple((name, value) for name, value in row.coordinates.items() if name != axis)


def _agrees(row: Summary, point: Mapping[str, float]) -> bool:
    """Whether a condition stands at a point, on the axes that both have."""
    return all(point.get(name, value) == value for name, value in row.coordinates.items())


def sweep_tables(results: Results, summaries: Sequence[Summary]) -> list[Sheet]:
    """Return a `Sheet` for P(A), P(T|not A) and the net, each by the axes of the sweep.

    Args:
        results: of the run.
        summaries: what `lab.summarise` returned.
    """
    cells: dict[str, Cell] = {
        QUANTITIES[rate].meaning.removesuffix("."): lambda row, rate=rate: with_interval(row.estimates[rate])
        for rate in RATES
    }
    if any_unable(summaries):
        cells[f"share of models that {NOT_ABLE}"] = lambda row: unable_share(row.counts)
    cells["net: change of ln o(A|T) against the baseline, in nats"] = _part("net")
    caption = " ".join([*outcome_sentences(results, summaries), ALL_OF_IT])
    return _sheets(summaries, cells, title(results, summaries), caption)


def sweep_impact_tables(rows: Sequence[Summary], intervals: str) -> list[Sheet]:
    """Return a `Sheet` for each part of the log impact, by the axes of the sweep.

    Args:
        rows: `Summary`s that have an impact.
        intervals: what is said of them.
    """
    cells = {PARTS[part].meaning.removesuffix("."): _part(part) for part in PARTS_SHOWN}
    return _sheets(rows, cells, intervals, ALL_OF_IT)


def _part(part: str) -> Cell:
    """Return what writes a part of the log impact of a condition."""
    return lambda row: "baseline" if row.impact is None else with_interval(getattr(row.impact, part))


def _sheets(summaries: Sequence[Summary], cells: Mapping[str, Cell], above: str, caption: str) -> list[Sheet]:
    """Return a `Sheet` for each kind of cell; the first says what all are of, and the last what they mean."""
    places = grid(summaries)
    regimens = {name_in_words(regimen) for regimen, _ in places.columns}
    of_regimen = f" of {regimens.pop()}" if len(regimens) == 1 else ""
    abouts = [f"{words}, by {name_in_words(places.axis)}{of_regimen}" for words in cells]
    abouts[0] = f"{above}\n{abouts[0]}"
    captions = [*[""] * (len(cells) - 1), caption]
    return [_sheet(places, *parts) for parts in zip(cells.values(), abouts, captions, strict=True)]


def _sheet(places: Grid, cell: Cell, about: str, caption: str) -> Sheet:
    """Return a `Sheet` of one kind of cell, which has more rows than columns; rows that are alike are one."""
    axis, lines = name_in_words(places.axis), places.lines(cell)
    if len(places.columns) > len(lines):
        names = [", ".join(parts) for parts in places.names]
        values = [f"{axis} {name}" if index >= len(places.baselines) else name for index, name in enumerate(lines)]
        sheet = Sheet(about, ["", *values], caption)
        for name, row in zip(names, zip(*lines.values(), strict=True), strict=True):
            sheet.add_row(name, *row)
        return sheet
    sheet = Sheet(about, [axis, *map("\n".join, places.names)], caption)
    baselines = len(places.baselines)
    for name, row in list(lines.items())[:baselines]:
        sheet.add_row(name, *row)
    for row, alike in groupby(list(lines.items())[baselines:], key=itemgetter(1)):
        values = [value for value, _ in alike]
        sheet.add_row(" to ".join(dict.fromkeys([values[0], values[-1]])), *row)
    return sheet
