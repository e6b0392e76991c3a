"""Rules on retries and on ideas: budgets, what failures teach, and ideas that are alike."""

import itertools

import numpy as np
import pytest

from experiments.claims.four_regimens import TRAINED
from lab import claims
from tests.hand_made_claims import (
    BETTER,
    HELD,
    PERFECT,
    SURE,
    WORSE,
    population,
    regimens,
    verdict,
    world,
    worlds,
)

HALF = [500, 0, 0, 500]


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
