"""Outcomes in groups, by a judge that errs: intervals of every quantity, for tables of other people's runs.

Rows that come from one group, such as samples of one run, say less than as many runs. A group is therefore one draw of
a multinomial whose cells are patterns: how many of its rows fell in each outcome. Intervals are those of
`lab.statistics.draws` with patterns for cells: a Bayesian bootstrap over groups (Rubin, Ann. Stat. 9:130, 1981) with
one more row's worth where it moves the limit most: as many rows as say what one independent row would (the design
effect of Rao and Scott, Biometrics 48:577, 1992). Groups of one row are seeds, and get what `compare` gives.

Where a judge says who is aligned, its errors are taken back in every draw (`lab.statistics.judge`). A sensitivity or
specificity from a validation table is drawn as the cells are, so that what validation leaves open widens every
interval (Lang and Reiczigel, Prev. Vet. Med. 113:13, 2014, do so for one rate).

`experiments/studies/coverage_groups.py` measures the coverage. With 10 groups or more these intervals cover all
quantities; a bootstrap over groups, and their variance with Student's t, have no answer where an outcome is missing
from all groups. Where none is missing the variance does about as well, and for P(A) of five groups a little better.
Rows taken for independent cover less the more rows of a group are alike, down to 4 in 10.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from lab.statistics.comparison import AT_ONCE, LogImpact, OfShares, log_impact
from lab.statistics.counts import CELLS, Counts, quotient
from lab.statistics.draws import Draws, draw_shares, from_draws
from lab.statistics.judge import Cells, Judge, posterior_rates, rates_of, true_cells, validated_tables
from lab.statistics.quantities import Proportion, Ratio, estimate, quantity_named
from lab.statistics.score import Estimate, odds_ratio_interval, whole

OUTCOMES = (*CELLS, "unable")  # the last cannot do the job: misaligned and failing, whatever a judge says
PRIOR = 0.5  # rows' worth in each cell of a posterior, as in `shared_posterior`
# draws of G groups vary as 1 / (G + 1) where an estimate of the spread divides by G - 1, and Student's t at 95% is
# (1 + (1.96^2 + 1) / 4 (G - 1)) times the normal 1.96 (Fisher, Metron 5:109, 1925): 2 and 2.4
UNKNOWN_SPREAD = 4.4

Patterns = Int[np.ndarray, "pattern 5"]
Times = Int[np.ndarray, " pattern"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Outcomes of a condition, in groups; `evidence` makes one.

    Attributes:
        patterns: how many rows of each of `OUTCOMES` a group of a kind has.
        times: how many groups of the kind there are.
        judge: what says which rows are aligned; None if that is the truth.
    """

    patterns: Patterns
    times: Times
    judge: Judge | None = None

    @property
    def totals(self) -> Int[np.ndarray, "5"]:
        """Number of rows of each outcome, as judged."""
        return self.times @ self.patterns

    @property
    def counts(self) -> Counts:
        """Counts of rows as judged."""
        aligned_pass, aligned_fail, misaligned_pass, misaligned_fail, unable = self.totals.tolist()
        return Counts(aligned_pass, aligned_fail, misaligned_pass, misaligned_fail + unable, incompetent=unable)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.times.sum())

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.totals.sum())


def evidence(outcome: ArrayLike, groups: ArrayLike | None = None, judge: Judge | None = None) -> Evidence:
    """Return the `Evidence` of rows.

    Args:
        outcome: of each row, an index into `OUTCOMES`.
        groups: label of the group of each row, of any kind; None if every row is its own group.
        judge: what says which rows are aligned; None if that is the truth.

    Raises:
        ValueError: an outcome that is no index into `OUTCOMES`, or not as many labels as rows.

    Example:
        >>> of_two_runs = evidence([0, 0, 2, 3], groups=["a", "a", "b", "b"])
        >>> of_two_runs.counts.cells, of_two_runs.groups, of_two_runs.rows
        ((2, 0, 1, 1), 2, 4)
    """
    outcome = _checked_outcome(outcome)
    labels = np.arange(len(outcome)) if groups is None else _checked_labels(groups, len(outcome))
    names, places = np.unique(labels, return_inverse=True)
    patterns, times = np.unique(_vectors(outcome, places, len(names)), axis=0, return_counts=True)
    return Evidence(patterns, times, judge)


