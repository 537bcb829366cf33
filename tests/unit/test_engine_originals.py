"""What an owner records of its target, whom it trusts, and who takes it over."""

from dataclasses import replace
from typing import Any

import pytest

from support.engines import (
    INSTANCE,
    Harness,
    PolicyChanges,
    condition_of,
    original_of,
    policy,
)
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey, Target
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.original import Original, OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
)
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.queue.keys import policy_key


def test_copied_object_does_not_inherit_the_original() -> None:
    """An annotation with another uid counts as absent."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        copied = replace(harness.policy("p"), uid="uid-other")
        await harness.stop()
        harness.cluster.put(replace(copied, status=policy("p").status))
        await harness.start()
        await harness.live(5)
        original = harness.policy("p").original
        assert original is not None
        assert original.uid == "uid-other"
        assert original.value == OriginalValue(False, mails(False))
        await harness.stop()

    run(story())


def test_deletion_undoes_although_the_annotation_was_removed() -> None:
    """`status.original` replaces it, because the policy did own its target."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.seen(
            replace(
                harness.policy("p"),
                original=None,
                original_text=None,
                deleting=True,
                generation=2,
            )
        )
        await harness.live(5)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_deletion_resets_what_the_spec_names_not_what_the_annotation_says() -> None:
    """Everybody who may edit the object may write the annotation."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p", "mine"))
        harness.zitadel.own["theirs"] = True
        await harness.start()
        await harness.live(5)
        stored = harness.policy("p")
        forged = replace(original_of(stored), target=Target("z", "theirs"))
        harness.seen(
            replace(
                stored,
                original=forged,
                original_text=forged.to_text(),
                deleting=True,
                generation=2,
            )
        )
        await harness.live(5)
        assert harness.cluster.policies == {}
        assert harness.zitadel.own == {"theirs": True}
        await harness.stop()

    run(story())


def test_an_annotation_of_nobody_with_a_grant_is_not_believed() -> None:
    """A forged original on a policy without a grant does not reach the owner's."""

    async def story() -> None:
        harness = Harness()
        forged = Original(
            "uid-evil", Target("z", "o"), OriginalValue(False, mails(False))
        )
        evil = replace(
            policy("evil"),
            key=PolicyKey("evil", "evil"),
            original=forged,
            original_text=forged.to_text(),
        )
        harness.cluster.put(evil)
        await harness.start()
        await harness.live(5)
        harness.seen(policy("p", second=9))
        await harness.live(5)
        assert harness.policy("p").status.original == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())


