"""What all tasks share: the declaration of proxies."""

from lab.tasks import TASKS, Proxy
from lab.tasks.base import loss_terms, marks_of, scores_of


def test_terms_scores_and_marks_follow_from_the_entries_of_proxies():
    proxies = {
        "peek": Proxy(
            {"peek": "a", "peek_linear": "b"}, "sees", 0.3, {"honesty": 1}, against="peek_linear", score="c", mark=0.9
        ),
        "badge": Proxy({"badge": "d"}, "wears", score="e"),
    }
    assert loss_terms(proxies) == {"peek": "a", "peek_linear": "b", "badge": "d"}
    assert scores_of(proxies) == {"peek": "c", "badge": "e"}
    assert marks_of(proxies) == {"peek": 0.9, "badge": 0.5}
    assert [(proxy.term, proxy.against) for proxy in proxies.values()] == [("peek", "peek_linear"), ("badge", "badge")]
    assert proxies["peek"].terms == ("peek", "peek_linear")


def test_a_proxy_that_only_names_its_terms_as_in_earlier_guides_is_one_too():
    proxy = Proxy(("test", "test_linear"), "one line", 0.3)
    assert (proxy.terms, proxy.term, proxy.against) == (("test", "test_linear"), "test", "test_linear")
    assert proxy.push == 0.3


def test_every_proxy_of_the_labs_tasks_has_a_line_for_each_of_its_terms_and_for_its_score():
    for task in TASKS.values():
        for name, proxy in task.proxies.items():
            assert set(proxy.lines) == set(proxy.terms)
            assert all(proxy.lines.values()) and proxy.score, name
            assert proxy.against in proxy.terms


def test_a_task_that_there_is_not_is_not_in_the_list():
    assert "rase" not in TASKS
    assert TASKS.get("rase") is None
