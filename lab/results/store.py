"""Runs on disk: a folder with a manifest and one immutable file per shard, each published atomically.

    RUN/manifest.json                            what the run is: config, versions, device, block width
    RUN/shards/<leaf>-s00000128.<sha256>.nc      scores of one distinct condition and one block of seeds

What a shard holds is the matter of `lab.results.shards`. Two different results for the same shard are an error and
both stay. A run that was trained elsewhere has a table instead of shards (`lab.results.observed`). Nothing here depends
on the clock, so the same run gives the same bytes.

A run may come from elsewhere. No link is followed and nothing but a regular file of a plausible size is read.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import signal
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from lab.config.schema import KINDS, Leaf, Manifest, ObservedManifest

PathLike = str | os.PathLike[str]
ManifestJson = dict[str, Any]  # what `lab.config.schema.Manifest` says, as plain JSON values
ShardKey = tuple[Leaf, int]  # what was trained, and the first seed of the block

OBSERVED = "observed"  # the kind of a run that was trained elsewhere (`lab.results.observed`)
FORMAT = 3
READABLE = (2, 3)
SHARD = re.compile(r"^(?P<leaf>c\d{4,8}|[0-9a-f]{16})-s(?P<seed>\d{8,10})\.(?P<checksum>[0-9a-f]{64})\.nc$")
OWNER = re.compile(r"process (?P<process>\d{1,10}) on (?P<host>.+)")
TEMPORARY = re.compile(r"^\.(manifest\.json|.*\.nc)\.[0-9a-f]{16}\.tmp$")
DAMAGED_MANIFEST = "damaged: its bytes do not fit its checksum; restore it, or run into another --out"
OWN_FILES = re.compile(r"^(\.lock.*|\..*\.tmp|\.DS_Store|shards|figures|export|observed\.csv)$")
MOST_MANIFEST = 2**28  # bytes; 100,000 conditions of 50 knobs are 200 MB
MOST_LOCK = 1_000  # bytes; the name of a host has at most 255

_passed: dict[str, int] = {}  # failpoint -> how often this process has passed it


class StoreError(Exception):
    """A run folder that cannot be used as it is; the message says what to do."""


# --- files ------------------------------------------------------------------------------------------------------------


def failpoint(name: str) -> None:
    """Kill this process if LAB_FAILPOINT is `name`, or `name:n` on the n-th time. For tests of resuming."""
    wanted, _, count = os.environ.get("LAB_FAILPOINT", "").partition(":")
    if wanted == name:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] >= int(count or 1):
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


def check_vacant(path: PathLike) -> None:
    """Raise `StoreError` if a folder that is no run yet holds files of somebody else's."""
    try:
        names = sorted(os.listdir(path))
    except OSError:  # there is no such folder, or `lock` says what is wrong with it
        return
    strange = [name for name in names if not OWN_FILES.match(name)]
    if strange and "manifest.json" not in names:
        raise StoreError(f"{path} is no run and holds other files ({strange[0]}): give --out a folder of its own")


@contextlib.contextmanager
def lock(path: PathLike, name: str = ".lock", shared: bool = False) -> Iterator[None]:
    """Hold the run in folder `path`, made if need be, for this process; the lock ends with the process.

    Args:
        path: the run's folder.
        name: of the lock.
        shared: hold it together with others that do so.

    Raises:
        StoreError: another process holds it (the message names it), or the folder cannot be written.
    """
    lock_file = Path(path) / name
    inner_folder(Path(path), "shards")
    try:
        descriptor = open_regular(lock_file, os.O_RDWR | os.O_CREAT)
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
            raise StoreError(f"cannot write {lock_file}: {error.strerror}") from None
        yield


def holders(path: PathLike) -> list[tuple[str, bool | None]]:
    """Return who has written into the locks of a run, without touching them.

    Returns:
        A list of (owner in words, whether it still holds the lock: True, False, or None on another machine).
    """
    owners = []
    for file in sorted(Path(path).glob(".lock*")):
        with contextlib.suppress(StoreError, OSError, UnicodeDecodeError):
            owner = read_regular(file, MOST_LOCK).decode()
            if match := OWNER.fullmatch(owner):
                this_machine = match["host"] == socket.gethostname()
                owners.append((owner, _holds_a_lock(int(match["process"])) if this_machine else None))
    return owners


