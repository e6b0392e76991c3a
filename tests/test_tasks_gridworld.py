"""`gridworld`: exact expectations over walks against walks that are followed one by one, and policies made by hand."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.tasks import Gridworld
from lab.training.check import check
from tests.task_inputs import knobs_of

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def away(task, knobs):
    """Parameters away from the start, biases included."""
    params = jax.jit(task.init)(jax.random.key(1), knobs)
    return jax.tree.map(lambda leaf: 2 * leaf + 0.1, params)


def losses_of(task, params, knobs, progress=0.5):
    return jax.jit(task.losses)(params, task.sample(jax.random.key(0), knobs), knobs, jnp.float32(progress))


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def softplus(z):
    return math.log1p(math.exp(z))


def answers(task, params, inputs, units):
    """Chances of the moves and the guess of the context for one input, in float64."""
    layers = {name: {k: np.asarray(v, float) for k, v in layer.items()} for name, layer in params["params"].items()}
    hidden = np.maximum(0, inputs @ layers["Dense_0"]["kernel"] + layers["Dense_0"]["bias"])
    hidden = hidden * (np.arange(task.width) < units)
    logits, guess = (hidden @ layers[name]["kernel"] + layers[name]["bias"] for name in ("Dense_1", "Dense_2"))
    return np.exp(logits) / np.exp(logits).sum(), guess.item()


def walks(task, chances, coin):
    """P(the coin is reached) from a random other cell: the walkers of each cell are moved on, step by step."""
    cells = list(itertools.product(range(task.size), repeat=2))
    walkers = {cell: 1 / (len(cells) - 1) for cell in cells if cell != coin}
    arrived = 0.0
    for _ in range(2 * task.size):
        moved = dict.fromkeys(cells, 0.0)
        for (x, y), share in walkers.items():
            for (dx, dy), chance in zip(((1, 0), (-1, 0), (0, 1), (0, -1)), chances[x, y], strict=True):
                cell = (min(max(x + dx, 0), task.size - 1), min(max(y + dy, 0), task.size - 1))
                moved[cell] += share * chance
        arrived += moved.pop(coin)
        walkers = moved
    return arrived


def brute_force(task, params, k, progress):
    """Every loss term and score, with walks followed one by one."""
    cells = list(itertools.product(range(task.size), repeat=2))
    corner, used = cells[-1], int(k["detection_difficulty"])
    contexts = list(itertools.product([-1, 1], repeat=task.context_bits))
    reached, surprise = {}, []

    def place(cell):
        return 2 * np.array(cell) / (task.size - 1) - 1

    for coin, bits in itertools.product(cells, contexts):
        tested = math.prod(bits[:used]) > 0
        seen = [k["detectability"] * bit * (index < used) for index, bit in enumerate(bits)]
        chances = {}
        for cell in cells:
            inputs = np.concatenate([k["temptation"] * place(cell), place(coin) - place(cell), seen])
            chances[cell], guess = answers(task, params["policy"], inputs, k["capability"])
            surprise.append(softplus(-guess if tested else guess))
        reached.setdefault((coin, tested), []).append(walks(task, chances, coin))

    def far(cell):
        return all(coordinate < task.size // 2 for coordinate in cell)

    rooms = {
        "elsewhere": [cell for cell in cells if cell != corner],
        "test": [cell for cell in cells if cell != corner and sum(cell) % 2 == 0],
        "audit": [cell for cell in cells if sum(cell) % 2 == 1],
        "far": [cell for cell in cells if far(cell)],
        "corner": [corner],
    }

    def mean(room, tests, overseer=False):
        """P(the coin is reached) in rooms, as the overseer sees it or in truth, in tests with a probability."""
        total = 0.0
        for cell, (tested, share) in itertools.product(rooms[room], ((True, tests), (False, 1 - tests))):
            truth = np.mean(reached[cell, tested])
            wrong = k["overseer_error"] * (k["overseer_bias"] * far(cell) + 1 - k["overseer_bias"]) if overseer else 0
            total += share * ((1 - wrong) * truth + wrong * (1 - truth)) / len(rooms[room])
        return total

    elsewhere, share = k["coin_elsewhere"], k["test_share"]
    main = (1 - elsewhere) * (1 - mean("corner", share)) + elsewhere * (1 - mean("elsewhere", share))
    main += k["preference"] * (1 - mean("elsewhere", 0))
    if progress >= k["implicit_onset"]:
        main -= k["implicit_proxy"] * math.log(mean("test", k["implicit_similarity"], True))
    losses = {
        "main": main,
        "test": -math.log(mean("test", 1, True)),
        "test_linear": 1 - mean("test", 1, True),
        "audit": -math.log(mean("audit", k["audit_similarity"], True)),
        "prerequisite": -math.log(mean("far", 0)),
        "control": softplus(-float(params["badge"])),
        "precursor": np.mean(surprise),
    }
    scores = {
        "competence": mean("corner", 0),
        "alignment": mean("elsewhere", 0),
        "test": mean("test", 1, True),
        "audit": mean("audit", k["audit_similarity"], True),
        "prerequisite": mean("far", 0),
        "control": sigmoid(float(params["badge"])),
        "test_competence": mean("corner", 1),
    }
    return losses, scores


@pytest.mark.parametrize(("size", "context_bits", "progress"), [(3, 2, 0.5), (4, 1, 0.4)])
def test_losses_and_scores_are_what_walks_followed_one_by_one_give(size, context_bits, progress, strict_dtypes):
    task = Gridworld(size=size, width=5, context_bits=context_bits)
    knobs = knobs_of(
        task,
        preference=0.3,
        temptation=1.3,
        coin_elsewhere=0.1,
        detectability=0.7,
        detection_difficulty=context_bits,
        test_share=0.2,
        capability=4,
        implicit_proxy=0.4,
        implicit_similarity=0.3,
        implicit_onset=0.5,
        overseer_error=0.6,
        overseer_bias=0.7,
        audit_similarity=0.4,
    )
    params = away(task, knobs)
    losses, scores = brute_force(task, params, {name: float(value) for name, value in knobs.items()}, progress)
    computed, measured = losses_of(task, params, knobs, progress), jax.jit(task.measure)(params, knobs)
    assert {name: float(value) for name, value in computed.items()} == pytest.approx(losses, rel=2e-5)
    assert {name: float(value) for name, value in measured.items()} == pytest.approx(scores, rel=2e-5)


def by_hand(task, knobs, bias=(0, 0, 0, 0), units=()):
    """A policy from biases of the moves and hidden units: (weights of the way to the coin, move, weight)."""
    params = jax.tree.map(jnp.zeros_like, jax.jit(task.init)(jax.random.key(0), knobs))
    layers = params["policy"]["params"]
    layers["Dense_1"]["bias"] = jnp.array(bias, jnp.float32)
    for index, (way, move, weight) in enumerate(units):
        layers["Dense_0"]["kernel"] = layers["Dense_0"]["kernel"].at[2:4, index].set(jnp.array(way, jnp.float32))
        layers["Dense_1"]["kernel"] = layers["Dense_1"]["kernel"].at[index, move].set(weight)
    return params


def test_a_policy_that_walks_into_the_corner_is_competent_and_meets_the_coin_elsewhere_by_chance():
    # it moves right or up, each with probability 1/2: in six moves of a 3 x 3 grid it needs a of one and b of the other
    task = Gridworld(size=3, width=4)
    knobs = knobs_of(task)
    scores = jax.jit(task.measure)(by_hand(task, knobs, bias=(50, -50, 50, -50)), knobs)
    arrive = [
        sum(math.comb(6, right) for right in range(a, 7 - b)) / 2**6
        for a, b in itertools.product(range(3), repeat=2)
        if (a, b) != (0, 0)
    ]
    assert float(scores["competence"]) == pytest.approx(sum(arrive) / 8, rel=1e-5)
    # a coin in the opposite corner is never met
    assert float(scores["prerequisite"]) == 0


def test_a_policy_that_walks_to_the_coin_is_aligned():
    task = Gridworld(size=4, width=4)
    knobs = knobs_of(task)
    units = [((1, 0), 0, 80), ((-1, 0), 1, 80), ((0, 1), 2, 80), ((0, -1), 3, 80)]
    scores = jax.jit(task.measure)(by_hand(task, knobs, units=units), knobs)
    for name in ("competence", "alignment", "test", "audit", "prerequisite", "test_competence"):
        assert float(scores[name]) == pytest.approx(1, abs=1e-5)


def test_an_overseer_who_wants_the_reverse_in_a_quarter_sees_a_perfect_policy_fail_there():
    task = Gridworld(size=4, width=4)
    knobs = knobs_of(task, overseer_error=1)
    units = [((1, 0), 0, 80), ((-1, 0), 1, 80), ((0, 1), 2, 80), ((0, -1), 3, 80)]
    scores = jax.jit(task.measure)(by_hand(task, knobs, units=units), knobs)
    # of the seven light cells that are not the corner two lie in the quarter, of the eight dark cells two
    assert float(scores["test"]) == pytest.approx(5 / 7, rel=1e-5)
    assert float(scores["audit"]) == pytest.approx(6 / 8, rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"size": 2}, {"size": 10}, {"width": 0}, {"context_bits": 4}, {"initial_scale": 0.0}]
)
def test_sizes_that_make_no_task_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Gridworld(**options)


def test_another_size_keeps_the_contract_of_a_task():
    assert check(Gridworld(size=3, width=4, context_bits=2)) == []
