"""Recognizes events that ZITADEL's read side has missed, and plans the repair.

ZITADEL decides writes by its event log and answers reads from a projection of the log.
The projection can miss an event for good. Then a GET and the answer to a write
contradict each other at each try. Everything here is pure: it takes facts and returns
a judgement or steps.

    write     answered        a GET after it says      the projection has missed
    POST      AlreadyExists   inherited, or none       an added event
    PUT       NotChanged      own, with another value  a changed event
    PUT       NotFound        own                      a removed event
    DELETE    NotFound        own                      a removed event
    any       Written         something else           unknown until the same write
                                                       is made once more

No other combination is a contradiction, because somebody else may have written in
between.

Source: docs/concepts/two-sides.md; zitadel/zitadel#8517 and zitadel/zitadel#12703.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from .event_cursor import number_of
from .events import EventId, EventKind, ZitadelEvent
from .policy import ObservedPolicy, Scope, WriteOutcome, WriteResult
from .settings import Settings

TIMES = 2
"""The number of contradictions in a row, with no event between them, that is proof."""

TIMES_UNSEEN = 3
"""The same number if it is unknown whether there was an event between them."""

UNSEEN_FOR = 30.0
"""The shortest time in seconds over which these contradictions must occur."""


class Write(StrEnum):
    """A call that changes the policy of a target.

    A POST and a PUT have the names that they have as `decision.Action`.
    """

    CREATE = "Create"
    """POST: create the target's own policy."""

    UPDATE = "Update"
    """PUT: set another value in an existing policy."""

    RESET = "Reset"
    """DELETE: remove the organization's own policy, so that it inherits."""


class Missed(StrEnum):
    """The kind of event that the projection has missed."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Step:
    """One write.

    Attributes:
        write: The call.
        settings: What a POST or PUT sets; None for a DELETE.
    """

    write: Write
    settings: Settings | None = None

    def is_shown_by(self, shown: ObservedPolicy | None, scope: Scope) -> bool:
        """Return whether a GET shows the result that this write aims at.

        Args:
            shown: The policy that the GET returned; None if there is no policy at all.
            scope: The scope of the policy. It matters because a GET of the instance's
                policy always says `isDefault`.
        """
        if self.settings is None:
            return not is_own(shown, scope)
        return (
            shown is not None
            and is_own(shown, scope)
            and not self.settings.differs_from(shown.settings)
        )

    def fitted_to(self, shown: ObservedPolicy | None, scope: Scope) -> "Step":
        """Return the call with the same result that fits what a GET shows now."""
        if self.write is Write.RESET:
            return self
        write = Write.UPDATE if is_own(shown, scope) else Write.CREATE
        return replace(self, write=write)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A write, its answer, and the result of the GETs after it.

    Attributes:
        step: The write.
        result: ZITADEL's answer to the write.
        shown: The policy that the last GET returned; None if there is no policy at all.
        scope: The scope of the policy.
        repaired: What the projection had missed, if writing has repaired that.
    """

    step: Step
    result: WriteResult
    shown: ObservedPolicy | None
    scope: Scope
    repaired: Missed | None = None

    @property
    def is_as_wanted(self) -> bool:
        """Whether the last GET shows the result that the write aims at."""
        return self.step.is_shown_by(self.shown, self.scope)

    @property
    def is_taken(self) -> bool:
        """Whether ZITADEL has carried out the write."""
        return self.result.answer is WriteOutcome.WRITTEN

    @property
    def is_contradiction(self) -> bool:
        """Whether the answer and the last GET cannot both be right."""
        if self.is_taken:
            return not self.is_as_wanted and not self._is_overtaken
        return self.missed is not None

    @property
    def missed(self) -> Missed | None:
        """What the projection has missed (see the table); None if this is unknown."""
        own = is_own(self.shown, self.scope)
        match self.step.write, self.result.answer:
            case Write.CREATE, WriteOutcome.ALREADY_EXISTS if not own:
                return Missed.ADDED
            case Write.UPDATE, WriteOutcome.NOT_CHANGED if (
                own and not self.is_as_wanted
            ):
                return Missed.CHANGED
            case ((Write.UPDATE | Write.RESET), WriteOutcome.NOT_FOUND) if own:
                return Missed.REMOVED
            case _:
                return None

    @property
    def newer_event(self) -> EventId | None:
        """The event of the write, if the last GET shows an older one of this policy."""
        written, shown = self._sequences
        if written is None or shown is None or shown >= written:
            return None
        return EventId(self.result.resource_owner, written)

    @property
    def _is_overtaken(self) -> bool:
        """Whether the GET shows somebody else's later change of the same policy."""
        written, shown = self._sequences
        return written is not None and shown is not None and shown > written

    @property
    def _sequences(self) -> tuple[int | None, int | None]:
        """The sequence of the write and that of the last GET, if it is comparable."""
        written, shown = number_of(self.result.sequence), self.shown
        if shown is None or shown.resource_owner != self.result.resource_owner:
            return written, None
        return written, number_of(shown.sequence)


