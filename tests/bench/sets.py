"""A set over N organizations, beside as many policies that were written one by one."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from bench import phases
from bench.load import Driver, Json, driving, is_ready, policy_of
from bench.machine import describe, usage_of
from bench.phases import Phase
from bench.processes import REQUESTS_PER_SECOND, Processes, running_processes
from bench.steady import SEARCH, SETTLE

SET = "all"
DRIFT_DETECTION = {"eventsInterval": "5s", "pollInterval": "10m"}
ORGANIZATIONS = "/management/v1/orgs"
STATUS = "patch notificationpolicysets/status"
"""The writes of a set's status, as the ledger names them."""
BETWEEN = 3.0
"""Seconds between two edits of the policy that is not in the set."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The scope of a run.

    Attributes:
        organizations: The number N of organizations.
        checkout: The checkout of the operator.
        idle: The length of the idle phase in seconds.
        requests_per_second: The rate limit of the instance.
        plain: Whether to measure as many plain policies before, for comparison.
    """

    organizations: int
    checkout: Path
    idle: float = 60.0
    requests_per_second: int = REQUESTS_PER_SECOND
    plain: bool = True


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
            Path(folder),
            plan.checkout,
            plan.organizations + 1,
            DRIFT_DETECTION,
            plan.requests_per_second,
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
        if plan.plain:
            say(f"{count} policies one by one: create, edit, restart, delete")
            await _measure_plain(processes, driver, count, figures)
        # This one is not in the set, and somebody edits it during each roll-out.
        organization = processes.organizations[-1]
        driver.watch.expect(1, lambda body: body is not None and is_ready(body))
        await driver.create(policy_of(organization, value=False))
        await driver.watch.until_reached()
        neighbour = _Neighbour(processes, driver, organization)
        await asyncio.sleep(2)

        say(f"a set over {count} organizations: create, and other edits meanwhile")
        create = driver.create_set(_set(processes, count))
        made, _ = await asyncio.gather(
            _load(processes, driver, count, create, value=False),
            neighbour.edit_meanwhile(),
        )
        _note(figures, "set.create", made, count)
        figures["set.rss_mib"] = made.usage.rss
        say("edit, and other edits meanwhile")
        edit = driver.patch_set(SET, {"passwordChange": True})
        changed, _ = await asyncio.gather(
            _load(processes, driver, count, edit, value=True),
            neighbour.edit_meanwhile(),
        )
        _note(figures, "set.edit", changed, count)
        figures["set.closest"] = min(_closest(made), _closest(changed))
        figures["set.busiest"] = max(made.entries.busiest, changed.entries.busiest)
        figures["other.edits"] = len(neighbour.waits)
        if neighbour.waits:  # a small set is done before the first edit
            figures["other.edit"] = max(neighbour.waits)
            figures["other.edit_p50"] = median(neighbour.waits)
        say("a new organization")
        figures["new.organization"] = await _new_organization(processes, driver)
        say("restart")
        await asyncio.sleep(3)  # the set's own status follows within two seconds
        for key, value in (await phases.restart(processes)).items():
            figures[f"restart.{key}"] = value
        figures["set.restarted_rss_mib"] = usage_of(processes.operator_pid).rss
        if plan.plain:
            _compare(figures)
        await asyncio.sleep(SETTLE)
        say(f"idle for {plan.idle:.0f} seconds")
        quiet = await phases.idle(processes, plan.idle)
        figures["idle.calls"] = quiet.entries.calls
        figures["idle.searches"] = quiet.entries.zitadel[SEARCH]
        figures["idle.writes"] = quiet.entries.all_writes
        figures["rss_peak_mib"] = usage_of(processes.operator_pid).peak


async def _measure_plain(
    processes: Processes, driver: Driver, count: int, figures: dict[str, float]
) -> None:
    created = await phases.create_all(processes, driver, count)
    edited = await phases.edit_all(processes, driver, count)
    figures["plain.create"], figures["plain.edit"] = created.seconds, edited.seconds
    figures["plain.rss_mib"] = created.usage.rss
    await phases.restart(processes)
    figures["plain.restarted_rss_mib"] = usage_of(processes.operator_pid).rss
    await phases.delete_all(processes, driver, count)


def _compare(figures: dict[str, float]) -> None:
    """Add the ratios of a set to as many plain policies."""
    for ratio, one, other in (
        ("set.create_ratio", "set.create.seconds", "plain.create"),
        ("set.edit_ratio", "set.edit.seconds", "plain.edit"),
        ("set.rss_ratio", "set.rss_mib", "plain.rss_mib"),
        (
            "set.restarted_rss_ratio",
            "set.restarted_rss_mib",
            "plain.restarted_rss_mib",
        ),
    ):
        figures[ratio] = figures[one] / figures[other]


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
    figures[f"{name}.status_writes"] = phase.entries.writes[STATUS]


def _closest(phase: Phase) -> float:
    """Return the seconds between the two closest writes of the set's status."""
    return phase.entries.closest.get(STATUS, float("inf"))


@dataclass(eq=False)
class _Neighbour:
    """A policy of an organization that is not in the set, which somebody edits.

    Attributes:
        waits: The seconds from each edit until ZITADEL had it.
    """

    processes: Processes
    driver: Driver
    organization: str
    waits: list[float] = field(default_factory=list)
    _value: bool = False

    async def edit_meanwhile(self) -> None:
        """Edit the policy every few seconds until the load has reached its end."""
        await asyncio.sleep(1)
        async with phases.asking_zitadel(self.processes) as zitadel:
            while self.driver.watch.left:
                self._value = not self._value
                start = time.monotonic()
                name = f"p-{self.organization}"
                await self.driver.patch(name, {"passwordChange": self._value})
                while not await self._is_in(zitadel):  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.01)
                self.waits.append(time.monotonic() - start)
                await asyncio.sleep(BETWEEN)

    async def _is_in(self, zitadel: aiohttp.ClientSession) -> bool:
        return await phases.holds(zitadel, self.organization) is self._value


async def _new_organization(processes: Processes, driver: Driver) -> float:
    """Return the seconds until a new organization has a Ready policy."""
    driver.watch.expect(1, lambda body: body is not None and is_ready(body))
    start = time.monotonic()
    async with (
        phases.asking_zitadel(processes) as zitadel,
        zitadel.post(ORGANIZATIONS, json={"name": "New 1"}) as answer,
    ):
        answer.raise_for_status()
    await driver.watch.until_reached()
    return time.monotonic() - start
