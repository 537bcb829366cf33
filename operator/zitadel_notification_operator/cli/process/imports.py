"""What makes the import of the operator's modules cheap."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CLIENTS = ("kubernetes.client", "kubernetes_asyncio.client", "pykube.objects")
"""The modules whose objects kopf accepts beside mappings, if they can be imported. The
operator hands it mappings only, and they take a quarter of the time of all imports."""


@contextmanager
def light_imports() -> Iterator[None]:
    """Import kopf without its optional clients, and collect no garbage meanwhile.

    What is imported stays until the process ends, so looking through it again and again
    finds nothing. Afterwards all of it is exempt from garbage collection.

    A client that is imported already stays as it is, and one that is not can be
    imported later as ever.
    """
    absent = [name for name in CLIENTS if name not in sys.modules]
    # That is how Python notes a module that cannot be imported.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        if collects:
            gc.enable()
