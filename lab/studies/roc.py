"""ROC curves: what a score at a checkpoint says about alignment at the end of training, at every threshold."""

import math
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from lab.results.outcomes import Outcomes, Results, UnknownName, attribute, checkpoint_index, classify, common
from lab.results.summary import find
from lab.statistics import Estimate
from lab.statistics.score import checked_confidence, crossing

JUST_BELOW_1 = 1 - 1e-15  # 1 itself is a false root of the score equation for an area of 1


class Population(NamedTuple):
    """The models of one condition, trained to the end.

    Attributes:
        scores: results of that condition alone, dims (condition: 1, seed, checkpoint).
        ends: what `lab.results.outcomes.classify` says of each model at the end, dims (seed,).
    """

    scores: Results
    ends: Outcomes

    @property
    def aligned(self) -> Bool[np.ndarray, " seed"]:
        """Whether each model is aligned at the end."""
        return self.ends["aligned"].values

    @property
    def proxy(self) -> str:
        """The proxy of the run itself."""
        return attribute(self.scores, "proxy")

    def only(self, seeds: Bool[np.ndarray, " seed"]) -> "Population":
        """Return the models of some seeds."""
        indices = np.flatnonzero(seeds)
        return Population(self.scores.isel(seed=indices), self.ends.isel(seed=indices))

    def at(self, checkpoint: int, proxy: str | None = None) -> Float[np.ndarray, " seed"]:
        """Return the scores at the index of a checkpoint; those that are not finite are -inf.

        Raises:
            UnknownName: no such score.
        """
        proxy = proxy or self.proxy
        if proxy not in self.scores:
            raise UnknownName(f"no score {proxy!r}; known: {', '.join(map(str, self.scores.data_vars))}")
        values = self.scores[proxy].values[0, :, checkpoint]
        return np.where(np.isfinite(values), values, np.array(-np.inf, values.dtype))


def population(results: Results, condition: str) -> Population:
    """Return the models of a condition.

    Args:
        results: what `lab.run` returned.
        condition: name of a condition, or of a regimen that has only one.

    Raises:
        UnknownName: no such condition.
        ValueError: results do not reach the end of training, or the condition has gates of its own.
    """
    if not np.isclose(results.checkpoint.values[-1], 1):
        raise ValueError("results must reach the end of training, checkpoint 1")
    scores = common(results.isel(condition=[find(results, condition)]))
    if "survives" in scores.coords and not scores.survives.values.all():
        raise ValueError(f"{condition} has gates of its own: lay gates over a regimen without any")
    return Population(scores, classify(scores).isel(condition=0))


def tabulate(
    aligned: Bool[np.ndarray, " seed"], kind: Int[np.ndarray, " seed"], kinds: int
) -> Int[np.ndarray, "2 kinds"]:
    """Return the number of aligned (row 0) and misaligned (row 1) models of each kind, kinds being 0, 1, ..."""
    return np.bincount(np.where(aligned, 0, kinds) + kind, minlength=2 * kinds).reshape(2, kinds)


class Roc(NamedTuple):
    """What a score says about alignment, at every threshold at which anything changes.

    Thresholds go from inf, which nobody reaches, down to the lowest score, which everybody does.

    Attributes:
        threshold: the thresholds; the last one is -inf if a score is not finite.
        pass_given_aligned: P(T|A), T being a score at or above the threshold; nan without aligned models.
        pass_given_misaligned: P(T|not A); nan without misaligned models.
        precision: P(A|T); nan where nobody passes.
        area: P(score of an aligned > score of a misaligned model) + half of P(equal), with its interval.
        average_precision: mean of the precision over the aligned models, each at its own score as threshold.
        aligned, misaligned: number of models.
    """

    threshold: Float[np.ndarray, " thresholds"]
    pass_given_aligned: Float[np.ndarray, " thresholds"]
    pass_given_misaligned: Float[np.ndarray, " thresholds"]
    precision: Float[np.ndarray, " thresholds"]
    area: Estimate
    average_precision: float
    aligned: int
    misaligned: int

    @property
    def recall(self) -> Float[np.ndarray, " thresholds"]:
        """P(T|A) by its name in precision-recall curves."""
        return self.pass_given_aligned


