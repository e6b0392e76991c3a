"""Which lanes to train where: the plan of a run as a tree of segments, and the engine that walks it.

Conditions whose settings agree up to some segment share that part of the tree: it is trained once per seed and then
forked. Conditions that agree throughout are one leaf. The engine walks the tree depth first, one block of seeds per
device at a time, so memory does not grow with seeds, and publishes each leaf as soon as it is trained.
"""

import contextlib
import functools
import hashlib
import os
import platform
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from lab import models, objective, outcomes, population
from lab.population import Settings, Trainer
from lab.store import Run, StoreError, lock
from lab.tasks import base

TRAINING_CODE = (models, objective, population, base)


@dataclass
class Node:
    """A segment of training shared by all conditions below it.

    Attributes:
        settings: `Settings` of the segment; None for the root, which is before training.
        depth: index of the segment, -1 for the root.
        children: the next segments, by settings.
        leaves: indices of the distinct conditions whose training passes through here.
    """

    settings: Settings | None
    depth: int
    children: dict = field(default_factory=dict)
    leaves: set = field(default_factory=set)


def plan(conditions):
    """Return the tree of segments and, for each condition, the index of its leaf.

    Conditions with other knobs never share a segment, because initial weights and scores may depend on them.
    """
    root, index = Node(None, -1), {}
    leaves = [index.setdefault(condition.settings, len(index)) for condition in conditions]
    for settings, leaf in index.items():
        node = root
        node.leaves.add(leaf)
        for depth, own in enumerate(settings):
            node = node.children.setdefault(own, Node(own, depth))
            node.leaves.add(leaf)
    return root, leaves


