"""One pass over a policy that is being deleted: undo, report, remove the finalizer.

A deletion always ends, or its status says what to edit. Only a managing owner undoes
its settings; every other policy is released at once (docs/concepts/deletion.md).
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.errors import (
    ClusterError,
    NoOrganization,
    OperatorError,
    TransientError,
)
from zitadel_notification_operator.core.grants import NOT_REFUSED
from zitadel_notification_operator.core.policy import DeletionPolicy, ManagementPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.originals import value_carried
from zitadel_notification_operator.engine.claims.ownership import (
    SUCCESSOR_INTERVAL,
    Ownership,
)
from zitadel_notification_operator.engine.claims.records import why_as_retain
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import (
    WAIT,
    Outcome,
    RequeueAfter,
    StalePass,
)

from .admission_check import AdmissionCheck
from .cleanup import Cleanup
from .deletion_report import DeletionReport, Ending
from .organization_resolver import OrganizationResolver
from .targets import Targets

RETAINED = "deletionPolicy Retain: ZITADEL stays as it is"
SET_GRACE = 5.0
"""Seconds for which the deletion of a policy waits for that of its set, and for which
it reports nothing while it waits for the set's first pass."""

_REMEMBERED = 3600.0
"""Seconds after which the begin of such a wait is forgotten."""

CRD_GOES = (
    "the CRD of NotificationPolicy is being deleted, which asks for no setting to be "
    "undone; ZITADEL stays as it is, as with deletionPolicy Retain"
)


