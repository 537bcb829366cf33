"""Handles SIGTERM and SIGINT from a command's first line to its last.

By default, Python handles only SIGINT, as an exception that may occur in the middle of
an import. SIGTERM is left to the kernel, which ends the process, or ignores the signal
for process 1 of a container. So the command line sets its handlers before it imports
anything. asyncio is imported by the methods that need a loop, because help, completion
and wrong command lines need none.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask a process to end."""

INTERRUPTED = 130
"""Exit code of a command that was interrupted before it had finished."""


class Signals:
    """Remembers the first signal, and decides what signals do from now on."""

    def __init__(self) -> None:
        self._first: signal.Signals | None = None
        self._listening = False

    def listen(self) -> None:
        """Remember signals from now on, and do nothing else.

        The main thread must call this once, before the long imports.
        """
        self._listening = True
        self._handle(lambda: None)

    def exit_at_once(self, code: int) -> None:
        """End the process at a signal, or now if there was one already.

        This is for a command that has not begun: there is nothing to undo, its modules
        may take seconds to be imported, and an exception in the middle of an import may
        end up anywhere.

        Args:
            code: The exit code.
        """
        if self._first is not None:
            os._exit(code)
        self._handle(partial(os._exit, code))

    def raise_interrupt(self) -> None:
        """Raise KeyboardInterrupt at the first signal only, so that cleanup can finish.

        Raises:
            KeyboardInterrupt: There was a signal already.
        """
        if self._first is not None:
            raise KeyboardInterrupt
        self._handle(_interrupt)

    async def keep_to_main_thread(self) -> None:
        """Let the threads that the running loop uses block the signals.

        Whenever the main thread blocks them while handlers change, the kernel would
        hand a signal to any other thread, which may then meet the default action. A
        command must await this before anything else needs a thread.
        """
        import asyncio
        import socket
        from concurrent.futures import ThreadPoolExecutor

        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(initializer=_block))
        # uvloop resolves names in threads of its own. It starts all of them for the
        # first name, and they inherit what the main thread blocks.
        before = _block()
        try:
            await loop.getaddrinfo("127.0.0.1", 0, flags=socket.AI_NUMERICHOST)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def cancel(self, task: "asyncio.Task[Any]") -> None:
        """Cancel a task of the running loop at a signal, or now if one came before."""
        import asyncio

        loop = asyncio.get_running_loop()
        for number in ENDING:
            loop.add_signal_handler(number, task.cancel)
        if self._first is not None:
            task.cancel()

    def close(self) -> None:
        """Ignore further signals: the process ends, and its exit code is decided.

        If there is a running loop, this must be called in it: when the loop closes, it
        would restore the default action, by which SIGTERM ends the process. The main
        thread blocks the signals first, and other threads do so from their beginning,
        so that nobody takes one between two handlers.
        """
        import asyncio

        if not self._listening:
            return
        _block()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        for number in ENDING:
            if loop is not None:
                loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, at_first: Callable[[], object]) -> None:
        def note(number: int, _: FrameType | None) -> None:
            first = self._first is None
            self._first = self._first or signal.Signals(number)
            if first:
                at_first()

        for number in ENDING:
            signal.signal(number, note)


def _block() -> set[signal.Signals | int]:
    """Block the signals in the calling thread; return what it blocked before."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def _interrupt() -> None:
    raise KeyboardInterrupt
