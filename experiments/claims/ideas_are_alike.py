"""Trials share an author and a world: each failure lowers what to expect of both, and of what passes next.

Command:   lab experiment ideas_are_alike
Expected:  depends on the test: what passes a perfect one is aligned, however many runs failed before
Cost:      a quarter of an hour on 2 cores, shared with another claim

Ideas are ways to train that differ in how much the main objective prefers the aligned solution; there are five of them
in a row, from a hard to an easy one. Where an idea lies is the sum of three shifts: of the world (half a step up or
down), of the author (the same), and of the idea itself (a step up, none, a step down), each as likely. So trials of
different ideas are alike if they have the author in common, less so if only the world, and nobody is told of either
shift. Whoever takes trials as independent knows the same shares of one idea, and learns nothing from failures.
Expectations are exact for given rates: they are sums over the twelve places. `correlated_trials` asks the same of
trials of one idea.

Rule, per task, with 95% intervals that hold together over worlds of a good and of a poor held-out test. After three
failures of one author's ideas, whoever takes trials as independent overrates P(A) of that author's next idea, and P(A)
of the next of them that passes. An overrating matters if it is above .05 for sure, and does not if it is below for
sure. Supported if all four matter, two in each world; contradicted if none does; depends if some do and others do not;
else undecided. Beside the verdict stands what another author may expect after the same failures, and from how many runs
on holding out is better than an early push on the test, with and without what is shared.

That failures lower estimates, if aligned models pass more often, is Bayes' theorem. How much three of them do follows
from how far apart ideas, authors and worlds lie, which was set alike in all tasks: P(A) held out goes from about .1 to
.9 over the five ideas. What is measured is what that does to the two estimates.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims.throwaway_runs import Shares, estimates
from lab import claims, figures
from lab.figures.palette import BLACK, GREY, SKY, VERMILION
from lab.figures.style import SMALLEST, Axes, grid
from lab.ideas.kinds import Rates, rejection_on_one
from lab.statistics import Estimate, family_wise
from lab.words import Json, estimate_from_json, estimate_json

CONFIGS = "many_ideas"
FAILURES = 3  # of the rule
MATTERS = 0.05  # overrating of a probability that counts; of the rule
SHOWN = 10  # failures that the figure goes to
MOST_RUNS = 100  # up to which a better regimen is looked for
WORLD, AUTHOR, IDEA = (-0.5, 0.5), (-0.5, 0.5), (-1, 0, 1)  # shifts, in steps between ideas
# place of an idea, by the shifts of its world, its author and its own
PLACES = (2 + np.add.outer(np.add.outer(WORLD, AUTHOR), IDEA)).astype(int)
REGIMENS = ("hold_out", "early")


class Alike(NamedTuple):
    """What ideas are that share something, as kinds that are as likely: shares of the four cells.

    Attributes:
        nothing: one kind; trials that are independent.
        author: of one author and world: a kind for every pair of their shifts, worlds first.
    """

    nothing: Float[np.ndarray, "*draws 1 4"]
    author: Float[np.ndarray, "*draws 4 4"]

    @classmethod
    def of(cls, shares: Float[np.ndarray, "*draws 5 4"]) -> "Alike":
        """Return the kinds from shares of the five ideas."""
        placed = shares[..., PLACES, :]
        author = placed.mean(-2)
        return cls(placed.mean((-4, -3, -2))[..., None, :], author.reshape(*author.shape[:-3], -1, author.shape[-1]))


def aligned_next(kinds: Float[np.ndarray, "*draws kind 4"], failures: int) -> Float[np.ndarray, "*draws"]:
    """Return P(A) of the next idea after some failures."""
    rates = Rates.of(kinds)
    return rates.moment(0, failures, rates.aligned_pass + rates.aligned_fail) / rates.moment(0, failures)


def aligned_next_pass(kinds: Float[np.ndarray, "*draws kind 4"], failures: int) -> Float[np.ndarray, "*draws"]:
    """Return P(A) of the next idea that passes after some failures."""
    rates = Rates.of(kinds)
    return rates.moment(0, failures, rates.aligned_pass) / rates.moment(0, failures, rates.passing)


def aligned_of_another(kinds: Float[np.ndarray, "*draws 4 4"], failures: int) -> Float[np.ndarray, "*draws"]:
    """Return P(A) of an idea of another author in the same world, after some failures of one author."""
    rates = Rates.of(kinds)

    def by_world(numbers: Float[np.ndarray, "*draws kind"]) -> Float[np.ndarray, "*draws world"]:
        return numbers.reshape(*numbers.shape[:-1], len(WORLD), len(AUTHOR)).mean(-1)

    chance = by_world((1 - rates.passing) ** failures)
    return (chance * by_world(rates.aligned_pass + rates.aligned_fail)).sum(-1) / chance.sum(-1)


def overrated(shares: Shares) -> Float[np.ndarray, "moves numbers"]:
    """Return by how much P(A) of the next idea and of the next pass is overrated, and P(A) of another author's."""
    alike = Alike.of(shares)
    every = (
        aligned_next(alike.nothing, 0) - aligned_next(alike.author, FAILURES),
        aligned_next_pass(alike.nothing, 0) - aligned_next_pass(alike.author, FAILURES),
        aligned_next(alike.nothing, 0) - aligned_of_another(alike.author, FAILURES),
    )
    return np.stack(every, -1)


