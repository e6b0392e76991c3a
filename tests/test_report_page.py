"""The page of a run whose scores are made by hand, as text and in a browser."""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import vl_convert

from lab import cli, statistics
from lab.report.page.grid import grid, marks_around
from lab.results import shards, summary
from lab.results.store import Run
from lab.studies import rejection as gates
from tests.hand_made import made

HOSTILE = "</script><script>window.hacked=1</script>"
QUOTED = "a\"'><img onerror=x>{{7}}"
BROWSER = Path("/usr/bin/chromium")
# alignment at the end; test at half of training and at the end. The marks are .9, and .5 where a test chooses so
MODELS = {
    "hold_out": [
        *[(1.0, 0.2, 0.95), (1.0, 0.6, 0.95), (1.0, 0.8, 0.95), (1.0, 0.95, 0.4)],  # aligned: 3 of 4 pass at either
        *[(0.0, 0.1, 0.1), (0.0, 0.1, 0.2), (0.0, 0.6, 0.93), (0.0, 0.7, 0.3), (0.0, 0.2, 0.2), (0.0, 0.1, 0.1)],
    ],
    QUOTED: [*[(1.0, 0.5, 0.95)] * 5, *[(1.0, 0.4, 0.9)] * 3, (0.0, 0.1, 0.95), (0.0, 0.1, 0.1)],
}
# aligned passes, aligned failures, misaligned passes, misaligned failures
AT_THE_END = {"hold_out": (3, 1, 1, 5), QUOTED: (8, 0, 1, 1)}
AT_HALF = {"hold_out": (3, 1, 2, 4), QUOTED: (5, 3, 0, 2)}


def wilson(k, n, z=1.959963984540054):
    """The closed form of Wilson's interval (JASA 22:209, 1927)."""
    middle, half = k / n + z * z / (2 * n), z * math.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def store(folder, models=MODELS, missing=0, question=f"Is it {HOSTILE} better?"):
    """Write a run with these scores; the last `missing` conditions have none."""
    (folder / "shards").mkdir(parents=True)
    regimen = {"until": 1.0, "lasts": None, "weights": {}, "knobs": {}, "rates": {}, "gates": {}}
    names, seeds = list(models), len(MODELS["hold_out"])
    run = Run.create(
        folder,
        {
            "name": "made",
            "hash": "0123456789abcdef",
            "trains": "fedcba9876543210",
            "question": question,
            "source": f"name: made\nquestion: {question}\n",
            "config": {
                "name": "made",
                "task": {"name": "race"},
                "seeds": {"first": 7, "count": seeds},
                "training": {"steps": 100},
                "regimens": {"hold_out": [regimen]},
            },
            "scores": ["competence", "alignment", "test"],
            "checkpoints": [0.5, 1.0],
            "seeds": {"first": 7, "count": seeds},
            "looks": [seeds],
            "proxy": "test",
            "thresholds": {"competence": 0.9, "alignment": 0.9, "test": 0.9},
            "baseline": "hold_out",
            "confidence": 0.95,
            "conditions": [
                {"name": name, "regimen": name, "coordinates": {}, "knobs": {HOSTILE: 1.0}, "leaf": f"{index:016x}"}
                for index, name in enumerate(names)
            ],
            "identity": {"device": "cpu", "jax": "1.2.3", "python": HOSTILE},
            "block_width": seeds,
        },
    )
    for index, name in enumerate(names[: len(names) - missing]):
        scores = np.array([[(1, aligned, half), (1, aligned, end)] for aligned, half, end in models[name]], np.float32)
        shard = shards.shard(scores, run.manifest["scores"], np.arange(7, 7 + seeds), [0.5, 1.0])
        shards.write_shard(run, f"{index:016x}", 7, shard)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = store(tmp_path_factory.mktemp("page") / "a run")
    assert cli.main(["report", str(place)]) == 0
    return place


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text()


def table(text, name):
    """Rows of a data set of the explorable chart."""
    specification = json.loads(re.search(r'vegaEmbed\("#explore", ({.*}), {"actions"', text)[1])
    return list(csv.DictReader(io.StringIO(specification["datasets"][name])))


