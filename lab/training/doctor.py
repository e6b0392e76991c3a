"""What this machine has, what the lab will use of it, and what is wrong with it, each with what to do.

Whatever decides a run is asked of `lab.training.engine`, which imports JAX, in a process of its own, because JAX with
a wrong driver or flag ends its process.
"""

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import lab
from lab.machine import surroundings
from lab.machine.cores import allowed_cores, container_cores
from lab.results.store import PathLike

if TYPE_CHECKING:
    from packaging.requirements import Requirement

LOCK = Path(lab.__file__).parents[1] / "requirements.lock"
LEAST_ROOM = 10**9  # bytes of free disk; a million models with 20 checkpoints of 5 scores take 0.4 GB
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


def examine(folder: PathLike = "runs") -> dict[str, Any]:
    """Return what `lab doctor` says, as plain JSON values.

    Args:
        folder: where runs go.
    """
    installed = {name: version for name in _needed() if (version := _version(name))}
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "cores_allowed": allowed_cores(),
        "cores_of_container": container_cores(),
        "nvidia_gpu": nvidia_gpu(),
        "packages": installed,
        "extras": {extra: next(filter(None, map(_version, names)), None) for extra, names in EXTRAS.items()},
        "free_disk_bytes": shutil.disk_usage(_nearest_existing(folder)).free,
    }
    problems = [*packages(installed), *storage(folder)]
    try:
        uses = _ask_used(folder)
    except ChildProcessError as error:
        uses = None
        problems.append(_no_start(str(error)))
    else:
        machine["devices"], machine["memory_bytes"] = uses.pop("devices_seen"), uses.pop("memory_bytes")
        problems += environment(os.environ, uses["platform"])
        problems += accelerator(machine, uses["platform"], os.environ)
    return {"machine": machine, "lab": uses, "problems": [problem._asdict() for problem in problems]}


def _ask_used(folder: PathLike) -> dict[str, Any]:
    """Return what `used` does in a process of its own. Raises ChildProcessError with what it says."""
    code = "import json, sys; from lab.training import doctor; print(json.dumps(doctor.used(sys.argv[1])))"
    return json.loads(surroundings.asked(code, str(folder)).splitlines()[-1])


def _no_start(why: str) -> Problem:
    """Return the problem of a machine where JAX does not start, from what JAX says."""
    if variable := surroundings.unusable(os.environ):
        return Problem(variable.what, variable.do)
    last = why.rpartition("\n")[2]
    return Problem(f"JAX does not start: {last}", "pip install --force-reinstall jax jaxlib")


def used(folder: PathLike) -> dict[str, Any]:
    """Return what the engine takes of this machine, as it itself decides it, and all devices that JAX sees.

    Args:
        folder: where runs go.
    """
    import jax

    from lab.machine import memory, programs
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
        "programs": str(programs.folder() or "") if devices[0].platform == "cpu" else "",
        "memory_bytes": memory.available_memory(),
        "devices_seen": [
            {
                "platform": device.platform,
                "kind": device.device_kind,
                "memory_bytes": (device.memory_stats() or {}).get("bytes_limit"),
            }
            for device in devices
        ],
    }


def _version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _needed() -> "dict[str, Requirement]":
    """Return name -> requirement of the packages that the lab needs itself; empty where it is not installed."""
    from packaging.requirements import Requirement

    try:
        requirements = map(Requirement, requires("proxy-lab") or ())
    except PackageNotFoundError:
        return {}
    needed = {requirement.name: requirement for requirement in requirements if "extra" not in str(requirement.marker)}
    return {**needed, "jaxlib": Requirement("jaxlib")}


def nvidia_gpu(devices: Path = Path("/dev")) -> bool:
    """Return whether the system shows an NVIDIA GPU, whatever JAX sees.

    Args:
        devices: folder of the system's devices.
    """
    return any(devices.glob("nvidia[0-9]*"))


def _nearest_existing(folder: PathLike) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    path = Path(folder).resolve()
    return next(parent for parent in (path, *path.parents) if parent.exists())


def packages(installed: Mapping[str, str], lock: Path = LOCK) -> list[Problem]:
    """Return the problems of installed versions: too old, missing, or others than in the lock file, if there is one.

    Args:
        installed: package -> version.
        lock: the lock file.
    """
    problems = []
    for name, requirement in _needed().items():
        if name not in installed:
            problems.append(Problem(f"{name} is not installed", f"pip install '{requirement}'"))
        elif not requirement.specifier.contains(installed[name], prereleases=True):
            what = f"{name} {installed[name]} is too old: the lab needs {requirement.specifier}"
            problems.append(Problem(what, f"pip install -U '{requirement}'"))
    if not lock.exists():  # it comes with a clone, not with the package
        return problems
    if differences := _unlike_lock(lock):
        what = f"installed versions are not those of {lock.name}: {', '.join(differences)}"
        problems.append(Problem(what, f"for the same bytes as elsewhere: pip install -r {lock.name}"))
    return problems


