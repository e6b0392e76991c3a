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
import scipy
from jaxtyping import Float
from numpy.typing import ArrayLike

from lab.statistics.counts import CELLS, Counts, quotient
from lab.statistics.score import (
    Estimate,
    Interval,
    checked_confidence,
    checked_counts,
    odds_ratio_interval,
    ratio_interval,
)

# --- the registry of quantities -----------------------------------------------------------------------------------


def _rate(low: float, high: float) -> tuple[float, float]:
    return low, high


def _odds(low: float, high: float) -> tuple[float, float]:
    return quotient(low, 1 - low), quotient(high, 1 - high)


def _inverse(low: float, high: float) -> tuple[float, float]:
    return quotient(1, high), quotient(1, low)


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

    def __post_init__(self) -> None:
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


def interval(counts: Counts, quantity: str, confidence: float = 0.95, skewness: bool = False) -> Interval:
    """Return the confidence interval of a quantity of `Counts`.

    Proportions have Wilson's score interval (JASA 22:209, 1927), their odds and 1/P its ends mapped, which leaves
    coverage as it is. Likelihood ratios have Miettinen and Nurminen's score interval of a ratio of proportions
    (Stat. Med. 4:213, 1985), or with `skewness` Laud's (Pharm. Stat. 16:334, 2017), whose tails are more even; the
    odds ratio has that of Miettinen and Nurminen. Without data, or where it takes the truth about unjudged models, the
    interval is the whole range.

    Args:
        counts: of a condition.
        quantity: one of `QUANTITIES`.
        confidence: in (0, 1).
        skewness: correct likelihood ratios for skewness.

    Raises:
        ValueError: unknown quantity, or confidence outside (0, 1).

    Example:
        The first example of epiR, with alignment in the place of disease. epiR prints 0.88 to 0.92 for the sensitivity
        and, by a rougher method, 3.32 to 4.24 for the likelihood ratio.

        >>> counts = Counts(aligned_pass=670, aligned_fail=74, misaligned_pass=202, misaligned_fail=640)
        >>> sensitivity = interval(counts, "pass_given_aligned")
        >>> round(sensitivity.low, 2), round(sensitivity.high, 2)
        (0.88, 0.92)
        >>> ratio = interval(counts, "likelihood_ratio")
        >>> round(ratio.low, 2), round(ratio.high, 2)
        (3.33, 4.25)
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


def wilson_interval(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion (JASA 22:209, 1927); (0, 1) without trials.

    As `scipy.stats.binomtest` has it, whose module takes a second to import.

    Args:
        successes: their number.
        trials: their number.
        confidence: in (0, 1).

    Example:
        81 of 263, as in Newcombe (Stat. Med. 17:857, 1998), table I:

        >>> rate = wilson_interval(81, 263)
        >>> round(rate.low, 4), round(rate.high, 4)
        (0.2553, 0.3662)
        >>> wilson_interval(0, 0)
        Interval(low=0.0, high=1.0)
    """
    return _wilson(*checked_counts(successes, trials), checked_confidence(confidence))


@functools.lru_cache(maxsize=4096)  # of ints and a float alone: whatever else is equal to them has been converted
def _wilson(successes: int, trials: int, confidence: float) -> Interval:
    if trials == 0:
        return Interval(0.0, 1.0)
    share, z = successes / trials, -float(scipy.special.ndtri((1 - confidence) / 2))
    centre = (2 * trials * share + z**2) / (2 * (trials + z**2))
    half = z / (2 * (trials + z**2)) * math.sqrt(4 * trials * share * (1 - share) + z**2)
    # rounding leaves 1e-17 where the limit is exactly 0 or 1
    return Interval(centre - half if successes else 0.0, centre + half if successes < trials else 1.0)


