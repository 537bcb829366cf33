"""Whether the CRD of a kind is being deleted; one read serves many deletions.

Kubernetes marks the CRD first and deletes the objects of its kind after that. So a read
that began after a deletion was seen shows with certainty whether the object is deleted
because its CRD is; that asks for no setting to be undone (docs/concepts/deletion.md).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.kinds import Kind
from zitadel_notification_operator.engine.queue.clock import loop_time

FRESH = 10.0
"""Seconds for which a read serves deletions that were seen before it began. A thousand
deletions take minutes, and the CRD may be deleted in the middle of them."""

REFUSED = 1.0
"""The same for a read that failed."""

Ask = Callable[[Kind], Awaitable[bool]]
"""Returns whether the CRD of a kind is being deleted, or gone."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """One read of a CRD.

    Attributes:
        number: When it began, in the order of everything that `Crds` has numbered.
        until: Loop time until which it serves.
        found: Whether the CRD is being deleted, or the error if that is not known.
    """

    number: int = -1
    until: float = float("-inf")
    found: bool | ClusterError = False


class Crds:
    """What is known of the CRDs, and which deletions were seen before that.

    Args:
        ask: Reads the CRD of a kind.
        ending: Called with a kind whose CRD is found to be deleted.
    """

    def __init__(self, ask: Ask, ending: Callable[[Kind], None]) -> None:
        self._ask = ask
        self._ending = ending
        self._order = count()
        self._seen: dict[str, int] = {}
        self._readings: dict[Kind, _Reading] = {}
        self._asking: dict[Kind, asyncio.Lock] = {}

    def seen(self, uid: str) -> int:
        """Record that an object is being deleted; return its place in the order."""
        if uid not in self._seen:
            self._seen[uid] = next(self._order)
        return self._seen[uid]

    def keep(self, uids: frozenset[str]) -> None:
        """Forget all objects but these: the others are gone."""
        self._seen = {uid: at for uid, at in self._seen.items() if uid in uids}

    async def is_ending(self, kind: Kind, uid: str) -> bool:
        """Return whether the CRD of an object that is being deleted is deleted, too.

        Args:
            kind: The object's kind.
            uid: The object's uid.

        Raises:
            ClusterError: Kubernetes did not answer, so it is not known.
        """
        seen = self.seen(uid)
        async with self._asking.setdefault(kind, asyncio.Lock()):
            known = self._readings.get(kind, _Reading())
            if known.number < seen or loop_time() >= known.until:
                before, known = known.found, await self._read(kind)
                self._readings[kind] = known
                if known.found is True and before is not True:
                    self._ending(kind)
        if isinstance(known.found, ClusterError):
            # Without its traceback, which each task that raises it would extend.
            raise known.found.with_traceback(None)
        return known.found

    async def _read(self, kind: Kind) -> _Reading:
        number = next(self._order)
        try:
            found = await self._ask(kind)
        except ClusterError as error:
            return _Reading(number, loop_time() + REFUSED, error)
        return _Reading(number, loop_time() + FRESH, found)
