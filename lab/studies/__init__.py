"""Questions that take a run of their own, or a second look at one: cards, gates, profiles, schedules and probes.

What trains imports `training` only when it is called; figures, reports, claims and commands import the studies.
"""
