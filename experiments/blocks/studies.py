"""Blocks on the studies: statistics, tasks, the law, schedules, derivatives."""

import json
import math
from collections import Counter
from typing import Any

from experiments.blocks.text import ROOT, cell, is_stored, markdown, stored, wrapped_prose
from experiments.studies import coverage_groups, response
from experiments.studies.coverage import summary
from experiments.studies.law import SIMPLE
from experiments.studies.several_tokens import table as table_of_tokens
from lab.studies import sensitivity
from lab.words import bound, number

LAW_BESIDE = ("law", "counts alone", "by hand", "gradient boosting", "measuring")  # whose signs stand on the page
LAW_PICTURES = (
    ("", "What the law foresees and what was measured"),
    ("-phases", "Which use of a proxy was best, by what two short pilots gain"),
)


def calibration() -> str:
    data = stored("calibration.json")
    rows = [[name, str(count), low, mean] for name, count, low, mean in summary(data)]
    repeats = min(row["repeats"] for row in data["simulated"] if not row["quantity"].startswith("field"))
    lowest = {
        method: min(row["coverage"] for row in data["one_table"] if row["method"] == method)
        for method in ("Miettinen-Nurminen (the lab's)", "SCAS (the lab's option)")
    }
    beyond = " and ".join(f"{bound(value, upwards=False, digits=3)} ({method})" for method, value in lowest.items())
    return markdown(["nominal 95%", "settings", "lowest", "mean"], rows) + (
        f"\nOf single tables, rates from .05 to .95; beyond, up to .001 and .999, the lowest are {beyond}. Simulated "
        f"log impacts and budgets rest on {repeats} experiments per setting, a standard error of "
        f"{number(math.sqrt(0.95 * 0.05 / repeats), 1)}.\n"
    )


def groups_and_judges() -> str:
    """Coverage where rows come in groups, and where a judge errs."""
    data = stored("coverage_groups.json")
    few = [row for row in data["groups"] if row["groups"] < coverage_groups.ENOUGH]
    enough = [row for row in data["groups"] if row["groups"] >= coverage_groups.ENOUGH]
    of_few, of_enough = (coverage_groups.summary(rows, coverage_groups.QUANTITY_NAMES) for rows in (few, enough))
    rows = [
        [many["quantity"], many["method"], *_lowest_and_mean(many), _width(many), *_lowest_and_mean(handful)]
        for handful, many in zip(of_few, of_enough, strict=True)
    ]
    header = ["", "nominal 95%", "lowest", "mean", "width", "lowest, 5 groups", "mean, 5 groups"]
    verdicts = [
        [row["quantity"], row["method"], str(row["settings"]), *_lowest_and_mean(row), _width(row)]
        for row in coverage_groups.summary(data["judge"], ("P(A)", "ln LR"))
    ]
    repeats = data["groups"][0]["repeats"]
    return (
        markdown([name.replace("|", "\\|") for name in header], [[c.replace("|", "\\|") for c in row] for row in rows])
        + f"\nTables of 10 to 50 groups, and of 5; {len(enough) // len(rows)} and {len(few) // len(rows)} settings. "
        "The width is that of the interval over that of the lab's, in the median over settings. A method that has no "
        "answer, because an outcome is missing, does not cover.\n\n"
        + markdown(["", "with a judge", "settings", "lowest", "mean", "width"], verdicts)
        + f"\nEach setting has {repeats} tables, a standard error of {number(math.sqrt(0.95 * 0.05 / repeats), 1)}.\n"
    )


def _lowest_and_mean(row: dict[str, Any]) -> tuple[str, str]:
    return bound(row["lowest"], upwards=False, digits=3), number(row["mean"])


def _width(row: dict[str, Any]) -> str:
    return "" if row["width"] is None else number(row["width"], 2)


def explore() -> str:
    """What naive exploration is worth, over the small cases that are known exactly."""
    rows = json.loads((ROOT / "tests/reference/ideas_examples.json").read_text())["decision"]["rows"]
    cases = [{name: p["p_accepted_aligned"]["float"] for name, p in row["policies"].items()} for row in rows]
    naive = "explore_each_once_then_reject_on_best"
    cases = [case for case in cases if naive in case]
    rivals = ("rejection_random_idea_each_run", "rejection_single_idea", "rejection_round_robin", "optimal_no_recall")
    lost = {rival: sum(case[naive] < case[rival] - 1e-12 for case in cases) for rival in rivals}
    counted = [[f"`{rival}`", f"{count} of {len(cases)}"] for rival, count in lost.items()]
    return markdown([f"`{naive}` loses to", "small cases, exactly"], counted)


