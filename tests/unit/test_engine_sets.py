"""Sets in an engine on a virtual clock: readings, leaving, limits, precedence."""

from dataclasses import replace
from typing import Any

import pytest

from support.engines import INSTANCE, condition_of, original_of, policy, with_spec
from support.sets import POLL, Sets, a_set, counts
from support.settings import mails
from support.virtual_time import run
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
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicySpec
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference
from zitadel_notification_operator.core.selection import Matcher, Selector
from zitadel_notification_operator.core.set_object import Limits, SetObject


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
        assert counts(harness) == (3, 2, 0, 1, 0)
        (failure,) = harness.of().status.failures
        assert (failure.policy, failure.reason) == ("s-1", Reason.CONTESTED)
        assert harness.ready_of().reason == Reason.POLICIES_NOT_READY
        await harness.live(700)
        assert harness.policy("s-1").settings == mails(False)
        assert counts(harness) == (3, 3, 0, 0, 0)
        await harness.stop()

    run(story())


def test_a_set_is_not_ready_while_a_policy_is_not_as_it_makes_it() -> None:
    """Even if each policy is Ready: an admission webhook may change what is applied."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        plain = harness.cluster.create_policy

        async def create(one: SetObject, key: ObjectKey, spec: PolicySpec) -> Any:
            return await plain(one, key, replace(spec, settings=mails(True)))

        async def apply(one: SetObject, policy: PolicyObject, spec: PolicySpec) -> Any:
            del one, spec
            harness.steps.step(lambda: None, "apply", str(policy.key))
            return harness.cluster.policies[policy.key]

        harness.cluster.create_policy = create  # type: ignore[method-assign]
        harness.cluster.apply_policy = apply  # type: ignore[method-assign]
        harness.set_seen(a_set(organizations=Selector(include=(Matcher(id="1"),))))
        for _ in range(30):
            await harness.live(1)
            assert harness.ready_of().status == "False"
        assert counts(harness) == (1, 0, 0, 1, 0)
        assert harness.ready("s-1").status == "True"
        assert len([step for step in harness.steps.log if step[0] == "apply"]) <= 4
        before = len(harness.steps.log)
        await harness.live(500)
        assert not {("apply", "own/s-1"), ("status", "own/s")} & {
            *harness.steps.log[before:]
        }
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


@pytest.mark.parametrize(
    "deletion",
    [DeletionPolicy.RESET, DeletionPolicy.RESTORE, DeletionPolicy.RETAIN],
)
def test_a_policy_that_somebody_deletes_is_made_again_without_a_reset(
    deletion: DeletionPolicy,
) -> None:
    """Its original passes on, also where no finalizer shows us the deletion."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=deletion))
        await harness.live(10)
        before = harness.policy("s-1")
        assert before.held is (deletion is not DeletionPolicy.RETAIN)
        harness.seen(replace(before, deleting=True))
        await harness.live(10)
        after = harness.policy("s-1")
        assert after.uid != before.uid
        assert harness.ready("s-1").reason == Reason.SUCCEEDED
        assert after.status.original == before.status.original
        assert original_of(after).value.is_default
        assert [write[0] for write in harness.zitadel.writes()] == ["Create"] * 3
        await harness.stop()

    run(story())


def test_a_policy_that_somebody_switches_to_observe_keeps_its_original() -> None:
    """Its set puts it back, and what was there at first must not be lost meanwhile."""

    async def story() -> None:
        harness = Sets()
        await harness.start()
        harness.set_seen(a_set(deletion=DeletionPolicy.RESTORE))
        await harness.live(10)
        before = harness.policy("s-1")
        changed = replace(before, management=ManagementPolicy.OBSERVE)
        harness.seen(replace(changed, generation=before.generation + 1))
        await harness.live(30)
        after = harness.policy("s-1")
        assert after.management is ManagementPolicy.MANAGE
        assert after.status.original == before.status.original
        harness.edit(management=ManagementPolicy.OBSERVE)
        await harness.live(30)
        left = harness.policy("s-1")
        assert not left.held
        assert (left.original_text, left.status.original) == (None, None)
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
