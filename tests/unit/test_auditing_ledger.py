"""Events become changes, and what the log does not say stays unknown."""

import pytest

from support.ledgers import INSTANCE, brief, event, play
from support.settings import mails
from zitadel_notification_operator.auditing.ledger import (
    Author,
    AuthorKind,
    Ledger,
    Source,
)
from zitadel_notification_operator.auditing.selection import concerns, named_so
from zitadel_notification_operator.auditing.standing import standing_of
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.policy import ObservedPolicy, Organization
from zitadel_notification_operator.core.policy_events import (
    PolicyEvent,
    PolicyEventKind,
    in_sequence,
)

ADDED, CHANGED = PolicyEventKind.ADDED, PolicyEventKind.CHANGED
REMOVED, GONE = PolicyEventKind.REMOVED, PolicyEventKind.ORGANIZATION_REMOVED
BORN, RENAMED = PolicyEventKind.ORGANIZATION_ADDED, PolicyEventKind.ORGANIZATION_RENAMED
OWN, INHERITED = Source.OWN, Source.INHERITED


@pytest.fixture
def ledger() -> Ledger:
    """A ledger for which the organization `a` exists; `me` reads the log."""
    return Ledger({"a": "ACME"}, "me")


def test_from_and_to(ledger: Ledger) -> None:
    """What is inherited is the value that the instance had at that time."""
    changes = play(
        ledger,
        event(ADDED, INSTANCE, 1, value=True),
        event(ADDED, "a", 2, value=False),
        event(CHANGED, "a", 3, value=True),
        event(CHANGED, INSTANCE, 4, value=False),
        event(REMOVED, "a", 5),
    )
    assert [(brief(one.before), brief(one.after)) for one in changes] == [
        ((Source.NOWHERE, None), (OWN, True)),
        ((INHERITED, True), (OWN, False)),
        ((OWN, False), (OWN, True)),
        ((OWN, True), (OWN, False)),
        ((OWN, True), (INHERITED, False)),
    ]
    assert [one.name for one in changes] == ["", "ACME", "ACME", "", "ACME"]
    assert [one.organization_id for one in changes] == [None, "a", "a", None, "a"]


def test_a_log_that_was_cut(ledger: Ledger) -> None:
    """The value before is unknown, also where it could be guessed."""
    changes = play(
        ledger,
        event(CHANGED, "a", 1, value=True),
        event(REMOVED, "b", 2),
        event(ADDED, "c", 3, value=True),
        event(CHANGED, INSTANCE, 4, value=False),
    )
    assert [(brief(one.before), brief(one.after)) for one in changes] == [
        ((OWN, None), (OWN, True)),
        ((OWN, None), (INHERITED, None)),
        ((INHERITED, None), (OWN, True)),
        ((OWN, None), (OWN, False)),
    ]


def test_who(ledger: Ledger) -> None:
    changes = play(
        ledger,
        event(ADDED, "a", 1, value=True, by="me"),
        event(CHANGED, "a", 2, value=False, by="eve"),
        event(CHANGED, "a", 3, value=True, by=""),
    )
    assert [one.author for one in changes] == [
        Author(AuthorKind.USER, User("me", "ME"), is_credential=True),
        Author(AuthorKind.USER, User("eve", "EVE")),
        Author(AuthorKind.ZITADEL),
    ]


def test_a_removed_organization_keeps_its_id_and_last_name(ledger: Ledger) -> None:
    """Its removal is a change of its policy, if it had one of its own."""
    events = [
        event(BORN, "b", 1, name="Globex"),
        event(ADDED, "b", 2, value=True),
        event(RENAMED, "b", 3, name="Hooli"),
        event(GONE, "b", 4),
        event(GONE, "c", 5),
    ]
    added, removed = play(ledger, *events)
    assert (added.name, removed.name) == ("Globex", "Hooli")
    assert brief(removed.after) == (Source.REMOVED, None)
    assert removed.organization_id == "b"


def test_an_organization_has_its_present_name(ledger: Ledger) -> None:
    (change,) = play(
        ledger, event(BORN, "a", 1, name="Old"), event(ADDED, "a", 2, value=True)
    )
    assert change.name == "ACME"


def test_changes_of_one_policy_at_the_same_time_are_in_sequence() -> None:
    """A transaction that began earlier may have ended later."""
    late = event(CHANGED, "a", 9, value=True)
    events = [event(ADDED, "b", 1), late, event(CHANGED, "a", 4), event(GONE, "b", 5)]
    ordered = in_sequence(events)
    numbers = [(one.id.aggregate, one.id.sequence) for one in ordered]
    assert numbers == [("b", 1), ("a", 4), ("a", 9), ("b", 5)]


