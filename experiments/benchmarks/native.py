"""Would a native operation for the dense stack pay? How much faster could training be if the stack ran at peak speed?

Command:   python -m experiments.benchmarks.native [--rounds 7] [--out FILE]
Expected:  "not worth it": below 2 on at least one of two tasks
Cost:      two minutes on 2 cores

Written before it was measured: such an operation (products, biases, ReLU and their backward pass of
`lab.tasks.models.Heads` in one call to compiled C++) is built if it can make training twice as fast on two tasks. The
bound on what it can do: training is timed as it is, and with the stack replaced by next to nothing, with the same
parameters, optimiser, losses and shapes; to the second is added the time that the products of the stack take at the
measured peak of one core.
"""

import argparse
import contextlib
import json
import os
import statistics
import time
from pathlib import Path

from lab.results.store import publish

TASKS = ("scratchpad", "shortcut")
LANES, STEPS = 32, 100


@contextlib.contextmanager
def replaced(heads):
    """Put another class in the place of `Heads` while something is traced."""
    from lab.tasks import messages, scratchpad, shortcut

    modules = messages, scratchpad, shortcut
    real = messages.Heads
    for module in modules:
        module.Heads = heads
    try:
        yield
    finally:
        for module in modules:
            module.Heads = real


def nothing():
    """Return a class like `Heads`, with its parameters and shapes, that computes next to nothing."""
    import flax.linen as nn
    import jax.numpy as jnp

    from lab.tasks.models import scaled_normal

    class Layer(nn.Module):
        inputs: int
        outputs: int
        scale: float

        @nn.compact
        def __call__(self):
            kernel = self.param("kernel", scaled_normal(self.scale), (self.inputs, self.outputs))
            return kernel[0], self.param("bias", nn.initializers.zeros, (self.outputs,))

    class Nothing(nn.Module):
        width: int
        heads: tuple
        scale: float

        @nn.compact
        def __call__(self, x):
            first, start = Layer(x.shape[1], self.width, self.scale, name="Dense_0")()
            found = []
            for index, size in enumerate(self.heads):
                row, bias = Layer(self.width, size, self.scale, name=f"Dense_{index + 1}")()
                found.append(x[:, :1] * (row + first[0]) + bias + start[0])
            return jnp.broadcast_to(first, (len(x), self.width)), *found

    return Nothing


def stack_flops(name):
    """Return the floating-point operations in the products of the stack, of one step of one model."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    from lab import tasks
    from lab.tasks.models import Heads

    flops = []

    class Noted(Heads):
        @nn.compact
        def __call__(self, x):
            # forward, and twice that backward
            flops.append(3 * 2 * len(x) * self.width * (x.shape[1] + sum(self.heads)))
            return super().__call__(x)

    task = tasks.TASKS[name]()
    knobs = {knob: jnp.float32(own.default) for knob, own in task.knobs.items()}
    params, batch = (act(jax.random.key(0), knobs) for act in (task.init, task.sample))
    with replaced(Noted):
        jax.eval_shape(lambda params: task.losses(params, batch, knobs, jnp.float32(0.5))["main"], params)
    return sum(flops)


def trained(name):
    """Return a function that trains a block of a task by the main objective."""
    import jax
    import numpy as np

    from experiments.benchmarks.throughput import settings
    from lab.tasks import TASKS
    from lab.tasks.settings import stacked
    from lab.training.population import Trainer

    task = TASKS[name]()
    trainer = Trainer(task, task.training, LANES, jax.devices()[:1], used=("main",))
    own, seeds = settings(task), np.arange(LANES, dtype=np.uint32)
    start = trainer.init(seeds, own)

    def train():
        trainer.train(seeds, stacked([own]), start, [0, STEPS])[1].block_until_ready()

    train()  # compiles
    return train


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("figures/native.json"))
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax
    import jax.numpy as jnp

    from experiments.benchmarks.throughput import device_name
    from lab.training.engine import use_all_cores

    use_all_cores()
    contenders = {}
    for name in TASKS:
        contenders[name, "as it is"] = trained(name)
        with replaced(nothing()):
            contenders[name, "without"] = trained(name)
    matrix = jnp.ones((1024, 1024), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    contenders["peak"] = lambda: product(matrix).block_until_ready()
    seconds = {key: [] for key in contenders}
    for turn in range(options.rounds + 1):
        for key, run in contenders.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[key].append(time.perf_counter() - started)
    median = {key: statistics.median(own) for key, own in seconds.items()}
    peak = 2 * 1024**3 / median["peak"]
    rows = []
    for name in TASKS:
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
        print(rows[-1])
    print("worth building" if all(row["at_most"] >= 2 for row in rows) else "not worth it")
    data = {"device": device_name(jax.devices()), "gflops_at_peak": round(peak / 1e9, 1), "rows": rows}
    publish(options.out, (json.dumps(data, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
