"""Composes Events: about transitions only, each once."""

from zitadel_notification_operator.core.conditions import READY, Condition, find
from zitadel_notification_operator.core.decision import Action, Decision
from zitadel_notification_operator.core.deprecation import Deprecation
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.instance_object import (
    DriftMethod,
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.objects import OwnObject, OwnStatus
from zitadel_notification_operator.core.original import seen
from zitadel_notification_operator.core.policy import ObservedPolicy, Organization
from zitadel_notification_operator.core.policy_object import Drift, PolicyObject
from zitadel_notification_operator.core.read_side import Missed
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.core.report import CONTESTED
from zitadel_notification_operator.core.serving import ServedBy
from zitadel_notification_operator.core.settings import Settings
from zitadel_notification_operator.engine.ports import Notice


def write_event(
    policy: PolicyObject, decision: Decision, before: ObservedPolicy | None
) -> Notice:
    """Return the Event about a change that the object asked for."""
    was = seen(before)
    inherited = was.is_default and policy.organization is not None
    change = policy.settings.describe_change(was.settings, inherited=inherited)
    reason = "Created" if decision.needed is Action.CREATE else "Updated"
    return _normal(reason, "Apply", f"Set {change}")


def drift_event(drift: Drift) -> Notice:
    """Return the Event about a corrected drift, with the user who caused it."""
    was, now = drift.found, drift.restored
    inherited = was.is_default and not now.is_default
    change = now.settings.describe_change(was.settings, inherited=inherited)
    whose = "in ZITADEL"
    if drift.editor is not None:
        whose += f" by {drift.editor.name or 'user'} ({drift.editor.id})"
    return _normal(
        "DriftCorrected", "Apply", f"Corrected a change made {whose}: {change}"
    )


def repair_event(missed: Missed, seen: str, wanted: Settings | None) -> Notice:
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
    return _warning(
        "ReadSideRepaired",
        "Repair",
        f"ZITADEL's read side had missed an event of this policy ({missed}); it "
        f"was repaired by writing again: {now}. Before the repair: {seen}",
    )


def contest_event() -> Notice:
    """Return the Event that says that somebody keeps undoing corrections."""
    return _warning("Contested", "Apply", CONTESTED)


def settled_events(about: OwnObject, status: OwnStatus) -> list[Notice]:
    """Return the Events about a recovery, and about a token that was handled."""
    return [
        *_recovery_events(about.status.conditions, status.conditions),
        *_request_events(about.status, status),
    ]


def failure_events(about: OwnObject, failure: OperatorError) -> list[Notice]:
    """Return the Event about a failure, once for each cause."""
    ready = find(about.status.conditions, READY)
    if ready is not None and ready.status == "False" and ready.reason == failure.reason:
        return []
    return [_warning(failure.reason, "Reconcile", failure.message)]


def unready_events(about: OwnObject, status: OwnStatus) -> list[Notice]:
    """Return the Event about an object that is not Ready now, once for each cause."""
    was, is_now = find(about.status.conditions, READY), find(status.conditions, READY)
    if is_now is None or is_now.status != "False":
        return []
    if was is not None and (was.status, was.reason) == ("False", is_now.reason):
        return []
    return [_warning(is_now.reason, "Reconcile", is_now.message)]


def nothing_matches_event() -> Notice:
    """Return the Event that warns of a set that selects no organization."""
    note = "No organization is selected; is there a mistake in spec.organizations?"
    return _warning(Reason.NOTHING_MATCHES, "Select", note)


def organization_event(
    removed: str, reference: Reference, organization: Organization
) -> Notice:
    """Return the Event about a reference that means a new organization now."""
    return _warning(
        "OrganizationReplaced",
        "Resolve",
        f"Organization {removed} has been removed; {reference} is "
        f"{organization.id} now",
    )


def deletion_event(sentence: str) -> Notice:
    """Return the Event about what a deletion did."""
    return _normal("Deleted", "Delete", f"{sentence[:1].upper()}{sentence[1:]}")


def waiting_event(instance: InstanceObject) -> Notice:
    """Return the Event about what the deletion of an instance waits for."""
    return _warning(
        "InstanceInUse",
        "Delete",
        f"NotificationPolicy objects have cleanup to do through {instance.name}; it is "
        f"deleted after the last of them: kubectl get {POLICY.plural} --all-namespaces",
    )


def deprecation_event(version: str | None, found: Deprecation) -> Notice:
    """Return the Event that warns of deprecated calls of ZITADEL."""
    return _warning(
        "ApiDeprecated",
        "Reconcile",
        f"ZITADEL {version or 'of an unknown version'} marks calls of this "
        f"operator as deprecated, which serve as before: {found}",
    )


def handed_over_event(to: ServedBy | None) -> Notice:
    """Return the Event about an instance that this operator serves no longer.

    Args:
        to: The installation that has asked for it; None after a change of the class.
    """
    note = "All calls have ended: the operator of spec.class may begin"
    if to is not None:
        note = f"All calls have ended: {to} may begin"
    return _normal("HandedOver", "HandOver", note)


def served_elsewhere_event(by: ServedBy, own: ServedBy) -> Notice:
    """Return the Event that warns of an instance that another installation keeps.

    Args:
        by: The installation that `status.servedBy` names.
        own: This one, which is of the same class.
    """
    note = (
        f"{by} serves this instance, so {own} leaves it alone. If that one is gone "
        "for good, or shall hand it over, set the annotation "
        f"zitadel-notification.dev/take-over: {own.namespace}"
    )
    return _warning("ServedElsewhere", "Serve", f"{note[:1].upper()}{note[1:]}")


def drift_detection_events(
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
        note = f"Drift is detected by events again after {was}"
        return [_normal("DriftEventsReadable", "DetectDrift", note)]
    if before is None and not instance.is_degraded(after):
        return []
    note = f"Policies are polled for drift: {after.reason}"
    return [_warning("DriftEventsUnreadable", "DetectDrift", note)]


def _recovery_events(
    before: tuple[Condition, ...], after: tuple[Condition, ...]
) -> list[Notice]:
    was, is_now = find(before, READY), find(after, READY)
    if was is None or is_now is None:
        return []
    if was.status == "True" or is_now.status != "True":
        return []
    return [_normal("Recovered", "Reconcile", f"Ready again after {was.reason}")]


def _request_events(before: OwnStatus, after: OwnStatus) -> list[Notice]:
    handled = after.last_handled_reconcile_at
    if not handled or handled == before.last_handled_reconcile_at:
        return []
    note = "The requested reconcile was made"
    return [_normal("ReconcileRequested", "Reconcile", note)]


def _normal(reason: str, action: str, note: str) -> Notice:
    return Notice(warning=False, reason=reason, action=action, note=note)


def _warning(reason: str, action: str, note: str) -> Notice:
    return Notice(warning=True, reason=reason, action=action, note=note)
