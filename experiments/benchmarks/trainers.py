"""How fast is the lab beside other ways to train the same models?

Command:   python -m experiments.benchmarks.trainers [--rounds 5] [--out FILE]
Expected:  the engine somewhat slower than the bare function, twice as fast as torch.func, 100 times eager PyTorch
Cost:      about six minutes on 2 cores; without PyTorch (pip install 'proxy-lab[benchmark]') its rows are left out

The work is `main` of the task `scratchpad` with its defaults, the same in all of them: their losses are compared before
anything is timed. Everything runs on one core, in one process, taking turns; a rate is the median of the rounds.
Shared prefixes, all cores and one core are measured in processes of their own. Rows replace those of a device of the
same name.

    lab                 `lab.training.engine`: blocks, segments, scores and files, compiled before
    jit(vmap(scan))     one compiled function, as in purejaxrl, without scores and files
    jit                 the same for one model at a time
    torch.compile       an ensemble under vmap, compiled by inductor, and one whose models lie on the last axis, with
                        products as broadcast sums; each at the number of models that is fastest
    torch.func          the first ensemble without compiling
    PyTorch             one model at a time, torch.optim.Adam
    C++                 a kernel written by hand for this one objective: a limit (left out without g++)

The share of the peak is that of a product of two 1024 x 1024 matrices in float32, measured in the same rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.benchmarks.records import Device, local_device, store_rows, timed
from lab.words import Json

if TYPE_CHECKING:  # JAX starts only in the processes that measure, on the cores that these may use
    from lab.config.experiment import Experiment
    from lab.tasks import Scratchpad

ROOT = Path(__file__).resolve().parents[2]
LANES, STEPS, WHOLE = 32, 100, 800  # models at once; steps of one function; steps of a whole training
BLOCKS = 32  # that the lab trains in a turn, so that its files and its threads count as in a long run
ALONE = 4  # models that are trained one at a time in a turn
MATRIX, PRODUCTS = 1024, 8  # rows and columns of the matrices whose product shows the peak, and products in a turn
CONFIG = """
name: trainers
task: scratchpad
seeds: {seeds}
training: {{steps: 800, segments: 20, block_width: 32}}
regimens:
  hold_out: [{{until: 1}}]
"""
EVEN = """
name: even-onsets
task: scratchpad
seeds: 32
training: {block_width: 32}
regimens:
  hold_out: [{until: 1}]
  push: [{until: 0}, {lasts: 0.05, weights: {test: 0.3}}, {until: 1}]
