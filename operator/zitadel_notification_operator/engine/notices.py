"""What is told as an Event: transitions only, each once (conventions 3.3)."""

from zitadel_notification_operator.core.conditions import READY, Condition, find
from zitadel_notification_operator.core.decision import Action, Decision
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.objects import (
    Drift,
    InstanceObject,
    InstanceStatus,
    PolicyObject,
    PolicyStatus,
)
from zitadel_notification_operator.core.original import OriginalValue, seen
from zitadel_notification_operator.core.policy import ObservedPolicy, Organization
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.report import CONTESTED
from zitadel_notification_operator.engine.ports import Notice


def of_acting(
    policy: PolicyObject, decision: Decision, before: ObservedPolicy | None
) -> Notice:
    """Tell that ZITADEL was changed because the object asks for it."""
    inheritable = policy.organization is not None
    was = _value(seen(before), inheritable=inheritable)
    reason = "Created" if decision.needed is Action.CREATE else "Updated"
    return Notice(
        warning=False,
        reason=reason,
        action="Apply",
        note=f"Set passwordChange from {was} to {str(policy.password_change).lower()}",
    )


def of_correcting(drift: Drift) -> Notice:
    """Tell that a change of others was put right, and whose it was."""
    inheritable = not drift.restored.is_default
    was = _value(drift.found, inheritable=inheritable)
    now = _value(drift.restored, inheritable=False)
    whose = "in ZITADEL"
    if drift.editor is not None:
        whose += f" by {drift.editor.name or 'user'} ({drift.editor.id})"
    return Notice(
        warning=False,
        reason="DriftCorrected",
        action="Apply",
        note=f"Put right what was changed {whose}: passwordChange from {was} to {now}",
    )


def of_contest() -> Notice:
    """Tell that somebody keeps changing it back."""
    return Notice(warning=True, reason="Contested", action="Apply", note=CONTESTED)


def _value(value: OriginalValue, *, inheritable: bool) -> str:
    if value.password_change is None:
        return "none"
    word = str(value.password_change).lower()
    return f"{word} (inherited)" if value.is_default and inheritable else word


def of_settling(policy: PolicyObject, status: PolicyStatus) -> list[Notice]:
    """Tell that the policy is Ready after trouble, or that a token was handled."""
    return [
        *_of_recovering(policy.status.conditions, status.conditions),
        *_of_handling(policy.status, status),
    ]


def of_trouble(
    about: PolicyObject | InstanceObject, trouble: OperatorError
) -> list[Notice]:
    """Tell of trouble, once a cause."""
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
    """Tell that a name or domain means another organization than the removed one."""
    return Notice(
        warning=True,
        reason="OrganizationReplaced",
        action="Resolve",
        note=f"Organization {removed} has been removed; {reference} is "
        f"{organization.id} now",
    )


def of_ending(told: str) -> Notice:
    """Tell what a deletion did."""
    return Notice(
        warning=False,
        reason="Deleted",
        action="Delete",
        note=f"{told[:1].upper()}{told[1:]}",
    )


def of_waiting(instance: InstanceObject) -> Notice:
    """Tell what the deletion of an instance waits for."""
    return Notice(
        warning=True,
        reason="InstanceInUse",
        action="Delete",
        note=f"NotificationPolicy objects still need {instance.name}; it goes after "
        "the last of them: kubectl get notificationpolicies --all-namespaces",
    )


def of_instance(instance: InstanceObject, status: InstanceStatus) -> list[Notice]:
    """Tell that an instance is Ready after trouble, or that a token was handled."""
    return [
        *_of_recovering(instance.status.conditions, status.conditions),
        *_of_handling(instance.status, status),
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
