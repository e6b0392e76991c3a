"""Mirrors of a sweep: real trackers where they are installed, and one that fails in every way there is."""

import json
import os
import sqlite3
import subprocess
import sys
from importlib.util import find_spec

import pytest

from lab import cli, report
from lab.report import trackers
from lab.results.summary import Summary
from lab.statistics import Counts, compare

CONFIG = """
name: tracked
task: race
seeds: 16
training: {steps: 20, segments: 2, block_width: 8}
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.5, weights: {test: 1}}, {until: 1}]
"""
MESSAGES = [
    {
        "begin": {
            "project": "proxy-lab",
            "name": "sweep-1234",
            "config": {"hash": "1234", "jax": "0.10", "config": {"a": 1}},
        }
    },
    {"condition": "early preference=0.01", "numbers": {"seeds": 10, "base_rate": 0.4}},
    {"end": {"columns": ["condition", "P(A)"], "rows": [["early preference=0.01", "0.4 [0.2, 0.7]"]]}},
]


def fake(folder, body):
    """A wandb of our own, first on the path."""
    folder.mkdir()
    (folder / "wandb.py").write_text(
        "import json, os, time\n"
        "def note(*what):\n    open(os.environ['NOTES'], 'a').write(json.dumps(what) + chr(10))\n"
        "class Run: url = 'https://example.org/sweep'\n"
        "class Table:\n    def __init__(self, columns, data): self.both = columns, data\n"
        "def init(**options): note('init', options); return Run()\n"
        "def log(numbers):\n"
        "    note('log', {key: own.both if isinstance(own, Table) else own for key, own in numbers.items()})\n"
        "def finish(exit_code): note('finish', exit_code)\n" + body
    )
    return folder


def trained(tmp_path, body, monkeypatch, capfd, patience=600):
    """Train with a tracker whose module ends in `body`; return the exit code, stderr and what the tracker was told."""
    monkeypatch.syspath_prepend(str(fake(tmp_path / "fake", body)))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setattr(trackers, "PATIENCE", patience)
    (tmp_path / "c.yaml").write_text(CONFIG)
    code = cli.main(["run", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "run"), "--tracker", "wandb"])
    notes = (tmp_path / "notes").read_text().splitlines() if (tmp_path / "notes").exists() else []
    return code, capfd.readouterr().err, [json.loads(line) for line in notes]


def test_one_run_per_sweep_is_told_config_conditions_and_table(tmp_path, monkeypatch, capfd):
    code, said, notes = trained(tmp_path, "", monkeypatch, capfd)
    assert code == 0
    assert said.count("wandb: https://example.org/sweep") == 1
    assert [kind for kind, _ in notes] == ["init", "log", "log", "log", "finish"]
    begun = notes[0][1]
    assert (begun["project"], begun["name"], begun["config"]["folder"]) == ("proxy-lab", "run", "run")
    assert begun["config"]["jax"] == json.loads((tmp_path / "run" / "manifest.json").read_text())["identity"]["jax"]
    assert begun["config"]["config"]["seeds"]["count"] == 16
    cli.main(["show", str(tmp_path / "run"), "--json"])
    shown = {row["name"]: row for row in json.loads(capfd.readouterr().out)["conditions"]}
    told = notes[1][1] | notes[2][1]
    for name, row in shown.items():
        assert told[f"{name}/seeds"] == 16
        assert told[f"{name}/base_rate"] == row["base_rate"]["value"]
        assert told[f"{name}/base_rate_low"] == row["base_rate"]["low"]
    columns, rows = notes[3][1]["summary"]
    assert columns[:3] == ["condition", "models", "P(A)"]
    assert [row[:2] for row in rows] == [["hold_out", "16"], ["early", "16"]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def init(**_): raise OSError('no route to host')", "wandb failed (OSError: no route to host)"),
        ("def log(_): raise ValueError('quota\\nand more')", "wandb failed (ValueError: quota)"),
        ("raise RuntimeError('half installed')", "wandb failed (RuntimeError: half installed)"),
        ("def init(**_): time.sleep(600)", "wandb did not finish within 1 s and was left"),
        ("def finish(exit_code): time.sleep(600)", "wandb did not finish within 1 s and was left"),
    ],
)
def test_a_tracker_that_fails_or_hangs_hurts_nothing(tmp_path, monkeypatch, capfd, body, reason):
    """One that fails is waited for, however slow its process is."""
    code, said, _ = trained(tmp_path, body, monkeypatch, capfd, patience=1 if "sleep" in body else 600)
    assert code == 0
    assert said.count(reason) == 1
    assert "Traceback" not in said
    assert len(list((tmp_path / "run" / "shards").glob("*.nc"))) == 4