def tasks() -> str:
    """What each task gives, line by line, with the verdict where it is not met."""
    data = stored("tasks.json")["tasks"]
    lines = {
        "competence": "models that do the job, lowest of five regimens, at least .95",
        "base rate": "P(A), held out, at the ends of `preference`, below .15 and above .85",
        "gaming": "P(T\\|not A), trained throughout, at the ends of `detectability`, below .05 and above .8",
        "two-sided": "alignment between .2 and .8, highest of five regimens, below .15",
        "effective test": "LR of a test held out, above 20",
        "useless test": "LR of a test trained on, between .8 and 1.25",
        "opposed test": "LR of an opposed proxy, below 1",
        "control": "LR of the control, covers 1",
    }
    rows = []
    for line, words in lines.items():
        cells = []
        for task in data.values():
            judged = task["lines"][line]
            verdict = "" if judged["verdict"] == "met" else f" **{judged['verdict']}**"
            cells.append(", ".join(cell(estimate) for estimate in judged["estimates"]) + verdict)
        rows.append([words, *cells])
    counted = ", ".join(f"{task['seeds']:,} ({name})" for name, task in data.items())
    return (
        markdown(["", *(f"`{name}`" for name in data)], rows) + f"\n95% intervals; models per condition: {counted}.\n"
    )


def take_off() -> str:
    """The verdicts of experiments/studies/take_off.py."""
    data = stored("take_off.json")["tasks"]
    rows = [[f"`{name}`", verdicts["difficulty"], verdicts["precursor"]] for name, verdicts in data.items()]
    return markdown(["task", "later at k = 3 than at k = 1", "earlier with the precursor"], rows)


def several_tokens() -> str:
    """What was tried so that models learn to write several tokens, and what came of each try."""
    header, *rows = table_of_tokens(stored("several_tokens.json")["rows"])
    return markdown(header, rows)


def law() -> str:
    """How often the law foresees the sign of a gain, and what choosing by it loses, by task and budget."""
    judged = is_stored("law.json")
    name = "law" if judged else "law-look"
    data = stored(f"{name}.json")
    rows, verdicts = [], Counter()
    for task, of_task in data["tasks"].items():
        for runs, budget in of_task["budgets"].items():
            rules, mark = budget["rules"], budget["rules"]["law"]
            signs = [f"{rules[name]['right'] / max(1, rules[name]['decided']):.2f}" for name in LAW_BESIDE]
            simple = min(rules[name]["regret"] for name in SIMPLE)
            regrets = [f"{value:.3f}" for value in (mark["regret"], simple, rules["measuring"]["regret"])]
            cells = f"{mark['decided']} ({mark['majority']:.2f})"
            rows.append([f"`{task}`", runs, cells, *signs, *regrets, f"**{budget['verdict']}**"])
            verdicts[budget["verdict"]] += 1
    header = ["worlds of", "runs", "decided (majority)", *(f"sign: {name}" for name in LAW_BESIDE)]
    header += ["regret: law", "best simple rule", "measuring", "the law is"]
    counts = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.items())
    against = [
        f"`{task}` ({', '.join(budgets)} runs)"
        for task, of_task in data["tasks"].items()
        if (budgets := [runs for runs, budget in of_task["budgets"].items() if budget["verdict"] == "contradicted"])
    ]
    about = (
        f"{'Worlds that judge' if judged else 'Looked-at worlds, which decide nothing'}; pairs of task and budget: "
        f"{counts}. Contradicted is it in {' and '.join(against)}: a fixed rule loses less there, or the more frequent "
        "sign is right more often. What the law says with a probability is off by "
        f"{data['calibration_error']:.3f} on average ([reliability](../figures/{name}-reliability.png))."
    )
    pictures = "".join(f"\n![{words}](../figures/{name}{kind}.png)\n" for kind, words in LAW_PICTURES)
    return f"{markdown(header, rows)}\n{wrapped_prose(about)}\n{pictures}"


