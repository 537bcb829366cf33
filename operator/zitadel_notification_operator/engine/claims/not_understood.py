"""Handles objects whose spec this version of the operator cannot read.

A pass over such an object writes nothing to ZITADEL and reports why. Only its deletion
goes on, by the fields that can be read (design, section 11).
"""

from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.core.policy import ManagementPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.claims.records import recorded_target


def require_understood(about: PolicyObject | InstanceObject) -> None:
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
    told = policy.status.organization_id or recorded_target(policy)
    if told is None and original is not None and not policy.can_read("organization"):
        return _as_retain("spec.organization")
    return ""


def _as_retain(what: str) -> str:
    return (
        f"this version of the operator cannot read {what}; as with Retain, ZITADEL "
        "stays as it is"
    )
