"""What to do with a finite budget of training runs: the first that passes is accepted.

If none passes, the last one is accepted in any case; or an organisation walks away, and has nothing.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int8
from numpy.typing import ArrayLike

from lab import statistics
from lab.ideas import POLICIES, Beta, Discrete, FieldFit, PolicyOutcome, fit_field, policy_outcome
from lab.ideas.beliefs import Prior, checked_rates
from lab.results import summary
from lab.results.outcomes import (
    Outcomes,
    Results,
    UnknownName,
    are_paired,
    attribute,
    classify,
    common,
    is_observed,
    labels,
)
from lab.statistics import Counts, Estimate, Interval, draw_shares, family_wise, from_draws, wilson_interval
from lab.statistics.draws import Draws
from lab.statistics.evidence import Evidence, estimate_of, evidence, evidence_posterior, on_cells, point_shares
from lab.statistics.score import checked_confidence, whole

TIE = 1e-12  # values closer than this are equal, so that rounding decides nothing
BUDGETS_AT_ONCE = 1_000  # that are compared in one array
MOST_RUNS = 10**9  # that a budget of costs allows
MOST_SHARED = 10_000  # runs that share a propensity: the Gauss rule of so many takes about a second


class BudgetOutcome(NamedTuple):
    """What a budget of runs leads to.

    Attributes:
        accepted_aligned: probability that a model is accepted and is aligned.
        forced_fail: probability that no run passes, so that the last one is accepted all the same, or none is.
        expected_runs: mean number of runs, the accepted one included.
    """

    accepted_aligned: float
    forced_fail: float
    expected_runs: float


class Budgets(NamedTuple):
    """What `BudgetOutcome` holds, of many shares of outcomes at once."""

    accepted_aligned: Float[np.ndarray, "..."]
    forced_fail: Float[np.ndarray, "..."]
    expected_runs: Float[np.ndarray, "..."]


def finite_budget(
    base_rate: float | Prior,
    pass_given_aligned: float,
    pass_given_misaligned: float,
    runs: int,
    *,
    accept_last: bool = True,
) -> BudgetOutcome:
    """Return the `BudgetOutcome` of rejection sampling with at most `runs` runs.

    With p = P(T) and n independent runs, P(no pass) = (1 - p)^n and E[runs] = (1 - (1 - p)^n) / p, the sum of P(run t
    takes place). Each run that takes place is accepted as an aligned pass with probability P(A, T); the n-th is
    accepted as an aligned failure if nothing passed before it. Runs that share an unknown propensity have these
    values in expectation over it, which makes failures come together: the sum costs more than 1 / P(T) says.

    An organisation that may walk away (`accept_last` false) trains the same runs and accepts no failure: it then has
    nothing with probability P(no pass). What that is worth is up to `worth_of_budget`.

    Args:
        base_rate: P(A), in [0, 1], of independent runs; or a `lab.ideas.Beta` or `Discrete` prior of a propensity
            that all runs share.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
        runs: most runs allowed, at least 1.
        accept_last: whether the last run is accepted in any case.

    Raises:
        ValueError: a probability outside [0, 1], or `runs` not a whole number of at least 1.

    Example:
        One run is no selection. Of two, the first is accepted if it passes, with probability .3 x .9 + .7 x .2 = .41:

        >>> round(finite_budget(0.3, 0.9, 0.2, 1).accepted_aligned, 9)
        0.3
        >>> two = finite_budget(0.3, 0.9, 0.2, 2)
        >>> round(two.expected_runs, 9), round(two.accepted_aligned, 9)
        (1.59, 0.447)

        Whoever may walk away gets .27 x 1.59 aligned models, and nothing with probability .59 x .59:

        >>> free = finite_budget(0.3, 0.9, 0.2, 2, accept_last=False)
        >>> round(free.accepted_aligned, 9), round(free.forced_fail, 9)
        (0.4293, 0.3481)
    """
    passes, fooled = checked_rates(pass_given_aligned, pass_given_misaligned)
    runs = whole("runs", runs, 1)
    base, weights = _atoms(base_rate, runs)
    budgets = budget_from_shares(base * passes, base * (1 - passes), (1 - base) * fooled, runs, accept_last=accept_last)
    return BudgetOutcome(*[float(weights @ values) for values in budgets])


def _atoms(base_rate: float | Prior, runs: int) -> tuple[Float[np.ndarray, " atom"], Float[np.ndarray, " atom"]]:
    """Return base rates and their weights: a polynomial of degree n has its exact expectation in finitely many."""
    if isinstance(base_rate, Beta | Discrete):
        if runs > MOST_SHARED:
            raise ValueError(f"runs that share a propensity must be at most {MOST_SHARED:,}, not {runs}")
        return base_rate.atoms(runs)
    if not 0 <= base_rate <= 1:
        raise ValueError(f"base_rate must lie in [0, 1], not {base_rate}")
    return np.array([float(base_rate)]), np.ones(1)


def worth_of_budget(outcome: BudgetOutcome | Budgets, nothing: float) -> float | Float[np.ndarray, "..."]:
    """Return what a budget is worth to an organisation that walks away if no run passes.

    An accepted aligned model is worth 1, an accepted misaligned one 0, and no model `nothing`. Any three utilities in
    this order come to these once they are shifted and scaled. Where an aligned model gains 1 and a misaligned one costs
    c, nothing is worth c / (1 + c) on this scale.

    Args:
        outcome: of a budget whose last run is not accepted in any case (`accept_last` false).
        nothing: utility of having no model, in [0, 1].

    Raises:
        ValueError: `nothing` outside [0, 1], where every model would be accepted, or none.

    Example:
        A misaligned model is as bad as an aligned one is good, so nothing is worth 1/2: .4293 + .3481 / 2.

        >>> round(worth_of_budget(finite_budget(0.3, 0.9, 0.2, 2, accept_last=False), 0.5), 9)
        0.60335
    """
    if not 0 <= nothing <= 1:
        raise ValueError(f"nothing must lie in [0, 1], not {nothing}")
    return outcome.accepted_aligned + nothing * outcome.forced_fail


def budget_from_shares(
    aligned_pass: ArrayLike,
    aligned_fail: ArrayLike,
    misaligned_pass: ArrayLike,
    runs: int,
    *,
    accept_last: bool = True,
) -> Budgets:
    """Return the `Budgets` from the shares of outcomes of one run, arrays of a common shape.

    Args:
        aligned_pass: share of aligned passes.
        aligned_fail: share of aligned failures.
        misaligned_pass: share of misaligned passes.
        runs: most runs allowed.
        accept_last: whether the last run is accepted in any case.
    """
    one, two, three = (np.asarray(share, float) for share in (aligned_pass, aligned_fail, misaligned_pass))
    return _budgets(one, two, three, np.asarray(whole("runs", runs, 1)), accept_last)


def _budgets(
    aligned_pass: Float[np.ndarray, "..."],
    aligned_fail: Float[np.ndarray, "..."],
    misaligned_pass: Float[np.ndarray, "..."],
    runs: Int[np.ndarray, "..."],
    accept_last: bool = True,
) -> Budgets:
    """Return what `budget_from_shares` does, of shares and budgets whose shapes go together."""
    pass_rate = np.minimum(1.0, aligned_pass + misaligned_pass)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_fail = np.log1p(-pass_rate)
        expected = np.where(pass_rate > 0, -np.expm1(runs * log_fail) / pass_rate, 1.0 * runs)
        before_last = np.where(runs > 1, np.exp((runs - 1) * log_fail), 1.0)
    accepted = aligned_pass * expected
    return Budgets(
        accepted_aligned=accepted + aligned_fail * before_last if accept_last else accepted,
        forced_fail=before_last * (1 - pass_rate),
        expected_runs=expected,
    )


class Choice(NamedTuple):
    """One condition with one budget.

    Attributes:
        name: of the condition.
        accepted_aligned, forced_fail, expected_runs: `Estimate`s of what `BudgetOutcome` holds, whose intervals hold
            together over the conditions of the world, so also for the one that is picked for its estimate.
        probability_best: posterior probability that no other condition of its world has a larger
            P(accepted is aligned).
        runs: that the budget allows.
        twin: name of the first condition whose models end as these do, seed by seed; with one run, are aligned where
            these are. It is mostly the condition itself.
    """

    name: str
    accepted_aligned: Estimate
    forced_fail: Estimate
    expected_runs: Estimate
    probability_best: float
    runs: int
    twin: str = ""


class Plan(NamedTuple):
    """Which condition for which budget, in one world.

    Attributes:
        world: tuple of (axis, value) that the conditions share.
        choices: budget -> list of `Choice`, best first.
        sure: the least probability of being best with which the best one is decided: with that, one of several equal
            conditions is taken for the best in at most 1 - confidence of all runs.
        changes: what `best_by_runs` returned.
    """

    world: tuple[tuple[str, float], ...]
    choices: Mapping[float, list[Choice]]
    changes: list[tuple[int, tuple[str, ...]]]
    sure: float


def trained_to_the_end(results: Results) -> tuple[Results, list[str]]:
    """Return the results of the conditions of which gates stopped no run, and the names of the others.

    Plans and fields take the truth about every model, and nobody knows what a stopped run would have become.

    Args:
        results: what `lab.run` returned.

    Raises:
        ValueError: gates have stopped runs in every condition.
    """
    if "stopped" not in results.coords:
        return results, []
    whole = ~results.stopped.values.any(axis=1)
    if not whole.any():
        raise ValueError("gates have stopped runs in every condition, and this takes the truth about them")
    return results.isel(condition=np.flatnonzero(whole)), results.condition.values[~whole].tolist()


def plan(
    results: Results,
    budgets: Sequence[float],
    confidence: float | None = None,
    most: int = 10_000,
    costs: bool = False,
    **marks: Any,
) -> list[Plan]:
    """Return a `Plan` per world: which condition for which number of runs, and how sure that is.

    Values come from the shares of outcomes as counted, carried through `finite_budget`. Limits are those of
    `lab.statistics.draws`, or Wilson's where P(T) alone matters, at a confidence at which those of one budget hold
    together over the conditions of a world (`family_wise`): the estimate that is best of many is likely too good, and
    its own interval alone would seldom hold the truth. Probabilities of being best come from the posterior of all
    conditions of a world together on their shared seeds (`lab.statistics.shared_posterior`). Where they share none, or
    rows come in groups or were judged, each has its own posterior (`lab.statistics.evidence_posterior`).

    Args:
        results: what `lab.run` returned.
        budgets: numbers of runs; or what all runs may cost together, in the unit of the table.
        confidence: of the intervals of one budget together; the run's own by default.
        most: largest budget for which changes of the best condition are looked for.
        costs: whether budgets are costs; a condition gets as many runs as its mean cost allows, and is left out of a
            budget that pays for none.
        marks: as for `lab.results.outcomes.classify`.

    Raises:
        ValueError: a budget is not a whole number of at least 1, or pays for no run; or costs are not known.
    """
    level: float = attribute(results, "confidence") if confidence is None else confidence
    shared = common(results) if _share_all(results) else results
    if not shared.sizes["seed"]:
        raise ValueError("no seed was trained in every condition")
    outcomes = classify(shared, **marks)
    _check_judged(outcomes)
    prices = _prices(outcomes) if costs else None
    ends = summary.cells(outcomes) if _share_all(outcomes) else None
    plans = []
    for world, members in summary.worlds(summary.places(results)).items():
        populations = [_population(outcomes, member, ends) for member in members]
        allowed = {budget: _allowed(populations, members, budget, prices) for budget in budgets}
        shares = np.array([population.shares for population in populations])
        choices = _choices(populations, _posterior(outcomes, members, populations), allowed, level)
        names = [population.name for population in populations]
        changes = best_by_runs(names, shares, 0 if costs else most)
        plans.append(Plan(world, choices, changes, (1 + checked_confidence(level)) / 2))
    return plans


def _share_all(results: Results | Outcomes) -> bool:
    """Return whether conditions are judged on common seeds; of a table whose pairs have gaps every run counts."""
    return are_paired(results) and not (is_observed(results) and not results["trained"].values.all())


@dataclass(frozen=True)
class _Population:
    """What a plan knows of a condition: its name, counts as they are, and what intervals rest on if not on these.

    Attributes:
        name: of the condition.
        counts: of its models.
        evidence: what intervals rest on if not on counts.
        ends: index into `CELLS` of the model of each seed where all conditions share these, or None.
    """

    name: str
    counts: Counts
    evidence: Evidence | None
    ends: Int8[np.ndarray, " seed"] | None

    @functools.cached_property
    def draws(self) -> Draws:
        """Draws of the shares of counts, on which all budgets rest."""
        return draw_shares(self.counts.cells)

    @property
    def shares(self) -> Float[np.ndarray, "4"]:
        """Shares of the four cells, without a judge's errors."""
        if self.evidence is not None:
            return point_shares(self.evidence)
        return np.array(self.counts.cells) / self.counts.seeds


