"""What a task takes: knobs by name, the settings of a lane, and parameters drawn at random."""

import jax
import jax.numpy as jnp
import numpy as np

from lab.tasks.settings import Settings


def knobs_of(task, **given):
    return {name: jnp.float32(given.get(name, knob.default)) for name, knob in task.knobs.items()}


def drawn(task, seed):
    """Parameters of every shape, biases included, drawn N(0, 0.3^2)."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda key: task.init(key, knobs_of(task)), jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(0, 0.3, leaf.shape), leaf.dtype), shapes)


def lane(task, **knobs):
    values = np.array([knobs.get(name, knob.default) for name, knob in task.knobs.items()], np.float32)
    return Settings(np.eye(len(task.terms), dtype=np.float32)[0], values, values, np.float32(0.02), np.float32(1))
