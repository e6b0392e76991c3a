"""Using a good proxy on throwaway runs, to learn which training ideas are bad, dominates rejection sampling.

Command:   lab experiment throwaway_runs
Expected:  depends: the best policy dominates, exploring every idea once first need not
Cost:      about five minutes on 2 cores, shared with other claims

Ideas are ways to train that differ in how much the main objective prefers the aligned solution; the test is held out.
A campaign may try three fresh ideas of this field, each as likely to be any of those measured, with the test's rates
over all of them. Rejection sampling trains on one idea, or on a random one each run, and accepts the first pass.
Learning is the best policy there is (which idea next, and whether to take a pass), or one try of each idea and then
rejection on the most promising one. In all of them the last run is accepted in any case. Values are exact for given
rates (`lab.ideas`); the intervals are from draws of the rates (`lab.statistics.draws`), along the slopes of the values
at the measured ones. That the best policy does not lose is so by construction; what is measured is how much it gains,
and that exploring first need not.

Rule, per task, where the held-out test is good: supported if with 4 and with 6 runs both the best policy and exploring
first gain over the better kind of rejection sampling (intervals above 0); contradicted if the best policy loses
anywhere; depends if the best policy gains at both and exploring first loses anywhere; else undecided.
"""

import functools
import itertools

import numpy as np

from lab import claims, figures
from lab.ideas import Discrete, policy_value
from lab.statistics import Estimate, draw_shares, from_draws
from lab.words import estimate_json, number

CONFIGS = "ideas"
RUNS, FRESH = (4, 6), 3
STEP = 1e-4  # share of an idea's models that is moved to find a slope
REJECTION = ("rejection_single_idea", "rejection_random_idea_each_run")
LEARNING = ("optimal_no_recall", "explore_each_once_then_reject_on_best")


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return names(stored, 0)


def names(stored, world):
    """Return the ideas in one world: 0, where the held-out test is good, or -1."""
    values = stored.values("preference")
    implicit = stored.values("implicit_proxy")[world]
    return [stored.at("hold_out", preference=value, implicit_proxy=implicit) for value in values]


def estimates(function, cells, confidence=0.95):
    """Return an `Estimate` of each number that a function of shares returns, from its slopes at the measured shares.

    Args:
        function: of shares, shape (ideas, 4); returns numbers, shape (numbers,).
        cells: counts, shape (ideas, 4).
        confidence: of each interval.
    """
    draws, cells = draw_shares(*cells), np.asarray(cells, float)
    shares = cells / cells.sum(1, keepdims=True)
    values, slopes = np.asarray(function(shares)), []
    for idea, cell in np.ndindex(cells.shape):
        moved = shares.copy()
        moved[idea] *= 1 - STEP
        moved[idea, cell] += STEP
        slopes.append((np.asarray(function(moved)) - values) / STEP)
    slopes = np.reshape(slopes, (*cells.shape, len(values)))

    def along(number):
        def line(*tables):
            moves = (slopes[idea, :, number] @ (own / own.sum(0)) for idea, own in enumerate(tables))
            return values[number] + sum(moves) - (slopes[..., number] * shares).sum()

        return line

    return [from_draws(along(number), draws, confidence) for number in range(len(values))]


def gained(shares):
    """Return what each policy gains over the better kind of rejection sampling, in the order of `RUNS`, `LEARNING`."""
    aligned, found = shares[:, 0] + shares[:, 1], []
    s, f = shares[:, 0].sum() / aligned.sum(), shares[:, 2].sum() / (1 - aligned).sum()
    idea = Discrete(tuple(aligned), (1 / len(aligned),) * len(aligned))
    for runs in RUNS:
        held = max(policy_value(name, (idea,) * FRESH, runs, s, f) for name in REJECTION)
        found += [policy_value(name, (idea,) * FRESH, runs, s, f) - held for name in LEARNING]
    return found


@functools.cache
def gains(cells, intervals=True):
    """Return (runs, policy) -> `Estimate` of its gain; the value alone, as all three numbers, without intervals."""
    if intervals:
        found = estimates(gained, cells)
    else:
        table = np.array(cells, float)
        found = [Estimate(*[value] * 3) for value in gained(table / table.sum(1, keepdims=True))]
    return dict(zip(itertools.product(RUNS, LEARNING), found, strict=True))


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    tables = [tuple(tuple(stored.counts(name).cells) for name in names(stored, world)) for world in (0, -1)]
    good, poor = gains(tables[0]), gains(tables[1], False)
    best, naive = ([good[runs, name] for runs in RUNS] for name in LEARNING)
    why = "gain over rejection sampling with " + "; ".join(
        f"{runs} runs {claims.phrase('the best policy', one)}, {claims.phrase('exploring first', other)}"
        for runs, one, other in zip(RUNS, best, naive, strict=True)
    )
    why += "; where something like the test is trained on " + ", ".join(
        f"{' and '.join(number(poor[runs, name].value) for name in LEARNING)} ({runs} runs)" for runs in RUNS
    )
    if any(own.high < 0 for own in best):
        return claims.Verdict(claims.CONTRADICTED, why)
    if all(own.low > 0 for own in (*best, *naive)):
        return claims.Verdict(claims.SUPPORTED, why)
    split = all(own.low > 0 for own in best) and any(own.high < 0 for own in naive)
    return claims.Verdict(claims.DEPENDS if split else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what learning gains over rejection sampling where the test is good, as plain JSON values."""
    words = dict(zip(LEARNING, ("best policy", "each idea once, then reject"), strict=True))
    good = gains(tuple(tuple(stored.counts(name).cells) for name in names(stored, 0)))
    return [
        {"name": f"{words[policy]}, {runs} runs", **estimate_json(good[runs, policy])}
        for policy in LEARNING
        for runs in RUNS
    ]


def draw(data: Json) -> Figure:
    """What learning gains over rejection sampling, a panel per task."""
    return figures.estimates_figure(data, "gain in P(accepted is aligned) over rejection sampling", (0.0,))
