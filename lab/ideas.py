"""Exact inference and policies over ideas whose training runs share a cause.

An idea (a way to train, a dataset, a regimen) has a latent propensity theta. Every run on it is aligned with
probability theta, independently given theta, and passes the test with probability s = P(T|A) or f = P(T|not A). A run
therefore passes with probability g = s theta + f (1 - theta), and runs of one idea are informative about each other.

A Beta prior is replaced by a Gauss rule: a few values of theta with weights that give every polynomial up to a chosen
degree its exact expectation. As n runs involve theta only through polynomials of degree n, every answer here is
a finite sum and exact up to rounding, unless its docstring says otherwise.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize
from scipy.special import betainc, betaln, expit, gammaln, logsumexp, xlogy

MOST_STATES = 200_000  # of an exact policy evaluation: ten seconds, or minutes for Thompson's probabilities
TIE = 1e-12  # values closer than this are equal, so that rounding decides nothing

# --- priors -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beta:
    """Propensity with density proportional to theta^(a-1) (1-theta)^(b-1).

    Raises:
        ValueError: a or b is not a positive finite number.
    """

    a: float
    b: float

    def __post_init__(self):
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive finite number, not {value}")

    @property
    def mean(self):
        """Expected propensity."""
        return self.a / (self.a + self.b)

    def atoms(self, degree):
        """Return values and weights that are exact for polynomials of theta up to `degree`, each of shape (n,)."""
        values, log_weights = _rule(self, degree)
        return values.copy(), np.exp(log_weights)


@dataclass(frozen=True)
class Discrete:
    """Propensity that takes one of finitely many values.

    Raises:
        ValueError: a value outside [0, 1], a negative weight, weights that do not sum to 1, or unequal lengths.
    """

    values: tuple
    weights: tuple

    def __post_init__(self):
        for name in ("values", "weights"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))  # hashable, whatever was given
        if not self.values or not all(0 <= value <= 1 for value in self.values):
            raise ValueError(f"values must be numbers in [0, 1], at least one, not {self.values}")
        if len(self.weights) != len(self.values):
            raise ValueError(f"weights must be as many as values ({len(self.values)}), not {len(self.weights)}")
        _check_weights(self.weights)

    @property
    def mean(self):
        """Expected propensity."""
        return math.fsum(value * weight for value, weight in zip(self.values, self.weights, strict=True))

    def atoms(self, degree):
        """Return values and weights, each of shape (n,); exact for any `degree`."""
        return np.array(self.values), np.array(self.weights)


@functools.lru_cache(maxsize=64)
def _rule(prior, degree):
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
    x = eigh_tridiagonal(centre, off, eigvals_only=True)
    before, now, squares, log_scale = np.zeros_like(x), np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for i in range(len(off)):
        before, now = now, ((x - centre[i]) * now - (off[i - 1] if i else 0.0) * before) / off[i]
        squares += now**2
        scale = np.where(squares > 1e100, 1e-50, 1.0)
        before, now, squares, log_scale = before * scale, now * scale, squares * scale**2, log_scale - np.log(scale)
    log_weights = -np.log(squares) - 2 * log_scale
    return np.clip((1 + x) / 2, 0.0, 1.0), log_weights - logsumexp(log_weights)


# --- checks of arguments ------------------------------------------------------------------------------------------


def _check_weights(weights):
    if not all(weight >= 0 for weight in weights) or abs(math.fsum(weights) - 1) > 1e-9:
        raise ValueError(f"weights must be at least 0 and sum to 1, not {weights}")


def _check_rates(pass_given_aligned, pass_given_misaligned):
    for name, rate in (
        ("pass_given_aligned", pass_given_aligned),
        ("pass_given_misaligned", pass_given_misaligned),
    ):
        if not 0 <= rate <= 1:
            raise ValueError(f"{name} must lie in [0, 1], not {rate}")


def _check_whole(least=0, **counts):
    for name, count in counts.items():
        if not (least <= count < math.inf and count == int(count)):
            raise ValueError(f"{name} must be a whole number of at least {least}, not {count}")


def _check_priors(name, priors):
    if not priors or not all(isinstance(prior, Beta | Discrete) for prior in priors):
        raise ValueError(f"{name} must be Beta or Discrete priors, at least one, not {priors!r}")


# --- one idea -----------------------------------------------------------------------------------------------------


class _Belief(NamedTuple):
    """What is known about an idea after its runs; nan where the data are impossible or there is no such run."""

    log_evidence: float
    mean: float
    next_pass: float
    aligned_pass: float
    aligned_fail: float
    weights: np.ndarray  # of the values of its prior's rule


def _belief(passes, failures, prior, s, f, degree=None):
    values, log_prior = _rule(prior, passes + failures + 2 if degree is None else degree)
    g, miss = s * values + f * (1 - values), (1 - s) * values + (1 - f) * (1 - values)
    joint = log_prior + xlogy(passes, g) + xlogy(failures, miss)
    log_evidence = float(logsumexp(joint)) if np.isfinite(joint).any() else -math.inf
    if log_evidence == -math.inf:
        return _Belief(log_evidence, *[math.nan] * 4, np.full_like(values, math.nan))
    weights = np.exp(joint - log_evidence)

    def given(seen, likelihood, of_run):
        """P(A | this run, data): weights are zero where the run's own outcome is impossible."""
        return float(weights @ (of_run * values / np.where(likelihood > 0, likelihood, 1.0))) if seen else math.nan

    return _Belief(
        log_evidence,
        float(weights @ values),
        float(weights @ g),
        given(passes, g, s),
        given(failures, miss, 1 - s),
        weights,
    )


