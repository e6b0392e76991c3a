"""Commands that train."""

import dataclasses
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from lab import report, statistics
from lab.cli.about import task_kind
from lab.cli.console import Console, Failed, NameOrNone, Stop, UsageError, console, errors
from lab.cli.read import MOST_RUNS, print_run
from lab.cli.tracking import mirrored
from lab.cli.watching import watched
from lab.config.source import ConfigError, read_yaml, shortened
from lab.results import outcomes, summary
from lab.results.store import inner_folder, publish
from lab.studies import card as cards
from lab.words import percent, setting


def train(experiment, out, accept_changes=False, where=console, elsewhere=None, mirror=None):
    """Train what is missing of a run, with a live table on stderr that a signal stops, and return the run.

    `where` is told what is trained; `elsewhere` is what trains, as in `lab.training.engine.run`; `mirror` follows it.
    """
    from lab.training import engine

    models = len(experiment.conditions) * len(experiment.seeds)
    most = "at most " if experiment.config.stop else ""
    where.print(
        f"{experiment.name}: {len(experiment.conditions)} conditions x {most}{len(experiment.seeds):,} seeds = "
        f"{most}{models:,} models of {experiment.task.name}, {experiment.training.steps:,} steps each",
        markup=False,
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
        )
        stop.check()
    return stored


