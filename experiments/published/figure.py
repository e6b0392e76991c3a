"""The figure of published log impacts: what training on a detector did to the models, to the test, and net."""

import math

from lab.figures.palette import BLACK, GREY, WHITE
from lab.figures.style import SMALLEST, WIDTH, Axes, Figure, Line, Mark, holds, interval, label, subplots
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json

EDGES = (-5.0, 8.5)  # of the axes, in nats
LINE, HEAD = 0.19, 0.9  # height of a line of the figure and of what stands around the lines, in inches
PANELS = {
    "base_rate": ("models,\nchange of ln o(A)", "fewer aligned", "more aligned"),
    "likelihood_ratio": ("test,\nchange of ln LR", "passing says less", "passing says more"),
    "net": ("net,\nchange of ln o(A|T)", "holding out is better", "training is better"),
}
DECIDED, OPEN = Mark(BLACK, "D", 3.0), Mark(GREY, "D", 3.0, 0.8)
PLAIN = {"facecolor": WHITE, "edgecolor": "none", "pad": 0.5}
BARE = {"marker": "x", "markersize": 3.5, "color": BLACK, "linestyle": "none"}
CAPTION = (
    "What training on a detector changed in published experiments, over holding it out, in nats. Black: decided at "
    "95%, from counts of independent groups. Grey and hollow: the interval holds 0. An arrow goes on without end, "
    "because a cell is empty. Cross: printed without n, so without an interval; of the test, it is the change of "
    "P(T|not A) alone, because P(T|A) is not printed. Nothing is drawn where nothing can be told. Lines with one KL "
    "share their held-out runs. In the paper of Gupta and Jenner, harm is rewarded, and held out is the model before "
    "training. Models of Haskins et al. read of their monitor and are not rewarded for passing it. The lab's law can "
    "be asked about none of these detectors: it needs an early and a late push."
)


def words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the figure."""
    verdicts = data["verdicts"]
    above, below = verdicts["above"], verdicts["below"]
    return {
        "title": f"Of {verdicts['counted']} published comparisons, training on a detector raises the odds of alignment "
        f"for sure in {above['base_rate']} and lowers them in {below['base_rate']}; the sign of the net is known in "
        f"{above['net'] + below['net']}",
        "subtitle": "What did training on a detector change in published experiments, over holding it out, in nats? "
        "95% intervals.",
        "caption": CAPTION,
    }


def is_known(value: Estimate) -> bool:
    """Return whether there is anything to draw of an estimate."""
    return not math.isnan(value.value) and (
        math.isfinite(value.value) or value.low > -math.inf or value.high < math.inf
    )


def lines_of(data: Json) -> list[tuple[str, Json | None]]:
    """Return the lines of the figure: heads, and below each the comparisons of which anything is known."""
    authors = {paper["name"]: paper["authors"] for paper in data["papers"]}
    lines, last = [], None
    for comparison in sorted(data["comparisons"], key=lambda comparison: comparison["n"][0] is None):
        if not any(is_known(estimate_from_json(comparison[part])) for part in PANELS):
            continue
        task, _, world = comparison["comparison"].partition(", ")
        head = f"{task}: {comparison['row']}s ({authors[comparison['paper']]})"
        if head != last:
            lines.append((head, None))
        last = head
        lines.append((f"{world}, {comparison['trained']}", comparison))
    return lines


def draw_cell(ax: Axes, place: int, value: Estimate) -> None:
    """Draw one part of one comparison."""
    if not is_known(value):
        return
    if math.isinf(value.low) and math.isinf(value.high):
        ax.plot([value.value], [place], **BARE)
    else:
        undecided = holds(value, 0.0)
        interval(ax, place, value, OPEN if undecided else DECIDED, EDGES, hollow=undecided)


def figure_of(data: Json) -> Figure:
    """A line per comparison, and a panel each for the models, the test and the net."""
    lines = lines_of(data)
    figure, axes = subplots(1, 3, figsize=(WIDTH, HEAD + LINE * len(lines)), sharey=True)
    for ax, (part, (title, left, right)) in zip(axes, PANELS.items(), strict=True):
        ax.axvline(0, color=GREY, linewidth=0.6)
        for place, (_, comparison) in enumerate(lines):
            if comparison is not None:
                draw_cell(ax, place, estimate_from_json(comparison[part]))
        ax.set_title(title, loc="left", fontsize="x-small", fontweight="bold")
        ax.set_xlim(*EDGES)
        ax.set_xticks([-4, 0, 4, 8], ["-4", "0", "+4", "+8"], fontsize="x-small")
        ax.set_xlabel(f"← {left}\n{right} →", fontsize=SMALLEST)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    names = ["" if comparison is None else label(text) for text, comparison in lines]
    axes[0].set_yticks(range(len(lines)), names, fontsize=SMALLEST)
    for place, (text, comparison) in enumerate(lines):
        if comparison is None:
            head = {"xycoords": ("figure fraction", "data"), "annotation_clip": False, "va": "center"}
            text = axes[0].annotate(
                label(text), (0.005, place), fontsize=SMALLEST, fontweight="bold", bbox=PLAIN, **head
            )
            text.set_in_layout(False)
    axes[0].set_ylim(len(lines) - 0.4, -0.6)
    dot = {"marker": "D", "markersize": 3}
    handles = [
        Line([], [], color=BLACK, linewidth=1.2, label="decided (95%); arrow: a cell is empty", **dot),
        Line([], [], color=GREY, linewidth=0.8, markerfacecolor=WHITE, label="undecided", **dot),
        Line([], [], label="printed without n", **BARE),
    ]
    figure.legend(handles=handles, ncols=3, loc="outside upper center", frameon=False)
    return figure