def _checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned):
    _check_whole(passes=passes, failures=failures)
    _check_priors("prior", [prior])
    _check_rates(pass_given_aligned, pass_given_misaligned)
    return _belief(int(passes), int(failures), prior, pass_given_aligned, pass_given_misaligned)


def evidence(passes, failures, prior, pass_given_aligned, pass_given_misaligned):
    """Return the probability of one ordered sequence of outcomes: E[g^passes (1-g)^failures].

    With s = 1, f = 0 and a Beta prior this is B(a + passes, b + failures) / B(a, b).

    Raises:
        ValueError: a count is not a whole number of at least 0, a rate outside [0, 1], or no prior.
    """
    return math.exp(_checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned).log_evidence)


def posterior_mean(passes, failures, prior, pass_given_aligned, pass_given_misaligned):
    """Return the expected propensity of an idea after its runs; nan if they are impossible. Raises as `evidence`."""
    return _checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned).mean


def next_pass(passes, failures, prior, pass_given_aligned, pass_given_misaligned):
    """Return the probability that the idea's next run passes; nan if its runs are impossible. Raises as `evidence`."""
    return _checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned).next_pass


def aligned_given_run(passes, failures, prior, pass_given_aligned, pass_given_misaligned, passed=True):
    """Return the probability that one of the idea's passing (or failing) runs is aligned, given all its runs.

    That run is among the counts: E[s theta g^(passes-1) (1-g)^failures] / evidence, and likewise for a failing one.

    Raises:
        ValueError: as `evidence`, or there is no such run.
    """
    if not (passes if passed else failures):
        raise ValueError(f"{'passes' if passed else 'failures'} must count the run in question, not be 0")
    belief = _checked_belief(passes, failures, prior, pass_given_aligned, pass_given_misaligned)
    return belief.aligned_pass if passed else belief.aligned_fail


# --- a field of ideas ---------------------------------------------------------------------------------------------


class FieldPosterior(NamedTuple):
    """What trials of some ideas say about the field they come from.

    Attributes:
        types: posterior weight of each type.
        evidence: probability of the trials, as ordered sequences.
        fresh_mean: expected propensity of an idea not tried yet.
        idea_means: expected propensity of each idea tried.
    """

    types: tuple
    evidence: float
    fresh_mean: float
    idea_means: tuple


def field_posterior(trials, types, weights, pass_given_aligned, pass_given_misaligned):
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
    _check_priors("types", types)
    if len(weights) != len(types):
        raise ValueError(f"weights must be as many as types ({len(types)}), not {len(weights)}")
    _check_weights(weights)
    beliefs = [
        [_checked_belief(*t, prior, pass_given_aligned, pass_given_misaligned) for t in trials] for prior in types
    ]
    joint = [
        math.log(weight) + math.fsum(belief.log_evidence for belief in own) if weight else -math.inf
        for weight, own in zip(weights, beliefs, strict=True)
    ]
    if max(joint) == -math.inf:
        return FieldPosterior((math.nan,) * len(types), 0.0, math.nan, (math.nan,) * len(trials))
    total = float(logsumexp(joint))
    posterior = tuple(math.exp(own - total) for own in joint)
    possible = [(weight, prior, own) for weight, prior, own in zip(posterior, types, beliefs, strict=True) if weight]
    return FieldPosterior(
        posterior,
        math.exp(total),
        math.fsum(weight * prior.mean for weight, prior, _ in possible),
        tuple(math.fsum(weight * own[i].mean for weight, _, own in possible) for i in range(len(trials))),
    )


