"""Nothing is decided on seeds that something was chosen on, and every config has the seeds that the table says."""

import itertools
from pathlib import Path

import pytest
import yaml

import lab
from lab.config import seeds
from lab.config.experiment import load
from lab.config.schema import MAX_SEED

CONFIGS = Path(lab.__file__).parent.parent / "configs"


def experiments(path):
    """The experiment of every task of a config."""
    tasks = yaml.safe_load(path.read_text()).get("tasks", [None])
    return [load(path, task=task) for task in tasks]


def test_no_two_uses_share_seeds_but_where_one_only_shows():
    for one, other in itertools.combinations([use for use in seeds.USES if use.role != "shows"], 2):
        assert one.seeds.stop <= other.first or other.seeds.stop <= one.first, f"{one} and {other}"


def test_every_use_lies_within_the_seeds_that_there_are():
    assert all(0 <= use.first < use.seeds.stop <= MAX_SEED for use in seeds.USES)


@pytest.mark.parametrize("path", sorted((CONFIGS / "claims").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_config_of_claims_has_the_seeds_of_claims(path):
    """Those of rules that were committed when other counts had been read lie apart, each config's where it says."""
    for experiment in experiments(path):
        kept = experiment.seeds.start, experiment.seeds.stop
        if experiment.seeds.start in seeds.LATER_CLAIMS.seeds:
            assert kept[1] <= seeds.LATER_CLAIMS.seeds.stop
            continue
        use = seeds.BEST_SCHEDULE if path.stem == "best_schedule" else seeds.CLAIMS
        assert kept[0] == use.first
        assert kept[1] <= use.seeds.stop


@pytest.mark.parametrize("folder", ["calibration", "take_off"])
def test_the_configs_of_studies_have_the_seeds_of_studies(folder):
    for path in (CONFIGS / folder).glob("*.yaml"):
        (experiment,) = experiments(path)
        assert experiment.seeds.start == seeds.STUDIES.first, path.stem
        assert experiment.seeds.stop <= seeds.STUDIES.seeds.stop, path.stem


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_other_configs_only_show(path):
    (experiment,) = experiments(path)
    use = seeds.STORIES if experiment.seeds.start else seeds.EXAMPLES
    assert experiment.seeds.start == use.first
    assert experiment.seeds.stop <= use.seeds.stop


def test_the_largest_claim_asked_again_stays_within_the_fresh_seeds():
    """A quarter of the seeds for variations; cells that refine a map begin as far after the others as in the claim."""
    apart = seeds.REFINED.first - seeds.CLAIMS.first
    for use in (seeds.REPLICATION, seeds.ROBUSTNESS):
        assert apart + seeds.CLAIMS.count <= use.count
