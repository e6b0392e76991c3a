"""The figure of a run: conditions side by side, or outcomes along an axis of the sweep."""

import math

from tueplots import figsizes

from lab.figures.style import GREY, grouped, kind_of, label, matplotlib, number, save, style_of, subplots, world_text
from lab.words import percent, setting

# any two outcomes may touch, where no model is in between: all differ in grey, hatched alike or not
OUTCOMES = {
    "aligned_pass": ("aligned, passes", "#1c4e80", None),
    "aligned_fail": ("aligned, fails", "#5a8cc0", "////"),
    "misaligned_fail": ("misaligned, fails", "#f5bd97", "\\\\\\\\"),
    "misaligned_pass": ("misaligned, passes", "#e8843f", None),
    "unjudged": ("stopped by a gate", "#696969", "xxxx"),
    "unable": ("cannot do the job", "#e4e4e4", None),
}
PARTS = {"base_rate": ("base rate", "#5b8db5"), "likelihood_ratio": ("test (LR)", "#e3c07a")}
NET = "#666666"


def _rows(data, ax):
    regimens = [condition["regimen"] for condition in data]
    names = []
    for condition in data:
        axes = condition["coordinates"].items() if regimens.count(condition["regimen"]) > 1 else ()
        varied = [(axis, value) for axis, value in axes if len({c["coordinates"].get(axis) for c in data}) > 1]
        places = (f"{axis} = {setting(value)}" for axis, value in varied)
        names.append(label(", ".join([condition["regimen"], *places])))
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
    ax.xaxis.set_major_locator(matplotlib.ticker.LogLocator(10))
    ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: setting(value)))
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

    Lines go from the lowest place on the axis to the highest, whatever the order in the config, and have a gap where a
    rate is undefined.

    Args:
        data: conditions as JSON values.
        ax: where to draw.
        axis: name of the axis.
        quantities: rates to draw; the first with filled markers, the others hollow.
        text: label of the vertical axis.
    """
    regimens = list(dict.fromkeys(condition["regimen"] for condition in data))
    plain = [regimen for regimen in regimens if kind_of(regimen) is None]
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
            along = sorted(
                (condition["coordinates"][axis], *point) for condition, point in zip(own, points, strict=True)
            )
            known = [point for point in along if not math.isnan(point[1])]
            if not known:
                continue
            places, _, lows, highs = zip(*known, strict=True)
            ax.vlines(places, lows, highs, color=colour, linewidth=1)
            face = colour if rank == 0 else "white"
            shape = line if rank == 0 else (0, (1, 1))
            # lines that coincide stay visible: the first are the largest
            size = max(2.5, 4.5 - 0.8 * regimens.index(regimen))
            ax.plot(
                [place for place, *_ in along],
                [value for _, value, *_ in along],
                marker,
                linestyle=shape,
                color=colour,
                markerfacecolor=face,
                markersize=size,
                linewidth=1,
            )
            if rank == 0:
                ends.append((known[-1][1], label(regimen), colour))
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


def regimens_figure(data):
    """Compare regimens side by side: outcomes, base rate, likelihood ratio and log impact; a row per world."""
    worlds = grouped(data["conditions"])
    most = max(map(len, worlds.values()))
    width = figsizes.neurips2024()["figure.figsize"][0]
    figure, axes = subplots(
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
        world_text(row[0], world)
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    stopped = any("unjudged" in condition["counts"] for condition in data["conditions"])
    shown = {kind: own for kind, own in OUTCOMES.items() if kind != "unjudged" or stopped}
    outcomes = [
        matplotlib.patches.Rectangle((0, 0), 1, 1, facecolor=c, hatch=h, edgecolor="white")
        for _, c, h in shown.values()
    ]
    parts = [matplotlib.patches.Rectangle((0, 0), 1, 1, facecolor=colour) for _, colour in PARTS.values()]
    net = matplotlib.lines.Line2D([], [], color="black", marker="o", markersize=4)
    figure.legend(outcomes, [text for text, *_ in shown.values()], ncols=3, loc="outside upper left", frameon=False)
    figure.legend(
        [*parts, net], [*(text for text, _ in PARTS.values()), "net"], ncols=3, loc="outside upper right", frameon=False
    )
    return figure


def by_other_axes(conditions, axis):
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
    columns = by_other_axes(data["conditions"], axis)
    width = figsizes.neurips2024()["figure.figsize"][0]
    share = min(1.5, 0.7 + 0.22 * len(columns))
    figure, axes = subplots(2, len(columns), figsize=(share * width, 3.4), squeeze=False, sharex=True, sharey="row")
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
        top.xaxis.set_major_locator(matplotlib.ticker.FixedLocator(_few(places)))
        top.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        top.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: setting(value)))
        bottom.tick_params(axis="x", labelrotation=90)
        bottom.set_xlabel(label(axis))
        if column:
            top.set_ylabel("")
            bottom.set_ylabel("")
        world_text(top, world)
    _direct_labels(axes[0, -1], ends)
    lines = [
        matplotlib.lines.Line2D([], [], color=GREY, marker="o", markersize=3, markerfacecolor=face)
        for face in (GREY, "white")
    ]
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
        f"A: alignment >= {setting(marks['alignment'])} and competence >= {setting(marks['competence'])}; "
        f"T: {proxy} >= {setting(marks[proxy])} and competent. {percent(data['confidence'])} intervals: Wilson for "
        "rates, Miettinen-Nurminen for the likelihood ratio; for log impacts from draws of the joint outcomes of "
        "shared seeds, with one more seed where it matters most. "
        "Arrows: nothing bounds this side. Hollow net: the interval covers 0. Dotted bar: unbounded."
        + (f" {data['stopping']}" if "stopping" in data else "")
    )


def build(data, folder):
    """Draw the figure that fits a run and save it as PDF, PNG and JSON; see `save`.

    Args:
        data: what `lab.report.as_json` returned.
        folder: where to write.
    """
    axis = response_axis(data)
    draw = (lambda data: response_figure(data, axis)) if axis else regimens_figure
    return save(draw, {**data, "caption": caption(data)}, folder, data["name"])