# --- policies -----------------------------------------------------------------------------------------------------


class PolicyOutcome(NamedTuple):
    """What a policy leads to.

    Attributes:
        accepted_aligned: probability that the accepted model is aligned.
        expected_runs: mean number of runs, the accepted one included.
        accepted_passed: probability that the accepted model passed.
    """

    accepted_aligned: float
    expected_runs: float
    accepted_passed: float


class _Policy(NamedTuple):
    choose: str  # which idea is trained next
    accept: str  # "first": the first pass; "best": a pass if that is optimal; "recall": after all runs
    rule: str


_FIRST = "accept the first pass, or the last run"
_RECALL = "train all runs, then accept the passing run most likely aligned (the failing one if none passed)"
_PARTS = {
    "rejection_random_idea_each_run": _Policy("random", "first", f"an idea at random for each run; {_FIRST}"),
    "rejection_single_idea": _Policy("single", "first", f"always the first idea; {_FIRST}"),
    "rejection_round_robin": _Policy("round_robin", "first", f"the ideas in turn; {_FIRST}"),
    "thompson_accept_first_pass": _Policy("thompson", "first", f"an idea by its P(largest propensity); {_FIRST}"),
    "thompson_with_recall": _Policy("thompson", "recall", f"an idea by its P(largest propensity); {_RECALL}"),
    "top_two_thompson_beta_half_with_recall": _Policy(
        "top_two", "recall", f"Thompson's idea or, every other time, its challenger; {_RECALL}"
    ),
    "round_robin_with_recall": _Policy("round_robin", "recall", f"the ideas in turn; {_RECALL}"),
    "single_idea_with_recall": _Policy("single", "recall", f"always the first idea; {_RECALL}"),
    "explore_each_once_then_reject_on_best": _Policy(
        "explore", "first", f"one throwaway run per idea, then the idea with the largest mean; {_FIRST}"
    ),
    "optimal_accept_first_pass": _Policy("optimal", "first", f"the best idea for each run; {_FIRST}"),
    "optimal_no_recall": _Policy(
        "optimal", "best", "the best idea for each run; accept a pass, or the last run, when nothing better is expected"
    ),
    "optimal_with_recall": _Policy("optimal", "recall", f"the best idea for each run; {_RECALL}"),
}
POLICIES = {name: policy.rule for name, policy in _PARTS.items()}


def _checked_policy(name, ideas, runs, pass_given_aligned, pass_given_misaligned):
    if name not in _PARTS:
        raise ValueError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    policy = _PARTS[name]
    _check_priors("ideas", ideas)
    _check_rates(pass_given_aligned, pass_given_misaligned)
    _check_whole(1, runs=runs)
    if policy.choose == "explore" and runs <= len(ideas):
        raise ValueError(f"runs must exceed the number of ideas ({len(ideas)}) for {name}, not be {runs}")
    if policy.choose in ("thompson", "top_two") and len({type(prior) for prior in ideas}) > 1:
        raise ValueError(f"ideas must be all Beta or all Discrete for {name}")
    return policy


