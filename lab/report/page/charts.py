"""The charts of the page of a run, as Vega-Lite: they draw finished numbers and compute none.

Everything is drawn in the colour of the page's text where it stands for no regimen, so that it can be read in the dark.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt

from lab.figures.palette import BLACK, OUTCOMES, PART_COLOURS, PURPLE, styles_of
from lab.figures.palette import INK as NEARLY_BLACK
from lab.report.page.names import Names, place_words
from lab.results.summary import Summary, worlds
from lab.statistics import CELLS, Estimate
from lab.words import Json, part_words, with_interval

Row = Mapping[str, Any]  # of a data set: column -> number or word
Kind = Literal["number", "string"]
Datasets = dict[str, str]  # name -> CSV
Edges = tuple[float, float]  # of an axis
View = alt.Chart | alt.LayerChart | alt.FacetChart

SHAPES = {"s": "square", "o": "circle", "^": "triangle-up", "v": "triangle-down", "D": "diamond", "P": "cross"}
SHAPES |= {"p": "M0-1L.95-.31L.59 .81L-.59 .81L-.95-.31Z"}  # a pentagon
SHAPES |= {"*": "M0-1L.24-.32L.95-.31L.38 .12L.59 .81L0 .4L-.59 .81L-.38 .12L-.95-.31L-.24-.32Z"}
DASHES = {"-": [1, 0], "--": [7, 4], ":": [2, 3], "-.": [7, 3, 2, 3]}
FIT: Json = {"type": "fit-x", "contains": "padding", "resize": True}  # a chart as wide as its place
MANY = 3  # ticks
TEXT = 12  # pixels; nothing in a chart is smaller
LONG_NAME = 22  # letters, from which a legend has one column: two would not fit on a phone
ROOM = 520  # pixels that a chart must be wide to have numbers beside names
LOG_EDGES = 1e-3, 1e4  # no log axis goes beyond
INK = "currentColor"
IN_THE_DARK = {BLACK: INK, NEARLY_BLACK: INK, PURPLE: "var(--anti)"}  # what would not be seen there, and what is drawn


def config() -> Json:
    """Return what all charts share: no background, and text and axes in the page's own ink."""
    quiet = {"labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK}
    return {
        "background": "transparent",
        "font": "sans-serif",
        "view": {"stroke": None},
        "axis": {
            **quiet,
            "gridColor": INK,
            "gridOpacity": 0.15,
            "titleFontWeight": "normal",
            "labelLimit": 0,
            "labelFontSize": TEXT,
            "titleFontSize": TEXT,
        },
        "title": {
            **{"color": INK, "subtitleColor": INK, "fontSize": TEXT + 1, "subtitleFontSize": TEXT},
            **{"anchor": "start", "frame": "group", "limit": 0},
        },
        "legend": {
            **{"labelColor": INK, "titleColor": INK, "labelFontSize": TEXT, "titleFontSize": TEXT, "labelLimit": 0},
            **{"orient": "top", "columns": 2},
        },
        "text": {"color": INK, "fontSize": TEXT},
        "rule": {"color": INK},
    }


def styles(regimens: Sequence[str]) -> dict[str, Json]:
    """Return the colour, shape and dash of each regimen."""
    known = styles_of([name.replace(" ", "_") for name in regimens])
    by_name = {}
    for name in regimens:
        style = known[name.replace(" ", "_")]
        by_name[name] = {
            "colour": IN_THE_DARK.get(style.colour, style.colour),
            "shape": SHAPES.get(style.marker, "circle"),
            "dash": DASHES[style.line] if isinstance(style.line, str) else [4 * length for length in style.line[1]],
        }
    return by_name


def looks_of(regimens: Mapping[str, str]) -> dict[str, Any]:
    """Return the encodings of colour, shape and dash by a column `condition`, in one legend.

    Their order is that of the domain: `sort` would put names into an expression (vega/vega#3695).

    Args:
        regimens: what a condition is called -> its regimen.
    """
    by_regimen = styles(list(dict.fromkeys(regimens.values())))
    looks = [by_regimen[regimen] for regimen in regimens.values()]
    names = list(regimens)
    columns = 1 if max(map(len, names)) > LONG_NAME else 2  # their number may not depend on the width, or rows are cut
    channels = {"color": ("colour", alt.Color), "shape": ("shape", alt.Shape), "strokeDash": ("dash", alt.StrokeDash)}
    return {
        channel: kind(
            "condition:N",
            title=None,
            legend=alt.Legend(columns=columns),
            scale=alt.Scale(domain=names, range=[look[key] for look in looks]),
        )
        for channel, (key, kind) in channels.items()
    }


def _csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Return rows as CSV, a third of what JSON takes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            [f"{cell:.4g}" if isinstance(cell, float) else cell for cell in (row[name] for name in columns)]
        )
    return text.getvalue()


