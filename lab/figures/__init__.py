"""Figures of finished numbers; reports, claims, experiments and commands import them.

`draw_*(data, ax)` draws and computes nothing; `*_figure(data)` lays a figure out, and `build*` saves it. The data of
a figure are plain JSON values, and lie beside its PDF and PNG as NAME.json. `palette` has the colours, `style` the one
mark of an estimate; `run` draws a run, with `response` along an axis and `worlds` drawn at random; `claim` draws a
claim, `overview` all of them, and `studies` what `lab card`, `gates`, `sensitivity` and `optimise` found.

What it offers stands in `__init__.pyi`; each name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
