"""How drift is detected at each instance, and which events wait for a pass."""

from collections.abc import Callable

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.event_cursor import number_of
from zitadel_notification_operator.core.events import EventId, EventKind, ZitadelEvent
from zitadel_notification_operator.core.instance_object import (
    DriftDetection,
    DriftMethod,
    InstanceObject,
)
from zitadel_notification_operator.core.policy import WriteResult
from zitadel_notification_operator.core.unseen_writes import UnseenWrites
from zitadel_notification_operator.engine.calls.connections import Connections
from zitadel_notification_operator.engine.queue.clock import loop_time

from .search_health import NO_PERMISSION, SearchHealth, polled_because

POLLING_SHARE = 0.45
"""The share of `requestsPerSecond` that polling may take: half, minus the tenth by
which checks may come earlier than planned (docs/concepts/drift.md)."""


class DriftSchedule:
    """Knows how drift is detected, and when a quiet policy is due for a pass.

    Args:
        connections: Say what a credential may read.
        count_users: Returns how many policies an instance has.
    """

    def __init__(
        self, connections: Connections, count_users: Callable[[str], int]
    ) -> None:
        self._connections = connections
        self._count_users = count_users
        self._health: dict[str, SearchHealth] = {}
        self._unseen_writes: dict[str, UnseenWrites] = {}
        self._usable_since: dict[str, float] = {}
        self._waiting: dict[PolicyKey, ZitadelEvent] = {}
        self._late: dict[PolicyKey, ZitadelEvent] = {}
        self._doubted: set[PolicyKey] = set()

    def searches(self, instance: InstanceObject) -> bool:
        """Return whether the instance's events are searched, even if that fails now."""
        wanted = instance.drift.method in {DriftMethod.AUTO, DriftMethod.EVENTS}
        return wanted and self._may_read(instance.name)

    def reads_events(self, instance: InstanceObject) -> bool:
        """Return whether events alone reveal all drift of the instance now."""
        return self.searches(instance) and self.health(instance).why is None

    def health(self, instance: InstanceObject) -> SearchHealth:
        """Return what is known of the instance's searches."""
        known = self._health.get(instance.name)
        if known is None or known.uid != instance.uid:
            known = self._health[instance.name] = SearchHealth.of(instance)
        return known

    def detection(self, instance: InstanceObject) -> DriftDetection | None:
        """Return what the status should report, or None if that is not known now."""
        if instance.drift.method in {DriftMethod.POLL, DriftMethod.DISABLED}:
            return DriftDetection(instance.drift.method)
        if self._connections.state(instance.name).proven is None:
            return None
        if not self._may_read(instance.name):
            return polled_because(NO_PERMISSION, self.round(instance))
        why = self.health(instance).why
        if why is None:
            return DriftDetection(DriftMethod.EVENTS)
        return polled_because(why, self.round(instance))

    def interval(self, instance: InstanceObject) -> float | None:
        """Return the seconds until a quiet policy is due; None if nothing is due."""
        if instance.drift.method is DriftMethod.DISABLED or self.reads_events(instance):
            return None
        return self.round(instance)

    def round(self, instance: InstanceObject, least: float | None = None) -> float:
        """Return the seconds that it takes to check each policy once.

        Args:
            instance: The instance of the policies.
            least: The minimum in seconds; `pollInterval` if not given.
        """
        rate = POLLING_SHARE * instance.rate_limit.requests_per_second
        wanted = instance.drift.poll_interval if least is None else least
        return max(wanted, self._count_users(instance.name) / rate)

    def wrote(self, instance: str, result: WriteResult) -> None:
        """Record a write of ours, which the event log has to show within a while."""
        sequence = number_of(result.sequence)
        if sequence is None or not result.resource_owner:
            return
        event = EventId(result.resource_owner, sequence)
        self.unseen_writes(instance).wrote(event, loop_time())

    def unseen_writes(self, instance: str) -> UnseenWrites:
        """Return the writes that the instance's event log has yet to show."""
        return self._unseen_writes.setdefault(instance, UnseenWrites())

    def _may_read(self, instance: str) -> bool:
        proven = self._connections.state(instance).proven
        return proven is not None and proven.identity.capabilities.read_events

    def note_usable(self, instance: str, now: float) -> None:
        """Record that passes over policies run since `now` (loop time, in seconds)."""
        if instance not in self._usable_since:
            # The log is read from here on; it need not show what was written before.
            self.unseen_writes(instance).forget(before=now)
        self._usable_since[instance] = now

    def usable_since(self, instance: str) -> float | None:
        """Return since when passes over policies run, or None if they do not yet."""
        return self._usable_since.get(instance)

    def keep(self, instances: frozenset[str]) -> None:
        """Forget all instances but these: no object uses the other names."""
        since = self._usable_since
        self._usable_since = {n: since[n] for n in since.keys() & instances}
        self._health = {n: h for n, h in self._health.items() if n in instances}
        self._unseen_writes = {
            n: e for n, e in self._unseen_writes.items() if n in instances
        }

    def drop(self, instance: str) -> None:
        """Forget an instance that is gone."""
        self._usable_since.pop(instance, None)
        self._health.pop(instance, None)
        self._unseen_writes.pop(instance, None)

    def note(self, key: PolicyKey, event: ZitadelEvent) -> None:
        """Keep the last event about a policy; a removal is never replaced."""
        known = self._waiting.get(key)
        if known is None or known.kind is not EventKind.ORGANIZATION_REMOVED:
            self._waiting[key] = event

    def waiting_event(self, key: PolicyKey) -> ZitadelEvent | None:
        """Return the last event about a policy that no pass has handled yet."""
        return self._waiting.get(key)

    def late(self, key: PolicyKey) -> ZitadelEvent | None:
        """Return an event that the last pass over a policy did not find in GETs yet."""
        return self._late.get(key)

    def keep_late(self, key: PolicyKey, event: ZitadelEvent | None) -> None:
        """Keep an event that GETs do not show yet; None if they show all."""
        if event is None:
            self._late.pop(key, None)
        else:
            self._late[key] = event

    def doubt(self, key: PolicyKey) -> None:
        """Record that the log may say of a policy what no pass has compared yet.

        An event that is found in this state is not kept. Until the next pass over a
        policy that is suspended, say, ZITADEL may be restored, or the name be that of
        another object.
        """
        self._doubted.add(key)

    def is_doubted(self, key: PolicyKey) -> bool:
        """Return whether the log has to be asked about a policy."""
        return key in self._doubted

    def trust(self, key: PolicyKey) -> None:
        """Record that the log was compared with what GETs show of a policy."""
        self._doubted.discard(key)

    def forget(self, key: PolicyKey, event: ZitadelEvent | None = None) -> None:
        """Drop the event about a policy: it is gone, or a pass has handled the event.

        Args:
            key: The policy's key.
            event: The event that the pass began with; a later one is kept.
        """
        if event is None:
            self._late.pop(key, None)
            self._doubted.discard(key)
        if event is None or self._waiting.get(key) is event:
            self._waiting.pop(key, None)
