"""One pass over a set that is being deleted: delete its policies, then let it go.

The set's finalizer stays until its policies are gone, because only they know what is to
be undone. Kubernetes' own deletion with `--cascade=orphan` takes the ownerReferences
away first; what is left then are plain policies, which stay (docs/concepts/sets.md).
"""

from dataclasses import dataclass, replace
from datetime import datetime

from zitadel_notification_operator.core.policy import DeletionPolicy
from zitadel_notification_operator.core.set_object import SetObject, SetStatus
from zitadel_notification_operator.core.set_report import deleting
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.queue.outcome import WAIT, Outcome

from .members import Members, Progress
from .set_report import SetReport

ORPHAN = "orphan"
"""The finalizer by which Kubernetes' garbage collector is asked to leave what the set
owns; it goes once the ownerReferences are gone."""

ORPHAN_INTERVAL = 1.0
"""Seconds between two looks while the garbage collector takes ownerReferences away."""

LEFT_INTERVAL = 30.0
"""Seconds between two passes over a set that waits for the end of its policies. The end
of each one queues the set, too."""


@dataclass(eq=False, repr=False)
class SetDeletion:
    """Runs passes over sets that are being deleted.

    Args:
        inventory: Knows the policies of the set.
        crds: Know whether the CRD of sets is being deleted, too.
        members: Deletes the policies.
        wakeups: Queues the policies whose claims change.
        writes: Removes the finalizer.
        reports: Writes the status.
    """

    _inventory: Inventory
    _crds: Crds
    _members: Members
    _wakeups: Wakeups
    _writes: OwnWrites
    _reports: SetReport

    async def run(self, one: SetObject) -> Outcome:
        """Delete the policies of the set, or remove its finalizer once they are gone.

        Raises:
            StalePass: The set is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept a write.
        """
        self._wakeups.affected(self._inventory.select(one, {}))
        if not one.held:
            return WAIT
        if ORPHAN in one.finalizers:
            return Outcome.retry_in(ORPHAN_INTERVAL)
        progress = Progress()
        policies = self._inventory.policies_of_set(one)
        if policies:
            asked = await self._as_asked(one)
            await self._members.remove(asked, policies, progress)
        left = self._inventory.policies_of_set(one)
        if not left:
            await self._writes.release(one)
            return WAIT

        def make(newest: SetObject, now: datetime) -> SetStatus:
            return deleting(newest, left, now)

        waits = await self._reports.report(one, make)
        if progress.problems:
            return Outcome.back_off()
        return Outcome.retry_in(waits or LEFT_INTERVAL)

    async def _as_asked(self, one: SetObject) -> SetObject:
        """Return the set with the deletionPolicy that its policies shall have.

        The deletion of the CRD asks for no setting to be undone, and neither does a
        spec that cannot be read.
        """
        undoes = one.deletion is not DeletionPolicy.RETAIN
        retain = not one.can_read("deletionPolicy")
        if undoes and not retain:
            retain = await self._crds.is_ending(one.kind, one.uid)
        return replace(one, deletion=DeletionPolicy.RETAIN) if retain else one
