"""Which settings of JAX, XLA, flax and the machine decide the bytes of a run, by themselves and in the lab?

Command:   python -m experiments.studies.settings [--only PATTERN] [--table]
Expected:  what gives other bytes or fails by itself gives the same in the lab, or `lab.machine.surroundings` records it
Cost:      about two hours on 2 cores, most of it compiling

Trains every task for a few steps with each value of each setting: first with all that the lab fixes taken away. If that
changed something, it trains once more with the lab as it is. Compared are initial parameters, final parameters and
scores. All options of JAX that this version has are tried. Of the flags of XLA those are tried that can concern a CPU,
each in a process of its own; those for GPUs cannot be tried here, and the lab records them. What figures/settings.json
holds of these versions is not tried again.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from lab.machine import surroundings
from lab.words import Json

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "figures" / "settings.json"
RESULT = "result: "  # begins the lines of a child that are not output of libraries
MOST = 200  # characters of a failure
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "FLAX_"))}
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
CONFIG = """
name: settings
task: {task}
seeds: 8
training: {{steps: 9, segments: 3, optimizer: {optimizer}, block_width: {width}}}
regimens:
  late: [{{until: 0.3333333333}}, {{until: 1, weights: {{{terms}}}}}]
"""
TASKS = {  # every kind of task, with both optimisers, sampled data and exact
    "race": ("race", "adam", 64),
    "shortcut": ("{name: shortcut, width: 8, batch: 4}", "sgd", 16),
    "scratchpad": ("{name: scratchpad, width: 8, batch: 4}", "adam", 16),
    "reasoner": ("{name: reasoner, width: 8}", "adam", 8),
}

# options of JAX that are no switch, and the values to try; a number that is not here is raised by 1
OPTIONS: dict[str, list[Any]] = {
    "jax_array_garbage_collection_guard": ["allow", "log", "fatal"],
    "jax_compilation_cache_dir": ["/tmp/jax-cache"],
    "jax_cpu_collectives_implementation": ["mpi", "megascale"],
    "jax_debug_log_modules": ["jax"],
    "jax_default_device": ["cpu"],
    "jax_default_matmul_precision": [
        "default",
        "high",
        "highest",
        "bfloat16",
        "tensorfloat32",
        "float32",
        "BF16_BF16_F32",
        "F64_F64_F64",
    ],
    "jax_default_prng_impl": ["rbg", "unsafe_rbg"],
    "jax_dump_ir_modes": ["jaxpr"],
    "jax_dump_ir_to": ["/tmp/jax-dump"],
    "jax_embedded_constants_max_bytes": [0, 10**6],
    "jax_error_checking_behavior_divide": ["raise"],
    "jax_error_checking_behavior_nan": ["raise"],
    "jax_error_checking_behavior_oob": ["raise"],
    "jax_exec_time_optimization_effort": [1.0, -1.0],
    "jax_explicit_x64_dtypes": ["allow", "error"],
    "jax_hlo_source_file_canonicalization_regex": [".*/"],
    "jax_legacy_prng_key": ["warn", "error"],
    "jax_logging_level": ["DEBUG", "CRITICAL"],
    "jax_memory_fitting_effort": [1.0, -1.0],
    "jax_memory_fitting_level": ["O0", "O3"],
    "jax_num_cpu_devices": [1, 4],
    "jax_numpy_dtype_promotion": ["strict"],
    "jax_numpy_rank_promotion": ["warn", "raise"],
    "jax_optimization_level": ["O0", "O1", "O2", "O3"],
    "jax_persistent_cache_enable_xla_caches": ["all", "none"],
    "jax_platform_name": ["cpu"],
    "jax_platforms": ["cpu"],
    "jax_send_traceback_to_runtime": ["on", "full"],
    "jax_source_url_schema": ["https://x/"],
    "jax_traceback_filtering": ["off", "tracebackhide", "remove_frames", "quiet_remove_frames"],
    "jax_transfer_guard": ["log", "disallow", "disallow_explicit"],
    "jax_transfer_guard_device_to_device": ["log", "disallow", "disallow_explicit"],
    "jax_transfer_guard_device_to_host": ["log", "disallow", "disallow_explicit"],
    "jax_transfer_guard_host_to_device": ["log", "disallow", "disallow_explicit"],
    "jax_use_magma": ["on", "off"],
}

# flags of XLA that can concern a CPU: those that are off, those that are on, and other values of those that are neither
SWITCHED_ON = """
allow_h2h_copy_when_automatic_host_compute_offload_disabled cpu_copy_insertion_use_region_analysis
cpu_enable_concurrency_optimized_scheduler cpu_enable_fast_math cpu_enable_fast_min_max cpu_enable_xprof_traceme
cpu_experimental_enable_tiling_propagation cpu_experimental_onednn_custom_call
cpu_strict_dot_conv_math cpu_use_acl cpu_use_onednn
disable_all_hlo_passes disable_automatic_host_compute_offload early_exit_with_layouts embed_ir_in_executable
enable_command_buffers_during_profiling enable_enzyme_comms_opt enable_fast_math enable_hlo_sharding_v3 flags_reset
hlo_evaluator_use_fast_path hlo_graph_addresses hlo_graph_sharding_color hlo_pass_fix_detect_cycles
hlo_print_inline_stack_frames hlo_profile keep_shardings_after_spmd llvm_disable_expensive_passes
pjrt_allow_auto_layout_in_hlo sdy_export_all_reduce_scatter syntax_sugar_async_ops test_add_command_buffer_mode
test_all_input_layouts test_all_output_layouts unsupported_crash_on_hlo_pass_fix_max_iterations
unsupported_crash_on_hlo_pass_noop_change unsupported_crash_on_hlo_pass_silent_hlo_change
"""
SWITCHED_OFF = """
allow_excess_precision cpu_enable_platform_dependent_math cpu_fast_math_honor_division cpu_fast_math_honor_functions
cpu_fast_math_honor_infs cpu_fast_math_honor_nans cpu_ftz cpu_multi_thread_eigen cpu_use_fusion_emitters
cpu_use_thunk_runtime cpu_use_xnnpack eliminate_hlo_implicit_broadcast
enable_rgv3_materialization enable_scoped_logging_timers llvm_enable_alias_scope_metadata
llvm_enable_invariant_load_metadata llvm_enable_noalias_metadata llvm_force_inline_before_split
"""
LIBRARIES = ("LIBRARY_FUSION_TYPE_DOT", "LIBRARY_FUSION_TYPE_REDUCE", "LIBRARY_FUSION_TYPE_ELTWISE")
FLAGS: dict[str, Sequence[str]] = {
    "xla_backend_extra_options": [
        "xla_cpu_disable_loop_unrolling",
        "xla_cpu_optimize_for_size",
        "xla_cpu_disable_slp_vectorizer",
        "xla_cpu_disable_new_fusion_emitters",
        "xla_cpu_use_multi_output_fusion",
        "xla_llvm_dot_tiling_factor=1",
    ],
    "xla_backend_optimization_level": ["0", "1", "2"],
    "xla_cmd_buffer_trace_cache_size": ["1"],
    "xla_cpu_collective_timeout_seconds": ["1801"],
    "xla_cpu_emitter_verification_level": ["1"],
    "xla_cpu_experimental_onednn_fusion_type": LIBRARIES,
    "xla_cpu_experimental_xnn_fusion_type": LIBRARIES,
    "xla_cpu_experimental_xnn_graph_fusion_mode": ["XNN_GRAPH_FUSION_MODE_GREEDY"],
    "xla_cpu_experimental_ynn_fusion_type": ["", *LIBRARIES],
    "xla_cpu_max_isa": ["AVX512", "AVX2", "AVX", "SSE4_2"],
    "xla_cpu_opt_preset": ["CPU_OPT_PRESET_FAST_RUNTIME", "CPU_OPT_PRESET_FAST_COMPILE"],
    "xla_cpu_parallel_codegen_split_count": ["1", "64"],
    "xla_cpu_prefer_vector_width": ["128", "512"],
    "xla_cpu_scheduler_type": ["CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED", "CPU_SCHEDULER_TYPE_CONCURRENCY_OPTIMIZED"],
    "xla_debug_buffer_assignment_show_max": ["16"],
    "xla_detect_unstable_reductions": ["warning", "fail"],
    "xla_detect_unstable_reductions_post_optimizations": ["warning", "fail"],
    "xla_disable_hlo_passes": ["fusion", "algsimp"],
    "xla_dump_to": ["/tmp/xla-dump"],
    "xla_enable_hlo_passes_only": ["fusion"],
    "xla_force_host_platform_device_count": ["4"],
    "xla_gpu_ftz": ["true"],
    "xla_hlo_profile": ["true"],
    "xla_multiheap_size_constraint_per_heap": ["1000000"],
    "xla_partitioning_algorithm": ["PARTITIONING_ALGORITHM_EXP0"],
    "xla_recognize_reduction_optimization_level": ["1"],
    "xla_reduce_window_rewrite_base_length": ["17"],
    "xla_step_marker_location": ["STEP_MARK_NONE"],
}
UNSAFE = " ".join(f"--xla_cpu_fast_math_honor_{what}=false" for what in ("nans", "infs", "division", "functions"))
VARIABLES = [
    {"XLA_FLAGS": f"--xla_cpu_enable_fast_math=true {UNSAFE}"},
    {"FLAX_FIX_RNG_SEPARATOR": "1"},
    {"FLAX_RETURN_FROZENDICT": "1"},
    {"FLAX_PROFILE": "0"},
    {"FLAX_PRESERVE_ADOPTED_NAMES": "1"},
    {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX2 FMA3"},
    {"PJRT_NPROC": "1"},
    {"PJRT_NPROC": "8"},
    {"OMP_NUM_THREADS": "1"},
    {"TF_ENABLE_ONEDNN_OPTS": "1"},
    {"NVIDIA_TF32_OVERRIDE": "1"},
]

Options = dict[str, Any]  # of JAX
Variables = Mapping[str, str]  # of the environment


class Case(NamedTuple):
    """A value of a setting to try.

    Attributes:
        name: of the setting.
        value: to try.
        options: of JAX that this sets; none or one.
        variables: of the environment that this sets.
    """

    name: str
    value: Any
    options: Options
    variables: Variables

    @property
    def key(self) -> tuple[str, Any]:
        """What tells this case from others."""
        return self.name, self.value


class Trained(NamedTuple):
    """What came of training every task in one process.

    Attributes:
        digests: task -> digests of its initial parameters, its final ones and its scores.
        failure: why there are none, or "".
    """

    digests: dict[str, dict[str, str]]
    failure: str = ""


# --- what is tried ------------------------------------------------------------------------------------------------


def cases() -> Iterator[Case]:
    """Yield everything to try."""
    yield from options_of_jax()
    flags: dict[str, Sequence[str]] = {f"xla_{name}": ["true"] for name in SWITCHED_ON.split()}
    flags |= {f"xla_{name}": ["false"] for name in SWITCHED_OFF.split()} | FLAGS
    for name, values in sorted(flags.items()):
        for value in values:
            yield Case(name, value, {}, {"XLA_FLAGS": f"--{name}={value}"})
    for variables in VARIABLES:
        ((name, value),) = variables.items()
        yield Case(name, value, {}, variables)


def options_of_jax() -> Iterator[Case]:
    """Yield every option that this version of JAX has."""
    code = (
        "import json, jax; print(json.dumps({name: value if type(value) in (bool, int, float) else str(value or '') "
        "for name, value in jax.config.values.items()}))"
    )
    for name, default in sorted(json.loads(surroundings.asked(code, variables=PLAIN)).items()):
        for value in OPTIONS.get(name) or [other_value(default)]:
            yield Case(name, value, {name: value}, {})


def other_value(default: bool | int | float | str) -> bool | int | float | str:
    """Return a value that an option of JAX does not have by default."""
    if isinstance(default, bool):
        return not default
    return "x" if isinstance(default, str) else default + 1


# --- in a process of its own --------------------------------------------------------------------------------------


def trained(options: Sequence[Options], variables: Variables | None = None, bare: bool = False) -> Iterator[Trained]:
    """Yield for each of several options of JAX what came of training with it.

    Args:
        options: each a dict of none or one.
        variables: of the environment.
        bare: take away what the lab fixes.
    """
    command = [sys.executable, "-m", "experiments.studies.settings", "--child", json.dumps([options, bare])]
    environment, done = {**PLAIN, **(variables or {})}, 0
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, errors="replace"
        )
        for line in process.stdout or ():
            if line.startswith(RESULT):
                done += 1
                yield Trained(*json.loads(line.removeprefix(RESULT)))
        process.wait()
        log.seek(0)
        lines = log.read().splitlines()
    if done == len(options):
        return
    yield Trained({}, why_ended(lines, process.returncode))
    if done + 1 < len(options):
        yield from trained(options[done + 1 :], variables, bare)


def why_ended(log: Iterable[str], status: int) -> str:
    """Return why a process ended, from what it wrote to stderr: an error of XLA, or the last of Python."""
    lines = [line for line in log if re.match(r"[EF]\d{4} |[\w.]*(Error|Exception)\b", line)]
    if not lines:
        return f"it ends with {status}"
    return (lines[0].partition("] ")[2] or lines[-1])[:MOST]


def child(options: Sequence[Options], bare: bool) -> None:
    """Train every task with each of several options of JAX and print what came of it."""
    import jax

    if len(options) == 1:  # some can be set only before JAX starts
        for name, value in options[0].items():
            jax.config.update(name, value)

    from lab.training import engine, population

    if bare:
        population.PRNG = None
        for table in (surroundings.FIXED, surroundings.FIXED_OF_FLAX, surroundings.COMPILED):
            table.clear()
    engine.use_all_cores()
    compile_each_program_once()
    for option in options:
        population._programs.clear()
        jax.clear_caches()
        print(RESULT + json.dumps(train_with(option)), flush=True)


def compile_each_program_once() -> None:
    """Let JAX keep what XLA compiled: what XLA is given twice it need not compile twice."""
    from jax._src import compiler

    programs, compile_anew = {}, compiler.backend_compile_and_load

    def compile_once(backend: Any, module: Any, devices: Any, options: Any, callbacks: Any) -> Any:
        text = module.operation.get_asm(enable_debug_info=False), options.SerializeAsString()
        key = text, tuple(options.env_option_overrides), repr(devices)
        if key not in programs:
            programs[key] = compile_anew(backend, module, devices, options, callbacks)
        return programs[key]

    compiler.backend_compile_and_load = compile_once


def train_with(option: Options) -> Trained:
    """Train every task with an option of JAX, and set it back."""
    import jax

    before = {name: jax.config.values[name] for name in option}
    try:
        for name, value in option.items():
            jax.config.update(name, value)
        return Trained(train_all())
    except Exception as error:
        return Trained({}, f"{type(error).__name__}: {error}"[:MOST])
    finally:
        for name, value in before.items():
            with contextlib.suppress(RuntimeError):
                jax.config.update(name, "allow" if name == "jax_transfer_guard" else value)


def train_all() -> dict[str, dict[str, str]]:
    """Train every task; return digests of its initial parameters, of the final ones and of its scores."""
    import jax
    import numpy as np

    from lab.config.experiment import parse
    from lab.tasks import TASKS as KINDS
    from lab.tasks.settings import Settings, stacked
    from lab.training import engine

    def digest(width: int, tree: Any) -> str:
        # the first block is the same with any number of devices
        arrays = (np.ascontiguousarray(np.asarray(leaf)[:width]) for leaf in jax.tree.leaves(tree))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]

    digests = {}
    for name, (task, optimizer, width) in TASKS.items():
        terms = ", ".join(f"{term}: 0.1" for term in KINDS[name].terms if term != "main")
        experiment = parse(CONFIG.format(task=task, optimizer=optimizer, width=width, terms=terms))
        trainer = engine.Blocks(experiment, width, jax.devices()).trainer
        settings = stacked(experiment.conditions[0].settings)
        seeds = np.arange(trainer.lanes, dtype=np.uint32)
        start = trainer.init(seeds, Settings(*(leaf[0] for leaf in settings)))
        end, scores = trainer.train(seeds, settings, start, [0, *experiment.ends])
        parts = {"start": start, "end": end, "scores": scores}
        digests[name] = {part: digest(width, tree) for part, tree in parts.items()}
    return digests


# --- what came of it ----------------------------------------------------------------------------------------------


def compared(result: Trained, plain: Trained) -> str:
    """Return "same", or in words what is other than in a plain process."""
    if result.failure:
        return "fails: " + re.sub(r" at 0x\w+", "", result.failure)[:120]
    other = {
        task: [part for part, digest in digests.items() if digest != plain.digests[task][part]]
        for task, digests in result.digests.items()
    }
    words = [f"{task} ({', '.join(parts)})" for task, parts in other.items() if parts]
    return f"other: {', '.join(words)}" if words else "same"


def tried(wanted: Sequence[Case], bare: bool) -> Iterator[tuple[Case, str]]:
    """Yield each case and what came of it in words: options of JAX first, which share a process."""
    (plain,) = trained([{}], bare=bare)
    together = [case for case in wanted if case.options]
    alone = [case for case in wanted if not case.options]
    results = trained([case.options for case in together], bare=bare)
    for case, result in zip(together, results, strict=True):
        if "before backends are initialized" in result.failure:
            alone.append(case)
        else:
            yield case, compared(result, plain)
    for case in alone:
        (result,) = trained([case.options], case.variables, bare)
        yield case, compared(result, plain)


def print_table(stored: Json) -> None:
    """Print what is stored, a line per case."""
    for row in stored["rows"]:
        print(" | ".join([f"{row['setting']} = {row['value']}", *list(row.values())[2:]]))


def try_settings(pattern: str, out: Path) -> None:
    """Try the settings whose names a pattern is found in, but for what is stored of these versions, and store it."""
    about = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    about["processor"] = surroundings.processor()
    stored = json.loads(out.read_text()) if out.exists() else {"about": about, "rows": []}
    kept = stored["rows"] if stored["about"] == about else []
    rows: dict[tuple[str, Any], Json] = {(row["setting"], row["value"]): row for row in kept}
    chosen = [case for case in cases() if re.search(pattern, case.name)]
    for column, bare in (("alone", True), ("in the lab", False)):
        for case, words in tried_again(chosen, rows, column, bare):
            row = rows.setdefault(case.key, {"setting": case.name, "value": case.value, "verdict": ""})
            row |= {"verdict": surroundings.verdict(case.name.lower()), column: words}
            print(*case.key, column, words, sep=" | ", flush=True)
            out.write_text(json.dumps({"about": about, "rows": list(rows.values())}, indent=1) + "\n")


def tried_again(
    chosen: Iterable[Case], rows: Mapping[tuple[str, Any], Json], column: str, bare: bool
) -> Iterator[tuple[Case, str]]:
    """Yield each case that lacks a column and what came of it; in the lab, of those that change something alone."""
    missing = [case for case in chosen if column not in rows.get(case.key, {})]
    if not bare:
        missing = [case for case in missing if rows.get(case.key, {}).get("alone") != "same"]
    if missing:
        yield from tried(missing, bare)


def main() -> None:
    """Try settings, or print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a regular expression for names of settings")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true", help="print what is stored and try nothing")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*json.loads(options.child))
    elif options.table:
        print_table(json.loads(options.out.read_text()))
    else:
        try_settings(options.only, options.out)


if __name__ == "__main__":
    main()
