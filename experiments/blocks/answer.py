"""The answer on the first page: five sentences, each with verdicts and with its share of random worlds."""

from collections.abc import Sequence
from typing import Any

from experiments.blocks.claims import verdicts_in_words
from experiments.blocks.studies import law_in_words
from experiments.blocks.text import claims_table, markdown, stored, wrapped, wrapped_prose
from experiments.studies.answer import FAILS, HOLDS, IMPLICIT, ON_PAGE, OPEN, PANELS
from lab.words import number

PLANTED, UNPLANTED = ("scratchpad", "race", "shortcut", "reasoner"), ("digits", "gridworld")


def answer() -> str:
    """The answer in five sentences, each with its share of random worlds and the verdicts of its claim."""
    rows, data = {row["name"]: row for row in claims_table()}, stored("answer.json")
    worlds = data["sentences"]
    wrong = {
        name: f"{worlds_where(worlds[name], HOLDS)} of {worlds_where(worlds[name])} random worlds, and right in "
        f"{worlds_where(worlds[name], FAILS)}"
        for name in ("never_train", "always_train")
    }
    said = {
        "four_regimens": (
            f'**No slogan holds everywhere.** "Never train on the test" is wrong for sure in {wrong["never_train"]}; '
            f'"always train on it" in {wrong["always_train"]}. '
            "(One use of four refutes a slogan, all four confirm it; the other worlds tell too little.)"
        ),
        "critical_period": (
            "**When can matter more than whether, but that is no law.** An early push leaves more models aligned than "
            f"the same push later in {_share(worlds['when'], PLANTED)} deciding worlds of the four tasks built for "
            f"it, and in {_share(worlds['when'], UNPLANTED)} of the other two."
        ),
        "implicit_proxies": (
            "**A test that nobody trained on is not safe either.** Take a world with something like it in the main "
            "objective and one without. The chance that more misaligned models pass in the former, ties counting half, "
            f"is {_range(data['implicit'])} by task, and above one half for sure in {_sure(data['implicit'])}."
        ),
        "budget": (
            "**Retries seldom turn the choice.** Of deciding worlds in which a use of the proxy is best for one run, "
            f"holding out is better with 100 runs in {_share(worlds['budget'])}. It takes a use that raises P(A) and "
            "lowers P(A|T)."
        ),
    }
    lines = []
    for name, sentence in said.items():
        verdicts = f" [`{name}`](figures/claims/{name}.png): {verdicts_in_words(rows[name])}."
        lines.append(wrapped(sentence + verdicts) + "\n")
    lines.append(wrapped(law_in_words(stored("law.json"))) + "\n")
    return "".join(lines)


def answer_over_worlds() -> str:
    """In how many random worlds each sentence of the answer holds, with the picture."""
    data = stored("answer.json")
    rows = []
    for name, words in PANELS.items():
        for task, kinds in data["sentences"][name].items():
            rows.append([words.replace("\n", " "), f"`{task}`", *(str(kinds[kind]) for kind in (HOLDS, FAILS, OPEN))])
    table = markdown(["sentence", "worlds of", "holds", "its reverse holds", "undecided"], rows)
    pairs = [
        f"{number(row['value'], 2)} [{number(row['low'], 2)}, {number(row['high'], 2)}] (`{task}`)"
        for task, row in data["implicit"].items()
    ]
    picture = "![In how many random worlds each sentence of the answer holds](../figures/answer.png)"
    return f"{wrapped_prose(ON_PAGE)}\n\n{picture}\n\n{table}\n{wrapped_prose(IMPLICIT + ', '.join(pairs) + '.')}\n"


def worlds_where(of_tasks: dict[str, dict[str, int]], kind: str | None = None) -> int:
    """Return in how many worlds of all tasks a sentence holds, fails or is open; all that count by default."""
    return sum(count for kinds in of_tasks.values() for name, count in kinds.items() if kind in (None, name))


def _sure(of_tasks: dict[str, dict[str, Any]]) -> str:
    """Return in how many tasks the share of pairs is above one half for sure."""
    return f"{sum(row['low'] > 0.5 for row in of_tasks.values())} of {len(of_tasks)}"


def _share(of_tasks: dict[str, dict[str, int]], tasks: Sequence[str] = (*PLANTED, *UNPLANTED)) -> str:
    """Return in how many of the worlds that decide a sentence holds."""
    holds, fails = (sum(of_tasks[task][kind] for task in tasks) for kind in (HOLDS, FAILS))
    return f"{holds} of {holds + fails}"


def _range(of_tasks: dict[str, dict[str, Any]]) -> str:
    """Return the smallest and the largest share of pairs."""
    values = [row["value"] for row in of_tasks.values()]
    return f"{min(values):.0%} to {max(values):.0%}"
