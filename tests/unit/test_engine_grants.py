"""Grants with organizations: all ways to be refused, and revocation at any time."""

import asyncio
from dataclasses import replace

import pytest

from support.engines import INSTANCE, Harness, policy
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import Condition, find
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.grants import (
    Admission,
    Grant,
    admit_organization,
)
from zitadel_notification_operator.core.policy import Organization, Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference

ACME = Reference(By.NAME, "ACME")
ORG = frozenset({Scope.ORGANIZATION})


def grant(*organizations: Reference, namespace: str = "team") -> Grant:
    """Return a grant for these organizations only."""
    return Grant((namespace,), ORG, frozenset(organizations))


def tenant(name: str, organization: Reference, namespace: str = "team") -> PolicyObject:
    """Return a policy of a tenant."""
    key = PolicyKey(namespace, name)
    return replace(policy(name), key=key, organization=organization)


def bench_with(*grants: Grant) -> Harness:
    """Return a harness in which ACME is `a` and Globex is `b`."""
    harness = Harness()
    harness.zitadel.names |= {"a": "ACME", "b": "Globex"}
    harness.zitadel.domains |= {"acme.example": "a"}
    harness.cluster.put_instance(replace(INSTANCE, grants=grants))
    return harness


def ready(harness: Harness, name: str) -> Condition:
    """Return the Ready condition of a tenant's policy."""
    stored = harness.cluster.policies[PolicyKey("team", name)]
    found = find(stored.status.conditions, "Ready")
    assert found is not None
    return found


def regrant(harness: Harness, *grants: Grant) -> None:
    """Change the grants as an administrator would."""
    stored = harness.cluster.instances["default"]
    generation = stored.generation + 1
    harness.instance_seen(replace(stored, grants=grants, generation=generation))


@pytest.mark.parametrize(
    ("grants", "lookup", "admission"),
    [
        ([Grant(("team",))], {}, Admission.GRANTED),
        ([grant(Reference(By.ID, "a"))], {}, Admission.GRANTED),
        ([grant(Reference(By.ID, "b"))], {}, Admission.ORGANIZATION_MISSING),
        ([grant(ACME)], {ACME: "a"}, Admission.GRANTED),
        ([grant(ACME)], {ACME: "b"}, Admission.ORGANIZATION_MISSING),
        ([grant(ACME)], {ACME: None}, Admission.ORGANIZATION_MISSING),
        ([grant(ACME)], {}, Admission.UNDECIDED),
        ([grant(ACME), Grant(("*",))], {}, Admission.GRANTED),
        ([grant(ACME), grant(Reference(By.ID, "a"))], {}, Admission.GRANTED),
        ([grant(ACME, namespace="other")], {ACME: "a"}, Admission.ORGANIZATION_MISSING),
        (
            [Grant(("team",), frozenset({Scope.INSTANCE}))],
            {},
            Admission.ORGANIZATION_MISSING,
        ),
    ],
)
def test_organizations_are_compared_by_id(
    grants: list[Grant], lookup: dict[Reference, str | None], admission: Admission
) -> None:
    """Grants add up; a name that is not yet looked up decides nothing."""
    assert admit_organization(grants, "own", "team", "a", lookup) is admission
    own = admit_organization(grants, "own", "own", "a", lookup)
    assert own is Admission.GRANTED


@pytest.mark.parametrize(
    "given",
    [ACME, Reference(By.DOMAIN, "acme.example"), Reference(By.ID, "a")],
    ids=lambda reference: reference.by,
)
@pytest.mark.parametrize(
    "asked",
    [ACME, Reference(By.DOMAIN, "acme.example"), Reference(By.ID, "a")],
    ids=lambda reference: reference.by,
)
def test_a_granted_organization_may_be_named_in_any_way(
    given: Reference, asked: Reference
) -> None:
    async def story() -> None:
        harness = bench_with(grant(given))
        harness.cluster.put(tenant("p", asked))
        await harness.start()
        await harness.live(5)
        assert ready(harness, "p").status == "True"
        assert harness.zitadel.own == {"a": False}
        await harness.stop()

    run(story())


