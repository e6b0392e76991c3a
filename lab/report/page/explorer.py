"""The chart in which a reader chooses a condition, another beside it, a checkpoint and a pass mark."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from lab.report.page import charts
from lab.report.page.charts import INK, Datasets, Edges, Kind, View, inline
from lab.report.page.courses import BETWEEN
from lab.report.page.grid import Grid
from lab.results.summary import Summary
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, quantity_words, setting, with_interval

WIDTH = 290  # a phone is 375 wide
LETTERS = 44  # that fit into that width
SMALL = {"width": WIDTH, "height": 84}
TALL = {"width": WIDTH - 30, "height": 170}
UNIT = {"title": None, "scale": alt.Scale(domain=[0, 1])}  # the axis of a score
TITLES = {
    "base_rate": "base rate P(A), at the end of training",
    "pass_given_aligned": quantity_words("pass_given_aligned"),
    "pass_given_misaligned": quantity_words("pass_given_misaligned"),
    "likelihood_ratio": "LR = P(T|A) / P(T|not A)",
    "prior_odds": quantity_words("prior_odds"),
    "posterior_odds": f"{quantity_words('posterior_odds')} = LR x o(A)",
    "expected_runs": f"cost: {quantity_words('expected_runs')}",
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


class Choice(NamedTuple):
    """What a reader has chosen, as indices: two conditions, a checkpoint and a mark."""

    condition_a: int
    condition_b: int
    at_checkpoint: int
    at_mark: int


def explorer(
    grid: Grid,
    rows: Sequence[Summary],
    names: Mapping[str, str],
    courses: Mapping[str, tuple[list[Json], list[Json]]],
    chosen: Choice,
) -> Json:
    """Return the specification of the explorable chart.

    Args:
        grid: what is counted at every checkpoint and mark.
        rows: what `lab.summarise` returned.
        names: of the conditions.
        courses: score -> what `shares` and `seeds` of `lab.report.page.courses` returned for it, alignment first.
        chosen: what is shown at first.
    """
    positions = {row.name: position for position, row in enumerate(rows)}
    shown = {positions[name]: number for number, name in enumerate(grid.conditions)}  # courses have all of the run's
    datasets: Datasets = {}
    known, moments = _names_data(datasets, rows, names, shown), _moments_data(datasets, grid)
    data = _grid_data(datasets, grid)
    views = [_quantity(data, known, quantity, _edges(grid, quantity)) for quantity in TITLES]
    views += [_cells(data, known), _marks(data, known)]
    for (score, (shares, seeds)), reached in zip(courses.items(), ("aligned", "passing"), strict=False):
        lines = _shares_data(datasets, score, _of_shown(shares, shown))
        single = _seeds_data(datasets, score, _of_shown(seeds, shown))
        views += [_course(f"{score}, and share {reached}", lines, single, known, param, moments) for param in "ab"]
    context = {"top_level": False, "datasets": datasets}
    # put together here, because altair copies all views for each of these, which takes longer than making them
    return {
        "$schema": alt.SCHEMA_URL,
        "config": charts.config(),
        "concat": [view.to_dict(validate=False, context=context) for view in views],
        "columns": 3,
        "spacing": 26,
        "resolve": {"scale": dict.fromkeys(("color", "shape", "x", "y"), "independent")},
        "params": [{"name": name, "value": value} for name, value in chosen._asdict().items()],
        "datasets": datasets,
    }


def _names_data(
    datasets: Datasets, rows: Sequence[Summary], names: Mapping[str, str], shown: Mapping[int, int]
) -> alt.NamedData:
    """Return names, colours and shapes of conditions as inline data; `shown` maps positions in rows to numbers."""
    styles = charts.styles([rows[position].regimen for position in shown])
    known = [
        {"condition": number, "name": names[rows[position].name], **styles[rows[position].regimen]}
        for position, number in shown.items()
    ]
    columns: dict[str, Kind] = {"condition": "number", "name": "string", "colour": "string", "shape": "string"}
    return inline(datasets, "conditions", known, columns)


def _moments_data(datasets: Datasets, grid: Grid) -> alt.NamedData:
    """Return the shares of training at the checkpoints as inline data."""
    shares = [{"checkpoint": index, "share": share} for index, share in enumerate(grid.checkpoints)]
    return inline(datasets, "checkpoints", shares, {"checkpoint": "number", "share": "number"})


def _of_shown(rows: Sequence[Json], numbers: Mapping[int, int]) -> list[Json]:
    """Return the rows of the conditions that are shown, with the numbers that these have."""
    return [{**row, "condition": numbers[row["condition"]]} for row in rows if row["condition"] in numbers]


def lists(grid: Grid, names: Mapping[str, str], chosen: Choice, own_mark: int) -> list[Json]:
    """Return the lists that a reader chooses from, for the page.

    Args:
        grid: what is counted at every checkpoint and mark.
        names: of the conditions.
        chosen: what is shown at first.
        own_mark: index of the run's own mark.
    """
    conditions = [names[name] for name in grid.conditions]
    checkpoints = [f"after {100 * share:.6g}% of training" for share in grid.checkpoints]
    marks = list(map(setting, grid.marks))
    marks[own_mark] += " (the run's own)"
    texts = {
        "condition_a": ("condition", conditions),
        "condition_b": ("beside", conditions),
        "at_checkpoint": ("test score taken", checkpoints),
        "at_mark": ("passes at or above", marks),
    }
    return [
        {
            "key": key,
            "name": name,
            "options": [
                {"value": index, "text": text, "chosen": index == getattr(chosen, key)}
                for index, text in enumerate(options)
            ],
        }
        for key, (name, options) in texts.items()
    ]


def _edges(grid: Grid, quantity: str) -> Edges:
    """Return the ends of the axis of a quantity."""
    if quantity in RATES:
        return 0.0, 1.0
    low, high = charts.log_edges([row[quantity] for row in grid.rows])
    return (1.0 if quantity == "expected_runs" else low), high


def _grid_data(datasets: Datasets, grid: Grid) -> alt.NamedData:
    """Return the grid as inline data: counts, and each quantity as it is drawn and in words."""
    kinds: dict[str, Kind] = dict.fromkeys(("condition", "checkpoint", "mark", *CELLS), "number")
    table = [{name: row[name] for name in kinds} for row in grid.rows]
    for quantity in TITLES:
        edges = _edges(grid, quantity)
        for point, row in zip(table, grid.rows, strict=True):
            estimate = row[quantity]
            drawn = {**charts.drawn_within(estimate, edges), "text": with_interval(estimate)}
            if quantity in NEUTRAL:
                drawn["filled"] = "no" if estimate.low <= 1 <= estimate.high else "yes"
            point |= {f"{quantity}_{key}": value for key, value in drawn.items()}
        words = ("open", "text", "filled") if quantity in NEUTRAL else ("open", "text")
        kinds |= dict.fromkeys((f"{quantity}_{key}" for key in ("value", "low", "high")), "number")
        kinds |= dict.fromkeys((f"{quantity}_{key}" for key in words), "string")
    return inline(datasets, "grid", table, kinds)


def _known(chart: alt.Chart, names: alt.NamedData) -> alt.Chart:
    """Add name, colour and shape of each row's condition."""
    looked_up = alt.LookupData(names, key="condition", fields=["name", "colour", "shape"])
    return chart.transform_lookup("condition", from_=looked_up)


