"""The figure of a run: conditions side by side, or outcomes along an axis of the sweep."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lab.config.schema import WORLD
from lab.figures.style import (
    BLACK,
    GREY,
    PAPER,
    WHITE,
    WIDTH,
    Axes,
    Edition,
    Figure,
    Line,
    Mark,
    Patch,
    Style,
    coordinate,
    group_by_world,
    holds,
    interval,
    kind_of,
    label,
    matplotlib,
    name_rows,
    save,
    style_of,
    subplots,
    write_world,
)
from lab.statistics import QUANTITIES, Estimate
from lab.words import (
    MANY_WORLDS,
    Json,
    World,
    estimate_from_json,
    name_in_world,
    number_from_json,
    part_words,
    percent,
    plural,
    setting,
)


class Place(NamedTuple):
    """Where worlds lie in their figure: P(A|T) of the baseline and of a regimen, and whether the net is undecided."""

    x: float
    y: float
    hollow: bool


class Outcome(NamedTuple):
    """How models of one outcome are drawn.

    Attributes:
        words: what they are.
        colour: of their share.
        hatch: over it.
    """

    words: str
    colour: str
    hatch: str | None


# any two outcomes may touch, where no model is in between: all differ in grey, hatched alike or not
OUTCOMES = {
    "aligned_pass": Outcome("aligned, passes", "#1c4e80", None),
    "aligned_fail": Outcome("aligned, fails", "#5a8cc0", "////"),
    "misaligned_fail": Outcome("misaligned, fails", "#f5bd97", "\\\\\\\\"),
    "misaligned_pass": Outcome("misaligned, passes", "#e8843f", None),
    "unjudged": Outcome("stopped by a gate", "#696969", "xxxx"),
    "unable": Outcome("cannot do the job", "#e4e4e4", None),
}
PART_COLOURS = {"base_rate": "#5b8db5", "likelihood_ratio": "#e3c07a", "net": "#666666"}
BARS = ("base_rate", "likelihood_ratio")  # parts that are stacked; the net is a point over them
UNBOUNDED = "...."  # hatch of a bar that nothing bounds
POINTS_FOR_AXIS = 3  # values that an axis of the sweep needs to be drawn as one
WIDE_AXIS = 20  # from such a ratio of its ends on, an axis is logarithmic
WORLD_PANELS = 4  # regimens in a row of the figure of worlds
GRID = 0.02  # of P(A|T), at which worlds share a dot: about the size of the smallest dot
DOT, FAINT = 2.4, 0.45  # width in points of the dot of one world, and how opaque it is
RATES = ("pass_given_misaligned", "pass_given_aligned")  # filled and hollow, along an axis


def _name_conditions(conditions: Sequence[Json], ax: Axes) -> None:
    """Name each row by its regimen, and by its place on the axes along which conditions of that regimen differ."""
    regimens = [condition["regimen"] for condition in conditions]
    names = []
    for condition in conditions:
        coordinates = condition["coordinates"] if regimens.count(condition["regimen"]) > 1 else {}
        varied = [
            coordinate(axis, value)
            for axis, value in coordinates.items()
            if len({other["coordinates"].get(axis) for other in conditions}) > 1
        ]
        names.append(", ".join([label(condition["regimen"]), *varied]))
    name_rows(ax, names)
    ax.tick_params(axis="y", length=0)


def _styles(conditions: Sequence[Json], size: float) -> list[Mark]:
    """Return the mark of each condition's estimates."""
    styles = [style_of(condition["regimen"], row) for row, condition in enumerate(conditions)]
    return [Mark(style.colour, style.marker, size, width=1.4) for style in styles]


# --- conditions side by side --------------------------------------------------------------------------------------


def draw_outcomes(conditions: Sequence[Json], ax: Axes) -> None:
    """Stack the outcomes of each condition as shares of its models, those that cannot do the job apart."""
    for row, condition in enumerate(conditions):
        counts, left = dict(condition["counts"]), 0.0
        counts["unable"] = counts["incompetent"] + counts["diverged"]
        counts["misaligned_fail"] -= counts["unable"] + counts.get("unjudged", 0)
        outcomes = {name: outcome for name, outcome in OUTCOMES.items() if name in counts}
        total = max(1, sum(counts[name] for name in outcomes))
        for name, (_, colour, hatch) in outcomes.items():
            share = counts[name] / total
            ax.barh(row, share, left=left, height=0.68, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4)
            left += share
    _name_conditions(conditions, ax)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of models")


