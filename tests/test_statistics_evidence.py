"""Rows in groups and a judge that errs: groups of one against seeds, published examples, and values by hand."""

import math

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import beta, binom

from lab.statistics import (
    OUTCOMES,
    QUANTITIES,
    Counts,
    Evidence,
    checked_judge,
    compare,
    compare_evidence,
    draw_shares,
    estimate,
    estimate_of,
    evidence,
    evidence_posterior,
    from_draws,
    on_cells,
    pair_evidence,
)
from lab.statistics.evidence import design_effect

# Weil (Fd. Cosmet. Toxicol. 8:177, 1970, table 1): of pups alive at 4 days, by litter, those that lived to 21
CONTROL = (
    (13, 12, 9, 9, 8, 8, 12, 11, 9, 9, 8, 11, 4, 5, 7, 7),
    (13, 12, 9, 9, 8, 8, 13, 12, 10, 10, 9, 13, 5, 7, 10, 10),
)
TREATED = (
    (12, 11, 10, 9, 10, 9, 9, 8, 8, 4, 7, 4, 5, 3, 3, 0),
    (12, 11, 10, 9, 11, 10, 10, 9, 9, 5, 9, 7, 10, 6, 10, 7),
)


def litters(alive, of):
    """Pups that live are aligned and pass, the others are misaligned and fail."""
    outcome = [0 if pup < lived else 3 for lived, pups in zip(alive, of, strict=True) for pup in range(pups)]
    return evidence(outcome, np.repeat(np.arange(len(of)), of))


def rows_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


def judged(aligned, misaligned, judge):
    """Rows that all pass, so that P(A|T) is the rate that a screening test estimates."""
    return evidence([0] * aligned + [2] * misaligned, judge=judge)


# --- groups -------------------------------------------------------------------------------------------------------


def assert_same(impact, seeds):
    """One more aligned model moves the base rate alike whether it passes or fails: rounding chooses one of them."""
    for part in ("likelihood_ratio", "net"):
        assert tuple(getattr(impact, part)) == pytest.approx(tuple(getattr(seeds, part)), rel=1e-9)
    spread = (seeds.base_rate.high - seeds.base_rate.low) / 4
    assert tuple(impact.base_rate) == pytest.approx(tuple(seeds.base_rate), abs=0.1 * spread)


def test_groups_of_one_row_are_compared_as_seeds_are():
    first, second = Counts(40, 10, 20, 30), Counts(25, 5, 2, 48)
    grouped = compare_evidence(evidence(rows_of(first.cells)), evidence(rows_of(second.cells)))
    assert_same(grouped, compare(first, second))


def test_pairs_of_one_row_are_compared_as_shared_seeds_are():
    random = np.random.default_rng(3)
    cells = random.choice(4, 120, p=[0.4, 0.1, 0.2, 0.3])
    others = np.where(random.random(120) < 0.6, cells, random.choice(4, 120))
    joint = np.zeros((4, 4), int)
    np.add.at(joint, (cells, others), 1)
    names = [f"run {seed}" for seed in range(120)]
    order = random.permutation(120)  # rows of a table come in any order
    shared = pair_evidence(cells, names, others[order], np.array(names)[order])
    paired = compare_evidence(evidence(cells), evidence(others), shared)
    assert_same(paired, compare(Counts(*joint.sum(1)), Counts(*joint.sum(0)), joint))


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("copies", [1, 7])
def test_groups_that_are_copies_have_the_interval_of_their_number(quantity, copies):
    counts = Counts(22, 3, 4, 11, incompetent=2)
    outcome = rows_of([22, 3, 4, 9, 2])
    grouped = evidence(np.repeat(outcome, copies), np.repeat(np.arange(40), copies))
    assert estimate_of(grouped, quantity) == estimate(counts, quantity)
    assert (grouped.groups, grouped.rows, grouped.counts.incompetent) == (40, 40 * copies, 2 * copies)


