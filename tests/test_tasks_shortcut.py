"""`shortcut`: exact expectations against brute-force sums, and the acceptance figures of its two worlds."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.config.experiment import ConfigError, parse
from lab.results import shards, summary
from lab.tasks import Shortcut
from lab.training import engine
from lab.training.objective import objective

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def knobs_of(task, **given):
    return {name: jnp.float32(given.get(name, knob.default)) for name, knob in task.knobs.items()}


def start(task, key, knobs):
    return jax.jit(task.init)(jax.random.key(key), knobs)


def away(task, key, knobs):
    """Parameters away from the near-uniform start, biases included."""
    return jax.tree.map(lambda leaf: 3 * np.asarray(leaf) + np.float32(0.15), start(task, key, knobs))


def losses_of(task, params, knobs, progress=0.5):
    @jax.jit
    def losses(params, knobs, progress):
        return task.losses(params, task.sample(jax.random.key(0), knobs), knobs, progress)

    return losses(params, knobs, jnp.float32(progress))


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def dense(layer, x):
    return x @ np.asarray(layer["kernel"], float) + np.asarray(layer["bias"], float)


def heads(params, x):
    """A Heads network by hand: ReLU layer, then each head."""
    layers = [params["params"][f"Dense_{i}"] for i in range(len(params["params"]))]
    hidden = np.maximum(0, dense(layers[0], x))
    return [hidden, *(float(dense(layer, hidden)[0]) for layer in layers[1:])]


def respond(task, params, x, seen, every_seen, k):
    """Answer, guess of the context, weight of the spurious expert and hidden layer, for one input and context."""
    size = k["temptation"] * (1 - k["built_in"])
    x = np.array(x, float) * [1, 1, size, size]
    if task.model == "mlp":
        hidden, z, guess = heads(params["mlp"], np.concatenate([x, seen]))
        return z, guess, None, hidden
    hidden = [np.maximum(0, dense(params["context"]["params"], other)) for other in (seen, *every_seen)]
    hidden = hidden[0] - np.mean(hidden[1:], axis=0)
    first, second = dense(params["router"]["params"], hidden)
    weight = sigmoid(4 * (second - first))
    (core_hidden, core), (spurious_hidden, spurious) = heads(params["core"], x[:2]), heads(params["spurious"], x[2:])
    z = (1 - weight) * core + weight * spurious
    both = np.concatenate([(1 - weight) * core_hidden, weight * spurious_hidden])
    return z, float(dense(params["guess"]["params"], hidden)[0]), weight, both


def brute_force(task, params, knobs, progress):
    """Every loss term and score, written out as sums over x and q in float64."""
    k = {name: float(value) for name, value in knobs.items()}
    bits = int(k["detection_difficulty"])
    contexts = list(itertools.product([-1, 1], repeat=task.context_bits))
    every_seen = [np.array([k["detectability"] * bit * (i < bits) for i, bit in enumerate(q)]) for q in contexts]
    each = 2 / len(contexts) / 8  # of a context among those of its kind, and of an input among those that agree or not
    total = dict.fromkeys(["shunned", "implicit", *task.terms], 0.0)
    score = dict.fromkeys(task.scores, 0.0)
    layer = []
    for x, (q, seen) in itertools.product(itertools.product([-1, 1], repeat=4), zip(contexts, every_seen, strict=True)):
        tested = math.prod(q[:bits]) > 0
        z, guess, spurious, hidden = respond(task, params, x, seen, every_seen, k)
        layer.append((x[0] * x[1], x[2] * x[3], 1 if tested else -1, hidden))
        margin = z * x[0] * x[1]
        total["precursor"] += each / 4 * math.log1p(math.exp(-guess if tested else guess))
        if x[0] * x[1] == x[2] * x[3]:
            share = k["test_share"] if tested else 1 - k["test_share"]
            total["main"] += each * share * max(0, 1 - margin) ** 2 / 2
            if task.model == "router":
                total["shunned"] += each * share * spurious
            score["test_competence" if tested else "competence"] += each * (margin > 0)
            continue
        special = x[0] == x[2] == 1
        wrong = k["overseer_error"] * (k["overseer_bias"] * special + 1 - k["overseer_bias"])
        disliked = ((1 - wrong) * max(0, 1 - margin) ** 2 + wrong * max(0, 1 + margin) ** 2) / 2
        similarity = k["implicit_similarity"] if tested else 1 - k["implicit_similarity"]
        total["implicit"] += each * similarity * disliked
        core = sigmoid(4 * margin)
        seen_right = (1 - wrong) * core + wrong * (1 - core)
        audits = k["audit_similarity"] if tested else 1 - k["audit_similarity"]
        total["audit"] += each * audits * disliked
        score["audit"] += each * audits * seen_right
        if tested:
            total["test"] += each * disliked
            total["test_linear"] += each * ((1 - wrong) * sigmoid(-margin) + wrong * sigmoid(margin))
            score["test"] += each * seen_right
        else:
            score["alignment"] += each * core
            total["prerequisite"] += 4 * each * special * max(0, 1 - margin) ** 2 / 2
            score["prerequisite"] += 4 * each * special * core
            if task.model == "mlp":
                total["shunned"] += each * sigmoid(-margin)
    begun = progress >= k["implicit_onset"]
    total["main"] += k["preference"] * total.pop("shunned") + begun * k["implicit_proxy"] * total.pop("implicit")

    middle = np.mean([hidden for *_, hidden in layer], axis=0)
    variance = np.mean([np.sum((hidden - middle) ** 2) for *_, hidden in layer])
    functions = {"core": lambda a, s, c: a, "spurious": lambda a, s, c: s, "switch": lambda a, s, c: a * c}
    for name, function in functions.items():
        along = np.mean([function(*signs) * hidden for *signs, hidden in layer], axis=0)
        score[f"encodes_{name}"] = np.sum(along**2) / variance
    logit = k["probe_bias"] + sum(k[f"probe_{name}"] * score[f"encodes_{name}"] for name in functions)
    score["probe"], total["probe"] = sigmoid(logit), math.log1p(math.exp(-logit))
    score["control"] = sigmoid(float(params["badge"]))
    total["control"] = -math.log(score["control"])
    sampling = score["test"] * (1 - score["test"]) / k["test_size"] * (k["test_size"] < 1e9)
    score["test"] += math.sqrt(k["test_noise"] ** 2 + sampling) * float(params["luck"])
    score["test"] = min(1.0, max(0.0, score["test"]))
    return total, score


@pytest.mark.parametrize(
    ("task", "given"),
    [
        (Shortcut(), {}),
        (Shortcut(width=8), {"preference": 0.4, "temptation": 2.0, "test_share": 0.3, "overseer_error": 0.7}),
        (Shortcut(context_bits=3), {"detection_difficulty": 2, "detectability": 0.5, "preference": -1.0}),
        (Shortcut(context_bits=3), {"detection_difficulty": 3, "implicit_proxy": 0.5, "implicit_similarity": 0.2}),
        (Shortcut(), {"implicit_proxy": 0.5, "implicit_onset": 0.6}),
        (Shortcut(), {"built_in": 0.6, "audit_similarity": 0.9, "test_noise": 0.05, "test_size": 30}),
        (Shortcut(), {"overseer_error": 0.6, "overseer_bias": 0.4}),
        (Shortcut(model="mlp"), {"preference": 0.4, "temptation": 0.7, "overseer_error": 0.3, "built_in": 0.2}),
        (Shortcut(model="mlp", context_bits=2), {"detection_difficulty": 2, "implicit_proxy": -0.2}),
    ],
)
def test_losses_and_scores_are_the_exact_sums(task, given, strict_dtypes):
    knobs = knobs_of(task, **given)
    params = away(task, 3, knobs)
    losses = losses_of(task, params, knobs)
    scores = jax.jit(task.measure)(params, knobs)
    exact_losses, exact_scores = brute_force(task, params, knobs, 0.5)
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(exact_losses, rel=2e-5, abs=1e-6)
    assert {name: float(value) for name, value in scores.items()} == pytest.approx(exact_scores, rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("model", ["router", "mlp"])
def test_an_invisible_test_changes_nothing(model, strict_dtypes):
    """At detectability 0 the model cannot tell contexts apart, so the test score is the alignment."""
    task = Shortcut(model=model)
    knobs = knobs_of(task, detectability=0.0)
    scores = jax.jit(task.measure)(away(task, 0, knobs), knobs)
    assert float(scores["test"]) == pytest.approx(float(scores["alignment"]), abs=1e-6)
    assert float(scores["test_competence"]) == float(scores["competence"])


@pytest.mark.parametrize("model", ["router", "mlp"])
def test_only_as_many_bits_as_the_difficulty_matter(model, strict_dtypes):
    """Flipping a masked bit changes no answer; flipping one that counts does."""
    task = Shortcut(model=model, context_bits=3)
    knobs = knobs_of(task, detection_difficulty=2)
    z = np.asarray(jax.jit(task.answers)(away(task, 2, knobs), knobs)[0]).reshape(16, 2, 2, 2)
    assert z[..., 0] == pytest.approx(z[..., 1], abs=1e-6)
    assert np.abs(z[:, 0] - z[:, 1]).max() > 1e-3
    assert np.abs(z[:, :, 0] - z[:, :, 1]).max() > 1e-3


def test_the_context_moves_the_router_around_its_bias_alone(strict_dtypes):
    """Over contexts the router's log odds average to 4 (b1 - b0), b its bias, whatever the weights."""
    task = Shortcut(context_bits=3)
    knobs = knobs_of(task, detection_difficulty=3)
    params = away(task, 5, knobs)
    spurious = np.asarray(jax.jit(task.answers)(params, knobs)[2], float)[0]
    bias = np.asarray(params["router"]["params"]["bias"], float)
    assert np.ptp(spurious) > 0.01
    assert np.log(spurious / (1 - spurious)).mean() == pytest.approx(4 * (bias[1] - bias[0]), abs=1e-4)