def run(
    config: Positional[Path],
    /,
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
        config: a YAML file.
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
    from lab.config import experiment as configs

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
    from lab import figures

    if prepare and tracker:
        raise UsageError("--tracker follows training, and --prepare trains nothing: give one of them")
    if prepare:
        _prepare(experiment, out, accept_changes)
        return
    elsewhere = None
    if engine == "ray":
        from lab.training import distributed

        elsewhere = distributed.on_ray(experiment, trust_code)
    with mirrored(tracker) as mirror:
        stored = train(experiment, out, accept_changes, elsewhere=elsewhere, mirror=mirror)
        results, rows = print_run(stored)
        path = figures.build(report.as_json(results, rows), inner_folder(stored.path, "figures"))
        console.print(f"figures: {path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)
        console.print(f"again:   lab show {stored.path}", markup=False, soft_wrap=True)
        if mirror:
            mirror.end(stored, rows)


def _prepare(experiment, out, accept_changes):
    """Write the manifest of a run for `lab worker`."""
    from lab.results.store import check_vacant, lock
    from lab.training import engine

    path = engine.folder(experiment, out)
    check_vacant(path)
    with lock(path):
        engine.use_all_cores()
        engine.prepare(experiment, path, accept_changes)
    console.print(
        f"{path} is ready. As many workers as you like, each by itself:\n"
        f"lab worker {path} --rank I --of K\nthen, for the table: lab show {path}",
        markup=False,
        soft_wrap=True,
    )


def worker(
    folder: Annotated[Positional[Path], arg(metavar="RUN")], /, rank: int, of: int, trust_code: bool = False
) -> None:
    """Train one share of a run that `lab run --prepare` made; shards are the same whoever trains them.

    Args:
        folder: the run's folder, on storage that all workers see.
        rank: which share, from 0.
        of: number of shares.
        trust_code: run the Python file that the config names as its task.
    """
    from lab.config.experiment import ConfigError
    from lab.training import distributed

    try:
        with watched(folder) as (progress, say, stop):
            count = distributed.work(folder, rank, of, trust_code, progress, say)
            stop.check()
    except ConfigError as error:
        raise UsageError("\n".join(error.problems)) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    console.print(f"share {rank} of {of}: {count} shards trained", markup=False)


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
    from lab.config import experiment as configs

    try:
        experiment = configs.load(config, trust_code).with_stop(of=of, width=width)
        experiment = experiment.with_stop().with_seeds(pilot, first=2**31)
    except configs.ConfigError as error:
        raise UsageError("\n".join(error.problems)) from None
    from lab.training import engine

    marks = []
    with Stop() as stop, tempfile.TemporaryDirectory() as folder:

        def progress(done, total):
            stop.check()
            marks.append((time.monotonic(), done, total))

        stored = engine.run(experiment, Path(folder, "pilot"), progress=progress)
        results = outcomes.results(stored, last_only=True)
    rows = [row for row in summary.comparisons(results) if of != "net" or row.other is not None]
    confidence = results.attrs["confidence"]
    title = f"{of}: {percent(confidence)} intervals of width {setting(width)}, foreseen from {pilot:,} seeds"
    table = Table(title=Text(title))
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
        most, trust = max(finite), " --trust-code" * trust_code
        seconds = (end - start) * total / max(1, last - first) * most / stored.manifest["block_width"]
        seconds /= len(outcomes.block_seeds(stored.manifest))
        console.print(
            f"{most:,} seeds x {len(experiment.conditions)} conditions: about {seconds:,.0f} s on this machine, "
            f"and compiling\nlab run {config} --seeds {most}{trust}   or, stopping by itself:   "
            f"lab run {config} --seeds {2 * most} --width {setting(width)} --of {of}{trust}",
            markup=False,
            soft_wrap=True,
        )


def card(
    task: Annotated[Positional[str], arg(metavar="TASK")],
    proxy: Annotated[Positional[str], arg(metavar="PROXY")],
    /,
    seeds: int = 256,
    weight: float | None = None,
    settings: Annotated[str, arg(name="set")] = "",
    out: Path | None = None,
    trust_code: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Answer five questions about a proxy of a task with measured numbers: a table, a figure and JSON.

    Args:
        task: name of a task, or a Python file that defines one.
        proxy: one of its proxies.
        seeds: models per condition.
        weight: at which to train on the proxy; what the task suggests by default.
        settings: knobs and sizes of the task as name=value, with commas between.
        out: the run's folder; runs/card-TASK-PROXY-HASH by default.
        trust_code: run the Python file that is given as the task.
        as_json: print JSON.
    """
    from lab import figures
    from lab.config import experiment as configs

    kind = task_kind(task, trust_code)
    if proxy not in kind.proxies:
        raise UsageError(f"{kind.name} has no proxy {proxy!r}; known: {', '.join(kind.proxies)}")
    knobs = _set(settings)
    sizes = {field.name: knobs.pop(field.name) for field in dataclasses.fields(kind) if field.name in knobs}
    chosen = {"file": str(Path(task).resolve()) if task.endswith(".py") else None, "name": kind.name, **sizes}
    try:
        text = cards.config({k: v for k, v in chosen.items() if v is not None}, kind(), proxy, seeds, weight, knobs)
        experiment = configs.parse(text, f"card of {proxy}", trust_code)
    except configs.ConfigError as error:  # the lines of a config that nobody wrote help nobody
        raise UsageError("\n".join(problem.split(": ", 1)[1] for problem in error.problems)) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    stored = train(experiment, out, where=errors if as_json else console)
    results = outcomes.results(stored, last_only=True)
    data = report.card_json(results, cards.card(results))
    path = figures.build_card(data, inner_folder(stored.path, "figures"))
    if as_json:
        print(json.dumps(data, indent=1))
        return
    console.print(report.card_table(data))
    console.print(f"figures: {path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)


def _set(text: str) -> dict:
    """Return name -> value from name=value with commas between; values are read as those of a config are."""
    values = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not 1 <= len(name) <= 64:
            raise UsageError(f"--set: name=value, with commas between, not {shortened(repr(part))}")
        if name in values:
            raise UsageError(f"--set: {name} is given twice")
        try:
            values[name] = read_yaml(value, f"--set {name}").data
        except ConfigError as error:
            raise UsageError(str(error)) from None
    return values


def _looked_at(config, trust_code, condition, terms):
    """Return an experiment, the condition that is looked at, and names of loss terms, from what a person gave."""
    from lab.config import experiment as configs

    experiment = configs.load(config, trust_code)
    known = {own.name: own for own in experiment.conditions}
    first = next(name for name, own in known.items() if own.regimen == experiment.baseline)
    chosen = known.get(first if condition is None else condition)
    if chosen is None:
        raise UsageError(f"--condition: {config} has no condition {condition!r}; known: {', '.join(known)}")
    task = experiment.task
    asked = {None: task.proxies[experiment.config.proxy].terms[:1], "all": list(task.terms)}
    names = asked[terms] if terms in asked else dict.fromkeys(name.strip() for name in terms.split(","))
    return experiment, chosen, list(names)


def sensitivity(
    config: Positional[Path],
    /,
    condition: NameOrNone = None,
    terms: NameOrNone = None,
    step: float | None = None,
    push: float | None = None,
    seeds: int | None = None,
    estimator: Literal["counted", "evolution", "pathwise", "surrogate"] = "counted",
    out: Path | None = None,
    trust_code: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Say what the weight of a loss term does to outcomes at every moment of training: derivatives with intervals.

    Args:
        config: a YAML file; its segments are the moments.
        condition: which of its conditions to look at; the first of the baseline by default.
        terms: loss terms or knobs, with commas between, or all loss terms; by default the one that trains on the
            config's proxy.
        step: by how much a weight is raised and lowered; a hundredth of what the proxy suggests by default.
        push: by how much in the comparison with a whole push; a tenth by default.
        seeds: models per condition instead of the config's.
        estimator: counted, which is true whatever the task does; evolution, by chance; pathwise, slopes of mean scores
            through training, refused where differences contradict them; surrogate, by an early margin.
        out: the run's folder; runs/NAME-HASH by default.
        trust_code: run the Python file that the config names as its task.
        as_json: print JSON.
    """
    from lab import figures
    from lab.config import experiment as configs
    from lab.studies import estimators as derivatives
    from lab.studies import sensitivity as moments

    try:
        experiment, chosen, names = _looked_at(config, trust_code, condition, terms)
        if seeds is not None:
            experiment = experiment.with_seeds(seeds)
        changed = moments.changes(experiment.task, names, step, push)
        plain = experiment
        experiment = configs.parse(moments.config(experiment, chosen, changed), f"profile of {config}", trust_code)
    except configs.ConfigError as error:
        raise UsageError("\n".join(error.problems)) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    about = {"name": experiment.name, "hash": experiment.hash, "question": experiment.config.question}
    about |= {"proxy": experiment.config.proxy, "thresholds": experiment.thresholds}
    about |= {"confidence": experiment.config.confidence, "seeds": len(experiment.seeds)}
    if estimator == "counted":
        stored = train(experiment, out, where=errors if as_json else console)
        results = outcomes.results(stored, last_only=True)
        edges = [end / experiment.training.steps for end in experiment.ends]
        found, said, folder = moments.profile(results, changed, edges), moments.QUANTITIES, stored.path
    else:
        try:
            found, said, about["seeds"] = derivatives.profile(estimator, plain, chosen, changed)
        except derivatives.Refused as error:
            raise Failed(f"{estimator}: refused: {error}") from None
        folder = out or Path("runs") / f"{about['name']}-{about['hash'][:8]}-{estimator}"
    data = report.profile_json(about, chosen.name, found, changed, said, estimator)
    path = figures.build_moments(data, inner_folder(folder, "figures"))
    if as_json:
        print(json.dumps(data, indent=1))
        return
    wide = console if console.is_terminal else Console(width=150)
    wide.print(report.profile_table(data))
    console.print(f"figures: {path.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)


def optimise(
    config: Positional[Path],
    /,
    condition: NameOrNone = None,
    terms: NameOrNone = None,
    goal: Literal["posterior_odds", "accepted_aligned"] = "posterior_odds",
    runs: int = 10,
    floor: float = 0.0,
    cap: float | None = None,
    budget: float | None = None,
    starts: int = 3,
    iterations: int = 60,
    pairs: int = 256,
    seeds: int | None = None,
    out: Path | None = None,
    trust_code: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Find the schedule of weights that serves a goal best, and compare it with hand-made ones on fresh seeds.

    Args:
        config: a YAML file; its segments are those of the schedule, its seeds are those of the comparison.
        condition: which of its conditions to start from; the first of the baseline by default.
        terms: loss terms to weigh, with commas between, or all: the bounded one of every proxy; by default that of the
            config's proxy. Signs are free, so take bounded ones.
        goal: the log of posterior odds, or P(accepted is aligned) with at most so many --runs.
        runs: most runs that accepted_aligned allows.
        floor: share of models that must do the job.
        cap: largest weight of either sign; a tenth of what the proxy suggests by default.
        budget: largest sum of |weight| times share of training; the cap for a fifth of training by default.
        starts: searches, from different starts.
        iterations: steps of each.
        pairs: seeds per step, each trained twice.
        seeds: models per schedule in the comparison instead of the config's.
        out: a folder; runs/optimise-NAME-HASH by default.
        trust_code: run the Python file that the config names as its task.
        as_json: print JSON.
    """
    from lab import figures
    from lab.config import experiment as configs
    from lab.studies import schedules

    wanted = schedules.Goal(goal, runs, floor)
    try:
        experiment, chosen, names = _looked_at(config, trust_code, condition, terms)
        task, proxy = experiment.task, experiment.task.proxies[experiment.config.proxy]
        names = [proxy.terms[-1]] if terms is None else names
        if terms == "all":
            names = [own.terms[-1] for name, own in task.proxies.items() if name != "control"]
        if unknown := [name for name in names if name not in task.terms or name == "main"]:
            raise UsageError(f"--terms: no proxy's loss term {unknown[0]!r}; known: {', '.join(list(task.terms)[1:])}")
        experiment = experiment if seeds is None else experiment.with_seeds(seeds)
        cap = 0.1 * proxy.push if cap is None else cap
        budget = 0.2 * cap if budget is None else budget
        if goal == "accepted_aligned" and runs < 1:
            raise UsageError("--runs must be at least 1")
        if runs > MOST_RUNS:
            raise UsageError(f"--runs must be at most {MOST_RUNS:,}")
        if not 0 <= floor <= 1:
            raise UsageError(f"--floor must lie in 0 to 1, not {setting(floor)}")
        schedules.check(experiment, cap, budget, starts, iterations, pairs)
        where = errors if as_json else console
        folder = out or Path("runs") / f"optimise-{experiment.name}-{experiment.hash[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        where.print(f"{experiment.name}: {starts} searches of {iterations} steps with {2 * pairs} models each",
                    markup=False)  # fmt: skip
        with watched() as (progress, _, stop):
            found = schedules.searches(
                experiment, chosen, names, wanted, cap, budget, count=starts, iterations=iterations, pairs=pairs,
                file=folder / "search.json", progress=progress,
            )  # fmt: skip
            stop.check()
        tried = schedules.beside(experiment, names, cap, budget, found)
        about = [
            f"Claim:    the schedule `learned` was found for the largest {goal} of {experiment.name}, {chosen.name}",
            "Command:  lab run on this file; seeds of the search were others",
            f"Expected: cap {setting(cap)}, budget {setting(budget)} (|weight| times share of training) for every one",
            f"Cost:     {len(tried) * len(experiment.seeds):,} models",
        ]
        text = schedules.config(experiment, chosen, names, tried, about)
        path = folder / f"optimised-{experiment.name}.yaml"
        publish(path, text.encode())
        made = configs.parse(text, str(path), trust_code)
    except configs.ConfigError as error:
        raise UsageError("\n".join(error.problems)) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    stored = train(made, folder / "run", where=where)
    results = outcomes.results(stored, last_only=True)
    confidence = results.attrs["confidence"]
    rows = schedules.rivals(outcomes.classify(results), list(tried), "learned", wanted, confidence)
    limits = {"cap": cap, "budget": budget, "terms": names, "condition": chosen.name}
    limits["ends"] = [end / experiment.training.steps for end in experiment.ends]
    by_hand = [row for row in rows if not row.name.startswith("learned_")]
    data = report.optimised_json(results, wanted, limits, found, tried, rows, schedules.verdict(by_hand))
    drawn = figures.build_schedules(data, inner_folder(folder, "figures"))
    if as_json:
        print(json.dumps(data, indent=1))
        return
    console.print(report.optimised_table(data))
    console.print(report.optimised_reading(data), markup=False)
    console.print(f"config:  {path}", markup=False, soft_wrap=True)
    console.print(f"figures: {drawn.with_suffix('')}.png, .pdf, .json", markup=False, soft_wrap=True)


def experiment(
    name: Positional[str],
    /,
    seeds: int | None = None,
    first: int | None = None,
    tasks: NameOrNone = None,
    out: Path | None = None,
) -> None:
    """Run the experiment of a claim, or of all: train, count, judge by the claim's rule and draw its figure.

    Args:
        name: of a claim (`lab claims` lists them), or all.
        seeds: models per condition at most, for a look; the project's own figures are then left alone.
        first: the first seed instead of the configs', to see whether verdicts replicate; the same.
        tasks: only these, with commas between; what is stored of others is kept.
        out: a folder for runs and figures; by default runs/ here and the project's figures/claims/, or runs/look/.
    """
    from lab.claims import book as made
    from lab.config.experiment import ConfigError

    try:
        chosen = made.names() if name == "all" else [name]
        look = seeds is not None or first is not None
        folder = out or (Path("runs/look") if look else None)
        to, runs = (folder / "figures", folder / "runs") if folder else (None, None)
        for own in chosen:
            made.module(own)
        for own in chosen:
            started = time.monotonic()
            only = tasks and [task.strip() for task in tasks.split(",")]
            data = made.run(own, train, seeds, first, runs, to, only)
            verdicts = made.verdicts(own, data)
            console.print(f"{own}: {made.overall(v.verdict for v in verdicts.values())}", markup=False)
            for task, verdict in verdicts.items():
                console.print(f"  {task}: {verdict.verdict}: {verdict.why}", markup=False)
            where = (to or made.FIGURES) / own
            console.print(
                f"  {time.monotonic() - started:.0f} s, {where}.png, .pdf, .json", markup=False, soft_wrap=True
            )
    except (made.ClaimError, ConfigError) as error:
        raise UsageError(str(error) if isinstance(error, made.ClaimError) else "\n".join(error.problems)) from None
