"""Small runs that tests damage, and a process that trains one."""

import os
import subprocess
import sys

from lab.config.experiment import parse
from lab.training import engine

CONFIG = """
name: faults
task: race
seeds: 32
training: {steps: 100, segments: 5, block_width: 8}
regimens:
  hold_out: [{until: 1}]
  late: [{until: 0.6}, {until: 1, weights: {test: 1}}]
"""
CHILD = "import sys; from lab import cli; sys.exit(cli.main(['run', 'config.yaml', '--out', sys.argv[1]]))"


def trained(tmp_path_factory, seeds=32):
    """The folder of a run of its own."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    engine.run(parse(CONFIG).with_seeds(seeds), folder)
    return folder


def content(folder):
    """Bytes of everything in a run but its locks and figures."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".lock"))
    return {path.name: path.read_bytes() for path in files if path.parent.name != "figures"}


def child(place, folder, before="true", **options):
    """Start `lab run` in a process of its own, after a command of the shell."""
    (place / "config.yaml").write_text(CONFIG)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **options.pop("env", {})}
    return subprocess.Popen(
        ["bash", "-c", f'{before}; exec "$@"', "-", sys.executable, "-c", CHILD, folder],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
