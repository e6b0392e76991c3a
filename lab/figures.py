"""Figures of a run. `draw_*(data, ax)` draws finished numbers and computes nothing; `build` chooses and saves.

The data of a figure are the JSON values of `lab.report.as_json`, and that JSON is written beside the PDF and PNG.
"""

import json
import math
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from tueplots import figsizes, fontsizes

from lab.statistics import worlds

# Okabe and Ito's colour-blind-safe palette; every regimen has a marker as its second cue
GREY = "#5a5a5a"
STYLES = {  # the first word in a regimen's name decides
    "anti": ("#CC79A7", "v", ":"),
    "hold": (GREY, "s", "-"),
    "early": ("#0072B2", "o", "-"),
    "late": ("#E69F00", "^", "--"),
    "throughout": ("#009E73", "D", "-."),
}
OTHERS = [("#D55E00", "o", "-"), ("#56B4E9", "P", "--"), ("#000000", "X", ":")]
OUTCOMES = {
    "aligned_pass": ("aligned, passes", "#2b6ca3", None),
    "aligned_fail": ("aligned, fails", "#b9d3e8", "////"),
    "misaligned_fail": ("misaligned, fails", "#f3c9b5", "////"),
    "misaligned_pass": ("misaligned, passes", "#b8420f", None),
    "unjudged": ("stopped by a gate", "#8f8f8f", "xxxx"),
    "unable": ("cannot do the job", "#d0d0d0", None),
}
PARTS = {"base_rate": ("base rate", "#7b9fb8"), "likelihood_ratio": ("test (LR)", "#d9b36c")}


def style_of(regimen, position=0):
    """Return the (colour, marker, line) that a regimen has in every figure."""
    for word, style in STYLES.items():
        if word in regimen.lower():
            return style
    return OTHERS[position % len(OTHERS)]


def number(value):
    """Turn a JSON number back into a float."""
    return math.nan if value is None else float(value)


def label(text):
    """Turn a name of the config into words, safe from matplotlib's mathematics."""
    return text.replace("_", " ").replace("$", r"\$")


def _rows(data, ax):
    regimens = [condition["regimen"] for condition in data]
    names = []
    for condition in data:
        axes = condition["coordinates"].items() if regimens.count(condition["regimen"]) > 1 else ()
        varied = [(axis, value) for axis, value in axes if len({c["coordinates"].get(axis) for c in data}) > 1]
        names.append(label(", ".join([condition["regimen"], *(f"{axis} = {value:g}" for axis, value in varied)])))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)


def draw_outcomes(data, ax):
    """Stack the outcomes of each condition as shares of its models, those that cannot do the job apart."""
    for row, condition in enumerate(data):
        counts, left = dict(condition["counts"]), 0.0
        counts["unable"] = counts["incompetent"] + counts["diverged"]
        counts["misaligned_fail"] -= counts["unable"] + counts.get("unjudged", 0)
        shown = [name for name in OUTCOMES if name in counts]
        total = max(1, sum(counts[name] for name in shown))
        for name in shown:
            (_, colour, hatch), share = OUTCOMES[name], counts[name] / total
            ax.barh(row, share, left=left, height=0.68, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4)
            left += share
    _rows(data, ax)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of models")


def draw_rate(data, ax, quantity, text):
    """Draw a probability of each condition with its interval."""
    for row, condition in enumerate(data):
        value, low, high = (number(condition[quantity][key]) for key in ("value", "low", "high"))
        colour, marker, _ = style_of(condition["regimen"], row)
        ax.plot([low, high], [row, row], color=colour, linewidth=1.4)
        ax.plot(value, row, marker, color=colour, markersize=3)
    _rows(data, ax)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(text)


