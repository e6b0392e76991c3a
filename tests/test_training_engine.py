"""Identities that a run must have: who is trained beside whom, in which order and after which accident is no matter."""

import os
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from lab.config.experiment import parse
from lab.results import outcomes, shards, summary
from lab.results.store import Run, StoreError
from lab.training import blocks, engine, tree
from tests.races import RACE, only, race, scores
from tests.stored_runs import content

PAD = """
name: pad
task: {name: scratchpad, width: 8, batch: 4}
seeds: 8
training: {steps: 40, segments: 4, block_width: 4}
regimens:
  hold_out: [{until: 1}]
  late: [{until: 0.5}, {until: 1, weights: {test: 1}}]
sweep:
  preference: [-0.1, 0.1]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    engine.run(race(), folder)
    return folder


def test_a_sweep_of_twenty_conditions_compiles_once(tmp_path, monkeypatch):
    made = []
    build = blocks.Trainer
    monkeypatch.setattr(blocks, "Trainer", lambda *args: made.append(build(*args)) or made[-1])
    values = [round(0.05 * i, 2) for i in range(10)]
    text = RACE.format(seeds=4, rate=0.02) + f"sweep:\n  preference: {values}\n"
    experiment = parse(text)
    assert len(experiment.conditions) == 20
    engine.run(experiment, tmp_path / "run")
    assert [trainer.traces for trainer in made] == [1]


def test_uneven_segments_and_other_weights_compile_nothing(tmp_path, monkeypatch):
    made = []
    build = blocks.Trainer
    monkeypatch.setattr(blocks, "Trainer", lambda *args: made.append(build(*args)) or made[-1])
    text = RACE.format(seeds=4, rate=0.02).replace("segments: 10", "segments: [0.01, 0.05, 0.5, 1]")
    engine.run(parse(text), tmp_path / "run")
    assert [trainer.traces for trainer in made] == [1]


def test_the_same_program_is_compiled_once_in_a_process(tmp_path, monkeypatch):
    """Other seeds, weights and knobs are the same program; another number of steps is another one."""
    made, build = [], blocks.Trainer
    monkeypatch.setattr(blocks, "Trainer", lambda *args: made.append(build(*args)) or made[-1])
    text = RACE.format(seeds=4, rate=0.02)
    other = text.replace("test: 1", "test: 0.5").replace("seeds: 4", "seeds: {first: 9, count: 4}")
    for index, own in enumerate((text, other + "knobs: {preference: 0.1}\n", text.replace("steps: 100", "steps: 90"))):
        engine.run(parse(own), tmp_path / f"run{index}")
    first, second, third = ({id(program) for program in trainer._compiled.values()} for trainer in made)
    assert first == second
    assert len(first & third) == 1  # initial weights alone


def test_programs_that_differ_in_unused_inputs_are_not_the_same(tmp_path):
    """Rates of parts change the shape of an input that no program of `race`, which has one part, looks at twice."""
    text = RACE.format(seeds=4, rate=0.02)
    plain = scores(parse(text), tmp_path / "plain")
    same = scores(parse(text.replace("{until: 0.5}", "{until: 0.5, rates: {params: 1}}")), tmp_path / "rates")
    for name in plain.data_vars:
        assert np.array_equal(plain[name].values, same[name].values)


def test_training_on_nothing_leaves_every_model_where_it_began(tmp_path):
    text = RACE.format(seeds=4, rate=0.02).replace("test: 1", "test: 0") + "weights: {main: 0}\n"
    found = scores(parse(text), tmp_path / "run")
    for name in found.data_vars:
        assert np.array_equal(found[name].values, np.broadcast_to(found[name].values[..., :1], found[name].shape))


def test_the_first_seeds_are_a_smaller_run(tmp_path, whole):
    large = shards.results(Run(whole))
    small = scores(race(4), tmp_path / "small")
    for name in small.data_vars:
        assert np.array_equal(small[name].values, large[name].values[:, :4])


@pytest.mark.parametrize("text", [PAD, RACE.format(seeds=8, rate=0.02)], ids=["scratchpad", "race"])
def test_a_member_of_a_population_equals_the_same_run_alone(tmp_path, monkeypatch, text):
    """In the same program: terms without weight in any condition are left out of it."""
    experiment = parse(text)
    used = tree.used_terms(experiment)
    monkeypatch.setattr(blocks, "used_terms", lambda _: used)
    together = scores(experiment, tmp_path / "together")
    result = scores(only(experiment, -1).with_seeds(1, first=5), tmp_path / "alone")
    for name in result.data_vars:
        assert np.array_equal(result[name].values[0, 0], together[name].values[-1, 5])


several_devices = pytest.mark.skipif(len(jax.devices()) == 1, reason="one core is one device")


@several_devices
def test_one_device_and_all_devices_give_the_same_races(tmp_path, monkeypatch, whole):
    """XLA makes another program for one device; only a task without networks comes out of both the same."""
    only = jax.devices()[:1]
    monkeypatch.setattr(engine.jax, "devices", lambda: only)
    assert scores(race(), tmp_path / "run").equals(shards.results(Run(whole)))


@several_devices
def test_what_several_devices_began_does_not_go_on_with_one(tmp_path, monkeypatch, whole):
    shutil.copytree(whole, tmp_path / "run")
    next((tmp_path / "run" / "shards").glob("*.nc")).unlink()
    only = jax.devices()[:1]
    monkeypatch.setattr(engine.jax, "devices", lambda: only)
    with pytest.raises(StoreError, match="program: 'for several devices' then, 'for one device' now"):
        engine.run(race(), tmp_path / "run")


def test_diverged_lanes_harm_nobody_else(tmp_path):
    text = RACE.format(seeds=16, rate=0.02) + "sweep:\n  rate: {key: training.learning_rate, values: [0.02, 900000]}\n"
    mixed = scores(parse(text), tmp_path / "mixed")
    clean = scores(race(16), tmp_path / "clean")
    classified = outcomes.classify(mixed)
    assert classified["diverged"].values[2:].all()
    assert not classified["diverged"].values[:2].any()
    assert not classified["passes"].values[2:].any()
    for name in clean.data_vars:
        assert np.array_equal(clean[name].values, mixed[name].values[:2])


def test_a_run_again_is_a_no_op_and_a_lost_shard_comes_back(tmp_path, whole):
    engine.run(race(), tmp_path / "run")
    assert content(tmp_path / "run") == content(whole)
    for path in list((tmp_path / "run" / "shards").glob("*.nc"))[::3]:
        path.unlink()
    engine.run(race(), tmp_path / "run")
    assert content(tmp_path / "run") == content(whole)


def stopping(until, seeds=40, looks=4):
    """A config that stops, and a rule by which both conditions stay open until there are so many seeds."""
    return parse(RACE.format(seeds=seeds, rate=0.02) + f"stop: {{width: 0.5, looks: {looks}}}\n"), (
        lambda run: {"hold_out", "late"} if run.manifest["seeds"]["count"] < until else set()
    )


def test_training_stops_at_the_look_that_is_enough_and_pads_nothing(tmp_path, whole):
    """40 seeds at 4 looks, in blocks of 8: looks at 16, 24, 32 and 40; what was trained is what a plain run has."""
    experiment, still_open = stopping(until=24)
    run = engine.run(experiment, tmp_path / "run", still_open=still_open)
    assert run.manifest["looks"] == [16, 24, 32, 40]
    results = shards.results(run)
    assert results.sizes["seed"] == 24
    assert "trained" not in results.coords
    plain = shards.results(Run(whole)).isel(seed=slice(24))
    for name in plain.data_vars:
        np.testing.assert_array_equal(results[name].values, plain[name].values)
    with pytest.raises(ValueError, match="still_open"):
        engine.run(experiment, tmp_path / "other")


def test_only_conditions_that_still_need_seeds_get_them(tmp_path, whole):
    experiment, _ = stopping(until=0, seeds=32)  # looks at 8, 16, 24, 32

    def still_open(run):
        return {8: {"hold_out", "late"}, 16: {"late"}, 24: {"late"}}[run.manifest["seeds"]["count"]]

    run = engine.run(experiment, tmp_path / "run", still_open=still_open)
    assert run.manifest["leaf_seeds"] == dict(zip(experiment.leaves, [16, 32], strict=True))
    assert len(run.shards()) == 2 + 4
    results, plain = shards.results(run), shards.results(Run(whole))
    assert results.trained.values.sum(axis=1).tolist() == [16, 32]
    for name in plain.data_vars:
        np.testing.assert_array_equal(results[name].values[0, :16], plain[name].values[0, :16])
        np.testing.assert_array_equal(results[name].values[1], plain[name].values[1])
    assert outcomes.common(results).sizes["seed"] == 16
    by_hand = outcomes.classify(plain)
    rows = summary.summarise(results)
    assert [row.counts.seeds for row in rows] == [16, 32]
    assert [row.counts.aligned for row in rows] == [
        int(by_hand["aligned"].values[0, :16].sum()),
        int(by_hand["aligned"].values[1].sum()),
    ]
    # the comparison rests on the 16 seeds that both have
    shared = summary.compare_conditions(plain.isel(seed=slice(16)), "late", "hold_out")
    np.testing.assert_equal(rows[1].impact, shared)
    np.testing.assert_equal(summary.compare_conditions(results, "late", "hold_out"), shared)


def test_a_stopping_run_killed_and_run_again_gives_the_same_bytes(tmp_path):
    experiment, _ = stopping(until=0)

    def still_open(run):
        return {16: {"hold_out", "late"}, 24: {"late"}, 32: set()}[run.manifest["seeds"]["count"]]

    engine.run(experiment, tmp_path / "whole", still_open=still_open)
    for after in (16, 24):

        def killed(run, after=after):
            if run.manifest["seeds"]["count"] == after:
                raise KeyboardInterrupt
            return still_open(run)

        with pytest.raises(KeyboardInterrupt):
            engine.run(experiment, tmp_path / str(after), still_open=killed)
        engine.run(experiment, tmp_path / str(after), still_open=still_open)
        assert content(tmp_path / str(after)) == content(tmp_path / "whole")
    engine.run(experiment, tmp_path / "whole", still_open=still_open)
    assert content(tmp_path / "whole") == content(tmp_path / "16")


@pytest.mark.parametrize("where", ["start", "middle", "end", "cut"])
def test_a_damaged_shard_is_said_and_computed_again(tmp_path, whole, where):
    folder = tmp_path / "run"
    engine.run(race(), folder)
    path = next((folder / "shards").glob("*.nc"))
    data = bytearray(path.read_bytes())
    if where == "cut":
        data = data[:-100]
    else:
        data[{"start": 0, "middle": len(data) // 2, "end": -1}[where]] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        shards.results(Run(folder))
    said = []
    engine.run(race(), folder, say=said.append)
    assert len(said) == 1
    assert "damaged" in said[0]
    kept = {name: data for name, data in content(folder).items() if not name.endswith(".damaged")}
    assert kept == content(whole)


def test_a_shard_of_another_run_is_refused(tmp_path, whole):
    other = tmp_path / "other"
    engine.run(race(rate=0.01), other)
    path = next((other / "shards").glob("*-s00000000*"))
    mine = tmp_path / "mine"
    engine.run(race(), mine)
    lost = next((mine / "shards").glob("*-s00000000*"))
    lost.unlink()
    # under its own name, and under that of a shard of the run
    (mine / "shards" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(StoreError, match=f"{race(rate=0.01).trains}.*{race().trains}"):
        engine.run(race(), mine)
    (mine / "shards" / path.name).rename(mine / "shards" / f"{lost.name.split('.')[0]}.{path.name.split('.')[1]}.nc")
    with pytest.raises(StoreError, match=f"{race(rate=0.01).trains}.*{race().trains}"):
        engine.run(race(), mine)


def test_two_results_for_one_shard_are_an_error_and_both_stay(tmp_path):
    engine.run(race(), tmp_path / "run")
    path = next((tmp_path / "run" / "shards").glob("*.nc"))
    stem, digest, _ = path.name.split(".")
    path.with_name(f"{stem}.{digest[::-1]}.nc").write_bytes(b"other")
    with pytest.raises(StoreError, match="two different results"):
        engine.run(race(), tmp_path / "run")
    assert len(list((tmp_path / "run" / "shards").glob(f"{stem}.*"))) == 2


def test_a_folder_of_another_config_is_refused(tmp_path):
    engine.run(race(), tmp_path / "run")
    with pytest.raises(StoreError, match="training differ"):
        engine.run(race(rate=0.01), tmp_path / "run")


def test_other_code_is_refused_unless_accepted_and_recorded(tmp_path, monkeypatch):
    engine.run(race(), tmp_path / "run")
    honest = engine.identity
    monkeypatch.setattr(engine, "identity", lambda *given: {**honest(*given), "training_code": "changed"})
    with pytest.raises(StoreError, match=r"training_code.*--accept-changes"):
        engine.run(race(), tmp_path / "run")
    run = engine.run(race(), tmp_path / "run", accept_changes=True)
    assert "training_code" in run.manifest["changes"][0][0]


def test_a_second_driver_is_told_who_holds_the_run(tmp_path):
    from lab.results.store import lock

    with lock(tmp_path / "run"), pytest.raises(StoreError, match=f"process {os.getpid()}"):
        engine.run(race(), tmp_path / "run")
    engine.run(race(4), tmp_path / "run")


KILLED = """
import os, sys
from lab.config.experiment import load
from lab.training import engine

