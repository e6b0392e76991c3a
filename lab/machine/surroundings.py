"""What of a process's surroundings decides the bytes of a run: settings of JAX and XLA, other variables, the processor.

`verdict` says what becomes of a setting. What is fixed has one value in all of the lab, whatever the environment or the
user's own process says. What is recorded belongs to a run's identity: a run that was begun without it does not go on
with it. What has no effect was tried (`python -m experiments.studies.settings`), or concerns what no run does. What is
listed nowhere is recorded.

Nothing here imports JAX.
"""

import functools
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

# options of JAX and flax, and their values while the lab traces, compiles and runs (`lab.machine.fixed`)
FIXED = {
    # these train other models, or the same ones in other bytes
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_softmax_custom_jvp": False,
    "eager_constant_folding": False,
    "jax_default_matmul_precision": "float32",  # a GPU would otherwise round the factors of products to 10 bits
    "jax_compilation_cache_dir": None,  # a program may be there that was compiled for another processor
    # these stop training
    "jax_numpy_dtype_promotion": "standard",
    "jax_disable_jit": False,
    "jax_use_simplified_jaxpr_constants": False,
    "jax_no_tracing": False,
    "jax_no_execution": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_error_checking_behavior_nan": "ignore",
    "jax_error_checking_behavior_divide": "ignore",
    "jax_error_checking_behavior_oob": "ignore",
    "jax_transfer_guard_host_to_device": "allow",
    "jax_transfer_guard_device_to_device": "allow",
    "jax_transfer_guard_device_to_host": "allow",
}
FIXED_OF_FLAX = {"flax_fix_rng_separator": False, "flax_return_frozendict": False}

# options of XLA, and their values in every program of a run (`lab.training.population.compiled`): XLA's own defaults
COMPILED = {
    "xla_allow_excess_precision": True,
    "xla_backend_extra_options": "",
    "xla_backend_optimization_level": 3,
    "xla_cpu_enable_fast_math": False,
    "xla_cpu_enable_fast_min_max": False,
    "xla_cpu_enable_platform_dependent_math": True,
    "xla_cpu_experimental_xnn_fusion_type": "",
    "xla_cpu_experimental_ynn_fusion_type": (
        "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION,LIBRARY_FUSION_TYPE_REDUCE"
    ),
    "xla_cpu_fast_math_honor_division": True,
    "xla_cpu_fast_math_honor_functions": True,
    "xla_cpu_fast_math_honor_infs": True,
    "xla_cpu_fast_math_honor_nans": True,
    "xla_cpu_ftz": True,
    "xla_cpu_multi_thread_eigen": True,
    "xla_cpu_opt_preset": "CPU_OPT_PRESET_DEFAULT",
    "xla_cpu_prefer_vector_width": 256,
    "xla_cpu_use_fusion_emitters": True,
    "xla_disable_all_hlo_passes": False,
    "xla_disable_hlo_passes": "",
    "xla_enable_hlo_passes_only": "",
    "xla_llvm_disable_expensive_passes": False,
}

# options of JAX with their defaults: no effect on the lab's own tasks on a CPU, but perhaps on a GPU or in other tasks
RECORDED = {
    "jax_backend_target": "",
    "jax_bcoo_cusparse_lowering": False,
    "jax_compilation_cache_expect_pgle": False,
    "jax_custom_vjp3": False,
    "jax_embedded_constants_max_bytes": 32,
    "jax_enable_custom_prng": False,
    "jax_enable_pgle": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_memory_fitting_effort": 0.0,
    "jax_memory_fitting_level": "O2",
    "jax_mock_gpu_topology": "",
    "jax_optimization_level": "UNKNOWN",
    "jax_pallas_poison_buffers": False,
    "jax_pallas_use_mosaic_gpu": True,
    "jax_pgle_aggregation_percentile": 90,
    "jax_pgle_profiling_runs": 3,
    "jax_pjrt_client_create_options": None,
    "jax_ragged_dot_use_gpu_pallas_triton_lowering": False,
    "jax_ragged_dot_use_ragged_dot_instruction": True,
    "jax_refs_to_pins": False,
    "jax_remat3": False,
    "jax_scan3": False,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_use_direct_linearize": True,
    "jax_use_magma": "auto",
    "jax_use_shardy_partitioner": True,
    "jax_xla_profile_version": 0,
    "mock_num_gpu_processes": 0,
}

