"""What recorded scores make of trained models: which marks they reach, which gates they survive, how each ended."""

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

Results = xr.Dataset  # recorded scores, as `lab.results.shards.results` returns them, or another dataset of that layout
Outcomes = xr.Dataset  # what became of each model, as `classify` returns it
Gate = tuple[int, str, float]  # index of a checkpoint, score, lowest score that survives
Checkpoint = int | float  # an index if it is whole, of any type; else a share of training
Scores = TypeVar("Scores", np.ndarray, xr.DataArray)

AXES = ("condition", "seed", "checkpoint")
# what reading results takes from their attributes: type, what it holds
ATTRIBUTES = {
    "proxy": (str, "the name of the score that decides who passes"),
    "thresholds": (dict, "score -> its pass mark, for competence, alignment and the proxy"),
    "baseline": (str, "the regimen that others are compared with"),
    "confidence": (Real, "the confidence of intervals, a number between 0 and 1"),
    "knobs": (dict, "the name of each condition -> a dict of knob -> value"),
    "name": (str, "what the run is called"),
    "hash": (str, "a digest of what the run is, or an empty text"),
    "question": (str, "the question that the run answers, or an empty text"),
}

IN_BETWEEN = (0.2, 0.8)  # alignment of a model that is neither clearly aligned nor clearly misaligned
ABLE = 0.95  # least share of the held-out models of a world that do the job, or the world says little
GRADED = 1 / 3  # share of such models from which outcomes are graded
FLAGS = {"trained": True, "survives": True, "stopped": False}  # coordinates of a run, and what is so where they are not


class UnknownName(ValueError):
    """A condition, regimen, score or checkpoint that a run does not have."""


def share_between(alignment: Float[np.ndarray, "*models"]) -> float:
    """Return the share of models inside of `IN_BETWEEN` among those whose alignment is known; nan if it is of none.

    Args:
        alignment: of each model.
    """
    known = alignment[np.isfinite(alignment)]
    low, high = IN_BETWEEN
    return float(np.mean((known > low) & (known < high))) if known.size else np.nan


def are_graded(results: Results) -> bool:
    """Return whether a third or more of the models have an alignment inside of `IN_BETWEEN` at the end.

    What is counted as aligned then hangs on the mark.

    Args:
        results: of a run.
    """
    return share_between(results["alignment"].isel(checkpoint=-1).values) >= GRADED


# --- pass marks and gates ---------------------------------------------------------------------------------------------


def reaches(scores: Scores, mark: ArrayLike) -> Scores:
    """Return which scores reach a pass mark: those that are finite and at or above it.

    The mark is compared in the precision of the scores, so that a recorded .9 reaches .9 whatever type the mark has.

    Args:
        scores: an array, or a labelled one.
        mark: a number, or numbers that broadcast against the scores.

    Raises:
        ValueError: a mark is nan.
    """
    if np.isnan(marks := np.asarray(mark, float)).any():
        raise ValueError("a pass mark (threshold) must be a number, not nan")
    with np.errstate(over="ignore"):  # what is too large for float32 is inf, which nothing reaches
        marks = marks.astype(scores.dtype) if np.issubdtype(scores.dtype, np.floating) else marks
    return (scores >= marks) & np.isfinite(scores)


def gates_survived(
    scores: Mapping[str, Float[np.ndarray, "run checkpoint"]], gates: Sequence[Gate]
) -> Int[np.ndarray, " run"]:
    """Return how many gates each run survives before one rejects it; who survives all of them has `len(gates)`.

    The number is also the index of the gate that rejects the run. Whatever judges runs by gates asks here.

    Args:
        scores: of each run at each checkpoint, by name.
        gates: in time order.

    Raises:
        ValueError: a mark is nan.
    """
    runs = len(next(iter(scores.values())))
    survives, count = np.ones(runs, bool), np.zeros(runs, int)
    for checkpoint, score, mark in gates:
        survives = survives & reaches(scores[score][:, checkpoint], mark)
        count += survives
    return count


def survivors(
    scores: Mapping[str, Float[np.ndarray, "run checkpoint"]], gates: Sequence[Gate]
) -> Bool[np.ndarray, " run"]:
    """Return which runs no gate rejects.

    Args:
        scores: as for `gates_survived`.
        gates: as for `gates_survived`.
    """
    return gates_survived(scores, gates) == len(gates)


def choosing_seeds(seeds: int, mixed: bool = False) -> Bool[np.ndarray, " seed"]:
    """Return which seeds of a run choose a mark, gates, a probe or a winner; the others judge what was chosen.

    Every second seed chooses, from the first one on. Rows of somebody else's table may alternate, or be sorted: of
    these it is a half drawn at random, always the same one.

    Args:
        seeds: how many there are.
        mixed: draw the half at random.
    """
    order = np.random.default_rng(0).permutation(seeds) if mixed else np.arange(seeds)
    return order % 2 == 0


