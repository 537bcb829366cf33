"""Who owns a target, asked before that counts against somebody.

A watch that was cut may never tell that an object has ended, and one without our
finalizer ends without us. So an owner that stands in somebody's way is read once more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.engine.inventory import Inventory

CONFIRMED = 60.0
"""Seconds for which an owner that was read is believed, however many it stands in
the way of."""

_log = logging.getLogger(__name__)


class Owners:
    """Owners, and when each was read last.

    Args:
        inventory: Tells who owns what, as far as the watch has told.
        reread: Takes a policy into it as Kubernetes holds it now.
    """

    def __init__(
        self, inventory: Inventory, reread: Callable[[PolicyKey], Awaitable[None]]
    ) -> None:
        self._inventory = inventory
        self._reread = reread
        self._read: dict[PolicyKey, tuple[str, float]] = {}

    async def other(self, policy: PolicyObject, target: Target) -> PolicyKey | None:
        """Return who surely owns the target instead of this policy; None: nobody."""
        while True:
            owner = self._inventory.owner(target)
            if owner is None or owner == policy.key:
                return None
            if self._is_confirmed(owner):
                return owner
            try:
                await self._reread(owner)
            except ClusterError as error:
                # Nobody knows better: what the watch has told counts.
                _log.warning("%s", error.message)
                return owner
            self._confirm(owner)

    def _confirm(self, owner: PolicyKey) -> None:
        now = asyncio.get_running_loop().time()
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
        now = asyncio.get_running_loop().time()
        return uid == self._inventory.policies[owner].uid and now - at < CONFIRMED
