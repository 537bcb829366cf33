"""Takes objects as Kubernetes delivers them and queues the passes they call for."""

from dataclasses import dataclass

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.queue.keys import (
    Key,
    events_key,
    instance_key,
    policy_key,
)
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .eviction import Eviction


@dataclass(eq=False, repr=False)
class WatchEvents:
    """Receives what the watches and LISTs of Kubernetes deliver.

    Args:
        inventory: Stores the objects.
        own_writes: Recognize the echoes of our own writes.
        wakeups: Queues the objects that a change affects.
        connections: Know which instances have a verdict.
        crds: Learn of deletions.
        eviction: Forgets objects that are gone.
        checks: Schedules drift checks.
        queue: Receives the passes.
    """

    _inventory: Inventory
    _own_writes: OwnWrites
    _wakeups: Wakeups
    _connections: Connections
    _crds: Crds
    _eviction: Eviction
    _checks: Checks
    _queue: WorkQueue

    def has_policy(self, key: PolicyKey, uid: str, resource_version: str) -> bool:
        """Return whether this version or a newer one is known already.

        Such an event needs no parsing.
        """
        return self._inventory.has_policy(key, uid, resource_version)

    def policy_seen(self, policy: PolicyObject) -> None:
        """Store a policy that the watch delivered and queue the policies it affects.

        An event that only echoes what is known already queues nothing.
        """
        known = self._inventory.policies.get(policy.key)
        is_echo = self._own_writes.is_own_echo(known, policy)
        affected = self._inventory.put_policy(policy)
        if self._inventory.newest(policy) is None:
            return  # a late event of an object that is known to be deleted
        if policy.deleting:
            self._crds.seen(policy.uid)
        if known is None or known.uid != policy.uid:
            # The failures of an earlier object of this name do not count for this one.
            self._queue.succeeded(policy_key(policy.key))
        if known is not None and known.uid != policy.uid:
            self._eviction.policy(policy.key)
        if is_echo:
            affected.discard(policy.key)
        if known is None and self._wakeups.needs_no_pass(policy):
            # A stored status from before the start of this process still holds. Only
            # the drift check is left, and the instance's first verdict schedules that.
            affected.discard(policy.key)
            if self._connections.state(policy.instance).checked:
                self._checks.schedule(policy)
        for key in affected:
            urgent = key == policy.key and policy.deleting
            self._add(policy_key(key), urgent=urgent)

    def policy_gone(self, key: PolicyKey, uid: str = "") -> None:
        """Forget a policy whose deletion the watch reported.

        Nothing happens if the name belongs to a different object by now.
        """
        policy = self._inventory.policies.get(key)
        if self._inventory.deleted_uids.is_of_another(policy, uid):
            return
        if policy is not None:
            self._wakeups.gone(policy)
        self._eviction.policy(key)
        self._queue.forget(policy_key(key))

    def instance_seen(self, instance: InstanceObject) -> None:
        """Store an instance that the watch delivered and queue what it affects."""
        known = self._inventory.instances.get(instance.name)
        if instance.deleting:
            self._crds.seen(instance.uid)
        moved = self._inventory.put_instance(instance)
        if moved is None:
            return
        if known is None or known.uid != instance.uid:
            # As for policies.
            self._queue.succeeded(instance_key(instance.name))
            self._queue.succeeded(events_key(instance.name))
        if known is not None and known.uid != instance.uid:
            self._eviction.former_instance(instance.name)
            self._wakeups.affected(self._inventory.users_of(instance.name))
        self._wakeups.affected(moved)
        self._add(instance_key(instance.name), urgent=instance.deleting)
        if known is None or known.grants != instance.grants:
            self._wakeups.regranted(instance.name)
        if known is not None and _drift_settings(known) != _drift_settings(instance):
            self._checks.reschedule(instance)

    def instance_gone(self, name: str, uid: str = "") -> None:
        """Forget an instance whose deletion the watch reported.

        Nothing happens if the name belongs to a different object by now.
        """
        known = self._inventory.instances.get(name)
        if self._inventory.deleted_uids.is_of_another(known, uid):
            return
        self._wakeups.affected(self._inventory.drop_instance(name))
        self._eviction.instance(name)
        self._queue.succeeded(events_key(name))
        self._queue.succeeded(instance_key(name))
        # The pass over an instance that is gone closes its connections.
        self._queue.add(instance_key(name), Priority.DRIFT)
        self._wakeups.affected(self._inventory.users_of(name))

    def queue_all(self) -> None:
        """Queue the passes that are due when this process begins to lead.

        A policy whose stored status still holds is not queued: the first verdict on its
        instance schedules its drift check.
        """
        for instance in self._inventory.instances.values():
            self._add(instance_key(instance.name), urgent=instance.deleting)
        for policy in self._inventory.policies.values():
            if not self._wakeups.needs_no_pass(policy):
                self._add(policy_key(policy.key), urgent=policy.deleting)

    def _add(self, key: Key, *, urgent: bool) -> None:
        self._queue.add(key, Priority.DELETE if urgent else Priority.CHANGE)


def _drift_settings(instance: InstanceObject) -> tuple[str, float, float]:
    return instance.method, instance.events_interval, instance.poll_interval