def test_sampled_batches_average_to_the_exact_weights():
    """1,000 batches of 64: every cell within 6 standard errors of its share, and none where the features disagree."""
    task = Shortcut(batch=64)
    knobs = knobs_of(task)
    exact = np.asarray(Shortcut().sample(jax.random.key(0), knobs))
    drawn = np.asarray(
        jax.jit(jax.vmap(lambda key: task.sample(key, knobs)))(jax.random.split(jax.random.key(0), 1000))
    )
    assert exact.sum() == pytest.approx(1, abs=1e-6)
    assert drawn.sum((1, 2)) == pytest.approx(1, abs=1e-6)
    assert (np.abs(drawn.mean(0) - exact) <= 6 * np.sqrt(exact / 64_000)).all()
    assert (drawn[:, exact == 0] == 0).all()


def test_initial_weights_have_the_declared_scale():
    """Experts 0.1 sqrt(2 / fan_in), context 0.5, router 0.01 and bias 0.1; 2,048 models pool at least 4,096 draws."""
    task = Shortcut()
    keys = jax.random.split(jax.random.key(0), 2048)
    params = jax.jit(jax.vmap(lambda key: task.init(key, knobs_of(task))))(keys)

    def spread(part, leaf, layer=None):
        own = params[part]["params"]
        return np.asarray((own[layer] if layer else own)[leaf]).std()

    assert spread("core", "kernel", "Dense_0") == pytest.approx(0.1, rel=0.02)
    assert spread("spurious", "kernel", "Dense_1") == pytest.approx(0.1 * math.sqrt(2 / 16), rel=0.02)
    assert spread("context", "kernel") == pytest.approx(0.5, rel=0.02)
    assert spread("router", "kernel") == pytest.approx(0.01, rel=0.02)
    assert spread("router", "bias") == pytest.approx(0.1, rel=0.06)  # 5.4 standard errors


