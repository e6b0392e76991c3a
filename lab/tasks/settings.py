"""What a lane does in a segment, and the parts that a task's model is made of."""

import functools
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lab.machine.fixed import PRNG, fixed
from lab.tasks.base import Task

Vector = TypeVar("Vector")
Scalar = TypeVar("Scalar")


class Settings(NamedTuple, Generic[Vector, Scalar]):
    """What a lane does in one segment: float32 arrays in training, tuples of numbers and numbers in a condition.

    Attributes:
        weights: weight of each loss term, shape (..., terms).
        training_knobs: knobs as the losses see them in this segment, shape (..., knobs).
        world_knobs: knobs of the condition, which initial weights and scores see, shape (..., knobs).
        learning_rate: rate at the first step of training, shape (...).
        final_learning_rate: rate at the last step as a share of the first, shape (...).
        part_rates: factor of the learning rate of each part of the model, shape (..., parts) in the order of `parts`;
            or one for all of them, shape (...).
    """

    weights: Vector
    training_knobs: Vector
    world_knobs: Vector
    learning_rate: Scalar
    final_learning_rate: Scalar
    part_rates: Vector | Scalar | np.float32 = np.float32(1)


def stacked(settings: Iterable[Settings]) -> Settings[np.ndarray, np.ndarray]:
    """Return `Settings` of consecutive segments as one, every leaf with an axis of segments in front."""
    return Settings(*(np.array(leaf, np.float32) for leaf in zip(*settings, strict=True)))


@functools.cache
@fixed()
def parts(task: Task) -> tuple[str, ...]:
    """Return the names of the parts of a task's model: the top-level keys of its parameters."""
    scalar = jax.ShapeDtypeStruct((), jnp.float32)
    knobs = dict.fromkeys(task.knobs, scalar)
    seed = jax.ShapeDtypeStruct((), jnp.uint32)
    params = jax.eval_shape(lambda seed, knobs: task.init(jax.random.key(seed, impl=PRNG), knobs), seed, knobs)
    return tuple(sorted(params)) if isinstance(params, dict) else ("model",)
