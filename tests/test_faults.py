"""What must not break a run: damaged and foreign files, other surroundings, populations of one kind alone."""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from lab import cli, decision, statistics
from lab.config.experiment import parse
from lab.config.source import ConfigError
from lab.results import outcomes, summary
from lab.results.store import FORMAT, Run, StoreError, _digest
from lab.training import engine

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


def forged(folder, changed):
    """Change a shard of the run in a folder so that its checksum is right; return its path.

    Args:
        folder: of a run of `CONFIG`.
        changed: function of the shard as an open HDF5 file.
    """
    (path, *_) = (path for (_, seed), path in Run(folder).shards().items() if seed == 8)
    buffer = io.BytesIO(path.read_bytes())
    with h5py.File(buffer, "r+") as file:
        changed(file)
    path.unlink()
    stem, data = path.name.split(".")[0], buffer.getvalue()
    path = path.with_name(f"{stem}.{hashlib.sha256(data).hexdigest()}.nc")
    path.write_bytes(data)
    return path


def replaced(name, value, **options):
    """Return what puts another array in the place of one of a shard."""

    def change(file):
        del file[name]
        file.create_dataset(name, data=value, **options)

    return change


def declared(file):
    """Thirty gigabytes that take no room in the file."""
    del file["test"]
    file.create_dataset("test", (8, 10**9), "<f4", chunks=(8, 10**6))


def elsewhere(file):
    """Numbers that are bytes of another file of this machine."""
    del file["test"]
    file.create_dataset("test", (8, 5), "<f4", external=[("/proc/self/exe", 4096, 160)])


def linked(file):
    del file["test"]
    file["test"] = h5py.ExternalLink("/dev/zero", "/test")


def grouped(file):
    del file["test"]
    file.create_group("test")


def virtual(file):
    del file["test"]
    layout = h5py.VirtualLayout((8, 5), "<f4")
    layout[:] = h5py.VirtualSource("/dev/zero", "test", (8, 5))
    file.create_virtual_dataset("test", layout)


