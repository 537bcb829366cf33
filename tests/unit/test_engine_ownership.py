"""Who owns a target, what it remembers of it, and who inherits that."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from support.engines import INSTANCE, Bench, policy
from support.fakes import FakeZitadel
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    Endpoint,
    PolicyObject,
)
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
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


def other_zitadel(bench: Bench) -> FakeZitadel:
    """Return another ZITADEL, reached at https://other."""
    other = FakeZitadel(bench.steps, "other")
    other.home = "home-of-other"
    bench.zitadel.elsewhere["https://other"] = other
    return other


def of_credential(name: str) -> PolicyObject:
    """Return a policy of the credential's own organization."""
    return replace(policy(name), organization_id=None, of_credential=True)


def test_a_pin_of_another_zitadel_counts_as_absent() -> None:
    """After acceptance the reference is resolved anew; the old id is not written to."""

    async def story() -> None:
        bench = Bench()
        other = other_zitadel(bench)
        bench.cluster.put(of_credential("p"))
        await bench.start()
        await bench.live(5)
        assert bench.policy("p").status.organization_id == "home"
        moved = replace(
            bench.cluster.instances["default"],
            endpoint=Endpoint("https://other"),
            generation=2,
        )
        bench.instance_seen(moved)
        await bench.live(5)
        assert bench.ready("p").reason == Reason.INSTANCE_NOT_READY
        assert other.own == {}
        accepted = replace(bench.cluster.instances["default"], accepted_id="other")
        bench.instance_seen(accepted)
        await bench.live(5)
        assert other.own == {"home-of-other": False}
        status = bench.policy("p").status
        assert status.organization_id == "home-of-other"
        assert status.original == OriginalValue(True, True)
        await bench.stop()

    run(story())


def test_a_recreated_instance_may_not_lead_elsewhere_unaccepted() -> None:
    """It knows nothing itself; what its policies have recorded tells."""

    async def story() -> None:
        bench = Bench()
        other = other_zitadel(bench)
        bench.cluster.put(of_credential("p"))
        await bench.start()
        await bench.live(5)
        assert bench.engine is not None
        del bench.cluster.instances["default"]
        bench.engine.instance_gone("default")
        again = replace(INSTANCE, uid="new", endpoint=Endpoint("https://other"))
        bench.instance_seen(again)
        await bench.live(5)
        stored = bench.cluster.instances["default"]
        stalled = find(stored.status.conditions, "Stalled")
        assert stalled.reason == Reason.INSTANCE_CHANGED
        bench.instance_seen(replace(stored, accepted_id="other"))
        await bench.live(5)
        assert other.own == {"home-of-other": False}
        await bench.stop()

    run(story())


def test_deletion_resets_what_the_spec_names_not_what_the_annotation_says() -> None:
    """Anybody who may edit the object may write the annotation."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p", "mine"))
        bench.zitadel.own["theirs"] = True
        await bench.start()
        await bench.live(5)
        stored = bench.policy("p")
        forged = replace(stored.original, target=Target("z", "theirs"))
        bench.seen(
            replace(
                stored,
                original=forged,
                original_text=forged.to_text(),
                deleting=True,
                generation=2,
            )
        )
        await bench.live(5)
        assert bench.cluster.policies == {}
        assert bench.zitadel.own == {"theirs": True}
        await bench.stop()

    run(story())


def test_an_annotation_of_nobody_with_a_grant_is_not_believed() -> None:
    """A forged original on a policy without a grant does not reach the owner's."""

    async def story() -> None:
        bench = Bench()
        forged = Original("uid-evil", Target("z", "o"), OriginalValue(False, False))
        evil = replace(
            policy("evil"),
            key=PolicyKey("evil", "evil"),
            original=forged,
            original_text=forged.to_text(),
        )
        bench.cluster.put(evil)
        await bench.start()
        await bench.live(5)
        bench.seen(policy("p", second=9))
        await bench.live(5)
        assert bench.policy("p").status.original == OriginalValue(True, True)
        await bench.stop()

    run(story())


