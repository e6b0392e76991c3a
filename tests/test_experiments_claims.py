"""Rules of claims, on populations whose truth is known by construction."""

import functools
import itertools
import json

import numpy as np
import pytest

from experiments.claims.four_regimens import TRAINED
from lab import claims
from lab.config.experiment import parse
from lab.decision import finite_budget
from lab.results import shards
from lab.statistics import Estimate
from lab.training import engine
from tests.hand_made_claims import (
    AP,
    BETTER,
    HELD,
    MF,
    MP,
    PERFECT,
    SURE,
    WORSE,
    population,
    regimens,
    world,
    worlds,
    worth,
)

NONE, HALF = [0, 0, 0, 1000], [500, 0, 0, 500]


def verdict(name: str, stored: claims.Stored) -> str:
    """Return what the rule of a claim says."""
    return claims.module(name).judge(stored).verdict


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


ONSETS = [0, 0.4, 1]  # of something like the test in the main objective: from the start, put in by hand, never
AGES = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0]
FADES, USELESS, RIPENS = [PERFECT] * 5 + [WORSE], [WORSE] * 6, [WORSE] * 5 + [PERFECT]
BEST_BETWEEN = [WORSE, PERFECT, PERFECT, PERFECT, PERFECT, HELD]


def courses(start, by_hand):
    """Return a test by age, a list of counts of cells, where something like it hides from the start and from 40% on."""
    return worlds({"implicit_onset": ONSETS, "age": AGES}, hold_out=[*start, *by_hand, *[PERFECT] * 6])


def gates(start, by_hand, never):
    """Return fates in three worlds, each a pair of counts of cells: at the end, and with an early gate."""
    rows, about = [], {}
    for onset, pair in zip(ONSETS, (start, by_hand, never), strict=True):
        for when, cells in zip(("end", "early"), pair, strict=True):
            rows.append(np.repeat(np.arange(4), cells))
            about[f"{onset} {when}"] = {"regimen": "hold_out", "coordinates": {"implicit_onset": onset}}
    return claims.Stored("made", claims.tabulate(rows, about, 0.95))


CATCHES = [300, 0, 500, 200], [300, 0, 0, 700]  # the gate stops whom the test does not
IDLE, ALL_ALIGNED = ([300, 0, 500, 200], [300, 0, 700, 0]), (SURE, SURE)  # it stops nobody; there is nobody to stop


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        ("adult_tests", courses(FADES, USELESS), claims.SUPPORTED),
        ("adult_tests", courses(USELESS, FADES), claims.DEPENDS),  # only where its onset was put in by hand
        ("adult_tests", courses(USELESS, RIPENS), claims.CONTRADICTED),
        ("adult_tests", courses(RIPENS, RIPENS), claims.CONTRADICTED),
        ("adult_tests", courses(BEST_BETWEEN, FADES), claims.DEPENDS),  # the youngest fail it too
        ("adult_tests", courses([SURE] * 6, USELESS), claims.UNDECIDED),  # nobody is left to fail
        ("adult_tests", courses([SURE] * 6, FADES), claims.UNDECIDED),  # nor does what was put in by hand tell
        ("implicit_proxies", world("implicit_onset", ONSETS, hold_out=[WORSE, PERFECT, PERFECT]), claims.SUPPORTED),
        ("implicit_proxies", world("implicit_onset", ONSETS, hold_out=[PERFECT, HELD, PERFECT]), claims.DEPENDS),
        ("implicit_proxies", world("implicit_onset", ONSETS, hold_out=[PERFECT] * 3), claims.CONTRADICTED),
        ("implicit_proxies", world("implicit_onset", ONSETS, hold_out=[HELD] * 3), claims.CONTRADICTED),
        ("implicit_proxies", world("implicit_onset", ONSETS, hold_out=[SURE, PERFECT, PERFECT]), claims.UNDECIDED),
        # with three runs .372 at the end, and 1 - .7^11 with the gate
        ("early_rejection", gates(CATCHES, IDLE, IDLE), claims.SUPPORTED),
        ("early_rejection", gates(IDLE, CATCHES, IDLE), claims.DEPENDS),
        ("early_rejection", gates(IDLE, IDLE, CATCHES), claims.CONTRADICTED),  # what never hides decides nothing
        ("early_rejection", gates(ALL_ALIGNED, IDLE, CATCHES), claims.UNDECIDED),
    ],
)  # fmt: skip
def test_rules_of_held_out_tests_by_when_gaming_comes(name, stored, expected):
    assert verdict(name, stored) == expected


