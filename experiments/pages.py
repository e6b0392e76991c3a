"""Fill the tables of all pages from stored results, so that no number there is typed by hand.

Command:   python -m experiments.pages

A block of a page begins with a comment that names the function here that makes it, and ends with `<!-- end -->`. A
block that is named after a run in figures/ is the table of that run.
"""

import argparse
import functools
import itertools
import json
import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.studies import claims_over_worlds, response
from experiments.studies.coverage import summary
from experiments.studies.law import SIMPLE
from experiments.studies.several_tokens import table as table_of_tokens
from lab import claims as every_claim
from lab.claims import Verdict
from lab.config.seeds import USES
from lab.config.source import read_file, read_yaml
from lab.decision import finite_budget
from lab.figures.run import OUTCOMES
from lab.figures.style import STYLES
from lab.report import SHOWN
from lab.results.store import publish
from lab.results.summary import worlds
from lab.statistics import Counts, Estimate
from lab.studies import sensitivity
from lab.tasks import TASKS
from lab.words import (
    bound,
    chance,
    estimate_from_json,
    in_words,
    name_in_world,
    number,
    percent,
    plural,
    rounded,
    with_interval,
)

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / page
    for page in (
        "README.md",
        "configs/README.md",
        "experiments/README.md",
        "experiments/ESSAY.md",
        "experiments/benchmarks/README.md",
        "experiments/benchmarks/SCALE.md",
        "experiments/outside/GUIDE.md",
        "figures/README.md",
        "tests/README.md",
    )
]
BLOCK = re.compile(r"(<!-- (?P<name>\w+): made by experiments/pages.py -->\n).*?(<!-- end -->)", re.DOTALL)
# a claim and the sentence of the answer on the first page that rests on it
LAW_BESIDE = ("law", "counts alone", "by hand", "gradient boosting", "measuring")  # whose signs stand on the page
LAW_PICTURES = (
    ("", "What the law foresees and what was measured"),
    ("-phases", "Which use of a proxy was best, by what two short pilots gain"),
)
ANSWER = {
    "four_regimens": (
        "**No slogan holds everywhere.** Where a held-out test is imperfect, training on it early can beat holding it "
        "out, and training on it late can lose to holding it out."
    ),
    "critical_period": (
        "**When can matter more than whether.** A push at the start of training moves what a model values; the same "
        "push later can move only the test."
    ),
    "implicit_proxies": (
        "**A test that nobody trained on is not safe either.** Something like it inside the main objective spoils it."
    ),
    "budget": (
        "**Few retries favour training, many favour holding out.** This holds only where training on the proxy leaves "
        "misaligned models behind."
    ),
}
UNPLANTED = ("digits", "gridworld")  # tasks in which nothing was planted
UNPLANTED_ABOUT = ("critical_period", "equal_windows")  # claims on timing that are told of them
TIMING = (
    "critical_period",
    "equal_windows",
    "sensitivity",
    "restart_or_continue",
)  # claims on when a proxy is trained on
TIMING_TASK = "scratchpad"  # whose numbers are told
# what matplotlib calls the styles of `lab.figures.style`, in words; colours are called as Okabe and Ito called them
COLOURS = {
    "#CC79A7": "reddish purple",
    "#5a5a5a": "grey",
    "#0072B2": "blue",
    "#E69F00": "orange",
    "#009E73": "bluish green",
}
MARKERS = {"v": "triangle, point down", "s": "square", "o": "circle", "^": "triangle, point up", "D": "diamond"}
LINES = {":": "dotted", "-": "solid", "--": "dashed", "-.": "dashes and dots"}
HATCHES = {None: "none", "/": "rising", "\\": "falling", "x": "crossed"}
claims_table = functools.cache(every_claim.table)
wrapped_prose = textwrap.TextWrapper(120, break_long_words=False, break_on_hyphens=False).fill
wrapped = textwrap.TextWrapper(128, "1. ", "   ", break_long_words=False, break_on_hyphens=False).fill


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(estimate: dict[str, Any]) -> str:
    """Return an estimate of a JSON file with its interval."""
    return with_interval(Estimate(*(math.nan if value is None else float(value) for value in estimate.values())))


