"""The charts of a sweep: quantities along one of its axes, and a map of one quantity over two of them."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import altair as alt

from lab.config.schema import WORLD
from lab.report.page import charts
from lab.report.page.charts import INK, Datasets, Edges, Kind, inline
from lab.report.page.names import place_words, varied_axes, words
from lab.report.page.verdict import share
from lab.results.summary import Summary
from lab.statistics import Estimate, wilson_interval
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, setting, with_interval

LONG = 3  # values that an axis needs to be drawn along
UNIT: Edges = (0.0, 1.0)
PANELS = {  # quantity -> its title, and what it is a share or a change of
    "base_rate": ("P(A): aligned", "of all models"),
    "pass_given_misaligned": ("P(T|not A): passing", "of all misaligned models"),
    "net": ("net log impact", "nats over the baseline; above 0 is better"),
}
MAPPED = {  # quantity of the map -> what it is called
    "base_rate": "P(A): aligned, of all models",
    "pass_given_misaligned": "P(T|not A): passing, of all misaligned models",
    "pass_given_aligned": "P(T|A): passing, of aligned models",
    "aligned_given_pass": "P(A|T): aligned, of models that pass",
    "net": "net log impact over the baseline (nats)",
    "unable": "cannot do the job, of all models",
}
FROM, TO, AWAY = (255, 255, 255), (0, 90, 160), (201, 90, 0)  # colours of 0, of much, and of much below 0
CELL = 34  # pixels that a cell of the map is high
LEGIBLE = 36  # pixels that a cell must be wide to hold its number
DARK = 0.55  # share of the way to the full colour, from which text on it is white


def axes_of(rows: Sequence[Summary]) -> dict[str, list[float]]:
    """Return axis -> values of the sweep that charts are drawn along, longest first; none of worlds drawn at random.

    Args:
        rows: of all conditions.
    """
    if any(WORLD in row.coordinates for row in rows):
        return {}
    axes = varied_axes(rows)
    longest = sorted(axes, key=lambda axis: -len(axes[axis]))
    return {axis: axes[axis] for axis in longest} if longest and len(axes[longest[0]]) >= LONG else {}


def mapped(rows: Sequence[Summary], axes: Mapping[str, list[float]]) -> list[str]:
    """Return the regimens that have two axes or more, and so a map."""
    return list(dict.fromkeys(row.regimen for row in rows if sum(axis in row.coordinates for axis in axes) > 1))


def estimate_of(row: Summary, quantity: str) -> Estimate | None:
    """Return a quantity of a condition; None for the net of a baseline.

    Args:
        row: the condition.
        quantity: one of `PANELS` or `MAPPED`.
    """
    if quantity == "net":
        return None if row.impact is None else row.impact.net
    if quantity == "unable":
        counts = row.counts
        return Estimate(counts.unable / counts.seeds, *wilson_interval(counts.unable, counts.seeds, row.confidence))
    return row.estimates[quantity]


def _edges(rows: Sequence[Summary], quantity: str) -> Edges:
    """Return the ends of the axis of a quantity."""
    if quantity != "net":
        return UNIT
    ends = [abs(end) for row in rows if row.impact for end in row.impact.net if math.isfinite(end)]
    edge = 1.1 * max([1.0, *ends])
    return -edge, edge


def _places(row: Summary, axes: Mapping[str, list[float]]) -> Json:
    """Return the place of a condition as columns c0, c1 and so on; empty where its regimen lacks the axis."""
    return {f"c{index}": row.coordinates.get(axis, "") for index, axis in enumerate(axes)}


def _here(number: int, along: Sequence[str]) -> str:
    """Return the expression for what lies at the chosen place on all axes but those along which a chart is drawn."""
    tests = [
        " || ".join(f"{axis} == 'c{index}'" for axis in along)
        + f" || datum.c{index} === null || datum.c{index} == at_{index}"
        for index in range(number)
    ]
    return " && ".join(f"({test})" for test in tests)


def _params(axes: Mapping[str, list[float]], at: Mapping[str, float]) -> list[alt.Parameter]:
    """Return the parameters that a reader chooses by: the axis drawn along, and the place on the others."""
    chosen = [alt.param(name=f"at_{index}", value=at.get(axis, axes[axis][0])) for index, axis in enumerate(axes)]
    return [alt.param(name="x_axis", value="c0"), *chosen]


def sweep_chart(
    rows: Sequence[Summary], quantity: str, axes: Mapping[str, list[float]], at: Mapping[str, float]
) -> Json:
    """Draw a quantity along the chosen axis: the chosen place on the others with intervals, all others faint.

    Args:
        rows: of all conditions.
        quantity: one of `PANELS`.
        axes: what `axes_of` returned.
        at: the place that is shown at first.
    """
    edges, unable = _edges(rows, quantity), quantity == "base_rate" and any(row.counts.unable_is_shown for row in rows)
    points = []
    for row in rows:
        estimate = estimate_of(row, quantity)
        if estimate is None:
            continue
        drawn = charts.drawn_within(estimate, edges)
        if math.isnan(estimate.value):  # a gap: nobody passed, say
            drawn = {**dict.fromkeys(drawn, ""), "open": "no"}
        points.append(
            {
                **_places(row, axes),
                **drawn,
                "condition": words(row.regimen),
                "text": with_interval(estimate),
                "filled": "no" if quantity == "net" and estimate.low <= 0 <= estimate.high else "yes",
                "unable": row.counts.unable / row.counts.seeds,
            }
        )
    strings: dict[str, Kind] = dict.fromkeys(("condition", "text", "open", "filled"), "string")
    numbers: dict[str, Kind] = dict.fromkeys(("value", "low", "high", "unable"), "number")
    places: dict[str, Kind] = {f"c{index}": "number" for index in range(len(axes))}
    datasets: Datasets = {}
    data = inline(datasets, "sweep", points, {**strings, **numbers, **places})
    looks = charts.looks_of({words(row.regimen): row.regimen for row in rows})
    title, meaning = PANELS[quantity]
    meanings = [meaning, "crosses: cannot do the job, of all models" if unable else " "]
    return (
        alt.layer(*_layers(data, looks, edges, len(axes), unable))
        .add_params(*_params(axes, at))
        .properties(
            width="container",
            autosize=charts.FIT,
            height=230,
            title=alt.TitleParams(alt.expr(f"'{title}, along ' + {_axis_words(axes)}[x_axis]"), subtitle=meanings),
            datasets=datasets,
        )
        .configure(**charts.config())
        .to_dict(validate=False)
    )


def _layers(data: alt.NamedData, looks: Json, edges: Edges, axes: int, unable: bool) -> list[alt.Chart]:
    """Return the layers of a panel: faint lines, the chosen line with intervals, and regimens that lack the axis."""
    here = _here(axes, ["x_axis"])
    base = alt.Chart(data).transform_calculate(
        x="datum[x_axis]",
        slice=" + '/' + ".join(f"(x_axis == 'c{index}' ? '' : datum.c{index})" for index in range(axes)),
        here=here,
    )
    y = {"scale": alt.Scale(domain=list(edges), nice=False), "title": None, "axis": alt.Axis(tickCount=5)}
    x = alt.X("x:O", title=None, axis=alt.Axis(labelAngle=-60, labelOverlap="greedy", grid=False))
    tooltip = ["condition:N", alt.Tooltip("x:Q", title="at"), alt.Tooltip("text:N", title="with interval")]
    swept = base.transform_filter("datum.x !== null").encode(x, looks["color"], tooltip=tooltip)
    faint = (
        swept.transform_filter("!datum.here")
        .mark_line(strokeOpacity=0.25)
        .encode(alt.Y("value:Q", **y), looks["strokeDash"], detail="slice:N")
    )
    chosen = swept.transform_filter("datum.here")
    line = chosen.mark_line(strokeWidth=2).encode(alt.Y("value:Q", **y), looks["strokeDash"])
    interval = chosen.mark_rule(strokeWidth=1.5).encode(alt.Y("low:Q", **y), alt.Y2("high:Q"))
    flat = base.transform_filter("datum.x === null && datum.here").encode(looks["color"], tooltip=tooltip)
    band = flat.mark_rect(fillOpacity=0.1).encode(alt.Y("low:Q", **y), alt.Y2("high:Q"))
    level = flat.mark_rule(strokeWidth=2).encode(alt.Y("value:Q", **y), looks["strokeDash"])
    layers = [faint, band, level, line, interval]
    faces: dict[str, Json] = {"yes": {"filled": True}, "no": {"fill": "var(--page)"}}
    for filled, look in faces.items():
        own = chosen.transform_filter(f"datum.filled == '{filled}'")
        layers.append(own.mark_point(size=45, opacity=1, **look).encode(alt.Y("value:Q", **y), looks["shape"]))
    for side, shape, end in (("<", "triangle-down", "low"), (">", "triangle-up", "high")):
        own = chosen.transform_filter(f"indexof(datum.open, '{side}') >= 0")
        layers.append(own.mark_point(size=40, opacity=1, filled=True, shape=shape).encode(alt.Y(f"{end}:Q", **y)))
    if edges[0] < 0:
        zero = alt.Chart(alt.InlineData([{"zero": 0}])).mark_rule(opacity=0.5).encode(alt.Y("zero:Q", **y))
        layers.insert(0, zero)
    if unable:
        crosses = chosen.transform_filter(f"datum.unable > {UNABLE_SHOWN}")
        crosses = crosses.mark_point(size=45, strokeWidth=1.5).encode(
            alt.Y("unable:Q", **y), shape=alt.value("M-1,-1L1,1M-1,1L1,-1"), color=looks["color"]
        )
        layers.append(crosses)
    return layers


def map_chart(rows: Sequence[Summary], axes: Mapping[str, list[float]], at: Mapping[str, float], regimen: str) -> Json:
    """Draw a map of the chosen quantity over the two chosen axes; undecided cells are white with a dashed edge.

    Args:
        rows: of all conditions.
        axes: what `axes_of` returned.
        at: the place on further axes that is shown at first.
        regimen: that is shown at first.
    """
    datasets: Datasets = {}
    data = _map_data(datasets, rows, axes)
    here = _here(len(axes), ["x_axis", "y_axis"])
    base = (
        alt.Chart(data)
        .transform_filter(f"datum.regimen == regimen && datum.quantity == quantity && {here}")
        .transform_calculate(x="datum[x_axis]", y="datum[y_axis]")
        .encode(
            alt.X("x:O", title=None, axis=alt.Axis(labelAngle=0, labelOverlap="greedy", ticks=False)),
            alt.Y("y:O", title=None, sort="descending", axis=alt.Axis(ticks=False)),
            tooltip=[
                alt.Tooltip("x:Q", title="across"),
                alt.Tooltip("y:Q", title="up"),
                alt.Tooltip("text:N", title="value"),
            ],
        )
    )
    shown = [
        base.transform_filter(f"datum.filled == '{filled}'")
        .mark_rect(stroke=INK, strokeOpacity=0.6, strokeDash=dash)
        .encode(alt.Fill("fill:N", scale=None))
        for filled, dash in (("yes", [1, 0]), ("no", [3, 3]))
    ]
    number = base.mark_text().encode(
        alt.Color("ink:N", scale=None),
        text="short:N",
        opacity=alt.value(alt.expr(f"bandwidth('x') > {LEGIBLE} ? 1 : 0")),
    )
    called = _axis_words(axes)
    title = f"{json.dumps(MAPPED)}[quantity] + '; ' + {called}[x_axis] + ' across, ' + {called}[y_axis] + ' up'"
    given = [
        alt.param(name=name, value=value)
        for name, value in (("y_axis", "c1"), ("quantity", "base_rate"), ("regimen", regimen))
    ]
    return (
        alt.layer(*shown, number)
        .add_params(*_params(axes, at), *given)
        .properties(
            width="container",
            autosize=charts.FIT,
            height=CELL * len(list(axes.values())[1]),
            title=alt.TitleParams(alt.expr(title)),
            datasets=datasets,
        )
        .configure(**charts.config())
        .to_dict(validate=False)
    )


def _map_data(datasets: Datasets, rows: Sequence[Summary], axes: Mapping[str, list[float]]) -> alt.NamedData:
    """Return the cells of the map as inline data: one per quantity and condition that lies on two axes or more."""
    cells = [
        {**_places(row, axes), "regimen": row.regimen, "quantity": quantity, **_cell(row, quantity, most)}
        for quantity, most in ((quantity, _edges(rows, quantity)[1]) for quantity in MAPPED)
        for row in rows
        if sum(axis in row.coordinates for axis in axes) > 1
    ]
    kinds: dict[str, Kind] = dict.fromkeys(("regimen", "quantity", "text", "short", "fill", "ink", "filled"), "string")
    kinds |= {f"c{index}": "number" for index in range(len(axes))}
    return inline(datasets, "map", cells, kinds)


def map_height(axes: Mapping[str, list[float]]) -> list[Json]:
    """Return the change in Vega that keeps a map as high as its upright axis has values: Vega-Lite cannot say it."""
    numbers = {f"c{index}": CELL * len(places) for index, places in enumerate(axes.values())}
    update = {"events": {"signal": "y_axis"}, "update": f"{json.dumps(numbers)}[y_axis]"}
    return [{"op": "add", "path": "/signals/-", "value": {"name": "height", "on": [update]}}]


def _cell(row: Summary, quantity: str, most: float) -> Json:
    """Return how a cell of the map looks, and what is written in it; at `most` its colour is full."""
    estimate = estimate_of(row, quantity)
    if estimate is None or math.isnan(estimate.value):
        text, short = ("baseline", "baseline") if estimate is None else (with_interval(estimate), "n/a")
        return {"text": text, "short": short, "fill": "#ffffff", "ink": "#000000", "filled": "no"}
    strength = min(1.0, max(-1.0, estimate.value / most))
    decided = quantity != "net" or estimate.low > 0 or estimate.high < 0
    return {
        "text": with_interval(estimate),
        "short": _short(estimate.value),
        "fill": _colour(strength) if decided else "#ffffff",
        "ink": "#ffffff" if decided and abs(strength) > DARK else "#000000",
        "filled": "yes" if decided else "no",
    }


def _short(value: float) -> str:
    """Return a number for a small cell: two decimals, or one from ten on."""
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _colour(strength: float) -> str:
    """Return the colour of a value between -1 and 1."""
    towards = TO if strength >= 0 else AWAY
    mixed = [round(start + abs(strength) * (end - start)) for start, end in zip(FROM, towards, strict=True)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _axis_words(axes: Iterable[str]) -> str:
    """Return what the axes are called as an object of an expression."""
    return json.dumps({f"c{index}": words(axis) for index, axis in enumerate(axes)})


def sweep_words(rows: Sequence[Summary], axes: Mapping[str, list[float]], at: Mapping[str, float]) -> list[str]:
    """Say what P(A) is at both ends of the longest axis, at the place on the others that is shown at first.

    Args:
        rows: of all conditions.
        axes: what `axes_of` returned.
        at: the place.
    """
    longest, lines = next(iter(axes)), []
    for regimen in dict.fromkeys(row.regimen for row in rows if longest in row.coordinates):
        others = {axis: at.get(axis, axes[axis][0]) for axis in axes if axis != longest}
        there = [
            row
            for row in rows
            if row.regimen == regimen
            and all(row.coordinates.get(axis, value) == value for axis, value in others.items())
        ]
        if there:
            first, last = (pick(there, key=lambda row: row.coordinates[longest]) for pick in (min, max))
            ends = [
                f"{share(row.estimates['base_rate'].value)} at {setting(row.coordinates[longest])}"
                for row in (first, last)
            ]
            where = place_words((axis, value) for axis, value in others.items() if axis in first.coordinates)
            lines.append(f"{words(regimen)}{f' ({where})' if where else ''}: {ends[0]}, {ends[1]}")
    return [f"P(A) at both ends of {words(longest)}: {'; '.join(lines)}."] if lines else []


def axis_options(axes: Mapping[str, list[float]], chosen: Mapping[str, float]) -> list[Json]:
    """Return what a reader may choose on each axis, for the page's lists."""
    return [
        {
            "key": f"at_{index}",
            "name": words(axis),
            "options": [
                {"value": value, "text": setting(value), "chosen": value == chosen.get(axis, values[0])}
                for value in values
            ],
        }
        for index, (axis, values) in enumerate(axes.items())
    ]
