"""The figure of `lab gates`."""

import math

from tueplots import figsizes

from lab.figures.style import GREY, grouped, label, matplotlib, number, save, subplots, world_text
from lab.words import from_json, percent, rounded, setting


def draw_curves(curves, ax, across, up, steps=False):
    """Draw the values `up` over the values `across` of the curve of each checkpoint, later ones darker.

    A straight line joins two thresholds, as in the area under a ROC curve, where equal scores are half above each
    other. With `steps`, a value holds from the threshold before it on, as precision does in the average precision.
    """
    ends = []
    for rank, (checkpoint, curve) in enumerate(curves.items()):
        shade = matplotlib.colormaps["cividis_r"](0.15 + 0.85 * rank / max(1, len(curves) - 1))
        points = [(number(x), number(y)) for x, y in zip(curve[across], curve[up], strict=True)]
        points = [point for point in points if not any(map(math.isnan, point))]
        if steps and points:
            points = [(0.0, points[0][1]), *points]
        if points:
            drawstyle = "steps-pre" if steps else "default"
            ax.plot(*zip(*points, strict=True), color=shade, linewidth=1.2, drawstyle=drawstyle)
        ends.append((percent(float(checkpoint)), shade, curve))
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    return ends


def gates_figure(data):
    """Show how well the proxy tells aligned from misaligned models at some checkpoints, a column per condition."""
    worlds = grouped(data["conditions"])
    most = max(map(len, worlds.values()))
    width = figsizes.neurips2024()["figure.figsize"][0]
    size = (max(1.0, 0.24 * most) * width, 3.7 * len(worlds))
    figure, axes = subplots(2 * len(worlds), most, figsize=size, squeeze=False, sharey=True)
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
                area = from_json(curve["area"])
                said = "undefined" if math.isnan(area.value) else rounded(area)
                place = {"xycoords": "axes fraction", "ha": "right", "fontsize": "x-small"}
                top.annotate(f"{text}: area {said}", (0.98, 0.04 + 0.1 * rank), color=shade, **place)
            bottom.axhline(number(condition["base_rate"]), color=GREY, linewidth=0.6, linestyle=":")
            draw_curves(condition["curves"], bottom, "pass_given_aligned", "precision", steps=True)
            top.set_xlabel("P(T|not A)")
            bottom.set_xlabel("P(T|A)")
            own = [(axis, value) for axis, value in condition["coordinates"].items() if (axis, value) not in world]
            places = (f"{label(axis)} = {setting(value)}" for axis, value in own)
            text = "\n".join([label(condition["regimen"]), *places])
            top.annotate(
                text, (1, 1), (0, 3), "axes fraction", "offset points", va="bottom", ha="right", fontsize="small"
            )
        world_text(axes[2 * row, 0], world, 16)
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


def build_gates(data, folder):
    """Draw the figure of `lab gates` and save it as PDF, PNG and JSON; see `save`."""
    return save(gates_figure, {**data, "caption": gates_caption(data)}, folder, f"{data['name']}-gates")
