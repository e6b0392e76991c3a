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
import time
from pathlib import Path

from lab.results.store import publish

DEVICE = "from experiments.benchmarks.throughput import *; use_all_cores(); print(device_name(jax.devices()))"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--out", type=Path, default=Path("figures/sweeps.json"))
    options = parser.parse_args()
    device = subprocess.run([sys.executable, "-c", DEVICE], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        command = [sys.executable, "-m", "lab", "run", str(options.config), "--out", str(run)]
        started = time.monotonic()
        subprocess.run(command + (["--seeds", str(options.seeds)] if options.seeds else []), check=True)
        seconds = time.monotonic() - started
        manifest = json.loads((run / "manifest.json").read_text())
        files = [path.stat().st_size for path in (run / "shards").iterdir()]
    models = len(manifest["conditions"]) * manifest["seeds"]["count"]
    row = {
        "device": device,
        "config": manifest["name"],
        "models": models,
        "seconds": round(seconds, 1),
        "models_per_second": round(models / seconds),
        "files": len(files),
        "mib_on_disk": round(sum(files) / 2**20, 1),
    }
    rows = json.loads(options.out.read_text()) if options.out.exists() else []
    same = ("device", "config", "models")
    rows = [other for other in rows if any(other[key] != row[key] for key in same)] + [row]
    publish(options.out, (json.dumps(rows, indent=1) + "\n").encode())
    print(row)


if __name__ == "__main__":
    main()
