"""The figure of published log impacts: what training on a detector did to the models, to the test, and net."""

import math

from lab.figures.style import (
    GREEN,
    GREY,
    WHITE,
    WIDTH,
    Axes,
    Figure,
    Line,
    Mark,
    holds,
    interval,
    label,
    subplots,
)
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json

EDGES = (-5.0, 8.5)  # of the axes, in nats
LINE, HEAD = 0.19, 0.9  # height of a line of the figure and of what stands around the lines, in inches
SMALLEST = 6  # points of the smallest text
PANELS = {
    "base_rate": ("Models: ln o(A)", "fewer aligned", "more aligned"),
    "likelihood_ratio": ("Test: ln LR", "passing says less", "passing says more"),
    "net": ("Net: ln o(A|T)", "holding out is better", "training is better"),
}
MARK, BARE = Mark(GREEN, "D", 3.0), {"marker": "o", "markersize": 3.5, "color": GREY, "linestyle": "none"}
CAPTION = (
    "What training on a detector changed in published experiments, over holding it out, in nats. Green: lines whose "
    "cells are counted, with 95% intervals of independent groups; hollow where the interval holds 0. An arrow "
    "goes on without end, because a cell is empty. Grey: printed without n, so without an interval; of the test, it is "
    "the change of P(T|not A) alone, because P(T|A) is not printed. Nothing is drawn where nothing can be told. Lines "
    "with one KL share their held-out runs. In the paper of Gupta and Jenner, held out is the model before training, and "
    "harm is rewarded. Models of Haskins et al. read of their monitor and are not rewarded for passing it. The lab's law "
    "can be asked about none of these detectors: it needs an early and a late push."
)


def is_known(value: Estimate) -> bool:
    """Return whether there is anything to draw of an estimate."""
    return not math.isnan(value.value) and (
        math.isfinite(value.value) or value.low > -math.inf or value.high < math.inf
    )


def lines_of(data: Json) -> list[tuple[str, Json | None]]:
    """Return the lines of the figure: the authors of a paper, and below these its comparisons with anything known."""
    authors = {paper["name"]: f"{paper['authors']}: rows are {{}}s" for paper in data["papers"]}
    lines, paper = [], None
    for comparison in sorted(
        data["comparisons"], key=lambda comparison: not comparison["counted"] and comparison["paper"] != "taufeeque"
    ):
        if not any(is_known(estimate_from_json(comparison[part])) for part in PANELS):
            continue
        if comparison["paper"] != paper:
            paper = comparison["paper"]
            lines.append((authors[paper].format(comparison["row"]), None))
        lines.append((f"{comparison['comparison']}: {comparison['trained']}", comparison))
    return lines


def draw_cell(ax: Axes, place: int, value: Estimate, counted: bool) -> None:
    """Draw one part of one comparison."""
    if not is_known(value):
        return
    if math.isinf(value.low) and math.isinf(value.high) and not counted:
        ax.plot([value.value], [place], markerfacecolor=WHITE, **BARE)
    else:
        interval(ax, place, value, MARK, EDGES, hollow=holds(value, 0.0))


def figure_of(data: Json) -> Figure:
    """A line per comparison, and a panel each for the models, the test and the net."""
    lines = lines_of(data)
    figure, axes = subplots(1, 3, figsize=(WIDTH, HEAD + LINE * len(lines)), sharey=True)
    for ax, (part, (title, left, right)) in zip(axes, PANELS.items(), strict=True):
        ax.axvline(0, color=GREY, linewidth=0.6)
        for place, (_, comparison) in enumerate(lines):
            if comparison is None:
                ax.axhline(place, color=GREY, linewidth=0.3, alpha=0.5)
            else:
                draw_cell(ax, place, estimate_from_json(comparison[part]), comparison["counted"] or part == "base_rate")
        ax.set_title(title, loc="left", fontsize="small", fontweight="bold")
        ax.set_xlim(*EDGES)
        ax.set_xticks([-4, 0, 4, 8], ["-4", "0", "+4", "+8"], fontsize="x-small")
        ax.set_xlabel(f"← {left}\n{right} →", fontsize=SMALLEST)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(lines)), [label(text) for text, _ in lines], fontsize=SMALLEST)
    for text, (_, comparison) in zip(axes[0].get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if comparison is None else "normal")
    axes[0].set_ylim(len(lines) - 0.4, -0.6)
    handles = [
        Line([], [], color=GREEN, marker="D", markersize=3, linewidth=1.2, label="decided (95%)"),
        Line([], [], color=GREEN, marker="D", markersize=3, linewidth=1.2, markerfacecolor=WHITE, label="undecided"),
        Line([], [], markerfacecolor=WHITE, label="printed without n: no interval", **BARE),
    ]
    figure.legend(handles=handles, ncols=3, loc="outside upper center", frameon=False, fontsize="x-small")
    return figure
