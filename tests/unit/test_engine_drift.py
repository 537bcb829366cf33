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
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(count)))
        await harness.start()
        await harness.live(300)
        before = len(harness.steps.log)
        await harness.live(3600)
        new = calls(harness, before)
        assert set(new) <= {"events", "identify", "authenticate"}
        assert 60 <= new.count("events") <= 67
        assert len(harness.steps.log) - before == len(new)
        await harness.stop()

    run(story())


def test_what_others_change_is_corrected_within_the_interval() -> None:
    """Only the affected policy gets a pass; the status names the editor."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(50)))
        await harness.start()
        await harness.live(120)
        before = len(harness.steps.log)
        harness.zitadel.change("o7", True, OTHERS)
        await harness.live(61)
        assert harness.zitadel.own["o7"] is False
        assert calls(harness, before).count("observe") == 2  # and one after the write
        drift = harness.policy("p7").status.last_drift
        assert drift is not None
        assert drift.editor == OTHERS
        assert drift.found == OriginalValue(False, mails(True))
        assert drift.restored == OriginalValue(False, mails(False))
        assert harness.recorder.notices.count(("p7", "DriftCorrected")) == 1
        assert in_sync(harness, "p7").status == "True"
        await harness.stop()

    run(story())


def test_a_reset_by_others_is_corrected_too() -> None:
    """The organization then inherits, and an inherited value is not the wanted one."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        harness.zitadel.change("o", None, OTHERS)
        await harness.live(61)
        assert harness.zitadel.own == {"o": False}
        drift = harness.policy("p").status.last_drift
        assert drift is not None
        assert drift.found == OriginalValue(True, mails(True))
        await harness.stop()

    run(story())


def test_our_own_writes_wake_nobody() -> None:
    """The statuses have their sequences."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(30)))
        await harness.start()
        await harness.live(300)
        assert calls(harness, 0).count("observe") == 60
        for number in range(30):
            stored = harness.policy(f"p{number}")
            harness.seen(replace(stored, settings=mails(True), generation=2))
        await harness.live(300)
        assert calls(harness, 0).count("observe") == 120
        assert {event.editor for event in harness.zitadel.events_log} == {OURSELVES}
        await harness.stop()

    run(story())


def test_a_removed_organization_is_found_out_also_in_observe() -> None:
    """A GET shows it as one that inherits, so only its event reveals it."""

    async def story() -> None:
        observer = replace(policy("o", "o2"), management=ManagementPolicy.OBSERVE)
        harness = bench_with(policy("m", "o1"), observer)
        await harness.start()
        await harness.live(120)
        harness.zitadel.remove("o1")
        harness.zitadel.remove("o2")
        await harness.live(61)
        for name in ("m", "o"):
            assert harness.ready(name).reason == Reason.ORGANIZATION_NOT_FOUND
        assert [step[0] for step in harness.zitadel.writes()] == ["Create"]
        await harness.stop()

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
        harness = bench_with(default, *observers)
        await harness.start()
        await harness.live(120)
        harness.zitadel.change("", False, OTHERS)
        before = len(harness.steps.log)
        while calls(harness, before).count("observe") == 0:
            await harness.live(1)
        await harness.live(2)
        assert calls(harness, before).count("observe") < 20
        assert harness.zitadel.default is True
        await harness.live(200)
        # Once for the change, once for its correction at most.
        assert calls(harness, before).count("observe") <= 1 + 2 * 100
        shown = {mailing(harness.policy(f"p{n}").status.settings) for n in range(100)}
        assert shown == {True}
        await harness.stop()

    run(story())


def test_a_restart_goes_on_where_the_last_process_stopped() -> None:
    """Changes in the meantime are found, and no other policy gets a pass."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(1000)))
        await harness.start()
        await harness.live(300)
        await harness.stop()
        harness.zitadel.change("o3", True, OTHERS)
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(65)
        new = calls(harness, before)
        assert new.count("observe") == 2
        assert len(new) <= 11
        assert harness.zitadel.own["o3"] is False
        await harness.stop()
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(30)
        assert len(calls(harness, before)) <= 10
        assert len(harness.steps.log) - before == len(calls(harness, before))
        await harness.stop()

    run(story())


