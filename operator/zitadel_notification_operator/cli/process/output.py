"""The standard streams: closed ones, full disks, and encodings.

What a person reads is printed in the encoding of the terminal, and what it lacks is
escaped. What a program reads, such as YAML, JSON and CSV, is always UTF-8.
"""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

import click

_UNWRITABLE = frozenset(
    {
        errno.EAGAIN,
        errno.EBADF,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ENOSPC,
    }
)
"""What a write to a disk, a device or a closed descriptor ends in."""


def open_streams() -> None:
    """Stand something in for standard streams that are closed, and escape texts.

    A closed stream is None in Python, and its number would be given to the next file
    or connection. What stands in for input and output fails when it is used. Messages
    for people are lost.
    """
    closed: Any  # The types of Python's library know nothing of None here.
    for name, mode, flag in (
        ("stdin", "r", os.O_WRONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        closed = getattr(sys, name)
        if closed is None:
            number = os.open(os.devnull, flag)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def utf8_output() -> TextIO:
    """Give standard output as UTF-8 with plain line ends, whatever the locale says.

    What is a name in no encoding, such as half of a surrogate pair, becomes `?`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="")
    return sys.stdout


def discard_output() -> None:
    """Forget what could not be written: Python would try again at its end, and fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_unwritable(error: OSError) -> int:
    """Say that the output cannot be written, and return the exit code.

    Raises:
        OSError: This error is about something else.
    """
    if error.errno not in _UNWRITABLE or error.filename is not None:
        raise error
    discard_output()
    with suppress(OSError):
        problem = os.strerror(error.errno)
        click.echo(f"Error: The output cannot be written: {problem}", err=True)
    return 1
