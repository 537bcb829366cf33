"""Sets in an engine on a virtual clock: readings, leaving, limits, faults, crashes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from support.engines import INSTANCE, Harness, condition_of, policy, with_spec
from support.settings import mails
from support.steps import Answer, Steps
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.errors import (
    ClusterError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    Organization,
    OrganizationPage,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.selection import Matcher, Selector
from zitadel_notification_operator.core.set_object import Limits, SetObject

ALL = Selector(all=True)
POLL = 60.0


def a_set(name: str = "s", second: int = 0, **spec: Any) -> SetObject:
    """Return a set that turns mails off, which ZITADEL sends by default."""
    values: dict[str, Any] = {"organizations": ALL, "settings": mails(False), **spec}
    return SetObject(
        key=ObjectKey(values.pop("namespace", "own"), name),
        uid=f"uid-{name}",
        generation=1,
        created=f"2026-01-01T00:00:{second:02}Z",
        **values,
    )


class Sets(Harness):
    """A harness with a ZITADEL of three organizations, which is polled each minute."""

    def __init__(self) -> None:
        super().__init__()
        self.zitadel.names = {"1": "one", "2": "two", "3": "three"}
        self.cluster.put_instance(with_spec(INSTANCE, poll_interval=POLL))

    def of(self, name: str = "s") -> SetObject:
        """Return a set as stored."""
        return self.cluster.sets[ObjectKey("own", name)]

    def ready_of(self, name: str = "s") -> Condition:
        """Return a set's Ready condition."""
        return condition_of(self.of(name).status, "Ready")

    def edit(self, name: str = "s", **spec: Any) -> None:
        """Change a set's spec as a user would."""
        one = self.of(name)
        self.set_seen(replace(one, generation=one.generation + 1, **spec))

    def names(self) -> set[str]:
        """Return the names of all policies."""
        return {key.name for key in self.cluster.policies}


def counts(harness: Sets, name: str = "s") -> tuple[int, int, int, int, int]:
    """Return how many are matched, ready, overridden, failed and pending."""
    found = harness.of(name).status.organizations
    assert found is not None
    return found.matched, found.ready, found.overridden, found.failed, found.pending


def test_a_set_makes_a_policy_for_each_organization() -> None:
    """It claims nothing more than it selects, and settles."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(
            a_set(organizations=Selector(True, (), (Matcher(name="t*e"),)))
        )
        await harness.live(10)
        assert harness.names() == {"s-1", "s-2"}
        assert counts(harness) == (2, 2, 0, 0, 0)
        assert harness.ready_of().reason == Reason.SUCCEEDED
        assert harness.zitadel.own == {"1": False, "2": False}
        before, version = len(harness.steps.log), harness.cluster.version
        await harness.live(POLL - 15)
        assert {step[0] for step in harness.steps.log[before:]} <= {"authenticate"}
        assert harness.cluster.version == version
        await harness.stop()

    run(story())


READINGS = {
    "empty": [],
    "cut": ["1"],
    "one row": ["3"],
}


@pytest.mark.parametrize("rows", READINGS.values(), ids=READINGS)
def test_absence_never_removes(rows: list[str]) -> None:
    """An organization that a reading lacks is asked for, and stays."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(10)
        shown = {org: harness.zitadel.names[org] for org in rows}

        async def organizations(offset: int, limit: int) -> OrganizationPage:
            del offset, limit
            found = (Organization(org, name) for org, name in shown.items())
            return OrganizationPage(tuple(found), len(shown))

        harness.zitadel.organizations = organizations  # type: ignore[method-assign]
        await harness.live(3 * POLL)
        assert harness.names() == {"s-1", "s-2", "s-3"}
        assert harness.zitadel.own == {"1": False, "2": False, "3": False}
        await harness.stop()

    run(story())


@pytest.mark.parametrize(
    "failure",
    [
        TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no role"),
        TransientError(Reason.SERVER_ERROR, "HTTP 500"),
    ],
)
def test_a_directory_that_cannot_be_read_removes_nothing(failure: Exception) -> None:
    """The set says so, and goes on by itself once it can be read."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(10)
        whole = harness.zitadel.organizations

        async def refuse(offset: int, limit: int) -> OrganizationPage:
            del offset, limit
            raise failure

        harness.zitadel.organizations = refuse  # type: ignore[method-assign]
        harness.edit(organizations=Selector(include=(Matcher(name="one"),)))
        await harness.live(60)
        assert harness.ready_of().reason == Reason.DIRECTORY_NOT_READABLE
        assert harness.names() == {"s-1", "s-2", "s-3"}
        harness.zitadel.organizations = whole  # type: ignore[method-assign]
        await harness.live(400)
        assert harness.names() == {"s-1"}
        assert harness.zitadel.own == {"1": False}
        await harness.stop()

    run(story())


def test_a_removed_organization_leaves_and_a_renamed_one_is_judged_anew() -> None:
    """What ZITADEL says of an organization is a positive answer."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        selector = Selector(include=(Matcher(name="t*"),))
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET, organizations=selector))
        await harness.live(10)
        assert harness.names() == {"s-2", "s-3"}
        del harness.zitadel.names["2"]
        harness.zitadel.removed.add("2")
        harness.zitadel.names["3"] = "other"
        await harness.live(2 * POLL)
        assert harness.names() == set()
        assert "3" not in harness.zitadel.own
        assert harness.ready_of().reason == Reason.NOTHING_MATCHES
        await harness.stop()

    run(story())


