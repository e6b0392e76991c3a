"""Programs that are kept on disk: the bytes of what they train, and whatever may be wrong with the disk."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from lab.machine import programs, surroundings
from lab.tasks import TASKS
from lab.tasks.settings import Settings
from lab.training import population
from lab.training.population import Trainer


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where programs are kept in this test."""
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "programs"))
    return tmp_path / "programs"


@pytest.fixture
def compilations(monkeypatch):
    """One entry for each program that is compiled."""
    own, made = jax.stages.Lowered.compile, []

    def compile(lowered, *arguments, **options):
        made.append(lowered)
        return own(lowered, *arguments, **options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile)
    return made


def trained(name, width=4, devices=1):
    """All bytes of a block after 3 steps, by programs that this process has not compiled before."""
    population._programs.clear()
    task, lanes = TASKS[name](), width * devices
    knobs = np.array([knob.default for knob in task.knobs.values()], np.float32)
    weights = np.full(len(task.terms), 0.1, np.float32)
    row = Settings(weights, knobs, knobs, np.float32(0.01), np.float32(0.1), np.float32(1))
    settings = Settings(*(np.stack([leaf] * 2) for leaf in row))
    trainer = Trainer(task, task.training, width, jax.devices()[:devices], most_segments=2)
    seeds = np.arange(lanes, dtype=np.uint32)
    trainer.prepare(seeds, settings, [0, 1, 3])
    state = trainer.init(seeds, row)
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(trainer.train(seeds, settings, state, [0, 1, 3]))]


@pytest.mark.parametrize(("task", "width", "devices"), [("race", 4, 1), ("race", 3, 2), ("gridworld", 4, 1)])
def test_a_program_that_was_kept_trains_the_same_bytes_as_a_fresh_one(task, width, devices, place, compilations):
    devices = min(devices, len(jax.devices()))  # where one core is all, one device is
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(programs.VARIABLE, "")
        fresh = trained(task, width, devices)
    assert not place.exists()
    assert trained(task, width, devices) == fresh
    assert len(list(place.iterdir())) == 2
    compilations.clear()
    assert trained(task, width, devices) == fresh
    assert compilations == []


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def nonsense(_):
    return hashlib.sha256(b"no program").digest() + b"no program"


@pytest.mark.parametrize("damage", [flipped, nonsense, lambda content: content[:-1], lambda content: b""])
def test_a_damaged_program_is_compiled_again_and_kept_again(damage, place, compilations):
    fresh = trained("race")
    whole = {file: file.read_bytes() for file in place.iterdir()}
    for file, content in whole.items():
        file.write_bytes(damage(content))
    compilations.clear()
    assert trained("race") == fresh
    assert len(compilations) == 2
    compilations.clear()
    assert trained("race") == fresh
    assert compilations == []
    assert {*place.iterdir()} == {*whole}


def test_a_program_for_another_processor_or_made_by_other_options_is_not_taken(place, compilations, monkeypatch):
    trained("race")
    monkeypatch.setattr(surroundings, "instructions", lambda: "flags: fewer")
    compilations.clear()
    trained("race")
    assert len(compilations) == 2
    monkeypatch.setattr(surroundings, "COMPILED", {**surroundings.COMPILED, "xla_backend_optimization_level": 1})
    trained("race")
    assert len(compilations) == 4
    assert len(list(place.iterdir())) == 6


def a_file(place, _):
    place.write_text("")


def below_a_file(place, monkeypatch):
    place.write_text("")
    monkeypatch.setenv(programs.VARIABLE, str(place / "below"))


def anybody_may_write(place, _):
    place.mkdir()
    place.chmod(0o777)


def of_somebody_else(place, monkeypatch):
    place.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: place.stat().st_uid + 1)


@pytest.mark.parametrize("spoilt", [a_file, below_a_file, anybody_may_write, of_somebody_else])
def test_where_nothing_can_be_kept_or_trusted_there_is_nothing(spoilt, place, monkeypatch):
    spoilt(place, monkeypatch)
    programs.save("key", b"program")
    assert programs.load("key") is None


def test_a_full_disk_leaves_nothing_behind(place, monkeypatch):
    def replace(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    programs.save("key", b"program")
    assert programs.load("key") is None
    assert list(place.iterdir()) == []


def test_what_was_used_last_is_kept_and_no_other_file_is_touched(place, monkeypatch):
    """A program of 8 bytes takes 40 with its checksum: there is room for two."""
    monkeypatch.setattr(programs, "MOST", 100)
    place.mkdir(mode=0o700)
    (place / "notes.txt").write_text("mine" * 100)
    for second, key in enumerate(("one", "two"), 1):
        programs.save(key, b"12345678")
        os.utime(programs._path(key), (second, second))
    assert programs.load("one") == b"12345678"
    programs.save("three", b"12345678")
    assert [key for key in ("one", "two", "three") if programs.load(key)] == ["one", "three"]
    assert (place / "notes.txt").exists()


def test_many_may_write_one_program_at_once_and_none_reads_a_part(place):
    content = os.urandom(10**5)

    def work(_):
        programs.save("key", content)
        return programs.load("key")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(200))) == {content}
    assert len(list(place.iterdir())) == 1


def test_programs_go_where_the_user_says_or_where_the_system_has_caches(monkeypatch, tmp_path):
    monkeypatch.setattr(programs.sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for own, cache, expected in [
        ("", str(tmp_path / "cache"), None),
        ("~/here", "", tmp_path / "here"),
        (None, str(tmp_path / "cache"), tmp_path / "cache/proxy-lab"),
        (None, "", tmp_path / ".cache/proxy-lab"),
        (None, "relative", tmp_path / ".cache/proxy-lab"),
    ]:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
        if own is None:
            monkeypatch.delenv(programs.VARIABLE, raising=False)
        else:
            monkeypatch.setenv(programs.VARIABLE, own)
        assert programs.folder() == expected
    monkeypatch.setattr(programs.sys, "platform", "darwin")
    assert programs.folder() == Path(tmp_path / "Library/Caches/proxy-lab")