def policy_outcome(name, ideas, runs, pass_given_aligned, pass_given_misaligned):
    """Return the exact `PolicyOutcome` of a policy that knows the priors and both rates.

    Without recall, a passing run is accepted at once or lost, and the last run is accepted in any case. With recall,
    all runs are trained first. States are (passes, failures) per idea: those that can be reached are listed forwards,
    then valued backwards; `optimal_*` takes the best decision in each (Bellman). Where decisions tie, the first idea
    is trained and a pass is accepted. With whole-number Beta parameters Thompson's probabilities are exact too;
    otherwise see `_largest`.

    Args:
        name: one of `POLICIES`.
        ideas: a prior per idea; ideas are independent.
        runs: most training runs allowed, at least 1.
        pass_given_aligned: P(T|A).
        pass_given_misaligned: P(T|not A).

    Raises:
        ValueError: unknown policy, an argument out of range, `runs` too few to explore every idea once, Beta mixed
            with Discrete ideas under a Thompson policy, or too many states: use `simulate_policy` then.
    """
    s, f = pass_given_aligned, pass_given_misaligned
    ideas = tuple(ideas)
    policy, runs = _checked_policy(name, ideas, runs, s, f), int(runs)
    warm_up = len(ideas) if policy.choose == "explore" else 0

    @functools.cache
    def belief(prior, own):
        return _belief(*own, prior, s, f, runs + 2)

    def known(state):
        return [belief(prior, own) for prior, own in zip(ideas, state, strict=True)]

    below = functools.cache(_below)

    def candidates(state, used):
        """Ideas that may be trained next."""
        if policy.choose == "single":
            return [0]
        if policy.choose == "round_robin" or used < warm_up:
            return [used % len(ideas)]
        if policy.choose == "explore":
            again = [i for i, own in enumerate(state) if sum(own) > 1]
            return again or [_first_best([own.mean for own in known(state)])]
        return range(len(ideas))

    def chances(state, among):
        """Probability of each candidate."""
        if policy.choose == "thompson":
            return _largest(state, ideas, runs, s, f, below)
        if policy.choose == "top_two":
            return _top_two(_largest(state, ideas, runs, s, f, below))
        return [1 / len(among)] * len(among)

    def trained(state, i):
        """Possible results of training idea i: probability, state, passed or not."""
        passes, failures = state[i]
        p = belief(ideas[i], state[i]).next_pass
        for chance, own, passed in ((p, (passes + 1, failures), True), (1 - p, (passes, failures + 1), False)):
            if chance > 0 and belief(ideas[i], own).log_evidence > -math.inf:  # rounding may leave 1e-16
                yield chance, (*state[:i], own, *state[i + 1 :]), passed

    def accepted(passed, used):
        """Whether the rule itself ends the search with this run."""
        return policy.accept != "recall" and (
            used == runs - 1 or (policy.accept == "first" and passed and used >= warm_up)
        )

    levels, total = [{((0, 0),) * len(ideas)}], 1
    for used in range(runs):
        reached = set()
        for state in levels[used]:
            for i in candidates(state, used):
                reached.update(new for _, new, passed in trained(state, i) if not accepted(passed, used))
            if total + len(reached) > MOST_STATES:
                raise ValueError(f"{name} has more than {MOST_STATES} states here; use simulate_policy")
        levels.append(reached)
        total += len(reached)

    def recalled(state):
        """Outcome of choosing among all runs."""
        passed = any(passes for passes, _ in state)
        return np.array(
            [np.nanmax([own.aligned_pass if passed else own.aligned_fail for own in known(state)]), 0, passed]
        )

    values = {state: recalled(state) for state in levels[runs]}
    for used in reversed(range(runs)):
        later, values = values, {}
        for state in levels[used]:
            among = candidates(state, used)
            outcomes = np.zeros((len(among), 3))
            for row, i in enumerate(among):
                for chance, new, passed in trained(state, i):
                    own = belief(ideas[i], new[i])
                    stop = np.array([own.aligned_pass if passed else own.aligned_fail, 1, passed])
                    if accepted(passed, used):
                        taken = stop
                    else:
                        taken = later[new] + (0, 1, 0)
                        if policy.accept == "best" and passed and stop[0] >= taken[0] - TIE:
                            taken = stop
                    outcomes[row] += chance * taken
            if policy.choose == "optimal":
                values[state] = outcomes[_first_best(outcomes[:, 0])]
            else:
                values[state] = chances(state, among) @ outcomes
    (outcome,) = values.values()
    return PolicyOutcome(*map(float, outcome))


def policy_value(name, ideas, runs, pass_given_aligned, pass_given_misaligned):
    """Return the probability that the model a policy accepts is aligned; exact. Raises as `policy_outcome`."""
    return policy_outcome(name, ideas, runs, pass_given_aligned, pass_given_misaligned).accepted_aligned


def _first_best(values):
    best = max(values)
    return next(i for i, value in enumerate(values) if value >= best - TIE)


def _log_aligned(passes, failures, s, f):
    """Return log c_l, l = 0..n, where g^passes (1-g)^failures = sum_l c_l theta^l (1-theta)^(n-l).

    c_l sums over all ways in which l of the n runs are aligned, so that no term is negative.
    """

    def expansion(n, if_aligned, if_not):
        i = np.arange(n + 1)
        return -betaln(i + 1, n - i + 1) - math.log(n + 1) + xlogy(i, if_aligned) + xlogy(n - i, if_not)

    terms = np.full(passes + failures + 1, -np.inf)
    of_failures = expansion(failures, 1 - s, 1 - f)
    for i, of_passes in enumerate(expansion(passes, s, f)):
        if of_passes > -np.inf:
            terms[i : i + failures + 1] = np.logaddexp(terms[i : i + failures + 1], of_passes + of_failures)
    return terms


