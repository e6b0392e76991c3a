"""Counts of outcomes -> rates, likelihood ratios, odds and cost, with intervals; and what each of them is called.

`QUANTITIES` is the one registry: every table, figure, export and config that names a quantity takes its name, symbol,
words, unit, scale and range from there, and `PARTS` says the same of the parts of a log impact.

Point estimates are the plain ratios of counts; an empty cell gives 0, inf or nan, never a corrected number. Rates
have Wilson's interval, odds and cost its ends mapped, likelihood ratios and the odds ratio score intervals.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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


# --- the registry of quantities -----------------------------------------------------------------------------------


def _rate(low: float, high: float) -> tuple[float, float]:
    return low, high


def _odds(low: float, high: float) -> tuple[float, float]:
    return _ratio(low, 1 - low), _ratio(high, 1 - high)


def _inverse(low: float, high: float) -> tuple[float, float]:
    return _ratio(1, high), _ratio(1, low)


@dataclass(frozen=True)
class Proportion:
    """What is made from one rate: the quantity has Wilson's interval of that rate, with its ends mapped.

    Attributes:
        successes, trials: the attributes of `Counts` that the rate divides.
        mapped: from the lower and upper limit of the rate to those of the quantity.
    """

    successes: str
    trials: str
    mapped: Callable[[float, float], tuple[float, float]] = _rate


@dataclass(frozen=True)
class Ratio:
    """What compares aligned with misaligned models: the quantity has a score interval of two groups.

    Attributes:
        method: `ratio_interval` or `odds_ratio_interval`.
        outcome: what is counted in each group, pass or fail.
    """

    method: Callable[..., Interval]
    outcome: Literal["pass", "fail"]


@dataclass(frozen=True)
class Quantity:
    """Everything that the lab says about a quantity of `Counts`: tables, figures and configs take it from here.

    Attributes:
        name: of the property of `Counts` that is its value, and its key in every JSON.
        symbol: as in formulas, such as "P(A)".
        words: what a person calls it, such as "base rate".
        meaning: in a sentence, its symbol included.
        interval: how its interval is made.
        unit: of its value.
        scale: log where a factor says more than a difference does: widths and derivatives are then those of its ln.
        low, high: ends of its range, both included.
        rests_on: the counts that the variance of its ln divides by; none on a linear scale.
        of_accepted: whether it is known where the truth about rejected models is not.
        heading: of its column; the symbol by default.
        null: what it means that it has no value.
    """

    name: str
    symbol: str
    words: str
    meaning: str
    interval: Proportion | Ratio
    unit: str = "probability"
    scale: Literal["linear", "log"] = "linear"
    low: float = 0.0
    high: float = 1.0
    rests_on: tuple[str, ...] = ()
    of_accepted: bool = False
    heading: str = ""
    null: str = "0/0: no models of the kind it takes, or a gate stopped models whose truth it takes"

    def __post_init__(self):
        object.__setattr__(self, "heading", self.heading or self.symbol)

    @property
    def scaled_symbol(self) -> str:
        """Its symbol on its scale, such as "ln LR"."""
        return f"ln {self.symbol}" if self.scale == "log" else self.symbol


# To add a quantity: a record here, and a property of `Counts` with its value.
_QUANTITIES = (
    Quantity(
        name="base_rate",
        symbol="P(A)",
        words="base rate",
        meaning="P(A): share of models that are aligned.",
        interval=Proportion("aligned", "seeds"),
    ),
    Quantity(
        name="prior_odds",
        symbol="o(A)",
        words="odds before the test",
        meaning="o(A) = P(A) / P(not A).",
        interval=Proportion("aligned", "seeds", _odds),
        unit="odds",
        scale="log",
        high=math.inf,
        rests_on=("aligned", "misaligned"),
    ),
    Quantity(
        name="pass_given_aligned",
        symbol="P(T|A)",
        words="aligned models that pass",
        meaning="P(T|A): share of aligned models that pass.",
        interval=Proportion("aligned_pass", "aligned"),
    ),
    Quantity(
        name="pass_given_misaligned",
        symbol="P(T|not A)",
        words="misaligned models that pass",
        meaning="P(T|not A): share of the other models that pass.",
        interval=Proportion("misaligned_pass", "misaligned"),
    ),
    Quantity(
        name="aligned_given_pass",
        symbol="P(A|T)",
        words="passing models that are aligned",
        meaning="P(A|T): share of passing models that are aligned.",
        interval=Proportion("aligned_pass", "passing"),
        of_accepted=True,
    ),
    Quantity(
        name="posterior_odds",
        symbol="o(A|T)",
        words="odds after passing",
        meaning="o(A|T): odds that a passing model is aligned.",
        interval=Proportion("aligned_pass", "passing", _odds),
        unit="odds",
        scale="log",
        high=math.inf,
        rests_on=("aligned_pass", "misaligned_pass"),
        of_accepted=True,
    ),
    Quantity(
        name="pass_rate",
        symbol="P(T)",
        words="models that pass",
        meaning="P(T): share of models that pass.",
        interval=Proportion("passing", "seeds"),
        of_accepted=True,
    ),
    Quantity(
        name="expected_runs",
        symbol="1 / P(T)",
        words="runs per accepted model",
        meaning="1 / P(T): training runs per accepted model.",
        interval=Proportion("passing", "seeds", _inverse),
        unit="training runs",
        scale="log",
        low=1.0,  # the accepted run is one of them
        high=math.inf,
        rests_on=("passing",),
        of_accepted=True,
        heading="runs",
    ),
    Quantity(
        name="likelihood_ratio",
        symbol="LR",
        words="LR of the test",
        meaning="LR = P(T|A) / P(T|not A): what passing says.",
        interval=Ratio(ratio_interval, "pass"),
        unit="ratio",
        scale="log",
        high=math.inf,
        rests_on=("aligned_pass", "misaligned_pass"),
    ),
    Quantity(
        name="negative_likelihood_ratio",
        symbol="LR of failing",
        words="LR of failing the test",
        meaning="P(not T|A) / P(not T|not A): what failing says.",
        interval=Ratio(ratio_interval, "fail"),
        unit="ratio",
        scale="log",
        high=math.inf,
        rests_on=("aligned_fail", "misaligned_fail"),
    ),
    Quantity(
        name="odds_ratio",
        symbol="OR",
        words="odds ratio of the test",
        meaning="Odds of passing if aligned over those if not.",
        interval=Ratio(odds_ratio_interval, "pass"),
        unit="ratio",
        scale="log",
        high=math.inf,
        rests_on=CELLS,
    ),
)
QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _QUANTITIES}
OF_ACCEPTED = tuple(name for name, quantity in QUANTITIES.items() if quantity.of_accepted)


def quantity_named(name: str) -> Quantity:
    """Return a quantity of the registry. Raises a ValueError that lists the known ones if it is none of them."""
    if name not in QUANTITIES:
        raise ValueError(f"unknown quantity {name!r}; known: {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


@dataclass(frozen=True)
class Part:
    """Everything that the lab says about a part of a `LogImpact`: the change of the ln of a quantity.

    Attributes:
        name: of the field of `LogImpact`, and its key in every JSON.
        of: the quantity of `QUANTITIES` whose ln changes.
        words: what a person calls it.
        meaning: in a sentence.
        unit: of its value.
        low, high: ends of its range, both included.
        null: what it means that it has no value.
    """

    name: str
    of: str
    words: str
    meaning: str
    unit: str = "nats"
    low: float = -math.inf
    high: float = math.inf
    null: str = "both are infinite, 0 or undefined"

    @property
    def heading(self) -> str:
        """Heading of its column."""
        return f"{self.words} ({self.unit})"

    @property
    def rests_on(self) -> tuple[str, ...]:
        """The counts of each regimen that its variance divides by."""
        return QUANTITIES[self.of].rests_on


_PARTS = (
    Part(
        name="likelihood_ratio",
        of="likelihood_ratio",
        words="test",
        meaning="Change of ln LR against the baseline: what happened to the test.",
    ),
    Part(
        name="base_rate",
        of="prior_odds",
        words="base rate",
        meaning="Change of ln o(A) against the baseline: what happened to the models.",
    ),
    Part(
        name="net",
        of="posterior_odds",
        words="net",
        meaning="Change of ln o(A|T) against the baseline, the sum of both.",
    ),
)
PARTS: dict[str, Part] = {part.name: part for part in _PARTS}  # in the order of `LogImpact`


# --- intervals of quantities --------------------------------------------------------------------------------------


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
    described = quantity_named(quantity)
    made = described.interval
    if counts.unjudged and not described.of_accepted:
        counts = Counts(0, 0, 0, 0)
    if isinstance(made, Proportion):
        successes, trials = getattr(counts, made.successes), getattr(counts, made.trials)
        return Interval(*made.mapped(*wilson_interval(successes, trials, confidence)))
    aligned, misaligned = (getattr(counts, f"{group}_{made.outcome}") for group in ("aligned", "misaligned"))
    options = {"skewness": skewness} if made.method is ratio_interval else {}
    return made.method(aligned, counts.aligned, misaligned, counts.misaligned, confidence, **options)


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