def test_of_two_worlds_from_the_start_that_differ_neither_decides_alone():
    axes = {"implicit_onset": ONSETS, "detection_difficulty": [1, 2]}
    differ = worlds(axes, hold_out=[WORSE, PERFECT, WORSE, WORSE, PERFECT, PERFECT])
    assert verdict("implicit_proxies", differ) == claims.DEPENDS
    rare = worlds(axes, hold_out=[WORSE, SURE, WORSE, WORSE, PERFECT, PERFECT])  # in the second one no model is left
    assert verdict("implicit_proxies", rare) == claims.SUPPORTED


SPLIT, LOST = [600, 0, 0, 400], [100, 0, 900, 0]
LEAKY, HACKED = [520, 60, 130, 290], [100, 0, 765, 135]  # P(T|not A) .31 and .85
SELDOM = [170, 130, 0, 700]  # a perfect test that aligned models seldom pass
SAFE = [PERFECT, HELD, WORSE]  # a test held out in three worlds, and in the third it is hackable


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        # 1 / .3 - 1 = 2.33 runs are discarded where all pass who were trained on the test; where it is hackable, none
        ("runs_to_discard", worth(SAFE, [WORSE] * 3), claims.SUPPORTED),
        ("runs_to_discard", worth(SAFE, [WORSE] * 3, late=[PERFECT, HELD, WORSE]), claims.CONTRADICTED),
        ("runs_to_discard", worth([PERFECT, HELD, HACKED], [WORSE] * 3), claims.CONTRADICTED),  # .16 runs are left
        ("runs_to_discard", worth([PERFECT, HELD, HELD], [WORSE] * 3), claims.UNDECIDED),  # the test is not hackable
        ("measuring", worth(SAFE, [WORSE] * 3), claims.SUPPORTED),
        ("measuring", worth(SAFE, [SPLIT] * 3, late=[WORSE] * 3), claims.DEPENDS),  # early moves values alone
        ("measuring", worth([PERFECT] * 3, [SPLIT] * 3), claims.CONTRADICTED),
        ("measuring", worth([PERFECT, SURE, SURE], [SURE] * 3), claims.UNDECIDED),  # nothing is left to measure
        ("goals", worth(SAFE, [SURE] * 3), claims.SUPPORTED),
        ("goals", worth(SAFE, [LOST] * 3), claims.CONTRADICTED),
        ("goals", worth([HELD] * 3, [HELD] * 3), claims.UNDECIDED),
        # worse models, but the share of passes is nearer to what it was: .3 aligned are read from .3 that pass
        ("goals", worth([[300, 0, 210, 490]] * 3, [[150, 0, 150, 700]] * 3), claims.UNDECIDED),
        # forced: .518 held out, .773 trained; free, with nothing worth .9: .943 and .804
        ("walking_away", worth([SELDOM, HELD, HELD], [LEAKY, HELD, HELD]), claims.SUPPORTED),
        ("walking_away", worth(SAFE, [SURE] * 3), claims.CONTRADICTED),
        ("walking_away", worth([HELD] * 3, [LOST] * 3), claims.DEPENDS),  # of those accepted 6 in 13 are aligned
        ("walking_away", worth([HELD] * 3, [HELD] * 3), claims.UNDECIDED),
    ],
)  # fmt: skip
def test_rules_of_what_a_test_is_worth(name, stored, expected):
    assert verdict(name, stored) == expected


@pytest.mark.parametrize(
    ("incentive", "expected"),
    [
        # by cost and by how much the objective wants models to pass: 0 0, 0 .3, .3 0, and .3 .3, which nobody asks for
        ([HELD, WORSE, PERFECT, PERFECT], claims.SUPPORTED),
        ([HELD, WORSE, HELD, PERFECT], claims.CONTRADICTED),  # models pass against ten times as much
        ([HELD, WORSE, SPLIT, PERFECT], claims.CONTRADICTED),  # it moves values instead
        ([HELD, [600, 0, 400, 0], PERFECT, PERFECT], claims.CONTRADICTED),  # or where the objective agrees with it
        ([PERFECT, WORSE, PERFECT, PERFECT], claims.CONTRADICTED),  # it does nothing at indifference
    ],
)
def test_one_unit_against_ten(incentive, expected):
    held = [PERFECT, WORSE, PERFECT, PERFECT]
    stored = worlds(
        {"cost": [0, 0.3], "implicit_proxy": [0, 0.3]}, hold_out=held, incentive=incentive, incentive_linear=held
    )
    assert verdict("incentive_against_preference", stored) == expected


