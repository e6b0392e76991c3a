"""Fitted fields against published posteriors and plain integration."""

import math

import numpy as np
import pytest
from scipy.integrate import simpson

from lab.ideas import (
    fit_field,
)

# Tarone (Biometrics 38:215, 1982), table 5.1 of Gelman et al., Bayesian Data Analysis, 3rd ed.: rats with tumours, rats
TUMOURS = (
    "0/20 0/20 0/20 0/20 0/20 0/20 0/20 0/19 0/19 0/19 0/19 0/18 0/18 0/17 1/20 1/20 1/20 1/20 1/19 1/19 1/18 1/18 "
    "2/25 2/24 2/23 2/20 2/20 2/20 2/20 2/20 2/20 1/10 5/49 2/19 5/46 3/27 2/17 7/49 7/47 3/20 3/20 2/13 9/48 10/50 "
    "4/20 4/20 4/20 4/20 4/20 4/20 4/20 10/48 4/19 4/19 4/19 5/22 11/46 12/49 5/20 5/20 6/23 5/19 6/22 6/20 6/20 "
    "6/20 16/52 15/46 15/47 9/24 4/14"
)


def test_rat_tumours_of_bayesian_data_analysis():
    trials = [tuple(map(int, rats.split("/"))) for rats in TUMOURS.split()]
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
    return norm, [simpson(simpson(weight * mean(a, b), x=v), x=u) / norm for mean in mean_of]


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


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fit_field([(3, 0), (0, 2)]), "both aligned and misaligned"),
        (lambda: fit_field([]), "at least one idea"),
        (lambda: fit_field([(1, 1)], 0.9, 0.2), "least_concentration must be positive"),
        (lambda: fit_field([(1, 1)], 1, 1), "impossible"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
