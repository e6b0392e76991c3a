"""The page of a run whose scores are made by hand, in a browser."""

import csv
import io
import json
import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab import cli
from tests.hand_made_page import AT_THE_END, HOSTILE, QUOTED, SWEEP, SWEPT, place, reported

BROWSER = Path("/usr/bin/chromium")


class Opened:
    """A page in the browser, with what it asked for and what it complained about."""

    def __init__(self, browser, path, place="", **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.resolve().as_uri() + place)
        self.drawn()

    def drawn(self):
        """Wait until every chart is drawn."""
        self.page.wait_for_function("[...document.querySelectorAll('.chart')].every((chart) => chart.dataset.drawn)")

    def texts(self):
        return self.page.locator("#explore svg text").all_text_contents()

    def choose(self, which, label):
        self.page.locator(f"select[id='{which}']").select_option(label=label)
        self.page.wait_for_timeout(150)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return reported(tmp_path_factory.mktemp("page") / "a run")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    schedules = {name: {"test": [(0.5, place(name)[1]["weight"]), (1.0, 0.0)]} for name in SWEEP} | {"hold_out": {}}
    return reported(tmp_path_factory.mktemp("page") / "swept", SWEPT, question="When?", schedules=schedules)


@pytest.fixture
def opened(browser, folder):
    opened = Opened(browser, folder / "report.html", viewport={"width": 1200, "height": 900})
    yield opened
    opened.context.close()


def test_choosing_changes_the_numbers(opened):
    shown = opened.texts()
    for name, rate in (("hold out", "0.40 [0.16, 0.69]"), (QUOTED, "0.80 [0.49, 0.95]")):  # Wilson of 4 and of 8 in 10
        assert f"{rate} {name}" in shown
    for cells in AT_THE_END.values():
        assert all(str(cell) in shown for cell in cells)
    opened.choose("explore.at_checkpoint", "after 50% of training")
    opened.choose("explore.at_mark", "0.5")
    shown = opened.texts()
    # LR: 5 of 8 over 0 of 2; the name is too long beside it
    assert any(line.startswith("at least ") and line.endswith((QUOTED, "condition")) for line in shown)
    assert any(line.startswith("2.2 [") and line.endswith("hold out") for line in shown)  # LR: 3/4 over 2/6, 2.25
    opened.choose("explore.condition_a", "hold out")
    shown = opened.texts()
    assert not any(line.endswith(QUOTED) for line in shown)
    assert sum(line == "0.40 [0.16, 0.69] hold out" for line in shown) == 2


def test_a_link_shows_what_was_chosen(browser, folder, opened):
    chosen = {
        "explore.condition_a": "hold out",
        "explore.at_checkpoint": "after 50% of training",
        "explore.at_mark": "0.5",
    }
    for which, label in chosen.items():
        opened.choose(which, label)
    again = Opened(browser, folder / "report.html", opened.page.evaluate("location.hash"))
    for which, label in chosen.items():
        assert again.page.locator(f"select[id='{which}'] option:checked").text_content() == label
    again.page.wait_for_timeout(150)
    assert again.texts() == opened.texts()
    again.page.evaluate("location.hash = ''")  # back to what the page shows at first
    again.page.wait_for_timeout(150)
    assert f"0.80 [0.49, 0.95] {QUOTED}" in again.texts()
    again.context.close()


def test_nothing_leaves_and_nothing_complains(browser, opened, swept):
    sweep = Opened(browser, swept / "report.html")
    for page in (opened, sweep):
        assert page.requests
        assert all(url.startswith(("file:", "blob:", "data:")) for url in page.requests)
        assert page.complaints == []
    sweep.context.close()


def test_names_are_shown_and_not_run(opened):
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("h1").inner_text() == f"Is it {HOSTILE} better?"
    assert QUOTED in opened.page.locator("select option").all_text_contents()
    assert QUOTED in opened.page.locator("table.every th").all_text_contents()
    assert QUOTED in opened.page.locator("#outcomes svg text").all_text_contents()
    opened.page.locator("#outcomes svg .mark-rect path").last.hover()
    opened.page.wait_for_selector("#vg-tooltip-element.visible")
    assert QUOTED in opened.page.locator("#vg-tooltip-element").inner_text()
    assert opened.page.evaluate("window.hacked") is None


