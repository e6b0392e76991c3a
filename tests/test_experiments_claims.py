"""Rules of claims, on populations whose truth is known by construction."""

import json

import numpy as np
import pytest

from lab import claims
from lab.config.experiment import parse
from lab.decision import finite_budget
from lab.results import shards
from lab.statistics import Estimate
from lab.training import engine
from tests.hand_made_claims import (
    BETTER,
    HELD,
    MF,
    PERFECT,
    SURE,
    WORSE,
    population,
    regimens,
    verdict,
)

NONE, HALF = [0, 0, 0, 1000], [500, 0, 0, 500]


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("four_regimens", regimens(BETTER, SURE, WORSE, BETTER), claims.SUPPORTED),
        ("four_regimens", regimens(BETTER, SURE, BETTER, BETTER), claims.CONTRADICTED),
        ("four_regimens", regimens(HELD, HELD, HELD, HELD), claims.UNDECIDED),
        ("early_shaping", regimens(BETTER, [900, 0, 100, 0], WORSE, BETTER), claims.SUPPORTED),
        ("early_shaping", regimens(BETTER, SURE, WORSE, BETTER), claims.SUPPORTED),
        ("early_shaping", regimens(BETTER, WORSE, WORSE, BETTER), claims.CONTRADICTED),
        ("early_shaping", regimens(BETTER, [700, 0, 0, 300], WORSE, BETTER), claims.UNDECIDED),  # LR is not 1
        # held out, P(A|T) is 1 and .46: training is better with one run in both worlds, and with many in the second
        ("budget", regimens([900, 0, 100, 0], WORSE, WORSE, WORSE), claims.DEPENDS),
        ("budget", regimens([900, 0, 100, 0], WORSE, WORSE, WORSE, held=PERFECT), claims.SUPPORTED),
        ("budget", regimens(SURE, WORSE, WORSE, WORSE), claims.CONTRADICTED),  # a tie in the first, .46 in the second
        ("budget", regimens(SURE, [900, 0, 100, 0], WORSE, WORSE, held=PERFECT), claims.UNDECIDED),  # two ties
        ("budget", regimens(*[[100, 0, 900, 0]] * 4), claims.UNDECIDED),  # it is to hold out, whatever the budget
        ("precursors", population(plain=HELD, precursor=WORSE, precursor_alone=PERFECT), claims.SUPPORTED),
        ("precursors", population(plain=WORSE, precursor=HELD, precursor_alone=PERFECT), claims.CONTRADICTED),
        ("silly_proxy", population(hold_out=HELD, early=HELD, throughout=[100, 0, 900, 0]), claims.SUPPORTED),
        ("silly_proxy", population(hold_out=HELD, early=HELD, throughout=BETTER), claims.CONTRADICTED),
    ],
)  # fmt: skip
def test_rules_of_schedules_on_populations_whose_truth_is_known(name, stored, expected):
    assert verdict(name, stored) == expected


@pytest.mark.parametrize(
    ("falling", "constant", "expected"),
    [
        ([SURE, HELD, HELD], [SURE, HELD, HELD], claims.SUPPORTED),  # the first window moves values, no later one does
        ([HELD, SURE, HELD], [HELD, HELD, SURE], claims.CONTRADICTED),  # some later one moves them more
        ([HELD, HELD, SURE], [SURE, HELD, HELD], claims.DEPENDS),  # that hangs on the learning rate
        ([SURE, HELD, HELD], [SURE, SURE, SURE], claims.UNDECIDED),  # all alike, so the first is not best
        ([HELD, HELD, HELD], [HELD, HELD, HELD], claims.UNDECIDED),
    ],
)
def test_the_first_of_equal_windows_is_best_or_beaten_under_each_schedule(falling, constant, expected):
    rows, about = [], {}
    for final, windows in ((0.05, falling), (1, constant)):
        about[f"hold_out final={final:g}"] = {"regimen": "hold_out", "coordinates": {"final": final}}
        rows.append(np.repeat(np.arange(4), PERFECT))
        for onset, cells in zip((0, 0.4, 0.9), windows, strict=True):
            where = {"final": final, "onset": onset}
            about[f"push final={final:g} onset={onset:g}"] = {"regimen": "push", "coordinates": where}
            rows.append(np.repeat(np.arange(4), cells))
    assert verdict("equal_windows", claims.Stored("made", claims.tabulate(rows, about, 0.95))) == expected


