import contextlib

import jax
import pytest
from jaxtyping import install_import_hook

import tests.shapes  # noqa: F401  the hook looks for it by name

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


@pytest.fixture
def strict_dtypes():
    """Mixed dtypes raise. Not for whole training steps: optax's own bias correction mixes them."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@contextlib.contextmanager
def compiled_quickly(level):
    """Compiling is most of the time of tests that train; programs of each level are kept apart, for they differ."""
    before, kept = dict(surroundings.COMPILED), population._programs
    surroundings.COMPILED |= {"xla_backend_optimization_level": level, "xla_llvm_disable_expensive_passes": True}
    population._programs = PROGRAMS.setdefault(level, {})
    yield
    surroundings.COMPILED |= before
    population._programs = kept


@pytest.fixture
def quick_to_compile():
    """For a test that trains little, and asks what is true however well it is compiled."""
    with compiled_quickly(0):
        yield


@pytest.fixture(scope="module")
def trained_quickly():
    """For a whole file whose tests train for longer, and ask what is true however well it is compiled."""
    with compiled_quickly(1):
        yield
