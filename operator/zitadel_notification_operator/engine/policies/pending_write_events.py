"""What is remembered of writes: their Events, the drift they corrected, and contests.

ZITADEL may accept a write and the GET that verifies it may fail. Then the Events are
kept here, and a later pass posts them. The drift that the write has corrected is kept
until a status reports it.

Where somebody keeps undoing corrections, the next ones wait longer and longer
(`core.contest`). All of this is in memory only, so a restart begins without any.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import format_time
from zitadel_notification_operator.core.contest import Contest
from zitadel_notification_operator.core.decision import Decision
from zitadel_notification_operator.core.original import OriginalValue, seen
from zitadel_notification_operator.core.policy import ObservedPolicy, Scope
from zitadel_notification_operator.core.policy_object import Drift, PolicyObject
from zitadel_notification_operator.core.report import (
    is_ready_and_current,
    is_ready_for_its_spec,
)
from zitadel_notification_operator.engine.drift.drift_schedule import DriftSchedule
from zitadel_notification_operator.engine.ports import Notice
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.reporting.event_messages import (
    contest_event,
    drift_event,
    write_event,
)
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox


@dataclass(frozen=True, slots=True)
class WriteEvents:
    """The Events about one write, and the drift that it corrected.

    Attributes:
        uid: The uid of the object that asked for the write.
        generation: The generation of the spec that asked for it.
        notices: The Events.
        drift: The corrected drift; None if the spec or a person asked for the write.
    """

    uid: str
    generation: int
    notices: list[Notice]
    drift: Drift | None = None


@dataclass(eq=False, repr=False)
class PendingWriteEvents:
    """The account of each policy's last write, and the contests of policies.

    Args:
        drift: Knows the events of ZITADEL's log that wait for a pass.
        outbox: Posts Events.
        metrics: Counts corrections for the metrics.
        now: Returns the wall-clock time.
    """

    _drift: DriftSchedule
    _outbox: EventOutbox
    _metrics: PassMetrics
    _now: Callable[[], datetime]
    _pending_events: dict[PolicyKey, WriteEvents] = field(
        default_factory=dict, init=False
    )
    _unreported: dict[PolicyKey, Drift] = field(default_factory=dict, init=False)
    _contests: dict[PolicyKey, Contest] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        """Return the number of policies whose Events still wait."""
        return len(self._pending_events)

    def keep(
        self,
        policy: PolicyObject,
        decision: Decision,
        before: ObservedPolicy | None,
        *,
        repaired: bool,
    ) -> None:
        """Keep the account of a policy's last write.

        Args:
            policy: The policy.
            decision: What the write was about.
            before: What a GET returned before it.
            repaired: Whether it was a repair of ZITADEL's read side, which counts
                neither as drift nor as a contest.
        """
        drift: Drift | None = None
        notices: list[Notice] = []
        if not is_ready_for_its_spec(policy):
            notices = [write_event(policy, decision, before)]
        elif not repaired:
            # The spec had been reconciled, so somebody has changed it in ZITADEL since.
            drift, notices = self._corrected(policy, before)
        self._pending_events[policy.key] = WriteEvents(
            policy.uid, policy.generation, notices, drift
        )

    def tell(self, policy: PolicyObject) -> Drift | None:
        """Post the Events about the last write, if this very spec asked for it.

        Returns:
            The corrected drift that no status reports yet, if any.
        """
        events = self._pending_events.pop(policy.key, None)
        is_its_own = events is not None and (events.uid, events.generation) == (
            policy.uid,
            policy.generation,
        )
        if events is not None and is_its_own:
            for notice in events.notices:
                self._outbox.tell(policy, notice)
            if events.drift is not None:
                self._unreported[policy.key] = events.drift
        return self._unreported.get(policy.key)

    def reported(self, key: PolicyKey) -> None:
        """Drop the corrected drift, because a status reports it."""
        self._unreported.pop(key, None)

    def forget(self, key: PolicyKey) -> None:
        """Drop what is known about a policy that is gone."""
        self._pending_events.pop(key, None)
        self._unreported.pop(key, None)
        self._contests.pop(key, None)

    def wait(self, policy: PolicyObject) -> float:
        """Return the seconds that a correction has to wait; 0 if it may be made now.

        Only a write that undoes a change behind a quiet policy is a correction. A new
        spec, or a person's request, is acted on at once.
        """
        contest = self._contest_of(policy)
        return (
            contest.wait(loop_time())
            if contest and is_ready_and_current(policy)
            else 0.0
        )

    def contested_for(self, policy: PolicyObject) -> float:
        """Return the seconds until a contest ends or its next correction is due.

        Returns:
            0 if the policy is not contested.
        """
        contest = self._contest_of(policy)
        if contest is None or not contest.is_contested:
            return 0.0
        return contest.wait(loop_time()) or contest.left(loop_time())

    def _contest_of(self, policy: PolicyObject) -> Contest | None:
        contest = self._contests.get(policy.key)
        if contest is None:
            return None
        if contest.generation != policy.generation or not contest.left(loop_time()):
            del self._contests[policy.key]
            return None
        return contest

    def _is_newly_contested(self, policy: PolicyObject) -> bool:
        """Count a correction; return whether it makes the policy contested."""
        before = self._contest_of(policy) or Contest(policy.generation)
        after = before.corrected(loop_time())
        self._contests[policy.key] = after
        return after.is_contested and not before.is_contested

    def _corrected(
        self, policy: PolicyObject, before: ObservedPolicy | None
    ) -> tuple[Drift, list[Notice]]:
        """Count the drift that a write has corrected; return it and its Events."""
        event = self._drift.waiting_event(policy.key)
        drift = Drift(
            format_time(self._now()),
            event.editor if event else None,
            seen(before),
            OriginalValue(policy.scope is Scope.INSTANCE, policy.settings),
        )
        notices = [drift_event(drift)]
        self._metrics.corrected()
        if self._is_newly_contested(policy):
            notices.append(contest_event())
        return drift, notices
