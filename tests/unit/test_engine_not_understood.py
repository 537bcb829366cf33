"""Objects that this version of the operator cannot read."""

from dataclasses import replace
from typing import Any, Unpack

import pytest

from support.engines import INSTANCE, Harness, PolicyChanges, condition_of, policy
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import NotUnderstood
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    ObservedPolicy,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.core.references import By, Reference

NAMED = "spec.passwordChange: Input should be a valid boolean"


def unread(
    known: PolicyObject, *fields: str, **changes: Unpack[PolicyChanges]
) -> PolicyObject:
    """Return the next version of a policy, which cannot be understood."""
    later = replace(
        known,
        generation=known.generation + 1,
        not_understood=NotUnderstood(NAMED, frozenset(fields or ("passwordChange",))),
    )
    return replace(later, **changes)


def understood(known: PolicyObject, **changes: Unpack[PolicyChanges]) -> PolicyObject:
    """Return the next version of a policy, which can be understood again."""
    later = replace(known, generation=known.generation + 1, not_understood=None)
    return replace(later, **changes)


def unread_instance(known: InstanceObject, *fields: str) -> InstanceObject:
    """Return the next version of an instance, which cannot be understood."""
    reason = NotUnderstood("spec.url is required", frozenset(fields or ("url",)))
    return replace(known, generation=known.generation + 1, not_understood=reason)


def conditions(harness: Harness, name: str) -> dict[str, tuple[str, str]]:
    """Return the status and the reason of each condition."""
    found = harness.policy(name).status.conditions
    return {c.type: (c.status, c.reason) for c in found}


def event_reasons(harness: Harness, name: str) -> list[str]:
    return [reason for about, reason in harness.recorder.notices if about == name]


STORY: dict[str, tuple[str, str]] = {
    "Ready": ("False", "SpecNotUnderstood"),
    "Stalled": ("True", "SpecNotUnderstood"),
    "InSync": ("Unknown", "NotObserved"),
}


def test_it_writes_nothing_and_is_not_what_it_was_before() -> None:
    """Its condition names the field once; drift from the old spec stays."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        harness.cluster.put(policy("other", "b"))
        await harness.start()
        await harness.live(5)
        writes = len(harness.zitadel.writes())
        harness.seen(unread(harness.policy("p")))
        await harness.live(5)
        assert conditions(harness, "p") == STORY
        assert NAMED in harness.ready("p").message
        assert harness.ready("p").observed_generation == 2
        assert harness.policy("p").status.observed_generation == 2
        calls = len(harness.steps.log)
        harness.zitadel.change("o", True)
        await harness.live(1500)
        assert harness.zitadel.own["o"] is True
        about = [s for s in harness.steps.log[calls:] if s[-1] in {"o", "own/p"}]
        assert about == []
        assert len(harness.zitadel.writes()) == writes
        assert event_reasons(harness, "p").count("SpecNotUnderstood") == 1
        assert harness.ready("other").status == "True"
        harness.seen(understood(harness.policy("p")))
        await harness.live(2)
        assert harness.ready("p").status == "True"
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())


def test_a_running_pass_stops_before_its_next_call() -> None:
    """After an edit during a call, no write of the old spec follows."""

    async def story() -> None:
        harness = Harness()
        await harness.start()
        await harness.live(5)
        observe = harness.zitadel.observe

        async def observed(organization_id: str | None) -> ObservedPolicy | None:
            found = await observe(organization_id)
            if harness.policy("p").not_understood is None:
                harness.seen(unread(harness.policy("p")))
            return found

        instead_of(harness.zitadel.observe).call(observed)
        harness.seen(policy("p"))
        await harness.live(5)
        assert harness.zitadel.writes() == []
        assert conditions(harness, "p") == STORY
        assert harness.policy("p").original_text is None
        await harness.stop()

    run(story())


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("fields", [("passwordChange",), ("managementPolicy",)])
def test_it_keeps_its_target(fields: tuple[str, ...], restarted: bool) -> None:
    """No younger policy takes it over, whether spec or record names it."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("old", second=1))
        await harness.start()
        await harness.live(5)
        harness.seen(unread(harness.policy("old"), *fields))
        harness.seen(replace(policy("young", second=9), settings=mails(True)))
        await harness.live(5)
        if restarted:
            await harness.stop()
            await harness.start()
            await harness.live(700)
        assert conditions(harness, "old") == STORY
        assert harness.ready("young").reason == "Conflict"
        assert harness.zitadel.own == {"o": False}
        harness.seen(replace(harness.policy("old"), deleting=True))
        await harness.live(5)
        assert harness.ready("young").status == "True"
        assert harness.zitadel.own == {"o": True}
        taken = harness.policy("young").original
        assert taken is not None
        assert taken.value == OriginalValue(is_default=True, settings=mails(True))
        await harness.stop()

    run(story())


