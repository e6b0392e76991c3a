"""The command that says what this machine has and what is wrong with it."""

import json
from typing import Annotated

from rich.table import Table
from rich.text import Text
from tyro.conf import arg

from lab.cli.console import Failed, console


def doctor(as_json: Annotated[bool, arg(name="json")] = False) -> None:
    """Say what this machine has, what the lab will use, and what is wrong: exit code 0 if nothing is, else 1.

    Args:
        as_json: print JSON.
    """
    from lab.training import doctor as examination

    found = examination.examine()
    problems = found["problems"]
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        for title, rows in {"this machine": _machine(found["machine"]), "the lab will use": _lab(found["lab"])}.items():
            view = Table(title=Text(title, style="bold"), title_justify="left", show_header=False, box=None)
            for key, value in rows.items():
                view.add_row(key, Text(value))
            console.print(view)
        for number, problem in enumerate(problems, 1):
            console.print(f"problem {number}: {problem['what']}\n  do: {problem['do']}", markup=False, soft_wrap=True)
        if not problems:
            console.print("nothing is wrong")
    if problems:
        raise Failed(f"{len(problems)} problem{'s' * (len(problems) > 1)}")


def _gigabytes(count):
    return "size unknown" if count is None else f"{count / 1e9:,.1f} GB"


def _machine(own):
    devices = own.get("devices", [])
    kinds = {}  # equal devices on one line
    for device in devices:
        memory = "" if device["platform"] == "cpu" else f", {_gigabytes(device['memory_bytes'])}"
        line = f"{device['kind']} ({device['platform']}){memory}"
        kinds[line] = kinds.get(line, 0) + 1
    container = own["cores_of_container"]
    cores = f"{own['cores']}, of which this process may use {own['cores_allowed']}"
    rows = {
        "system": own["system"],
        "python": own["python"],
        "packages": ", ".join(f"{name} {version}" for name, version in own["packages"].items()) or "not installed",
        "extras": ", ".join(f"{name}: {version or 'no'}" for name, version in own["extras"].items()),
        "cores": cores + (f"; the container grants {container:g}" if container else ""),
        "free disk": _gigabytes(own["free_disk_bytes"]),
    }
    if devices:
        rows["memory"] = f"{_gigabytes(own['memory_bytes'])} for this process"
        rows["JAX devices"] = "; ".join(f"{count} x {line}" for line, count in kinds.items())
    return rows


def _lab(own):
    if own is None:
        return {"platform": "none"}
    width, at_once = own["block_width"], own["lanes_at_once"]
    return {
        "platform": f"{own['platform']}, {own['devices']} devices, a block of models on each",
        "block width": ", ".join(f"{task} {width[task]:,} ({at_once[task]:,} models at once)" for task in width),
        "runs go to": own["runs"],
    }
