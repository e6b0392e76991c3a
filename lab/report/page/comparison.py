"""Two runs on one page: what differs between them, and the conditions of one name side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt

from lab.figures.palette import VERMILION
from lab.report.page import charts
from lab.report.page.charts import INK, Datasets, Kind, Line, inline
from lab.report.page.table import cell
from lab.report.page.told import Told
from lab.results.outcomes import is_observed
from lab.results.summary import Summary
from lab.statistics import QUANTITIES, Estimate, compare, compare_evidence
from lab.words import Json, quantity_words, with_interval

SHOWN = ("base_rate", "pass_given_misaligned", "aligned_given_pass")
TABLE = ("base_rate", "pass_given_aligned", "pass_given_misaligned", "aligned_given_pass", "expected_runs")
MOST_DIFFERENCES, MOST_NAMED = 40, 5
IGNORED = ("name", "question", "seeds.first")  # of a config: they change no result, or say which seeds


def comparison(first: Told, second: Told) -> Json:
    """Return what the page says of two runs beside each other.

    Args:
        first: one run.
        second: the other one.

    Raises:
        ValueError: they are one run, no condition has the same name, or only one of them was trained by the lab, has
            rows in groups, or was judged.
    """
    one, two = first.results.attrs, second.results.attrs
    if is_observed(first.results) != is_observed(second.results):
        raise ValueError(
            "one run was trained by the lab and the other is an imported table: their tests are not the same"
        )
    if first.manifest == second.manifest:
        raise ValueError(f"both are the run {one['name']} ({one['hash']}): a run is not compared with itself")
    others = {row.name: row for row in second.rows}
    pairs = [(row, others[row.name]) for row in first.rows if row.name in others]
    if not pairs:
        named = ", ".join(repr(told.rows[0].name) for told in (first, second))
        raise ValueError(
            f"no condition has the same name in both runs (their first are {named}): nothing can be compared"
        )
    called = [run.results.attrs["name"] for run in (first, second)]
    if called[0] == called[1]:
        called = [f"{name} {run.results.attrs['hash'][:8]}" for name, run in zip(called, (first, second), strict=True)]
    both = {row.name for row, _ in pairs}
    shared = [first.names.full[row.name] for row, _ in pairs]
    changes = [_change(other, row) for row, other in pairs]
    differences = list(_differences(_known(first), _known(second)))
    return {
        "names": called,
        "question": one["question"] if one["question"] == two["question"] else "",
        "only": [[run.names.full[row.name] for row in run.rows if row.name not in both] for run in (first, second)],
        "differences": differences[:MOST_DIFFERENCES],
        "more": max(0, len(differences) - MOST_DIFFERENCES),
        "headings": [quantity_words(quantity) for quantity in TABLE],
        "finding": _finding(dict(zip(shared, changes, strict=True)), called),
        "rows": [_row(*row) for row in zip(shared, *zip(*pairs, strict=True), changes, strict=True)],
        "charts": [_chart(quantity, first, pairs, called) for quantity in SHOWN],
    }


def _finding(changes: Mapping[str, Estimate], called: Sequence[str]) -> str:
    """Say under which conditions accepted models are better in the second run than in the first."""
    better = [name for name, change in changes.items() if change.low > 0]
    worse = [name for name, change in changes.items() if change.high < 0]
    kinds = {"better": better, "worse": worse}
    said = [f"{kind} in {called[1]} than in {called[0]} under {_few(names)}" for kind, names in kinds.items() if names]
    left = len(changes) - len(better) - len(worse)
    known = f"Accepted models are {' and '.join(said)}" if said else "No difference of accepted models is decided"
    return known + (f"; under {left:,} of {len(changes):,} conditions that is open." if said and left else ".")


def _few(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = [f"{len(names) - MOST_NAMED:,} more"] if len(names) > MOST_NAMED else []
    return "; ".join([*names[:MOST_NAMED], *more])


def _known(run: Told) -> Json:
    """Return everything that says what a run is."""
    manifest = run.manifest
    marks = {f"mark of {score}": mark for score, mark in run.results.attrs["thresholds"].items()}
    if "config" not in manifest:
        return {"source": manifest.get("source"), "test": run.results.attrs["proxy"], **marks}
    config = dict(_flat(manifest["config"]))
    versions = {f"trained with {key}": value for key, value in manifest["identity"].items()}
    return {key: value for key, value in config.items() if key not in IGNORED} | marks | versions


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a config by their keys."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _differences(first: Json, second: Json) -> Iterator[Json]:
    """Yield what is said differently of two runs."""
    for key in dict.fromkeys([*first, *second]):
        one, two = first.get(key, "not set"), second.get(key, "not set")
        if one != two:
            yield {"key": key, "values": [str(one), str(two)]}


def _row(name: str, row: Summary, other: Summary, change: Estimate) -> Json:
    """Return a condition of both runs, and what changed, as text."""
    return {
        "name": name,
        "runs": [
            {
                "models": f"{part.counts.seeds:,}",
                "unable": f"{100 * part.counts.unable / part.counts.seeds:.1f}%" if part.counts.unable_is_shown else "",
                "cells": [cell(part.estimates[quantity]) for quantity in TABLE],
            }
            for part in (row, other)
        ],
        "change": with_interval(change),
    }


def _change(row: Summary, over: Summary) -> Estimate:
    """Return the net log impact of a condition of one run over the same of another, as independent."""
    if row.evidence is None and over.evidence is None:
        return compare(row.counts, over.counts, confidence=row.confidence).net
    if row.evidence is None or over.evidence is None:
        raise ValueError("rows of one run come in groups or were judged, and those of the other were not")
    return compare_evidence(row.evidence, over.evidence, confidence=row.confidence).net


def _chart(quantity: str, first: Told, pairs: Sequence[tuple[Summary, Summary]], called: Sequence[str]) -> Json:
    """Draw a quantity of the conditions that both runs have."""
    names = first.names.full
    lines = [Line(names[row.name], row) for row, _ in pairs]
    points = [
        {
            **charts.drawn_within(part.estimates[quantity], (0.0, 1.0)),
            "line": line,
            "run": called[number],
            "number": number,
            "text": with_interval(part.estimates[quantity]),
        }
        for line, pair in enumerate(pairs)
        for number, part in enumerate(pair)
    ]
    kinds: dict[str, Kind] = dict.fromkeys(("line", "number", "value", "low", "high"), "number")
    datasets: Datasets = {}
    data = inline(datasets, "runs", points, {**kinds, "run": "string", "text": "string", "open": "string"})
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(data).encode(charts.line_axis(lines), tooltip=["run:N", alt.Tooltip("text:N", title="value")])
    layers = []
    for number, offset in enumerate((2, 12)):
        own = base.transform_filter(f"datum.number == {number}").encode(
            alt.Color("run:N", title=None, scale=alt.Scale(domain=list(called), range=[INK, VERMILION]))
        )
        shape = alt.Shape("run:N", title=None, scale=alt.Scale(domain=list(called), range=["circle", "diamond"]))
        layers.append(
            own.mark_rule(strokeWidth=2, yOffset=offset).encode(
                alt.X("low:Q", scale=scale, title=None), alt.X2("high:Q")
            )
        )
        layers.append(
            own.mark_point(size=60, filled=True, opacity=1, yOffset=offset).encode(alt.X("value:Q", scale=scale), shape)
        )
    title = quantity_words(quantity)
    specification = (
        alt.layer(*layers, *charts.line_names(datasets, lines, [""] * len(lines), above=-13))
        .properties(
            width="container",
            autosize=charts.FIT,
            height=46 * len(lines),
            title=QUANTITIES[quantity].symbol,
            datasets=datasets,
        )
        .configure(**charts.config())
        .to_dict(validate=False)
    )
    return {
        "kind": f"both-{quantity}",
        "place": f"both-{quantity}",
        "label": f"{title} of both runs.",
        "specification": specification,
        "lists": [],
        "patch": [],
    }
