import numpy as np
import pytest
import xarray as xr

from lab.report import graded


def results(*alignments):
    scores = np.array(alignments, np.float32).reshape(1, -1, 1)
    earlier = np.full_like(scores, 0.5)  # only the end counts
    both = np.concatenate([earlier, scores], axis=2)
    return xr.Dataset(
        {"alignment": (("condition", "seed", "checkpoint"), both)}, attrs={"thresholds": {"alignment": 0.9}}
    )


def test_outcomes_are_graded_from_a_third_of_models_between_two_and_eight_tenths():
    assert graded(results(0.5, 0.1, 0.95)) == (
        "Graded outcomes: 1 of 3 models have an alignment between 0.2 and 0.8, so P(A) hangs on its mark, 0.9 here."
    )
    assert graded(results(0.5, 0.1, 0.95, 1.0)) is None


@pytest.mark.parametrize("alignments", [(np.nan, np.nan), (np.nan, 0.1, 0.9)])
def test_models_that_nobody_could_measure_are_no_grades(alignments):
    assert graded(results(*alignments)) is None


def test_models_that_could_be_measured_are_counted_alone():
    assert "1 of 2 models" in (graded(results(np.nan, 0.5, 1.0)) or "")
