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
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lab.results import shards, summary
from lab.results.outcomes import classify
from lab.results.store import StoreError, inner_folder, publish, publishing
from lab.results.summary import cells
from lab.statistics import CELLS, QUANTITIES
from lab.words import code, markdown, printable, setting

ROWS = 2**18  # of curves in a row group, about: 20 MB with 15 scores
ARROW = {"string": "string", "int64": "int64", "float32": "float32", "float64": "float64", "bool": "bool_"}
TABLES = {
    "conditions.parquet": "one row per condition, in the order of the config",
    "models.parquet": "one row per trained model: condition, then seed",
    "curves.parquet": "one row per trained model and checkpoint: condition, then seed, then checkpoint",
}


class MissingExtra(Exception):
    """What is asked for needs an optional package; the message says how to install it."""


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


@dataclass(frozen=True)
class Quantity:
    """What a quantity of `lab.statistics` means, for its three columns."""

    meaning: str
    unit: str
    high: float


MEANT = {
    "base_rate": Quantity("P(A): share of models that are aligned.", "probability", 1),
    "prior_odds": Quantity("o(A) = P(A) / P(not A).", "odds", math.inf),
    "pass_given_aligned": Quantity("P(T|A): share of aligned models that pass.", "probability", 1),
    "pass_given_misaligned": Quantity("P(T|not A): share of the other models that pass.", "probability", 1),
    "aligned_given_pass": Quantity("P(A|T): share of passing models that are aligned.", "probability", 1),
    "posterior_odds": Quantity("o(A|T): odds that a passing model is aligned.", "odds", math.inf),
    "pass_rate": Quantity("P(T): share of models that pass.", "probability", 1),
    "expected_runs": Quantity("1 / P(T): training runs per accepted model.", "training runs", math.inf),
    "likelihood_ratio": Quantity("LR = P(T|A) / P(T|not A): what passing says.", "ratio", math.inf),
    "negative_likelihood_ratio": Quantity("P(not T|A) / P(not T|not A): what failing says.", "ratio", math.inf),
    "odds_ratio": Quantity("Odds of passing if aligned over those if not.", "ratio", math.inf),
}
IMPACTS = {
    "likelihood_ratio": "Change of ln LR against the baseline: what happened to the test.",
    "base_rate": "Change of ln o(A) against the baseline: what happened to the models.",
    "net": "Change of ln o(A|T) against the baseline, the sum of both.",
}
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
NO_VALUE = "0/0: no models of the kind it takes, or a gate stopped models whose truth it takes"


def _estimate(name, meaning, unit, low, high, level, null, interval_null="never null"):
    """Return the three columns of an estimate."""
    ends = [("low", "Lower"), ("high", "Upper")]
    return [
        Column(name, meaning, "float64", unit, low, high, null),
        *(
            Column(f"{name}_{end}", f"{word} end of the {level} interval of {name}.", "float64", unit, low, high,
                   interval_null)
            for end, word in ends
        ),
    ]  # fmt: skip


def _places(manifest):
    """Return the columns that say which condition a row is about."""
    axes = manifest["config"]["sweep"]
    return [
        Column("condition", "Name of the condition: its regimen and its place in the sweep.", "string"),
        Column("regimen", "Name of the training regimen.", "string"),
        *(
            Column(f"axis_{axis}", f"Where the condition lies on the axis {axis} of the sweep.", "float64",
                   null="this regimen does not have that axis")
            for axis in axes
        ),
    ]  # fmt: skip


def _scores(manifest, about, when):
    own = about.get("scores", {})
    return [
        Column(f"score_{name}", f"Score {name} {when}" + (f": {own[name]}." if name in own else "."), "float32",
               "share", 0, 1, NO_SCORE)
        for name in manifest["scores"]
    ]  # fmt: skip


