"""Scores of a population through training: quantiles, and histograms."""

import functools

import numpy as np

from lab.report.page.grid import evenly
from lab.statistics import Estimate, wilson_interval
from lab.words import with_interval

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
QUANTILES = tuple(f"q{round(100 * level)}" for level in LEVELS)
BINS = 20
BETWEEN = "|"
POINTS = 1_200  # (condition, checkpoint) pairs on a page
MOST = 41  # checkpoints


def _models(results, score):
    """Yield (condition, share of training before, share, finite scores, models trained), over at most `POINTS`."""
    most = max(2, min(MOST, POINTS // results.sizes["condition"]))
    places, shares = evenly(range(results.sizes["checkpoint"]), most), results.checkpoint.values
    table = results[score].values
    trained = results["trained"].values if "trained" in results.coords else np.ones(table.shape[:2], bool)
    for condition in range(table.shape[0]):
        before = 0.0
        for place in places:
            own = table[condition, trained[condition], place]
            yield condition, before, float(shares[place]), own[np.isfinite(own)], len(own)
            before = float(shares[place])


def bands(results, score):
    """Return the `QUANTILES` of a score, a dict per condition and checkpoint.

    Models whose score is not finite are left out; `models` says how many are not.
    """
    return [
        {
            "condition": condition,
            "share": share,
            "models": len(own),
            **{name: float(value) for name, value in zip(QUANTILES, limits, strict=True)},
        }
        for condition, _, share, own, _ in _models(results, score)
        if len(own)
        for limits in [np.quantile(own, LEVELS)]
    ]


def histograms(results, score):
    """Return how many models have a score in each of `BINS` equal parts of [0, 1], a dict per condition and checkpoint.

    `bins`, `models` and `share_of_models` have a word, with `BETWEEN` between them, for each part that has any models;
    a page opens faster with few long rows than with many short ones. `of` counts all models, also those whose score is
    not finite; `share_of_models` has Wilson's interval.
    """
    confidence = results.attrs["confidence"]

    @functools.cache
    def share_of_models(models, of):
        return with_interval(Estimate(models / of, *wilson_interval(models, of, confidence)))

    return [
        {
            "condition": condition,
            "from_share": before,
            "share": share,
            "of": of,
            "bins": BETWEEN.join(str(part) for part in np.flatnonzero(counts)),
            "models": BETWEEN.join(str(models) for models in counts[counts > 0]),
            "share_of_models": BETWEEN.join(share_of_models(models, of) for models in counts[counts > 0].tolist()),
        }
        for condition, before, share, own, of in _models(results, score)
        for counts in [np.histogram(own, BINS, (0, 1))[0]]
        if counts.any()
    ]
