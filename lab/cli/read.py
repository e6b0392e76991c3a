"""Commands that read stored runs: tables, comparisons, figures, Parquet and a page."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool
from rich.text import Text
from tyro.conf import Positional, arg

from lab import report
from lab.cli.console import (
    Console,
    UsageError,
    console,
    errors,
    print_figures,
    print_json,
    print_line,
    print_table,
    print_text,
    usage,
    waiting,
)
from lab.cli.options import (
    OWN_AGED_MARKS,
    OWN_MARKS,
    AsJson,
    NameOrNone,
    OneWorld,
    OtherAgedMarks,
    OtherMarks,
    RunFolder,
)
from lab.results import shards, summary
from lab.results.outcomes import Results, until
from lab.results.store import Run, StoreError, inner_folder, publish
from lab.results.summary import Summary
from lab.words import percent

Venue = Literal["neurips", "icml", "iclr", "slides"]  # the keys of `lab.figures.style.VENUES`
Form = Literal["png", "pdf", "svg"]


def read(
    stored: Run,
    partial: bool = False,
    where: Console = console,
    last_only: bool = True,
    world: int | None = None,
    checkpoint: float | None = None,
) -> Results:
    """Return a run's results, of the conditions of which there is anything.

    Args:
        stored: the run.
        partial: use what there is of a run that is not complete.
        where: is told what is missing.
        last_only: only the last checkpoint.
        world: only this one of the worlds that the run has drawn.
        checkpoint: share of training at which models are looked at; its end by default.

    Raises:
        StoreError: the run cannot be read, or nothing is left of it.
        UnknownName: no such world, or no such checkpoint.
        UsageError: a checkpoint is asked for, and a regimen has gates.
    """
    results = shards.results(stored, last_only and checkpoint is None, partial)
    if checkpoint is not None:
        with usage(stored.path):
            results = until(results, checkpoint)
        results = results.isel(checkpoint=[-1]) if last_only else results
    if world is not None:
        results = results.isel(condition=summary.in_world(results, world))
    missing = results.attrs["partial"]
    if not missing:
        return results
    trained = results.trained.values.any(axis=1)
    if not trained.any():
        raise StoreError(f"{stored.path}: {missing}, and nothing is left")
    if not trained.all():
        missing += f"; without any run: {', '.join(results.condition.values[~trained])}"
    where.print(Text(f"NOT COMPLETE: {missing}", style="bold red"))
    results = only(results, trained)
    results.attrs["partial"] = missing
    if results.attrs["baseline"] not in results.regimen.values:
        results.attrs["baseline"] = str(results.regimen.values[0])
    return results


def only(results: Results, wanted: Bool[np.ndarray, " condition"]) -> Results:
    """Return the results of some conditions."""
    return results.isel(condition=np.flatnonzero(wanted))


def print_run(
    stored: Run, partial: bool = False, world: int | None = None, checkpoint: float | None = None
) -> tuple[Results, tuple[Summary, ...]]:
    """Print the table of a run, or of one of its worlds, and what it means; return the results and the rows."""
    results = read(stored, partial, world=world, checkpoint=checkpoint)
    with waiting("counting"):
        rows = summary.summarise(results)
    if results.attrs["question"]:
        console.print(Text(results.attrs["question"], style="bold"))
    if checkpoint is not None:
        share = float(results["checkpoint"].values[-1])
        print_text(f"Models are looked at when {percent(share)} of their training is done.")
    if report.many_worlds(results):
        print_table(report.worlds_table(results, rows))
    else:
        for view in report.sweep_tables(results, rows) if report.is_sweep(rows) else [report.table(results, rows)]:
            print_table(view)
        for line in report.readings(rows):
            print_text(line)
    if stored.observed:
        for line in report.warnings(rows):
            print_text(line)
        return results, rows
    if drawn := stored.manifest["config"].get("worlds"):
        print_table(report.drawn_table(drawn, rows if world is not None else ()))
    if line := report.graded(results):
        print_text(line)
    if line := report.stopping(results):
        print_text(line)
        summary.still_open(print_text)(stored)
    for changes in stored.manifest["changes"]:
        console.print(Text(f"Mixed run, continued with something else: {'; '.join(changes)}", style="bold red"))
    return results, rows


def print_imported(results: Results) -> None:
    """Print the table of runs that were trained elsewhere, and what makes its intervals wide."""
    rows = summary.summarise(results)
    print_table(report.table(results, rows))
    for line in report.warnings(rows):
        print_text(line)


def show(
    folder: RunFolder,
    /,
    marks: OtherAgedMarks = OWN_AGED_MARKS,
    world: OneWorld = None,
    partial: bool = False,
    as_json: AsJson = False,
) -> None:
    """Print the table of a stored run, or everything in it as JSON.

    Args:
        folder: the run's folder.
        marks: other pass marks, proxy or checkpoint than the run's own.
        world: show one of the worlds that the run has drawn, by its number.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    stored = marks.open(folder)
    if not as_json:
        print_run(stored, partial, world, marks.checkpoint)
        return
    results = read(stored, partial, errors, world=world, checkpoint=marks.checkpoint)
    print_json(report.as_json(results, summary.summarise(results)))


