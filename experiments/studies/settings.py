"""Which settings of JAX, XLA, flax and the machine decide the bytes of a run, by themselves and in the lab?

Command:   python -m experiments.studies.settings [--only PATTERN] [--table]
Expected:  what gives other bytes or fails by itself gives the same in the lab, or is recorded
(`lab.machine.surroundings`)
Cost:      about two hours on 2 cores, most of it compiling

Trains every task for a few steps with each value of each setting: first with all that the lab fixes taken away, then,
if that changed something, as the lab is. Compared are initial parameters, those in the end and scores. Options of JAX
are all that this version has. Flags of XLA are those that can concern a CPU, each in a process of its own; those for
GPUs cannot be tried here, and are recorded. What figures/settings.json holds of these versions is not tried again.
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
from importlib.metadata import version
from pathlib import Path

from lab.machine import surroundings

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "figures" / "settings.json"
FOUND = "found: "
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
OPTIONS = {
    "jax_array_garbage_collection_guard": ["allow", "log", "fatal"],
    "jax_compilation_cache_dir": ["/tmp/jax-cache"],
    "jax_cpu_collectives_implementation": ["mpi", "megascale"],
    "jax_debug_log_modules": ["jax"],
    "jax_default_device": ["cpu"],
    "jax_default_matmul_precision": [
        "default", "high", "highest", "bfloat16", "tensorfloat32", "float32", "BF16_BF16_F32", "F64_F64_F64",
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
}  # fmt: skip

# flags of XLA that can concern a CPU: those that are off, those that are on, and other values of those that are neither
SWITCHED_ON = """
allow_h2h_copy_when_automatic_host_compute_offload_disabled cpu_copy_insertion_use_region_analysis
cpu_enable_concurrency_optimized_scheduler cpu_enable_fast_math cpu_enable_fast_min_max cpu_enable_xprof_traceme
cpu_experimental_enable_tiling_propagation cpu_experimental_onednn_custom_call
cpu_generate_unique_c_style_kernel_entry_points cpu_strict_dot_conv_math cpu_use_acl cpu_use_onednn
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
cpu_use_thunk_runtime cpu_use_xnnpack detailed_logging eliminate_hlo_implicit_broadcast enable_dumping
enable_rgv3_materialization enable_scoped_logging_timers llvm_enable_alias_scope_metadata
llvm_enable_invariant_load_metadata llvm_enable_noalias_metadata llvm_force_inline_before_split
"""
LIBRARIES = ("LIBRARY_FUSION_TYPE_DOT", "LIBRARY_FUSION_TYPE_REDUCE", "LIBRARY_FUSION_TYPE_ELTWISE")
FLAGS = {
    "xla_backend_extra_options": [
        "xla_cpu_disable_loop_unrolling", "xla_cpu_optimize_for_size", "xla_cpu_disable_slp_vectorizer",
        "xla_cpu_disable_new_fusion_emitters", "xla_cpu_use_multi_output_fusion", "xla_llvm_dot_tiling_factor=1",
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
}  # fmt: skip
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


def settings():
    """Yield (name, value, options of JAX, environment variables) of everything to try."""
    code = (
        "import json, jax; print(json.dumps({name: value if type(value) in (bool, int, float) else str(value or '') "
        "for name, value in jax.config.values.items()}))"
    )
    for name, default in sorted(json.loads(surroundings.asked(code, variables=PLAIN)).items()):
        simple = [not default] if isinstance(default, bool) else ["x"] if default in ("", "all") else None
        for value in OPTIONS.get(name) or simple or [default + 1]:
            yield name, value, {name: value}, {}
    flags = {f"xla_{name}": ["true"] for name in SWITCHED_ON.split()}
    flags |= {f"xla_{name}": ["false"] for name in SWITCHED_OFF.split()} | FLAGS
    for name, values in sorted(flags.items()):
        for value in values:
            yield name, value, {}, {"XLA_FLAGS": f"--{name}={value}"}
    for variables in VARIABLES:
        ((name, value),) = variables.items()
        yield name, value, {}, variables


def trained(options, variables=None, bare=False):
    """Yield for each of several options of JAX what came out of training with it, or why it failed.

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
        for line in process.stdout:
            if line.startswith(FOUND):
                done += 1
                yield json.loads(line.removeprefix(FOUND))
        process.wait()
        log.seek(0)
        lines = log.read().splitlines()
    if done == len(options):
        return
    lines = [line for line in lines if re.match(r"[EF]\d{4} |[\w.]*(Error|Exception)\b", line)]
    yield (lines[0].partition("] ")[2] or lines[-1] if lines else f"it ends with {process.returncode}")[:200]
    yield from trained(options[done + 1 :], variables, bare) if done + 1 < len(options) else ()


