"""The context in which everything of the lab is traced, compiled and run, whatever the environment says.

Of this wing it alone imports JAX.
"""

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import Any

import flax
import jax
from jax.experimental.compilation_cache import compilation_cache

from lab.machine import surroundings

PRNG = surroundings.FIXED["jax_default_prng_impl"]


@contextlib.contextmanager
def fixed(x64: bool = False) -> Iterator[None]:
    """Give options of JAX and flax the values in `surroundings` for a while; afterwards they are what they were.

    Everything of the lab that traces, compiles or runs a program does so within, because the environment or the user's
    own process may have set others.

    Args:
        x64: with numbers of 64 bits, which no run uses.

    Raises:
        lab.machine.surroundings.Unusable: XLA would end this process because of XLA_FLAGS.
    """
    surroundings.check_flags(os.environ.get("XLA_FLAGS", ""))
    now = jax.config.values
    with contextlib.ExitStack() as stack:
        if now["jax_compilation_cache_dir"]:  # JAX looks once in a process whether it is to use a cache
            stack.callback(compilation_cache.reset_cache)
            compilation_cache.reset_cache()
        wide = {"jax_enable_x64": True} if x64 else {}
        for name, value in {**surroundings.FIXED, **wide}.items():
            if now.get(name, value) != value:
                stack.enter_context(_option(name, value))
        for name, value in surroundings.FIXED_OF_FLAX.items():
            stack.enter_context(flax.config.temp_flip_flag(name.removeprefix("flax_"), value))
        yield


@contextlib.contextmanager
def _option(name: str, value: Any) -> Iterator[None]:
    """Give an option of JAX a value for a while; in this thread alone, where JAX can do that."""
    if (manager := getattr(jax, name.removeprefix("jax_"), None)) is not None:
        with manager(value):
            yield
        return
    before = jax.config.values[name]
    jax.config.update(name, value)
    try:
        yield
    finally:
        jax.config.update(name, before)


def compile_options() -> dict[str, Any]:
    """Return the options of `surroundings.COMPILED`, without those that this version of XLA does not know."""
    unknown = _unknown(frozenset(surroundings.COMPILED))
    return {name: value for name, value in surroundings.COMPILED.items() if name not in unknown}


@functools.cache
def _unknown(names: frozenset[str]) -> set[str]:
    """Return the names of options that XLA does not know: it names one at a time."""
    program, unknown = jax.jit(abs).lower(0.0), set()
    while True:
        options = {name: surroundings.COMPILED[name] for name in names - unknown}
        try:
            program.compile(compiler_options=options)
            return unknown
        except jax.errors.JaxRuntimeError as error:
            if not (match := re.search(r"No such compile option: '(?P<name>\w+)'", str(error))):
                raise
            unknown.add(match["name"])
