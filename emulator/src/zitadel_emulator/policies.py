"""The calls on notification policies: their answers and the events that they write.

Source: ZITADEL: `org_policy_notification.go`, `instance_policy_notification.go`,
`internal/query/notification_policy.go`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .answers import EXISTS, NOT_FOUND, PRECONDITION, Refusal, lean, shown
from .events import Event, EventLog
from .messages import Kind
from .projections import INSTANCE_POLICY, ORG_POLICY, Policy, written_policy


@dataclass(frozen=True, slots=True)
class Level:
    """The differences between an organization's policy and the instance's.

    Each error is a pair of its text and its id.

    Attributes:
        prefix: The prefix of the event types.
        missing: The error for a PUT if there is no policy.
        same: The error for a PUT that would change nothing.
        exists: The error for a POST if there is a policy.
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
    # ZITADEL has no translation for this text, so its answer contains the key.
    ("Errors.Instance.NotificationPolicy.AlreadyExists", "INSTANCE-xpo1bj"),
)


def add(
    log: EventLog, level: Level, owner: str, editor: str, values: Mapping[str, Any]
) -> Event:
    """Create a policy (POST policies/notification).

    Args:
        log: The event log to write to.
        level: Whether the policy is an organization's or the instance's.
        owner: The id of the organization or the instance.
        editor: The id of the caller.
        values: The values of all fields that ZITADEL knows, by lowerCamel name.

    Raises:
        Refusal: There already is a policy, with these or other values.
    """
    if written_policy(log.of(owner), level.prefix) is not None:
        raise Refusal(EXISTS, *level.exists)
    return log.push(owner, editor, (level.prefix + "added", lean(values)))


def change(
    log: EventLog, level: Level, owner: str, editor: str, values: Mapping[str, Any]
) -> Event:
    """Replace all values of an existing policy (PUT policies/notification).

    Args:
        log: The event log to write to.
        level: Whether the policy is an organization's or the instance's.
        owner: The id of the organization or the instance.
        editor: The id of the caller.
        values: The values of all fields that ZITADEL knows, by lowerCamel name.

    Raises:
        Refusal: There is no policy, or it already has all of these values.
    """
    policy = written_policy(log.of(owner), level.prefix)
    if policy is None:
        raise Refusal(NOT_FOUND, *level.missing)
    changes = {
        name: value
        for name, value in values.items()
        if value != policy.values.get(name, type(value)())
    }
    if not changes:
        raise Refusal(PRECONDITION, *level.same)
    return log.push(owner, editor, (level.prefix + "changed", changes))


def reset(log: EventLog, owner: str, editor: str) -> Event:
    """Remove an organization's policy (DELETE /management/v1/policies/notification).

    Raises:
        Refusal: The organization has no policy of its own.
    """
    if written_policy(log.of(owner), ORG_POLICY) is None:
        raise Refusal(NOT_FOUND, "Notification Policy not found", "ORG-x029n1s")
    return log.push(owner, editor, (ORG_POLICY + "removed", {}))


def show(
    policy: Policy | None, known: Mapping[str, Kind], *, is_default: bool
) -> dict[str, Any]:
    """Return the answer to a GET, without fields that are false, zero or empty.

    Args:
        policy: The policy in force, or None.
        known: The fields of a policy that this ZITADEL knows.
        is_default: Whether the policy is the instance's.

    Raises:
        Refusal: There is no policy, not even the instance's.
    """
    if policy is None:
        text = "Errors.NotificationPolicy.NotFound"
        raise Refusal(NOT_FOUND, text, "QUERY-x0so2p")
    fields = {
        "details": shown(policy.created, policy.changed),
        "isDefault": is_default,
        **{name: policy.values.get(name) for name in known},
    }
    shown_fields = lean(fields)
    for name, kind in known.items():
        if kind is Kind.UINT64 and name in shown_fields:
            shown_fields[name] = str(shown_fields[name])
    return {"policy": shown_fields}


def before_last_write(events: Sequence[Event], prefix: str) -> Sequence[Event]:
    """Return the events before the last write, as if a projection had missed it so far.

    Events without an editor come from the set-up of the instance or the control path.
    They do not count as writes here, so what the set-up wrote is never missing.
    """
    written = [
        n for n, e in enumerate(events) if e.editor and e.type.startswith(prefix)
    ]
    return events[: written[-1]] if written else events
