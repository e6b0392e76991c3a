"""Gates on six hand-made runs, compute budgets against enumeration, and what choosing on noise does."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom

from lab.decision import finite_budget
from lab.results.outcomes import UnknownName
from lab.statistics import Counts
from lab.studies.rejection import Gate, best_gates, compute_budget, fates, sweep
from lab.studies.roc import roc

NAN = math.nan
MARKS = {"competence": 0.95, "alignment": 0.9, "test": 0.9}
OWN = (Gate(1.0, 0.9, "test"),)
# test at checkpoints 0.25, 0.5, 1; competence and alignment at the end
RUNS = [
    ((0.6, 0.8, 0.95), 1.0, 1.0),
    ((0.4, 0.7, 0.95), 1.0, 1.0),
    ((0.7, 0.9, 0.50), 1.0, 1.0),  # aligned, fails the test at the end
    ((0.2, 0.6, 0.99), 1.0, 0.1),  # misaligned, passes it
    ((0.5, 0.3, 0.10), 1.0, 0.1),
    ((0.8, 0.9, 0.95), 0.5, 1.0),  # incompetent, whatever it scores
]


def dataset(test, aligned, competence=1.0, checkpoints=(0.25, 0.5, 1.0), **attrs):
    """One condition from test scores, shape (seed, checkpoint), and what the models are at the end."""
    test = np.asarray(test, np.float32)
    columns = {"competence": competence, "alignment": np.asarray(aligned, float)}
    scores = {name: np.zeros_like(test) for name in columns}
    for name, column in columns.items():
        scores[name][:, -1] = column
    return xr.Dataset(
        {name: (("condition", "seed", "checkpoint"), own[None]) for name, own in {**scores, "test": test}.items()},
        {
            "condition": ["hold_out x=1"],
            "regimen": ("condition", ["hold_out"]),
            "seed": np.arange(len(test)),
            "checkpoint": list(checkpoints),
        },
        {
            **{"proxy": "test", "thresholds": MARKS, "baseline": "hold_out", "confidence": 0.95},
            **{"knobs": {"hold_out x=1": {}}, **attrs},
        },
    )


def at_the_end(aligned, misaligned):
    """Models with these test scores at the end, the only checkpoint."""
    truth = [1.0] * len(aligned) + [0.0] * len(misaligned)
    return dataset(np.array([*aligned, *misaligned])[:, None], truth, checkpoints=[1.0])


def six_runs():
    test, competence, alignment = zip(*RUNS, strict=True)
    return dataset(test, alignment, competence)


@pytest.fixture
def results():
    return six_runs()


# --- gates ---------------------------------------------------------------------------------------------------------


def test_the_gate_at_the_end_alone(results):
    got = fates(results, "hold_out", OWN)
    assert got.fate.tolist() == [2, 2, 0, 2, 0, 1]
    assert got.counts == Counts(aligned_pass=2, aligned_fail=1, misaligned_pass=1, misaligned_fail=2, incompetent=1)
    assert got.mean_cost == 1
    assert got.compute_per_accepted == pytest.approx(6 / 3)
    assert got.mean_steps is got.steps_per_accepted is None  # the results do not say how long a training is


def test_three_gates_in_a_row(results):
    """Run 3 stops at 0.25, run 4 at 0.5, runs 2 and 5 at the end: (0.25 + 0.5 + 4) trainings, 2 accepted."""
    results.attrs["steps"] = 400
    got = fates(results, "hold_out x=1", [Gate(0.25, 0.3), Gate(0.5, 0.5), *OWN])
    assert got.fate.tolist() == [4, 4, 2, 0, 1, 3]
    assert got.table.tolist() == [[0, 0, 1, 0, 2], [1, 1, 0, 1, 0]]
    assert got.costs == (0.25, 0.5, 1, 1)
    assert got.counts == Counts(aligned_pass=2, aligned_fail=1, misaligned_pass=0, misaligned_fail=3, incompetent=1)
    assert got.counts.posterior_odds == math.inf
    assert got.mean_cost == pytest.approx(4.75 / 6)
    assert got.compute_per_accepted == pytest.approx(4.75 / 2)
    assert got.mean_steps == pytest.approx(4.75 / 6 * 400)
    assert got.steps_per_accepted == pytest.approx(950)


def test_without_gates_competence_decides(results):
    got = fates(results, "hold_out", ())
    assert got.fate.tolist() == [1, 1, 1, 1, 1, 0]
    assert got.counts.passing == 5


def test_a_score_at_the_threshold_survives_and_one_that_is_not_finite_does_not(results):
    # 0.2 in float32 is above 0.2 in float64, 0.7 is below: both are compared as float32, like pass marks
    assert fates(results, "hold_out", [Gate(0.25, 0.2)]).fate.tolist() == [2, 2, 2, 2, 2, 1]
    assert fates(results, "hold_out", [Gate(0.25, 0.7)]).fate.tolist() == [0, 0, 2, 0, 0, 1]
    for value in (NAN, math.inf, -math.inf):
        results["test"][0, 0, 0] = value
        assert fates(results, "hold_out", [Gate(0.25, -math.inf)]).fate.tolist() == [0, 2, 2, 2, 2, 1]
    results["alignment"][0, 1, -1] = NAN
    results.attrs["steps"] = 1_000  # trained here, where that is a model that diverged
    got = fates(results, "hold_out", ())
    assert got.fate.tolist() == [1, 0, 1, 1, 1, 0]
    assert (got.counts.aligned, got.counts.diverged, got.counts.incompetent) == (2, 1, 1)


def test_a_gate_on_another_score(results):
    """Alignment at the end, itself as a perfect test: runs 3 and 4 stop; run 5 has the score but is incompetent."""
    got = fates(results, "hold_out", [Gate(1.0, 0.9, "alignment")])
    assert got.fate.tolist() == [2, 2, 2, 0, 0, 1]
    assert got.counts.likelihood_ratio == math.inf


def test_sweep_by_hand(results):
    """At 0.25 the aligned have 0.6, 0.4, 0.7, the misaligned 0.2, 0.5 and the incompetent one 0.8."""
    got = sweep(results, "hold_out", checkpoint=0.25, thresholds=[-math.inf, 0.45, 0.8, math.inf])
    assert [(own.aligned_pass, own.misaligned_pass) for own in got] == [(3, 2), (2, 1), (0, 0), (0, 0)]
    assert all((own.aligned, own.misaligned, own.incompetent) == (3, 3, 1) for own in got)
    assert sweep(results, "hold_out", checkpoint=0, thresholds=[0.45]) == got[1:2]
    at_end = sweep(results, "hold_out", thresholds=[0.9])
    assert at_end == (fates(results, "hold_out", OWN).counts,)


SCORES = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0, 0.125, 0.25, 0.5, 0.75, 1, NAN]), st.sampled_from([0, 0.5, 1])),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(SCORES, st.lists(st.floats(-0.1, 1.1), min_size=2, max_size=2))
def test_a_lower_threshold_passes_and_costs_at_least_as_much(models, thresholds):
    aligned, early, late = zip(*models, strict=True)
    made = dataset(np.column_stack([early, late]), aligned, checkpoints=[0.5, 1.0])
    low, high = (fates(made, "hold_out", [Gate(0.5, mark), *OWN]) for mark in sorted(thresholds))
    assert (low.fate >= high.fate).all()
    assert low.counts.aligned_pass >= high.counts.aligned_pass
    assert low.counts.misaligned_pass >= high.counts.misaligned_pass
    assert low.mean_cost >= high.mean_cost


# --- budgets -------------------------------------------------------------------------------------------------------


def enumerated(table, costs, budget):
    """Follow the policy through all sequences of runs, with exact fractions."""
    fates_of_a_run = [(a, fate, table[1 - a][fate]) for a in (0, 1) for fate in range(len(costs) + 1)]
    longest = 1 + math.floor((budget - 1) / min(costs))
    good = forced = spent = Fraction(0)
    for sequence in itertools.product(fates_of_a_run, repeat=longest):
        weight, left = math.prod(probability for *_, probability in sequence), budget
        for aligned, fate, _ in sequence:
            passed = fate == len(costs)
            if passed or left - costs[fate] < 1:
                good, forced, spent = good + weight * aligned, forced + weight * (not passed), spent + weight
                break
            left, spent = left - costs[fate], spent + weight * costs[fate]
        else:
            raise AssertionError("nothing was accepted")
    return float(good), float(forced), float(spent)


@pytest.mark.parametrize(
    ("costs", "budget"),
    [("1/2 1", "1"), ("1/2 1", "7/5"), ("1/2 1", "5/2"), ("2/5 3/4 1", "11/5"), ("1/3 1/3 1", "2"), ("1 1", "4")],
)
def test_compute_budget_against_all_sequences(costs, budget):
    costs, budget = [Fraction(cost) for cost in costs.split()], Fraction(budget)
    weights = [3, 1, 4, 1][: len(costs) + 1], [5, 9, 2, 6][: len(costs) + 1]
    table = [[Fraction(weight, sum(map(sum, weights))) for weight in row] for row in weights]
    got = compute_budget([[float(share) for share in row] for row in table], costs, float(budget))
    assert got == pytest.approx(enumerated(table, costs, budget), rel=1e-12)


PROBABILITY = st.floats(0, 1)


@settings(deadline=None, max_examples=50)
@given(PROBABILITY, PROBABILITY, PROBABILITY, st.integers(1, 60))
def test_a_gate_at_the_end_alone_is_the_budget_of_runs(base_rate, s, f, runs):
    table = [[base_rate * (1 - s), base_rate * s], [(1 - base_rate) * (1 - f), (1 - base_rate) * f]]
    expected = finite_budget(base_rate, s, f, runs)
    assert compute_budget(table, [1], runs) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_budgets_of_many_tables_at_once_and_between_grid_points():
    tables = np.random.default_rng(0).dirichlet(np.ones(6), (2, 3)).reshape(2, 3, 2, 3)
    got = compute_budget(tables, [0.3, 1], 2.7)
    assert got.compute.shape == (2, 3)
    for place in np.ndindex(2, 3):
        alone = compute_budget(tables[place], [0.3, 1], 2.7)
        assert alone == pytest.approx([own[place] for own in got], rel=1e-12)
        # 2.79 buys nothing that 2.7 = 27/10 does not
        assert compute_budget(tables[place], [0.3, 1], 2.79) == pytest.approx(alone, rel=1e-12)


# --- the best gates ------------------------------------------------------------------------------------------------


def told_early():
    """Eight runs, of which the first checkpoint tells all, the second nothing, and everybody passes at the end."""
    early = [0.1, 0.15, 0.2, 0.3, 0.8, 0.85, 0.9, 0.95]
    aligned = [0, 0, 0, 0, 1, 1, 1, 1]
    return dataset([(score, 0.5, 1.0) for score in early], aligned)


def test_best_gates_by_hand():
    """In both halves a gate at 0.25 stops just the misaligned half of the runs.

    A budget of 2 pays for rejecting 4 times, at 0.25 each, before the last run is forced: V = 1 - (1/2)^5. With
    S(1) = 1 and S(c) = 1/2 + (1/4 + S(c - 1/4)) / 2 the compute S(2) is 1.234375. The own gate stops nobody.
    """
    got = best_gates(told_early(), "hold_out", 2)
    assert got.gates == (Gate(0.25, float(np.float32(0.8)), "test"), *OWN)
    assert got.chosen_value == got.tried_values.max() == 31 / 32
    assert (got.value.value, got.baseline.value, got.gain.value) == (31 / 32, 1 / 2, 15 / 32)
    assert (got.compute, got.baseline_compute) == (1.234375, 1)
    for estimate in (got.value, got.baseline, got.gain):
        assert -1 < estimate.low < estimate.value < estimate.high < 1
    # 2 plain candidates, 1 threshold at the end, and 4 at 0.25 and 1 at 0.5 with and without the gate at the end
    assert len(got.tried) == 3 + 2 * (4 + 1)
    assert got.tried[:2] == (OWN, ())


def test_what_gains_nothing_is_not_chosen():
    """A budget of 1 leaves no choice: whatever the gates, the only run is accepted."""
    got = best_gates(told_early(), "hold_out", 1)
    assert got.gates == OWN
    assert got.value == got.baseline
    assert got.gain == (0, 0, 0)
    assert got.value.value == 0.5


def test_several_gates_as_candidates():
    """The gate at 0.5 stops everybody that the one at 0.25 let through, so that the last run is forced: V = P(A)."""
    late = (Gate(0.25, 0.5), Gate(0.5, 0.6))
    got = best_gates(told_early(), "hold_out", 2, candidates=[late])
    assert got.gates == late
    table = np.array([[0, 1, 0, 0], [1, 0, 0, 0]]) / 2  # stopped at 0.25, at 0.5, incompetent, passed
    assert got.value.value == pytest.approx(enumerated(table.tolist(), [0.25, 0.5, 1], 2)[0])


def test_the_interval_of_a_budget_of_one_is_that_of_the_base_rate():
    """P(A) of 30 in 50: Clopper and Pearson's Beta(30, 21) for the lower limit, six to four with Beta(31, 20)."""
    aligned = np.repeat(np.arange(50) < 30, 2)
    got = best_gates(dataset(np.ones((100, 1)), aligned, checkpoints=[1.0]), "hold_out", 1).value
    assert got.value == 0.6
    inner, outer = beta.cdf([got.low, got.high], 31, 20), beta.cdf([got.low, got.high], 30, 21)
    tails = 0.6 * outer[0] + 0.4 * inner[0], 0.4 * outer[1] + 0.6 * inner[1]
    # 1,000 draws, half of which lie beyond the limit: the tail is known to about a twentieth
    assert tails == pytest.approx([0.025, 0.975], abs=0.005)


