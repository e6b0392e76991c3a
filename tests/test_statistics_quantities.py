"""Intervals of all quantities over all small tables, as published, and by hand."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.statistics import (
    QUANTITIES,
    Counts,
    interval,
    wilson_interval,
)
from lab.statistics.quantities import compute_per_accepted, estimate
from tests.two_by_two import small_tables, table

SMALL = st.integers(0, 25)


def test_likelihood_ratio_interval_knows_nothing_without_data():
    for counts in (Counts(0, 0, 3, 4), Counts(3, 4, 0, 0), Counts(0, 5, 0, 7), Counts(0, 0, 0, 0)):
        assert interval(counts, "likelihood_ratio") == (0, math.inf)


def test_intervals_of_all_small_tables_nest_and_hold_their_estimates():
    for x1, n1, x2, n2 in small_tables(4):
        counts = table(x1, n1, x2, n2)
        for quantity in QUANTITIES:
            value = getattr(counts, quantity)
            low, inner_low, inner_high, high = (
                interval(counts, quantity, level)[side] for side, level in ((0, 0.99), (0, 0.8), (1, 0.8), (1, 0.99))
            )
            assert 0 <= low <= inner_low <= inner_high <= high, (counts, quantity)
            if not math.isnan(value):
                slack = 1e-9 * value if math.isfinite(value) else 0
                assert inner_low <= value + slack
                assert value - slack <= inner_high


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


def test_wilson_interval_holds_at_any_confidence():
    """The limits of 5 of 10 lie z / 2 sqrt(10 + z^2) from 1/2, z by another algorithm (Wichura, Appl. Stat. 37:477)."""
    for error in (0.05, 1e-9, 2**-53):  # the last: the highest confidence below 1
        z = -NormalDist().inv_cdf(error / 2)
        half = z / (2 * math.sqrt(10 + z**2))
        assert wilson_interval(5, 10, 1 - error) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-6)


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


def test_unknown_quantity_is_named():
    with pytest.raises(ValueError, match="unknown quantity 'base_rat'"):
        interval(Counts(1, 1, 1, 1), "base_rat")


@pytest.mark.parametrize(
    ("runs", "early", "passing"),
    [(400, 0.5, 0.25), (64, 0.0, 0.98), (128, 0.0, 0.95), (64, 0.05, 0.9), (16, 0.25, 0.5), (128, 0.2, 0.1)],
)
def test_compute_per_accepted_covers_a_known_ratio(runs, early, passing):
    """A share `early` of all runs is rejected at 1/4: (1 - .75 early) / passing trainings; 1,000 times.

    The standard error of a coverage of .95 is .007, so .915 is 5 of them away; it may well be higher.
    """
    random, truth, covered = np.random.default_rng(0), (1 - 0.75 * early) / passing, 0
    for _ in range(1000):
        kind = random.random(runs)
        estimate = compute_per_accepted(np.where(kind < early, 0.25, 1.0), kind > 1 - passing)
        covered += estimate.low <= truth <= estimate.high
    assert covered / 1000 > 0.915


def test_compute_without_early_rejections_is_that_of_runs():
    """Then every run costs 1, and trainings per accepted model are runs per accepted model, limits included."""
    passes = np.arange(64) < 61
    runs = estimate(Counts(61, 0, 0, 3), "expected_runs")
    assert compute_per_accepted(np.ones(64), passes) == pytest.approx(runs)


def test_nothing_accepted_has_no_end():
    never = compute_per_accepted([0.5, 1.0], [False, False])
    assert (never.value, never.high) == (np.inf, np.inf)
