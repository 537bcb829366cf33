"""Judges a world that has come to rest: Kubernetes and ZITADEL must say the same."""

import asyncio
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.load import AT_ONCE, Driver, Json

PATIENCE = 1200.0
"""Seconds until the world must have settled. A repair of a lost event that failed twice
waits for ten minutes, as it should."""
BETWEEN = 5.0
"""Seconds between two looks."""
REST = 15.0
"""Seconds after which the settled world is judged once more: two searches of events,
which may find that something was not settled after all."""
SHOWN = 10
"""The most sentences of a verdict that are told one by one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a world ended.

    Attributes:
        seconds: Seconds until it had settled, or until patience ended.
        wrong: A sentence for each policy and organization that is not as it should be.
    """

    seconds: float
    wrong: list[str]


async def settled(
    driver: Driver, zitadel: aiohttp.ClientSession, reset: Collection[str]
) -> Verdict:
    """Wait until the world has settled, and judge it.

    Args:
        driver: Reads from Kubernetes.
        zitadel: A session with ZITADEL.
        reset: Organizations that had a policy which was deleted, and so was reset.
    """
    began = time.monotonic()
    while True:
        wrong = await _judged(driver, zitadel, reset)
        seconds = time.monotonic() - began
        if not wrong or seconds > PATIENCE:
            break
        await asyncio.sleep(BETWEEN)
    if not wrong:
        await asyncio.sleep(REST)
        wrong = await _judged(driver, zitadel, reset)
    return Verdict(seconds, wrong)


def told(wrong: list[str]) -> list[str]:
    """Return the sentences of a verdict, without most of them if there are many."""
    left = len(wrong) - SHOWN
    more = [f"{left} more are not as they should be."] if left > 0 else []
    return wrong[:SHOWN] + more


async def _judged(
    driver: Driver, zitadel: aiohttp.ClientSession, reset: Collection[str]
) -> list[str]:
    policies = await driver.policies()
    wrong = [text for body in policies for text in wrong_status(body)]
    if wrong:
        # While these are not Ready, nobody has promised anything about ZITADEL.
        return wrong
    wanted: dict[str, bool | None] = dict.fromkeys(reset)
    wanted |= {_organization(body): _value(body) for body in policies}
    shown = await _views(zitadel, wanted)
    return [
        text
        for organization, value in wanted.items()
        for text in wrong_policy(organization, value, shown[organization])
    ]


def wrong_status(body: Json) -> list[str]:
    """Return what is wrong with the status of a policy whose spec is not new."""
    name, generation = body["metadata"]["name"], body["metadata"]["generation"]
    if "deletionTimestamp" in body["metadata"]:
        return [f"{name} is still being deleted."]
    status = body.get("status", {})
    ready = [c for c in status.get("conditions", ()) if c["type"] == "Ready"]
    if not ready:
        return [f"{name} has no condition Ready."]
    [found] = ready
    if found["status"] != "True":
        return [f"{name} is not Ready: {found['reason']}, {found['message']}"]
    if found["observedGeneration"] != generation:
        observed = found["observedGeneration"]
        return [f"{name} is Ready for generation {observed} instead of {generation}."]
    if status["passwordChange"] != _value(body):
        return [f"{name} is Ready, but its status has another value than its spec."]
    return []


def wrong_policy(organization: str, wanted: bool | None, view: Json) -> list[str]:
    """Return what is wrong with the policy that ZITADEL holds for an organization.

    Args:
        organization: The id of the organization.
        wanted: The value of the spec, or None if the policy was deleted.
        view: The answer of the emulator's control path, with both sides of ZITADEL.
    """
    if wanted is None:
        if view["inherited"] and view["written"] is None:
            return []
        return [f"Organization {organization} still has a policy: {view}."]
    held = {"passwordChange": wanted}
    if not view["inherited"] and view["shown"] == held and view["written"] == held:
        return []
    return [f"Organization {organization} shall have {wanted}, but ZITADEL has {view}."]


async def _views(
    zitadel: aiohttp.ClientSession, organizations: Iterable[str]
) -> dict[str, Any]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def view(organization: str) -> tuple[str, Any]:
        path = f"/emulator/v1/organizations/{organization}/policy"
        async with turns, zitadel.get(path) as answer:
            answer.raise_for_status()
            return organization, await answer.json()

    return dict(await asyncio.gather(*map(view, organizations)))


def _organization(body: Json) -> str:
    return str(body["spec"]["organization"]["id"])


def _value(body: Json) -> bool:
    return bool(body["spec"]["passwordChange"])
