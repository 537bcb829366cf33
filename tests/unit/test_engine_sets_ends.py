"""Sets in an engine on a virtual clock: crashes, deletions, suspension, old specs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from support.engines import INSTANCE, policy, with_spec
from support.sets import POLL, Sets, a_set, counts
from support.settings import mails
from support.steps import Answer, Steps
from support.virtual_time import run
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import (
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import NotUnderstood
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    OrganizationPage,
)
from zitadel_notification_operator.core.policy_object import Controller
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.selection import Matcher, Selector
from zitadel_notification_operator.core.set_object import Limits, SetCounts
from zitadel_notification_operator.core.set_report import Fold, settled
from zitadel_notification_operator.core.settings import NO_SETTINGS


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_a_set_ends_the_same(after: bool) -> None:
    """Each organization has one policy, and its deletion undoes everything."""

    async def story(kill_at: int) -> int:
        harness = Sets()
        harness.steps.kill_at, harness.steps.after = kill_at, after
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESTORE))
        await harness.live(120)
        assert harness.names() == {"s-1", "s-2", "s-3"}, kill_at
        assert harness.zitadel.own == dict.fromkeys("123", False), kill_at
        assert counts(harness) == (3, 3, 0, 0, 0), kill_at
        harness.set_seen(replace(harness.of(), deleting=True))
        await harness.live(120)
        assert not harness.cluster.sets, kill_at
        assert harness.names() == set(), kill_at
        assert harness.zitadel.own == {}, kill_at
        await harness.stop()
        return len(harness.steps.log)

    steps = run(story(-1))
    assert steps > 30
    for kill_at in range(steps):
        run(story(kill_at))


def test_a_name_that_is_free_again_is_used_at_once() -> None:
    """Until then the organization counts as failed, and the object is not touched."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.seen(policy("s-1", "2"))
        harness.set_seen(a_set(organizations=Selector(include=(Matcher(id="1"),))))
        await harness.live(10)
        assert counts(harness) == (1, 0, 0, 1, 0)
        (failure,) = harness.of().status.failures
        assert failure.reason == Reason.NAME_TAKEN
        harness.seen(replace(harness.policy("s-1"), deleting=True))
        await harness.live(3)
        assert harness.zitadel.own["1"] is False
        assert harness.ready("s-1").status == "True"
        await harness.stop()

    run(story())


def test_a_policy_that_lost_its_owner_is_adopted() -> None:
    """As in a backup; its label and target show whose it is."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set())
        await harness.live(10)
        before = harness.policy("s-1")
        harness.seen(replace(before, controller=None))
        await harness.live(5)
        after = harness.policy("s-1")
        assert (after.uid, after.controller) == (before.uid, before.controller)
        await harness.stop()

    run(story())


def test_what_overruled_a_set_belongs_to_an_older_set_after_a_restart() -> None:
    """Then nothing overrules it any longer: it is in conflict."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        plain = replace(policy("old-1", "1"), set_label="old", settings=mails(False))
        harness.seen(replace(plain, deletion=DeletionPolicy.RETAIN))
        harness.set_seen(a_set("young", 2))
        await harness.live(10)
        assert harness.ready("young-1").reason == Reason.OVERRIDDEN
        await harness.stop()
        old = harness.cluster.put_set(a_set("old", 1))
        controller = Controller(old.name, old.uid)
        harness.cluster.put(replace(harness.policy("old-1"), controller=controller))
        await harness.start()
        await harness.live(30)
        assert harness.ready("old-1").reason == Reason.SUCCEEDED
        assert harness.ready("young-1").reason == Reason.CONFLICT
        await harness.stop()

    run(story())


def delayed(harness: Sets, seconds: float, failure: Exception | None = None) -> None:
    """Let readings of the list of organizations take time, and then fail if asked."""
    whole = harness.zitadel.organizations

    async def organizations(offset: int, limit: int) -> OrganizationPage:
        await asyncio.sleep(seconds)
        if failure is not None:
            raise failure
        return await whole(offset, limit)

    harness.zitadel.organizations = organizations  # type: ignore[method-assign]


