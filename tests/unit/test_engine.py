"""The engine on a virtual clock: crashes at every step, quiet hours, dead instances."""

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest

from support.fakes import FakeCluster, FakeRecorder, FakeZitadel, Killed, Steps
from support.virtual_time import VirtualLoop, run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    Endpoint,
    InstanceObject,
    PolicyObject,
    SecretRef,
)
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ObservedPolicy,
    Scope,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.engine import LIST_INTERVAL, Engine
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
        """End the process; every status it has stored is one that Flux can read."""
        assert self.engine is not None
        await self.engine.stop()
        assert self.cluster.complaints == []

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


def test_a_token_is_handled_by_a_pass_that_began_after_it() -> None:
    """One that arrives while a pass runs is not copied by that pass."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        observe = bench.zitadel.observe
        seen: list[str | None] = []

        async def slow(organization_id: str | None) -> ObservedPolicy | None:
            found = await observe(organization_id)
            if bench.policy("p").requested_at == "t1":
                bench.zitadel.own["o"] = True
                bench.seen(replace(bench.policy("p"), requested_at="t2"))
                await asyncio.sleep(0)
            seen.append(bench.policy("p").status.last_handled_reconcile_at)
            return found

        bench.zitadel.observe = slow
        bench.seen(replace(bench.policy("p"), requested_at="t1"))
        await bench.live(5)
        assert seen == [None, "t1"]
        assert bench.policy("p").status.last_handled_reconcile_at == "t2"
        assert bench.zitadel.own == {"o": False}
        await bench.stop()

    run(story())


def test_restart_finds_what_was_revoked_or_lost_meanwhile() -> None:
    """A policy that is Ready in the store but may no longer be so is looked at."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(
            replace(INSTANCE, grants=(Grant(("team",)),), generation=1)
        )
        tenant = replace(policy("t", "t"), key=PolicyKey("team", "t"))
        bench.cluster.put(tenant)
        bench.cluster.put(policy("young", second=9))
        await bench.start()
        await bench.live(5)
        await bench.stop()
        bench.cluster.put_instance(
            replace(bench.cluster.instances["default"], grants=(), generation=2)
        )
        bench.cluster.put(policy("old", second=1))
        # The older one is listed first, the younger one comes after it.
        young = bench.cluster.policies.pop(PolicyKey("own", "young"))
        bench.cluster.put(young)
        await bench.start()
        await bench.live(5)
        revoked = bench.cluster.policies[tenant.key].status.conditions
        assert find(revoked, "Ready").reason == Reason.INSTANCE_NOT_FOUND
        lost = bench.policy("young").status.conditions
        assert find(lost, "Ready").reason == Reason.CONFLICT
        assert bench.policy("young").finalizers == ()
        await bench.stop()

    run(story())


def test_deletion_undoes_although_the_annotation_was_removed() -> None:
    """`status.original` stands in for it: the policy did own its target."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.seen(
            replace(
                bench.policy("p"),
                original=None,
                original_text=None,
                deleting=True,
                generation=2,
            )
        )
        await bench.live(5)
        assert bench.cluster.policies == {}
        assert bench.zitadel.own == {}
        await bench.stop()

    run(story())


def test_periodic_list_heals_what_the_watch_lost() -> None:
    """A change, a new object and an end that no event told are found by the LIST."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("changed", "a"))
        bench.cluster.put(policy("ended", "b"))
        await bench.start()
        await bench.live(5)
        bench.cluster.put(
            replace(bench.policy("changed"), password_change=True, generation=2)
        )
        bench.cluster.put(policy("new", "c"))
        # Somebody took the finalizer off, so it went without us.
        del bench.cluster.policies[PolicyKey("own", "ended")]
        bench.cluster.put(policy("heir", "b", second=5))
        await bench.live(2 * LIST_INTERVAL)
        assert bench.zitadel.own == {"a": True, "b": False, "c": False}
        heir = bench.policy("heir").status.conditions
        assert find(heir, "Ready").status == "True"
        await bench.stop()

    run(story())


def test_a_dead_task_ends_the_engine() -> None:
    """Whatever kills a worker or the LIST is told, so that the process can end."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        bench.steps.kill_at = 3
        engine = await bench.start()
        await asyncio.wait_for(engine.failed.wait(), 5)
        assert isinstance(engine.failure, Killed)
        await bench.stop()

    run(story())


def test_a_grant_that_goes_between_two_passes_ends_all_calls() -> None:
    """The condition says so at once, and a deletion then undoes nothing."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(replace(INSTANCE, grants=(Grant(("team",)),)))
        tenant = replace(policy("t"), key=PolicyKey("team", "t"))
        bench.cluster.put(tenant)
        await bench.start()
        await bench.live(5)
        assert bench.zitadel.own == {"o": False}
        assert bench.engine is not None
        closed = replace(bench.cluster.instances["default"], grants=(), generation=2)
        bench.engine.instance_seen(bench.cluster.put_instance(closed))
        before = len(bench.steps.log)
        await bench.live(5)
        stored = bench.cluster.policies[tenant.key]
        ready = find(stored.status.conditions, "Ready")
        assert ready.reason == Reason.INSTANCE_NOT_FOUND
        bench.seen(replace(stored, deleting=True, generation=2))
        await bench.live(5)
        assert tenant.key not in bench.cluster.policies
        assert bench.zitadel.own == {"o": False}
        calls = {s[0] for s in bench.steps.log[before:]}
        assert calls <= {"status", "strip", "identify"}
        await bench.stop()

    run(story())


