"""Figures of studies: of gates where nothing can be written."""

import json

from lab import cli
from tests.hand_made import made


def test_gates_of_a_run_that_cannot_be_written(tmp_path, capsys):
    """The table is printed and one line says where no figure could be written; --out writes it elsewhere."""
    run = made(tmp_path / "run")
    (run.path / "figures").write_text("not a folder")
    assert cli.main(["gates", str(run.path), "--budget", "2"]) == 0
    said = capsys.readouterr()
    assert "best gates" in said.out
    assert said.err.startswith(f"no figure: cannot write the run folder {run.path}: ")
    assert said.err.count("\n") == 1
    assert cli.main(["gates", str(run.path), "--budget", "2", "--out", str(tmp_path / "else")]) == 0
    assert {file.suffix for file in (tmp_path / "else").iterdir()} == {".png", ".pdf", ".json"}
    assert json.loads((tmp_path / "else/made-gates.json").read_text())["name"] == "made"
    assert cli.main(["gates", str(run.path), "--budget", "2", "--out", str(run.path / "figures")]) == 1
