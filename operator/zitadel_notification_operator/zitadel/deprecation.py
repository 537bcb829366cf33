"""Parses `Deprecation` and `Sunset` headers: which calls are marked, and until when.

Only successful answers to calls of the API are read. The headers of a proxy's error
page or of the token endpoint are about something else.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from zitadel_notification_operator.core.deprecation import Deprecation

from .calls import DISCOVERY, TOKEN, Call
from .excerpt import excerpt_of

LONGEST = 40
"""The longest excerpt of a header that is not a time, in characters."""

_OK = 200
_NO = {"", "false", "?0"}
_YES = {"true", "?1", "1"}


class Marks:
    """The present deprecation marks of one endpoint, by call."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, str]] = {}

    def note(
        self, call: Call, status: int, headers: Mapping[str, str], token: str
    ) -> None:
        """Record the marks of an answer. An answer without marks removes earlier ones.

        Args:
            call: The call that was made.
            status: The HTTP status of the answer.
            headers: The headers of the answer, by case-insensitive name.
            token: The token of the call, which is masked wherever a header repeats it.
        """
        if status != _OK or call.path in {TOKEN, DISCOVERY}:
            return
        deprecation = (headers.get("deprecation") or "").strip()
        sunset = (headers.get("sunset") or "").strip()
        if deprecation.lower() in _NO and not sunset:
            self._found.pop(str(call), None)
            return
        since = "" if deprecation.lower() in _NO | _YES else _shown(deprecation, token)
        self._found[str(call)] = (since, _shown(sunset, token) if sunset else "")

    def deprecation(self) -> Deprecation | None:
        """Return the marks of all calls together, or None if no call is marked."""
        if not self._found:
            return None
        since, _ = _first(since for since, _ in self._found.values())
        ends, ends_at = _first(ends for _, ends in self._found.values())
        timestamp = ends_at.timestamp() if ends_at else None
        return Deprecation(tuple(sorted(self._found)), since, ends, timestamp)


def _first(values: Iterable[str]) -> tuple[str, datetime | None]:
    """Return the earliest time as text and as a time, or else any other text."""
    found = [value for value in values if value]
    times = [time for value in found if (time := _parsed(value)) is not None]
    if times:
        return f"{min(times):%Y-%m-%d}", min(times)
    return (found[0] if found else ""), None


def _shown(value: str, token: str) -> str:
    """Return the time of a header, or an excerpt if it holds none."""
    time = value.partition(";")[0].strip()
    if _parsed(time) is not None:
        return time
    text = excerpt_of(value, token)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"


def _parsed(value: str) -> datetime | None:
    """Parse a time such as `@1688169599`, an HTTP date or an RFC 3339 time."""
    try:
        if value.startswith("@"):
            return datetime.fromtimestamp(int(value[1:]), UTC)
        if value[:1].isdigit():
            found = datetime.fromisoformat(value)
        else:
            found = parsedate_to_datetime(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
