"""Train a block of lanes through segments. Knows nothing of files, shards or statistics.

A lane is one training run: a seed with the settings of a condition. All settings are traced arrays, and so are the
edges of segments, so one compiled program serves a whole sweep. XLA may change last digits with the number of lanes per
device, which is therefore part of a run's identity.
"""

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import serialize_executable
from jax.interpreters.partial_eval import dce_jaxpr
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike
from jaxlib import version as jaxlib_version
from jaxtyping import Array, Float, Int, Integer, Key, PyTree

from lab.machine import programs, surroundings
from lab.machine.cores import allowed_cores
from lab.machine.fixed import PRNG, compile_options, fixed
from lab.tasks.base import Task, Training, draw, initial_state, measured
from lab.tasks.settings import Settings
from lab.training.objective import objective

if TYPE_CHECKING:
    from jaxlib._jax import Device  # to a checker of types, `jax.Device` is no type
else:
    Device = jax.Device

INITIAL_WEIGHTS, DATA, INITIAL_STATE, MEASURING = range(4)  # purposes of random numbers
LANES = PartitionSpec("lanes")
SHARED = PartitionSpec()
KEPT = 8  # compiled programs that this process keeps
_programs: dict[tuple[Any, ...], jax.stages.Compiled] = {}


class State(NamedTuple):
    """A lane in training: its parameters, the state of its optimiser, and what its task keeps beside them, if it does.

    A task that keeps nothing adds no array, so it is the same program as ever.
    """

    params: PyTree
    optimizer: PyTree
    task: PyTree = ()


def optimizer(
    kind: str, learning_rate: float | Float[Array, ""], momentum: float, eps_root: float = 0.0
) -> optax.GradientTransformation:
    """Return an optax transform; `learning_rate` may be traced. Adam has b2 = 0.99.

    Args:
        kind: adam or sgd.
        learning_rate: of this step.
        momentum: of sgd, or b1 of Adam.
        eps_root: added under Adam's square root, whose slope is infinite at 0; for differentiation through training.

    Raises:
        ValueError: `kind` is neither "adam" nor "sgd".
    """
    if kind == "adam":
        return optax.adam(learning_rate, b1=momentum, b2=0.99, eps_root=eps_root)
    if kind == "sgd":
        return optax.sgd(learning_rate, momentum=momentum)
    raise ValueError(f"unknown optimizer {kind!r}")


def scale_parts(updates: PyTree, rates: Float[ArrayLike, "*parts"]) -> PyTree:
    """Return updates with those of each part of the model times its factor.

    Args:
        updates: of the parameters.
        rates: factor of each part, as in `Settings`.
    """
    if not isinstance(updates, dict):
        return jax.tree.map(lambda leaf: leaf * jnp.ravel(rates)[0], updates)
    factors = jnp.broadcast_to(rates, (len(updates),))
    return {
        part: jax.tree.map(lambda leaf, factor=factor: leaf * factor, updates[part])
        for part, factor in zip(sorted(updates), factors, strict=True)
    }


def needed_leaves(function: Callable[[PyTree], Array], params: PyTree) -> PyTree:
    """Return for each leaf of some parameters whether a function of them depends on it, as its program says.

    Args:
        function: of the parameters; it is traced.
        params: for it.
    """
    program = jax.make_jaxpr(function)(params).jaxpr
    _, needed = dce_jaxpr(program, [True])
    return jax.tree.unflatten(jax.tree.structure(params), needed)


