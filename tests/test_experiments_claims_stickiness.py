"""Rules on how sticky values are, on populations whose truth is known by construction."""

import numpy as np
import pytest
import xarray as xr

from experiments.claims import critical_period, no_pressure, restart_or_continue, sticky_values
from lab import claims
from lab.results.outcomes import AXES
from tests.hand_made_claims import BETTER, HELD, PERFECT, SURE, WORSE, population, world

NONE = [0, 0, 0, 1000]


def period(late, back, early=(SURE, SURE), held=PERFECT, stay=(1000, 1000)):
    """Return pushes in two worlds: what looks like deployment, and what models can tell."""
    stored = world(
        "detectability",
        [0, 1],
        hold_out=[held] * 2,
        push_early=early,
        push_late=late,
        push_back_early=back,
        push_back_late=back,
    )
    names = (stored.at("push_early", detectability=value) for value in (0, 1))
    stored.data["stay"] = dict(zip(names, stay, strict=True))
    return stored


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (period(late=[PERFECT, WORSE], back=[SURE] * 2), claims.SUPPORTED),
        (period(late=[SURE, WORSE], back=[SURE] * 2), claims.DEPENDS),  # late it moves values that cannot comply alone
        (period(late=[PERFECT, WORSE], back=[PERFECT, SURE]), claims.DEPENDS),  # the opposite takes all of it back
        (period(late=[PERFECT, WORSE], back=[SURE, PERFECT]), claims.CONTRADICTED),
        (period(late=[SURE] * 2, back=[SURE] * 2), claims.CONTRADICTED),
        (period(late=[PERFECT, WORSE], back=[SURE] * 2, stay=(1000, 400)), claims.CONTRADICTED),
        (period(late=[PERFECT, WORSE], back=[SURE] * 2, stay=(1000, 600)), claims.UNDECIDED),
        (period(late=[PERFECT] * 2, back=[SURE] * 2), claims.UNDECIDED),  # late it does not move the test either
        (period(late=[PERFECT, WORSE], back=[PERFECT] * 2, early=[PERFECT] * 2), claims.UNDECIDED),  # it does nothing
        # early it moves values the wrong way: .9 aligned become .3
        (
            period(late=[[900, 0, 100, 0]] * 2, back=[WORSE] * 2, early=[WORSE] * 2, held=BETTER),
            claims.UNDECIDED,
        ),
    ],
)
def test_rule_of_the_critical_period(stored, expected):
    assert critical_period.judge(stored).verdict == expected


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"continued": WORSE, "restarted": SURE, "continued_opposite": PERFECT}, claims.SUPPORTED),
        ({"continued": WORSE, "restarted": SURE, "continued_opposite": NONE}, claims.DEPENDS),
        ({"continued": [700, 0, 300, 0], "restarted": SURE, "continued_opposite": PERFECT}, claims.DEPENDS),
        ({"continued": [600, 0, 400, 0], "restarted": SURE, "continued_opposite": PERFECT}, claims.UNDECIDED),
        ({"continued": WORSE, "restarted": WORSE, "continued_opposite": PERFECT}, claims.CONTRADICTED),
        ({"continued": SURE, "restarted": WORSE, "continued_opposite": PERFECT}, claims.CONTRADICTED),
    ],
)
def test_rule_of_restarting(shares, expected):
    assert restart_or_continue.judge(population(finished=PERFECT, **shares)).verdict == expected


def test_models_that_change_sides_by_hand():
    """Of 700 misaligned models 175 become aligned, and of 300 aligned ones 60 become misaligned."""
    stored = population(finished=PERFECT, continued=[475, 0, 525, 0], continued_opposite=[240, 0, 0, 760])
    assert restart_or_continue.turned(stored, "continued", aligned=False).value == 0.25
    assert restart_or_continue.turned(stored, "continued_opposite", aligned=True).value == 0.2


@pytest.mark.parametrize(
    ("both", "push", "sticky", "expected"),
    [
        # within three runs: .999 against .6 and 1 - .7^3 = .657
        ([900, 0, 0, 100], [600, 0, 400, 0], PERFECT, claims.SUPPORTED),
        # .936 against .6 and .657, and as many are aligned as after the push alone
        ([600, 0, 0, 400], [600, 0, 400, 0], PERFECT, claims.DEPENDS),
        # a test that all pass: .5 against 7/8 of .8 = .7
        ([500, 0, 500, 0], [400, 0, 600, 0], [400, 0, 100, 500], claims.CONTRADICTED),
        (HELD, HELD, HELD, claims.UNDECIDED),
    ],
)
def test_rule_of_sticky_values(both, push, sticky, expected):
    stored = population(push_and_sticky=both, push=push, sticky=sticky, neither=WORSE)
    assert sticky_values.judge(stored).verdict == expected


@pytest.mark.parametrize(
    ("early", "gamed", "expected"),
    [
        ([0, 300, 700, 0], [0, 300, 0, 700], claims.SUPPORTED),
        ([0, 300, 700, 0], [0, 300, 700, 0], claims.CONTRADICTED),
        ([0, 300, 0, 700], [0, 300, 0, 700], claims.UNDECIDED),  # there was none to begin with
    ],
)
def test_rule_of_pressure(early, gamed, expected):
    stored = population(**{words: gamed if moment.pass_it else early for words, moment in no_pressure.MOMENTS.items()})
    for condition in stored.conditions.values():
        condition["slope"] = 0.5
    assert no_pressure.judge(stored).verdict == expected


def test_slopes_on_values_by_hand():
    """Four misaligned models: one is pressed, one is not, one passes the test, and one is moved by nothing."""
    plain, tested, audited = ([0.25, 0.25, 0.25, 0.25], [0.375, 0.25, 0.375, 0.25], [0.5, 0.5, 0.5, 0.25])
    alignment = np.array([[[0.25, after] for after in row] for row in (plain, tested, audited)])
    test = np.zeros_like(alignment)
    test[:, 2] = 1
    results = xr.Dataset(
        {"alignment": (AXES, alignment), "test": (AXES, test)},
        {"condition": ["hold_out", "test-04", "audit-04"], "checkpoint": [0.04, 0.06]},
        {"thresholds": {"alignment": 0.9, "test": 0.9}},
    )
    asked, by_test, by_audit = no_pressure.slopes(results, no_pressure.MOMENTS["fail it, 4%"])
    assert asked.tolist() == [True, True, False, False]
    assert by_test.tolist() == [0.125, 0, 0.125, 0]
    assert by_audit.tolist() == [0.25, 0.25, 0.25, 0]
