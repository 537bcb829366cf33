"""A write replaces ZITADEL's whole policy, so it carries flags that are not known.

The other flag is `emailChange`, which a future ZITADEL might have. In the fakes, as in
ZITADEL, a flag that a write does not name is off afterwards.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Unpack

import pytest

from support.drift import bench_with, in_sync
from support.engines import Harness, PolicyChanges, policy
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.claims import Target
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ManagementPolicy,
    ObservedPolicy,
    Scope,
    WriteOutcome,
    WriteResult,
)
from zitadel_notification_operator.core.policy_object import PolicyObject

MAIL = {"emailChange": True}
DIGEST = {"digest": {"hours": [7, 19], "limit": "18446744073709551615"}, "note": None}


def restoring(name: str = "p", **changes: Unpack[PolicyChanges]) -> PolicyObject:
    """Return a policy with deletionPolicy Restore."""
    made = replace(policy(name), deletion=DeletionPolicy.RESTORE)
    return replace(made, **changes)


def of_instance(**changes: Unpack[PolicyChanges]) -> PolicyObject:
    """Return a policy of the instance."""
    whole = restoring(scope=Scope.INSTANCE, organization=None)
    return replace(whole, **changes)


def own(harness: Harness, value: bool, **flags: object) -> None:
    """Give the organization `o` a policy of its own."""
    harness.zitadel.own["o"] = value
    harness.zitadel.flags["o"] = flags


async def delete(harness: Harness, name: str = "p") -> None:
    """Delete a policy, and wait until it is gone."""
    stored = harness.policy(name)
    harness.seen(replace(stored, deleting=True, generation=stored.generation + 1))
    await harness.live(5)
    assert stored.key not in harness.cluster.policies


@pytest.mark.parametrize("flags", [MAIL, DIGEST, {}])
def test_a_new_policy_has_the_flags_that_were_inherited(
    flags: dict[str, object],
) -> None:
    """In a POST absent means false, and the organization has inherited them."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.flags[""] = flags
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        assert harness.zitadel.own == {"o": False}
        assert harness.zitadel.flags == {"": flags, "o": flags}
        await harness.stop()

    run(story())


@pytest.mark.parametrize("flags", [MAIL, DIGEST, {}])
def test_an_update_keeps_the_flags_of_its_level(flags: dict[str, object]) -> None:
    """The PUT of an organization carries its own flags, not the instance's."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.flags[""] = {"other": 1}
        own(harness, True, **flags)
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        assert harness.zitadel.own == {"o": False}
        assert harness.zitadel.flags == {"": {"other": 1}, "o": flags}
        await harness.stop()

    run(story())


def test_the_instance_keeps_its_flags_through_update_and_restore() -> None:
    """This includes one set meanwhile: `original` has only the operator's flag."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.flags[""] = dict(MAIL)
        harness.cluster.put(of_instance())
        await harness.start()
        await harness.live(5)
        assert (harness.zitadel.default, harness.zitadel.flags[""]) == (False, MAIL)
        assert "emailChange" not in (harness.policy("p").original_text or "")
        harness.zitadel.change_flags("", emailChange=False, digest="weekly")
        await delete(harness)
        assert harness.zitadel.default is True
        assert harness.zitadel.flags[""] == {"emailChange": False, "digest": "weekly"}
        await harness.stop()

    run(story())


def test_an_instance_without_a_policy_gets_ours_alone() -> None:
    """There are no flags to carry."""

    async def story() -> None:
        harness = Harness()
        observe = harness.zitadel.observe

        async def nothing(organization_id: str | None) -> ObservedPolicy | None:
            if harness.zitadel.writes():
                return await observe(organization_id)
            return None

        instead_of(harness.zitadel.observe).call(nothing)
        harness.cluster.put(of_instance())
        await harness.start()
        await harness.live(5)
        assert (harness.zitadel.default, harness.zitadel.flags[""]) == (False, {})
        assert harness.ready("p").status == "True"
        await harness.stop()

    run(story())


