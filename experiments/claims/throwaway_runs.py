"""Using a good proxy on throwaway runs, to learn which training ideas are bad, dominates rejection sampling.

Command:   lab experiment throwaway_runs
Expected:  depends on the test: where no misaligned model passes, rejection in turn is as good as learning
Cost:      a quarter of an hour on 2 cores, shared with another claim

Ideas are ways to train that differ in two knobs: how much the main objective prefers the aligned solution, and how
visible tests are. The test is held out, and worlds differ in how much of something like it hides in the main objective,
so that it is good in some and poor in others. A campaign may try six fresh ideas, each as likely to be any of those
measured, with test rates of its own. So an idea that passes often may be a good one, or one whose models game the test.

Rejection sampling accepts the first pass, or the last run: on one idea, or with the ideas in turn, whichever is better.
Learning may train any idea next, and accepts at the end, of all runs, the one most likely aligned. With 4 and 10 runs
it is the best policy there is (Bellman), which cannot lose by construction; what is measured is how much it gains. With
30 and 100 runs that policy cannot be listed. Learning is then the better of two: the ideas in turn and the best of all
runs, or what fewer runs reach. No policy exceeds what knowing every idea's kind would reach. Values are exact for given
rates (`lab.ideas.kinds`); intervals are from draws of the rates, along the slopes of the values at the measured ones.

Rule, per task, with 95% intervals that hold together over all worlds and numbers of runs (4, 10, 30, 100): learning
gains in a world with so many runs if it is better than rejection sampling by over .02, and does not if no policy can be
better by .02, for sure. Supported if it gains in each world with each number of runs; contradicted if it gains in none;
depends if it gains in some and not in others; else undecided. (The first rule asked for the best policy, and for one
try of each idea before rejection on the best, with 4 and 6 runs of three ideas that differ in one knob, where the test
is good. The essay has neither that policy nor so few retries. On seeds from 7,000,000 it said depends in `scratchpad`,
`race`, `shortcut` and `reasoner`, because such exploring loses. This rule was committed before the run on other seeds
that decides.)
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lab import claims, figures, statistics
from lab.figures.palette import BLACK, GREY, SKY, VERMILION
from lab.figures.style import Axes, Line, Mark, grid, holds, interval
from lab.ideas import kinds
from lab.statistics import Counts, Estimate, draw_shares, family_wise, from_draws
from lab.words import Json, estimate_from_json, estimate_json, setting, with_interval

CONFIGS = "many_ideas"
RUNS = (4, 10, 30, 100)  # of the rule
LISTED = 10  # runs up to which the best policy is known
IDEAS = 6  # fresh ideas of a campaign
MARGIN = 0.02  # gain that counts; of the rule
STEP = 1e-4  # share of an idea's models that is moved to find a slope
MARKS = (Mark(BLACK), Mark(SKY, "P"), Mark(VERMILION, "X"), Mark(GREY, "s"))  # of worlds, from the best test on

Table = tuple[tuple[int, ...], ...]  # counts of the cells of every idea; it can be hashed
Shares = Float[np.ndarray, "moves ideas 4"]


class Gain(NamedTuple):
    """What learning gains over rejection sampling.

    Attributes:
        learning: gain of the policy that learns.
        most: what no policy exceeds.
    """

    learning: Estimate
    most: Estimate


def ideas(stored: claims.Stored, implicit: float, regimen: str = "hold_out") -> list[str]:
    """Return the names of a regimen's conditions in a world, one per idea."""
    names = [name for name in stored.names if stored.regimen(name) == regimen]
    return [name for name in names if stored.coordinates(name)["implicit_proxy"] == implicit]


def count_ideas(stored: claims.Stored, implicit: float) -> Table:
    """Return the counts of the cells of every idea in a world."""
    return tuple(tuple(stored.counts(name).cells) for name in ideas(stored, implicit))


