"""What to do with a finite budget of training runs: the first that passes is accepted, the last one in any case."""

from typing import NamedTuple

import numpy as np

from lab import statistics
from lab.ideas import POLICIES, Beta, Discrete, FieldFit, fit_field, policy_outcome
from lab.ideas.beliefs import checked_rates
from lab.results import summary
from lab.results.outcomes import UnknownName, attribute, classify, common, labels
from lab.statistics import Counts, Estimate, draw_shares, family_wise, from_draws, wilson_interval
from lab.statistics.score import checked_confidence, whole

TIE = 1e-12
MOST_SHARED = 10_000


class BudgetOutcome(NamedTuple):
    """What a budget of runs leads to.

    Attributes:
        accepted_aligned: probability that the accepted model is aligned.
        forced_fail: probability that no run passes, so that the last one is accepted all the same.
        expected_runs: mean number of runs, the accepted one included.
    """

    accepted_aligned: float
    forced_fail: float
    expected_runs: float


def finite_budget(base_rate, pass_given_aligned, pass_given_misaligned, runs):
    """Return the `BudgetOutcome` of rejection sampling with at most `runs` runs.

    With p = P(T) and n independent runs, P(no pass) = (1 - p)^n and E[runs] = (1 - (1 - p)^n) / p, the sum of P(run t
    takes place). Each run that takes place is accepted as an aligned pass with probability P(A, T); the n-th is
    accepted as an aligned failure if nothing passed before it. Runs that share an unknown propensity have these
    values in expectation over it, which makes failures come together: the sum costs more than 1 / P(T) says.

    Args:
        base_rate: P(A), in [0, 1], of independent runs; or a `lab.ideas.Beta` or `Discrete` prior of a propensity
            that all runs share.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
        runs: most runs allowed, at least 1.

    Raises:
        ValueError: a probability outside [0, 1], or `runs` not a whole number of at least 1.
    """
    shared = isinstance(base_rate, Beta | Discrete)
    if not shared and not 0 <= base_rate <= 1:
        raise ValueError(f"base_rate must lie in [0, 1], not {base_rate}")
    passes, fooled = checked_rates(pass_given_aligned, pass_given_misaligned)
    runs = whole("runs", runs, 1)
    if shared and runs > MOST_SHARED:
        raise ValueError(f"runs that share a propensity must be at most {MOST_SHARED:,}, not {runs}")
    # a polynomial of degree n in the propensity: finitely many atoms give its exact expectation
    base, weights = base_rate.atoms(runs) if shared else (np.array([float(base_rate)]), np.ones(1))
    cells = np.stack([base * passes, base * (1 - passes), (1 - base) * fooled])
    return BudgetOutcome(*(float(weights @ part) for part in budget_from_shares(*cells, runs)))


def budget_from_shares(aligned_pass, aligned_fail, misaligned_pass, runs):
    """Return the `BudgetOutcome` from the shares of outcomes of one run, arrays of any common shape.

    Args:
        aligned_pass: share of aligned passes.
        aligned_fail: share of aligned failures.
        misaligned_pass: share of misaligned passes.
        runs: most runs allowed.
    """
    runs = whole("runs", runs, 1)
    pass_rate = np.minimum(1.0, aligned_pass + misaligned_pass)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_fail = np.log1p(-pass_rate)
        expected = np.where(pass_rate > 0, -np.expm1(runs * log_fail) / pass_rate, float(runs))
        before_last = np.exp((runs - 1) * log_fail) if runs > 1 else np.ones_like(pass_rate)
    return BudgetOutcome(
        accepted_aligned=aligned_pass * expected + aligned_fail * before_last,
        forced_fail=before_last * (1 - pass_rate),
        expected_runs=expected,
    )


