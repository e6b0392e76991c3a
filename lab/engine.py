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


def run(experiment, out=None, *, accept_changes=False, progress=None, say=None, enough=None):
    """Train what is missing of a run and return it.

    A config that says when to stop is trained look by look, and the manifest holds the number of seeds so far.

    Args:
        experiment: a `lab.config.Experiment`.
        out: the run's folder; `runs/NAME-HASH` by default.
        accept_changes: go on with a run that other code, versions or devices began; the manifest records it.
        progress: called with (lane-steps done, lane-steps in all) after every segment.
        say: called with a line of text about anything a person should know.
        enough: called with the run after each look but the last; training stops once it returns True. Needed if
            the config says when to stop (`lab.statistics.enough`).

    Raises:
        ValueError: the config says when to stop and `enough` is not given.
        StoreError: the folder holds another run, was begun with other code, versions or devices, is in use by
            another process, or cannot be written.
    """
    if experiment.config.stop and enough is None:
        raise ValueError("the config says when to stop: `enough` must decide it")
    path = Path(out) if out else Path("runs") / f"{experiment.name}-{experiment.hash[:8]}"
    with lock(path):
        use_all_cores()
        devices = jax.devices()
        root, leaves = plan(experiment.conditions)
        stored = _open(path, describe(experiment, leaves, devices), accept_changes)
        for line in stored.clean():
            if say:
                say(line)
        trainer = functools.cache(
            lambda: Trainer(
                experiment.task,
                experiment.training,
                stored.manifest["block_width"],
                devices,
                used_terms(experiment),
            )
        )
        # looks before the one that was reached were not enough
        looks = [look for look in stored.manifest["looks"] if look >= stored.manifest["seeds"]["count"]]
        for look in looks:
            if look != stored.manifest["seeds"]["count"]:
                seeds = {**stored.manifest["seeds"], "count": look}
                stored = Run.create(path, {**stored.manifest, "seeds": seeds})
            present = stored.shards()
            expected = outcomes.expected_shards(stored.manifest)
            if strange := set(present) - set(expected):
                raise StoreError(f"{present[strange.pop()]}: not a shard of this run; take it away")
            if missing := [key for key in expected if key not in present]:
                _train(experiment, root, devices, stored, trainer(), missing, progress)
            if look != looks[-1] and enough(stored):
                break
    return stored


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


def _train(experiment, root, devices, stored, trainer, missing, progress):
    """Train the missing shards, as many blocks at a time as there are devices."""
    manifest, missing = stored.manifest, set(missing)
    width = manifest["block_width"]
    needed = {}
    for leaf, seed in sorted(missing, key=lambda key: key[1]):
        needed.setdefault(seed, set()).add(leaf)
    starts = list(needed)
    calls = [starts[i : i + len(devices)] for i in range(0, len(starts), len(devices))]
    wanted = [frozenset().union(*(needed[seed] for seed in call)) for call in calls]
    lengths = np.diff([0, *experiment.ends]) * trainer.lanes

    @functools.cache
    def work(leaves):
        nodes, steps = [root], 0
        while nodes:
            below = [child for child in nodes.pop().children.values() if child.leaves & leaves]
            steps += sum(int(lengths[child.depth]) for child in below)
            nodes += below
        return steps

    total, done = sum(map(work, wanted)), 0

    def publish(leaf, call, scores):
        table = np.stack([np.asarray(score) for score in scores], axis=1)
        for index, start in enumerate(call):
            if (leaf, start) in missing:
                seeds = range(start, min(start + width, experiment.seeds.stop))
                block = table[index * width :][: len(seeds)]
                stored.write(leaf, start, outcomes.shard(block, manifest["scores"], seeds, manifest["checkpoints"]))

    def walk(node, state, scores, call, seeds, leaves):
        nonlocal done
        if not node.children:
            publish(min(node.leaves), call, scores)
        for child in node.children.values():
            if not child.leaves & leaves:
                continue
            settings = trainer.place(
                Settings(*(np.broadcast_to(np.float32(own), (trainer.lanes, *np.shape(own))) for own in child.settings))
            )
            before = trainer.init(seeds, settings) if state is None else state
            first = experiment.ends[child.depth - 1] if child.depth else 0
            after, score = trainer.train(seeds, settings, before, first, experiment.ends[child.depth])
            done += int(lengths[child.depth])
            if progress:
                score.block_until_ready()
                progress(done, total)
            walk(child, after, [*scores, score], call, seeds, leaves)

    for call, leaves in zip(calls, wanted, strict=True):
        # devices that have no block of their own repeat the last one
        blocks = [np.arange(start, start + width) for start in [*call, *[call[-1]] * (len(devices) - len(call))]]
        walk(root, None, [], call, trainer.place(np.concatenate(blocks).astype(np.uint32)), leaves)
