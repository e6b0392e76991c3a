"""Shards: which ones a run owes, what one must hold, and all of them read as one dataset.

    RUN/shards/<leaf>-s00000128.<sha256>.nc      scores of one distinct condition and one block of seeds

A leaf is a digest of everything that decides how its models are trained, so a shard belongs to a condition by what the
condition is, never by its place in a list. A shard's name ends in the SHA-256 of its bytes: a file that was cut short,
altered or only half written is never taken for a result, but reported, set aside and computed again. What a shard
holds is compared with what it should hold before a number of it is used.
"""

import functools
import hashlib
import io
import math
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from h5py import h5d, h5l, h5o, h5s  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without types
from jaxtyping import Bool, Float, Num

from lab.config.schema import MAX_SEED, WORLD, Leaf
from lab.machine.memory import available_memory
from lab.results import observed
from lab.results.outcomes import AXES, Results, gates_survived
from lab.results.store import FORMAT, SHARD, TEMPORARY, ManifestJson, Run, ShardKey, StoreError, publish, read_regular

Arrays = dict[str, Num[np.ndarray, "..."]]  # what a shard holds: its seeds, its checkpoints, and each score of both
Block = tuple[Leaf, int, Arrays]  # what was trained, the first seed, and what its shard holds
Variables = Mapping[str, tuple[tuple[str, ...], Num[np.ndarray, "..."]]]  # the same with the names of dims

DAMAGED = ".damaged"
HEADER = 2**20  # bytes of a shard that are not numbers, at most
NUMBER = 16  # bytes of a number in a shard, at most: twice those of a float64
ROUNDING = 1e-4  # by which a sum of shares may leave [0, 1]


# --- what a run owes --------------------------------------------------------------------------------------------------


def all_seeds(manifest: ManifestJson) -> range:
    """Return the range of a run's seeds.

    Args:
        manifest: of the run.
    """
    first, count = manifest["seeds"]["first"], manifest["seeds"]["count"]
    return range(first, first + count)


def block_seeds(manifest: ManifestJson) -> range:
    """Return the first seed of each block of a run.

    Args:
        manifest: of the run.
    """
    return all_seeds(manifest)[:: manifest["block_width"]]


def expected_shards(manifest: ManifestJson) -> list[ShardKey]:
    """Return the keys of all shards of a complete run.

    Args:
        manifest: of the run.
    """
    leaves = dict.fromkeys(condition["leaf"] for condition in manifest["conditions"])
    first, count = manifest["seeds"]["first"], manifest["seeds"]["count"]
    counts = manifest["leaf_seeds"] or dict.fromkeys(leaves, count)
    return [(leaf, seed) for leaf in leaves for seed in block_seeds(manifest) if seed < first + counts[leaf]]


def missing_shards(run: Run) -> list[ShardKey]:
    """Return the keys of the shards that a run still needs.

    There may be more than it needs: of seeds that another config of the same training asked for.

    Args:
        run: to look at.

    Raises:
        StoreError: there is a file that is none of its shards.
    """
    files, manifest = run.shards(), run.manifest
    leaves = {condition["leaf"] for condition in manifest["conditions"]}
    for (leaf, seed), path in files.items():
        if leaf not in leaves or (seed - manifest["seeds"]["first"]) % manifest["block_width"]:
            raise StoreError(f"{path}: not a shard of this run; take it away")
    return [key for key in expected_shards(manifest) if key not in files]


# --- one shard --------------------------------------------------------------------------------------------------------


def shard(
    scores: Float[np.ndarray, "seeds checkpoints scores"],
    names: Sequence[str],
    seeds: Sequence[int] | range,
    checkpoints: Sequence[float],
) -> Variables:
    """Return one block's scores as variables of a shard.

    Args:
        scores: float32.
        names: names of the scores.
        seeds: of the models.
        checkpoints: share of training done at each checkpoint.
    """
    return {
        "seed": (("seed",), np.asarray(seeds, np.int64)),
        "checkpoint": (("checkpoint",), np.asarray(checkpoints, np.float64)),
        **{name: (("seed", "checkpoint"), np.ascontiguousarray(scores[:, :, i])) for i, name in enumerate(names)},
    }