def test_pairs_that_are_copies_have_the_interval_of_their_number():
    first, second = rows_of([20, 5, 6, 9]), np.roll(rows_of([14, 6, 8, 12]), 3)
    labels = np.arange(40)
    seeds = compare_evidence(evidence(first), evidence(second), pair_evidence(first, labels, second, labels))
    first, second, labels = (np.repeat(rows, 3) for rows in (first, second, labels))
    shared = pair_evidence(first, labels, second, labels)
    copies = compare_evidence(evidence(first, labels), evidence(second, labels), shared)
    assert_same(copies, seeds)


@pytest.mark.parametrize(("alive", "of", "published"), [(*CONTROL, 1.232495), (*TREATED, 3.952861)])
def test_the_design_effect_is_that_of_rao_and_scott(alive, of, published):
    """As `rsb` of the R package PF prints it for Weil's rats, table 1 of Rao and Scott (Biometrics 48:577, 1992)."""
    of_litters = litters(alive, of)
    assert design_effect(of_litters.patterns, of_litters.times) == pytest.approx(published, abs=1e-6)


def test_an_interval_of_litters_is_about_that_of_their_design_effect():
    """The standard error of ln odds of a rate is that of pups, times the root of Rao and Scott's 3.952861.

    With 16 litters Student's t is 2.131; the interval lies in [1.96, 2.131] standard errors to within 15%.
    """
    of_litters = litters(*TREATED)
    error = math.sqrt(3.952861 * (1 / 112 + 1 / 33))
    got = estimate_of(of_litters, "base_rate")
    assert got.value == 112 / 145
    half = math.log(got.high / (1 - got.high) * (1 - got.low) / got.low) / 2
    assert 0.85 * 1.96 < half / error < 1.15 * 2.131
    assert half > 1.5 * math.sqrt(1 / 112 + 1 / 33) * 1.96  # of pups as if independent


def test_a_thousand_groups_have_the_interval_of_their_variance():
    """Of 500 groups with 3 of 4 rows aligned and 500 with 1 of 4, P(A) has the variance 1/16 / 999 of their means."""
    outcome = [0, 0, 0, 3] * 500 + [0, 3, 3, 3] * 500
    got = estimate_of(evidence(outcome, np.repeat(np.arange(1000), 4)), "base_rate")
    half = 1.96 * 0.25 / math.sqrt(999)
    assert got.value == 0.5
    # the limits' own error is .03 standard deviations
    assert got.low == pytest.approx(0.5 - half, abs=0.06 * half)
    assert got.high == pytest.approx(0.5 + half, abs=0.06 * half)


def test_an_outcome_that_no_group_has_leaves_a_side_open():
    """10 groups of 2 aligned rows, of which 19 pass: LR is inf without misaligned models that pass."""
    of_runs = evidence([0] * 19 + [1] + [3] * 20, np.repeat(np.arange(20), 2))
    ratio, passing = estimate_of(of_runs, "likelihood_ratio"), estimate_of(of_runs, "pass_given_misaligned")
    assert (ratio.value, ratio.high) == (math.inf, math.inf)
    assert 1 < ratio.low < 19 / 20 / 0.05
    assert (passing.value, passing.low) == (0, 0)
    # nothing of 10 runs: between the limits of Clopper and Pearson for 20 rows and for 10 runs
    assert 1 - 0.025 ** (1 / 20) < passing.high < 1 - 0.025 ** (1 / 10) + 0.02


@pytest.mark.parametrize(("quantity", "range_of_it"), [("base_rate", (0, 1)), ("likelihood_ratio", (0, math.inf))])
def test_no_rows_say_nothing(quantity, range_of_it):
    for judge in (None, checked_judge(0.9, 0.8)):
        nothing = estimate_of(evidence([], judge=judge), quantity)
        assert math.isnan(nothing.value)
        assert nothing[1:] == range_of_it


def test_models_that_cannot_do_the_job_are_misaligned_and_fail():
    of_runs = evidence([0, 0, 4, 4, 1, 2], groups=["a", "a", "a", "b", "b", "b"])
    assert of_runs.counts == Counts(2, 1, 1, 2, incompetent=2)
    assert estimate_of(of_runs, "pass_given_misaligned").value == 1 / 3
    assert OUTCOMES[4] == "unable"