def roc(
    results: Results,
    condition: str,
    proxy: str | None = None,
    checkpoint: float = -1,
    confidence: float | None = None,
) -> Roc:
    """Return the `Roc` of a score at a checkpoint about alignment at the end of training.

    It judges the score alone: incompetent and diverged models are misaligned ones that may well have a high score,
    whereas `lab.studies.rejection.sweep` rejects them at the end. A score that is not finite is below every threshold.

    The area is the Mann-Whitney statistic. Its interval is Newcombe's method 5 (Stat. Med. 25:559, 2006): all areas
    that a score test does not reject, with the variance of Hanley and McNeil (Radiology 143:29, 1982). That variance
    is too small where one kind of models lies on both sides of the other, as when some misaligned ones have learned
    the test too well; it is then scaled up to that of DeLong, DeLong and Clarke-Pearson (Biometrics 44:837, 1988).
    The interval lies in [0, 1] and contains the area. An area of 1 has the upper limit 1 and a lower one below 1,
    an area of 0 the mirror image. Without models of both kinds the area is nan and the interval the whole range.

    Args:
        results: what `lab.run` returned.
        condition: name of a condition, or of a regimen that has only one.
        proxy: any recorded score; the run's own proxy by default.
        checkpoint: index of a checkpoint, or a share of training that is one.
        confidence: of the area's interval; the run's own by default.

    Raises:
        UnknownName: no such condition, score or checkpoint.
        ValueError: confidence outside (0, 1).
    """
    confidence = interval_confidence(results, confidence)
    models = population(results, condition)
    scores = models.at(checkpoint_index(models.scores, checkpoint), proxy)
    values, rank = np.unique(scores, return_inverse=True)
    tally = tabulate(models.aligned, rank, len(values))
    hits, alarms = np.concatenate([np.zeros((2, 1), int), tally[:, ::-1].cumsum(1)], axis=1)
    aligned, misaligned = int(hits[-1]), int(alarms[-1])
    precision = _divide(hits, hits + alarms)
    return Roc(
        threshold=np.concatenate([[np.inf], values[::-1]]),
        pass_given_aligned=_divide(hits, aligned),
        pass_given_misaligned=_divide(alarms, misaligned),
        precision=precision,
        area=area(hits, alarms, confidence),
        average_precision=float((np.diff(hits) * precision[1:]).sum() / aligned) if aligned else math.nan,
        aligned=aligned,
        misaligned=misaligned,
    )


def interval_confidence(results: Results, confidence: float | None) -> float:
    """Return the confidence of intervals: the one given, or else that of the run; a ValueError outside (0, 1)."""
    return checked_confidence(attribute(results, "confidence") if confidence is None else confidence)


def area(hits: Int[np.ndarray, " thresholds"], alarms: Int[np.ndarray, " thresholds"], confidence: float) -> Estimate:
    """Return the area under a curve with its interval, as `roc` says.

    Args:
        hits: number of aligned models at or above each threshold, from 0 to all.
        alarms: the same of misaligned ones.
        confidence: of the interval.
    """
    aligned, misaligned = int(hits[-1]), int(alarms[-1])
    if not aligned or not misaligned:
        return Estimate(math.nan, 0.0, 1.0)
    # twice the models of the other kind above each model, ties being half above
    aligned_above, misaligned_above = hits[1:] + hits[:-1], alarms[1:] + alarms[:-1]
    value = float((np.diff(alarms) * aligned_above).sum() / (2 * aligned * misaligned))
    wider = 1.0
    if 0 < value < 1:
        below = 1 - misaligned_above / (2 * misaligned) - value
        delong = np.diff(hits) @ below**2 / (aligned * max(aligned - 1, 1))
        above = aligned_above / (2 * aligned) - value
        delong += np.diff(alarms) @ above**2 / (misaligned * max(misaligned - 1, 1))
        wider = max(1.0, delong / _hanley_variance(value, aligned, misaligned))
    z = -float(scipy.special.ndtri((1 - confidence) / 2)) * math.sqrt(wider)
    low = _lowest_area(value, z, aligned, misaligned)
    return Estimate(value, low, 1 - _lowest_area(1 - value, z, aligned, misaligned))  # the variance is symmetric


def _hanley_variance(theta: float, aligned: int, misaligned: int) -> float:
    """Return the variance of an area `theta` in Newcombe's form, which does not change if the two kinds do."""
    others = (aligned + misaligned) / 2 - 1
    spread = 1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * spread / (aligned * misaligned)


def _lowest_area(value: float, z: float, aligned: int, misaligned: int) -> float:
    """Return the lowest area from which the value found is at most `z` standard deviations away."""
    if value == 0:
        return 0.0

    def missed(log_odds: float) -> float:  # in which areas next to 0 and next to 1 keep their digits
        theta = float(scipy.special.expit(log_odds))
        return value - theta - z * math.sqrt(_hanley_variance(theta, aligned, misaligned))

    start = min(value, JUST_BELOW_1)
    odds = crossing(missed, math.log(start) - math.log1p(-start), -1)
    return odds / (1 + odds)


def _divide(
    counts: Int[np.ndarray, " thresholds"], total: Int[np.ndarray, " thresholds"] | int
) -> Float[np.ndarray, " thresholds"]:
    """Divide counts; 0/0 is nan."""
    return np.divide(counts, total, out=np.full(len(counts), np.nan), where=np.asarray(total) > 0)
