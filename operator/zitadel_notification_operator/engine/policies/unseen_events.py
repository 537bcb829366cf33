"""GETs that are older than ZITADEL's event log: how long to wait, and what to believe.

A ZITADEL of several pods may answer from a projection that lags behind its log
(docs/concepts/two-sides.md). If it does not catch up, it may have lost an event.
"""

from dataclasses import dataclass, replace

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.decision import Action, decide
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.read_side import is_behind
from zitadel_notification_operator.engine.calls.read_lag import ReadLag
from zitadel_notification_operator.engine.calls.repairs import Repairs
from zitadel_notification_operator.engine.claims.inventory import Inventory
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule

from .targets import Work

BEHIND_FOR = 30.0
"""Seconds for which GETs may be older than the event log before that counts as a
contradiction (docs/concepts/two-sides.md)."""


@dataclass(eq=False, repr=False)
class UnseenEvents:
    """Compares what GETs show with the events that are known of a policy.

    Args:
        inventory: Knows the policy's instance.
        drift: Knows the events that wait for a pass.
        repairs: Knows which targets met a contradiction.
        lag: Knows since when GETs are older, and which of them are accepted.
    """

    _inventory: Inventory
    _drift: DriftSchedule
    _repairs: Repairs
    _lag: ReadLag

    def event_of(self, key: PolicyKey) -> ZitadelEvent | None:
        """Return the last event about a policy that no pass has settled yet."""
        return self._drift.waiting_event(key) or self._drift.late(key)

    async def with_doubt_resolved(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> Work:
        """Ask the log once about a policy whose last events are not known.

        They were found while its status was not current, or by another process. Where
        GETs show the wanted value, nothing else would notice that they are older; where
        they do not, ZITADEL's answer to the write tells.

        Returns:
            The work, with the last event if GETs are older than that.
        """
        if work.event is not None or not self._is_unsure(policy):
            return work
        if decide(policy.desired, observed).action is not Action.NONE:
            return work
        found, readable = await work.writer.last_event()
        if not readable:
            return work
        self._drift.trust(policy.key)
        if found is None or not is_behind(observed, found):
            return work
        self._drift.note(policy.key, found)
        return replace(work, event=found)

    def is_too_early(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> bool:
        """Return whether the pass should wait for GETs to show an event of the log."""
        if work.event is not None and not is_behind(observed, work.event):
            self._lag.caught_up(work.target)
        event = self._not_shown(work, observed)
        if event is None:
            return False  # events of other policies do not matter here
        if self._repairs.is_pending(work.target):
            # A write of ours has met this contradiction already and waits for its
            # repair.
            wanted = decide(policy.desired, observed)
            if wanted.action is not Action.NONE:
                return False
        shown = observed.sequence if observed else None
        return self._lag.behind_for(work.target, event.id, shown) < BEHIND_FOR

    async def unseen_event(
        self, work: Work, observed: ObservedPolicy | None
    ) -> ZitadelEvent | None:
        """Return the target's last event in the log, or None if GETs show it."""
        event = self._not_shown(work, observed)
        if event is None:
            return None
        found, readable = await work.writer.last_event()
        if found is not None and is_behind(observed, found):
            return found
        is_its_own = work.target.organization_id in {None, event.id.aggregate}
        if readable and is_its_own:
            # The log shows nothing newer, so what the GET says is in force.
            self._lag.accept(work.target, event.id)
        return None

    def settle(
        self,
        policy: PolicyObject,
        work: Work,
        observed: ObservedPolicy | None,
        left: float,
    ) -> float:
        """Record that a pass has handled its event; return when the next one is due.

        GETs that are older than an event may catch up later, and no further event
        announces that. So such a target is polled as often as one without events, and
        also one about which the log could not be asked yet.

        Args:
            policy: The policy of this pass.
            work: What this pass worked on.
            observed: What the last GET says.
            left: Seconds until the next pass because of a contest, or 0 without one.

        Returns:
            The seconds until the next pass, or 0 if none is needed.
        """
        if work.event is not None:
            self._drift.forget(policy.key, work.event)
        if work.event is not None or work.writer.wrote:
            self._drift.trust(policy.key)
        late = self._not_shown(work, observed)
        self._drift.keep_late(policy.key, late)
        instance = self._inventory.instances.get(policy.instance)
        unsure = self._is_unsure(policy) and work.writer.reads_events
        if instance is None or (late is None and not unsure):
            return left
        return min(left or instance.drift.poll_interval, instance.drift.poll_interval)

    def _is_unsure(self, policy: PolicyObject) -> bool:
        return policy.manages and self._drift.is_doubted(policy.key)

    def _not_shown(
        self, work: Work, observed: ObservedPolicy | None
    ) -> ZitadelEvent | None:
        """Return the event of a pass if GETs are older, and that is not accepted."""
        event = work.event
        if event is None or not is_behind(observed, event):
            return None
        return None if self._lag.is_accepted(work.target, event.id) else event