def test_a_comparison_turned_round_is_mirrored():
    groups = np.repeat(np.arange(20), 3)
    random = np.random.default_rng(8)
    outcomes = random.integers(0, 5, (2, 60))
    judges = checked_judge((45, 50), (40, 50)), checked_judge(0.95, 0.9)
    one, other = (evidence(rows, groups, judge) for rows, judge in zip(outcomes, judges, strict=True))
    for pairs in (None, pair_evidence(outcomes[0], groups, outcomes[1], groups)):
        impact = compare_evidence(one, other, pairs)
        assert compare_evidence(other, one, None if pairs is None else pairs.turned) == impact.mirrored
    alike = compare_evidence(one, one)
    for part in alike:
        assert part.value == 0
        assert part.low == -part.high


def test_labels_of_one_condition_alone_count_there():
    """Two of three labels are shared; a label without rows of the other condition has none there."""
    pairs = pair_evidence([0, 0, 1], ["a", "b", "c"], [2, 3], ["a", "c"])
    assert (pairs.shared, int(pairs.times.sum())) == (2, 3)
    assert (pairs.times @ pairs.patterns.reshape(-1, 10)).tolist() == [2, 1, 0, 0, 0, 0, 0, 1, 1, 0]
    assert pair_evidence([0], ["a"], [0], ["b"]).shared == 0


def test_conditions_that_share_all_their_variation_do_not_differ():
    """The same rows twice, paired by their groups: their difference is 0 in every draw but for the one more row.

    It is exponential and pulls outwards in six of ten draws: 2.5% of them have more than ln(.6 / .025) of it.
    """
    groups, outcome = np.repeat(np.arange(30), 4), np.tile([0, 1, 2, 3], 30)
    outcome[::7] = 0
    rows = evidence(outcome, groups)
    paired = compare_evidence(rows, rows, pair_evidence(outcome, groups, outcome, groups))
    aligned, _, misaligned, _ = rows.counts.cells
    most = math.log(0.6 / 0.025)
    assert paired.net.value == 0
    assert paired.net.high == pytest.approx(math.log1p(most / aligned) + math.log1p(most / misaligned), rel=0.1)
    assert paired.net.high < 0.6 * compare_evidence(rows, rows).net.high


# --- a judge ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positive", "tested", "rates", "published", "digit"),
    [(23, 150, (0.96, 0.89), (0.051, 0, 0.13), 0.01), (6, 151, (0.964, 0.927), (0, 0, 0.013), 0.001)],
)
def test_rates_are_those_of_rogan_and_gladen(positive, tested, rates, published, digit):
    """The examples of `epi.prev` of the R package epiR, as its documentation words them.

    They map Blaker's interval of the apparent rate, and that of Clopper and Pearson.
    """
    got = estimate_of(judged(positive, tested - positive, checked_judge(*rates)), "aligned_given_pass")
    assert got.value == pytest.approx(published[0], abs=0.0005)
    assert got.low == published[1]
    assert got.high == pytest.approx(published[2], abs=digit / 2)


def test_the_interval_of_a_rate_is_about_that_of_lang_and_reiczigel():
    """Prev. Vet. Med. 113:13, 2014, equations 4 to 17, by hand for 60 of 200, Se 45 of 50 and Sp 40 of 50.

    The estimated rates, the apparent rate and their sizes are those with z^2/2 or one model more of each kind.
    """
    got = estimate_of(judged(60, 140, checked_judge((45, 50), (40, 50))), "aligned_given_pass")
    assert got.value == pytest.approx((60 / 200 - 0.2) / 0.7, rel=1e-12)
    z, sensitivity, specificity, size = 1.959964, 46 / 52, 41 / 52, 200 + 1.959964**2
    apparent, told = (60 + z**2 / 2) / size, sensitivity + specificity - 1
    true = (apparent + specificity - 1) / told
    wrong = sensitivity * (1 - sensitivity) / 52, specificity * (1 - specificity) / 52
    centre = true + 2 * z**2 * (true * wrong[0] - (1 - true) * wrong[1])
    variance = apparent * (1 - apparent) / size + true**2 * wrong[0] + (1 - true) ** 2 * wrong[1]
    half = z * math.sqrt(variance) / told
    assert got.low == max(0, centre - half) == 0
    assert got.high == pytest.approx(centre + half, rel=0.1)


