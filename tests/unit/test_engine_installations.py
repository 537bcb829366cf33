"""Two installations of one class, and an installation that moves to a new namespace."""

import asyncio
from dataclasses import replace

import pytest

from support.several_operators import Town, in_town
from zitadel_notification_operator.core.serving import HAND_OVER, ServedBy

OLD = ServedBy("old")
NEW = ServedBy("new")


def told(town: Town) -> int:
    """Return how often an Event said that another installation serves."""
    return town.recorder.notices.count(("default", "ServedElsewhere"))


@in_town
async def test_the_second_installation_touches_nothing_and_says_so(town: Town) -> None:
    """There is one Event and one line of the log, and a metric."""
    town.instance("default")
    town.policies(5, "default")
    first = await town.operator("old")
    await town.until(lambda: town.is_settled(5))
    second = await town.operator("new")
    await asyncio.sleep(2000)
    assert {write.who for write in town.cluster.written} == {OLD}
    assert town.zitadel.writers() == [OLD]
    assert told(town) == 1
    (note,) = [note for note in town.recorder.notes if "take-over" in note]
    assert "take-over: new" in note
    assert "'old'" in note
    assert second.parts.served.refused() == ["default"]
    assert first.parts.served.refused() == []


@pytest.mark.parametrize("lag", [0.0, 0.01, 0.5])
def test_of_two_that_begin_at_once_one_serves(lag: float) -> None:
    """Both find an instance that nobody serves; Kubernetes takes one write only."""

    @in_town
    async def story(town: Town) -> None:
        town.cluster.lag = lag
        town.instance("default")
        town.policies(5, "default")
        both = [asyncio.create_task(town.operator(name)) for name in ("old", "new")]
        await asyncio.gather(*both)
        await town.until(lambda: town.is_settled(5))
        await asyncio.sleep(100)
        assert len(town.zitadel.writers()) == 1
        assert town.zitadel.writers() == [town.served_by("default")]

    story()


@in_town
async def test_the_annotation_moves_an_instance_while_calls_hang(town: Town) -> None:
    """The installation that serves ends its write, and names the next one."""
    town.instance("default")
    await town.operator("old")
    await town.operator("new")
    await town.until(lambda: town.served_by("default") is not None)
    first = town.served_by("default")
    assert first in {OLD, NEW}
    second = NEW if first == OLD else OLD
    town.zitadel.takes = 8.0
    town.policies(4, "default")
    await asyncio.sleep(1)
    town.annotate("default", second.namespace)
    await asyncio.sleep(5)
    assert town.served_by("default") == first
    town.zitadel.takes = 0.1
    took = await town.until(lambda: town.served_by("default") == second)
    assert took < 5
    await town.until(lambda: town.is_settled(4))
    assert town.zitadel.writers() == [first, second]
    await asyncio.sleep(1000)
    assert town.served_by("default") == second
    assert told(town) == 1, "it was asked for, so the first one does not warn"


@in_town
async def test_a_reinstallation_takes_over_by_the_annotation(town: Town) -> None:
    """The old one is gone for good: half a minute later the new one serves."""
    town.instance("default")
    town.policies(20, "default")
    old = await town.operator("old")
    await town.until(lambda: town.is_settled(20))
    await asyncio.sleep(100)
    await old.kill()
    town.zitadel.made.clear()
    town.cluster.written.clear()
    await town.operator("new")
    await asyncio.sleep(300)
    assert town.cluster.written == []
    assert told(town) == 1
    town.annotate("default", "new")
    took = await town.until(lambda: town.served_by("default") == NEW)
    assert HAND_OVER <= took < HAND_OVER + 1
    await asyncio.sleep(300)
    assert town.zitadel.made == []
    kinds = [write.one.kind.name for write in town.cluster.written]
    assert kinds == ["ZitadelInstance"] * 2, "it asks, and takes"
    town.policies(1, "default", start=20)
    await town.until(lambda: town.is_settled(21))


@in_town
async def test_the_annotation_of_a_third_one_helps_nobody(town: Town) -> None:
    """An instance goes only where the annotation says."""
    town.instance("default")
    old = await town.operator("old")
    await town.until(lambda: town.served_by("default") == OLD)
    await old.stop()
    town.annotate("default", "third")
    await town.operator("new")
    await asyncio.sleep(200)
    assert town.served_by("default") == OLD
    assert told(town) == 1


@in_town
async def test_an_operator_that_comes_back_finds_its_instance_taken(town: Town) -> None:
    """It was away while the new one took over, and leaves the instance alone."""
    town.instance("default")
    old = await town.operator("old")
    await town.until(lambda: town.served_by("default") == OLD)
    await old.kill()
    town.annotate("default", "new")
    await town.operator("new")
    await town.until(lambda: town.served_by("default") == NEW)
    await town.operator("old")
    town.policies(3, "default")
    await town.until(lambda: town.is_settled(3))
    await asyncio.sleep(60)
    assert town.zitadel.writers() == [NEW]
    assert told(town) == 0, "a person has said who serves"


@in_town
async def test_somebody_who_empties_served_by_moves_nothing(town: Town) -> None:
    """The operator that serves stores it again, and goes on."""
    town.instance("default")
    await town.operator("old")
    await town.until(lambda: town.served_by("default") == OLD)
    known = town.cluster.instances["default"]
    status = replace(known.status, served_by=None)
    town.cluster.put_instance(replace(known, status=status))
    town.policies(3, "default")
    await town.until(lambda: town.is_settled(3))
    assert town.served_by("default") == OLD


@in_town
async def test_an_annotation_that_names_nobody_moves_nothing(town: Town) -> None:
    """The installation that serves goes on: it hands over to who asks only."""
    town.instance("default")
    town.policies(3, "default")
    await town.operator("old")
    await town.until(lambda: town.is_settled(3))
    town.annotate("default", "nowhere")
    await asyncio.sleep(100)
    town.policies(1, "default", start=3)
    await town.until(lambda: town.is_settled(4))
    assert town.served_by("default") == OLD
