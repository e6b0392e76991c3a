"""What all figures share: colours, numbers and names, groups of conditions, and how they are saved."""

import contextlib
import io
import json
import math
import os
import re
import sys
from pathlib import Path

from tueplots import fontsizes

from lab.results.store import StoreError, publish
from lab.results.summary import worlds
from lab.words import printable, setting


def _matplotlib():
    """Import matplotlib, which a backend in MPLBACKEND that is not there keeps from it; figures here need none."""
    first, backend = "matplotlib" not in sys.modules, os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib.figure
        import matplotlib.ticker
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if first and backend:  # for whoever draws with pyplot beside this, in a notebook say
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    return matplotlib


matplotlib = _matplotlib()
Figure = matplotlib.figure.Figure  # draws into files, with no backend
# Okabe and Ito's colour-blind-safe palette; every regimen has a marker as its second cue
GREY = "#5a5a5a"


STYLES = {  # the first of these that a word in a regimen's name begins with decides
    "anti": ("#CC79A7", "v", ":"),
    "hold": (GREY, "s", "-"),
    "early": ("#0072B2", "o", "-"),
    "late": ("#E69F00", "^", "--"),
    "throughout": ("#009E73", "D", "-."),
}


OTHERS = [("#D55E00", "X", "-"), ("#56B4E9", "P", "--"), ("#000000", "*", ":")]


def subplots(rows: int = 1, columns: int = 1, figsize: tuple | None = None, **options) -> tuple:
    """Return a figure and its axes, as pyplot does, which would ask the environment how to show them."""
    figure = Figure(figsize=figsize)
    return figure, figure.subplots(rows, columns, **options)


def kind_of(regimen: str) -> str | None:
    """Return the key in `STYLES` that a word of a regimen's name begins with, or None: "related" is not late."""
    return next((kind for kind in STYLES if re.search(rf"(?:^|[_-]){kind}", regimen.lower())), None)


def style_of(regimen, position=0):
    """Return the (colour, marker, line) that a regimen has in every figure.

    Args:
        regimen: its name.
        position: among those of the figure that are of no kind; no two of the first nine look alike.
    """
    if kind := kind_of(regimen):
        return STYLES[kind]
    colour, _, _ = OTHERS[position % len(OTHERS)]
    _, marker, line = OTHERS[(position + position // len(OTHERS)) % len(OTHERS)]
    return colour, marker, line


def number(value):
    """Turn a JSON number back into a float."""
    return math.nan if value is None else float(value)


def label(text):
    """Turn a name of the config into words, safe from matplotlib's mathematics, and of letters that can be drawn."""
    return printable(text).replace("_", " ").replace("$", r"\$")


def grouped(conditions):
    """Group conditions by the coordinates that all regimens share."""
    groups = worlds([(condition["regimen"], condition["coordinates"]) for condition in conditions])
    return {world: [conditions[index] for index in members] for world, members in groups.items()}


def world_text(ax, world, above=4):
    """Write a world, pairs of an axis and a value, in bold over a panel, `above` points up."""
    text = ", ".join(f"{label(axis)} = {setting(value)}" for axis, value in world)
    place = {"xytext": (0, above), "xycoords": "axes fraction", "textcoords": "offset points"}
    ax.annotate(text, (0, 1), **place, fontweight="bold", fontsize="small", va="bottom")


def save(draw, data, folder, name):
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
    settings = {
        **{key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")},
        **fontsizes.neurips2024(),
        "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib; other fonts are those of a machine
        "pdf.fonttype": 42,
        "hatch.linewidth": 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.labelsize": "small",
        "figure.constrained_layout.use": True,
        "savefig.dpi": 220,
    }
    with matplotlib.rc_context(settings):
        figure = draw(data)
        if data.get("partial"):
            text = label(f"NOT COMPLETE: {data['partial']}")
            figure.supxlabel(text, color="#b8420f", weight="bold", fontsize="medium")
        metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
        pictures = {ending: io.BytesIO() for ending in metadata}
        for ending, picture in pictures.items():
            figure.savefig(picture, format=ending, metadata=metadata[ending])
    files = {ending: picture.getvalue() for ending, picture in pictures.items()}
    files["json"] = (json.dumps(data, indent=1) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror}") from None
    for ending, content in files.items():
        publish(folder / f"{name}.{ending}", content)
    return folder / f"{name}.png"
