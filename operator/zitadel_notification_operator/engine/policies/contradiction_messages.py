"""Sentences about ZITADELs whose event log and reads disagree.

They are parts of longer messages, so none of them ends with a full stop.
"""

from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Scope,
    WriteOutcome,
)
from zitadel_notification_operator.core.read_side import Attempt, Write, is_own


def describe_contradiction(attempt: Attempt, organization_id: str | None) -> str:
    """Return what a write and the GETs after it say.

    Args:
        attempt: The write, its answer, and the last GET.
        organization_id: The organization to name; None to name none.
    """
    verb = {Write.CREATE: "POST", Write.UPDATE: "PUT", Write.RESET: "DELETE"}
    whose = f" of organization {organization_id}" if organization_id else ""
    return (
        "ZITADEL's event log and its reads disagree about the notification "
        f"policy{whose}: ZITADEL {_ANSWERS[attempt.result.answer]} a "
        f"{verb[attempt.step.write]}, and a GET afterwards says "
        f"{_said(attempt.shown, attempt.scope)}"
    )


def describe_unseen_event(
    event: ZitadelEvent, shown: ObservedPolicy | None, scope: Scope
) -> str:
    """Return what the log and GETs say where the log's last event is newer.

    Args:
        event: The last event of the target in the log.
        shown: What a GET says; None if there is no policy at all.
        scope: Whose policy it is.
    """
    whose = ""
    if scope is Scope.ORGANIZATION:
        whose = f" of organization {event.id.aggregate}"
    return (
        "ZITADEL's event log and its reads disagree about the notification "
        f"policy{whose}: the log's last event of it has sequence {event.id.sequence}, "
        f"and GETs, which are older, say {_said(shown, scope)}"
    )


def _said(shown: ObservedPolicy | None, scope: Scope) -> str:
    if shown is None:
        return "that there is no policy"
    says = shown.settings.describe()
    return says if is_own(shown, scope) else f"{says} (inherited)"


_ANSWERS = {
    WriteOutcome.WRITTEN: "carried out",
    WriteOutcome.NOT_CHANGED: 'answered "not changed" to',
    WriteOutcome.ALREADY_EXISTS: 'answered "already exists" to',
    WriteOutcome.NOT_FOUND: 'answered "not found" to',
    WriteOutcome.ORGANIZATION_GONE: 'answered "no such organization" to',
}
