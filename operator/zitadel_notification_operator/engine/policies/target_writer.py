"""Changes one target until a GET shows the change, and repairs ZITADEL's read side.

A write is complete when a GET after it shows the value. If the answer to a write and
the GETs contradict each other repeatedly, with no event between, then ZITADEL's read
side has lost an event. A short series of writes makes it current again
(`core.read_side`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import (
    OperatorError,
    ReadSideBusy,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.identity import Capabilities
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Organization,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.read_side import (
    Attempt,
    Missed,
    Step,
    Tally,
    Write,
    after_insert,
    can_be_repaired,
    is_behind,
    is_own,
    missed_by,
    repair,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.settings import NO_SETTINGS, Settings
from zitadel_notification_operator.engine.calls.lease_guard import verifying
from zitadel_notification_operator.engine.calls.read_lag import ReadLag
from zitadel_notification_operator.engine.calls.repairs import (
    BUSY_INTERVAL,
    READ_ON,
    UNSEEN_INTERVAL,
    Repairs,
)
from zitadel_notification_operator.engine.queue.engine_metrics import PassMetrics
from zitadel_notification_operator.engine.queue.outcome import RequeueAfter
from zitadel_notification_operator.engine.reporting.event_messages import repair_event
from zitadel_notification_operator.engine.reporting.event_outbox import EventOutbox

from .contradiction_messages import describe_contradiction, describe_unseen_event
from .target_client import TargetClient

PROBE_DELAYS = (0.0, 0.3, 0.6)
"""Seconds before each of the GETs that verify a write. There are three tries within a
second, because ZITADEL has several pods and one of them may lag."""

PAUSE = 2.0
"""Seconds to wait before a write that no GET shows is repeated."""

INSERT_INTERVAL = 1.0
"""Seconds between GETs while the read side retries an insert that cannot succeed."""

LAG_INTERVAL = 2.0
"""Seconds between GETs while they are older than our own last write."""


@dataclass(eq=False, repr=False)
class TargetWriter:
    """Writes to one target during one pass.

    Args:
        repairs: Records contradictions.
        lag: Remembers what was written last, and which older GETs are accepted.
        outbox: Posts the Events about repairs.
        metrics: Counts repairs.
        policy: The policy that the pass is about.
        target: The target to change.
        client: A client that refuses each call once the policy may not go on.
        capabilities: What the credential may do.

    Attributes:
        wrote: Whether ZITADEL has accepted any write.
    """

    _repairs: Repairs
    _lag: ReadLag
    _outbox: EventOutbox
    _metrics: PassMetrics
    _policy: PolicyObject
    _target: Target
    _client: TargetClient
    _capabilities: Capabilities
    _met_insert: bool = field(default=False, init=False)
    wrote: bool = field(default=False, init=False)

    async def observe(self) -> ObservedPolicy | None:
        """Return the policy in force.

        Raises:
            RequeueAfter: ZITADEL's read side is still giving up an insert, as it does
                after a repair, or the GET is older than our own last write. Either is
                over within seconds.
            OperatorError: Any error of the client; `ReadSideBusy` only after a minute.
        """
        shown = await self._get()
        # Where the read side has lost that write, a repair is pending.
        is_older = self._lag.is_older_than_write(self._target, shown)
        if is_older and not self._repairs.is_pending(self._target):
            raise RequeueAfter(LAG_INTERVAL)
        return shown

    async def _get(self) -> ObservedPolicy | None:
        with self._waiting():
            shown = await self._client.observe()
        self._repairs.answered(self._target.zitadel_id)
        return shown

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Requeue the pass when the read side answers no GET because of an insert.

        Raises:
            RequeueAfter: That is so, and ZITADEL should answer again within seconds.
            ReadSideBusy: It has been so for a minute.
        """
        try:
            yield
        except ReadSideBusy:
            if not self._repairs.is_briefly_busy(self._target.zitadel_id):
                raise
            raise RequeueAfter(BUSY_INTERVAL) from None

    async def change(self, step: Step, observed: ObservedPolicy | None) -> Attempt:
        """Write, and verify that a GET shows the result.

        Args:
            step: The wanted result: a value, or no policy of its own (DELETE).
            observed: What a GET returned right before; its other members are written
                back.

        Raises:
            RequeueAfter: The write has to wait for the repair of another target.
            TransientError: `ZitadelInconsistent`: the write is retried later.
            TerminalError: `ZitadelInconsistent`: an administrator of ZITADEL has to
                act.
            OperatorError: Any error of the client.
        """
        if self._repairs.is_pending(self._target):
            self._repairs.looked(self._target, observed)
            with self._repairs.turn(self._target):
                self._repairs.require_unblocked(self._target)
                return await self._insist(step, observed)
        attempt = await self._try(step, observed)
        if not attempt.is_contradiction:
            return self._ended(attempt)
        # The contradiction is counted before anything else can stop this pass, so that
        # the next pass does not write as if nothing had happened.
        tally = await self._count(attempt)
        with self._repairs.turn(self._target):
            self._repairs.require_unblocked(self._target)
            if not tally.readable:
                raise _pending(attempt)
            await asyncio.sleep(PAUSE)
            later = replace(attempt, shown=await self._look())
            if not later.is_contradiction:
                return self._ended(later)
            return await self._insist(step, later.shown)

    async def restate(
        self, step: Step, observed: ObservedPolicy | None, event: ZitadelEvent
    ) -> Attempt:
        """Write a value that GETs show already, because the event log says otherwise.

        Args:
            step: The call that fits the state that a GET shows, with the value it
                shows.
            observed: What the GET returned.
            event: The log's last event of this target, which no GET shows.

        Raises:
            OperatorError: As for `change`.
        """
        seen = describe_unseen_event(event, observed, self._policy.scope)
        self._repairs.contradicted(self._target, event.id, observed, readable=True)
        with self._repairs.turn(self._target):
            self._repairs.require_unblocked(self._target)
            self._repairs.require_few(self._target, seen)
            change = await self._insist(step, observed)
            if change.is_taken and not change.repaired:
                change = self._restated(change, event, seen)
        self._lag.accept(self._target, event.id)
        return change

    def _restated(self, change: Attempt, event: ZitadelEvent, seen: str) -> Attempt:
        """Count a write that was a repair of its own; tell it if the GETs have moved.

        They showed the value before, so the value alone does not tell whether the
        projection has taken anything.
        """
        self._repairs.count(self._target)
        has_moved = not is_behind(change.shown, event)
        helped = has_moved if change.is_as_wanted else None
        self._repairs.end(self._target, helped=helped)
        if not (change.is_as_wanted and has_moved):
            return change
        missed = missed_by(event)
        self._tell(missed, seen, change.shown.settings if change.shown else None)
        return replace(change, repaired=missed)

    async def organization(self) -> Organization:
        """Return the target's organization; raises any error of the client."""
        return await self._client.organization()

    @property
    def reads_events(self) -> bool:
        """Whether the credential may read the event log."""
        return self._capabilities.read_events

    async def last_event(self) -> tuple[ZitadelEvent | None, bool]:
        """Return the target's last policy event, and whether the log could be read."""
        if not self.reads_events:
            return None, False
        try:
            found = await self._client.last_policy_event()
        except OperatorError:
            return None, False  # without the log, contradictions need more proof
        return found, True

    async def _insist(self, step: Step, observed: ObservedPolicy | None) -> Attempt:
        """Repeat a write that met a contradiction; repair if it meets one again."""
        attempt = await self._try(
            step.fitted_to(observed, self._policy.scope), observed
        )
        if not attempt.is_contradiction:
            return self._ended(attempt)
        tally = await self._count(attempt)
        if not tally.is_fact and tally.readable:
            return self._ended(attempt)  # somebody else has changed the policy first
        if not tally.is_fact or attempt.missed is None:
            raise _pending(attempt)
        return await self._repair(attempt, attempt.missed)

    async def _repair(self, attempt: Attempt, missed: Missed) -> Attempt:
        """Make the read side current again, step by step."""
        seen = describe_contradiction(attempt, self._target.organization_id)
        if not can_be_repaired(missed, self._policy.scope):
            raise TerminalError(
                Reason.ZITADEL_INCONSISTENT,
                f"{seen}; ZITADEL has no call by which the instance's policy could be "
                f"removed to repair this; {READ_ON}",
            )
        self._repairs.begin(self._target, missed, seen)
        wanted = attempt.step.settings
        shown = attempt.shown
        own = shown.settings if shown and is_own(shown, self._policy.scope) else None
        last = await self._carry_out(repair(missed, shown=own, wanted=wanted), attempt)
        if missed is Missed.REMOVED and wanted is not None and last.is_taken:
            last = await self._finish_insert(last, wanted)
        # Judge the end by what was wanted at first, not by the last step of the repair.
        # Where GETs showed that value before, only a newer answer, or an insert that
        # ZITADEL has given up, tells that something has moved.
        end = replace(last, step=attempt.step)
        has_moved = end.shown != attempt.shown or self._met_insert
        if not last.is_taken:
            # Somebody else has changed the policy during the repair.
            self._repairs.end(self._target, helped=None)
            return self._ended(end)
        self._repairs.end(self._target, helped=end.is_as_wanted and has_moved)
        if not end.is_as_wanted:
            raise TransientError(
                Reason.ZITADEL_INCONSISTENT,
                f"{seen}; a repair by writing again did not help; it is tried again",
            )
        if has_moved:
            self._tell(missed, seen, wanted)
        return self._ended(last, missed)

    def _tell(self, missed: Missed, seen: str, wanted: Settings | None) -> None:
        self._metrics.repaired(str(missed))
        self._outbox.tell(self._policy, repair_event(missed, seen, wanted))

    async def _finish_insert(self, last: Attempt, wanted: Settings) -> Attempt:
        """Write the wanted value, once, if the old row is still there after a POST."""
        shown = last.shown
        if shown is None or not is_own(shown, self._policy.scope):
            return last
        rest = after_insert(shown=shown.settings, wanted=wanted)
        return await self._carry_out(rest, last) if rest else last

    async def _carry_out(self, steps: tuple[Step, ...], before: Attempt) -> Attempt:
        """Make these writes until one is not accepted, and return the last attempt."""
        last = before
        for step in steps:
            last = await self._try(step, last.shown)
            if not last.is_taken:
                break
        return last

    async def _try(self, step: Step, observed: ObservedPolicy | None) -> Attempt:
        """Write once, then GET up to three times until the result fits the answer."""
        result = await self._send(step, observed)
        attempt = Attempt(step, result, None, self._policy.scope)
        if attempt.is_taken:
            self.wrote = True
            self._lag.wrote(self._target, result)
        if result.answer is WriteOutcome.ORGANIZATION_GONE:
            return attempt  # a GET would not add anything
        for delay in PROBE_DELAYS:
            await asyncio.sleep(delay)
            shown = await self._look()
            attempt = Attempt(step, result, shown, self._policy.scope)
            if not attempt.is_contradiction and attempt.newer_event is None:
                break
        return attempt

    async def _look(self) -> ObservedPolicy | None:
        """Return the policy in force, waiting until the read side answers.

        Raises:
            StalePass: It does not answer, and the pass may not go on.
            OperatorError: Any error of the client; `ReadSideBusy` only after a minute.
        """
        with suppress(RequeueAfter), verifying():
            return await self._get()
        self._met_insert = True
        while True:
            await asyncio.sleep(INSERT_INTERVAL)
            with suppress(RequeueAfter):
                return await self._get()

    async def _send(self, step: Step, observed: ObservedPolicy | None) -> WriteResult:
        if step.write is Write.RESET:
            return await self._client.reset()
        settings = step.settings or NO_SETTINGS
        with self._waiting():  # the client may make another GET before it writes
            return await self._client.write(
                Action(step.write), settings=settings, before=observed
            )

    async def _count(self, attempt: Attempt) -> Tally:
        event, readable = await self.last_event()
        seen = event.id if event else None
        return self._repairs.contradicted(
            self._target, seen, attempt.shown, readable=readable
        )

    def _ended(self, attempt: Attempt, missed: Missed | None = None) -> Attempt:
        if attempt.is_as_wanted:
            begun = self._repairs.begun(self._target, attempt.shown)
            if begun is not None and attempt.is_taken:
                # A repair was stopped between two steps, and this write was its last
                # one.
                missed, seen = begun
                self._tell(missed, seen, attempt.step.settings)
            self._repairs.agrees(self._target, attempt.shown)
            newer = attempt.newer_event
            if newer is not None:
                # After an insert that ZITADEL has given up, the row keeps its old
                # sequence.
                self._lag.accept(self._target, newer)
        return replace(attempt, repaired=missed)


def _pending(attempt: Attempt) -> TransientError:
    return TransientError(
        Reason.ZITADEL_INCONSISTENT,
        f"{describe_contradiction(attempt, None)}; before anything is repaired, the "
        "write is tried again, for somebody else may have been faster",
        UNSEEN_INTERVAL,
    )
