"""The tables of all conditions: counts, rates and odds, and what a regimen changed, narrow enough to be printed."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lab.report.page.names import Names
from lab.results.summary import Summary
from lab.statistics import PARTS, QUANTITIES, Estimate
from lab.words import Json, limits, rounded, with_interval

CELLS = {
    "aligned_pass": ("A, T", "aligned, passing"),
    "aligned_fail": ("A, not T", "aligned, failing"),
    "misaligned_pass": ("not A, T", "misaligned, passing"),
    "misaligned_fail": ("neither", "with all that cannot do the job"),
}
APART = {
    "unable": ("cannot do the job", "of those under neither"),
    "diverged": ("diverged", "of those that cannot do the job"),
    "unjudged": ("stopped by a gate", "nobody knows what they would be"),
}
QUANTITY_COLUMNS = {  # quantity -> what it is a share of
    "base_rate": "of all models",
    "pass_given_aligned": "of aligned models",
    "pass_given_misaligned": "of misaligned ones, with all that cannot do the job",
    "likelihood_ratio": "P(T|A) / P(T|not A)",
    "prior_odds": "before the test",
    "posterior_odds": "after passing",
    "expected_runs": "per accepted model",
}
PART_COLUMNS = {"base_rate": "nats", "likelihood_ratio": "nats", "net": "nats"}


class Column(NamedTuple):
    """A column of a table: its heading, a few words under that, and what it has of a condition."""

    heading: str
    about: str
    value: Callable[[Summary], Any]


def tables(rows: Sequence[Summary], names: Names) -> list[Json]:
    """Return the tables of all conditions, as text by name.

    Args:
        rows: the conditions.
        names: of these.
    """
    counts = [Column(*texts, _count(cell)) for cell, texts in CELLS.items()]
    counts += [Column(*texts, _count(kind)) for kind, texts in APART.items() if any(map(_count(kind), rows))]
    quantities = [
        Column(QUANTITIES[quantity].heading, about, _quantity(quantity)) for quantity, about in QUANTITY_COLUMNS.items()
    ]
    changes = [Column(PARTS[part].heading, about, _part(part)) for part, about in PART_COLUMNS.items()]
    changes = changes if any(row.impact for row in rows) else []
    costs = [
        Column(name, "per accepted model", _cost(field))
        for field, name in (("compute", "trainings"), ("cost", "cost"))
        if getattr(rows[0], field) is not None
    ]
    captions = {"Counts of models": counts, "Rates and odds": quantities, "Change over the baseline": changes + costs}
    return [
        {
            "caption": caption,
            "columns": [{"heading": column.heading, "about": column.about} for column in columns],
            "rows": [
                {"name": names.full[row.name], "cells": [cell(column.value(row)) for column in columns]} for row in rows
            ],
        }
        for caption, columns in captions.items()
        if columns
    ]


def _count(kind: str) -> Callable[[Summary], int]:
    return lambda row: getattr(row.counts, kind)


def _quantity(quantity: str) -> Callable[[Summary], Estimate]:
    return lambda row: row.estimates[quantity]


def _part(part: str) -> Callable[[Summary], Estimate | None]:
    return lambda row: row.impact and getattr(row.impact, part)


def _cost(field: str) -> Callable[[Summary], Estimate]:
    return lambda row: getattr(row, field)


def cell(value: Any) -> Json:
    """Return the text of a cell, with the interval apart where there is one, and the number that it is sorted by.

    Args:
        value: a count, an estimate, or None for what a baseline does not have.
    """
    if isinstance(value, int):
        return {"text": f"{value:,}", "interval": "", "key": value}
    if value is None:
        return {"text": "baseline", "interval": "", "key": 0}
    text = with_interval(value)
    number, interval = (rounded(value), limits(value)) if text.endswith(("]", ")")) else (text, "")
    return {"text": number, "interval": interval, "key": _key(value.value)}


def _key(value: float) -> float:
    """Return the number to sort by, finite as HTML has it: an undefined value comes below all others."""
    if math.isnan(value):
        return -1e300
    return max(-1e299, min(1e299, value))
