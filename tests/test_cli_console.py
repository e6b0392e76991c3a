"""Names of a run from elsewhere: no command lets a terminal obey them, and no page takes them for markup."""

import re
from types import SimpleNamespace

import pytest
from rich.color import ColorSystem
from rich.text import Text

from lab import cli
from lab.cli.console import Console, console, errors, waiting
from lab.report.export import columns, dictionary, page
from lab.results.store import Run
from tests.hand_made import made

TITLE, CLEAR, HIDDEN, C1, TURNED = "\x1b]0;mine\x07", "\x1b[2J", "\x1b[8m", "\x9b1A", "\u202e\u2066"
HOSTILE = {
    "Which?": f"Which?{TITLE}{TURNED}",
    "hold_out": f"hold{HIDDEN}out{C1}",
    "early": f"early{TITLE}{TURNED}",
    "onset": f"on{CLEAR}set",
    "size": f"si{C1}ze",
}
NAMED = ("question", "baseline", "conditions")
OBEYED = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
STYLE = re.compile(r"\x1b\[(?!8m)[\d;]*m")


def renamed(value):
    """Return plain JSON values with every name in them replaced by its hostile one."""
    if isinstance(value, dict):
        return {renamed(key): renamed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [renamed(part) for part in value]
    for name in HOSTILE if isinstance(value, str) else ():
        value = value.replace(name, HOSTILE[name])
    return value


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    run = made(tmp_path_factory.mktemp("hostile"))
    Run.create(run.path, run.manifest | {key: renamed(run.manifest[key]) for key in NAMED})
    return str(run.path)


@pytest.fixture(params=["terminal", "file"])
def where(request, monkeypatch):
    monkeypatch.setattr("lab.cli.console.PATIENCE", 600)  # a bar moves the cursor by right
    for stream in (console, errors):
        monkeypatch.setattr(stream, "_force_terminal", request.param == "terminal")
        monkeypatch.setattr(stream, "_color_system", ColorSystem.STANDARD if request.param == "terminal" else None)
    return request.param


@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["watch", "--once"],
        ["compare"],
        ["compare", "--baseline", f"none{TITLE}"],
        ["plan", "--budget", "3"],
        ["plan", "--budget", f"3{TITLE}"],
        ["gates", "--budget", "2"],
        ["gates", "--budget", "2", "--proxy", f"none{TITLE}"],
        ["ideas"],
        ["ideas", "--regimen", f"none{CLEAR}"],
        ["probe", "--regimen", "none"],
        ["figures"],
        ["export"],
    ],
    ids=" ".join,
)
def test_no_command_lets_a_terminal_obey_a_name(folder, where, command, capsys):
    cli.main([command[0], folder, *command[1:]])
    said = "".join(capsys.readouterr())
    assert said
    assert not OBEYED.search(STYLE.sub("", said) if where == "terminal" else said)
    if command[0] not in ("figures", "export"):  # which say where they wrote
        assert re.search(r"\\x(1b|9b|07)", said)


@pytest.mark.parametrize(("patience", "said"), [(0.0, "counting ...\n"), (600.0, "")])
def test_what_takes_long_says_so_once_and_what_is_quick_says_nothing(monkeypatch, capsys, patience, said):
    """By a clock that has come to the end of a second when it is started."""

    class Timer:
        def __init__(self, interval, function):
            self.start = function if interval < 1 else lambda: None

        def cancel(self):
            pass

        join = cancel

    monkeypatch.setattr("lab.cli.console.threading", SimpleNamespace(Timer=Timer))
    monkeypatch.setattr("lab.cli.console.PATIENCE", patience)
    with waiting("counting") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", said)


def test_styles_stay_where_they_were(capsys):
    text = Text("a\x1bbc")
    text.stylize("bold", 2, 3)
    terminal = Console(force_terminal=True, color_system="standard", width=20)
    terminal.print(text)
    terminal.print("[bold]a\x1b[2Jb[/bold]")
    assert capsys.readouterr().out == "a\\x1b\x1b[1mb\x1b[0mc\n\x1b[1ma\\x1b[2Jb\x1b[0m\n"


def test_the_exported_dictionary_holds_no_markup_of_a_run(tmp_path):
    run = made(tmp_path)
    evil = "a|b`c`</td><script>alert(1)</script>\n# d\x1b[2J [e](http://f) *g*"
    manifest = run.manifest | {"name": evil, "question": evil, "source": f"name: x\n```\n{evil}\n````\n"}
    manifest["identity"] = {"device": evil}
    manifest["config"] = {**manifest["config"], "sweep": {evil: {}}}
    rows = dict.fromkeys(columns(manifest), 1)
    text = page(dictionary(manifest, rows, {"knobs": {}, "scores": {"test": evil}}))
    head, _, source = text.partition("\n`````yaml\n")
    assert source.endswith("\n`````\n")
    assert "\x1b" not in text
    assert len([line for line in head.splitlines() if line.startswith("# ")]) == 1
    shown = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", head)  # what stands in code is shown as it is
    assert "<" not in shown.replace("\\<", "")
    assert not re.search(r"(?<!\\)[`*\[](?!seeds|trained)", shown.replace("\n* ", "\n"))
    for line in head.splitlines():
        if line.startswith("| ") and "---" not in line:
            assert len(re.findall(r"(?<!\\)\|", line)) == 7
