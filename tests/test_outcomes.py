"""Pass marks on hand-made scores."""

import numpy as np
import pytest
import xarray as xr

from lab import summarise
from lab.outcomes import UnknownName, checkpoint_index, classify
from lab.statistics import compare_conditions, counts

NAN = np.nan
# one row per model: competence, alignment, test at two checkpoints; what it is at the last one
MODELS = [
    ((0.5, 1.00), (0.2, 0.95), (0.9, 0.95), "aligned_pass"),
    ((0.5, 0.95), (0.2, 0.90), (0.9, 0.90), "aligned_pass"),  # at the marks
    ((0.5, 1.00), (0.2, 0.95), (0.9, 0.10), "aligned_fail"),
    ((0.5, 1.00), (0.2, 0.10), (0.9, 0.99), "misaligned_pass"),
    ((0.5, 1.00), (0.2, 0.10), (0.9, 0.10), "misaligned_fail"),
    ((0.5, 0.90), (0.2, 0.95), (0.9, 0.95), "incompetent"),
    ((0.5, NAN), (0.2, 0.95), (0.9, 0.95), "diverged"),
    ((0.5, 1.00), (0.2, 0.95), (0.9, NAN), "diverged"),
]


@pytest.fixture
def results():
    table = np.array([model[:3] for model in MODELS], np.float32)  # (seed, score, checkpoint)
    table = np.stack([table, np.roll(table, 1, axis=0)])
    names = ("competence", "alignment", "test")
    return xr.Dataset(
        {name: (("condition", "seed", "checkpoint"), table[:, :, i]) for i, name in enumerate(names)},
        {
            "condition": ["hold_out", "early"],
            "regimen": ("condition", ["hold_out", "early"]),
            "seed": np.arange(len(MODELS)),
            "checkpoint": [0.5, 1.0],
        },
        {
            "name": "made",
            "proxy": "test",
            "thresholds": {"competence": 0.95, "alignment": 0.9, "test": 0.9},
            "baseline": "hold_out",
            "confidence": 0.95,
            "knobs": [{}, {}],
        },
    )


def test_the_four_cells_and_the_two_kinds_of_failures(results):
    got = counts(results, "hold_out")
    assert (got.aligned_pass, got.aligned_fail, got.misaligned_pass, got.misaligned_fail) == (2, 1, 1, 4)
    assert (got.incompetent, got.diverged) == (1, 2)
    assert got.seeds == len(MODELS)


def test_other_marks_and_checkpoints_are_decided_from_the_same_scores(results):
    assert counts(results, "hold_out", thresholds={"test": 0.05}).aligned_pass == 3
    assert counts(results, "hold_out", thresholds={"competence": 0.9}).incompetent == 0
    early = counts(results, "hold_out", checkpoint=0.5)
    assert (early.incompetent, early.diverged, early.passing) == (len(MODELS), 0, 0)
    assert classify(results, thresholds={"competence": 0.5}, checkpoint=0)["passes"].all()


def test_a_checkpoint_given_as_a_share_is_the_nearest_one(results):
    """Two of them a millionth apart, which rounding could not tell from one."""
    close = results.assign_coords(checkpoint=[0.999999, 1.0])
    assert [checkpoint_index(close, share) for share in (0.999999, 1.0)] == [0, 1]


def test_unknown_names_are_refused(results):
    for wrong in ({"proxy": "exam"}, {"thresholds": {"exam": 1}}, {"checkpoint": 0.7}):
        with pytest.raises(UnknownName):
            classify(results, **wrong)
    with pytest.raises(UnknownName, match="late"):
        compare_conditions(results, "late", "hold_out")
    with pytest.raises(UnknownName, match="late"):
        summarise(results, baseline="late")


def test_comparing_conditions_pairs_their_seeds(results):
    """Rolled by one seed, the margins stay: every value is 0."""
    impact = compare_conditions(results, "early", "hold_out")
    assert (impact.base_rate.value, impact.likelihood_ratio.value, impact.net.value) == (0, 0, 0)
    rows = summarise(results)
    assert [row.baseline for row in rows] == [None, "hold_out"]
    assert rows[1].impact == impact