def conditions(stored: claims.Stored, implicit: float, regimen: str = "hold_out") -> list[str]:
    """Return the conditions of the five ideas in a world of tests, where tests are most visible."""
    where = {"implicit_proxy": implicit, **stored.largest("detectability")}
    return [stored.at(regimen, preference=preference, **where) for preference in stored.values("preference")]


def test_worlds(stored: claims.Stored) -> dict[str, float]:
    """Return the worlds of a good and of a poor held-out test: words -> value of `implicit_proxy`."""
    values = stored.values("implicit_proxy")
    return {"good test": values[0], "poor test": values[-1]}


def shares_of(stored: claims.Stored, implicit: float, regimen: str) -> Float[np.ndarray, "5 4"]:
    """Return the measured shares of the cells of the five ideas."""
    counts = np.array([stored.counts(name).cells for name in conditions(stored, implicit, regimen)], float)
    return counts / counts.sum(1, keepdims=True)


def estimates_of(stored: claims.Stored, implicit: float) -> list[Estimate]:
    """Return the estimates of `overrated` in a world of tests; four that the rule looks at hold together."""
    cells = [stored.counts(name).cells for name in conditions(stored, implicit)]
    return estimates(overrated, cells, family_wise(stored.data["confidence"], 2 * len(test_worlds(stored))))


def better_from(stored: claims.Stored, implicit: float) -> list[int | None]:
    """Return from how many runs on holding out is better than an early push: independent trials, and one author's."""
    held_out, early = (Alike.of(shares_of(stored, implicit, regimen)) for regimen in REGIMENS)
    found: list[int | None] = []
    for one, other in zip(held_out, early, strict=True):
        better = (
            runs for runs in range(1, MOST_RUNS + 1) if rejection_on_one(one, runs) > rejection_on_one(other, runs)
        )
        found.append(next(better, None))
    return found


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    asked, told = [], []
    for words, implicit in test_worlds(stored).items():
        idea, passing, other = estimates_of(stored, implicit)
        asked += [idea, passing]
        independent, shared = (
            f"{runs} runs" if runs else f"more than {MOST_RUNS}" for runs in better_from(stored, implicit)
        )
        told.append(
            f"{words}: {FAILURES} failures of one author, taken as independent, overrate "
            f"{claims.phrase('P(A) of the next idea by', idea)}, {claims.phrase('of the next pass by', passing)}, "
            f"{claims.phrase('of an idea of another author by', other)}; holding out beats the early push from "
            f"{shared} on ({independent} if independent)"
        )
    matter, do_not = [one.low > MATTERS for one in asked], [one.high < MATTERS for one in asked]
    verdict = claims.UNDECIDED
    if all(matter) or all(do_not):
        verdict = claims.SUPPORTED if all(matter) else claims.CONTRADICTED
    elif any(matter) and any(do_not):
        verdict = claims.DEPENDS
    return claims.Verdict(verdict, "; ".join(told))


