"""What the pages tell to type works as written: run in a folder of its own on small configs, or at least parsed.

Configs keep their tasks, regimens and sweeps, but have 8 seeds and 40 steps. A block of YAML that has a name is saved
as NAME.yaml, and commands run in the order of the page. Lines of R run where R and one of its readers of Parquet are,
which no registry of Python packages has.
"""

import functools
import glob
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import jax.numpy as jnp
import pytest
from ruamel.yaml import YAML

import lab
from experiments import pages
from lab import cli
from lab.tasks.outside import task_class
from lab.training.check import check
from tests.hand_made import r_can_read

pytestmark = pytest.mark.usefixtures("quick_to_train")

ROOT = Path(lab.__file__).parent.parent
PAGES = [str(page.relative_to(ROOT)) for page in pages.PAGES]
# how a command begins, and why it is not run here; those of `lab` are parsed all the same
NOT_RUN = {
    "python3 -m venv": "makes an environment, as .ci/run does with the same words",
    "pip install": "installs",
    ".venv/bin/pip": "installs, as .ci/run does with the same words",
    ".venv/bin/python -m pytest": "is this suite",
    "python -m pytest": "is this suite",
    "marimo": "serves a page until it is stopped; tests/test_experiments_explore.py runs the notebook without one",
    "PDOC_ALLOW_EXEC=1 python -m pdoc": "tests/test_reference.py runs it",
    "lab check-task": "tests/test_training_check.py checks the same file",
    "lab sensitivity": "trains 41 conditions; tests/test_studies_sensitivity.py runs a small one",
    "lab card": "trains thousands of models whatever the config says; tests/test_studies_card.py runs a small one",
    "lab optimise": "searches for minutes whatever the config says; tests/test_studies_schedules.py runs a small one",
    "lab experiment": "trains what a claim takes; tests/test_claims_book.py runs a small one",
    "lab run CONFIG": "stands for any config",
}
PLACEHOLDER = re.compile(r"\b[A-Z]{3,}\b|\[|…|\.\.\.")


def text_of(page):
    return (ROOT / page).read_text()


def fenced(page, language):
    return re.findall(rf"```{language}\n(.*?)```", text_of(page), re.DOTALL)


def shell(page):
    """Commands of a page in its order: lines of fenced blocks and indented ones, taken apart at `&&`."""
    lines, inside = [], None
    for line in text_of(page).splitlines():
        if line.startswith("```"):
            inside = None if inside is not None else line[3:]
        elif inside == "sh" or (inside is None and re.match(r"    (lab|python|cp) ", line)):
            lines += [part.strip() for part in line.split("#")[0].split(" && ") if part.strip()]
    return lines


def spans(page):
    """Commands of the lab in running text; a line break inside is a space."""
    body = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    found = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", body)]
    return [span for span in found if span.startswith(("lab ", "python -m ")) and not PLACEHOLDER.search(span)]


def arguments(command):
    """The arguments of a command of the lab, or None for any other program."""
    words = shlex.split(command)
    return words[1:] if Path(words[0]).name == "lab" else None


def parsed(monkeypatch, words):
    """What the command line's own parser makes of the words: the name of the command and its arguments."""
    calls = []

    def noted(name, command):
        @functools.wraps(command)
        def note(*values, **options):
            calls.append((name, [*values, *options.values()]))

        return note

    with monkeypatch.context() as patched:
        own = cli.command
        patched.setattr(cli, "command", lambda name: noted(name, own(name)))
        try:
            code = cli.main(words)
        except SystemExit as ended:
            code = ended.code
    assert code == 0, f"lab {' '.join(words)} is not understood"
    return calls[0] if calls else (words[0], [])


