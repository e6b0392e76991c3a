"""Early rejection: gates at checkpoints, what a budget of compute leads to, and the best gates for it.

Nothing here trains. Runs are trained to the end once; what a gate would have stopped, and what that would have
saved, follows from the recorded scores. Costs are in trainings, 1 being one full training run.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lab.results.outcomes import Results, attribute, checkpoint_index, choosing_seeds, gates_survived, is_observed
from lab.results.summary import check_plain, counts, places
from lab.statistics import Counts, Estimate, draw_shares, from_draws
from lab.studies.roc import Population, Roc, interval_confidence, population, roc, tabulate
from lab.studies.study import About

DRAWS = 1_000  # to begin with: each goes through a recursion
DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
FINEST = 10**6  # steps per training of the grid on which compute is spent
EQUAL = 1e-12  # values this close are equal but for rounding
SHOWN = (0, 0.1, 0.3, 1)  # shares of training near which curves are kept
ANY_SCORE = (-math.inf, math.inf)


class Gate(NamedTuple):
    """Reject the runs whose score at a checkpoint is not finite or below a threshold.

    Attributes:
        checkpoint: share of training at which the score is looked at, one of those recorded.
        threshold: lowest score that survives.
        proxy: name of the score; None for the run's own proxy.
    """

    checkpoint: float
    threshold: float
    proxy: str | None = None


Gates = tuple[Gate, ...]

# --- what gates do to recorded runs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class GateOutcome:
    """What became of the runs of one condition.

    Attributes:
        gates: the gates, in time order.
        costs: share of a training spent on a run of each fate but the last, which is to pass.
        aligned: whether each model is aligned at the end of training.
        fate: index of the gate that rejected each run; len(gates) if it was incompetent or diverged at the end,
            len(gates) + 1 if it passed.
        counts: `Counts` in which a run that survives everything passes. A run that a gate stopped counts as what it
            would have become.
        steps: steps of a full training, or None if the results do not say.
    """

    gates: Gates
    costs: tuple[float, ...]
    aligned: Bool[np.ndarray, " seed"]
    fate: Int[np.ndarray, " seed"]
    counts: Counts
    steps: int | None

    @property
    def table(self) -> Int[np.ndarray, "2 fates"]:
        """Number of aligned (row 0) and misaligned (row 1) models of each fate."""
        return tabulate(self.aligned, self.fate, len(self.costs) + 1)

    @property
    def mean_cost(self) -> float:
        """Mean cost of one run, in trainings."""
        return float(self.table.sum(0) @ [*self.costs, 1.0] / len(self.fate))

    @property
    def compute_per_accepted(self) -> float:
        """Mean cost / P(pass): trainings spent per accepted model, its own included; inf if none passes."""
        return self.mean_cost * self.counts.expected_runs

    @property
    def mean_steps(self) -> float | None:
        """Mean cost of one run in training steps, or None."""
        return None if self.steps is None else self.mean_cost * self.steps

    @property
    def steps_per_accepted(self) -> float | None:
        """Training steps spent per accepted model, or None."""
        return None if self.steps is None else self.compute_per_accepted * self.steps


def fates(results: Results, condition: str, gates: Iterable[Gate]) -> GateOutcome:
    """Return the `GateOutcome` of one condition under some gates.

    Whatever the gates, a model that is incompetent or diverged at the end is rejected there.

    Args:
        results: what `lab.run` returned.
        condition: name of a condition, or of a regimen that has only one.
        gates: `Gate`s in time order; none at all is allowed.

    Raises:
        UnknownName: no such condition, score or checkpoint.
        ValueError: gates that are none or out of order, or a threshold that is nan.
    """
    return _outcome_of_gates(population(results, condition), tuple(gates))


def sweep(
    results: Results,
    condition: str,
    proxy: str | None = None,
    checkpoint: float = -1,
    *,
    thresholds: Iterable[float],
) -> tuple[Counts, ...]:
    """Return the `Counts` of a single gate at each of several thresholds.

    Args:
        results: what `lab.run` returned.
        condition: name of a condition, or of a regimen that has only one.
        proxy: score the gate looks at; the run's own by default.
        checkpoint: index of a checkpoint, or a share of training that is one.
        thresholds: any number of thresholds.

    Raises:
        UnknownName: no such condition, score or checkpoint.
        ValueError: a threshold is nan.
    """
    models = population(results, condition)
    share = float(results.checkpoint.values[checkpoint_index(results, checkpoint)])
    return tuple(_outcome_of_gates(models, (Gate(share, float(mark), proxy),)).counts for mark in thresholds)


def _fate_of_runs(models: Population, gates: Gates) -> tuple[Int[np.ndarray, " seed"], tuple[float, ...]]:
    """Return the fate of each run, as in `GateOutcome`, and the cost of each fate but the last."""
    if not all(isinstance(gate, Gate) for gate in gates):
        raise ValueError(f"gates must be a sequence of Gate, not {gates}")
    checkpoints = [checkpoint_index(models.scores, float(gate.checkpoint)) for gate in gates]
    if checkpoints != sorted(checkpoints):
        raise ValueError(f"gates must be in time order, not at {', '.join(f'{gate.checkpoint:g}' for gate in gates)}")
    lost = (models.ends["incompetent"] | models.ends["diverged"]).values
    fate = np.where(lost, len(gates), len(gates) + 1)
    if gates:
        scores = {
            str(index): models.at(checkpoint, gate.proxy)[:, None]
            for index, (checkpoint, gate) in enumerate(zip(checkpoints, gates, strict=True))
        }
        survived = gates_survived(scores, [(0, str(index), gate.threshold) for index, gate in enumerate(gates)])
        fate = np.where(survived < len(gates), survived, fate)
    shares = models.scores.checkpoint.values
    return fate, (*(float(shares[checkpoint]) for checkpoint in checkpoints), 1.0)


def _outcome_of_gates(models: Population, gates: Gates) -> GateOutcome:
    fate, costs = _fate_of_runs(models, gates)
    good, bad = tabulate(models.aligned, fate, len(gates) + 2).tolist()
    lost = (int(models.ends[kind].sum()) for kind in ("incompetent", "diverged"))
    cells = Counts(good[-1], sum(good[:-1]), bad[-1], sum(bad[:-1]), *lost)
    return GateOutcome(gates, costs, models.aligned, fate, cells, models.scores.attrs.get("steps"))


# --- a budget of compute ------------------------------------------------------------------------------------------


class ComputeOutcome(NamedTuple):
    """What a compute budget leads to; numbers, or arrays over the leading axes of the probabilities.

    Attributes:
        accepted_aligned: probability that the accepted model is aligned.
        forced_fail: probability that it is one that gates or competence would have rejected.
        compute: mean compute spent, in trainings, the accepted model's own training included.
    """

    accepted_aligned: Float[np.ndarray, "*tables"]
    forced_fail: Float[np.ndarray, "*tables"]
    compute: Float[np.ndarray, "*tables"]


def compute_budget(
    probabilities: Float[np.ndarray, "*tables 2 fates"], costs: Sequence[float], budget: float
) -> ComputeOutcome:
    """Return the `ComputeOutcome` of training runs one after the other until one is accepted.

    A run may be rejected only if the compute left then pays for at least one more full training; otherwise it is
    trained to the end and accepted whatever it is. With compute c left before a run,

        V(c) = P(A, pass) + sum over fates g of [P(g) V(c - cost_g) if c - cost_g >= 1, else P(A, g)],

    on the coarsest grid of compute on which 1 and all costs are whole numbers. With the single cost 1 it is
    `lab.decision.finite_budget`.

    Args:
        probabilities: of being aligned (row 0) or not (row 1) and of each fate, the last of which is to pass, such as
            `GateOutcome.table` over its sum.
        costs: share of a training spent on a run of each fate but the last.
        budget: compute in trainings, at least 1.

    Raises:
        ValueError: probabilities of the wrong shape, negative or not adding up to 1; a cost outside [1e-6, 1], or costs
            without a common grid of at most 10^6 steps; a budget below 1 or not finite.
    """
    table, costs = np.asarray(probabilities, float), tuple(map(float, costs))
    if table.ndim < 2 or table.shape[-2:] != (2, len(costs) + 1):
        raise ValueError(f"probabilities must have shape (..., 2, {len(costs) + 1}), not {table.shape}")
    if not ((table >= 0).all() and np.allclose(table.sum((-2, -1)), 1, rtol=0, atol=1e-9)):
        raise ValueError("probabilities must not be negative and must add up to 1")
    budget = _checked_budget(budget)
    full, parts = _grid(costs)

    either = np.moveaxis(table.sum(-2), -1, 0)
    aligned, nothing = np.moveaxis(table[..., 0, :], -1, 0), np.zeros(table.shape[:-2])
    passed = np.stack([aligned[-1], nothing, either[-1]])
    forced = [np.stack([good, whole, whole]) for good, whole in zip(aligned[:-1], either[:-1], strict=True)]
    spent = [np.stack([nothing, nothing, whole * cost]) for whole, cost in zip(either[:-1], costs, strict=True)]
    recent = deque(maxlen=full)  # of V; no rejection costs more than a full training
    for compute in range(full, math.floor(budget * full + 1e-9) + 1):
        value = passed.copy()
        for fate, part in enumerate(parts):
            value += either[fate] * recent[-part] + spent[fate] if compute - part >= full else forced[fate]
        recent.append(value)
    good, *others = recent[-1]
    return ComputeOutcome(good.clip(0, 1), *others)  # a probability, whatever rounding says


def _checked_budget(budget: float) -> float:
    if not 1 <= budget < math.inf:
        raise ValueError(f"budget must be finite and at least 1 training, not {budget}")
    return float(budget)


def _grid(costs: tuple[float, ...]) -> tuple[int, list[int]]:
    """Return the steps of a full training on the coarsest common grid, and the steps of each cost."""
    if not all(1 / FINEST <= cost <= 1 for cost in costs):
        raise ValueError(f"costs must be shares of a training in [1e-6, 1], not {costs}")
    shares = [Fraction(cost).limit_denominator(FINEST) for cost in costs]
    full = math.lcm(*(share.denominator for share in shares))
    if full > FINEST:
        raise ValueError(f"costs must be whole numbers of at most 10^6 steps per training, not {costs}")
    return full, [int(share * full) for share in shares]


# --- the best gates -----------------------------------------------------------------------------------------------


class BestGates(NamedTuple):
    """Gates chosen on one half of the seeds, judged on the other.

    Attributes:
        gates: the chosen gates.
        chosen_value: P(accepted model is aligned) on the half that chose them, which flatters them.
        value: the same on the other half.
        baseline: of the run's own gate at the end alone, on the other half.
        gain: `value` minus `baseline`, from joint draws.
        compute: mean compute spent with the gates on the other half, in trainings.
        baseline_compute: the same with the run's own gate at the end alone.
        tried: the candidates.
        tried_values: P(accepted model is aligned) of each on the choosing half.
    """

    gates: Gates
    chosen_value: float
    value: Estimate
    baseline: Estimate
    gain: Estimate
    compute: float
    baseline_compute: float
    tried: tuple[Gates, ...]
    tried_values: Float[np.ndarray, " candidates"]


def best_gates(
    results: Results,
    condition: str,
    budget: float,
    proxy: str | None = None,
    quantiles: Sequence[float] = DECILES,
    candidates: Iterable[Iterable[Gate]] | None = None,
    confidence: float | None = None,
) -> BestGates:
    """Return the gates with the highest P(accepted model is aligned) under a compute budget, as `BestGates`.

    Seeds at even positions choose, those at odd positions judge. Candidates are: no early gate, or one at any
    checkpoint before the end with its threshold at any quantile of the choosing half's scores there; each followed
    by the run's own gate at the end, or by competence alone; and a gate at the end with its threshold at any such
    quantile. Of equally good ones the first wins, so gates that gain nothing are not chosen.

    Intervals are those of `lab.statistics.draws`, from the joint fates of a run under the chosen and under the run's
    own gates, through `compute_budget`.

    Args:
        results: what `lab.run` returned.
        condition: name of a condition, or of a regimen that has only one.
        budget: compute in trainings, at least 1.
        proxy: score of the early gates; the run's own by default.
        quantiles: of the thresholds of the early gates, each in (0, 1).
        candidates: sets of gates to choose from instead of all these, each a sequence of `Gate`s.
        confidence: of each interval; the run's own by default.

    Raises:
        UnknownName: no such condition, score or checkpoint.
        ValueError: a budget below 1, fewer than 2 seeds, no candidates, or an argument out of range.
    """
    confidence = interval_confidence(results, confidence)
    budget = _checked_budget(budget)
    models = population(results, condition)
    usual = (Gate(1.0, attribute(results, "thresholds")[models.proxy], models.proxy),)
    if len(models.aligned) < 2:
        raise ValueError("results must have at least 2 seeds, to choose gates on one and judge them on the other")
    chooses = choosing_seeds(models.scores.sizes["seed"], is_observed(results))
    choosing, judging = models.only(chooses), models.only(~chooses)
    if candidates is None:
        candidates = _candidates(choosing, proxy or models.proxy, usual, quantiles)
    tried = tuple(map(tuple, candidates))
    if not tried:
        raise ValueError("candidates must not be empty")
    values = _values_of_gates(choosing, tried, budget)
    best = int(np.argmax(values >= values.max() - EQUAL))
    judged = _judge_gates(judging, tried[best], usual, budget, confidence)
    return BestGates(tried[best], float(values[best]), *judged, tried, values)


def _values_of_gates(models: Population, tried: Sequence[Gates], budget: float) -> Float[np.ndarray, " candidates"]:
    """Return P(accepted model is aligned) under each of several sets of gates."""
    tables: dict[tuple[float, ...], dict[int, np.ndarray]] = {}
    for index, gates in enumerate(tried):  # those with gates at the same checkpoints go through one recursion
        fate, costs = _fate_of_runs(models, gates)
        tables.setdefault(costs, {})[index] = tabulate(models.aligned, fate, len(costs) + 1)
    values = np.empty(len(tried))
    for costs, table_of in tables.items():
        shares = np.stack(list(table_of.values())) / len(models.aligned)
        values[list(table_of)] = compute_budget(shares, costs, budget).accepted_aligned
    return values


def _candidates(models: Population, proxy: str, usual: Gates, quantiles: Sequence[float]) -> Iterator[Gates]:
    """Yield sets of gates to choose from; those at the end come first, and of these the run's own."""
    if not all(0 < quantile < 1 for quantile in quantiles):
        raise ValueError(f"quantiles must lie strictly between 0 and 1, not {tuple(quantiles)}")
    yield from (usual, ())
    shares = models.scores.checkpoint.values
    for checkpoint in (len(shares) - 1, *range(len(shares) - 1)):
        # recorded scores, not means of two, so that a threshold falls on the same side in any precision
        marks = np.quantile(models.at(checkpoint, proxy), list(quantiles), method="inverted_cdf")
        for mark in np.unique(marks[np.isfinite(marks)]):
            gate = Gate(float(shares[checkpoint]), float(mark), proxy)
            if checkpoint < len(shares) - 1:
                yield (gate, *usual)
            yield (gate,)


