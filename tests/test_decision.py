"""Exact values of reference/budget_examples.json, checked there against all 4^n sequences for n <= 5."""

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import beta, binom

from lab.decision import best_by_runs, finite_budget, plan, trained_to_the_end, worth_of_budget
from lab.ideas import Beta, Discrete
from lab.statistics import draw_shares, family_wise, from_draws

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


@pytest.mark.parametrize("pair", REFERENCE["regimen_pairs"], ids=["crossover", "equal-odds"])
def test_the_better_regimen_changes_nowhere_else(pair):
    """Up to a thousand runs; equal values, to within rounding, are no change."""
    regimens = [[exact(pair[name][key]) for key in ("pi", "s", "f")] for name in ("regimen1", "regimen2")]
    changes, better = [], None
    for runs in range(1, 1_001):
        first, second = (finite_budget(*regimen, runs).accepted_aligned for regimen in regimens)
        if abs(first - second) > 1e-12 and better != (first, second).index(max(first, second)):
            better = (first, second).index(max(first, second))
            changes.append((runs, f"regimen {better + 1}"))
    assert changes == [
        (change["n"], change["better"]) for change in pair["sign_changes_of_P_accepted_aligned_by_budget"]
    ]


@pytest.mark.parametrize(
    "row", REFERENCE["shared_latent"], ids=lambda row: f"{row['prior']}-{row['s']}-{row['f']}-{row['n']}"
)
def test_shared_propensity_is_exact(row):
    s, f, n = exact(row["s"]), exact(row["f"]), row["n"]
    prior = Beta(*row["prior"])
    got, apart = finite_budget(prior, s, f, n), finite_budget(prior.mean, s, f, n)
    for outcome, expected in ((got, row), (apart, row["independent_runs_same_mean"])):
        assert outcome.accepted_aligned == pytest.approx(expected["P_accepted_aligned"]["float"], rel=1e-10)
        assert outcome.forced_fail == pytest.approx(expected["P_forced_fail"]["float"], rel=1e-10)
        assert outcome.expected_runs == pytest.approx(expected["expected_runs"]["float"], rel=1e-10)
    assert got.expected_runs >= apart.expected_runs * (1 - 1e-12)  # Jensen: 1 / P(T) understates the cost


def test_shared_propensity_in_the_limit():
    """Unlimited runs, s = 1, f = 0, Beta(3, 2): (a + b - 1) / (a - 1) = 2 runs, where 1 / P(T) says 5/3."""
    assert finite_budget(Beta(3, 2), 1, 0, 2_000).expected_runs == pytest.approx(2, rel=1e-5)
    # all-or-nothing ideas: a quarter never passes and costs every run
    assert finite_budget(Discrete((0, 1), (0.25, 0.75)), 1, 0, 9) == pytest.approx((0.75, 0.25, 0.75 + 0.25 * 9))


def walk_away_by_enumeration(base, passes, fooled, runs, nothing):
    """Return P(aligned accepted), P(nothing), mean runs and worth, from every sequence of outcomes of the runs."""
    chances = {
        "AT": base * passes,
        "At": base * (1 - passes),
        "aT": (1 - base) * fooled,
        "at": (1 - base) * (1 - fooled),
    }
    aligned = empty = mean = Fraction(0)
    for sequence in itertools.product(chances, repeat=runs):
        chance = math.prod(chances[outcome] for outcome in sequence)
        accepted = next((outcome for outcome in sequence if outcome[1] == "T"), None)
        aligned += chance * (accepted == "AT")
        empty += chance * (accepted is None)
        mean += chance * (sequence.index(accepted) + 1 if accepted else runs)
    return aligned, empty, mean, aligned + nothing * empty


@pytest.mark.parametrize("runs", [1, 2, 4])
@pytest.mark.parametrize("rates", ["3/10 9/10 1/5", "1/2 1 0", "1/4 1/3 2/3", "1/5 0 0"])
def test_walking_away_is_exact(rates, runs):
    base, passes, fooled = map(Fraction, rates.split())
    outcome = finite_budget(float(base), float(passes), float(fooled), runs, accept_last=False)
    *expected, worth = walk_away_by_enumeration(base, passes, fooled, runs, Fraction(9, 10))
    assert outcome == pytest.approx([float(value) for value in expected], abs=1e-14)
    assert worth_of_budget(outcome, 0.9) == pytest.approx(float(worth))


