"""Programs that end with us: in their own group, killed when the parent is gone."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
# Below the ports that Linux (32768) and others (49152) give to outgoing connections. A
# client that knocks at a closed port of that range may one day connect to itself, and
# then a server that restarts finds its port taken.
_PORTS = range(20000, 32768)
_TRIES = 50


def free_port() -> int:
    """Return a loopback port that nobody uses at this moment.

    Somebody may take it before it is used: whoever starts a program there retries.

    Raises:
        OSError: None of many ports was free.
    """
    for port in random.sample(_PORTS, _TRIES):
        if is_free(port):
            return port
    raise OSError(f"No free port among {_TRIES} on 127.0.0.1")


def is_free(port: int) -> bool:
    """Return whether nobody uses a loopback port at this moment."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Program:
    """A running program whose output goes to a file.

    On Linux the kernel kills it when our process is gone, however that went; elsewhere
    it ends by `stop` only.
    """

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

        Raises:
            OSError: The program cannot be run.
        """
        self.name = name
        self.log = log
        die_with_us = partial(_die_with, os.getpid())
        with log.open("ab") as output:

            def start() -> subprocess.Popen[bytes]:
                return subprocess.Popen(  # noqa: S603 - our own programs
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=None if environment is None else dict(environment),
                    # Ctrl-C in a terminal is for us; we stop our programs in order.
                    process_group=0,
                    preexec_fn=die_with_us,  # noqa: PLW1509 - see there
                )

            self._process = _launcher().submit(start).result()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, timeout: float) -> int:
        """Wait for its end, at most `timeout` seconds; return its exit code.

        Raises:
            TimeoutExpired: It is still running.
        """
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it as `kill -9` does, and wait."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 10.0, with_signal: int = signal.SIGTERM) -> int:
        """Ask it to end with a signal; kill it after `timeout` seconds.

        Returns:
            Its exit code; negative when a signal ended it.
        """
        if self.running:
            self._process.send_signal(with_signal)
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


@cache
def _launcher() -> ThreadPoolExecutor:
    """Return the thread that starts all programs and lives as long as we do.

    "Parent" in prctl(2) is the thread that forked: a program started by a thread of
    some pool would be killed when that pool shrinks.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")


def _die_with(parent: int) -> None:
    """Ask the kernel for SIGKILL when the parent ends; runs in the new process.

    Between fork and exec of a process with threads only system calls are safe; these
    two are all there is.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we could ask
        os._exit(1)
