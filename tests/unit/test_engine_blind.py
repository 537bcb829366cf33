"""An event log that cannot be used: polling instead, reports, and the way back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NoReturn

import pytest

from support.drift import bench_with, calls
from support.engines import INSTANCE, Harness, policy, with_spec
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


def detection(harness: Harness) -> DriftDetection:
    """Return the drift detection in the instance's status."""
    found = harness.cluster.instances["default"].status.drift_detection
    assert found is not None
    return found


def refuse_searches(
    harness: Harness, failure: OperatorError, *, hang: float = 0.0
) -> None:
    """Let all searches of events fail from now on."""

    async def fail(*_: object) -> NoReturn:
        harness.steps.log.append(("failed search",))
        await asyncio.sleep(hang)
        raise failure

    for name in ("events", "newest_event", "has_events"):
        setattr(harness.zitadel, name, fail)


def restore_searches(harness: Harness) -> None:
    """Let searches succeed again."""
    for name in ("events", "newest_event", "has_events"):
        vars(harness.zitadel).pop(name, None)


def event_reasons(harness: Harness) -> list[str]:
    """Return the reasons of the Events about the instance's drift detection."""
    return [
        reason
        for name, reason in harness.recorder.notices
        if name == "default" and reason.startswith("DriftEvents")
    ]


async def settled(harness: Harness) -> None:
    """Start, and wait until new objects are settled."""
    await harness.start()
    await harness.live(300)
    assert detection(harness) == EVENTS


@pytest.mark.parametrize("method", [DriftMethod.AUTO, DriftMethod.EVENTS])
@pytest.mark.parametrize("what", TROUBLES)
def test_drift_is_corrected_while_events_cannot_be_used(
    what: str, method: DriftMethod
) -> None:
    """This takes three failed searches and one pollInterval; all stay Ready."""

    async def story() -> None:
        policies = [policy(f"p{n}", f"o{n}") for n in range(20)]
        harness = bench_with(*policies, method=method)
        await settled(harness)
        refuse_searches(harness, TROUBLES[what], hang=10.0 if what == "hangs" else 0.0)
        await harness.live(60)
        harness.zitadel.change("o7", True, OTHERS)
        await harness.live(3 * 20 + POLL)
        assert harness.zitadel.own["o7"] is False
        now = detection(harness)
        assert now.method is DriftMethod.POLL
        assert now.word == TROUBLES[what].reason
        assert now.reason.endswith("; polling takes 10m a round")
        assert "request 17" not in now.reason
        assert event_reasons(harness) == ["DriftEventsUnreadable"]
        ready = find(harness.cluster.instances["default"].status.conditions, "Ready")
        assert ready is not None
        assert ready.status == "True"
        for number in range(20):
            assert harness.ready(f"p{number}").status == "True"
        await harness.stop()

    run(story())


def test_it_costs_little_and_stays_so() -> None:
    """It costs one check, one status write, and a search every five minutes."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        before = len(harness.steps.log)
        refuse_searches(harness, TROUBLES["500"])
        await harness.live(170)
        assert calls(harness, before).count("identify") <= 2
        statuses = [s for s in harness.steps.log[before:] if s[0] == "status"]
        assert statuses == [("status", "default")]
        await harness.live(1200)
        before = len(harness.steps.log)
        await harness.live(3600)
        new = calls(harness, before)
        assert 12 <= new.count("failed search") <= 14
        assert new.count("identify") <= 21
        assert "status" not in [step[0] for step in harness.steps.log[before:]]
        await harness.stop()

    run(story())


def test_one_failed_search_is_not_reported() -> None:
    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        before = len(harness.steps.log)
        refuse_searches(harness, TROUBLES["500"])
        while "failed search" not in calls(harness, before):
            await harness.live(1)
        restore_searches(harness)
        await harness.live(600)
        assert detection(harness) == EVENTS
        assert event_reasons(harness) == []
        assert "status" not in [step[0] for step in harness.steps.log[before:]]
        assert "observe" not in calls(harness, before)
        await harness.stop()

    run(story())


def test_there_is_a_way_back() -> None:
    """It ends by itself with a Normal Event; polling ends after one more round."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(20)))
        await settled(harness)
        refuse_searches(harness, TROUBLES["500"])
        await harness.live(7200)
        assert detection(harness).method is DriftMethod.POLL
        restore_searches(harness)
        await harness.live(301)
        assert detection(harness) == EVENTS
        assert event_reasons(harness) == [
            "DriftEventsUnreadable",
            "DriftEventsReadable",
        ]
        await harness.live(700)
        before = len(harness.steps.log)
        await harness.live(3600)
        assert "observe" not in calls(harness, before)
        harness.zitadel.change("o3", True, OTHERS)
        await harness.live(61)
        assert harness.zitadel.own["o3"] is False
        await harness.stop()

    run(story())


