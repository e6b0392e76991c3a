"""A sweep of many conditions by its axes: a row per value of the longest one, a column per point of the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from lab.report.layout import Sheet
from lab.report.tables import NOT_ABLE, any_unable, outcome_sentences, title, unable_share
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
    def headings(self) -> list[str]:
        """What a column is called: by what tells it from the others."""
        regimens = {regimen for regimen, _ in self.columns}
        places = [dict(point) for _, point in self.columns]
        varied = [axis for axis in places[0] if len({place.get(axis) for place in places}) > 1]
        headings = []
        for (regimen, _), place in zip(self.columns, places, strict=True):
            words = [f"{name_in_words(axis)} {setting(place[axis])}" for axis in varied if axis in place]
            named = [name_in_words(regimen)] if len(regimens) > 1 or not words else []
            headings.append("\n".join([*named, *words]))
        return headings


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


def tables(results: Results, summaries: Sequence[Summary]) -> list[Sheet]:
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
    return _sheets(
        summaries, cells, title(results, summaries), " ".join([*outcome_sentences(results, summaries), ALL_OF_IT])
    )


def impact_tables(rows: Sequence[Summary], intervals: str) -> list[Sheet]:
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
    regimens = dict.fromkeys(name_in_words(regimen) for regimen, _ in places.columns)
    sheets = []
    for number, (words, cell) in enumerate(cells.items(), 1):
        about = f"{words}, by {name_in_words(places.axis)} of {', '.join(regimens)}"
        sheet = Sheet(
            f"{above}\n{about}" if number == 1 else about,
            [name_in_words(places.axis), *places.headings],
            caption if number == len(cells) else "",
        )
        for name, members in places.baselines.items():
            sheet.add_row(name_in_words(name), *_cells(members, len(places.columns), cell))
        lines = [(value, _cells(members, len(places.columns), cell)) for value, members in places.rows.items()]
        for of_lines, alike in groupby(lines, key=itemgetter(1)):
            span = [value for value, _ in alike]
            sheet.add_row(" to ".join(map(setting, dict.fromkeys([span[0], span[-1]]))), *of_lines)
        sheets.append(sheet)
    return sheets


def _cells(members: Mapping[int, Summary], count: int, cell: Cell) -> list[str]:
    """Return the cells of a row, empty where a column has no such condition."""
    return [cell(members[index]) if index in members else "" for index in range(count)]