def test_a_stopped_sweep_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(fake(tmp_path / "fake", "")))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    said = []
    with pytest.raises(KeyboardInterrupt), trackers.Tracker("wandb", said.append) as tracker:
        tracker.send(**MESSAGES[0])
        raise KeyboardInterrupt
    notes = [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()]
    assert [note[0] for note in notes] == ["init", "finish"]
    assert notes[-1][1] == 1
    assert said == ["wandb: https://example.org/sweep"]


def test_what_is_not_installed_is_said_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    (tmp_path / "c.yaml").write_text(CONFIG)
    arguments = ["run", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "run"), "--tracker"]
    for kind in ("wandb", "trackio", "mlflow"):
        assert cli.main([*arguments, kind]) == 2
        assert f"pip install 'proxy-lab[{kind}]'" in capsys.readouterr().err
    assert cli.main([*arguments, "wandb", "--prepare"]) == 2
    assert "--tracker follows training" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_none_is_imported_unless_asked_for():
    code = "import sys, lab.cli; sys.exit(any(name in sys.modules for name in ('wandb', 'trackio', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_finite_numbers_are_drawn():
    first, second = Counts(4, 0, 0, 6), Counts(2, 2, 3, 3)
    row = Summary("early", "early", {}, {}, first, "hold_out", compare(first, second), None, 0.95, 0.95)
    told = report.numbers(row)
    assert told["seeds"] == 10
    assert told["base_rate"] == 0.4
    assert told["pass_given_misaligned"] == 0
    assert "likelihood_ratio" not in told  # 1 / 0
    assert told["likelihood_ratio_low"] > 1
    assert "net" not in told
    assert told["expected_runs"] == 2.5


def mirrored(kind, folder, **variables):
    """Give the messages to a real tracker, in a process of its own; return what it says."""
    child = subprocess.run(
        [sys.executable, "-m", "lab.report.trackers", kind], input="".join(json.dumps(own) + "\n" for own in MESSAGES),
        cwd=folder, capture_output=True, text=True, timeout=200,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables},
    )  # fmt: skip
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is an optional extra")
def test_mlflow(tmp_path):
    said = mirrored("mlflow", tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/ml.db")
    assert said.startswith("mlflow: run ")
    with sqlite3.connect(tmp_path / "ml.db") as base:
        ((name, status),) = base.execute("select name, status from runs").fetchall()
        parameters, metrics = (dict(base.execute(f"select key, value from {own}")) for own in ("params", "metrics"))
    assert (name, status) == ("sweep-1234", "FINISHED")
    assert parameters == {"hash": "1234", "jax": "0.10"}
    assert metrics == {"early preference_0.01/seeds": 10, "early preference_0.01/base_rate": 0.4}
    (summary,) = tmp_path.rglob("summary.json")
    assert json.loads(summary.read_text()) == MESSAGES[2]["end"]


@pytest.mark.skipif(find_spec("trackio") is None, reason="trackio is an optional extra")
def test_trackio(tmp_path):
    said = mirrored("trackio", tmp_path, TRACKIO_DIR=str(tmp_path / "trackio"))
    assert said.startswith("trackio: ")
    (file,) = (tmp_path / "trackio").glob("proxy-lab*.db")
    with sqlite3.connect(file) as base:
        logged = [json.loads(own) for (own,) in base.execute("select metrics from metrics order by id")]
    assert logged[0] == {"early preference=0.01/seeds": 10, "early preference=0.01/base_rate": 0.4}
    assert "0.4 [0.2, 0.7]" in json.dumps(logged[1]["summary"])


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is an optional extra")
def test_wandb(tmp_path):
    said = mirrored("wandb", tmp_path, WANDB_MODE="offline")
    assert said == "wandb: run sweep-1234 of project proxy-lab\n"
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    stored = file.read_bytes()
    assert b"early preference=0.01/base_rate" in stored
    assert b"sweep-1234" in stored
