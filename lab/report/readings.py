"""What a run means, in the sentences of a colleague: who is aligned, who is accepted, and what that costs."""

import math
from collections.abc import Sequence

from lab.results.summary import Summary, worlds
from lab.statistics import Counts, Estimate
from lab.words import bound, in_words, name_in_words, number, plural, rounded

EXACTLY = 1e-9  # rounding of a correlation of 1
UNCHANGED = 0.1  # nats: odds change by a factor of 1.105 at most, and no probability by more than .025
MANY_CONDITIONS = 12  # beyond which a sweep is shown by axis, and read in a few sentences
WHOLE = (0.1, 0.9)  # probabilities of which a sentence says whole percents
FEW = 10  # misaligned models that passed, below which a sentence counts them
SEVERAL = 1.5  # times as many, from which on a sentence says how many times
TIMES = {"twice": (1.9, 2.1), "half": (0.48, 0.53), "a third": (0.31, 0.36), "a quarter": (0.23, 0.27)}
COSTS = {"twice the": (1.9, 2.1), "half the": (0.48, 0.53), "a third of the": (0.31, 0.36)}
UNKNOWN = Estimate(math.nan, -math.inf, math.inf)
SWEPT = (  # part of the log impact, what more and less of it is called, and the quantity that shows it
    ("base_rate", "More models are aligned", "fewer", "base_rate"),
    ("net", "Accepted models are purer", "less pure", "aligned_given_pass"),
)


def short_name(row: Summary) -> str:
    """Return a condition's regimen and its place on the axes that its baseline does not share, in words."""
    if not row.coordinates:
        return name_in_words(row.name)
    shared = (row.baseline or row.name).split(" ")[1:]
    return name_in_words(" ".join(part for part in row.name.split(" ") if part not in shared))


def is_sweep(summaries: Sequence[Summary]) -> bool:
    """Return whether a run has so many conditions that it is shown by axis, and read in a few sentences.

    Args:
        summaries: what `lab.summarise` returned.
    """
    return len(summaries) > MANY_CONDITIONS and any(row.coordinates for row in summaries)


def readings(summaries: Sequence[Summary]) -> list[str]:
    """Return what a run means, line by line: a heading per world and a line per condition, or a few of a sweep."""
    if is_sweep(summaries):
        return _sweep_readings(summaries)
    by_name, lines = {row.name: row for row in summaries}, []
    for world, members in worlds([(row.regimen, row.coordinates) for row in summaries]).items():
        rows = [summaries[index] for index in members]
        baseline = by_name[next((row.baseline for row in rows if row.baseline), rows[0].name)]
        lines.append(f"Against {short_name(baseline)}" + (f", {in_words(world)}:" if world else ":"))
        lines += [f"  {reading(row, baseline)}" for row in rows]
    return lines


def reading(row: Summary, baseline: Summary) -> str:
    """Return what one condition's `Summary` means beside its baseline's, as a colleague would say it."""
    if row.impact is None:
        aligned = row.estimates["base_rate"]
        known = "" if math.isnan(aligned.value) else f"{_share(aligned)} of models are aligned; "
        cost = f"an accepted one costs {_runs(row)}" if row.counts.passing else "no model passes"
        said = [f"{short_name(row)}, the baseline: {known}{cost}."]
    elif _identical(row, baseline):
        said = [f"{short_name(row)}: every model ends as under {short_name(baseline)}."]
    else:
        first = f"{short_name(row)}: {_aligned(row, baseline)}"
        said = [first, _purity(row, baseline, row.impact.net), _test(row, baseline)]
    return " ".join(filter(None, [*said, _unable(row)]))


def _identical(row: Summary, baseline: Summary) -> bool:
    """Return whether two conditions came out the same on each of their shared seeds."""
    if row.pairing is None or row.counts != baseline.counts:
        return False
    shared = [part.correlation for part in row.pairing if not math.isnan(part.correlation)]
    return bool(shared) and min(shared) > 1 - EXACTLY


def _aligned(row: Summary, baseline: Summary) -> str:
    """Say how many more models are aligned, and what an accepted one costs."""
    before, after = (summary.estimates["base_rate"] for summary in (baseline, row))
    change = row.impact.base_rate if row.impact else UNKNOWN
    cost = _cost(row, baseline)
    apart = f"an accepted one comes {cost}" if row.counts.passing else "none passes"
    cost = cost if row.counts.passing else "and none passes"
    if math.isnan(before.value) or math.isnan(after.value):
        return f"how many models are aligned is not known, for gates stop some; {apart}."
    shares = _shares(after, before)
    both = f"{shares[0]} in both" if shares[0] == shares[1] else "{}, against {}".format(*shares)
    if _decided(change):
        many = _as_many(after.value, before.value, change.low > 0)
        return f"{many} models are aligned ({shares[0]}, not {shares[1]}), {cost}."
    if _unchanged(change):
        return f"as many models are aligned ({both}), {cost}."
    return f"whether more models are aligned is open ({both}); {apart}."


