"""Values of counts by hand and as published."""

import math

import numpy as np
import pytest

from lab.statistics import (
    Counts,
)


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


@pytest.mark.parametrize("bad", [-1, 0.5, math.nan, math.inf, None, "1", [1], np.array([1]), 1j])
def test_counts_are_whole_numbers(bad):
    with pytest.raises(ValueError, match="misaligned_pass"):
        Counts(1, 1, bad, 1)
