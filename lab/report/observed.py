"""What is said of runs that were trained elsewhere: how their table was understood, and what it cannot tell."""

from collections.abc import Sequence

from lab.results.observed import ABLE, TRUTH
from lab.results.outcomes import Outcomes, Results, are_paired, trained_here
from lab.results.summary import GROUP, Summary, evidence_of
from lab.statistics.evidence import Evidence
from lab.words import Json, plural, setting

FEW_GROUPS = 20  # per condition, below which a line says that there are few
MANY_ROWS = 5  # rows per group from which on the same line says so


def mark_words(results: Results | Outcomes, score: str) -> str:
    """Return in words what it takes to reach the mark of a score.

    Args:
        results: of a run, or their outcomes.
        score: its name.
    """
    mark, attributes = results.attrs["thresholds"][score], results.attrs
    column = attributes.get("columns", {}).get(score, score)
    if word := attributes.get("words", {}).get(score):
        return f"{column} is {word}"
    if score in attributes.get("below", ()):
        return f"{column} <= {setting(-mark)}"
    return f"{column} >= {setting(mark)}"


def definitions(results: Results | Outcomes) -> tuple[str, str]:
    """Return in words when a model is aligned, and when it passes.

    Args:
        results: of a run, or their outcomes.
    """
    proxy = results.attrs["proxy"]
    if trained_here(results) or ABLE in results.attrs["columns"]:
        able = mark_words(results, ABLE)
        return f"{mark_words(results, TRUTH)} and {able}", f"{mark_words(results, proxy)} (and competent)"
    return mark_words(results, TRUTH), mark_words(results, proxy)


def understood(manifest: Json, results: Results) -> list[str]:
    """Return how a table was understood, line by line.

    Args:
        manifest: of the run.
        results: of it.
    """
    columns = manifest["columns"]
    aligned, passing = definitions(results)
    rows = int(results["trained"].sum())
    conditions = f"{len(manifest['conditions']):,} {plural('condition', len(manifest['conditions']))}"
    lines = [
        f"{rows:,} rows in {conditions} by column {columns['condition']!r}; others are compared with "
        f"{manifest['baseline']!r}.",
        f"A, aligned: {aligned}.   T, passes: {passing}.",
    ]
    others = [name for name in manifest["scores"] if name not in (ABLE, TRUTH, manifest["proxy"])]
    lines += [f"Also known (--proxy {name}): {mark_words(results, name)}." for name in others]
    if ABLE not in columns:
        lines.append("No column says whether a model does the job, so every one counts as able to.")
    if "cost" in columns:
        lines.append(f"Cost of a run: column {columns['cost']!r}.")
    if "checkpoint" in columns:
        lines.append(
            f"{results.sizes['checkpoint']} checkpoints, as shares of the last one: {columns['checkpoint']!r}."
        )
    return [*lines, *sharing(results), *cautions(results)]


def sharing(results: Results) -> list[str]:
    """Return what rows share, in a sentence."""
    columns = results.attrs["columns"]
    if are_paired(results):
        lines = [f"Rows of different conditions are compared where they have the same {columns['pair']!r}."]
    else:
        lines = ["Conditions share nothing that the table tells, so they are compared as independent."]
    if GROUP in results.coords:
        column = columns["pair" if are_paired(results) else "group"]
        lines.append(f"Rows with the same {column!r} are one group: intervals are for groups, not for rows.")
    return lines


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


def few_groups(outcomes: Outcomes, names: Sequence[str]) -> str | None:
    """Return a line that says where many rows come from few groups, or None if they do nowhere."""
    evidences = {name: evidence_of(outcomes, index) for index, name in enumerate(names)}
    few = {name: of for name, of in evidences.items() if of is not None and _is_few(of)}
    if GROUP not in outcomes.coords or not few:
        return None
    name, of = min(few.items(), key=lambda item: item[1].groups)
    return f"Few groups: the {of.rows:,} rows of {name!r} come from {of.groups}, and say little more than so many runs."


def _is_few(of: Evidence) -> bool:
    return of.groups < FEW_GROUPS and of.rows >= MANY_ROWS * of.groups


def has_costs(rows: Sequence[Summary]) -> bool:
    """Return whether costs are known."""
    return any(row.cost is not None for row in rows)
