"""A population through training: how many models are aligned or pass at each checkpoint, and some single seeds."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from jaxtyping import Bool

from lab.report.page.grid import evenly
from lab.results.outcomes import attribute, classify
from lab.statistics import Estimate, wilson_interval
from lab.words import Json, with_interval

BETWEEN = "|"
POINTS = 1_200  # (condition, checkpoint) pairs on a page
MOST = 41  # checkpoints
SEEDS, SCORES = 40, 60_000  # single seeds of a condition, and scores of all of them on a page


def checkpoints(results: xr.Dataset) -> list[int]:
    """Return the indices of the checkpoints that are drawn."""
    most = max(2, min(MOST, POINTS // results.sizes["condition"]))
    return evenly(range(results.sizes["checkpoint"]), most)


def shares(results: xr.Dataset) -> dict[str, list[Json]]:
    """Return score -> a dict per condition and checkpoint: the share of models that are aligned, or pass, there.

    All models that were trained count; those that cannot do the job there are neither, and are counted apart.
    """
    confidence, proxy = results.attrs["confidence"], attribute(results, "proxy")
    kinds = {"alignment": "aligned", proxy: "passes"}
    rows: dict[str, list[Json]] = {score: [] for score in kinds}
    for place in checkpoints(results):
        there = classify(results, checkpoint=place)
        share = float(results["checkpoint"].values[place])
        trained = there["trained"].values.sum(axis=1).tolist()
        unable = (there["incompetent"] | there["diverged"]).values.sum(axis=1).tolist()
        for score, kind in kinds.items():
            reached = there[kind].values.sum(axis=1).tolist()
            rows[score] += [
                {
                    "condition": condition,
                    "share": share,
                    **_portion(count, of, confidence),
                    "unable": unable[condition] / of,
                }
                for condition, (count, of) in enumerate(zip(reached, trained, strict=True))
                if of
            ]
    return rows


def _portion(count: int, of: int, confidence: float) -> Json:
    """Return a share of models with Wilson's interval, as numbers and in words."""
    estimate = Estimate(count / of, *wilson_interval(count, of, confidence))
    text = f"{count:,} of {of:,}: {with_interval(estimate)}"
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "text": text}


def seeds(results: xr.Dataset, score: str) -> list[Json]:
    """Return a score of the first seeds of each condition through training, a dict per seed.

    `shares` and `scores` have a word, with `BETWEEN` between them, for each checkpoint at which the score is known; a
    page opens faster with few long rows than with many short ones.
    """
    places = checkpoints(results)
    table = results[score].values[:, :, places]
    ends = np.array([f"{share:.4g}" for share in results["checkpoint"].values[places]])
    most = max(3, min(SEEDS, SCORES // (len(places) * results.sizes["condition"])))
    return [
        {"condition": condition, "seed": seed, "shares": BETWEEN.join(ends[known]), "scores": _joined(curve[known])}
        for condition, seed, curve, known in _first(table, results, most)
    ]


def _first(
    table: np.ndarray, results: xr.Dataset, most: int
) -> Iterator[tuple[int, int, np.ndarray, Bool[np.ndarray, " place"]]]:
    """Yield condition, index of the seed, its curve and where this is known, of the first trained seeds."""
    trained = results["trained"].values if "trained" in results.coords else np.ones(table.shape[:2], bool)
    for condition in range(len(table)):
        for seed in np.flatnonzero(trained[condition])[:most].tolist():
            curve = table[condition, seed]
            if (known := np.isfinite(curve)).any():
                yield condition, seed, curve, known


def _joined(scores: np.ndarray) -> str:
    return BETWEEN.join(f"{score:.2g}" for score in scores)
