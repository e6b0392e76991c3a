"""Verdicts on populations whose truth is known by construction, and what is stored beside the rules."""

import itertools
import json

import numpy as np
import pytest

from lab import claims
from lab.cli import main
from lab.decision import finite_budget
from lab.statistics import Estimate

AP, AF, MP, MF = range(4)


def population(**shares):
    """Return `Stored` counts of 1,000 seeds: condition -> number of each cell, seeds in the same order."""
    rows = [np.repeat(np.arange(4), own) for own in shares.values()]
    about = {name: {"regimen": name, "coordinates": {}} for name in shares}
    return claims.Stored("made", claims.tabulate(rows, about, 0.95))


def world(axis, values, **shares):
    """Return `Stored` counts of regimens at values of an axis: regimen -> a list of counts of cells per value."""
    rows, about = [], {}
    for index, value in enumerate(values):
        for regimen, own in shares.items():
            rows.append(np.repeat(np.arange(4), own[index]))
            about[f"{regimen} {axis}={value:g}"] = {"regimen": regimen, "coordinates": {axis: value}}
    return claims.Stored("made", claims.tabulate(rows, about, 0.95))


def verdict(name, stored):
    return claims.module(name).judge(stored).verdict


HELD, PERFECT = [300, 0, 350, 350], [300, 0, 0, 700]  # a test that half of the misaligned pass, and one that none does
BETTER, WORSE, SURE = [900, 0, 50, 50], [300, 0, 700, 0], [1000, 0, 0, 0]


def regimens(early, strong, late, throughout, anti_late=PERFECT, held=HELD):
    same = {"early": early, "early_strong": strong, "late": late, "throughout": throughout, "anti_late": anti_late}
    both = {name: [own, own] for name, own in {**same, "anti_early": [50, 0, 400, 550]}.items()}
    return world("implicit_proxy", [0, 0.03], hold_out=[PERFECT, held], **both)


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
        ("implicit_proxies", regimens(BETTER, SURE, WORSE, BETTER), claims.SUPPORTED),
        ("implicit_proxies", regimens(BETTER, SURE, WORSE, BETTER, held=PERFECT), claims.UNDECIDED),
        ("anti_training", regimens(BETTER, SURE, WORSE, BETTER), claims.SUPPORTED),
        ("anti_training", regimens(BETTER, SURE, WORSE, BETTER, anti_late=WORSE), claims.CONTRADICTED),
        ("budget", regimens([900, 0, 100, 0], WORSE, WORSE, WORSE), claims.SUPPORTED),
        ("budget", regimens(SURE, WORSE, WORSE, WORSE), claims.CONTRADICTED),  # nothing is lost with many runs
        ("budget", regimens(*[[100, 0, 900, 0]] * 4), claims.CONTRADICTED),  # nothing is won with one
        ("precursors", population(plain=HELD, precursor=WORSE, precursor_alone=PERFECT), claims.SUPPORTED),
        ("precursors", population(plain=WORSE, precursor=HELD, precursor_alone=PERFECT), claims.CONTRADICTED),
        ("silly_proxy", population(hold_out=HELD, early=HELD, throughout=[100, 0, 900, 0]), claims.SUPPORTED),
        ("silly_proxy", population(hold_out=HELD, early=HELD, throughout=BETTER), claims.CONTRADICTED),
        ("by_construction", world("built_in", [0, 1], hold_out=[HELD, SURE]), claims.SUPPORTED),
        ("by_construction", world("built_in", [0, 1], hold_out=[PERFECT, BETTER]), claims.CONTRADICTED),
        ("restart_or_continue", population(finished=PERFECT, continued=WORSE, restarted=BETTER), claims.SUPPORTED),
        ("restart_or_continue", population(finished=PERFECT, continued=WORSE, restarted=WORSE), claims.CONTRADICTED),
        (
            "incentive_against_preference",
            world("cost", [0, 1], hold_out=[PERFECT] * 2, incentive=[WORSE, PERFECT], incentive_linear=[PERFECT] * 2),
            claims.SUPPORTED,
        ),
        (
            "incentive_against_preference",
            world("cost", [0, 1], hold_out=[PERFECT] * 2, incentive=[WORSE, WORSE], incentive_linear=[PERFECT] * 2),
            claims.CONTRADICTED,
        ),
        (
            "critical_period",
            world("detectability", [0, 1], hold_out=[PERFECT] * 2, push_early=[SURE] * 2, push_late=[PERFECT, WORSE]),
            claims.SUPPORTED,
        ),
        (
            "critical_period",
            world("detectability", [0, 1], hold_out=[PERFECT] * 2, push_early=[SURE] * 2, push_late=[SURE, WORSE]),
            claims.DEPENDS,
        ),
        (
            "critical_period",
            world("detectability", [0, 1], hold_out=[PERFECT] * 2, push_early=[SURE] * 2, push_late=[SURE] * 2),
            claims.CONTRADICTED,
        ),
        ("adult_tests", population(**{"30%": [300, 0, 0, 700], "100%": HELD}), claims.SUPPORTED),
        ("adult_tests", population(**{"30%": HELD, "100%": PERFECT}), claims.CONTRADICTED),
    ],
)  # fmt: skip
def test_rules_on_populations_whose_truth_is_known(name, stored, expected):
    assert verdict(name, stored) == expected


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


