"""Values are sticky: the same push moves them early, and only the test late.

Command:   lab experiment critical_period
Expected:  supported in scratchpad; in shortcut it depends on whether complying in tests alone is possible; in race a
           large push moves values at any time
Cost:      ten minutes on 2 cores

The same push on the test in the first tenth of training and in a tenth from the middle on, with a test that a model can
tell from deployment and with one that it cannot (detectability 0), so that complying in tests alone is impossible. How
sticky values are is also measured directly: whether models stay on the side of the mark of alignment where they are
when the early push ends, and what the opposite push takes back, of the same weight and length, from the middle on. The
opposite push trains on what an overseer wants who is always wrong (`overseer_error` 1), the mirror image of the test.

Rule, per task, with 95% intervals that hold together; shares of the early effect are shares of its estimate. In a
world, values are sticky if the early push raises P(A), the late one changes it by less than a quarter as much, the
opposite push from the middle on takes less than a quarter of the change back, and over three quarters of the models
stay on their side after the early push. They are loose if the early push raises P(A), and the late one or the opposite
one changes it by more than half as much, or fewer than half of the models stay. Supported if values are sticky in both
worlds and the late push raises P(T|not A) where the test is visible. Contradicted if they are loose where it is
visible; depends (on whether complying in tests alone is possible) if they are sticky there, with P(T|not A) raised, and
loose where it is invisible; else undecided. (After the run: an early push that lowers P(A) counted too, though models
of which none is aligned have nothing that the opposite push could take back. `gridworld` was undecided, and is.)

What the opposite push takes back right after the early one decides nothing. In `digits` the early push itself is
undone: within a tenth of training, alignment falls back almost to that of models without a push.

(The first rule asked only about the timing of a push, and had no opposite one. On seeds from 7,000,000 it was supported
in `scratchpad` and `reasoner`, contradicted in `race` and `digits`, depended in `shortcut`, and was undecided in
`gridworld`, where the early push lowers P(A). This rule was committed before the run on other seeds that decides.)
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lab import claims, statistics
from lab.config.experiment import Experiment
from lab.figures.claim import UNABLE_FACE, name_task_over_row
from lab.figures.palette import BLUE, GREY, INK, ORANGE, PURPLE, VERMILION
from lab.figures.style import WIDTH, Axes, Figure, Mark, Patch, draw_schedules, interval, name_rows, subplots
from lab.results import outcomes, shards
from lab.statistics import Counts, Estimate
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, estimate_from_json, estimate_json

# of the rule: shares of what the early push does to P(A), and shares of models that stay on their side
MOVES, NOTHING = 1 / 2, 1 / 4
FEW, MOST = 1 / 2, 3 / 4
PUSHED = 0.1  # share of training at which the early push ends
TOGETHER = 9  # four intervals in each of two worlds, and one of gaming
STICKY, LOOSE, OPEN = "sticky", "loose", "open"
LATE = 0.5  # share of training at which the late push begins


class Look(NamedTuple):
    """How a regimen is called and drawn."""

    words: str
    colour: str
    marker: str
    line: str


LINES = {
    "hold_out": Look("no push", INK, "s", "-"),
    "push_early": Look("push early", BLUE, "o", "-"),
    "push_late": Look("push late", ORANGE, "^", "--"),
    "push_back_early": Look("early, undone at once", PURPLE, "v", ":"),
    "push_back_late": Look("early, undone late", VERMILION, "p", "-."),
}
QUANTITIES = ("base_rate", "pass_given_misaligned")
COLUMNS = (  # world, quantity, and what it is called
    ("visible", "base_rate", "aligned, P(A),\nrecognisable test"),
    ("visible", "pass_given_misaligned", "misaligned that pass,\nP(T|not A), same test"),
    ("hidden", "base_rate", "aligned, P(A), test\nnot recognisable"),
)
ROW = 0.13  # inches


class World(NamedTuple):
    """How sticky values are with a test of one visibility.

    Attributes:
        early: change of P(A) by the early push.
        late: the same by the late push.
        back: change of P(A) by the opposite push late, after the early one.
        soon: the same by the opposite push right after the early one.
        stay: share of models that end on the side of the mark where they are when the early push ends.
    """

    early: Estimate
    late: Estimate
    back: Estimate
    soon: Estimate
    stay: Estimate

    @property
    def values(self) -> str:
        """Whether values are `STICKY`, `LOOSE` or neither for sure."""
        if self.early.low <= 0:
            return OPEN
        effect = self.early.value
        moved = any(change.low > MOVES * effect or change.high < -MOVES * effect for change in (self.late, self.back))
        if moved or self.stay.high < FEW:
            return LOOSE
        kept = all(claims.within(change, NOTHING * effect) for change in (self.late, self.back))
        return STICKY if kept and self.stay.low > MOST else OPEN

    @property
    def in_words(self) -> str:
        """The numbers that decide."""
        changes = {"early": self.early, "late": self.late, "by the opposite late": self.back, "right after": self.soon}
        return f"P(A) changes {claims.phrases(changes)}; {claims.phrase('stay', self.stay)}"


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count models at the end, those that stay on their side after the early push, and alignment in the course."""
    results = outcomes.common(shards.results(train(experiment, folder)))
    sides = outcomes.reaches(results["alignment"], results.attrs["thresholds"]["alignment"])
    pushed, ended = (sides.isel(checkpoint=outcomes.checkpoint_index(results, age)) for age in (PUSHED, 1.0))
    stay = (pushed == ended).sum("seed")
    return {
        **claims.count_conditions(results),
        "stay": {str(name): int(stay.sel(condition=name)) for name in results.condition.values},
        "checkpoints": [0.0, *results.checkpoint.values.round(6).tolist()],
        "courses": {
            str(name): results["alignment"].sel(condition=name).mean("seed").values.round(4).tolist()
            for name in results.condition.values
        },
    }


