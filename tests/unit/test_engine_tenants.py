"""What tenants learn from each other's objects: nothing beyond their namespace."""

from dataclasses import replace

import pytest

from support.engines import INSTANCE, Harness, condition_of, policy, with_spec
from support.sets import POLL, Sets, a_set
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason

GRANTS = (Grant(("team",)), Grant(("rival",)))


def of_tenant(
    name: str, namespace: str, second: int, organization: str = "o"
) -> PolicyObject:
    """Return a policy in a tenant's namespace."""
    plain = policy(name, organization, second)
    return replace(plain, key=PolicyKey(namespace, name))


@pytest.mark.parametrize(("owner", "is_named"), [("team", True), ("rival", False)])
def test_a_conflict_names_the_other_policy_within_the_namespace_only(
    owner: str, *, is_named: bool
) -> None:
    """Elsewhere it says so, and neither the name nor the namespace is in the status."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=GRANTS))
        harness.cluster.put(of_tenant("hush", owner, 1))
        harness.cluster.put(of_tenant("late", "team", 9))
        await harness.start()
        await harness.live(5)
        status = harness.cluster.policies[PolicyKey("team", "late")].status
        assert condition_of(status, "Ready").reason == Reason.CONFLICT
        assert ("'hush'" in str(status)) is is_named
        assert ("in another namespace" in str(status)) is not is_named
        assert "rival" not in str(status)
        await harness.stop()

    run(story())


def test_who_overrules_a_set_learns_nothing_of_it() -> None:
    """Nor does the set's namespace learn who does; it sees that somebody does."""

    async def story() -> None:
        harness = Sets()
        harness.cluster.put_instance(
            with_spec(INSTANCE, poll_interval=POLL, grants=GRANTS)
        )
        await harness.start()
        harness.set_seen(a_set("hushed-set", namespace="rival"))
        await harness.live(10)
        loud = of_tenant("loud", "team", 50, organization="1")
        harness.seen(replace(loud, settings=mails(True)))
        await harness.live(20)
        mine = harness.cluster.policies[PolicyKey("team", "loud")].status
        assert condition_of(mine, "Ready").reason == Reason.SUCCEEDED
        assert "hushed" not in str(mine)
        assert "rival" not in str(mine)
        theirs = harness.cluster.policies[PolicyKey("rival", "hushed-set-1")].status
        assert condition_of(theirs, "Ready").reason == Reason.OVERRIDDEN
        assert "in another namespace" in condition_of(theirs, "Ready").message
        assert "loud" not in str(theirs)
        assert "team" not in str(theirs)
        of_set = harness.cluster.sets[ObjectKey("rival", "hushed-set")].status
        assert of_set.organizations is not None
        assert of_set.organizations.overridden == 1
        assert "loud" not in str(of_set)
        await harness.stop()

    run(story())
