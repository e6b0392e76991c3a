"""Blocks of seeds, trained on some devices along the tree of an experiment.

The tree is walked depth first, one block of seeds per device at a time, so memory does not grow with seeds. Each leaf
is handed out as soon as it is trained.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from lab.config.experiment import Experiment
from lab.config.schema import MAX_SEED, Leaf
from lab.machine.memory import available_memory
from lab.results.outcomes import Gate, survivors
from lab.results.shards import Variables, shard
from lab.results.store import StoreError
from lab.tasks.base import TaskError
from lab.tasks.settings import stacked
from lab.training.population import Device, State, Trainer
from lab.training.tree import Node, merge_chains, plan, used_terms

Progress = Callable[[int, int], None]  # takes what is done and what there is in all, in lane-steps
Shard = tuple[Leaf, int, Variables]  # what was trained, the first seed of the block, and what its shard holds
Table = Float32[np.ndarray, "lanes segments scores"]


class Lanes(NamedTuple):
    """Lanes between two segments.

    Attributes:
        seeds: of each lane.
        real: False where a lane only fills a place.
        state: of the block, None before training.
        scores: of the segments so far.
    """

    seeds: Int[np.ndarray, " lanes"]
    real: Bool[np.ndarray, " lanes"]
    state: State | None
    scores: list[Float[jax.Array | np.ndarray, "lanes _ scores"]]


class Finished(NamedTuple):
    """Lanes that are done with what a leaf asks of them; scores are nan from where a gate has stopped them."""

    leaf: Leaf
    seeds: Int[np.ndarray, " lanes"]
    scores: Table


class Waiting(NamedTuple):
    """Lanes in front of a node that are too few to fill a call, and the wanted leaves below it."""

    node: Node
    leaves: frozenset[Leaf]
    lanes: Lanes


class Blocks:
    """Trains blocks of seeds of an experiment on some devices; compiles once.

    If the config lets gates stop runs, lanes that no condition needs any more leave their block at the gate. Those that
    are left wait until there are enough of them, from several blocks, to fill one.
    """

    def __init__(self, experiment: Experiment, width: int, devices: Sequence[Device]):
        """Prepare; nothing is compiled before something is trained.

        Args:
            experiment: what to train.
            width: lanes per device.
            devices: JAX devices to use.
        """
        self.experiment, self.width, self.devices = experiment, width, devices
        self.edges = np.array([0, *experiment.ends])
        task, segments = experiment.task, len(experiment.ends)
        memory = available_memory() if devices[0].platform == "cpu" else None
        self.trainer = Trainer(task, experiment.training, width, devices, used_terms(experiment), segments, memory)
        self.scores = list(task.scores)
        self.gates: dict[Leaf, list[list[Gate]]] = {}  # those of each condition, a checkpoint being a segment's end
        for leaf, condition in zip(experiment.leaves, experiment.conditions, strict=True):
            gates = condition.gates if experiment.config.stop_rejected else ()
            segment_of = {share: experiment.ends.index(round(share * experiment.training.steps)) for share, *_ in gates}
            self.gates.setdefault(leaf, []).append([(segment_of[share], score, mark) for share, score, mark in gates])
        breaks = {gate[0] + 1 for conditions in self.gates.values() for gates in conditions for gate in gates}
        self.root = merge_chains(plan(experiment), breaks)

    def train(self, needed: Mapping[int, set[Leaf]], progress: Progress | None = None) -> Iterator[Shard]:
        """Train blocks, as many at a time as there are devices.

        Args:
            needed: first seed of a block -> its wanted leaves.
            progress: called when all is compiled, with nothing done, and whenever segments are trained.

        Yields:
            Every wanted shard.
        """
        starts, at_once = list(needed), len(self.devices)
        calls = [starts[index : index + at_once] for index in range(0, len(starts), at_once)]
        wanted = [frozenset(leaf for start in call for leaf in needed[start]) for call in calls]
        walk = _Walk(self, sum(map(functools.cache(self.steps), wanted)), progress)
        first = self.experiment.seeds.start
        tables: dict[tuple[Leaf, int], tuple[Table, Bool[np.ndarray, " lanes"]]] = {}
        for leaf, seeds, scores in walk.train(calls, wanted):
            block_of = first + (seeds - first) // self.width * self.width
            for start in np.unique(block_of).tolist():
                if leaf not in needed[start]:
                    continue
                if (leaf, start) not in tables:
                    tables[leaf, start] = self.empty_table(self.width), np.ones(self.width, bool)
                table, missing = tables[leaf, start]
                rows = seeds[block_of == start] - start
                table[rows], missing[rows] = scores[block_of == start], False
                if not missing.any():
                    del tables[leaf, start]
                    yield leaf, start, self._shard(start, table)

    def _shard(self, start: int, table: Table) -> Variables:
        """Return what the shard of a block holds; there may be no seeds for its last lanes."""
        seeds = range(start, min(start + self.width, MAX_SEED))
        checkpoints = [end / self.experiment.training.steps for end in self.experiment.ends]
        return shard(table[: len(seeds)], self.scores, seeds, checkpoints)

    def empty_table(self, lanes: int) -> Table:
        """Return scores that nobody knows yet."""
        return np.full((lanes, len(self.experiment.ends), len(self.scores)), np.nan, np.float32)

    def steps(self, leaves: frozenset[Leaf]) -> int:
        """Return the lane-steps of a call that ends in some leaves."""
        nodes, steps = [self.root], 0
        while nodes:
            below = [child for child in nodes.pop().children.values() if child.leaves & leaves]
            steps += sum(map(self.steps_of, below))
            nodes += below
        return steps

    def steps_of(self, node: Node) -> int:
        """Return the lane-steps of a call through the segments of one node."""
        return int(self.edges[node.end] - self.edges[node.depth]) * self.trainer.lanes

    def train_node(self, node: Node, lanes: Lanes) -> tuple[State, Float[jax.Array, "lanes _ scores"]]:
        """Train a full call of lanes through the segments of a node; return their state and scores.

        Raises:
            TaskError: the task does not keep its contract.
        """
        settings = stacked(node.settings)
        seeds, state = lanes.seeds.astype(np.uint32), lanes.state
        edges = self.edges[node.depth : node.end + 1]
        if state is None:
            self.trainer.prepare(seeds, settings, edges)
            state = self.trainer.init(seeds, jax.tree.map(lambda leaf: leaf[0], settings))
        return self.trainer.train(seeds, settings, state, edges)

    def still_needed(self, leaf: Leaf, depth: int, lanes: Lanes) -> Bool[np.ndarray, " lanes"]:
        """Return which lanes some condition of a leaf still needs when segment `depth` begins."""
        passed = [[gate for gate in gates if gate[0] < depth] for gates in self.gates[leaf]]
        if not all(passed):  # some condition has had no gate yet
            return np.ones(len(lanes.seeds), bool)
        table = np.concatenate(lanes.scores, axis=1)
        scores = {name: table[:, :, index] for index, name in enumerate(self.scores)}
        return np.any([survivors(scores, gates) for gates in passed], axis=0)


class _Walk:
    """One walk of calls through the tree of an experiment.

    Attributes:
        blocks: what trains.
        total: lane-steps there are in all.
        progress: is told how many of them are done.
        waiting: by the id of the node that lanes wait in front of.
    """

    def __init__(self, blocks: Blocks, total: int, progress: Progress | None):
        self.blocks, self.total, self.progress = blocks, total, progress
        self.done = 0
        self.waiting: dict[int, Waiting] = {}
        self.running: tuple[jax.Array, int] | None = None  # scores of the last segments, and their lane-steps

    def train(self, calls: Sequence[Sequence[int]], wanted: Sequence[frozenset[Leaf]]) -> Iterator[Finished]:
        """Train calls, each of some blocks by their first seeds with the leaves wanted of them; yield what is done."""
        width, devices, lanes_at_once = self.blocks.width, len(self.blocks.devices), self.blocks.trainer.lanes
        for call, leaves in zip(calls, wanted, strict=True):
            # devices that have no block of their own repeat the last one
            starts = [*call, *[call[-1]] * (devices - len(call))]
            seeds = np.concatenate([np.arange(start, start + width) for start in starts])
            real = np.arange(lanes_at_once) < len(call) * width
            yield from self._below(self.blocks.root, Lanes(seeds, real, None, []), leaves)
        while self.waiting:
            node, leaves, lanes = self.waiting.pop(min(self.waiting, key=lambda key: self.waiting[key].node.depth))
            count = len(lanes.seeds)
            lanes = _rows(lanes, np.pad(np.arange(count), (0, lanes_at_once - count), mode="edge"))
            yield from self._through(node, lanes._replace(real=np.arange(lanes_at_once) < count), leaves)
        if self.running:
            self._follow(None)

    def _follow(self, running: tuple[jax.Array, int] | None) -> None:
        """Wait for the segments before those that run now, and tell what is done: nothing, when the first ones run."""
        self.running, before = running, self.running
        if before is not None:
            before[0].block_until_ready()
            self.done += before[1]
        if self.progress:
            self.progress(self.done, self.total)

    def _through(self, node: Node, lanes: Lanes, leaves: frozenset[Leaf]) -> Iterator[Finished]:
        """Train a full call of lanes through the segments of a node, and what lies below it.

        Raises:
            StoreError: there is too little memory, or the task does not keep its contract.
        """
        try:
            state, scores = self.blocks.train_node(node, lanes)
            self._follow((scores, self.blocks.steps_of(node)))  # the next segments are made ready while these train
        except TaskError as error:
            raise StoreError(f"the task cannot be trained: {error}; lab check-task says all that is wrong") from None
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise StoreError(
                f"out of memory with {self.blocks.width:,} lanes per device ({str(error).splitlines()[0]}): lower "
                "training.block_width in the config (it is part of what a run is, so this makes another run)"
            ) from None
        yield from self._below(node, Lanes(lanes.seeds, lanes.real, state, [*lanes.scores, scores]), leaves)

    def _below(self, node: Node, lanes: Lanes, leaves: frozenset[Leaf]) -> Iterator[Finished]:
        """Train what lies below a node."""
        if not node.children:
            yield from self._finished(frozenset(node.leaves), lanes, lanes.real)
        for child in node.children.values():
            below = child.leaves & leaves
            if not below:
                continue
            needed = lanes.real & np.any([self.blocks.still_needed(leaf, child.depth, lanes) for leaf in below], axis=0)
            if (needed == lanes.real).all():
                yield from self._through(child, lanes, leaves)
                continue
            yield from self._finished(frozenset(below), lanes, lanes.real & ~needed)
            yield from self._gather(child, _rows(lanes, np.flatnonzero(needed)), leaves)

    def _gather(self, node: Node, lanes: Lanes, leaves: frozenset[Leaf]) -> Iterator[Finished]:
        """Let lanes wait in front of a node; train a call of them through it once they are enough."""
        at_once = self.blocks.trainer.lanes
        if before := self.waiting.pop(id(node), None):
            lanes, leaves_waiting = _joined(before.lanes, lanes), leaves | before.leaves
        else:
            leaves_waiting = leaves
        if len(lanes.seeds) >= at_once:
            yield from self._through(node, _rows(lanes, np.arange(at_once)), leaves_waiting)
            lanes = _rows(lanes, np.arange(at_once, len(lanes.seeds)))
        if len(lanes.seeds):
            self.waiting[id(node)] = Waiting(node, leaves_waiting, lanes)

    def _finished(
        self, leaves: frozenset[Leaf], lanes: Lanes, chosen: Bool[np.ndarray, " lanes"]
    ) -> Iterator[Finished]:
        """Yield what is known of chosen lanes at each leaf."""
        known = np.concatenate(lanes.scores, axis=1)
        for leaf in leaves:
            table = self.blocks.empty_table(len(lanes.seeds))
            for depth in range(known.shape[1]):
                needed = self.blocks.still_needed(leaf, depth, lanes)
                table[:, depth] = np.where(needed[:, None], known[:, depth], np.nan)
            yield Finished(leaf, lanes.seeds[chosen], table[chosen])


def _rows(lanes: Lanes, rows: Int[np.ndarray, " rows"]) -> Lanes:
    """Return some of the lanes, on the host."""
    return Lanes(*jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tuple(lanes)))


def _joined(first: Lanes, second: Lanes) -> Lanes:
    """Return all lanes of both."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), first, second)