def stored(file: str) -> Any:
    """Return what a file in figures/ holds."""
    return json.loads((ROOT / "figures" / file).read_text())


def regimens(name: str) -> str:
    """Return the table of a run, a part for each world."""
    data = stored(f"{name}.json")
    conditions = data["conditions"]
    text = ""
    for world, members in worlds([(c["regimen"], c["coordinates"]) for c in conditions]).items():
        rows = []
        for condition in (conditions[index] for index in members):
            impact = condition["log_impact"]
            net = cell({key: impact["net"][key] for key in ("value", "low", "high")}) if impact else "baseline"
            rows.append([f"`{condition['regimen']}`", *(cell(condition[quantity]) for quantity in SHOWN), net])
        header = [
            in_words(world) or "regimen",
            "P(A)",
            "P(T\\|A)",
            "P(T\\|not A)",
            "LR",
            "o(A\\|T)",
            "runs",
            "net (nats)",
        ]
        text += markdown(header, rows) + "\n"
    level, seeds = percent(data["confidence"]), f"{data['seeds']:,}"
    return text + f"{seeds} models per row, {level} intervals, seeds shared between rows.\n"


def memory() -> str:
    columns = {"task": "task", "seeds": "seeds", "peak_mib": "peak memory (MiB)", "seconds": "seconds"}
    return measured("flat_memory.json", columns | {"files": "files", "mib_on_disk": "MiB on disk"})


def plan() -> str:
    """The best regimen for each budget and world of `lab plan` on two_worlds."""
    worlds = stored("two_worlds-plan.json")
    rows = []
    for world in worlds:
        point = tuple(world["world"].items())
        for budget in world["budgets"]:
            best = budget["conditions"][0]
            value = best["accepted_aligned"]["value"]
            equal = [c for c in budget["conditions"] if abs(c["accepted_aligned"]["value"] - value) < 1e-3]
            names = " or ".join(f"`{name_in_world(point, condition['name'])}`" for condition in equal)
            sure = sum(condition["probability_best"] for condition in equal)
            cells = (cell(best["accepted_aligned"]), cell(best["expected_runs"]), chance(sure))
            rows.append([in_words(point), f"{budget['runs']:,}", names, *cells])
    header = ["world", "runs allowed", "best", "P(accepted is aligned)", "runs used", "probability that it is best"]
    return markdown(header, rows)


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


def measured(file: str, columns: dict[str, str]) -> str:
    """A table of the rows of a file in figures/; `columns` are keys and their headings."""
    rows = stored(file)
    cells = [[f"{row[key]:,}" if isinstance(row[key], int | float) else row[key] for key in columns] for row in rows]
    return markdown(list(columns.values()), cells)


def throughput() -> str:
    columns = {"device": "device", "task": "task", "block_width": "lanes per device"}
    columns |= {
        "models_per_second": "models/s",
        "seed_steps_per_second": "seed-steps/s",
        "compile_seconds": "compile (s)",
    }
    return measured("throughput.json", columns)


def sweeps() -> str:
    columns = {"device": "device", "config": "config", "models": "models", "seconds": "seconds in all"}
    return measured("sweeps.json", columns | {"models_per_second": "models/s", "mib_on_disk": "MiB on disk"})


def pages() -> str:
    columns = {"device": "device", "run": "run", "conditions": "conditions", "models": "models", "megabytes": "MB"}
    columns |= {"openings": "openings", "median_s": "median (s)", "slowest_s": "slowest (s)"}
    return measured("page.json", columns)


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
    judged = (ROOT / "figures/law.json").exists()
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
    if not (ROOT / "figures/response.json").exists():
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


