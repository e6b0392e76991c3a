"""Simulated campaigns against the exact values of their policies."""

import pytest

from lab.ideas import (
    Beta,
    Discrete,
    policy_outcome,
    simulate_policy,
)
from tests.ideas_examples import STOCHASTIC


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize(
    "ideas", [(Beta(1, 1), Beta(2, 3)), (Discrete((0.1, 0.9), (0.5, 0.5)), Discrete((0, 0.5), (0.2, 0.8)))]
)
def test_simulation_agrees_with_the_exact_value(name, ideas):
    got, want = simulate_policy(name, ideas, 5, 0.9, 0.3, 40_000, seed=1), policy_outcome(name, ideas, 5, 0.9, 0.3)
    # 54 comparisons: 5.7 standard errors have a false alarm of 1e-8 each
    for value, error, truth in zip(got.outcome, got.standard_error, want, strict=True):
        assert abs(value - truth) <= 5.7 * error + 1e-9


def test_simulation_repeats_itself_and_takes_many_ideas():
    ideas = [Beta(1, 3)] * 30
    one, again = (simulate_policy("thompson_with_recall", ideas, 60, 0.9, 0.2, 500, seed=3) for _ in range(2))
    assert one == again
    assert one.outcome.expected_runs == 60
    # 30 fresh ideas are far more than enough to beat a single one
    assert (
        one.outcome.accepted_aligned
        > 0.7
        > simulate_policy("single_idea_with_recall", ideas, 60, 0.9, 0.2, 500).outcome.accepted_aligned
    )


def test_an_optimal_policy_is_not_simulated():
    with pytest.raises(ValueError, match="only known exactly"):
        simulate_policy("optimal_no_recall", [Beta(1, 1)], 2, 1, 0)
