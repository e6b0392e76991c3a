"""Exact values of reference/budget_examples.json, checked there against all 4^n sequences for n <= 5."""

import json
import math
from fractions import Fraction
from pathlib import Path

import pytest

from lab.decision import finite_budget

REFERENCE = json.loads((Path(__file__).parent / "reference" / "budget_examples.json").read_text())


def exact(text):
    return float(Fraction(text))


@pytest.mark.parametrize(
    "row", REFERENCE["independent"], ids=lambda row: f"{row['pi']}-{row['s']}-{row['f']}-{row['n']}"
)
def test_finite_budget_is_exact(row):
    got = finite_budget(exact(row["pi"]), exact(row["s"]), exact(row["f"]), row["n"])
    assert got.accepted_aligned == pytest.approx(row["P_accepted_aligned"]["float"], rel=1e-12)
    assert got.forced_fail == pytest.approx(row["P_forced_fail"]["float"], rel=1e-12)
    assert got.expected_runs == pytest.approx(row["expected_runs"]["float"], rel=1e-12)


@pytest.mark.parametrize("pair", REFERENCE["regimen_pairs"], ids=["crossover", "equal-odds"])
def test_the_better_regimen_changes_with_the_budget(pair):
    regimens = [[exact(pair[name][key]) for key in ("pi", "s", "f")] for name in ("regimen1", "regimen2")]
    for change in pair["sign_changes_of_P_accepted_aligned_by_budget"]:
        first, second = (finite_budget(*regimen, change["n"]).accepted_aligned for regimen in regimens)
        assert first == pytest.approx(change["p1"]["float"], rel=1e-12)
        assert second == pytest.approx(change["p2"]["float"], rel=1e-12)


def test_certain_tests_and_rare_passes_by_hand():
    assert finite_budget(0.3, 1, 1, 5) == (0.3, 0, 1)  # the first run always passes
    assert finite_budget(0.3, 0, 0, 5) == pytest.approx((0.3, 1, 5))  # none does; the last is accepted
    assert finite_budget(0.3, 0.2, 0.9, 1).accepted_aligned == pytest.approx(0.3)  # one run is no selection
    rare = finite_budget(0.5, 2e-18, 0, 10)  # P(T) = 1e-18, far below rounding of 1 - P(T)
    assert rare.expected_runs == pytest.approx(10)
    assert rare.forced_fail == 1


@pytest.mark.parametrize(
    "wrong", [(1.1, 1, 1, 1), (0.5, -0.1, 1, 1), (0.5, 1, math.nan, 1), (0.5, 1, 1, 0), (0.5, 1, 1, 1.5)]
)
def test_impossible_budgets_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        finite_budget(*wrong)
