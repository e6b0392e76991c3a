"""What must not break a run: damaged and foreign files, other surroundings, populations of one kind alone."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from lab import cli, decision, engine, outcomes, statistics
from lab.config import parse
from lab.source import ConfigError
from lab.store import FORMAT, Run, StoreError, _digest

CONFIG = """
name: faults
task: race
seeds: 32
training: {steps: 100, segments: 5, block_width: 8}
regimens:
  hold_out: [{until: 1}]
  late: [{until: 0.6}, {until: 1, weights: {test: 1}}]
"""
CHILD = "import sys; from lab import cli; sys.exit(cli.main(['run', 'config.yaml', '--out', sys.argv[1]]))"


def content(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".lock"))
    return {path.name: path.read_bytes() for path in files if path.parent.name != "figures"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    engine.run(parse(CONFIG), folder)
    return folder


def child(place, folder, before="true", **options):
    """Start `lab run` in a process of its own, after a command of the shell."""
    (place / "config.yaml").write_text(CONFIG)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **options.pop("env", {})}
    return subprocess.Popen(
        ["bash", "-c", f'{before}; exec "$@"', "-", sys.executable, "-c", CHILD, folder],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_any_flipped_bit_of_a_shard_is_seen(whole, tmp_path):
    """400 bits at random places and the first 64 bytes, which are the header of the file."""
    run, source = Run(whole), next(iter(Run(whole).shards().values()))
    data, places = source.read_bytes(), random.Random(0)
    spoilt = tmp_path / source.name
    bits = [*range(0, 512, 8), *(places.randrange(8 * len(data)) for _ in range(400))]
    for bit in bits:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        spoilt.write_bytes(changed)
        with pytest.raises(ValueError, match="do not fit its checksum"):
            run.read(spoilt)
    for size in (0, 1, len(data) // 2, len(data) - 1):
        spoilt.write_bytes(data[:size])
        with pytest.raises(ValueError, match="do not fit its checksum"):
            run.read(spoilt)


def forged(folder, key, write):
    """A shard whose checksum is right and whose content is somebody else's."""
    place = folder / "forged.nc"
    with h5py.File(place, "w") as file:
        write(file)
    data = place.read_bytes()
    place.unlink()
    path = folder / "shards" / f"c{key[0]:04d}-s{key[1]:08d}.{hashlib.sha256(data).hexdigest()}.nc"
    path.write_bytes(data)
    return path


def test_objects_in_a_shard_are_refused_and_nothing_runs(tmp_path):
    folder = tmp_path / "run"
    run = engine.run(parse(CONFIG), folder)
    old = run.shards()[0, 0]
    old.unlink()

    def write(file):
        for name, value in {"run": run.manifest["hash"], "leaf": np.array([0]), "first_seed": np.array([0])}.items():
            file.attrs[name] = value
        file["alignment"] = [b"cos\nsystem\n(S'touch ran'\ntR."]

    path = forged(folder, (0, 0), write)
    with pytest.raises(StoreError, match="holds alignment, which is not numbers"):
        run.read(path)
    with pytest.raises(StoreError, match="not numbers"):
        engine.run(parse(CONFIG), folder)


@pytest.mark.parametrize("version", [FORMAT - 1, FORMAT + 1])
def test_another_format_is_refused_naming_both(whole, tmp_path, version):
    folder = tmp_path / "run"
    folder.mkdir()
    manifest = {**Run(whole).manifest, "format": version}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": _digest(manifest)}))
    with pytest.raises(StoreError, match=rf"format {version}, this lab reads format {FORMAT}"):
        Run(folder)


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
    """Three here; `python -m experiments.soak` does fifty."""
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
    counts = statistics.counts(outcomes.results(Run(tmp_path / "run")), "hold_out")
    assert {name: getattr(counts, name) for name in expected} == expected


def test_partial_data_is_refused_unless_asked_for_and_then_said_everywhere(tmp_path, whole, capsys):
    (tmp_path / "config.yaml").write_text(CONFIG)
    folder = tmp_path / "run"
    engine.run(parse(CONFIG), folder)
    lost = [Run(folder).shards()[key] for key in ((0, 8), (1, 8), (1, 24))]
    for path in lost:
        path.unlink()
    commands = [["show"], ["compare"], ["plan"], ["gates"], ["figures"]]
    for command in commands:
        assert cli.main([*command, str(folder)]) == 1
        assert "3 of 8 shards are missing" in capsys.readouterr().err
    plain = outcomes.results(Run(whole))
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
        "import jax, resource; from lab import cli, engine; engine.use_all_cores(); jax.devices(); "
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
    for key in shards:
        if key[0] == 0:
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
            act(outcomes.results(Run(folder), last_only=True))
    with pytest.raises(ConfigError, match=r"stop\.of: base_rate takes the truth"):
        parse(gated + "stop: {of: base_rate, width: 0.1}\n")
    with pytest.raises(ConfigError, match=r"stop\.of: likelihood_ratio takes the truth"):
        parse(gated).with_stop(of="likelihood_ratio", width=0.1)
    parse(gated + "stop: {of: pass_rate, width: 0.1}\n")
