"""Trials share causes: each failure lowers the estimate for its idea and for the field, and 1 / P(T) understates cost.

Command:   lab experiment correlated_trials
Expected:  supported
Cost:      about five minutes on 2 cores, shared with other claims

Ideas are ways to train that differ in how much the main objective prefers the aligned solution; the test is held out
and good. Two kinds of field are as likely: one whose ideas are those that do not prefer the misaligned solution, one
whose ideas are those that do not prefer the aligned one. Expectations are exact for given rates
(`lab.ideas.field_posterior`).

That a failure lowers an estimate and that an idea one keeps to costs more is Bayes' theorem and Jensen's inequality;
what is measured is by how much, with rates of trained populations.

Rule, per task, with 95% intervals over draws of the rates: supported if each of three failures on an idea lowers the
expected P(A) of that idea and of a fresh one, three failures on three ideas lower that of a fresh one more than three
on one idea do, and an idea that one keeps to is likelier to fail ten times than ten runs at the average P(T) are;
contradicted if one of these goes the other way for sure; else undecided.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.claims.throwaway_runs import estimates
from lab import claims
from lab.figures import name_task
from lab.figures.palette import BLACK, SKY, VERMILION, Style
from lab.figures.style import Figure, grid
from lab.ideas import Discrete, field_posterior
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json, estimate_json, rounded, with_interval

CONFIGS = "ideas"
FAILURES, RUNS = 3, 10  # of the rule
AS_LIKELY = (0.5, 0.5)  # the two kinds of field

Curve = Float[np.ndarray, " failures"]  # after 0, 1, ... failures
Shares = Float[np.ndarray, "ideas 4"]


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows: the ideas in the world where the held-out test is good."""
    implicit = stored.values("implicit_proxy")[0]
    return [
        stored.at("hold_out", preference=preference, implicit_proxy=implicit)
        for preference in stored.values("preference")
    ]


def pass_rates(shares: Shares) -> tuple[float, float]:
    """Return P(T|A) and P(T|not A) over all ideas alike."""
    aligned = shares[:, 0] + shares[:, 1]
    return shares[:, 0].sum() / aligned.sum(), shares[:, 2].sum() / (1 - aligned).sum()


class Expected(NamedTuple):
    """What failures say.

    Attributes:
        failed: expected P(A) of the idea that failed.
        fresh: that of a fresh idea, if all failures were on one.
        spread: that of a fresh idea, if each failure was on another.
        kept: probability that ten runs on one idea fail.
        average: that ten runs at the average P(T) do.
    """

    failed: Curve
    fresh: Curve
    spread: Curve
    kept: float
    average: float


def expected(shares: Shares) -> Expected:
    """Return what failures say, for shares of the cells of every idea."""
    aligned, passing = shares[:, 0] + shares[:, 1], shares[:, 0] + shares[:, 2]
    rates = pass_rates(shares)
    half = len(aligned) // 2
    fields = [Discrete(tuple(part), (1 / len(part),) * len(part)) for part in (aligned[half:], aligned[: half + 1])]

    def after(trials: Sequence[tuple[int, int]]) -> tuple[float, float]:
        posterior = field_posterior(trials, fields, AS_LIKELY, *rates)
        return posterior.fresh_mean, posterior.idea_means[0]

    fresh, failed = np.transpose([after([(0, count)]) for count in range(FAILURES + 1)])
    spread = [after([(0, 1)] * max(count, 1))[0] if count else fresh[0] for count in range(FAILURES + 1)]
    kept, average = np.mean((1 - passing) ** RUNS), (1 - np.mean(passing)) ** RUNS
    return Expected(failed, fresh, np.array(spread), float(kept), float(average))


def effects(shares: Shares) -> Float[np.ndarray, "7"]:
    """Return what the rule asks to be above 0, in its order, and P(A) of an idea before and after, and P(ten fail)."""
    failed, fresh, spread, kept, average = expected(shares)
    falls = (-np.diff(failed)).min(), (-np.diff(fresh)).min(), fresh[-1] - spread[-1]
    return np.array([*falls, kept - average, failed[0], failed[-1], kept])


def estimates_of(function: Callable[[Shares], Float[np.ndarray, " number"]], stored: claims.Stored) -> list[Estimate]:
    """Return an `Estimate` of each number that a function of the shares of the ideas returns."""
    cells = [stored.counts(name).cells for name in shown(stored)]
    return estimates(lambda moves: np.stack([function(shares) for shares in moves]), cells)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    own_fall, fresh_fall, spread_more, kept_more, before, after, kept = estimates_of(effects, stored)
    why = (
        f"a failure lowers P(A) of its idea by at least {with_interval(own_fall)} (three: from {rounded(before)} to "
        f"{rounded(after)}), of a fresh one by {with_interval(fresh_fall)}; three on one idea do so by "
        f"{with_interval(spread_more)} less than three on three; no pass in ten runs of an idea that one keeps to: "
        f"{rounded(kept)}, more than at the average P(T) by {with_interval(kept_more)}"
    )
    return claims.Verdict(claims.decide(own_fall, fresh_fall, spread_more, kept_more), why)


CURVES = {  # what is drawn, and how
    "the idea that failed": Style(BLACK, "o", "-"),
    "a fresh idea, failures on one": Style(SKY, "P", "--"),
    "a fresh idea, failures on several": Style(VERMILION, "X", ":"),
}


def plotted(stored: claims.Stored) -> Json:
    """Return expected P(A) after 0, 1, ... failures on every idea of `CURVES`, and how often ten runs fail."""

    def curves(shares: Shares) -> Float[np.ndarray, " number"]:
        failures = expected(shares)
        return np.concatenate([failures.failed, failures.fresh, failures.spread, [failures.kept, failures.average]])

    *every, kept, average = estimates_of(curves, stored)
    return {
        "curves": {
            words: [estimate_json(estimate) for estimate in every[start : start + FAILURES + 1]]
            for words, start in zip(CURVES, range(0, len(every), FAILURES + 1), strict=True)
        },
        "all_fail": {"kept": estimate_json(kept), "average": estimate_json(average)},
    }


def draw(data: Json) -> Figure:
    """Expected P(A) as failures come in, a panel per task; bands: 95% of draws of the rates."""
    tasks = data["tasks"]
    figure, panels, _ = grid(len(tasks), 1.6, columns=2, sharex=True, sharey=True)
    for ax, (task, counts) in zip(panels, tasks.items(), strict=True):
        for words, (colour, marker, line) in CURVES.items():
            values, low, high = np.transpose(
                [estimate_from_json(point) for point in counts["plotted"]["curves"][words]]
            )
            failures = range(FAILURES + 1)
            ax.fill_between(failures, low, high, color=colour, alpha=0.2, linewidth=0)
            ax.plot(failures, values, line, color=colour, marker=marker, markersize=4, label=words)
        kept, average = (estimate_from_json(rate).value for rate in counts["plotted"]["all_fail"].values())
        words = f"chance that ten runs fail: {kept:.2f} of one idea,\n{average:.2f} by the average P(T) of all ideas"
        ax.text(0.03, 0.05, words, transform=ax.transAxes, fontsize="x-small")
        name_task(ax, task, counts)
    panels[0].set(ylim=(0, None), xticks=range(FAILURES + 1))
    for ax in panels[::2]:
        ax.set_ylabel("expected P(A)")
    figure.supxlabel("failures seen", fontsize="small")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


CAPTION = claims.Caption(
    question="How likely is the next run aligned, after failures? Lines that fall: failures tell of the idea, and of "
    "others.",
    marks="bands: 95% of draws",
)
