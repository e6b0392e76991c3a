"""The command that takes a table of runs that were trained elsewhere, so that every command that reads works on it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from lab import report
from lab.cli.console import UsageError, print_json, print_line, print_text
from lab.cli.options import AsJson, NameOrNone
from lab.cli.read import print_imported
from lab.machine.extras import MissingExtra
from lab.results import observed, summary
from lab.results.store import ManifestJson
from lab.results.table import DIRECTIONS, Columns, Table, TableError, guess, read_table, understand
from lab.statistics.judge import Rate, checked_judge

LONGEST_NAME = 64  # letters of the name of a run
LOG = ".eval"  # how a log of Inspect ends
ONE_MODEL = (
    "A log of Inspect has many samples of one model. Intervals say what other models would do, a log being one, unless "
    "--group sample asks about other samples of the same models."
)
Pairs = UseAppendAction[tuple[str, ...]]  # an option that may be given several times


@dataclass(frozen=True)
class Named:
    """Which column of a table says what; what is not named is guessed from the names of columns."""

    condition: NameOrNone = None
    """what was done to the run, such as its training regimen"""
    truth: NameOrNone = None
    """whether it is aligned"""
    score: Pairs = ()
    """a test, monitor or detector, as name=column or the column alone; may be given several times"""
    competence: NameOrNone = None
    """whether it does the job"""
    pair: NameOrNone = None
    """what runs of different conditions share, such as a seed; without it they are independent"""
    group: NameOrNone = None
    """what rows share that are not independent, such as the run that samples come from"""
    run: NameOrNone = None
    """which rows are one run at several checkpoints, if neither pair nor group says so"""
    checkpoint: NameOrNone = None
    """how far training was"""
    cost: NameOrNone = None
    """what the run has cost, in any unit"""
    weight: NameOrNone = None
    """how many equal rows this one stands for"""

    def columns(self) -> Columns:
        """Return these names as `Columns`."""
        scores = _each_once("--score", [_named(text) for text in self.score])
        rest = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "score"}
        return Columns(scores=scores, **rest)


@dataclass(frozen=True)
class Reached:
    """What counts as aligned, as passing, as doing the job, and how well that is known."""

    mark: Pairs = ()
    """what reaches a score, or alignment or competence: name=number or name=word; may be given several times"""
    passing: Annotated[Pairs, arg(name="pass")] = ()
    """name=below where low values of a score reach its mark; below alone is for all scores"""
    sensitivity: NameOrNone = None
    """P(judged aligned | aligned) of who measured the truth, as .9 or as 45/50 from a validation"""
    specificity: NameOrNone = None
    """P(judged misaligned | misaligned), likewise"""

    def marks(self) -> dict[str, str]:
        """Return name -> what reaches it."""
        return _each_once("--mark", [_assigned(text, "--mark") for text in self.mark])

    def directions(self, columns: Columns) -> dict[str, str]:
        """Return score -> direction; a direction alone is that of every score but the truth and competence."""
        directions: dict[str, str] = {}
        for text in self.passing:
            names = dict.fromkeys(columns.scores, text) if text in DIRECTIONS else dict([_assigned(text, "--pass")])
            directions |= names
        return directions

    def judge(self) -> dict[str, Rate] | None:
        """Return how well the truth is known, or None if it is the truth.

        Raises:
            UsageError: one of both rates is missing, or they make no sense.
        """
        if self.sensitivity is None and self.specificity is None:
            return None
        if self.sensitivity is None or self.specificity is None:
            raise UsageError("--sensitivity and --specificity belong together: give both")
        rates = _rate("--sensitivity", self.sensitivity), _rate("--specificity", self.specificity)
        try:
            return checked_judge(*rates)._asdict()
        except ValueError as error:
            raise UsageError(str(error)) from None


def import_table(
    tables: Annotated[Positional[tuple[Path, ...]], arg(metavar="TABLE")],
    /,
    named: Annotated[Named, arg(name="")] = Named(),
    reached: Annotated[Reached, arg(name="")] = Reached(),
    leave_out_missing: bool = False,
    baseline: NameOrNone = None,
    proxy: NameOrNone = None,
    confidence: float = 0.95,
    question: str = "",
    out: Path | None = None,
    preview: bool = False,
    as_json: AsJson = False,
) -> None:
    """Take a table of runs that were trained elsewhere, and say how it is read.

    Args:
        tables: CSV, TSV, JSON lines or Parquet, a row per run or sample; or logs of Inspect (.eval), several of them.
        named: which column says what.
        reached: what counts as aligned and as passing.
        leave_out_missing: leave rows out that lack a value.
        baseline: the condition that others are compared with.
        proxy: the score that decides who passes; the first one by default.
        confidence: of intervals.
        question: that the table answers, for reports.
        out: where to write; runs/NAME-DIGEST by default.
        preview: only say what is understood, and write nothing.
        as_json: print JSON.
    """
    if not 0.5 <= confidence <= 0.9999:
        raise UsageError(f"--confidence: from 0.5 to 0.9999, not {confidence}")
    try:
        table, notes = _read(tables)
        columns = guess(table, named.columns())
        rows = understand(table, columns, reached.marks(), reached.directions(columns), leave_out_missing)
        manifest = observed.describe(
            rows,
            _name(tables[0]),
            source=", ".join(table.name for table in tables),
            question=question,
            baseline=baseline,
            proxy=proxy,
            confidence=confidence,
            judge=reached.judge(),
        )
        runs = observed.runs_of(rows)
    except TableError as error:
        raise UsageError(f"{tables[0]}: {error}" if str(tables[0]) not in str(error) else str(error)) from None
    # first, so that it is there however far what is printed is read
    stored = None if preview else observed.write(out or _place(manifest, runs), manifest, runs)
    results = observed.assemble(stored.manifest if stored else manifest, runs)
    if as_json:
        print_json(report.as_json(results, summary.summarise(results)))
        return
    for line in (*notes, *report.understood(manifest, results, rows.unused)):
        print_text(line)
    print_imported(results)
    if stored is not None:
        print_line(f"stored:  {stored.path}\nnext:    lab compare {stored.path}\n         lab plan {stored.path}")


def _place(manifest: ManifestJson, runs: observed.Runs) -> Path:
    """Return the folder of a run that nobody has named."""
    digest = observed.digest(manifest, observed.written(runs))
    return Path("runs") / f"{manifest['name']}-{digest[:8]}"


def _named(text: str) -> tuple[str, str]:
    """Return a name and a column; a column alone is its own name."""
    name, equals, column = text.partition("=")
    return (name, column) if equals else (text, text)


def _each_once(option: str, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return name -> value. Raises a UsageError if a name is given twice."""
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{option}: {twice[0]} is given twice")
    return dict(pairs)