def columns(manifest, about=None):
    """Return the `Column`s of every table of a run, by file name.

    Args:
        manifest: of a `lab.results.store.Run`.
        about: what scores and knobs mean: {"scores": {name: words}, "knobs": {name: `lab.tasks.Knob`}}.
    """
    about, seeds = about or {}, shards.all_seeds(manifest)
    level, steps = setting(manifest["confidence"]), manifest["config"]["training"]["steps"]
    meaning = "The seed: it has the same initial weights and data stream in every condition."
    seed = Column("seed", meaning, "int64", "", seeds[0], seeds[-1])
    flag = {"type": "bool"}
    models = [
        *_places(manifest),
        seed,
        *_scores(manifest, about, "at the end of training"),
        Column("cell", f"Where the model is counted: {', '.join(CELLS)}.", "string"),
        Column("aligned", "A: alignment and competence are at or above their marks.", **flag, null=NO_TRUTH),
        Column("passes", "T: the proxy and competence are at or above their marks, and no gate rejected it.", **flag),
        Column("competent", "Competence is at or above its mark.", **flag, null=NO_TRUTH),
        Column("incompetent", "It can be judged, and cannot do the job.", **flag),
        Column("diverged", "A score is not a number.", **flag),
        Column("unjudged", "A gate stopped it in training.", **flag),
        Column("survives", "No gate of the regimen has rejected it; true where there are none.", **flag),
        Column("spent", "Share of its training until a gate rejected it; 1 if none did.", "float64", "share", 0, 1),
    ]
    curves = [
        *_places(manifest),
        seed,
        Column("checkpoint", "Share of training done.", "float64", "share", 0, 1),
        Column("step", "Optimisation steps done.", "int64", "steps", 0, steps),
        *_scores(manifest, about, "at the checkpoint"),
    ]
    knobs = about.get("knobs", {})
    conditions = _places(manifest)
    for name in manifest["conditions"][0]["knobs"]:
        knob = knobs.get(name)
        meaning = f"Knob {name}" + (f": {knob.about}." if knob else ".")
        conditions.append(Column(f"knob_{name}", meaning, "float64", "", *((knob.low, knob.high) if knob else ())))
    conditions.append(Column("seeds", "Number of models.", "int64", "models", 0, len(seeds)))
    conditions += [Column(name, meaning, "int64", "models", 0, len(seeds)) for name, meaning in COUNTED.items()]
    for name in QUANTITIES:
        own = MEANT[name]
        # 1 / P(T) counts the accepted run, so it is at least 1
        low = 1 if name == "expected_runs" else 0
        conditions += _estimate(name, own.meaning, own.unit, low, own.high, level, NO_VALUE)
    if any(condition["gates"] for condition in manifest["conditions"]):
        meaning = "Trainings spent per accepted model; runs that a gate stopped count in part."
        conditions += _estimate("compute_per_accepted", meaning, "trainings", 1, math.inf, level, "never null")
    meaning = "The condition that log impacts are against."
    conditions.append(Column("baseline", meaning, "string", null="this is a baseline itself"))
    alone = "this is a baseline itself"
    for name, meaning in IMPACTS.items():
        null = f"{alone}, or both are infinite, 0 or undefined"
        conditions += _estimate(f"impact_{name}", meaning, "nats", -math.inf, math.inf, level, null, alone)
    return {"conditions.parquet": conditions, "models.parquet": models, "curves.parquet": curves}


def definitions(manifest):
    """Return what A, T, LR and the rest mean in a run, in words with its pass marks.

    Args:
        manifest: of a `lab.results.store.Run`.
    """
    marks, proxy = manifest["thresholds"], manifest["proxy"]
    competent = f"score_competence >= {setting(marks['competence'])}"
    gated = any(condition["gates"] for condition in manifest["conditions"])
    return {
        "A": f"aligned: score_alignment >= {setting(marks['alignment'])} and {competent}, at the end of training",
        "T": f"passes: score_{proxy} >= {setting(marks[proxy])} and {competent}, at the end of training"
        + ", and no gate of the regimen has rejected the model" * gated,
        "not A": "every other model that was trained, incompetent and diverged ones included: nobody ships them",
        "marks": "are compared in float32, the type of the scores",
        "intervals": f"confidence {setting(manifest['confidence'])}, each by itself; Wilson's for rates and what "
        "follows from one, Miettinen and Nurminen's for likelihood and odds ratios; for log impacts from draws of the "
        "joint outcomes of shared seeds, with one more seed where it matters most",
        "infinities": "an empty cell gives 0, infinity or null, never a corrected number",
    }


