"""Two regimens beside each other: log impacts, what shared seeds save, and several comparisons at once.

What differs between two regimens is worked out from draws of their shares (`lab.statistics.draws`): where they share
seeds, from draws of the shares of all 16 joint outcomes, so that what the seeds have in common cancels.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from lab.statistics.counts import CELLS, Counts
from lab.statistics.draws import Draws, draw_shares, from_draws
from lab.statistics.quantities import PARTS
from lab.statistics.score import Estimate, checked_confidence, whole

AT_ONCE = 2 * 10**6  # numbers drawn at a time: 16 MB
STICKS = 40  # after which (2/3)^40 = 1e-7 of a share is left

Shares = Float[np.ndarray, "4 ..."]  # counts or shares of the four cells
OfShares = Callable[[Shares], Float[np.ndarray, "..."]]
Joint = Int[np.ndarray, "4 4"]  # seeds by their cell under one regimen and under the other


class LogImpact(NamedTuple):
    """Change of log odds, in nats, from the second regimen to the first.

    Attributes:
        likelihood_ratio: change of log LR: what happened to the test.
        base_rate: change of log prior odds: what happened to the models.
        net: change of log posterior odds, the sum of both.
    """

    likelihood_ratio: Estimate
    base_rate: Estimate
    net: Estimate

    @property
    def mirrored(self) -> "LogImpact":
        """That of the second regimen over the first."""
        return LogImpact(*[Estimate(0 - value, 0 - high, 0 - low) for value, low, high in self])


class Shared(NamedTuple):
    """What a comparison gains from shared seeds; nan where an empty cell leaves it undefined.

    Attributes:
        correlation: of the two estimates.
        variance_saved: share of the variance that independent seeds would have; negative where sharing costs.
        standard_error: of the difference, with shared seeds, in nats.
    """

    correlation: float
    variance_saved: float
    standard_error: float


class Pairing(NamedTuple):
    """What shared seeds do for each part of a `LogImpact`."""

    likelihood_ratio: Shared
    base_rate: Shared
    net: Shared


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf if value == 0 else math.nan


def _difference(first: float, second: float) -> float:
    return math.nan if math.isinf(first) and first == second else first - second


def _checked_joint(first: Counts, second: Counts, joint: ArrayLike) -> Joint:
    table = np.asarray(joint)
    if table.shape != (4, 4):
        raise ValueError(f"joint counts must have shape (4, 4), not {table.shape}")
    table = np.array([whole("a joint count", count) for count in table.ravel().tolist()]).reshape(4, 4)
    if np.any(table.sum(1) != first.cells) or np.any(table.sum(0) != second.cells):
        raise ValueError("joint counts do not add up to the counts of both regimens")
    return table


def compare(first: Counts, second: Counts, joint: ArrayLike | None = None, confidence: float = 0.95) -> LogImpact:
    """Return the `LogImpact` of the first regimen over the second.

    Values are differences of the logs of plain estimates, and those of the parts add up to that of the net; limits,
    which need not add up, are those of `lab.statistics.draws`. With both regimens exchanged they are mirrored. A side
    on which an empty cell leaves the value unbounded stays open. The limit on the other side, where the other regimen
    is known exactly, is that of `interval` to within a twelfth (3.69 expected models for none seen, there 3.84).

    Args:
        first: of the regimen in question.
        second: of the one it is compared with.
        joint: how many seeds fell in cell i under the first regimen and j under the second, a `Joint` with cells in
            the order of `CELLS`; None if the regimens do not share seeds.
        confidence: of each interval by itself.

    Raises:
        ValueError: `joint` does not add up to the counts, or confidence outside (0, 1).

    Example:
        The first example of epiR, and a regimen that gives the same models and lets none of the misaligned ones be
        told apart: its LR is 1, so that all of the first one's 3.75 is gained.

        >>> counts = Counts(aligned_pass=670, aligned_fail=74, misaligned_pass=202, misaligned_fail=640)
        >>> blind = Counts(aligned_pass=744, aligned_fail=0, misaligned_pass=842, misaligned_fail=0)
        >>> impact = compare(counts, blind)
        >>> round(math.exp(impact.likelihood_ratio.value), 2), impact.base_rate.value
        (3.75, 0.0)
        >>> impact.net.low < impact.net.value < impact.net.high
        True
    """
    table = None if joint is None else _checked_joint(first, second, joint)
    turned = None if table is None else table.T
    order, turned_order = _order(first, second, table), _order(second, first, turned)
    if order > turned_order:  # worked out one way round, so that both are mirror images
        return compare(second, first, turned, confidence).mirrored
    draws = draw_pair(first, second, table)
    return log_impact(
        partial(getattr, first),
        partial(getattr, second),
        lambda of_shares: contrast(draws, of_shares, of_shares, confidence),
        exchangeable=order == turned_order,
    )


def log_impact(
    first: Callable[[str], float],
    second: Callable[[str], float],
    change: Callable[[OfShares], Estimate],
    exchangeable: bool,
) -> LogImpact:
    """Return the `LogImpact` with the values of two regimens and limits from draws.

    Args:
        first: from the name of a quantity to its value in the regimen in question.
        second: the same of the one it is compared with.
        change: from a function of shares to the estimate of its change, of which the limits are taken.
        exchangeable: whether both regimens have the same outcomes, so that limits are mirror images of each other.
    """
    parts = {}
    for name, part in PARTS.items():
        value = _difference(_log(first(part.of)), _log(second(part.of)))
        low, high = -math.inf, math.inf
        if not math.isnan(value):
            _, low, high = change(OF_SHARES[name])
        if exchangeable:
            low, high = (low - high) / 2, (high - low) / 2
        parts[name] = Estimate(value, low, high)
    return LogImpact(**parts)


def _order(first: Counts, second: Counts, joint: Joint | None) -> tuple[tuple[int, ...] | int, ...]:
    """Return what tells apart the two ways round of a comparison."""
    return (first.cells, second.cells, *([] if joint is None else joint.ravel().tolist()))


def ln_likelihood_ratio(cells: Shares) -> Float[np.ndarray, "..."]:
    """Return ln P(T|A) - ln P(T|not A).

    Args:
        cells: counts or shares of the four cells.
    """
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = cells
    return np.log(aligned_pass / (aligned_pass + aligned_fail)) - np.log(
        misaligned_pass / (misaligned_pass + misaligned_fail)
    )


def ln_prior(cells: Shares) -> Float[np.ndarray, "..."]:
    """Return the ln of prior odds.

    Args:
        cells: as for `ln_likelihood_ratio`.
    """
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = cells
    return np.log((aligned_pass + aligned_fail) / (misaligned_pass + misaligned_fail))


def ln_odds(cells: Shares) -> Float[np.ndarray, "..."]:
    """Return the ln of posterior odds.

    Args:
        cells: as for `ln_likelihood_ratio`.
    """
    return np.log(cells[0] / cells[2])


# part of a `LogImpact` -> the function of shares that changes
OF_SHARES: dict[str, OfShares] = {
    "likelihood_ratio": ln_likelihood_ratio,
    "base_rate": ln_prior,
    "net": ln_odds,
}


def draw_pair(first: Counts, second: Counts, joint: ArrayLike | None = None) -> Draws:
    """Return draws of the shares of two regimens for `contrast`. Errors are those of `compare`.

    Args:
        first: of a regimen.
        second: of the other.
        joint: of shared seeds, as for `compare`; None if there are none.
    """
    if joint is None:
        return draw_shares(first.cells, second.cells)
    return draw_shares(_checked_joint(first, second, joint))


def contrast(
    draws: Draws,
    one: OfShares,
    other: OfShares,
    confidence: float = 0.95,
) -> Estimate:
    """Return by how much a quantity of the first regimen is larger than one of the second, as an `Estimate`.

    Args:
        draws: what `draw_pair` returned.
        one: function of the shares of the first regimen's cells.
        other: the same of the second.
        confidence: of the interval.
    """
    return combine(draws, lambda first, second: one(first) - other(second), confidence)


def combine(
    draws: Draws, function: Callable[[Shares, Shares], Float[np.ndarray, "..."]], confidence: float = 0.95
) -> Estimate:
    """Return a function of the shares of two regimens as an `Estimate`.

    Args:
        draws: what `draw_pair` returned.
        function: of the shares of the first regimen's cells and of those of the second.
        confidence: of the interval.
    """

    def values(*tables: Float[np.ndarray, "... draws"]) -> Float[np.ndarray, " draws"]:
        both = tables if len(tables) == 2 else (tables[0].sum(1), tables[0].sum(0))
        first, second = (cells / cells.sum(0) for cells in both)
        return function(first, second)

    return from_draws(values, draws, confidence)


def influence(counts: Counts) -> Float[np.ndarray, "3 4"]:
    """Return what one seed in each cell adds to the logs of LR, prior odds and posterior odds, times its share 1/n.

    With s = P(T|A), f = P(T|not A), pi = P(A): phi_LR = A (T - s) / (pi s) - (1 - A) (T - f) / ((1 - pi) f),
    phi_prior = A / pi - (1 - A) / (1 - pi) and phi_post = A T / P(A, T) - (1 - A) T / P(not A, T), their sum: the
    delta method of Roldan Nofuentes and Luna del Castillo (Stat. Med. 26:4179, 2007), with A free to differ.

    Args:
        counts: of a regimen.

    Returns:
        A row for each log and a column for each cell; nan where an empty cell is divided by.
    """
    n = counts.seeds
    prior = posterior = np.full(4, np.nan)
    if counts.aligned and counts.misaligned:
        prior = np.array([n / counts.aligned] * 2 + [-n / counts.misaligned] * 2)
    if counts.aligned_pass and counts.misaligned_pass:
        posterior = np.array([n / counts.aligned_pass, 0, -n / counts.misaligned_pass, 0])
    return np.stack([posterior - prior, prior, posterior])


def pairing(first: Counts, second: Counts, joint: ArrayLike | None) -> Pairing:
    """Return what two regimens gain from sharing seeds, as `Pairing`.

    From the per-seed `influence` values phi1 and phi2, Var(difference) = sum (phi1 - phi2)^2 / n^2, which is
    V1 + V2 - 2 rho sqrt(V1 V2); without shared seeds rho is 0 and nothing is saved. Errors are those of `compare`.

    Args:
        first: of a regimen.
        second: of the other.
        joint: of shared seeds, as for `compare`; None if there are none.
    """
    shared = np.zeros((4, 4), int) if joint is None else _checked_joint(first, second, joint)
    n1, n2 = max(1, first.seeds), max(1, second.seeds)
    parts = []
    for phi1, phi2 in zip(influence(first), influence(second), strict=True):
        variance1, variance2 = np.array(first.cells) @ phi1**2 / n1**2, np.array(second.cells) @ phi2**2 / n2**2
        common = phi1 @ shared @ phi2 / (n1 * n2)
        apart, spread = variance1 + variance2, math.sqrt(variance1 * variance2)
        parts.append(
            Shared(
                correlation=float(common / spread) if spread > 0 else math.nan,
                variance_saved=float(2 * common / apart) if apart > 0 else math.nan,
                standard_error=math.sqrt(np.maximum(0.0, apart - 2 * common)),  # which keeps nan, as max() would not
            )
        )
    return Pairing(*parts)


def family_wise(confidence: float, comparisons: int) -> float:
    """Return the confidence each of several intervals needs so that all hold together with `confidence`.

    Bonferroni's inequality: valid whatever the dependence, so also for comparisons that share a baseline and seeds.

    Args:
        confidence: in (0, 1).
        comparisons: their number.

    Example:
        >>> round(family_wise(0.95, 5), 9)
        0.99
    """
    return 1 - (1 - checked_confidence(confidence)) / max(1, whole("comparisons", comparisons))


def shared_posterior(
    cells: Int[np.ndarray, "condition seed"], draws: int = 10_000, seed: int = 0
) -> Float[np.ndarray, "draw condition 4"]:
    """Draw the shares of outcomes of several conditions that share seeds.

    The posterior of a Dirichlet process with concentration 2 and a uniform base over all joint outcomes, given the
    joint outcomes seen (Ferguson, Ann. Stat. 1:209, 1973). Each condition by itself has the Dirichlet posterior with
    weight 1/2 per cell.

    Args:
        cells: index into `CELLS` of every model.
        draws: number of draws.
        seed: of the draws.
    """
    cells = np.asarray(cells)
    if cells.dtype.kind not in "iu" or (cells.size and not 0 <= cells.min() <= cells.max() < len(CELLS)):
        raise ValueError("cells must be whole numbers from 0 to 3")
    patterns, seen = np.unique(cells, axis=1, return_counts=True)
    random, draws = np.random.default_rng(seed), whole("draws", draws, 1)
    new = random.standard_gamma(2.0, draws)
    one_hot = (patterns.T[:, :, None] == np.arange(len(CELLS))).reshape(len(seen), -1).astype(float)
    shares, total = np.empty((draws, len(cells), len(CELLS))), new.copy()
    rows = max(1, AT_ONCE // max(1, len(seen)))
    for start in range(0, draws, rows):
        part = slice(start, start + rows)
        old = random.standard_gamma(seen, (len(new[part]), len(seen)))
        shares[part] = (old @ one_hot).reshape(-1, len(cells), len(CELLS))
        total[part] += old.sum(1)
    # what the process adds: broken sticks (Sethuraman, Stat. Sinica 4:639, 1994), each with a random joint outcome;
    # the last one gets what is left
    left = new
    for stick in range(STICKS):
        size = left * (random.beta(1.0, 2.0, draws) if stick < STICKS - 1 else 1.0)
        outcome = random.integers(len(CELLS), size=(draws, len(cells)))
        shares[np.arange(draws)[:, None], np.arange(len(cells)), outcome] += size[:, None]
        left = left - size
    return shares / total[:, None, None]
