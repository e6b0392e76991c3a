"""Commands that read stored runs."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.text import Text
from tyro.conf import Positional, arg

from lab import report, statistics
from lab.cli.console import Console, NameOrNone, UsageError, console, errors
from lab.config.source import shortened
from lab.results import outcomes, summary
from lab.results.store import Run, StoreError, inner_folder, publish
from lab.words import percent

MOST_RUNS = 10**9  # of a budget
MOST_NUMBERS = 100  # that an option takes
MOST_FRESH, MOST_EXACT = 100, 1_000  # ideas and runs, beyond which no exact answer is within reach


def read(stored, partial=False, where=console, last_only=True):
    """Return a run's results; `where` is told what is missing if they are partial."""
    results = outcomes.results(stored, last_only, partial)
    if missing := results.attrs["partial"]:
        there = results.trained.values.any(axis=1)
        gone = ", ".join(results.condition.values[~there])
        if not there.any():
            raise StoreError(f"{stored.path}: {missing}, and nothing is left")
        missing += f"; without any run: {gone}" * bool(gone)
        where.print(Text(f"NOT COMPLETE: {missing}", style="bold red"))
        results = _only(results, there)
        results.attrs["partial"] = missing
        if results.attrs["baseline"] not in results.regimen.values:
            results.attrs["baseline"] = str(results.regimen.values[0])
    return results


def _only(results, wanted):
    """Return the results of some conditions."""
    return results.isel(condition=np.flatnonzero(wanted))


def _judged(results):
    """Leave out conditions of which gates have stopped runs, and say so."""
    if "stopped" not in results.coords:
        return results
    whole = ~results.stopped.values.any(axis=1)
    for name in results.condition.values[~whole]:
        errors.print(f"{name}: gates have stopped runs, whose truth this takes: left out", markup=False)
    if not whole.any():
        raise UsageError("gates have stopped runs in every condition, and this takes the truth about them")
    return _only(results, whole)


def print_run(stored, partial=False):
    """Print a run's table and what it means; return the results and the rows."""
    results = read(stored, partial)
    rows = summary.summarise(results)
    wide = console if console.is_terminal else Console(width=170)
    if results.attrs["question"]:
        console.print(Text(results.attrs["question"], style="bold"))
    wide.print(report.table(results, rows))
    for line in report.readings(rows):
        console.print(Text(line), soft_wrap=True)
    if line := report.stopping(results):
        console.print(Text(line), soft_wrap=True)
        summary.still_open(lambda said: console.print(Text(said), soft_wrap=True))(stored)
    for changes in stored.manifest["changes"]:
        console.print(Text(f"Mixed run, continued with something else: {'; '.join(changes)}", style="bold red"))
    return results, rows


