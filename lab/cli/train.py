"""Commands that train: a config to start from, an experiment, one share of it, and the experiments of claims."""

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from lab import report
from lab.cli.console import (
    DRAWING,
    Console,
    UsageError,
    console,
    errors,
    print_figures,
    print_line,
    print_text,
    usage,
    waiting,
)
from lab.cli.options import ConfigFile, NameOrNone, RunFolder, split_names
from lab.cli.read import print_run
from lab.cli.watching import watched
from lab.results import summary
from lab.results.outcomes import Results
from lab.results.store import Run, check_vacant, inner_folder, lock

if TYPE_CHECKING:
    from lab.config.experiment import Experiment
    from lab.report.trackers import Mirror


def new(
    file: Annotated[Positional[Path], arg(metavar="NAME.yaml")], /, task: str = "scratchpad", trust_code: bool = False
) -> None:
    """Write a config to start from: four regimens, with what marks and knobs mean.

    Args:
        file: where it goes; no file is overwritten.
        task: a task (`lab tasks` lists them), or a Python file that defines one.
        trust_code: run that file.
    """
    from lab.studies import template

    experiment = template.make(file, task, trust_code)
    try:
        with open(file, "x", encoding="utf-8") as out:
            out.write(experiment.source)
    except FileExistsError:
        raise UsageError(f"{file}: is there already, and no file is overwritten: choose another name") from None
    regimens, models = len(experiment.conditions), len(experiment.seeds)
    trust = " --trust-code" if trust_code else ""
    print_text(f"{file}: {regimens} regimens of {experiment.task.name}, {models} models each")
    print_line(f"next:    lab run {shlex.quote(str(file))}{trust}")


def train(
    experiment: "Experiment",
    out: Path | None = None,
    accept_changes: bool = False,
    where: Console = console,
    elsewhere: Callable[..., None] | None = None,
    mirror: "Mirror | None" = None,
) -> Run:
    """Train what is missing of a run, with a live table on stderr that a signal stops, and return the run.

    Args:
        experiment: what is trained.
        out: the run's folder; runs/NAME-DIGEST by default.
        accept_changes: go on with a run that other code, versions or devices began.
        where: is told what is trained.
        elsewhere: what trains, as in `lab.training.engine.run`.
        mirror: follows the run.
    """
    from lab.training import engine

    models = len(experiment.conditions) * len(experiment.seeds)
    most = "at most " if experiment.config.stop else ""
    print_text(
        f"{experiment.name}: {len(experiment.conditions)} conditions x {most}{len(experiment.seeds):,} seeds = "
        f"{most}{models:,} models of {experiment.task.name}, {experiment.training.steps:,} steps each",
        where,
    )
    with watched(engine.folder(experiment, out), mirror) as (progress, say, stop):
        stored = engine.run(
            experiment,
            out,
            accept_changes=accept_changes,
            progress=progress,
            say=say,
            still_open=summary.still_open(say),
            train=elsewhere,
            one_device=elsewhere is not None,  # each worker of Ray has one
        )
        stop.check()
    return stored


def run(
    config: ConfigFile,
    /,
    task: NameOrNone = None,
    out: Path | None = None,
    seeds: int | None = None,
    width: float | None = None,
    of: NameOrNone = None,
    accept_changes: bool = False,
    trust_code: bool = False,
    engine: Literal["local", "ray"] = "local",
    prepare: bool = False,
    tracker: Literal["wandb", "trackio", "mlflow"] | None = None,
) -> None:
    """Train an experiment, or what is missing of it, and print its table.

    Args:
        config: a YAML file, or `quickstart`, which comes with the lab.
        task: which task's config to take from a file with several (below `tasks`).
        out: the run's folder; runs/NAME-DIGEST by default, the digest being of what is trained.
        seeds: number of seeds instead of the config's; with --width, at most so many.
        width: stop once every interval of a quantity is this narrow (rates as they are, everything else in nats).
        of: the quantity: net, which is the default, or a rate, odds, cost or likelihood ratio of `lab show --json`.
        accept_changes: go on with a run that other code, versions or devices began; the manifest records it.
        trust_code: run the Python file that the config names as its task.
        engine: train in this process, or on the Ray cluster that RAY_ADDRESS names (or one started here).
        prepare: write the run's folder and train nothing, for `lab worker`.
        tracker: mirror the table and the config there, one tracker's run for the whole sweep.
    """
    from lab.config.experiment import load

    experiment = load(config, trust_code, task)
    if seeds is not None:
        experiment = experiment.with_seeds(seeds)
    if width is not None:
        experiment = experiment.with_stop(of=of or "net", width=width)
    elif of is not None:
        raise UsageError("--of says what --width is about: give both")
    if prepare and tracker:
        raise UsageError("--tracker follows training, and --prepare trains nothing: give one of them")
    if prepare:
        _prepare(experiment, out, accept_changes)
        return
    from lab import figures

    elsewhere = None
    if engine == "ray":
        from lab.training import distributed

        elsewhere = distributed.on_ray(experiment, trust_code)
    with _mirrored(tracker) as mirror:
        stored = train(experiment, out, accept_changes, elsewhere=elsewhere, mirror=mirror)
        results, rows = print_run(stored)
        with waiting(DRAWING):
            path = figures.build(report.as_json(results, rows), inner_folder(stored.path, "figures"))
        print_figures(path)
        _print_what_next(results, stored.path)
        if mirror:
            mirror.end(stored, rows)