def _judge_gates(
    models: Population, gates: Gates, usual: Gates, budget: float, confidence: float
) -> tuple[Estimate, Estimate, Estimate, float, float]:
    """Return value, baseline and gain of the gates over the run's own, and the mean compute of both."""
    fate, costs = _fate_of_runs(models, gates)
    usual_fate, usual_costs = _fate_of_runs(models, usual)
    sizes = len(costs) + 1, len(usual_costs) + 1
    joint = tabulate(models.aligned, fate * sizes[1] + usual_fate, sizes[0] * sizes[1]).reshape(2, *sizes)
    draws = draw_shares(joint, possible=[possible_fates(gates, usual, models.proxy)], number=DRAWS)

    def under_gates(table: Float[np.ndarray, "2 fates usual_fates draws"]) -> ComputeOutcome:
        return compute_budget(np.moveaxis(table.sum(2) / table.sum((0, 1, 2)), -1, 0), costs, budget)

    def under_usual(table: Float[np.ndarray, "2 fates usual_fates draws"]) -> ComputeOutcome:
        return compute_budget(np.moveaxis(table.sum(1) / table.sum((0, 1, 2)), -1, 0), usual_costs, budget)

    counted = joint[..., None] / len(models.aligned)
    return (
        from_draws(lambda table: under_gates(table).accepted_aligned, draws, confidence),
        from_draws(lambda table: under_usual(table).accepted_aligned, draws, confidence),
        from_draws(
            lambda table: under_gates(table).accepted_aligned - under_usual(table).accepted_aligned, draws, confidence
        ),
        float(under_gates(counted).compute[0]),
        float(under_usual(counted).compute[0]),
    )


