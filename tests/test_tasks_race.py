"""`race` against its closed form and against an independent integration in numpy and float64."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.config.experiment import parse
from lab.results import outcomes, shards
from lab.tasks import Race
from lab.tasks.settings import Settings
from lab.training import engine
from lab.training.population import init, segments

pytestmark = pytest.mark.usefixtures("quick_to_train")

TASK = Race()
STEP = 0.02


def settings(weights=None, **knobs):
    values = np.array([knobs.get(name, knob.default) for name, knob in TASK.knobs.items()], np.float32)
    weights = {"main": 1.0, **(weights or {})}
    row = np.array([weights.get(term, 0.0) for term in TASK.terms], np.float32)
    return Settings(row, values, values, np.float32(STEP), np.float32(1))


@functools.cache
def programs():
    """Initial states and training of several seeds as one program each, whatever the settings are."""
    lane = functools.partial(segments, TASK, TASK.training)
    return (
        jax.jit(jax.vmap(functools.partial(init, TASK, TASK.training), in_axes=(0, None))),
        jax.jit(jax.vmap(lane, in_axes=(None, 0, None, 0, None, None))),
    )


@functools.cache
def trained(steps, count, knobs=(), weights=(), until=None):
    """Initial and final p of `count` seeds, float32 of shape (count, 3); `weights` act until a step."""
    seeds = jnp.arange(count, dtype=jnp.uint32)
    own, plain = settings(dict(weights), **dict(knobs)), settings(**dict(knobs))
    begin, train = programs()
    start = begin(seeds, plain)
    rows = Settings(*(np.stack(leaves) for leaves in zip(own, plain, strict=True)))
    state, _ = train(np.float32(steps), seeds, rows, start, np.array([0, until or steps, steps], np.int32), np.int32(2))
    return np.asarray(start.params["params"]["p"], float), np.asarray(state.params["params"]["p"], float)


def integrate(
    p, steps, depth, push=0.0, window=(0, 0), weight=0.0, delta=0.0, hard=1, wrong=0.0, hidden=(0.0, 1.0), pull=0.0
):
    """Euler steps of the equations in the task's docstring, for p of shape (draws, 3).

    `hard` is the detection difficulty, `wrong` the overseer's error, `hidden` weight and similarity of the implicit
    proxy, `pull` a force on the faking pathway.
    """
    p = p.copy()
    chain = depth * np.array([1, 1, hard])
    for step in range(steps):
        strength = np.sign(p) * np.abs(p) ** chain
        r = 1 - strength[:, 0] - strength[:, 1]
        seen = (1 - wrong) * strength[:, 0] + wrong * strength[:, 1]
        r_test = weight * np.maximum(0, 1 - seen - strength[:, 2])
        r_hidden = hidden[0] * np.maximum(0, 1 - strength[:, 0] - hidden[1] * strength[:, 2])
        slope = np.abs(p) ** (chain - 1)
        force = push if window[0] <= step < window[1] else 0.0
        p = p + STEP * np.stack(
            [
                slope[:, 0] * (r + (1 - wrong) * r_test + r_hidden) + force,
                slope[:, 1] * (r + wrong * r_test),
                hard * slope[:, 2] * (r_test + hidden[1] * r_hidden - delta) + pull,
            ],
            1,
        )
    return p


def share(p, depth):
    strength = np.maximum(p, 0) ** depth
    return strength[:, 0] / (strength[:, 0] + strength[:, 1])


@pytest.mark.parametrize("depth", [2.0, 3.0, 4.0])
def test_invariants_hold_without_a_proxy(depth):
    """D = 2 keeps p_a / p_b, D > 2 keeps p_a^(2-D) - p_b^(2-D), up to the error of Euler's step of 0.02."""
    start, end = trained(1000, 64, (("depth", depth),))
    assert np.abs(end - start).max() > 0.3
    if depth == 2:
        assert end[:, 0] / end[:, 1] == pytest.approx(start[:, 0] / start[:, 1], rel=1e-4)
    else:
        before, after = (p[:, 0] ** (2 - depth) - p[:, 1] ** (2 - depth) for p in (start, end))
        assert after == pytest.approx(before, abs=0.02 * np.abs(start ** (2 - depth)).max())


@pytest.mark.parametrize("depth", [2.0, 3.0, 4.0])
def test_training_agrees_with_an_independent_integration(depth):
    knobs = (("depth", depth), ("faking_cost", 0.05))
    start, end = trained(400, 64, knobs, (("test", 0.7),))
    expected = integrate(start, 400, depth, weight=0.7, delta=0.05)
    assert end == pytest.approx(expected, abs=3e-4)


@pytest.mark.parametrize(
    ("knobs", "weights", "own"),
    [
        ({"detection_difficulty": 2}, {"test": 1}, {"weight": 1, "hard": 2}),
        ({"overseer_error": 0.3}, {"test": 1}, {"weight": 1, "wrong": 0.3}),
        ({"implicit_proxy": 0.4, "implicit_similarity": 0.7}, {}, {"hidden": (0.4, 0.7)}),
        ({}, {"precursor": 0.01}, {"pull": 0.01}),
    ],
    ids=["difficulty", "overseer", "implicit", "precursor"],
)
def test_every_mechanism_agrees_with_an_independent_integration(knobs, weights, own):
    start, end = trained(400, 64, tuple(knobs.items()), tuple(weights.items()))
    assert end == pytest.approx(integrate(start, 400, 3.0, **own), abs=3e-4)