INDEPENDENT = "if trials were independent"
OTHER_AUTHOR, SAME_AUTHOR = "of another author's idea", "of the same author's next idea"
LINES = {INDEPENDENT: (GREY, ":"), OTHER_AUTHOR: (SKY, "--"), SAME_AUTHOR: (BLACK, "-")}
HIGH = 0.9  # values above which there is no room for words
ROWS = {  # what is drawn, of which test
    ("next", "good test"): "next idea,\ngood test",
    ("next", "poor test"): "next idea,\npoor test",
    ("passing", "good test"): "next that passes,\ngood test",
    ("passing", "poor test"): "next that passes,\npoor test",
}


def plotted(stored: claims.Stored) -> dict[str, Json]:
    """Return what to expect after 0, 1, ... failures of one author, by test, as plain JSON values."""
    rows: dict[str, Json] = {}
    for words, implicit in test_worlds(stored).items():
        alike = Alike.of(shares_of(stored, implicit, "hold_out"))
        failures = range(SHOWN + 1)
        idea, passing, _ = estimates_of(stored, implicit)
        rows[words] = {
            "next": {
                INDEPENDENT: [float(aligned_next(alike.nothing, 0))] * len(failures),
                OTHER_AUTHOR: [float(aligned_of_another(alike.author, count)) for count in failures],
                SAME_AUTHOR: [float(aligned_next(alike.author, count)) for count in failures],
            },
            "passing": {
                INDEPENDENT: [float(aligned_next_pass(alike.nothing, 0))] * len(failures),
                SAME_AUTHOR: [float(aligned_next_pass(alike.author, count)) for count in failures],
            },
            "overrated": {"next": estimate_json(idea), "passing": estimate_json(passing)},
        }
    return rows


def draw(data: Json) -> figures.Figure:
    """What to expect as one author's ideas fail: a column per task, a row for P(A) of the next idea and of a pass."""
    tasks = data["tasks"]
    figure, panels, _ = grid(len(ROWS) * len(tasks), 1.15, columns=len(tasks), sharex=True, sharey=True)
    for row, (quantity, test) in enumerate(ROWS):
        for ax, counts in zip(panels[row * len(tasks) :], tasks.values(), strict=False):
            draw_panel(ax, counts["plotted"][test], quantity)
    for ax, (task, counts) in zip(panels, tasks.items(), strict=False):
        figures.name_task(ax, task, counts)
    for ax, words in zip(panels[:: len(tasks)], ROWS.values(), strict=True):
        ax.set_ylabel(f"P(A) of the\n{words}", fontsize="x-small")
    panels[0].set(ylim=(0, 1.14), xticks=[0, FAILURES, SHOWN], yticks=[0, 0.5, 1])
    for words, (colour, style) in LINES.items():
        panels[0].plot([], [], style, color=colour, label=words)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.supxlabel("failures of one author's ideas", fontsize="small")
    return figure


def draw_panel(ax: Axes, row: Json, quantity: str) -> None:
    """Draw what to expect after failures, and by how much it is overrated after those of the rule."""
    for line, values in row[quantity].items():
        colour, style = LINES[line]
        ax.plot(range(len(values)), values, style, color=colour, linewidth=1.2)
    found = estimate_from_json(row["overrated"][quantity])
    top = row[quantity][INDEPENDENT][FAILURES]
    ax.vlines(FAILURES, top - found.value, top, color=VERMILION, linewidth=1.4)
    matters = "normal" if found.low <= MATTERS else "bold"
    value, low, high = (f"{round(number, 2) + 0:.2f}" for number in found)  # -0.00 is 0.00
    words = {"fontsize": SMALLEST, "va": "top" if top > HIGH else "bottom", "color": VERMILION, "weight": matters}
    ax.text(0.2, top + (-0.05 if top > HIGH else 0.02), f"too high by {value} [{low}, {high}]", **words)


CAPTION = claims.Caption(
    question="After three failures, by how much does whoever takes trials as independent expect too much? Bold: it "
    "matters, by over .05 for sure.",
    before="What to expect of the next idea, and of the next that passes, after failures of one author's ideas.",
    marks="red: overrated after three failures by whoever takes trials as independent, bold where that matters",
)
