"""Exact fractions of reference/ideas_examples.json, brute force over all policies, and published posteriors."""

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import simpson

from lab.ideas import (
    POLICIES,
    Beta,
    Discrete,
    aligned_given_run,
    evidence,
    field_posterior,
    fit_field,
    next_pass,
    policy_outcome,
    policy_value,
    posterior_mean,
    simulate_policy,
)

FOLDER = Path(__file__).parent / "reference"
REFERENCE = json.loads((FOLDER / "ideas_examples.json").read_text())
SHARED = json.loads((FOLDER / "budget_examples.json").read_text())["shared_latent"]
ROWS = REFERENCE["decision"]["rows"]
PRIORS = {
    "two ideas Beta(1,1)": [Beta(1, 1)] * 2,
    "two ideas Beta(1,3)": [Beta(1, 3)] * 2,
    "three ideas Beta(1,1)": [Beta(1, 1)] * 3,
    "two all-or-nothing ideas pi=3/10": [Discrete((0, 1), (0.7, 0.3))] * 2,
    "two ideas theta in {1/10,9/10}": [Discrete((0.1, 0.9), (0.5, 0.5))] * 2,
}
STOCHASTIC = [name for name in POLICIES if not name.startswith("optimal")]
EXAMPLES = settings(deadline=None, max_examples=40, derandomize=True)


def exact(text):
    return float(Fraction(text["exact"] if isinstance(text, dict) else text))


def near(text):
    return pytest.approx(exact(text), rel=1e-12, abs=1e-15)


def prior_of(text):
    if "beta" in text:
        return Beta(*map(exact, text["beta"]))
    return Discrete(*zip(*([exact(value), exact(weight)] for value, weight in text["discrete"]), strict=True))


def rates(row):
    return exact(row["s"]), exact(row["f"])


# --- one idea -----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("row", SHARED)
def test_rejection_sampling_on_one_idea_is_the_shared_latent_budget(row):
    got = policy_outcome("rejection_single_idea", [Beta(*row["prior"])], row["n"], *rates(row))
    assert got.accepted_aligned == near(row["P_accepted_aligned"])
    assert got.expected_runs == near(row["expected_runs"])
    assert 1 - got.accepted_passed == pytest.approx(exact(row["P_forced_fail"]), rel=1e-9)


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


# --- a field ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", REFERENCE["population_update"])
def test_failures_of_one_idea_or_of_several(row):
    types = [prior_of(own["prior"]) for own in row["types"]]
    weights = [exact(own["weight"]) for own in row["types"]]
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


# --- policies -----------------------------------------------------------------------------------------------------

CELLS = [(row, name) for row in ROWS for name in row["policies"]]


@pytest.mark.parametrize(
    ("row", "name"), CELLS, ids=[f"{name}-{row['case']}-{row['f']}-{row['n']}" for row, name in CELLS]
)
def test_policies_are_exact(row, name):
    got, want = policy_outcome(name, PRIORS[row["case"]], row["n"], *rates(row)), row["policies"][name]
    assert got.accepted_aligned == near(want["p_accepted_aligned"])
    for own in ("expected_runs", "accepted_passed"):
        if (stored := {"accepted_passed": "p_accepted_passed"}.get(own, own)) in want:
            assert getattr(got, own) == near(want[stored])
    if name.endswith("with_recall"):
        assert got.expected_runs == pytest.approx(row["n"])


def test_every_policy_is_in_the_reference():
    assert set(POLICIES) == {name for _, name in CELLS}


def test_naive_exploration_often_loses_to_rejection_sampling():
    """The essay: exploring on throwaway runs dominates rejection sampling. It does so only if done optimally."""
    names = ("explore_each_once_then_reject_on_best", "rejection_random_idea_each_run", "optimal_no_recall")
    rows = [row for row in ROWS if names[0] in row["policies"]]
    assert len(rows) == 18  # it needs more runs than ideas, which 11 of the 29 rows do not have
    losses = 0
    for row in rows:
        explore, reject, optimal = (policy_value(name, PRIORS[row["case"]], row["n"], *rates(row)) for name in names)
        stored = [Fraction(row["policies"][name]["p_accepted_aligned"]["exact"]) for name in names]
        assert (explore < reject) == (stored[0] < stored[1])
        assert optimal >= max(explore, reject) - 1e-12
        losses += explore < reject
    assert losses == 12  # as the fractions of the file say