def _named(chart: alt.Chart, names: alt.NamedData) -> alt.Chart:
    """Add to each row what is known of its condition, and have a row for each of the roles that it plays."""
    roles = "condition_a == condition_b ? ['first', 'second'] : datum.condition == condition_a ? ['first'] : ['second']"
    return _known(chart, names).transform_calculate(roles=roles).transform_flatten(["roles"], ["role"])


def _role_axis(**options: Any) -> alt.Y:
    """Return the axis on which the first of two conditions stands above the second."""
    return alt.Y("role:N", sort=ROLES, scale=alt.Scale(domain=ROLES), axis=None, **options)


def _with_name(text: str) -> str:
    """Return the expression for a text with the name of a condition behind it, or its role where that is too long."""
    role = "(datum.role == 'first' ? 'condition' : 'beside')"
    return f"length({text} + datum.name) > {LETTERS} ? {text} + {role} : {text} + datum.name"


COUNTS = [alt.Tooltip(f"{cell}:Q", title=text) for cell, text in CELLS.items()]


def _quantity(data: alt.NamedData, names: alt.NamedData, quantity: str, edges: Edges) -> View:
    """Draw one quantity of the two conditions with its interval, and write it out."""
    rate = quantity in RATES
    if rate:
        scale, axis = alt.Scale(domain=list(edges), nice=False), alt.Axis(title=None, format="~g", tickCount=5)
    else:
        scale = alt.Scale(domain=list(edges), nice=False, type="log")
        axis = alt.Axis(title=None, format="~g", values=charts.log_ticks(*edges))
    place = {"scale": scale, "axis": axis}
    base = _named(alt.Chart(data).transform_filter(f"{CHOSEN} && {HERE}"), names)
    base = base.encode(
        _role_axis(),
        tooltip=["name:N", alt.Tooltip(f"{quantity}_text:N", title="with interval"), *COUNTS],
    )
    text = base.transform_calculate(line=_with_name(f"datum['{quantity}_text'] + ' '"))
    text = text.mark_text(align="left", dy=-14, limit=0).encode(alt.XValue(0), text="line:N")
    layers = charts.interval_layers(base, f"{quantity}_", place, "colour", "shape", quantity in NEUTRAL)
    if quantity in NEUTRAL:
        one = alt.Chart(alt.InlineData([{"one": 1}])).mark_rule(strokeDash=[2, 2], opacity=0.6)
        layers.insert(0, one.encode(alt.X("one:Q", **place)))
    return alt.layer(*layers, text).properties(title=TITLES[quantity], **SMALL)


