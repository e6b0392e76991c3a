"""What a user, an environment or a processor has set changes no model, or is part of what a run is."""

import ast
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import flax
import jax
import numpy as np
import pytest

import lab
from lab import cli
from lab.config.experiment import parse
from lab.machine import surroundings
from lab.results.store import StoreError
from lab.studies import estimators as derivatives
from lab.studies.regimens import Subject
from lab.training import engine, population

ROOT = Path(lab.__file__).parents[1]
STUDY = json.loads((ROOT / "figures" / "settings.json").read_text())
CONFIG = """
name: surroundings
task: {task}
seeds: 16
training: {{steps: 20, segments: 2, optimizer: adam, block_width: 8}}
regimens:
  hold_out: [{{until: 1}}]
  late: [{{until: 0.5}}, {{until: 1, weights: {{test: 1}}}}]
"""
SHORTCUT = "{name: shortcut, width: 4, batch: 4}"
# each trains other models by itself, or stops training, as figures/settings.json says
HOSTILE = {
    "jax_enable_x64": True,
    "jax_default_prng_impl": "unsafe_rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 1,
    "jax_softmax_custom_jvp": True,
    "eager_constant_folding": True,
    "jax_disable_most_optimizations": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "strict",
    "jax_debug_nans": True,
    "jax_error_checking_behavior_nan": "raise",
    "jax_use_simplified_jaxpr_constants": True,
    "jax_no_tracing": True,
    "jax_no_execution": True,
    "jax_transfer_guard": "disallow",
    "jax_disable_jit": True,
}


def scores(folder, task="race", **options):
    results = lab.run(parse(CONFIG.format(task=task)), folder / "run", **options)
    return {name: results[name].values for name in results.data_vars}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module", autouse=True)
