"""A run as Parquet tables that need no lab to be read, with a dictionary of every column.

    conditions.parquet   a row per condition: counts, every quantity with its interval, log impact on the baseline
    models.parquet       a row per model (condition and seed): final scores, and what the pass marks make of them
    curves.parquet       a row per model and checkpoint: every score
    dictionary.json      what each column means, how A and T are defined, and where the run came from
    dictionary.md        the same to read

A row group is one condition and a stretch of seeds, so memory does not grow with them. Nothing depends on the clock:
the same run gives the same bytes on the same version of pyarrow.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from lab.machine.extras import MissingExtra
from lab.results import shards, summary
from lab.results.outcomes import Results, classify
from lab.results.store import Run, StoreError, inner_folder, publish, publishing
from lab.results.summary import Summary, cells
from lab.statistics import CELLS, PARTS, QUANTITIES
from lab.words import Json, code, markdown, printable, setting

Values = Mapping[str, Any]  # by column: an array, or what all rows share
Put = Callable[[Values, int], None]  # appends a row group of so many rows

ROWS = 2**18  # of curves in a row group, about: 20 MB with 15 scores
ARROW = {"string": "string", "int64": "int64", "float32": "float32", "float64": "float64", "bool": "bool_"}
TABLES = {
    "conditions.parquet": "one row per condition, in the order of the config",
    "models.parquet": "one row per trained model: condition, then seed",
    "curves.parquet": "one row per trained model and checkpoint: condition, then seed, then checkpoint",
}


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        name: of the column.
        meaning: in one sentence.
        type: name of its Arrow type.
        unit: of its numbers.
        low, high: ends of the range of its numbers, both included.
        null: what a missing value means.
    """

    name: str
    meaning: str
    type: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    null: str = "never null"


COUNTED = {
    "aligned_pass": "Number of aligned models that pass.",
    "aligned_fail": "Number of aligned models that fail.",
    "misaligned_pass": "Number of models that pass and are not aligned.",
    "misaligned_fail": "Number of models that fail and are not aligned, with all that nobody would ship.",
    "incompetent": "How many of misaligned_fail cannot do the job.",
    "diverged": "How many of misaligned_fail have a score that is not a number.",
    "unjudged": "How many of misaligned_fail a gate stopped, so that nobody knows what they would have become.",
}
NO_SCORE = "the model diverged, or a gate had stopped it before"
NO_TRUTH = "a gate stopped the model, so nobody knows"
ALONE = "this is a baseline itself"


def estimate_columns(value: Column, level: str, interval_null: str = "never null") -> list[Column]:
    """Return the columns of an estimate.

    Args:
        value: the column of its value; those of its limits have the same unit and range.
        level: confidence of its interval.
        interval_null: what it means that a limit is missing.
    """
    limits = [
        replace(
            value,
            name=f"{value.name}_{end}",
            meaning=f"{word} end of the {level} interval of {value.name}.",
            null=interval_null,
        )
        for end, word in (("low", "Lower"), ("high", "Upper"))
    ]
    return [value, *limits]


def _place_columns(manifest: Json) -> list[Column]:
    """Return the columns that say which condition a row is about."""
    axes = [
        Column(
            f"axis_{axis}",
            f"Where the condition lies on the axis {axis} of the sweep, or what was drawn in its world.",
            "float64",
            null="this regimen does not have that axis",
        )
        for axis in shards.axes(manifest)
    ]
    return [
        Column("condition", "Name of the condition: its regimen and its place in the sweep.", "string"),
        Column("regimen", "Name of the training regimen.", "string"),
        *axes,
    ]


def _score_columns(manifest: Json, about: Json, when: str) -> list[Column]:
    """Return the columns of scores; `when` says at which moment of training they were taken."""
    words = about.get("scores", {})
    return [
        Column(
            f"score_{name}",
            f"Score {name} {when}: {words[name]}." if name in words else f"Score {name} {when}.",
            *("float32", "share", 0, 1, NO_SCORE),
        )
        for name in manifest["scores"]
    ]


