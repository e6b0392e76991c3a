"""More than one process: the same shards trained by plain workers, or by the workers of a Ray cluster.

Shards are idempotent: whoever trains one, where and how often, writes the same bytes (on the same versions and kind of
device). Plain workers share nothing but the run's folder. On Ray, workers share nothing at all: the driver sends each
the text of the config and gets scores back through Ray's object store, and it alone writes; so a worker that dies loses
one block, which is trained again, and a driver that dies leaves a folder that is gone on with like any other.
"""

import contextlib
import functools
import json
import os
import socket
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from lab.config.experiment import ConfigError, Experiment, from_values
from lab.config.schema import Leaf
from lab.machine.cores import allowed_cores
from lab.results import shards
from lab.results.store import PathLike, Run, ShardKey, StoreError, lock

if TYPE_CHECKING:  # a driver of Ray starts without JAX
    from lab.training.blocks import Blocks, Progress, Shard
    from lab.training.engine import Say, Train

LOOPBACK = "127.0.0.1"
ATTEMPTS = 20
SILENCE = 30  # s without a result, after which it is asked whether anybody still trains
REACH = 10  # s in which a cluster must answer; Ray itself would go on asking for minutes
GOES_ON = "what is finished is kept, and the same command goes on from here"


def experiment_of(stored: Run, trust_code: bool = False) -> Experiment:
    """Return the experiment whose run this is, from its manifest alone.

    A task in a file of its own is looked for from the current folder.

    Args:
        stored: the run.
        trust_code: run the Python file that the config names as its task, if it names one.

    Raises:
        ConfigError: this lab cannot read the config.
        StoreError: it reads it differently.
    """
    experiment = from_values(stored.manifest["config"], trust_code)
    then = [(condition["name"], condition["leaf"]) for condition in stored.manifest["conditions"]]
    now = [(condition.name, leaf) for condition, leaf in zip(experiment.conditions, experiment.leaves, strict=True)]
    if experiment.hash != stored.manifest["hash"] or now != then:
        raise StoreError(f"{stored.path}: this lab reads its config differently than the one that wrote it")
    return experiment


def work(
    path: PathLike,
    rank: int,
    of: int,
    trust_code: bool = False,
    progress: "Progress | None" = None,
    say: "Say | None" = None,
) -> int:
    """Train every `of`-th block of a prepared run, the `rank`-th one first, and publish its shards.

    Any number of workers may do so at once, from any machines that see the folder, but no `lab run`.

    Args:
        path: the run's folder, which `lab.training.engine.prepare` made.
        rank: from 0 to of - 1.
        of: number of workers.
        trust_code: run the Python file that the config names as its task, if it names one.
        progress: called after every segment.
        say: called about anything a person should know.

    Returns:
        The number of shards that it trained.

    Raises:
        ValueError: there is no such rank.
        StoreError: the run cannot be used as it is, has a damaged shard among those of this worker, or stops by a rule,
            which takes a driver; or this machine would give other bytes than the one that prepared it.
    """
    if of < 1:
        raise ValueError(f"--of must be at least 1, not {of}")
    if not 0 <= rank < of:
        raise ValueError(f"--rank must lie in 0 to {of - 1}, not {rank}")
    from lab.training import engine

    if Run(path).observed:  # before anything is made there
        raise ValueError(f"{path}: its runs were trained elsewhere: there is nothing to train")
    with lock(path, f".lock-{rank}-of-{of}"), lock(path, shared=True):
        stored = Run(path)
        experiment = experiment_of(stored, trust_code)
        if experiment.config.stop:
            raise StoreError(f"{path}: a run that stops by itself takes a driver: use `lab run`")
        engine.use_all_cores()
        now = engine.describe(experiment, engine.jax.devices())
        engine.check_same(stored, now)
        if differences := engine.identity_differences(stored.manifest, now):
            raise StoreError(
                f"{path} was prepared with something else ({'; '.join(differences)}): work with the same, or prepare "
                "it here again with `lab run --prepare --accept-changes`, which the manifest will record"
            )
        mine = set(shards.block_seeds(stored.manifest)[rank::of])
        missing = [key for key in shards.missing_shards(stored) if key[1] in mine]
        if damaged := shards.damaged_shards(stored, [key for key in stored.shards() if key[1] in mine]):
            damage = "; ".join(f"{path.name.split('.')[0]} ({problem})" for path, problem in damaged.items())
            raise StoreError(
                f"{path}: damaged: {damage}; `lab run` with its config sets it aside and computes it again"
            )
        if missing:
            engine.local_trainer(experiment)(stored, missing, progress, say)
        return len(missing)


