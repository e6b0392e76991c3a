"""Figures of finished numbers; reports, claims, experiments and commands import them.

`draw_*(data, ax)` draws and computes nothing; `*_figure(data)` lays a figure out, and `build*` saves it. The data of
a figure are plain JSON values, and lie beside its PDF and PNG as NAME.json. `style` has the palette and the one mark of
an estimate; `run` draws a run, with `response` along an axis and `worlds` drawn at random; `claim` draws a claim,
`overview` all of them, and `studies` what `lab card`, `gates`, `sensitivity` and `optimise` found.
"""

from lab.figures.claim import COLUMNS, Column, claim_figure, estimates_figure, marks_by_name, name_of, name_task
from lab.figures.overview import overview_figure
from lab.figures.response import response_axis
from lab.figures.run import build
from lab.figures.studies import build_card, build_gates, build_moments, build_schedules
from lab.figures.style import GREY, PAPER, VENUES, Edition, Figure, save, style_of, subplots

__all__ = [
    "COLUMNS",
    "GREY",
    "PAPER",
    "VENUES",
    "Column",
    "Edition",
    "Figure",
    "build",
    "build_card",
    "build_gates",
    "build_moments",
    "build_schedules",
    "claim_figure",
    "estimates_figure",
    "marks_by_name",
    "name_of",
    "name_task",
    "overview_figure",
    "response_axis",
    "save",
    "style_of",
    "subplots",
]