FOOLISH = [10, 290, 350, 350]  # LR .067: the first model is the better choice


def states(trained_on_good, held_of_wrong=FOOLISH, trained_on_wrong=FOOLISH):
    """A useless and a very effective test, and an overseer who errs seldom and mostly, trained on or not."""
    sound = world("implicit_proxy", [0], hold_out=[PERFECT], late=[WORSE], anti_late=[[100, 0, 0, 900]])
    erring = world("error", [0.1, 0.9], hold_out=[PERFECT, held_of_wrong], late=[trained_on_good, trained_on_wrong])
    data = claims.module("proxy_states").join(sound.data, erring.data)
    return claims.Stored("made", data | {"baseline": "hold_out"})


def test_rule_of_the_states_of_a_proxy():
    assert verdict("proxy_states", states(FOOLISH)) == claims.SUPPORTED  # training has made it worse than useless
    assert verdict("proxy_states", states(WORSE)) == claims.DEPENDS  # useless at worst; the foolish one was so before
    assert verdict("proxy_states", states(HELD, HELD, HELD)) == claims.CONTRADICTED  # LR 2 everywhere
    assert verdict("proxy_states", states(WORSE, WORSE, WORSE)) == claims.UNDECIDED
    assert len(claims.module("proxy_states").shown(states(WORSE))) == 5


def test_counts_of_two_runs_are_joined_with_their_pairs():
    stored = states(WORSE)
    one, other, joint = stored.pair("late error=0.9", "hold_out error=0.9")
    assert (one.cells, other.cells) == (tuple(FOOLISH), tuple(FOOLISH))
    assert joint.tolist() == np.diag(FOOLISH).tolist()


def test_what_a_result_is_worth_in_bits_by_hand():
    """Of a perfect test 1; of one that half of the misaligned pass H(3/4) - H(1/2) / 2 = .811278 - .5; else nothing."""
    bits = claims.module("measuring").bits_at_even_odds
    for cells, expected in ((PERFECT, 1), (HELD, 0.311278), (WORSE, 0), (BETTER, 0.311278)):
        assert bits(np.array(cells) / 1000) == pytest.approx(expected, abs=1e-6)


def test_a_share_that_is_read_from_passes_by_hand():
    """P(T|A) .9 and P(T|not A) .1: a half passes if a half is aligned; what is below .1 or above .9 reads as 0 or 1."""
    read = claims.module("measuring").share_read
    held_out = np.array([270, 30, 70, 630]) / 1000
    assert read(np.array([0.05, 0.5, 0.95]), held_out) == pytest.approx([0, 0.5, 1])


def test_the_error_of_five_results_by_hand():
    """By a perfect test it is sqrt(.3 x .7 / 5). Where everybody passes, 1 is read: .7.

    Where half of the misaligned pass, k passes of 5 read as 0 up to k = 2, then .2, .6 and 1, and P(T) is .65. Chances
    of these are .235169, .336416, .312386, .116029, squares of errors .09, .01, .09, .49: .109498 in the mean.
    """
    error = claims.module("goals").error_of_results
    perfect, half, worse = (np.array(cells) / 1000 for cells in (PERFECT, HELD, WORSE))
    assert error(perfect, perfect) == pytest.approx((0.21 / 5) ** 0.5)
    assert error(worse, perfect) == pytest.approx(0.7)
    assert error(half, half) == pytest.approx(0.109498**0.5, abs=1e-6)


