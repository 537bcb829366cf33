"""How long the other side asks us to stay away (RFC 9110, section 10.2.3).

ZITADEL itself never sends the header; proxies and ZITADEL Cloud's front do.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 300.0
"""Seconds; a longer wish is cut, so that nobody is locked out by a mistake."""


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
        # Cut as text: int() refuses thousands of digits with an error.
        seconds = float(text[:9]) if len(text) <= 9 else LONGEST
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