def _unlike_lock(lock: Path) -> list[str]:
    """Return, in words, which packages are installed in another version than a lock file has."""
    from packaging.requirements import Requirement

    differences = []
    for line in re.findall(r"^[\w.-]+==[^\\\n]*", lock.read_text(), re.MULTILINE):
        pinned = Requirement(line)
        if pinned.marker is not None and not pinned.marker.evaluate():
            continue
        version = _version(pinned.name)
        if version and not pinned.specifier.contains(version, prereleases=True):
            differences.append(f"{pinned.name} {version} (lock: {str(pinned.specifier)[2:]})")
    return differences


def environment(variables: Mapping[str, str], device: str = "cpu") -> list[Problem]:
    """Return the problems of environment variables: those that a run records, and those that a library cannot read.

    Args:
        variables: of the environment.
        device: what trains: cpu or gpu.
    """
    problems, do = [], "unset {}, unless you mean it: a run that was begun without does not go on with it"
    try:
        if flags := surroundings.recorded_flags(variables.get("XLA_FLAGS", ""), device):
            problems.append(Problem(f"XLA_FLAGS: {flags} may change the bytes of runs", do.format("XLA_FLAGS")))
    except (OSError, ValueError) as error:
        problems.append(Problem(f"XLA_FLAGS={variables['XLA_FLAGS']} cannot be read: {error}", "unset XLA_FLAGS"))
    for name in sorted(variables):
        if name.startswith("JAX_") and surroundings.verdict(name.lower()) == "recorded":
            problems.append(Problem(f"{name}={variables[name]} may change the bytes of runs", do.format(name)))
    if backend := variables.get("MPLBACKEND"):
        try:
            surroundings.asked("from matplotlib import pyplot; pyplot.figure()", variables=variables)
        except ChildProcessError as error:
            why = str(error).rpartition("\n")[2].partition(": ")[2].partition(";")[0]
            problems.append(Problem(f"Matplotlib cannot draw with MPLBACKEND={backend}: {why}", "unset MPLBACKEND"))
    return problems


def storage(folder: PathLike) -> list[Problem]:
    """Return the problems of the folder where runs go.

    Args:
        folder: where runs go.
    """
    existing, problems = _nearest_existing(folder), []
    where = existing if existing == Path(folder).resolve() else f"{existing} (where {folder}/ is made)"
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        do = "make it writable, go to another folder, or give --out"
        problems.append(Problem(f"{where} cannot be written", do))
    free = shutil.disk_usage(existing).free
    if free < LEAST_ROOM:
        what = f"{where} has {free / 1e9:.2f} GB of free disk, less than {LEAST_ROOM / 1e9:g} GB"
        problems.append(Problem(what, "make room, or give an --out on another disk"))
    return problems


def accelerator(machine: Mapping[str, Any], chosen: str, variables: Mapping[str, str]) -> list[Problem]:
    """Return the problems of what the lab will use beside what there is.

    Args:
        machine: `nvidia_gpu`, `extras`, `cores_allowed` and `cores_of_container` as in `examine`.
        chosen: platform of the devices that JAX gives.
        variables: of the environment.
    """
    problems = []
    if machine["nvidia_gpu"] and chosen == "cpu":
        what = "there is an NVIDIA GPU, but JAX sees only the CPU"
        variable = next((name for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME") if variables.get(name)), None)
        if variable:
            problems.append(Problem(f"{what}: {variable}={variables[variable]}", f"unset {variable}"))
        elif machine["extras"]["gpu"]:
            do = "look at what `nvidia-smi` says, and whether CUDA_VISIBLE_DEVICES hides it; update the driver"
            problems.append(Problem(f"{what}, though its plugin is installed", do))
        else:
            do = "pip install 'proxy-lab[gpu]' (in a clone: pip install -e '.[gpu]')"
            problems.append(Problem(f"{what}: its plugin is not installed", do))
    granted = machine["cores_of_container"]
    if chosen == "cpu" and granted and granted < machine["cores_allowed"]:
        most = max(1, int(granted))
        what = f"the container grants {granted:g} cores, but the lab takes {machine['cores_allowed']}, which is slower"
        problems.append(Problem(what, f"taskset -c 0-{most - 1} lab run ..."))
    return problems
