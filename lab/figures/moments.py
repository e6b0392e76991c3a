"""The figure of `lab sensitivity`."""

import math

from tueplots import figsizes

from lab.figures.style import GREY, label, matplotlib, number, save, subplots
from lab.words import percent, setting

MOMENTS = {
    "base_rate": "P(A)",
    "pass_given_misaligned": "P(T|not A)",
    "posterior_odds": "ln o(A|T)",
    "alignment": "alignment",
    "proxy": "score of the proxy",
}
WAYS = {
    "counted": "central differences of counted outcomes",
    "evolution": "evolution strategies",
    "pathwise": "slopes of mean scores through training",
    "surrogate": "slopes of a margin at the end of each segment",
}


def draw_moments(own, ax, quantity):
    """Draw what a unit of weight does to a quantity if held for 1% of training, at every moment of it.

    Lines with bands: the derivative in each segment. Hollow, where there is one: the same from a whole push there.
    """
    edges, values, lows, highs, reach = [], [], [], [], []
    for moment in own["moments"]:
        per = 100 * (moment["end"] - moment["start"])
        value, low, high = (number(moment["derivative"][quantity][key]) / per for key in ("value", "low", "high"))
        edges += [moment["start"], moment["end"]]
        values += [value] * 2
        lows += [low] * 2
        highs += [high] * 2
        reach += [x for x in (value, low, high) if math.isfinite(x)]
        if moment["pushed"]:
            middle = (moment["start"] + moment["end"]) / 2
            pushed = [number(moment["pushed"][quantity][key]) / per for key in ("value", "low", "high")]
            ax.plot([middle] * 2, pushed[1:], color=GREY, linewidth=0.6)
            ax.plot(middle, pushed[0], "o", color=GREY, markerfacecolor="white", markersize=3, zorder=3)
            reach += [x for x in pushed if math.isfinite(x)]
    if not any(map(math.isfinite, values)):
        ax.text(0.5, 0.5, "undefined: empty cells", transform=ax.transAxes, ha="center", va="center", color=GREY)
        ax.set_yticks([])
        return
    ax.plot(edges, values, color="#0072B2", linewidth=1.2)
    top, bottom = max([0.0, *reach]), min([0.0, *reach])
    room = 0.06 * (top - bottom) or 1.0
    ax.fill_between(edges, *([min(max(x, bottom - room), top + room) for x in own] for own in (lows, highs)),
                    color="#0072B2", alpha=0.25, linewidth=0)  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(0, 1)
    ax.set_ylim(bottom - room, top + room)


def moments_figure(data):
    """Show what the weight of each term does at every moment of training: a row per term, a column per quantity."""
    width = figsizes.neurips2024()["figure.figsize"][0]
    terms = data["terms"]
    shown = {name: text for name, text in MOMENTS.items() if name in data["quantities"]}
    figure, axes = subplots(
        len(terms), len(shown), figsize=(width * 1.25, 0.5 + 1.35 * len(terms)), squeeze=False, sharex=True
    )
    for row, (term, own) in zip(axes, terms.items(), strict=True):
        for ax, (quantity, text) in zip(row, shown.items(), strict=True):
            draw_moments(own, ax, quantity)
            ax.set_title(f"{text}, weight of {label(term)}", fontsize="small")
        row[0].set_ylabel("change per unit of\nweight and 1%")
    for ax in axes[-1]:
        ax.set_xlabel("share of training")
    derivative = matplotlib.lines.Line2D([], [], color="#0072B2", linewidth=1.2)
    pushed = matplotlib.lines.Line2D(
        [], [], color=GREY, marker="o", markerfacecolor="white", markersize=3, linewidth=0.6
    )
    sizes = {(own["step"], own["push"]) for own in terms.values()}
    step, push = next(iter(sizes)) if len(sizes) == 1 else ("", "")
    of, plus = (f" of {setting(push)}", f" of {setting(step)} up and down") if len(sizes) == 1 else ("", "")
    figure.text(0.01, 0.99, f"{label(data['condition'])}, {data['seeds']:,} seeds", va="top", fontsize="small")
    if data["estimator"] != "counted":
        figure.legend([derivative], [WAYS[data["estimator"]]], loc="outside upper right", frameon=False)
        return figure
    texts = [f"derivative: a small step{plus}", f"a whole push{of}, per unit of weight"]
    figure.legend([derivative, pushed], texts, ncols=2, loc="outside upper right", frameon=False)
    return figure


def moments_caption(data):
    """Return a caption of the figure of `lab sensitivity`."""
    sizes = ", ".join(
        f"{setting(own['step'])} and {setting(own['push'])} ({term})" for term, own in data["terms"].items()
    )
    return (
        f"{data['question']} Change per unit of weight held for 1% of training, by when. Blue: "
        f"{WAYS[data['estimator']]} on {data['seeds']:,} seeds, {percent(data['confidence'])} intervals; hollow: "
        f"a push. Steps and pushes: {sizes}."
    )


def build_moments(data, folder):
    """Draw the figure of `lab sensitivity` and save it as PDF, PNG and JSON; see `save`."""
    return save(moments_figure, {**data, "caption": moments_caption(data)}, folder, data["name"])