def _below(prior, own, at, degree, s, f):
    """Return P(theta < x) and P(theta = x) at every x of the rule of prior `at`, for an idea with runs `own`."""
    x = _rule(at, degree)[0]
    if isinstance(prior, Discrete):
        weights = _belief(*own, prior, s, f, degree).weights
        values = np.array(prior.values)[:, None]
        return weights @ (values < x), weights @ (values == x)
    terms = _log_aligned(*own, s, f)
    aligned = np.arange(len(terms))
    a, b = prior.a + aligned, prior.b + aligned[::-1]
    weights = np.exp(terms + betaln(a, b) - logsumexp(terms + betaln(a, b)))
    return weights @ betainc(a[:, None], b[:, None], x), np.zeros_like(x)


def _largest(state, ideas, runs, s, f, below=_below):
    """Return for every idea the probability that its propensity is the largest; ties are split evenly.

    P(i is largest) = E_i[prod_{j != i} P(theta_j < theta_i)]. For whole-number Beta parameters that is the mean of
    a polynomial and the rule is exact; for others its error is that of a 200-point Gauss rule: 1e-4 for a, b
    near 0.2, 2e-6 near 0.5 and rounding from 1 upwards. A tie of m is split by the integral of t^(m-1) over (0, 1).
    """
    degree = runs * len(ideas)
    if isinstance(ideas[0], Beta):
        parameters = [value for prior in ideas for value in (prior.a, prior.b)]
        degree += math.ceil(sum(parameters))
        if any(value != int(value) for value in parameters):
            degree = max(degree, 400)
    t, dt = np.polynomial.legendre.leggauss(len(ideas) // 2 + 1)
    t, dt = (t + 1) / 2, dt / 2
    result = np.empty(len(ideas))
    for i, prior in enumerate(ideas):
        others = np.ones((len(t), len(_rule(prior, degree)[0])))
        for j, other in enumerate(ideas):
            if j != i:
                less, equal = below(other, state[j], prior, degree, s, f)
                others *= less + t[:, None] * equal
        result[i] = dt @ others @ _belief(*state[i], prior, s, f, degree).weights
    return result / result.sum()


def _top_two(largest):
    """Return the top-two probabilities for beta = 1/2 (Russo, COLT 2016): half Thompson's idea, half its challenger."""
    if len(largest) == 1 or largest.max() > 1 - TIE:
        return largest
    odds = largest / (1 - largest)
    return largest * (1 + odds.sum() - odds) / 2


class Simulated(NamedTuple):
    """Estimate of a `PolicyOutcome`, and the standard error of each of its parts."""

    outcome: PolicyOutcome
    standard_error: PolicyOutcome


def simulate_policy(name, ideas, runs, pass_given_aligned, pass_given_misaligned, repeats=10_000, seed=0):
    """Return the `Simulated` outcome of a policy, for more ideas and runs than `policy_outcome` can enumerate.

    Propensities are drawn from Gauss rules that match the priors' moments beyond what the runs can tell, so that for
    all policies but Thompson's the only error is the standard error. Thompson's draws come from 1024 quantiles of
    at least 200 points (of all values of a `Discrete`), so choice probabilities are off by up to 1/2048 each; where
    the best idea is nearly certain, Thompson's own idea is trained if 30 draws find no top-two challenger.

    Args:
        name: one of `POLICIES`, but not an optimal one.
        ideas: a prior per idea.
        runs: most training runs allowed, at least 1.
        pass_given_aligned: P(T|A).
        pass_given_misaligned: P(T|not A).
        repeats: number of simulated campaigns, at least 2.
        seed: of the random numbers.

    Raises:
        ValueError: as `policy_outcome`, or an optimal policy, which is only known exactly.
    """
    s, f = pass_given_aligned, pass_given_misaligned
    ideas = tuple(ideas)
    policy, runs = _checked_policy(name, ideas, runs, s, f), int(runs)
    _check_whole(2, repeats=repeats)
    if policy.choose == "optimal":
        raise ValueError(f"{name} is only known exactly: use policy_outcome")
    random = np.random.default_rng(seed)
    degree, everyone, many = max(runs + 2, 400), np.arange(repeats), len(ideas)
    quantiles = 1024 if policy.choose in ("thompson", "top_two") else 0
    priors = list(dict.fromkeys(ideas))
    prior_of = np.array([priors.index(prior) for prior in ideas])

    theta = np.empty((repeats, many))
    for i, prior in enumerate(ideas):
        values, log_weights = _rule(prior, degree)
        theta[:, i] = random.choice(values, repeats, p=np.exp(log_weights))
    chance = s * theta + f * (1 - theta)
    true_pass = s * theta / np.where(chance > 0, chance, 1.0)  # P(A | pass, theta)
    true_fail = (1 - s) * theta / np.where(chance < 1, 1 - chance, 1.0)

    index, table = {}, np.empty((256, 3 + quantiles))  # mean, P(A | a pass), P(A | a failure), quantiles

    def find(which, passes, failures):
        """Rows of the table for these priors and counts, each worked out when first met."""
        nonlocal table
        keys, inverse = np.unique((which * (runs + 1) + passes) * (runs + 1) + failures, return_inverse=True)
        for key in keys.tolist():
            if key in index:
                continue
            if len(index) == len(table):
                table = np.concatenate([table, np.empty_like(table)])
            prior = priors[key // (runs + 1) ** 2]
            own = _belief(key // (runs + 1) % (runs + 1), key % (runs + 1), prior, s, f, degree)
            values = _rule(prior, degree)[0]
            order = np.argsort(values)
            steps = np.cumsum(own.weights[order])
            at = np.searchsorted(steps, (np.arange(quantiles) + 0.5) / 1024 * steps[-1])
            table[len(index)] = np.concatenate([[own.mean, own.aligned_pass, own.aligned_fail], values[order][at]])
            index[key] = len(index)
        return np.array([index[key] for key in keys.tolist()])[inverse]

    passes, failures = np.zeros((2, repeats, many), int)
    rows = np.tile(find(prior_of, 0 * prior_of, 0 * prior_of), (repeats, 1))

    def draw(who):
        """Thompson's idea; ties between equal draws are broken at random."""
        u = random.random((len(who), many)) * quantiles
        level = u.astype(int)
        return np.argmax(table[rows[who], 3 + level] + 1e-9 * (u - level), axis=1)

    def choose(who, used):
        if policy.choose == "random":
            return random.integers(many, size=len(who))
        if policy.choose == "single":
            return np.zeros(len(who), int)
        if policy.choose == "round_robin" or (policy.choose == "explore" and used < many):
            return np.full(len(who), used % many)
        if policy.choose == "explore":
            return best[who]
        chosen = draw(who)
        if policy.choose == "top_two" and many > 1:
            seeking = np.flatnonzero(random.random(len(who)) < 0.5)
            first = chosen.copy()
            for _ in range(30):
                other = draw(who[seeking])
                found = other != first[seeking]
                chosen[seeking[found]] = other[found]
                seeking = seeking[~found]
        return chosen

    live, best = everyone, None
    aligned, trained, passed = np.zeros((3, repeats))
    for used in range(runs):
        if policy.choose == "explore" and used == many:
            best = np.argmax(table[rows, 0], axis=1)
        i = choose(live, used)
        success = random.random(len(live)) < chance[live, i]
        passes[live, i] += success
        failures[live, i] += ~success
        rows[live, i] = find(prior_of[i], passes[live, i], failures[live, i])
        trained[live] += 1
        if policy.accept == "recall":
            continue
        stop = success & (policy.choose != "explore" or used >= many) | (used == runs - 1)
        done, i, success = live[stop], i[stop], success[stop]
        aligned[done] = np.where(success, true_pass[done, i], true_fail[done, i])
        passed[done] = success
        live = live[~stop]
    if policy.accept == "recall":
        passing = np.where(passes > 0, table[rows, 1], -1.0).argmax(axis=1)
        failing = np.where(failures > 0, table[rows, 2], -1.0).argmax(axis=1)
        passed = passes.any(axis=1)
        aligned = np.where(passed, true_pass[everyone, passing], true_fail[everyone, failing])
    parts = [aligned, trained, passed]
    return Simulated(
        PolicyOutcome(*(float(np.mean(part)) for part in parts)),
        PolicyOutcome(*(float(np.std(part, ddof=1) / math.sqrt(repeats)) for part in parts)),
    )


# --- a field whose priors are not known ---------------------------------------------------------------------------


class Range(NamedTuple):
    """Posterior mean of a quantity with its central interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class FieldFit:
    """Posterior of a field of ideas with theta ~ Beta(a, b).

    Attributes:
        log_odds: grid of log(a / b), shape (n,).
        log_concentration: grid of log(a + b), shape (n,).
        weights: posterior weights on the grid, shape (n, n), log_odds first; they sum to 1.
        propensity: `Range` of the field's mean propensity a / (a + b); its mean is that of a fresh idea.
        correlation: `Range` of the correlation of two runs of one idea, 1 / (a + b + 1).
        idea_means: posterior mean propensity of each idea tried, shrunk towards the field.
        log_evidence: log of the integral of hyperprior (not normalised) times likelihood of the ordered sequences.
    """

    log_odds: np.ndarray
    log_concentration: np.ndarray
    weights: np.ndarray
    propensity: Range
    correlation: Range
    idea_means: tuple
    log_evidence: float


def fit_field(trials, pass_given_aligned=1.0, pass_given_misaligned=0.0, confidence=0.95, least_concentration=0.0):
    """Return the `FieldFit` of ideas with unknown a and b: theta_i ~ Beta(a, b), p(a, b) ~ (a + b)^(-5/2).

    The model and hyperprior are those of Gelman et al., Bayesian Data Analysis (3rd ed., 2013), section 5.3, extended
    to a noisy test. There are two unknowns, so the posterior is summed over Gauss-Legendre points in log(a/b) and
    log(a+b): as exact as the sum, in a fraction of a second, with no seed, no chains to check and no dependency. The
    box is widened until the density at its edge is e^-20 of its peak, and points are doubled until the evidence
    stays within 1e-6. Time grows with the number of distinct trials, for a noisy test also with runs per idea.

    As a + b -> 0 ideas become all-or-nothing and the hyperprior alone has infinite mass there. A perfect test rules
    that out as soon as one idea has both outcomes; a noisy one never does, so it needs `least_concentration`.

    Args:
        trials: (aligned, misaligned) runs per idea with the default rates, else (passes, failures).
        pass_given_aligned: P(T|A), known.
        pass_given_misaligned: P(T|not A), known.
        confidence: of the intervals.
        least_concentration: smallest a + b that the hyperprior allows; 0 for no limit.

    Raises:
        ValueError: a count or rate out of range, trials that are impossible under the rates, or a posterior that is
            not proper: no idea has both outcomes, or the test is noisy, and `least_concentration` is 0.
    """
    s, f = pass_given_aligned, pass_given_misaligned
    _check_rates(s, f)
    trials = list(trials)
    if not trials:
        raise ValueError("trials must hold at least one idea")
    for passes, failures in trials:
        _check_whole(passes=passes, failures=failures)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence}")
    if not 0 <= least_concentration < 1e3:
        raise ValueError(f"least_concentration must lie in [0, 1000), not {least_concentration}")
    counts = [tuple(map(int, trial)) for trial in trials]
    unique = sorted(set(counts))
    times = np.array([counts.count(own) for own in unique])
    terms = [_log_aligned(*own, s, f) for own in unique]
    if not all((own > -np.inf).any() for own in terms):
        raise ValueError("trials are impossible under pass_given_aligned and pass_given_misaligned")
    # all-or-nothing ideas explain an idea's runs unless neither all aligned nor all misaligned runs could give them
    if not least_concentration and all(max(own[0], own[-1]) > -np.inf for own in terms):
        raise ValueError(
            "trials leave a + b without a lower bound: some idea needs both aligned and misaligned runs"
            if (s, f) == (1, 0)
            else "least_concentration must be positive with a noisy test, which cannot rule out all-or-nothing ideas"
        )
    lowest = math.log(least_concentration) if least_concentration else -math.inf
    lengths = np.array([len(own) - 1 for own in terms])
    aligned = [np.flatnonzero(own > -np.inf) for own in terms]  # runs that may be aligned: one number if perfect
    misaligned = [n - own for n, own in zip(lengths, aligned, strict=True)]
    needed = [np.unique(np.concatenate(own)) for own in (aligned, misaligned, [lengths])]

    def density(log_odds, log_concentration):
        """Log posterior density (not normalised) and means of the unique ideas, at points of shape (n,)."""
        total = np.exp(log_concentration)
        a, b = total * expit(log_odds), total * expit(-log_odds)
        of_a, of_b, of_total = (_log_rising(x[:, None], own) for x, own in zip((a, b, total), needed, strict=True))
        # da db = a b d(log odds) d(log concentration)
        log_density = np.log(a) + np.log(b) - 2.5 * np.log(total)
        means = np.empty((len(unique), len(a)))
        for i, n in enumerate(lengths):
            columns = [np.searchsorted(needed[0], aligned[i]), np.searchsorted(needed[1], misaligned[i])]
            joint = terms[i][aligned[i]] + of_a[:, columns[0]] + of_b[:, columns[1]]
            highest = joint.max(axis=1, keepdims=True)
            weights = np.exp(joint - highest)
            sums = weights.sum(axis=1)
            log_likelihood = np.log(sums) + highest[:, 0] - of_total[:, np.searchsorted(needed[2], n)]
            log_density += times[i] * log_likelihood
            means[i] = (a + weights @ aligned[i] / sums) / (total + n)
        return log_density, means

    low, high = _box(lambda *point: density(*point)[0], np.array([-np.inf, lowest]))
    before = math.inf
    for points in (32, 64, 128, 256, 512, 1024):
        x, dx = np.polynomial.legendre.leggauss(points)
        u, v = ((low + high)[:, None] + (high - low)[:, None] * x) / 2
        rows = [density(u, np.full(points, own)) for own in v]
        log_weights = np.array([row[0] for row in rows]).T + np.log(np.outer(dx, dx) * np.prod((high - low) / 2))
        log_evidence = float(logsumexp(log_weights))
        if abs(log_evidence - before) < 1e-6:
            break
        before = log_evidence
    else:
        raise ValueError("trials give a posterior too uneven for 1024 x 1024 points")
    weights = np.exp(log_weights - log_evidence)
    idea_means = dict(zip(unique, np.einsum("vku,uv->k", np.array([row[1] for row in rows]), weights), strict=True))
    return FieldFit(
        u,
        v,
        weights,
        _range(u, weights.sum(axis=1), expit, confidence),
        _range(v, weights.sum(axis=0), lambda own: 1 / (np.exp(own) + 1), confidence),
        tuple(float(idea_means[own]) for own in counts),
        log_evidence,
    )


def _log_rising(x, n):
    """Return log x (x+1) ... (x+n-1): a difference of log gamma, by Stirling's series where that would lose digits."""
    far = np.maximum(x, 100.0)
    end = far + n
    series = (1 / end - 1 / far) / 12 - (1 / end**3 - 1 / far**3) / 360
    stirling = (far - 0.5) * np.log1p(n / far) + n * np.log(end) - n + series
    return np.where(x < 100, gammaln(x + n) - gammaln(x), stirling)


def _box(log_density, limit):
    """Return lower and upper ends, each (log odds, log concentration), of a box that holds nearly all of the mass.

    Starts at the mode and moves every edge outwards until the density along it is negligible; an edge at `limit` stays.
    """
    start = np.maximum([0.0, 2.0], limit + 1)
    found = minimize(lambda point: -log_density(*np.maximum(point, limit)[:, None])[0], start, method="Nelder-Mead")
    mode, peak = np.maximum(found.x, limit), -found.fun
    ends = [np.maximum(mode - 0.01, limit), mode + 0.01]
    for _ in range(200):
        moved = False
        for side, axis in ((0, 0), (0, 1), (1, 0), (1, 1)):
            if ends[side][axis] == limit[axis]:
                continue
            edge = np.empty((2, 41))
            edge[axis] = ends[side][axis]
            edge[1 - axis] = np.linspace(ends[0][1 - axis], ends[1][1 - axis], 41)
            if log_density(*edge).max() > peak - 20:
                step = 0.25 * (ends[1][axis] - ends[0][axis])
                ends[side][axis] = np.maximum(ends[side][axis] + (step if side else -step), limit[axis])
                moved = True
        if not moved:
            return ends
    raise ValueError("trials give a posterior whose mass has no end")


def _range(grid, weights, quantity, confidence):
    """`Range` of a monotone quantity of a Gauss-Legendre grid, through the integral of its Legendre series."""
    n = len(grid)
    x = np.polynomial.legendre.leggauss(n)[0]
    series = (np.polynomial.legendre.legvander(x, n - 1).T @ weights) * (np.arange(n) + 0.5)
    fine = np.linspace(-1, 1, 20_001)
    below = np.polynomial.legendre.legval(fine, np.polynomial.legendre.legint(series, lbnd=-1))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    limits = quantity(np.interp(np.interp(tails, np.maximum.accumulate(below), fine), x, grid))
    return Range(float(weights @ quantity(grid)), float(limits.min()), float(limits.max()))
