"""Organizations by name and domain: found, pinned, renamed, removed, replaced."""

from dataclasses import replace

from support.engines import INSTANCE, Harness, original_of, policy
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.identity import Capabilities
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import By, Reference


def named(name: str, organization: str = "ACME", second: int = 0) -> PolicyObject:
    """Return a policy that names its organization."""
    reference = Reference(By.NAME, organization)
    return replace(policy(name, second=second), organization=reference)


def test_a_thousand_names_cost_a_list_and_three_calls_each() -> None:
    """Three calls for the instance, two pages, and GET, POST and GET for each."""

    async def story() -> None:
        harness = Harness()
        for number in range(1000):
            harness.zitadel.names[f"o{number}"] = f"Organization {number}"
            harness.cluster.put(named(f"p{number}", f"organization {number}"))
        harness.zitadel.names["one-more"] = "ZITADEL"
        await harness.start()
        await harness.live(120)
        ready = [harness.ready(f"p{number}").status for number in range(1000)]
        assert ready == ["True"] * 1000
        calls = [step[0] for step in harness.steps.log]
        assert calls.count("list") == 2
        assert calls.count("search") == 0
        assert calls.count("organization") == 0
        assert calls.count("Create") == 1000
        # The first verdict wakes all in slices, so a pass that has begun between two
        # of them is made once more.
        assert 2000 <= calls.count("observe") <= 2010
        assert harness.policy("p7").status.organization_id == "o7"
        assert harness.policy("p7").status.organization_name == "Organization 7"
        await harness.stop()

    run(story())


def test_who_may_not_list_asks_one_by_one() -> None:
    async def story() -> None:
        harness = Harness()
        harness.zitadel.capabilities = Capabilities()
        for number in range(3):
            harness.zitadel.names[f"o{number}"] = f"Organization {number}"
            harness.cluster.put(named(f"p{number}", f"Organization {number}"))
        await harness.start()
        await harness.live(5)
        calls = [step[0] for step in harness.steps.log]
        assert calls.count("list") == 0
        assert calls.count("search") == 3
        assert harness.ready("p2").status == "True"
        await harness.stop()

    run(story())


def test_a_domain_is_found_though_the_list_has_primary_ones_only() -> None:
    async def story() -> None:
        harness = Harness()
        harness.zitadel.names |= {"a": "ACME", "b": "Globex"}
        harness.zitadel.domains |= {"acme.example": "a", "mail.acme.example": "a"}
        for name in ("acme.example", "mail.acme.example", "globex.example"):
            reference = Reference(By.DOMAIN, name)
            harness.cluster.put(replace(policy(name), organization=reference))
        await harness.start()
        await harness.live(5)
        assert harness.policy("acme.example").status.organization_id == "a"
        missing = harness.ready("globex.example")
        assert missing.reason == Reason.ORGANIZATION_NOT_FOUND
        assert "globex.example" in missing.message
        # One organization by two domains is one target.
        assert harness.ready("mail.acme.example").reason == Reason.CONFLICT
        await harness.stop()

    run(story())


def test_one_organization_by_id_and_by_name_is_one_target() -> None:
    """The younger policy is in conflict, whichever way it names it."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.names["a"] = "ACME"
        harness.cluster.put(named("by-name", second=1))
        harness.cluster.put(policy("by-id", "a", second=2))
        await harness.start()
        await harness.live(5)
        assert harness.ready("by-name").status == "True"
        assert harness.ready("by-id").reason == Reason.CONFLICT
        assert [step[0] for step in harness.zitadel.writes()] == ["Create"]
        await harness.stop()

    run(story())


def test_one_organization_through_two_instances_is_one_target() -> None:
    """Both instances lead to one ZITADEL."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.names["a"] = "ACME"
        harness.cluster.put_instance(
            replace(INSTANCE, key=ObjectKey("", "second"), uid="i2")
        )
        harness.cluster.put(named("first", second=1))
        harness.cluster.put(replace(named("other", second=2), instance="second"))
        await harness.start()
        await harness.live(10)
        assert harness.ready("first").status == "True"
        assert harness.ready("other").reason == Reason.CONFLICT
        assert [step[0] for step in harness.zitadel.writes()] == ["Create"]
        await harness.stop()

    run(story())