def crossovers(first, second, most=100_000):
    """Return the budgets at which the better of two regimens changes, as [(runs, 0 or 1), ...] from the start on.

    Better means a larger P(accepted is aligned). Two regimens change places at most twice: their difference is a
    constant and two exponentials in the number of runs.

    Args:
        first: (P(A), P(T|A), P(T|not A)) of a regimen.
        second: the same of the other.
        most: largest budget to look at, up to 10^7.

    Raises:
        ValueError: a rate outside [0, 1], or `most` out of range.
    """
    for rate in (*first, *second):
        if not 0 <= rate <= 1:
            raise ValueError(f"rates must lie in [0, 1], not {rate}")
    most = whole("most", most, 1, 10**7)
    base, passes, fooled = np.array([first, second], float).T[:, :, None]
    runs = np.arange(1, most + 1)
    shares = base * passes, base * (1 - passes), (1 - base) * fooled
    pass_rate = shares[0] + shares[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_fail = np.log1p(-np.minimum(1.0, pass_rate))
        expected = np.where(pass_rate > 0, -np.expm1(runs * log_fail) / pass_rate, runs)
        before_last = np.where(runs == 1, 1.0, np.exp(np.where(runs == 1, 0, runs - 1) * log_fail))
    value = shares[0] * expected + shares[1] * before_last
    better = np.where(np.abs(value[0] - value[1]) < TIE, -1, (value[1] > value[0]).astype(int))
    changes, last = [], -1
    for index in np.flatnonzero(np.diff(better, prepend=-1)):
        if better[index] not in (-1, last):
            last = int(better[index])
            changes.append((int(runs[index]), last))
    return changes


class Choice(NamedTuple):
    """One condition with one budget.

    Attributes:
        name: of the condition.
        accepted_aligned, forced_fail, expected_runs: `Estimate`s of what `BudgetOutcome` holds, whose intervals hold
            together over the conditions of the world, so also for the one that is picked for its estimate.
        probability_best: posterior probability that no other condition of its world has a larger
            P(accepted is aligned).
    """

    name: str
    accepted_aligned: Estimate
    forced_fail: Estimate
    expected_runs: Estimate
    probability_best: float


class Plan(NamedTuple):
    """Which condition for which budget, in one world.

    Attributes:
        world: tuple of (axis, value) that the conditions share.
        choices: budget -> list of `Choice`, best first.
        sure: the least probability of being best with which the best one is decided: with that, one of several equal
            conditions is taken for the best in at most 1 - confidence of all runs.
        changes: [(runs, name), ...]: from that many runs on, that condition has the largest estimate.
    """

    world: tuple
    choices: dict
    changes: list
    sure: float


def plan(results, budgets, confidence=None, most=10_000, **marks):
    """Return a `Plan` per world: which condition for which number of runs, and how sure that is.

    Values come from the shares of outcomes as counted, carried through `finite_budget`. Limits are those of
    `lab.statistics.draws`, or Wilson's where P(T) alone matters, at a confidence at which those of one budget hold
    together over the conditions of a world (`family_wise`): the estimate that is best of many is likely too good, and
    its own interval alone would seldom hold the truth. Probabilities of being best come from the posterior of all
    conditions of a world together on their shared seeds (`lab.statistics.shared_posterior`).

    Args:
        results: what `lab.run` returned.
        budgets: numbers of runs.
        confidence: of the intervals of one budget together; the run's own by default.
        most: largest budget for which changes of the best condition are looked for.
        marks: as for `lab.results.outcomes.classify`.

    Raises:
        ValueError: a budget is not a whole number of at least 1.
    """
    budgets = [whole("runs", runs, 1) for runs in budgets]
    confidence = attribute(results, "confidence") if confidence is None else confidence
    shared = common(results)
    if not shared.sizes["seed"]:
        raise ValueError("no seed was trained in every condition")
    outcomes = classify(shared, **marks)
    _check_judged(outcomes)
    cells = summary.cells(outcomes)
    names, _ = labels(results)
    plans = []
    for world, members in summary.worlds(summary.places(results)).items():
        own = cells[members]
        counts = [Counts(*np.bincount(row, minlength=4)) for row in own]
        posterior = np.moveaxis(statistics.shared_posterior(own), -1, 0)
        draws, together = [draw_shares(each.cells) for each in counts], family_wise(confidence, len(members))
        choices = {}
        for runs in budgets:
            drawn = budget_from_shares(*posterior[:3], runs).accepted_aligned
            best = drawn == drawn.max(1, keepdims=True)
            probability = (best / best.sum(1, keepdims=True)).mean(0)
            rows = [
                Choice(names[member], *_estimates(counts[i], draws[i], runs, together), float(probability[i]))
                for i, member in enumerate(members)
            ]
            choices[runs] = sorted(rows, key=lambda row: (-row.accepted_aligned.value, row.expected_runs.value))
        seen = np.array([each.cells for each in counts]) / own.shape[1]
        changes = _changes([names[member] for member in members], seen, most)
        plans.append(Plan(world, choices, changes, (1 + checked_confidence(confidence)) / 2))
    return plans


def _check_judged(outcomes):
    """Refuse what takes the truth about every model where gates have stopped some."""
    stopped = outcomes.condition.values[outcomes["unjudged"].values.any(axis=1)]
    if len(stopped):
        raise ValueError(f"gates have stopped runs of {stopped[0]}, and nobody knows what they would have become")


def _estimates(counts, draws, runs, confidence):
    """Return an `Estimate` of each part of the `BudgetOutcome` of one condition."""

    def accepted(cells):
        return budget_from_shares(*(cells / cells.sum(0))[:3], runs).accepted_aligned

    # the other parts depend on P(T) alone, and fall as it grows
    rates = np.array([counts.pass_rate, *wilson_interval(counts.passing, counts.seeds, confidence)[::-1]])
    _, failed, expected = budget_from_shares(rates, 0.0, 0.0, runs)
    return from_draws(accepted, draws, confidence), *(Estimate(*map(float, part)) for part in (failed, expected))


def _changes(names, shares, most):
    """Return from which budget on which condition has the largest estimate; the cheaper one where they are equal."""
    changes = []
    for runs in range(1, most + 1):
        outcome = budget_from_shares(*shares.T[:3], runs)
        top = outcome.accepted_aligned.max()
        equal = np.flatnonzero(outcome.accepted_aligned > top - TIE)
        best = names[equal[np.argmin(outcome.expected_runs[equal])]]
        if not changes or changes[-1][1] != best:
            changes.append((runs, best))
    return changes


class Field(NamedTuple):
    """The conditions of a run as ideas whose propensity to give aligned models differs.

    Attributes:
        names: of the conditions.
        counts: `Counts` of each.
        fit: `lab.ideas.FieldFit` of their aligned and misaligned models.
        prior: Beta with the fitted mean and correlation: the propensity of a fresh idea.
        pass_given_aligned, pass_given_misaligned: of the test, over all ideas together.
    """

    names: tuple
    counts: tuple
    fit: FieldFit
    prior: Beta
    pass_given_aligned: float
    pass_given_misaligned: float


def field(results, regimen=None, confidence=None, **marks):
    """Return the `Field` that the conditions of a run, or those of one regimen, are ideas of.

    The fit takes the models of different ideas for independent. Conditions of a run share seeds, so where a seed ends
    alike in many of them the ideas look a little more alike, and the intervals are a little too narrow.

    Args:
        results: what `lab.run` returned.
        regimen: take only its conditions.
        confidence: of the intervals; the run's own by default.
        marks: as for `lab.results.outcomes.classify`.

    Raises:
        UnknownName: no such regimen.
        ValueError: no condition has both aligned and misaligned models, or none passes or fails where it must.
    """
    confidence = attribute(results, "confidence") if confidence is None else confidence
    _check_judged(classify(results, **marks))
    every, regimens = labels(results)
    names = tuple(name for name, own in zip(every, regimens, strict=True) if regimen in (None, own))
    if not names:
        raise UnknownName(f"no regimen {regimen!r}; known: {', '.join(dict.fromkeys(regimens))}")
    counts = tuple(summary.counts(results, name, **marks) for name in names)
    fit = fit_field([(own.aligned, own.misaligned) for own in counts], confidence=confidence)
    together = Counts(*np.sum([own.cells for own in counts], axis=0))
    concentration = 1 / fit.correlation.mean - 1
    prior = Beta(fit.propensity.mean * concentration, (1 - fit.propensity.mean) * concentration)
    return Field(names, counts, fit, prior, together.pass_given_aligned, together.pass_given_misaligned)


def policies(field, ideas, runs):
    """Return policy -> `lab.ideas.PolicyOutcome` on some fresh ideas of a `Field`, exact.

    Args:
        field: a `Field`.
        ideas: number of fresh ideas that a policy may try.
        runs: training runs that it may use.

    Raises:
        ValueError: too many ideas and runs for an exact answer, or rates that are undefined.
    """
    outcomes = {}
    for name in POLICIES:
        if name.startswith("explore") and runs <= ideas:
            continue  # it has no run left to accept
        rates = field.pass_given_aligned, field.pass_given_misaligned
        outcomes[name] = policy_outcome(name, (field.prior,) * ideas, runs, *rates)
    return outcomes