def trainers() -> str:
    """The lab beside other trainers, on one core of each device."""
    text = ""
    for device in stored("trainers.json"):
        rows = [
            [row["trainer"], f"{row['seed_steps_per_second']:,}", f"{row['share_of_peak']:.2%}", f"{row['ratio']:.2f}"]
            for row in device["one_core"]
        ]
        text += markdown(["one core", "seed-steps/s", "share of the matrix peak", "the lab is faster by"], rows)
        text += f"\n{device['device']}. All {device['cores']} cores: {device['all_cores_over_one']:.2f} times one.\n\n"
        rows = [
            [
                row["sweep"],
                str(row["conditions"]),
                number(row["share_of_steps"], 2),
                number(row["share_of_time"], 2),
                "yes" if row["same_bytes"] else "**no**",
            ]
            for row in device["shared_prefixes"]
        ]
        header = ["shared prefixes", "conditions", "share of the steps", "share of the time", "same bytes"]
        text += markdown(header, rows)
    return text


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


def native() -> str:
    """What a native operation for the dense stack could do at best."""
    data = stored("native.json")
    rows = [
        [
            f"`{row['task']}`",
            *(f"{row[key]:.2f}" for key in ("microseconds", "without_stack", "stack_at_peak", "at_most")),
        ]
        for row in data["rows"]
    ]
    header = ["one core", "µs per seed-step", "without the stack", "the stack at the peak", "faster by at most"]
    return markdown(header, rows)


def claims() -> str:
    """Every claim with its verdict by task."""
    rows = []
    for row in claims_table():
        by_task = ", ".join(f"`{task}` {Verdict(**judged).in_words}" for task, judged in row["tasks"].items())
        link = f"[`{row['name']}`](../figures/claims/{row['name']}.png)" if row["tasks"] else f"`{row['name']}`"
        changed = f" ({every_claim.CHANGED_IN_WORDS})" if row["changed"] else ""
        rows.append([link, row["claim"], f"**{row['verdict']}**{changed}", by_task])
    return markdown(["name", "claim", "verdict", "by task"], rows)


def essay_sentences() -> dict[int, dict[str, Any]]:
    """Return what experiments/essay.yaml holds: number of a sentence -> its entry."""
    path = ROOT / "experiments/essay.yaml"
    data: Any = read_yaml(read_file(path), str(path)).data
    return {int(number): entry for number, entry in data["sentences"].items()}


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
    if not (ROOT / f"figures/{claims_over_worlds.NAME}.json").exists():
        return ""
    rows = []
    for name, task, verdict, *numbers, deciding in claims_over_worlds.rows(stored(f"{claims_over_worlds.NAME}.json")):
        rows.append([f"`{name}`", f"`{task}`", f"**{verdict}**", *numbers, deciding])
    about = wrapped_prose(claims_over_worlds.ON_PAGE)
    picture = f"![{claims_over_worlds.TITLE}](../figures/{claims_over_worlds.NAME}.png)"
    return f"### Claims over worlds\n\n{about}\n\n{picture}\n\n{markdown(claims_over_worlds.HEADER, rows)}"


def headline() -> str:
    """The title of the first figure and what it shows, from the counts of the quickstart."""
    rows = {row["name"]: row for row in stored("quickstart.json")["conditions"]}
    runs = {name: estimate_from_json(row["expected_runs"]) for name, row in rows.items()}
    nets = {name: cell_of_net(row) for name, row in rows.items() if row["log_impact"]}
    dearer = runs["anti_train"].value / runs["hold_out"].value
    first, *later = best_by_runs({name: Counts(**row["counts"]) for name, row in rows.items()})
    title = (
        "### Train on the test early and win, train on it late and lose; training *against* it wins at "
        f"{dearer:.0f} times the cost"
    )
    changes = [f"from {start} on, `{name}` is" for start, name in later]
    text = (
        f'"Never train on the test" is false: `train_early` changes ln o(A|T) by {nets["train_early"]} nats against '
        f'`hold_out`. "Just train on it" is false: `train_late` changes it by {nets["train_late"]}. `anti_train` '
        f"changes it by {nets['anti_train']}, but an accepted model costs {rounded(runs['anti_train'])} runs instead "
        f"of {rounded(runs['hold_out'])}. With {first[0]} {plural('run', first[0])}, `{first[1]}` is best by its "
        f"estimate; {'; '.join(changes)}."
    )
    return f"{title}\n\n{wrapped_prose(text)}\n"