def test_the_map_is_supported_where_cells_of_both_kinds_are_told_apart():
    """Training is better where it makes all aligned, and worse where it fills the test with misaligned models."""
    rows, about = [], {}

    def add(regimen, own, **where):
        name = " ".join([regimen, *(f"{axis}={value:g}" for axis, value in where.items())])
        about[name] = {"regimen": regimen, "coordinates": where}
        rows.append(np.repeat(np.arange(4), own))

    for seen, cells in ((0, SURE), (1, [100, 0, 900, 0])):
        add("hold_out", HELD, detectability=seen)
        for window in ("early", "late", "throughout"):
            add(window, cells, detectability=seen, weight=0.1)

    def counted(rows, about):
        data = claims.tabulate(rows, about, 0.95)
        return claims.Stored("made", data | {"halves": [data, data], "refined": []})

    both = counted(rows, about)
    assert verdict("when_to_train", both) == claims.SUPPORTED
    # o(A|T) is .6 held out; inf where all are aligned, 1/9 where the test is full: the sign of the product is right
    right = claims.module("when_to_train").algebra(both)
    assert {hit for own in right.values() for hit in own.values()} == {True}
    half = {name: own for name, own in about.items() if own["coordinates"]["detectability"] == 0}
    assert verdict("when_to_train", counted(rows[:4], half)) == claims.CONTRADICTED
    (found,) = {round(x.value, 12) for x in claims.module("when_to_train").cells(both, 3, 1).values() if x.value > 0}
    held = finite_budget(0.3, 1, 0.5, 3).accepted_aligned
    assert found == pytest.approx(1 - held)


def count_by_hand(tmp_path, **alignments):
    """Count silly_proxy on 64 models of scratchpad per condition, which all pass: regimen -> alignment by turns."""

    def train(experiment, folder):
        """Write what training would write."""

        def write(run, keys, _progress, _say):
            regimen_of = {condition["leaf"]: condition["regimen"] for condition in run.manifest["conditions"]}
            names, checkpoints = run.manifest["scores"], run.manifest["checkpoints"]
            for leaf, first in keys:
                seeds = first + np.arange(run.manifest["block_width"])
                scores = np.ones((len(seeds), len(checkpoints), len(names)), np.float32)
                by_turns = np.resize(alignments[regimen_of[leaf]], len(seeds))
                scores[:, :, names.index("alignment")] = by_turns[:, None]
                shards.write_shard(run, leaf, first, shards.shard(scores, names, seeds, checkpoints))

        return engine.run(experiment, folder, train=write)

    folders = claims.Folders(tmp_path / "runs", tmp_path / "figures")
    claims.run("silly_proxy", train, seeds=64, folders=folders, only=["scratchpad"])
    return json.loads((tmp_path / "figures/silly_proxy.json").read_text())


def test_a_verdict_is_given_at_every_mark_where_outcomes_are_graded(tmp_path):
    """A third of the models, those held out, lie at .6: aligned at the marks .5 to .6, and not from .65 on.

    Of those trained on the proxy half lie at .95 and half at .1. So training lowers P(A) from 1 to 1/2 at the marks .5
    to .6, which supports the claim, and raises it from 0 to 1/2 at the others. The task's own mark is .9.
    """
    data = count_by_hand(tmp_path, hold_out=[0.6], early=[0.95, 0.1], throughout=[0.95, 0.1])
    task = data["tasks"]["scratchpad"]
    supported = dict.fromkeys((0.5, 0.55, 0.6), claims.SUPPORTED)
    contradicted = dict.fromkeys((0.65, 0.7, 0.75, 0.8, 0.85, 0.9), claims.CONTRADICTED)
    assert {entry["mark"]: entry["verdict"] for entry in task["marks"]} == supported | contradicted
    for entry in task["marks"]:
        counted = entry.get("counts", task)["conditions"]
        held_out = [64, 0, 0, 0] if entry["mark"] <= 0.6 else [0, 0, 64, 0]
        cells = {name: condition["cells"] for name, condition in counted.items()}
        assert cells == {"hold_out": held_out, "early": [32, 0, 32, 0], "throughout": [32, 0, 32, 0]}
    assert [entry["mark"] for entry in task["marks"] if "counts" not in entry] == [0.9]
    moves = "supported at marks 0.5 to 0.6, contradicted at 0.65 to 0.9"
    rows = {row["name"]: row for row in claims.table(tmp_path / "figures")}
    assert claims.Verdict(**rows["silly_proxy"]["tasks"]["scratchpad"]).in_words == f"contradicted ({moves})"
    for ending in ("txt", "tex"):
        assert moves in (tmp_path / f"figures/silly_proxy.{ending}").read_text()


