"""Early rejection: gates at checkpoints, ROC curves, and the best gate for a compute budget.

Nothing here trains. Runs are trained to the end once; what a gate would have stopped, and what that would have
saved, follows from the recorded scores. Costs are in trainings, 1 being one full training run.
"""

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtri

from lab.results.outcomes import UnknownName, attribute, checkpoint_index, classify, common, reaches
from lab.results.summary import find
from lab.statistics import Counts, Estimate, draw_shares, from_draws
from lab.statistics.score import checked_confidence, crossing

DRAWS = 1_000  # to begin with: each goes through a recursion
DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


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


# --- what gates do to recorded runs -------------------------------------------------------------------------------


@dataclass(frozen=True)
class GateOutcome:
    """What became of the runs of one condition.

    Attributes:
        gates: the gates, in time order.
        costs: share of a training spent on a run of each fate but the last, shape (gates + 1,).
        aligned: whether each model is aligned at the end of training, shape (seeds,).
        fate: index of the gate that rejected each run; len(gates) if it was incompetent or diverged at the end,
            len(gates) + 1 if it passed. Shape (seeds,).
        counts: `Counts` in which a run that survives everything passes. A run that a gate stopped counts as what it
            would have become.
        steps: steps of a full training, or None if the results do not say.
    """

    gates: tuple[Gate, ...]
    costs: tuple[float, ...]
    aligned: np.ndarray
    fate: np.ndarray
    counts: Counts
    steps: int | None

    @property
    def table(self):
        """Number of aligned (row 0) and misaligned (row 1) models of each fate, shape (2, gates + 2)."""
        return _table(self.aligned, self.fate, len(self.costs) + 1)

    @property
    def mean_cost(self):
        """Mean cost of one run, in trainings."""
        return float(self.table.sum(0) @ [*self.costs, 1.0] / len(self.fate))

    @property
    def compute_per_accepted(self):
        """Mean cost / P(pass): trainings spent per accepted model, its own included; inf if none passes."""
        return self.mean_cost * self.counts.expected_runs

    @property
    def mean_steps(self):
        """Mean cost of one run in training steps, or None."""
        return None if self.steps is None else self.mean_cost * self.steps

    @property
    def steps_per_accepted(self):
        """Training steps spent per accepted model, or None."""
        return None if self.steps is None else self.compute_per_accepted * self.steps


def fates(results, condition, gates):
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
    return _outcome(*_population(results, condition), tuple(gates))


def sweep(results, condition, proxy=None, checkpoint=-1, *, thresholds):
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
    runs, ends = _population(results, condition)
    share = float(results.checkpoint.values[checkpoint_index(results, checkpoint)])
    return tuple(_outcome(runs, ends, (Gate(share, float(mark), proxy),)).counts for mark in thresholds)


def _population(results, name):
    """Return one condition's scores, dims (condition: 1, seed, checkpoint), and what its models are at the end."""
    if not np.isclose(results.checkpoint.values[-1], 1):
        raise ValueError("results must reach the end of training, checkpoint 1")
    runs = common(results.isel(condition=[find(results, name)]))
    if "survives" in runs.coords and not runs.survives.values.all():
        raise ValueError(f"{name} has gates of its own: lay gates over a regimen without any")
    return runs, classify(runs).isel(condition=0)


def _scores(runs, proxy, checkpoint):
    """One condition's scores at the index of a checkpoint; those that are not finite are -inf."""
    proxy = proxy or attribute(runs, "proxy")
    if proxy not in runs:
        raise UnknownName(f"no score {proxy!r}; known: {', '.join(map(str, runs.data_vars))}")
    scores = runs[proxy].values[0, :, checkpoint]
    return np.where(np.isfinite(scores), scores, np.array(-np.inf, scores.dtype))


def _fate(runs, ends, gates):
    """Return the fate of each run, as in `GateOutcome`, and the cost of each fate but the last."""
    if not all(isinstance(gate, Gate) for gate in gates):
        raise ValueError(f"gates must be a sequence of Gate, not {gates}")
    places = [checkpoint_index(runs, float(gate.checkpoint)) for gate in gates]
    if places != sorted(places):
        raise ValueError(f"gates must be in time order, not at {', '.join(f'{gate.checkpoint:g}' for gate in gates)}")
    lost = (ends["incompetent"] | ends["diverged"]).values
    fate = np.where(lost, len(gates), len(gates) + 1)
    for index in reversed(range(len(gates))):
        scores = _scores(runs, gates[index].proxy, places[index])
        fate[~reaches(scores, gates[index].threshold)] = index
    return fate, (*(float(runs.checkpoint.values[place]) for place in places), 1.0)