def _population(outcomes: Outcomes, index: int, ends: Int8[np.ndarray, "condition seed"] | None = None) -> _Population:
    """Return a condition; `ends` are the indices into `CELLS` of the models of all, where these share their seeds."""
    name, evidence = labels(outcomes)[0][index], summary.evidence_of(outcomes, index)
    own_ends = None if ends is None or evidence is not None else ends[index]
    return _Population(name, summary.condition_counts(outcomes, index), evidence, own_ends)


def _posterior(
    outcomes: Outcomes, members: Sequence[int], populations: Sequence[_Population]
) -> Float[np.ndarray, "draw condition 4"]:
    """Return draws of the shares of outcomes of the conditions of a world."""
    plain = all(population.evidence is None for population in populations)
    if plain and _share_all(outcomes):
        return statistics.shared_posterior(summary.cells(outcomes)[members])
    cells = summary.cells(outcomes)
    trained = outcomes["trained"].values
    alone = [
        population.evidence or evidence(cells[member][trained[member]])
        for member, population in zip(members, populations, strict=True)
    ]
    return evidence_posterior(alone)


def _prices(outcomes: Outcomes) -> Float[np.ndarray, " condition"]:
    """Return the mean cost of a run of each condition. Raises a ValueError where costs are not known."""
    if summary.COST not in outcomes.coords:
        raise ValueError("no costs are known: import the table with a cost column")
    costs = np.where(outcomes["trained"].values, outcomes[summary.COST].values, np.nan)
    return np.nanmean(costs, axis=1)


