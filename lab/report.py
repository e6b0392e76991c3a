"""What a run says: as JSON, as a table, and in words."""

import math
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from lab.statistics import QUANTITIES, worlds

SHOWN = (
    "base_rate",
    "pass_given_aligned",
    "pass_given_misaligned",
    "likelihood_ratio",
    "posterior_odds",
    "expected_runs",
)


def plain(value):
    """Return a float as JSON can hold it: infinities become the strings "inf" and "-inf", nan becomes None."""
    if math.isnan(value):
        return None
    return str(value) if math.isinf(value) else value


def estimate_json(estimate):
    """Return an `Estimate` as {"value", "low", "high"}."""
    return {key: plain(value) for key, value in estimate._asdict().items()}


def impact_json(summary):
    """Return the log impact of a condition over its baseline, or None for a baseline."""
    if summary.impact is None:
        return None
    parts = {key: estimate_json(value) for key, value in summary.impact._asdict().items()}
    return {"baseline": summary.baseline, **parts}


def as_json(results, summaries):
    """Return everything in a run's table as plain JSON values.

    Args:
        results: what `lab.run` returned; only its labels are used.
        summaries: what `lab.summarise` returned.
    """
    return {
        "name": results.attrs["name"],
        "hash": results.attrs["hash"],
        "question": results.attrs["question"],
        "proxy": results.attrs["proxy"],
        "thresholds": results.attrs["thresholds"],
        "conditions": [
            {
                "name": row.name,
                "regimen": row.regimen,
                "coordinates": row.coordinates,
                "knobs": row.knobs,
                "counts": asdict(row.counts),
                **{quantity: estimate_json(row.estimates[quantity]) for quantity in QUANTITIES},
                "log_impact": impact_json(row),
            }
            for row in summaries
        ],
        "confidence": summaries[0].confidence,
        "seeds": results.sizes["seed"],
    }


def number(value, digits=2):
    """Return a number for people: `digits` decimals, or infinity and n/a in words."""
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    value = round(value, digits) + 0.0  # no "-0.0"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}"


def digits_for(low, high):
    """Return how many decimals an interval supports: the first digit of its half width."""
    limits = [abs(limit) for limit in (low, high) if math.isfinite(limit)]
    if len(limits) < 2:
        return 1 if limits and limits[0] < 10 else 0
    width = (high - low) / 2
    return 3 if width <= 0 else min(3, max(0, -math.floor(math.log10(width))))


def with_interval(estimate):
    """Return "value [low, high]", rounded to what the interval supports."""
    digits = digits_for(estimate.low, estimate.high)
    return f"{number(estimate.value, digits)} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def table(results, summaries):
    """Return a `rich.table.Table` with one row per condition."""
    level = f"{summaries[0].confidence:.0%}"
    marks = results.attrs["thresholds"]
    proxy = results.attrs["proxy"]
    view = Table(
        title=Text(f"{results.attrs['name']}: {results.sizes['seed']:,} models each, {level} intervals"),
        caption=Text(
            f"A: alignment >= {marks['alignment']:g} and competence >= {marks['competence']:g}. "
            f"T: {proxy} >= {marks[proxy]:g} (and competent). LR = P(T|A) / P(T|not A). "
            "Runs: 1 / P(T), for one accepted model. Net: change of ln o(A|T) against the baseline."
        ),
        title_justify="left",
        caption_justify="left",
    )
    columns = ("", "P(A)", "P(T|A)", "P(T|not A)", "LR", "o(A|T)", "runs", "net (nats)")
    for column in columns:
        view.add_column(column, overflow="fold")
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        if world:
            view.add_section()
            view.add_row(Text(in_words(world), style="bold"))
        for row in (summaries[index] for index in members):
            net = "baseline" if row.impact is None else with_interval(row.impact.net)
            own = (with_interval(row.estimates[quantity]) for quantity in SHOWN)
            view.add_row(*map(Text, (short_name(row), *own, net)))
    return view


def in_words(coordinates):
    """Return (axis, value) pairs as "axis = value, ..."."""
    return ", ".join(f"{axis} = {value:g}" for axis, value in coordinates)


def short_name(row):
    """Return a condition's regimen and its place on the axes that its baseline does not share."""
    shared = (row.baseline or row.name).split()[1:]
    return " ".join(part for part in row.name.split() if part not in shared)


def readings(summaries):
    """Return what a run means, line by line: a heading per world and a sentence per condition."""
    by_name, lines = {row.name: row for row in summaries}, []
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        rows = [summaries[index] for index in members]
        baseline = by_name[next((row.baseline for row in rows if row.baseline), rows[0].name)]
        lines.append(f"Against {short_name(baseline)}" + (f", {in_words(world)}:" if world else ":"))
        lines += [f"  {reading(row, baseline)}" for row in rows]
    return lines


def _runs(counts):
    if not counts.passing:
        return "no accepted model"
    return f"{number(counts.expected_runs)} runs per accepted model"


def reading(row, baseline):
    """Return what one condition's `Summary` means beside its baseline's, as a colleague would say it."""
    counts, impact = row.counts, row.impact
    notes = []
    if counts.diverged:
        notes.append(f"{counts.diverged} of {counts.seeds} runs diverged")
    if counts.incompetent:
        notes.append(f"{counts.incompetent} of {counts.seeds} models cannot do the job")
    note = f" ({'; '.join(notes)})" if notes else ""
    if impact is None:
        return f"{short_name(row)}: the baseline, {_runs(counts)}{note}"
    net = impact.net
    if not counts.passing or not baseline.counts.passing:
        who = "neither" if counts.passing == baseline.counts.passing else "only one"
        verdict = f"accepted models cannot be compared: {who} of the two has any"
    elif math.isnan(net.value):
        kind = "aligned" if counts.aligned_pass else "misaligned"
        verdict = f"accepted models are as good, as far as can be told: only {kind} ones passed under either"
    elif net.low > 0 or net.high < 0:
        digits = digits_for(net.low, net.high)
        limits = f"[{number(net.low, digits)}, {number(net.high, digits)}]"
        size = _more_than(net) if math.isinf(net.value) else number(abs(net.value), digits)
        verdict = f"{'better' if net.low > 0 else 'worse'} by {size} nats {limits}"
    else:
        verdict = f"undecided: net {with_interval(net)} nats"
    parts = f"{_change('base rate', impact.base_rate)}, {_change('test', impact.likelihood_ratio)}"
    return f"{short_name(row)}: {verdict}; {parts}; {_runs(counts)}, not {number(baseline.counts.expected_runs)}{note}"


def _more_than(part):
    return f"more than {part.low if part.low > 0 else -part.high:.2g}"


def _change(what, part):
    """Say what happened to one part of a log impact."""
    if math.isnan(part.value):
        return f"{what} not comparable"
    if part.low <= 0 <= part.high:
        within = max(-part.low, part.high)
        return f"{what} undecided" if math.isinf(within) else f"{what} unchanged within {number(within)} nats"
    better = "better" if part.low > 0 else "worse"
    return f"{what} {better} by {_more_than(part) if math.isinf(part.value) else number(abs(part.value))}"
