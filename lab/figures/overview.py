"""The overview of all claims: a line per claim, a column per task, and a mark for each verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.figures.palette import BLACK, WHITE
from lab.figures.style import WIDTH, Axes, Figure, label, subplots
from lab.words import Json

MARKS: dict[str, dict[str, Any]] = {  # told apart by their shapes, in the order of the legend
    "supported": {"marker": "o", "fillstyle": "full"},
    "depends": {"marker": "o", "fillstyle": "left"},
    "contradicted": {"marker": "x", "markeredgewidth": 1.4},
    "undecided": {"marker": "o", "fillstyle": "none"},
}
NOT_ASKED = "not asked"
IN_WORDS = {"depends": "depends on the setting"}  # what the legend calls a verdict, where its name is too short
SIZE = 5.5  # of a mark, in points
LETTERS, HEADING = 6.5, 7.0  # sizes of letters, in points
LINE, GAP, TOP = 0.13, 0.06, 0.5  # inches: a line, what is above a heading, and the names of the tasks
COLUMN = 0.3  # inches between tasks
BAND = "#f2f2f2"  # behind every second line, to lead the eye from a claim to its marks


def draw_mark(ax: Axes, x: float, y: float, verdict: str) -> None:
    """Draw the mark of a verdict."""
    look = {"color": BLACK, "markersize": SIZE, "markerfacecoloralt": WHITE, **MARKS[verdict]}
    ax.plot([x], [y], linestyle="none", **look)


def overview_figure(data: Json) -> Figure:
    """A line per claim under what it asks, a column per task, and the number of each verdict at the end.

    Args:
        data: what `lab.claims.book.overview` returned.
    """
    claims = [claim for group in data["groups"] for claim in group["claims"]]
    lines = len(claims) + len(data["groups"]) + len(MARKS) + 1
    height = TOP + LINE * lines + GAP * (1 + len(data["groups"]))
    figure, ax = subplots(figsize=(WIDTH, height))
    ax.set_axis_off()
    ax.set(xlim=(0, WIDTH), ylim=(height, 0))
    places = {task: WIDTH - COLUMN * (len(data["tasks"]) - index) for index, task in enumerate(data["tasks"])}
    for task, x in places.items():
        ax.text(x - 0.02, TOP - 0.08, label(task), fontsize=LETTERS, rotation=40, rotation_mode="anchor")
    y = TOP
    for group in data["groups"]:
        y += GAP
        ax.text(0, y, label(group["heading"]), fontsize=HEADING, fontweight="bold", va="center")
        y += LINE
        for position, claim in enumerate(group["claims"]):
            if position % 2 == 0:
                ax.axhspan(y - LINE / 2, y + LINE / 2, color=BAND, linewidth=0)
            ax.text(0.08, y, label(claim["claim"]), fontsize=LETTERS, va="center")
            for task, verdict in claim["verdicts"].items():
                draw_mark(ax, places[task], y, verdict)
            y += LINE
    _draw_counts(ax, y + GAP, places, claims)
    return figure


def _draw_counts(ax: Axes, y: float, places: Mapping[str, float], claims: Sequence[Json]) -> None:
    """Say what the marks mean, and how many there are of each in every task and in all."""
    ax.axhline(y - LINE / 2 - GAP / 2, color=BLACK, linewidth=0.6)
    for verdict in [*MARKS, NOT_ASKED]:
        counts = [sum(claim["verdicts"].get(task, NOT_ASKED) == verdict for claim in claims) for task in places]
        if verdict in MARKS:
            draw_mark(ax, 0.12, y, verdict)
        words = f"{IN_WORDS.get(verdict, verdict)}: {sum(counts)}"
        ax.text(0.24, y, words, fontsize=LETTERS, fontweight="bold", va="center")
        for x, count in zip(places.values(), counts, strict=True):
            ax.text(x, y, f"{count}", fontsize=LETTERS, ha="center", va="center")
        y += LINE
