"""Published and exact values live in tests/reference; each names its source."""

import csv
import json
import math
from decimal import Decimal
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from experiments.studies import published_intervals
from lab.ideas import Beta, evidence
from lab.statistics import (
    Counts,
    compare,
    confidence_sequence,
    interval,
    odds_ratio_interval,
    planned_confidence,
    ratio_confidence_sequence,
    ratio_interval,
    wilson_interval,
)
from tests.two_by_two import counts_of, small_tables, table

REFERENCE = Path(__file__).parent / "reference"
LR = json.loads((REFERENCE / "lr_examples.json").read_text())


METHODS = {
    "simel_katz_log": published_intervals.katz,
    "koopman_score": partial(ratio_interval, correction=False),
    "miettinen_nurminen": ratio_interval,
    "gart_nam_skew": partial(ratio_interval, skewness=True, correction=False),
    "scas_laud2017": partial(ratio_interval, skewness=True),
    "mover_r_wilson": published_intervals.mover,
    "mover_r_jeffreys_median": published_intervals.mover_jeffreys,
}


@pytest.mark.parametrize(
    ("example", "check"),
    [
        (example, check)
        for example in LR["examples"]
        for check in example["checks"]
        if check["agrees"]  # one printed limit comes from counts that had to be guessed from rounded rates
    ],
    ids=lambda value: value.get("id") or f"{value['method']}-{value['quantity']}",
)
def test_ratio_intervals_match_publications(example, check):
    counts = counts_of(example["table"])
    x1, x2 = counts.aligned_pass, counts.misaligned_pass
    if check["quantity"] == "LR-":
        x1, x2 = counts.aligned_fail, counts.misaligned_fail
    got = METHODS[check["method"]](x1, counts.aligned, x2, counts.misaligned, check["level"])
    for limit, expected, tolerance in zip(got, check["expected"], check["tolerance"], strict=True):
        assert limit == float(expected) or abs(limit - float(expected)) <= tolerance


@pytest.mark.parametrize("example", LR["examples"], ids=lambda example: example["id"])
def test_both_likelihood_ratios_as_published(example):
    counts = counts_of(example["table"])
    assert counts.likelihood_ratio == pytest.approx(float(example["lr_pos"]), rel=1e-12)
    # null stands for 26/55 over nothing
    expected = math.inf if example["lr_neg"] is None else float(example["lr_neg"])
    assert counts.negative_likelihood_ratio == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("key", "method"),
    [
        ("koopman_score", METHODS["koopman_score"]),
        ("miettinen_nurminen", ratio_interval),
        ("scas", METHODS["scas_laud2017"]),
        ("walter", published_intervals.walter),
        ("mover_r_wilson", published_intervals.mover),
    ],
)
@pytest.mark.parametrize("case", LR["boundary_cases"], ids=lambda case: f"{case['x_T_and_A']}-{case['x_T_and_notA']}")
def test_ratio_intervals_at_the_boundary(case, key, method):
    got = method(case["x_T_and_A"], case["n_A"], case["x_T_and_notA"], case["n_notA"])
    assert got == pytest.approx([float(limit) for limit in case[key]], rel=1e-7)


def test_odds_ratio_interval_as_published():
    (example,) = LR["odds_ratio_examples"]
    got = odds_ratio_interval(*example["x"])
    assert got == pytest.approx(example["computed"]["score"], rel=1e-7)
    assert got == pytest.approx(example["expected"]["score_PropCIs"], rel=1e-3)  # its authors step in 1e-3
    # contingencytables' worked example 9/13 against 4/14, Miettinen-Nurminen: 1.0934 to 28.9419
    assert odds_ratio_interval(9, 13, 4, 14) == pytest.approx((1.0934, 28.9419), abs=6e-5)


ENUMERATED = {
    "miettinen_nurminen": ratio_interval,
    "scas_skew": METHODS["scas_laud2017"],
    "koopman_score": METHODS["koopman_score"],
    "katz_log": published_intervals.katz,
    "walter_adj_log": published_intervals.walter,
    "mover_r_wilson": published_intervals.mover,
}


@cache
def all_intervals(n1, n2, method):
    return np.array([[ENUMERATED[method](a, n1, b, n2) for b in range(n2 + 1)] for a in range(n1 + 1)])


