"""The verdict of a run in words: which condition is best, for which budget, how sure, and why."""

import math

from lab.report.tables import reading, short_name
from lab.words import chance, in_words, with_interval, within

BUDGETS = (1, 3, 10, 100)
NEAR = 0.05  # a rival with less probability of being best than this is not named
MOST_NAMED = 3
WHY = {
    "base rate, P(A)": "base_rate",
    "aligned models that pass, P(T|A)": "pass_given_aligned",
    "misaligned models that pass, P(T|not A)": "pass_given_misaligned",
    "LR of the test": "likelihood_ratio",
    "runs per accepted model": "expected_runs",
}


def verdicts(plans, rows):
    """Return what to do in each world, as plain text by name.

    Args:
        plans: what `lab.decision.plan` returned for `BUDGETS`.
        rows: what `lab.summarise` returned.
    """
    by_name = {row.name: row for row in rows}
    said = []
    for plan in plans:
        nothing = _nothing(plan)
        against = {}  # best condition -> what it is held against: its baseline, or what comes next
        for choices in plan.choices.values():
            best = choices[0].name
            others = [by_name[best].baseline, *(choice.name for choice in choices[1:])]
            equal = [choice.name for choice in _equal(choices)]
            against.setdefault(best, next((name for name in others if name and name not in equal), best))
        said.append(
            {
                "world": in_words(plan.world),
                "sure": f"{100 * plan.sure:g}%",
                "headline": nothing or "; ".join(_spans(plan)),
                "budgets": [] if nothing else [_budget(plan, *own) for own in plan.choices.items()],
                "why": [] if nothing else [_why(plan, by_name, *own) for own in against.items()],
            }
        )
    return said


def _nothing(plan):
    """Return why nothing can be ranked, or an empty string."""
    budgets = plan.choices.values()
    if all(len(choices) == 1 for choices in budgets):
        return f"{within(plan.world, next(iter(budgets))[0].name)} alone: nothing to compare it with"
    if all(choice.accepted_aligned.value == 0 for choices in budgets for choice in choices):
        return "No regimen gave an aligned model that was accepted: nothing can be ranked"
    if all(len(_equal(choices)) == len(choices) for choices in budgets):
        return "All regimens came to the very same: nothing can be ranked"
    return ""


def _runs(runs):
    return f"{runs:,} run{'s' * (runs > 1)}"


def _spans(plan):
    """Return for which budgets which condition has the largest estimate."""
    ends = [runs - 1 for runs, _ in plan.changes[1:]]
    for (start, name), end in zip(plan.changes, [*ends, math.inf], strict=True):
        shown = [choices for runs, choices in plan.choices.items() if start <= runs <= end]
        equals = [within(plan.world, other) for other in _equal_throughout(shown) if other != name]
        names = within(plan.world, name) + (f" or {equals[0]}" if len(equals) == 1 else "")
        names += f" or {len(equals)} others that come to the same," * (len(equals) > 1)
        if end == math.inf:
            span = "with any number of runs" if start == 1 else f"from {_runs(start)} on"
        else:
            span = f"up to {_runs(end)}" if start == 1 else f"with {start:,} to {_runs(end)}"
        sure = all(_sure(plan, choices) for choices in shown)
        yield f"{names} {span}{'' if sure else ' (undecided)'}"


def _sure(plan, choices):
    """Whether the best of several choices, with those that come to the same, is best for sure enough."""
    return sum(choice.probability_best for choice in _equal(choices)) >= plan.sure


def _equal(choices):
    """Return the best of several choices and those that come to the very same."""
    return [choice for choice in choices if choice.accepted_aligned.value == choices[0].accepted_aligned.value]


def _equal_throughout(budgets):
    names = [[choice.name for choice in _equal(choices)] for choices in budgets]
    return [name for name in names[0] if all(name in others for others in names)] if names else []


def _named(names):
    """Return the first few of many names."""
    more = [f"{len(names) - MOST_NAMED:,} more"] if len(names) > MOST_NAMED else []
    return [*names[:MOST_NAMED], *more]


def _budget(plan, runs, choices):
    best, world = choices[0], plan.world
    equal = _equal(choices)
    probability = sum(choice.probability_best for choice in equal)
    rivals = sorted((choice for choice in choices if choice not in equal), key=lambda own: -own.probability_best)
    near = [choice for choice in rivals if choice.probability_best >= NEAR]
    return {
        "runs": _runs(runs),
        "condition": best.name,
        "name": within(world, best.name),
        "equals": _named([within(world, choice.name) for choice in equal[1:]]),
        "accepted_aligned": with_interval(best.accepted_aligned),
        "probability": chance(probability),
        "decided": _sure(plan, choices),
        "others": _named([f"{within(world, own.name)} {chance(own.probability_best)}" for own in near]),
    }


def _why(plan, by_name, name, rival):
    """Return why a condition is best: what becomes of a budget, its numbers beside another's, and its log impact."""
    row, other = by_name[name], by_name[rival]
    runs, choices = next(own for own in plan.choices.items() if own[1][0].name == name)
    own, their = ({choice.name: choice for choice in choices}[each] for each in (name, rival))
    said = row if row.baseline else other  # of a baseline there is nothing to say, but of what it is held against
    baseline = by_name[said.baseline or said.name]
    return {
        "name": short_name(row),
        "other": short_name(other) if other is not row else "",
        "numbers": [
            (label, with_interval(row.estimates[quantity]), with_interval(other.estimates[quantity]))
            for label, quantity in WHY.items()
        ],
        "budget": f"of {_runs(runs)}, an aligned model is accepted in {with_interval(own.accepted_aligned)}"
        + ("" if own is their else f" against {with_interval(their.accepted_aligned)}")
        + f" of cases; none passes, so that the last is accepted in any case, in {with_interval(own.forced_fail)}"
        + ("" if own is their else f" against {with_interval(their.forced_fail)}"),
        "reading": reading(said, baseline),
    }


def impacts(rows):
    """Return the parts of every log impact as dicts: condition, regimen, part, `Estimate` and whether it is decided."""
    return [
        {
            "condition": row.name,
            "regimen": row.regimen,
            "baseline": row.baseline,
            "part": part,
            "estimate": getattr(row.impact, part),
            "decided": getattr(row.impact, part).low > 0 or getattr(row.impact, part).high < 0,
        }
        for row in rows
        if row.impact
        for part in ("base_rate", "likelihood_ratio", "net")
    ]
