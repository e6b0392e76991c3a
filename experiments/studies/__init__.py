"""Studies of the lab itself: its tasks, its intervals, its estimators, and how robust its verdicts are.

Each is a command, and nothing imports them but their tests and each other.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import lab
from lab.config.experiment import Experiment
from lab.figures import save
from lab.words import Json

ROOT = Path(__file__).resolve().parents[2]


def load(config: str, most_seeds: int | None) -> Experiment:
    """Return the experiment of a config.

    Args:
        config: its path below configs/.
        most_seeds: for a look; all of the config by default.
    """
    experiment = lab.load(ROOT / "configs" / config)
    return experiment.with_seeds(min(most_seeds, len(experiment.seeds))) if most_seeds else experiment


def run_study(
    about: str | None, name: str, study: Callable[[int | None], Json], draw: Callable, words: Callable[[Json], Json]
) -> None:
    """Do what a study's command line asks for: measure and draw, or only draw again what is stored.

    Args:
        about: docstring of the study's module.
        name: of its files in figures/.
        study: function of the most seeds per condition that returns the data of the figure.
        draw: function of the data that returns the figure.
        words: function of the data that returns the title, the subtitle and the caption of the figure.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, help="at most so many per condition, for a look")
    parser.add_argument("--redraw", action="store_true", help=f"only draw figures/{name}.json again")
    options = parser.parse_args()
    stored = ROOT / f"figures/{name}.json"
    data = json.loads(stored.read_text()) if options.redraw else study(options.seeds)
    print(save(draw, data | words(data), ROOT / "figures", name))
