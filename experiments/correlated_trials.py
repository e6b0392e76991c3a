"""Trials share causes: each failure lowers the estimate for its idea and for the field, and 1 / P(T) understates cost.

Command:   lab experiment correlated_trials
Expected:  supported
Cost:      about five minutes on 2 cores, shared with other claims

Ideas are ways to train that differ in how much the main objective prefers the aligned solution; the test is held out
and good. Two kinds of field are as likely: one whose ideas are those that do not prefer the misaligned solution, one
whose ideas are those that do not prefer the aligned one. Expectations are exact for given rates
(`lab.ideas.field_posterior`).

Rule, per task, with 95% intervals over draws of the rates: supported if each of three failures on an idea lowers the
expected P(A) of that idea and of a fresh one, three failures on three ideas lower that of a fresh one more than three
on one idea do, and an idea that one keeps to is likelier to fail ten times than ten runs at the average P(T) are;
contradicted if one of these goes the other way for sure; else undecided.
"""

import numpy as np

from experiments.throwaway_runs import drawn, names
from lab import claims
from lab.ideas import Discrete, field_posterior
from lab.report import with_interval
from lab.statistics import Estimate

CONFIGS = "ideas"
FAILURES, RUNS, DRAWS = 3, 10, 400


def shown(stored):
    """Return the conditions that the figure shows."""
    return names(stored, 0)


def effects(shares):
    """Return what the rule asks to be above 0, in its order, for shares of cells of shape (ideas, 4)."""
    aligned, passing = shares[:, 0] + shares[:, 1], shares[:, 0] + shares[:, 2]
    s, f = shares[:, 0].sum() / aligned.sum(), shares[:, 2].sum() / (1 - aligned).sum()
    half = len(aligned) // 2
    fields = [Discrete(tuple(own), (1 / len(own),) * len(own)) for own in (aligned[half:], aligned[: half + 1])]

    def after(trials):
        found = field_posterior(trials, fields, (0.5, 0.5), s, f)
        return found.fresh_mean, found.idea_means[0]

    fresh, own = np.transpose([after([(0, count)]) for count in range(FAILURES + 1)])
    spread = after([(0, 1)] * FAILURES)[0]
    kept, average = np.mean((1 - passing) ** RUNS), (1 - np.mean(passing)) ** RUNS
    falls = (-np.diff(own)).min(), (-np.diff(fresh)).min(), fresh[-1] - spread
    return np.array([*falls, kept - average, own[0], own[-1], kept])


def judge(stored):
    """Apply the rule to one task."""
    table = np.array(
        [effects(shares) for shares in drawn([stored.counts(name).cells for name in names(stored, 0)], DRAWS)]
    )
    low, high = np.quantile(table[1:], [0.025, 0.975], axis=0)
    found = [Estimate(*map(float, own)) for own in zip(table[0], low, high, strict=True)]
    why = (
        f"a failure lowers P(A) of its idea by at least {with_interval(found[0])} (three: from {found[4].value:.2f} to "
        f"{found[5].value:.2f}), of a fresh one by {with_interval(found[1])}; three on one idea do so by "
        f"{with_interval(found[2])} less than three on three; no pass in ten runs of an idea that one keeps to: "
        f"{found[6].value:.2f}, more than at the average P(T) by {with_interval(found[3])}"
    )
    return claims.Verdict(claims.decide(*found[:4]), why)
