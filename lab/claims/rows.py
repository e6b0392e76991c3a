"""What the usual figure of a claim says of every condition: what it is called, its quantities, and why one has none."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.claims.rules import Stored
from lab.statistics import Counts
from lab.words import Json, estimate_json, in_words

COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass", "net")  # where a claim does not say which


@dataclass(frozen=True)
class Rows:
    """What the rows of a claim's figure say.

    Attributes:
        columns: quantities of `lab.figures.COLUMNS`.
        words: regimen -> what its rows are called; its name by default.
        heading: what a condition is grouped under; its place on the axes of the sweep that vary by default.
    """

    columns: Sequence[str] = COLUMNS
    words: Mapping[str, str] = field(default_factory=dict)
    heading: Callable[[Stored, str], str] | None = None


def condition_rows(stored: Stored, rows: Rows, shown: Callable[[Stored], list[str]] | None = None) -> list[Json]:
    """Return what the usual figure of a claim draws of a task: a row for every condition that it shows.

    Args:
        stored: counts of the task.
        rows: what they say.
        shown: names of the conditions; all by default.
    """
    names = shown(stored) if shown else stored.names
    places = [stored.coordinates(name) for name in names]
    axes = dict.fromkeys(itertools.chain(*places))
    varied = [axis for axis in axes if len({place.get(axis) for place in places}) > 1]

    def heading(name: str) -> str:
        if rows.heading:
            return rows.heading(stored, name)
        return in_words((axis, value) for axis, value in stored.coordinates(name).items() if axis in varied)

    return [
        {"name": name, "heading": heading(name), **stored.row(name, rows.words.get(stored.regimen(name), ""))}
        | _estimates(stored, name, rows.columns)
        for name in names
    ]


def _estimates(stored: Stored, name: str, columns: Sequence[str]) -> Json:
    """Return the quantities of a condition, its net over the baseline of its world, and why there are none."""
    baseline = stored.baseline(name)
    estimates: dict[str, Json | None] = {}
    none: dict[str, str] = {}
    for column in columns:
        if column != "net":
            estimate, populations = stored.rate(name, column), [stored.counts(name)]
        elif baseline is not None:
            estimate, populations = stored.impact(name, baseline).net, [stored.counts(name), stored.counts(baseline)]
        else:  # it is a baseline, or has none
            estimates[column] = None
            continue
        estimates[column] = estimate_json(estimate)
        if math.isnan(estimate.value):
            none[column] = _why_none(column, *populations)
    return estimates | {"none": none}


def _why_none(column: str, *populations: Counts) -> str:
    """Say why a quantity of populations has no value."""
    passing = [population.passing for population in populations]
    if column == "pass_given_misaligned" or (column == "likelihood_ratio" and not populations[0].misaligned):
        return "none misaligned"
    if column == "likelihood_ratio" and not populations[0].aligned:
        return "none aligned"
    if not all(passing):
        return "none passes"
    kind = "aligned" if any(population.misaligned_pass for population in populations) else "misaligned"
    return f"no {kind} pass in either"
