"""The engine on a virtual clock: crashes at every step, quiet hours, dead instances."""

import asyncio
from dataclasses import replace

import pytest

from support.engines import INSTANCE, REF, Bench, policy
from support.fakes import FakeZitadel, Killed
from support.virtual_time import run
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.objects import (
    Endpoint,
    RateLimit,
)
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    DeletionPolicy,
    ObservedPolicy,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.engine.engine import LIST_INTERVAL
from zitadel_notification_operator.engine.keys import policy_key


async def life_of_a_policy(bench: Bench) -> None:
    """Create, edit and delete one policy, each to its end."""
    bench.cluster.put(policy("p"))
    await bench.start()
    await bench.live(30)
    edited = bench.policy("p")
    assert edited.status.observed_generation == 1
    assert edited.status.original == OriginalValue(True, True)
    assert bench.zitadel.own == {"o": False}
    bench.seen(replace(edited, password_change=True, generation=2))
    await bench.live(30)
    assert bench.zitadel.own == {"o": True}
    assert bench.policy("p").status.observed_generation == 2
    bench.seen(replace(bench.policy("p"), deleting=True, generation=3))
    await bench.live(30)
    assert bench.cluster.policies == {}
    assert bench.zitadel.own == {}
    await bench.stop()


def test_fault_free_life_makes_the_promised_calls() -> None:
    """Create 2 writes, change 1, delete 1; one GET a pass, one look for existence."""
    bench = Bench()
    run(life_of_a_policy(bench))
    about_policy = [s for s in bench.steps.log if s[0] != "identify"]
    assert [s[0] for s in about_policy if s[1:] != ("default",)] == [
        *("observe", "organization", "original", "Create", "status"),
        *("observe", "Update", "status"),
        *("Reset", "strip"),
    ]


def _steps_of_a_life() -> int:
    bench = Bench()
    run(life_of_a_policy(bench))
    return len(bench.steps.log)


@pytest.mark.parametrize("after", [False, True])
def test_kill_at_every_step_ends_the_same(after: bool) -> None:
    """Killed before or after any outside call, the next process gets there too."""
    for number in range(_steps_of_a_life()):
        bench = Bench()
        bench.steps.kill_at, bench.steps.after = number, after
        run(life_of_a_policy(bench))
        verbs = [s[0] for s in bench.zitadel.writes()]
        assert sorted(set(verbs)) == ["Create", "Reset", "Update"]
        assert len(verbs) <= 4, "at most the one call that was cut off is repeated"


def test_restart_with_known_policies_writes_nothing() -> None:
    """No write, and no call but the instance's check, until a look-up is due."""

    async def story() -> None:
        bench = Bench()
        for number in range(50):
            bench.cluster.put(policy(f"p{number}", f"o{number}"))
        await bench.start()
        await bench.live(5)
        await bench.stop()
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(5)
        await bench.stop()
        new = bench.steps.log[before:]
        assert [s for s in new if s[0] in {"status", "original", "strip"}] == []
        assert len([s for s in new if s[0] == "observe"]) <= 5
        assert bench.zitadel.writes() == [
            s for s in bench.zitadel.writes() if s[0] == "Create"
        ]

    run(story())


