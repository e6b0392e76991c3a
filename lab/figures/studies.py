"""The figures of studies: `lab card`, `lab gates`, `lab sensitivity` and `lab optimise`, in this order."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab.figures.palette import BLUE, GREY, VERMILION, WHITE, style_of
from lab.figures.style import (
    WIDTH,
    Axes,
    Figure,
    Line,
    Mark,
    coordinate,
    group_by_world,
    holds,
    interval,
    label,
    matplotlib,
    name_rows,
    save,
    subplots,
    write_world,
)
from lab.statistics import QUANTITIES, Estimate
from lab.studies.search import GOALS
from lab.studies.sensitivity import per_percent
from lab.words import Json, estimate_from_json, number_from_json, percent, rounded, setting

# --- lab card -----------------------------------------------------------------------------------------------------

# heights of the parts of a card, in inches from the top
TITLE, ABOUT, PANELS, ANSWERS = 0.08, 0.26, 2.08, 2.65
PANEL = 1.35  # height of a panel
ANSWER, READING = 0.29, 0.135  # what an answer takes, and each line of its reading
WRAP = 112  # letters in a line of a reading
WORLDS = {  # tests that a model can recognise, and hidden ones: colour, line, marker, words
    "seen": (BLUE, "-", "o", "tests can be recognised"),
    "hidden": (GREY, "--", "s", "tests hidden (dashed)"),
}


def _world(name: str) -> tuple[str, str, str, str]:
    return WORLDS["hidden" if name == "hidden" else "seen"]


def draw_onsets(curves: Mapping[str, Sequence[Json]], ax: Axes, quantity: str, text: str) -> None:
    """Draw a probability over the onset of a push, a line per world, the one with hidden tests dashed."""
    onsets: list[str] = []
    for world, curve in curves.items():
        values, lows, highs = zip(*(estimate_from_json(point[quantity]) for point in curve), strict=True)
        colour, line, marker, _ = _world(world)
        ax.fill_between(range(len(curve)), lows, highs, color=colour, alpha=0.18, linewidth=0)
        ax.plot(values, color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1)
        onsets = [setting(100 * point["onset"]) for point in curve]
    ax.set_xticks(range(len(onsets)), onsets, fontsize="x-small")
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("onset of the push (% of training)", fontsize="x-small")
    ax.set_title(text, loc="left", fontsize="small")


def draw_pass_rates(regimens: Mapping[str, Mapping[str, Json]], ax: Axes) -> None:
    """Draw how often aligned models pass, filled, and misaligned ones, hollow, by world and regimen."""
    rows = [(world, regimen, rates) for world, of_world in regimens.items() for regimen, rates in of_world.items()]
    for row, (_, regimen, rates) in enumerate(rows):
        mark = Mark(style_of(regimen).colour, width=1)
        for shift, quantity in ((-0.15, "pass_given_aligned"), (0.15, "pass_given_misaligned")):
            estimate = estimate_from_json(rates[quantity])
            if not math.isnan(estimate.value):  # there are such models
                interval(ax, row + shift, estimate, mark, hollow=quantity == "pass_given_misaligned")
    names = [label(regimen) + (", hidden" if world == "hidden" else "") for world, regimen, _ in rows]
    name_rows(ax, names, fontsize="x-small")
    ax.set_xlim(-0.04, 1.04)
    aligned, misaligned = (QUANTITIES[name].symbol for name in ("pass_given_aligned", "pass_given_misaligned"))
    ax.set_title(f"{aligned} filled,\n{misaligned} hollow", loc="right", fontsize="small")


def card_figure(data: Json) -> Figure:
    """One page: where a push leads by its onset, what the test is worth by regimen, and the five answers in words."""
    readings = [textwrap.wrap(answer["reading"], WRAP) for answer in data["answers"]]
    height = ANSWERS + sum(ANSWER + READING * len(lines) for lines in readings)
    figure = Figure(figsize=(WIDTH, height))
    figure.set_layout_engine("none")
    panels = ((0.07, 0.23), (0.38, 0.23), (0.84, 0.15))  # left ends and widths
    left, middle, right = (figure.add_axes((x, 1 - PANELS / height, width, PANEL / height)) for x, width in panels)
    question, leads = data["question"].removesuffix("."), data["answers"][2]["verdict"]  # where a push leads
    figure.text(0.03, 1 - TITLE / height, label(f"{question}: {leads}"), weight="bold", fontsize="small", va="top")
    marks, proxy = data["thresholds"], data["proxy"]
    about = (
        f"{data['seeds']:,} models per condition, {percent(data['confidence'])} intervals. A: alignment >= "
        f"{setting(marks['alignment'])}. T: {proxy} >= {setting(marks[proxy])}. A push lasts {percent(data['window'])}."
    )
    figure.text(0.03, 1 - ABOUT / height, label(about), fontsize="x-small", va="top")
    draw_onsets(data["curves"], left, "base_rate", "P(A) after a push")
    held_out = next(iter(data["regimens"].values()))["hold_out"]
    left.axhline(number_from_json(held_out["base_rate"]["value"]), color=GREY, lw=0.8, ls=":")
    left.text(0.98, 0.9, "held out: dotted", transform=left.transAxes, ha="right", fontsize="x-small", color=GREY)
    draw_onsets(data["curves"], middle, "fakers", "P(T, not A) after a push")
    if "hidden" in data["curves"]:
        for y, (colour, _, _, words) in zip((0.9, 0.8), WORLDS.values(), strict=True):
            middle.text(0.98, y, words, transform=middle.transAxes, ha="right", fontsize="x-small", color=colour)
    draw_pass_rates(data["regimens"], right)
    _write_answers(figure, data["answers"], readings, height)
    return figure


def _write_answers(figure: Figure, answers: Sequence[Json], readings: Sequence[list[str]], height: float) -> None:
    """Write the five questions with their answers below the panels of a figure so many inches high."""
    down = ANSWERS
    for answer, lines in zip(answers, readings, strict=True):
        top = 1 - down / height
        figure.text(0.06, top, answer["question"], weight="bold", fontsize="small", va="top")
        figure.text(0.99, top, answer["verdict"], weight="bold", fontsize="small", ha="right", va="top")
        figure.text(0.06, top - 0.18 / height, "\n".join(lines), fontsize="x-small", va="top", linespacing=1.2)
        down += ANSWER + READING * len(lines)


def card_caption(data: Json) -> str:
    """Return a caption of the figure of `lab card`."""
    marks, proxy = data["thresholds"], data["proxy"]
    return (
        f"{data['question']} {data['seeds']:,} models per condition, {percent(data['confidence'])} intervals: Wilson's "
        "for rates, Newcombe's for differences, Miettinen and Nurminen's for likelihood ratios. "
        f"A: alignment >= {setting(marks['alignment'])} and competence >= {setting(marks['competence'])}; "
        f"T: {proxy} >= {setting(marks[proxy])} and competent. Left and middle: after a push of "
        f"{percent(data['window'])} of training, by its onset. Right: held out, trained on late (from 40% on) and "
        "throughout. Below: five questions."
    )


def build_card(data: Json, folder: Path | str) -> Path:
    """Draw the figure of `lab card` and save it as PDF, PNG and JSON; see `save`."""
    return save(card_figure, {**data, "caption": card_caption(data)}, folder, data["name"])


# --- lab gates ----------------------------------------------------------------------------------------------------

GATES_COLUMNS = 3  # conditions beside each other


def _shades(curves: Mapping[str, Json]) -> list[Any]:
    """Return the colour of each checkpoint's curve: later ones are darker."""
    last = max(1, len(curves) - 1)
    return [matplotlib.colormaps["cividis_r"](0.15 + 0.85 * rank / last) for rank in range(len(curves))]


