"""Shows on a terminal how far long work has come; elsewhere it shows nothing."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

_AFTER = 1.0
"""Seconds after which work counts as long."""

_EVERY = 0.1
"""Seconds between two changes of the line."""


@dataclass
class Progress:
    """One line on standard error that changes.

    Args:
        what: What is counted, such as `organizations`.
        stream: Where the line is shown; None where nobody would see it.
    """

    what: str
    stream: TextIO | None

    def __post_init__(self) -> None:
        """Begin to measure the time."""
        self._next = time.monotonic() + _AFTER
        self._width = 0

    def __call__(self, done: int, total: int) -> None:
        """Show how many are done, if the line is old enough."""
        now = time.monotonic()
        if self.stream is None or now < self._next:
            return
        self._next = now + _EVERY
        self._show(f"Read {done} of {total} {self.what}")

    def clear(self) -> None:
        """Remove the line."""
        if self._width:
            self._show("")

    def _show(self, text: str) -> None:
        if self.stream is not None:
            self.stream.write(f"\r{text.ljust(self._width)}\r{text}")
            self.stream.flush()
            self._width = len(text)


@contextmanager
def progress_of(what: str) -> Iterator[Progress]:
    """Show progress on standard error while the block runs, if that is a terminal."""
    progress = Progress(what, sys.stderr if sys.stderr.isatty() else None)
    try:
        yield progress
    finally:
        progress.clear()
