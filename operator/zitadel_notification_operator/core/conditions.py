"""Conditions after metav1.Condition, and how a new set replaces the previous one.

`Ready` is always present. `Stalled` and `Reconciling` are present only while they are
True, and never both at once. Instances have no `InSync`. The order is fixed: Stalled,
Reconciling, Ready, InSync (kstatus).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from .reasons import Reason

STALLED = "Stalled"
RECONCILING = "Reconciling"
READY = "Ready"
IN_SYNC = "InSync"
_ORDER = {STALLED: 0, RECONCILING: 1, READY: 2, IN_SYNC: 3}

OWN_TYPES = frozenset(_ORDER)
"""The condition types that only this operator writes.

Others may add types of their own, which the operator neither reads nor removes.
"""

MESSAGE_LIMIT = 2048
"""The longest message, in characters. Longer ones are cut."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. Its `status` is the text `True`, `False` or `Unknown`."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int = 0
    last_transition_time: str = ""


def merge(
    previous: Iterable[Condition], wanted: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """Return the wanted conditions in order and with their transition times.

    Args:
        previous: The conditions that the object has now.
        wanted: The whole new set. A transition time that is already set is kept.
        now: The time of the pass, with a time zone.

    Returns:
        The new set. A transition time changes only when the status of its condition
        changes.
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
    if old is None or old.status != new.status:
        return format_time(now)
    unreadable = parse_time(old.last_transition_time) is None
    return format_time(now) if unreadable else old.last_transition_time


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of this type, or None if there is none."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str, reason: Reason) -> bool:
    """Return whether the condition is True for this reason."""
    found = find(conditions, kind)
    return found is not None and (found.status, found.reason) == ("True", reason)


def format_time(moment: datetime) -> str:
    """Return the time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime | None:
    """Parse a time in the form of `format_time`, with or without fractions of a second.

    Returns:
        None if the text is not an RFC 3339 time with a zone. Anybody may have written
        the status, so the caller treats such a value as absent and observes again
        (docs/operations/troubleshooting.md).
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