def _purity(row: Summary, baseline: Summary, net: Estimate) -> str:
    """Say whether accepted models are aligned more often than those of the baseline."""
    counts, before = row.counts, baseline.counts
    if not before.passing:
        who = f"{short_name(baseline)} has none" if counts.passing else "neither has any"
        return f"Accepted models cannot be compared: {who}."
    if not counts.passing:
        return ""
    if math.isnan(net.value):
        kind = "misaligned" if counts.aligned_pass else "aligned"
        return f"No {kind} model passed under either, so accepted models cannot be told apart."
    counted = row.evidence is None and min(counts.misaligned_pass, before.misaligned_pass) < FEW
    shares = _shares(*(summary.estimates["aligned_given_pass"] for summary in (row, baseline)))
    if _decided(net):
        purer = "purer" if net.low > 0 else "less pure"
        if counted:
            first, other = (f"{one.misaligned_pass:,} of {one.passing:,}" for one in (counts, before))
            return f"Accepted models are {purer}: {first} are misaligned, against {other}."
        return f"Accepted models are {purer}: {shares[0]} are aligned, not {shares[1]}."
    if _unchanged(net):
        return "Accepted models are as pure: {} are aligned, against {}.".format(*shares)
    evidence = "{} of them are aligned, against {}.".format(*shares)
    if counted and not (counts.unjudged or before.unjudged):
        able = " that can do the job" if any_unable([row, baseline]) else ""
        those = [of_able(one) for one in (counts, before)] if able else [counts, before]
        if _points_the_same_way(*those):
            first, other = (f"{one.misaligned_pass:,} of {one.misaligned:,}" for one in those)
            evidence = f"{first} misaligned models{able} passed, against {other}."
    return f"Whether accepted models are purer is open: {evidence}"


def _points_the_same_way(counts: Counts, before: Counts) -> bool:
    """Return whether fewer misaligned models pass where accepted ones are purer, and more where they are less pure."""
    wrong = counts.pass_given_misaligned - before.pass_given_misaligned
    pure = counts.aligned_given_pass - before.aligned_given_pass
    return wrong * pure <= 0


def _test(row: Summary, baseline: Summary) -> str:
    """Say whether passing tells more than under the baseline, where that is decided.

    Nothing is said where the test is no better among the models that can do the job: others fail it for that alone.
    """
    change = row.impact.likelihood_ratio if row.impact else UNKNOWN
    if not _decided(change):
        return ""
    if any_unable([row, baseline]):
        able, able_before = (of_able(summary.counts).likelihood_ratio for summary in (row, baseline))
        if not (able > able_before if change.low > 0 else able < able_before):
            return ""
    after, before = (summary.estimates["likelihood_ratio"] for summary in (row, baseline))
    better = "better" if change.low > 0 else "worse"
    values = [_ratio(ratio) for ratio in (after, before)]
    return "The test is {}: LR {}, not {}.".format(better, *values)


def of_able(counts: Counts) -> Counts:
    """Return the counts of the models that can do the job."""
    return Counts(*counts.cells[:3], counts.misaligned_fail - counts.unable - counts.unjudged)


def _ratio(ratio: Estimate) -> str:
    """Return a likelihood ratio alone, or its limit where no misaligned model passed."""
    return rounded(ratio) if math.isfinite(ratio.value) else f"at least {bound(ratio.low, upwards=False)}"


def _unable(row: Summary) -> str:
    """Say how many models cannot do the job, if that is more than a few."""
    if not row.counts.unable_is_shown:
        return ""
    return f"{unable_share(row.counts)} of models cannot do the job, and count as misaligned and failing."


def unable_share(counts: Counts) -> str:
    """Return the share of models that cannot do the job, in percent with two digits."""
    return f"{number(100 * counts.unable / max(1, counts.seeds), 2)}%"


def any_unable(summaries: Sequence[Summary]) -> bool:
    """Return whether in any condition more than a few models cannot do the job.

    Args:
        summaries: what `lab.summarise` returned.
    """
    return any(row.counts.unable_is_shown for row in summaries)


def _decided(change: Estimate) -> bool:
    """Whether an interval of a change leaves 0 out."""
    return change.low > 0 or change.high < 0


def _unchanged(change: Estimate) -> bool:
    """Whether a change is too small to matter, whatever it is."""
    return max(-change.low, change.high) <= UNCHANGED


