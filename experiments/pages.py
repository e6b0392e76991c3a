"""Fill the tables of the README and of SCALE.md from figures/, so that no number there is typed by hand.

Command:   python -m experiments.pages
"""

import functools
import json
import math
import re
from pathlib import Path

from experiments.studies.coverage import summary
from lab.claims import book as every_claim
from lab.report import SHOWN
from lab.results.store import publish
from lab.results.summary import worlds
from lab.statistics import Estimate
from lab.tasks import TASKS
from lab.words import bound, chance, in_words, number, percent, with_interval, within

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "experiments/benchmarks/SCALE.md"]
table = functools.cache(every_claim.table)
BLOCK = re.compile(r"(<!-- (\w+): made by experiments/pages.py -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(header, rows):
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def cell(estimate):
    values = {"inf": float("inf"), "-inf": float("-inf"), None: float("nan")}
    return with_interval(Estimate(*(values.get(value, value) for value in estimate.values())))


def regimens(name):
    data = json.loads((ROOT / f"figures/{name}.json").read_text())
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


def memory():
    columns = {"task": "task", "seeds": "seeds", "peak_mib": "peak memory (MiB)", "seconds": "seconds"}
    return measured("flat_memory.json", columns | {"files": "files", "mib_on_disk": "MiB on disk"})


def plan():
    """The best regimen for each budget and world of `lab plan` on two_worlds."""
    worlds = json.loads((ROOT / "figures/two_worlds-plan.json").read_text())
    rows = []
    for world in worlds:
        place = tuple(world["world"].items())
        for budget in world["budgets"]:
            best = budget["conditions"][0]
            value = best["accepted_aligned"]["value"]
            equal = [c for c in budget["conditions"] if abs(c["accepted_aligned"]["value"] - value) < 1e-3]
            names = " or ".join(f"`{within(place, condition['name'])}`" for condition in equal)
            sure = sum(condition["probability_best"] for condition in equal)
            cells = (cell(best["accepted_aligned"]), cell(best["expected_runs"]), chance(sure))
            rows.append([in_words(place), f"{budget['runs']:,}", names, *cells])
    header = ["world", "runs allowed", "best", "P(accepted is aligned)", "runs used", "probability that it is best"]
    return markdown(header, rows)


def calibration():
    data = json.loads((ROOT / "figures/calibration.json").read_text())
    rows = [[name, str(count), low, mean] for name, count, low, mean in summary(data)]
    repeats = min(row["repeats"] for row in data["simulated"] if not row["quantity"].startswith("field"))
    lowest = {
        method: min(row["coverage"] for row in data["one_table"] if row["method"] == method)
        for method in ("Miettinen-Nurminen (the lab's)", "SCAS (the lab's option)")
    }
    said = " and ".join(f"{bound(value, upwards=False, digits=3)} ({method})" for method, value in lowest.items())
    return markdown(["nominal 95%", "settings", "lowest", "mean"], rows) + (
        f"\nOf single tables, rates from .05 to .95; beyond, up to .001 and .999, the lowest are {said}. Simulated log "
        f"impacts and budgets rest on {repeats} experiments per setting, a standard error of "
        f"{number(math.sqrt(0.95 * 0.05 / repeats), 1)}.\n"
    )


def explore():
    """What naive exploration is worth, over the small cases that are known exactly."""
    rows = json.loads((ROOT / "tests/reference/ideas_examples.json").read_text())["decision"]["rows"]
    values = [{name: p["p_accepted_aligned"]["float"] for name, p in row["policies"].items()} for row in rows]
    naive = [own for own in values if "explore_each_once_then_reject_on_best" in own]
    table = []
    for rival in (
        "rejection_random_idea_each_run",
        "rejection_single_idea",
        "rejection_round_robin",
        "optimal_no_recall",
    ):
        lost = sum(own["explore_each_once_then_reject_on_best"] < own[rival] - 1e-12 for own in naive)
        table.append([f"`{rival}`", f"{lost} of {len(naive)}"])
    return markdown(["`explore_each_once_then_reject_on_best` loses to", "small cases, exactly"], table)


def measured(file, columns):
    """A table of the rows of a file in figures/; `columns` are keys and their headings."""
    rows = json.loads((ROOT / "figures" / file).read_text())
    cells = [[f"{row[key]:,}" if isinstance(row[key], int | float) else row[key] for key in columns] for row in rows]
    return markdown(list(columns.values()), cells)


def throughput():
    columns = {"device": "device", "task": "task", "block_width": "lanes per device"}
    columns |= {
        "models_per_second": "models/s",
        "seed_steps_per_second": "seed-steps/s",
        "compile_seconds": "compile (s)",
    }
    return measured("throughput.json", columns)


def sweeps():
    columns = {"device": "device", "config": "config", "models": "models", "seconds": "seconds in all"}
    return measured("sweeps.json", columns | {"models_per_second": "models/s", "mib_on_disk": "MiB on disk"})


def pages():
    columns = {"device": "device", "run": "run", "conditions": "conditions", "models": "models", "megabytes": "MB"}
    columns |= {"openings": "openings", "median_s": "median (s)", "slowest_s": "slowest (s)"}
    return measured("page.json", columns)


def tasks():
    """What each task gives, line by line, with the verdict where it is not met."""
    data = json.loads((ROOT / "figures/tasks.json").read_text())["tasks"]
    said = {
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
    for line, words in said.items():
        own = []
        for task in data.values():
            found = task["lines"][line]
            verdict = "" if found["verdict"] == "met" else f" **{found['verdict']}**"
            own.append(", ".join(cell(estimate) for estimate in found["estimates"]) + verdict)
        rows.append([words, *own])
    counted = ", ".join(f"{task['seeds']:,} ({name})" for name, task in data.items())
    return (
        markdown(["", *(f"`{name}`" for name in data)], rows) + f"\n95% intervals; models per condition: {counted}.\n"
    )


def take_off():
    """The verdicts of experiments/studies/take_off.py."""
    data = json.loads((ROOT / "figures/take_off.json").read_text())["tasks"]
    rows = [[f"`{name}`", own["difficulty"], own["precursor"]] for name, own in data.items()]
    return markdown(["task", "later at k = 3 than at k = 1", "earlier with the precursor"], rows)


def trainers():
    """The lab beside other trainers, on one core of each device."""
    text = ""
    for own in json.loads((ROOT / "figures/trainers.json").read_text()):
        rows = [
            [row["trainer"], f"{row['seed_steps_per_second']:,}", f"{row['share_of_peak']:.2%}", f"{row['ratio']:.2f}"]
            for row in own["one_core"]
        ]
        text += markdown(["one core", "seed-steps/s", "share of the matrix peak", "the lab is faster by"], rows)
        text += f"\n{own['device']}. All {own['cores']} cores: {own['all_cores_over_one']:.2f} times one.\n\n"
        rows = [
            [
                row["sweep"],
                str(row["conditions"]),
                number(row["share_of_steps"], 2),
                number(row["share_of_time"], 2),
                "yes" if row["same_bytes"] else "**no**",
            ]
            for row in own["shared_prefixes"]
        ]
        header = ["shared prefixes", "conditions", "share of the steps", "share of the time", "same bytes"]
        text += markdown(header, rows)
    return text


def derivatives():
    """Verdicts of experiments/studies/derivatives.py on other ways to a derivative."""
    data = json.loads((ROOT / "figures/derivatives.json").read_text())
    words = {
        "counted": "counted differences (the default)",
        "evolution": "evolution strategies",
        "pathwise": "through training",
        "pathwise64": "through training, float64",
        "surrogate": "margin surrogate",
    }
    studies = data["studies"].items()
    rows = [
        [words[name], *(", ".join(own["estimators"][name]["verdicts"].values()) for _, own in studies)]
        for name in data["cost"]
        if name != "counted"
    ]
    return markdown(["early, late", *(name.replace(", none", "") for name, _ in studies)], rows)


def calibrated():
    """Coverage of printed derivatives."""
    tasks = json.loads((ROOT / "figures/claims/sensitivity.json").read_text())["tasks"]
    said = {"base_rate": "P(A)", "pass_given_aligned": "P(T\\|A)", "pass_given_misaligned": "P(T\\|not A)"}
    said |= {"likelihood_ratio": "ln LR", "posterior_odds": "ln o(A\\|T)"}
    rows = []
    for name, words in said.items():
        cells = []
        for own in tasks.values():
            hit, of = map(sum, zip(*own["calibration"].get(name, {"": (0, 0)}).values(), strict=True))
            cells.append(f"{number(hit / of)} of {of:,}" if of else "undefined")
        rows.append([words, *cells])
    seeds = ", ".join(f"{own['seeds'] // 16:,} (`{name}`)" for name, own in tasks.items())
    return markdown(["", *(f"`{task}`" for task in tasks)], rows) + f"\nModels per interval: {seeds}.\n"


def native():
    """What a native operation for the dense stack could do at best."""
    data = json.loads((ROOT / "figures/native.json").read_text())
    rows = [
        [
            f"`{row['task']}`",
            *(f"{row[key]:.2f}" for key in ("microseconds", "without_stack", "stack_at_peak", "at_most")),
        ]
        for row in data["rows"]
    ]
    header = ["one core", "µs per seed-step", "without the stack", "the stack at the peak", "faster by at most"]
    return markdown(header, rows)


def claims():
    """Every claim with its verdict by task."""
    rows = []
    for row in table():
        by_task = ", ".join(f"`{task}` {own['verdict']}" for task, own in row["tasks"].items())
        link = f"[`{row['name']}`](figures/claims/{row['name']}.png)" if row["tasks"] else f"`{row['name']}`"
        rows.append([link, row["claim"], f"**{row['verdict']}**", by_task])
    return markdown(["name", "claim", "verdict", "by task"], rows)


def contradictions():
    """What decided where a task contradicts a claim."""
    lines = [
        f"* `{row['name']}` in `{task}`: {own['why']}.\n"
        for row in table()
        for task, own in row["tasks"].items()
        if own["verdict"] == "contradicted"
    ]
    return "".join(lines)


def fails():
    """The worlds in which the advice fails, by `advice_fails`, with the numbers."""
    (row,) = (row for row in table() if row["name"] == "advice_fails")
    return "".join(f"* `{task}`, {own['verdict']}: {own['why']}.\n" for task, own in row["tasks"].items())


def robust():
    """How many verdicts fresh seeds and variations change."""
    replication, robustness = (
        json.loads((ROOT / f"figures/{name}.json").read_text()) for name in ("replication", "robustness")
    )
    rows = {f"fresh seeds, as many, from {replication['first_seed']:,}": replication}
    rows |= {
        f"a quarter of the seeds, {'nothing else' if name == 'nothing' else f'another {name}'}": own
        for name, own in robustness["variations"].items()
    }
    counted = [
        [
            name,
            f"{own['same'] + own['other'] + own['undecided']}",
            *(f"{own[kind]}" for kind in ("same", "other", "undecided")),
        ]
        for name, own in rows.items()
    ]
    header = ["what is different", "decided verdicts", "the same", "other", "undecided now"]
    changed = "".join(f"* {name}: {'; '.join(own['changed']) or 'none'}.\n" for name, own in rows.items())
    return markdown(header, counted) + "\nNot the same:\n\n" + changed


def scale():
    """What 10^9 models cost, from measured rates; 4 bytes for each score at each checkpoint."""
    best = {}
    for row in json.loads((ROOT / "figures/throughput.json").read_text()):
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


def bookkeeping():
    """What shards cost that nobody trains."""
    row = json.loads((ROOT / "figures/scale.json").read_text())
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


MADE = {
    own.__name__: own
    for own in (
        *(memory, plan, calibration, explore, throughput, sweeps, pages),
        *(tasks, take_off, trainers, native, scale, bookkeeping, claims, contradictions, fails, robust),
        *(derivatives, calibrated),
    )
}


def fill(text):
    """Return the README with every block replaced by what its function makes."""

    def made(match):
        name = match[2]
        return match[1] + (MADE[name]() if name in MADE else regimens(name)) + match[3]

    return BLOCK.sub(made, text)


if __name__ == "__main__":
    for page in PAGES:
        publish(page, fill(page.read_text()).encode())
