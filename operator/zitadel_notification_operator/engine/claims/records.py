"""Facts that follow from one record, or from two records of one object.

A pass over an object whose spec this version of the operator cannot read writes nothing
to ZITADEL and reports why. Only its deletion goes on, by the fields that can be read
(docs/operations/troubleshooting.md).
"""

from collections.abc import Iterable

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.conditions import READY, STALLED, find, is_true
from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import ManagementPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import REFUSALS


def is_older(new: OwnObject, known: OwnObject) -> bool:
    """Return whether a record has an older version than the known one."""
    return 0 < as_number(new.resource_version) < as_number(known.resource_version)


def newest_version(records: Iterable[OwnObject]) -> int:
    """Return the newest version among the records, or 0 if none has a number."""
    return max((as_number(record.resource_version) for record in records), default=0)


def as_number(version: str) -> int:
    """Return a resource version as a number, or 0 if it is none."""
    return int(version) if version.isdigit() else 0


def recorded_target(policy: PolicyObject) -> Target | None:
    """Return the target that a policy's own annotation names, if it has one."""
    original = policy.own_original
    return original.target if original else None


def had_its_target(policy: PolicyObject) -> bool:
    """Return whether a policy was a managing owner, by what only we write."""
    ready = find(policy.status.conditions, READY)
    refused = ready is not None and ready.reason in REFUSALS
    return policy.status.original is not None and not refused


def reported_id(instance: InstanceObject) -> str | None:
    """Return the id in an instance's status, or None if it has lost that ZITADEL."""
    lost = is_true(instance.status.conditions, STALLED, Reason.INSTANCE_CHANGED)
    return None if lost else instance.status.instance_id


def claims_may_differ(before: InstanceObject, after: InstanceObject) -> bool:
    """Return whether a change of an instance may change what its policies claim.

    To renew the claims of a hundred thousand policies takes a second, in which nothing
    else happens, and most changes are only news in the status.
    """
    return (
        before.grants != after.grants
        or before.can_read("grants") is not after.can_read("grants")
        or reported_id(before) != reported_id(after)
    )


def depends_on_zitadel(policy: PolicyObject) -> bool:
    """Return whether a status holds values that mean nothing in another ZITADEL.

    A pinned reference and an original carry no id of their ZITADEL; only the instance's
    status names it.
    """
    pinned = policy.organization_id is None and policy.status.organization_id
    return bool(pinned) or policy.status.original is not None


def require_understood(about: OwnObject) -> None:
    """Check that the object is understood.

    Raises:
        TerminalError: `SpecNotUnderstood`, with the fields that are not.
    """
    if about.not_understood is not None:
        raise TerminalError(Reason.SPEC_NOT_UNDERSTOOD, about.not_understood.sentence)


def why_as_retain(policy: PolicyObject) -> str:
    """Return why an object is deleted as if its policy were Retain.

    Empty if every field that the deletion depends on can be read.
    """
    if policy.not_understood is None or policy.management is ManagementPolicy.OBSERVE:
        return ""
    unread = ["spec.deletionPolicy"] * (not policy.can_read("deletionPolicy"))
    if policy.deletion is None and not policy.can_read("scope"):
        unread.append("spec.scope")
    unread += ["spec.instanceRef"] * (not policy.can_read("instanceRef"))
    if unread:
        return _as_retain(" and ".join(unread))
    original = policy.status.original or policy.original
    if original is None and policy.original_text is not None:
        return _as_retain("the annotation zitadel-notification.dev/original")
    organization = policy.status.organization_id or recorded_target(policy)
    if (
        organization is None
        and original is not None
        and not policy.can_read("organization")
    ):
        return _as_retain("spec.organization")
    return ""


def _as_retain(what: str) -> str:
    return (
        f"this version of the operator cannot read {what}; as with Retain, ZITADEL "
        "stays as it is"
    )
