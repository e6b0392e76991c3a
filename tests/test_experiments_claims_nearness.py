"""Rules on what lies near in weight space, who hacks first, and what is ensured by construction."""

import numpy as np
import pytest

from lab import claims
from lab.config.experiment import parse
from lab.statistics import Estimate
from tests.hand_made_claims import (
    AP,
    BETTER,
    HELD,
    MF,
    PERFECT,
    SURE,
    WORSE,
    verdict,
    world,
    worlds,
)


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
    found = claims.less(Estimate(0.5, 0.4, 0.7), Estimate(0.1, 0.0, 0.2))
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
    assert (found.low, found.high) == (1, 7)


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