def draw_rate(conditions: Sequence[Json], ax: Axes, quantity: str) -> None:
    """Draw a probability of each condition with its interval."""
    for row, (condition, mark) in enumerate(zip(conditions, _styles(conditions, size=3), strict=True)):
        interval(ax, row, estimate_from_json(condition[quantity]), mark)
    _name_conditions(conditions, ax)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(QUANTITIES[quantity].symbol)


def draw_likelihood_ratio(conditions: Sequence[Json], ax: Axes) -> None:
    """Draw the likelihood ratio of each condition on a log axis; an arrow where nothing bounds it."""
    ratios = [estimate_from_json(condition["likelihood_ratio"]) for condition in conditions]
    finite = [end for ratio in ratios for end in ratio if math.isfinite(end) and end > 0]
    edges = min([0.5, *finite]) / 1.5, max([2.0, *finite]) * 2.5
    for row, (ratio, mark) in enumerate(zip(ratios, _styles(conditions, size=4), strict=True)):
        interval(ax, row, ratio, mark, edges)
        if math.isnan(ratio.value):
            ax.text(1.15, row, "undefined", va="center", fontsize="x-small", color=mark.colour)
    _name_conditions(conditions, ax)
    ax.set_xscale("log")
    ax.set_xlim(*edges)
    ax.xaxis.set_major_locator(matplotlib.ticker.LogLocator(10))
    ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: setting(value)))
    ax.axvline(1, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlabel(QUANTITIES["likelihood_ratio"].words)


def draw_log_impact(conditions: Sequence[Json], ax: Axes) -> None:
    """Stack the two parts of each log impact and mark the net with its interval; hollow where it is undecided."""
    impacts = [condition["log_impact"] for condition in conditions]
    parts = [estimate_from_json(impact[part]) for impact in impacts if impact for part in PART_COLOURS]
    ends = [end for part in parts for end in part]
    edge = 1.25 * max([1.0, *(abs(end) for end in ends if math.isfinite(end))])
    for row, impact in enumerate(impacts):
        if impact is None:
            ax.text(0, row, " baseline", va="center", fontsize="x-small", color=GREY)
            continue
        _stack_parts(impact, ax, row, edge)
        net = estimate_from_json(impact["net"])
        interval(ax, row, net, Mark(BLACK, size=4, width=1.4), (-edge, edge), hollow=holds(net, 0))
    _name_conditions(conditions, ax)
    ax.set_xlim(-edge, edge)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_xlabel("log impact (nats)")


def _stack_parts(impact: Json, ax: Axes, row: int, edge: float) -> None:
    """Draw the parts of a log impact as bars, those to the same side end to end; an unbounded one goes to the edge."""
    ends = {-1: 0.0, 1: 0.0}
    for part in BARS:
        value = number_from_json(impact[part]["value"])
        if math.isnan(value) or value == 0:
            continue
        side = 1 if value > 0 else -1
        length = value if math.isfinite(value) else side * edge - ends[side]
        hatch = None if math.isfinite(value) else UNBOUNDED
        colour = PART_COLOURS[part]
        ax.barh(row, length, left=ends[side], height=0.68, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        ends[side] += length


def regimens_figure(data: Json) -> Figure:
    """Compare regimens side by side: outcomes, base rate, likelihood ratio and log impact; a row per world."""
    worlds = group_by_world(data["conditions"])
    most = max(map(len, worlds.values()))
    figure, axes = subplots(
        len(worlds),
        4,
        figsize=(WIDTH * 1.25, 0.62 + len(worlds) * (0.42 + 0.2 * most)),
        squeeze=False,
        sharey="row",
        gridspec_kw={"width_ratios": [1.25, 0.8, 1, 1.35]},
    )
    for row, (world, conditions) in zip(axes, worlds.items(), strict=True):
        draw_outcomes(conditions, row[0])
        draw_rate(conditions, row[1], "base_rate")
        draw_likelihood_ratio(conditions, row[2])
        draw_log_impact(conditions, row[3])
        write_world(row[0], world)
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    _explain_colours(figure, any("unjudged" in condition["counts"] for condition in data["conditions"]))
    return figure


def _explain_colours(figure: Figure, stopped: bool) -> None:
    """Write legends of outcomes, those stopped by a gate where there are any, and of parts of a log impact."""
    outcomes = [outcome for name, outcome in OUTCOMES.items() if name != "unjudged" or stopped]
    shares = [Patch((0, 0), 1, 1, facecolor=colour, hatch=hatch, edgecolor="white") for _, colour, hatch in outcomes]
    texts = [outcome.words for outcome in outcomes]
    figure.legend(shares, texts, ncols=3, loc="outside upper left", frameon=False)
    bars = [Patch((0, 0), 1, 1, facecolor=PART_COLOURS[part]) for part in BARS]
    net = Line([], [], color=BLACK, marker="o", markersize=4)
    texts = [part_words(part) for part in PART_COLOURS]
    figure.legend([*bars, net], texts, ncols=3, loc="outside upper right", frameon=False)


# --- along an axis of the sweep -----------------------------------------------------------------------------------


class Label(NamedTuple):
    """The name of a curve at its right end.

    Attributes:
        height: where the curve ends.
        text: the name.
        colour: of the curve.
    """

    height: float
    text: str
    colour: str


def draw_response(conditions: Sequence[Json], ax: Axes, axis: str, quantities: Sequence[str]) -> list[Label]:
    """Draw rates along one axis of a sweep: a curve per regimen that has the axis, a band for one that has not.

    Curves go from the lowest place on the axis to the highest, whatever the order in the config, and have a gap where
    a rate is undefined.

    Args:
        conditions: as JSON values.
        ax: where to draw.
        axis: name of the axis.
        quantities: rates to draw; the first with filled markers, the others hollow.

    Returns:
        What to write at the ends of the first rate's curves.
    """
    regimens = list(dict.fromkeys(condition["regimen"] for condition in conditions))
    others = [regimen for regimen in regimens if kind_of(regimen) is None]
    labels = []
    for position, regimen in enumerate(regimens):
        style = style_of(regimen, others.index(regimen) if regimen in others else 0)
        # curves that coincide stay visible: the markers of the first are the largest
        size = max(2.5, 4.5 - 0.8 * position)
        members = [condition for condition in conditions if condition["regimen"] == regimen]
        for quantity in quantities:
            filled = quantity == quantities[0]
            if axis in members[0]["coordinates"]:
                points = {row["coordinates"][axis]: estimate_from_json(row[quantity]) for row in members}
                end = _draw_curve(ax, points, style, size, filled)
            else:
                end = _draw_band(ax, estimate_from_json(members[0][quantity]), style.colour, filled)
            if filled and end is not None:
                labels.append(Label(end, label(regimen), style.colour))
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel(", ".join(QUANTITIES[quantity].symbol for quantity in quantities))
    return labels


def _draw_curve(ax: Axes, points: dict[float, Estimate], style: Style, size: float, filled: bool) -> float | None:
    """Draw estimates along an axis, with a gap where one is undefined, and return the last that is known, if any is."""
    along = sorted(points)
    known = {place: points[place] for place in along if not math.isnan(points[place].value)}
    if not known:
        return None
    values = [points[place].value for place in along]
    ax.plot(along, values, color=style.colour, linestyle=style.line if filled else (0, (1, 1)), linewidth=1)
    for place, point in known.items():
        interval(ax, place, point, Mark(style.colour, style.marker, size, width=1), hollow=not filled, upright=True)
    return list(known.values())[-1].value


def _draw_band(ax: Axes, estimate: Estimate, colour: str, filled: bool) -> float:
    """Draw an estimate that is the same all along an axis, and return where it ends."""
    ax.axhspan(estimate.low, estimate.high, color=colour, alpha=0.25, linewidth=0)
    ax.axhline(estimate.value, color=colour, linewidth=0.8, linestyle="-" if filled else ":")
    return estimate.value


def _write_labels(ax: Axes, labels: Sequence[Label]) -> None:
    """Write each curve's name at its right end, moved apart where they would touch."""
    place = -1.0
    for height, text, colour in sorted(labels):
        place = max(place + 0.09, height)
        ax.annotate(
            text, (1.01, place), xycoords=("axes fraction", "data"), va="center", color=colour, fontsize="small"
        )


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
    """Show base rate and pass rates along one axis; a column for every point of the other axes."""
    columns = group_by_other_axes(data["conditions"], axis)
    share = min(1.5, 0.7 + 0.22 * len(columns))
    figure, axes = subplots(2, len(columns), figsize=(share * WIDTH, 3.4), squeeze=False, sharex=True, sharey="row")
    places = sorted({c["coordinates"][axis] for c in data["conditions"] if axis in c["coordinates"]})
    labels: list[Label] = []
    for column, (world, conditions) in enumerate(columns.items()):
        top, bottom = axes[:, column]
        labels = draw_response(conditions, top, axis, ["base_rate"])
        draw_response(conditions, bottom, axis, RATES)
        _scale(top, places)
        bottom.tick_params(axis="x", labelrotation=90)
        bottom.set_xlabel(label(axis))
        if column:
            top.set_ylabel("")
            bottom.set_ylabel("")
        write_world(top, world)
    _write_labels(axes[0, -1], labels)
    lines = [Line([], [], color=GREY, marker="o", markersize=3, markerfacecolor=face) for face in (GREY, WHITE)]
    texts = [f"{who}: {QUANTITIES[rate].symbol}" for who, rate in zip(("misaligned", "aligned"), RATES, strict=True)]
    figure.legend(lines, texts, ncols=2, loc="outside lower center", frameon=False, fontsize="small")
    return figure


def _scale(ax: Axes, places: Sequence[float]) -> None:
    """Scale the horizontal axis by the places on it, and mark some of them."""
    sizes = sorted({abs(place) for place in places if place})
    if sizes[-1] / sizes[0] >= WIDE_AXIS:
        if places[0] > 0:
            ax.set_xscale("log")
        else:
            ax.set_xscale("symlog", linthresh=sizes[0], linscale=0.5)
    ax.margins(x=0.03)
    ax.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(_few(places)))
    ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: setting(value)))


