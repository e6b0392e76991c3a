"""The figure of a run along an axis of its sweep: rates over its values, a column for every point of other axes."""

import math
from collections.abc import Sequence

from lab.config.schema import WORLD
from lab.figures.palette import GREY, WHITE, Style, styles_of
from lab.figures.style import WIDTH, Axes, Figure, Line, Mark, coordinate, interval, label, matplotlib, subplots
from lab.statistics import Estimate
from lab.words import Json, World, estimate_from_json, number_from_json, setting

POINTS_FOR_AXIS = 3  # values that an axis of the sweep needs to be drawn as one
WIDE_AXIS = 20  # from such a ratio of its ends on, an axis is logarithmic
ROW, COLUMN_HEAD = 0.95, 0.75  # inches: the height of a row of panels; what is above and below all of them
ROWS = {  # quantities that have a row of panels, each with what its axis says
    "base_rate": "aligned,\nP(A)",
    "pass_given_misaligned": "misaligned pass,\nP(T|not A)",
    "pass_given_aligned": "aligned pass,\nP(T|A)",
    "aligned_given_pass": "accepted are\naligned, P(A|T)",
}
MOST_COLUMNS = 5  # points of the other axes that a page has room for
MOST_TICKS, LEAST_TICKS = 12, 5  # in a row of panels; in a panel
UNABLE = "unable"  # the row of models that cannot do the job
AMONG_ABLE = "{}_of_able"  # key of a rate among the models that do the job


def draw_response(conditions: Sequence[Json], ax: Axes, axis: str, quantities: Sequence[str]) -> None:
    """Draw rates along one axis of a sweep: a curve per regimen that has the axis, a band for one that has not.

    Curves go from the lowest place on the axis to the highest, whatever the order in the config, and have a gap where
    a rate is undefined.

    Args:
        conditions: as JSON values.
        ax: where to draw.
        axis: name of the axis.
        quantities: rates to draw; the first with filled markers, the others hollow and only where there are any.
    """
    styles = styles_of([condition["regimen"] for condition in conditions])
    for position, (regimen, style) in enumerate(styles.items()):
        # curves that coincide stay visible: the markers of the first are the largest
        size = max(2.5, 4.5 - 0.8 * position)
        for quantity in quantities:
            filled = quantity == quantities[0]
            members = [row for row in conditions if row["regimen"] == regimen and quantity in row]
            if members and axis in members[0]["coordinates"]:
                points = {row["coordinates"][axis]: estimate_from_json(row[quantity]) for row in members}
                _draw_curve(ax, points, style, size, filled)
            elif members:
                _draw_band(ax, estimate_from_json(members[0][quantity]), style, filled)
    ax.set_ylim(-0.05, 1.05)


def _draw_curve(ax: Axes, points: dict[float, Estimate], style: Style, size: float, filled: bool) -> None:
    """Draw estimates along an axis, with a gap where one is undefined."""
    along = sorted(points)
    known = {place: points[place] for place in along if not math.isnan(points[place].value)}
    if not known:
        return
    values = [points[place].value for place in along]
    ax.plot(along, values, color=style.colour, linestyle=style.line if filled else (0, (1, 1)), linewidth=1)
    for place, point in known.items():
        interval(ax, place, point, Mark(style.colour, style.marker, size, width=1), hollow=not filled, upright=True)


def _draw_band(ax: Axes, estimate: Estimate, style: Style, filled: bool) -> None:
    """Draw an estimate that is the same all along an axis, if it is known."""
    if not math.isnan(estimate.value):
        ax.axhspan(estimate.low, estimate.high, color=style.colour, alpha=0.25, linewidth=0)
        ax.axhline(estimate.value, color=style.colour, linewidth=0.8, linestyle=style.line if filled else ":")


def group_by_other_axes(conditions: Sequence[Json], axis: str) -> dict[World, list[Json]]:
    """Group the conditions that have an axis by their other coordinates; those that have not join where they fit."""
    columns: dict[World, list[Json]] = {}
    for condition in conditions:
        if axis in condition["coordinates"]:
            rest = tuple((name, value) for name, value in condition["coordinates"].items() if name != axis)
            columns.setdefault(rest, [])
    # a regimen that lacks an axis of another regimen has no column of its own
    columns = {rest: [] for rest in columns if not any(set(rest) < set(other) for other in columns)}
    for rest, members in columns.items():
        for condition in conditions:
            coordinates = condition["coordinates"]
            if all(coordinates.get(name, value) == value for name, value in rest):
                members.append(condition)
    return columns