def test_a_foreign_flag_alone_is_no_drift() -> None:
    """Nothing is written or reported; the status has the new sequence."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        own(harness, False)
        await harness.start()
        await harness.live(120)
        notices = list(harness.recorder.notices)
        harness.zitadel.change_flags("o", emailChange=True)
        await harness.live(120)
        assert harness.zitadel.writes() == []
        assert harness.zitadel.flags["o"] == MAIL
        assert harness.recorder.notices == notices
        status = harness.policy("p").status
        assert status.last_drift is None
        assert status.sequence == str(harness.zitadel.sequence)
        assert in_sync(harness, "p").status == "True"
        await harness.stop()

    run(story())


def test_drift_is_corrected_beside_a_flag_that_changed_with_it() -> None:
    """Somebody changes both flags: only the operator's flag is corrected."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        harness.zitadel.change("o", True, OTHERS)
        harness.zitadel.change_flags("o", emailChange=True)
        await harness.live(120)
        assert harness.zitadel.own == {"o": False}
        assert harness.zitadel.flags["o"] == MAIL
        drift = harness.policy("p").status.last_drift
        assert drift is not None
        assert drift.found == OriginalValue(False, mails(True))
        await harness.stop()

    run(story())


def test_a_reset_of_others_brings_back_what_is_inherited_now() -> None:
    """The new policy has the instance's flags of that moment."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        harness.zitadel.change_flags("", emailChange=True)
        harness.zitadel.change("o", None, OTHERS)
        await harness.live(120)
        assert harness.zitadel.own == {"o": False}
        assert harness.zitadel.flags == {"": MAIL, "o": MAIL}
        await harness.stop()

    run(story())


def test_restore_of_an_own_policy_keeps_what_is_there_now() -> None:
    """The operator's flag goes back to the first value; the others stay."""

    async def story() -> None:
        harness = Harness()
        own(harness, True, emailChange=False)
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        harness.zitadel.change_flags("o", emailChange=True, digest=7)
        await delete(harness)
        assert harness.zitadel.own == {"o": True}
        assert harness.zitadel.flags["o"] == {"emailChange": True, "digest": 7}
        await harness.stop()

    run(story())


def test_restore_makes_an_own_policy_with_the_inherited_flags() -> None:
    """Somebody has reset it right before the deletion."""

    async def story() -> None:
        harness = Harness()
        own(harness, True)
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        harness.zitadel.change("o", None, OTHERS)
        harness.zitadel.change_flags("", emailChange=True)
        await delete(harness)
        assert harness.zitadel.own == {"o": True}
        assert harness.zitadel.flags["o"] == MAIL
        await harness.stop()

    run(story())


def test_restore_of_what_was_inherited_leaves_no_flag_behind() -> None:
    """It is a DELETE."""

    async def story() -> None:
        harness = Harness()
        harness.zitadel.flags[""] = dict(MAIL)
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        await delete(harness)
        assert harness.zitadel.own == {}
        assert harness.zitadel.flags == {"": MAIL}
        await harness.stop()

    run(story())


def test_an_successor_keeps_the_flags_that_it_finds() -> None:
    """This holds for a take-over with another value, and for the final restore."""

    async def story() -> None:
        harness = Harness()
        own(harness, True, **MAIL)
        harness.cluster.put(restoring("q", created="2026-01-01T00:00:09Z"))
        harness.cluster.put(restoring("p", created="2026-01-01T00:00:01Z"))
        await harness.start()
        await harness.live(5)
        successor = harness.policy("q")
        harness.seen(replace(successor, settings=mails(True), generation=2))
        harness.zitadel.change_flags("o", digest=1)
        await harness.live(5)
        await delete(harness, "p")
        await harness.live(5)
        flags = {"emailChange": True, "digest": 1}
        assert (harness.zitadel.own, harness.zitadel.flags["o"]) == ({"o": True}, flags)
        await delete(harness, "q")
        assert (harness.zitadel.own, harness.zitadel.flags["o"]) == ({"o": True}, flags)
        await harness.stop()

    run(story())


