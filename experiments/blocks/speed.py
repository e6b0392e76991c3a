"""Blocks on time and memory."""

from experiments.blocks.text import markdown, stored
from lab.tasks import TASKS
from lab.words import number


def memory() -> str:
    columns = {"task": "task", "seeds": "seeds", "peak_mib": "peak memory (MiB)", "seconds": "seconds"}
    return measured("flat_memory.json", columns | {"files": "files", "mib_on_disk": "MiB on disk"})


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


def commands() -> str:
    """How long each command takes, beside importing NumPy."""
    columns = {"device": "device", "command": "command", "seconds": "median (s)", "ratio": "times NumPy"}
    return measured("commands.json", {**columns, "rounds": "rounds"})


def trainers() -> str:
    """The lab beside other trainers, on one core of each device."""
    text = ""
    for device in stored("trainers.json"):
        rows = [
            [row["trainer"], f"{row['seed_steps_per_second']:,}", f"{row['share_of_peak']:.2%}", f"{row['ratio']:.2f}"]
            for row in device["one_core"]
        ]
        text += markdown(["one core", "seed-steps/s", "share of the matrix peak", "the lab is faster by"], rows)
        ahead = [f"{row['trainer']} ({1 / row['ratio']:.2f} times)" for row in device["one_core"] if row["ratio"] < 1]
        text += f"\nAhead of the lab: {', '.join(ahead) or 'none'}.\n"
        text += (
            f"\n{device['device']}. All {device['cores']} cores: {device['all_cores_over_one']:.2f} times one. "
            f"A process for each core, which is a ceiling: {device['processes_over_one']:.2f} times one.\n\n"
        )
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


def step() -> str:
    """What a step of training consists of, by task, before and after it was made faster."""
    rows = [
        [
            f"`{row['task']}`",
            row["label"],
            f"{row['microseconds']:,.0f}",
            f"{row['operations']:,}",
            f"{row['kib_written']:,}",
            "; ".join(f"`{source}` {took:.0f}" for source, took in row["largest"]),
        ]
        for row in sorted(stored("step.json"), key=lambda row: (row["device"], row["task"], row["label"]))
    ]
    header = [
        "32 lanes, one core",
        "code",
        "µs",
        "operations",
        "KiB written",
        "largest three, µs in the profiler",
    ]
    return markdown(header, rows)


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