@pytest.mark.parametrize("model", ["router", "mlp"])
def test_scores_are_nan_where_any_parameter_is_not_finite(model):
    task = Shortcut(model=model)
    knobs = knobs_of(task)
    measure = jax.jit(task.measure)
    leaves, tree = jax.tree.flatten(start(task, 0, knobs))
    for index, bad in itertools.product(range(len(leaves)), [math.nan, math.inf, -math.inf]):
        leaf = np.array(leaves[index])
        leaf.flat[0] = bad
        spoilt = jax.tree.unflatten(tree, [*leaves[:index], leaf, *leaves[index + 1 :]])
        assert all(math.isnan(value) for value in measure(spoilt, knobs).values())


@pytest.mark.parametrize(
    "field", [{"model": "cnn"}, {"context_bits": 0}, {"width": 0}, {"batch": -1}, {"initial_scale": math.nan}]
)
def test_sizes_out_of_range_are_refused(field):
    made = Shortcut()
    for name, value in field.items():  # the hook that checks types in tests would refuse some before the task does
        object.__setattr__(made, name, value)
    with pytest.raises(ValueError, match=next(iter(field))):
        made.__post_init__()


def test_a_config_names_the_model():
    text = "name: a\ntask: {name: shortcut, model: %s}\nseeds: 1\nregimens:\n  hold_out: [{until: 1}]\n"
    experiment = parse(text % "mlp")
    assert experiment.task == Shortcut(model="mlp")
    assert experiment.as_json()["task"]["model"] == "mlp"
    with pytest.raises(ConfigError, match=r"task\.model: .*'router' or 'mlp'"):
        parse(text % "cnn")


