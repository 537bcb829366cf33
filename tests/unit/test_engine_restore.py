"""`deletionPolicy: Restore`: back to the first observed value, in all cases."""

from dataclasses import replace
from typing import Unpack

import pytest

from support.engines import Harness, PolicyChanges, original_of, policy
from support.fakes import OTHERS
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import DeletionPolicy, Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason


def restoring(name: str = "p", **changes: Unpack[PolicyChanges]) -> PolicyObject:
    """Return a policy with deletionPolicy Restore."""
    made = replace(policy(name), deletion=DeletionPolicy.RESTORE)
    return replace(made, **changes)


def of_instance() -> PolicyObject:
    """Return a policy of the instance with deletionPolicy Restore."""
    return restoring(scope=Scope.INSTANCE, organization=None)


async def live_and_delete(harness: Harness, seconds: float = 5) -> None:
    """Let the policy be reconciled, then delete it."""
    await harness.start()
    await harness.live(seconds)
    await delete(harness)


async def delete(harness: Harness) -> None:
    """Delete the policy `p`, and wait."""
    stored = harness.policy("p")
    harness.seen(replace(stored, deleting=True, generation=stored.generation + 1))
    await harness.live(5)


@pytest.mark.parametrize("before", [None, True, False])
def test_an_organization_goes_back(before: bool | None) -> None:
    """It inherits again, or gets its own value, equal to the wanted one or not."""

    async def story() -> None:
        harness = Harness()
        if before is not None:
            harness.zitadel.own["o"] = before
        harness.cluster.put(restoring())
        await live_and_delete(harness)
        assert harness.zitadel.own == ({} if before is None else {"o": before})
        assert not harness.cluster.policies
        assert harness.recorder.notices.count(("p", "Deleted")) == 1
        await harness.stop()

    run(story())


@pytest.mark.parametrize("before", [True, False])
def test_the_instance_goes_back(before: bool) -> None:
    """The finalizer stays until the value is restored."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.default = before
        harness.cluster.put(of_instance())
        await harness.start()
        await harness.live(5)
        assert harness.policy("p").finalizers == (FINALIZER,)
        assert harness.zitadel.default is False
        await delete(harness)
        assert harness.zitadel.default is before
        assert not harness.cluster.policies
        await harness.stop()

    run(story())


def test_a_drifted_value_is_never_what_is_restored() -> None:
    """This holds if the operator was away, or if annotation and status are lost."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.own["o"] = True
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        await harness.stop()
        harness.zitadel.change("o", None, OTHERS)
        stored = harness.policy("p")
        harness.cluster.put(replace(stored, original=None, original_text=None))
        await harness.start()
        await harness.live(700)
        assert original_of(harness.policy("p")).value == OriginalValue(
            False, mails(True)
        )
        assert harness.policy("p").status.original == OriginalValue(False, mails(True))
        await delete(harness)
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_what_was_restored_by_hand_is_left() -> None:
    """No write is made if none is needed."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.own["o"] = True
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        harness.zitadel.change("o", True, OTHERS)
        writes = len(harness.zitadel.writes())
        await delete(harness)
        assert len(harness.zitadel.writes()) == writes
        assert harness.zitadel.own == {"o": True}
        await harness.stop()

    run(story())


def test_a_removed_organization_gets_nothing() -> None:
    """Its existence is checked first, because ZITADEL would accept the call."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        harness.zitadel.removed.add("o")
        writes = len(harness.zitadel.writes())
        await delete(harness)
        assert not harness.cluster.policies
        assert len(harness.zitadel.writes()) == writes
        await harness.stop()

    run(story())


def test_a_copied_object_restores_nothing() -> None:
    """Annotation and finalizer of a backup belong to another object."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        await harness.stop()
        stored = harness.policy("p")
        copied = replace(stored, uid="another", status=type(stored.status)())
        del harness.cluster.policies[stored.key]
        harness.cluster.put(replace(copied, deleting=True))
        writes = len(harness.zitadel.writes())
        await harness.start()
        await harness.live(5)
        assert not harness.cluster.policies
        assert len(harness.zitadel.writes()) == writes
        await harness.stop()

    run(story())


def test_the_original_is_handed_on_at_a_take_over() -> None:
    """The next owner restores what the first owner found."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.own["o"] = True
        harness.cluster.put(restoring("q", created="2026-01-01T00:00:09Z"))
        harness.cluster.put(restoring("p", created="2026-01-01T00:00:01Z"))
        await live_and_delete(harness)
        assert harness.zitadel.own == {"o": False}
        successor = harness.policy("q")
        assert original_of(successor).value == OriginalValue(False, mails(True))
        harness.seen(replace(successor, deleting=True, generation=2))
        await harness.live(5)
        assert harness.zitadel.own == {"o": True}
        assert not harness.cluster.policies
        await harness.stop()

    run(story())


@pytest.mark.parametrize("way_out", [DeletionPolicy.RETAIN, DeletionPolicy.RESET])
def test_a_deletion_that_waits_can_be_let_go(way_out: DeletionPolicy) -> None:
    """The condition says what to edit, and the edit works during the deletion."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        harness.zitadel.failure = TransientError(Reason.UNREACHABLE, "gone")
        await delete(harness)
        stored = harness.policy("p")
        ready = find(stored.status.conditions, "Ready")
        assert ready is not None
        assert "spec.deletionPolicy" in ready.message
        if way_out is DeletionPolicy.RESET:
            harness.zitadel.failure = None
        harness.seen(replace(stored, deletion=way_out, generation=9))
        await harness.live(400)
        assert not harness.cluster.policies
        await harness.stop()

    run(story())


def test_suspended_ones_do_their_cleanup() -> None:
    async def story() -> None:
        harness = Harness()
        harness.zitadel.own["o"] = True
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        harness.seen(replace(harness.policy("p"), suspended=True, generation=2))
        await harness.live(5)
        await delete(harness)
        assert harness.zitadel.own == {"o": True}
        assert not harness.cluster.policies
        await harness.stop()

    run(story())


def test_a_crash_at_any_step_restores_the_same() -> None:
    """The process is killed before and after each call of the whole life."""

    async def story(kill_at: int, *, after: bool) -> int:
        harness = Harness()
        harness.steps.kill_at, harness.steps.after = kill_at, after
        harness.zitadel.own["o"] = True
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(400)
        stored = harness.policy("p")
        assert harness.zitadel.own == {"o": False}
        harness.seen(replace(stored, deleting=True, generation=2))
        await harness.live(400)
        assert harness.zitadel.own == {"o": True}
        assert not harness.cluster.policies
        await harness.stop()
        return len(harness.steps.log)

    for kill_at in range(run(story(-1, after=False))):
        for after in (False, True):
            run(story(kill_at, after=after))
