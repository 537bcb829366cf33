"""GETs that are older than ZITADEL's event log: how long to wait, and what to believe.

A ZITADEL of several pods may answer from a projection that lags behind its log
(docs/concepts/two-sides.md). If it does not catch up, it may have lost an event.
"""

from dataclasses import dataclass, replace

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.decision import Action, decide
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
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

    def with_event(self, key: PolicyKey, work: Work) -> Work:
        """Return the work with the last event that no pass has settled yet."""
        event = self._drift.waiting_event(key) or self._drift.late(key)
        return replace(work, event=event, doubted=self._drift.is_doubted(key))

    async def with_doubt_resolved(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> Work:
        """Ask the log once about a policy whose last events are not known.

        They were found while its status was not current, or by another process. Where
        GETs show the wanted value, nothing else would notice that they are older; where
        they do not, ZITADEL's answer to the write tells. An event that is known already
        may not be the last one. If the log cannot be read now, a later pass asks it.

        Returns:
            The work, with the last event if GETs are older than that.

        Raises:
            StalePass: The policy is gone.
        """
        if not self._must_ask(policy, work, observed):
            return work
        found, readable = await work.writer.last_event()
        self._inventory.require_newest(policy)
        if not readable:
            return work
        later = self._drift.waiting_event(policy.key)
        if later is not None and later is not work.event:
            return replace(work, event=later)  # a search was faster
        self._drift.trust(policy.key)
        if found is None or not is_behind(observed, found):
            return work
        self._drift.note(policy.key, found)
        return replace(work, event=found)

    def _must_ask(
        self, policy: PolicyObject, work: Work, observed: ObservedPolicy | None
    ) -> bool:
        if not work.doubted or not self._reads_events(policy):
            return False
        if work.event and work.event.kind is EventKind.ORGANIZATION_REMOVED:
            return False  # nothing that happened to its policy matters any longer
        return decide(policy.desired, observed).action is Action.NONE

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
        if work.writer.wrote:
            self._drift.trust(policy.key)
        late = self._not_shown(work, observed)
        self._drift.keep_late(policy.key, late)
        instance = self._inventory.instances.get(policy.instance)
        unsure = self._drift.is_doubted(policy.key) and self._reads_events(policy)
        if instance is None or (late is None and not unsure):
            return left
        return min(left or instance.drift.poll_interval, instance.drift.poll_interval)

    def _reads_events(self, policy: PolicyObject) -> bool:
        """Return whether the log is read at the policy's instance, and can be."""
        instance = self._inventory.instances.get(policy.instance)
        return instance is not None and self._drift.reads_events(instance)

    def _not_shown(
        self, work: Work, observed: ObservedPolicy | None
    ) -> ZitadelEvent | None:
        """Return the event of a pass if GETs are older, and that is not accepted."""
        event = work.event
        if event is None or not is_behind(observed, event):
            return None
        return None if self._lag.is_accepted(work.target, event.id) else event
