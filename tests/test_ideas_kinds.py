"""Values of policies on ideas of measured kinds: by hand, by exact fractions and by listing all that can happen."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from lab.ideas import kinds
from tests.ideas_examples import REFERENCE, near, rates

PERFECT_OR_HOPELESS = np.array([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])  # all aligned and all pass, or none of it
MIXED = np.array([[4, 1, 2, 1], [1, 1, 5, 1], [2, 0, 1, 5]]) / 8  # in the second most passes are misaligned


def test_by_hand_where_every_idea_is_perfect_or_hopeless():
    """One pair of ideas in four has no good one: on one idea 1/2, however many runs; in turn 3/4 from two runs on."""
    for runs in (1, 2, 3):
        assert kinds.rejection_on_one(PERFECT_OR_HOPELESS, runs) == pytest.approx(0.5)
        assert kinds.rejection_in_turn(PERFECT_OR_HOPELESS, 2, runs) == pytest.approx(0.75 if runs > 1 else 0.5)
        assert kinds.best_learning(PERFECT_OR_HOPELESS, 2, runs) == pytest.approx(0.75 if runs > 1 else 0.5)
        assert kinds.learning_in_turn(PERFECT_OR_HOPELESS, 2, runs) == pytest.approx(0.75 if runs > 1 else 0.5)
    assert kinds.best_if_known(PERFECT_OR_HOPELESS, 2) == pytest.approx(0.75)


def test_a_test_that_all_pass_teaches_nothing_by_hand():
    """P(A) 1/4 and 3/4, and everybody passes: 1/2 by any policy. Whoever is told takes the better idea of two: 5/8."""
    same = np.array([[1, 0, 3, 0], [3, 0, 1, 0]]) / 4
    for value in (kinds.rejection_in_turn, kinds.learning_in_turn, kinds.best_learning):
        assert value(same, 2, 4) == pytest.approx(0.5)
    assert kinds.best_if_known(same, 2) == pytest.approx(3 / 4 * 3 / 4 + 1 / 4 * 1 / 4)


def test_a_pass_may_be_a_bad_sign_by_hand():
    """One idea is aligned and fails the test half of the time, the other one games it always. Ideas: two, runs: two.

    Told, 3/4 of pairs have a good one. In turn without learning, a pass of the first run is the good idea's in 1 of 3
    cases. With both runs seen: pass and pass is accepted at 1/3, which is the chance of 9/16 x 1/3; else some run has
    failed, which only the good idea's can: the chance is 7/16. So 3/16 + 7/16 = 5/8 where ideas take turns.
    """
    odd = np.array([[1, 1, 0, 0], [0, 0, 2, 0]]) / 2
    assert kinds.best_if_known(odd, 2) == pytest.approx(0.75)
    assert kinds.learning_in_turn(odd, 2, 2) == pytest.approx(5 / 8)
    assert kinds.rejection_in_turn(odd, 2, 1) == pytest.approx(1 / 2)
    # the first run passes, 3/4, of which 1/3 is aligned; or it fails, and the second does or is accepted at the end
    second = Fraction(1, 4) * (Fraction(3, 4) * Fraction(1, 3) + Fraction(1, 4))
    assert kinds.rejection_in_turn(odd, 2, 2) == pytest.approx(float(Fraction(1, 4) + second))


def best_of_all(shares, ideas, runs):
    """Return the value of the best policy by listing histories, with exact fractions and kinds of all ideas at once."""
    shares = [[Fraction(cell).limit_denominator(100) for cell in kind] for kind in shares]
    assigned = list(itertools.product(range(len(shares)), repeat=ideas))

    def likelihood(kind, passed):
        return shares[kind][0] + shares[kind][2] if passed else shares[kind][1] + shares[kind][3]

    def joint(history, aligned_run=None):
        total = Fraction(0)
        for assignment in assigned:
            chance = Fraction(1, len(assigned))
            for place, (idea, passed) in enumerate(history):
                kind = assignment[idea]
                chance *= shares[kind][0 if passed else 1] if place == aligned_run else likelihood(kind, passed)
            total += chance
        return total

    def value(history):  # times the probability of the history
        if len(history) == runs:
            return max(joint(history, place) for place in range(runs))
        return max(
            sum(value((*history, (idea, passed))) for passed in (True, False) if joint((*history, (idea, passed))))
            for idea in range(ideas)
        )

    return value(())


@pytest.mark.parametrize(("ideas", "runs"), [(1, 3), (2, 1), (2, 3), (3, 3)])
@pytest.mark.parametrize("shares", [PERFECT_OR_HOPELESS, MIXED], ids=["all or nothing", "mixed"])
def test_the_best_policy_is_the_best_of_all_that_can_be_listed(shares, ideas, runs):
    best = kinds.best_learning(shares, ideas, runs)
    assert best == pytest.approx(float(best_of_all(shares, ideas, runs)), abs=1e-12)
    assert max(kinds.rejection_on_one(shares, runs), kinds.rejection_in_turn(shares, ideas, runs)) <= best + 1e-12
    assert kinds.learning_in_turn(shares, ideas, runs) <= best + 1e-12
    assert best <= kinds.best_if_known(shares, ideas) + 1e-12


@pytest.mark.parametrize(
    ("case", "values", "weights"),
    [
        ("two ideas theta in {1/10,9/10}", (0.1, 0.9), (1, 1)),
        ("two all-or-nothing ideas pi=3/10", (0.0, 1.0), (7, 3)),
    ],
)
def test_kinds_with_the_same_rates_have_the_exact_values_of_the_reference(case, values, weights):
    """A kind that is likelier than another is listed as often."""
    rows = [row for row in REFERENCE["decision"]["rows"] if row["case"] == case]
    assert rows
    for row in rows:
        s, f = (float(rate) for rate in rates(row))
        cells = [[theta * s, theta * (1 - s), (1 - theta) * f, (1 - theta) * (1 - f)] for theta in values]
        shares, runs = np.repeat(cells, weights, axis=0), row["n"]
        want = {name: policy["p_accepted_aligned"] for name, policy in row["policies"].items()}
        assert float(kinds.rejection_on_one(shares, runs)) == near(want["rejection_single_idea"])
        assert float(kinds.rejection_in_turn(shares, 2, runs)) == near(want["rejection_round_robin"])
        # here a failure may be accepted though something passed, which the reference does not allow
        assert kinds.best_learning(shares, 2, runs) >= want["optimal_with_recall"]["float"] - 1e-12
        assert kinds.learning_in_turn(shares, 2, runs) >= want["round_robin_with_recall"]["float"] - 1e-12


def test_axes_in_front_are_values_of_their_own():
    both = np.stack([MIXED, MIXED[:, ::-1]])
    for value in (kinds.rejection_in_turn, kinds.learning_in_turn, kinds.best_learning):
        assert value(both, 2, 3) == pytest.approx([float(value(shares, 2, 3)) for shares in both])
    assert kinds.best_if_known(both, 3) == pytest.approx([float(kinds.best_if_known(shares, 3)) for shares in both])
