"""Makes sure that only one operator writes to a ZITADEL.

An instance that is to write to a ZITADEL first stores in its own status that it reaches
it, and then reads what the others say. Of two operators that do so at the same time, at
least one sees the other's id, and the older instance goes first
(docs/how-to/several-operators.md).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from zitadel_notification_operator.core.conditions import STALLED, is_true
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.instance_report import instance_failed
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
        relist: Reads all instances from Kubernetes and stores them, unless that has
            begun after this loop time.
        lease_guard: Says whether this process may still make a call.
        now: The wall clock, with a time zone.
    """

    _served: ServedInstances
    _turns: WriteTurns
    _writes: OwnWrites
    _relist: Callable[[float], Awaitable[None]]
    _lease_guard: LeaseGuard
    _now: Callable[[], datetime]

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
        self._served.waits.pop(instance.name, None)
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
        name, served = instance.name, self._served
        if served.own is None or served.cleared.get(name) == zitadel_id:
            return
        waits = served.waits.get(name)
        if waits is None or waits[0] != zitadel_id:
            await self._announce(instance, zitadel_id)
            await self._relist(served.stored_at.get(name, float("-inf")))
            await self.require_first(instance, zitadel_id)
            waits = served.waits[name] = zitadel_id, loop_time()
        others = served.unsettled(instance, zitadel_id)
        if others and loop_time() - waits[1] < HAND_OVER:
            raise RequeueAfter(LOOK)
        for other in others:
            _log.warning(
                "%s reaches the same ZITADEL as %s, and its operator has not given it "
                "up",
                other.name,
                name,
            )
        served.cleared[name] = zitadel_id
        del served.waits[name]

    async def _announce(self, instance: InstanceObject, zitadel_id: str) -> None:
        """Store that the instance reaches a ZITADEL, and may soon write there.

        Raises:
            ClusterError: Kubernetes did not accept the write.
        """
        known = status = instance.status
        if is_true(known.conditions, STALLED, Reason.CLASS_CONFLICT):
            # Others count an instance that says so as one that does not write.
            ended = TransientError(
                Reason.CLASS_CONFLICT,
                "No older ZitadelInstance of another operator reaches this ZITADEL any "
                "longer; this one goes on when no other operator can write there",
            )
            status = instance_failed(instance, ended, self._now())
        if known.instance_id != zitadel_id:
            status = replace(status, instance_id=zitadel_id, drift_cursor=None)
        if status != known:
            await self._writes.apply_instance_status(instance, status)
            self._served.stored_at[instance.name] = loop_time()


def _message(elder: InstanceObject, zitadel_id: str) -> str:
    by = elder.status.served_by
    return (
        f"The older ZitadelInstance {elder.name!r} of class {elder.operator_class!r}, "
        f"served by {by or 'nobody'}, reaches the same ZITADEL, {zitadel_id}; give "
        "both the same spec.class and the same operator, or delete one of them"
    )
