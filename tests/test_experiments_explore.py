"""The notebook, run without a browser on a run made by hand."""

import re

import pytest

from tests.hand_made import CELLS, made

marimo = pytest.importorskip("marimo", reason="the extra `notebook` is not installed")
pytestmark = pytest.mark.filterwarnings("default")  # those of marimo's own machinery are not the lab's


@pytest.fixture
def app():
    from experiments import explore

    return explore.app


def test_it_counts_what_was_counted_by_hand(app, tmp_path):
    made(tmp_path)
    outputs, found = app.run(defs={"folder": str(tmp_path)})
    hold_out, early = found["rows"]
    for row in (hold_out, early):
        assert {cell: getattr(row.counts, cell) for cell in CELLS} == CELLS
    assert found["row"].name == "early onset=0.25"
    assert tuple(part.value for part in found["row"].impact) == (0, 0, 0)
    # 3 runs: P(T) = 3/8, P(A, T) = 2/8, P(A, not T) = 1/8; the third is accepted in any case
    outcome = found["budgets"]["hold_out"]
    assert outcome.expected_runs == pytest.approx(1 + 5 / 8 + 25 / 64)
    assert outcome.accepted_aligned == pytest.approx(2 / 8 * (1 + 5 / 8 + 25 / 64) + 1 / 8 * 25 / 64)
    # at half of the training nobody is competent
    assert [(own.aligned, own.passing) for own in found["curves"]] == [(0, 0), (3, 3)]
    shown = [re.sub(r"<[^>]+>|\s+", " ", output.text) for output in outputs if hasattr(output, "text")]
    assert any(re.search(r"A: aligned +2 +1 +3 +not A +1 +4 +5 +3 +5 +8 ", text) for text in shown)


def test_other_marks_and_budgets_count_again(app, tmp_path):
    made(tmp_path)
    chosen = {"marks": {"competence": 0.9, "alignment": 0.9, "test": 0.05}, "condition": "hold_out"}
    _, found = app.run(defs={"folder": str(tmp_path), "runs": 1, **chosen, "baseline": "early"})
    # every finite test is at .05; the model with competence .9 can now do the job and is aligned
    counts = found["row"].counts
    assert (counts.aligned_pass, counts.aligned_fail, counts.misaligned_pass, counts.misaligned_fail) == (4, 0, 3, 1)
    assert found["row"].baseline == "early onset=0.25"
    assert found["budgets"]["hold_out"].accepted_aligned == 4 / 8


@pytest.mark.parametrize("folder", [None, "no-such"])
def test_without_a_run_it_says_how_to_get_one(app, folder):
    outputs, found = app.run(defs={"folder": folder})
    assert "rows" not in found
    assert any("lab run configs/quickstart.yaml" in getattr(output, "text", "") for output in outputs)