def write_shard(run: Run, leaf: str, seed: int, variables: Variables) -> None:
    """Publish one shard as netCDF-4.

    Args:
        run: that it belongs to.
        leaf: digest of what was trained.
        seed: first seed of the block.
        variables: with dims out of seed and checkpoint.

    Raises:
        StoreError: it cannot be written, or holds what no shard may hold.
    """
    if problem := _untrue(run.manifest, {name: values for name, (_, values) in variables.items()}, seed):
        raise StoreError(f"a model of {leaf} from seed {seed} on has no score that can be stored: {problem}")
    layout = tuple((name, dims, values.shape, values.dtype.str) for name, (dims, values) in variables.items())
    buffer = io.BytesIO(_empty_shard(layout, run.manifest["trains"], run.maker))
    with h5py.File(buffer, "r+") as file:
        for name, (_, values) in variables.items():
            dataset = file[name]
            assert isinstance(dataset, h5py.Dataset), "as an empty shard has it"
            dataset[...] = values
        file.attrs.modify("leaf", np.array([int(leaf, 16)], np.uint64))
        file.attrs.modify("first_seed", [seed])
    data = buffer.getvalue()
    publish(run.path / "shards" / f"{run.shard_stem(leaf, seed)}.{hashlib.sha256(data).hexdigest()}.nc", data)


def read_shard(run: Run, path: Path) -> Arrays:
    """Return the variables in one shard, once all of it is what it should be.

    Args:
        run: that it belongs to.
        path: of the file.

    Raises:
        StoreError: the file belongs to another run or is another shard than its name says, or holds what no shard
            of this run may hold.
        ValueError: its bytes do not fit the checksum in its name, or it is no netCDF file.
    """
    match, names = SHARD.match(path.name), ("seed", "checkpoint", *run.manifest["scores"])
    if match is None:
        raise StoreError(f"{path}: not a shard of this lab; take it away")
    width, checkpoints = run.manifest["block_width"], len(run.manifest["checkpoints"])
    data = read_regular(path, HEADER + NUMBER * width * checkpoints * len(names))
    if hashlib.sha256(data).hexdigest() != match["checksum"]:
        raise ValueError("its bytes do not fit its checksum")
    try:
        _check_heaps(data)
        with h5py.File(io.BytesIO(data)) as file:  # h5py alone reads in 2 ms what xarray reads in 40
            _check_attributes(run, path, file)
            variables = _variables(file, names, width, checkpoints)
            if isinstance(variables, str):
                raise StoreError(f"{path} {variables}; take it away")
            arrays = {name: _numbers(variables[name]) for name in names}
    except (OSError, ValueError, KeyError, OverflowError, RuntimeError, TypeError):  # whatever HDF5 stumbles over
        raise ValueError("it is not a shard") from None
    if problem := _untrue(run.manifest, arrays, int(match["seed"])):
        raise StoreError(f"{path}: {problem}; take it away")
    return arrays


def _check_attributes(run: Run, path: Path, file: h5py.File) -> None:
    """Raise `StoreError` unless a shard says that it is what its name says, of this run and made as this run is."""
    try:
        trains = file.attrs["run"]
        leaf, seed = (int(np.asarray(file.attrs[name]).ravel()[0]) for name in ("leaf", "first_seed"))
        if run.manifest["format"] == 2:  # whose shards do not say how they were made
            leaf, maker = f"c{leaf:04d}", run.maker
        else:
            leaf, maker = f"{leaf:016x}", file.attrs["maker"]
    except (OSError, KeyError, ValueError, TypeError, IndexError):
        raise StoreError(f"{path}: not a shard of this lab; take it away") from None
    expected = run.manifest["trains"] or run.manifest["hash"]
    if trains != expected:
        raise StoreError(f"{path} belongs to run {trains}, not to run {expected}; take it away")
    if not path.name.startswith(f"{run.shard_stem(leaf, seed)}."):
        raise StoreError(f"{path} holds shard {run.shard_stem(leaf, seed)}; take it away")
    if maker not in (run.maker, *run.manifest.get("accepted", [])):
        raise StoreError(f"{path} was trained with other code, versions or devices than this run; take it away")


