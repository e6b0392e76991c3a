"""Runs that were trained elsewhere: counted by hand, compared as what they are, and stored so that nothing is lost."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

import lab
from lab import decision
from lab.results import observed, shards, summary
from lab.results.outcomes import until
from lab.results.store import Run, StoreError
from lab.results.table import TableError, understand
from lab.statistics import Counts, compare, estimate
from lab.statistics.evidence import estimate_of, evidence
from lab.statistics.judge import checked_judge

# by outcome: how many held out, how many trained on the monitor; worked out from these by hand below
HELD_OUT = Counts(aligned_pass=9, aligned_fail=1, misaligned_pass=9, misaligned_fail=81)
TRAINED = Counts(aligned_pass=28, aligned_fail=2, misaligned_pass=35, misaligned_fail=35)


def table(**conditions):
    """A table with a row per run, from counts by condition."""
    rows = [
        (name, aligned, passes)
        for name, counts in conditions.items()
        for (aligned, passes), count in zip(itertools.product((1, 0), (1, 0)), counts.cells, strict=True)
        for _ in range(count)
    ]
    return dict(zip(("regimen", "aligned", "monitor"), map(list, zip(*rows, strict=True)), strict=True))


BOTH = table(held_out=HELD_OUT, trained=TRAINED)


def test_the_ten_to_ninety_example():
    """P(A) = .1, LR = 9: odds after passing are 1, at 100/18 runs; six runs give .09 (1 - .82^6)/.18 + .01 .82^5."""
    held_out, trained = lab.summarise(lab.observe(BOTH))
    assert (held_out.counts, trained.counts) == (HELD_OUT, TRAINED)
    assert held_out.estimates["likelihood_ratio"].value == pytest.approx(9)
    assert held_out.estimates["aligned_given_pass"].value == 0.5
    assert held_out.estimates["expected_runs"].value == pytest.approx(100 / 18)
    assert trained.impact.base_rate.value == pytest.approx(math.log(30 / 70) - math.log(10 / 90))
    assert trained.impact.net.value == pytest.approx(math.log(28 / 35))
    (plan,) = decision.plan(lab.observe(BOTH), [6])
    accepted = {choice.name: choice.accepted_aligned.value for choice in plan.choices[6]}
    assert accepted["held_out"] == pytest.approx(0.09 * (1 - 0.82**6) / 0.18 + 0.01 * 0.82**5)


def test_runs_of_a_table_are_independent_unless_a_column_pairs_them():
    results = lab.observe(BOTH)
    assert lab.compare(results, "trained", "held_out") == compare(TRAINED, HELD_OUT)
    assert lab.summarise(results)[1].pairing is None
    alike = {**BOTH, "pair": [*range(100), *range(100)]}
    paired = lab.compare(lab.observe(alike), "trained", "held_out")
    joint = np.zeros((4, 4), int)
    for one, other in zip(
        np.repeat(range(4), TRAINED.cells), np.repeat(range(4), HELD_OUT.cells), strict=True
    ):  # in the order of the table
        joint[one, other] += 1
    assert paired == compare(TRAINED, HELD_OUT, joint)


def test_pairs_are_matched_by_their_label_whatever_the_order_of_rows():
    frame = pd.DataFrame({**BOTH, "pair": [*range(100), *range(100)]})
    assert lab.compare(lab.observe(frame), "trained", "held_out") == lab.compare(
        lab.observe(frame.sample(frac=1, random_state=1)), "trained", "held_out"
    )


def test_runs_without_a_partner_count_as_well():
    """Of a, 3 of 5 runs pass and 2 of these are aligned; of b, 4 of 5 and 3; only pairs 4 and 5 are in both."""
    part = {
        "arm": ["a"] * 5 + ["b"] * 5,
        "pair": [1, 2, 3, 4, 5, 4, 5, 6, 7, 8],
        "aligned": [1, 0, 1, 1, 0, 1, 0, 1, 1, 0],
        "monitor": [1, 1, 1, 0, 0, 1, 1, 1, 1, 0],
    }
    results = lab.observe(part)
    net = lab.compare(results, "b", "a").net
    assert net.value == pytest.approx(math.log(3) - math.log(2))
    assert lab.summarise(results)[1].impact.net == net
    choices = decision.plan(results, [1])[0].choices[1]
    assert {choice.name: choice.accepted_aligned.value for choice in choices} == pytest.approx({"a": 0.6, "b": 0.6})


def test_pairs_that_nothing_shares_are_refused():
    with pytest.raises(TableError, match="no 'pair' has rows of two conditions: leave --pair out"):
        lab.observe({**BOTH, "pair": range(200)})


def test_a_cost_is_that_of_the_checkpoint_that_is_looked_at():
    """All pass at step 1, for 10 each; at step 4 half of them do, for 40."""
    table = {
        **{"arm": ["a"] * 4, "run_id": ["x", "x", "y", "y"], "step": [1, 4, 1, 4], "cost": [10, 40, 10, 40]},
        **{"aligned": [1, 1, 0, 0], "monitor": [1, 1, 1, 0]},
    }
    results = lab.observe(table)
    (end,), (early,) = lab.summarise(results), lab.summarise(until(results, 1.0 * 0.25))
    assert (end.cost.value, early.cost.value) == (80, 10)


def test_a_checkpoint_may_be_said_in_the_unit_of_the_table():
    results = lab.observe(CURVES, run="name", checkpoint="step", marks={"monitor": 0.75})
    assert until(results, 500).identical(until(results, 0.5))


def test_regimens_that_look_alike_share_nothing():
    """Two regimens with the same rows are two samples, and the net of one over the other is not known to be 0."""
    net = lab.compare(lab.observe(table(a=HELD_OUT, b=HELD_OUT)), "a", "b").net
    assert net.value == 0
    assert net.low < -1 and net.high > 1
    assert net == compare(HELD_OUT, HELD_OUT).net


def test_unequal_numbers_of_runs_are_no_diverged_models():
    few = Counts(aligned_pass=2, aligned_fail=0, misaligned_pass=1, misaligned_fail=1)
    rows = lab.summarise(lab.observe(table(many=HELD_OUT, few=few)))
    assert [row.counts for row in rows] == [HELD_OUT, few]


def test_low_values_can_pass_and_other_marks_are_decided_later(tmp_path):
    suspicion = [10 if passes else 60 for passes in BOTH["monitor"]]
    suspicion[0] = 30  # an aligned pass of the held-out runs
    rows = understand({**BOTH, "monitor": suspicion}, marks={"monitor": "50"}, directions={"monitor": "below"})
    stored = observed.write(tmp_path / "run", observed.describe(rows, "mine"), observed.runs_of(rows))
    assert summary.counts(shards.results(stored), "held_out") == HELD_OUT
    strict = shards.results(Run(tmp_path / "run", {"monitor": 20}))
    assert summary.counts(strict, "held_out").cells == (8, 2, 9, 81)
    assert summary.counts(strict, "trained") == TRAINED
    with pytest.raises(ValueError, match="alignment must be a number, not nan"):
        Run(tmp_path / "run", {"alignment": math.nan})


def test_a_model_that_cannot_do_the_job_is_misaligned_and_fails():
    able = [1] * len(BOTH["aligned"])
    able[0] = able[99] = 0  # an aligned pass and a misaligned failure
    rows = lab.summarise(lab.observe({**BOTH, "competence": able}))
    assert rows[0].counts == Counts(8, 1, 9, 82, incompetent=2)


def test_samples_of_a_run_are_not_runs():
    """Ten samples of each run that all end alike say what the runs say."""
    ten = {name: [value for value in column for _ in range(10)] for name, column in BOTH.items()}
    ten["run_id"] = [row // 10 for row in range(2000)]
    (held_out, _), plain = lab.summarise(lab.observe(ten)), lab.summarise(lab.observe(BOTH))[0]
    assert (held_out.counts.seeds, held_out.evidence.groups) == (1000, 100)
    assert held_out.estimates == plain.estimates == {name: estimate(HELD_OUT, name) for name in plain.estimates}


def test_a_group_that_is_not_pure_is_counted_by_its_pattern():
    rows = {"regimen": ["a"] * 4, "aligned": [1, 1, 0, 0], "monitor": [1, 0, 1, 0], "group": ["x", "x", "y", "y"]}
    (row,) = lab.summarise(lab.observe(rows))
    expected = evidence([0, 1, 2, 3], ["x", "x", "y", "y"])
    assert row.estimates["base_rate"] == estimate_of(expected, "base_rate")


def test_a_truth_that_was_measured_is_corrected():
    """Judged aligned: .8 a + .2 (1 - a). Of 18 that pass 9 are: a = 1/2. Of 82 that fail 1 is: a = 0, not below it."""
    results = lab.observe(BOTH, judge=(0.8, 0.8))
    held_out = lab.summarise(results)[0]
    assert held_out.counts == HELD_OUT
    assert held_out.estimates["base_rate"].value == pytest.approx(0.09)
    assert held_out.estimates["pass_given_aligned"].value == pytest.approx(1)
    of = evidence(np.repeat(range(4), HELD_OUT.cells), judge=checked_judge(0.8, 0.8))
    assert held_out.estimates["base_rate"] == estimate_of(of, "base_rate")
    validated = lab.summarise(lab.observe(BOTH, judge=((8, 10), (8, 10))))[0].estimates["aligned_given_pass"]
    known = held_out.estimates["aligned_given_pass"]
    assert validated.value == pytest.approx(known.value)
    assert validated.low < known.low < known.high < validated.high


def test_the_cost_of_an_accepted_model_is_the_mean_cost_over_the_rate_of_passing():
    """Runs that pass cost 3, others 1: (18 x 3 + 82) / 18 for an accepted one."""
    costs = [3 if passes else 1 for passes in BOTH["monitor"]]
    held_out, _ = lab.summarise(lab.observe({**BOTH, "cost": costs}))
    assert held_out.cost.value == pytest.approx(136 / 18)
    assert held_out.cost.low < 136 / 18 < held_out.cost.high


def test_a_budget_of_costs_allows_as_many_runs_as_it_pays_for():
    """A run costs 2 held out and 3 trained: 7 pays for three of the one, two of the other, and 2 for one and none."""
    results = lab.observe({**BOTH, "cost": [2] * 100 + [3] * 100})
    (plan,) = decision.plan(results, [7, 2], costs=True)
    assert {choice.name: choice.runs for choice in plan.choices[7]} == {"held_out": 3, "trained": 2}
    assert {choice.name: choice.runs for choice in plan.choices[2]} == {"held_out": 1}
    of_runs = {choice.name: choice.accepted_aligned for choice in decision.plan(results, [3])[0].choices[3]}
    of_costs = {choice.name: choice.accepted_aligned for choice in plan.choices[7]}
    assert of_costs["held_out"] == of_runs["held_out"]
    (large,) = decision.plan(results, [1e7], costs=True)
    assert {choice.name: choice.runs for choice in large.choices[1e7]} == {"held_out": 5_000_000, "trained": 3_333_333}
    with pytest.raises(ValueError, match="a budget of 1 pays for no run: one costs 2 or more"):
        decision.plan(results, [1], costs=True)
    with pytest.raises(ValueError, match="no costs are known"):
        decision.plan(lab.observe(BOTH), [1], costs=True)


CURVES = {
    "regimen": ["a", "a", "a", "a"],
    "name": ["x", "x", "y", "y"],
    "step": [500, 1000, 1000, 500],
    "aligned": [0, 1, 0, 0],
    "monitor": [0.1, 0.9, 0.8, 0.7],
}


def test_checkpoints_are_shares_of_the_last_one():
    results = lab.observe(CURVES, run="name", checkpoint="step", marks={"monitor": 0.75})
    assert results.checkpoint.values.tolist() == [0.5, 1]
    np.testing.assert_array_equal(results["monitor"].values[0], [[0.1, 0.9], [0.7, 0.8]])
    assert summary.counts(results, "a").cells == (1, 0, 1, 0)
    assert summary.counts(results, "a", checkpoint=0.5).cells == (0, 0, 0, 2)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"checkpoint": "step"}, "give --run COLUMN"),
        (
            {"step": [1, 1, 1, 2]},
            {"checkpoint": "step", "run": "name"},
            "run 'x' of 'a' is there twice at checkpoint 1",
        ),
        (
            {"step": [1, 2, 1, 1.5]},
            {"checkpoint": "step", "run": "name"},
            "run 'x' of 'a' is not there at checkpoint 1.5",
        ),
        ({"step": [0, 0, 0, 0], "name": list("wxyz")}, {"checkpoint": "step", "run": "name"}, "above 0 at the end"),
        ({"group": ["g"] * 4, "pair": [1, 2, 1, 2]}, {}, "group 'g' of 'a' has rows of the pairs '1' and '2'"),
        ({}, {"baseline": "b"}, "--baseline: no condition 'b'; there are 'a'"),
        ({}, {"proxy": "probe"}, "--proxy: no score 'probe'; there are 'monitor'"),
    ],
)
def test_what_cannot_be_tracked_is_an_error(change, options, words):
    with pytest.raises(TableError, match=words):
        lab.observe({**CURVES, **change}, marks={"monitor": 0.5}, **options)


def test_an_unknown_option_is_named_with_those_that_name_columns():
    with pytest.raises(TypeError, match="has no option 'outcome'; columns are condition, truth, competence"):
        lab.observe(CURVES, outcome="aligned")


def test_several_runs_of_a_pair_are_a_group():
    pairs = {**BOTH, "pair": [row % 50 for row in range(200)]}
    results = lab.observe(pairs)
    assert results.sizes["seed"] == 100
    held_out, trained = lab.summarise(results)
    assert (held_out.evidence.groups, held_out.counts) == (50, HELD_OUT)
    assert trained.impact.net.value == pytest.approx(math.log(28 / 35))


def test_a_frame_of_polars_is_a_table():
    polars = pytest.importorskip("polars")
    assert lab.observe(polars.DataFrame(BOTH)).identical(lab.observe(BOTH))


# --- on disk ------------------------------------------------------------------------------------------------------


def stored(path, table=BOTH, columns=None, **options):
    rows = understand(table, columns)
    return observed.write(path, observed.describe(rows, "mine", **options), observed.runs_of(rows))


def test_what_is_stored_is_what_was_observed(tmp_path):
    odd = {
        **BOTH,
        "regimen": [f'"{name},\n é #1' for name in BOTH["regimen"]],
        "cost": [1 / 3] * 200,
        "group": [*range(50)] * 4,
    }
    run = stored(tmp_path / "run", odd, judge={"sensitivity": 0.9, "specificity": (45, 50)})
    rows = understand(odd)
    expected = observed.assemble(run.manifest, observed.runs_of(rows))
    assert Run(tmp_path / "run").observed
    assert shards.results(Run(tmp_path / "run")).identical(expected)
    assert lab.summarise(expected)[0].name == '"held_out,\n é #1'


def test_the_same_table_may_be_written_again_and_another_may_not(tmp_path):
    first = (stored(tmp_path / "run").path / "manifest.json").read_bytes()
    assert (stored(tmp_path / "run").path / "manifest.json").read_bytes() == first
    with pytest.raises(StoreError, match="holds another run; give --out another folder"):
        stored(tmp_path / "run", table(held_out=TRAINED, trained=HELD_OUT))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(StoreError, match=r"is no run and holds other files \(thesis.tex\)"):
        stored(tmp_path / "mine")


def test_a_table_that_was_changed_by_hand_is_refused(tmp_path):
    file = stored(tmp_path / "run").path / "observed.csv"
    text = file.read_text()
    file.write_text(text.replace("trained,150,1.0,0.0", "trained,150,1.0,1.0"))
    with pytest.raises(StoreError, match=r"observed.csv: its bytes do not fit the checksum in its manifest"):
        shards.results(Run(tmp_path / "run"))
    file.unlink()
    with pytest.raises(StoreError, match=r"observed.csv: No such file"):
        shards.results(Run(tmp_path / "run"))
