"""The weighted sum of a task's loss terms at a point of a regimen."""

import jax.numpy as jnp
import numpy as np


def objective(task, params, batch, weights, knobs, progress, used=None):
    """Return the scalar to minimise.

    A term of weight 0 adds exactly nothing, also where it is infinite or nan, as long as its slope is finite: a slope
    that is not would make the gradient nan.

    Args:
        task: a `lab.tasks.Task`.
        params: parameters of one lane.
        batch: what `task.sample` returned.
        weights: weight of each loss term, shape (terms,), in the order of `task.terms`.
        knobs: dict of scalars.
        progress: share of training done, a scalar in [0, 1].
        used: loss terms whose weight may differ from 0; all by default. The others are never computed;
            without any the objective is 0.
    """
    losses = task.losses(params, batch, knobs, progress)
    at = [index for index, name in enumerate(task.terms) if used is None or name in used]
    if not at:
        return jnp.zeros((), weights.dtype)
    own = jnp.stack([losses[name] for index, name in enumerate(task.terms) if index in at])
    weights = weights[np.array(at)]
    return jnp.sum(weights * jnp.where(weights == 0, 0.0, own))
