"""Making values sticky after an early push pays more than either alone, if the main objective tempts later.

Command:   lab experiment sticky_values
Expected:  depends: where values are sticky by themselves, only the test is saved; what is wrong becomes sticky too
Cost:      five minutes on 2 cores

From 40% of training on, something like the test hides in the main objective, and that objective turns against the
intended solution (not in `race`, where its preference ends with the job). Four regimens meet this: with an early push
on the test or without, and with sticky values from there on or without. The mechanism is a learning rate 0.03 times as
large, of the parts that carry values: sender, router or decoder. In `race`, `digits` and `gridworld` that is the whole
model, which then learns less of everything.

Rule, per task, with 95% intervals that hold together. What counts is P(accepted is aligned) within three runs, because
o(A|T) is infinite wherever no misaligned model passes. Supported if push and stickiness together raise it over the push
alone and over stickiness alone, and P(A) is above that of the push alone. Depends (on what is to be saved) if both
gains are above 0 and P(A) is at most .05 above that of the push alone for sure, for then only the test is saved, which
a locked part cannot learn to game. Contradicted if a gain is below 0; else undecided.

(In `digits` the objective turned further at first, and no model was left aligned in any regimen. The setting was
changed there, not the rule, and other seeds decide.)
"""

from lab import claims
from lab.figures import name_task
from lab.figures.style import (
    BLUE,
    INK,
    SKY,
    VERMILION,
    WIDTH,
    Figure,
    Mark,
    interval,
    name_rows,
    subplots,
    write_unable,
)
from lab.words import Json, estimate_from_json, estimate_json

RUNS = 3  # of the rule
ALIKE = 0.05  # rise of P(A) that does not count; of the rule
BOTH, PUSH, STICKY = "push_and_sticky", "push", "sticky"


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    accepted = claims.aligned_share_of_accepted(RUNS)
    gains = {
        words: stored.difference(BOTH, accepted, other, accepted, of=3)
        for words, other in (("over the push alone", PUSH), ("over stickiness alone", STICKY))
    }
    values = stored.change(BOTH, PUSH, "base_rate", of=3)
    gaming = {name: stored.rate(name, "pass_given_misaligned") for name in (BOTH, PUSH, STICKY)}
    why = (
        f"P(accepted is aligned) of both gains {claims.phrases(gains)}; "
        f"{claims.phrase('P(A) changes by', values)} over the push alone; P(T|not A) {claims.phrases(gaming)}"
    )
    if any(gain.high < 0 for gain in gains.values()):
        return claims.Verdict(claims.CONTRADICTED, why)
    if not all(gain.low > 0 for gain in gains.values()):
        return claims.Verdict(claims.UNDECIDED, why)
    if values.low > 0:
        return claims.Verdict(claims.SUPPORTED, why)
    return claims.Verdict(claims.DEPENDS if values.high < ALIKE else claims.UNDECIDED, why)


ROWS = {  # regimens from top to bottom: their words and marks
    "neither": ("neither", Mark(INK, "s")),
    PUSH: ("early push", Mark(BLUE, "o")),
    STICKY: ("sticky values", Mark(SKY, "P")),
    BOTH: ("both", Mark(VERMILION, "X")),
}
COLUMNS = {
    "accepted": f"P(accepted is aligned)\nwithin {RUNS} runs",
    "base_rate": "aligned, P(A)",
    "pass_given_misaligned": "misaligned that pass,\nP(T|not A)",
}


def plotted(stored: claims.Stored) -> list[Json]:
    """Return the rates of every regimen, and what three runs with it give, as plain JSON values."""
    accepted = claims.aligned_share_of_accepted(RUNS)
    rates = ("base_rate", "pass_given_misaligned")
    return [
        {
            "regimen": name,
            "accepted": estimate_json(stored.of_shares(name, accepted)),
            **{quantity: estimate_json(stored.rate(name, quantity)) for quantity in rates},
            "unable": stored.unable(name),
        }
        for name in ROWS
    ]


def draw(data: Json) -> Figure:
    """A row per task, a column per rate, a line per regimen."""
    tasks = data["tasks"]
    size = (WIDTH, 0.5 + 0.95 * len(tasks))
    figure, axes = subplots(len(tasks), len(COLUMNS), figsize=size, squeeze=False, sharex=True, sharey=True)
    for panels, (task, counts) in zip(axes, tasks.items(), strict=True):
        for height, row in enumerate(counts["plotted"]):
            _, mark = ROWS[row["regimen"]]
            for ax, quantity in zip(panels, COLUMNS, strict=True):
                interval(ax, height, estimate_from_json(row[quantity]), mark, (0.0, 1.0))
        write_unable(panels[-1], [row["unable"] for row in counts["plotted"]])
        name_task(panels[0], task, counts)
    name_rows(axes[0][0], [words for words, _ in ROWS.values()], fontsize="x-small")
    axes[0][0].set(xlim=(-0.03, 1.03), xticks=[0, 0.5, 1])
    for ax, words in zip(axes[-1], COLUMNS.values(), strict=True):
        ax.set_xlabel(words)
    return figure


CAPTION = claims.Caption(
    question="Do accepted models gain most from both an early push and values that are sticky after it? Then the "
    "lowest mark in the left column lies furthest right.",
    marks="Models that cannot do the job count as misaligned and failing",
)
