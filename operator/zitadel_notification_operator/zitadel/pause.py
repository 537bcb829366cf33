"""How long the other side asks us to stay away (RFC 9110, section 10.2.3).

ZITADEL itself never sends the header; proxies and ZITADEL Cloud's front do.
"""

import asyncio
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from zitadel_notification_operator.core.errors import TransientError

LONGEST = 300.0
"""Seconds; a longer wish is cut, so that nobody is locked out by a mistake."""

_DIGITS = 9


class Pause:
    """Holds back all calls of one instance object for as long as it was asked to."""

    def __init__(self) -> None:
        self._end = float("-inf")
        self._trouble: TransientError | None = None

    def begin(self, trouble: TransientError) -> None:
        """Begin or lengthen the pause, if the trouble says for how long.

        Args:
            trouble: Repeated to every caller meanwhile, so that what people read
                does not depend on who called first; `retry_after` in seconds.
        """
        end = asyncio.get_running_loop().time() + (trouble.retry_after or 0)
        if trouble.retry_after and end > self._end:
            self._end, self._trouble = end, trouble

    def require_over(self) -> None:
        """Do nothing unless the pause lasts.

        Raises:
            TransientError: As the one that began it, with the seconds that are left.
        """
        left = self._end - asyncio.get_running_loop().time()
        if self._trouble is not None and left > 0:
            raise TransientError(self._trouble.reason, self._trouble.message, left)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the wait in seconds.

    Args:
        value: The header as it stands: whole seconds, or an HTTP date.
        now: The present time, with a zone.

    Returns:
        More than 0 and at most `LONGEST`; None when absent, past, or unreadable.
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
