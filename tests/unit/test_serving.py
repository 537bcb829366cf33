"""Whose an instance is: the decision alone, as tables."""

from dataclasses import replace
from typing import NamedTuple

import pytest

from support.engines import INSTANCE
from zitadel_notification_operator.core.class_conflicts import (
    elder_of_another_operator,
    unsettled_of_other_operators,
)
from zitadel_notification_operator.core.conditions import STALLED, Condition
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.lease import name_of_lease
from zitadel_notification_operator.core.names import is_class
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.serving import (
    HAND_OVER,
    Assignment,
    ServedBy,
    Service,
    next_server,
    service_of,
)

HERE = ServedBy("here")
THERE = ServedBy("there")
CANARY = ServedBy("here", "canary")
HERE_TO_THERE = ServedBy("here", hand_over_to="there")
THERE_TO_HERE = ServedBy("there", hand_over_to="here")
THERE_TO_THIRD = ServedBy("there", hand_over_to="third")


class Row(NamedTuple):
    """What an instance says, and what the operator `HERE` does about it.

    Attributes:
        why: The sentence that the row stands for.
        facts: What the instance says.
        at_first: What the operator does when it has just seen that.
        later: What it does after the time for a hand-over.
        next_one: What it stores when it hands the instance over.
    """

    why: str
    facts: Assignment
    at_first: Service
    later: Service
    next_one: ServedBy | None = None


SERVE, TAKE, WAIT, ASK = Service.SERVE, Service.TAKE, Service.WAIT, Service.ASK
LEAVE, REFUSED, ELSEWHERE = Service.HAND_OVER, Service.REFUSED, Service.ELSEWHERE

