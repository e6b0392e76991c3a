"""Which lanes to train where: the plan of a run as a tree of segments, and the engine that walks it.

Conditions whose settings agree up to some segment share that part of the tree: it is trained once per seed and then
forked. Conditions that agree throughout are one leaf. The engine walks the tree depth first, one block of seeds per
device at a time, so memory does not grow with seeds, and publishes each leaf as soon as it is trained.
"""

import contextlib
import functools
import hashlib
import itertools
import os
import platform
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from lab.config.schema import MAX_SEED, MAX_SHARDS
from lab.machine import fixed as fixed_options
from lab.machine import surroundings
from lab.machine.fixed import fixed
from lab.machine.memory import available_memory
from lab.results import outcomes
from lab.results.store import FORMAT, Run, StoreError, check_vacant, checked, lock
from lab.tasks import base, models, settings
from lab.tasks.outside import TaskFileError, code_of, source_of
from lab.tasks.settings import Settings, stacked
from lab.training import objective, population
from lab.training.population import Trainer

TRAINING_CODE = (models, settings, objective, population, surroundings, fixed_options, base)
# keys of a config that change no model; a run goes on where only these differ
WORDS = ("name", "question", "stop", "proxy", "thresholds", "confidence", "baseline")


@dataclass
class Node:
    """Segments of training shared by all conditions below them.

    Attributes:
        settings: `Settings` of each segment; none for the root, which is before training.
        depth: index of the first segment.
        children: the next segments, by settings.
        leaves: digests of the distinct conditions whose training passes through here.
    """

    settings: tuple
    depth: int
    children: dict = field(default_factory=dict)
    leaves: set = field(default_factory=set)


def plan(experiment):
    """Return the tree of segments of an experiment; its leaves are called by their digests.

    Conditions with other knobs never share a segment, because initial weights and scores may depend on them.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
    """
    root = Node((), 0)
    for leaf, condition in dict(zip(experiment.leaves, experiment.conditions, strict=True)).items():
        node, settings = root, condition.settings
        node.leaves.add(leaf)
        for depth, own in enumerate(settings):
            node = node.children.setdefault(own, Node((own,), depth))
            node.leaves.add(leaf)
    return root


def chained(node, breaks=()):
    """Merge every node below one with its only child, so that they are trained in one go.

    Args:
        node: root of a tree.
        breaks: indices of segments that begin a node of their own.
    """
    for child in node.children.values():
        while len(child.children) == 1 and child.depth + len(child.settings) not in breaks:
            (below,) = child.children.values()
            child.settings, child.children = child.settings + below.settings, below.children
        chained(child, breaks)
    return node


def use_all_cores():
    """Make one JAX device of every core this process may use, unless JAX has already started.

    Raises:
        lab.machine.surroundings.Unusable: XLA would end this process because of XLA_FLAGS.
    """
    surroundings.check_flags(os.environ.get("XLA_FLAGS", ""))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def block_width(experiment, devices):
    """Return the lanes per device that a task suggests, or the config asks for, on devices of this kind."""
    return experiment.training.block_width["cpu" if devices[0].platform == "cpu" else "gpu"]


def used_terms(experiment):
    """Return the loss terms that have a weight other than 0 in some segment of some condition."""
    weights = np.array([own.weights for condition in experiment.conditions for own in condition.settings])
    return frozenset(name for name, used in zip(experiment.task.terms, weights.any(axis=0), strict=True) if used)