def trees(left, recall):
    """Every deterministic policy: (idea, after a pass, after a failure), or None to stop there."""
    later = list(trees(left - 1, recall)) if left > 1 else [None]
    after_pass = later if recall or left == 1 else [None, *later]
    return itertools.product((0, 1), after_pass, later)


def histories(tree, theta, s, f):
    """Every (ideas and outcomes, alignment of each run) that a policy can meet, with its probability."""
    idea, *after = tree
    for aligned, passed in itertools.product((1, 0), (1, 0)):
        test = s if aligned else f
        chance = (theta[idea] if aligned else 1 - theta[idea]) * (test if passed else 1 - test)
        following = after[0] if passed else after[1]
        ends = histories(following, theta, s, f) if following else [((), (), Fraction(1))]
        for seen, truth, rest in ends:
            yield ((idea, passed), *seen), (aligned, *truth), chance * rest


def value_of(tree, prior, s, f, recall):
    """P(accepted is aligned), by enumerating latents, alignment and outcomes of every run."""
    joint = {}  # what was seen -> P(seen and run t aligned) for every run t
    for (one, p), (other, q) in itertools.product(*prior):
        for seen, truth, chance in histories(tree, (one, other), s, f):
            sums = joint.setdefault(seen, [Fraction(0)] * len(truth))
            joint[seen] = [total + p * q * chance * aligned for total, aligned in zip(sums, truth, strict=True)]
    if not recall:
        return sum(sums[-1] for sums in joint.values())
    best = Fraction(0)
    for seen, sums in joint.items():
        outcome = max(passed for _, passed in seen)
        best += max(own for own, (_, passed) in zip(sums, seen, strict=True) if passed == outcome)
    return best


HALF, TENTH = Fraction(1, 2), Fraction(1, 10)
PAIRS = [
    ([[(0, 1 - 3 * TENTH), (1, 3 * TENTH)], [(TENTH, HALF), (6 * TENTH, HALF)]], 9 * TENTH, HALF),
    ([[(2 * TENTH, HALF), (9 * TENTH, HALF)], [(HALF, Fraction(1))]], 8 * TENTH, 2 * TENTH),
]


@pytest.mark.parametrize("recall", [False, True])
@pytest.mark.parametrize("runs", [1, 2, 3])
@pytest.mark.parametrize(("prior", "s", "f"), PAIRS, ids=["noisy", "sharp"])
def test_the_optimum_is_the_best_of_all_policies(prior, s, f, runs, recall):
    every = [value_of(tree, prior, s, f, recall) for tree in trees(runs, recall)]
    assert len(every) == ({1: 2, 2: 8, 3: 128} if recall else {1: 2, 2: 12, 3: 312})[runs]
    ideas = [Discrete(*zip(*own, strict=True)) for own in prior]
    name = "optimal_with_recall" if recall else "optimal_no_recall"
    assert policy_value(name, ideas, runs, float(s), float(f)) == pytest.approx(float(max(every)), rel=1e-12)


