"""The palette: how regimens, outcomes and parts of a log impact look in figures and on the page of a report.

It imports no matplotlib, for which whoever writes the page would wait.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

# The colours are Okabe and Ito's, but for two that are darker, so that regimens differ in grey as well.
GREY, BLUE, ORANGE, GREEN, PURPLE = "#5a5a5a", "#0072B2", "#E69F00", "#009E73", "#8a2d7d"
INK, VERMILION, SKY, BLACK = "#2b2b2b", "#D55E00", "#56B4E9", "#000000"
WHITE, ALARM = "white", "#b8420f"  # the face of hollow marks; what is not complete
Dashes = Any  # a name, or (offset, lengths), as matplotlib takes them


class Style(NamedTuple):
    """How a regimen looks in every figure; its marker and its line are a second cue beside the colour.

    Attributes:
        colour: of its marks and its name.
        marker: of its points.
        line: of its curves.
    """

    colour: str
    marker: str
    line: Dashes


STYLES = {  # the first of these that a word in a regimen's name begins with decides
    "anti": Style(PURPLE, "v", ":"),
    "hold": Style(INK, "s", "-"),
    "early": Style(BLUE, "o", "-"),
    "late": Style(ORANGE, "^", "--"),
    "throughout": Style(GREEN, "D", "-."),
}
OTHERS = [Style(VERMILION, "p", "-"), Style(SKY, "P", "--"), Style(BLACK, "*", ":")]


def kind_of(regimen: str) -> str | None:
    """Return the key in `STYLES` that a word of a regimen's name begins with, or None: "related" is not late."""
    name = re.sub("(^|[ _-])held", r"\1hold", regimen.lower())  # both words are used for it
    return next((kind for kind in STYLES if re.search(rf"(?:^|[ _-]){kind}", name)), None)


def style_of(regimen: str, position: int = 0) -> Style:
    """Return the style that a regimen has in every figure.

    Args:
        regimen: its name.
        position: among those of the figure that are of no kind; no two of the first nine look alike.
    """
    if kind := kind_of(regimen):
        return STYLES[kind]
    colour = OTHERS[position % len(OTHERS)].colour
    _, marker, line = OTHERS[(position + position // len(OTHERS)) % len(OTHERS)]
    return Style(colour, marker, line)


def styles_of(regimens: Sequence[str]) -> dict[str, Style]:
    """Return the style of each regimen of a figure; a second one of a kind has its colour, another marker and line.

    Args:
        regimens: their names, in the order of the figure.
    """
    styles: dict[str, Style] = {}
    for name in dict.fromkeys(regimens):
        kind = kind_of(name)
        rank = sum(kind_of(other) == kind for other in styles)
        styles[name] = style_of(name, rank)
        if kind and rank:
            another = OTHERS[(rank - 1) % len(OTHERS)]
            styles[name] = Style(STYLES[kind].colour, another.marker, (0, (rank, 1)))
    return styles


class Outcome(NamedTuple):
    """How models of one outcome are drawn.

    Attributes:
        words: what they are.
        colour: of their share.
        hatch: over it.
    """

    words: str
    colour: str
    hatch: str | None


# any two outcomes may touch, where no model is in between: all differ in grey, hatched alike or not
OUTCOMES = {
    "aligned_pass": Outcome("aligned, passes", "#1c4e80", None),
    "aligned_fail": Outcome("aligned, fails", "#5a8cc0", "////"),
    "misaligned_fail": Outcome("misaligned, fails", "#f5bd97", "\\\\\\\\"),
    "misaligned_pass": Outcome("misaligned, passes", "#e8843f", None),
    "unjudged": Outcome("stopped by a gate", "#696969", "xxxx"),
    "unable": Outcome("cannot do the job", "#e4e4e4", None),
}
PART_COLOURS = {"base_rate": "#5b8db5", "likelihood_ratio": "#e3c07a", "net": "#666666"}
