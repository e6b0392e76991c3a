"""Log impacts against exact moments, published standard errors and simulation; each reference names its source."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lab.results.summary import worlds
from lab.statistics import Counts, compare, family_wise, pairing, shared_posterior
from tests.two_by_two import counts_of

REFERENCE = Path(__file__).parent / "reference"
DECOMPOSITION = json.loads((REFERENCE / "decomposition_examples.json").read_text())["rows"]
SIMULATED = json.loads((REFERENCE / "delta_log_odds_coverage_sim.json").read_text())
PAIRED = json.loads((REFERENCE / "lr_examples.json").read_text())["paired_ratio_of_LRs"]


def test_log_impact_is_near_the_posterior_of_jeffreys_where_counts_are_not_small():
    """Digamma and trigamma moments of Dirichlet(1/2), from the reference; its half seed per cell is what differs."""
    for row in DECOMPOSITION:
        first, second, exact = counts_of(row["regimen1"]), counts_of(row["regimen2"]), row["delta_dirichlet_half"]
        if min(first.misaligned_pass, second.misaligned_pass) < 10:
            continue  # tests/test_draws.py has the exact limits of small counts
        impact = compare(first, second)
        for name, key in (("likelihood_ratio", "LR"), ("base_rate", "prior_odds"), ("net", "posterior_odds")):
            got = getattr(impact, name)
            mean, sd = exact[f"mean_log_{key}"], math.sqrt(exact[f"var_log_{key}"])
            assert got.value == pytest.approx(row["delta_point"][f"log_{key}"], abs=1e-12)
            assert (got.low + got.high) / 2 == pytest.approx(mean, abs=0.15 * sd)
            assert (got.high - got.low) / 2 == pytest.approx(1.96 * sd, rel=0.05)


def test_log_impact_values_add_to_the_net():
    impact = compare(Counts(45, 5, 30, 120), Counts(18, 2, 9, 171))
    assert impact.net.value == pytest.approx(impact.likelihood_ratio.value + impact.base_rate.value, abs=1e-12)


def test_log_impact_stays_open_where_a_cell_is_empty():
    hacked, perfect = Counts(50, 0, 150, 0), Counts(20, 5, 0, 175)
    impact = compare(hacked, perfect)
    assert impact.likelihood_ratio.value == impact.likelihood_ratio.low == -math.inf
    # P(T|not A) of the perfect test is below 1 - .025^(1/175) = .0209 with 97.5% (Clopper and Pearson), so its log LR
    # is above ln(0.8 / 0.0209) = 3.6 or so, give or take the uncertainty of P(T|A)
    assert -3.8 < impact.likelihood_ratio.high < -3.4
    neither = compare(perfect, perfect)
    assert math.isnan(neither.net.value)
    assert (neither.net.low, neither.net.high) == (-math.inf, math.inf)
    # two useless tests are equal, but not known to be equal beyond doubt
    useless = compare(hacked, hacked).likelihood_ratio
    assert useless.value == 0
    assert useless.low < -0.01 < 0.01 < useless.high


def test_pairing_uses_what_seeds_share():
    counts = Counts(45, 5, 30, 120)
    alike = compare(counts, counts, np.diag([45, 5, 30, 120]))
    apart = compare(counts, counts)
    assert alike.net.value == apart.net.value == 0
    assert alike.net.high < 0.3 * apart.net.high


def test_paired_interval_matches_influence_functions():
    """Large counts: Var = sum (phi1 - phi2)^2 / n^2 with phi_post = AT/P(A,T) - (1-A)T/P(not A,T)."""
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.full(16, 2.0))
    joint = np.round(20_000 * probabilities).astype(int).reshape(4, 4)
    first, second = (Counts(*map(int, joint.sum(axis))) for axis in (1, 0))
    phi = []
    for counts in (first, second):
        n = counts.seeds
        phi.append(np.array([n / counts.aligned_pass, 0, -n / counts.misaligned_pass, 0]))
    difference = phi[0][:, None] - phi[1][None, :]
    se = math.sqrt((joint * difference**2).sum()) / joint.sum()
    net = compare(first, second, joint).net
    assert (net.high - net.low) / 2 == pytest.approx(1.96 * se, rel=0.04)


def published_pair():
    """DTComPair's two tests of the same subjects as two regimens that agree on who is aligned."""
    joint = np.zeros((4, 4), int)
    for kind, start in (("diseased", 0), ("nondiseased", 2)):
        cells = PAIRED[kind]
        joint[start : start + 2, start : start + 2] = [[cells["pp"], cells["pn"]], [cells["np_"], cells["nn"]]]
    return joint


