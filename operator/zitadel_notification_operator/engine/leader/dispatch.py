"""Leads from a key of the work queue to the pass over its object."""

from dataclasses import dataclass

from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.engine.calls.connections import (
    Connections,
    NotCheckedYet,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.drift.events_pass import EventsPass
from zitadel_notification_operator.engine.instances.instance_pass import InstancePass
from zitadel_notification_operator.engine.policies.deletion_pass import DeletionPass
from zitadel_notification_operator.engine.policies.policy_pass import PolicyPass
from zitadel_notification_operator.engine.ports import Connector
from zitadel_notification_operator.engine.queue.keys import EVENTS, Key
from zitadel_notification_operator.engine.queue.outcome import WAIT, Outcome
from zitadel_notification_operator.engine.sets.set_pass import SetPass


@dataclass(eq=False, repr=False)
class Dispatch:
    """Runs the pass that a key stands for.

    Args:
        inventory: Holds the objects.
        connections: Know which instances fail.
        connector: Closes the connections of instances that are gone.
        instances: Runs passes over instances.
        events: Runs searches of the events of instances.
        policies: Runs passes over policies.
        deletions: Runs passes over policies that are being deleted.
        sets: Runs passes over sets.
    """

    _inventory: Inventory
    _connections: Connections
    _connector: Connector
    _instances: InstancePass
    _events: EventsPass
    _policies: PolicyPass
    _deletions: DeletionPass
    _sets: SetPass

    async def run(self, key: Key, failures: int) -> Outcome:
        """Run the pass over an object, if there is one with this name.

        Args:
            key: The key.
            failures: The number of consecutive passes over it that have failed.

        Raises:
            ClusterError: Kubernetes did not accept a write; nothing was reported.
            StalePass: What the pass is about has changed; it begins anew.
            RequeueAfter: The pass has to wait for ZITADEL.
        """
        known = self._inventory.find(*key.of_object)
        if isinstance(known, PolicyObject):
            return await self._run_policy(known, failures)
        if isinstance(known, SetObject):
            return await self._sets.run(known)
        if isinstance(known, InstanceObject):
            passes = self._events if key.kind is EVENTS else self._instances
            return await passes.run(known)
        if key.kind is INSTANCE:
            await self._connector.disconnect(key.name)
        return WAIT

    async def _run_policy(self, policy: PolicyObject, failures: int) -> Outcome:
        self._connections.probe_as_requested(policy)
        try:
            if policy.deleting:
                return await self._deletions.run(policy)
            return await self._policies.run(policy, failures)
        except NotCheckedYet:
            # The next verdict on the instance queues the policy.
            self._connections.wait_for_verdict(policy.instance, policy.key)
            return WAIT
