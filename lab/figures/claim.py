"""The figures of claims: a row for every condition under the name of its task, a column for every quantity."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lab.figures.palette import BLACK, GREY, OUTCOMES, WHITE, kind_of, styles_of
from lab.figures.style import (
    SCHEDULE,
    SCHEDULE_GAP,
    SMALLEST,
    WIDTH,
    Axes,
    Figure,
    Line,
    Mark,
    draw_schedules,
    extent,
    holds,
    interval,
    label,
    matplotlib,
    subplots,
    wrapped,
)
from lab.statistics import PARTS, QUANTITIES
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, estimate_from_json, percent, setting

UNABLE_FACE: dict[str, Any] = {  # of a bar of models that cannot do the job
    "facecolor": OUTCOMES["unable"].colour,
    "hatch": "///",
    "edgecolor": GREY,
    "linewidth": 0.4,
}


VERDICT_MARKS = {"supported": "\u25cf", "depends": "\u25d0", "contradicted": "\u2715", "undecided": "\u25cb"}
FAINT = "#e2e2e2"  # of lines that lead the eye
LETTERS = "x-small"  # of rows and columns
LINE = 1.6  # height of a line, in sizes of its letters
SHAPES = {"X": 4.5, "P": 4.5, "*": 6.0}  # shapes that have to be larger for their hollow to be seen; sizes in points
DECADES = 50.0  # ratio of the ends of a logarithmic axis, from which on only powers of ten are written
INDENT = 6.0  # points by which a condition stands to the right of what it is grouped under
GAP = 0.1  # inches between columns
AROUND = 6  # lines of what is over and below the rows
UNABLE_ROOM = 0.45  # width of the column of models that cannot do the job, in inches


class Column(NamedTuple):
    """What a column shows of every row.

    Attributes:
        key: of the estimate in a row.
        head: the first line over it: the symbol of a quantity.
        words: below that.
        low: where its axis ends at the left.
        high: where it ends at the right.
        null: no difference, which is marked; an interval that holds it is hollow.
        lines: further values to mark.
        log: whether its axis is logarithmic.
        whole: whether its axis is shown to both ends, and not only as far as intervals go.
    """

    key: str
    head: str
    words: str
    low: float = -math.inf
    high: float = math.inf
    null: float | None = None
    lines: tuple[float, ...] = ()
    log: bool = False
    whole: bool = False


SHARES = {  # of which models a probability is a share, and who is counted
    "base_rate": "aligned, of all",
    "pass_given_aligned": "passing, of the aligned",
    "pass_given_misaligned": "passing, of the misaligned",
    "aligned_given_pass": "aligned, of those that pass",
    "pass_rate": "passing, of all",
}
MOST = 6.0  # nats, where the axis of nets ends
COLUMNS = {
    **{name: Column(name, QUANTITIES[name].symbol, words, 0, 1, whole=True) for name, words in SHARES.items()},
    "likelihood_ratio": Column(
        "likelihood_ratio", "LR", "of the test: what passing says", 0.1, 1e3, null=1.0, log=True
    ),
    "expected_runs": Column("expected_runs", "1 / P(T)", "runs per accepted model", 1, 1e3, log=True),
    "net": Column("net", PARTS["net"].heading, "gain in ln o(A|T) over the first row", -MOST, MOST, null=0.0),
}
UNABLE = Column("unable", "cannot do", "the job")


def verdict_in(task: str, counts: Json) -> str:
    """Return a task and the verdict in it, with the mark of the verdict."""
    return f"{task} {VERDICT_MARKS[counts['verdict']]} {counts['verdict']}"


def name_task(ax: Axes, task: str, counts: Json) -> None:
    """Write a task and the verdict in it over a panel.

    Args:
        ax: the panel.
        task: its name.
        counts: what the data of the claim have of it.
    """
    ax.set_title(verdict_in(task, counts), loc="left", fontsize="small", fontweight="bold")


def name_task_over_row(ax: Axes, task: str, counts: Json) -> None:
    """Write a task and the verdict in it over a row of panels that are narrower than the words.

    Args:
        ax: the first panel of the row.
        task: its name.
        counts: what the data of the claim have of it.
    """
    name_task(ax, task, counts)
    words = ax.get_title(loc="left")
    ax.set_title(" ", loc="left", fontsize="small")  # keeps the room above; the words would make the panel wider
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    ax.annotate(words, (0, 1), (0, 5), fontsize="small", fontweight="bold", **place).set_in_layout(False)


class Entry(NamedTuple):
    """A line of the figure.

    Attributes:
        words: at its left.
        depth: 0 of a task, 1 of what conditions are grouped under, 2 of a condition.
        row: the condition, if it is one.
    """

    words: str
    depth: int
    row: Json | None = None


def entries(data: Json) -> list[Entry]:
    """Return the lines of the figure of a claim, from the top."""
    lines = []
    for task, counts in data["tasks"].items():
        lines.append(Entry(verdict_in(task, counts), 0))
        heading = ""
        for row in counts["plotted"]:
            if row.get("heading", "") != heading:
                heading = row["heading"]
                lines.append(Entry(label(heading), 1))
            lines.append(Entry(label(row["words"]), 2, row))
    return lines


def name_of(row: Json) -> tuple[str, str]:
    """Return what a row is called and its regimen, which together decide on its mark."""
    return row["words"], row.get("regimen", "")


def marks_by_name(rows: Sequence[Json]) -> dict[tuple[str, str], Mark]:
    """Return the mark of every row by its name: coloured as its kind of regimen, with a shape of its own.

    What a row is called decides on its kind, its regimen where that says nothing.
    """
    decides = {(words, regimen): words if kind_of(words) else regimen for words, regimen in map(name_of, rows)}
    styles = styles_of(list(decides.values()))
    marks = {}
    for name, decisive in decides.items():
        colour, marker, _ = styles[decisive]
        marks[name] = Mark(colour, marker, SHAPES.get(marker, Mark(colour).size))
    return marks


def draw_column(lines: Sequence[Entry], ax: Axes, column: Column, marks: Mapping[tuple[str, str], Mark]) -> None:
    """Draw an estimate of every condition, and in words why there is none.

    Args:
        lines: of the figure.
        ax: the panel of the column.
        column: which estimate.
        marks: of rows by their names.
    """
    if column.log:
        ax.set_xscale("log")
    else:
        ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    for place, (_, _, row) in enumerate(lines):
        if row is None or row.get(column.key) is None:
            continue
        estimate, mark = estimate_from_json(row[column.key]), marks[name_of(row)]
        if math.isnan(estimate.value):
            words = row.get("none", {}).get(column.key, "unknown")
            middle = {"transform": ax.get_yaxis_transform(), "ha": "center", "va": "center"}
            ax.text(0.5, place, words, color=mark.colour, fontsize=LETTERS, **middle)
        else:
            hollow = column.null is not None and holds(estimate, column.null)
            interval(ax, place, estimate, mark, (column.low, column.high), hollow)
    for line in (*column.lines, *([] if column.null is None else [column.null])):
        ax.axvline(line, color=BLACK, linewidth=0.6, linestyle=":", zorder=0.9)
    if column.whole:
        ticks, room = (column.low, (column.low + column.high) / 2, column.high), 0.04 * (column.high - column.low)
        ax.set_xticks(ticks, [setting(tick) for tick in ticks])
        ax.set_xlim(column.low - room, column.high + room)
    if column.log:
        left, right = ax.get_xlim()
        parts = (1.0,) if right > DECADES * left else (1.0, 2.0, 5.0)  # of a decade
        ax.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=parts))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.grid(axis="x", color=FAINT, linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)
    ax.set_yticks([])
    ax.tick_params(axis="x", labelsize=LETTERS)


def draw_unable(lines: Sequence[Entry], ax: Axes) -> None:
    """Write which share of the models of a condition cannot do the job, where it is worth showing."""
    for place, (_, _, row) in enumerate(lines):
        if row is not None and row.get("unable", 0) > UNABLE_SHOWN:
            ax.text(0.5, place, percent(round(row["unable"], 2)), ha="center", va="center", fontsize=LETTERS)
    ax.set_axis_off()


def head_columns(axes: Sequence[Axes], columns: Sequence[Column], widths: Sequence[float], size: float) -> None:
    """Write over every column what it shows.

    Args:
        axes: the panels.
        columns: what they show.
        widths: of the panels, in inches.
        size: of letters, in points.
    """
    heads = [[each.head, *wrapped(each.words, width, size)] for each, width in zip(columns, widths, strict=True)]
    most = max(map(len, heads))
    for ax, head in zip(axes, heads, strict=True):
        ax.set_title("\n".join(head + [""] * (most - len(head))), fontsize=LETTERS, linespacing=1.15)


def name_lines(lines: Sequence[Entry], ax: Axes, marks: Mapping[tuple[str, str], Mark], size: float) -> float:
    """Write the lines at the left of a panel, with the schedules of conditions. Returns their width in inches.

    Args:
        lines: of the figure.
        ax: the first panel.
        marks: of rows by their names.
        size: of letters, in points.
    """
    rows = [line.row or {} for line in lines]
    schedules = [row.get("schedule") for row in rows]
    room = SCHEDULE_GAP if all(schedule is None for schedule in schedules) else SCHEDULE[0] + 2 * SCHEDULE_GAP
    width = max(72 * extent(words, size) + INDENT * depth for words, depth, row in lines if depth) + room
    for place, (words, depth, _) in enumerate(lines):
        ax.annotate(
            words, (0, place), (INDENT * depth - width, 0), ax.get_yaxis_transform(), "offset points", va="center",
            fontsize=LETTERS, fontweight="bold" if depth == 0 else "normal", fontstyle="italic" if depth == 1 else None,
        )  # fmt: skip
    draw_schedules(ax, schedules, [marks[name_of(row)].colour if row else BLACK for row in rows])
    return width / 72


def explain_marks(figure: Figure, lines: Sequence[Entry], columns: Sequence[Column]) -> None:
    """Say below the panels what those marks mean that are there and that a reader may not know."""
    rows = [line.row for line in lines if line.row is not None]
    shown = [(estimate_from_json(row[column.key]), column) for row in rows for column in columns if row.get(column.key)]
    marks = []
    if any(row.get("schedule") for row in rows):
        marks.append((Line([], [], color=GREY, linewidth=4), "weight of what is trained on, over training"))
    if any(column.null is not None and holds(estimate, column.null) for estimate, column in shown):
        hollow = Line([], [], color=BLACK, marker="o", markersize=3.5, markerfacecolor=WHITE, linewidth=1.2)
        marks.append((hollow, "hollow: undecided"))
    if any(estimate.low < column.low or estimate.high > column.high for estimate, column in shown):
        arrow = Line([], [], color=BLACK, marker=">", markersize=3.5, linewidth=1.2, markevery=(1, 2))
        marks.append((arrow, "goes on beyond the axis"))
    if marks:
        handles, words = zip(*marks, strict=True)
        figure.legend(
            handles, words, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=LETTERS,
            handlelength=1.5, columnspacing=1.5,
        )  # fmt: skip


def estimates_figure(data: Json, columns: Sequence[Column]) -> Figure:
    """A row for every condition, under its task and the verdict in it, and a column per estimate.

    Args:
        data: of a claim. What is plotted of a task is a list of rows with `words`, an estimate for every column or
            None, and if there are such: `heading`, `regimen`, `schedule`, `unable`, and in `none` why an estimate has
            no value.
        columns: what to show of every row.
    """
    lines = entries(data)
    rows = [line.row for line in lines if line.row is not None]
    marks = marks_by_name(rows)
    unable = any(row.get("unable", 0) > UNABLE_SHOWN for row in rows)
    size = max(SMALLEST, matplotlib.font_manager.FontProperties(size=LETTERS).get_size_in_points())
    height = (len(lines) + AROUND) * LINE * size / 72
    figure, axes = subplots(1, len(columns) + unable, figsize=(WIDTH, height), squeeze=False, sharey=True)
    named = name_lines(lines, axes[0][0], marks, size)
    width = (WIDTH - named - unable * (UNABLE_ROOM + GAP) - GAP) / len(columns) - GAP
    for ax, column in zip(axes[0], columns, strict=False):
        draw_column(lines, ax, column, marks)
    if unable:
        draw_unable(lines, axes[0][-1])
    widths = [*[width] * len(columns), *[UNABLE_ROOM] * unable]
    axes[0][0].get_gridspec().set_width_ratios(widths)
    head_columns(axes[0], [*columns, *[UNABLE] * unable], widths, size)
    for ax in axes[0]:
        for place, line in enumerate(lines):
            if line.depth == 0 and place:
                ax.axhline(place - 0.5, color=GREY, linewidth=0.4)
    axes[0][0].set_ylim(len(lines) - 0.4, -0.6)
    explain_marks(figure, lines, columns)
    return figure


def claim_figure(data: Json, quantities: Sequence[str]) -> Figure:
    """A row for every condition, under its task and the verdict in it, and a column per quantity.

    Args:
        data: of a claim; what is plotted of a task is what `lab.claims.book.condition_rows` returned.
        quantities: keys of `COLUMNS`.
    """
    return estimates_figure(data, [COLUMNS[quantity] for quantity in quantities])
