"""Instances: checks, other ZITADELs, credentials, and policies that wait for them."""

import asyncio
from dataclasses import replace

import pytest

from support.engines import INSTANCE, Harness, condition_of, policy, with_spec
from support.fakes import FakeZitadel
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.identity import Capabilities, Identity
from zitadel_notification_operator.core.instance_object import RateLimit
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ObservedPolicy,
)
from zitadel_notification_operator.core.reasons import Reason


def test_dead_zitadel_costs_one_call_a_try_and_one_write_each() -> None:
    """Quiet policies stay Ready; after ten minutes their InSync is Unknown."""

    async def story() -> None:
        harness = Harness()
        for number in range(20):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.failure = TransientError(Reason.UNREACHABLE, "gone")
        await harness.live(300)
        assert condition_of(harness.policy("p0").status, "Ready").status == "True"
        before = len(harness.steps.log)
        await harness.live(1200)
        new = harness.steps.log[before:]
        writes = [s for s in new if s[0] == "status" and s[1] != "default"]
        assert len(writes) == 20
        sync = condition_of(harness.policy("p0").status, "InSync")
        assert sync.status == "Unknown"
        assert len([s for s in new if s[0] == "observe"]) == 0
        harness.zitadel.failure = None
        await harness.live(120)
        sync = condition_of(harness.policy("p0").status, "InSync")
        assert sync.status == "True"
        await harness.stop()

    run(story())


def test_a_rotated_secret_is_used_within_a_minute() -> None:
    """If ZITADEL refuses it at first, this is reported, and passes."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.cluster.secrets["s"] = {"token": b"new"}
        before = len(harness.steps.log)
        await harness.live(60)
        assert harness.zitadel.token == "new"
        written = [s for s in harness.steps.log[before:] if s[0] == "status"]
        # ZITADEL still accepts only the old one, so the new one is reported as refused.
        assert written == [("status", "default"), ("status", "own/p")]
        harness.zitadel.accepted = "new"
        await harness.live(330)
        ready = condition_of(harness.policy("p").status, "Ready")
        assert ready.status == "True"
        await harness.stop()

    run(story())


def test_a_refused_token_sends_for_the_secret_at_once() -> None:
    """A policy's first 401 is not even reported if there is a new token."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.cluster.secrets["s"] = {"token": b"new"}
        harness.zitadel.accepted = "new"
        before = len(harness.steps.log)
        harness.seen(replace(harness.policy("p"), settings=mails(True), generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {"o": True}
        written = [s for s in harness.steps.log[before:] if s[0] == "status"]
        assert written == [("status", "own/p")]
        await harness.stop()

    run(story())


def test_a_change_within_a_check_of_the_instance_is_not_forgotten() -> None:
    """An edit and a deletion that have to wait follow the next check."""

    async def story() -> None:
        harness = Harness()
        for name in ("edited", "deleted"):
            harness.cluster.put(policy(name, name))
        await harness.start()
        await harness.live(5)
        identify = harness.zitadel.identify

        async def slow() -> Identity:
            await asyncio.sleep(2)
            return await identify()

        instead_of(harness.zitadel.identify).call(slow)
        stored = harness.cluster.instances["default"]
        limits = RateLimit(burst=77)
        harness.instance_seen(replace(stored, rate_limit=limits, generation=2))
        await harness.live(0.5)
        edited = replace(harness.policy("edited"), settings=mails(True), generation=2)
        harness.seen(edited)
        harness.seen(replace(harness.policy("deleted"), deleting=True, generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {"edited": True}
        assert harness.policy("edited").status.observed_generation == 2
        await harness.stop()

    run(story())


def test_an_instance_that_hangs_takes_nobody_elses_turn() -> None:
    """Drift and a new policy of another instance are served at once."""

    async def story() -> None:
        harness = Harness()
        hanging = FakeZitadel(harness.steps, "hanging")
        harness.zitadel.elsewhere["https://hanging"] = hanging

        async def hang(organization_id: str | None) -> ObservedPolicy:
            await asyncio.sleep(10)
            raise TransientError(Reason.UNREACHABLE, organization_id or "")

        instead_of(hanging.observe).call(hang)
        harness.cluster.put_instance(with_spec(INSTANCE, poll_interval=10.0))
        harness.cluster.put_instance(
            replace(
                INSTANCE,
                key=ObjectKey("", "hanging"),
                uid="h",
                url="https://hanging",
            )
        )
        harness.cluster.put(policy("good"))
        for number in range(60):
            bad = replace(policy(f"bad{number}", f"b{number}"), instance="hanging")
            harness.cluster.put(bad)
        await harness.start()
        await harness.live(60)
        harness.zitadel.own["o"] = True
        await harness.live(12)
        assert harness.zitadel.own == {"o": False}
        harness.seen(policy("new", "n"))
        await harness.live(1)
        assert harness.ready("new").status == "True"
        await harness.stop()

    run(story())


def test_a_dying_instance_that_somebody_holds_up_still_serves() -> None:
    """It is also checked, for its policies, after a restart."""

    async def story() -> None:
        harness = Harness()
        retained = replace(policy("p"), deletion=DeletionPolicy.RETAIN)
        harness.cluster.put(retained)
        await harness.start()
        await harness.live(5)
        await harness.stop()
        dying = replace(
            harness.cluster.instances["default"],
            finalizers=("example.com/x",),
            deleting=True,
            generation=2,
        )
        harness.cluster.put_instance(dying)
        await harness.start()
        await harness.live(5)
        harness.seen(replace(harness.policy("p"), settings=mails(True), generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_a_shorter_poll_interval_holds_at_once() -> None:
    """No policy waits for the timer of the old interval."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(with_spec(INSTANCE, poll_interval=86400.0))
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.own["o"] = True
        shorter = with_spec(harness.cluster.instances["default"], poll_interval=10.0)
        harness.instance_seen(replace(shorter, generation=2))
        await harness.live(12)
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


@pytest.mark.parametrize(
    "failure",
    [
        TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no role"),
        TransientError(Reason.HOST_NOT_RECOGNIZED, "wrong host"),
    ],
)
def test_only_a_zitadel_that_does_not_answer_leaves_policies_ready(
    failure: OperatorError,
) -> None:
    """The policies report any other cause, too, once it is confirmed."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.failure = failure
        harness.instance_seen(
            replace(harness.cluster.instances["default"], requested_at="now")
        )
        await harness.live(15)
        assert harness.ready("p").status == "True"
        await harness.live(10)
        assert harness.ready("p").reason == Reason.INSTANCE_NOT_READY
        assert failure.reason in harness.ready("p").message
        await harness.stop()

    run(story())


def test_a_weaker_credential_is_found_out_within_a_minute() -> None:
    """A policy must not stay Ready after the role is gone."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        before = len([s for s in harness.steps.log if s[0] == "observe"])
        harness.zitadel.capabilities = Capabilities()
        harness.zitadel.accepted = "new"
        harness.cluster.secrets["s"] = {"token": b"new"}
        await harness.live(130)
        assert len([s for s in harness.steps.log if s[0] == "observe"]) > before
        await harness.stop()

    run(story())


def test_a_tenant_learns_nothing_of_the_operator_s_secret() -> None:
    """Only the instance's own conditions name it."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        del harness.cluster.secrets["s"]
        await harness.start()
        await harness.live(5)
        condition = harness.ready("p")
        assert condition.reason == Reason.INSTANCE_NOT_READY
        assert "CredentialsMissing" in condition.message
        assert "own/s" not in condition.message
        status = harness.cluster.instances["default"].status
        assert "own/s" in condition_of(status, "Ready").message
        await harness.stop()

    run(story())
