"""A ZITADEL whose writes take time, and policies to write to it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from support.engines import Harness, policy
from support.fakes import FakeZitadel
from support.settings import mails
from support.steps import Steps
from zitadel_notification_operator.core.decision import Action
from zitadel_notification_operator.core.errors import OperatorError
from zitadel_notification_operator.core.policy import WriteResult
from zitadel_notification_operator.core.policy_object import PolicyObject


class Slow(FakeZitadel):
    """A ZITADEL whose writes take time.

    Attributes:
        seconds: The duration of a write.
        sent: Action, organization and loop time of each write when it began.
        most: The highest number of concurrent writes.
        errors: The errors with which the next writes end, after their effect.
    """

    def __init__(self, steps: Steps, zitadel_id: str = "z") -> None:
        super().__init__(steps, zitadel_id)
        self.seconds = 0.5
        self.sent: list[tuple[str, str, float]] = []
        self.now = self.most = 0
        self.errors: list[OperatorError] = []

    async def write(
        self, organization_id: str | None, action: Action, **more: Any
    ) -> WriteResult:
        make = partial(super().write, organization_id, action, **more)
        return await self._slowly(make, str(action), organization_id or "")

    async def reset(self, organization_id: str) -> WriteResult:
        make = partial(super().reset, organization_id)
        return await self._slowly(make, "Reset", organization_id)

    async def _slowly(
        self, make: Callable[[], Awaitable[WriteResult]], action: str, org: str
    ) -> WriteResult:
        self.sent.append((action, org, asyncio.get_running_loop().time()))
        self.now += 1
        self.most = max(self.most, self.now)
        error = self.errors.pop(0) if self.errors else None
        try:
            await asyncio.sleep(self.seconds)
            result = await make()
            if error is not None:
                raise error
            return result
        finally:
            self.now -= 1

    @property
    def in_turn(self) -> list[tuple[str, str]]:
        """Return the writes and their organizations in order."""
        return [(action, org) for action, org, _ in self.sent]


def bench_with(*policies: PolicyObject) -> tuple[Harness, Slow]:
    """Return a harness with a slow ZITADEL, and that ZITADEL."""
    harness = Harness()
    harness.zitadel = slow = Slow(harness.steps)
    for one in policies:
        harness.cluster.put(one)
    return harness, slow


def of(name: str, count: int) -> list[PolicyObject]:
    """Return policies of an instance object, each of another organization."""
    return [
        replace(policy(f"{name}-{n}", f"o-{name}-{n}"), instance=name)
        for n in range(count)
    ]


def edited(harness: Harness, name: str, *, value: bool) -> PolicyObject:
    """Return a policy after its user's edit."""
    stored = harness.policy(name)
    return replace(stored, generation=stored.generation + 1, settings=mails(value))


def all_ready(harness: Harness, policies: list[PolicyObject]) -> bool:
    """Return whether all these policies are Ready."""
    return all(harness.ready(p.key.name).status == "True" for p in policies)
