"""One search of an instance's events: who is concerned is looked at, nobody else.

So an idle instance costs one call a period whatever the number of its policies. The
cursor is kept in the instance's status; a full look at all policies, spread over an
hour, comes once a day, and whenever events are known to be missing.
"""

import asyncio
from dataclasses import dataclass, field

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.events import (
    Cursor,
    EventKind,
    ZitadelEvent,
)
from zitadel_notification_operator.core.feed import Feed, is_known
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import is_vouched_for
from zitadel_notification_operator.engine.connections import Connection
from zitadel_notification_operator.engine.keys import instance_key, policy_key
from zitadel_notification_operator.engine.outcome import (
    WAIT,
    Outcome,
    back_off,
    look_again,
)
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.workqueue import Priority

PAGE = 1000
"""Events in one answer: ZITADEL's most."""

SWEEP_INTERVAL = 24 * 3600.0
"""Seconds between two looks at all policies."""

SWEEP_SPREAD = 3600.0
"""Seconds over which such a look is spread."""

INHERITING_SPREAD = 60.0
"""Seconds over which those are looked at that inherit a changed default."""

_MOST_UNSAVED = PAGE
"""Events after which the cursor is saved although none of them was relevant."""


@dataclass(slots=True)
class _Reading:
    """How one instance object's ZITADEL is read.

    Attributes:
        owner: The object's uid and ZITADEL's id; another pair begins anew.
        sweep_at: Loop time of the next look at all policies.
        begun: Whether a search has shown where to go on.
        missed: How many answers in a row lacked what they should have had.
        unsaved: Events read since the cursor was saved.
    """

    owner: tuple[str, str]
    sweep_at: float
    feed: Feed = field(default_factory=Feed)
    begun: bool = False
    missed: int = 0
    unsaved: int = 0


