"""What all figures share: colours, numbers and names, groups of conditions, and how they are saved."""

import json
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from tueplots import fontsizes

from lab.statistics import worlds

# Okabe and Ito's colour-blind-safe palette; every regimen has a marker as its second cue
GREY = "#5a5a5a"


STYLES = {  # the first word in a regimen's name decides
    "anti": ("#CC79A7", "v", ":"),
    "hold": (GREY, "s", "-"),
    "early": ("#0072B2", "o", "-"),
    "late": ("#E69F00", "^", "--"),
    "throughout": ("#009E73", "D", "-."),
}


OTHERS = [("#D55E00", "o", "-"), ("#56B4E9", "P", "--"), ("#000000", "X", ":")]


def style_of(regimen, position=0):
    """Return the (colour, marker, line) that a regimen has in every figure."""
    for word, style in STYLES.items():
        if word in regimen.lower():
            return style
    return OTHERS[position % len(OTHERS)]


def number(value):
    """Turn a JSON number back into a float."""
    return math.nan if value is None else float(value)


def label(text):
    """Turn a name of the config into words, safe from matplotlib's mathematics."""
    return text.replace("_", " ").replace("$", r"\$")


def grouped(conditions):
    """Group conditions by the coordinates that all regimens share."""
    groups = worlds([(condition["regimen"], condition["coordinates"]) for condition in conditions])
    return {world: [conditions[index] for index in members] for world, members in groups.items()}


def world_text(ax, world, above=4):
    """Write a world, pairs of an axis and a value, in bold over a panel, `above` points up."""
    text = ", ".join(f"{label(axis)} = {value:g}" for axis, value in world)
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
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        **matplotlib.rcParamsDefault,
        **fontsizes.neurips2024(),
        "backend": "agg",
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
            figure.supxlabel(f"NOT COMPLETE: {data['partial']}", color="#b8420f", weight="bold", fontsize="medium")
        path = folder / f"{name}.png"
        figure.savefig(path, metadata={"Software": None})
        metadata = {"CreationDate": None, "Creator": None, "Producer": None}
        figure.savefig(path.with_suffix(".pdf"), metadata=metadata)
        plt.close(figure)
    path.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
    return path