def key_of(purpose: int, seed: Integer[ArrayLike, ""]) -> Key[Array, ""]:
    """Return the PRNG key of a seed for a purpose, one of the constants above."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(0, impl=PRNG), purpose), seed)


def step(
    task: Task,
    training: Training,
    total: Float[ArrayLike, ""],
    seed_key: Key[Array, ""],
    settings: Settings,
    index: Int[ArrayLike, ""],
    state: State,
    used: Collection[str] | None = None,
    eps_root: float = 0.0,
) -> State:
    """Advance one lane by one step. Pure and differentiable, so it can also be scanned.

    Args:
        task: static.
        training: static.
        total: steps of the whole training.
        seed_key: PRNG key of the lane's data stream.
        settings: of this lane.
        index: the step, from 0.
        state: before the step.
        used: as for `lab.training.objective.objective`.
        eps_root: as for `optimizer`.

    Raises:
        TaskError: the task returns something else than it should.
    """
    progress = jnp.asarray(index, jnp.float32) / total
    knobs = dict(zip(task.knobs, settings.training_knobs, strict=True))
    batch, kept = draw(task, jax.random.fold_in(seed_key, index), knobs, state.params, state.task)

    def loss(params: PyTree) -> Float[Array, ""]:
        return objective(task, params, batch, settings.weights, knobs, progress, used)

    grads = jax.grad(loss)(state.params)
    floor = settings.final_learning_rate
    rate = settings.learning_rate * (floor + (1 - floor) * (1 + jnp.cos(jnp.pi * progress)) / 2)
    # the product with an array of JAX is one of JAX, which NumPy's types do not say
    transform = optimizer(training.optimizer, rate, training.momentum, eps_root)  # pyright: ignore[reportArgumentType]
    updates, optimizer_state = transform.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, scale_parts(updates, settings.part_rates))

    def chosen(new: Array, old: Array, needed: bool) -> Array:
        return new if needed else old

    # slopes and moments of the others are 0 throughout: said like this, XLA computes nothing for them
    needed = needed_leaves(loss, state.params)
    moments_needed = optax.tree_map_params(
        transform, lambda _, needed: needed, optimizer_state, needed, transform_non_params=lambda _: True
    )
    optimizer_state = jax.tree.map(chosen, optimizer_state, state.optimizer, moments_needed)
    return State(jax.tree.map(chosen, params, state.params, needed), optimizer_state, kept)


def init(task: Task, training: Training, seed: Integer[ArrayLike, ""], settings: Settings) -> State:
    """Return the `State` of one lane before training. Seed i starts alike in every condition with its knobs.

    Args:
        task: static.
        training: static.
        seed: of the lane.
        settings: of the lane.
    """
    knobs = dict(zip(task.knobs, settings.world_knobs, strict=True))
    params = task.init(key_of(INITIAL_WEIGHTS, seed), knobs)
    kept = initial_state(task, functools.partial(key_of, INITIAL_STATE, seed), knobs)
    return State(params, optimizer(training.optimizer, 0.0, training.momentum).init(params), kept)


def segments(
    task: Task,
    training: Training,
    total: Float[ArrayLike, ""],
    seed: Integer[ArrayLike, ""],
    settings: Settings,
    state: State,
    edges: Int[Array | np.ndarray, " edges"],
    count: Int[ArrayLike, ""],
    used: Collection[str] | None = None,
) -> tuple[State, Float[Array, "segments scores"]]:
    """Train one lane through segments and measure it at the end of each.

    Args:
        task: static.
        training: static.
        total: steps of the whole training.
        seed: of the lane.
        settings: of each segment, every leaf with an axis of segments in front.
        state: before the first segment.
        edges: step before each segment and after the last.
        count: how many of these segments to train.
        used: as for `lab.training.objective.objective`.

    Returns:
        The new state and the scores, in the order of `task.scores`; nan from `count` on.
    """
    seed_key = key_of(DATA, seed)

    def segment(
        index: Int[Array, ""], carried: tuple[State, Float[Array, "segments scores"]]
    ) -> tuple[State, Float[Array, "segments scores"]]:
        state, table = carried
        present = jax.tree.map(lambda leaf: leaf[index], settings)
        advance = functools.partial(step, task, training, total, seed_key, present, used=used)
        state = jax.lax.fori_loop(edges[index], edges[index + 1], advance, state)
        knobs = dict(zip(task.knobs, present.world_knobs, strict=True))
        scores = measured(task, state.params, knobs, functools.partial(key_of, MEASURING, seed))
        return state, table.at[index].set(jnp.stack([scores[name] for name in task.scores]))

    table = jnp.full((len(settings.weights), len(task.scores)), jnp.nan, jnp.float32)
    return jax.lax.fori_loop(0, count, segment, (state, table))


class _Call(NamedTuple):
    """A call of a program.

    Attributes:
        kind: init or train.
        lane: what is done to one lane.
        axes: which axis of each argument lanes lie on, None where they share it.
        block: the arguments, or their shapes where it is only compiled.
    """

    kind: str
    lane: Callable[..., PyTree]
    axes: tuple[Any, ...]
    block: tuple[PyTree, ...]

    @property
    def key(self) -> tuple[str, tuple[Any, ...]]:
        """What decides which program it is."""
        return self.kind, self.axes


class Trainer:
    """The compiled programs of a run: `init` and `train` act on blocks of lanes, sharded over devices.

    A call takes `len(devices) * width` lanes; each device works on `width` of them by itself. A lane's bytes depend on
    whether there is one device, for which XLA makes another program, or several. `Settings` are those of all lanes, or
    have a row per lane; then knobs may still be those of all, which is faster: what only depends on them is computed
    once.

    Attributes:
        lanes: lanes per call.
        traces: how often the training program was traced, which is how often it was compiled.
    """

    def __init__(
        self,
        task: Task,
        training: Training,
        width: int,
        devices: Sequence[Device],
        used: Collection[str] | None = None,
        most_segments: int = 1,
        memory: int | None = None,
    ):
        """Prepare the programs; nothing is compiled before the first call.

        Args:
            task: what is trained.
            training: its `steps`, `optimizer` and `momentum` count.
            width: lanes per device.
            devices: JAX devices to use.
            used: loss terms whose weight may differ from 0; all by default. The others are never computed.
            most_segments: that a call may train.
            memory: bytes that a program may take on all devices together; None if a device says so itself.
        """
        self.most_segments, self.memory = most_segments, memory
        self.task, self.training, self.used, self.devices = task, training, used, devices
        self.lanes = width * len(devices)
        self.traces = 0
        self.mesh = Mesh(np.array(devices), ("lanes",))
        self._compiled: dict[tuple[str, tuple[Any, ...]], jax.stages.Compiled] = {}

    @fixed()
    def prepare(
        self,
        seeds: Integer[ArrayLike, " lanes"],
        settings: Settings,
        edges: Int[np.ndarray, " edges"] | Sequence[int],
    ) -> None:
        """Compile both programs for blocks like this one: one is traced while the other is compiled.

        Without it, each program is compiled by its first call.

        Args:
            seeds: as for `train`.
            settings: as for `train`.
            edges: as for `train`.

        Raises:
            MemoryError: a program needs more memory than there is.
        """
        first = self._of_init(seeds, jax.tree.map(lambda leaf: leaf[0], settings))
        if first.key in self._compiled:
            return
        with ThreadPoolExecutor(1) as other:
            traced = self._traced(first)
            compiling = other.submit(fixed()(self._compile), first, traced.lower())
            state = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=leaf.weak_type), traced.out_avals
            )
            second = self._of_train(seeds, settings, state, edges)
            self._compile(second, self._traced(second).lower())
            compiling.result()

    @fixed()
    def init(self, seeds: Integer[ArrayLike, " lanes"], settings: Settings) -> State:
        """Return the state of a block before training.

        Args:
            seeds: of the lanes, uint32.
            settings: of all lanes, or with a row per lane.
        """
        return self._run(self._of_init(seeds, settings))

    @fixed()
    def train(
        self,
        seeds: Integer[ArrayLike, " lanes"],
        settings: Settings,
        state: State,
        edges: Int[np.ndarray, " edges"] | Sequence[int],
    ) -> tuple[State, Float[Array, "lanes _ scores"]]:
        """Train a block through consecutive segments.

        Args:
            seeds: of the lanes, uint32.
            settings: with an axis of segments, behind that of lanes where there is one.
            state: of the block.
            edges: step before each segment and after the last.

        Returns:
            Its state and the scores at the end of each segment.

        Raises:
            MemoryError: the program needs more memory than there is.
        """
        state, scores = self._run(self._of_train(seeds, settings, state, edges))
        return state, scores[:, : len(edges) - 1]

    def _of_init(self, seeds: Integer[ArrayLike, " lanes"], settings: Settings) -> "_Call":
        """Return the call that makes the state of a block before training."""
        lane = functools.partial(init, self.task, self.training)
        return _Call("init", lane, (0, _lane_axes(settings, 0)), (seeds, settings))

    def _of_train(
        self,
        seeds: Integer[ArrayLike, " lanes"],
        settings: Settings,
        state: PyTree,
        edges: Int[np.ndarray, " edges"] | Sequence[int],
    ) -> "_Call":
        """Return the call that trains a block through consecutive segments."""
        count, axes = len(edges) - 1, _lane_axes(settings, 1)
        short = self.most_segments - count
        edges = np.pad(np.asarray(edges, np.int32), (0, short), mode="edge")

        def padded(leaf: Any, lane_axis: int | None) -> Any:
            """Repeat the last segment, until there are as many as the program takes."""
            segment_axis = 0 if lane_axis is None else 1
            widths = [(0, short if axis == segment_axis else 0) for axis in range(np.ndim(leaf))]
            return np.pad(leaf, widths, mode="edge") if short else leaf

        settings = Settings._make(map(padded, settings, axes))
        lane = functools.partial(segments, self.task, self.training, np.float32(self.training.steps), used=self.used)
        return _Call("train", lane, (0, axes, 0, None, None), (seeds, settings, state, edges, np.int32(count)))

    def _traced(self, call: "_Call") -> jax.stages.Traced:
        """Return the program of a call, traced."""

        def whole(*block: PyTree) -> PyTree:
            self.traces += call.kind == "train"
            return jax.vmap(call.lane, in_axes=call.axes)(*block)

        specs = jax.tree.map(lambda axis: LANES if axis == 0 else SHARED, call.axes, is_leaf=lambda axis: axis is None)
        sharded = jax.shard_map(whole, mesh=self.mesh, in_specs=specs, out_specs=LANES, check_vma=False)
        shardings = jax.tree.map(lambda spec: NamedSharding(self.mesh, spec), specs)
        # with unused inputs, or two programs that differ in which inputs they use could have the same text
        return jax.jit(sharded, in_shardings=shardings, keep_unused=True).trace(*call.block)

    def _compile(self, call: "_Call", lowered: jax.stages.Lowered) -> None:
        """Compile the program of a call. Raises a MemoryError if it takes more than there is."""
        program = compiled(lowered, self.devices)
        self._check_memory(program)
        self._compiled[call.key] = program

    def _run(self, call: "_Call") -> Any:
        """Return what a program makes of a block; compile it first if lanes share other things than before."""
        if call.key not in self._compiled:
            self._compile(call, self._traced(call).lower())
        return self._compiled[call.key](*call.block)

    def _check_memory(self, program: jax.stages.Compiled) -> None:
        """Raise a MemoryError if a program takes more than there is."""
        if self.memory is None or (sizes := program.memory_analysis()) is None:
            return
        device = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes
        if (needed := device * len(self.devices)) > self.memory:
            raise MemoryError(f"{needed / 2**30:.1f} GiB needed, {self.memory / 2**30:.1f} GiB there")


def compiled(lowered: jax.stages.Lowered, devices: Sequence[Device]) -> jax.stages.Compiled:
    """Compile, unless the very same program was compiled for the same devices before; the last few are kept.

    Many runs of a process are one program: other seeds, weights, knobs and gates change none of its text. The text has
    no names of inputs and outputs, and does not say with which options it is compiled.

    Args:
        lowered: what `jax.jit(...).lower` returned, of a program that keeps unused inputs.
        devices: that it runs on.
    """
    text, options = lowered.as_text(), compile_options()
    if "jax.const" in text:  # arrays of the task are inputs (jax-ml/jax#29679), whose numbers the text does not say
        return lowered.compile(compiler_options=options)
    recorded = surroundings.recorded_options(jax.config.values)
    key = hashlib.sha256(text.encode()).digest(), lowered.in_tree, lowered.out_tree, tuple(devices), recorded
    program = _programs.pop(key, None) or _from_disk(lowered, text, devices, recorded)
    _programs[key] = program
    if len(_programs) > KEPT:
        _programs.pop(next(iter(_programs)))
    return program


def _from_disk(lowered: jax.stages.Lowered, text: str, devices: Sequence[Device], recorded: str) -> jax.stages.Compiled:
    """Return the program that an earlier process compiled and kept, or compile it and keep it.

    A program that was read runs the very machine code that was kept, so its bytes are those of that process
    (`tests/test_machine_programs.py`). It is kept for the same text, versions, processor and cores alone.

    JAX has a cache like this. With zstandard it runs what has changed on the disk (190 of 300 flipped bits passed), it
    writes files in place, and without `filelock` it grows for ever. Before jaxlib 0.10.2, whatever reads a program for
    a processor with AVX-512 says on stderr that the processor is another one (jax-ml/jax#38445). GPUs were not tried.

    Args:
        lowered: as for `compiled`.
        text: of the program.
        devices: as for `compiled`.
        recorded: options of JAX.
    """
    options = compile_options()
    if devices[0].platform != "cpu" or jaxlib_version.__version_info__ < (0, 10, 2):
        return lowered.compile(compiler_options=options)
    versions = jax.__version__, jaxlib_version.__version__, np.__version__, sys.version
    machine = surroundings.instructions(), os.cpu_count(), allowed_cores(), [device.id for device in devices]
    settings = sorted(options.items()), recorded, os.environ.get("XLA_FLAGS")
    key = repr((text, str(lowered.in_tree), str(lowered.out_tree), versions, machine, settings))
    if (kept := programs.load(key)) is not None:
        with contextlib.suppress(Exception):  # whatever it is, a program that cannot be read is compiled
            client = devices[0].client
            return serialize_executable.deserialize_and_load(kept, lowered.in_tree, lowered.out_tree, client, devices)
    program = lowered.compile(compiler_options=options)
    with contextlib.suppress(ValueError, NotImplementedError):  # it is of a kind that cannot be kept
        programs.save(key, serialize_executable.serialize(program)[0])
    return program


def _lane_axes(settings: Settings, behind: int) -> Any:
    """Return `Settings` that hold, for each leaf, which axis lanes lie on: 0, or None where there is no such axis.

    Args:
        settings: whose weights and knobs tell.
        behind: number of axes between that of lanes and those of a single lane.
    """
    weights, *knobs = (0 if np.ndim(leaf) == 2 + behind else None for leaf in settings[:3])
    return Settings._make([weights, *knobs, weights, weights, weights])