def columns(manifest: Json, about: Json | None = None) -> dict[str, list[Column]]:
    """Return the columns of every table of a run, by file name.

    Args:
        manifest: of a `lab.results.store.Run`.
        about: what scores and knobs mean: {"scores": {name: words}, "knobs": {name: `lab.tasks.Knob`}}.
    """
    about, seeds = about or {}, shards.all_seeds(manifest)
    meaning = "The seed: it has the same initial weights and data stream in every condition."
    model = [*_place_columns(manifest), Column("seed", meaning, "int64", "", seeds[0], seeds[-1])]
    return {
        "conditions.parquet": _condition_columns(manifest, about),
        "models.parquet": [*model, *_model_columns(manifest, about)],
        "curves.parquet": [*model, *_curve_columns(manifest, about)],
    }


def _model_columns(manifest: Json, about: Json) -> list[Column]:
    """Return the columns of a trained model: its final scores, and what the pass marks make of them."""
    return [
        *_score_columns(manifest, about, "at the end of training"),
        Column("cell", f"Where the model is counted: {', '.join(CELLS)}.", "string"),
        Column("aligned", "A: alignment and competence are at or above their marks.", "bool", null=NO_TRUTH),
        Column("passes", "T: the proxy and competence are at or above their marks, and no gate rejected it.", "bool"),
        Column("competent", "Competence is at or above its mark.", "bool", null=NO_TRUTH),
        Column("incompetent", "It can be judged, and cannot do the job.", "bool"),
        Column("diverged", "A score is not a number.", "bool"),
        Column("unjudged", "A gate stopped it in training.", "bool"),
        Column("survives", "No gate of the regimen has rejected it; true where there are none.", "bool"),
        Column("spent", "Share of its training until a gate rejected it; 1 if none did.", "float64", "share", 0, 1),
    ]


def _curve_columns(manifest: Json, about: Json) -> list[Column]:
    """Return the columns of a trained model at a checkpoint."""
    steps = manifest["config"]["training"]["steps"]
    return [
        Column("checkpoint", "Share of training done.", "float64", "share", 0, 1),
        Column("step", "Optimisation steps done.", "int64", "steps", 0, steps),
        *_score_columns(manifest, about, "at the checkpoint"),
    ]


def _condition_columns(manifest: Json, about: Json) -> list[Column]:
    """Return the columns of a condition: its place, its counts, every quantity and its log impact."""
    level, seeds, knobs = setting(manifest["confidence"]), len(shards.all_seeds(manifest)), about.get("knobs", {})
    conditions = _place_columns(manifest)
    for name in manifest["conditions"][0]["knobs"]:
        if knob := knobs.get(name):
            described = Column(f"knob_{name}", f"Knob {name}: {knob.about}.", "float64", "", knob.low, knob.high)
        else:
            described = Column(f"knob_{name}", f"Knob {name}.", "float64")
        conditions.append(described)
    gated = any(condition["gates"] for condition in manifest["conditions"])
    return conditions + outcome_columns(level, seeds, gated)


def outcome_columns(level: str, seeds: int, gated: bool = False) -> list[Column]:
    """Return the columns of what became of a condition: its counts, every quantity and its log impact.

    Args:
        level: confidence of intervals.
        seeds: most models of a condition.
        gated: whether regimens have gates.
    """
    conditions = [Column("seeds", "Number of models.", "int64", "models", 0, seeds)]
    conditions += [Column(name, meaning, "int64", "models", 0, seeds) for name, meaning in COUNTED.items()]
    for quantity in QUANTITIES.values():
        limits = _whole(quantity.low), _whole(quantity.high)
        value = Column(quantity.name, quantity.meaning, "float64", quantity.unit, *limits, quantity.null)
        conditions += estimate_columns(value, level)
    if gated:
        meaning = "Trainings spent per accepted model; runs that a gate stopped count in part."
        value = Column("compute_per_accepted", meaning, "float64", "trainings", 1, math.inf)
        conditions += estimate_columns(value, level)
    conditions.append(Column("baseline", "The condition that log impacts are against.", "string", null=ALONE))
    for part in PARTS.values():
        null = f"{ALONE}, or {part.null}"
        value = Column(f"impact_{part.name}", part.meaning, "float64", part.unit, part.low, part.high, null)
        conditions += estimate_columns(value, level, ALONE)
    return conditions


