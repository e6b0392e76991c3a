"""What is said of runs that were trained elsewhere: how their table was understood, and what it cannot tell."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lab.results.observed import ABLE, TRUTH
from lab.results.outcomes import Outcomes, Results, are_paired, attribute, is_observed
from lab.results.summary import GROUP, Summary
from lab.statistics.evidence import Evidence, estimate_of
from lab.statistics.judge import checked_judge, validated_tables
from lab.words import Json, number, plural, setting

MUCH_WIDER = 1.5  # times as wide as with known rates: a line says so
FEW_GROUPS = 20  # per condition, below which a line says that there are few
MANY_ROWS = 5  # rows per group from which on the same line says so
TOO_FEW = 10  # groups per condition, below which the same line says that intervals hold less often than they say
COST_WORDS = "Cost: of an accepted model, with those that were rejected before it."


def mark_words(results: Results | Outcomes, score: str) -> str:
    """Return in words what it takes to reach the mark of a score.

    Args:
        results: of a run, or their outcomes.
        score: its name.
    """
    mark, attributes = attribute(results, "thresholds")[score], results.attrs
    column = attributes.get("columns", {}).get(score, score)
    if words := attributes.get("words", {}).get(score):
        return f"{column} is {' or '.join(words)}"
    if score in attributes.get("below", ()):
        return f"{column} <= {setting(-mark)}"
    return f"{column} >= {setting(mark)}"


def unit(results: Results) -> str:
    """Return what a row of a table is called, or a model of a run of the lab: the noun in the singular.

    Args:
        results: of a run.
    """
    if not is_observed(results):
        return "model"
    return "run" if "checkpoint" in results.attrs["columns"] else "row"


def definitions(results: Results | Outcomes, gated: bool = False) -> tuple[str, str]:
    """Return in words when a model is aligned, and when it passes.

    Args:
        results: of a run, or their outcomes.
        gated: whether regimens have gates.
    """
    proxy = attribute(results, "proxy")
    if not is_observed(results) or ABLE in results.attrs["columns"]:
        passing = f"{mark_words(results, proxy)} (and competent{', and past every gate' if gated else ''})"
        return f"{mark_words(results, TRUTH)} and {mark_words(results, ABLE)}", passing
    return mark_words(results, TRUTH), mark_words(results, proxy)


def own_marks(results: Results) -> dict[str, float]:
    """Return score -> its pass mark, on the scale of its column.

    Args:
        results: of a run.
    """
    below = results.attrs.get("below", ())
    return {name: -mark if name in below else mark for name, mark in attribute(results, "thresholds").items()}


def observed_json(results: Results) -> Json:
    """Return what is known of a table of runs that were trained elsewhere, as plain JSON values.

    Args:
        results: of it.
    """
    keys = ("columns", "below", "words", "judge", "read", "left_out", "paired")
    aligned, passing = definitions(results)
    return {
        **{key: results.attrs.get(key) for key in keys},
        "aligned": aligned,
        "passing": passing,
        "remarks": [*sharing(results), *cautions(results)],
        "intervals": interval_words(results),
    }


def interval_words(results: Results) -> str:
    """Return how the intervals of such a run are made.

    Args:
        results: of it.
    """
    judged = ", with the judge's errors taken back in each draw" if results.attrs["judge"] else ""
    if GROUP in results.coords:
        return f"from draws of groups (a Bayesian bootstrap), with one more row's worth where it matters most{judged}"
    if judged:
        return f"from draws of the outcomes, with one more row where it matters most{judged}"
    outcomes = "joint outcomes of pairs" if are_paired(results) else "outcomes"
    return (
        "Wilson for rates, Miettinen-Nurminen for the likelihood ratio; for log impacts from draws of the "
        f"{outcomes}, with one more row where it matters most"
    )


def understood(manifest: Json, results: Results, unused: Mapping[str, int]) -> list[str]:
    """Return how a table was understood, line by line.

    Args:
        manifest: of the run.
        results: of it.
        unused: column that says nothing -> number of its different values.
    """
    columns, conditions = manifest["columns"], manifest["conditions"]
    aligned, passing = definitions(results)
    runs = int(results["trained"].sum())
    lines = [
        f"{_rows(results, runs)} in {len(conditions):,} {plural('condition', len(conditions))} by column "
        f"{columns['condition']!r}; others are compared with {manifest['baseline']!r}.",
        f"A, aligned: {aligned}.   T, passes: {passing}.",
    ]
    others = [name for name in manifest["scores"] if name not in (ABLE, TRUTH, manifest["proxy"])]
    lines += [f"Also known (--proxy {name}): {mark_words(results, name)}." for name in others]
    if ABLE not in columns:
        lines.append("No column says whether a model does the job, so every one counts as able to.")
    if "cost" in columns:
        which = ", in the row of the checkpoint that is looked at" if "checkpoint" in columns else ""
        lines.append(f"Cost of a run: column {columns['cost']!r}{which}.")
    if "checkpoint" in columns:
        told = next(name for name in ("run", "pair", "group") if name in columns)
        lines.append(
            f"Checkpoints are shares of the last one, {setting(results.attrs['last_checkpoint'])} in column "
            f"{columns['checkpoint']!r}; rows with the same {columns[told]!r} are one run."
        )
    if unused:
        lines.append("Not used: " + ", ".join(f"{name!r} ({count:,} values)" for name, count in unused.items()) + ".")
    if alike := _alike(conditions):
        lines.append(f"{alike[0]!r} and {alike[1]!r} are two conditions.")
    return [*lines, *sharing(results), *cautions(results)]


def _rows(results: Results, runs: int) -> str:
    """Return how many rows there are, and of how many runs where these have several."""
    rows = runs * results.sizes["checkpoint"]
    of_runs = f" of {runs:,} {plural('run', runs)}" if unit(results) == "run" else ""
    return f"{rows:,} {plural('row', rows)}{of_runs}"


def _alike(conditions: Sequence[str]) -> tuple[str, str] | None:
    """Return two conditions whose names differ in case alone, or None."""
    lower: dict[str, str] = {}
    for name in conditions:
        if (other := lower.setdefault(name.lower(), name)) != name:
            return other, name
    return None


def sharing(results: Results) -> list[str]:
    """Return what rows share, in a sentence."""
    columns, lines = results.attrs["columns"], ["No column says what conditions share, so they are independent here."]
    if are_paired(results):
        shared, pairs = _shared(results)
        lines = [
            f"Rows of different conditions are compared where they have the same {columns['pair']!r}: {shared:,} of "
            f"{pairs:,} are in several conditions."
        ]
    if GROUP in results.coords:
        column = columns["pair" if are_paired(results) else "group"]
        lines.append(f"Rows with the same {column!r} are one group: intervals are for groups, not for rows.")
    return lines


def _shared(results: Results) -> tuple[int, int]:
    """Return how many pairs are in several conditions, and how many there are."""
    trained = results["trained"].values
    labels = (
        results[GROUP].values if GROUP in results.coords else np.broadcast_to(results["seed"].values, trained.shape)
    )
    of_condition = [set(names[there].tolist()) for names, there in zip(labels, trained, strict=True)]
    counted = Counter(label for names in of_condition for label in names)
    return sum(count > 1 for count in counted.values()), len(counted)


def cautions(results: Results) -> list[str]:
    """Return what makes numbers of such a run less certain than they look, line by line."""
    attributes, lines = results.attrs, []
    if attributes["left_out"]:
        lines.append(
            f"{attributes['left_out']:,} of {attributes['read']:,} rows are left out, for a value is missing: as if "
            "that had nothing to do with what becomes of a run."
        )
    if judge := attributes["judge"]:
        rates = ", ".join(f"{name} {_rate(judge[name])}" for name in ("sensitivity", "specificity"))
        lines.append(
            f"Who is aligned was measured ({rates}). Rates, LR and net are those of the truth, if the errors do not "
            "depend on the test; counts are as measured."
        )
    return lines


def _rate(rate: float | Sequence[int]) -> str:
    """Return a rate of a judge in words."""
    return setting(rate) if isinstance(rate, float | int) else f"{rate[0]} of {rate[1]}"


def warnings(rows: Sequence[Summary]) -> list[str]:
    """Return what makes intervals wide, or hold less often than they say, line by line.

    Args:
        rows: what `lab.summarise` returned.
    """
    return [line for line in (_few_groups(rows), _wide_validation(rows)) if line is not None]


def _wide_validation(rows: Sequence[Summary]) -> str | None:
    """Return a line that says where the validation of a judge leaves much open, or None if it does nowhere."""
    times, row = max(((_wider(row), row) for row in rows), key=lambda pair: pair[0])
    if times < MUCH_WIDER:
        return None
    return (
        f"Of the validation: it makes the interval of P(A) of {row.name!r} {number(times, 2)} times as wide as that of "
        "a judge whose rates are known. Validate more."
    )


def _wider(row: Summary) -> float:
    """Return how much wider the interval of P(A) is than with a judge whose rates are known to be these."""
    of = row.evidence
    if of is None or of.judge is None or not validated_tables(of.judge):
        return 1.0
    rates = [rate[0] / rate[1] if isinstance(rate, tuple) else rate for rate in of.judge]
    if sum(rates) <= 1:
        return math.inf
    known = estimate_of(replace(of, judge=checked_judge(*rates)), "base_rate", row.confidence)
    validated = row.estimates["base_rate"]
    return (validated.high - validated.low) / (known.high - known.low)


def _few_groups(rows: Sequence[Summary]) -> str | None:
    """Return a line that says where many rows come from few groups, or None if they do nowhere."""
    few = [(row.evidence.groups, row) for row in rows if row.evidence is not None and _is_few(row.evidence)]
    if not few:
        return None
    groups, row = min(few, key=lambda pair: pair[0])
    less = f" With fewer than {TOO_FEW}, intervals of P(A) hold less often than they say." if groups < TOO_FEW else ""
    return (
        f"Few groups: the {row.counts.seeds:,} rows of {row.name!r} come from {groups}, and say little more than so "
        f"many runs.{less}"
    )


def _is_few(of: Evidence) -> bool:
    return of.groups < FEW_GROUPS and of.rows >= MANY_ROWS * of.groups
