"""The command that takes a table of runs that were trained elsewhere, so that every command that reads works on it."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from lab import report
from lab.cli.console import AsJson, NameOrNone, UsageError, console, print_json, print_line, print_wide
from lab.cli.read import WIDE
from lab.results import observed, summary
from lab.results.observed import TRUTH
from lab.results.table import DIRECTIONS, Columns, Table, TableError, read_table, understand
from lab.statistics.judge import Rate, checked_judge

LOG = ".eval"  # how a log of Inspect ends
Pairs = UseAppendAction[tuple[str, ...]]


def import_table(
    tables: Annotated[Positional[tuple[Path, ...]], arg(metavar="TABLE")],
    /,
    condition: NameOrNone = None,
    truth: NameOrNone = None,
    score: Pairs = (),
    mark: Pairs = (),
    passing: Annotated[Pairs, arg(name="pass")] = (),
    competence: NameOrNone = None,
    pair: NameOrNone = None,
    group: NameOrNone = None,
    run: NameOrNone = None,
    checkpoint: NameOrNone = None,
    cost: NameOrNone = None,
    weight: NameOrNone = None,
    sensitivity: NameOrNone = None,
    specificity: NameOrNone = None,
    leave_out_missing: bool = False,
    baseline: NameOrNone = None,
    proxy: NameOrNone = None,
    confidence: float = 0.95,
    question: str = "",
    out: Path | None = None,
    preview: bool = False,
    as_json: AsJson = False,
) -> None:
    """Take a table of runs that were trained elsewhere, and say what is understood of it.

    A row is a run, or a sample of one. What is not named is guessed from the names of columns.

    Args:
        tables: CSV, TSV, JSON lines or Parquet; or logs of Inspect (.eval), several of them.
        condition: column of what was done to the run, such as its training regimen.
        truth: column of whether it is aligned.
        score: a test, monitor or detector, as name=column or as the column alone; may be given several times.
        mark: what reaches a score, or alignment or competence, as name=number or name=word.
        passing: above or below, or name=below: low values of a score reach its mark.
        competence: column of whether it does the job.
        pair: column of what runs of different conditions share, such as a seed; without it they are independent.
        group: column of what rows share that are not independent, such as the run that samples come from.
        run: column that says which rows are one run at several checkpoints.
        checkpoint: column of how far training was.
        cost: column of what the run has cost, in any unit.
        weight: column of how many equal rows this one stands for.
        sensitivity: P(judged aligned | aligned) of who measured the truth, as .9 or as 45/50 from a validation.
        specificity: P(judged misaligned | misaligned), likewise.
        leave_out_missing: leave rows out that lack a value.
        baseline: the condition that others are compared with.
        proxy: the score that decides who passes; the first one by default.
        confidence: of intervals.
        question: that the table answers, for reports.
        out: where to write; runs/NAME-DIGEST by default.
        preview: only say what is understood, and write nothing.
        as_json: print JSON.
    """
    columns = Columns(
        condition=condition, truth=truth, scores=dict(_named(text, "--score") for text in score), competence=competence,
        pair=pair, group=group, run=run, checkpoint=checkpoint, cost=cost, weight=weight,
    )  # fmt: skip
    options = {
        **{"baseline": baseline, "proxy": proxy, "confidence": confidence, "question": question},
        **{"source": ", ".join(table.name for table in tables), "judge": _judge(sensitivity, specificity)},
    }
    try:
        table, notes = _read(tables)
        marks = dict(_assigned(text, "--mark") for text in mark)
        directions = _directions(passing, observed.guess(table, columns))
        rows = understand(table, columns, marks, directions, leave_out_missing)
        manifest, runs = observed.describe(rows, _name(tables[0]), options), observed.runs_of(rows)
    except TableError as error:
        raise UsageError(f"{tables[0]}: {error}" if str(tables[0]) not in str(error) else str(error)) from None
    results = observed.assemble(manifest, runs)
    summaries = summary.summarise(results)
    if as_json:
        print_json(report.as_json(results, summaries))
    else:
        for line in (*notes, *report.understood(manifest, results)):
            print_line(line)
        print_wide(report.table(results, summaries), WIDE)
    if preview:
        return
    folder = out or Path("runs") / f"{manifest['name']}-{observed.digest(manifest, runs)[:8]}"
    stored = observed.write(folder, manifest, runs)
    if not as_json:
        console.print(
            f"\nstored in {stored.path}; next: lab compare {stored.path}, lab plan {stored.path}", markup=False
        )


def _named(text: str, option: str) -> tuple[str, str]:
    """Return a name and a column; a column alone is its own name."""
    name, equals, column = text.partition("=")
    return (name, column) if equals else (text, text)


def _assigned(text: str, option: str) -> tuple[str, str]:
    """Return a name and its value. Raises a UsageError if there is no value."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UsageError(f"{option}: name=value, not {text!r}")
    return name, value


def _directions(texts: tuple[str, ...], columns: Columns) -> dict[str, str]:
    """Return score -> direction; a direction alone is that of every score but the truth and competence."""
    directions: dict[str, str] = {}
    for text in texts:
        names = dict.fromkeys(columns.scores, text) if text in DIRECTIONS else dict([_assigned(text, "--pass")])
        directions |= names
    return directions


def _judge(sensitivity: str | None, specificity: str | None) -> dict[str, Rate] | None:
    """Return how well the truth is known, or None if it is the truth. Raises a UsageError if that makes no sense."""
    if sensitivity is None and specificity is None:
        return None
    if sensitivity is None or specificity is None:
        raise UsageError("--sensitivity and --specificity belong together: give both")
    rates = _rate("--sensitivity", sensitivity), _rate("--specificity", specificity)
    try:
        return checked_judge(*rates)._asdict()
    except ValueError as error:
        raise UsageError(str(error)) from None


def _rate(option: str, text: str) -> Rate:
    """Return a share that is known, or how many were right and of how many."""
    right, slash, of = text.partition("/")
    try:
        return (int(right), int(of)) if slash else float(text)
    except ValueError:
        raise UsageError(f"{option}: a share such as .9, or how many were right such as 45/50, not {text!r}") from None


def _read(paths: tuple[Path, ...]) -> tuple[Table, list[str]]:
    """Return the table in a file, or in logs of Inspect, and what is to be said of it."""
    if not paths:
        raise UsageError("no table is given")
    if all(path.suffix == LOG for path in paths):
        from lab.results import inspect_logs

        return inspect_logs.read_logs(paths)
    if len(paths) > 1:
        raise UsageError(f"{paths[1]}: one table at a time; several files are for logs of Inspect ({LOG})")
    return read_table(paths[0]), []


def _name(path: Path) -> str:
    """Return a name for a run from that of its table."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in path.stem).strip("-")
    return letters[:64] or TRUTH