def _check_heaps(data: bytes) -> None:
    """Raise a ValueError if HDF5 would follow the texts of a file for ever (HDFGroup/hdf5#1707).

    It walks from one to the next in a heap by the sizes that stand there, and does not move on at a size of 0 ("HDF5
    File Format Specification", section III.E, global heap).
    """
    sizes = {0: data[13:15], 1: data[13:15], 2: data[9:11], 3: data[9:11]}.get(data[8]) if len(data) > 8 else None
    if not data.startswith(b"\x89HDF\r\n\x1a\n") or sizes != b"\x08\x08":
        raise ValueError("it does not begin as a shard does")
    for heap in re.finditer(rb"GCOL\x01", data):
        start = heap.start()
        position, end = start + 16, start + int.from_bytes(data[start + 8 : start + 16], "little")
        while position + 16 <= end <= len(data):
            index, size = struct.unpack_from("<H6xQ", data, position)
            length = 16 + size + -size % 8 if index else size  # the free space at the end counts its own header
            if not 16 <= length <= end - position:
                break
            position += length
        if not end - 16 < position <= end <= len(data):
            raise ValueError("its texts do not end")


def _variables(file: h5py.File, names: Sequence[str], width: int, checkpoints: int) -> dict[str, h5d.DatasetID] | str:
    """Return the arrays in a file, or in which way they are not of the right kind and shape in its own bytes.

    Nothing is read yet: a file of a few bytes may declare any amount of numbers, or keep them in other files. HDF5's
    own calls take a third of the time of h5py's objects, and a large run has thousands of files.
    """
    kinds = {"seed": "<i8", "checkpoint": "<f8"}
    variables, seeds = {}, None
    for name in sorted({*names, *map(str, file)}, key=lambda name: name != "seed"):
        if name not in names:
            return f"holds {name}, which is none of its scores"
        if not file.id.links.exists(name.encode()) or file.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
            return f"lacks {name}"
        variable = h5o.open(file.id, name.encode())
        if not isinstance(variable, h5d.DatasetID):
            return f"holds {name}, which is not an array"
        kind = np.dtype(kinds.get(name, "<f4"))
        if variable.dtype != kind:
            return f"holds {name}, which is not numbers of type {kind.name}"
        seeds = variable.shape[0] if name == "seed" and len(variable.shape) == 1 else seeds
        shape = {"seed": (seeds,), "checkpoint": (checkpoints,)}.get(name, (seeds, checkpoints))
        if variable.shape != shape or seeds is None or not 1 <= seeds <= width:
            return f"holds {name} of shape {variable.shape}, not {shape}"
        stored = variable.get_create_plist()
        if stored.get_external_count() or stored.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT):
            return f"holds {name}, whose numbers are elsewhere or packed"
        variables[name] = variable
    return variables


def _numbers(variable: h5d.DatasetID) -> np.ndarray:
    """Return the numbers of an array in a file."""
    numbers = np.empty(variable.shape, variable.dtype)
    variable.read(h5s.ALL, h5s.ALL, numbers)
    return numbers