@pytest.mark.parametrize("seconds", [0.0, 0.5, 20.0])
def test_a_restart_forgets_no_set_that_wants_a_deleted_policy(seconds: float) -> None:
    """Until the new process knows what the set selects, the deletion waits."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESTORE))
        await harness.live(10)
        before = harness.policy("s-1")
        harness.seen(replace(before, deleting=True))
        await harness.live(1)
        await harness.stop()
        delayed(harness, seconds)
        await harness.start()
        await harness.live(60)
        after = harness.policy("s-1")
        assert after.uid != before.uid
        assert after.status.original == before.status.original
        assert [write[0] for write in harness.zitadel.writes()] == ["Create"] * 3
        await harness.stop()

    run(story())


@pytest.mark.parametrize("deletion", [DeletionPolicy.RESET, DeletionPolicy.RETAIN])
@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 0.5, 20.0])
def test_a_set_is_renamed_at_once(
    seconds: float, restarts: bool, deletion: DeletionPolicy
) -> None:
    """As by a tool that applies the new one and prunes the old one."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set("old", 1, deletion=deletion))
        await harness.live(10)
        before = harness.policy("old-1")
        delayed(harness, seconds)
        if restarts:
            await harness.stop()
            harness.cluster.put_set(a_set("new", 2, deletion=deletion))
            harness.cluster.put_set(replace(harness.of("old"), deleting=True))
            await harness.start()
        else:
            harness.set_seen(a_set("new", 2, deletion=deletion))
            harness.set_seen(replace(harness.of("old"), deleting=True))
        await harness.live(60)
        assert harness.names() == {"new-1", "new-2", "new-3"}
        assert harness.policy("new-1").status.original == before.status.original
        assert [write[0] for write in harness.zitadel.writes()] == ["Create"] * 3
        await harness.stop()

    run(story())


