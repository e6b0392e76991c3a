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

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lab import claims, statistics
from lab.config.experiment import Experiment
from lab.figures.style import BLUE, GREY, ORANGE, PURPLE, VERMILION, WIDTH, Figure, subplots
from lab.results import outcomes, shards
from lab.statistics import Counts, Estimate
from lab.words import Json

# of the rule: shares of what the early push does to P(A), and shares of models that stay on their side
MOVES, NOTHING = 1 / 2, 1 / 4
FEW, MOST = 1 / 2, 3 / 4
PUSHED = 0.1  # share of training at which the early push ends
TOGETHER = 9  # four intervals in each of two worlds, and one of gaming
STICKY, LOOSE, OPEN = "sticky", "loose", "open"
LINES = {  # regimen -> words, colour, line
    "hold_out": ("no push", GREY, "-"),
    "push_early": ("push early", BLUE, "-"),
    "push_late": ("push late", ORANGE, "--"),
    "push_back_early": ("push early, opposite right after", PURPLE, ":"),
    "push_back_late": ("push early, opposite late", VERMILION, "-."),
}


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
    """Return the mean alignment of every regimen in the course of training, in both worlds, as plain JSON values."""
    hidden, visible = stored.values("detectability")
    return {
        words: {regimen: stored.data["courses"][stored.at(regimen, detectability=value)] for regimen in LINES}
        for words, value in (("a test that models can tell", visible), ("a test that looks like deployment", hidden))
    } | {"checkpoints": stored.data["checkpoints"][1:]}


def draw(data: Json) -> Figure:
    """A row per task, a column per world: the mean alignment of every regimen in the course of training."""
    tasks = data["tasks"]
    figure, axes = subplots(
        len(tasks), 2, figsize=(WIDTH, 0.9 + 1.05 * len(tasks)), squeeze=False, sharex=True, sharey=True
    )
    for panels, (task, counts) in zip(axes, tasks.items(), strict=True):
        rows = dict(counts["plotted"])
        ages = np.asarray(rows.pop("checkpoints"))
        for ax, (words, courses) in zip(panels, rows.items(), strict=True):
            for regimen, (name, colour, line) in LINES.items():
                ax.plot(ages, courses[regimen], line, color=colour, linewidth=1.2, label=name)
            ax.axvspan(0, PUSHED, color=BLUE, alpha=0.1, linewidth=0)
            ax.axvspan(0.5, 0.5 + PUSHED, color=ORANGE, alpha=0.12, linewidth=0)
            ax.set_ylim(-0.04, 1.04)
            ax.set_xlim(0, 1)
            if ax in axes[0]:
                ax.set_title(words, loc="left", fontsize="small")
        panels[0].set_ylabel(task, fontsize="small")
    for ax in axes[-1]:
        ax.set_xlabel("share of training")
    figure.suptitle("mean alignment after a short push on the test", fontsize="small")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="x-small")
    return figure


CAPTION = claims.Caption(
    before="Mean alignment in the course of training; the push is early or late where a panel is shaded.", marks=""
)
