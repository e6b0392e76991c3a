"""The figures of the law: what it foresees and what came, how reliable its probabilities are, and the phase diagram."""

from typing import Any

from matplotlib.patches import Rectangle

from experiments.studies.law_rules import USES
from lab.figures.palette import BLACK, GREY, style_of
from lab.figures.style import SMALLEST, Figure, Line, Mark, grid, interval
from lab.statistics import Estimate, wilson_interval
from lab.studies.advice import BUDGETS
from lab.words import Json

PHASES = ("hold out", "early", "late", "throughout")  # uses of the phase diagram, by the quadrants of its axes
PHASE_BUDGETS = (1, 100)
PHASE_TICKS = (-1, -0.2, -0.05, 0, 0.05, 0.2, 1)
CLOSE = 0.05  # gains that are this near to the best count as good; and a lead below it says that several are
USE_WORDS = {"window": "the early push, later", "against": "against the test"}
STYLES_OF_USES = {use: style_of("anti" if use == "against" else use) for use in USES}


def in_runs(runs: int) -> str:
    """Return how many runs there are, in words."""
    return "1 run" if runs == 1 else f"{runs} runs"


def close_to_best(data: Json, runs: int) -> tuple[int, int]:
    """Return in how many worlds the quadrant's use is good for so many runs, and how many worlds there are."""
    rows = [row for of_task in data["tasks"].values() for row in of_task["phases"] if row["runs"] == runs]
    return sum(row["lost"] <= CLOSE for row in rows), len(rows)


def right_signs(of_task: Json) -> tuple[int, int]:
    """Return in how many decided cases of a task the law has the sign right, and how many there are."""
    found = [budget["rules"]["law"] for budget in of_task["budgets"].values()]
    return sum(mark["right"] for mark in found), sum(mark["decided"] for mark in found)


def words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the figure of the law."""
    every = [right_signs(of_task) for of_task in data["tasks"].values()]
    right, decided = (sum(part) for part in zip(*every, strict=True))
    frequent = sum(
        round(budget["rules"]["law"]["majority"] * budget["rules"]["law"]["decided"])
        for of_task in data["tasks"].values()
        for budget in of_task["budgets"].values()
    )
    budgets = ", ".join(map(str, BUDGETS[:-1]))
    return {
        "title": f"From two short pushes the law has the sign of a gain right in {right:,} of {decided:,} cases; the "
        f"more frequent sign is right in {frequent:,}",
        "subtitle": "Is the gain in P(accepted is aligned) over holding out what the law foresees? A dot is a use in a "
        f"world drawn at random, with {budgets} or {BUDGETS[-1]} runs, whose gain is known to differ from 0. Over each "
        "task: signs that are right.",
        "caption": CAPTION,
    }


def phases_words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the phase diagram."""
    parts = ["{} of {} worlds".format(*close_to_best(data, runs)) + f" with {in_runs(runs)}" for runs in PHASE_BUDGETS]
    return {
        "title": f"What two short pushes gain says which use to choose: it is within {CLOSE:g} of the best in "
        f"{' and in '.join(parts)}",
        "subtitle": "Which use of a test was best (colour), by what a short push at the start and one at 40% gain in "
        f"P(accepted is aligned)? Hollow: the second best is within {CLOSE:g}.",
        "caption": PHASES_CAPTION,
    }


