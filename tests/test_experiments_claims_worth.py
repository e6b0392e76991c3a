"""Rules on what a test is worth: to measure, to choose, to walk away, and in which states it can be."""

import numpy as np
import pytest

from lab import claims
from tests.hand_made_claims import (
    BETTER,
    HELD,
    PERFECT,
    SURE,
    WORSE,
    verdict,
    world,
    worlds,
    worth,
)

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
