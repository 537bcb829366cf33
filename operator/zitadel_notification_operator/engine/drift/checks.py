"""Schedules the drift checks of policies, spread over time to avoid bursts."""

import random

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.objects import InstanceObject, PolicyObject
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.drift.drift_watch import DriftWatch
from zitadel_notification_operator.engine.queue.keys import events_key, policy_key
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue


class Checks:
    """Puts drift checks into the work queue.

    Args:
        inventory: Knows the policies of each instance.
        drift: Knows how drift is detected, and how often policies are polled.
        queue: Receives the checks.
        chance: The source of jitter.
    """

    def __init__(
        self,
        inventory: Inventory,
        drift: DriftWatch,
        queue: WorkQueue,
        chance: random.Random,
    ) -> None:
        self._inventory = inventory
        self._drift = drift
        self._queue = queue
        self._chance = chance

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

    def complete(self) -> None:
        """Schedule the checks that are missing.

        Where drift is polled, every policy should have a check scheduled.
        """
        for policy in list(self._inventory.policies.values()):
            if policy_key(policy.key) not in self._queue:
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
