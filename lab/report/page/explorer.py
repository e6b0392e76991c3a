"""The chart in which a reader chooses a condition, another beside it, a checkpoint and a pass mark."""

import altair as alt

from lab.report.page import charts
from lab.report.page.charts import INK, inline
from lab.report.page.courses import BETWEEN, BINS, QUANTILES
from lab.words import setting, with_interval

WIDTH = 290  # a phone is 375 wide
SMALL = {"width": WIDTH, "height": 84}
TALL = {"width": WIDTH - 30, "height": 170}
TITLES = {
    "base_rate": "base rate P(A), at the end of training",
    "pass_given_aligned": "aligned models that pass, P(T|A)",
    "pass_given_misaligned": "misaligned models that pass, P(T|not A)",
    "likelihood_ratio": "LR = P(T|A) / P(T|not A)",
    "prior_odds": "odds before the test, o(A)",
    "posterior_odds": "odds after passing, o(A|T) = LR x o(A)",
    "expected_runs": "cost: runs per accepted model",
    "relative_runs": "cost over the baseline's (x times)",
}
RATES = ("base_rate", "pass_given_aligned", "pass_given_misaligned")
CELLS = {
    "aligned_pass": "A, T",
    "aligned_fail": "A, not T",
    "misaligned_pass": "not A, T",
    "misaligned_fail": "neither",
}
NEUTRAL = ("likelihood_ratio", "relative_runs")  # hollow where the interval covers 1
CHOSEN = "(datum.condition == condition_a || datum.condition == condition_b)"
HERE = "datum.checkpoint == at_checkpoint && datum.mark == at_mark"
ROLES = ["first", "second"]
# as many columns as fit beside each other; Vega-Lite has no word for that, Vega has
RESPONSIVE = [
    {
        "op": "add",
        "path": "/signals/-",
        "value": {
            "name": "beside",
            "init": "max(1, floor(containerSize()[0] / 345))",
            "on": [
                {
                    "events": {"source": "window", "type": "resize"},
                    "update": "max(1, floor(containerSize()[0] / 345))",
                }
            ],
        },
    },
    {"op": "replace", "path": "/layout/columns", "value": {"signal": "beside"}},
]


def explorer(grid, rows, courses, chosen, own, place):
    """Return the specification of the explorable chart.

    Args:
        grid: `lab.report.page.grid.Grid`.
        rows: what `lab.summarise` returned.
        courses: score -> what `bands` and `histograms` of `lab.report.page.courses` returned.
        chosen: indices of the two conditions that are shown at first.
        own: index of the run's own mark.
        place: CSS selector of the element that gets the inputs.
    """
    positions = {row.name: position for position, row in enumerate(rows)}
    shown = {positions[name]: number for number, name in enumerate(grid.conditions)}  # courses have all of the run's
    datasets = {}
    names, shares = _names_data(datasets, grid, rows, shown), _shares_data(datasets, grid)
    data = _grid_data(datasets, grid)
    views = [_quantity(data, names, quantity, _edges(grid, quantity)) for quantity in TITLES]
    views += [_cells(data, names), _marks(data, names)]
    for score, (bands, histogram) in courses.items():
        bands = _bands_data(datasets, score, _of_shown(bands, shown))
        histogram = _histogram_data(datasets, score, _of_shown(histogram, shown))
        views += [_course(score, bands, histogram, names, param, shares) for param in "ab"]
    return (
        alt.concat(*views, columns=3, spacing=26)
        .resolve_scale(color="independent", shape="independent", x="independent", y="independent")
        .add_params(*_inputs(grid, chosen, own, place))
        .properties(
            description="Counts and rates of two chosen conditions at a chosen checkpoint and pass mark.",
            datasets=datasets,
        )
        .configure(**charts.config())
        .to_dict(validate=False)
    )