def test_changes_that_concern_an_organization() -> None:
    """Those of the instance count while the organization inherits its policy."""
    events = (
        event(ADDED, INSTANCE, 1, value=True),
        event(BORN, "a", 2, name="ACME"),
        event(CHANGED, INSTANCE, 3, value=False),
        event(ADDED, "a", 4, value=True),
        event(ADDED, "b", 5, value=True),
        event(CHANGED, INSTANCE, 6, value=True),
        event(REMOVED, "a", 7),
        event(CHANGED, INSTANCE, 8, value=False),
        event(GONE, "a", 9),
        event(CHANGED, INSTANCE, 10, value=True),
    )
    for complete, expected in ((True, [3, 4, 7, 8]), (False, [1, 3, 4, 7, 8])):
        told = Ledger({"a": "ACME"}, "me")
        concerned = [
            change.sequence
            for one in events
            if (change := told.apply(one)) is not None
            and concerns(change, frozenset("a"), told, log_is_complete=complete)
        ]
        assert concerned == expected


@pytest.mark.parametrize("wanted", ["a", "ACME", "acme"])
def test_an_organization_is_named_by_its_id_or_name(wanted: str) -> None:
    assert named_so(wanted, {"a": "ACME", "b": "B"}) == {"a"}
    assert named_so("A", {"a": "ACME"}) == frozenset()


ACME = Organization("a", "ACME")


def observed(
    value: bool, sequence: int, *, is_default: bool = False, of: str = "a"
) -> ObservedPolicy:
    """Return what a GET shows."""
    changed = "2025-05-05T00:00:00Z"
    owner = INSTANCE if is_default else of
    return ObservedPolicy(is_default, mails(value), str(sequence), "", changed, owner)


def test_an_own_policy_is_in_force_since_its_last_change(ledger: Ledger) -> None:
    play(ledger, event(ADDED, "a", 2, value=True), event(CHANGED, "a", 3, value=False))
    standing = standing_of(ACME, observed(False, 3), ledger)
    assert (standing.source, standing.is_off) == (OWN, True)
    assert (standing.since, standing.author.user.id) == ("2026-01-01T00:00:03.5Z", "u")
    assert not standing.differs


def test_without_the_event_the_author_is_unknown(ledger: Ledger) -> None:
    """ZITADEL's GET still says when."""
    standing = standing_of(ACME, observed(True, 3), ledger)
    assert standing.since == "2025-05-05T00:00:00Z"
    assert standing.author.kind is AuthorKind.UNKNOWN
    assert not standing.differs


@pytest.mark.parametrize(
    ("later", "since", "by"),
    [
        ([], 5, "boss"),
        ([event(REMOVED, "a", 7, by="eve")], 7, "eve"),
        ([event(BORN, "a", 9, by="ann")], 9, "ann"),
    ],
)
def test_since_when_it_inherits(
    ledger: Ledger, later: list[PolicyEvent], since: int, by: str
) -> None:
    """Since the instance's change, unless it began to inherit after that."""
    play(ledger, event(CHANGED, INSTANCE, 5, value=False, by="boss"), *later)
    standing = standing_of(ACME, observed(False, 5, is_default=True), ledger)
    assert standing.source is INHERITED
    assert standing.since == f"2026-01-01T00:00:0{since}.5Z"
    assert standing.author.user.id == by
    assert not standing.differs


def test_a_log_that_says_otherwise(ledger: Ledger) -> None:
    """The read side has lost an event: what is in force is what a GET says."""
    play(ledger, event(ADDED, "a", 2, value=True), event(CHANGED, "a", 3, value=False))
    lost_change = standing_of(ACME, observed(True, 2), ledger)
    assert (lost_change.differs, lost_change.is_off) == (True, False)
    assert lost_change.author.kind is AuthorKind.UNKNOWN
    play(ledger, event(CHANGED, INSTANCE, 1, value=True, by="boss"))
    lost_addition = standing_of(ACME, observed(True, 1, is_default=True), ledger)
    assert lost_addition.differs
    assert lost_addition.author.user.id == "boss"
    # Somebody was faster: the GET was made after the log was read.
    assert not standing_of(ACME, observed(True, 4), ledger).differs
    play(ledger, event(REMOVED, "a", 5))
    assert standing_of(ACME, observed(False, 3), ledger).differs


def test_no_policy_at_all(ledger: Ledger) -> None:
    standing = standing_of(None, None, ledger)
    assert (standing.source, standing.is_off) == (Source.NOWHERE, True)