def test_quiet_hours_write_nothing() -> None:
    """Six hours of polling: look-ups, no write."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(70)
        before = len(bench.steps.log)
        await bench.live(6 * 3600)
        await bench.stop()
        verbs = {s[0] for s in bench.steps.log[before:]}
        assert verbs == {"observe", "identify"}

    run(story())


def test_dead_zitadel_costs_one_call_a_try_and_one_write_each() -> None:
    """Quiet policies stay Ready; after ten minutes their InSync is Unknown."""

    async def story() -> None:
        bench = Bench()
        for number in range(20):
            bench.cluster.put(policy(f"p{number}", f"o{number}"))
        await bench.start()
        await bench.live(5)
        bench.zitadel.trouble = TransientError(Reason.UNREACHABLE, "gone")
        await bench.live(300)
        assert find(bench.policy("p0").status.conditions, "Ready").status == "True"
        before = len(bench.steps.log)
        await bench.live(1200)
        new = bench.steps.log[before:]
        writes = [s for s in new if s[0] == "status" and s[1] != "default"]
        assert len(writes) == 20
        sync = find(bench.policy("p0").status.conditions, "InSync")
        assert sync.status == "Unknown"
        assert len([s for s in new if s[0] == "observe"]) == 0
        bench.zitadel.trouble = None
        await bench.live(120)
        sync = find(bench.policy("p0").status.conditions, "InSync")
        assert sync.status == "True"
        await bench.stop()

    run(story())


def test_a_token_is_handled_by_a_pass_that_began_after_it() -> None:
    """One that arrives while a pass runs is not copied by that pass."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        observe = bench.zitadel.observe
        seen: list[str | None] = []

        async def slow(organization_id: str | None) -> ObservedPolicy | None:
            found = await observe(organization_id)
            if bench.policy("p").requested_at == "t1":
                bench.zitadel.own["o"] = True
                bench.seen(replace(bench.policy("p"), requested_at="t2"))
                await asyncio.sleep(0)
            seen.append(bench.policy("p").status.last_handled_reconcile_at)
            return found

        bench.zitadel.observe = slow
        bench.seen(replace(bench.policy("p"), requested_at="t1"))
        await bench.live(5)
        assert seen == [None, "t1"]
        assert bench.policy("p").status.last_handled_reconcile_at == "t2"
        assert bench.zitadel.own == {"o": False}
        await bench.stop()

    run(story())


def test_periodic_list_heals_what_the_watch_lost() -> None:
    """A change, a new object and an end that no event told are found by the LIST."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("changed", "a"))
        bench.cluster.put(policy("ended", "b"))
        await bench.start()
        await bench.live(5)
        bench.cluster.put(
            replace(bench.policy("changed"), password_change=True, generation=2)
        )
        bench.cluster.put(policy("new", "c"))
        # Somebody took the finalizer off, so it went without us.
        del bench.cluster.policies[PolicyKey("own", "ended")]
        bench.cluster.put(policy("heir", "b", second=5))
        await bench.live(2 * LIST_INTERVAL)
        assert bench.zitadel.own == {"a": True, "b": False, "c": False}
        heir = bench.policy("heir").status.conditions
        assert find(heir, "Ready").status == "True"
        await bench.stop()

    run(story())


def test_a_dead_task_ends_the_engine() -> None:
    """Whatever kills a worker or the LIST is told, so that the process can end."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        bench.steps.kill_at = 3
        engine = await bench.start()
        await asyncio.wait_for(engine.failed.wait(), 5)
        assert isinstance(engine.failure, Killed)
        await bench.stop()

    run(story())


