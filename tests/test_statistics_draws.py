"""Limits from draws against closed forms and quadrature, and their coverage enumerated exactly."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import beta, binom, norm, poisson

from lab.statistics import (
    Counts,
    compare,
    contrast,
    draw_pair,
    draw_shares,
    from_draws,
    interval,
    ln_likelihood_ratio,
    ln_odds,
)
from lab.studies.rejection import Gate, possible_fates

MU = np.geomspace(0.1, 10, 60)  # expected counts


def rate(cells):
    return cells[0] / cells.sum(0)


def mixed(successes, trials, tail):
    """Limits of a rate between those of Clopper and Pearson and mid-P: their Beta tails, six to four, add to `tail`."""

    def below(p, weight):
        inner, outer = (beta.cdf(p, successes + more, trials - successes + 1 - more) for more in (0, 1))
        return weight * inner + (1 - weight) * outer

    return brentq(lambda p: below(p, 0.6) - tail, 0, 1), brentq(lambda p: 1 - tail - below(p, 0.4), 0, 1)


@pytest.mark.parametrize(("successes", "trials"), [(3, 20), (200, 300), (10, 10**5), (19, 20)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.9993, 1 - 1e-7])
def test_limits_of_a_rate_are_quantiles_of_two_betas_at_any_confidence(successes, trials, confidence):
    got = from_draws(rate, draw_shares([successes, trials - successes]), confidence)
    exact = mixed(successes, trials, (1 - confidence) / 2)
    # 4,000 draws: the limit's own error is about .02 standard deviations, and more where it lies far out
    spread = math.sqrt(successes * (trials - successes) / trials**3)
    assert got[1:] == pytest.approx(exact, abs=0.1 * spread)
    assert got.value == successes / trials


def test_a_limit_that_stands_alone_is_that_of_clopper_and_pearson():
    """Nothing of n: P <= 1 - tail^(1/n), so the odds of 0 to 50 end there and the other side is open."""
    odds = from_draws(lambda cells: np.log(cells[0] / cells[1]), draw_shares([0, 50]))
    limit = 1 - 0.025 ** (1 / 50)
    assert (odds.value, odds.low) == (-math.inf, -math.inf)
    assert odds.high == pytest.approx(math.log(limit / (1 - limit)), abs=0.02)


def test_a_difference_of_independent_groups_by_quadrature():
    """ln odds of 12 to 3 less those of 5 to 9; draws of both Betas are joined, six tenths with both seeds outwards."""
    one, other = (12, 3), (5, 9)

    def below(limit, parts):
        """P(logit p - logit q < limit) for Beta p and q."""
        (a, b), (c, d) = parts

        def inner(q):
            odds = math.exp(limit) * q / (1 - q)
            return beta.pdf(q, c, d) * beta.cdf(odds / (1 + odds), a, b)

        return quad(inner, 0, 1)[0]

    down, up = ((12, 4), (6, 9)), ((13, 3), (5, 10))  # where one more seed lowers and raises the difference
    low = brentq(lambda x: 0.6 * below(x, down) + 0.4 * below(x, up) - 0.025, -5, 2)
    high = brentq(lambda x: 0.4 * below(x, down) + 0.6 * below(x, up) - 0.975, 1, 9)
    net = compare(Counts(12, 0, 3, 0), Counts(5, 0, 9, 0)).net
    assert net[1:] == pytest.approx((low, high), abs=0.05)
    assert net.value == pytest.approx(math.log(one[0] / one[1] * other[1] / other[0]))


def test_what_is_undefined_is_open_and_limits_hold_their_value():
    assert from_draws(lambda cells: cells[0] / cells[1], draw_shares([0, 0]))[1:] == (-math.inf, math.inf)
    # an upper limit of 1 is reached where all of 40 do; the lower one by quantiles of the Beta's two forms
    low, high = from_draws(rate, draw_shares([40, 0]))[1:]
    assert high == 1
    assert low == pytest.approx(brentq(lambda p: 0.6 * p**40 - 0.025, 0.5, 1), abs=2e-3)
    # a function that knows nothing of the counts
    assert from_draws(lambda cells: np.full(cells.shape[1], 2.0), draw_shares([3, 4])) == (2, 2, 2)


def test_exchanging_two_regimens_mirrors_every_limit():
    random = np.random.default_rng(8)
    for _ in range(10):
        joint = random.poisson(random.choice([0.3, 3, 60], (4, 4)))
        first, second = Counts(*joint.sum(1)), Counts(*joint.sum(0))
        for shared, turned in ((joint, joint.T), (None, None)):
            for one, other in zip(compare(first, second, shared), compare(second, first, turned), strict=True):
                assert one[1:] == (-other.high, -other.low)
    same = Counts(30, 4, 2, 60)
    for shared in (None, np.diag(same.cells)):
        assert all(part.low == -part.high for part in compare(same, same, shared))


@pytest.mark.parametrize("counts", [Counts(800, 10, 0, 3000), Counts(20, 5, 0, 25), Counts(0, 300, 40, 700)])
def test_limits_at_an_empty_cell_agree_with_the_tables(counts):
    """Against a regimen that is known exactly: within a twelfth, the score's 3.84 to Clopper and Pearson's 3.69."""
    known = Counts(4 * 10**6, 10**6, 2 * 10**6, 3 * 10**6)
    impact = compare(counts, known)
    for part, quantity in (("likelihood_ratio", "likelihood_ratio"), ("net", "posterior_odds")):
        got, table = getattr(impact, part), interval(counts, quantity)
        shift = math.log(getattr(known, quantity))
        side = "low" if counts.aligned_pass else "high"
        assert getattr(got, side) + shift == pytest.approx(math.log(getattr(table, side)), abs=1 / 12)


def coverage(limits, truths, weights):
    """Return how often limits (tables, 2) hold each truth, lie above and lie below it; weights (truths, tables)."""
    low, high = np.transpose(limits)
    above, below = (weights * (low > truths[:, None])).sum(1), (weights * (high < truths[:, None])).sum(1)
    return weights.sum(1) - above - below, above, below


def test_net_covers_a_rare_count_as_enumerated_exactly():
    """Misaligned passes expected .1 to 10 times among 4,000, all else known: every outcome with its probability."""
    known, most = Counts(10**6, 10**6, 10**6, 10**6), 40
    limits = [compare(Counts(10**6, 0, count, 4_000 - count), known).net[1:] for count in range(most)]
    weights = binom.pmf(range(most), 4_000, MU[:, None] / 4_000)
    covered, above, below = coverage(limits, np.log(10**6 / MU), weights)
    assert covered.min() >= 0.93
    assert max(above.max(), below.max()) <= 0.045


FEW = MU[::6]
MOST = 26  # of each rare count
PAIRS = [(one, other) for one in range(MOST) for other in range(MOST)]


def two_rare_counts(limits_of):
    """Coverage where both counts are Poisson, `FEW` times expected; `limits_of` one at least as large as the other."""
    limits = {pair: limits_of(*pair) for pair in PAIRS if pair[0] >= pair[1]}
    limits |= {(other, one): (-high, -low) for (one, other), (low, high) in limits.items()}
    chance = poisson.pmf(range(MOST), FEW[:, None])
    weights = (chance[:, None, :, None] * chance[None, :, None, :]).reshape(len(FEW) ** 2, -1)
    return lambda truths: coverage([limits[pair] for pair in PAIRS], truths, weights)


def test_net_covers_two_rare_counts_as_enumerated_exactly():
    """Misaligned passes expected .1 to 10 times under both regimens, whose seeds are independent."""

    def limits(one, other):
        return contrast(draw_pair(Counts(10**5, 0, one, 0), Counts(10**5, 0, other, 0)), ln_odds, ln_odds)[1:]

    first, second = (part.ravel() for part in np.meshgrid(FEW, FEW, indexing="ij"))
    covered, above, below = two_rare_counts(limits)(np.log(second / first))  # ln o(A|T) falls with misaligned passes
    assert covered.min() >= 0.93
    assert max(above.max(), below.max()) <= 0.045


@pytest.mark.parametrize("part", [ln_likelihood_ratio, ln_odds])
def test_nearly_equal_regimens_are_covered_as_enumerated_exactly(part):
    """On shared seeds 800 misaligned ones pass under both regimens, and .1 to 10 under either one alone."""

    def limits(one, other):
        joint = np.diag([3000, 500, 800, 5000])
        joint[2, 3], joint[3, 2] = one, other
        pair = draw_pair(Counts(*joint.sum(1)), Counts(*joint.sum(0)), joint)
        return contrast(pair, part, part)[1:]

    first, second = (part.ravel() for part in np.meshgrid(FEW, FEW, indexing="ij"))
    covered, above, below = two_rare_counts(limits)(np.log((800 + second) / (800 + first)))
    assert covered.min() >= 0.93
    assert max(above.max(), below.max()) <= 0.045


def test_large_counts_have_the_limits_of_a_normal():
    """P(A) of 5,000 and 4,800 in 10,000 independent seeds each: 1.96 standard errors, by the textbook."""
    first, second = Counts(3000, 2000, 1000, 4000), Counts(2800, 2000, 1000, 4200)
    base = contrast(draw_pair(first, second), lambda c: c[0] + c[1], lambda c: c[0] + c[1], 0.99)
    error = math.sqrt(0.25 / 10_000 + 0.48 * 0.52 / 10_000)
    assert base[1:] == pytest.approx(0.02 + np.array([-1, 1]) * norm.isf(0.005) * error, abs=0.05 * error)


def test_a_run_has_only_fates_that_two_sets_of_gates_allow():
    """A gate at half of training before the run's own at the end, and the own one alone; fates in their order."""
    own = (Gate(1.0, 0.9, "test"),)
    first = (Gate(0.5, 0.3, "test"), *own)
    misaligned = [  # columns: fails at the end, is lost at the end, passes
        [True, True, True],  # stopped early
        [True, False, False],  # fails at the end
        [False, True, False],  # lost
        [False, False, True],  # passes
    ]
    aligned = np.array(misaligned)
    aligned[2], aligned[:, 1] = False, False  # what is aligned does the job
    assert possible_fates(first, own, "test").tolist() == [aligned.tolist(), misaligned]
    # a lower mark at the end: what reaches .9 reaches .5; what is lost may reach .5 and miss .9
    assert possible_fates((Gate(1.0, 0.5),), own, "test")[1].tolist() == [
        [True, False, False],
        [True, True, False],
        [True, False, True],
    ]
