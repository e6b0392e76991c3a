"""Plans, gates and ideas as JSON and tables."""

from dataclasses import asdict

import numpy as np
from rich.table import Table
from rich.text import Text

from lab.words import (
    bound,
    chance,
    estimate_json,
    from_json,
    in_words,
    number,
    percent,
    plain,
    setting,
    with_interval,
    within,
)


def plan_json(plans):
    """Return what `lab.decision.plan` found as plain JSON values."""
    return [
        {
            "world": dict(plan.world),
            "budgets": [
                {
                    "runs": runs,
                    "best": choices[0].name,
                    "probability_best": choices[0].probability_best,
                    "conditions": [
                        {
                            "name": choice.name,
                            **{key: estimate_json(getattr(choice, key)) for key in BUDGET},
                            "probability_best": choice.probability_best,
                        }
                        for choice in choices
                    ],
                }
                for runs, choices in plan.choices.items()
            ],
            "changes": [{"from_runs": runs, "best": name} for runs, name in plan.changes],
        }
        for plan in plans
    ]


BUDGET = ("accepted_aligned", "forced_fail", "expected_runs")


def plan_table(plans, confidence):
    """Return a `rich.table.Table`: a row per budget and condition, best first."""
    view = Table(
        title=Text(
            f"the first model that passes is accepted, the last one in any case; {percent(confidence)} intervals"
        ),
        caption=Text(
            "runs: training runs allowed, and used on average. best: probability that no other is better. Intervals of "
            "one budget hold together over the conditions that are ranked, so also for the best of them."
        ),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("runs allowed", "condition", "P(accepted is aligned)", "P(none passes)", "runs used", "best"):
        view.add_column(column, overflow="fold")
    for plan in plans:
        if plan.world:
            view.add_section()
            view.add_row("", Text(in_words(plan.world), style="bold"))
        for runs, choices in plan.choices.items():
            view.add_section()
            for index, choice in enumerate(choices):
                own = (with_interval(getattr(choice, key)) for key in BUDGET)
                style = "bold" if index == 0 else ""
                name = within(plan.world, choice.name)
                cells = (f"{runs:,}" if index == 0 else "", name, *own, chance(choice.probability_best))
                view.add_row(*(Text(cell, style=style) for cell in cells))
    return view


def plan_readings(plans):
    """Return which condition is best from which number of runs on, a line per world."""
    lines = []
    for plan in plans:
        spans = [f"{within(plan.world, name)} from {runs:,} run{'s' * (runs > 1)} on" for runs, name in plan.changes]
        lines.append((f"{in_words(plan.world)}: " if plan.world else "") + "best by its estimate: " + ", ".join(spans))
    return lines


def curve_json(curve, most=200):
    """Return a `lab.studies.rejection.Roc` as plain JSON values, thinned to at most `most` + 1 points.

    They are evenly spaced along the ROC curve, not among the thresholds: of a million models ten aligned ones may be
    all that matters, and their places are kept.
    """
    steps = np.abs(np.diff([curve.pass_given_aligned, curve.pass_given_misaligned], prepend=0.0))
    along = np.cumsum(np.nan_to_num(steps).sum(0))
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], most + 1))).tolist()
    points = ("threshold", "pass_given_aligned", "pass_given_misaligned", "precision")
    return {
        "area": estimate_json(curve.area),
        "average_precision": plain(curve.average_precision),
        **{key: [plain(float(getattr(curve, key)[index])) for index in kept] for key in points},
    }


def gates_json(best):
    """Return a `lab.studies.rejection.BestGates` as plain JSON values."""
    return {
        "gates": [gate._asdict() for gate in best.gates],
        "chosen_value": best.chosen_value,
        **{key: estimate_json(getattr(best, key)) for key in ("value", "baseline", "gain")},
        "compute": best.compute,
        "baseline_compute": best.baseline_compute,
    }


def gates_table(conditions, budgets, confidence, steps):
    """Return a `rich.table.Table`: a row per condition and compute budget.

    Args:
        conditions: what `lab gates --json` prints under that name.
        budgets: compute in trainings.
        confidence: of the intervals.
        steps: of one training.
    """
    view = Table(
        title=Text(f"P(accepted model is aligned) for a compute budget; 1 training = {steps:,} steps"),
        caption=Text(
            f"Gates are chosen on one half of the seeds and judged on the other, {percent(confidence)} intervals. "
            "A run is rejected only while the compute left pays for another; the last one is accepted in any case."
        ),
        title_justify="left",
        caption_justify="left",
    )
    columns = ("", "trainings", "best gates", "P(A) of accepted", "own gate", "gain", "trainings used (own)")
    for column in columns:
        view.add_column(column, overflow="fold")
    for condition in conditions:
        view.add_section()
        for index, budget in enumerate(budgets):
            best = condition["best_gates"][index]
            gates = [_gate(**gate) for gate in best["gates"]]
            own = (with_interval(from_json(best[key])) for key in ("value", "baseline", "gain"))
            used = f"{number(best['compute'])} ({number(best['baseline_compute'])})"
            name = condition["name"] if index == 0 else ""
            view.add_row(*map(Text, (name, setting(budget), ", ".join(gates) or "competence alone", *own, used)))
    return view


def _gate(checkpoint: float, proxy: str, threshold: float) -> str:
    """Return a gate in words; its mark is rounded downwards, so that .9997 is not 1, which nothing passes."""
    return f"{proxy} >= {bound(threshold, upwards=False, digits=3)} at {percent(checkpoint)}"


def field_json(field, outcomes):
    """Return a `lab.decision.Field` and the outcomes of policies on it as plain JSON values."""
    return {
        "ideas": [
            {"name": name, "base_rate": plain(counts.base_rate), "shrunken": mean}
            for name, counts, mean in zip(field.names, field.counts, field.fit.idea_means, strict=True)
        ],
        "propensity": field.fit.propensity._asdict(),
        "correlation": field.fit.correlation._asdict(),
        "prior": asdict(field.prior),
        "pass_given_aligned": field.pass_given_aligned,
        "pass_given_misaligned": field.pass_given_misaligned,
        "policies": {name: outcome._asdict() for name, outcome in outcomes.items()},
    }


def field_tables(field, outcomes, ideas, runs):
    """Return two `rich.table.Table`s: what each idea is, and what policies on fresh ideas lead to."""
    known = Table(title=Text("P(A) of each idea"), title_justify="left")
    for column in ("idea", "as counted", "shrunken towards the field"):
        known.add_column(column, overflow="fold")
    for name, counts, mean in zip(field.names, field.counts, field.fit.idea_means, strict=True):
        known.add_row(*map(Text, (name, number(counts.base_rate), number(mean))))
    view = Table(
        title=Text(f"{ideas} fresh ideas of this field, {runs} runs"),
        caption=Text(
            f"P(T|A) = {number(field.pass_given_aligned)}, P(T|not A) = {number(field.pass_given_misaligned)}, "
            f"propensities from Beta({number(field.prior.a)}, {number(field.prior.b)}), "
            "the field's mean and correlation. Exact for these."
        ),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("policy", "P(accepted is aligned)", "runs used"):
        view.add_column(column, overflow="fold")
    for name, outcome in sorted(outcomes.items(), key=lambda item: -item[1].accepted_aligned):
        view.add_row(*map(Text, (name, number(outcome.accepted_aligned), number(outcome.expected_runs))))
    return known, view
