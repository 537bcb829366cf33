"""The read side: the policies that GETs show, computed from the processed events.

ZITADEL decides writes by its event log, but answers reads from a table that a
projection computes from the log. So the two can disagree, because the projection may be
late, may have stopped, or may have missed an event for good. The policies of all
organizations and of the instance are in the same table.

Source: ZITADEL: `internal/query/projection/notification_policy.go`,
`internal/eventstore/handler/v2/{handler,statement,failed_event}.go`. A GET first runs
the projection, and fails with the error of a statement that fails. ZITADEL retries the
statement several times before it skips the event. Later events wait until then.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from .answers import INTERNAL, UNKNOWN, Refusal
from .behavior import Behavior
from .events import Clock, Event, EventLog
from .losses import Losses
from .policies import before_last_write
from .projections import (
    INSTANCE_POLICY,
    ORG_POLICY,
    OWNER_REMOVED,
    Policy,
    shown_policy,
)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class ReadSide:
    """The projection of all notification policies of an instance.

    Attributes:
        losses: The requests for events that the projection misses.
    """

    def __init__(
        self, log: EventLog, clock: Clock, behavior: Callable[[], Behavior]
    ) -> None:
        """Process the events of a log from now on.

        Args:
            log: The event log to follow.
            clock: Returns the current time without the server's skew, because the skew
                must not change how long a failing statement is retried.
            behavior: Returns the current switches.
        """
        self.losses = Losses()
        self._log = log
        self._clock = clock
        self._behavior = behavior
        self._taken: dict[str, list[Event]] = defaultdict(list)
        self._waiting: deque[tuple[datetime, Event]] = deque()
        self._free_at = _LONG_AGO
        self._fails_until = _LONG_AGO
        log.subscribe(self._follow)

    def policy(self, owner: str, instance: str) -> tuple[Policy | None, bool]:
        """Return the policy that a GET shows, and whether it is the instance's.

        Args:
            owner: The id of the organization or of the instance.
            instance: The id of the instance.

        Raises:
            Refusal: The projection is broken (code 2), or is retrying a statement that
                fails (code 13, `CRDB-pKtsr`).
        """
        behavior = self._behavior()
        if behavior.projection_broken:
            raise Refusal(UNKNOWN, "statement failed: notification_policies")
        self.catch_up()
        if self._clock() < self._fails_until:
            raise Refusal(INTERNAL, "exec failed", "CRDB-pKtsr")
        stale = behavior.stale_reads > 0
        behavior.stale_reads -= stale
        own = shown_policy(self._seen(owner, ORG_POLICY, stale=stale), ORG_POLICY)
        if own is not None:
            return own, False
        events = self._seen(instance, INSTANCE_POLICY, stale=stale)
        return shown_policy(events, INSTANCE_POLICY), True

    def row(self, owner: str, prefix: str) -> Policy | None:
        """Return the row of a policy in the projection's table, or None.

        Unlike a GET this is no call of a client: no switch delays it, and it does not
        fail while the projection does.

        Args:
            owner: The id of the organization or of the instance.
            prefix: The prefix of the types of the policy's events.
        """
        self.catch_up()
        return shown_policy(self._taken.get(owner, []), prefix)

    def catch_up(self) -> None:
        """Process the waiting events whose turn has come.

        Nothing is processed while the projection is stopped. While it retries a failing
        statement, later events have to wait.
        """
        now = self._clock()
        if self._behavior().projection_stopped:
            # Events that wait now are processed at a later time than this, not at the
            # time when they were written.
            self._free_at = max(self._free_at, now)
            return
        while self._waiting:
            written, event = self._waiting[0]
            begin = max(written, self._free_at)
            if begin > now:
                return
            self._waiting.popleft()
            self._take(event, begin)

    def forget(self, owner: str) -> None:
        """Drop all events of one owner, as if its policy had never existed."""
        self._taken.pop(owner, None)
        self._waiting = deque(
            (written, event)
            for written, event in self._waiting
            if event.aggregate != owner
        )

    def _follow(self, event: Event) -> None:
        own = event.type.startswith((ORG_POLICY, INSTANCE_POLICY))
        if (own or event.type == OWNER_REMOVED) and not self.losses.take(event):
            self._waiting.append((self._clock(), event))
            self.catch_up()

    def _take(self, event: Event, begin: datetime) -> None:
        """Process one event, whose statement begins to run at the time `begin`."""
        taken = self._taken[event.aggregate]
        for prefix in (ORG_POLICY, INSTANCE_POLICY):
            if event.type == prefix + "added" and shown_policy(taken, prefix):
                # The row exists because the projection missed its removal. The event
                # is retried for a while and then skipped, so the row stays the same.
                retry = self._behavior().projection_retry_milliseconds
                self._fails_until = begin + timedelta(milliseconds=retry)
                self._free_at = self._fails_until
                return
        taken.append(event)

    def _seen(self, owner: str, prefix: str, *, stale: bool) -> Sequence[Event]:
        """Return the events that are known to the pod that answers a GET.

        The pod may lag behind the projection, by one write or by a length of time.
        """
        events = self._taken.get(owner, [])
        if stale:
            return before_last_write(events, prefix)
        if lag := self._behavior().stale_milliseconds:
            horizon = self._log.clock() - timedelta(milliseconds=lag)
            return [e for e in events if e.time <= horizon or not e.editor]
        return events