def world(stored: claims.Stored, detectability: float) -> World:
    """Return the `World` with a test of some visibility."""
    names = {regimen: stored.at(regimen, detectability=detectability) for regimen in LINES}

    def change(first: str, second: str) -> Estimate:
        return stored.change(names[first], names[second], "base_rate", of=TOGETHER)

    stay = stored.data["stay"][names["push_early"]]
    sides = Counts(stay, 0, 0, stored.data["seeds"] - stay)
    return World(
        early=change("push_early", "hold_out"),
        late=change("push_late", "hold_out"),
        back=change("push_back_late", "push_early"),
        soon=change("push_back_early", "push_early"),
        stay=statistics.estimate(sides, "base_rate", stored.confidence(TOGETHER)),
    )


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    hidden, visible = (world(stored, value) for value in stored.values("detectability"))
    seen = stored.largest("detectability")
    gaming = stored.change(
        stored.at("push_late", **seen), stored.at("hold_out", **seen), "pass_given_misaligned", of=TOGETHER
    )
    why = (
        f"visible test, values {visible.values}: {visible.in_words}, {claims.phrase('late P(T|not A) by', gaming)}; "
        f"invisible test, values {hidden.values}: {hidden.in_words}"
    )
    if visible.values == LOOSE:
        return claims.Verdict(claims.CONTRADICTED, why)
    if visible.values == OPEN or gaming.low <= 0 or hidden.values == OPEN:
        return claims.Verdict(claims.UNDECIDED, why)
    return claims.Verdict(claims.SUPPORTED if hidden.values == STICKY else claims.DEPENDS, why)


def plotted(stored: claims.Stored) -> Json:
    """Return what every regimen does in both worlds, and alignment in the course of training, as plain JSON values."""
    worlds = dict(zip(("hidden", "visible"), stored.values("detectability"), strict=True))
    rows = []
    for regimen in LINES:
        row: Json = {"regimen": regimen}
        for words, detectability in worlds.items():
            name = stored.at(regimen, detectability=detectability)
            rates = {quantity: estimate_json(stored.rate(name, quantity)) for quantity in QUANTITIES}
            row[words] = rates | {"unable": stored.unable(name)}
            row["course"] = stored.data["courses"][name]
        opposite = regimen.startswith("push_back")  # whose weights are those of a push, with an overseer who is wrong
        row["schedule"] = None if opposite else stored.schedule(stored.at(regimen, detectability=worlds["visible"]))
        rows.append(row)
    return {"checkpoints": stored.data["checkpoints"][1:], "rows": rows}


