"""How often the status of a set is written: at most once in two seconds."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from support.replacing import instead_of
from support.sets import Sets, a_set, counts
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.policy import DeletionPolicy, ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.set_object import Limits, SetObject
from zitadel_notification_operator.engine.claims.wakeups import SET_PACE
from zitadel_notification_operator.engine.sets.members import BATCHES

ORGANIZATIONS = 150
"""More than one pass over a set makes."""

NO_PACE = 1e-9
"""A distance in seconds that only rounding makes."""


class Slow(Sets):
    """A harness in which calls take time, and which notes when statuses arrive."""

    def __init__(self, *, ways: tuple[float, ...]) -> None:
        super().__init__()
        self.zitadel.names = {str(n): f"name {n}" for n in range(ORGANIZATIONS)}
        self.arrived: list[float] = []
        self.refused = 0
        self._ways = itertools.cycle(ways)
        instead_of(self.cluster.apply_set_status).around(self._arrive)
        instead_of(self.zitadel.observe).around(self._observe)

    async def _arrive(self, call: Callable[[], Awaitable[SetObject]]) -> SetObject:
        """Let the request be under way for a while, and then the answer."""
        way = next(self._ways)
        await asyncio.sleep(way)
        self.arrived.append(asyncio.get_running_loop().time())
        if self.refused:
            self.refused -= 1
            raise ClusterError("HTTP 500")
        stored = await call()
        await asyncio.sleep(way / 2)
        return stored

    async def _observe(
        self, call: Callable[[], Awaitable[ObservedPolicy | None]]
    ) -> ObservedPolicy | None:
        await asyncio.sleep(0.2)
        return await call()

    def distances(self) -> list[float]:
        """Return the seconds between each two consecutive writes."""
        return [after - before for before, after in itertools.pairwise(self.arrived)]


WAYS = {"at once": (0.0,), "steady": (0.4,), "uneven": (0.9, 0.0, 0.3)}


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_two_writes_are_never_closer_than_two_seconds(ways: tuple[float, ...]) -> None:
    """As Kubernetes sees them, whatever happens to the set and however slow it is."""

    async def story() -> None:
        harness = Slow(ways=ways)
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(25)
        assert counts(harness)[:2] == (ORGANIZATIONS, ORGANIZATIONS)
        for number in range(12):
            harness.edit(settings=mails(number % 2 == 0))
            await harness.live(0.7)
        await harness.live(25)
        harness.refused = 2
        harness.edit(settings=mails(False))
        await harness.live(40)
        assert harness.ready_of().status == "True"
        harness.set_seen(replace(harness.of(), deleting=True))
        await harness.live(40)
        assert harness.cluster.sets == {}
        assert len(harness.arrived) > 12
        assert min(harness.distances()) >= SET_PACE - NO_PACE
        await harness.stop()

    run(story())


def test_a_new_process_keeps_the_distance_to_the_last_one() -> None:
    """It cannot know when a status that it finds was written."""

    async def story() -> None:
        harness = Slow(ways=(0.0,))
        await harness.start()
        harness.set_seen(a_set())
        await harness.live(0.5)
        for _ in range(8):
            await harness.stop()
            await harness.start()
            await harness.live(2.3)
        assert len(harness.arrived) >= 4
        assert min(harness.distances()) >= SET_PACE - NO_PACE
        await harness.live(30)
        assert harness.ready_of().reason == Reason.SUCCEEDED
        await harness.stop()

    run(story())


def test_the_first_status_and_a_late_edit_are_reported_at_once() -> None:
    """The pace delays only what comes soon after another write."""

    async def story() -> None:
        harness = Slow(ways=(0.0,))
        await harness.start()
        await harness.live(10)
        began = asyncio.get_running_loop().time()
        harness.set_seen(a_set())
        await harness.live(25)
        assert harness.arrived[0] - began < 1
        before = len(harness.arrived)
        began = asyncio.get_running_loop().time()
        harness.edit(settings=mails(True))
        await harness.live(1)
        assert len(harness.arrived) == before + 1
        await harness.stop()

    run(story())


def test_a_large_set_takes_as_few_passes_as_a_middling_one() -> None:
    """Each pass looks at all members, so their number must not grow with these."""

    async def story() -> None:
        harness = Sets()
        harness.zitadel.names = {str(n): f"name {n}" for n in range(3000)}
        await harness.start()
        assert harness.parts is not None
        passes: list[int] = []

        def count(call: Callable[[], set[PolicyKey]]) -> set[PolicyKey]:
            passes.append(len(harness.cluster.policies))
            return call()

        instead_of(harness.parts.inventory.select).around(count)
        harness.set_seen(a_set(limits=Limits(organizations=3000)))
        await harness.live(10)
        assert counts(harness)[:2] == (3000, 3000)
        assert BATCHES <= len(passes) <= BATCHES + 5
        await harness.stop()

    run(story())
