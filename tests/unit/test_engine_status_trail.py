"""Statuses that follow the writes to ZITADEL, in whole engines."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from support.engines import Harness, policy
from support.fakes import FakeCluster
from support.slow_zitadel import Slow, all_ready, edited, of
from support.steps import Steps
from support.virtual_time import run
from zitadel_notification_operator.core.policy import DeletionPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.engine.policies.status_trail import TRAIL

SECONDS = 0.3
"""The duration of a write to ZITADEL."""


class ClockedCluster(FakeCluster):
    """A Kubernetes that records when statuses of policies were written.

    Attributes:
        statuses: Name and loop time of each write.
    """

    def __init__(self, steps: Steps) -> None:
        super().__init__(steps)
        self.statuses: list[tuple[str, float]] = []

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        """Record the time and write."""
        now = asyncio.get_running_loop().time()
        self.statuses.append((policy.key.name, now))
        return await super().apply_policy_status(policy, status)

    def written_at(self, name: str) -> list[float]:
        """Return when this policy's status was written."""
        return [at for one, at in self.statuses if one == name]


class Burst:
    """An engine whose policies are Ready, with a slow ZITADEL.

    Attributes:
        harness: The stores and the process.
        cluster: Its Kubernetes.
        slow: Its ZITADEL.
        policies: The policies.
    """

    def __init__(self, count: int) -> None:
        self.harness = Harness()
        self.cluster = ClockedCluster(self.harness.steps)
        self.cluster.secrets = self.harness.cluster.secrets
        self.cluster.instances = self.harness.cluster.instances
        self.harness.cluster = self.cluster
        self.harness.zitadel = self.slow = Slow(self.harness.steps)
        self.policies = of("default", count)
        for one in self.policies:
            self.cluster.put(one)

    async def begin(self) -> None:
        """Start the process, and return when all policies are Ready and quiet."""
        await self.harness.start(workers=4)
        self.slow.seconds = 0.0
        await self.harness.live(60)
        assert all_ready(self.harness, self.policies)
        self.slow.seconds = SECONDS
        self.slow.sent.clear()
        self.cluster.statuses.clear()

    def edit_all(self) -> None:
        """Edit each policy."""
        for one in self.policies:
            name = one.key.name
            self.harness.seen(edited(self.harness, name, value=True))

    def seen_at(self, organization: str) -> float:
        """Return when the first write to an organization was answered."""
        began = next(at for _, org, at in self.slow.sent if org == organization)
        return began + SECONDS


Story = Callable[[Burst], Coroutine[Any, Any, None]]


def with_ready_policies(count: int, story: Story) -> None:
    """Run a story with this number of Ready policies in virtual time."""

    async def whole() -> None:
        burst = Burst(count)
        await burst.begin()
        await story(burst)
        await burst.harness.stop()

    run(whole())


def test_statuses_of_ready_policies_follow_the_last_write() -> None:
    """Ten edits of 0.3 s each: no status is written before the last one is sent."""

    async def story(burst: Burst) -> None:
        burst.edit_all()
        await burst.harness.live(60)
        assert len(burst.slow.sent) == 10
        last = max(at for *_, at in burst.slow.sent)
        assert last + SECONDS <= min(at for _, at in burst.cluster.statuses)
        assert all_ready(burst.harness, burst.policies)
        # One write for each edit, as without the wait.
        assert len(burst.cluster.statuses) == 10

    with_ready_policies(10, story)


def test_no_status_follows_by_more_than_five_seconds() -> None:
    """Sixty edits take eighteen seconds, and the first statuses do not wait so long."""

    async def story(burst: Burst) -> None:
        burst.edit_all()
        await burst.harness.live(60)
        delays = [
            burst.cluster.written_at(one.key.name)[0]
            - burst.seen_at(one.organization_id or "")
            for one in burst.policies
        ]
        assert len(burst.slow.sent) == 60
        assert TRAIL - SECONDS < max(delays) <= TRAIL + 0.1

    with_ready_policies(60, story)


def test_a_lone_edit_does_not_wait() -> None:
    async def story(burst: Burst) -> None:
        name = burst.policies[0].key.name
        burst.harness.seen(edited(burst.harness, name, value=True))
        await burst.harness.live(60)
        org = burst.policies[0].organization_id or ""
        assert burst.cluster.written_at(name)[0] - burst.seen_at(org) < 0.1

    with_ready_policies(3, story)


def test_a_first_ready_does_not_wait() -> None:
    """A new policy among twenty edits is Ready as soon as ZITADEL has its value."""

    async def story(burst: Burst) -> None:
        burst.harness.seen(policy("new", "o-new"))
        burst.edit_all()
        await burst.harness.live(60)
        writes_of_edits = [at for _, org, at in burst.slow.sent if org != "o-new"]
        ready_at = burst.cluster.written_at("new")[-1]
        assert ready_at - burst.seen_at("o-new") < 0.1
        assert ready_at < max(writes_of_edits)

    with_ready_policies(20, story)


def test_an_edit_of_a_policy_that_waits_is_written_at_its_turn() -> None:
    """Its pass gives way at once, so the second edit does not wait for the status."""

    async def story(burst: Burst) -> None:
        name, org = burst.policies[0].key.name, burst.policies[0].organization_id
        burst.edit_all()
        while not any(at for _, known, at in burst.slow.sent if known == org):
            await burst.harness.live(0.1)
        await burst.harness.live(2 * SECONDS)
        assert burst.cluster.written_at(name) == []
        again = asyncio.get_running_loop().time()
        burst.harness.seen(edited(burst.harness, name, value=False))
        await burst.harness.live(0.1)
        assert burst.cluster.written_at(name) != []
        await burst.harness.live(60)
        second = [at for _, known, at in burst.slow.sent if known == org][1]
        # Four passes run at once, so a handful of writes may go before it.
        assert second - again < 20 * SECONDS
        assert burst.slow.written(org or "") is False

    with_ready_policies(20, story)


def test_a_deletion_does_not_wait() -> None:
    """A policy that waits with its status and is deleted ends at once."""

    async def story(burst: Burst) -> None:
        first = burst.policies[0]
        burst.edit_all()
        await burst.harness.live(3 * SECONDS)
        stored = burst.harness.policy(first.key.name)
        burst.harness.seen(
            replace(stored, deleting=True, deletion=DeletionPolicy.RETAIN)
        )
        await burst.harness.live(2 * SECONDS)  # until one of four passes ends
        assert first.key not in burst.cluster.policies

    with_ready_policies(20, story)


def test_a_stop_writes_the_statuses_that_wait() -> None:
    """What ZITADEL has accepted is reported before the process ends."""

    async def story(burst: Burst) -> None:
        burst.edit_all()
        await burst.harness.live(5 * SECONDS)
        assert burst.cluster.statuses == []
        began = asyncio.get_running_loop().time()
        await burst.harness.stop()
        assert asyncio.get_running_loop().time() - began < 2 * SECONDS
        written = {org for _, org, _ in burst.slow.sent}
        told = {
            name.replace("default", "o-default") for name, _ in burst.cluster.statuses
        }
        assert told == written

    with_ready_policies(20, story)


def test_passes_that_wait_take_no_turn_of_others() -> None:
    """Four passes may run at once; more than four statuses wait nevertheless."""

    async def story(burst: Burst) -> None:
        burst.edit_all()
        await burst.harness.live(10 * SECONDS)
        assert burst.cluster.statuses == []
        assert len(burst.slow.sent) >= 9

    with_ready_policies(20, story)