@pytest.mark.parametrize("text", ["garbage", "{}"])
def test_a_spoiled_annotation_is_rewritten_from_the_status(text: str) -> None:
    """A living object is repaired; a deletion still undoes."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        spoiled = replace(harness.policy("p"), original=None, original_text=text)
        harness.seen(spoiled)
        await harness.live(5)
        assert original_of(harness.policy("p")).value == OriginalValue(
            True, mails(True)
        )
        spoiled = replace(harness.policy("p"), original=None, original_text=text)
        harness.seen(replace(spoiled, deleting=True, generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_an_owner_that_retains_leaves_its_original_to_the_next() -> None:
    """It has no finalizer, so its record goes with the object."""

    async def story() -> None:
        harness = Harness()
        retained = replace(policy("a", second=1), deletion=DeletionPolicy.RETAIN)
        harness.cluster.put(retained)
        await harness.start()
        await harness.live(5)
        harness.seen(policy("b", second=2))
        await harness.live(5)
        harness.seen(replace(harness.policy("a"), deleting=True, generation=2))
        await harness.live(5)
        assert harness.policy("b").status.original == OriginalValue(True, mails(True))
        await harness.stop()

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
    """However it loses its claim, the next owner gets the record."""

    async def story() -> None:
        harness = Harness()
        retained = replace(policy("a", second=1), deletion=DeletionPolicy.RETAIN)
        harness.cluster.put(replace(retained, finalizers=("example.com/x",)))
        await harness.start()
        await harness.live(5)
        harness.seen(policy("b", second=2))
        await harness.live(5)
        harness.seen(replace(harness.policy("a"), generation=2, **change))
        await harness.live(5)
        assert harness.policy("b").status.original == OriginalValue(True, mails(True))
        assert harness.policy("a").original_text is None
        await harness.stop()

    run(story())


def test_an_owner_that_loses_its_grant_leaves_its_original() -> None:
    """The next owner in the namespace that keeps its grant gets it."""

    async def story() -> None:
        harness = Harness()
        both = replace(INSTANCE, grants=(Grant(("a", "b")),))
        harness.cluster.put_instance(both)
        first = replace(policy("p", second=1), key=PolicyKey("a", "p"))
        second = replace(policy("q", second=2), key=PolicyKey("b", "q"), uid="uid-q")
        harness.cluster.put(first)
        await harness.start()
        await harness.live(5)
        harness.seen(second)
        await harness.live(5)
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, grants=(Grant(("b",)),), generation=2))
        await harness.live(5)
        successor = harness.cluster.policies[second.key]
        assert successor.status.original == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())


@pytest.mark.parametrize(
    "forged",
    [
        Original("uid-p", Target("999", "o"), OriginalValue(False, mails(False))),
        Original("uid-p", Target("z", "o"), OriginalValue(False, mails(False))),
    ],
    ids=["another ZITADEL", "another value"],
)
def test_the_status_is_believed_before_the_annotation(forged: Original) -> None:
    """A living object keeps it, and a deletion undoes by it."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        spoiled: PolicyChanges = {
            "original": forged,
            "original_text": forged.to_text(),
        }
        harness.seen(replace(harness.policy("p"), **spoiled))
        await harness.live(5)
        assert harness.policy("p").status.original == OriginalValue(True, mails(True))
        again = replace(harness.policy("p"), **spoiled)
        harness.seen(replace(again, deleting=True, generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {}
        await harness.stop()

    run(story())


def test_an_organization_known_to_be_removed_gets_no_delete() -> None:
    """ZITADEL would accept it, and write an event after the organization's end."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.zitadel.own.clear()
        harness.zitadel.removed.add("o")
        await harness.live(900)
        assert harness.ready("p").reason == Reason.ORGANIZATION_NOT_FOUND
        harness.seen(replace(harness.policy("p"), deleting=True, generation=2))
        await harness.live(5)
        assert harness.cluster.policies == {}
        assert "Reset" not in [s[0] for s in harness.zitadel.writes()]
        await harness.stop()

    run(story())


def _two_tenants() -> tuple[PolicyObject, PolicyObject]:
    """Return policies of two namespaces for one organization; the first one owns it."""
    evil = replace(policy("evil"), key=PolicyKey("evil", "evil"))
    evil = replace(evil, deletion=DeletionPolicy.RETAIN)
    successor = replace(policy("p", second=9), deletion=DeletionPolicy.RESTORE)
    return evil, replace(successor, settings=mails(True))


def _forged(owner: PolicyObject) -> PolicyObject:
    """Return the policy with a forged original."""
    original = Original(owner.uid, Target("z", "o"), OriginalValue(False, mails(False)))
    return replace(owner, original=original, original_text=original.to_text())


@pytest.mark.parametrize("is_delivered", [True, False])
def test_a_forged_original_of_an_owner_that_goes_at_once(*, is_delivered: bool) -> None:
    """The status counts, even if annotation and deletion come together.

    It makes no difference whether the watch has delivered the forged annotation before.
    """

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(Grant(("evil",)),)))
        evil, successor = _two_tenants()
        harness.cluster.put(evil)
        harness.cluster.put(successor)
        engine = await harness.start()
        await harness.live(5)
        assert harness.ready("p").reason == Reason.CONFLICT
        stored = harness.cluster.put(_forged(harness.cluster.policies[evil.key]))
        if is_delivered:
            engine.watch_events.seen(stored)
        del harness.cluster.policies[evil.key]
        engine.watch_events.gone(policy_key(evil.key), evil.uid)
        await harness.live(5)
        assert harness.policy("p").status.original == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())


def test_an_annotation_alone_reaches_no_other_namespace() -> None:
    """Without a status the annotation may have been written by hand."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(Grant(("evil",)),)))
        evil, successor = _two_tenants()
        evil = replace(evil, suspended=True)
        harness.cluster.put(evil)
        harness.cluster.put(successor)
        engine = await harness.start()
        await harness.live(5)
        engine.watch_events.seen(
            harness.cluster.put(_forged(harness.cluster.policies[evil.key]))
        )
        await harness.live(5)
        del harness.cluster.policies[evil.key]
        engine.watch_events.gone(policy_key(evil.key), evil.uid)
        await harness.live(5)
        assert harness.policy("p").status.original == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())


def test_an_owner_whose_write_no_get_has_shown_leaves_its_original() -> None:
    """Its status has the original although the pass was stopped."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(Grant(("evil",)),)))
        owner, successor = _two_tenants()
        harness.cluster.put(owner)
        harness.zitadel.stopped = True
        await harness.start()
        await harness.live(60)
        stored = harness.cluster.policies[owner.key]
        assert condition_of(stored.status, "Ready").status == "False"
        assert stored.status.original == OriginalValue(True, mails(True))
        harness.zitadel.catch_up()
        harness.seen(successor)
        await harness.live(1)
        harness.seen(replace(harness.cluster.policies[owner.key], deleting=True))
        await harness.live(900)
        assert harness.policy("p").status.original == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())


def test_a_loser_that_forges_an_annotation_is_not_believed() -> None:
    """It has never owned the target, so it cannot know what was there before."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put_instance(replace(INSTANCE, grants=(Grant(("evil",)),)))
        evil, successor = _two_tenants()
        evil = _forged(replace(evil, created="2026-01-01T00:01:00Z", suspended=True))
        harness.cluster.put(evil)
        await harness.start()
        harness.seen(successor)
        await harness.live(5)
        assert harness.policy("p").status.original == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())