def test_an_early_gate_by_hand():
    """Compute 3; of 10 runs 3 are aligned and pass everything, 5 misaligned pass at the end, none of them early.

    At the end alone: p = P(A, T) = .3, misaligned .5 pass, .2 fail; .3 (1 + .2 + .04), the forced last one included.
    With the gate a run costs .2 if it is stopped, which is allowed while at least 1 is left after it: from 3 down, in
    steps of .2, ten times; then the last run is accepted whatever it is: 1 - .7^11.
    """
    joint = np.zeros((4, 4))
    joint[AP, AP], joint[MP, MF], joint[MF, MF] = 0.3, 0.5, 0.2
    gain, without, with_gate = claims.module("early_rejection").values(joint[None])
    assert without[0] == pytest.approx(0.3 * (1 + 0.2 + 0.04))
    assert with_gate[0] == pytest.approx(1 - 0.7**11)
    assert gain[0] == pytest.approx(with_gate[0] - without[0])


def test_words_of_several_tasks():
    yes, no, either, open_ = claims.SUPPORTED, claims.CONTRADICTED, claims.DEPENDS, claims.UNDECIDED
    assert claims.overall([yes, yes]) == yes
    assert claims.overall([no, no]) == no
    assert claims.overall([yes, no, open_]) == either
    assert claims.overall([yes, either]) == either
    assert claims.overall([yes, open_]) == open_
    assert claims.overall([]) == claims.NOT_RUN
    assert claims.decide(Estimate(1, 0.5, 2), Estimate(1, 0.1, 2)) == yes
    assert claims.decide(Estimate(1, 0.5, 2), Estimate(-1, -2, -0.5)) == no
    assert claims.decide(Estimate(1, 0.5, 2), Estimate(1, -0.1, 2)) == open_


def test_a_difference_covers_its_value():
    stored = population(one=BETTER, other=HELD)
    value = claims.accepted(3)
    found = stored.difference("one", value, "other", value)
    by_hand = (finite_budget(p, 1, f, 3).accepted_aligned for p, f in ((0.9, 0.5), (0.3, 0.5)))
    assert found.value == pytest.approx(next(by_hand) - next(by_hand))
    assert found.low < found.value < found.high
    back = stored.difference("other", value, "one", value)
    assert back.value == pytest.approx(-found.value)


def test_every_claim_has_its_words_and_configs():
    for name in claims.names():
        module = claims.module(name)
        assert claims.claim(name).rule.startswith("Rule")
        assert f"lab experiment {name}" in module.__doc__
        for word in ("Command:", "Expected:", "Cost:"):
            assert word in module.__doc__, (name, word)
        assert len(claims.configs(name)) >= 2, name


def test_a_verdict_is_computed_from_what_is_stored_and_from_nothing_else(tmp_path, capsys):
    """A stored claim whose counts are replaced changes its verdict; one that is not there is not run."""
    stored = regimens(BETTER, SURE, WORSE, BETTER)
    data = {"tasks": {"made": {"baseline": "hold_out", **stored.data}}}
    (tmp_path / "four_regimens.json").write_text(json.dumps(data))
    rows = {row["name"]: row for row in claims.table(tmp_path)}
    assert rows["four_regimens"]["verdict"] == claims.SUPPORTED
    assert {row["verdict"] for name, row in rows.items() if name != "four_regimens"} == {claims.NOT_RUN}
    data["tasks"]["made"] |= regimens(HELD, HELD, HELD, HELD).data
    (tmp_path / "four_regimens.json").write_text(json.dumps(data))
    assert main(["claims", "--figures", str(tmp_path), "--json"]) == 0
    rows = {row["name"]: row["verdict"] for row in json.loads(capsys.readouterr().out)}
    assert rows["four_regimens"] == claims.UNDECIDED
    assert main(["experiment", "no_such_claim"]) == 2
    assert "no_such_claim" in capsys.readouterr().err


def test_figures_of_claims_are_rebuilt_to_the_byte(tmp_path):
    """Numbers and words as they are stored; pictures, which depend on matplotlib's version, twice alike."""
    kept = [name for name in claims.names_with_counts() if (claims.FIGURES / f"{name}.json").stat().st_size < 50_000]
    for name in kept[:: max(1, len(kept) // 4)]:
        for folder in ("first", "second"):
            claims.redraw(name, to=tmp_path / folder)
        for ending in ("json", "txt", "tex", "png", "pdf"):
            stored = claims.FIGURES if ending in ("json", "txt", "tex") else tmp_path / "second"
            assert (tmp_path / "first" / f"{name}.{ending}").read_bytes() == (stored / f"{name}.{ending}").read_bytes()


def test_a_claim_runs_on_few_seeds(tmp_path):
    """The whole way, on one task: train, count, judge, draw; and the same again from what is stored."""
    given = ["experiment", "by_construction", "--seeds", "64", "--tasks", "race", "--out", str(tmp_path)]
    assert main(given) == 0
    data = json.loads((tmp_path / "figures/by_construction.json").read_text())
    own = data["tasks"]["race"]
    assert own["seeds"] == 64
    assert all(sum(condition["cells"]) == 64 for condition in own["conditions"].values())
    for one, other in itertools.combinations_with_replacement(range(2), 2):
        assert sum(own["joints"][f"{one},{other}"]) == 64
