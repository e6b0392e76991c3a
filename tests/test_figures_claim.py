"""The usual figure of a claim: what its rows are called, how they look, and what it explains."""

import pytest

from lab import claims, figures
from lab.figures.claim import entries, explain_marks, marks_by_name
from lab.figures.palette import STYLES
from tests.hand_made_claims import population, world


def row(words, regimen="", **estimates):
    return {"words": words, "regimen": regimen, **estimates}


def estimate(value, low, high):
    return {"value": value, "low": low, "high": high}


def data_of(*rows):
    return {"tasks": {"race": {"verdict": "undecided", "plotted": list(rows)}}}


def legend_of(column, *estimates):
    lines = entries(data_of(*(row("late", **{column.key: each}) for each in estimates)))
    figure = figures.Figure()
    explain_marks(figure, lines, [column])
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_regimens_of_a_kind_share_a_colour_and_differ_in_shape():
    rows = [row("hold_out", "hold_out"), row("early", "early"), row("early_strong", "early_strong")]
    rows += [row("late, linear loss", "incentive"), row("sticky", "sticky"), row("neither", "neither")]
    marks = marks_by_name(rows)
    assert [mark.colour for mark in marks.values()][:4] == [
        STYLES[kind].colour for kind in ("hold", "early", "early", "late")
    ]
    assert marks["hold_out", "hold_out"].marker == STYLES["hold"].marker
    assert len({(mark.colour, mark.marker) for mark in marks.values()}) == len(rows)


def test_a_regimen_looks_the_same_in_every_task():
    marks = marks_by_name([row("push", "push"), row("sticky", "sticky"), row("sticky", "sticky"), row("push", "push")])
    assert len(marks) == 2


def test_conditions_stand_under_where_they_lie_in_the_sweep():
    stored = world("depth", [2, 3], hold_out=[[5, 0, 5, 0]] * 2, late=[[9, 0, 1, 0]] * 2)
    stored.data["baseline"] = "hold_out"
    rows = claims.condition_rows(stored, claims.Rows(("base_rate",), {"late": "late push"}))
    lines = [(entry.depth, entry.words) for entry in entries(data_of(*rows))]
    assert lines == [
        (0, "race \N{WHITE CIRCLE} undecided"),
        (1, "depth = 2"), (2, "hold out"), (2, "late push"),
        (1, "depth = 3"), (2, "hold out"), (2, "late push"),
    ]  # fmt: skip


def test_a_quantity_that_has_no_value_says_why():
    stored = population(hold_out=[5, 0, 0, 5], all_aligned=[10, 0, 0, 0], failing=[0, 5, 0, 5])
    stored.data["baseline"] = "hold_out"
    columns = ("pass_given_misaligned", "likelihood_ratio", "aligned_given_pass", "net")
    rows = claims.condition_rows(stored, claims.Rows(columns))
    held_out, all_aligned, failing = (entry["none"] for entry in rows)
    assert held_out == {}
    assert rows[0]["net"] is None
    assert all_aligned == {
        "pass_given_misaligned": "none misaligned",
        "likelihood_ratio": "none misaligned",
        "net": "no misaligned pass in either",
    }
    assert failing == dict.fromkeys(["likelihood_ratio", "aligned_given_pass", "net"], "none passes")


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.5, 2.0, []),
        (-0.5, 2.0, ["hollow: undecided"]),
        (0.5, 7.0, ["goes on beyond the axis"]),
        (-7.0, 7.0, ["hollow: undecided", "goes on beyond the axis"]),
    ],
)
def test_a_legend_explains_the_marks_that_are_there_and_no_others(low, high, words):
    assert legend_of(figures.COLUMNS["net"], estimate(1.0, low, high)) == words


def test_models_that_cannot_do_the_job_have_a_column_where_there_are_many():
    """The line is at 2%: 21 of 1,000 are shown, 20 are not."""
    for unable, texts in ((0.02, []), (0.021, ["2%"]), (0.268, ["27%"])):
        shown = row("late", base_rate=estimate(0.5, 0.4, 0.6), unable=unable)
        figure = figures.claim_figure(data_of(shown), ["base_rate"])
        assert len(figure.axes) == 1 + len(texts)
        assert [text.get_text() for ax in figure.axes[1:] for text in ax.texts] == texts
