"""Train a block of lanes through one segment. Knows nothing of files, shards or statistics.

A lane is one training run: a seed with the settings of a condition. All settings are traced arrays with one row
per lane, and the first and last step of a segment are traced scalars, so one compiled program serves a whole
sweep. XLA may change last digits with the number of lanes per device, which is therefore part of a run's identity.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lab.objective import objective

INITIAL_WEIGHTS, DATA = 0, 1
LANES = PartitionSpec("lanes")
SHARED = PartitionSpec()


class Settings(NamedTuple):
    """What a lane does in one segment; every leaf is float32.

    Attributes:
        weights: weight of each loss term, shape (..., terms).
        training_knobs: knobs as the losses see them in this segment, shape (..., knobs).
        world_knobs: knobs of the condition, which initial weights and scores see, shape (..., knobs).
        learning_rate: rate at the first step of training, shape (...).
        final_learning_rate: rate at the last step as a share of the first, shape (...).
        part_rates: factor of the learning rate of each part of the model, shape (..., parts) in the order of `parts`;
            or one for all of them, shape (...).
    """

    weights: np.ndarray
    training_knobs: np.ndarray
    world_knobs: np.ndarray
    learning_rate: np.ndarray
    final_learning_rate: np.ndarray
    part_rates: np.ndarray = np.float32(1)


class State(NamedTuple):
    """A lane in training: its parameters and the state of its optimiser, both pytrees of arrays."""

    params: object
    optimizer: object


def optimizer(kind, learning_rate, momentum):
    """Return an optax transform; `learning_rate` may be traced. Adam has b2 = 0.99.

    Raises:
        ValueError: `kind` is neither "adam" nor "sgd".
    """
    if kind == "adam":
        return optax.adam(learning_rate, b1=momentum, b2=0.99)
    if kind == "sgd":
        return optax.sgd(learning_rate, momentum=momentum)
    raise ValueError(f"unknown optimizer {kind!r}")


@functools.cache
def parts(task):
    """Return the names of the parts of a task's model: the top-level keys of its parameters."""
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    knobs = dict.fromkeys(task.knobs, scalar)
    seed = jax.ShapeDtypeStruct((), jnp.uint32)
    params = jax.eval_shape(lambda seed, knobs: task.init(jax.random.key(seed), knobs), seed, knobs)
    return tuple(sorted(params)) if isinstance(params, dict) else ("model",)


def scaled(updates, rates):
    """Return updates with those of each part of the model times its factor; `rates` as in `Settings`."""
    if not isinstance(updates, dict):
        return jax.tree.map(lambda leaf: leaf * jnp.ravel(rates)[0], updates)
    factors = jnp.broadcast_to(rates, (len(updates),))
    return {
        part: jax.tree.map(lambda leaf, factor=factor: leaf * factor, updates[part])
        for part, factor in zip(sorted(updates), factors, strict=True)
    }


def step(task, training, total, seed_key, settings, index, state, used=None):
    """Advance one lane by one step. Pure and differentiable, so it can also be scanned.

    Args:
        task: a `lab.tasks.Task`, static.
        training: a `lab.tasks.Training`, static.
        total: steps of the whole training, a float32 scalar.
        seed_key: PRNG key of the lane's data stream.
        settings: `Settings` of this lane.
        index: the step, an int32 scalar from 0.
        state: `State` before the step.
        used: as for `lab.objective.objective`.
    """
    progress = jnp.asarray(index, jnp.float32) / total
    knobs = dict(zip(task.knobs, settings.training_knobs, strict=True))
    batch = task.sample(jax.random.fold_in(seed_key, index), knobs)
    grads = jax.grad(lambda params: objective(task, params, batch, settings.weights, knobs, progress, used))(
        state.params
    )
    floor = settings.final_learning_rate
    rate = settings.learning_rate * (floor + (1 - floor) * (1 + jnp.cos(jnp.pi * progress)) / 2)
    updates, optimizer_state = optimizer(training.optimizer, rate, training.momentum).update(
        grads, state.optimizer, state.params
    )
    return State(optax.apply_updates(state.params, scaled(updates, settings.part_rates)), optimizer_state)


def init(task, training, seed, settings):
    """Return the `State` of one lane before training. Seed i starts alike in every condition with its knobs."""
    knobs = dict(zip(task.knobs, settings.world_knobs, strict=True))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), INITIAL_WEIGHTS), seed)
    params = task.init(key, knobs)
    return State(params, optimizer(training.optimizer, 0.0, training.momentum).init(params))


def segment(task, training, total, seed, settings, state, first, last, used=None):
    """Train one lane from step `first` up to step `last` and measure it; `used` is as for `objective`.

    Returns:
        The new `State` and its scores, shape (scores,), in the order of `task.scores`.
    """
    seed_key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), DATA), seed)
    advance = functools.partial(step, task, training, total, seed_key, settings, used=used)
    # a GPU would otherwise round the factors of products to 10 bits
    with jax.default_matmul_precision("float32"):
        state = jax.lax.fori_loop(first, last, advance, state)
        scores = task.measure(state.params, dict(zip(task.knobs, settings.world_knobs, strict=True)))
    return state, jnp.stack([scores[name] for name in task.scores])


class Trainer:
    """The compiled programs of a run: `init` and `train` act on blocks of lanes, sharded over devices.

    A call takes `len(devices) * width` lanes; each device works on `width` of them by itself, so that a lane's
    bytes do not depend on how many devices there are.

    Attributes:
        lanes: lanes per call.
        traces: how often the training program was traced, which is how often it was compiled.
    """

    def __init__(self, task, training, width, devices, used=None):
        """Prepare the programs; nothing is compiled before the first call.

        Args:
            task: a `lab.tasks.Task`.
            training: has `steps`, `optimizer` and `momentum`.
            width: lanes per device.
            devices: JAX devices to use.
            used: loss terms whose weight may differ from 0; all by default. The others are never computed.
        """
        self.lanes = width * len(devices)
        self.traces = 0
        mesh = Mesh(np.array(devices), ("lanes",))
        self.sharding = NamedSharding(mesh, LANES)
        total = jnp.float32(training.steps)

        def init_block(seeds, settings):
            return jax.vmap(functools.partial(init, task, training))(seeds, settings)

        def train_block(seeds, settings, state, first, last):
            self.traces += 1
            lane = functools.partial(segment, task, training, total, used=used)
            return jax.vmap(lane, in_axes=(0, 0, 0, None, None))(seeds, settings, state, first, last)

        shard = functools.partial(jax.shard_map, mesh=mesh, out_specs=LANES, check_vma=False)
        self._init = jax.jit(shard(init_block, in_specs=LANES))
        self._train = jax.jit(shard(train_block, in_specs=(LANES, LANES, LANES, SHARED, SHARED)))

    def place(self, tree):
        """Put arrays with one row per lane onto the devices."""
        return jax.device_put(tree, self.sharding)

    def init(self, seeds, settings):
        """Return the `State` of a block before training; `seeds` is uint32 of shape (lanes,)."""
        return self._init(self.place(seeds), self.place(settings))

    def train(self, seeds, settings, state, first, last):
        """Train a block from step `first` to `last`; return its `State` and scores of shape (lanes, scores)."""
        return self._train(self.place(seeds), self.place(settings), state, np.int32(first), np.int32(last))
