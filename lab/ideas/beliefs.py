"""Priors of a propensity and what runs say about it, for one idea and for a field of them."""

import functools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float

from lab.statistics.score import whole

WEIGHTS_TOLERANCE = 1e-9  # by how much the sum of weights that were typed as decimals may differ from 1
SQUARES_TOO_LARGE, SHRINK = 1e100, 1e-50  # sums of squares are shrunk, by the square of this, long before they overflow

# --- priors -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beta:
    """Propensity with density proportional to theta^(a-1) (1-theta)^(b-1).

    Raises:
        ValueError: a or b is not a positive finite number.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive finite number, not {value}")
            object.__setattr__(self, name, float(value))  # equal priors are then the same to a cache

    @property
    def mean(self) -> float:
        """Expected propensity."""
        return self.a / (self.a + self.b)

    def atoms(self, degree: int) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
        """Return values and weights that are exact for polynomials of theta up to `degree`.

        Args:
            degree: of the polynomials.
        """
        values, log_weights = rule(self, whole("degree", degree))
        return values.copy(), np.exp(log_weights)


@dataclass(frozen=True)
class Discrete:
    """Propensity that takes one of finitely many values.

    Raises:
        ValueError: a value outside [0, 1], a negative weight, weights that do not sum to 1, or unequal lengths.
    """

    values: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("values", "weights"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))  # hashable, whatever was given
        if not self.values or not all(0 <= value <= 1 for value in self.values):
            raise ValueError(f"values must be numbers in [0, 1], at least one, not {self.values}")
        if len(self.weights) != len(self.values):
            raise ValueError(f"weights must be as many as values ({len(self.values)}), not {len(self.weights)}")
        _check_weights(self.weights)

    @property
    def mean(self) -> float:
        """Expected propensity."""
        return math.fsum(value * weight for value, weight in zip(self.values, self.weights, strict=True))

    def atoms(self, degree: int) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
        """Return values and weights; exact for any `degree`.

        Args:
            degree: of the polynomials.
        """
        return np.array(self.values), np.array(self.weights)


Prior = Beta | Discrete


@functools.lru_cache(maxsize=64)
def rule(prior: Prior, degree: int) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Return values and log weights of a prior, exact for polynomials up to `degree`.

    For a Beta these are the nodes of the Gauss-Jacobi rule, as eigenvalues of its recurrence matrix (Golub and Welsch,
    Math. Comp. 23:221, 1969). Weights are 1 / sum_k p_k(x)^2 over the orthonormal polynomials, with logs kept apart,
    so that they stay accurate far out in the tails where eigenvectors would be rounding noise. Log evidence of 2,000
    runs is off by 1e-12; by 4e-10 for a or b as small as 0.01.
    """
    if isinstance(prior, Discrete):
        with np.errstate(divide="ignore"):
            return np.array(prior.values), np.log(np.array(prior.weights) / math.fsum(prior.weights))
    a, b, total = prior.a, prior.b, prior.a + prior.b
    n = np.arange(1.0, degree // 2 + 1)
    twice = 2 * n + total - 2
    centre = np.concatenate([[(a - b) / total], (a - b) * (total - 2) / (twice * (twice + 2))])
    # (n + total - 2) / (twice - 1) is 0/0 for n = total = 1, and 1 for n = 1 in general
    ratio = np.where(n == 1, 1.0, (n + total - 2) / np.where(n == 1, 1.0, twice - 1))
    off = np.sqrt(4 * n * (n + a - 1) * (n + b - 1) * ratio / (twice**2 * (twice + 1)))
    x = np.asarray(scipy.linalg.eigvalsh_tridiagonal(centre, off))
    log_weights = -_log_sum_of_squares(x, centre, off)
    return np.clip((1 + x) / 2, 0.0, 1.0), log_weights - np.logaddexp.reduce(log_weights)


def _log_sum_of_squares(
    x: Float[np.ndarray, " value"], centre: Float[np.ndarray, " value"], off: Float[np.ndarray, " value-1"]
) -> Float[np.ndarray, " value"]:
    """Return the log of the sum of squares of all orthonormal polynomials at x.

    Args:
        x: points.
        centre: diagonal of the recurrence matrix.
        off: what lies beside its diagonal.
    """
    before, now, squares, log_scale = np.zeros_like(x), np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for i in range(len(off)):
        before, now = now, ((x - centre[i]) * now - (off[i - 1] if i else 0.0) * before) / off[i]
        squares += now**2
        scale = np.where(squares > SQUARES_TOO_LARGE, SHRINK, 1.0)
        before, now, squares, log_scale = before * scale, now * scale, squares * scale**2, log_scale - np.log(scale)
    return np.log(squares) + 2 * log_scale


# --- checks of arguments ------------------------------------------------------------------------------------------


def _check_weights(weights: Collection[float]) -> None:
    if not all(weight >= 0 for weight in weights) or abs(math.fsum(weights) - 1) > WEIGHTS_TOLERANCE:
        raise ValueError(f"weights must be at least 0 and sum to 1, not {weights}")


def checked_rates(pass_given_aligned: float, pass_given_misaligned: float) -> tuple[float, float]:
    """Return both as floats. Raises a ValueError unless they lie in [0, 1]."""
    for name, rate in (
        ("pass_given_aligned", pass_given_aligned),
        ("pass_given_misaligned", pass_given_misaligned),
    ):
        if not 0 <= rate <= 1:
            raise ValueError(f"{name} must lie in [0, 1], not {rate}")
    return float(pass_given_aligned), float(pass_given_misaligned)


def check_priors(name: str, priors: Collection[Prior]) -> None:
    """Raise a ValueError unless there are priors and they are of a kind that is known."""
    if not priors or not all(isinstance(prior, Beta | Discrete) for prior in priors):
        raise ValueError(f"{name} must be Beta or Discrete priors, at least one, not {priors!r}")


# --- one idea -----------------------------------------------------------------------------------------------------


class Belief(NamedTuple):
    """What is known about an idea after its runs; nan where the data are impossible or there is no such run.

    Attributes:
        log_evidence: log probability of its runs, as an ordered sequence.
        mean: expected propensity.
        next_pass: probability that its next run passes.
        aligned_pass: probability that one of its passing runs is aligned.
        aligned_fail: the same of one of its failing runs.
        weights: of the values of its prior's rule.
    """

    log_evidence: float
    mean: float
    next_pass: float
    aligned_pass: float
    aligned_fail: float
    weights: Float[np.ndarray, " value"]


def belief_about(passes: int, failures: int, prior: Prior, s: float, f: float, degree: int | None = None) -> Belief:
    """Return the `Belief` about an idea after its runs.

    Args:
        passes: number of the idea's runs that passed.
        failures: number that failed.
        prior: of its propensity.
        s: P(T|A).
        f: P(T|not A).
        degree: of the rule, if others must have the same.
    """
    values, log_prior = rule(prior, passes + failures + 2 if degree is None else degree)
    passing, failing = s * values + f * (1 - values), (1 - s) * values + (1 - f) * (1 - values)
    joint = log_prior + scipy.special.xlogy(passes, passing) + scipy.special.xlogy(failures, failing)
    log_evidence = float(np.logaddexp.reduce(joint)) if np.isfinite(joint).any() else -math.inf
    if log_evidence == -math.inf:
        return Belief(log_evidence, math.nan, math.nan, math.nan, math.nan, np.full_like(values, math.nan))
    weights = np.exp(joint - log_evidence)

    def aligned_share(likelihood: Float[np.ndarray, " value"], if_aligned: float) -> float:
        """P(A | this run, data): weights are zero where the run's own outcome is impossible."""
        return float(weights @ (if_aligned * values / np.where(likelihood > 0, likelihood, 1.0)))

    return Belief(
        log_evidence=log_evidence,
        mean=float(weights @ values),
        next_pass=float(weights @ passing),
        aligned_pass=aligned_share(passing, s) if passes else math.nan,
        aligned_fail=aligned_share(failing, 1 - s) if failures else math.nan,
        weights=weights,
    )


def _checked_belief(
    passes: float, failures: float, prior: Prior, pass_given_aligned: float, pass_given_misaligned: float
) -> Belief:
    passes, failures = whole("passes", passes), whole("failures", failures)
    check_priors("prior", [prior])
    s, f = checked_rates(pass_given_aligned, pass_given_misaligned)
    return belief_about(passes, failures, prior, s, f)


def evidence(
    passes: int, failures: int, prior: Prior, pass_given_aligned: float, pass_given_misaligned: float
) -> float:
    """Return the probability of one ordered sequence of outcomes: E[g^passes (1-g)^failures].

    With s = 1, f = 0 and a Beta prior this is B(a + passes, b + failures) / B(a, b).

    Args:
        passes: number of the idea's runs that passed.
        failures: number that failed.
        prior: of its propensity to give aligned models.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].

    Raises:
        ValueError: a count is not a whole number of at least 0, a rate outside [0, 1], or no prior.
    """
    return math.exp(_checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned).log_evidence)


