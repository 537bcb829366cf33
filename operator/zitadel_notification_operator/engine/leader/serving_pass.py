"""Begins and ends to serve instances, and runs the passes over what is served.

Who serves an instance is stored before the first call to its ZITADEL, and given up
after the last one (docs/how-to/several-operators.md).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from zitadel_notification_operator.core.conditions import READY, find
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, Kind, ObjectKey
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.serving import ServedBy, Service, next_server
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.write_turns import WriteTurns
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.served_instances import (
    ServedInstances,
)
from zitadel_notification_operator.engine.ports import ObjectWriter
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.keys import EVENTS, Key
from zitadel_notification_operator.engine.queue.outcome import WAIT, Outcome
from zitadel_notification_operator.engine.reporting.event_messages import (
    handed_over_event,
    served_elsewhere_event,
)
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox

from .dispatch import Dispatch
from .intake import Intake

SOON = 0.1
"""Seconds that a wait for another operator lasts at least, so that it ends at all."""

HELD_UP = 1.0
"""Seconds until the next look at an object whose instance may be handed over."""

Reread = Callable[[Kind, ObjectKey], Awaitable[None]]

_log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class HandOvers:
    """Takes instances, and hands them over.

    Args:
        served: Knows who serves which instance.
        turns: Know whether a write to a ZITADEL may still take effect.
        connections: Know which ZITADEL an instance leads to.
        intake: Gives the inventory what is served, and takes away what is not.
        writer: Stores who serves.
        outbox: Posts Events.
    """

    _served: ServedInstances
    _turns: WriteTurns
    _connections: Connections
    _intake: Intake
    _writer: ObjectWriter
    _outbox: EventOutbox
    _told: dict[str, tuple[str, ServedBy]] = field(default_factory=dict, init=False)

    async def settle(self, name: str) -> Outcome | None:
        """Begin or end to serve an instance, as far as that is due now.

        Returns:
            How the pass over it ends, or None if the instance is served.

        Raises:
            ClusterError: Kubernetes did not accept the write; all is as before.
        """
        instance = self._served.instances.get(name)
        if instance is None:
            return None
        service = self._served.service(name)
        if service is Service.SERVE:
            return None
        if service is Service.TAKE:
            await self._take(instance)
            return WAIT  # the instance is queued as one that is new here
        ended = await self._leave(name)
        if ended is not None:
            return ended
        match service:
            case Service.ASK:
                await self._ask(instance)  # what is stored queues the next pass
            case Service.WAIT:
                return Outcome.retry_in(max(SOON, self._served.wait_left(name)))
            case Service.REFUSED:
                self._tell(instance)
            case Service.HAND_OVER | Service.ELSEWHERE:
                pass  # all is done
        return WAIT

    async def fill(self, name: str) -> None:
        """Give the inventory what names an instance that is served, if it is missing.

        Args:
            name: The name of the instance, which may be gone.
        """
        if self._served.has_begun(name):
            await self._intake.fill(name)

    async def _ask(self, instance: InstanceObject) -> None:
        by, own = instance.status.served_by, self._served.own
        if by is None or own is None:
            return
        asking = replace(by, hand_over_to=own.namespace)
        status = replace(instance.status, served_by=asking)
        stored = await self._writer.apply_status(instance, status)
        _log.info("Asked %s to hand ZitadelInstance %s over", by, instance.name)
        self._intake.seen(stored)

    async def _take(self, instance: InstanceObject) -> None:
        own = self._served.own
        status = replace(instance.status, served_by=own)
        stored = await self._writer.apply_status(instance, status)
        self._served.stored_at[instance.name] = loop_time()
        if stored.status.served_by is None:
            self._served.cannot_store(stored)
        _log.info("Serving ZitadelInstance %s from now on", instance.name)
        self._intake.seen(stored)

    async def _leave(self, name: str) -> Outcome | None:
        """End the work on an instance, and store that it is no longer served.

        Returns:
            None if it is left; else how the pass ends.
        """
        has_begun = self._served.has_begun(name)
        if has_begun:
            await self._end_calls(name)
        instance, own = self._served.instances.get(name), self._served.own
        if instance is None or own is None:
            return WAIT
        stored = None
        match self._served.service(name):
            case Service.SERVE | Service.TAKE:
                return Outcome.retry_in(SOON)  # it has come back meanwhile
            case Service.HAND_OVER:
                # Also if another process of this operator has served it so far.
                next_one = next_server(own, instance.assignment)
                status = replace(instance.status, served_by=next_one)
                stored = await self._writer.apply_status(instance, status)
                self._outbox.tell(instance, handed_over_event(next_one))
            case Service.ASK | Service.WAIT | Service.ELSEWHERE | Service.REFUSED if (
                has_begun
            ):
                _log.info("Serving ZitadelInstance %s no longer", name)
            case _:
                return None
        if has_begun:
            await self._intake.leave(name)
        if stored is not None:
            self._intake.seen(stored)
        return None

    async def _end_calls(self, name: str) -> None:
        """Wait until no pass runs for an instance, and no write can take effect.

        It may come back for a moment, in which passes begin; these are waited for, too.
        """
        while True:
            await self._served.running.idle(name)
            proven = self._connections.state(name).proven
            if proven is not None:
                await self._turns.settled(proven.zitadel_id)
            is_over = not self._served.running.are_any(name)
            if is_over or self._served.may_work(name):
                return

    def _tell(self, instance: InstanceObject) -> None:
        """Say once that another installation keeps an instance of this class."""
        by = instance.status.served_by
        own = self._served.own
        if instance.name not in self._served.refused() or own is None or by is None:
            return
        if self._told.get(instance.name) != (instance.uid, by):
            self._told[instance.name] = instance.uid, by
            self._outbox.tell(instance, served_elsewhere_event(by, own))


@dataclass(eq=False, repr=False)
class ServingPass:
    """Runs the passes over objects that this operator serves, and over no others.

    Args:
        served: Knows who serves which instance.
        hand_overs: Takes instances, and hands them over.
        dispatch: Runs the passes.
        inventory: Holds the objects.
        reread: Reads an object from Kubernetes and stores it.
    """

    _served: ServedInstances
    _hand_overs: HandOvers
    _dispatch: Dispatch
    _inventory: Inventory
    _reread: Reread

    async def run(self, key: Key, failures: int) -> Outcome:
        """Run the pass over an object, if this operator serves it now.

        Args:
            key: The key.
            failures: The number of consecutive passes over it that have failed.

        Raises:
            ClusterError: As in `Dispatch.run`.
            StalePass: As in `Dispatch.run`.
            RequeueAfter: As in `Dispatch.run`.
        """
        if key.kind is INSTANCE:
            ended = await self._hand_overs.settle(key.name)
            if ended is None:
                await self._hand_overs.fill(key.name)
                return await self._dispatch.run(key, failures)
            if not self._served.has_begun(key.name):
                await self._dispatch.run(key, failures)  # to close its connections
            return ended
        one = self._inventory.find(*key.of_object)
        if one is None:
            return WAIT
        needed = one.name if key.kind is EVENTS else one.needed_instance
        if needed is not None:
            await self._confirm_absence(one, needed)
        if not self._served.may_work(needed):
            # It goes to another operator, or is taken once more.
            return Outcome.retry_in(HELD_UP)
        with self._served.running.on(needed or ""):
            return await self._dispatch.run(key, failures)

    async def _confirm_absence(self, one: OwnObject, needed: str) -> None:
        """Read an instance that is not known before anybody hears that there is none.

        The watch may deliver a policy before its instance, which may be another
        operator's.
        """
        if self._served.own is None or needed in self._served.instances:
            return
        ready = find(one.status.conditions, READY)
        if needed and (ready is None or ready.reason != Reason.INSTANCE_NOT_FOUND):
            await self._reread(INSTANCE, ObjectKey("", needed))
