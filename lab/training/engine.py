"""Runs an experiment: what is missing of it is trained and published, look by look, and its manifest says all of it."""

import contextlib
import functools
import hashlib
import itertools
import os
import platform
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import jax

from lab.config.experiment import Experiment
from lab.config.schema import MAX_SHARDS, Leaf
from lab.machine import fixed as fixed_options
from lab.machine import surroundings
from lab.machine.cores import allowed_cores
from lab.machine.fixed import fixed
from lab.results import shards
from lab.results.store import (
    FORMAT,
    ManifestJson,
    PathLike,
    Run,
    ShardKey,
    StoreError,
    check_manifest,
    check_vacant,
    lock,
)
from lab.tasks import base, models, settings
from lab.tasks.base import Task
from lab.tasks.outside import TaskFileError, code_of, source_of
from lab.training import objective, population
from lab.training.blocks import Blocks, Progress
from lab.training.population import Device

Say = Callable[[str], None]  # takes a line of text about anything a person should know
Train = Callable[[Run, Sequence[ShardKey], Progress | None, Say | None], None]  # trains missing shards of a run

TRAINING_CODE = (models, settings, objective, population, surroundings, fixed_options, base)
# keys of a config that change no model; a run goes on where only these differ
WORDS = ("name", "question", "stop", "proxy", "thresholds", "confidence", "baseline")
GROWS = ("seeds", "leaf_seeds")  # what a run that stops by a rule adds to its manifest from look to look
MOST_WRITING = 8  # shards that wait to be written; more would only take memory


def use_all_cores() -> None:
    """Make one JAX device of every core this process may use, unless JAX has already started.

    Raises:
        lab.machine.surroundings.Unusable: XLA would end this process because of XLA_FLAGS.
    """
    surroundings.check_flags(os.environ.get("XLA_FLAGS", ""))
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", allowed_cores())


def block_width(experiment: Experiment | Task, devices: Sequence[Device]) -> int:
    """Return the lanes per device that a task suggests, or the config asks for, on devices of this kind.

    Args:
        experiment: what is trained, or a task.
        devices: that train it.
    """
    return experiment.training.block_width["cpu" if devices[0].platform == "cpu" else "gpu"]


def identity(task: Task, devices: Sequence[Device]) -> dict[str, str]:
    """Return what a run's bytes depend on besides its config and block width.

    Args:
        task: what is trained.
        devices: that train it.

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
        "program": "for one device" if len(devices) == 1 else "for several devices",  # XLA makes another for one
        **surroundings.identity(devices[0].platform, jax.config.values),
    }


def run(
    experiment: Experiment,
    out: PathLike | None = None,
    *,
    accept_changes: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
    still_open: Callable[[Run], set[str]] | None = None,
    train: Train | None = None,
    one_device: bool = False,
) -> Run:
    """Train what is missing of a run and return it.

    What was trained before counts, whatever else the config said then: other words, pass marks, stopping rules or
    numbers of seeds are written into the manifest. A config that says when to stop is trained look by look; a condition
    that needs no more seeds gets none. The manifest holds the number of seeds so far, and that of each distinct
    condition as `leaf_seeds`.

    Args:
        experiment: what to train.
        out: the run's folder; `runs/NAME-DIGEST` by default.
        accept_changes: go on with a run that other code, versions or devices began; the manifest records it.
        progress: called now and then.
        say: called about anything a person should know.
        still_open: called with the run after each look but the last, returns the names of the conditions that still
            need seeds; needed if the config says when to stop (`lab.results.summary.still_open`).
        train: what trains missing shards; by default what `local_trainer` returns.
        one_device: each block is trained on one device, as workers of Ray do; by default on all of this machine.

    Raises:
        ValueError: the config says when to stop and `still_open` is not given.
        StoreError: the folder holds something else, was begun with other code, versions or devices, is in use by
            another process, or cannot be written.
    """
    if experiment.config.stop and still_open is None:
        raise ValueError("the config says when to stop: `still_open` must decide it")
    path = folder(experiment, out)
    check_vacant(path)
    with lock(path):
        use_all_cores()
        devices = jax.devices()[: 1 if one_device else None]
        stored = prepare(experiment, path, accept_changes, devices)
        train = train or local_trainer(experiment, devices)
        for line in shards.clean(stored):
            if say:
                say(line)
        # looks before the one that was reached were not enough
        looks = [look for look in stored.manifest["looks"] if look >= stored.manifest["seeds"]["count"]]
        for look, following in itertools.zip_longest(looks, looks[1:]):
            if missing := shards.missing_shards(stored):
                train(stored, missing, progress, say)
            if following is None or still_open is None or not (names := still_open(stored)):
                break
            stored = Run.create(path, _with_next_look(stored.manifest, look, following, names))
    return stored


def _with_next_look(manifest: ManifestJson, look: int, following: int, names: set[str]) -> ManifestJson:
    """Return the manifest of the following look: only the named conditions get seeds up to there."""
    needed = {condition["leaf"] for condition in manifest["conditions"] if condition["name"] in names}
    reached = manifest["leaf_seeds"] or {condition["leaf"]: look for condition in manifest["conditions"]}
    counts = {leaf: following if leaf in needed else count for leaf, count in reached.items()}
    return {**manifest, "seeds": {**manifest["seeds"], "count": following}, "leaf_seeds": counts}


def folder(experiment: Experiment, out: PathLike | None = None) -> Path:
    """Return the folder of a run.

    Args:
        experiment: what the run trains.
        out: the folder, if it is not to be runs/NAME-DIGEST; the digest is of what is trained.
    """
    return Path(os.path.expanduser(out)) if out else Path("runs") / experiment.folder_name


def prepare(
    experiment: Experiment, path: Path, accept_changes: bool = False, devices: Sequence[Device] | None = None
) -> Run:
    """Write the manifest of a run, or open the run and write into it what the config says now.

    Args:
        experiment: what the run trains.
        path: its folder, which must be locked.
        accept_changes: as for `run`.
        devices: that train a block together; all of this machine by default.

    Raises:
        StoreError: the folder holds a run that trains something else, or was begun with other code, versions or
            devices, or by an older lab.
    """
    now = describe(experiment, devices or jax.devices())
    if not (path / "manifest.json").exists():
        return Run.create(path, now)
    stored = Run(path)
    if stored.observed:
        raise StoreError(f"{path}: holds runs that were trained elsewhere; give another --out")
    then = stored.manifest
    check_same(stored, now)
    differences = identity_differences(then, now)
    if differences and not accept_changes:
        raise StoreError(
            f"{path} was begun with something else ({'; '.join(differences)}); "
            "give another --out, or --accept-changes to mix the two, which the manifest will record"
        )
    now["changes"] = [*then["changes"], *([differences] if differences else [])]
    now["accepted"] = [*then["accepted"], *([stored.maker] if differences else [])]
    # a run that stops by a rule has reached a look, unless it is another rule now
    same = all(then[key] == value for key, value in check_manifest(now, path).items() if key not in GROWS)
    return stored if same else Run.create(path, now)


def check_same(stored: Run, now: ManifestJson) -> None:
    """Raise `StoreError` unless a run trains what a manifest describes.

    Args:
        stored: the run.
        now: the manifest, as `describe` returned it.
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