def test_observe_writes_nothing() -> None:
    async def story() -> None:
        harness = Harness()
        own(harness, True, **MAIL)
        harness.cluster.put(
            replace(policy("p"), management=ManagementPolicy.OBSERVE, deletion=None)
        )
        await harness.start()
        await harness.live(5)
        assert harness.zitadel.writes() == []
        assert harness.zitadel.flags["o"] == MAIL
        await harness.stop()

    run(story())


def _create(harness: Harness) -> None:
    """Somebody creates the organization's policy, with a flag of its own."""
    harness.zitadel.change("o", True, OTHERS)
    harness.zitadel.change_flags("o", emailChange=True)


def _reset(harness: Harness) -> None:
    """Somebody resets it; the instance has another flag."""
    harness.zitadel.change_flags("", emailChange=True)
    harness.zitadel.change("o", None, OTHERS)


def _set(harness: Harness) -> None:
    """Somebody sets the wanted value; the next change brings a flag."""
    harness.zitadel.change("o", False, OTHERS)


@pytest.mark.parametrize(
    ("first", "meanwhile", "answer", "flags"),
    [
        pytest.param(
            None, _create, WriteOutcome.ALREADY_EXISTS, MAIL, id="AlreadyExists"
        ),
        pytest.param(True, _reset, WriteOutcome.NOT_FOUND, MAIL, id="NotFound"),
        pytest.param(True, _set, WriteOutcome.NOT_CHANGED, {}, id="NotChanged"),
    ],
)
def test_each_try_carries_what_was_read_right_before_it(
    first: bool | None,
    meanwhile: Callable[[Harness], None],
    answer: WriteOutcome,
    flags: dict[str, object],
) -> None:
    """Somebody writes between the GET and the write: the new flags count."""

    async def story() -> None:
        harness = Harness()
        answers: list[WriteOutcome] = []
        if first is not None:
            own(harness, first)

        async def raced(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            if not answers:
                meanwhile(harness)
            result = await write()
            answers.append(result.answer)
            return result

        instead_of(harness.zitadel.write).around(raced)
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        assert answers[0] is answer
        assert harness.zitadel.own == {"o": False}
        assert harness.zitadel.flags["o"] == flags
        assert harness.ready("p").status == "True"
        # A faster writer says nothing about ZITADEL's read side, so the log is not
        # searched for an event in between.
        assert ("last policy event", "o") not in harness.steps.log
        assert ("p", "ReadSideRepaired") not in harness.recorder.notices
        assert harness.parts is not None
        assert not harness.parts.repairs.is_pending(Target("z", "o"))
        await harness.stop()

    run(story())


def test_a_restore_that_was_too_late_reads_anew() -> None:
    """The same holds for the write of a deletion."""

    async def story() -> None:
        harness = Harness()
        own(harness, True)
        harness.cluster.put(restoring())
        await harness.start()
        await harness.live(5)
        raced: list[int] = []

        async def late(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            if not raced:
                raced.append(1)
                _reset(harness)
            return await write()

        instead_of(harness.zitadel.write).around(late)
        await delete(harness)
        assert harness.zitadel.own == {"o": True}
        assert harness.zitadel.flags["o"] == MAIL
        await harness.stop()

    run(story())


def test_observations_that_differ_in_a_foreign_flag_are_one() -> None:
    """They are equal with the same hash, and the flag is not shown."""
    plain = ObservedPolicy(False, mails(True), "7")
    flagged = replace(plain, unknown_members={"emailChange": ["canary"]})
    assert plain == flagged
    assert len({plain, flagged}) == 1
    assert "canary" not in repr(flagged)