ROWS = [
    Row("it serves what it has stored", Assignment("", HERE), SERVE, SERVE),
    Row("nobody serves it", Assignment(""), TAKE, TAKE),
    Row("it is of another class", Assignment("canary"), ELSEWHERE, ELSEWHERE),
    Row(
        "another class serves its own",
        Assignment("canary", CANARY),
        *(ELSEWHERE, ELSEWHERE),
    ),
    Row("its class has changed", Assignment("canary", HERE), LEAVE, LEAVE),
    Row("it became ours", Assignment("", CANARY), WAIT, TAKE),
    Row("it became ours, from there", Assignment("", ServedBy("x", "y")), WAIT, TAKE),
    Row("it changes among others", Assignment("b", CANARY), ELSEWHERE, ELSEWHERE),
    Row("another installation has it", Assignment("", THERE), REFUSED, REFUSED),
    Row(
        "a third installation shall take it",
        Assignment("", THERE, "third"),
        *(REFUSED, REFUSED),
    ),
    Row("we shall take it", Assignment("", THERE, "here"), ASK, ASK),
    Row("we have asked", Assignment("", THERE_TO_HERE, "here"), WAIT, TAKE),
    Row("we need not ask more", Assignment("", THERE_TO_HERE), REFUSED, REFUSED),
    Row("another one asked", Assignment("", THERE_TO_THIRD, "here"), ASK, ASK),
    Row("it was asked for", Assignment("", HERE_TO_THERE), LEAVE, LEAVE, THERE),
    Row(
        "nobody has asked for it",
        Assignment("", HERE, "there"),
        *(SERVE, SERVE),
    ),
    Row("we have taken it", Assignment("", HERE, "here"), SERVE, SERVE),
    Row(
        "an old annotation stops nobody",
        Assignment("", None, "there"),
        *(TAKE, TAKE),
    ),
    Row(
        "its class counts more than who asks",
        Assignment("canary", HERE_TO_THERE, "there"),
        *(LEAVE, LEAVE),
    ),
    Row("its class is unreadable, and ours", Assignment(None, HERE), SERVE, SERVE),
    Row(
        "its class is unreadable",
        Assignment(None, None, "here"),
        *(ELSEWHERE, ELSEWHERE),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.why.replace(" ", "-"))
def test_what_an_operator_does_about_an_instance(row: Row) -> None:
    """It depends on what the instance says, and on how long it has said so."""
    assert service_of(HERE, row.facts, 0.0) is row.at_first
    assert service_of(HERE, row.facts, HAND_OVER - 0.001) is row.at_first
    assert service_of(HERE, row.facts, HAND_OVER) is row.later
    if row.at_first is LEAVE:
        assert next_server(HERE, row.facts) == row.next_one


CLASSES = (None, "", "canary")
NAMESPACES = ("here", "there")
OPERATORS = [ServedBy(n, c) for n in NAMESPACES for c in ("", "canary")]
SERVERS = [
    None,
    *OPERATORS,
    *(replace(one, hand_over_to=n) for one in OPERATORS for n in NAMESPACES),
]


@pytest.mark.parametrize("operator_class", CLASSES)
@pytest.mark.parametrize("served_by", SERVERS, ids=str)
@pytest.mark.parametrize("take_over", [None, *NAMESPACES])
def test_at_most_one_operator_serves(
    operator_class: str | None, served_by: ServedBy | None, take_over: str | None
) -> None:
    """Whatever an instance says, and however long: two operators never serve it."""
    facts = Assignment(operator_class, served_by, take_over)
    by = served_by.operator if served_by is not None else None
    for waited in (0.0, HAND_OVER):
        does = {own: service_of(own, facts, waited) for own in OPERATORS}
        serving = [own for own, what in does.items() if what in {SERVE, LEAVE}]
        assert serving == [own for own in OPERATORS if own == by]
        if served_by is not None and waited == 0.0:
            assert TAKE not in does.values()
        if operator_class is not None:
            busy = {SERVE, TAKE, ASK, WAIT}
            may = [own for own, what in does.items() if what in busy]
            assert all(own.operator_class == operator_class for own in may)


def instance(
    name: str,
    second: int,
    operator_class: str = "",
    zitadel_id: str | None = "z",
    *,
    has_given_up: bool = False,
    is_served: bool = True,
) -> InstanceObject:
    """Return an instance, which reaches a ZITADEL."""
    stalled = Condition(STALLED, "True", Reason.CLASS_CONFLICT, "", 1, "")
    return InstanceObject(
        key=ObjectKey("", name),
        uid=name,
        generation=1,
        created=f"2026-01-01T00:00:{second:02}Z",
        url="https://z",
        credential=INSTANCE.credential,
        operator_class=operator_class,
        status=InstanceStatus(
            conditions=(stalled,) if has_given_up else (),
            instance_id=zitadel_id,
            served_by=ServedBy("here", operator_class) if is_served else None,
        ),
    )


def test_the_oldest_instance_of_a_zitadel_decides_its_class() -> None:
    """The younger ones of other classes conflict, those of its class do not."""
    first, other = instance("first", 1), instance("other", 2, "canary")
    third, elsewhere = instance("third", 3), instance("x", 0, "canary", "y")
    everybody = [third, other, elsewhere, first]
    assert elder_of_another_operator(first, "z", everybody, HERE) is None
    assert elder_of_another_operator(other, "z", everybody, HERE) == first
    assert elder_of_another_operator(third, "z", everybody, HERE) is None
    assert elder_of_another_operator(elsewhere, "y", everybody, HERE) is None


def test_an_older_instance_that_another_operator_serves_decides_as_well() -> None:
    """Two installations of one class must not share a ZITADEL, nor must a hand-over."""
    elder, mine = instance("elder", 1), instance("mine", 2)
    for by in (THERE, CANARY):
        served = replace(elder, status=replace(elder.status, served_by=by))
        found = elder_of_another_operator(mine, "z", [served, mine], HERE)
        assert found == served
        assert unsettled_of_other_operators(mine, "z", [served], HERE) == [served]
        assert elder_of_another_operator(mine, "z", [served, mine], None) is None
    for nobody_else in (HERE, None):
        served = replace(elder, status=replace(elder.status, served_by=nobody_else))
        assert elder_of_another_operator(mine, "z", [served, mine], HERE) is None
        assert unsettled_of_other_operators(mine, "z", [served], HERE) == []


def test_of_two_instances_of_one_second_the_name_decides() -> None:
    """Ages have whole seconds, and somebody has to be first."""
    a, b = instance("a", 1), instance("b", 1, "canary")
    assert elder_of_another_operator(a, "z", [a, b], HERE) is None
    assert elder_of_another_operator(b, "z", [a, b], HERE) == a


def test_an_id_counts_once_it_is_in_a_status() -> None:
    """An older instance that has not been reached yet is in nobody's way."""
    older = instance("older", 1, "canary", None)
    younger = instance("younger", 2)
    assert elder_of_another_operator(younger, "z", [older, younger], HERE) is None
    assert elder_of_another_operator(older, "z", [older, younger], HERE) is None


@pytest.mark.parametrize("has_given_up", [True, False])
@pytest.mark.parametrize("is_served", [True, False])
def test_who_has_given_a_zitadel_up_says_so(
    has_given_up: bool, is_served: bool
) -> None:
    """An instance in conflict, or that nobody serves, is not waited for."""
    mine = instance("mine", 1)
    other = instance(
        "other", 2, "canary", has_given_up=has_given_up, is_served=is_served
    )
    unsettled = unsettled_of_other_operators(mine, "z", [mine, other], HERE)
    assert unsettled == ([other] if is_served and not has_given_up else [])


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        *(("", True), ("a", True), ("canary-2", True), ("a" * 30, True)),
        *(("a" * 31, False), ("A", False), ("a.b", False), ("-a", False)),
        *(("a-", False), ("a b", False), ("ä", False)),
    ],
)
def test_a_class_is_a_short_label(text: str, is_good: bool) -> None:
    """So the Lease's name, which ends with it, is a valid one, too."""
    assert is_class(text) is is_good


def test_each_class_has_its_own_lease() -> None:
    """The operator without a class has the Lease that it always had."""
    assert name_of_lease("") == "zitadel-notification-operator"
    assert name_of_lease("canary") == "zitadel-notification-operator-canary"
