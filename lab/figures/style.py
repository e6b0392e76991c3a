"""What all figures share: colours, the mark of an estimate, names as text, and how figures are saved.

A figure is made for a venue: as wide as its text, with its sizes of letters. `save` sees to what no figure may miss:
the title that says what was found, no letter below `SMALLEST` points, no text paler than `CONTRAST` to 1 on white.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tueplots import figsizes, fontsizes

from lab.config.schema import Schedule
from lab.figures.palette import ALARM, GREY, INK, WHITE, style_of
from lab.results.store import StoreError, publish
from lab.results.summary import worlds
from lab.statistics import Estimate
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, World, percent, printable, setting


@contextlib.contextmanager
def _without_backend() -> Iterator[None]:
    """Let matplotlib be imported whatever MPLBACKEND says: a backend that is not there would end the import.

    Figures need no backend here. It is set for whoever draws with pyplot beside this, in a notebook say.
    """
    first, backend = "matplotlib" not in sys.modules, os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if first and backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


with _without_backend():
    import matplotlib
    import matplotlib.axes
    import matplotlib.colors
    import matplotlib.figure
    import matplotlib.font_manager
    import matplotlib.lines
    import matplotlib.offsetbox
    import matplotlib.patches
    import matplotlib.text
    import matplotlib.textpath
    import matplotlib.ticker

Axes = matplotlib.axes.Axes
Figure = matplotlib.figure.Figure  # draws into files, with no backend
Line = matplotlib.lines.Line2D
Patch = matplotlib.patches.Rectangle
WIDTH: float = figsizes.neurips2024()["figure.figsize"][0]  # inches, for which figures are laid out


class Venue(NamedTuple):
    """Where a figure is to stand.

    Attributes:
        width: of its text, in inches.
        letters: the sizes of its letters, as settings of matplotlib.
    """

    width: float
    letters: dict[Any, Any]


VENUES = {
    "neurips": Venue(WIDTH, fontsizes.neurips2024()),
    "icml": Venue(figsizes.icml2024_full()["figure.figsize"][0], fontsizes.icml2024()),
    "iclr": Venue(figsizes.iclr2024()["figure.figsize"][0], fontsizes.iclr2024()),
    "slides": Venue(figsizes.beamer_169(rel_width=1.0)["figure.figsize"][0], fontsizes.beamer()),
}


class Edition(NamedTuple):
    """What files a figure is saved as.

    Attributes:
        venue: one of `VENUES`.
        form: of the picture: "png", "pdf" or "svg"; a PNG and a PDF by default.
    """

    venue: str = "neurips"
    form: str | None = None


PAPER = Edition()

CONTRAST = 4.5  # of text against white, at least: what WCAG 2.2 asks for small letters
SMALLEST = 6.0  # points of a letter


def linear(colour: str) -> np.ndarray:
    """Return red, green and blue of a colour as shares of the light of white, as sRGB (IEC 61966-2-1) has them."""
    shares = np.array(matplotlib.colors.to_rgb(colour))
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2): 0 of black, 1 of white."""
    return float(linear(colour) @ (0.2126, 0.7152, 0.0722))


def ink(colour: str) -> str:
    """Return a colour, darkened where it takes that for text on white to be read: `CONTRAST` to 1 (WCAG 2.2)."""
    most = (1.05 / CONTRAST - 0.05) * 0.98  # that of the palest text; a little less, because colours are rounded
    share = most / luminance(colour) if luminance(colour) > most else 1.0
    light = linear(colour) * share
    shares = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return matplotlib.colors.to_hex(tuple(shares.tolist())) if share < 1 else colour


# --- the mark of an estimate --------------------------------------------------------------------------------------


class Mark(NamedTuple):
    """How an estimate is drawn.

    Attributes:
        colour: of the line, its heads and the point.
        marker: shape of the point.
        size: of the point and the heads, in points.
        width: of the line, in points.
    """

    colour: str
    marker: str = "o"
    size: float = 3.5
    width: float = 1.2


def mark_of(regimen: str, position: int = 0) -> Mark:
    """Return how estimates of a regimen are drawn in every figure."""
    style = style_of(regimen, position)
    return Mark(style.colour, style.marker)