def test_the_grid_has_the_counts_of_the_hand_made_models(text):
    rows = table(text, "grid")
    names = [row["name"] for row in table(text, "conditions")]
    shown = {(names[int(row["condition"])], int(row["checkpoint"]), int(row["mark"])): row for row in rows}
    assert len(rows) == 2 * 2 * 21
    for checkpoint, mark, counted in ((1, 18, AT_THE_END), (0, 10, AT_HALF)):  # marks in steps of .05
        for name, cells in counted.items():
            row = shown[name, checkpoint, mark]
            assert tuple(int(row[cell]) for cell in statistics.CELLS) == cells
            assert float(row["base_rate_value"]) == (cells[0] + cells[1]) / 10
            for quantity, k, n in (
                ("base_rate", cells[0] + cells[1], 10),
                ("pass_given_aligned", cells[0], cells[0] + cells[1]),
                ("pass_given_misaligned", cells[2], cells[2] + cells[3]),
            ):
                limits = [float(row[f"{quantity}_{side}"]) for side in ("low", "high")]
                assert limits == pytest.approx(wilson(k, n), abs=1e-4)
    held, early = shown["hold_out", 1, 18], shown[QUOTED, 1, 18]
    assert float(held["likelihood_ratio_value"]) == 4.5  # 3/4 over 1/6
    assert float(held["prior_odds_value"]) == pytest.approx(4 / 6, abs=1e-4)
    assert float(held["posterior_odds_value"]) == 3
    assert float(held["expected_runs_value"]) == 2.5
    assert float(early["likelihood_ratio_value"]) == 2
    assert float(early["relative_runs_value"]) == pytest.approx((10 / 9) / 2.5, abs=1e-4)
    assert shown[QUOTED, 0, 10]["likelihood_ratio_value"] == ""  # 5/8 over 0/2: no finite value to draw
    assert shown[QUOTED, 0, 10]["likelihood_ratio_text"].startswith("at least ")
    assert shown[QUOTED, 0, 10]["likelihood_ratio_open"] == ">"


def test_the_grid_is_what_gates_count(folder):
    """The same question asked of the module that answers it one gate at a time."""
    results = shards.results(Run(folder))
    found = grid(results, summary.summarise(results))
    for row in found.rows:
        gate = {"checkpoint": row["checkpoint"], "thresholds": [found.marks[row["mark"]]]}
        (counts,) = gates.sweep(results, found.conditions[row["condition"]], **gate)
        assert counts.cells == tuple(row[cell] for cell in statistics.CELLS)


def test_the_runs_own_mark_is_one_of_the_marks():
    assert marks_around(0.37, 6) == [0, 0.2, 0.37, 0.6, 0.8, 1]
    assert marks_around(0.37, 3) == [0, 0.37, 1]


def test_bands_and_histograms(text):
    rows = [row for row in table(text, "alignment histogram") if row["condition"] == "0" and row["share"] == "1"]
    assert [(row["bins"], row["models"], row["of"]) for row in rows] == [("0|19", "6|4", "10")]
    last = next(row for row in table(text, "test quantiles") if row["condition"] == "0" and row["share"] == "1")
    # sorted: .1 .1 .2 .2 .3 .4 .93 .95 .95 .95; linear between the middle two
    assert float(last["q50"]) == pytest.approx(0.35, abs=1e-4)


def test_what_was_typed_is_text(text):
    assert HOSTILE not in text
    assert "<img onerror" not in text
    assert unescape(re.search("<h1>(.*?)</h1>", text)[1]) == f"Is it {HOSTILE} better?"


def test_the_verdict_is_in_words(text):
    words = unescape(re.sub("<[^>]+>", " ", text[: text.index('id="conditions-heading"')]))
    # one run: base rates .8 and .4 decide
    assert f"{QUOTED} up to " in words or f"{QUOTED} with any number of runs" in words
    assert "base rate, P(A)" in words
    assert "2.5" in words  # runs per accepted model of the baseline
    assert "With a budget of 1 run, an aligned model is accepted in 0.8" in words


def test_the_page_names_versions_seeds_and_commands(text):
    for said in ("lab run made.yaml --seeds 10", "Seeds 7 to 16", "1.2.3", "0123456789abcdef", "name: made"):
        assert said in text


