"""What this machine has, what the lab will use of it, and what is wrong with it, each with what to do.

Whatever decides a run is asked of `lab.training.engine`, which imports JAX, in a process of its own, because JAX with
a wrong driver or flag ends its process.
"""

import json
import os
import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

import lab
from lab.machine import surroundings

LOCK = Path(lab.__file__).parents[1] / "requirements.lock"
LEAST_ROOM = 10**9
EXTRAS = {
    "ray": ["ray"],
    "gpu": ["jax-cuda12-plugin", "jax-cuda13-plugin"],
    "wandb": ["wandb"],
    "trackio": ["trackio"],
    "mlflow": ["mlflow", "mlflow-skinny"],
}


class Problem(NamedTuple):
    """What is wrong, and what to do about it."""

    what: str
    do: str


def examine(folder="runs"):
    """Return what `lab doctor` says, as plain JSON values.

    Args:
        folder: where runs go.
    """
    installed = {name: own for name in _needed() if (own := _version(name))}
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cores_of_container": container_cores(),
        "nvidia_gpu": nvidia_gpu(),
        "packages": installed,
        "extras": {extra: next(filter(None, map(_version, names)), None) for extra, names in EXTRAS.items()},
        "free_disk_bytes": shutil.disk_usage(_standing(folder)).free,
    }
    found = [*packages(installed), *storage(folder)]
    try:
        uses = _asked(folder)
        machine["devices"], machine["memory_bytes"] = uses.pop("devices_seen"), uses.pop("memory_bytes")
        found += environment(os.environ, uses["platform"])
        found += accelerator(machine, uses["platform"], os.environ)
    except ChildProcessError as error:
        uses, variable = None, surroundings.unusable(os.environ)
        last = str(error).rpartition("\n")[2]
        found.append(
            Problem(variable.what, variable.do)
            if variable
            else Problem(f"JAX does not start: {last}", "pip install --force-reinstall jax jaxlib")
        )
    return {"machine": machine, "lab": uses, "problems": [problem._asdict() for problem in found]}


def _asked(folder):
    """Return what `used` does in a process of its own. Raises ChildProcessError with what it says."""
    code = "import json, sys; from lab.training import doctor; print(json.dumps(doctor.used(sys.argv[1])))"
    return json.loads(surroundings.asked(code, str(folder)).splitlines()[-1])


def used(folder):
    """Return what the engine takes of this machine, as it itself decides it, and all devices that JAX sees."""
    import jax

    from lab.machine import memory
    from lab.tasks import TASKS
    from lab.training import engine

    engine.use_all_cores()
    devices = jax.devices()
    widths = {name: engine.block_width(task(), devices) for name, task in TASKS.items()}
    return {
        "platform": devices[0].platform,
        "devices": len(devices),
        "block_width": widths,
        "lanes_at_once": {name: width * len(devices) for name, width in widths.items()},
        "runs": str(Path(folder).resolve()),
        "memory_bytes": memory.available_memory(),
        "devices_seen": [
            {
                "platform": own.platform,
                "kind": own.device_kind,
                "memory_bytes": (own.memory_stats() or {}).get("bytes_limit"),
            }
            for own in devices
        ],
    }


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _needed():
    """Return name -> requirement of the packages that the lab needs itself; empty where it is not installed."""
    from packaging.requirements import Requirement

    try:
        found = map(Requirement, requires("proxy-lab") or ())
    except PackageNotFoundError:
        return {}
    own = {requirement.name: requirement for requirement in found if "extra" not in str(requirement.marker)}
    return {**own, "jaxlib": Requirement("jaxlib")}


def container_cores(root=Path("/sys/fs/cgroup")):
    """Return how many cores the container grants, as a float, or None where there is no limit."""
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # version 2, version 1
        try:
            quota, period = map(float, " ".join((root / name).read_text() for name in files).split())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if quota > 0:
            return quota / period
    return None


def nvidia_gpu(devices=Path("/dev")):
    """Return whether the system shows an NVIDIA GPU, whatever JAX sees."""
    return any(devices.glob("nvidia[0-9]*"))


def _standing(folder):
    """Return the folder, or the nearest one above it that exists."""
    path = Path(folder).resolve()
    return next(own for own in (path, *path.parents) if own.exists())


