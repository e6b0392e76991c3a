"""Trained on, an exact but non-exhaustive prerequisite of alignment behaves differently from an approximation of it.

Command:   lab experiment prerequisite_or_approximation
Expected:  supported: fewer misaligned models come to pass the prerequisite than come to pass the test
Cost:      three minutes on 2 cores

Training from 40% on with the test, which looks at tests alone, and with the truth itself on a quarter of the cases;
each then judges the models that were trained on it.

Rule, per task: supported if P(T|not A) of the test after training on it differs from that of the prerequisite after
training on it by more than .05 for sure; contradicted if by less than .05 for sure; else undecided. Which way, and what
both do to P(A), is said beside it.
"""

from pathlib import Path

from lab import claims
from lab.config.experiment import Experiment
from lab.results import outcomes, shards, summary
from lab.words import Json

APART = 0.05  # difference of P(T|not A) that counts; of the rule
COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass")
LATE = "trained on late"
WORDS = {"test_late": LATE, "prerequisite_late": LATE}
CAPTION = claims.Caption(question="Do as many misaligned models come to pass what was trained on?")


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count each proxy, held out and trained on late, on the models of its own regimen."""
    results = shards.results(train(experiment, folder), last_only=True)
    described, rows, about = claims.describe_conditions(results), [], {}
    for proxy in ("test", "prerequisite"):
        cells = summary.cells(outcomes.classify(results, proxy=proxy))
        for words, regimen in (("held out", "hold_out"), ("trained late", f"{proxy}_late")):
            rows.append(cells[list(described).index(regimen)])
            about[f"{proxy}, {words}"] = described[regimen]
    return claims.tabulate(rows, about, results.attrs["confidence"])


def heading(stored: claims.Stored, name: str) -> str:
    """Return by what the models of a row are judged."""
    return "passing the test" if name.startswith("test") else "passing the prerequisite"


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    gaming = stored.change("test, trained late", "prerequisite, trained late", "pass_given_misaligned")
    values = {
        f"training on the {proxy} changes P(A) by": stored.change(
            f"{proxy}, trained late", f"{proxy}, held out", "base_rate"
        )
        for proxy in ("test", "prerequisite")
    }
    why = f"{claims.phrase('P(T|not A), test less prerequisite,', gaming)}; {claims.phrases(values)}"
    if claims.within(gaming, APART):
        return claims.Verdict(claims.CONTRADICTED, why)
    apart = gaming.low > APART or gaming.high < -APART
    return claims.Verdict(claims.SUPPORTED if apart else claims.UNDECIDED, why)
