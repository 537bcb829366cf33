"""What ZITADEL announces about calls that it will stop serving (RFC 9745, RFC 8594)."""

from dataclasses import dataclass

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Deprecation:
    """The calls of this operator that one ZITADEL has marked as deprecated.

    Attributes:
        calls: Method and path of each call, sorted. There is at least one.
        since: When the first of these calls was or will be deprecated: a date, or any
            other text of the header, made safe to show. Empty if not announced.
        ends: When the first of these calls will stop being served, in the same form.
        ends_at: That end as seconds since 1970; None if unknown.
    """

    calls: tuple[str, ...]
    since: str = ""
    ends: str = ""
    ends_at: float | None = None

    def __str__(self) -> str:
        """Return the marks as the end of a sentence, without a full stop."""
        text = ", ".join(self.calls[:_SHOWN])
        more = len(self.calls) - _SHOWN
        if more > 0:
            text += f" and {more} more"
        if self.since:
            text += f"; deprecated as of {self.since}"
        if self.ends:
            text += f"; not served after {self.ends}"
        return text
