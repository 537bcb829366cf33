"""A day of random faults, and five hundred policies that never succeed."""

import asyncio
import random
from dataclasses import replace

import pytest

from support.drift import bench_with
from support.engines import policy
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason

COUNT = 60
FAULTS = [
    TransientError(Reason.UNREACHABLE, "gone"),
    TransientError(Reason.SERVER_ERROR, "broken"),
    TransientError(Reason.RATE_LIMITED, "slower", 30.0),
    TransientError(Reason.UNEXPECTED_ANSWER, "odd"),
    TerminalError(Reason.CREDENTIALS_REJECTED, "refused"),
    TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no"),
]


def test_a_day_of_faults_leaves_nothing_behind() -> None:
    """Each hour has some minutes of faults and foreign changes, and then none."""

    async def story() -> None:
        chance = random.Random(7)
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(COUNT)))
        await harness.start()
        await harness.live(120)
        tasks = len(asyncio.all_tasks())
        for _ in range(24):
            harness.zitadel.failure = chance.choice(FAULTS)
            await harness.live(chance.uniform(1, 900))
            for number in chance.sample(range(COUNT), 3):
                harness.zitadel.change(f"o{number}", True, OTHERS)
            await harness.live(chance.uniform(1, 60))
            harness.zitadel.failure = None
            await harness.live(1800)
            assert set(harness.zitadel.own.values()) == {False}
            before = len(harness.steps.log)
            await harness.live(900)
            new = {step[0] for step in harness.steps.log[before:]}
            assert new <= {"events", "identify", "authenticate", "observe"}
        assert len(asyncio.all_tasks()) == tasks
        assert harness.parts is not None
        assert len(harness.parts.inventory.policies) == COUNT
        assert len(harness.parts.queue) == 0
        ready = {harness.ready(f"p{n}").status for n in range(COUNT)}
        assert ready == {"True"}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("hanging", [0, 10], ids=["at once", "after hanging"])
@pytest.mark.parametrize(
    "failure", [FAULTS[0], FAULTS[4]], ids=lambda failure: failure.reason
)
def test_endless_failures_delay_nobody(failure: OperatorError, hanging: int) -> None:
    """Five hundred policies never succeed; an edit of another takes a second."""

    async def story() -> None:
        failing = [policy(f"f{n}", f"bad{n}") for n in range(500)]
        harness = bench_with(policy("healthy", "o"), *failing)
        observe = harness.zitadel.observe
        under_way: list[str] = []
        peaks: list[int] = []

        async def fail(organization_id: str | None) -> ObservedPolicy | None:
            if organization_id and organization_id.startswith("bad"):
                under_way.append(organization_id)
                peaks.append(len(under_way))
                await asyncio.sleep(hanging)
                under_way.remove(organization_id)
                raise failure
            return await observe(organization_id)

        instead_of(harness.zitadel.observe).call(fail)
        await harness.start(workers=16)
        await harness.live(1200)
        # Four of sixteen workers are for them. More would be taken all at once if an
        # outage had synchronized their retries.
        peaks.clear()
        await harness.live(300)
        assert max(peaks) <= 4
        stored = harness.policy("healthy")
        harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(1.0)
        assert harness.zitadel.own["o"] is True
        await harness.stop()

    run(story())
