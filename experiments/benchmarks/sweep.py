"""How long does a whole sweep take on this machine: compiling, training, storing, tables and figures?

Command:   python -m experiments.benchmarks.sweep CONFIG [--seeds N] [--out FILE]
Expected:  most of the time is training
Cost:      that of the sweep

Runs `lab run` in a process of its own, in a folder that is removed afterwards. The row replaces an earlier one of the
same device, config and number of models in figures/sweeps.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmarks.records import disk_use, local_device, store_rows, timed
from lab.words import Json


def measure(config: Path, seeds: int | None) -> Json:
    """Run a config and return the row about it."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [sys.executable, "-m", "lab", "run", str(config), "--out", str(run)]
        command += ["--seeds", str(seeds)] if seeds else []
        _, seconds = timed(lambda: subprocess.run(command, check=True))
        manifest = json.loads((run / "manifest.json").read_text())
        models = len(manifest["conditions"]) * manifest["seeds"]["count"]
        row = {"config": manifest["name"], "models": models, "seconds": round(seconds, 1)}
        return row | {"models_per_second": round(models / seconds)} | disk_use(run)


def main() -> None:
    """Measure one config."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--out", type=Path, default=Path("figures/sweeps.json"))
    options = parser.parse_args()
    row = {"device": local_device()} | measure(options.config, options.seeds)
    store_rows(options.out, [row], same=("device", "config", "models"))
    print(row)


if __name__ == "__main__":
    main()