def _names_data(datasets, grid, rows, shown):
    styles = charts.styles([rows[position].regimen for position in shown])
    known = [
        {"condition": number, "name": rows[position].name, **styles[rows[position].regimen]}
        for position, number in shown.items()
    ]
    columns = {"condition": "number", "name": "string", "colour": "string", "shape": "string"}
    return inline(datasets, "conditions", known, columns)


def _shares_data(datasets, grid):
    shares = [{"checkpoint": index, "share": share} for index, share in enumerate(grid.checkpoints)]
    return inline(datasets, "checkpoints", shares, {"checkpoint": "number", "share": "number"})


def _of_shown(rows, numbers):
    return [{**row, "condition": numbers[row["condition"]]} for row in rows if row["condition"] in numbers]


def _inputs(grid, chosen, own, place):
    """Return the four parameters, each bound to a list to choose from."""
    conditions = list(grid.conditions)
    checkpoints = [f"after {100 * share:.6g}% of training" for share in grid.checkpoints]
    marks = [setting(mark) + " (the run's own)" * (index == own) for index, mark in enumerate(grid.marks)]
    lists = {
        "condition_a": ("condition", conditions, chosen[0]),
        "condition_b": ("beside", conditions, chosen[1]),
        "at_checkpoint": ("test score taken", checkpoints, len(checkpoints) - 1),
        "at_mark": ("passes at or above", marks, own),
    }
    return [
        alt.param(
            name=name,
            value=value,
            bind=alt.binding_select(options=list(range(len(labels))), labels=labels, name=text, element=place),
        )
        for name, (text, labels, value) in lists.items()
    ]


def _edges(grid, quantity):
    if quantity in RATES:
        return 0.0, 1.0
    low, high = charts.log_edges([row[quantity] for row in grid.rows])
    return (1.0 if quantity == "expected_runs" else low), high


def _grid_data(datasets, grid):
    """Return the grid as inline data: counts, and each quantity as it is drawn and in words."""
    kinds = dict.fromkeys(("condition", "checkpoint", "mark", *CELLS), "number")
    table = [{name: row[name] for name in kinds} for row in grid.rows]
    for quantity in TITLES:
        edges = _edges(grid, quantity)
        for own, row in zip(table, grid.rows, strict=True):
            estimate = row[quantity]
            drawn = {**charts.drawn_within(estimate, edges), "text": with_interval(estimate)}
            if quantity in NEUTRAL:
                drawn["filled"] = "no" if estimate.low <= 1 <= estimate.high else "yes"
            own |= {f"{quantity}_{key}": value for key, value in drawn.items()}
        kinds |= {f"{quantity}_{key}": "number" for key in ("value", "low", "high")}
        kinds |= {f"{quantity}_{key}": "string" for key in ("open", "text", *["filled"] * (quantity in NEUTRAL))}
    return inline(datasets, "grid", table, kinds)


def _known(chart, names):
    """Add name, colour and shape of each row's condition."""
    found = alt.LookupData(names, key="condition", fields=["name", "colour", "shape"])
    return chart.transform_lookup("condition", from_=found)


def _named(chart, names):
    """Add to each row what is known of its condition, and have a row for each of the roles that it plays."""
    roles = "condition_a == condition_b ? ['first', 'second'] : datum.condition == condition_a ? ['first'] : ['second']"
    return _known(chart, names).transform_calculate(roles=roles).transform_flatten(["roles"], ["role"])


def _role_axis(**options):
    return alt.Y("role:N", sort=ROLES, scale=alt.Scale(domain=ROLES), axis=None, **options)


COUNTS = [alt.Tooltip(f"{cell}:Q", title=text) for cell, text in CELLS.items()]


