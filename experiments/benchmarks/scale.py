"""What do a million shards cost that nobody trains: names, locks, looking for what is missing, checking, reading?

Command:   python -m experiments.benchmarks.scale [--shards 1000000] [--out FILE]
Expected:  looking for what is missing takes seconds; reading everything, at a millisecond or two each, half an hour
Cost:      four minutes on 2 cores, a million empty files in the temporary folder

The folder of a run of 3.2 x 10^7 `scratchpad` models is made up: its manifest, and an empty file under the name of
every shard but three. That is all that resuming looks at before it checks contents. Writing, checking and reading are
timed on 500 real shards and multiplied. Writes figures/scale.json.
"""

import argparse
import hashlib
import resource
import tempfile
from pathlib import Path

import numpy as np

from experiments.benchmarks.records import store, timed
from lab.config.experiment import Experiment, parse
from lab.results import outcomes
from lab.results.store import Run
from lab.training import engine
from lab.words import Json

CONFIG = "name: scale\ntask: scratchpad\nseeds: {seeds}\nregimens:\n  hold_out: [{{until: 1}}]\n"
REAL = 500  # shards that are written, checked and read
EMPTY = hashlib.sha256(b"").hexdigest()


def look_for_missing(experiment: Experiment, folder: Path) -> tuple[Run, Json]:
    """Make up a run that lacks three shards and return it, and how long looking for these takes."""
    (folder / "shards").mkdir()
    run, preparing = timed(lambda: engine.prepare(experiment, folder))
    keys = outcomes.expected_shards(run.manifest)
    lost = {keys[0], keys[len(keys) // 2], keys[-1]}

    def name_shards() -> None:
        for key in keys:
            if key not in lost:
                (folder / "shards" / f"{run.shard(*key)}.{EMPTY}.nc").touch()

    _, naming = timed(name_shards)
    missing, looking = timed(lambda: engine.missing_shards(run))
    assert set(missing) == lost
    return run, {
        "prepare_seconds": round(preparing, 2),
        "name_seconds": round(naming, 1),
        "missing_seconds": round(looking, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),  # from KiB
    }


def write_and_read(experiment: Experiment, run: Run) -> Json:
    """Write, check and read real shards, and return what one takes.

    Args:
        experiment: whose scores they hold.
        run: empty.
    """
    names, width, random = list(experiment.task.scores), run.manifest["block_width"], np.random.default_rng(0)
    checkpoints = run.manifest["checkpoints"]
    scores = random.random((width, len(checkpoints), len(names)), np.float32)
    shards = {
        (leaf, seed): outcomes.shard(scores, names, seed + np.arange(width), checkpoints)
        for leaf, seed in outcomes.expected_shards(run.manifest)[:REAL]
    }
    _, writing = timed(lambda: [run.write(leaf, seed, shard) for (leaf, seed), shard in shards.items()])
    paths = list(run.shards().values())
    _, checking = timed(run.clean)
    _, reading = timed(lambda: [run.read(path) for path in paths])
    seconds = {"write": writing, "check": checking, "read": reading}
    return {
        "bytes_per_shard": round(sum(path.stat().st_size for path in paths) / len(shards)),
        **{f"{what}_milliseconds": round(1e3 * value / len(shards), 2) for what, value in seconds.items()},
    }


def main() -> None:
    """Measure a run with many shards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("figures/scale.json"))
    options = parser.parse_args()
    engine.use_all_cores()
    width = parse(CONFIG.format(seeds=1)).training.block_width["cpu"]
    experiment = parse(CONFIG.format(seeds=options.shards * width))
    with tempfile.TemporaryDirectory() as folder:
        run, row = look_for_missing(experiment, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "shards").mkdir()
        row |= write_and_read(experiment, Run.create(Path(folder), run.manifest))
    row = {"shards": options.shards, "models_per_shard": width, **row}
    store(options.out, row)
    print(row)


if __name__ == "__main__":
    main()
