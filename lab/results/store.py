"""Runs on disk: one immutable file per shard, published atomically, named by what was trained and by its own checksum.

    RUN/manifest.json                            what the run is: config, versions, device, block width
    RUN/shards/<leaf>-s00000128.<sha256>.nc      scores of one distinct condition and one block of seeds

A leaf is a digest of everything that decides how its models are trained, so a shard belongs to a condition by what the
condition is, never by its place in a list. A shard's name ends in the SHA-256 of its bytes: a file that was cut short,
altered or only half written is never taken for a result, but reported, set aside and computed again. What a shard
holds is compared with what it should hold before a number of it is used. Two different results for the same shard are
an error and both stay. Nothing here depends on the clock, so the same run gives the same bytes.

A run may come from elsewhere. No link is followed and nothing but a regular file of a plausible size is read.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5netcdf
import h5py
import numpy as np
from pydantic import ValidationError

from lab.config.schema import KINDS, MAX_SEED, Manifest

FORMAT = 3
READABLE = (2, 3)
SHARD = re.compile(r"^(c\d{4,8}|[0-9a-f]{16})-s(\d{8,10})\.([0-9a-f]{64})\.nc$")
TEMPORARY = re.compile(r"^\.(manifest\.json|.*\.nc)\.[0-9a-f]{16}\.tmp$")
DAMAGED = ".damaged"
DAMAGED_MANIFEST = "damaged: its bytes do not fit its checksum; restore it, or run into another --out"
OWN_FILES = re.compile(r"^(\.lock.*|\..*\.tmp|\.DS_Store|shards|figures|export)$")
MOST_MANIFEST = 2**28  # bytes; 10,000 conditions of 50 knobs are 20 MB
MOST_LOCK = 1_000
HEADER = 2**20  # bytes of a shard that are not numbers, at most
ROUNDING = 1e-4  # by which a sum of shares may leave [0, 1]


class StoreError(Exception):
    """A run folder that cannot be used as it is; the message says what to do."""


# --- files ------------------------------------------------------------------------------------------------------------


def failpoint(name: str) -> None:
    """Kill this process if LAB_FAILPOINT is `name`, or `name:n` on the n-th time. For tests of resuming."""
    wanted, _, count = os.environ.get("LAB_FAILPOINT", "").partition(":")
    if wanted == name:
        failpoint.passed = getattr(failpoint, "passed", 0) + 1
        if failpoint.passed >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)


def open_regular(path: Path, flags: int) -> int:
    """Open a file and return its descriptor.

    Raises:
        StoreError: it is a link, or no regular file.
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise StoreError(f"{path}: a link or a device, which no run holds; take it away") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"{path}: not a regular file; take it away")
    return descriptor


def read_regular(path: Path, most: int) -> bytes:
    """Return the bytes of a file.

    Args:
        path: of the file.
        most: bytes that such a file can have.

    Raises:
        StoreError: it is a link, no regular file, or larger.
        OSError: it cannot be read.
    """
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise StoreError(f"{path}: {size:,} bytes, and such a file has at most {most:,}; take it away")
        return file.read(most)


@contextlib.contextmanager
def publishing(path: Path, size: int | None = None) -> Iterator[BinaryIO]:
    """Give a file to write; afterwards `path` holds all of it, or what it held before, whatever happens.

    The file is made new under a name that nobody can foresee and moved into place, so no link is ever written through.

    Args:
        path: of the file.
        size: bytes that will be written, if known, for the message when there is no room for them.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    failpoint("before-write")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        failpoint("before-rename")
        os.replace(temporary, path)
        failpoint("after-rename")
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            needed = "" if size is None else f"{size:,} bytes needed, "
            raise StoreError(
                f"no room to write {path} ({needed}{shutil.disk_usage(path.parent).free:,} free); "
                "make room and run the same command again"
            ) from None
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def publish(path: Path, data: bytes) -> None:
    """Write bytes so that `path` holds either all of them or what it held before. Raises as `publishing` does."""
    with publishing(path, len(data)) as file:
        file.write(data[: len(data) // 2])
        file.flush()
        failpoint("during-write")
        file.write(data[len(data) // 2 :])


def inner_folder(run: Path, name: str) -> Path:
    """Return a folder of a run, made if need be.

    Raises:
        StoreError: it is a link, or cannot be made.
    """
    folder = run / name
    try:
        if folder.is_symlink():
            raise StoreError(f"{folder}: a link, through which nothing is written; take it away, or give an --out")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write the run folder {run}: {error.strerror}") from None
    return folder


def check_vacant(path: Path) -> None:
    """Raise `StoreError` if a folder that is no run yet holds files of somebody else's."""
    try:
        names = sorted(os.listdir(path))
    except OSError:  # there is no such folder, or `lock` says what is wrong with it
        return
    strange = [name for name in names if not OWN_FILES.match(name)]
    if strange and "manifest.json" not in names:
        raise StoreError(f"{path} is no run and holds other files ({strange[0]}): give --out a folder of its own")


