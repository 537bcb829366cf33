"""Marks on our objects: the original and the finalizer; who has them, who drops them.

The order is what makes it safe against a crash at any moment: first the mark, then
ZITADEL, then the status; at a take-over first the new owner's mark, then the old
one's goes (design, section 3, "Crash safety").
"""

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import ObjectGone
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.core.original import Original, OriginalValue, seen
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.engine.inventory import Inventory
from zitadel_notification_operator.engine.news import News
from zitadel_notification_operator.engine.ports import ObjectWriter


class Ownership:
    """Puts marks on policies and takes them off, and remembers the results."""

    def __init__(self, inventory: Inventory, writer: ObjectWriter, news: News) -> None:
        self._inventory = inventory
        self._writer = writer
        self._news = news

    async def secure(
        self, policy: PolicyObject, target: Target, observed: ObservedPolicy | None
    ) -> PolicyObject:
        """See to it that the owner carries its original, and the finalizer if owed.

        Args:
            policy: The owner of the target.
            target: What it owns.
            observed: The policy in force, before any write of ours.

        Returns:
            The object as stored now; unchanged when nothing was missing.

        Raises:
            ClusterError: Kubernetes did not take the write.
        """
        value = self._first_seen(policy, target, observed)
        original = Original(policy.uid, target, value)
        # Else it is missing, copied, of another ZITADEL, or spoiled.
        if policy.original == original:
            if policy.held == policy.undoes:
                return policy
            if policy.held:
                return await self.strip(policy, finalizer=True, original=False)
        return await self._mark(policy, original)

    async def strip(
        self, policy: PolicyObject, *, finalizer: bool = True, original: bool = True
    ) -> PolicyObject:
        """Take our marks off, as far as they are there.

        Returns:
            The object as stored now, or as last known when it went with them.
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
        """Take all marks off one that no longer manages; its heir has them first.

        Returns:
            As `strip`.
        """
        await self.bequeath(policy)
        return await self.strip(policy)

    async def bequeath(self, policy: PolicyObject) -> None:
        """Give the original of one that undoes nothing to who owns its target now."""
        target = self._inventory.target_of(policy)
        if target is not None:
            await self.hand_over(policy, target)

    def has_owned(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether a policy has ever got so far as to own this target."""
        return _value_carried(policy, target) is not None

    def recorded(self, policy: PolicyObject, target: Target) -> OriginalValue | None:
        """Return what the policy has recorded about the target, if it has."""
        return _value_carried(policy, target)

    def depends_on_zitadel(self, policy: PolicyObject) -> bool:
        """Return whether a status holds what means nothing in another ZITADEL.

        A pinned reference and an original have no mark of their ZITADEL but the
        instance's status.
        """
        pinned = policy.organization_id is None and policy.status.organization_id
        return bool(pinned) or policy.status.original is not None

    async def hand_over(self, policy: PolicyObject, target: Target) -> bool:
        """Give the original to the owner of the target, if that is somebody else.

        Returns:
            Whether there is another owner. Its mark is stored before this returns,
            so the old owner's may go.
        """
        value = self._value_left(policy, target)
        while True:
            owner = self._inventory.owner(target)
            heir = self._inventory.policies.get(owner) if owner else None
            if heir is None or heir.key == policy.key:
                return False
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

    def _value_left(self, policy: PolicyObject, target: Target) -> OriginalValue | None:
        """Return what a policy may leave to an heir.

        An annotation is anybody's to write: without a grant the status alone counts.
        """
        if self._inventory.admission(policy) is Admission.GRANTED:
            return _value_carried(policy, target)
        return policy.status.original

    def _first_seen(
        self, policy: PolicyObject, target: Target, observed: ObservedPolicy | None
    ) -> OriginalValue:
        """Return the value to record: never one that we ourselves have set.

        An annotation that was lost or spoiled is rewritten from the status; else the
        former owner's original counts, and what is observed only where none is known.
        """
        return (
            _value_carried(policy, target)
            or self._inventory.original_at(target)
            or seen(observed)
        )

    async def _mark(self, policy: PolicyObject, original: Original) -> PolicyObject:
        stored = await self._writer.apply_original(
            policy, original.to_text(), finalizer=policy.undoes
        )
        return self._news.stored(stored)


def _value_carried(policy: PolicyObject, target: Target) -> OriginalValue | None:
    """Return what the policy has recorded about the target, if it has.

    The status counts first, because nobody but us writes it; it is voided when the
    instance turns to another ZITADEL. The annotation is anybody's to write, but it is
    there before the status: a crash in between must not lose it.
    """
    if policy.status.original is not None:
        return policy.status.original
    original = policy.original
    if original is not None and original.belongs_to(policy.uid, target):
        return original.value
    return None
