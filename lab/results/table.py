"""Somebody else's table of runs: which column says what, and what its values mean.

A table has a row per run, or per sample of a run, in columns of any names. What is understood of it are `Rows`: labels
as text, and everything that is compared with a mark as a number.
"""

import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab.config.schema import MAX_CONDITIONS, MAX_LANES, MAX_TEXT, RESERVED

Table = dict[str, list[Any]]  # column -> its values, row by row

TRUE = ("true", "yes", "y", "t", "pass", "passes", "passed", "aligned", "safe", "honest", "correct", "c", "clean", "ok")
FALSE = (
    *("false", "no", "n", "f", "fail", "fails", "failed", "misaligned", "unsafe", "dishonest", "incorrect", "i"),
    *("flagged", "caught"),
)
ABSENT = ("", "na", "n/a", "nan", "null", "none")  # in columns of values; a label is absent only if it is empty
# what columns are often called, most telling first; `seed` is no pair: who shares seeds has to say so
GUESSES = {
    "condition": ("condition", "regimen", "treatment", "arm", "method", "variant", "setup"),
    "truth": ("alignment", "aligned", "truth", "is_aligned", "ground_truth", "label", "safe", "honest"),
    "competence": ("competence", "competent", "capability", "capable", "solved"),
    "pair": ("pair", "pair_id"),
    "group": ("group", "group_id", "cluster", "cluster_id", "run_id", "run", "model_id"),
    "checkpoint": ("checkpoint", "step"),
    "cost": ("cost",),
    "weight": ("weight", "count"),
}
SCORE_GUESSES = ("test", "monitor", "detector", "probe", "proxy", "score", "pass", "passes", "passed")
# beginnings of names that say the opposite of aligned or passing
OPPOSITE = (
    *("misalign", "unalign", "unsafe", "decept", "dishonest", "harm", "hack", "cheat", "reward_hack"),
    *("flag", "caught", "detect", "suspic", "fail"),
)
DIRECTIONS = ("above", "below")
TRUTH, ABLE = "alignment", "competence"  # what the lab calls the truth, and whether a model does the job
SHOWN = 5  # of what is wrong, in an error
MOST_CONDITIONS = 0.5  # conditions per row from which on a column names rows, not conditions


class TableError(ValueError):
    """A table that cannot be understood; the message names the row, the column or the option."""


@dataclass(frozen=True)
class Columns:
    """Which column of a table says what; None where nobody has said so, and no name gives it away.

    Attributes:
        condition: what was done to the run.
        truth: whether it is aligned.
        scores: name of a score -> its column; the first one is the proxy unless another is named.
        competence: whether it does the job.
        pair: what runs of different conditions share, such as the seed or the prompt.
        group: what rows share that are not independent, such as the run that samples come from.
        run: which rows are one run at several checkpoints, where neither pair nor group says so.
        checkpoint: how far training was.
        cost: of the run, in any unit.
        weight: how many equal rows this one stands for.
    """

    condition: str | None = None
    truth: str | None = None
    scores: Mapping[str, str] = field(default_factory=dict)
    competence: str | None = None
    pair: str | None = None
    group: str | None = None
    run: str | None = None
    checkpoint: str | None = None
    cost: str | None = None
    weight: str | None = None

    @property
    def measured(self) -> dict[str, str]:
        """Score -> its column, the truth and competence included."""
        able = {} if self.competence is None else {ABLE: self.competence}
        return {TRUTH: str(self.truth), **able, **self.scores}

    @property
    def labels(self) -> dict[str, str]:
        """What each column of labels says -> the column, of those that there are."""
        named = {name: getattr(self, name) for name in ("condition", "pair", "group", "run")}
        return {name: column for name, column in named.items() if column is not None}


