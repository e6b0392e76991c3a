"""Runs on disk: one immutable file per shard, published atomically, named by its own checksum.

    RUN/manifest.json                    what the run is: config, versions, device, block width
    RUN/shards/c0003-s00000128.<sha256>.nc   scores of one distinct condition and one block of seeds

A shard's name ends in the SHA-256 of its bytes, so a file that was cut short, altered or only half written is never
taken for a result: it is reported, set aside and computed again. Two different results for the same shard are an
error and both stay. Nothing here depends on the clock, so the same run gives the same bytes.
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
import shutil
import signal
import socket
from pathlib import Path

import h5netcdf
import h5py
import numpy as np

FORMAT = 2
SHARD = re.compile(r"^c(\d{4,})-s(\d{8,})\.([0-9a-f]{64})\.nc$")
DAMAGED = ".damaged"
DAMAGED_MANIFEST = "damaged: its bytes do not fit its checksum; restore it, or run into another --out"


class StoreError(Exception):
    """A run folder that cannot be used as it is; the message says what to do."""


def failpoint(name):
    """Kill this process if LAB_FAILPOINT is `name`, or `name:n` on the n-th time. For tests of resuming."""
    wanted, _, count = os.environ.get("LAB_FAILPOINT", "").partition(":")
    if wanted == name:
        failpoint.passed = getattr(failpoint, "passed", 0) + 1
        if failpoint.passed >= int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)


def publish(path, data):
    """Write bytes so that `path` holds either nothing or all of them, whatever happens.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    failpoint("before-write")
    try:
        with open(temporary, "wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            failpoint("during-write")
            file.write(data[len(data) // 2 :])
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
        with contextlib.suppress(OSError):
            temporary.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            room = shutil.disk_usage(path.parent).free
            raise StoreError(
                f"no room to write {path} ({len(data):,} bytes needed, {room:,} free); "
                "make room and run the same command again"
            ) from None
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


@contextlib.contextmanager
def lock(path, name=".lock", shared=False):
    """Hold the run in folder `path`, made if need be, for this process; the lock ends with the process.

    Args:
        path: the run's folder.
        name: of the lock.
        shared: hold it together with others that do so.

    Raises:
        StoreError: another process holds it (the message names it), or the folder cannot be written.
    """
    try:
        (Path(path) / "shards").mkdir(parents=True, exist_ok=True)
        file = (Path(path) / name).open("a+")
    except OSError as error:
        raise StoreError(f"cannot write the run folder {path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise StoreError(f"{path} is in use by {owner}; wait for it or stop it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def holders(path):
    """Return who has written into the locks of a run, without touching them.

    Returns:
        A list of (owner in words, whether it still holds the lock: True, False, or None on another machine).
    """
    found = []
    for file in sorted(Path(path).glob(".lock*")):
        owner = file.read_text()
        if match := re.fullmatch(r"process (\d+) on (.+)", owner):
            found.append((owner, _alive(int(match[1])) if match[2] == socket.gethostname() else None))
    return found


def _alive(process):
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


class Run:
    """A run's folder.

    Attributes:
        path: the folder.
        manifest: what the run is, as plain JSON values.
    """

    def __init__(self, path):
        """Open an existing run.

        Raises:
            StoreError: there is none, or its manifest is damaged or of another format.
        """
        self.path = Path(path)
        file = self.path / "manifest.json"
        try:
            text = file.read_text()
        except OSError:
            raise StoreError(f"{self.path}: not a run (it has no readable manifest.json)") from None
        except UnicodeDecodeError:
            raise StoreError(f"{file}: {DAMAGED_MANIFEST}") from None
        try:
            self.manifest = json.loads(text)
            checksum = self.manifest.pop("checksum")
        except (ValueError, KeyError, AttributeError, TypeError):
            raise StoreError(f"{file}: {DAMAGED_MANIFEST}") from None
        if checksum != _digest(self.manifest):
            raise StoreError(f"{file}: {DAMAGED_MANIFEST}")
        if self.manifest["format"] != FORMAT:
            raise StoreError(f"{file}: format {self.manifest['format']}, this lab reads format {FORMAT}")

    @classmethod
    def create(cls, path, manifest):
        """Write a new run's manifest and open it, or replace the manifest of an existing one."""
        path = Path(path)
        manifest = {"format": FORMAT, **manifest}
        text = json.dumps({**manifest, "checksum": _digest(manifest)}, indent=1, sort_keys=True)
        publish(path / "manifest.json", text.encode())
        return cls(path)

    def shard(self, leaf, seed):
        """Return the stem of a shard's name: distinct condition `leaf`, block starting at `seed`."""
        return f"c{leaf:04d}-s{seed:08d}"

    def write(self, leaf, seed, variables):
        """Publish one shard as netCDF-4.

        Args:
            leaf: index of the distinct condition.
            seed: first seed of the block.
            variables: name -> (dims, array), with dims out of seed and checkpoint.

        Raises:
            StoreError: it cannot be written.
        """
        layout = tuple((name, dims, values.shape, values.dtype.str) for name, (dims, values) in variables.items())
        buffer = io.BytesIO(_empty_shard(layout, self.manifest["hash"]))
        with h5py.File(buffer, "r+") as file:
            for name, (_, values) in variables.items():
                file[name][...] = values
            file.attrs.modify("leaf", [leaf])
            file.attrs.modify("first_seed", [seed])
        data = buffer.getvalue()
        path = self.path / "shards" / f"{self.shard(leaf, seed)}.{hashlib.sha256(data).hexdigest()}.nc"
        publish(path, data)

    def read(self, path):
        """Return the variables in one shard, name -> array; raises as `check` does."""
        with self.check(path) as variables:
            return {name: variable[()] for name, variable in variables.items()}

    @contextlib.contextmanager
    def check(self, path):
        """Open a shard that is what its name says, as name -> `h5py.Dataset`; nothing is read yet but its labels.

        Raises:
            StoreError: the file belongs to another run or is another shard than its name says, or holds objects.
            ValueError: its bytes do not fit the checksum in its name.
        """
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != SHARD.match(path.name)[3]:
            raise ValueError("its bytes do not fit its checksum")
        # h5py alone reads in 2 ms what xarray reads in 40
        try:
            file = h5py.File(io.BytesIO(data))
            run, leaf, seed = (file.attrs[name] for name in ("run", "leaf", "first_seed"))
        except (OSError, KeyError):
            raise ValueError("it is not a shard") from None
        with file:
            variables = dict(file.items())  # to open one takes longer than to read it
            if strange := [name for name, own in variables.items() if own.dtype.kind not in "fi"]:
                raise StoreError(f"{path} holds {strange[0]}, which is not numbers; take it away")
            if run != self.manifest["hash"]:
                raise StoreError(f"{path} belongs to run {run}, not to run {self.manifest['hash']}; take it away")
            stem = self.shard(int(leaf[0]), int(seed[0]))
            if not path.name.startswith(f"{stem}."):
                raise StoreError(f"{path} holds shard {stem}; take it away")
            yield variables

    def shards(self):
        """Return {(leaf, first seed): path} of the files that are there, unread.

        Raises:
            StoreError: two different results for one shard.
        """
        found = {}
        for path in sorted(self.path.glob("shards/*.nc")):
            match = SHARD.match(path.name)
            if match is None:
                raise StoreError(f"{path}: not a shard of this lab; take it away")
            key = int(match[1]), int(match[2])
            if key in found:
                raise StoreError(f"two different results for the same shard: {found[key]} and {path}; keep one")
            found[key] = path
        return found

    def clean(self):
        """Remove what interrupted writes left and set damaged shards aside; return a line about each of these."""
        for path in [*self.path.glob(".*.tmp"), *self.path.glob("shards/.*.tmp")]:
            path.unlink()
        said = []
        for path in self.shards().values():
            try:
                with self.check(path):
                    pass
            except ValueError as error:
                os.replace(path, path.with_name(path.name + DAMAGED))
                said.append(f"{path.name[:14]} is damaged ({error}); it is set aside and computed again")
        return said


@functools.lru_cache(maxsize=16)
def _empty_shard(layout, run):
    """Return the bytes of a shard without its numbers; to lay one out takes much longer than to fill it in.

    Args:
        layout: (name, dims, shape, dtype) of each variable.
        run: hash of the run.
    """
    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for name, dims, shape, dtype in layout:
            for dim, size in zip(dims, shape, strict=True):
                file.dimensions.setdefault(dim, size)
            file.create_variable(name, dims, data=np.zeros(shape, dtype))
        file.attrs.update(run=run, leaf=0, first_seed=0, format=FORMAT)
    return buffer.getvalue()


def _digest(manifest):
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