def _as_many(after: float, before: float, more: bool) -> str:
    """Say how many models there are of so many before, where it is known which are more."""
    if not before or not after:
        return "some" if after else "no"
    times = after / before
    for words, (low, high) in TIMES.items():
        if low <= times <= high:
            return f"{words} as many"
    if times >= SEVERAL:
        return f"{number(times, 2)} times as many"
    return "more" if more else "fewer"


def _cost(row: Summary, baseline: Summary) -> str:
    """Say at what cost an accepted model comes beside one of the baseline."""
    if not (row.counts.passing and baseline.counts.passing):
        return f"at {_runs(row)}"
    after, before, spent = _spent(row, baseline)
    if after.low <= before.high and before.low <= after.high:
        beside = " in both" if rounded(after) == rounded(before) else f", against {rounded(before)}"
        return f"at a cost that may be the same ({spent}{beside})"
    times = after.value / before.value
    words = next((words for words, (low, high) in COSTS.items() if low <= times <= high), "")
    words = words or (f"{number(times, 2)} times the" if times >= SEVERAL else "a higher" if times > 1 else "a lower")
    return f"at {words} cost ({spent}, not {rounded(before)})"


def _spent(row: Summary, baseline: Summary) -> tuple[Estimate, Estimate, str]:
    """Return what an accepted model costs under both, in the unit of the table if it has one; the first in words."""
    if row.cost is not None and baseline.cost is not None:
        return row.cost, baseline.cost, rounded(row.cost)
    after, before = (summary.estimates["expected_runs"] for summary in (row, baseline))
    return after, before, _runs(row)


def _runs(row: Summary) -> str:
    """Say what an accepted model costs in runs, and in trainings where gates stop some of them early."""
    runs = row.estimates["expected_runs"]
    words = f"{rounded(runs)} {plural('run', runs.value)}"
    if row.compute is not None and rounded(row.compute) != rounded(runs):
        words += f" or {rounded(row.compute)} trainings, for gates stop some early"
    return words


def _share(rate: Estimate) -> str:
    """Return a probability in percent, with the digits that its interval supports."""
    return f"{rounded(Estimate(*(100 * part for part in rate)))}%"


def _shares(rate: Estimate, other: Estimate) -> tuple[str, str]:
    """Return two probabilities in percent: whole ones where that tells them apart and neither is near an end."""
    whole = [round(100 * share.value) if WHOLE[0] <= share.value <= WHOLE[1] else None for share in (rate, other)]
    if None not in whole and whole[0] != whole[1]:
        return f"{whole[0]}%", f"{whole[1]}%"
    return _share(rate), _share(other)


def _sweep_readings(summaries: Sequence[Summary]) -> list[str]:
    """Return the sentences that matter of many conditions: who is aligned, who is accepted, and what is lost."""
    compared = [row for row in summaries if row.impact is not None]
    by_name = {row.name: row for row in summaries}
    names = dict.fromkeys(name_in_words(str(row.baseline).split(" ")[0]) for row in compared)
    lines = [f"Against {', '.join(names)}, in {len(compared):,} conditions:"]
    for part, most, fewest, quantity in SWEPT:
        changes = [getattr(row.impact, part) for row in compared]
        more, fewer = sum(change.low > 0 for change in changes), sum(change.high < 0 for change in changes)
        known = f"in {more:,}, {fewest} in {fewer:,}" if more or fewer else "in none for sure"
        line = f"  {most} {known}, open in {len(changes) - more - fewer:,}"
        if more or fewer:
            row = max(compared, key=lambda row: _strength(getattr(row.impact, part)))
            after, before = (of.estimates[quantity] for of in (row, by_name[str(row.baseline)]))
            line += "; the surest is {}: {}, not {}".format(name_in_words(row.name), *_shares(after, before))
        lines.append(f"{line}.")
    worst = max(summaries, key=lambda row: row.counts.unable / max(1, row.counts.seeds))
    if worst.counts.unable_is_shown:
        lines.append(f"  Up to {unable_share(worst.counts)} of models cannot do the job: {name_in_words(worst.name)}.")
    else:
        lines.append(_dearest(summaries))
    return lines


def _strength(change: Estimate) -> float:
    """Return how far the interval of a change stays away from 0."""
    return max(change.low, -change.high)


def _dearest(summaries: Sequence[Summary]) -> str:
    """Say what an accepted model costs where it is cheapest and where it is dearest."""
    passing = sorted((row for row in summaries if row.counts.passing), key=lambda row: row.estimates["expected_runs"])
    if not passing:
        return "  No model passes anywhere."
    ends = [f"{_runs(row)} ({name_in_words(row.name)})" for row in (passing[0], passing[-1])]
    return "  An accepted model costs from {} to {}.".format(*ends)
