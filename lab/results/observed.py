"""Runs that were trained elsewhere: a table of them as results, and on disk.

    RUN/manifest.json    what the table is, which column says what, which marks decide; its kind is `observed`
    RUN/observed.csv     its rows as they were understood, of which the manifest holds the checksum

Such a run has no task, no config and no steps, and its conditions share nothing unless a column says so. Scores keep
the scale of their columns there; in results, those whose low values reach the mark have the opposite sign, and so has
their mark, so that reaching a mark means the same everywhere.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from lab.results.outcomes import AXES, Results
from lab.results.store import (
    FORMAT,
    OBSERVED,
    ManifestJson,
    PathLike,
    Run,
    StoreError,
    check_vacant,
    inner_folder,
    publish,
    read_regular,
)
from lab.results.table import ABLE, TRUTH, Columns, Rows, TableError, columns_of, read_table, understand
from lab.statistics.judge import Rate, checked_judge

TABLE = "observed.csv"
MOST_TABLE = 2**32  # bytes
# conditions that others are compared with, by what they are often called
BASELINES = ("hold_out", "held_out", "hold out", "held out", "holdout", "baseline", "control", "none", "untrained")
COLUMN_NAMES = tuple(role.name for role in fields(Columns) if role.name != "scores")
ABLE_MARK = 1.0  # of competence where no column says it: every model does the job


# --- from rows to results -----------------------------------------------------------------------------------------


def describe(
    rows: Rows,
    name: str,
    *,
    source: str = "",
    question: str = "",
    baseline: str | None = None,
    proxy: str | None = None,
    confidence: float = 0.95,
    judge: Mapping[str, Rate] | None = None,
) -> ManifestJson:
    """Return the manifest of a table, without the checksum of what is stored.

    Args:
        rows: what is understood of the table.
        name: of the run.
        source: where the table came from, in words.
        question: that it answers.
        baseline: the condition that others are compared with; by default one that is called so, else the first.
        proxy: the score that decides who passes; the first one by default.
        confidence: of intervals.
        judge: sensitivity and specificity of who measured the truth; None if it is the truth.

    Raises:
        TableError: there is no such baseline or proxy.
    """
    columns, conditions = rows.columns, list(dict.fromkeys(rows.labels["condition"]))
    baseline = baseline or next((one for one in conditions if one.lower() in BASELINES), conditions[0])
    if baseline not in conditions:
        raise TableError(f"--baseline: no condition {baseline!r}; there are {', '.join(map(repr, conditions))}")
    proxy = proxy or next(iter(columns.scores))
    if proxy not in columns.scores:
        raise TableError(f"--proxy: no score {proxy!r}; there are {', '.join(map(repr, columns.scores))}")
    marks = {name: meaning.mark for name, meaning in rows.meanings.items()}
    return {
        "kind": OBSERVED,
        "name": name,
        "question": question,
        "source": source,
        "scores": [ABLE, TRUTH, *columns.scores],
        "proxy": proxy,
        "thresholds": {ABLE: ABLE_MARK, **marks},
        "below": [name for name, meaning in rows.meanings.items() if meaning.below],
        "columns": {**columns.measured, **columns.labels, **_numbers_beside(columns)},
        "words": {name: list(meaning.words) for name, meaning in rows.meanings.items() if meaning.words},
        "baseline": baseline,
        "confidence": confidence,
        "conditions": conditions,
        "judge": judge,
        "read": rows.read,
        "left_out": rows.left_out,
    }


def _numbers_beside(columns: Columns) -> dict[str, str]:
    """Return what columns of numbers that are no score say -> the column, of those that there are."""
    named = {"checkpoint": columns.checkpoint, "cost": columns.cost, "weight": columns.weight}
    return {name: column for name, column in named.items() if column is not None}


@dataclass(frozen=True)
class Runs:
    """The rows of a table as they are stored: one per run and checkpoint.

    Attributes:
        condition: of each row.
        run: which run it is: by name within its condition, or across conditions where these are paired.
        checkpoint: how far its training was, in any unit.
        numbers: score, and cost where it is known -> number of each row, on its own scale.
        group: rows of one group are not independent; None where every run is its own.
    """

    condition: list[str]
    run: list[str]
    checkpoint: list[float]
    numbers: dict[str, list[float]]
    group: list[str] | None = None


def runs_of(rows: Rows) -> Runs:
    """Return the rows of a table as they are stored.

    Args:
        rows: what is understood of the table.

    Raises:
        TableError: groups lie across pairs, or a run is there twice at a checkpoint, or not at all.
    """
    conditions, pairs, groups = rows.labels["condition"], rows.labels.get("pair"), rows.labels.get("group")
    named = rows.labels.get("run") or pairs or groups
    if rows.columns.checkpoint and not named:
        raise TableError("with checkpoints, something must say which rows are one run: give --run COLUMN")
    if named is None or not rows.columns.checkpoint:
        named = [str(row + 1) for row in range(len(conditions))]
    if groups and pairs:
        groups = _within_pairs(rows)
    if pairs:
        named, several = _paired_names(conditions, pairs, named)
        groups = pairs if several else groups
    if pairs and len(set(conditions)) > 1 and not _shared(conditions, pairs):
        raise TableError(f"no {rows.columns.pair!r} has rows of two conditions: leave --pair out")
    if groups and len(set(zip(conditions, groups, strict=True))) == len(set(zip(conditions, named, strict=True))):
        groups = None  # every run is its own
    checkpoints = rows.numbers.get("checkpoint", [1.0] * len(conditions))
    numbers = {name: values for name, values in rows.numbers.items() if name not in ("checkpoint", "weight")}
    runs = Runs(conditions, named, checkpoints, numbers, groups)
    _check_tracked(runs)
    return runs


def _shared(conditions: list[str], pairs: list[str]) -> int:
    """Return how many pairs have rows of several conditions."""
    of_pair: dict[str, set[str]] = {}
    for condition, pair in zip(conditions, pairs, strict=True):
        of_pair.setdefault(pair, set()).add(condition)
    return sum(len(of) > 1 for of in of_pair.values())


def _paired_names(conditions: list[str], pairs: list[str], named: list[str]) -> tuple[list[str], bool]:
    """Return names of runs that are those of their pairs, and whether a pair has several runs of a condition.

    These are then no more independent than a group is, and get numbers.
    """
    turns: dict[tuple[str, str], dict[str, int]] = {}
    names = []
    for condition, pair, run in zip(conditions, pairs, named, strict=True):
        runs = turns.setdefault((condition, pair), {})
        turn = runs.setdefault(run, len(runs))
        names.append(f"{pair} #{turn + 1}" if turn else pair)
    return names, any(len(runs) > 1 for runs in turns.values())


def _within_pairs(rows: Rows) -> list[str]:
    """Return the pair of each row as its group. Raises a TableError if a group has rows of several pairs."""
    pairs: dict[tuple[str, str], str] = {}
    for condition, group, pair in zip(*(rows.labels[name] for name in ("condition", "group", "pair")), strict=True):
        if pairs.setdefault((condition, group), pair) != pair:
            raise TableError(
                f"group {group!r} of {condition!r} has rows of the pairs {pairs[condition, group]!r} and {pair!r}: "
                "leave the pairs out, and groups are compared as independent"
            )
    return rows.labels["pair"]


def _check_tracked(runs: Runs) -> None:
    """Raise a TableError unless every run is there once at every checkpoint."""
    seen: dict[tuple[str, str], set[float]] = {}
    for condition, run, checkpoint in zip(runs.condition, runs.run, runs.checkpoint, strict=True):
        at = seen.setdefault((condition, run), set())
        if checkpoint in at:
            raise TableError(
                f"run {run!r} of {condition!r} is there twice at checkpoint {checkpoint:g}: give --run a column that "
                "tells its rows apart"
            )
        at.add(checkpoint)
    checkpoints = set(runs.checkpoint)
    for (condition, run), at in seen.items():
        if missing := checkpoints - at:
            raise TableError(
                f"run {run!r} of {condition!r} is not there at checkpoint {min(missing):g}: runs must have the same "
                "checkpoints, or the table only their last rows"
            )
    if max(checkpoints) <= 0:
        raise TableError("checkpoints must be above 0 at the end: they are shares of training, or steps")


def assemble(manifest: ManifestJson, runs: Runs) -> Results:
    """Return a table of runs as results, with dims (condition, seed, checkpoint).

    A seed is a run: by name where runs of different conditions are paired, else any number of each condition.

    Args:
        manifest: what `describe` returned, or a stored one.
        runs: what `runs_of` returned.
    """
    conditions, paired = manifest["conditions"], "pair" in manifest["columns"]
    places: dict[str, dict[str, int]] = {}  # of runs, by condition, or of all conditions together
    seeds = [
        (of := places.setdefault("" if paired else condition, {})).setdefault(run, len(of))
        for condition, run in zip(runs.condition, runs.run, strict=True)
    ]
    rows = _indices(runs.condition, conditions)
    checkpoints = sorted(set(runs.checkpoint))
    shape = (len(conditions), max(map(len, places.values())), len(checkpoints))
    trained = np.zeros(shape[:2], bool)
    trained[rows, seeds] = True
    cells = rows, seeds, _indices(runs.checkpoint, checkpoints)
    scores = {name: np.full(shape, np.nan) for name in manifest["scores"]}
    for name, table in scores.items():
        sign = -1 if name in manifest["below"] else 1
        values = runs.numbers.get(name, [ABLE_MARK] * len(rows))
        table[cells] = sign * np.array(values)
    coordinates: dict[str, Any] = {
        "condition": conditions,
        "regimen": ("condition", conditions),
        "checkpoint": np.array(checkpoints) / checkpoints[-1],
        "trained": (AXES[:2], trained),
    }
    if paired:
        coordinates["seed"] = list(places[""])
    if runs.group is not None:
        labels = np.array(runs.group)
        groups = np.full(shape[:2], "", labels.dtype)
        groups[rows, seeds] = labels
        coordinates["group"] = AXES[:2], groups
    if "cost" in runs.numbers:
        costs = np.full(shape, np.nan)
        costs[cells] = runs.numbers["cost"]
        coordinates["cost"] = AXES, costs
    variables = {name: (AXES, table) for name, table in scores.items()}
    return xr.Dataset(variables, coordinates, _attributes(manifest, paired, checkpoints[-1]))


def _indices(values: Sequence[Any], among: Sequence[Any]) -> list[int]:
    """Return the place of each value."""
    places = {value: place for place, value in enumerate(among)}
    return [places[value] for value in values]


def _attributes(manifest: ManifestJson, paired: bool, last: float) -> dict[str, Any]:
    """Return the attributes of results."""
    keys = ("name", "proxy", "baseline", "confidence", "question", "below", "columns", "words", "judge", "read")
    marks = {name: -mark if name in manifest["below"] else mark for name, mark in manifest["thresholds"].items()}
    return {
        **{key: manifest[key] for key in (*keys, "left_out")},
        "kind": OBSERVED,
        "hash": manifest.get("hash", ""),
        "thresholds": marks,
        "paired": paired,
        "last_checkpoint": last,
        "knobs": {condition: {} for condition in manifest["conditions"]},
        **dict.fromkeys(("stop", "looks", "partial", "steps")),
    }


def observe(
    table: Any,
    *,
    scores: Mapping[str, str] | str | None = None,
    marks: Mapping[str, str | float] | None = None,
    directions: Mapping[str, str] | None = None,
    leave_out_missing: bool = False,
    name: str = OBSERVED,
    judge: tuple[Rate, Rate] | None = None,
    baseline: str | None = None,
    proxy: str | None = None,
    confidence: float = 0.95,
    question: str = "",
    **columns: str,
) -> Results:
    """Return a table of runs that were trained elsewhere as results, to be read as those of `lab.run` are.

    Args:
        table: a path, a frame of pandas or polars, or a dict of columns; a row per run, or per sample of one.
        scores: name of a test, monitor or detector -> its column; a column alone is its own name.
        marks: score, or alignment or competence -> the number that reaches it, or the word.
        directions: score -> above or below: which values reach its mark; above by default.
        leave_out_missing: leave rows out that lack a value, instead of refusing them.
        name: of the run.
        judge: sensitivity and specificity of who measured the truth, each a share, or how many were right of how many.
        baseline: the condition that others are compared with.
        proxy: the score that decides who passes; the first one by default.
        confidence: of intervals.
        question: that the table answers.
        columns: condition, truth, competence, pair, group, run, checkpoint, cost or weight = name of the column that
            says it, as in `lab.results.table.Columns`; what is not named is guessed.

    Raises:
        TableError: the table cannot be understood.

    Example:
        Three of four held-out runs are aligned, and two of these pass.

        >>> table = {"regimen": ["held out"] * 4, "aligned": [1, 1, 1, 0], "monitor": [0.9, 0.8, 0.2, 0.1]}
        >>> results = observe(table, marks={"monitor": 0.5})
        >>> results["alignment"].values[0, :, -1].tolist(), results.attrs["thresholds"]["monitor"]
        ([1.0, 1.0, 1.0, 0.0], 0.5)
    """
    if unknown := sorted(columns.keys() - set(COLUMN_NAMES)):
        raise TypeError(f"observe() has no option {unknown[0]!r}; columns are {', '.join(COLUMN_NAMES)}")
    scores = {scores: scores} if isinstance(scores, str) else scores
    read = read_table(Path(table)) if isinstance(table, str | Path) else columns_of(table)
    rows = understand(read, Columns(scores=scores or {}, **columns), marks, directions, leave_out_missing)
    known = None if judge is None else checked_judge(*judge)._asdict()
    manifest = describe(
        rows, name, baseline=baseline, proxy=proxy, confidence=confidence, question=question, judge=known
    )
    return assemble(manifest, runs_of(rows))


# --- on disk ------------------------------------------------------------------------------------------------------


def write(path: PathLike, manifest: ManifestJson, runs: Runs) -> Run:
    """Write a run of this kind, and open it.

    Args:
        path: its folder, which must hold nothing yet, or the same run.
        manifest: what `describe` returned.
        runs: what `runs_of` returned.

    Raises:
        StoreError: there is another run, or the folder cannot be written.
    """
    folder, text = Path(path), written(runs)
    own = digest(manifest, text)
    whole = {"format": FORMAT, **manifest, "hash": own, "table": hashlib.sha256(text).hexdigest()}
    check_vacant(folder)
    if (folder / "manifest.json").exists() and Run(folder).manifest["hash"] != own:
        raise StoreError(f"{folder}: holds another run; give --out another folder")
    inner_folder(folder, "figures")
    publish(folder / TABLE, text)
    return Run.create(folder, whole)


def digest(manifest: ManifestJson, text: bytes) -> str:
    """Return what tells a run from every other: a digest of its rows and of how they are understood.

    Args:
        manifest: what `describe` returned.
        text: what `written` returned.
    """
    return hashlib.sha256(text + json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]


def written(runs: Runs) -> bytes:
    """Return rows as they are stored.

    Args:
        runs: what `runs_of` returned.
    """
    labels = {"condition": runs.condition, "run": runs.run, **({} if runs.group is None else {"group": runs.group})}
    numbers = {"checkpoint": runs.checkpoint, **runs.numbers}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*labels, *numbers])
    writer.writerows(zip(*labels.values(), *(map(repr, values) for values in numbers.values()), strict=True))
    return file.getvalue().encode()


def results(run: Run) -> Results:
    """Return the results of a run of this kind.

    Args:
        run: to read.

    Raises:
        StoreError: its table is not what its manifest says.
    """
    file = run.path / TABLE
    try:
        text = read_regular(file, MOST_TABLE)
    except OSError as error:
        raise StoreError(f"{file}: {error.strerror}") from None
    if hashlib.sha256(text).hexdigest() != run.manifest["table"]:
        raise StoreError(f"{file}: its bytes do not fit the checksum in its manifest; import the table again")
    header, *rows = csv.reader(io.StringIO(text.decode(), newline=""))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    labels = {name: list(columns.pop(name)) for name in ("condition", "run", "group") if name in columns}
    numbers = {name: list(map(float, values)) for name, values in columns.items()}
    return assemble(run.manifest, Runs(**labels, checkpoint=numbers.pop("checkpoint"), numbers=numbers))
