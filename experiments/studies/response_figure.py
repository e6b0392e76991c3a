"""The figure of `experiments.studies.response`: what single pushes foresee of schedules, and where they miss."""

from collections.abc import Sequence
from typing import Any

from lab.figures.claim import VERDICT_MARKS
from lab.figures.palette import BLACK, GREY, STYLES, VERMILION
from lab.figures.style import SMALLEST, WIDTH, Axes, Figure, Line, subplots
from lab.words import Json

JUDGED = "additive"  # the model that the rule is about
FAILS = 0.1  # of P(A) beyond its interval: of the rule
ABREAST = 3  # panels
TITLE: dict[str, Any] = {"loc": "left", "fontsize": "small", "fontweight": "bold"}
SHOWN = {JUDGED: (BLACK, "o"), "latent": (VERMILION, "x")}
FIRST = {True: (*STYLES["early"][:2], "first push early"), False: (*STYLES["late"][:2], "first push later")}
CAPTION = (
    "Do single pushes on a proxy foresee what whole schedules of pushes do? One mixed world per task. A mark is one "
    "of 30 random schedules that no model of that task was fitted to. Above: P(A) as foreseen from the held-out "
    "population and a push in each tenth of training, and as measured, with its 95% interval (Wilson). Over them stand "
    "mean absolute errors of the additive model and of foreseeing no change. Below: what the additive "
    "model foresees less what was measured, by the dose of all pushes, in those of a pilot; dotted lines are at .1."
)


def words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the figure."""
    tasks = data["tasks"]
    errors = {task: of_task["models"][JUDGED]["errors"]["P(A)"] for task, of_task in tasks.items()}
    good = [task for task, of_task in tasks.items() if of_task["verdict"] == "supported"]
    others = [f"{error:.2f} in {task}" for task, error in errors.items() if task not in good]
    worst = max((errors[task] for task in good), default=0.0)
    seeds = [of_task["seeds"] for of_task in tasks.values()]
    return {
        "title": f"Single pushes foresee whole schedules in {len(good)} of {len(tasks)} tasks (P(A) is off by at most "
        f"{worst:.2f})" + (f"; it is off by {', '.join(others)}" if others else ""),
        "subtitle": "Do effects of single pushes on a test add up? A mark is a random schedule of pushes in one world "
        f"per task, {min(seeds)} to {max(seeds)} models each, 95% intervals.",
        "caption": CAPTION,
    }


def draw(data: Json) -> Figure:
    """Two panels per task: P(A) foreseen and measured, and below the error of the additive model by dose."""
    tasks = list(data["tasks"].items())
    rows = [tasks[start : start + ABREAST] for start in range(0, len(tasks), ABREAST)]
    size = (WIDTH, 0.5 + 2.6 * len(rows))
    figure, axes = subplots(2 * len(rows), ABREAST, figsize=size, squeeze=False, height_ratios=[1.4, 1] * len(rows))
    for ax in axes.flat:
        ax.set_axis_off()
    for above, below, row in zip(axes[::2], axes[1::2], rows, strict=True):
        for left, right, (task, of_task) in zip(above, below, row, strict=False):
            _foreseen(left, task, of_task)
            _missed(right, of_task["dots"])
        above[0].set_ylabel("measured P(A)")
        below[0].set_ylabel("foreseen\nless measured")
        above[1].set_xlabel("P(A) foreseen from single pushes")
        below[1].set_xlabel("dose of all pushes, in short pushes")
    marks_shown = [(colour, marker, f"{name} model") for name, (colour, marker) in SHOWN.items()]
    handles = [
        Line([], [], color=colour, marker=marker, linestyle="none", markersize=3, label=name)
        for colour, marker, name in (*marks_shown, *FIRST.values())
    ]
    figure.legend(handles=handles, ncols=len(handles), loc="outside upper center", frameon=False)
    return figure


def _foreseen(ax: Axes, task: str, of_task: Json) -> None:
    """Draw P(A) as foreseen and as measured."""
    for name, (colour, marker) in SHOWN.items():
        for dot in of_task["dots"]:
            place = dot["foreseen"][name]
            if name == JUDGED:
                ax.plot([place, place], dot["interval"], color=GREY, linewidth=0.4, alpha=0.5)
            ax.plot(place, dot["measured"], marker, color=colour, markersize=2.5, markeredgewidth=0.6)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.5, linestyle=":")
    ax.set_title(f"{task} {VERDICT_MARKS[of_task['verdict']]} {of_task['verdict']}", pad=15, **TITLE)
    errors = [f"{of_task['models'][name]['errors']['P(A)']:.2f}" for name in (JUDGED, "nothing changes")]
    off = "off by {} (no change: {})".format(*errors)
    ax.annotate(off, (0, 1), (0, 5), "axes fraction", "offset points", fontsize=SMALLEST).set_in_layout(False)
    ax.set_axis_on()
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])


def _missed(ax: Axes, dots: Sequence[Json]) -> None:
    """Draw the error of the additive model by dose."""
    for dot in dots:
        colour, marker, _ = FIRST[dot["first"] == 0]
        ax.plot(dot["dose"], dot["foreseen"][JUDGED] - dot["measured"], marker, color=colour, markersize=2.5)
    for height, style in ((0, "-"), (FAILS, ":"), (-FAILS, ":")):
        ax.axhline(height, color=GREY, linewidth=0.5, linestyle=style)
    ax.set_axis_on()
    ax.set(xscale="log", xlim=(0.1, 110), ylim=(-0.75, 0.75))
    ax.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.minorticks_off()