def draw_curves(curves: Mapping[str, Json], ax: Axes, across: str, up: str, steps: bool = False) -> None:
    """Draw the values `up` over the values `across` of the curve of each checkpoint, later ones darker.

    A straight line joins two thresholds, as in the area under a ROC curve, where equal scores are half above each
    other. With `steps`, a value holds from the threshold before it on, as precision does in the average precision.
    """
    for curve, shade in zip(curves.values(), _shades(curves), strict=True):
        every = (tuple(map(number_from_json, pair)) for pair in zip(curve[across], curve[up], strict=True))
        points = [point for point in every if not any(map(math.isnan, point))]
        if not points:
            continue
        if steps:
            points.insert(0, (0.0, points[0][1]))
        drawstyle = "steps-pre" if steps else "default"
        ax.plot(*zip(*points, strict=True), color=shade, linewidth=1.2, drawstyle=drawstyle)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)


def _draw_condition(condition: Json, top: Axes, bottom: Axes) -> None:
    """Draw how well a proxy tells the models of one condition apart: above its ROC curves, below their precision."""
    curves = condition["curves"]
    top.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
    draw_curves(curves, top, "pass_given_misaligned", "pass_given_aligned")
    latest_first = reversed(list(zip(curves.items(), _shades(curves), strict=True)))
    for rank, ((checkpoint, curve), shade) in enumerate(latest_first):
        area = estimate_from_json(curve["area"])
        words = "undefined" if math.isnan(area.value) else rounded(area)
        text, corner = f"{percent(float(checkpoint))}: area {words}", (0.98, 0.04 + 0.12 * rank)
        top.annotate(text, corner, xycoords="axes fraction", ha="right", fontsize="x-small", color=shade)
    bottom.axhline(number_from_json(condition["base_rate"]), color=GREY, linewidth=0.6, linestyle=":")
    draw_curves(curves, bottom, "pass_given_aligned", "precision", steps=True)
    top.set_xlabel(f"misaligned pass, {QUANTITIES['pass_given_misaligned'].symbol}", fontsize="x-small")
    bottom.set_xlabel(f"aligned pass, {QUANTITIES['pass_given_aligned'].symbol}", fontsize="x-small")