class Demand(NamedTuple):
    """What a fate under some gates says of a run.

    Attributes:
        spans: (score, checkpoint) -> the lowest score that the run can have there, and one that it does not reach.
        lost: whether it is incompetent or diverged at the end; None where a gate stopped it before anybody knew.
    """

    spans: dict[tuple[str, float], tuple[float, float]]
    lost: bool | None


def _demand(gates: Gates, fate: int, proxy: str) -> Demand:
    """Return what a fate says, an index as in `GateOutcome`; `proxy` is that of gates that name none."""
    spans = {}
    for index, gate in enumerate(gates[: fate + 1]):
        score = gate.proxy or proxy, round(gate.checkpoint, 9)
        low, high = spans.get(score, ANY_SCORE)
        spans[score] = (low, min(high, gate.threshold)) if index == fate else (max(low, gate.threshold), high)
    return Demand(spans, None if fate < len(gates) else fate == len(gates))


def _agree(first: Demand, second: Demand) -> bool:
    """Whether one run can do what two fates say of it."""
    for score in first.spans.keys() | second.spans.keys():
        (low, high), (other_low, other_high) = (demand.spans.get(score, ANY_SCORE) for demand in (first, second))
        if not max(low, other_low) < min(high, other_high):
            return False
    return first.lost is None or second.lost is None or first.lost == second.lost


