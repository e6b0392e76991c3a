"""Runs in progress: shards made by hand, whose models have known outcomes."""

import io
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from rich.console import Console

from lab import cli, report
from lab.config.experiment import parse
from lab.results import shards
from lab.results.store import Run, StoreError, holders, lock
from lab.results.summary import summarise
from lab.results.tally import Tally
from lab.statistics import Counts, interval
from lab.training.engine import describe

CONFIG = """
name: made
task: race
seeds: {first: 100, count: 8}
training: {steps: 20, segments: 2, block_width: 4}
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.5, weights: {test: 1}}, {until: 1}]
"""
# what becomes of a model -> its competence, alignment and test at the end; marks of the race are .9 to .99
KINDS = {"ap": (1, 1, 1), "af": (1, 1, 0), "mp": (1, 0, 1), "mf": (1, 0, 0), "in": (0, 1, 1), "di": (1, np.nan, 1)}
HOLD, EARLY = ["ap", "af", "mf", "mf", "ap", "ap", "in", "di"], ["ap", "ap", "mp", "mf", "ap", "ap", "mp", "mf"]


def made(folder, text=CONFIG):
    """A run of which nothing is trained."""
    import jax

    (folder / "shards").mkdir(parents=True)
    return Run.create(folder, describe(parse(text), jax.devices()))


def put(run, index, seed, kinds):
    leaf = run.manifest["conditions"][index]["leaf"]
    names = run.manifest["scores"]
    scores = np.ones((len(kinds), 2, len(names)), np.float32)
    for row, kind in enumerate(kinds):
        for name, value in zip(("competence", "alignment", "test"), KINDS[kind], strict=True):
            scores[row, -1, names.index(name)] = value
    seeds = range(seed, seed + len(kinds))
    shards.write_shard(run, leaf, seed, shards.shard(scores, names, seeds, [0.5, 1.0]))


def printed(tally, width=200, height=60):
    console = Console(width=width, file=io.StringIO())
    console.print(report.progress_table(tally, report.progress_rows(tally, height), "so it stands", width, height))
    return console.file.getvalue()


def test_counts_of_a_run_in_progress(tmp_path):
    run = made(tmp_path / "run")
    tally = Tally(run.path)
    assert not tally.update()
    assert (tally.seeds, tally.whole) == ([(0, 8), (0, 8)], False)
    put(run, 0, 100, HOLD[:4])
    put(run, 0, 104, HOLD[4:])
    put(run, 1, 104, EARLY[4:])
    assert tally.update()
    assert tally.seeds == [(8, 8), (4, 8)]
    hold, early = tally.summaries()
    assert hold.counts == Counts(3, 1, 0, 4, incompetent=1, diverged=1)
    assert early.counts == Counts(2, 0, 1, 1)
    # on the four seeds that both have: o(A|T) = 2/0 held out, 2/1 early, so the net is -inf
    assert early.impact.net.value == -np.inf
    assert early.impact.base_rate.value == 0  # 2 of 4 each
    text = printed(tally)
    assert "12 of 16 models so far, 95% intervals; so it stands" in text
    low, high = interval(Counts(3, 1, 0, 4), "base_rate")
    assert f"0.5 [{low:.1f}, {high:.1f}]" in text
    put(run, 1, 100, EARLY[:4])
    assert tally.update()
    assert tally.whole
    whole = summarise(shards.results(Run(run.path), last_only=True))
    assert repr(tally.summaries()) == repr(whole)  # nan is not itself


def test_a_shard_is_read_once(tmp_path, monkeypatch):
    run, read = made(tmp_path / "run"), []
    tally = Tally(run.path)
    plainly = shards.read_shard
    monkeypatch.setattr(
        shards, "read_shard", lambda run, path: read.append(path.name.split(".")[0]) or plainly(run, path)
    )
    put(run, 0, 104, HOLD[4:])
    tally.update()
    put(run, 1, 100, EARLY[:4])
    put(run, 0, 100, HOLD[:4])
    tally.update(limit=0)  # one at a time, by seeds
    assert tally.behind == 1
    assert "1 stored shards not counted yet" in printed(tally)
    tally.update()
    tally.update()
    hold_out, early = (condition["leaf"] for condition in run.manifest["conditions"])
    assert read == [f"{hold_out}-s00000104", f"{hold_out}-s00000100", f"{early}-s00000100"]


