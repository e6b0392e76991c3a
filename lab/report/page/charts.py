"""The charts of the page of a run, as Vega-Lite: they draw finished numbers and compute none.

Everything is drawn in the colour of the page's text where it stands for no regimen, so that it can be read in the dark.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import altair as alt

from lab.figures.run import OUTCOMES, PART_COLOURS
from lab.figures.style import BLACK, GREY, PURPLE, styles_of
from lab.figures.style import INK as HELD_OUT
from lab.results.summary import Summary
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
MANY = 3  # ticks
LOG_EDGES = 1e-3, 1e4  # no log axis goes beyond
INK = "currentColor"
# what would not be seen there, and what is drawn instead
IN_THE_DARK = {BLACK: INK, GREY: "#888888", HELD_OUT: INK, PURPLE: "#b04fa0"}


class Impact(NamedTuple):
    """A part of the log impact of a condition.

    Attributes:
        condition: its name.
        baseline: the name of the condition that it is over.
        part: one of `lab.statistics.PARTS`, by name.
        estimate: of the part.
    """

    condition: str
    baseline: str
    part: str
    estimate: Estimate

    @property
    def decided(self) -> bool:
        """Whether its interval lies to one side of 0."""
        return self.estimate.low > 0 or self.estimate.high < 0


def config() -> Json:
    """Return what all charts share: no background, and text and axes in the page's own ink."""
    quiet = {"labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK}
    return {
        "background": "transparent",
        "font": "sans-serif",
        "view": {"stroke": None},
        "axis": {**quiet, "gridColor": INK, "gridOpacity": 0.15, "titleFontWeight": "normal", "labelLimit": 150},
        "title": {"color": INK, "subtitleColor": INK, "fontSize": 12, "anchor": "start", "frame": "group"},
        "legend": {"labelColor": INK, "titleColor": INK, "orient": "top", "labelLimit": 300, "columns": 2},
        "text": {"color": INK},
        "rule": {"color": INK},
    }


def styles(regimens: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the colour and shape of each regimen."""
    by_name = {}
    for name, (colour, marker, _) in styles_of(regimens).items():
        by_name[name] = {"colour": IN_THE_DARK.get(colour, colour), "shape": SHAPES.get(marker, "circle")}
    return by_name


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


# --- all conditions beside each other -----------------------------------------------------------------------------


def _conditions(names: list[str]) -> alt.Y:
    """Return the axis of conditions, in their order.

    The order is that of the scale's domain: `sort` would put each name into an expression, and Vega takes `constructor`
    or `toString` in one for what every object of JavaScript has (vega/vega#3695).
    """
    return alt.Y("condition:N", scale=alt.Scale(domain=names), title=None)


def _outcome_bars(row: Summary) -> list[Json]:
    """Return a bar for every outcome that a condition has: how many models, and where it begins and ends."""
    counts = {cell: getattr(row.counts, cell) for cell in CELLS}
    counts["unable"] = row.counts.incompetent + row.counts.diverged
    counts["unjudged"] = row.counts.unjudged
    counts["misaligned_fail"] -= counts["unable"] + counts["unjudged"]
    bars, start = [], 0
    for kind, outcome in OUTCOMES.items():
        models = counts[kind]
        if models:
            bars.append(
                {
                    "condition": row.name,
                    "outcome": outcome.words,
                    "models": models,
                    "of": row.counts.seeds,
                    "start": start / row.counts.seeds,
                    "end": (start + models) / row.counts.seeds,
                    "base_rate": with_interval(row.estimates["base_rate"]),
                }
            )
        start += models
    return bars


def outcomes_chart(rows: Sequence[Summary]) -> Json:
    """Stack the outcomes of each condition as shares of its models, those that cannot do the job apart."""
    bars, order = [bar for row in rows for bar in _outcome_bars(row)], [row.name for row in rows]
    seen = {bar["outcome"] for bar in bars}
    known = {outcome.words: outcome.colour for outcome in OUTCOMES.values() if outcome.words in seen}
    numeric: dict[str, Kind] = dict.fromkeys(("models", "of", "start", "end"), "number")
    kinds: dict[str, Kind] = {"condition": "string", "outcome": "string", **numeric, "base_rate": "string"}
    datasets: Datasets = {}
    return (
        alt.Chart(inline(datasets, "outcomes", bars, kinds), width="container", height=26 * len(rows))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            _conditions(order),
            alt.X("start:Q", title="share of models", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5)),
            alt.X2("end:Q"),
            alt.Color(
                "outcome:N",
                title=None,
                scale=alt.Scale(domain=list(known), range=list(known.values())),
                sort=list(known),
            ),
            tooltip=[
                "condition:N",
                "outcome:N",
                "models:Q",
                "of:Q",
                alt.Tooltip("base_rate:N", title="P(A), with interval"),
            ],
        )
        .properties(description="Outcomes of each condition as shares of its models.", datasets=datasets)
        .configure(**config())
        .to_dict()
    )


def impacts(rows: Iterable[Summary]) -> list[Impact]:
    """Return the parts of every log impact, condition by condition."""
    return [
        Impact(row.name, row.baseline, part, getattr(row.impact, part))
        for row in rows
        if row.impact is not None and row.baseline is not None
        for part in PART_COLOURS
    ]


def _impact_bar(impact: Impact, edge: float, seeds: int) -> Json:
    """Return how a part is drawn on an axis that ends at `edge` on both sides, and what is said of it."""
    drawn, value = drawn_within(impact.estimate, (-edge, edge)), impact.estimate.value
    unbounded = 0 if math.isnan(value) else math.copysign(edge, value)  # is drawn to the edge
    return {
        **drawn,
        "condition": impact.condition,
        "part": part_words(impact.part),
        "bar": drawn["value"] if math.isfinite(value) else unbounded,
        "zero": 0,
        "log impact (nats)": with_interval(impact.estimate),
        "over": impact.baseline,
        "models": seeds,
        "filled": "yes" if impact.decided else "no",
    }


def impact_chart(impacts: Sequence[Impact], seeds: int) -> Json:
    """Draw the two parts and the net of each log impact with their intervals, hollow where they cover 0.

    Args:
        impacts: what `impacts` returned.
        seeds: models of every condition.
    """
    seen = [abs(end) for impact in impacts for end in impact.estimate if math.isfinite(end)]
    edge = 1.1 * max(1.0, *seen) if seen else 1.0
    drawn = [_impact_bar(impact, edge, seeds) for impact in impacts]
    strings: dict[str, Kind] = dict.fromkeys(
        ("condition", "part", "open", "log impact (nats)", "over", "filled"), "string"
    )
    numbers: dict[str, Kind] = dict.fromkeys(("value", "low", "high", "bar", "zero", "models"), "number")
    parts = list(map(part_words, PART_COLOURS))
    colours = alt.Scale(domain=parts, range=list(PART_COLOURS.values()))
    axis = alt.Scale(domain=[-edge, edge], nice=False)
    names = list(dict.fromkeys(impact.condition for impact in impacts))
    datasets: Datasets = {}
    data = inline(datasets, "impacts", drawn, {**strings, **numbers})
    base = alt.Chart(data).encode(
        _conditions(names),
        alt.YOffset("part:N", sort=parts),
        tooltip=["condition:N", "part:N", "log impact (nats):N", "over:N", "models:Q"],
    )
    place = {"scale": axis, "title": "log impact over the baseline (nats)", "axis": alt.Axis(tickCount=7)}
    bars = base.mark_bar(opacity=0.8, strokeDash=[3, 2]).encode(
        alt.X("zero:Q", **place),
        alt.X2("bar:Q"),
        alt.Color("part:N", title=None, scale=colours),
        alt.Stroke("part:N", title=None, scale=colours),
        fillOpacity=alt.condition("datum.filled == 'yes'", alt.value(1), alt.value(0)),
    )
    layers = [bars, *interval_layers(base, "", place, INK)]
    return (
        alt.layer(*layers)
        .properties(
            width="container",
            height=48 * len(names),
            description="Log impact of each condition over its baseline.",
            datasets=datasets,
        )
        .configure(**config())
        .to_dict()
    )


def interval_layers(
    base: alt.Chart, prefix: str, place: Json, colour: str, shape: str | None = None, decides: bool = True
) -> list[alt.Chart]:
    """Return the layers of a value with its interval: a line, heads where it is open, and a point, hollow or full.

    Args:
        base: chart of rows whose columns are those of `drawn_within`.
        prefix: of the names of these columns.
        place: scale and axis of the values.
        colour: column that holds colours, or the page's ink.
        shape: column that holds shapes, if there is one.
        decides: whether there is something to decide; a column `filled` then says yes or no.
    """
    line = base.mark_rule(strokeWidth=2).encode(
        alt.X(f"{prefix}low:Q", **place), alt.X2(f"{prefix}high:Q"), _channel(alt.Color, colour)
    )
    heads = [
        base.transform_filter(f"indexof(datum['{prefix}open'], '{side}') >= 0")
        .mark_point(shape=head, size=45, filled=True, opacity=1)
        .encode(alt.X(f"{prefix}{end}:Q", **place), _channel(alt.Color, colour))
        for side, head, end in (("<", "triangle-left", "low"), (">", "triangle-right", "high"))
    ]
    shapes: Json = {"shape": alt.Shape(f"{shape}:N", scale=None)} if shape else {}
    full, points = base, []
    if decides:
        full, hollow = (base.transform_filter(f"datum['{prefix}filled'] == '{filled}'") for filled in ("yes", "no"))
        hollow = hollow.mark_point(size=55, fill="var(--page)", opacity=1)
        points.append(hollow.encode(_channel(alt.Stroke, colour), **shapes))
    points.append(full.mark_point(size=55, filled=True, opacity=1).encode(_channel(alt.Color, colour), **shapes))
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
