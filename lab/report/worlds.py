"""A run of many worlds by regimen, as `lab show`, `compare`, `plan`, `ideas` and `watch` print it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lab.config.schema import WORLD
from lab.config.worlds import read_draws
from lab.decision import Choice, Field, Plan
from lab.report.layout import Sheet
from lab.results.outcomes import ABLE, Outcomes, Results, classify, labels
from lab.results.summary import Summary, condition_counts
from lab.statistics import QUANTITIES, Counts
from lab.words import (
    MANY_WORLDS,
    Json,
    World,
    chance,
    in_words,
    name_in_words,
    name_in_world,
    number,
    part_words,
    percent,
    plural,
    setting,
)

RATES = ("base_rate", "pass_given_aligned", "pass_given_misaligned")
PARTS_SHOWN = ("base_rate", "likelihood_ratio", "net")
QUARTILES = (25, 50, 75)  # percentiles that are shown
ONE_WORLD = "`--world N` shows world N alone."
WAY_WORDS = {"between": "uniform", "log": "uniform in its logarithm", "choose": "one of"}


class Spread(NamedTuple):
    """How a rate spreads over worlds: its quartiles; nan where it is defined in none."""

    low: float
    median: float
    high: float


class Change(NamedTuple):
    """How a part of the log impact comes out over worlds.

    Attributes:
        above, below, undecided: numbers of worlds in which all of its interval is above 0, below 0, or neither.
        median: over the worlds in which it has a value; nan if there is none, or the middle is between infinities.
    """

    above: int
    below: int
    undecided: int
    median: float


@dataclass(frozen=True)
class OverWorlds:
    """A regimen, at one point of the sweep if there is one, over some worlds.

    Attributes:
        name: of the regimen and the point.
        rates: `RATES` -> how they spread.
        changes: part of the log impact -> how it comes out; none of a baseline.
        worlds: how many there are.
    """

    name: str
    rates: dict[str, Spread]
    changes: dict[str, Change]
    worlds: int


class Planned(NamedTuple):
    """A regimen, at one point of the sweep if there is one, with one budget over some worlds.

    Attributes:
        name: of the regimen and the point.
        accepted_aligned, forced_fail, expected_runs: means over the worlds of what `lab.decision.BudgetOutcome` holds.
        spread: how P(accepted is aligned) spreads.
        best: the share of worlds in which no other is better, as expected over the posterior.
        sure: number of worlds in which that is decided.
    """

    name: str
    accepted_aligned: float
    forced_fail: float
    expected_runs: float
    spread: Spread
    best: float
    sure: int


def many_worlds(results: Results | Outcomes) -> bool:
    """Return whether a run has so many worlds that it is shown by regimen."""
    return WORLD in results.coords and np.unique(results[WORLD].values).size >= MANY_WORLDS


def regimen_and_point(name: str, world: float) -> str:
    """Return the name of a condition without its world."""
    return name_in_world(((WORLD, world),), name)


def spread(values: Sequence[float]) -> Spread:
    """Return how values spread, those that are not finite left out."""
    numbers = np.array(values, float)
    known = numbers[np.isfinite(numbers)]
    return Spread(*(np.percentile(known, QUARTILES) if known.size else [np.nan] * 3))


def with_quartiles(of: Spread) -> str:
    """Return a median with its quartiles as text."""
    return f"{number(of.median, 2)} [{number(of.low, 2)}, {number(of.high, 2)}]"


def _cannot(counts: Counts) -> float:
    """Return the share of models that cannot do the job."""
    return counts.unable / max(1, counts.seeds)


def _does_the_job(able: bool) -> str:
    """Return what tells two groups of worlds apart."""
    return f"{'at least' if able else 'fewer than'} {percent(ABLE)} do the job held out"


# --- outcomes and log impacts -------------------------------------------------------------------------------------


def over_worlds(summaries: Sequence[Summary]) -> dict[bool, list[OverWorlds]]:
    """Return the rows of a run of many worlds: those where models do the job when held out, and the others.

    Args:
        summaries: what `lab.summarise` returned.
    """
    cannot = {row.name: _cannot(row.counts) for row in summaries}
    groups: dict[bool, dict[str, list[Summary]]] = {True: {}, False: {}}
    for row in summaries:
        able = cannot[row.baseline or row.name] <= 1 - ABLE
        groups[able].setdefault(regimen_and_point(row.name, row.coordinates[WORLD]), []).append(row)
    return {able: [_row(name, rows) for name, rows in of_group.items()] for able, of_group in groups.items()}


def _row(name: str, rows: Sequence[Summary]) -> OverWorlds:
    """Return one regimen over its worlds."""
    rates = {rate: spread([row.estimates[rate].value for row in rows]) for rate in RATES}
    impacts = [row.impact for row in rows if row.impact is not None]
    changes = {}
    for part in PARTS_SHOWN if impacts else ():
        estimates = [getattr(impact, part) for impact in impacts]
        above, below = sum(one.low > 0 for one in estimates), sum(one.high < 0 for one in estimates)
        known = [one.value for one in estimates if not np.isnan(one.value)]
        with np.errstate(invalid="ignore"):
            median = float(np.median(known)) if known else np.nan
        changes[part] = Change(above, below, len(estimates) - above - below, median)
    return OverWorlds(name, rates, changes, len(rows))


def worlds_table(results: Results, summaries: Sequence[Summary]) -> Sheet:
    """Return a `Sheet` with one row per regimen, and apart the worlds where models cannot do the job."""
    groups, seeds = over_worlds(summaries), max(row.counts.seeds for row in summaries)
    count = len({row.coordinates[WORLD] for row in summaries})
    view = Sheet(
        f"{results.attrs['name']}: {count:,} worlds of {seeds:,} models per regimen",
        ["", "worlds", *(QUANTITIES[rate].heading for rate in RATES), "better", "worse", "undecided"],
        "Median over worlds, and quartiles. Better, worse: worlds whose net against "
        f"{name_in_words(results.attrs['baseline'])} is above or below 0 with all of its "
        f"{percent(summaries[0].confidence)} interval. Where no misaligned model passes under either, the net has no "
        f"value and is undecided. {ONE_WORLD}",
    )
    for able, rows in groups.items():
        if not rows:
            continue
        view.add_heading(_does_the_job(able))
        for row in rows:
            net = row.changes.get("net")
            nets = ["baseline", "", ""] if net is None else [f"{kind:,}" for kind in net[:3]]
            view.add_row(name_in_words(row.name), f"{row.worlds:,}", *map(with_quartiles, row.rates.values()), *nets)
    return view


def worlds_impact_table(summaries: Sequence[Summary], together: bool = False) -> Sheet:
    """Return a `Sheet` with a row per regimen and part of the log impact.

    Args:
        summaries: what `lab.summarise` returned, baselines included.
        together: whether the intervals of a part hold all together.
    """
    compared = [row for row in summaries if row.impact is not None]
    level = percent(summaries[0].confidence)
    intervals = f"{level} intervals"
    if together:
        intervals = f"the {len(compared):,} intervals of each part hold together at {level} (Bonferroni)"
    baselines = dict.fromkeys(name_in_words(str(row.baseline).split()[0]) for row in compared)
    view = Sheet(
        f"log impact over {', '.join(baselines)} in nats, {intervals}",
        ("", "part", "worlds", "above 0", "below 0", "undecided", "median change"),
        "Above, below: worlds in which all of the interval is on that side of 0. Median: over the worlds in which the "
        f"change has a value. {ONE_WORLD}",
    )
    for able, rows in over_worlds(summaries).items():
        changed = [row for row in rows if row.changes]
        if changed:
            view.add_heading(_does_the_job(able))
        for row in changed:
            name, count = name_in_words(row.name), f"{row.worlds:,}"
            for part, change in row.changes.items():
                numbers = [f"{kind:,}" for kind in change[:3]]
                view.add_row(name, part_words(part), count, *numbers, number(change.median, 2))
                name = count = ""
    return view


# --- plans --------------------------------------------------------------------------------------------------------


def able_conditions(results: Results) -> dict[str, bool]:
    """Return of each condition whether its models do the job."""
    outcomes = classify(results)
    return {
        name: _cannot(condition_counts(outcomes, index)) <= 1 - ABLE for index, name in enumerate(labels(results)[0])
    }


def over_plans(plans: Sequence[Plan]) -> dict[int, list[Planned]]:
    """Return budget -> a row per regimen, the one with the largest mean P(accepted is aligned) first.

    Args:
        plans: what `lab.decision.plan` returned, of worlds at one point of the sweep.
    """
    groups: dict[int, dict[str, list[tuple[Choice, bool]]]] = {}
    for plan in plans:
        world = dict(plan.world)[WORLD]
        for choices in plan.choices.values():
            for choice in choices:
                of_regimen = groups.setdefault(choice.runs, {}).setdefault(regimen_and_point(choice.name, world), [])
                of_regimen.append((choice, choice.probability_best >= plan.sure))
    rows = {runs: [_planned(name, chosen) for name, chosen in of_budget.items()] for runs, of_budget in groups.items()}
    return {runs: sorted(of_budget, key=lambda row: -row.accepted_aligned) for runs, of_budget in rows.items()}


def _planned(name: str, chosen: Sequence[tuple[Choice, bool]]) -> Planned:
    """Return one regimen with one budget over its worlds, from its choices and whether each is surely the best."""
    choices = [choice for choice, _ in chosen]
    accepted = [choice.accepted_aligned.value for choice in choices]
    return Planned(
        name,
        accepted_aligned=float(np.mean(accepted)),
        forced_fail=float(np.mean([choice.forced_fail.value for choice in choices])),
        expected_runs=float(np.mean([choice.expected_runs.value for choice in choices])),
        spread=spread(accepted),
        best=float(np.mean([choice.probability_best for choice in choices])),
        sure=sum(sure for _, sure in chosen),
    )


def worlds_plan_table(plans: Sequence[Plan], able: Mapping[str, bool], baseline: str) -> Sheet:
    """Return a `Sheet` with a row per budget and regimen, over the worlds of each point of the sweep.

    Args:
        plans: what `lab.decision.plan` returned.
        able: name of a condition -> whether its models do the job.
        baseline: the regimen whose models must do the job.
    """
    view = Sheet(
        "the first model that passes is accepted, the last one in any case; means over worlds",
        ("regimen", "P(accepted is aligned)", "quartiles", "P(none passes)", "runs used", "best", "surely in"),
        "runs: training runs allowed, and used on average. best: share of worlds in which no other regimen is better, "
        f"as expected. surely in: worlds in which that is decided. {ONE_WORLD}",
    )
    groups: dict[tuple[bool, World], list[Plan]] = {}
    for plan in plans:
        names = [choice.name for choice in next(iter(plan.choices.values()))]
        held_out = next((name for name in names if name.split()[0] == baseline), names[0])
        swept = tuple(place for place in plan.world if f"{place[0]}={setting(place[1])}" in names[0].split()[1:])
        point = tuple(place for place in swept if place[0] != WORLD)
        groups.setdefault((able[held_out], point), []).append(plan)
    for (does, point), members in sorted(groups.items(), key=lambda group: not group[0][0]):
        heading = ", ".join(filter(None, [_does_the_job(does), in_words(point), _worlds(len(members))]))
        for runs, rows in over_plans(members).items():
            view.add_heading(f"{heading}: {runs:,} {plural('run', runs)} allowed")
            for row in rows:
                accepted, *others = (number(mean, 2) for mean in row[1:4])
                quartiles = f"{number(row.spread.low, 2)} to {number(row.spread.high, 2)}"
                name = name_in_words(name_in_world(point, row.name))
                view.add_row(name, accepted, quartiles, *others, chance(row.best), f"{row.sure:,}")
    return view


def _worlds(count: int) -> str:
    """Return a number of worlds in words."""
    return f"{count:,} {plural('world', count)}"


# --- ideas --------------------------------------------------------------------------------------------------------


def ideas_table(field: Field) -> Sheet:
    """Return a `Sheet` of how the ideas of a field spread, where each is a world."""
    view = Sheet(
        f"P(A) of {len(field.names):,} ideas: one regimen in each world",
        ("", "lowest", "quartile", "median", "quartile", "highest"),
        "Quantiles of the ideas. `--json` prints every idea.",
    )
    kinds = {
        "as counted": [counts.base_rate for counts in field.counts],
        "shrunken towards the field": list(field.fit.idea_means),
    }
    for kind, values in kinds.items():
        view.add_row(kind, *(number(value) for value in np.percentile(values, (0, *QUARTILES, 100))))
    return view


# --- what is drawn ------------------------------------------------------------------------------------------------


def drawn_table(worlds: Json, summaries: Sequence[Summary] = ()) -> Sheet:
    """Return a `Sheet` of what was drawn once per world, and how.

    Args:
        worlds: that section of the config.
        summaries: of the conditions of one world, whose values are shown as well; none by default.
    """
    numbers = {row.coordinates[WORLD] for row in summaries}
    values = {name: value for row in summaries for name, value in (row.knobs | row.coordinates).items()}
    view = Sheet(
        f"what each of {_worlds(worlds['count'])} has drawn (seed {worlds['seed']})",
        ("drawn", "how", "from", *(f"in world {world:.0f}" for world in numbers), "sets"),
        "" if numbers else "`--world N` shows the values of world N, and `lab export RUN` writes those of all.",
    )
    for name, draw in read_draws({"worlds": worlds}).items():
        listed = list(map(setting, draw.numbers))
        span = ", ".join(listed) if draw.way == "choose" else " to ".join(listed)
        value = [setting(values[name]) if name in values else "n/a" for _ in numbers]
        view.add_row(name, WAY_WORDS[draw.way], span, *value, ", ".join(draw.keys))
    return view
