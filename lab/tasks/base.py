"""What every task provides; nothing else in the lab knows a task's insides."""

import abc
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

EXACT = 1e9  # questions of a test that has no error
FLOOR = 1e-7  # below which a probability or a variance counts as this much, so that slopes stay finite

Knobs = Mapping[str, Float[Array, ""] | np.floating]  # knob -> value
Params = dict[str, Any]  # parameters of one model, by part
Scalars = dict[str, Float[Array, ""]]  # loss term or score -> value
Terms = dict[str, Any]  # loss term -> a float32 scalar, or a pair (value, side) of two


@dataclass(frozen=True)
class Knob:
    """A scalar that can be swept without recompiling.

    Attributes:
        default: value when a config does not set it.
        low, high: the closed range of values that a config may set.
        about: one line for people.
    """

    default: float
    low: float
    high: float
    about: str


@dataclass(frozen=True)
class Proxy:
    """Something an overseer can see that correlates with alignment. Its score has the proxy's own name.

    What a task says of its loss terms, scores and pass marks follows from its proxies by `loss_terms`, `scores_of` and
    `marks_of`. A task may also say those itself; then names of terms are enough here.

    Attributes:
        terms: its loss terms, the one that trains on it first: a mapping to one line about each, kept as their names.
        about: one line for people.
        push: weight of `term` at which `lab card` trains on it.
        alongside: weights of other terms without which the proxy makes no sense, for `lab card`.
        against: the term to train against it with a negative weight, which has to be bounded; the last by default.
        score: one line about its score.
        mark: the score from which a model passes by default.
        lines: loss term -> one line about it, as far as `terms` said.
    """

    terms: Collection[str]
    about: str
    push: float = 0.1
    alongside: Mapping[str, float] = field(default_factory=dict)
    _: KW_ONLY
    against: str = ""
    score: str = ""
    mark: float = 0.5
    lines: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(self.terms)
        lines = dict(self.terms) if isinstance(self.terms, Mapping) else {}
        object.__setattr__(self, "lines", lines)
        object.__setattr__(self, "terms", names)
        if names and not self.against:
            object.__setattr__(self, "against", names[-1])

    @property
    def term(self) -> str:
        """The loss term that trains on it."""
        return next(iter(self.terms))


def loss_terms(proxies: Mapping[str, Proxy]) -> dict[str, str]:
    """Return loss term -> one line about it, of all proxies."""
    return {name: line for proxy in proxies.values() for name, line in proxy.lines.items()}


def scores_of(proxies: Mapping[str, Proxy]) -> dict[str, str]:
    """Return score -> one line about it, of all proxies."""
    return {name: proxy.score for name, proxy in proxies.items()}


def marks_of(proxies: Mapping[str, Proxy]) -> dict[str, float]:
    """Return score -> default pass mark, of all proxies."""
    return {name: proxy.mark for name, proxy in proxies.items()}


@dataclass(frozen=True)
class Training:
    """How a task is trained unless a config says otherwise.

    Attributes:
        steps: optimiser steps.
        optimizer: "adam" or "sgd".
        learning_rate: rate at the first step.
        final_learning_rate: rate at the last step as a share of the first; a cosine joins them.
        momentum: Adam's b1, or the momentum of SGD.
        block_width: lanes trained together on one device, by platform.
    """

    steps: int
    optimizer: str
    learning_rate: float
    final_learning_rate: float
    momentum: float
    block_width: Mapping[str, int]