@pytest.mark.parametrize(("key", "order"), [("pdlr", [0, 1, 2, 3]), ("ndlr", [1, 0, 3, 2])])
def test_paired_standard_error_as_published(key, order):
    """The ratio of two tests' likelihood ratios, of passing and (with pass and fail swapped) of failing."""
    joint = published_pair()[np.ix_(order, order)]
    first, second = Counts(*joint.sum(1)), Counts(*joint.sum(0))
    assert first.likelihood_ratio / second.likelihood_ratio == pytest.approx(PAIRED[key]["ratio"], abs=5e-8)
    shared = pairing(first, second, joint).likelihood_ratio
    assert shared.standard_error == pytest.approx(PAIRED[key]["se_log"], abs=5e-8)
    # the same without pairing, from Simel's formula, which the reference gives as .1553277 and .1611503
    apart = math.sqrt(
        sum(1 / c.aligned_pass - 1 / c.aligned + 1 / c.misaligned_pass - 1 / c.misaligned for c in (first, second))
    )
    assert shared.variance_saved == pytest.approx(1 - (shared.standard_error / apart) ** 2, rel=1e-9)
    # the published interval is symmetric on the log scale; ours is from draws, and one more seed is in it
    interval = np.exp(compare(first, second, joint).likelihood_ratio[1:])
    assert interval == pytest.approx(PAIRED[key]["ci"], rel=0.02)


def test_pairing_by_hand():
    """Equal populations: correlation 1 and nothing left to vary; independent ones: 0 and nothing saved."""
    counts = Counts(4, 4, 4, 4)
    for part in pairing(counts, counts, np.diag([4, 4, 4, 4])):
        assert (part.correlation, part.variance_saved) == pytest.approx((1, 1))
        assert part.standard_error == pytest.approx(0, abs=1e-12)
    apart = pairing(counts, counts, np.ones((4, 4), int))
    assert [part.correlation for part in apart] == pytest.approx([0, 0, 0], abs=1e-12)
    # 1/TP + 1/FP for each of the two regimens; 1/nA + 1/nB; and their difference
    expected = [2 * (1 / 4 + 1 / 4 - 1 / 8 - 1 / 8), 2 * (1 / 8 + 1 / 8), 2 * (1 / 4 + 1 / 4)]
    assert [part.standard_error**2 for part in apart] == pytest.approx(expected)


def test_pairing_is_undefined_where_a_cell_is_empty():
    perfect = Counts(20, 5, 0, 175)
    shared = pairing(perfect, perfect, np.diag([20, 5, 0, 175]))
    assert all(math.isnan(value) for value in shared.net)
    assert shared.base_rate.correlation == pytest.approx(1)


