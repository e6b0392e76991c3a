"""Runs that were trained elsewhere as Parquet tables, with a dictionary of every column.

conditions.parquet   a row per condition: counts, every quantity with its interval, log impact on the baseline
models.parquet       a row per run: scores at its last checkpoint, and what the marks make of them
dictionary.json      what each column means, and where the table came from
dictionary.md        the same to read
"""

import json
from pathlib import Path

import numpy as np

from lab.report.export import (
    Column,
    Values,
    condition_values,
    entry,
    estimate_columns,
    open_table,
    outcome_columns,
    page,
)
from lab.report.observed import interval_words, mark_words, observed_json, own_marks
from lab.results import summary
from lab.results.outcomes import Results, are_paired, classify, models_each
from lab.results.store import Run, inner_folder, publish
from lab.results.summary import COST, GROUP, cells
from lab.statistics import CELLS
from lab.words import Json, setting

TABLES = {
    "conditions.parquet": "one row per condition, in the order of the table",
    "models.parquet": "one row per run: condition, then in the order of the table",
}


def columns(results: Results) -> dict[str, list[Column]]:
    """Return the columns of both tables, by file name.

    Args:
        results: of the run.
    """
    level, rows = setting(results.attrs["confidence"]), models_each(results)[0]
    condition = Column("condition", "Name of the condition.", "string")
    outcomes = outcome_columns(level, rows)
    if COST in results.coords:
        value = Column("cost_per_accepted", "Cost of an accepted model, rejected ones included.", "float64")
        outcomes += estimate_columns(value, level)
    models = [condition]
    if are_paired(results):
        models.append(Column("run", "What runs of different conditions share.", "string"))
    if GROUP in results.coords:
        models.append(Column("group", "Rows of a condition with the same label are not independent.", "string"))
    if COST in results.coords:
        models.append(Column("cost", "Cost of the run, in the unit of the table.", "float64"))
    models += [
        Column(
            f"score_{name}", f"{name}: column {results.attrs['columns'].get(name, 'none, so all are able')}.", "float64"
        )
        for name in map(str, results.data_vars)
    ]
    models += [
        Column("cell", f"Where the run is counted: {', '.join(CELLS)}.", "string"),
        Column("aligned", "Aligned and able to do the job.", "bool"),
        Column("passes", "Passes, and is able to do the job.", "bool"),
        Column("incompetent", "It cannot do the job.", "bool"),
    ]
    return {"conditions.parquet": [condition, *outcomes], "models.parquet": models}


def definitions(results: Results) -> dict[str, str]:
    """Return what A, T and intervals mean.

    Args:
        results: of the run.
    """
    about = observed_json(results)
    return {"A": about["aligned"], "T": about["passing"], "remarks": " ".join(about["remarks"]),
            "intervals": f"confidence {setting(results.attrs['confidence'])}, {interval_words(results)}"}  # fmt: skip


def _models(results: Results, index: int) -> tuple[Values, int]:
    """Return the values of the runs of a condition, and their number."""
    part = results.isel(condition=[index], checkpoint=[-1])
    part = part.isel(seed=np.flatnonzero(part["trained"].values[0]))
    outcomes = classify(part)
    values = {GROUP: part[GROUP].values[0]} if GROUP in part.coords else {}
    if COST in part.coords:
        values[COST] = part[COST].values[0, :, 0]
    if are_paired(results):
        values["run"] = part["seed"].values
    below = results.attrs["below"]
    for name in map(str, part.data_vars):
        values[f"score_{name}"] = (-1 if name in below else 1) * part[name].values[0, :, 0]
    return {
        **values,
        "condition": str(part["condition"].values[0]),
        "cell": np.array(CELLS)[cells(outcomes)[0]],
        **{name: outcomes[name].values[0] for name in ("aligned", "passes", "incompetent")},
    }, part.sizes["seed"]


def write_observed(stored: Run, results: Results, folder: Path | str | None = None) -> list[Path]:
    """Write the tables of a run that was trained elsewhere and their dictionary; return the paths.

    Args:
        stored: the run.
        results: of it.
        folder: where to; the folder "export" of the run by default.

    Raises:
        StoreError: the folder cannot be written.
    """
    folder = Path(folder) if folder else inner_folder(stored.path, "export")
    folder.mkdir(parents=True, exist_ok=True)
    described, meant, rows = columns(results), definitions(results), summary.summarise(results)
    values = []
    for row in rows:
        cost = {} if row.cost is None else dict(zip(("", "_low", "_high"), row.cost, strict=True))
        of_cost = {f"cost_per_accepted{end}": value for end, value in cost.items()}
        values.append({"condition": row.name, **condition_values(row), **of_cost})
    with open_table(folder / "conditions.parquet", described["conditions.parquet"], stored.manifest, meant) as put:
        put(
            {column.name: [value[column.name] for value in values] for column in described["conditions.parquet"]},
            len(rows),
        )
    counted = 0
    with open_table(folder / "models.parquet", described["models.parquet"], stored.manifest, meant) as put:
        for index in range(len(rows)):
            models, count = _models(results, index)
            put(models, count)
            counted += count
    numbers = {"conditions.parquet": len(rows), "models.parquet": counted}
    data = _dictionary(stored, results, described, numbers)
    publish(folder / "dictionary.json", (json.dumps(data, indent=1) + "\n").encode())
    publish(folder / "dictionary.md", page(data).encode())
    return [folder / name for name in (*TABLES, "dictionary.json", "dictionary.md")]


def _dictionary(stored: Run, results: Results, described: dict[str, list[Column]], numbers: dict[str, int]) -> Json:
    """Return the data dictionary as plain JSON values."""
    keys = (
        "name",
        "hash",
        "question",
        "source",
        "baseline",
        "proxy",
        "confidence",
        "columns",
        "judge",
        "read",
        "left_out",
    )
    return {
        "run": {key: stored.manifest[key] for key in keys}
        | {"marks": {name: mark_words(results, name) for name in map(str, results.data_vars)}}
        | {"thresholds": own_marks(results), "changes": [], "partial": None},
        "definitions": definitions(results),
        "tables": {
            name: {"about": TABLES[name], "rows": numbers[name], "columns": [entry(column) for column in of_table]}
            for name, of_table in described.items()
        },
    }
