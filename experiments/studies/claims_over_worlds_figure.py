"""What `experiments.studies.claims_over_worlds` found, as a table, a figure and the words around them."""

from lab import claims
from lab.figures.claim import VERDICT_MARKS
from lab.figures.palette import BLACK, GREY, SKY, VERMILION, WHITE
from lab.figures.style import SMALLEST, WIDTH, Axes, Figure, Patch, label, name_rows, subplots
from lab.tasks import TASKS
from lab.words import Json, estimate_from_json, number, with_interval

NAME = "claims_over_worlds"  # of the figure and its data
# claims whose rules or worlds were sharpened after these worlds had been judged; training them anew empties this
FORMER = (
    "critical_period",
    "early_rejection",
    "adult_tests",
    "implicit_proxies",
    "anti_training",
    "restart_or_continue",
)

HEADER = (
    "claim",
    "task",
    "in the chosen world",
    "worlds that count",
    "holds in",
    "of those decided",
    "undecided",
    "contradicted",
    "depends",
    "it holds where",
)


def line(name: str, task: str, cell: Json) -> list[str]:
    """Return the row of a claim in a task, as `HEADER` has it."""
    return [
        name,
        task,
        cell["chosen"],
        f"{cell['counted']} of {cell['worlds']}",
        with_interval(estimate_from_json(cell["share"])),
        with_interval(estimate_from_json(cell["share_of_decided"])) if cell["counted"] > cell["undecided"] else "none",
        *(str(cell[kind]) for kind in (claims.UNDECIDED, claims.CONTRADICTED, claims.DEPENDS)),
        deciding(cell),
    ]


def deciding(cell: Json) -> str:
    """Return in words where a claim holds, with numbers, or that no knob tells."""
    tree = cell["tree"]
    if tree is None:
        return "no knob tells"
    inside, outside = ("{holds} of {worlds}".format(**tree[side]) for side in ("inside", "outside"))
    sure = f"accuracy {cell['accuracy']:.2f}, larger kind {cell['majority']:.2f}, p {number(cell['p'], 2)}"
    return f"{tree['where']}: {inside}; elsewhere {outside} ({sure})"


def rows(data: Json) -> list[list[str]]:
    """Return the table: a row per claim and task."""
    return [line(name, task, cell) for name, by_task in data["claims"].items() for task, cell in by_task.items()]


WHOSE_RULES = f"By the former rules of {', '.join(FORMER[:-1])} and {FORMER[-1]}, which were sharpened afterwards. "
COLOURS = {  # of verdicts; those that are not decided are hollow
    claims.SUPPORTED: BLACK,
    claims.DEPENDS: SKY,
    claims.UNDECIDED: WHITE,
    claims.CONTRADICTED: VERMILION,
}
TITLE = "In which share of random worlds each claim holds"
ON_PAGE = (
    "Each claim above stands in a world that somebody chose. Here its own config is trained in worlds whose knobs are "
    "drawn at random, and its own rule judges each of them. A world counts if at least 95% of its held-out models do "
    "the job. Shares have Wilson's 95% interval over worlds. Undecided worlds are part of the first share, not of the "
    "second. The last column says where a claim holds among decided worlds, if a tree on the drawn knobs tells that "
    "better than chance in cross-validation; it also says in how many worlds the claim holds there and elsewhere. "
    f"{WHOSE_RULES}The rule of the study stands in `experiments/studies/claims_over_worlds.py`, whose commands train "
    "and judge."
)
CAPTION = (
    "In which share of worlds drawn at random each claim holds. A bar is all worlds of a task whose held-out models do "
    "the job, by what the claim's own rule says of each. The number beside it counts these worlds. The mark before it "
    "is the verdict in the world that somebody chose. A star says that a drawn knob tells where the claim holds, "
    f"better than chance in cross-validation; the table names it. {WHOSE_RULES.strip()}"
)
BAR = 0.6  # height of a bar


def words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the figure."""
    cells = [cell for by_task in data["claims"].values() for cell in by_task.values()]
    decided = [kind for kind in COLOURS if kind != claims.UNDECIDED]
    worlds, open_ones = sum(cell["counted"] for cell in cells), sum(cell[claims.UNDECIDED] for cell in cells)
    alike = sum(cell[cell["chosen"]] for cell in cells if cell["chosen"] in decided)
    of = sum(cell[kind] for cell in cells for kind in decided if cell["chosen"] in decided)
    return {
        "title": f"{open_ones:,} of {worlds:,} random worlds leave a claim undecided; of those that decide, {alike} of "
        f"{of} agree with the world that somebody chose",
        "subtitle": "In which share of worlds drawn at random does each claim hold? Before a bar: the verdict in the "
        "chosen world. Behind it: worlds that count; a star: a knob tells where the claim holds.",
        "caption": CAPTION,
    }


def draw_bar(ax: Axes, height: float, cell: Json) -> None:
    """Draw the bar of a claim in a task, its number of worlds, and the verdict in the chosen world."""
    left, counted = 0.0, max(1, cell["counted"])
    edge = {"edgecolor": GREY, "linewidth": 0.4}
    for verdict, colour in COLOURS.items():
        ax.barh(height, cell[verdict] / counted, BAR, left, color=colour, **edge)
        left += cell[verdict] / counted
    known = "*" if cell["tree"] else ""
    ax.text(1.03, height, f"{cell['counted']}{known}", va="center", fontsize=SMALLEST, color=GREY)
    if cell["chosen"] in VERDICT_MARKS:
        ax.text(-0.09, height, VERDICT_MARKS[cell["chosen"]], va="center", ha="center", fontsize="small")


def figure_of(data: Json) -> Figure:
    """A column per task and a row per claim: shares of worlds by verdict."""
    names = list(data["claims"])
    tasks = [task for task in TASKS if any(task in by_task for by_task in data["claims"].values())]
    size = (WIDTH, 0.6 + 0.28 * len(names))
    figure, axes = subplots(1, len(tasks), figsize=size, sharey=True, squeeze=False)
    for ax, task in zip(axes[0], tasks, strict=True):
        for height, name in enumerate(names):
            if task in data["claims"][name]:
                draw_bar(ax, height, data["claims"][name][task])
        ax.set_title(task, loc="left", fontsize="small", fontweight="bold")
        ax.set_xlim(-0.17, 1.18)
        ax.set_xticks([0, 0.5, 1], ["0", "½", "1"], fontsize="x-small")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    name_rows(axes[0, 0], [label(name) for name in names], fontsize="x-small")
    figure.supxlabel("share of worlds", fontsize="small")
    handles = [
        Patch(
            (0, 0), 1, 1, facecolor=colour, edgecolor=GREY, linewidth=0.4, label=f"{VERDICT_MARKS[verdict]} {verdict}"
        )
        for verdict, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, ncols=len(handles), loc="outside upper center", frameon=False)
    return figure