@contextlib.contextmanager
def lock(path: Path, name: str = ".lock", shared: bool = False) -> Iterator[None]:
    """Hold the run in folder `path`, made if need be, for this process; the lock ends with the process.

    Args:
        path: the run's folder.
        name: of the lock.
        shared: hold it together with others that do so.

    Raises:
        StoreError: another process holds it (the message names it), or the folder cannot be written.
    """
    place = Path(path) / name
    inner_folder(Path(path), "shards")
    try:
        descriptor = open_regular(place, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StoreError(f"cannot write the run folder {path}: {error.strerror}") from None
    with open(descriptor, "r+") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            owner = file.read(MOST_LOCK).strip() or "another process"
            raise StoreError(f"{path} is in use by {owner}; wait for it or stop it") from None
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        except OSError as error:
            raise StoreError(f"cannot write {place}: {error.strerror}") from None
        yield


def holders(path: Path) -> list[tuple[str, bool | None]]:
    """Return who has written into the locks of a run, without touching them.

    Returns:
        A list of (owner in words, whether it still holds the lock: True, False, or None on another machine).
    """
    owners = []
    for file in sorted(Path(path).glob(".lock*")):
        with contextlib.suppress(StoreError, OSError, UnicodeDecodeError):
            owner = read_regular(file, MOST_LOCK).decode()
            if match := re.fullmatch(r"process (\d{1,10}) on (.+)", owner):
                owners.append((owner, _alive(int(match[1])) if match[2] == socket.gethostname() else None))
    return owners


def _alive(process: int) -> bool:
    """Return whether a process of this machine holds a lock; where the system does not list locks, whether it lives."""
    try:
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        held = []
    if held:
        return any(fields[1] == "FLOCK" and fields[4] == str(process) for fields in held)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


# --- runs -------------------------------------------------------------------------------------------------------------


class Run:
    """A run's folder.

    Attributes:
        path: the folder.
        manifest: what the run is, as plain JSON values; checked by `lab.config.schema.Manifest`.
        maker: digest of what the bytes of new shards depend on besides what is trained.
    """

    def __init__(self, path: Path):
        """Open an existing run.

        Raises:
            StoreError: there is none, its manifest is damaged, untrue or of another format, or workers of an older lab
                may have exchanged its rows.
        """
        self.path = Path(os.path.expanduser(path))
        self.manifest = _read_manifest(self.path / "manifest.json")
        self.maker = maker(self.manifest)
        if self.manifest["format"] == 2 and _exchanged(self.path, self.manifest):
            raise StoreError(
                f"{self.path}: workers of an older lab trained it and numbered its conditions in alphabetical order, "
                "so its rows may carry each other's names; train it again"
            )

    @classmethod
    def create(cls, path: Path, manifest: dict[str, Any]) -> "Run":
        """Write a new run's manifest and open it, or replace the manifest of an existing one.

        Raises:
            StoreError: it says something that no manifest may say, or cannot be written.
        """
        path = Path(path)
        manifest = checked({"format": FORMAT, **manifest}, path / "manifest.json")
        text = json.dumps({**manifest, "checksum": _digest(manifest)}, indent=1)
        publish(path / "manifest.json", text.encode())
        return cls(path)

    def shard(self, leaf: str, seed: int) -> str:
        """Return the stem of a shard's name: distinct condition `leaf`, block starting at `seed`."""
        return f"{leaf}-s{seed:08d}"

    def write(self, leaf: str, seed: int, variables: dict[str, tuple[tuple[str, ...], np.ndarray]]) -> None:
        """Publish one shard as netCDF-4.

        Args:
            leaf: digest of what was trained.
            seed: first seed of the block.
            variables: name -> (dims, array), with dims out of seed and checkpoint.

        Raises:
            StoreError: it cannot be written, or holds what no shard may hold.
        """
        if problem := self._problem({name: values for name, (_, values) in variables.items()}, seed):
            raise StoreError(f"a model of {leaf} from seed {seed} on has no score that can be stored: {problem}")
        layout = tuple((name, dims, values.shape, values.dtype.str) for name, (dims, values) in variables.items())
        buffer = io.BytesIO(_empty_shard(layout, self.manifest["trains"], self.maker))
        with h5py.File(buffer, "r+") as file:
            for name, (_, values) in variables.items():
                file[name][...] = values
            file.attrs.modify("leaf", np.array([int(leaf, 16)], np.uint64))
            file.attrs.modify("first_seed", [seed])
        data = buffer.getvalue()
        publish(self.path / "shards" / f"{self.shard(leaf, seed)}.{hashlib.sha256(data).hexdigest()}.nc", data)

    def read(self, path: Path) -> dict[str, np.ndarray]:
        """Return the variables in one shard, name -> array, once all of it is what it should be.

        Raises:
            StoreError: the file belongs to another run or is another shard than its name says, or holds what no shard
                of this run may hold.
            ValueError: its bytes do not fit the checksum in its name, or it is no netCDF file.
        """
        match, names = SHARD.match(path.name), ("seed", "checkpoint", *self.manifest["scores"])
        width, checkpoints = self.manifest["block_width"], len(self.manifest["checkpoints"])
        data = read_regular(path, HEADER + 16 * width * checkpoints * len(names))
        if hashlib.sha256(data).hexdigest() != match[3]:
            raise ValueError("its bytes do not fit its checksum")
        try:
            _check_heaps(data)
            with h5py.File(io.BytesIO(data)) as file:  # h5py alone reads in 2 ms what xarray reads in 40
                self._check_labels(path, file)
                if problem := _unlike(file, names, width, checkpoints):
                    raise StoreError(f"{path} {problem}; take it away")
                variables = {name: file[name][()] for name in names}
        except (OSError, ValueError, KeyError, OverflowError, RuntimeError, TypeError):  # whatever HDF5 stumbles over
            raise ValueError("it is not a shard") from None
        if problem := self._problem(variables, int(match[2])):
            raise StoreError(f"{path}: {problem}; take it away")
        return variables

    def _check_labels(self, path: Path, file: h5py.File) -> None:
        """Raise `StoreError` unless a shard says that it is what its name says, of this run and made as this run is."""
        try:
            run, leaf, seed = (
                file.attrs["run"],
                *(int(np.ravel(file.attrs[name])[0]) for name in ("leaf", "first_seed")),
            )
            old = self.manifest["format"] == 2  # whose shards do not say how they were made
            leaf, made = (f"c{leaf:04d}", self.maker) if old else (f"{leaf:016x}", file.attrs["maker"])
        except (OSError, KeyError, ValueError, TypeError, IndexError):
            raise StoreError(f"{path}: not a shard of this lab; take it away") from None
        own = self.manifest["trains"] or self.manifest["hash"]
        if run != own:
            raise StoreError(f"{path} belongs to run {run}, not to run {own}; take it away")
        if not path.name.startswith(f"{self.shard(leaf, seed)}."):
            raise StoreError(f"{path} holds shard {self.shard(leaf, seed)}; take it away")
        if made not in (self.maker, *self.manifest.get("accepted", [])):
            raise StoreError(f"{path} was trained with other code, versions or devices than this run; take it away")

    def _problem(self, variables: dict[str, np.ndarray], seed: int) -> str | None:
        """Return what is wrong with the variables of a shard that begins with a seed, in words, or None."""
        if missing := {"seed", "checkpoint", *self.manifest["scores"]} ^ variables.keys():
            return f"{sorted(missing)[0]} is missing or is none of its scores"
        seeds, checkpoints = variables["seed"], variables["checkpoint"]
        if not np.array_equal(seeds, np.arange(seed, seed + len(seeds))) or seeds[-1] >= MAX_SEED:
            return f"seeds are not {seed}, {seed + 1}, ..."
        if not np.array_equal(checkpoints, self.manifest["checkpoints"]):
            return "checkpoints are not those of the run"
        for name in self.manifest["scores"]:
            known = variables[name][np.isfinite(variables[name])]
            if known.size and not (known.min() >= -ROUNDING and known.max() <= 1 + ROUNDING):
                return f"{name} is {known.max() if known.max() > 1 else known.min():g}, outside [0, 1]"
        return None

    def shards(self) -> dict[tuple[str, int], Path]:
        """Return {(leaf, first seed): path} of the files that are there, unread; files with a dot in front are not.

        Raises:
            StoreError: two different results for one shard.
        """
        if (self.path / "shards").is_symlink():
            raise StoreError(f"{self.path / 'shards'}: a link, which no run holds; take it away")
        shards = {}
        for path in sorted(self.path.glob("shards/*.nc")):
            if path.name.startswith("."):
                continue
            match = SHARD.match(path.name)
            if match is None:
                raise StoreError(f"{path}: not a shard of this lab; take it away")
            key = match[1], int(match[2])
            if key in shards:
                raise StoreError(f"two different results for the same shard: {shards[key]} and {path}; keep one")
            shards[key] = path
        return shards

    def damaged(self, keys: Iterable[tuple[str, int]] | None = None) -> dict[Path, str]:
        """Return path -> what is wrong of the shards whose bytes are damaged; raises as `read` does for foreign ones.

        Args:
            keys: (leaf, first seed) of those to look at; all by default.
        """
        files, damaged = self.shards(), {}
        for key in files if keys is None else keys:
            try:
                self.read(files[key])
            except ValueError as error:
                damaged[files[key]] = str(error)
        return damaged

    def clean(self) -> list[str]:
        """Remove what interrupted writes left and set damaged shards aside; return a line about each of these.

        Only for who holds the lock by himself: others may be writing.
        """
        for path in [*self.path.glob(".*.tmp"), *self.path.glob("shards/.*.tmp")]:
            if TEMPORARY.match(path.name):
                path.unlink()
        lines = []
        for path, problem in self.damaged().items():
            os.replace(path, path.with_name(path.name + DAMAGED))
            lines.append(f"{path.name.split('.')[0]} is damaged ({problem}); it is set aside and computed again")
        return lines


def _read_manifest(file: Path) -> dict[str, Any]:
    """Return a manifest, checked; raises as `Run` does."""
    try:
        text = read_regular(file, MOST_MANIFEST)
    except OSError:
        raise StoreError(f"{file.parent}: not a run (it has no readable manifest.json)") from None
    try:
        manifest = json.loads(text)
        checksum, version = manifest.pop("checksum"), manifest["format"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise StoreError(f"{file}: {DAMAGED_MANIFEST}") from None
    if checksum != _digest(manifest, version):
        raise StoreError(f"{file}: {DAMAGED_MANIFEST}")
    if version not in READABLE or isinstance(version, bool):
        known = " and ".join(map(str, READABLE))
        raise StoreError(f"{file}: format {json.dumps(version)}, this lab reads formats {known}")
    if version == 2:
        manifest = _from_format_2(manifest)
    return checked(manifest, file)


def checked(manifest: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return a manifest with every key that it may have, as plain JSON values.

    Args:
        manifest: what may be one.
        file: its name in errors.

    Raises:
        StoreError: it says something that no manifest may say.
    """
    try:
        return Manifest.model_validate_json(json.dumps(manifest)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part not in KINDS)
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must")
        raise StoreError(f"{file}: not a manifest of this lab: {key + ': ' if key else ''}{message}") from None


def _from_format_2(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of format 2 with leaves called as its shards are; what is not as it should be is left alone."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        conditions = [{**condition, "leaf": f"c{condition['leaf']:04d}"} for condition in manifest["conditions"]]
        seeds = manifest.get("leaf_seeds")
        named = seeds and {f"c{leaf:04d}": count for leaf, count in enumerate(seeds)}
        return {**manifest, "conditions": conditions, "leaf_seeds": named}
    return manifest


def _exchanged(path: Path, manifest: dict[str, Any]) -> bool:
    """Return whether workers may have exchanged rows of a run of format 2.

    They numbered conditions as if regimens and axes had been written in alphabetical order.
    """
    if not any(path.glob(".lock-*-of-*")):
        return False
    regimens = [condition["regimen"] for condition in manifest["conditions"]]
    axes = [[part.partition("=")[0] for part in condition["name"].split()[1:]] for condition in manifest["conditions"]]
    orders = [list(dict.fromkeys(regimens)), *axes]
    return any(order != sorted(order) for order in orders)


def maker(manifest: dict[str, Any]) -> str:
    """Return a digest of what the bytes of a run's shards depend on besides what is trained: code, versions, device."""
    made = {"identity": manifest["identity"], "block_width": manifest["block_width"]}
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def _check_heaps(data: bytes) -> None:
    """Raise a ValueError if HDF5 would follow the texts of a file for ever (HDFGroup/hdf5#1707).

    It walks from one to the next in a heap by the sizes that stand there, and does not move on at a size of 0 ("HDF5
    File Format Specification", section III.E, global heap).
    """
    sizes = {0: data[13:15], 1: data[13:15], 2: data[9:11], 3: data[9:11]}.get(data[8] if len(data) > 8 else None)
    if not data.startswith(b"\x89HDF\r\n\x1a\n") or sizes != b"\x08\x08":
        raise ValueError("it does not begin as a shard does")
    for heap in re.finditer(rb"GCOL\x01", data):
        place, end = heap.start() + 16, heap.start() + int.from_bytes(data[heap.start() + 8 :][:8], "little")
        while place + 16 <= end <= len(data):
            index, size = struct.unpack_from("<H6xQ", data, place)
            step = 16 + size + -size % 8 if index else size  # the free space at the end counts its own header
            if not 16 <= step <= end - place:
                break
            place += step
        if not end - 16 < place <= end <= len(data):
            raise ValueError("its texts do not end")


def _unlike(file: h5py.File, names: tuple[str, ...], width: int, checkpoints: int) -> str | None:
    """Return in which way a file does not hold arrays of the right kind and shape in its own bytes, or None.

    Nothing is read yet: a file of a few bytes may declare any amount of numbers, or keep them in other files.
    """
    kinds = {"seed": "<i8", "checkpoint": "<f8"}
    seeds = None
    for name in sorted({*names, *file}, key=lambda name: name != "seed"):
        if name not in names:
            return f"holds {name}, which is none of its scores"
        if name not in file or not isinstance(file.get(name, getlink=True), h5py.HardLink):
            return f"lacks {name}"
        variable = file[name]
        if not isinstance(variable, h5py.Dataset):
            return f"holds {name}, which is not an array"
        kind = np.dtype(kinds.get(name, "<f4"))
        if variable.dtype != kind:
            return f"holds {name}, which is not numbers of type {kind.name}"
        seeds = variable.shape[0] if name == "seed" and len(variable.shape) == 1 else seeds
        shape = {"seed": (seeds,), "checkpoint": (checkpoints,)}.get(name, (seeds, checkpoints))
        if variable.shape != shape or seeds is None or not 1 <= seeds <= width:
            return f"holds {name} of shape {variable.shape}, not {shape}"
        if variable.external or variable.is_virtual or variable.chunks:
            return f"holds {name}, whose numbers are elsewhere or packed"
    return None


@functools.lru_cache(maxsize=16)
def _empty_shard(layout: tuple[tuple[str, tuple[str, ...], tuple[int, ...], str], ...], run: str, made: str) -> bytes:
    """Return the bytes of a shard without its numbers; to lay one out takes much longer than to fill it in.

    Args:
        layout: (name, dims, shape, dtype) of each variable.
        run: digest of what the run trains.
        made: digest of how.
    """
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for name, dims, shape, dtype in layout:
            for dim, size in zip(dims, shape, strict=True):
                file.dimensions.setdefault(dim, size)
            file.create_variable(name, dims, data=np.zeros(shape, dtype))
        file.attrs.update(run=run, leaf=np.uint64([0]), maker=made, first_seed=0, format=FORMAT)
    return buffer.getvalue()


def _digest(manifest: dict[str, Any], version: int = FORMAT) -> str:
    """Return the checksum of a manifest; of format 2 it did not see the order of keys."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=version == 2).encode()).hexdigest()