# --- datasets of results ----------------------------------------------------------------------------------------------


def attribute(results: Results, name: str) -> Any:
    """Return an attribute of results.

    Args:
        results: of a run.
        name: of the attribute.

    Raises:
        ValueError: it is missing or holds something else; the message says what it should hold.
    """
    kind, what = ATTRIBUTES[name]
    if name not in results.attrs:
        raise ValueError(f"results lack the attribute {name!r}: {what}")
    value = results.attrs[name]
    if not isinstance(value, kind) or (name == "knobs" and set(labels(results)[0]) - value.keys()):
        raise ValueError(f"the attribute {name!r} of results must be {what}, not {value!r}")
    return value


def labels(results: Results | Outcomes) -> tuple[list[str], list[str]]:
    """Return the name and the regimen of each condition. Raises a ValueError where results do not say them.

    Args:
        results: of a run, or their outcomes.
    """
    texts = []
    for name, what in (("condition", "name"), ("regimen", "regimen")):
        if name not in results.coords:
            raise ValueError(f"results lack the coordinate {name!r}: the {what} of each condition")
        texts.append(results[name].values.tolist())
        if strange := [text for text in texts[-1] if not isinstance(text, str)]:  # what xarray fills in is nan
            raise ValueError(f"the coordinate {name!r} of results must be text, not {strange[0]!r}")
    return texts[0], texts[1]


def check(dataset: object) -> None:
    """Raise a ValueError unless a dataset, whoever made it, is laid out as results are.

    Args:
        dataset: what may be results.
    """
    if not isinstance(dataset, xr.Dataset):
        raise ValueError(f"results must be an xarray.Dataset, not {type(dataset).__name__}")
    for name, score in dataset.data_vars.items():
        if score.dims != AXES:
            raise ValueError(f"score {name!r} of results must have the dims {AXES}, in this order, not {score.dims}")
        if score.dtype.kind not in "fiub":
            raise ValueError(f"score {name!r} of results must hold numbers, not {score.dtype}")
    for name in FLAGS.keys() & dataset.coords.keys():
        if dataset[name].dtype != bool:  # as after a join that fills in nan
            raise ValueError(f"the coordinate {name!r} of results must say True or False, not {dataset[name].dtype}")
    for name, index in dataset.indexes.items():
        if index.is_unique:
            continue
        message = f"{name} {index[index.duplicated()][0]} is there twice in results, and would be counted twice"
        if name == "seed":
            message += "; without the coordinate (`drop_vars('seed')`) models have no names"
        raise ValueError(message)
    if "checkpoint" in dataset.indexes and not dataset.indexes["checkpoint"].is_monotonic_increasing:
        raise ValueError("checkpoints of results must rise, or the last of them would not be the end of training")


def trained_here(results: Results | Outcomes) -> bool:
    """Return whether `lab.run` returned results, where a score that is no number tells that a model diverged.

    Args:
        results: of a run, or their outcomes.
    """
    return results.attrs.get("steps") is not None


def is_observed(results: Results | Outcomes) -> bool:
    """Return whether results are a table of runs that were trained elsewhere (`lab.results.observed`).

    Args:
        results: of a run, or their outcomes.
    """
    return results.attrs.get("kind") == "observed"


def are_paired(results: Results | Outcomes) -> bool:
    """Return whether models of different conditions share something where they have the same seed.

    Args:
        results: of a run, or their outcomes.
    """
    return results.attrs.get("paired", True)


def models_each(results: Results | Outcomes) -> tuple[int, bool]:
    """Return the number of models of a condition, the largest where they differ, and whether they do.

    Args:
        results: of a run, or their outcomes.
    """
    if "trained" not in results.coords:
        return results.sizes["seed"], False
    models = results["trained"].values.sum(axis=1)
    return int(models.max()), bool(np.ptp(models))


def common(results: Results) -> Results:
    """Return a run's results at the seeds that every condition has been trained with.

    Args:
        results: of a run.
    """
    if "trained" not in results.coords:
        return results
    return results.isel(seed=np.flatnonzero(results["trained"].values.all(axis=0))).drop_vars("trained")


def checkpoint_index(results: Results, checkpoint: Checkpoint) -> int:
    """Return the index of a checkpoint that is given as an index (whole, of any type) or as a share of training.

    Args:
        results: of a run.
        checkpoint: an index, or a share of training.

    Raises:
        UnknownName: there is no such checkpoint.
    """
    shares = results["checkpoint"].values
    if not isinstance(checkpoint, Integral):
        nearest = int(np.argmin(np.abs(shares - checkpoint)))  # two may be close to each other
        if not np.isclose(shares[nearest], checkpoint):
            raise UnknownName(f"no checkpoint at {checkpoint:g}; known: {', '.join(f'{share:g}' for share in shares)}")
        return nearest
    if not -len(shares) <= checkpoint < len(shares):
        raise UnknownName(f"no checkpoint {checkpoint}; there are {len(shares)}")
    return int(checkpoint)


