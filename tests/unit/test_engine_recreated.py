"""Instances that are deleted and created again: what policies keep."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from support.engines import INSTANCE, Harness, condition_of, policy
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.instance_object import InstanceStatus
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import DeletionPolicy, ManagementPolicy
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.engine.queue.keys import instance_key


def by_name(name: str) -> PolicyObject:
    """Return a policy for organization `a` by name, with deletionPolicy Restore."""
    return replace(
        policy(name),
        organization=Reference(By.NAME, "ACME"),
        deletion=DeletionPolicy.RESTORE,
    )


def observing(name: str) -> PolicyObject:
    """Return a policy by name that only observes, and so has no annotation."""
    return replace(by_name(name), management=ManagementPolicy.OBSERVE)


async def recreate(harness: Harness, *, restart: bool, gap: float) -> None:
    """Delete the instance object with its status, and create it again."""
    assert harness.engine is not None
    del harness.cluster.instances["default"]
    harness.engine.watch_events.gone(instance_key("default"))
    await harness.live(gap)
    if restart:
        await harness.stop()
    harness.cluster.put_instance(replace(INSTANCE, uid="new", status=InstanceStatus()))
    if restart:
        await harness.start()
    else:
        harness.engine.watch_events.seen(harness.cluster.instances["default"])


@pytest.mark.parametrize("gap", [0.0, 700.0])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("make", [by_name, observing])
def test_the_same_zitadel_voids_nothing(
    make: Callable[[str], PolicyObject], restart: bool, gap: float
) -> None:
    """A rename in between moves no policy, and the original is kept."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.names |= {"a": "ACME", "b": "Globex"}
        harness.zitadel.own["a"] = True
        harness.cluster.put(make("p"))
        await harness.start()
        await harness.live(10)
        managed = harness.policy("p").manages
        first = harness.policy("p").status
        assert first.organization_id == "a"
        harness.zitadel.names |= {"a": "ACME Inc.", "b": "ACME"}
        harness.recorder.notices.clear()
        await recreate(harness, restart=restart, gap=gap)
        await harness.live(60)
        status = harness.policy("p").status
        assert harness.ready("p").status == "True"
        assert status.organization_id == "a"
        assert status.original == first.original
        assert harness.zitadel.own == {"a": not managed}
        reasons = [reason for name, reason in harness.recorder.notices if name == "p"]
        assert Reason.INSTANCE_NOT_READY not in reasons
        harness.seen(replace(harness.policy("p"), deleting=True, generation=2))
        await harness.live(10)
        assert harness.zitadel.own == {"a": True}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("restart", [False, True])
def test_another_zitadel_still_voids_all(restart: bool) -> None:
    """Its id has to be accepted first; then only what is seen there counts."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.names |= {"a": "ACME"}
        harness.cluster.put(by_name("p"))
        await harness.start()
        await harness.live(10)
        harness.zitadel.id = "another"
        harness.zitadel.names = {"x": "ACME"}
        harness.zitadel.own = {"x": False}
        await recreate(harness, restart=restart, gap=5)
        await harness.live(60)
        status = harness.cluster.instances["default"].status
        assert condition_of(status, "Ready").reason == Reason.INSTANCE_CHANGED
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, accepted_id="another"))
        await harness.live(60)
        assert harness.ready("p").status == "True"
        assert harness.policy("p").status.organization_id == "x"
        own = OriginalValue(is_default=False, settings=mails(False))
        assert harness.policy("p").status.original == own
        await harness.stop()

    run(story())