def cell_of_net(condition: dict[str, Any]) -> str:
    """Return the net log impact of a stored condition with its interval."""
    return with_interval(estimate_from_json(condition["log_impact"]["net"]))


def best_by_runs(counts: Mapping[str, Counts], most: int = 1000) -> list[tuple[int, str]]:
    """Return from which number of runs on which regimen has the largest P(accepted is aligned)."""
    changes: list[tuple[int, str]] = []
    for runs in range(1, most + 1):
        value = {
            name: finite_budget(of.base_rate, of.pass_given_aligned, of.pass_given_misaligned, runs).accepted_aligned
            for name, of in counts.items()
        }
        best = max(value, key=value.__getitem__)
        if not changes or changes[-1][1] != best:
            changes.append((runs, best))
    return changes


def answer() -> str:
    """The answer in five sentences, each with the verdicts of the claim that it rests on."""
    rows = {row["name"]: row for row in claims_table()}
    lines = []
    for name, sentence in ANSWER.items():
        text = f"{sentence} [`{name}`](figures/claims/{name}.png): {verdicts_in_words(rows[name])}."
        lines.append(wrapped(text + share_of_worlds(name)) + "\n")
    if (ROOT / "figures/law.json").exists():
        lines.append(wrapped(law_in_words(stored("law.json"))) + "\n")
    return "".join(lines)


def share_of_worlds(name: str) -> str:
    """Return in a sentence in how many random worlds a claim holds; nothing where that was not asked."""
    path = f"{claims_over_worlds.NAME}.json"
    if not (ROOT / "figures" / path).exists() or name not in (asked := stored(path)["claims"]):
        return ""
    parts = [
        f"{cell['supported']} of {cell['counted'] - cell['undecided']} (`{task}`)" for task, cell in asked[name].items()
    ]
    return f" Of random worlds that decide: {', '.join(parts)}."


def law_in_words(data: dict[str, Any]) -> str:
    """Return what the law comes to on worlds that judge it, in a few sentences."""
    marks = [budget["rules"] for of_task in data["tasks"].values() for budget in of_task["budgets"].values()]
    right, decided = (sum(rules["law"][key] for rules in marks) for key in ("right", "decided"))
    first = sum(rules["law"]["regret"] <= min(rules[name]["regret"] for name in SIMPLE) for rules in marks)
    most = max(rules["law"]["regret"] for rules in marks)
    return (
        "**Two short pushes tell what a long one will do.** In fresh random worlds "
        f"[one law](experiments/README.md#when-to-train-worlds-that-nobody-chose) has the sign of a gain right in "
        f"{right:,} of {decided:,} cases, and loses at most {most:.3f} of P(accepted is aligned) on average. No fixed "
        f"rule loses less in {first} of {len(marks)} pairs of task and budget."
    )


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
    """What claims on timing came to in the tasks in which nothing was planted, with the numbers."""
    rows = {row["name"]: row for row in claims_table()}
    lines = []
    for name, task in itertools.product(UNPLANTED_ABOUT, UNPLANTED):
        judged = rows[name]["tasks"].get(task)
        if judged is not None:
            link = f"[`{name}`](figures/claims/{name}.png)"
            lines.append(f"* {link} in `{task}`, {judged['verdict']}: {Verdict(**judged).measured}.\n")
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


def seeds() -> str:
    """Who uses which seeds."""
    rows = [
        [f"{use.first:,} to {use.first + use.count - 1:,}", use.who, use.role, use.what]
        for use in sorted(USES, key=lambda use: (use.first, use.count))
    ]
    return markdown(["seeds", "who", "does what", "what for"], rows)


def configs() -> str:
    """What the head of each config in configs/ says that it is about and what it costs."""
    rows = []
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        head = head_of(path.read_text())
        claim = head["Claim"][0].upper() + head["Claim"][1:].rstrip(".")
        rows.append([f"[`{path.name}`]({path.name})", claim.replace("|", "\\|"), head["Cost"]])
    return markdown(["config", "claim", "cost"], rows)