def test_a_refused_create_is_reported_and_goes_on_by_itself() -> None:
    """A quota or a webhook; what exists is left alone."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.cluster.refused = ClusterError("Kubernetes refused it: 403 quota")
        harness.set_seen(a_set())
        await harness.live(10)
        assert harness.ready_of().reason == Reason.CREATE_REFUSED
        assert "quota" in harness.ready_of().message
        assert harness.names() == set()
        harness.cluster.refused = None
        await harness.live(60)
        assert counts(harness) == (3, 3, 0, 0, 0)
        await harness.stop()

    run(story())


def test_what_somebody_keeps_changing_waits_like_a_contest() -> None:
    """After five times within an hour it is put back after ten minutes."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set())
        await harness.live(10)
        for _ in range(8):
            made = harness.policy("s-1")
            changed = replace(made, settings=mails(True))
            harness.seen(replace(changed, generation=made.generation + 1))
            await harness.live(10)
        assert harness.policy("s-1").settings == mails(True)
        applied = [step for step in harness.steps.log if step[0] == "apply"]
        assert 4 <= len(applied) <= 5
        await harness.live(700)
        assert harness.policy("s-1").settings == mails(False)
        await harness.stop()

    run(story())


def test_removals_beyond_the_limit_wait_for_exactly_their_approval() -> None:
    """An approval covers these organizations and this spec alone."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        limits = Limits(removals=1)
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET, limits=limits))
        await harness.live(10)
        harness.edit(organizations=Selector(include=(Matcher(id="1"),)))
        await harness.live(10)
        removal = harness.of().status.removal
        assert removal is not None
        assert removal.count == 2
        harness.set_seen(replace(harness.of(), approved="another"))
        await harness.live(10)
        assert harness.names() == {"s-1", "s-2", "s-3"}
        harness.set_seen(replace(harness.of(), approved=removal.digest))
        await harness.live(10)
        assert harness.names() == {"s-1"}
        assert harness.zitadel.own == {"1": False}
        assert harness.of().status.removal is None
        await harness.stop()

    run(story())


def test_a_set_that_may_undo_nothing_needs_no_approval() -> None:
    """With Retain or Observe, ZITADEL stays as it is."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(limits=Limits(removals=0)))
        await harness.live(10)
        harness.edit(organizations=Selector(include=(Matcher(id="1"),)))
        await harness.live(10)
        assert harness.names() == {"s-1"}
        assert harness.zitadel.own == dict.fromkeys("123", False)
        await harness.stop()

    run(story())


def test_only_what_the_namespace_is_granted_is_matched() -> None:
    """A grant that is gone is no leaving, and gives the claim up."""

    async def story() -> None:
        harness = Sets()
        grant = Grant(("team",), organizations=frozenset({Reference(By.ID, "2")}))
        harness.cluster.put_instance(
            with_spec(INSTANCE, poll_interval=POLL, grants=(grant,))
        )
        await harness.start()
        harness.set_seen(a_set(namespace="team", deletion=DeletionPolicy.RESET))
        await harness.live(10)
        assert harness.names() == {"s-2"}
        harness.instance_seen(replace(harness.cluster.instances["default"], grants=()))
        await harness.live(20)
        made = harness.cluster.policies[ObjectKey("team", "s-2")]
        assert condition_of(made.status, "Ready").reason == Reason.INSTANCE_NOT_FOUND
        mine = policy("plain", "2", 50)
        harness.seen(replace(mine, settings=mails(True)))
        await harness.live(20)
        assert harness.ready("plain").status == "True"
        assert harness.zitadel.own == {"2": True}
        await harness.stop()

    run(story())


def test_a_plain_policy_overrules_without_a_reset_both_ways() -> None:
    """The set's one observes meanwhile, and carries no mark."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESET))
        await harness.live(10)
        harness.seen(replace(policy("plain", "1", 59), settings=mails(True)))
        await harness.live(10)
        made = harness.policy("s-1")
        assert harness.ready("s-1").reason == Reason.OVERRIDDEN
        assert (made.finalizers, made.original_text) == ((), None)
        assert condition_of(made.status, "InSync").status == "False"
        assert counts(harness) == (3, 2, 1, 0, 0)
        assert harness.ready_of().status == "True"
        harness.seen(replace(harness.policy("plain"), deleting=True))
        await harness.live(10)
        assert harness.ready("s-1").reason == Reason.SUCCEEDED
        assert harness.zitadel.own["1"] is False
        assert ("reset", "1") not in harness.steps.log
        original = harness.policy("s-1").status.original
        assert original is not None
        assert original.is_default
        await harness.stop()

    run(story())


def test_observe_claims_nothing_and_reports_the_difference() -> None:
    """It is the dry run over all organizations."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(management=ManagementPolicy.OBSERVE))
        await harness.live(10)
        found = harness.of().status.organizations
        assert found is not None
        assert (found.ready, found.drifted) == (3, 3)
        assert condition_of(harness.of().status, "InSync").reason == Reason.DRIFTED
        assert harness.zitadel.own == {}
        harness.seen(policy("plain", "1"))
        await harness.live(10)
        assert harness.ready("plain").reason == Reason.SUCCEEDED
        await harness.stop()

    run(story())


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


def test_drift_by_events_tells_of_new_organizations() -> None:
    """The directory is read once; then events say whom to ask for."""

    async def story() -> None:
        harness = Sets()
        harness.cluster.put_instance(
            with_spec(INSTANCE, method=DriftMethod.EVENTS, events_interval=5.0)
        )
        await harness.start()
        harness.set_seen(a_set())
        await harness.live(20)
        lists = [step for step in harness.steps.log if step[0] == "list"]
        assert len(lists) == 1
        harness.zitadel.names["4"] = "four"
        harness.zitadel.organization_changed("4")
        await harness.live(10)
        assert harness.zitadel.own["4"] is False
        assert [step for step in harness.steps.log if step[0] == "list"] == lists
        await harness.stop()

    run(story())


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
