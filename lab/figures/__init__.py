"""Figures, one module each; reports, claims and commands import them.

`draw_*(data, ax)` draws finished numbers and computes nothing; `build*` saves.

The data of a figure are plain JSON values (`lab.report`), and that JSON is written beside the PDF and PNG.
"""

from lab.figures.card import build_card
from lab.figures.claim import claim_figure, estimates_figure
from lab.figures.gates import build_gates
from lab.figures.moments import build_moments
from lab.figures.run import build, response_axis
from lab.figures.schedules import build_schedules
from lab.figures.style import GREY, Figure, save, style_of, subplots

__all__ = [
    "GREY",
    "Figure",
    "build",
    "build_card",
    "build_gates",
    "build_moments",
    "build_schedules",
    "claim_figure",
    "estimates_figure",
    "response_axis",
    "save",
    "style_of",
    "subplots",
]