def test_a_rename_moves_no_policy_not_even_over_a_restart() -> None:
    """Another organization that gets the name is not written to."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.names["a"] = "ACME"
        harness.cluster.put(named("p"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.names |= {"a": "ACME Old", "b": "ACME"}
        await harness.stop()
        await harness.start()
        await harness.live(5)
        harness.seen(replace(harness.policy("p"), settings=mails(True), generation=2))
        await harness.live(5)
        assert harness.policy("p").status.organization_id == "a"
        assert harness.zitadel.own == {"a": True}
        await harness.stop()

    run(story())


def test_a_replaced_organization_is_followed_with_an_event() -> None:
    """The old original is void and never restored in the new organization."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.names["a"] = "ACME"
        harness.zitadel.own["a"] = True
        harness.cluster.put(named("p"))
        await harness.start()
        await harness.live(5)
        assert original_of(harness.policy("p")).value == OriginalValue(
            False, mails(True)
        )
        harness.zitadel.removed.add("a")
        del harness.zitadel.names["a"], harness.zitadel.own["a"]
        harness.zitadel.names["b"] = "ACME"
        await harness.live(1300)
        followed = harness.policy("p")
        assert followed.status.organization_id == "b"
        assert followed.status.organization_name == "ACME"
        assert original_of(followed).target.organization_id == "b"
        assert followed.status.original == OriginalValue(True, mails(True))
        assert harness.ready("p").status == "True"
        assert harness.zitadel.own == {"b": False}
        event_reasons = [reason for _, reason in harness.recorder.notices]
        assert event_reasons.count("OrganizationReplaced") == 1
        await harness.stop()

    run(story())


def test_a_removed_organization_without_successor_is_reported() -> None:
    """This holds by name and by id; the deletion ends without a write."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.names["a"] = "ACME"
        harness.cluster.put(named("p"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.removed.add("a")
        del harness.zitadel.names["a"], harness.zitadel.own["a"]
        await harness.live(1300)
        assert harness.ready("p").reason == Reason.ORGANIZATION_NOT_FOUND
        writes = len(harness.zitadel.writes())
        harness.seen(replace(harness.policy("p"), deleting=True, generation=2))
        await harness.live(5)
        assert not harness.cluster.policies
        assert len(harness.zitadel.writes()) == writes
        await harness.stop()

    run(story())


def test_an_unknown_name_is_looked_up_again() -> None:
    """It is looked up every five minutes with one call."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(named("p"))
        await harness.start()
        await harness.live(5)
        assert harness.ready("p").reason == Reason.ORGANIZATION_NOT_FOUND
        assert find(harness.policy("p").status.conditions, "Stalled") is not None
        harness.zitadel.names["a"] = "ACME"
        await harness.live(400)
        assert harness.ready("p").status == "True"
        searches = [step for step in harness.steps.log if step[0] == "search"]
        assert 2 <= len(searches) <= 3
        await harness.stop()

    run(story())


def test_a_restart_resolves_nothing_again() -> None:
    """The statuses have the resolved ids."""

    async def story() -> None:
        harness = Harness()
        for number in range(50):
            harness.zitadel.names[f"o{number}"] = f"Organization {number}"
            harness.cluster.put(named(f"p{number}", f"Organization {number}"))
        await harness.start()
        await harness.live(30)
        await harness.stop()
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(5)
        new = [step[0] for step in harness.steps.log[before:]]
        assert "list" not in new
        assert "search" not in new
        assert "status" not in new
        await harness.stop()

    run(story())
