"""Blocks on published experiments: what could be read, log impacts, and what the next experiment should report."""

import math

from experiments.blocks.text import markdown, stored, wrapped_prose
from experiments.published.tables import ITEMS
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json, number, with_interval

PARTS = ("base_rate", "likelihood_ratio", "net")


def published_papers() -> str:
    """What could be read of each paper, and why its table stops where it does."""
    rows = []
    for paper in stored("published.json")["papers"]:
        link = f"[{paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']})"
        rows.append([f"{paper['authors']} ({link})", paper["about"], paper["read"], paper["why"].replace("|", "\\|")])
    return markdown(["paper", "what was trained on, or read of", "read here", "what stops its table"], rows)


def published_impacts() -> str:
    """Rates and log impacts of every comparison, and the verdicts."""
    data = stored("published.json")
    authors = {paper["name"]: paper["authors"].split(" ")[0] for paper in data["papers"]}
    rows = [[f"{authors[row['paper']]}: {row['comparison']}", *_cells(row)] for row in data["comparisons"]]
    header = ["comparison", "trained on it", "n", "P(A)", "P(T\\|not A)", "change of ln o(A)", "of ln LR", "net"]
    return f"{markdown(header, rows)}\n{wrapped_prose(_in_words(data['verdicts']))}\n"


def published_missing() -> str:
    """What the next experiment should report, by how many of the papers whose text tells leave it out."""
    missing = stored("published.json")["missing"]
    rows = []
    for item, words in sorted(ITEMS.items(), key=lambda pair: -_share_missing(missing[pair[0]])):
        lacking, having, unread = (missing[item][answer] for answer in ("no", "yes", "unread"))
        told = len(lacking) + len(having)
        rows.append([words, f"{len(lacking)} of {told}", ", ".join(lacking) or "none", str(len(unread))])
    return markdown(["report", "left out by", "these", "could not be read in"], rows)


def _cells(row: Json) -> list[str]:
    trained, held_out = row["populations"]["trained on"], row["populations"]["held out"]
    n = " → ".join("?" if count is None else str(count) for count in reversed(row["n"]))
    rates = [f"{_rate(held_out[name])} → {_rate(trained[name])}" for name in ("base_rate", "pass_given_misaligned")]
    changes = [_change(estimate_from_json(row[part])) for part in PARTS]
    if row["only_misaligned"]:
        changes[1] += " if P(T\\|A) is as before"
    return [row["trained"], n, *rates, *changes]


def _rate(stored_estimate: Json) -> str:
    value = estimate_from_json(stored_estimate).value
    return "?" if math.isnan(value) else number(value)


def _change(value: Estimate) -> str:
    """Return a change with its interval, alone where it has none."""
    if math.isnan(value.value):
        return number(math.nan)
    if math.isinf(value.low) and math.isinf(value.high):
        return number(value.value) if math.isfinite(value.value) else number(math.nan)
    return with_interval(value)


def _share_missing(answers: Json) -> float:
    return len(answers["no"]) / max(1, len(answers["no"]) + len(answers["yes"]))


def _in_words(verdicts: Json) -> str:
    above, below = verdicts["above"], verdicts["below"]
    sides = ", ".join(
        f"{words} {above[part]} up and {below[part]} down"
        for part, words in (("base_rate", "ln o(A)"), ("likelihood_ratio", "ln LR"), ("net", "the net"))
    )
    others = verdicts["other_base_rates"]
    more = (
        f" In {others} more, of which passing is not counted, ln o(A) is decided: in the figure, not in the rule."
        if others
        else ""
    )
    return (
        f"Of {verdicts['counted']} comparisons whose cells are counted, these are decided at 95%, each by itself: "
        f"{sides}.{more} "
        f'"No slogan holds" is {verdicts["no slogan holds"]}; "training on a detector moves models and spoils the '
        f'test" is {verdicts["training moves models and spoils the test"]}.'
    )