def reliability_words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the reliability diagram."""
    cells = sum(row["cells"] for row in data["reliability"])
    return {
        "title": f"Probabilities of a gain that the law says are off by {data['calibration_error']:.3f} on average",
        "subtitle": f"How often did a gain come that the law called so likely? {cells:,} cases (a world, a use, a "
        "budget), counted at each point.",
        "caption": RELIABILITY_CAPTION,
    }


def draw_phases(data: Json) -> Figure:
    """A panel per budget: what a short push early gains, and one late; the quadrants name a use, dots are worlds."""
    figure, panels, _ = grid(len(PHASE_BUDGETS), 3.1, columns=len(PHASE_BUDGETS), sharex=True, sharey=True)
    for ax, runs in zip(panels, PHASE_BUDGETS, strict=True):
        rows = [row for of_task in data["tasks"].values() for row in of_task["phases"] if row["runs"] == runs]
        for use, (left, bottom) in zip(PHASES, ((-1, -1), (0, -1), (-1, 0), (0, 0)), strict=True):
            colour, marker, _ = style_of(use)
            ax.add_patch(Rectangle((left, bottom), 1, 1, color=colour, alpha=0.12, linewidth=0))
            place = (0.98 if left == 0 else -0.98, 0.96 if bottom == 0 else -0.96)
            sides: dict[str, Any] = {"ha": "right" if left == 0 else "left", "va": "top" if bottom == 0 else "bottom"}
            ax.text(*place, use, color=colour, weight="bold", bbox=PLAIN, zorder=4, **sides)
            for clear in (False, True):
                chosen = [row for row in rows if row["best"] == use and (row["lead"] >= CLOSE) == clear]
                face = colour if clear else "none"
                places = [[row[key] for row in chosen] for key in ("early", "late")]
                ax.scatter(*places, s=10, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.6, alpha=0.8)
        good, worlds = close_to_best(data, runs)
        ax.set_title(f"{in_runs(runs)}: good in {good} of {worlds} worlds", loc="left", fontsize="small")
        for axis, limits in ((ax.xaxis, ax.set_xlim), (ax.yaxis, ax.set_ylim)):
            getattr(ax, f"set_{axis.axis_name}scale")("symlog", linthresh=CLOSE, linscale=0.6)
            axis.set_ticks(PHASE_TICKS, [f"{tick:+g}" if tick else "0" for tick in PHASE_TICKS], fontsize="x-small")
            limits(-1, 1)
        ax.set_xlabel("what a short push at the start gains")
    panels[0].set_ylabel("what a short push at 40% gains")
    return figure


def draw_reliability(data: Json) -> Figure:
    """How often a gain came, against the probability with which the law foresaw one."""
    figure, (ax,), _ = grid(1, 2.6, columns=1)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.5, linestyle=":")
    for row in data["reliability"]:
        share = Estimate(row["came"] / row["cells"], *wilson_interval(row["came"], row["cells"]))
        interval(ax, row["said"], share, Mark(BLACK, size=3, width=1), upright=True)
        place = {"textcoords": "offset points", "ha": "center", "fontsize": SMALLEST}
        ax.annotate(f"{row['cells']:,}", (row["said"], share.high), (0, 2), **place)
    ax.set_xlabel("probability of a gain that the law says")
    ax.set_ylabel("share of cases with a gain")
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.1))
    return figure


def draw(data: Json) -> Figure:
    """A panel per task: the gain that the law foresees and the one measured, a dot per decided world and use."""
    figure, panels, _ = grid(len(data["tasks"]), 1.75, sharex=True, sharey=True)
    for ax, (task, of_task) in zip(panels, data["tasks"].items(), strict=True):
        for use in USES:
            dots = [dot for dot in of_task["dots"] if dot["use"] == use]
            places = [[dot[key] for dot in dots] for key in ("foreseen", "gain")]
            colour, marker, _ = STYLES_OF_USES[use]
            ax.plot(*places, marker, color=colour, markersize=2.5, markeredgewidth=0, alpha=0.7)
        for line in (ax.axhline, ax.axvline):
            line(0, color=GREY, linewidth=0.5)
        ax.plot([-1, 1], [-1, 1], color=GREY, linewidth=0.5, linestyle=":")
        right, decided = right_signs(of_task)
        ax.set_title(f"{task}: {right} of {decided} right", loc="left", fontsize="x-small", fontweight="bold")
    panels[0].set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    figure.supylabel("measured gain", fontsize="small")
    figure.supxlabel("gain in P(accepted is aligned) that the law foresees", fontsize="small")
    handles = [
        Line([], [], color=colour, marker=marker, linestyle="none", markersize=4, label=USE_WORDS.get(use, use))
        for use, (colour, marker, _) in STYLES_OF_USES.items()
    ]
    figure.legend(handles=handles, ncols=len(handles), loc="outside upper center", frameon=False)
    return figure


PLAIN = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
CAPTION = (
    "What the law foresees and what was measured, for uses of a proxy in worlds drawn at random. A dot is a world and "
    "a use whose gain is known to differ from 0; of every world half of the seeds are the card and half judge."
)
RELIABILITY_CAPTION = (
    "Reliability of the law's probabilities. Decided cells (a world, a use and a budget) in tenths of the probability "
    "of a gain that the law says; the number is how many cells, the line Wilson's 95% interval as if they were "
    "independent."
)
PHASES_CAPTION = (
    "Which use of a proxy was best in worlds drawn at random (colour of a dot; hollow where the second best is within "
    f"{CLOSE:g}), by what two short pilots gain in P(accepted is aligned). Areas say what to do by hand: train "
    "throughout where no pilot loses and one gains, push where one gains and the other loses, else hold out."
)