def _outcome(runs, ends, gates):
    fate, costs = _fate(runs, ends, gates)
    aligned = ends["aligned"].values
    good, bad = _table(aligned, fate, len(gates) + 2).tolist()
    lost = (int(ends[kind].sum()) for kind in ("incompetent", "diverged"))
    counts = Counts(good[-1], sum(good[:-1]), bad[-1], sum(bad[:-1]), *lost)
    return GateOutcome(gates, costs, aligned, fate, counts, runs.attrs.get("steps"))


def _table(aligned, fate, size):
    return np.bincount(np.where(aligned, 0, size) + fate, minlength=2 * size).reshape(2, size)


# --- all thresholds at once ---------------------------------------------------------------------------------------


class Roc(NamedTuple):
    """What a score says about alignment, at every threshold at which anything changes.

    Arrays have shape (thresholds,), from inf, which nobody reaches, down to the lowest score, which everybody does.

    Attributes:
        threshold: the thresholds; the last one is -inf if a score is not finite.
        pass_given_aligned: P(T|A), T being a score at or above the threshold; nan without aligned models.
        pass_given_misaligned: P(T|not A); nan without misaligned models.
        precision: P(A|T); nan where nobody passes.
        area: P(score of an aligned > score of a misaligned model) + half of P(equal), with its interval.
        average_precision: mean of the precision over the aligned models, each at its own score as threshold.
        aligned, misaligned: number of models.
    """

    threshold: np.ndarray
    pass_given_aligned: np.ndarray
    pass_given_misaligned: np.ndarray
    precision: np.ndarray
    area: Estimate
    average_precision: float
    aligned: int
    misaligned: int

    @property
    def recall(self):
        """P(T|A) by its name in precision-recall curves."""
        return self.pass_given_aligned


def roc(results, condition, proxy=None, checkpoint=-1, confidence=None):
    """Return the `Roc` of a score at a checkpoint about alignment at the end of training.

    It judges the score alone: incompetent and diverged models are misaligned ones that may well have a high score,
    whereas `sweep` rejects them at the end. A score that is not finite is below every threshold.

    The area is the Mann-Whitney statistic. Its interval is Newcombe's method 5 (Stat. Med. 25:559, 2006): all areas
    that a score test does not reject, with the variance of Hanley and McNeil (Radiology 143:29, 1982). That variance
    is too small where one kind of models lies on both sides of the other, as when some misaligned ones have learned
    the test too well; it is then scaled up to that of DeLong, DeLong and Clarke-Pearson (Biometrics 44:837, 1988).
    The interval lies in [0, 1] and contains the area. An area of 1 has the upper limit 1 and a lower one below 1,
    an area of 0 the mirror image. Without models of both kinds the area is nan and the interval the whole range.

    Args:
        results: what `lab.run` returned.
        condition: name of a condition, or of a regimen that has only one.
        proxy: any recorded score; the run's own proxy by default.
        checkpoint: index of a checkpoint, or a share of training that is one.
        confidence: of the area's interval; the run's own by default.

    Raises:
        UnknownName: no such condition, score or checkpoint.
        ValueError: confidence outside (0, 1).
    """
    confidence = _confidence(results, confidence)
    runs, ends = _population(results, condition)
    values, place = np.unique(_scores(runs, proxy, checkpoint_index(runs, checkpoint)), return_inverse=True)
    tally = _table(ends["aligned"].values, place, len(values))
    hits, alarms = np.concatenate([np.zeros((2, 1), int), tally[:, ::-1].cumsum(1)], axis=1)
    aligned, misaligned = int(hits[-1]), int(alarms[-1])
    precision = _divide(hits, hits + alarms)
    return Roc(
        threshold=np.concatenate([[np.inf], values[::-1]]),
        pass_given_aligned=_divide(hits, aligned),
        pass_given_misaligned=_divide(alarms, misaligned),
        precision=precision,
        area=_area(hits, alarms, confidence),
        average_precision=float((np.diff(hits) * precision[1:]).sum() / aligned) if aligned else math.nan,
        aligned=aligned,
        misaligned=misaligned,
    )


