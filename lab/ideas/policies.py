"""Which idea to train next and which model to accept: exact values of policies, and simulation of large ones."""

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy.special import betainc, betaln

from lab.ideas.beliefs import Beta, Discrete, belief_about, check_priors, checked_rates, log_aligned, rule
from lab.statistics.score import whole

MOST_STATES = 200_000  # of an exact evaluation: ten seconds, or minutes for Thompson's probabilities
TIE = 1e-12  # values closer than this are equal, so that rounding decides nothing


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


def _checked_policy(name, ideas, runs, *rates):
    """Return the policy, its ideas, runs and both rates. Raises as `policy_outcome` says."""
    if name not in _PARTS:
        raise ValueError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    policy = _PARTS[name]
    ideas, runs = tuple(ideas), whole("runs", runs, 1)
    check_priors("ideas", ideas)
    if policy.choose == "explore" and runs <= len(ideas):
        raise ValueError(f"runs must exceed the number of ideas ({len(ideas)}) for {name}, not be {runs}")
    if policy.choose in ("thompson", "top_two") and len({type(prior) for prior in ideas}) > 1:
        raise ValueError(f"ideas must be all Beta or all Discrete for {name}")
    return policy, ideas, runs, *checked_rates(*rates)


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
    policy, ideas, runs, s, f = _checked_policy(name, ideas, runs, pass_given_aligned, pass_given_misaligned)
    warm_up = len(ideas) if policy.choose == "explore" else 0

    kinds = [ideas.index(prior) for prior in ideas]  # equal ideas are worked out once

    @functools.cache
    def belief(kind, own):
        return belief_about(*own, ideas[kind], s, f, runs + 2)

    @functools.cache
    def results(kind, own):
        """Possible results of one more run of an idea: probability, its runs then, passed or not."""
        (passes, failures), p = own, belief(kind, own).next_pass
        both = (p, (passes + 1, failures), True), (1 - p, (passes, failures + 1), False)
        # rounding may leave 1e-16
        return [new for new in both if new[0] > 0 and belief(kind, new[1]).log_evidence > -math.inf]

    def known(state):
        return [belief(kind, own) for kind, own in zip(kinds, state, strict=True)]

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
        for chance, own, passed in results(kinds[i], state[i]):
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
                    own = belief(kinds[i], new[i])
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
    """Return the probability that the model a policy accepts is aligned; exact. Raises as `policy_outcome`.

    Args:
        name: of the policy, one of `POLICIES`.
        ideas: the prior of each idea.
        runs: training runs that it may use.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
    """
    return policy_outcome(name, ideas, runs, pass_given_aligned, pass_given_misaligned).accepted_aligned


def _first_best(values):
    best = max(values)
    return next(i for i, value in enumerate(values) if value >= best - TIE)


def _below(prior, own, at, degree, s, f):
    """Return P(theta < x) and P(theta = x) at every x of the rule of prior `at`, for an idea with runs `own`."""
    x = rule(at, degree)[0]
    if isinstance(prior, Discrete):
        weights = belief_about(*own, prior, s, f, degree).weights
        values = np.array(prior.values)[:, None]
        return weights @ (values < x), weights @ (values == x)
    terms = log_aligned(*own, s, f)
    aligned = np.arange(len(terms))
    a, b = prior.a + aligned, prior.b + aligned[::-1]
    weights = np.exp(terms + betaln(a, b) - np.logaddexp.reduce(terms + betaln(a, b)))
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
        others = np.ones((len(t), len(rule(prior, degree)[0])))
        for j, other in enumerate(ideas):
            if j != i:
                less, equal = below(other, state[j], prior, degree, s, f)
                others *= less + t[:, None] * equal
        result[i] = dt @ others @ belief_about(*state[i], prior, s, f, degree).weights
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
    policy, ideas, runs, s, f = _checked_policy(name, ideas, runs, pass_given_aligned, pass_given_misaligned)
    repeats = whole("repeats", repeats, 2)
    if policy.choose == "optimal":
        raise ValueError(f"{name} is only known exactly: use policy_outcome")
    random = np.random.default_rng(seed)
    degree, everyone, many = max(runs + 2, 400), np.arange(repeats), len(ideas)
    quantiles = 1024 if policy.choose in ("thompson", "top_two") else 0
    priors = list(dict.fromkeys(ideas))
    prior_of = np.array([priors.index(prior) for prior in ideas])

    theta = np.empty((repeats, many))
    for i, prior in enumerate(ideas):
        values, log_weights = rule(prior, degree)
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
            own = belief_about(key // (runs + 1) % (runs + 1), key % (runs + 1), prior, s, f, degree)
            values = rule(prior, degree)[0]
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
