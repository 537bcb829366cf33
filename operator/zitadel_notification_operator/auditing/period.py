"""The beginning of a period: a time, or how long ago it is."""

import re
from datetime import UTC, datetime, timedelta

from zitadel_notification_operator.core.events import moment_of

_PART = re.compile(r"([0-9]+)([wdhms])")
_WHOLE = re.compile(r"([0-9]+[wdhms])+")
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def parse_since(text: str, now: datetime) -> datetime:
    """Return when a period begins.

    Args:
        text: A duration that goes back from now, such as `30d` or `12h`, or an RFC 3339
            time or date. A time without a zone is in UTC.
        now: The present time.

    Raises:
        ValueError: It is neither; the text shows examples.
    """
    if _WHOLE.fullmatch(text):
        parts = {_UNITS[unit]: int(number) for number, unit in _PART.findall(text)}
        try:
            return now.astimezone(UTC) - timedelta(**parts)
        except OverflowError as error:
            raise ValueError(f"{text} ago is before the calendar begins") from error
    found = moment_of(text)
    if found is None:
        raise ValueError(
            f"{text!r} is neither a duration such as 30d or 12h nor a time such as "
            "2026-01-31T08:00:00Z"
        )
    return found


def shown_time(text: str) -> str:
    """Return one of ZITADEL's times to the second, in UTC; unchanged if unreadable."""
    moment = moment_of(text)
    return text if moment is None else time_as_text(moment)


def time_as_text(moment: datetime) -> str:
    """Return a time to the second, RFC 3339 in UTC."""
    in_utc = moment.astimezone(UTC)
    # `%Y` alone would write the year 33 with two digits.
    return f"{in_utc.year:04}-{in_utc:%m-%dT%H:%M:%SZ}"
