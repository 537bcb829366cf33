"""Who owns a target: claims, grants, and the effect of switching them."""

from dataclasses import replace

from support.engines import INSTANCE, Bench, condition_of, original_of, policy
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ObservedPolicy,
)
from zitadel_notification_operator.core.reasons import Reason


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
        assert old.original.value == OriginalValue(True, mails(True))
        assert young.original_text is None
        assert young.finalizers == ()
        assert condition_of(young.status, "Ready").reason == Reason.CONFLICT
        bench.seen(replace(old, deleting=True, generation=2))
        await bench.live(5)
        young = bench.policy("young")
        assert original_of(young).value == OriginalValue(True, mails(True))
        assert [s[0] for s in bench.zitadel.writes()] == ["Create"]
        await bench.stop()

    run(story())


def test_restart_finds_what_was_revoked_or_lost_meanwhile() -> None:
    """A policy with status Ready gets a pass if it may no longer be so."""

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
        # The LIST has the older one first, then the younger one.
        young = bench.cluster.policies.pop(PolicyKey("own", "young"))
        bench.cluster.put(young)
        await bench.start()
        await bench.live(5)
        revoked = bench.cluster.policies[tenant.key].status
        assert condition_of(revoked, "Ready").reason == Reason.INSTANCE_NOT_FOUND
        assert bench.ready("young").reason == Reason.CONFLICT
        assert bench.policy("young").finalizers == ()
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
        bench.engine.watch_events.seen(bench.cluster.put_instance(closed))
        before = len(bench.steps.log)
        await bench.live(5)
        stored = bench.cluster.policies[tenant.key]
        ready = condition_of(stored.status, "Ready")
        assert ready.reason == Reason.INSTANCE_NOT_FOUND
        bench.seen(replace(stored, deleting=True, generation=2))
        await bench.live(5)
        assert tenant.key not in bench.cluster.policies
        assert bench.zitadel.own == {"o": False}
        calls = {s[0] for s in bench.steps.log[before:]}
        assert calls <= {"status", "strip", "identify", "crd"}
        await bench.stop()

    run(story())


def test_a_grant_that_goes_within_a_pass_stops_its_write() -> None:
    """The grant is revoked between the GET and the write."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(replace(INSTANCE, grants=(Grant(("team",)),)))
        bench.cluster.put(replace(policy("t"), key=PolicyKey("team", "t")))
        observe = bench.zitadel.observe

        async def revoking(organization_id: str | None) -> ObservedPolicy | None:
            assert bench.engine is not None
            closed = replace(bench.cluster.instances["default"], grants=())
            bench.engine.watch_events.seen(bench.cluster.put_instance(closed))
            return await observe(organization_id)

        instead_of(bench.zitadel.observe).call(revoking)
        await bench.start()
        await bench.live(30)
        assert bench.zitadel.writes() == []
        await bench.stop()

    run(story())


def test_two_instances_that_reach_one_zitadel_share_its_targets() -> None:
    """The younger claim conflicts, although it names another ZitadelInstance."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(
            replace(INSTANCE, key=ObjectKey("", "other"), uid="i2")
        )
        bench.cluster.put(policy("p", second=1))
        bench.cluster.put(replace(policy("q", second=2), instance="other"))
        await bench.start()
        await bench.live(5)
        ready = condition_of(bench.policy("q").status, "Ready")
        assert ready.reason == Reason.CONFLICT
        bench.seen(replace(bench.policy("p"), deleting=True, generation=2))
        await bench.live(5)
        ready = condition_of(bench.policy("q").status, "Ready")
        assert ready.status == "True"
        assert [s[0] for s in bench.zitadel.writes()] == ["Create"]
        await bench.stop()

    run(story())


def test_cleanup_is_switched_on_and_off() -> None:
    """Retain drops only the finalizer, Reset restores it; the original stays."""

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


def test_a_finished_deletion_that_somebody_holds_up_says_so() -> None:
    """Its values are removed, and nobody takes over its original."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(replace(policy("a"), finalizers=("example.com/x",)))
        await bench.start()
        await bench.live(5)
        bench.seen(replace(bench.policy("a"), deleting=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {}
        held = bench.policy("a")
        assert held.finalizers == ("example.com/x",)
        assert held.original_text is None
        assert (bench.ready("a").status, bench.ready("a").reason) == (
            "False",
            Reason.DELETED,
        )
        bench.zitadel.own["o"] = True
        bench.seen(policy("b", second=9))
        await bench.live(5)
        assert bench.policy("b").status.original == OriginalValue(False, mails(True))
        before = len(bench.steps.log)
        await bench.live(60)
        assert ("status", "own/a") not in bench.steps.log[before:]
        await bench.stop()

    run(story())
