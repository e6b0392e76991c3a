"""Adding the proxy as a last phase and restarting with it from scratch are different regimens.

Command:   lab experiment restart_or_continue
Expected:  supported where values settle early
Cost:      six minutes on 2 cores

A finished training continued with the test, and the training done again with the test from the start, at a constant
learning rate. How sticky the values of finished models are is also measured directly: which of them change sides when
they are continued with the test, and when they are continued with its opposite, of the same weight: what an overseer
wants who is always wrong (`overseer_error` 1).

Rule, per task, with 95% intervals that hold together. Finished values are sticky if continuing with the test makes
fewer than a quarter of the misaligned models aligned, and continuing with its opposite makes fewer than a quarter of
the aligned ones misaligned; they are loose if one of these is more than half. Supported if P(A) after restarting is
above P(A) after continuing, the continued one raises P(T|not A), and finished values are sticky. Depends (on more than
whether values stick) if the first two are so and finished values are loose. Contradicted if P(A) after restarting is
less than .03 above P(A) after continuing for sure; else undecided.

(The first rule asked only for the first two, and called it contradicted if the two values of P(A) differed by less than
.03. On seeds from 7,000,000 it was supported in `scratchpad` and `shortcut` and contradicted in `race`. This rule was
committed before the run on other seeds that decides.)

In `digits` training on raises alignment whatever is pushed: continued with the opposite, all models end aligned too.
"""

from lab import claims, statistics
from lab.statistics import CELLS, Counts, Estimate

ALIKE = 0.03  # by how much restarting has to raise P(A) over continuing; of the rule
FEW, MANY = 1 / 4, 1 / 2  # shares of finished models that change sides; of the rule
TOGETHER = 4
COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass")
WORDS = {
    "finished": "finished, hold out",
    "continued": "continued, the test late",
    "continued_opposite": "continued, its opposite late",
    "restarted": "restarted, the test throughout",
    "restarted_opposite": "restarted, its opposite throughout",
}
CAPTION = claims.Caption(question="Does it matter whether the test comes last, or from the start of a new training?")
ALIGNED = len(CELLS) // 2  # how many of the cells are of aligned models; they come first


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows: what is finished, then what is made of it or done again."""
    return ["finished", "continued", "continued_opposite", "restarted", "restarted_opposite"]


def turned(stored: claims.Stored, continued: str, aligned: bool) -> Estimate:
    """Return the share of finished models of one side that are on the other side after going on.

    Args:
        stored: counts of the task.
        continued: name of the condition that goes on from them.
        aligned: whether the share is that of the aligned models.
    """
    joint = stored.pair("finished", continued)[2]
    own = joint[:ALIGNED] if aligned else joint[ALIGNED:]
    left, right = int(own[:, :ALIGNED].sum()), int(own[:, ALIGNED:].sum())
    changed, stayed = (right, left) if aligned else (left, right)
    return statistics.estimate(Counts(changed, stayed, 0, 0), "pass_given_aligned", stored.confidence(TOGETHER))


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    values = stored.change("restarted", "continued", "base_rate", of=TOGETHER)
    gaming = stored.change("continued", "finished", "pass_given_misaligned", of=TOGETHER)
    sides = {
        "misaligned with the test": turned(stored, "continued", aligned=False),
        "aligned with its opposite": turned(stored, "continued_opposite", aligned=True),
    }
    why = (
        f"{claims.phrase('P(A) restarted less continued', values)}; "
        f"{claims.phrase('continuing changes P(T|not A) by', gaming)}; of finished models change sides, "
        f"{claims.phrases(sides)}"
    )
    if values.high < ALIKE:
        return claims.Verdict(claims.CONTRADICTED, why)
    if not (values.low > 0 and gaming.low > 0):
        return claims.Verdict(claims.UNDECIDED, why)
    if all(side.high < FEW for side in sides.values()):
        return claims.Verdict(claims.SUPPORTED, why)
    return claims.Verdict(claims.DEPENDS if any(side.low > MANY for side in sides.values()) else claims.UNDECIDED, why)