def test_no_heir_whose_instance_leads_elsewhere() -> None:
    """Such a policy claims nothing, so the deletion makes its reset."""

    async def story() -> None:
        bench = Bench()
        other_zitadel(bench)
        bench.cluster.put_instance(replace(INSTANCE, name="second", uid="i2"))
        bench.cluster.put(policy("p", second=1))
        bench.cluster.put(replace(policy("q", second=2), instance="second"))
        await bench.start()
        await bench.live(5)
        assert bench.ready("q").reason == Reason.CONFLICT
        bench.instance_seen(
            replace(
                bench.cluster.instances["second"],
                endpoint=Endpoint("https://other"),
                generation=2,
            )
        )
        await bench.live(5)
        bench.seen(replace(bench.policy("p"), deleting=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {}
        await bench.stop()

    run(story())


@pytest.mark.parametrize("text", ["garbage", "{}"])
def test_a_spoiled_annotation_is_rewritten_from_the_status(text: str) -> None:
    """Alive it is put right; a deletion still undoes."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        spoiled = replace(bench.policy("p"), original=None, original_text=text)
        bench.seen(spoiled)
        await bench.live(5)
        assert bench.policy("p").original.value == OriginalValue(True, True)
        spoiled = replace(bench.policy("p"), original=None, original_text=text)
        bench.seen(replace(spoiled, deleting=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {}
        await bench.stop()

    run(story())


def test_an_owner_that_retains_leaves_its_original_to_the_next() -> None:
    """It has no finalizer to hold it, so its record goes with it."""

    async def story() -> None:
        bench = Bench()
        retained = replace(policy("a", second=1), deletion=DeletionPolicy.RETAIN)
        bench.cluster.put(retained)
        await bench.start()
        await bench.live(5)
        bench.seen(policy("b", second=2))
        await bench.live(5)
        bench.seen(replace(bench.policy("a"), deleting=True, generation=2))
        await bench.live(5)
        assert bench.policy("b").status.original == OriginalValue(True, True)
        await bench.stop()

    run(story())


def test_a_finished_deletion_that_somebody_holds_up_says_so() -> None:
    """Its values go, and its original is nobody's inheritance."""

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
        assert bench.policy("b").status.original == OriginalValue(False, True)
        before = len(bench.steps.log)
        await bench.live(60)
        assert ("status", "own/a") not in bench.steps.log[before:]
        await bench.stop()

    run(story())


@pytest.mark.parametrize(
    "change",
    [
        {"management": ManagementPolicy.OBSERVE},
        {"deleting": True, "finalizers": ("example.com/x",)},
    ],
    ids=["observes", "deleted but held"],
)
def test_an_owner_that_stays_but_gives_up_leaves_its_original(
    change: dict[str, Any],
) -> None:
    """Whatever takes the claim away, the next owner gets the record."""

    async def story() -> None:
        bench = Bench()
        retained = replace(policy("a", second=1), deletion=DeletionPolicy.RETAIN)
        bench.cluster.put(replace(retained, finalizers=("example.com/x",)))
        await bench.start()
        await bench.live(5)
        bench.seen(policy("b", second=2))
        await bench.live(5)
        bench.seen(replace(bench.policy("a"), generation=2, **change))
        await bench.live(5)
        assert bench.policy("b").status.original == OriginalValue(True, True)
        assert bench.policy("a").original_text is None
        await bench.stop()

    run(story())


def test_an_owner_that_loses_its_grant_leaves_its_original() -> None:
    """The heir in the namespace that keeps its grant gets it."""

    async def story() -> None:
        bench = Bench()
        both = replace(INSTANCE, grants=(Grant(("a", "b")),))
        bench.cluster.put_instance(both)
        first = replace(policy("p", second=1), key=PolicyKey("a", "p"))
        second = replace(policy("q", second=2), key=PolicyKey("b", "q"), uid="uid-q")
        bench.cluster.put(first)
        await bench.start()
        await bench.live(5)
        bench.seen(second)
        await bench.live(5)
        stored = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored, grants=(Grant(("b",)),), generation=2))
        await bench.live(5)
        heir = bench.cluster.policies[second.key]
        assert heir.status.original == OriginalValue(True, True)
        await bench.stop()

    run(story())


