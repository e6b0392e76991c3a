"""The claims of the essay: what a rule may say, and the book of sentences, verdicts and figures.

`rules` reads stored counts and makes verdicts of them, `rows` makes what a figure shows of them; `book` finds the
claims, runs and redraws them, and `judged` keeps the verdicts. Only experiments and commands import it.
What it offers stands in `__init__.pyi`; each name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
