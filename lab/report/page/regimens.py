"""What a run was about: its task in words, and each regimen as a drawing of its weights through training."""

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup, escape

import lab
from lab.config.schema import Schedule
from lab.report.page.charts import styles
from lab.report.page.names import words
from lab.results.summary import Summary
from lab.words import Json, percent, plural, setting

WIDTH, HEIGHT = 132, 36  # of a drawing
MARGIN = 3
MOST_DRAWN = 40  # schedules of one regimen


def task_words(config: Json) -> list[Markup]:
    """Return what a task is about, a paragraph each, without importing it: tasks import JAX.

    Args:
        config: of the run, as its manifest has it.
    """
    named = config["task"]
    if "file" in named:
        return [escape(f"The task is {named['name']} of {named['file']}, which is no part of the lab.")]
    path = Path(str(lab.__file__)).parent / "tasks" / f"{named['name']}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else None
    paragraphs = [paragraph for paragraph in (text or "").split("\n\n") if not paragraph.startswith("    ")]
    return [Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(paragraph)))) for paragraph in paragraphs]


def regimen_rows(rows: Sequence[Summary]) -> list[Json]:
    """Return what each regimen does, as text by name; of a regimen whose schedule nobody knows there is nothing.

    Args:
        rows: of all conditions.
    """
    schedules: dict[str, list[Schedule]] = {}
    for row in rows:
        if row.schedule is not None:
            schedules.setdefault(row.regimen, []).append(row.schedule)
    colours = styles(list(schedules))
    return [
        {
            "name": words(regimen),
            "words": _words(known),
            "drawing": drawing(known, colours[regimen]["colour"], f"{words(regimen)}: {_words(known)}"),
        }
        for regimen, known in schedules.items()
    ]


def _words(schedules: Sequence[Schedule]) -> str:
    """Say what regimens of one name train on, and when."""
    terms = list(dict.fromkeys(term for schedule in schedules for term in schedule))
    if not terms:
        return "nothing but the main objective"
    return "; ".join(
        _term_words(term, [schedule[term] for schedule in schedules if term in schedule]) for term in terms
    )


def _term_words(term: str, courses: Sequence[Sequence[tuple[float, float]]]) -> str:
    """Say which weights a loss term has, and when."""
    stretches = [stretch for course in courses for stretch in _stretches(course)]
    if len(courses) == 1:
        return f"{words(term)} with " + ", then ".join(
            f"weight {setting(weight)} {_when((start, start), (end, end))}" for start, end, weight in stretches
        )
    starts, ends, weights = zip(*stretches, strict=True)
    return (
        f"{words(term)} with {plural('weight', len(set(weights)))} {_span(weights, setting)} "
        f"{_when((min(starts), max(starts)), (min(ends), max(ends)))}"
    )


def _stretches(course: Sequence[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Return (start, end, weight) of the stretches of training in which a term has a weight."""
    starts = [0.0, *(end for end, _ in course)]
    return [(start, end, weight) for start, (end, weight) in zip(starts, course, strict=False) if weight]


def _when(starts: tuple[float, float], ends: tuple[float, float]) -> str:
    """Say when in training something happens that begins and ends in some span each."""
    if starts == (0, 0) and ends == (1, 1):
        return "throughout"
    return f"from {_span(starts, percent)} to {_span(ends, percent)} of training"


def _span(values: Sequence[float], text: Callable[[float], str]) -> str:
    """Return the least and the largest of some values as text."""
    low, high = min(values), max(values)
    return text(low) if low == high else f"{text(low)}...{text(high)}"


def drawing(schedules: Sequence[Schedule], colour: str, label: str) -> Markup:
    """Return a small SVG of weights over training, those of one regimen over each other.

    Args:
        schedules: of conditions of one regimen.
        colour: of its lines.
        label: what a reader who does not see it is told.
    """
    courses = [course for schedule in schedules[:MOST_DRAWN] for course in schedule.values()]
    most = max((abs(weight) for course in courses for _, weight in course), default=0) or 1
    against = any(weight < 0 for course in courses for _, weight in course)
    zero = HEIGHT / 2 if against else HEIGHT - MARGIN
    room = zero - MARGIN
    faint = 1 if len(courses) <= 2 else max(0.15, 2 / len(courses))
    lines = "".join(
        f'<path d="{_path(course, zero, room / most)}" fill="{colour}" fill-opacity="{0.3 * faint:.2g}" '
        f'stroke="{colour}" stroke-opacity="{max(0.4, faint):.2g}"/>'
        for course in courses
    )
    return Markup(
        f'<svg class="schedule" role="img" aria-label="{escape(label)}" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}"><path d="M0 {zero:g}H{WIDTH}" stroke="currentColor" stroke-opacity=".6"/>'
        f"{lines}</svg>"
    )


def _path(course: Sequence[tuple[float, float]], zero: float, scale: float) -> str:
    """Return the outline of a course of weights as SVG has it."""
    steps = "".join(f"V{zero - scale * weight:.4g}H{WIDTH * end:.4g}" for end, weight in course)
    return f"M0 {zero:g}{steps}V{zero:g}"
