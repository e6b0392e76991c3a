"""Is the list of the essay's sentences whole? The essay itself is no part of the repository.

Command:   python -m experiments.essay FILE        FILE is a copy of the essay

It says which sentence of the copy has no entry in experiments/essay.yaml, and which entry the copy does not have.
"""

import argparse
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.blocks.claims import essay_sentences, read_list

# a sentence ends at one of these marks, behind which a quotation or a bracket may close, before a capital
END = re.compile(r'[.?!:]["”)]* +(?=["“(]?[A-Z])')
SHOWN = 40  # letters of a sentence that has no entry


def problems(text: str, entries: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Return what a list of sentences lacks, or has too much, in words.

    Args:
        text: of the essay.
        entries: number of a sentence -> its entry; an `item` begins where no sentence ends.
    """
    begins = {0, *(end.end() for end in END.finditer(text))}
    place, found, lines = 0, set(), []
    for number, entry in entries.items():
        where = text.find(entry["begins"], place)
        if where < 0:
            lines.append(f"{number}: {entry['begins']!r} is not there, or not in this order")
            continue
        if (where in begins) == bool(entry.get("item")):
            lines.append(f"{number}: {entry['begins']!r} is {'a sentence' if where in begins else 'an item'} there")
        found.add(where)
        place = where + 1
    return lines + [f"no entry begins with {text[start : start + SHOWN]!r}" for start in sorted(begins - found)]


def main() -> None:
    """Compare a copy of the essay with the list. Exits with 1 where something is amiss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    text = parser.parse_args().file.read_text().strip()
    lines = problems(text, essay_sentences())
    if hashlib.sha256(text.encode()).hexdigest() != read_list()["sha256"]:
        lines.append("the text is not the one that the list was made of")
    if lines:
        raise SystemExit("\n".join(lines))
    print(f"{len(essay_sentences())} sentences, each with its entry")


if __name__ == "__main__":
    main()
