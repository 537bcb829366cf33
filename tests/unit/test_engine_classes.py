"""Operators of several classes in one cluster, and instances that change hands."""

import asyncio
from dataclasses import replace

from support.sets import a_set
from support.several_operators import Town, in_town
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.serving import HAND_OVER, ServedBy

MAIN = ServedBy("main")
CANARY = ServedBy("lab", "canary")


@in_town
async def test_each_operator_serves_its_class(town: Town) -> None:
    """An operator writes to the instances of its class and what names them."""
    town.instance("default")
    town.policies(5, "default")
    await town.operator("main")
    await town.operator("lab", "canary")
    await asyncio.sleep(60)
    assert town.served_by("default") == MAIN
    assert town.is_settled(5)
    assert {write.who for write in town.cluster.written} == {MAIN}
    assert town.zitadel.writers() == [MAIN]


@in_town
async def test_what_names_no_instance_is_the_default_class_s(town: Town) -> None:
    """Only that operator reports it; the instance may come with any class."""
    await town.operator("lab", "canary")
    town.policies(3, "later")
    town.cluster.put_set(a_set(instance="later"))
    await asyncio.sleep(60)
    assert town.cluster.written == []
    main = await town.operator("main")
    await asyncio.sleep(60)
    assert {town.ready(number).reason for number in range(3)} == {"InstanceNotFound"}
    assert {write.who for write in town.cluster.written} == {MAIN}
    town.cluster.written.clear()
    town.instance("later", "canary")
    await town.until(lambda: town.is_settled(3))
    assert {write.who for write in town.cluster.written} == {CANARY}
    assert list(main.parts.inventory.policies) == []
    assert main.parts.inventory.set_book.sets == {}


@in_town
async def test_a_policy_before_its_instance_is_not_told_that_there_is_none(
    town: Town,
) -> None:
    """The watch may be late with the instance, which may be of another class."""
    await town.operator("main")
    await town.operator("lab", "canary")
    await asyncio.sleep(5)
    town.cluster.lag = 3.0
    town.instance("default", "canary")
    town.cluster.lag = 0.01
    town.policies(3, "default")
    await asyncio.sleep(2)
    assert town.cluster.written == []
    await town.until(lambda: town.is_settled(3))
    assert {write.who for write in town.cluster.written} == {CANARY}


@in_town
async def test_a_class_changes_while_calls_hang(town: Town) -> None:
    """The old operator ends its write, stores that, and the new one begins then."""
    town.instance("default")
    await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: town.served_by("default") == MAIN)
    town.zitadel.takes = 8.0
    town.policies(4, "default")
    await asyncio.sleep(1)
    town.edit_instance("default", operator_class="canary")
    await asyncio.sleep(5)
    assert town.served_by("default") == MAIN
    town.zitadel.takes = 0.2
    await town.until(lambda: town.is_settled(4))
    assert town.served_by("default") == CANARY
    assert town.zitadel.writers() == [MAIN, CANARY]
    (first, *others) = town.zitadel.made
    taken = next(write.at for write in town.cluster.written if write.who == CANARY)
    assert taken >= first.ended
    assert all(write.who == CANARY for write in others)
    reported = [w for w in town.cluster.written if w.one.name == "p0" and w.who == MAIN]
    assert reported, "the write under way was not reported"


@in_town
async def test_a_write_without_an_answer_is_waited_for(town: Town) -> None:
    """ZITADEL may go on with it until its time limit, and so long nobody begins."""
    town.instance("default")
    main = await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: town.served_by("default") == MAIN)
    turns = main.parts.write_turns
    began = asyncio.get_running_loop().time()
    lost = asyncio.create_task(_lose_a_write(turns))
    await asyncio.sleep(1)
    lost.cancel()
    town.edit_instance("default", operator_class="canary")
    await town.until(lambda: town.served_by("default") == CANARY)
    assert 10 < asyncio.get_running_loop().time() - began < 13


async def _lose_a_write(turns: object) -> None:
    async with turns.turn("z", lambda: 0) as turn:  # type: ignore[attr-defined]
        turn.sent()
        await asyncio.sleep(1000)


@in_town
async def test_an_operator_that_is_gone_is_waited_for_once(town: Town) -> None:
    """Nobody hands the instance over, so it is taken after half a minute."""
    town.instance("default")
    town.policies(3, "default")
    main = await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: town.is_settled(3))
    town.zitadel.takes = 9.0
    town.policies(2, "default", start=3)
    await asyncio.sleep(0.5)
    await main.kill()
    town.zitadel.takes = 0.0
    town.edit_instance("default", operator_class="canary")
    took = await town.until(lambda: town.served_by("default") == CANARY)
    assert HAND_OVER <= took < HAND_OVER + 2
    await town.until(lambda: town.is_settled(5))
    assert town.zitadel.writers() == [MAIN, CANARY]


