"""The weighted sum of a task's loss terms at a point of a regimen."""

from collections.abc import Collection

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from lab.tasks.base import Knobs, Task


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
    that is not would make the gradient nan.

    Args:
        task: whose terms they are.
        params: parameters of one lane.
        batch: what `task.sample` returned.
        weights: weight of each loss term, in the order of `task.terms`.
        knobs: knob -> value.
        progress: share of training done, in [0, 1].
        used: loss terms whose weight may differ from 0; all by default. The others are never computed;
            without any the objective is 0.
    """
    losses = task.losses(params, batch, knobs, progress)
    indices = [index for index, name in enumerate(task.terms) if used is None or name in used]
    if not indices:
        return jnp.zeros((), weights.dtype)
    values = jnp.stack([losses[name] for index, name in enumerate(task.terms) if index in indices])
    weights = weights[np.array(indices)]
    return jnp.sum(weights * jnp.where(weights == 0, 0.0, values))
