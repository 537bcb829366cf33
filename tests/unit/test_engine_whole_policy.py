"""A write replaces ZITADEL's whole policy, so it carries flags that are not known.

The other flag is `emailChange`, which a future ZITADEL might have. In the fakes, as in
ZITADEL, a flag that a write does not name is off afterwards.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Unpack

import pytest

from support.drift import bench_with, in_sync
from support.engines import Bench, PolicyChanges, policy
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


def own(bench: Bench, value: bool, **flags: object) -> None:
    """Give the organization `o` a policy of its own."""
    bench.zitadel.own["o"] = value
    bench.zitadel.flags["o"] = flags


async def delete(bench: Bench, name: str = "p") -> None:
    """Delete a policy, and wait until it is gone."""
    stored = bench.policy(name)
    bench.seen(replace(stored, deleting=True, generation=stored.generation + 1))
    await bench.live(5)
    assert stored.key not in bench.cluster.policies


@pytest.mark.parametrize("flags", [MAIL, DIGEST, {}])
def test_a_new_policy_has_the_flags_that_were_inherited(
    flags: dict[str, object],
) -> None:
    """In a POST absent means false, and the organization has inherited them."""

    async def story() -> None:
        bench = Bench()
        bench.zitadel.flags[""] = flags
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        assert bench.zitadel.own == {"o": False}
        assert bench.zitadel.flags == {"": flags, "o": flags}
        await bench.stop()

    run(story())


@pytest.mark.parametrize("flags", [MAIL, DIGEST, {}])
def test_an_update_keeps_the_flags_of_its_level(flags: dict[str, object]) -> None:
    """The PUT of an organization carries its own flags, not the instance's."""

    async def story() -> None:
        bench = Bench()
        bench.zitadel.flags[""] = {"other": 1}
        own(bench, True, **flags)
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        assert bench.zitadel.own == {"o": False}
        assert bench.zitadel.flags == {"": {"other": 1}, "o": flags}
        await bench.stop()

    run(story())


def test_the_instance_keeps_its_flags_through_update_and_restore() -> None:
    """This includes one set meanwhile: `original` has only the operator's flag."""

    async def story() -> None:
        bench = Bench()
        bench.zitadel.flags[""] = dict(MAIL)
        bench.cluster.put(of_instance())
        await bench.start()
        await bench.live(5)
        assert (bench.zitadel.default, bench.zitadel.flags[""]) == (False, MAIL)
        assert "emailChange" not in (bench.policy("p").original_text or "")
        bench.zitadel.change_flags("", emailChange=False, digest="weekly")
        await delete(bench)
        assert bench.zitadel.default is True
        assert bench.zitadel.flags[""] == {"emailChange": False, "digest": "weekly"}
        await bench.stop()

    run(story())


def test_an_instance_without_a_policy_gets_ours_alone() -> None:
    """There are no flags to carry."""

    async def story() -> None:
        bench = Bench()
        observe = bench.zitadel.observe

        async def nothing(organization_id: str | None) -> ObservedPolicy | None:
            if bench.zitadel.writes():
                return await observe(organization_id)
            return None

        instead_of(bench.zitadel.observe).call(nothing)
        bench.cluster.put(of_instance())
        await bench.start()
        await bench.live(5)
        assert (bench.zitadel.default, bench.zitadel.flags[""]) == (False, {})
        assert bench.ready("p").status == "True"
        await bench.stop()

    run(story())


def test_a_foreign_flag_alone_is_no_drift() -> None:
    """Nothing is written or reported; the status has the new sequence."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        own(bench, False)
        await bench.start()
        await bench.live(120)
        notices = list(bench.recorder.notices)
        bench.zitadel.change_flags("o", emailChange=True)
        await bench.live(120)
        assert bench.zitadel.writes() == []
        assert bench.zitadel.flags["o"] == MAIL
        assert bench.recorder.notices == notices
        status = bench.policy("p").status
        assert status.last_drift is None
        assert status.sequence == str(bench.zitadel.sequence)
        assert in_sync(bench, "p").status == "True"
        await bench.stop()

    run(story())


def test_drift_is_corrected_beside_a_flag_that_changed_with_it() -> None:
    """Somebody changes both flags: only the operator's flag is corrected."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        bench.zitadel.change("o", True, OTHERS)
        bench.zitadel.change_flags("o", emailChange=True)
        await bench.live(120)
        assert bench.zitadel.own == {"o": False}
        assert bench.zitadel.flags["o"] == MAIL
        drift = bench.policy("p").status.last_drift
        assert drift is not None
        assert drift.found == OriginalValue(False, mails(True))
        await bench.stop()

    run(story())


def test_a_reset_of_others_brings_back_what_is_inherited_now() -> None:
    """The new policy has the instance's flags of that moment."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        bench.zitadel.change_flags("", emailChange=True)
        bench.zitadel.change("o", None, OTHERS)
        await bench.live(120)
        assert bench.zitadel.own == {"o": False}
        assert bench.zitadel.flags == {"": MAIL, "o": MAIL}
        await bench.stop()

    run(story())


def test_restore_of_an_own_policy_keeps_what_is_there_now() -> None:
    """The operator's flag goes back to the first value; the others stay."""

    async def story() -> None:
        bench = Bench()
        own(bench, True, emailChange=False)
        bench.cluster.put(restoring())
        await bench.start()
        await bench.live(5)
        bench.zitadel.change_flags("o", emailChange=True, digest=7)
        await delete(bench)
        assert bench.zitadel.own == {"o": True}
        assert bench.zitadel.flags["o"] == {"emailChange": True, "digest": 7}
        await bench.stop()

    run(story())


