"""The end of a policy: undo what is owed, say what was done, let it go.

Deletion always ends or says what to edit. Only a managing owner undoes; everybody
else goes at once (design, section 3, "Deletion").
"""

from zitadel_notification_operator.core.backoff import SLOW
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import POSSIBLE, Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.policy import DeletionPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import ended, troubled
from zitadel_notification_operator.engine.connections import NotCheckedYet
from zitadel_notification_operator.engine.notices import of_ending
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
from zitadel_notification_operator.engine.undoing import Undoing

RETAINED = "deletionPolicy Retain: ZITADEL stays as it is"
WAY_OUT = "to delete it without touching ZITADEL, set spec.deletionPolicy to Retain"


class DeletionPass:
    """Runs passes over policies that are being deleted."""

    def __init__(self, room: Room, owners: Owners) -> None:
        self._room = room
        self._owners = owners
        self._resolution = Resolution(room)

    async def run(self, policy: PolicyObject) -> Outcome:
        """Undo what is owed and drop the finalizer, or report what is in the way.

        Raises:
            ClusterError: Kubernetes did not take a write.
        """
        if not policy.held:
            return await self._end_unheld(policy)
        try:
            told = await self._undo(policy)
        except NotCheckedYet:
            self._room.connections.wait_for_verdict(policy.instance, policy.key)
            return WAIT
        except Superseded:
            return AGAIN
        except OperatorError as trouble:
            if trouble.reason is Reason.CLUSTER_UNAVAILABLE:
                raise
            return await self._report(policy, trouble)
        return await self._end(policy, told)

    async def _undo(self, policy: PolicyObject) -> str:
        """Do what the deletion owes; return a sentence that says what it was."""
        nothing = self._why_nothing(policy)
        if nothing:
            await self._room.ownership.bequeath(policy)
            return nothing
        self._require_decision(policy)
        target = self._room.inventory.target_of(policy)
        if target is None:
            return await self._without_target(policy)
        if not self._room.ownership.has_owned(policy, target):
            original = policy.original
            if original is not None and original.target.zitadel_id != target.zitadel_id:
                return "what it owned is in another ZITADEL; nothing was undone"
            return "it never owned its target; nothing was undone"
        async with self._room.turn(target):
            return await self._undo_in_turn(policy, target)

    async def _end_unheld(self, policy: PolicyObject) -> Outcome:
        """End one that owes nothing but is kept by somebody else's finalizer."""
        ready = find(policy.status.conditions, READY)
        told = ready is not None and ready.reason == Reason.DELETED
        if told or not policy.finalizers:
            return WAIT
        why = self._why_nothing(policy)
        if not why:
            why = "nothing was owed" if policy.undoes else RETAINED
        await self._room.ownership.bequeath(policy)
        return await self._end(policy, why)

    async def _end(self, policy: PolicyObject, told: str) -> Outcome:
        """Let the object go; where another finalizer keeps it, say what was done."""
        inventory = self._room.inventory
        newest = inventory.newest(policy)
        if newest is not None:
            await self._room.ownership.strip(newest)
        self._room.tell(policy, of_ending(told))
        kept = inventory.newest(policy)
        if kept is not None:
            status = ended(kept, told, self._room.now())
            stored = await self._room.writer.apply_policy_status(kept, status)
            self._room.news.stored(stored)
        return WAIT

    async def _without_target(self, policy: PolicyObject) -> str:
        """Say why nothing can be undone where ZITADEL or organization are unknown.

        Raises:
            Superseded: What its reference means was found anew: somebody has taken
                the status off, or a backup has brought the policy back without it.
            NotCheckedYet: The instance's verdict is still to come.
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

    async def _undo_in_turn(self, policy: PolicyObject, target: Target) -> str:
        heir = await self._owners.other(policy, target)
        if heir and await self._room.ownership.hand_over(policy, target):
            return "another NotificationPolicy has taken over; ZITADEL stays as it is"
        if not policy.undoes:
            return RETAINED
        connection = self._room.connections.for_cleanup(policy.instance)
        if target.zitadel_id != connection.zitadel_id:
            return "the instance leads to another ZITADEL now; nothing was undone"
        client = connection.client.guarded(lambda: self._require_right(policy, target))
        undoing = Undoing(client, policy, target.organization_id)
        if policy.ending is DeletionPolicy.RESTORE:
            recorded = self._room.ownership.recorded(policy, target)
            told = await undoing.restore(recorded)
        else:
            told = await undoing.reset()
        if self._room.inventory.newest(policy) is not None:
            # An heir that waits for its turn begins anew.
            self._room.inventory.disown(policy.key)
        return told

    def _why_nothing(self, policy: PolicyObject) -> str:
        """Return why this policy undoes nothing; empty when it may have to."""
        if not policy.manages:
            return "managementPolicy Observe: ZITADEL stays as it is"
        if self._room.inventory.admission(policy) not in POSSIBLE:
            return "no ZitadelInstance grants it any longer; nothing was undone"
        return ""

    def _require_decision(self, policy: PolicyObject) -> None:
        """Wait where what a grant names was not looked up yet.

        Raises:
            NotCheckedYet: The next verdict of the instance decides.
            OperatorError: The instance cannot be used now; the deletion waits.
        """
        if self._room.inventory.admission(policy) is Admission.UNDECIDED:
            self._room.connections.for_cleanup(policy.instance)
            raise NotCheckedYet

    def _require_right(self, policy: PolicyObject, target: Target) -> None:
        """Do nothing while the policy may still undo; asked before each call.

        Raises:
            Superseded: It may no longer, it is another one by now, or an heir has come.
        """
        inventory = self._room.inventory
        newest = self._room.newest(policy)
        if (
            newest.generation != policy.generation
            or inventory.admission(newest) is not Admission.GRANTED
            or inventory.owner(target) is not None
        ):
            raise Superseded

    async def _report(self, policy: PolicyObject, trouble: OperatorError) -> Outcome:
        policy = self._room.newest(policy)
        line = self._room.connections.line(policy.instance)
        own_finding = line.trouble is None
        if own_finding:
            self._room.suspect(policy.instance)
        status = troubled(policy, trouble, self._room.now(), WAY_OUT)
        if status != policy.status:
            stored = await self._room.writer.apply_policy_status(policy, status)
            self._room.news.stored(stored)
        if isinstance(trouble, TransientError):
            return back_off(trouble.retry_after)
        if own_finding and trouble.reason is Reason.CREDENTIALS_REJECTED:
            # The instance's check may find it good: it was one call's misfortune.
            return back_off()
        return stall(self._room.spread(SLOW))
