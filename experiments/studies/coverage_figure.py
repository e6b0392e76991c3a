"""The figure of `experiments.studies.coverage`, and its summary as a table."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from lab.figures.palette import BLACK, GREEN, GREY, OTHERS, VERMILION, Style
from lab.figures.style import WIDTH, Axes, Figure, Line, name_rows
from lab.words import bound, number

Row = dict[str, Any]  # of the JSON


def coverages(data: Row, one_table: Callable[[Row], bool]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return method -> coverages of single tables, and of what was simulated.

    Args:
        data: as stored.
        one_table: which rows of single tables count.
    """
    exact: dict[str, list[float]] = {}
    for row in data["one_table"]:
        if one_table(row):
            exact.setdefault(row["method"], []).append(row["coverage"])
    simulated: dict[str, list[float]] = {}
    for row in data["simulated"]:
        kind = row["quantity"].split(",")[0]
        simulated.setdefault(kind if row["shared"] is None else f"{kind}, shared seeds", []).append(row["coverage"])
    return exact, simulated


CAPTION = (
    "Left: coverage of nominal 95% intervals, one mark per setting; exact above, simulated below, with the share of "
    "experiments without a false decision where nothing differs. Right: ranks of parameters in their posteriors; band: "
    "99% for uniform ranks."
)
PUBLISHED = ("Katz", "Walter", "MOVER")  # intervals that the lab does not use
NOT_OURS = (*PUBLISHED, "no false decision, every look")  # what the lab does not do
LOWEST = 0.7  # coverage at which the axis begins
UNIFORM = 0.01  # p from which on ranks cannot be told from uniform ones


def words(data: Row) -> Row:
    """Return the title, the subtitle and the caption of the figure."""
    exact, simulated = coverages(data, usual)
    ours = [value for name, values in exact.items() if not name.startswith(PUBLISHED) for value in values]
    ours += [value for values in simulated.values() for value in values]
    theirs = [value for name, values in exact.items() if name.startswith(PUBLISHED) for value in values]
    lowest, published = (bound(min(values), upwards=False, digits=3) for values in (ours, theirs))
    uniform = sum(study["kolmogorov_p"] > UNIFORM for study in data["ranks"].values())
    return {
        "title": f"At a nominal 95%, intervals of the lab cover in at least {lowest} of cases where rates are usual, "
        f"published ones in {published}; ranks in {uniform} of {len(data['ranks'])} posteriors are uniform",
        "subtitle": "Do intervals hold the truth as often as they say (left), and do true values fall evenly into "
        f"posteriors (right)? {len(data['one_table']) + len(data['simulated']):,} settings; a mark is one.",
        "caption": CAPTION,
    }


def figure(data: Row) -> Figure:
    """Coverage of one-table intervals above that of comparisons, and beside them the ranks' distance from uniform."""
    exact, simulated = coverages(data, lambda row: True)
    for row in data["stopping"]:
        kind = {"width": "log impact, stopped at a width"}.get(row["rule"], f"no false decision, {row['rule']}")
        simulated.setdefault(kind, []).append(row["right"])
    fig = Figure(figsize=(WIDTH, 0.9 + 0.21 * (len(exact) + len(simulated))))
    ratios = {"width_ratios": [1.1, 1], "height_ratios": [len(exact), len(simulated)]}
    panels = fig.subplot_mosaic(
        [["one table, exact", "ranks in posteriors"], ["simulated", "ranks in posteriors"]], **ratios
    )
    draw_coverages(panels["one table, exact"], exact)
    draw_coverages(panels["simulated"], simulated)
    draw_ranks(panels["ranks in posteriors"], {kind: np.sort(study["ranks"]) for kind, study in data["ranks"].items()})
    for title, ax in panels.items():
        ax.set_title(title, loc="left", fontsize="small", fontweight="bold")
    panels["simulated"].set_xlabel("coverage")
    handles = [
        Line([], [], color=colour, marker="|", linestyle="none", label=text)
        for colour, text in ((BLACK, "what the lab does"), (VERMILION, "what it does not"))
    ]
    handles.append(Line([], [], color="black", linewidth=0.6, linestyle=":", label="95%"))
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return fig


def draw_ranks(ax: Axes, ranks_of: dict[str, Float[np.ndarray, " rank"]]) -> None:
    """Draw how far ranks are from uniform, with Kolmogorov's 99% band."""
    band = 0.0
    styles = (*OTHERS, Style(GREEN, "", "-."))
    for (kind, ordered), style in zip(ranks_of.items(), styles, strict=True):
        gap = np.arange(1, len(ordered) + 1) / len(ordered) - ordered
        ax.plot(ordered, gap, linewidth=1, color=style.colour, linestyle=style.line, label=kind)
        band = 1.63 / math.sqrt(len(ordered))  # Kolmogorov's 99% point
    ax.axhspan(-band, band, color=GREY, alpha=0.15, linewidth=0)
    ax.text(0.02, 0.97 * band, "grey: 99% if uniform", fontsize="x-small", va="top")
    ax.set_xlabel("rank of the true value")
    ax.set_ylabel("share of ranks below, less uniform")
    ax.set_ylim(-2 * band, 1.1 * band)
    ax.legend(fontsize="x-small", frameon=False, loc="lower center")


def draw_coverages(ax: Axes, groups: dict[str, list[float]]) -> None:
    """Draw a mark per setting, a row per method."""
    for row, (name, values) in enumerate(groups.items()):
        colour = VERMILION if name.startswith(NOT_OURS) else BLACK
        ax.plot(np.clip(values, LOWEST, 1), np.full(len(values), row), "|", color=colour)
    name_rows(ax, list(groups), fontsize="x-small")
    ax.axvline(0.95, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(LOWEST - 0.01, 1.005)
    ax.set_xticks([LOWEST, 0.8, 0.9, 0.95, 1], ["<.7", ".8", ".9", ".95", "1"], fontsize="x-small")


def usual(row: Row) -> bool:
    """Return whether a single table has rates that all intervals of the lab are made for."""
    return "rates" in row and min(row["rates"]) >= 0.05 and max(row["rates"]) <= 0.95


def summary(data: Row) -> list[tuple[str, int, str, str]]:
    """Return (what, settings, lowest, mean) of every method: the rows of the README's table."""
    exact, simulated = coverages(data, usual)
    groups = {**exact, **simulated}
    for row in data["stopping"]:
        kind = {"width": "log impact, stopped at a width"}.get(row["rule"], f"no false decision: {row['rule']}")
        groups.setdefault(kind, []).append(row["right"])
    return [
        (name, len(values), bound(min(values), upwards=False, digits=3), number(sum(values) / len(values)))
        for name, values in groups.items()
    ]