def test_a_short_interval_is_tried_again_within_a_minute() -> None:
    async def story() -> None:
        harness = bench_with(policy("p"))
        stored = harness.cluster.instances["default"]
        harness.cluster.put_instance(with_spec(stored, events_interval=10.0))
        await settled(harness)
        refuse_searches(harness, TROUBLES["429"])
        await harness.live(3600)
        assert detection(harness).method is DriftMethod.POLL
        restore_searches(harness)
        await harness.live(61)
        assert detection(harness) == EVENTS
        await harness.stop()

    run(story())


def test_a_request_tries_the_search_at_once() -> None:
    """The instance's annotation also requests a search."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        refuse_searches(harness, TROUBLES["400"])
        await harness.live(3600)
        restore_searches(harness)
        stored = harness.cluster.instances["default"]
        harness.instance_seen(replace(stored, requested_at="now"))
        await harness.live(2)
        assert detection(harness) == EVENTS
        await harness.stop()

    run(story())


def test_a_restart_writes_nothing_and_polls_on() -> None:
    """The new process reads the state from the status, and searches at once."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        refuse_searches(harness, TROUBLES["500"])
        await harness.live(1000)
        await harness.stop()
        before, events = len(harness.steps.log), len(harness.recorder.notices)
        await harness.start()
        await harness.live(10)
        assert "failed search" in calls(harness, before)
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(30)
        assert "status" not in [step[0] for step in harness.steps.log[before:]]
        assert len(harness.recorder.notices) == events
        await harness.live(POLL)
        assert harness.zitadel.own["o"] is False
        restore_searches(harness)
        await harness.live(301)
        assert detection(harness) == EVENTS
        await harness.stop()

    run(story())


def test_an_outage_of_zitadel_is_no_matter_of_its_log() -> None:
    """The instance reports the outage; nothing reports the failed search."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        for _ in range(5):
            harness.zitadel.failure = TransientError(Reason.SERVER_ERROR, "down")
            await harness.live(100)
            harness.zitadel.failure = None
            await harness.live(100)
        assert detection(harness) == EVENTS
        assert event_reasons(harness) == []
        await harness.stop()

    run(story())


@pytest.mark.parametrize("begins_so", [True, False])
def test_an_empty_log_is_not_a_quiet_zitadel(begins_so: bool) -> None:
    """After three empty responses policies are polled, also from the start on."""

    async def story() -> None:
        harness = bench_with(policy("p"))

        async def nothing(*_: object, **__: object) -> list[ZitadelEvent]:
            return []

        async def nobody() -> None:
            return None

        async def no() -> bool:
            return False

        def empty() -> None:
            instead_of(harness.zitadel.events).call(nothing)
            instead_of(harness.zitadel.newest_event).call(nobody)
            instead_of(harness.zitadel.has_events).call(no)

        if begins_so:
            empty()
            await harness.start()
            await harness.live(300)
        else:
            await settled(harness)
            empty()
            await harness.live(100)
        assert detection(harness).method is DriftMethod.POLL
        assert detection(harness).word == "UnexpectedAnswer"
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(POLL)
        assert harness.zitadel.own["o"] is False
        restore_searches(harness)
        await harness.live(301)
        assert detection(harness) == EVENTS
        await harness.stop()

    run(story())


def test_a_log_that_stands_still_is_found_out_by_our_own_writes() -> None:
    """A cached response lacks nothing but the operator's own writes."""

    async def story() -> None:
        harness = bench_with(policy("p", "o"), policy("q", "u"))
        await settled(harness)
        events, cached = harness.zitadel.events, list(harness.zitadel.events_log)

        async def stale(since: str | None, limit: int) -> list[ZitadelEvent]:
            true, harness.zitadel.events_log = harness.zitadel.events_log, cached
            try:
                return await events(since, limit)
            finally:
                harness.zitadel.events_log = true

        instead_of(harness.zitadel.events).call(stale)
        await harness.live(300)
        assert detection(harness) == EVENTS
        harness.seen(replace(harness.policy("q"), settings=mails(True), generation=2))
        await harness.live(120)
        assert (
            "does not show what the operator has written" in detection(harness).reason
        )
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(POLL)
        assert harness.zitadel.own["o"] is False
        await harness.live(3600)
        assert event_reasons(harness) == ["DriftEventsUnreadable"]
        restore_searches(harness)
        await harness.live(301)
        assert detection(harness) == EVENTS
        await harness.stop()

    run(story())


