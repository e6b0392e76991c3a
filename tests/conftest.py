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


@pytest.fixture
def strict_dtypes():
    """Mixed dtypes raise. Not for whole training steps: optax's own bias correction mixes them."""
    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def quick_to_compile():
    """Compiling is most of the time of tests that train little; what they ask is true however well it is done."""
    before, compiled = jax.config.values["jax_disable_most_optimizations"], dict(surroundings.COMPILED)
    jax.config.update("jax_disable_most_optimizations", True)
    surroundings.COMPILED |= {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    surroundings.COMPILED |= compiled
    population._programs.clear()
