"""Counts of outcomes, and the plain ratios of them.

An empty cell gives 0, inf or nan, never a corrected number.
"""

import math
from dataclasses import dataclass

from lab.statistics.score import whole

CELLS = ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")


def quotient(numerator, denominator):
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
        return math.nan if self.unjudged else quotient(numerator, denominator)

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
        return quotient(self.aligned_pass, self.misaligned_pass)

    @property
    def aligned_given_pass(self):
        """P(A|T)."""
        return quotient(self.aligned_pass, self.passing)

    @property
    def pass_rate(self):
        """P(T)."""
        return quotient(self.passing, self.seeds)

    @property
    def expected_runs(self):
        """1 / P(T): training runs per accepted model, the accepted one included."""
        return quotient(self.seeds, self.passing)
