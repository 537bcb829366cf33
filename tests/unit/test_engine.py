"""The engine on a virtual clock: crashes at every step, quiet hours, retries."""

import asyncio
from dataclasses import replace

import pytest

from support.engines import Harness, policy
from support.replacing import instead_of
from support.settings import mails
from support.steps import Killed
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    ObservedPolicy,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.leader.resync import LIST_INTERVAL
from zitadel_notification_operator.engine.queue.keys import policy_key


async def life_of_a_policy(harness: Harness) -> None:
    """Create, edit and delete one policy, and wait for the end of each step."""
    harness.cluster.put(policy("p"))
    await harness.start()
    await harness.live(30)
    edited = harness.policy("p")
    assert edited.status.observed_generation == 1
    assert edited.status.original == OriginalValue(True, mails(True))
    assert harness.zitadel.own == {"o": False}
    harness.seen(replace(edited, settings=mails(True), generation=2))
    await harness.live(30)
    assert harness.zitadel.own == {"o": True}
    assert harness.policy("p").status.observed_generation == 2
    harness.seen(replace(harness.policy("p"), deleting=True, generation=3))
    await harness.live(30)
    assert harness.cluster.policies == {}
    assert harness.zitadel.own == {}
    await harness.stop()


def test_fault_free_life_makes_the_promised_calls() -> None:
    """Create takes 2 writes, change 1, delete 1; each pass and write takes a GET.

    A deletion also checks whether the CRD is being deleted before it undoes anything.
    """
    harness = Harness()
    run(life_of_a_policy(harness))
    about_policy = [
        s for s in harness.steps.log if s[0] not in {"identify", "authenticate"}
    ]
    assert [s[0] for s in about_policy if s[1:] != ("default",)] == [
        *("observe", "organization", "original", "Create", "observe", "status"),
        *("observe", "Update", "observe", "status"),
        *("crd", "Reset", "observe", "strip"),
    ]


def _steps_of_a_life() -> int:
    harness = Harness()
    run(life_of_a_policy(harness))
    return len(harness.steps.log)


@pytest.mark.parametrize("after", [False, True])
def test_kill_at_every_step_ends_the_same(after: bool) -> None:
    """After a kill before or after any call, the next process has the same end."""
    for number in range(_steps_of_a_life()):
        harness = Harness()
        harness.steps.kill_at, harness.steps.after = number, after
        run(life_of_a_policy(harness))
        verbs = [s[0] for s in harness.zitadel.writes()]
        assert sorted(set(verbs)) == ["Create", "Reset", "Update"]
        assert len(verbs) <= 4, "at most the one call that was cut off is repeated"


def test_restart_with_known_policies_writes_nothing() -> None:
    """Until a drift check is due, only the instance's check makes calls."""

    async def story() -> None:
        harness = Harness()
        for number in range(50):
            harness.cluster.put(policy(f"p{number}", f"o{number}"))
        await harness.start()
        await harness.live(5)
        await harness.stop()
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(5)
        await harness.stop()
        new = harness.steps.log[before:]
        assert [s for s in new if s[0] in {"status", "original", "strip"}] == []
        assert len([s for s in new if s[0] == "observe"]) <= 5
        assert harness.zitadel.writes() == [
            s for s in harness.zitadel.writes() if s[0] == "Create"
        ]

    run(story())


def test_quiet_hours_write_nothing() -> None:
    """In six hours of polling there are GETs, but no write."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(70)
        before = len(harness.steps.log)
        await harness.live(6 * 3600)
        await harness.stop()
        verbs = {s[0] for s in harness.steps.log[before:]}
        assert verbs == {"observe", "identify", "authenticate"}

    run(story())


def test_a_token_is_handled_by_a_pass_that_began_after_it() -> None:
    """A token that arrives while a pass runs is not copied by that pass."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        observe = harness.zitadel.observe
        seen: list[str | None] = []

        async def slow(organization_id: str | None) -> ObservedPolicy | None:
            found = await observe(organization_id)
            if harness.policy("p").requested_at == "t1":
                harness.zitadel.own["o"] = True
                harness.seen(replace(harness.policy("p"), requested_at="t2"))
                await asyncio.sleep(0)
            seen.append(harness.policy("p").status.last_handled_reconcile_at)
            return found

        instead_of(harness.zitadel.observe).call(slow)
        harness.seen(replace(harness.policy("p"), requested_at="t1"))
        await harness.live(5)
        assert seen == [None, "t1", "t1"]
        assert harness.policy("p").status.last_handled_reconcile_at == "t2"
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


