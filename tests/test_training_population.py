"""A lane by itself: its step against a recursion by hand and against differences, and a block of such lanes."""

import dataclasses
import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.tasks import Race, Scratchpad
from lab.tasks.settings import Settings
from lab.training.population import MEASURING, State, Trainer, init, key_of, needed_leaves, optimizer, scale_parts, step
from tests import acting
from tests.acting import Acting
from tests.task_inputs import lane


def test_programs_that_differ_in_the_numbers_of_an_array_are_not_the_same():
    """Also where JAX takes the array for an input, as it will one day by itself."""
    code = (
        "import jax, jax.numpy as jnp\n"
        "from lab.training.population import compiled\n"
        "def times(number):\n"
        "    array = jnp.full(40, number)\n"
        "    return compiled(jax.jit(lambda x: x * array.sum(), keep_unused=True).lower(1.0), jax.devices()[:1])\n"
        "print(*(float(times(number)(2.0)) for number in (1.0, 2.0)))"
    )
    for setting in "01":
        environment = {**os.environ, "JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS": setting}
        assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True) == "80.0 160.0\n"


def test_training_can_be_differentiated_and_agrees_with_differences():
    """d alignment / d weight through 100 scanned steps of `race`, against central differences in float64."""
    with jax.enable_x64(True):
        task = Race()
        own = jax.tree.map(lambda value: jnp.asarray(value, jnp.float64), lane(task))
        begin = functools.partial(init, task, task.training)
        state = State(*jax.tree.map(lambda leaf: leaf.astype(jnp.float64), jax.jit(begin)(jnp.uint32(1), own)))
        seed_key = jax.random.key(0)

        def outcome(weight):
            row = own._replace(weights=own.weights.at[1].set(weight))

            def body(carry, index):
                return step(task, task.training, 100.0, seed_key, row, index, carry), None

            end, _ = jax.lax.scan(body, state, jnp.arange(100))
            return task.measure(end.params, dict(zip(task.knobs, row.world_knobs, strict=True)))["alignment"]

        outcome = jax.jit(outcome)
        slope = jax.jit(jax.grad(outcome))(0.5)
        difference = (outcome(0.5 + 1e-5) - outcome(0.5 - 1e-5)) / 2e-5
        assert abs(float(difference)) > 1e-3
        assert float(slope) == pytest.approx(float(difference), rel=1e-6)


def test_adam_follows_its_published_recursion():
    """Kingma and Ba 2015, algorithm 1, by hand in float64 over three steps, with the cosine decay of the rate."""
    task = Race()
    training = dataclasses.replace(task.training, optimizer="adam", momentum=0.9)
    own = lane(task)._replace(final_learning_rate=np.float32(0.5))
    state = jax.jit(functools.partial(init, task, training))(jnp.uint32(2), own)
    advance = jax.jit(functools.partial(step, task, training, jnp.float32(3)))
    p = np.asarray(state.params["params"]["p"], float)
    m = v = np.zeros(3)
    for index in range(3):
        state = advance(jax.random.key(0), own, jnp.int32(index), state)
        strength = p**3
        r = 1 - strength[0] - strength[1]
        gradient = np.array([-(p[0] ** 2) * r, -(p[1] ** 2) * r, 0.0])
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        rate = 0.02 * (0.5 + 0.5 * (1 + np.cos(np.pi * index / 3)) / 2)
        p = p - rate * (m / (1 - 0.9 ** (index + 1))) / (np.sqrt(v / (1 - 0.99 ** (index + 1))) + 1e-8)
    assert np.asarray(state.params["params"]["p"]) == pytest.approx(p, rel=1e-5)


def test_every_lane_trains_by_its_own_settings(quick_to_compile):
    """A block that mixes weights gives each lane what a uniform block gives it."""
    task, width = Scratchpad(width=8), 4
    trainer = Trainer(task, task.training, width, jax.devices()[:1])
    rows = [lane(task)._replace(learning_rate=np.float32(0.015)) for _ in range(width)]
    rows = [
        row._replace(weights=row.weights + np.float32(index) * np.eye(len(task.terms), dtype=np.float32)[1])
        for index, row in enumerate(rows)
    ]
    seeds = np.arange(width, dtype=np.uint32)

    def train(settings):
        state = trainer.init(seeds, settings)
        return np.asarray(trainer.train(seeds, jax.tree.map(lambda leaf: leaf[:, None], settings), state, [0, 20])[1])

    mixed = train(Settings(*map(np.stack, zip(*rows, strict=True))))
    for index, row in enumerate(rows):
        uniform = train(Settings(*(np.stack([value] * width) for value in row)))
        assert np.array_equal(mixed[index], uniform[index])
    assert trainer.traces == 1


def test_momentum_follows_its_recursion():
    """Slope 1 and rate .1: m = 1, then .9 + 1; each update is -.1 m."""
    transform = optimizer("sgd", 0.1, 0.9)
    state = transform.init(jnp.zeros(1))
    for expected in (-0.1, -0.19, -0.271):
        update, state = transform.update(jnp.ones(1), state)
        assert float(update[0]) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="unknown optimizer 'lion'"):
        optimizer("lion", 0.1, 0.9)