@pytest.mark.parametrize(
    "pair",
    [
        (Reference(By.ID, "b"), Reference(By.ID, "nosuch")),
        (Reference(By.NAME, "Globex"), Reference(By.NAME, "nosuch")),
        (Reference(By.CREDENTIAL), Reference(By.DOMAIN, "nosuch.example")),
    ],
    ids=["id", "name", "other"],
)
def test_absent_and_not_granted_read_the_same(
    pair: tuple[Reference, Reference],
) -> None:
    """Condition, status and Event are equal in both cases."""

    async def story() -> None:
        harness = bench_with(grant(ACME))
        existing, absent = pair
        harness.cluster.put(tenant("p", existing))
        harness.cluster.put(tenant("q", absent))
        await harness.start()
        await harness.live(5)
        one, two = (
            harness.cluster.policies[PolicyKey("team", name)].status for name in "pq"
        )
        words = [str(reference) for reference in pair]
        assert ready(harness, "p").reason == Reason.NOT_GRANTED
        first = ready(harness, "p").message.replace(words[0], "X")
        assert first == ready(harness, "q").message.replace(words[1], "X")
        assert replace(one, conditions=()) == replace(two, conditions=())
        assert harness.zitadel.writes() == []
        assert harness.recorder.notices.count(("p", "NotGranted")) == 1
        assert harness.recorder.notices.count(("q", "NotGranted")) == 1
        await harness.stop()

    run(story())


def test_an_organization_that_is_not_granted_is_never_called() -> None:
    """An id is checked against the grants without a call to ZITADEL."""

    async def story() -> None:
        harness = bench_with(grant(Reference(By.ID, "a")))
        harness.cluster.put(tenant("p", Reference(By.ID, "b")))
        await harness.start()
        await harness.live(700)
        asked = {step[0] for step in harness.steps.log}
        assert not asked & {"observe", "organization", "Create", "search", "list"}
        await harness.stop()

    run(story())


def test_a_refused_policy_lays_no_claim() -> None:
    """An older policy that is not granted does not block a younger one."""

    async def story() -> None:
        harness = bench_with(grant(Reference(By.ID, "b")))
        harness.cluster.put(tenant("old", Reference(By.ID, "a")))
        harness.cluster.put(policy("young", "a", second=9))
        await harness.start()
        await harness.live(5)
        assert harness.ready("young").status == "True"
        regrant(harness, grant(ACME))
        await harness.live(5)
        assert ready(harness, "old").status == "True"
        assert harness.ready("young").reason == Reason.CONFLICT
        await harness.stop()

    run(story())


def test_revoking_stops_a_call_that_waits_for_its_turn() -> None:
    """No call follows; the condition says so; the deletion undoes nothing, and ends."""

    async def story() -> None:
        harness = bench_with(grant(ACME))
        harness.cluster.put(tenant("p", ACME))
        await harness.start()
        await harness.live(5)
        harness.zitadel.turn.clear()
        stored = harness.cluster.policies[PolicyKey("team", "p")]
        harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(1)
        before = len(harness.steps.log)
        regrant(harness)
        harness.zitadel.turn.set()
        await harness.live(10)
        new = [step[0] for step in harness.steps.log[before:]]
        assert not {"observe", "Update", "Create", "organization"} & set(new)
        assert ready(harness, "p").reason == Reason.INSTANCE_NOT_FOUND
        stored = harness.cluster.policies[PolicyKey("team", "p")]
        assert stored.status.settings.is_empty
        harness.seen(replace(stored, deleting=True, generation=3))
        await harness.live(5)
        assert not harness.cluster.policies
        assert harness.zitadel.own == {"a": False}
        await harness.stop()

    run(story())


def test_revoking_stops_a_deletion_that_waits_for_its_turn() -> None:
    async def story() -> None:
        harness = bench_with(grant(ACME))
        harness.cluster.put(tenant("p", ACME))
        await harness.start()
        await harness.live(5)
        harness.zitadel.turn.clear()
        stored = harness.cluster.policies[PolicyKey("team", "p")]
        harness.seen(replace(stored, deleting=True, generation=2))
        await harness.live(1)
        regrant(harness, grant(Reference(By.ID, "b")))
        harness.zitadel.turn.set()
        await harness.live(10)
        assert not harness.cluster.policies
        assert harness.zitadel.own == {"a": False}
        await harness.stop()

    run(story())


