"""Which settings of JAX, XLA, flax and the machine decide the bytes of a run, by themselves and in the lab?

Command:   python -m experiments.settings [--only PATTERN] [--table]
Expected:  what gives other bytes or fails by itself gives the same in the lab, or is recorded (`lab.surroundings`)
Cost:      about four hours on 2 cores; with --only, half a minute for each setting and way

Trains every task for a few steps in a process of its own for each value of each setting: first with all that the lab
fixes taken away, then, if that changed something, as the lab is. Compared are initial parameters, parameters in the end
and scores. Settings of JAX are all that this version has, those of XLA all that can concern a CPU; flags for GPUs
cannot be tried here, and count as recorded. A setting that is in figures/settings.json already is not tried again.
"""

import argparse
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

from lab import surroundings

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "figures" / "settings.json"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
CONFIG = """
name: settings
task: {task}
seeds: {seeds}
training: {{steps: 9, segments: 3, optimizer: {optimizer}, block_width: {width}}}
regimens:
  hold_out: [{{until: 1}}]
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
    """Yield (name, value in words, options of JAX, environment variables) of everything to try."""
    code = "import json, jax; print(json.dumps({n: str(v) if v and type(v) not in (bool, int, float) else v " \
           "for n, v in jax.config.values.items()}))"  # fmt: skip
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "FLAX_"))}
    for name, default in sorted(json.loads(surroundings.asked(code, variables=plain)).items()):
        simple = [not default] if isinstance(default, bool) else ["x"] if default in ("", None, "all") else None
        for value in OPTIONS.get(name) or simple or [default + 1]:
            yield name, str(value), {name: value}, {}
    flags = {f"xla_{name}": ["true"] for name in SWITCHED_ON.split()}
    flags |= {f"xla_{name}": ["false"] for name in SWITCHED_OFF.split()} | FLAGS
    for name, values in sorted(flags.items()):
        for value in values:
            yield name, value, {}, {"XLA_FLAGS": f"--{name}={value}"}
    for variables in VARIABLES:
        ((name, value),) = variables.items()
        yield name, value, {}, variables


def trained(options=None, variables=None, bare=False):
    """Return the digests of a process with these settings, or the last line of what it says where it fails."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "FLAX_"))}
    command = [sys.executable, "-m", "experiments.settings", "--child", json.dumps([options or {}, bare])]
    environment = {**plain, **(variables or {})}
    try:
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    except subprocess.TimeoutExpired:
        return "it takes more than half an hour"
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if re.match(r"[EF]\d{4} |\w[\w.]*(Error|Exception)\b", line)]
        said = lines[0].partition("] ")[2] or lines[-1] if lines else f"it ends with {done.returncode}"
        return said[:200]
    return json.loads(done.stdout.splitlines()[-1])


def child(options, bare):
    """Train every task and print what came out of it."""
    import jax
    import numpy as np

    for name, value in options.items():
        jax.config.update(name, value)
    from lab import engine, outcomes, population
    from lab.config import parse
    from lab.tasks import TASKS as KINDS

    if bare:
        population.PRNG = None
        for table in (surroundings.FIXED, surroundings.FIXED_OF_FLAX, surroundings.COMPILED):
            table.clear()
    engine.use_all_cores()

    def digest(arrays):
        return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]

    found = {}
    for name, (task, optimizer, width) in TASKS.items():
        terms = ", ".join(f"{term}: 0.1" for term in KINDS[name].terms if term != "main")
        text = CONFIG.format(task=task, optimizer=optimizer, width=width, seeds=2 * width, terms=terms)
        experiment = parse(text)
        with tempfile.TemporaryDirectory() as folder:
            results = outcomes.results(engine.run(experiment, Path(folder, "run")))
        trainer = engine.Blocks(experiment, width, jax.devices()).trainer
        seeds = np.arange(trainer.lanes, dtype=np.uint32)
        each = population.stacked(experiment.conditions[1].settings)
        start = trainer.init(seeds, population.Settings(*(leaf[0] for leaf in each)))
        end, _ = trainer.train(seeds, each, start, [0, *experiment.ends])
        # the first block is the same with any number of devices
        states = ([np.asarray(leaf)[:width] for leaf in jax.tree.leaves(state)] for state in (start, end))
        scores = [results[score].values for score in experiment.task.scores]
        found[name] = dict(zip(("start", "end", "scores"), map(digest, (*states, scores)), strict=True))
    print(json.dumps(found))


def compared(found, plain):
    """Return "same", or in words what is other than in a plain process."""
    if isinstance(found, str):
        return f"fails: {found}"
    other = [f"{task} ({', '.join(k for k in found[task] if found[task][k] != plain[task][k])})"
             for task in found if found[task] != plain[task]]  # fmt: skip
    return f"other: {', '.join(other)}" if other else "same"


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
    about = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    about["processor"] = surroundings.processor()
    stored = json.loads(options.out.read_text()) if options.out.exists() else {}
    rows = {(row["setting"], row["value"]): row for row in stored.get("rows", []) if stored.get("about") == about}
    if options.table:
        for row in stored["rows"]:
            print(f"{row['setting']} = {row['value']} | {row['verdict']} | {row['alone']} | {row['in the lab']}")
        return
    plain, bare = trained(), trained(bare=True)
    print(f"what the lab fixes changes nothing in plain surroundings: {compared(bare, plain)}", flush=True)
    for name, value, of_jax, variables in settings():
        if (name, value) in rows or not re.search(options.only, name):
            continue
        verdict = surroundings.verdict(name.lower())
        alone = compared(trained(of_jax, variables, bare=True), bare)
        held = compared(trained(of_jax, variables), plain) if alone != "same" else "same"
        row = {"setting": name, "value": value, "verdict": verdict, "alone": alone, "in the lab": held}
        rows[name, value] = row
        print(" | ".join(row.values()), flush=True)
        options.out.write_text(json.dumps({"about": about, "rows": list(rows.values())}, indent=1) + "\n")


if __name__ == "__main__":
    main()