def gates_figure(data: Json) -> Figure:
    """Show how well the proxy tells aligned from misaligned models at some checkpoints, two panels per condition."""
    by_world = group_by_world(data["conditions"])
    columns = min(GATES_COLUMNS, max(map(len, by_world.values())))
    lines = [
        (world if start == 0 else (), conditions[start : start + columns])
        for world, conditions in by_world.items()
        for start in range(0, len(conditions), columns)
    ]
    size = (WIDTH, 3.5 * len(lines))
    figure, axes = subplots(2 * len(lines), columns, figsize=size, squeeze=False, sharey=True)
    for ax in axes.flat:
        ax.set_visible(False)
    for row, (world, conditions) in enumerate(lines):
        for column, condition in enumerate(conditions):
            top, bottom = axes[2 * row : 2 * row + 2, column]
            for ax in (top, bottom):
                ax.set_visible(True)
            _draw_condition(condition, top, bottom)
            varied = [item for item in condition["coordinates"].items() if item not in world]
            text = "\n".join([label(condition["regimen"]), *(coordinate(axis, value) for axis, value in varied)])
            top.annotate(
                text, (1, 1), (0, 3), "axes fraction", "offset points", va="bottom", ha="right", fontsize="small"
            )
        write_world(axes[2 * row, 0], world, 16)
        axes[2 * row, 0].set_ylabel(f"aligned pass, {QUANTITIES['pass_given_aligned'].symbol}")
        axes[2 * row + 1, 0].set_ylabel(f"accepted are aligned, {QUANTITIES['aligned_given_pass'].symbol}")
    return figure


def gates_title(data: Json) -> str:
    """Return how large the area under the curve is at the first and the last checkpoint, over all conditions."""
    areas: dict[str, list[float]] = {}
    for condition in data["conditions"]:
        for checkpoint, curve in condition["curves"].items():
            area = number_from_json(curve["area"]["value"])
            if not math.isnan(area):
                areas.setdefault(checkpoint, []).append(area)
    if not areas:
        return f"{label(data['proxy'])}: no condition has both aligned and misaligned models"
    times = sorted(areas, key=float)
    found = []
    for time in dict.fromkeys((times[0], times[-1])):
        ends = dict.fromkeys(f"{area:.2f}" for area in (min(areas[time]), max(areas[time])))
        found.append(f"{' to '.join(ends)} at {percent(float(time))} of training")
    return f"How well {label(data['proxy'])} tells who ends aligned, as the area under the curve: {', '.join(found)}"