def estimates(
    function: Callable[[Shares], Float[np.ndarray, "moves numbers"]],
    cells: Sequence[Sequence[int]],
    confidence: float = 0.95,
) -> list[Estimate]:
    """Return an `Estimate` of each number that a function of shares returns, from its slopes at the measured shares.

    Args:
        function: of the shares of the cells of every idea, with an axis in front; returns numbers, with the same axis.
        cells: counts of the cells of every idea.
        confidence: of each interval.
    """
    counts = np.asarray(cells, float)
    shares = counts / counts.sum(1, keepdims=True)
    moves = [shares]
    for idea, cell in np.ndindex(counts.shape):
        moved = shares.copy()
        moved[idea] *= 1 - STEP
        moved[idea, cell] += STEP
        moves.append(moved)
    values, *moved_values = np.asarray(function(np.stack(moves)))
    slopes = np.reshape((np.array(moved_values) - values) / STEP, (*counts.shape, len(values)))
    draws = draw_shares(*cells)

    def along(index: int) -> Callable[..., Float[np.ndarray, " draw"]]:
        def line(*tables: claims.Shares) -> Float[np.ndarray, " draw"]:
            parts = (slopes[idea, :, index] @ (table / table.sum(0)) for idea, table in enumerate(tables))
            return values[index] + sum(parts) - (slopes[..., index] * shares).sum()

        return line

    return [from_draws(along(index), draws, confidence) for index in range(len(values))]


def values_of_learning(shares: Shares) -> Float[np.ndarray, "moves numbers"]:
    """Return for each number of runs what learning gains over rejection sampling, and what no policy exceeds."""
    numbers, learning = [], np.zeros(len(shares))
    for runs in RUNS:
        rejection = np.maximum(kinds.rejection_on_one(shares, runs), kinds.rejection_in_turn(shares, IDEAS, runs))
        if runs <= LISTED:
            learning = most = kinds.best_learning(shares, IDEAS, runs)
        else:  # what fewer runs reach can be had with more
            learning = np.maximum(learning, kinds.learning_in_turn(shares, IDEAS, runs))
            most = kinds.best_if_known(shares, IDEAS)
        numbers += [learning - rejection, most - rejection]
    return np.stack(numbers, -1)


@functools.cache
def gains(cells: Table, confidence: float) -> dict[int, Gain]:
    """Return number of runs -> `Gain`."""
    rows = estimates(values_of_learning, cells, confidence)
    return {runs: Gain(*pair) for runs, *pair in zip(RUNS, rows[::2], rows[1::2], strict=True)}


def gains_of_worlds(stored: claims.Stored) -> dict[float, dict[int, Gain]]:
    """Return value of `implicit_proxy` -> number of runs -> `Gain`; all intervals hold together."""
    worlds = stored.values("implicit_proxy")
    level = family_wise(stored.data["confidence"], 2 * len(RUNS) * len(worlds))
    return {implicit: gains(count_ideas(stored, implicit), level) for implicit in worlds}


def all_ideas(stored: claims.Stored, implicit: float) -> Counts:
    """Return the counts over all ideas of a world."""
    return Counts(*np.sum(count_ideas(stored, implicit), axis=0).tolist())


