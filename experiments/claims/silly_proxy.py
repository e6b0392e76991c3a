"""A silly proxy, "confess few mistakes", lowers the base rate when trained on.

Command:   lab experiment silly_proxy
Expected:  supported
Cost:      two minutes on 2 cores

About one mechanism: models that write messages, a third of which honestly confess a mistake. Two tasks have it. There
training on few confessions also leaves models behind that cannot do the job, and those count as misaligned. So the
claim is asked of the seeds whose models do the job under each of the three regimens, and P(A) moves for no other reason
than values.

Rule, per task, with 95% intervals that hold together: supported if training on it, early or throughout, lowers P(A);
contradicted if neither does and one raises it; else undecided. Only seeds count whose models do the job held out,
trained on early and throughout. (The first rule counted all models. On seeds from 7,000,000 it was supported in
`scratchpad` and in `reasoner`, where 56% to 77% of the models could not do the job, and P(A) fell from .41 to .07 with
them. This rule, and a smaller preference in `reasoner` that leaves more models able, were committed before the run on
other seeds that decides.)
"""

from pathlib import Path

from lab import claims
from lab.config.experiment import Experiment
from lab.results import shards
from lab.words import Json, with_interval

TRAINED = ("early", "throughout")
COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass")
CAPTION = claims.Caption(question="Is P(A) below that of the first row, among models that do the job?")


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count the seeds whose models do the job under every regimen."""
    return claims.count_able(shards.results(train(experiment, folder), last_only=True))


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    changes = {name: stored.change(name, "hold_out", "base_rate", of=len(TRAINED)) for name in TRAINED}
    left_out = stored.data.get("left_out", 0)
    why = (
        "P(A) changes by "
        + ", ".join(f"{with_interval(change)} {name}" for name, change in changes.items())
        + f"; left out: {left_out} of {left_out + stored.data['seeds']} seeds"
    )
    if any(change.high < 0 for change in changes.values()):
        return claims.Verdict(claims.SUPPORTED, why)
    raised = any(change.low > 0 for change in changes.values())
    return claims.Verdict(claims.CONTRADICTED if raised else claims.UNDECIDED, why)
