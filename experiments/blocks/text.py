"""What all blocks of the pages share: tables in Markdown, numbers with intervals, and what figures/ holds."""

import functools
import json
import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lab import claims as every_claim
from lab.statistics import Estimate
from lab.words import with_interval

ROOT = Path(__file__).resolve().parent.parent.parent
claims_table = functools.cache(every_claim.table)
wrapped_prose = textwrap.TextWrapper(120, break_long_words=False, break_on_hyphens=False).fill
wrapped = textwrap.TextWrapper(128, "1. ", "   ", break_long_words=False, break_on_hyphens=False).fill


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(estimate: dict[str, Any]) -> str:
    """Return an estimate of a JSON file with its interval."""
    return with_interval(Estimate(*(math.nan if value is None else float(value) for value in estimate.values())))


def stored(file: str) -> Any:
    """Return what a file in figures/ holds."""
    return json.loads((ROOT / "figures" / file).read_text())


def is_stored(file: str) -> bool:
    """Return whether figures/ has a file, which a long study may still owe."""
    return (ROOT / "figures" / file).exists()