def built(held_out, flawed, whole, trained):
    """A test held out with nothing built in, one half of the property built in, and all of it; all trained to pass."""
    return world("built_in", [0, 0.5, 1], hold_out=[held_out, flawed, whole], trained_to_pass=[trained] * 3)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        # held out P(A|T) is .46
        (built(HELD, BETTER, SURE, SURE), claims.SUPPORTED),
        (built(HELD, BETTER, SURE, WORSE), claims.DEPENDS),  # trained to pass .3 are aligned
        (built(HELD, WORSE, SURE, SURE), claims.DEPENDS),
        (built(PERFECT, BETTER, BETTER, SURE), claims.CONTRADICTED),  # what passes is aligned for sure
        (built(HELD, BETTER, [950, 50, 0, 0], SURE), claims.CONTRADICTED),  # a test that some fail is worth something
        (built(WORSE, BETTER, SURE, SURE), claims.UNDECIDED),  # no test at all
        (built(HELD, [462, 0, 0, 538], SURE, SURE), claims.UNDECIDED),
    ],
)
def test_rule_of_ensuring_a_property(stored, expected):
    assert verdict("by_construction", stored) == expected


def test_from_which_share_on_building_in_wins():
    rows = [HELD, WORSE, BETTER, SURE]
    stored = world("built_in", [0, 0.1, 0.5, 1], hold_out=rows, trained_to_pass=[SURE] * 4)
    assert claims.module("by_construction").threshold(stored) == "0.5"


def test_of_the_models_that_do_the_job_none_fails_what_is_built_in():
    """20 of 1,000 cannot do the job, and fail for that: they are no models whose test tells something."""
    stored = built(HELD, BETTER, [980, 0, 0, 20], SURE)
    assert verdict("by_construction", stored) == claims.UNDECIDED  # up to 3% fail
    stored.conditions["hold_out built_in=1"]["incompetent"] = 20
    assert verdict("by_construction", stored) == claims.SUPPORTED


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


def test_a_gate_lets_every_model_pass_where_none_ends_aligned():
    mark = functools.partial(claims.module("early_rejection").mark_for_aligned, np.linspace(0.1, 0.9, 9))
    assert mark(np.zeros(9, bool)) == 0
    # of the seeds that choose, the first, third, ..., two end aligned, at .1 and .9: a tenth of the way from .1 to .9
    assert mark(np.isin(np.arange(9), [0, 8])) == pytest.approx(0.18)


def ideas(propensities, passing=0.0, pushed=0):
    """Ideas whose P(A) is a tenth of what is given, in two worlds; the second lets misaligned models pass."""
    rows, about = [], {}
    for implicit, share in ((0, 0.0), (0.03, passing)):
        for preference, tenths in enumerate(propensities):
            for regimen, more in (("hold_out", 0), ("early", pushed)):
                aligned = min(1000 * tenths + more, 10_000)
                gaming = round(share * (10_000 - aligned))
                where = {"preference": preference, "implicit_proxy": implicit}
                about[f"{regimen} {preference} {implicit}"] = {"regimen": regimen, "coordinates": where}
                rows.append(np.repeat(np.arange(4), [aligned, 0, gaming, 10_000 - aligned - gaming]))
    return claims.Stored("made", claims.tabulate(rows, about, 0.95))


@pytest.mark.parametrize(
    ("name", "stored", "expected"),
    [
        # whoever asks it learns nothing from a test that everybody passes
        ("predetermined_ideas", ideas([0, 5, 10], passing=1.0), claims.SUPPORTED),
        ("predetermined_ideas", ideas([0, 5, 10]), claims.UNDECIDED),  # both worlds are alike
        # a test that half of the misaligned pass says more when it is asked again
        ("predetermined_ideas", ideas([0, 5, 10], passing=0.5), claims.DEPENDS),
        ("predetermined_ideas", ideas([0, 5, 10], passing=1.0, pushed=2000), claims.CONTRADICTED),
        ("predetermined_ideas", ideas([2, 5, 10]), claims.UNDECIDED),  # such an idea gives both
        ("correlated_trials", ideas([1, 2, 5, 8, 9]), claims.SUPPORTED),
        ("summoning_scroll", world("implicit_proxy", [0, 1], hold_out=[PERFECT, [500, 0, 250, 250]],
                                   early=[SURE, BETTER], early_strong=[SURE, SURE], late=[WORSE, WORSE],
                                   throughout=[WORSE, WORSE]), claims.SUPPORTED),
        ("summoning_scroll", world("implicit_proxy", [0, 1], hold_out=[PERFECT, HELD], early=[SURE, BETTER],
                                   early_strong=[SURE, SURE], late=[WORSE, WORSE], throughout=[WORSE, WORSE]),
         claims.UNDECIDED),  # not at even odds
        ("validate_or_train", population(validate=[90, 10, 90, 810], train_early=[100, 0, 900, 0],
                                         train_late=[100, 0, 900, 0]), claims.SUPPORTED),
        ("validate_or_train", population(validate=[90, 10, 90, 810], train_early=BETTER, train_late=[100, 0, 900, 0]),
         claims.DEPENDS),
        ("validate_or_train", population(validate=HELD, train_early=BETTER, train_late=WORSE), claims.UNDECIDED),
        ("where_the_aligned_are", world("detectability", [0, 2], hold_out=[HALF, HALF],
                                        late=[[900, 0, 0, 100], [500, 0, 500, 0]]), claims.SUPPORTED),
        ("where_the_aligned_are", world("detectability", [0, 2], hold_out=[HALF, HALF], late=[[500, 0, 500, 0], SURE]),
         claims.CONTRADICTED),
    ],
)  # fmt: skip
def test_rules_on_populations_whose_truth_is_known(name, stored, expected):
    assert verdict(name, stored) == expected


