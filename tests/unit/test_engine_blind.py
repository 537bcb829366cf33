"""An event log that cannot be used: polling instead, reports, and the way back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NoReturn

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Bench, policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.conditions import find
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.instance_object import (
    DriftDetection,
    DriftMethod,
    InstanceObject,
    InstanceStatus,
    RateLimit,
)
from zitadel_notification_operator.core.reasons import Reason

Story = Callable[[], Awaitable[None]]
POLL = 600.0
EVENTS = DriftDetection(DriftMethod.EVENTS)

TROUBLES: dict[str, OperatorError] = {
    "hangs": TransientError(Reason.UNREACHABLE, "z cannot be reached: no answer"),
    "500": TransientError(Reason.SERVER_ERROR, "cannot serve now: HTTP 500"),
    "400": TerminalError(Reason.REQUEST_REFUSED, "refused: ", excerpt="request 17"),
    "401": TerminalError(Reason.CREDENTIALS_REJECTED, "refused"),
    "403": TerminalError(Reason.INSUFFICIENT_PERMISSIONS, "no role"),
    "404": TransientError(Reason.UNEXPECTED_ANSWER, "HTTP 404"),
    "429": TransientError(Reason.RATE_LIMITED, "fewer calls", 45.0),
    "HTML": TransientError(Reason.UNEXPECTED_ANSWER, "not as ZITADEL does"),
}


def detection(bench: Bench) -> DriftDetection:
    """Return the drift detection in the instance's status."""
    found = bench.cluster.instances["default"].status.drift_detection
    assert found is not None
    return found


def refuse_searches(bench: Bench, failure: OperatorError, *, hang: float = 0.0) -> None:
    """Let all searches of events fail from now on."""

    async def fail(*_: object) -> NoReturn:
        bench.steps.log.append(("failed search",))
        await asyncio.sleep(hang)
        raise failure

    for name in ("events", "newest_event", "has_events"):
        setattr(bench.zitadel, name, fail)


def restore_searches(bench: Bench) -> None:
    """Let searches succeed again."""
    for name in ("events", "newest_event", "has_events"):
        vars(bench.zitadel).pop(name, None)


def event_reasons(bench: Bench) -> list[str]:
    """Return the reasons of the Events about the instance's drift detection."""
    return [
        reason
        for name, reason in bench.recorder.notices
        if name == "default" and reason.startswith("DriftEvents")
    ]


async def settled(bench: Bench) -> None:
    """Start, and wait until new objects are settled."""
    await bench.start()
    await bench.live(300)
    assert detection(bench) == EVENTS


@pytest.mark.parametrize("method", [DriftMethod.AUTO, DriftMethod.EVENTS])
@pytest.mark.parametrize("what", TROUBLES)
def test_drift_is_corrected_while_events_cannot_be_used(
    what: str, method: DriftMethod
) -> None:
    """This takes three failed searches and one pollInterval; all stay Ready."""

    async def story() -> None:
        policies = [policy(f"p{n}", f"o{n}") for n in range(20)]
        bench = bench_with(*policies, method=method)
        await settled(bench)
        refuse_searches(bench, TROUBLES[what], hang=10.0 if what == "hangs" else 0.0)
        await bench.live(60)
        bench.zitadel.change("o7", True, OTHERS)
        await bench.live(3 * 20 + POLL)
        assert bench.zitadel.own["o7"] is False
        now = detection(bench)
        assert now.method is DriftMethod.POLL
        assert now.word == TROUBLES[what].reason
        assert now.reason.endswith("; polling takes 10m a round")
        assert "request 17" not in now.reason
        assert event_reasons(bench) == ["DriftEventsUnreadable"]
        ready = find(bench.cluster.instances["default"].status.conditions, "Ready")
        assert ready is not None
        assert ready.status == "True"
        for number in range(20):
            assert bench.ready(f"p{number}").status == "True"
        await bench.stop()

    run(story())