def test_a_set_that_cannot_select_holds_up_no_other_deletion() -> None:
    """For half a minute at most, and then never again."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        for name in "12":
            harness.seen(policy(f"plain-{name}", name))
        await harness.live(10)
        delayed(harness, 0, TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no role"))
        harness.set_seen(a_set())
        harness.seen(replace(harness.policy("plain-1"), deleting=True))
        await harness.live(25)
        assert harness.names() == {"plain-1", "plain-2"}
        await harness.live(10)
        assert harness.names() == {"plain-2"}
        harness.seen(replace(harness.policy("plain-2"), deleting=True))
        await harness.live(0.1)
        assert harness.names() == set()
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("is_wanted", [False, True])
def test_an_original_waits_for_a_set_that_has_not_selected_yet(is_wanted: bool) -> None:
    """Without a finalizer the policy is gone at once; memory is all that is left."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RETAIN))
        await harness.live(10)
        before = harness.policy("s-1")
        await harness.stop()
        delayed(harness, 20)
        await harness.start()
        await harness.live(1)
        harness.seen(replace(harness.policy("s-1"), deleting=True))
        assert harness.names() == {"s-2", "s-3"}
        if not is_wanted:
            harness.edit(organizations=Selector(True, (), (Matcher(id="1"),)))
        await harness.live(200)
        assert harness.parts is not None
        left = harness.parts.inventory.originals.bequest(Target("z", "1"), "own")
        assert left is None
        if is_wanted:
            after = harness.policy("s-1")
            assert after.status.original == before.status.original
        await harness.stop()

    run(story())


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("why", ["suspended", "too many"])
def test_a_deleted_policy_that_its_set_does_not_make_again_is_undone(
    why: str, restarts: bool
) -> None:
    """While the set adds nothing; so the original is true when it adds again."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESTORE))
        await harness.live(10)
        before = harness.policy("s-1")
        limits = Limits(organizations=2 if why == "too many" else 3)
        harness.edit(suspended=why == "suspended", limits=limits)
        await harness.live(10)
        harness.seen(replace(harness.policy("s-1"), deleting=True))
        if restarts:
            await harness.stop()
            await harness.start()
        await harness.live(60)
        assert harness.names() == {"s-2", "s-3"}
        assert harness.zitadel.own.keys() == {"2", "3"}
        harness.edit(suspended=False, limits=Limits(organizations=3))
        await harness.live(60)
        assert harness.policy("s-1").status.original == before.status.original
        assert harness.zitadel.own.keys() == {"1", "2", "3"}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("way_out", [False, True])
def test_a_deletion_says_that_it_waits_for_its_set(way_out: bool) -> None:
    """After a restart with a list that cannot be read; Retain is the way out."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(10)
        harness.seen(replace(harness.policy("s-1"), deleting=True))
        await harness.live(1)
        await harness.stop()
        whole = harness.zitadel.organizations
        delayed(harness, 0, TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no role"))
        await harness.start()
        await harness.live(60)
        ready = harness.ready("s-1")
        assert ready.reason == Reason.DIRECTORY_NOT_READABLE
        assert "spec.deletionPolicy" in ready.message
        probes = [step for step in harness.steps.log if step[0] == "identify"]
        assert len(probes) == 2  # one of each process
        if way_out:
            changed = replace(harness.policy("s-1"), deletion=DeletionPolicy.RETAIN)
            harness.seen(replace(changed, generation=2))
            await harness.live(1)
            assert harness.names() == {"s-2", "s-3"}
        else:
            await harness.live(1200)
            assert harness.policy("s-1").deleting
        harness.zitadel.organizations = whole  # type: ignore[method-assign]
        await harness.live(400)
        assert counts(harness) == (3, 3, 0, 0, 0)
        assert [write[0] for write in harness.zitadel.writes()] == ["Create"] * 3
        await harness.stop()

    run(story())


def test_a_leaver_is_undone_after_a_restart() -> None:
    """The set deleted it, and does not want it again."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(10)
        harness.zitadel.turn.clear()
        harness.edit(organizations=Selector(True, (), (Matcher(id="1"),)))
        await harness.live(10)
        assert harness.policy("s-1").deleting
        await harness.stop()
        harness.zitadel.turn.set()
        await harness.start()
        await harness.live(60)
        assert harness.names() == {"s-2", "s-3"}
        assert harness.zitadel.own.keys() == {"2", "3"}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("seconds", [0.1, 2.0])
def test_policies_that_go_just_before_their_set_are_undone(seconds: float) -> None:
    """As when a namespace is deleted, or everything in it."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(10)
        for key in list(harness.cluster.policies):
            harness.seen(replace(harness.cluster.policies[key], deleting=True))
        await harness.live(seconds)
        harness.set_seen(replace(harness.of(), deleting=True))
        await harness.live(30)
        assert harness.names() == set()
        assert not harness.cluster.sets
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_a_set_created_suspended_is_no_warning() -> None:
    """It does nothing, as it was asked to."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(suspended=True))
        await harness.live(10)
        assert harness.ready_of().reason == Reason.SUSPENDED
        assert harness.names() == set()
        assert not [r for key, r in harness.recorder.notices if r == "Suspended"]
        await harness.stop()

    run(story())


@pytest.mark.parametrize("field", ["passwordChange", "deletionPolicy"])
def test_the_deletion_of_a_set_that_is_not_understood_ends(field: str) -> None:
    """By what can be read of it; without a deletionPolicy, as with Retain."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(10)
        why = NotUnderstood("it is of a newer version", frozenset({field}))
        spoiled = replace(harness.of(), not_understood=why, generation=2)
        if field == "passwordChange":
            spoiled = replace(spoiled, settings=NO_SETTINGS)
        harness.set_seen(spoiled)
        await harness.live(10)
        assert harness.ready_of().reason == Reason.SPEC_NOT_UNDERSTOOD
        assert harness.names() == {"s-1", "s-2", "s-3"}
        harness.set_seen(replace(harness.of(), deleting=True))
        await harness.live(2)
        assert all(
            p.settings == mails(False) for p in harness.cluster.policies.values()
        )
        await harness.live(30)
        assert harness.names() == set()
        assert not harness.cluster.sets
        kept = {} if field == "passwordChange" else dict.fromkeys("123", False)
        assert harness.zitadel.own == kept
        await harness.stop()

    run(story())


def test_a_long_roll_out_is_not_overdue() -> None:
    """It makes progress, however long it takes; a failure does not."""
    one = a_set()
    pending = Fold(SetCounts(matched=2, ready=1, pending=1))
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for minutes in range(0, 60, 5):
        now = began + timedelta(minutes=minutes)
        one = replace(one, status=settled(one, pending, now))
        assert find(one.status.conditions, "Stalled") is None
    failing = Fold(SetCounts(matched=2, ready=1, failed=1))
    for minutes in (60, 71):
        now = began + timedelta(minutes=minutes)
        one = replace(one, status=settled(one, failing, now))
    stalled = find(one.status.conditions, "Stalled")
    assert stalled is not None
    assert stalled.reason == Reason.PROGRESS_DEADLINE_EXCEEDED


def test_a_set_keeps_nothing_from_others_that_it_will_not_make() -> None:
    """Not while it is suspended, has too many, or has lost its grant."""

    async def story() -> None:
        harness = Sets()
        granted = with_spec(
            INSTANCE, poll_interval=POLL, grants=(Grant(("team",)), Grant(("own",)))
        )
        harness.cluster.put_instance(granted)
        await harness.start()
        older = a_set("old", 1, namespace="team", limits=Limits(organizations=2))
        harness.set_seen(older)
        harness.set_seen(a_set("young", 2))
        await harness.live(10)
        assert counts(harness, "young") == (3, 3, 0, 0, 0)
        key = ObjectKey("team", "old")
        limits = Limits(organizations=3)
        stored = harness.cluster.sets[key]
        harness.set_seen(replace(stored, generation=2, limits=limits))
        await harness.live(10)
        assert counts(harness, "young") == (3, 0, 0, 3, 0)
        harness.instance_seen(replace(harness.cluster.instances["default"], grants=()))
        await harness.live(10)
        assert counts(harness, "young") == (3, 3, 0, 0, 0)
        await harness.stop()

    run(story())


def test_a_suspended_set_claims_what_it_has() -> None:
    """A new organization is somebody else's meanwhile."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set("old", 1))
        await harness.live(10)
        harness.edit("old", suspended=True)
        harness.set_seen(a_set("young", 2))
        await harness.live(10)
        harness.zitadel.names["4"] = "four"
        await harness.live(2 * POLL)
        assert harness.ready("young-1").reason == Reason.CONFLICT
        assert harness.ready("young-4").reason == Reason.SUCCEEDED
        assert "old-4" not in harness.names()
        harness.edit("old", suspended=False)
        await harness.live(2 * POLL)
        assert harness.ready("old-4").reason == Reason.SUCCEEDED
        assert harness.ready("young-4").reason == Reason.CONFLICT
        assert ("reset", "4") not in harness.steps.log
        await harness.stop()

    run(story())


@dataclass
class FailingSteps(Steps):
    """Steps of which one fails once, if it is a call to ZITADEL."""

    fails_at: int = -1
    calls: int = 0

    def step(self, effect: Callable[[], Answer], *what: str) -> Answer:
        """Make one call to the outside, or fail."""
        if what[0] not in KUBERNETES_CALLS:
            self.calls += 1
            if self.calls - 1 == self.fails_at:
                raise TransientError(Reason.SERVER_ERROR, "HTTP 503")
        return super().step(effect, *what)


KUBERNETES_CALLS = {
    *("status", "original", "strip", "hold", "release"),
    *("create", "apply", "delete", "crd"),
}


def test_zitadel_away_at_any_call_of_a_set_changes_no_end() -> None:
    """One failed call delays, and neither adds nor removes anything."""

    async def story(fails_at: int) -> int:
        harness = Sets()
        steps = FailingSteps(fails_at=fails_at)
        harness.steps = harness.cluster.steps = harness.zitadel.steps = steps
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(200)
        assert harness.names() == {"s-1", "s-2", "s-3"}, fails_at
        assert harness.zitadel.own == dict.fromkeys("123", False), fails_at
        del harness.zitadel.names["3"]
        harness.zitadel.removed.add("3")
        harness.edit(organizations=Selector(True, (), (Matcher(name="two"),)))
        await harness.live(400)
        assert harness.names() == {"s-1"}, fails_at
        assert harness.zitadel.own.keys() - {"3"} == {"1"}, fails_at
        await harness.stop()
        return steps.calls

    calls = run(story(-1))
    assert calls > 15
    for fails_at in range(calls):
        run(story(fails_at))