def gates_caption(data: Json) -> str:
    """Return a caption of the figure of `lab gates`."""
    return (
        f"{data['question'] or data['name']} What {data['proxy']} says about alignment at the end, for every threshold "
        "and at several shares of training (labels; darker is later). Above: P(T|A) against P(T|not A) with the area "
        "under the curve. Below: P(A|T) against P(T|A); dotted: the base rate."
    )


def build_gates(data: Json, folder: Path | str) -> Path:
    """Draw the figure of `lab gates` and save it as PDF, PNG and JSON; see `save`."""
    subtitle = "For every threshold, darker later in training. Dotted: what no information gives (an area of 0.5)."
    words = {"title": gates_title(data), "subtitle": subtitle, "caption": gates_caption(data)}
    return save(gates_figure, data | words, folder, f"{data['name']}-gates")


# --- lab sensitivity ----------------------------------------------------------------------------------------------

MOMENTS = {  # what is drawn of the quantities and scores whose derivatives there are
    **{name: QUANTITIES[name].scaled_symbol for name in ("base_rate", "pass_given_misaligned", "posterior_odds")},
    "alignment": "alignment",
    "proxy": "score of the proxy",
}
ESTIMATORS = {
    "counted": "central differences of counted outcomes",
    "evolution": "evolution strategies",
    "pathwise": "slopes of mean scores through training",
    "surrogate": "slopes of a margin at the end of each segment",
}
ROOM = 0.06  # of the span of the values, above and below them
CURVE = 1.2  # width of the curve of derivatives, in points
PUSH = Mark(GREY, size=3, width=0.6)  # hollow, because it is not the derivative


def _per_percent(moment: Json, kind: str, quantity: str) -> Estimate:
    return per_percent(estimate_from_json(moment[kind][quantity]), moment["start"], moment["end"])


def draw_moments(moments: Sequence[Json], ax: Axes, quantity: str) -> None:
    """Draw what a unit of weight does to a quantity if held for 1% of training, at every moment of it.

    Lines with bands: the derivative in each segment. Hollow, where there is one: the same from a whole push there.
    """
    slopes = [_per_percent(moment, "derivative", quantity) for moment in moments]
    pushes = {
        (moment["start"] + moment["end"]) / 2: _per_percent(moment, "pushed", quantity)
        for moment in moments
        if moment["pushed"]
    }
    if any(math.isfinite(slope.value) for slope in slopes):
        _draw_slopes(moments, slopes, list(pushes.values()), ax)
    else:
        ax.text(0.5, 0.5, "undefined: empty cells", transform=ax.transAxes, ha="center", va="center", color=GREY)
        ax.set_yticks([])
    for middle, push in pushes.items():
        interval(ax, middle, push, PUSH, hollow=True, upright=True)


def _draw_slopes(moments: Sequence[Json], slopes: Sequence[Estimate], pushes: Sequence[Estimate], ax: Axes) -> None:
    """Draw the derivative of every segment as a line with a band, on an axis that has room for whole pushes too."""
    ends = [end for estimate in (*slopes, *pushes) for end in estimate if math.isfinite(end)]
    top, bottom = max([0.0, *ends]), min([0.0, *ends])
    room = ROOM * (top - bottom) or 1.0
    places = [moment[end] for moment in moments for end in ("start", "end")]
    twice = [slope for slope in slopes for _ in range(2)]
    lows, highs = (
        [min(max(limit, bottom - room), top + room) for limit in limits]
        for limits in ([slope.low for slope in twice], [slope.high for slope in twice])
    )
    ax.plot(places, [slope.value for slope in twice], color=BLUE, linewidth=CURVE)
    ax.fill_between(places, lows, highs, color=BLUE, alpha=0.25, linewidth=0)
    ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom - room, top + room)