def posterior_mean(
    passes: int, failures: int, prior: Prior, pass_given_aligned: float, pass_given_misaligned: float
) -> float:
    """Return the expected propensity of an idea after its runs; nan if they are impossible. Raises as `evidence`.

    Args:
        passes: number of the idea's runs that passed.
        failures: number that failed.
        prior: of its propensity to give aligned models.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
    """
    return _checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned).mean


def next_pass(
    passes: int, failures: int, prior: Prior, pass_given_aligned: float, pass_given_misaligned: float
) -> float:
    """Return the probability that the idea's next run passes; nan if its runs are impossible. Raises as `evidence`.

    Args:
        passes: number of the idea's runs that passed.
        failures: number that failed.
        prior: of its propensity to give aligned models.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
    """
    return _checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned).next_pass


def aligned_given_run(
    passes: int,
    failures: int,
    prior: Prior,
    pass_given_aligned: float,
    pass_given_misaligned: float,
    passed: bool = True,
) -> float:
    """Return the probability that one of the idea's passing (or failing) runs is aligned, given all its runs.

    That run is among the counts: E[s theta g^(passes-1) (1-g)^failures] / evidence, and likewise for a failing one.

    Args:
        passes: number of the idea's runs that passed.
        failures: number that failed.
        prior: of its propensity to give aligned models.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
        passed: whether the run in question passed.

    Raises:
        ValueError: as `evidence`, or there is no such run.
    """
    if not (passes if passed else failures):
        raise ValueError(f"{'passes' if passed else 'failures'} must count the run in question, not be 0")
    belief = _checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned)
    return belief.aligned_pass if passed else belief.aligned_fail


