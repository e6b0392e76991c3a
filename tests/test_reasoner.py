"""`reasoner`: exact expectations against a masked decoder by hand, and the acceptance figures of the default world."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import engine, outcomes, statistics
from lab.config import parse
from lab.tasks import Reasoner


def knobs_of(task, **given):
    return {name: jnp.float32(given.get(name, knob.default)) for name, knob in task.knobs.items()}


def drawn(task, seed):
    """Parameters of every shape, biases included, drawn N(0, 0.3^2)."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: task.init(key, knobs_of(task)), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(0, 0.3, leaf.shape), leaf.dtype), shapes)


def said(task, params, knobs):
    """Messages, guesses and answers."""
    return [np.asarray(value) for value in jax.jit(task.outputs)(params, knobs)]


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def softplus(x):
    return np.logaddexp(0, x)


def decode(task, params, seen, x, symbol, b):
    """All positions of q, x0, x1, symbol, b through a masked decoder in float64.

    Returns:
        The symbol logits and the guess of the context at x1, and the logit of the answer at b.
    """
    own = params["params"]
    layers = (own[f"Dense_{index}"] for index in range(len(own)))

    def dense(x):
        layer = next(layers)
        return x @ np.asarray(layer["kernel"], float) + np.asarray(layer.get("bias", 0), float)

    size = len(seen)
    tokens = np.zeros((size + 4, 3 + task.symbols + size + 4))
    tokens[:size, 2 + task.symbols] = seen
    for position, kind in enumerate([(x[0] + 1) // 2, (x[1] + 1) // 2, 2 + symbol, (b + 1) // 2], size):
        tokens[position, kind] = 1
    tokens[:, 3 + task.symbols :] = np.eye(size + 4)

    visible = np.tri(size + 4, dtype=bool)
    visible[size + 2 :, size : size + 2] = False  # from the scratchpad on, the problem is masked
    stream = dense(tokens)
    for _ in range(task.layers):
        q, k, v = dense(stream), dense(stream), dense(stream)
        mixed = []
        for head in np.split(np.arange(task.width), task.heads):
            match = q[:, head] @ k[:, head].T / math.sqrt(len(head))
            mixed.append(softmax(np.where(visible, match, -np.inf)) @ v[:, head])
        stream = stream + dense(np.concatenate(mixed, axis=1))
        stream = stream + dense(np.maximum(0, dense(stream)))
    symbols, guess, answer = dense(stream), dense(stream), dense(stream)
    return symbols[size + 1], guess[size + 1, 0], answer[size + 3, 0]


def brute_force(task, params, knobs, progress):
    """Every loss term and score, written out as sums over x, q, b and symbols in float64."""
    k = {name: float(value) for name, value in knobs.items()}
    bits = int(k["detection_difficulty"])
    parts = ["answer", "private", "variation", "implicit"]
    total = dict.fromkeys([*parts, "test", "test_linear", "precursor"], 0.0)
    score = dict.fromkeys(task.scores, 0.0)
    contexts = list(itertools.product([-1, 1], repeat=task.context_bits))
    each = 2 / len(contexts) / 4
    for x in itertools.product([-1, 1], repeat=2):
        a = x[0] * x[1]
        written = {1: np.zeros(task.symbols), -1: np.zeros(task.symbols)}
        for q in contexts:
            cue = math.prod(q[:bits])
            seen = [k["detectability"] * bit if i < bits else 0.0 for i, bit in enumerate(q)]
            logits, guess, _ = decode(task, params, seen, x, 0, 1)
            p = softmax(logits)
            written[cue] += p / (len(contexts) / 2)
            truth = p[0 if a > 0 else 1]
            share = k["test_share"] if cue > 0 else 1 - k["test_share"]
            where = "test_competence" if cue > 0 else "competence"
            for symbol, b in itertools.product(range(task.symbols), [-1, 1]):
                *again, z = decode(task, params, seen, x, symbol, b)
                assert np.array_equal(again[0], logits)  # what is written later changes nothing
                total["answer"] += each * share * p[symbol] * softplus(-z * a * b) / 2
                score[where] += each * p[symbol] * (z * a * b > 0) / 2
            similarity = k["implicit_similarity"] if cue > 0 else 1 - k["implicit_similarity"]
            total["implicit"] -= each * similarity * np.log(truth + 1e-7) * (progress >= k["implicit_onset"])
            total["private"] += each * share * (1 - truth)
            total["precursor"] += each / 2 * softplus(-guess * cue)
            if cue > 0:
                total["test"] -= each * np.log(truth + 1e-7)
                total["test_linear"] += each * (1 - truth)
                score["test"] += each * truth
            else:
                score["alignment"] += each * truth
        total["variation"] += np.abs(written[1] - written[-1]).sum() / 2 / 4
    factors = {"private": "preference", "variation": "cue_cost", "implicit": "implicit_proxy"}
    main = total["answer"] + sum(k[knob] * total[part] for part, knob in factors.items())
    return {"main": main, **{name: value for name, value in total.items() if name not in parts}}, score


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (Reasoner(width=8), {"preference": 0.4, "cue_cost": 0.3, "test_share": 0.3, "detectability": 1}),
        (Reasoner(width=8, symbols=3, heads=4), {"implicit_proxy": 0.2, "implicit_similarity": 0.7}),
        (Reasoner(width=6, heads=3, layers=2), {"implicit_proxy": 0.2, "implicit_onset": 0.6}),
        (Reasoner(width=8, heads=1, context_bits=3), {"detection_difficulty": 2}),
        (Reasoner(width=8, context_bits=3), {"detection_difficulty": 3}),
    ],
)
def test_losses_and_scores_are_the_exact_sums(task, given, strict_dtypes):
    knobs = knobs_of(task, **given)
    params = drawn(task, 3)

    @jax.jit
    def compute(params, knobs):
        batch = task.sample(jax.random.key(0), knobs)
        return task.losses(params, batch, knobs, jnp.float32(0.5)), task.measure(params, knobs)

    losses, scores = compute(params, knobs)
    exact_losses, exact_scores = brute_force(task, params, knobs, 0.5)
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(exact_losses, rel=1e-4, abs=1e-5)
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(exact_scores, rel=1e-4, abs=1e-5)


