"""A staged protocol (curriculum, ask early, lock in, test, deploy) can beat plain rejection sampling.

Command:   lab experiment staged_protocol
Expected:  supported; most of it from the curriculum
Cost:      about four minutes on 2 cores

A curriculum that is easy for honest models (for a tenth of training, half of the answer is built in as the overseer
would have it), rejecting at a fifth of training the models that do not pass the test yet, locking in what decides
between the two solutions, and the test at the end; beside rejecting at the end alone, and beside the protocol without
each of its stages. In worlds where a held-out test is imperfect. `race` has no part that could be locked in.

Rule, per task: supported if P(accepted is aligned) within 3 runs, the last accepted in any case, and the odds of an
accepted model are above those of plain rejection sampling (95% intervals, together); contradicted if one of them is
below; else undecided. Runs that the early gate rejects count in full, though they cost a fifth.
"""

from lab import claims

STAGES = ("no_curriculum", "no_gate", "no_lock")
RUNS = 3  # of the rule


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    value = claims.aligned_share_of_accepted(RUNS)
    gain = stored.difference("protocol", value, "hold_out", value, of=2)
    net = stored.impact("protocol", "hold_out", of=2).net
    without = {name.replace("no_", "without "): stored.difference(name, value, "hold_out", value) for name in STAGES}
    why = f"{claims.phrases({f'gain with {RUNS} runs': gain, 'net': net})}; gain {claims.phrases(without)}"
    return claims.Verdict(claims.decide(gain, net), why)
