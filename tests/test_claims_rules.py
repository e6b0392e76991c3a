"""What a rule may say: differences that cover their value, and what several verdicts come to."""

import numpy as np
import pytest
import xarray as xr

from lab import claims
from lab.decision import finite_budget
from lab.statistics import Estimate
from tests.hand_made_claims import BETTER, HELD, population


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


def test_how_a_verdict_moves_in_words():
    """Marks with one verdict are told by their ends; a verdict that comes back is told again."""
    support, open_ = claims.SUPPORTED, claims.UNDECIDED
    assert claims.moves({0.5: support, 0.75: support, 0.9: support}) == "the same at marks 0.5 to 0.9"
    assert claims.moves({0.5: open_, 0.6: support, 0.7: support}) == "undecided at mark 0.5, supported at 0.6 to 0.7"
    back = {0.5: support, 0.6: support, 0.7: open_, 0.8: support, 0.9: support}
    assert claims.moves(back) == "supported at marks 0.5 to 0.6, undecided at 0.7, supported at 0.8 to 0.9"


def test_a_difference_covers_its_value():
    stored = population(one=BETTER, other=HELD)
    value = claims.aligned_share_of_accepted(3)
    found = stored.difference("one", value, "other", value)
    by_hand = (finite_budget(p, 1, f, 3).accepted_aligned for p, f in ((0.9, 0.5), (0.3, 0.5)))
    assert found.value == pytest.approx(next(by_hand) - next(by_hand))
    assert found.low < found.value < found.high
    back = stored.difference("other", value, "one", value)
    assert back.value == pytest.approx(-found.value)


def test_a_quantity_of_one_condition_and_one_of_two_by_hand():
    """P(A) - P(A|T) of 300, 0, 350, 350 is .3 - 300/650; P(T) of BETTER read as P(A) by that test: (.95 - .5) / .5."""
    stored = population(one=BETTER, other=HELD)

    def first_less_passing(shares):
        return claims.aligned_share(shares) - claims.aligned_share_of_passing(shares)

    found = stored.of_shares("other", first_less_passing)
    assert found.value == pytest.approx(0.3 - 300 / 650)
    assert found.low < found.value < found.high < 0

    def read(shares, by):
        fooled = by[2] / (by[2] + by[3])
        return (claims.passing_share(shares) - fooled) / (1 - fooled)

    both = stored.of_both("one", "other", read)
    assert both.value == pytest.approx(0.9)
    assert both.low < both.value < both.high
    assert stored.of_both("other", "one", lambda shares, by: read(by, shares)) == pytest.approx(both, abs=0.01)


def test_what_runs_are_worth_to_whoever_walks_away_by_hand():
    """Three runs of 300 aligned passes in 1,000 and no other: .3 (1 + .7 + .49) aligned, nothing with .7^3."""
    worth = claims.worth_of_accepted(3, 0.5)(np.array([0.3, 0, 0, 0.7]))
    assert worth == pytest.approx(0.657 + 0.343 / 2)


def test_seeds_count_that_do_the_job_under_every_condition():
    """Of 4 seeds `one` lacks the job at the first, `two` at the second and `three` at the third."""
    able = np.array([[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1]], float)
    scores = {"competence": able, "alignment": np.ones((3, 4)), "test": np.ones((3, 4))}
    axes, names = ("condition", "seed", "checkpoint"), ["one", "two", "three"]
    results = xr.Dataset(
        {name: (axes, values[:, :, None]) for name, values in scores.items()},
        coords={"condition": names, "regimen": ("condition", names), "seed": range(4), "checkpoint": [1.0]},
        attrs={
            "proxy": "test",
            "thresholds": dict.fromkeys(scores, 0.5),
            "baseline": "one",
            "confidence": 0.95,
            "knobs": {name: {} for name in names},
        },
    )
    counted = claims.count_able(results)
    assert (counted["seeds"], counted["left_out"]) == (1, 3)
    assert [condition["cells"] for condition in counted["conditions"].values()] == [[1, 0, 0, 0]] * 3