def _checked_outcome(outcome: ArrayLike) -> Int[np.ndarray, " row"]:
    listed = np.asarray(outcome).tolist()
    return np.array(
        [whole(f"the outcome of row {row}", one, 0, len(OUTCOMES) - 1) for row, one in enumerate(listed)], int
    )


def _checked_labels(labels: ArrayLike, rows: int) -> np.ndarray:
    listed = np.asarray(labels)
    if listed.shape != (rows,):
        raise ValueError(f"there must be one label per row: {rows} rows, labels of shape {listed.shape}")
    return listed


def _vectors(
    outcome: Int[np.ndarray, " row"], places: Int[np.ndarray, " row"], groups: int
) -> Int[np.ndarray, "group 5"]:
    vectors = np.zeros((groups, len(OUTCOMES)), int)
    np.add.at(vectors, (places, outcome), 1)
    return vectors


@dataclass(frozen=True, eq=False)
class PairedEvidence:
    """Outcomes of two conditions by the labels that they share, such as a seed; `pair_evidence` makes one.

    Attributes:
        patterns: how many rows of each of `OUTCOMES` a label of a kind has, in the first condition and in the second;
            none in one of them if the label stands only in the other.
        times: how many labels of the kind there are.
    """

    patterns: Int[np.ndarray, "pattern 2 5"]
    times: Times

    @property
    def shared(self) -> int:
        """Number of labels with rows in both conditions."""
        return int(self.times[(self.patterns.sum(2) > 0).all(1)].sum())

    @property
    def turned(self) -> "PairedEvidence":
        """With both conditions exchanged."""
        patterns, order = np.unique(self.patterns[:, ::-1], axis=0, return_index=True)
        return PairedEvidence(patterns, self.times[order])


def pair_evidence(outcome1: ArrayLike, labels1: ArrayLike, outcome2: ArrayLike, labels2: ArrayLike) -> PairedEvidence:
    """Return the `PairedEvidence` of two conditions, for `compare_evidence`.

    A label is a group of both conditions together; a label of one condition alone counts there and nowhere else.

    Args:
        outcome1: of each row of the first condition, an index into `OUTCOMES`.
        labels1: of each row of the first condition.
        outcome2: as `outcome1`, of the second.
        labels2: as `labels1`, of the second.

    Raises:
        ValueError: as `evidence`.
    """
    outcomes = [_checked_outcome(outcome1), _checked_outcome(outcome2)]
    labels = [
        _checked_labels(of_rows, len(outcome)) for of_rows, outcome in zip((labels1, labels2), outcomes, strict=True)
    ]
    names, places = np.unique(np.concatenate(labels), return_inverse=True)
    split = np.split(places, [len(outcomes[0])])
    vectors = [_vectors(outcome, place, len(names)) for outcome, place in zip(outcomes, split, strict=True)]
    return PairedEvidence(*np.unique(np.stack(vectors, axis=1), axis=0, return_counts=True))


# --- draws --------------------------------------------------------------------------------------------------------


class _Drawn(NamedTuple):
    """Draws of conditions, and how to read them.

    Attributes:
        draws: tables of patterns first, then one for each rate of a judge that was validated.
        judges: of the conditions, each once.
        of_condition: the judge of each condition.
        paired: whether the first table holds both conditions.
    """

    draws: Draws
    judges: tuple[Judge, ...]
    of_condition: tuple[Judge | None, ...]
    paired: bool

    def cells(self, tables: Sequence[np.ndarray], soft: bool = False) -> list[Cells]:
        """Return the true cells of each condition."""
        patterns = 1 if self.paired else len(self.of_condition)
        validated = iter(tables[patterns:])
        rates = {judge: rates_of(judge, validated) for judge in self.judges}
        outcomes = itertools.chain(*tables[:patterns])
        return [
            true_cells(of_condition, None if judge is None else rates[judge], soft)
            for of_condition, judge in zip(outcomes, self.of_condition, strict=True)
        ]

    def estimate(self, function: Callable[..., Float[np.ndarray, " draw"]], confidence: float) -> Estimate:
        """Return a function of the true cells of each condition as an `Estimate`."""

        def values(soft: bool, *tables: np.ndarray) -> Float[np.ndarray, " draw"]:
            return function(*self.cells(tables, soft))

        return from_draws(partial(values, False), self.draws, confidence, guide=partial(values, True))


