"""Drift by events: affected policies, editors, the cost of a restart, contests."""

import asyncio
from dataclasses import replace

import pytest

from support.drift import bench_with, calls, in_sync
from support.engines import policy
from support.fakes import OTHERS, OURSELVES
from support.replacing import instead_of
from support.settings import mailing, mails
from support.virtual_time import run
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import (
    ManagementPolicy,
    ObservedPolicy,
    Scope,
)
from zitadel_notification_operator.core.reasons import Reason

DAY = 24 * 3600.0


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_an_idle_hour_costs_the_same_whatever_the_number(count: int) -> None:
    """There is a search a minute, the instance's checks, and no write."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(count)))
        await bench.start()
        await bench.live(300)
        before = len(bench.steps.log)
        await bench.live(3600)
        new = calls(bench, before)
        assert set(new) <= {"events", "identify", "authenticate"}
        assert 60 <= new.count("events") <= 67
        assert len(bench.steps.log) - before == len(new)
        await bench.stop()

    run(story())


def test_what_others_change_is_corrected_within_the_interval() -> None:
    """Only the affected policy gets a pass; the status names the editor."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(50)))
        await bench.start()
        await bench.live(120)
        before = len(bench.steps.log)
        bench.zitadel.change("o7", True, OTHERS)
        await bench.live(61)
        assert bench.zitadel.own["o7"] is False
        assert calls(bench, before).count("observe") == 2  # and one after the write
        drift = bench.policy("p7").status.last_drift
        assert drift is not None
        assert drift.editor == OTHERS
        assert drift.found == OriginalValue(False, mails(True))
        assert drift.restored == OriginalValue(False, mails(False))
        assert bench.recorder.notices.count(("p7", "DriftCorrected")) == 1
        assert in_sync(bench, "p7").status == "True"
        await bench.stop()

    run(story())


def test_a_reset_by_others_is_corrected_too() -> None:
    """The organization then inherits, and an inherited value is not the wanted one."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        bench.zitadel.change("o", None, OTHERS)
        await bench.live(61)
        assert bench.zitadel.own == {"o": False}
        drift = bench.policy("p").status.last_drift
        assert drift is not None
        assert drift.found == OriginalValue(True, mails(True))
        await bench.stop()

    run(story())


def test_our_own_writes_wake_nobody() -> None:
    """The statuses have their sequences."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(30)))
        await bench.start()
        await bench.live(300)
        assert calls(bench, 0).count("observe") == 60
        for number in range(30):
            stored = bench.policy(f"p{number}")
            bench.seen(replace(stored, settings=mails(True), generation=2))
        await bench.live(300)
        assert calls(bench, 0).count("observe") == 120
        assert {event.editor for event in bench.zitadel.events_log} == {OURSELVES}
        await bench.stop()

    run(story())


def test_a_removed_organization_is_found_out_also_in_observe() -> None:
    """A GET shows it as one that inherits, so only its event reveals it."""

    async def story() -> None:
        observer = replace(policy("o", "o2"), management=ManagementPolicy.OBSERVE)
        bench = bench_with(policy("m", "o1"), observer)
        await bench.start()
        await bench.live(120)
        bench.zitadel.remove("o1")
        bench.zitadel.remove("o2")
        await bench.live(61)
        for name in ("m", "o"):
            assert bench.ready(name).reason == Reason.ORGANIZATION_NOT_FOUND
        assert [step[0] for step in bench.zitadel.writes()] == ["Create"]
        await bench.stop()

    run(story())


def test_a_new_default_wakes_what_inherits_it_one_after_the_other() -> None:
    """The instance's policy at once, a hundred that inherit over a minute."""

    async def story() -> None:
        default = replace(
            policy("default"),
            scope=Scope.INSTANCE,
            organization=None,
            settings=mails(True),
        )
        observers = [
            replace(policy(f"p{n}", f"o{n}"), management=ManagementPolicy.OBSERVE)
            for n in range(100)
        ]
        bench = bench_with(default, *observers)
        await bench.start()
        await bench.live(120)
        bench.zitadel.change("", False, OTHERS)
        before = len(bench.steps.log)
        while calls(bench, before).count("observe") == 0:
            await bench.live(1)
        await bench.live(2)
        assert calls(bench, before).count("observe") < 20
        assert bench.zitadel.default is True
        await bench.live(200)
        # Once for the change, once for its correction at most.
        assert calls(bench, before).count("observe") <= 1 + 2 * 100
        shown = {mailing(bench.policy(f"p{n}").status.settings) for n in range(100)}
        assert shown == {True}
        await bench.stop()

    run(story())