def test_commands_are_seen_in_blocks_in_running_text_and_indented():
    assert "lab plan runs/quickstart-* --budget 1,3,10,100" in shell("configs/README.md")
    assert "lab run configs/critical_period.yaml" in spans("experiments/README.md")
    assert "lab check-task my_task.py" in shell("experiments/outside/GUIDE.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_parsed_and_every_file_is_there(page, monkeypatch, capsys):
    for command in (*shell(page), *spans(page)):
        command = re.sub(r"^sbatch .*--wrap '(.*)'$", r"\1", command).replace("$SLURM_ARRAY_TASK_ID", "0")
        for module in re.findall(r"python -m ([\w.]+)", command):
            if module not in ("venv", "pdoc", "pytest"):
                assert importlib.util.find_spec(module), f"{command}: there is no module {module}"
        for file in re.findall(r"(?:configs|experiments)/[\w/.-]+\.\w+", command):
            assert (ROOT / file).exists(), f"{command}: there is no {file}"
        if (words := arguments(command)) and len(words) > 1:
            parsed(monkeypatch, words)


def small(config):
    """A config with 8 seeds and 40 steps, as JSON, which is YAML."""
    own = YAML(typ="safe", pure=True).load(config)
    own["seeds"] = 8
    own["training"] = {**own.get("training", {}), "steps": 40, "block_width": 256}
    return json.dumps(own)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder like a clone, with small configs."""
    for file in ROOT.glob("configs/*.yaml"):
        (tmp_path / "configs").mkdir(exist_ok=True)
        (tmp_path / "configs" / file.name).write_text(small(file.read_text()))
    shutil.copytree(ROOT / "experiments/outside", tmp_path / "experiments/outside")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_configs(page, place):
    """Save what a page has of whole configs; indented ones are those of the guide."""
    indented = re.findall(r"(?m)(?:^    .*\n)+(?:\n(?:    .*\n)+)*", text_of(page))
    blocks = [*fenced(page, "yaml"), *("\n".join(line[4:] for line in block.splitlines()) for block in indented)]
    for block in blocks:
        if name := re.match(r"name: ([\w-]+)\n", block):
            (place / f"{name[1]}.yaml").write_text(small(block.split("\n\nlab ")[0]))


def run_as_written(command, place):
    if (words := arguments(command)) is not None:
        words = [found for word in words for found in (sorted(glob.glob(word)) if "*" in word else [word])]
        assert cli.main(words) == 0, command
        return
    program, *words = shlex.split(command)
    assert program == "cp", f"{command}: neither run here nor in NOT_RUN with a reason"
    shutil.copy(*(place / word for word in words))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_every_example_runs(page, place, capsys):
    save_configs(page, place)
    for command in shell(page):
        if any(command.startswith(start) for start in NOT_RUN):
            continue
        if wrapped := re.match(r"sbatch --array=0-(\d+) --wrap '(.*)'$", command):
            for rank in range(int(wrapped[1]) + 1):
                run_as_written(wrapped[2].replace("$SLURM_ARRAY_TASK_ID", str(rank)), place)
            continue
        run_as_written(command, place)
    for block in fenced(page, "python"):
        if "pandas" in block:
            pytest.importorskip("pandas")
        exec(compile(block, page, "exec"), {})
    for block in fenced(page, "r") if r_can_read() else ():
        code = block.replace("library(nanoparquet)", f"library({r_can_read()})")
        ended = subprocess.run(["Rscript", "--vanilla", "-e", code], capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr


def test_the_citation_is_of_this_version():
    import tomllib

    cited = YAML(typ="safe", pure=True).load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["authors"] == [{"name": "Proxy lab contributors"}]


def test_the_proxy_of_the_guide_makes_a_task_that_can_be_tested_by_it(tmp_path, quick_to_compile):
    """At depth 3 and target 1, an aligned pathway of p = 1/2 has K = 1/8: the loss is (1/2 - 1/8)^2 / 6."""
    (source,) = fenced("experiments/outside/GUIDE.md", "python")
    (tmp_path / "my_race.py").write_text(source)
    task = task_class(tmp_path / "my_race.py")()
    assert check(task) == []
    assert (task.proxies["half"].term, task.thresholds["half"]) == ("half", 0.9)
    knobs = {name: jnp.float32(knob.default) for name, knob in task.knobs.items()}
    params = {"params": {"p": jnp.array([0.5, 0.2, 0.2])}, "badge": jnp.float32(0), "luck": jnp.float32(0)}
    assert float(task.losses(params, (), knobs, jnp.float32(0))["half"]) == pytest.approx(0.375**2 / 6)
    assert float(task.measure(params, knobs)["half"]) == pytest.approx(0.25)
    config = tmp_path / "mine.yaml"
    config.write_text(
        "name: mine\ntask: {file: my_race.py}\nproxy: half\nseeds: 4\n"
        "regimens:\n  hold_out: [{until: 1}]\n  early: [{until: 0.1, weights: {half: 1}}, {until: 1}]\n"
    )
    assert lab.load(config, trust_code=True).config.proxy == "half"
