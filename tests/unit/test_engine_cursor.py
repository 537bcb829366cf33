"""The cursor: up to where events were read, from the first check on; late events."""

import asyncio
from dataclasses import replace

import pytest

from support.drift import bench_with, calls
from support.engines import policy, with_spec
from support.fakes import OTHERS
from support.replacing import instead_of
from support.virtual_time import run
from zitadel_notification_operator.core.errors import TransientError
from zitadel_notification_operator.core.events import EventKind, ZitadelEvent
from zitadel_notification_operator.core.identity import User
from zitadel_notification_operator.core.instance_object import DriftMethod
from zitadel_notification_operator.core.reasons import Reason


def test_the_cursor_comes_with_the_first_verdict() -> None:
    """It is in the same write, so drift after a kill in the first seconds is found."""

    async def story() -> None:
        bench = bench_with(policy("p"), policy("q", "u"))
        bench.zitadel.change("u", True, OTHERS)
        await bench.start()
        await bench.live(3)
        assert bench.cluster.instances["default"].status.drift_cursor
        assert bench.steps.log.count(("status", "default")) == 1
        await bench.stop()
        bench.zitadel.change("o", True, OTHERS)
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(5)
        assert bench.zitadel.own["o"] is False
        assert calls(bench, before).count("observe") == 2
        drift = bench.policy("p").status.last_drift
        assert drift is not None
        assert drift.editor == OTHERS
        await bench.stop()

    run(story())


@pytest.mark.parametrize("cursor", [None, "", "rubbish", "2026-01-01T00:00:00Z x o"])
def test_without_a_cursor_all_are_checked(cursor: str | None) -> None:
    """All are checked once, spread over pollInterval; then a restart is cheap."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(30)))
        await bench.start()
        await bench.live(300)
        await bench.stop()
        stored = bench.cluster.instances["default"]
        bench.cluster.put_instance(
            replace(stored, status=replace(stored.status, drift_cursor=cursor))
        )
        bench.zitadel.change("o7", True, OTHERS)
        await asyncio.sleep(3600)
        bench.zitadel.change("foreign", True, OTHERS)
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(60)
        assert 1 <= calls(bench, before).count("observe") < 15
        await bench.live(600)
        assert bench.zitadel.own["o7"] is False
        assert calls(bench, before).count("observe") <= 31
        await bench.stop()
        before = len(bench.steps.log)
        await bench.start()
        await bench.live(300)
        assert "observe" not in calls(bench, before)
        assert "status" not in [step[0] for step in bench.steps.log[before:]]
        await bench.stop()

    run(story())


def test_a_log_without_our_kinds_has_no_cursor_and_all_are_checked() -> None:
    """Log retention hides the events: each start checks all, and reports nothing."""

    async def story() -> None:
        bench = bench_with(policy("p"))
        await bench.start()
        await bench.live(300)
        await bench.stop()
        bench.zitadel.events_log.clear()
        stored = bench.cluster.instances["default"]
        bench.cluster.put_instance(
            replace(stored, status=replace(stored.status, drift_cursor=None))
        )
        bench.zitadel.own["o"] = True
        await bench.start()
        await bench.live(610)
        assert bench.zitadel.own["o"] is False
        detection = bench.cluster.instances["default"].status.drift_detection
        assert detection is not None
        assert detection.method is DriftMethod.EVENTS
        await bench.stop()

    run(story())


def test_a_first_search_that_fails_is_made_up_for() -> None:
    """A later search finds the beginning; changes in between are checked."""

    async def story() -> None:
        bench = bench_with(policy("p"))

        async def fail() -> None:
            raise TransientError(Reason.SERVER_ERROR, "not now")

        instead_of(bench.zitadel.newest_event).call(fail)
        await bench.start()
        await bench.live(30)
        assert bench.ready("p").status == "True"
        assert bench.cluster.instances["default"].status.drift_cursor is None
        bench.zitadel.change("o", True, OTHERS)
        del bench.zitadel.newest_event
        await bench.live(65)
        assert bench.zitadel.own["o"] is False
        await bench.live(65)
        assert bench.cluster.instances["default"].status.drift_cursor
        await bench.stop()

    run(story())


@pytest.mark.parametrize("interval", [5.0, 17.0, 60.0, 600.0])
@pytest.mark.parametrize("length", [1.0, 16.0, 60.0])
def test_events_have_the_time_at_which_their_transaction_began(
    length: float, interval: float
) -> None:
    """They become visible when it ends; none is missed, whatever came meanwhile."""

    async def story() -> None:
        bench = bench_with(*(policy(f"p{n}", f"o{n}") for n in range(12)))
        bench.cluster.put_instance(
            with_spec(bench.cluster.instances["default"], events_interval=interval)
        )
        zitadel, loop = bench.zitadel, asyncio.get_running_loop()
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
        await bench.start()
        await bench.live(2 * interval + 200)
        for number in range(1, 12):
            # A short transaction overtakes each long one, each time at another moment.
            zitadel.change(f"o{number}", True, OTHERS)
            await bench.live(length * number / 12)
            zitadel.change("foreign", False, OTHERS)
            await bench.live(interval / 3)
        await bench.live(length + interval + 1)
        assert set(zitadel.own.values()) == {False}
        before = len(bench.steps.log)
        await bench.live(1200)
        searches = calls(bench, before).count("events")
        assert 1200 / interval - 1 <= searches <= 1200 / interval / 0.9 + 1
        assert "observe" not in calls(bench, before)
        await bench.stop()

    run(story())
