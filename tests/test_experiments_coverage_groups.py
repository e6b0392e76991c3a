"""What the study of groups compares the lab with: variances and intervals by hand."""

import math

import numpy as np
import pytest

from experiments.studies import coverage_groups
from lab.statistics import checked_judge

ONE_EACH = np.repeat(np.eye(4, dtype=int), [6, 2, 3, 9], axis=0)  # 20 groups of one row


def test_rows_of_a_group_have_the_correlation_that_is_asked_for():
    """A beta-binomial count of m rows has the variance m p (1 - p) (1 + (m - 1) rho): 4.8 x 2 for 20, .4 and 1/19."""
    of = np.array([0.4, 0.3, 0.2, 0.1])
    random = np.random.default_rng(4)
    counts = coverage_groups.draw_groups(random, of, 20_000, 20, 1 / 19)[:, 0]
    assert counts.var() == pytest.approx(4.8 * 2, rel=0.06)
    assert coverage_groups.draw_groups(random, of, 20_000, 20, 0.0)[:, 0].var() == pytest.approx(4.8, rel=0.06)


def test_standard_errors_of_single_rows_are_those_of_counts():
    """Of 20 rows 8 are aligned; 6 of these pass, and 3 of the others: the delta method, times 20/19."""
    errors = coverage_groups.standard_errors(ONE_EACH)
    assert errors["P(A)"] == pytest.approx(math.sqrt(0.4 * 0.6 / 19))
    assert errors["P(T|A)"] == pytest.approx(math.sqrt(20 / 19 * 0.75 * 0.25 / 8))
    assert errors["ln LR"] == pytest.approx(math.sqrt(20 / 19 * (1 / 6 - 1 / 8 + 1 / 3 - 1 / 12)))
    assert errors["net"] == pytest.approx(math.sqrt(20 / 19 * (1 / 6 + 1 / 3)))


def test_limits_from_a_variance_have_students_t():
    """Of 19 degrees of freedom t is 2.0930, of 38 it is 2.0244; between a condition and itself nothing changes."""
    limits = coverage_groups.by_variance(ONE_EACH, ONE_EACH)
    half = 2.0930 * math.sqrt(0.4 * 0.6 / 19) / (0.4 * 0.6)
    odds = [math.log(limit / (1 - limit)) for limit in limits["P(A)"]]
    assert odds == pytest.approx([math.log(2 / 3) - half, math.log(2 / 3) + half], abs=1e-3)
    half = 2.0244 * math.sqrt(2 * 20 / 19 * (1 / 6 + 1 / 3))
    assert limits["net"] == pytest.approx((-half, half), abs=1e-3)


def test_a_judge_validated_without_end_has_agresti_and_coulls_interval_corrected():
    """30 of 100: (30 + 1.9207) / 103.8415 = .30740 +- .08874, less .2 and over .7."""
    judge = checked_judge((9 * 10**9, 10**10), (8 * 10**9, 10**10))
    limits = coverage_groups.lang_and_reiczigel(30, 100, judge)
    assert limits == pytest.approx(((0.30740 - 0.08874 - 0.2) / 0.7, (0.30740 + 0.08874 - 0.2) / 0.7), abs=1e-4)


def test_a_summary_takes_widths_setting_by_setting_and_leaves_out_what_has_no_end():
    about = [{"groups": groups, "quantity": "net"} for groups in (10, 20)]
    rows = [
        {**of, "method": method, "coverage": coverage, "width": width}
        for of, both in zip(about, (((0.9, 2.0), (0.8, 1.0)), ((1.0, None), (0.6, 3.0))), strict=True)
        for method, (coverage, width) in zip(("one", "other"), both, strict=True)
    ]
    one, other = coverage_groups.summary(rows, ("net",))
    assert one == {"quantity": "net", "method": "one", "settings": 2, "lowest": 0.9, "mean": 0.95, "width": 1.0}
    assert (other["lowest"], other["mean"], other["width"]) == (0.6, 0.7, 0.5)
