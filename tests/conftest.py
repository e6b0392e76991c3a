import functools
import gc
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

import tests.shapes  # noqa: F401  the hook looks for it by name

os.environ["PROXY_LAB_CACHE"] = ""  # what is asserted of a program must not hang on what an earlier process has kept

# what trains is checked: every argument and result has the type and the shape that its signature says
install_import_hook(["lab.training", "lab.tasks"], "tests.shapes.check")

from lab.machine import surroundings  # noqa: E402  what the hook is to see comes after it
from lab.training import population  # noqa: E402
from lab.training.engine import use_all_cores  # noqa: E402

use_all_cores()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "float32")  # as in training, also where a test calls a task itself
jax.config.update("jax_disable_most_optimizations", True)  # of what tests compile themselves; what trains says its own

PROGRAMS = {}  # of training, by how well they are compiled
population.KEPT = 64  # of each; many tests of a file train by one program


def pytest_collection_finish():
    """What was imported and collected stays, so the collector of garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def strict_dtypes():
    """Mixed dtypes raise. Not for whole training steps: optax's own bias correction mixes them."""
    with jax.numpy_dtype_promotion("strict"):
        yield


def compiled(monkeypatch, level):
    """Compile quickly, and keep apart what was compiled in another way."""
    quickly = {"xla_cpu_use_fusion_emitters": False, "xla_llvm_disable_expensive_passes": True}
    options = {**surroundings.COMPILED, **quickly, "xla_backend_optimization_level": level}
    monkeypatch.setattr(surroundings, "COMPILED", options)
    monkeypatch.setattr(population, "_programs", PROGRAMS.setdefault(level, {}))
    monkeypatch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=options))


@pytest.fixture
def quick_to_compile(monkeypatch):
    """For tests that train little or nothing, and ask what is true however well it is compiled."""
    compiled(monkeypatch, 0)


@pytest.fixture
def quick_to_train(monkeypatch):
    """For tests that train for longer, and ask what is true whatever the last digits are."""
    compiled(monkeypatch, 1)


@pytest.fixture(scope="session")
def inspect_logs(tmp_path_factory):
    """Logs of 30 samples: of `hold_out` in one epoch, and of `train` in two."""
    pytest.importorskip("inspect_ai", reason="the extra `inspect` is not installed")
    folder = tmp_path_factory.mktemp("logs")
    program = [sys.executable, "-m", "tests.inspect_examples", str(folder)]
    root = Path(__file__).parents[1]
    surroundings = {**os.environ, "HOME": str(folder / "home"), "XDG_DATA_HOME": str(folder / "home")}
    ended = subprocess.run(program, cwd=root, env=surroundings, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return [Path(line) for line in ended.stdout.split()]
