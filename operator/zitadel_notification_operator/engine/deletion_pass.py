"""One pass over a policy that is being deleted: undo, report, remove the finalizer.

A deletion always ends, or its status says what to edit. Only a managing owner undoes
its settings; every other policy is released at once (design, section 3, "Deletion").
"""

import asyncio
from typing import NamedTuple

from zitadel_notification_operator.core.backoff import SLOW
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.errors import (
    ClusterError,
    OperatorError,
    ReadSideBusy,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import POSSIBLE, Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import ended, troubled
from zitadel_notification_operator.engine.connections import NotCheckedYet
from zitadel_notification_operator.engine.crds import Crds
from zitadel_notification_operator.engine.grant_lookup import require
from zitadel_notification_operator.engine.keys import POLICY
from zitadel_notification_operator.engine.not_understood import why_as_retain
from zitadel_notification_operator.engine.outcome import (
    AGAIN,
    WAIT,
    Outcome,
    Superseded,
    back_off,
    stall,
)
from zitadel_notification_operator.engine.owners import Owners
from zitadel_notification_operator.engine.resolution import Resolution
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.target_client import TargetClient
from zitadel_notification_operator.engine.target_writer import TargetWriter
from zitadel_notification_operator.engine.undoing import Undoing

RETAINED = "deletionPolicy Retain: ZITADEL stays as it is"
CRD_GOES = (
    "the CRD of NotificationPolicy is being deleted, which asks for no setting to be "
    "undone; ZITADEL stays as it is, as with deletionPolicy Retain"
)
WAY_OUT = "to delete it without touching ZITADEL, set spec.deletionPolicy to Retain"


class Ending(NamedTuple):
    """The result of a deletion.

    Attributes:
        sentence: What was done, for people, without a full stop.
        wrote: Whether this attempt has changed something in ZITADEL.
    """

    sentence: str
    wrote: bool = False


class DeletionPass:
    """Runs passes over policies that are being deleted."""

    def __init__(self, room: Room, owners: Owners, crds: Crds) -> None:
        self._room = room
        self._owners = owners
        self._crds = crds
        self._resolution = Resolution(room)

    async def run(self, policy: PolicyObject) -> Outcome:
        """Undo what is due and remove the finalizer, or report what prevents that.

        Raises:
            ClusterError: Kubernetes did not accept a write.
        """
        if not policy.held:
            return await self._end_unheld(policy)
        try:
            ending = await self._undo(policy)
        except NotCheckedYet:
            self._room.connections.wait_for_verdict(policy.instance, policy.key)
            return WAIT
        except Superseded:
            return AGAIN
        except OperatorError as trouble:
            if isinstance(trouble, ClusterError):
                raise
            return await self._report(policy, trouble)
        return await self._end(policy, ending)

    async def _undo(self, policy: PolicyObject) -> Ending:
        """Undo what this deletion has to undo, and return what was done."""
        nothing = self._why_nothing(policy)
        if await self._goes_with_its_crd(policy, must_know=not nothing):
            return Ending(CRD_GOES)
        if nothing:
            await self._room.ownership.bequeath(policy)
            return Ending(nothing)
        self._require_decision(policy)
        target = self._room.inventory.target_of(policy)
        if target is None:
            return Ending(await self._without_target(policy))
        if not self._room.ownership.has_owned(policy, target):
            original = policy.original
            if original is not None and original.target.zitadel_id != target.zitadel_id:
                return Ending("what it owned is in another ZITADEL; nothing was undone")
            return Ending("it never owned its target; nothing was undone")
        async with self._room.turn(target):
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
            return await self._crds.is_ending(POLICY, policy.uid)
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
        told = ready is not None and ready.reason == Reason.DELETED
        if told or not policy.finalizers:
            return WAIT
        why = self._why_nothing(policy)
        if not why:
            why = "nothing was owed" if policy.undoes else RETAINED
        await self._room.ownership.bequeath(policy)
        return await self._end(policy, Ending(why))

    async def _end(self, policy: PolicyObject, ending: Ending) -> Outcome:
        """Release the object; if another finalizer keeps it, report what was done."""
        inventory = self._room.inventory
        newest = inventory.newest(policy)
        telling, told = self._room.telling, ending.sentence
        if ending.wrote:
            telling.ended(policy)  # this attempt did more than an earlier one reported
        else:
            # An attempt that is repeated because Kubernetes did not answer has less to
            # do, so the sentence of the first one stands.
            told = telling.told(policy) or told
        if newest is None or newest.held:
            telling.ending(policy, told)  # the object may vanish with its finalizer
        if newest is not None:
            await self._room.ownership.strip(newest)
        kept = inventory.newest(policy)
        if kept is not None:
            status = ended(kept, told, self._room.now())
            stored = await self._room.writer.apply_policy_status(kept, status)
            self._room.news.stored(stored)
        telling.ending(policy, told)
        telling.ended(policy)
        return WAIT

    async def _without_target(self, policy: PolicyObject) -> str:
        """Return why nothing can be undone if ZITADEL or the organization is unknown.

        Raises:
            Superseded: The reference was resolved again after all: somebody had removed
                the status, or a backup has restored the policy without it.
            NotCheckedYet: The instance has no verdict yet.
            OperatorError: The instance cannot be used now; the deletion waits.
        """
        if policy.original is None and policy.status.original is None:
            return "it never owned its target; nothing was undone"
        if not policy.undoes:
            return RETAINED
        connection = self._room.connections.for_cleanup(policy.instance)
        try:
            await self._resolution.run(policy, connection)
        except TerminalError as error:
            if error.reason is not Reason.ORGANIZATION_NOT_FOUND:
                raise
        if self._room.inventory.target_of(policy) is not None:
            raise Superseded
        return "its organization is not known any longer; nothing was undone"

    async def _undo_in_turn(self, policy: PolicyObject, target: Target) -> Ending:
        heir = await self._owners.other(policy, target)
        if heir and await self._room.ownership.hand_over(policy, target):
            return Ending(
                "another NotificationPolicy has taken over; ZITADEL stays as it is"
            )
        if not policy.undoes:
            return Ending(RETAINED)
        connection = self._room.connections.for_cleanup(policy.instance)
        # If a grant cannot be looked up, it may be gone, and then nothing is undone.
        require(self._room, policy)
        if target.zitadel_id != connection.zitadel_id:
            return Ending(
                "the instance leads to another ZITADEL now; nothing was undone"
            )
        guarded = connection.client.guarded(lambda: self._require_right(policy, target))
        client = TargetClient(self._room, policy, guarded)
        reads_events = connection.identity.capabilities.read_events
        writer = TargetWriter(
            self._room, policy, target, client, reads_events=reads_events
        )
        undoing = Undoing(client, writer, policy, target.organization_id)
        if policy.ending is DeletionPolicy.RESTORE:
            recorded = self._room.ownership.recorded(policy, target)
            told = await undoing.restore(recorded)
        else:
            told = await undoing.reset()
        if self._room.inventory.newest(policy) is not None:
            # A new owner that waits for this target must not inherit the original.
            self._room.inventory.disown(policy.key)
        return Ending(told, undoing.wrote)

    def _why_nothing(self, policy: PolicyObject) -> str:
        """Return why this policy undoes nothing; empty if it may have to."""
        if policy.management is ManagementPolicy.OBSERVE:
            return "managementPolicy Observe: ZITADEL stays as it is"
        unread = why_as_retain(policy)
        if unread:
            return unread
        if self._room.inventory.admission(policy) not in POSSIBLE:
            return "no ZitadelInstance grants it any longer; nothing was undone"
        return ""

    def _require_decision(self, policy: PolicyObject) -> None:
        """Check that it is known whether the policy is granted what it would undo.

        Raises:
            NotCheckedYet: It is not; the instance's next verdict decides.
            OperatorError: The instance cannot be used now; the deletion waits.
        """
        if not (policy.undoes and policy.has_record):
            return  # it changes nothing, whatever the decision is
        if self._room.inventory.admission(policy) is Admission.UNDECIDED:
            self._room.connections.for_cleanup(policy.instance)
            require(self._room, policy)
            raise NotCheckedYet

    def _require_right(self, policy: PolicyObject, target: Target) -> None:
        """Check, right before each call, that the policy may still undo its settings.

        A read that verifies a write is always allowed, because the write has to be
        reported.

        Raises:
            Superseded: It may no longer, its name has a different object, or a new
                owner has appeared.
        """
        if self._room.term.is_verifying:
            return
        inventory = self._room.inventory
        newest = self._room.newest(policy)
        if (
            newest.generation != policy.generation
            or self._room.connections.line(newest.instance).finding_out
            or inventory.admission(newest) is not Admission.GRANTED
            or inventory.owner(target) is not None
        ):
            raise Superseded

    async def _report(self, policy: PolicyObject, trouble: OperatorError) -> Outcome:
        policy = self._room.newest(policy)
        line = self._room.connections.line(policy.instance)
        # `ApiUnsupported` is only reported after repeated probes of the instance have
        # succeeded, and what Kubernetes refuses says nothing about the instance.
        known = {
            Reason.API_UNSUPPORTED,
            Reason.CLUSTER_UNAVAILABLE,
            Reason.ZITADEL_INCONSISTENT,
        }
        own_finding = line.trouble is None and trouble.reason not in known
        if own_finding and not isinstance(trouble, ReadSideBusy):
            self._room.suspect(policy.instance)
        if self._may_be_a_misfortune(policy, trouble):
            return back_off()
        now, passing = self._room.now(), isinstance(trouble, TransientError)
        began = self._room.deadlines.began(policy, now) if passing else None
        status = troubled(policy, trouble, now, WAY_OUT, began)
        if status != policy.status:
            stored = await self._room.writer.apply_policy_status(policy, status)
            self._room.news.stored(stored)
        if isinstance(trouble, TransientError):
            return back_off(trouble.retry_after)
        if own_finding and trouble.reason is Reason.CREDENTIALS_REJECTED:
            # The instance's check may find the credential good; then only this call had
            # bad luck.
            return back_off()
        return stall(self._room.spread(SLOW))

    def _may_be_a_misfortune(
        self, policy: PolicyObject, trouble: OperatorError
    ) -> bool:
        """Return whether a refusal must be met again, as the credential has worked."""
        line = self._room.connections.line(policy.instance)
        known = (
            None if line.finding_out or line.trouble is None else line.trouble.reason
        )
        rejected = Reason.CREDENTIALS_REJECTED
        if trouble.reason is not rejected or known is rejected or line.proven is None:
            return False
        now = asyncio.get_running_loop().time()
        return not line.refused_again(policy.key, now).is_verdict
