"""One pass over an instance: hold it, prove it, report, wake who waited.

Its verdict opens or closes the line for all policies that use the instance. How it is
proven is in `engine.proof`.
"""

import asyncio
from dataclasses import replace

from zitadel_notification_operator.core.credentials import expiry_of
from zitadel_notification_operator.core.errors import (
    ClusterError,
    OperatorError,
    TransientError,
)
from zitadel_notification_operator.core.grants import POSSIBLE
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.instance_report import (
    instance_ready,
    instance_troubled,
)
from zitadel_notification_operator.core.objects import InstanceObject, InstanceStatus
from zitadel_notification_operator.core.report import is_vouched_for
from zitadel_notification_operator.engine.connections import Line
from zitadel_notification_operator.engine.keys import events_key, policy_key
from zitadel_notification_operator.engine.notices import (
    of_instance,
    of_trouble,
    of_waiting,
)
from zitadel_notification_operator.engine.outcome import (
    WAIT,
    Outcome,
    back_off,
    retry_in,
    stall,
)
from zitadel_notification_operator.engine.proof import Proof, is_superseded
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.workqueue import Priority

SECRET_INTERVAL = 50.0
"""Seconds between readings of the Secret; with jitter it stays under a minute."""

SECOND_LOOK = 5.0
"""Seconds after which trouble that somebody must mend is looked at once more."""

OTHER_RIGHTS_SPREAD = 60.0
"""Seconds within which all policies are looked at after a change of credential."""

COUNT_INTERVAL = 60.0
"""Seconds between status writes that only tell a new number of policies."""


