"""Child processes in their own process groups that do not outlive this process."""

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
# These are below the ports that Linux (from 32768) and other systems (from 49152) give
# to outgoing connections. A client that keeps connecting to a closed port of that range
# may at some time connect to itself, and then a restarting server finds its port taken.
_PORTS = range(20000, 32768)
_TRIES = 50


def free_port() -> int:
    """Return a loopback port that is free at this moment.

    Another process may take it before the caller does, so a caller that starts a
    program on it has to retry.

    Raises:
        OSError: All of the ports that were tried are in use.
    """
    for port in random.sample(_PORTS, _TRIES):
        if is_free(port):
            return port
    raise OSError(f"No free port among {_TRIES} on 127.0.0.1")


def is_free(port: int) -> bool:
    """Return whether a loopback port is free at this moment."""
    with socket.socket() as probe:
        # Servers set this option, too; so a port counts as free even if its last
        # connections are still in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Program:
    """A running program whose output goes to a file.

    On Linux the kernel kills it when this process ends for whatever reason. On other
    systems only `stop` and `kill` end it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the program.

        Args:
            name: The name for messages.
            command: The path of the program and its arguments.
            log: The file to which its standard output and error are appended.
            environment: Its whole environment; None inherits that of this process.

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
                    # Only this process gets the signal of a Ctrl-C in a terminal, so
                    # that it can stop its programs in order.
                    process_group=0,
                    preexec_fn=die_with_us,  # noqa: PLW1509 - see `_die_with`
                )

            self._process = _launcher().submit(start).result()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the program is still running."""
        return self._process.poll() is None

    def wait(self, timeout: float) -> int:
        """Wait until the program exits and return its exit code.

        Args:
            timeout: How long to wait at most, in seconds.

        Raises:
            TimeoutExpired: It is still running.
        """
        return self._process.wait(timeout)

    def kill(self) -> None:
        """Kill the program with SIGKILL and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 10.0, with_signal: int = signal.SIGTERM) -> int:
        """Ask the program to exit by a signal, and kill it after `timeout` seconds.

        Returns:
            Its exit code, which is negative if a signal ended it.
        """
        if self.running:
            self._process.send_signal(with_signal)
            try:
                return self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.wait()

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the program's output."""
        text = self.log.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        """Return the program, which is already running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the program."""
        self.stop()


@cache
def _launcher() -> ThreadPoolExecutor:
    """Return the thread that starts all programs and lives as long as this process.

    The parent in the sense of prctl(2) is the thread that forked. So a program that a
    short-lived thread of a pool starts would be killed when that thread ends.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")


def _die_with(parent: int) -> None:
    """Ask the kernel to send SIGKILL when the parent ends.

    This runs in the new process between fork and exec. Because the parent has threads,
    only system calls are safe there, so it makes two of them and does nothing else.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the call above
        os._exit(1)
