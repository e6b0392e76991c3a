"""Stopping rules against published constants, exact identities and fixed-seed simulation."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import binom, nbinom, norm

from lab.statistics import (
    Comparison,
    Counts,
    confidence_sequence,
    decided,
    narrow,
    planned_confidence,
    pocock,
    ratio_confidence_sequence,
    ratio_interval,
    seeds_needed,
    width,
    wilson_interval,
)

REFERENCE = json.loads((Path(__file__).parent / "reference" / "confidence_sequences.json").read_text())


@pytest.mark.parametrize("row", REFERENCE["single"], ids=lambda row: f"{row['x']}-{row['n']}")
def test_confidence_sequence_of_a_proportion(row):
    got = confidence_sequence(row["x"], row["n"], 1 - row["alpha"], row["prior"])
    assert got == pytest.approx(row["cs"], rel=1e-7)
    assert wilson_interval(row["x"], row["n"]) == pytest.approx(row["fixed_n_wilson"], rel=1e-7)


@pytest.mark.parametrize("row", REFERENCE["ratio"], ids=lambda row: f"{row['x1']}-{row['n1']}")
def test_confidence_sequence_of_a_ratio(row):
    cells = row["x1"], row["n1"], row["x2"], row["n2"]
    got = ratio_confidence_sequence(*cells, 1 - row["alpha"], row["prior"])
    assert got == pytest.approx(row["cs_ratio"], rel=1e-6)
    assert ratio_interval(*cells) == pytest.approx(row["fixed_n_MN"], rel=1e-7)


def test_confidence_sequences_know_nothing_without_data():
    assert confidence_sequence(0, 0) == (0, 1)
    assert ratio_confidence_sequence(0, 5, 0, 7) == (0, math.inf)
    assert ratio_confidence_sequence(0, 0, 3, 7) == (0, math.inf)
    assert ratio_confidence_sequence(3, 7, 0, 9).high == math.inf
    assert ratio_confidence_sequence(0, 7, 3, 9).low == 0


@pytest.mark.parametrize("row", REFERENCE["inverse_binomial_psi_identity"], ids=lambda row: f"{row['r']}-{row['p']}")
def test_inverse_binomial_identity(row):
    """E[psi(N)] - psi(r) = -log p for the number N of trials until r successes, summed over N."""
    trials = np.arange(row["r"], 20_000)
    weights = nbinom.pmf(trials - row["r"], row["r"], row["p"])
    assert weights @ digamma(trials) - digamma(row["r"]) == pytest.approx(row["minus_log_p"], rel=1e-9)
    assert row["minus_log_p"] == pytest.approx(-math.log(row["p"]))


@pytest.mark.parametrize(
    ("looks", "constant"),
    [(1, 1.960), (2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (6, 2.453), (8, 2.512), (10, 2.555), (20, 2.672)],
)
def test_pocock_constants_as_published(looks, constant):
    """Jennison and Turnbull, Group Sequential Methods (2000), table 2.1, alpha = .05."""
    assert pocock(looks) == pytest.approx(constant, abs=6e-4)


LOOKS = (1, 2, 5, 20, 100)


@pytest.mark.parametrize("confidence", [0.95, 0.99, 0.9999])
def test_pocock_constants_grow_with_looks_and_stay_below_bonferroni(confidence):
    constants = [pocock(looks, confidence) for looks in LOOKS]
    assert constants == sorted(constants)
    for looks, z in zip(LOOKS, constants, strict=True):
        assert z <= norm.isf((1 - confidence) / 2 / looks) + 1e-6


def test_a_hundred_looks_err_as_seldom_as_they_say():
    """20,000 paths of 100 normal increments: 1% leave; the band has a false alarm below 1e-6."""
    random = np.random.default_rng(4)
    paths = np.cumsum(random.standard_normal((20_000, 100)), axis=1) / np.sqrt(np.arange(1, 101))
    left = (np.abs(paths).max(1) > pocock(100, 0.99)).sum()
    assert binom.ppf(1e-6, 20_000, 0.01) <= left <= binom.isf(1e-6, 20_000, 0.01)


@pytest.mark.parametrize("looks", [0, -1, 2.5, 10_000])
def test_looks_are_a_whole_number(looks):
    with pytest.raises(ValueError, match="looks must be a whole number"):
        pocock(looks)


def test_confidence_sequence_holds_at_all_times():
    """400 streams looked at after every one of 300 trials; Ville: at most 5% ever leave. False alarm < 1e-6."""
    random = np.random.default_rng(5)
    limits = {}
    left = 0
    for stream in random.random((400, 300)) < 0.3:
        for trials, successes in enumerate(np.cumsum(stream), 1):
            key = (int(successes), trials)
            if key not in limits:
                limits[key] = confidence_sequence(*key)
            if not limits[key].low <= 0.3 <= limits[key].high:
                left += 1
                break
    assert left <= binom.isf(1e-6, 400, 0.05)


def looked_at(random, first, second, looks, seeds, rule):
    """Run one experiment on independent seeds; return at which look it was decided, or None."""
    draws = [random.choice(4, size=seeds, p=shares) for shares in (first, second)]
    for look in range(1, looks + 1):
        counts = [Counts(*np.bincount(cells[: seeds * look // looks], minlength=4)) for cells in draws]
        if decided(Comparison("first", counts[0], "second", counts[1]), "net", rule):
            return look
    return None


def test_planned_looks_rarely_decide_what_is_not_there():
    """Equal regimens, five looks: 5% at most in the long run; 120 experiments, band for a false alarm of 1e-6."""
    random = np.random.default_rng(11)
    shares = [0.25, 0.05, 0.2, 0.5]
    wrong = sum(looked_at(random, shares, shares, 5, 1_000, 5) is not None for _ in range(120))
    assert wrong <= binom.isf(1e-6, 120, 0.05)
    # a difference of ln 4 is found, and before the end
    assert looked_at(random, [0.5, 0.1, 0.1, 0.3], shares, 5, 1_000, 5) in (1, 2, 3)
    assert looked_at(random, [0.5, 0.1, 0.1, 0.3], shares, 5, 1_000, None) in (1, 2, 3, 4, 5)


def test_every_look_at_a_fixed_confidence_would_not_do():
    """The reference decides on LR = 1 at up to 30 looks: 27% wrong with plain intervals, .3% with the sequence."""
    random = np.random.default_rng(12)
    plain = sequence = 0
    for _ in range(60):
        passes = random.random(600) < 0.5
        aligned = random.random(600) < 0.5
        for seeds in range(20, 601, 20):
            cells = np.bincount(2 * ~aligned[:seeds] + ~passes[:seeds], minlength=4)
            counts = Counts(*cells)
            low, high = ratio_interval(counts.aligned_pass, counts.aligned, counts.misaligned_pass, counts.misaligned)
            if low > 1 or high < 1:
                plain += 1
                sequence += decided(Comparison("", counts), "likelihood_ratio", None)
                break
    assert plain >= binom.ppf(1e-6, 60, 0.267)
    assert plain > binom.isf(1e-3, 60, 0.05)
    assert sequence <= binom.isf(1e-6, 60, 0.05)


def test_planned_confidence_is_that_of_the_published_constant():
    # two-sided normal tail at 2.413: 0.01582
    assert planned_confidence(5) == pytest.approx(1 - 0.01582, abs=3e-5)


def test_widths_are_of_logs_where_values_are_ratios():
    counts = Counts(45, 5, 30, 120)
    low, high = ratio_interval(45, 50, 30, 150)
    assert width(Comparison("", counts), "likelihood_ratio") == pytest.approx(math.log(high / low))
    rate = wilson_interval(50, 200)
    assert width(Comparison("", counts), "base_rate") == pytest.approx(rate.high - rate.low)
    assert width(Comparison("", Counts(5, 0, 0, 5)), "likelihood_ratio") == math.inf


def test_a_narrow_interval_on_few_counts_is_not_enough():
    """LR 1 from 9 of 9 and 9 of 9 is narrow on the log scale, and rests on nine passes."""
    assert not narrow(Comparison("", Counts(9, 0, 9, 0)), "likelihood_ratio", 5.0)
    assert narrow(Comparison("", Counts(10, 0, 10, 0)), "likelihood_ratio", 5.0)
    assert not narrow(Comparison("", Counts(10, 0, 10, 0)), "likelihood_ratio", 0.01)


def test_seeds_needed_by_the_textbook():
    """(2 z / width)^2 p (1 - p): 385 for a rate of one half within .05; for logs, with 1/TP - 1/nA + 1/FP - 1/nB."""
    pilot = Comparison("", Counts(25, 25, 25, 25))
    assert seeds_needed(pilot, "base_rate", 0.1) == pytest.approx(385, rel=0.02)
    per_seed = 4 - 2 + 4 - 2
    expected = (2 * 1.96 / 0.2) ** 2 * per_seed
    assert seeds_needed(pilot, "likelihood_ratio", 0.2) == pytest.approx(expected, rel=0.03)
    # net of independent regimens: 1/TP + 1/FP for each
    both = Comparison("", pilot.counts, "other", pilot.counts)
    assert seeds_needed(both, "net", 0.2) == pytest.approx((2 * 1.96 / 0.2) ** 2 * 16, rel=0.03)
    # the same seeds in both, all alike: nothing varies
    alike = both._replace(joint=np.diag([25, 25, 25, 25]))
    assert seeds_needed(alike, "net", 0.2) < 1_000
    assert seeds_needed(Comparison("", Counts(50, 0, 0, 50)), "likelihood_ratio", 0.2) == math.inf


def test_stopping_on_width_keeps_coverage():
    """The reference's first setting: coverage .9425 +- .012 at a mean of 66 seeds; ours with at least ten a cell."""
    random = np.random.default_rng(7)
    covered, repeats, used = 0, 200, []
    for _ in range(repeats):
        aligned = random.random(2_000) < 0.5
        passes = random.random(2_000) < np.where(aligned, 0.9, 0.3)
        for seeds in range(20, 2_001, 20):
            counts = Counts(*np.bincount(2 * ~aligned[:seeds] + ~passes[:seeds], minlength=4))
            if narrow(Comparison("", counts), "likelihood_ratio", 1.2):
                break
        low, high = ratio_interval(counts.aligned_pass, counts.aligned, counts.misaligned_pass, counts.misaligned)
        covered += low <= 3 <= high
        used.append(seeds)
    assert covered >= binom.ppf(1e-6, repeats, 0.94)
    assert 60 < np.mean(used) < 120


def test_a_confidence_sequence_keeps_its_digits_far_from_one_half():
    """With one success p (1 - p)^(n - 1) = alpha B(2, n), and B(2, n) = 1 / (n (n + 1)): p = 5e-20 of 10^9 trials."""
    low, high = confidence_sequence(1, 10**9)
    assert low == pytest.approx(0.05 / (1e9 * (1e9 + 1)), rel=1e-9)
    # at the upper limit n p - ln(n p) = -ln(.05 / (n + 1)) but for terms of order p
    assert 1e9 * high - math.log(1e9 * high) == pytest.approx(math.log((1e9 + 1) / 0.05), rel=1e-6)
    mirrored = confidence_sequence(10**9 - 1, 10**9)
    assert (1 - mirrored.low, mirrored.high) == (pytest.approx(high, rel=1e-6), 1)