def test_paired_comparison_covers_as_often_as_it_says():
    """Between .94 and .97 but for three standard errors of 500 experiments, .0097 each."""
    random = np.random.default_rng(20)
    alone = [np.array([0.27, 0.03, 0.21, 0.49]), np.array([0.45, 0.05, 0.35, 0.15])]
    # half of the seeds end alike as far as the margins allow
    common = np.minimum(*alone)
    rest = [count - common for count in alone]
    truth = np.outer(*rest) / rest[0].sum() + np.diag(common)
    truth = 0.5 * truth + 0.5 * np.outer(*alone)
    assert truth.sum(1) == pytest.approx(alone[0])
    true = [math.log(c[0] / c[2]) for c in alone], [math.log((c[0] + c[1]) / (c[2] + c[3])) for c in alone]
    net, base = (one - other for one, other in true)
    repeats, covered = 500, {"likelihood_ratio": 0, "base_rate": 0, "net": 0}
    for joint in random.multinomial(300, truth.ravel(), repeats).reshape(-1, 4, 4):
        impact = compare(Counts(*joint.sum(1)), Counts(*joint.sum(0)), joint)
        for part, value in (("likelihood_ratio", net - base), ("base_rate", base), ("net", net)):
            _, low, high = getattr(impact, part)
            covered[part] += low <= value <= high
    for part, times in covered.items():
        assert 0.94 - 3 * 0.0097 <= times / repeats <= 0.97 + 3 * 0.0097, (part, times / repeats)


@pytest.mark.parametrize("scenario", ["moderate", "hacked vs held out"])
def test_unpaired_comparison_covers_as_the_reference_found(scenario):
    """50 seeds; the reference's standard error is .0056, that of our 200 experiments .015: five of both together."""
    rows = [row for row in SIMULATED if row["scenario"] == scenario and row["n_seeds_per_regimen"] == 50]
    rows = {row["target"]: row for row in rows if row["method"] == "dirichlet_half_posterior"}
    random = np.random.default_rng(21)
    shares = []
    for base, s, f in (rows["delta log lr"]["regimen1"], rows["delta log lr"]["regimen2"]):
        shares.append([base * s, base * (1 - s), (1 - base) * f, (1 - base) * (1 - f)])
    logs = [(math.log(c[0] / c[2]), math.log((c[0] + c[1]) / (c[2] + c[3]))) for c in shares]
    net, base = (one - other for one, other in zip(*logs, strict=True))
    true = {"delta log lr": net - base, "delta log prior": base, "delta log post": net}
    covered = dict.fromkeys(true, 0)
    for _ in range(200):
        impact = compare(*(Counts(*random.multinomial(50, regimen)) for regimen in shares))
        for target, part in zip(true, impact, strict=True):
            covered[target] += part.low <= true[target] <= part.high
    for target, times in covered.items():
        assert times / 200 == pytest.approx(rows[target]["coverage"], abs=5 * math.hypot(0.0056, 0.0154)), target


def test_family_wise_confidence_is_bonferroni():
    assert family_wise(0.95, 5) == pytest.approx(0.99)
    assert family_wise(0.95, 1) == pytest.approx(0.95)
    # far in the tails there are more draws, so that limits stay ordered and finite
    counts = Counts(45, 5, 30, 120)
    narrow, wide = (compare(counts, counts, confidence=family_wise(0.95, m)).net for m in (1, 1000))
    # normal quantiles: z(.999975) / z(.975) = 4.056 / 1.960
    assert wide.high / narrow.high == pytest.approx(4.056 / 1.960, rel=0.08)


def test_any_number_of_comparisons_hold_together():
    """A million of them: z = 5.45 for 1.96 (normal table, tail 2.5e-8), as counts of thousands are near to normal."""
    counts = Counts(4500, 500, 3000, 12000)
    narrow, wide = (compare(counts, counts, confidence=family_wise(0.95, m)).net for m in (1, 10**6))
    assert wide.high / narrow.high == pytest.approx(5.4513 / 1.96, rel=0.05)