EVERYWHERE = (-np.inf, np.inf)
DOTS = (0, (1, 2))  # a point drawn, two left out
FURTHER = 0.4  # opacity of the weights of further terms
SCHEDULE, SCHEDULE_GAP = (20.0, 7.0), 4.0  # width and height of the drawing of a schedule; what is beside it; in points


def interval(
    ax: Axes,
    place: float,
    estimate: Estimate,
    mark: Mark,
    edges: tuple[float, float] = EVERYWHERE,
    hollow: bool = False,
    upright: bool = False,
) -> None:
    """Draw an estimate with its interval: the one mark that all figures have for it.

    A line goes from limit to limit. Where it leaves the axis it ends in an arrow head, and it is dotted where it leaves
    the axis on both sides. The point is left away where it is not on the axis.

    Args:
        ax: where to draw.
        place: on the other axis.
        estimate: what to draw.
        mark: its colour, shape and sizes.
        edges: of the axis.
        hollow: whether the point is hollow, as it is where the interval holds "no difference".
        upright: along the vertical axis instead of the horizontal one.
    """

    def plot(values: list[float], **options: Any) -> None:
        places = [place] * len(values)
        ax.plot(*((places, values) if upright else (values, places)), color=mark.colour, **options)

    bottom, top = edges
    beyond = estimate.low < bottom, estimate.high > top
    ends = np.clip([estimate.low, estimate.high], bottom, top).tolist()
    plot(ends, linewidth=mark.width, linestyle=DOTS if all(beyond) else "-")
    point = {"linestyle": "none", "markersize": mark.size}
    for end, head, leaves in zip(ends, "v^" if upright else "<>", beyond, strict=True):
        if leaves and not all(beyond):
            plot([end], marker=head, clip_on=False, **point)
    if bottom <= estimate.value <= top and np.isfinite(estimate.value):
        face = WHITE if hollow else mark.colour
        plot([float(estimate.value)], marker=mark.marker, markerfacecolor=face, **point)


def holds(estimate: Estimate, value: float) -> bool:
    """Return whether a value lies in the interval of an estimate."""
    return estimate.low <= value <= estimate.high


# --- text and axes ------------------------------------------------------------------------------------------------


def subplots(rows: int = 1, columns: int = 1, figsize: tuple[float, float] | None = None, **options: Any) -> tuple:
    """Return a figure and its axes, as pyplot does, which would ask the environment how to show them."""
    figure = Figure(figsize=figsize)
    return figure, figure.subplots(rows, columns, **options)