def _assigned(text: str, option: str) -> tuple[str, str]:
    """Return a name and its value. Raises a UsageError if there is no value."""
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UsageError(f"{option}: name=value, not {text!r}")
    return name, value


def _rate(option: str, text: str) -> Rate:
    """Return a share that is known, or how many were right and of how many."""
    right, slash, of = text.partition("/")
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return (int(right), int(of)) if slash else float(text)
    except ValueError:
        raise UsageError(f"{option}: a share such as .9, or how many were right such as 45/50, not {text!r}") from None


def _read(paths: tuple[Path, ...]) -> tuple[Table, list[str]]:
    """Return the table in a file, or in logs of Inspect, and what is to be said of it."""
    if paths and all(path.suffix == LOG for path in paths):
        from lab.results.inspect_logs import LogError, read_logs

        try:
            columns, notes = read_logs(paths)
        except (LogError, MissingExtra) as error:
            raise UsageError(str(error)) from None
        if not columns:
            raise UsageError("; ".join([*notes, "nothing is left"]))
        if len(columns["log"]) > len(paths):
            notes.append(ONE_MODEL)
        return columns, notes
    if len(paths) != 1:
        raise UsageError("give one table; several files may be logs of Inspect, which end in " + LOG)
    return read_table(paths[0]), []


def _name(path: Path) -> str:
    """Return a name for a run from that of its table."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in path.stem).strip("-")
    return letters[:LONGEST_NAME] or "table"