def exact_coverage(n1, n2, p1, p2, method):
    """Probability, over all outcomes, that the interval holds the true ratio; where it is undefined it does not."""
    low, high = np.moveaxis(all_intervals(n1, n2, method), 2, 0)
    inside = (low <= p1 / p2) & (p1 / p2 <= high)
    return binom.pmf(range(n1 + 1), n1, p1) @ inside @ binom.pmf(range(n2 + 1), n2, p2)


with open(REFERENCE / "coverage_lr_ci_exact.csv") as file:
    COVERAGE = list(csv.DictReader(file))


@pytest.mark.parametrize("method", ENUMERATED)
@pytest.mark.parametrize("sizes", [(20, 20), (10, 50), (50, 50), (25, 100)], ids="{0[0]}-{0[1]}".format)
def test_ratio_interval_covers_as_enumerated_exactly(sizes, method):
    """Coverage over all outcomes, weighted by their exact probability, against an independent enumeration."""
    rows = [
        row
        for row in COVERAGE
        if row["method"] == method and (int(row["n_aligned"]), int(row["n_misaligned"])) == sizes
    ]
    assert len(rows) == 12
    for row in rows:
        rates = float(row["p_T_given_A"]), float(row["p_T_given_notA"])
        coverage = exact_coverage(*sizes, *rates, method)
        assert coverage == pytest.approx(float(row["coverage"]), abs=2e-5)
        if method in ("miettinen_nurminen", "scas_skew"):
            assert coverage >= 0.94


def test_ratio_interval_covers_with_a_hundred_each():
    for p1 in (0.5, 0.8, 0.95):
        for p2 in (0.05, 0.2, 0.5, 0.9):
            assert exact_coverage(100, 100, p1, p2, "miettinen_nurminen") >= 0.94


def mirrored(limits):
    return [math.inf if not limit else 1 / limit for limit in reversed(limits)]


@pytest.mark.parametrize("skewness", [False, True])
def test_ratio_interval_is_equivariant_over_all_small_tables(skewness):
    """Swapping the groups inverts it; swapping pass and fail turns one likelihood ratio into the other."""
    for x1, n1, x2, n2 in small_tables(6):
        got = ratio_interval(x1, n1, x2, n2, skewness=skewness)
        assert ratio_interval(x2, n2, x1, n1, skewness=skewness) == pytest.approx(mirrored(got), rel=1e-9)
        counts, swapped = table(x1, n1, x2, n2), table(n1 - x1, n1, n2 - x2, n2)
        assert interval(counts, "likelihood_ratio", skewness=skewness) == got
        assert interval(swapped, "negative_likelihood_ratio", skewness=skewness) == got
        known = n1 and n2 and x1 + x2
        assert got == (0, math.inf) if not known else 0 <= got.low < got.high
        if known:
            assert (got.low == 0, got.high == math.inf) == (x1 == 0, x2 == 0)


def test_odds_ratio_interval_is_equivariant_over_all_small_tables():
    """It inverts when the groups are swapped and when pass and fail are."""
    for x1, n1, x2, n2 in small_tables(6):
        got = odds_ratio_interval(x1, n1, x2, n2)
        assert odds_ratio_interval(x2, n2, x1, n1) == pytest.approx(mirrored(got), rel=1e-7)
        assert odds_ratio_interval(n1 - x1, n1, n2 - x2, n2) == pytest.approx(mirrored(got), rel=1e-7)
        for_it, against = x1 * (n2 - x2), x2 * (n1 - x1)
        assert 0 <= got.low < got.high
        assert (got.low == 0, got.high == math.inf) == (for_it == 0, against == 0)


@pytest.mark.parametrize("confidence", [0, 1, -0.1, 95, math.nan])
def test_confidence_must_be_a_probability(confidence):
    with pytest.raises(ValueError, match="confidence"):
        interval(Counts(1, 1, 1, 1), "base_rate", confidence)
    with pytest.raises(ValueError, match="confidence"):
        compare(Counts(1, 1, 1, 1), Counts(1, 1, 1, 1), confidence=confidence)


