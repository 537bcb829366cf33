"""Tracks our writes under way, to recognize their echoes and to serialize them.

The watch may deliver a write before the call that made it returns. If that counted as a
change, it would cost one more pass over the policy, and one more call to ZITADEL.

A status is always written whole: by a policy's pass, and by its instance's pass when
that turns to another ZITADEL. Each is made from the status before it, so they take
turns.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.objects import PolicyObject, PolicyStatus
from zitadel_notification_operator.engine.ports import ObjectWriter
from zitadel_notification_operator.engine.queue.outcome import Superseded


class OwnWrites:
    """An `ObjectWriter` that knows what it is writing.

    Args:
        writer: Makes the writes.
        newest: Returns the newest record of this very object, or None if it is gone.
    """

    def __init__(
        self,
        writer: ObjectWriter,
        newest: Callable[[PolicyObject], PolicyObject | None],
    ) -> None:
        self._writer = writer
        self._newest = newest
        self._under_way: Counter[PolicyKey] = Counter()
        self._turns: defaultdict[PolicyKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    def explains(self, known: PolicyObject | None, seen: PolicyObject) -> bool:
        """Return whether a write under way may be the whole difference of a policy.

        We write the status, the finalizer and the annotation. If somebody else changes
        these at the same moment, the policy has a newer version than our write.
        """
        if known is None or not self._under_way[seen.key]:
            return False
        return known.asks_as(seen)

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        """Server-side apply the whole status, made from the one that `policy` has.

        Raises:
            Superseded: The object is gone, or has another status by now.
            ClusterError: Kubernetes did not accept the write.
        """
        with self._writing(policy):
            async with self._turns[policy.key]:
                newest = self._newest(policy)
                if newest is None or newest.status != policy.status:
                    raise Superseded
                return await self._writer.apply_policy_status(policy, status)

    async def apply_original(
        self, policy: PolicyObject, original: str, *, finalizer: bool
    ) -> PolicyObject:
        """Server-side apply the annotation and, if asked, the finalizer."""
        with self._writing(policy):
            return await self._writer.apply_original(
                policy, original, finalizer=finalizer
            )

    async def strip_policy(
        self, policy: PolicyObject, *, finalizer: bool, original: bool
    ) -> PolicyObject | None:
        """Remove finalizer and/or annotation by JSON patch; None if it is gone now."""
        with self._writing(policy):
            return await self._writer.strip_policy(
                policy, finalizer=finalizer, original=original
            )

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
