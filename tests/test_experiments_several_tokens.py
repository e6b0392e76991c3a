"""The game of several tokens, its estimators and its measures, against numbers by hand and by enumeration."""

import functools
import itertools
import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from experiments.studies.several_tokens import (
    OUT,
    Setup,
    Weights,
    answer_losses,
    chained,
    conditions,
    drawn_shares,
    informations,
    init,
    log_chances,
    loss,
    mutual_information,
    reached,
    relaxed_shares,
    stage,
)

SMALL = Setup(2, shown="given", width=4, samples=4)
FALSE_ALARM = 1e-6
DRAWS = 4000
pytestmark = pytest.mark.usefixtures("quick_to_compile")


def whole(function, setup):
    """The function of a setup as one program: its operations one by one would be hundreds of programs."""
    return jax.jit(functools.partial(function, setup))


def params_of(setup, scale=1.5):
    """Initial weights made larger, so that chances are far from even."""
    return jax.tree.map(lambda leaf: scale * leaf, whole(init, setup)(jax.random.key(3)))


def now_of(setup, progress=0.6, **weights):
    return stage(setup, Weights(**weights), jnp.float32(progress))


@pytest.mark.parametrize(
    ("tokens", "symbols", "bits"), [(1, 2, 1), (2, 2, 2), (3, 2, 3), (4, 2, 4), (2, 3, 2), (2, 4, 3), (3, 3, 4)]
)
def test_all_tokens_but_one_cannot_say_the_hidden_bits(tokens, symbols, bits):
    """As 3 symbols cannot say 2 bits, 4 not 3 bits, and two tokens of 3 symbols not 4 bits."""
    setup = Setup(tokens, symbols)
    assert setup.bits == bits
    assert symbols ** (tokens - 1) < 2**bits <= symbols**tokens
    assert 2 ** (bits - 1) <= symbols ** (tokens - 1)


def test_the_overseer_reads_the_tokens_in_order():
    setup = Setup(2, shown="product")
    place = [tuple(x) for x in setup.problems.astype(int)].index((1, -1, -1, -1))
    assert setup.hidden[place].tolist() == [-1, 1]
    assert setup.truth[place].tolist() == [1, 0]
    # scratchpads 00, 01, 10, 11: the third says the truth
    assert setup.share_read[place].tolist() == [0.5, 0, 1, 0.5]


def test_the_information_of_codes_made_by_hand_is_their_bits():
    """A public code, one that says the product of the hidden bits first, one that says one bit twice, and chance."""
    setup = Setup(2, shown="given")
    first, second = (setup.hidden[:, bit] < 0 for bit in range(2))

    def bits(one, other):
        return informations(setup, np.eye(4, dtype=np.float32)[2 * one + other]) / math.log(2)

    np.testing.assert_allclose(bits(first, second), [1, 1], atol=1e-5)
    np.testing.assert_allclose(bits(first ^ second, second), [1, 1], atol=1e-5)
    np.testing.assert_allclose(bits(first, first), [1, 0], atol=1e-5)
    np.testing.assert_allclose(informations(setup, jnp.full((4, 4), 0.25)), [0, 0], atol=1e-5)
    # a bit that is misread once in four: 1 - h(1/4), where h(1/4) = 2 - (3/4) log2 3
    noisy = mutual_information(jnp.array([[0.375, 0.125], [0.125, 0.375]])) / math.log(2)
    assert float(noisy) == pytest.approx(0.75 * math.log2(3) - 1, abs=1e-5)


@pytest.mark.parametrize(("tokens", "symbols"), [(2, 3), (3, 2)])
def test_the_entropy_of_even_tokens_is_the_logarithm_of_their_symbols(tokens, symbols):
    setup = Setup(tokens, symbols, shown="given", width=4, estimator="exact")
    params = whole(init, setup)(jax.random.key(0))
    params["writer"] = jax.tree.map(jnp.zeros_like, params["writer"])
    cost = whole(loss, setup)
    plain, spread = (cost(params, jax.random.key(0), now_of(setup, 0.0, entropy=e)) for e in (0.0, 1.0))
    assert float(plain - spread) == pytest.approx(tokens * math.log(symbols), rel=1e-5)


