"""Parses `Deprecation` and `Sunset` headers: which calls are marked, and until when.

Only successful answers to calls of the API are read. The headers of a proxy's error
page or of the token endpoint are about something else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.zitadel.calls import DISCOVERY, TOKEN, Call
from zitadel_notification_operator.zitadel.excerpt import excerpt_of

LONGEST = 40
"""The longest excerpt of a header that is not a time, in characters."""

_OK = 200
_NO = {"", "false", "?0"}
_YES = {"true", "?1", "1"}


@dataclass(frozen=True, slots=True)
class _Moment:
    """A time from a header; `at` is None if the header cannot be parsed."""

    text: str
    at: datetime | None = None

    @property
    def order(self) -> tuple[bool, float]:
        """A sort key that puts known times first, the earliest at the front."""
        return self.at is None, self.at.timestamp() if self.at else 0.0


class Marks:
    """The present deprecation marks of one endpoint, by call."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[_Moment | None, _Moment | None]] = {}

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
        since = ends = None
        if deprecation.lower() not in _NO | _YES:
            since = _moment(deprecation, token)
        if sunset:
            ends = _moment(sunset, token)
        self._found[str(call)] = (since, ends)

    def deprecation(self) -> Deprecation | None:
        """Return the marks of all calls together, or None if no call is marked."""
        if not self._found:
            return None
        since = _first(since for since, _ in self._found.values())
        ends = _first(ends for _, ends in self._found.values())
        return Deprecation(
            tuple(sorted(self._found)),
            since.text if since else "",
            ends.text if ends else "",
            ends.at.timestamp() if ends and ends.at else None,
        )


def _first(moments: Iterable[_Moment | None]) -> _Moment | None:
    known = [moment for moment in moments if moment is not None]
    return min(known, key=lambda moment: moment.order, default=None)


def _moment(value: str, token: str) -> _Moment:
    at = _parsed(value.partition(";")[0].strip())
    if at is not None:
        return _Moment(f"{at:%Y-%m-%d}", at)
    text = excerpt_of(value, token)
    return _Moment(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026")


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
