"""What a phase can do besides weights: lock parts in, and reject runs at its end."""

import numpy as np
import pytest

from lab import report
from lab.config.experiment import ConfigError, parse
from lab.results import outcomes, shards, summary
from lab.studies.rejection import Gate, fates
from lab.tasks import Race, Scratchpad, Shortcut
from lab.tasks.settings import Settings, parts
from lab.training import engine
from lab.training.population import Trainer

GATED = """
name: gated
task: race
seeds: 256
knobs: {implicit_proxy: 1, implicit_onset: 0.5}
training: {segments: 10, block_width: 64}
regimens:
  plain: [{until: 1}]
  gated: [{until: 0.2, gates: {test: 0.2}}, {until: 0.5, gates: {competence: 0.5, test: 0.3}}, {until: 1}]
"""


def test_parts_are_the_top_level_keys_of_the_parameters():
    assert parts(Race()) == ("badge", "luck", "params")
    assert parts(Scratchpad()) == ("badge", "luck", "receiver", "reporter", "sender")
    assert parts(Shortcut(model="mlp")) == ("badge", "luck", "mlp")


def test_a_locked_part_keeps_its_bytes_and_a_factor_multiplies_its_steps():
    """One step of SGD without momentum: the change of a part is its factor times the change without factors."""
    task, lanes = Shortcut(), 4
    training = type(task.training)(8, "sgd", 0.1, 1.0, 0.0, {"cpu": lanes})
    names = parts(task)
    weights = np.array([1.0 if term in ("main", "control") else 0.0 for term in task.terms], np.float32)
    knobs = np.array([knob.default for knob in task.knobs.values()], np.float32)

    def stepped(rates):
        import jax

        trainer = Trainer(task, training, lanes, jax.devices()[:1])
        own = Settings(weights, knobs, knobs, np.float32(0.1), np.float32(1), np.float32(rates))
        seeds = np.arange(lanes, dtype=np.uint32)
        before = trainer.init(seeds, own)
        after, _ = trainer.train(seeds, Settings(*(np.asarray(leaf)[None] for leaf in own)), before, [0, 1])
        return (jax.tree.map(np.asarray, state.params) for state in (before, after))

    before, free = stepped([1.0] * len(names))
    rates = {"router": 0.0, "core": 0.5, "badge": 2.0}
    _, scaled = stepped([rates.get(name, 1.0) for name in names])
    for name in names:
        flat = [_leaves(tree[name]) for tree in (before, free, scaled)]
        assert flat[2] - flat[0] == pytest.approx(rates.get(name, 1.0) * (flat[1] - flat[0]), rel=1e-3, abs=1e-7)
    assert np.array_equal(_leaves(scaled["router"]), _leaves(before["router"]))
    assert not np.array_equal(_leaves(free["router"]), _leaves(before["router"]))


def _leaves(tree):
    if isinstance(tree, dict):
        return np.concatenate([_leaves(tree[key]) for key in sorted(tree)])
    return np.asarray(tree).ravel()


def test_a_sweep_of_rates_locks_in_gradually(tmp_path):
    """`all` 0 from the first step on: nothing is learned; the badge alone can be left to move."""
    text = """
name: locked
task: race
seeds: 8
weights: {control: 1}
training: {segments: [0.5, 1], block_width: 8}
regimens:
  locked: [{until: 1, rates: {all: 1}}]
sweep:
  rate: {key: "regimens.locked[0].rates.all", values: [0, 1]}
"""
    results = shards.results(engine.run(parse(text), tmp_path / "run"))
    frozen, free = (results.isel(condition=index) for index in (0, 1))
    assert np.array_equal(frozen.competence[:, 0], frozen.competence[:, 1])
    assert (free.competence[:, 1] > frozen.competence[:, 1] + 0.5).all()
    assert (free.control[:, 1] > frozen.control[:, 1]).all()


def test_gates_reject_as_recorded_scores_say(tmp_path):
    """The same runs, judged by hand from what the ungated regimen recorded."""
    results = shards.results(engine.run(parse(GATED), tmp_path / "run"))
    plain = results.isel(condition=0)
    at = {share: plain.isel(checkpoint=index) for index, share in enumerate(results.checkpoint.values.round(3))}
    first = (at[0.2].test >= np.float32(0.2)).values
    second = (at[0.5].competence >= np.float32(0.5)).values & (at[0.5].test >= np.float32(0.3)).values
    assert 0 < first.sum() < 256
    assert 0 < (first & second).sum() < first.sum()
    assert np.array_equal(results.survives.values[1], first & second)
    assert np.array_equal(results.spent.values[1], np.where(first, np.where(second, 1.0, 0.5), 0.2))
    assert results.survives.values[0].all()
    marked = outcomes.classify(results)
    assert np.array_equal(marked.passes[1], marked.passes[0] & first & second)
    assert np.array_equal(marked.aligned[1], marked.aligned[0])
    with pytest.raises(ValueError, match="gates of its own"):
        fates(results, "gated", [])
    # the same as gates laid over the ungated runs
    laid = fates(results, "plain", [Gate(0.2, 0.2), Gate(0.5, 0.5, "competence"), Gate(0.5, 0.3)])
    row = summary.summarise(results)[1]
    assert (laid.counts.aligned_pass, laid.counts.misaligned_pass) == (
        int((marked.aligned[0] & (laid.fate == 4)).sum()),
        int((~marked.aligned[0] & (laid.fate == 4)).sum()),
    )
    accepted = marked.passes.values[1].mean()
    assert row.compute.value == pytest.approx(results.spent.values[1].mean() / accepted)
    assert row.compute.low < row.compute.value < row.compute.high
    assert laid.mean_cost == pytest.approx(results.spent.values[1].mean())
    text = report.as_json(results, summary.summarise(results))["conditions"]
    assert text[1]["compute_per_accepted"]["value"] == pytest.approx(row.compute.value)


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ("{until: 1, rates: {sendr: 0}}", "rates.sendr: scratchpad has no part 'sendr'; did you mean 'sender'"),
        ("{until: 1, rates: {sender: -1}}", "rates.sender"),
        ("{until: 1, gates: {tst: 0.5}}", "gates.tst: scratchpad has no score 'tst'; did you mean 'test'"),
        ("{until: 1, gates: {test: 2}}", "gates.test"),
    ],
)
def test_wrong_parts_and_gates_are_named(phase, message):
    text = f"name: x\ntask: scratchpad\nseeds: 4\nregimens:\n  own: [{phase}]\n"
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert any(message in problem for problem in caught.value.problems)


def test_a_gate_before_training_is_refused():
    text = "name: x\ntask: race\nseeds: 4\nregimens:\n  own: [{until: 0, gates: {test: 0.5}}, {until: 1}]\n"
    with pytest.raises(ConfigError, match="nothing is measured before training"):
        parse(text)
