"""Takes objects as Kubernetes delivers them, and sorts them by who serves them.

The inventory, and so the rest of the engine, gets what this operator serves. What
another operator serves is set aside, until its instance is handed over.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, Kind, ObjectKey
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.serving import Service
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.served_instances import (
    ServedInstances,
)
from zitadel_notification_operator.engine.claims.unserved_objects import (
    UnservedObjects,
)
from zitadel_notification_operator.engine.claims.wakeups import Wakeups
from zitadel_notification_operator.engine.queue.keys import (
    Key,
    instance_key,
    key_of,
)
from zitadel_notification_operator.engine.queue.slices import in_slices
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .eviction import Eviction
from .watch_events import WatchEvents


@dataclass(eq=False, repr=False)
class Intake:
    """Receives what the watches and LISTs of Kubernetes deliver.

    Args:
        served: Knows who serves which instance.
        unserved: Holds what another operator serves.
        inventory: Holds what this operator serves.
        watch_events: Receives that.
        wakeups: Queues the policies that a departure affects.
        connections: Have an instance probed that has come into a conflict, or out.
        eviction: Forgets what was found out about objects that are set aside.
        queue: Receives the instances that are to be taken or handed over.
    """

    _served: ServedInstances
    _unserved: UnservedObjects
    _inventory: Inventory
    _watch_events: WatchEvents
    _wakeups: Wakeups
    _connections: Connections
    _eviction: Eviction
    _queue: WorkQueue

    def has(self, key: Key, uid: str, resource_version: str) -> bool:
        """Return whether this version or a newer one is known already.

        Such an event needs no parsing.
        """
        kind, name = key.of_object
        if kind is INSTANCE:
            return self._served.has(key.name, uid, resource_version)
        return self._watch_events.has(key, uid, resource_version) or (
            self._unserved.has(kind, name, uid, resource_version)
        )

    def of(self, kind: Kind) -> list[OwnObject]:
        """Return all objects of a kind, also those that other operators serve."""
        if kind is INSTANCE:
            return list(self._served.instances.values())
        return [*self._inventory.of(kind), *self._unserved.of(kind)]

    def find(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return an object, also one that another operator serves; None if unknown."""
        if kind is INSTANCE:
            return self._served.instances.get(key.name)
        return self._inventory.find(kind, key) or self._unserved.find(kind, key)

    def begin_anew(self) -> None:
        """Accept whatever comes next as newer: Kubernetes has gone back."""
        self._inventory.begin_anew()
        self._unserved.begin_anew()
        self._served.begin_anew()

    def seen(self, one: OwnObject) -> None:
        """Store an object that the watch delivered and queue what it affects."""
        if isinstance(one, InstanceObject):
            self._instance_seen(one)
        elif self._served.covers(one):
            self._unserved.drop(one.kind, one.key)
            self._watch_events.seen(one)
        elif one.uid not in self._inventory.deleted_uids:
            known = self._inventory.find(one.kind, one.key)
            if known is not None and known.uid == one.uid:
                self._set_aside(known)  # it names another instance than before
            elif known is not None:
                self._watch_events.gone(key_of(known), known.uid)
            self._unserved.put(one)

    def _instance_seen(self, one: InstanceObject) -> None:
        if one.uid in self._inventory.deleted_uids:
            return
        known = self._served.instances.get(one.name)
        if known is not None and known.uid != one.uid:
            self.gone(key_of(known), known.uid)
        self._served.put(one)
        service = self._served.service(one.name)
        if self._served.has_begun(one.name):
            self._watch_events.seen(one)
            if service is not Service.SERVE:
                self._queue.add(instance_key(one.name), Priority.CHANGE)
        elif service is Service.SERVE:
            self.begin(one.name)
        else:
            self._set_users_aside(one.name)
            if service is not Service.ELSEWHERE:
                self._queue.add(instance_key(one.name), Priority.CHANGE)
        self._look_for_conflicts()

    def gone(self, key: Key, uid: str = "") -> None:
        """Forget an object whose deletion the watch reported.

        Nothing happens if the name belongs to a different object by now.
        """
        kind, name = key.of_object
        if kind is INSTANCE:
            self._instance_gone(key, uid)
            return
        self._unserved.drop(kind, name, uid)
        self._watch_events.gone(key, uid)

    def _instance_gone(self, key: Key, uid: str) -> None:
        known = self._served.instances.get(key.name)
        if self._inventory.deleted_uids.is_of_another(known, uid):
            return
        self._served.drop(key.name)
        self._watch_events.gone(key, uid)
        for one in self._unserved.of_instance(key.name):
            self.seen(one)
        for one in self._users(key.name):
            if not self._served.covers(one):
                self._set_aside(one)
        self._look_for_conflicts()

    async def queue_all(self) -> None:
        """Queue the passes that are due when this process begins to lead."""
        await self._watch_events.queue_all()
        for name in list(self._served.instances):
            waits = self._served.service(name) is not Service.ELSEWHERE
            if waits and not self._served.has_begun(name):
                self._queue.add(instance_key(name), Priority.CHANGE)

    def begin(self, name: str) -> None:
        """Give the inventory an instance that was set aside.

        What names it follows in `fill`, before the instance gets its first verdict, for
        which everything else waits.
        """
        self._served.begin(name)
        self._watch_events.seen(self._served.instances[name])

    async def fill(self, name: str) -> None:
        """Give the inventory what names an instance and was set aside.

        Args:
            name: The name of an instance that the inventory has.
        """
        async for one in in_slices(self._unserved.of_instance(name)):
            newest = self._unserved.find(one.kind, one.key)
            if newest is not None and self._served.covers(newest):
                self._unserved.drop(newest.kind, newest.key)
                self._watch_events.seen(newest)

    async def leave(self, name: str) -> None:
        """Set an instance aside, and what names it: another operator serves it.

        If it comes back meanwhile, the rest stays, and its next pass gives back what
        was set aside.
        """
        self._served.end(name)
        async for one in in_slices(self._users(name)):
            if self._served.has_begun(name):
                return
            newest = self._inventory.newest(one)
            if newest is not None:
                self._set_aside(newest)
        instance = self._inventory.instances.get(name)
        if instance is not None:
            self._wakeups.affected(self._inventory.set_aside(instance))
            self._eviction.gone(key_of(instance))

    def _users(self, name: str) -> Iterable[OwnObject]:
        inventory = self._inventory
        return [*inventory.set_book.of_instance(name), *inventory.policies_of(name)]

    def _set_users_aside(self, name: str) -> None:
        for one in self._users(name):
            self._set_aside(one)

    def _set_aside(self, one: OwnObject) -> None:
        key = key_of(one)
        self._wakeups.affected(self._inventory.set_aside(one))
        self._eviction.gone(key)
        self._queue.forget(key)
        self._unserved.put(one)

    def _look_for_conflicts(self) -> None:
        """Have the instances probed that a class conflict concerns since this moment.

        Their passes make no more calls from now on.
        """
        for name in self._served.find_conflicts():
            if self._served.has_begun(name):
                self._connections.recheck(name)