def compare(
    folder: RunFolder,
    /,
    marks: OtherAgedMarks = OWN_AGED_MARKS,
    baseline: NameOrNone = None,
    together: bool = False,
    world: OneWorld = None,
    partial: bool = False,
    as_json: AsJson = False,
) -> None:
    """Print the log impact of every condition over a baseline regimen, with intervals.

    Args:
        folder: the run's folder.
        marks: other pass marks, proxy or checkpoint than the run's own.
        baseline: a regimen; the run's own by default.
        together: widen the intervals so that all of a column hold together (Bonferroni).
        world: compare in one of the worlds that the run has drawn, by its number.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    stored, where = marks.open(folder), errors if as_json else console
    results = read(stored, partial, where, world=world, checkpoint=marks.checkpoint)
    with usage(folder), waiting("comparing"):
        every = summary.summarise(results, baseline, together=together)
    rows = [row for row in every if row.impact is not None]
    if not rows:
        raise UsageError(f"{folder}: nothing to compare: there is only the baseline")
    if as_json:
        print_json({row.name: report.impact_json(row) for row in rows})
        return
    if report.many_worlds(results):
        print_table(report.worlds_impact_table(every, together))
        return
    intervals = report.impact_intervals(rows, together)
    sweep = report.is_sweep(every)
    for view in report.sweep_impact_tables(rows, intervals) if sweep else [report.impact_table(rows, together)]:
        print_table(view)
    of_table = [*report.cautions(results), *report.warnings(every)] if stored.observed else []
    for line in (*report.readings(every), *of_table):
        print_text(line)


@waiting("drawing figures")
def figures(
    which: Annotated[Positional[str], arg(metavar="RUN|NAME|all")] = "all",
    /,
    marks: OtherAgedMarks = OWN_AGED_MARKS,
    out: Path | None = None,
    venue: Venue = "neurips",
    format: Form | None = None,
    partial: bool = False,
) -> None:
    """Rebuild figures from stored results only.

    Args:
        which: a run's folder, the name of a claim or of a run under runs/, "overview" of all claims, or all of these.
        marks: other pass marks, proxy or checkpoint than the run's own.
        out: where to write; the folder "figures" of each run, and figures/claims for claims, by default.
        venue: whose width and sizes of letters figures have.
        format: of the picture; a PNG and a PDF by default.
        partial: use what there is of a run that is not complete, and say so.
    """
    from lab import claims as book
    from lab import figures as drawing

    folders = [Path(which)]
    if not (folders[0] / "manifest.json").exists():
        stored = sorted(path.parent for path in Path("runs").glob("*/manifest.json"))
        folders = [path for path in stored if which == "all" or path.name.rpartition("-")[0] == which]
    stored_claims = book.names_with_counts()
    claims = [name for name in stored_claims if which in (name, "all")]
    overview = bool(stored_claims) and which in (book.OVERVIEW, "all")
    marks.check_place(out)
    if (claims or overview) and marks != OWN_AGED_MARKS:
        raise UsageError(f"{which}: --mark, --proxy and --checkpoint are for runs: claims have marks of their own")
    if not folders and not claims and not overview:
        raise UsageError(
            f"{which}: neither a run's folder nor the name of a run under runs/ or, in a clone, of a claim"
        )
    edition = drawing.Edition(venue, format)
    drawn = {}
    for name in claims:
        drawn[name] = book.redraw(name, to=out, edition=edition)
        print_line(f"{(out or book.FIGURES) / name}.{format or 'png, .pdf'}, .json, .tex, .txt")
    if overview:
        book.redraw_overview(drawn, out, edition)
        print_line(f"{(out or book.FIGURES) / book.OVERVIEW}.{format or 'png, .pdf'}, .json")
    for folder in folders:
        run = marks.open(folder)
        results = read(run, partial, checkpoint=marks.checkpoint)
        where = out or inner_folder(run.path, "figures")
        picture = drawing.build(report.as_json(results, summary.summarise(results)), where, edition)
        print_figures(picture, f".{format or 'png, .pdf'}, .json", label="")


def export(
    folder: RunFolder,
    /,
    marks: OtherMarks = OWN_MARKS,
    out: Path | None = None,
    partial: bool = False,
) -> None:
    """Write a run as Parquet tables, with a dictionary of every column.

    Args:
        folder: the run's folder.
        marks: other pass marks or another proxy than the run's own.
        out: where to write; the folder "export" of the run by default.
        partial: use what there is of a run that is not complete, and say so.
    """
    from lab.machine.extras import MissingExtra
    from lab.report import export as tables

    marks.check_place(out)
    stored = marks.open(folder)
    results = read(stored, partial)
    try:
        files = tables.write(stored, results, out, tables.meanings(stored))
    except MissingExtra as error:
        raise UsageError(str(error)) from None
    for file in files:
        print_line(str(file))


@waiting("writing the page")
def page(
    folder: RunFolder,
    other: Annotated[Positional[Path | None], arg(metavar="RUN")] = None,
    /,
    marks: OtherMarks = OWN_MARKS,
    out: Path | None = None,
    partial: bool = False,
) -> None:
    """Write one HTML file that explains a stored run, or two, without a network or a server.

    Scores of all checkpoints are in memory at once: 4 bytes for each.

    Args:
        folder: the run's folder.
        other: another run, whose conditions of the same names are put beside.
        marks: other pass marks or another proxy than the runs' own.
        out: the file; report.html in the run's folder by default, or beside-NAME.html in that of the first of two.
        partial: use what there is of a run that is not complete, and say so.
    """
    marks.check_place(out)
    runs = [marks.open(path) for path in (folder, other) if path is not None]
    told = [(read(run, partial, last_only=False), run.manifest) for run in runs]
    from lab.report.page.page import page as page_of  # its libraries take a second to import

    with usage(f"{folder} and {other}" if other else None):
        text = page_of(*told[0], *told[1:])
    file = out or runs[0].path / (f"beside-{runs[1].path.name}.html" if other else "report.html")
    file.parent.mkdir(parents=True, exist_ok=True)
    publish(file, text.encode())
    print_line(str(file))
