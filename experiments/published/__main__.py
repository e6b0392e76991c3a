"""Read the published tables, judge them, and draw figures/published.png."""

import argparse

from experiments import published
from experiments.published.figure import figure_of, words
from experiments.published.published import study
from experiments.studies import ROOT
from lab.figures import save

if __name__ == "__main__":
    argparse.ArgumentParser(
        description=published.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    data = study()
    print(save(figure_of, data | words(data), ROOT / "figures", "published"))
    for claim in ("no slogan holds", "training moves models and spoils the test"):
        print(f"{claim}: {data['verdicts'][claim]}")