def identity_differences(then: ManifestJson, now: ManifestJson) -> list[str]:
    """Return what is not as it was of that which bytes depend on, in words.

    Args:
        then: manifest of a run.
        now: manifest that it would have now.
    """
    return [
        f"{key}: {then['identity'].get(key)!r} then, {value!r} now"
        for key, value in now["identity"].items()
        if then["identity"].get(key) != value
    ]


def describe(experiment: Experiment, devices: Sequence[Device]) -> ManifestJson:
    """Return the manifest of a run: the config filled in, the conditions, and what its bytes depend on.

    Args:
        experiment: what the run trains.
        devices: that train it.

    Raises:
        StoreError: it has too many shards, or code has changed since this process loaded it.
    """
    width = block_width(experiment, devices)
    looks = experiment.looks(width)
    number = len(set(experiment.leaves)) * -(-looks[-1] // width)
    if number > MAX_SHARDS:
        raise StoreError(f"{number:,} shards, more than the limit of {MAX_SHARDS:,}: raise training.block_width")
    ends = [end / experiment.training.steps for end in experiment.ends]
    return {
        "format": FORMAT,
        "name": experiment.name,
        "hash": experiment.hash,
        "trains": experiment.trains,
        "question": experiment.config.question,
        "source": experiment.source,
        "config": experiment.as_json(),
        "scores": list(experiment.task.scores),
        "checkpoints": ends,
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
                "schedule": condition.schedule(ends, list(experiment.task.terms)),
                "leaf": leaf,
            }
            for condition, leaf in zip(experiment.conditions, experiment.leaves, strict=True)
        ],
        "identity": identity(experiment.task, devices),
        "block_width": width,
    }


def by_block(missing: Iterable[ShardKey]) -> dict[int, set[Leaf]]:
    """Group shards: first seed of a block -> the leaves that are missing there, in the order of the seeds.

    Args:
        missing: keys of the shards.
    """
    needed: dict[int, set[Leaf]] = {}
    for leaf, seed in sorted(missing, key=lambda key: key[1]):
        needed.setdefault(seed, set()).add(leaf)
    return needed


def local_trainer(experiment: Experiment, devices: Sequence[Device] | None = None) -> Train:
    """Return a function that trains missing shards of an experiment in this process and publishes them.

    Args:
        experiment: what to train; its programs are compiled once, however often the function is called.
        devices: that train a block together; all of this machine by default.
    """
    blocks = functools.cache(lambda width: Blocks(experiment, width, devices or jax.devices()))

    def train(
        stored: Run, missing: Sequence[ShardKey], progress: Progress | None = None, say: Say | None = None
    ) -> None:
        with fixed(), ThreadPoolExecutor(1) as writer:  # the disk works while the next block trains
            writing = deque()
            for shard in blocks(stored.manifest["block_width"]).train(by_block(missing), progress):
                writing.append(writer.submit(shards.write_shard, stored, *shard))
                if len(writing) > MOST_WRITING:
                    writing.popleft().result()
            for last in writing:
                last.result()

    return train