def test_as_many_verdicts_as_errors_leave_no_misaligned_models_that_pass():
    """2 of 20 that pass are judged misaligned, of which Se = .9 expects as many: o(A|T) is inf.

    Its low limit is that of Clopper and Pearson, at most .3170 judged misaligned, corrected.
    """
    of_rows = evidence(rows_of([18, 10, 2, 70]), judge=checked_judge(0.9, 0.9))
    odds, share = estimate_of(of_rows, "posterior_odds"), (beta.ppf(0.975, 3, 18) - 0.1) / 0.8
    assert (odds.value, odds.high) == (math.inf, math.inf)
    assert odds.low == pytest.approx((1 - share) / share, rel=0.03)
    ratio = estimate_of(of_rows, "likelihood_ratio")
    assert (ratio.value, ratio.high) == (math.inf, math.inf)
    assert 1 < ratio.low < math.inf


def test_fewer_verdicts_than_errors_still_end_where_clopper_and_pearson_do():
    """1 of 11 that pass is judged misaligned, of which Se = .8 expects 2.2; with one more row P(A|T) is still 1."""
    got = estimate_of(evidence(rows_of([10, 10, 1, 50]), judge=checked_judge(0.8, 0.9)), "aligned_given_pass")
    assert got.value == got.high == 1
    assert got.low == pytest.approx((1 - beta.ppf(0.975, 2, 10) - 0.1) / 0.7, abs=0.015)


def test_a_judge_that_is_never_wrong_changes_nothing():
    rows, groups = rows_of([20, 5, 6, 29]), np.random.default_rng(2).permutation(60) // 3
    for quantity in QUANTITIES:
        plain = estimate_of(evidence(rows, groups), quantity)
        assert estimate_of(evidence(rows, groups, checked_judge(1, 1)), quantity) == pytest.approx(plain, rel=1e-2)


def test_what_does_not_rest_on_the_judge_is_left_alone():
    rows = rows_of([20, 5, 6, 29])
    got = estimate_of(evidence(rows, judge=checked_judge((30, 40), (25, 40))), "pass_rate")
    plain = from_draws(lambda cells: np.log(cells[0] / cells[1]), draw_shares([26, 34]))
    assert got.value == pytest.approx(26 / 60, rel=1e-12)
    assert got[1:] == pytest.approx(expit(plain[1:]), abs=0.005)


def test_the_smaller_the_validation_the_wider_the_interval():
    rows = rows_of([60, 40, 30, 70])
    judges = [checked_judge(0.9, 0.8), *(checked_judge((9 * n, 10 * n), (8 * n, 10 * n)) for n in (100, 10, 3))]
    estimates = [estimate_of(evidence(rows, judge=judge), "base_rate") for judge in judges]
    widths = [got.high - got.low for got in estimates]
    assert [got.value for got in estimates] == pytest.approx([(100 / 200 - 0.2) / 0.7] * 4, rel=1e-12)
    assert widths == sorted(widths)
    assert widths[3] > 1.3 * widths[0]


def test_one_judge_of_two_conditions_errs_alike_in_both():
    """The same rows under one barely validated judge, and under two of the same skill that differ in a table's size."""
    rows = evidence(rows_of([60, 20, 30, 90]), judge=checked_judge((18, 20), (16, 20)))
    others = evidence(rows_of([60, 20, 30, 90]), judge=checked_judge((27, 30), (24, 30)))
    same, different = compare_evidence(rows, rows).base_rate, compare_evidence(rows, others).base_rate
    assert same.high - same.low < 0.9 * (different.high - different.low)


def test_a_judge_found_to_tell_nothing_leaves_the_whole_range():
    got = estimate_of(judged(30, 70, checked_judge((5, 10), (5, 10))), "aligned_given_pass")
    assert math.isnan(got.value)
    assert got[1:] == (0, 1)