def grid(count: int, height: float, columns: int = 3, **options: Any) -> tuple[Figure, list[Axes], list[Axes]]:
    """Return a figure with a panel for each of so many things, row by row, and the panels that are left over, blank.

    Args:
        count: of things.
        height: of a row, in inches.
        columns: of panels.
        options: of `subplots`.
    """
    rows = -(-count // columns)
    figure, axes = subplots(rows, columns, figsize=(WIDTH, height * rows), squeeze=False, **options)
    panels, blank = list(axes.flat[:count]), list(axes.flat[count:])
    for ax in blank:
        ax.set_axis_off()
    for ax in panels[-columns:]:
        ax.tick_params(labelbottom=True)  # below some of them the grid is blank
    return figure, panels, blank


def label(text: str) -> str:
    """Turn a name of the config into words, safe from matplotlib's mathematics, and of letters that can be drawn."""
    return printable(text).replace("_", " ").replace("$", r"\$")


def coordinate(axis: str, value: float) -> str:
    """Return a place on an axis of the sweep as text."""
    return f"{label(axis)} {setting(value)}"


def group_by_world(conditions: Sequence[Json]) -> dict[World, list[Json]]:
    """Return the conditions of each world: those with the same coordinates on the axes that all regimens share."""
    groups = worlds([(condition["regimen"], condition["coordinates"]) for condition in conditions])
    return {world: [conditions[index] for index in members] for world, members in groups.items()}


def write_world(ax: Axes, world: World, above: float = 4) -> None:
    """Write a world in bold over a panel, so many points above it."""
    text = ", ".join(coordinate(axis, value) for axis, value in world)
    above_panel = {"xytext": (0, above), "xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(text, (0, 1), **above_panel, fontweight="bold", fontsize="small", va="bottom")


def schedule_box(schedule: Schedule, colour: str = INK) -> matplotlib.offsetbox.DrawingArea:
    """Return a small drawing of the weights of a regimen over training, as high as its largest weight.

    Args:
        schedule: loss term -> (share of training where it ends, weight) of each stretch.
        colour: of the regimen.
    """
    width, height = SCHEDULE
    most = max((abs(weight) for course in schedule.values() for _, weight in course), default=1.0)
    below = any(weight < 0 for course in schedule.values() for _, weight in course)
    box = matplotlib.offsetbox.DrawingArea(width, height, clip=False)
    zero = height / 2 if below else 0.0
    for order, course in reversed(list(enumerate(schedule.values()))):  # terms after the first are paler, and behind it
        start, opacity = 0.0, FURTHER if order else 1.0
        for end, weight in course:
            stretch = (start * width, zero), (end - start) * width, (height - zero) * weight / most
            box.add_artist(Patch(*stretch, color=colour, alpha=opacity, linewidth=0))
            start = end
    box.add_artist(Line([0, width], [zero, zero], color=GREY, linewidth=0.6))
    return box


def draw_schedules(ax: Axes, schedules: Sequence[Schedule | None], colours: Sequence[str]) -> None:
    """Draw the schedule of every row of a panel, where it is known, between the panel and the names of its rows.

    Args:
        ax: a panel whose rows are at 0, 1, ... and have names.
        schedules: of each row.
        colours: of each row.
    """
    if not any(schedules):
        return
    ax.tick_params(axis="y", pad=SCHEDULE[0] + 2 * SCHEDULE_GAP)
    for row, (schedule, colour) in enumerate(zip(schedules, colours, strict=True)):
        if schedule is not None:
            box = matplotlib.offsetbox.AnnotationBbox(
                schedule_box(schedule, colour), (0, row), (-SCHEDULE_GAP, 0), ax.get_yaxis_transform(),
                boxcoords="offset points", box_alignment=(1, 0.5), pad=0, frameon=False,
            )  # fmt: skip
            ax.add_artist(box)


def unable_in_words(shares: Iterable[float], what: str = "") -> str:
    """Return how many models cannot do the job, the largest of these shares; nothing where that is not shown.

    >>> unable_in_words([0.0, 0.253]), unable_in_words([0.02]), unable_in_words([0.0, 0.253], "up to ")
    ('25% cannot do the job', '', 'up to 25% cannot do the job')
    """
    most = max(shares, default=0.0)
    return f"{what}{percent(round(most, 2))} cannot do the job" if most > UNABLE_SHOWN else ""


def say_unable(ax: Axes, shares: Iterable[float]) -> None:
    """Say over the right end of a row of panels how many models cannot do the job, at most, where those are many."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "va": "bottom"}
    text = unable_in_words(shares, "up to ")
    ax.annotate(text, (1, 1), (0, 5), fontsize="x-small", color=GREY, **place).set_in_layout(False)  # wider than `ax`


def write_unable(ax: Axes, shares: Sequence[float]) -> None:
    """Write right of the rows of a panel what share of their models cannot do the job, where it is not small.

    Args:
        ax: a panel whose rows are at 0, 1, ..., the first on top.
        shares: of each row.
    """
    large = {row: share for row, share in enumerate(shares) if share > UNABLE_SHOWN}
    for row, share in large.items():
        words = f"{share:.0%}" + (" cannot\ndo the job" if row == min(large) else "")
        place = {"xytext": (3, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
        ax.annotate(words, (1, row), xycoords=ax.get_yaxis_transform(), fontsize=SMALLEST, color=GREY, **place)


def name_rows(ax: Axes, names: Sequence[str], **options: Any) -> None:
    """Name the rows of a panel, the first on top."""
    ax.set_yticks(range(len(names)), names, **options)
    ax.set_ylim(len(names) - 0.4, -0.6)


# --- files --------------------------------------------------------------------------------------------------------

# all of matplotlib's: none is left to the environment
DEFAULTS = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
FONT = "DejaVu Sans"  # comes with matplotlib; other fonts are those of a machine
SETTINGS: dict[Any, Any] = {
    "font.sans-serif": [FONT],
    "pdf.fonttype": 42,  # TrueType; venues reject matplotlib's own default
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.labelsize": "small",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 220,
    "axes.formatter.min_exponent": 5,  # of a power of ten whose exponent is written above it, too small to be read
    "svg.hashsalt": "",  # or its bytes would differ each time
}
# without dates and versions, so that the bytes depend on the data alone
METADATA = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
TITLE, SUBTITLE = (8.0, "bold"), (7.0, "normal")  # points and weight of their letters
EDGE, LEADING = 0.05, 1.3  # inches around a title; height of its lines in sizes of its letters
HINTED = 1.04  # by which letters on a screen are wider than their outlines, at most


def save(draw: Callable[[Json], Figure], data: Json, folder: Path | str, name: str, edition: Edition = PAPER) -> Path:
    """Save a figure and its data as `NAME.json`; the bytes depend on the data, the venue and matplotlib alone.

    Args:
        draw: function of the data that returns a figure, laid out for a width of `WIDTH`.
        data: plain JSON values. `title` says what was found and stands above the figure in bold, `subtitle` what was
            asked, if there are such.
        folder: where to write.
        name: of the files.
        edition: its venue, and the form of its picture.

    Returns:
        The path of the picture, of the PNG if there are two.

    Raises:
        StoreError: a file cannot be written; what was there before is still whole.
    """
    folder = Path(folder)
    forms = [edition.form] if edition.form else ["png", "pdf"]
    settings: dict[Any, Any] = {**DEFAULTS, **VENUES[edition.venue].letters, **SETTINGS}
    with matplotlib.rc_context(settings):
        figure = draw(data)
        finish(figure, data, VENUES[edition.venue].width)
        pictures = {form: io.BytesIO() for form in forms}
        for form, picture in pictures.items():
            figure.savefig(picture, format=form, metadata=METADATA[form])
    files = {ending: picture.getvalue() for ending, picture in pictures.items()}
    files["json"] = (json.dumps(data, indent=1) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror}") from None
    for ending, content in files.items():
        publish(folder / f"{name}.{ending}", content)
    return folder / f"{name}.{forms[0]}"


def finish(figure: Figure, data: Json, width: float) -> None:
    """Give a figure its width in inches and its title, and make all of its text large and dark enough."""
    figure.set_figwidth(width)
    if data.get("partial"):
        text = label(f"NOT COMPLETE: {data['partial']}")
        figure.supxlabel(text, color=ALARM, weight="bold", fontsize="medium")
    for text in figure.findobj(matplotlib.text.Text):
        text.set_fontsize(max(text.get_fontsize(), SMALLEST))
        colour = matplotlib.colors.to_hex(text.get_color())
        if luminance(colour) < 0.9:  # else white on something dark
            text.set_color(ink(colour))
    if data.get("title"):
        _write_title(figure, data["title"], data.get("subtitle", ""))


def _write_title(figure: Figure, title: str, subtitle: str) -> None:
    """Write what was found in bold at the top of a figure and what was asked below it, and make room for both."""
    width, height = figure.get_size_inches()
    lines = [
        (line, size, weight)
        for text, (size, weight) in ((title, TITLE), (subtitle, SUBTITLE))
        for line in wrapped(text, width - 2 * EDGE, size, weight)
    ]
    room = sum(LEADING * size for _, size, _ in lines) / 72 + 2 * EDGE
    top = height / (height + room)
    figure.set_figheight(height + room)
    if engine := figure.get_layout_engine():
        engine.set(rect=(0, 0, 1, top))  # pyright: ignore[reportCallIssue]
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # or legends that are moved would get no room of their own
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, 0, 1, top), figure.transFigure)
    down = EDGE
    for line, size, weight in lines:
        place = EDGE / width, 1 - down / (height + room)
        figure.text(*place, label(line), fontsize=size, fontweight=weight, va="top")
        down += LEADING * size / 72


def wrapped(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Return the lines of a text that is so many inches wide, in letters of so many points."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        lines[-1:] = [longer] if extent(longer, size, weight) <= width or not lines else [*lines[-1:], word]
    return lines


def extent(text: str, size: float, weight: str = "normal") -> float:
    """Return how many inches wide a line of text is at most, in letters of so many points."""
    letters = matplotlib.font_manager.FontProperties(family=FONT, size=size, weight=weight)
    outline = matplotlib.textpath.TextPath((0, 0), label(text), prop=letters)
    points = outline.vertices[outline.codes != outline.CLOSEPOLY, 0]  # curves of a font turn at points of theirs
    return HINTED * float(np.ptp(points)) / 72 if points.size else 0.0
