"""The status of a NotificationPolicySet: what its policies' statuses add up to.

The rules are those of a policy (kstatus): Ready and the abnormal condition name
the cause; what may pass is Reconciling, what somebody must mend is Stalled; `InSync` is
Unknown while the set is not Ready (docs/concepts/sets.md).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from .claims import PolicyKey
from .conditions import (
    IN_SYNC,
    MESSAGE_LIMIT,
    READY,
    STALLED,
    Condition,
    find,
    merge,
)
from .errors import OperatorError, TransientError
from .policy import Organization
from .policy_object import PolicyObject
from .reasons import Reason
from .report import abnormal_condition, is_overridden, steady_message
from .set_object import Removal, SetCounts, SetFailure, SetObject, SetStatus
from .text import shown_name

SHOWN_FAILURES = 10
"""How many failures a status lists (docs/concepts/sets.md)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One organization of a set, with the policy that the set makes for it.

    Attributes:
        organization: The organization as the directory knows it.
        key: The name of its policy.
        policy: The policy; None until it exists.
        problem: Why the set cannot make the policy, or None.
    """

    organization: Organization
    key: PolicyKey
    policy: PolicyObject | None = None
    problem: OperatorError | None = None


class _Result(StrEnum):
    READY = "ready"
    OVERRIDDEN = "overridden"
    FAILED = "failed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Fold:
    """What the members of a set add up to.

    Attributes:
        counts: The numbers of members by result.
        failures: Some of the members that failed, those that failed first first.
        is_stalled: Whether somebody must act for one of them.
    """

    counts: SetCounts
    failures: tuple[SetFailure, ...] = ()
    is_stalled: bool = False


def fold(members: Iterable[Member], removing: int) -> Fold:
    """Add up the members' results.

    Args:
        members: The selected organizations, in any order.
        removing: The number of policies whose organizations are no longer selected.
    """
    tally = dict.fromkeys(_Result, 0)
    drifted, stalled = 0, False
    failed: list[tuple[str, str, Member]] = []
    for member in members:
        result = _result_of(member)
        tally[result] += 1
        if result is _Result.FAILED:
            failed.append((_since(member), member.organization.id, member))
            stalled = stalled or _is_stalled(member)
        elif result is _Result.READY and _is_drifted(member):
            drifted += 1
    failed.sort(key=lambda one: one[:2])
    counts = SetCounts(
        matched=sum(tally.values()), drifted=drifted, removing=removing, **tally
    )
    first = tuple(_failure_of(member) for *_, member in failed[:SHOWN_FAILURES])
    return Fold(counts, first, stalled)


def settled(
    one: SetObject,
    found: Fold,
    now: datetime,
    failure: OperatorError | None = None,
    removal: Removal | None = None,
) -> SetStatus:
    """Build the status after a pass.

    Args:
        one: The set as the API server holds it.
        found: What its members add up to.
        now: The time of the pass.
        failure: What stopped the pass or a part of it, or None.
        removal: What waits for an approval, or None.
    """
    generation = one.generation
    if failure is not None:
        message = steady_message(one.status.conditions, failure)
        conditions = _unready(
            one,
            failure.reason,
            message,
            now,
            passing=isinstance(failure, TransientError),
        )
    elif found.counts.failed or found.counts.pending:
        message = _describe_unready(found)
        conditions = _unready(
            one,
            Reason.POLICIES_NOT_READY,
            message,
            now,
            passing=not found.is_stalled,
            # A long roll-out makes progress all the time, so it is never overdue.
            began=None if found.counts.failed else now,
        )
    else:
        conditions = [*_ready(found, generation)]
    return SetStatus(
        observed_generation=generation,
        conditions=merge(one.status.conditions, conditions, now),
        last_handled_reconcile_at=one.requested_at
        or one.status.last_handled_reconcile_at,
        organizations=found.counts,
        failures=found.failures,
        removal=removal,
    )


def suspended(one: SetObject, found: Fold, now: datetime) -> SetStatus:
    """Build the status of a suspended set: Ready and InSync stay as they were."""
    kept = [c for c in one.status.conditions if c.type in {READY, IN_SYNC}]
    if find(kept, READY) is None:
        message = "The set was suspended before its first pass"
        kept.append(
            Condition(READY, "False", Reason.SUSPENDED, message, one.generation)
        )
    return replace(
        one.status,
        observed_generation=one.generation,
        conditions=merge(one.status.conditions, kept, now),
        organizations=found.counts,
        failures=found.failures,
        removal=None,
    )


def deleting(one: SetObject, left: Sequence[PolicyObject], now: datetime) -> SetStatus:
    """Build the status of a set that waits for the end of its policies."""
    stopped = next((p for p in sorted(left, key=_age) if _message_of(p)), None)
    message = f"{len(left)} of its policies are left"
    if stopped is not None:
        message += f"; {stopped.name}: {_message_of(stopped)}"
    conditions = _unready(one, Reason.POLICIES_NOT_READY, message, now, passing=True)
    return replace(
        one.status,
        observed_generation=one.generation,
        conditions=merge(one.status.conditions, conditions, now),
        organizations=SetCounts(removing=len(left)),
        failures=(),
        removal=None,
    )


def is_current(one: SetObject) -> bool:
    """Return whether the status is about the present spec and the present token."""
    status = one.status
    token = one.requested_at or status.last_handled_reconcile_at
    return (
        status.observed_generation == one.generation
        and token == status.last_handled_reconcile_at
    )


def _result_of(member: Member) -> _Result:
    policy = member.policy
    if member.problem is not None:
        return _Result.FAILED
    if policy is None or policy.deleting:
        return _Result.PENDING
    ready = find(policy.status.conditions, READY)
    if ready is None or policy.status.observed_generation != policy.generation:
        return _Result.PENDING
    if ready.status != "True":
        return _Result.FAILED
    return _Result.OVERRIDDEN if is_overridden(policy) else _Result.READY


def _is_drifted(member: Member) -> bool:
    policy = member.policy
    sync = find(policy.status.conditions, IN_SYNC) if policy is not None else None
    return sync is not None and sync.status == "False"


def _is_stalled(member: Member) -> bool:
    if member.problem is not None:
        return not isinstance(member.problem, TransientError)
    policy = member.policy
    return policy is not None and find(policy.status.conditions, STALLED) is not None


def _since(member: Member) -> str:
    """Return when the failure began; texts of these times sort by time."""
    ready = member.policy and find(member.policy.status.conditions, READY)
    return ready.last_transition_time if ready else ""


def _failure_of(member: Member) -> SetFailure:
    reason, message = Reason.POLICIES_NOT_READY.value, ""
    ready = member.policy and find(member.policy.status.conditions, READY)
    if member.problem is not None:
        reason, message = member.problem.reason, member.problem.message
    elif ready:
        reason, message = ready.reason, ready.message
    return SetFailure(
        organization_id=member.organization.id,
        organization_name=shown_name(member.organization.name),
        policy=member.key.name,
        reason=reason,
        message=message[:MESSAGE_LIMIT],
    )


def _unready(
    one: SetObject,
    reason: str,
    message: str,
    now: datetime,
    *,
    passing: bool,
    began: datetime | None = None,
) -> list[Condition]:
    generation = one.generation
    ready = Condition(READY, "False", reason, message, generation)
    sync = Condition(
        IN_SYNC,
        "Unknown",
        Reason.NOT_OBSERVED,
        "Not every organization was observed while the set is not Ready",
        generation,
    )
    before = one.status.conditions
    abnormal = abnormal_condition(before, ready, now, began, passing=passing)
    return [abnormal, ready, sync]


def _ready(found: Fold, generation: int) -> tuple[Condition, Condition]:
    counts = found.counts
    reason = Reason.SUCCEEDED
    message = f"{_organizations(counts.ready)} as declared or observed"
    if counts.overridden:
        message += f"; other policies make the setting of {counts.overridden}"
    if not counts.matched:
        reason, message = Reason.NOTHING_MATCHES, "No organization is selected"
    ready = Condition(READY, "True", reason, message, generation)
    if counts.drifted:
        message = f"ZITADEL holds something else for {counts.drifted} of {counts.ready}"
        return ready, Condition(IN_SYNC, "False", Reason.DRIFTED, message, generation)
    message = f"{_organizations(counts.ready)} as declared in ZITADEL"
    return ready, Condition(IN_SYNC, "True", Reason.IN_SYNC, message, generation)


def _organizations(count: int) -> str:
    return "1 organization is" if count == 1 else f"{count} organizations are"


def _describe_unready(found: Fold) -> str:
    counts = found.counts
    parts = [f"{counts.ready + counts.overridden} of {counts.matched} are ready"]
    parts += [f"{counts.failed} failed"] * bool(counts.failed)
    parts += [f"{counts.pending} are pending"] * bool(counts.pending)
    text = ", ".join(parts)
    if found.failures:
        first = found.failures[0]
        text += f"; {first.policy}: {first.reason}: {first.message}"
    return text


def _message_of(policy: PolicyObject) -> str:
    ready = find(policy.status.conditions, READY)
    return ready.message if ready is not None and ready.status == "False" else ""


def _age(policy: PolicyObject) -> tuple[str, PolicyKey]:
    return policy.created, policy.key
