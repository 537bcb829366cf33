"""The status of a policy after a pass. It contains only what the pass has found.

The rules come from kstatus, and from docs/operations/troubleshooting.md. An error that
may pass is Reconciling, and becomes Stalled after ten minutes without progress. An
error that somebody must fix is Stalled at once. Ready and the abnormal condition name
the cause. `InSync` is Unknown while the policy is not Ready.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from .claims import PolicyKey
from .conditions import (
    IN_SYNC,
    READY,
    RECONCILING,
    STALLED,
    Condition,
    find,
    merge,
    parse_time,
)
from .decision import Action, Decision
from .errors import OperatorError, TransientError
from .original import OriginalValue, seen
from .policy import ObservedPolicy, Scope
from .policy_object import Drift, PolicyObject, PolicyStatus
from .reasons import Reason
from .settings import NO_SETTINGS
from .text import shown_name

PROGRESS_DEADLINE = 600.0
"""Seconds after which an error that may pass becomes Stalled
(docs/operations/troubleshooting.md)."""

CONTESTED = (
    "Somebody keeps changing the policy back in ZITADEL. Corrections wait longer each "
    "time, up to six hours, until this stops; status.lastDrift names who made the last "
    "change, if that is known"
)
"""The message of `Contested`.

It contains no times, because each new time would require another write of the status.
"""

REFUSALS = frozenset({Reason.INSTANCE_NOT_FOUND, Reason.NOT_GRANTED, Reason.CONFLICT})
"""Causes that remove the observed values from the status."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a completed pass found and did.

    Attributes:
        decision: What was needed and what was done.
        observed: The policy in force now; None if there is none.
        organization_id: The id of the target's organization; None for scope Instance.
        organization_name: The name of the organization; None if this pass did not see
            it.
        original: The recorded original; None in Observe.
        drift: The change that this pass corrected; None if there was none.
        contested: Whether somebody keeps reverting the policy, so that corrections
            wait.
    """

    decision: Decision
    observed: ObservedPolicy | None
    organization_id: str | None
    organization_name: str | None
    original: OriginalValue | None
    drift: Drift | None = None
    contested: bool = False


def settled(policy: PolicyObject, findings: Findings, now: datetime) -> PolicyStatus:
    """Build the status after a pass that was completed."""
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
        settings=observed.settings if observed else NO_SETTINGS,
        sequence=observed.sequence if observed else None,
        creation_date=observed.creation_date if observed else None,
        change_date=observed.change_date if observed else None,
        resource_owner=observed.resource_owner if observed else None,
        original=findings.original,
        last_drift=findings.drift or previous.last_drift,
        last_handled_reconcile_at=_token(policy),
    )


def failed(
    policy: PolicyObject,
    failure: OperatorError,
    now: datetime,
    hint: str = "",
    began: datetime | None = None,
) -> PolicyStatus:
    """Build the status after a pass that was stopped by an error.

    Args:
        policy: The object as the API server holds it.
        failure: The error that stopped the pass.
        now: The time of the pass.
        hint: What to change if nothing else helps; the end of the message.
        began: When the failure began, as in `abnormal_condition`.
    """
    message = steady_message(policy.status.conditions, failure, hint)
    passing = isinstance(failure, TransientError)
    generation = policy.generation
    ready = Condition(READY, "False", failure.reason, message, generation)
    sync = Condition(
        IN_SYNC,
        "Unknown",
        Reason.NOT_OBSERVED,
        "What ZITADEL holds is not known while the policy is not Ready",
        generation,
    )
    abnormal = abnormal_condition(
        policy.status.conditions, ready, now, began, passing=passing
    )
    conditions = [abnormal, ready, sync]
    if policy.suspended and failure.reason is Reason.SPEC_NOT_UNDERSTOOD:
        # Nothing is in progress until the policy is resumed.
        conditions.remove(abnormal)
    status = policy.status
    if failure.reason in REFUSALS:
        status = without_values(status)
    return replace(
        status,
        observed_generation=generation,
        conditions=merge(policy.status.conditions, conditions, now),
        original=None if failure.reason is Reason.CONFLICT else status.original,
        last_handled_reconcile_at=_token(policy),
    )


def steady_message(
    previous: tuple[Condition, ...], failure: OperatorError, hint: str = ""
) -> str:
    """Return the message of an error, or the present one if only its excerpt differs.

    An excerpt of another program's text may contain a time or a request id. If each new
    excerpt were used, the status would be written at each try.
    """
    message = f"{failure.message}; {hint}" if hint else failure.message
    ready = find(previous, READY)
    if (
        failure.stable != failure.message
        and ready is not None
        and ready.reason == failure.reason
        and ready.message.startswith(failure.stable)
        and ready.message.endswith(hint)
    ):
        return ready.message
    return message


def reconciling_since(
    conditions: tuple[Condition, ...], generation: int
) -> datetime | None:
    """Return since when, by the stored status, this generation has been failing.

    Returns:
        None if there is no failure, or if the failure is that of another generation.
        The time of a condition changes only with its status, so it says nothing about
        the new spec.
    """
    since = find(conditions, RECONCILING)
    if since is None or since.observed_generation != generation:
        return None
    return parse_time(since.last_transition_time)


def abnormal_condition(
    previous: tuple[Condition, ...],
    ready: Condition,
    now: datetime,
    began: datetime | None = None,
    *,
    passing: bool,
) -> Condition:
    """Return the Reconciling or Stalled condition that goes with Ready being False.

    Args:
        previous: The present conditions.
        ready: The new Ready condition, with cause, message and generation.
        now: The time of the pass.
        began: When the failure of this generation began, if the caller knows. Otherwise
            the stored Reconciling condition is used.
        passing: Whether the failure may pass by itself.
    """
    stalled = replace(ready, type=STALLED, status="True")
    if not passing:
        return stalled
    overdue = replace(stalled, reason=Reason.PROGRESS_DEADLINE_EXCEEDED)
    if find(previous, RECONCILING) is not None:
        since = began or reconciling_since(previous, ready.observed_generation)
        if since is not None and (now - since).total_seconds() >= PROGRESS_DEADLINE:
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
    """Build the status of a suspended policy: only the root generation changes.

    Ready keeps its old generation, so that `kubectl wait` does not report success for a
    spec that was not reconciled. A reconcile request waits until the policy is resumed.
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
    """Build the status when ZITADEL was away too long for InSync to be known."""
    sync = Condition(IN_SYNC, "Unknown", Reason.NOT_OBSERVED, cause, policy.generation)
    kept = [c for c in policy.status.conditions if c.type != IN_SYNC]
    return replace(
        policy.status, conditions=merge(policy.status.conditions, [*kept, sync], now)
    )


