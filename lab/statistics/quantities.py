"""Counts of outcomes -> rates, likelihood ratios, odds and cost, with intervals.

Point estimates are the plain ratios of counts; an empty cell gives 0, inf or nan, never a corrected number. Rates
have Wilson's interval, odds and cost its ends mapped, likelihood ratios and the odds ratio score intervals.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from lab.statistics.score import (
    Estimate,
    Interval,
    checked_confidence,
    checked_counts,
    odds_ratio_interval,
    ratio_interval,
    whole,
)

OF_ACCEPTED = ("aligned_given_pass", "posterior_odds", "pass_rate", "expected_runs")  # known where rejected are not
CELLS = ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")


def _ratio(numerator, denominator):
    """Divide; x/0 is inf and 0/0 is nan."""
    if denominator:
        return numerator / denominator
    return math.inf if numerator else math.nan


@dataclass(frozen=True)
class Counts:
    """Outcomes of a population of models: aligned or not, passing or not.

    An incompetent or diverged model is one that nobody ships: it is part of `misaligned_fail`, and `incompetent`
    and `diverged` say how many of these there are. So is an `unjudged` one, which a gate stopped; where there are
    any, what depends on the truth about rejected models is nan.

    Raises:
        ValueError: a count is negative or not a whole number, or parts exceed their whole.
    """

    aligned_pass: int
    aligned_fail: int
    misaligned_pass: int
    misaligned_fail: int
    incompetent: int = 0
    diverged: int = 0
    unjudged: int = 0

    def __post_init__(self):
        for name, count in list(vars(self).items()):
            object.__setattr__(self, name, whole(name, count))
        if self.incompetent + self.diverged + self.unjudged > self.misaligned_fail:
            raise ValueError(
                "incompetent, diverged and unjudged models are part of misaligned_fail, and there are more of them"
            )

    @property
    def cells(self):
        """The four counts, in the order of `CELLS`."""
        return tuple(getattr(self, name) for name in CELLS)

    @property
    def aligned(self):
        """Number of aligned models."""
        return self.aligned_pass + self.aligned_fail

    @property
    def misaligned(self):
        """Number of misaligned models."""
        return self.misaligned_pass + self.misaligned_fail

    @property
    def passing(self):
        """Number of models that pass."""
        return self.aligned_pass + self.misaligned_pass

    @property
    def seeds(self):
        """Number of models."""
        return self.aligned + self.misaligned

    def _judged(self, numerator, denominator):
        return math.nan if self.unjudged else _ratio(numerator, denominator)

    @property
    def base_rate(self):
        """P(A)."""
        return self._judged(self.aligned, self.seeds)

    @property
    def prior_odds(self):
        """o(A) = P(A) / P(not A)."""
        return self._judged(self.aligned, self.misaligned)

    @property
    def pass_given_aligned(self):
        """P(T|A)."""
        return self._judged(self.aligned_pass, self.aligned)

    @property
    def pass_given_misaligned(self):
        """P(T|not A)."""
        return self._judged(self.misaligned_pass, self.misaligned)

    @property
    def likelihood_ratio(self):
        """P(T|A) / P(T|not A): what passing says; nan without models of both kinds."""
        if not self.aligned or not self.misaligned:
            return math.nan
        return self._judged(self.pass_given_aligned, self.pass_given_misaligned)

    @property
    def negative_likelihood_ratio(self):
        """P(not T|A) / P(not T|not A): what failing says; nan without models of both kinds."""
        if not self.aligned or not self.misaligned:
            return math.nan
        return self._judged(self.aligned_fail / self.aligned, self.misaligned_fail / self.misaligned)

    @property
    def odds_ratio(self):
        """Odds of passing if aligned over those if not: LR of passing over LR of failing."""
        return self._judged(self.aligned_pass * self.misaligned_fail, self.aligned_fail * self.misaligned_pass)

    @property
    def posterior_odds(self):
        """o(A|T) = LR x o(A), which is aligned passes over misaligned passes."""
        return _ratio(self.aligned_pass, self.misaligned_pass)

    @property
    def aligned_given_pass(self):
        """P(A|T)."""
        return _ratio(self.aligned_pass, self.passing)

    @property
    def pass_rate(self):
        """P(T)."""
        return _ratio(self.passing, self.seeds)

    @property
    def expected_runs(self):
        """1 / P(T): training runs per accepted model, the accepted one included."""
        return _ratio(self.seeds, self.passing)


def _rate(low, high):
    return low, high


def _odds(low, high):
    return _ratio(low, 1 - low), _ratio(high, 1 - high)


def _inverse(low, high):
    return _ratio(1, high), _ratio(1, low)


# quantity -> (successes, trials, map from the rate's interval to the quantity's)
PROPORTIONS = {
    "base_rate": ("aligned", "seeds", _rate),
    "prior_odds": ("aligned", "seeds", _odds),
    "pass_given_aligned": ("aligned_pass", "aligned", _rate),
    "pass_given_misaligned": ("misaligned_pass", "misaligned", _rate),
    "aligned_given_pass": ("aligned_pass", "passing", _rate),
    "posterior_odds": ("aligned_pass", "passing", _odds),
    "pass_rate": ("passing", "seeds", _rate),
    "expected_runs": ("passing", "seeds", _inverse),
}
# quantity -> (method, which cell of each group counts)
RATIOS = {
    "likelihood_ratio": (ratio_interval, "pass"),
    "negative_likelihood_ratio": (ratio_interval, "fail"),
    "odds_ratio": (odds_ratio_interval, "pass"),
}
QUANTITIES = (*PROPORTIONS, *RATIOS)


def interval(counts, quantity, confidence=0.95, skewness=False):
    """Return the confidence interval of a quantity of `Counts`.

    Proportions have Wilson's score interval (JASA 22:209, 1927), their odds and 1/P its ends mapped, which leaves
    coverage as it is. Likelihood ratios have Miettinen and Nurminen's score interval of a ratio of proportions
    (Stat. Med. 4:213, 1985), or with `skewness` Laud's (Pharm. Stat. 16:334, 2017), whose tails are more even; the
    odds ratio has that of Miettinen and Nurminen. Without data, or where it takes the truth about unjudged models, the
    interval is the whole range.

    Args:
        counts: `Counts`.
        quantity: one of `QUANTITIES`.
        confidence: in (0, 1).
        skewness: correct likelihood ratios for skewness.

    Raises:
        ValueError: unknown quantity, or confidence outside (0, 1).
    """
    confidence = checked_confidence(confidence)
    if counts.unjudged and quantity not in OF_ACCEPTED:
        counts = Counts(0, 0, 0, 0)
    if quantity in RATIOS:
        method, kind = RATIOS[quantity]
        x1, x2 = (getattr(counts, f"{group}_{kind}") for group in ("aligned", "misaligned"))
        options = {"skewness": skewness} if method is ratio_interval else {}
        return method(x1, counts.aligned, x2, counts.misaligned, confidence, **options)
    if quantity not in PROPORTIONS:
        raise ValueError(f"unknown quantity {quantity!r}; known: {', '.join(QUANTITIES)}")
    successes, trials, mapped = PROPORTIONS[quantity]
    k, n = getattr(counts, successes), getattr(counts, trials)
    return Interval(*mapped(*wilson_interval(k, n, confidence)))


def wilson_interval(successes, trials, confidence=0.95):
    """Return Wilson's score interval of a proportion (JASA 22:209, 1927); (0, 1) without trials.

    As `scipy.stats.binomtest` has it, whose module takes a second to import.

    Args:
        successes: their number.
        trials: their number.
        confidence: in (0, 1).
    """
    return _wilson(*checked_counts(successes, trials), checked_confidence(confidence))


@functools.lru_cache(maxsize=4096)  # of ints and a float alone: whatever else is equal to them has been converted
def _wilson(successes, trials, confidence):
    if trials == 0:
        return Interval(0.0, 1.0)
    share, z = successes / trials, -float(ndtri((1 - confidence) / 2))
    centre = (2 * trials * share + z**2) / (2 * (trials + z**2))
    half = z / (2 * (trials + z**2)) * math.sqrt(4 * trials * share * (1 - share) + z**2)
    # rounding leaves 1e-17 where the limit is exactly 0 or 1
    return Interval(centre - half if successes else 0.0, centre + half if successes < trials else 1.0)


def compute_per_accepted(spent, passes, confidence=0.95):
    """Return the `Estimate` of mean(spent) / P(pass): trainings spent per accepted model, its own included.

    The limits of ln mean(spent), normal, and of ln P(pass), Wilson's mapped, are combined by square-and-add (MOVER,
    Zou and Donner, Stat. Med. 27:1693, 2008) as if they were independent; because runs that pass also spend more, that
    is wider than it would have to be. An accepted model costs its own training, so nothing is below 1.

    Args:
        spent: share of a training spent on each run, shape (runs,).
        passes: whether each run is accepted, shape (runs,).
        confidence: in (0, 1).
    """
    confidence = checked_confidence(confidence)
    spent, passes = np.asarray(spent, float), np.asarray(passes, float)
    if not passes.any():
        return Estimate(math.inf, 1.0, math.inf)
    value, rate = float(spent.mean() / passes.mean()), float(passes.mean())
    wilson = wilson_interval(int(passes.sum()), len(passes), confidence)
    error = -float(ndtri((1 - confidence) / 2)) * spent.std() / (spent.mean() * math.sqrt(len(spent)))
    low = math.hypot(error, math.log(wilson.high / rate))
    high = math.hypot(error, math.log(rate / wilson.low))
    return Estimate(value, max(1.0, value * math.exp(-low)), value * math.exp(high))


def estimate(counts, quantity, confidence=0.95):
    """Return a quantity of `Counts` as an `Estimate`. Raises as `interval` does.

    Args:
        counts: `Counts`.
        quantity: one of `QUANTITIES`.
        confidence: in (0, 1).
    """
    return Estimate(getattr(counts, quantity, math.nan), *interval(counts, quantity, confidence))