def test_restore_makes_an_own_policy_with_the_inherited_flags() -> None:
    """Somebody has reset it right before the deletion."""

    async def story() -> None:
        bench = Bench()
        own(bench, True)
        bench.cluster.put(restoring())
        await bench.start()
        await bench.live(5)
        bench.zitadel.change("o", None, OTHERS)
        bench.zitadel.change_flags("", emailChange=True)
        await delete(bench)
        assert bench.zitadel.own == {"o": True}
        assert bench.zitadel.flags["o"] == MAIL
        await bench.stop()

    run(story())


def test_restore_of_what_was_inherited_leaves_no_flag_behind() -> None:
    """It is a DELETE."""

    async def story() -> None:
        bench = Bench()
        bench.zitadel.flags[""] = dict(MAIL)
        bench.cluster.put(restoring())
        await bench.start()
        await bench.live(5)
        await delete(bench)
        assert bench.zitadel.own == {}
        assert bench.zitadel.flags == {"": MAIL}
        await bench.stop()

    run(story())


def test_an_successor_keeps_the_flags_that_it_finds() -> None:
    """This holds for a take-over with another value, and for the final restore."""

    async def story() -> None:
        bench = Bench()
        own(bench, True, **MAIL)
        bench.cluster.put(restoring("q", created="2026-01-01T00:00:09Z"))
        bench.cluster.put(restoring("p", created="2026-01-01T00:00:01Z"))
        await bench.start()
        await bench.live(5)
        successor = bench.policy("q")
        bench.seen(replace(successor, settings=mails(True), generation=2))
        bench.zitadel.change_flags("o", digest=1)
        await bench.live(5)
        await delete(bench, "p")
        await bench.live(5)
        flags = {"emailChange": True, "digest": 1}
        assert (bench.zitadel.own, bench.zitadel.flags["o"]) == ({"o": True}, flags)
        await delete(bench, "q")
        assert (bench.zitadel.own, bench.zitadel.flags["o"]) == ({"o": True}, flags)
        await bench.stop()

    run(story())


def test_observe_writes_nothing() -> None:
    async def story() -> None:
        bench = Bench()
        own(bench, True, **MAIL)
        bench.cluster.put(
            replace(policy("p"), management=ManagementPolicy.OBSERVE, deletion=None)
        )
        await bench.start()
        await bench.live(5)
        assert bench.zitadel.writes() == []
        assert bench.zitadel.flags["o"] == MAIL
        await bench.stop()

    run(story())


def _create(bench: Bench) -> None:
    """Somebody creates the organization's policy, with a flag of its own."""
    bench.zitadel.change("o", True, OTHERS)
    bench.zitadel.change_flags("o", emailChange=True)


def _reset(bench: Bench) -> None:
    """Somebody resets it; the instance has another flag."""
    bench.zitadel.change_flags("", emailChange=True)
    bench.zitadel.change("o", None, OTHERS)


def _set(bench: Bench) -> None:
    """Somebody sets the wanted value; the next change brings a flag."""
    bench.zitadel.change("o", False, OTHERS)


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
    meanwhile: Callable[[Bench], None],
    answer: WriteOutcome,
    flags: dict[str, object],
) -> None:
    """Somebody writes between the GET and the write: the new flags count."""

    async def story() -> None:
        bench = Bench()
        answers: list[WriteOutcome] = []
        if first is not None:
            own(bench, first)

        async def raced(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            if not answers:
                meanwhile(bench)
            result = await write()
            answers.append(result.answer)
            return result

        instead_of(bench.zitadel.write).around(raced)
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        assert answers[0] is answer
        assert bench.zitadel.own == {"o": False}
        assert bench.zitadel.flags["o"] == flags
        assert bench.ready("p").status == "True"
        # A faster writer says nothing about ZITADEL's read side, so the log is not
        # searched for an event in between.
        assert ("last policy event", "o") not in bench.steps.log
        assert ("p", "ReadSideRepaired") not in bench.recorder.notices
        assert bench.parts is not None
        assert not bench.parts.repairs.is_pending(Target("z", "o"))
        await bench.stop()

    run(story())


def test_a_restore_that_was_too_late_reads_anew() -> None:
    """The same holds for the write of a deletion."""

    async def story() -> None:
        bench = Bench()
        own(bench, True)
        bench.cluster.put(restoring())
        await bench.start()
        await bench.live(5)
        raced: list[int] = []

        async def late(write: Callable[[], Awaitable[WriteResult]]) -> WriteResult:
            if not raced:
                raced.append(1)
                _reset(bench)
            return await write()

        instead_of(bench.zitadel.write).around(late)
        await delete(bench)
        assert bench.zitadel.own == {"o": True}
        assert bench.zitadel.flags["o"] == MAIL
        await bench.stop()

    run(story())


def test_observations_that_differ_in_a_foreign_flag_are_one() -> None:
    """They are equal with the same hash, and the flag is not shown."""
    plain = ObservedPolicy(False, mails(True), "7")
    flagged = replace(plain, unknown_members={"emailChange": ["canary"]})
    assert plain == flagged
    assert len({plain, flagged}) == 1
    assert "canary" not in repr(flagged)
