"""What a command imports: nobody waits for a package that the command does not use."""

import json
import os
import subprocess
import sys

import pytest

from tests.stored_runs import trained

# packages that take long to import; with the lab's own dependencies nothing else takes a tenth of a second
SLOW = ("jax", "flax", "matplotlib", "numpy", "pandas", "scipy.optimize", "scipy.stats", "sklearn", "tyro", "xarray")
CODE = f"""
import contextlib, io, json, sys
from lab import cli
with contextlib.redirect_stdout(io.StringIO()):
    code = cli.main(sys.argv[1:])
print(json.dumps([code, [name for name in {SLOW} if name in sys.modules]]))
"""
STORED = ["numpy", "pandas", "scipy.optimize", "tyro", "xarray"]  # a stored run: labelled arrays, and score intervals


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return trained(tmp_path_factory, seeds=8)


def imported(*args):
    """Exit code of a command in a process of its own, and which of `SLOW` it imported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CODE, *map(str, args)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    code, names = json.loads(ended.stdout)
    assert code == 0, ended.stderr
    return names


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--help"], []),
        (["tasks"], ["tyro"]),
        (["claims"], ["tyro"]),
        (["schema"], ["numpy", "tyro"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_says_what_there_is_imports_next_to_nothing(args, names):
    assert imported(*args) == names


@pytest.mark.parametrize(
    "args",
    [["show"], ["compare"], ["plan"], ["watch", "--once"], ["gates"], ["report"]],
    ids=lambda value: " ".join(value),
)
def test_what_reads_a_run_imports_what_holds_it_and_intervals(folder, args):
    names = imported(*args, folder)
    assert set(names) <= {*STORED, *(["matplotlib"] if args == ["gates"] else [])}  # gates draws a figure