def test_a_log_that_lags_by_seconds_is_used() -> None:
    """Each of many own writes becomes visible ten seconds late."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        harness.cluster.put_instance(
            with_spec(harness.cluster.instances["default"], events_interval=5.0)
        )
        log: list[tuple[float, ZitadelEvent]] = []
        zitadel, loop = harness.zitadel, asyncio.get_running_loop()
        happen = zitadel.happen

        def late(aggregate: str, kind: EventKind, editor: User) -> None:
            happen(aggregate, kind, editor)
            log.append((loop.time() + 10, zitadel.events_log[-1]))

        instead_of(zitadel.happen).call(late)

        def visible() -> list[ZitadelEvent]:
            return [event for at, event in log if at <= loop.time()]

        instead_of(zitadel.visible).call(visible)
        await harness.start()
        for number in range(60):
            stored = harness.policy("p")
            value = bool(number % 2)
            harness.seen(replace(stored, settings=mails(value), generation=number + 2))
            await harness.live(7)
        assert detection(harness) == EVENTS
        assert event_reasons(harness) == []
        await harness.stop()

    run(story())


def test_answers_that_are_cut_again_and_again_lead_to_polling() -> None:
    """Each response lacks the last event: this is reported, and searches slow down."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(5)))
        await settled(harness)
        events = harness.zitadel.events

        async def cut(since: str | None, limit: int) -> list[ZitadelEvent]:
            return (await events(since, limit))[:-1]

        instead_of(harness.zitadel.events).call(cut)
        await harness.live(110)
        assert detection(harness).method is DriftMethod.POLL
        assert "Events are missing" in detection(harness).reason
        harness.zitadel.change("o3", True, OTHERS)
        await harness.live(POLL)
        assert harness.zitadel.own["o3"] is False
        restore_searches(harness)
        await harness.live(301)
        assert detection(harness) == EVENTS
        await harness.stop()

    run(story())


def test_slow_searches_are_used_and_keep_their_interval() -> None:
    """Drift is found a search of nine seconds later, and nothing is reported."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        events = harness.zitadel.events

        async def slow(since: str | None, limit: int) -> list[ZitadelEvent]:
            await asyncio.sleep(9)
            return await events(since, limit)

        instead_of(harness.zitadel.events).call(slow)
        await harness.live(120)
        before = len(harness.steps.log)
        await harness.live(3600)
        assert 60 <= calls(harness, before).count("events") <= 67
        harness.zitadel.change("o", True, OTHERS)
        await harness.live(70)
        assert harness.zitadel.own["o"] is False
        assert detection(harness) == EVENTS
        await harness.stop()

    run(story())


def test_polling_takes_half_of_the_rate_and_says_how_long_a_round_takes() -> None:
    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(400)))
        slow = RateLimit(requests_per_second=2)
        harness.cluster.put_instance(
            with_spec(
                INSTANCE, method=DriftMethod.EVENTS, rate_limit=slow, poll_interval=10.0
            )
        )
        await settled(harness)
        refuse_searches(harness, TROUBLES["500"])
        await harness.live(600)
        assert detection(harness).reason.endswith("; polling takes 445s a round")
        before = len(harness.steps.log)
        await harness.live(3600)
        assert 0.8 * 3600 < calls(harness, before).count("observe") <= 3600
        statuses = [s for s in harness.steps.log[before:] if s[0] == "status"]
        assert statuses == []
        await harness.stop()

    run(story())


def test_the_daily_check_does_not_depend_on_the_search() -> None:
    """Two of three searches fail, so it is never reported; the daily check comes."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        harness.zitadel.own["o"] = True
        events, turns = harness.zitadel.events, iter(range(10**6))

        async def moody(since: str | None, limit: int) -> list[ZitadelEvent]:
            if next(turns) % 3:
                raise TROUBLES["500"]
            return await events(since, limit)

        instead_of(harness.zitadel.events).call(moody)
        await harness.live(24 * 3600 + 3700)
        assert harness.zitadel.own["o"] is False
        assert event_reasons(harness) == []
        await harness.stop()

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
        harness = bench_with(policy("p"), method=method)
        harness.zitadel.capabilities = Capabilities(list_organizations=True)
        await harness.start()
        await harness.live(10)
        now = detection(harness)
        auto = method in {DriftMethod.AUTO, DriftMethod.EVENTS}
        assert now.method is (DriftMethod.POLL if auto else method)
        assert now.word == expected
        assert event_reasons(harness) == events
        harness.zitadel.capabilities = Capabilities(True, True, True)
        await harness.live(400)
        assert detection(harness) == DriftDetection(
            DriftMethod.EVENTS if auto else method
        )
        await harness.stop()

    run(story())


