"""Instances of several classes that reach one ZITADEL: one class writes to it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from support.several_operators import Town, in_town
from zitadel_notification_operator.core.conditions import (
    READY,
    STALLED,
    Condition,
    find,
    is_true,
)
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.serving import HAND_OVER, ServedBy

MAIN = ServedBy("main")
CANARY = ServedBy("lab", "canary")


def conflicts(town: Town, name: str) -> bool:
    """Return whether an instance is stalled because of the class of another one."""
    conditions = town.cluster.instances[name].status.conditions
    return is_true(conditions, STALLED, Reason.CLASS_CONFLICT)


def is_ready(town: Town, name: str) -> bool:
    """Return whether an instance is Ready."""
    conditions = town.cluster.instances[name].status.conditions
    return is_true(conditions, READY, Reason.SUCCEEDED)


def ready_of(town: Town, name: str) -> Condition:
    """Return the Ready condition that an instance must have."""
    found = find(town.cluster.instances[name].status.conditions, READY)
    assert found is not None
    return found


@in_town
async def test_the_younger_instance_of_another_class_is_stalled(town: Town) -> None:
    """It writes nothing, and says which one is older; its policies say less."""
    town.instance("first", "", 1)
    town.policies(3, "first")
    await town.operator("main")
    await town.until(lambda: town.is_settled(3))
    await town.operator("lab", "canary")
    town.instance("second", "canary", 2)
    town.policies(3, "second", start=3)
    await town.until(lambda: conflicts(town, "second"))
    await asyncio.sleep(900)
    message = ready_of(town, "second").message
    assert "'first'" in message
    assert "''" in message
    assert is_ready(town, "first")
    assert town.zitadel.writers() == [MAIN]
    assert "o3" not in town.zitadel.own
    ready = town.ready(3)
    assert ready.reason == "InstanceNotReady"
    assert "ClassConflict" in ready.message
    assert "first" not in ready.message


@in_town
async def test_a_conflict_ends_when_the_older_one_goes(town: Town) -> None:
    """The younger one begins once nobody else can write to the ZITADEL."""
    town.instance("first", "", 1)
    town.instance("second", "canary", 2)
    town.policies(3, "second")
    await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: conflicts(town, "second"))
    known = town.cluster.instances["first"]
    town.cluster.put_instance(replace(known, deleting=True))
    await town.until(lambda: town.is_settled(3))
    assert is_ready(town, "second")
    assert town.zitadel.writers() == [CANARY]


@in_town
async def test_a_conflict_ends_with_the_same_class(town: Town) -> None:
    """One operator then serves both, and orders their writes."""
    town.instance("first", "", 1)
    town.instance("second", "canary", 2)
    town.policies(3, "second")
    await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: conflicts(town, "second"))
    town.edit_instance("second", operator_class="")
    await town.until(lambda: town.is_settled(3))
    assert town.served_by("second") == MAIN
    assert town.zitadel.writers() == [MAIN]


@in_town
async def test_a_deletion_in_a_conflict_waits_or_retains(town: Town) -> None:
    """Undoing would write; deletionPolicy Retain ends the deletion at once."""
    town.instance("second", "canary", 2)
    town.policies(1, "second")
    await town.operator("lab", "canary")
    await town.until(lambda: town.is_settled(1))
    await town.operator("main")
    town.instance("first", "", 1)
    await town.until(lambda: conflicts(town, "second"))
    key = ObjectKey("own", "p0")
    town.cluster.put(replace(town.cluster.policies[key], deleting=True))
    await asyncio.sleep(100)
    assert town.zitadel.own == {"o0": False}
    assert "spec.deletionPolicy" in town.ready(0).message
    assert town.zitadel.writers() == [CANARY]


@in_town
async def test_an_older_instance_waits_until_the_younger_has_given_up(
    town: Town,
) -> None:
    """The other operator's write is over before the first one of this one."""
    town.instance("second", "canary", 2)
    await town.operator("lab", "canary")
    await town.operator("main")
    await town.until(lambda: is_ready(town, "second"))
    town.zitadel.takes = 8.0
    town.policies(3, "second")
    await asyncio.sleep(1)
    town.policies(3, "first", start=3)
    town.instance("first", "", 1)
    await asyncio.sleep(3)
    town.zitadel.takes = 0.1
    await town.until(lambda: town.zitadel.own.get("o5") is False)
    assert conflicts(town, "second")
    assert town.zitadel.writers() == [CANARY, MAIN]
    assert len([w for w in town.zitadel.made if w.who == CANARY]) == 1


@in_town
async def test_an_operator_that_is_gone_does_not_hold_up_the_older_instance(
    town: Town,
) -> None:
    """Nobody gives the ZITADEL up, so the time for a hand-over has to do."""
    town.instance("second", "canary", 2)
    other = await town.operator("lab", "canary")
    await town.until(lambda: is_ready(town, "second"))
    await other.kill()
    await town.operator("main")
    town.instance("first", "", 1)
    town.policies(2, "first")
    took = await town.until(lambda: town.is_settled(2))
    assert HAND_OVER <= took < HAND_OVER + 5
    await town.operator("lab", "canary")
    await town.until(lambda: conflicts(town, "second"))


def _orders() -> Iterator[tuple[float, str, str]]:
    return product((0.0, 0.01, 0.3, 2.0), ("first", "second"), ("main", "lab"))


