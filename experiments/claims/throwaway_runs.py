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
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from lab import claims, figures
from lab.ideas import Discrete, policy_value
from lab.statistics import Estimate, draw_shares, from_draws
from lab.words import Json, estimate_json, number

CONFIGS = "ideas"
RUNS = (4, 6)  # of the rule
FRESH = 3  # ideas of a campaign
CONFIDENCE = 0.95  # of the rule
STEP = 1e-4  # share of an idea's models that is moved to find a slope
REJECTION = ("rejection_single_idea", "rejection_random_idea_each_run")
LEARNING = ("optimal_no_recall", "explore_each_once_then_reject_on_best")

Table = tuple[tuple[int, ...], ...]  # counts of the cells of every idea; it can be hashed
Shares = Float[np.ndarray, "ideas 4"]
Gains = dict[tuple[int, str], Estimate]  # by runs and policy


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return ideas(stored, 0)


def ideas(stored: claims.Stored, world: int) -> list[str]:
    """Return the names of the ideas in one world: 0, where the held-out test is good, or -1."""
    implicit = stored.values("implicit_proxy")[world]
    return [
        stored.at("hold_out", preference=preference, implicit_proxy=implicit)
        for preference in stored.values("preference")
    ]


def count_ideas(stored: claims.Stored, world: int) -> Table:
    """Return the counts of the cells of every idea in one world."""
    return tuple(tuple(stored.counts(name).cells) for name in ideas(stored, world))


def estimates(
    function: Callable[[Shares], ArrayLike], cells: Sequence[Sequence[int]], confidence: float = CONFIDENCE
) -> list[Estimate]:
    """Return an `Estimate` of each number that a function of shares returns, from its slopes at the measured shares.

    Args:
        function: of the shares of the cells of every idea; returns numbers, shape (numbers,).
        cells: counts of the cells of every idea.
        confidence: of each interval.
    """
    counts = np.asarray(cells, float)
    shares = counts / counts.sum(1, keepdims=True)
    values, moved_values = np.asarray(function(shares)), []
    for idea, cell in np.ndindex(counts.shape):
        moved = shares.copy()
        moved[idea] *= 1 - STEP
        moved[idea, cell] += STEP
        moved_values.append(np.asarray(function(moved)))
    slopes = np.reshape((np.array(moved_values) - values) / STEP, (*counts.shape, len(values)))
    draws = draw_shares(*cells)

    def along(index: int) -> Callable[..., Float[np.ndarray, " draw"]]:
        def line(*tables: claims.Shares) -> Float[np.ndarray, " draw"]:
            moves = (slopes[idea, :, index] @ (table / table.sum(0)) for idea, table in enumerate(tables))
            return values[index] + sum(moves) - (slopes[..., index] * shares).sum()

        return line

    return [from_draws(along(index), draws, confidence) for index in range(len(values))]


def pass_rates(shares: Shares) -> tuple[float, float]:
    """Return P(T|A) and P(T|not A) over all ideas alike."""
    aligned = shares[:, 0] + shares[:, 1]
    return shares[:, 0].sum() / aligned.sum(), shares[:, 2].sum() / (1 - aligned).sum()


def values_of_learning(shares: Shares) -> list[float]:
    """Return what each policy gains over the better kind of rejection sampling, in the order of `RUNS`, `LEARNING`."""
    aligned, rates = shares[:, 0] + shares[:, 1], pass_rates(shares)
    campaign = (Discrete(tuple(aligned), (1 / len(aligned),) * len(aligned)),) * FRESH
    values = []
    for runs in RUNS:
        rejection = max(policy_value(name, campaign, runs, *rates) for name in REJECTION)
        values += [policy_value(name, campaign, runs, *rates) - rejection for name in LEARNING]
    return values


@functools.cache
def gains(cells: Table, intervals: bool = True) -> Gains:
    """Return (runs, policy) -> `Estimate` of its gain; the value alone, as all three numbers, without intervals."""
    if intervals:
        rows = estimates(values_of_learning, cells)
    else:
        table = np.array(cells, float)
        rows = [Estimate(*[value] * 3) for value in values_of_learning(table / table.sum(1, keepdims=True))]
    return dict(zip(itertools.product(RUNS, LEARNING), rows, strict=True))


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    good, poor = gains(count_ideas(stored, 0)), gains(count_ideas(stored, -1), False)
    best, naive = ([good[runs, name] for runs in RUNS] for name in LEARNING)
    why = "gain over rejection sampling with " + "; ".join(
        f"{runs} runs {claims.phrase('the best policy', one)}, {claims.phrase('exploring first', other)}"
        for runs, one, other in zip(RUNS, best, naive, strict=True)
    )
    why += "; where something like the test is trained on " + ", ".join(
        f"{' and '.join(number(poor[runs, name].value) for name in LEARNING)} ({runs} runs)" for runs in RUNS
    )
    if any(gain.high < 0 for gain in best):
        return claims.Verdict(claims.CONTRADICTED, why)
    if all(gain.low > 0 for gain in (*best, *naive)):
        return claims.Verdict(claims.SUPPORTED, why)
    split = all(gain.low > 0 for gain in best) and any(gain.high < 0 for gain in naive)
    return claims.Verdict(claims.DEPENDS if split else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return what learning gains over rejection sampling where the test is good, as plain JSON values."""
    words = dict(zip(LEARNING, ("best policy", "each idea once, then reject"), strict=True))
    good = gains(count_ideas(stored, 0))
    return [
        {"name": f"{words[policy]}, {runs} runs", **estimate_json(good[runs, policy])}
        for policy in LEARNING
        for runs in RUNS
    ]


def draw(data: Json) -> figures.Figure:
    """What learning gains over rejection sampling, a panel per task."""
    return figures.estimates_figure(data, "gain in P(accepted is aligned) over rejection sampling", (0.0,))