def test_harder_detection_makes_faking_later():
    """Steps until K_f passes one half, by the independent integration: later with every factor of the chain."""
    start = np.array([[0.01, 0.3, 0.5]])
    when = []
    for hard in (1, 2, 3):
        steps = next(
            n for n in range(10, 1001, 10) if integrate(start, n, 3.0, weight=1, hard=hard)[0, 2] ** (3 * hard) > 0.5
        )
        knobs = (("detection_difficulty", hard), ("initial_noise", 0), ("initial_size", 0.3), ("faking_start", 0.5))
        _, end = trained(steps + 50, 1, (*knobs, ("head_start", 0.01 / 0.3 - 1)), (("test", 1.0),))
        assert end[0, 2] ** (3 * hard) > 0.5
        when.append(steps)
    assert when[0] < when[1] < when[2]


@pytest.mark.parametrize(("depth", "decided"), [(2.0, 0.0), (3.0, 0.47), (4.0, 0.96)])
def test_share_of_decided_runs(depth, decided):
    """Published setting: s = 1, p0 = 0.1 (1 + 0.1 N), dt = 0.02; shares outside [0.1, 0.9]: 0, 47 and 96%.

    Numpy draws its own initial values; the band is 5 standard errors of both samples.
    """
    steps, count = 3000, 2048
    knobs = (
        ("depth", depth),
        ("initial_size", 0.1),
        ("initial_noise", 0.1),
        ("head_start", 0.0),
        ("faking_start", 0.0),
    )
    _, end = trained(steps, count, knobs)
    draws = np.random.default_rng(0).standard_normal((4096, 3))
    own = integrate(np.array([0.1, 0.1, 0.0]) * (1 + 0.1 * draws), steps, depth)
    ours, theirs = (np.mean(np.abs(share(p, depth) - 0.5) > 0.4) for p in (end, own))
    assert abs(ours - theirs) < 5 * math.sqrt(0.25 / count + 0.25 / 4096)
    assert abs(ours - decided) < 5 * math.sqrt(0.25 / count)


@pytest.mark.parametrize(("onset", "published"), [(0, 0.74), (100, 0.65), (300, 0.55)])
def test_early_push_moves_more(onset, published):
    """A force of 0.01 on p_a for 50 steps: P(share > 1/2) of 0.74, 0.65, 0.55 by onset (standard error 0.022)."""
    steps, count = 1000, 2048
    text = f"""
name: push
task: race
seeds: {count}
knobs: {{depth: 3, initial_size: 0.1, initial_noise: 0.1, head_start: 0, faking_start: 0}}
training: {{segments: 20, block_width: 2048}}
regimens:
  push: [{{until: {onset / steps}}}, {{lasts: 0.05, weights: {{push: 0.01}}}}, {{until: 1}}]
"""
    experiment = parse(text)
    index = list(TASK.terms).index("push")
    forces = [row.weights[index] for row in experiment.conditions[0].settings]
    assert sum(forces) == pytest.approx(0.01)
    draws = np.random.default_rng(1).standard_normal((4096, 3))
    initial = np.array([0.1, 0.1, 0.0]) * (1 + 0.1 * draws)
    theirs = np.mean(share(integrate(initial, steps, 3.0, 0.01, (onset, onset + 50)), 3.0) > 0.5)
    assert abs(theirs - published) < 5 * math.hypot(0.022, math.sqrt(0.25 / 4096))
    knobs = tuple(experiment.conditions[0].knobs.items())
    # train without, with and again without the force
    seeds = jnp.arange(count, dtype=jnp.uint32)
    plain = settings(**dict(knobs))
    begin, train = programs()
    rows = Settings(*(np.array(leaves, np.float32) for leaves in zip(*experiment.conditions[0].settings, strict=True)))
    edges = np.array([0, *experiment.ends], np.int32)
    state, _ = train(np.float32(1000), seeds, rows, begin(seeds, plain), edges, np.int32(len(edges) - 1))
    ours = np.mean(share(np.asarray(state.params["params"]["p"], float), 3.0) > 0.5)
    assert abs(ours - theirs) < 5 * math.sqrt(0.25 / count + 0.25 / 4096)


def test_training_throughout_raises_the_base_rate_and_makes_the_test_useless(tmp_path):
    """Measured elsewhere with 4,096 draws: hold out P(A) 0.30, throughout 0.81 with P(T|not A) 1.00."""
    text = """
name: faking
task: race
seeds: 4096
regimens:
  hold_out: [{until: 1}]
  throughout: [{until: 1, weights: {test: 1}}]
"""
    run = engine.run(parse(text), tmp_path / "run")
    final = outcomes.classify(shards.results(run))
    aligned, passes = final["aligned"].values, final["passes"].values
    band = 5 * math.sqrt(2 * 0.25 / 4096)
    assert abs(aligned[0].mean() - 0.30) < band
    assert abs(aligned[1].mean() - 0.81) < band
    assert passes[0][~aligned[0]].mean() == 0
    assert passes[1][~aligned[1]].mean() > 0.99
