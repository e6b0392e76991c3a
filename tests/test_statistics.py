"""Published and exact values live in tests/reference; each names its source."""

import csv
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from lab.statistics import QUANTITIES, Counts, compare, interval, worlds

REFERENCE = Path(__file__).parent / "reference"
LR = json.loads((REFERENCE / "lr_examples.json").read_text())
DECOMPOSITION = json.loads((REFERENCE / "decomposition_examples.json").read_text())["rows"]
SMALL = st.integers(0, 25)


def counts_of(table):
    return Counts(table["TP"], table["FN"], table["FP"], table["TN"])


def table(x1, n1, x2, n2):
    return Counts(x1, n1 - x1, x2, n2 - x2)


def test_point_estimates_by_hand():
    counts = Counts(aligned_pass=670, aligned_fail=74, misaligned_pass=202, misaligned_fail=640)
    assert counts.base_rate == 744 / 1586
    assert counts.prior_odds == 744 / 842
    assert counts.pass_given_aligned == 670 / 744
    assert counts.pass_given_misaligned == 202 / 842
    assert counts.likelihood_ratio == pytest.approx(3.75372617906952, abs=1e-14)  # epiR, Scott 2008 table 1
    assert counts.posterior_odds == 670 / 202
    assert counts.pass_rate == 872 / 1586
    assert counts.expected_runs == 1586 / 872


def test_empty_cells_are_zero_infinite_or_undefined():
    never_fooled = Counts(5, 1, 0, 4)
    assert never_fooled.likelihood_ratio == math.inf
    assert never_fooled.posterior_odds == math.inf
    nobody_aligned = Counts(0, 0, 3, 4)
    assert nobody_aligned.base_rate == nobody_aligned.prior_odds == nobody_aligned.posterior_odds == 0
    assert math.isnan(nobody_aligned.pass_given_aligned)
    assert math.isnan(nobody_aligned.likelihood_ratio)
    nobody_passes = Counts(0, 4, 0, 6)
    assert math.isnan(nobody_passes.likelihood_ratio)
    assert math.isnan(nobody_passes.posterior_odds)
    assert nobody_passes.expected_runs == math.inf
    assert math.isnan(Counts(0, 0, 0, 0).base_rate)


@pytest.mark.parametrize("bad", [-1, 0.5, math.nan])
def test_counts_are_whole_numbers(bad):
    with pytest.raises(ValueError, match="misaligned_pass"):
        Counts(1, 1, bad, 1)


@pytest.mark.parametrize(
    ("example", "check"),
    [
        (example, check)
        for example in LR["examples"]
        for check in example["checks"]
        if check["method"] == "miettinen_nurminen" and check["quantity"] == "LR+"
    ],
    ids=lambda value: value.get("id", ""),
)
def test_likelihood_ratio_interval_matches_publications(example, check):
    got = interval(counts_of(example["table"]), "likelihood_ratio", check["level"])
    for limit, expected, tolerance in zip(got, check["expected"], check["tolerance"], strict=True):
        assert limit == float(expected) or abs(limit - float(expected)) <= tolerance


@pytest.mark.parametrize(
    "case", [case for cases in LR["boundary_cases"] for case in (cases if isinstance(cases, list) else [cases])]
)
def test_likelihood_ratio_interval_at_the_boundary(case):
    counts = table(case["x_T_and_A"], case["n_A"], case["x_T_and_notA"], case["n_notA"])
    got = interval(counts, "likelihood_ratio")
    expected = [float(limit) for limit in case["miettinen_nurminen"]]
    assert got == pytest.approx(expected, rel=1e-7)


def test_likelihood_ratio_interval_knows_nothing_without_data():
    for counts in (Counts(0, 0, 3, 4), Counts(3, 4, 0, 0), Counts(0, 5, 0, 7), Counts(0, 0, 0, 0)):
        assert interval(counts, "likelihood_ratio") == (0, math.inf)


