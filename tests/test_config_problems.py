"""What is huge is refused with its line, quickly, and many problems are counted."""

import json
from pathlib import Path

import pytest

from lab.config import experiment as config
from lab.config.experiment import ConfigError, parse
from tests.config_text import GOOD, RICH, problems

CONFIGS = Path(__file__).parent.parent / "configs"


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "1" * 5000, "0x" + "f" * 20_000, "0." + "1" * 5000])
@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("seeds: 8", "seeds: NUMBER"), "seeds"),
        (("seeds: 8", "seeds: {first: NUMBER, count: 1}"), "seeds.first"),
        (("seeds: 8", "seeds: 8\nknobs: {preference: NUMBER}"), "knobs.preference"),
        (("seeds: 8", "seeds: 8\nthresholds: {test: NUMBER}"), "thresholds.test"),
        (("seeds: 8", "seeds: 8\nsweep: {preference: [0, NUMBER]}"), "sweep.preference[1]"),
        (("seeds: 8", "seeds: 8\nnobody: {knows: NUMBER}"), "nobody.knows"),
        (("until: 0.1", "until: NUMBER"), "regimens.early[0].until"),
    ],
)
def test_a_number_of_thousands_of_digits_is_refused_with_its_line(number, change, key):
    text = GOOD.replace(change[0], change[1].replace("NUMBER", number))
    line = 1 + next(at for at, line in enumerate(text.splitlines()) if number in line)
    assert problems(text) == [f"file.yaml:{line}: {key}: a number of {len(number):,} characters; the limit is 1,000"]


def test_a_swept_phase_of_thousands_of_digits_is_not_there():
    (line,) = problems(GOOD + f"sweep: {{x: {{key: 'regimens.early[{'1' * 5000}].until', values: [0]}}}}\n")
    assert line.startswith("file.yaml:8: sweep.x.key: 'regimens.early[111")
    assert "cannot be swept: there is no phase regimens.early[111" in line
    assert len(line) < 300


HUGE = "name: huge\ntask: race\nseeds: 8\nregimens:\n  hold_out: [{until: 1}]\n"


def test_many_problems_are_counted_and_fifty_are_listed():
    found = problems(HUGE + "knobs:\n" + "".join(f"  k{index}: 1\n" for index in range(16_000)))
    assert len(found) == 51
    for index, line in enumerate(found[:-1]):
        assert line.startswith(f"file.yaml:{7 + index}: knobs.k{index}: race has no knob 'k{index}'; known: ")
    assert found[-1] == "file.yaml: and 15,950 more"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            HUGE + "sweep:\n  depth: [" + "1," * 490_000 + "]\n",
            "7: holds more than the limit of 50,000 keys and values",
        ),
        # before these 14 keys and values; a key and a value each; so line 6 + 24,994 begins with number 50,001
        (
            HUGE + "knobs:\n" + "".join(f" k{index}: 1\n" for index in range(70_000)),
            "24999: holds more than the limit of 50,000 keys and values",
        ),
        # before these 7; 5 each, of which the 9,999th ends with number 50,002
        (
            HUGE.partition("  hold")[0] + "".join(f" r{index}: [{{until: 1}}]\n" for index in range(40_000)),
            "10003: holds more than the limit of 50,000 keys and values",
        ),
        (
            HUGE + "sweep: {target: [" + "1, " * 10 + "1], depth: [" + "1, " * 10_001 + "1]}",
            "6: sweep: stands for more than the limit of 100,000 conditions",
        ),
        (HUGE + "# " + "x" * 1_000_000, " larger than the limit of 1,000,000 bytes"),
        (HUGE + "'" + "x" * 500_000 + "': 1\n", "6: not YAML: could not find expected ':'"),
        (HUGE + "question: !" + "x" * 900_000, "6: tags (!" + "x" * 59 + ") are not supported: a config is plain data"),
        (HUGE + "- " * 400_000, "6: not YAML: "),
        (HUGE + "question: " + "[" * 400_000, "6: nested deeper than the limit of 20 levels"),
    ],
    ids=["numbers", "knobs", "regimens", "values", "bytes", "key", "tag", "dashes", "depth"],
)
def test_what_is_huge_is_refused_with_its_line(text, problem):
    assert any(line.startswith(f"file.yaml:{problem}") for line in problems(text))


def test_a_sweep_of_too_many_phases_is_refused_before_it_is_expanded():
    phases = [{"until": (index + 1) / 20} for index in range(20)]
    many = {**RICH, "regimens": {"a": phases, "b": phases}, "training": {"steps": 100}}
    many["sweep"] = {"cue_cost": [index / 20_000 for index in range(20_000)]}
    assert problems(json.dumps(many)) == [
        "file.yaml:1: sweep: stands for more than the limit of 500,000 phases in all conditions"
    ]
    many["regimens"] = {"a": [{"until": 1}] * 1001, "b": [{"until": 1}]}
    assert problems(json.dumps(many)) == ["file.yaml:1: regimens.a: must hold at most 1,000 entries"]


def test_axes_of_different_regimens_do_not_multiply():
    regimens = {f"r{index}": [{"until": 0.5}, {"until": 1}] for index in range(5)}
    key = "regimens.{}[0].weights.test"
    sweep = {f"w{name}": {"key": key.format(name), "values": list(range(20))} for name in regimens}
    assert len(parse(json.dumps({**RICH, "baseline": "r0", "regimens": regimens, "sweep": sweep})).conditions) == 5 * 20


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("name: a\nquestion: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: not UTF-8 at byte 18"):
        config.load(tmp_path / "latin.yaml")
    for path in (tmp_path, tmp_path / "none.yaml", "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read"):
            config.load(path)