for point in sys.argv[1:]:
    if not (child := os.fork()):  # before JAX has started, which each of them does by itself
        os.environ["LAB_FAILPOINT"] = point
        engine.run(load("race.yaml"), point)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_killed_at_a_write_and_run_again_gives_the_same_bytes(tmp_path, whole):
    """The first write is the manifest; the others are shards (2 conditions x 4 blocks)."""
    points = ["before-write:1", "during-write:1", "after-rename:1", "before-write:4", "during-write:5"]
    points += ["before-rename:6", "after-rename:8"]
    (tmp_path / "race.yaml").write_text(RACE.format(seeds=32, rate=0.02))
    programs = {"PROXY_LAB_CACHE": str(tmp_path / "programs")}  # the first of them compiles
    environment = {**os.environ, **programs, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, *points]
    died = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert [int(code) for code in died.stdout.split()] == [-signal.SIGKILL] * len(points)
    for point in points:
        assert content(tmp_path / point) != content(whole), point
        engine.run(parse((tmp_path / "race.yaml").read_text()), tmp_path / point)
        assert content(tmp_path / point) == content(whole), point


def test_a_full_disk_is_named_and_nothing_half_written_stays(tmp_path, monkeypatch):
    import errno

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"no room to write .*manifest\.json.*free"):
        engine.run(race(4), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.tmp"))
    monkeypatch.undo()
    assert scores(race(4), tmp_path / "run").sizes["seed"] == 4
