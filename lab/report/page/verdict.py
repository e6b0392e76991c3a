"""The verdict of a run in words: which condition is best, for which budget, how sure, and why."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from lab.decision import Choice, Plan
from lab.report.decisions import equal_choices, why_nothing
from lab.report.page.names import Names, place_words, words
from lab.report.readings import reading
from lab.results.summary import Summary
from lab.statistics import Estimate, wilson_interval
from lab.words import Json, chance, plural, quantity_words, with_interval

BUDGETS = (1, 3, 10, 100)
NEAR = 0.05  # a rival with less probability of being best than this is not named
MOST_NAMED = 3
WHY = ("base_rate", "pass_given_aligned", "pass_given_misaligned", "likelihood_ratio", "expected_runs")


def finding(plans: Sequence[Plan], rows: Sequence[Summary], names: Names) -> list[str]:
    """Return what was found, a sentence or two per world, or where there are many worlds for all of them.

    Args:
        plans: what `lab.decision.plan` returned for `BUDGETS` and others.
        rows: what `lab.summarise` returned.
        names: of the conditions.
    """
    if len(plans) > MOST_NAMED:
        return _many_worlds(plans, rows)
    by_name = {row.name: row for row in rows}
    return [_found(plan, by_name, names) for plan in plans]


def _found(plan: Plan, by_name: Mapping[str, Summary], names: Names) -> str:
    """Say which condition is best in a world for which budget, and what it changed."""
    start = f"{_capital(place_words(plan.world))}: " if plan.world else ""
    if nothing := why_nothing(plan):
        return f"{start}{nothing}."
    (best, budget), *later = _spans(plan, names)
    rest = "".join(f"; {budget} under {best}" for best, budget in later)
    row = by_name[plan.changes[0][1][0]]
    changed = f" {_capital(reading(row, by_name[row.baseline]))}" if row.baseline else ""
    budget = budget if start else _capital(budget)
    return f"{start}{budget} an accepted model is most often aligned under {best}{rest}.{changed}"


def share(value: float) -> str:
    """Return a share of models in a sentence, where its interval stands elsewhere: 0% and 100% are none and all."""
    if math.isnan(value):  # gates have stopped models
        return "not known"
    return f"{100 * value:.0f}%" if value in (0, 1) else f"{min(99, max(1, round(100 * value)))}%"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _many_worlds(plans: Sequence[Plan], rows: Sequence[Summary]) -> list[str]:
    """Say in how many worlds which regimen is best, with few runs and with many."""
    regimens = {row.name: row.regimen for row in rows}
    lines = []
    for runs in (BUDGETS[0], BUDGETS[-2]):
        best = Counter(words(regimens[plan.choices[runs][0].name]) for plan in plans)
        sure = sum(_sure(plan, plan.choices[runs]) for plan in plans)
        counted = ", ".join(f"{regimen} in {count:,}" for regimen, count in best.most_common(MOST_NAMED))
        lines.append(
            f"With {_runs(runs)}, best by estimate in {len(plans):,} worlds: {counted}. {sure:,} of them are decided."
        )
    return lines


def verdicts(plans: Sequence[Plan], rows: Sequence[Summary], names: Names) -> list[Json]:
    """Return what to do in each world, as plain text by name.

    Args:
        plans: what `lab.decision.plan` returned for `BUDGETS` and others.
        rows: what `lab.summarise` returned.
        names: of the conditions.
    """
    by_name = {row.name: row for row in rows}
    worlds = []
    for plan in plans:
        nothing = why_nothing(plan)
        budgets = [plan.choices[runs] for runs in BUDGETS]
        against: dict[str, str] = {}  # best condition -> what it is held against: its baseline, or what comes next
        for choices in budgets:
            best = choices[0].name
            others = [by_name[best].baseline, *(choice.name for choice in choices[1:])]
            equal = [choice.name for choice in equal_choices(choices)]
            against.setdefault(best, next((name for name in others if name and name not in equal), best))
        worlds.append(
            {
                "world": place_words(plan.world),
                "sure": f"{100 * plan.sure:g}%",
                "headline": nothing or "; ".join(map(" ".join, _spans(plan, names))),
                "budgets": [] if nothing else [_budget(plan, names, runs) for runs in BUDGETS],
                "why": [] if nothing else [_why(plan, by_name, names, *pair) for pair in against.items()],
            }
        )
    return worlds


def _runs(runs: int) -> str:
    return f"{runs:,} {plural('run', runs)}"


def _spans(plan: Plan, names: Names) -> Iterator[tuple[str, str]]:
    """Yield which condition has the largest estimate, and for which budgets."""
    ends = [runs - 1 for runs, _ in plan.changes[1:]]
    for (start, (name, *_)), end in zip(plan.changes, [*ends, None], strict=True):
        shown = {runs: choices for runs, choices in plan.choices.items() if start <= runs <= (end or math.inf)}
        equals = [names.short[other] for other in _equal_throughout(list(shown.values())) if other != name]
        best = names.short[name] + (f" or {equals[0]}" if len(equals) == 1 else "")
        if len(equals) > 1:
            best += f" or {len(equals)} others that come to the same"
        if end is None:
            span = "with any number of runs" if start == 1 else f"with {_runs(start)} or more"
        else:
            span = f"with {_runs(end)}" if start == end else f"with {start:,} to {_runs(end)}"
        yield f"{best}{_how_far({runs: _sure(plan, choices) for runs, choices in shown.items()})}", span


def _how_far(sure: Mapping[float, bool]) -> str:
    """Return for which of some budgets it is decided which condition is best: nothing where it is for all of them."""
    if all(sure.values()):
        return ""
    open_at = [runs for runs, decided in sure.items() if not decided]
    decided = [runs for runs in sure if sure[runs]]
    if decided and min(decided) > max(open_at):
        return f" (decided from {_runs(int(min(decided)))} on)"
    if decided and max(decided) < min(open_at):
        return f" (decided up to {_runs(int(max(decided)))})"
    return " (undecided)"


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


def _budget(plan: Plan, names: Names, runs: int) -> Json:
    """Return which condition is best with so many runs, and how sure that is."""
    choices = plan.choices[runs]
    best = choices[0]
    equal = equal_choices(choices)
    probability = sum(choice.probability_best for choice in equal)
    rivals = sorted((choice for choice in choices if choice not in equal), key=lambda choice: -choice.probability_best)
    near = [choice for choice in rivals if choice.probability_best >= NEAR]
    return {
        "runs": _runs(runs),
        "condition": best.name,
        "name": names.short[best.name],
        "equals": _first_few([names.short[choice.name] for choice in equal[1:]]),
        "accepted_aligned": with_interval(best.accepted_aligned),
        "probability": chance(probability),
        "decided": _sure(plan, choices),
        "others": _first_few([f"{names.short[choice.name]} {chance(choice.probability_best)}" for choice in near]),
    }


def _why(plan: Plan, by_name: Mapping[str, Summary], names: Names, name: str, rival: str) -> Json:
    """Return why a condition is best: what becomes of a budget, its numbers beside another's, and its log impact."""
    row, other = by_name[name], by_name[rival]
    choices = next(plan.choices[runs] for runs in BUDGETS if plan.choices[runs][0].name == name)
    by_choice = {choice.name: choice for choice in choices}
    best, second = by_choice[name], by_choice[rival]
    subject = row if row.baseline else other  # of a baseline there is nothing to say, but of what it is held against
    baseline = by_name[subject.baseline or subject.name]
    return {
        "name": names.short[name],
        "other": names.short[rival] if other is not row else "",
        "numbers": [
            *(
                (quantity_words(name), with_interval(row.estimates[name]), with_interval(other.estimates[name]))
                for name in WHY
            ),
            *(
                [("cannot do the job, of all models", *map(_unable, (row, other)))]
                if _unable_is_shown(row, other)
                else []
            ),
        ],
        "budget": f"of {_runs(best.runs)}, an aligned model is accepted in "
        f"{_against(best, second, 'accepted_aligned')} of cases; none passes, so that the last is accepted in any "
        f"case, in {_against(best, second, 'forced_fail')}",
        "reading": reading(subject, baseline),
    }


def _unable_is_shown(*rows: Summary) -> bool:
    return any(row.counts.unable_is_shown for row in rows)


def _unable(row: Summary) -> str:
    """Return the share of models that cannot do the job, with its interval."""
    models, seeds = row.counts.unable, row.counts.seeds
    return with_interval(Estimate(models / seeds, *wilson_interval(models, seeds, row.confidence)))


def _against(best: Choice, second: Choice, quantity: str) -> str:
    """Return a quantity of the best choice, against that of the second where it is another."""
    value = with_interval(getattr(best, quantity))
    return value if best is second else f"{value} against {with_interval(getattr(second, quantity))}"