def test_a_target_that_the_record_names_is_kept() -> None:
    """Scope, reference and instance are unknown; annotation and status name it."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("old", second=1))
        await harness.start()
        await harness.live(5)
        nothing = ("scope", "organization", "managementPolicy", "instanceRef")
        whole = unread(harness.policy("old"), *nothing, organization=None, instance="")
        harness.seen(whole)
        harness.seen(policy("young", second=9))
        await harness.live(5)
        assert harness.ready("young").reason == "Conflict"
        one = unread(harness.policy("old"), "organization", organization=None)
        status = replace(one.status, organization_id=None)
        harness.seen(replace(one, instance="default", status=status))
        await harness.live(400)
        assert harness.ready("young").reason == "Conflict"
        await harness.stop()

    run(story())


def test_one_that_never_had_a_target_stops_nobody() -> None:
    """With an unknown management policy or scope it is unclear what it wants."""

    async def story() -> None:
        harness = Harness()
        for number, field in enumerate(("managementPolicy", "scope", "organization")):
            org = f"o{number}"
            old = unread(policy(f"old{number}", org, second=1), field)
            harness.cluster.put(
                replace(old, organization=None) if number else old  # as it is parsed
            )
            harness.cluster.put(policy(f"young{number}", org, second=9))
        await harness.start()
        await harness.live(5)
        for number in range(3):
            assert harness.ready(f"young{number}").status == "True"
            assert conditions(harness, f"old{number}") == STORY
        await harness.stop()

    run(story())


@pytest.mark.parametrize(
    ("fields", "changes", "own", "says"),
    [
        (("passwordChange",), {}, {}, "inherits"),
        (("passwordChange",), {"deletion": DeletionPolicy.RESTORE}, {}, "inherits"),
        (("managementPolicy",), {}, {}, "inherits"),
        (("organization",), {"organization": None}, {}, "inherits"),
        (
            ("scope", "organization"),
            {"organization": None, "deletion": DeletionPolicy.RESET},
            {},
            "inherits",
        ),
        (("deletionPolicy",), {}, {"o": False}, "cannot read spec.deletionPolicy; as"),
        (("scope", "organization"), {"organization": None}, {"o": False}, "spec.scope"),
        (("instanceRef",), {"instance": ""}, {"o": False}, "read spec.instanceRef"),
        (
            ("passwordChange",),
            {"deletion": DeletionPolicy.RETAIN},
            {"o": False},
            "eletionPolicy Retain: ZITADEL",
        ),
        (
            ("passwordChange",),
            {"management": ManagementPolicy.OBSERVE},
            {"o": False},
            "anagementPolicy Observe",
        ),
        (
            ("passwordChange",),
            {"original": None, "original_text": "{", "status": PolicyStatus()},
            {"o": False},
            "cannot read the annotation",
        ),
    ],
)
def test_its_deletion_ends_by_what_can_be_read(
    fields: tuple[str, ...], changes: dict[str, Any], own: dict[str, bool], says: str
) -> None:
    """Otherwise it ends as with Retain, and an Event says why."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.seen(unread(harness.policy("p"), *fields, **changes))
        await harness.live(1)
        if "status" in changes:
            broken = replace(harness.policy("p").status, original=None)
            harness.seen(replace(harness.policy("p"), status=broken))
        harness.seen(replace(harness.policy("p"), deleting=True))
        await harness.live(5)
        assert PolicyKey("own", "p") not in harness.cluster.policies
        assert harness.zitadel.own == own
        assert says in harness.recorder.notes[-1]
        await harness.stop()

    run(story())


def test_a_rolled_back_image_is_not_settled() -> None:
    """A newer version had written Ready=True for this generation."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        await harness.stop()
        harness.cluster.put(replace(unread(harness.policy("p")), generation=1))
        await harness.start()
        await harness.live(5)
        assert conditions(harness, "p") == STORY
        assert harness.policy("p").original is not None
        harness.seen(replace(understood(harness.policy("p")), settings=mails(True)))
        await harness.live(2)
        assert harness.ready("p").status == "True"
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_a_suspended_one_that_is_not_understood_says_so() -> None:
    """It keeps annotation and finalizer, and is as before after the edit."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.seen(unread(harness.policy("p"), suspended=True))
        await harness.live(2)
        assert conditions(harness, "p") == {k: STORY[k] for k in ("Ready", "InSync")}
        assert harness.policy("p").held
        harness.seen(understood(harness.policy("p")))
        await harness.live(2)
        assert harness.ready("p").reason == "SpecNotUnderstood"  # as before the suspend
        harness.seen(understood(harness.policy("p"), suspended=False))
        await harness.live(2)
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(story())