def test_more_events_than_a_page_holds_are_all_read() -> None:
    """This holds even if all of them are younger than the overlap."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(2500)))
        await harness.start()
        await harness.live(400)
        for number in range(2500):
            harness.zitadel.change(f"o{number}", True, OTHERS)
        await harness.live(120)
        assert set(harness.zitadel.own.values()) == {False}
        await harness.stop()

    run(story())


def test_an_event_that_becomes_visible_late_is_not_missed() -> None:
    """The searches overlap by half a minute."""

    async def story() -> None:
        harness = bench_with(policy("p", "o"), policy("q", "u"))
        await harness.start()
        await harness.live(120)
        log = harness.zitadel.events_log
        harness.zitadel.change("o", True, OTHERS)
        late = log.pop()
        await asyncio.sleep(5)
        harness.zitadel.change("u", True, OTHERS)
        await harness.live(61)
        assert harness.zitadel.own == {"o": True, "u": False}
        log.insert(-2, late)
        log.sort(key=lambda event: event.time)
        await harness.live(61)
        assert harness.zitadel.own == {"o": False, "u": False}
        await harness.stop()

    run(story())


def test_events_that_are_no_longer_kept_make_all_be_checked() -> None:
    """All policies are checked once; then events are used again."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(20)))
        await harness.start()
        await harness.live(120)
        await harness.stop()
        harness.zitadel.change("o5", True, OTHERS)
        harness.zitadel.events_log.clear()
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(700)
        assert harness.zitadel.own["o5"] is False
        assert calls(harness, before).count("observe") == 21
        before = len(harness.steps.log)
        await harness.live(1300)
        assert calls(harness, before).count("observe") == 0
        await harness.stop()

    run(story())


def test_half_an_answer_is_not_taken_for_a_quiet_zitadel() -> None:
    """After one `{}` the search is retried, and nothing is polled."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(20)))
        await harness.start()
        await harness.live(120)
        before = len(harness.steps.log)
        events, answers = harness.zitadel.events, [True]

        async def half(since: str | None, limit: int) -> list[ZitadelEvent]:
            found = await events(since, limit)
            return [] if answers and answers.pop() else found

        instead_of(harness.zitadel.events).call(half)
        harness.zitadel.change("o5", True, OTHERS)
        await harness.live(200)
        assert harness.zitadel.own["o5"] is False
        assert calls(harness, before).count("observe") == 2
        await harness.stop()

    run(story())


def test_a_daily_check_finds_what_no_event_has_shown() -> None:
    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        harness.zitadel.own["o"] = True
        await harness.live(3000)
        assert harness.zitadel.own["o"] is True
        await harness.live(DAY + 3700)
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())


def test_an_outage_loses_no_event() -> None:
    """The cursor stays, and changes in the meantime are corrected afterwards."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        harness.zitadel.failure = TransientError(Reason.UNREACHABLE, "gone")
        await harness.live(300)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(300)
        harness.zitadel.failure = None
        await harness.live(400)
        assert harness.zitadel.own["o"] is False
        drift = harness.policy("p").status.last_drift
        assert drift is not None
        assert drift.editor == OTHERS
        await harness.stop()

    run(story())


def test_a_pass_that_was_cut_short_comes_with_the_next_verdict() -> None:
    """A pass after an event fails with the instance; no second event comes."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(120)
        observe = harness.zitadel.observe

        async def limited(organization_id: str | None) -> ObservedPolicy | None:
            instead_of(harness.zitadel.observe).call(observe)
            harness.zitadel.failure = TransientError(Reason.RATE_LIMITED, "slower", 1.0)
            return await observe(organization_id)

        instead_of(harness.zitadel.observe).call(limited)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(65)
        harness.zitadel.failure = None
        await harness.live(65)
        assert harness.zitadel.own["o"] is False
        await harness.stop()

    run(story())


def test_events_of_other_kinds_of_aggregates_are_ignored() -> None:
    """An organization without a policy moves no cursor in Kubernetes."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(300)
        before = len(harness.steps.log)
        for _ in range(20):
            harness.zitadel.change("foreign", True, OTHERS)
            await harness.live(60)
        assert set(calls(harness, before)) <= {"events", "identify", "authenticate"}
        assert len(harness.steps.log) - before == len(calls(harness, before))
        kinds = {event.kind for event in harness.zitadel.events_log}
        assert kinds == {EventKind.ORGANIZATION_POLICY}
        await harness.stop()

    run(story())
