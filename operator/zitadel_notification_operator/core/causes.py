"""Walks from an error to what has caused it.

aiohttp wraps the errors of the operating system and of OpenSSL, so that the reason that
helps a person is somewhere behind the error that was raised.
"""

from collections.abc import Iterator


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its causes and, if it is a group, its members.

    One name may have several addresses, whose failures come as a group.
    """
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        linked = (
            *(current.__cause__, current.__context__),
            # aiohttp keeps these two as attributes.
            getattr(current, "certificate_error", None),
            getattr(current, "os_error", None),
        )
        waiting.extend(cause for cause in linked if isinstance(cause, BaseException))