def test_a_grant_that_goes_within_a_pass_stops_its_write() -> None:
    """Revoked between the look and the write: nothing is written."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(replace(INSTANCE, grants=(Grant(("team",)),)))
        bench.cluster.put(replace(policy("t"), key=PolicyKey("team", "t")))
        observe = bench.zitadel.observe

        async def revoking(organization_id: str | None) -> ObservedPolicy | None:
            assert bench.engine is not None
            closed = replace(bench.cluster.instances["default"], grants=())
            bench.engine.instance_seen(bench.cluster.put_instance(closed))
            return await observe(organization_id)

        bench.zitadel.observe = revoking
        await bench.start()
        await bench.live(30)
        assert bench.zitadel.writes() == []
        await bench.stop()

    run(story())


def test_two_instances_that_reach_one_zitadel_share_its_targets() -> None:
    """The younger claim conflicts, although it names another ZitadelInstance."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(replace(INSTANCE, name="other", uid="i2"))
        bench.cluster.put(policy("p", second=1))
        bench.cluster.put(replace(policy("q", second=2), instance="other"))
        await bench.start()
        await bench.live(5)
        ready = find(bench.policy("q").status.conditions, "Ready")
        assert ready.reason == Reason.CONFLICT
        bench.seen(replace(bench.policy("p"), deleting=True, generation=2))
        await bench.live(5)
        ready = find(bench.policy("q").status.conditions, "Ready")
        assert ready.status == "True"
        assert [s[0] for s in bench.zitadel.writes()] == ["Create"]
        await bench.stop()

    run(story())


def test_cleanup_is_switched_on_and_off() -> None:
    """Retain drops the finalizer alone, Reset puts it back; the original stays."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(replace(policy("p"), deletion=DeletionPolicy.RETAIN))
        await bench.start()
        await bench.live(5)
        original = bench.policy("p").original
        assert original is not None
        for generation, wanted, marks, step in (
            (2, DeletionPolicy.RESET, (FINALIZER,), "original"),
            (3, DeletionPolicy.RETAIN, (), "strip"),
            (4, None, (FINALIZER,), "original"),
        ):
            before = len(bench.steps.log)
            changed = replace(bench.policy("p"), deletion=wanted, generation=generation)
            bench.seen(changed)
            await bench.live(5)
            assert bench.policy("p").finalizers == marks
            assert bench.policy("p").original == original
            writes = [s[0] for s in bench.steps.log[before:] if s[0] != "observe"]
            assert writes == [step, "status"]
        assert [s[0] for s in bench.zitadel.writes()] == ["Create"]
        await bench.stop()

    run(story())


def test_retries_write_once_a_cause() -> None:
    """An hour of failing tries: one status for the cause, one when it is overdue."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        original = bench.zitadel.observe
        causes = [Reason.SERVER_ERROR, Reason.UNEXPECTED_ANSWER]

        async def failing(organization_id: str | None) -> ObservedPolicy | None:
            await original(organization_id)
            raise TransientError(causes[0], "does not serve")

        bench.zitadel.observe = failing
        reasons = []
        await bench.start()
        while causes:
            before = len(bench.steps.log)
            await bench.live(3600)
            new = [s for s in bench.steps.log[before:] if s == ("status", "own/p")]
            reasons.append(len(new))
            tries = [s for s in bench.steps.log[before:] if s[0] == "observe"]
            assert 30 < len(tries) < 120
            del causes[0]
        assert reasons == [2, 1]
        told = [reason for name, reason in bench.recorder.notices if name == "p"]
        assert told == [Reason.SERVER_ERROR, Reason.UNEXPECTED_ANSWER]
        await bench.stop()

    run(story())


def test_events_tell_transitions_once() -> None:
    """Created, Updated, DriftCorrected, trouble, Recovered, Deleted: each one time."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.seen(replace(bench.policy("p"), password_change=True, generation=2))
        await bench.live(5)
        bench.zitadel.own["o"] = False
        await bench.live(1500)
        bench.seen(replace(bench.policy("p"), requested_at="now"))
        await bench.live(5)
        bench.zitadel.trouble = TerminalError(Reason.CREDENTIALS_REJECTED, "no")
        await bench.live(700)
        bench.zitadel.trouble = None
        await bench.live(700)
        bench.seen(replace(bench.policy("p"), deleting=True, generation=3))
        await bench.live(5)
        told = [reason for name, reason in bench.recorder.notices if name == "p"]
        assert told == [
            *("Created", "Updated", "DriftCorrected", "ReconcileRequested"),
            *("CredentialsRejected", "Recovered", "Deleted"),
        ]
        await bench.stop()

    run(story())


def test_a_rotated_secret_is_used_within_a_minute() -> None:
    """It is tried by itself; that ZITADEL refuses it yet is told, and passes."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.cluster.secrets[REF] = b"new"
        before = len(bench.steps.log)
        await bench.live(60)
        assert bench.zitadel.token == "new"
        written = [s for s in bench.steps.log[before:] if s[0] == "status"]
        # ZITADEL still takes the old one only, so the new one is told as refused.
        assert written == [("status", "default"), ("status", "own/p")]
        bench.zitadel.accepted = "new"
        await bench.live(330)
        ready = find(bench.policy("p").status.conditions, "Ready")
        assert ready.status == "True"
        await bench.stop()

    run(story())


def test_a_refused_token_sends_for_the_secret_at_once() -> None:
    """The first 401 that a policy meets is not even told when a new one is there."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.cluster.secrets[REF] = b"new"
        bench.zitadel.accepted = "new"
        before = len(bench.steps.log)
        bench.seen(replace(bench.policy("p"), password_change=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {"o": True}
        written = [s for s in bench.steps.log[before:] if s[0] == "status"]
        assert written == [("status", "own/p")]
        await bench.stop()

    run(story())
