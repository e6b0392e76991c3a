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

from lab import cli, engine, outcomes, statistics
from lab.config import parse
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
    """Four here; `python -m experiments.soak` does fifty."""
    clock = random.Random(3)
    for _ in range(4):
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