HALF = np.full((8, 5), 0.5, np.float32)
STRANGE = {
    "objects": (replaced("alignment", [b"cos\nsystem\n(S'touch ran'\ntR."]), "holds alignment, which is not numbers"),
    "other seeds": (replaced("seed", np.arange(9, 17)), r"seeds are not 8, 9, \.\.\."),
    "shuffled seeds": (replaced("seed", np.arange(8, 16)[::-1].copy()), r"seeds are not 8, 9, \.\.\."),
    "shuffled checkpoints": (replaced("checkpoint", np.array([0.4, 0.2, 0.6, 0.8, 1])), "checkpoints are not those"),
    "shape": (replaced("test", HALF[:, :3]), r"holds test of shape \(8, 3\), not \(8, 5\)"),
    "more seeds": (replaced("seed", np.arange(8, 17)), r"holds seed of shape \(9,\)"),
    "small integers": (replaced("test", HALF.astype(np.int8)), "holds test, which is not numbers of type float32"),
    "doubles": (replaced("test", HALF.astype(float)), "holds test, which is not numbers of type float32"),
    "a score of 7.5": (replaced("test", 15 * HALF), r"test is 7\.5, outside \[0, 1\]"),
    "a score below 0": (replaced("test", -HALF), r"test is -0\.5, outside \[0, 1\]"),
    "a scalar": (replaced("test", np.float32(0.5)), r"holds test of shape \(\), not \(8, 5\)"),
    "no score": (lambda file: file.__delitem__("test"), "lacks test"),
    "another score": (lambda file: file.create_dataset("tset", data=HALF), "holds tset, which is none of its scores"),
    "a group": (grouped, "holds test, which is not an array"),
    "thirty gigabytes": (declared, r"holds test of shape \(8, 1000000000\)"),
    "packed": (replaced("test", HALF, chunks=(8, 5), compression="gzip"), "elsewhere or packed"),
    "another file's bytes": (elsewhere, "elsewhere or packed"),
    "another file": (linked, "lacks test"),
    "a virtual array": (virtual, "elsewhere or packed"),
    "no labels": (lambda file: file.attrs.__delitem__("maker"), "not a shard of this lab"),
    "made otherwise": (lambda file: file.attrs.__setitem__("maker", "0" * 16), "other code, versions or devices"),
    "another block": (lambda file: file.attrs.__setitem__("first_seed", [16]), "holds shard .*-s00000016"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run whose shards take no time to be looked at."""
    folder = tmp_path_factory.mktemp("small") / "run"
    engine.run(parse(CONFIG).with_seeds(16), folder)
    return folder


@pytest.mark.parametrize(("changed", "problem"), STRANGE.values(), ids=STRANGE)
def test_what_a_shard_holds_is_compared_with_what_it_should_hold(small, tmp_path, changed, problem, capsys):
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    path = forged(folder, changed)
    with pytest.raises(StoreError, match=rf"{path.name}.*{problem}.*take it away"):
        Run(folder).read(path)
    assert cli.main(["show", str(folder)]) == 1  # a sentence, no traceback
    with pytest.raises(StoreError, match=problem):
        engine.run(parse(CONFIG).with_seeds(16), folder)


def with_bytes(path, folder, changes):
    """Write a shard with other bytes at some places into a folder, its checksum made right; return its path."""
    data = bytearray(path.read_bytes())
    for place, byte in changes.items():
        data[place] = byte
    path = folder / f"{path.name.split('.')[0]}.{hashlib.sha256(data).hexdigest()}.nc"
    path.write_bytes(data)
    return path


LOOPS = {  # where a heap is -> bytes by their places
    "free space of size 0": lambda heap: {heap + 16: 0, heap + 17: 0, **dict.fromkeys(range(heap + 24, heap + 32), 0)},
    "a text that ends before it begins": lambda heap: dict.fromkeys(range(heap + 24, heap + 32), 255),
    "a heap without end": lambda heap: dict.fromkeys(range(heap + 8, heap + 16), 255),
    "sizes of four bytes": lambda _: {14: 4},
    "another beginning": lambda _: {0: 0},
}


@pytest.mark.parametrize("changes", LOOPS.values(), ids=LOOPS)
def test_texts_that_hdf5_would_follow_for_ever_are_refused(small, tmp_path, changes):
    """Places as in III.E of the format's specification: a heap has its size at 8, its first text at 16, size at 24."""
    path = next(iter(Run(small).shards().values()))
    heap = path.read_bytes().index(b"GCOL\x01")
    with pytest.raises(ValueError, match="it is not a shard"):
        Run(small).read(with_bytes(path, tmp_path, changes(heap)))


def test_whatever_is_wrong_in_a_shard_whose_checksum_is_right_is_said(small, tmp_path):
    """300 bytes set at random, most of them in headers; what can still be read has its labels and shapes."""
    run, chance = Run(small), random.Random(0)
    path = next(iter(run.shards().values()))
    good, size = run.read(path), path.stat().st_size
    for _ in range(300):
        place = chance.randrange(chance.choice((2_000, size)))
        try:
            read = run.read(with_bytes(path, tmp_path, {place: chance.choice((0, 1, 127, 128, 255))}))
        except (StoreError, ValueError):
            continue
        assert {name: table.shape for name, table in read.items()} == {
            name: table.shape for name, table in good.items()
        }
        assert all(np.array_equal(read[name], good[name]) for name in ("seed", "checkpoint"))


def test_a_score_outside_its_range_is_not_stored(small, tmp_path):
    shutil.copytree(small, tmp_path / "run")
    run = Run(tmp_path / "run")
    (leaf, seed), path = next(iter(run.shards().items()))
    variables = {name: (("seed", "checkpoint"), table) for name, table in run.read(path).items() if table.ndim == 2}
    variables |= {name: ((name,), run.read(path)[name]) for name in ("seed", "checkpoint")}
    with pytest.raises(StoreError, match=r"no score that can be stored: test is 2, outside \[0, 1\]"):
        run.write(leaf, seed, variables | {"test": (("seed", "checkpoint"), 4 * HALF)})


def test_damage_is_left_out_and_said_where_partial_data_is_asked_for(small, tmp_path, capsys):
    """One shard gone, one cut short, and a file that macOS leaves beside every file on a foreign disk."""
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    late = Run(folder).manifest["conditions"][1]["leaf"]
    shards = Run(folder).shards()
    shards[late, 0].unlink()
    cut = shards[late, 8]
    cut.write_bytes(cut.read_bytes()[:-1])
    (folder / "shards" / f"._{cut.name}").write_bytes(b"Mac OS X")
    assert cli.main(["show", str(folder)]) == 1
    assert "1 of 4 shards are missing" in capsys.readouterr().err
    assert cli.main(["show", str(folder), "--partial"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "NOT COMPLETE: 1 of 4 shards are missing and 1 of 4 shards are damaged; without any run: late" in said
    assert outcomes.results(Run(folder), partial=True).trained.values.sum(axis=1).tolist() == [16, 0]


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
        assert outcomes.results(Run(folder), partial=True).trained.values.sum() == 0
        return
    with pytest.raises(StoreError, match=r"a link|not a regular file"):
        outcomes.results(Run(folder))


def test_a_file_larger_than_any_shard_is_not_read(small, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    path = next((folder / "shards").iterdir())
    os.truncate(path, 2**40)
    with pytest.raises(StoreError, match=r"1,099,511,627,776 bytes, and such a file has at most"):
        outcomes.results(Run(folder))


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
    counts = summary.counts(outcomes.results(Run(tmp_path / "run")), "hold_out")
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
            act(outcomes.results(Run(folder), last_only=True))
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
    monkeypatch.setattr(outcomes, "available_memory", lambda: needed)
    outcomes.results(run)
    monkeypatch.setattr(outcomes, "available_memory", lambda: needed - 1)
    with pytest.raises(StoreError, match=r"its scores take 0\.0 GiB of memory"):
        outcomes.results(run)
    outcomes.results(run, last_only=True)
