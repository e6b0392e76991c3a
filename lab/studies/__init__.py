"""Questions that take a run of their own, or a second look at one: each is a function `run` that returns numbers.

`card`, `sensitivity`, `schedules` and `pilot` train; `rejection` and `probe` read the results of a run, with `roc`
below them. A study that trains makes a config (`config`), trains it and reads its results (`read`):

    from lab.studies import card

    answered = card.run("race", "test", seeds=64)          # trains what is missing of runs/card-race-test-DIGEST
    answered.answers[0].verdict, answered.curves           # numbers with intervals
    lab.report.drawing.draw_card(answered, ax)             # into axes of one's own

`regimens` and `study` are what they share; `estimators` has other ways to the derivatives of `sensitivity`. `template`
makes a config to start from, with the pushes of `card` and `advice`. What trains imports `training` only when it is
called; figures, reports, claims and commands import the studies.
"""
