"""Would a native operation for the dense stack pay? How much faster could training be if the stack ran at peak speed?

Command:   python -m experiments.benchmarks.native [--rounds 7] [--out FILE]
Expected:  "not worth it": below 2 on at least one of two tasks
Cost:      two minutes on 2 cores

Such an operation would do products, biases, ReLU and their backward pass of `lab.tasks.models.Heads` in one call to
compiled C++. It is built if it can make training twice as fast on two tasks; that was decided before it was measured.

The bound on what it can do comes from two timings. One is training as it is. The other is training with the stack
replaced by next to nothing, with the same parameters, optimiser, losses and shapes. To the second is added the time
that the products of the stack take at the measured peak of one core.
"""

import argparse
import contextlib
import os
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.benchmarks.records import device_name, store, timed
from experiments.benchmarks.throughput import default_settings
from lab.tasks import TASKS, messages, scratchpad, shortcut
from lab.tasks.models import Heads, scaled_normal
from lab.tasks.settings import stacked
from lab.training.engine import use_all_cores
from lab.training.population import Trainer
from lab.words import Json

CHOSEN = ("scratchpad", "shortcut")
LANES, STEPS = 32, 100
MATRIX = 1024  # rows and columns of the matrices whose product shows the peak
WORTH_IT = 2  # times as fast
Outputs = tuple[Float[Array, "rows _"], ...]  # the hidden layer and the outputs of each head
Units = Float[Array, ""] | np.floating | None  # how many hidden units count; all without a number


class Layer(nn.Module):
    """The parameters of a dense layer; returns the first row of its kernel, and its bias."""

    inputs: int
    outputs: int
    scale: float

    @nn.compact
    def __call__(self) -> tuple[Float[Array, " outputs"], Float[Array, " outputs"]]:
        kernel = self.param("kernel", scaled_normal(self.scale), (self.inputs, self.outputs))
        return kernel[0], self.param("bias", nn.initializers.zeros, (self.outputs,))


class NearlyNothing(nn.Module):
    """A class like `Heads`, with its parameters and shapes, that computes next to nothing."""

    width: int
    heads: tuple[int, ...]
    scale: float

    @nn.compact
    def __call__(self, x: Float[Array, "rows inputs"], units: Units = None) -> Outputs:
        first, start = Layer(x.shape[1], self.width, self.scale, name="Dense_0")()
        outputs = []
        for index, size in enumerate(self.heads):
            row, bias = Layer(self.width, size, self.scale, name=f"Dense_{index + 1}")()
            outputs.append(x[:, :1] * (row + first[0]) + bias + start[0])
        return jnp.broadcast_to(first, (len(x), self.width)), *outputs


@contextlib.contextmanager
def in_place_of_heads(stack: type[nn.Module]) -> Iterator[None]:
    """Put another class in the place of `Heads` while something is traced."""
    with contextlib.ExitStack() as patches:
        for module in (messages, scratchpad, shortcut):
            patches.enter_context(mock.patch.object(module, "Heads", stack))
        yield


def stack_flops(name: str) -> int:
    """Return the floating-point operations in the products of the stack, of one step of one model."""
    flops = []

    class Noted(Heads):
        @nn.compact
        def __call__(self, x: Float[Array, "rows inputs"], units: Units = None) -> Outputs:
            # forward, and twice that backward
            flops.append(3 * 2 * len(x) * self.width * (x.shape[1] + sum(self.heads)))
            return super().__call__(x, units)

    task = TASKS[name]()
    knobs = {name: jnp.float32(knob.default) for name, knob in task.knobs.items()}
    params, batch = task.init(jax.random.key(0), knobs), task.sample(jax.random.key(0), knobs)
    with in_place_of_heads(Noted):
        jax.eval_shape(lambda params: task.losses(params, batch, knobs, jnp.float32(0.5))["main"], params)
    return sum(flops)


def trainer_of(name: str) -> Callable[[], None]:
    """Return a compiled function that trains a block of a task by the main objective."""
    task = TASKS[name]()
    trainer = Trainer(task, task.training, LANES, jax.devices()[:1], used=("main",))
    settings, seeds = default_settings(task), np.arange(LANES, dtype=np.uint32)
    start = trainer.init(seeds, settings)

    def train() -> None:
        trainer.train(seeds, stacked([settings]), start, [0, STEPS])[1].block_until_ready()

    train()  # compiles
    return train


def measure(rounds: int) -> Json:
    """Return seconds by task and whether the stack is there, and those of a product of matrices."""
    contenders = {}
    for name in CHOSEN:
        contenders[name, "as it is"] = trainer_of(name)
        with in_place_of_heads(NearlyNothing):
            contenders[name, "without"] = trainer_of(name)
    matrix = jnp.ones((MATRIX, MATRIX), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    contenders["peak"] = lambda: product(matrix).block_until_ready()
    turns = [{key: timed(run)[1] for key, run in contenders.items()} for _ in range(1 + rounds)]
    median = {key: statistics.median(turn[key] for turn in turns[1:]) for key in contenders}
    peak = 2 * MATRIX**3 / median["peak"]  # operations per second
    rows = []
    for name in CHOSEN:
        whole, rest = (1e6 * median[name, kind] / (LANES * STEPS) for kind in ("as it is", "without"))
        at_peak = 1e6 * stack_flops(name) / peak
        rows.append(
            {
                "task": name,
                "microseconds": round(whole, 2),
                "without_stack": round(rest, 2),
                "stack_at_peak": round(at_peak, 2),
                "at_most": round(whole / (rest + at_peak), 2),
            }
        )
    return {"device": device_name(jax.devices()), "gflops_at_peak": round(peak / 1e9, 1), "rows": rows}


def main() -> None:
    """Measure on one core."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("figures/native.json"))
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    use_all_cores()
    data = measure(options.rounds)
    for row in data["rows"]:
        print(row)
    print("worth building" if all(row["at_most"] >= WORTH_IT for row in data["rows"]) else "not worth it")
    store(options.out, data)


if __name__ == "__main__":
    main()
