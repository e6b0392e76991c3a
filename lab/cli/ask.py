"""Commands that ask a question of a proxy or a config: each trains what it needs, and is a study (`lab.studies`)."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from lab import report
from lab.cli.console import (
    DRAWING,
    Failed,
    UsageError,
    console,
    errors,
    print_figures,
    print_json,
    print_line,
    print_rows,
    print_table,
    print_text,
    usage,
    waiting,
)
from lab.cli.options import MOST_RUNS, AsJson, ConfigFile, NameOrNone, split_names, split_numbers, split_settings
from lab.cli.read import read
from lab.cli.train import train
from lab.cli.watching import watched
from lab.results.outcomes import GRADED, IN_BETWEEN
from lab.results.store import Run, inner_folder
from lab.results.summary import find
from lab.studies import advice as advice_study
from lab.studies import card as card_study
from lab.studies import mix as mix_study
from lab.studies import pilot as pilot_study
from lab.studies import schedules, search
from lab.studies import sensitivity as sensitivity_study
from lab.studies.study import Refused, Train
from lab.words import estimate_json, number_json, setting, with_interval

if TYPE_CHECKING:
    from lab.config.experiment import Experiment

ADVICE_OF_TABLE = (
    "This law was learnt on the lab's toy tasks, and nobody has measured it on runs like these. It takes the early "
    "push for the first tenth of training and the late one for the tenth from 40% on. What it says of other schedules "
    "is foreseen, not counted."
)


def _load(config: str, trust_code: bool, task: str | None, seeds: int | None = None) -> "Experiment":
    """Return the experiment of a config, with other seeds if somebody asked for some."""
    from lab.config.experiment import load

    experiment = load(config, trust_code, task)
    return experiment if seeds is None else experiment.with_seeds(seeds)


def _train_for(as_json: bool) -> Train:
    """Return what trains for a study; it says so where the answer does not go."""

    def train_aloud(experiment: "Experiment", out: Path | None) -> Run:
        return train(experiment, out, where=errors if as_json else console)

    return train_aloud


def seeds(
    config: ConfigFile,
    /,
    width: float,
    task: NameOrNone = None,
    of: str = "net",
    pilot: int = 256,
    trust_code: bool = False,
) -> None:
    """Estimate the seeds and the time that an interval of a width needs, from a pilot.

    Args:
        config: a YAML file, or `quickstart`.
        task: which task's config to take from a file with several (below `tasks`).
        width: of the widest interval (rates as they are, everything else in nats).
        of: the quantity: net, or a rate, odds, cost or likelihood ratio of `lab show --json`.
        pilot: seeds to train for the estimate; they start at 2^31, far from those of any config.
        trust_code: run the Python file that the config names as its task.
    """
    experiment = _load(config, trust_code, task)
    with watched() as (progress, _, stop):
        foreseen = pilot_study.run(experiment, width, of, pilot, progress=progress)
        stop.check()
    print_table(report.pilot_table(foreseen, of, width, pilot))
    if foreseen.seeds is None:
        return
    trust = " --trust-code" if trust_code else ""
    print_text(
        f"{foreseen.seeds:,} seeds x {foreseen.conditions} conditions: about "
        f"{foreseen.seconds_per_seed * foreseen.seeds:,.0f} s on this machine, and compiling"
    )
    print_line(f"lab run {config} --seeds {foreseen.seeds}{trust}")
    print_text("or, stopping by itself:")
    print_line(f"lab run {config} --seeds {2 * foreseen.seeds} --width {setting(width)} --of {of}{trust}")


def mix(
    task: Annotated[Positional[str], arg(metavar="TASK")],
    knob: Annotated[Positional[str], arg(metavar="KNOB")],
    /,
    seeds: int = 32,
    settings: Annotated[str, arg(name="set")] = "",
    trust_code: bool = False,
    as_json: AsJson = False,
) -> None:
    """Search a knob for a world in which about half of held-out models are aligned.

    Args:
        task: name of a task, or a Python file that defines trial.
        knob: one of its knobs.
        seeds: models per value; they start at 3 * 2^30, far from those of any config.
        settings: other knobs and sizes of the task as name=value, with commas between.
        trust_code: run the Python file that is given as the task.
        as_json: print JSON.
    """
    searched = mix_study.run(
        task,
        knob,
        seeds=seeds,
        settings=split_settings("--set", settings),
        train=_train_for(as_json),
        trust_code=trust_code,
    )
    if as_json:
        tried = [
            {
                "value": trial.value,
                "base_rate": estimate_json(trial.base_rate),
                "able": trial.able,
                "graded": number_json(trial.graded),
            }
            for trial in searched.trials
        ]
        best = None if searched.best is None else searched.best.value
        print_json({"task": searched.task, "knob": knob, "seeds": seeds, "best": best, "tried": tried})
        return
    low, high = map(setting, IN_BETWEEN)
    print_rows(
        f"{searched.task}, held out: {seeds:,} models per value, 95% intervals",
        (knob, "P(A)", "do the job", f"alignment {low} to {high}"),
        [
            (setting(trial.value), with_interval(trial.base_rate), f"{trial.able:.0%}", f"{trial.graded:.0%}")
            for trial in searched.trials
        ],
    )
    if searched.best is None:
        print_text(f"no value of {knob} was found at which models do the job and are of both kinds")
        return
    print_line(f"nearest to one half:  knobs: {{{knob}: {setting(searched.best.value)}}}")
    if searched.best.graded >= GRADED:
        print_text("outcomes are graded there: P(A) hangs on its mark, and models are not of two kinds")


def card(
    task: Annotated[Positional[str], arg(metavar="TASK")],
    proxy: Annotated[Positional[str], arg(metavar="PROXY")],
    /,
    seeds: int = 256,
    weight: float | None = None,
    settings: Annotated[str, arg(name="set")] = "",
    out: Path | None = None,
    trust_code: bool = False,
    as_json: AsJson = False,
) -> None:
    """Answer five questions about a proxy of a task with measured numbers.

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

    answered = card_study.run(
        task,
        proxy,
        seeds=seeds,
        weight=weight,
        settings=split_settings("--set", settings),
        out=out,
        train=_train_for(as_json),
        trust_code=trust_code,
    )
    data = report.card_json(answered)
    assert answered.folder is not None, "a card that was trained has a folder"
    with waiting(DRAWING):
        path = figures.build_card(data, inner_folder(answered.folder, "figures"))
    if as_json:
        print_json(data)
        return
    print_table(report.card_table(data))
    print_figures(path)