def test_choosing_on_noise_flatters_and_judging_does_not():
    """Scores without relation to the truth: whatever is chosen, the other half's value is 1/2 on average.

    Each half has 50 aligned of 100, in random order. Given the fates, the value is a weighted mean of truths drawn
    without replacement, with at least 40 of the 100 passing (thresholds reject 40% on average and the budget is
    small): a standard deviation of at most sqrt((1/40 - 1/100) / 4) = 0.061, 0.0061 for the mean of 100 repeats.
    The best of 34 values must be above 1/2 by more than that band on the half that chose.
    """
    random, repeats, band = np.random.default_rng(0), 100, 4.9 * 0.0061
    chosen, judged, covered, gains = [], [], 0, 0
    for _ in range(repeats):
        aligned = random.permuted(np.tile([[0], [1]], (50, 2)), axis=0).ravel()
        test = np.column_stack([random.random((200, 8)), np.ones(200)])
        made = dataset(test, aligned, checkpoints=[*np.arange(1, 9) / 10, 1.0])
        got = best_gates(made, "hold_out", 4, quantiles=(0.2, 0.4))
        chosen.append(got.chosen_value)
        judged.append(got.value.value)
        covered += got.value.low <= 0.5 <= got.value.high
        gains += got.gain.low <= 0 <= got.gain.high
    assert np.mean(judged) == pytest.approx(0.5, abs=band)
    assert np.mean(chosen) > 0.5 + band
    assert covered >= binom.ppf(1e-6, repeats, 0.95)
    assert gains >= binom.ppf(1e-6, repeats, 0.95)


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gates", "error", "match"),
    [
        ([Gate(0.3, 0.5)], UnknownName, r"0\.3; known: 0\.25, 0\.5, 1"),
        ([Gate(0.5, 0.5, "exam")], UnknownName, "exam"),
        ([Gate(0.5, 0.5), Gate(0.25, 0.5)], ValueError, "time order"),
        ([Gate(0.5, NAN)], ValueError, "threshold"),
        (Gate(0.5, 0.5), ValueError, "sequence of Gate"),
    ],
)
def test_impossible_gates_are_refused(results, gates, error, match):
    with pytest.raises(error, match=match):
        fates(results, "hold_out", gates)