# options of JAX that choose flags of XLA, or stand for others: what is fixed above overrules them
OVERRULED = ("jax_disable_most_optimizations", "jax_compiler_enable_remat_pass", "jax_transfer_guard")

# options of JAX and flags of XLA that were tried and give the same bytes
TRIED = """
    check_vma jax2tf_associative_scan_reductions jax2tf_default_native_serialization jax_allow_f16_reductions
    jax_array_garbage_collection_guard jax_auto_pcast jax_captured_constants_report_frames
    jax_captured_constants_warn_bytes jax_check_proxy_envs jax_check_static_indices jax_check_tracer_leaks
    jax_compilation_cache_check_contents jax_compilation_cache_include_metadata_in_key
    jax_compilation_cache_max_size jax_compiler_detailed_logging_min_ops jax_cpu_collectives_implementation
    jax_cpu_enable_async_dispatch jax_cpu_get_global_topology_timeout_minutes
    jax_cpu_get_local_topology_timeout_minutes jax_cross_host_transfer_socket_address
    jax_cross_host_transfer_timeout_seconds jax_cross_host_transfer_transfer_size jax_cross_host_transport_addresses
    jax_cuda_visible_devices jax_debug_key_reuse jax_debug_leaked_clients_on_clear_backends jax_debug_log_modules
    jax_default_device jax_disable_bwd_checks jax_disable_vmap_shmap_error jax_disallow_mesh_context_manager
    jax_distributed_debug jax_dump_ir_modes jax_dump_ir_to jax_enable_checks jax_enable_compilation_cache
    jax_enable_preemption_service jax_enable_recoverability jax_experimental_unsafe_xla_runtime_errors
    jax_explain_cache_misses jax_explicit_x64_dtypes jax_export_calling_convention_version
    jax_export_ignore_forward_compatibility jax_force_dcn_cross_host_transfers
    jax_hlo_source_file_canonicalization_regex jax_include_debug_info_in_dumps
    jax_include_full_tracebacks_in_locations jax_legacy_prng_key jax_log_checkpoint_residuals jax_log_compiles
    jax_logging_level jax_mosaic_allow_hlo jax_mutable_array_checks jax_numpy_rank_promotion
    jax_oneapi_visible_devices jax_pallas_enable_debug_checks jax_pallas_verbose_errors
    jax_persistent_cache_enable_xla_caches jax_persistent_cache_min_compile_time_secs
    jax_persistent_cache_min_entry_size_bytes jax_platform_name jax_platforms jax_pprint_use_color
    jax_raise_persistent_cache_errors jax_remove_custom_partitioning_ptr_from_cache_key
    jax_remove_size_one_mesh_axis_from_type jax_rocm_visible_devices jax_send_traceback_to_runtime
    jax_serialization_version jax_share_binary_between_hosts jax_share_binary_between_hosts_timeout_ms
    jax_sort_devices_by_process_index jax_source_url_schema jax_thread_guard jax_traceback_filtering
    jax_traceback_in_locations_limit jax_tracer_error_num_traceback_frames jax_use_emit_pipeline_primitive
    jax_xla_backend

    xla_allow_h2h_copy_when_automatic_host_compute_offload_disabled xla_cmd_buffer_trace_cache_size
    xla_cpu_copy_insertion_use_region_analysis xla_cpu_emitter_verification_level
    xla_cpu_enable_concurrency_optimized_scheduler xla_cpu_enable_xprof_traceme
    xla_cpu_experimental_enable_tiling_propagation xla_cpu_experimental_onednn_custom_call
    xla_cpu_experimental_onednn_fusion_type xla_cpu_experimental_xnn_graph_fusion_mode
    xla_cpu_parallel_codegen_split_count xla_cpu_scheduler_type xla_cpu_strict_dot_conv_math xla_cpu_use_acl
    xla_cpu_use_onednn xla_cpu_use_thunk_runtime xla_cpu_use_xnnpack xla_debug_buffer_assignment_show_max
    xla_detect_unstable_reductions xla_detect_unstable_reductions_post_optimizations
    xla_disable_automatic_host_compute_offload xla_early_exit_with_layouts xla_eliminate_hlo_implicit_broadcast
    xla_embed_ir_in_executable xla_enable_command_buffers_during_profiling
    xla_enable_enzyme_comms_opt xla_enable_fast_math xla_enable_hlo_sharding_v3 xla_enable_rgv3_materialization
    xla_enable_scoped_logging_timers xla_flags_reset xla_force_host_platform_device_count
    xla_hlo_evaluator_use_fast_path xla_hlo_pass_fix_detect_cycles xla_hlo_print_inline_stack_frames xla_hlo_profile
    xla_keep_shardings_after_spmd xla_llvm_enable_alias_scope_metadata xla_llvm_enable_invariant_load_metadata
    xla_llvm_enable_noalias_metadata xla_llvm_force_inline_before_split xla_multiheap_size_constraint_per_heap
    xla_partitioning_algorithm xla_pjrt_allow_auto_layout_in_hlo xla_recognize_reduction_optimization_level
    xla_reduce_window_rewrite_base_length xla_sdy_export_all_reduce_scatter xla_step_marker_location
    xla_syntax_sugar_async_ops xla_test_add_command_buffer_mode xla_test_all_input_layouts
    xla_test_all_output_layouts xla_unsupported_crash_on_hlo_pass_fix_max_iterations
    xla_unsupported_crash_on_hlo_pass_silent_hlo_change
"""
# flags of XLA that write down what it does, and those that concern more than one machine
WITHOUT_EFFECT = ("xla_dump_", "xla_gpu_dump_", "xla_hlo_graph_", "xla_cpu_collective_")