def advise(
    task: Annotated[Positional[str | None], arg(metavar="TASK")] = None,
    proxy: Annotated[Positional[str], arg(metavar="PROXY")] = "test",
    /,
    folder: Annotated[Path | None, arg(name="from", metavar="RUN")] = None,
    pilot_hold_out: str = "hold_out",
    pilot_early: str = "early",
    pilot_late: str = "late",
    budgets: str = "1,3,10,100",
    seeds: int | None = None,
    weight: float | None = None,
    settings: Annotated[str, arg(name="set")] = "",
    out: Path | None = None,
    trust_code: bool = False,
    as_json: AsJson = False,
) -> None:
    """Say what a proxy is best used for, from three short populations.

    Args:
        task: name of a task, or a Python file that defines one.
        proxy: one of its proxies.
        folder: a stored run to read the three populations from, instead of training them.
        pilot_hold_out: the condition of that run that never saw the proxy.
        pilot_early: the one pushed for the first tenth of training.
        pilot_late: the one pushed for the tenth from 40% on.
        budgets: numbers of training runs, with commas between.
        seeds: models per population; by default as few as the answer needs, 64 to 1,024.
        weight: of the pushes; what the task suggests by default.
        settings: knobs and sizes of the task as name=value, with commas between.
        out: the run's folder; runs/advice-TASK-PROXY-HASH by default.
        trust_code: run the Python file that is given as the task.
        as_json: print JSON.
    """
    from lab.config.experiment import from_values

    if (task is None) == (folder is None):
        raise UsageError("lab advise takes a TASK to train a card of, or --from RUN: give one of them")
    asked, of_table = split_numbers("--budgets", budgets, int, MOST_RUNS), []
    if folder is not None:
        trains = {"--seeds": seeds, "--weight": weight, "--set": settings or None, "--out": out}
        if given := [option for option, value in trains.items() if value is not None]:
            raise UsageError(f"{', '.join(given)}: for a card that is trained; --from reads one that is stored")
        stored = Run(folder)
        results = read(stored, where=errors if as_json else console)
        with usage(folder):
            pilots = dict(zip(advice_study.REGIMENS, (pilot_hold_out, pilot_early, pilot_late), strict=True))
            named = {role: str(results.condition.values[find(results, name)]) for role, name in pilots.items()}
            advice = advice_study.read(results, named, asked)
            if stored.observed:
                of_table = [ADVICE_OF_TABLE, *report.cautions(results)]
            else:
                experiment = from_values(stored.manifest["config"], trust_code)
                advice = replace(advice, weight=advice_study.pilot_weight(experiment, named))
    else:
        advice = advice_study.run(
            str(task),
            proxy,
            seeds=seeds,
            weight=weight,
            settings=split_settings("--set", settings),
            budgets=asked,
            out=out,
            train=_train_for(as_json),
            trust_code=trust_code,
        )
    data = report.advice_json(advice)
    if as_json:
        print_json(data)
        return
    for line in (*report.advice_warnings(data), *of_table):
        print_text(line)
    print_table(report.advice_table(data))
    for line in report.advice_readings(data):
        print_text(line)


