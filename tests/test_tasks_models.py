import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.tasks import Scratchpad, Shortcut
from lab.tasks.models import Heads, usable


def test_units_beyond_a_number_give_nothing():
    hidden = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert usable(hidden, None) is hidden
    np.testing.assert_array_equal(usable(hidden, jnp.float32(2)), [[1, 2, 0], [4, 5, 0]])
    np.testing.assert_array_equal(usable(hidden, jnp.float32(4096)), hidden)


def test_heads_of_two_units_are_those_of_a_network_with_two_units():
    x, wide = jnp.array([[0.3, -1.2]]), Heads(4, (1, 2), 1.0)
    params = wide.init(jax.random.key(0), x)
    layers = params["params"]
    narrow = {
        "Dense_0": {"kernel": layers["Dense_0"]["kernel"][:, :2], "bias": layers["Dense_0"]["bias"][:2]},
        **{name: {**layers[name], "kernel": layers[name]["kernel"][:2]} for name in ("Dense_1", "Dense_2")},
    }
    hidden, *outputs = wide.apply(params, x, jnp.float32(2))
    hidden_of_two, *outputs_of_two = Heads(2, (1, 2), 1.0).apply({"params": narrow}, x)
    np.testing.assert_allclose(hidden[:, :2], hidden_of_two, rtol=1e-6)
    for one, other in zip(outputs, outputs_of_two, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "networks"), [(Scratchpad(width=4), ("sender", "receiver")), (Shortcut(width=4), ("core", "spurious"))]
)
def test_a_model_of_small_capability_uses_its_first_hidden_units_alone(task, networks):
    knobs = {name: jnp.float32(knob.default) for name, knob in task.knobs.items()} | {"capability": jnp.float32(1)}
    params = jax.jit(task.init)(jax.random.key(0), knobs)
    changed = jax.tree.map(lambda leaf: leaf, params)
    for network in networks:
        layer = changed[network]["params"]["Dense_0"]
        layer["kernel"] = layer["kernel"].at[:, 1:].set(9.0)
    measure = jax.jit(task.measure)
    assert {name: float(score) for name, score in measure(params, knobs).items()} == {
        name: float(score) for name, score in measure(changed, knobs).items()
    }
