"""What do a million shards cost that nobody trains: names, locks, looking for what is missing, checking, reading?

Command:   python -m experiments.benchmarks.scale [--shards 1000000]
Expected:  looking for what is missing takes seconds; reading everything, at a millisecond or two each, half an hour
Cost:      four minutes on 2 cores, a million empty files in the temporary folder

The folder of a run of 3.2 x 10^7 `scratchpad` models is made up: its manifest, and an empty file under the name of
every shard but three. That is all that resuming looks at before it checks contents. Writing, checking and reading are
timed on 500 real shards and multiplied. Writes figures/scale.json.
"""

import argparse
import hashlib
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from lab.config.experiment import parse
from lab.results import shards
from lab.results.store import Run, publish
from lab.training import engine

CONFIG = "name: scale\ntask: scratchpad\nseeds: {seeds}\nregimens:\n  hold_out: [{{until: 1}}]\n"
REAL = 500


def timed(act):
    started = time.monotonic()
    return act(), time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("figures/scale.json"))
    options = parser.parse_args()
    engine.use_all_cores()
    with tempfile.TemporaryDirectory() as place:
        width = parse(CONFIG.format(seeds=1)).training.block_width["cpu"]
        experiment = parse(CONFIG.format(seeds=options.shards * width))
        Path(place, "shards").mkdir()
        stored, preparing = timed(lambda: engine.prepare(experiment, Path(place)))
        empty = hashlib.sha256(b"").hexdigest()
        keys = shards.expected_shards(stored.manifest)
        lost = {keys[0], keys[len(keys) // 2], keys[-1]}

        def name():
            for key in keys:
                if key not in lost:
                    Path(place, "shards", f"{stored.shard_stem(*key)}.{empty}.nc").touch()

        _, naming = timed(name)
        missing, looking = timed(lambda: shards.missing_shards(stored))
        assert set(missing) == lost
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    with tempfile.TemporaryDirectory() as place:
        Path(place, "shards").mkdir()
        stored, random = Run.create(Path(place), stored.manifest), np.random.default_rng(0)
        scores = random.random((width, len(experiment.ends), len(experiment.task.scores)), np.float32)
        shard = shards.shard(scores, list(experiment.task.scores), np.arange(width), np.linspace(0.05, 1, 20))
        _, writing = timed(lambda: [shards.write_shard(stored, 0, index * width, shard) for index in range(REAL)])
        paths = list(stored.shards().values())
        size = sum(path.stat().st_size for path in paths) / REAL
        _, checking = timed(stored.clean)
        _, reading = timed(lambda: [shards.read_shard(stored, path) for path in paths])
    row = {
        "shards": options.shards,
        "models_per_shard": width,
        "prepare_seconds": round(preparing, 2),
        "name_seconds": round(naming, 1),
        "missing_seconds": round(looking, 1),
        "peak_mib": round(peak),
        "bytes_per_shard": round(size),
        **{
            f"{what}_milliseconds": round(1e3 * seconds / REAL, 2)
            for what, seconds in {"write": writing, "check": checking, "read": reading}.items()
        },
    }
    publish(options.out, (json.dumps(row, indent=1) + "\n").encode())
    print(row)


if __name__ == "__main__":
    main()