def draw(data: Json) -> Figure:
    """A row of panels per task: alignment in the course of training, values and test at its end; a line per regimen."""
    tasks = data["tasks"]
    size = (WIDTH, 0.6 + (0.25 + ROW * len(LINES)) * len(tasks))
    figure, axes = subplots(len(tasks), 1 + len(COLUMNS), figsize=size, squeeze=False, sharex="col")
    for panels, (task, counts) in zip(axes, tasks.items(), strict=True):
        rows = counts["plotted"]["rows"]
        for ax, (world, quantity, _) in zip(panels, COLUMNS, strict=False):
            _draw_rates(ax, rows, world, quantity)
        _draw_courses(panels[-1], counts["plotted"])
        name_rows(panels[0], [LINES[row["regimen"]].words for row in rows], fontsize="x-small")
        draw_schedules(panels[0], [row["schedule"] for row in rows], [LINES[row["regimen"]].colour for row in rows])
        name_task_over_row(panels[0], task, counts)
    for ax, words in zip(axes[-1], (*(words for *_, words in COLUMNS), "mean alignment\nover training"), strict=True):
        ax.set_xlabel(words, fontsize="x-small")
    handles = [Patch((0, 0), 1, 1, label="cannot do the job", **UNABLE_FACE)]
    figure.legend(handles=handles, loc="outside upper right", frameon=False, fontsize="x-small")
    return figure


def _draw_rates(ax: Axes, rows: Sequence[Json], world: str, quantity: str) -> None:
    """Draw a probability of every regimen, with a dotted line where it lies without a push."""
    for height, row in enumerate(rows):
        style, rates = LINES[row["regimen"]], row[world]
        estimate = estimate_from_json(rates[quantity])
        if math.isnan(estimate.value):
            ax.text(0.5, height, "none misaligned", ha="center", va="center", fontsize="x-small", color=style.colour)
            continue
        interval(ax, height, estimate, Mark(style.colour, style.marker), (0, 1))
        if quantity == "base_rate" and rates["unable"] > UNABLE_SHOWN:
            ax.barh(height, rates["unable"], left=1 - rates["unable"], height=0.6, **UNABLE_FACE)
    ax.axvline(rows[0][world][quantity]["value"], color=GREY, linewidth=0.6, linestyle=":")
    name_rows(ax, [""] * len(rows))
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(-0.05, 1.05)
    ax.set_xticks((0, 0.5, 1), ("0", ".5", "1"), fontsize="x-small")


def _draw_courses(ax: Axes, plotted: Json) -> None:
    """Draw the mean alignment of every regimen where the test is visible, shaded while there are pushes."""
    for row in plotted["rows"]:
        style = LINES[row["regimen"]]
        ax.plot(plotted["checkpoints"], row["course"], style.line, color=style.colour, linewidth=1)
    for start in (0, LATE):
        ax.axvspan(start, start + PUSHED, color=GREY, alpha=0.15, linewidth=0)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.04, 1.04)
    ax.set_xticks((0, 0.5, 1), ("0", ".5", "1"), fontsize="x-small")
    ax.set_yticks((0, 1), ("0", "1"), fontsize="x-small")


CAPTION = claims.Caption(
    question="Sticky: an early push moves values, a late one moves only who passes, and none is taken back.",
    before="P(A) and P(T|not A) at the end of training, where models can tell the test from deployment and where they "
    "cannot. Right: mean alignment in the course of training where they can; pushes are shaded.",
    marks="dotted: without a push; hatched: models that cannot do the job, which P(A) counts as misaligned",
)
