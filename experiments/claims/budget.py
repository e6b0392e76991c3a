"""With few retries train on the proxy, with many hold it out.

Command:   lab experiment budget
Expected:  depends on whether the best push leaves misaligned models that pass
Cost:      half an hour on 2 cores

An organisation accepts the first model that passes, and the last run in any case. With one run P(accepted is aligned)
is P(A), and with many it nears P(A|T). So for one way to train the better choice turns exactly where P(A) rises and
P(A|T) falls, whatever is trained: this is algebra, and how often counts show it stands beside the verdict. What is
measured is whether there is such a world at all, for the best of several ways to train. Worlds differ in how much the
main objective prefers the aligned solution, in how much of something like the test hides in it, and, but for `digits`,
in how visible tests are. Four ways to train on the test stand beside holding it out. In `scratchpad` a first run on
seeds from 7,360,000 was undecided, because no misaligned model passed in any of its worlds; so another weight of what
hides in the objective was tried on seeds from 7,370,000.

Rule, per task, with 95% intervals that hold together over all worlds. A world counts if the test is worth holding out:
held out, P(A|T) is above P(A) by over .1. With one run the choice is to train if some way is better than holding out by
over .02, and with 1,000 runs as well; it is to hold out if every way is worse by over .02. With 1,000 runs there is a
tie if no way is better by over .02 and some is within .02. All of it for sure, else the choice is open. Supported if in
some world the choice turns from training to holding out, and in none is it to train with 1,000 runs. Contradicted if it
is to train with 1,000 runs in some world, and turns so in none. Depends if both are there; else undecided, as where
there are only ties. (The first rule asked for one way to train and one world, without anything in the objective that is
like the test. A tie was contradicted at first. On seeds from 7,000,000 it was supported in `race`, `digits` and
`gridworld`, contradicted in `shortcut` and undecided in `scratchpad` and `reasoner`. This rule was committed before the
run on other seeds that decides.)
"""

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.claims.four_regimens import TRAINED
from lab import claims, figures
from lab.figures.claim import name_task_over_row
from lab.figures.palette import GREY, INK, VERMILION
from lab.figures.style import WIDTH, Axes, Line, Mark, interval, say_unable, subplots
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json, estimate_json, setting, with_interval

FEW, MANY = 1, 1000  # runs; of the rule
MARGIN = 0.02  # of P(accepted is aligned) that does not count; of the rule
WORTH = 0.1  # by which P(A|T) must exceed P(A) where a test is worth holding out; of the rule
GRID = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000)  # runs that the figure shows
TRAIN, HOLD_OUT, TIE, OPEN = "train", "hold out", "tie", "open"


class World(NamedTuple):
    """What is best in one world.

    Attributes:
        where: its place in the sweep.
        held_out: name of the condition that holds the test out.
        trained: regimen -> name of its condition.
        worth: P(A|T) less P(A), held out; None where nothing passes.
        few: gain of each regimen with one run.
        many: gain with 1,000 runs.
    """

    where: dict[str, float]
    held_out: str
    trained: dict[str, str]
    worth: Estimate | None
    few: dict[str, Estimate]
    many: dict[str, Estimate]

    @property
    def counts(self) -> bool:
        """Whether the test is worth holding out, for sure."""
        return self.worth is not None and self.worth.low > WORTH

    @property
    def choices(self) -> tuple[str, str]:
        """What is best with one run and with 1,000."""
        return choice(self.few), choice(self.many)

    @property
    def in_words(self) -> str:
        """Its place in the sweep."""
        return ", ".join(f"{axis} {setting(value)}" for axis, value in self.where.items())


def choice(gains: dict[str, Estimate]) -> str:
    """Return what is best by the rule, from the gain of each way to train over holding out."""
    estimates = gains.values()
    if any(gain.low > MARGIN for gain in estimates):
        return TRAIN
    if all(gain.high < -MARGIN for gain in estimates):
        return HOLD_OUT
    none_better = all(gain.high < MARGIN for gain in estimates)
    return TIE if none_better and any(gain.low > -MARGIN for gain in estimates) else OPEN