def _cells(data: alt.NamedData, names: alt.NamedData) -> View:
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
    who = base.transform_calculate(line=_with_name("''")).mark_text(align="left", dy=-17, limit=0)
    who = who.encode(alt.XValue(0), _role_axis(), text="line:N")
    return alt.layer(counts, who).properties(title="models: aligned (A), passing (T)", **SMALL)


def _dash(**options: Any) -> alt.StrokeDash:
    """Return the dashes that tell the second of two conditions from the first."""
    scale = alt.Scale(domain=ROLES, range=[[1, 0], [5, 4]])
    return alt.StrokeDash("role:N", scale=scale, legend=None, **options)


def _shares_data(datasets: Datasets, score: str, rows: Sequence[Json]) -> alt.NamedData:
    """Return the shares of models that reach the mark of a score as inline data."""
    numbers: dict[str, Kind] = dict.fromkeys(("condition", "share", "value", "low", "high", "unable"), "number")
    return inline(datasets, f"{score} shares", rows, {**numbers, "text": "string"})


def _seeds_data(datasets: Datasets, score: str, rows: Sequence[Json]) -> alt.NamedData:
    """Return a score of single seeds as inline data."""
    columns: dict[str, Kind] = {"condition": "number", "seed": "number", "shares": "string", "scores": "string"}
    return inline(datasets, f"{score} seeds", rows, columns)


def _course(
    title: str, shares: alt.NamedData, seeds: alt.NamedData, names: alt.NamedData, param: str, moments: alt.NamedData
) -> View:
    """Draw the share of one condition's models that reach the mark of a score, over the score of single seeds."""
    mine = f"datum.condition == condition_{param}"
    base = _known(alt.Chart(shares).transform_filter(mine), names)
    x = alt.X("share:Q", title="share of training", scale=alt.Scale(domain=[0, 1]))
    band = base.mark_area(opacity=0.18, color=INK).encode(x, alt.Y("low:Q", **UNIT), alt.Y2("high:Q"))
    line = base.mark_line(strokeWidth=2.5, color=INK).encode(x, alt.Y("value:Q", **UNIT))
    unable = base.transform_joinaggregate(worst="max(unable)").transform_filter(f"datum.worst > {UNABLE_SHOWN}")
    unable = unable.mark_line(strokeWidth=1.5, strokeDash=[2, 3], color=INK).encode(x, alt.Y("unable:Q", **UNIT))
    hits = base.mark_point(size=90, opacity=0, filled=True).encode(
        x,
        alt.Y("value:Q", **UNIT),
        tooltip=[
            "name:N",
            alt.Tooltip("share:Q", title="share of training"),
            alt.Tooltip("text:N", title="models"),
            alt.Tooltip("unable:Q", title="cannot do the job", format=".2~g"),
        ],
    )
    who = "condition" if param == "a" else "beside"
    layers = (_seeds(seeds, names, mine), band, unable, line, hits, _moment(moments))
    return alt.layer(*layers).properties(title=f"{title}: {who}", **TALL)


def _seeds(seeds: alt.NamedData, names: alt.NamedData, mine: str) -> alt.Chart:
    """Draw the score of single seeds, a thin line each."""
    rows = alt.Chart(seeds).transform_filter(mine)
    rows = rows.transform_calculate(**{name: f"split(datum.{name}, '{BETWEEN}')" for name in ("shares", "scores")})
    rows = rows.transform_flatten(["shares", "scores"], ["share", "score"])
    rows = rows.transform_calculate(share="toNumber(datum.share)", score="toNumber(datum.score)")
    return (
        _known(rows, names)
        .mark_line(strokeWidth=1, opacity=0.35)
        .encode(
            alt.X("share:Q", title="share of training", scale=alt.Scale(domain=[0, 1])),
            alt.Y("score:Q", **UNIT),
            alt.Color("colour:N", scale=None),
            detail="seed:N",
        )
    )


def _moment(shares: alt.NamedData) -> alt.Chart:
    """Mark the chosen checkpoint."""
    return (
        alt.Chart(shares)
        .transform_filter("datum.checkpoint == at_checkpoint")
        .mark_rule(strokeDash=[2, 2], opacity=0.6)
        .encode(alt.X("share:Q"))
    )


def _marks(data: alt.NamedData, names: alt.NamedData) -> View:
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