def test_an_edit_of_the_method_is_followed() -> None:
    """Disabled stays Disabled; a method in use as asked has no reason and no Event."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await settled(harness)
        refuse_searches(harness, TROUBLES["500"])
        await harness.live(200)
        for number, method in enumerate((DriftMethod.POLL, DriftMethod.DISABLED)):
            stored = harness.cluster.instances["default"]
            changed = with_spec(stored, method=method, generation=2 + number)
            harness.instance_seen(changed)
            await harness.live(5)
            assert detection(harness) == DriftDetection(method)
        before = len(harness.steps.log)
        await harness.live(7200)
        assert set(calls(harness, before)) <= {"identify", "authenticate", "observe"}
        assert calls(harness, before).count("observe") <= 1
        assert event_reasons(harness) == ["DriftEventsUnreadable"]
        await harness.stop()

    run(story())


def test_an_event_without_a_readable_time_wakes_and_stops_nothing() -> None:
    """The affected policy gets a pass, and the search goes on."""

    async def story() -> None:
        harness = bench_with(policy("p", "o"), policy("q", "u"))
        await settled(harness)
        for time in ("", "yesterday", "0001-01-01T00:00:00Z"):
            harness.zitadel.change("o", True, OTHERS)
            event = replace(harness.zitadel.events_log.pop(), time=time)
            events = harness.zitadel.events

            async def with_it(
                since: str | None,
                limit: int,
                events: Callable[
                    [str | None, int], Awaitable[list[ZitadelEvent]]
                ] = events,
                event: ZitadelEvent = event,
            ) -> list[ZitadelEvent]:
                return [*await events(since, limit), event]

            instead_of(harness.zitadel.events).call(with_it)
            await harness.live(62)
            assert harness.zitadel.own["o"] is False, time
        harness.zitadel.change("u", True, OTHERS)
        await harness.live(62)
        assert harness.zitadel.own["u"] is False
        assert detection(harness) == EVENTS
        before = len(harness.steps.log)
        await harness.live(600)
        assert "observe" not in calls(harness, before)
        await harness.stop()

    run(story())


def test_a_crd_that_drops_the_field_is_not_written_to_for_ever() -> None:
    """An older CRD prunes the field: there is one write and one Event."""

    async def story() -> None:
        harness = bench_with(policy("p"), method=DriftMethod.EVENTS)
        apply = harness.cluster.apply_instance_status

        async def prune(
            instance: InstanceObject, status: InstanceStatus
        ) -> InstanceObject:
            return await apply(instance, replace(status, drift_detection=None))

        instead_of(harness.cluster.apply_instance_status).call(prune)
        await harness.start()
        await harness.live(300)
        before = len(harness.steps.log)
        await harness.live(600)
        assert "status" not in [step[0] for step in harness.steps.log[before:]]
        refuse_searches(harness, TROUBLES["500"])
        await harness.live(3600)
        statuses = [s for s in harness.steps.log[before:] if s[0] == "status"]
        assert len(statuses) <= 1
        assert event_reasons(harness) == ["DriftEventsUnreadable"]
        await harness.stop()

    run(story())
