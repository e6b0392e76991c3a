"""What a shard holds is what it should hold, or a sentence says what is wrong with it."""

import hashlib
import io
import random
import shutil

import h5py
import numpy as np
import pytest

from lab import cli
from lab.config.experiment import parse
from lab.results import shards
from lab.results.store import Run, StoreError
from lab.training import engine
from tests.stored_runs import CONFIG, trained


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run whose shards take no time to be looked at."""
    return trained(tmp_path_factory, 16)


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
            shards.read_shard(run, spoilt)
    for size in (0, 1, len(data) // 2, len(data) - 1):
        spoilt.write_bytes(data[:size])
        with pytest.raises(ValueError, match="do not fit its checksum"):
            shards.read_shard(run, spoilt)


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


@pytest.mark.parametrize(("changed", "problem"), STRANGE.values(), ids=STRANGE)
def test_what_a_shard_holds_is_compared_with_what_it_should_hold(small, tmp_path, changed, problem, capsys):
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    path = forged(folder, changed)
    with pytest.raises(StoreError, match=rf"{path.name}.*{problem}.*take it away"):
        shards.read_shard(Run(folder), path)
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
        shards.read_shard(Run(small), with_bytes(path, tmp_path, changes(heap)))


def test_whatever_is_wrong_in_a_shard_whose_checksum_is_right_is_said(small, tmp_path):
    """300 bytes set at random, most of them in headers; what can still be read has its labels and shapes."""
    run, chance = Run(small), random.Random(0)
    path = next(iter(run.shards().values()))
    good, size = shards.read_shard(run, path), path.stat().st_size
    for _ in range(300):
        place = chance.randrange(chance.choice((2_000, size)))
        try:
            read = shards.read_shard(run, with_bytes(path, tmp_path, {place: chance.choice((0, 1, 127, 128, 255))}))
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
    variables = {
        name: (("seed", "checkpoint"), table) for name, table in shards.read_shard(run, path).items() if table.ndim == 2
    }
    variables |= {name: ((name,), shards.read_shard(run, path)[name]) for name in ("seed", "checkpoint")}
    with pytest.raises(StoreError, match=r"no score that can be stored: test is 2, outside \[0, 1\]"):
        shards.write_shard(run, leaf, seed, variables | {"test": (("seed", "checkpoint"), 4 * HALF)})


def test_damage_is_left_out_and_said_where_partial_data_is_asked_for(small, tmp_path, capsys):
    """One shard gone, one cut short, and a file that macOS leaves beside every file on a foreign disk."""
    folder = tmp_path / "run"
    shutil.copytree(small, folder)
    late = Run(folder).manifest["conditions"][1]["leaf"]
    files = Run(folder).shards()
    files[late, 0].unlink()
    cut = files[late, 8]
    cut.write_bytes(cut.read_bytes()[:-1])
    (folder / "shards" / f"._{cut.name}").write_bytes(b"Mac OS X")
    assert cli.main(["show", str(folder)]) == 1
    assert "1 of 4 shards are missing" in capsys.readouterr().err
    assert cli.main(["show", str(folder), "--partial"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "NOT COMPLETE: 1 of 4 shards are missing and 1 of 4 shards are damaged; without any run: late" in said
    assert shards.results(Run(folder), partial=True).trained.values.sum(axis=1).tolist() == [16, 0]