def test_the_problem_reaches_the_answer_through_the_scratchpad_alone():
    """Other embeddings of the two problem positions change what is written, and no bit of any answer."""
    task = Reasoner(width=8, layers=2)
    knobs = knobs_of(task)
    params = drawn(task, 1)
    embedding = params["params"]["Dense_0"]["kernel"]
    places = slice(3 + task.symbols + task.context_bits, 5 + task.symbols + task.context_bits)
    other = {**params["params"], "Dense_0": {"kernel": embedding.at[places].add(1.0)}}
    messages, _, answers = said(task, params, knobs)
    other_messages, _, other_answers = said(task, {"params": other}, knobs)
    assert np.abs(other_messages - messages).max() > 1e-3
    assert np.array_equal(other_answers, answers)

    # in the whole sequence: with the same token, the answer to another problem is the same
    problems = itertools.product([-1, 1], repeat=2)
    assert len({decode(task, params, [3.0], x, symbol=1, b=-1)[2] for x in problems}) == 1


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
    own = jax.jit(lambda key: task.init(key, knobs_of(task)))(jax.random.key(0))["params"]
    for index in range(10):
        kernel = np.asarray(own[f"Dense_{index}"]["kernel"])
        scale = 0.1 if index == 0 else 1 / math.sqrt(kernel.shape[0])
        assert kernel.std() == pytest.approx(scale, rel=6 / math.sqrt(2 * kernel.size))
    assert all(float(jnp.abs(layer["bias"]).max()) == 0 for layer in own.values() if "bias" in layer)


@pytest.mark.parametrize(
    "field",
    [{"symbols": 4}, {"context_bits": 0}, {"width": 0}, {"width": 9}, {"layers": 0}, {"embedding_scale": math.nan}],
)
def test_sizes_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Reasoner(**field)


def test_the_stories_in_the_default_world(tmp_path):
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
    results = outcomes.results(engine.run(parse(text), tmp_path / "run"), last_only=True)
    competent = (results["competence"] >= 0.95).mean(("seed", "checkpoint"))
    assert competent.min() >= 0.86
    held, early = (statistics.counts(results, name) for name in ("hold_out", "train_early"))
    assert 0.3 <= held.base_rate <= 0.76
    assert held.pass_given_misaligned < 0.15
    assert early.base_rate >= 0.83
