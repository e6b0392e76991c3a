"""Commands that ask a question of a stored run: which regimen for which budget, when to reject, what a probe misses."""

from pathlib import Path

from lab import report
from lab.cli.console import (
    DRAWING,
    UsageError,
    console,
    errors,
    print_figures,
    print_json,
    print_table,
    print_text,
    usage,
    waiting,
)
from lab.cli.options import (
    MOST_RUNS,
    OWN_AGED_MARKS,
    AsJson,
    Marks,
    NameOrNone,
    OneWorld,
    OtherAgedMarks,
    RunFolder,
    refuse_observed,
    split_numbers,
)
from lab.cli.read import read
from lab.results.outcomes import attribute, labels
from lab.results.store import Run, StoreError, inner_folder
from lab.studies import probe as probe_study
from lab.studies import rejection

MOST_TRAININGS = 1_000  # of a budget of compute
BUDGETS = "1,3,10,100"  # numbers of runs
LEAST_COST, MOST_COST = 1e-12, 1e30  # of a budget, in any unit
MOST_CHANGES = 10_000  # runs up to which it is said where the best condition changes
MOST_FRESH, MOST_EXACT = 100, 1_000  # ideas and runs, beyond which no exact answer is within reach


def gates(
    folder: RunFolder,
    /,
    budget: str = "1,2,3,10",
    mark: str = "",
    proxy: NameOrNone = None,
    out: Path | None = None,
    partial: bool = False,
    as_json: AsJson = False,
) -> None:
    """Say what rejecting early would have gained: the best gates for a budget.

    Args:
        folder: the run's folder.
        budget: compute in trainings, with commas between.
        mark: other pass marks than the run's own, as score=number with commas between.
        proxy: score of the early gates; the run's own proxy by default.
        out: where to write the figure; the folder "figures" of the run by default.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    from lab import figures

    budgets = split_numbers("--budget", budget, float, MOST_TRAININGS)
    stored = Marks(mark).open(folder)
    results = read(stored, partial, errors if as_json else console, last_only=False)
    with usage(folder), waiting("choosing gates"):
        rejected = rejection.run(results, budgets, proxy)
    for name in rejected.left_out:
        print_text(f"{name} has gates of its own: left out", errors)
    data = report.rejection_json(rejected)
    if as_json:
        print_json(data)
        if out:
            figures.build_gates(data, out)
        return
    confidence = rejected.about.confidence
    print_table(report.gates_table(data["conditions"], budgets, confidence, rejected.steps))
    try:
        with waiting(DRAWING):
            path = figures.build_gates(data, out or inner_folder(stored.path, "figures"))
    except StoreError as error:
        if out:
            raise
        print_text(f"no figure: {error}; --out names another folder", errors)
        return
    print_figures(path)


def plan(
    folder: RunFolder,
    /,
    budget: str | None = None,
    budget_cost: str | None = None,
    marks: OtherAgedMarks = OWN_AGED_MARKS,
    world: OneWorld = None,
    partial: bool = False,
    as_json: AsJson = False,
) -> None:
    """Say which regimen to use for which budget of training runs.

    Args:
        folder: the run's folder.
        budget: numbers of runs, with commas between; 1,3,10,100 by default.
        budget_cost: instead, what all runs may cost together, with commas between; of a table with costs.
        marks: other pass marks, proxy or checkpoint than the run's own.
        world: plan for one of the worlds that the run has drawn, by its number.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    from lab import decision

    if budget is not None and budget_cost is not None:
        raise UsageError("--budget and --budget-cost: give one of them")
    costs = budget_cost is not None
    budgets: list[float] = list(split_numbers("--budget", BUDGETS if budget is None else budget, int, MOST_RUNS))
    if costs:
        budgets = split_numbers("--budget-cost", budget_cost, float, MOST_COST, LEAST_COST)
    stored, where = marks.open(folder), errors if as_json else console
    every = read(stored, partial, where, world=world, checkpoint=marks.checkpoint)
    with usage(folder), waiting("planning"):
        results, left_out = decision.trained_to_the_end(every)
        over_worlds = report.many_worlds(results) and not as_json
        most = 0 if over_worlds else MOST_CHANGES
        plans = decision.plan(results, budgets, most=most, costs=costs)
    _print_left_out(left_out)
    if as_json:
        print_json(report.plan_json(plans))
        return
    baseline = attribute(results, "baseline")
    if over_worlds:
        print_table(report.worlds_plan_table(plans, report.able_conditions(results), baseline))
    else:
        print_table(report.plan_table(plans, attribute(results, "confidence"), costs, baseline))
    for line in report.unaffordable(plans, labels(results)[0]) if costs else ():
        print_text(line)
    for line in report.cautions(results) if stored.observed else ():
        print_text(line)
    if "spent" in results.coords:
        print_text("(runs count in full here, also those that a gate of the regimen stopped early)")
    for line in () if over_worlds or costs else report.plan_readings(plans):
        print_text(line)


def ideas(
    folder: RunFolder,
    /,
    regimen: NameOrNone = None,
    marks: OtherAgedMarks = OWN_AGED_MARKS,
    world: OneWorld = None,
    fresh: int = 3,
    runs: int = 5,
    partial: bool = False,
    as_json: AsJson = False,
) -> None:
    """Take conditions as ideas: how they differ, and what policies on fresh ones give.

    Args:
        folder: the run's folder.
        regimen: take only the conditions of this one.
        marks: other pass marks, proxy or checkpoint than the run's own.
        world: take only those of one of the worlds that the run has drawn, by its number.
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
    stored, where = marks.open(folder), errors if as_json else console
    every = read(stored, partial, where, world=world, checkpoint=marks.checkpoint)
    many = report.many_worlds(every)
    if many and regimen is None:
        raise UsageError(
            f"{folder}: ideas are the worlds of one regimen, or the regimens of one world: give --regimen or --world"
        )
    with usage(folder), waiting("finding the best policy"):
        results, left_out = decision.trained_to_the_end(every)
        field = decision.field(results, regimen)
        outcomes = decision.policies(field, fresh, runs)
    _print_left_out(left_out)
    if as_json:
        print_json(report.field_json(field, outcomes))
        return
    known, view = report.field_tables(field, outcomes, fresh, runs)
    print_table(report.ideas_table(field) if many else known)
    for line in report.field_readings(field, attribute(results, "confidence")):
        print_text(line)
    print_table(view)


def _print_left_out(names: list[str]) -> None:
    """Say which conditions a plan or a field leaves out."""
    for name in names:
        print_text(f"{name}: gates have stopped runs, whose truth this takes: left out", errors)


def probe(folder: RunFolder, /, regimen: NameOrNone = None, partial: bool = False, as_json: AsJson = False) -> None:
    """Fit a linear probe to each population, and say what the run's own probe misses.

    Args:
        folder: the run's folder.
        regimen: only the conditions of this one.
        partial: use what there is of a run that is not complete, and say so.
        as_json: print JSON.
    """
    stored = refuse_observed(Run(folder), "a table says nothing of hidden layers")
    results = read(stored, partial, errors if as_json else console)
    with usage(folder), waiting("fitting probes"):
        probes = probe_study.run(results, regimen)
    if as_json:
        print_json([report.probe_json(fitted) for fitted in probes])
        return
    print_table(report.probe_table(probes, attribute(results, "confidence")))
    for line in report.probe_readings(probes):
        print_text(line)
