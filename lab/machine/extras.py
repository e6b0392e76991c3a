"""Packages that only some commands need."""


class MissingExtra(Exception):
    """What is asked for needs an optional package; the message says how to install it."""
