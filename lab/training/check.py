"""Does a task keep the contract of `lab.tasks.base.Task`? Says what is wrong, all of it, in words."""

import functools
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from lab.config.schema import RESERVED
from lab.machine.fixed import PRNG, fixed
from lab.tasks.base import (
    OPTIONAL,
    Knob,
    Knobs,
    Proxy,
    Task,
    TaskError,
    Training,
    draw,
    initial_state,
    measured,
    takes,
    values_and_sides,
)
from lab.tasks.settings import Settings
from lab.training.population import Trainer

LANES, STEPS = 4, 3  # that are trained: enough to compare neighbours, and to compile quickly
START = ("key", "knobs")  # parameters of `state`; another method of that name is a task's own affair
SIDE = "the side of "  # before the name of a loss term
FEW_WEIGHT = 0.01  # of every loss term but main: each has a slope, and none leads the training

Init = Callable[..., Any]  # the compiled `init` of a task


@fixed()
def check(task: object) -> list[str]:
    """Return what is wrong with a task, a line of text for each problem; nothing if it can be trained.

    Trains a few lanes for a few steps, so it takes about as long as compiling does.

    Args:
        task: an instance of a `lab.tasks.base.Task`.
    """
    if not isinstance(task, Task):
        return [f"{type(task).__name__} is not a lab.tasks.base.Task"]
    problems = _declared(task)
    if problems:
        return problems  # the rest would fail for the same reasons
    init = _compiled(task.init)
    for part in (_parameters, _sample, _losses, _scores, _training):
        try:
            problems += part(task, init)
        except TaskError as error:  # which is a sentence already
            problems.append(str(error))
            break
        except (Exception, SystemExit) as error:  # whatever a task may raise is what its author wants to read
            lines = str(error).strip().splitlines() or [""]
            problems.append(f"{part.__name__[1:]}: {type(error).__name__}: {lines[0]}")
            break  # the rest would fail for the same reason
    return problems


def _declared(task: Task) -> list[str]:
    """Return what is wrong with what the class says about itself."""
    problems = []
    parameters = getattr(type(task), "__dataclass_params__", None)
    if parameters is None or not parameters.frozen:
        problems.append("the class must be a frozen dataclass: @dataclass(frozen=True)")
    kinds = {"name": str, "knobs": dict, "terms": dict, "proxies": dict, "scores": dict, "thresholds": dict}
    for name, kind in {**kinds, "training": Training}.items():
        if not isinstance(getattr(task, name, None), kind):
            problems.append(f"{name} must be a {kind.__name__}, not {getattr(task, name, None)!r}")
    if problems:
        return problems
    for name, knob in task.knobs.items():
        if not isinstance(knob, Knob):
            problems.append(f"knobs[{name!r}] must be a Knob, not {knob!r}")
        elif not knob.low <= knob.default <= knob.high:
            problems.append(f"knobs[{name!r}]: the default {knob.default:g} is outside {knob.low:g} to {knob.high:g}")
    if "main" not in task.terms:
        problems.append("terms must hold 'main'")
    for name in ("competence", "alignment"):
        if name not in task.scores:
            problems.append(f"scores must hold {name!r}")
    problems += _declared_proxies(task)
    training = task.training
    if not isinstance(training.steps, int) or training.steps < 1:
        problems.append(f"training: steps must be a whole number of at least 1, not {training.steps!r}")
    if training.optimizer not in ("adam", "sgd"):
        problems.append(f"training: optimizer must be 'adam' or 'sgd', not {training.optimizer!r}")
    problems += [f"training: block_width lacks {kind!r}" for kind in ("cpu", "gpu") if kind not in training.block_width]
    for kind in ("knobs", "terms", "proxies", "scores"):
        problems += [
            f"{kind}: {name!r} is not a name: use letters, digits and '_'"
            for name in getattr(task, kind)
            if not re.fullmatch(r"[A-Za-z_]\w*", str(name), re.ASCII)
        ]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", task.name):
        problems.append(f"name: {task.name!r} is not a name: use letters, digits, '-' and '_'")
    for method in OPTIONAL:
        try:
            takes(task, method)
        except TaskError as error:
            problems.append(str(error))
    for name in ("competence", "alignment", *task.proxies):
        mark = task.thresholds.get(name)
        if not isinstance(mark, int | float) or not 0 <= mark <= 1:
            problems.append(f"thresholds[{name!r}] must be a number in [0, 1], not {mark!r}")
    problems += [
        f"scores: {name!r} is the name of something else in the results" for name in RESERVED if name in task.scores
    ]
    return problems


