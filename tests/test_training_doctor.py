"""What is wrong with a machine, on machines made by hand."""

import json
import os
from importlib.metadata import version

import pytest

from lab import cli
from lab.training import doctor

PLAIN = {"nvidia_gpu": False, "extras": {"gpu": None}, "cores_allowed": 8, "cores_of_container": None}


def said(problems):
    return [" | ".join(problem) for problem in problems]


def test_a_machine_without_faults_has_no_problem(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"# numbers\nnumpy=={version('numpy')} \\\n    --hash=sha256:00\n    # via jax\n")
    here = {name: "9999" for name in doctor._needed()}
    assert doctor.packages(here, lock) == []
    assert doctor.environment({"PATH": "/bin", "JAX_PLATFORMS": "cpu", "JAX_LOG_COMPILES": "1"}) == []
    assert doctor.storage(tmp_path / "runs") == []
    assert doctor.accelerator(PLAIN, "cpu", {}) == []


def test_versions_that_differ_from_the_lock_file_are_named(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "numpy==0.0.1 ; python_full_version >= '3.0' \\\n    --hash=sha256:00\n"
        "scipy==0.0.1 ; python_full_version < '3.0' \\\n    --hash=sha256:00\n"
        "no-such-package==1.0 \\\n    --hash=sha256:00\n"
    )
    (problem,) = doctor.packages({name: "9999" for name in doctor._needed()}, lock)
    assert problem.what.endswith(f"requirements.lock: numpy {version('numpy')} (lock: 0.0.1)")
    assert "pip install -r requirements.lock" in problem.do


def test_old_and_missing_packages_are_named(tmp_path):
    if not doctor._needed():
        pytest.skip("the package is not installed")
    here = {name: "9999" for name in doctor._needed()} | {"jax": "0.4.30"}
    del here["scipy"]
    old, gone = sorted(doctor.packages(here, tmp_path / "none"))
    assert old.what == "jax 0.4.30 is too old: the lab needs >=0.10"
    assert old.do == "pip install -U 'jax>=0.10'"
    assert gone.what == "scipy is not installed"


def test_variables_that_a_run_records_are_named_and_those_that_the_lab_overrules_are_not():
    fixed = {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true", "JAX_ENABLE_X64": "1", "JAX_COMPILATION_CACHE_DIR": "c"}
    assert doctor.environment(fixed) == []
    recorded = {"XLA_FLAGS": "--xla_dump_to=d --xla_cpu_max_isa=AVX2 --xla_gpu_ftz=true", "JAX_USE_MAGMA": "off"}
    flags, option = said(doctor.environment(recorded))
    assert flags.startswith("XLA_FLAGS: --xla_cpu_max_isa=AVX2 may change the bytes of runs | unset XLA_FLAGS")
    assert option.startswith("JAX_USE_MAGMA=off may change the bytes of runs | unset JAX_USE_MAGMA")
    (flags,) = said(doctor.environment({"XLA_FLAGS": recorded["XLA_FLAGS"]}, "gpu"))
    assert flags.startswith("XLA_FLAGS: --xla_gpu_ftz=true may")


def test_flags_in_a_file_that_is_not_there_are_a_problem(tmp_path):
    (missing,) = said(doctor.environment({"XLA_FLAGS": str(tmp_path / "none")}))
    assert "cannot be read" in missing
    assert "unset XLA_FLAGS" in missing


def test_a_backend_that_matplotlib_cannot_load_is_named():
    variables = {**os.environ, "MPLBACKEND": "module://no_such_module.backend"}
    (backend,) = said(doctor.environment(variables))
    assert backend.startswith("Matplotlib cannot draw with MPLBACKEND=module://no_such_module.backend: ")
    assert backend.endswith("unset MPLBACKEND")
    assert doctor.environment({**os.environ, "MPLBACKEND": "agg"}) == []


def test_a_gpu_that_jax_does_not_see():
    gpu = {**PLAIN, "nvidia_gpu": True}
    (missing,) = said(doctor.accelerator(gpu, "cpu", {}))
    assert "proxy-lab[gpu]" in missing
    (asked,) = said(doctor.accelerator(gpu, "cpu", {"JAX_PLATFORMS": "cpu"}))
    assert "unset JAX_PLATFORMS" in asked
    (broken,) = said(doctor.accelerator({**gpu, "extras": {"gpu": "0.10"}}, "cpu", {}))
    assert "nvidia-smi" in broken
    assert doctor.accelerator(gpu, "gpu", {}) == []


def test_a_gpu_is_known_by_its_device_file(tmp_path):
    (tmp_path / "nvidiactl").touch()
    assert not doctor.nvidia_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert doctor.nvidia_gpu(tmp_path)


def test_a_container_with_fewer_cores_than_the_lab_takes():
    (slow,) = said(doctor.accelerator({**PLAIN, "cores_of_container": 2.5}, "cpu", {}))
    assert "grants 2.5 cores" in slow
    assert "taskset -c 0-1 lab run" in slow
    assert doctor.accelerator({**PLAIN, "cores_of_container": 8.0}, "cpu", {}) == []
    assert doctor.accelerator({**PLAIN, "cores_of_container": 2.5}, "gpu", {}) == []


def test_a_place_that_cannot_be_written_or_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    monkeypatch.setattr(
        doctor.shutil, "disk_usage", lambda _: doctor.shutil._ntuple_diskusage(10**12, 10**12, 5 * 10**8)
    )
    unwritable, full = said(doctor.storage(tmp_path / "runs" / "deep"))
    assert str(tmp_path) in unwritable
    assert "--out" in unwritable
    assert "0.50 GB" in full


def test_the_command_says_what_the_engine_takes(capsys, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    code = cli.main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == bool(found["problems"])
    assert found["lab"]["devices"] == len(found["machine"]["devices"])
    if found["lab"]["platform"] == "cpu":  # a device per core; widths as the tasks' files say
        assert found["lab"]["devices"] == len(os.sched_getaffinity(0))
        assert found["lab"]["block_width"] == {
            **{"scratchpad": 32, "race": 2048, "shortcut": 128, "reasoner": 64},
            **{"digits": 32, "gridworld": 32},
        }
        assert found["lab"]["lanes_at_once"]["race"] == 2048 * found["lab"]["devices"]
        assert cli.main(["doctor"]) == code
    assert "the lab will use" in capsys.readouterr().out


def test_jax_that_does_not_start_is_a_problem(capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--no_such_flag")  # at which XLA ends its process
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "JAX does not start with XLA_FLAGS=--no_such_flag: Unknown flag in XLA_FLAGS: --no_such_flag" in told
    assert "do: correct it, or unset XLA_FLAGS" in told
