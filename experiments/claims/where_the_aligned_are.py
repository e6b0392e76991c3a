"""Where the loss is indifferent, it matters whether the proxy prefers nearby aligned models or nearby passing ones.

Command:   lab experiment where_the_aligned_are
Expected:  supported
Cost:      about two minutes on 2 cores

The main objective indifferent; a push on the test in the second half of training. Where tests cannot be told from
deployment, the nearest models that pass are aligned; where they can, misaligned ones that pass are nearer.

Rule, per task: supported if the push raises P(A) more where tests are invisible, and P(T|not A) more where they are
visible, each with 95% intervals (together) that do not overlap; contradicted if one of these is the other way round;
else undecided. Distances in weight space are not measured here: what is near is what the push reaches.

On seeds from 7,000,000 two tasks were undecided. In `race`, pushed with a weight of .1, P(A) rose by .048 where tests
are invisible and by .046 where they are visible; it would take half a million seeds to tell these apart. The weight is
.3 now. In `reasoner` 256 seeds left too few misaligned models to tell; they are 768 now. Both were committed before the
run on other seeds that decides.
"""

from lab import claims
from lab.statistics import Estimate

COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass")
CAPTION = claims.Caption(
    question="Does a late push raise P(A), or P(T|not A)? Compare invisible tests with visible ones."
)


def heading(stored: claims.Stored, name: str) -> str:
    """Return whether tests can be told from deployment where a condition was trained."""
    return "tests are visible" if stored.coordinates(name)["detectability"] else "tests are invisible"


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    changes = []
    for detectability in stored.values("detectability"):
        late, held_out = (stored.at(name, detectability=detectability) for name in ("late", "hold_out"))
        quantities = ("base_rate", "pass_given_misaligned")
        changes.append([stored.change(late, held_out, quantity, of=4) for quantity in quantities])
    hidden, visible = changes
    why = "; ".join(
        f"{what}: {claims.phrase('P(A) changes by', values)}, {claims.phrase('P(T|not A) by', gaming)}"
        for what, (values, gaming) in zip(("invisible tests", "visible ones"), changes, strict=True)
    )
    if _is_above(hidden[0], visible[0]) and _is_above(visible[1], hidden[1]):
        return claims.Verdict(claims.SUPPORTED, why)
    reverse = _is_above(visible[0], hidden[0]) or _is_above(hidden[1], visible[1])
    return claims.Verdict(claims.CONTRADICTED if reverse else claims.UNDECIDED, why)


def _is_above(larger: Estimate, smaller: Estimate) -> bool:
    """Return whether the intervals do not overlap, in this order."""
    return larger.low > smaller.high
