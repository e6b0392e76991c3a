"""The README is true: its numbers come from files, its config loads, its Python names exist."""

import re
from pathlib import Path

import lab
from experiments import pages
from lab.config.experiment import parse
from lab.statistics import Counts, interval

TEXT = (Path(lab.__file__).parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_every_table_is_what_the_stored_numbers_say():
    for page in pages.PAGES:
        assert pages.fill(page.read_text()) == page.read_text()
    assert "| `train_early` |" in TEXT


def test_the_config_in_the_guide_loads():
    _, rule, text = blocks("yaml")
    assert len(parse(text).conditions) == 3 * (1 + 1 + 3)
    stopping = parse(re.sub(r"(?m)^seeds:.*$", rule, text, count=1))
    assert stopping.config.stop.width == 0.5


def test_the_python_example_names_what_there_is():
    text = next(own for own in blocks("python") if "Counts(" in own)
    for name in re.findall(r"lab\.(\w+)\(", text):
        assert callable(getattr(lab, name))
    counts = Counts(aligned_pass=670, aligned_fail=74, misaligned_pass=202, misaligned_fail=640)
    low, high = interval(counts, "likelihood_ratio")
    assert low < counts.likelihood_ratio < high
    conditions = [condition.name for condition in lab.load("configs/quickstart.yaml").conditions]
    (pair,) = re.findall(r'lab.compare\(results, "(\w+)", "(\w+)"\)', text)
    assert set(pair) <= set(conditions)


def test_every_command_in_the_table_exists(capsys):
    from lab import cli

    for command in re.findall(r"^\| `lab ([\w-]+)", TEXT, re.MULTILINE):
        try:
            cli.main([command, "--help"])
        except SystemExit as ended:
            assert ended.code in (0, None)
        assert f"lab {command}" in capsys.readouterr().out