# --- files --------------------------------------------------------------------------------------------------------


def saved(opened, kind, of):
    """Name and bytes of what a button saves."""
    with opened.page.expect_download() as download:
        opened.page.locator(f"button[data-kind={kind}][data-of={of}]").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_the_data_are_those_of_the_command(opened, folder, capsys):
    """As JSON what `lab show --json` prints; as CSV the same numbers, a row per condition."""
    assert cli.main(["show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    name, data = saved(opened, "json", "data")
    assert (name, json.loads(data)) == ("made.json", shown)
    name, data = saved(opened, "csv", "data")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert (name, [row["name"] for row in rows]) == ("made.csv", ["hold_out", QUOTED])
    assert [float(row["base_rate.value"]) for row in rows] == [0.4, 0.8]
    assert [int(row["counts.misaligned_pass"]) for row in rows] == [1, 1]
    assert [row["likelihood_ratio.high"] for row in rows] == [
        f"{condition['likelihood_ratio']['high']}" for condition in shown["conditions"]
    ]


def test_every_chart_is_saved_in_the_colours_of_paper(browser, swept):
    opened = Opened(browser, swept / "report.html", color_scheme="dark")
    charts = opened.page.locator(".chart").evaluate_all("(charts) => charts.map((chart) => chart.id)")
    assert {"map", "budget", "outcomes", "impacts", "explore", "sweep-net"} < set(charts)
    for chart in charts:
        name, svg = saved(opened, "svg", chart)
        assert name == f"made-{chart}.svg"
        assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert b"var(" not in svg and b"currentColor" not in svg
    name, png = saved(opened, "png", "map")
    wide, high = struct.unpack(">II", png[16:24])
    box = opened.page.locator("#map svg").bounding_box()
    assert (name, png[:8]) == ("made-map.png", b"\x89PNG\r\n\x1a\n")
    assert (wide, high) == pytest.approx((2 * box["width"], 2 * box["height"]), abs=2)
    opened.context.close()


@pytest.mark.parametrize("size", ["A4", "Letter"])
def test_print_has_every_column_and_every_chart(browser, swept, size):
    """Every number of the tables, and what the charts say, lies on the paper."""
    pypdf = pytest.importorskip("pypdf", reason="no pypdf: pip install 'proxy-lab[test]'")
    opened = Opened(browser, swept / "report.html")
    cells = opened.page.locator("table.every td, table.every th").all_inner_texts()
    pdf = pypdf.PdfReader(io.BytesIO(opened.page.pdf(format=size)))
    opened.context.close()
    words, beyond = [], []
    for page in pdf.pages:

        def visit(text, matrix, text_matrix, font, size, wide=float(page.mediabox.width)):
            if text.strip():
                words.append(text)
                x = text_matrix[4] * matrix[0] + text_matrix[5] * matrix[2] + matrix[4]
                beyond.extend([text] if not 0 <= x < wide else [])

        page.extract_text(visitor_text=visit)
    printed = "".join("".join(words).split())
    assert beyond == []
    assert [cell for cell in cells if "".join(cell.split()) not in printed] == []
    for said in (
        "share of all models",
        "log impact over the baseline (nats)",
        "push, weight 3, onset 0.5",
        "net (nats)",
    ):
        assert "".join(said.split()) in printed


# --- for everybody ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (390, "light"), (1100, "dark")])
def test_axe_finds_no_violation(browser, swept, width, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install 'proxy-lab[test]'")
    opened = Opened(browser, swept / "report.html", viewport={"width": width, "height": 800}, color_scheme=scheme)
    violations = axe.Axe().run(opened.page).response["violations"]
    assert [(violation["id"], violation["nodes"][0]["html"]) for violation in violations] == []
    opened.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_does_not_scroll_sideways_and_reads_every_word(browser, swept, scheme):
    opened = Opened(browser, swept / "report.html", viewport={"width": 390, "height": 700}, color_scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    texts = (
        "[...document.querySelectorAll('.chart svg text')].map((text) => [getComputedStyle(text), text.textContent])"
    )
    styles = opened.page.evaluate(f"{texts}.map(([style, text]) => [parseFloat(style.fontSize), style.fill, text])")
    assert min(size for size, _, _ in styles) >= 12
    assert not [text for _, _, text in styles if "\u2026" in text]  # nothing is cut off
    paint = opened.page.evaluate("getComputedStyle(document.querySelector('#explore svg text')).fill")
    light = sum(map(int, re.findall(r"\d+", paint)[:3])) > 3 * 128
    assert light == (scheme == "dark")
    opened.context.close()


def test_the_tables_sort_by_value_and_search_by_name(browser, swept):
    opened = Opened(browser, swept / "report.html")
    rows = opened.page.locator("table.every tbody tr:visible th")
    tables = opened.page.locator("table.every").count()
    header = opened.page.locator("table.every th", has_text="P(A)").first
    rates = {name: aligned for name, (aligned, _) in SWEEP.items()} | {"hold_out": 4}
    for direction in ("ascending", "descending"):
        header.get_by_role("button").press("Enter")
        assert header.get_attribute("aria-sort") == direction
        names = rows.all_inner_texts()
        found = [rates[_raw(name)] for name in names[: len(rates)]]
        assert found == sorted(rates.values(), reverse=direction == "descending")
        assert names == names[: len(rates)] * tables
    opened.page.get_by_role("searchbox").fill("weight 3")
    assert set(rows.all_inner_texts()) == {"push, weight 3, onset 0", "push, weight 3, onset 0.5"}
    opened.context.close()


def _raw(name):
    """The name in the config of what the page calls so."""
    return name.replace(", weight ", " weight=").replace(", onset ", " onset=").replace("hold out", "hold_out")


def test_by_keyboard(opened):
    select = opened.page.locator("select[id='explore.at_mark']")
    select.focus()
    before = opened.texts()
    opened.page.keyboard.press("Home")
    opened.page.wait_for_timeout(150)
    assert select.input_value() == "0"
    assert opened.texts() != before
    reached = set()
    opened.page.locator("body").focus()
    for _ in range(80):
        opened.page.keyboard.press("Tab")
        reached.add(opened.page.evaluate("document.activeElement.outerHTML.slice(0, 90)"))
    controls = "[...document.querySelectorAll('button, select, summary, input, [tabindex]')]"
    shown = f"{controls}.filter((part) => part.checkVisibility()).map((part) => part.outerHTML.slice(0, 90))"
    assert set(opened.page.evaluate(shown)) <= reached


def test_a_map_shows_another_quantity_over_other_axes(browser, swept):
    """P(A) at the weights 1, 2, 3 for the onsets 0 and .5; of misaligned models 1 of 5, 1 of 2 and so on pass."""
    opened = Opened(browser, swept / "report.html")

    def numbers():
        return opened.page.locator("#map svg .mark-text.role-mark text").all_text_contents()

    assert sorted(numbers()) == sorted(f"{aligned / 10:.2f}" for aligned, _ in SWEEP.values())
    high = opened.page.locator("#map svg").bounding_box()["height"]
    opened.choose("map.x_axis", "onset")
    assert opened.page.locator("select[id='map.y_axis'] option:checked").text_content() == "weight"
    assert opened.page.locator("#map svg").bounding_box()["height"] > high  # three rows instead of two
    opened.choose("map.quantity", "P(T|not A): passing, of all misaligned models")
    passing = [fooled / (10 - aligned) for aligned, fooled in SWEEP.values() if aligned < 10]
    assert sorted(numbers()) == sorted(["n/a", *(f"{share:.2f}" for share in passing)])
    opened.choose("sweep-base_rate.x_axis", "onset")
    assert opened.page.locator("select[id='sweep-base_rate.at_1']").is_disabled()
    assert "P(A): aligned, along onset" in opened.page.locator("#sweep-base_rate svg text").all_text_contents()
    opened.context.close()