def test_a_grant_removed_between_two_passes_makes_no_further_call() -> None:
    async def story() -> None:
        harness = bench_with(grant(ACME))
        harness.cluster.put(tenant("p", ACME))
        await harness.start()
        await harness.live(5)
        regrant(harness, grant(Reference(By.NAME, "Globex")))
        before = len(harness.steps.log)
        await harness.live(1300)
        new = {step[0] for step in harness.steps.log[before:]}
        assert not {"observe", "Update", "Create", "organization"} & new
        assert ready(harness, "p").reason == Reason.NOT_GRANTED
        await harness.stop()

    run(story())


def test_a_grant_by_name_follows_the_name() -> None:
    """At the instance's next check the grant applies to another organization."""

    async def story() -> None:
        harness = bench_with(grant(ACME))
        harness.cluster.put(tenant("p", Reference(By.ID, "a")))
        harness.cluster.put(tenant("q", Reference(By.ID, "b")))
        await harness.start()
        await harness.live(5)
        assert ready(harness, "q").reason == Reason.NOT_GRANTED
        harness.zitadel.names |= {"a": "ACME Old", "b": "ACME"}
        await harness.live(250)
        assert ready(harness, "p").reason == Reason.NOT_GRANTED
        assert ready(harness, "q").status == "True"
        await harness.stop()

    run(story())


def test_a_restart_decides_nothing_before_the_grants_are_looked_up() -> None:
    """A deletion waits for the look-up; a settled policy costs no call."""

    async def story() -> None:
        harness = bench_with(grant(ACME))
        harness.cluster.put(tenant("p", Reference(By.ID, "a")))
        harness.cluster.put(tenant("gone", Reference(By.ID, "b")))
        await harness.start()
        await harness.live(5)
        await harness.stop()
        harness.zitadel.failure = TransientError(Reason.UNREACHABLE, "gone")
        stored = harness.cluster.policies[PolicyKey("team", "p")]
        harness.cluster.put(replace(stored, deleting=True, generation=2))
        await harness.start()
        await harness.live(60)
        assert ready(harness, "p").reason == Reason.INSTANCE_NOT_READY
        assert "deletionPolicy" in ready(harness, "p").message
        harness.zitadel.failure = None
        await harness.live(400)
        assert PolicyKey("team", "p") not in harness.cluster.policies
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_a_restart_with_granted_policies_writes_and_asks_nothing() -> None:
    async def story() -> None:
        harness = bench_with(grant(ACME, Reference(By.NAME, "Globex")))
        harness.cluster.put(tenant("p", ACME))
        harness.cluster.put(tenant("q", Reference(By.ID, "b")))
        await harness.start()
        await harness.live(5)
        await harness.stop()
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(5)
        new = [step[0] for step in harness.steps.log[before:]]
        assert sorted(new) == ["identify", "list"]
        await harness.stop()

    run(story())


def test_a_grant_taken_back_during_the_look_up_of_another_is_gone() -> None:
    """A slow check of an instance never restores the grants of an older spec."""

    async def story() -> None:
        harness = bench_with(grant(ACME))
        harness.cluster.put(tenant("p", ACME))
        await harness.start()
        await harness.live(5)
        search = harness.zitadel.search

        async def slow(reference: Reference) -> Organization | None:
            await asyncio.sleep(3)
            return await search(reference)

        instead_of(harness.zitadel.search).call(slow)
        regrant(harness, grant(ACME, Reference(By.NAME, "Globex")))
        await harness.live(1)
        regrant(harness, grant(Reference(By.NAME, "Globex")))
        await harness.live(30)
        assert ready(harness, "p").reason == Reason.NOT_GRANTED
        await harness.stop()

    run(story())


def test_a_grant_is_looked_up_anew_when_it_is_edited_or_asked_for() -> None:
    """The name referred to nobody, or refers to another organization by now."""

    async def story() -> None:
        harness = bench_with(grant(Reference(By.NAME, "New")))
        harness.cluster.put(tenant("p", Reference(By.NAME, "New")))
        await harness.start()
        await harness.live(5)
        assert ready(harness, "p").reason == Reason.NOT_GRANTED
        harness.zitadel.names["n"] = "New"
        regrant(harness, grant(Reference(By.NAME, "New"), ACME))
        await harness.live(5)
        assert ready(harness, "p").status == "True"
        harness.zitadel.names |= {"n": "Old", "other": "New"}
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, requested_at="now"))
        await harness.live(5)
        assert ready(harness, "p").reason == Reason.NOT_GRANTED
        await harness.stop()

    run(story())