def test_shared_posterior_has_the_margins_of_one_regimen():
    """Dirichlet(count + 1/2): means (count + 1/2) / (n + 2), variance m (1 - m) / (n + 3); joint weight 1/8 a cell."""
    random = np.random.default_rng(3)
    cells = np.stack([random.integers(4, size=200), random.integers(4, size=200), np.zeros(200, int)])
    cells[1, :120] = cells[0, :120]
    shares = shared_posterior(cells, draws=40_000)
    assert shares.sum(2) == pytest.approx(np.ones((40_000, 3)))
    for condition, row in enumerate(cells):
        mean = (np.bincount(row, minlength=4) + 0.5) / 202
        spread = np.sqrt(mean * (1 - mean) / 203)
        assert np.abs(shares[:, condition].mean(0) - mean).max() < 5 * spread.max() / 200
        assert shares[:, condition].std(0) == pytest.approx(spread, rel=0.03)
    # covariance of two conditions' first cells: (joint + 1/8) / 202 - product of means, over 203
    joint = ((cells[0] == 0) & (cells[1] == 0)).sum()
    means = [(np.count_nonzero(row == 0) + 0.5) / 202 for row in cells[:2]]
    exact = ((joint + 0.125) / 202 - means[0] * means[1]) / 203
    assert np.cov(shares[:, 0, 0], shares[:, 1, 0])[0, 1] == pytest.approx(exact, rel=0.06)


def test_joint_counts_must_add_up():
    with pytest.raises(ValueError, match="do not add up"):
        compare(Counts(1, 1, 1, 1), Counts(1, 1, 1, 1), np.eye(4, dtype=int) * 2)


def test_worlds_are_the_axes_that_all_regimens_share():
    places = [
        ("hold_out", {"preference": 0.0}),
        ("push", {"preference": 0.0, "onset": 0.1}),
        ("push", {"preference": 0.0, "onset": 0.2}),
        ("hold_out", {"preference": 1.0}),
    ]
    assert worlds(places) == {(("preference", 0.0),): [0, 1, 2], (("preference", 1.0),): [3]}


def test_shared_posterior_has_as_many_draws_as_asked_of_however_many_outcomes():
    """1,900 unlike outcomes times 2,500 draws are not drawn at a time; means are (count + 1/2) / (n + 2)."""
    cells = np.random.default_rng(6).integers(4, size=(8, 2_000))
    shares = shared_posterior(cells, draws=2_500)
    assert shares.shape == (2_500, 8, 4)
    expected = np.stack([(np.bincount(row, minlength=4) + 0.5) / 2_002 for row in cells])
    assert np.abs(shares.mean(0) - expected).max() < 5 * math.sqrt(0.25 * 0.75 / 2_003 / 2_500)
    for wrong in (cells - 1, cells + 1, cells / 2):
        with pytest.raises(ValueError, match="whole numbers from 0 to 3"):
            shared_posterior(wrong)


def test_joint_counts_are_whole_numbers_that_are_not_negative():
    """The margins fit, and one joint count is -1."""
    joint = np.diag([10, 5, 3, 40])
    joint[0, 0], joint[0, 1], joint[1, 0], joint[1, 1] = 11, -1, -1, 6
    counts = Counts(10, 5, 3, 40)
    for method in (compare, pairing):
        with pytest.raises(ValueError, match="a joint count must be a whole number of at least 0, not -1"):
            method(counts, counts, joint)
        with pytest.raises(ValueError, match="a joint count must be a whole number"):
            method(counts, counts, np.diag([10, 5, 3, 40]) + 0.5)
        with pytest.raises(ValueError, match=r"shape \(4, 4\)"):
            method(counts, counts, [10, 5, 3, 40])


def test_pairing_without_shared_seeds_saves_nothing():
    """Variances of independent log odds add, 1/TP + 1/FP of each, also where regimens have unlike numbers of seeds."""
    net = pairing(Counts(30, 10, 20, 40), Counts(300, 100, 50, 400), None).net
    assert net[:2] == (0, 0)
    assert net.standard_error == pytest.approx(math.sqrt(1 / 30 + 1 / 20 + 1 / 300 + 1 / 50))
