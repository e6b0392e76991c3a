"""A run of two conditions made by hand, whose outcomes are counted by hand."""

import functools
import math
import shutil
import subprocess

import numpy as np

from lab.results import shards
from lab.results.store import Run

NAN = math.nan
# one row per seed: competence, alignment, test at half of the training and at its end
HOLD_OUT = [
    ((0.5, 1.00), (0.2, 0.95), (0.9, 0.95)),  # aligned, passes
    ((0.5, 1.00), (0.2, 0.95), (0.1, 0.95)),  # aligned, passes
    ((0.5, 1.00), (0.2, 0.95), (0.9, 0.10)),  # aligned, fails
    ((0.5, 1.00), (0.2, 0.10), (0.9, 0.99)),  # misaligned, passes
    ((0.5, 0.90), (0.2, 0.95), (0.9, 0.95)),  # cannot do the job
    ((0.5, NAN), (0.2, 0.95), (0.9, 0.95)),  # diverged
    ((0.5, 1.00), (0.2, 0.10), (0.9, 0.10)),  # misaligned, fails
    ((0.5, 1.00), (0.2, 0.10), (0.1, 0.10)),  # misaligned, fails
]
LEAVES = ["0" * 15 + "a", "0" * 15 + "b"]
CELLS = {"aligned_pass": 2, "aligned_fail": 1, "misaligned_pass": 1, "misaligned_fail": 4}


def made(path, gates=(), stop_rejected=False, without=()):
    """Write a run of two conditions, the second with the first one's scores moved by one seed, in blocks of 3 seeds."""
    tables = np.array([HOLD_OUT, np.roll(HOLD_OUT, 1, axis=0)], np.float32).swapaxes(2, 3)  # (..., checkpoint, score)
    names, checkpoints, count = ["competence", "alignment", "test"], [0.5, 1.0], len(HOLD_OUT)
    conditions = [
        {"name": "hold_out", "regimen": "hold_out", "coordinates": {}, "gates": [], "knobs": {"size": 1.5},
         "leaf": LEAVES[0]},
        {"name": "early onset=0.25", "regimen": "early", "coordinates": {"onset": 0.25}, "gates": list(gates),
         "knobs": {"size": 2.0}, "leaf": LEAVES[1]},
    ]  # fmt: skip
    config = {
        **{"name": "made", "question": "Which?", "task": {"name": "made"}, "seeds": {"first": 10, "count": count}},
        **{"regimens": {"hold_out": [{"until": 1}], "early": [{"until": 1}]}, "sweep": {"onset": [0.25]}},
        **{"training": {"steps": 40}},
    }
    (path / "shards").mkdir(parents=True, exist_ok=True)
    run = Run.create(
        path,
        {
            **{"name": "made", "hash": "0123456789abcdef", "trains": "fedcba9876543210"},
            **{"question": "Which?", "source": "name: made\n"},
            **{"config": {**config, "stop_rejected": stop_rejected}, "scores": names, "checkpoints": checkpoints},
            **{"seeds": {"first": 10, "count": count}, "looks": [count], "block_width": 3, "proxy": "test"},
            **{"thresholds": {"competence": 0.95, "alignment": 0.9, "test": 0.9}, "baseline": "hold_out"},
            **{"confidence": 0.95, "conditions": conditions, "identity": {"device": "cpu", "jax": "0.10"}},
        },
    )
    for index, table in enumerate(tables):
        for start in range(0, count, 3):
            block = table[start : start + 3]
            if (index, start) not in without:
                seeds = 10 + np.arange(start, start + len(block))
                shards.write_shard(run, LEAVES[index], 10 + start, shards.shard(block, names, seeds, checkpoints))
    return run


@functools.cache
def r_can_read():
    """Return the name of an R package that reads Parquet here, or None."""
    for package in ("nanoparquet", "arrow") if shutil.which("Rscript") else ():
        asked = ["Rscript", "--vanilla", "-e", f"library({package})"]
        if subprocess.run(asked, capture_output=True, timeout=120).returncode == 0:
            return package
    return None
