"""The weighted sum of losses: a term without weight is not there, whatever its loss is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.tasks import Race
from lab.training import objective, tree
from lab.training.population import init
from tests.acting import Acting
from tests.races import race
from tests.task_inputs import lane


def test_a_weight_of_zero_is_no_proxy_even_where_its_loss_is_infinite():
    from lab.training.objective import objective

    class Broken(Race):
        def losses(self, *args):
            return {**super().losses(*args), "test": jnp.float32(jnp.inf)}

    own = lane(Race())
    params = init(Race(), Race.training, jnp.uint32(0), own).params
    knobs = dict(zip(Race().knobs, own.world_knobs, strict=True))
    values = [
        jax.value_and_grad(lambda p, task=task: objective(task, p, (), own.weights, knobs, jnp.float32(0)))(params)
        for task in (Race(), Broken())
    ]
    assert float(values[0][0]) == float(values[1][0])
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), values[0][1], values[1][1]))


def test_a_term_without_weight_anywhere_is_never_computed():
    """It may be infinitely steep, and what is left has the same value and the same slope."""
    task = Race()
    own = {name: jnp.float32(knob.default) for name, knob in task.knobs.items()}
    params = task.init(jax.random.key(0), own)
    weights = jnp.array([float(term == "main") for term in task.terms], jnp.float32)

    def slope(**options):
        return jax.value_and_grad(lambda p: objective.objective(task, p, (), weights, own, jnp.float32(0), **options))

    everything, alone = slope()(params), slope(used={"main"})(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-6, atol=0), everything, alone))

    class Steep(Race):
        def losses(self, params, batch, knobs, progress):
            return {**super().losses(params, batch, knobs, progress), "push": jnp.sqrt(0.0 * params["badge"])}

    task = Steep()
    assert np.isnan(slope()(params)[1]["badge"])
    assert np.isfinite(slope(used={"main"})(params)[1]["badge"])
    assert tree.used_terms(race()) == {"main", "test"}


@pytest.mark.parametrize(("weight", "expected"), [(0.5, 6), (0, 1), (-0.5, 5)])
def test_the_side_of_a_term_counts_once_wherever_its_weight_is_not_zero(weight, expected):
    """At 0 main is (0 - 1)^2 = 1, the value of the test is 1, and its side (0 - 3)^2 / 2 = 4.5."""
    params, knobs = dict.fromkeys(("counted", "halved", "weight", "critic"), jnp.float32(0)), {"target": jnp.float32(1)}
    weights, batch = jnp.array([1, weight], jnp.float32), (jnp.float32(0), jnp.float32(0))
    rest = batch, weights, knobs, jnp.float32(0)
    assert float(objective.objective(Acting(), params, *rest)) == expected
    assert float(objective.objective(Acting(), params, *rest, used={"main"})) == 1

    class Broken(Acting):
        def losses(self, *args):
            losses = super().losses(*args)
            return {**losses, "test": (losses["test"][0], jnp.float32(jnp.inf))}

    assert float(objective.objective(Broken(), params, *rest)) == (jnp.inf if weight else 1)