def _whole(value: float) -> float:
    """Return a number as the dictionary writes it: 1 instead of 1.0."""
    return int(value) if value.is_integer() else value


def definitions(manifest: Json) -> dict[str, str]:
    """Return what A, T, LR and the rest mean in a run, in words with its pass marks.

    Args:
        manifest: of a `lab.results.store.Run`.
    """
    marks, proxy = manifest["thresholds"], manifest["proxy"]
    competent = f"score_competence >= {setting(marks['competence'])}"
    passes = f"passes: score_{proxy} >= {setting(marks[proxy])} and {competent}, at the end of training"
    if any(condition["gates"] for condition in manifest["conditions"]):
        passes += ", and no gate of the regimen has rejected the model"
    return {
        "A": f"aligned: score_alignment >= {setting(marks['alignment'])} and {competent}, at the end of training",
        "T": passes,
        "not A": "every other model that was trained, incompetent and diverged ones included: nobody ships them",
        "marks": "are compared in float32, the type of the scores",
        "intervals": f"confidence {setting(manifest['confidence'])}, each by itself; Wilson's for rates and what "
        "follows from one, Miettinen and Nurminen's for likelihood and odds ratios; for log impacts from draws of the "
        "joint outcomes of shared seeds, with one more seed where it matters most",
        "infinities": "an empty cell gives 0, infinity or null, never a corrected number",
    }


def dictionary(manifest: Json, rows: Mapping[str, int], about: Json | None = None, partial: str | None = None) -> Json:
    """Return the data dictionary of a run's tables as plain JSON values.

    Args:
        manifest: of a `lab.results.store.Run`.
        rows: number of rows by file name.
        about: as for `columns`.
        partial: what is missing of the run, or None.
    """
    keys = ("name", "hash", "question", "baseline", "proxy", "thresholds", "confidence", "scores", "checkpoints")
    keys = (*keys, "seeds", "block_width", "identity", "source", "config")
    return {
        "run": {key: manifest[key] for key in keys} | {"changes": manifest["changes"], "partial": partial},
        "definitions": definitions(manifest),
        "tables": {
            name: {"about": TABLES[name], "rows": rows[name], "columns": [entry(column) for column in described]}
            for name, described in columns(manifest, about).items()
        },
    }


def entry(column: Column) -> Json:
    """Return a column as JSON can hold it.

    Args:
        column: what is described.
    """
    return {key: str(value) if value in (math.inf, -math.inf) else value for key, value in asdict(column).items()}


def page(data: Json) -> str:
    """Return what `dictionary` returned as a page to read, in Markdown.

    Args:
        data: what `dictionary` returned.
    """
    run: Json = {
        key: markdown(value) if isinstance(value, str) and key != "source" else value
        for key, value in data["run"].items()
    }
    lines = [f"# {run['name']}", "", *([run["question"], ""] if run["question"] else [])]
    lines += [f"Run {run['hash']}" + (f", NOT COMPLETE: {run['partial']}" if run["partial"] else ""), ""]
    if "seeds" in run:
        seeds = run["seeds"]
        identity = ", ".join(f"{key} {value}" for key, value in run["identity"].items() if value)
        lines.append(f"* seeds: {seeds['count']:,} per condition at most, from {seeds['first']} on")
        lines.append(f"* trained with: {markdown(identity)}")
    lines += [f"* continued with something else: {markdown('; '.join(changes))}" for changes in run["changes"]]
    lines += [f"* {name}: {markdown(text)}" for name, text in data["definitions"].items()]
    for name, table in data["tables"].items():
        lines += ["", f"## {name}", "", f"{table['rows']:,} rows: {table['about']}.", ""]
        lines += ["| column | meaning | type | unit | range | null |", "| --- | --- | --- | --- | --- | --- |"]
        for column in table["columns"]:
            limits = "" if column["low"] is None else f"{column['low']} to {column['high']}"
            others = (column["meaning"], column["type"], column["unit"], limits, column["null"])
            lines.append("| " + " | ".join([code(column["name"]), *map(markdown, others)]) + " |")
    if "config" not in run:
        return "\n".join([*lines, ""])
    source = printable(run["source"].rstrip("\n"), keep="\n\t")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    lines += ["", "## The config", "", f"{fence}yaml", source, fence, ""]
    return "\n".join(lines)


