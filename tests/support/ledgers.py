"""Short ways to events and ledgers, for tests of what people who audit read."""

from support.settings import mailing, mails
from zitadel_notification_operator.auditing.ledger import Change, Held, Ledger, Source
from zitadel_notification_operator.core.events import EventId
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.policy_events import (
    PolicyEvent,
    PolicyEventKind,
)

INSTANCE = "instance"


def event(
    kind: PolicyEventKind,
    of: str = "a",
    number: int = 1,
    value: bool | None = None,
    *,
    by: str = "u",
    name: str = "",
) -> PolicyEvent:
    """Return an event. Its number is both its sequence and its second of the day."""
    time = f"2026-01-01T00:{number // 60:02}:{number % 60:02}.5Z"
    editor = User(by, by.upper()) if by else None
    settings = mails(value)
    at_instance = of == INSTANCE
    return PolicyEvent(
        EventId(of, number), kind, at_instance, time, editor, settings, name
    )


def play(ledger: Ledger, *events: PolicyEvent) -> list[Change]:
    """Apply events and return the changes."""
    return [change for one in events if (change := ledger.apply(one)) is not None]


def brief(held: Held) -> tuple[Source, bool | None]:
    """Return the source and the value of `passwordChange`."""
    return held.source, mailing(held.settings)
