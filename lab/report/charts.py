"""The charts of the page of a run, as Vega-Lite: they draw finished numbers and compute none.

Everything is drawn in the colour of the page's text where it stands for no regimen, so that it can be read in the dark.
"""

import csv
import io
import math

import altair as alt

from lab.figures.run import NET, OUTCOMES, PARTS
from lab.figures.style import GREY, kind_of, style_of
from lab.statistics import CELLS
from lab.words import with_interval

SHAPES = {"s": "square", "o": "circle", "^": "triangle-up", "v": "triangle-down", "D": "diamond", "P": "cross"}
SHAPES |= {"X": "M-1-.5L-.5-1L0-.5L.5-1L1-.5L.5 0L1 .5L.5 1L0 .5L-.5 1L-1 .5L-.5 0Z"}  # a cross on its side
SHAPES |= {"*": "M0-1L.24-.32L.95-.31L.38 .12L.59 .81L0 .4L-.59 .81L-.38 .12L-.95-.31L-.24-.32Z"}
MANY = 3  # ticks
LOG_EDGES = 1e-3, 1e4  # no log axis goes beyond
INK = "currentColor"


def config():
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


def styles(regimens):
    """Return the colour and shape of each regimen."""
    others = [name for name in dict.fromkeys(regimens) if kind_of(name) is None]
    found = {}
    for name in regimens:
        colour, marker, _ = style_of(name, others.index(name) if name in others else 0)
        # black and dark grey would not be seen in the dark
        found[name] = {
            "colour": {"#000000": INK, GREY: "#888888"}.get(colour, colour),
            "shape": SHAPES.get(marker, "circle"),
        }
    return found


def _csv(rows, columns):
    """Return rows as CSV, a third of what JSON takes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(
            [f"{cell:.4g}" if isinstance(cell, float) else cell for cell in (row[name] for name in columns)]
        )
    return text.getvalue()


def inline(datasets, name, rows, columns):
    """Add rows to the data sets of a chart and return what refers to them.

    Args:
        datasets: name -> data, which this adds to.
        name: of the rows.
        rows: dicts.
        columns: name -> kind, "number" or "string".
    """
    datasets[name] = _csv(rows, list(columns))
    return alt.NamedData(name=name, format=alt.CsvDataFormat(type="csv", parse=columns))


def drawn_within(estimate, edges):
    """Return value, limits and open sides of an `Estimate` as they are drawn between two edges."""
    value, low, high = estimate
    low_edge, high_edge = edges
    return {
        "value": value if math.isfinite(value) and low_edge <= value <= high_edge else "",
        "low": min(max(low, low_edge), high_edge),
        "high": max(min(high, high_edge), low_edge),
        "open": "<" * (low < low_edge) + ">" * (high > high_edge) or "no",
    }


def log_edges(estimates):
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


def outcomes_chart(rows):
    """Stack the outcomes of each condition as shares of its models, those that cannot do the job apart."""
    bars, order = [], [row.name for row in rows]
    for row in rows:
        counts = {cell: getattr(row.counts, cell) for cell in CELLS}
        counts["unable"] = row.counts.incompetent + row.counts.diverged
        counts["unjudged"] = row.counts.unjudged
        counts["misaligned_fail"] -= counts["unable"] + counts["unjudged"]
        start = 0
        for kind, (text, _, _) in OUTCOMES.items():
            models = counts[kind]
            if models:
                bars.append(
                    {
                        "condition": row.name,
                        "outcome": text,
                        "models": models,
                        "of": row.counts.seeds,
                        "start": start / row.counts.seeds,
                        "end": (start + models) / row.counts.seeds,
                        "base_rate": with_interval(row.estimates["base_rate"]),
                    }
                )
            start += models
    seen = {bar["outcome"] for bar in bars}
    known = {text: colour for text, colour, _ in OUTCOMES.values() if text in seen}
    numeric = dict.fromkeys(("models", "of", "start", "end"), "number")
    kinds = {"condition": "string", "outcome": "string", **numeric, "base_rate": "string"}
    datasets = {}
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


def impact_chart(impacts, seeds):
    """Draw the two parts and the net of each log impact with their intervals, hollow where they cover 0."""
    seen = [x for row in impacts for x in row["estimate"] if math.isfinite(x)]
    edge = 1.1 * max(1.0, *map(abs, seen)) if seen else 1.0
    words = {**{part: text for part, (text, _) in PARTS.items()}, "net": "net"}
    drawn = []
    for row in impacts:
        own = drawn_within(row["estimate"], (-edge, edge))
        value = row["estimate"].value
        # what nothing bounds is drawn to the edge
        bar = own["value"] if math.isfinite(value) else 0 if math.isnan(value) else math.copysign(edge, value)
        text = {"log impact (nats)": with_interval(row["estimate"]), "over": row["baseline"], "models": seeds}
        own |= {"condition": row["condition"], "part": words[row["part"]], "bar": bar, "zero": 0, **text}
        drawn.append({**own, "filled": "yes" if row["decided"] else "no"})
    strings = ("condition", "part", "open", "log impact (nats)", "over", "filled")
    numbers = dict.fromkeys(("value", "low", "high", "bar", "zero", "models"), "number")
    parts = list(words.values())
    colours = alt.Scale(domain=parts, range=[*(colour for _, colour in PARTS.values()), NET])
    axis = alt.Scale(domain=[-edge, edge], nice=False)
    names = list(dict.fromkeys(row["condition"] for row in impacts))
    datasets = {}
    data = inline(datasets, "impacts", drawn, {**dict.fromkeys(strings, "string"), **numbers})
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


def interval_layers(base, prefix, place, colour, shape=None, decides=True):
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
    shapes = {"shape": alt.Shape(f"{shape}:N", scale=None)} if shape else {}
    full, points = base, []
    if decides:
        full, hollow = (base.transform_filter(f"datum['{prefix}filled'] == '{filled}'") for filled in ("yes", "no"))
        hollow = hollow.mark_point(size=55, fill="var(--page)", opacity=1)
        points.append(hollow.encode(_channel(alt.Stroke, colour), **shapes))
    points.append(full.mark_point(size=55, filled=True, opacity=1).encode(_channel(alt.Color, colour), **shapes))
    return [line, *heads, *(point.encode(alt.X(f"{prefix}value:Q", **place)) for point in points)]


def _channel(kind, colour):
    if colour == INK:
        return alt.ColorValue(INK) if kind is alt.Color else alt.StrokeValue(INK)
    return kind(f"{colour}:N", scale=None)


def log_ticks(low, high):
    """Return the powers of ten between two edges, or where these are few also twice and five times as much."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**power for power in decades if low <= 10.0**power <= high]
    if len(tens) >= MANY:
        return tens
    return [digit * 10.0**power for power in decades for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
