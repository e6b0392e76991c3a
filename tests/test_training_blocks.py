"""Blocks of lanes along a tree: what is shared is trained once, and lanes that gates stop make room."""

import re

import jax
import numpy as np
import pytest

from lab.config.experiment import load, parse
from lab.results import shards, summary
from lab.results.store import Run, StoreError
from lab.training import distributed, engine, population, tree
from lab.training.blocks import Blocks, Lanes
from tests.acting import acting
from tests.races import only, race, scores
from tests.stored_runs import content


def test_a_shared_prefix_is_trained_once_and_equals_the_full_run(tmp_path, monkeypatch):
    experiment = race(16)
    root = tree.plan(experiment)
    assert root.leaves == set(experiment.leaves) and len(root.leaves) == 2
    depths, level = [], [root]
    while level := [child for node in level for child in node.children.values()]:
        depths.append(len(level))
    assert depths == [1] * 5 + [2] * 5
    forked = scores(experiment, tmp_path / "forked")
    for index in range(len(experiment.conditions)):
        alone = scores(only(experiment, index), tmp_path / f"full{index}")
        for name in alone.data_vars:
            assert np.array_equal(alone[name].values[0], forked[name].values[index])


GATED = """
name: gated
task: race
seeds: {first: 3, count: 37}
training: {steps: 1000, segments: 10, block_width: 8}
regimens:
  hold_out: [{until: 1}]
  gated: [{until: 0.3, gates: {test: 0.5}}, {until: 0.6, gates: {test: 0.8}}, {until: 1}]
  late: [{until: 0.3, gates: {test: 0.05}}, {until: 0.5, gates: {test: 0.5}}, {until: 1, weights: {test: 1}}]
  strict: [{until: 0.1, weights: {control: 1}, gates: {test: 1}}, {until: 1, weights: {test: 1}}]
"""


def test_what_is_done_is_told_from_when_all_is_compiled_on(tmp_path, monkeypatch):
    """Two programs. Blocks of 4 lanes each: 40 steps for both regimens, then 60 for one and 60 for the other."""
    only, events = jax.devices()[:1], []
    monkeypatch.setattr(engine.jax, "devices", lambda: only)
    own = population.compiled

    def compiled(*arguments):
        program = own(*arguments)
        events.append("compiled")
        return program

    monkeypatch.setattr(population, "compiled", compiled)
    text = (
        "name: told\ntask: race\nseeds: 4\ntraining: {steps: 100, segments: 5, block_width: 4}\n"
        "regimens: {hold_out: [{until: 1}], late: [{until: 0.4}, {until: 1, weights: {test: 1}}]}\n"
    )
    engine.run(parse(text), tmp_path / "run", progress=lambda done, total: events.append((done, total)))
    steps = [0, 160, 400, 640]
    assert events == ["compiled", "compiled", *((done, 640) for done in steps)]


def test_lanes_that_a_gate_stops_free_their_place_and_change_nothing_else(tmp_path, monkeypatch):
    """Without `stop_rejected` every run goes on and is judged afterwards: survivors and costs must agree with that."""
    only = jax.devices()[:1]
    monkeypatch.setattr(engine.jax, "devices", lambda: only)
    after = shards.results(engine.run(parse(GATED), tmp_path / "after"))
    marks = []
    stopping = parse(GATED + "stop_rejected: true\n")
    stored = engine.run(stopping, tmp_path / "stopped", progress=lambda done, total: marks.append((done, total)))
    stopped = shards.results(stored)
    survives = after.survives.values
    assert 0 < survives[1].sum() < 37
    assert 0 < survives[2].sum() < 37
    assert not survives[3].any()
    np.testing.assert_array_equal(stopped.survives.values, survives)
    np.testing.assert_array_equal(stopped.spent.values, after.spent.values)
    # hold_out and gated are one leaf, and hold_out needs it whole
    hold_out, gated, late, strict = (condition["leaf"] for condition in stored.manifest["conditions"])
    assert hold_out == gated and len({gated, late, strict}) == 3
    for name in after.data_vars:
        one, other = stopped[name].values, after[name].values
        np.testing.assert_array_equal(one[:2], other[:2])
        trained = after.checkpoint.values <= after.spent.values[2:, :, None] + 1e-9
        np.testing.assert_array_equal(one[2:], np.where(trained, other[2:], np.nan))
    # blocks of 8 lanes: hold_out to the end; from 0.5 on only survivors of late; nobody of strict after 0.1, where late
    # shares the common beginning of hold_out
    survivors = -(-int(survives[2].sum()) // 8) * 8
    assert marks[-1][0] == 40 * 1000 + survivors * 500 + 40 * 100
    assert marks[0][0] == 0
    late, strict = summary.summarise(stopped)[2:]
    known = summary.summarise(after)[2]
    assert late.counts.unjudged == 37 - survives[2].sum()
    assert late.estimates["posterior_odds"] == known.estimates["posterior_odds"]
    assert late.estimates["expected_runs"] == known.estimates["expected_runs"]
    assert late.compute == known.compute
    assert np.isnan(late.estimates["base_rate"].value)
    assert late.estimates["base_rate"][1:] == (0, 1)
    assert late.impact.net[1:] == known.impact.net[1:]
    assert np.isnan(late.impact.likelihood_ratio.value)
    assert strict.counts.unjudged == 37


def test_a_run_whose_lanes_stop_gives_the_same_bytes_after_a_break_and_the_same_races_on_one_device(
    tmp_path, monkeypatch
):
    stopping = parse(GATED + "stop_rejected: true\n")
    engine.run(stopping, tmp_path / "whole")
    for path in list((tmp_path / "whole" / "shards").glob("*.nc"))[::3]:
        (tmp_path / "run" / "shards").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / "shards" / path.name).write_bytes(path.read_bytes())
    engine.run(stopping, tmp_path / "run")
    assert content(tmp_path / "run") == content(tmp_path / "whole")
    only = jax.devices()[:1]
    monkeypatch.setattr(engine.jax, "devices", lambda: only)
    assert scores(stopping, tmp_path / "alone").equals(shards.results(Run(tmp_path / "whole")))


