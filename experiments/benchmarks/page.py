"""How large is the page of `lab report`, and how long does a browser take to open it?

Command:   python -m experiments.benchmarks.page
Expected:  100 conditions: below 10 MB, ready in under 2 s
Cost:      three minutes on 2 cores; needs Debian's chromium

Ready means that the explorable charts are drawn and can be used. One window is opened before, which does not count.
Rows replace those of the same device in figures/page.json.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from experiments.benchmarks.sweep import DEVICE
from lab import cli
from lab.config.experiment import load, parse
from lab.results.store import publish
from lab.training import engine

FILE, OPENINGS = Path("figures/page.json"), 9
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
HUNDRED = """
name: hundred
question: Does a page of 100 conditions open quickly?
task: race
seeds: 1024
training: {steps: 200, segments: 20, block_width: 256, learning_rate: 0.1}
regimens:
  hold_out: [{until: 1}]
  train_early: [{until: 0.25, weights: {test: 0.3}}, {until: 1}]
  train_late: [{until: 0.5}, {until: 1, weights: {test: 0.3}}]
  anti_train: [{until: 1, weights: {test_linear: -0.1}}]
sweep:
  faking_onset: [0, 0.25, 0.5, 0.75, 1]
  preference: [-0.2, -0.1, 0, 0.1, 0.2]
"""


def opened(browser, path):
    """Return the seconds until the page can be used."""
    page, started = browser.new_page(), time.monotonic()
    page.goto(path.as_uri())
    page.wait_for_selector("#explore svg")
    page.wait_for_selector("#choose select")
    seconds = time.monotonic() - started
    page.close()
    return seconds


def main():
    device = subprocess.run([sys.executable, "-c", DEVICE], check=True, capture_output=True, text=True).stdout.strip()
    rows = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        pages = {}
        for experiment in (parse(HUNDRED), load("configs/quickstart.yaml")):
            run = engine.run(experiment, Path(folder, experiment.name))
            path = Path(folder, f"{experiment.name}.html")
            assert cli.main(["report", str(run.path), "--out", str(path)]) == 0
            pages[path] = (experiment.name, len(experiment.conditions), len(experiment.seeds))
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        times = {path: [] for path in pages}
        for _ in range(1 + OPENINGS):
            for path, own in times.items():  # in turn, because machines are noisy
                own.append(opened(browser, path))
        browser.close()
        for path, (name, conditions, seeds) in pages.items():
            own = sorted(times[path][1:])
            row = {"device": device, "run": name, "conditions": conditions, "models": conditions * seeds}
            row |= {"megabytes": round(path.stat().st_size / 1e6, 1), "openings": OPENINGS}
            rows.append(row | {"median_s": round(statistics.median(own), 2), "slowest_s": round(own[-1], 2)})
    others = json.loads(FILE.read_text()) if FILE.exists() else []
    rows = [other for other in others if other["device"] != device] + rows
    publish(FILE, (json.dumps(rows, indent=1) + "\n").encode())
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
