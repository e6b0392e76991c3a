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

from lab import claims, figures
from lab.words import Json, estimate_json

RUNS = 3  # of the rule
ALIKE = 0.05  # rise of P(A) that does not count; of the rule
BOTH, PUSH, STICKY = "push_and_sticky", "push", "sticky"
WORDS = {
    "neither": "hold out",
    PUSH: "early push",
    STICKY: "hold out, then sticky",
    BOTH: "early push, then sticky",
}


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


def plotted(stored: claims.Stored) -> list[Json]:
    """Return P(A), P(T|not A) and P(accepted is aligned) of every regimen as plain JSON values."""
    accepted = claims.aligned_share_of_accepted(RUNS)
    rows = claims.condition_rows(stored, claims.Rows(("base_rate", "pass_given_misaligned"), WORDS))
    return [row | {"accepted": estimate_json(stored.of_shares(row["name"], accepted))} for row in rows]


def draw(data: Json) -> figures.Figure:
    """P(A), P(T|not A) and P(accepted is aligned) of every regimen."""
    words = f"aligned, of those accepted within {RUNS} runs"
    accepted = figures.COLUMNS["aligned_given_pass"]._replace(
        key="accepted", head="P(accepted is aligned)", words=words
    )
    return figures.estimates_figure(
        data, [figures.COLUMNS["base_rate"], figures.COLUMNS["pass_given_misaligned"], accepted]
    )


CAPTION = claims.Caption(
    question="Are accepted models aligned more often where an early push is made sticky (last row)?"
)
