"""With the weight of the proxy the base rate rises and the test gets worse, negative weights included.

Command:   lab experiment weight_response
Expected:  supported
Cost:      three minutes on 2 cores

The (linear) test trained on, or against, throughout training, at several weights, in a world where a held-out test is
imperfect.

Rule, per task, with 95% intervals that hold together over four comparisons: supported if at the largest weight P(A) and
P(T|not A) are above those of holding out (or no misaligned model is left), and at the most negative weight P(T|not A)
is below and P(A) not above; contradicted if at the largest weight P(A) or P(T|not A) is below, or at the most negative
P(T|not A) is above; else undecided.

In `scratchpad` 1,024 seeds from 7,000,000 were undecided, because the largest weight left 32 misaligned models. It was
asked again of 6,144 others, and is undecided again. That weight leaves 197 misaligned models, of which 57 cannot do the
job, and these fail: P(T|not A) is .61 of all and .86 of those that can, against .59 held out. So more seeds do not
help; a rule that asks models that do the job would.

In `gridworld` P(A) rises from .75 to .94 at a weight of .03 and falls back to .77 at .3, the largest, where the rule
looks. 6,000 seeds would tell .77 from .75, but the answer there is that P(A) does not rise with the weight all the way.
"""

import math

from lab import claims, figures
from lab.figures.palette import GREY, OUTCOMES
from lab.figures.style import WIDTH, Axes, Line, Patch, interval, mark_of
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, estimate_from_json, setting

UNABLE = OUTCOMES["unable"].colour
COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass")


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    weights = stored.values("weight")
    largest, most_negative = (stored.at("throughout", weight=weights[index]) for index in (-1, 0))
    values, gaming = (stored.change(largest, "hold_out", name, of=4) for name in ("base_rate", "pass_given_misaligned"))
    values_against, gaming_against = (
        stored.change(most_negative, "hold_out", name, of=4) for name in ("base_rate", "pass_given_misaligned")
    )
    why = (
        f"at {weights[-1]:g} {claims.phrase('P(A) changes by', values)}, {claims.phrase('P(T|not A) by', gaming)}; at "
        f"{weights[0]:g} {claims.phrase('P(A) by', values_against)}, {claims.phrase('P(T|not A) by', gaming_against)}"
    )
    none_left = math.isnan(gaming.value)
    if values.high < 0 or gaming.high < 0 or gaming_against.low > 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    pushed = values.low > 0 and (gaming.low > 0 or none_left)
    against = gaming_against.high < 0 and values_against.low <= 0
    return claims.Verdict(claims.SUPPORTED if pushed and against else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return the rates at every weight, that of holding out among them, by the weight, as plain JSON values."""
    rows = claims.condition_rows(stored, claims.Rows(COLUMNS))
    weighted = [{"weight": stored.coordinates(row["name"]).get("weight", 0.0), **row} for row in rows]
    return sorted(weighted, key=lambda row: row["weight"])


def draw(data: Json) -> figures.Figure:
    """Rates over the weight: a column of panels per task, a row per rate."""
    tasks = data["tasks"]
    figure, axes = figures.subplots(
        len(COLUMNS), len(tasks), figsize=(WIDTH, 4.4), sharex="col", sharey=True, squeeze=False
    )
    for panels, (task, counts) in zip(axes.T, tasks.items(), strict=True):
        for ax, quantity in zip(panels, COLUMNS, strict=True):
            draw_over_weight(counts["plotted"], ax, quantity)
        figures.name_task(panels[0], f"{task}\n", counts)
    for ax, quantity in zip(axes[:, 0], COLUMNS, strict=True):
        column = figures.COLUMNS[quantity]
        lines = [column.head, *column.words.split(", ")]
        ax.set_ylabel("\n".join(lines), fontsize="x-small")
    explain(figure)
    figure.supxlabel("weight of the test throughout training (0: held out)", fontsize="small")
    return figure


def kind_at(weight: float) -> str:
    """Return the kind of regimen that a weight of the test makes."""
    return "hold_out" if not weight else "throughout" if weight > 0 else "anti_training"


def explain(figure: figures.Figure) -> None:
    """Say above the panels what marks and hatching mean."""
    kinds = {"trained against": "anti_training", "held out": "hold_out", "trained on throughout": "throughout"}
    marks = {words: mark_of(kind) for words, kind in kinds.items()}
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, markersize=mark.size, linewidth=mark.width)
        for mark in marks.values()
    ]
    unable = Patch((0, 0), 1, 1, facecolor=UNABLE, edgecolor=GREY, linewidth=0.4)
    figure.legend(
        [*handles, unable], [*marks, "cannot do the job"], loc="outside upper center", ncols=4, frameon=False,
        fontsize="x-small",
    )  # fmt: skip


def draw_over_weight(rows: list[Json], ax: Axes, quantity: str) -> None:
    """Draw a rate at every weight, and above P(A) the models that cannot do the job.

    Args:
        rows: of a task, by their weight.
        ax: the panel.
        quantity: one of `COLUMNS`.
    """
    weights = [row["weight"] for row in rows]
    values = [estimate_from_json(row[quantity]) for row in rows]
    ax.plot(range(len(rows)), [value.value for value in values], color=GREY, linewidth=0.5, zorder=0.9)
    for place, (row, value) in enumerate(zip(rows, values, strict=True)):
        if math.isnan(value.value):
            ax.text(place, 0.5, row["none"][quantity], rotation=90, ha="center", va="center", fontsize="x-small")
        else:
            interval(ax, place, value, mark_of(kind_at(row["weight"])), (0.0, 1.0), upright=True)
        if quantity == "base_rate" and row["unable"] > UNABLE_SHOWN:
            ax.bar(place, -row["unable"], bottom=1, width=0.8, color=UNABLE, edgecolor=GREY, linewidth=0.4, zorder=0.8)
    marked = [0, weights.index(0.0), len(weights) - 1]
    ax.set_xticks(marked, [setting(weights[place]).replace("-", "\N{MINUS SIGN}") for place in marked])
    ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_ylim(-0.05, 1.05)
    ax.tick_params(labelsize="x-small")


CAPTION = claims.Caption(
    question="Do P(A) and P(T|not A) rise with the weight, from training against the test (left) to training on it?",
    before="Grey above P(A): models that cannot do the job, where they are more than 2%.",
    marks="",
)