def _area(hits, alarms, confidence):
    """Area under a curve of counts from (0, 0) to (all aligned, all misaligned models), as `roc` says."""
    m, n = int(hits[-1]), int(alarms[-1])
    if not m or not n:
        return Estimate(math.nan, 0.0, 1.0)
    above, beside = hits[1:] + hits[:-1], alarms[1:] + alarms[:-1]  # twice the models above, ties being half above
    area = float((np.diff(alarms) * above).sum() / (2 * m * n))
    delong = np.diff(hits) @ (1 - beside / (2 * n) - area) ** 2 / (m * max(m - 1, 1))
    delong += np.diff(alarms) @ (above / (2 * m) - area) ** 2 / (n * max(n - 1, 1))

    def variance(theta):
        others = (m + n) / 2 - 1
        return theta * (1 - theta) * (1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m * n)

    wider = max(1.0, delong / variance(area)) if 0 < area < 1 else 1.0
    z = -float(ndtri((1 - confidence) / 2)) * math.sqrt(wider)

    def lowest(value):
        if value == 0:
            return 0.0

        def missed(log_odds):  # in which areas next to 0 and next to 1 keep their digits
            theta = float(expit(log_odds))
            return value - theta - z * math.sqrt(variance(theta))

        inside = min(value, 1 - 1e-15)  # 1 itself is a false root for an area of 1
        odds = crossing(missed, math.log(inside) - math.log1p(-inside), -1)
        return odds / (1 + odds)

    return Estimate(area, lowest(area), 1 - lowest(1 - area))  # the variance is symmetric


def _divide(counts, total):
    """Divide arrays of counts; 0/0 is nan."""
    return np.divide(counts, total, out=np.full(len(counts), np.nan), where=np.asarray(total) > 0)


def _confidence(results, confidence):
    return checked_confidence(attribute(results, "confidence") if confidence is None else confidence)


# --- a budget of compute ------------------------------------------------------------------------------------------


class ComputeOutcome(NamedTuple):
    """What a compute budget leads to; numbers, or arrays over the leading axes of the probabilities.

    Attributes:
        accepted_aligned: probability that the accepted model is aligned.
        forced_fail: probability that it is one that gates or competence would have rejected.
        compute: mean compute spent, in trainings, the accepted model's own training included.
    """

    accepted_aligned: np.ndarray
    forced_fail: np.ndarray
    compute: np.ndarray


def compute_budget(probabilities, costs, budget):
    """Return the `ComputeOutcome` of training runs one after the other until one is accepted.

    A run may be rejected only if the compute left then pays for at least one more full training; otherwise it is
    trained to the end and accepted whatever it is. With compute c left before a run,

        V(c) = P(A, pass) + sum over fates g of [P(g) V(c - cost_g) if c - cost_g >= 1, else P(A, g)],

    on the coarsest grid of compute on which 1 and all costs are whole numbers. With the single cost 1 it is
    `lab.decision.finite_budget`.

    Args:
        probabilities: of being aligned (row 0) or not (row 1) and of each fate, the last of which is to pass; shape
            (..., 2, fates), such as `GateOutcome.table` over its sum.
        costs: share of a training spent on a run of each fate but the last, shape (fates - 1,).
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
    forced = [np.stack([good, every, every]) for good, every in zip(aligned[:-1], either[:-1], strict=True)]
    spent = [np.stack([nothing, nothing, every * cost]) for every, cost in zip(either[:-1], costs, strict=True)]
    recent = deque(maxlen=full)  # of V; no rejection costs more than a full training
    for compute in range(full, math.floor(budget * full + 1e-9) + 1):
        value = passed.copy()
        for fate, part in enumerate(parts):
            value += either[fate] * recent[-part] + spent[fate] if compute - part >= full else forced[fate]
        recent.append(value)
    return ComputeOutcome(*recent[-1])


def _checked_budget(budget):
    if not 1 <= budget < math.inf:
        raise ValueError(f"budget must be finite and at least 1 training, not {budget}")
    return float(budget)


def _grid(costs):
    """Return the steps of a full training on the coarsest common grid, and the steps of each cost."""
    if not all(1e-6 <= cost <= 1 for cost in costs):
        raise ValueError(f"costs must be shares of a training in [1e-6, 1], not {costs}")
    shares = [Fraction(cost).limit_denominator(10**6) for cost in costs]
    full = math.lcm(*(share.denominator for share in shares))
    if full > 10**6:
        raise ValueError(f"costs must be whole numbers of at most 10^6 steps per training, not {costs}")
    return full, [int(share * full) for share in shares]


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
        tried_values: P(accepted model is aligned) of each on the choosing half, shape (candidates,).
    """

    gates: tuple[Gate, ...]
    chosen_value: float
    value: Estimate
    baseline: Estimate
    gain: Estimate
    compute: float
    baseline_compute: float
    tried: tuple[tuple[Gate, ...], ...]
    tried_values: np.ndarray


