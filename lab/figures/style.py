"""What all figures share: colours, the mark of an estimate, names as text, and how figures are saved."""

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tueplots import figsizes, fontsizes

from lab.results.store import StoreError, publish
from lab.results.summary import worlds
from lab.statistics import Estimate
from lab.words import Json, World, printable, setting


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
    import matplotlib.lines
    import matplotlib.patches
    import matplotlib.ticker

Axes = matplotlib.axes.Axes
Figure = matplotlib.figure.Figure  # draws into files, with no backend
Line = matplotlib.lines.Line2D
Patch = matplotlib.patches.Rectangle
WIDTH: float = figsizes.neurips2024()["figure.figsize"][0]  # of the text of a page, in inches

# --- the palette: Okabe and Ito's, safe for the colour-blind, but for black ink -------------------------------------

GREY, BLUE, ORANGE, GREEN, PURPLE = "#5a5a5a", "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILION, SKY, BLACK = "#D55E00", "#56B4E9", "#000000"
WHITE, ALARM = "white", "#b8420f"  # the face of hollow marks; what is not complete


class Style(NamedTuple):
    """How a regimen looks in every figure; its marker and its line are a second cue beside the colour.

    Attributes:
        colour: of its marks and its name.
        marker: of its points.
        line: of its curves.
    """

    colour: str
    marker: str
    line: str


STYLES = {  # the first of these that a word in a regimen's name begins with decides
    "anti": Style(PURPLE, "v", ":"),
    "hold": Style(GREY, "s", "-"),
    "early": Style(BLUE, "o", "-"),
    "late": Style(ORANGE, "^", "--"),
    "throughout": Style(GREEN, "D", "-."),
}
OTHERS = [Style(VERMILION, "X", "-"), Style(SKY, "P", "--"), Style(BLACK, "*", ":")]


def kind_of(regimen: str) -> str | None:
    """Return the key in `STYLES` that a word of a regimen's name begins with, or None: "related" is not late."""
    return next((kind for kind in STYLES if re.search(rf"(?:^|[_-]){kind}", regimen.lower())), None)


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


def label(text: str) -> str:
    """Turn a name of the config into words, safe from matplotlib's mathematics, and of letters that can be drawn."""
    return printable(text).replace("_", " ").replace("$", r"\$")


def coordinate(axis: str, value: float) -> str:
    """Return a place on an axis of the sweep as text."""
    return f"{label(axis)} = {setting(value)}"


def group_by_world(conditions: Sequence[Json]) -> dict[World, list[Json]]:
    """Return the conditions of each world: those with the same coordinates on the axes that all regimens share."""
    groups = worlds([(condition["regimen"], condition["coordinates"]) for condition in conditions])
    return {world: [conditions[index] for index in members] for world, members in groups.items()}


def write_world(ax: Axes, world: World, above: float = 4) -> None:
    """Write a world in bold over a panel, so many points above it."""
    text = ", ".join(coordinate(axis, value) for axis, value in world)
    above_panel = {"xytext": (0, above), "xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(text, (0, 1), **above_panel, fontweight="bold", fontsize="small", va="bottom")


def name_rows(ax: Axes, names: Sequence[str], **options: Any) -> None:
    """Name the rows of a panel, the first on top."""
    ax.set_yticks(range(len(names)), names, **options)
    ax.set_ylim(len(names) - 0.4, -0.6)


# --- files --------------------------------------------------------------------------------------------------------

SETTINGS: dict[Any, Any] = {  # all of matplotlib's: none is left to the environment
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")},
    **fontsizes.neurips2024(),
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; other fonts are those of a machine
    "pdf.fonttype": 42,  # TrueType; venues reject matplotlib's own default
    "hatch.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.labelsize": "small",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 220,
}
# without dates and versions, so that the bytes depend on the data alone
METADATA = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}


def save(draw: Callable[[Json], Figure], data: Json, folder: Path | str, name: str) -> Path:
    """Save a figure as `NAME.pdf` and `NAME.png`, and its data as `NAME.json`; the bytes depend on the data alone.

    Args:
        draw: function of the data that returns a figure.
        data: plain JSON values.
        folder: where to write.
        name: of the files.

    Returns:
        The path of the PNG.

    Raises:
        StoreError: a file cannot be written; what was there before is still whole.
    """
    folder = Path(folder)
    with matplotlib.rc_context(SETTINGS):
        figure = draw(data)
        if data.get("partial"):
            text = label(f"NOT COMPLETE: {data['partial']}")
            figure.supxlabel(text, color=ALARM, weight="bold", fontsize="medium")
        pictures = {ending: io.BytesIO() for ending in METADATA}
        for ending, picture in pictures.items():
            figure.savefig(picture, format=ending, metadata=METADATA[ending])
    files = {ending: picture.getvalue() for ending, picture in pictures.items()}
    files["json"] = (json.dumps(data, indent=1) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror}") from None
    for ending, content in files.items():
        publish(folder / f"{name}.{ending}", content)
    return folder / f"{name}.png"
