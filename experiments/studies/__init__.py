"""Studies of the lab itself: its tasks, its intervals, its estimators, and how robust its verdicts are."""
