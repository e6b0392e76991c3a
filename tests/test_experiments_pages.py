"""The pages are true: their numbers come from files, their configs load, their names and links lead somewhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import lab
from experiments import headers, pages
from experiments.blocks import claims, settings
from experiments.blocks.text import claims_table
from lab.cli import FILES
from lab.config.experiment import parse
from lab.statistics import Counts, interval

ROOT = Path(lab.__file__).parent.parent
README = (ROOT / "README.md").read_text()
EVERY_PAGE = [str(page.relative_to(ROOT)) for page in pages.PAGES]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def prose(page):
    """A page without its code."""
    return re.sub(r"(?ms)^```.*?^```$|^    .*?$|`[^`\n]*`", "", (ROOT / page).read_text())


def anchors(text):
    """What GitHub calls the headings of a page in links."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_of_the_repository_is_looked_at():
    written = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.md") if path.relative_to(ROOT).parts[0][0] != "."}
    assert {page for page in written if not page.startswith(("runs/", "build/"))} == set(EVERY_PAGE)


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_table_is_what_the_stored_numbers_say(page):
    text = (ROOT / page).read_text()
    assert text.count(": made by experiments/pages.py -->") == len(pages.BLOCK.findall(text))
    assert pages.fill(text) == text


def test_every_function_that_makes_a_block_has_its_block():
    names = [block["name"] for page in pages.PAGES for block in pages.BLOCK.finditer(page.read_text())]
    assert sorted(names) == sorted([*pages.MADE, "quickstart", "two_worlds"])


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, heading = target.partition("#")
        file = (ROOT / page).parent / unquote(path) if path else ROOT / page
        assert file.exists(), f"{page}: there is no {path}"
        if heading:
            assert heading in anchors(file.read_text()), f"{page}: {path} has no heading {heading}"


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_every_file_that_a_page_names_is_there(page):
    """Names of files in backticks; those in capitals stand for any."""
    text = re.sub(r"(?ms)^```.*?^```$", "", (ROOT / page).read_text())
    for name in re.findall(r"`((?:lab|configs|experiments|tests|figures)/[\w/.-]*)`", text):
        assert "NAME" in name or (ROOT / name).exists(), f"{page}: there is no {name}"
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert (ROOT / "tests" / name).exists(), f"{page}: there is no tests/{name}"


def test_the_first_page_is_short():
    assert len(README.splitlines()) <= 150


def test_the_examples_of_configs_load():
    first, all_keys, worlds, rule = blocks("configs/README.md", "yaml")
    assert len(parse(first).conditions) == 3 * 2
    # hold_out and early at three preferences, push at three times three
    assert len(parse(all_keys).conditions) == 3 * (1 + 1 + 3)
    drawn = parse(re.sub(r"(?ms)^sweep:.*", worlds, all_keys))  # in place of the sweep
    assert len(drawn.conditions) == 200 * 3
    assert drawn.conditions[1].coordinates["weight"] == drawn.conditions[2].coordinates["weight"]
    stopping = parse(re.sub(r"(?m)^seeds:.*$", rule, all_keys, count=1))
    assert stopping.config.stop.width == 0.5


def test_the_python_example_names_what_there_is():
    (text,) = blocks("README.md", "python")
    for name in re.findall(r"lab\.(\w+)\(", text):
        assert callable(getattr(lab, name))
    counts = Counts(aligned_pass=670, aligned_fail=74, misaligned_pass=202, misaligned_fail=640)
    low, high = interval(counts, "likelihood_ratio")
    assert low < counts.likelihood_ratio < high
    conditions = [condition.name for condition in lab.load("configs/quickstart.yaml").conditions]
    (pair,) = re.findall(r'lab.compare\(results, "(\w+)", "(\w+)"\)', text)
    assert set(pair) <= set(conditions)


def test_the_first_page_says_what_every_command_is_for():
    table = "".join(line for line in README.splitlines() if line.startswith("| "))
    assert set(re.findall(r"`lab ([\w-]+)`", table)) == set(FILES)


def test_every_figure_says_which_command_makes_it():
    """Each file of figures/ stands once in the first table of that folder's page."""
    table = (ROOT / "figures/README.md").read_text().split("\n\n## ")[1]
    made = re.findall(r"`([\w-]+)`", "".join(re.findall(r"(?m)^\| (.*?) \|", table)))
    assert sorted(made) == sorted(path.stem for path in (ROOT / "figures").glob("*.json"))


def test_the_head_of_a_config_is_read_whole():
    head = (
        "# Claim:   one line\n#          and another: with a colon\n# Cost:    none\n#\n# Settings are old.\nname: x\n"
    )
    assert settings.head_of(head) == {"Claim": "one line and another: with a colon", "Cost": "none"}


def test_the_answer_names_the_verdict_of_every_task():
    text = README.split("<!-- answer")[1].split("<!-- end -->")[0]
    rows = {row["name"]: row["tasks"] for row in claims_table()}
    for name in ("four_regimens", "critical_period", "implicit_proxies", "budget"):
        (line,) = (line for line in text.split("\n1. ") if f"[`{name}`]" in line)
        for task, judged in rows[name].items():
            before = line[: line.index(f"`{task}`")]
            assert max(("supported", "contradicted", "depends", "undecided"), key=before.rfind) == judged["verdict"]


def test_the_table_marks_the_claims_whose_rule_was_changed_after_its_counts():
    """Eight docstrings say so."""
    marked = re.findall(r"(?m)^\| \[`(\w+)`\].*rule changed after its counts", claims.claims())
    assert marked == [
        "adult_tests",
        "critical_period",
        "early_rejection",
        "implicit_proxies",
        "predetermined_ideas",
        "sensitivity",
        "validate_or_train",
        "which_proxies",
    ]


def test_the_header_of_a_config_says_what_its_claims_expected_and_what_came_out():
    paths = sorted((ROOT / "configs/claims").glob("*.yaml"))
    assert paths
    for path in paths:
        assert path.read_text().startswith("\n".join(headers.header(path.stem)) + "\n# Cost:"), path.name