def _print_what_next(results: Results, folder: Path) -> None:
    """Print which regimen is best for which number of runs, where that can be told, and the commands that go on."""
    from lab import decision

    if not report.many_worlds(results) and results.sizes["condition"] > 1:
        with contextlib.suppress(ValueError):  # gates stopped runs everywhere, or no seed is common to all conditions
            judged, _ = decision.trained_to_the_end(results)
            for line in report.plan_readings(decision.plan(judged, [])):
                print_text(f"plan:    {line}")
    quoted = shlex.quote(str(folder))
    print_line(f"go on:   lab plan {quoted}\n         lab report {quoted}\nagain:   lab show {quoted}")


@contextlib.contextmanager
def _mirrored(kind: str | None) -> Iterator["Mirror | None"]:
    """Give a `Mirror` to a tracker of this kind, or None for None. Raises `UsageError` where it is not installed."""
    if kind is None:
        yield None
        return
    from lab.report.trackers import Mirror, Tracker

    try:
        tracker = Tracker(kind, lambda line: print_text(line, errors))
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from None
    with tracker:
        yield Mirror(tracker)


def _prepare(experiment: "Experiment", out: Path | None, accept_changes: bool) -> None:
    """Write the manifest of a run for `lab worker`."""
    from lab.training import engine

    path = engine.folder(experiment, out)
    check_vacant(path)
    with lock(path):
        engine.use_all_cores()
        engine.prepare(experiment, path, accept_changes)
    print_line(
        f"{path} is ready. As many workers as you like, each by itself:\n"
        f"lab worker {path} --rank I --of K\nthen, for the table: lab show {path}"
    )


def worker(folder: RunFolder, /, rank: int, of: int, trust_code: bool = False) -> None:
    """Train one share of a run that `lab run --prepare` made, on any machine.

    Args:
        folder: the run's folder, on storage that all workers see.
        rank: which share, from 0.
        of: number of shares.
        trust_code: run the Python file that the config names as its task.
    """
    from lab.training import distributed

    with usage(), watched(folder) as (progress, say, stop):
        count = distributed.work(folder, rank, of, trust_code, progress, say)
        stop.check()
    print_text(f"share {rank} of {of}: {count} shards trained")


def experiment(
    name: Positional[str],
    /,
    seeds: int | None = None,
    first: int | None = None,
    tasks: NameOrNone = None,
    out: Path | None = None,
) -> None:
    """Run the experiment of a claim, or of all: train, count, judge and draw.

    Args:
        name: of a claim (`lab claims` lists them), or all.
        seeds: models per condition at most, for a look; the project's own figures are then left alone.
        first: the first seed instead of the configs', to see whether verdicts replicate; the same.
        tasks: only these, with commas between; what is stored of others is kept.
        out: a folder for runs and figures; by default runs/ here and the project's figures/claims/, or runs/look/.
    """
    from lab import claims as book

    look = seeds is not None or first is not None
    folder = out or (Path("runs/look") if look else None)
    folders = book.Folders(folder / "runs", folder / "figures") if folder else book.Folders()
    try:
        claims = book.names() if name == "all" else [name]
        for claim in claims:
            book.module(claim)  # all are there before the first is trained
        for claim in claims:
            started = time.monotonic()
            data = book.run(claim, train, seeds, first, folders, split_names(tasks))
            verdicts = book.verdicts(claim, data)
            overall = book.overall(verdict.verdict for verdict in verdicts.values())
            print_text(f"{claim}: {overall}")
            for task, verdict in verdicts.items():
                print_text(f"  {task}: {verdict.verdict}: {verdict.measured}")
            seconds = time.monotonic() - started
            print_line(f"  {seconds:.0f} s, {folders.figures / claim}.png, .pdf, .json")
    except book.ClaimError as error:
        raise UsageError(str(error)) from None
