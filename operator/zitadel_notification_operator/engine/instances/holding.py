"""Holds an instance by a finalizer until no policy needs it, or until its CRD goes."""

import logging
from dataclasses import dataclass

from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.grants import NOT_REFUSED
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.write_turns import WriteTurns
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.served_instances import (
    ServedInstances,
)
from zitadel_notification_operator.engine.reporting.event_messages import waiting_event
from zitadel_notification_operator.engine.reporting.event_outbox import (
    EventOutbox,
    level_of,
)

CRD_GOES = (
    "the CRD of ZitadelInstance is being deleted, so it does not wait for the "
    "NotificationPolicy objects that need it; ZITADEL stays as it is"
)

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Holding:
    """Adds and removes the finalizer of instances.

    Args:
        inventory: Knows the policies that need an instance.
        served: Knows which passes run for an instance, and lets no other begin.
        turns: Know whether a write to a ZITADEL may still take effect.
        connections: Remember whether an Event has reported a waiting deletion.
        crds: Know whether the CRD is being deleted, too.
        writes: Writes the objects.
        outbox: Posts Events.
    """

    _inventory: Inventory
    _served: ServedInstances
    _turns: WriteTurns
    _connections: Connections
    _crds: Crds
    _writes: OwnWrites
    _outbox: EventOutbox

    async def hold(self, instance: InstanceObject) -> InstanceObject:
        """Make sure that the instance has the finalizer; return it as it is stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        return await self._writes.hold(instance)

    async def let_go(self, instance: InstanceObject) -> bool:
        """Remove the finalizer once no policy needs the instance, or if its CRD goes.

        Returns:
            Whether the object is gone. While another finalizer keeps it, it still
            serves.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        if not instance.held:
            return False
        if self._is_needed(instance):
            if not await self._goes_with_its_crd(instance):
                reported = self._connections.state(instance.name).reported
                if not reported.in_use:
                    reported.in_use = True
                    self._outbox.tell(instance, waiting_event(instance))
                return False
            self._outbox.ending(instance, CRD_GOES)
            return await self._release(instance)
        return await self._release(instance, unless_needed=True)

    def _is_needed(self, instance: InstanceObject) -> bool:
        return any(
            policy.held and self._inventory.admission(policy) in NOT_REFUSED
            for policy in self._inventory.policies_of(instance.name)
        )

    async def _release(
        self, instance: InstanceObject, *, unless_needed: bool = False
    ) -> bool:
        """Remove the finalizer after the last call for the instance.

        A new object of its name may be another operator's at once.

        Args:
            instance: The instance.
            unless_needed: Whether to keep the finalizer if a policy has come to need
                the instance meanwhile.

        Returns:
            Whether the object is gone.
        """
        with self._served.ending(instance.name):
            await self._served.running.idle(instance.name)
            proven = self._connections.state(instance.name).proven
            if proven is not None:
                await self._turns.settled(proven.zitadel_id)
            if unless_needed and self._is_needed(instance):
                return False
            return await self._writes.release(instance)

    async def _goes_with_its_crd(self, instance: InstanceObject) -> bool:
        """Return whether the CRD is known to be deleted, so that nothing is waited for.

        The policies then stay without an instance, as if it had never existed, and
        change nothing in ZITADEL. Waiting for them would keep the CRD until somebody
        deletes them, and that would undo settings that a deletion of the CRD asks
        nobody to undo.
        """
        try:
            return await self._crds.is_ending(instance.kind, instance.uid)
        except ClusterError as error:
            _log.log(level_of(error), "%s", error.message)
            return False
