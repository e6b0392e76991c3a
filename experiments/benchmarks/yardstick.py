"""The work of `experiments.benchmarks.trainers` in C++, compiled on the spot: what a fused kernel reaches, a limit."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lab.tasks import Scratchpad
from lab.tasks.settings import Settings, stacked
from lab.training.population import Trainer

SOURCE = Path(__file__).with_name("yardstick.cpp")
COMPILER = ("g++", "-O3", "-march=native", "-fno-math-errno", "-ffp-contract=fast", "-shared", "-fPIC")
STEPS = 2_000  # in a turn
CHECKED_STEPS = 10  # after which losses are compared
MOST_APART = 1e-4  # of two losses then: rounding, which Adam makes larger


def default_knobs(task: Scratchpad) -> dict[str, jax.Array]:
    """Return the knobs of a task with their defaults."""
    return {name: jnp.float32(knob.default) for name, knob in task.knobs.items()}


def data_of(task: Scratchpad) -> ctypes.Array[ctypes.c_char]:
    """Return what `Data` of the kernel holds."""
    knobs = default_knobs(task)
    seen = np.asarray(task.contexts(knobs)[0])
    asked = [[*np.eye(2)[symbol], bit, *context] for symbol in (0, 1) for bit in (-1, 1) for context in seen]
    parts = [task.rows(knobs), asked, task.sample(jax.random.key(0), knobs), np.repeat(task.hidden_bit, len(seen))]
    bytes_of_parts = [np.asarray(part, np.float32).tobytes() for part in parts]
    contexts = np.tile(np.arange(len(seen), dtype=np.int32), len(task.problems)).tobytes()
    rest = np.array([knobs["preference"], task.training.learning_rate], np.float32).tobytes()
    whole = b"".join([*bytes_of_parts, contexts, rest])
    return ctypes.create_string_buffer(whole, len(whole))


def model_of(params: Any) -> Float[np.ndarray, "values lanes"]:
    """Return what `Model` of the kernel holds, from parameters with an axis of lanes in front."""
    sender, receiver = (params[name]["params"] for name in ("sender", "receiver"))
    parts = []
    for network in (sender, receiver):
        for layer in ("Dense_0", "Dense_1"):
            kernel = np.asarray(network[layer]["kernel"])
            parts += [np.swapaxes(kernel, 1, 2) if layer == "Dense_0" else kernel, np.asarray(network[layer]["bias"])]
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    return np.ascontiguousarray(flat.T, np.float32)


def contenders() -> dict[str, tuple[Callable[[], None], int]]:
    """Return the kernel and the seed-steps of a turn, after comparing losses; nothing without a compiler."""
    if shutil.which(COMPILER[0]) is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "yardstick.so")
        subprocess.run([*COMPILER, "-o", str(library), str(SOURCE)], check=True)
        kernel = ctypes.CDLL(str(library))
    task, lanes = Scratchpad(), kernel.width()
    seeds = np.arange(lanes, dtype=np.uint32)
    knobs = default_knobs(task)
    defaults = np.array(list(knobs.values()), np.float32)
    weights = np.array([float(term == "main") for term in task.terms], np.float32)
    # at the same rate in every step
    settings = Settings(weights, defaults, defaults, np.float32(task.training.learning_rate), np.float32(1))
    trainer = Trainer(task, task.training, lanes, jax.devices()[:1], used=("main",))
    start, data, loss = trainer.init(seeds, settings), data_of(task), np.zeros(lanes, np.float32)

    def train(steps: int) -> None:
        # every turn starts anew, aligned as vectors are
        memory = np.zeros(values.size + 16, np.float32)
        offset = -memory.ctypes.data // 4 % 16
        model = memory[offset : offset + values.size]
        model[:] = values.ravel()
        kernel.train(data, ctypes.c_void_p(model.ctypes.data), steps, ctypes.c_void_p(loss.ctypes.data))

    values = model_of(start.params)
    batch = task.sample(jax.random.key(0), knobs)
    loss_of = jax.jit(jax.vmap(lambda params: task.losses(params, batch, knobs, jnp.float32(0))["main"]))
    for steps in (0, CHECKED_STEPS):
        state, _ = trainer.train(seeds, stacked([settings]), start, [0, steps])
        train(steps)
        ours = np.asarray(loss_of(state.params))
        if np.max(np.abs(ours - loss)) > MOST_APART:
            raise SystemExit(f"not the same work after {steps} steps: {ours} here, {loss} in C++")
    return {"C++ (a limit)": (lambda: train(STEPS), STEPS * lanes)}