def inline(datasets: Datasets, name: str, rows: Iterable[Row], columns: Mapping[str, Kind]) -> alt.NamedData:
    """Add rows to the data sets of a chart and return what refers to them.

    Args:
        datasets: which this adds to.
        name: of the rows.
        rows: to add.
        columns: name -> kind.
    """
    datasets[name] = _csv(rows, list(columns))
    return alt.NamedData(name=name, format=alt.CsvDataFormat(type="csv", parse=columns))


def drawn_within(estimate: Estimate, edges: Edges) -> Json:
    """Return value, limits and open sides of an `Estimate` as they are drawn between two edges."""
    value, low, high = estimate
    low_edge, high_edge = edges
    heads = ["<"] if low < low_edge else []
    heads += [">"] if high > high_edge else []
    return {
        "value": value if math.isfinite(value) and low_edge <= value <= high_edge else "",
        "low": min(max(low, low_edge), high_edge),
        "high": max(min(high, high_edge), low_edge),
        "open": "".join(heads) or "no",
    }


def log_edges(estimates: Iterable[Estimate]) -> Edges:
    """Return the ends of a log axis that holds the finite values and limits, as far as `LOG_EDGES` allows."""
    seen = [x for estimate in estimates for x in estimate if math.isfinite(x) and x > 0]
    low, high = max(LOG_EDGES[0], min([0.5, *seen]) / 1.3), min(LOG_EDGES[1], max([2.0, *seen]) * 1.3)
    return low, high


# --- all conditions below each other ------------------------------------------------------------------------------


class Line(NamedTuple):
    """A line of a chart of all conditions: a condition, or the heading of a world.

    Attributes:
        text: its name.
        row: of the condition; None for a heading.
    """

    text: str
    row: Summary | None


def lines_of(rows: Sequence[Summary], names: Names, compared: bool = False) -> list[Line]:
    """Return the lines of a chart of all conditions, world by world.

    Args:
        rows: the conditions.
        names: of these.
        compared: whether only those that have a log impact are drawn.
    """
    lines = []
    for world, members in worlds([(row.regimen, row.coordinates) for row in rows]).items():
        if world:
            lines.append(Line(place_words(world), None))
        members = [rows[index] for index in members if rows[index].impact or not compared]
        lines += [Line(names.short[row.name], row) for row in members]
    return lines


def line_axis(lines: Sequence[Line]) -> alt.Y:
    """Return the axis of lines: by number, so that no name comes into an expression (vega/vega#3695)."""
    return alt.Y("line:O", scale=alt.Scale(domain=list(range(len(lines)))), axis=None)


def line_names(datasets: Datasets, lines: Sequence[Line], beside: Sequence[str], above: int) -> list[alt.Chart]:
    """Return the layers that write a name above each line, never cut off, and where there is room what is beside it."""
    named = [
        {"line": index, "text": line.text, "beside": text, "heading": "no" if line.row else "yes"}
        for index, (line, text) in enumerate(zip(lines, beside, strict=True))
    ]
    kinds: dict[str, Kind] = {"line": "number", "text": "string", "beside": "string", "heading": "string"}
    base = alt.Chart(inline(datasets, "names", named, kinds)).encode(line_axis(lines), alt.XValue(0))
    left = {"align": "left", "baseline": "middle", "fontSize": TEXT, "limit": 0}
    name = base.transform_filter("datum.heading == 'no'").mark_text(dy=above, **left).encode(text="text:N")
    heading = base.transform_filter("datum.heading == 'yes'")
    heading = heading.mark_text(dy=-above / 2, fontWeight="bold", **left).encode(text="text:N")
    right = {**left, "align": "right"}
    number = (
        base.transform_filter("datum.heading == 'no'")
        .mark_text(dy=above, **right)
        .encode(alt.XValue(alt.expr("width")), text="beside:N", opacity=alt.value(alt.expr(f"width > {ROOM} ? 1 : 0")))
    )
    return [name, heading, number]