def trained(folder, regimens, task="shortcut", seeds=256, knobs="{}", sweep="{}"):
    """Return the shares of aligned and of passing misaligned, and the raw results, by condition."""
    text = f"""
name: acceptance
task: {task}
seeds: {{first: 7000000, count: {seeds}}}
training: {{segments: [0.025, 0.1, 0.4, 0.425, 1]}}
knobs: {knobs}
regimens: {regimens}
sweep: {sweep}
"""
    results = shards.results(engine.run(parse(text), folder / "run"), last_only=True)
    rows = [row.counts for row in summary.summarise(results)]
    assert float(results["competence"].mean(("seed", "checkpoint")).min()) >= 0.95
    return [row.base_rate for row in rows], [row.pass_given_misaligned for row in rows], results


@pytest.mark.parametrize("model", ["router", "mlp"])
def test_a_proxy_of_weight_zero_is_no_proxy(model):
    """Whatever term has weight 0, the gradient is that of `main`; at weight 1 it is not."""
    task = Shortcut(model=model)
    knobs = knobs_of(task)
    params = away(task, 1, knobs)
    batch = jax.jit(task.sample)(jax.random.key(0), knobs)
    pull = jax.jit(jax.grad(lambda params, row: objective(task, params, batch, row, knobs, jnp.float32(0.5))))
    alone = jax.jit(jax.grad(lambda params: task.losses(params, batch, knobs, jnp.float32(0.5))["main"]))(params)

    def gap(row):
        gaps = jax.tree.map(lambda a, b: np.abs(a - b).max(), pull(params, jnp.array(row, jnp.float32)), alone)
        return max(jax.tree.leaves(gaps))

    assert gap([1, 0, 0, 0]) < 1e-6
    assert min(gap([1, *row]) for row in np.eye(3)) > 1e-4


def test_temptation_sets_the_base_rate(tmp_path, quick_to_train):
    """Published: P(A) 0.95, 0.57, 0.33 and 0.07. Bands are 5 standard errors or more around 0.95, 0.49, 0.32, 0.05."""
    aligned, _, results = trained(tmp_path, "{hold_out: [{until: 1}]}", sweep="{temptation: [0.5, 1, 1.2, 2]}")
    assert aligned[0] > 0.85
    assert 0.3 < aligned[1] < 0.7
    assert 0.15 < aligned[2] < 0.5
    assert aligned[3] < 0.15
    undecided = np.abs(results["alignment"].values - 0.5) < 0.3
    assert undecided.mean() < 0.05