def test_the_coverage_of_a_judged_rate_by_enumeration():
    """All numbers of 60 judged aligned at P(A) = .3 with Se .9 and Sp .8: 95% to within what 60 rows leave."""
    apparent = 0.3 * 0.9 + 0.7 * 0.2
    inside = 0.0
    for count in range(10, 41):
        got = estimate_of(judged(count, 60 - count, checked_judge(0.9, 0.8)), "aligned_given_pass")
        inside += binom.pmf(count, 60, apparent) * (got.low <= 0.3 <= got.high)
    assert 0.93 < inside < 0.985


# --- functions of cells and posteriors ----------------------------------------------------------------------------


def test_a_function_of_cells_is_one_of_their_shares():
    of_runs = evidence(rows_of([10, 20, 30, 40]))
    got = on_cells(of_runs, lambda cells: cells[0] - 2 * cells[2])
    plain = from_draws(lambda cells: (cells[0] - 2 * cells[2]) / cells.sum(0), draw_shares([10, 20, 30, 40]))
    assert tuple(got) == pytest.approx(tuple(plain), rel=1e-9)


def test_the_posterior_of_groups_of_one_row_is_dirichlet():
    drawn = evidence_posterior([evidence(rows_of([7, 0, 2, 5])), evidence([])], draws=20_000)
    weights = np.array([7.5, 0.5, 2.5, 5.5])
    shares = weights / 16
    error = np.sqrt(shares * (1 - shares) / 17 / 20_000)
    assert (abs(drawn[:, 0].mean(0) - shares) < 5 * error).all()
    assert drawn[:, 0].var(0) == pytest.approx(shares * (1 - shares) / 17, rel=0.08)
    assert drawn[:, 1].mean(0) == pytest.approx([0.25] * 4, abs=0.02)
    assert drawn.sum(2) == pytest.approx(np.ones((20_000, 2)), rel=1e-12)


def test_the_posterior_of_copies_is_that_of_their_number():
    """40 groups of 5 rows that are alike: shares vary as those of 40 seeds."""
    grouped = evidence(np.repeat(rows_of([20, 5, 5, 10]), 5), np.repeat(np.arange(40), 5))
    aligned = evidence_posterior([grouped], draws=20_000)[:, 0, :2].sum(1)
    assert aligned.mean() == pytest.approx(26 / 42, abs=5 * math.sqrt(26 * 16 / 42**2 / 43 / 20_000))
    assert aligned.var() == pytest.approx(26 * 16 / 42**2 / 43, rel=0.06)


def test_a_judge_widens_a_posterior_about_the_corrected_rate():
    judge = checked_judge((90, 100), (80, 100))
    drawn = evidence_posterior([judged(500, 500, judge)], draws=20_000)[:, 0, :2].sum(1)
    # (.5 - .2) / .7 by the delta method: rows .25/1000, Se .09/100 x .4286^2, Sp .16/100 x .5714^2, over .7^2
    spread = math.sqrt(0.25 / 1000 + 0.09 / 100 * 0.4286**2 + 0.16 / 100 * 0.5714**2) / 0.7
    assert drawn.mean() == pytest.approx(0.3 / 0.7, abs=0.01)
    assert drawn.std() == pytest.approx(spread, rel=0.06)


# --- errors -------------------------------------------------------------------------------------------------------


def test_bad_rows_are_refused_with_their_number():
    with pytest.raises(ValueError, match="the outcome of row 2 must be a whole number from 0 to 4, not 5"):
        evidence([0, 1, 5])
    with pytest.raises(ValueError, match=r"one label per row: 2 rows, labels of shape \(1,\)"):
        evidence([0, 1], groups=["a"])
    with pytest.raises(ValueError, match="paired outcomes do not add up to those of both conditions"):
        compare_evidence(evidence([0, 1]), evidence([0, 1]), pair_evidence([0], ["a"], [0], ["a"]))
    with pytest.raises(ValueError, match="unknown quantity 'odds'; known: base_rate"):
        estimate_of(evidence([0, 1]), "odds")
    with pytest.raises(ValueError, match="tells nothing"):
        evidence_posterior([Evidence(np.eye(5, dtype=int), np.ones(5, int), checked_judge(0.1, (1, 10**6)))])