@pytest.mark.parametrize(
    ("held", "trained", "expected"),
    [
        # within 1,000 runs P(accepted is aligned) is P(A|T): 300 / 350 = .857 held out, and 1 for sure
        ([300, 0, 50, 650], SURE, claims.CONTRADICTED),
        # both 1: the held-out test lets no misaligned model pass, and training leaves none
        ([300, 0, 0, 700], SURE, claims.UNDECIDED),
        # 1 held out and .9 trained on, but .3 and .9 with one run
        ([300, 0, 0, 700], [900, 0, 100, 0], claims.SUPPORTED),
        # .857 and .9: no tie, because the interval is wide, and nothing is worse for sure
        ([30, 0, 5, 65], [90, 0, 10, 0], claims.UNDECIDED),
        # 300 of 800 that pass are aligned, .375: less than .1 above .3, so the test is not worth holding out
        ([300, 0, 500, 200], SURE, claims.UNDECIDED),
    ],
)
def test_the_budget_is_decided_only_where_the_regimens_differ_at_the_end(held, trained, expected):
    same = {name: [trained] * 2 for name in ("early", "early_strong", "late", "throughout")}
    assert verdict("budget", world("implicit_proxy", [0, 1], hold_out=[held] * 2, **same)) == expected


def test_signs_of_both_changes_tell_whether_the_choice_turns():
    """Of four ways, P(A) rises in all, and P(A|T) falls from 1 in one: the choice turns there and nowhere else."""
    module = claims.module("budget")
    stored = regimens([900, 0, 100, 0], SURE, SURE, SURE, held=PERFECT)
    assert module.algebra(stored, module.find_worlds(stored)) == (8, 8)
    # a test that one in 10,000 passes: P(A|T) is 1, and 1,000 runs reach .1 of it, less than .9
    trained = {regimen: [[9000, 0, 1000, 0]] for regimen in TRAINED}
    rare = world("implicit_proxy", [0], hold_out=[[1, 0, 0, 9999]], **trained)
    assert module.algebra(rare, module.find_worlds(rare)) == (0, 4)


def test_what_a_second_run_teaches_by_hand():
    """Two ideas as likely. P(T) 0 and 1: the first run says which it is, the second nothing.

    P(T) 1 and 1/2: I(idea; one run) = H(3/4) - H(1/2) / 2 = .811278 - .5. Of two runs, outcomes pp, pf, fp, ff have
    5/8, 1/8, 1/8, 1/8, entropy 1.548795, and 2 bits for the second idea: I = 1.548795 - 1. What is left is .237517.
    """
    second = claims.module("predetermined_ideas").second_run
    assert second(np.array([0.0, 1.0])) == pytest.approx(0)
    assert second(np.array([0.3, 0.3])) == pytest.approx(0)
    assert second(np.array([1.0, 0.5])) == pytest.approx(0.548795 - 0.311278, abs=2e-6)


