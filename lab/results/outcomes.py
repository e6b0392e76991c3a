"""Scores of trained models as a labelled dataset, and the pass marks that turn them into outcomes."""

import math
from numbers import Integral, Real

import numpy as np
import xarray as xr

from lab.machine.memory import available_memory
from lab.results.store import StoreError

Results = xr.Dataset  # what `results` returns, or another dataset of its layout
AXES = ("condition", "seed", "checkpoint")
# what reading results takes from their attributes: type, what it holds
ATTRIBUTES = {
    "proxy": (str, "the name of the score that decides who passes"),
    "thresholds": (dict, "score -> its pass mark, for competence, alignment and the proxy"),
    "baseline": (str, "the regimen that others are compared with"),
    "confidence": (Real, "the confidence of intervals, a number between 0 and 1"),
    "knobs": (dict, "the name of each condition -> a dict of knob -> value"),
}

FLAGS = {"trained": True, "survives": True, "stopped": False}  # coordinates of a run, and what is so where they are not


class UnknownName(ValueError):
    """A condition, regimen, score or checkpoint that a run does not have."""


def reaches(scores, mark):
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


def attribute(dataset: xr.Dataset, name: str):
    """Return an attribute of results.

    Args:
        dataset: what `results` returned, or another one of its layout.
        name: of the attribute.

    Raises:
        ValueError: it is missing or holds something else; the message says what it should hold.
    """
    kind, what = ATTRIBUTES[name]
    if name not in dataset.attrs:
        raise ValueError(f"results lack the attribute {name!r}: {what}")
    value = dataset.attrs[name]
    if not isinstance(value, kind) or (name == "knobs" and set(labels(dataset)[0]) - value.keys()):
        raise ValueError(f"the attribute {name!r} of results must be {what}, not {value!r}")
    return value


def labels(dataset: xr.Dataset) -> tuple[list[str], list[str]]:
    """Return the name and the regimen of each condition. Raises a ValueError where results do not say them.

    Args:
        dataset: what `results` returned, or another one of its layout.
    """
    texts = []
    for name, what in (("condition", "name"), ("regimen", "regimen")):
        if name not in dataset.coords:
            raise ValueError(f"results lack the coordinate {name!r}: the {what} of each condition")
        texts.append(dataset[name].values.tolist())
        if strange := [text for text in texts[-1] if not isinstance(text, str)]:  # what xarray fills in is nan
            raise ValueError(f"the coordinate {name!r} of results must be text, not {strange[0]!r}")
    return texts[0], texts[1]


