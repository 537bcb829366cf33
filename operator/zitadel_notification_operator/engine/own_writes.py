"""Which of our writes are under way, so that the watch's echo of one is known as such.

The watch may tell of a write before the call that made it returns. Taken for news, it
would cost one more pass over the policy, and one more call of ZITADEL.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.objects import PolicyObject, PolicyStatus
from zitadel_notification_operator.engine.ports import ObjectWriter


class OwnWrites:
    """An `ObjectWriter` that knows what it is writing.

    Args:
        writer: Makes the writes.
    """

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer
        self._under_way: Counter[PolicyKey] = Counter()

    def explains(self, known: PolicyObject | None, seen: PolicyObject) -> bool:
        """Return whether a write under way may be all that is new about a policy.

        What we write is the status, the finalizer and the annotation; somebody else's
        change of these in the same moment shows by a newer version than ours.
        """
        if known is None or not self._under_way[seen.key]:
            return False
        return known.asks_as(seen)

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        """Server-side apply the whole status."""
        with self._writing(policy):
            return await self._writer.apply_policy_status(policy, status)

    async def apply_original(
        self, policy: PolicyObject, original: str, *, finalizer: bool
    ) -> PolicyObject:
        """Server-side apply the annotation and, where asked, the finalizer."""
        with self._writing(policy):
            return await self._writer.apply_original(
                policy, original, finalizer=finalizer
            )

    async def strip_policy(
        self, policy: PolicyObject, *, finalizer: bool, original: bool
    ) -> PolicyObject | None:
        """Remove finalizer and/or annotation by JSON patch; None: it is gone now."""
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