def _untrue(manifest: ManifestJson, arrays: Arrays, seed: int) -> str | None:
    """Return what is wrong with the variables of a shard that begins with a seed, in words, or None."""
    if strange := {"seed", "checkpoint", *manifest["scores"]} ^ arrays.keys():
        return f"{sorted(strange)[0]} is missing or is none of its scores"
    seeds, checkpoints = arrays["seed"], arrays["checkpoint"]
    if not np.array_equal(seeds, np.arange(seed, seed + len(seeds))) or seeds[-1] >= MAX_SEED:
        return f"seeds are not {seed}, {seed + 1}, ..."
    if not np.array_equal(checkpoints, manifest["checkpoints"]):
        return "checkpoints are not those of the run"
    for name in manifest["scores"]:
        known = arrays[name][np.isfinite(arrays[name])]
        if known.size and not (known.min() >= -ROUNDING and known.max() <= 1 + ROUNDING):
            return f"{name} is {known.max() if known.max() > 1 else known.min():g}, outside [0, 1]"
    return None


@functools.lru_cache(maxsize=16)
def _empty_shard(
    layout: tuple[tuple[str, tuple[str, ...], tuple[int, ...], str], ...], trains: str, maker: str
) -> bytes:
    """Return the bytes of a shard without its numbers; to lay one out takes much longer than to fill it in.

    Args:
        layout: (name, dims, shape, dtype) of each variable.
        trains: digest of what the run trains.
        maker: digest of how.
    """
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for name, dims, shape, dtype in layout:
            for dim, size in zip(dims, shape, strict=True):
                file.dimensions.setdefault(dim, size)
            file.create_variable(name, dims, data=np.zeros(shape, dtype))
        file.attrs.update(run=trains, leaf=np.array([0], np.uint64), maker=maker, first_seed=0, format=FORMAT)
    return buffer.getvalue()


# --- damage -----------------------------------------------------------------------------------------------------------


def damaged_shards(run: Run, keys: Iterable[ShardKey] | None = None) -> dict[Path, str]:
    """Return path -> what is wrong of the shards whose bytes are damaged; raises as `read_shard` does for foreign ones.

    Args:
        run: that they belong to.
        keys: of those to look at; all by default.
    """
    files, damaged = run.shards(), {}
    for key in files if keys is None else keys:
        try:
            read_shard(run, files[key])
        except ValueError as error:
            damaged[files[key]] = str(error)
    return damaged


def clean(run: Run) -> list[str]:
    """Remove what interrupted writes left and set damaged shards aside; return a line about each of these.

    Only for who holds the run's lock by himself: others may be writing.

    Args:
        run: to clean.
    """
    for path in [*run.path.glob(".*.tmp"), *run.path.glob("shards/.*.tmp")]:
        if TEMPORARY.match(path.name):
            path.unlink()
    lines = []
    for path, problem in damaged_shards(run).items():
        os.replace(path, path.with_name(path.name + DAMAGED))
        lines.append(f"{path.name.split('.')[0]} is damaged ({problem}); it is set aside and computed again")
    return lines


# --- a run as a whole -------------------------------------------------------------------------------------------------


