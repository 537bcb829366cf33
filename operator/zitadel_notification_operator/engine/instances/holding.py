"""Holds an instance by a finalizer until no policy needs it, or until its CRD goes."""

import logging
from dataclasses import dataclass

from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.grants import NOT_REFUSED
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
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
        connections: Remember whether an Event has reported a waiting deletion.
        crds: Know whether the CRD is being deleted, too.
        writes: Writes the objects.
        outbox: Posts Events.
    """

    _inventory: Inventory
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
        inventory = self._inventory
        needed = any(
            policy.held and inventory.admission(policy) in NOT_REFUSED
            for policy in inventory.policies_of(instance.name)
        )
        if needed:
            if not await self._goes_with_its_crd(instance):
                reported = self._connections.state(instance.name).reported
                if not reported.in_use:
                    reported.in_use = True
                    self._outbox.tell(instance, waiting_event(instance))
                return False
            self._outbox.ending(instance, CRD_GOES)
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
