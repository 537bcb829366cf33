"""Instances that are deleted and created again: what policies keep."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from support.engines import INSTANCE, Bench, condition_of, policy
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


async def recreate(bench: Bench, *, restart: bool, gap: float) -> None:
    """Delete the instance object with its status, and create it again."""
    assert bench.engine is not None
    del bench.cluster.instances["default"]
    bench.engine.watch_events.gone(instance_key("default"))
    await bench.live(gap)
    if restart:
        await bench.stop()
    bench.cluster.put_instance(replace(INSTANCE, uid="new", status=InstanceStatus()))
    if restart:
        await bench.start()
    else:
        bench.engine.watch_events.seen(bench.cluster.instances["default"])


@pytest.mark.parametrize("gap", [0.0, 700.0])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("make", [by_name, observing])
def test_the_same_zitadel_voids_nothing(
    make: Callable[[str], PolicyObject], restart: bool, gap: float
) -> None:
    """A rename in between moves no policy, and the original is kept."""

    async def story() -> None:
        bench = Bench()
        bench.zitadel.names |= {"a": "ACME", "b": "Globex"}
        bench.zitadel.own["a"] = True
        bench.cluster.put(make("p"))
        await bench.start()
        await bench.live(10)
        managed = bench.policy("p").manages
        first = bench.policy("p").status
        assert first.organization_id == "a"
        bench.zitadel.names |= {"a": "ACME Inc.", "b": "ACME"}
        bench.recorder.notices.clear()
        await recreate(bench, restart=restart, gap=gap)
        await bench.live(60)
        status = bench.policy("p").status
        assert bench.ready("p").status == "True"
        assert status.organization_id == "a"
        assert status.original == first.original
        assert bench.zitadel.own == {"a": not managed}
        reasons = [reason for name, reason in bench.recorder.notices if name == "p"]
        assert Reason.INSTANCE_NOT_READY not in reasons
        bench.seen(replace(bench.policy("p"), deleting=True, generation=2))
        await bench.live(10)
        assert bench.zitadel.own == {"a": True}
        await bench.stop()

    run(story())


@pytest.mark.parametrize("restart", [False, True])
def test_another_zitadel_still_voids_all(restart: bool) -> None:
    """Its id has to be accepted first; then only what is seen there counts."""

    async def story() -> None:
        bench = Bench()
        bench.zitadel.names |= {"a": "ACME"}
        bench.cluster.put(by_name("p"))
        await bench.start()
        await bench.live(10)
        bench.zitadel.id = "another"
        bench.zitadel.names = {"x": "ACME"}
        bench.zitadel.own = {"x": False}
        await recreate(bench, restart=restart, gap=5)
        await bench.live(60)
        status = bench.cluster.instances["default"].status
        assert condition_of(status, "Ready").reason == Reason.INSTANCE_CHANGED
        stored = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored, accepted_id="another"))
        await bench.live(60)
        assert bench.ready("p").status == "True"
        assert bench.policy("p").status.organization_id == "x"
        own = OriginalValue(is_default=False, settings=mails(False))
        assert bench.policy("p").status.original == own
        await bench.stop()

    run(story())
