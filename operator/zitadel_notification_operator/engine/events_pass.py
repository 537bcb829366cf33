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
        relevant: Whether one of them concerned a policy.
        woken: Policies that are to be looked at before it may be saved.
    """

    owner: tuple[str, str]
    sweep_at: float
    feed: Feed = field(default_factory=Feed)
    begun: bool = False
    missed: int = 0
    unsaved: int = 0
    relevant: bool = False
    woken: set[PolicyKey] = field(default_factory=set)


class EventsPass:
    """Runs searches."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._readings: dict[str, _Reading] = {}

    async def run(self, instance: InstanceObject) -> Outcome:
        """Search once, and ask for passes over whom the events concern."""
        line = self._room.connections.line(instance.name)
        if line.trouble is not None:
            return WAIT  # the next verdict asks for a search
        connection = line.proven
        if connection is None:
            # It is just being proven; a verdict that is as before asks for nothing.
            return look_again(instance.events_interval * self._chance(0.9))
        if not self._room.drift.reads_events(instance):
            return WAIT
        reading = self._reading(instance, connection)
        try:
            new = await self._search(connection.client, instance, reading)
        except OperatorError as trouble:
            return self._failed(instance, trouble)
        if not self._leads_still(instance, connection):
            return look_again(instance.events_interval * self._chance(0.9))
        relevant = self._tell(instance, connection, reading, new)
        reading.unsaved += len(new)
        self._save(instance, reading, relevant=relevant)
        self._sweep_if_due(instance, reading)
        # Never later than the interval: it is a promise.
        return look_again(instance.events_interval * self._chance(0.9))

    def forget(self, instance: str) -> None:
        """Drop the reading of an instance that is gone."""
        self._readings.pop(instance, None)

    def _leads_still(self, instance: InstanceObject, connection: Connection) -> bool:
        """Return whether what a search found is about the object that is there now."""
        newest = self._room.inventory.instances.get(instance.name)
        proven = self._room.connections.line(instance.name).proven
        return (
            newest is not None
            and newest.uid == instance.uid
            and proven is not None
            and proven.zitadel_id == connection.zitadel_id
        )

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
        found = await self._all(client, instance, feed.since(_time()))
        if feed.is_broken(found):
            reading.missed += 1
            if reading.missed == 1:
                raise TransientError(
                    Reason.UNEXPECTED_ANSWER, "Events are missing in ZITADEL's answer"
                )
            # Nobody knows what happened in between: look at all, and go on from here.
            self._sweep(instance, instance.poll_interval)
            feed.begin_at(await client.newest_event(), 0)
            found = await self._all(client, instance, feed.since(_time()))
        reading.missed = 0
        return feed.take(found)

    async def _all(
        self, client: PolicyClient, instance: InstanceObject, since: str | None
    ) -> list[ZitadelEvent]:
        """Return all events after a moment, whatever the number of pages."""
        found = page = await client.events(since, PAGE)
        while len(page) >= PAGE:
            last = page[-1]
            page = await client.events(Cursor.at(last).just_before(), PAGE)
            if len(page) >= PAGE and page[-1].id == last.id:
                # More at one moment than a page holds: look at all, and go past it.
                self._sweep(instance, instance.poll_interval)
                page = await client.events(last.time, PAGE)
            found = [*found, *page]
        return found

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
        self,
        instance: InstanceObject,
        connection: Connection,
        reading: _Reading,
        new: list[ZitadelEvent],
    ) -> bool:
        """Wake whom the events concern; return whether they concern anybody."""
        if not new:
            return False
        by_target = self._policies_by_target(instance)
        relevant = False
        for event in new:
            organization_id: str | None = event.id.aggregate
            inheriting: list[PolicyObject] = []
            if event.kind is EventKind.INSTANCE_POLICY:
                organization_id, inheriting = None, self._inheriting(instance)
            target = Target(connection.zitadel_id, organization_id)
            for policy in by_target.get(target, ()):
                relevant = True
                if self._wake(policy, event, 0):
                    reading.woken.add(policy.key)
            for policy in inheriting:
                # One after the other: the default concerns many at once.
                if self._wake(policy, event, INHERITING_SPREAD):
                    relevant = True
                    reading.woken.add(policy.key)
        return relevant

    def _wake(self, policy: PolicyObject, event: ZitadelEvent, delay: float) -> bool:
        """Have a policy looked at, unless it knows, or will look later anyhow."""
        key = policy_key(policy.key)
        looks = is_vouched_for(policy) or self._room.queue.is_running(key)
        if is_known(policy.status, event) or not looks:
            return False
        self._room.drift.note(policy.key, event)
        if delay:
            self._later(policy.key, delay)
        else:
            self._room.queue.add(key, Priority.DRIFT)
        return True

    def _inheriting(self, instance: InstanceObject) -> list[PolicyObject]:
        """Return the policies of organizations that show the instance's setting."""
        users = self._room.inventory.users_of(instance.name)
        policies = [self._room.inventory.policies[key] for key in users]
        return [
            policy
            for policy in policies
            if policy.scope is Scope.ORGANIZATION and policy.status.is_default
        ]

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
        reading.relevant |= relevant
        if cursor is None or self._owes_a_look(reading):
            return
        saved = instance.status.drift_cursor is not None
        if reading.relevant or not saved or reading.unsaved >= _MOST_UNSAVED:
            reading.unsaved, reading.relevant = 0, False
            self._room.connections.line(instance.name).cursor = cursor.to_text()
            self._room.queue.add(instance_key(instance.name), Priority.RETRY)

    def _owes_a_look(self, reading: _Reading) -> bool:
        """Return whether somebody who was woken was not looked at yet.

        A new process would not know of it: whoever is not quiet it looks at anyhow.
        """
        policies = self._room.inventory.policies
        reading.woken = {
            key
            for key in reading.woken
            if key in policies
            and self._room.drift.told(key) is not None
            and is_vouched_for(policies[key])
        }
        return bool(reading.woken)

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


def _time() -> float:
    return asyncio.get_running_loop().time()
