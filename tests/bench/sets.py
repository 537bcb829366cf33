"""A set over N organizations, beside as many policies that were written one by one."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench import phases
from bench.load import Driver, Json, driving, is_ready, policy_of
from bench.machine import describe, usage_of
from bench.phases import Phase
from bench.processes import Processes, running_processes
from bench.steady import SEARCH, SETTLE
from support.running import TOKEN

SET = "all"
DRIFT_DETECTION = {"eventsInterval": "5s", "pollInterval": "10m"}
ORGANIZATIONS = "/management/v1/orgs"


@dataclass(frozen=True, slots=True)
class Plan:
    """The scope of a run.

    Attributes:
        organizations: The number N of organizations.
        checkout: The checkout of the operator.
        idle: The length of the idle phase in seconds.
    """

    organizations: int
    checkout: Path
    idle: float = 60.0


def run_sets(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Carry out a run and return its result in a form for JSON.

    Args:
        plan: The scope of the run.
        say: Receives lines of progress.
    """
    say(f"starting a cluster and a ZITADEL of {plan.organizations} organizations")
    with (
        tempfile.TemporaryDirectory("-znp-bench") as folder,
        running_processes(
            Path(folder), plan.checkout, plan.organizations + 1, DRIFT_DETECTION
        ) as processes,
    ):
        figures: dict[str, float] = {}
        result: dict[str, Any] = {
            "policies": plan.organizations,
            "machine": describe(plan.checkout, processes.version()),
            "figures": figures,
        }
        asyncio.run(_measure(plan, processes, figures, say))
        result["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return result


async def _measure(
    plan: Plan,
    processes: Processes,
    figures: dict[str, float],
    say: Callable[[str], None],
) -> None:
    count = plan.organizations
    async with driving(processes) as driver:
        say(f"{count} policies one by one: create, edit, delete")
        plain = await phases.create_all(processes, driver, count)
        edited = await phases.edit_all(processes, driver, count)
        figures["plain.create"], figures["plain.edit"] = plain.seconds, edited.seconds
        figures["plain.rss_mib"] = plain.usage.rss
        await phases.delete_all(processes, driver, count)
        # This one is not in the set, and somebody edits it in the middle of a roll-out.
        other = processes.organizations[-1]
        driver.watch.expect(1, lambda body: body is not None and is_ready(body))
        await driver.create(policy_of(other, value=False))
        await driver.watch.until_reached()
        await asyncio.sleep(2)

        say(f"a set over {count} organizations: create")
        create = driver.create_set(_set(processes, count))
        made = await _load(processes, driver, count, create, value=False)
        _note(figures, "set.create", made, count)
        figures["set.rss_mib"] = made.usage.rss
        figures["set.create_ratio"] = made.seconds / plain.seconds
        say("edit, and another edit in the middle of it")
        edit = driver.patch_set(SET, {"passwordChange": True})
        changed, waited = await asyncio.gather(
            _load(processes, driver, count, edit, value=True),
            _edit_beside(processes, driver, other),
        )
        _note(figures, "set.edit", changed, count)
        figures["set.edit_ratio"] = changed.seconds / edited.seconds
        figures["other.edit"] = waited
        say("a new organization")
        figures["new.organization"] = await _new_organization(processes, driver)
        say("restart")
        await asyncio.sleep(3)  # the set's own status follows within two seconds
        for key, value in (await phases.restart(processes)).items():
            figures[f"restart.{key}"] = value
        await asyncio.sleep(SETTLE)
        say(f"idle for {plan.idle:.0f} seconds")
        quiet = await phases.idle(processes, plan.idle)
        figures["idle.calls"] = quiet.entries.calls
        figures["idle.searches"] = quiet.entries.zitadel[SEARCH]
        figures["idle.writes"] = quiet.entries.all_writes
        figures["rss_peak_mib"] = usage_of(processes.operator_pid).peak


def _set(processes: Processes, count: int) -> Json:
    """Return a set of the first `count` organizations, and of what comes later."""
    chosen = set(processes.organizations[:count])
    others = [
        o["id"] for o in processes.zitadel("organizations") if o["id"] not in chosen
    ]
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicySet",
        "metadata": {"name": SET},
        "spec": {
            "organizations": {
                "all": True,
                "exclude": [{"id": other} for other in others],
            },
            "passwordChange": False,
            "limits": {"organizations": 100_000},
        },
    }


async def _load(
    processes: Processes, driver: Driver, count: int, work: Any, *, value: bool
) -> Phase:
    def wanted(body: Json | None) -> bool:
        if body is None or not body["metadata"]["name"].startswith(f"{SET}-"):
            return False
        return is_ready(body) and body["status"]["passwordChange"] is value

    return await phases.load(processes, driver, [work], wanted, count)


def _note(figures: dict[str, float], name: str, phase: Phase, count: int) -> None:
    figures[f"{name}.seconds"] = phase.seconds
    figures[f"{name}.cpu_ms"] = 1000 * phase.cpu / count
    figures[f"{name}.calls"] = phase.entries.calls / count
    figures[f"{name}.writes"] = phase.entries.all_writes / count
    statuses = phase.entries.writes["patch notificationpolicysets/status"]
    figures[f"{name}.status_writes"] = statuses
    figures[f"{name}.status_writes_a_second"] = statuses / phase.seconds


async def _edit_beside(
    processes: Processes, driver: Driver, organization: str
) -> float:
    """Edit a policy that is not in the set; return the seconds until ZITADEL has it."""
    await asyncio.sleep(1)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(processes.zitadel_url, headers=headers) as zitadel:
        start = time.monotonic()
        await driver.patch(f"p-{organization}", {"passwordChange": True})
        while not await phases.holds(zitadel, organization):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.005)
        return time.monotonic() - start


async def _new_organization(processes: Processes, driver: Driver) -> float:
    """Return the seconds until a new organization has a Ready policy."""
    driver.watch.expect(1, lambda body: body is not None and is_ready(body))
    start = time.monotonic()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(processes.zitadel_url, headers=headers) as zitadel,
        zitadel.post(ORGANIZATIONS, json={"name": "New 1"}) as answer,
    ):
        answer.raise_for_status()
    await driver.watch.until_reached()
    return time.monotonic() - start