def optimised():
    """As it is for a user, and not for other tests (`conftest.py`)."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return scores(tmp_path_factory.mktemp("plain"))


@pytest.fixture
def options():
    """A function that sets options of JAX and flax, as a user does; afterwards they are as before."""
    before = jax.config.values, flax.config.flax_fix_rng_separator

    def change(**values):
        for name, value in values.items():
            (flax if name.startswith("flax_") else jax).config.update(name, value)
        return jax.config.values

    yield change
    # transfer guards cannot be read back from the option that sets all three
    for name in HOSTILE:
        jax.config.update(name, "allow" if name == "jax_transfer_guard" else before[0][name])
    change(jax_compilation_cache_dir=None, flax_fix_rng_separator=before[1])


def test_every_option_of_jax_is_listed():
    if importlib.metadata.version("jax") != STUDY["about"]["jax"]:
        pytest.skip("another JAX than the one whose options were tried: what is not listed is recorded")
    assert set(jax.config.values) <= set(surroundings.VERDICTS)


def test_the_table_says_what_was_measured():
    """Of each setting that was tried: no effect means none by itself, fixed means none in the lab."""
    assert len(STUDY["rows"]) > 250
    for row in STUDY["rows"]:
        what = f"{row['setting']} = {row['value']}"
        verdict = surroundings.verdict(row["setting"].lower())
        assert verdict == "recorded" or row.get("in the lab", "same") == "same" or row["value"] == "x", what
        assert verdict != "no effect" or row["alone"] == "same" or row["value"] == "x", what
    tried = {row["setting"] for row in STUDY["rows"]}
    assert set(surroundings.VERDICTS) <= tried | set(surroundings.FIXED_OF_FLAX)


@pytest.mark.parametrize("name", HOSTILE)
def test_an_option_that_a_user_has_set_changes_no_model_and_stays_set(name, options, plain, tmp_path):
    if name == "jax_disable_most_optimizations":
        population._programs.clear()  # the program has the same text
    now = options(**{name: HOSTILE[name]})
    assert same(scores(tmp_path), plain)
    assert jax.config.values == now


def test_all_of_them_together_change_no_model_of_a_task_with_networks(options, quick_to_compile, tmp_path):
    expected = scores(tmp_path / "plain", SHORTCUT)
    now = options(**HOSTILE, flax_fix_rng_separator=True)
    assert same(scores(tmp_path / "hostile", SHORTCUT), expected)
    assert jax.config.values == now
    assert flax.config.flax_fix_rng_separator


def test_slopes_through_training_do_not_depend_on_them_either(options, monkeypatch):
    """Their program has the same text; it is not compiled."""
    experiment, texts, jit = parse(CONFIG.format(task="race")), [], jax.jit

    def lowered(function, **_):
        return lambda *given: texts.append(jit(function).lower(*given).as_text()) or given[0]

    monkeypatch.setattr(derivatives, "compile_options", dict)
    monkeypatch.setattr(jax, "jit", lowered)
    for changed in ({}, {"jax_enable_x64": True, "jax_default_prng_impl": "rbg", "jax_threefry_partitionable": False}):
        options(**changed)
        derivatives.pathwise(Subject(experiment, experiment.conditions[0], ("push",)), [0, 1], lanes=2)
    assert texts[0] == texts[1]


def test_a_users_cache_of_programs_holds_none_of_the_lab_and_goes_on_working(options, tmp_path):
    cache = tmp_path / "cache"
    options(jax_compilation_cache_dir=str(cache), jax_persistent_cache_min_compile_time_secs=0.0)
    population._programs.clear()
    scores(tmp_path)
    assert not cache.exists()
    jax.jit(lambda x: x + 3)(1.0)
    assert list(cache.iterdir())


def test_flags_that_make_other_bytes_are_overruled(tmp_path, plain):
    """In a process of its own, because XLA reads its flags once."""
    flags = "--xla_cpu_enable_fast_math --xla_disable_hlo_passes=fusion,algsimp --xla_backend_optimization_level=1"
    code = (
        "import sys, numpy as np; from pathlib import Path; from tests import test_machine_surroundings as tests; "
        "np.savez(sys.argv[1], **tests.scores(Path(sys.argv[2])))"
    )
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", code, str(tmp_path / "scores.npz"), str(tmp_path)]
    subprocess.run(command, env=environment, cwd=ROOT, check=True)
    assert same(dict(np.load(tmp_path / "scores.npz")), plain)


def test_what_the_lab_tells_xla_are_its_own_defaults(tmp_path, plain, monkeypatch):
    monkeypatch.setattr(surroundings, "COMPILED", {})
    population._programs.clear()
    assert same(scores(tmp_path), plain)
    population._programs.clear()


def test_every_key_names_its_implementation():
    for path in (ROOT / "lab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("jax.random.key", "jax.random.PRNGKey"):
                assert [word.arg for word in node.keywords] == ["impl"], f"{path.name}: {ast.unparse(node)}"


def test_only_flags_that_are_recorded_and_concern_the_device_belong_to_a_run():
    text = "--xla_cpu_max_isa=AVX2 --xla_dump_to=d --xla_new=1 --xla_gpu_ftz --xla_cpu_ftz=false --xla_new='2 3'"
    assert surroundings.recorded_flags(text, "cpu") == "--xla_cpu_max_isa=AVX2 --xla_new=2 3"
    assert surroundings.recorded_flags(text, "gpu") == "--xla_gpu_ftz --xla_new=2 3"


def test_flags_in_a_file_are_read(tmp_path):
    (tmp_path / "flags").write_text("--xla_cpu_max_isa=AVX\n--xla_dump_to=d\n")
    assert surroundings.recorded_flags(str(tmp_path / "flags"), "cpu") == "--xla_cpu_max_isa=AVX"


def test_an_option_is_recorded_if_it_is_new_or_not_at_its_default():
    values = {**jax.config.values, "jax_use_magma": "off", "jax_invented": 3, "jax_enable_x64": True}
    assert surroundings.recorded_options(values) == "jax_invented=3 jax_use_magma=off"
    assert surroundings.recorded_options(jax.config.values) == ""


def test_what_is_recorded_is_refused_by_name(tmp_path, monkeypatch, plain):
    scores(tmp_path)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2")
    with pytest.raises(StoreError, match="xla_flags: '' then, '--xla_cpu_max_isa=AVX2' now"):
        scores(tmp_path)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")  # which is fixed
    monkeypatch.setattr(surroundings, "processor", lambda: "abacus")
    with pytest.raises(StoreError, match=r"processor: '.*' then, 'abacus' now"):
        scores(tmp_path)


X86 = """processor\t: {0}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 63
model name\t: Xeon at 2.30GHz
cpu MHz\t\t: 23{0}.000
flags\t\t: fpu sse2 fma md_clear avx2 {1}
"""
ARM = """processor\t: {0}
Features\t: fp asimd sve {1}crc32
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: {2}
"""


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([X86.format(0, "avx"), X86.format(1, "avx")], "GenuineIntel 6 63 avx avx2 fma sse2"),
        ([X86.format(0, "avx512f pku")], "GenuineIntel 6 63 avx2 avx512f fma sse2"),
        ([ARM.format(0, "", "0xd40"), ARM.format(1, "sve2 ", "0xd41")],
         "0x41 8 0xd40 asimd fp sve, 0x41 8 0xd41 asimd fp sve sve2"),
    ],
    ids=["Haswell", "with AVX512", "two kinds of cores"],
)  # fmt: skip
def test_a_processor_is_its_kind_and_the_instructions_that_compute(tmp_path, blocks, expected):
    (tmp_path / "cpuinfo").write_text("\n".join(blocks) + "\n")
    assert surroundings.processor(tmp_path / "cpuinfo") == expected


def test_on_a_gpu_its_libraries_belong_to_a_run_and_the_processor_does_not(monkeypatch):
    packages = [("nvidia-cublas-cu12", "12.9"), ("numpy", "2.4"), ("jax-cuda12-plugin", "0.10")]
    made = [type("Distribution", (), {"name": name, "version": version}) for name, version in packages]
    monkeypatch.setattr(surroundings, "distributions", lambda: made)
    found = surroundings.identity("gpu", jax.config.values, {"NVIDIA_TF32_OVERRIDE": "0"})
    assert found == {
        "jax_options": "",
        "xla_flags": "",
        "cuda": "jax-cuda12-plugin 0.10, nvidia-cublas-cu12 12.9",
        "tf32": "0",
    }


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("JAX_PLATFORMS", "abacus,cpu", "there is no such device here"),
        ("XLA_FLAGS", "--no_such_flag", "Unknown flag in XLA_FLAGS: --no_such_flag"),
        ("JAX_ENABLE_X64", "perhaps", "invalid truth value 'perhaps'"),
    ],
)
def test_a_variable_with_which_jax_does_not_start_is_named(name, value, why):
    found = surroundings.unusable({**os.environ, "JAX_LOG_COMPILES": "1", name: value})
    assert str(found).startswith(f"JAX does not start with {name}={value}: {why}")
    assert str(found).endswith(f"; correct it, or unset {name}")


def test_nothing_is_named_where_nothing_is_wrong():
    assert surroundings.unusable({**os.environ, "JAX_LOG_COMPILES": "1"}) is None


def test_a_flag_at_which_xla_would_end_the_process_is_a_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "config.yaml").write_text(CONFIG.format(task="race"))
    monkeypatch.setenv("XLA_FLAGS", "--no_such_flag")
    assert cli.main(["run", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "run")]) == 1
    assert "Unknown flag in XLA_FLAGS: --no_such_flag; correct it, or unset XLA_FLAGS\n" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_a_sentence(tmp_path, capsys, monkeypatch):
    def none(*_):
        raise AssertionError

    (tmp_path / "config.yaml").write_text(CONFIG.format(task="race"))
    monkeypatch.setenv("JAX_PLATFORMS", "abacus")
    monkeypatch.setattr(engine.jax, "devices", none)  # as JAX does where it starts with that
    assert cli.main(["run", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "run")]) == 1
    expected = "JAX does not start with JAX_PLATFORMS=abacus: there is no such device here; correct it, or unset "
    assert expected + "JAX_PLATFORMS\n" in capsys.readouterr().err
