"""An operator with each generation of ZITADEL, by the emulator's switches.

The engine and the real adapter call it over HTTP; Kubernetes is in memory.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from support.zitadel_lives import ACME, HISTORY, KEY, ZitadelLife, a_life, one_life
from zitadel_emulator.faults import Fault
from zitadel_emulator.policies import reset
from zitadel_emulator.server import new_emulator, serve
from zitadel_notification_operator.core.instance_object import DriftMethod

pytestmark = [pytest.mark.clock, pytest.mark.timeout(600)]

TOKEN = "eyJ" + "a" * 277
"""Newer servers give personal access tokens of this form."""

SWITCHES: dict[str, dict[str, Any]] = {
    "errors with slugs": {"error_slugs": True},
    "small pages": {"largest_limit": 100},
    "events have the time of their transaction": {"transaction_milliseconds": 3000},
    "unknown fields": {"extra_fields": True},
    "deprecated calls": {"deprecation": True},
}

SEARCH = "/admin/v1/events/_search"
SEARCHES: dict[str, dict[str, Any]] = {
    "hang": {"latency": 12.0},
    "500": {"status": 500, "body": "{}"},
    "400": {"status": 400, "body": '{"code": 3, "message": "no"}'},
    "nothing": {"status": 200, "body": "{}"},
}
"""How a search for events may fail; a call may take two seconds."""


@pytest.mark.parametrize("switch", SWITCHES)
async def test_a_life_is_the_same_with_each(switch: str) -> None:
    """The token has 280 characters and looks like a JWT, but is none."""
    emulator = new_emulator(TOKEN)
    behavior = replace(emulator.zitadel.behavior, **SWITCHES[switch])
    emulator.zitadel.behavior = behavior
    async with serve(emulator) as running:
        assert await one_life(running, running.url, None, token=TOKEN) == HISTORY


@pytest.mark.parametrize("error", ["not_found", "internal"])
async def test_a_deletion_does_not_end_while_the_database_is_down(error: str) -> None:
    """Neither response means that an organization or policy is gone."""
    emulator = new_emulator(TOKEN)
    behavior = replace(emulator.zitadel.behavior, database_error=error)
    emulator.zitadel.behavior = behavior
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serve(emulator))
        made = a_life(running, running.url, None, token=TOKEN)
        life = await stack.enter_async_context(made)
        await life.create()
        emulator.zitadel.database_down = True
        life.seen(deleting=True, generation=2)
        await asyncio.sleep(6)
        assert KEY in life.cluster.policies
        assert life.events() == HISTORY[:1]
        emulator.zitadel.database_down = False
        await life.until(lambda: KEY not in life.cluster.policies)
        assert [kind for kind, _ in life.events()] == [HISTORY[0][0], HISTORY[2][0]]


@pytest.mark.parametrize("how", SEARCHES)
async def test_drift_is_found_while_events_cannot_be_searched(how: str) -> None:
    """Policies are polled after three failed searches, until events work."""
    emulator = new_emulator(TOKEN)
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serve(emulator))
        made = a_life(running, running.url, None, token=TOKEN, poll_interval=2.0)
        life = await stack.enter_async_context(made)
        await life.create()
        emulator.faults.add(Fault(path=SEARCH, **SEARCHES[how]))
        await life.until(lambda: method(life) is DriftMethod.POLL)
        reset(emulator.zitadel.log, ACME, "somebody")
        await life.until(lambda: life.holds(3, value=False))
        emulator.faults.active.clear()
        await life.until(lambda: method(life) is DriftMethod.EVENTS)


def method(life: ZitadelLife) -> DriftMethod | None:
    """Return the method of drift detection in the instance's status."""
    detection = life.cluster.instances["default"].status.drift_detection
    return detection.method if detection else None
