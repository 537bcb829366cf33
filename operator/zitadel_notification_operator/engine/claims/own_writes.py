"""Makes all our writes to Kubernetes objects, and stores what Kubernetes returned.

The watch may deliver a write before the call that made it returns. If that counted as a
change, it would cost one more pass over the policy, and one more call to ZITADEL. So
writes under way are tracked, to recognize their echoes.

A status is always written whole: by a policy's pass, and by its instance's pass when
that turns to another ZITADEL. Each is made from the status before it, so they take
turns. Its Events are posted once Kubernetes has accepted it
(`engine.reporting.event_outbox`).
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.objects import (
    InstanceObject,
    InstanceStatus,
    PolicyObject,
    PolicyStatus,
)
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.engine.ports import Notice, Writer
from zitadel_notification_operator.engine.queue.outcome import StalePass
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox

from .inventory import Inventory
from .wakeups import Wakeups


@dataclass(eq=False, repr=False)
class OwnWrites:
    """Writes the operator's fields of our objects.

    Args:
        inventory: Knows the newest record of each policy.
        writer: Makes the writes.
        wakeups: Stores what they returned, and queues the objects that this affects.
        outbox: Posts the Events about statuses.
    """

    _inventory: Inventory
    _writer: Writer
    _wakeups: Wakeups
    _outbox: EventOutbox
    _under_way: Counter[PolicyKey] = field(default_factory=Counter, init=False)
    _turns: defaultdict[PolicyKey, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False
    )

    def is_own_echo(self, known: PolicyObject | None, seen: PolicyObject) -> bool:
        """Return whether a write under way may be the whole difference of a policy.

        We write the status, the finalizer and the annotation. If somebody else changes
        these at the same moment, the policy has a newer version than our write.
        """
        if known is None or not self._under_way[seen.key]:
            return False
        return known.is_same_request(seen)

    async def report(
        self,
        policy: PolicyObject,
        status: PolicyStatus,
        notices: Callable[[PolicyObject], list[Notice]] = lambda _: [],
    ) -> None:
        """Write the status if it differs from the newest one, then post its Events.

        Args:
            policy: The policy.
            status: Its whole status.
            notices: Returns the Events to post once it is stored; receives the object
                as it is before the write.

        Raises:
            StalePass: The object is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept the status; no Event was posted.
        """
        newest = self._inventory.require_newest(policy)
        self._outbox.confirm(newest)
        if newest.status != status:
            await self.report_over(newest, status, notices(newest))

    async def report_over(
        self, policy: PolicyObject, status: PolicyStatus, notices: Iterable[Notice]
    ) -> None:
        """Write the status over the given record in any case, then post its Events.

        Raises:
            StalePass: The object is gone, or has another status by now.
            ClusterError: Kubernetes did not accept the status; no Event was posted.
        """
        self._outbox.confirm(policy)
        with self._outbox.after(policy, status, notices):
            await self.apply_policy_status(policy, status)

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> None:
        """Write the status over the given record without any Event.

        Raises:
            StalePass: The object is gone, or has another status by now.
            ClusterError: Kubernetes did not accept the write.
        """
        with self._writing(policy):
            async with self._turns[policy.key]:
                newest = self._inventory.newest(policy)
                if newest is None or newest.status != policy.status:
                    raise StalePass
                stored = await self._writer.apply_policy_status(policy, status)
        self._wakeups.stored(stored)

    async def mark(self, policy: PolicyObject, original: Original) -> PolicyObject:
        """Store an original and, if the policy undoes anything, the finalizer.

        Returns:
            The object as it is stored now.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        with self._writing(policy):
            stored = await self._writer.apply_original(
                policy, original.to_text(), finalizer=policy.undoes
            )
        return self._wakeups.stored(stored)

    async def strip(
        self, policy: PolicyObject, *, finalizer: bool = True, original: bool = True
    ) -> PolicyObject:
        """Remove our marks, as far as they are there.

        Returns:
            The object as it is stored now, or as last known if it vanished with them.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        finalizer = finalizer and policy.held
        original = original and policy.original_text is not None
        if not (finalizer or original):
            return policy
        with self._writing(policy):
            stored = await self._writer.strip_policy(
                policy, finalizer=finalizer, original=original
            )
        if stored is None:
            self._wakeups.gone(policy)
            return policy
        return self._wakeups.stored(stored)

    async def apply_instance_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        """Write the whole status and return the object as stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        stored = await self._writer.apply_instance_status(instance, status)
        return self._wakeups.stored_instance(stored)

    async def hold_instance(self, instance: InstanceObject) -> InstanceObject:
        """Make sure that the instance has the finalizer; return it as it is stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        if instance.held:
            return instance
        return self._wakeups.stored_instance(await self._writer.hold_instance(instance))

    async def release_instance(self, instance: InstanceObject) -> bool:
        """Remove the finalizer; return whether the object is gone.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        stored = await self._writer.release_instance(instance)
        if stored is not None:
            self._wakeups.stored_instance(stored)
        return stored is None

    @contextmanager
    def _writing(self, policy: PolicyObject) -> Iterator[None]:
        self._under_way[policy.key] += 1
        try:
            yield
        finally:
            self._under_way[policy.key] -= 1
            if not self._under_way[policy.key]:
                del self._under_way[policy.key]
                self._turns.pop(policy.key, None)
