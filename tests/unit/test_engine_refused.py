"""Kubernetes refuses calls: the waits between retries, and the warnings."""

import asyncio
import logging

import pytest

from support.engines import Harness, policy
from support.leases import Candidate, StoredLease
from support.replacing import instead_of
from support.virtual_time import run
from zitadel_notification_operator.core.errors import ClusterError, FailureCause
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.engine.leader.leadership import LeaseLost


class Refusing(Harness):
    """A harness whose API server refuses statuses of policies."""

    def __init__(self, retry_after: float | None, failure: FailureCause | None) -> None:
        super().__init__()
        self.tries: list[float] = []

        async def refuse(*_: object, **__: object) -> PolicyObject:
            self.tries.append(asyncio.get_running_loop().time())
            error = ClusterError("Kubernetes refused it: 429", retry_after)
            error.shared_cause = failure
            raise error

        instead_of(self.cluster.apply_policy_status).call(refuse)


@pytest.mark.parametrize("retry_after", [None, 90.0])
def test_a_pass_waits_as_long_as_kubernetes_asks(retry_after: float | None) -> None:
    """Retry-After is a lower bound of every wait, not only of the first one."""

    async def story() -> None:
        harness = Refusing(retry_after, None)
        harness.cluster.put(policy("p"))
        engine = await harness.start()
        await harness.live(300)
        waits = [b - a for a, b in zip(harness.tries, harness.tries[1:], strict=False)]
        assert waits
        if retry_after is None:
            assert waits[0] < 2
        else:
            assert min(waits) >= retry_after
        await engine.stop()

    run(story())


@pytest.mark.parametrize("shared", [True, False])
def test_a_cause_that_many_passes_meet_is_reported_once(
    shared: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The first of them logs it, if they share the cause."""
    caplog.set_level(logging.WARNING)

    async def story() -> None:
        harness = Refusing(None, FailureCause() if shared else None)
        for number in range(5):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        engine = await harness.start()
        await harness.live(60)
        assert len(harness.tries) > 10
        logged = [line for line in caplog.messages if "429" in line]
        assert len(logged) == (1 if shared else len(harness.tries))
        await engine.stop()

    run(story())


def test_a_lost_lease_reports_why_it_could_not_be_renewed() -> None:
    """The message that ends the process contains the last failure."""

    async def story() -> None:
        candidate = Candidate(StoredLease(), "a")
        await asyncio.wait_for(candidate.leadership.elected.wait(), 10)
        candidate.way.fault = "fail"
        await asyncio.sleep(15)
        lost = candidate.task.exception()
        assert isinstance(lost, LeaseLost)
        assert "could not be renewed for 10.0 s: " in str(lost)
        assert not str(lost).endswith(": ")

    run(story())