def _draw(conditions: Sequence[Evidence], pairs: PairedEvidence | None = None) -> _Drawn:
    """Return draws of conditions. The same judge errs alike in all of them."""
    judges = tuple(dict.fromkeys(condition.judge for condition in conditions if condition.judge is not None))
    if pairs is None:
        kinds = [(condition.patterns[:, None], condition.times, condition.judge) for condition in conditions]
    else:
        kinds = [(pairs.patterns, pairs.times, judges[0] if judges else None)]
    tables = [
        _with_one_more(patterns if judge is not None else _four(patterns), times) for patterns, times, judge in kinds
    ]
    validated = [table for judge in judges for table in validated_tables(judge)]
    draws = draw_shares(
        *(table.counts for table in tables),
        *validated,
        possible=[*(table.possible for table in tables), *([True, True] for _ in validated)],
        patterns=[*(table.patterns for table in tables), *(None for _ in validated)],
        worth=[*(table.worth for table in tables), *(1.0 for _ in validated)],
    )
    return _Drawn(draws, judges, tuple(condition.judge for condition in conditions), pairs is not None)


def _four(patterns: Int[np.ndarray, "... 5"]) -> Int[np.ndarray, "... 4"]:
    """Return patterns of the four cells: without a judge, what cannot do the job is misaligned and fails."""
    return np.concatenate([patterns[..., :3], patterns[..., 3:].sum(-1, keepdims=True)], axis=-1)


class _Table(NamedTuple):
    """A table of groups for `draw_shares`.

    Attributes:
        counts: of groups of each kind.
        patterns: of each kind.
        possible: which kinds may be the one more.
        worth: of a group.
    """

    counts: list[int]
    patterns: Float[np.ndarray, "kind condition outcome"]
    possible: list[bool]
    worth: float


def _with_one_more(patterns: Int[np.ndarray, "pattern condition outcome"], times: Times) -> _Table:
    """Return the table of groups, whose first kinds are what one more may be: rows of one outcome in each condition.

    Where such groups have been seen, they are counted there.
    """
    weights = [_weigh(patterns[:, condition], times) for condition in range(patterns.shape[1])]
    sizes, worth = np.array([size for size, _ in weights]), min(worth for _, worth in weights)
    alone = np.eye(patterns.shape[2])
    one_more = [worth * sizes[:, None] * np.stack(ones) for ones in itertools.product(alone, repeat=len(sizes))]
    seen = {tuple(pattern.ravel()): 0 for pattern in one_more}
    for pattern, count in zip(patterns.astype(float), times.tolist(), strict=True):
        key = tuple(pattern.ravel())
        seen[key] = seen.get(key, 0) + count
    kinds = np.array(list(seen)).reshape(len(seen), *patterns.shape[1:])
    return _Table(list(seen.values()), kinds, [kind < len(one_more) for kind in range(len(seen))], worth)


def _weigh(patterns: Int[np.ndarray, "pattern outcome"], times: Times) -> tuple[float, float]:
    """Return how many rows of a group say what one independent row would, and what a group is worth in draws.

    Where rows of a group are alike, groups are seeds and worth 1. Where they are not, all that is known of the spread
    is how G groups differ, and a group is worth less by `UNKNOWN_SPREAD` / (G - 1).
    """
    rows = patterns.sum(1)
    groups = int(times @ (rows > 0))
    if not groups:
        return 1.0, 1.0
    mean = float(times @ rows) / groups
    size = min(mean, max(1.0, design_effect(patterns, times)))
    if size == mean:
        return size, 1.0
    return size, 1 / (1 + UNKNOWN_SPREAD / (groups - 1) * (mean - size) / (mean - 1))


def design_effect(patterns: Int[np.ndarray, "pattern outcome"], times: Times) -> float:
    """Return by what the variance of shares of rows exceeds that of independent rows; inf where groups do not tell.

    Summed over outcomes; of two outcomes that of Rao and Scott (Biometrics 48:577, 1992, section 2).

    Args:
        patterns: how many rows of each outcome a group of a kind has.
        times: how many groups of the kind there are.
    """
    patterns, times = patterns[patterns.sum(1) > 0], times[patterns.sum(1) > 0]
    rows, groups = patterns.sum(1), int(times.sum())
    shares = times @ patterns / (times @ rows)
    independent = float(times @ rows) * (1 - float((shares**2).sum()))
    if groups < 2 or independent <= 0:
        return math.inf
    between = float(times @ ((patterns - rows[:, None] * shares) ** 2).sum(1))
    return groups / (groups - 1) * between / independent