def test_walking_away_from_runs_that_share_a_propensity():
    """All-or-nothing ideas and a perfect test: an aligned idea, 3 in 4, passes at once; the other never does."""
    outcome = finite_budget(Discrete((0, 1), (0.25, 0.75)), 1, 0, 9, accept_last=False)
    assert outcome == pytest.approx((0.75, 0.25, 0.75 + 0.25 * 9))
    assert worth_of_budget(outcome, 0.5) == pytest.approx(0.875)


def test_nothing_is_worth_between_a_misaligned_and_an_aligned_model():
    """Where every model passes nobody walks away, and nothing has no part in what a run is worth."""
    outcome = finite_budget(0.3, 1, 1, 1, accept_last=False)
    assert worth_of_budget(outcome, 0.5) == pytest.approx(0.3)
    for nothing in (-0.1, 1.1):
        with pytest.raises(ValueError, match="nothing must lie in"):
            worth_of_budget(outcome, nothing)


def scores(outcomes):
    """A dataset with one condition per row of outcomes, whose models are AT, At, aT or at."""
    aligned = np.array([[text[0] == "A" for text in row] for row in outcomes], np.float32)[:, :, None]
    passes = np.array([[text[1] == "T" for text in row] for row in outcomes], np.float32)[:, :, None]
    dims = ("condition", "seed", "checkpoint")
    names = [f"c{index}" for index in range(len(outcomes))]
    return xr.Dataset(
        {"competence": (dims, np.ones_like(passes)), "alignment": (dims, aligned), "test": (dims, passes)},
        {"condition": names, "regimen": ("condition", names)},
        {
            "proxy": "test",
            "thresholds": {"competence": 0.5, "alignment": 0.5, "test": 0.5},
            "confidence": 0.95,
        },
    )


def test_conditions_whose_runs_gates_have_stopped_are_left_out():
    """The second of three conditions has a stopped run."""
    every = scores([["AT", "at"], ["AT", "at"], ["aT", "At"]])
    assert trained_to_the_end(every) == (every, [])
    stopped = np.array([[False, False], [False, True], [False, False]])
    kept, left_out = trained_to_the_end(every.assign_coords(stopped=(("condition", "seed"), stopped)))
    assert (kept.condition.values.tolist(), left_out) == (["c0", "c2"], ["c1"])
    with pytest.raises(ValueError, match="gates have stopped runs in every condition"):
        trained_to_the_end(every.assign_coords(stopped=(("condition", "seed"), np.ones((3, 2), bool))))


def test_twins_are_conditions_whose_models_end_alike_seed_by_seed():
    """The first two have the same models; the third has as many of each kind; the last is aligned where they are."""
    same = ["AT", "AT", "aT", "at"]
    (only,) = plan(scores([same, same, ["at", "AT", "aT", "AT"], ["At", "At", "aT", "at"]]), [1, 2])
    twins = {runs: {choice.name: choice.twin for choice in choices} for runs, choices in only.choices.items()}
    assert twins[2] == {"c0": "c0", "c1": "c0", "c2": "c2", "c3": "c3"}
    assert twins[1] == {"c0": "c0", "c1": "c0", "c2": "c2", "c3": "c0"}  # one run is taken whether it passes or not


def test_plan_takes_what_was_counted_and_says_how_sure_it_is():
    """40 shared seeds: 12 aligned under the second condition alone, 4 under the first alone, 10 under both."""
    first = ["AT"] * 10 + ["AT"] * 4 + ["at"] * 12 + ["aT"] * 14
    second = ["AT"] * 10 + ["at"] * 4 + ["AT"] * 12 + ["at"] * 14
    (only,) = plan(scores([first, second]), [1, 3])
    assert only.world == ()
    best, other = only.choices[1]
    assert (best.name, other.name) == ("c1", "c0")
    assert best.accepted_aligned.value == pytest.approx(22 / 40)
    # one run: the base rate, 22 of 40, at 97.5%, so that both rows hold together; near Jeffreys' Beta(22.5, 18.5)
    assert best.accepted_aligned[1:] == pytest.approx(beta.ppf([0.0125, 0.9875], 22.5, 18.5), abs=0.01)
    assert only.sure == 0.975
    # which is better rests on the seeds that differ: Beta(12 + 4/8, 4 + 4/8) above one half
    assert best.probability_best == pytest.approx(beta.sf(0.5, 12.5, 4.5), abs=0.01)
    assert best.probability_best + other.probability_best == pytest.approx(1)
    for choice, (base, s, f) in zip(only.choices[3], ((22 / 40, 1, 0), (14 / 40, 1, 14 / 26)), strict=True):
        expected = finite_budget(base, s, f, 3)
        got = [choice.accepted_aligned.value, choice.forced_fail.value, choice.expected_runs.value]
        assert got == pytest.approx(expected)
    assert only.changes == [(1, ("c1",))]


