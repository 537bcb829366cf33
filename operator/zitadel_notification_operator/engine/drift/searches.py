"""When the events of instances are searched, and from which position on."""


from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.events import Cursor, moment_of
from zitadel_notification_operator.core.feed import stored_cursor
from zitadel_notification_operator.core.objects import InstanceObject
from zitadel_notification_operator.engine.calls.connections import Line, is_superseded
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.drift.drift_watch import DriftWatch
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.keys import events_key
from zitadel_notification_operator.engine.queue.workqueue import Priority, WorkQueue


class Searches:
    """Schedules searches of the events of instances.

    Args:
        inventory: Holds the newest records.
        drift: Knows which instances' events are searched.
        queue: Receives the searches.
    """

    def __init__(
        self, inventory: Inventory, drift: DriftWatch, queue: WorkQueue
    ) -> None:
        self._inventory = inventory
        self._drift = drift
        self._queue = queue

    async def find_beginning(self, instance: InstanceObject, line: Line) -> None:
        """Choose the cursor from which events are read, before any pass over a policy.

        It is stored with the first verdict. So every later event is found, even if this
        process ends a moment later. If this call fails, the searches that follow handle
        it.
        """
        drift = self._drift
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
        if is_superseded(self._inventory, instance) or newest is None:
            return
        if moment_of(newest.time) is not None:
            line.cursor = Cursor.at(newest).to_text()

    def keep(self, instance: InstanceObject, line: Line) -> None:
        """Schedule a search of the events if none is scheduled.

        An edit that turns searches on may arrive first in the answer to a write of
        ours, and then no other code notices that it is new.
        """
        searches = line.trouble is None and self._drift.searches(instance)
        if searches and events_key(instance.name) not in self._queue:
            self.plan(instance)

    def search_now(self, instance: InstanceObject) -> None:
        """Search now instead of later if events could not be used so far."""
        drift = self._drift
        if drift.searches(instance) and not drift.reads_events(instance):
            self._queue.add(events_key(instance.name), Priority.RETRY)

    def plan(self, instance: InstanceObject) -> None:
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
            self._queue.add_after(key, instance.events_interval, Priority.RETRY)

    def is_past_unknown(self, instance: InstanceObject, line: Line) -> bool:
        """Return whether events from before this process may have been missed."""
        proven = line.proven
        return (
            self._drift.usable_since(instance.name) is None
            and proven is not None
            and stored_cursor(instance.status, proven.zitadel_id) is None
        )
