"""Which idea to train next and which model to accept: the policies, and their exact values.

`lab.ideas.simulation` estimates those of campaigns that are too large for it.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import scipy
from jaxtyping import Float

from lab.ideas.beliefs import (
    Belief,
    Beta,
    Discrete,
    Prior,
    belief_about,
    check_priors,
    checked_rates,
    log_aligned,
    rule,
)
from lab.statistics.score import whole

MOST_STATES = 200_000  # of an exact evaluation: ten seconds, or minutes for Thompson's probabilities
TIE = 1e-12  # values closer than this are equal, so that rounding decides nothing
FINE_DEGREE = 400  # of the rule where none is exact: 200 points

Tally = tuple[int, int]  # passes and failures of an idea
State = tuple[Tally, ...]  # of every idea


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


class Policy(NamedTuple):
    """A rule for a campaign.

    Attributes:
        choose: which idea is trained next.
        accept: "first": the first pass; "best": a pass if that is optimal; "recall": one of all runs, at the end.
        words: what a person reads.
    """

    choose: Literal["random", "single", "round_robin", "thompson", "top_two", "explore", "optimal"]
    accept: Literal["first", "best", "recall"]
    words: str


_FIRST = "accept the first pass, or the last run"
_RECALL = "train all runs, then accept the passing run most likely aligned (the failing one if none passed)"
_POLICIES = {
    "rejection_random_idea_each_run": Policy("random", "first", f"an idea at random for each run; {_FIRST}"),
    "rejection_single_idea": Policy("single", "first", f"always the first idea; {_FIRST}"),
    "rejection_round_robin": Policy("round_robin", "first", f"the ideas in turn; {_FIRST}"),
    "thompson_accept_first_pass": Policy("thompson", "first", f"an idea by its P(largest propensity); {_FIRST}"),
    "thompson_with_recall": Policy("thompson", "recall", f"an idea by its P(largest propensity); {_RECALL}"),
    "top_two_thompson_beta_half_with_recall": Policy(
        "top_two", "recall", f"Thompson's idea or, every other time, its challenger; {_RECALL}"
    ),
    "round_robin_with_recall": Policy("round_robin", "recall", f"the ideas in turn; {_RECALL}"),
    "single_idea_with_recall": Policy("single", "recall", f"always the first idea; {_RECALL}"),
    "explore_each_once_then_reject_on_best": Policy(
        "explore", "first", f"one throwaway run per idea, then the idea with the largest mean; {_FIRST}"
    ),
    "optimal_accept_first_pass": Policy("optimal", "first", f"the best idea for each run; {_FIRST}"),
    "optimal_no_recall": Policy(
        "optimal", "best", "the best idea for each run; accept a pass, or the last run, when nothing better is expected"
    ),
    "optimal_with_recall": Policy("optimal", "recall", f"the best idea for each run; {_RECALL}"),
}
POLICIES = {name: policy.words for name, policy in _POLICIES.items()}


@dataclass(frozen=True)
class Campaign:
    """A policy with what it may do and what it knows.

    Attributes:
        name: of the policy.
        policy: its rule.
        ideas: the prior of each.
        runs: most training runs allowed.
        s: P(T|A).
        f: P(T|not A).
    """

    name: str
    policy: Policy
    ideas: tuple[Prior, ...]
    runs: int
    s: float
    f: float

    @property
    def throwaway_runs(self) -> int:
        """Number of runs that the policy trains only to learn from them."""
        return len(self.ideas) if self.policy.choose == "explore" else 0


def checked_campaign(
    name: str, ideas: Sequence[Prior], runs: float, pass_given_aligned: float, pass_given_misaligned: float
) -> Campaign:
    """Return the `Campaign`. Arguments and errors are those of `policy_outcome`."""
    if name not in _POLICIES:
        raise ValueError(f"unknown policy {name!r}; known: {', '.join(POLICIES)}")
    policy = _POLICIES[name]
    ideas, runs = tuple(ideas), whole("runs", runs, 1)
    check_priors("ideas", ideas)
    if policy.choose == "explore" and runs <= len(ideas):
        raise ValueError(f"runs must exceed the number of ideas ({len(ideas)}) for {name}, not be {runs}")
    if policy.choose in ("thompson", "top_two") and len({type(prior) for prior in ideas}) > 1:
        raise ValueError(f"ideas must be all Beta or all Discrete for {name}")
    s, f = checked_rates(pass_given_aligned, pass_given_misaligned)
    return Campaign(name, policy, ideas, runs, s, f)


def policy_outcome(
    name: str, ideas: Sequence[Prior], runs: int, pass_given_aligned: float, pass_given_misaligned: float
) -> PolicyOutcome:
    """Return the exact `PolicyOutcome` of a policy that knows the priors and both rates.

    Without recall, a passing run is accepted at once or lost, and the last run is accepted in any case. With recall,
    all runs are trained first. States are (passes, failures) per idea: those that can be reached are listed forwards,
    then valued backwards; `optimal_*` takes the best decision in each (Bellman). Where decisions tie, the first idea
    is trained and a pass is accepted. With whole-number Beta parameters Thompson's probabilities are exact too;
    for others their error is that of a 200-point Gauss rule: 1e-4 for parameters near 0.2, 2e-6 near 0.5 and rounding
    from 1 upwards.

    Args:
        name: one of `POLICIES`.
        ideas: a prior per idea; ideas are independent.
        runs: most training runs allowed, at least 1.
        pass_given_aligned: P(T|A).
        pass_given_misaligned: P(T|not A).

    Raises:
        ValueError: unknown policy, an argument out of range, `runs` too few to explore every idea once, Beta mixed
            with Discrete ideas under a Thompson policy, or too many states: use `simulate_policy` then.

    Example:
        Two ideas of which nothing is known, five runs, and a test that nine of ten aligned and five of ten misaligned
        models pass:

        >>> ideas = [Beta(1, 1), Beta(1, 1)]
        >>> round(policy_outcome("rejection_random_idea_each_run", ideas, 5, 0.9, 0.5).accepted_aligned, 4)
        0.6188
        >>> optimal = policy_outcome("optimal_no_recall", ideas, 5, 0.9, 0.5).accepted_aligned
        >>> round(optimal, 9) == round(145471 / 225000, 9)
        True
    """
    tree = _tree(checked_campaign(name, ideas, runs, pass_given_aligned, pass_given_misaligned))
    levels = _levels(tree)
    values = {state: _recalled(tree, state) for state in levels[-1]}
    for used in reversed(range(tree.campaign.runs)):
        values = {state: _value(tree, state, used, values) for state in levels[used]}
    (outcome,) = values.values()
    return PolicyOutcome(*outcome.tolist())


def policy_value(
    name: str, ideas: Sequence[Prior], runs: int, pass_given_aligned: float, pass_given_misaligned: float
) -> float:
    """Return the probability that the model a policy accepts is aligned; exact. Raises as `policy_outcome`.

    Args:
        name: of the policy, one of `POLICIES`.
        ideas: the prior of each idea.
        runs: training runs that it may use.
        pass_given_aligned: P(T|A), in [0, 1].
        pass_given_misaligned: P(T|not A), in [0, 1].
    """
    return policy_outcome(name, ideas, runs, pass_given_aligned, pass_given_misaligned).accepted_aligned


# --- the tree of all that can happen ------------------------------------------------------------------------------


class _Result(NamedTuple):
    """A possible result of one more run of an idea.

    Attributes:
        chance: its probability.
        tally: of the idea after it.
        passed: whether the run passed.
        aligned: probability that the run is aligned, if this is its result.
    """

    chance: float
    tally: Tally
    passed: bool
    aligned: float


class _Tree(NamedTuple):
    """A campaign, with what is worked out in more than one of its states and remembered.

    Attributes:
        campaign: whose states these are.
        belief: about an idea, by its place and its tally.
        results: of one more run of an idea, by its place and its tally.
        below: `_below`.
    """

    campaign: Campaign
    belief: Callable[[int, Tally], Belief]
    results: Callable[[int, Tally], list[_Result]]
    below: "Callable[..., _Below]"


# a `PolicyOutcome` as an array, so that it can be weighed
_Outcome = Float[np.ndarray, "3"]
ONE_RUN = np.array([0.0, 1.0, 0.0])  # what going on costs


def _tree(campaign: Campaign) -> _Tree:
    first_equal = [campaign.ideas.index(prior) for prior in campaign.ideas]  # equal ideas are worked out once

    @functools.cache
    def belief_of_first(idea: int, tally: Tally) -> Belief:
        return belief_about(*tally, campaign.ideas[idea], campaign.s, campaign.f, campaign.runs + 2)

    def belief(idea: int, tally: Tally) -> Belief:
        return belief_of_first(first_equal[idea], tally)

    @functools.cache
    def results(idea: int, tally: Tally) -> list[_Result]:
        (passes, failures), chance = tally, belief(idea, tally).next_pass
        passing, failing = belief(idea, (passes + 1, failures)), belief(idea, (passes, failures + 1))
        both = (
            (_Result(chance, (passes + 1, failures), True, passing.aligned_pass), passing),
            (_Result(1 - chance, (passes, failures + 1), False, failing.aligned_fail), failing),
        )
        # rounding may leave 1e-16 of what is impossible
        return [result for result, after in both if result.chance > 0 and after.log_evidence > -math.inf]

    return _Tree(campaign, belief, results, functools.cache(_below))


def _beliefs(tree: _Tree, state: State) -> list[Belief]:
    return [tree.belief(idea, tally) for idea, tally in enumerate(state)]


def _candidates(tree: _Tree, state: State, used: int) -> Sequence[int]:
    """Return the ideas that may be trained next."""
    campaign = tree.campaign
    if campaign.policy.choose == "single":
        return [0]
    if campaign.policy.choose == "round_robin" or used < campaign.throwaway_runs:
        return [used % len(campaign.ideas)]
    if campaign.policy.choose == "explore":
        settled = [idea for idea, tally in enumerate(state) if sum(tally) > 1]
        return settled or [_first_best([belief.mean for belief in _beliefs(tree, state)])]
    return range(len(campaign.ideas))


def _chances(tree: _Tree, state: State, candidates: Sequence[int]) -> Float[np.ndarray, " candidate"]:
    """Return the probability with which each candidate is trained."""
    if tree.campaign.policy.choose == "thompson":
        return _largest(tree, state)
    if tree.campaign.policy.choose == "top_two":
        return _top_two(_largest(tree, state))
    return np.array([1 / len(candidates)] * len(candidates))


def _after(state: State, idea: int, result: _Result) -> State:
    return (*state[:idea], result.tally, *state[idea + 1 :])


def _must_accept(campaign: Campaign, passed: bool, used: int) -> bool:
    """Return whether the rule itself ends the search with a run, by its result and the number of runs before it."""
    if campaign.policy.accept == "recall":
        return False
    if used == campaign.runs - 1:
        return True
    return campaign.policy.accept == "first" and passed and used >= campaign.throwaway_runs


def _levels(tree: _Tree) -> list[set[State]]:
    """Return for every number of runs the states in which the search can still be going on."""
    campaign = tree.campaign
    start: State = ((0, 0),) * len(campaign.ideas)
    levels, total = [{start}], 1
    for used in range(campaign.runs):
        reached = set()
        for state in levels[used]:
            reached |= _next_states(tree, state, used)
            if total + len(reached) > MOST_STATES:
                raise ValueError(f"{campaign.name} has more than {MOST_STATES} states here; use simulate_policy")
        levels.append(reached)
        total += len(reached)
    return levels


def _next_states(tree: _Tree, state: State, used: int) -> set[State]:
    return {
        _after(state, idea, result)
        for idea in _candidates(tree, state, used)
        for result in tree.results(idea, state[idea])
        if not _must_accept(tree.campaign, result.passed, used)
    }


def _recalled(tree: _Tree, state: State) -> _Outcome:
    """Return the outcome of choosing among all runs."""
    passed = any(passes for passes, _ in state)
    beliefs = _beliefs(tree, state)
    aligned = [belief.aligned_pass if passed else belief.aligned_fail for belief in beliefs]
    return np.array([np.nanmax(aligned), 0, passed])


def _value(tree: _Tree, state: State, used: int, later: dict[State, _Outcome]) -> _Outcome:
    """Return the outcome from a state on.

    Args:
        tree: of the campaign.
        state: in which a run is to be trained.
        used: number of runs before it.
        later: outcomes from the states after that run on.
    """
    candidates = _candidates(tree, state, used)
    outcomes = np.zeros((len(candidates), 3))
    for row, idea in enumerate(candidates):
        for result in tree.results(idea, state[idea]):
            outcome = np.array([result.aligned, 1, result.passed])
            if not _must_accept(tree.campaign, result.passed, used):
                outcome = _accept_or_go_on(tree.campaign, outcome, ONE_RUN + later[_after(state, idea, result)])
            outcomes[row] += result.chance * outcome
    if tree.campaign.policy.choose == "optimal":
        return outcomes[_first_best(outcomes[:, 0].tolist())]
    return _chances(tree, state, candidates) @ outcomes


def _accept_or_go_on(campaign: Campaign, accepted: _Outcome, go_on: _Outcome) -> _Outcome:
    """Return the outcome of a run that need not be accepted: of accepting it, or of going on."""
    passed = accepted[2]
    if campaign.policy.accept == "best" and passed and accepted[0] >= go_on[0] - TIE:
        return accepted
    return go_on


def _first_best(values: Sequence[float]) -> int:
    best = max(values)
    return next(i for i, value in enumerate(values) if value >= best - TIE)


# --- Thompson's probabilities -------------------------------------------------------------------------------------


class _Below(NamedTuple):
    """P(theta < x) and P(theta = x) of an idea at every x of a rule."""

    less: Float[np.ndarray, " value"]
    equal: Float[np.ndarray, " value"]


def _below(prior: Prior, tally: Tally, other: Prior, degree: int, s: float, f: float) -> _Below:
    """Return how an idea's propensity lies to the values of the rule of another one's prior.

    Args:
        prior: of the idea.
        tally: of the idea.
        other: the prior whose rule it is.
        degree: of that rule.
        s: P(T|A).
        f: P(T|not A).
    """
    x = rule(other, degree)[0]
    if isinstance(prior, Discrete):
        weights = belief_about(*tally, prior, s, f, degree).weights
        values = np.array(prior.values)[:, None]
        return _Below(weights @ (values < x), weights @ (values == x))
    terms = log_aligned(*tally, s, f)
    aligned = np.arange(len(terms))
    a, b = prior.a + aligned, prior.b + aligned[::-1]
    weights = np.exp(terms + scipy.special.betaln(a, b) - np.logaddexp.reduce(terms + scipy.special.betaln(a, b)))
    return _Below(weights @ scipy.special.betainc(a[:, None], b[:, None], x), np.zeros_like(x))


def _exact_degree(campaign: Campaign) -> int:
    """Return the degree of a rule for products of all ideas' distributions; for whole-number parameters it is exact."""
    degree = campaign.runs * len(campaign.ideas)
    parameters = [value for prior in campaign.ideas if isinstance(prior, Beta) for value in (prior.a, prior.b)]
    if not parameters:
        return degree
    degree += math.ceil(sum(parameters))
    whole_numbers = all(value == int(value) for value in parameters)
    return degree if whole_numbers else max(degree, FINE_DEGREE)