def results(
    run: Run,
    last_only: bool = False,
    partial: bool = False,
    conditions: Sequence[int] | None = None,
    seeds: range | None = None,
) -> Results:
    """Load a run as a dataset with dims (condition, seed, checkpoint), one float32 variable per score.

    Where regimens have gates, coordinates of dims (condition, seed) say which runs `survives` all of them and which
    share of its training each has `spent` until one rejected it; 1 if none did. Scores of rejected runs are those
    that they would have had. If the config lets gates stop runs, a third one says which runs were `stopped`, whose
    scores are nan from there on; a regimen that shares its whole training with one without gates has none. Where
    conditions have unequal numbers of seeds, `trained` says which runs there are; scores of the others are nan.

    Args:
        run: to read.
        last_only: keep the last checkpoint alone, which is all that a table needs; a run of 10^6 seeds then takes
            a few bytes per seed and score.
        partial: read what there is of a run that is not complete or in part damaged; the attribute `partial` then says
            what is missing.
        conditions: indices of conditions to read; all by default.
        seeds: to read, from one on where a block begins; all by default.

    Raises:
        StoreError: the run is not complete, a shard is damaged, or there is too little memory for so many numbers.
    """
    if run.observed:
        return observed.results(run)
    manifest, files = run.manifest, run.shards()
    expected = expected_shards(manifest)
    missing = [key for key in expected if key not in files]
    if missing and not partial:
        raise StoreError(
            f"{run.path}: {len(missing):,} of {len(expected):,} shards are missing; "
            "`lab run` with the same config computes them, --partial goes without"
        )
    every, seeds = manifest["conditions"], seeds or all_seeds(manifest)
    leaves = {every[index]["leaf"] for index in (range(len(every)) if conditions is None else conditions)}
    wanted = [(leaf, seed) for leaf, seed in expected if leaf in leaves and seed in seeds and (leaf, seed) in files]
    damaged = []
    blocks = _read_blocks(run, files, wanted, damaged if partial else None)
    dataset = assemble(manifest, blocks, seeds, last_only, conditions)
    lacks = {"missing": len(missing), "damaged": len(damaged)}
    if any(lacks.values()):
        lines = (f"{count:,} of {len(expected):,} shards are {what}" for what, count in lacks.items() if count)
        dataset.attrs["partial"] = " and ".join(lines)
    return dataset


def _read_blocks(
    run: Run, files: Mapping[ShardKey, Path], keys: Iterable[ShardKey], damaged: list[ShardKey] | None = None
) -> Iterator[Block]:
    """Read shards: yield (leaf, first seed, arrays).

    Damaged ones are added to a list if there is one.

    Raises:
        StoreError: one is damaged and there is no such list.
    """
    for leaf, seed in keys:
        try:
            yield leaf, seed, read_shard(run, files[leaf, seed])
        except ValueError as error:
            if damaged is None:
                raise StoreError(
                    f"{files[leaf, seed]}: damaged: {error}; `lab run` with the same config computes it again, "
                    "--partial goes without"
                ) from None
            damaged.append((leaf, seed))


def assemble(
    manifest: ManifestJson,
    blocks: Iterable[Block],
    seeds: range,
    last_only: bool = False,
    conditions: Sequence[int] | None = None,
) -> Results:
    """Return the dataset that `results` describes, of some seeds of a run, from shards that have been read.

    Args:
        manifest: of the run.
        blocks: (leaf, first seed, arrays) of each shard, in any order.
        seeds: of the dataset; shards that reach beyond their end are cut there.
        last_only: as for `results`.
        conditions: as for `results`.

    Raises:
        StoreError: there is too little memory for so many numbers.
    """
    every = manifest["conditions"]
    chosen = every if conditions is None else [every[index] for index in conditions]
    checkpoints = manifest["checkpoints"][-1:] if last_only else manifest["checkpoints"]
    shape = (len(chosen), len(seeds), len(checkpoints))
    _check_memory(manifest, shape)
    scores = {name: np.full(shape, np.nan, np.float32) for name in manifest["scores"]}
    trained = np.zeros(shape[:2], bool)
    gates = _Gates(manifest, chosen, shape[:2])
    rows_of = {}
    for row, condition in enumerate(chosen):
        rows_of.setdefault(condition["leaf"], []).append(row)
    for leaf, first, arrays in blocks:
        rows, models = rows_of[leaf], min(len(arrays["seed"]), seeds.stop - first)
        columns = slice(first - seeds.start, first - seeds.start + models)
        trained[rows, columns] = True
        for name, table in scores.items():
            table[rows, columns] = arrays[name][:models, -len(checkpoints) :]
        for row in rows:
            gates.judge(row, columns, {name: arrays[name][:models] for name in scores})
    coordinates = {
        "condition": [condition["name"] for condition in chosen],
        "regimen": ("condition", [condition["regimen"] for condition in chosen]),
        "seed": np.arange(seeds.start, seeds.stop),
        "checkpoint": checkpoints,
        **gates.coordinates(),
    }
    scored = np.zeros(shape[:2], bool)
    for table in scores.values():
        scored |= np.isfinite(table).any(axis=2)
    if not (trained & scored).all():  # else a model that diverged at once would look as if it were not there
        coordinates["trained"] = AXES[:2], trained
    for axis in axes(manifest):
        coordinates[axis] = "condition", [condition["coordinates"].get(axis, np.nan) for condition in chosen]
    return xr.Dataset(
        {name: (AXES, table) for name, table in scores.items()}, coordinates, _attributes(manifest, chosen)
    )