def _outcome_bars(line: int, name: str, row: Summary) -> list[Json]:
    """Return a bar for every outcome that a condition has: how many models, and where it begins and ends."""
    counts = {cell: getattr(row.counts, cell) for cell in CELLS}
    counts["unable"] = row.counts.unable
    counts["unjudged"] = row.counts.unjudged
    counts["misaligned_fail"] -= counts["unable"] + counts["unjudged"]
    bars, start = [], 0
    for kind, outcome in OUTCOMES.items():
        models = counts[kind]
        if models:
            bars.append(
                {
                    "line": line,
                    "condition": name,
                    "outcome": outcome.words,
                    "models": models,
                    "of": row.counts.seeds,
                    "start": start / row.counts.seeds,
                    "end": (start + models) / row.counts.seeds,
                }
            )
        start += models
    return bars


def outcomes_chart(rows: Sequence[Summary], names: Names) -> Json:
    """Stack the outcomes of each condition as shares of its models, those that cannot do the job apart.

    Args:
        rows: the conditions.
        names: of these.
    """
    lines = lines_of(rows, names)
    bars = [bar for index, line in enumerate(lines) if line.row for bar in _outcome_bars(index, line.text, line.row)]
    beside = [f"P(A) {with_interval(line.row.estimates['base_rate'])}" if line.row else "" for line in lines]
    seen = {bar["outcome"] for bar in bars}
    known = {outcome.words: outcome.colour for outcome in OUTCOMES.values() if outcome.words in seen}
    numeric: dict[str, Kind] = dict.fromkeys(("line", "models", "of", "start", "end"), "number")
    datasets: Datasets = {}
    drawn = (
        alt.Chart(inline(datasets, "outcomes", bars, {"condition": "string", "outcome": "string", **numeric}))
        .mark_bar(stroke="#777777", strokeWidth=0.5, size=14, yOffset=8)
        .encode(
            line_axis(lines),
            alt.X("start:Q", title="share of all models", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5)),
            alt.X2("end:Q"),
            alt.Color(
                "outcome:N",
                title=None,
                scale=alt.Scale(domain=list(known), range=list(known.values())),
                sort=list(known),
            ),
            tooltip=["condition:N", "outcome:N", "models:Q", "of:Q"],
        )
    )
    return (
        alt.layer(drawn, *line_names(datasets, lines, beside, above=-9))
        .properties(width="container", autosize=FIT, height=38 * len(lines), datasets=datasets)
        .configure(**config())
        .to_dict(validate=False)
    )


def _impact_bars(line: int, name: str, row: Summary, edge: float) -> list[Json]:
    """Return how the parts of a log impact are drawn on an axis that ends at `edge` on both sides, and their words."""
    bars = []
    for place, part in enumerate(PART_COLOURS):
        estimate: Estimate = getattr(row.impact, part)
        drawn, value = drawn_within(estimate, (-edge, edge)), estimate.value
        unbounded = 0 if math.isnan(value) else math.copysign(edge, value)  # is drawn to the edge
        bars.append(
            {
                **drawn,
                "line": line,
                "condition": name,
                "place": place,
                "part": part_words(part),
                "bar": drawn["value"] if math.isfinite(value) else unbounded,
                "zero": 0,
                "log impact (nats)": with_interval(estimate),
                "filled": "yes" if estimate.low > 0 or estimate.high < 0 else "no",
            }
        )
    return bars