def test_it_costs_little_and_stays_so() -> None:
    """It costs one check, one status write, and a search every five minutes."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        before = len(bench.steps.log)
        refuse_searches(bench, TROUBLES["500"])
        await bench.live(170)
        assert calls(bench, before).count("identify") <= 2
        statuses = [s for s in bench.steps.log[before:] if s[0] == "status"]
        assert statuses == [("status", "default")]
        await bench.live(1200)
        before = len(bench.steps.log)
        await bench.live(3600)
        new = calls(bench, before)
        assert 12 <= new.count("failed search") <= 14
        assert new.count("identify") <= 21
        assert "status" not in [step[0] for step in bench.steps.log[before:]]
        await bench.stop()

    run(story())


def test_one_failed_search_is_not_reported() -> None:
    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        before = len(bench.steps.log)
        refuse_searches(bench, TROUBLES["500"])
        while "failed search" not in calls(bench, before):
            await bench.live(1)
        restore_searches(bench)
        await bench.live(600)
        assert detection(bench) == EVENTS
        assert event_reasons(bench) == []
        assert "status" not in [step[0] for step in bench.steps.log[before:]]
        assert "observe" not in calls(bench, before)
        await bench.stop()

    run(story())


def test_there_is_a_way_back() -> None:
    """It ends by itself with a Normal Event; polling ends after one more round."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(20)))
        await settled(bench)
        refuse_searches(bench, TROUBLES["500"])
        await bench.live(7200)
        assert detection(bench).method is DriftMethod.POLL
        restore_searches(bench)
        await bench.live(301)
        assert detection(bench) == EVENTS
        assert event_reasons(bench) == ["DriftEventsUnreadable", "DriftEventsReadable"]
        await bench.live(700)
        before = len(bench.steps.log)
        await bench.live(3600)
        assert "observe" not in calls(bench, before)
        bench.zitadel.change("o3", True, OTHERS)
        await bench.live(61)
        assert bench.zitadel.own["o3"] is False
        await bench.stop()

    run(story())


def test_a_short_interval_is_tried_again_within_a_minute() -> None:
    async def story() -> None:
        bench = bench_with(policy("p"))
        stored = bench.cluster.instances["default"]
        bench.cluster.put_instance(with_spec(stored, events_interval=10.0))
        await settled(bench)
        refuse_searches(bench, TROUBLES["429"])
        await bench.live(3600)
        assert detection(bench).method is DriftMethod.POLL
        restore_searches(bench)
        await bench.live(61)
        assert detection(bench) == EVENTS
        await bench.stop()

    run(story())


def test_a_request_tries_the_search_at_once() -> None:
    """The instance's annotation also requests a search."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        refuse_searches(bench, TROUBLES["400"])
        await bench.live(3600)
        restore_searches(bench)
        stored = bench.cluster.instances["default"]
        bench.instance_seen(replace(stored, requested_at="now"))
        await bench.live(2)
        assert detection(bench) == EVENTS
        await bench.stop()

    run(story())


def test_a_restart_writes_nothing_and_polls_on() -> None:
    """The new process reads the state from the status, and searches at once."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        refuse_searches(bench, TROUBLES["500"])
        await bench.live(1000)
        await bench.stop()
        before, events = len(bench.steps.log), len(bench.recorder.notices)
        await bench.start()
        await bench.live(10)
        assert "failed search" in calls(bench, before)
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(30)
        assert "status" not in [step[0] for step in bench.steps.log[before:]]
        assert len(bench.recorder.notices) == events
        await bench.live(POLL)
        assert bench.zitadel.own["o"] is False
        restore_searches(bench)
        await bench.live(301)
        assert detection(bench) == EVENTS
        await bench.stop()

    run(story())


def test_an_outage_of_zitadel_is_no_matter_of_its_log() -> None:
    """The instance reports the outage; nothing reports the failed search."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        for _ in range(5):
            bench.zitadel.failure = TransientError(Reason.SERVER_ERROR, "down")
            await bench.live(100)
            bench.zitadel.failure = None
            await bench.live(100)
        assert detection(bench) == EVENTS
        assert event_reasons(bench) == []
        await bench.stop()

    run(story())


@pytest.mark.parametrize("begins_so", [True, False])
def test_an_empty_log_is_not_a_quiet_zitadel(begins_so: bool) -> None:
    """After three empty responses policies are polled, also from the start on."""

    async def story() -> None:
        bench = bench_with(policy("p"))

        async def nothing(*_: object, **__: object) -> list[ZitadelEvent]:
            return []

        async def nobody() -> None:
            return None

        async def no() -> bool:
            return False

        def empty() -> None:
            instead_of(bench.zitadel.events).call(nothing)
            instead_of(bench.zitadel.newest_event).call(nobody)
            instead_of(bench.zitadel.has_events).call(no)

        if begins_so:
            empty()
            await bench.start()
            await bench.live(300)
        else:
            await settled(bench)
            empty()
            await bench.live(100)
        assert detection(bench).method is DriftMethod.POLL
        assert detection(bench).word == "UnexpectedAnswer"
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(POLL)
        assert bench.zitadel.own["o"] is False
        restore_searches(bench)
        await bench.live(301)
        assert detection(bench) == EVENTS
        await bench.stop()

    run(story())


def test_a_log_that_stands_still_is_found_out_by_our_own_writes() -> None:
    """A cached response lacks nothing but the operator's own writes."""

    async def story() -> None:
        bench = bench_with(policy("p", "o"), policy("q", "u"))
        await settled(bench)
        events, cached = bench.zitadel.events, list(bench.zitadel.events_log)

        async def stale(since: str | None, limit: int) -> list[ZitadelEvent]:
            true, bench.zitadel.events_log = bench.zitadel.events_log, cached
            try:
                return await events(since, limit)
            finally:
                bench.zitadel.events_log = true

        instead_of(bench.zitadel.events).call(stale)
        await bench.live(300)
        assert detection(bench) == EVENTS
        bench.seen(replace(bench.policy("q"), settings=mails(True), generation=2))
        await bench.live(120)
        assert "does not show what the operator has written" in detection(bench).reason
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(POLL)
        assert bench.zitadel.own["o"] is False
        await bench.live(3600)
        assert event_reasons(bench) == ["DriftEventsUnreadable"]
        restore_searches(bench)
        await bench.live(301)
        assert detection(bench) == EVENTS
        await bench.stop()

    run(story())


