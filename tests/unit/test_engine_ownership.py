"""Who owns a target: claims, grants, and the effect of switching them."""

from dataclasses import replace

from support.engines import INSTANCE, Harness, condition_of, original_of, policy
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
        harness = Harness()
        harness.cluster.put(policy("young", second=9))
        await harness.start()
        await harness.live(5)
        harness.seen(policy("old", second=1))
        await harness.live(5)
        young, old = harness.policy("young"), harness.policy("old")
        assert old.original is not None
        assert old.original.value == OriginalValue(True, mails(True))
        assert young.original_text is None
        assert young.finalizers == ()
        assert condition_of(young.status, "Ready").reason == Reason.CONFLICT
        harness.seen(replace(old, deleting=True, generation=2))
        await harness.live(5)
        young = harness.policy("young")
        assert original_of(young).value == OriginalValue(True, mails(True))
        assert [s[0] for s in harness.zitadel.writes()] == ["Create"]
        await harness.stop()

    run(story())


def test_restart_finds_what_was_revoked_or_lost_meanwhile() -> None:
    """A policy with status Ready gets a pass if it may no longer be so."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(
            replace(INSTANCE, grants=(Grant(("team",)),), generation=1)
        )
        tenant = replace(policy("t", "t"), key=PolicyKey("team", "t"))
        harness.cluster.put(tenant)
        harness.cluster.put(policy("young", second=9))
        await harness.start()
        await harness.live(5)
        await harness.stop()
        harness.cluster.put_instance(
            replace(harness.cluster.instances["default"], grants=(), generation=2)
        )
        harness.cluster.put(policy("old", second=1))
        # The LIST has the older one first, then the younger one.
        young = harness.cluster.policies.pop(PolicyKey("own", "young"))
        harness.cluster.put(young)
        await harness.start()
        await harness.live(5)
        revoked = harness.cluster.policies[tenant.key].status
        assert condition_of(revoked, "Ready").reason == Reason.INSTANCE_NOT_FOUND
        assert harness.ready("young").reason == Reason.CONFLICT
        assert harness.policy("young").finalizers == ()
        await harness.stop()

    run(story())


def test_a_grant_that_goes_between_two_passes_ends_all_calls() -> None:
    """The condition says so at once, and a deletion then undoes nothing."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(Grant(("team",)),)))
        tenant = replace(policy("t"), key=PolicyKey("team", "t"))
        harness.cluster.put(tenant)
        await harness.start()
        await harness.live(5)
        assert harness.zitadel.own == {"o": False}
        assert harness.engine is not None
        closed = replace(harness.cluster.instances["default"], grants=(), generation=2)
        harness.engine.watch_events.seen(harness.cluster.put_instance(closed))
        before = len(harness.steps.log)
        await harness.live(5)
        stored = harness.cluster.policies[tenant.key]
        ready = condition_of(stored.status, "Ready")
        assert ready.reason == Reason.INSTANCE_NOT_FOUND
        harness.seen(replace(stored, deleting=True, generation=2))
        await harness.live(5)
        assert tenant.key not in harness.cluster.policies
        assert harness.zitadel.own == {"o": False}
        calls = {s[0] for s in harness.steps.log[before:]}
        assert calls <= {"status", "strip", "identify", "crd"}
        await harness.stop()

    run(story())


def test_a_grant_that_goes_within_a_pass_stops_its_write() -> None:
    """The grant is revoked between the GET and the write."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(Grant(("team",)),)))
        harness.cluster.put(replace(policy("t"), key=PolicyKey("team", "t")))
        observe = harness.zitadel.observe

        async def revoking(organization_id: str | None) -> ObservedPolicy | None:
            assert harness.engine is not None
            closed = replace(harness.cluster.instances["default"], grants=())
            harness.engine.watch_events.seen(harness.cluster.put_instance(closed))
            return await observe(organization_id)

        instead_of(harness.zitadel.observe).call(revoking)
        await harness.start()
        await harness.live(30)
        assert harness.zitadel.writes() == []
        await harness.stop()

    run(story())


def test_two_instances_that_reach_one_zitadel_share_its_targets() -> None:
    """The younger claim conflicts, although it names another ZitadelInstance."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(
            replace(INSTANCE, key=ObjectKey("", "other"), uid="i2")
        )
        harness.cluster.put(policy("p", second=1))
        harness.cluster.put(replace(policy("q", second=2), instance="other"))
        await harness.start()
        await harness.live(5)
        ready = condition_of(harness.policy("q").status, "Ready")
        assert ready.reason == Reason.CONFLICT
        harness.seen(replace(harness.policy("p"), deleting=True, generation=2))
        await harness.live(5)
        ready = condition_of(harness.policy("q").status, "Ready")
        assert ready.status == "True"
        assert [s[0] for s in harness.zitadel.writes()] == ["Create"]
        await harness.stop()

    run(story())


def test_cleanup_is_switched_on_and_off() -> None:
    """Retain drops only the finalizer, Reset restores it; the original stays."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(replace(policy("p"), deletion=DeletionPolicy.RETAIN))
        await harness.start()
        await harness.live(5)
        original = harness.policy("p").original
        assert original is not None
        for generation, wanted, marks, step in (
            (2, DeletionPolicy.RESET, (FINALIZER,), "original"),
            (3, DeletionPolicy.RETAIN, (), "strip"),
            (4, None, (FINALIZER,), "original"),
        ):
            before = len(harness.steps.log)
            changed = replace(
                harness.policy("p"), deletion=wanted, generation=generation
            )
            harness.seen(changed)
            await harness.live(5)
            assert harness.policy("p").finalizers == marks
            assert harness.policy("p").original == original
            writes = [s[0] for s in harness.steps.log[before:] if s[0] != "observe"]
            assert writes == [step, "status"]
        assert [s[0] for s in harness.zitadel.writes()] == ["Create"]
        await harness.stop()

    run(story())


def test_a_finished_deletion_that_somebody_holds_up_says_so() -> None:
    """Its values are removed, and nobody takes over its original."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(replace(policy("a"), finalizers=("example.com/x",)))
        await harness.start()
        await harness.live(5)
        harness.seen(replace(harness.policy("a"), deleting=True, generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {}
        held = harness.policy("a")
        assert held.finalizers == ("example.com/x",)
        assert held.original_text is None
        assert (harness.ready("a").status, harness.ready("a").reason) == (
            "False",
            Reason.DELETED,
        )
        harness.zitadel.own["o"] = True
        harness.seen(policy("b", second=9))
        await harness.live(5)
        assert harness.policy("b").status.original == OriginalValue(False, mails(True))
        before = len(harness.steps.log)
        await harness.live(60)
        assert ("status", "own/a") not in harness.steps.log[before:]
        await harness.stop()

    run(story())
