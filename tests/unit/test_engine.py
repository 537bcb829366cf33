"""The engine on a virtual clock: crashes at every step, quiet hours, dead instances."""

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest

from support.fakes import FakeCluster, FakeRecorder, FakeZitadel, Steps
from support.virtual_time import VirtualLoop, run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.objects import (
    Endpoint,
    InstanceObject,
    PolicyObject,
    SecretRef,
)
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.engine import Engine
from zitadel_notification_operator.engine.inventory import Inventory
from zitadel_notification_operator.engine.room import Room
from zitadel_notification_operator.engine.workqueue import WorkQueue

REF = SecretRef("s", "token")
INSTANCE = InstanceObject(
    name="default",
    uid="i",
    generation=1,
    created="2026-01-01T00:00:00Z",
    endpoint=Endpoint("https://z"),
    token_ref=REF,
    finalizers=("zitadel-notification.dev/cleanup",),
)


def policy(name: str, org: str = "o", second: int = 0) -> PolicyObject:
    """Return a policy of an organization, in the operator's own namespace."""
    return PolicyObject(
        key=PolicyKey("own", name),
        uid=f"uid-{name}",
        generation=1,
        created=f"2026-01-01T00:00:{second:02}Z",
        scope=Scope.ORGANIZATION,
        instance="default",
        password_change=False,
        organization_id=org,
    )


class Bench:
    """The stores that outlive a process, and processes over them."""

    def __init__(self) -> None:
        self.steps = Steps()
        self.cluster = FakeCluster(self.steps)
        self.zitadel = FakeZitadel(self.steps)
        self.recorder = FakeRecorder()
        self.cluster.secrets[REF] = b"token"
        self.cluster.put_instance(INSTANCE)
        self.engine: Engine | None = None

    async def start(self) -> Engine:
        """Start a new process."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        room = Room(
            inventory=Inventory("own"),
            queue=WorkQueue(),
            writer=self.cluster,
            instance_writer=self.cluster,
            secrets=self.cluster,
            connector=self.zitadel,
            recorder=self.recorder,
            now=loop.now,
            chance=random.Random(1),
        )
        self.engine = Engine(room, self.cluster, workers=4)
        await self.engine.start()
        return self.engine

    async def live(self, seconds: float) -> None:
        """Let the process run; a killed one is followed by another at once."""
        assert self.engine is not None
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.engine.failed.wait(), left)
                await self.engine.stop()
                await self.start()

    async def stop(self) -> None:
        """End the process."""
        assert self.engine is not None
        await self.engine.stop()

    def seen(self, changed: PolicyObject) -> None:
        """Store a user's change and let the watch tell it."""
        stored = self.cluster.put(changed)
        assert self.engine is not None
        self.engine.policy_seen(stored)
        if changed.key not in self.cluster.policies:
            self.engine.policy_gone(changed.key)

    def policy(self, name: str) -> PolicyObject:
        """Return a policy as stored."""
        return self.cluster.policies[PolicyKey("own", name)]


async def life_of_a_policy(bench: Bench) -> None:
    """Create, edit and delete one policy, each to its end."""
    bench.cluster.put(policy("p"))
    await bench.start()
    await bench.live(30)
    edited = bench.policy("p")
    assert edited.status.observed_generation == 1
    assert edited.status.original == OriginalValue(True, True)
    assert bench.zitadel.own == {"o": False}
    bench.seen(replace(edited, password_change=True, generation=2))
    await bench.live(30)
    assert bench.zitadel.own == {"o": True}
    assert bench.policy("p").status.observed_generation == 2
    bench.seen(replace(bench.policy("p"), deleting=True, generation=3))
    await bench.live(30)
    assert bench.cluster.policies == {}
    assert bench.zitadel.own == {}
    await bench.stop()


def test_fault_free_life_makes_the_promised_calls() -> None:
    """Create 2 writes, change 1, delete 1; one GET a pass, one look for existence."""
    bench = Bench()
    run(life_of_a_policy(bench))
    about_policy = [s for s in bench.steps.log if s[0] != "identify"]
    assert [s[0] for s in about_policy if s[1:] != ("default",)] == [
        *("observe", "organization", "original", "Create", "status"),
        *("observe", "Update", "status"),
        *("Reset", "strip"),
    ]


def _steps_of_a_life() -> int:
    bench = Bench()
    run(life_of_a_policy(bench))
    return len(bench.steps.log)


