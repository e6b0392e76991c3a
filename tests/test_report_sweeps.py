"""Sweeps by axis: where each condition stands is told by its cell, which is its own number."""

import dataclasses
import itertools
import re

import pytest

from lab.report.sweeps import grid, sweep_impact_tables
from lab.results.summary import Summary
from lab.statistics import Counts, Estimate, LogImpact
from lab.words import setting


def summaries(*regimens):
    """Conditions whose net is their number, at every point of the axes of their regimen; the first is the baseline."""
    rows, numbers = [], itertools.count(1)
    for regimen, axes in regimens:
        for values in itertools.product(*axes.values()):
            point = dict(zip(axes, map(float, values), strict=True))
            name = " ".join([regimen, *(f"{axis}={setting(value)}" for axis, value in point.items())])
            number = float(next(numbers))
            part = Estimate(number, number, number)
            impact = LogImpact(likelihood_ratio=part, base_rate=part, net=part)
            baseline = regimen == regimens[0][0]
            rows.append(
                Summary(name, regimen, point, {}, Counts(1, 1, 1, 1), None if baseline else regimens[0][0],
                        None if baseline else impact, None, 0.95, 0.95)
            )  # fmt: skip
    return rows


def net_table(rows):
    """The heading and the rows of the table of nets, as lists of cells."""
    sheet = sweep_impact_tables(rows, "over hold out")[-1]
    return list(sheet.columns), [list(row.cells) for row in sheet.rows]


def test_the_longest_axis_has_rows_and_the_others_columns():
    onsets = {"detectability": [0, 2], "weight": [0.3, 3], "onset": [0, 0.1, 0.3, 0.5, 0.8]}
    rows = summaries(("hold_out", {"detectability": [0, 2]}), ("push", onsets))
    columns, lines = net_table(rows)
    points = [f"detectability {one}\nweight {other}" for one in ("0", "2") for other in ("0.3", "3")]
    assert columns == ["onset", *points]
    assert lines[0] == ["hold out", *["baseline"] * 4]
    # 1 and 2 are held out; then the pushes, with the onset as the innermost axis
    assert lines[1] == ["0", "3", "8", "13", "18"]
    assert lines[-1] == ["0.8", "7", "12", "17", "22"]


def test_a_baseline_stands_in_the_columns_of_its_own_world():
    rows = summaries(("hold_out", {"a": [0, 1]}), ("push", {"a": [0, 1], "b": [0, 1, 2]}))
    held_out = grid(rows).baselines["hold_out"]
    assert {index: row.coordinates["a"] for index, row in held_out.items()} == {0: 0.0, 1: 1.0}


def test_there_are_never_more_columns_than_rows():
    regimens = [(f"regimen_{number}", {"knob": [0, 1]}) for number in range(7)]
    columns, lines = net_table(summaries(*regimens))
    assert columns == ["", "knob 0", "knob 1"]
    assert lines[1] == ["regimen 1", "3", "4"]
    assert len(lines) == 7


def test_rows_that_are_alike_are_one():
    rows = summaries(("hold_out", {}), ("push", {"onset": [0, 0.1, 0.2, 0.3]}))
    alike = [row if row.impact is None or row.coordinates["onset"] == 0 else with_net(row, 5.0) for row in rows]
    assert net_table(alike)[1] == [["hold out", "baseline"], ["0", "2"], ["0.1 to 0.3", "5"]]


def with_net(row, net):
    part = Estimate(net, net, net)
    impact = LogImpact(likelihood_ratio=part, base_rate=part, net=part)
    return dataclasses.replace(row, impact=impact)


@pytest.mark.parametrize(
    "regimens",
    [
        [("hold_out", {}), ("late", {"weight": [1, 2, 3]}), ("early", {"weight": [1, 3]}), ("anti", {})],
        [("hold_out", {"a": [0, 1]}), ("anti", {"a": [0, 1], "size": [1, 2]}), ("push", {"a": [0, 1], "b": range(5)})],
        [("hold_out", {"a": range(3)}), ("push", {"a": range(3), "b": range(2), "c": range(2)})],
    ],
)
def test_every_condition_of_a_sweep_is_in_its_tables(regimens):
    rows = summaries(*regimens)
    _, lines = net_table(rows)
    numbers = {cell for line in lines for cell in line[1:] if re.fullmatch(r"\d+", cell)}
    assert numbers == {f"{row.impact.net.value:.0f}" for row in rows if row.impact}