def test_a_log_that_lags_by_seconds_is_used() -> None:
    """Each of many own writes becomes visible ten seconds late."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        bench.cluster.put_instance(
            with_spec(bench.cluster.instances["default"], events_interval=5.0)
        )
        log: list[tuple[float, ZitadelEvent]] = []
        zitadel, loop = bench.zitadel, asyncio.get_running_loop()
        happen = zitadel.happen

        def late(aggregate: str, kind: EventKind, editor: User) -> None:
            happen(aggregate, kind, editor)
            log.append((loop.time() + 10, zitadel.events_log[-1]))

        instead_of(zitadel.happen).call(late)

        def visible() -> list[ZitadelEvent]:
            return [event for at, event in log if at <= loop.time()]

        instead_of(zitadel.visible).call(visible)
        await bench.start()
        for number in range(60):
            stored = bench.policy("p")
            value = bool(number % 2)
            bench.seen(replace(stored, settings=mails(value), generation=number + 2))
            await bench.live(7)
        assert detection(bench) == EVENTS
        assert event_reasons(bench) == []
        await bench.stop()

    run(story())


def test_answers_that_are_cut_again_and_again_lead_to_polling() -> None:
    """Each response lacks the last event: this is reported, and searches slow down."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(5)))
        await settled(bench)
        events = bench.zitadel.events

        async def cut(since: str | None, limit: int) -> list[ZitadelEvent]:
            return (await events(since, limit))[:-1]

        instead_of(bench.zitadel.events).call(cut)
        await bench.live(110)
        assert detection(bench).method is DriftMethod.POLL
        assert "Events are missing" in detection(bench).reason
        bench.zitadel.change("o3", True, OTHERS)
        await bench.live(POLL)
        assert bench.zitadel.own["o3"] is False
        restore_searches(bench)
        await bench.live(301)
        assert detection(bench) == EVENTS
        await bench.stop()

    run(story())


def test_slow_searches_are_used_and_keep_their_interval() -> None:
    """Drift is found a search of nine seconds later, and nothing is reported."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        events = bench.zitadel.events

        async def slow(since: str | None, limit: int) -> list[ZitadelEvent]:
            await asyncio.sleep(9)
            return await events(since, limit)

        instead_of(bench.zitadel.events).call(slow)
        await bench.live(120)
        before = len(bench.steps.log)
        await bench.live(3600)
        assert 60 <= calls(bench, before).count("events") <= 67
        bench.zitadel.change("o", True, OTHERS)
        await bench.live(70)
        assert bench.zitadel.own["o"] is False
        assert detection(bench) == EVENTS
        await bench.stop()

    run(story())


def test_polling_takes_half_of_the_rate_and_says_how_long_a_round_takes() -> None:
    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(400)))
        slow = RateLimit(requests_per_second=2)
        bench.cluster.put_instance(
            with_spec(
                INSTANCE, method=DriftMethod.EVENTS, rate_limit=slow, poll_interval=10.0
            )
        )
        await settled(bench)
        refuse_searches(bench, TROUBLES["500"])
        await bench.live(600)
        assert detection(bench).reason.endswith("; polling takes 445s a round")
        before = len(bench.steps.log)
        await bench.live(3600)
        assert 0.8 * 3600 < calls(bench, before).count("observe") <= 3600
        statuses = [s for s in bench.steps.log[before:] if s[0] == "status"]
        assert statuses == []
        await bench.stop()

    run(story())


def test_the_daily_check_does_not_depend_on_the_search() -> None:
    """Two of three searches fail, so it is never reported; the daily check comes."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        bench.zitadel.own["o"] = True
        events, turns = bench.zitadel.events, iter(range(10**6))

        async def moody(since: str | None, limit: int) -> list[ZitadelEvent]:
            if next(turns) % 3:
                raise TROUBLES["500"]
            return await events(since, limit)

        instead_of(bench.zitadel.events).call(moody)
        await bench.live(24 * 3600 + 3700)
        assert bench.zitadel.own["o"] is False
        assert event_reasons(bench) == []
        await bench.stop()

    run(story())


