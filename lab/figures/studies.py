"""The figure of `lab card`."""

import math
import textwrap

from tueplots import figsizes

from lab.figures.style import GREY, Figure, label, number, save, style_of
from lab.words import percent, setting


def draw_onsets(curves, ax, quantity, text):
    """Draw a probability over the onset of a push, a line per world, the one with hidden tests dashed."""
    for world, curve in curves.items():
        value, low, high = ([number(point[quantity][key]) for point in curve] for key in ("value", "low", "high"))
        colour, line, marker = (GREY, "--", "s") if world == "hidden" else ("#0072B2", "-", "o")
        ax.fill_between(range(len(curve)), low, high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(value, color=colour, linestyle=line, marker=marker, markersize=3, linewidth=1)
    ax.set_xticks(range(len(curve)), [setting(100 * point["onset"]) for point in curve], fontsize="x-small")
    ax.set_ylim(-0.02, 1.05)
    ax.set_xlabel("onset of the push (% of training)", fontsize="x-small")
    ax.set_title(text, loc="left", fontsize="small")


def card_figure(data):
    """One page: where a push leads by its onset, what the test is worth by regimen, and the five answers in words."""
    width = figsizes.neurips2024()["figure.figsize"][0]
    readings = [textwrap.wrap(answer["reading"], 112) for answer in data["answers"]]
    height = 2.65 + sum(0.29 + 0.135 * len(lines) for lines in readings)  # inches, as all heights below
    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("none")
    places = ((0.07, 0.23), (0.38, 0.23), (0.84, 0.15))
    left, middle, right = (figure.add_axes((x, 1 - 2.08 / height, own, 1.35 / height)) for x, own in places)
    marks, proxy, first = data["thresholds"], data["proxy"], next(iter(data["regimens"]))
    figure.text(0.03, 1 - 0.08 / height, label(data["question"]), weight="bold", fontsize="small", va="top")
    said = (
        f"{data['seeds']:,} models per condition, {percent(data['confidence'])} intervals. A: alignment >= "
        f"{setting(marks['alignment'])}. T: {proxy} >= {setting(marks[proxy])}. A push lasts {percent(data['window'])}."
    )
    figure.text(0.03, 1 - 0.26 / height, label(said), fontsize="x-small", va="top")
    draw_onsets(data["curves"], left, "base_rate", "P(A) after a push")
    left.axhline(number(data["regimens"][first]["hold_out"]["base_rate"]["value"]), color=GREY, lw=0.8, ls=":")
    left.text(0.98, 0.9, "held out: dotted", transform=left.transAxes, ha="right", fontsize="x-small", color=GREY)
    draw_onsets(data["curves"], middle, "fakers", "P(T, not A) after a push")
    if "hidden" in data["curves"]:
        for y, said, colour in ((0.9, "tests can be recognised", "#0072B2"), (0.8, "tests hidden (dashed)", GREY)):
            middle.text(0.98, y, said, transform=middle.transAxes, ha="right", fontsize="x-small", color=colour)
    rows = [(regimen, world, own) for world, pair in data["regimens"].items() for regimen, own in pair.items()]
    for row, (regimen, _, own) in enumerate(rows):
        colour, *_ = style_of(regimen)
        for shift, quantity, face in ((-0.15, "pass_given_aligned", colour), (0.15, "pass_given_misaligned", "white")):
            value, low, high = (number(own[quantity][key]) for key in ("value", "low", "high"))
            if not math.isnan(value):  # there are such models
                right.plot([low, high], [row + shift] * 2, color=colour, linewidth=1)
                right.plot(value, row + shift, "o", color=colour, markerfacecolor=face, markersize=3.5)
    names = [label(regimen) + (", hidden" if world == "hidden" else "") for regimen, world, _ in rows]
    right.set_yticks(range(len(rows)), names, fontsize="x-small")
    right.set_ylim(len(rows) - 0.4, -0.6)
    right.set_xlim(-0.04, 1.04)
    right.set_title("P(T|A) filled,\nP(T|not A) hollow", loc="right", fontsize="small")
    down = 2.65
    for answer, lines in zip(data["answers"], readings, strict=True):
        top = 1 - down / height
        figure.text(0.06, top, answer["question"], weight="bold", fontsize="small", va="top")
        figure.text(0.99, top, answer["verdict"], weight="bold", fontsize="small", ha="right", va="top")
        figure.text(0.06, top - 0.18 / height, "\n".join(lines), fontsize="x-small", va="top", linespacing=1.2)
        down += 0.29 + 0.135 * len(lines)
    return figure


def card_caption(data):
    """Return a caption of the figure of `lab card`."""
    marks, proxy = data["thresholds"], data["proxy"]
    return (
        f"{data['question']} {data['seeds']:,} models per condition, {percent(data['confidence'])} intervals: Wilson's "
        "for rates, Newcombe's for differences, Miettinen and Nurminen's for likelihood ratios. "
        f"A: alignment >= {setting(marks['alignment'])} and competence >= {setting(marks['competence'])}; "
        f"T: {proxy} >= {setting(marks[proxy])} and competent. Left and middle: after a push of "
        f"{percent(data['window'])} of training, by its onset. Right: held out, trained on late (from 40% on) and "
        "throughout. Below: five questions."
    )


def build_card(data, folder):
    """Draw the figure of `lab card` and save it as PDF, PNG and JSON; see `save`."""
    return save(card_figure, {**data, "caption": card_caption(data)}, folder, data["name"])
