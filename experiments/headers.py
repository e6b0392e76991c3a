"""Fill the headers of configs/claims/ from what claims say of themselves and what is stored of them.

Command:   python -m experiments.headers
"""

import argparse
import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from experiments.blocks.text import claims_table
from lab.claims import Verdict, book
from lab.results.store import publish

WIDTH = 110  # of a line of text behind its field


def header(config: str) -> list[str]:
    """Return the lines that begin a config: which claims are counted on it, what was expected, and what came out."""
    claims = [row for row in claims_table() if book.claim(row["name"]).config == config]
    path = f"configs/claims/{config}.yaml"
    command = f"lab experiment {claims[0]['name']}" if len(claims) == 1 else "lab experiment NAME, of any of them"
    of_one = f"lab run {path} --task TASK, which only trains the models of one task"
    paragraphs = {
        "Claim": [row["claim"] for row in claims],
        "Command": [command, of_one],
        "Expected": [expected(row["name"]) for row in claims],
        "Came out": [outcome(row) for row in claims],
    }
    lines = []
    for field, texts in paragraphs.items():
        if len(claims) > 1 and field != "Command":
            texts = [f"{row['name']}: {text}" for row, text in zip(claims, texts, strict=True)]
        wrapped = [line for text in texts for line in textwrap.wrap(text, WIDTH, break_on_hyphens=False)]
        lines += [f"# {field + ':':<11}{wrapped[0]}", *(f"# {'':<11}{line}" for line in wrapped[1:])]
    return lines


def expected(name: str) -> str:
    """Return what the docstring of a claim expects, which was written before its run."""
    text = re.split(r"\nExpected: +", inspect.getdoc(book.module(name)) or "")[1]
    return " ".join(re.split(r"\n(?=\S|\n)", text)[0].split())


def outcome(row: Mapping[str, Any]) -> str:
    """Return the verdicts of a claim, task by task."""
    return ", ".join(f"{task} {Verdict(**verdict).in_words}" for task, verdict in row["tasks"].items()) or "not run"


def main() -> None:
    """Write every header anew; what stands below it is kept."""
    for path in sorted((book.ROOT / "configs/claims").glob("*.yaml")):
        lines = path.read_text().splitlines()
        begin = next(index for index, line in enumerate(lines) if line.startswith("# Cost:"))
        publish(path, "\n".join([*header(path.stem), *lines[begin:], ""]).encode())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
