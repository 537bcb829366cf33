"""Objects that this version of the operator cannot read."""

from dataclasses import replace
from typing import Any, Unpack

import pytest

from support.engines import INSTANCE, Bench, PolicyChanges, condition_of, policy
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


def conditions(bench: Bench, name: str) -> dict[str, tuple[str, str]]:
    """Return the status and the reason of each condition."""
    found = bench.policy(name).status.conditions
    return {c.type: (c.status, c.reason) for c in found}


def event_reasons(bench: Bench, name: str) -> list[str]:
    return [reason for about, reason in bench.recorder.notices if about == name]


STORY: dict[str, tuple[str, str]] = {
    "Ready": ("False", "SpecNotUnderstood"),
    "Stalled": ("True", "SpecNotUnderstood"),
    "InSync": ("Unknown", "NotObserved"),
}


def test_it_writes_nothing_and_is_not_what_it_was_before() -> None:
    """Its condition names the field once; drift from the old spec stays."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        bench.cluster.put(policy("other", "b"))
        await bench.start()
        await bench.live(5)
        writes = len(bench.zitadel.writes())
        bench.seen(unread(bench.policy("p")))
        await bench.live(5)
        assert conditions(bench, "p") == STORY
        assert NAMED in bench.ready("p").message
        assert bench.ready("p").observed_generation == 2
        assert bench.policy("p").status.observed_generation == 2
        calls = len(bench.steps.log)
        bench.zitadel.change("o", True)
        await bench.live(1500)
        assert bench.zitadel.own["o"] is True
        about = [s for s in bench.steps.log[calls:] if s[-1] in {"o", "own/p"}]
        assert about == []
        assert len(bench.zitadel.writes()) == writes
        assert event_reasons(bench, "p").count("SpecNotUnderstood") == 1
        assert bench.ready("other").status == "True"
        bench.seen(understood(bench.policy("p")))
        await bench.live(2)
        assert bench.ready("p").status == "True"
        assert bench.zitadel.own["o"] is False
        await bench.stop()

    run(story())


def test_a_running_pass_stops_before_its_next_call() -> None:
    """After an edit during a call, no write of the old spec follows."""

    async def story() -> None:
        bench = Bench()
        await bench.start()
        await bench.live(5)
        observe = bench.zitadel.observe

        async def observed(organization_id: str | None) -> ObservedPolicy | None:
            found = await observe(organization_id)
            if bench.policy("p").not_understood is None:
                bench.seen(unread(bench.policy("p")))
            return found

        instead_of(bench.zitadel.observe).call(observed)
        bench.seen(policy("p"))
        await bench.live(5)
        assert bench.zitadel.writes() == []
        assert conditions(bench, "p") == STORY
        assert bench.policy("p").original_text is None
        await bench.stop()

    run(story())


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("fields", [("passwordChange",), ("managementPolicy",)])
def test_it_keeps_its_target(fields: tuple[str, ...], restarted: bool) -> None:
    """No younger policy takes it over, whether spec or record names it."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("old", second=1))
        await bench.start()
        await bench.live(5)
        bench.seen(unread(bench.policy("old"), *fields))
        bench.seen(replace(policy("young", second=9), settings=mails(True)))
        await bench.live(5)
        if restarted:
            await bench.stop()
            await bench.start()
            await bench.live(700)
        assert conditions(bench, "old") == STORY
        assert bench.ready("young").reason == "Conflict"
        assert bench.zitadel.own == {"o": False}
        bench.seen(replace(bench.policy("old"), deleting=True))
        await bench.live(5)
        assert bench.ready("young").status == "True"
        assert bench.zitadel.own == {"o": True}
        taken = bench.policy("young").original
        assert taken is not None
        assert taken.value == OriginalValue(is_default=True, settings=mails(True))
        await bench.stop()

    run(story())


def test_a_target_that_the_record_names_is_kept() -> None:
    """Scope, reference and instance are unknown; annotation and status name it."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("old", second=1))
        await bench.start()
        await bench.live(5)
        nothing = ("scope", "organization", "managementPolicy", "instanceRef")
        whole = unread(bench.policy("old"), *nothing, organization=None, instance="")
        bench.seen(whole)
        bench.seen(policy("young", second=9))
        await bench.live(5)
        assert bench.ready("young").reason == "Conflict"
        one = unread(bench.policy("old"), "organization", organization=None)
        status = replace(one.status, organization_id=None)
        bench.seen(replace(one, instance="default", status=status))
        await bench.live(400)
        assert bench.ready("young").reason == "Conflict"
        await bench.stop()

    run(story())


def test_one_that_never_had_a_target_stops_nobody() -> None:
    """With an unknown management policy or scope it is unclear what it wants."""

    async def story() -> None:
        bench = Bench()
        for number, field in enumerate(("managementPolicy", "scope", "organization")):
            org = f"o{number}"
            old = unread(policy(f"old{number}", org, second=1), field)
            bench.cluster.put(
                replace(old, organization=None) if number else old  # as it is parsed
            )
            bench.cluster.put(policy(f"young{number}", org, second=9))
        await bench.start()
        await bench.live(5)
        for number in range(3):
            assert bench.ready(f"young{number}").status == "True"
            assert conditions(bench, f"old{number}") == STORY
        await bench.stop()

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
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.seen(unread(bench.policy("p"), *fields, **changes))
        await bench.live(1)
        if "status" in changes:
            broken = replace(bench.policy("p").status, original=None)
            bench.seen(replace(bench.policy("p"), status=broken))
        bench.seen(replace(bench.policy("p"), deleting=True))
        await bench.live(5)
        assert PolicyKey("own", "p") not in bench.cluster.policies
        assert bench.zitadel.own == own
        assert says in bench.recorder.notes[-1]
        await bench.stop()

    run(story())


def test_a_rolled_back_image_is_not_settled() -> None:
    """A newer version had written Ready=True for this generation."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        await bench.stop()
        bench.cluster.put(replace(unread(bench.policy("p")), generation=1))
        await bench.start()
        await bench.live(5)
        assert conditions(bench, "p") == STORY
        assert bench.policy("p").original is not None
        bench.seen(replace(understood(bench.policy("p")), settings=mails(True)))
        await bench.live(2)
        assert bench.ready("p").status == "True"
        assert bench.zitadel.own == {"o": True}
        await bench.stop()

    run(story())