@pytest.mark.parametrize("after", [False, True])
def test_kill_at_every_step_ends_the_same(after: bool) -> None:
    """Killed before or after any outside call, the next process gets there too."""
    for number in range(_steps_of_a_life()):
        bench = Bench()
        bench.steps.kill_at, bench.steps.after = number, after
        run(life_of_a_policy(bench))
        verbs = [s[0] for s in bench.zitadel.writes()]
        assert sorted(set(verbs)) == ["Create", "Reset", "Update"]
        assert len(verbs) <= 4, "at most the one call that was cut off is repeated"


def test_restart_with_known_policies_writes_nothing() -> None:
    """No write, and no call but the instance's check, until a look-up is due."""

    async def story() -> None:
        bench = Bench()
        for number in range(50):
            bench.cluster.put(policy(f"p{number}", f"o{number}"))
        await bench.start()
        await bench.live(5)
        await bench.stop()
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(5)
        await bench.stop()
        new = bench.steps.log[before:]
        assert [s for s in new if s[0] in {"status", "original", "strip"}] == []
        assert len([s for s in new if s[0] == "observe"]) <= 5
        assert bench.zitadel.writes() == [
            s for s in bench.zitadel.writes() if s[0] == "Create"
        ]

    run(story())


def test_quiet_hours_write_nothing() -> None:
    """Six hours of polling: look-ups, no write."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(70)
        before = len(bench.steps.log)
        await bench.live(6 * 3600)
        await bench.stop()
        verbs = {s[0] for s in bench.steps.log[before:]}
        assert verbs == {"observe", "identify"}

    run(story())


def test_dead_zitadel_costs_one_call_a_try_and_one_write_each() -> None:
    """Quiet policies stay Ready; after ten minutes their InSync is Unknown."""

    async def story() -> None:
        bench = Bench()
        for number in range(20):
            bench.cluster.put(policy(f"p{number}", f"o{number}"))
        await bench.start()
        await bench.live(5)
        bench.zitadel.trouble = TransientError(Reason.UNREACHABLE, "gone")
        await bench.live(300)
        assert find(bench.policy("p0").status.conditions, "Ready").status == "True"
        before = len(bench.steps.log)
        await bench.live(1200)
        new = bench.steps.log[before:]
        writes = [s for s in new if s[0] == "status" and s[1] != "default"]
        assert len(writes) == 20
        sync = find(bench.policy("p0").status.conditions, "InSync")
        assert sync.status == "Unknown"
        assert len([s for s in new if s[0] == "observe"]) == 0
        bench.zitadel.trouble = None
        await bench.live(120)
        sync = find(bench.policy("p0").status.conditions, "InSync")
        assert sync.status == "True"
        await bench.stop()

    run(story())


def test_older_policy_that_resolves_later_takes_over() -> None:
    """The original goes with the target, and nothing is reset in between."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("young", second=9))
        await bench.start()
        await bench.live(5)
        bench.seen(policy("old", second=1))
        await bench.live(5)
        young, old = bench.policy("young"), bench.policy("old")
        assert old.original is not None
        assert old.original.value == OriginalValue(True, True)
        assert young.original_text is None
        assert young.finalizers == ()
        assert find(young.status.conditions, "Ready").reason == Reason.CONFLICT
        bench.seen(replace(old, deleting=True, generation=2))
        await bench.live(5)
        young = bench.policy("young")
        assert young.original.value == OriginalValue(True, True)
        assert [s[0] for s in bench.zitadel.writes()] == ["Create"]
        await bench.stop()

    run(story())


def test_copied_object_does_not_inherit_the_original() -> None:
    """An annotation with another uid counts as absent."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        copied = replace(bench.policy("p"), uid="uid-other")
        await bench.stop()
        bench.cluster.put(replace(copied, status=policy("p").status))
        await bench.start()
        await bench.live(5)
        original = bench.policy("p").original
        assert original is not None
        assert original.uid == "uid-other"
        assert original.value == OriginalValue(False, False)
        await bench.stop()

    run(story())


def test_another_zitadel_is_not_touched_until_accepted() -> None:
    """The instance is Stalled, its policies wait, the annotation lets them go on."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.zitadel.id = "another"
        bench.zitadel.own.clear()
        await bench.live(1000)
        instance = bench.cluster.instances["default"]
        stalled = find(instance.status.conditions, "Stalled")
        assert stalled.reason == Reason.INSTANCE_CHANGED
        bench.seen(replace(bench.policy("p"), password_change=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {}
        accepted = bench.cluster.put_instance(replace(instance, accepted_id="another"))
        assert bench.engine is not None
        bench.engine.instance_seen(accepted)
        await bench.live(30)
        assert bench.zitadel.own == {"o": True}
        assert bench.policy("p").original.target.zitadel_id == "another"
        await bench.stop()

    run(story())