def test_a_restart_goes_on_where_the_last_process_stopped() -> None:
    """Changes in the meantime are found, and no other policy gets a pass."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(1000)))
        await bench.start()
        await bench.live(300)
        await bench.stop()
        bench.zitadel.change("o3", True, OTHERS)
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(65)
        new = calls(bench, before)
        assert new.count("observe") == 2
        assert len(new) <= 11
        assert bench.zitadel.own["o3"] is False
        await bench.stop()
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(30)
        assert len(calls(bench, before)) <= 10
        assert len(bench.steps.log) - before == len(calls(bench, before))
        await bench.stop()

    run(story())


def test_more_events_than_a_page_holds_are_all_read() -> None:
    """This holds even if all of them are younger than the overlap."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(2500)))
        await bench.start()
        await bench.live(400)
        for number in range(2500):
            bench.zitadel.change(f"o{number}", True, OTHERS)
        await bench.live(120)
        assert set(bench.zitadel.own.values()) == {False}
        await bench.stop()

    run(story())


def test_an_event_that_becomes_visible_late_is_not_missed() -> None:
    """The searches overlap by half a minute."""

    async def story() -> None:
        bench = bench_with(policy("p", "o"), policy("q", "u"))
        await bench.start()
        await bench.live(120)
        log = bench.zitadel.events_log
        bench.zitadel.change("o", True, OTHERS)
        late = log.pop()
        await asyncio.sleep(5)
        bench.zitadel.change("u", True, OTHERS)
        await bench.live(61)
        assert bench.zitadel.own == {"o": True, "u": False}
        log.insert(-2, late)
        log.sort(key=lambda event: event.time)
        await bench.live(61)
        assert bench.zitadel.own == {"o": False, "u": False}
        await bench.stop()

    run(story())


def test_events_that_are_no_longer_kept_make_all_be_checked() -> None:
    """All policies are checked once; then events are used again."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(20)))
        await bench.start()
        await bench.live(120)
        await bench.stop()
        bench.zitadel.change("o5", True, OTHERS)
        bench.zitadel.events_log.clear()
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(700)
        assert bench.zitadel.own["o5"] is False
        assert calls(bench, before).count("observe") == 21
        before = len(bench.steps.log)
        await bench.live(1300)
        assert calls(bench, before).count("observe") == 0
        await bench.stop()

    run(story())


def test_half_an_answer_is_not_taken_for_a_quiet_zitadel() -> None:
    """After one `{}` the search is retried, and nothing is polled."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(20)))
        await bench.start()
        await bench.live(120)
        before = len(bench.steps.log)
        events, answers = bench.zitadel.events, [True]

        async def half(since: str | None, limit: int) -> list[ZitadelEvent]:
            found = await events(since, limit)
            return [] if answers and answers.pop() else found

        instead_of(bench.zitadel.events).call(half)
        bench.zitadel.change("o5", True, OTHERS)
        await bench.live(200)
        assert bench.zitadel.own["o5"] is False
        assert calls(bench, before).count("observe") == 2
        await bench.stop()

    run(story())


def test_a_daily_check_finds_what_no_event_has_shown() -> None:
    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        bench.zitadel.own["o"] = True
        await bench.live(3000)
        assert bench.zitadel.own["o"] is True
        await bench.live(DAY + 3700)
        assert bench.zitadel.own["o"] is False
        await bench.stop()

    run(story())


def test_an_outage_loses_no_event() -> None:
    """The cursor stays, and changes in the meantime are corrected afterwards."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        bench.zitadel.failure = TransientError(Reason.UNREACHABLE, "gone")
        await bench.live(300)
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(300)
        bench.zitadel.failure = None
        await bench.live(400)
        assert bench.zitadel.own["o"] is False
        drift = bench.policy("p").status.last_drift
        assert drift is not None
        assert drift.editor == OTHERS
        await bench.stop()

    run(story())


def test_a_pass_that_was_cut_short_comes_with_the_next_verdict() -> None:
    """A pass after an event fails with the instance; no second event comes."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(120)
        observe = bench.zitadel.observe

        async def limited(organization_id: str | None) -> ObservedPolicy | None:
            instead_of(bench.zitadel.observe).call(observe)
            bench.zitadel.failure = TransientError(Reason.RATE_LIMITED, "slower", 1.0)
            return await observe(organization_id)

        instead_of(bench.zitadel.observe).call(limited)
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(65)
        bench.zitadel.failure = None
        await bench.live(65)
        assert bench.zitadel.own["o"] is False
        await bench.stop()

    run(story())


def test_events_of_other_kinds_of_aggregates_are_ignored() -> None:
    """An organization without a policy moves no cursor in Kubernetes."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(300)
        before = len(bench.steps.log)
        for _ in range(20):
            bench.zitadel.change("foreign", True, OTHERS)
            await bench.live(60)
        assert set(calls(bench, before)) <= {"events", "identify", "authenticate"}
        assert len(bench.steps.log) - before == len(calls(bench, before))
        kinds = {event.kind for event in bench.zitadel.events_log}
        assert kinds == {EventKind.ORGANIZATION_POLICY}
        await bench.stop()

    run(story())
