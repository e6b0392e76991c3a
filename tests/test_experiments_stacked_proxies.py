"""Stacks of weak readings, on rates that are enumerated or worked out by hand."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from experiments.claims import stacked_proxies
from experiments.claims.stacked_proxies import PATTERNS, SIX, STATES, Stack
from lab import claims

NOTHING, TEST, ALL = 0, 1, 7  # patterns: what a model passes
MISALIGNED = len(PATTERNS)


@pytest.mark.parametrize("readings", [(1, 0, 0), (3, 0, 0), (1, 1, 1), (2, 2, 2), (0, 2, 1)])
def test_chances_of_a_stack_are_those_of_every_way_to_misread_it(readings):
    error = Fraction(1, 4)
    for pattern, chance in zip(PATTERNS, stacked_proxies.pass_chances(Stack(readings)), strict=True):
        exact = [bool(passes) for passes, count in zip(pattern, readings, strict=True) for _ in range(count)]
        total = Fraction(0)
        for wrong in itertools.product([False, True], repeat=len(exact)):
            read = [passes != misread for passes, misread in zip(exact, wrong, strict=True)]
            weight = error ** sum(wrong) * (1 - error) ** (len(wrong) - sum(wrong))
            total += weight * all(read)
        assert chance == pytest.approx(float(total), abs=1e-15)


def test_different_numbers_of_readings_take_proxies_in_turn():
    first, second, *_, last = (stack.readings for stack in stacked_proxies.IN_TURN)
    assert (first, second, last) == ((1, 0, 0), (1, 1, 0), (2, 2, 2))


def test_readings_without_common_causes_multiply_and_readings_of_one_test_do_not():
    # aligned models pass everything; half of the misaligned pass the test, none the others: only misreadings are left
    shares = np.zeros(STATES)
    shares[ALL], shares[MISALIGNED + NOTHING], shares[MISALIGNED + TEST] = 2, 1, 1
    others = Stack((0, 1, 1))
    assert stacked_proxies.ln_ratio(shares, others) == pytest.approx(np.log(9))  # 3/4 over 1/4, twice
    assert stacked_proxies.ln_ratio_by_law(shares, others) == pytest.approx(np.log(9))
    # one reading of the test: 3/4 over (3/4 + 1/4) / 2; two: 9/16 over (9/16 + 1/16) / 2
    assert stacked_proxies.ln_ratio(shares, Stack((1, 0, 0))) == pytest.approx(np.log(3 / 2))
    assert stacked_proxies.ln_ratio(shares, Stack((2, 0, 0))) == pytest.approx(np.log(9 / 5))
    assert stacked_proxies.ln_ratio_by_law(shares, Stack((2, 0, 0))) == pytest.approx(2 * np.log(3 / 2))


def test_models_that_cannot_do_the_job_never_pass():
    shares = np.zeros(STATES)
    shares[ALL], shares[MISALIGNED + NOTHING], shares[stacked_proxies.UNFIT] = 1, 1, 2
    expected = (Fraction(3, 4) ** 6 + Fraction(1, 4) ** 6) / 4
    assert stacked_proxies.passing_share(shares) == pytest.approx(float(expected))
    assert stacked_proxies.ln_ratio(shares, SIX) == pytest.approx(6 * np.log(3))


def stored(before, after):
    """Return `Stored` counts of states held out and after training, whatever was trained on; seeds in order."""
    rows = [np.repeat(list(states), list(states.values())) for states in (before, after)]
    joints = {name: stacked_proxies.count_pairs(rows[0], rows[1]) for name in stacked_proxies.TRAINED}
    joints["hold_out"] = stacked_proxies.count_pairs(rows[0], rows[0])
    return claims.Stored("made", {"confidence": 0.95, "conditions": {}, "states": joints})


HELD = {ALL: 1000, MISALIGNED + NOTHING: 1500, MISALIGNED + TEST: 1500}
TEST_SPOILT = {ALL: 1000, MISALIGNED + TEST: 3000}
ALL_SPOILT = {ALL: 1000, MISALIGNED + ALL: 3000}
ALIKE = {ALL: 1000, MISALIGNED + NOTHING: 1500, MISALIGNED + ALL: 1500}  # what passes one passes all


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (HELD, TEST_SPOILT, claims.SUPPORTED),
        (HELD, ALL_SPOILT, claims.CONTRADICTED),  # the others keep nothing
        (HELD, HELD, claims.CONTRADICTED),  # the test keeps everything
        (ALIKE, TEST_SPOILT, claims.CONTRADICTED),  # six readings are worth no more than the test without error
        ({state: count // 100 for state, count in HELD.items()}, {ALL: 10, MISALIGNED + TEST: 30}, claims.UNDECIDED),
    ],
)
def test_the_verdict(before, after, expected):
    assert stacked_proxies.judge(stored(before, after)).verdict == expected
