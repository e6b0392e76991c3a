"""The list of the essay's sentences: it names every claim, and it is whole where a copy of the essay can be asked."""

import hashlib
import re
from pathlib import Path

import pytest

from experiments import pages
from lab import claims
from lab.config.source import read_file, read_yaml

ROOT = Path(pages.ROOT)
FILE = ROOT / "experiments/essay.yaml"
COPIES = (ROOT / "shared/essay.txt", ROOT.parent / "shared/essay.txt")  # the essay itself is no part of the repository
# a sentence ends at one of these marks, behind which a quotation or a bracket may close, before a capital
END = re.compile(r'[.?!:]["”)]* +(?=["“(]?[A-Z])')
WORDS = 7  # of a sentence may be quoted at most


def written():
    return read_yaml(read_file(FILE), str(FILE))


def test_every_number_stands_once_and_in_order():
    assert written().problems == []  # a key given twice
    assert list(pages.essay_sentences()) == list(range(1, int(written().data["count"]) + 1))


def test_every_claim_is_named_and_every_name_is_a_claim():
    named = {name for entry in pages.essay_sentences().values() for name in entry.get("claims", ())}
    assert named == set(claims.names())


def test_a_sentence_has_a_claim_or_a_reason_of_one_sentence_and_is_quoted_by_its_first_words():
    for number, entry in pages.essay_sentences().items():
        assert set(entry) <= {"begins", "item", "claims", "why"}, number
        assert entry.get("claims") or entry.get("why"), number
        assert len(set(entry.get("claims", ()))) == len(entry.get("claims", ())), number
        assert len(entry["begins"].split()) <= WORDS, number
        assert len(entry.get("why", "").split()) < 30, number


def test_sentences_end_where_the_rule_says():
    text = 'He asks, "why?" Because. It is 1.5 e.g. here: no. "Yes" (A. B) ends'
    starts = [0, *(end.end() for end in END.finditer(text))]
    assert [text[start:].split()[0] for start in starts] == ["He", "Because.", "It", '"Yes"', "B)"]


@pytest.mark.skipif(not any(path.exists() for path in COPIES), reason="no copy of the essay lies beside the repository")
def test_the_list_is_whole():
    """Every place where a sentence begins by the rule has its entry, and every other entry says that it is an item."""
    text = next(path for path in COPIES if path.exists()).read_text().strip()
    assert hashlib.sha256(text.encode()).hexdigest() == written().data["sha256"]
    by_rule = {0, *(end.end() for end in END.finditer(text))}
    place, found = 0, []
    for number, entry in pages.essay_sentences().items():
        candidates = [match.start() for match in re.finditer(re.escape(entry["begins"]), text[place:])]
        assert candidates, number
        place += candidates[0]
        assert (place in by_rule) != bool(entry.get("item")), number
        found.append(place)
        place += 1
    assert by_rule <= set(found)
