"""Two regimens beside each other: log impacts, what shared seeds save, and several comparisons at once.

The posterior of a regimen is Dirichlet with weight 1/2 on each of its four cells: base rate, P(T|A) and P(T|not A)
are then independent Beta variables and the logs of LR and prior odds add to the log of posterior odds in every draw.
"""

import math
from typing import NamedTuple

import numpy as np

from lab.statistics.quantities import CELLS, Estimate
from lab.statistics.score import checked_confidence, whole

DRAWS = 50_000
BEYOND = 50  # draws wanted outside each limit; rarer tails get more draws
MOST_DRAWS = 2_000_000


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


def _log(value):
    return math.log(value) if value > 0 else -math.inf if value == 0 else math.nan


def _difference(first, second):
    return math.nan if math.isinf(first) and first == second else first - second


def _checked_joint(first, second, joint):
    joint = np.asarray(joint)
    if joint.shape != (4, 4):
        raise ValueError(f"joint counts must have shape (4, 4), not {joint.shape}")
    joint = np.array([whole("a joint count", count) for count in joint.ravel().tolist()]).reshape(4, 4)
    if (joint.sum(1) != first.cells).any() or (joint.sum(0) != second.cells).any():
        raise ValueError("joint counts do not add up to the counts of both regimens")
    return joint


def compare(first, second, joint=None, confidence=0.95):
    """Return the `LogImpact` of the first regimen over the second.

    Values are differences of the logs of plain estimates. Limits are quantiles of the posterior. With shared seeds
    it is Dirichlet with weight 1/8 on each of the 16 joint cells; its margins are those of a regimen by itself, and
    what the seeds have in common cancels. A side on which an empty cell leaves the value unbounded stays open.

    Args:
        first: `Counts` of the regimen in question.
        second: `Counts` of the one it is compared with.
        joint: how many seeds fell in cell i under the first regimen and j under the second, shape (4, 4), with
            cells in the order of `CELLS`; None if the regimens do not share seeds.
        confidence: of each interval by itself.

    Raises:
        ValueError: `joint` does not add up to the counts, or confidence outside (0, 1) or above 0.99995.
    """
    confidence = checked_confidence(confidence)
    tail = (1 - confidence) / 2
    draws = max(DRAWS, round(BEYOND / tail))
    if draws > MOST_DRAWS:
        strictest = 1 - 2 * BEYOND / MOST_DRAWS
        raise ValueError(f"confidence {confidence} is beyond what posterior draws resolve: at most {strictest}")
    likelihood_ratio, base_rate = impact_draws(first, second, joint, draws)

    def result(name, drawn):
        value = _difference(_log(getattr(first, name)), _log(getattr(second, name)))
        low, high = np.quantile(drawn, [tail, 1 - tail])
        low = -math.inf if math.isnan(value) or value == -math.inf else float(low)
        high = math.inf if math.isnan(value) or value == math.inf else float(high)
        return Estimate(value, low, high)

    return LogImpact(
        result("likelihood_ratio", likelihood_ratio),
        result("prior_odds", base_rate),
        result("posterior_odds", likelihood_ratio + base_rate),
    )


def share_draws(first, second, joint=None, draws=DRAWS, weight=0.125):
    """Return posterior draws of the shares of both regimens' cells, up to a factor, each of shape (draws, 4).

    The default weight adds up to Jeffreys' 1/2 for each regimen by itself. Errors are those of `compare`.

    Args:
        first: `Counts` of a regimen.
        second: `Counts` of the other.
        joint: of shared seeds, as for `compare`; None if there are none.
        draws: their number.
        weight: the prior's on each of the 16 joint outcomes.
    """
    random = np.random.default_rng(0)
    if joint is None:
        return [random.standard_gamma(np.array(counts.cells) + 0.5, (draws, 4)) for counts in (first, second)]
    both = random.standard_gamma(_checked_joint(first, second, joint) + weight, (draws, 4, 4))
    # slices added up: numpy's own sum over so short an axis takes six times as long
    return [sum(both.transpose(2, 0, 1)), sum(both.transpose(1, 0, 2))]


def impact_draws(first, second, joint=None, draws=DRAWS):
    """Return posterior draws of the log impact on LR and on prior odds, each of shape (draws,); see `compare`.

    Args:
        first: `Counts` of a regimen.
        second: `Counts` of the other.
        joint: of shared seeds, as for `compare`; None if there are none.
        draws: their number.
    """
    parts = []
    for drawn in share_draws(first, second, joint, draws):
        aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = drawn.T
        prior = np.log(aligned_pass + aligned_fail) - np.log(misaligned_pass + misaligned_fail)
        parts.append((np.log(aligned_pass) - np.log(misaligned_pass) - prior, prior))
    likelihood_ratio, base_rate = (one - other for one, other in zip(*parts, strict=True))
    return likelihood_ratio, base_rate