def unpinned(
    policy: PolicyObject, failure: OperatorError, now: datetime
) -> PolicyStatus:
    """Build the status when everything known is about another target.

    Args:
        policy: The policy, which starts from scratch at its next pass.
        failure: The reason, which is reported until then.
        now: The time of the pass.
    """
    status = without_values(failed(policy, failure, now))
    if policy.suspended:
        # Nothing is in progress until the policy is resumed.
        status = suspended(replace(policy, status=status), now)
    return replace(
        status,
        organization_id=None,
        original=None,
        last_handled_reconcile_at=policy.status.last_handled_reconcile_at,
    )


def ended(policy: PolicyObject, sentence: str, now: datetime) -> PolicyStatus:
    """Build the status of a policy for which the deletion work is done.

    Args:
        policy: The object, which still exists because of another finalizer.
        sentence: What was done.
        now: The time of the pass.
    """
    message = f"Deleted: {sentence}; another finalizer keeps the object"
    ready = Condition(READY, "False", Reason.DELETED, message, policy.generation)
    return replace(
        without_values(policy.status),
        observed_generation=policy.generation,
        conditions=merge(policy.status.conditions, (ready,), now),
        original=None,
    )


def is_ready_for_its_spec(policy: PolicyObject) -> bool:
    """Return whether the status says that the present spec was reconciled."""
    status = policy.status
    ready = find(status.conditions, READY)
    return (
        policy.not_understood is None
        and ready is not None
        and ready.status == "True"
        and ready.observed_generation == policy.generation
        and status.observed_generation == policy.generation
    )


def is_ready_and_current(policy: PolicyObject) -> bool:
    """Return whether the policy is Ready for its spec, without an open request.

    Such a policy is called quiet: nothing is due for it but a drift check.
    """
    is_handled = _token(policy) == policy.status.last_handled_reconcile_at
    return is_handled and is_ready_for_its_spec(policy)


def asks_for_a_pass(policy: PolicyObject) -> bool:
    """Return whether the spec changed or a reconcile was requested since the report."""
    status = policy.status
    return (
        status.observed_generation != policy.generation
        or _token(policy) != status.last_handled_reconcile_at
    )


def is_overridden(policy: PolicyObject) -> bool:
    """Return whether the status says that another policy overrules this one of a set.

    Such a policy carries no marks, as if it observed.
    """
    ready = find(policy.status.conditions, READY)
    return ready is not None and ready.reason == Reason.OVERRIDDEN


def is_observed_and_current(policy: PolicyObject) -> bool:
    """Return whether the policy is quiet and its InSync is not Unknown."""
    sync = find(policy.status.conditions, IN_SYNC)
    return (
        is_ready_and_current(policy) and sync is not None and sync.status != "Unknown"
    )


def without_values(status: PolicyStatus) -> PolicyStatus:
    """Return the status without observed values. The organization id is kept."""
    return replace(
        status,
        organization_name=None,
        is_default=None,
        settings=NO_SETTINGS,
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
    sentence = "ZITADEL holds the policy as declared"
    if not policy.manages:
        sentence = "The policy is observed; managementPolicy Observe writes nothing"
    reason = Reason.SUCCEEDED
    if policy.overridden_by is not None:
        reason, sentence = Reason.OVERRIDDEN, _overridden(policy, policy.overridden_by)
    ready = Condition(READY, "True", reason, sentence, generation)
    if findings.contested:
        state = "True" if findings.decision.in_sync else "False"
        return ready, Condition(IN_SYNC, state, Reason.CONTESTED, CONTESTED, generation)
    if findings.decision.in_sync:
        message = f"ZITADEL holds {policy.settings.describe()}"
        return ready, Condition(IN_SYNC, "True", Reason.IN_SYNC, message, generation)
    message = describe_difference(policy, findings)
    return ready, Condition(IN_SYNC, "False", Reason.DRIFTED, message, generation)


def _overridden(policy: PolicyObject, other: PolicyKey) -> str:
    name = "in another namespace"
    if other.namespace == policy.key.namespace:
        name = other.name
    return (
        f"NotificationPolicy {name} makes the setting of this organization; this one "
        "only observes it"
    )


def describe_difference(policy: PolicyObject, findings: Findings) -> str:
    """Say what the operator would do: the action, the present and the new value."""
    whose = "the organization's own policy"
    if policy.scope is Scope.INSTANCE:
        whose = "the instance's policy"
    verb = "create" if findings.decision.needed is Action.CREATE else "change"
    before = seen(findings.observed)
    inherited = before.is_default and policy.scope is Scope.ORGANIZATION
    change = policy.settings.describe_change(before.settings, inherited=inherited)
    return f"Would {verb} {whose}: {change}"
