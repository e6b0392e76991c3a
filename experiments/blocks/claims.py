"""Blocks on the claims: verdicts, the answer, the essay's sentences, random worlds, robustness."""

from collections import Counter
from typing import Any

from experiments.blocks.text import ROOT, claims_table, is_stored, markdown, stored, wrapped_prose
from experiments.studies import claims_over_worlds_figure as over
from lab import claims as every_claim
from lab.claims import Verdict
from lab.config.source import read_file, read_yaml

ESSAY = ROOT / "experiments/essay.yaml"
UNPLANTED = ("digits", "gridworld")  # tasks in which nothing was planted
PUSHES = {  # how the first page names the regimens of `critical_period`
    "held out": "hold_out",
    "after an early push": "push_early",
    "after the same push late": "push_late",
    "after an early one and its opposite late": "push_back_late",
}
TIMING = (
    "critical_period",
    "equal_windows",
    "sensitivity",
    "restart_or_continue",
)  # claims on when a proxy is trained on
TIMING_TASK = "scratchpad"  # whose numbers are told


def claims() -> str:
    """Every claim with its verdict by task."""
    rows = []
    for row in claims_table():
        by_task = ", ".join(f"`{task}` {Verdict(**judged).in_words}" for task, judged in row["tasks"].items())
        link = f"[`{row['name']}`](../figures/claims/{row['name']}.png)" if row["tasks"] else f"`{row['name']}`"
        changed = f" ({every_claim.CHANGED_IN_WORDS})" if row["changed"] else ""
        rows.append([link, row["claim"], f"**{row['verdict']}**{changed}", by_task])
    return markdown(["name", "claim", "verdict", "by task"], rows)


def read_list() -> dict[str, Any]:
    """Return what experiments/essay.yaml holds."""
    data: Any = read_yaml(read_file(ESSAY), str(ESSAY)).data
    return data


def essay_sentences() -> dict[int, dict[str, Any]]:
    """Return number of a sentence of the essay -> its entry in the list."""
    return {int(number): entry for number, entry in read_list()["sentences"].items()}


def essay() -> str:
    """Every sentence of the essay with the claims that measure it, and what of it none measures."""
    verdicts = {row["name"]: row["verdict"] for row in claims_table()}
    rows = []
    for position, entry in essay_sentences().items():
        named = [f"[`{name}`](../figures/claims/{name}.png) **{verdicts[name]}**" for name in entry.get("claims", ())]
        begins = entry["begins"].replace("|", "\\|")
        begins += "" if begins[-1] in ".?!:" else " ..."
        rows.append([str(position), begins, ", ".join(named) or "none", entry.get("why", "")])
    measured = sum("claims" in entry for entry in essay_sentences().values())
    reasons = Counter(entry["why"] for entry in essay_sentences().values() if "claims" not in entry)
    told = [f"{count}: {reason[0].lower()}{reason[1:]}" for reason, count in reasons.most_common() if count > 1]
    alone = sum(count for count in reasons.values() if count == 1)
    text = (
        f"Of {len(rows)} sentences, {measured} have a claim, and {len(rows) - measured} have none. The reasons are:\n\n"
    )
    text += "".join(f"* {line}\n" for line in told) + f"* {alone}: a reason of their own.\n\n"
    return text + markdown(["", "begins", "claims", "what none measures, or why"], rows)


def over_worlds() -> str:
    """In which share of random worlds each claim holds, beside the chosen world; nothing before the study ran."""
    if not is_stored(f"{over.NAME}.json"):
        return ""
    rows = []
    for name, task, verdict, *numbers, deciding in over.rows(stored(f"{over.NAME}.json")):
        rows.append([f"`{name}`", f"`{task}`", f"**{verdict}**", *numbers, deciding])
    about = wrapped_prose(over.ON_PAGE)
    picture = f"![{over.TITLE}](../figures/{over.NAME}.png)"
    return f"### Claims over worlds\n\n{about}\n\n{picture}\n\n{markdown(over.HEADER, rows)}"


def verdicts_in_words(row: dict[str, Any]) -> str:
    """Return the verdicts of a claim, each with its tasks."""
    tasks_by_verdict: dict[str, list[str]] = {}
    for task, judged in row["tasks"].items():
        tasks_by_verdict.setdefault(judged["verdict"], []).append(f"`{task}`")
    return "; ".join(
        f"{verdict} in {', '.join(tasks_by_verdict[verdict])}"
        for verdict in every_claim.VERDICTS
        if verdict in tasks_by_verdict
    )


def timing() -> str:
    """The verdicts on when a proxy is trained on, with the numbers of one task; indented, for it stands in a list."""
    rows = {row["name"]: row for row in claims_table()}
    lines = []
    for name in TIMING:
        why = Verdict(**rows[name]["tasks"][TIMING_TASK]).measured
        link = f"[`{name}`](../figures/claims/{name}.png)"
        lines.append(f"   * {link}: {verdicts_in_words(rows[name])}. In `{TIMING_TASK}`: {why}.\n")
    return "".join(lines) + "   "


def unplanted() -> str:
    """P(A) after pushes at different times in the tasks in which nothing was planted."""
    (pushes,) = (row for row in claims_table() if row["name"] == "critical_period")
    (windows,) = (row for row in claims_table() if row["name"] == "equal_windows")
    counts, lines = stored("claims/critical_period.json")["tasks"], []
    for task in UNPLANTED:
        of_task = every_claim.Stored(task, counts[task])
        visible = of_task.values("detectability")[-1]
        shares = {
            words: of_task.rate(of_task.at(regimen, detectability=visible), "base_rate")
            for words, regimen in PUSHES.items()
        }
        lines.append(
            f"* `{task}`: P(A) {every_claim.phrases(shares)}. "
            f"[`critical_period`](figures/claims/critical_period.png) is {pushes['tasks'][task]['verdict']}, "
            f"[`equal_windows`](figures/claims/equal_windows.png) {windows['tasks'][task]['verdict']}.\n"
        )
    return "".join(lines)


def contradictions() -> str:
    """What decided where a task contradicts a claim."""
    lines = [
        f"* `{row['name']}` in `{task}`: {Verdict(**judged).measured}.\n"
        for row in claims_table()
        for task, judged in row["tasks"].items()
        if judged["verdict"] == "contradicted"
    ]
    return "".join(lines)


def fails() -> str:
    """The worlds in which the advice fails, by `advice_fails`, with the numbers."""
    (row,) = (row for row in claims_table() if row["name"] == "advice_fails")
    return "".join(
        f"* `{task}`, {judged['verdict']}: {Verdict(**judged).measured}.\n" for task, judged in row["tasks"].items()
    )


def robust() -> str:
    """How many verdicts fresh seeds and variations change."""
    replication, robustness = stored("replication.json"), stored("robustness.json")
    rows = {f"fresh seeds, as many, from {replication['first_seed']:,}": replication}
    rows |= {
        f"a quarter of the seeds, {'nothing else' if name == 'nothing' else f'another {name}'}": counts
        for name, counts in robustness["variations"].items()
    }
    kinds = ("same", "other", "undecided")
    counted = [
        [name, f"{sum(counts[kind] for kind in kinds)}", *(f"{counts[kind]}" for kind in kinds)]
        for name, counts in rows.items()
    ]
    header = ["what is different", "decided verdicts", "the same", "other", "undecided now"]
    changed = "".join(f"* {name}: {'; '.join(counts['changed']) or 'none'}.\n" for name, counts in rows.items())
    return markdown(header, counted) + "\nNot the same:\n\n" + changed