def test_no_policy_beats_the_optimum_of_its_class():
    random = np.random.default_rng(20261123)
    for _ in range(12):
        if random.random() < 0.5:
            ideas = [Beta(*random.integers(1, 6, 2)) for _ in range(2)]
        else:
            ideas = [Discrete(random.random(3), random.dirichlet([1, 1, 1])) for _ in range(2)]
        s, f = random.random(2)
        value = {name: policy_value(name, ideas, 4, s, f) for name in POLICIES}
        for name in STOCHASTIC:
            if name.endswith("with_recall"):
                assert value[name] <= value["optimal_with_recall"] + 1e-12
            else:
                assert value[name] <= value["optimal_no_recall"] + 1e-12
                if not name.startswith("explore"):
                    assert value[name] <= value["optimal_accept_first_pass"] + 1e-12
        assert value["optimal_accept_first_pass"] <= value["optimal_no_recall"] + 1e-12


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
        (lambda: policy_value("best", [Beta(1, 1)], 1, 1, 0), "known: rejection_random"),
        (lambda: policy_value("optimal_no_recall", [], 1, 1, 0), "ideas must"),
        (lambda: policy_value("optimal_no_recall", [Beta(1, 1)], 0, 1, 0), "runs must"),
        (lambda: policy_value("explore_each_once_then_reject_on_best", [Beta(1, 1)] * 2, 2, 1, 0), "runs must exceed"),
        (lambda: policy_value("thompson_with_recall", [Beta(1, 1), Discrete((1,), (1,))], 2, 1, 0), "all Beta"),
        (lambda: policy_value("thompson_with_recall", [Beta(1, 1)] * 9, 30, 0.9, 0.2), "simulate_policy"),
        (lambda: simulate_policy("optimal_no_recall", [Beta(1, 1)], 2, 1, 0), "only known exactly"),
        (lambda: fit_field([(3, 0), (0, 2)]), "both aligned and misaligned"),
        (lambda: fit_field([]), "at least one idea"),
        (lambda: fit_field([(1, 1)], 0.9, 0.2), "least_concentration must be positive"),
        (lambda: fit_field([(1, 1)], 1, 1), "impossible"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- a field whose priors are not known ---------------------------------------------------------------------------

# Tarone (Biometrics 38:215, 1982), table 5.1 of Gelman et al., Bayesian Data Analysis, 3rd ed.: rats with tumours, rats
TUMOURS = (
    "0/20 0/20 0/20 0/20 0/20 0/20 0/20 0/19 0/19 0/19 0/19 0/18 0/18 0/17 1/20 1/20 1/20 1/20 1/19 1/19 1/18 1/18 "
    "2/25 2/24 2/23 2/20 2/20 2/20 2/20 2/20 2/20 1/10 5/49 2/19 5/46 3/27 2/17 7/49 7/47 3/20 3/20 2/13 9/48 10/50 "
    "4/20 4/20 4/20 4/20 4/20 4/20 4/20 10/48 4/19 4/19 4/19 5/22 11/46 12/49 5/20 5/20 6/23 5/19 6/22 6/20 6/20 "
    "6/20 16/52 15/46 15/47 9/24 4/14"
)


def test_rat_tumours_of_bayesian_data_analysis():
    trials = [tuple(map(int, own.split("/"))) for own in TUMOURS.split()]
    assert len(trials) == 71
    fit = fit_field([(y, n - y) for y, n in trials])
    # E(a) = 2.4 and E(b) = 14.3 (section 5.3) are sums over log(a/b) in -2.3..-1.3 and log(a+b) in 1..5
    inside = (abs(fit.log_odds + 1.8) < 0.5) * (abs(fit.log_concentration - 3) < 2) * fit.weights
    total = np.exp(fit.log_concentration)
    a = total / (1 + np.exp(-fit.log_odds))
    assert (inside * a).sum() / inside.sum() == pytest.approx(2.4, abs=0.05)
    assert (inside * (total - a)).sum() / inside.sum() == pytest.approx(14.3, abs=0.05)
    # the untried rate lies between the raw rates, and the current experiment, 4/14, is shrunk towards it
    assert fit.propensity.mean < fit.idea_means[-1] < 4 / 14


def direct(log_density, mean_of, u, v):
    """Evidence and posterior mean on a plain grid, by Simpson's rule, of a density given as a function of a and b."""
    total = np.exp(v)
    a, b = total / (1 + np.exp(-u))[:, None], total / (1 + np.exp(u))[:, None]
    weight = np.exp(np.log(a * b) - 2.5 * np.log(total) + log_density(a, b))
    norm = simpson(simpson(weight, x=v), x=u)
    return norm, [simpson(simpson(weight * own(a, b), x=v), x=u) / norm for own in mean_of]


def test_a_small_field_against_plain_integration():
    # E[theta^2 (1-theta)], E[(1-theta)^2] and E[theta (1-theta)] in closed form
    def likelihood(a, b):
        t = a + b
        return (
            np.log(a * (a + 1) * b / (t * (t + 1) * (t + 2)))
            + np.log(b * (b + 1) / (t * (t + 1)))
            + np.log(a * b / (t * (t + 1)))
        )

    fit = fit_field([(2, 1), (0, 2), (1, 1)])
    norm, means = direct(
        likelihood,
        [
            lambda a, b: a / (a + b),
            lambda a, b: 1 / (a + b + 1),
            lambda a, b: (a + 2) / (a + b + 3),
            lambda a, b: a / (a + b + 2),
            lambda a, b: (a + 1) / (a + b + 2),
            lambda a, b: a / (a + b) < fit.propensity.low,
            lambda a, b: 1 / (a + b + 1) > fit.correlation.high,
        ],
        np.linspace(-15, 15, 601),
        np.linspace(-20, 50, 1401),
    )
    got = [fit.propensity.mean, fit.correlation.mean, *fit.idea_means]
    assert fit.log_evidence == pytest.approx(math.log(norm), abs=2e-6)
    assert got == pytest.approx(means[:5], abs=1e-6)
    assert means[5:] == pytest.approx([0.025, 0.025], abs=1e-3)  # a step on a plain grid is only that exact


def test_a_noisy_field_against_plain_integration():
    s, f, least = 0.9, 0.2, 0.5

    def moments(a, b):  # of g = f + (s - f) theta
        t = a + b
        first, second = a / t, a * (a + 1) / (t * (t + 1))
        return first, second, f + (s - f) * first, f**2 + 2 * f * (s - f) * first + (s - f) ** 2 * second

    def likelihood(a, b):
        *_, g, g2 = moments(a, b)
        return np.log(g - g2) + np.log(1 - g)

    def mean_of_failed(a, b):
        first, second, g, _ = moments(a, b)
        return ((1 - f) * first - (s - f) * second) / (1 - g)

    fit = fit_field([(1, 1), (0, 1)], s, f, least_concentration=least)
    norm, means = direct(
        likelihood,
        [lambda a, b: a / (a + b), lambda a, b: 1 / (a + b + 1), mean_of_failed],
        np.linspace(-25, 25, 801),
        np.linspace(math.log(least), 50, 2001),
    )
    assert fit.log_evidence == pytest.approx(math.log(norm), abs=2e-6)
    assert [fit.propensity.mean, fit.correlation.mean, fit.idea_means[1]] == pytest.approx(means, abs=1e-6)


def test_one_idea_seen_both_ways_is_symmetric():
    fit = fit_field([(4, 4)])
    assert [fit.propensity.mean, *fit.idea_means] == pytest.approx([0.5, 0.5])
    assert fit.propensity.low + fit.propensity.high == pytest.approx(1)
    # two alike ideas with many runs: a posterior a hundred times narrower at one end than at the other
    funnel = fit_field([(50_000, 50_000)] * 2)
    assert [funnel.propensity.mean, *funnel.idea_means] == pytest.approx([0.5] * 3)
    assert funnel.propensity.low + funnel.propensity.high == pytest.approx(1)


def test_thousands_of_runs_per_idea_reveal_the_field():
    # 200 ideas at the exact quantiles of a uniform field, 4,000 runs each: their sample moments are those of Beta(1, 1)
    aligned = [round(4000 * (i + 0.5) / 200) for i in range(200)]
    fit = fit_field([(k, 4000 - k) for k in aligned])
    assert fit.propensity.low < 0.5 < fit.propensity.high
    assert fit.correlation.low < 1 / 3 < fit.correlation.high
    assert fit.idea_means == pytest.approx([k / 4000 for k in aligned], abs=1e-3)


def test_trials_of_equal_rate_show_no_correlation():
    fit = fit_field([(30, 70)] * 50)
    assert fit.correlation.high < 0.01
    assert fit.idea_means == pytest.approx([0.3] * 50, abs=2e-3)