def _few(places: Sequence[float]) -> list[float]:
    """Return at most about a dozen of the places, both ends and zero included."""
    stride = max(1, round(len(places) / 11))
    middle = places.index(0) if 0 in places else 0
    return [place for index, place in enumerate(places) if (index - middle) % stride == 0]


def response_axis(data: Json) -> str | None:
    """Return the first axis of a run with enough values to be drawn along, or None; worlds lie along no axis."""
    if number_of_worlds(data):
        return None
    values: dict[str, set[float]] = {}
    for condition in data["conditions"]:
        for axis, value in condition["coordinates"].items():
            values.setdefault(axis, set()).add(value)
    return next((axis for axis, places in values.items() if len(places) >= POINTS_FOR_AXIS), None)


# --- many worlds --------------------------------------------------------------------------------------------------


def number_of_worlds(data: Json) -> int:
    """Return how many worlds drawn at random a run has."""
    return len({condition["coordinates"].get(WORLD) for condition in data["conditions"]} - {None})


def worlds_figure(data: Json) -> Figure:
    """Show P(A|T) in every world under each regimen over that of its baseline, a panel per point of the sweep."""
    by_name = {condition["name"]: condition for condition in data["conditions"]}
    panels: dict[str, list[Json]] = {}
    for condition in data["conditions"]:
        if condition["log_impact"]:
            world = ((WORLD, condition["coordinates"][WORLD]),)
            panels.setdefault(name_in_world(world, condition["name"]), []).append(condition)
    columns = max(1, min(WORLD_PANELS, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    size = (WIDTH, 0.8 + rows * (0.15 + WIDTH / columns))
    figure, axes = subplots(rows, columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    regimens = list(dict.fromkeys(conditions[0]["regimen"] for conditions in panels.values()))
    baselines, most = {}, 1
    for ax, (name, conditions) in zip(axes.flat, panels.items(), strict=False):
        held_out = [by_name[condition["log_impact"]["baseline"]] for condition in conditions]
        baselines |= {condition["regimen"]: None for condition in held_out}
        colour = style_of(conditions[0]["regimen"], regimens.index(conditions[0]["regimen"])).colour
        most = max(most, _draw_worlds(ax, conditions, held_out, colour))
        point = [label(part).replace("=", " = ") for part in name.split()]
        ax.set_title("\n".join([", ".join(point), ax.get_title(loc="left")]), loc="left", fontsize="x-small")
    symbol = QUANTITIES["aligned_given_pass"].symbol
    figure.supxlabel(f"{symbol}, {', '.join(map(label, baselines))}", fontsize="small")
    figure.supylabel(f"{symbol}, other regimens", fontsize="small")
    counts = sorted({1, math.ceil(math.sqrt(most)), most})
    dots = [Line([], [], color=GREY, marker="o", linestyle="", markersize=_size(count)) for count in counts]
    texts = [f"{count:,} {plural('world', count)}" for count in counts]
    figure.legend(dots, texts, ncols=len(dots), loc="outside upper right", frameon=False, fontsize="x-small")
    return figure


def _size(count: int) -> float:
    """Return the width of a dot, whose area grows with the number of worlds that it stands for."""
    return DOT * math.sqrt(count)


def worlds_at(conditions: Sequence[Json], held_out: Sequence[Json]) -> dict[Place, int]:
    """Return how many worlds lie at each place, of those in which models pass under both regimens.

    Args:
        conditions: of one regimen.
        held_out: the baseline of each.
    """
    places: Counter[Place] = Counter()
    for condition, baseline in zip(conditions, held_out, strict=True):
        net = estimate_from_json(condition["log_impact"]["net"])
        x, y = (number_from_json(row["aligned_given_pass"]["value"]) for row in (baseline, condition))
        if not math.isnan(x + y):
            places[Place(round(x / GRID) * GRID, round(y / GRID) * GRID, holds(net, 0))] += 1
    return dict(places)


def _draw_worlds(ax: Axes, conditions: Sequence[Json], held_out: Sequence[Json], colour: str) -> int:
    """Draw one regimen: a dot for the worlds at each place; return how many the largest stands for."""
    nets = [estimate_from_json(condition["log_impact"]["net"]) for condition in conditions]
    better, worse = sum(net.low > 0 for net in nets), sum(net.high < 0 for net in nets)
    places = worlds_at(conditions, held_out)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
    for place, count in sorted(places.items(), key=lambda item: -item[1]):  # the largest dots lie below
        face = "none" if place.hollow else matplotlib.colors.to_rgba(colour, FAINT)
        ax.plot(
            *(place.x, place.y), "o", color=colour, markerfacecolor=face, markersize=_size(count), markeredgewidth=0.6,
            clip_on=False,
        )  # fmt: skip
    absent = len(conditions) - sum(places.values())
    ax.set_title(f"{better} better, {worse} worse" + (f", {absent} without dot" if absent else ""), loc="left")
    ax.set_xlim(-0.06, 1.06)
    ax.set_ylim(-0.06, 1.06)
    ax.set_aspect("equal")
    return max(places.values(), default=1)


# --- the figure ---------------------------------------------------------------------------------------------------


def caption(data: Json) -> str:
    """Return a caption that names every number's origin."""
    marks, proxy = data["thresholds"], data["proxy"]
    worlds, each = number_of_worlds(data), ""
    if worlds >= MANY_WORLDS:
        each = (
            f"{worlds:,} worlds drawn at random. Worlds within {setting(GRID)} of each other share a dot, whose area "
            "says how many they are; it is hollow where the interval of the net covers 0. A world in which no model "
            "passes under one of the two regimens has no dot. "
        )
    if about := data.get("observed"):
        counted = f"{data['seeds']:,} rows per condition at most. A: {about['aligned']}; T: {about['passing']}."
        origin = f"{' '.join(about['remarks'])} {percent(data['confidence'])} intervals: {about['intervals']}."
    else:
        counted = (
            f"{data['seeds']:,} models per condition, trained from the same seeds. "
            f"A: alignment >= {setting(marks['alignment'])} and competence >= {setting(marks['competence'])}; "
            f"T: {proxy} >= {setting(marks[proxy])} and competent."
        )
        origin = (
            f"{percent(data['confidence'])} intervals: Wilson for rates, Miettinen-Nurminen for the likelihood ratio; "
            "for log impacts from draws of the joint outcomes of shared seeds, with one more seed where it matters "
            "most."
        )
    text = (
        f"{data['question'] or data['name']} {each}{counted} {origin} "
        "Arrows: nothing bounds this side. Hollow net: the interval covers 0. Dotted bar: unbounded."
    )
    return f"{text} {data['stopping']}" if "stopping" in data else text


def build(data: Json, folder: Path | str, edition: Edition = PAPER) -> Path:
    """Draw the figure that fits a run and save it as PDF, PNG and JSON; see `save`.

    Args:
        data: what `lab.report.as_json` returned.
        folder: where to write.
        edition: for which venue, and in which form.
    """

    def draw(data: Json) -> Figure:
        if number_of_worlds(data) >= MANY_WORLDS:
            return worlds_figure(data)
        axis = response_axis(data)
        return response_figure(data, axis) if axis else regimens_figure(data)

    return save(draw, {**data, "caption": caption(data)}, folder, data["name"], edition)