def test_lane_steps_of_a_call_count_what_is_shared_once():
    """100 steps each, of which the first 50 are shared, in 8 lanes."""
    experiment = race(16)
    made = Blocks(experiment, 8, jax.devices()[:1])
    hold_out, late = experiment.leaves
    assert made.steps(frozenset([hold_out])) == made.steps(frozenset([late])) == 100 * 8
    assert made.steps(frozenset([hold_out, late])) == 150 * 8
    assert made.steps(frozenset()) == 0


def test_a_lane_is_needed_until_every_condition_of_its_leaf_has_rejected_it():
    """Three lanes whose test score is 1, .6 and .2 at the ends of the first three segments."""
    experiment = parse(GATED + "stop_rejected: true\n")
    made = Blocks(experiment, 8, jax.devices()[:1])
    hold_out, gated, late, strict = experiment.leaves
    assert hold_out == gated
    table = np.zeros((3, 3, len(made.scores)), np.float32)
    table[:, :, made.scores.index("test")] = np.array([[1], [0.6], [0.2]])
    lanes = Lanes(np.arange(3), np.ones(3, bool), None, [table])
    assert made.still_needed(strict, 0, lanes).tolist() == [True, True, True]  # no gate yet
    assert made.still_needed(strict, 1, lanes).tolist() == [True, False, False]  # test at least 1
    assert made.still_needed(late, 3, lanes).tolist() == [True, True, True]  # at least .05
    assert made.still_needed(gated, 3, lanes).tolist() == [True, True, True]  # holding out needs all of them


@pytest.mark.parametrize("more", ["", "stop_rejected: true\n"])
def test_what_a_task_keeps_is_forked_and_gathered_with_the_lanes(tmp_path, quick_to_compile, more):
    """At every checkpoint, of every condition, the counter is the number of the step."""
    experiment = acting(tmp_path, more)
    results = scores(experiment, tmp_path / "run")
    assert results.competence.dims == ("condition", "seed", "checkpoint")
    expected = np.broadcast_to(np.float32([2, 4, 6, 8]) / np.float32(1000), results.competence.shape)
    trained = np.ones(expected.shape, bool)
    if more:
        survives = results.survives.values[2]
        assert 0 < survives.sum() < 13
        trained[2, ~survives, 2:] = False
    np.testing.assert_array_equal(results.competence.values, np.where(trained, expected, np.nan))
    np.testing.assert_array_equal(
        results.alignment.values, np.where(trained, np.float32([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8]), np.nan)
    )
    # a seed is measured by the same key everywhere, and by another than other seeds
    draws = results.test.values[0, :, 0]
    np.testing.assert_array_equal(results.test.values, np.where(trained, draws[:, None], np.nan))
    assert len(set(draws.tolist())) == 13


def test_a_task_with_a_state_gives_the_same_bytes_by_workers_and_after_a_break(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where workers look for its file
    experiment = acting(tmp_path)
    engine.run(experiment, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    (tmp_path / "broken" / "shards").mkdir(parents=True)
    for path in list((tmp_path / "whole" / "shards").glob("*.nc"))[::2]:
        (tmp_path / "broken" / "shards" / path.name).write_bytes(path.read_bytes())
    engine.run(experiment, tmp_path / "broken")
    (tmp_path / "shared").mkdir()
    engine.prepare(experiment, tmp_path / "shared")
    for rank in (1, 0):
        distributed.work(tmp_path / "shared", rank, 2, trust_code=True)
    assert content(tmp_path / "broken") == content(tmp_path / "shared") == whole


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("sample(self, key, knobs, params, state): return ()", "must return a pair (data, new state), not a tuple"),
        ("losses(self, params, batch, knobs, progress): return {}, {}", "losses returns a pair, not a dict"),
        ("measure(self, params, knobs, seed): return {}", "measure takes (params, knobs, seed): behind its first two"),
    ],
)
def test_a_run_of_a_task_that_returns_something_else_says_so(tmp_path, quick_to_compile, method, said):
    experiment = acting(tmp_path)
    (tmp_path / "acting_here.py").write_text(
        f"from tests.acting import Acting\nclass Here(Acting):\n    def {method}\n"
    )
    experiment = load(tmp_path / "acting.yaml", trust_code=True)
    with pytest.raises(StoreError, match=re.escape(said)) as caught:
        engine.run(experiment, tmp_path / "run")
    assert str(caught.value).endswith("lab check-task says all that is wrong")
