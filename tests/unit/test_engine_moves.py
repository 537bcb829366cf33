"""Instances that lead to another ZITADEL: nothing is written or carried over."""

import asyncio
from dataclasses import replace

import pytest

from support.engines import INSTANCE, Harness, condition_of, original_of, policy
from support.fakes import FakeZitadel
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.errors import (
    TransientError,
)
from zitadel_notification_operator.core.identity import Identity
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    ManagementPolicy,
    Scope,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.queue.keys import instance_key


def other_zitadel(harness: Harness) -> FakeZitadel:
    """Return another ZITADEL, at https://other."""
    other = FakeZitadel(harness.steps, "other")
    other.home = "home-of-other"
    harness.zitadel.elsewhere["https://other"] = other
    return other


def of_credential(name: str) -> PolicyObject:
    """Return a policy of the credential's own organization."""
    return replace(policy(name), organization=Reference(By.CREDENTIAL))


def test_another_zitadel_is_not_touched_until_accepted() -> None:
    """The instance is Stalled and its policies wait until the annotation is set."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.id = "another"
        harness.zitadel.own.clear()
        await harness.live(1000)
        instance = harness.cluster.instances["default"]
        stalled = condition_of(instance.status, "Stalled")
        assert stalled.reason == Reason.INSTANCE_CHANGED
        harness.seen(replace(harness.policy("p"), settings=mails(True), generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {}
        accepted = harness.cluster.put_instance(
            replace(instance, accepted_id="another")
        )
        assert harness.engine is not None
        harness.engine.watch_events.seen(accepted)
        await harness.live(30)
        assert harness.zitadel.own == {"o": True}
        assert original_of(harness.policy("p")).target.zitadel_id == "another"
        await harness.stop()

    run(story())


def test_a_pin_of_another_zitadel_counts_as_absent() -> None:
    """After acceptance the reference is resolved again, and the old id not used."""

    async def story() -> None:
        harness = Harness()
        other = other_zitadel(harness)
        harness.cluster.put(of_credential("p"))
        await harness.start()
        await harness.live(5)
        assert harness.policy("p").status.organization_id == "home"
        moved = replace(
            harness.cluster.instances["default"],
            url="https://other",
            generation=2,
        )
        harness.instance_seen(moved)
        await harness.live(5)
        assert harness.ready("p").reason == Reason.INSTANCE_NOT_READY
        assert other.own == {}
        accepted = replace(harness.cluster.instances["default"], accepted_id="other")
        harness.instance_seen(accepted)
        await harness.live(5)
        assert other.own == {"home-of-other": False}
        status = harness.policy("p").status
        assert status.organization_id == "home-of-other"
        assert status.original == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())


@pytest.mark.parametrize("management", list(ManagementPolicy))
def test_a_late_answer_of_the_former_zitadel_is_not_reported(
    management: ManagementPolicy,
) -> None:
    """The instance was changed while a pass waited, so its result is void."""

    async def story() -> None:
        harness = Harness()
        other_zitadel(harness)
        await harness.start()
        await harness.live(5)
        harness.zitadel.turn.clear()
        harness.seen(replace(of_credential("p"), management=management))
        await harness.live(1)
        moved = replace(
            harness.cluster.instances["default"],
            url="https://other",
            accepted_id="other",
            generation=2,
        )
        harness.instance_seen(moved)
        await harness.live(5)
        harness.zitadel.turn.set()
        await harness.live(5)
        assert harness.policy("p").status.organization_id == "home-of-other"
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("scope", list(Scope))
def test_a_recreated_instance_may_not_lead_elsewhere_unaccepted(scope: Scope) -> None:
    """Its own status is empty, but its policies have recorded the old id."""

    async def story() -> None:
        harness = Harness()
        other = other_zitadel(harness)
        managed = of_credential("p")
        if scope is Scope.INSTANCE:
            managed = replace(managed, scope=scope, organization=None)
        harness.cluster.put(managed)
        await harness.start()
        await harness.live(5)
        assert harness.engine is not None
        del harness.cluster.instances["default"]
        harness.engine.watch_events.gone(instance_key("default"))
        again = replace(INSTANCE, uid="new", url="https://other")
        harness.instance_seen(again)
        await harness.live(5)
        stored = harness.cluster.instances["default"]
        stalled = condition_of(stored.status, "Stalled")
        assert stalled.reason == Reason.INSTANCE_CHANGED
        assert (other.own, other.default) == ({}, True)
        harness.instance_seen(replace(stored, accepted_id="other"))
        await harness.live(5)
        assert "home-of-other" in other.own or other.default is False
        await harness.stop()

    run(story())


def test_no_successor_whose_instance_leads_elsewhere() -> None:
    """Such a policy has no claim, so the deletion makes its reset."""

    async def story() -> None:
        harness = Harness()
        other_zitadel(harness)
        harness.cluster.put_instance(
            replace(INSTANCE, key=ObjectKey("", "second"), uid="i2")
        )
        harness.cluster.put(policy("p", second=1))
        harness.cluster.put(replace(policy("q", second=2), instance="second"))
        await harness.start()
        await harness.live(5)
        assert harness.ready("q").reason == Reason.CONFLICT
        harness.instance_seen(
            replace(
                harness.cluster.instances["second"],
                url="https://other",
                generation=2,
            )
        )
        await harness.live(5)
        harness.seen(replace(harness.policy("p"), deleting=True, generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_a_check_that_is_overtaken_says_nothing_of_the_new_spec() -> None:
    """The status must not be Ready for a url that never responded."""

    async def story() -> None:
        harness = Harness()
        hanging = other_zitadel(harness)
        await harness.start()
        await harness.live(5)
        identify = harness.zitadel.identify

        async def slow() -> Identity:
            await asyncio.sleep(2)
            return await identify()

        async def hang() -> Identity:
            await asyncio.sleep(10)
            raise TransientError(Reason.UNREACHABLE, "no answer")

        instead_of(harness.zitadel.identify).call(slow)
        instead_of(hanging.identify).call(hang)
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, requested_at="now"))
        await harness.live(1)
        stored = harness.cluster.instances["default"]
        moved = replace(stored, url="https://other", generation=2)
        harness.instance_seen(moved)
        for _ in range(20):
            await harness.live(1)
            status = harness.cluster.instances["default"].status
            ready = condition_of(status, "Ready")
            assert (ready.status, ready.observed_generation) != ("True", 2)
        assert ready.reason == Reason.UNREACHABLE
        await harness.stop()

    run(story())


def test_a_check_of_an_object_that_is_gone_says_nothing_of_its_namesake() -> None:
    """A recreated instance without policies is Ready with its own ZITADEL."""

    async def story() -> None:
        harness = Harness()
        other_zitadel(harness)
        await harness.start()
        await harness.live(5)
        identify = harness.zitadel.identify

        async def slow() -> Identity:
            await asyncio.sleep(5)
            return await identify()

        instead_of(harness.zitadel.identify).call(slow)
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, requested_at="now"))
        await harness.live(1)
        assert harness.engine is not None
        del harness.cluster.instances["default"]
        harness.engine.watch_events.gone(instance_key("default"))
        again = replace(INSTANCE, uid="new", url="https://other")
        harness.instance_seen(again)
        await harness.live(10)
        status = harness.cluster.instances["default"].status
        assert status.instance_id == "other"
        assert condition_of(status, "Ready").status == "True"
        await harness.stop()

    run(story())