def check(dataset: xr.Dataset):
    """Raise a ValueError unless a dataset, whoever made it, is laid out as `results` says.

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
        if not index.is_unique:
            twice = index[index.duplicated()][0]
            instead = "; without the coordinate (`drop_vars('seed')`) models have no names" * (name == "seed")
            raise ValueError(f"{name} {twice} is there twice in results, and would be counted twice{instead}")


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


def results(run, last_only=False, partial=False, conditions=None, seeds=None):
    """Load a run as a dataset with dims (condition, seed, checkpoint), one float32 variable per score.

    Where regimens have gates, coordinates of dims (condition, seed) say which runs `survives` all of them and which
    share of its training each has `spent` until one rejected it; 1 if none did. Scores of rejected runs are those
    that they would have had. If the config lets gates stop runs, a third one says which runs were `stopped`, whose
    scores are nan from there on; a regimen that shares its whole training with one without gates has none. Where
    conditions have unequal numbers of seeds, `trained` says which runs there are; scores of the others are nan.

    Args:
        run: a `lab.results.store.Run`.
        last_only: keep the last checkpoint alone, which is all that a table needs; a run of 10^6 seeds then takes
            a few bytes per seed and score.
        partial: read what there is of a run that is not complete or in part damaged; the attribute `partial` then says
            what is missing.
        conditions: indices of conditions to read; all by default.
        seeds: a range of seeds to read, which begins where a block does; all by default.

    Raises:
        StoreError: the run is not complete, a shard is damaged, or there is too little memory for so many numbers.
    """
    manifest, files = run.manifest, run.shards()
    owed = expected_shards(manifest)
    missing = [key for key in owed if key not in files]
    if missing and not partial:
        raise StoreError(
            f"{run.path}: {len(missing):,} of {len(owed):,} shards are missing; "
            "`lab run` with the same config computes them, --partial goes without"
        )
    every, seeds = manifest["conditions"], seeds or all_seeds(manifest)
    leaves = {every[index]["leaf"] for index in (range(len(every)) if conditions is None else conditions)}
    wanted = [(leaf, seed) for leaf, seed in owed if leaf in leaves and seed in seeds and (leaf, seed) in files]
    damaged = []
    blocks = _blocks(run, files, wanted, damaged if partial else None)
    dataset = assemble(manifest, blocks, seeds, last_only, conditions)
    lacks = {"missing": len(missing), "damaged": len(damaged)}
    if any(lacks.values()):
        said = (f"{count:,} of {len(owed):,} shards are {what}" for what, count in lacks.items() if count)
        dataset.attrs["partial"] = " and ".join(said)
    return dataset


def _blocks(run, files, keys, damaged=None):
    """Read shards: yield (leaf, first seed, name -> array).

    Damaged ones are added to a list if there is one.

    Raises:
        StoreError: one is damaged and there is no such list.
    """
    for leaf, seed in keys:
        try:
            yield leaf, seed, run.read(files[leaf, seed])
        except ValueError as error:
            if damaged is None:
                raise StoreError(
                    f"{files[leaf, seed]}: damaged: {error}; `lab run` with the same config computes it again, "
                    "--partial goes without"
                ) from None
            damaged.append((leaf, seed))


def assemble(manifest, shards, seeds, last_only=False, conditions=None):
    """Return the dataset that `results` describes, of some seeds of a run, from shards that have been read.

    Args:
        manifest: of the run.
        shards: (leaf, first seed, name -> array) of each, in any order.
        seeds: a range; shards that reach beyond its end are cut there.
        last_only: as for `results`.
        conditions: as for `results`.

    Raises:
        StoreError: there is too little memory for so many numbers.
    """
    every, first, count = manifest["conditions"], seeds.start, len(seeds)
    conditions = every if conditions is None else [every[index] for index in conditions]
    checkpoints = manifest["checkpoints"][-1:] if last_only else manifest["checkpoints"]
    shape = (len(conditions), count, len(checkpoints))
    needed, room = 4 * len(manifest["scores"]) * math.prod(shape), available_memory()
    if needed > room:
        raise StoreError(
            f"{manifest['name']}: its scores take {needed / 2**30:,.1f} GiB of memory, and there are "
            f"{room / 2**30:,.1f}; read fewer conditions, seeds or checkpoints"
        )
    scores = {name: np.full(shape, np.nan, np.float32) for name in manifest["scores"]}
    trained = np.zeros(shape[:2], bool)
    gates = [condition["gates"] for condition in conditions]
    spent, survives = np.ones(shape[:2]), np.ones(shape[:2], bool)
    rows_of = {}
    for index, condition in enumerate(conditions):
        rows_of.setdefault(condition["leaf"], []).append(index)
    for leaf, seed, block in shards:
        indices, models = rows_of[leaf], min(len(block["seed"]), first + count - seed)
        columns = slice(seed - first, seed - first + models)
        trained[indices, columns] = True
        for name, table in scores.items():
            table[indices, columns] = block[name][:models, -len(checkpoints) :]
        for index in indices:
            for share, score, mark in reversed(gates[index]):
                at = manifest["checkpoints"].index(share)
                rejected = ~reaches(block[score][:models, at], mark)
                spent[index, columns] = np.where(rejected, share, spent[index, columns])
                survives[index, columns] &= ~rejected
    coordinates = {
        "condition": [condition["name"] for condition in conditions],
        "regimen": ("condition", [condition["regimen"] for condition in conditions]),
        "seed": np.arange(first, first + count),
        "checkpoint": checkpoints,
    }
    if any(gates) and manifest["config"].get("stop_rejected"):
        whole = {condition["leaf"] for condition in every if not condition["gates"]}
        stops = np.array([condition["leaf"] not in whole for condition in conditions])
        coordinates["stopped"] = ("condition", "seed"), ~survives & stops[:, None]
    if any(gates):
        coordinates["spent"] = ("condition", "seed"), spent
        coordinates["survives"] = ("condition", "seed"), survives
    if not trained.all():
        coordinates["trained"] = ("condition", "seed"), trained
    for axis in manifest["config"]["sweep"]:
        coordinates[axis] = ("condition", [condition["coordinates"].get(axis, np.nan) for condition in conditions])
    keys = ("name", "hash", "proxy", "thresholds", "baseline", "confidence", "question", "looks")
    attributes = {key: manifest[key] for key in keys}
    attributes["steps"] = manifest["config"]["training"]["steps"]
    attributes["stop"] = manifest["config"].get("stop")
    attributes["partial"] = None
    attributes["knobs"] = {condition["name"]: condition["knobs"] for condition in conditions}
    dims = ("condition", "seed", "checkpoint")
    return xr.Dataset({name: (dims, table) for name, table in scores.items()}, coordinates, attributes)


def all_seeds(manifest):
    """Return the range of a run's seeds.

    Args:
        manifest: of a `lab.results.store.Run`.
    """
    first, count = manifest["seeds"]["first"], manifest["seeds"]["count"]
    return range(first, first + count)


def block_seeds(manifest):
    """Return the first seed of each block of a run.

    Args:
        manifest: of a `lab.results.store.Run`.
    """
    return all_seeds(manifest)[:: manifest["block_width"]]


def expected_shards(manifest):
    """Return the keys (leaf, first seed) of all shards of a complete run.

    Args:
        manifest: of a `lab.results.store.Run`.
    """
    leaves = dict.fromkeys(condition["leaf"] for condition in manifest["conditions"])
    first, count = manifest["seeds"]["first"], manifest["seeds"]["count"]
    counts = manifest["leaf_seeds"] or dict.fromkeys(leaves, count)
    return [(leaf, seed) for leaf in leaves for seed in block_seeds(manifest) if seed < first + counts[leaf]]


def common(dataset):
    """Return a run's results at the seeds that every condition has been trained with.

    Args:
        dataset: what `results` returned.
    """
    if "trained" not in dataset.coords:
        return dataset
    return dataset.isel(seed=np.flatnonzero(dataset.trained.values.all(axis=0))).drop_vars("trained")


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
        `incompetent`, `diverged` (a score is not finite), `unjudged` (a gate stopped it, so that nobody knows what it
        would have become) and `trained`. What is diverged, unjudged or not trained is neither aligned nor passing.

    Raises:
        UnknownName: no such score or checkpoint.
        ValueError: a mark is nan or missing, or the dataset is not laid out as `results` says.
    """
    check(dataset)
    proxy = proxy or attribute(dataset, "proxy")
    marks = {**attribute(dataset, "thresholds"), **(thresholds or {})}
    for name in (*marks, proxy, "competence", "alignment"):
        if name not in dataset:
            raise UnknownName(f"no score {name!r}; known: {', '.join(map(str, dataset.data_vars))}")
        if name not in marks:
            raise ValueError(f"thresholds have no pass mark of {name!r}")
    checkpoint = checkpoint_index(dataset, checkpoint)
    scores = dataset.isel(checkpoint=checkpoint)
    everywhere = np.ones((scores.sizes["condition"], scores.sizes["seed"]), bool)
    trained, survives, stopped = (
        scores[name].values if name in scores.coords else everywhere & default for name, default in FLAGS.items()
    )
    scores = scores.drop_vars(list(FLAGS), errors="ignore")
    lost = ~np.isfinite(scores.to_dataarray()).all("variable")
    unjudged = lost.copy(data=trained & stopped)
    diverged = trained & lost & ~unjudged
    competent = ~lost & ~unjudged & reaches(scores["competence"], marks["competence"])
    passes = competent & reaches(scores[proxy], marks[proxy]) & survives
    return xr.Dataset(
        {
            "aligned": competent & reaches(scores["alignment"], marks["alignment"]),
            "passes": passes,
            "incompetent": trained & ~competent & ~diverged & ~unjudged,
            "diverged": diverged,
            "unjudged": unjudged,
            "trained": lost.copy(data=trained),
        },
        attrs=dataset.attrs,
    )


def checkpoint_index(dataset, checkpoint):
    """Return the index of a checkpoint that is given as an index (whole, of any type) or as a share of training.

    Args:
        dataset: what `results` returned.
        checkpoint: an index, or a share of training.

    Raises:
        UnknownName: there is no such checkpoint.
    """
    shares = dataset.checkpoint.values
    if not isinstance(checkpoint, Integral):
        nearest = int(np.argmin(np.abs(shares - checkpoint)))  # two may be close to each other
        if not np.isclose(shares[nearest], checkpoint):
            raise UnknownName(f"no checkpoint at {checkpoint:g}; known: {', '.join(f'{share:g}' for share in shares)}")
        return nearest
    if not -len(shares) <= checkpoint < len(shares):
        raise UnknownName(f"no checkpoint {checkpoint}; there are {len(shares)}")
    return int(checkpoint)