def test_factors_go_to_parts_in_the_order_of_their_names():
    updates = {"b": jnp.full(2, 3.0), "a": {"kernel": jnp.full(1, 2.0)}}
    scaled = scale_parts(updates, jnp.array([0.5, 2.0]))
    assert scaled["a"]["kernel"].tolist() == [1]
    assert scaled["b"].tolist() == [6, 6]
    assert scale_parts(updates, jnp.float32(2))["b"].tolist() == [6, 6]  # one factor for all
    assert scale_parts(jnp.full(2, 3.0), jnp.array([0.5])).tolist() == [1.5, 1.5]  # a model in one part


def test_a_program_that_takes_more_memory_than_there_is_does_not_start():
    task = Race()
    trainer = Trainer(task, task.training, 2, jax.devices()[:1], memory=0)
    with pytest.raises(MemoryError, match=r"0\.0 GiB needed, 0\.0 GiB there"):
        trainer.init(np.arange(2, dtype=np.uint32), lane(task))


# slopes of the weight at 0: -2 by main, 4 times the weight of the test, 1 by the side; of the critic -3
@pytest.mark.parametrize(("test", "weight", "critic"), [(0.5, -0.25, 0.75), (0, 0.5, 0), (-0.5, 0.75, 0.75)])
def test_a_step_against_a_term_is_none_against_its_critic(test, weight, critic):
    task, row = Acting(), acting.lane(test)
    start = jax.jit(functools.partial(init, task, task.training))(jnp.uint32(0), row)
    advance = jax.jit(functools.partial(step, task, task.training, jnp.float32(8)))
    end = advance(jax.random.key(0), row, jnp.int32(0), start)
    assert (float(end.params["weight"]), float(end.params["critic"])) == (weight, critic)


def test_data_are_drawn_by_the_current_parameters_and_a_state_goes_along(quick_to_compile):
    """What is halved would be taken times 3/4 if the gradient saw that the data depend on it."""
    task, row, seeds = Acting(), acting.lane(0), np.arange(2, dtype=np.uint32)
    trainer = Trainer(task, task.training, 2, jax.devices()[:1], most_segments=2)
    settings = Settings(*(np.stack([np.stack([leaf] * 2)] * 2) for leaf in row))
    state, first = trainer.train(
        seeds, settings, trainer.init(seeds, jax.tree.map(lambda leaf: leaf[0], settings)), [0, 1, 3]
    )
    assert (state.task["steps"].dtype, state.task["steps"].tolist()) == (jnp.int32, [3, 3])
    one = jax.tree.map(lambda leaf: leaf[:, :1], settings)
    state, second = trainer.train(seeds, one, state, [3, 5])
    assert trainer.traces == 1
    assert state.task["steps"].tolist() == state.params["counted"].tolist() == [5, 5]
    assert state.params["halved"].tolist() == [2**-5, 2**-5]
    # one draw for a seed, by its own key, at every checkpoint
    draws = [float(jax.random.uniform(key_of(MEASURING, seed))) for seed in seeds]
    scores = np.concatenate([first, second], axis=1)[:, :, list(task.scores).index("test")]
    np.testing.assert_array_equal(scores, np.float32(draws)[:, None].repeat(3, 1))
    assert draws[0] != draws[1]


def test_tasks_that_keep_nothing_have_no_array_more():
    """Only then are their programs the ones that they were."""
    start = init(Race(), Race.training, jnp.uint32(0), lane(Race()))
    assert start.task == ()
    assert "threefry" not in str(
        jax.make_jaxpr(lambda seed: init(Race(), Race.training, seed, lane(Race())).task)(jnp.uint32(0))
    )


def test_a_parameter_that_no_used_term_depends_on_is_not_needed():
    params = {"a": jnp.float32(2), "b": jnp.float32(3), "c": (jnp.float32(5),)}

    def loss(params):
        losses = {"first": params["a"] ** 2, "second": params["a"] * params["c"][0], "third": params["b"]}
        return losses["first"] + losses["second"]

    assert needed_leaves(loss, params) == {"a": True, "b": False, "c": (True,)}


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_step_that_leaves_out_what_has_no_weight_is_the_step_with_everything(kind):
    task = Scratchpad(width=2)
    training, settings = dataclasses.replace(task.training, optimizer=kind), lane(task)
    start = init(task, training, 0, settings)

    @functools.partial(jax.jit, static_argnames="used")
    def trained(used):
        state = start
        for index in range(3):
            state = step(task, training, 3, key_of(0, 0), settings, index, state, used)
        return state

    without, full = trained(("main",)), trained(None)
    for one, other in zip(jax.tree.leaves(without), jax.tree.leaves(full), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert np.array_equal(without.params["badge"], start.params["badge"])
    assert not np.array_equal(without.params["sender"]["params"]["Dense_1"]["bias"], [0, 0])