def _quantity(data, names, quantity, edges):
    """Draw one quantity of the two conditions with its interval, and write it out."""
    rate = quantity in RATES
    place = {
        "scale": alt.Scale(domain=list(edges), nice=False, **({} if rate else {"type": "log"})),
        "axis": alt.Axis(title=None, format="~g", **({} if rate else {"values": charts.log_ticks(*edges)})),
    }
    base = _named(alt.Chart(data).transform_filter(f"{CHOSEN} && {HERE}"), names)
    base = base.encode(
        _role_axis(),
        tooltip=["name:N", alt.Tooltip(f"{quantity}_text:N", title="with interval"), *COUNTS],
    )
    text = base.transform_calculate(line=f"datum['{quantity}_text'] + ' ' + datum.name")
    text = text.mark_text(align="left", dy=-13, fontSize=11, limit=WIDTH).encode(alt.XValue(0), text="line:N")
    layers = charts.interval_layers(base, f"{quantity}_", place, "colour", "shape", quantity in NEUTRAL)
    if quantity in NEUTRAL:
        one = alt.Chart(alt.InlineData([{"one": 1}])).mark_rule(strokeDash=[2, 2], opacity=0.6)
        layers.insert(0, one.encode(alt.X("one:Q", **place)))
    return alt.layer(*layers, text).properties(title=TITLES[quantity], **SMALL)


def _cells(data, names):
    """Write the four counts of the two conditions."""
    base = _named(alt.Chart(data).transform_filter(f"{CHOSEN} && {HERE}"), names)
    columns = {text: f"datum.{cell}" for cell, text in CELLS.items()}
    counts = (
        base.transform_calculate(**columns)
        .transform_fold(list(columns), as_=["cell", "models"])
        .mark_text(fontSize=15)
        .encode(
            alt.X("cell:N", sort=list(columns), title=None, axis=alt.Axis(orient="bottom", labelAngle=0, ticks=False)),
            _role_axis(),
            alt.Text("models:Q", format=","),
            tooltip=["name:N", "cell:N", "models:Q"],
        )
    )
    who = base.mark_text(align="left", dy=-17, fontSize=11, limit=WIDTH).encode(
        alt.XValue(0), _role_axis(), text="name:N"
    )
    return alt.layer(counts, who).properties(title="models: aligned (A), passing (T)", **SMALL)


def _dash(**options):
    scale = alt.Scale(domain=ROLES, range=[[1, 0], [5, 4]])
    return alt.StrokeDash("role:N", scale=scale, legend=None, **options)


def _bands_data(datasets, score, rows):
    columns = ("condition", "share", "models", *QUANTILES)
    return inline(datasets, f"{score} quantiles", rows, dict.fromkeys(columns, "number"))


def _histogram_data(datasets, score, rows):
    numbers, words = ("condition", "from_share", "share", "of"), ("bins", "models", "share_of_models")
    columns = {**dict.fromkeys(numbers, "number"), **dict.fromkeys(words, "string")}
    return inline(datasets, f"{score} histogram", rows, columns)


