from .claim import COLUMNS, Column, claim_figure, estimates_figure, marks_by_name, name_of, name_task
from .overview import overview_figure
from .palette import GREY, style_of
from .response import response_axis
from .run import build
from .studies import build_card, build_gates, build_moments, build_schedules
from .style import PAPER, VENUES, Edition, Figure, save, subplots

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