class EventsPass:
    """Runs searches."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._readings: dict[str, _Reading] = {}

    async def run(self, instance: InstanceObject) -> Outcome:
        """Search once, and ask for passes over whom the events concern."""
        line = self._room.connections.line(instance.name)
        if line.trouble is not None or line.proven is None:
            return WAIT  # the next verdict asks for a search
        if not self._room.drift.reads_events(instance):
            return WAIT
        reading = self._reading(instance, line.proven)
        try:
            new = await self._search(line.proven.client, instance, reading)
        except OperatorError as trouble:
            return self._failed(instance, trouble)
        relevant = self._tell(instance, line.proven, new)
        reading.unsaved += len(new)
        self._save(instance, reading, relevant=relevant)
        self._sweep_if_due(instance, reading)
        # Never later than the interval: it is a promise.
        return look_again(instance.events_interval * self._chance(0.9))

    def forget(self, instance: str) -> None:
        """Drop the reading of an instance that is gone."""
        self._readings.pop(instance, None)

    def _reading(self, instance: InstanceObject, connection: Connection) -> _Reading:
        owner = (instance.uid, connection.zitadel_id)
        known = self._readings.get(instance.name)
        if known is not None and known.owner == owner:
            return known
        first = 3600 + (SWEEP_INTERVAL - 3600) * self._room.chance.random()
        reading = _Reading(owner, _time() + first)
        told = instance.status
        if told.drift_cursor and told.instance_id == connection.zitadel_id:
            cursor = Cursor.from_text(told.drift_cursor)
            reading.feed, reading.begun = Feed(cursor), cursor is not None
        self._readings[instance.name] = reading
        return reading

    async def _search(
        self, client: PolicyClient, instance: InstanceObject, reading: _Reading
    ) -> list[ZitadelEvent]:
        feed = reading.feed
        if not reading.begun:
            looked = _time() - self._room.drift.usable_since(instance.name)
            feed.begin_at(await client.newest_event(), looked)
            reading.begun = True
        found = await _all_events(client, feed.since(_time()))
        if feed.is_broken(found):
            reading.missed += 1
            if reading.missed == 1:
                raise TransientError(
                    Reason.UNEXPECTED_ANSWER, "Events are missing in ZITADEL's answer"
                )
            # Nobody knows what happened in between: look at all, and go on from here.
            self._sweep(instance, instance.poll_interval)
            feed.begin_at(await client.newest_event(), 0)
            found = await _all_events(client, feed.since(_time()))
        reading.missed = 0
        return feed.take(found)

    def _failed(self, instance: InstanceObject, trouble: OperatorError) -> Outcome:
        if trouble.reason is Reason.CLUSTER_UNAVAILABLE:
            raise trouble
        if trouble.reason is Reason.INSUFFICIENT_PERMISSIONS:
            if self._room.drift.refuse(instance.name, refused=True):
                self._sweep(instance, instance.poll_interval)
            return WAIT
        self._room.suspect(instance.name)
        if isinstance(trouble, TerminalError):
            return look_again(instance.events_interval)
        asked = trouble.retry_after if isinstance(trouble, TransientError) else None
        return back_off(asked)

    def _tell(
        self, instance: InstanceObject, connection: Connection, new: list[ZitadelEvent]
    ) -> bool:
        """Wake whom the events concern; return whether they concern anybody."""
        if not new:
            return False
        by_target = self._policies_by_target(instance)
        relevant = False
        for event in new:
            organization_id: str | None = event.id.aggregate
            if event.kind is EventKind.INSTANCE_POLICY:
                organization_id = None
            target = Target(connection.zitadel_id, organization_id)
            for policy in by_target.get(target, ()):
                relevant = True
                self._wake(policy, event)
            if event.kind is EventKind.INSTANCE_POLICY:
                relevant |= self._wake_inheriting(instance, event)
        return relevant

    def _wake(self, policy: PolicyObject, event: ZitadelEvent) -> None:
        if is_known(policy.status, event) or not is_vouched_for(policy):
            return
        if event.kind is EventKind.ORGANIZATION_REMOVED:
            self._room.drift.doubt(policy.key)
        self._room.drift.note_editor(policy.key, event.editor)
        self._room.queue.add(policy_key(policy.key), Priority.RETRY)

    def _wake_inheriting(self, instance: InstanceObject, event: ZitadelEvent) -> bool:
        """Look at those that inherit, one after the other: the default has changed."""
        found = False
        for key in self._room.inventory.users_of(instance.name):
            policy = self._room.inventory.policies[key]
            inherits = policy.scope is Scope.ORGANIZATION and policy.status.is_default
            if inherits and not is_known(policy.status, event):
                found = True
                self._later(key, INHERITING_SPREAD)
        return found

    def _policies_by_target(
        self, instance: InstanceObject
    ) -> dict[Target, list[PolicyObject]]:
        found: dict[Target, list[PolicyObject]] = {}
        for key in self._room.inventory.users_of(instance.name):
            policy = self._room.inventory.policies[key]
            target = self._room.inventory.target_of(policy)
            if target is not None:
                found.setdefault(target, []).append(policy)
        return found

    def _save(
        self, instance: InstanceObject, reading: _Reading, *, relevant: bool
    ) -> None:
        """Have the instance's pass write the cursor: one writer to a status."""
        cursor = reading.feed.cursor
        if cursor is None:
            return
        saved = instance.status.drift_cursor is not None
        if relevant or not saved or reading.unsaved >= _MOST_UNSAVED:
            reading.unsaved = 0
            self._room.connections.line(instance.name).cursor = cursor.to_text()
            self._room.queue.add(instance_key(instance.name), Priority.RETRY)

    def _sweep_if_due(self, instance: InstanceObject, reading: _Reading) -> None:
        if _time() >= reading.sweep_at:
            reading.sweep_at = _time() + SWEEP_INTERVAL
            self._sweep(instance, SWEEP_SPREAD)

    def _sweep(self, instance: InstanceObject, seconds: float) -> None:
        for key in self._room.inventory.users_of(instance.name):
            self._later(key, seconds)

    def _later(self, key: PolicyKey, seconds: float) -> None:
        delay = seconds * self._room.chance.random()
        self._room.queue.add_after(policy_key(key), delay, Priority.DRIFT)

    def _chance(self, least: float) -> float:
        return least + (1 - least) * self._room.chance.random()


async def _all_events(client: PolicyClient, since: str | None) -> list[ZitadelEvent]:
    """Return all events after a moment, whatever the number of pages."""
    found = page = await client.events(since, PAGE)
    while len(page) >= PAGE:
        before = page[-1].id
        page = await client.events(Cursor.at(page[-1]).just_before(), PAGE)
        if page and page[-1].id == before:
            break  # more at one moment than a page holds: the next search may have them
        found = [*found, *page]
    return found


def _time() -> float:
    return asyncio.get_running_loop().time()
