"""The curve of a budget: how often an accepted model is aligned, over the number of runs that are allowed."""

from collections.abc import Iterable, Mapping, Sequence

import altair as alt

from lab.decision import Plan
from lab.report.page import charts
from lab.report.page.charts import Datasets, Kind, inline
from lab.report.page.names import Names
from lab.report.page.verdict import BUDGETS
from lab.results.summary import Summary
from lab.words import Json, with_interval

RUNS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100)
MANY_CONDITIONS = 60  # from so many on, only the budgets of the verdict are looked at
MOST_CURVES = 8  # of more conditions in a world, the best of each regimen is drawn
CHOOSING = 10  # runs, by which that is the best


def runs_looked_at(conditions: int) -> tuple[int, ...]:
    """Return the budgets that a page looks at, those of the verdict among them."""
    return RUNS if conditions < MANY_CONDITIONS else BUDGETS


def drawn(plan: Plan, regimens: Mapping[str, str]) -> list[str]:
    """Return the conditions of a world whose curves are drawn.

    Args:
        plan: of the world.
        regimens: condition -> its regimen.
    """
    choices = plan.choices[CHOOSING]
    if len(choices) <= MOST_CURVES:
        return [choice.name for choice in choices]
    return list({regimens[choice.name]: choice.name for choice in reversed(choices)}.values())


def budget_chart(plans: Sequence[Plan], rows: Sequence[Summary], names: Names) -> Json:
    """Draw P(accepted is aligned) over the number of runs, with intervals, for the world that a reader chooses.

    Args:
        plans: what `lab.decision.plan` returned.
        rows: of all conditions.
        names: of these.
    """
    regimens = {row.name: row.regimen for row in rows}
    order = list(regimens)
    shown = [sorted(drawn(plan, regimens), key=order.index) for plan in plans]
    points = [
        {
            "world": world,
            "condition": names.short[choice.name],
            "runs": runs,
            "value": choice.accepted_aligned.value,
            "low": choice.accepted_aligned.low,
            "high": choice.accepted_aligned.high,
            "text": with_interval(choice.accepted_aligned),
        }
        for world, (plan, kept) in enumerate(zip(plans, shown, strict=True))
        for runs, choices in plan.choices.items()
        for choice in choices
        if choice.name in kept
    ]
    called = {names.short[name]: regimens[name] for kept in shown for name in kept}
    return _chart(points, called, plans[0].choices)


def _chart(points: Iterable[Json], regimens: Mapping[str, str], budgets: Iterable[float]) -> Json:
    """Draw the curves. `regimens` is what each is called -> its regimen."""
    looks = charts.looks_of(regimens)
    numbers: dict[str, Kind] = dict.fromkeys(("world", "runs", "value", "low", "high"), "number")
    datasets: Datasets = {}
    data = inline(datasets, "budgets", points, {"condition": "string", "text": "string", **numbers})
    base = (
        alt.Chart(data)
        .transform_filter("datum.world == world")
        .encode(
            alt.X(
                "runs:Q",
                title="training runs allowed",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(values=list(budgets), format="~g", grid=False),
            ),
            looks["color"],
            tooltip=["condition:N", "runs:Q", alt.Tooltip("text:N", title="accepted model is aligned")],
        )
    )
    scale = alt.Scale(domain=[0, 1])
    band = base.mark_area(fillOpacity=0.12).encode(
        alt.Y("low:Q", scale=scale, title="P(accepted model is aligned)"), alt.Y2("high:Q")
    )
    line = base.mark_line(strokeWidth=2.5).encode(alt.Y("value:Q", scale=scale), looks["strokeDash"])
    point = base.mark_point(size=60, filled=True, opacity=1).encode(alt.Y("value:Q", scale=scale), looks["shape"])
    return (
        alt.layer(band, line, point)
        .add_params(alt.param(name="world", value=0))
        .properties(width="container", autosize=charts.FIT, height=300, datasets=datasets)
        .configure(**charts.config())
        .to_dict(validate=False)
    )