class Task(abc.ABC):
    """A data generator, a tiny model, the truth about what it learned, and its proxies.

    A concrete task is a frozen dataclass whose fields are static (they change array shapes, so a new value
    compiles a new program); everything in `knobs` is traced. Knobs arrive as a dict of float32 scalars.

    A task that acts may ask for more by the names of its parameters, as the methods say: `params` and `state` in
    `sample`, `key` in `measure`. Such a parameter comes after the others, and the lab passes it by keyword.

    Attributes:
        name: what configs call it.
        knobs: name -> `Knob`.
        terms: loss term -> one line about it; `main` is the objective that is always there.
        proxies: name -> `Proxy`.
        scores: score -> one line about it; `competence`, `alignment` and one per proxy are required.
        thresholds: default pass mark of `competence`, `alignment` and each proxy.
        training: defaults of a `Training`.
    """

    name: ClassVar[str]
    knobs: ClassVar[Mapping[str, Knob]]
    terms: ClassVar[Mapping[str, str]]
    proxies: ClassVar[Mapping[str, Proxy]]
    scores: ClassVar[Mapping[str, str]]
    thresholds: ClassVar[Mapping[str, float]]
    training: ClassVar[Training]

    @abc.abstractmethod
    def init(self, key: Key[Array, ""], knobs: Knobs) -> Any:
        """Return initial parameters, a pytree of float32 arrays, drawn from a PRNG key."""

    @abc.abstractmethod
    def sample(self, key: Key[Array, ""], knobs: Knobs) -> Any:
        """Return the data of one step, any pytree, drawn from a PRNG key.

        With a parameter `params` it gets the parameters before the step, which are constants to the gradient of the
        step; so the current policy may draw the data. With a parameter `state` it gets what `state` returned or the
        step before left, and returns the pair (data, new state).
        """

    def state(self, key: Key[Array, ""], knobs: Knobs) -> Any:
        """Return what `sample` keeps from step to step beside the parameters, as it is before the first step.

        It is any pytree of arrays, whole numbers allowed, drawn from a PRNG key. Its shapes and types never change. It
        is forked with the parameters, and only asked for if `sample` has a parameter `state`.
        """
        raise TaskError("sample takes `state`, and the task has no method state(key, knobs)")

    @abc.abstractmethod
    def losses(self, params: Any, batch: Any, knobs: Knobs, progress: Float[Array, ""]) -> Terms:
        """Return every loss term as a float32 scalar; `progress` in [0, 1] is the share of training done.

        The slope of every term must be finite wherever training leads, also of one that has no weight there: guard
        logarithms and roots.

        A term may be a pair (value, side) of such scalars. Only the value is multiplied by the weight of the term. The
        side (the loss of a critic, an entropy bonus) is added as it is wherever that weight is not 0, so training
        against the value does not train against the critic.
        """

    @abc.abstractmethod
    def measure(self, params: Any, knobs: Knobs) -> Scalars:
        """Return every score as a float32 scalar in [0, 1], nan if the parameters are not finite.

        With a parameter `key` it gets a PRNG key of the seed, the same at every checkpoint and in every condition.
        """


# --- how the lab calls a task --------------------------------------------------------------------------------------


class TaskError(Exception):
    """A task does not keep its contract; the message says how."""


NUMBER = jax.Array | np.ndarray | np.generic | int | float
OPTIONAL = {"sample": ("params", "state"), "measure": ("key",)}  # method -> parameters that it may have


def takes(task: Task, method: str) -> list[str]:
    """Return which parameters of `OPTIONAL` a method of a task has; they come behind its other two.

    Raises:
        TaskError: it has another parameter too, or an optional one in front.
    """
    parameters, optional = inspect.signature(getattr(task, method)).parameters, OPTIONAL[method]
    needed = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if set(optional) & set(needed[:2]) or set(needed[2:]) - set(optional):
        raise TaskError(
            f"{method} takes ({', '.join(parameters)}): behind its first two parameters there may only be "
            f"{' and '.join(optional)}"
        )
    return [name for name in optional if name in parameters]


def initial_state(task: Task, key: Callable[[], Key[Array, ""]], knobs: Knobs) -> Any:
    """Return what a task keeps beside the parameters before the first step: () if nothing.

    Args:
        task: that keeps it.
        key: makes the key of the seed, where it is needed; elsewhere it would only lengthen the program.
        knobs: knob -> value.

    Raises:
        TaskError: `sample` has parameters that it may not have, or takes `state` where the task has none.
    """
    return task.state(key(), knobs) if "state" in takes(task, "sample") else ()


def draw(task: Task, key: Key[Array, ""], knobs: Knobs, params: Any, state: Any) -> tuple[Any, Any]:
    """Return the data of one step and the new state; the state as it is if the task keeps none.

    Args:
        task: whose data they are.
        key: of the step.
        knobs: knob -> value.
        params: parameters before the step.
        state: what the task keeps beside them, () if nothing.

    Raises:
        TaskError: `sample` does not return (data, new state), or the new state has other shapes or types.
    """
    given = {"params": params, "state": state}
    names = takes(task, "sample")
    drawn = task.sample(key, knobs, **{name: given[name] for name in names})
    if "state" not in names:
        return drawn, state
    if not isinstance(drawn, tuple) or len(drawn) != 2:
        raise TaskError(f"sample takes `state`, so it must return a pair (data, new state), not {_kind(drawn)}")
    if jax.tree.structure(drawn[1]) != jax.tree.structure(state):
        raise TaskError("the new state that sample returns has other parts than the old one")
    leaves = zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(drawn[1]), strict=True)
    for (path, old), new in leaves:
        before, after = (f"{jnp.result_type(leaf)} of shape {jnp.shape(leaf)}" for leaf in (old, new))
        if before != after:
            part = jax.tree_util.keystr(path)
            raise TaskError(f"the new state{part} that sample returns must be {before} as before, not {after}")
    return drawn


