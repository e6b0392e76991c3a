"""The figure of a claim: every condition of every task, with what it does to values, to the test and on balance."""

import math

import numpy as np
from tueplots import figsizes

from lab.figures.style import label, style_of, subplots
from lab.statistics import Counts, compare, estimate
from lab.words import setting

COLUMNS = {
    "base_rate": "P(A)",
    "pass_given_misaligned": "P(T|not A)",
    "pass_rate": "P(T)",
    "net": "net (nats)",
}


def _point(ax, row, value, low, high, colour, marker, edges, told=True):
    """Draw an estimate with its interval, an arrow where it leaves the axis, hollow where it tells nothing."""
    ax.plot(np.clip([low, high], *edges), [row, row], color=colour, linewidth=1.2)
    for beyond, edge, sign in ((low < edges[0], edges[0], "<"), (high > edges[1], edges[1], ">")):
        if beyond:
            ax.plot(edge, row, sign, color=colour, markersize=3.5, clip_on=False)
    if edges[0] <= value <= edges[1]:
        ax.plot(np.clip(value, *edges), row, marker, color=colour, markersize=3.5,
                markerfacecolor=colour if told else "white")  # fmt: skip


def draw_rates(own, ax, quantity):
    """Draw a probability of every condition of a task that is shown."""
    for row, name in enumerate(own.get("shown", own["order"])):
        condition = own["conditions"][name]
        value, low, high = estimate(Counts(*condition["cells"]), quantity)
        colour, marker, _ = style_of(condition["regimen"], row)
        if math.isnan(value):
            ax.text(0.5, row, "none left", ha="center", va="center", fontsize="x-small", color=colour)
        else:
            _point(ax, row, value, low, high, colour, marker, (0.0, 1.0))
    ax.set_xlim(-0.03, 1.03)


def draw_nets(own, ax, baseline, most=6.0):
    """Draw the net of every condition that is shown over the baseline of its world, with 0 marked."""
    names = own["order"]
    for row, name in enumerate(own.get("shown", names)):
        condition = own["conditions"][name]
        rivals = [
            other
            for other, their in own["conditions"].items()
            if their["regimen"] == baseline and their["coordinates"].items() <= condition["coordinates"].items()
        ]
        if condition["regimen"] == baseline or not rivals:
            continue
        pair = sorted((names.index(name), names.index(rivals[0])))
        joint = np.reshape(own["joints"][f"{pair[0]},{pair[1]}"], (4, 4))
        joint = joint if pair[0] == names.index(name) else joint.T
        counts = [Counts(*own["conditions"][each]["cells"]) for each in (name, rivals[0])]
        net = compare(*counts, joint).net
        colour, marker, _ = style_of(condition["regimen"], row)
        if math.isnan(net.value):
            ax.text(0, row, _unknown(counts), ha="center", va="center", fontsize=4.5, color=colour)
        else:
            _point(ax, row, *net, colour, marker, (-most, most), told=not net.low <= 0 <= net.high)
    ax.axvline(0, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(-most * 1.05, most * 1.05)


def _unknown(counts: list[Counts]) -> str:
    """Say why nothing is known of the net of two `Counts`."""
    if not all(population.passing for population in counts):
        return "none passes"
    kind = "aligned" if any(population.misaligned_pass for population in counts) else "misaligned"
    return f"no {kind} pass in either"


def claim_figure(data):
    """A row of panels per task, a column per quantity, a line per condition."""
    tasks = data["tasks"]
    lines = [len(own.get("shown", own["order"])) for own in tasks.values()]
    width = figsizes.neurips2024()["figure.figsize"][0]
    figure, axes = subplots(
        len(tasks), len(COLUMNS), figsize=(width * 1.2, 0.55 + sum(0.3 + 0.14 * count for count in lines)),
        squeeze=False, gridspec_kw={"height_ratios": [count + 1.5 for count in lines]},
    )  # fmt: skip
    for row, (task, own) in zip(axes, tasks.items(), strict=True):
        names = own.get("shown", own["order"])
        varied = [
            axis
            for axis in own["conditions"][names[0]]["coordinates"]
            if len({own["conditions"][name]["coordinates"].get(axis) for name in names}) > 1
        ]
        for ax, quantity in zip(row, COLUMNS, strict=True):
            if quantity == "net":
                draw_nets(own, ax, own["baseline"])
            else:
                draw_rates(own, ax, quantity)
            ax.set_ylim(len(names) - 0.4, -0.6)
            ax.set_yticks([])
        texts = []
        for name in names:
            condition = own["conditions"][name]
            own_place = condition["coordinates"]
            where = [f"{label(axis)} {setting(own_place[axis])}" for axis in varied if axis in own_place]
            texts.append(label(", ".join([condition["regimen"] if "=" in name else name, *where])))
        row[0].set_yticks(range(len(texts)), texts, fontsize="x-small")
        row[0].tick_params(axis="y", length=0)
        row[0].set_title(task, loc="left", fontsize="small", fontweight="bold")
    for ax, text in zip(axes[-1], COLUMNS.values(), strict=True):
        ax.set_xlabel(text)
    return figure


def estimates_figure(panels, xlabel, lines=(), limits=None):
    """A panel per task with a line per estimate.

    Args:
        panels: task -> {what: `Estimate`}; all tasks have the same.
        xlabel: what is estimated.
        lines: values to mark, the first of them as no difference: an interval that holds it is hollow.
        limits: of the axis; what the intervals need by default.
    """
    rows = list(next(iter(panels.values())))
    width = figsizes.neurips2024()["figure.figsize"][0]
    figure, axes = subplots(
        1, len(panels), figsize=(width * 1.2, 0.75 + 0.22 * len(rows)), squeeze=False, sharey=True, sharex=True
    )
    for ax, (task, own) in zip(axes[0], panels.items(), strict=True):
        for row, name in enumerate(rows):
            value, low, high = own[name]
            told = not lines or not low <= lines[0] <= high
            ax.plot([low, high], [row, row], color=f"C{row % 10}", linewidth=1.2)
            ax.plot(value, row, "o", color=f"C{row % 10}", markersize=3.5, markerfacecolor=None if told else "white")
        for line in lines:
            ax.axvline(line, color="black", linewidth=0.6, linestyle=":")
        ax.set_title(task, loc="left", fontsize="small", fontweight="bold")
        if limits:
            ax.set_xlim(*limits)
    axes[0][0].set_yticks(range(len(rows)), rows, fontsize="x-small")
    axes[0][0].set_ylim(len(rows) - 0.4, -0.6)
    figure.supxlabel(xlabel, fontsize="small")
    return figure
