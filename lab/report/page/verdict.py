"""The verdict of a run in words: which condition is best, for which budget, how sure, and why."""

import math
from collections.abc import Iterator, Mapping, Sequence

from lab.decision import Choice, Plan
from lab.report.decisions import equal_choices, why_nothing
from lab.report.tables import reading, short_name
from lab.results.summary import Summary
from lab.words import Json, chance, in_words, name_in_world, plural, quantity_words, with_interval

BUDGETS = (1, 3, 10, 100)
NEAR = 0.05  # a rival with less probability of being best than this is not named
MOST_NAMED = 3
WHY = ("base_rate", "pass_given_aligned", "pass_given_misaligned", "likelihood_ratio", "expected_runs")


def verdicts(plans: Sequence[Plan], rows: Sequence[Summary]) -> list[Json]:
    """Return what to do in each world, as plain text by name.

    Args:
        plans: what `lab.decision.plan` returned for `BUDGETS`.
        rows: what `lab.summarise` returned.
    """
    by_name = {row.name: row for row in rows}
    worlds = []
    for plan in plans:
        nothing = why_nothing(plan)
        against: dict[str, str] = {}  # best condition -> what it is held against: its baseline, or what comes next
        for choices in plan.choices.values():
            best = choices[0].name
            others = [by_name[best].baseline, *(choice.name for choice in choices[1:])]
            equal = [choice.name for choice in equal_choices(choices)]
            against.setdefault(best, next((name for name in others if name and name not in equal), best))
        worlds.append(
            {
                "world": in_words(plan.world),
                "sure": f"{100 * plan.sure:g}%",
                "headline": nothing or "; ".join(_spans(plan)),
                "budgets": [] if nothing else [_budget(plan, choices[0].runs) for choices in plan.choices.values()],
                "why": [] if nothing else [_why(plan, by_name, *names) for names in against.items()],
            }
        )
    return worlds


def _runs(runs: int) -> str:
    return f"{runs:,} {plural('run', runs)}"


def _spans(plan: Plan) -> Iterator[str]:
    """Return for which budgets which condition has the largest estimate."""
    ends = [runs - 1 for runs, _ in plan.changes[1:]]
    for (start, (name, *_)), end in zip(plan.changes, [*ends, None], strict=True):
        shown = [choices for runs, choices in plan.choices.items() if start <= runs <= (end or math.inf)]
        equals = [name_in_world(plan.world, other) for other in _equal_throughout(shown) if other != name]
        names = name_in_world(plan.world, name) + (f" or {equals[0]}" if len(equals) == 1 else "")
        if len(equals) > 1:
            names += f" or {len(equals)} others that come to the same,"
        if end is None:
            span = "with any number of runs" if start == 1 else f"from {_runs(start)} on"
        else:
            span = f"up to {_runs(end)}" if start == 1 else f"with {start:,} to {_runs(end)}"
        sure = all(_sure(plan, choices) for choices in shown)
        yield f"{names} {span}{'' if sure else ' (undecided)'}"


def _sure(plan: Plan, choices: Sequence[Choice]) -> bool:
    """Whether the best of several choices, with those that come to the same, is best for sure enough."""
    return sum(choice.probability_best for choice in equal_choices(choices)) >= plan.sure


def _equal_throughout(budgets: Sequence[Sequence[Choice]]) -> list[str]:
    """Return the names of the conditions that are best, or come to the same as the best, under every budget."""
    names = [[choice.name for choice in equal_choices(choices)] for choices in budgets]
    return [name for name in names[0] if all(name in others for others in names)] if names else []


def _first_few(names: Sequence[str]) -> list[str]:
    """Return the first few of many names, and how many more there are."""
    more = [f"{len(names) - MOST_NAMED:,} more"] if len(names) > MOST_NAMED else []
    return [*names[:MOST_NAMED], *more]


def _budget(plan: Plan, runs: int) -> Json:
    """Return which condition is best with so many runs, and how sure that is."""
    choices, world = plan.choices[runs], plan.world
    best = choices[0]
    equal = equal_choices(choices)
    probability = sum(choice.probability_best for choice in equal)
    rivals = sorted((choice for choice in choices if choice not in equal), key=lambda choice: -choice.probability_best)
    near = [choice for choice in rivals if choice.probability_best >= NEAR]
    return {
        "runs": _runs(runs),
        "condition": best.name,
        "name": name_in_world(world, best.name),
        "equals": _first_few([name_in_world(world, choice.name) for choice in equal[1:]]),
        "accepted_aligned": with_interval(best.accepted_aligned),
        "probability": chance(probability),
        "decided": _sure(plan, choices),
        "others": _first_few(
            [f"{name_in_world(world, choice.name)} {chance(choice.probability_best)}" for choice in near]
        ),
    }


def _why(plan: Plan, by_name: Mapping[str, Summary], name: str, rival: str) -> Json:
    """Return why a condition is best: what becomes of a budget, its numbers beside another's, and its log impact."""
    row, other = by_name[name], by_name[rival]
    choices = next(choices for choices in plan.choices.values() if choices[0].name == name)
    by_choice = {choice.name: choice for choice in choices}
    best, second = by_choice[name], by_choice[rival]
    subject = row if row.baseline else other  # of a baseline there is nothing to say, but of what it is held against
    baseline = by_name[subject.baseline or subject.name]
    return {
        "name": short_name(row),
        "other": short_name(other) if other is not row else "",
        "numbers": [
            (quantity_words(quantity), with_interval(row.estimates[quantity]), with_interval(other.estimates[quantity]))
            for quantity in WHY
        ],
        "budget": f"of {_runs(best.runs)}, an aligned model is accepted in "
        f"{_against(best, second, 'accepted_aligned')} of cases; none passes, so that the last is accepted in any "
        f"case, in {_against(best, second, 'forced_fail')}",
        "reading": reading(subject, baseline),
    }


def _against(best: Choice, second: Choice, quantity: str) -> str:
    """Return a quantity of the best choice, against that of the second where it is another."""
    value = with_interval(getattr(best, quantity))
    return value if best is second else f"{value} against {with_interval(getattr(second, quantity))}"