@dataclass(eq=False, repr=False)
class DeletionPass:
    """Runs passes over policies that are being deleted.

    Args:
        inventory: Holds the newest records.
        connections: Know how each instance is reached.
        admission_check: Says whether the policy may undo its settings.
        ownership: Confirms who owns a target, and passes on what was recorded.
        crds: Know whether the CRD is being deleted, too.
        resolver: Resolves the policy's organization.
        targets: Give the pass its turn at the target.
        reports: Reports how the pass ends.
    """

    _inventory: Inventory
    _connections: Connections
    _admission_check: AdmissionCheck
    _ownership: Ownership
    _crds: Crds
    _resolver: OrganizationResolver
    _targets: Targets
    _reports: DeletionReport
    _wanted_since: dict[str, float] = field(default_factory=dict, init=False)
    _asked_since: dict[str, float] = field(default_factory=dict, init=False)

    async def run(self, policy: PolicyObject) -> Outcome:
        """Undo what is due and remove the finalizer, or report what prevents that.

        Raises:
            NotCheckedYet: The instance has no verdict yet; nothing was reported.
            StalePass: What the pass is about has changed; it begins anew.
            RequeueAfter: The pass has to wait for ZITADEL.
            ClusterError: Kubernetes did not accept a write.
        """
        if not policy.held:
            return await self._end_unheld(policy)
        try:
            ending = await self._undo(policy)
        except OperatorError as failure:
            if isinstance(failure, ClusterError):
                raise
            return await self._reports.failure(policy, failure)
        return await self._reports.end(policy, ending)

    async def _undo(self, policy: PolicyObject) -> Ending:
        """Undo what this deletion has to undo, and return what was done."""
        nothing = self._why_nothing(policy)
        if await self._goes_with_its_crd(policy, must_know=not nothing):
            return Ending(CRD_GOES)
        if nothing:
            await self._ownership.bequeath(policy)
            return Ending(nothing)
        self._admission_check.require_decision(policy)
        target = self._inventory.target_of(policy)
        if target is None:
            return Ending(await self._without_target(policy))
        if value_carried(policy, target) is None:
            original = policy.original
            if original is not None and original.target.zitadel_id != target.zitadel_id:
                return Ending("what it owned is in another ZITADEL; nothing was undone")
            return Ending("it never owned its target; nothing was undone")
        async with self._targets.turn(target):
            return await self._undo_in_turn(policy, target)

    async def _goes_with_its_crd(
        self, policy: PolicyObject, *, must_know: bool
    ) -> bool:
        """Return whether the CRD is being deleted; called before anything is undone.

        Args:
            policy: The policy. The CRD is only read if its spec asks to undo something.
            must_know: Whether something would really be undone, so that a guess is not
                enough.

        Raises:
            TransientError: That is not known; the deletion waits and reports it.
        """
        if not (policy.undoes and policy.may_own):
            return False
        try:
            return await self._crds.is_ending(policy.kind, policy.uid)
        except ClusterError as error:
            if not must_know:
                return False
            raise TransientError(
                Reason.CLUSTER_UNAVAILABLE,
                "Kubernetes did not say whether the CRD of NotificationPolicy is being "
                "deleted, and then nothing would have to be undone",
                excerpt=f": {error.message}",
            ) from error

    async def _end_unheld(self, policy: PolicyObject) -> Outcome:
        """Report the end of a policy that only another finalizer keeps."""
        ready = find(policy.status.conditions, READY)
        is_reported = ready is not None and ready.reason == Reason.DELETED
        if is_reported or not policy.finalizers:
            return WAIT
        why = self._why_nothing(policy)
        if not why:
            why = "nothing was owed" if policy.undoes else RETAINED
        await self._ownership.bequeath(policy)
        return await self._reports.end(policy, Ending(why))

    async def _without_target(self, policy: PolicyObject) -> str:
        """Return why nothing can be undone if ZITADEL or the organization is unknown.

        Raises:
            StalePass: The reference was resolved again after all: somebody had removed
                the status, or a backup has restored the policy without it.
            NotCheckedYet: The instance has no verdict yet.
            OperatorError: The instance cannot be used now; the deletion waits.
        """
        if policy.original is None and policy.status.original is None:
            return "it never owned its target; nothing was undone"
        if not policy.undoes:
            return RETAINED
        connection = self._connections.for_cleanup(policy.instance)
        with suppress(NoOrganization):
            await self._resolver.run(policy, connection)
        if self._inventory.target_of(policy) is not None:
            raise StalePass
        return "its organization is not known any longer; nothing was undone"

    async def _undo_in_turn(self, policy: PolicyObject, target: Target) -> Ending:
        if self._inventory.set_book.wants_again(policy):
            self._wait_for_the_end_of_its_set(policy)
            return Ending(
                "its NotificationPolicySet makes it again; ZITADEL stays as it is"
            )
        if policy.undoes and self._inventory.set_book.may_want_again(policy):
            self._wait_for_the_first_pass_of_its_set(policy)
        successor = await self._ownership.other(policy, target)
        if successor is not None and successor not in self._inventory.policies:
            # A set has selected the target, and its policy takes the original over.
            raise RequeueAfter(SUCCESSOR_INTERVAL)
        if successor and await self._ownership.hand_over(policy, target):
            return Ending(
                "another NotificationPolicy has taken over; ZITADEL stays as it is"
            )
        if not policy.undoes:
            return Ending(RETAINED)
        if self._inventory.may_yet_be_selected(target):
            raise RequeueAfter(SUCCESSOR_INTERVAL)
        connection = self._connections.for_cleanup(policy.instance)
        # If a grant cannot be looked up, it may be gone, and then nothing is undone.
        self._admission_check.require_lookup(policy)
        if target.zitadel_id != connection.zitadel_id:
            return Ending(
                "the instance leads to another ZITADEL now; nothing was undone"
            )
        writer = self._targets.writer(policy, target, connection)
        cleanup = Cleanup(writer, policy, target.organization_id)
        if policy.ending is DeletionPolicy.RESTORE:
            sentence = await cleanup.restore(value_carried(policy, target))
        else:
            sentence = await cleanup.reset()
        if self._inventory.newest(policy) is not None:
            # A new owner that waits for this target must not inherit the original.
            self._inventory.originals.drop(policy.key)
        return Ending(sentence, writer.wrote)

    def _wait_for_the_end_of_its_set(self, policy: PolicyObject) -> None:
        """Wait a moment, in which the deletion of the policy's set may arrive, too.

        Whoever deletes a namespace, or all objects in it, deletes the policies first.
        Without the wait their settings would stay in ZITADEL, because the set would
        still want them.

        Raises:
            RequeueAfter: The moment is not over yet.
        """
        left = self._grace_left(self._wanted_since, policy)
        if left > 0:
            raise RequeueAfter(left)

    def _wait_for_the_first_pass_of_its_set(self, policy: PolicyObject) -> NoReturn:
        """Wait until this process knows whether the set makes the policy again.

        Raises:
            RequeueAfter: For a moment nobody needs to know.
            TransientError: `DirectoryNotReadable`, to be reported.
        """
        if self._grace_left(self._asked_since, policy) > 0:
            raise RequeueAfter(SUCCESSOR_INTERVAL)
        raise TransientError(
            Reason.DIRECTORY_NOT_READABLE,
            "Its NotificationPolicySet may make it again, and does not know yet which "
            "organizations it selects; the conditions of the set tell why",
        )

    def _grace_left(self, since: dict[str, float], policy: PolicyObject) -> float:
        """Return how many seconds of the grace are left, which begins now if it is new.

        Args:
            since: When it began, by the uids of policies. Others are forgotten later.
            policy: The policy.
        """
        now = loop_time()
        for uid in [uid for uid, at in since.items() if now - at > _REMEMBERED]:
            del since[uid]
        return since.setdefault(policy.uid, now) + SET_GRACE - now

    def _why_nothing(self, policy: PolicyObject) -> str:
        """Return why this policy undoes nothing; empty if it may have to."""
        if policy.management is ManagementPolicy.OBSERVE:
            return "managementPolicy Observe: ZITADEL stays as it is"
        unread = why_as_retain(policy)
        if unread:
            return unread
        if self._inventory.admission(policy) not in NOT_REFUSED:
            return "no ZitadelInstance grants it any longer; nothing was undone"
        return ""