class InstancePass:
    """Runs passes over instances."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._proof = Proof(room)

    async def run(self, instance: InstanceObject) -> Outcome:
        """Give a verdict on one instance and report it.

        Raises:
            ClusterError: Kubernetes did not take a call; the verdict stands.
        """
        if instance.deleting:
            if await self._let_go(instance):
                return WAIT
        elif not instance.held:
            instance = self._store(
                await self._room.instance_writer.hold_instance(instance)
            )
        line = self._room.connections.line(instance.name)
        before, rights = self._verdict(instance, line), _rights(line)
        trouble: OperatorError | None = None
        try:
            await self._proof.run(instance, line)
        except ClusterError:
            raise
        except OperatorError as error:
            trouble = error
        if is_superseded(self._room, instance):
            # What was found is not about the object that is there now; the news of
            # that one has asked for another pass.
            return WAIT
        self._note(line, trouble)
        after = self._verdict(instance, line)
        self._wake(instance, changed=after != before)
        if None not in {rights, _rights(line)} and rights != _rights(line):
            self._look_at_all(instance)
        await self._report(instance, line)
        return self._next_look(instance, line.trouble, changed=before != after)

    def _next_look(
        self, instance: InstanceObject, trouble: OperatorError | None, *, changed: bool
    ) -> Outcome:
        if trouble is None:
            self._room.meter.synced(instance)
            return retry_in(self._room.spread(SECRET_INTERVAL))
        if isinstance(trouble, TransientError):
            return back_off(trouble.retry_after)
        if changed:
            # Once more soon: a refusal may have been one call's misfortune.
            return stall(SECOND_LOOK)
        return stall(self._room.spread(SECRET_INTERVAL))

    def _note(self, line: Line, trouble: OperatorError | None) -> None:
        line.suspected = False
        line.checked = True
        if trouble is None:
            line.troubled_since = None
        elif line.trouble is None:
            line.troubled_since = self._room.now()
        line.trouble = trouble

    def _wake(self, instance: InstanceObject, *, changed: bool) -> None:
        """Ask for passes over the policies that the verdict concerns."""
        line = self._room.connections.line(instance.name)
        waiting, line.waiting = line.waiting, set()
        self._room.news.concerned(waiting)
        if not changed:
            return
        usable = line.trouble is None
        interval = self._room.drift.interval(instance)
        if usable and self._room.drift.reads_events(instance):
            self._plan_search(instance)
        for key in self._room.inventory.users_of(instance.name):
            policy = self._room.inventory.policies[key]
            if usable and not policy.deleting and is_vouched_for(policy):
                # It only waits for its drift look-up; spread, so that a restart
                # with many policies is no burst.
                if interval is not None:
                    delay = interval * self._room.chance.random()
                    self._room.queue.add_after(policy_key(key), delay, Priority.DRIFT)
            else:
                # No retry: those may take only a part of the instance's turns.
                self._room.queue.add(policy_key(key), Priority.DRIFT)

    def _look_at_all(self, instance: InstanceObject) -> None:
        """Look at all policies within a minute: another credential may do less."""
        for key in self._room.inventory.users_of(instance.name):
            delay = OTHER_RIGHTS_SPREAD * self._room.chance.random()
            self._room.queue.add_after(policy_key(key), delay, Priority.DRIFT)

    def _plan_search(self, instance: InstanceObject) -> None:
        """Search at once where an earlier process stopped; else after an interval.

        Who begins without a past has nothing to find yet.
        """
        self._room.drift.note_usable(instance.name, asyncio.get_running_loop().time())
        key = events_key(instance.name)
        if instance.status.drift_cursor is not None:
            self._room.queue.add(key, Priority.RETRY)
        else:
            self._room.queue.add_after(key, instance.events_interval, Priority.RETRY)

    async def _report(self, instance: InstanceObject, line: Line) -> None:
        newest = self._room.inventory.instances.get(instance.name, instance)
        # A token or a spec that came while the pass ran is for the next one.
        instance = replace(
            newest,
            requested_at=instance.requested_at,
            generation=instance.generation,
        )
        now = self._room.now()
        trouble = line.trouble
        if trouble is not None:
            status = instance_troubled(instance, trouble, now)
            for notice in of_trouble(instance, trouble):
                self._room.tell(instance, notice)
        elif line.proven is not None:
            expires = expiry_of(line.tried.credential) if line.tried else None
            status = instance_ready(instance, line.proven.identity, expires, now)
            for notice in of_instance(instance, status):
                self._room.tell(instance, notice)
        else:
            return
        cursor = line.cursor or status.drift_cursor
        users = len(self._room.inventory.users_of(instance.name))
        status = replace(status, policies=users, drift_cursor=cursor)
        await self._write(instance, status)

    async def _write(self, instance: InstanceObject, status: InstanceStatus) -> None:
        if status == instance.status:
            return
        line = self._room.connections.line(instance.name)
        now = asyncio.get_running_loop().time()
        only_counted = replace(status, policies=None) == replace(
            instance.status, policies=None
        )
        if only_counted:
            if line.reported_at is None:
                # A restart begins such a minute, so that it writes nothing at once.
                line.reported_at = now
            if now - line.reported_at < COUNT_INTERVAL:
                return
        line.reported_at = now
        writer = self._room.instance_writer
        self._store(await writer.apply_instance_status(instance, status))

    async def _let_go(self, instance: InstanceObject) -> bool:
        """Drop the finalizer once no policy needs the instance any longer.

        Returns:
            Whether the object is gone. While another finalizer keeps it, it serves.
        """
        if not instance.held:
            return False
        inventory = self._room.inventory
        needed = any(
            inventory.policies[key].held
            and inventory.admission(inventory.policies[key]) in POSSIBLE
            for key in inventory.users_of(instance.name)
        )
        if needed:
            self._tell_in_use(instance)
            return False
        stored = await self._room.instance_writer.release_instance(instance)
        if stored is None:
            return True
        self._store(stored)
        return False

    def _tell_in_use(self, instance: InstanceObject) -> None:
        line = self._room.connections.line(instance.name)
        if not line.told_in_use:
            line.told_in_use = True
            self._room.tell(instance, of_waiting(instance))

    def _store(self, instance: InstanceObject) -> InstanceObject:
        moved = self._room.inventory.put_instance(instance)
        self._room.news.concerned(moved or ())
        return instance

    def _verdict(self, instance: InstanceObject, line: Line) -> tuple[object, ...]:
        """Return what policies go by: another one concerns them all."""
        trouble, proven = line.trouble, line.proven
        return (
            line.checked,
            f"{trouble.reason}: {trouble.stable}" if trouble else None,
            proven.zitadel_id if proven else None,
            _rights(line),
            self._room.drift.reads_events(instance),
        )


def _rights(line: Line) -> tuple[User, Capabilities] | None:
    """Return whom a usable line's credential belongs to, and what it may do."""
    if line.trouble is not None or line.proven is None:
        return None
    return line.proven.identity.user, line.proven.identity.capabilities