def show(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    partial: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Print the table of a stored run, or everything in it as JSON.

    Args:
        folder: the run's folder.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    stored = Run(folder)
    if not as_json:
        print_run(stored, partial)
        return
    results = read(stored, partial, errors)
    print(json.dumps(report.as_json(results, summary.summarise(results)), indent=1))


def compare(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    baseline: NameOrNone = None,
    together: bool = False,
    partial: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Print the log impact of every condition over a baseline regimen, with intervals.

    Args:
        folder: the run's folder.
        baseline: a regimen; the run's own by default.
        together: widen the intervals so that all of a column hold together (Bonferroni).
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    results = read(Run(folder), partial, errors if as_json else console)
    try:
        every = summary.summarise(results, baseline, together=together)
    except outcomes.UnknownName:
        raise
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from None
    rows = [row for row in every if row.impact is not None]
    if not rows:
        raise UsageError(f"{folder}: nothing to compare: there is only the baseline")
    if as_json:
        print(json.dumps({row.name: report.impact_json(row) for row in rows}, indent=1))
        return
    wide = console if console.is_terminal else Console(width=140)
    wide.print(report.impact_table(rows, together))
    for line in report.readings(every):
        console.print(Text(line), soft_wrap=True)


def plan(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    budget: str = "1,3,10,100",
    partial: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Say which regimen to use for which budget of training runs.

    Args:
        folder: the run's folder.
        budget: numbers of runs, with commas between.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    from lab import decision

    budgets = _numbers("--budget", budget, int, MOST_RUNS)
    results = _judged(read(Run(folder), partial, errors if as_json else console))
    try:
        plans = decision.plan(results, budgets)
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from None
    if as_json:
        print(json.dumps(report.plan_json(plans), indent=1))
        return
    wide = console if console.is_terminal else Console(width=140)
    wide.print(report.plan_table(plans, results.attrs["confidence"]))
    if "spent" in results.coords:
        console.print("(runs count in full here, also those that a gate of the regimen stopped early)")
    for line in report.plan_readings(plans):
        console.print(Text(line), soft_wrap=True)


def ideas(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    regimen: NameOrNone = None,
    fresh: int = 3,
    runs: int = 5,
    partial: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Take a run's conditions as ideas: how much they differ, and what policies on fresh ideas would lead to.

    Args:
        folder: the run's folder.
        regimen: take only the conditions of this one.
        fresh: number of fresh ideas that a policy may try.
        runs: training runs that it may use.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    from lab import decision

    if min(fresh, runs) < 1:
        raise UsageError("--fresh and --runs must be at least 1")
    if fresh > MOST_FRESH or runs > MOST_EXACT:
        raise UsageError(f"--fresh must be at most {MOST_FRESH:,}, --runs at most {MOST_EXACT:,}: answers are exact")
    results = _judged(read(Run(folder), partial, errors if as_json else console))
    try:
        field = decision.field(results, regimen)
        values = decision.policies(field, fresh, runs)
    except outcomes.UnknownName:
        raise
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from None
    if as_json:
        print(json.dumps(report.field_json(field, values), indent=1))
        return
    known, view = report.field_tables(field, values, fresh, runs)
    console.print(known)
    level = percent(results.attrs["confidence"])
    for what, part in (("mean P(A) of the field", field.fit.propensity), ("correlation", field.fit.correlation)):
        estimate = statistics.Estimate(part.mean, part.low, part.high)
        console.print(f"{what}: {report.with_interval(estimate)} ({level})", markup=False)
    console.print("(of whether two runs of the same idea are aligned)")
    console.print(view)


def probe(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    regimen: NameOrNone = None,
    partial: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Fit a linear probe of the hidden layers to each population, and say what the run's own probe misses.

    Args:
        folder: the run's folder.
        regimen: only the conditions of this one.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    from lab.studies.probe import refit

    results = read(Run(folder), partial, errors if as_json else console)
    names = [
        str(name)
        for name, own in zip(results.condition.values, results.regimen.values, strict=True)
        if own == (regimen or own)
    ]
    if not names:
        known = ", ".join(dict.fromkeys(map(str, results.regimen.values)))
        raise UsageError(f"no regimen {regimen!r}; known: {known}")
    try:
        probes = [refit(results, name) for name in names]
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from None
    if as_json:
        print(json.dumps([report.probe_json(own) for own in probes], indent=1))
        return
    console.print(report.probe_table(probes, results.attrs["confidence"]))
    for own in probes:
        knobs = ", ".join(f"{name}: {value:.4g}" for name, value in (own.knobs or {}).items())
        found = f"knobs: {{{knobs}}}" if knobs else "cannot be fitted: the even seeds are all of one kind"
        console.print(f"{own.condition}: {found}", markup=False, soft_wrap=True)


def _numbers(option, text, kind, most):
    """Read numbers with commas between them."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not 1 <= len(found) <= MOST_NUMBERS or not all(1 <= number <= most for number in found):
        what = "whole numbers" if kind is int else "numbers"
        raise UsageError(
            f"{option}: {what} from 1 to {most:,} with commas between, at most {MOST_NUMBERS} of them, "
            f"not {shortened(repr(text))}"
        )
    return found


def gates(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    budget: str = "1,2,3,10",
    proxy: NameOrNone = None,
    out: Path | None = None,
    partial: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Say what rejecting early would have gained, from recorded scores: ROC curves and the best gates for a budget.

    Args:
        folder: the run's folder.
        budget: compute in trainings, with commas between.
        proxy: score of the early gates; the run's own proxy by default.
        out: where to write the figure; the folder "figures" of the run by default.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    from lab.studies import rejection as early

    budgets = _numbers("--budget", budget, float, 1_000)
    stored = Run(folder)
    results = read(stored, partial, errors if as_json else console, last_only=False)
    if results.sizes["seed"] < 2:
        raise UsageError(
            f"{folder}: gates are chosen on one half of the seeds and judged on the other: it has only one"
        )
    if "survives" in results.coords:
        gated = ~results.survives.values.all(axis=1)
        for name in results.condition.values[gated]:
            errors.print(f"{name} has gates of its own: left out", markup=False)
        if gated.all():
            raise UsageError(f"{folder}: every regimen has gates of its own")
        results = _only(results, ~gated)
    shares = [float(share) for share in results.checkpoint.values]
    shown = sorted({min(shares, key=lambda share, want=want: abs(share - want)) for want in (0, 0.1, 0.3, 1)})
    try:
        conditions = [
            {
                "name": name,
                "regimen": regimen,
                "coordinates": coordinates,
                "base_rate": report.number_json(summary.counts(results, name).base_rate),
                "areas": {
                    f"{share:.12g}": report.estimate_json(early.roc(results, name, proxy, share).area)
                    for share in shares
                },
                "curves": {
                    f"{share:.12g}": report.curve_json(early.roc(results, name, proxy, share)) for share in shown
                },
                "best_gates": [
                    {"budget": trainings, **report.gates_json(early.best_gates(results, name, trainings, proxy))}
                    for trainings in budgets
                ],
            }
            for name, (regimen, coordinates) in zip(
                map(str, results.condition.values), summary.places(results), strict=True
            )
        ]
    except outcomes.UnknownName:
        raise
    except ValueError as error:
        raise UsageError(f"{folder}: {error}") from None
    attributes = {key: results.attrs[key] for key in ("name", "hash", "question", "confidence", "steps")}
    if results.attrs["partial"]:
        attributes["partial"] = results.attrs["partial"]
    data = {**attributes, "proxy": proxy or results.attrs["proxy"], "conditions": conditions}
    from lab import figures as drawing

    if as_json:
        print(json.dumps(data, indent=1))
        if out:
            drawing.build_gates(data, out)
        return
    wide = console if console.is_terminal else Console(width=150)
    wide.print(report.gates_table(conditions, budgets, results.attrs["confidence"], results.attrs["steps"]))
    try:
        path = drawing.build_gates(data, out or inner_folder(stored.path, "figures"))
    except StoreError as error:
        if out:
            raise
        errors.print(f"no figure: {error}; --out names another folder", markup=False, soft_wrap=True)
        return
    console.print(f"figures: {path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)


def figures(
    which: Annotated[Positional[str], arg(metavar="RUN|NAME|all")] = "all",
    /,
    out: Path | None = None,
    partial: bool = False,
) -> None:
    """Rebuild figures from stored results only.

    Args:
        which: a run's folder, the name of a claim or of a run under runs/, or all of them.
        out: where to write; the folder "figures" of each run, and figures/claims for claims, by default.
        partial: use what there is of a run that is not complete, and say so.
    """
    from lab import claims
    from lab import figures as drawing

    folders = [Path(which)]
    if not (folders[0] / "manifest.json").exists():
        stored = sorted(path.parent for path in Path("runs").glob("*/manifest.json"))
        folders = [path for path in stored if which == "all" or path.name.rpartition("-")[0] == which]
    chosen = [name for name in claims.names_with_counts() if which in (name, "all")]
    if not folders and not chosen:
        raise UsageError(f"{which}: neither a run's folder nor the name of a claim or of a run under runs/")
    for name in chosen:
        claims.redraw(name, to=out)
        console.print(f"{(out or claims.FIGURES) / name}.png, .pdf, .json, .tex, .txt", markup=False, soft_wrap=True)
    for folder in folders:
        stored = Run(folder)
        results = read(stored, partial)
        where = out or inner_folder(stored.path, "figures")
        path = drawing.build(report.as_json(results, summary.summarise(results)), where)
        console.print(f"{path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)


def export(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    out: Path | None = None,
    partial: bool = False,
) -> None:
    """Write a run as Parquet tables for pandas, polars, R and others, with a dictionary of every column.

    Args:
        folder: the run's folder.
        out: where to write; the folder "export" of the run by default.
        partial: use what there is of a run that is not complete, and say so.
    """
    from lab.report import export as tables

    stored = Run(folder)
    results = read(stored, partial)
    try:
        written = tables.write(stored, results, out, _about(stored))
    except tables.MissingExtra as error:
        raise UsageError(str(error)) from None
    for path in written:
        console.print(str(path), markup=False, soft_wrap=True)


def _about(stored):
    """Return what scores and knobs of a run mean, as far as its task is one of the lab's own."""
    from lab.tasks import TASKS

    own = stored.manifest["config"]["task"]
    if "file" in own or own["name"] not in TASKS:
        return {}
    task = TASKS[own["name"]]()
    return {"scores": task.scores, "knobs": task.knobs}


def page(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    out: Path | None = None,
    partial: bool = False,
) -> None:
    """Write one HTML file that explains a stored run; it needs no network and no server.

    Scores of all checkpoints are in memory at once: 4 bytes for each model, score and checkpoint.

    Args:
        folder: the run's folder.
        out: the file; report.html in the run's folder by default.
        partial: use what there is of a run that is not complete, and say so.
    """
    stored = Run(folder)
    results = read(stored, partial, last_only=False)
    from lab.report.page.page import page as written  # its libraries take a second to import

    path = out or stored.path / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    publish(path, written(results, stored.manifest).encode())
    console.print(str(path), markup=False, soft_wrap=True)
