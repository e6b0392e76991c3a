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

import numpy as np

from experiments.claims.throwaway_runs import estimates, names
from lab import claims
from lab.figures.style import WIDTH, subplots
from lab.ideas import Discrete, field_posterior
from lab.words import estimate_from_json, estimate_json, rounded, with_interval

CONFIGS = "ideas"
FAILURES, RUNS = 3, 10


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return names(stored, 0)


def expected(shares):
    """Return expected P(A) after 0, 1, ... failures, and how likely ten are, for shares of cells of shape (ideas, 4).

    Returns:
        P(A) of the idea that failed, of a fresh one, and of a fresh one if each failure was on another idea, each of
        shape (failures + 1,); the probability that ten runs on one idea fail, and that ten at the average P(T) do.
    """
    aligned, passing = shares[:, 0] + shares[:, 1], shares[:, 0] + shares[:, 2]
    s, f = shares[:, 0].sum() / aligned.sum(), shares[:, 2].sum() / (1 - aligned).sum()
    half = len(aligned) // 2
    fields = [Discrete(tuple(own), (1 / len(own),) * len(own)) for own in (aligned[half:], aligned[: half + 1])]

    def after(trials):
        found = field_posterior(trials, fields, (0.5, 0.5), s, f)
        return found.fresh_mean, found.idea_means[0]

    fresh, own = np.transpose([after([(0, count)]) for count in range(FAILURES + 1)])
    spread = [after([(0, 1)] * max(count, 1))[0] if count else fresh[0] for count in range(FAILURES + 1)]
    return own, fresh, np.array(spread), np.mean((1 - passing) ** RUNS), (1 - np.mean(passing)) ** RUNS


def effects(shares):
    """Return what the rule asks to be above 0, in its order, and P(A) of an idea before and after, and P(ten fail)."""
    own, fresh, spread, kept, average = expected(shares)
    falls = (-np.diff(own)).min(), (-np.diff(fresh)).min(), fresh[-1] - spread[-1]
    return np.array([*falls, kept - average, own[0], own[-1], kept])


def cells(stored):
    """Return the counts of the ideas, shape (ideas, 4)."""
    return [stored.counts(name).cells for name in names(stored, 0)]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    found = estimates(effects, cells(stored))
    why = (
        f"a failure lowers P(A) of its idea by at least {with_interval(found[0])} (three: from {rounded(found[4])} to "
        f"{rounded(found[5])}), of a fresh one by {with_interval(found[1])}; three on one idea do so by "
        f"{with_interval(found[2])} less than three on three; no pass in ten runs of an idea that one keeps to: "
        f"{rounded(found[6])}, more than at the average P(T) by {with_interval(found[3])}"
    )
    return claims.Verdict(claims.decide(*found[:4]), why)


CURVES = {  # what is drawn, with its line
    "the idea that failed": "o-",
    "a fresh idea, failures on one": "s--",
    "a fresh idea, failures on several": "^:",
}


def plotted(stored: claims.Stored) -> list[Json]:
    """Return expected P(A) after 0, 1, ... failures on every idea of `CURVES`, as plain JSON values."""
    every = estimates(lambda shares: np.ravel(expected(shares)[: len(CURVES)]), cells(stored))
    return {
        words: [estimate_json(estimate) for estimate in every[start : start + FAILURES + 1]]
        for words, start in zip(CURVES, range(0, len(every), FAILURES + 1), strict=True)
    }


def draw(data: Json) -> Figure:
    """Expected P(A) as failures come in, a panel per task; bands: 95% of draws of the rates."""
    tasks = data["tasks"]
    figure, axes = subplots(1, len(tasks), figsize=(WIDTH * 1.2, 1.9), squeeze=False, sharey=True, sharex=True)
    for ax, (task, counts) in zip(axes[0], tasks.items(), strict=True):
        for index, (words, line) in enumerate(CURVES.items()):
            values, low, high = np.transpose([estimate_from_json(point) for point in counts["plotted"][words]])
            colour, failures = f"C{index}", range(FAILURES + 1)
            ax.fill_between(failures, low, high, color=colour, alpha=0.25, linewidth=0)
            ax.plot(failures, values, line, color=colour, markersize=3, label=words)
        ax.set_title(task, loc="left", fontsize="small", fontweight="bold")
    axes[0][0].set_ylim(bottom=0)
    axes[0][0].set_ylabel("expected P(A)")
    figure.supxlabel("failures seen", fontsize="small")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize="x-small")
    return figure


CAPTION = claims.Caption(marks="bands: 95% of draws")
