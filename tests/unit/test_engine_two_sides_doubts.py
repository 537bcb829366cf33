"""Events that are found while nobody can compare them with GETs.

Such an event is not kept: the next pass asks the log, if GETs show the wanted value.
"""

import asyncio
from dataclasses import replace

import pytest

from support.drift import calls, edit, harness_with
from support.engines import Harness, policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import ZitadelEvent
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.policy import ObservedPolicy
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.keys import policy_key

SOON = 10.0
"""Seconds within which a policy must be Ready where nothing is to be waited for."""


async def seconds_until_ready(harness: Harness) -> float:
    """Wait until `p` is Ready for its newest spec; return how long that took."""
    begun = asyncio.get_running_loop().time()
    while True:
        await harness.live(1)
        took = asyncio.get_running_loop().time() - begun
        found = harness.policy("p")
        ready = [c for c in found.status.conditions if c.type == "Ready"]
        is_ready = ready and ready[0].status == "True"
        if took > 100 or (
            is_ready and ready[0].observed_generation == found.generation
        ):
            return took


async def lose_a_change(harness: Harness) -> None:
    """Let somebody change the policy in the log only, and a search pass the event."""
    harness.zitadel.to_lose.append(("changed", "o"))
    harness.zitadel.change("o", True, OTHERS)
    await harness.live(150)
    # An event of another policy has the cursor stored behind both.
    harness.zitadel.change("o2", True, OTHERS)
    await harness.live(60)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("how", ["fails", "is suspended"])
def test_an_event_that_is_found_while_the_status_is_not_current(
    how: str, restarts: bool
) -> None:
    """The passes of the policy fail, or there are none; GETs never show the event."""
    harness = harness_with(policy("p"), policy("q", "o2"))

    async def fails(*_: object, **__: object) -> ObservedPolicy:
        raise TransientError(Reason.SERVER_ERROR, "HTTP 500")

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        observe = harness.zitadel.observe
        if how == "fails":
            instead_of(harness.zitadel.observe).call(fails)
        edit(harness, suspended=how != "fails")
        await harness.live(1)
        await lose_a_change(harness)
        if restarts:
            await harness.stop()
            await harness.start()
            await harness.live(10)
        instead_of(harness.zitadel.observe).call(observe)
        edit(harness)
        await harness.live(1000)
        assert harness.ready("p").status == "True"
        assert harness.zitadel.written("o") is False
        await harness.stop()

    run(lived())


def test_a_log_that_cannot_be_asked_is_asked_later() -> None:
    """The policy is Ready meanwhile, as GETs say, and polled."""
    harness = harness_with(policy("p"), policy("q", "o2"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        edit(harness, suspended=True)
        await harness.live(1)
        await lose_a_change(harness)
        search = harness.zitadel.last_policy_event

        async def fails(*_: object, **__: object) -> ZitadelEvent:
            raise TransientError(Reason.SERVER_ERROR, "HTTP 500")

        instead_of(harness.zitadel.last_policy_event).call(fails)
        edit(harness)
        await harness.live(100)
        assert harness.ready("p").status == "True"
        assert harness.zitadel.written("o") is True
        instead_of(harness.zitadel.last_policy_event).call(search)
        await harness.live(700)
        assert harness.zitadel.written("o") is False
        await harness.stop()

    run(lived())


def test_what_is_asked_once_is_not_asked_again() -> None:
    """GETs show the event, so the log was asked in vain."""
    harness = harness_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        edit(harness, suspended=True)
        await harness.live(1)
        harness.zitadel.change("o", True, OTHERS)
        harness.zitadel.change("o", False, OTHERS)
        await harness.live(30)
        begun = len(harness.steps.log)
        edit(harness)
        await harness.live(2000)
        assert calls(harness, begun).count("observe") == 1
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(lived())


def test_a_restored_log_is_believed() -> None:
    """A later event of the same sequence is lost, and that is noticed."""
    harness = harness_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        zitadel = harness.zitadel
        backup = zitadel.backup()
        edit(harness, suspended=True)
        await harness.live(10)
        zitadel.sequence = 1000
        zitadel.change("o", True, OTHERS)
        await harness.live(30)
        zitadel.restore(backup)
        await harness.live(300)
        edit(harness)
        assert await seconds_until_ready(harness) < SOON
        await harness.live(100)
        zitadel.to_lose.append(("changed", "o"))
        zitadel.change("o", True, OTHERS)
        await harness.live(1000)
        assert zitadel.written("o") is False
        await harness.stop()

    run(lived())


def test_a_namesake_knows_nothing_of_it() -> None:
    """Another object has the name before the watch reports the end of the first."""
    harness = harness_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        edit(harness, suspended=True)
        await harness.live(10)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(30)
        stored = harness.policy("p")
        harness.seen(replace(stored, deleting=True, generation=3))
        await harness.live(30)
        assert not harness.cluster.policies
        harness.seen(replace(policy("p", "o2"), uid="another"))
        key = policy_key(PolicyKey(stored.key.namespace, "p"))
        assert harness.engine is not None
        harness.engine.watch_events.gone(key, stored.uid)
        assert await seconds_until_ready(harness) < SOON
        begun = len(harness.steps.log)
        await harness.live(3000)
        assert "observe" not in calls(harness, begun)
        await harness.stop()

    run(lived())


def test_what_was_removed_since_is_written_at_once() -> None:
    """Events are no longer read, so nothing shows that somebody has removed it."""
    harness = harness_with(policy("p"))

    async def lived() -> None:
        await harness.start()
        await harness.live(100)
        edit(harness, suspended=True)
        await harness.live(10)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(30)
        now = harness.cluster.instances["default"]
        harness.instance_seen(with_spec(now, method=DriftMethod.POLL, generation=9))
        await harness.live(30)
        harness.zitadel.change("o", None, OTHERS)
        await harness.live(30)
        edit(harness)
        assert await seconds_until_ready(harness) < SOON
        await harness.stop()

    run(lived())
