"""Search an instance's event log once and queue the policies that new events affect.

So an idle instance costs one call for each interval, whatever the number of its
policies. The cursor is kept in the instance's status. All policies are checked once a
day, spread over an hour, and whenever events are known to be missing. If the log cannot
be used, polling takes its place (`engine.drift.search_health`).
"""

import random
from dataclasses import dataclass, field

from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.event_cursor import (
    EventCursor,
    is_known,
    stored_cursor,
)
from zitadel_notification_operator.core.events import Cursor, EventKind, ZitadelEvent
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.report import is_observed_and_current
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.calls.instance_state import (
    Connection,
    InstanceState,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.ports import PolicyClient
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.engine_metrics import (
    PassMetrics,
    Result,
)
from zitadel_notification_operator.engine.queue.keys import (
    instance_key,
    policy_key,
    set_key,
)
from zitadel_notification_operator.engine.queue.outcome import WAIT, Outcome
from zitadel_notification_operator.engine.queue.slices import in_slices
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .checks import Checks
from .drift_schedule import DriftSchedule
from .event_reading import Reading, Search
from .search_health import TRIES

SWEEP_INTERVAL = 24 * 3600.0
"""Seconds between two checks of all policies."""

SWEEP_SPREAD = 3600.0
"""Seconds over which such a check is spread."""

INHERITING_SPREAD = 60.0
"""Seconds over which the policies that inherit a changed default are checked."""

_MOST_UNSAVED = 1000
"""Events after which the cursor is saved even if none of them was relevant."""


@dataclass(eq=False, repr=False)
class EventsPass:
    """Searches the event logs of instances.

    Args:
        inventory: Holds the newest records.
        connections: Know how each instance is reached.
        drift: Knows which instances' events are searched, and remembers what they say.
        checks: Schedules drift checks.
        queue: Receives the policies that events affect.
        metrics: Counts failed searches.
        chance: The source of jitter.
    """

    _inventory: Inventory
    _connections: Connections
    _drift: DriftSchedule
    _checks: Checks
    _queue: WorkQueue
    _metrics: PassMetrics
    _random: random.Random
    _readings: dict[str, Reading] = field(default_factory=dict, init=False)

    async def run(self, instance: InstanceObject) -> Outcome:
        """Search once, and queue the policies that the events affect."""
        state = self._connections.state(instance.name)
        failed = state.failure is not None and not state.undecided
        if failed or instance.not_understood is not None:
            return WAIT  # the next verdict schedules a search
        connection = state.proven
        if connection is None or state.undecided:
            # The instance is being probed, or may lead to another ZITADEL by now. A
            # verdict that is the same as before would schedule no search.
            return self._next(instance)
        if not self._drift.searches(instance):
            return WAIT
        began = loop_time()
        reading = self._reading(instance, connection)
        if loop_time() >= reading.sweep_at:
            # Before the search, because the daily check finds what no search finds.
            reading.sweep_at = loop_time() + SWEEP_INTERVAL
            self._sweep(instance, SWEEP_SPREAD)
        try:
            new = await self._search(connection.client, instance, reading)
            if self._leads_still(instance, reading):
                await self._take(instance, reading, new)
        except OperatorError as failure:
            if failure.reason is Reason.CLUSTER_UNAVAILABLE:
                raise
            if self._leads_still(instance, reading):
                return self._failed(instance, failure)
        if not self._leads_still(instance, reading):
            return self._next(instance)
        state.calls.answered_at = loop_time()
        return self._worked(instance, began)

    async def _take(
        self, instance: InstanceObject, reading: Reading, new: list[ZitadelEvent]
    ) -> None:
        """Handle new events: queue policies, save the cursor, look for our own writes.

        Raises:
            TransientError: `UnexpectedAnswer`: events of our own writes are missing.
        """
        await self._tell(instance, reading, new)
        if not self._leads_still(instance, reading):
            return
        reading.unsaved += len(new)
        self._save(instance, reading)
        if self._drift.unseen_writes(instance.name).is_missed(loop_time()):
            raise TransientError(
                Reason.UNEXPECTED_ANSWER,
                "ZITADEL's event log does not show what the operator has written",
            )

    def _next(self, instance: InstanceObject) -> Outcome:
        return Outcome.requeue_after(instance.drift.events_interval * self._chance(0.9))

    def forget(self, instance: str) -> None:
        """Drop the reading of an instance that is gone."""
        self._readings.pop(instance, None)

    def _leads_still(self, instance: InstanceObject, reading: Reading) -> bool:
        """Return whether a search's result still applies to the present object."""
        newest = self._inventory.instances.get(instance.name)
        proven = self._connections.state(instance.name).proven
        if newest is None or proven is None:
            return False
        return reading.owner == (newest.uid, proven.zitadel_id)

    def _reading(self, instance: InstanceObject, connection: Connection) -> Reading:
        owner = (instance.uid, connection.zitadel_id)
        known = self._readings.get(instance.name)
        if known is not None and known.owner == owner:
            return known
        if known is not None:
            self._drift.unseen_writes(instance.name).forget()
        first = 3600 + (SWEEP_INTERVAL - 3600) * self._random.random()
        reading = Reading(owner, loop_time() + first)
        # The newest cursor may not be stored yet, if Kubernetes did not accept it.
        kept = self._connections.state(instance.name).event_log.cursor
        cursor = Cursor.from_text(kept) if kept else None
        cursor = cursor or stored_cursor(instance.status, connection.zitadel_id)
        reading.event_cursor, reading.begun = EventCursor(cursor), cursor is not None
        self._readings[instance.name] = reading
        return reading

    async def _search(
        self, client: PolicyClient, instance: InstanceObject, reading: Reading
    ) -> list[ZitadelEvent]:
        """Return the new events; raises the errors of `Search.run`."""
        health = self._drift.health(instance)
        if health.refusal is not None and loop_time() < health.wait_until:
            raise health.refusal  # ZITADEL asked us to wait with searches (Retry-After)
        search = Search(
            client,
            self._connections.state(instance.name).event_log.page,
            self._drift.unseen_writes(instance.name),
            lambda: self._sweep(instance, instance.drift.poll_interval),
        )
        since = self._drift.usable_since(instance.name)
        return await search.run(reading, loop_time() if since is None else since)

    def _failed(self, instance: InstanceObject, failure: OperatorError) -> Outcome:
        """Count a failed search; after three of them have the policies polled."""
        now = loop_time()
        state = self._connections.state(instance.name)
        health = self._drift.health(instance)
        asked = failure.retry_after
        if asked and now >= health.wait_until:
            health.asked_to_wait(failure, now + asked)
        was_used = health.why is None
        is_news = health.failed(failure, now, state.probe.checked_at)
        self._metrics.search_failed(instance.name)
        if was_used and health.why is None:
            self._suspect(instance, state)
        elif was_used:
            self._sweep(instance, instance.drift.poll_interval)
        if is_news:
            # The instance's pass reports it, so that each status has one writer.
            self._queue.add(instance_key(instance.name), Priority.RETRY)
        delay = health.delay(instance.drift.events_interval, now)
        counts_as = Result.ERROR if health.why is None else None
        return Outcome(delay * self._chance(0.9), Priority.RETRY, counts_as=counts_as)

    def _suspect(self, instance: InstanceObject, state: InstanceState) -> None:
        """Have the instance probed, once, as it may be failing as a whole."""
        health = self._drift.health(instance)
        if health.failures == 1 or (
            health.failures >= TRIES and state.probe.checked_at < health.since
        ):
            self._connections.recheck(instance.name)

    def _worked(self, instance: InstanceObject, began: float) -> Outcome:
        """Record a successful search and return when the next one is due."""
        if self._drift.health(instance).worked():
            # Checks that are scheduled stay: events may have been lost meanwhile.
            self._queue.add(instance_key(instance.name), Priority.RETRY)
        # Never later than the interval, which users rely on. It counts from begin to
        # begin, and there is some rest after a slow search.
        interval = instance.drift.events_interval
        left = interval * self._chance(0.9) - (loop_time() - began)
        return Outcome.requeue_after(max(left, interval / 4))

    async def _tell(
        self, instance: InstanceObject, reading: Reading, new: list[ZitadelEvent]
    ) -> None:
        """Queue the policies that events affect, and record whether there are any."""
        self._note_organizations(instance, new)
        _, zitadel_id = reading.owner
        about = [
            (event, _target_of(event, zitadel_id))
            for event in new
            if event.kind is not EventKind.ORGANIZATION
        ]
        wanted = {target for _, target in about}
        by_target = await self._policies_by_target(instance, wanted)
        for event, target in about:
            is_default = event.kind is EventKind.INSTANCE_POLICY
            for key in by_target.get(target, ()):
                policy = self._inventory.policies.get(key)
                if policy is not None:
                    reading.relevant = True
                    self._wake(policy, event, reading)
            for policy in self._inheriting(instance) if is_default else ():
                # Spread over time, because the default affects many policies at once.
                if self._wake(policy, event, reading, INHERITING_SPREAD):
                    reading.relevant = True

    def _note_organizations(
        self, instance: InstanceObject, new: list[ZitadelEvent]
    ) -> None:
        """Have the sets of an instance ask for the organizations that have changed."""
        directory = self._connections.state(instance.name).directory
        if not directory.is_read:
            return  # the first reading shows what these events are about
        changed = {e.id.aggregate for e in new if e.kind is EventKind.ORGANIZATION}
        removed = {
            e.id.aggregate for e in new if e.kind is EventKind.ORGANIZATION_REMOVED
        }
        directory.doubt(changed - removed)
        for organization_id in removed:
            directory.remove(organization_id)
        if changed or removed:
            for one in self._inventory.set_book.of_instance(instance.name):
                self._queue.add(set_key(one.key), Priority.CHANGE)

    def _wake(
        self,
        policy: PolicyObject,
        event: ZitadelEvent,
        reading: Reading,
        delay: float = 0.0,
    ) -> bool:
        """Queue a pass over a policy unless a status or a due pass covers the event.

        A pass that is due anyhow, because the status is not current, is told to compare
        what GETs show with the log, which they may never reach.
        """
        if is_known(policy.status, event):
            return False
        key = policy_key(policy.key)
        if not (is_observed_and_current(policy) or self._queue.is_running(key)):
            self._drift.doubt(policy.key)
            return False
        self._drift.note(policy.key, event)
        reading.woken.add(policy.key)
        if delay:
            self._checks.within(policy.key, delay)
        else:
            self._queue.add(key, Priority.DRIFT)
        return True

    def _inheriting(self, instance: InstanceObject) -> list[PolicyObject]:
        """Return the policies of organizations that inherit the instance's setting."""
        return [
            policy
            for policy in self._inventory.policies_of(instance.name)
            if policy.scope is Scope.ORGANIZATION and policy.status.is_default
        ]

    async def _policies_by_target(
        self, instance: InstanceObject, wanted: set[Target]
    ) -> dict[Target, list[PolicyKey]]:
        """Return the policies of an instance that have one of these targets."""
        found: dict[Target, list[PolicyKey]] = {}
        users = self._inventory.users_of(instance.name) if wanted else ()
        async for key in in_slices(users):
            policy = self._inventory.policies.get(key)
            target = self._inventory.target_of(policy) if policy is not None else None
            if target is not None and target in wanted:
                found.setdefault(target, []).append(key)
        return found

    def _save(self, instance: InstanceObject, reading: Reading) -> None:
        """Have the instance's pass store the cursor: each status has one writer."""
        cursor = reading.event_cursor.cursor
        if cursor is None or self._owes_a_look(reading):
            return
        saved = instance.status.drift_cursor is not None
        if reading.relevant or not saved or reading.unsaved >= _MOST_UNSAVED:
            reading.unsaved, reading.relevant = 0, False
            self._connections.state(instance.name).event_log.cursor = cursor.to_text()
            self._queue.add(instance_key(instance.name), Priority.RETRY)

    def _owes_a_look(self, reading: Reading) -> bool:
        """Return whether a policy that an event has queued still waits for its pass.

        A new process would not know of that event. Only quiet policies count, because a
        new process reconciles all others anyhow, and asks the log about them.
        """
        policies = self._inventory.policies
        reading.woken = {
            key
            for key in reading.woken
            if key in policies
            and self._drift.waiting_event(key) is not None
            and is_observed_and_current(policies[key])
        }
        return bool(reading.woken)

    def _sweep(self, instance: InstanceObject, seconds: float) -> None:
        self._connections.state(instance.name).directory.invalidate()
        seconds = self._drift.round(instance, seconds)
        self._checks.all_within(instance.name, seconds)

    def _chance(self, least: float) -> float:
        return least + (1 - least) * self._random.random()


def _target_of(event: ZitadelEvent, zitadel_id: str) -> Target:
    """Return what a policy event is about; `zitadel_id` is that of its ZITADEL."""
    is_default = event.kind is EventKind.INSTANCE_POLICY
    return Target(zitadel_id, None if is_default else event.id.aggregate)