def test_likelihood_ratio_interval_covers_as_enumerated_exactly():
    """Coverage over all outcomes, weighted by their exact probability, against an independent enumeration."""
    limits = cache(lambda x1, n1, x2, n2: interval(table(x1, n1, x2, n2), "likelihood_ratio"))
    with open(REFERENCE / "coverage_lr_ci_exact.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "miettinen_nurminen"]
    rows = [row for row in rows if (row["n_aligned"], row["n_misaligned"]) == ("20", "20")]
    assert len(rows) == 12
    for row in rows:
        n1, n2 = int(row["n_aligned"]), int(row["n_misaligned"])
        p1, p2 = float(row["p_T_given_A"]), float(row["p_T_given_notA"])
        inside = np.array(
            [
                [low <= p1 / p2 <= high for low, high in (limits(a, n1, b, n2) for b in range(n2 + 1))]
                for a in range(n1 + 1)
            ]
        )
        coverage = binom.pmf(range(n1 + 1), n1, p1) @ inside @ binom.pmf(range(n2 + 1), n2, p2)
        assert coverage == pytest.approx(float(row["coverage"]), abs=2e-5)
        assert coverage >= 0.94


@settings(deadline=None, max_examples=150)
@given(SMALL, SMALL, SMALL, SMALL)
def test_every_interval_holds_its_estimate_and_nests(a, b, c, d):
    counts = Counts(a, b, c, d)
    for quantity in QUANTITIES:
        value = getattr(counts, quantity)
        inner, outer = interval(counts, quantity, 0.8), interval(counts, quantity, 0.99)
        assert outer.low <= inner.low <= inner.high <= outer.high
        assert outer.low >= 0
        if not math.isnan(value):
            slack = 1e-9 * value if math.isfinite(value) else 0
            assert inner.low <= value + slack
            assert inner.high >= value - slack


@settings(deadline=None, max_examples=150)
@given(SMALL, SMALL, SMALL, SMALL)
def test_swapping_the_groups_inverts_the_likelihood_ratio(a, b, c, d):
    straight = interval(Counts(a, b, c, d), "likelihood_ratio")
    swapped = interval(Counts(c, d, a, b), "likelihood_ratio")
    assert straight.low == pytest.approx(1 / swapped.high if swapped.high else math.inf, rel=1e-7)
    assert straight.high == pytest.approx(1 / swapped.low if swapped.low else math.inf, rel=1e-7)


def test_wilson_interval_as_published():
    # Newcombe, Stat. Med. 17:857 (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29
    for x, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        got = interval(Counts(x, n - x, 0, 0), "pass_given_aligned")
        assert got == pytest.approx((low, high), abs=5e-5)
    odds = interval(Counts(0, 0, 0, 20), "prior_odds")
    assert odds == pytest.approx((0, 0.16113 / (1 - 0.16113)), rel=1e-3)
    assert interval(Counts(0, 10, 0, 10), "expected_runs").high == math.inf


def test_log_impact_matches_the_exact_moments_of_its_posterior():
    """Digamma and trigamma moments from the reference; draws agree to a band sized for false alarms below 1e-6."""
    for row in DECOMPOSITION:
        first, second, exact = counts_of(row["regimen1"]), counts_of(row["regimen2"]), row["delta_dirichlet_half"]
        if second.misaligned_pass == 0:
            continue  # far from normal: the next test looks at its quantiles
        impact = compare(first, second)
        for name, key in (("likelihood_ratio", "LR"), ("base_rate", "prior_odds"), ("net", "posterior_odds")):
            got = getattr(impact, name)
            mean, sd = exact[f"mean_log_{key}"], math.sqrt(exact[f"var_log_{key}"])
            assert got.value == pytest.approx(row["delta_point"][f"log_{key}"], abs=1e-12)
            assert (got.low + got.high) / 2 == pytest.approx(mean, abs=0.15 * sd)
            assert (got.high - got.low) / 2 == pytest.approx(1.96 * sd, rel=0.05)


def test_log_impact_values_add_to_the_net():
    impact = compare(Counts(45, 5, 30, 120), Counts(18, 2, 9, 171))
    assert impact.net.value == pytest.approx(impact.likelihood_ratio.value + impact.base_rate.value, abs=1e-12)


def test_log_impact_stays_open_where_a_cell_is_empty():
    hacked, perfect = Counts(50, 0, 150, 0), Counts(20, 5, 0, 175)
    impact = compare(hacked, perfect)
    assert impact.likelihood_ratio.value == impact.likelihood_ratio.low == -math.inf
    # P(T|not A) of the perfect test is below 0.0142 with 97.5% (Beta(1/2, 175.5)), so its log LR is above
    # ln(0.8 / 0.0142) = 4.0 or so, give or take the uncertainty of P(T|A)
    assert -4.3 < impact.likelihood_ratio.high < -3.6
    neither = compare(perfect, perfect)
    assert math.isnan(neither.net.value)
    assert (neither.net.low, neither.net.high) == (-math.inf, math.inf)
    # two useless tests are equal, but not known to be equal beyond doubt
    useless = compare(hacked, hacked).likelihood_ratio
    assert useless.value == 0
    assert useless.low < -0.01 < 0.01 < useless.high


def test_pairing_uses_what_seeds_share():
    counts = Counts(45, 5, 30, 120)
    alike = compare(counts, counts, np.diag([45, 5, 30, 120]))
    apart = compare(counts, counts)
    assert alike.net.value == apart.net.value == 0
    assert alike.net.high < 0.3 * apart.net.high


def test_paired_interval_matches_influence_functions():
    """Large counts: Var = sum (phi1 - phi2)^2 / n^2 with phi_post = AT/P(A,T) - (1-A)T/P(not A,T)."""
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.full(16, 2.0))
    joint = np.round(20_000 * probabilities).astype(int).reshape(4, 4)
    first, second = (Counts(*map(int, joint.sum(axis))) for axis in (1, 0))
    phi = []
    for counts in (first, second):
        n = counts.seeds
        phi.append(np.array([n / counts.aligned_pass, 0, -n / counts.misaligned_pass, 0]))
    difference = phi[0][:, None] - phi[1][None, :]
    se = math.sqrt((joint * difference**2).sum()) / joint.sum()
    net = compare(first, second, joint).net
    assert (net.high - net.low) / 2 == pytest.approx(1.96 * se, rel=0.04)


def test_joint_counts_must_add_up():
    with pytest.raises(ValueError, match="do not add up"):
        compare(Counts(1, 1, 1, 1), Counts(1, 1, 1, 1), np.eye(4, dtype=int) * 2)


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 95, math.nan])
def test_confidence_must_be_a_probability(confidence):
    with pytest.raises(ValueError, match="confidence"):
        interval(Counts(1, 1, 1, 1), "base_rate", confidence)
    with pytest.raises(ValueError, match="confidence"):
        compare(Counts(1, 1, 1, 1), Counts(1, 1, 1, 1), confidence=confidence)


def test_unknown_quantity_is_named():
    with pytest.raises(ValueError, match="unknown quantity 'base_rat'"):
        interval(Counts(1, 1, 1, 1), "base_rat")


def test_worlds_are_the_axes_that_all_regimens_share():
    places = [
        ("hold_out", {"preference": 0.0}),
        ("push", {"preference": 0.0, "onset": 0.1}),
        ("push", {"preference": 0.0, "onset": 0.2}),
        ("hold_out", {"preference": 1.0}),
    ]
    assert worlds(places) == {(("preference", 0.0),): [0, 1, 2], (("preference", 1.0),): [3]}
