"""The command line: the only place that prints."""

import json
import math
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from lab import outcomes, report, statistics
from lab.store import Run, StoreError

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class Stopped(BaseException):
    """A signal asked the process to end."""


class Stop:
    """Turns SIGINT and SIGTERM into `Stopped`, between segments of training or at once if they come again.

    Python would raise at any instruction, also where nothing can be raised (in a finaliser, say), and lose it.
    """

    def __init__(self):
        self.number = None

    def __enter__(self):
        self.before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number, _frame):
        """Remember the signal."""
        if self.number is not None:
            raise Stopped(number)
        self.number = number

    def check(self):
        """Raise `Stopped` if a signal has come."""
        if self.number is not None:
            raise Stopped(self.number)


class UsageError(Exception):
    """Something typed on the command line that does not fit."""


def run(
    config: Positional[Path],
    /,
    out: Path | None = None,
    seeds: int | None = None,
    width: float | None = None,
    of: str | None = None,
    accept_changes: bool = False,
    trust_code: bool = False,
) -> None:
    """Train an experiment, or what is missing of it, and print its table.

    Args:
        config: a YAML file.
        out: the run's folder; runs/NAME-HASH by default.
        seeds: number of seeds instead of the config's; with --width, at most so many.
        width: stop once every interval of a quantity is this narrow (rates as they are, everything else in nats).
        of: the quantity: net, which is the default, or a rate, odds, cost or likelihood ratio of `lab show --json`.
        accept_changes: go on with a run that other code, versions or devices began; the manifest records it.
        trust_code: run the Python file that the config names as its task.
    """
    from lab import config as configs

    try:
        experiment = configs.load(config, trust_code)
        if seeds is not None:
            experiment = experiment.with_seeds(seeds)
        if width is not None:
            experiment = experiment.with_stop(of=of or "net", width=width)
        elif of is not None:
            raise UsageError("--of says what --width is about: give both")
    except configs.ConfigError as error:
        raise UsageError("\n".join(error.problems)) from None
    from lab import engine, figures

    models = len(experiment.conditions) * len(experiment.seeds)
    most = "at most " if experiment.config.stop else ""
    console.print(
        f"{experiment.name}: {len(experiment.conditions)} conditions x {most}{len(experiment.seeds):,} seeds = "
        f"{most}{models:,} models of {experiment.task.name}, {experiment.training.steps:,} steps each",
        markup=False,
    )
    with (
        Stop() as stop,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=errors,
            disable=not errors.is_terminal,
        ) as bar,
    ):
        task = bar.add_task("compiling and training", total=None)
        started, said = time.monotonic(), 0

        def say(line):
            errors.print(line, markup=False)

        def progress(done, total):
            nonlocal said, started
            stop.check()
            if done * 10 // total < said:  # the next look
                said, started = 0, time.monotonic()
            bar.update(task, completed=done, total=total, description="training")
            if not errors.is_terminal and done * 10 // total > said:
                said = done * 10 // total
                left = (time.monotonic() - started) * (total - done) / done
                errors.print(f"trained {said * 10}%, about {left:.0f} s left", markup=False)

        stored = engine.run(
            experiment,
            out,
            accept_changes=accept_changes,
            progress=progress,
            say=say,
            enough=statistics.enough(say),
        )
        stop.check()
    results, rows = _table(stored)
    path = figures.build(report.as_json(results, rows), stored.path / "figures")
    console.print(f"figures: {path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)
    console.print(f"again:   lab show {stored.path}", markup=False, soft_wrap=True)


def seeds(
    config: Positional[Path], /, width: float, of: str = "net", pilot: int = 256, trust_code: bool = False
) -> None:
    """Estimate how many seeds and how much time an interval of a width needs, from a pilot on seeds of its own.

    Args:
        config: a YAML file.
        width: of the widest interval (rates as they are, everything else in nats).
        of: the quantity: net, or a rate, odds, cost or likelihood ratio of `lab show --json`.
        pilot: seeds to train for the estimate; they start at 2^31, far from those of any config.
        trust_code: run the Python file that the config names as its task.
    """
    from lab import config as configs

    try:
        experiment = configs.load(config, trust_code).with_stop(of=of, width=width)
        experiment = experiment.with_stop().with_seeds(pilot, first=2**31)
    except configs.ConfigError as error:
        raise UsageError("\n".join(error.problems)) from None
    from lab import engine

    marks = []
    with Stop() as stop, tempfile.TemporaryDirectory() as folder:

        def progress(done, total):
            stop.check()
            marks.append((time.monotonic(), done, total))

        stored = engine.run(experiment, Path(folder, "pilot"), progress=progress)
        results = outcomes.results(stored, last_only=True)
    rows = [row for row in statistics.comparisons(results) if of != "net" or row.other is not None]
    confidence = results.attrs["confidence"]
    table = Table(title=Text(f"{of}: {confidence:.0%} intervals of width {width:g}, foreseen from {pilot:,} seeds"))
    for column in ("condition", "width now", "seeds needed"):
        table.add_column(column, overflow="fold")
    needed = [statistics.seeds_needed(row, of, width, confidence) for row in rows]
    for row, count in zip(rows, needed, strict=True):
        now = report.number(statistics.width(row, of, confidence))
        cannot = "cannot be told: an empty cell in the pilot"
        table.add_row(Text(row.name), now, f"{count:,}" if math.isfinite(count) else cannot)
    console.print(table)
    if finite := [count for count in needed if math.isfinite(count)]:
        (start, first, total), (end, last, _) = marks[0], marks[-1]
        most = max(finite)
        seconds = (end - start) * total / max(1, last - first) * most / stored.manifest["block_width"]
        seconds /= len(outcomes.block_seeds(stored.manifest))
        console.print(
            f"{most:,} seeds x {len(experiment.conditions)} conditions: about {seconds:,.0f} s on this machine, "
            f"and compiling\nlab run {config} --seeds {most}   or, stopping by itself:   "
            f"lab run {config} --seeds {2 * most} --width {width:g} --of {of}",
            markup=False,
            soft_wrap=True,
        )


def _table(stored):
    """Print a run's table and what it means; return the results and the rows."""
    results = outcomes.results(stored, last_only=True)
    rows = statistics.summarise(results)
    wide = console if console.is_terminal else Console(highlight=False, width=170)
    if results.attrs["question"]:
        console.print(Text(results.attrs["question"], style="bold"))
    wide.print(report.table(results, rows))
    for line in report.readings(rows):
        console.print(Text(line), soft_wrap=True)
    if line := report.stopping(results):
        console.print(Text(line), soft_wrap=True)
        statistics.enough(lambda said: console.print(Text(said), soft_wrap=True))(stored)
    for changes in stored.manifest.get("changes", []):
        console.print(Text(f"Mixed run, continued with something else: {'; '.join(changes)}", style="bold red"))
    return results, rows


def show(
    folder: Annotated[Positional[Path], arg(metavar="RUN")], /, as_json: Annotated[bool, arg(name="json")] = False
) -> None:
    """Print the table of a stored run, or everything in it as JSON.

    Args:
        folder: the run's folder.
        as_json: print JSON.
    """
    stored = Run(folder)
    if not as_json:
        _table(stored)
        return
    results = outcomes.results(stored, last_only=True)
    print(json.dumps(report.as_json(results, statistics.summarise(results)), indent=1))


def compare(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    baseline: str | None = None,
    together: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Print the log impact of every condition over a baseline regimen, with intervals.

    Args:
        folder: the run's folder.
        baseline: a regimen; the run's own by default.
        together: widen the intervals so that all of a column hold together (Bonferroni).
        as_json: print JSON.
    """
    results = outcomes.results(Run(folder), last_only=True)
    try:
        every = statistics.summarise(results, baseline, together=together)
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
    wide = console if console.is_terminal else Console(highlight=False, width=140)
    wide.print(report.impact_table(rows, together))
    for line in report.readings(every):
        console.print(Text(line), soft_wrap=True)


def plan(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    budget: str = "1,3,10,100",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Say which regimen to use for which budget of training runs.

    Args:
        folder: the run's folder.
        budget: numbers of runs, with commas between.
        as_json: print JSON.
    """
    from lab import decision

    budgets = _numbers("--budget", budget, int, 10**9)
    results = outcomes.results(Run(folder), last_only=True)
    plans = decision.plan(results, budgets)
    if as_json:
        print(json.dumps(report.plan_json(plans), indent=1))
        return
    wide = console if console.is_terminal else Console(highlight=False, width=140)
    wide.print(report.plan_table(plans, results.attrs["confidence"]))
    for line in report.plan_readings(plans):
        console.print(Text(line), soft_wrap=True)


def ideas(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    regimen: str | None = None,
    fresh: int = 3,
    runs: int = 5,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Take a run's conditions as ideas: how much they differ, and what policies on fresh ideas would lead to.

    Args:
        folder: the run's folder.
        regimen: take only the conditions of this one.
        fresh: number of fresh ideas that a policy may try.
        runs: training runs that it may use.
        as_json: print JSON.
    """
    from lab import decision

    if min(fresh, runs) < 1:
        raise UsageError("--fresh and --runs must be at least 1")
    results = outcomes.results(Run(folder), last_only=True)
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
    level = f"{results.attrs['confidence']:.0%}"
    for what, part in (("mean P(A) of the field", field.fit.propensity), ("correlation", field.fit.correlation)):
        limits = f"{report.number(part.mean, 3)} [{report.number(part.low, 3)}, {report.number(part.high, 3)}]"
        console.print(f"{what}: {limits} ({level})", markup=False)
    console.print("(of whether two runs of the same idea are aligned)")
    console.print(view)


def _numbers(option, text, kind, most):
    """Read numbers with commas between them."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(1 <= number <= most for number in found):
        what = "whole numbers" if kind is int else "numbers"
        raise UsageError(f"{option}: {what} from 1 to {most:,} with commas between, not {text!r}")
    return found


def gates(
    folder: Annotated[Positional[Path], arg(metavar="RUN")],
    /,
    budget: str = "1,2,3,10",
    proxy: str | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Say what rejecting early would have gained, from recorded scores: ROC curves and the best gates for a budget.

    Args:
        folder: the run's folder.
        budget: compute in trainings, with commas between.
        proxy: score of the early gates; the run's own proxy by default.
        as_json: print JSON.
    """
    from lab import gates as early

    budgets = _numbers("--budget", budget, float, 1_000)
    stored = Run(folder)
    results = outcomes.results(stored)
    if results.sizes["seed"] < 2:
        raise UsageError(
            f"{folder}: gates are chosen on one half of the seeds and judged on the other: it has only one"
        )
    shares = [float(share) for share in results.checkpoint.values]
    shown = sorted({min(shares, key=lambda share, want=want: abs(share - want)) for want in (0, 0.1, 0.3, 1)})
    conditions = [
        {
            "name": name,
            "regimen": regimen,
            "coordinates": coordinates,
            "base_rate": report.plain(statistics.counts(results, name).base_rate),
            "areas": {
                f"{share:g}": report.estimate_json(early.roc(results, name, proxy, share).area) for share in shares
            },
            "curves": {f"{share:g}": report.curve_json(early.roc(results, name, proxy, share)) for share in shown},
            "best_gates": [
                {"budget": trainings, **report.gates_json(early.best_gates(results, name, trainings, proxy))}
                for trainings in budgets
            ],
        }
        for name, (regimen, coordinates) in zip(
            map(str, results.condition.values), statistics.places(results), strict=True
        )
    ]
    attributes = {key: results.attrs[key] for key in ("name", "hash", "question", "confidence", "steps")}
    data = {**attributes, "proxy": proxy or results.attrs["proxy"], "conditions": conditions}
    if as_json:
        print(json.dumps(data, indent=1))
        return
    from lab import figures as drawing

    wide = console if console.is_terminal else Console(highlight=False, width=150)
    wide.print(report.gates_table(conditions, budgets, results.attrs["confidence"], results.attrs["steps"]))
    path = drawing.build_gates(data, stored.path / "figures")
    console.print(f"figures: {path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)


def figures(which: Annotated[Positional[str], arg(metavar="RUN|NAME|all")] = "all", /, out: Path | None = None) -> None:
    """Rebuild figures from stored results only.

    Args:
        which: a run's folder, the name of an experiment under runs/, or all of runs/.
        out: where to write; the folder "figures" of each run by default.
    """
    from lab import figures as drawing

    folders = [Path(which)]
    if not (folders[0] / "manifest.json").exists():
        stored = sorted(path.parent for path in Path("runs").glob("*/manifest.json"))
        folders = [path for path in stored if which == "all" or path.name.rpartition("-")[0] == which]
    if not folders:
        raise UsageError(f"{which}: neither a run's folder nor the name of a run under runs/")
    for folder in folders:
        stored = Run(folder)
        results = outcomes.results(stored, last_only=True)
        path = drawing.build(report.as_json(results, statistics.summarise(results)), out or stored.path / "figures")
        console.print(f"{path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)


def tasks(name: Positional[str] | None = None, /) -> None:
    """List the tasks, or one task's knobs, loss terms and scores.

    Args:
        name: a task.
    """
    from lab.tasks import TASKS

    if name is None:
        for task in TASKS.values():
            console.print(Text(sys.modules[task.__module__].__doc__.splitlines()[0]), soft_wrap=True)
        return
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}; known: {', '.join(TASKS)}")
    task = TASKS[name]()
    console.print(Text(sys.modules[type(task).__module__].__doc__))
    knobs = Table(title="knobs (sweep them freely: nothing recompiles)", title_justify="left")
    for column in ("knob", "default", "range", ""):
        knobs.add_column(column)
    for key, knob in task.knobs.items():
        knobs.add_row(key, f"{knob.default:g}", f"{knob.low:g} to {knob.high:g}", Text(knob.about))
    console.print(knobs)
    parts = {"loss terms (weights)": task.terms, "scores": task.scores}
    parts["proxies"] = {
        key: f"{proxy.about}; loss terms: {', '.join(proxy.terms)}" for key, proxy in task.proxies.items()
    }
    parts["pass marks (thresholds)"] = {key: f"{value:g}" for key, value in task.thresholds.items()}
    parts["static (task: {name: " + name + ", ...}; a new value compiles)"] = {
        key: f"{value:g}" for key, value in vars(task).items()
    }
    for title, rows in parts.items():
        if rows:
            table = Table(title=Text(title), title_justify="left", show_header=False)
            for key, about in rows.items():
                table.add_row(key, Text(about))
            console.print(table)


def check_task(file: Annotated[Positional[Path], arg(metavar="FILE")], /) -> None:
    """Run a Python file that defines a task and say what keeps the lab from training it.

    Args:
        file: the file; a config names it as `task: {file: FILE}`.
    """
    from lab.conformance import check
    from lab.tasks.outside import TaskFileError, task_class

    try:
        task = task_class(file)()
    except TaskFileError as error:
        raise UsageError(str(error)) from None
    if problems := check(task):
        raise UsageError("\n".join(f"{file}: {problem}" for problem in problems))
    console.print(f"{file}: the task {task.name!r} is ready: task: {{file: {file.name}}}", markup=False, soft_wrap=True)


def schema() -> None:
    """Print the JSON schema of a config."""
    from lab.config import Config

    print(json.dumps(Config.model_json_schema(), indent=1))


def main(args=None):
    """Run the command line and return its exit code: 0, 2 for a wrong config or usage, 1 for anything else."""
    commands = {
        "run": run,
        "seeds": seeds,
        "show": show,
        "compare": compare,
        "plan": plan,
        "gates": gates,
        "ideas": ideas,
        "figures": figures,
        "tasks": tasks,
        "check-task": check_task,
        "schema": schema,
    }
    try:
        tyro.extras.subcommand_cli_from_dict(commands, prog="lab", args=args, description=sys.modules["lab"].__doc__)
    except UsageError as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 2
    except outcomes.UnknownName as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 2
    except OSError as error:
        errors.print(f"{error.filename}: {error.strerror}", markup=False, soft_wrap=True)
        return 1
    except StoreError as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 1
    except Stopped as stopped:
        errors.print("stopped; what is finished is kept, and the same command goes on from here", markup=False)
        return 128 + stopped.args[0]
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def entry():
    """Run the command line as a program."""
    sys.exit(main())
