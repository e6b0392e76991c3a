"""ROC curves by hand and against all pairs, their areas and the limits of these, as drawn and as thinned."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib import cbook
from scipy.stats import norm

from lab import figures, report
from lab.figures.studies import draw_curves
from lab.studies.roc import roc
from tests.test_studies_rejection import NAN, SCORES, at_the_end, dataset, six_runs


@pytest.fixture
def results():
    return six_runs()


def test_roc_by_hand(results):
    """From the top at 0.25: misaligned 0.8, aligned 0.7, 0.6, misaligned 0.5, aligned 0.4, misaligned 0.2."""
    got = roc(results, "hold_out", checkpoint=0.25)
    assert got.threshold == pytest.approx([math.inf, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2])
    assert got.pass_given_aligned * 3 == pytest.approx([0, 0, 1, 2, 2, 3, 3])
    assert got.pass_given_misaligned * 3 == pytest.approx([0, 1, 1, 1, 2, 2, 3])
    assert got.precision == pytest.approx([NAN, 0, 1 / 2, 2 / 3, 1 / 2, 3 / 5, 1 / 2], nan_ok=True)
    assert got.recall is got.pass_given_aligned
    assert got.area.value == pytest.approx(5 / 9)  # 2 + 1 + 2 of 9 pairs
    assert got.average_precision == pytest.approx((1 / 2 + 2 / 3 + 3 / 5) / 3)
    assert (got.aligned, got.misaligned) == (3, 3)


@settings(deadline=None, max_examples=60)
@given(SCORES)
def test_roc_against_all_pairs(models):
    aligned, scores = np.array([own[0] for own in models]), np.array([own[1] for own in models], float)
    made = dataset(np.column_stack([scores, np.zeros(len(models))]), aligned, checkpoints=[0.5, 1.0])
    got = roc(made, "hold_out", "test", 0.5)
    filled = np.where(np.isnan(scores), -1, scores)  # below every score there is
    with_a, without_a = filled[aligned], filled[~aligned]
    for values, rates in ((with_a, got.pass_given_aligned), (without_a, got.pass_given_misaligned)):
        if not len(values):
            assert np.isnan(rates).all()
            continue
        assert (rates[0], rates[-1]) == (0, 1)
        for threshold, rate in zip(got.threshold, rates, strict=True):
            assert rate == pytest.approx((values >= max(threshold, -1)).mean())
    assert 0 <= got.area.low < got.area.high <= 1
    if not len(with_a) or not len(without_a):
        assert math.isnan(got.area.value)
        assert (got.area.low, got.area.high) == (0, 1)
        return
    pairs = [(one > other) + (one == other) / 2 for one in with_a for other in without_a]
    assert got.area.value == pytest.approx(np.mean(pairs))
    assert got.area.low <= got.area.value <= got.area.high
    mirrored = roc(made.assign(alignment=1 - made["alignment"]), "hold_out", "test", 0.5).area
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - got.area.high, 1 - got.area.low))


def test_the_area_interval_at_one_and_at_zero():
    """One pair has Wilson's interval for 1 of 1, from 1 / (1 + z^2); Hanley and McNeil's variance is then p(1 - p)."""
    z = norm.isf(0.025)
    assert roc(at_the_end([1], [0]), "hold_out").area == pytest.approx((1, 1 / (1 + z**2), 1))
    assert roc(at_the_end([0], [1]), "hold_out").area == pytest.approx((0, 0, 1 - 1 / (1 + z**2)))
    assert roc(at_the_end([1], [0]), "hold_out").area.high == 1


def test_the_area_interval_ends_at_one_half_where_the_rank_test_says_so():
    """Without any relation the area's variance is (m + n + 1) / (12 m n) (Mann and Whitney 1947).

    Aligned 1 1 1 0 and misaligned 1 0 0 0: area 3/4, and DeLong's variance 1/32 is below Hanley and McNeil's.
    """
    z = (3 / 4 - 1 / 2) / math.sqrt(9 / (12 * 16))
    got = roc(at_the_end([1, 1, 1, 0], [1, 0, 0, 0]), "hold_out", confidence=2 * norm.cdf(z) - 1).area
    assert got.value == 0.75
    assert got.low == pytest.approx(0.5)


def test_the_area_interval_is_wider_where_one_kind_lies_on_both_sides(results):
    """The curve by hand: shares of the others below are 2/3, 1/3, 2/3 and, mirrored, 1, 2/3, 0; the mean is 5/9.

    DeLong: (6/81 / 2 + 42/81 / 2) / 3 = 8/81. Hanley and McNeil at 5/9, with (m + n)/2 - 1 = 2:
    20/81 (1 + 2 (4/13 + 5/14)) / 9 = 4240/66339. The ratio 6552/4240 scales the variance 7/108 at 1/2.
    """
    z = (5 / 9 - 1 / 2) / math.sqrt(6552 / 4240 * 7 / 108)
    got = roc(results, "hold_out", checkpoint=0.25, confidence=2 * norm.cdf(z) - 1).area
    assert got.low == pytest.approx(0.5)


def drawn_area(line):
    """The area under a line as matplotlib draws it."""
    x, y = cbook.STEP_LOOKUP_MAP[line.get_drawstyle()](*line.get_data())
    return np.trapezoid(y, x)


def test_curves_are_drawn_with_the_areas_that_are_stated():
    """Equal scores: of 12 pairs 9 are right, equal ones by half; precision 2/3, 1/2, 3/7 at a recall of 2/3, 1, 1."""
    curve = roc(at_the_end([0.9, 0.9, 0.5], [0.9, 0.5, 0.5, 0.1]), "hold_out")
    assert curve.area.value == pytest.approx(3 / 4)
    assert curve.average_precision == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 1 / 2)
    _, (top, bottom) = figures.subplots(2)
    curves = {"1": report.curve_json(curve)}
    draw_curves(curves, top, "pass_given_misaligned", "pass_given_aligned")
    draw_curves(curves, bottom, "pass_given_aligned", "precision", steps=True)
    assert drawn_area(top.lines[0]) == pytest.approx(curve.area.value)
    assert drawn_area(bottom.lines[0]) == pytest.approx(curve.average_precision)


def test_a_thinned_curve_keeps_what_few_aligned_models_say():
    """Of 10,003 models three are aligned: two come first of all and one after half of the others."""
    curve = roc(at_the_end([0.9, 0.8, 0.35], np.linspace(0.1, 0.6, 10_000)), "hold_out")
    exact = 2 / 3 + 1 / 3 * 3 / 5_003
    assert curve.average_precision == pytest.approx(exact, rel=1e-9)
    data = report.curve_json(curve)
    assert len(data["threshold"]) <= 201
    recall, precision = np.array(data["pass_given_aligned"]), np.array(data["precision"][1:])
    assert np.diff(recall) @ precision == pytest.approx(exact, rel=1e-9)
    assert np.trapezoid(recall, data["pass_given_misaligned"]) == pytest.approx(curve.area.value, abs=0.01)
    assert (data["threshold"][0], recall[-1], data["pass_given_misaligned"][-1]) == ("inf", 1, 1)
    without = report.curve_json(roc(at_the_end([], [0.1, 0.2]), "hold_out"))
    assert (without["pass_given_aligned"], without["pass_given_misaligned"]) == ([None] * 3, [0, 0.5, 1])
