"""A run as JSON, its table, log impacts, and what they mean in words."""

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from rich.table import Table
from rich.text import Text

from lab.report.layout import table_of
from lab.report.observed import COST_WORDS, cautions, definitions, observed_json, own_marks, sharing, unit
from lab.results.outcomes import IN_BETWEEN, Results, are_graded, attribute, is_observed, models_each, share_between
from lab.results.summary import GROUP, Summary, worlds
from lab.statistics import PARTS, QUANTITIES, Counts, Estimate, estimate, wilson_interval
from lab.words import (
    Json,
    bound,
    estimate_json,
    in_words,
    limits,
    number,
    number_json,
    percent,
    plural,
    rounded,
    setting,
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
UNCHANGED = 0.1  # nats: odds change by a factor of 1.105 at most, and no probability by more than .025


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
    able = Counts(*counts.cells[:3], counts.misaligned_fail - counts.unable)
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
    aligned, passing = definitions(results, gated)
    sentences = [
        f"A: {aligned}.",
        f"T: {passing}.",
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


def table(results: Results, summaries: Sequence[Summary]) -> Table:
    """Return a `rich.table.Table` with one row per condition."""
    level, grouped, (most, differ) = percent(summaries[0].confidence), GROUP in results.coords, models_each(results)
    noun = unit(results)
    models = f"{'up to ' if differ else ''}{most:,} {plural(noun, most)} each"
    noun += "s"
    counted = ([noun] if differ else []) + (["groups"] if grouped else [])
    beside = [name for name in BESIDE if getattr(summaries[0], name) is not None]
    view = table_of(
        f"{results.attrs['name']}: {models}, {level} intervals",
        ["", *counted, *HEADINGS, *(BESIDE[name] for name in beside)],
        _table_caption(results, summaries),
    )
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        if world:
            view.add_section()
            view.add_row(Text(in_words(world), style="bold"))
        for row in (summaries[index] for index in members):
            net = "baseline" if row.impact is None else with_interval(row.impact.net)
            estimates = (with_interval(row.estimates[quantity]) for quantity in SHOWN)
            parts = [with_interval(getattr(row, name)) for name in beside]
            number_of = [f"{row.counts.seeds:,}"] if differ else []
            number_of += [f"{row.evidence.groups:,}"] if grouped and row.evidence is not None else []
            view.add_row(*map(Text, (short_name(row), *number_of, *estimates, net, *parts)))
    return view


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


def impact_table(rows: Sequence[Summary], together: bool = False) -> Table:
    """Return a `rich.table.Table` of log impacts and of what shared seeds do for their precision.

    Args:
        rows: `Summary`s that have an impact.
        together: whether their intervals hold all together.
    """
    level = percent(rows[0].confidence) if rows else ""
    intervals = (
        f"each column's {len(rows)} intervals hold together at {level} (Bonferroni)"
        if together
        else f"{level} intervals"
    )
    shared_seeds = any(row.pairing for row in rows)
    columns = ("condition", "over", "base rate", "test (LR)", "net")
    view = table_of(
        f"log impact in nats, {intervals}",
        (*columns, "correlation", "saved") if shared_seeds else columns,
        "Correlation of the two estimates of the net on what both share, and the share of variance that this saves."
        if shared_seeds
        else None,
    )
    for row in rows:
        if row.impact is None:  # a baseline
            continue
        parts = (row.impact.base_rate, row.impact.likelihood_ratio, row.impact.net)
        cells = (row.name, str(row.baseline), *map(with_interval, parts), *(_saved(row) if shared_seeds else ()))
        view.add_row(*map(Text, cells))
    return view


def _saved(row: Summary) -> tuple[str, str]:
    """Return what shared seeds do for the net of a comparison, in words."""
    if row.pairing is None:
        return "n/a", "n/a"
    shared = row.pairing.net
    saved = "n/a" if math.isnan(shared.variance_saved) else f"{number(100 * shared.variance_saved, 2)}%"
    return number(shared.correlation), saved


def short_name(row: Summary) -> str:
    """Return a condition's regimen and its place on the axes that its baseline does not share."""
    if not row.coordinates:
        return row.name
    shared = (row.baseline or row.name).split()[1:]
    return " ".join(part for part in row.name.split() if part not in shared)


def readings(summaries: Sequence[Summary]) -> list[str]:
    """Return what a run means, line by line: a heading per world and a sentence per condition."""
    by_name, lines = {row.name: row for row in summaries}, []
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        rows = [summaries[index] for index in members]
        baseline = by_name[next((row.baseline for row in rows if row.baseline), rows[0].name)]
        lines.append(f"Against {short_name(baseline)}" + (f", {in_words(world)}:" if world else ":"))
        lines += [f"  {reading(row, baseline)}" for row in rows]
    return lines


def reading(row: Summary, baseline: Summary) -> str:
    """Return what one condition's `Summary` means beside its baseline's, as a colleague would say it."""
    counts, impact = row.counts, row.impact
    notes = []
    if counts.diverged:
        notes.append(f"{counts.diverged:,} of {counts.seeds:,} runs diverged")
    if counts.incompetent:
        notes.append(f"{counts.incompetent:,} of {counts.seeds:,} models cannot do the job")
    note = f" ({'; '.join(notes)})" if notes else ""
    if impact is None:
        return f"{short_name(row)}: the baseline, {_alone(row)}{note}"
    parts = f"{_change('base rate', impact.base_rate)}, {_change('test', impact.likelihood_ratio)}"
    if counts.passing and baseline.counts.passing:
        words = f"{_net(impact.net, counts)} {_cost(row, baseline)}; {parts}"
    else:
        who = "neither" if counts.passing == baseline.counts.passing else "only one"
        words = f"accepted models cannot be compared: {who} of the two has any; {parts}; {_alone(row)}"
    return f"{short_name(row)}: {words}{note}"


def _net(net: Estimate, counts: Counts) -> str:
    """Say what the net is, and lead to what an accepted model costs."""
    if math.isnan(net.value):
        kind = "misaligned" if counts.aligned_pass else "aligned"
        return f"no {kind} model passed under either, so accepted models cannot be told apart; but one costs"
    if net.low > 0 or net.high < 0:
        interval = f" {limits(net)}" if math.isfinite(net.value) else ""  # an infinite one has its limit in its size
        return f"{'better' if net.low > 0 else 'worse'} by {_size(net)} nats{interval}; an accepted model costs"
    return f"{_no_direction(net, 'net ')}; an accepted model costs"


def _change(what: str, part: Estimate) -> str:
    """Say what happened to one part of a log impact."""
    if part.low > 0 or part.high < 0:
        return f"{what} {'better' if part.low > 0 else 'worse'} by {_size(part)}"
    return f"{what} {_no_direction(part)}"


def _size(part: Estimate) -> str:
    """Say how far from 0 a part of a log impact is whose sign is known."""
    if math.isfinite(part.value):
        return rounded(part).removeprefix("-")
    return f"at least {bound(max(part.low, -part.high), upwards=False)}"


def _no_direction(part: Estimate, what: str = "") -> str:
    """Say what is known of a part of a log impact whose interval holds 0."""
    most = max(-part.low, part.high)
    if most <= UNCHANGED:
        return f"unchanged: within {bound(most, upwards=True)} nats"
    if math.isinf(part.low) and math.isinf(part.high):
        return "unknown"
    return f"undecided: {what}{with_interval(part)} nats"


def _alone(row: Summary) -> str:
    """Say what an accepted model costs, with nothing beside it."""
    return f"{_runs(row.estimates['expected_runs'])} per accepted model" if row.counts.passing else "no accepted model"


def _cost(row: Summary, baseline: Summary) -> str:
    """Say what an accepted model costs beside one of the baseline."""
    runs, before = (summary.estimates["expected_runs"] for summary in (row, baseline))
    same = rounded(runs) == rounded(before)
    cost = f"{_runs(runs)} in both" if same else f"{_runs(runs)} instead of {rounded(before)}"
    if row.compute is not None and rounded(row.compute) != rounded(runs):
        cost += f" ({rounded(row.compute)} trainings, because gates stop some early)"
    return cost


def _runs(estimate: Estimate) -> str:
    return f"{rounded(estimate)} {plural('run', estimate.value)}"
