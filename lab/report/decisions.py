"""Plans, gates and ideas as JSON and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from lab.decision import Choice, Field, Plan
from lab.ideas import PolicyOutcome
from lab.report.layout import Sheet
from lab.statistics import Estimate
from lab.studies.rejection import BestGates, Rejection
from lab.studies.roc import Roc
from lab.words import (
    Json,
    bound,
    chance,
    estimate_from_json,
    estimate_json,
    in_words,
    name_in_words,
    name_in_world,
    number,
    number_json,
    percent,
    plural,
    setting,
    with_interval,
)


def plan_json(plans: Sequence[Plan]) -> list[Json]:
    """Return what `lab.decision.plan` found as plain JSON values."""
    return [
        {
            "world": dict(plan.world),
            "budgets": [
                {
                    **({"runs": budget} if all(choice.runs == budget for choice in choices) else {"cost": budget}),
                    "best": choices[0].name,
                    "probability_best": choices[0].probability_best,
                    "conditions": [
                        {
                            "name": choice.name,
                            **{key: estimate_json(getattr(choice, key)) for key in BUDGET},
                            "probability_best": choice.probability_best,
                            "runs": choice.runs,
                        }
                        for choice in choices
                    ],
                }
                for budget, choices in plan.choices.items()
            ],
            "changes": [{"from_runs": runs, "best": list(names)} for runs, names in plan.changes],
        }
        for plan in plans
    ]


BUDGET = ("accepted_aligned", "forced_fail", "expected_runs")
MANY_CHOICES = 12  # beyond which those that are hardly best are one line
HARDLY = 0.05  # probability of being best, below which a choice is one of these
NEVER = 1e-4  # probability below which it is not written out
MOST_NAMED = 2  # of conditions that come to the same


def plan_table(plans: Sequence[Plan], confidence: float, costs: bool = False, baseline: str = "") -> Sheet:
    """Return a `Sheet`: a row per budget and condition, best first; conditions that come to the same are one.

    Args:
        plans: what `lab.decision.plan` returned.
        confidence: of the intervals of one budget together.
        costs: whether budgets are costs.
        baseline: the regimen that has a row of its own also among many.
    """
    view = Sheet(
        f"the first model that passes is accepted, the last one in any case; {percent(confidence)} intervals",
        ("condition", *["runs"] * costs, "P(accepted is aligned)", "P(none passes)", "runs used", "best"),
        "runs: training runs allowed, and used on average. best: probability that no other is better. Intervals of "
        "one budget hold together over the conditions that are ranked, so also for the best of them.",
    )
    for plan in plans:
        for budget, choices in plan.choices.items():
            allowed = f"a cost of {setting(budget)}" if costs else f"{budget:,g} {plural('run', budget)}"
            view.add_heading(", ".join(filter(None, [in_words(plan.world), f"{allowed} allowed"])))
            groups = alike(choices)
            named = [group for group in groups if _is_named(group, len(groups), baseline)]
            for index, group in enumerate(named):
                best = _best(group) if len(choices) > 1 else "alone"
                name = _first_of(plan, [choice.name for choice in group])
                runs = [f"{group[0].runs:,}"] * costs
                view.add_row(name, *runs, *_outcome(group[0]), best, style="bold" if index == 0 else "")
            if rest := [choice for group in groups if group not in named for choice in group]:
                view.add_row(f"{len(rest):,} others", *[""] * (len(view.columns) - 2), _best(rest))
    return view


def _is_named(group: Sequence[Choice], count: int, baseline: str) -> bool:
    """Whether equal choices have a row of their own: the baseline has, and of many those that may be best."""
    may_be_best = sum(choice.probability_best for choice in group) >= HARDLY
    return count <= MANY_CHOICES or may_be_best or any(choice.name.split(" ")[0] == baseline for choice in group)


def _outcome(choice: Choice) -> list[str]:
    """Return what becomes of a budget as text; a chance that is as good as none is not written out."""
    hopeless = choice.forced_fail.high < NEVER
    never = f"below {NEVER:g}" if hopeless else with_interval(choice.forced_fail)
    return [with_interval(choice.accepted_aligned), never, with_interval(choice.expected_runs)]


def _best(choices: Sequence[Choice]) -> str:
    """Return how probable it is that one of several choices is best."""
    return chance(sum(choice.probability_best for choice in choices))


def alike(choices: Sequence[Choice]) -> list[list[Choice]]:
    """Return choices in groups that come to the very same in every respect, in the order of their first ones.

    Args:
        choices: with one budget, best first.
    """
    groups: dict[tuple[Estimate, ...], list[Choice]] = {}
    for choice in choices:
        groups.setdefault(tuple(getattr(choice, name) for name in BUDGET), []).append(choice)
    return list(groups.values())


def equal_choices(choices: Sequence[Choice]) -> list[Choice]:
    """Return the best of several choices and those whose models come to the very same, not by chance alone.

    Args:
        choices: with one budget, best first.
    """
    best = choices[0]
    return [best, *(choice for choice in choices[1:] if choice.twin and choice.twin == best.twin)]


def why_nothing(plan: Plan) -> str:
    """Return why nothing can be ranked, or an empty string.

    Args:
        plan: what `lab.decision.plan` returned of a world.
    """
    budgets = plan.choices.values()
    if not budgets:
        return ""
    if all(len(choices) == 1 for choices in budgets):
        return f"{name_in_world(plan.world, next(iter(budgets))[0].name)} alone: nothing to compare it with"
    if all(choice.accepted_aligned.value == 0 for choices in budgets for choice in choices):
        return "No regimen gave an aligned model that was accepted: nothing can be ranked"
    if all(len(equal_choices(choices)) == len(choices) for choices in budgets):
        return "All regimens came to the very same: nothing can be ranked"
    return ""


def plan_readings(plans: Sequence[Plan]) -> list[str]:
    """Return which condition is best from which number of runs on, a line per world."""
    lines = []
    for plan in plans:
        world = f"{in_words(plan.world)}: " if plan.world else ""
        if nothing := why_nothing(plan):
            lines.append(world + nothing)
            continue
        spans = [f"{_first_of(plan, names)} from {runs:,} {plural('run', runs)} on" for runs, names in plan.changes]
        lines.append(f"{world}best by its estimate: {', '.join(spans)}")
    return lines


def _first_of(plan: Plan, names: Sequence[str]) -> str:
    """Return the names of conditions that are best, or that of the first and how many others there are."""
    words = [name_in_words(name_in_world(plan.world, name)) for name in names]
    if len(words) <= MOST_NAMED:
        return " or ".join(words)
    return f"{words[0]} or {len(words) - 1} others that come to the same"


def unaffordable(plans: Sequence[Plan], names: Sequence[str]) -> list[str]:
    """Return which conditions a budget of costs pays for no run of, a line per budget.

    Args:
        plans: what `lab.decision.plan` returned for such budgets.
        names: of all conditions.
    """
    lines = []
    for budget in plans[0].choices:
        paid = {choice.name for plan in plans for choice in plan.choices[budget]}
        if lost := [name for name in names if name not in paid]:
            lines.append(f"A budget of {setting(budget)} pays for no run of {', '.join(lost)}: left out.")
    return lines


def curve_json(curve: Roc, most: int = 200, below: bool = False) -> Json:
    """Return a ROC curve as plain JSON values, thinned to at most `most` + 1 points.

    They are evenly spaced along the ROC curve, not among the thresholds: of a million models ten aligned ones may be
    all that matters, and their places are kept.

    Args:
        curve: to thin.
        most: points but one.
        below: whether low values of the score pass, so that its sign is the opposite one.
    """
    steps = np.abs(np.diff([curve.pass_given_aligned, curve.pass_given_misaligned], prepend=0.0))
    along = np.cumsum(np.nan_to_num(steps).sum(0))
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], most + 1))).tolist()
    points = ("pass_given_aligned", "pass_given_misaligned", "precision")
    thresholds = -curve.threshold if below else curve.threshold
    return {
        "area": estimate_json(curve.area),
        "average_precision": number_json(curve.average_precision),
        "threshold": [number_json(float(thresholds[index])) for index in kept],
        **{key: [number_json(float(getattr(curve, key)[index])) for index in kept] for key in points},
    }


def gates_json(best: BestGates, below: Sequence[str] = ()) -> Json:
    """Return the best gates for a budget as plain JSON values.

    Args:
        best: the gates.
        below: scores whose low values pass, whose signs are the opposite ones.
    """
    return {
        "gates": [
            {**gate._asdict(), "threshold": -gate.threshold, "below": True} if gate.proxy in below else gate._asdict()
            for gate in best.gates
        ],
        "chosen_value": best.chosen_value,
        **{key: estimate_json(getattr(best, key)) for key in ("value", "baseline", "gain")},
        "compute": best.compute,
        "baseline_compute": best.baseline_compute,
    }


def rejection_json(rejection: Rejection) -> Json:
    """Return what rejecting early would have gained as plain JSON values, with what its figure needs."""
    about = rejection.about
    words = {"name": about.name, "hash": about.hash, "question": about.question, "confidence": about.confidence}
    return {
        **words,
        "steps": rejection.steps,
        **({"partial": rejection.partial} if rejection.partial else {}),
        "proxy": rejection.proxy,
        "conditions": [
            {
                "name": condition.name,
                "regimen": condition.regimen,
                "coordinates": condition.coordinates,
                "base_rate": number_json(condition.base_rate),
                "areas": {setting(share): estimate_json(area) for share, area in condition.areas.items()},
                "curves": {
                    setting(share): curve_json(curve, below=rejection.proxy in rejection.below)
                    for share, curve in condition.curves.items()
                },
                "best_gates": [
                    {"budget": budget, **gates_json(best, rejection.below)}
                    for budget, best in zip(rejection.budgets, condition.best, strict=True)
                ],
            }
            for condition in rejection.conditions
        ],
    }


def gates_table(conditions: Sequence[Json], budgets: Sequence[float], confidence: float, steps: int | None) -> Sheet:
    """Return a `Sheet`: a row per condition and compute budget.

    Args:
        conditions: what `lab gates --json` prints under that name.
        budgets: compute in trainings.
        confidence: of the intervals.
        steps: of one training; None if nobody knows.
    """
    columns = ("trainings", "P(A) of accepted", "own gate", "gain", "trainings used (own)", "best gates")
    view = Sheet(
        "P(accepted model is aligned) for a compute budget" + (f"; 1 training = {steps:,} steps" if steps else ""),
        columns,
        f"Gates are chosen on one half of the runs and judged on the other, {percent(confidence)} intervals. "
        "A run is rejected only while the compute left pays for another; the last one is accepted in any case.",
    )
    for condition in conditions:
        view.add_heading(name_in_words(condition["name"]))
        for budget, best in zip(budgets, condition["best_gates"], strict=True):
            gates = ", ".join(_gate(**gate) for gate in best["gates"]) or "competence alone"
            values = (with_interval(estimate_from_json(best[key])) for key in ("value", "baseline", "gain"))
            used = f"{number(best['compute'])} ({number(best['baseline_compute'])})"
            view.add_row(setting(budget), *values, used, gates)
    return view


def _gate(checkpoint: float, proxy: str, threshold: float, below: bool = False) -> str:
    """Return a gate in words; its mark is rounded downwards, so that .9997 is not 1, which nothing passes."""
    if below:
        return f"{proxy} <= {bound(threshold, upwards=True, digits=3)} at {percent(checkpoint)}"
    return f"{proxy} >= {bound(threshold, upwards=False, digits=3)} at {percent(checkpoint)}"


def field_json(field: Field, outcomes: Mapping[str, PolicyOutcome]) -> Json:
    """Return a field of ideas and the outcomes of policies on it as plain JSON values."""
    return {
        "ideas": [
            {"name": name, "base_rate": number_json(counts.base_rate), "shrunken": mean}
            for name, counts, mean in zip(field.names, field.counts, field.fit.idea_means, strict=True)
        ],
        "propensity": field.fit.propensity._asdict(),
        "correlation": field.fit.correlation._asdict(),
        "prior": asdict(field.prior),
        "pass_given_aligned": field.pass_given_aligned,
        "pass_given_misaligned": field.pass_given_misaligned,
        "policies": {name: outcome._asdict() for name, outcome in outcomes.items()},
    }


def field_tables(field: Field, outcomes: Mapping[str, PolicyOutcome], ideas: int, runs: int) -> tuple[Sheet, Sheet]:
    """Return two sheets: what each idea is, and what policies on fresh ideas lead to."""
    known = Sheet("P(A) of each idea", ("idea", "as counted", "shrunken towards the field"))
    for name, counts, mean in zip(field.names, field.counts, field.fit.idea_means, strict=True):
        known.add_row(name_in_words(name), number(counts.base_rate), number(mean))
    view = Sheet(
        f"{ideas} fresh ideas of this field, {runs} runs",
        ("policy", "P(accepted is aligned)", "runs used"),
        f"P(T|A) = {number(field.pass_given_aligned)}, P(T|not A) = {number(field.pass_given_misaligned)}, "
        f"propensities from Beta({number(field.prior.a)}, {number(field.prior.b)}), "
        "the field's mean and correlation. Exact for these.",
    )
    for name, outcome in sorted(outcomes.items(), key=lambda item: -item[1].accepted_aligned):
        view.add_row(name_in_words(name), number(outcome.accepted_aligned), number(outcome.expected_runs))
    return known, view


def field_readings(field: Field, confidence: float) -> list[str]:
    """Return in a line each what the field's mean is, and how alike the runs of an idea are."""
    parts = {"mean P(A) of the field": field.fit.propensity, "correlation": field.fit.correlation}
    lines = [
        f"{words}: {with_interval(Estimate(part.mean, part.low, part.high))} ({percent(confidence)})"
        for words, part in parts.items()
    ]
    return [*lines, "(of whether two runs of the same idea are aligned)"]