@pytest.mark.parametrize("count", [2, 5, 20, 100])
def test_the_interval_of_the_best_of_equal_conditions_holds_the_truth_as_enumerated_exactly(count):
    """One run: P(A) of the best of many, 60 seeds each; the largest of K binomials is x in F(x)^K - F(x - 1)^K."""
    seeds, together = 60, family_wise(0.95, count)
    limits = [
        from_draws(lambda cells: (cells[0] + cells[1]) / cells.sum(0), draw_shares([x, 0, 0, seeds - x]), together)
        for x in range(seeds + 1)
    ]
    for rate in (0.05, 0.3, 0.6, 0.9):
        largest = np.diff(binom.cdf(range(-1, seeds + 1), seeds, rate) ** count)
        assert (
            sum(
                weight
                for weight, interval in zip(largest, limits, strict=True)
                if interval.low <= rate <= interval.high
            )
            >= 0.94
        )


def test_one_of_two_equal_conditions_is_seldom_called_the_best_as_enumerated_exactly():
    """One run, 60 seeds each: the posterior of P(A) is Beta(x + 1, n - x + 1), and a probability of .975 decides."""
    seeds, grid = 60, np.linspace(0, 1, 4_001)[1:-1]
    known = np.arange(seeds + 1)[:, None]
    density = beta.pdf(grid, known + 1, seeds - known + 1) / 4_000
    better = density @ beta.cdf(grid, known + 1, seeds - known + 1).T
    for rate in (0.05, 0.3, 0.6, 0.9):
        chance = binom.pmf(known[:, 0], seeds, rate)
        assert chance @ ((better >= 0.975) | (better <= 0.025)) @ chance <= 0.055


def test_the_best_by_runs_by_hand():
    """All pass and half are aligned; or half are, and of the others half pass; or one in ten passes, and is aligned.

    With one run the first two are equal at .5. With two the second has .5 + .25 x .5 = .625, and with n it nears 2/3.
    The third has 1 - .9^n: .651 with 10 runs against .66666603, .686 with 11.
    """
    shares = np.array([[0.5, 0, 0.5, 0], [0.5, 0, 0.25, 0.25], [0.1, 0, 0, 0.9]])
    changes = best_by_runs(["all pass", "some pass", "few pass"], shares, 100)
    assert changes == [(1, ("all pass", "some pass")), (2, ("some pass",)), (11, ("few pass",))]


def test_plan_finds_where_the_best_regimen_changes():
    """Base rate .6 with a blind test against .1 with a perfect one: 1 - .9^n passes .6 at n = 9 (.613 against .570)."""
    blind = ["AT"] * 60 + ["aT"] * 40
    strict = ["AT"] * 10 + ["at"] * 90
    (only,) = plan(scores([blind, strict]), [1])
    assert only.changes == [(1, ("c0",)), (9, ("c1",))]


def test_a_budget_of_one_run_uses_one_run():
    """Whatever P(T) is: of 1,024 models 97 pass, where rounding made it a little less than 1."""
    (only,) = plan(scores([["AT"] * 97 + ["at"] * 927] * 5), [1])
    assert [choice.expected_runs for choice in only.choices[1]] == [(1, 1, 1)] * 5


@pytest.mark.parametrize("bad", [0, -1, 1.5, math.inf])
def test_budgets_are_whole_numbers(bad):
    with pytest.raises(ValueError, match="runs must be a whole number"):
        plan(scores([["AT", "at"]]), [1, bad])


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


def test_what_cannot_be_answered_is_refused():
    with pytest.raises(ValueError, match="at most 10,000"):
        finite_budget(Beta(1, 1), 0.9, 0.1, 10**6)
