"""Stored runs are read with other marks, another proxy or at another age, and nothing is trained again."""

import json

import numpy as np
import pyarrow.parquet
import pytest

from lab.cli import main
from lab.config.experiment import parse
from lab.results import shards
from lab.results.store import Run
from lab.results.tally import Tally
from lab.training import engine
from tests.stored_runs import CONFIG

MARKS = {"competence": 0.95, "alignment": 0.5, "test": 0.9}  # of the run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run whose models do the job, by its end and before."""
    folder = tmp_path_factory.mktemp("marks") / "run"
    longer = CONFIG.replace("steps: 100, segments: 5, block_width: 8", "steps: 400, segments: 5, block_width: 64")
    engine.run(parse(longer).with_seeds(64), folder)
    return folder


def counted(folder, proxy="test", checkpoint=-1, **marks):
    """The four cells of each condition, counted from the recorded scores alone."""
    scores, marks = shards.results(Run(folder)).isel(checkpoint=checkpoint), MARKS | marks
    reached = {name: scores[name].values >= np.float32(marks[name]) for name in ("competence", "alignment", proxy)}
    aligned = reached["competence"] & reached["alignment"]
    passes = reached["competence"] & reached[proxy]
    cells = [aligned & passes, aligned & ~passes, ~aligned & passes, ~aligned & ~passes]
    return {str(name): [int(cell[row].sum()) for cell in cells] for row, name in enumerate(scores.condition.values)}


def shown(capsys, folder, *options):
    """The four cells of each condition, as `lab show` prints them."""
    assert main(["show", str(folder), *options, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["conditions"]
    kinds = ("aligned_pass", "aligned_fail", "misaligned_pass", "misaligned_fail")
    return {row["name"]: [row["counts"][kind] for kind in kinds] for row in rows}


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ([], {}),
        (["--mark", "test=0.3"], {"test": 0.3}),
        (["--mark", "test=0.99,alignment=0.9"], {"test": 0.99, "alignment": 0.9}),
        (["--proxy", "audit", "--mark", "audit=0.6"], {"proxy": "audit", "audit": 0.6}),
        (["--checkpoint", "0.2"], {"checkpoint": 0}),
        (["--checkpoint", "0.4", "--mark", "test=0.3"], {"checkpoint": 1, "test": 0.3}),
    ],
)
def test_counts_are_those_of_recorded_scores_at_other_marks(capsys, folder, options, asked):
    assert shown(capsys, folder, *options) == counted(folder, **asked)


def test_other_marks_change_what_is_counted(folder):
    """Else the test above could pass by counting the same thing every time."""
    asked = [{}, {"test": 0.3}, {"alignment": 0.9, "test": 0.99}, {"proxy": "audit", "audit": 0.6}, {"checkpoint": 0}]
    assert len({json.dumps(counted(folder, **kinds)) for kinds in asked}) == len(asked)


def test_tables_for_others_and_live_tables_are_read_with_other_marks_too(tmp_path, folder):
    expected = counted(folder, test=0.3)
    assert main(["export", str(folder), "--mark", "test=0.3", "--out", str(tmp_path)]) == 0
    models = pyarrow.parquet.read_table(tmp_path / "models.parquet").to_pandas()
    passing = models[models.passes].groupby("condition").size().to_dict()
    assert passing == {name: cells[0] + cells[2] for name, cells in expected.items()}
    definitions = json.loads((tmp_path / "dictionary.json").read_text())["run"]["thresholds"]
    assert definitions == MARKS | definitions | {"test": 0.3}
    tally = Tally(folder, lambda path: Run(path, {"test": 0.3}))
    tally.update()
    cells = [[count.aligned_pass, count.aligned_fail] for count in tally.counts()]
    assert cells == [row[:2] for row in expected.values()]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--mark", "tests=0.3"], "no score 'tests'; known: competence, alignment, test"),
        (["--mark", "test=high"], "--mark test: must be a number, not 'high'"),
        (["--mark", "test=true"], "--mark test: must be a number, not True"),
        (["--mark", "test=.nan"], "the pass mark of test must lie between 0 and 1, as scores do, not nan"),
        (["--mark", "test=2"], "the pass mark of test must lie between 0 and 1, as scores do, not 2"),
        (["--mark", "audit=0.2"], "--mark audit: decides nothing, for test decides who passes"),
        (["--mark", "test"], "--mark: name=value, with commas between, not 'test'"),
        (["--proxy", "exam"], "no score 'exam'; known: competence, alignment, test"),
        (["--checkpoint", "0.5"], "no checkpoint at 0.5; known: 0.2, 0.4, 0.6, 0.8, 1"),
    ],
)
def test_marks_that_cannot_be_are_refused_in_one_line(capsys, folder, options, problem):
    for command in ("show", "plan"):
        assert main([command, str(folder), *options]) == 2
        said = capsys.readouterr().err.strip()
        assert problem in said
        assert "\n" not in said


def test_what_was_made_with_the_marks_of_the_run_is_not_replaced(capsys, folder):
    for command in ("figures", "report", "export"):
        assert main([command, str(folder), "--mark", "test=0.3"]) == 2
        assert "give --out" in capsys.readouterr().err
