"""Blocks on what can be set: seeds, configs, and the styles of figures."""

import re

from experiments.blocks.text import ROOT, markdown
from lab.config.seeds import USES
from lab.figures.palette import OUTCOMES, STYLES

# what matplotlib calls the styles of `lab.figures.style`, in words; colours are called as Okabe and Ito called them
COLOURS = {
    "#8a2d7d": "dark purple",
    "#2b2b2b": "nearly black",
    "#0072B2": "blue",
    "#E69F00": "orange",
    "#009E73": "bluish green",
}
MARKERS = {"v": "triangle, point down", "s": "square", "o": "circle", "^": "triangle, point up", "D": "diamond"}
LINES = {":": "dotted", "-": "solid", "--": "dashed", "-.": "dashes and dots"}
HATCHES = {None: "none", "/": "rising", "\\": "falling", "x": "crossed"}


def seeds() -> str:
    """Who uses which seeds."""
    rows = [
        [f"{use.first:,} to {use.first + use.count - 1:,}", use.who, use.role, use.what]
        for use in sorted(USES, key=lambda use: (use.first, use.count))
    ]
    return markdown(["seeds", "who", "does what", "what for"], rows)


def configs() -> str:
    """What the head of each config in configs/ says that it is about and what it costs."""
    rows = []
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        head = head_of(path.read_text())
        claim = head["Claim"][0].upper() + head["Claim"][1:].rstrip(".")
        rows.append([f"[`{path.name}`]({path.name})", claim.replace("|", "\\|"), head["Cost"]])
    return markdown(["config", "claim", "cost"], rows)


def head_of(config: str) -> dict[str, str]:
    """Return the entries of the comment at the head of a config, such as Claim and Cost, each on one line."""
    comment = "".join(line + "\n" for line in config.split("\nname:")[0].splitlines())
    comment = re.sub(r"(?m)^# ?", "", comment).split("\n\n")[0]
    entries = re.findall(r"(?m)^(\w+):((?:.*\n?(?!\w+:))*)", comment)
    return {name: " ".join(text.split()) for name, text in entries}


def styles() -> str:
    """Colour, marker and line of each kind of regimen."""
    rows = [
        ["`hold`, `held`" if word == "hold" else f"`{word}`", COLOURS[colour], MARKERS[marker], LINES[line]]
        for word, (colour, marker, line) in STYLES.items()
    ]
    return markdown(["a word that begins with", "colour", "marker", "line"], rows)


def outcomes() -> str:
    """Colour and hatching of each outcome of a model."""
    rows = [[words, f"`{colour}`", HATCHES[hatch[0] if hatch else None]] for words, colour, hatch in OUTCOMES.values()]
    return markdown(["outcome", "colour", "hatching"], rows)
