"""The verdict of a run in words: which condition is best, for which budget, how sure, and why."""

import math

from lab.report.run import reading, short_name
from lab.report.words import in_words, with_interval, within

BUDGETS = (1, 3, 10, 100)
NEAR = 0.05  # a rival with less probability of being best than this is not named
MOST_NAMED = 3
SURE = 0.95
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
        against = {}  # best condition -> what it is held against: its baseline, or what comes next
        for choices in plan.choices.values():
            best = choices[0].name
            others = [by_name[best].baseline, *(choice.name for choice in choices[1:])]
            against.setdefault(best, next((name for name in others if name), best))
        said.append(
            {
                "world": in_words(plan.world),
                "headline": "; ".join(_spans(plan)),
                "budgets": [_budget(plan.world, runs, choices) for runs, choices in plan.choices.items()],
                "why": [_why(by_name[name], by_name[other], by_name) for name, other in against.items()],
            }
        )
    return said


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
        yield f"{names} {span}"


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


def _budget(world, runs, choices):
    best = choices[0]
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
        "probability": ">99%" if probability >= 0.995 else f"{probability:.0%}",  # from draws: never all
        "decided": probability >= SURE,
        "others": _named([f"{within(world, own.name)} {own.probability_best:.0%}" for own in near]),
    }


def _why(row, other, by_name):
    """Return why a condition is best: its numbers beside another's, and the sentence that `lab show` prints."""
    said = row if row.baseline else other  # of a baseline there is nothing to say, but of what it is held against
    baseline = by_name[said.baseline or said.name]
    return {
        "name": short_name(row),
        "other": short_name(other) if other is not row else "",
        "numbers": [
            (label, with_interval(row.estimates[quantity]), with_interval(other.estimates[quantity]))
            for label, quantity in WHY.items()
        ],
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