def head_of(config: str) -> dict[str, str]:
    """Return the entries of the comment at the head of a config, such as Claim and Cost, each on one line."""
    comment = "".join(line + "\n" for line in config.split("\nname:")[0].splitlines())
    comment = re.sub(r"(?m)^# ?", "", comment).split("\n\n")[0]
    entries = re.findall(r"(?m)^(\w+):((?:.*\n?(?!\w+:))*)", comment)
    return {name: " ".join(text.split()) for name, text in entries}


def styles() -> str:
    """Colour, marker and line of each kind of regimen."""
    rows = [
        [f"`{word}`", COLOURS[colour], MARKERS[marker], LINES[line]] for word, (colour, marker, line) in STYLES.items()
    ]
    return markdown(["a word that begins with", "colour", "marker", "line"], rows)


def outcomes() -> str:
    """Colour and hatching of each outcome of a model."""
    rows = [[words, f"`{colour}`", HATCHES[hatch[0] if hatch else None]] for words, colour, hatch in OUTCOMES.values()]
    return markdown(["outcome", "colour", "hatching"], rows)


def scale() -> str:
    """What 10^9 models cost, from measured rates; 4 bytes for each score at each checkpoint."""
    best = {}
    for row in stored("throughput.json"):
        key = row["device"], row["task"]
        if key not in best or row["models_per_second"] > best[key]["models_per_second"]:
            best[key] = row
    rows = []
    for (device, task), row in best.items():
        bytes_each = 4 * len(TASKS[task].scores)
        hours = 1e9 / row["models_per_second"] / 3600
        rows.append(
            [
                f"`{task}`",
                device,
                f"{row['models_per_second']:,.0f}",
                f"{hours:,.1f}" if hours < 100 else f"{hours:,.0f}",
                f"{1e9 / row['block_width']:,.0f}",
                f"{20 * bytes_each / 1e3:.2f}",
                f"{bytes_each:,}",
            ]
        )
    header = ["task", "device", "models/s", "hours for 10^9", "shards", "TB with 20 checkpoints", "GB with one"]
    return markdown(header, rows)


def bookkeeping() -> str:
    """What shards cost that nobody trains."""
    row = stored("scale.json")
    million = {what: row["shards"] * row[f"{what}_milliseconds"] / 6e4 for what in ("write", "check", "read")}
    rows = [
        ["make the run's folder", f"{row['prepare_seconds']:.2f} s"],
        ["find out which shards are missing", f"{row['missing_seconds']:.1f} s, {row['peak_mib']:,} MiB in all"],
        *(
            [
                f"{what} one shard of {row['models_per_shard']} models",
                f"{row[f'{what}_milliseconds']:.1f} ms, {minutes:,.0f} minutes for all",
            ]
            for what, minutes in million.items()
        ),
        [
            "bytes of a shard",
            f"{row['bytes_per_shard']:,}, {row['shards'] * row['bytes_per_shard'] / 1e9:,.0f} GB in all",
        ],
    ]
    return markdown([f"{row['shards']:,} shards", "one process"], rows)


MADE: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        *(memory, plan, calibration, explore, throughput, sweeps, pages),
        *(
            tasks,
            take_off,
            several_tokens,
            law,
            trainers,
            native,
            scale,
            bookkeeping,
            claims,
            essay,
            over_worlds,
            responses,
            headline,
            answer,
            timing,
            unplanted,
            contradictions,
            fails,
            robust,
        ),
        *(derivatives, calibrated, seeds, configs, styles, outcomes),
    )
}


def fill(text: str) -> str:
    """Return a page with every block replaced by what its function makes."""

    def made(match: re.Match[str]) -> str:
        name = match["name"]
        return match[1] + (MADE[name]() if name in MADE else regimens(name)) + match[3]

    return BLOCK.sub(made, text)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for page in PAGES:
        publish(page, fill(page.read_text()).encode())
