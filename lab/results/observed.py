"""Runs that were trained elsewhere: a table of them as results, and on disk.

    RUN/manifest.json    what the table is, which column says what, which marks decide; its kind is `observed`
    RUN/table.csv        its rows as they were understood, of which the manifest holds the checksum

Such a run has no task, no config and no steps, and its conditions share nothing unless a column says so. Scores keep
the scale of their columns there; in results, those whose low values reach the mark have the opposite sign, and so has
their mark, so that reaching a mark means the same everywhere.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lab.results.outcomes import AXES, Results
from lab.results.store import (
    FORMAT,
    OBSERVED,
    ManifestJson,
    PathLike,
    Run,
    StoreError,
    inner_folder,
    publish,
    read_regular,
)
from lab.results.table import ABLE, TRUTH, Columns, Rows, TableError, columns_of, read_table, understand

TABLE = "table.csv"
MOST_TABLE = 2**32  # bytes
# conditions that others are compared with, by what they are often called
BASELINES = ("hold_out", "held_out", "hold out", "held out", "holdout", "baseline", "control", "none", "untrained")
UNABLE_MARK = 1.0  # of competence where no column says it: every model does the job


# --- from rows to results -----------------------------------------------------------------------------------------


def describe(rows: Rows, name: str, options: Mapping[str, Any]) -> ManifestJson:
    """Return the manifest of a table, without the checksum of what is stored.

    Args:
        rows: what is understood of the table.
        name: of the run.
        options: question, source, baseline, proxy, confidence and judge, where somebody has said them.

    Raises:
        TableError: there is no such baseline or proxy.
    """
    columns, conditions = rows.columns, list(dict.fromkeys(rows.labels["condition"]))
    baseline = options.get("baseline") or next((one for one in conditions if one.lower() in BASELINES), conditions[0])
    if baseline not in conditions:
        raise TableError(f"--baseline: no condition {baseline!r}; there are {', '.join(map(repr, conditions))}")
    proxy = options.get("proxy") or next(iter(columns.scores))
    if proxy not in columns.scores:
        raise TableError(f"--proxy: no score {proxy!r}; there are {', '.join(map(repr, columns.scores))}")
    marks = {name: meaning.mark for name, meaning in rows.meanings.items()}
    return {
        "kind": OBSERVED,
        "name": name,
        "question": options.get("question") or "",
        "source": options.get("source") or "",
        "scores": [ABLE, TRUTH, *columns.scores],
        "proxy": proxy,
        "thresholds": {ABLE: UNABLE_MARK, **marks},
        "below": [name for name, meaning in rows.meanings.items() if meaning.below],
        "columns": {**columns.measured, **columns.labels, **_numbers_beside(columns)},
        "words": {name: meaning.word for name, meaning in rows.meanings.items() if meaning.word is not None},
        "baseline": baseline,
        "confidence": options.get("confidence") or 0.95,
        "conditions": conditions,
        "judge": options.get("judge"),
        "read": rows.read,
        "left_out": rows.left_out,
    }


def _numbers_beside(columns: Columns) -> dict[str, str]:
    """Return what columns of numbers that are no score say -> the column, of those that there are."""
    named = {"checkpoint": columns.checkpoint, "cost": columns.cost, "weight": columns.weight}
    return {name: column for name, column in named.items() if column is not None}


def frame_of(rows: Rows) -> pd.DataFrame:
    """Return the rows of a table as they are stored: labels as text, and numbers.

    `run` says which rows are one run, by name within its condition, or across conditions where they are paired; `group`
    which runs are not independent.

    Args:
        rows: what is understood of the table.

    Raises:
        TableError: groups lie across pairs, or a run is there twice at a checkpoint, or not at all.
    """
    count, pairs, groups = len(rows.labels["condition"]), rows.labels.get("pair"), rows.labels.get("group")
    runs = rows.labels.get("run") or pairs or groups if rows.columns.checkpoint else None
    if rows.columns.checkpoint and not runs:
        raise TableError("with checkpoints, something must say which rows are one run: give --run COLUMN")
    frame = pd.DataFrame({"condition": rows.labels["condition"]}, dtype=str)
    frame["run"] = runs or [str(row + 1) for row in range(count)]
    if groups and pairs:
        groups = _within_pairs(rows)
    if pairs:  # a pair may have several runs of a condition, which are then no more independent than a group is
        frame["pair"] = pairs
        first = frame.drop_duplicates()
        turn = first.groupby(["condition", "pair"]).cumcount()
        frame["run"] = frame.merge(first.assign(turn=turn), "left")["turn"].map("{}".format)
        frame["run"] = frame.pop("pair").where(frame["run"] == "0", pairs + pd.Series(" #") + frame["run"])
        groups = pairs if turn.any() else groups
    if groups and pd.Series(groups).groupby([frame["condition"], groups]).size().max() > 1:
        frame["group"] = groups
    frame["checkpoint"] = rows.numbers.get("checkpoint", [1.0] * count)
    for name in ("cost", ABLE, TRUTH, *rows.columns.scores):
        if name in rows.numbers:
            frame[f"score.{name}" if name in rows.meanings else name] = rows.numbers[name]
    return _tracked(frame)


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


def _tracked(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows as they are. Raises a TableError unless every run is there once at every checkpoint."""
    names = ["condition", "run"]
    twice = frame.duplicated([*names, "checkpoint"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise TableError(
            f"run {row['run']!r} of {row['condition']!r} is there twice at checkpoint {row['checkpoint']:g}: "
            "give --run a column that tells its rows apart"
        )
    checkpoints = frame["checkpoint"].nunique()
    seen = frame.groupby(names, sort=False).size()
    if (seen < checkpoints).any():
        condition, run = seen[seen < checkpoints].index[0]
        raise TableError(f"run {run!r} of {condition!r} is not there at all {checkpoints} checkpoints")
    if frame["checkpoint"].max() <= 0:
        raise TableError("checkpoints must be above 0 at the end: they are shares of training, or steps")
    return frame


def assemble(manifest: ManifestJson, frame: pd.DataFrame) -> Results:
    """Return a table of runs as results, with dims (condition, seed, checkpoint).

    A seed is a run: by name where runs of different conditions are paired, else any number of each condition.

    Args:
        manifest: what `describe` returned, or a stored one.
        frame: what `frame_of` returned.
    """
    conditions, paired = manifest["conditions"], "pair" in manifest["columns"]
    checkpoints = np.sort(frame["checkpoint"].unique())
    rows = pd.Categorical(frame["condition"], conditions).codes
    if paired:
        names = frame["run"].unique()
        runs = pd.Categorical(frame["run"], names).codes
    else:
        names = None
        first = frame.drop_duplicates(["condition", "run"])
        turn = first.groupby("condition").cumcount()
        place = pd.Series(turn.values, pd.MultiIndex.from_frame(first[["condition", "run"]]))
        runs = place.loc[pd.MultiIndex.from_frame(frame[["condition", "run"]])].to_numpy()
    shape = (len(conditions), int(runs.max()) + 1, len(checkpoints))
    cells = rows, runs, np.searchsorted(checkpoints, frame["checkpoint"])
    trained = np.zeros(shape[:2], bool)
    trained[rows, runs] = True
    scores = {}
    for name in manifest["scores"]:
        sign = -1 if name in manifest["below"] else 1
        scores[name] = np.full(shape, np.nan)
        scores[name][cells] = sign * frame[f"score.{name}"] if f"score.{name}" in frame else UNABLE_MARK
    coordinates: dict[str, Any] = {
        "condition": conditions,
        "regimen": ("condition", conditions),
        "checkpoint": checkpoints / checkpoints[-1],
        "trained": (AXES[:2], trained),
    }
    if names is not None:
        coordinates["seed"] = names
    for name in ("group", "cost"):
        if name in frame:
            values = pd.factorize(frame[name])[0] if name == "group" else frame[name].to_numpy()
            table = np.full(shape[:2], -1 if name == "group" else np.nan, values.dtype)
            table[rows, runs] = values
            coordinates[name] = AXES[:2], table
    return xr.Dataset(
        {name: (AXES, table) for name, table in scores.items()}, coordinates, _attributes(manifest, paired)
    )


def _attributes(manifest: ManifestJson, paired: bool) -> dict[str, Any]:
    """Return the attributes of results."""
    keys = (
        "name",
        "proxy",
        "baseline",
        "confidence",
        "question",
        "below",
        "columns",
        "words",
        "judge",
        "read",
        "left_out",
    )
    marks = {name: -mark if name in manifest["below"] else mark for name, mark in manifest["thresholds"].items()}
    return {
        **{key: manifest[key] for key in keys},
        "kind": OBSERVED,
        "hash": manifest.get("hash", ""),
        "thresholds": marks,
        "paired": paired,
        "knobs": {condition: {} for condition in manifest["conditions"]},
        **dict.fromkeys(("stop", "looks", "partial", "steps")),
    }


def observe(
    table: Any,
    *,
    columns: Columns | None = None,
    marks: Mapping[str, str | float] | None = None,
    directions: Mapping[str, str] | None = None,
    leave_out_missing: bool = False,
    name: str = OBSERVED,
    **options: Any,
) -> Results:
    """Return a table of runs that were trained elsewhere as results, to be read as those of `lab.run` are.

    Args:
        table: a path, a frame of pandas or polars, or a dict of columns.
        columns: which column says what; the rest is guessed from the names.
        marks: as for `lab.results.table.understand`.
        directions: as there.
        leave_out_missing: as there.
        name: of the run.
        options: question, baseline, proxy, confidence, and judge.

    Raises:
        TableError: it cannot be understood.
    """
    read = read_table(Path(table)) if isinstance(table, str | Path) else columns_of(table)
    rows = understand(read, columns, marks, directions, leave_out_missing)
    return assemble(describe(rows, name, options), frame_of(rows))


# --- on disk ------------------------------------------------------------------------------------------------------


def write(path: PathLike, manifest: ManifestJson, frame: pd.DataFrame) -> Run:
    """Write a run of this kind, and open it.

    Args:
        path: its folder, which must hold nothing yet, or the same run.
        manifest: what `describe` returned.
        frame: what `frame_of` returned.

    Raises:
        StoreError: there is another run, or the folder cannot be written.
    """
    folder = Path(path)
    text = frame.to_csv(index=False, lineterminator="\n").encode()
    checksum = hashlib.sha256(text).hexdigest()
    whole = {**manifest, "hash": hashlib.sha256(f"{checksum}{manifest}".encode()).hexdigest()[:16], "table": checksum}
    if (folder / "manifest.json").exists() and Run(folder).manifest != {"format": FORMAT, **whole}:
        raise StoreError(f"{folder}: holds another run; give --out another folder")
    inner_folder(folder, "figures")
    publish(folder / TABLE, text)
    return Run.create(folder, whole)


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
    labels = dict.fromkeys(("condition", "run", "group"), str)
    frame = pd.read_csv(io.BytesIO(text), dtype=labels, keep_default_na=False, float_precision="round_trip")
    return assemble(run.manifest, frame)


def lacks(what: str, kinds: Sequence[str] = ()) -> str:
    """Return the sentence with which a command refuses a run that was trained elsewhere."""
    return f"was not trained here, and {what}"