def response_figure(data: Json, axis: str) -> Figure:
    """Show rates along one axis, a row for each of them; a column for every point of the other axes."""
    columns = _spread(group_by_other_axes(data["conditions"], axis))
    unable = any(AMONG_ABLE.format("base_rate") in condition for condition in data["conditions"])
    rows = {**ROWS, UNABLE: "cannot do\nthe job"} if unable else ROWS
    size = (WIDTH, COLUMN_HEAD + ROW * len(rows))
    figure, axes = subplots(len(rows), len(columns), figsize=size, squeeze=False, sharex=True, sharey="row")
    places = sorted({c["coordinates"][axis] for c in data["conditions"] if axis in c["coordinates"]})
    for panels, (world, conditions) in zip(axes.T, columns.items(), strict=True):
        for ax, quantity in zip(panels, rows, strict=True):
            draw_response(conditions, ax, axis, [quantity, AMONG_ABLE.format(quantity)])
        _scale(panels[-1], places, max(LEAST_TICKS, MOST_TICKS // len(columns)))
        panels[-1].tick_params(axis="x", labelrotation=90 if len(columns) > 1 else 0)
        panels[-1].set_xlabel(label(axis))
        where = "\n".join(coordinate(name, value) for name, value in world)
        panels[0].set_title(where, loc="left", fontsize="x-small")
    for ax, words in zip(axes[:, 0], rows.values(), strict=True):
        ax.set_ylabel(words, fontsize="x-small")
    _explain_curves(figure, data["conditions"], unable)
    return figure


def _spread(columns: dict[World, list[Json]]) -> dict[World, list[Json]]:
    """Return the columns that a page has room for: the first, the last and some between, evenly spread."""
    if len(columns) <= MOST_COLUMNS:
        return columns
    kept = [round(step * (len(columns) - 1) / (MOST_COLUMNS - 1)) for step in range(MOST_COLUMNS)]
    worlds = list(columns)
    return {worlds[index]: columns[worlds[index]] for index in kept}


def columns_left_out(data: Json, axis: str) -> int:
    """Return how many points of the other axes have no column of their own in the figure."""
    return max(0, len(group_by_other_axes(data["conditions"], axis)) - MOST_COLUMNS)


def _explain_curves(figure: Figure, conditions: Sequence[Json], unable: bool) -> None:
    """Write a legend of regimens and, where many models cannot do the job, of filled and hollow marks."""
    styles = styles_of([condition["regimen"] for condition in conditions])
    lines = [
        Line([], [], color=style.colour, marker=style.marker, linestyle=style.line, linewidth=1, markersize=4)
        for style in styles.values()
    ]
    texts = [label(regimen) for regimen in styles]
    if unable:
        lines += [Line([], [], color=GREY, marker="o", markersize=3, markerfacecolor=face) for face in (GREY, WHITE)]
        texts += ["of all models", "of those that can do the job"]
    figure.legend(lines, texts, ncols=4, loc="outside upper center", frameon=False, fontsize="x-small")


def response_title(data: Json, axis: str) -> str:
    """Return where P(A) goes from one end of an axis to the other, by regimen, and what it is without the axis."""
    found: dict[bool, list[str]] = {True: [], False: []}  # with the axis or without
    for regimen in dict.fromkeys(condition["regimen"] for condition in data["conditions"]):
        members = [condition for condition in data["conditions"] if condition["regimen"] == regimen]
        swept = sorted({row["coordinates"][axis] for row in members if axis in row["coordinates"]})
        ends = dict.fromkeys((swept[0], swept[-1])) if swept else (None,)
        shares = [_shares([row for row in members if row["coordinates"].get(axis) == end]) for end in ends]
        found[bool(swept)].append(f"{label(regimen)} {' → '.join(shares)}")
    places = sorted({row["coordinates"][axis] for row in data["conditions"] if axis in row["coordinates"]})
    ends = f"{setting(places[0])} to {setting(places[-1])}"
    others = f" ({', '.join(found[False])})" if found[False] else ""
    return f"P(A) as {label(axis)} goes from {ends}: {', '.join(found[True])}{others}"


def _shares(members: Sequence[Json]) -> str:
    """Return P(A) of some conditions in whole percents, from the least to the largest of those that are known."""
    values = [number_from_json(row["base_rate"]["value"]) for row in members]
    rates = sorted(round(100 * value) for value in values if not math.isnan(value))
    if not rates:  # gates have stopped models
        return "not known"
    return f"{rates[0]}%" if rates[0] == rates[-1] else f"{rates[0]} to {rates[-1]}%"


def _scale(ax: Axes, places: Sequence[float], most: int) -> None:
    """Scale the horizontal axis by the places on it, and mark at most about so many of them."""
    sizes = sorted({abs(place) for place in places if place})
    if sizes[-1] / sizes[0] >= WIDE_AXIS:
        if places[0] > 0:
            ax.set_xscale("log")
        else:
            ax.set_xscale("symlog", linthresh=sizes[0], linscale=0.5)
    ax.margins(x=0.03)
    ax.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(_few(places, most)))
    ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: setting(value)))


def _few(places: Sequence[float], most: int) -> list[float]:
    """Return at most about so many of the places, zero included."""
    stride = max(1, math.ceil(len(places) / most))
    middle = places.index(0) if 0 in places else 0
    return [place for index, place in enumerate(places) if (index - middle) % stride == 0]


def response_axis(data: Json) -> str | None:
    """Return the first axis of a run with enough values to be drawn along, or None; worlds lie along no axis."""
    if any(WORLD in condition["coordinates"] for condition in data["conditions"]):
        return None
    values: dict[str, set[float]] = {}
    for condition in data["conditions"]:
        for axis, value in condition["coordinates"].items():
            values.setdefault(axis, set()).add(value)
    return next((axis for axis, places in values.items() if len(places) >= POINTS_FOR_AXIS), None)