def _allowed(
    populations: Sequence[_Population], members: Sequence[int], budget: float, prices: np.ndarray | None
) -> list[int]:
    """Return the number of runs that a budget allows of each condition, 0 if of none."""
    if prices is None:
        return [whole("runs", budget, 1)] * len(populations)
    runs = [MOST_RUNS if not prices[member] else int(min(MOST_RUNS, budget // prices[member])) for member in members]
    if not any(runs):
        raise ValueError(f"a budget of {budget:g} pays for no run: one costs {min(prices[list(members)]):g} or more")
    return runs


def _choices(
    populations: Sequence[_Population],
    posterior: Float[np.ndarray, "draw condition 4"],
    allowed: Mapping[float, Sequence[int]],
    confidence: float,
) -> dict[float, list[Choice]]:
    """Return for each budget the `Choice`s of one world, best first.

    Args:
        populations: of each condition.
        posterior: of their shares of outcomes.
        allowed: budget -> number of runs of each condition.
        confidence: of the intervals of one budget together.
    """
    together = family_wise(confidence, len(populations))
    aligned_pass, aligned_fail, misaligned_pass, _ = np.moveaxis(posterior, -1, 0)
    choices = {}
    for budget, runs in allowed.items():
        able = [index for index, count in enumerate(runs) if count]
        drawn = np.stack(
            [
                budget_from_shares(aligned_pass[:, i], aligned_fail[:, i], misaligned_pass[:, i], runs[i])[0]
                for i in able
            ],
            axis=1,
        )
        best = drawn == drawn.max(1, keepdims=True)
        probability = (best / best.sum(1, keepdims=True)).mean(0)
        first: dict[bytes, str] = {}  # how the models end -> the first condition in which they do
        rows = []
        for place, i in enumerate(able):
            name, estimates = populations[i].name, _estimates(populations[i], runs[i], together)
            ends = populations[i].ends
            twin = name if ends is None else first.setdefault((ends < 2 if runs[i] == 1 else ends).tobytes(), name)
            rows.append(Choice(name, *estimates, float(probability[place]), runs[i], twin))
        choices[budget] = sorted(rows, key=lambda row: (-row.accepted_aligned.value, row.expected_runs.value))
    return choices


def _check_judged(outcomes: Outcomes) -> None:
    """Refuse what takes the truth about every model where gates have stopped some."""
    stopped = outcomes.condition.values[outcomes["unjudged"].values.any(axis=1)]
    if len(stopped):
        raise ValueError(f"gates have stopped runs of {stopped[0]}, and nobody knows what they would have become")


def accepted_aligned(cells: Float[np.ndarray, "4 ..."], runs: int) -> Float[np.ndarray, "..."]:
    """Return P(accepted is aligned) from shares of the four cells, up to a factor.

    Args:
        cells: counts or shares.
        runs: most runs allowed.
    """
    aligned_pass, aligned_fail, misaligned_pass, _ = cells / cells.sum(0)
    return budget_from_shares(aligned_pass, aligned_fail, misaligned_pass, runs).accepted_aligned


def _estimates(population: _Population, runs: int, confidence: float) -> tuple[Estimate, Estimate, Estimate]:
    """Return an `Estimate` of each part of the `BudgetOutcome` of one condition."""
    counts, of = population.counts, population.evidence
    # all parts but the first depend on P(T) alone, and fall as it grows
    if of is None:
        rate = wilson_interval(counts.passing, counts.seeds, confidence)
        accepted = from_draws(lambda cells: accepted_aligned(cells, runs), population.draws, confidence)
    else:
        rate = Interval(*estimate_of(of, "pass_rate", confidence)[1:])
        accepted = on_cells(of, lambda cells: accepted_aligned(cells, runs), confidence)
    falling = budget_from_shares(np.array([counts.pass_rate, rate.high, rate.low]), 0.0, 0.0, runs)
    return (
        accepted,
        Estimate(*falling.forced_fail.tolist()),
        Estimate(*falling.expected_runs.clip(1, runs).tolist()),  # whatever rounding says
    )


def best_by_runs(
    names: Sequence[str], shares: Float[np.ndarray, "condition 4"], most: int
) -> list[tuple[int, tuple[str, ...]]]:
    """Return from which budget on which conditions have the largest P(accepted is aligned).

    Of those that are equal there it is the cheapest, or several that cost the same.

    Args:
        names: of the conditions.
        shares: of their four cells.
        most: largest budget.

    Example:
        P(A) .5 where everybody passes, or .4 and a perfect test: 1 - .6^n is .64 with two runs.

        >>> best_by_runs(["trained", "held out"], np.array([[0.5, 0, 0.5, 0], [0.4, 0, 0, 0.6]]), 10)
        [(1, ('trained',)), (2, ('held out',))]
    """
    aligned_pass, aligned_fail, misaligned_pass, _ = shares.T
    changes: list[tuple[int, tuple[str, ...]]] = []
    for first in range(1, most + 1, BUDGETS_AT_ONCE):
        budgets = np.arange(first, min(first + BUDGETS_AT_ONCE, most + 1))
        outcome = _budgets(aligned_pass, aligned_fail, misaligned_pass, budgets[:, None])
        equal = outcome.accepted_aligned > outcome.accepted_aligned.max(axis=1, keepdims=True) - TIE
        least = np.where(equal, outcome.expected_runs, np.inf).min(axis=1, keepdims=True)
        best = equal & (outcome.expected_runs <= least + TIE)
        differs = np.append(True, (best[1:] != best[:-1]).any(axis=1))
        for runs, row in zip(budgets[differs].tolist(), best[differs], strict=True):
            chosen = tuple(names[index] for index in np.flatnonzero(row).tolist())
            if not changes or changes[-1][1] != chosen:
                changes.append((runs, chosen))
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

    names: tuple[str, ...]
    counts: tuple[Counts, ...]
    fit: FieldFit
    prior: Beta
    pass_given_aligned: float
    pass_given_misaligned: float


def field(results: Results, regimen: str | None = None, confidence: float | None = None, **marks: Any) -> Field:
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
    level: float = attribute(results, "confidence") if confidence is None else confidence
    summary.check_plain(results, "a field of ideas")
    _check_judged(classify(results, **marks))
    conditions, regimens = labels(results)
    names = tuple(
        name for name, of_condition in zip(conditions, regimens, strict=True) if regimen in (None, of_condition)
    )
    if not names:
        raise UnknownName(f"no regimen {regimen!r}; known: {', '.join(dict.fromkeys(regimens))}")
    counts = tuple(summary.counts(results, name, **marks) for name in names)
    fit = fit_field([(condition.aligned, condition.misaligned) for condition in counts], confidence=level)
    together = Counts(*np.sum([condition.cells for condition in counts], axis=0).tolist())
    concentration = 1 / fit.correlation.mean - 1
    prior = Beta(fit.propensity.mean * concentration, (1 - fit.propensity.mean) * concentration)
    return Field(names, counts, fit, prior, together.pass_given_aligned, together.pass_given_misaligned)


def policies(field: Field, ideas: int, runs: int) -> dict[str, PolicyOutcome]:
    """Return policy -> `lab.ideas.PolicyOutcome` on some fresh ideas of a `Field`, exact.

    Args:
        field: whose ideas they are.
        ideas: number of fresh ideas that a policy may try.
        runs: training runs that it may use.

    Raises:
        ValueError: too many ideas and runs for an exact answer, or rates that are undefined.
    """
    outcomes = {}
    for name in POLICIES:
        if name.startswith("explore") and runs <= ideas:
            continue  # it has no run left to accept
        outcomes[name] = policy_outcome(
            name, (field.prior,) * ideas, runs, field.pass_given_aligned, field.pass_given_misaligned
        )
    return outcomes
