"""Claims of all policies are renewed only if what they depend on has changed."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import TypeVar

import pytest

from support.engines import INSTANCE, policy
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import STALLED, Condition
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import NotUnderstood
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.claims.inventory import Inventory

T = TypeVar("T")

COUNT = 500
"""The number of policies."""

SERVING = replace(INSTANCE, status=InstanceStatus(instance_id="z"))


def filled() -> Inventory:
    """Return an inventory of an instance and its policies, as after a restart."""
    inventory = Inventory("own")
    inventory.put(SERVING)
    for number in range(COUNT):
        one = policy(str(number), str(number))
        inventory.put(replace(one, key=ObjectKey("own", str(number)), uid=str(number)))
    assert len(inventory.users_of("default")) == COUNT
    return inventory


def calls_of(act: Callable[[], object]) -> int:
    """Return how many calls of Python functions an act makes."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def in_loop(act: Callable[[], T]) -> T:
    """Act within an event loop: a claim that ends is kept for a while, by its clock."""

    async def story() -> T:
        return act()

    return run(story())


def with_condition(reason: Reason) -> InstanceObject:
    """Return the instance with a condition Stalled."""
    stalled = Condition(STALLED, "True", reason, "", 1, "2026-01-01T00:00:00Z")
    return replace(SERVING, status=replace(SERVING.status, conditions=(stalled,)))


def test_a_probe_that_confirms_the_known_id_looks_at_no_policy() -> None:
    inventory = filled()
    found = []
    calls = calls_of(lambda: found.append(inventory.identified("default", "z")))
    assert found == [set()]
    assert calls < COUNT


@pytest.mark.parametrize(
    "news",
    [
        replace(SERVING, status=InstanceStatus(instance_id="z", version="v4")),
        replace(SERVING, generation=2, requested_at="now"),
        with_condition(Reason.CREDENTIALS_REJECTED),
    ],
    ids=["status", "annotation", "condition"],
)
def test_other_news_of_an_instance_look_at_no_policy(news: InstanceObject) -> None:
    inventory = filled()
    found = []
    calls = calls_of(lambda: found.append(inventory.put(news)))
    assert found == [set()]
    assert calls < COUNT


@pytest.mark.parametrize(
    "news",
    [
        replace(SERVING, status=InstanceStatus(instance_id="other")),
        with_condition(Reason.INSTANCE_CHANGED),
    ],
    ids=["id", "lost"],
)
def test_another_zitadel_in_the_status_renews_all_claims(news: InstanceObject) -> None:
    inventory = filled()
    changed = in_loop(lambda: inventory.put(news))
    assert changed == set(inventory.users_of("default"))


def test_another_id_found_renews_all_claims() -> None:
    inventory = filled()
    changed = in_loop(lambda: inventory.identified("default", "other"))
    assert changed == inventory.users_of("default")


@pytest.mark.parametrize(
    "after",
    [
        replace(SERVING, grants=(Grant(("team",)),)),
        replace(SERVING, not_understood=NotUnderstood("new", frozenset({"grants"}))),
    ],
    ids=["grants", "unreadable"],
)
def test_other_grants_renew_all_claims(after: InstanceObject) -> None:
    """A tenant's policy claims its organization only while its namespace is granted."""
    inventory = Inventory("own")
    inventory.put(replace(SERVING, grants=(Grant(("tenant",)),)))
    one = policy("p", "1")
    inventory.put(replace(one, key=ObjectKey("tenant", "p")))
    changed = in_loop(lambda: inventory.put(after))
    assert changed == set(inventory.users_of("default"))
