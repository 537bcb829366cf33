"""Schedules the drift checks of policies, and the searches of the events of instances.

Checks are spread over time to avoid bursts.
"""

import random
from dataclasses import dataclass

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.event_cursor import stored_cursor
from zitadel_notification_operator.core.events import Cursor, moment_of
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.calls.instance_state import (
    InstanceState,
    is_superseded,
)
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.keys import events_key, policy_key
from zitadel_notification_operator.engine.queue.slices import in_slices
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

from .drift_schedule import DriftSchedule


@dataclass(eq=False, repr=False)
class Checks:
    """Puts drift checks and searches into the work queue.

    Args:
        inventory: Knows the policies of each instance.
        drift: Knows how drift is detected, and how often policies are polled.
        queue: Receives the checks and searches.
        chance: The source of jitter.
    """

    _inventory: Inventory
    _drift: DriftSchedule
    _queue: WorkQueue
    _chance: random.Random

    def schedule(self, policy: PolicyObject) -> None:
        """Schedule the next check of a policy, if its instance is polled for drift.

        A policy whose instance does not exist is queued at once, to say so.
        """
        instance = self._inventory.instances.get(policy.instance)
        if instance is None:
            self._queue.add(policy_key(policy.key), Priority.CHANGE)
            return
        interval = self._drift.interval(instance)
        if interval is not None:
            self.within(policy.key, interval)

    def doubt(self, one: OwnObject) -> None:
        """Have the log asked about a policy that others have worked on until now.

        Another process may have found an event while the status was not current.
        """
        if isinstance(one, PolicyObject) and one.status.observed_generation >= 0:
            self._drift.doubt(one.key)

    def trust(self, one: OwnObject) -> None:
        """Forget a doubt about a policy that another process has worked on since."""
        if isinstance(one, PolicyObject):
            self._drift.trust(one.key)

    async def complete(self) -> None:
        """Schedule the checks that are missing.

        Where drift is polled, every policy should have a check scheduled.
        """
        for name in self._inventory.instances_named():
            instance = self._inventory.instances.get(name)
            interval = self._drift.interval(instance) if instance else None
            if instance is not None and interval is None:
                continue  # events reveal all drift, or nobody asks for it
            async for key in in_slices(self._inventory.users_of(name)):
                policy = self._inventory.policies.get(key)
                if policy is not None and policy_key(key) not in self._queue:
                    self.schedule(policy)

    def reschedule(self, instance: InstanceObject) -> None:
        """Reschedule the drift checks, because their method or interval has changed."""
        if self._drift.searches(instance):
            self._queue.add(events_key(instance.name), Priority.RETRY)
        interval = self._drift.interval(instance)
        if interval is not None:
            self.all_within(instance.name, interval)

    def all_within(self, instance: str, seconds: float) -> None:
        """Schedule a check of each policy of an instance, spread over some seconds."""
        for key in self._inventory.users_of(instance):
            self.within(key, seconds)

    def within(self, key: PolicyKey, seconds: float) -> None:
        """Schedule a check of a policy at a random moment within some seconds."""
        delay = seconds * self._chance.random()
        self._queue.add_after(policy_key(key), delay, Priority.DRIFT)

    async def find_beginning(
        self, instance: InstanceObject, state: InstanceState
    ) -> None:
        """Choose the cursor from which events are read, before any pass over a policy.

        It is stored with the first verdict. So every later event is found, even if this
        process ends a moment later. If this call fails, the searches that follow handle
        it.
        """
        proven = state.proven
        if proven is None or not self.is_past_unknown(instance, state):
            return
        if state.event_log.cursor or not self._drift.searches(instance):
            return
        try:
            newest = await proven.client.newest_event()
        except OperatorError:
            return
        if is_superseded(self._inventory, instance) or newest is None:
            return
        if moment_of(newest.time) is not None:
            state.event_log.cursor = Cursor.at(newest).to_text()

    def keep_searching(self, instance: InstanceObject, state: InstanceState) -> None:
        """Schedule a search of the events if none is scheduled.

        An edit that turns searches on may arrive first in the answer to a write of
        ours, and then no other code notices that it is new.
        """
        searches = state.failure is None and self._drift.searches(instance)
        if searches and events_key(instance.name) not in self._queue:
            self.plan_search(instance)

    def search_now(self, instance: InstanceObject) -> None:
        """Search now instead of later if events could not be used so far."""
        is_blind = not self._drift.reads_events(instance)
        if is_blind and self._drift.searches(instance):
            self._queue.add(events_key(instance.name), Priority.RETRY)

    def plan_search(self, instance: InstanceObject) -> None:
        """Schedule the next search.

        It is due now if a cursor is stored or events could not be used. Otherwise it is
        due after one interval, because without a cursor there is nothing to find yet.
        """
        self._drift.note_usable(instance.name, loop_time())
        key = events_key(instance.name)
        is_blind = not self._drift.reads_events(instance)
        if instance.status.drift_cursor is not None or is_blind:
            self._queue.add(key, Priority.RETRY)
        else:
            self._queue.add_after(key, instance.drift.events_interval, Priority.RETRY)

    def is_past_unknown(self, instance: InstanceObject, state: InstanceState) -> bool:
        """Return whether events from before this process may have been missed."""
        proven = state.proven
        return (
            self._drift.usable_since(instance.name) is None
            and proven is not None
            and stored_cursor(instance.status, proven.zitadel_id) is None
        )
