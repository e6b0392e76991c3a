"""Pass marks on hand-made scores."""

import numpy as np
import pytest
import xarray as xr

from lab import report, summarise
from lab.results.outcomes import UnknownName, checkpoint_index, classify, reaches
from lab.results.summary import compare_conditions, counts

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
            "steps": 40,
            "proxy": "test",
            "thresholds": {"competence": 0.95, "alignment": 0.9, "test": 0.9},
            "baseline": "hold_out",
            "confidence": 0.95,
            "knobs": {"hold_out": {"depth": 1.0}, "early": {"depth": 2.0}},
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


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.float16, lambda x: np.linspace(0, x, 2)[1]])
def test_a_recorded_score_reaches_the_same_mark_of_any_number_type(results, kind):
    """float32(.9) is less than the double .9 and more than half precision's, and means the same."""
    scores = np.array([0.9, np.nextafter(np.float32(0.9), 0), 1.0], np.float32)
    assert reaches(scores, kind(0.9) if kind is not np.float16 else 0.9).tolist() == [True, False, True]
    marks = {"alignment": kind(0.9), "competence": kind(0.95), "test": kind(0.9)}
    if kind is not np.float16:
        assert counts(results, "hold_out", thresholds=marks) == counts(results, "hold_out")


def test_what_is_not_finite_reaches_no_mark_and_a_mark_that_is_no_number_is_refused(results):
    scores = np.array([NAN, np.inf, -np.inf, 0.0], np.float32)
    assert reaches(scores, -np.inf).tolist() == reaches(scores, 0).tolist() == [False, False, False, True]
    assert reaches(np.array([0, 1], np.int8), 0.9).tolist() == [False, True]
    for wrong in (lambda: reaches(scores, NAN), lambda: classify(results, thresholds={"test": np.float32(NAN)})):
        with pytest.raises(ValueError, match="must be a number, not nan"):
            wrong()


@pytest.mark.parametrize("lost", ["proxy", "thresholds", "baseline", "confidence", "knobs"])
def test_a_dataset_that_lacks_an_attribute_is_told_which_and_what_it_holds(results, lost):
    del results.attrs[lost]
    with pytest.raises(ValueError, match=f"lack the attribute '{lost}': .*"):
        summarise(results)
    results.attrs[lost] = 3 + 4j
    with pytest.raises(ValueError, match=f"the attribute '{lost}' of results must be"):
        summarise(results)


def test_a_dataset_of_ones_own_is_checked_before_it_is_counted(results):
    flipped = results.transpose("seed", "condition", "checkpoint")
    for wrong, words in (
        (results.test, "must be an xarray.Dataset, not DataArray"),
        (flipped, r"must have the dims \('condition', 'seed', 'checkpoint'\), in this order"),
        (results.assign(test=results.test.astype(str)), "'test' of results must hold numbers"),
        (results.drop_vars("regimen"), "lack the coordinate 'regimen'"),
        (results.drop_vars("competence"), "no score 'competence'"),
        (results.assign_attrs(thresholds={"competence": 0.9, "test": 0.9}), "no pass mark of 'alignment'"),
        (results.assign_attrs(knobs={"early": {}}), "'knobs' of results must be"),
        (results.assign_attrs(confidence=95), "confidence must lie strictly between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=words):
            summarise(wrong)


def test_checkpoints_are_shares_or_indices_of_any_type(results):
    for at in (1, np.uint8(1), np.int64(-1), 1.0, np.float32(1)):
        assert counts(results, "hold_out", checkpoint=at) == counts(results, "hold_out")
    assert counts(results, "hold_out", checkpoint=np.float16(0.5)) == counts(results, "hold_out", checkpoint=0)


TURNS = {
    "sorted": lambda results: results.sortby("condition"),
    "picked": lambda results: results.sel(condition=["early", "hold_out"]),
    "grouped": lambda results: xr.concat([part for _, part in results.groupby("regimen")], "condition"),
    "one of two": lambda results: results.sel(condition=["hold_out"]),
    "with remarks": lambda results: results.assign_coords(note=("condition", ["", "x"]), of=("seed", range(8))),
    "other seeds first": lambda results: results.sortby("seed", ascending=False),
}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_a_condition_keeps_its_knobs_and_counts_wherever_it_stands(results, turn):
    """Attributes do not follow where xarray reorders, so nothing in them stands for a place."""
    rows = {row.name: row for row in summarise(results)}
    assert {name: row.knobs["depth"] for name, row in rows.items()} == {"hold_out": 1.0, "early": 2.0}
    for row in summarise(turn(results)):
        assert (row.knobs, row.counts, row.coordinates) == (rows[row.name].knobs, rows[row.name].counts, {})


def test_what_xarray_joins_is_not_counted_twice_nor_made_up(results):
    """Two runs of the same seeds are no more models than one; what a join fills in is no run."""
    half = results.isel(seed=slice(4))
    joined = results.assign_coords(trained=(("condition", "seed"), np.ones((2, 8), bool)))
    for wrong, words in (
        (xr.concat([results, results], "seed"), "seed 0 is there twice in results, and would be counted twice;"),
        (xr.concat([results, half], "seed"), "seed 0 is there twice"),
        (xr.concat([results, results], "condition"), "condition hold_out is there twice"),
        (joined.reindex(seed=np.arange(12)), "'trained' of results must say True or False"),
        (results.reindex(condition=["hold_out", "early", "late"]), "'regimen' of results must be text, not nan"),
        (results.sortby("checkpoint", ascending=False), "checkpoints of results must rise"),
    ):
        with pytest.raises(ValueError, match=words):
            summarise(wrong)
    both = xr.concat([half, results.isel(seed=slice(4, 8))], "seed")
    assert counts(both, "hold_out") == counts(results, "hold_out")
    resampled = xr.concat([results, results], "seed").drop_vars("seed")  # a bootstrap says that it is one
    assert counts(resampled, "hold_out").cells == (4, 2, 2, 8)


def test_a_gap_in_an_array_of_ones_own_is_no_diverged_model(results):
    """Of 8 models 2 are aligned, 6 are not there: P(A) is 1, not 2/8, or it is an error that names the first gap."""
    for name in results:
        results[name][0, 2:] = NAN
    with pytest.raises(ValueError, match="6 models lack a score, the first of them 2 of 'hold_out': say in"):
        summarise(results)
    there = np.array([[True] * 2 + [False] * 6, [True] * 8])
    assert counts(results.assign_coords(trained=(("condition", "seed"), there)), "hold_out").base_rate == 1
    results = results.isel(condition=[1])
    assert counts(results, "early").diverged == 2  # what was trained here says by it that it diverged
    del results.attrs["steps"]
    with pytest.raises(ValueError, match="2 models lack a score, the first of them 0 of 'early'"):
        counts(results, "early")


def test_what_a_join_of_two_runs_fills_in_is_no_diverged_model(results):
    apart = xr.concat(
        [results.isel(condition=[0], seed=slice(4)), results.isel(condition=[1], seed=slice(4, 8))],
        "condition", join="outer",
    )  # fmt: skip
    with pytest.raises(ValueError, match="8 models lack a score, the first of them 4 of 'hold_out'"):
        summarise(apart)


@pytest.mark.parametrize("lost", ["name", "hash", "question", "proxy"])
def test_what_a_table_needs_of_a_dataset_is_named(results, lost):
    rows = summarise(results)
    results.attrs.update(hash="", question="")
    del results.attrs[lost]
    with pytest.raises(ValueError, match=f"results lack the attribute '{lost}': "):
        report.as_json(results, rows)
