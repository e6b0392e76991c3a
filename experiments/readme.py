"""Fill the README's tables from the files in figures/, so that no number in it is typed by hand.

Command:   python -m experiments.readme
"""

import json
import re
from pathlib import Path

from lab.report import SHOWN, in_words, with_interval
from lab.statistics import Estimate, worlds

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- (\w+): made by experiments/readme.py -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(header, rows):
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(estimate):
    values = {"inf": float("inf"), "-inf": float("-inf"), None: float("nan")}
    return with_interval(Estimate(*(values.get(value, value) for value in estimate.values())))


def regimens(name):
    data = json.loads((ROOT / f"figures/{name}.json").read_text())
    conditions = data["conditions"]
    text = ""
    for world, members in worlds([(c["regimen"], c["coordinates"]) for c in conditions]).items():
        rows = []
        for condition in (conditions[index] for index in members):
            impact = condition["log_impact"]
            net = cell({key: impact["net"][key] for key in ("value", "low", "high")}) if impact else "baseline"
            rows.append([f"`{condition['regimen']}`", *(cell(condition[quantity]) for quantity in SHOWN), net])
        header = [
            in_words(world) or "regimen",
            "P(A)",
            "P(T\\|A)",
            "P(T\\|not A)",
            "LR",
            "o(A\\|T)",
            "runs",
            "net (nats)",
        ]
        text += markdown(header, rows) + "\n"
    level, seeds = f"{data['confidence']:.0%}", f"{data['seeds']:,}"
    return text + f"{seeds} models per row, {level} intervals, seeds shared between rows.\n"


def memory():
    rows = json.loads((ROOT / "figures/flat_memory.json").read_text())
    header = ["task", "seeds", "peak memory (MiB)", "seconds", "files", "MiB on disk"]
    keys = ("task", "seeds", "peak_mib", "seconds", "files", "mib_on_disk")
    return markdown(header, [[f"{row[key]:,}" if key == "seeds" else str(row[key]) for key in keys] for row in rows])


def fill(text):
    """Return the README with every block replaced by what its function makes."""
    return BLOCK.sub(
        lambda match: match[1] + (memory() if match[2] == "memory" else regimens(match[2])) + match[3], text
    )


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text()))