def use_all_cores():
    """Make one JAX device of every core this process may use, unless JAX has already started."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


def used_terms(experiment):
    """Return the loss terms that have a weight other than 0 in some segment of some condition."""
    weights = np.array([own.weights for condition in experiment.conditions for own in condition.settings])
    return frozenset(name for name, used in zip(experiment.task.terms, weights.any(axis=0), strict=True) if used)


def identity(task, devices):
    """Return what a run's bytes depend on besides its config and block width."""
    digest = hashlib.sha256()
    of_task = (sys.modules[kind.__module__] for kind in type(task).__mro__ if issubclass(kind, base.Task))
    for module in dict.fromkeys((*TRAINING_CODE, *of_task)):
        digest.update(Path(module.__file__).read_bytes())
    return {
        **{name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")},
        "python": platform.python_version(),
        "training_code": digest.hexdigest()[:16],
        "device": devices[0].device_kind,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def run(experiment, out=None, *, accept_changes=False, progress=None, say=None, enough=None, train=None):
    """Train what is missing of a run and return it.

    A config that says when to stop is trained look by look, and the manifest holds the number of seeds so far.

    Args:
        experiment: a `lab.config.Experiment`.
        out: the run's folder; `runs/NAME-HASH` by default.
        accept_changes: go on with a run that other code, versions or devices began; the manifest records it.
        progress: called with (lane-steps done, lane-steps in all) now and then.
        say: called with a line of text about anything a person should know.
        enough: called with the run after each look but the last; training stops once it returns True. Needed if
            the config says when to stop (`lab.statistics.enough`).
        train: what trains missing shards, as `here` returns it, which is the default.

    Raises:
        ValueError: the config says when to stop and `enough` is not given.
        StoreError: the folder holds another run, was begun with other code, versions or devices, is in use by
            another process, or cannot be written.
    """
    if experiment.config.stop and enough is None:
        raise ValueError("the config says when to stop: `enough` must decide it")
    path, train = folder(experiment, out), train or here(experiment)
    with lock(path):
        use_all_cores()
        stored = prepare(experiment, path, accept_changes)
        for line in stored.clean():
            if say:
                say(line)
        # looks before the one that was reached were not enough
        looks = [look for look in stored.manifest["looks"] if look >= stored.manifest["seeds"]["count"]]
        for look in looks:
            if look != stored.manifest["seeds"]["count"]:
                seeds = {**stored.manifest["seeds"], "count": look}
                stored = Run.create(path, {**stored.manifest, "seeds": seeds})
            if missing := missing_shards(stored):
                train(stored, missing, progress, say)
            if look != looks[-1] and enough(stored):
                break
    return stored


def folder(experiment, out=None):
    """Return the folder of a run: `out`, or runs/NAME-HASH."""
    return Path(out) if out else Path("runs") / f"{experiment.name}-{experiment.hash[:8]}"


def prepare(experiment, path, accept_changes=False):
    """Write the manifest of a run, or open the run if it is the same one; the folder must be locked.

    Raises:
        StoreError: the folder holds another run, or was begun with other code, versions or devices.
    """
    _, leaves = plan(experiment.conditions)
    return _open(path, describe(experiment, leaves, jax.devices()), accept_changes)


def missing_shards(stored):
    """Return the keys (leaf, first seed) of the shards that a run still needs.

    Raises:
        StoreError: there is a file that is none of its shards.
    """
    present, expected = stored.shards(), outcomes.expected_shards(stored.manifest)
    if strange := set(present) - set(expected):
        raise StoreError(f"{present[strange.pop()]}: not a shard of this run; take it away")
    return [key for key in expected if key not in present]


def describe(experiment, leaves, devices):
    """Return the manifest of a run: the config filled in, the conditions, and what its bytes depend on."""
    block_width = experiment.training.block_width["cpu" if devices[0].platform == "cpu" else "gpu"]
    looks = experiment.looks(block_width)
    return {
        "name": experiment.name,
        "hash": experiment.hash,
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
            for condition, leaf in zip(experiment.conditions, leaves, strict=True)
        ],
        "identity": identity(experiment.task, devices),
        "block_width": block_width,
    }


def _open(path, manifest, accept_changes):
    """Create the run, or open it if it is the same one."""
    if not (path / "manifest.json").exists():
        return Run.create(path, manifest)
    stored = Run(path)
    then, now = stored.manifest, manifest
    if then["hash"] != now["hash"]:
        keys = now["config"].keys() | then["config"].keys()
        changed = sorted(key for key in keys if now["config"].get(key) != then["config"].get(key))
        raise StoreError(f"{path} holds another run (its {', '.join(changed)} differ); give another --out")
    differs = [
        f"{key}: {then['identity'].get(key)!r} then, {value!r} now"
        for key, value in now["identity"].items()
        if then["identity"].get(key) != value
    ]
    if not differs:
        return stored
    if not accept_changes:
        raise StoreError(
            f"{path} was begun with something else ({'; '.join(differs)}); "
            "give another --out, or --accept-changes to mix the two, which the manifest will record"
        )
    changes = [*then.get("changes", []), differs]
    return Run.create(path, {**then, "identity": now["identity"], "changes": changes})


def by_block(missing):
    """Group shards: first seed of a block -> the leaves that are missing there, in the order of the seeds."""
    needed = {}
    for leaf, seed in sorted(missing, key=lambda key: key[1]):
        needed.setdefault(seed, set()).add(leaf)
    return needed


def here(experiment):
    """Return a function that trains missing shards of an experiment in this process and publishes them.

    It takes the `lab.store.Run`, the keys (leaf, first seed) of the shards, and `progress` and `say` as `run` does.
    """
    blocks = functools.cache(lambda width: Blocks(experiment, width, jax.devices()))

    def train(stored, missing, progress=None, say=None):
        for leaf, seed, variables in blocks(stored.manifest["block_width"]).train(by_block(missing), progress):
            stored.write(leaf, seed, variables)

    return train


class Blocks:
    """Trains blocks of seeds of an experiment on some devices; compiles once."""

    def __init__(self, experiment, width, devices):
        """Prepare; nothing is compiled before something is trained.

        Args:
            experiment: a `lab.config.Experiment`.
            width: lanes per device.
            devices: JAX devices to use.
        """
        self.experiment, self.width, self.devices = experiment, width, devices
        self.root, _ = plan(experiment.conditions)
        self.trainer = Trainer(experiment.task, experiment.training, width, devices, used_terms(experiment))
        self.lengths = np.diff([0, *experiment.ends]) * self.trainer.lanes

    def train(self, needed, progress=None):
        """Train blocks, as many at a time as there are devices.

        Args:
            needed: first seed of a block -> its wanted leaves.
            progress: called with (lane-steps done, lane-steps in all) after every segment.

        Yields:
            (leaf, first seed, variables) of every wanted shard, as `lab.outcomes.shard` makes them.
        """
        starts, each = list(needed), len(self.devices)
        calls = [starts[i : i + each] for i in range(0, len(starts), each)]
        wanted = [frozenset().union(*(needed[seed] for seed in call)) for call in calls]
        cost = functools.cache(self._cost)
        total, done = sum(map(cost, wanted)), 0
        for call, leaves in zip(calls, wanted, strict=True):
            # devices that have no block of their own repeat the last one
            blocks = [np.arange(start, start + self.width) for start in [*call, *[call[-1]] * (each - len(call))]]
            seeds = self.trainer.place(np.concatenate(blocks).astype(np.uint32))
            walk = self._walk(self.root, None, [], seeds, leaves)
            for leaf, scores in walk:
                if leaf is None:  # a segment is done
                    done += scores
                    if progress:
                        progress(done, total)
                    continue
                table = np.stack([np.asarray(score) for score in scores], axis=1)
                for index, start in enumerate(call):
                    if leaf in needed[start]:
                        yield leaf, start, self._shard(start, table[index * self.width :])

    def _cost(self, leaves):
        """Lane-steps of a call that ends in these leaves."""
        nodes, steps = [self.root], 0
        while nodes:
            below = [child for child in nodes.pop().children.values() if child.leaves & leaves]
            steps += sum(int(self.lengths[child.depth]) for child in below)
            nodes += below
        return steps

    def _shard(self, start, table):
        experiment = self.experiment
        seeds = range(start, min(start + self.width, experiment.seeds.stop))
        checkpoints = [end / experiment.training.steps for end in experiment.ends]
        return outcomes.shard(table[: len(seeds)], list(experiment.task.scores), seeds, checkpoints)

    def _walk(self, node, state, scores, seeds, leaves):
        """Train what lies below a node; yield (leaf, its scores) and, after each segment, (None, its lane-steps)."""
        if not node.children:
            yield min(node.leaves), scores
        trainer, ends = self.trainer, self.experiment.ends
        for child in node.children.values():
            if not child.leaves & leaves:
                continue
            settings = trainer.place(
                Settings(*(np.broadcast_to(np.float32(own), (trainer.lanes, *np.shape(own))) for own in child.settings))
            )
            before = trainer.init(seeds, settings) if state is None else state
            first = ends[child.depth - 1] if child.depth else 0
            try:
                after, score = trainer.train(seeds, settings, before, first, ends[child.depth])
                score.block_until_ready()
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                raise StoreError(
                    f"out of memory with {self.width:,} lanes per device: lower training.block_width in the config "
                    "(it is part of what a run is, so this makes another run)"
                ) from None
            yield None, int(self.lengths[child.depth])
            yield from self._walk(child, after, [*scores, score], seeds, leaves)
