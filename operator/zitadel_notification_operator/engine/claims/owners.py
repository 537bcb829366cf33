"""Confirms the owner of a target before that counts against another policy.

A watch that was interrupted may never report a deletion, and an object without our
finalizer is deleted without us. So an owner that blocks another policy is read once
more from Kubernetes.
"""

import logging
from collections.abc import Awaitable, Callable

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.objects import PolicyObject
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.clock import loop_time

CONFIRMED = 60.0
"""Seconds for which an owner that was read is trusted, however many policies it
blocks."""

_log = logging.getLogger(__name__)


class Owners:
    """Knows the owners, and when each was read last.

    Args:
        inventory: Says who owns what, as far as the watch has reported.
        reread: Reads a policy from Kubernetes and stores it in the inventory.
    """

    def __init__(
        self, inventory: Inventory, reread: Callable[[PolicyKey], Awaitable[None]]
    ) -> None:
        self._inventory = inventory
        self._reread = reread
        self._read: dict[PolicyKey, tuple[str, float]] = {}

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
            if self._is_confirmed(owner):
                return owner
            try:
                await self._reread(owner)
            except ClusterError as error:
                # Nobody knows better, so what the watch has reported counts.
                news = error.claim_telling()
                _log.log(
                    logging.WARNING if news else logging.DEBUG, "%s", error.message
                )
                return owner
            self._confirm(owner)

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