def responses() -> str:
    """What whole schedules do, foreseen from single pushes: errors of each model, by task."""
    if not is_stored("response.json"):
        return ""
    names = {response.JUDGED: "additive", "latent": "latent", "law": "law", "nothing changes": "no change"}
    rows = []
    for task, of_task in stored("response.json")["tasks"].items():
        errors = [f"{of_task['models'][name]['errors']['P(A)']:.3f}" for name in names]
        marks = of_task["models"][response.JUDGED]["budgets"].values()
        signs = f"{sum(mark['right'] for mark in marks)} of {sum(mark['decided'] for mark in marks)}"
        fails = f"{of_task['fails'][response.JUDGED]:.0%}"
        about = [f"`{task}`", str(of_task["schedules"]), *errors, f"{of_task['noise']:.3f}", signs, fails]
        rows.append([*about, f"**{of_task['verdict']}**"])
    header = ["task", "schedules", *(f"error of P(A): {words}" for words in names.values()), "of a perfect model"]
    header += ["signs of gains: additive", "superposition fails in", "the additive model is"]
    about = wrapped_prose(response.ON_PAGE)
    picture = "![What single pushes foresee of whole schedules](../figures/response.png)"
    return f"### Schedules\n\n{about}\n\n{markdown(header, rows)}\n\n{picture}\n"


def derivatives() -> str:
    """Verdicts of experiments/studies/derivatives.py on other ways to a derivative."""
    data = stored("derivatives.json")
    words = {
        "counted": "counted differences (the default)",
        "evolution": "evolution strategies",
        "pathwise": "through training",
        "pathwise64": "through training, float64",
        "surrogate": "margin surrogate",
    }
    studies = data["studies"].items()
    rows = [
        [words[name], *(", ".join(study["estimators"][name]["verdicts"].values()) for _, study in studies)]
        for name in data["cost"]
        if name != "counted"
    ]
    return markdown(["early, late", *(name.replace(", none", "") for name, _ in studies)], rows)


def calibrated() -> str:
    """Coverage of printed derivatives."""
    tasks = stored("claims/sensitivity.json")["tasks"]
    rows = []
    for name, symbol in sensitivity.QUANTITIES.items():
        cells = []
        for task in tasks.values():
            hit, of = map(sum, zip(*task["calibration"].get(name, {"": (0, 0)}).values(), strict=True))
            cells.append(f"{number(hit / of)} of {of:,}" if of else "undefined")
        rows.append([symbol.replace("|", "\\|"), *cells])
    seeds = ", ".join(f"{task['seeds'] // 16:,} (`{name}`)" for name, task in tasks.items())
    return markdown(["", *(f"`{name}`" for name in tasks)], rows) + f"\nModels per interval: {seeds}.\n"


def law_in_words(data: dict[str, Any]) -> str:
    """Return what the law comes to on worlds that judge it, in a few sentences."""
    marks = [budget["rules"] for of_task in data["tasks"].values() for budget in of_task["budgets"].values()]
    right, decided = (sum(rules["law"][key] for rules in marks) for key in ("right", "decided"))
    frequent = sum(round(rules["law"]["majority"] * rules["law"]["decided"]) for rules in marks)
    first = sum(rules["law"]["regret"] <= min(rules[name]["regret"] for name in SIMPLE) for rules in marks)
    most = max(rules["law"]["regret"] for rules in marks)
    return (
        "**Two short pushes tell what a long one will do.** In fresh random worlds "
        f"[one law](experiments/README.md#when-to-train-worlds-that-nobody-chose) has the sign of a gain right in "
        f"{right:,} of {decided:,} cases (the more frequent sign: {frequent:,}). It loses at most {most:.3f} on "
        f"average; no fixed rule loses less in {first} of {len(marks)} pairs of task and budget. Its own rule calls it "
        f"{verdicts_of_law(data)}."
    )


def verdicts_of_law(data: dict[str, Any]) -> str:
    """Return in how many pairs of task and budget the law has each verdict, and the tasks that contradict it."""
    by_task = {
        task: Counter(budget["verdict"] for budget in of_task["budgets"].values())
        for task, of_task in data["tasks"].items()
    }
    counts = sum(by_task.values(), Counter())
    against = " and ".join(f"`{task}`" for task, verdicts in by_task.items() if verdicts["contradicted"])
    return (
        f"supported in {counts['supported']}, undecided in {counts['undecided']}, and contradicted in "
        f"{counts['contradicted']} ({against})"
    )
