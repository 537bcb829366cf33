"""Which instances this operator serves, by what all instances of the cluster say.

The inventory holds only what this operator serves. Here are the instances of all
classes, because each says who serves it, and which ZITADEL it reaches.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from zitadel_notification_operator.core.class_conflicts import (
    elder_of_another_operator,
    unsettled_of_other_operators,
)
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.serving import (
    HAND_OVER,
    Assignment,
    ServedBy,
    Service,
    service_of,
)
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import StalePass

from .records import as_number, is_older
from .running_passes import RunningPasses


class ServedInstances:
    """All instances of the cluster, and which of them this operator serves.

    Args:
        own: This operator. None for one that serves every instance, whatever its class,
            and stores nothing about that: a plan.

    Attributes:
        own: As the argument.
        instances: The newest records of all instances, by name.
        running: Knows the passes that run for each instance.
        cleared: The ZITADEL that an instance may write to, by its name. Only
            `instances.class_check` writes it.
        waits: The ZITADEL at which an instance waits for other operators, and the loop
            time since when, by its name. Only `instances.class_check` writes it.
        stored_at: The loop time at which this operator has last stored what other
            operators must know of an instance, by its name.
    """

    def __init__(self, own: ServedBy | None) -> None:
        self.own = own
        self.instances: dict[str, InstanceObject] = {}
        self.running = RunningPasses()
        self.cleared: dict[str, str] = {}
        self.waits: dict[str, tuple[str, float]] = {}
        self.stored_at: dict[str, float] = {}
        self._facts: dict[str, tuple[Assignment, float]] = {}
        self._begun: set[str] = set()
        self._ending: set[str] = set()
        self._unstorable: set[str] = set()
        self._conflicting: frozenset[str] = frozenset()

    def put(self, instance: InstanceObject) -> None:
        """Store a record, unless a newer one of this object is known."""
        name, known = instance.name, self.instances.get(instance.name)
        if known is not None and known.uid == instance.uid:
            if is_older(instance, known):
                return
        else:
            self.drop(name)
        self.instances[name] = instance
        facts, since = self._facts.get(name, (None, 0.0))
        if facts != instance.assignment:
            since = loop_time()
        self._facts[name] = instance.assignment, since

    def drop(self, name: str) -> None:
        """Forget an instance that is gone."""
        known = self.instances.pop(name, None)
        self._facts.pop(name, None)
        self.end(name)
        if known is not None:
            self._unstorable.discard(known.uid)

    def has(self, name: str, uid: str, resource_version: str) -> bool:
        """Return whether this version of an instance, or a newer one, is known."""
        known = self.instances.get(name)
        if known is None or known.uid != uid:
            return False
        return 0 < as_number(resource_version) <= as_number(known.resource_version)

    def begin_anew(self) -> None:
        """Accept whatever comes next as newer: Kubernetes has gone back."""
        for name, known in self.instances.items():
            self.instances[name] = replace(known, resource_version="")

    def service(self, name: str) -> Service:
        """Return what this operator does now about an instance that exists."""
        if self.own is None:
            return Service.SERVE
        facts, since = self._facts[name]
        service = service_of(self.own, facts, loop_time() - since)
        if service is Service.TAKE and self.instances[name].uid in self._unstorable:
            return Service.SERVE
        return service

    def wait_left(self, name: str) -> float:
        """Return the seconds until an instance may be taken that nobody hands over."""
        return max(0.0, self._facts[name][1] + HAND_OVER - loop_time())

    def cannot_store(self, instance: InstanceObject) -> None:
        """Record that the CRD is of an older version, and drops who serves.

        There are no classes then, and the instance is served as by that version.
        """
        self._unstorable.add(instance.uid)

    def begin(self, name: str) -> None:
        """Record that this operator's inventory has the instance from now on."""
        self._begun.add(name)

    def end(self, name: str) -> None:
        """Record that this operator's inventory has the instance no longer."""
        self._begun.discard(name)
        self.cleared.pop(name, None)
        self.waits.pop(name, None)
        self.stored_at.pop(name, None)

    @contextmanager
    def ending(self, name: str) -> Iterator[None]:
        """Let no pass over the objects of an instance begin within the block."""
        self._ending.add(name)
        try:
            yield
        finally:
            self._ending.discard(name)

    def has_begun(self, name: str) -> bool:
        """Return whether this operator's inventory has the instance."""
        return name in self._begun

    def covers(self, one: OwnObject) -> bool:
        """Return whether this operator's inventory shall have a policy or a set.

        What names no existing instance is the default class's.
        """
        name = one.needed_instance
        if name is None or name not in self.instances:
            return self.own is None or not self.own.operator_class
        return self.has_begun(name)

    def may_work(self, name: str | None) -> bool:
        """Return whether passes over the objects of an instance may begin now."""
        if name is None or name not in self.instances:
            return True  # the inventory has it, so it is ours
        if name in self._ending:
            return False
        return self.has_begun(name) and self.service(name) is Service.SERVE

    def require(self, name: str) -> None:
        """Check that a pass may call the ZITADEL of an instance.

        Raises:
            StalePass: Another operator serves it, or shall serve it, or the ZITADEL is
                that of an older instance of another class.
        """
        if not self.may_work(name) or name in self._conflicting:
            raise StalePass

    def refused(self) -> list[str]:
        """Return the names of the instances that another installation keeps."""
        return [
            name
            for name, instance in self.instances.items()
            if self.service(name) is Service.REFUSED
            and not _is_as_asked(instance.assignment)
        ]

    def elder(self, instance: InstanceObject, zitadel_id: str) -> InstanceObject | None:
        """Return the instance because of which this one may not write, if any."""
        known = self.instances.values()
        return elder_of_another_operator(instance, zitadel_id, known, self.own)

    def unsettled(
        self, instance: InstanceObject, zitadel_id: str
    ) -> list[InstanceObject]:
        """Return the instances whose operators may still write to the ZITADEL."""
        if self.own is None:
            return []
        known = self.instances.values()
        return unsettled_of_other_operators(instance, zitadel_id, known, self.own)

    def find_conflicts(self) -> Iterable[str]:
        """Find the instances that conflict now; return those for which that is new."""
        before, self._conflicting = self._conflicting, frozenset()
        # In most clusters one operator serves all.
        if len({one.assignment for one in self.instances.values()}) > 1:
            sharing: defaultdict[str, list[InstanceObject]] = defaultdict(list)
            for one in self.instances.values():
                if one.status.instance_id is not None:
                    sharing[one.status.instance_id].append(one)
            self._conflicting = frozenset(
                one.name
                for zitadel_id, those in sharing.items()
                for one in those
                if elder_of_another_operator(one, zitadel_id, those, self.own)
            )
        return before ^ self._conflicting


def _is_as_asked(facts: Assignment) -> bool:
    """Return whether the annotation take-over names the operator that serves now."""
    return facts.served_by is not None and (
        facts.take_over == facts.served_by.namespace
    )
