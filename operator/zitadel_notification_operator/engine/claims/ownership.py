"""Stores and removes the marks on policies: the original and the finalizer.

The order makes a crash safe at any moment: first the mark is stored, then ZITADEL is
written, then the status. At a take-over the new owner's mark is stored before the old
one's is removed (design, section 3, "Crash safety").
"""

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import ObjectGone
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.original import Original, OriginalValue, seen
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.news import News
from zitadel_notification_operator.engine.claims.originals import value_carried
from zitadel_notification_operator.engine.ports import ObjectWriter


class Ownership:
    """Adds and removes the marks of policies and stores the results in memory."""

    def __init__(self, inventory: Inventory, writer: ObjectWriter, news: News) -> None:
        self._inventory = inventory
        self._writer = writer
        self._news = news

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
        # If they differ, it is missing, copied, of another ZITADEL, or damaged.
        if policy.original == original:
            if policy.held == policy.undoes:
                return policy
            if policy.held:
                return await self.strip(policy, finalizer=True, original=False)
        return await self._mark(policy, original)

    async def strip(
        self, policy: PolicyObject, *, finalizer: bool = True, original: bool = True
    ) -> PolicyObject:
        """Remove our marks, as far as they are there.

        Returns:
            The object as it is stored now, or as last known if it vanished with them.
        """
        finalizer = finalizer and policy.held
        original = original and policy.original_text is not None
        if not (finalizer or original):
            return policy
        stored = await self._writer.strip_policy(
            policy, finalizer=finalizer, original=original
        )
        if stored is None:
            self._news.gone(policy)
            return policy
        return self._news.stored(stored)

    async def leave(self, policy: PolicyObject) -> PolicyObject:
        """Remove all marks of a policy that no longer manages, after handing them over.

        Returns:
            As `strip`.
        """
        await self.bequeath(policy)
        return await self.strip(policy)

    async def bequeath(self, policy: PolicyObject) -> None:
        """Pass the original of a policy that undoes nothing on to the owner, if any."""
        target = self._inventory.target_of(policy)
        if target is not None:
            await self.hand_over(policy, target)

    def has_owned(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether a policy ever reached the point of owning this target."""
        return value_carried(policy, target) is not None

    def recorded(self, policy: PolicyObject, target: Target) -> OriginalValue | None:
        """Return what the policy has recorded about the target, if anything."""
        return value_carried(policy, target)

    async def hand_over(self, policy: PolicyObject, target: Target) -> bool:
        """Pass the original on to the owner of the target, if that is another policy.

        Returns:
            Whether there is another owner. Its mark is stored before this returns, so
            the old owner's mark may be removed.
        """
        while True:
            owner = self._inventory.owner(target)
            heir = self._inventory.policies.get(owner) if owner else None
            if heir is None or heir.key == policy.key:
                return False
            value = self._value_left(policy, target, heir)
            theirs = heir.original
            carries = theirs is not None and theirs.belongs_to(heir.uid, target)
            if value is None or carries:
                return True
            try:
                await self._mark(heir, Original(heir.uid, target, value))
            except ObjectGone:
                self._news.gone(heir)
            else:
                return True

    def _value_left(
        self, policy: PolicyObject, target: Target, heir: PolicyObject
    ) -> OriginalValue | None:
        """Return the original that a policy may pass on to the next owner.

        Anybody may write an annotation. So without a grant, and for an owner in another
        namespace, only the status counts.
        """
        granted = self._inventory.admission(policy) is Admission.GRANTED
        if granted and heir.key.namespace == policy.key.namespace:
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
            or self._inventory.original_at(target, policy.key.namespace)
            or seen(observed)
        )

    async def _mark(self, policy: PolicyObject, original: Original) -> PolicyObject:
        stored = await self._writer.apply_original(
            policy, original.to_text(), finalizer=policy.undoes
        )
        return self._news.stored(stored)


def told_in_trouble(inventory: Inventory, policy: PolicyObject) -> OriginalValue | None:
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
        and policy.not_understood is None
        and inventory.admission(policy) is Admission.GRANTED
        and inventory.owner(target) == policy.key
    )
    if target is None or not owns:
        return policy.status.original
    return value_carried(policy, target)