# how many devices there are: XLA makes another program for one than for several, so `lab.training.engine.identity`
# says which of the two it was
COUNTED = ("jax_num_cpu_devices",)

# what becomes of each setting
VERDICTS = {
    **dict.fromkeys(TRIED.split(), "no effect"),
    **dict.fromkeys((*FIXED, *FIXED_OF_FLAX, *COMPILED, *OVERRULED), "fixed"),
    **dict.fromkeys((*RECORDED, *COUNTED, "xla_cpu_max_isa"), "recorded"),
}

# the lines of /proc/cpuinfo that say what kind of processor it is, and the instructions with which it computes
KIND = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
ARITHMETIC = re.compile(r"s?sse|avx|fma|f16c|asimd|sve|fp$|fphp")


class Unusable(Exception):
    """A variable with which JAX does not start.

    Attributes:
        what: is wrong, in words.
        do: about it.
    """

    def __init__(self, variable: str, value: str, why: str):
        self.what, self.do = f"JAX does not start with {variable}={value}: {why}", f"correct it, or unset {variable}"
        super().__init__(variable, value, why)  # what it is made of again, where another process raised it

    def __str__(self) -> str:
        return f"{self.what}; {self.do}"


def verdict(name: str) -> str:
    """Return what becomes of a setting: "fixed", "recorded" or "no effect".

    Args:
        name: of an option of JAX or flax, or of a flag of XLA.
    """
    return VERDICTS.get(name, "no effect" if name.startswith(WITHOUT_EFFECT) else "recorded")


def recorded_options(options: Mapping[str, Any]) -> str:
    """Return the options of JAX that are recorded and not at their defaults, and those that are not listed here.

    Args:
        options: name -> value, as `jax.config.values` holds them.
    """
    return " ".join(
        f"{name}={value}"
        for name, value in sorted(options.items())
        if verdict(name) == "recorded" and name not in COUNTED and (name not in RECORDED or value != RECORDED[name])
    )


def flags(text: str) -> dict[str, str]:
    """Return the flags in a value of XLA_FLAGS, name -> what stands behind it. XLA takes the last of several alike.

    Args:
        text: flags, or the name of a file that holds some.
    """
    if text.strip() and not text.startswith("--"):
        text = Path(text).read_text()
    parts = (word.removeprefix("--").partition("=") for word in shlex.split(text))
    return {name: sign + value for name, sign, value in parts}


