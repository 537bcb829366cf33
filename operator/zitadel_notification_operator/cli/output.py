"""Standard output for files of other programs: always UTF-8, with plain line ends."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def utf8_output() -> Iterator[TextIO]:
    """Give standard output as UTF-8, whatever the locale says.

    What is a name in no encoding, such as half of a surrogate pair, becomes `?`.
    """
    sys.stdout.flush()
    stream = io.TextIOWrapper(sys.stdout.buffer, "utf-8", errors="replace", newline="")
    try:
        yield stream
        stream.flush()
    finally:
        stream.detach()
