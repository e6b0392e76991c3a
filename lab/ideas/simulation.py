"""What a policy leads to where there are too many ideas and runs to list all that can happen: simulated campaigns."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lab.ideas.beliefs import Prior, belief_about, rule
from lab.ideas.policies import FINE_DEGREE, Campaign, PolicyOutcome, checked_campaign
from lab.statistics.score import whole

QUANTILES = 1024  # of a posterior, from which Thompson's propensities are drawn
CHALLENGES = 30  # draws in search of a challenger: where the best idea has P = .8 they miss in one of a thousand cases
BREAK_TIES = 1e-9  # added to Thompson's draws at random, far below what two propensities differ by
MEAN, ALIGNED_PASS, ALIGNED_FAIL, FIRST_QUANTILE = range(4)  # columns of `_BeliefTable`

_Campaigns = Int[np.ndarray, " campaign"]  # places of some of the simulated campaigns
_Ideas = Int[np.ndarray, " campaign"]  # an idea per campaign


class Simulated(NamedTuple):
    """Estimate of a `PolicyOutcome`, and the standard error of each of its parts."""

    outcome: PolicyOutcome
    standard_error: PolicyOutcome


def simulate_policy(
    name: str,
    ideas: Sequence[Prior],
    runs: int,
    pass_given_aligned: float,
    pass_given_misaligned: float,
    repeats: int = 10_000,
    seed: int = 0,
) -> Simulated:
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
    campaign = checked_campaign(name, ideas, runs, pass_given_aligned, pass_given_misaligned)
    repeats = whole("repeats", repeats, 2)
    if campaign.policy.choose == "optimal":
        raise ValueError(f"{name} is only known exactly: use policy_outcome")
    random = np.random.default_rng(seed)
    propensities = _Propensities.drawn(campaign, repeats, random)
    records = _Records(campaign, repeats)
    live, best = np.arange(repeats), np.zeros(repeats, int)
    aligned, trained, passed = np.zeros((3, repeats))
    for used in range(campaign.runs):
        if used == campaign.throwaway_runs:
            best = np.argmax(records.believed(MEAN), axis=1)
        idea = _choose(records, live, used, best, random)
        success = random.random(len(live)) < propensities.passing[live, idea]
        records.add(live, idea, success)
        trained[live] += 1
        if campaign.policy.accept == "recall":
            continue
        stop = success & (used >= campaign.throwaway_runs) | (used == campaign.runs - 1)
        done, of_done = live[stop], idea[stop]
        aligned[done] = propensities.aligned(done, of_done, success[stop])
        passed[done] = success[stop]
        live = live[~stop]
    if campaign.policy.accept == "recall":
        idea, passed = records.recalled()
        aligned = propensities.aligned(live, idea, passed)
    parts = [aligned, trained, passed]
    return Simulated(
        PolicyOutcome(*[float(np.mean(part)) for part in parts]),
        PolicyOutcome(*[float(np.std(part, ddof=1) / math.sqrt(repeats)) for part in parts]),
    )


class _Propensities(NamedTuple):
    """What is true in every campaign, and hidden from the policy.

    Attributes:
        passing: probability that a run of each idea passes.
        aligned_pass: probability that one that passed is aligned.
        aligned_fail: probability that one that failed is.
    """

    passing: Float[np.ndarray, "campaign idea"]
    aligned_pass: Float[np.ndarray, "campaign idea"]
    aligned_fail: Float[np.ndarray, "campaign idea"]

    @classmethod
    def drawn(cls, campaign: Campaign, repeats: int, random: np.random.Generator) -> "_Propensities":
        """Draw the propensity of every idea in every campaign."""
        s, f = campaign.s, campaign.f
        theta = np.empty((repeats, len(campaign.ideas)))
        for idea, prior in enumerate(campaign.ideas):
            values, log_weights = rule(prior, _degree(campaign))
            theta[:, idea] = random.choice(values, repeats, p=np.exp(log_weights))
        passing = s * theta + f * (1 - theta)
        return cls(
            passing,
            aligned_pass=s * theta / np.where(passing > 0, passing, 1.0),
            aligned_fail=(1 - s) * theta / np.where(passing < 1, 1 - passing, 1.0),
        )

    def aligned(
        self, campaigns: _Campaigns, ideas: _Ideas, passed: Bool[np.ndarray, " campaign"]
    ) -> Float[np.ndarray, " campaign"]:
        """Return P(A) of a run of an idea in each of some campaigns, given whether it passed."""
        return np.where(passed, self.aligned_pass[campaigns, ideas], self.aligned_fail[campaigns, ideas])


def _degree(campaign: Campaign) -> int:
    return max(campaign.runs + 2, FINE_DEGREE)


class _BeliefTable:
    """What is believed about an idea, by its prior and its runs; every row is worked out when it is first met.

    Attributes:
        rows: expected propensity, P(A | a pass), P(A | a failure), and quantiles of the propensity for a policy that
            draws from them.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self.quantiles = QUANTILES if campaign.policy.choose in ("thompson", "top_two") else 0
        self.priors = list(dict.fromkeys(campaign.ideas))
        self.prior_of = np.array([self.priors.index(prior) for prior in campaign.ideas])
        self.rows = np.empty((256, FIRST_QUANTILE + self.quantiles))  # grows as rows are met
        self._index: dict[int, int] = {}

    def find(self, ideas: _Ideas, passes: _Ideas, failures: _Ideas) -> _Ideas:
        """Return the rows of some ideas with these numbers of passes and failures."""
        base = self.campaign.runs + 1
        keys, inverse = np.unique((self.prior_of[ideas] * base + passes) * base + failures, return_inverse=True)
        for key in keys.tolist():
            if key not in self._index:
                which, passed = divmod(key // base, base)
                self._add(key, which, passed, key % base)
        return np.array([self._index[key] for key in keys.tolist()])[inverse]

    def _add(self, key: int, which: int, passes: int, failures: int) -> None:
        """Work out the row of a prior, by its place, and of a number of passes and failures."""
        if len(self._index) == len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
        campaign, prior = self.campaign, self.priors[which]
        degree = _degree(campaign)
        belief = belief_about(passes, failures, prior, campaign.s, campaign.f, degree)
        values = rule(prior, degree)[0]
        order = np.argsort(values)
        steps = np.cumsum(belief.weights[order])
        at = np.searchsorted(steps, (np.arange(self.quantiles) + 0.5) / QUANTILES * steps[-1])
        summary = [belief.mean, belief.aligned_pass, belief.aligned_fail]
        self.rows[len(self._index)] = np.concatenate([summary, values[order][at]])
        self._index[key] = len(self._index)


class _Records:
    """What the policy has seen in every campaign: passes, failures and the rows of what it believes from them."""

    def __init__(self, campaign: Campaign, repeats: int) -> None:
        many = len(campaign.ideas)
        self.campaign = campaign
        self.table = _BeliefTable(campaign)
        self.passes, self.failures = np.zeros((2, repeats, many), int)
        nothing = np.zeros(many, int)
        self.row = np.tile(self.table.find(np.arange(many), nothing, nothing), (repeats, 1))

    def add(self, campaigns: _Campaigns, ideas: _Ideas, success: Bool[np.ndarray, " campaign"]) -> None:
        """Add one run to each of some campaigns."""
        self.passes[campaigns, ideas] += success
        self.failures[campaigns, ideas] += ~success
        seen = self.passes[campaigns, ideas], self.failures[campaigns, ideas]
        self.row[campaigns, ideas] = self.table.find(ideas, *seen)

    def believed(self, column: int) -> Float[np.ndarray, "campaign idea"]:
        """Return a column of the table for every idea of every campaign."""
        return self.table.rows[self.row, column]

    def recalled(self) -> tuple[_Ideas, Bool[np.ndarray, " campaign"]]:
        """Return the idea whose run is accepted once all are trained, and whether that run passed."""
        passing = np.where(self.passes > 0, self.believed(ALIGNED_PASS), -1.0).argmax(axis=1)
        failing = np.where(self.failures > 0, self.believed(ALIGNED_FAIL), -1.0).argmax(axis=1)
        passed = np.asarray(self.passes.any(axis=1))
        return np.where(passed, passing, failing), passed


def _choose(records: _Records, campaigns: _Campaigns, used: int, best: _Ideas, random: np.random.Generator) -> _Ideas:
    """Return the idea that each of some campaigns trains next.

    Args:
        records: what has been seen.
        campaigns: which of them go on.
        used: number of runs so far.
        best: the idea that looked best after the throwaway runs.
        random: generator.
    """
    choose, many = records.campaign.policy.choose, len(records.campaign.ideas)
    if choose == "random":
        return random.integers(many, size=len(campaigns))
    if choose == "single":
        return np.zeros(len(campaigns), int)
    if choose == "round_robin" or used < records.campaign.throwaway_runs:
        return np.full(len(campaigns), used % many)
    if choose == "explore":
        return best[campaigns]
    ideas = _thompson(records, campaigns, random)
    return _challenged(records, campaigns, ideas, random) if choose == "top_two" and many > 1 else ideas


def _thompson(records: _Records, campaigns: _Campaigns, random: np.random.Generator) -> _Ideas:
    """Draw the idea with the largest propensity; ties between equal draws are broken at random."""
    table = records.table
    u = random.random((len(campaigns), len(records.campaign.ideas))) * table.quantiles
    level = u.astype(int)
    drawn = table.rows[records.row[campaigns], FIRST_QUANTILE + level]
    return np.argmax(drawn + BREAK_TIES * (u - level), axis=1)


def _challenged(records: _Records, campaigns: _Campaigns, first: _Ideas, random: np.random.Generator) -> _Ideas:
    """Replace Thompson's idea in every other campaign by its challenger: by the next idea drawn that is another."""
    chosen = first.copy()
    seeking = np.flatnonzero(random.random(len(campaigns)) < 0.5)
    for _ in range(CHALLENGES):
        drawn = _thompson(records, campaigns[seeking], random)
        differs = drawn != first[seeking]
        chosen[seeking[differs]] = drawn[differs]
        seeking = seeking[~differs]
    return chosen