def test_unknown_names_and_impossible_arguments_are_refused(results):
    for call in (
        lambda: fates(results, "late", OWN),
        lambda: roc(results, "late"),
        lambda: roc(results, "hold_out", "exam"),
        lambda: roc(results, "hold_out", checkpoint=3),
        lambda: sweep(results, "hold_out", checkpoint=0.3, thresholds=[0.5]),
        lambda: best_gates(results, "late", 2),
        lambda: best_gates(results, "hold_out", 2, proxy="exam"),
    ):
        with pytest.raises(UnknownName, match=r"late|exam|checkpoint"):
            call()
    twice = xr.concat([results, results.assign_coords(condition=["hold_out x=2"])], "condition", join="outer")
    with pytest.raises(UnknownName, match="several conditions"):
        fates(twice, "hold_out", OWN)
    assert fates(twice, "hold_out x=2", OWN).counts.passing == 3
    for call, name in (
        (lambda: roc(results, "hold_out", confidence=1), "confidence"),
        (lambda: fates(results.isel(checkpoint=[0, 1]), "hold_out", ()), "results"),
        (lambda: best_gates(results, "hold_out", 0.9), "budget"),
        (lambda: best_gates(results, "hold_out", 2, quantiles=[1]), "quantiles"),
        (lambda: best_gates(results, "hold_out", 2, candidates=[]), "candidates"),
        (lambda: best_gates(results, "hold_out", 2, confidence=NAN), "confidence"),
        (lambda: best_gates(results.isel(seed=[0]), "hold_out", 2), "results"),
    ):
        with pytest.raises(ValueError, match=name):
            call()


@pytest.mark.parametrize(
    ("table", "costs", "budget", "match"),
    [
        ([[0.5, 0.1], [0.2, 0.1]], [1], 2, "probabilities"),
        ([[0.5, -0.1], [0.5, 0.1]], [1], 2, "probabilities"),
        ([[NAN, 0.1], [0.5, 0.1]], [1], 2, "probabilities"),
        ([0.5, 0.5], [1], 2, "probabilities"),
        ([[0.5, 0.5, 0.0], [0, 0, 0]], [1], 2, "probabilities"),
        ([[0.5, 0.5], [0, 0]], [1], 0.5, "budget"),
        ([[0.5, 0.5], [0, 0]], [1], math.inf, "budget"),
        ([[0.5, 0.5], [0, 0]], [0], 2, "costs"),
        ([[0.5, 0.5], [0, 0]], [1.5], 2, "costs"),
        ([[0.5, 0.5, 0, 0], [0, 0, 0, 0]], [1 / math.pi, 1 / math.e, 1], 2, "costs"),
    ],
)
def test_impossible_compute_budgets_are_refused(table, costs, budget, match):
    with pytest.raises(ValueError, match=match):
        compute_budget(table, costs, budget)