def identity(task, devices):
    """Return what a run's bytes depend on besides its config and block width.

    Raises:
        StoreError: code has changed since this process loaded it.
    """
    digest = hashlib.sha256()
    try:
        sources = {module.__name__: source_of(module) for module in TRAINING_CODE}
        sources |= code_of(sys.modules[type(task).__module__])
    except TaskFileError as error:
        raise StoreError(str(error)) from None
    for source in sorted(sources.values()):
        digest.update(hashlib.sha256(source).digest())
    return {
        **{name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")},
        "python": platform.python_version(),
        "training_code": digest.hexdigest()[:16],
        "device": devices[0].device_kind,
        **surroundings.identity(devices[0].platform, jax.config.values),
    }


def run(experiment, out=None, *, accept_changes=False, progress=None, say=None, still_open=None, train=None):
    """Train what is missing of a run and return it.

    What was trained before counts, whatever else the config said then: other words, pass marks, stopping rules or
    numbers of seeds are written into the manifest. A config that says when to stop is trained look by look; a condition
    that needs no more seeds gets none. The manifest holds the number of seeds so far, and that of each distinct
    condition as `leaf_seeds`.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        out: the run's folder; `runs/NAME-DIGEST` by default.
        accept_changes: go on with a run that other code, versions or devices began; the manifest records it.
        progress: called with (lane-steps done, lane-steps in all) now and then.
        say: called with a line of text about anything a person should know.
        still_open: called with the run after each look but the last, returns the names of the conditions that still
            need seeds; needed if the config says when to stop (`lab.results.summary.still_open`).
        train: what trains missing shards, as `here` returns it, which is the default.

    Raises:
        ValueError: the config says when to stop and `still_open` is not given.
        StoreError: the folder holds something else, was begun with other code, versions or devices, is in use by
            another process, or cannot be written.
    """
    if experiment.config.stop and still_open is None:
        raise ValueError("the config says when to stop: `still_open` must decide it")
    path, train = folder(experiment, out), train or here(experiment)
    check_vacant(path)
    with lock(path):
        use_all_cores()
        stored = prepare(experiment, path, accept_changes)
        for line in stored.clean():
            if say:
                say(line)
        # looks before the one that was reached were not enough
        looks = [look for look in stored.manifest["looks"] if look >= stored.manifest["seeds"]["count"]]
        for look, following in itertools.zip_longest(looks, looks[1:]):
            if missing := missing_shards(stored):
                train(stored, missing, progress, say)
            names = following and still_open(stored)
            if not names:
                break
            stored = Run.create(path, _extended(stored.manifest, look, following, names))
    return stored


def _extended(manifest, look, following, names):
    """Return the manifest of the following look: only the named conditions get seeds up to there."""
    needed = {condition["leaf"] for condition in manifest["conditions"] if condition["name"] in names}
    reached = manifest["leaf_seeds"] or {condition["leaf"]: look for condition in manifest["conditions"]}
    counts = {leaf: following if leaf in needed else count for leaf, count in reached.items()}
    return {**manifest, "seeds": {**manifest["seeds"], "count": following}, "leaf_seeds": counts}


def folder(experiment, out=None):
    """Return the folder of a run: `out`, or runs/NAME-DIGEST; the digest is of what is trained."""
    return Path(os.path.expanduser(out)) if out else Path("runs") / experiment.folder_name


def prepare(experiment, path, accept_changes=False):
    """Write the manifest of a run, or open the run and write into it what the config says now.

    The folder must be locked.

    Raises:
        StoreError: the folder holds a run that trains something else, or was begun with other code, versions or
            devices, or by an older lab.
    """
    now = describe(experiment, jax.devices())
    if not (path / "manifest.json").exists():
        return Run.create(path, now)
    stored = Run(path)
    then = stored.manifest
    check_same(stored, now)
    differs = identity_differs(then, now)
    if differs and not accept_changes:
        raise StoreError(
            f"{path} was begun with something else ({'; '.join(differs)}); "
            "give another --out, or --accept-changes to mix the two, which the manifest will record"
        )
    now["changes"] = [*then["changes"], *([differs] if differs else [])]
    now["accepted"] = [*then["accepted"], *([stored.maker] if differs else [])]
    # a run that stops by a rule has reached a look, unless it is another rule now
    progress = ("seeds", "leaf_seeds")
    same = all(then[key] == value for key, value in checked(now, path).items() if key not in progress)
    return stored if same else Run.create(path, now)


def check_same(stored, now):
    """Raise `StoreError` unless a run trains what a manifest describes.

    Args:
        stored: a `lab.results.store.Run`.
        now: what `describe` returned.
    """
    then, path = stored.manifest, stored.path
    if then["format"] != FORMAT:
        raise StoreError(f"{path} was begun by an older lab: it can be read and not gone on with; give another --out")
    if then["trains"] != now["trains"]:
        keys = [key for key in now["config"].keys() | then["config"].keys() if key not in WORDS]
        changed = sorted(key for key in keys if now["config"].get(key) != then["config"].get(key))
        raise StoreError(f"{path} holds another run (its {', '.join(changed)} differ); give another --out")
    if then["block_width"] != now["block_width"]:
        raise StoreError(
            f"{path} was begun with blocks of {then['block_width']:,} models, not of {now['block_width']:,}: "
            f"give another --out, or training.block_width: {then['block_width']}"
        )


def identity_differs(then, now):
    """Return what is not as it was of that which bytes depend on, in words; both are manifests."""
    return [
        f"{key}: {then['identity'].get(key)!r} then, {value!r} now"
        for key, value in now["identity"].items()
        if then["identity"].get(key) != value
    ]


def missing_shards(stored):
    """Return the keys (leaf, first seed) of the shards that a run still needs.

    There may be more than it needs: of seeds that another config of the same training asked for.

    Raises:
        StoreError: there is a file that is none of its shards.
    """
    present, manifest = stored.shards(), stored.manifest
    leaves = {condition["leaf"] for condition in manifest["conditions"]}
    for (leaf, seed), path in present.items():
        if leaf not in leaves or (seed - manifest["seeds"]["first"]) % manifest["block_width"]:
            raise StoreError(f"{path}: not a shard of this run; take it away")
    return [key for key in outcomes.expected_shards(manifest) if key not in present]


def describe(experiment, devices):
    """Return the manifest of a run: the config filled in, the conditions, and what its bytes depend on."""
    width = block_width(experiment, devices)
    looks = experiment.looks(width)
    shards = len(set(experiment.leaves)) * -(-looks[-1] // width)
    if shards > MAX_SHARDS:
        raise StoreError(f"{shards:,} shards, more than the limit of {MAX_SHARDS:,}: raise training.block_width")
    return {
        "format": FORMAT,
        "name": experiment.name,
        "hash": experiment.hash,
        "trains": experiment.trains,
        "question": experiment.config.question,
        "source": experiment.source,
        "config": experiment.as_json(),
        "scores": list(experiment.task.scores),
        "checkpoints": [end / experiment.training.steps for end in experiment.ends],
        "seeds": {"first": experiment.seeds.start, "count": looks[0]},
        "looks": looks,
        "proxy": experiment.config.proxy,
        "thresholds": experiment.thresholds,
        "baseline": experiment.baseline,
        "confidence": experiment.config.confidence,
        "conditions": [
            {
                "name": condition.name,
                "regimen": condition.regimen,
                "coordinates": condition.coordinates,
                "knobs": condition.knobs,
                "gates": condition.gates,
                "leaf": leaf,
            }
            for condition, leaf in zip(experiment.conditions, experiment.leaves, strict=True)
        ],
        "identity": identity(experiment.task, devices),
        "block_width": width,
    }


def by_block(missing):
    """Group shards: first seed of a block -> the leaves that are missing there, in the order of the seeds."""
    needed = {}
    for leaf, seed in sorted(missing, key=lambda key: key[1]):
        needed.setdefault(seed, set()).add(leaf)
    return needed


def here(experiment):
    """Return a function that trains missing shards of an experiment in this process and publishes them.

    It takes the `lab.results.store.Run`, the keys (leaf, first seed) of the shards, and `progress` and `say` as `run`
    does.
    """
    blocks = functools.cache(lambda width: Blocks(experiment, width, jax.devices()))

    def train(stored, missing, progress=None, say=None):
        with fixed(), ThreadPoolExecutor(1) as writer:  # the disk works while the next block trains
            writing = deque()
            for shard in blocks(stored.manifest["block_width"]).train(by_block(missing), progress):
                writing.append(writer.submit(stored.write, *shard))
                if len(writing) > 8:
                    writing.popleft().result()
            for last in writing:
                last.result()

    return train


class Blocks:
    """Trains blocks of seeds of an experiment on some devices; compiles once.

    If the config lets gates stop runs, lanes that no condition needs any more leave their block at the gate. Those that
    are left wait until there are enough of them, from several blocks, to fill one.
    """

    def __init__(self, experiment, width, devices):
        """Prepare; nothing is compiled before something is trained.

        Args:
            experiment: a `lab.config.experiment.Experiment`.
            width: lanes per device.
            devices: JAX devices to use.
        """
        self.experiment, self.width, self.devices = experiment, width, devices
        self.edges = np.array([0, *experiment.ends])
        task, most = experiment.task, len(experiment.ends)
        limit = available_memory() if devices[0].platform == "cpu" else None
        self.trainer = Trainer(task, experiment.training, width, devices, used_terms(experiment), most, limit)
        self.running = None
        root, names = plan(experiment), list(task.scores)
        self.gates = {}  # leaf -> (index of a segment, index of a score, lowest that survives) of each condition
        for leaf, condition in zip(experiment.leaves, experiment.conditions, strict=True):
            gates = condition.gates if experiment.config.stop_rejected else ()
            at = [experiment.ends.index(round(share * experiment.training.steps)) for share, *_ in gates]
            own = [(place, names.index(score), mark) for place, (_, score, mark) in zip(at, gates, strict=True)]
            self.gates.setdefault(leaf, []).append(own)
        every = itertools.chain.from_iterable(itertools.chain.from_iterable(self.gates.values()))
        self.root = chained(root, {place + 1 for place, *_ in every})

    def train(self, needed, progress=None):
        """Train blocks, as many at a time as there are devices.

        Args:
            needed: first seed of a block -> its wanted leaves.
            progress: called with (lane-steps done, lane-steps in all) after every segment.

        Yields:
            (leaf, first seed, variables) of every wanted shard, as `lab.results.outcomes.shard` makes them.
        """
        starts, each = list(needed), len(self.devices)
        calls = [starts[i : i + each] for i in range(0, len(starts), each)]
        wanted = [frozenset().union(*(needed[seed] for seed in call)) for call in calls]
        total, done = sum(map(functools.cache(self.steps), wanted)), 0
        tables, first = {}, self.experiment.seeds.start
        for leaf, seeds, scores in self._lanes(calls, wanted):
            if leaf is None:
                done += scores
                if progress:
                    progress(done, total)
                continue
            blocks = first + (seeds - first) // self.width * self.width
            for start in np.unique(blocks).tolist():
                if leaf not in needed[start]:
                    continue
                table, missing = tables.get((leaf, start)) or self._empty(self.width)
                rows = seeds[blocks == start] - start
                table[rows], missing[rows] = scores[blocks == start], False
                tables[leaf, start] = table, missing
                if not missing.any():
                    del tables[leaf, start]
                    yield leaf, start, self._shard(start, table)

    def _empty(self, lanes):
        shape = (lanes, len(self.experiment.ends), len(self.experiment.task.scores))
        return np.full(shape, np.nan, np.float32), np.ones(lanes, bool)

    def steps(self, leaves):
        """Return the lane-steps of a call that ends in these leaves."""
        nodes, steps = [self.root], 0
        while nodes:
            below = [child for child in nodes.pop().children.values() if child.leaves & leaves]
            steps += sum(map(self._steps, below))
            nodes += below
        return steps

    def _steps(self, node):
        return int(self.edges[node.depth + len(node.settings)] - self.edges[node.depth]) * self.trainer.lanes

    def _shard(self, start, table):
        experiment = self.experiment
        seeds = range(start, min(start + self.width, MAX_SEED))
        checkpoints = [end / experiment.training.steps for end in experiment.ends]
        return outcomes.shard(table[: len(seeds)], list(experiment.task.scores), seeds, checkpoints)

    def _lanes(self, calls, wanted):
        """Train calls; yield (leaf, seeds, scores) of lanes that are done, and (None, None, lane-steps) in between."""
        waiting = {}  # id of a node -> the node, its wanted leaves, and lanes in front of it
        for call, leaves in zip(calls, wanted, strict=True):
            # devices that have no block of their own repeat the last one
            blocks = [
                np.arange(start, start + self.width) for start in [*call, *[call[-1]] * (len(self.devices) - len(call))]
            ]
            real = np.arange(self.trainer.lanes) < len(call) * self.width
            yield from self._walk(self.root, Lanes(np.concatenate(blocks), real, None, []), leaves, waiting)
        while waiting:
            node, leaves, held = waiting.pop(min(waiting, key=lambda key: waiting[key][0].depth))
            short = self.trainer.lanes - len(held.seeds)
            every = np.pad(np.arange(len(held.seeds)), (0, short), mode="edge")
            held = _rows(held, every)._replace(real=np.arange(self.trainer.lanes) < self.trainer.lanes - short)
            yield from self._segments(node, held, leaves, waiting)

    def _walk(self, node, lanes, leaves, waiting):
        """Train what lies below a node; yields as `_lanes` does."""
        if not node.children:
            yield from self._done(node.leaves, lanes, lanes.real)
        for child in node.children.values():
            below = child.leaves & leaves
            if not below:
                continue
            needed = lanes.real & np.any([self._goes_on(leaf, child.depth, lanes) for leaf in below], axis=0)
            if (needed == lanes.real).all():
                yield from self._segments(child, lanes, leaves, waiting)
                continue
            yield from self._done(below, lanes, lanes.real & ~needed)
            held, each = _rows(lanes, np.flatnonzero(needed)), self.trainer.lanes
            _, others, before = waiting.pop(id(child), (child, frozenset(), None))
            held = held if before is None else _joined(before, held)
            if len(held.seeds) >= each:
                yield from self._segments(child, _rows(held, np.arange(each)), leaves | others, waiting)
                held = _rows(held, np.arange(each, len(held.seeds)))
            if len(held.seeds):
                waiting[id(child)] = child, leaves | others, held

    def _done(self, leaves, lanes, chosen):
        """Yield what is known of chosen lanes at each leaf; nothing from after a gate of the leaf has stopped them."""
        known = np.concatenate(lanes.scores, axis=1)
        for leaf in leaves:
            table, _ = self._empty(len(lanes.seeds))
            for depth in range(known.shape[1]):
                table[:, depth] = np.where(self._goes_on(leaf, depth, lanes)[:, None], known[:, depth], np.nan)
            yield leaf, lanes.seeds[chosen], table[chosen]

    def _goes_on(self, leaf, depth, lanes):
        """Return which lanes some condition of a leaf still needs when segment `depth` begins, shape (lanes,)."""
        passed = [[gate for gate in gates if gate[0] < depth] for gates in self.gates[leaf]]
        if not all(passed):  # some condition has had no gate yet
            return np.ones(len(lanes.seeds), bool)
        scores = np.concatenate(lanes.scores, axis=1)
        reaches = outcomes.reaches
        survives = [[reaches(scores[:, place, score], mark) for place, score, mark in gates] for gates in passed]
        return np.any([np.all(own, axis=0) for own in survives], axis=0)

    def _segments(self, node, lanes, leaves, waiting):
        """Train a full call of lanes through the segments of a node and what lies below it."""
        trainer, count = self.trainer, len(node.settings)
        settings = stacked(node.settings)
        seeds, state = lanes.seeds.astype(np.uint32), lanes.state
        try:
            if state is None:
                state = trainer.init(seeds, Settings(*(leaf[0] for leaf in settings)))
            state, scores = trainer.train(seeds, settings, state, self.edges[node.depth : node.depth + count + 1])
            # the next segments are made ready while these train
            self.running, before = scores, self.running
            if before is not None:
                before.block_until_ready()
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise StoreError(
                f"out of memory with {self.width:,} lanes per device ({str(error).splitlines()[0]}): lower "
                "training.block_width in the config (it is part of what a run is, so this makes another run)"
            ) from None
        yield None, None, self._steps(node)
        yield from self._walk(node, Lanes(lanes.seeds, lanes.real, state, [*lanes.scores, scores]), leaves, waiting)


class Lanes(NamedTuple):
    """Lanes between two segments.

    Attributes:
        seeds: of each lane, shape (lanes,).
        real: False where a lane only fills a place, shape (lanes,).
        state: `lab.training.population.State` of the block, None before training.
        scores: of the segments so far, arrays of shape (lanes, segments, scores).
    """

    seeds: np.ndarray
    real: np.ndarray
    state: object
    scores: list


def _rows(lanes, rows):
    """Return some of the lanes, on the host."""
    return Lanes(*jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tuple(lanes)))


def _joined(one, other):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), one, other)
