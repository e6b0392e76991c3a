"""Counts of outcomes, and the plain ratios of them.

An empty cell gives 0, inf or nan, never a corrected number.
"""

import math
from dataclasses import dataclass

from lab.statistics.score import whole

CELLS = ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")


def quotient(numerator: float, denominator: float) -> float:
    """Divide; x/0 is inf and 0/0 is nan."""
    if denominator:
        return numerator / denominator
    return math.inf if numerator else math.nan


UNABLE_SHOWN = 0.02  # share of models that cannot do the job, above which it is shown beside every rate


@dataclass(frozen=True)
class Counts:
    """Outcomes of a population of models: aligned or not, passing or not.

    An incompetent or diverged model is one that nobody ships: it is part of `misaligned_fail`, and `incompetent`
    and `diverged` say how many of these there are. So is an `unjudged` one, which a gate stopped; where there are
    any, what depends on the truth about rejected models is nan.

    Raises:
        ValueError: a count is negative or not a whole number, or parts exceed their whole.

    Example:
        The first example of the R package epiR (`epi.tests`), with alignment in the place of disease:

        >>> counts = Counts(aligned_pass=670, aligned_fail=74, misaligned_pass=202, misaligned_fail=640)
        >>> counts.seeds, counts.aligned, counts.passing
        (1586, 744, 872)
        >>> round(counts.base_rate, 3), round(counts.pass_given_aligned, 3), round(counts.pass_given_misaligned, 3)
        (0.469, 0.901, 0.24)
        >>> round(counts.prior_odds * counts.likelihood_ratio, 9) == round(counts.posterior_odds, 9)
        True
        >>> round(counts.likelihood_ratio, 2), round(counts.posterior_odds, 2), round(counts.expected_runs, 2)
        (3.75, 3.32, 1.82)
        >>> Counts(aligned_pass=5, aligned_fail=1, misaligned_pass=0, misaligned_fail=4).likelihood_ratio
        inf
    """

    aligned_pass: int
    aligned_fail: int
    misaligned_pass: int
    misaligned_fail: int
    incompetent: int = 0
    diverged: int = 0
    unjudged: int = 0

    def __post_init__(self) -> None:
        for name, count in list(vars(self).items()):
            object.__setattr__(self, name, whole(name, count))
        if self.incompetent + self.diverged + self.unjudged > self.misaligned_fail:
            raise ValueError(
                "incompetent, diverged and unjudged models are part of misaligned_fail, and there are more of them"
            )

    @property
    def cells(self) -> tuple[int, int, int, int]:
        """The four counts, in the order of `CELLS`."""
        return self.aligned_pass, self.aligned_fail, self.misaligned_pass, self.misaligned_fail

    @property
    def aligned(self) -> int:
        """Number of aligned models."""
        return self.aligned_pass + self.aligned_fail

    @property
    def misaligned(self) -> int:
        """Number of misaligned models."""
        return self.misaligned_pass + self.misaligned_fail

    @property
    def passing(self) -> int:
        """Number of models that pass."""
        return self.aligned_pass + self.misaligned_pass

    @property
    def seeds(self) -> int:
        """Number of models."""
        return self.aligned + self.misaligned

    def _judged(self, numerator: float, denominator: float) -> float:
        return math.nan if self.unjudged else quotient(numerator, denominator)

    @property
    def unable(self) -> int:
        """Number of models that cannot do the job: incompetent and diverged ones."""
        return self.incompetent + self.diverged

    @property
    def unable_is_shown(self) -> bool:
        """Whether so many cannot do the job that whoever shows a rate has to show this share as well."""
        return self.unable > UNABLE_SHOWN * self.seeds

    @property
    def base_rate(self) -> float:
        """P(A)."""
        return self._judged(self.aligned, self.seeds)

    @property
    def prior_odds(self) -> float:
        """o(A) = P(A) / P(not A)."""
        return self._judged(self.aligned, self.misaligned)

    @property
    def pass_given_aligned(self) -> float:
        """P(T|A)."""
        return self._judged(self.aligned_pass, self.aligned)

    @property
    def pass_given_misaligned(self) -> float:
        """P(T|not A)."""
        return self._judged(self.misaligned_pass, self.misaligned)

    @property
    def likelihood_ratio(self) -> float:
        """P(T|A) / P(T|not A): what passing says; nan without models of both kinds."""
        if not self.aligned or not self.misaligned:
            return math.nan
        return self._judged(self.pass_given_aligned, self.pass_given_misaligned)

    @property
    def negative_likelihood_ratio(self) -> float:
        """P(not T|A) / P(not T|not A): what failing says; nan without models of both kinds."""
        if not self.aligned or not self.misaligned:
            return math.nan
        return self._judged(self.aligned_fail / self.aligned, self.misaligned_fail / self.misaligned)

    @property
    def odds_ratio(self) -> float:
        """Odds of passing if aligned over those if not: LR of passing over LR of failing."""
        return self._judged(self.aligned_pass * self.misaligned_fail, self.aligned_fail * self.misaligned_pass)

    @property
    def posterior_odds(self) -> float:
        """o(A|T) = LR x o(A), which is aligned passes over misaligned passes."""
        return quotient(self.aligned_pass, self.misaligned_pass)

    @property
    def aligned_given_pass(self) -> float:
        """P(A|T)."""
        return quotient(self.aligned_pass, self.passing)

    @property
    def pass_rate(self) -> float:
        """P(T)."""
        return quotient(self.passing, self.seeds)

    @property
    def expected_runs(self) -> float:
        """1 / P(T): training runs per accepted model, the accepted one included."""
        return quotient(self.seeds, self.passing)