def axes(manifest: ManifestJson) -> list[str]:
    """Return the axes of a run: those of its sweep, and of worlds their number and what is drawn beside knobs.

    Args:
        manifest: of the run.
    """
    worlds = manifest["config"].get("worlds")
    return [*manifest["config"]["sweep"], *([WORLD, *worlds["keys"]] if worlds else [])]


def _check_memory(manifest: ManifestJson, shape: tuple[int, int, int]) -> None:
    """Raise `StoreError` if there is too little memory for all scores of a run, each of this shape."""
    needed, available = 4 * len(manifest["scores"]) * math.prod(shape), available_memory()
    if needed > available:
        raise StoreError(
            f"{manifest['name']}: its scores take {needed / 2**30:,.1f} GiB of memory, and there are "
            f"{available / 2**30:,.1f}; read fewer conditions, seeds or checkpoints"
        )


class _Gates:
    """What the gates of conditions make of their runs.

    Attributes:
        spent: share of its training that each run has spent until a gate rejected it.
        survives: which runs no gate has rejected.
    """

    spent: Float[np.ndarray, "condition seed"]
    survives: Bool[np.ndarray, "condition seed"]

    def __init__(self, manifest: ManifestJson, conditions: Sequence[ManifestJson], shape: tuple[int, int]):
        """Begin with no run rejected.

        Args:
            manifest: of the run.
            conditions: those of the dataset, as the manifest has them.
            shape: of the dataset's conditions and seeds.
        """
        self.spent, self.survives = np.ones(shape), np.ones(shape, bool)
        self.shares = [[share for share, _, _ in condition["gates"]] for condition in conditions]
        self.gates = [
            [(manifest["checkpoints"].index(share), score, mark) for share, score, mark in condition["gates"]]
            for condition in conditions
        ]
        self.stop_rejected = bool(manifest["config"].get("stop_rejected"))
        whole = {condition["leaf"] for condition in manifest["conditions"] if not condition["gates"]}
        self.stopping = np.array([condition["leaf"] not in whole for condition in conditions])

    def judge(self, row: int, columns: slice, scores: Mapping[str, Float[np.ndarray, "seed checkpoint"]]) -> None:
        """Judge some runs of a condition by its gates."""
        count = gates_survived(scores, self.gates[row])
        self.spent[row, columns] = np.array([*self.shares[row], 1.0])[count]
        self.survives[row, columns] = count == len(self.gates[row])

    def coordinates(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Return what results say of gates; nothing where there are none."""
        if not any(self.gates):
            return {}
        tables = {"spent": self.spent, "survives": self.survives}
        if self.stop_rejected:
            tables = {"stopped": ~self.survives & self.stopping[:, None], **tables}
        return {name: (AXES[:2], table) for name, table in tables.items()}


def _attributes(manifest: ManifestJson, conditions: Sequence[ManifestJson]) -> dict[str, object]:
    """Return the attributes of a run's results."""
    keys = ("name", "hash", "proxy", "thresholds", "baseline", "confidence", "question", "looks")
    return {
        **{key: manifest[key] for key in keys},
        "steps": manifest["config"]["training"]["steps"],
        "stop": manifest["config"].get("stop"),
        "partial": None,
        "knobs": {condition["name"]: condition["knobs"] for condition in conditions},
        # a run of an earlier version says nothing of them
        "schedules": {condition["name"]: condition.get("schedule") for condition in conditions},
    }
