"""The tasks, by name. A new task is one file here and one line of `registry`.

The lowest wing that needs JAX; `config` and `training` import it, and what only reads results does not.
What it offers stands in `__init__.pyi`; each name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
