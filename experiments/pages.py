"""Fill the tables of all pages from stored results, so that no number there is typed by hand.

Command:   python -m experiments.pages

The verdicts on claims are judged first, where they follow from other counts or code than before, and kept.

A block of a page begins with a comment that names the function of `experiments.blocks` that makes it, and ends with
`<!-- end -->`. A block that is named after a run in figures/ is the table of that run.
"""

import argparse
import re
from collections.abc import Callable

from experiments.blocks import answer, claims, published, runs, settings, speed, studies
from experiments.blocks.text import ROOT
from lab.claims import book as claims_book
from lab.results.store import publish

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
        "experiments/outside/YOUR_RUNS.md",
        "experiments/published/README.md",
        "figures/README.md",
        "tests/README.md",
    )
]
BLOCK = re.compile(r"(<!-- (?P<name>\w+): made by experiments/pages.py -->\n).*?(<!-- end -->)", re.DOTALL)
MADE: dict[str, Callable[[], str]] = {
    function.__name__: function
    for function in (
        *(runs.plan, runs.headline, runs.your_runs),
        *(speed.memory, speed.throughput, speed.sweeps, speed.pages, speed.commands, speed.trainers),
        *(speed.native, speed.step, speed.scale, speed.bookkeeping),
        *(
            studies.calibration,
            studies.groups_and_judges,
            studies.explore,
            studies.tasks,
            studies.take_off,
            studies.several_tokens,
        ),
        *(studies.law, studies.responses, studies.derivatives, studies.calibrated),
        *(claims.claims, claims.essay, claims.over_worlds, claims.timing),
        *(answer.answer, answer.answer_over_worlds),
        *(claims.unplanted, claims.contradictions, claims.fails, claims.robust),
        *(published.published_papers, published.published_impacts, published.published_missing),
        *(settings.seeds, settings.configs, settings.styles, settings.outcomes),
    )
}


def fill(text: str) -> str:
    """Return a page with every block replaced by what its function makes."""

    def made(match: re.Match[str]) -> str:
        name = match["name"]
        return match[1] + (MADE[name]() if name in MADE else runs.regimens(name)) + match[3]

    return BLOCK.sub(made, text)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    claims_book.keep_verdicts()
    for page in PAGES:
        publish(page, fill(page.read_text()).encode())