def find_worlds(stored: claims.Stored) -> list[World]:
    """Return what is best in each world of the sweep."""
    held_out = [name for name in stored.names if stored.regimen(name) == "hold_out"]
    together = len(held_out) * (1 + 2 * len(TRAINED))
    return [_world(stored, name, together) for name in held_out]


def _world(stored: claims.Stored, held_out: str, together: int) -> World:
    """Return what is best beside holding out in one world; so many intervals hold together."""
    where = stored.coordinates(held_out)
    trained = {regimen: stored.at(regimen, **where) for regimen in TRAINED}

    def gains(runs: int) -> dict[str, Estimate]:
        value = claims.aligned_share_of_accepted(runs)
        return {regimen: stored.difference(name, value, held_out, value, together) for regimen, name in trained.items()}

    worth = None
    if stored.counts(held_out).passing:
        worth = stored.of_shares(
            held_out, lambda shares: claims.aligned_share_of_passing(shares) - claims.aligned_share(shares), together
        )
    return World(where, held_out, trained, worth, gains(FEW), gains(MANY))


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    worlds = find_worlds(stored)
    told = []
    for world in worlds:
        few, many = (max(gains.values(), key=lambda gain: gain.value) for gains in (world.few, world.many))
        chosen = ", then ".join(world.choices) if world.counts else "no test known to be worth holding out"
        told.append(f"{world.in_words}: {chosen} ({with_interval(few)}, {with_interval(many)})")
    right, pairs = algebra(stored, worlds)
    why = (
        f"best with 1 run, then with 1,000, and what the best way to train gains: {'; '.join(told)}; the signs of both "
        f"changes tell whether the choice turns in {right} of {pairs} pairs of world and way to train"
    )
    choices = [world.choices for world in worlds if world.counts]
    turns, trains = (TRAIN, HOLD_OUT) in choices, any(many == TRAIN for _, many in choices)
    if turns or trains:
        return claims.Verdict(
            claims.DEPENDS if turns and trains else claims.SUPPORTED if turns else claims.CONTRADICTED, why
        )
    return claims.Verdict(claims.UNDECIDED, why)


def value(stored: claims.Stored, name: str, runs: int) -> float:
    """Return P(accepted is aligned) of a condition at its measured shares."""
    cells = np.array(stored.counts(name).cells, float)
    return float(claims.aligned_share_of_accepted(runs)(cells / cells.sum()))


def algebra(stored: claims.Stored, worlds: list[World]) -> tuple[int, int]:
    """Return of how many pairs of world and way to train the signs of both changes tell whether the choice turns.

    It turns if training is better with one run and holding out within 1,000. It should if P(A) rises and P(A|T) falls.
    Pairs in which nothing passes are left out.
    """
    right = pairs = 0
    for world, regimen in itertools.product(worlds, TRAINED):
        both = [stored.counts(name) for name in (world.trained[regimen], world.held_out)]
        if not all(counts.passing for counts in both):
            continue
        trained, held_out = both
        rises = trained.base_rate > held_out.base_rate
        falls = trained.aligned_pass / trained.passing < held_out.aligned_pass / held_out.passing
        gains = [
            value(stored, world.trained[regimen], runs) - value(stored, world.held_out, runs) for runs in (FEW, MANY)
        ]
        pairs += 1
        right += (rises and falls) == (gains[0] > 0 > gains[1])
    return right, pairs


def plotted(stored: claims.Stored) -> list[Json]:
    """Return P(accepted is aligned) by number of runs in every world, held out and of the best way to train."""
    rows = []
    for world in find_worlds(stored):
        best = {runs: max(world.trained.values(), key=lambda name: value(stored, name, runs)) for runs in GRID}
        rows.append(
            {
                "world": world.in_words,
                "choices": list(world.choices) if world.counts else None,
                "runs": list(GRID),
                HOLD_OUT: [value(stored, world.held_out, runs) for runs in GRID],
                TRAIN: [value(stored, name, runs) for runs, name in best.items()],
                "ends": {
                    HOLD_OUT: [accepted(stored, world.held_out, runs) for runs in (FEW, MANY)],
                    TRAIN: [accepted(stored, best[runs], runs) for runs in (FEW, MANY)],
                },
                "unable": max(stored.unable(name) for name in (world.held_out, *world.trained.values())),
            }
        )
    return rows


