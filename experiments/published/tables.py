"""Tables of published numbers as printed: strict reading, and what counts they leave no doubt about.

A printed number is a whole number, which is a count; several counts with + between them; or a rate with a point or a
percent sign. A rate is turned into a count only if its rounding leaves exactly one whole number of n.
"""

import csv
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from lab.statistics import Counts
from lab.statistics.counts import quotient

HERE = Path(__file__).parent
WORDS = ("comparison", "role", "condition", "detector", "row", "truth", "source", "read")
OF_ALL = ("aligned", "misaligned", "aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")
OF_A_KIND = ("pass_given_aligned", "fail_given_aligned", "pass_given_misaligned", "fail_given_misaligned")
HEADER = (*WORDS, "n", *OF_ALL, *OF_A_KIND, "note")
HELD_OUT, TRAINED = "held out", "trained on"
READ = ("paper", "quoted", "transcribed")
COUNT, RATE = re.compile(r"\d+(\+\d+)*"), re.compile(r"(?P<number>\d*\.?\d+)(?P<percent>%?)")

ANSWERS = ("yes", "no", "unread")
ITEMS = {  # column of papers.csv -> what the next experiment should report, in words
    "base_rate": "aligned outcomes counted, held out and trained on, as numbers and not as a curve",
    "misaligned_pass": "misaligned outcomes that pass, held out and trained on",
    "aligned_pass": "aligned outcomes that pass, at a mark set on other models",
    "numbers_of_rows": "n of every rate",
    "runs": "several training runs, each judged aligned or not: samples of one run are not runs",
    "apart": "the four cells of each model and detector apart, with the same runs in every line",
    "early": "a short push on the detector at the start of training",
    "late": "the same push later (the lab's law: at 40%)",
}
ABOUT = ("name", "authors", "arxiv", "about", "read")
READINGS = ("whole text", "quotations", "transcriptions", "abstract")


class TableError(ValueError):
    """A table that cannot be read, with file and line."""


class Rates(NamedTuple):
    """P(A), P(T|A) and P(T|not A) of a row; nan where it is not printed."""

    base_rate: float
    pass_given_aligned: float
    pass_given_misaligned: float


class Row(NamedTuple):
    """A line of a paper's table.

    Attributes:
        paper: name of the file.
        line: in the file.
        texts: column -> text, of the columns that are words.
        n: rows of the population; None if it is not printed.
        printed: column -> number as printed, of those that are.
    """

    paper: str
    line: int
    texts: dict[str, str]
    n: int | None
    printed: dict[str, str]

    @property
    def aligned(self) -> int | None:
        """Number of aligned rows, if the table leaves no doubt about it."""
        found = self._count("aligned")
        if found is None and self.n is not None:
            misaligned = self._misaligned_count()
            found = None if misaligned is None else self.n - misaligned
        return found

    @property
    def counts(self) -> Counts | None:
        """The four cells, if the table leaves no doubt about them. Raises `TableError` if they contradict n."""
        aligned, passing = self.aligned, self._count("aligned_pass")
        gaming = self._count("misaligned_pass")
        if self.n is None or aligned is None or passing is None or gaming is None:
            return None
        cells = (passing, aligned - passing, gaming, self.n - aligned - gaming)
        failing = self._count("misaligned_fail")
        if min(cells) < 0 or failing not in (None, cells[3]):
            raise TableError(f"{self.place}: the cells do not add up to n = {self.n}")
        return Counts(*cells)

    @property
    def rates(self) -> Rates:
        """What is printed of the three rates, as counts or as shares."""
        share = {name: share_of(text, self.n) for name, text in self.printed.items()}
        gaming, caught = share.get("misaligned_pass", math.nan), share.get("misaligned_fail", math.nan)
        misaligned = share.get("misaligned", gaming + caught)
        aligned = share.get("aligned", 1 - misaligned)
        if "aligned" in share and math.isnan(misaligned):
            misaligned = 1 - aligned
        return Rates(
            aligned,
            share.get("pass_given_aligned", 1 - share.get("fail_given_aligned", math.nan))
            if "aligned_pass" not in share
            else quotient(share["aligned_pass"], aligned),
            share.get("pass_given_misaligned", 1 - share.get("fail_given_misaligned", math.nan))
            if "misaligned_pass" not in share
            else quotient(gaming, misaligned),
        )

    @property
    def place(self) -> str:
        """File and line, for errors."""
        return f"{self.paper}.csv, line {self.line}"

    def _count(self, name: str) -> int | None:
        return whole_count(self.printed[name], self.n) if name in self.printed else None

    def _misaligned_count(self) -> int | None:
        parts = [self._count(name) for name in ("misaligned_pass", "misaligned_fail")]
        whole = self._count("misaligned")
        return sum(part for part in parts if part is not None) if whole is None and None not in parts else whole