def test_periodic_list_heals_what_the_watch_lost() -> None:
    """The LIST finds a change, a new object and a deletion without watch events."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("changed", "a"))
        harness.cluster.put(policy("ended", "b"))
        await harness.start()
        await harness.live(5)
        harness.cluster.put(
            replace(harness.policy("changed"), settings=mails(True), generation=2)
        )
        harness.cluster.put(policy("new", "c"))
        # Somebody removed the finalizer, so the object went without a pass.
        del harness.cluster.policies[PolicyKey("own", "ended")]
        harness.cluster.put(policy("successor", "b", second=5))
        await harness.live(2 * LIST_INTERVAL)
        assert harness.zitadel.own == {"a": True, "b": False, "c": False}
        assert harness.ready("successor").status == "True"
        await harness.stop()

    run(story())


def test_a_dead_task_ends_the_engine() -> None:
    """An error that kills a worker or the LIST is reported, and ends the process."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        harness.steps.kill_at = 3
        engine = await harness.start()
        await asyncio.wait_for(engine.failed.wait(), 5)
        assert isinstance(engine.failure, Killed)
        await harness.stop()

    run(story())


def test_retries_write_once_a_cause() -> None:
    """An hour of failures writes one status for the cause, and one at the deadline."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        original = harness.zitadel.observe
        causes = [Reason.SERVER_ERROR, Reason.UNEXPECTED_ANSWER]

        async def failing(organization_id: str | None) -> ObservedPolicy | None:
            await original(organization_id)
            raise TransientError(causes[0], "does not serve")

        instead_of(harness.zitadel.observe).call(failing)
        writes = []
        await harness.start()
        while causes:
            before = len(harness.steps.log)
            await harness.live(3600)
            new = [s for s in harness.steps.log[before:] if s == ("status", "own/p")]
            writes.append(len(new))
            tries = [s for s in harness.steps.log[before:] if s[0] == "observe"]
            assert 30 < len(tries) < 120
            del causes[0]
        assert writes == [2, 1]
        reasons = [reason for name, reason in harness.recorder.notices if name == "p"]
        assert reasons == [Reason.SERVER_ERROR, Reason.UNEXPECTED_ANSWER]
        await harness.stop()

    run(story())


def test_events_report_transitions_once() -> None:
    """Created, Updated, DriftCorrected, errors, Recovered, Deleted: one Event each."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        harness.seen(replace(harness.policy("p"), settings=mails(True), generation=2))
        await harness.live(5)
        harness.zitadel.own["o"] = False
        await harness.live(1500)
        harness.seen(replace(harness.policy("p"), requested_at="now"))
        await harness.live(5)
        harness.zitadel.failure = TerminalError(Reason.CREDENTIALS_REJECTED, "no")
        await harness.live(700)
        harness.zitadel.failure = None
        await harness.live(700)
        harness.seen(replace(harness.policy("p"), deleting=True, generation=3))
        await harness.live(5)
        reasons = [reason for name, reason in harness.recorder.notices if name == "p"]
        assert reasons == [
            *("Created", "Updated", "DriftCorrected", "ReconcileRequested"),
            *("CredentialsRejected", "Recovered", "Deleted"),
        ]
        await harness.stop()

    run(story())


def test_whoever_was_forgotten_is_found_by_the_list() -> None:
    """After the next LIST, a policy that is not queued gets a pass."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        await harness.start()
        await harness.live(5)
        assert harness.parts is not None
        harness.parts.queue.forget(policy_key(PolicyKey("own", "p")))
        harness.zitadel.own["o"] = True
        await harness.live(3 * LIST_INTERVAL)
        assert harness.zitadel.own == {"o": False}
        await harness.stop()

    run(story())


def test_an_excerpt_that_changes_costs_no_write() -> None:
    """A proxy's error page may contain the time; the cause is the same."""

    async def story() -> None:
        harness = Harness()
        harness.cluster.put(policy("p"))
        harness.zitadel.failure = TransientError(
            Reason.UNEXPECTED_ANSWER, "not ZITADEL's answer: ", excerpt="request 1"
        )
        await harness.start()
        await harness.live(5)
        before = len(harness.steps.log)
        for number in range(2, 10):
            harness.zitadel.failure = TransientError(
                Reason.UNEXPECTED_ANSWER,
                "not ZITADEL's answer: ",
                excerpt=f"request {number}",
            )
            await harness.live(60)
        assert "status" not in [s[0] for s in harness.steps.log[before:]]
        assert harness.ready("p").message.endswith("request 1")
        await harness.stop()

    run(story())
