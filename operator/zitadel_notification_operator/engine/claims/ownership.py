"""Who owns a target, and the marks that owners carry: the original and the finalizer.

A watch that was interrupted may never report a deletion, and an object without our
finalizer is deleted without us. So an owner that blocks another policy is read once
more from Kubernetes before that counts.

The order of writes makes a crash safe at any moment: first the mark is stored, then
ZITADEL is written, then the status. At a take-over the new owner's mark is stored
before the old one's is removed (docs/concepts/ownership.md).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectGone,
    TerminalError,
)
from zitadel_notification_operator.core.grants import NOT_REFUSED, Admission
from zitadel_notification_operator.core.original import Original, OriginalValue, seen
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import RequeueAfter, StalePass
from zitadel_notification_operator.engine.reporting.event_outbox import level_of

from .inventory import Inventory
from .originals import value_carried
from .own_writes import OwnWrites
from .records import recorded_target
from .served_instances import ServedInstances
from .unserved_objects import UnservedObjects
from .wakeups import Wakeups

SUCCESSOR_INTERVAL = 1.0
"""Seconds between two checks whether a set has made the policy that takes over."""

CONFIRMED = 60.0
"""Seconds for which an owner that was read is trusted, however many policies it
blocks."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Ownership:
    """Confirms the owners of targets, and gives policies the marks that they may have.

    Args:
        inventory: Says who owns what, as far as the watch has reported.
        served: Knows which ZITADEL the instances of other operators reach.
        unserved: Holds the policies of other operators.
        writes: Adds and removes the marks.
        wakeups: Queues the policies that a deletion affects.
        reread: Reads a policy from Kubernetes and stores it in the inventory.
    """

    _inventory: Inventory
    _served: ServedInstances
    _unserved: UnservedObjects
    _writes: OwnWrites
    _wakeups: Wakeups
    _reread: Callable[[PolicyKey], Awaitable[None]]
    _read: dict[PolicyKey, tuple[str, float]] = field(default_factory=dict, init=False)

    async def own(self, policy: PolicyObject, target: Target) -> PolicyObject:
        """Confirm that the policy owns the target; otherwise take its marks away.

        If a policy that no set made overrules one of a set, that one is returned
        without marks and with the name of the other; it only observes.

        Raises:
            StalePass: The owner that was in the way has just gone.
            RequeueAfter: The policy that takes over does not exist yet.
            TerminalError: `Conflict`: an older policy owns the target.
            ClusterError: Kubernetes did not accept a write.
        """
        if not policy.manages:
            if self._inventory.set_book.wants_again(policy):
                return policy  # somebody has changed it, and its set puts it back
            return await self.leave(policy)
        owner = await self.other(policy, target)
        if owner is None:
            return policy
        if owner not in self._inventory.policies:
            # An older set has selected the target. Until it has made its policy, nobody
            # can take the original.
            raise RequeueAfter(SUCCESSOR_INTERVAL)
        if not await self.hand_over(policy, target):
            raise StalePass  # the owner has just gone
        stripped = await self._writes.strip(policy)
        if policy.set_uid and self._inventory.policies[owner].set_uid is None:
            return replace(stripped, overridden_by=owner)
        raise _conflict(policy, target, owner)

    async def other(self, policy: PolicyObject, target: Target) -> PolicyKey | None:
        """Return the policy that owns the target, confirmed by a read from Kubernetes.

        Returns:
            Its key, or None if this policy or nobody owns the target. If Kubernetes
            does not answer, the owner that the watch has reported.
        """
        while True:
            owner = self._inventory.owner(target)
            if owner is None or owner == policy.key:
                return None
            if owner not in self._inventory.policies or self._is_confirmed(owner):
                return owner
            try:
                await self._reread(owner)
            except ClusterError as error:
                # Nobody knows better, so what the watch has reported counts.
                _log.log(level_of(error), "%s", error.message)
                return owner
            self._confirm(owner)

    async def secure(
        self, policy: PolicyObject, target: Target, observed: ObservedPolicy | None
    ) -> PolicyObject:
        """Make sure that the owner has its original, and the finalizer if it needs one.

        Args:
            policy: The owner of the target.
            target: The target.
            observed: The policy in force, before any write of ours.

        Returns:
            The object as it is stored now; unchanged if nothing was missing.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        value = self._first_seen(policy, target, observed)
        original = Original(policy.uid, target, value)
        # If they differ, the annotation is missing, copied, of another ZITADEL, or
        # damaged.
        if policy.original == original:
            if policy.held == policy.undoes:
                return policy
            if policy.held:
                return await self._writes.strip(policy, original=False)
        return await self._writes.mark(policy, original)

    async def leave(self, policy: PolicyObject) -> PolicyObject:
        """Remove all marks of a policy that no longer manages, after handing them over.

        In Observe there is nothing to undo, and an original that it kept would be out
        of date once the policy manages again.

        Returns:
            As `OwnWrites.strip`.
        """
        await self.bequeath(policy)
        return await self._writes.strip(policy)

    async def bequeath(self, policy: PolicyObject) -> None:
        """Pass the original of a policy that undoes nothing on to the owner, if any."""
        target = self._inventory.target_of(policy)
        if target is not None:
            await self.hand_over(policy, target)

    async def hand_over(self, policy: PolicyObject, target: Target) -> bool:
        """Pass the original on to the owner of the target, if that is another policy.

        Returns:
            Whether there is another owner. Its mark is stored before this returns, so
            the old owner's mark may be removed.
        """
        while True:
            owner = self._inventory.owner(target)
            successor = self._inventory.policies.get(owner) if owner else None
            if successor is None or successor.key == policy.key:
                return False
            value = self._value_left(policy, target, successor)
            if value is None:
                return True
            try:
                await self._give(
                    successor, Original(successor.uid, target, value), policy
                )
            except ObjectGone:
                self._wakeups.gone(successor)
            else:
                return True

    async def _give(
        self, successor: PolicyObject, original: Original, giver: PolicyObject
    ) -> None:
        """Store what a former owner has recorded at the new one.

        No pass of a suspended policy reports an original, and none of one that is not
        understood. Without the status, a later owner in another namespace would not
        believe it, because anybody may write an annotation.
        """
        if recorded_target(successor) != original.target:
            successor = await self._writes.mark(successor, original)
        reports = not successor.suspended and successor.not_understood is None
        is_confirmed = giver.status.original == original.value
        if is_confirmed and not reports and successor.status.original is None:
            status = replace(successor.status, original=original.value)
            await self._writes.apply_status(successor, status)

    def _value_left(
        self, policy: PolicyObject, target: Target, successor: PolicyObject
    ) -> OriginalValue | None:
        """Return the original that a policy may pass on to the next owner.

        Anybody may write an annotation. So without a grant, and for an owner in another
        namespace, only the status counts.
        """
        granted = self._inventory.admission(policy) is Admission.GRANTED
        if granted and successor.key.namespace == policy.key.namespace:
            return value_carried(policy, target)
        return policy.status.original

    def _first_seen(
        self, policy: PolicyObject, target: Target, observed: ObservedPolicy | None
    ) -> OriginalValue:
        """Return the value to record, which is never one that we ourselves have set.

        A lost or damaged annotation is rewritten from the status. Otherwise the former
        owner's original counts, and what is observed only if no original is known.
        """
        return (
            value_carried(policy, target)
            or self._left_by_others(target, policy.key.namespace)
            or seen(observed)
        )

    def _left_by_others(self, target: Target, namespace: str) -> OriginalValue | None:
        """Return what a present or former owner of the target has recorded.

        Anybody may write an annotation. So it only counts on a policy that may use its
        instance, manages, and is about this very target. If no status confirms it, it
        counts for policies of its own namespace (`namespace`) only.
        """
        bequest = self._inventory.originals.bequest(target, namespace)
        if bequest is not None:
            return bequest
        for key, value in self._inventory.originals.at(target):
            policy = self._inventory.policies[key]
            if not self._may_carry(policy, target):
                continue
            confirmed = policy.status.original
            if confirmed is not None and self._inventory.target_of(policy) == target:
                return confirmed
            if key.namespace == namespace:
                return value
        return self._left_elsewhere(target)

    def _left_elsewhere(self, target: Target) -> OriginalValue | None:
        """Return what a policy of another operator has recorded of the target.

        Only statuses count here, because nothing says what its grants mean.
        """
        for policy in self._unserved.carriers_of(target):
            instance = self._served.instances.get(policy.instance)
            is_there = (
                instance is not None
                and instance.status.instance_id == target.zitadel_id
                and policy.status.organization_id == target.organization_id
            )
            if is_there and policy.status.original is not None:
                return policy.status.original
        return None

    def _may_carry(self, policy: PolicyObject, target: Target) -> bool:
        return (
            policy.may_own
            and self._inventory.admission(policy) is Admission.GRANTED
            and self._inventory.organization_of(policy) == target.organization_id
        )

    def _confirm(self, owner: PolicyKey) -> None:
        now = loop_time()
        self._read = {
            key: (uid, at)
            for key, (uid, at) in self._read.items()
            if now - at < CONFIRMED
        }
        known = self._inventory.policies.get(owner)
        if known is not None:
            self._read[owner] = known.uid, now

    def _is_confirmed(self, owner: PolicyKey) -> bool:
        uid, at = self._read.get(owner, ("", 0.0))
        now = loop_time()
        return uid == self._inventory.policies[owner].uid and now - at < CONFIRMED


def _conflict(policy: PolicyObject, target: Target, owner: PolicyKey) -> TerminalError:
    """Return the error of a policy whose target an older one owns."""
    name = "in another namespace"
    if owner.namespace == policy.key.namespace:
        name = repr(owner.name)
    what = "organization" if target.organization_id else "instance"
    return TerminalError(
        Reason.CONFLICT,
        f"The older NotificationPolicy {name} owns this {what}; delete one of the two",
    )


def original_in_failure(
    inventory: Inventory, policy: PolicyObject
) -> OriginalValue | None:
    """Return the `status.original` of a policy whose pass was stopped.

    A pass may be stopped after its write, for example when a GET that verifies it
    fails. A new owner in another namespace only believes the status, because anybody
    may write an annotation. Without this value it would take what we ourselves have set
    for the original.

    Returns:
        What the owner of a target has recorded; for any other policy what its status
        says already.
    """
    target = inventory.target_of(policy)
    owns = (
        target is not None
        and policy.manages
        and inventory.admission(policy) is Admission.GRANTED
        and inventory.owner(target) == policy.key
    )
    if target is None or not owns:
        return policy.status.original
    return value_carried(policy, target)


def wanted_targets(inventory: Inventory) -> set[Target]:
    """Return the targets that some policy may want to write now."""
    every = inventory.policies.values()
    targets = ((policy, inventory.target_of(policy)) for policy in every)
    return {
        target
        for policy, target in targets
        if target is not None and _may_write(inventory, policy, target)
    }


def _may_write(inventory: Inventory, policy: PolicyObject, target: Target) -> bool:
    """Return whether a policy writes to its target whenever that is needed.

    A policy that is kept only by another finalizer has ended. One that lost a conflict
    writes nothing, even while the owner is suspended.
    """
    if not policy.manages or inventory.admission(policy) not in NOT_REFUSED:
        return False
    owner = inventory.owner(target)
    if policy.deleting:
        return policy.undoes and policy.held and owner is None
    return not policy.suspended and owner in {None, policy.key}
