"""Conditions after metav1.Condition, and how a new set follows an old one.

`Ready` always; `Stalled` and `Reconciling` only while True, never both; `InSync`
on policies. Order is fixed: Stalled, Reconciling, Ready, InSync (conventions 2.1).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from zitadel_notification_operator.core.reasons import Reason

STALLED = "Stalled"
RECONCILING = "Reconciling"
READY = "Ready"
IN_SYNC = "InSync"
_ORDER = {STALLED: 0, RECONCILING: 1, READY: 2, IN_SYNC: 3}

OWN_TYPES = frozenset(_ORDER)
"""Types that only we write; others may add theirs, which we neither read nor drop."""

MESSAGE_LIMIT = 2048
"""Characters; longer messages are cut."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `status` is True, False or Unknown as text."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str = ""


def merge(
    previous: Iterable[Condition], wanted: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """Give the wanted conditions their transition times and their order.

    Args:
        previous: As the object has them now.
        wanted: The whole new set; a time already set is kept.
        now: The time of the pass, with a time zone.

    Returns:
        The new set. A time moves when the status moves; that of Reconciling also
        with a new generation, because it is the start of the progress deadline.
    """
    before = {c.type: c for c in previous}
    merged = []
    for condition in wanted:
        time = condition.last_transition_time
        if not time:
            time = _transition_time(before.get(condition.type), condition, now)
        message = condition.message[:MESSAGE_LIMIT]
        merged.append(replace(condition, last_transition_time=time, message=message))
    return tuple(sorted(merged, key=lambda c: _ORDER.get(c.type, len(_ORDER))))


def _transition_time(old: Condition | None, new: Condition, now: datetime) -> str:
    unmoved = old is not None and old.status == new.status
    if unmoved and old is not None:
        renewed = (
            new.type == RECONCILING
            and old.observed_generation != new.observed_generation
        )
        if not renewed:
            return old.last_transition_time
    return format_time(now)


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type, if there is one."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str, reason: Reason | None) -> bool:
    """Return whether the condition is True, for this reason unless None."""
    found = find(conditions, kind)
    if found is None or found.status != "True":
        return False
    return reason is None or found.reason == reason


def format_time(moment: datetime) -> str:
    """Return the time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read a time of `format_time`, with or without fractions.

    Raises:
        ValueError: It is not RFC 3339.
    """
    return datetime.fromisoformat(text)