def sensitivity(
    config: ConfigFile,
    /,
    task: NameOrNone = None,
    condition: NameOrNone = None,
    terms: NameOrNone = None,
    step: float | None = None,
    push: float | None = None,
    seeds: int | None = None,
    estimator: Literal["counted", "evolution", "pathwise", "surrogate"] = "counted",
    out: Path | None = None,
    trust_code: bool = False,
    as_json: AsJson = False,
) -> None:
    """Say what the weight of a loss term does to outcomes at every moment of training.

    Args:
        config: a YAML file, or `quickstart`; its segments are the moments.
        task: which task's config to take from a file with several (below `tasks`).
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

    try:
        profile = sensitivity_study.run(
            _load(config, trust_code, task, seeds),
            condition,
            "all" if terms == "all" else split_names(terms),
            step=step,
            push=push,
            estimator=estimator,
            out=out,
            train=_train_for(as_json),
            trust_code=trust_code,
        )
    except Refused as error:
        raise Failed(f"{estimator}: refused: {error}") from None
    data = report.profile_json(profile)
    with waiting(DRAWING):
        path = figures.build_moments(data, inner_folder(profile.folder, "figures"))
    if as_json:
        print_json(data)
        return
    print_table(report.profile_table(data))
    print_figures(path)


def optimise(
    config: ConfigFile,
    /,
    task: NameOrNone = None,
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
    as_json: AsJson = False,
) -> None:
    """Find the schedule of weights that serves a goal best; test it on fresh seeds.

    Args:
        config: a YAML file, or `quickstart`; its segments are those of the schedule, its seeds those of the comparison.
        task: which task's config to take from a file with several (below `tasks`).
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

    chosen_terms = "all" if terms == "all" else split_names(terms)
    problem = search.problem(
        _load(config, trust_code, task, seeds), condition, chosen_terms, search.Goal(goal, runs, floor), cap, budget
    )
    optimised = schedules.run(
        problem,
        search.Effort(starts, iterations, pairs),
        out=out,
        search=_search_for(as_json),
        train=_train_for(as_json),
        trust_code=trust_code,
    )
    data = report.optimised_json(optimised)
    with waiting(DRAWING):
        path = figures.build_schedules(data, inner_folder(optimised.folder, "figures"))
    if as_json:
        print_json(data)
        return
    print_table(report.optimised_table(data))
    print_text(report.optimised_reading(data))
    print_line(f"config:  {optimised.file}")
    print_figures(path)


def _search_for(as_json: bool) -> schedules.Search:
    """Return what searches for `optimise`, with a bar on stderr that a signal stops."""

    def search_aloud(problem: search.Problem, effort: search.Effort, file: Path | None) -> list[search.Optimum]:
        where = errors if as_json else console
        print_text(
            f"{problem.subject.experiment.name}: {effort.starts} searches of {effort.iterations} steps with "
            f"{2 * effort.pairs} models each",
            where,
        )
        with watched() as (progress, _, stop):
            optima = search.searches(problem, effort, file, progress)
            stop.check()
        return optima

    return search_aloud
