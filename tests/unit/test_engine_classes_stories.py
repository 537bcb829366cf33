"""Random stories of three operators, whose instances change hands all the time.

The judges of `support.several_operators` look at each write: never two operators at the
same ZITADEL, and none outside its class. In the end everything is as declared.
"""

import asyncio
import os
import random
from dataclasses import replace

import pytest

from support.engines import policy
from support.settings import mails
from support.several_operators import Process, Town, in_town
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.policy import DeletionPolicy

STORIES = int(os.environ.get("ZNP_STORIES", "60"))
OPERATORS = (("main", ""), ("twin", ""), ("lab", "canary"))
INSTANCES = ("one", "two")
STEPS = 25


class Story:
    """One story: what happens next is chosen at random."""

    def __init__(self, town: Town, seed: int) -> None:
        self._town = town
        self._chance = random.Random(f"classes {seed}")
        self._alive: dict[tuple[str, str], Process] = {}
        self._count = 0

    async def run(self) -> None:
        """Let everything happen, then let it come to rest, and judge."""
        town, chance = self._town, self._chance
        for second, name in enumerate(INSTANCES):
            town.instance(name, chance.choice(("", "canary")), second)
        for place in OPERATORS:
            await self._start(place)
        for _ in range(STEPS):
            await self._step()
            await asyncio.sleep(chance.choice((0.0, 0.05, 0.5, 3.0, 12.0, 40.0)))
        town.zitadel.takes, town.cluster.lag = 0.01, 0.01
        town.zitadel.failure = None
        for place in OPERATORS:
            if place not in self._alive:
                await self._start(place)
        for name in INSTANCES:
            town.annotate(name, "main")
            town.edit_instance(name, operator_class="")
        await asyncio.sleep(400)
        self._judge()

    async def _start(self, place: tuple[str, str]) -> None:
        self._alive[place] = await self._town.operator(*place)

    async def _step(self) -> None:
        town, chance = self._town, self._chance
        name = chance.choice(INSTANCES)
        match chance.randrange(10):
            case 0 | 1:
                town.edit_instance(name, operator_class=chance.choice(("", "canary")))
            case 2:
                town.annotate(name, chance.choice((None, "main", "twin", "lab")))
            case 3 | 4:
                place = chance.choice(OPERATORS)
                process = self._alive.pop(place, None)
                if process is None:
                    await self._start(place)
                elif chance.random() < 0.5:
                    await process.kill()
                else:
                    await process.stop()
            case 5:
                town.zitadel.takes = chance.choice((0.0, 0.2, 2.0, 9.0))
            case 6:
                town.cluster.lag = chance.choice((0.0, 0.01, 0.3, 2.0))
            case 7 if town.cluster.policies:
                key = chance.choice(sorted(town.cluster.policies))
                town.cluster.put(replace(town.cluster.policies[key], deleting=True))
            case 8 if town.cluster.policies:
                self._edit(chance.choice(sorted(town.cluster.policies)))
            case _:
                self._create(name)

    def _create(self, instance: str) -> None:
        number = self._count
        self._count += 1
        made = replace(
            policy(f"p{number}", f"o{number % 6}", number % 60),
            uid=f"uid-{number}",
            instance=instance,
            deletion=self._chance.choice((DeletionPolicy.RESET, None)),
        )
        self._town.cluster.put(made)

    def _edit(self, key: PolicyKey) -> None:
        known = self._town.cluster.policies[key]
        changed = replace(
            known,
            generation=known.generation + 1,
            settings=mails(self._chance.random() < 0.5),
        )
        self._town.cluster.put(changed)

    def _judge(self) -> None:
        town = self._town
        assert {town.served_by(name) for name in INSTANCES} == {
            self._alive["main", ""].own
        }
        left = list(town.cluster.policies.values())
        assert [one.key for one in left if one.deleting] == []
        for target in {one.organization_id for one in left}:
            owner = min(
                (one for one in left if one.organization_id == target),
                key=lambda one: (one.created, one.key),
            )
            wanted = owner.settings.by_name()["passwordChange"]
            assert town.zitadel.own.get(target or "") is wanted, (target, owner.key)
        targets = {one.organization_id for one in left}
        assert {org for org in town.zitadel.own if org not in targets} == set()


@pytest.mark.parametrize("seed", range(STORIES))
def test_never_two_writers_whatever_happens(seed: int) -> None:
    """Classes and annotations change, operators come and go, calls hang."""

    @in_town
    async def story(town: Town) -> None:
        await Story(town, seed).run()

    story()