def recorded_flags(text: str, device: str) -> str:
    """Return the flags in a value of XLA_FLAGS that are recorded, in alphabetical order.

    Args:
        text: as for `flags`.
        device: what trains: cpu or gpu. Flags of other kinds of devices have no effect.
    """
    elsewhere = tuple(f"xla_{kind}_" for kind in ("cpu", "gpu", "tpu") if kind != device)
    return " ".join(
        f"--{name}{value}"
        for name, value in sorted(flags(text).items())
        if verdict(name) == "recorded" and not name.startswith(elsewhere)
    )


@functools.cache
def processor(file: Path = Path("/proc/cpuinfo")) -> str:
    """Return the kind of processor and the instructions with which it computes; XLA makes its programs for these."""
    kinds = []
    for block in file.read_text().split("\n\n") if file.exists() else ():
        fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in block.splitlines())}
        words = fields.get("flags", fields.get("Features", "")).split()
        kinds.append([*(fields[key] for key in KIND if key in fields), *sorted(filter(ARITHMETIC.match, words))])
    if not any(kinds) and sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        kinds = [[subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()]]
    return ", ".join(dict.fromkeys(map(" ".join, filter(None, kinds)))) or platform.processor() or platform.machine()


@functools.cache
def instructions(file: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor and all its instructions: a compiled program may use any of them, and be tuned to it."""
    words = (*KIND, "stepping", "flags", "Features")
    lines = [line for line in file.read_text().splitlines() if line.startswith(words)] if file.exists() else []
    return "\n".join(dict.fromkeys(lines)) or processor(file)


def identity(device: str, options: Mapping[str, Any], variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what of these surroundings belongs to a run's identity.

    Args:
        device: what trains: cpu or gpu.
        options: as for `recorded_options`.
        variables: of the environment.
    """
    settings = {
        "jax_options": recorded_options(options),
        "xla_flags": recorded_flags(variables.get("XLA_FLAGS", ""), device),
    }
    if device == "cpu":
        return {**settings, "processor": processor()}
    packages = {
        f"{package.name} {package.version}"
        for package in distributions()
        if package.name.startswith(("nvidia-", "jax-cuda"))
    }
    return {**settings, "cuda": ", ".join(sorted(packages)), "tf32": variables.get("NVIDIA_TF32_OVERRIDE", "")}


# --- variables with which JAX does not start -----------------------------------------------------------------------


def asked(code: str, *arguments: str, variables: Mapping[str, str] = os.environ) -> str:
    """Return what code prints in a process of its own: JAX with a wrong driver or flag ends its process.

    Args:
        code: Python.
        arguments: its `sys.argv[1:]`.
        variables: its environment.

    Raises:
        ChildProcessError: it fails; with what it says.
    """
    # to look at a GPU must not take its memory from a run that trains there
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **variables}
    command = [sys.executable, "-c", code, *arguments]
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        raise ChildProcessError("it hangs") from None
    if answer.returncode:
        raise ChildProcessError(answer.stderr.strip() or f"it ends with {answer.returncode}")
    return answer.stdout


def unusable(variables: Mapping[str, str] = os.environ) -> Unusable | None:
    """Return what is wrong with the variable that keeps JAX from starting, or None if none does."""
    names = [name for name in sorted(variables) if name.startswith(("JAX_", "XLA_", "FLAX_")) and variables[name]]
    if not names or (why := _failure(variables)) is None:
        return None
    for name in names:
        if not _failure({key: value for key, value in variables.items() if key != name}):
            devices = name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")
            return Unusable(name, variables[name], "there is no such device here" if devices else why)
    return None


def _failure(variables: Mapping[str, str]) -> str | None:
    """Return why JAX does not start with these variables, or None if it does."""
    try:
        asked("import flax, jax; jax.devices()", variables=variables)
    except ChildProcessError as error:
        log = re.search(r"^[EF]\d{4} [^]]*\] (?P<why>.*?)\.?$", str(error), re.MULTILINE)  # where XLA ends the process
        last = str(error).splitlines()[-1]
        return log["why"] if log else last.partition(": ")[2] or last
    return None


@functools.cache
def check_flags(text: str) -> None:
    """Raise `Unusable` if XLA would end this process because of a value of XLA_FLAGS."""
    if text and (why := _failure({**os.environ, "XLA_FLAGS": text, "JAX_PLATFORMS": "cpu"})):
        raise Unusable("XLA_FLAGS", text, why)