def test_rates(stored: claims.Stored, implicit: float) -> str:
    """Return P(T|A) and P(T|not A) over all ideas of a world, in words."""
    together = all_ideas(stored, implicit)
    rates = (statistics.estimate(together, f"pass_given_{kind}", 0.95) for kind in ("aligned", "misaligned"))
    return ", ".join(
        f"{words} {setting(round(rate.value, 2))}" for words, rate in zip(("P(T|A)", "P(T|not A)"), rates, strict=True)
    )


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    worlds = gains_of_worlds(stored)
    told = []
    for implicit, by_runs in worlds.items():
        parts = [
            claims.phrase(f"{runs} runs", gain.learning)
            + ("" if runs <= LISTED else f" (no policy over {with_interval(gain.most)})")
            for runs, gain in by_runs.items()
        ]
        told.append(f"implicit_proxy = {setting(implicit)} ({test_rates(stored, implicit)}): {', '.join(parts)}")
    every = [gain for by_runs in worlds.values() for gain in by_runs.values()]
    gain_there, none_there = [gain.learning.low > MARGIN for gain in every], [gain.most.high < MARGIN for gain in every]
    verdict = claims.UNDECIDED
    if all(gain_there) or all(none_there):
        verdict = claims.SUPPORTED if all(gain_there) else claims.CONTRADICTED
    elif any(gain_there) and any(none_there):
        verdict = claims.DEPENDS
    return claims.Verdict(verdict, f"gain over rejection sampling with {'; '.join(told)}")


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what learning gains over rejection sampling by world and number of runs, as plain JSON values."""
    return [
        {
            "world": test_rates(stored, implicit),
            "pass_given_misaligned": all_ideas(stored, implicit).pass_given_misaligned,
            "runs": list(by_runs),
            "gains": [estimate_json(gain.learning) for gain in by_runs.values()],
            "most": [gain.most.value for gain in by_runs.values()],
        }
        for implicit, by_runs in gains_of_worlds(stored).items()
    ]


def draw(data: Json) -> figures.Figure:
    """What learning gains over rejection sampling by number of runs, a panel per task, a line per world."""
    tasks = data["tasks"]
    figure, panels, _ = grid(len(tasks), 2.3, sharex=True, sharey=True)
    for ax, (task, counts) in zip(panels, tasks.items(), strict=True):
        for mark, row in zip(MARKS, counts["plotted"], strict=False):
            draw_world(ax, row, mark)
        ax.axhline(MARGIN, color="black", linewidth=0.6, linestyle="--")
        about = {"title": "misaligned that pass:", "title_fontsize": "x-small", "alignment": "left"}
        ax.legend(loc="upper left", frameon=False, fontsize="x-small", **about)
        figures.name_task(ax, task, counts)
    panels[0].set_xscale("log")
    panels[0].set_xticks(RUNS, [str(runs) for runs in RUNS])
    panels[0].minorticks_off()
    panels[0].set_ylim(top=1.5 * panels[0].get_ylim()[1])  # room for the names of worlds
    panels[0].set_ylabel("gain of learning in\nP(accepted is aligned)")
    figure.supxlabel("runs that may be used", fontsize="small")
    handles = [
        Line([], [], color="black", linewidth=0.6, linestyle="--", label=f"a gain of {MARGIN:g}: it counts above"),
        Line([], [], color=GREY, linewidth=0.9, linestyle=":", label="no policy can gain more"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


def draw_world(ax: Axes, row: Json, mark: Mark) -> None:
    """Draw what learning gains in a world by number of runs; hollow where it does not count for sure."""
    every = [estimate_from_json(gain) for gain in row["gains"]]
    ax.plot(row["runs"], [gain.value for gain in every], color=mark.colour, linewidth=1)
    bounds = [(runs, most) for runs, most in zip(row["runs"], row["most"], strict=True) if runs > LISTED]
    ax.plot(*zip(*bounds, strict=True), ":", color=mark.colour, linewidth=0.9)
    for runs, gain in zip(row["runs"], every, strict=True):
        interval(ax, runs, gain, mark, hollow=holds(gain, MARGIN) or gain.value < MARGIN, upright=True)
    words = f"{row['pass_given_misaligned']:.0%}"
    ax.plot([], [], color=mark.colour, marker=mark.marker, markersize=mark.size, label=words)


CAPTION = claims.Caption(
    question="Does it pay to learn from runs which ideas are bad, beyond rejecting what fails? Above the dashed line "
    "it does.",
    before="What learning which ideas are bad gains over rejection sampling; a line per world, named by the share of "
    "misaligned models that pass the held-out test there.",
    marks="dashed: .02; dotted: what no policy exceeds; hollow: not above .02",
)