def dictionary(manifest, rows, about=None, partial=None):
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
            name: {"about": TABLES[name], "rows": rows[name], "columns": [_entry(column) for column in own]}
            for name, own in columns(manifest, about).items()
        },
    }


def _entry(column):
    """Return a column as JSON can hold it."""
    return {key: str(value) if value in (math.inf, -math.inf) else value for key, value in asdict(column).items()}


def page(data: dict) -> str:
    """Return what `dictionary` returned as a page to read, in Markdown.

    Args:
        data: what `dictionary` returned.
    """
    run = {key: markdown(value) if isinstance(value, str) and key != "source" else value
           for key, value in data["run"].items()}  # fmt: skip
    lines = [f"# {run['name']}", "", *([run["question"], ""] if run["question"] else [])]
    lines += [f"Run {run['hash']}" + (f", NOT COMPLETE: {run['partial']}" if run["partial"] else ""), ""]
    seeds = run["seeds"]
    identity = ", ".join(f"{key} {value}" for key, value in run["identity"].items() if value)
    lines.append(f"* seeds: {seeds['count']:,} per condition at most, from {seeds['first']} on")
    lines.append(f"* trained with: {markdown(identity)}")
    lines += [f"* continued with something else: {markdown('; '.join(changes))}" for changes in run["changes"]]
    lines += [f"* {name}: {markdown(text)}" for name, text in data["definitions"].items()]
    for name, table in data["tables"].items():
        lines += ["", f"## {name}", "", f"{table['rows']:,} rows: {table['about']}.", ""]
        lines += ["| column | meaning | type | unit | range | null |", "| --- | --- | --- | --- | --- | --- |"]
        for own in table["columns"]:
            limits = "" if own["low"] is None else f"{own['low']} to {own['high']}"
            others = (own["meaning"], own["type"], own["unit"], limits, own["null"])
            lines.append("| " + " | ".join([code(own["name"]), *map(markdown, others)]) + " |")
    source = printable(run["source"].rstrip("\n"), keep="\n\t")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    lines += ["", "## The config", "", f"{fence}yaml", source, fence, ""]
    return "\n".join(lines)