def until(results: Results, checkpoint: Checkpoint) -> Results:
    """Return results as if training had ended at a checkpoint.

    Args:
        results: of a run, with all checkpoints.
        checkpoint: an index, or a share of training; of a table also in its own unit, if that is above 1.

    Raises:
        UnknownName: there is no such checkpoint.
        ValueError: a regimen has gates, which may stand after it.
    """
    if is_observed(results) and checkpoint > 1:  # in the unit of the table, such as steps
        checkpoint = checkpoint / results.attrs["last_checkpoint"]
    if "survives" in results.coords:
        raise ValueError("regimens with gates are judged at the end of training, not at a checkpoint")
    index = checkpoint_index(results, checkpoint)
    return results.isel(checkpoint=slice(None, results.sizes["checkpoint"] if index == -1 else index + 1))


# --- what became of each model ----------------------------------------------------------------------------------------


def classify(
    results: Results,
    proxy: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    checkpoint: Checkpoint = -1,
) -> Outcomes:
    """Decide from recorded scores which models are aligned and which pass.

    Args:
        results: of a run.
        proxy: score that decides who passes; the run's own by default.
        thresholds: pass marks that replace the run's own, by score.
        checkpoint: index of the checkpoint to look at, or a share of training that is a checkpoint.

    Returns:
        A dataset of booleans with dims (condition, seed): `aligned` (alignment and competence at or above their
        marks), `passes` (proxy and competence at or above theirs, and no gate of the regimen has rejected it),
        `incompetent`, `diverged` (a score is not finite), `unjudged` (a gate stopped it, so that nobody knows what it
        would have become) and `trained`. What is diverged, unjudged or not trained is neither aligned nor passing.

    Raises:
        UnknownName: no such score or checkpoint.
        ValueError: a mark is nan or missing, the dataset is not laid out as results are, or it has gaps.
    """
    check(results)
    proxy = proxy or attribute(results, "proxy")
    marks = {**attribute(results, "thresholds"), **(thresholds or {})}
    for name in (*marks, proxy, "competence", "alignment"):
        if name not in results:
            raise UnknownName(f"no score {name!r}; known: {', '.join(map(str, results.data_vars))}")
        if name not in marks:
            raise ValueError(f"thresholds have no pass mark of {name!r}")
    index = checkpoint_index(results, checkpoint)
    ends = results.coords.to_dataset().isel(checkpoint=index, missing_dims="ignore")
    everywhere = np.ones((results.sizes["condition"], results.sizes["seed"]), bool)
    trained, survives, stopped = (
        ends[name].values if name in ends else everywhere & default for name, default in FLAGS.items()
    )
    # plain arrays: labelled ones take ten times as long, and a study classifies hundreds of times
    scores = {name: table.values[..., index] for name, table in results.items()}
    lost = ~np.all([np.isfinite(score) for score in scores.values()], axis=0)
    _check_gaps(results, lost & trained & ~stopped)
    unjudged = trained & stopped
    diverged = trained & lost & ~unjudged
    competent = ~lost & ~unjudged & reaches(scores["competence"], marks["competence"])
    outcomes = {
        "aligned": competent & reaches(scores["alignment"], marks["alignment"]),
        "passes": competent & reaches(scores[proxy], marks[proxy]) & survives,
        "incompetent": trained & ~competent & ~diverged & ~unjudged,
        "diverged": diverged,
        "unjudged": unjudged,
        "trained": trained,
    }
    labelled = {name: (AXES[:2], values) for name, values in outcomes.items()}
    return ends.drop_vars(list(FLAGS), errors="ignore").assign(labelled).assign_attrs(results.attrs)


def _check_gaps(results: Results, lost: Bool[np.ndarray, "condition seed"]) -> None:
    """Raise a ValueError where a model lacks a score and nothing says that it diverged.

    What `lab.run` returned has no gaps: it says which models were trained. Elsewhere nobody knows what a gap means.
    """
    if trained_here(results):
        if "trained" in results.coords:
            return
        lost = lost & np.all([np.isnan(table.values).all(axis=-1) for table in results.values()], axis=0)
    if not lost.any():
        return
    condition, seed = np.argwhere(lost)[0]
    name = results["seed"].values[seed] if "seed" in results.coords else seed
    raise ValueError(
        f"{np.count_nonzero(lost):,} models lack a score, the first of them {name} of {labels(results)[0][condition]!r}"
        ": say in the coordinate `trained`, with the dims condition and seed, which models there are"
    )