def test_damage_is_said_and_counted_once_it_is_repaired(tmp_path):
    run = made(tmp_path / "run")
    put(run, 0, 100, HOLD[:4])
    (shard,) = (run.path / "shards").glob("*.nc")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    tally = Tally(run.path)
    assert not tally.update()
    assert "1 damaged shards, which `lab run` computes again" in printed(tally)
    shard.write_bytes(whole)
    assert tally.update()
    assert tally.seeds[0] == (4, 8)
    assert not tally.damaged


def test_a_shard_that_vanishes_while_it_is_read_is_no_error(tmp_path, monkeypatch):
    run = made(tmp_path / "run")
    put(run, 0, 100, HOLD[:4])
    monkeypatch.setattr(Run, "shards", lambda self: {(0, 100): self.path / "shards" / "gone.nc"})
    assert not Tally(run.path).update()


def test_a_run_that_goes_on_to_its_next_look(tmp_path):
    text = CONFIG.replace("count: 8", "count: 16") + "stop: {of: base_rate, width: 0.1, looks: 2}\n"
    run = made(tmp_path / "run", text)
    assert run.manifest["looks"] == [8, 16]
    put(run, 0, 100, HOLD[:4])
    tally = Tally(run.path)
    tally.update()
    assert tally.seeds == [(4, 8), (0, 8)]
    seeds = {**run.manifest["seeds"], "count": 16}
    leaves = [condition["leaf"] for condition in run.manifest["conditions"]]
    run = Run.create(run.path, {**run.manifest, "seeds": seeds, "leaf_seeds": dict(zip(leaves, [16, 8], strict=True))})
    put(run, 0, 112, HOLD[4:])
    assert tally.update()
    assert tally.seeds == [(8, 16), (0, 8)]
    assert tally.summaries([0])[0].counts == Counts(3, 1, 0, 4, incompetent=1, diverged=1)
    assert "8 of 16" in printed(tally)


def test_what_does_not_fit_becomes_a_line(tmp_path):
    run = made(tmp_path / "run", CONFIG + "sweep: {preference: [0, 0.1, 0.2, 0.3]}\n")
    put(run, 0, 100, HOLD[:4])
    tally = Tally(run.path)
    tally.update()
    for height in (13, 18, 40):
        for width in (80, 120, 200):
            text = printed(tally, width, height)
            lines = text.splitlines()
            assert len(lines) <= height
            assert max(map(len, lines)) <= width
            assert ("more conditions" in text) == (text.count("preference 0") < 8)
    assert "... and 6 more conditions with 0 seeds each" in printed(tally, 200, 10)


def test_time_left_is_that_of_the_pace_since_the_run_was_begun(tmp_path):
    run = made(tmp_path / "run")
    put(run, 0, 100, HOLD[:4])
    put(run, 1, 100, EARLY[:4])
    tally = Tally(run.path)
    tally.update()
    assert tally.left() is None  # nobody has ever locked it
    (run.path / ".lock").write_text("process 1 on elsewhere")
    os.utime(run.path / ".lock", (1000, 1000))
    assert tally.left() is not None
    tally.times = [900, 1030]  # one from before, one after 30 s; two are missing
    assert tally.left(now=1030) == pytest.approx(60)
    assert tally.left(now=1040) == pytest.approx(50)


def test_who_holds_a_run_is_told_without_its_lock(tmp_path):
    assert holders(tmp_path) == []
    with lock(tmp_path):
        ((owner, alive),) = holders(tmp_path)
        assert owner.startswith(f"process {os.getpid()} on ")
        assert alive
    code = "import sys; from lab.results.store import lock\nwith lock(sys.argv[1]): pass"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    ((_, alive),) = holders(tmp_path)
    assert not alive
    (tmp_path / ".lock").write_text("process 5 on another-machine")
    assert holders(tmp_path) == [("process 5 on another-machine", None)]


