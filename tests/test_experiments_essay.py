"""The list of the essay's sentences: it names every claim, and what it lacks of an essay is said."""

from experiments.blocks.claims import ESSAY, essay_sentences
from experiments.essay import END, problems
from lab import claims
from lab.config.source import read_file, read_yaml

WORDS = 7  # of a sentence may be quoted at most


def written():
    return read_yaml(read_file(ESSAY), str(ESSAY))


def test_every_number_stands_once_and_in_order():
    assert written().problems == []  # a key given twice
    assert list(essay_sentences()) == list(range(1, int(written().data["count"]) + 1))


def test_every_claim_is_named_and_every_name_is_a_claim():
    named = {name for entry in essay_sentences().values() for name in entry.get("claims", ())}
    assert named == set(claims.names())


def test_a_sentence_has_a_claim_or_a_reason_of_one_sentence_and_is_quoted_by_its_first_words():
    for number, entry in essay_sentences().items():
        assert set(entry) <= {"begins", "item", "claims", "why"}, number
        assert entry.get("claims") or entry.get("why"), number
        assert len(set(entry.get("claims", ()))) == len(entry.get("claims", ())), number
        assert len(entry["begins"].split()) <= WORDS, number
        assert len(entry.get("why", "").split()) < 30, number


def test_sentences_end_where_the_rule_says():
    text = 'He asks, "why?" Because. It is 1.5 e.g. here: no. "Yes" (A. B) ends'
    starts = [0, *(end.end() for end in END.finditer(text))]
    assert [text[start:].split()[0] for start in starts] == ["He", "Because.", "It", '"Yes"', "B)"]


def test_what_a_list_lacks_is_said():
    text = "One ends. Two says: Three and an item ends"
    entries = {
        1: {"begins": "One"},
        2: {"begins": "Two"},
        3: {"begins": "Three"},
        4: {"begins": "an item", "item": True},
    }
    assert problems(text, entries) == []
    assert problems(text, {1: entries[1], 2: entries[2]}) == ["no entry begins with 'Three and an item ends'"]
    assert problems(text, entries | {4: {"begins": "an item"}}) == ["4: 'an item' is an item there"]
    assert problems(text, entries | {2: {"begins": "Two", "item": True}}) == ["2: 'Two' is a sentence there"]
    assert problems(text, entries | {5: {"begins": "One"}}) == ["5: 'One' is not there, or not in this order"]
