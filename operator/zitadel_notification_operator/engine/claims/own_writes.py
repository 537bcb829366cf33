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
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.objects import Own, OwnObject, OwnStatus
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicySpec
from zitadel_notification_operator.core.set_object import SetObject
from zitadel_notification_operator.engine.ports import Notice, ObjectWriter
from zitadel_notification_operator.engine.queue.outcome import StalePass
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox

from .inventory import Inventory
from .wakeups import Wakeups


@dataclass(eq=False, repr=False)
class OwnWrites:
    """Writes the operator's fields of our objects.

    Args:
        inventory: Knows the newest record of each object.
        writer: Makes the writes.
        wakeups: Stores what they returned, and queues the objects that this affects.
        outbox: Posts the Events about statuses.
    """

    _inventory: Inventory
    _writer: ObjectWriter
    _wakeups: Wakeups
    _outbox: EventOutbox
    # By the uids of the objects.
    _under_way: Counter[str] = field(default_factory=Counter, init=False)
    _turns: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock), init=False
    )

    def is_own_echo(self, known: OwnObject | None, seen: OwnObject) -> bool:
        """Return whether a write under way may be the whole difference of an object.

        If somebody else changes at the same moment what we write, the object has a
        newer version than our write.
        """
        if known is None or not self._under_way[seen.uid]:
            return False
        return known.is_same_request(seen)

    async def report(
        self,
        about: Own,
        status: OwnStatus,
        notices: Callable[[Own], list[Notice]] = lambda _: [],
    ) -> None:
        """Write the status if it differs from the newest one, then post its Events.

        Args:
            about: The object.
            status: Its whole status.
            notices: Returns the Events to post once it is stored; receives the object
                as it is before the write.

        Raises:
            StalePass: The object is gone; a different one may have its name.
            ClusterError: Kubernetes did not accept the status; no Event was posted.
        """
        newest = self._inventory.require_newest(about)
        self._outbox.confirm(newest)
        if newest.status != status:
            await self.report_over(newest, status, notices(newest))

    async def report_over(
        self, about: OwnObject, status: OwnStatus, notices: Iterable[Notice]
    ) -> None:
        """Write the status over the given record in any case, then post its Events.

        Raises:
            StalePass: The object is gone, or has another status by now.
            ClusterError: Kubernetes did not accept the status; no Event was posted.
        """
        self._outbox.confirm(about)
        with self._outbox.after(about, status, notices):
            await self.apply_status(about, status)

    async def apply_status(self, about: OwnObject, status: OwnStatus) -> None:
        """Write the status over the given record without any Event.

        Raises:
            StalePass: The object is gone, or has another status by now.
            ClusterError: Kubernetes did not accept the write.
        """
        with self._writing(about):
            async with self._turns[about.uid]:
                newest = self._inventory.newest(about)
                if newest is None or newest.status != about.status:
                    raise StalePass
                stored = await self._writer.apply_status(about, status)
        self._wakeups.stored(stored)

    async def mark(self, policy: PolicyObject, original: Original) -> PolicyObject:
        """Store an original and, if the policy undoes anything, the finalizer.

        Returns:
            The object as it is stored now.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        with self._writing(policy):
            stored = await self._writer.apply_marks(
                policy, original=original.to_text(), finalizer=policy.undoes
            )
        return self._wakeups.stored(stored)

    async def strip(
        self, policy: PolicyObject, *, original: bool = True
    ) -> PolicyObject:
        """Remove the finalizer and, unless it shall stay, the original.

        Returns:
            The object as it is stored now, or as last known if it vanished with them.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        finalizer = policy.held
        original = original and policy.original_text is not None
        if not (finalizer or original):
            return policy
        with self._writing(policy):
            stored = await self._writer.strip(
                policy, finalizer=finalizer, original=original
            )
        if stored is None:
            self._wakeups.gone(policy)
            return policy
        return self._wakeups.stored(stored)

    async def create_policy(
        self, one: SetObject, key: PolicyKey, spec: PolicySpec
    ) -> PolicyObject:
        """Create the policy of a set, and queue its first pass; return it as stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        made = await self._writer.create_policy(one, key, spec)
        self._wakeups.made(made)
        return made

    async def apply_policy(
        self, one: SetObject, policy: PolicyObject, spec: PolicySpec
    ) -> PolicyObject:
        """Apply the spec of a set's policy, and queue a pass; return it as stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        stored = await self._writer.apply_policy(one, policy, spec)
        self._wakeups.made(stored)
        return stored

    async def delete(self, about: OwnObject) -> None:
        """Delete an object; the watch reports what becomes of it.

        Raises:
            ClusterError: Kubernetes did not accept the call.
        """
        await self._writer.delete(about)

    async def apply_instance_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        """Write the whole status of an instance; return the object as stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        stored = await self._writer.apply_status(instance, status)
        return self._wakeups.keep(stored)

    async def hold(self, one: Own) -> Own:
        """Make sure that an instance or a set has the finalizer; return it as stored.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        if one.held:
            return one
        return self._wakeups.keep(await self._writer.apply_marks(one, finalizer=True))

    async def release(self, one: OwnObject) -> bool:
        """Remove the finalizer of an instance or a set; return whether it is gone.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        stored = await self._writer.strip(one, finalizer=True, original=False)
        if stored is not None:
            self._wakeups.keep(stored)
        return stored is None

    @contextmanager
    def _writing(self, about: OwnObject) -> Iterator[None]:
        self._under_way[about.uid] += 1
        try:
            yield
        finally:
            self._under_way[about.uid] -= 1
            if not self._under_way[about.uid]:
                del self._under_way[about.uid]
                self._turns.pop(about.uid, None)
