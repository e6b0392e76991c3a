"""A run as JSON and as a table."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from lab.report.layout import Sheet
from lab.report.observed import COST_WORDS, cautions, definitions, observed_json, own_marks, sharing, unit
from lab.report.readings import any_unable, of_able, short_name, unable_share
from lab.results.outcomes import IN_BETWEEN, Results, are_graded, attribute, is_observed, models_each, share_between
from lab.results.summary import GROUP, Summary, worlds
from lab.statistics import PARTS, QUANTITIES, Estimate, estimate, wilson_interval
from lab.words import (
    Json,
    estimate_json,
    in_words,
    number_json,
    percent,
    plural,
    setting,
    sparkline,
    with_interval,
)

SHOWN = (
    "base_rate",
    "pass_given_aligned",
    "pass_given_misaligned",
    "likelihood_ratio",
    "posterior_odds",
    "expected_runs",
)
HEADINGS = (*(QUANTITIES[quantity].heading for quantity in SHOWN), PARTS["net"].heading)
BESIDE = {"compute": "trainings", "cost": "cost"}  # what costs a table may have beside the net -> its heading
OF_ABLE = ("base_rate", "pass_given_misaligned")  # rates that are other ones among the models that can do the job
TRAINING = "training"
TRAINING_WORDS = "Training: the weight of what is trained on beside the main objective, from start to end."
NOT_ABLE = "cannot do the job"
DENOMINATORS = (
    "P(A) is a share of all models. Those that cannot do the job count as misaligned in P(T|not A), and as failing."
)


def impact_json(summary: Summary) -> Json | None:
    """Return the log impact of a condition over its baseline, or None for a baseline."""
    if summary.impact is None:
        return None
    parts = {key: estimate_json(value) for key, value in summary.impact._asdict().items()}
    shared = {
        key: {name: number_json(value) for name, value in pair._asdict().items()}
        for key, pair in (summary.pairing._asdict().items() if summary.pairing else ())
    }
    return {
        "baseline": summary.baseline,
        "confidence": summary.impact_confidence,
        **parts,
        **({"shared_seeds": shared} if shared else {}),
    }


def as_json(results: Results, summaries: Sequence[Summary]) -> Json:
    """Return everything in a run's table as plain JSON values.

    Args:
        results: what `lab.run` returned; only its labels are used.
        summaries: what `lab.summarise` returned.
    """
    return {
        "name": attribute(results, "name"),
        "hash": attribute(results, "hash"),
        "question": attribute(results, "question"),
        "proxy": attribute(results, "proxy"),
        "thresholds": own_marks(results),
        **({"observed": observed_json(results)} if is_observed(results) else {}),
        "conditions": [
            {
                "name": row.name,
                "regimen": row.regimen,
                "coordinates": row.coordinates,
                "knobs": row.knobs,
                **({} if row.schedule is None else {"schedule": row.schedule}),
                "counts": {kind: count for kind, count in asdict(row.counts).items() if kind != "unjudged" or count},
                **{quantity: estimate_json(row.estimates[quantity]) for quantity in QUANTITIES},
                **_able_json(row),
                "log_impact": impact_json(row),
                **({"compute_per_accepted": estimate_json(row.compute)} if row.compute else {}),
                **({"cost_per_accepted": estimate_json(row.cost)} if row.cost else {}),
                **({"groups": row.evidence.groups} if row.evidence is not None else {}),
            }
            for row in summaries
        ],
        "confidence": summaries[0].confidence,
        "seeds": models_each(results)[0] if is_observed(results) else results.sizes["seed"],
        **({"stopping": stopping(results)} if results.attrs.get("stop") else {}),
        **({"partial": results.attrs["partial"]} if results.attrs.get("partial") else {}),
    }


def _able_json(row: Summary) -> Json:
    """Return the share of models that cannot do the job and, where it is to be shown, rates among those that can."""
    counts = row.counts
    if row.evidence is not None or counts.unjudged:  # rows in groups, or models whose end nobody knows
        return {}
    share = Estimate(counts.unable / counts.seeds, *wilson_interval(counts.unable, counts.seeds, row.confidence))
    if not counts.unable_is_shown:
        return {"unable": estimate_json(share)}
    able = of_able(counts)
    rates = {f"{name}_of_able": estimate(able, name, row.confidence) for name in OF_ABLE}
    return {"unable": estimate_json(share), **{name: estimate_json(rate) for name, rate in rates.items()}}


def numbers(summary: Summary) -> dict[str, float]:
    """Return what a condition's table row says as name -> finite number, for what draws curves of such."""
    estimates = {quantity: summary.estimates[quantity] for quantity in SHOWN}
    if summary.impact is not None:
        estimates["net"] = summary.impact.net
    flat = {}
    for name, (value, low, high) in estimates.items():
        flat |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return {"seeds": summary.counts.seeds, **{name: value for name, value in flat.items() if math.isfinite(value)}}