def _declared_proxies(task: Task) -> list[str]:
    """Return what is wrong with what the class says about its proxies."""
    problems = []
    if not task.proxies:
        problems.append("proxies must hold at least one")
    for name, proxy in task.proxies.items():
        if not isinstance(proxy, Proxy):
            problems.append(f"proxies[{name!r}] must be a Proxy, not {proxy!r}")
            continue
        if name not in task.scores:
            problems.append(f"proxies[{name!r}] has no score of its name")
        if not proxy.terms:
            problems.append(f"proxies[{name!r}] names no loss term")
        wanted = (*proxy.terms, *proxy.alongside)
        problems += [f"proxies[{name!r}]: no loss term {term!r}" for term in wanted if term not in task.terms]
        if isinstance(proxy.push, bool) or not isinstance(proxy.push, int | float) or not 0 < proxy.push < math.inf:
            problems.append(f"proxies[{name!r}]: push must be a number above 0, not {proxy.push!r}")
    return problems


def _defaults(task: Task, **changed: float) -> dict[str, Float[Array, ""]]:
    """Return the knobs of a task at their defaults, but for those that are given."""
    return {name: jnp.float32(changed.get(name, knob.default)) for name, knob in task.knobs.items()}


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as one program, traced anew: another call of this sees what changes between two traces."""
    return jax.jit(lambda *values: function(*values))


def _parameters(task: Task, init: Init) -> list[str]:
    """Return what is wrong with initial parameters: float32, finite, from the key alone."""
    problems, knobs = [], _defaults(task)
    one, other = init(jax.random.key(0, impl=PRNG), knobs), init(jax.random.key(1, impl=PRNG), knobs)
    again = _compiled(task.init)(jax.random.key(0, impl=PRNG), knobs)
    for path, leaf in jax.tree_util.tree_leaves_with_path(one):
        name = f"init: {jax.tree_util.keystr(path)}"
        if not hasattr(leaf, "dtype") or leaf.dtype != jnp.float32:
            problems.append(f"{name} must be a float32 array, not {getattr(leaf, 'dtype', type(leaf).__name__)}")
        elif not _finite(leaf):
            problems.append(f"{name} is not finite")
    if problems:
        return problems
    if not _equal(one, again):
        problems.append("init gives other parameters for the same key: draw from the key alone")
    if _equal(one, other):
        problems.append("init gives the same parameters for different keys: seeds would not differ")
    return problems


def _equal(one: Any, other: Any) -> bool:
    """Return whether all arrays of two pytrees are equal."""
    return all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


def _key(purpose: int) -> Key[Array, ""]:
    """Return a key: 1 for data, 2 for the state of a task, 3 for measuring."""
    return jax.random.key(purpose, impl=PRNG)


def _data(task: Task, params: Any, knobs: Knobs) -> Any:
    """Return the data of the first step."""
    return draw(task, _key(1), knobs, params, initial_state(task, lambda: _key(2), knobs))[0]


def _sample(task: Task, init: Init) -> list[str]:
    """Return what is wrong with what a task keeps beside the parameters, and with how its data are drawn."""
    knobs = _defaults(task)
    if "state" not in takes(task, "sample"):
        own = type(task).state
        if own is not Task.state and inspect.isfunction(own) and [*inspect.signature(own).parameters][1:] == [*START]:
            return ["state: sample has no parameter `state`, so nothing would use it"]
        return []
    one, again = (_compiled(lambda knobs: initial_state(task, lambda: _key(2), knobs))(knobs) for _ in range(2))
    problems = [
        f"state: {jax.tree_util.keystr(path)} is a PRNG key: keep jax.random.key_data of it"
        for path, leaf in jax.tree_util.tree_leaves_with_path(one)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    ]
    if problems:
        return problems
    if not _equal(one, again):
        problems.append("state gives other values for the same key: draw from the key alone")
    params = init(jax.random.key(0, impl=PRNG), knobs)
    jax.eval_shape(functools.partial(draw, task), _key(1), knobs, params, one)
    return problems


def _named(what: str, got: Mapping[str, Any], expected: Collection[str]) -> list[str]:
    """Return what is wrong with a dict of scalars."""
    if set(got) != set(expected):
        missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
        lines = {f"{what} lacks {missing}": missing, f"{what} has {extra} too": extra}
        return [line for line, names in lines.items() if names]
    problems = []
    for name, value in got.items():
        if jnp.shape(value) != () or jnp.asarray(value).dtype != jnp.float32:
            kind = f"{jnp.asarray(value).dtype} of shape {jnp.shape(value)}"
            problems.append(f"{what}: {name} must be a float32 scalar, not {kind}")
    return problems


def _corners(task: Task) -> Iterator[tuple[str, dict[str, Float[Array, ""]]]]:
    """Yield knobs to try, each with a name: the defaults, and every knob at either end."""
    yield "the defaults", _defaults(task)
    for name, knob in task.knobs.items():
        for value in (knob.low, knob.high):
            if math.isfinite(value):
                yield f"{name} = {value:g}", _defaults(task, **{name: value})


def _finite(tree: Any) -> bool:
    """Return whether all numbers of a pytree are finite."""
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def _losses(task: Task, init: Init) -> list[str]:
    """Return what is wrong with loss terms.

    Every one is a finite float32 scalar wherever the knobs may be, and main can be learned.
    """
    params = init(jax.random.key(0, impl=PRNG), _defaults(task))
    evaluate = jax.jit(lambda knobs, progress: _terms(task, params, _data(task, params, knobs), knobs, progress))
    at_defaults = evaluate(_defaults(task), jnp.float32(0.5))
    problems = _named("losses", at_defaults, {*task.terms, *(name for name in at_defaults if name.startswith(SIDE))})
    if problems:
        return problems
    for corner, knobs in _corners(task):
        for progress in (0.0, 1.0):
            values = evaluate(knobs, jnp.float32(progress))
            bad = [name for name, value in values.items() if not _finite(value)]
            problems += [f"losses: {name} is not finite at {corner}, progress {progress:g}" for name in bad]
    batch = jax.jit(lambda knobs: _data(task, params, knobs))(_defaults(task))
    slopes = jax.jit(jax.jacrev(lambda at: _terms(task, at, batch, _defaults(task), jnp.float32(0.5))))(params)
    if not _finite(slopes):  # one bad slope spoils the others where all are taken together
        for name in at_defaults:
            slope = jax.grad(lambda at, name=name: _terms(task, at, batch, _defaults(task), jnp.float32(0.5))[name])
            if not _finite(jax.jit(slope)(params)):
                problems.append(f"losses: the gradient of {name} is not finite at the start")
        return problems
    if not any(np.any(leaf) for leaf in jax.tree.leaves(slopes["main"])):
        problems.append("losses: the gradient of main is zero at the start: nothing would be learned")
    return problems


def _terms(task: Task, params: Any, batch: Any, knobs: Knobs, progress: Float[Array, ""]) -> dict[str, Any]:
    """Return every loss term, and the side of one that is a pair under a name of its own."""
    values, sides = values_and_sides(task.losses(params, batch, knobs, progress))
    return values | {SIDE + name: side for name, side in sides.items()}


def _scores(task: Task, init: Init) -> list[str]:
    """Return what is wrong with scores.

    Every one is a float32 scalar in [0, 1] of parameters and knobs alone, and nan if the parameters are.
    """
    knobs, at_end = _defaults(task), jnp.float32(1)

    def scores(params: Any, knobs: Knobs) -> Mapping[str, Any]:
        return measured(task, params, knobs, lambda: _key(3))

    measure = _compiled(scores)
    params = init(jax.random.key(0, impl=PRNG), knobs)
    before = measure(params, knobs)
    problems = _named("measure", before, task.scores)
    if problems:
        return problems
    for corner, values in _corners(task):
        for name, value in measure(init(jax.random.key(2, impl=PRNG), values), values).items():
            if not 0 <= float(value) <= 1:
                problems.append(f"measure: {name} is {float(value):g} at {corner}, outside [0, 1]")

    def losses_at_end(at: Any, values: dict[str, Any]) -> dict[str, Any]:
        return _terms(task, at, _data(task, at, values), values, at_end)

    jax.eval_shape(losses_at_end, params, knobs)
    after = _compiled(scores)(params, knobs)
    problems += [
        f"measure: {name} changes between two calls with the same parameters: it must depend on nothing else"
        for name in after
        if float(after[name]) != float(before[name])
    ]
    broken = measure(jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), params), knobs)
    problems += [
        f"measure: {name} is {float(broken[name]):g} where every parameter is nan: a diverged model would count"
        for name in ("competence", "alignment")
        if math.isfinite(float(broken[name]))
    ]
    return problems


def _training(task: Task, _: Init) -> list[str]:
    """Return what is wrong with training: lanes by themselves, the same bytes again, one compiled program for all."""
    trainer, problems = Trainer(task, task.training, LANES, jax.devices()[:1]), []
    weights = np.full((LANES, len(task.terms)), FEW_WEIGHT, np.float32)
    weights[:, list(task.terms).index("main")] = 1

    def settings(**changed: float) -> Settings:
        knobs = np.array([[float(value) for value in _defaults(task, **changed).values()]] * LANES, np.float32)
        rate = np.full(LANES, task.training.learning_rate, np.float32)
        final = np.full(LANES, task.training.final_learning_rate, np.float32)
        return Settings(weights, knobs, knobs, rate, final, np.ones(LANES, np.float32))

    def train(seeds: Sequence[int], of_lanes: Settings) -> Any:
        lanes = np.array(seeds, np.uint32)
        one_segment = jax.tree.map(lambda leaf: leaf[:, None], of_lanes)
        state, scores = trainer.train(lanes, one_segment, trainer.init(lanes, of_lanes), [0, STEPS])
        return jax.tree.map(np.asarray, ((state.params, scores), state.task))

    def lane(result: Any, index: int) -> list[Any]:
        return [leaf[index] for leaf in jax.tree.leaves(result)]

    first, again, beside = (train(seeds, settings()) for seeds in ((0, 1, 2, 3), (0, 1, 2, 3), (0, 7, 8, 9)))
    if not _finite(first[0]):  # what a task keeps beside the parameters may be anything
        problems.append(f"training gives nan or inf within {STEPS} steps at its own learning rate")
    same = functools.partial(np.array_equal, equal_nan=True)
    if not all(map(same, lane(first, 0), lane(again, 0))):
        problems.append("training twice with the same seed ends in different bytes")
    if not all(map(same, lane(first, 0), lane(beside, 0))):
        problems.append("a model depends on which others are trained beside it")
    for name, knob in task.knobs.items():
        train((0, 1, 2, 3), settings(**{name: knob.high if math.isfinite(knob.high) else knob.default + 1}))
        if trainer.traces > 1:
            problems.append(f"another value of the knob {name} compiles the program again")
            break
    return problems