@pytest.mark.parametrize(
    ("method", "expected", "events"),
    [
        (DriftMethod.AUTO, "EventsNotPermitted", []),
        (DriftMethod.EVENTS, "EventsNotPermitted", ["DriftEventsUnreadable"]),
        (DriftMethod.POLL, "", []),
        (DriftMethod.DISABLED, "", []),
    ],
)
def test_the_status_shows_the_method(
    method: DriftMethod, expected: str, events: list[str]
) -> None:
    """The credential may not read events, until it gets the role."""

    async def story() -> None:
        bench = bench_with(policy("p"), method=method)
        bench.zitadel.capabilities = Capabilities(list_organizations=True)
        await bench.start()
        await bench.live(10)
        now = detection(bench)
        auto = method in {DriftMethod.AUTO, DriftMethod.EVENTS}
        assert now.method is (DriftMethod.POLL if auto else method)
        assert now.word == expected
        assert event_reasons(bench) == events
        bench.zitadel.capabilities = Capabilities(True, True, True)
        await bench.live(400)
        assert detection(bench) == DriftDetection(
            DriftMethod.EVENTS if auto else method
        )
        await bench.stop()

    run(story())


def test_an_edit_of_the_method_is_followed() -> None:
    """Disabled stays Disabled; a method in use as asked has no reason and no Event."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await settled(bench)
        refuse_searches(bench, TROUBLES["500"])
        await bench.live(200)
        for number, method in enumerate((DriftMethod.POLL, DriftMethod.DISABLED)):
            stored = bench.cluster.instances["default"]
            changed = with_spec(stored, method=method, generation=2 + number)
            bench.instance_seen(changed)
            await bench.live(5)
            assert detection(bench) == DriftDetection(method)
        before = len(bench.steps.log)
        await bench.live(7200)
        assert set(calls(bench, before)) <= {"identify", "authenticate", "observe"}
        assert calls(bench, before).count("observe") <= 1
        assert event_reasons(bench) == ["DriftEventsUnreadable"]
        await bench.stop()

    run(story())


def test_an_event_without_a_readable_time_wakes_and_stops_nothing() -> None:
    """The affected policy gets a pass, and the search goes on."""

    async def story() -> None:
        bench = bench_with(policy("p", "o"), policy("q", "u"))
        await settled(bench)
        for time in ("", "yesterday", "0001-01-01T00:00:00Z"):
            bench.zitadel.change("o", True, OTHERS)
            event = replace(bench.zitadel.events_log.pop(), time=time)
            events = bench.zitadel.events

            async def with_it(
                since: str | None,
                limit: int,
                events: Callable[
                    [str | None, int], Awaitable[list[ZitadelEvent]]
                ] = events,
                event: ZitadelEvent = event,
            ) -> list[ZitadelEvent]:
                return [*await events(since, limit), event]

            instead_of(bench.zitadel.events).call(with_it)
            await bench.live(62)
            assert bench.zitadel.own["o"] is False, time
        bench.zitadel.change("u", True, OTHERS)
        await bench.live(62)
        assert bench.zitadel.own["u"] is False
        assert detection(bench) == EVENTS
        before = len(bench.steps.log)
        await bench.live(600)
        assert "observe" not in calls(bench, before)
        await bench.stop()

    run(story())


def test_a_crd_that_drops_the_field_is_not_written_to_for_ever() -> None:
    """An older CRD prunes the field: there is one write and one Event."""

    async def story() -> None:
        bench = bench_with(policy("p"), method=DriftMethod.EVENTS)
        apply = bench.cluster.apply_instance_status

        async def prune(
            instance: InstanceObject, status: InstanceStatus
        ) -> InstanceObject:
            return await apply(instance, replace(status, drift_detection=None))

        instead_of(bench.cluster.apply_instance_status).call(prune)
        await bench.start()
        await bench.live(300)
        before = len(bench.steps.log)
        await bench.live(600)
        assert "status" not in [step[0] for step in bench.steps.log[before:]]
        refuse_searches(bench, TROUBLES["500"])
        await bench.live(3600)
        statuses = [s for s in bench.steps.log[before:] if s[0] == "status"]
        assert len(statuses) <= 1
        assert event_reasons(bench) == ["DriftEventsUnreadable"]
        await bench.stop()

    run(story())
