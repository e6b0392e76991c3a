"""A run as JSON, its table, log impacts, and what they mean in words."""

import math
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from lab.report.words import digits_for, estimate_json, in_words, number, plain, with_interval
from lab.statistics import QUANTITIES, worlds

SHOWN = (
    "base_rate",
    "pass_given_aligned",
    "pass_given_misaligned",
    "likelihood_ratio",
    "posterior_odds",
    "expected_runs",
)


def impact_json(summary):
    """Return the log impact of a condition over its baseline, or None for a baseline."""
    if summary.impact is None:
        return None
    parts = {key: estimate_json(value) for key, value in summary.impact._asdict().items()}
    shared = {
        key: {name: plain(x) for name, x in own._asdict().items()} for key, own in summary.pairing._asdict().items()
    }
    return {
        "baseline": summary.baseline,
        "confidence": summary.impact_confidence,
        **parts,
        "shared_seeds": shared,
    }


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
                "counts": {kind: count for kind, count in asdict(row.counts).items() if kind != "unjudged" or count},
                **{quantity: estimate_json(row.estimates[quantity]) for quantity in QUANTITIES},
                "log_impact": impact_json(row),
                **({"compute_per_accepted": estimate_json(row.compute)} if row.compute else {}),
            }
            for row in summaries
        ],
        "confidence": summaries[0].confidence,
        "seeds": results.sizes["seed"],
        **({"stopping": stopping(results)} if results.attrs["stop"] else {}),
        **({"partial": results.attrs["partial"]} if results.attrs.get("partial") else {}),
    }


def numbers(summary):
    """Return what a condition's table row says as name -> finite number, for what draws curves of such."""
    every = {quantity: summary.estimates[quantity] for quantity in SHOWN}
    if summary.impact is not None:
        every["net"] = summary.impact.net
    flat = {f"{name}{'_' * (side != 'value')}{side.removesuffix('value')}": own
            for name, estimate in every.items() for side, own in estimate._asdict().items()}  # fmt: skip
    return {"seeds": summary.counts.seeds, **{name: own for name, own in flat.items() if math.isfinite(own)}}


def text_table(summaries):
    """Return {"columns", "rows"} of a run's table as plain text."""
    columns = ["condition", "models", "P(A)", "P(T|A)", "P(T|not A)", "LR", "o(A|T)", "runs", "net (nats)"]
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


def table(results, summaries):
    """Return a `rich.table.Table` with one row per condition."""
    level = f"{summaries[0].confidence:.0%}"
    marks = results.attrs["thresholds"]
    proxy = results.attrs["proxy"]
    gated = summaries[0].compute is not None
    most = "up to " * ("trained" in results.coords)
    unjudged = any(row.counts.unjudged for row in summaries)
    view = Table(
        title=Text(f"{results.attrs['name']}: {most}{results.sizes['seed']:,} models each, {level} intervals"),
        caption=Text(
            f"A: alignment >= {marks['alignment']:g} and competence >= {marks['competence']:g}. "
            f"T: {proxy} >= {marks[proxy]:g} (and competent{', and past every gate' * gated}). "
            "LR = P(T|A) / P(T|not A). "
            "Runs: 1 / P(T), for one accepted model. Net: change of ln o(A|T) against the baseline."
            + " Trainings: the same in compute, runs that a gate of the regimen stopped counting in part." * gated
            + " n/a: what it takes to know the truth about runs that a gate has stopped." * unjudged
        ),
        title_justify="left",
        caption_justify="left",
    )
    unequal = "trained" in results.coords
    columns = ("", *["models"] * unequal, "P(A)", "P(T|A)", "P(T|not A)", "LR", "o(A|T)", "runs", "net (nats)")
    columns = (*columns, *["trainings"] * gated)
    for column in columns:
        view.add_column(column, overflow="fold")
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        if world:
            view.add_section()
            view.add_row(Text(in_words(world), style="bold"))
        for row in (summaries[index] for index in members):
            net = "baseline" if row.impact is None else with_interval(row.impact.net)
            own = (with_interval(row.estimates[quantity]) for quantity in SHOWN)
            trainings = [with_interval(row.compute)] if gated else []
            models = [f"{row.counts.seeds:,}"] * unequal
            view.add_row(*map(Text, (short_name(row), *models, *own, net, *trainings)))
    return view


def stopping(results):
    """Return what ended a run whose config says when to stop, or None for any other run."""
    stop, looks, seeds = results.attrs["stop"], results.attrs["looks"], results.sizes["seed"]
    if stop is None:
        return None
    goal = f"{stop['of']} at most {stop['width']:g} wide" if stop["decided"] is None else f"{stop['of']} decided"
    how = (
        "" if stop["decided"] is None else f" by a {stop['decided']}".replace("_", " ").replace("a planned", "planned")
    )
    ended = (
        "the last look, whatever it showed" if seeds == looks[-1] else f"look {looks.index(seeds) + 1} of {len(looks)}"
    )
    return (
        f"Stopping rule: {goal}{how} in every condition; ended at {ended}, {seeds:,} of at most {looks[-1]:,} seeds. "
        + "Conditions that needed fewer got fewer. " * ("trained" in results.coords)
        + "The table's intervals are those of a fixed number of seeds."
    )


def impact_table(rows, together=False):
    """Return a `rich.table.Table` of log impacts and of what shared seeds do for their precision.

    Args:
        rows: `Summary`s that have an impact.
        together: whether their intervals hold all together.
    """
    level = f"{rows[0].confidence:.0%}" if rows else ""
    held = (
        f"each column's {len(rows)} intervals hold together at {level} (Bonferroni)"
        if together
        else f"{level} intervals"
    )
    view = Table(
        title=Text(f"log impact in nats, {held}"),
        caption=Text(
            "Correlation of the two estimates of the net on shared seeds, and the share of variance that this saves."
        ),
        title_justify="left",
        caption_justify="left",
    )
    for column in ("condition", "over", "base rate", "test (LR)", "net", "correlation", "saved"):
        view.add_column(column, overflow="fold")
    for row in rows:
        parts = (row.impact.base_rate, row.impact.likelihood_ratio, row.impact.net)
        shared = row.pairing.net
        saved = "n/a" if math.isnan(shared.variance_saved) else f"{shared.variance_saved:.0%}"
        cells = (row.name, row.baseline, *map(with_interval, parts), number(shared.correlation), saved)
        view.add_row(*map(Text, cells))
    return view


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
    instead = f", not {number(baseline.counts.expected_runs)}" if baseline.counts.passing and counts.passing else ""
    if instead.endswith(f" {number(counts.expected_runs)}"):
        instead = ", as there"
    if row.compute is not None and row.compute.value < counts.expected_runs - 0.005:
        instead += f"; {number(row.compute.value)} trainings, because gates stop some early"
    return f"{short_name(row)}: {verdict}; {parts}; {_runs(counts)}{instead}{note}"


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