def whole_count(printed: str, n: int | None) -> int | None:
    """Return the count that a printed number stands for, or None if its rounding leaves none or several.

    Args:
        printed: a count, a sum of counts, or a rate of n.
        n: of what; None if it is not printed.

    Example:
        Of 12 only 7 is 58%; of 300 both 174 and 175 are, and no whole number is 59.4%.

        >>> whole_count("58%", 12), whole_count("58%", 300), whole_count("0.594", 300), whole_count("5+27", 36)
        (7, None, None, 32)
    """
    if COUNT.fullmatch(printed):
        return sum(int(part) for part in printed.split("+"))
    if n is None:
        return None
    value, half = exact_rate(printed)
    candidates = [k for k in range(n + 1) if value - half <= Fraction(k, n) <= value + half] if n else []
    return candidates[0] if len(candidates) == 1 else None


def exact_rate(printed: str) -> tuple[Fraction, Fraction]:
    """Return a printed rate, and half of the last digit that is printed."""
    match = RATE.fullmatch(printed)
    assert match, printed
    scale = Fraction(1, 100 if match["percent"] else 1)
    decimals = len(match["number"].partition(".")[2])
    return Fraction(match["number"]) * scale, Fraction(1, 2 * 10**decimals) * scale


def share_of(printed: str, n: int | None) -> float:
    """Return a printed number as a share of n; nan for a count of an unknown n."""
    if COUNT.fullmatch(printed):
        return math.nan if n is None else quotient(whole_count(printed, n) or 0, n)
    return float(exact_rate(printed)[0])


def read_table(path: Path) -> list[Row]:
    """Return the rows of a paper's table.

    Raises:
        TableError: a column, a word or a number is not what it has to be; with file and line.
    """
    rows = [_row(path, line, cells) for line, cells in _lines(path, HEADER)]
    for row in rows:
        _ = row.counts  # which refuses cells that contradict n
    return rows


def _row(path: Path, line: int, cells: dict[str, str]) -> Row:
    place = f"{path.name}, line {line}"
    for name in WORDS:
        if not cells[name]:
            raise TableError(f"{place}: `{name}` is empty")
    for name, allowed in (("role", (HELD_OUT, TRAINED)), ("read", READ)):
        if cells[name] not in allowed:
            raise TableError(f"{place}: `{name}` is {cells[name]!r}, not one of {', '.join(allowed)}")
    if cells["n"] and not cells["n"].isdecimal():
        raise TableError(f"{place}: `n` is {cells['n']!r}, not a whole number")
    printed = {name: cells[name] for name in (*OF_ALL, *OF_A_KIND) if cells[name]}
    for name, text in printed.items():
        if not COUNT.fullmatch(text) and not (RATE.fullmatch(text) and exact_rate(text)[0] <= 1):
            raise TableError(f"{place}: `{name}` is {text!r}, neither a count nor a rate from 0 to 1 or 0% to 100%")
    n = int(cells["n"]) if cells["n"] else None
    return Row(path.stem, line, {name: cells[name] for name in (*WORDS, "note")}, n, printed)


def read_papers(path: Path = HERE / "papers.csv") -> list[dict[str, str]]:
    """Return what could be read of each paper and what it leaves out. Raises `TableError` with file and line."""
    papers = []
    for line, cells in _lines(path, (*ABOUT, *ITEMS, "why")):
        place = f"{path.name}, line {line}"
        for name in (*ABOUT, "why"):
            if not cells[name]:
                raise TableError(f"{place}: `{name}` is empty")
        for name, allowed in {"read": READINGS, **dict.fromkeys(ITEMS, ANSWERS)}.items():
            if cells[name] not in allowed:
                raise TableError(f"{place}: `{name}` is {cells[name]!r}, not one of {', '.join(allowed)}")
        papers.append(cells)
    return papers


def _lines(path: Path, header: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each line of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        first = next(reader, [])
        if tuple(first) != header:
            wrong = sorted(set(first) ^ set(header)) or ["their order"]
            raise TableError(f"{path.name}, line 1: the columns are not those of a table ({', '.join(wrong)})")
        for cells in reader:
            if len(cells) != len(header):
                raise TableError(f"{path.name}, line {reader.line_num}: {len(cells)} cells, not {len(header)}")
            yield reader.line_num, dict(zip(header, cells, strict=True))


def every_table(folder: Path = HERE) -> dict[str, list[Row]]:
    """Return paper -> rows of its table, in the order of papers.csv; none where no number could be read."""
    names = [paper["name"] for paper in read_papers(folder / "papers.csv")]
    return {name: read_table(path) if (path := folder / f"{name}.csv").exists() else [] for name in names}
