"""What is said of a training while it runs, by a clock made by hand."""

from types import SimpleNamespace

from lab.cli import watching


def test_the_forecast_knows_the_rate_of_training_alone(monkeypatch, capsys):
    """Compiling takes 60 s, then 100 lane-steps a second; the run then goes on to a look with another 40 s of work."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: clock.now))
    with watching.watched() as (progress, _, _):
        for now, done, total in [
            *((60, 0, 2000), (61, 100, 2000), (62, 200, 2000), (75, 1500, 2000), (80, 2000, 2000)),
            *((100, 0, 4000), (110, 1000, 4000)),
        ]:
            clock.now = float(now)
            progress(done, total)
    assert capsys.readouterr().err.splitlines() == [
        "trained 10%, about 18 s left",
        "trained 70%, about 5 s left",
        "trained 100%, about 0 s left",
        "trained 20%, about 30 s left",  # a quarter
    ]


def test_before_anything_was_trained_nothing_is_forecast():
    """Workers elsewhere tell of blocks that are done: a rate takes two of them, 10 s apart, with 3 to come."""
    pace = watching.Pace()
    assert [pace.left(1, 5, 50.0), pace.left(2, 5, 60.0)] == [None, 30.0]