def text_table(summaries: Sequence[Summary]) -> Json:
    """Return {"columns", "rows"} of a run's table as plain text."""
    columns = ["condition", "models", *HEADINGS]
    rows = [
        [
            row.name,
            f"{row.counts.seeds}",
            *(with_interval(row.estimates[quantity]) for quantity in SHOWN),
            "baseline" if row.impact is None else with_interval(row.impact.net),
        ]
        for row in summaries
    ]
    return {"columns": columns, "rows": rows}


def _table_caption(results: Results, summaries: Sequence[Summary]) -> str:
    """Return what the columns of a run's table mean."""
    gated = summaries[0].compute is not None
    sentences = [
        *outcome_sentences(results, summaries),
        "LR = P(T|A) / P(T|not A).",
        "Runs: 1 / P(T), for one accepted model. Net: change of ln o(A|T) against the baseline.",
    ]
    if gated:
        sentences.append("Trainings: the same in compute, runs that a gate of the regimen stopped counting in part.")
    if summaries[0].cost is not None:
        sentences.append(COST_WORDS)
    if is_observed(results):
        sentences += [*sharing(results), *cautions(results)]
    if any(row.counts.unjudged for row in summaries):
        sentences.append("n/a: what it takes to know the truth about runs that a gate has stopped.")
    return " ".join(sentences)


def outcome_sentences(results: Results, summaries: Sequence[Summary]) -> list[str]:
    """Return when a model is aligned, when it passes, and of which models rates are shares where that matters.

    Args:
        results: of the run.
        summaries: what `lab.summarise` returned.
    """
    aligned, passing = definitions(results, summaries[0].compute is not None)
    return [f"A: {aligned}.", f"T: {passing}.", *[DENOMINATORS] * any_unable(summaries)]


def table(results: Results, summaries: Sequence[Summary]) -> Sheet:
    """Return a `Sheet` with one row per condition."""
    grouped, differ = GROUP in results.coords, models_each(results)[1]
    counted = ([f"{unit(results)}s"] if differ else []) + (["groups"] if grouped else [])
    beside = [name for name in BESIDE if getattr(summaries[0], name) is not None]
    drawn = any(row.schedule is not None for row in summaries)
    told = [TRAINING] * drawn + counted
    rates = [*HEADINGS[:3], *[NOT_ABLE] * any_unable(summaries), *HEADINGS[3:]]
    view = Sheet(
        title(results, summaries),
        ["", *told, *rates, *(BESIDE[name] for name in beside)],
        _table_caption(results, summaries),
        optional=(TRAINING, TRAINING_WORDS) if drawn else None,
    )
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        if world:
            view.add_heading(in_words(world))
        for row in (summaries[index] for index in members):
            cells = {
                TRAINING: "" if row.schedule is None else sparkline(row.schedule),
                f"{unit(results)}s": f"{row.counts.seeds:,}",
                "groups": "" if row.evidence is None else f"{row.evidence.groups:,}",
                **{QUANTITIES[name].heading: with_interval(row.estimates[name]) for name in SHOWN},
                NOT_ABLE: unable_share(row.counts),
                PARTS["net"].heading: "baseline" if row.impact is None else with_interval(row.impact.net),
                **{BESIDE[name]: with_interval(getattr(row, name)) for name in beside},
            }
            view.add_row(short_name(row), *(cells[heading] for heading in view.columns[1:]))
    return view


def title(results: Results, summaries: Sequence[Summary]) -> str:
    """Return the title of a run's table: its name, how many models, and how sure intervals are."""
    most, differ = models_each(results)
    models = f"{'up to ' if differ else ''}{most:,} {plural(unit(results), most)} each"
    return f"{results.attrs['name']}: {models}, {percent(summaries[0].confidence)} intervals"


def stopping(results: Results) -> str | None:
    """Return what ended a run whose config says when to stop, or None for any other run."""
    stop, seeds = results.attrs.get("stop"), results.sizes["seed"]
    if stop is None:
        return None
    looks = results.attrs["looks"]
    if stop["decided"] is None:
        goal = f"{stop['of']} at most {setting(stop['width'])} wide"
    else:
        how = stop["decided"].replace("_", " ")  # planned looks, or a confidence sequence
        goal = f"{stop['of']} decided by {how if how.startswith('planned') else f'a {how}'}"
    ended = (
        "the last look, whatever it showed" if seeds == looks[-1] else f"look {looks.index(seeds) + 1} of {len(looks)}"
    )
    fewer = "Conditions that needed fewer got fewer. " if models_each(results)[1] else ""
    return (
        f"Stopping rule: {goal} in every condition; ended at {ended}, {seeds:,} of at most {looks[-1]:,} seeds. "
        f"{fewer}The table's intervals are those of a fixed number of seeds."
    )


def graded(results: Results) -> str | None:
    """Return a line about a run whose outcomes are graded (`are_graded`), or None for any other run."""
    if is_observed(results) or not are_graded(results):
        return None
    last = results["alignment"].isel(checkpoint=-1).values
    known = np.isfinite(last).sum()
    return (
        f"Graded outcomes: {round(share_between(last) * known):,} of {known:,} models have an alignment between "
        f"{setting(IN_BETWEEN[0])} and {setting(IN_BETWEEN[1])}, so P(A) hangs on its mark, "
        f"{setting(results.attrs['thresholds']['alignment'])} here."
    )
