"""What a judge's verdicts are in truth, by hand, and judges that are refused."""

import math

import numpy as np
import pytest

from lab.statistics import checked_judge
from lab.statistics.judge import posterior_rates, rates_of, true_cells, validated_tables


def test_true_cells_solve_the_two_equations_of_each_outcome_of_the_test():
    """600 aligned and 200 misaligned that pass, 50 and 150 that fail, seen with Se 3/4 and Sp 7/8, and 10 unable."""
    seen = np.array([600 * 3 / 4 + 200 / 8, 50 * 3 / 4 + 150 / 8, 600 / 4 + 200 * 7 / 8, 50 / 4 + 150 * 7 / 8, 10])
    assert true_cells(seen, (3 / 4, 7 / 8)) == pytest.approx([600, 50, 200, 160], rel=1e-12)


def test_a_share_beyond_what_errors_leave_is_kept_within_its_range():
    """1 of 10 judged aligned where Sp = .75 expects 2.5 of none: none is aligned, and all ten are misaligned."""
    assert true_cells(np.array([1.0, 9, 9, 1, 0]), (0.75, 0.75)).tolist() == [0, 10, 10, 0]


def test_soft_ends_tell_more_from_less_where_the_share_is_none():
    soft = [true_cells(np.array([judged, 2, 10 - judged, 2, 0]), (0.75, 0.75), soft=True)[0] for judged in (0, 1, 2)]
    assert 0 < soft[0] < soft[1] < soft[2] < 0.01
    middle = true_cells(np.array([5, 1, 5, 1, 0]), (0.75, 0.75), soft=True)
    assert middle == pytest.approx([5, 1, 5, 1], abs=1e-6)


def test_rates_that_add_up_to_one_say_nothing():
    assert np.isnan(true_cells(np.array([5.0, 3, 5, 7, 1]), (0.5, 0.5))).all()


def test_what_was_validated_is_taken_from_tables_and_what_is_known_is_not():
    judge = checked_judge((45, 50), 0.8)
    assert validated_tables(judge) == [(45, 5)]
    assert rates_of(judge, iter([np.array([3.0, 1.0])])) == (0.75, 0.8)


def test_validated_rates_have_a_beta_posterior():
    """Beta(45.5, 5.5): mean 45.5/51 and variance 45.5 x 5.5 / 51^2 / 52."""
    sensitivity, specificity = posterior_rates(checked_judge((45, 50), 0.8), 20_000, np.random.default_rng(1))
    variance = 45.5 * 5.5 / 51**2 / 52
    assert np.mean(sensitivity) == pytest.approx(45.5 / 51, abs=5 * math.sqrt(variance / 20_000))
    assert np.var(sensitivity) == pytest.approx(variance, rel=0.07)
    assert (np.asarray(specificity) == 0.8).all()


def test_no_draw_of_a_judge_tells_nothing():
    """5 of 9 right in both: half of the draws or so add up to less than 1, and others take their place."""
    rates = posterior_rates(checked_judge((5, 9), (5, 9)), 5_000, np.random.default_rng(1))
    assert (np.sum(rates, axis=0) > 1).all()


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ((1.2, 0.9), "sensitivity must lie from 0 to 1, not 1.2"),
        ((0.9, -0.1), "specificity must lie from 0 to 1, not -0.1"),
        ((0.9, math.nan), "specificity must lie from 0 to 1, not nan"),
        ((0.9, (0, 0)), "specificity: validated models must be a whole number of at least 1, not 0"),
        (((6, 5), 0.9), "sensitivity: models judged rightly must be a whole number from 0 to 5, not 6"),
        (((1, 2, 3), 0.9), "sensitivity must be a share or .right, of how many., not .1, 2, 3."),
        ((0.4, 0.6), "sensitivity 0.4 and specificity 0.6 add up to at most 1: such a judge tells nothing"),
    ],
)
def test_an_impossible_judge_is_refused_in_a_sentence(rates, message):
    with pytest.raises(ValueError, match=message):
        checked_judge(*rates)
