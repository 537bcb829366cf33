"""Records of ZITADELs whose event log and reads disagree, and the limits of repairs.

Everything is in memory only. After a restart contradictions are counted from the
beginning, and a repair that was stopped between two steps continues from what a GET
then shows. The rules are in `core.read_side` and in docs/concepts/two-sides.md.
"""

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.events import EventId
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.read_side import (
    Missed,
    Tally,
    begins_over_a_row,
    once_more,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.clock import loop_time
from zitadel_notification_operator.engine.queue.outcome import RequeueAfter

BLOCK = 600.0
"""Seconds without any repair of a ZITADEL after two failed ones in a row, and between
two repairs that begin with a POST over an existing row."""

FAILURES = 2
"""Failed repairs in a row after which no more are tried for a while."""

MOST = 3
"""The largest number of repairs of one target within an hour."""

HOUR = 3600.0

BUSY_FOR = 60.0
"""Seconds for which no failure is reported while a read side answers no GET."""

FORGOTTEN_AFTER = 900.0
"""Seconds after which such a time is forgotten unless a pass has met it again. This is
longer than the waiting time of a pass that meets it again and again."""

LOOK_AGAIN = 60.0
"""Seconds between two passes over a target whose repair has to wait."""

REPAIR_INTERVAL = 2.0
"""Seconds until a target tries again to get its turn for a repair."""

BUSY_INTERVAL = 3.0
"""Seconds until the next GET to a read side that answers none."""

UNSEEN_INTERVAL = 16.0
"""Seconds between two writes that contradict the GETs, where the operator may not read
the log: three of them then take more than thirty seconds."""

READ_ON = (
    "a ZITADEL administrator can rebuild its read side: docs/concepts/two-sides.md "
    "says how"
)
"""The end of a message, which names the document to read on."""


@dataclass(slots=True)
class _Side:
    """The read side of one ZITADEL; times are on the event loop's clock.

    Attributes:
        repairing: Whether a target has its turn for a repair now.
        failures: The number of failed repairs in a row.
        blocked_until: The time before which no repair begins.
        over_row_at: When the last repair began with a POST over an existing row.
        busy_since: Since when it has answered no GET because of an insert, or None.
        busy_at: When a pass last met that.
    """

    repairing: bool = False
    failures: int = 0
    blocked_until: float = float("-inf")
    over_row_at: float = float("-inf")
    busy_since: float | None = None
    busy_at: float = float("-inf")

    def is_in_use(self, now: float) -> bool:
        """Return whether this record still limits what passes may do."""
        return (
            self.repairing
            or now - self.busy_at < FORGOTTEN_AFTER
            or now < max(self.blocked_until, self.over_row_at + BLOCK)
        )


@dataclass(slots=True)
class _Pending:
    """A contradiction that is not resolved yet.

    Attributes:
        tally: How often it was met.
        shown: What the GET that the last write contradicts returned.
        begun: What the read side has missed and the sentence that says so, if a repair
            has begun and was stopped between two steps.
        waits: What was seen, where the next repair begins with a POST over a row and
            another one has done so a short time ago.
    """

    tally: Tally
    shown: ObservedPolicy | None
    begun: tuple[Missed, str] | None = None
    waits: str | None = None


@dataclass(slots=True)
class Repairs:
    """Contradictions by target, and the limits of repairs by ZITADEL and target.

    Attributes:
        wanted: Returns the targets that some policy may want to write now.
        changed: Called with the id of a ZITADEL when repairs of it begin to fail, or
            when one helps again, so that its instances report that.
    """

    wanted: Callable[[], Container[Target]]
    changed: Callable[[str], None]
    _sides: dict[str, _Side] = field(default_factory=dict)
    _pending: dict[Target, _Pending] = field(default_factory=dict)
    _made: dict[Target, list[float]] = field(default_factory=dict)

    def is_pending(self, target: Target) -> bool:
        """Return whether the last write to the target met a contradiction."""
        return target in self._pending

    def contradicted(
        self,
        target: Target,
        event: EventId | None,
        shown: ObservedPolicy | None,
        *,
        readable: bool,
    ) -> Tally:
        """Count one more contradiction at a target.

        Args:
            target: The target where it was met.
            event: The target's last policy event in the log, as for `once_more`.
            shown: What the GET that a write contradicts returned.
            readable: Whether the log could be read.
        """
        known = self._pending.get(target)
        before = known.tally if known else None
        tally = once_more(before, loop_time(), event, readable=readable)
        begun = known.begun if known else None
        waits = known.waits if known and known.shown == shown else None
        with self._telling_change(target):
            self._pending[target] = _Pending(tally, shown, begun, waits)
        return tally

    def agrees(self, target: Target, shown: ObservedPolicy | None) -> None:
        """Record that a GET shows what is wanted, so that no contradiction is left.

        Args:
            target: The target.
            shown: What the GET returned. If it is the same as when the contradiction
                was met, the projection has not moved: the wanted value has changed.
        """
        with self._telling_change(target):
            self._note_move(target, shown)
            self._pending.pop(target, None)

    def looked(self, target: Target, shown: ObservedPolicy | None) -> None:
        """Record what a GET shows of a target that has to be written.

        Args:
            target: The target.
            shown: What the GET returned. If it differs from what was contradicted, then
                the projection is moving, and repairs need not wait any longer.
        """
        with self._telling_change(target):
            self._note_move(target, shown)

    def _note_move(self, target: Target, shown: ObservedPolicy | None) -> None:
        """Lift the block on repairs if the projection of a contradiction has moved."""
        known = self._pending.get(target)
        if known is not None and known.shown != shown:
            known.waits = None
            side = self._side(target)
            side.failures, side.blocked_until = 0, float("-inf")

    def is_inconsistent(self, zitadel_id: str) -> bool:
        """Return whether an instance should report that repairs do not help.

        Only policies that want to write count. A contradiction at the target of a
        policy that is gone, suspended, in Observe or without its grant is nobody's
        failure any longer.
        """
        if not self._is_inconsistent(zitadel_id):
            return False
        self._keep_pending(self.wanted().__contains__)
        return self._is_inconsistent(zitadel_id)

    def _is_inconsistent(self, zitadel_id: str) -> bool:
        """Return whether repairs have failed, so that none is tried for a while."""
        side = self._sides.get(zitadel_id)
        failed = side is not None and side.failures >= FAILURES
        return failed and any(t.zitadel_id == zitadel_id for t in self._pending)

    @contextmanager
    def _telling_change(self, target: Target) -> Iterator[None]:
        """Tell the instances if repairs begin to fail, or to help, in the block."""
        was = self._is_inconsistent(target.zitadel_id)
        yield
        if self._is_inconsistent(target.zitadel_id) is not was:
            self.changed(target.zitadel_id)

    @contextmanager
    def turn(self, target: Target) -> Iterator[None]:
        """Handle a contradiction in the block; one target at a time in each ZITADEL.

        Raises:
            RequeueAfter: Another target has the turn.
        """
        side = self._side(target)
        if side.repairing:
            raise RequeueAfter(REPAIR_INTERVAL)
        side.repairing = True
        try:
            yield
        finally:
            side.repairing = False

    def require_unblocked(self, target: Target) -> None:
        """Check that repairs at this ZITADEL, and of this target, do not have to wait.

        While they wait, the contradicted write would tell nothing new.

        Raises:
            TransientError: `ZitadelInconsistent`: they have to.
        """
        side = self._side(target)
        left = side.blocked_until - loop_time()
        if left > 0:
            raise TransientError(
                Reason.ZITADEL_INCONSISTENT,
                "ZITADEL's reads contradict its event log, and two repairs in a row "
                "did not help, so no policy of this ZITADEL is repaired for ten "
                f"minutes; {READ_ON}",
                min(left, LOOK_AGAIN),
            )
        known = self._pending.get(target)
        if known is not None and known.waits is not None:
            self._require_no_row_before(target, known.waits)

    def _require_no_row_before(self, target: Target, seen: str) -> None:
        """Do nothing unless there was a POST over a row a short time ago.

        Raises:
            TransientError: `ZitadelInconsistent`: this target waits for its turn.
        """
        left = self._side(target).over_row_at + BLOCK - loop_time()
        if left > 0:
            self._pending[target].waits = seen
            raise TransientError(
                Reason.ZITADEL_INCONSISTENT,
                f"{seen}; while this is repaired, ZITADEL answers no GET of "
                "notification policies for some seconds, so that is done once in "
                "ten minutes at most, and this policy waits for its turn",
                min(left, LOOK_AGAIN),
            )
        self._pending[target].waits = None

    def begin(self, target: Target, missed: Missed, seen: str) -> None:
        """Count a repair that begins now.

        Args:
            target: The target to repair.
            missed: The kind of event that the read side has missed.
            seen: What both sides say, a sentence without a full stop.

        Raises:
            TerminalError: `ZitadelInconsistent`: there were three within an hour.
            TransientError: `ZitadelInconsistent`: the repair has to wait.
        """
        self.require_unblocked(target)
        self.require_few(target, seen)
        if begins_over_a_row(missed):
            self._require_no_row_before(target, seen)
            self._side(target).over_row_at = loop_time()
        self.count(target)
        self._pending[target].begun = missed, seen

    def require_few(self, target: Target, seen: str) -> None:
        """Do nothing unless a target was repaired too often; arguments as `begin`.

        Raises:
            TerminalError: `ZitadelInconsistent`: there were three within an hour.
        """
        if len(self._made_of(target)) >= MOST:
            raise TerminalError(
                Reason.ZITADEL_INCONSISTENT,
                f"{seen}; it was repaired {MOST} times within an hour, and is so "
                f"again; {READ_ON}",
            )

    def count(self, target: Target) -> None:
        """Count a repair of a target, for the limit of repairs within an hour."""
        self._made[target] = [*self._made_of(target), loop_time()]

    def _made_of(self, target: Target) -> list[float]:
        now = loop_time()
        return [at for at in self._made.get(target, []) if now - at < HOUR]

    def begun(
        self, target: Target, shown: ObservedPolicy | None
    ) -> tuple[Missed, str] | None:
        """Return what a repair is about that was stopped between two steps, if any.

        Args:
            target: What is repaired.
            shown: What a GET says now. Where it is what was contradicted before, the
                projection has not moved, and nothing is repaired.
        """
        known = self._pending.get(target)
        return known.begun if known and known.shown != shown else None

    def end(self, target: Target, *, helped: bool | None) -> None:
        """Record the end of a repair.

        Args:
            target: The target that was repaired.
            helped: Whether a GET shows the wanted result. None if somebody else has
                changed the policy meanwhile, so that nobody can tell; a new repair
                begins if it is needed.
        """
        with self._telling_change(target):
            self._end(target, helped=helped)

    def _end(self, target: Target, *, helped: bool | None) -> None:
        side = self._side(target)
        if helped is not False:
            side.failures = 0 if helped else side.failures
            self._pending.pop(target, None)
            return
        side.failures += 1
        if target in self._pending:  # else no policy wants this target any longer
            self._pending[target].begun = None
        if side.failures >= FAILURES:
            side.blocked_until = loop_time() + BLOCK

    def is_briefly_busy(self, zitadel_id: str) -> bool:
        """Record that a GET was not answered because of an insert.

        Returns:
            Whether this may be a side effect of a repair; False after a minute.
        """
        now, side = loop_time(), self._sides.setdefault(zitadel_id, _Side())
        if side.busy_since is None or now - side.busy_at > FORGOTTEN_AFTER:
            side.busy_since = now  # no pass has seen the end of the last one
        side.busy_at = now
        return now - side.busy_since < BUSY_FOR

    def answered(self, zitadel_id: str) -> None:
        """Record that a GET was answered."""
        side = self._sides.get(zitadel_id)
        if side is not None:
            side.busy_since = None

    def keep(self, is_known: Callable[[Target], bool]) -> None:
        """Forget the targets that no policy is about any longer."""
        now = loop_time()
        self._keep_pending(is_known)
        self._made = {t: m for t, m in self._made.items() if now - m[-1] < HOUR}
        known = {t.zitadel_id for t in self._pending}
        self._sides = {
            zitadel_id: side
            for zitadel_id, side in self._sides.items()
            if zitadel_id in known or side.is_in_use(now)
        }
        if self._pending:  # to ask takes long with a hundred thousand policies
            self._keep_pending(self.wanted().__contains__)

    def _keep_pending(self, is_wanted: Callable[[Target], bool]) -> None:
        """Forget the contradictions at all other targets."""
        self._pending = {t: p for t, p in self._pending.items() if is_wanted(t)}

    def _side(self, target: Target) -> _Side:
        return self._sides.setdefault(target.zitadel_id, _Side())
