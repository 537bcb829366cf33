"""Programs that end with us: started in their own group, killed with the parent."""

import ctypes
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def free_port() -> int:
    """Return a loopback port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Program:
    """A running program whose output goes to a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            name: For messages.
            command: The program's path and its arguments.
            log: Takes both its outputs, appended.
            environment: Its whole environment; None inherits ours.
        """
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls prctl alone
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout: float) -> int:
        """Wait for its end, at most `timeout` seconds; return its exit code."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it as `kill -9` does, and wait."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 10.0) -> int:
        """Ask it to end with SIGTERM; kill it after `timeout` seconds.

        Returns:
            Its exit code; negative when a signal ended it.
        """
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                return self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its output."""
        text = self.log.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()


def _die_with_parent() -> None:
    # The kernel sends SIGKILL when the starting thread's process is gone, however it
    # went: nothing may be left running after a kill -9 of the demo or of a test run.
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
