"""What a run says: as JSON, as a table, as a page, and in words; claims and commands import it.

What it offers stands in `__init__.pyi`; each name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