# --- estimates ----------------------------------------------------------------------------------------------------


def on_cells(
    of: Evidence, function: Callable[[Cells], Float[np.ndarray, " draw"]], confidence: float = 0.95
) -> Estimate:
    """Return a function of the shares of the four true cells as an `Estimate`, as `from_draws` does.

    Args:
        of: outcomes of a condition.
        function: of the shares, whose last axis is that of draws; returns one value per draw.
        confidence: in (0, 1).
    """
    return _draw([of]).estimate(lambda cells: function(cells / cells.sum(0)), confidence)


def estimate_of(of: Evidence, quantity: str, confidence: float = 0.95) -> Estimate:
    """Return a quantity of `QUANTITIES` as an `Estimate`: of groups, and of the truth where there is a judge.

    Limits of proportions come from the logs of their odds, limits of ratios from their logs. Groups of one size, each
    with one outcome that no judge doubts, are seeds: they have the intervals of `estimate`.

    Args:
        of: outcomes of a condition.
        quantity: one of `QUANTITIES`.
        confidence: in (0, 1).

    Raises:
        ValueError: unknown quantity, or confidence outside (0, 1).

    Example:
        Ten runs with two samples each, which always end alike, are ten seeds:

        >>> twice = evidence([0] * 12 + [3] * 8, groups=[row // 2 for row in range(20)])
        >>> estimate_of(twice, "base_rate") == estimate(Counts(6, 0, 0, 4), "base_rate")
        True
    """
    made = quantity_named(quantity).interval
    seeds = _as_seeds(of)
    if seeds is not None:
        return estimate(seeds, quantity, confidence)
    value = _value(of, quantity)
    if isinstance(made, Ratio):
        ln_ratio = _draw([of]).estimate(partial(_ln_ratio, made), confidence)
        return Estimate(value, *np.exp(ln_ratio[1:]).tolist())
    ln_odds = _draw([of]).estimate(partial(_ln_odds, made), confidence)
    return Estimate(value, *made.mapped(*scipy.special.expit(ln_odds[1:]).tolist()))


def _as_seeds(of: Evidence) -> Counts | None:
    """Return the counts of groups if these are seeds, or None."""
    cells = _four(of.patterns)
    sizes = cells.sum(1)
    if of.judge is not None or (cells.max(1) < sizes).any() or len(np.unique(sizes)) > 1:
        return None
    return Counts(*(of.times @ (cells > 0)).tolist())


def _value(of: Evidence, quantity: str) -> float:
    """Return a quantity of the counts, without the errors of a judge."""
    if of.judge is None:
        return getattr(of.counts, quantity)
    cells = (of.rows * point_shares(of)).tolist()
    made = quantity_named(quantity).interval
    if isinstance(made, Proportion):
        rate = quotient(_sum(cells, made.successes), _sum(cells, made.trials))
        return made.mapped(rate, rate)[0]
    aligned, misaligned = (_sum(cells, f"{group}_{made.outcome}") for group in ("aligned", "misaligned"))
    all_aligned, all_misaligned = _sum(cells, "aligned"), _sum(cells, "misaligned")
    if made.method is odds_ratio_interval:
        return quotient(aligned * (all_misaligned - misaligned), (all_aligned - aligned) * misaligned)
    if not all_aligned or not all_misaligned:
        return math.nan
    return quotient(aligned / all_aligned, misaligned / all_misaligned)


def point_shares(of: Evidence) -> Float[np.ndarray, "4"]:
    """Return the shares of the four true cells, without the errors of a judge.

    Args:
        of: outcomes of a condition.
    """
    rates = None if of.judge is None else rates_of(of.judge, map(np.array, validated_tables(of.judge)))
    cells = true_cells(of.totals.astype(float), rates)
    return cells / cells.sum() if of.rows else cells


# what a proportion or ratio of the registry is made from -> the cells that it sums
_SUMS = {
    **{name: [place] for place, name in enumerate(CELLS)},
    "aligned": [0, 1],
    "misaligned": [2, 3],
    "passing": [0, 2],
    "seeds": [0, 1, 2, 3],
}


def _sum(cells: Cells, name: str) -> Any:
    return sum(cells[place] for place in _SUMS[name])


def _ln_odds(made: Proportion, cells: Cells) -> Float[np.ndarray, "..."]:
    others = [place for place in _SUMS[made.trials] if place not in _SUMS[made.successes]]
    return np.log(_sum(cells, made.successes)) - np.log(sum(cells[place] for place in others))


