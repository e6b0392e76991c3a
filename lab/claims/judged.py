"""The verdicts on all claims as they were last judged, kept beside their counts so that reading them judges nothing.

Judging takes half a minute, because a rule compares thousands of pairs by draws. A verdict follows from its counts and
from code, so the table keeps a checksum of both. A claim whose counts or whose code are not as they were is not read
here: `lab.claims.book.table` judges it again.
"""

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lab.words import Json

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "figures/claims"
FILE = "verdicts.json"
SUPPORTED, CONTRADICTED, DEPENDS, UNDECIDED = VERDICTS = ("supported", "contradicted", "depends", "undecided")
NOT_RUN = "not run"
CHANGED_IN_WORDS = "rule changed after its counts"  # in tables
CODE = (  # what a verdict follows from, beside its counts
    "experiments/claims/*.py",
    "lab/claims/*.py",
    "lab/statistics/*.py",
    "lab/ideas/*.py",
    "lab/results/*.py",
    "lab/studies/*.py",
    "lab/decision.py",
    "lab/words.py",
)


class ClaimError(ValueError):
    """There is no such claim, or no experiments at all."""


class Verdict(NamedTuple):
    """What a rule says of one task.

    Attributes:
        verdict: one of `VERDICTS`.
        why: the numbers that decided, in words.
        by_mark: how the verdict moves with the mark of alignment, in words; nothing where outcomes are not graded.
    """

    verdict: str
    why: str
    by_mark: str = ""

    @property
    def in_words(self) -> str:
        """The verdict, and how it moves with the mark of alignment."""
        return f"{self.verdict} ({self.by_mark})" if self.by_mark else self.verdict

    @property
    def measured(self) -> str:
        """The numbers that decided, and how the verdict moves with the mark of alignment."""
        return f"{self.why}; {self.by_mark}" if self.by_mark else self.why


def checked_folder(to: Path | str | None) -> Path:
    """Return the folder of counts, the project's own by default.

    Args:
        to: the folder.

    Raises:
        ClaimError: there is no such folder.
    """
    if to and not Path(to).is_dir():
        raise ClaimError(f"{to}: no such folder")
    return Path(to or FIGURES)


@functools.cache
def names() -> list[str]:
    """Return the names of all claims: modules of experiments/claims/ that have a `judge`. Raises `ClaimError`."""
    folder = ROOT / "experiments/claims"
    if not folder.is_dir():
        raise ClaimError(
            "claims are experiments of the project's own folder, which an installed package lacks: clone it"
        )
    return sorted(path.stem for path in folder.glob("*.py") if "\ndef judge(stored" in path.read_text())


@functools.cache
def code_checksum() -> str:
    """Return a checksum of the code that verdicts follow from."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in ROOT.glob(pattern)):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def counts_checksum(folder: Path, name: str) -> str:
    """Return a checksum of the stored counts of a claim, or an empty text where there are none.

    Args:
        folder: of the counts.
        name: of the claim.
    """
    path = folder / f"{name}.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def read(folder: Path) -> dict[str, Json]:
    """Return name -> row of `lab.claims.book.table`, of the claims whose counts and code are as they were.

    Args:
        folder: of the counts.
    """
    try:
        kept = json.loads((folder / FILE).read_text())
    except (FileNotFoundError, ValueError):  # not kept, or damaged: judging again is no loss
        return {}
    if kept.get("code") != code_checksum():
        return {}
    return {
        name: entry["row"] for name, entry in kept["claims"].items() if entry["counts"] == counts_checksum(folder, name)
    }


def write(folder: Path, rows: Iterable[Json]) -> None:
    """Keep the rows of a table.

    Args:
        folder: of the counts.
        rows: of `lab.claims.book.table`.
    """
    from lab.results.store import publish

    claims = {row["name"]: {"counts": counts_checksum(folder, row["name"]), "row": row} for row in rows}
    publish(folder / FILE, (json.dumps({"code": code_checksum(), "claims": claims}, indent=1) + "\n").encode())
