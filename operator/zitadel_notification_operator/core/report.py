"""What a pass says about itself: the next status, composed and never guessed.

Rules of kstatus (conventions 2) and of the design's table of causes (section 3):
trouble that may pass is Reconciling, and Stalled after ten minutes without progress;
trouble that somebody must mend is Stalled; Ready and the abnormal condition carry
the cause; `InSync` is Unknown while not Ready.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from zitadel_notification_operator.core.conditions import (
    IN_SYNC,
    READY,
    RECONCILING,
    STALLED,
    Condition,
    find,
    merge,
    parse_time,
)
from zitadel_notification_operator.core.decision import Action, Decision
from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.objects import (
    Drift,
    PolicyObject,
    PolicyStatus,
)
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import ObservedPolicy, Scope
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.text import shown_name

PROGRESS_DEADLINE = 600.0
"""Seconds after which passing trouble is Stalled (design, section 3)."""

CONTESTED = (
    "Somebody keeps changing the policy back in ZITADEL; it is put right at a growing "
    "distance, up to six hours, until they stop: status.lastDrift may tell who it is"
)
"""The message of `Contested`; without times, which would be written each time."""

REFUSALS = frozenset({Reason.INSTANCE_NOT_FOUND, Reason.NOT_GRANTED, Reason.CONFLICT})
"""Causes with which observed values go from the status."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a pass that reached its end found and did.

    Attributes:
        decision: What was needed and what was done.
        observed: The policy in force now; None when there is none.
        organization_id: The target's; None for the instance scope.
        organization_name: As last seen; None when this pass did not see it.
        original: As recorded; None in Observe.
        drift: What was put right in this pass; None when nothing was.
        contested: Somebody keeps changing it back, so that corrections wait.
    """

    decision: Decision
    observed: ObservedPolicy | None
    organization_id: str | None
    organization_name: str | None
    original: OriginalValue | None
    drift: Drift | None = None
    contested: bool = False


def settled(policy: PolicyObject, findings: Findings, now: datetime) -> PolicyStatus:
    """Compose the status after a pass that reached its end."""
    observed = findings.observed
    previous = policy.status
    moved = previous.organization_id != findings.organization_id
    kept_name = None if moved else previous.organization_name
    return PolicyStatus(
        observed_generation=policy.generation,
        conditions=merge(
            previous.conditions, _settled_conditions(policy, findings), now
        ),
        organization_id=findings.organization_id,
        organization_name=shown_name(findings.organization_name or "") or kept_name,
        is_default=observed.is_default if observed else None,
        password_change=observed.password_change if observed else None,
        sequence=observed.sequence if observed else None,
        creation_date=observed.creation_date if observed else None,
        change_date=observed.change_date if observed else None,
        resource_owner=observed.resource_owner if observed else None,
        original=findings.original,
        last_drift=findings.drift or previous.last_drift,
        last_handled_reconcile_at=_token(policy),
    )


def troubled(
    policy: PolicyObject, trouble: OperatorError, now: datetime, hint: str = ""
) -> PolicyStatus:
    """Compose the status after a pass that was stopped by trouble.

    Args:
        policy: As the API server holds it.
        trouble: What stopped the pass.
        now: The time of the pass.
        hint: What to edit when nothing else helps; ends the message.
    """
    message = steady_message(policy.status.conditions, trouble, hint)
    passing = isinstance(trouble, TransientError)
    generation = policy.generation
    ready = Condition(READY, "False", trouble.reason, message, generation)
    sync = Condition(
        IN_SYNC,
        "Unknown",
        Reason.NOT_OBSERVED,
        "What ZITADEL holds is not known while the policy is not Ready",
        generation,
    )
    abnormal = abnormal_condition(policy.status.conditions, ready, now, passing=passing)
    status = policy.status
    if trouble.reason in REFUSALS:
        status = without_values(status)
    return replace(
        status,
        observed_generation=generation,
        conditions=merge(policy.status.conditions, (abnormal, ready, sync), now),
        original=None if trouble.reason is Reason.CONFLICT else status.original,
        last_handled_reconcile_at=_token(policy),
    )


def steady_message(
    previous: tuple[Condition, ...], trouble: OperatorError, hint: str = ""
) -> str:
    """Return the message, or the one that stands when only its excerpt differs.

    An excerpt of what somebody else wrote may hold a time or a request id; a status
    that followed it would be written at each try.
    """
    message = f"{trouble.message}; {hint}" if hint else trouble.message
    ready = find(previous, READY)
    if (
        trouble.stable != trouble.message
        and ready is not None
        and ready.reason == trouble.reason
        and ready.message.startswith(trouble.stable)
        and ready.message.endswith(hint)
    ):
        return ready.message
    return message


def abnormal_condition(
    previous: tuple[Condition, ...], ready: Condition, now: datetime, *, passing: bool
) -> Condition:
    """Return Reconciling or Stalled for a Ready that is False.

    Args:
        previous: The conditions as they stand.
        ready: The Ready condition to come, with cause, message and generation.
        now: The time of the pass.
        passing: The trouble may pass by itself.
    """
    stalled = replace(ready, type=STALLED, status="True")
    if not passing:
        return stalled
    overdue = replace(stalled, reason=Reason.PROGRESS_DEADLINE_EXCEEDED)
    since = find(previous, RECONCILING)
    if since is not None and since.observed_generation == ready.observed_generation:
        waited = (now - parse_time(since.last_transition_time)).total_seconds()
        if waited >= PROGRESS_DEADLINE:
            return overdue
    was = find(previous, STALLED)
    if (
        was is not None
        and was.reason == Reason.PROGRESS_DEADLINE_EXCEEDED
        and was.observed_generation == ready.observed_generation
    ):
        return overdue
    return replace(ready, type=RECONCILING, status="True")


def suspended(policy: PolicyObject, now: datetime) -> PolicyStatus:
    """Compose the status of a suspended policy: only the root generation moves.

    Ready stays as it was, with its old generation, so that `kubectl wait` stays
    honest; a token waits for the resume (conventions 6.1).
    """
    kept = [c for c in policy.status.conditions if c.type in {READY, IN_SYNC}]
    if find(kept, READY) is None:
        message = "The policy was suspended before its first pass"
        kept.append(
            Condition(READY, "False", Reason.SUSPENDED, message, policy.generation)
        )
    return replace(
        policy.status,
        observed_generation=policy.generation,
        conditions=merge(policy.status.conditions, kept, now),
        original=policy.status.original if policy.manages else None,
    )


def unobserved(policy: PolicyObject, now: datetime, cause: str) -> PolicyStatus:
    """Compose the status when ZITADEL has been away too long to vouch for InSync."""
    sync = Condition(IN_SYNC, "Unknown", Reason.NOT_OBSERVED, cause, policy.generation)
    kept = [c for c in policy.status.conditions if c.type != IN_SYNC]
    return replace(
        policy.status, conditions=merge(policy.status.conditions, [*kept, sync], now)
    )


def unpinned(
    policy: PolicyObject, trouble: OperatorError, now: datetime
) -> PolicyStatus:
    """Compose the status when all that is known is of another target.

    Args:
        policy: It begins anew at its next pass.
        trouble: Why; what it reports until then.
        now: The time of the pass.
    """
    status = without_values(troubled(policy, trouble, now))
    if policy.suspended:
        # Nothing is under way before the resume.
        status = suspended(replace(policy, status=status), now)
    return replace(
        status,
        organization_id=None,
        original=None,
        last_handled_reconcile_at=policy.status.last_handled_reconcile_at,
    )


def ended(policy: PolicyObject, told: str, now: datetime) -> PolicyStatus:
    """Compose the status of a policy that has done all its deletion owes.

    Args:
        policy: It is still there, because somebody else's finalizer keeps it.
        told: What was done.
        now: The time of the pass.
    """
    message = f"Deleted: {told}; another finalizer keeps the object"
    ready = Condition(READY, "False", Reason.DELETED, message, policy.generation)
    return replace(
        without_values(policy.status),
        observed_generation=policy.generation,
        conditions=merge(policy.status.conditions, (ready,), now),
        original=None,
    )


def is_quiet(policy: PolicyObject) -> bool:
    """Return whether the object asks for nothing: Ready, current, token handled."""
    status = policy.status
    ready = find(status.conditions, READY)
    return (
        ready is not None
        and ready.status == "True"
        and ready.observed_generation == policy.generation
        and status.observed_generation == policy.generation
        and _token(policy) == status.last_handled_reconcile_at
    )


def is_vouched_for(policy: PolicyObject) -> bool:
    """Return whether a quiet policy's InSync is known, so nothing waits for news."""
    sync = find(policy.status.conditions, IN_SYNC)
    return is_quiet(policy) and sync is not None and sync.status != "Unknown"