@dataclass(frozen=True, slots=True)
class Tally:
    """Contradictions in a row at one target.

    Attributes:
        count: The number of contradictions.
        since: When the first one occurred, in seconds of any one clock.
        last: When the last one occurred, on the same clock.
        event: The target's last policy event in the log; None if there is none, or if
            the operator may not read the log.
        readable: Whether the log was read.
    """

    count: int
    since: float
    last: float
    event: EventId | None
    readable: bool

    @property
    def is_fact(self) -> bool:
        """Whether there is proof that it was not just another writer who was faster."""
        if self.readable:
            return self.count >= TIMES
        return self.count >= TIMES_UNSEEN and self.last - self.since >= UNSEEN_FOR


def once_more(
    tally: Tally | None, now: float, event: EventId | None, *, readable: bool
) -> Tally:
    """Return the tally with one more contradiction.

    Args:
        tally: The tally so far; None if there is none.
        now: The time in seconds, on the clock of the tally.
        event: The target's last policy event in the log.
        readable: Whether the log could be read. An event between two contradictions
            means that somebody else has changed the policy, so counting starts again.
    """
    same = tally is not None and tally.readable is readable and tally.event == event
    if tally is None or not same:
        return Tally(1, now, now, event, readable)
    return replace(tally, count=tally.count + 1, last=now)


def can_be_repaired(missed: Missed, scope: Scope) -> bool:
    """Return whether calls for a repair exist: the instance's policy has no DELETE."""
    return scope is Scope.ORGANIZATION or missed is Missed.CHANGED


def repair(
    missed: Missed, *, shown: Settings | None, wanted: Settings | None
) -> tuple[Step, ...]:
    """Return the shortest series of writes that makes the projection catch up.

    Only the last step changes what is in force, so a repair may stop after any step.

    Args:
        missed: What the projection has missed.
        shown: The settings of the target's own policy, as GETs show them; None if they
            show an inherited policy.
        wanted: The settings that the policy shall have; None if the target shall
            inherit.
    """
    reset = Step(Write.RESET)
    if missed is Missed.REMOVED:
        if wanted is None:
            return Step(Write.CREATE, shown), reset
        return (Step(Write.CREATE, wanted),)
    if wanted is None:
        return (reset,)
    if missed is Missed.ADDED:
        return reset, Step(Write.CREATE, wanted)
    return Step(Write.UPDATE, shown), Step(Write.UPDATE, wanted)


def after_insert(*, shown: Settings, wanted: Settings) -> tuple[Step, ...]:
    """Return the writes to make after a POST when the projection still had an old row.

    ZITADEL gives up on inserting the new row, so the old row keeps its values, which
    are no longer those in the log.

    Args:
        shown: The settings of the row, once GETs are answered again.
        wanted: The settings that the policy shall have.
    """
    if not wanted.differs_from(shown):
        return ()
    return Step(Write.UPDATE, shown), Step(Write.UPDATE, wanted)


def begins_over_a_row(missed: Missed) -> bool:
    """Return whether a repair begins with a POST while the old row still exists.

    After such a POST, ZITADEL answers no GET of a notification policy for some seconds.
    """
    return missed is Missed.REMOVED


def is_behind(shown: ObservedPolicy | None, event: ZitadelEvent) -> bool:
    """Return whether a GET is older than an event of the same target in the log.

    Sequence numbers are compared within one aggregate only.

    Args:
        shown: The policy that the GET returned; None if there is no policy at all.
        event: An event of the target's own policy, or of the instance's policy that it
            inherits.
    """
    if event.kind is EventKind.ORGANIZATION_REMOVED:
        return False
    if shown is None:
        return True
    if shown.resource_owner != event.id.aggregate:
        # The GET says that the organization inherits. If the event is about its own
        # policy, the GET is behind.
        return event.kind is EventKind.ORGANIZATION_POLICY
    sequence = number_of(shown.sequence)
    return sequence is not None and sequence < event.id.sequence


def missed_by(event: ZitadelEvent) -> Missed:
    """Return what the projection has missed if GETs never show this event."""
    if event.kind is EventKind.ORGANIZATION_POLICY_REMOVED:
        return Missed.REMOVED
    return Missed.CHANGED


def is_own(shown: ObservedPolicy | None, scope: Scope) -> bool:
    """Return whether a GET says that the target has a policy of its own."""
    if shown is None:
        return False
    return scope is Scope.INSTANCE or not shown.is_default