def log_aligned(passes: int, failures: int, s: float, f: float) -> Float[np.ndarray, " aligned"]:
    """Return log c_l, l = 0..n, where g^passes (1-g)^failures = sum_l c_l theta^l (1-theta)^(n-l).

    c_l sums over all ways in which l of the n runs are aligned, so that no term is negative.

    Args:
        passes: number of runs that passed.
        failures: number that failed.
        s: P(T|A).
        f: P(T|not A).
    """

    def expansion(n: int, if_aligned: float, if_not: float) -> Float[np.ndarray, " aligned"]:
        i = np.arange(n + 1)
        return (
            -scipy.special.betaln(i + 1, n - i + 1)
            - math.log(n + 1)
            + scipy.special.xlogy(i, if_aligned)
            + scipy.special.xlogy(n - i, if_not)
        )

    terms = np.full(passes + failures + 1, -np.inf)
    of_failures = expansion(failures, 1 - s, 1 - f)
    for i, of_passes in enumerate(expansion(passes, s, f)):
        if of_passes > -np.inf:
            terms[i : i + failures + 1] = np.logaddexp(terms[i : i + failures + 1], of_passes + of_failures)
    return terms


# --- a field of ideas ---------------------------------------------------------------------------------------------


class FieldPosterior(NamedTuple):
    """What trials of some ideas say about the field they come from.

    Attributes:
        types: posterior weight of each type.
        evidence: probability of the trials, as ordered sequences.
        fresh_mean: expected propensity of an idea not tried yet.
        idea_means: expected propensity of each idea tried.
    """

    types: tuple[float, ...]
    evidence: float
    fresh_mean: float
    idea_means: tuple[float, ...]


def field_posterior(
    trials: Sequence[tuple[int, int]],
    types: Sequence[Prior],
    weights: Sequence[float],
    pass_given_aligned: float,
    pass_given_misaligned: float,
) -> FieldPosterior:
    """Return the `FieldPosterior` of a field whose type is drawn once and whose ideas are drawn from it.

    Args:
        trials: (passes, failures) per idea: [(0, 3)] is one idea that failed three times, [(0, 1)] * 3 three ideas.
        types: one prior per type of field.
        weights: prior probability of each type.
        pass_given_aligned: P(T|A).
        pass_given_misaligned: P(T|not A).

    Raises:
        ValueError: as `evidence`, or weights that are not a probability per type.
    """
    check_priors("types", types)
    if len(weights) != len(types):
        raise ValueError(f"weights must be as many as types ({len(types)}), not {len(weights)}")
    _check_weights(weights)
    beliefs = [
        [_checked_belief(*trial, prior, pass_given_aligned, pass_given_misaligned) for trial in trials]
        for prior in types
    ]
    joint = [
        math.log(weight) + math.fsum(belief.log_evidence for belief in of_type) if weight else -math.inf
        for weight, of_type in zip(weights, beliefs, strict=True)
    ]
    if max(joint) == -math.inf:
        return FieldPosterior((math.nan,) * len(types), 0.0, math.nan, (math.nan,) * len(trials))
    total = float(np.logaddexp.reduce(joint))
    posterior = tuple(math.exp(log_weight - total) for log_weight in joint)
    possible = [type_ for type_ in zip(posterior, types, beliefs, strict=True) if type_[0]]
    return FieldPosterior(
        types=posterior,
        evidence=math.exp(total),
        fresh_mean=math.fsum(weight * prior.mean for weight, prior, _ in possible),
        idea_means=tuple(
            math.fsum(weight * of_type[idea].mean for weight, _, of_type in possible) for idea in range(len(trials))
        ),
    )
