"""Searches for events, and what they find."""

from typing import Any

from shared.api import Api

SEARCH = "/admin/v1/events/_search"
ADDED = "org.policy.notification.added"
CHANGED = "org.policy.notification.changed"
REMOVED = "org.policy.notification.removed"
POLICIES = [ADDED, CHANGED, REMOVED]


async def events(api: Api, **wanted: Any) -> list[dict[str, Any]]:
    """Return the events that a search finds, by default those of policies."""
    body = {"asc": True, "eventTypes": POLICIES, **wanted}
    answer = await api.call("POST", SEARCH, body=body)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json().get("events", [])
    return found


async def numbers(api: Api, **wanted: Any) -> list[tuple[str, int]]:
    """Return aggregate and sequence of the events that a search finds."""
    return [
        (event["aggregate"]["id"], int(event["sequence"]))
        for event in await events(api, **wanted)
    ]