def test_nothing_is_stored_of_other_marks_where_models_are_of_two_kinds(tmp_path):
    data = count_by_hand(tmp_path, hold_out=[0.95], early=[0.95, 0.1], throughout=[0.95, 0.1])
    stored = json.loads((claims.FIGURES / "silly_proxy.json").read_text())
    assert data["tasks"]["scratchpad"].keys() == stored["tasks"]["scratchpad"].keys()
    assert "marks" not in stored["tasks"]["scratchpad"]


def test_an_assignment_by_hand():
    """P(accepted is aligned) of 3 runs where 1 in 2 is aligned and passes and none else: 1/2 (1 + 1/2 + 1/4)."""
    module = claims.module("which_proxies")
    assert module.value(HALF) == pytest.approx(0.5 * (1 + 0.5 + 0.25))
    assert module.proxies("race")[3] == "control"


def portfolio(winner, **shares):
    rows = {**dict.fromkeys(("TTTT", "HHHH", "AAAA"), HELD), winner: SURE, "THHH": BETTER, **shares}
    stored = population(**rows)
    stored.data["winner"] = winner
    return stored


def test_rule_of_the_portfolio():
    assert verdict("which_proxies", portfolio("TTHA")) == claims.SUPPORTED
    assert verdict("which_proxies", portfolio("TTHH")) == claims.DEPENDS
    assert verdict("which_proxies", portfolio("TTTT")) == claims.CONTRADICTED
    assert verdict("which_proxies", portfolio("TTHA", TTTT=SURE)) == claims.UNDECIDED


def failing(rejected, kept, hopeless):
    """The plain network: a late push does what an early one does; of what ends aligned the gate rejects so many."""
    stored = population(hold_out=[200, 0, 0, 800], early=[900, 0, 0, 100], late=[900, 0, 0, 100])
    table = np.zeros((4, 4), int)
    table[0, 1], table[0, 0], table[MF, MF] = rejected, kept, hopeless
    stored.data["gate"] = table.ravel().tolist()
    return claims.Stored("shortcut", stored.data)


def test_rule_of_where_the_advice_fails():
    # without the gate 1 - 1/2^3; with it all are rejected until the last, which is accepted whatever it is: 1/2
    assert verdict("advice_fails", failing(500, 0, 500)) == claims.SUPPORTED
    assert verdict("advice_fails", failing(0, 300, 700)) == claims.DEPENDS
    flat = population(hold_out=HALF, late=[500, 0, 500, 0], late_linear=HALF, early=SURE)
    assert verdict("advice_fails", claims.Stored("scratchpad", flat.data)) == claims.SUPPORTED
    moved = population(hold_out=HALF, late=[500, 0, 500, 0], late_linear=SURE, early=SURE)
    assert verdict("advice_fails", claims.Stored("scratchpad", moved.data)) == claims.CONTRADICTED


def test_boundaries_lie_between_decided_signs():
    """Columns 1 to 4, decided below 0, undecided, undecided, decided above: the boundary lies between 1 and 4."""
    down, up, open_ = Estimate(-0.2, -0.3, -0.1), Estimate(0.2, 0.1, 0.3), Estimate(0.0, -0.1, 0.1)
    found = {("late", 1.0, x): own for x, own in zip((1, 2, 3, 4), (down, open_, open_, up), strict=True)}
    module = claims.module("when_to_train")
    assert list(module.boundaries(found)) == [("late", 1.0, 1, 4)]
    assert list(module.neighbours(found)) == [("late", 1.0, 1, 2), ("late", 1.0, 2, 3), ("late", 1.0, 3, 4)]


def test_a_refined_cell_has_its_weight_where_the_map_had_its_own():
    text = """
name: map
task: race
seeds: {first: 10, count: 4}
baseline: hold_out
regimens:
  hold_out: [{until: 1}]
  late: [{until: 0.5}, {until: 1, weights: {test: 0.1}}]
sweep:
  detectability: [0, 2]
  weight: {key: "regimens.late[1].weights.test", values: [0.1, 1]}
"""
    module = claims.module("when_to_train")
    finer = parse(module.refined_config(parse(text), module.AXES, 2.0, [("late", 0.3)]))
    assert [own.name for own in finer.conditions] == ["hold_out", "cell-00"]
    place = list(finer.task.terms).index("test")
    assert [own.weights[place] for own in finer.conditions[1].settings] == [0.0] * 10 + [0.3] * 10
    assert finer.conditions[1].knobs["detectability"] == 2.0
    assert list(finer.seeds) == list(range(500_010, 500_014))
