"""What looks like a critical period is one: of pushes of equal length the first moves values most.

Command:   lab experiment equal_windows
Expected:  supported in scratchpad and reasoner; contradicted in digits, where nothing was planted; elsewhere the
           falling learning rate may be what makes late pushes weak or lasting
Cost:      ten minutes on 2 cores

The same push on the test for a tenth of training, beginning at 0, 10, 20, 40, 60 or 90% of it, under a learning rate
that falls to a twentieth along a cosine and under one that stays what it was at the first step.

Rule, per task, with 95% intervals that hold together over the ten comparisons of the first window with a later one:
under a schedule the first window is best if P(A) is higher after it than after each later one, and beaten if P(A) is
lower after it than after some later one. Supported if it is best under both schedules, contradicted if it is beaten
under both, depends (on the schedule of the learning rate) if it is best under one and beaten under the other; else
undecided.
"""

from lab import claims
from lab.words import number

SCHEDULES = ("falling", "constant")  # in the order of the learning rate at the last step


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    onsets = stored.values("onset")
    comparisons = len(SCHEDULES) * (len(onsets) - 1)
    verdicts, why = [], []
    for schedule, final in zip(SCHEDULES, stored.values("final"), strict=True):
        names = [stored.at("push", onset=onset, final=final) for onset in onsets]
        leads = [stored.change(names[0], name, "base_rate", comparisons) for name in names[1:]]
        best, beaten = all(lead.low > 0 for lead in leads), any(lead.high < 0 for lead in leads)
        verdicts.append("best" if best else "beaten" if beaten else "open")
        held_out = stored.at("hold_out", final=final)
        rates = [number(stored.rate(name, "base_rate").value) for name in (held_out, *names)]
        why.append(f"{schedule} learning rate: P(A) {rates[0]} held out and {', '.join(rates[1:])} by onset")
    words = {
        ("best", "best"): claims.SUPPORTED,
        ("beaten", "beaten"): claims.CONTRADICTED,
        ("best", "beaten"): claims.DEPENDS,
        ("beaten", "best"): claims.DEPENDS,
    }
    return claims.Verdict(words.get((verdicts[0], verdicts[1]), claims.UNDECIDED), "; ".join(why))
