"""Rules on tests that nobody trains on: by age, by an early gate, and by what hides in the main objective."""

import functools

import numpy as np
import pytest

from lab import claims
from tests.hand_made_claims import (
    AP,
    HELD,
    MF,
    MP,
    PERFECT,
    SURE,
    WORSE,
    verdict,
    world,
    worlds,
)

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


def test_a_gate_lets_every_model_pass_where_none_ends_aligned():
    mark = functools.partial(claims.module("early_rejection").mark_for_aligned, np.linspace(0.1, 0.9, 9))
    assert mark(np.zeros(9, bool)) == 0
    # of the seeds that choose, the first, third, ..., two end aligned, at .1 and .9: a tenth of the way from .1 to .9
    assert mark(np.isin(np.arange(9), [0, 8])) == pytest.approx(0.18)
