"""How large is the page of `lab report`, and how long does a browser take to open it?

Command:   python -m experiments.benchmarks.page [--out FILE]
Expected:  100 conditions: below 10 MB, ready in under 2 s
Cost:      three minutes on 2 cores; needs Debian's chromium

Ready means that every chart is drawn and can be used. One window is opened before, which does not count.
Rows replace those of the same device in figures/page.json.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from experiments.benchmarks.records import local_device, store_rows, timed
from lab import cli
from lab.config.experiment import Experiment, load, parse
from lab.training import engine
from lab.words import Json

OPENINGS = 9  # that count, an odd number
CHROMIUM = "/usr/bin/chromium"
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


def build_page(experiment: Experiment, folder: Path) -> Path:
    """Run an experiment and return the path of its page."""
    run, path = engine.run(experiment, folder / experiment.name), folder / f"{experiment.name}.html"
    assert cli.main(["report", str(run.path), "--out", str(path)]) == 0
    return path


def open_page(browser: Browser, path: Path) -> float:
    """Open a page in a window of its own and return the seconds until it can be used."""
    page = browser.new_page()

    def open_and_wait() -> None:
        page.goto(path.as_uri())
        page.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.dataset.drawn)")

    _, seconds = timed(open_and_wait)
    page.close()
    return seconds


def measure() -> list[Json]:
    """Return a row per page."""
    rows = []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        experiments = [parse(HUNDRED), load("configs/quickstart.yaml")]
        paths = [build_page(experiment, Path(name)) for experiment in experiments]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        # in turn, because machines are noisy; the first does not count
        turns = [[open_page(browser, path) for path in paths] for _ in range(1 + OPENINGS)]
        browser.close()
        for experiment, path, (_, *seconds) in zip(experiments, paths, zip(*turns, strict=True), strict=True):
            conditions = len(experiment.conditions)
            rows.append(
                {
                    "run": experiment.name,
                    "conditions": conditions,
                    "models": conditions * len(experiment.seeds),
                    "megabytes": round(path.stat().st_size / 1e6, 1),
                    "openings": OPENINGS,
                    "median_s": round(statistics.median(seconds), 2),
                    "slowest_s": round(max(seconds), 2),
                }
            )
    return rows


def main() -> None:
    """Measure both pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("figures/page.json"))
    out = parser.parse_args().out
    device = local_device()
    store_rows(out, [{"device": device, **row} for row in measure()])
    print(out.read_text())


if __name__ == "__main__":
    main()