def test_a_suspended_one_that_is_not_understood_says_so() -> None:
    """It keeps annotation and finalizer, and is as before after the edit."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.seen(unread(bench.policy("p"), suspended=True))
        await bench.live(2)
        assert conditions(bench, "p") == {k: STORY[k] for k in ("Ready", "InSync")}
        assert bench.policy("p").held
        bench.seen(understood(bench.policy("p")))
        await bench.live(2)
        assert bench.ready("p").reason == "SpecNotUnderstood"  # as before the suspend
        bench.seen(understood(bench.policy("p"), suspended=False))
        await bench.live(2)
        assert bench.ready("p").status == "True"
        await bench.stop()

    run(story())


def test_an_instance_that_is_not_understood_serves_nobody() -> None:
    """There is no call to ZITADEL, and its policies say why."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.instance_seen(unread_instance(bench.cluster.instances["default"]))
        await bench.live(5)
        stored = bench.cluster.instances["default"]
        ready = find(stored.status.conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "SpecNotUnderstood")
        assert ready.observed_generation == stored.generation
        assert find(stored.status.conditions, "Stalled") is not None
        assert bench.ready("p").reason == "InstanceNotReady"
        assert "SpecNotUnderstood" in bench.ready("p").message
        calls = len(bench.steps.log)
        bench.zitadel.change("o", True)
        await bench.live(1500)
        made = {step[0] for step in bench.steps.log[calls:]}
        assert made <= {"status"}
        assert bench.zitadel.own == {"o": True}
        bench.instance_seen(
            replace(
                bench.cluster.instances["default"], generation=9, not_understood=None
            )
        )
        await bench.live(5)
        assert bench.ready("p").status == "True"
        assert bench.zitadel.own == {"o": False}
        await bench.stop()

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
        bench = Bench()
        granted = replace(INSTANCE, grants=(GRANTED,))
        bench.cluster.put_instance(granted)
        other = replace(
            INSTANCE, key=ObjectKey("", "other"), uid="other", grants=(GRANTED,)
        )
        bench.cluster.put_instance(other)
        bench.cluster.put(tenant("p", "o"))
        bench.cluster.put(tenant("q", "q"))
        await bench.start()
        await bench.live(5)
        lost = unread_instance(bench.cluster.instances["default"], *fields)
        bench.instance_seen(replace(lost, grants=()) if "grants" in fields else lost)
        q = bench.cluster.policies[PolicyKey("team", "q")]
        bench.seen(replace(q, deleting=True))
        # Another instance object leads to the same ZITADEL.
        bench.seen(replace(tenant("young", "o", second=9), instance="other"))
        await bench.live(60)
        if restarted:
            await bench.stop()
            await bench.start()
            await bench.live(60)
        for name in ("p", "q"):
            stored = bench.cluster.policies[PolicyKey("team", name)]
            ready = condition_of(stored.status, "Ready")
            assert ready.reason == "InstanceNotReady"
            assert "SpecNotUnderstood" in ready.message
        assert "spec.deletionPolicy" in ready.message
        young = bench.cluster.policies[PolicyKey("team", "young")]
        assert condition_of(young.status, "Ready").reason == "Conflict"
        assert bench.zitadel.own == {"o": False, "q": False}
        bench.instance_seen(replace(granted, generation=9, status=lost.status))
        await bench.live(5)
        assert PolicyKey("team", "q") not in bench.cluster.policies
        assert bench.zitadel.own == {"o": False}
        await bench.stop()

    run(story())


def test_the_way_out_of_a_deletion_that_waits() -> None:
    """Retain ends it, even while the grants are unknown."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(replace(INSTANCE, grants=(GRANTED,)))
        bench.cluster.put(tenant("p"))
        await bench.start()
        await bench.live(5)
        lost = unread_instance(bench.cluster.instances["default"], "grants")
        bench.instance_seen(replace(lost, grants=(), deleting=True))
        key = PolicyKey("team", "p")
        bench.seen(replace(bench.cluster.policies[key], deleting=True))
        await bench.live(5)
        assert key in bench.cluster.policies
        assert "default" in bench.cluster.instances
        stored = bench.cluster.policies[key]
        bench.seen(replace(stored, deletion=DeletionPolicy.RETAIN, generation=2))
        await bench.live(5)
        assert key not in bench.cluster.policies
        assert bench.zitadel.own == {"o": False}
        # No policy needs the instance any longer.
        assert "default" not in bench.cluster.instances
        await bench.stop()

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