def impact_chart(rows: Sequence[Summary], names: Names) -> Json | None:
    """Draw the two parts and the net of each log impact with their intervals, hollow where they cover 0.

    Args:
        rows: the conditions.
        names: of these.

    Returns:
        The specification; None where no condition has a baseline.
    """
    compared = [row for row in rows if row.impact is not None]
    if not compared:
        return None
    ends = [end for row in compared for part in PART_COLOURS for end in getattr(row.impact, part)]
    edge = 1.1 * max([1.0, *(abs(end) for end in ends if math.isfinite(end))])
    lines = lines_of(rows, names, compared=True)
    bars = [
        bar for index, line in enumerate(lines) if line.row for bar in _impact_bars(index, line.text, line.row, edge)
    ]
    beside = [f"net {with_interval(line.row.impact.net)}" if line.row and line.row.impact else "" for line in lines]
    strings: dict[str, Kind] = dict.fromkeys(("condition", "part", "open", "log impact (nats)", "filled"), "string")
    numbers: dict[str, Kind] = dict.fromkeys(("line", "place", "value", "low", "high", "bar", "zero"), "number")
    parts = list(map(part_words, PART_COLOURS))
    colours = alt.Scale(domain=parts, range=list(PART_COLOURS.values()))
    datasets: Datasets = {}
    data = inline(datasets, "impacts", bars, {**strings, **numbers})
    base = alt.Chart(data).encode(line_axis(lines), tooltip=["condition:N", "part:N", "log impact (nats):N"])
    place = {
        "scale": alt.Scale(domain=[-edge, edge], nice=False),
        "title": "log impact over the baseline (nats)",
        "axis": alt.Axis(tickCount=7),
    }
    layers: list[alt.Chart] = [
        alt.Chart(alt.InlineData([{"zero": 0}])).mark_rule(opacity=0.5).encode(alt.X("zero:Q", **place))
    ]
    for number in range(len(parts)):  # an offset of a mark is no encoding, so each part has layers of its own
        own = base.transform_filter(f"datum.place == {number}")
        offset = 14 * (number - 1) + 8
        bar = own.mark_bar(opacity=0.8, strokeDash=[3, 2], size=12, yOffset=offset).encode(
            alt.X("zero:Q", **place),
            alt.X2("bar:Q"),
            alt.Color("part:N", title=None, scale=colours),
            alt.Stroke("part:N", title=None, scale=colours),
            fillOpacity=alt.condition("datum.filled == 'yes'", alt.value(1), alt.value(0)),
        )
        layers += [bar, *interval_layers(own, "", place, INK, offset=offset)]
    return (
        alt.layer(*layers, *line_names(datasets, lines, beside, above=-24))
        .properties(width="container", autosize=FIT, height=68 * len(lines), datasets=datasets)
        .configure(**config())
        .to_dict(validate=False)
    )


def interval_layers(
    base: alt.Chart,
    prefix: str,
    place: Json,
    colour: str,
    shape: str | None = None,
    decides: bool = True,
    offset: float = 0,
) -> list[alt.Chart]:
    """Return the layers of a value with its interval: a line, heads where it is open, and a point, hollow or full.

    Args:
        base: chart of rows whose columns are those of `drawn_within`.
        prefix: of the names of these columns.
        place: scale and axis of the values.
        colour: column that holds colours, or the page's ink.
        shape: column that holds shapes, if there is one.
        decides: whether there is something to decide; a column `filled` then says yes or no.
        offset: by which they lie lower than their row, in pixels.
    """
    line = base.mark_rule(strokeWidth=2, yOffset=offset).encode(
        alt.X(f"{prefix}low:Q", **place), alt.X2(f"{prefix}high:Q"), _channel(alt.Color, colour)
    )
    heads = [
        base.transform_filter(f"indexof(datum['{prefix}open'], '{side}') >= 0")
        .mark_point(shape=head, size=45, filled=True, opacity=1, yOffset=offset)
        .encode(alt.X(f"{prefix}{end}:Q", **place), _channel(alt.Color, colour))
        for side, head, end in (("<", "triangle-left", "low"), (">", "triangle-right", "high"))
    ]
    shapes: Json = {"shape": alt.Shape(f"{shape}:N", scale=None)} if shape else {}
    full, points = base, []
    if decides:
        full, hollow = (base.transform_filter(f"datum['{prefix}filled'] == '{filled}'") for filled in ("yes", "no"))
        hollow = hollow.mark_point(size=55, fill="var(--page)", opacity=1, yOffset=offset)
        points.append(hollow.encode(_channel(alt.Stroke, colour), **shapes))
    points.append(
        full.mark_point(size=55, filled=True, opacity=1, yOffset=offset).encode(_channel(alt.Color, colour), **shapes)
    )
    return [line, *heads, *(point.encode(alt.X(f"{prefix}value:Q", **place)) for point in points)]


def _channel(kind: type[alt.Color] | type[alt.Stroke], colour: str) -> Any:
    """Return the encoding of a colour: of a column that holds colours, or the page's ink."""
    if colour == INK:
        return alt.ColorValue(INK) if kind is alt.Color else alt.StrokeValue(INK)
    return kind(f"{colour}:N", scale=None)


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten between two edges, or where these are few also twice and five times as much."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**power for power in decades if low <= 10.0**power <= high]
    if len(tens) >= MANY:
        return tens
    return [digit * 10.0**power for power in decades for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
