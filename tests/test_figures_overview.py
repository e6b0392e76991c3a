"""The overview of all claims: what stands in its grid, what it says on top, and that it can be read."""

import itertools
import json
import re

import pytest

from experiments.claims import IN_SHORT
from lab import claims, figures
from lab.cli import main
from lab.figures import style
from lab.figures.overview import MARKS

# two claims that have a place in the overview, and one that has none
VERDICTS = {
    "budget": {"race": "supported", "digits": "supported"},
    "precursors": {"race": "contradicted", "digits": "supported", "shortcut": "depends"},
    "goals": {"race": "undecided"},
}
JUDGED = {
    name: {"tasks": {task: {"verdict": verdict} for task, verdict in by_task.items()}}
    for name, by_task in VERDICTS.items()
}


def test_every_claim_is_said_once_in_short():
    said = list(itertools.chain(*IN_SHORT.values()))
    assert sorted(said) == claims.names()


def test_the_title_counts_verdicts_and_claims_that_hold_everywhere():
    """Three of six by hand; `budget` alone is supported wherever it was asked."""
    data = claims.overview(JUDGED)
    assert data["title"] == (
        "Of 6 verdicts 3 support a claim and 1 contradict it; 1 of 3 claims hold in every task they were asked in"
    )
    assert data["tasks"] == ["race", "digits", "shortcut"]  # asked 3, 2 and 1 times
    rows = {row["name"]: row["verdicts"] for group in data["groups"] for row in group["claims"]}
    assert rows == VERDICTS


def test_a_claim_without_a_place_comes_last_in_its_own_words(monkeypatch):
    monkeypatch.delitem(IN_SHORT["Train on the test, or hold it out?"], "goals")
    *_, last = claims.overview(JUDGED)["groups"]
    assert last["heading"] == "Others"
    assert [row["claim"] for row in last["claims"]] == [claims.claim("goals").sentence]


def test_the_stored_overview_says_what_the_captions_say():
    """Captions hold the verdict of each task, and a test compares them with the stored counts."""
    data = json.loads((claims.FIGURES / "overview.json").read_text())
    rows = {row["name"]: row["verdicts"] for group in data["groups"] for row in group["claims"]}
    assert sorted(rows) == claims.names_with_counts()
    for name, verdicts in rows.items():
        caption = (claims.FIGURES / f"{name}.txt").read_text()
        said = re.findall(r"(?<= )([a-z]+): (supported|contradicted|depends|undecided) \(", caption)
        assert [pair for pair in said if pair[0] in data["tasks"]] == list(verdicts.items()), name


def test_marks_need_no_colour():
    shapes = {(look["marker"], look.get("fillstyle")) for look in MARKS.values()}
    assert set(MARKS) == set(claims.VERDICTS)
    assert len(shapes) == len(MARKS)


@pytest.mark.parametrize("venue", style.VENUES)
def test_no_sentence_reaches_the_marks_or_leaves_the_page(venue):
    every = {name: {"tasks": {"scratchpad": {"verdict": "depends"}}} for name in claims.names()}
    others = {task: {"verdict": "supported"} for task in ("shortcut", "race", "reasoner", "digits", "gridworld")}
    every["budget"]["tasks"] |= others
    data = claims.overview(every)
    with style.matplotlib.rc_context({**style.DEFAULTS, **style.VENUES[venue].letters, **style.SETTINGS}):
        figure = figures.overview_figure(data)
        style.finish(figure, data, style.VENUES[venue].width)
        figure.set_dpi(style.SETTINGS["savefig.dpi"])
        figure.draw_without_rendering()
        (ax,) = figure.axes
        ends = {text.get_text(): text.get_window_extent() for text in [*ax.texts, *figure.texts]}
        marks = [line.get_window_extent().x0 for line in ax.lines if line.get_fillstyle() == "left"]
    sentences = {row["claim"] for group in data["groups"] for row in group["claims"]}
    assert len(marks) == len(every) + 1  # and one in the legend, on the left
    assert max(ends[sentence].x1 for sentence in sentences) < sorted(marks)[1]
    assert all(figure.bbox.x0 <= end.x0 and end.x1 <= figure.bbox.x1 for end in ends.values())


def test_the_overview_has_no_marks_of_alignment_to_choose(tmp_path, capsys):
    assert main(["figures", "overview", "--mark", "test=0.5", "--out", str(tmp_path)]) == 2
    assert "claims have marks of their own" in capsys.readouterr().err
