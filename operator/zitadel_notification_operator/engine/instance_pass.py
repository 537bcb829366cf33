"""One pass over an instance: add the finalizer, probe it, report, queue policies.

Its verdict decides whether the policies that use the instance may make calls. The probe
itself is in `engine.proof`.
"""

import asyncio
import logging
from dataclasses import replace

from zitadel_notification_operator.core.credentials import expiry_of
from zitadel_notification_operator.core.errors import (
    ClusterError,
    OperatorError,
    ReadSideBusy,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.events import Cursor, moment_of
from zitadel_notification_operator.core.feed import stored_cursor
from zitadel_notification_operator.core.grants import POSSIBLE
from zitadel_notification_operator.core.instance_report import (
    instance_ready,
    instance_troubled,
)
from zitadel_notification_operator.core.objects import InstanceObject, InstanceStatus
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import is_vouched_for
from zitadel_notification_operator.engine.connections import Line, Verdict
from zitadel_notification_operator.engine.crds import Crds
from zitadel_notification_operator.engine.finding_out import (
    LOOKS,
    holds_while_busy,
    next_look,
    note_success,
    note_trouble,
)
from zitadel_notification_operator.engine.keys import INSTANCE, events_key, policy_key
from zitadel_notification_operator.engine.meter import Result
from zitadel_notification_operator.engine.notices import (
    of_deprecation,
    of_drift_detection,
    of_instance,
    of_trouble,
    of_waiting,
)
from zitadel_notification_operator.engine.outcome import (
    WAIT,
    LookAgain,
    Outcome,
    Superseded,
    back_off,
    retry_in,
    stall,
)
from zitadel_notification_operator.engine.proof import Proof, is_superseded
from zitadel_notification_operator.engine.repairs import BUSY_INTERVAL, READ_ON
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.search_health import without_round
from zitadel_notification_operator.engine.workqueue import Priority

SECRET_INTERVAL = 30.0
"""Seconds between reads of the Secret, whatever the state. So a bad credential is
reported, and one that is good again is used, within a minute (design, section 11)."""

SECOND_LOOK = 5.0
"""Seconds until a new error that somebody has to fix is checked once more."""

OTHER_RIGHTS_SPREAD = 60.0
"""Seconds over which passes over all policies are spread after a change of
credential."""

COUNT_INTERVAL = 60.0
"""Seconds between status writes that only change the number of policies."""


INCONSISTENT = TerminalError(
    Reason.ZITADEL_INCONSISTENT,
    "ZITADEL's reads contradict its event log, and repairs of single policies do not "
    f"help, so its read side may stand still as a whole; {READ_ON}",
)
"""The trouble of an instance while repairs of its ZITADEL's read side do not help."""

CRD_GOES = (
    "the CRD of ZitadelInstance is being deleted, so it does not wait for the "
    "NotificationPolicy objects that need it; ZITADEL stays as it is"
)

_log = logging.getLogger(__name__)


class InstancePass:
    """Runs passes over instances."""

    def __init__(self, room: Room, crds: Crds) -> None:
        self._room = room
        self._crds = crds
        self._proof = Proof(room)

    async def run(self, instance: InstanceObject) -> Outcome:
        """Reach a verdict on one instance and report it.

        Raises:
            ClusterError: Kubernetes did not accept a call; the last verdict stands.
            LookAgain: ZITADEL's read side is giving up an insert; the last verdict
                stands.
        """
        if instance.deleting:
            if await self._let_go(instance):
                return WAIT
        elif not instance.held:
            instance = self._store(
                await self._room.instance_writer.hold_instance(instance)
            )
        line = self._room.connections.line(instance.name)
        before_token = instance.status.last_handled_reconcile_at
        reads = self._room.drift.reads_events(instance)
        trouble = await self._trouble_of(instance, line)
        if is_superseded(self._room, instance):
            # The findings are not about the object as it is now; its watch event has
            # queued another pass.
            return WAIT
        self._note(instance, line, trouble)
        if line.finding_out:
            # This is counted as a failure but not reported yet.
            again_in = next_look(line)
            return Outcome(again_in, Priority.RETRY, counts_as=Result.ERROR)
        before, line.verdict = line.verdict, _verdict(line)
        changed = line.verdict != before
        reads_as_before = reads is self._room.drift.reads_events(instance)
        self._wake(instance, changed=changed or not reads_as_before)
        if _other_rights(line):
            self._look_at_all(instance)
        await self._report(instance, line)
        if before_token != instance.requested_at is not None:
            self._search_now(instance)
        await self._tell_deprecation(instance, line)
        self._keep_searching(instance, line)
        return self._next_look(instance, line, changed=changed)

    async def _trouble_of(
        self, instance: InstanceObject, line: Line
    ) -> OperatorError | None:
        """Probe the instance and return why it cannot be used now, or None if it can.

        Raises:
            ClusterError: As for `run`.
            LookAgain: As for `run`.
        """
        try:
            await self._proof.run(instance, line)
            await self._find_beginning(instance, line)
        except ClusterError:
            raise
        except ReadSideBusy as error:
            now = asyncio.get_running_loop().time()
            if not holds_while_busy(line, instance, now):
                return error
            line.suspected = True  # so that the next pass asks ZITADEL again
            raise LookAgain(BUSY_INTERVAL) from None
        except OperatorError as error:
            return error
        return None

    def _keep_searching(self, instance: InstanceObject, line: Line) -> None:
        """Schedule a search of the events if none is scheduled.

        An edit that turns searches on may arrive first in the answer to a write of
        ours, and then no other code notices that it is new.
        """
        searches = line.trouble is None and self._room.drift.searches(instance)
        if searches and events_key(instance.name) not in self._room.queue:
            self._plan_search(instance)

    def _next_look(
        self, instance: InstanceObject, line: Line, *, changed: bool
    ) -> Outcome:
        trouble, soon = line.trouble, self._room.spread(SECRET_INTERVAL)
        if trouble is None:
            self._room.meter.synced(instance)
            tries = [unread.streak.count for unread in line.unread.values()]
            if tries and min(tries) <= len(LOOKS):
                soon = LOOKS[min(tries) - 1]
            return retry_in(soon)
        if isinstance(trouble, TransientError):
            return back_off(trouble.retry_after)
        if changed:
            # Check once more soon: the refusal may have hit this one call only.
            return stall(SECOND_LOOK)
        return stall(soon)

    def _note(
        self, instance: InstanceObject, line: Line, trouble: OperatorError | None
    ) -> None:
        if trouble is not None:
            # What ZITADEL said of its API meanwhile may be due to the same trouble.
            line.apis.doubt()
        if trouble is None:
            note_success(line, instance)
            return
        now = asyncio.get_running_loop().time()
        note_trouble(line, instance, trouble, now, self._room.now())
        if trouble.reason is Reason.INSTANCE_CHANGED and not line.finding_out:
            # Not before: a single wrong answer must not move any policy's claim.
            inventory = self._room.inventory
            self._room.news.concerned(inventory.mistaken(instance.name))

    def _wake(self, instance: InstanceObject, *, changed: bool) -> None:
        """Queue the policies that the verdict affects."""
        line = self._room.connections.line(instance.name)
        waiting, line.waiting = line.waiting, set()
        self._room.news.concerned(waiting)
        if not changed:
            return
        usable = line.trouble is None
        interval = self._room.drift.interval(instance)
        if usable and self._room.drift.searches(instance):
            if interval is None and self._is_past_unknown(instance, line):
                interval = self._room.drift.round(instance)
            self._plan_search(instance)
        for key in self._room.inventory.users_of(instance.name):
            policy = self._room.inventory.policies[key]
            if usable and not policy.deleting and is_vouched_for(policy):
                # Only its drift check is left. The checks are spread, so that a restart
                # with many policies causes no burst.
                if interval is not None:
                    delay = interval * self._room.chance.random()
                    self._room.queue.add_after(policy_key(key), delay, Priority.DRIFT)
            else:
                # Not with priority RETRY: retries may take only a part of the
                # instance's turns.
                self._room.queue.add(policy_key(key), Priority.DRIFT)

    def _look_at_all(self, instance: InstanceObject) -> None:
        """Queue all policies within a minute, because their rights may have changed."""
        for key in self._room.inventory.users_of(instance.name):
            delay = OTHER_RIGHTS_SPREAD * self._room.chance.random()
            self._room.queue.add_after(policy_key(key), delay, Priority.DRIFT)

    async def _find_beginning(self, instance: InstanceObject, line: Line) -> None:
        """Choose the cursor from which events are read, before any pass over a policy.

        It is stored with the first verdict. So every later event is found, even if this
        process ends a moment later. If this call fails, the searches that follow handle
        it.
        """
        drift = self._room.drift
        proven = line.proven
        if proven is None or drift.usable_since(instance.name) is not None:
            return
        stored = stored_cursor(instance.status, proven.zitadel_id)
        if stored or line.cursor or not drift.searches(instance):
            return
        try:
            newest = await proven.client.newest_event()
        except OperatorError:
            return
        if is_superseded(self._room, instance) or newest is None:
            return
        if moment_of(newest.time) is not None:
            line.cursor = Cursor.at(newest).to_text()

    def _is_past_unknown(self, instance: InstanceObject, line: Line) -> bool:
        """Return whether events from before this process may have been missed."""
        proven = line.proven
        return (
            self._room.drift.usable_since(instance.name) is None
            and proven is not None
            and stored_cursor(instance.status, proven.zitadel_id) is None
        )

    def _search_now(self, instance: InstanceObject) -> None:
        """Search now instead of later if events could not be used so far."""
        drift = self._room.drift
        if drift.searches(instance) and not drift.reads_events(instance):
            self._room.queue.add(events_key(instance.name), Priority.RETRY)

    def _plan_search(self, instance: InstanceObject) -> None:
        """Schedule the next search.

        It is due now if a cursor is stored or events could not be used. Otherwise it is
        due after one interval, because without a cursor there is nothing to find yet.
        """
        self._room.drift.note_usable(instance.name, asyncio.get_running_loop().time())
        key = events_key(instance.name)
        is_blind = not self._room.drift.reads_events(instance)
        if instance.status.drift_cursor is not None or is_blind:
            self._room.queue.add(key, Priority.RETRY)
        else:
            self._room.queue.add_after(key, instance.events_interval, Priority.RETRY)

    async def _report(self, instance: InstanceObject, line: Line) -> None:
        newest = self._room.inventory.instances.get(instance.name, instance)
        # A token or a spec that arrived during the pass belongs to the next one.
        instance = replace(
            newest,
            requested_at=instance.requested_at,
            generation=instance.generation,
        )
        self._room.telling.confirm(instance)
        now = self._room.now()
        trouble = line.trouble
        if trouble is not None:
            began = self._room.deadlines.began(instance, now)
            status = instance_troubled(instance, trouble, now, began)
            notices = of_trouble(instance, trouble)
        elif line.proven is not None:
            expires = expiry_of(line.tried.credential) if line.tried else None
            status = instance_ready(instance, line.proven.identity, expires, now)
            notices = of_instance(instance, status)
            if self._room.is_inconsistent(line.proven.zitadel_id):
                # This is information for people: each policy still goes by its own
                # findings.
                base = replace(status, conditions=instance.status.conditions)
                known = replace(instance, status=base)
                status = instance_troubled(known, INCONSISTENT, now)
                notices = of_trouble(instance, INCONSISTENT)
        else:
            return
        cursor = line.cursor or status.drift_cursor
        users = len(self._room.inventory.users_of(instance.name))
        detection = self._room.drift.detection(instance) or status.drift_detection
        status = replace(
            status, policies=users, drift_cursor=cursor, drift_detection=detection
        )
        with self._room.telling.after(instance, status, notices):
            await self._write(instance, status)

    async def _tell_deprecation(self, instance: InstanceObject, line: Line) -> None:
        """Post an Event about deprecated calls, once for each version of ZITADEL."""
        if line.trouble is not None or line.proven is None:
            return
        try:
            found = await line.proven.client.deprecation()
        except Superseded:
            return
        self._room.meter.deprecated(instance.name, found)
        key = (line.proven.zitadel_id, line.proven.identity.version)
        if found is not None and line.deprecated_in != key:
            line.deprecated_in = key
            self._room.tell(instance, of_deprecation(key[1], found))

    async def _write(self, instance: InstanceObject, status: InstanceStatus) -> None:
        line = self._room.connections.line(instance.name)
        if status == instance.status or line.written == (status, instance.status):
            return
        now = asyncio.get_running_loop().time()
        if _uncounted(status) == _uncounted(instance.status):
            if line.reported_at is None:
                # A restart begins such an interval, so that it causes no write at once.
                line.reported_at = now
            if now - line.reported_at < COUNT_INTERVAL:
                return
        line.reported_at = now
        writer = self._room.instance_writer
        before = line.written[0] if line.written else instance.status
        stored = self._store(await writer.apply_instance_status(instance, status))
        line.written = (status, stored.status)
        for notice in of_drift_detection(replace(instance, status=before), status):
            self._room.tell(instance, notice)

    async def _let_go(self, instance: InstanceObject) -> bool:
        """Remove the finalizer once no policy needs the instance, or if its CRD goes.

        Returns:
            Whether the object is gone. While another finalizer keeps it, it still
            serves.
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
            if not await self._goes_with_its_crd(instance):
                self._tell_in_use(instance)
                return False
            self._room.telling.ending(instance, CRD_GOES)
        stored = await self._room.instance_writer.release_instance(instance)
        if stored is None:
            return True
        self._store(stored)
        return False

    async def _goes_with_its_crd(self, instance: InstanceObject) -> bool:
        """Return whether the CRD is known to be deleted, so that nothing is waited for.

        The policies then stay without an instance, as if it had never existed, and
        change nothing in ZITADEL. Waiting for them would keep the CRD until somebody
        deletes them, and that would undo settings that a deletion of the CRD asks
        nobody to undo.
        """
        try:
            return await self._crds.is_ending(INSTANCE, instance.uid)
        except ClusterError as error:
            level = logging.WARNING if error.claim_telling() else logging.DEBUG
            _log.log(level, "%s", error.message)
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


def _verdict(line: Line) -> Verdict:
    trouble, proven = line.trouble, line.proven
    usable = trouble is None and proven is not None
    return Verdict(
        f"{trouble.reason}: {trouble.stable}" if trouble else None,
        proven.zitadel_id if proven else None,
        (proven.identity.user, proven.identity.capabilities)
        if usable and proven
        else None,
    )


def _uncounted(status: InstanceStatus) -> InstanceStatus:
    """Return a status without the parts that depend on the number of policies alone."""
    return replace(
        status, policies=None, drift_detection=without_round(status.drift_detection)
    )


def _other_rights(line: Line) -> bool:
    """Return whether a usable credential has replaced one with other rights.

    There may have been trouble between the two.
    """
    now = line.verdict.rights if line.verdict is not None else None
    if now is None:
        return False
    before, line.rights = line.rights, now
    return before is not None and before != now
