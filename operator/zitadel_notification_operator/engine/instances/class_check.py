"""Makes sure that only one operator writes to a ZITADEL.

An instance that finds a new ZITADEL first stores its id in its own status, and then
reads what the others say. Of two operators that do so at the same time, at least one
sees the other's id, and the older instance goes first
(docs/how-to/several-operators.md).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from zitadel_notification_operator.core.errors import TerminalError
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.serving import HAND_OVER
from zitadel_notification_operator.engine.calls.lease_guard import (
    LeaseGuard,
    is_verifying,
)
from zitadel_notification_operator.engine.calls.write_turns import WriteTurns
from zitadel_notification_operator.engine.claims.own_writes import OwnWrites
from zitadel_notification_operator.engine.claims.served_instances import (
    ServedInstances,
)
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import RequeueAfter

LOOK = 1.0
"""Seconds between two looks at whether another operator has given a ZITADEL up."""

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class ClassCheck:
    """Compares the instances of all operators that reach one ZITADEL.

    Args:
        served: Knows all instances.
        turns: Know whether a write to a ZITADEL may still take effect.
        writes: Stores the id of a ZITADEL.
        relist: Reads all instances from Kubernetes and stores them.
        lease_guard: Says whether this process may still make a call.
    """

    _served: ServedInstances
    _turns: WriteTurns
    _writes: OwnWrites
    _relist: Callable[[], Awaitable[None]]
    _lease_guard: LeaseGuard
    # Since when an instance waits for other operators, by its name.
    _waits_since: dict[str, float] = field(default_factory=dict, init=False)

    def require_lease(self) -> None:
        """Check that a probe may make one more call.

        Raises:
            StalePass: The process is stopping, or may not write.
        """
        self._lease_guard.require()

    def require_call(self, name: str) -> None:
        """Check that a pass may make one more call for the policies of an instance.

        Raises:
            StalePass: The process is stopping, or may not write, or another operator
                has or gets the instance or its ZITADEL.
        """
        self._lease_guard.require()
        if not is_verifying():
            self._served.require(name)

    async def require_first(self, instance: InstanceObject, zitadel_id: str) -> None:
        """Check that no older instance of another operator reaches the same ZITADEL.

        Raises:
            TerminalError: `ClassConflict`; nothing that was sent to this ZITADEL can
                take effect any more.
        """
        elder = self._served.elder(instance, zitadel_id)
        if elder is None:
            return
        self._served.cleared.pop(instance.name, None)
        await self._served.running.idle(instance.name)
        await self._turns.settled(zitadel_id)
        raise TerminalError(Reason.CLASS_CONFLICT, _message(elder, zitadel_id))

    async def clear(self, instance: InstanceObject, zitadel_id: str) -> None:
        """Store which ZITADEL an instance reaches, before its policies may write there.

        Raises:
            TerminalError: As for `require_first`.
            RequeueAfter: Another operator may still write there; its instance is
                younger, and it will see ours.
            ClusterError: Kubernetes did not accept a call.
        """
        name, cleared = instance.name, self._served.cleared
        if self._served.own is None or cleared.get(name) == zitadel_id:
            return
        if instance.status.instance_id != zitadel_id:
            status = replace(instance.status, instance_id=zitadel_id, drift_cursor=None)
            await self._writes.apply_instance_status(instance, status)
            await self._relist()
            await self.require_first(instance, zitadel_id)
        others = self._served.unsettled(instance, zitadel_id)
        since = self._waits_since.setdefault(name, loop_time())
        if others and loop_time() - since < HAND_OVER:
            raise RequeueAfter(LOOK)
        for other in others:
            _log.warning(
                "%s reaches the same ZITADEL as %s, and its operator has not given it "
                "up",
                other.name,
                name,
            )
        cleared[name] = zitadel_id
        del self._waits_since[name]

    def keep(self, instances: frozenset[str]) -> None:
        """Forget all instances but these."""
        self._waits_since = {
            n: t for n, t in self._waits_since.items() if n in instances
        }


def _message(elder: InstanceObject, zitadel_id: str) -> str:
    by = elder.status.served_by
    return (
        f"The older ZitadelInstance {elder.name!r} of class {elder.operator_class!r}, "
        f"served by {by or 'nobody'}, reaches the same ZITADEL, {zitadel_id}; give "
        "both the same spec.class and the same operator, or delete one of them"
    )