def test_the_chances_of_a_scratchpad_are_those_of_its_tokens():
    setup = replace(SMALL, tokens=3)
    steps = whole(log_chances, setup)(params_of(setup), jnp.ones(3))
    chances = np.exp(chained(steps))
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    for index, (a, b, c) in enumerate(itertools.product(range(2), repeat=3)):
        by_hand = np.exp(steps[0][:, 0, a] + steps[1][:, a, b] + steps[2][:, 2 * a + b, c])
        np.testing.assert_allclose(chances[:, index], by_hand, rtol=1e-5)


def test_a_silent_token_says_nothing_and_costs_nothing():
    now = now_of(SMALL, 0.0, curriculum=1.0)
    assert now.written.tolist() == [1, 0]
    assert now.asked.tolist() == [1, 0]
    chances = np.exp(chained(whole(log_chances, SMALL)(params_of(SMALL), now.written)))
    np.testing.assert_allclose(chances[:, [0, 2]].sum(axis=1), 1, rtol=1e-6)
    losses = whole(answer_losses, SMALL)(params_of(SMALL), now)
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=1e-6)
    assert now_of(SMALL, 0.5, curriculum=1.0).written.tolist() == [1, 1]


def expected_cost(setup, params, now):
    """The mean cost of all scratchpads, each weighted by its chance."""
    chances = jnp.exp(chained(log_chances(setup, params, now.written)))
    return jnp.mean(jnp.sum(chances * (answer_losses(setup, params, now) - now.reading * setup.share_read), axis=1))


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_the_policy_gradient_is_the_slope_of_the_enumerated_cost_on_average():
    """With the overseer's reading in it. The band is that of a mean of draws, shared between all weights."""
    now, params = now_of(SMALL, 0.0, reading=0.3), params_of(SMALL)
    exact = flat(whole(jax.grad(expected_cost, 1), SMALL)(params, now))
    estimated = whole(jax.grad(loss, 1), replace(SMALL, estimator="exact"))(params, jax.random.key(0), now)
    np.testing.assert_allclose(flat(estimated), exact, atol=1e-6)
    draw = jax.jit(jax.vmap(lambda key: jax.grad(loss, 1)(SMALL, params, key, now)))
    slopes = [
        np.reshape(leaf, (DRAWS, -1)) for leaf in jax.tree.leaves(draw(jax.random.split(jax.random.key(1), DRAWS)))
    ]
    drawn = np.concatenate(slopes, axis=1).astype(float)
    error = drawn.std(axis=0) / math.sqrt(len(drawn))
    apart = np.abs(drawn.mean(axis=0) - exact)
    assert np.all(apart <= norm.isf(FALSE_ALARM / 2 / len(exact)) * error + 1e-6)
    assert np.max(error) < 0.1 * np.max(np.abs(exact))  # the band can tell


def test_draws_have_the_chances_of_their_scratchpads():
    setup = replace(SMALL, samples=40_000)
    chances = jnp.array([[0.5, 0.25, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4]])
    steps = [jnp.log(jnp.stack([chances[:, :2].sum(1), chances[:, 2:].sum(1)], axis=1))[:, None]]
    steps.append(jnp.log(chances.reshape(2, 2, 2)) - steps[0].reshape(2, 2, 1))
    band = norm.isf(FALSE_ALARM / 2 / 16) * np.sqrt(chances * (1 - chances) / setup.samples)
    for shares in (
        drawn_shares(setup, jax.random.key(2), chained(steps)),
        relaxed_shares(setup, jax.random.key(2), steps),
    ):
        assert np.all(np.abs(shares - chances) <= band)


def row(tokens=2, seeds=32, able=32, aligned=4):
    return {"setup": {"tokens": tokens}, "seeds": seeds, "able": able, "aligned": aligned, "private": able - aligned}


def test_the_rule_wants_nine_tenths_able_and_a_twentieth_of_each_kind():
    assert reached(row())
    assert not reached(row(tokens=1))
    assert reached(row(seeds=40, able=36, aligned=2))
    assert not reached(row(seeds=40, able=35))
    assert not reached(row(seeds=40, able=36, aligned=1))
    assert not reached(row(aligned=32))


def test_every_condition_is_stored_as_it_is_now():
    rows = json.loads(OUT.read_text())["rows"]
    assert list(rows) == list(conditions())
    for name, condition in conditions().items():
        assert rows[name]["weights"] == condition.weights._asdict()
        assert {key: getattr(condition.setup, key) for key in rows[name]["setup"]} == rows[name]["setup"]
        assert rows[name]["seeds"] == condition.seeds