def possible_fates(gates: Gates, other: Gates, proxy: str) -> Bool[np.ndarray, "2 fates other_fates"]:
    """Return which joint fates under two sets of gates a run can have, for aligned (row 0) and misaligned (row 1) ones.

    Args:
        gates: a set of gates.
        other: another one.
        proxy: of gates that name none.
    """
    table = np.ones((2, len(gates) + 2, len(other) + 2), bool)
    for fate, other_fate in np.ndindex(table.shape[1:]):
        first, second = _demand(gates, fate, proxy), _demand(other, other_fate, proxy)
        table[:, fate, other_fate] = _agree(first, second)
        table[0, fate, other_fate] &= not (first.lost or second.lost)  # what is aligned does the job
    return table


# --- the study ----------------------------------------------------------------------------------------------------


class GatedCondition(NamedTuple):
    """What rejecting early would have gained in one condition.

    Attributes:
        name, regimen: of the condition.
        coordinates: axis of the sweep -> value.
        base_rate: P(A).
        areas: share of training -> area under the `Roc` there.
        curves: share of training -> `Roc`, at some of them.
        best: `BestGates` for each budget.
    """

    name: str
    regimen: str
    coordinates: dict[str, float]
    base_rate: float
    areas: dict[float, Estimate]
    curves: dict[float, Roc]
    best: tuple[BestGates, ...]