def _largest(tree: _Tree, state: State) -> Float[np.ndarray, " idea"]:
    """Return for every idea the probability that its propensity is the largest; ties are split evenly.

    P(i is largest) = E_i[prod_{j != i} P(theta_j < theta_i)]. For whole-number Beta parameters that is the mean of
    a polynomial and the rule is exact. A tie of m is split by the integral of t^(m-1) over (0, 1).
    """
    campaign = tree.campaign
    ideas, rates = campaign.ideas, (campaign.s, campaign.f)
    degree = _exact_degree(campaign)
    t, dt = np.polynomial.legendre.leggauss(len(ideas) // 2 + 1)
    t, dt = (t + 1) / 2, dt / 2
    largest = np.empty(len(ideas))
    for i, prior in enumerate(ideas):
        others = np.ones((len(t), len(rule(prior, degree)[0])))
        for j, other in enumerate(ideas):
            if j != i:
                below = tree.below(other, state[j], prior, degree, *rates)
                others *= below.less + t[:, None] * below.equal
        largest[i] = dt @ others @ belief_about(*state[i], prior, *rates, degree).weights
    return largest / largest.sum()


def _top_two(largest: Float[np.ndarray, " idea"]) -> Float[np.ndarray, " idea"]:
    """Return the top-two probabilities for beta = 1/2 (Russo, COLT 2016): half Thompson's idea, half its challenger."""
    if len(largest) == 1 or largest.max() > 1 - TIE:
        return largest
    odds = largest / (1 - largest)
    return largest * (1 + odds.sum() - odds) / 2
