"""Starts an emulator as a process, and ends it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from .emulated import EmulatedZitadel

_VARIABLES = "ZITADEL_EMULATOR_"
_GRACE = 10.0
"""Seconds that the emulator has to end; it needs less than one."""


class NotStarted(Exception):
    """The emulator did not start; the text has what it printed."""


@contextmanager
def start(
    token: str = "emulator-owner-token",  # noqa: S107 - of an emulator, for tests
    organizations: int = 2,
) -> Iterator[EmulatedZitadel]:
    """Run an emulator on a free port of loopback until the block ends.

    It is a process of its own, which also ends if this process is killed.

    Args:
        token: The personal access token of its IAM_OWNER.
        organizations: How many organizations it has besides the token's own: `ACME`,
            `Globex`, `Organization 3` and so on.

    Raises:
        NotStarted: It did not start.
    """
    command = [sys.executable, "-P", "-m", "zitadel_emulator.attended", "--port", "0"]
    command += ["--token", token, "--organizations", str(organizations)]
    # Variables that are meant for the command must not change what a test gets.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_VARIABLES)}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=kept,
            process_group=0,  # a Ctrl-C in a debugger is not for the emulator
        ) as process,
    ):
        url = next(iter(process.stdout or ()), b"").decode().strip()
        if not url:
            process.wait()
            errors.seek(0)
            raise NotStarted(errors.read().decode(errors="replace").strip())
        try:
            yield EmulatedZitadel(url, token)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.communicate(timeout=_GRACE)  # this closes its standard input
    except subprocess.TimeoutExpired:
        process.kill()
