"""Queues the policies that an instance's verdict affects."""

from zitadel_notification_operator.core.objects import InstanceObject
from zitadel_notification_operator.core.report import is_vouched_for
from zitadel_notification_operator.engine.calls.connections import Line
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.claims.news import News
from zitadel_notification_operator.engine.drift.checks import Checks
from zitadel_notification_operator.engine.drift.drift_watch import DriftWatch
from zitadel_notification_operator.engine.drift.searches import Searches
from zitadel_notification_operator.engine.queue.keys import policy_key
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue

OTHER_RIGHTS_SPREAD = 60.0
"""Seconds over which passes over all policies are spread after a change of
credential."""


class Waking:
    """Leads from a verdict on an instance to passes over its policies.

    Args:
        inventory: Knows the policies of an instance.
        news: Queues policies.
        drift: Knows how drift is detected at an instance.
        checks: Schedules drift checks.
        searches: Schedules searches of events.
        queue: Receives the policies.
    """

    def __init__(
        self,
        inventory: Inventory,
        news: News,
        drift: DriftWatch,
        checks: Checks,
        searches: Searches,
        queue: WorkQueue,
    ) -> None:
        self._inventory = inventory
        self._news = news
        self._drift = drift
        self._checks = checks
        self._searches = searches
        self._queue = queue

    def wake(self, instance: InstanceObject, line: Line, *, changed: bool) -> None:
        """Queue the policies that the verdict affects.

        Args:
            instance: The instance.
            line: What is known of it, with the new verdict.
            changed: Whether the verdict differs from the last one.
        """
        waiting, line.waiting = line.waiting, set()
        self._news.concerned(waiting)
        if changed:
            self._wake_all(instance, line)
        if _other_rights(line):
            self._checks.all_within(instance.name, OTHER_RIGHTS_SPREAD)

    def _wake_all(self, instance: InstanceObject, line: Line) -> None:
        usable = line.trouble is None
        interval = self._drift.interval(instance)
        if usable and self._drift.searches(instance):
            if interval is None and self._searches.is_past_unknown(instance, line):
                interval = self._drift.round(instance)
            self._searches.plan(instance)
        for key in self._inventory.users_of(instance.name):
            policy = self._inventory.policies[key]
            if usable and not policy.deleting and is_vouched_for(policy):
                # Only its drift check is left. The checks are spread, so that a restart
                # with many policies causes no burst.
                if interval is not None:
                    self._checks.within(key, interval)
            else:
                # Not with priority RETRY: retries may take only a part of the
                # instance's turns.
                self._queue.add(policy_key(key), Priority.DRIFT)


def _other_rights(line: Line) -> bool:
    """Return whether a usable credential has replaced one with other rights.

    There may have been trouble between the two.
    """
    now = line.verdict.rights if line.verdict is not None else None
    if now is None:
        return False
    before, line.rights = line.rights, now
    return before is not None and before != now