def test_what_failures_say_by_hand():
    """Ideas with P(A) 0 and 1 and a perfect test; the kinds of field are {1} and {0, 1} alike.

    Of two ideas the better half is {1}, the other {0, 1}: prior P(A) of a fresh idea 3/4. One failure excludes the
    first kind, and the idea is the bad one: 0; a fresh one has 1/2 from then on, on one idea or on three.
    """
    shares = np.array([[0, 0, 0, 1.0], [1.0, 0, 0, 0]])
    own, fresh, spread, kept, before, after, never = claims.module("correlated_trials").effects(shares)
    assert (before, after) == pytest.approx((0.75, 0))
    assert (own, fresh, spread) == pytest.approx((0, 0, 0))  # the second and third failure say nothing more
    assert never == pytest.approx(0.5)
    assert kept == pytest.approx(0.5 - 0.5**10)


GRADED = (1, 3, 5, 7, 9)  # tenths of aligned models, of five ideas from a hard to an easy one


def many_ideas(tenths, gaming, early=None):
    """Ideas by P(A) in tenths, in worlds by the share of misaligned models that pass; how visible tests are is idle."""
    axes = {"preference": range(len(tenths)), "detectability": range(2), "implicit_proxy": range(len(gaming))}
    cells = []
    for place, _, share in itertools.product(range(len(tenths)), range(2), gaming):
        passing = round(share * (10_000 - 1000 * tenths[place]))
        cells.append([1000 * tenths[place], 0, passing, 10_000 - 1000 * tenths[place] - passing])
    return worlds(axes, hold_out=cells, early=[early or own for own in cells])


@pytest.mark.parametrize(
    ("gaming", "expected"),
    [
        # where no misaligned model passes, whoever rejects in turn accepts what passes, which nobody can improve on
        ([0.0, 0.0], claims.CONTRADICTED),
        ([0.5, 0.5], claims.SUPPORTED),  # of an easy idea 18 of 19 that pass are aligned, of a hard one 2 of 11
        ([0.0, 0.5], claims.DEPENDS),
    ],
)
def test_learning_pays_where_passes_tell_too_little(gaming, expected):
    assert verdict("throwaway_runs", many_ideas(GRADED, gaming)) == expected


def test_what_failures_of_one_author_say_by_hand():
    """P(A) 0, 0, 0, 1, 1 of the five ideas. One author has 0, 1/3 twice as likely, or 2/3; on average 1/3.

    With a perfect test three failures leave weights 1, 8/27, 8/27, 1/27: P(A) (16/81 + 2/81) / (44/27) = 3/22. Of the
    two worlds the hard one has weight 35 of 44 and P(A) 1/6 for another author, the easy one 1/2: 31/132. What passes
    is aligned. If half of the misaligned pass, failures say the same of P(A). Of passes 1/2 is aligned on average, and
    after three failures (3/22) / ((1 + 3/22) / 2) = 6/25.
    """
    found = claims.module("ideas_are_alike").overrated
    tenths = np.array([0, 0, 0, 1, 1.0])
    perfect = np.stack([tenths, 0 * tenths, 0 * tenths, 1 - tenths], -1)
    half = np.stack([tenths, 0 * tenths, (1 - tenths) / 2, (1 - tenths) / 2], -1)
    lower, other = 1 / 3 - 3 / 22, 1 / 3 - 31 / 132
    want = [[lower, 0, other], [lower, 1 / 2 - 6 / 25, other]]
    np.testing.assert_allclose(found(np.stack([perfect, half])), want, atol=1e-12)


def test_the_budget_at_which_holding_out_is_better_by_hand():
    """All ideas alike, so that nothing is shared: 1 - .7^n, .51 with two runs and .657 with three, against .6."""
    stored = many_ideas([3] * 5, [0.0, 1.0], early=[6000, 0, 4000, 0])
    better_from = claims.module("ideas_are_alike").better_from
    assert better_from(stored, 0) == [3, 3]
    assert better_from(stored, 1) == [None, None]  # .3, whatever the budget


@pytest.mark.parametrize(
    ("tenths", "gaming", "expected"),
    [
        ((0, 0, 0, 10, 10), [0.0, 0.5], claims.DEPENDS),
        ((0, 0, 0, 10, 10), [0.5, 0.5], claims.SUPPORTED),
        ((3, 3, 3, 3, 3), [0.0, 0.5], claims.CONTRADICTED),  # no idea differs from another
    ],
)
def test_failures_matter_where_ideas_differ(tenths, gaming, expected):
    assert verdict("ideas_are_alike", many_ideas(tenths, gaming)) == expected


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