def _ln_ratio(made: Ratio, cells: Cells) -> Float[np.ndarray, "..."]:
    by_odds = made.method is odds_ratio_interval
    ln_rates = []
    for group in ("aligned", "misaligned"):
        other = {"pass": "fail", "fail": "pass"}[made.outcome]
        whole_group = f"{group}_{other}" if by_odds else group
        ln_rates.append(np.log(_sum(cells, f"{group}_{made.outcome}")) - np.log(_sum(cells, whole_group)))
    return ln_rates[0] - ln_rates[1]


def compare_evidence(
    first: Evidence, second: Evidence, shared: PairedEvidence | None = None, confidence: float = 0.95
) -> LogImpact:
    """Return the `LogImpact` of the first condition over the second, as `compare` does for seeds.

    With both conditions exchanged it is mirrored. A judge of both, told by equal rates, errs alike in both.

    Args:
        first: of the condition in question.
        second: of the one it is compared with.
        shared: what `pair_evidence` returned; None if they share no labels.
        confidence: of each interval by itself.

    Raises:
        ValueError: `shared` does not add up to the outcomes of both, or confidence outside (0, 1).
    """
    if shared is not None and np.any(shared.times @ shared.patterns.reshape(-1, 10) != [*first.totals, *second.totals]):
        raise ValueError("paired outcomes do not add up to those of both conditions")
    pairs = shared if shared is not None and shared.shared else None
    turned = None if pairs is None else pairs.turned
    order, turned_order = _order(first, second, pairs), _order(second, first, turned)
    if order > turned_order:  # worked out one way round, so that both are mirror images
        return compare_evidence(second, first, turned, confidence).mirrored
    drawn = _draw([first, second], pairs)

    def change(of_shares: OfShares) -> Estimate:
        return drawn.estimate(lambda one, other: of_shares(one) - of_shares(other), confidence)

    return log_impact(partial(_value, first), partial(_value, second), change, exchangeable=order == turned_order)


def _order(first: Evidence, second: Evidence, pairs: PairedEvidence | None) -> list[list]:
    """Return what tells apart the two ways round of a comparison."""
    told: list[list] = [list(first.counts.cells), list(second.counts.cells)]
    for of in (first, second):
        judge = [] if of.judge is None else [rate if isinstance(rate, tuple) else (rate,) for rate in of.judge]
        told += [of.patterns.tolist(), of.times.tolist(), judge]
    return told if pairs is None else [*told, pairs.patterns.tolist(), pairs.times.tolist()]


def evidence_posterior(
    conditions: Sequence[Evidence], draws: int = 10_000, seed: int = 0
) -> Float[np.ndarray, "draw condition 4"]:
    """Draw the shares of the true cells of several conditions that share no seeds.

    A Bayesian bootstrap over groups, to whose true cells a prior weight of half a row's worth each is added: with
    groups of one row and no judge the Dirichlet posterior with weight 1/2 per cell, as in `shared_posterior`. Rates
    that were validated have the weight 1/2 too, given that the judge tells something.

    Args:
        conditions: outcomes of each.
        draws: number of draws.
        seed: of the draws.

    Raises:
        ValueError: a validation table after which no draw of a judge tells anything.
    """
    random, draws = np.random.default_rng(seed), whole("draws", draws, 1)
    judges = dict.fromkeys(condition.judge for condition in conditions if condition.judge is not None)
    rates = {judge: posterior_rates(judge, draws, random) for judge in judges}
    shares = np.empty((draws, len(conditions), len(CELLS)))
    for place, of in enumerate(conditions):
        judged = of.judge is not None
        patterns = of.patterns if judged else _four(of.patterns)
        size, worth = _weigh(patterns, of.times)
        outcomes = np.zeros((draws, patterns.shape[1]))
        rows = max(1, AT_ONCE // max(1, len(patterns)))
        for start in range(0, draws, rows):
            part = outcomes[start : start + rows]
            part[:] = random.standard_gamma(worth * of.times, (len(part), len(patterns))) @ patterns
        cells = true_cells(outcomes.T, rates[of.judge] if of.judge is not None else None)
        cells = cells + worth * size * random.standard_gamma(PRIOR, (len(CELLS), draws))
        shares[:, place] = (cells / cells.sum(0)).T
    return shares