def moments_figure(data: Json) -> Figure:
    """Show what the weight of each term does at every moment of training: a row per term, a column per quantity."""
    terms = data["terms"]
    shown = {name: text for name, text in MOMENTS.items() if name in data["quantities"]}
    figure, axes = subplots(
        len(terms), len(shown), figsize=(WIDTH, 0.5 + 1.35 * len(terms)), squeeze=False, sharex=True
    )
    for row, (term, measured) in zip(axes, terms.items(), strict=True):
        for ax, (quantity, text) in zip(row, shown.items(), strict=True):
            draw_moments(measured["moments"], ax, quantity)
            ax.set_title(text, fontsize="small")
        row[0].set_ylabel(f"change per unit of\nweight of {label(term)}\nand 1% of training", fontsize="x-small")
    for ax in axes[-1]:
        ax.set_xlabel("share of training")
    derivative = Line([], [], color=BLUE, linewidth=CURVE)
    if data["estimator"] != "counted":
        texts = [ESTIMATORS[data["estimator"]]]
        figure.legend([derivative], texts, loc="outside upper center", frameon=False, fontsize="x-small")
        return figure
    pushed = Line([], [], color=GREY, marker="o", markerfacecolor=WHITE, markersize=PUSH.size, linewidth=PUSH.width)
    texts = _steps_text(terms)
    figure.legend([derivative, pushed], texts, ncols=2, loc="outside upper center", frameon=False, fontsize="x-small")
    return figure


def _steps_text(terms: Mapping[str, Json]) -> list[str]:
    """Return what a step and a push are, with their sizes where they are the same for all terms."""
    sizes = {(measured["step"], measured["push"]) for measured in terms.values()}
    if len(sizes) > 1:
        return ["derivative: a small step", "a whole push, per unit of weight"]
    ((step, push),) = sizes
    return [
        f"derivative: a small step of {setting(step)} up and down",
        f"a whole push of {setting(push)}, per unit of weight",
    ]


def moments_title(data: Json) -> str:
    """Return when the weight of each term moves P(A) most, or that it is nowhere told from nothing."""
    found = []
    for term, measured in data["terms"].items():
        sure = []
        for moment in measured["moments"]:
            slope = _per_percent(moment, "derivative", "base_rate") if "base_rate" in moment["derivative"] else None
            if slope is not None and not holds(slope, 0) and math.isfinite(slope.value):
                sure.append((abs(slope.value), moment))
        if sure:
            moment = max(sure, key=lambda item: item[0])[1]
            when = f"between {percent(moment['start'])} and {percent(moment['end'])} of training"
            found.append(f"the weight of {label(term)} moves P(A) most {when}")
        else:
            found.append(f"the weight of {label(term)} is not seen to move P(A) at any moment")
    text = "; ".join(found)
    return text[:1].upper() + text[1:]


def moments_caption(data: Json) -> str:
    """Return a caption of the figure of `lab sensitivity`."""
    sizes = ", ".join(
        f"{setting(measured['step'])} and {setting(measured['push'])} ({term})"
        for term, measured in data["terms"].items()
    )
    return (
        f"{data['question']} Change per unit of weight held for 1% of training, by when. Blue: "
        f"{ESTIMATORS[data['estimator']]} on {data['seeds']:,} seeds, {percent(data['confidence'])} intervals; hollow: "
        f"a push. Steps and pushes: {sizes}."
    )


def build_moments(data: Json, folder: Path | str) -> Path:
    """Draw the figure of `lab sensitivity` and save it as PDF, PNG and JSON; see `save`."""
    subtitle = f"{label(data['condition'])}, {data['seeds']:,} models, {percent(data['confidence'])} intervals."
    words = {"title": moments_title(data), "subtitle": subtitle, "caption": moments_caption(data)}
    return save(moments_figure, data | words, folder, data["name"])


# --- lab optimise -------------------------------------------------------------------------------------------------

LEARNED = VERMILION  # what was found by a search
STEEP = 2  # standard errors that a slope is beyond to be told from none


