"""Composes Events: about transitions only, each once (conventions 3.3)."""

from zitadel_notification_operator.core.conditions import READY, Condition, find
from zitadel_notification_operator.core.decision import Action, Decision
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.objects import (
    Drift,
    DriftMethod,
    InstanceObject,
    InstanceStatus,
    PolicyObject,
    PolicyStatus,
)
from zitadel_notification_operator.core.original import seen
from zitadel_notification_operator.core.policy import ObservedPolicy, Organization
from zitadel_notification_operator.core.read_side import Missed
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.report import CONTESTED
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.ports import Notice


def of_acting(
    policy: PolicyObject, decision: Decision, before: ObservedPolicy | None
) -> Notice:
    """Return the Event about a change that the object asked for."""
    was = seen(before)
    inherited = was.is_default and policy.organization is not None
    change = policy.settings.describe_change(was.settings, inherited=inherited)
    reason = "Created" if decision.needed is Action.CREATE else "Updated"
    return Notice(
        warning=False,
        reason=reason,
        action="Apply",
        note=f"Set {change}",
    )


def of_correcting(drift: Drift) -> Notice:
    """Return the Event about a corrected drift, with the user who caused it."""
    was, now = drift.found, drift.restored
    inherited = was.is_default and not now.is_default
    change = now.settings.describe_change(was.settings, inherited=inherited)
    whose = "in ZITADEL"
    if drift.editor is not None:
        whose += f" by {drift.editor.name or 'user'} ({drift.editor.id})"
    return Notice(
        warning=False,
        reason="DriftCorrected",
        action="Apply",
        note=f"Put right what was changed {whose}: {change}",
    )


def of_repair(missed: Missed, seen: str, wanted: Settings | None) -> Notice:
    """Return the Event about a repair of ZITADEL's read side.

    Args:
        missed: The kind of event that it had missed.
        seen: What both sides said, a sentence without a full stop.
        wanted: The settings that are in force now, or None if the organization
            inherits.
    """
    now = "the organization inherits"
    if wanted is not None:
        now = f"{wanted.describe()} is in force"
    return Notice(
        warning=True,
        reason="ReadSideRepaired",
        action="Repair",
        note=f"ZITADEL's read side had missed an event of this policy ({missed}); by "
        f"writing again it was made to take the present state: {now}. Seen before: "
        f"{seen}",
    )


def of_contest() -> Notice:
    """Return the Event that says that somebody keeps undoing corrections."""
    return Notice(warning=True, reason="Contested", action="Apply", note=CONTESTED)


def of_settling(
    about: PolicyObject | InstanceObject, status: PolicyStatus | InstanceStatus
) -> list[Notice]:
    """Return the Events about a recovery, and about a token that was handled."""
    return [
        *_of_recovering(about.status.conditions, status.conditions),
        *_of_handling(about.status, status),
    ]


def of_trouble(
    about: PolicyObject | InstanceObject, trouble: OperatorError
) -> list[Notice]:
    """Return the Event about trouble, once for each cause."""
    ready = find(about.status.conditions, READY)
    if ready is not None and ready.status == "False" and ready.reason == trouble.reason:
        return []
    return [
        Notice(
            warning=True,
            reason=trouble.reason,
            action="Reconcile",
            note=trouble.message,
        )
    ]


def of_following(
    removed: str, reference: Reference, organization: Organization
) -> Notice:
    """Return the Event about a reference that means a new organization now."""
    return Notice(
        warning=True,
        reason="OrganizationReplaced",
        action="Resolve",
        note=f"Organization {removed} has been removed; {reference} is "
        f"{organization.id} now",
    )


def of_ending(told: str) -> Notice:
    """Return the Event about what a deletion did."""
    return Notice(
        warning=False,
        reason="Deleted",
        action="Delete",
        note=f"{told[:1].upper()}{told[1:]}",
    )


def of_waiting(instance: InstanceObject) -> Notice:
    """Return the Event about what the deletion of an instance waits for."""
    return Notice(
        warning=True,
        reason="InstanceInUse",
        action="Delete",
        note=f"NotificationPolicy objects still need {instance.name}; it goes after "
        "the last of them: kubectl get notificationpolicies --all-namespaces",
    )


def of_deprecation(version: str | None, found: Deprecation) -> Notice:
    """Return the Event that warns of deprecated calls of ZITADEL."""
    return Notice(
        warning=True,
        reason="ApiDeprecated",
        action="Reconcile",
        note=f"ZITADEL {version or 'of an unknown version'} marks calls of this "
        f"operator as deprecated, which serve as before: {found}",
    )


def of_drift_detection(
    instance: InstanceObject, status: InstanceStatus
) -> list[Notice]:
    """Return the Events about drift detection by another method than the spec asks for.

    With method Auto, polling for want of a role is as the spec asks, unless events were
    read before. There is also an Event when events can be read again.
    """
    before, after = instance.status.drift_detection, status.drift_detection
    was = before.word if before is not None else ""
    if after is None or after.word == was:
        return []
    if not after.reason:
        if after.method is not DriftMethod.EVENTS:
            return []  # the spec asks for it now
        return [
            Notice(
                warning=False,
                reason="DriftEventsReadable",
                action="DetectDrift",
                note=f"Events tell of drift again after {was}",
            )
        ]
    if before is None and not instance.is_degraded(after):
        return []
    return [
        Notice(
            warning=True,
            reason="DriftEventsUnreadable",
            action="DetectDrift",
            note=f"Policies are polled for drift: {after.reason}",
        )
    ]


def _of_recovering(
    before: tuple[Condition, ...], after: tuple[Condition, ...]
) -> list[Notice]:
    was, is_now = find(before, READY), find(after, READY)
    if was is None or is_now is None:
        return []
    if was.status == "True" or is_now.status != "True":
        return []
    return [
        Notice(
            warning=False,
            reason="Recovered",
            action="Reconcile",
            note=f"Ready again after {was.reason}",
        )
    ]


def _of_handling(
    before: PolicyStatus | InstanceStatus, after: PolicyStatus | InstanceStatus
) -> list[Notice]:
    handled = after.last_handled_reconcile_at
    if not handled or handled == before.last_handled_reconcile_at:
        return []
    return [
        Notice(
            warning=False,
            reason="ReconcileRequested",
            action="Reconcile",
            note="The requested pass was made",
        )
    ]
