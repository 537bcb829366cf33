"""One pass over a set: admit, read, select, claim, make, remove, add up, report.

A failure of one step stops the later ones, and never removes anything: the policies
that there are stay, and are reconciled as ever (docs/concepts/sets.md).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from zitadel_notification_operator.core.backoff import SLOW
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import (
    ClusterError,
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.policy import ManagementPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.set_object import (
    Removal,
    SetObject,
    SetStatus,
)
from zitadel_notification_operator.core.set_report import (
    Fold,
    Member,
    fold,
    is_current,
    settled,
    suspended,
)
from zitadel_notification_operator.engine.calls.connections import NotCheckedYet
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.records import require_understood
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import Outcome, StalePass
from zitadel_notification_operator.engine.queue.slices import in_slices

from .directories import Directories
from .members import Members, Progress, is_applied, undoes
from .roster import Roster, existing, make_roster
from .set_deletion import SetDeletion
from .set_report import SetReport

NO_VERDICT = 2.0
"""Seconds between two tries while the instance has no verdict yet."""

MORE = 0.01
"""Seconds until the next pass of a set that has more policies to write."""


@dataclass(eq=False, repr=False)
class SetPass:
    """Runs passes over sets.

    Args:
        inventory: Holds the newest records, and the claims of sets.
        directories: Know which organizations there are.
        members: Writes the policies of the set.
        wakeups: Queues the policies whose claims change.
        writes: Adds the finalizer.
        reports: Writes the status.
        deletion: Runs passes over sets that are being deleted.
    """

    _inventory: Inventory
    _directories: Directories
    _members: Members
    _wakeups: Wakeups
    _writes: OwnWrites
    _reports: SetReport
    _deletion: SetDeletion
    _asked: dict[str, tuple[object, float]] = field(default_factory=dict, init=False)

    async def run(self, one: SetObject) -> Outcome:
        """Bring the policies of a set in line with its spec, and report how they fare.

        Raises:
            StalePass: The set is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept a write; nothing was reported.
        """
        if one.deleting:
            return await self._deletion.run(one)
        progress, failure, removal = Progress(), None, None
        roster: Roster | None = None
        try:
            require_understood(one)
            one = await self._writes.hold(one)
            roster = await self._select(one)
            failure, removal = await self._write(one, roster, progress)
        except NotCheckedYet:
            return Outcome.retry_in(NO_VERDICT)
        except ClusterError:
            raise
        except OperatorError as error:
            failure = error
        if roster is None:
            roster = existing(self._inventory.policies_of_set(one))
        found = await self._fold(one, roster, progress)
        make = _status_of(one, found, failure, removal)
        waits = await self._reports.report(one, make)
        return self._next(one, progress, failure, waits)

    async def _select(self, one: SetObject) -> Roster:
        """Return the set's members, after storing what it claims.

        Raises:
            NotCheckedYet: The instance has no verdict yet.
            OperatorError: The selection is not known.
            StalePass: The set has changed meanwhile.
        """
        admissions = self._inventory.admissions
        admission = admissions.of_namespace(one.instance, one.key.namespace)
        if admission is not Admission.GRANTED:
            if admission is not Admission.UNDECIDED:
                self._wakeups.affected(self._inventory.select(one, {}))
            raise _not_admitted(one, admission)
        asked, tried = self._asked_at(one), set[str]()
        while True:
            directory = await self._directories.current(one.instance, not_before=asked)
            roster = await make_roster(
                one,
                directory,
                self._inventory.policies,
                self._inventory.policies_of_set(one),
                partial(admissions.to_organization, one.instance, one.key.namespace),
            )
            if roster.doubted <= tried:
                break
            directory.doubt(roster.doubted - tried)
            tried |= roster.doubted
        newest = self._inventory.require_newest(one)
        if newest.deleting or newest.generation != one.generation:
            raise StalePass
        zitadel_id = directory.zitadel_id or ""
        adds = not one.suspended and not _are_too_many(one, roster)
        claimed = {
            key: Target(zitadel_id, roster.members[key].organization.id)
            for key in roster.selected
            # What the set will not make, it must not keep from others.
            if _manages(one) and (adds or _stays(roster.members[key]))
        }
        self._wakeups.affected(self._inventory.select(one, claimed))
        return roster

    def _asked_at(self, one: SetObject) -> float:
        """Return since when the set's spec or its token asks for a reading."""
        request = (one.generation, one.requested_at)
        known = self._asked.get(one.uid)
        if known is None or known[0] != request:
            # After a restart, the first reading of the directory is enough.
            since = float("-inf") if is_current(one) else loop_time()
            known = self._asked[one.uid] = request, since
        return known[1]

    async def _write(
        self, one: SetObject, roster: Roster, progress: Progress
    ) -> tuple[OperatorError | None, Removal | None]:
        """Write the policies; return what stops it, and what waits for an approval.

        Raises:
            ClusterError: Kubernetes cannot be reached, or takes no calls now.
        """
        members = list(roster.members.values())
        most = one.limits.organizations
        failure: OperatorError | None = None
        too_many = _are_too_many(one, roster)
        if one.suspended or too_many:
            members = [member for member in members if member.policy is not None]
        if too_many:
            failure = TerminalError(
                Reason.TOO_MANY_ORGANIZATIONS,
                f"{len(roster.members)} organizations match, and "
                f"spec.limits.organizations is {most}; no policy is added",
            )
        await self._members.make(one, members, progress)
        if one.suspended:
            return failure, None
        removal = _removal_of(one, roster)
        if removal is not None:
            names = ", ".join(sorted(p.name for p in roster.leaving)[:_NAMED])
            failure = TerminalError(
                Reason.APPROVAL_REQUIRED,
                f"{removal.count} policies would be removed ({names}, for example), "
                f"and spec.limits.removals is {one.limits.removals}; to approve it, "
                "set the annotation zitadel-notification.dev/approve-removal to "
                f"{removal.digest}",
            )
            return failure, removal
        await self._members.remove(one, roster.leaving, progress)
        if progress.problems and failure is None:
            failure = next(iter(progress.problems.values()))
        return failure, None

    async def _fold(self, one: SetObject, roster: Roster, progress: Progress) -> Fold:
        policies, problems = self._inventory.policies, progress.problems

        def as_it_is_now(member: Member) -> Member:
            problem = member.problem or problems.get(member.key)
            problem = problem or progress.contested.get(member.key)
            policy = policies.get(member.key) if member.problem is None else None
            if policy is not None and not is_applied(one, policy):
                policy = None  # however it fares, it is not what the set asks for
            if policy is member.policy and problem is member.problem:
                return member
            return Member(member.organization, member.key, policy, problem)

        members = [
            as_it_is_now(member) async for member in in_slices(roster.members.values())
        ]
        leaving = {policy.key: policy.uid for policy in roster.leaving}
        left = sum(
            key in policies and policies[key].uid == uid for key, uid in leaving.items()
        )
        return fold(members, left)

    def _next(
        self,
        one: SetObject,
        progress: Progress,
        failure: OperatorError | None,
        waits: float | None,
    ) -> Outcome:
        """Return when the next pass is due."""
        if isinstance(failure, TransientError):
            return Outcome.back_off(failure.retry_after)
        due = [seconds for seconds in (waits, progress.again_in) if seconds]
        if progress.left:
            due.append(MORE)
        interval = self._directories.interval(one.instance)
        if interval is not None:
            due.append(interval)
        if failure is not None:
            due.append(SLOW)
            return Outcome.stall(min(due))
        if not due:
            return Outcome()
        return Outcome.requeue_after(min(due))

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all sets but these: the others are gone."""
        self._asked = {uid: asked for uid, asked in self._asked.items() if uid in uids}
        self._reports.keep(uids)


_NAMED = 3
"""How many of the policies that wait for an approval a message names."""


def _status_of(
    one: SetObject,
    found: Fold,
    failure: OperatorError | None,
    removal: Removal | None,
) -> Callable[[SetObject, datetime], SetStatus]:
    def make(newest: SetObject, now: datetime) -> SetStatus:
        about = replace(
            newest, generation=one.generation, requested_at=one.requested_at
        )
        if one.suspended and one.not_understood is None:
            return suspended(about, found, now)
        return settled(about, found, now, failure, removal)

    return make


def _are_too_many(one: SetObject, roster: Roster) -> bool:
    return len(roster.members) > one.limits.organizations


def _stays(member: Member) -> bool:
    """Return whether the set has made the policy, and nobody has deleted it."""
    return member.policy is not None and not member.policy.deleting


def _manages(one: SetObject) -> bool:
    understood = one.not_understood is None
    return understood and one.management is ManagementPolicy.MANAGE


def _removal_of(one: SetObject, roster: Roster) -> Removal | None:
    """Return what waits for an approval, or None if the policies may be removed."""
    waiting = [policy for policy in roster.leaving if not policy.deleting]
    if not undoes(one) or len(waiting) <= one.limits.removals:
        return None
    digest = one.removal_digest(policy.organization_id or "" for policy in waiting)
    if one.approved == digest:
        return None
    return Removal(count=len(waiting), digest=digest)


def _not_admitted(one: SetObject, admission: Admission) -> OperatorError:
    if admission is Admission.UNDECIDED:
        return TransientError(
            Reason.INSTANCE_NOT_READY,
            f"The grants of ZitadelInstance {one.instance!r} cannot be read now",
        )
    if admission is Admission.NAMESPACE_UNKNOWN:
        return TransientError(
            Reason.INSTANCE_NOT_FOUND,
            f"There is no ZitadelInstance {one.instance!r} that this namespace may "
            "use; ask a cluster administrator to create it or to grant it in "
            "spec.grants",
        )
    return TerminalError(
        Reason.NOT_GRANTED,
        f"ZitadelInstance {one.instance!r} does not grant scope Organization to this "
        "namespace; ask a cluster administrator to name the scope in spec.grants",
    )