def accepted(stored: claims.Stored, name: str, runs: int) -> Json:
    """Return P(accepted is aligned) of a condition with its interval, as plain JSON values."""
    return estimate_json(stored.of_shares(name, claims.aligned_share_of_accepted(runs)))


def finding(tasks: Mapping[str, Json]) -> str:
    """Return in how many worlds of all tasks the choice is what, with one run and with 1,000."""
    rows = [row for counts in tasks.values() for row in counts["plotted"] if row["choices"]]
    few, many = (Counter(choices) for choices in zip(*(row["choices"] for row in rows), strict=True))
    return (
        f"With {FEW} run training is best in {few[TRAIN]} of {len(rows)} worlds; with {MANY:,} runs holding out is in "
        f"{many[HOLD_OUT]} and training still in {many[TRAIN]}"
    )


NOT_WORTH = "no good test"
COLOURS = {HOLD_OUT: INK, TRAIN: VERMILION, TIE: GREY, OPEN: GREY, NOT_WORTH: GREY}  # of what is best
LINES: dict[str, tuple[Any, str, str]] = {  # what is done -> line, marker and words
    HOLD_OUT: ("-", "s", "hold the test out"),
    TRAIN: ("--", "p", "train on it, the best of four ways"),
}


def draw(data: Json) -> figures.Figure:
    """P(accepted is aligned) by number of runs, a row of panels per task, a panel per world."""
    tasks = data["tasks"]
    columns = max(len(counts["plotted"]) for counts in tasks.values())
    figure, axes = subplots(
        len(tasks), columns, figsize=(WIDTH, 0.6 + 1.2 * len(tasks)), squeeze=False, sharex=True, sharey=True
    )
    for panels, (task, counts) in zip(axes, tasks.items(), strict=True):
        rows = sorted(counts["plotted"], key=lambda row: list(COLOURS).index(best_with_many(row)))
        for ax, row in zip(panels, rows, strict=False):
            draw_world(ax, row)
        for ax in panels[len(rows) :]:
            ax.set_axis_off()
        name_task_over_row(panels[0], task, counts)
        say_unable(panels[len(rows) - 1], [row["unable"] for row in rows])
    figure.supxlabel(f"runs that may be used; below each world, what is best with {MANY:,}", fontsize="small")
    figure.supylabel("P(accepted is aligned)", fontsize="small")
    handles = [
        Line([], [], linestyle=line, marker=marker, markersize=3, color=COLOURS[kind], label=words)
        for kind, (line, marker, words) in LINES.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize="x-small")
    return figure


def best_with_many(row: Json) -> str:
    """Return the key of `COLOURS` of what is best in a world with 1,000 runs."""
    return row["choices"][1] if row["choices"] else NOT_WORTH


def draw_world(ax: Axes, row: Json) -> None:
    """Draw P(accepted is aligned) in one world, and write what is best with many runs below."""
    for kind, (line, marker, _) in LINES.items():
        ax.plot(row["runs"], row[kind], line, color=COLOURS[kind], linewidth=1.1)
        for runs, end in zip((FEW, MANY), row["ends"][kind], strict=True):
            interval(ax, runs, estimate_from_json(end), Mark(COLOURS[kind], marker, 2.5, 0.8), (0, 1), upright=True)
    best = best_with_many(row)
    ax.set_xlabel(best, fontsize="x-small", color=COLOURS[best], fontweight="bold" if best in LINES else "normal")
    ax.set_xscale("log")
    ax.set_xticks((FEW, MANY), (f"{FEW}", f"{MANY:,}"), fontsize="x-small")
    ax.set_xticks((), minor=True)
    ax.set_xlim(FEW / 2, MANY * 2)
    ax.set_ylim(-0.03, 1.03)
    ax.tick_params(labelbottom=True, labelsize="x-small", pad=2)


CAPTION = claims.Caption(
    question="Where the lines cross, the best choice turns from training to holding out.",
    before="Each panel is a world: P(accepted is aligned) by the number of runs, held out, and of the way to train "
    "that is best with so many. In the JSON beside, `world` says how worlds differ.",
    marks="vertical bars at both ends",
)
