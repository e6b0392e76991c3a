"""The figures of claims: conditions of every task with their values, test and net, or a panel of estimates per task."""

import math
from collections.abc import Sequence
from typing import Any

from lab.figures.run import OUTCOMES
from lab.figures.style import (
    BLACK,
    GREY,
    WIDTH,
    Axes,
    Figure,
    Mark,
    holds,
    interval,
    label,
    mark_of,
    name_rows,
    subplots,
)
from lab.statistics import PARTS, QUANTITIES
from lab.words import Json, estimate_from_json, setting

RATES = ("base_rate", "pass_given_misaligned", "pass_rate")
MOST = 6.0  # nats, where the axis of nets ends
UNABLE_FACE: dict[str, Any] = {  # of a bar of models that cannot do the job
    "facecolor": OUTCOMES["unable"].colour,
    "hatch": "///",
    "edgecolor": GREY,
    "linewidth": 0.4,
}


VERDICT_MARKS = {"supported": "\u25cf", "depends": "\u25d0", "contradicted": "\u2715", "undecided": "\u25cb"}


def name_task(ax: Axes, task: str, counts: Json) -> None:
    """Write a task and the verdict in it over a panel.

    Args:
        ax: the panel.
        task: its name.
        counts: what the data of the claim have of it.
    """
    verdict = counts["verdict"]
    ax.set_title(f"{task} {VERDICT_MARKS[verdict]} {verdict}", loc="left", fontsize="small", fontweight="bold")


def name_task_over_row(ax: Axes, task: str, counts: Json) -> None:
    """Write a task and the verdict in it over a row of panels that are narrower than the words.

    Args:
        ax: the first panel of the row.
        task: its name.
        counts: what the data of the claim have of it.
    """
    name_task(ax, task, counts)
    words = ax.get_title(loc="left")
    ax.set_title(" ", loc="left", fontsize="small")  # keeps the room above; the words would make the panel wider
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    ax.annotate(words, (0, 1), (0, 5), fontsize="small", fontweight="bold", **place).set_in_layout(False)


def draw_rates(rows: Sequence[Json], ax: Axes, quantity: str) -> None:
    """Draw a probability of every condition of a task that is shown."""
    for height, row in enumerate(rows):
        rate, mark = estimate_from_json(row[quantity]), mark_of(row["regimen"], height)
        if math.isnan(rate.value):
            ax.text(0.5, height, "none left", ha="center", va="center", fontsize="x-small", color=mark.colour)
        else:
            interval(ax, height, rate, mark, (0.0, 1.0))
    ax.set_xlim(-0.03, 1.03)


def draw_nets(rows: Sequence[Json], ax: Axes) -> None:
    """Draw the net of every condition that is shown over the baseline of its world, with 0 marked."""
    for height, row in enumerate(rows):
        if row["net"] is None:  # a baseline, or a condition without one
            continue
        net, mark = estimate_from_json(row["net"]), mark_of(row["regimen"], height)
        if math.isnan(net.value):
            ax.text(0, height, row["no_net"], ha="center", va="center", fontsize=4.5, color=mark.colour)
        else:
            interval(ax, height, net, mark, (-MOST, MOST), hollow=holds(net, 0))
    ax.axvline(0, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(-MOST * 1.05, MOST * 1.05)


def _row_names(rows: Sequence[Json]) -> list[str]:
    """Return what each row is called: its name, or its regimen and where it lies on the axes that vary among them."""
    axes = dict.fromkeys(axis for row in rows for axis in row["coordinates"])  # a baseline lacks those of regimens
    varied = [axis for axis in axes if len({row["coordinates"].get(axis) for row in rows}) > 1]
    names = []
    for row in rows:
        coordinates = row["coordinates"]
        places = [f"{label(axis)} {setting(coordinates[axis])}" for axis in varied if axis in coordinates]
        names.append(label(", ".join([row["regimen"] if "=" in row["name"] else row["name"], *places])))
    return names


def claim_figure(data: Json) -> Figure:
    """A row of panels per task, a column per quantity, a line per condition.

    Args:
        data: of a claim; what is plotted of a task is what `lab.claims.book.condition_rows` returned.
    """
    plotted = {task: counted["plotted"] for task, counted in data["tasks"].items()}
    lengths = [len(rows) for rows in plotted.values()]
    figure, axes = subplots(
        len(plotted),
        len(RATES) + 1,
        figsize=(WIDTH * 1.2, 0.55 + sum(0.3 + 0.14 * length for length in lengths)),
        squeeze=False,
        gridspec_kw={"height_ratios": [length + 1.5 for length in lengths]},
    )
    for panels, (task, rows) in zip(axes, plotted.items(), strict=True):
        for ax, quantity in zip(panels, RATES, strict=False):
            draw_rates(rows, ax, quantity)
        draw_nets(rows, panels[-1])
        for ax in panels:
            ax.set_ylim(len(rows) - 0.4, -0.6)
            ax.set_yticks([])
        name_rows(panels[0], _row_names(rows), fontsize="x-small")
        panels[0].tick_params(axis="y", length=0)
        name_task(panels[0], task, data["tasks"][task])
    for ax, quantity in zip(axes[-1], RATES, strict=False):
        ax.set_xlabel(QUANTITIES[quantity].symbol)
    axes[-1][-1].set_xlabel(PARTS["net"].heading)
    return figure


def estimates_figure(
    data: Json, xlabel: str, lines: Sequence[float] = (), limits: tuple[float, float] | None = None
) -> Figure:
    """A panel per task with a line per estimate.

    Args:
        data: of a claim; what is plotted of a task is a list of estimates with a `name` each, and a `regimen` where
            they are those of one. All tasks have the same names.
        xlabel: what is estimated.
        lines: values to mark, the first of them as no difference: an interval that holds it is hollow.
        limits: of the axis; what the intervals need by default.
    """
    plotted = {task: counted["plotted"] for task, counted in data["tasks"].items()}
    names = [row["name"] for row in next(iter(plotted.values()))]
    figure, axes = subplots(
        1, len(plotted), figsize=(WIDTH * 1.2, 0.75 + 0.22 * len(names)), squeeze=False, sharey=True, sharex=True
    )
    for ax, (task, rows) in zip(axes[0], plotted.items(), strict=True):
        for height, row in enumerate(rows):
            estimate = estimate_from_json(row)
            mark = mark_of(row["regimen"]) if "regimen" in row else Mark(BLACK)
            interval(ax, height, estimate, mark, hollow=bool(lines) and holds(estimate, lines[0]))
        for line in lines:
            ax.axvline(line, color="black", linewidth=0.6, linestyle=":")
        name_task(ax, task, data["tasks"][task])
        if limits:
            ax.set_xlim(*limits)
    name_rows(axes[0][0], names, fontsize="x-small")
    figure.supxlabel(xlabel, fontsize="small")
    return figure