def test_retries_write_once_a_cause() -> None:
    """An hour of failing tries: one status for the cause, one when it is overdue."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        original = bench.zitadel.observe
        causes = [Reason.SERVER_ERROR, Reason.UNEXPECTED_ANSWER]

        async def failing(organization_id: str | None) -> ObservedPolicy | None:
            await original(organization_id)
            raise TransientError(causes[0], "does not serve")

        bench.zitadel.observe = failing
        reasons = []
        await bench.start()
        while causes:
            before = len(bench.steps.log)
            await bench.live(3600)
            new = [s for s in bench.steps.log[before:] if s == ("status", "own/p")]
            reasons.append(len(new))
            tries = [s for s in bench.steps.log[before:] if s[0] == "observe"]
            assert 30 < len(tries) < 120
            del causes[0]
        assert reasons == [2, 1]
        told = [reason for name, reason in bench.recorder.notices if name == "p"]
        assert told == [Reason.SERVER_ERROR, Reason.UNEXPECTED_ANSWER]
        await bench.stop()

    run(story())


def test_events_tell_transitions_once() -> None:
    """Created, Updated, DriftCorrected, trouble, Recovered, Deleted: each one time."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.seen(replace(bench.policy("p"), password_change=True, generation=2))
        await bench.live(5)
        bench.zitadel.own["o"] = False
        await bench.live(1500)
        bench.seen(replace(bench.policy("p"), requested_at="now"))
        await bench.live(5)
        bench.zitadel.trouble = TerminalError(Reason.CREDENTIALS_REJECTED, "no")
        await bench.live(700)
        bench.zitadel.trouble = None
        await bench.live(700)
        bench.seen(replace(bench.policy("p"), deleting=True, generation=3))
        await bench.live(5)
        told = [reason for name, reason in bench.recorder.notices if name == "p"]
        assert told == [
            *("Created", "Updated", "DriftCorrected", "ReconcileRequested"),
            *("CredentialsRejected", "Recovered", "Deleted"),
        ]
        await bench.stop()

    run(story())


