"""Beliefs about ideas by exact fractions, by hand and as properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.ideas import (
    Beta,
    Discrete,
    aligned_given_run,
    evidence,
    field_posterior,
    next_pass,
    posterior_mean,
)
from tests.ideas_examples import EXAMPLES, REFERENCE, exact, near, prior_of, rates


@pytest.mark.parametrize("row", REFERENCE["single_idea"])
def test_one_idea(row):
    runs = (row["k"], row["m"], prior_of(row["prior"]), *rates(row))
    assert evidence(*runs) == near(row["evidence_of_ordered_sequence"])
    assert posterior_mean(*runs) == near(row["mean_theta"])
    assert next_pass(*runs) == near(row["p_next_pass"])
    for name, passed in (("p_aligned_given_a_passing_run", True), ("p_aligned_given_a_failing_run", False)):
        if name in row:
            assert aligned_given_run(*runs, passed=passed) == near(row[name])


@pytest.mark.parametrize("row", REFERENCE["all_or_nothing_ideas"]["rows"])
def test_repeats_of_an_all_or_nothing_idea_multiply_its_odds(row):
    pi = exact(row["pi"])
    got = posterior_mean(row["k"], row["m"], Discrete((0, 1), (1 - pi, pi)), *rates(row))
    assert got == near(row["posterior"])
    assert got / (1 - got) == near(row["posterior_odds"])


@pytest.mark.parametrize("row", REFERENCE["one_failure_random_idea_out_of_K_iid"]["rows"])
def test_a_failed_idea_drawn_again_unknowingly(row):
    prior = Beta(row["a"], row["b"])
    same = 1 / row["K"] if row["K"] else 0.0
    after = posterior_mean(0, 1, prior, *rates(row))
    assert after == near(row["P_A_if_known_same_idea"])
    assert prior.mean == near(row["P_A_if_known_other_idea"])
    assert same * after + (1 - same) * prior.mean == near(row["P_A_next_after_one_fail_unknown_idea"])


@pytest.mark.parametrize(("a", "b"), [(2.5, 1.5), (0.5, 0.5), (1, 1), (40, 3)])
def test_a_gauss_rule_has_the_moments_of_its_beta(a, b):
    values, weights = Beta(a, b).atoms(9)
    assert len(values) == 5
    moment = 1.0
    for power in range(10):
        assert weights @ values**power == pytest.approx(moment, rel=1e-12)
        moment *= (a + power) / (a + b + power)


def test_data_far_from_the_prior_and_many_runs():
    # with a perfect test the posterior is Beta(a + passes, b + failures)
    assert next_pass(1000, 0, Beta(1, 1000), 1, 0) == pytest.approx(1001 / 2001, rel=1e-10)
    assert posterior_mean(300, 1700, Beta(1000, 3), 1, 0) == pytest.approx(1300 / 3003, rel=1e-10)
    assert evidence(2000, 0, Beta(1, 1), 1, 0) == pytest.approx(1 / 2001, rel=1e-10)


def test_impossible_runs_have_no_posterior():
    never = Discrete((0.0,), (1.0,))
    assert evidence(1, 0, never, 0.9, 0) == 0
    assert math.isnan(posterior_mean(1, 0, never, 0.9, 0))
    assert math.isnan(next_pass(1, 0, never, 0.9, 0))
    assert math.isnan(aligned_given_run(1, 0, never, 0.9, 0))
    assert field_posterior([(1, 0)], [never], [1], 0.9, 0).evidence == 0


parameters = st.floats(0.2, 20)
probabilities = st.floats(0.01, 0.99)
priors = st.one_of(
    st.builds(Beta, parameters, parameters),
    st.builds(lambda x, y, p: Discrete((x, y), (p, 1 - p)), probabilities, probabilities, probabilities),
)


@EXAMPLES
@given(priors, probabilities, probabilities, st.integers(0, 12))
def test_all_sequences_of_a_length_have_probability_one(prior, s, f, n):
    total = math.fsum(math.comb(n, k) * evidence(k, n - k, prior, s, f) for k in range(n + 1))
    assert total == pytest.approx(1, rel=1e-12)


@EXAMPLES
@given(priors, probabilities, probabilities, st.integers(0, 8), st.integers(0, 8))
def test_predictions_are_ratios_of_evidence(prior, s, f, k, m):
    runs = (prior, s, f)
    p = next_pass(k, m, *runs)
    assert p == pytest.approx(evidence(k + 1, m, *runs) / evidence(k, m, *runs), rel=1e-10)
    # beliefs are a martingale, and the next run is aligned with the idea's mean propensity
    mean = posterior_mean(k, m, *runs)
    assert p * posterior_mean(k + 1, m, *runs) + (1 - p) * posterior_mean(k, m + 1, *runs) == pytest.approx(mean)
    of_pass, of_failure = aligned_given_run(k + 1, m, *runs), aligned_given_run(k, m + 1, *runs, passed=False)
    assert p * of_pass == pytest.approx(s * mean)
    assert (1 - p) * of_failure == pytest.approx((1 - s) * mean)


@pytest.mark.parametrize("row", REFERENCE["population_update"])
def test_failures_of_one_idea_or_of_several(row):
    types = [prior_of(field["prior"]) for field in row["types"]]
    weights = [exact(field["weight"]) for field in row["types"]]
    k, m = row["passes"], row["failures"]
    shapes = {"concentrated_one_idea": [(k, m)], "spread_over_distinct_ideas": [(0, 1)] * m}
    assert k == 0
    for shape, trials in shapes.items():
        got, want = field_posterior(trials, types, weights, *rates(row)), row[shape]
        assert got.evidence == near(want["evidence"])
        assert got.types[0] == near(want["posterior_first_type"])
        assert got.fresh_mean == near(want["base_rate_fresh_idea"])
        if "base_rate_same_idea" in want:
            assert got.idea_means[0] == near(want["base_rate_same_idea"])


@EXAMPLES
@given(st.floats(0.5, 10), probabilities, probabilities, st.integers(1, 8))
def test_with_equal_concentration_spread_failures_tell_at_least_as_much(total, one, other, failures):
    high, low = max(one, other), min(one, other)
    types = [Beta(total * mean, total * (1 - mean)) for mean in (high, low)]
    concentrated = field_posterior([(0, failures)], types, [0.5, 0.5], 1, 0)
    spread = field_posterior([(0, 1)] * failures, types, [0.5, 0.5], 1, 0)
    assert spread.types[0] <= concentrated.types[0] + 1e-12
    assert concentrated.types[0] <= 0.5 + 1e-12


def test_without_equal_concentration_failures_can_speak_for_the_better_field():
    # E[1 - theta^3] by hand: high half of 0 and 1: 1/2; low 1/4: (3/4)^3 = 27/64; spread (1/2)^3 against 27/64
    types = [Discrete((0, 1), (0.5, 0.5)), Discrete((0.25,), (1,))]
    assert field_posterior([(0, 3)], types, [0.5, 0.5], 1, 0).types[0] == pytest.approx(32 / 59)
    assert field_posterior([(0, 1)] * 3, types, [0.5, 0.5], 1, 0).types[0] == pytest.approx(8 / 35)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Beta(0, 1), "a must be"),
        (lambda: Discrete((0, 2), (0.5, 0.5)), "values must be"),
        (lambda: Discrete((0, 1), (0.5, 0.6)), "weights must be"),
        (lambda: Discrete((0, 1), (1,)), "weights must be"),
        (lambda: evidence(-1, 0, Beta(1, 1), 1, 0), "passes must"),
        (lambda: evidence(0, 0.5, Beta(1, 1), 1, 0), "failures must"),
        (lambda: evidence(0, 0, 0.5, 1, 0), "prior must"),
        (lambda: next_pass(0, 0, Beta(1, 1), 1.1, 0), "pass_given_aligned must"),
        (lambda: aligned_given_run(0, 1, Beta(1, 1), 1, 0), "passes must"),
        (lambda: field_posterior([], [Beta(1, 1)], [0.5, 0.5], 1, 0), "weights must"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