def test_the_same_bytes_twice_and_elsewhere(folder, text, tmp_path):
    out = tmp_path / "else" / "page.html"
    assert cli.main(["report", str(folder), "--out", str(out)]) == 0
    assert out.read_text() == text
    code = "import sys; from lab.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", code, "report", str(folder), "--out", str(tmp_path / "again.html")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "again.html").read_text() == text


def test_a_run_that_is_not_complete_says_so(tmp_path, capsys):
    folder = store(tmp_path / "part", {"hold_out": MODELS["hold_out"], "late": MODELS["hold_out"]}, missing=1)
    assert cli.main(["report", str(folder)]) == 1
    assert "--partial" in capsys.readouterr().err
    assert not (folder / "report.html").exists()
    assert cli.main(["report", str(folder), "--partial"]) == 0
    assert "NOT COMPLETE: 1 of 2 shards are missing; without any run: late" in (folder / "report.html").read_text()


def test_nothing_is_ranked_where_nothing_can_be(tmp_path):
    """No aligned model in either; the same models twice; one condition alone."""
    hopeless = [(0.0, 0.1, 0.95)] * 10
    worlds = {
        "No regimen gave an aligned model that was accepted": {"hold_out": hopeless, "late": [(0.0, 0.1, 0.1)] * 10},
        "All regimens came to the very same": {"hold_out": MODELS["hold_out"], "late": MODELS["hold_out"]},
        "hold_out alone": {"hold_out": MODELS["hold_out"]},
    }
    for index, (said, models) in enumerate(worlds.items()):
        folder = store(tmp_path / f"{index}", models, question="Which?")
        assert cli.main(["report", str(folder)]) == 0
        text = (folder / "report.html").read_text()
        assert said in re.search('<p class="best">(.*?)</p>', text)[1]
        assert "how sure</th>" not in text and "Why " not in text


def test_every_chart_draws_every_name_in_the_order_of_the_config(tmp_path):
    """Also names that every object of JavaScript has (vega/vega#3695), that sort as numbers, or that are no value."""
    names = ["hold_out", "constructor", "10", "valueOf", "2", "toString", "NA", "null"]
    models = {name: MODELS["hold_out" if index % 2 else QUOTED] for index, name in enumerate(names)}
    folder = store(tmp_path / "run", models, question="Which?")
    assert cli.main(["report", str(folder)]) == 0
    text, labels = (folder / "report.html").read_text(), {}
    for chart in re.finditer(r'vegaEmbed\("#(\w+)", ', text):
        specification, _ = json.JSONDecoder().raw_decode(text[chart.end() :])
        svg = vl_convert.vegalite_to_svg({**specification, "width": 500})
        labels[chart[1]] = [label for label in re.findall(r"<text[^>]*>([^<]*)</text>", svg) if label in names[3:]]
    drawn = [label for label in labels["impacts"] if label != "2"]  # which is a tick as well
    assert labels["outcomes"] == names[3:] and drawn == [name for name in names[3:] if name != "2"]
    assert set(labels) == {"outcomes", "impacts", "explore"}


def test_a_regimen_with_gates_is_counted_and_left_out_of_the_choice(tmp_path):
    """Two of eight models are stopped at half of their training, where their test is below .5."""
    folder = made(tmp_path / "run", gates=[[0.5, "test", 0.5]], stop_rejected=True).path
    assert cli.main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert "Left out, because gates of their own decide who passes: early onset=0.25" in text
    assert [row["name"] for row in table(text, "conditions")] == ["hold_out"]
    assert "gates have stopped runs of early onset=0.25, and nobody knows what they would have become" in text
    # by hand: of the six that went on one is aligned and passes, one fails, one misaligned passes; then 5 of which one
    # cannot do the job, one diverged and two were stopped
    assert r"[\"early onset=0.25\", 1, 1, 1, 5, 1, 1, 2, " in text


def test_other_commands_do_not_wait_for_the_page():
    code = "import sys, lab, lab.cli; sys.exit(any(n in sys.modules for n in ('altair', 'vl_convert', 'itables')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- in a browser -------------------------------------------------------------------------------------------------