def test_a_rotated_secret_is_used_within_a_minute() -> None:
    """It is tried by itself; that ZITADEL refuses it yet is told, and passes."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.cluster.secrets[REF] = b"new"
        before = len(bench.steps.log)
        await bench.live(60)
        assert bench.zitadel.token == "new"
        written = [s for s in bench.steps.log[before:] if s[0] == "status"]
        # ZITADEL still takes the old one only, so the new one is told as refused.
        assert written == [("status", "default"), ("status", "own/p")]
        bench.zitadel.accepted = "new"
        await bench.live(330)
        ready = find(bench.policy("p").status.conditions, "Ready")
        assert ready.status == "True"
        await bench.stop()

    run(story())


def test_a_refused_token_sends_for_the_secret_at_once() -> None:
    """The first 401 that a policy meets is not even told when a new one is there."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.cluster.secrets[REF] = b"new"
        bench.zitadel.accepted = "new"
        before = len(bench.steps.log)
        bench.seen(replace(bench.policy("p"), password_change=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {"o": True}
        written = [s for s in bench.steps.log[before:] if s[0] == "status"]
        assert written == [("status", "own/p")]
        await bench.stop()

    run(story())


def test_a_change_within_a_check_of_the_instance_is_not_forgotten() -> None:
    """An edit and a deletion that meet no verdict are taken up by the next one."""

    async def story() -> None:
        bench = Bench()
        for name in ("edited", "deleted"):
            bench.cluster.put(policy(name, name))
        await bench.start()
        await bench.live(5)
        identify = bench.zitadel.identify

        async def slow() -> str:
            await asyncio.sleep(2)
            return await identify()

        bench.zitadel.identify = slow
        stored = bench.cluster.instances["default"]
        limits = replace(stored.endpoint, rate_limit=RateLimit(burst=77))
        bench.instance_seen(replace(stored, endpoint=limits, generation=2))
        await bench.live(0.5)
        edited = replace(bench.policy("edited"), password_change=True, generation=2)
        bench.seen(edited)
        bench.seen(replace(bench.policy("deleted"), deleting=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {"edited": True}
        assert bench.policy("edited").status.observed_generation == 2
        await bench.stop()

    run(story())


def test_whoever_was_forgotten_is_found_by_the_list() -> None:
    """A policy without any plan is looked at again after the next LIST."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        assert bench.room is not None
        bench.room.queue.forget(policy_key(PolicyKey("own", "p")))
        bench.zitadel.own["o"] = True
        await bench.live(3 * LIST_INTERVAL)
        assert bench.zitadel.own == {"o": False}
        await bench.stop()

    run(story())


def test_an_instance_that_hangs_takes_nobody_elses_turn() -> None:
    """Drift and a new policy of another instance are served at once."""

    async def story() -> None:
        bench = Bench()
        hanging = FakeZitadel(bench.steps, "hanging")
        bench.zitadel.elsewhere["https://hanging"] = hanging

        async def hang(organization_id: str | None) -> None:
            await asyncio.sleep(10)
            raise TransientError(Reason.UNREACHABLE, organization_id or "")

        hanging.observe = hang
        bench.cluster.put_instance(replace(INSTANCE, poll_interval=10.0))
        bench.cluster.put_instance(
            replace(
                INSTANCE, name="hanging", uid="h", endpoint=Endpoint("https://hanging")
            )
        )
        bench.cluster.put(policy("good"))
        for number in range(60):
            bad = replace(policy(f"bad{number}", f"b{number}"), instance="hanging")
            bench.cluster.put(bad)
        await bench.start()
        await bench.live(60)
        bench.zitadel.own["o"] = True
        await bench.live(12)
        assert bench.zitadel.own == {"o": False}
        bench.seen(policy("new", "n"))
        await bench.live(1)
        assert bench.ready("new").status == "True"
        await bench.stop()

    run(story())


def test_a_dying_instance_that_somebody_holds_up_still_serves() -> None:
    """After a restart, too: its policies get their verdict."""

    async def story() -> None:
        bench = Bench()
        retained = replace(policy("p"), deletion=DeletionPolicy.RETAIN)
        bench.cluster.put(retained)
        await bench.start()
        await bench.live(5)
        await bench.stop()
        dying = replace(
            bench.cluster.instances["default"],
            finalizers=("example.com/x",),
            deleting=True,
            generation=2,
        )
        bench.cluster.put_instance(dying)
        await bench.start()
        await bench.live(5)
        bench.seen(replace(bench.policy("p"), password_change=True, generation=2))
        await bench.live(5)
        assert bench.zitadel.own == {"o": True}
        await bench.stop()

    run(story())


def test_a_shorter_poll_interval_holds_at_once() -> None:
    """Nobody waits for the timer that was set with the old one."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put_instance(replace(INSTANCE, poll_interval=86400.0))
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.zitadel.own["o"] = True
        shorter = replace(bench.cluster.instances["default"], poll_interval=10.0)
        bench.instance_seen(replace(shorter, generation=2))
        await bench.live(12)
        assert bench.zitadel.own == {"o": False}
        await bench.stop()

    run(story())


@pytest.mark.parametrize(
    "trouble",
    [
        TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no role"),
        TransientError(Reason.HOST_NOT_RECOGNIZED, "wrong host"),
    ],
)
def test_only_a_zitadel_that_does_not_answer_leaves_policies_ready(
    trouble: OperatorError,
) -> None:
    """Any other cause is told on the policies, and at once."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        await bench.start()
        await bench.live(5)
        bench.zitadel.trouble = trouble
        bench.instance_seen(
            replace(bench.cluster.instances["default"], requested_at="now")
        )
        await bench.live(2)
        assert bench.ready("p").reason == Reason.INSTANCE_NOT_READY
        assert trouble.reason in bench.ready("p").message
        await bench.stop()

    run(story())


def test_an_excerpt_that_changes_costs_no_write() -> None:
    """A proxy's error page may hold the time; the cause is the same."""

    async def story() -> None:
        bench = Bench()
        bench.cluster.put(policy("p"))
        bench.zitadel.trouble = TransientError(
            Reason.UNEXPECTED_ANSWER, "not ZITADEL's answer: ", excerpt="request 1"
        )
        await bench.start()
        await bench.live(5)
        before = len(bench.steps.log)
        for number in range(2, 10):
            bench.zitadel.trouble = TransientError(
                Reason.UNEXPECTED_ANSWER,
                "not ZITADEL's answer: ",
                excerpt=f"request {number}",
            )
            await bench.live(60)
        assert "status" not in [s[0] for s in bench.steps.log[before:]]
        assert bench.ready("p").message.endswith("request 1")
        await bench.stop()

    run(story())
