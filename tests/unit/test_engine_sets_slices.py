"""Passes over thousands of members: others go on, and changes meanwhile do no harm."""

import asyncio
from dataclasses import replace

import pytest

from support.sets import Sets, a_set
from support.virtual_time import run
from zitadel_notification_operator.core.grants import Admission
from zitadel_notification_operator.core.policy import DeletionPolicy, Organization
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.selection import Matcher, Selector
from zitadel_notification_operator.core.set_object import Limits
from zitadel_notification_operator.engine.calls.directory import Directory
from zitadel_notification_operator.engine.queue.slices import SLICE, in_slices
from zitadel_notification_operator.engine.sets.roster import make_roster


def test_others_go_on_between_two_slices() -> None:
    """All items come in their order; another task has a turn after each slice."""

    async def story() -> None:
        turns = 0

        async def another() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(another())
        assert [n async for n in in_slices(range(10 * SLICE))] == [*range(10 * SLICE)]
        assert turns >= 9
        task.cancel()

    run(story())


async def policies_of_a_set(count: int) -> list[PolicyObject]:
    """Return the policies that a set has made for organizations 0, 1, ..."""
    harness = Sets()
    harness.zitadel.names = {str(n): f"name {n}" for n in range(count)}
    await harness.start()
    harness.set_seen(a_set())
    await harness.live(10)
    await harness.stop()
    return list(harness.cluster.policies.values())


def test_what_changes_while_a_roster_is_made_leaves_nothing() -> None:
    """A grant that comes back and an organization that appears are no reasons."""

    async def story() -> None:
        own = await policies_of_a_set(3)
        directory = Directory("z")
        for number in range(2):
            directory.put(Organization(str(number), f"name {number}"))
        asked: list[str] = []

        def admission_of(organization: str) -> Admission:
            asked.append(organization)
            directory.put(Organization("2", "name 2"))
            lost = organization == "1" and asked.count("1") == 1
            return Admission.ORGANIZATION_MISSING if lost else Admission.GRANTED

        policies = {policy.key: policy for policy in own}
        roster = await make_roster(a_set(), directory, policies, own, admission_of)
        assert asked.count("1") == 2
        assert roster.leaving == []
        assert set(roster.members) == set(policies)
        assert roster.doubted == {"2"}

    run(story())


@pytest.mark.parametrize("turns", range(4, 40, 4))
def test_an_edit_in_the_middle_of_a_pass_is_what_counts(turns: int) -> None:
    """Nothing stays of the selection that was given up meanwhile."""

    async def story() -> None:
        count = 4 * SLICE
        harness = Sets()
        harness.zitadel.names = {str(n): f"name {n}" for n in range(count)}
        await harness.start()
        harness.set_seen(
            a_set(deletion=DeletionPolicy.RESET, limits=Limits(count, count))
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        harness.edit(organizations=Selector(include=(Matcher(name="name 7"),)))
        await harness.live(20)
        assert harness.names() == {"s-7"}
        assert harness.zitadel.own == {"7": False}
        harness.set_seen(replace(harness.of(), deleting=True))
        await harness.live(10)
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())
