"""The figure of a run: colours that differ in grey, curves along an axis of the sweep."""

import itertools

import numpy as np
import pytest

from lab import figures
from lab.figures.palette import OUTCOMES, PART_COLOURS
from lab.figures.response import ROWS, columns_left_out, draw_response, response_figure, response_title
from tests.colours import DEUTERANOPIA, linear


def contrast(one, other, seen):
    """WCAG 2.2, contrast ratio: 1 for equal luminances, 21 for black on white."""
    low, high = sorted(np.clip(seen @ linear(colour), 0, 1) @ [0.2126, 0.7152, 0.0722] for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_what_wcag_says():
    assert contrast("#000000", "#ffffff", np.eye(3)) == pytest.approx(21)
    # 119 of 255 is ((.4667 + .055) / 1.055)^2.4 = .1845 without gamma, and 1.05 / (.1845 + .05) = 4.48
    assert contrast("#777777", "#ffffff", np.eye(3)) == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("seen", [np.eye(3), DEUTERANOPIA], ids=["grey", "deuteranopia"])
def test_what_may_touch_differs_in_grey(seen):
    """Any two outcomes may touch, where no model is in between; on the page nothing is hatched."""
    for (_, one, hatch), (_, other, another) in itertools.combinations(OUTCOMES.values(), 2):
        assert contrast(one, other, seen) > (1.5 if hatch == another else 1.2)
    assert contrast(OUTCOMES["aligned_pass"][1], OUTCOMES["misaligned_pass"][1], seen) > 3
    for one, other in itertools.combinations(PART_COLOURS.values(), 2):
        assert contrast(one, other, seen) > 1.5


def along(shares, rates):
    """Conditions of one regimen along an axis, with the rate of each, or None."""
    estimates = [
        {"value": rate, "low": 0.0 if rate is None else rate / 2, "high": 1.0 if rate is None else rate}
        for rate in rates
    ]
    return [
        {"regimen": "hold_out", "coordinates": {"share": share}, "base_rate": estimate}
        for share, estimate in zip(shares, estimates, strict=True)
    ]


def test_a_line_goes_along_its_axis_and_has_a_gap_where_nothing_is_known():
    """In the order of the config it would run to and fro."""
    _, ax = figures.subplots()
    conditions = along([0.5, 0.1, 0.9, 0.3, 0.7, 1.0], [0.6, 0.2, 0.8, None, 0.7, None])
    draw_response(conditions, ax, "share", ["base_rate"])
    line, *marks = ax.lines
    assert line.get_xdata().tolist() == [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    np.testing.assert_array_equal(line.get_ydata(), [0.2, np.nan, 0.6, 0.7, 0.8, np.nan])
    intervals = [mark for mark in marks if len(mark.get_xdata()) == 2]
    assert [list(mark.get_xdata()) for mark in intervals] == [[x, x] for x in (0.1, 0.5, 0.7, 0.9)]
    _, ax = figures.subplots()
    draw_response(along([1, 2, 3], [None] * 3), ax, "share", ["base_rate"])
    assert not ax.lines


def test_the_title_says_what_is_not_known():
    """Where gates stop models nobody knows whether they would have been aligned."""
    shares = {("push", 0.0): 0.25, ("push", 0.5): None, ("push", 1.0): None, ("hold_out", None): 0.5}
    conditions = [
        {"regimen": name, "coordinates": {} if onset is None else {"onset": onset}, "base_rate": {"value": share}}
        for (name, onset), share in shares.items()
    ]
    title = response_title({"conditions": conditions}, "onset")
    assert title == "P(A) as onset goes from 0 to 1: push 25% → not known (hold out 50%)"


def test_what_a_page_has_no_room_for_is_said():
    """Eleven worlds: the first, the last and three evenly between have columns, and six have none."""
    conditions = [
        {"name": f"{value} {world}", "regimen": "push", "coordinates": {"onset": float(value), "depth": float(world)}}
        for world in range(11)
        for value in range(3)
    ]
    rate = {"value": 0.5, "low": 0.4, "high": 0.6}
    data = {"conditions": [condition | dict.fromkeys(ROWS, rate) for condition in conditions]}
    figure = response_figure(data, "onset")
    titles = [ax.get_title(loc="left") for ax in figure.axes[:5]]
    assert titles == [f"depth {world}" for world in (0, 2, 5, 8, 10)]  # round(2.5) and round(7.5) are even
    assert columns_left_out(data, "onset") == 6