class Rejection(NamedTuple):
    """What rejecting early would have gained in a run.

    Attributes:
        about: the run.
        steps: of one training; None if nobody knows.
        below: scores whose low values reach their marks; these have the opposite sign here.
        partial: what is missing of the run, or None.
        proxy: score of the early gates.
        budgets: of compute, in trainings.
        conditions: a `GatedCondition` for each one without gates of its own.
        left_out: names of the conditions with gates of their own.
    """

    about: About
    steps: int | None
    below: tuple[str, ...]
    partial: str | None
    proxy: str
    budgets: tuple[float, ...]
    conditions: tuple[GatedCondition, ...]
    left_out: tuple[str, ...]


def run(results: Results, budgets: Sequence[float] = (1, 2, 3, 10), proxy: str | None = None) -> Rejection:
    """Say what rejecting early would have gained in every condition: ROC curves and the best gates for some budgets.

    Args:
        results: what `lab.run` returned, with all checkpoints.
        budgets: of compute, in trainings, each at least 1.
        proxy: score of the early gates; the run's own by default.

    Raises:
        UnknownName: no such score.
        ValueError: there is only one seed, every regimen has gates of its own, or a budget is below 1.
    """
    check_plain(results, "a choice of gates")
    if results.sizes["seed"] < 2:
        raise ValueError("gates are chosen on one half of the seeds and judged on the other: it has only one")
    left_out: tuple[str, ...] = ()
    if "survives" in results.coords:
        gated = ~results.survives.values.all(axis=1)
        left_out = tuple(map(str, results.condition.values[gated]))
        if gated.all():
            raise ValueError("every regimen has gates of its own")
        results = results.isel(condition=np.flatnonzero(~gated))
    names = map(str, results.condition.values)
    conditions = tuple(
        _gated_condition(results, name, regimen, coordinates, budgets, proxy)
        for name, (regimen, coordinates) in zip(names, places(results), strict=True)
    )
    attributes = results.attrs
    return Rejection(
        about=About.of_results(results),
        steps=attributes["steps"],
        below=tuple(attributes.get("below", ())),
        partial=attributes["partial"],
        proxy=proxy or attribute(results, "proxy"),
        budgets=tuple(budgets),
        conditions=conditions,
        left_out=left_out,
    )


def _gated_condition(
    results: Results,
    name: str,
    regimen: str,
    coordinates: dict[str, float],
    budgets: Sequence[float],
    proxy: str | None,
) -> GatedCondition:
    shares = [float(share) for share in results.checkpoint.values]
    curves = {share: roc(results, name, proxy, share) for share in shares}
    shown = sorted({min(shares, key=lambda share: abs(share - wanted)) for wanted in SHOWN})
    return GatedCondition(
        name=name,
        regimen=regimen,
        coordinates=coordinates,
        base_rate=counts(results, name).base_rate,
        areas={share: curve.area for share, curve in curves.items()},
        curves={share: curves[share] for share in shown},
        best=tuple(best_gates(results, name, budget, proxy) for budget in budgets),
    )
