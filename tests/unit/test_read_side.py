"""The table of contradictions and their repairs, row by row."""

import itertools

import pytest

from support.settings import mails
from zitadel_notification_operator.core.events import EventId, EventKind, ZitadelEvent
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
    Scope,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.read_side import (
    Attempt,
    Missed,
    Step,
    Tally,
    Write,
    after_insert,
    can_be_repaired,
    is_behind,
    once_more,
    repair,
)

ORG = Scope.ORGANIZATION
INHERITED = ObservedPolicy(True, mails(True), "1", resource_owner="z")
OWN = {
    value: ObservedPolicy(False, mails(value), "5", resource_owner="o")
    for value in (True, False)
}
E1, E2 = EventId("o", 1), EventId("o", 2)


def attempt(
    write: Write,
    answer: WriteOutcome,
    shown: ObservedPolicy | None,
    scope: Scope = ORG,
    sequence: str = "",
) -> Attempt:
    """Return an attempt to set `passwordChange` to false, or to reset it."""
    value = None if write is Write.RESET else mails(False)
    owner = "o" if scope is ORG else "z"
    result = WriteResult(answer, sequence, resource_owner=owner)
    return Attempt(Step(write, value), result, shown, scope)


TABLE = {
    (Write.CREATE, WriteOutcome.ALREADY_EXISTS, "inherited"): Missed.ADDED,
    (Write.UPDATE, WriteOutcome.NOT_CHANGED, "other"): Missed.CHANGED,
    (Write.UPDATE, WriteOutcome.NOT_FOUND, "other"): Missed.REMOVED,
    (Write.UPDATE, WriteOutcome.NOT_FOUND, "same"): Missed.REMOVED,
    (Write.RESET, WriteOutcome.NOT_FOUND, "other"): Missed.REMOVED,
    (Write.RESET, WriteOutcome.NOT_FOUND, "same"): Missed.REMOVED,
}
SHOWN = {"inherited": INHERITED, "other": OWN[True], "same": OWN[False], "none": None}


@pytest.mark.parametrize(
    ("write", "answer", "shown"), list(itertools.product(Write, WriteOutcome, SHOWN))
)
def test_what_an_answer_and_a_get_reveal(
    write: Write, answer: WriteOutcome, shown: str
) -> None:
    """All combinations are tried; those outside the table reveal no loss."""
    found = attempt(write, answer, SHOWN[shown], sequence="7")
    expected = TABLE.get((write, answer, shown))
    if (write, answer, shown) == (Write.CREATE, WriteOutcome.ALREADY_EXISTS, "none"):
        expected = Missed.ADDED
    assert found.missed is expected
    if answer is WriteOutcome.WRITTEN:
        wanted = {"same"} if write is not Write.RESET else {"inherited", "none"}
        assert found.is_contradiction is (shown not in wanted)
    else:
        assert found.is_contradiction is (expected is not None)


def test_a_later_change_of_somebody_else_is_no_contradiction() -> None:
    """The GET's sequence is above that of the write: a later change."""
    later = attempt(Write.UPDATE, WriteOutcome.WRITTEN, OWN[True], sequence="4")
    assert not later.is_contradiction
    assert not later.is_as_wanted
    older = attempt(Write.UPDATE, WriteOutcome.WRITTEN, OWN[True], sequence="6")
    assert older.is_contradiction


def test_the_instance_scope_is_its_own_owner() -> None:
    """Its GET always says `isDefault`; only a change can be repaired there."""
    shown = ObservedPolicy(True, mails(True), "5", resource_owner="z")
    found = attempt(Write.UPDATE, WriteOutcome.NOT_CHANGED, shown, Scope.INSTANCE)
    assert found.missed is Missed.CHANGED
    repairable = [m for m in Missed if can_be_repaired(m, Scope.INSTANCE)]
    assert repairable == [Missed.CHANGED]
    assert all(can_be_repaired(m, ORG) for m in Missed)


def test_twice_in_a_row_without_an_event_between_is_a_fact() -> None:
    """After an event, or if the log becomes unreadable, the count begins anew."""
    once = once_more(None, 0, E1, readable=True)
    assert not once.is_fact
    assert once_more(once, 0.5, E1, readable=True).is_fact
    assert not once_more(once, 0.5, E2, readable=True).is_fact
    assert not once_more(once, 0.5, None, readable=False).is_fact


@pytest.mark.parametrize(
    ("times", "fact"),
    [
        ((0, 30), False),
        ((0, 10, 29), False),
        ((0, 10, 30), True),
        ((0, 1, 2, 3), False),
        ((0, 1, 2, 31), True),
    ],
)
def test_who_cannot_read_the_log_counts_longer(
    times: tuple[float, ...], fact: bool
) -> None:
    """It takes three times over at least thirty seconds."""
    tally: Tally | None = None
    for at in times:
        tally = once_more(tally, at, None, readable=False)
    assert tally is not None
    assert tally.is_fact is fact


def test_the_repairs_are_those_of_the_design() -> None:
    """In each row x is wanted and GETs show y; None means inherited."""
    for x, y in ((mails(True), mails(False)), (mails(False), mails(True))):
        create, update = Step(Write.CREATE, x), Step(Write.UPDATE, x)
        reset = Step(Write.RESET)
        assert repair(Missed.ADDED, shown=None, wanted=x) == (reset, create)
        assert repair(Missed.ADDED, shown=None, wanted=None) == (reset,)
        changed = repair(Missed.CHANGED, shown=y, wanted=x)
        assert changed == (Step(Write.UPDATE, y), update)
        assert repair(Missed.CHANGED, shown=y, wanted=None) == (reset,)
        assert repair(Missed.REMOVED, shown=y, wanted=x) == (create,)
        removed = repair(Missed.REMOVED, shown=y, wanted=None)
        assert removed == (Step(Write.CREATE, y), reset)
        rest = after_insert(shown=y, wanted=x)
        assert rest == (Step(Write.UPDATE, y), update)
        assert after_insert(shown=x, wanted=x) == ()


def event(kind: EventKind, sequence: int, aggregate: str = "o") -> ZitadelEvent:
    """Return an event of the log."""
    return ZitadelEvent(EventId(aggregate, sequence), kind, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("shown", "newest", "behind"),
    [
        (INHERITED, event(EventKind.ORGANIZATION_POLICY, 9), True),
        (INHERITED, event(EventKind.ORGANIZATION_POLICY_REMOVED, 9), False),
        (OWN[True], event(EventKind.ORGANIZATION_POLICY, 9), True),
        (OWN[True], event(EventKind.ORGANIZATION_POLICY, 5), False),
        (OWN[True], event(EventKind.ORGANIZATION_POLICY, 4), False),
        (OWN[True], event(EventKind.ORGANIZATION_POLICY_REMOVED, 9), True),
        (OWN[True], event(EventKind.ORGANIZATION_POLICY_REMOVED, 4), False),
        (OWN[True], event(EventKind.ORGANIZATION_REMOVED, 9), False),
        (INHERITED, event(EventKind.INSTANCE_POLICY, 2, "z"), True),
        (INHERITED, event(EventKind.INSTANCE_POLICY, 1, "z"), False),
        (OWN[True], event(EventKind.INSTANCE_POLICY, 9, "z"), False),
        (None, event(EventKind.INSTANCE_POLICY, 2, "z"), True),
    ],
)
def test_when_a_get_is_older_than_the_log(
    shown: ObservedPolicy | None, newest: ZitadelEvent, behind: bool
) -> None:
    """Sequences are compared within one aggregate only."""
    assert is_behind(shown, newest) is behind
