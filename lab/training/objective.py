"""The weighted sum of a task's loss terms at a point of a regimen."""

from collections.abc import Collection

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from lab.tasks.base import Knobs, Task, values_and_sides


def objective(
    task: Task,
    params: PyTree,
    batch: PyTree,
    weights: Float[Array | np.ndarray, " terms"],
    knobs: Knobs,
    progress: Float[Array, ""],
    used: Collection[str] | None = None,
) -> Float[Array, ""]:
    """Return the scalar to minimise.

    A term of weight 0 adds exactly nothing, also where it is infinite or nan, as long as its slope is finite: a slope
    that is not would make the gradient nan. The side of a term that is a pair (value, side) is added once where the
    weight of the term is not 0, whatever that weight is.

    Args:
        task: whose terms they are.
        params: parameters of one lane.
        batch: the data of the step.
        weights: weight of each loss term, in the order of `task.terms`.
        knobs: knob -> value.
        progress: share of training done, in [0, 1].
        used: loss terms whose weight may differ from 0; all by default. The others are never computed;
            without any the objective is 0.

    Raises:
        TaskError: `task.losses` returns something else than it should.
    """
    losses, sides = values_and_sides(task.losses(params, batch, knobs, progress))
    indices = [index for index, name in enumerate(task.terms) if used is None or name in used]
    if not indices:
        return jnp.zeros((), weights.dtype)
    names = [name for index, name in enumerate(task.terms) if index in indices]
    values = jnp.stack([losses[name] for name in names])
    weights = weights[np.array(indices)]
    total = jnp.sum(weights * jnp.where(weights == 0, 0.0, values))
    for index, name in enumerate(names):
        if name in sides:
            total += jnp.where(weights[index] == 0, 0.0, sides[name])
    return total