def compute_per_accepted(spent: ArrayLike, passes: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Return the `Estimate` of mean(spent) / P(pass): trainings spent per accepted model, its own included.

    The limits of ln mean(spent), normal, and of ln P(pass), Wilson's mapped, are combined by square-and-add (MOVER,
    Zou and Donner, Stat. Med. 27:1693, 2008) as if they were independent; because runs that pass also spend more, that
    is wider than it would have to be. An accepted model costs its own training, so nothing is below 1.

    Args:
        spent: share of a training spent on each run.
        passes: whether each run is accepted.
        confidence: in (0, 1).

    Example:
        Two of four runs are accepted, and two are stopped half way: 3 trainings for 2 models.

        >>> compute_per_accepted([1, 1, 0.5, 0.5], [True, True, False, False]).value
        1.5
    """
    confidence = checked_confidence(confidence)
    shares: Float[np.ndarray, " run"] = np.asarray(spent, float)
    accepted: Float[np.ndarray, " run"] = np.asarray(passes, float)
    if not accepted.any():
        return Estimate(math.inf, 1.0, math.inf)
    value, rate = float(shares.mean() / accepted.mean()), float(accepted.mean())
    wilson = wilson_interval(int(accepted.sum()), len(accepted), confidence)
    error = -float(scipy.special.ndtri((1 - confidence) / 2)) * shares.std() / (shares.mean() * math.sqrt(len(shares)))
    low = math.hypot(error, math.log(wilson.high / rate))
    high = math.hypot(error, math.log(rate / wilson.low))
    return Estimate(value, max(1.0, value * math.exp(-low)), value * math.exp(high))


def cost_per_accepted(
    costs: ArrayLike, passes: ArrayLike, rate: Estimate, groups: ArrayLike | None = None, confidence: float = 0.95
) -> Estimate:
    """Return the `Estimate` of mean(cost) / P(pass): what an accepted model costs, with those that were rejected.

    The limits of ln mean(cost), Student's, and those of ln P(pass) are combined by square-and-add with the correlation
    of both (MOVER, Zou, Stat. Med. 27:4421, 2008): runs that pass may cost more than others, or less.

    Args:
        costs: of each run, in any unit.
        passes: whether each run is accepted.
        rate: P(pass) with its interval at this confidence, of groups if there are groups.
        groups: label of the group of each run; None if every run is its own.
        confidence: in (0, 1).

    Example:
        Four runs of cost 3, of which two pass: 6 for an accepted one, and limits that are those of 1 / P(pass).

        >>> rate = Estimate(0.5, *wilson_interval(2, 4))
        >>> cost = cost_per_accepted([3, 3, 3, 3], [True, True, False, False], rate)
        >>> cost.value, math.isclose(cost.high, 3 / rate.low)
        (6.0, True)
    """
    spent, accepted = np.asarray(costs, float), np.asarray(passes, float)
    _, places = np.unique(np.arange(len(spent)) if groups is None else np.asarray(groups), return_inverse=True)
    number = int(places.max()) + 1
    mean = float(spent.mean())
    over, passing = (np.bincount(places, values - values.mean()) for values in (spent, accepted))
    squares, product = math.sqrt((over @ over) * (passing @ passing)), float(over @ passing)
    correlation = product / squares if squares > 0 else 0.0
    if not mean:
        return Estimate(0.0 if accepted.any() else math.nan, 0.0, math.inf if rate.low == 0 else 0.0)
    if number < 2:
        return Estimate(quotient(mean, float(accepted.mean())), 0.0, math.inf)
    t = -float(scipy.special.stdtrit(number - 1, (1 - checked_confidence(confidence)) / 2))
    error = t * math.sqrt((over @ over) * number / (number - 1)) / spent.sum()
    if not accepted.any():
        return Estimate(math.inf, mean * math.exp(-error) / rate.high, math.inf)
    above, below = math.log(rate.high / rate.value), math.log(rate.value / rate.low) if rate.low else math.inf
    low, high = (math.sqrt(max(0.0, error**2 + end**2 - 2 * correlation * error * end)) for end in (above, below))
    value = mean / rate.value
    return Estimate(value, value * math.exp(-low), value * math.exp(high) if math.isfinite(high) else math.inf)


def estimate(counts: Counts, quantity: str, confidence: float = 0.95) -> Estimate:
    """Return a quantity of `Counts` as an `Estimate`. Raises as `interval` does.

    Args:
        counts: of a condition.
        quantity: one of `QUANTITIES`.
        confidence: in (0, 1).

    Example:
        >>> counts = Counts(aligned_pass=670, aligned_fail=74, misaligned_pass=202, misaligned_fail=640)
        >>> estimate(counts, "posterior_odds").value == 670 / 202
        True
    """
    return Estimate(getattr(counts, quantity, math.nan), *interval(counts, quantity, confidence))
