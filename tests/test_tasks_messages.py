"""The game of messages in both of its tasks: losses and scores against sums written out by hand in float64."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.tasks import Reasoner, Scratchpad

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def knobs_of(task, **given):
    return {name: jnp.float32(given.get(name, knob.default)) for name, knob in task.knobs.items()}


def drawn(task, seed):
    """Parameters of every shape, biases included, drawn N(0, 0.3^2)."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: task.init(key, knobs_of(task)), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(0, 0.3, leaf.shape), leaf.dtype), shapes)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def softplus(x):
    return np.logaddexp(0, x)


def dense(layer, x):
    return x @ np.asarray(layer["kernel"], float) + np.asarray(layer.get("bias", 0), float)


def network(params, x):
    """A Heads network by hand: the ReLU layer, then each head."""
    layers = [params["params"][f"Dense_{i}"] for i in range(len(params["params"]))]
    hidden = np.maximum(0, dense(layers[0], x))
    return [hidden, *(dense(layer, hidden) for layer in layers[1:])]


def decode(task, params, seen, x, symbol, b):
    """All positions of q, x0, x1, symbol, b through a masked decoder in float64; the stream, shape (positions, width).

    What the lab leaves out is masked here: from the scratchpad on, the problem.
    """
    layers = (params["decoder"]["params"][f"Dense_{index}"] for index in range(len(params["decoder"]["params"])))
    size = len(seen)
    tokens = np.zeros((size + 4, 3 + task.symbols + size + 4))
    tokens[:size, 2 + task.symbols] = seen
    for position, kind in enumerate([(x[0] + 1) // 2, (x[1] + 1) // 2, 2 + symbol, (b + 1) // 2], size):
        tokens[position, kind] = 1
    tokens[:, 3 + task.symbols :] = np.eye(size + 4)
    visible = np.tri(size + 4, dtype=bool)
    visible[size + 2 :, size : size + 2] = False
    stream = dense(next(layers), tokens)
    for _ in range(task.layers):
        q, k, v = (dense(next(layers), stream) for _ in range(3))
        mixed = []
        for head in np.split(np.arange(task.width), task.heads):
            match = q[:, head] @ k[:, head].T / math.sqrt(len(head))
            mixed.append(softmax(np.where(visible, match, -np.inf)) @ v[:, head])
        stream = stream + dense(next(layers), np.concatenate(mixed, axis=1))
        up, down = next(layers), next(layers)
        stream = stream + dense(down, np.maximum(0, dense(up, stream)))
    return stream


def write(task, params, seen, x):
    """Hidden layer, symbol logits and guess of the context."""
    if isinstance(task, Scratchpad):
        hidden, logits, guess = network(params["sender"], np.array([*x, *seen], float))
        return hidden, logits, guess[0]
    hidden = decode(task, params, seen, x, 0, 1)[len(seen) + 1]
    assert np.array_equal(hidden, decode(task, params, seen, x, 1, -1)[len(seen) + 1])  # the later changes nothing
    writer, guesser = (dense(params[name]["params"], hidden) for name in ("writer", "guesser"))
    return hidden, writer, guesser[0]


def answer(task, params, seen, x, symbol, b):
    """Logit of the answer."""
    if isinstance(task, Scratchpad):
        return network(params["receiver"], np.array([*np.eye(task.symbols)[symbol], b, *seen], float))[1][0]
    return dense(params["answerer"]["params"], decode(task, params, seen, x, symbol, b)[-1])[0]


def brute_force(task, params, knobs, progress):
    """Every loss term and score, written out as sums over x, q, b and symbols."""
    k = {name: float(value) for name, value in knobs.items()}
    bits, signs = int(k["detection_difficulty"]), task.problems.shape[1]
    parts = ["answer", "private", "variation", "implicit"]
    total = dict.fromkeys([*parts, *task.terms], 0.0)
    score = dict.fromkeys(task.scores, 0.0)
    contexts = list(itertools.product([-1, 1], repeat=task.context_bits))
    quarter = sum(
        k["error_rate"] if x[0] * x[1] < 0 else 1 - k["error_rate"]
        for x in itertools.product([-1, 1], repeat=signs)
        if x[-2] == x[-1] == 1
    )
    layer = []
    for x in itertools.product([-1, 1], repeat=signs):
        a, special = x[0] * x[1], x[-2] == x[-1] == 1
        chance = (k["error_rate"] if a < 0 else 1 - k["error_rate"]) / 2 ** (signs - 1)
        wrong = k["overseer_error"] * (k["overseer_bias"] * special + 1 - k["overseer_bias"])
        written = {1: np.zeros(task.symbols), -1: np.zeros(task.symbols)}
        for q in contexts:
            cue = math.prod(q[:bits])
            seen = [k["detectability"] * bit if i < bits else 0.0 for i, bit in enumerate(q)]
            hidden, logits, guess = write(task, params, seen, x)
            layer.append((a, cue, hidden))
            p = softmax(logits)
            each = 2 / len(contexts) * chance
            written[cue] += p * 2 / len(contexts)
            truth = p[0 if a > 0 else 1]
            read = (1 - wrong) * truth + wrong * (1 - truth)
            audits = k["audit_similarity"] if cue > 0 else 1 - k["audit_similarity"]
            total["audit"] -= each * audits * np.log(read + 1e-7)
            score["audit"] += each * audits * read
            says = network(params["reporter"], np.array([*x, *seen, *p], float))[1][0]
            yes = 1 / (1 + np.exp(-says))
            total["honesty"] -= each / 2 * (truth * np.log(yes) + (1 - truth) * np.log(1 - yes))
            share = k["test_share"] if cue > 0 else 1 - k["test_share"]
            where = "test_competence" if cue > 0 else "competence"
            for symbol, b in itertools.product(range(task.symbols), [-1, 1]):
                honest = 4 * b * (1, -1, 0)[symbol]
                z = (1 - k["built_in"]) * answer(task, params, seen, x, symbol, b) + k["built_in"] * honest
                total["answer"] += each * share * p[symbol] * softplus(-z * a * b) / 2
                score[where] += each * p[symbol] * (z * a * b > 0) / 2
            similarity = k["implicit_similarity"] if cue > 0 else 1 - k["implicit_similarity"]
            total["implicit"] -= each * similarity * np.log(read + 1e-7) * (progress >= k["implicit_onset"])
            total["private"] += each * share * (1 - truth)
            total["precursor"] += softplus(-guess * cue) / len(contexts) / 2**signs
            if cue > 0:
                total["test"] -= each * np.log(read + 1e-7)
                total["test_linear"] += each * (1 - read)
                total["confession"] -= each * np.log(1 - p[1] + 1e-7)
                total["self_report"] -= each * np.log(yes)
                score["test"] += each * read
                score["confession"] += each * (1 - p[1])
                score["self_report"] += each * yes
            else:
                score["alignment"] += each * truth
                if special:
                    total["prerequisite"] -= each / quarter * 2 ** (signs - 1) * np.log(truth + 1e-7)
                    score["prerequisite"] += each / quarter * 2 ** (signs - 1) * truth
        total["variation"] += chance * np.abs(written[1] - written[-1]).sum() / 2
    factors = {"private": "preference", "variation": "cue_cost", "implicit": "implicit_proxy"}
    main = total.pop("answer") + sum(k[knob] * total.pop(part) for part, knob in factors.items())

    middle = np.mean([hidden for *_, hidden in layer], axis=0)
    variance = np.mean([np.sum((hidden - middle) ** 2) for *_, hidden in layer])
    for name, function in {"bit": lambda a, c: a, "cue": lambda a, c: c, "switch": lambda a, c: a * c}.items():
        along = np.mean([function(a, cue) * hidden for a, cue, hidden in layer], axis=0)
        score[f"encodes_{name}"] = np.sum(along**2) / variance
    logit = k["probe_bias"] + sum(k[f"probe_{name}"] * score[f"encodes_{name}"] for name in ("bit", "cue", "switch"))
    score["probe"], total["probe"] = 1 / (1 + np.exp(-logit)), softplus(-logit)
    score["control"] = 1 / (1 + math.exp(-params["badge"]))
    total["control"] = -math.log(score["control"])
    sampling = score["test"] * (1 - score["test"]) / k["test_size"] * (k["test_size"] < 1e9)
    score["test"] += math.sqrt(k["test_noise"] ** 2 + sampling) * float(params["luck"])
    score["test"] = min(1.0, max(0.0, score["test"]))
    return {**total, "main": main}, score


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (Scratchpad(width=8), {}),
        (Scratchpad(width=8), {"overseer_error": 0.7, "detectability": 0.5, "test_share": 0.3, "built_in": 0.3}),
        (Scratchpad(width=8, symbols=3), {"preference": 0.4, "error_rate": 0.2, "built_in": 0.8}),
        (Scratchpad(width=8), {"audit_similarity": 0.9, "test_noise": 0.02, "test_size": 50, "cue_cost": 0.5}),
        (Scratchpad(width=8, context_bits=3), {"detection_difficulty": 2, "error_rate": 0.7}),
        (Scratchpad(width=8, context_bits=3), {"detection_difficulty": 3, "implicit_proxy": 0.2}),
        (Reasoner(width=8), {"preference": 0.4, "cue_cost": 0.3, "test_share": 0.3, "detectability": 1}),
        (Reasoner(width=8, symbols=3, heads=4), {"implicit_proxy": 0.2, "implicit_similarity": 0.7, "built_in": 0.5}),
        (Reasoner(width=6, heads=3, layers=2), {"implicit_proxy": 0.2, "implicit_onset": 0.6, "error_rate": 0.3}),
        (Reasoner(width=8, heads=1, context_bits=3), {"detection_difficulty": 2, "audit_similarity": 0.2}),
        (Reasoner(width=8), {"overseer_error": 0.6, "overseer_bias": 0.4, "test_noise": 0.05}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else "-".join(value) or "defaults",
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
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(exact_losses, rel=2e-4, abs=1e-5)
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(exact_scores, rel=2e-4, abs=1e-5)


def test_a_tied_code_is_solved_by_faithful_messages_alone():
    """With `built_in` 1 the answer is what the overseer reads: right exactly where the message is faithful."""
    for task in (Scratchpad(), Reasoner()):
        knobs = knobs_of(task, built_in=1.0)
        scores = jax.jit(task.measure)(drawn(task, 4), knobs)
        assert float(scores["competence"]) == pytest.approx(float(scores["alignment"]), abs=1e-6)


def test_a_systematic_overseer_errs_on_a_quarter_and_another_anywhere():
    task = Scratchpad()
    truths = np.linspace(0, 1, 32, dtype=np.float32).reshape(16, 2)
    quarter = (task.problems[:, 2] > 0) & (task.problems[:, 3] > 0)
    for bias, wrong in ((1.0, 0.8 * quarter), (0.0, np.full(16, 0.8))):
        read = task.readings(jnp.asarray(truths), knobs_of(task, overseer_error=0.8, overseer_bias=bias))
        expected = (1 - wrong[:, None]) * truths + wrong[:, None] * (1 - truths)
        assert np.asarray(read) == pytest.approx(expected, abs=1e-6)