def packages(installed, lock=LOCK):
    """Return the problems of installed versions: too old, missing, or others than in the lock file, if there is one."""
    from packaging.requirements import Requirement

    found = []
    for name, requirement in _needed().items():
        if name not in installed:
            found.append(Problem(f"{name} is not installed", f"pip install '{requirement}'"))
        elif not requirement.specifier.contains(installed[name], prereleases=True):
            what = f"{name} {installed[name]} is too old: the lab needs {requirement.specifier}"
            found.append(Problem(what, f"pip install -U '{requirement}'"))
    if not lock.exists():  # it comes with a clone, not with the package
        return found
    lines = re.findall(r"^[\w.-]+==[^\\\n]*", lock.read_text(), re.MULTILINE)
    pinned = [own for own in map(Requirement, lines) if own.marker is None or own.marker.evaluate()]
    differ = [
        f"{own.name} {here} (lock: {str(own.specifier)[2:]})"
        for own in pinned
        if (here := _version(own.name)) and not own.specifier.contains(here, prereleases=True)
    ]
    if differ:
        what = f"installed versions are not those of {lock.name}: {', '.join(differ)}"
        found.append(Problem(what, f"for the same bytes as elsewhere: pip install -r {lock.name}"))
    return found


def environment(variables, device="cpu"):
    """Return the problems of environment variables: those that a run records, and those that a library cannot read.

    Args:
        variables: of the environment.
        device: what trains: cpu or gpu.
    """
    found, do = [], "unset {}, unless you mean it: a run that was begun without does not go on with it"
    try:
        if flags := surroundings.recorded_flags(variables.get("XLA_FLAGS", ""), device):
            found.append(Problem(f"XLA_FLAGS: {flags} may change the bytes of runs", do.format("XLA_FLAGS")))
    except (OSError, ValueError) as error:
        found.append(Problem(f"XLA_FLAGS={variables['XLA_FLAGS']} cannot be read: {error}", "unset XLA_FLAGS"))
    for name in sorted(variables):
        if name.startswith("JAX_") and surroundings.verdict(name.lower()) == "recorded":
            found.append(Problem(f"{name}={variables[name]} may change the bytes of runs", do.format(name)))
    if backend := variables.get("MPLBACKEND"):
        try:
            surroundings.asked("from matplotlib import pyplot; pyplot.figure()", variables=variables)
        except ChildProcessError as error:
            why = str(error).rpartition("\n")[2].partition(": ")[2].partition(";")[0]
            found.append(Problem(f"Matplotlib cannot draw with MPLBACKEND={backend}: {why}", "unset MPLBACKEND"))
    return found


def storage(folder):
    """Return the problems of the place where runs go."""
    place, found = _standing(folder), []
    where = place if place == Path(folder).resolve() else f"{place} (where {folder}/ is made)"
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        do = "make it writable, go to another folder, or give --out"
        found.append(Problem(f"{where} cannot be written", do))
    free = shutil.disk_usage(place).free
    if free < LEAST_ROOM:
        what = f"{where} has {free / 1e9:.2f} GB of free disk, less than {LEAST_ROOM / 1e9:g} GB"
        found.append(Problem(what, "make room, or give an --out on another disk"))
    return found


def accelerator(machine, chosen, variables):
    """Return the problems of what the lab will use beside what there is.

    Args:
        machine: `nvidia_gpu`, `extras`, `cores_allowed` and `cores_of_container` as in `examine`.
        chosen: platform of the devices that JAX gives.
        variables: of the environment.
    """
    found = []
    if machine["nvidia_gpu"] and chosen == "cpu":
        what = "there is an NVIDIA GPU, but JAX sees only the CPU"
        asked = next((name for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if variables.get(name)), None)
        if asked:
            found.append(Problem(f"{what}: {asked}={variables[asked]}", f"unset {asked}"))
        elif machine["extras"]["gpu"]:
            do = "look at what `nvidia-smi` says, and whether CUDA_VISIBLE_DEVICES hides it; update the driver"
            found.append(Problem(f"{what}, though its plugin is installed", do))
        else:
            do = "pip install 'proxy-lab[gpu]' (in a clone: pip install -e '.[gpu]')"
            found.append(Problem(f"{what}: its plugin is not installed", do))
    granted = machine["cores_of_container"]
    if chosen == "cpu" and granted and granted < machine["cores_allowed"]:
        most = max(1, int(granted))
        what = f"the container grants {granted:g} cores, but the lab takes {machine['cores_allowed']}, which is slower"
        found.append(Problem(what, f"taskset -c 0-{most - 1} lab run ..."))
    return found
