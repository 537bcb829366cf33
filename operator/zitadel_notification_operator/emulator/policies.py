"""Notification policies by state: what each call answers, and which event it writes.

Source: ZITADEL: `org_policy_notification.go`, `instance_policy_notification.go`,
`internal/query/notification_policy.go`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zitadel_notification_operator.emulator.answers import (
    EXISTS,
    NOT_FOUND,
    PRECONDITION,
    Refusal,
    lean,
    shown,
)
from zitadel_notification_operator.emulator.events import Event, EventLog
from zitadel_notification_operator.emulator.projections import (
    INSTANCE_POLICY,
    ORG_POLICY,
    Policy,
    written_policy,
)


@dataclass(frozen=True, slots=True)
class Level:
    """What differs between the policy of an organization and of the instance.

    Attributes:
        prefix: Of the event types.
        missing: Answered to PUT when there is no policy.
        same: Answered to PUT when nothing would change.
        exists: Answered to POST when there is a policy.
    """

    prefix: str
    missing: tuple[str, str]
    same: tuple[str, str]
    exists: tuple[str, str]


ORG = Level(
    ORG_POLICY,
    ("Notification Policy not found", "ORG-x029n3"),
    ("Notification Policy not changed", "Org-ioqnxz"),
    ("Notification Policy already exists", "Org-xa08n2"),
)
INSTANCE_LEVEL = Level(
    INSTANCE_POLICY,
    ("Default Notification Policy not found", "INSTANCE-x891na"),
    ("Default Notification Policy not changed", "INSTANCE-29x02n"),
    # No translation exists for this one, so the raw key is what people see.
    ("Errors.Instance.NotificationPolicy.AlreadyExists", "INSTANCE-xpo1bj"),
)


def add(log: EventLog, level: Level, owner: str, editor: str, *, value: bool) -> Event:
    """POST policies/notification.

    Raises:
        Refusal: There is a policy, whatever its value.
    """
    if written_policy(log.of(owner), level.prefix) is not None:
        raise Refusal(EXISTS, *level.exists)
    payload = {"passwordChange": True} if value else {}
    return log.push(owner, editor, (level.prefix + "added", payload))


def change(
    log: EventLog, level: Level, owner: str, editor: str, *, value: bool
) -> Event:
    """PUT policies/notification: never creates.

    Raises:
        Refusal: There is no policy, or it has this value.
    """
    policy = written_policy(log.of(owner), level.prefix)
    if policy is None:
        raise Refusal(NOT_FOUND, *level.missing)
    if policy.password_change is value:
        raise Refusal(PRECONDITION, *level.same)
    command = (level.prefix + "changed", {"passwordChange": value})
    return log.push(owner, editor, command)


def reset(log: EventLog, owner: str, editor: str) -> Event:
    """DELETE /management/v1/policies/notification.

    Raises:
        Refusal: The organization has no policy of its own.
    """
    if written_policy(log.of(owner), ORG_POLICY) is None:
        raise Refusal(NOT_FOUND, "Notification Policy not found", "ORG-x029n1s")
    return log.push(owner, editor, (ORG_POLICY + "removed", {}))


def show(policy: Policy | None, *, is_default: bool) -> dict[str, Any]:
    """Return the answer of a GET: false fields are absent.

    Raises:
        Refusal: There is none, not even the instance's.
    """
    if policy is None:
        text = "Errors.NotificationPolicy.NotFound"
        raise Refusal(NOT_FOUND, text, "QUERY-x0so2p")
    fields = {
        "details": shown(policy.created, policy.changed),
        "isDefault": is_default,
        "passwordChange": policy.password_change,
    }
    return {"policy": lean(fields)}


def before_last_write(events: Sequence[Event], prefix: str) -> Sequence[Event]:
    """Return the events as a projection shows them that is one write behind.

    The set-up has no editor; what it wrote is never missing.
    """
    written = [
        n for n, e in enumerate(events) if e.editor and e.type.startswith(prefix)
    ]
    return events[: written[-1]] if written else events