def config_for_workers(experiment: Experiment) -> str:
    """Return an experiment's config as JSON that means the same in any folder.

    Args:
        experiment: whose task may be in a file of its own, which a config names from its own folder.
    """
    values = experiment.as_json()
    if "file" in values["task"]:
        file = sys.modules[type(experiment.task).__module__].__file__
        assert file is not None  # the config names it
        values["task"]["file"] = str(Path(file).resolve())
    return json.dumps(values)


@functools.lru_cache(maxsize=2)
def _worker_blocks(config: str, width: int, trust_code: bool) -> tuple["Blocks", dict[str, str]]:
    """Return what trains an experiment in a worker, on one device, and what the bytes there depend on."""
    import jax

    from lab.training import engine

    experiment = from_values(json.loads(config), trust_code)
    device = jax.devices()[:1]
    return engine.Blocks(experiment, width, device), engine.identity(experiment.task, device)


def train_block(
    config: str, width: int, trust_code: bool, identity: dict[str, str], start: int, leaves: Collection[Leaf]
) -> list["Shard"]:
    """Return the shards of one block; what a Ray worker does.

    Args:
        config: what `config_for_workers` returned.
        width: lanes per device.
        trust_code: run the Python file that the config names as its task, if it names one.
        identity: what the bytes of the run depend on, as `lab.training.engine.identity` returns it.
        start: first seed of the block.
        leaves: the wanted ones.

    Raises:
        StoreError: this worker would give other bytes.
    """
    blocks, local = _worker_blocks(config, width, trust_code)
    differences = [f"{key}: {value!r}, here {local[key]!r}" for key, value in identity.items() if local[key] != value]
    if differences:
        raise StoreError(f"a worker differs from the driver ({'; '.join(differences)})")
    return list(blocks.train({start: set(leaves)}))