@pytest.mark.parametrize(
    "forged",
    [
        Original("uid-p", Target("999", "o"), OriginalValue(False, False)),
        Original("uid-p", Target("z", "o"), OriginalValue(False, False)),
    ],
    ids=["another ZITADEL", "another value"],
)
def test_the_status_is_believed_before_the_annotation(forged: Original) -> None:
    """Alive it stays; a deletion undoes what is owed."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        spoiled = {"original": forged, "original_text": forged.to_text()}
        bench.seen(replace(bench.policy("p"), **spoiled))
        await bench.live(5)
        assert bench.policy("p").status.original == OriginalValue(True, True)
        bench.seen(replace(bench.policy("p"), **spoiled, deleting=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {}
        await bench.stop()

    run(story())


def test_a_check_that_is_overtaken_says_nothing_of_the_new_spec() -> None:
    """Ready for a url that never answered would be a lie."""

    async def story() -> None:
        bench = Bench()
        hanging = other_zitadel(bench)
        await bench.start()
        await bench.live(5)
        identify = bench.zitadel.identify

        async def slow() -> str:
            await asyncio.sleep(2)
            return await identify()

        async def hang() -> str:
            await asyncio.sleep(10)
            raise TransientError(Reason.UNREACHABLE, "no answer")

        bench.zitadel.identify, hanging.identify = slow, hang
        stored = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored, requested_at="now"))
        await bench.live(1)
        stored = bench.cluster.instances["default"]
        moved = replace(stored, endpoint=Endpoint("https://other"), generation=2)
        bench.instance_seen(moved)
        for _ in range(20):
            await bench.live(1)
            status = bench.cluster.instances["default"].status
            ready = find(status.conditions, "Ready")
            assert (ready.status, ready.observed_generation) != ("True", 2)
        assert ready.reason == Reason.UNREACHABLE
        await bench.stop()

    run(story())


def test_a_check_of_an_object_that_is_gone_says_nothing_of_its_namesake() -> None:
    """A recreated instance without policies is Ready with its own ZITADEL."""

    async def story() -> None:
        bench = Bench()
        other_zitadel(bench)
        await bench.start()
        await bench.live(5)
        identify = bench.zitadel.identify

        async def slow() -> str:
            await asyncio.sleep(5)
            return await identify()

        bench.zitadel.identify = slow
        stored = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored, requested_at="now"))
        await bench.live(1)
        assert bench.engine is not None
        del bench.cluster.instances["default"]
        bench.engine.instance_gone("default")
        again = replace(INSTANCE, uid="new", endpoint=Endpoint("https://other"))
        bench.instance_seen(again)
        await bench.live(10)
        status = bench.cluster.instances["default"].status
        assert status.instance_id == "other"
        assert find(status.conditions, "Ready").status == "True"
        await bench.stop()

    run(story())


def test_an_organization_known_to_be_removed_gets_no_delete() -> None:
    """ZITADEL would take it, and write an event after the organization's end."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.zitadel.own.clear()
        bench.zitadel.removed.add("o")
        await bench.live(900)
        assert bench.ready("p").reason == Reason.ORGANIZATION_NOT_FOUND
        bench.seen(replace(bench.policy("p"), deleting=True, generation=2))
        await bench.live(5)
        assert bench.cluster.policies == {}
        assert "Reset" not in [s[0] for s in bench.zitadel.writes()]
        await bench.stop()

    run(story())