def _course(score, bands, boxes, names, param, shares):
    """Draw a score of one condition's models through training: histograms, and quantile bands over them."""
    x = alt.X("share:Q", title="share of training", scale=alt.Scale(domain=[0, 1]))
    unit = {"title": None, "scale": alt.Scale(domain=[0, 1])}
    colour, chosen = alt.Color("colour:N", scale=None), f"datum.condition == condition_{param}"
    lists = ("bins", "models", "share_of_models")
    boxes = alt.Chart(boxes).transform_filter(chosen)
    boxes = boxes.transform_calculate(**{name: f"split(datum.{name}, '{BETWEEN}')" for name in lists})
    boxes = boxes.transform_flatten(list(lists)).transform_calculate(
        models="toNumber(datum.models)",
        low=f"datum.bins / {BINS}",
        high=f"(toNumber(datum.bins) + 1) / {BINS}",
        portion="datum.models / datum.of",
    )
    histogram = (
        _known(boxes, names)
        .mark_rect()
        .encode(
            alt.X("from_share:Q", title="share of training", scale=alt.Scale(domain=[0, 1])),
            alt.X2("share:Q"),
            alt.Y("low:Q", **unit),
            alt.Y2("high:Q"),
            alt.Fill("colour:N", scale=None),
            alt.FillOpacity("portion:Q", scale=alt.Scale(domain=[0, 1], range=[0.1, 1]), legend=None),
            tooltip=[
                "name:N",
                alt.Tooltip("share:Q", title="share of training"),
                alt.Tooltip("low:Q", title=f"{score} from"),
                alt.Tooltip("high:Q", title="to"),
                "models:Q",
                "of:Q",
                alt.Tooltip("share_of_models:N", title="share, with interval"),
            ],
        )
    )
    base = _known(alt.Chart(bands).transform_filter(chosen), names)
    limits = [alt.Tooltip(f"{q}:Q", title=f"{q[1:]}% are below", format=".4~g") for q in QUANTILES]
    layers = [
        base.mark_area(opacity=opacity).encode(x, alt.Y(f"{low}:Q", **unit), alt.Y2(f"{high}:Q"), colour)
        for low, high, opacity in ((QUANTILES[0], QUANTILES[-1], 0.08), (QUANTILES[1], QUANTILES[-2], 0.12))
    ]
    middle = base.mark_line(strokeWidth=2, color=INK).encode(x, alt.Y(f"{QUANTILES[2]}:Q", **unit))
    hits = base.mark_point(size=90, opacity=0, filled=True).encode(
        x, alt.Y(f"{QUANTILES[2]}:Q", **unit), tooltip=["name:N", "share:Q", "models:Q", *limits]
    )
    title = f"{score} through training: {'condition' if param == 'a' else 'beside'}"
    return alt.layer(*layers, histogram, middle, hits, _moment(shares)).properties(title=title, **TALL)


def _moment(shares):
    """Mark the chosen checkpoint."""
    return (
        alt.Chart(shares)
        .transform_filter("datum.checkpoint == at_checkpoint")
        .mark_rule(strokeDash=[2, 2], opacity=0.6)
        .encode(alt.X("share:Q"))
    )


def _marks(data, names):
    """Draw P(T|A) against P(T|not A) over all marks at the chosen checkpoint, with the chosen mark's intervals."""
    base = _named(alt.Chart(data).transform_filter(f"{CHOSEN} && datum.checkpoint == at_checkpoint"), names)
    x = {"scale": alt.Scale(domain=[0, 1]), "title": "P(T|not A)"}
    y = {"scale": alt.Scale(domain=[0, 1]), "title": "P(T|A)"}
    colour = alt.Color("colour:N", scale=None)
    wrong, right = "pass_given_misaligned", "pass_given_aligned"
    line = base.mark_line(strokeWidth=1.5, interpolate="linear").encode(
        alt.X(f"{wrong}_value:Q", **x), alt.Y(f"{right}_value:Q", **y), colour, _dash(), alt.Order("mark:Q")
    )
    chosen = base.transform_filter("datum.mark == at_mark")
    across = chosen.mark_rule(strokeWidth=2).encode(
        alt.X(f"{wrong}_low:Q", **x), alt.X2(f"{wrong}_high:Q"), alt.Y(f"{right}_value:Q", **y), colour
    )
    upright = chosen.mark_rule(strokeWidth=2).encode(
        alt.Y(f"{right}_low:Q", **y), alt.Y2(f"{right}_high:Q"), alt.X(f"{wrong}_value:Q", **x), colour
    )
    point = base.mark_point(filled=True, opacity=1).encode(
        alt.X(f"{wrong}_value:Q", **x),
        alt.Y(f"{right}_value:Q", **y),
        colour,
        alt.Shape("shape:N", scale=None),
        size=alt.condition("datum.mark == at_mark", alt.value(90), alt.value(12)),
        tooltip=[
            "name:N",
            alt.Tooltip(f"{right}_text:N", title="P(T|A)"),
            alt.Tooltip(f"{wrong}_text:N", title="P(T|not A)"),
            *COUNTS,
        ],
    )
    return alt.layer(line, across, upright, point).properties(title="all pass marks at this checkpoint", **TALL)