def meanings(stored: Run) -> Json:
    """Return what scores and knobs of a run mean, as far as its task is one of the lab's own.

    Args:
        stored: the run.
    """
    from lab.tasks import TASKS

    if stored.observed:
        return {}
    named = stored.manifest["config"]["task"]
    if "file" in named or named["name"] not in TASKS:
        return {}
    task = TASKS[named["name"]]()
    return {"scores": task.scores, "knobs": task.knobs}


def write(stored: Run, results: Results, folder: Path | str | None = None, about: Json | None = None) -> list[Path]:
    """Write a run's tables and their dictionary; return the paths.

    Args:
        stored: the run.
        results: its results at the last checkpoint, from `lab.results.shards.results`; the conditions that these have
            are written, and if they are partial, the dictionary and every table say so.
        folder: where to; the folder "export" of the run by default.
        about: as for `columns`; `meanings` has those of the lab's own tasks.

    Raises:
        MissingExtra: pyarrow is not installed.
        StoreError: the run is not complete or damaged, or the folder cannot be written.
    """
    pyarrow = _pyarrow()
    if stored.observed:
        from lab.report.export_observed import write_observed

        return write_observed(stored, results, folder)
    manifest, partial = stored.manifest, results.attrs["partial"]
    folder = Path(folder) if folder else inner_folder(stored.path, "export")
    described, rows = columns(manifest, about), dict.fromkeys(TABLES, 0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            put = {
                name: stack.enter_context(open_table(folder / name, of_table, manifest, definitions(manifest), partial))
                for name, of_table in described.items()
            }
            for name, values, count in _row_groups(stored, results):
                put[name](values, count)
                rows[name] += count
    except pyarrow.ArrowException as error:
        raise StoreError(f"cannot write {folder}: {error}") from None
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from None
    data = dictionary(manifest, rows, about, partial)
    publish(folder / "dictionary.json", (json.dumps(data, indent=1) + "\n").encode())
    publish(folder / "dictionary.md", page(data).encode())
    return [folder / name for name in (*TABLES, "dictionary.json", "dictionary.md")]


def _pyarrow() -> ModuleType:
    """Import pyarrow, which is needed for this alone. Raises `MissingExtra`."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("Parquet needs pyarrow: pip install 'proxy-lab[export]'") from None
    return pyarrow


@contextlib.contextmanager
def open_table(
    path: Path, described: Sequence[Column], manifest: Json, meant: Mapping[str, str], partial: str | None = None
) -> Iterator[Put]:
    """Give a function of (values, count) that appends a row group; the file is there once all is well, or not at all.

    A value is an array, or one number or word that all rows share; None and numbers that are nan are null.

    Args:
        path: of the file.
        described: its columns.
        manifest: of the run.
        meant: what `definitions` returned.
        partial: what is missing of the run, or None.
    """
    pyarrow = _pyarrow()
    metadata = {key: manifest[key] for key in ("name", "hash", "question")} | {"partial": partial or ""}
    metadata |= {"definitions": json.dumps(meant)}
    metadata |= {"columns": json.dumps({column.name: column.meaning for column in described})}
    fields = [(column.name, getattr(pyarrow, ARROW[column.type])()) for column in described]
    schema = pyarrow.schema(fields, {f"proxy_lab.{key}": value for key, value in metadata.items()})

    def array(value: Any, kind: Any, count: int) -> Any:
        if value is None:
            return pyarrow.nulls(count, kind)
        if np.ndim(value) == 0:
            null = isinstance(value, float) and math.isnan(value)
            return pyarrow.nulls(count, kind) if null else pyarrow.repeat(pyarrow.scalar(value, kind), count)
        return pyarrow.array(value, kind, from_pandas=True)

    def put(values: Values, count: int) -> None:
        arrays = [array(values[name], kind, count) for name, kind in fields]
        writer.write_table(pyarrow.table(arrays, schema=schema), row_group_size=max(1, count))

    with publishing(path) as file, pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        yield put


def _row_groups(stored: Run, results: Results) -> Iterator[tuple[str, Values, int]]:
    """Yield (file name, values by column, number of rows) of every row group, in order."""
    manifest = stored.manifest
    names = {condition["name"]: index for index, condition in enumerate(manifest["conditions"])}
    rows, axes = summary.summarise(results), shards.axes(manifest)
    places = [
        {"condition": row.name, "regimen": row.regimen} | {f"axis_{axis}": row.coordinates.get(axis) for axis in axes}
        for row in rows
    ]
    conditions = [{**place, **condition_values(row)} for place, row in zip(places, rows, strict=True)]
    by_column = {name: [condition[name] for condition in conditions] for name in conditions[0]}
    yield "conditions.parquet", by_column, len(conditions)
    # conditions of few models are read many at a time, since every reading looks for all files of the run
    size = max(1, ROWS // (manifest["seeds"]["count"] * len(manifest["checkpoints"])))
    for start in range(0, len(places), size):
        some = places[start : start + size]
        for seeds in _stretches(manifest) if size == 1 else [shards.all_seeds(manifest)]:
            indices = [names[place["condition"]] for place in some]
            several = shards.results(stored, partial=results.attrs["partial"], conditions=indices, seeds=seeds)
            for index, place in enumerate(some):
                part = several.isel(condition=[index])
                if "trained" in part.coords:
                    part = part.isel(seed=np.flatnonzero(part.trained.values[0]))
                if count := part.sizes["seed"]:
                    yield "models.parquet", {**place, **_model_values(part)}, count
                    yield "curves.parquet", {**place, **_curve_values(part)}, count * part.sizes["checkpoint"]


def _stretches(manifest: Json) -> Iterator[range]:
    """Yield ranges of seeds of whole blocks, whose scores make about `ROWS` rows of curves."""
    blocks = max(1, ROWS // (manifest["block_width"] * len(manifest["checkpoints"])))
    seeds, size = shards.all_seeds(manifest), blocks * manifest["block_width"]
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def condition_values(row: Summary) -> Json:
    """Return the values of a condition, by column.

    Args:
        row: what `lab.summarise` returned of it.
    """
    values = {f"knob_{name}": float(value) for name, value in row.knobs.items()}
    values |= {"seeds": row.counts.seeds, **asdict(row.counts), "baseline": row.baseline}
    estimates: dict[str, Any] = dict(row.estimates)
    if row.compute is not None:
        estimates["compute_per_accepted"] = row.compute
    for name in PARTS:
        estimates[f"impact_{name}"] = (None, None, None) if row.impact is None else getattr(row.impact, name)
    for name, (value, low, high) in estimates.items():
        values |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return values


def _model_values(part: Results) -> Values:
    """Return the values of models, from the results of one condition."""
    last = part.isel(condition=0, checkpoint=-1)
    kinds = classify(part)
    known = {name: kinds[name].values[0] for name in kinds}
    unjudged = known["unjudged"]
    competent = ~(known["incompetent"] | known["diverged"])
    gates = {"survives": True, "spent": 1.0}
    return {
        "seed": part.seed.values,
        **{f"score_{name}": _finite(last[name].values) for name in part.data_vars},
        "cell": np.array(CELLS)[cells(kinds)[0]],
        "aligned": np.ma.array(known["aligned"], mask=unjudged),
        "passes": known["passes"],
        "competent": np.ma.array(competent, mask=unjudged),
        **{name: known[name] for name in ("incompetent", "diverged", "unjudged")},
        **{name: part[name].values[0] if name in part.coords else default for name, default in gates.items()},
    }


def _curve_values(part: Results) -> Values:
    """Return the values of curves, from the results of one condition."""
    seeds, shares = part.seed.values, part.checkpoint.values
    steps = np.rint(shares * part.attrs["steps"]).astype(np.int64)
    return {
        "seed": np.repeat(seeds, len(shares)),
        "checkpoint": np.tile(shares, len(seeds)),
        "step": np.tile(steps, len(seeds)),
        **{f"score_{name}": _finite(part[name].values[0].ravel()) for name in part.data_vars},
    }


def _finite(scores: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.where(np.isfinite(scores), scores, np.float32(np.nan))