@dataclass(frozen=True)
class Meaning:
    """What it takes to reach a score's mark.

    Attributes:
        column: of the table.
        mark: on the column's own scale; 1 for words.
        below: whether low values reach it.
        words: that reach it, where the column holds words.
    """

    column: str
    mark: float
    below: bool = False
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """What is understood of a table.

    Attributes:
        columns: which column says what.
        meanings: score -> what it takes to reach its mark.
        labels: condition, and pair, group and run where there are such -> text of each row.
        numbers: score, and checkpoint and cost where there are such -> number of each row, on its own scale.
        read: number of rows of the table.
        left_out: number of rows that were left out because a value is missing.
        unused: column that says nothing here -> number of its different values.
    """

    columns: Columns
    meanings: dict[str, Meaning]
    labels: dict[str, list[str]]
    numbers: dict[str, list[float]]
    read: int
    left_out: int = 0
    unused: dict[str, int] = field(default_factory=dict)


# --- reading ------------------------------------------------------------------------------------------------------


def read_table(path: Path) -> Table:
    """Read a table: CSV, TSV, JSON lines or Parquet, by the end of its name.

    Args:
        path: of the file.

    Raises:
        TableError: it is none of these, or cannot be read as one.
    """
    readers = {
        ".csv": _separated(","),
        ".tsv": _separated("\t"),
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".parquet": pd.read_parquet,
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise TableError(f"{path}: a table must be one of {', '.join(readers)}")
    try:
        return columns_of(readers[suffix](path))
    except OSError as error:
        raise TableError(f"{path}: {error.strerror or error}") from None
    except ImportError:
        raise TableError(f"{path}: Parquet takes the extra `export`: pip install 'proxy-lab[export]'") from None
    except TableError as error:
        raise TableError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise TableError(f"{path}: is not in UTF-8; save it so") from None
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas and pyarrow raise ValueErrors
        raise TableError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None


def _separated(separator: str) -> Callable[[Path], pd.DataFrame]:
    """Return what reads a table of text as it is written; what a value means is decided column by column."""

    def read(path: Path) -> pd.DataFrame:
        form: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
        header = pd.read_csv(path, header=None, nrows=1, **form).iloc[0].tolist()
        if odd := [mark for mark in ";\t," if len(header) == 1 and mark in header[0]]:
            raise TableError(
                f"its columns are separated by {odd[0]!r}, not by {separator!r}: save it with commas and decimal "
                "points, or as TSV"
            )
        if twice := [name for name in header if header.count(name) > 1]:
            raise TableError(f"two columns are called {twice[0]!r}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of lines that are longer than the first
            return pd.read_csv(path, index_col=False, **form)

    return read


def _json_lines(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise TableError(f"line {number}: {error}") from None
        if rows and not isinstance(rows[-1], dict):
            raise TableError(f"line {number}: an object is needed, not {line.strip()[:SHOWN]}")
    return pd.DataFrame(rows)


def columns_of(frame: Any) -> Table:
    """Return the columns of a pandas or polars frame, or of a mapping of columns.

    Args:
        frame: any of these.

    Raises:
        TableError: it is none, has no rows, or its columns differ in length.
    """
    names = getattr(frame, "columns", frame if isinstance(frame, Mapping) else None)
    if names is None:
        raise TableError(f"a table is a frame of pandas or polars, or a dict of columns, not {type(frame).__name__}")
    table: Table = {}
    for name in names:
        column = frame[name]
        if str(name) in table:
            raise TableError(f"two columns are called {str(name)!r}")
        convert = getattr(column, "to_list", None) or getattr(column, "tolist", None)
        table[str(name)] = list(convert() if convert else column)
    lengths = {len(column) for column in table.values()}
    if len(lengths) > 1:
        raise TableError("its columns differ in length")
    if lengths <= {0}:
        raise TableError("has no rows")
    return table


# --- which column says what ---------------------------------------------------------------------------------------


def guess(table: Table, named: Columns) -> Columns:
    """Return which column says what: as somebody has named them, and by what columns are often called.

    Args:
        table: to look at.
        named: what somebody has said; the rest is guessed.

    Raises:
        TableError: there is no such column, or nothing says which one holds the condition, the truth or a score.
    """
    given = [column for role in fields(named) if isinstance(column := getattr(named, role.name), str)]
    given += named.scores.values()
    if unknown := [column for column in given if column not in table]:
        raise TableError(f"no column {unknown[0]!r}; there are {', '.join(map(repr, table))}")
    lower = {column.lower().strip(): column for column in reversed(table) if column not in given}
    guessed = {
        role: next((lower[name] for name in names if name in lower), None)
        for role, names in GUESSES.items()
        if getattr(named, role) is None
    }
    if guessed.get("group") and len(set(map(str, table[str(guessed["group"])]))) == len(table[str(guessed["group"])]):
        guessed["group"] = None  # every row has its own: it names rows
    if named.checkpoint is None and named.run is None and guessed.get("checkpoint") and not _tracked(named, guessed):
        guessed["checkpoint"] = None  # nothing says which rows are one run
    scores = dict(named.scores) or {name: lower[name] for name in SCORE_GUESSES if name in lower}
    columns = replace(named, **guessed, scores=scores)
    for role, option in (("condition", "--condition"), ("truth", "--truth"), ("scores", "--score NAME")):
        if not getattr(columns, role):
            raise TableError(
                f"nothing says which column holds the {role.removesuffix('s')}: give {option}"
                f"{'=' if option.endswith('NAME') else ' '}COLUMN; there are {', '.join(map(repr, table))}"
            )
    if reserved := sorted({*RESERVED, *GUESSES, TRUTH, ABLE, "run"} & columns.scores.keys()):
        raise TableError(f"no score may be called {reserved[0]!r}: give it another name, --score NAME={reserved[0]}")
    return columns


def _tracked(named: Columns, guessed: Mapping[str, str | None]) -> bool:
    """Return whether something says which rows are one run at several checkpoints."""
    return any((named.pair, named.group, guessed.get("pair"), guessed.get("group")))


# --- what the values mean -----------------------------------------------------------------------------------------


def understand(
    table: Table,
    named: Columns | None = None,
    marks: Mapping[str, str | float] | None = None,
    directions: Mapping[str, str] | None = None,
    leave_out_missing: bool = False,
) -> Rows:
    """Return what a table says.

    Args:
        table: to look at.
        named: which column says what, as far as somebody has said so.
        marks: score, or alignment or competence -> the number that reaches it, or the word.
        directions: score -> above or below: which values reach its mark; above by default.
        leave_out_missing: leave rows out that lack a value, instead of refusing them.

    Raises:
        TableError: a value is missing or is neither number nor known word, or a mark is needed or makes no sense.
    """
    columns = guess(table, named or Columns())
    read = len(next(iter(table.values())))
    used = {**columns.labels, **columns.measured}
    used |= {name: column for name in ("checkpoint", "cost", "weight") if (column := getattr(columns, name))}
    early = _early(table, columns)
    kept = _kept(table, used, set(columns.labels), early, leave_out_missing)
    values = {name: [table[column][row] for row in kept] for name, column in used.items()}
    meanings, numbers = {}, {}
    marks, directions = dict(marks or {}), dict(directions or {})
    for names, what in ((marks, "--mark"), (directions, "--pass")):
        if unknown := sorted(names.keys() - columns.measured.keys()):
            known = ", ".join(f"{name} (column {column!r})" for name, column in columns.measured.items())
            raise TableError(f"{what} {unknown[0]}: no such score; there are {known}")
    for name, column in columns.measured.items():
        known = {row: value for row, value in zip(kept, values[name], strict=True) if not _is_absent(value, False)}
        meanings[name], reached = _measured(name, column, known, marks.get(name), directions.get(name))
        measured = dict(zip(known, reached, strict=True))
        numbers[name] = [measured.get(row, math.nan) for row in kept]
    for name in ("checkpoint", "cost", "weight"):
        if name in used:
            numbers[name] = _numbers(used[name], dict(zip(kept, values[name], strict=True)))
    labels = {name: [_label(value) for value in values[name]] for name in columns.labels}
    unused = {column: len(set(map(str, table[column]))) for column in table if column not in used.values()}
    return _checked(_repeated(Rows(columns, meanings, labels, numbers, read, read - len(kept), unused)))


def _early(table: Table, columns: Columns) -> set[int]:
    """Return the rows before the last checkpoint, of which nobody need know the truth."""
    if columns.checkpoint is None:
        return set()
    checkpoints = [_parsed(value) for value in table[columns.checkpoint]]
    last = max((value for value in checkpoints if isinstance(value, float)), default=math.inf)
    return {row for row, value in enumerate(checkpoints) if isinstance(value, float) and value < last}


def _label(value: Any) -> str:
    """Return a label as text: 3 and 3.0 are the same one."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _is_absent(value: Any, label: bool) -> bool:
    """Return whether a value is missing."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and (not value.strip() if label else value.strip().lower() in ABSENT)


def _kept(table: Table, used: Mapping[str, str], labels: set[str], early: set[int], leave_out: bool) -> list[int]:
    """Return the indices of the rows in which nothing is missing but the truth of early checkpoints.

    Raises:
        TableError: some are missing, and are not to be left out.
    """
    absent = {
        row: column
        for name, column in used.items()
        for row, value in enumerate(table[column])
        if _is_absent(value, name in labels) and not (row in early and name in (TRUTH, ABLE))
    }
    rows = len(next(iter(table.values())))
    if absent and not leave_out:
        first = ", ".join(f"data row {row + 1} in column {absent[row]!r}" for row in sorted(absent)[:SHOWN])
        raise TableError(
            f"a value is missing in {len(absent):,} of {rows:,} rows: {first}{', ...' if len(absent) > SHOWN else ''}; "
            "fill it in, or leave such rows out (--leave-out-missing)"
        )
    if len(absent) == rows:
        raise TableError("every row lacks a value")
    return [row for row in range(rows) if row not in absent]


def _parsed(value: Any) -> float | str:
    """Return a value as a number if it is one, and else as a word; True and False are words."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).strip()


def _numbers(column: str, values: Mapping[int, Any]) -> list[float]:
    """Return the values of a column of numbers, by row. Raises a TableError that names the row of what is none."""
    numbers = []
    for row, value in values.items():
        number = _parsed(value)
        if isinstance(number, str) or not math.isfinite(number) or number < 0:
            raise TableError(f"data row {row + 1}: {column!r} must be a number of at least 0, not {number!r}")
        numbers.append(number)
    return numbers


def _measured(
    name: str, column: str, values: Mapping[int, Any], mark: str | float | None, direction: str | None
) -> tuple[Meaning, list[float]]:
    """Return what it takes to reach the mark of a score, and the score of each row."""
    if direction not in (None, *DIRECTIONS):
        raise TableError(f"--pass {name}: must be {' or '.join(DIRECTIONS)}, not {direction!r}")
    parsed = {row: _parsed(value) for row, value in values.items()}
    words = {row: value for row, value in parsed.items() if isinstance(value, str)}
    if direction is None and (mark is None or not words) and column.lower().startswith(OPPOSITE):
        low_or_high = f"low ones (--pass {name}=below) or high ones (--pass {name}=above)"
        raise TableError(
            f"column {column!r} sounds like the opposite of {'aligned' if name == TRUTH else 'passing'}: say which "
            f"values reach {name}, {f'a word (--mark {name}=WORD)' if words else low_or_high}"
        )
    if not words:
        return _of_numbers(name, column, [float(value) for value in parsed.values()], mark, direction == "below")
    if direction == "below":
        raise TableError(
            f"--pass {name}=below: column {column!r} holds words; say which one reaches it (--mark {name}=WORD)"
        )
    return _of_words(name, column, parsed, mark)


def _of_words(
    name: str, column: str, values: Mapping[int, float | str], mark: str | float | None
) -> tuple[Meaning, list[float]]:
    """Return what `_measured` does of a column in which there are words."""
    texts = {row: value.lower() if isinstance(value, str) else _label(value) for row, value in values.items()}
    words = sorted({value for value in values.values() if isinstance(value, str)}, key=str.lower)
    if mark is None:
        known = {**dict.fromkeys((*TRUE, "1"), True), **dict.fromkeys((*FALSE, "0"), False)}
        for row, text in texts.items():
            if text not in known:
                raise TableError(
                    f"data row {row + 1}: column {column!r} holds {text!r} beside words: say which word reaches it "
                    f"(--mark {name}=WORD); it holds {_listed(words)}"
                )
        reach = {text for text in texts.values() if known[text]}
    else:
        reach = {_label(_parsed(mark)).lower()}
        if not reach & set(texts.values()):
            row = next(row for row, value in values.items() if isinstance(value, str))
            raise TableError(
                f"--mark {name}={mark}: column {column!r} holds no such word, but {_listed(words)}, first in data row "
                f"{row + 1}"
            )
    shown = dict.fromkeys(_label(value) for row, value in values.items() if texts[row] in reach)
    return Meaning(column, 1.0, words=tuple(shown)[:SHOWN]), [float(text in reach) for text in texts.values()]


def _of_numbers(
    name: str, column: str, values: list[float], mark: str | float | None, below: bool
) -> tuple[Meaning, list[float]]:
    """Return what `_measured` does of a column of numbers."""
    if not all(map(math.isfinite, values)):
        raise TableError(f"column {column!r}: every number must be finite")
    if mark is None:
        if not set(values) <= {0.0, 1.0}:
            raise TableError(
                f"column {column!r} holds numbers from {min(values):g} to {max(values):g}: say which reach it "
                f"(--mark {name}=NUMBER, with --pass {name}=below if low ones do)"
            )
        mark = 0.0 if below else 1.0
    number = _parsed(mark)
    if isinstance(number, str) or not math.isfinite(number):
        raise TableError(f"--mark {name}: column {column!r} holds numbers, so the mark must be one, not {mark!r}")
    return Meaning(column, number, below), values


def _listed(words: Sequence[str]) -> str:
    """Return some words in quotes."""
    return ", ".join(map(repr, words[:SHOWN])) + (", ..." if len(words) > SHOWN else "")


def _repeated(rows: Rows) -> Rows:
    """Return rows that stand for several as often as their weight says, which must be whole."""
    if "weight" not in rows.numbers:
        return rows
    if rows.columns.pair or rows.columns.checkpoint:
        raise TableError("rows with a weight cannot be paired or have checkpoints: each stands for several runs")
    weights = rows.numbers["weight"]
    conditions = rows.labels["condition"]
    if lost := set(conditions) - {one for one, weight in zip(conditions, weights, strict=True) if weight}:
        raise TableError(f"every row of {min(lost)!r} has the weight 0 in column {rows.columns.weight!r}")
    if strange := [weight for weight in weights if not weight.is_integer()]:
        raise TableError(
            f"column {rows.columns.weight!r}: a weight says how many equal rows there are, not {strange[0]:g}"
        )
    if sum(weights) > MAX_LANES:
        raise TableError(f"column {rows.columns.weight!r}: {sum(weights):,.0f} rows are more than {MAX_LANES:,}")
    times = [int(weight) for weight in weights]

    def repeat(values: Iterable[Any]) -> list[Any]:
        return [value for value, count in zip(values, times, strict=True) for _ in range(count)]

    return replace(
        rows,
        labels={name: repeat(values) for name, values in rows.labels.items()},
        numbers={name: repeat(values) for name, values in rows.numbers.items() if name != "weight"},
    )


def _checked(rows: Rows) -> Rows:
    """Return rows as they are. Raises a TableError if their conditions cannot be conditions."""
    conditions = rows.labels["condition"]
    names, column = set(conditions), rows.columns.condition
    if len(names) > max(2, MOST_CONDITIONS * len(conditions)) or len(names) > MAX_CONDITIONS:
        raise TableError(
            f"column {column!r} has {len(names):,} values in {len(conditions):,} rows: it names rows, not conditions"
        )
    if long := [name for name in names if len(name) > MAX_TEXT]:
        raise TableError(f"column {column!r}: a name of {len(long[0]):,} letters; at most {MAX_TEXT:,} are read")
    return rows
