"""The cursor: up to where events were read, from the first check on; late events."""

import asyncio
from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.settings import mails
from support.virtual_time import run
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.reasons import Reason


def test_the_cursor_comes_with_the_first_verdict() -> None:
    """It is in the same write, so drift after a kill in the first seconds is found."""

    async def story() -> None:
        harness = bench_with(policy("p"), policy("q", "u"))
        harness.zitadel.change("u", True, OTHERS)
        await harness.start()
        await harness.live(3)
        assert harness.cluster.instances["default"].status.drift_cursor
        # Who serves the instance, which ZITADEL it is, and the verdict with the cursor.
        assert harness.steps.log.count(("status", "default")) == 3
        await harness.stop()
        harness.zitadel.change("o", True, OTHERS)
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(5)
        assert harness.zitadel.own["o"] is False
        assert calls(harness, before).count("observe") == 2
        drift = harness.policy("p").status.last_drift
        assert drift is not None
        assert drift.editor == OTHERS
        await harness.stop()

    run(story())


def test_a_restart_right_after_a_change_writes_nothing_at_once() -> None:
    """The events of the last process's writes move the cursor a minute later."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(3)))
        await harness.start()
        await harness.live(300)
        stored = harness.cluster.instances["default"].status
        edited = replace(harness.policy("p2"), generation=2, settings=mails(True))
        harness.seen(edited)
        await harness.live(3)
        await harness.stop()
        assert harness.zitadel.own["o2"] is True
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(58)
        verbs = {step[0] for step in harness.steps.log[before:]}
        assert verbs <= {"authenticate", "identify", "events"}
        assert harness.cluster.instances["default"].status == stored
        await harness.live(60)
        written = [step for step in harness.steps.log[before:] if step[0] == "status"]
        assert written == [("status", "default")]
        cursor = harness.cluster.instances["default"].status.drift_cursor
        assert cursor is not None
        assert cursor.endswith(" o2")
        # From then on, a cursor is stored by the search after the correction.
        harness.zitadel.change("o1", True, OTHERS)
        await harness.live(121)
        cursor = harness.cluster.instances["default"].status.drift_cursor
        assert cursor is not None
        assert cursor.endswith(" o1")
        await harness.stop()

    run(story())


@pytest.mark.parametrize("cursor", [None, "", "rubbish", "2026-01-01T00:00:00Z x o"])
def test_without_a_cursor_all_are_checked(cursor: str | None) -> None:
    """All are checked once, spread over pollInterval; then a restart is cheap."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(30)))
        await harness.start()
        await harness.live(300)
        await harness.stop()
        stored = harness.cluster.instances["default"]
        harness.cluster.put_instance(
            replace(stored, status=replace(stored.status, drift_cursor=cursor))
        )
        harness.zitadel.change("o7", True, OTHERS)
        await asyncio.sleep(3600)
        harness.zitadel.change("foreign", True, OTHERS)
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(60)
        assert 1 <= calls(harness, before).count("observe") < 15
        await harness.live(600)
        assert harness.zitadel.own["o7"] is False
        assert calls(harness, before).count("observe") <= 31
        await harness.stop()
        before = len(harness.steps.log)
        await harness.start()
        await harness.live(300)
        assert "observe" not in calls(harness, before)
        assert "status" not in [step[0] for step in harness.steps.log[before:]]
        await harness.stop()

    run(story())


def test_a_log_without_our_kinds_has_no_cursor_and_all_are_checked() -> None:
    """Log retention hides the events: each start checks all, and reports nothing."""

    async def story() -> None:
        harness = bench_with(policy("p"))
        await harness.start()
        await harness.live(300)
        await harness.stop()
        harness.zitadel.events_log.clear()
        stored = harness.cluster.instances["default"]
        harness.cluster.put_instance(
            replace(stored, status=replace(stored.status, drift_cursor=None))
        )
        harness.zitadel.own["o"] = True
        await harness.start()
        await harness.live(610)
        assert harness.zitadel.own["o"] is False
        detection = harness.cluster.instances["default"].status.drift_detection
        assert detection is not None
        assert detection.method is DriftMethod.EVENTS
        await harness.stop()

    run(story())


def test_a_first_search_that_fails_is_made_up_for() -> None:
    """A later search finds the beginning; changes in between are checked."""

    async def story() -> None:
        harness = bench_with(policy("p"))

        async def fail() -> None:
            raise TransientError(Reason.SERVER_ERROR, "not now")

        instead_of(harness.zitadel.newest_event).call(fail)
        await harness.start()
        await harness.live(30)
        assert harness.ready("p").status == "True"
        assert harness.cluster.instances["default"].status.drift_cursor is None
        harness.zitadel.change("o", True, OTHERS)
        del harness.zitadel.newest_event
        await harness.live(65)
        assert harness.zitadel.own["o"] is False
        await harness.live(65)
        assert harness.cluster.instances["default"].status.drift_cursor
        await harness.stop()

    run(story())


@pytest.mark.parametrize("interval", [5.0, 17.0, 60.0, 600.0])
@pytest.mark.parametrize("length", [1.0, 16.0, 60.0])
def test_events_have_the_time_at_which_their_transaction_began(
    length: float, interval: float
) -> None:
    """They become visible when it ends; none is missed, whatever came meanwhile."""

    async def story() -> None:
        harness = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(12)))
        harness.cluster.put_instance(
            with_spec(harness.cluster.instances["default"], events_interval=interval)
        )
        zitadel, loop = harness.zitadel, asyncio.get_running_loop()
        ends: dict[int, float] = {}
        happen = zitadel.happen

        def begin(aggregate: str, kind: EventKind, editor: User) -> None:
            happen(aggregate, kind, editor)
            if editor == OTHERS and aggregate != "foreign":
                ends[id(zitadel.events_log[-1])] = loop.time() + length

        def visible() -> list[ZitadelEvent]:
            now = loop.time()
            return [e for e in zitadel.events_log if ends.get(id(e), now) <= now]

        instead_of(zitadel.happen).call(begin)
        instead_of(zitadel.visible).call(visible)
        await harness.start()
        await harness.live(2 * interval + 200)
        for number in range(1, 12):
            # A short transaction overtakes each long one, each time at another moment.
            zitadel.change(f"o{number}", True, OTHERS)
            await harness.live(length * number / 12)
            zitadel.change("foreign", False, OTHERS)
            await harness.live(interval / 3)
        await harness.live(length + interval + 1)
        assert set(zitadel.own.values()) == {False}
        before = len(harness.steps.log)
        await harness.live(1200)
        searches = calls(harness, before).count("events")
        assert 1200 / interval - 1 <= searches <= 1200 / interval / 0.9 + 1
        assert "observe" not in calls(harness, before)
        await harness.stop()

    run(story())
