"""Makes, keeps and removes the policies of a set."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TypeVar

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.contest import Contest
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectGone,
    TransientError,
)
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicySpec
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.core.set_report import Member
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.wakeups import SET_PACE
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.slices import in_slices

AT_ONCE = 8
"""How many policies of a set are written at once, so that other objects are not
delayed."""

BATCH, BATCHES = 100, 20
"""How many policies one pass makes or changes at most, or in how many passes all of
them. The set's spec may change in the middle of a roll-out, and its status is reported
meanwhile. Each pass looks at all members, so a large set takes larger batches."""


T = TypeVar("T", Member, PolicyObject)

_FIELDS = tuple(field.name for field in fields(PolicySpec))
_values_of = attrgetter(*_FIELDS)


def wanted_spec(one: SetObject, organization_id: str) -> PolicySpec:
    """Return the whole spec of the policy that a set makes for an organization."""
    return PolicySpec(
        scope=Scope.ORGANIZATION,
        instance=one.instance,
        organization=Reference(By.ID, organization_id),
        settings=one.settings,
        management=one.management,
        deletion=one.deletion,
        suspended=one.suspended,
    )


@dataclass(slots=True)
class Progress:
    """What one pass did for the policies of a set.

    Attributes:
        problems: Why a policy could not be written, by its name.
        contested: Which policies are not applied now, because somebody keeps changing
            them.
        left: Whether policies are left that this pass did not get to.
        again_in: Seconds until a policy is applied again that somebody keeps changing,
            or that Kubernetes has not stored as it was applied; None if there is none.
    """

    problems: dict[PolicyKey, TransientError] = field(default_factory=dict)
    contested: dict[PolicyKey, TransientError] = field(default_factory=dict)
    left: bool = False
    again_in: float | None = None


@dataclass(eq=False, repr=False)
class Members:
    """Writes the policies of sets.

    Args:
        writes: Makes the writes.
    """

    _writes: OwnWrites
    _contests: dict[PolicyKey, Contest] = field(default_factory=dict, init=False)

    async def make(
        self, one: SetObject, members: Iterable[Member], progress: Progress
    ) -> None:
        """Create the policies that are missing, and apply those that differ.

        Args:
            one: The set.
            members: Its organizations.
            progress: Receives what was done and what was not.

        Raises:
            ClusterError: Kubernetes cannot be reached, or takes no calls now.
        """
        due: list[Member] = []
        now, number = loop_time(), 0
        async for member in in_slices(members):
            number += 1
            policy = member.policy
            if member.problem is not None or (policy is not None and policy.deleting):
                continue
            spec = wanted_spec(one, member.organization.id)
            if policy is not None and not _differs(one, policy, spec):
                continue
            waits = self._contest(one, member.key).wait(now)
            if waits > 0:
                progress.contested[member.key] = _contested(waits)
                progress.again_in = min(waits, progress.again_in or waits)
            else:
                due.append(member)
        most = max(BATCH, number // BATCHES)
        progress.left = progress.left or len(due) > most

        async def write(member: Member) -> None:
            spec = wanted_spec(one, member.organization.id)
            contest = self._contest(one, member.key).corrected(loop_time())
            self._contests[member.key] = contest
            if member.policy is None:
                stored = await self._writes.create_policy(one, member.key, spec)
            else:
                stored = await self._writes.apply_policy(one, member.policy, spec)
            if _differs(one, stored, spec):
                progress.again_in = min(SET_PACE, progress.again_in or SET_PACE)

        await _each(due[:most], write, progress)
        self._forget_old()

    async def remove(
        self, one: SetObject, leaving: Iterable[PolicyObject], progress: Progress
    ) -> None:
        """Delete policies, each with the set's present deletionPolicy.

        Raises:
            ClusterError: Kubernetes cannot be reached, or takes no calls now.
        """

        async def write(policy: PolicyObject) -> None:
            spec = _last_spec(one, policy)
            if policy.organization_id and _differs(one, policy, spec):
                policy = await self._writes.apply_policy(one, policy, spec)
            if not policy.deleting:
                await self._writes.delete(policy)

        due = [
            policy
            for policy in leaving
            if not policy.deleting or _differs(one, policy, _last_spec(one, policy))
        ]
        await _each(due, write, progress)

    def _contest(self, one: SetObject, key: PolicyKey) -> Contest:
        """Return how often a policy was written for the set's present spec."""
        known = self._contests.get(key)
        if known is None or known.generation != one.generation:
            return Contest(one.generation)
        return known

    def _forget_old(self) -> None:
        now = loop_time()
        if any(contest.left(now) == 0 for contest in self._contests.values()):
            self._contests = {
                key: contest
                for key, contest in self._contests.items()
                if contest.left(now) > 0
            }


def _last_spec(one: SetObject, policy: PolicyObject) -> PolicySpec:
    """Return the spec with which a policy ends.

    Of a set that is not understood only the deletionPolicy counts: a spec with a value
    missing would be refused, and the deletion would not end.
    """
    if one.not_understood is None:
        return wanted_spec(one, policy.organization_id or "")
    known = {name: getattr(policy, name) for name in _FIELDS}
    return PolicySpec(**{**known, "deletion": one.deletion})


def _contested(waits: float) -> TransientError:
    return TransientError(
        Reason.CONTESTED,
        "Somebody keeps changing or deleting this policy, an admission webhook for "
        "example, so the set applies it less and less often",
        waits,
    )


def is_applied(one: SetObject, policy: PolicyObject) -> bool:
    """Return whether a policy is as its set makes it now."""
    spec = _last_spec(one, policy)
    return not _differs(one, policy, spec)


def undoes(one: SetObject) -> bool:
    """Return whether the removal of a policy of the set changes ZITADEL."""
    understood = one.not_understood is None
    manages = one.management is ManagementPolicy.MANAGE
    return understood and manages and one.deletion is not DeletionPolicy.RETAIN


def _differs(one: SetObject, policy: PolicyObject, spec: PolicySpec) -> bool:
    """Return whether a policy is not exactly as its set makes it."""
    is_ours = policy.set_uid == one.uid and policy.set_label == one.name
    return (
        not is_ours
        or policy.not_understood is not None
        or _values_of(policy) != _values_of(spec)
    )


async def _each(
    items: Sequence[T],
    write: Callable[[T], Awaitable[None]],
    progress: Progress,
) -> None:
    """Write several policies, a few at once, and collect what was refused.

    After the first refusal no more are begun: a quota or a webhook would refuse each of
    them.
    """
    waiting = list(reversed(items))

    async def work() -> None:
        while waiting:
            item = waiting.pop()
            try:
                await write(item)
            except ObjectGone:
                progress.left = True
            except ClusterError as error:
                waiting.clear()
                if error.is_outage:
                    raise
                progress.problems[item.key] = TransientError(
                    Reason.CREATE_REFUSED, error.message, error.retry_after
                )

    works = (work() for _ in range(min(AT_ONCE, len(items))))
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
