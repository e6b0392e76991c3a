"""`reasoner`: what reaches the answer, and the acceptance figures of the default world."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.config.experiment import parse
from lab.results import shards, summary
from lab.tasks import Reasoner
from lab.training import engine

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def knobs_of(task, **given):
    return {name: jnp.float32(given.get(name, knob.default)) for name, knob in task.knobs.items()}


def drawn(task, seed):
    """Parameters of every shape, biases included, drawn N(0, 0.3^2)."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: task.init(key, knobs_of(task)), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(0, 0.3, leaf.shape), leaf.dtype), shapes)


def said(task, params, knobs):
    """Messages, guesses and answers."""
    spoken = jax.jit(task.said)(params, knobs)
    return [np.asarray(value) for value in (spoken.messages, spoken.guess, spoken.answers)]


def test_the_problem_reaches_the_answer_through_the_scratchpad_alone():
    """Other embeddings of the two problem positions change what is written, and no bit of any answer."""
    task = Reasoner(width=8, layers=2)
    knobs = knobs_of(task)
    params = drawn(task, 1)
    layers = params["decoder"]["params"]
    embedding = layers["Dense_0"]["kernel"]
    places = slice(3 + task.symbols + task.context_bits, 5 + task.symbols + task.context_bits)
    other = {"params": {**layers, "Dense_0": {"kernel": embedding.at[places].add(1.0)}}}
    messages, _, answers = said(task, params, knobs)
    other_messages, _, other_answers = said(task, {**params, "decoder": other}, knobs)
    assert np.abs(other_messages - messages).max() > 1e-3
    assert np.array_equal(other_answers, answers)


def test_an_invisible_test_changes_nothing():
    """At detectability 0 the model cannot tell contexts apart, so it writes and answers alike in both."""
    task = Reasoner(context_bits=2)
    params = drawn(task, 0)
    hidden = knobs_of(task, detectability=0.0, detection_difficulty=2)
    messages, guess, answers = said(task, params, hidden)
    for value in (messages.transpose(0, 2, 1), guess, answers):
        assert np.ptp(value, axis=-1).max() < 1e-6
    assert np.ptp(said(task, params, knobs_of(task, detection_difficulty=2))[0], axis=1).max() > 1e-2
    scores = jax.jit(task.measure)(params, hidden)
    assert float(scores["test"]) == pytest.approx(float(scores["alignment"]), abs=1e-6)
    assert float(scores["test_competence"]) == pytest.approx(float(scores["competence"]), abs=1e-6)


def test_context_bits_beyond_the_difficulty_are_hidden():
    task = Reasoner(context_bits=3)
    messages, _, answers = said(task, drawn(task, 0), knobs_of(task, detection_difficulty=1))
    by_first = messages.reshape(4, 2, 4, 2)
    assert np.ptp(by_first, axis=2).max() < 1e-6 < np.ptp(by_first, axis=1).max()
    assert np.ptp(answers.reshape(2, 2, 2, 4), axis=3).max() < 1e-6


def test_initial_weights_have_the_declared_scale():
    """Embeddings 0.1, others 1 / sqrt(fan_in), biases 0: within 6 standard errors, sd / sqrt(2 draws)."""
    task = Reasoner(width=32, heads=4)
    params = jax.jit(lambda key: task.init(key, knobs_of(task)))(jax.random.key(0))
    own = [params["decoder"]["params"][f"Dense_{index}"] for index in range(7)]
    own += [params[name]["params"] for name in ("writer", "guesser", "answerer")]
    for index, layer in enumerate(own):
        kernel = np.asarray(layer["kernel"])
        scale = 0.1 if index == 0 else 1 / math.sqrt(kernel.shape[0])
        assert kernel.std() == pytest.approx(scale, rel=6 / math.sqrt(2 * kernel.size))
    assert all(float(jnp.abs(layer["bias"]).max()) == 0 for layer in own if "bias" in layer)


@pytest.mark.parametrize(
    "field",
    [{"symbols": 4}, {"context_bits": 0}, {"width": 0}, {"width": 9}, {"layers": 0}, {"embedding_scale": math.nan}],
)
def test_sizes_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Reasoner(**field)


def test_the_stories_in_the_default_world(tmp_path, quick_to_train):
    """Bands with a false alarm below 1e-6 around other seeds' figures.

    Those were: 0.98 of models competent, P(A) 0.53, P(T | not A) 0.01, and P(A) 0.97 after the early push.
    """
    text = """
name: stories
task: reasoner
seeds: {first: 7000000, count: 128}
training: {segments: [0.1, 1]}
regimens:
  hold_out: [{until: 1}]
  train_early: [{until: 0.1, weights: {test: 0.03}}, {until: 1}]
"""
    results = shards.results(engine.run(parse(text), tmp_path / "run"), last_only=True)
    competent = (results["competence"] >= 0.95).mean(("seed", "checkpoint"))
    assert competent.min() >= 0.86
    held, early = (summary.counts(results, name) for name in ("hold_out", "train_early"))
    assert 0.3 <= held.base_rate <= 0.76
    assert held.pass_given_misaligned < 0.15
    assert early.base_rate >= 0.83