@pytest.mark.parametrize(("lag", "older", "sooner"), list(_orders()))
def test_of_two_that_are_new_at_once_the_older_wins(
    lag: float, older: str, sooner: str
) -> None:
    """Whatever the watches are late with, both never write at the same time."""

    @in_town
    async def story(town: Town) -> None:
        town.cluster.lag, town.zitadel.takes = lag, 0.5
        others = {"main": ("main", ""), "lab": ("lab", "canary")}
        for name in sorted(others, key=lambda name: name != sooner):
            await town.operator(*others[name])
        await asyncio.sleep(20)
        town.policies(3, "first")
        town.policies(3, "second", start=3)
        town.instance("first", "", 1 if older == "first" else 2)
        town.instance("second", "canary", 1 if older == "second" else 2)
        younger = "second" if older == "first" else "first"
        await town.until(lambda: conflicts(town, younger))
        await asyncio.sleep(100)
        assert is_ready(town, older)
        assert not is_ready(town, younger)
        last = MAIN if older == "first" else CANARY
        assert town.zitadel.writers()[-1] == last
        target = "o2" if older == "first" else "o5"
        assert town.zitadel.own[target] is False

    story()


@in_town
async def test_of_two_of_one_class_the_older_may_leave_it(town: Town) -> None:
    """The one that stays is in conflict then; its operator gives the ZITADEL up."""
    town.instance("first", "", 1)
    town.instance("second", "", 2)
    town.policies(3, "first")
    town.policies(3, "second", start=3)
    await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: town.is_settled(6))
    town.zitadel.takes = 5.0
    town.policies(4, "second", start=6)
    await asyncio.sleep(1)
    town.edit_instance("first", operator_class="canary")
    town.zitadel.takes = 0.1
    await town.until(lambda: conflicts(town, "second"))
    town.policies(1, "first", start=10)
    await town.until(lambda: town.zitadel.own.get("o10") is False)
    assert town.served_by("first") == CANARY
    assert town.zitadel.writers() == [MAIN, CANARY]


@in_town
async def test_of_two_of_one_class_the_younger_may_leave_it(town: Town) -> None:
    """It is in conflict with the one that stays, which notices nothing."""
    town.instance("first", "", 1)
    town.instance("second", "", 2)
    town.policies(3, "first")
    town.policies(3, "second", start=3)
    await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: town.is_settled(6))
    town.edit_instance("second", operator_class="canary")
    await town.until(lambda: conflicts(town, "second"))
    assert town.served_by("second") == CANARY
    town.policies(1, "first", start=6)
    await town.until(lambda: town.zitadel.own.get("o6") is False)
    assert is_ready(town, "first")
    assert town.zitadel.writers() == [MAIN]


@in_town
async def test_a_policy_of_the_first_takes_over_what_the_second_held(
    town: Town,
) -> None:
    """The owner that is in conflict resets nothing, and the next one goes on."""
    town.instance("second", "canary", 2)
    town.policies(1, "second")
    await town.operator("lab", "canary")
    await town.until(lambda: town.is_settled(1))
    await town.operator("main")
    town.instance("first", "", 1)
    rival = town.cluster.policies[ObjectKey("own", "p0")]
    town.cluster.put(
        replace(
            rival,
            key=ObjectKey("own", "rival"),
            uid="rival",
            created="2027-01-01T00:00:00Z",
            instance="first",
            finalizers=(),
            original=None,
            original_text=None,
            status=type(rival.status)(),
        )
    )

    def is_owned() -> bool:
        status = town.cluster.policies[ObjectKey("own", "rival")].status
        return is_true(status.conditions, READY, Reason.SUCCEEDED)

    await town.until(is_owned)
    assert town.zitadel.own == {"o0": False}
    assert len(town.zitadel.made) == 1


@in_town
async def test_two_installations_of_one_class_do_not_share_a_zitadel(
    town: Town,
) -> None:
    """An instance that moves alone waits for the older one, which moves later."""
    town.instance("first", "", 1)
    town.instance("second", "", 2)
    town.policies(2, "first")
    town.policies(2, "second", start=2)
    await town.operator("main")
    await town.until(lambda: town.is_settled(4))
    await town.operator("twin")
    town.annotate("second", "twin")
    await town.until(lambda: conflicts(town, "second"))
    assert town.served_by("second") == ServedBy("twin")
    town.policies(1, "second", start=4)
    await asyncio.sleep(100)
    assert town.zitadel.writers() == [MAIN]
    town.annotate("first", "twin")
    await town.until(lambda: town.is_settled(5))
    assert town.zitadel.writers() == [MAIN, ServedBy("twin")]


@in_town
async def test_an_instance_that_comes_back_waits_for_who_had_its_zitadel(
    town: Town,
) -> None:
    """It has been with another operator, and the younger one began there meanwhile."""
    town.instance("first", "", 1)
    town.instance("second", "canary", 2)
    town.policies(2, "first")
    await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: town.is_settled(2) and conflicts(town, "second"))
    town.edit_instance("first", operator_class="canary")
    town.policies(2, "second", start=2)
    await town.until(lambda: town.is_settled(4))
    town.zitadel.takes = 5.0
    town.policies(3, "second", start=4)
    await asyncio.sleep(1)
    town.edit_instance("first", operator_class="")
    town.zitadel.takes = 0.1
    town.policies(1, "first", start=7)
    await town.until(lambda: town.zitadel.own.get("o7") is False)
    assert conflicts(town, "second")
    assert town.zitadel.writers() == [MAIN, CANARY, MAIN]