def without_values(status: PolicyStatus) -> PolicyStatus:
    """Return the status without what was observed; the pinned id stays."""
    return replace(
        status,
        organization_name=None,
        is_default=None,
        password_change=None,
        sequence=None,
        creation_date=None,
        change_date=None,
        resource_owner=None,
        last_drift=None,
    )


def _token(policy: PolicyObject) -> str | None:
    return policy.requested_at or policy.status.last_handled_reconcile_at


def _settled_conditions(
    policy: PolicyObject, findings: Findings
) -> tuple[Condition, ...]:
    generation = policy.generation
    told = "ZITADEL holds the policy as declared"
    if not policy.manages:
        told = "The policy is observed; managementPolicy Observe writes nothing"
    ready = Condition(READY, "True", Reason.SUCCEEDED, told, generation)
    if findings.contested:
        state = "True" if findings.decision.in_sync else "False"
        return ready, Condition(IN_SYNC, state, Reason.CONTESTED, CONTESTED, generation)
    if findings.decision.in_sync:
        message = f"ZITADEL holds passwordChange {_word(policy.password_change)}"
        return ready, Condition(IN_SYNC, "True", Reason.IN_SYNC, message, generation)
    message = describe_difference(policy, findings)
    return ready, Condition(IN_SYNC, "False", Reason.DRIFTED, message, generation)


def describe_difference(policy: PolicyObject, findings: Findings) -> str:
    """Say what would be done, from what, to what."""
    whose = "the organization's own policy"
    if policy.scope is Scope.INSTANCE:
        whose = "the instance's policy"
    verb = "create" if findings.decision.needed is Action.CREATE else "change"
    observed = findings.observed
    was = "none"
    if observed is not None:
        was = _word(observed.password_change)
        if observed.is_default and policy.scope is Scope.ORGANIZATION:
            was += " (inherited)"
    return (
        f"Would {verb} {whose}: passwordChange from {was} "
        f"to {_word(policy.password_change)}"
    )


def _word(value: bool) -> str:  # noqa: FBT001 - a value, not a switch
    return "true" if value else "false"