def write(stored, results, folder=None, about=None):
    """Write a run's tables and their dictionary; return the paths.

    Args:
        stored: a `lab.results.store.Run`.
        results: its results at the last checkpoint, from `lab.results.shards.results`; the conditions that these have
            are written, and if they are partial, the dictionary and every table say so.
        folder: where to; the folder "export" of the run by default.
        about: as for `columns`.

    Raises:
        MissingExtra: pyarrow is not installed.
        StoreError: the run is not complete or damaged, or the folder cannot be written.
    """
    pyarrow = _pyarrow()
    manifest, partial = stored.manifest, results.attrs["partial"]
    folder = Path(folder) if folder else inner_folder(stored.path, "export")
    described, rows = columns(manifest, about), dict.fromkeys(TABLES, 0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            put = {
                name: stack.enter_context(_table(folder / name, own, manifest, partial))
                for name, own in described.items()
            }
            for name, values, count in _pieces(stored, results):
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


def _pyarrow():
    """Import pyarrow, which is needed for this alone. Raises `MissingExtra`."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("Parquet needs pyarrow: pip install 'proxy-lab[export]'") from None
    return pyarrow


@contextlib.contextmanager
def _table(path, described, manifest, partial):
    """Give a function of (values, count) that appends a row group; the file is there once all is well, or not at all.

    A value is an array, or one number or word that all rows share; None and numbers that are nan are null.
    """
    pyarrow = _pyarrow()
    said = {key: manifest[key] for key in ("name", "hash", "question")} | {"partial": partial or ""}
    said |= {"definitions": json.dumps(definitions(manifest))}
    said |= {"columns": json.dumps({column.name: column.meaning for column in described})}
    fields = [(column.name, getattr(pyarrow, ARROW[column.type])()) for column in described]
    schema = pyarrow.schema(fields, {f"proxy_lab.{key}": value for key, value in said.items()})

    def array(value, kind, count):
        if value is None:
            return pyarrow.nulls(count, kind)
        if np.ndim(value) == 0:
            null = isinstance(value, float) and math.isnan(value)
            return pyarrow.nulls(count, kind) if null else pyarrow.repeat(pyarrow.scalar(value, kind), count)
        return pyarrow.array(value, kind, from_pandas=True)

    def put(values, count):
        arrays = [array(values[name], kind, count) for name, kind in fields]
        writer.write_table(pyarrow.table(arrays, schema=schema), row_group_size=max(1, count))

    with publishing(path) as file, pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        yield put


def _pieces(stored, results):
    """Yield (file name, values by column, number of rows) of every row group, in order."""
    manifest = stored.manifest
    axes = manifest["config"]["sweep"]
    names = [condition["name"] for condition in manifest["conditions"]]
    rows = summary.summarise(results)
    places = [
        {"condition": row.name, "regimen": row.regimen} | {f"axis_{axis}": row.coordinates.get(axis) for axis in axes}
        for row in rows
    ]
    whole = [{**place, **_summary(row)} for place, row in zip(places, rows, strict=True)]
    yield "conditions.parquet", {name: [own[name] for own in whole] for name in whole[0]}, len(whole)
    for place in places:
        index = names.index(place["condition"])
        for seeds in _stretches(manifest):
            part = shards.results(stored, partial=results.attrs["partial"], conditions=[index], seeds=seeds)
            if "trained" in part.coords:
                part = part.isel(seed=np.flatnonzero(part.trained.values[0]))
            if count := part.sizes["seed"]:
                yield "models.parquet", {**place, **_models(part)}, count
                yield "curves.parquet", {**place, **_curves(part)}, count * part.sizes["checkpoint"]


def _stretches(manifest):
    """Yield ranges of seeds of whole blocks, whose scores make about `ROWS` rows of curves."""
    blocks = max(1, ROWS // (manifest["block_width"] * len(manifest["checkpoints"])))
    seeds, size = shards.all_seeds(manifest), blocks * manifest["block_width"]
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def _summary(row):
    """Return the columns of a `lab.results.summary.Summary`."""
    values = {f"knob_{name}": float(value) for name, value in row.knobs.items()}
    values |= {"seeds": row.counts.seeds, **asdict(row.counts), "baseline": row.baseline}
    estimates = dict(row.estimates)
    if row.compute is not None:
        estimates["compute_per_accepted"] = row.compute
    for name in IMPACTS:
        estimates[f"impact_{name}"] = (None, None, None) if row.impact is None else getattr(row.impact, name)
    for name, (value, low, high) in estimates.items():
        values |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return values


def _models(part):
    """Return the columns of models, from the results of one condition."""
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


def _curves(part):
    """Return the columns of curves, from the results of one condition."""
    seeds, shares = part.seed.values, part.checkpoint.values
    steps = np.rint(shares * part.attrs["steps"]).astype(np.int64)
    return {
        "seed": np.repeat(seeds, len(shares)),
        "checkpoint": np.tile(shares, len(seeds)),
        "step": np.tile(steps, len(seeds)),
        **{f"score_{name}": _finite(part[name].values[0].ravel()) for name in part.data_vars},
    }


def _finite(scores):
    return np.where(np.isfinite(scores), scores, np.float32(np.nan))
