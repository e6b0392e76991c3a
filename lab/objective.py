"""The weighted sum of a task's loss terms at a point of a regimen."""

import jax.numpy as jnp


def objective(task, params, batch, weights, knobs, progress):
    """Return the scalar to minimise.

    A term of weight 0 adds exactly nothing, also where it is infinite or nan.

    Args:
        task: a `lab.tasks.Task`.
        params: parameters of one lane.
        batch: what `task.sample` returned.
        weights: weight of each loss term, shape (terms,), in the order of `task.terms`.
        knobs: dict of scalars.
        progress: share of training done, a scalar in [0, 1].
    """
    terms = task.losses(params, batch, knobs, progress)
    losses = jnp.stack([terms[name] for name in task.terms])
    return jnp.sum(weights * jnp.where(weights == 0, 0.0, losses))
