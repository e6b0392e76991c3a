"""Worlds whose answer is known by hand: what each sentence of the answer says of them."""

import numpy as np
import pytest

from experiments.studies.answer import (
    FAILS,
    HELD_OUT,
    HOLDS,
    OPEN,
    SENTENCES,
    USES,
    impacts,
    in_words,
    share_of_pairs,
)

SEEDS = 400
# shares of aligned models that pass, aligned that fail, misaligned that pass, misaligned that fail
PERFECT = (0.3, 0, 0, 0.7)  # P(A) .3, and a test without errors
FAIR = (0.25, 0.05, 0.2, 0.5)  # ln o(A|T) = ln 1.25
WASTED = (0.6, 0, 0.4, 0)  # P(A) .6, and a test that everybody passes: ln o(A|T) = ln 1.5
BETTER = (0.7, 0.1, 0.05, 0.15)  # ln o(A|T) = ln 14
WORSE = (0.1, 0.1, 0.6, 0.2)  # ln o(A|T) = ln 1/6


def world(held_out, *uses):
    """Return a world in which models end in these shares; which seed ends how is no matter of the regimen."""
    cells = {}
    for place, (name, shares) in enumerate(zip((HELD_OUT, *USES), (held_out, *uses), strict=True)):
        ended = np.repeat(np.arange(4, dtype=np.int8), np.rint(SEEDS * np.array(shares)).astype(int))
        cells[name] = np.random.default_rng(place).permutation(ended)
    return cells


@pytest.mark.parametrize(
    ("sentence", "held_out", "uses", "said"),
    [
        ("never_train", FAIR, (BETTER, FAIR, FAIR, FAIR), HOLDS),
        ("never_train", FAIR, (WORSE, WORSE, WORSE, WORSE), FAILS),
        ("never_train", FAIR, (WORSE, FAIR, FAIR, FAIR), OPEN),
        ("always_train", FAIR, (WORSE, FAIR, FAIR, FAIR), HOLDS),
        ("always_train", FAIR, (BETTER, BETTER, BETTER, BETTER), FAILS),
        ("both_slogans", FAIR, (BETTER, FAIR, WORSE, FAIR), HOLDS),
        ("both_slogans", FAIR, (WORSE, WORSE, WORSE, WORSE), FAILS),
        ("both_slogans", FAIR, (BETTER, FAIR, FAIR, FAIR), OPEN),
        ("when", FAIR, (BETTER, FAIR, FAIR, FAIR), HOLDS),
        ("when", FAIR, (FAIR, BETTER, FAIR, FAIR), FAILS),
        ("when", FAIR, (FAIR, FAIR, FAIR, FAIR), OPEN),
        # one run accepts .6 aligned instead of .3; a hundred accept 1 beside the perfect test, and still .6
        ("budget", PERFECT, (WASTED, PERFECT, PERFECT, PERFECT), HOLDS),
        # a hundred runs accept 5/9 beside the fair test
        ("budget", FAIR, (FAIR, FAIR, FAIR, BETTER), FAILS),
        ("budget", PERFECT, (WORSE, WORSE, WORSE, WORSE), OPEN),
    ],
)
def test_a_world_known_by_hand_is_judged(sentence, held_out, uses, said):
    judge, _ = SENTENCES[sentence]
    assert judge(world(held_out, *uses)) == said


def test_impacts_are_differences_of_log_odds():
    """ln(.7/.05) - ln(.25/.2) = 2.416, and ln(.6/.4) - ln(.25/.2) = .182, of counts that have no rounding."""
    nets = impacts(world(FAIR, BETTER, WASTED, WORSE, FAIR))
    assert [net.value for net in nets] == pytest.approx([np.log(14 / 1.25), np.log(1.5 / 1.25), np.log(1 / 7.5), 0])


def test_a_share_of_pairs_counts_ties_half():
    """Of (2, 1), (2, 3), (3, 1), (3, 3): two are larger, one is a tie: 2.5 of 4."""
    assert share_of_pairs(np.array([2, 3]), np.array([1, 3])) == 0.625


def test_the_title_sums_worlds_over_tasks():
    kinds = {HOLDS: 2, FAILS: 1, OPEN: 4}
    other = {HOLDS: 3, FAILS: 0, OPEN: 1}
    sentences = {name: {"race": kinds, "digits": other} for name in SENTENCES}
    words = in_words({"sentences": sentences})
    assert "wrong for sure in 5 worlds and right in 1," in words["title"]
    assert "in 5 of 6 worlds that decide" in words["title"]
    assert "Up to 7 worlds per task" in words["subtitle"]