@in_town
async def test_the_next_leader_hands_over_what_the_last_one_served(town: Town) -> None:
    """It has never served the instance itself, but its operator has."""
    town.instance("default")
    main = await town.operator("main")
    await town.operator("lab", "canary")
    await town.until(lambda: town.served_by("default") == MAIN)
    await town.operator("main")
    await main.kill()
    town.edit_instance("default", operator_class="canary")
    took = await town.until(lambda: town.served_by("default") == CANARY)
    assert took < 20


@in_town
async def test_a_class_that_changes_back_costs_nothing(town: Town) -> None:
    """The operator goes on where it was."""
    town.instance("default")
    main = await town.operator("main")
    await town.until(lambda: town.served_by("default") == MAIN)
    town.zitadel.takes = 5.0
    town.policies(3, "default")
    await asyncio.sleep(1)
    town.edit_instance("default", operator_class="canary")
    await asyncio.sleep(1)
    town.edit_instance("default", operator_class="")
    town.zitadel.takes = 0.0
    await town.until(lambda: town.is_settled(3))
    assert town.served_by("default") == MAIN
    assert main.parts.served.has_begun("default")


@in_town
async def test_a_class_without_an_operator_is_served_by_nobody(town: Town) -> None:
    """The policies stay as they are, and nothing is written to them."""
    town.instance("default")
    town.policies(2, "default")
    main = await town.operator("main")
    await town.until(lambda: town.is_settled(2))
    town.edit_instance("default", operator_class="nobodys")
    await town.until(lambda: town.served_by("default") is None)
    await asyncio.sleep(1)
    town.cluster.written.clear()
    town.zitadel.own["o0"] = True
    town.policies(1, "default", start=2)
    await asyncio.sleep(2000)
    assert town.cluster.written == []
    assert town.ready(0).status == "True"
    assert main.parts.inventory.policies == {}
    assert main.parts.queue.next_due() is None
    town.edit_instance("default", operator_class="")
    await town.until(lambda: town.is_settled(3), 700)


@in_town
async def test_a_deletion_waits_for_the_operator_of_the_class(town: Town) -> None:
    """It undoes the setting once, whoever serves the instance then."""
    town.instance("default")
    town.policies(1, "default")
    await town.operator("main")
    await town.until(lambda: town.is_settled(1))
    town.edit_instance("default", operator_class="canary")
    await town.until(lambda: town.served_by("default") is None)
    known = town.cluster.policies[ObjectKey("own", "p0")]
    town.cluster.put(replace(known, deleting=True))
    await asyncio.sleep(60)
    assert town.zitadel.own == {"o0": False}
    await town.operator("lab", "canary")
    await town.until(lambda: not town.cluster.policies)
    assert town.zitadel.own == {}
    assert town.zitadel.writers() == [MAIN, CANARY]


@in_town
async def test_a_deleted_instance_leaves_its_policies_to_the_default_class(
    town: Town,
) -> None:
    """They name no instance that exists; the finalizer has waited for undoing."""
    town.instance("default", "canary")
    town.policies(2, "default")
    await town.operator("lab", "canary")
    await town.operator("main")
    await town.until(lambda: town.is_settled(2))
    for key in list(town.cluster.policies):
        town.cluster.put(replace(town.cluster.policies[key], deleting=True))
    known = town.cluster.instances["default"]
    town.cluster.put_instance(replace(known, deleting=True))
    await town.until(lambda: not town.cluster.instances)
    assert town.zitadel.own == {}
    town.policies(1, "default", start=2)
    await asyncio.sleep(30)
    assert town.ready(2).reason == "InstanceNotFound"


@in_town
async def test_an_upgrade_writes_who_serves_and_nothing_else(town: Town) -> None:
    """The status of the version before has no servedBy; no call waits for it."""
    town.instance("default")
    town.policies(20, "default")
    first = await town.operator("main")
    await town.until(lambda: town.is_settled(20))
    await asyncio.sleep(100)
    await first.stop()
    known = town.cluster.instances["default"]
    status = replace(known.status, served_by=None)
    town.cluster.put_instance(replace(known, status=status))
    town.cluster.written.clear()
    town.zitadel.made.clear()
    await town.operator("main")
    await asyncio.sleep(300)
    assert [write.one.kind.name for write in town.cluster.written] == [
        "ZitadelInstance"
    ]
    assert town.zitadel.made == []
    assert town.served_by("default") == MAIN


@in_town
async def test_an_older_crd_stores_nothing_and_is_served(town: Town) -> None:
    """It drops class and servedBy; a restart tries once more, nothing repeats."""
    town.cluster.drops = True
    town.instance("default", "canary")
    town.policies(3, "default")
    await town.operator("lab", "canary")
    main = await town.operator("main")
    await town.until(lambda: town.is_settled(3))
    assert town.served_by("default") is None
    await asyncio.sleep(100)
    town.cluster.written.clear()
    await asyncio.sleep(2000)
    assert town.cluster.written == []
    await main.stop()
    await town.operator("main")
    await asyncio.sleep(200)
    assert len(town.cluster.written) <= 1
    assert town.zitadel.writers() == [MAIN]