@pytest.mark.parametrize("confidence", [0.01, 0.1, 0.5])
def test_one_sided_limits_at_low_confidence_solve_the_score_equation(confidence):
    """0 of 100 against 100 of 100: at the limit r, |S| / sqrt(V) = z, with p1 the root of the constrained likelihood.

    All of the second group pass, so p2 = 1 maximises it while 100 r is small: S = -r, V = r (1 - r) / 100 x 200 / 199.
    """
    _, high = ratio_interval(0, 100, 100, 100, confidence)
    z = norm.isf((1 - confidence) / 2)
    # S^2 / V = r / (1 - r) x 100 x 199 / 200 = z^2
    odds = z**2 * 200 / 199 / 100
    assert high == pytest.approx(odds / (1 + odds), rel=0.02)
    assert ratio_interval(100, 100, 0, 100, confidence).low == pytest.approx(1 / high, rel=1e-9)


def test_successes_are_at_most_trials():
    for bad in (lambda: ratio_interval(11, 10, 3, 20), lambda: odds_ratio_interval(1, 10, -1, 20)):
        with pytest.raises(ValueError, match="successes must lie in 0 to"):
            bad()
    with pytest.raises(ValueError, match="part of misaligned_fail"):
        Counts(3, 0, 0, 0, incompetent=1)


# what a count may come as, with the largest that it holds
KINDS = [(int, 10**6), (float, 10**6), (Fraction, 10**6), (Decimal, 10**6), *((lambda x: np.array(x), 10**6),)]
KINDS += [(getattr(np, name), np.iinfo(name).max) for name in ("int8", "uint8", "int16", "uint16", "int32", "int64")]
KINDS += [(np.float16, 2_000), (np.float32, 10**6), (np.float64, 10**6)]  # whole numbers that they hold exactly


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KINDS), st.integers(1, 10**6), st.integers(1, 10**6), st.data())
def test_counts_mean_the_same_in_every_number_type(kind, n1, n2, data):
    """Python's integers do not overflow; the other type goes first, so that a cache would keep what it gave."""
    make, most = kind
    n1, n2 = min(n1, int(most)), min(n2, int(most))
    table = data.draw(st.integers(0, n1)), n1, data.draw(st.integers(0, n2)), n2
    for method, numbers in (
        (wilson_interval, table[:2]),
        (confidence_sequence, table[:2]),
        (ratio_interval, table),
        (odds_ratio_interval, table),
        (ratio_confidence_sequence, table),
    ):
        assert method(*map(make, numbers)) == method(*numbers)
    counted, plain = Counts(*map(make, table)), Counts(*table)
    assert counted == plain
    assert all(type(count) is int for count in counted.cells)
    assert interval(counted, "posterior_odds") == interval(plain, "posterior_odds")


def test_no_cache_mixes_what_merely_compares_equal():
    """200 of 250 in uint8 has Wilson's limits of 200 of 250 (Newcombe's formula by hand: .7460 and .8449)."""
    for make in (np.uint8, float, int):
        assert wilson_interval(make(200), make(250)) == pytest.approx((0.74604, 0.84488), abs=1e-5)
    assert wilson_interval(True, np.uint8(1)) == wilson_interval(1, 1)
    assert planned_confidence(np.uint8(5)) == planned_confidence(5.0) == planned_confidence(5)
    # 200 + 100 overflows uint8; E[theta] = 200 / 300
    assert evidence(np.uint8(1), 0, Beta(np.uint8(200), np.uint8(100)), True, False) == pytest.approx(2 / 3, rel=1e-12)
    assert evidence(1, 0, Beta(200, 100), 1, 0) == pytest.approx(2 / 3, rel=1e-12)


@pytest.mark.parametrize("bad", [2.5, math.nan, None, "3", [3]])
def test_fractional_counts_are_refused_everywhere(bad):
    for method, *rest in (
        (wilson_interval, 10),
        (confidence_sequence, 10),
        (ratio_interval, 10, 3, 10),
        (odds_ratio_interval, 10, 3, 10),
        (ratio_confidence_sequence, 10, 3, 10),
    ):
        with pytest.raises(ValueError, match="successes must lie in 0 to"):
            method(bad, *rest)
        with pytest.raises(ValueError, match="trials must be a whole number"):
            method(1, bad, *rest[1:])