def draw_schedule(data: Json, ax: Axes, term: int) -> None:
    """Draw the weight of a term over training in the schedule found, and thin those of the other searches."""
    edges = [0.0, *data["ends"]]
    best, *others = data["searches"]
    for search in (*reversed(others), best):
        colour, width = (LEARNED, 1.4) if search is best else (GREY, 0.6)
        ax.stairs(np.array(search["weights"])[:, term], edges, baseline=None, color=colour, linewidth=width)
    segments = zip(edges[:-1], edges[1:], best["weights"], best["slopes"], best["errors"], strict=True)
    for start, end, weights, slopes, errors in segments:
        if abs(slopes[term]) > STEEP * errors[term]:
            ax.fill_between([start, end], 0, weights[term], color=LEARNED, alpha=0.35, linewidth=0)
    for side in (-1, 1):
        ax.axhline(side * data["cap"], color="black", linewidth=0.5, linestyle=":")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xlim(0, 1)
    ax.set_ylim(-1.15 * data["cap"], 1.15 * data["cap"])
    ax.set_ylabel(f"weight of\n{label(data['terms'][term])}")


def draw_rivals(rivals: Sequence[Json], ax: Axes, goal: str) -> None:
    """Draw the goal of every schedule with its interval, the best on top; hollow where the one found is not better."""
    values = [estimate_from_json(rival["value"]) for rival in rivals]
    ends = [end for value in values for end in (value.low, value.high) if math.isfinite(end)] or [0.0, 1.0]
    from_below = list(reversed(list(zip(rivals, values, strict=True))))
    for row, (rival, value) in enumerate(from_below):
        learned = rival["name"].startswith("learned")
        undecided = not learned and rival["gain"] is not None and holds(estimate_from_json(rival["gain"]), 0)
        colour = LEARNED if learned else style_of(rival["name"]).colour
        interval(ax, row, value, Mark(colour), (min(ends), max(ends)), hollow=undecided)
    ax.set_yticks(range(len(rivals)), [label(rival["name"]) for rival, _ in from_below], fontsize="x-small")
    ax.set_ylim(-0.7, len(rivals) - 0.3)
    ax.set_xlabel(GOALS[goal])


def schedules_figure(data: Json) -> Figure:
    """Show the schedule found, term by term, beside what it and the hand-made ones reach."""
    terms = len(data["terms"])
    height = max(1.0 + 1.0 * terms, 0.5 + 0.13 * len(data["rivals"]))
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.add_gridspec(terms, 2)
    column = [figure.add_subplot(grid[term, 0]) for term in range(terms)]
    for term, ax in enumerate(column):
        draw_schedule(data, ax, term)
    column[-1].set_xlabel("share of training")
    draw_rivals(data["rivals"], figure.add_subplot(grid[:, 1]), data["goal"]["name"])
    return figure


def schedules_caption(data: Json) -> str:
    """Return a caption of the figure of `lab optimise`."""
    return (
        f"Left: the schedule found under a cap of {setting(data['cap'])} and a budget of {setting(data['budget'])} "
        "(|weight| times share of training), filled where the goal still has a slope beyond twice its standard "
        f"error; grey: from the other starts. Right: {GOALS[data['goal']['name']]} on {data['seeds']:,} fresh seeds, "
        f"{percent(data['confidence'])} intervals; hollow: not told apart from the schedule found."
    )


def build_schedules(data: Json, folder: Path | str) -> Path:
    """Draw the figure of `lab optimise` and save it as PDF, PNG and JSON; see `save`."""
    best = max(data["rivals"], key=lambda rival: number_from_json(rival["value"]["value"]))
    reached = f"{GOALS[data['goal']['name']]} {rounded(estimate_from_json(best['value']))}"
    subtitle = f"{data['seeds']:,} fresh models per schedule, {percent(data['confidence'])} intervals."
    words = {
        "title": f"The best schedule is {label(best['name'])}: {reached}",
        "subtitle": f"{subtitle} Hollow: not told apart from the schedule found.",
        "caption": schedules_caption(data),
    }
    return save(schedules_figure, data | words, folder, data["name"])
