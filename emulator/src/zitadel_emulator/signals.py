"""SIGTERM and SIGINT, which are a server's normal end, from its first line to its last.

By default, Python handles only SIGINT, as an exception that may occur in the middle of
an import. SIGTERM is left to the kernel, which ends the process with another code than
0, or ignores the signal for process 1 of a container.
"""

import asyncio
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals that ask the process to end."""


def exit_at_once() -> None:
    """End the process with 0 at a signal from now on; nothing has to be undone yet.

    The main thread must call this, before the long imports.
    """
    for number in ENDING:
        signal.signal(number, lambda *_: os._exit(0))


async def keep_to_main_thread() -> None:
    """Let the threads that the running loop uses block the signals.

    Whenever the main thread blocks them while handlers change, the kernel would hand a
    signal to any other thread, which may then meet the default action. This must be
    awaited before anything else needs a thread.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(initializer=block))
    # uvloop resolves names in threads of its own. It starts all of them for the first
    # name, and they inherit what the main thread blocks.
    before = block()
    try:
        await loop.getaddrinfo("127.0.0.1", 0, flags=socket.AI_NUMERICHOST)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def set_at_a_signal(stop: asyncio.Event) -> None:
    """Set an event of the running loop at each signal."""
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, stop.set)


def ignore() -> None:
    """Ignore further signals: the process ends, and its exit code is 0.

    This must be called in the running loop: when the loop closes, it would restore the
    default action, by which SIGTERM ends the process. The signals are blocked first,
    so that none arrives between two handlers.
    """
    block()
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def block() -> set[signal.Signals | int]:
    """Block the signals in the calling thread; return what it blocked before."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
