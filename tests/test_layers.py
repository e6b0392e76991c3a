"""Imports follow the data flow, bottom to top; nothing that only reads results needs JAX."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lab

ROOT = Path(lab.__file__).parent
LAYERS = [
    {"machine", "models", "schema", "source", "surroundings"},
    {"tasks"},
    {"objective"},
    {"population"},
    {"config", "conformance"},
    {"store"},
    {"outcomes"},
    {"engine"},
    {"distributed", "doctor"},
    {"statistics"},
    {"ideas", "tally", "words"},
    {"decision", "gates", "sensitivity"},
    {"probe", "card", "derivatives"},
    {"optimise"},
    {"figures"},
    {"report", "export"},
    {"claims", "trackers"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
WITHOUT_JAX = ["outcomes", "store", *sorted(name for name in RANK if RANK[name] >= RANK["statistics"])]
WITHOUT_JAX.remove("__main__")
WITHOUT_JAX.remove("derivatives")  # it goes through training


def imported(path):
    """Modules of the lab that a file imports, at any depth; those within tasks count as tasks."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lab":
            parts = node.module.split(".")[1:]
            yield from [parts[0]] if parts else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lab."))


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own != "__init__":
            yield own, path


def test_every_module_has_a_layer():
    assert {own for own, _ in modules()} == set(RANK)


@pytest.mark.parametrize(("own", "path"), list(modules()), ids=lambda value: str(value).rsplit("/", 1)[-1])
def test_imports_go_up(own, path):
    for other in imported(path):
        assert RANK[other] < RANK[own] or other == own, f"{path.name} imports {other}"


def test_reading_results_needs_no_jax():
    """Nor scipy.stats, which takes a second to import. One process: the first module that brings it is named."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'lab.{name}')\n"
        "    assert not {'jax', 'scipy.stats'} & set(sys.modules), name\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, *WITHOUT_JAX], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
