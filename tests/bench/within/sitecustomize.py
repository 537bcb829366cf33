"""Runs within the operator of a soak, and writes how many bytes it has allocated.

Python imports a module of this name at its start, if it is found. The resident memory
that the kernel knows says too little about leaks: the allocator keeps pages after a
burst of work, so it rises by steps and falls late. What is allocated is exact, if
Python takes all its memory from the C library (`PYTHONMALLOC=malloc`).
"""

import ctypes
import os
import threading
import time
from pathlib import Path

EVERY = 1.0
"""Seconds between two looks."""


class _Mallinfo2(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and newer (mallinfo(3)), over all its arenas."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _keep_writing(path: Path) -> None:
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Mallinfo2
    new = path.with_suffix(".new")
    while True:
        found = ask()
        new.write_text(f"{found.uordblks + found.hblkhd}\n")
        new.replace(path)
        time.sleep(EVERY)


# Only the operator has the variable, and it has it from `bench.lives`.
if "ZNP_SOAK_ALLOCATED" in os.environ:
    _path = Path(os.environ["ZNP_SOAK_ALLOCATED"])
    threading.Thread(target=_keep_writing, args=(_path,), daemon=True).start()
