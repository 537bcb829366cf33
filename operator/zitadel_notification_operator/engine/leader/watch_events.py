"""Takes objects as Kubernetes delivers them and queues the passes they call for."""

from dataclasses import dataclass

from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, KINDS
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.crds import Crds
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.wakeups import Wakeups, urgency_of
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.queue.keys import Key, events_key, key_of
from zitadel_notification_operator.engine.queue.slices import in_slices
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

    def has(self, key: Key, uid: str, resource_version: str) -> bool:
        """Return whether this version or a newer one is known already.

        Such an event needs no parsing.
        """
        return self._inventory.has(*key.of_object, uid, resource_version)

    def seen(self, one: OwnObject) -> None:
        """Store an object that the watch delivered and queue what it affects.

        An event that only echoes what is known already queues nothing.
        """
        key, known = key_of(one), self._inventory.find(one.kind, one.key)
        is_echo = self._own_writes.is_own_echo(known, one)
        affected = self._inventory.put(one)
        if self._inventory.newest(one) is None:
            return  # a late event of an object that is known to be deleted
        if one.deleting:
            self._crds.seen(one.uid)
        if affected is None:
            return
        if known is None or known.uid != one.uid:
            # The failures of an earlier object of this name do not count for this one.
            self._queue.succeeded(key)
        if known is not None and known.uid != one.uid:
            self._eviction.former(key)
        self._wakeups.affected(affected)
        if known is None and self._wakeups.needs_no_pass(one):
            # A stored status from before the start of this process still holds. Only
            # the drift check is left, and the instance's first verdict schedules that.
            self._schedule_check(one)
        elif not is_echo:
            if known is None:
                self._checks.doubt(one)
            self._add(one)
        # The set before, too: somebody may have taken an ownerReference away.
        self._wakeups.queue_set_of(one, known)
        if isinstance(one, InstanceObject):
            self._instance_changed(known, one)

    def _schedule_check(self, one: OwnObject) -> None:
        if (
            isinstance(one, PolicyObject)
            and self._connections.state(one.instance).checked
        ):
            self._checks.schedule(one)

    def _instance_changed(
        self, known: OwnObject | None, instance: InstanceObject
    ) -> None:
        if known is None or known.uid != instance.uid:
            self._queue.succeeded(events_key(instance.name))
        before = known if isinstance(known, InstanceObject) else None
        if before is None or before.grants != instance.grants:
            self._wakeups.regranted(instance.name)
        if before is not None and before.drift != instance.drift:
            self._checks.reschedule(instance)

    def gone(self, key: Key, uid: str = "") -> None:
        """Forget an object whose deletion the watch reported.

        Nothing happens if the name belongs to a different object by now.
        """
        kind, name = key.of_object
        known = self._inventory.find(kind, name)
        if self._inventory.deleted_uids.is_of_another(known, uid):
            return
        self._wakeups.affected(self._inventory.drop(kind, name))
        if known is not None:
            self._wakeups.queue_deleting_instance(known.needed_instance)
            self._wakeups.queue_sets_named_like(known)
        self._eviction.gone(key)
        if kind is INSTANCE:
            self._queue.succeeded(events_key(key.name))
            self._queue.succeeded(key)
            # The pass over an instance that is gone closes its connections.
            self._queue.add(key, Priority.DRIFT)
            self._wakeups.queue_sets_of(key.name)
        else:
            self._queue.forget(key)

    async def queue_all(self) -> None:
        """Queue the passes that are due when this process begins to lead.

        A policy whose stored status still holds is not queued: the first verdict on its
        instance schedules its drift check.
        """
        for kind in reversed(KINDS):
            async for one in in_slices(tuple(self._inventory.of(kind))):
                newest = self._inventory.newest(one)
                if newest is None:
                    continue
                if self._wakeups.needs_no_pass(newest):
                    self._checks.trust(newest)
                else:
                    self._checks.doubt(newest)
                    self._add(newest)

    def _add(self, one: OwnObject) -> None:
        self._queue.add(key_of(one), urgency_of(one))
