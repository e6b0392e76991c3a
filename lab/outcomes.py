"""Scores of trained models as a labelled dataset, and the pass marks that turn them into outcomes."""

import numpy as np
import xarray as xr

from lab.store import StoreError


class UnknownName(ValueError):
    """A condition, regimen, score or checkpoint that a run does not have."""


def shard(scores, names, seeds, checkpoints):
    """Return one block's scores as variables of a shard, name -> (dims, array).

    Args:
        scores: float32, shape (seeds, checkpoints, scores).
        names: names of the scores.
        seeds: shape (seeds,).
        checkpoints: share of training done at each checkpoint, shape (checkpoints,).
    """
    return {
        "seed": (("seed",), np.asarray(seeds, np.int64)),
        "checkpoint": (("checkpoint",), np.asarray(checkpoints, np.float64)),
        **{name: (("seed", "checkpoint"), np.ascontiguousarray(scores[:, :, i])) for i, name in enumerate(names)},
    }


def results(run, last_only=False):
    """Load a run as a dataset with dims (condition, seed, checkpoint), one float32 variable per score.

    Where regimens have gates, coordinates of dims (condition, seed) say which runs `survives` all of them and which
    share of its training each has `spent` until one rejected it; 1 if none did. Scores of rejected runs are those
    that they would have had.

    Args:
        run: a `lab.store.Run`.
        last_only: keep the last checkpoint alone, which is all that a table needs; a run of 10^6 seeds then takes
            a few bytes per seed and score.

    Raises:
        StoreError: the run is not complete, or a shard is damaged.
    """
    manifest, files = run.manifest, run.shards()
    expected = expected_shards(manifest)
    if missing := [key for key in expected if key not in files]:
        raise StoreError(
            f"{run.path}: {len(missing)} of {len(expected)} shards are missing; "
            "`lab run` with the same config computes them"
        )
    conditions, first, count = manifest["conditions"], manifest["seeds"]["first"], manifest["seeds"]["count"]
    checkpoints = manifest["checkpoints"][-1:] if last_only else manifest["checkpoints"]
    shape = (len(conditions), count, len(checkpoints))
    scores = {name: np.empty(shape, np.float32) for name in manifest["scores"]}
    gates = [condition.get("gates", ()) for condition in conditions]  # runs from before there were any have none
    spent, survives = np.ones(shape[:2]), np.ones(shape[:2], bool)
    for leaf, seed in expected:
        try:
            block = run.read(files[leaf, seed])
        except ValueError as error:
            raise StoreError(
                f"{files[leaf, seed]}: damaged: {error}; `lab run` with the same config computes it again"
            ) from None
        own = [index for index, condition in enumerate(conditions) if condition["leaf"] == leaf]
        rows = slice(seed - first, seed - first + len(block["seed"]))
        for name, table in scores.items():
            table[own, rows] = block[name][:, -len(checkpoints) :]
        for index in own:
            for share, score, mark in reversed(gates[index]):
                at = manifest["checkpoints"].index(share)
                rejected = ~(block[score][:, at] >= mark)
                spent[index, rows] = np.where(rejected, share, spent[index, rows])
                survives[index, rows] &= ~rejected
    coordinates = {
        "condition": [condition["name"] for condition in conditions],
        "regimen": ("condition", [condition["regimen"] for condition in conditions]),
        "seed": np.arange(first, first + count),
        "checkpoint": checkpoints,
    }
    if any(gates):
        coordinates["spent"] = ("condition", "seed"), spent
        coordinates["survives"] = ("condition", "seed"), survives
    for axis in manifest["config"]["sweep"]:
        coordinates[axis] = ("condition", [condition["coordinates"].get(axis, np.nan) for condition in conditions])
    keys = ("name", "hash", "proxy", "thresholds", "baseline", "confidence", "question", "looks")
    attributes = {key: manifest[key] for key in keys}
    attributes["steps"] = manifest["config"]["training"]["steps"]
    attributes["stop"] = manifest["config"].get("stop")
    attributes["knobs"] = [condition["knobs"] for condition in conditions]
    dims = ("condition", "seed", "checkpoint")
    return xr.Dataset({name: (dims, table) for name, table in scores.items()}, coordinates, attributes)


def block_seeds(manifest):
    """Return the first seed of each block of a run."""
    first, count = manifest["seeds"]["first"], manifest["seeds"]["count"]
    return range(first, first + count, manifest["block_width"])


def expected_shards(manifest):
    """Return the keys (leaf, first seed) of all shards of a complete run."""
    leaves = sorted({condition["leaf"] for condition in manifest["conditions"]})
    return [(leaf, seed) for leaf in leaves for seed in block_seeds(manifest)]


def classify(dataset, proxy=None, thresholds=None, checkpoint=-1):
    """Decide from recorded scores which models are aligned and which pass.

    Args:
        dataset: what `results` returned.
        proxy: score that decides who passes; the run's own by default.
        thresholds: pass marks that replace the run's own, by score.
        checkpoint: index of the checkpoint to look at, or a share of training that is a checkpoint.

    Returns:
        A dataset of booleans with dims (condition, seed): `aligned` (alignment and competence at or above their
        marks), `passes` (proxy and competence at or above theirs, and no gate of the regimen has rejected it),
        `incompetent` and `diverged` (a score is not finite). A diverged model is neither aligned nor passing.

    Raises:
        UnknownName: no such score or checkpoint.
    """
    proxy = proxy or dataset.attrs["proxy"]
    marks = {**dataset.attrs["thresholds"], **(thresholds or {})}
    for name in (proxy, *marks):
        if name not in dataset:
            raise UnknownName(f"no score {name!r}; known: {', '.join(map(str, dataset.data_vars))}")
    checkpoint = checkpoint_index(dataset, checkpoint)
    scores = dataset.isel(checkpoint=checkpoint)
    diverged = ~np.isfinite(scores.to_dataarray()).all("variable")
    competent = ~diverged & (scores["competence"] >= marks["competence"])
    passes = competent & (scores[proxy] >= marks[proxy])
    if "survives" in dataset.coords:
        passes &= dataset["survives"]
    return xr.Dataset(
        {
            "aligned": competent & (scores["alignment"] >= marks["alignment"]),
            "passes": passes,
            "incompetent": ~competent & ~diverged,
            "diverged": diverged,
        },
        attrs=dataset.attrs,
    )


def checkpoint_index(dataset, checkpoint):
    """Return the index of a checkpoint that is given as an index (an int) or as a share of training (a float).

    Raises:
        UnknownName: there is no such checkpoint.
    """
    shares = dataset.checkpoint.values
    if isinstance(checkpoint, float):
        at = np.flatnonzero(np.isclose(shares, checkpoint))
        if not len(at):
            raise UnknownName(f"no checkpoint at {checkpoint:g}; known: {', '.join(f'{share:g}' for share in shares)}")
        return int(at[0])
    if not -len(shares) <= checkpoint < len(shares):
        raise UnknownName(f"no checkpoint {checkpoint}; there are {len(shares)}")
    return int(checkpoint)
