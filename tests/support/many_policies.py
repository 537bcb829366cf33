"""A harness with many quiet policies that counts what a fault makes it write."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from support.engines import INSTANCE, Harness, policy
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.credentials import CaRef
from zitadel_notification_operator.core.errors import OperatorError

COUNT = 50
ROOTS = {"ca.crt": b"-----BEGIN CERTIFICATE-----\n"}


class ManyPolicies(Harness):
    """A harness with fifty policies, which become Ready before the test begins."""

    def __init__(self, *, ca: bool = False, count: int = COUNT) -> None:
        super().__init__()
        self.count = count
        if ca:
            self.cluster.config_maps["ca"] = dict(ROOTS)
            ref = CaRef("ConfigMap", "ca", "ca.crt")
            self.cluster.put_instance(replace(INSTANCE, ca=ref))
        for number in range(count):
            self.cluster.put(policy(f"p{number}", f"o{number}"))
        self._before = 0

    async def settle(self) -> None:
        """Start, wait until all policies are Ready, and begin to count."""
        await self.start()
        await self.live(10)
        assert self.ready_ones() == self.count
        self.forget()

    def forget(self) -> None:
        """Count from now on only."""
        self._before = len(self.steps.log)
        self.recorder.notices.clear()

    def ready_ones(self) -> int:
        """Return how many policies are Ready."""
        names = [f"p{number}" for number in range(self.count)]
        return sum(self.ready(name).status == "True" for name in names)

    def reasons(self) -> set[str]:
        """Return the reasons of the policies' Ready conditions."""
        return {self.ready(f"p{number}").reason for number in range(self.count)}

    def instance_reason(self) -> str:
        """Return the reason of the instance's Ready condition."""
        status = self.cluster.instances["default"].status
        ready = find(status.conditions, "Ready")
        assert ready is not None
        return ready.reason

    def policy_writes(self) -> int:
        """Return the number of writes to policy objects since `forget`."""
        kinds = {"status", "original", "strip"}
        return sum(s[0] in kinds and s[1] != "default" for s in self._new())

    def instance_writes(self) -> int:
        """Return the number of writes to the instance's status since `forget`."""
        return self._new().count(("status", "default"))

    def zitadel_writes(self) -> list[tuple[str, ...]]:
        """Return the writes to ZITADEL since `forget`."""
        return [s for s in self._new() if s[0] in {"Create", "Update", "Reset"}]

    def calls(self, name: str) -> int:
        """Return the number of calls of a kind since `forget`."""
        return sum(step[0] == name for step in self._new())

    def _new(self) -> list[tuple[str, ...]]:
        return self.steps.log[self._before :]

    def fail(self, method: str, error: OperatorError, times: int = 1) -> list[int]:
        """Let the next calls of a method fail; return a list with the number left.

        Args:
            method: The method of the client.
            error: The error that each call raises.
            times: The number of calls that fail.
        """
        whole = getattr(self.zitadel, method)
        left = [times]

        async def failing(*args: Any, **kwargs: Any) -> Any:
            if left[0]:
                left[0] -= 1
                raise error
            return await whole(*args, **kwargs)

        setattr(self.zitadel, method, failing)
        return left


async def within(seconds: float, ask: Callable[[], bool], harness: Harness) -> float:
    """Let the process run until a condition holds; return the seconds that it took."""
    began = asyncio.get_running_loop().time()
    while not ask():
        took = asyncio.get_running_loop().time() - began
        assert took < seconds, f"not within {seconds} s"
        await harness.live(0.5)
    return asyncio.get_running_loop().time() - began