def influence(counts):
    """Return what one seed in each cell adds to the logs of LR, prior odds and posterior odds, times its share 1/n.

    With s = P(T|A), f = P(T|not A), pi = P(A): phi_LR = A (T - s) / (pi s) - (1 - A) (T - f) / ((1 - pi) f),
    phi_prior = A / pi - (1 - A) / (1 - pi) and phi_post = A T / P(A, T) - (1 - A) T / P(not A, T), their sum: the
    delta method of Roldan Nofuentes and Luna del Castillo (Stat. Med. 26:4179, 2007), with A free to differ.

    Args:
        counts: `Counts`.

    Returns:
        Array of shape (3, 4); nan or inf where an empty cell is divided by.
    """
    n = counts.seeds
    aligned_pass, _, misaligned_pass, _ = cells = np.array(counts.cells, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        prior = np.array(
            [n / counts.aligned] * 2 + [-n / counts.misaligned] * 2 if 0 < counts.aligned < n else [np.nan] * 4
        )
        posterior = (
            np.array([n / aligned_pass, 0, -n / misaligned_pass, 0]) if cells[0] and cells[2] else np.full(4, np.nan)
        )
    return np.stack([posterior - prior, prior, posterior])


def pairing(first, second, joint):
    """Return what two regimens gain from sharing seeds, as `Pairing`.

    From the per-seed `influence` values phi1 and phi2, Var(difference) = sum (phi1 - phi2)^2 / n^2, which is
    V1 + V2 - 2 rho sqrt(V1 V2); without shared seeds rho is 0 and nothing is saved. Errors are those of `compare`.

    Args:
        first: `Counts` of a regimen.
        second: `Counts` of the other.
        joint: of shared seeds, as for `compare`; None if there are none.
    """
    shared = np.zeros((4, 4), int) if joint is None else _checked_joint(first, second, joint)
    n1, n2 = max(1, first.seeds), max(1, second.seeds)
    parts = []
    for phi1, phi2 in zip(influence(first), influence(second), strict=True):
        own, other = np.array(first.cells) @ phi1**2 / n1**2, np.array(second.cells) @ phi2**2 / n2**2
        common = phi1 @ shared @ phi2 / (n1 * n2)
        apart, spread = own + other, math.sqrt(own * other)
        parts.append(
            Shared(
                correlation=float(common / spread) if spread > 0 else math.nan,
                variance_saved=float(2 * common / apart) if apart > 0 else math.nan,
                standard_error=math.sqrt(np.maximum(0.0, apart - 2 * common)),  # which keeps nan, as max() would not
            )
        )
    return Pairing(*parts)


def family_wise(confidence, comparisons):
    """Return the confidence each of several intervals needs so that all hold together with `confidence`.

    Bonferroni's inequality: valid whatever the dependence, so also for comparisons that share a baseline and seeds.

    Args:
        confidence: in (0, 1).
        comparisons: their number.
    """
    return 1 - (1 - checked_confidence(confidence)) / max(1, whole("comparisons", comparisons))


def shared_posterior(cells, draws=10_000, seed=0):
    """Draw the shares of outcomes of several conditions that share seeds.

    The posterior of a Dirichlet process with concentration 2 and a uniform base over all joint outcomes, given the
    joint outcomes seen (Ferguson, Ann. Stat. 1:209, 1973). Each condition by itself has the Dirichlet posterior with
    weight 1/2 per cell, and each pair the one that `compare` uses.

    Args:
        cells: index into `CELLS`, shape (condition, seed).
        draws: number of draws; fewer where more than 2 x 10^7 numbers would be drawn.
        seed: of the draws.

    Returns:
        Array of shape (draws, condition, 4).
    """
    patterns, seen = np.unique(cells, axis=1, return_counts=True)
    draws = int(max(1_000, min(draws, 2e7 // max(1, len(seen)))))
    random = np.random.default_rng(seed)
    old, new = random.standard_gamma(seen, (draws, len(seen))), random.standard_gamma(2.0, draws)
    total = old.sum(1) + new
    one_hot = (patterns.T[:, :, None] == np.arange(len(CELLS))).reshape(len(seen), -1)
    shares = (old @ one_hot.astype(float)).reshape(draws, len(cells), len(CELLS))
    # what the process adds: broken sticks (Sethuraman, Stat. Sinica 4:639, 1994), each with a random joint outcome;
    # after 40 of them (2/3)^40 = 1e-7 is left, which the last one gets
    left = new
    for stick in range(40):
        size = left * (random.beta(1.0, 2.0, draws) if stick < 39 else 1.0)
        where = random.integers(len(CELLS), size=(draws, len(cells)))
        shares[np.arange(draws)[:, None], np.arange(len(cells)), where] += size[:, None]
        left = left - size
    return shares / total[:, None, None]