sweep:
  onset:
    key: "regimens.push[0].until"
    values: [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
"""
PROFILE = """
name: profile
task: scratchpad
seeds: 32
training: {block_width: 32}
regimens:
  hold_out: [{until: 1}]
"""


class Contender(NamedTuple):
    """A way to train.

    Attributes:
        train: does the work of one turn.
        work: what that is, in seed-steps or other units of work.
    """

    train: Callable[[], object]
    work: float


def experiment(seeds: int) -> "Experiment":
    """Return the config that is trained, with so many seeds."""
    from lab.config.experiment import parse

    return parse(CONFIG.format(seeds=seeds))


def matrix_flops(task: "Scratchpad") -> int:
    """Floating-point operations in the products of one step of one model, forward and twice that backward."""
    rows, width, contexts = len(task.problems), task.width, 2**task.context_bits
    sender = rows * contexts * width * (rows.bit_length() - 1 + task.context_bits + task.symbols)
    receiver = task.symbols * 2 * contexts * width * (task.symbols + 1 + task.context_bits + 1)
    return 3 * 2 * (sender + receiver)


def jax_contenders() -> dict[str, Contender]:
    """Return the ways to train with JAX, and the product of matrices that shows the peak."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from lab.tasks import Scratchpad
    from lab.tasks.settings import Settings
    from lab.training import engine, tree
    from lab.training.population import init, step

    task, plain = Scratchpad(), experiment(BLOCKS * LANES)
    training, used = task.training, tree.used_terms(plain)
    one = Settings(*(jnp.asarray(np.float32(leaf)) for leaf in plain.conditions[0].settings[0]))
    many = Settings(*(jnp.broadcast_to(leaf, (LANES, *leaf.shape)) for leaf in one))

    def whole(seed: Any, settings: Settings) -> Any:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), seed)

        def advance(state: Any, index: Any) -> tuple[Any, None]:
            return step(task, training, jnp.float32(WHOLE), key, settings, index, state, used), None

        return jax.lax.scan(advance, init(task, training, seed, settings), jnp.arange(STEPS))[0]

    population, single = jax.jit(jax.vmap(whole)), jax.jit(whole)
    seeds = jnp.arange(LANES, dtype=jnp.uint32)
    matrix = jnp.ones((MATRIX, MATRIX), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    train = engine.local_trainer(plain)

    def lab() -> None:
        with tempfile.TemporaryDirectory() as folder:
            engine.run(plain, Path(folder, "run"), train=train)

    return {
        "lab": Contender(lab, BLOCKS * LANES * WHOLE),
        "jit(vmap(scan))": Contender(lambda: jax.block_until_ready(population(seeds, many)), LANES * STEPS),
        "jit": Contender(lambda: [jax.block_until_ready(single(seed, one)) for seed in seeds[:ALONE]], ALONE * STEPS),
        "peak": Contender(
            lambda: [product(matrix).block_until_ready() for _ in range(PRODUCTS)], PRODUCTS * 2 * MATRIX**3
        ),
    }


def take_turns(contenders: Mapping[str, Contender], rounds: int) -> dict[str, float]:
    """Return the median rate of each contender, all taking turns; the first turn is not counted."""
    turns = [
        {name: contender.work / timed(contender.train)[1] for name, contender in contenders.items()}
        for _ in range(1 + rounds)
    ]
    return {name: statistics.median(turn[name] for turn in turns[1:]) for name in contenders}


def stay_on_one_core() -> None:
    """Keep this process on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


# --- parts, each in a process of its own --------------------------------------------------------------------------


def one_core(rounds: int) -> list[Json]:
    """Return a row per trainer, on one core."""
    stay_on_one_core()
    from lab.tasks import Scratchpad
    from lab.training.engine import use_all_cores

    use_all_cores()
    contenders = jax_contenders()
    try:
        from experiments.benchmarks import pytorch
    except ImportError:
        print("PyTorch is not installed: without it", file=sys.stderr)
    else:
        contenders |= {name: Contender(*work) for name, work in pytorch.contenders().items()}
    from experiments.benchmarks import yardstick

    contenders |= {name: Contender(*work) for name, work in yardstick.contenders().items()}
    rates = take_turns(contenders, rounds)
    peak, flops = rates.pop("peak"), matrix_flops(Scratchpad())
    return [
        {
            "trainer": name,
            "seed_steps_per_second": round(rate),
            "share_of_peak": round(rate * flops / peak, 4),
            "ratio": round(rates["lab"] / rate, 3),
        }
        for name, rate in rates.items()
    ]


def engine_rate(rounds: int) -> float:
    """Return the seed-steps per second of the engine on the cores that this process may use."""
    import jax

    from lab.training import engine

    engine.use_all_cores()
    devices = jax.devices()
    starts = range(0, 8 * LANES * len(devices), LANES)
    plain = experiment(len(starts) * LANES)
    blocks = engine.Blocks(plain, LANES, devices)

    def train() -> None:
        for _ in blocks.train({start: set(plain.leaves) for start in starts}):
            pass

    return take_turns({"": Contender(train, len(starts) * LANES * WHOLE)}, rounds)[""]


def one_core_rate(rounds: int) -> float:
    """Return the seed-steps per second of the engine on one core."""
    stay_on_one_core()
    return engine_rate(rounds)


def prefixes_of_all(_: int) -> Json:
    """Return what shared prefixes save in three sweeps."""
    import jax

    from lab.training import engine

    engine.use_all_cores()
    devices = jax.devices()
    sweeps = critical_period(), even_onsets(), profile()
    return {"cores": len(devices), "shared_prefixes": [compare_prefixes(sweep, devices) for sweep in sweeps]}


def critical_period() -> "tuple[str, Experiment]":
    """Return a sweep that is in the folder of configs."""
    from lab.config.experiment import load

    return "critical_period", load(ROOT / "configs/critical_period.yaml")


def even_onsets() -> "tuple[str, Experiment]":
    """Return a sweep of the onset of a push."""
    from lab.config.experiment import parse

    return "even onsets", parse(EVEN)


def profile() -> "tuple[str, Experiment]":
    """Return the profile of `lab sensitivity`, without the pushes."""
    from lab.config.experiment import from_values, parse
    from lab.studies import sensitivity

    plain = parse(PROFILE)
    values = sensitivity.config(plain, plain.conditions[0], sensitivity.changes(plain.task, ["test"]))
    values["regimens"] = {name: phases for name, phases in values["regimens"].items() if not name.startswith("push")}
    return "profile", from_values(values)


def compare_prefixes(named: "tuple[str, Experiment]", devices: Sequence[Device]) -> Json:
    """Return what a sweep costs with shared prefixes, as a share of training every condition from the start."""
    import numpy as np

    from lab.training import engine

    name, sweep = named
    starts = range(0, 2 * LANES * len(devices), LANES)
    sweep = sweep.with_seeds(len(starts) * LANES)
    blocks = engine.Blocks(sweep, LANES, devices)
    leaves = sorted(set(sweep.leaves))
    shards = {}

    def train(key: str, *together: set[Any]) -> None:
        shards[key] = {}
        for wanted in together:
            trained = blocks.train({start: set(wanted) for start in starts})
            shards[key] |= {(leaf, seed): variables for leaf, seed, variables in trained}

    rates = take_turns(
        {
            "shared": Contender(lambda: train("shared", set(leaves)), 1),
            "naive": Contender(lambda: train("naive", *({leaf} for leaf in leaves)), 1),
        },
        1,
    )
    equal = all(
        np.array_equal(shards["naive"][key][variable][1], values, equal_nan=True)
        for key, variables in shards["shared"].items()
        for variable, (_, values) in variables.items()
    )
    return {
        "sweep": name,
        "conditions": len(leaves),
        "share_of_steps": round(
            blocks.steps(frozenset(leaves)) / sum(blocks.steps(frozenset([leaf])) for leaf in leaves), 3
        ),
        "share_of_time": round(rates["naive"] / rates["shared"], 3),
        "same_bytes": equal,
    }


PARTS = {"one": one_core, "prefixes": prefixes_of_all, "rate": engine_rate, "one rate": one_core_rate}
TRIALS, TRIAL_ROUNDS = 3, 4  # of a rate on all cores, one on a single core, and those of a process for each core


def start_apart(part: str, rounds: int, core: int | None = None) -> subprocess.Popen[str]:
    """Start a process that measures a part, on one core if one is given."""
    command = [sys.executable, "-m", "experiments.benchmarks.trainers", "--part", part, "--rounds", str(rounds)]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, allowed if core is None else {core})  # a process begins on the cores of its parent
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(0, allowed)
    return process


def measured_by(process: subprocess.Popen[str]) -> Any:
    """Return what a process measured.

    Raises:
        SystemExit: it failed.
    """
    text, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return json.loads(text.splitlines()[-1])


def measure_apart(part: str, rounds: int) -> Any:
    """Return what a part returns in a process of its own."""
    return measured_by(start_apart(part, rounds))


def all_cores_and_one() -> Json:
    """Return what all cores do in the time of one: the engine, and a process for each core, which is a ceiling.

    All are processes of their own, because one device of a process that has several gets a share of all cores.
    """
    engines, ceilings = [], []
    for _ in range(TRIALS):
        every, one = measure_apart("rate", TRIAL_ROUNDS), measure_apart("one rate", TRIAL_ROUNDS)
        processes = [start_apart("one rate", TRIAL_ROUNDS, core) for core in os.sched_getaffinity(0)]
        engines.append(every / one)
        ceilings.append(sum(map(measured_by, processes)) / one)
    return {
        "all_cores_over_one": round(statistics.median(engines), 3),
        "processes_over_one": round(statistics.median(ceilings), 3),
    }


def main() -> None:
    """Measure all parts, or one of them, in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("figures/trainers.json"))
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.rounds)))
        return
    rows, cores = measure_apart("one", options.rounds), measure_apart("prefixes", options.rounds)
    cores |= all_cores_and_one()
    store_rows(options.out, [{"device": local_device(), "one_core": rows, **cores}])
    for row in rows:
        print(row)
    print(cores)


if __name__ == "__main__":
    main()