def on_ray(experiment: Experiment, trust_code: bool = False) -> "Train":
    """Return a function that trains missing shards on a Ray cluster, as `engine.local_trainer` does in this process.

    It uses the cluster that RAY_ADDRESS names, or else starts one on this machine that listens on 127.0.0.1 alone and
    ends with the driver; where that is killed, two agents of Ray's end by themselves about a minute later.

    Args:
        experiment: what to train.
        trust_code: workers may run the Python file that the config names as its task.

    Raises:
        StoreError: Ray is not installed; later, there is no cluster at RAY_ADDRESS, workers died too often, no node is
            left, or a worker would give other bytes. What is finished is kept.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise StoreError("Ray is not installed: pip install 'proxy-lab[ray]'") from None
    config = config_for_workers(experiment)

    def train(
        stored: Run, missing: Sequence[ShardKey], progress: "Progress | None" = None, say: "Say | None" = None
    ) -> None:
        from lab.training.engine import by_block

        if not ray.is_initialized():
            _start(ray)
        driver = _Driver(stored, config, trust_code, say)
        needed = by_block(missing)
        for done, block in enumerate(driver.blocks(needed), 1):
            for leaf, seed, variables in block:
                shards.write_shard(stored, leaf, seed, variables)
            if progress:
                progress(done, len(needed))

    return train


class _Driver:
    """Has blocks trained by the workers of a Ray cluster.

    Attributes:
        kind: of device that each worker takes: CPU or GPU.
        deaths: of workers since a block was last finished.
    """

    def __init__(self, stored: Run, config: str, trust_code: bool, say: "Say | None"):
        """Prepare; nothing is trained yet.

        Args:
            stored: the run.
            config: what `config_for_workers` returned.
            trust_code: as for `train_block`.
            say: called about anything a person should know.
        """
        import ray  # pyright: ignore[reportMissingImports]

        gpu = stored.manifest["identity"]["device"] != "cpu"
        environment = {} if gpu else {"JAX_PLATFORMS": "cpu"}
        options = {"num_cpus": 1, "num_gpus": int(gpu), "max_retries": 0, "runtime_env": {"env_vars": environment}}
        self.ray, self.remote, self.say = ray, ray.remote(**options)(train_block), say
        self.common = (config, stored.manifest["block_width"], trust_code, stored.manifest["identity"])
        self.kind, self.deaths = "GPU" if gpu else "CPU", 0

    def blocks(self, needed: dict[int, set[Leaf]]) -> "Iterator[list[Shard]]":
        """Yield the shards of each block, as soon as it is trained.

        Args:
            needed: first seed of a block -> its wanted leaves.

        Raises:
            StoreError: as `on_ray` says.
        """
        most = max(2, 2 * int(self.ray.cluster_resources().get(self.kind, 1)))
        waiting, running = list(needed), {}
        while waiting or running:
            while waiting and len(running) < most:  # the driver holds no more results than workers make
                start = waiting.pop(0)
                running[self.remote.remote(*self.common, start, sorted(needed[start]))] = start
            ready, _ = self.ray.wait(list(running), num_returns=1, timeout=SILENCE)
            if not ready:
                if self.ray.cluster_resources().get(self.kind, 0) < 1:
                    raise StoreError(f"Ray has no node with a {self.kind} any more; {GOES_ON}")
                continue
            start = running.pop(ready[0])
            block = self._result(ready[0], start)
            if block is None:
                waiting.append(start)
                continue
            yield block
            self.deaths = 0

    def _result(self, reference: Any, start: int) -> "list[Shard] | None":
        """Return the shards of a block, or None if its worker died and it must be trained again.

        Raises:
            StoreError: as `on_ray` says.
        """
        from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError  # pyright: ignore[reportMissingImports]

        try:
            return self.ray.get(reference)
        except RayTaskError as error:
            cause = error.cause
            kind = "" if isinstance(cause, StoreError | ConfigError) else f"{type(cause).__name__}: "
            raise StoreError(f"block of seed {start}: {kind}{cause}") from None
        except LocalRayletDiedError:
            raise StoreError(f"Ray's daemon on this machine died; {GOES_ON}") from None
        except RayError as error:
            self.deaths += 1
            if self.deaths == ATTEMPTS:
                raise StoreError(f"{ATTEMPTS} of Ray's workers died in a row; {GOES_ON}") from None
            if self.say:
                self.say(f"block of seed {start}: {type(error).__name__}; trained again")
            return None


def _start(ray: Any) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one for this process.

    Raises:
        StoreError: there is no such cluster, or none can be started.
    """
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of blocks beside the one whose error is told
    address = os.environ.get("RAY_ADDRESS", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of any fork; Ray's is followed by an exec at once
        if address not in ("", "local"):
            try:
                _check_reachable(address, ray.util.get_node_ip_address())
                ray.init(log_to_driver=False)
            except (ValueError, OverflowError, OSError, RuntimeError) as error:
                raise StoreError(f"no Ray cluster at RAY_ADDRESS={address}: {error}; correct it, or unset it") from None
            return
        with _loopback():
            ray.init(
                address="local",  # or it would look for a cluster that somebody else has here
                num_cpus=allowed_cores(),
                include_dashboard=False,
                log_to_driver=False,
                _node_ip_address=LOOPBACK,
                _system_config={"gcs_rpc_server_reconnect_timeout_s": 10},
            )


def _check_reachable(address: str, here: str) -> None:
    """Raise an OSError, or a ValueError, if nobody listens at an address of the form [ray://]host:port.

    Args:
        address: others than these are left to Ray.
        here: what Ray takes 127.0.0.1 for.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if "://" in host or address == "auto":
        return
    if not host or not port.isdecimal():
        raise ValueError("it is not of the form host:port")
    if host in ("localhost", LOOPBACK, "[::1]") and not address.startswith("ray://"):
        host = here
    with socket.create_connection((host.strip("[]"), int(port)), REACH):
        pass


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Let a cluster that is started meanwhile listen on 127.0.0.1 alone.

    Ray takes this machine's address in a network where it is told 127.0.0.1, and then listens on every interface.

    Raises:
        StoreError: this version of Ray cannot be told.
    """
    import ray.util  # pyright: ignore[reportMissingImports]
    from ray._private import services  # pyright: ignore[reportMissingImports]

    try:
        with (
            mock.patch.object(services, "get_node_ip_address", lambda *_: LOOPBACK),
            mock.patch.object(ray.util, "get_node_ip_address", lambda *_: LOOPBACK),
        ):
            yield
    except AttributeError as error:
        raise StoreError(
            f"this version of Ray cannot be kept on 127.0.0.1 ({error}): start a cluster, and set RAY_ADDRESS"
        ) from None
