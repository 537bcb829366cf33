"""Stores what our own writes returned, and queues the objects that changes affect.

So a pass reads its own writes, and the watch's echo of them is no change.
"""

from collections.abc import Iterable

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.grants import NOT_REFUSED
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import Kind
from zitadel_notification_operator.core.objects import Own, OwnObject
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.report import (
    is_observed_and_current,
    is_overridden,
)
from zitadel_notification_operator.engine.queue.keys import (
    instance_key,
    key_of,
    policy_key,
)
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .inventory import Inventory
from .records import is_older

SET_PACE = 2.0
"""Seconds between two passes over a set that only add up its policies, and at least
from the answer to one write of its status to the next write (docs/concepts/sets.md)."""


class Wakeups:
    """Queues the policies and sets that a change of another object affects."""

    def __init__(self, inventory: Inventory, queue: WorkQueue) -> None:
        self._inventory = inventory
        self._queue = queue

    def stored(self, one: Own) -> Own:
        """Store an object as Kubernetes returned it for our write, and return it.

        Its own pass is running and knows of the change; policies whose claims changed
        are queued. If the watch has delivered a newer version, or our answer is the
        first to show somebody else's change, the object itself is queued once more.
        """
        known = self._inventory.newest(one)
        if known is None:
            return one  # it is gone, or another operator's by now
        changed = is_older(one, known) or not known.is_same_request(one)
        if changed:
            self._queue.add(key_of(one), Priority.CHANGE)
        self.affected(self._inventory.put(one) or ())
        self.queue_deleting_instance(one.needed_instance)
        self.queue_set_of(one)
        return one

    def keep(self, one: Own) -> Own:
        """Store an instance or a set as Kubernetes returned it for our write.

        If the answer is the first to show somebody else's change, no watch event will,
        because it then tells nothing new.
        """
        known = self._inventory.newest(one)
        if known is None:
            return one  # it is gone, or another operator's by now
        self.affected(self._inventory.put(one) or ())
        if not known.is_same_request(one):
            self._queue.add(key_of(one), Priority.CHANGE)
            if isinstance(one, InstanceObject):
                self.regranted(one.name)
        return one

    def made(self, policy: PolicyObject) -> None:
        """Store a policy as its set has made it, and queue its pass."""
        if self._inventory.set_book.by_uid(policy.set_uid) is None:
            return  # the set is gone, or another operator's by now
        self.affected(self._inventory.put(policy) or ())
        self._queue.add(key_of(policy), urgency_of(policy))

    def gone(self, one: OwnObject) -> None:
        """Forget an object that is gone and queue the policies that this affects."""
        self._inventory.deleted_uids.add(one.uid)
        if self._inventory.newest(one) is not None:
            self.affected(self._inventory.drop(one.kind, one.key))
        self.queue_deleting_instance(one.needed_instance)
        self.queue_sets_named_like(one)

    def queue_deleting_instance(self, name: str | None) -> None:
        """Queue an instance whose deletion may have waited for an object."""
        instance = self._inventory.instances.get(name or "")
        if instance is not None and instance.deleting:
            self._queue.add(key_of(instance), Priority.DELETE)

    def queue_set_of(self, *records: OwnObject | None) -> None:
        """Queue the set of a policy soon: its status adds up those of its policies.

        Args:
            records: Records of the policy. None, and other kinds, are of no set.
        """
        for one in records:
            if isinstance(one, PolicyObject):
                made_by = self._inventory.set_book.by_uid(one.set_uid)
                if made_by is not None:
                    self._queue.add_after(key_of(made_by), SET_PACE, Priority.CHANGE)

    def queue_sets_named_like(self, one: OwnObject) -> None:
        """Queue the sets that may want the name of a policy which is gone now."""
        for made_by in self._inventory.set_book.sets.values():
            is_near = made_by.key.namespace == one.key.namespace
            if is_near and one.name.startswith(f"{made_by.name}-"):
                self._queue.add(key_of(made_by), Priority.CHANGE)

    def queue_sets_of(self, instance: str) -> None:
        """Queue the sets of an instance, whose selection may be another one now."""
        for one in self._inventory.set_book.of_instance(instance):
            self._queue.add(key_of(one), Priority.CHANGE)

    def crd_ending(self, kind: Kind) -> None:
        """Queue all objects of a kind that are being deleted.

        Their CRD is being deleted too, so they need not wait for anything any longer.
        """
        for one in self._inventory.of(kind):
            if one.deleting:
                self._queue.add(key_of(one), Priority.DELETE)

    def queue_instances_of(self, zitadel_id: str) -> None:
        """Queue all instances that lead to a ZITADEL, to report what is known of it."""
        for name in self._inventory.instances:
            if self._inventory.leads_to(name, zitadel_id):
                self._queue.add(instance_key(name), Priority.CHANGE)

    def leads_elsewhere(self, instance: str) -> None:
        """Record that an instance leads to another ZITADEL than its policies expect."""
        self.affected(self._inventory.leads_elsewhere(instance))

    def regranted(self, instance: str, moved: Iterable[PolicyKey] = ()) -> None:
        """Queue the policies that a change of grants may have admitted or refused.

        Args:
            instance: The instance with these grants.
            moved: Policies, also of other instances, whose claims changed with it.
        """
        self.queue_sets_of(instance)
        for key in self._inventory.users_of(instance) | frozenset(moved):
            policy = self._inventory.policies.get(key)
            if policy is not None and not self.needs_no_pass(policy):
                self._queue.add(policy_key(key), urgency_of(policy))

    def needs_no_pass(self, policy: OwnObject) -> bool:
        """Return True if the stored status needs no pass.

        Always False for an instance and for a set: only ZITADEL shows whether their
        status still holds.
        """
        inventory = self._inventory
        if not isinstance(policy, PolicyObject) or policy.deleting:
            return False
        if not is_observed_and_current(policy):
            return False
        if inventory.admission(policy) not in NOT_REFUSED:
            return False
        target = inventory.target_of(policy)
        owner = inventory.owner(target) if target is not None else None
        is_others = owner not in {None, policy.key}
        if policy.manages and is_others is not is_overridden(policy):
            return False
        if policy.manages and owner is not None and is_others:
            overrules = inventory.policies.get(owner)
            if overrules is None or overrules.set_uid is not None:
                return False  # only a policy that no set made overrules one
        return _has_its_marks(policy)

    def affected(self, keys: Iterable[PolicyKey]) -> None:
        """Queue these policies, because their claims changed.

        A policy that its set has yet to make needs no pass.
        """
        for key in keys:
            policy = self._inventory.policies.get(key)
            if policy is not None:
                self._queue.add(policy_key(key), urgency_of(policy))


def urgency_of(one: OwnObject) -> Priority:
    """Return how urgent a change of an object is.

    The policies of a set wait for all others: a roll-out over thousands of them, or the
    end of a set, must not delay the edit of a single one.
    """
    if isinstance(one, PolicyObject) and one.set_uid is not None:
        return Priority.DRIFT
    return Priority.DELETE if one.deleting else Priority.CHANGE


def _has_its_marks(policy: PolicyObject) -> bool:
    """Return whether a Ready policy has exactly the marks that it should have.

    Somebody may have removed them while no process ran.
    """
    if not policy.manages or is_overridden(policy):
        return policy.original_text is None and not policy.held
    original = policy.own_original
    return (
        original is not None
        and original.value == policy.status.original
        and policy.held is policy.undoes
    )