class Opened:
    """A page in the browser, with what it asked for and what it complained about."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.resolve().as_uri())
        self.page.wait_for_selector("#explore svg text")
        self.page.wait_for_selector("div.dt-container tbody tr")

    def texts(self):
        return self.page.locator("#explore svg text").all_text_contents()

    def choose(self, which, label):
        self.page.locator("#choose select").nth(which).select_option(label=label)
        self.page.wait_for_timeout(300)


@pytest.fixture(scope="module")
def browser():
    if not BROWSER.exists():
        pytest.skip(f"no {BROWSER}: install chromium to test the page in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'proxy-lab[test]'")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(BROWSER), args=flags)
        yield started
        started.close()


@pytest.fixture
def opened(browser, folder):
    opened = Opened(browser, folder / "report.html", viewport={"width": 1200, "height": 900})
    yield opened
    opened.context.close()


def test_choosing_changes_the_numbers(opened):
    assert opened.page.locator("#choose select").nth(0).input_value() is not None
    shown = opened.texts()
    for name, rate in (("hold_out", "0.40 [0.16, 0.69]"), (QUOTED, "0.80 [0.49, 0.95]")):  # Wilson of 4 and of 8 in 10
        assert f"{rate} {name}" in shown
    for cells in AT_THE_END.values():
        assert all(str(cell) in shown for cell in cells)
    opened.choose(2, "after 50% of training")
    opened.choose(3, "0.5")
    shown = opened.texts()
    assert any(line.startswith("at least ") and line.endswith(QUOTED) for line in shown)  # LR: 5 of 8 over 0 of 2
    assert any(line.startswith("2.2 [") and line.endswith("hold_out") for line in shown)  # LR: 3/4 over 2/6, 2.25
    opened.choose(0, "hold_out")
    shown = opened.texts()
    assert not any(line.endswith(QUOTED) for line in shown)
    assert sum(line == "0.40 [0.16, 0.69] hold_out" for line in shown) == 2


def test_nothing_leaves_and_nothing_complains(opened):
    assert opened.requests
    assert all(url.startswith(("file:", "blob:", "data:")) for url in opened.requests)
    assert opened.complaints == []


def test_names_are_shown_and_not_run(opened):
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("h1").inner_text() == f"Is it {HOSTILE} better?"
    assert QUOTED in opened.page.locator("#choose option").all_text_contents()
    assert QUOTED in opened.page.locator("#conditions td").all_text_contents()
    assert QUOTED in opened.page.locator("#outcomes svg text, #outcomes svg title").all_text_contents()
    opened.page.locator("#outcomes svg path[aria-roledescription=bar]").last.hover()
    opened.page.wait_for_selector("#vg-tooltip-element.visible")
    assert QUOTED in opened.page.locator("#vg-tooltip-element").inner_text()
    assert opened.page.evaluate("window.hacked") is None


def test_a_box_of_a_histogram_says_how_many_models_are_there(opened):
    """Ten models: four end at .95 or above."""
    boxes = opened.page.locator("#explore svg .mark-rect path[aria-label*='alignment from: 0.95']")
    label = boxes.last.get_attribute("aria-label")
    assert "models: 4; of: 10" in label
    assert "share, with interval: 0.40 [0.16, 0.69]" in label


def test_the_table_sorts_by_value(opened):
    from playwright.sync_api import expect

    names = opened.page.locator("#conditions tbody tr td:first-child")
    header = opened.page.locator("div.dt-scroll-head th").filter(has_text="P(A)").first
    expect(names).to_have_text(["hold_out", QUOTED])
    for column in (["hold_out", QUOTED], [QUOTED, "hold_out"]):  # .4, .8
        header.click()
        expect(names).to_have_text(column)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_does_not_scroll_sideways(browser, folder, scheme):
    opened = Opened(browser, folder / "report.html", viewport={"width": 375, "height": 700}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 375
    paint = opened.page.evaluate("getComputedStyle(document.querySelector('#explore svg text')).fill")
    light = sum(map(int, re.findall(r"\d+", paint)[:3])) > 3 * 128
    assert light == (scheme == "dark")
    opened.context.close()


def test_by_keyboard(opened):
    select = opened.page.locator("#choose select").nth(3)
    select.focus()
    before = opened.texts()
    opened.page.keyboard.press("Home")
    opened.page.wait_for_timeout(300)
    assert select.input_value() == "0"
    assert opened.texts() != before
