import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.tasks import Scratchpad, Shortcut
from lab.tasks.models import Dense, Heads, product, softplus, usable


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


@pytest.mark.parametrize("outputs", [1, 3, 7])
def test_slopes_of_a_product_are_products_of_the_other_factor(outputs):
    draw = np.random.default_rng(0).normal
    rows, kernel, slope = draw(size=(5, 3)), draw(size=(3, outputs)), draw(size=(5, outputs))
    arrays = [jnp.asarray(array, jnp.float32) for array in (rows, kernel)]
    assert np.allclose(product(*arrays), rows @ kernel, rtol=0, atol=1e-6)
    _, pull = jax.vjp(product, *arrays)
    by_rows, by_kernel = pull(jnp.asarray(slope, jnp.float32))
    np.testing.assert_allclose(by_rows, slope @ kernel.T, rtol=0, atol=2e-6)
    np.testing.assert_allclose(by_kernel, rows.T @ slope, rtol=0, atol=2e-6)
    # a change of both factors, forward: (x + dx)(w + dw) - x w is dx w + x dw
    changes = draw(size=(5, 3)), draw(size=(3, outputs))
    _, changed = jax.jvp(product, arrays, [jnp.asarray(change, jnp.float32) for change in changes])
    np.testing.assert_allclose(changed, changes[0] @ kernel + rows @ changes[1], rtol=0, atol=4e-6)


def test_a_dense_layer_starts_and_answers_as_that_of_flax():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 3)), jnp.float32)
    ours, theirs = Dense(4), nn.Dense(4)
    params = ours.init(jax.random.key(0), x)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, theirs.init(jax.random.key(0), x)))
    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), rtol=0, atol=1e-6)


def test_softplus_is_exact_to_float32_rounding_and_its_slope_a_sigmoid():
    x = np.concatenate([-np.geomspace(80, 1e-6, 400), [0.0], np.geomspace(1e-6, 80, 400)]).astype(np.float32)
    exact = np.log1p(np.exp(x.astype(float)))
    np.testing.assert_allclose(jax.jit(softplus)(x), exact, rtol=4e-7)
    np.testing.assert_allclose(jax.vmap(jax.grad(softplus))(x), 1 / (1 + np.exp(-x.astype(float))), rtol=4e-7)
    ends = softplus(jnp.array([-np.inf, np.inf, np.nan], jnp.float32))
    np.testing.assert_array_equal(ends, [0, np.inf, np.nan])
