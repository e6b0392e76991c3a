import json

import pytest

from lab import cli
from lab.statistics import Counts
from lab.studies import mix
from lab.studies.study import StudyError
from lab.tasks import Knob
from lab.words import setting


def tried(value, aligned, incompetent=0):
    """Of a hundred models some are aligned and pass, and some cannot do the job."""
    return mix.Trial(value, Counts(aligned, 0, 0, 100 - aligned, incompetent=incompetent), 0.0)


def test_a_search_begins_at_half_decades_of_the_range_at_nought_and_at_the_default():
    assert mix.first_values(Knob(0.05, 0, 10, "")) == [0, 0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.3, 1, 3, 10]
    assert mix.first_values(Knob(-1, -10, 10, "")) == [
        *(-10, -3, -1, -0.3, -0.1, -0.03, -0.01, -0.003, -0.001, 0),
        *(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    ]
    assert mix.first_values(Knob(4096, 1, 4096, "")) == [1, 4, 10, 40, 100, 400, 1000, 4000, 4096]


def test_values_between_two_are_even_on_a_log_scale_where_both_have_one_sign():
    # the sixth root of 64 is 2, that of 1e6 is 10
    assert mix.between(1, 64) == [2, 4, 8, 16, 32]
    assert mix.between(-1, -1e-6) == pytest.approx([-0.1, -0.01, -0.001, -0.0001, -0.00001])
    assert mix.between(0, 6) == [1, 2, 3, 4, 5]
    assert mix.between(-3, 3) == [-2, -1, 0, 1, 2]


def test_what_encloses_one_half_are_the_smallest_neighbours_whose_models_do_the_job():
    low, lower, middle, high = tried(-100, 60), tried(-1, 20), tried(1, 40), tried(10, 70)
    assert mix.enclosing([high, low, middle, lower]) == (middle, high)
    assert mix.enclosing([lower, middle]) is None
    # at 10 too many cannot do the job
    assert mix.enclosing([lower, middle, tried(10, 70, incompetent=6)]) is None


def test_a_search_ends_at_the_value_whose_base_rate_is_nearest_to_one_half(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = mix.run("race", "preference", seeds=16)
    assert found.best is not None
    # by symmetry of the pathways but for the head start of the other: much preferred means aligned, and the reverse
    rates = {trial.value: trial.base_rate.value for trial in found.trials}
    assert (rates[-10.0], rates[10.0]) == (0, 1)
    assert abs(found.best.base_rate.value - 0.5) == min(abs(rate - 0.5) for rate in rates.values())
    # the command goes on from what is trained, and says the same
    assert cli.main(["mix", "race", "preference", "--seeds", "16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == found.best.value
    assert cli.main(["mix", "race", "preference", "--seeds", "16"]) == 0
    assert f"knobs: {{preference: {setting(found.best.value)}}}" in capsys.readouterr().out


def test_a_search_that_finds_no_mixed_world_says_so(tmp_path, monkeypatch, capsys):
    """With one model P(A) is 0 or 1 everywhere, and what the overseer gets wrong changes nothing held out."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["mix", "race", "overseer_error", "--seeds", "1"]) == 0
    assert "no value of overseer_error was found" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"knob": "prefrence"}, "no knob 'prefrence'"),
        ({"task": "rase"}, "rase"),
        ({"settings": {"preference": 1.0}}, "is what is searched"),
        ({"seeds": 0}, "at least 1 seed"),
        ({"task": "digits", "knob": "temptation", "settings": {"batch": 3}}, "batch must be even"),
        ({"task": "scratchpad", "settings": {"width": 0}}, "width"),
        ({"task": "scratchpad", "knob": "detection_difficulty"}, "one value alone"),
    ],
)
def test_what_cannot_be_searched_is_refused(options, problem):
    with pytest.raises(StudyError, match=problem):
        mix.run(**{"task": "race", "knob": "preference", **options})