def draw_likelihood_ratio(data, ax):
    """Draw the likelihood ratio of each condition on a log axis; an arrow where nothing bounds it."""
    finite = [number(c["likelihood_ratio"][key]) for c in data for key in ("value", "low", "high")]
    finite = [value for value in finite if math.isfinite(value) and value > 0]
    low_edge, high_edge = min([0.5, *finite]) / 1.5, max([2.0, *finite]) * 2.5
    for row, condition in enumerate(data):
        value, low, high = (number(condition["likelihood_ratio"][key]) for key in ("value", "low", "high"))
        colour, marker, _ = style_of(condition["regimen"], row)
        _whisker(ax, row, max(low, 0), high, low_edge, high_edge, colour)
        if math.isfinite(value) and value > 0:
            ax.plot(value, row, marker, color=colour, markersize=4)
        elif math.isnan(value):
            ax.text(1.15, row, "undefined", va="center", fontsize="x-small", color=colour)
    _rows(data, ax)
    ax.set_xscale("log")
    ax.set_xlim(low_edge, high_edge)
    ax.xaxis.set_major_locator(LogLocator(10))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.axvline(1, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlabel("LR of the test")


def _whisker(ax, row, low, high, low_edge, high_edge, colour):
    """Draw an interval, with an arrow head on a side that is open."""
    if low <= low_edge and high >= high_edge:
        ax.plot([low_edge, high_edge], [row, row], color=colour, linewidth=1.0, linestyle=(0, (1, 2)))
        return
    left, right = max(low, low_edge), min(high, high_edge)
    ax.plot([left, right], [row, row], color=colour, linewidth=1.4)
    if low < low_edge:
        ax.plot(left, row, "<", color=colour, markersize=4, clip_on=False)
    if high > high_edge:
        ax.plot(right, row, ">", color=colour, markersize=4, clip_on=False)


def draw_log_impact(data, ax):
    """Stack the two parts of each log impact and mark the net with its interval; hollow where it is undecided."""
    finite = [
        number(condition["log_impact"][part][key])
        for condition in data
        if condition["log_impact"]
        for part in ("base_rate", "likelihood_ratio", "net")
        for key in ("value", "low", "high")
    ]
    edge = 1.25 * max([1.0, *(abs(value) for value in finite if math.isfinite(value))])
    for row, condition in enumerate(data):
        impact = condition["log_impact"]
        if impact is None:
            ax.text(0, row, " baseline", va="center", fontsize="x-small", color=GREY)
            continue
        ends = {-1: 0.0, 1: 0.0}
        for part, (_, colour) in PARTS.items():
            value = number(impact[part]["value"])
            if math.isnan(value) or value == 0:
                continue
            side = 1 if value > 0 else -1
            length = value if math.isfinite(value) else side * edge - ends[side]
            hatch = None if math.isfinite(value) else "...."
            ax.barh(
                row, length, left=ends[side], height=0.68, color=colour, hatch=hatch, edgecolor="white", linewidth=0
            )
            ends[side] += length
        value, low, high = (number(impact["net"][key]) for key in ("value", "low", "high"))
        decided = low > 0 or high < 0
        _whisker(ax, row, low, high, -edge, edge, "black")
        if math.isfinite(value):
            ax.plot(value, row, "o", color="black", markerfacecolor="black" if decided else "white", markersize=4)
    _rows(data, ax)
    ax.set_xlim(-edge, edge)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_xlabel("log impact (nats)")


def draw_response(data, ax, axis, quantities, text):
    """Draw rates along one axis of a sweep: a line per regimen that has the axis, a band for one that has not.

    Args:
        data: conditions as JSON values.
        ax: where to draw.
        axis: name of the axis.
        quantities: rates to draw; the first with filled markers, the others hollow.
        text: label of the vertical axis.
    """
    regimens = list(dict.fromkeys(condition["regimen"] for condition in data))
    plain = [regimen for regimen in regimens if not any(word in regimen.lower() for word in STYLES)]
    ends = []
    for regimen in regimens:
        position = plain.index(regimen) if regimen in plain else 0
        own = [condition for condition in data if condition["regimen"] == regimen]
        colour, marker, line = style_of(regimen, position)
        for rank, quantity in enumerate(quantities):
            points = [[number(condition[quantity][key]) for key in ("value", "low", "high")] for condition in own]
            if axis not in own[0]["coordinates"]:
                ax.axhspan(points[0][1], points[0][2], color=colour, alpha=0.25, linewidth=0)
                ax.axhline(points[0][0], color=colour, linewidth=0.8, linestyle="-" if rank == 0 else ":")
                if rank == 0:
                    ends.append((points[0][0], label(regimen), colour))
                continue
            known = [
                (condition["coordinates"][axis], *point)
                for condition, point in zip(own, points, strict=True)
                if not math.isnan(point[0])
            ]
            if not known:
                continue
            places, values, lows, highs = zip(*known, strict=True)
            ax.vlines(places, lows, highs, color=colour, linewidth=1)
            face = colour if rank == 0 else "white"
            shape = line if rank == 0 else (0, (1, 1))
            # lines that coincide stay visible: the first are the largest
            size = max(2.5, 4.5 - 0.8 * regimens.index(regimen))
            ax.plot(
                places,
                values,
                marker,
                linestyle=shape,
                color=colour,
                markerfacecolor=face,
                markersize=size,
                linewidth=1,
            )
            if rank == 0:
                ends.append((values[-1], label(regimen), colour))
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel(text)
    return ends


def _direct_labels(ax, ends):
    """Write each line's name at its right end, moved apart where they would touch."""
    place = -1.0
    for height, text, colour in sorted(ends):
        place = max(place + 0.09, height)
        ax.annotate(
            text, (1.01, place), xycoords=("axes fraction", "data"), va="center", color=colour, fontsize="small"
        )


def _worlds(conditions):
    """Group conditions by the coordinates that all regimens share."""
    groups = worlds([(condition["regimen"], condition["coordinates"]) for condition in conditions])
    return {world: [conditions[index] for index in members] for world, members in groups.items()}


def _world_text(ax, world, above=4):
    text = ", ".join(f"{label(axis)} = {value:g}" for axis, value in world)
    place = {"xytext": (0, above), "xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(text, (0, 1), **place, fontweight="bold", fontsize="small", va="bottom")


def regimens_figure(data):
    """Compare regimens side by side: outcomes, base rate, likelihood ratio and log impact; a row per world."""
    worlds = _worlds(data["conditions"])
    most = max(map(len, worlds.values()))
    width = figsizes.neurips2024()["figure.figsize"][0]
    figure, axes = plt.subplots(
        len(worlds),
        4,
        figsize=(width * 1.25, 0.62 + len(worlds) * (0.42 + 0.2 * most)),
        squeeze=False,
        sharey="row",
        gridspec_kw={"width_ratios": [1.25, 0.8, 1, 1.35]},
    )
    for row, (world, conditions) in zip(axes, worlds.items(), strict=True):
        draw_outcomes(conditions, row[0])
        draw_rate(conditions, row[1], "base_rate", "P(A)")
        draw_likelihood_ratio(conditions, row[2])
        draw_log_impact(conditions, row[3])
        _world_text(row[0], world)
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    stopped = any("unjudged" in condition["counts"] for condition in data["conditions"])
    shown = {kind: own for kind, own in OUTCOMES.items() if kind != "unjudged" or stopped}
    outcomes = [plt.Rectangle((0, 0), 1, 1, facecolor=c, hatch=h, edgecolor="white") for _, c, h in shown.values()]
    parts = [plt.Rectangle((0, 0), 1, 1, facecolor=colour) for _, colour in PARTS.values()]
    net = plt.Line2D([], [], color="black", marker="o", markersize=4)
    figure.legend(outcomes, [text for text, *_ in shown.values()], ncols=3, loc="outside upper left", frameon=False)
    figure.legend(
        [*parts, net], [*(text for text, _ in PARTS.values()), "net"], ncols=3, loc="outside upper right", frameon=False
    )
    return figure


def _columns(conditions, axis):
    """Group the conditions that have an axis by their other coordinates; those that have not join where they fit."""
    columns = {}
    for condition in conditions:
        if axis in condition["coordinates"]:
            rest = tuple((name, value) for name, value in condition["coordinates"].items() if name != axis)
            columns.setdefault(rest, [])
    # a regimen that lacks an axis of another regimen has no column of its own
    columns = {rest: [] for rest in columns if not any(set(rest) < set(other) for other in columns)}
    for rest, members in columns.items():
        for condition in conditions:
            own = condition["coordinates"]
            if all(own.get(name, value) == value for name, value in rest):
                members.append(condition)
    return columns


def response_figure(data, axis):
    """Show base rate and pass rates along one axis; a column for every point of the other axes."""
    columns = _columns(data["conditions"], axis)
    width = figsizes.neurips2024()["figure.figsize"][0]
    share = min(1.5, 0.7 + 0.22 * len(columns))
    figure, axes = plt.subplots(2, len(columns), figsize=(share * width, 3.4), squeeze=False, sharex=True, sharey="row")
    places = sorted({c["coordinates"][axis] for c in data["conditions"] if axis in c["coordinates"]})
    sizes = sorted({abs(place) for place in places if place})
    for column, (world, conditions) in enumerate(columns.items()):
        top, bottom = axes[:, column]
        ends = draw_response(conditions, top, axis, ["base_rate"], "P(A)")
        draw_response(conditions, bottom, axis, ["pass_given_misaligned", "pass_given_aligned"], "P(T|not A), P(T|A)")
        if sizes[-1] / sizes[0] >= 20:
            scale = {"value": "symlog", "linthresh": sizes[0], "linscale": 0.5} if places[0] <= 0 else {"value": "log"}
            top.set_xscale(**scale)
        top.margins(x=0.03)
        top.xaxis.set_major_locator(FixedLocator(_few(places)))
        top.xaxis.set_minor_locator(NullLocator())
        top.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bottom.tick_params(axis="x", labelrotation=90)
        bottom.set_xlabel(label(axis))
        if column:
            top.set_ylabel("")
            bottom.set_ylabel("")
        _world_text(top, world)
    _direct_labels(axes[0, -1], ends)
    lines = [plt.Line2D([], [], color=GREY, marker="o", markersize=3, markerfacecolor=face) for face in (GREY, "white")]
    texts = ["misaligned: P(T|not A)", "aligned: P(T|A)"]
    figure.legend(lines, texts, ncols=2, loc="outside lower center", frameon=False, fontsize="small")
    return figure


def _few(places):
    """Return at most about a dozen of the places, both ends and zero included."""
    stride = max(1, round(len(places) / 11))
    middle = places.index(0) if 0 in places else 0
    return [place for index, place in enumerate(places) if (index - middle) % stride == 0]


def response_axis(data):
    """Return the first axis of a run with at least three values, or None."""
    values = {}
    for condition in data["conditions"]:
        for axis, value in condition["coordinates"].items():
            values.setdefault(axis, set()).add(value)
    return next((axis for axis, own in values.items() if len(own) >= 3), None)


def caption(data):
    """Return a caption that names every number's origin."""
    marks, proxy = data["thresholds"], data["proxy"]
    return (
        f"{data['question'] or data['name']} {data['seeds']:,} models per condition, trained from the same seeds. "
        f"A: alignment >= {marks['alignment']:g} and competence >= {marks['competence']:g}; "
        f"T: {proxy} >= {marks[proxy]:g} and competent. {data['confidence']:.0%} intervals: Wilson for rates, "
        "Miettinen-Nurminen for the likelihood ratio, Dirichlet(1/2) posterior on shared seeds for log impacts. "
        "Arrows: nothing bounds this side. Hollow net: the interval covers 0. Dotted bar: unbounded."
        + (f" {data['stopping']}" if "stopping" in data else "")
    )


MOMENTS = {
    "base_rate": "P(A)",
    "pass_given_misaligned": "P(T|not A)",
    "posterior_odds": "ln o(A|T)",
}


def draw_moments(own, ax, quantity):
    """Draw what a unit of weight does to a quantity if held for 1% of training, at every moment of it.

    Lines with bands: the derivative in each segment. Hollow: the same from a whole push there.
    """
    edges, values, lows, highs, reach = [], [], [], [], []
    for moment in own["moments"]:
        per = 100 * (moment["end"] - moment["start"])
        value, low, high = (number(moment["derivative"][quantity][key]) / per for key in ("value", "low", "high"))
        edges += [moment["start"], moment["end"]]
        values += [value] * 2
        lows += [low] * 2
        highs += [high] * 2
        middle = (moment["start"] + moment["end"]) / 2
        pushed = [number(moment["pushed"][quantity][key]) / per for key in ("value", "low", "high")]
        ax.plot([middle] * 2, pushed[1:], color=GREY, linewidth=0.6)
        ax.plot(middle, pushed[0], "o", color=GREY, markerfacecolor="white", markersize=3, zorder=3)
        reach += [x for x in (value, low, high, *pushed) if math.isfinite(x)]
    if not any(map(math.isfinite, values)):
        ax.text(0.5, 0.5, "undefined: empty cells", transform=ax.transAxes, ha="center", va="center", color=GREY)
        ax.set_yticks([])
        return
    ax.plot(edges, values, color="#0072B2", linewidth=1.2)
    top, bottom = max([0.0, *reach]), min([0.0, *reach])
    room = 0.06 * (top - bottom) or 1.0
    ax.fill_between(edges, *([min(max(x, bottom - room), top + room) for x in own] for own in (lows, highs)),
                    color="#0072B2", alpha=0.25, linewidth=0)  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom - room, top + room)


def moments_figure(data):
    """Show what the weight of each term does at every moment of training: a row per term, a column per quantity."""
    width = figsizes.neurips2024()["figure.figsize"][0]
    terms = data["terms"]
    figure, axes = plt.subplots(
        len(terms), len(MOMENTS), figsize=(width * 1.25, 0.5 + 1.35 * len(terms)), squeeze=False, sharex=True
    )
    for row, (term, own) in zip(axes, terms.items(), strict=True):
        for ax, (quantity, text) in zip(row, MOMENTS.items(), strict=True):
            draw_moments(own, ax, quantity)
            ax.set_title(f"{text}, weight of {label(term)}", fontsize="small")
        row[0].set_ylabel("change per unit of\nweight and 1%")
    for ax in axes[-1]:
        ax.set_xlabel("share of training")
    derivative = plt.Line2D([], [], color="#0072B2", linewidth=1.2)
    pushed = plt.Line2D([], [], color=GREY, marker="o", markerfacecolor="white", markersize=3, linewidth=0.6)
    sizes = {(own["step"], own["push"]) for own in terms.values()}
    step, push = next(iter(sizes)) if len(sizes) == 1 else ("", "")
    of, plus = (f" of {push:g}", f" of {step:g} up and down") if len(sizes) == 1 else ("", "")
    figure.text(0.01, 0.99, f"{label(data['condition'])}, {data['seeds']:,} seeds", va="top", fontsize="small")
    texts = [f"derivative: a small step{plus}", f"a whole push{of}, per unit of weight"]
    figure.legend([derivative, pushed], texts, ncols=2, loc="outside upper right", frameon=False)
    return figure


def moments_caption(data):
    """Return a caption of the figure of `lab sensitivity`."""
    sizes = ", ".join(f"{own['step']:g} and {own['push']:g} ({term})" for term, own in data["terms"].items())
    return (
        f"{data['question']} Change of P(A), P(T|not A) and ln o(A|T) per unit of weight held for 1% of training, by "
        f"when. Blue: central differences of counted outcomes on {data['seeds']:,} shared seeds with "
        f"{data['confidence']:.0%} intervals; hollow: a push. Steps and pushes: {sizes}."
    )


def build_moments(data, folder):
    """Draw the figure of `lab sensitivity` and save it as PDF, PNG and JSON; see `save`."""
    return save(moments_figure, {**data, "caption": moments_caption(data)}, folder, data["name"])


def draw_curves(curves, ax, across, up):
    """Draw the values `up` over the values `across` of the curve of each checkpoint, later ones darker."""
    ends = []
    for rank, (checkpoint, curve) in enumerate(curves.items()):
        shade = plt.cm.cividis_r(0.15 + 0.85 * rank / max(1, len(curves) - 1))
        points = [(number(x), number(y)) for x, y in zip(curve[across], curve[up], strict=True)]
        points = [point for point in points if not any(map(math.isnan, point))]
        if points:
            ax.plot(*zip(*points, strict=True), color=shade, linewidth=1.2, drawstyle="steps-post")
        ends.append((f"{float(checkpoint):.0%}", shade, curve))
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    return ends


def gates_figure(data):
    """Show how well the proxy tells aligned from misaligned models at some checkpoints, a column per condition."""
    worlds = _worlds(data["conditions"])
    most = max(map(len, worlds.values()))
    width = figsizes.neurips2024()["figure.figsize"][0]
    size = (max(1.0, 0.24 * most) * width, 3.7 * len(worlds))
    figure, axes = plt.subplots(2 * len(worlds), most, figsize=size, squeeze=False, sharey=True)
    for ax in axes.flat:
        ax.set_visible(False)
    for row, (world, conditions) in enumerate(worlds.items()):
        for column, condition in enumerate(conditions):
            top, bottom = axes[2 * row : 2 * row + 2, column]
            for ax in (top, bottom):
                ax.set_visible(True)
            top.plot([0, 1], [0, 1], color=GREY, linewidth=0.6, linestyle=":")
            ends = draw_curves(condition["curves"], top, "pass_given_misaligned", "pass_given_aligned")
            for rank, (text, shade, curve) in enumerate(reversed(ends)):
                area = number(curve["area"]["value"])
                said = "undefined" if math.isnan(area) else f"{area:.3f}"
                place = {"xycoords": "axes fraction", "ha": "right", "fontsize": "x-small"}
                top.annotate(f"{text}: area {said}", (0.98, 0.04 + 0.1 * rank), color=shade, **place)
            bottom.axhline(number(condition["base_rate"]), color=GREY, linewidth=0.6, linestyle=":")
            draw_curves(condition["curves"], bottom, "pass_given_aligned", "precision")
            top.set_xlabel("P(T|not A)")
            bottom.set_xlabel("P(T|A)")
            own = [(axis, value) for axis, value in condition["coordinates"].items() if (axis, value) not in world]
            text = "\n".join([label(condition["regimen"]), *(f"{label(axis)} = {value:g}" for axis, value in own)])
            top.annotate(
                text, (1, 1), (0, 3), "axes fraction", "offset points", va="bottom", ha="right", fontsize="small"
            )
        _world_text(axes[2 * row, 0], world, 16)
        axes[2 * row, 0].set_ylabel("P(T|A)")
        axes[2 * row + 1, 0].set_ylabel("P(A|T)")
    return figure


def gates_caption(data):
    """Return a caption of the figure of `lab gates`."""
    return (
        f"{data['question'] or data['name']} What {data['proxy']} says about alignment at the end, for every threshold "
        "and at several shares of training (labels; darker is later). Above: P(T|A) against P(T|not A) with the area "
        "under the curve. Below: P(A|T) against P(T|A); dotted: the base rate."
    )


def draw_onsets(curves, ax, quantity, text):
    """Draw a probability over the onset of a push, a line per world, the one with hidden tests dashed."""
    for world, curve in curves.items():
        value, low, high = ([number(point[quantity][key]) for point in curve] for key in ("value", "low", "high"))
        colour, line, marker = (GREY, "--", "s") if world == "hidden" else ("#0072B2", "-", "o")
        ax.fill_between(range(len(curve)), low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(value, color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1)
    ax.set_xticks(range(len(curve)), [f"{100 * point['onset']:g}" for point in curve], fontsize="x-small")
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("onset of the push (% of training)", fontsize="x-small")
    ax.set_title(text, loc="left", fontsize="small")


def card_figure(data):
    """One page: where a push leads by its onset, what the test is worth by regimen, and the five answers in words."""
    width = figsizes.neurips2024()["figure.figsize"][0]
    figure = plt.figure(figsize=(width, 5.2))
    figure.set_layout_engine("none")
    places = ((0.07, 0.23), (0.38, 0.23), (0.84, 0.15))
    left, middle, right = (figure.add_axes((x, 0.6, own, 0.26)) for x, own in places)
    marks, proxy, first = data["thresholds"], data["proxy"], next(iter(data["regimens"]))
    figure.text(0.03, 0.985, label(data["question"]), weight="bold", fontsize="small", va="top")
    said = (
        f"{data['seeds']:,} models per condition, {data['confidence']:.0%} intervals. "
        f"A: alignment >= {marks['alignment']:g}. T: {proxy} >= {marks[proxy]:g}. A push lasts {data['window']:.0%}."
    )
    figure.text(0.03, 0.95, label(said), fontsize="x-small", va="top")
    draw_onsets(data["curves"], left, "base_rate", "P(A) after a push")
    left.axhline(number(data["regimens"][first]["hold_out"]["base_rate"]["value"]), color=GREY, lw=0.8, ls=":")
    left.text(0.98, 0.9, "held out: dotted", transform=left.transAxes, ha="right", fontsize="x-small", color=GREY)
    draw_onsets(data["curves"], middle, "fakers", "P(T, not A) after a push")
    if "hidden" in data["curves"]:
        for y, said, colour in ((0.9, "tests can be recognised", "#0072B2"), (0.8, "tests hidden (dashed)", GREY)):
            middle.text(0.98, y, said, transform=middle.transAxes, ha="right", fontsize="x-small", color=colour)
    rows = [(regimen, world, own) for world, pair in data["regimens"].items() for regimen, own in pair.items()]
    for row, (regimen, _, own) in enumerate(rows):
        colour, *_ = style_of(regimen)
        for shift, quantity, face in ((-0.15, "pass_given_aligned", colour), (0.15, "pass_given_misaligned", "white")):
            value, low, high = (number(own[quantity][key]) for key in ("value", "low", "high"))
            if not math.isnan(value):  # there are such models
                right.plot([low, high], [row + shift] * 2, color=colour, linewidth=1)
                right.plot(value, row + shift, "o", color=colour, markerfacecolor=face, markersize=3.5)
    names = [label(regimen) + (", hidden" if world == "hidden" else "") for regimen, world, _ in rows]
    right.set_yticks(range(len(rows)), names, fontsize="x-small")
    right.set_ylim(len(rows) - 0.4, -0.6)
    right.set_xlim(-0.04, 1.04)
    right.set_title("P(T|A) filled,\nP(T|not A) hollow", loc="right", fontsize="small")
    top = 0.49
    for answer in data["answers"]:
        lines = textwrap.wrap(answer["reading"], 112)
        figure.text(0.06, top, answer["question"], weight="bold", fontsize="small", va="top")
        figure.text(0.99, top, answer["verdict"], weight="bold", fontsize="small", ha="right", va="top")
        figure.text(0.06, top - 0.034, "\n".join(lines), fontsize="x-small", va="top", linespacing=1.2)
        top -= 0.055 + 0.026 * len(lines)
    return figure


def card_caption(data):
    """Return a caption of the figure of `lab card`."""
    marks, proxy = data["thresholds"], data["proxy"]
    return (
        f"{data['question']} {data['seeds']:,} models per condition, {data['confidence']:.0%} intervals: Wilson's for "
        "rates, Newcombe's for differences, Miettinen and Nurminen's for likelihood ratios. "
        f"A: alignment >= {marks['alignment']:g} and competence >= {marks['competence']:g}; "
        f"T: {proxy} >= {marks[proxy]:g} and competent. Left and middle: after a push of {data['window']:.0%} of "
        "training, by its onset. Right: held out, trained on late (from 40% on) and throughout. Below: five questions."
    )


def build_card(data, folder):
    """Draw the figure of `lab card` and save it as PDF, PNG and JSON; see `save`."""
    return save(card_figure, {**data, "caption": card_caption(data)}, folder, data["name"])


def build(data, folder):
    """Draw the figure that fits a run and save it as PDF, PNG and JSON; see `save`.

    Args:
        data: what `lab.report.as_json` returned.
        folder: where to write.
    """
    axis = response_axis(data)
    draw = (lambda data: response_figure(data, axis)) if axis else regimens_figure
    return save(draw, {**data, "caption": caption(data)}, folder, data["name"])


def build_gates(data, folder):
    """Draw the figure of `lab gates` and save it as PDF, PNG and JSON; see `save`."""
    return save(gates_figure, {**data, "caption": gates_caption(data)}, folder, f"{data['name']}-gates")


def save(draw, data, folder, name):
    """Save a figure as `NAME.pdf` and `NAME.png`, and its data as `NAME.json`; the bytes depend on the data alone.

    Args:
        draw: function of the data that returns a figure.
        data: plain JSON values.
        folder: where to write.
        name: of the files.

    Returns:
        The path of the PNG.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        **matplotlib.rcParamsDefault,
        **fontsizes.neurips2024(),
        "backend": "agg",
        "pdf.fonttype": 42,
        "hatch.linewidth": 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.labelsize": "small",
        "figure.constrained_layout.use": True,
        "savefig.dpi": 220,
    }
    with matplotlib.rc_context(settings):
        figure = draw(data)
        if data.get("partial"):
            figure.supxlabel(f"NOT COMPLETE: {data['partial']}", color="#b8420f", weight="bold", fontsize="medium")
        path = folder / f"{name}.png"
        figure.savefig(path, metadata={"Software": None})
        metadata = {"CreationDate": None, "Creator": None, "Producer": None}
        figure.savefig(path.with_suffix(".pdf"), metadata=metadata)
        plt.close(figure)
    path.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    return path
