"""What must not break a run: damaged and foreign files, other surroundings, populations of one kind alone."""

import json
import os
import random
import shutil
import subprocess
import sys
import time

import pytest

from lab import cli, decision, statistics
from lab.config.experiment import parse
from lab.config.source import ConfigError
from lab.results import outcomes, shards, summary
from lab.results.store import FORMAT, Run, StoreError, _digest
from lab.training import engine
from tests.stored_runs import CHILD, CONFIG, child, content, trained


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run whose shards take no time to be looked at."""
    return trained(tmp_path_factory, 16)


# --- manifests --------------------------------------------------------------------------------------------------------


def with_manifest(folder, **changes):
    """Change a run's manifest so that its checksum is right. A change of None takes the key away."""
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changes}
    manifest = {key: value for key, value in manifest.items() if value is not None and key != "checksum"}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": _digest(manifest)}))


@pytest.mark.parametrize(("version", "said"), [(1, "1"), (FORMAT + 1, "4"), ("2", '"2"'), (True, "true"), (2.5, "2.5")])
def test_another_format_is_refused_naming_both(small, tmp_path, version, said):
    shutil.copytree(small, tmp_path / "run")
    with_manifest(tmp_path / "run", format=version)
    with pytest.raises(StoreError, match=rf"format {said}, this lab reads formats 2 and 3"):
        Run(tmp_path / "run")


CONDITION = {"name": "a", "regimen": "hold_out", "coordinates": {}, "knobs": {}, "leaf": "0" * 16}
UNTRUE = {
    "name leads out": ({"name": "../../escape"}, "name: String must match"),
    "name is absolute": ({"name": "/tmp/escape"}, "name: String must match"),
    "leaf leads out": ({"conditions": [{**CONDITION, "leaf": "../../x"}]}, "conditions.0.leaf: String must match"),
    "block of none": ({"block_width": 0}, "block_width: must be greater than or equal to 1"),
    "no config": ({"config": None}, "config: Field required"),
    "a threshold of none": ({"thresholds": {"test": None}}, "thresholds.test: must be a valid number"),
    "no threshold": ({"thresholds": {"test": 0.5}}, "thresholds: competence, alignment and the proxy need one"),
    "confidence 2": ({"confidence": 2}, "confidence: must be less than or equal to 0.9999"),
    "an unknown proxy": ({"proxy": "tset"}, "scores: none is called tset"),
    "a gate on nothing": (
        {"conditions": [{**CONDITION, "gates": [[0.2, "tset", 0.5]]}]},
        "scores: none is called tset",
    ),
    "a gate at no checkpoint": (
        {"conditions": [{**CONDITION, "gates": [[0.25, "test", 0.5]]}]},
        "a gate at 0.25, where there is no checkpoint",
    ),
    "seeds below none": ({"seeds": {"first": 0, "count": -5}}, "seeds.count: must be greater than or equal to 1"),
    "10^12 seeds": ({"seeds": {"first": 0, "count": 10**12}}, "seeds.count: must be less than or equal to 100000000"),
    "10^8 seeds twice": ({"seeds": {"first": 0, "count": 10**8}, "looks": [10**8]}, "limit of 100,000,000 runs"),
    "10^7 shards": (
        {"seeds": {"first": 0, "count": 10**7}, "looks": [10**7], "block_width": 1},
        "more than the limit of 1,000,000 shards",
    ),
    "10^6 checkpoints": ({"checkpoints": [i / 10**6 for i in range(1, 10**6 + 1)]}, "checkpoints: List must have"),
    "checkpoints that fall": ({"checkpoints": [0.2, 0.1, 1.0]}, "checkpoints: they must rise"),
    "conditions of one name": ({"conditions": [CONDITION, CONDITION]}, "conditions: two have the same name"),
    "no baseline": ({"baseline": "none"}, "baseline: no condition has that regimen"),
    "a word too much": ({"extra": 1}, "extra: Extra inputs are not permitted"),
    "seeds of no look": ({"looks": [12]}, "looks: they must rise, and the seeds so far be one of them"),
}


@pytest.mark.parametrize(("change", "problem"), UNTRUE.values(), ids=UNTRUE)
def test_an_untrue_manifest_is_refused_in_a_sentence(small, tmp_path, capsys, change, problem):
    shutil.copytree(small, tmp_path / "run")
    with_manifest(tmp_path / "run", **change)
    before = set(tmp_path.rglob("*"))
    for command in ("show", "figures"):
        assert cli.main([command, str(tmp_path / "run")]) == 1
        said = capsys.readouterr().err
        assert "not a manifest of this lab" in said
        assert problem in said
        assert len(said.splitlines()) == 1
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "", "null", "[]", '{"a": 1}', "\udcff", '{"checksum": 1, "format": {}}']
)
def test_a_manifest_that_is_none_is_damaged(small, tmp_path, text):
    shutil.copytree(small, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StoreError, match="damaged: its bytes do not fit its checksum"):
        Run(tmp_path / "run")