def test_an_instance_that_is_not_understood_serves_nobody() -> None:
    """There is no call to ZITADEL, and its policies say why."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.instance_seen(unread_instance(harness.cluster.instances["default"]))
        await harness.live(5)
        stored = harness.cluster.instances["default"]
        ready = find(stored.status.conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "SpecNotUnderstood")
        assert ready.observed_generation == stored.generation
        assert find(stored.status.conditions, "Stalled") is not None
        assert harness.ready("p").reason == "InstanceNotReady"
        assert "SpecNotUnderstood" in harness.ready("p").message
        calls = len(harness.steps.log)
        harness.zitadel.change("o", True)
        await harness.live(1500)
        made = {step[0] for step in harness.steps.log[calls:]}
        assert made <= {"status"}
        assert harness.zitadel.own == {"o": True}
        harness.instance_seen(
            replace(
                harness.cluster.instances["default"], generation=9, not_understood=None
            )
        )
        await harness.live(5)
        assert harness.ready("p").status == "True"
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


GRANTED = Grant(("team",))


def tenant(name: str, org: str = "o", second: int = 0) -> PolicyObject:
    """Return a policy in a namespace that needs a grant."""
    made = policy(name, org, second)
    return replace(made, key=PolicyKey("team", name))


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("fields", [("url",), ("grants",)])
def test_nothing_is_undone_as_not_granted(
    fields: tuple[str, ...], restarted: bool
) -> None:
    """A deletion waits and targets are kept; after the edit back all continues."""

    async def story() -> None:
        harness = Harness()
        granted = replace(INSTANCE, grants=(GRANTED,))
        harness.cluster.put_instance(granted)
        other = replace(
            INSTANCE, key=ObjectKey("", "other"), uid="other", grants=(GRANTED,)
        )
        harness.cluster.put_instance(other)
        harness.cluster.put(tenant("p", "o"))
        harness.cluster.put(tenant("q", "q"))
        await harness.start()
        await harness.live(5)
        lost = unread_instance(harness.cluster.instances["default"], *fields)
        harness.instance_seen(replace(lost, grants=()) if "grants" in fields else lost)
        q = harness.cluster.policies[PolicyKey("team", "q")]
        harness.seen(replace(q, deleting=True))
        # Another instance object leads to the same ZITADEL.
        harness.seen(replace(tenant("young", "o", second=9), instance="other"))
        await harness.live(60)
        if restarted:
            await harness.stop()
            await harness.start()
            await harness.live(60)
        for name in ("p", "q"):
            stored = harness.cluster.policies[PolicyKey("team", name)]
            ready = condition_of(stored.status, "Ready")
            assert ready.reason == "InstanceNotReady"
            assert "SpecNotUnderstood" in ready.message
        assert "spec.deletionPolicy" in ready.message
        young = harness.cluster.policies[PolicyKey("team", "young")]
        assert condition_of(young.status, "Ready").reason == "Conflict"
        assert harness.zitadel.own == {"o": False, "q": False}
        harness.instance_seen(replace(granted, generation=9, status=lost.status))
        await harness.live(5)
        assert PolicyKey("team", "q") not in harness.cluster.policies
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


def test_the_way_out_of_a_deletion_that_waits() -> None:
    """Retain ends it, even while the grants are unknown."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(GRANTED,)))
        harness.cluster.put(tenant("p"))
        await harness.start()
        await harness.live(5)
        lost = unread_instance(harness.cluster.instances["default"], "grants")
        harness.instance_seen(replace(lost, grants=(), deleting=True))
        key = PolicyKey("team", "p")
        harness.seen(replace(harness.cluster.policies[key], deleting=True))
        await harness.live(5)
        assert key in harness.cluster.policies
        assert "default" in harness.cluster.instances
        stored = harness.cluster.policies[key]
        harness.seen(replace(stored, deletion=DeletionPolicy.RETAIN, generation=2))
        await harness.live(5)
        assert key not in harness.cluster.policies
        assert harness.zitadel.own == {"o": False}
        # No policy needs the instance any longer.
        assert "default" not in harness.cluster.instances
        await harness.stop()

    run(story())


def test_what_refers_to_nothing_is_nobodys() -> None:
    """An original of another object keeps no target."""
    copied = Original("someone", Target("z", "o"), OriginalValue(True, mails(True)))
    made = policy("copy")
    mark: PolicyChanges = {"original": copied, "original_text": copied.to_text()}
    copy = unread(made, "managementPolicy", **mark)
    assert not copy.may_own
    named = replace(copy, organization=Reference(By.NAME, "n"))
    assert not named.may_own
