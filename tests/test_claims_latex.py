"""LaTeX tables of claims: they hold every number that decided, and fit a column."""

import re
import shutil
import subprocess

import pytest

from lab import claims
from lab.claims import Verdict, latex

NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?")
COLUMNS = {
    "text of NeurIPS and ICLR": r"\documentclass{article}\usepackage[textwidth=5.5in,textheight=9in]{geometry}",
    "columns of ICML": r"\documentclass[twocolumn]{article}"
    r"\usepackage[textwidth=6.75in,columnsep=.25in,textheight=9in]{geometry}",
    "columns of the class": r"\documentclass[twocolumn]{article}",
}


def numbers_in_rows(source: str) -> list[str]:
    """Return the numbers in the rows of a file of tables, as they were before they became LaTeX."""
    rows = [line for line in source.splitlines() if re.fullmatch(r"(?!& ).*(?<!continued\}) \\\\", line)]
    cells = "; ".join(
        re.sub(r"\\multicolumn.*?linewidth.*?\}\{|\\leftskip=1em|\{\}|\$ & \$(?=\.|\{)", "", row) for row in rows
    )
    return NUMBER.findall(re.sub(r"\\times10\^\{(-?\d+)\}", r"e\1", cells.replace("{,}", ",")))


def test_a_row_has_one_number_and_the_words_around_it():
    """The forms that `with_interval` writes, in sentences that claims say."""
    clauses = latex.clauses(
        "visible test: P(A) rises by 0.69 [0.67, 0.71] early, 0.10 [0.08, 0.12] late; "
        "dramatic (failures times 1,300 (at least 290), ln LR by at most -3.6, P(A) n/a); "
        "one of 0.75 [0.72, 0.78] against 7e-4 [3e-4, 0.0012] of late; wins from 0.3 on"
    )
    assert clauses == [
        ("visible test", [("P(A) rises by ... early", "0.69", "[0.67, 0.71]"), ("late", "0.10", "[0.08, 0.12]")]),
        (
            "dramatic",
            [("failures times", "1,300", "(at least 290)"), ("ln LR by", "at most -3.6", ""), ("P(A)", "n/a", "")],
        ),
        ("", [("one of", "0.75", "[0.72, 0.78]"), ("against ... of late", "7e-4", "[3e-4, 0.0012]")]),
        ("wins from 0.3 on", []),
    ]


def test_numbers_meet_at_the_decimal_point_and_have_real_minus_signs():
    verdict = Verdict(
        "depends", "P(A|T) by -0.27 [-0.30, -0.20], a_b 1,200 (at least 94), LR at least 3.5, 2e-5 [0, 5e-5]"
    )
    source = latex.tables(
        {"name": "made", "claim": "50% & more.", "tasks": {"race": {"seeds": 4096}}}, {"race": verdict}
    )
    for row in (
        r"$P(A \mid T)$ by & $-0$ & $.27$ & $[-0.30, -0.20]$ \\",
        r"a b & $1{,}200$ &  & $\ge 94$ \\",
        r"LR & $\ge 3$ & $.5$ &  \\",
        r" & $2$ & ${}\times10^{-5}$ & $[0, 5\times10^{-5}]$ \\",
        r"\textbf{race}: depends} \\",
        r"\caption{50\% \& more. Verdict: depends. Models per condition: 4,096 (race); 95\% intervals.}",
        r"\label{tab:made}",
    ):
        assert row in source


def test_every_number_of_a_caption_is_in_the_table_once():
    """Captions hold the words of the verdicts, and nothing between the overall verdict and the rule beside them."""
    for name in claims.names_with_counts():
        words = (claims.FIGURES / f"{name}.txt").read_text()
        said = words.split(" Verdict: ", 1)[1].split(claims.claim(name).rule)[0]
        table = (claims.FIGURES / f"{name}.tex").read_text()
        assert sorted(numbers_in_rows(table)) == sorted(NUMBER.findall(said)), name


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
@pytest.mark.parametrize("columns", COLUMNS)
def test_all_tables_fit_a_column(tmp_path, columns):
    """TeX itself says which box is too wide or too high."""
    files = [claims.FIGURES / f"{name}.tex" for name in claims.names_with_counts()]
    inputs = "\n".join(rf"\input{{{file}}}\clearpage" for file in files)
    article = COLUMNS[columns] + r"\usepackage{booktabs,tabularx}\begin{document}" + f"\n{inputs}\n" + r"\end{document}"
    (tmp_path / "article.tex").write_text(article)
    subprocess.run(["pdflatex", "-halt-on-error", "article.tex"], cwd=tmp_path, check=True, capture_output=True)
    log = (tmp_path / "article.log").read_text(errors="replace")
    assert "Output written on article.pdf" in log
    assert not re.findall(r"Overfull .*|.*Float too large.*|.*too narrow.*", log)