def _holds_a_lock(process: int) -> bool:
    """Return whether a process of this machine holds a lock; where the system does not list locks, whether it lives."""
    try:
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        locks = []
    if locks:
        return any(fields[1] == "FLOCK" and fields[4] == str(process) for fields in locks)
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

    def __init__(self, path: PathLike, marks: Mapping[str, float] | None = None, proxy: str | None = None):
        """Open an existing run.

        Args:
            path: its folder.
            marks: score -> pass mark, instead of those that it was trained with; for reading alone.
            proxy: score that decides who passes, instead of the run's own; for reading alone.

        Raises:
            StoreError: there is none, its manifest is damaged, untrue or of another format, or workers of an older lab
                may have exchanged its rows.
            ValueError: it has no such score, a mark is no number, or nothing says what the mark of the proxy is.
        """
        self.path = Path(os.path.expanduser(path))
        self.manifest = _with_marks(_read_manifest(self.path / "manifest.json"), marks or {}, proxy)
        self.maker = "" if self.observed else maker(self.manifest)
        if self.manifest["format"] == 2 and _rows_may_be_exchanged(self.path, self.manifest):
            raise StoreError(
                f"{self.path}: workers of an older lab trained it and numbered its conditions in alphabetical order, "
                "so its rows may carry each other's names; train it again"
            )

    @property
    def observed(self) -> bool:
        """Whether it was trained elsewhere, and a table of it was imported."""
        return self.manifest.get("kind") == OBSERVED

    @classmethod
    def create(cls, path: PathLike, manifest: ManifestJson) -> "Run":
        """Write a new run's manifest and open it, or replace the manifest of an existing one.

        Raises:
            StoreError: it says something that no manifest may say, or cannot be written.
        """
        path = Path(path)
        manifest = check_manifest({"format": FORMAT, **manifest}, path / "manifest.json")
        text = json.dumps({**manifest, "checksum": _digest(manifest)}, indent=1)
        publish(path / "manifest.json", text.encode())
        return cls(path)

    def shard_stem(self, leaf: str, seed: int) -> str:
        """Return how a shard's name begins: its distinct condition `leaf`, and the block that starts at `seed`."""
        return f"{leaf}-s{seed:08d}"

    def shards(self) -> dict[ShardKey, Path]:
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
            key = match["leaf"], int(match["seed"])
            if key in shards:
                raise StoreError(f"two different results for the same shard: {shards[key]} and {path}; keep one")
            shards[key] = path
        return shards


def _with_marks(manifest: ManifestJson, marks: Mapping[str, float], proxy: str | None) -> ManifestJson:
    """Return a manifest with other pass marks and another proxy."""
    for name in (*marks, *([proxy] if proxy else [])):
        if name not in manifest["scores"]:
            raise ValueError(f"no score {name!r}; known: {', '.join(manifest['scores'])}")
    observed = manifest.get("kind") == OBSERVED
    if strange := [name for name, mark in marks.items() if not (0 <= mark <= 1 or (observed and math.isfinite(mark)))]:
        where = "be a number" if observed else "lie between 0 and 1, as scores do"
        raise ValueError(f"the pass mark of {strange[0]} must {where}, not {marks[strange[0]]}")
    if words := sorted(marks.keys() & manifest.get("words", {}).keys()):
        raise ValueError(f"{words[0]} is a word in the table, not a number: import it again for another mark")
    proxy, thresholds = proxy or manifest["proxy"], {**manifest["thresholds"], **marks}
    if proxy not in thresholds:
        raise ValueError(f"the run has no pass mark of {proxy!r}: give one (--mark {proxy}=NUMBER)")
    return {**manifest, "thresholds": thresholds, "proxy": proxy}


def _read_manifest(file: Path) -> ManifestJson:
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
    return check_manifest(manifest, file)


def check_manifest(manifest: ManifestJson, file: Path) -> ManifestJson:
    """Return a manifest with every key that it may have, as plain JSON values.

    Args:
        manifest: what may be one.
        file: its name in errors.

    Raises:
        StoreError: it says something that no manifest may say.
    """
    try:
        kind = ObservedManifest if manifest.get("kind") == OBSERVED else Manifest
        return kind.model_validate_json(json.dumps(manifest)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part not in KINDS)
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("should", "must")
        raise StoreError(f"{file}: not a manifest of this lab: {key + ': ' if key else ''}{message}") from None


def _from_format_2(manifest: ManifestJson) -> ManifestJson:
    """Return a manifest of format 2 with leaves called as its shards are; what is not as it should be is left alone."""
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        conditions = [{**condition, "leaf": f"c{condition['leaf']:04d}"} for condition in manifest["conditions"]]
        seeds = manifest.get("leaf_seeds")
        named = seeds and {f"c{leaf:04d}": count for leaf, count in enumerate(seeds)}
        return {**manifest, "conditions": conditions, "leaf_seeds": named}
    return manifest


def _rows_may_be_exchanged(path: Path, manifest: ManifestJson) -> bool:
    """Return whether workers may have exchanged rows of a run of format 2.

    They numbered conditions as if regimens and axes had been written in alphabetical order.
    """
    if not any(path.glob(".lock-*-of-*")):
        return False
    regimens = [condition["regimen"] for condition in manifest["conditions"]]
    axes = [[part.partition("=")[0] for part in condition["name"].split()[1:]] for condition in manifest["conditions"]]
    orders = [list(dict.fromkeys(regimens)), *axes]
    return any(order != sorted(order) for order in orders)


def maker(manifest: ManifestJson) -> str:
    """Return a digest of what the bytes of a run's shards depend on besides what is trained: code, versions, device."""
    made = {"identity": manifest["identity"], "block_width": manifest["block_width"]}
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


def _digest(manifest: ManifestJson, version: int = FORMAT) -> str:
    """Return the checksum of a manifest; of format 2 it did not see the order of keys."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=version == 2).encode()).hexdigest()