def child(options, bare):
    """Train every task with each of several options of JAX and print what came out."""
    import jax

    if len(options) == 1:  # some can be set only before JAX starts
        for name, value in options[0].items():
            jax.config.update(name, value)
    from jax._src import compiler

    from lab.training import engine, population

    if bare:
        population.PRNG = None
        for table in (surroundings.FIXED, surroundings.FIXED_OF_FLAX, surroundings.COMPILED):
            table.clear()
    engine.use_all_cores()
    programs, compile_anew = {}, compiler.backend_compile_and_load

    def compile_once(backend, module, devices, given, callbacks):
        text = module.operation.get_asm(enable_debug_info=False), given.SerializeAsString()
        key = text, tuple(given.env_option_overrides), repr(devices)
        if key not in programs:
            programs[key] = compile_anew(backend, module, devices, given, callbacks)
        return programs[key]

    compiler.backend_compile_and_load = compile_once  # what XLA is given twice it need not compile twice
    for option in options:
        before = {name: jax.config.values[name] for name in option}
        population._programs.clear()
        jax.clear_caches()
        try:
            for name, value in option.items():
                jax.config.update(name, value)
            found = outcome()
        except Exception as error:
            found = f"{type(error).__name__}: {error}"[:200]
        finally:
            for name, value in before.items():
                with contextlib.suppress(RuntimeError):
                    jax.config.update(name, "allow" if name == "jax_transfer_guard" else value)
        print(FOUND + json.dumps(found), flush=True)


def outcome():
    """Train every task; return digests of its initial parameters, of those in the end and of its scores."""
    import jax
    import numpy as np

    from lab.config.experiment import parse
    from lab.tasks import TASKS as KINDS
    from lab.tasks.settings import Settings, stacked
    from lab.training import engine

    def digest(tree):
        # the first block is the same with any number of devices
        arrays = (np.ascontiguousarray(np.asarray(leaf)[:width]) for leaf in jax.tree.leaves(tree))
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]

    found = {}
    for name, (task, optimizer, width) in TASKS.items():
        terms = ", ".join(f"{term}: 0.1" for term in KINDS[name].terms if term != "main")
        experiment = parse(CONFIG.format(task=task, optimizer=optimizer, width=width, terms=terms))
        trainer = engine.Blocks(experiment, width, jax.devices()).trainer
        settings = stacked(experiment.conditions[0].settings)
        seeds = np.arange(trainer.lanes, dtype=np.uint32)
        start = trainer.init(seeds, Settings(*(leaf[0] for leaf in settings)))
        end, scores = trainer.train(seeds, settings, start, [0, *experiment.ends])
        found[name] = {"start": digest(start), "end": digest(end), "scores": digest(scores)}
    return found


def compared(found, plain):
    """Return "same", or in words what is other than in a plain process."""
    if isinstance(found, str):
        return "fails: " + re.sub(r" at 0x\w+", "", found)[:120]
    other = {task: [key for key, value in found[task].items() if value != plain[task][key]] for task in found}
    words = [f"{task} ({', '.join(keys)})" for task, keys in other.items() if keys]
    return f"other: {', '.join(words)}" if words else "same"


def tried(cases, bare):
    """Yield (name, value, what came of it in words) of settings that `settings` yields."""
    (plain,) = trained([{}], bare=bare)
    together = [case for case in cases if case[2]]
    alone = [case for case in cases if not case[2]]
    for case, found in zip(together, trained([options for _, _, options, _ in together], bare=bare), strict=True):
        if isinstance(found, str) and "before backends are initialized" in found:
            alone.append(case)
            continue
        yield *case[:2], compared(found, plain)
    for name, value, options, variables in alone:
        (found,) = trained([options], variables, bare)
        yield name, value, compared(found, plain)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a regular expression for names of settings")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true", help="print what is stored and try nothing")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*json.loads(options.child))
        return
    stored = json.loads(options.out.read_text()) if options.out.exists() else {}
    if options.table:
        for row in stored["rows"]:
            print(" | ".join([f"{row['setting']} = {row['value']}", *list(row.values())[2:]]))
        return
    about = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    about["processor"] = surroundings.processor()
    rows = {(row["setting"], row["value"]): row for row in stored.get("rows", []) if stored["about"] == about}
    cases = [case for case in settings() if re.search(options.only, case[0])]
    for column, bare in (("alone", True), ("in the lab", False)):
        left = [
            case
            for case in cases
            if column not in (row := rows.get(case[:2], {})) and (bare or row.get("alone") != "same")
        ]
        for name, value, words in tried(left, bare) if left else ():
            row = rows.setdefault((name, value), {"setting": name, "value": value, "verdict": ""})
            row |= {"verdict": surroundings.verdict(name.lower()), column: words}
            print(name, value, column, words, sep=" | ", flush=True)
            options.out.write_text(json.dumps({"about": about, "rows": list(rows.values())}, indent=1) + "\n")


if __name__ == "__main__":
    main()
