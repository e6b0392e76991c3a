"""What takes long to make, as bytes, kept on disk from process to process in the user's cache folder.

That are compiled programs (`lab.training.population.compiled`) and the scripts of a page (`lab.report.page`). Whoever
keeps one names all that it depends on. A file is published
whole, holds the checksum of its bytes, and is no longer there if those do not fit. Whatever is wrong with the folder,
programs are then compiled as if there were none. Nothing here imports JAX.
"""

import contextlib
import hashlib
import os
import secrets
import sys
from pathlib import Path

VARIABLE = "PROXY_LAB_CACHE"  # another folder; none at all if it is empty
MOST = 2**28  # bytes of programs that are kept; those that were used last
ENDING = ".program"  # of a file; no other one is touched
DIGEST = hashlib.sha256().digest_size


def folder() -> Path | None:
    """Return where programs are kept, or None if nowhere: where this system has its caches, or as `VARIABLE` says."""
    if (own := os.environ.get(VARIABLE)) is not None:
        return Path(own).expanduser() if own else None
    if sys.platform == "darwin":
        return Path("~/Library/Caches/proxy-lab").expanduser()
    # a relative path there is to be ignored (XDG Base Directory Specification 0.8)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path("~/.cache").expanduser()) / "proxy-lab"


def load(key: str) -> bytes | None:
    """Return a program, or None if there is none, or it is damaged.

    Args:
        key: of all that it depends on.
    """
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: there is no home
        if (path := _path(key)) is not None and _own(path.parent):
            content = path.read_bytes()
            if hashlib.sha256(content[DIGEST:]).digest() == content[:DIGEST]:
                os.utime(path)
                return content[DIGEST:]
    return None


def save(key: str, program: bytes) -> None:
    """Keep a program, if that can be done, and take the oldest away if they are too many.

    Args:
        key: of all that it depends on.
        program: what `load` shall return.
    """
    with contextlib.suppress(OSError, RuntimeError):
        if (path := _path(key)) is None:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _own(path.parent):
            return
        temporary = path.with_name(f"{secrets.token_hex(8)}{ENDING}")
        try:
            with open(temporary, "xb") as file:
                file.write(hashlib.sha256(program).digest() + program)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _trim(path.parent)


def _path(key: str) -> Path | None:
    """Return the file of a program, or None if programs are not kept."""
    where = folder()
    return where and where / f"{hashlib.sha256(key.encode()).hexdigest()}{ENDING}"


def _own(place: Path) -> bool:
    """Return whether nobody but this user can put a program into a folder: it would be run."""
    about = place.stat()
    return not hasattr(os, "getuid") or (about.st_uid == os.getuid() and not about.st_mode & 0o022)


def _trim(place: Path) -> None:
    """Take programs away, those that were not used for longest first, until all that are left are `MOST` bytes."""
    room = MOST
    for file in sorted(place.glob(f"*{ENDING}"), key=lambda file: file.stat().st_mtime, reverse=True):
        room -= file.stat().st_size
        if room < 0:
            file.unlink()
