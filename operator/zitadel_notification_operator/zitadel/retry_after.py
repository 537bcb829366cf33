"""Handles `Retry-After`: how long the other side asks us to wait.

The header is defined in RFC 9110, section 10.2.3. ZITADEL itself never sends it, but
proxies and the front end of ZITADEL Cloud do.
"""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from zitadel_notification_operator.core.errors import TransientError

LONGEST = 300.0
"""The longest wait in seconds.

A longer one is cut, so that a mistake of the other side does not stop all calls.
"""

_DIGITS = 9


class RetryAfterGate:
    """Holds back all calls of one instance object until a requested wait is over."""

    def __init__(self) -> None:
        self._end = float("-inf")
        self._failure: TransientError | None = None

    def begin(self, failure: TransientError) -> None:
        """Begin or lengthen the pause, if the error says how long to wait.

        Args:
            failure: The error, with `retry_after` in seconds. All callers get it during
                the pause, so that the text does not depend on which call came first.
        """
        end = asyncio.get_running_loop().time() + (failure.retry_after or 0)
        if failure.retry_after and end > self._end:
            self._end, self._failure = end, failure

    def require_over(self) -> None:
        """Raise an error during the pause, and do nothing otherwise.

        Raises:
            TransientError: The error that began the pause, with the seconds that are
                left.
        """
        left = self._end - asyncio.get_running_loop().time()
        if self._failure is not None and left > 0:
            raise TransientError(self._failure.reason, self._failure.message, left)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the wait in seconds.

    Args:
        value: The text of the header: whole seconds, or an HTTP date.
        now: The present time, with a time zone.

    Returns:
        More than 0 and at most `LONGEST`; None if the header is absent, unreadable, or
        names a time in the past.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text) if len(text) <= _DIGITS else LONGEST
    else:
        seconds = _until(text, now)
    return min(seconds, LONGEST) if seconds > 0 else None


def _until(text: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return (moment - now).total_seconds()
    except OverflowError:
        return 0.0