def test_once(tmp_path, capsys):
    run = made(tmp_path / "run")
    assert cli.main(["watch", str(run.path), "--once"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "0 of 16 models so far" in told
    assert "hold out" in told
    assert "no process seems to train it" in told
    with lock(run.path):  # which it does not wait for
        assert cli.main(["watch", str(run.path), "--once"]) == 0
    assert f"process {os.getpid()}" in capsys.readouterr().out
    (run.path / ".lock").write_text("process 5 on another-machine")
    assert cli.main(["watch", str(run.path), "--once"]) == 0
    assert "cannot be told from here" in " ".join(capsys.readouterr().out.split())
    before = sorted(path.name for path in run.path.rglob("*"))
    assert cli.main(["watch", str(tmp_path / "none")]) == 1
    assert "not a run" in capsys.readouterr().err
    (run.path / "shards" / "strange.nc").touch()
    assert cli.main(["watch", str(run.path)]) == 1
    assert "strange.nc: not a shard" in capsys.readouterr().err
    assert before == sorted(path.name for path in run.path.rglob("*") if path.name != "strange.nc")


def test_a_run_that_was_left_between_two_looks_is_not_complete(tmp_path, capsys):
    """With 8 seeds no base rate is known to within .1, and within 1 every one is."""
    for width, told in ((0.1, "no process seems to train it"), (1, "complete")):
        text = CONFIG.replace("count: 8", "count: 16") + f"stop: {{of: base_rate, width: {width}, looks: 2}}\n"
        run = made(tmp_path / f"run {width}", text)
        for leaf, kinds in enumerate((HOLD, EARLY)):
            put(run, leaf, 100, kinds[:4])
            put(run, leaf, 104, kinds[4:])
        assert cli.main(["watch", str(run.path)]) == 0
        assert told in " ".join(capsys.readouterr().out.split())


def test_it_ends_when_the_run_is_complete(tmp_path, capsys):
    run = made(tmp_path / "run")
    put(run, 0, 100, HOLD[:4])

    def trains():
        for leaf, seed, kinds in ((1, 100, EARLY[:4]), (0, 104, HOLD[4:]), (1, 104, EARLY[4:])):
            time.sleep(0.05)
            put(run, leaf, seed, kinds)

    other = threading.Thread(target=trains)
    other.start()
    assert cli.main(["watch", str(run.path)]) == 0
    other.join()
    told = " ".join(capsys.readouterr().out.split())
    assert "16 of 16 models so far, 95% intervals; complete" in told


def test_the_table_of_lab_run_changes_no_byte(tmp_path):
    """On a terminal of its own, with a table, and without."""
    (tmp_path / "made.yaml").write_text(CONFIG.replace("count: 8", "count: 64"))
    # no second between tables here, and the last one stays, so that there is one
    code = (
        "import sys; from lab import cli; from lab.cli import console, watching\n"
        "watching.SHORTEST, watching.SHARE, watching.Live.update = 0, 10**9, lambda *_: None\n"
        "for kind in ('live', 'plain'):\n"
        "    console.errors._force_terminal = kind == 'live'\n"
        "    assert cli.main(['run', 'made.yaml', '--out', kind]) == 0\n"
        "    print('the next', file=sys.stderr)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "40"},
    )  # fmt: skip
    said, bytes_of = dict(zip(("live", "plain"), child.stderr.split("the next\n"), strict=False)), {}
    for kind in said:
        files = (path for path in sorted((tmp_path / kind).rglob("*")) if path.is_file() and path.name != ".lock")
        bytes_of[kind] = {str(path.relative_to(tmp_path / kind)): path.read_bytes() for path in files}
    assert "models so far" in said["live"]
    assert "trained 100%" in said["plain"]
    assert "models so far" not in said["plain"]
    assert bytes_of["live"] == bytes_of["plain"]
    assert json.loads(bytes_of["live"]["manifest.json"])["name"] == "made"


def test_two_results_for_a_shard_end_it(tmp_path):
    run = made(tmp_path / "run")
    put(run, 0, 100, HOLD[:4])
    put(run, 0, 100, EARLY[:4])
    with pytest.raises(StoreError, match="two different results"):
        Tally(run.path).update()