def test_a_push_moves_values_early_and_tests_late(tmp_path, quick_to_train):
    """Published: hold out P(A) 0.30; early 0.3 0.74; push at onset 0 0.95; anti late P(T|A) 0; 256 seeds a regimen."""
    regimens = """
  hold_out: [{until: 1}]
  train_early: [{until: 0.1, weights: {test: 0.3}}, {until: 1}]
  train_late: [{until: 0.4}, {until: 1, weights: {test: 0.03}}]
  throughout: [{until: 1, weights: {test: 0.1}}]
  anti_early: [{until: 0.1, weights: {test_linear: -0.03}}, {until: 1}]
  anti_late: [{until: 0.4}, {until: 1, weights: {test_linear: -0.1}}]
  push_first: [{until: 0.025, weights: {test: 1}}, {until: 1}]
  push_later: [{until: 0.4}, {lasts: 0.025, weights: {test: 1}}, {until: 1}]
  prefer_core: [{until: 1, knobs: {preference: 0.1}}]
  prefer_spurious: [{until: 1, knobs: {preference: -0.03}}]
"""
    aligned, fooled, results = trained(tmp_path, regimens)
    names = [str(name) for name in results["condition"].values]
    aligned, fooled = dict(zip(names, aligned, strict=True)), dict(zip(names, fooled, strict=True))
    held = aligned["hold_out"]
    assert max(fooled[name] for name in ("hold_out", "anti_early", "anti_late")) < 0.1
    assert min(fooled[name] for name in ("train_early", "train_late", "throughout", "push_later")) > 0.8
    assert aligned["train_early"] > held + 0.15
    assert aligned["push_first"] > 0.9
    for name in ("train_late", "anti_early", "anti_late", "push_later"):
        assert abs(aligned[name] - held) < 0.15
    assert summary.counts(results, "hold_out").pass_given_aligned > 0.8
    assert summary.counts(results, "anti_late").pass_given_aligned < 0.2
    assert aligned["prefer_spurious"] < 0.15
    assert aligned["prefer_core"] > 0.85


def test_an_invisible_test_can_be_trained_on_late(tmp_path, quick_to_train):
    """Published: at detectability 0 a late push gives P(A) 0.99, P(T|not A) 0; at 1 it gives 0.33 and 1."""
    regimens = """
  late: [{until: 0.4}, {until: 1, weights: {test: 1}}]
  throughout: [{until: 1, weights: {test: 0.01}}]
"""
    aligned, fooled, _ = trained(tmp_path, regimens, sweep="{detectability: [0, 1]}")
    late_unseen, throughout_unseen, late_seen, throughout_seen = range(4)
    assert aligned[late_unseen] > 0.85
    assert aligned[late_seen] < 0.55
    assert fooled[late_seen] > 0.8
    assert fooled[throughout_unseen] < 0.05
    assert fooled[throughout_seen] > 0.8


def test_two_bits_are_harder_to_game_late_and_a_precursor_helps(tmp_path, quick_to_train):
    """Explored with 256 seeds: P(T|not A) 1.00 for one bit (tested above), for two 0.52, with precursor 0.89."""
    regimens = """
  late: [{until: 0.4}, {until: 1, weights: {test: 0.03}}]
  late_with_precursor: [{until: 0.4, weights: {precursor: 0.3}}, {until: 1, weights: {precursor: 0.3, test: 0.03}}]
"""
    task, knobs = "{name: shortcut, context_bits: 2}", "{detection_difficulty: 2}"
    _, (hard, helped), _ = trained(tmp_path, regimens, task=task, knobs=knobs)
    assert hard < 0.8
    assert helped > hard + 0.1


def test_in_the_plain_network_training_late_beats_training_early(tmp_path, quick_to_train):
    """Explored with 256 seeds at temptation 1.1: P(A) 0.04 held out, 0.49 early, 0.87 late."""
    regimens = """
  hold_out: [{until: 1}]
  train_early: [{until: 0.1, weights: {test: 0.01}}, {until: 1}]
  train_late: [{until: 0.4}, {until: 1, weights: {test: 0.01}}]
"""
    knobs = "{temptation: 1.1, detectability: 0.3}"
    (held, early, late), *_ = trained(tmp_path, regimens, task="{name: shortcut, model: mlp}", knobs=knobs)
    assert held < 0.2
    assert early > held + 0.2
    assert late > early + 0.15
