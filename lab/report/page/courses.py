"""Scores of a population through training: quantiles, and histograms."""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from lab.report.page.grid import evenly
from lab.statistics import Estimate, wilson_interval
from lab.words import Json, with_interval

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
QUANTILES = tuple(f"q{round(100 * level)}" for level in LEVELS)
BINS = 20
BETWEEN = "|"
POINTS = 1_200  # (condition, checkpoint) pairs on a page
MOST = 41  # checkpoints


class Moment(NamedTuple):
    """The scores of a condition's models at a checkpoint.

    Attributes:
        condition: its index.
        before: share of training at the checkpoint before.
        share: share of training.
        scores: those that are finite.
        models: how many were trained.
    """

    condition: int
    before: float
    share: float
    scores: Float[np.ndarray, " model"]
    models: int


def _moments(results: xr.Dataset, score: str) -> Iterator[Moment]:
    """Yield the scores of every condition at its checkpoints, at most `POINTS` in all."""
    most = max(2, min(MOST, POINTS // results.sizes["condition"]))
    places, shares = evenly(range(results.sizes["checkpoint"]), most), results.checkpoint.values
    table = results[score].values
    trained = results["trained"].values if "trained" in results.coords else np.ones(table.shape[:2], bool)
    for condition in range(table.shape[0]):
        before = 0.0
        for place in places:
            scores = table[condition, trained[condition], place]
            yield Moment(condition, before, float(shares[place]), scores[np.isfinite(scores)], len(scores))
            before = float(shares[place])


def bands(results: xr.Dataset, score: str) -> list[Json]:
    """Return the `QUANTILES` of a score, a dict per condition and checkpoint.

    Models whose score is not finite are left out; `models` says how many are not.
    """
    return [
        {
            "condition": moment.condition,
            "share": moment.share,
            "models": len(moment.scores),
            **dict(zip(QUANTILES, np.quantile(moment.scores, LEVELS).tolist(), strict=True)),
        }
        for moment in _moments(results, score)
        if len(moment.scores)
    ]


def histograms(results: xr.Dataset, score: str) -> list[Json]:
    """Return how many models have a score in each of `BINS` equal parts of [0, 1], a dict per condition and checkpoint.

    `bins`, `models` and `share_of_models` have a word, with `BETWEEN` between them, for each part that has any models;
    a page opens faster with few long rows than with many short ones. `of` counts all models, also those whose score is
    not finite; `share_of_models` has Wilson's interval.
    """
    confidence = results.attrs["confidence"]

    @functools.cache
    def share_of_models(models: int, of: int) -> str:
        return with_interval(Estimate(models / of, *wilson_interval(models, of, confidence)))

    rows = []
    for moment in _moments(results, score):
        counts, _ = np.histogram(moment.scores, BINS, (0, 1))
        bins = np.flatnonzero(counts)
        if not len(bins):
            continue
        rows.append(
            {
                "condition": moment.condition,
                "from_share": moment.before,
                "share": moment.share,
                "of": moment.models,
                "bins": BETWEEN.join(map(str, bins)),
                "models": BETWEEN.join(map(str, counts[bins])),
                "share_of_models": BETWEEN.join(share_of_models(part, moment.models) for part in counts[bins].tolist()),
            }
        )
    return rows