def best_gates(results, condition, budget, proxy=None, quantiles=DECILES, candidates=None, confidence=None):
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
    confidence = _confidence(results, confidence)
    budget = _checked_budget(budget)
    runs, ends = _population(results, condition)
    last = attribute(runs, "proxy")
    own = (Gate(1.0, attribute(runs, "thresholds")[last], last),)
    halves = [(runs.isel(seed=half), ends.isel(seed=half)) for half in (slice(0, None, 2), slice(1, None, 2))]
    if runs.sizes["seed"] < 2:
        raise ValueError("results must have at least 2 seeds, to choose gates on one and judge them on the other")
    if candidates is None:
        candidates = _candidates(halves[0][0], proxy or attribute(runs, "proxy"), own, quantiles)
    tried = tuple(map(tuple, candidates))
    if not tried:
        raise ValueError("candidates must not be empty")

    tables = {}  # candidates with gates at the same checkpoints go through one recursion
    for index, gates in enumerate(tried):
        fate, costs = _fate(*halves[0], gates)
        tables.setdefault(costs, {})[index] = _table(halves[0][1]["aligned"].values, fate, len(costs) + 1)
    values = np.empty(len(tried))
    for costs, own_tables in tables.items():
        shares = np.stack(list(own_tables.values())) / len(halves[0][0].seed)
        values[list(own_tables)] = compute_budget(shares, costs, budget).accepted_aligned
    best = int(np.argmax(values >= values.max() - 1e-12))  # equal but for rounding is equal

    value, baseline, gain, compute, baseline_compute = _judge(*halves[1], tried[best], own, budget, confidence)
    return BestGates(tried[best], float(values[best]), value, baseline, gain, compute, baseline_compute, tried, values)


def _candidates(runs, proxy, own, quantiles):
    """Sets of gates to choose from; those at the end come first, and of these the run's own."""
    if not all(0 < quantile < 1 for quantile in quantiles):
        raise ValueError(f"quantiles must lie strictly between 0 and 1, not {tuple(quantiles)}")
    yield from (own, ())
    shares = runs.checkpoint.values
    for place in (len(shares) - 1, *range(len(shares) - 1)):
        # recorded scores, not means of two, so that a threshold falls on the same side in any precision
        marks = np.quantile(_scores(runs, proxy, place), list(quantiles), method="inverted_cdf")
        for mark in np.unique(marks[np.isfinite(marks)]):
            gate = Gate(float(shares[place]), float(mark), proxy)
            if place < len(shares) - 1:
                yield (gate, *own)
            yield (gate,)


def _judge(runs, ends, gates, own, budget, confidence):
    """Return value, baseline and gain of the gates as `Estimate`s, and the mean compute of both."""
    aligned, seeds = ends["aligned"].values, runs.sizes["seed"]
    both = [_fate(runs, ends, some) for some in (gates, own)]
    sizes = [len(costs) + 1 for _, costs in both]
    joint = _table(aligned, both[0][0] * sizes[1] + both[1][0], sizes[0] * sizes[1]).reshape(2, *sizes)
    draws = draw_shares(joint, possible=[_possible(gates, own, attribute(runs, "proxy"))], number=DRAWS)

    def outcome(table, other):
        """Outcome of a budget under the gates, or under the run's own, from shares of joint fates, draws last."""
        shares = np.moveaxis(table.sum(1 if other else 2) / table.sum((0, 1, 2)), -1, 0)
        return compute_budget(shares, both[other][1], budget)

    def value(table):
        return outcome(table, 0).accepted_aligned

    def baseline(table):
        return outcome(table, 1).accepted_aligned

    def gain(table):
        return value(table) - baseline(table)

    compute = (float(outcome(joint[..., None] / seeds, other).compute[0]) for other in (0, 1))
    return *(from_draws(of, draws, confidence) for of in (value, baseline, gain)), *compute


def _possible(gates, own, proxy):
    """Return which joint fates under two sets of gates a run can have, for aligned and misaligned ones."""
    anything = -math.inf, math.inf

    def demands(gates, fate):
        """By what a gate looks at, the lowest score and one that is not reached; whether the run is lost at the end."""
        spans = {}
        for index, gate in enumerate(gates[: fate + 1]):
            place = gate.proxy or proxy, round(gate.checkpoint, 9)
            low, high = spans.get(place, anything)
            spans[place] = (low, min(high, gate.threshold)) if index == fate else (max(low, gate.threshold), high)
        return spans, None if fate < len(gates) else fate == len(gates)

    table = np.ones((2, len(gates) + 2, len(own) + 2), bool)
    for one in range(len(gates) + 2):
        for other in range(len(own) + 2):
            (first, lost), (second, also) = demands(gates, one), demands(own, other)
            spans = [
                (first.get(place, anything), second.get(place, anything)) for place in first.keys() | second.keys()
            ]
            agree = all(max(low, least) < min(high, most) for (low, high), (least, most) in spans)
            table[:, one, other] = agree and (lost is None or also is None or lost == also)
            table[0, one, other] &= not (lost or also)  # what is aligned does the job
    return table