# --- files that are not files, and links ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["manifest", "shard", "shards"])
@pytest.mark.parametrize("kind", ["device", "pipe", "link"])
def test_only_regular_files_of_the_run_are_read(small, tmp_path, what, kind):
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    path = {"manifest": folder / "manifest.json", "shard": next((folder / "shards").iterdir())}.get(what)
    path = path or folder / "shards"
    path.rename(tmp_path / "kept")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"device": "/dev/zero", "link": tmp_path / "kept"}[kind])
    if (what, kind) == ("shards", "pipe"):
        assert shards.results(Run(folder), partial=True).trained.values.sum() == 0
        return
    with pytest.raises(StoreError, match=r"a link|not a regular file"):
        shards.results(Run(folder))


def test_a_file_larger_than_any_shard_is_not_read(small, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    path = next((folder / "shards").iterdir())
    os.truncate(path, 2**40)
    with pytest.raises(StoreError, match=r"1,099,511,627,776 bytes, and such a file has at most"):
        shards.results(Run(folder))


def test_no_link_is_written_through(small, tmp_path):
    """A run that was sent here, with links where the lab is going to write."""
    folder, precious = tmp_path / "run", tmp_path / "precious"
    shutil.copytree(small, folder)
    precious.write_text("precious")
    for name in (".report.html.tmp", "report.html", ".lock", ".lock-0-of-1"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(precious)
    for inner in ("export", "figures"):
        (folder / inner).mkdir(exist_ok=True)
        for name in ("dictionary.json", ".dictionary.json.tmp", "faults.json", "faults.png", "faults-gates.json"):
            (folder / inner / name).unlink(missing_ok=True)
            (folder / inner / name).symlink_to(precious)
    for command in ("report", "export", "figures", "gates"):
        assert cli.main([command, str(folder)]) == 0
    assert cli.main(["worker", str(folder), "--rank", "0", "--of", "1"]) == 1
    with pytest.raises(StoreError, match=r"\.lock: a link"):
        engine.run(parse(CONFIG).with_seeds(16), folder)
    assert precious.read_text() == "precious"
    assert not (folder / "report.html").is_symlink()
    for inner in ("export", "figures"):
        shutil.rmtree(folder / inner)
        (tmp_path / inner).mkdir()
        (folder / inner).symlink_to(tmp_path / inner)
        assert cli.main([inner, str(folder)]) == 1
        assert not list((tmp_path / inner).iterdir())


def test_a_lock_that_a_crash_left_blocks_nobody(tmp_path, whole):
    """Its process number may belong to somebody else by now, or to another host."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").write_text(f"process {os.getpid()} on elsewhere")
    engine.run(parse(CONFIG), folder)
    assert content(folder) == content(whole)


def test_other_versions_devices_and_flags_are_refused_by_name(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    engine.run(parse(CONFIG), folder)
    honest = engine.identity
    for key, value in {"jax": "0.0.1", "device": "abacus", "xla_flags": "--xla_fast"}.items():
        monkeypatch.setattr(engine, "identity", lambda *given, key=key, value=value: {**honest(*given), key: value})
        with pytest.raises(StoreError, match=f"{key}.*{value}.*--accept-changes"):
            engine.run(parse(CONFIG), folder)


def test_surroundings_change_no_byte(tmp_path, whole):
    place = tmp_path / "a place, ü ${HOME}"
    place.mkdir()
    environment = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "DISPLAY": ""}
    done = child(place, "run ü", env=environment, umask=0o077)
    _, said = done.communicate(timeout=200)
    assert done.returncode == 0, said
    shards = {name: data for name, data in content(whole).items() if name.endswith(".nc")}
    assert {name: data for name, data in content(place / "run ü").items() if name.endswith(".nc")} == shards


@pytest.mark.parametrize("kibibytes", [1, 8])
def test_a_disk_that_fills_up_is_named_and_gone_on_with(tmp_path, whole, kibibytes):
    """Files may not grow beyond a number of KiB: the manifest fits, or it does not, and no shard does."""
    done = child(tmp_path, "run", before=f"ulimit -f {kibibytes}")
    _, said = done.communicate(timeout=200)
    assert done.returncode == 1
    assert "no room to write" in said
    assert "Traceback" not in said
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert left == ({".lock"} if kibibytes == 1 else {".lock", "manifest.json"})
    engine.run(parse(CONFIG), tmp_path / "run")
    assert content(tmp_path / "run") == content(whole)


def test_kills_at_random_times_leave_no_trace(tmp_path, whole):
    """Three here; `python -m experiments.benchmarks.soak` does fifty."""
    clock = random.Random(3)
    for _ in range(3):
        victim = child(tmp_path, "run")
        time.sleep(clock.uniform(3, 9))
        victim.kill()
        victim.communicate()
    engine.run(parse((tmp_path / "config.yaml").read_text()), tmp_path / "run")
    assert content(tmp_path / "run") == content(whole)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("knobs: {head_start: 3}", {"base_rate": 1.0}),
        ("knobs: {head_start: -0.9}", {"base_rate": 0.0}),
        ("knobs: {head_start: 3, overseer_error: 1}", {"pass_rate": 0.0}),
        ("training: {learning_rate: 1.0e+6, steps: 100, segments: 5, block_width: 8}", {"diverged": 32}),
    ],
    ids=["all aligned", "none aligned", "none pass", "all diverge"],
)
def test_populations_of_one_kind_still_have_tables_and_figures(tmp_path, capsys, change, expected):
    text = (
        CONFIG.replace("training: {steps: 100, segments: 5, block_width: 8}\n", "") if "training" in change else CONFIG
    )
    text = text.replace("steps: 100", "steps: 1000") + change + "\n"
    (tmp_path / "config.yaml").write_text(text)
    assert cli.main(["run", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    for command in (["show", "--json"], ["compare", "--json"], ["plan", "--json"], ["gates", "--json"], ["figures"]):
        assert cli.main([command[0], str(tmp_path / "run"), *command[1:]]) == 0, command
        capsys.readouterr()
    counts = summary.counts(shards.results(Run(tmp_path / "run")), "hold_out")
    assert {name: getattr(counts, name) for name in expected} == expected


def test_partial_data_is_refused_unless_asked_for_and_then_said_everywhere(tmp_path, whole, capsys):
    (tmp_path / "config.yaml").write_text(CONFIG)
    folder = tmp_path / "run"
    engine.run(parse(CONFIG), folder)
    hold_out, late = parse(CONFIG).leaves
    lost = [Run(folder).shards()[key] for key in ((hold_out, 8), (late, 8), (late, 24))]
    for path in lost:
        path.unlink()
    commands = [["show"], ["compare"], ["plan"], ["gates"], ["figures"]]
    for command in commands:
        assert cli.main([*command, str(folder)]) == 1
        assert "3 of 8 shards are missing" in capsys.readouterr().err
    plain = shards.results(Run(whole))
    for command in commands:
        assert cli.main([*command, str(folder), "--partial"]) == 0
        assert "NOT COMPLETE: 3 of 8 shards are missing" in capsys.readouterr().out
    assert cli.main(["show", str(folder), "--partial", "--json"]) == 0
    said = capsys.readouterr()
    data = json.loads(said.out)
    assert "NOT COMPLETE" in said.err
    assert data["partial"] == "3 of 8 shards are missing"
    assert json.loads((folder / "figures" / "faults.json").read_text())["partial"] == "3 of 8 shards are missing"
    # hold_out has lost seeds 8 to 15, late these and 24 to 31
    there = [[*range(8), *range(16, 32)], [*range(8), *range(16, 24)]]
    aligned = outcomes.classify(plain)["aligned"].values
    for row, condition, seeds in zip(aligned, data["conditions"], there, strict=True):
        assert condition["counts"]["aligned_pass"] + condition["counts"]["aligned_fail"] == row[seeds].sum()
        assert sum(condition["counts"][cell] for cell in statistics.CELLS) == len(seeds)


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_compiled(tmp_path, monkeypatch):
    """As an ordinary user, whom a mode of 0500 stops; root takes the rights of one for a moment."""

    def compiled(*_):
        raise AssertionError("compiled first")

    monkeypatch.setattr(engine, "Blocks", compiled)
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            with pytest.raises(StoreError, match=r"cannot write the run folder .*locked/run: Permission denied"):
                engine.run(parse(CONFIG), tmp_path / "locked" / "run")
        finally:
            os.seteuid(0)
    else:
        with pytest.raises(StoreError, match=r"cannot write the run folder .*locked/run: Permission denied"):
            engine.run(parse(CONFIG), tmp_path / "locked" / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write the run folder .*file/run: Not a directory"):
        engine.run(parse(CONFIG), tmp_path / "file" / "run")


def test_too_little_memory_says_which_setting_to_lower(tmp_path):
    """A cap on address space that starting takes up almost all of, and a block of 4 GiB."""
    wide = CONFIG.replace("task: race", "task: {name: scratchpad, width: 256}").replace(
        "block_width: 8", "block_width: 65536"
    )
    program = CHILD.replace(
        "from lab import cli;",
        "import jax, resource; from lab import cli; from lab.training import engine; "
        "engine.use_all_cores(); jax.devices(); "
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, used + 2**31));",
    )
    (tmp_path / "config.yaml").write_text(wide)
    done = subprocess.run(
        [sys.executable, "-c", program, "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 1, done.stderr[-2000:]
    assert "lower training.block_width" in done.stderr
    assert "Traceback" not in done.stderr


def test_conditions_without_any_run_are_left_out_of_partial_results_by_name(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(CONFIG)
    folder = tmp_path / "run"
    engine.run(parse(CONFIG), folder)
    shards = Run(folder).shards()
    hold_out = Run(folder).manifest["conditions"][0]["leaf"]
    for key in shards:
        if key[0] == hold_out:
            shards[key].unlink()
    for command in (["show"], ["plan"], ["gates"], ["figures"]):
        assert cli.main([*command, str(folder), "--partial"]) == 0, command
        assert "NOT COMPLETE: 4 of 8 shards are missing; without any run: hold_out" in capsys.readouterr().out
    for path in Run(folder).shards().values():
        path.unlink()
    for command in (["show"], ["plan"], ["gates"], ["figures"]):
        assert cli.main([*command, str(folder), "--partial"]) == 1, command
        assert "8 of 8 shards are missing, and nothing is left" in capsys.readouterr().err


def test_what_takes_the_truth_about_stopped_runs_is_refused_or_left_out(tmp_path, capsys):
    gated = (
        CONFIG + "  gate: [{until: 0.6, gates: {test: 0.5}}, {until: 1, weights: {control: 1}}]\nstop_rejected: true\n"
    )
    folder = tmp_path / "run"
    engine.run(parse(gated), folder)
    for command in ("plan", "gates"):
        assert cli.main([command, str(folder)]) == 0
        said = capsys.readouterr()
        assert "gate" in said.err
        assert "left out" in said.err
    for act in (lambda results: decision.plan(results, [3]), decision.field):
        with pytest.raises(ValueError, match="gates have stopped runs of gate"):
            act(shards.results(Run(folder), last_only=True))
    with pytest.raises(ConfigError, match=r"stop\.of: base_rate takes the truth"):
        parse(gated + "stop: {of: base_rate, width: 0.1}\n")
    with pytest.raises(ConfigError, match=r"stop\.of: likelihood_ratio takes the truth"):
        parse(gated).with_stop(of="likelihood_ratio", width=0.1)
    parse(gated + "stop: {of: pass_rate, width: 0.1}\n")


# --- places that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--out", ""], ["--out="]])
def test_an_empty_name_is_refused(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert cli.main(["run", "config.yaml", *words]) == 2
    assert "--out: an empty name" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("options", [[], ["--prepare"]])
def test_nothing_is_written_among_other_files(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / ".thesis.tex.0.tmp").write_text("mine")
    assert cli.main(["run", "config.yaml", "--out", ".", *options]) == 1
    assert ". is no run and holds other files (config.yaml)" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [".thesis.tex.0.tmp", "config.yaml"]


def test_only_temporary_files_of_shards_and_manifests_are_cleaned_up(small, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    shard = next((folder / "shards").iterdir()).name
    kept = [folder / ".notes.tmp", folder / "shards" / ".x.tmp", folder / ".manifest.json.tmp"]
    gone = [folder / f".manifest.json.{'0' * 16}.tmp", folder / "shards" / f".{shard}.{'a' * 16}.tmp"]
    for path in (*kept, *gone):
        path.write_text("left")
    engine.run(parse(CONFIG).with_seeds(16), folder)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in gone)


def test_a_current_folder_that_is_gone_is_said(tmp_path, capsys):
    (tmp_path / "gone").mkdir()
    before = os.getcwd()
    os.chdir(tmp_path / "gone")
    try:
        (tmp_path / "gone").rmdir()
        assert cli.main(["doctor"]) == 1
    finally:
        os.chdir(before)
    assert capsys.readouterr().err == "the current folder is gone: go to another\n"


def test_a_report_that_may_not_have_address_space_says_so(small, tmp_path):
    shutil.copytree(small, tmp_path / "run")
    command = f"ulimit -v 4000000; exec {sys.executable} -m lab report run"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "raise its limit (ulimit -v)" in ended.stderr
    assert not (tmp_path / "run" / "report.html").exists()


def test_scores_that_memory_cannot_hold_are_refused_before_any_is_taken(small, tmp_path, monkeypatch):
    """16 seeds of two conditions at 5 checkpoints, 4 bytes a score: as many bytes as there are are enough."""
    run = Run(small)
    needed = 4 * 16 * 2 * 5 * len(run.manifest["scores"])
    monkeypatch.setattr(shards, "available_memory", lambda: needed)
    shards.results(run)
    monkeypatch.setattr(shards, "available_memory", lambda: needed - 1)
    with pytest.raises(StoreError, match=r"its scores take 0\.0 GiB of memory"):
        shards.results(run)
    shards.results(run, last_only=True)