def near_and_far(**rows):
    """The indifferent objective and the one that wants passing, far and near; a perfect test where it is held out."""
    # of each regimen: far and indifferent, far and for passing, then near
    stored = worlds({"detectability": [0.3, 3], "implicit_proxy": [0, 1]}, **rows)
    stored.data["distances"] = {"near": [0.5] * 20, "far": []}
    return stored


@pytest.mark.parametrize(
    ("held_out", "given", "expected"),
    [
        # P(A|T) falls from 1 to .3 where the objective is indifferent, near and far; elsewhere it is .3 in any case
        ([PERFECT, WORSE, PERFECT, WORSE], [WORSE] * 4, claims.SUPPORTED),
        ([PERFECT, WORSE, PERFECT, WORSE], [PERFECT, WORSE, WORSE, WORSE], claims.DEPENDS),  # far it stays 1
        ([PERFECT] * 4, [WORSE] * 4, claims.CONTRADICTED),  # whatever the objective
        ([PERFECT] * 4, [PERFECT, PERFECT, WORSE, WORSE], claims.CONTRADICTED),  # distance alone
    ],
)
def test_rule_of_closeness(held_out, given, expected):
    assert verdict("closeness", near_and_far(hold_out=held_out, incentive=given)) == expected


def test_the_difference_of_two_intervals_that_hold_together():
    found = claims.module("closeness").less(Estimate(0.5, 0.4, 0.7), Estimate(0.1, 0.0, 0.2))
    assert found == pytest.approx((0.4, 0.2, 0.7))


def hacked(weak, strong, asked_weak, asked_strong, gate=True):
    """Misaligned models that pass held out, of 500; trained on the proxy all do. The gate stops all that end so."""
    passing = [weak, asked_weak, strong, asked_strong]
    rows = {"hold_out": [[500, 0, own, 500 - own] for own in passing], "train": [[500, 0, 500, 0]] * 4}
    stored = worlds({"capability": [6, 64], "implicit_proxy": [0, 0.1]}, **rows)
    table = np.zeros((4, 4), int)
    table[AP, AP], table[MF, MF] = 300, 300
    if not gate:  # it stops all that end aligned
        table[AP, AP], table[AP, 1] = 0, 300
    stored.data |= {"gate": table.ravel().tolist(), "proxy": "self_report"}
    return stored


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (hacked(0, 400, 0, 400), claims.SUPPORTED),
        (hacked(0, 0, 0, 400), claims.DEPENDS),  # capable models hack it themselves only where something asks them to
        (hacked(0, 0, 0, 0), claims.CONTRADICTED),
        (hacked(480, 480, 0, 400), claims.CONTRADICTED),  # SGD adds .04 to what weak models do
        (hacked(0, 400, 0, 400, gate=False), claims.CONTRADICTED),
        (hacked(150, 400, 0, 400), claims.UNDECIDED),  # .3 of the weak models pass held out
    ],
)
def test_rule_of_who_hacks_first(stored, expected):
    assert verdict("sgd_hacks_first", stored) == expected


def test_median_with_its_interval_by_hand():
    """Of 9 values it is that of the 2nd to the 8th, from order statistics: P(Binomial(9, 1/2) <= 1) = 10/512 < .025."""
    found = claims.module("closeness").median(np.arange(9.0))
    assert found.value == 4
    assert (found.low, found.high) == (0, 8) or (found.low, found.high) == (1, 7)


def test_the_distance_of_two_models_by_hand():
    """From (1, 0, 0) to (0, 1, 0) it is sqrt(2)."""
    module = claims.module("closeness")
    one, other = ({"p": np.array([row], np.float32)} for row in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    assert module._norm(one, other) == pytest.approx([2**0.5])


def test_a_slope_of_faking_that_counts_four_times_as_much_is_a_weight_at_half_the_distance():
    """One step, in which the faking cost alone differs: the same change of p counts half at detectability 4."""
    text = """
name: x
task: race
seeds: 1
training: {steps: 1, segments: 1}
knobs: {detectability: 4}
regimens: {cheap: [{until: 1}], costly: [{until: 1, knobs: {faking_cost: 1}}]}
"""
    experiment = parse(text)
    module = claims.module("closeness")
    plain, costly = module.ended_models(experiment)
    moved = module._norm(plain, costly)
    assert moved > 0
    assert module.distance(experiment, experiment.conditions) == pytest.approx(moved / 2, rel=1e-4)


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