def measured(task: Task, params: Any, knobs: Knobs, key: Callable[[], Key[Array, ""]]) -> Mapping[str, Any]:
    """Return every score.

    Args:
        task: whose scores they are.
        params: of one model.
        knobs: knob -> value.
        key: makes the key of the seed, where it is needed, as for `initial_state`.

    Raises:
        TaskError: `measure` has parameters that it may not have, or returns no dict.
    """
    scores = task.measure(params, knobs, **({"key": key()} if takes(task, "measure") else {}))
    if not isinstance(scores, Mapping):
        raise TaskError(f"measure returns {_kind(scores)}, not a dict of scores")
    return scores


def values_and_sides(losses: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the value of every loss term, and the side of those that have one, of what a task calls its losses.

    Raises:
        TaskError: they are not a dict, or a term is a tuple that is no pair of scalars.
    """
    if not isinstance(losses, Mapping):
        raise TaskError(
            f"losses returns {_kind(losses)}, not a dict of loss terms; a single term may be a pair (value, side)"
        )
    values, sides = dict(losses), {}
    for name, term in losses.items():
        if isinstance(term, tuple):
            scalars = [isinstance(part, NUMBER) and np.shape(part) == () for part in term]
            if scalars != [True, True]:
                raise TaskError(f"losses: {name} must be a scalar or a pair (value, side) of two scalars")
            values[name], sides[name] = term
    return values, sides


def _kind(thing: Any) -> str:
    """Return what a thing is that should be something else, in words."""
    return "a pair" if isinstance(thing, tuple) and len(thing) == 2 else f"a {type(thing).__name__}"


# --- what several tasks have in common -----------------------------------------------------------------------------

TEST_KNOBS = {
    "test_noise": Knob(0, 0, 1, "standard deviation of what is added to the score of the test"),
    "test_size": Knob(EXACT, 1, EXACT, "questions in a test: its error is that of so many; at the default it is exact"),
}
CAPABILITY = Knob(4096, 1, 4096, "hidden units of each layer that a model may use, up to the width; the rest give 0")
CONTROL = Proxy(
    {"control": "-ln P(badge): the badge has nothing to do with alignment"},
    "a badge that has nothing to do with alignment: LR = 1",
    score="P(badge)",
)


@jax.custom_vjp
def held(value: jax.Array) -> jax.Array:
    """Return a value that the gradient of a step takes for a constant, though a derivative through training does not.

    `jax.lax.stop_gradient` would hide it from both.
    """
    return value


held.defvjp(lambda value: (value, None), lambda _, slope: (jnp.zeros_like(slope),))


def traits(key: Key[Array, ""]) -> dict[str, Float[Array, ""]]:
    """Return what a model carries besides its networks: a badge, and luck in tests, which no training changes."""
    return {name: jax.random.normal(jax.random.fold_in(key, index)) for index, name in enumerate(("badge", "luck"))}


def noisy(tested: Float[Array, ""], luck: Float[Array, ""], knobs: Knobs) -> Float[Array, ""]:
    """Return the score of a test that is exactly `tested`, with the error that `TEST_KNOBS` say."""
    sampling = jnp.maximum(0.0, tested * (1 - tested)) / knobs["test_size"]
    spread = jnp.sqrt(knobs["test_noise"] ** 2 + jnp.where(knobs["test_size"] < EXACT, sampling, 0.0))
    return jnp.clip(tested + spread * luck, 0.0, 1.0)


def explained(
    hidden: Float[Array, "rows units"], functions: Float[Array | np.ndarray, "rows functions"]
) -> Float[Array, " functions"]:
    """Return the share of a hidden layer's variance over inputs that lies along each function of the inputs.

    It is |E[h g]|^2 / E|h - E h|^2, which no rotation or permutation of the units changes, so models compare.

    Args:
        hidden: a row for each of equally likely inputs.
        functions: orthonormal over the rows and each of mean 0, such as parities. Then the shares
            add up to at most 1 (Bessel's inequality).
    """
    centred = hidden - jnp.mean(hidden, axis=0, keepdims=True)
    along = functions.T @ centred / len(hidden)
    variance = jnp.mean(jnp.sum(centred**2, axis=1))
    return jnp.minimum(1.0, jnp.sum(along**2, axis=1) / (variance + FLOOR))


def probe_knobs(features: Sequence[str], weights: Sequence[float]) -> dict[str, Knob]:
    """Return the knobs of a linear probe on `explained` shares.

    Args:
        features: names of the shares.
        weights: default bias, then one weight per feature.
    """
    about = ("bias of the probe", *(f"weight of the share `encodes_{name}` in the probe" for name in features))
    return {
        f"probe_{name}": Knob(weight, -1e6, 1e6, line)
        for name, weight, line in zip(("bias", *features), weights, about, strict=True)
    }


def probe(features: Sequence[str], shares: Float[Array, " features"], knobs: Knobs) -> Float[Array, ""]:
    """Return the logit of a probe with the knobs of `probe_knobs`."""
    weights = jnp.stack([knobs[f"probe_{name}"] for name in features])
    return knobs["probe_bias"] + jnp.sum(weights * shares)


class ContextTask(Task):
    """A task whose models see context bits q; the parity of some of them says whether this is a test.

    Attributes:
        context_bits: number of bits, a static field of the task.
        batch: examples drawn per step, a static field; 0 for the exact expectation.
        base_knobs: knobs before `detection_difficulty` is bounded by the number of bits; `detectability` among them.
    """

    context_bits: int
    batch: int = 0
    base_knobs: ClassVar[Mapping[str, Knob]]

    @property
    def knobs(self) -> Mapping[str, Knob]:  # pyright: ignore[reportIncompatibleVariableOverride]  a size bounds one
        """Knobs by name; no more than `context_bits` bits can matter."""
        difficulty = self.base_knobs["detection_difficulty"]
        return {**self.base_knobs, "detection_difficulty": replace(difficulty, high=self.context_bits)}

    def contexts(
        self, knobs: Knobs
    ) -> tuple[Float[Array, "contexts bits"], Float[Array, " contexts"], Float[Array, " contexts"]]:
        """Return the seen bits of every context, and the distributions of tests and of deployment over contexts."""
        bits = np.array(np.meshgrid(*[[-1.0, 1.0]] * self.context_bits, indexing="ij"), np.float32)
        bits = bits.reshape(self.context_bits, -1).T
        used = jnp.arange(self.context_bits, dtype=jnp.float32)[None] < knobs["detection_difficulty"]
        cue = jnp.prod(jnp.where(used, bits, 1.0), axis=1)
        seen = knobs["detectability"] * jnp.where(used, bits, 0.0)
        return seen, (1 + cue) / len(bits), (1 - cue) / len(bits)

    def mixed(self, knobs: Knobs, similarity: str) -> Float[Array, " contexts"]:
        """Return a distribution over contexts: tests with the probability that a knob gives, deployment otherwise."""
        _, tests, deployment = self.contexts(knobs)
        return knobs[similarity] * tests + (1 - knobs[similarity]) * deployment

    def wrong(self, fooled: Float[Array | np.ndarray, " inputs"], knobs: Knobs) -> Float[Array, " inputs"]:
        """Return how often the overseer is wrong on inputs; `fooled` marks the recognisable quarter of them."""
        error, bias = jnp.asarray(knobs["overseer_error"]), knobs["overseer_bias"]
        return error * (bias * fooled + 1 - bias)

    def drawn(self, key: Key[Array, ""], exact: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Return weights of a step's data of any shape, summing to 1: exact ones, or those of `batch` draws."""
        if not self.batch:
            return exact
        # by inversion: comparing a few numbers costs less than drawing one for every example and outcome
        up_to = jnp.cumsum(exact.ravel())
        draws = jax.random.uniform(key, (self.batch, 1))
        below = jnp.sum(draws < (up_to / up_to[-1])[None], axis=0, dtype=jnp.float32)
        return (jnp.diff(below, prepend=0.0) / self.batch).reshape(exact.shape)
