"""Reading requests to the control path; what is wrong is told by the field's name."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from zitadel_notification_operator.emulator.faults import BadControl
from zitadel_notification_operator.emulator.messages import is_moment
from zitadel_notification_operator.emulator.permissions import PERMISSIONS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handlers = dict[tuple[str, str], Handler]
"""Handlers by verb and by the path behind `/emulator/v1/`."""


async def read(request: web.Request) -> Any:
    """Return the JSON of a request.

    Raises:
        BadControl: It is none.
    """
    try:
        return json.loads(await request.text())
    except ValueError as error:
        raise BadControl(f"the body must be JSON: {error}") from error


async def read_object(request: web.Request, known: set[str]) -> dict[str, Any]:
    """Return a request's JSON object that holds known fields only.

    Raises:
        BadControl: It is none, or holds others.
    """
    content = await read(request)
    if not isinstance(content, dict):
        raise BadControl("the body must be a JSON object")
    for name in content.keys() - known:
        raise BadControl(f"{name}: unknown; known are {', '.join(sorted(known))}")
    return content


def text_of(content: dict[str, Any], name: str) -> str:
    """Return a text field; empty when absent."""
    value = content.get(name, "")
    if not isinstance(value, str):
        raise BadControl(f"{name}: must be a text")
    return value


def needed(content: dict[str, Any], name: str) -> str:
    """Return a text field that must be there and not empty."""
    value = text_of(content, name)
    if not value:
        raise BadControl(f"{name}: must not be empty")
    return value


def flag(content: dict[str, Any], name: str, *, default: bool) -> bool:
    """Return a true-or-false field."""
    value = content.get(name, default)
    if not isinstance(value, bool):
        raise BadControl(f"{name}: must be true or false")
    return value


def moment(content: dict[str, Any]) -> str:
    """Return the field `expiration`, RFC 3339; empty when absent."""
    end = text_of(content, "expiration")
    if end and not is_moment(end):
        raise BadControl("expiration: must be a time such as 2030-01-01T00:00:00Z")
    return end


def roles_of(content: dict[str, Any]) -> list[str]:
    """Return the field `roles`: known names of roles; empty when absent."""
    roles = content.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(r, str) for r in roles):
        raise BadControl("roles: must be a list of role names")
    for role in roles:
        if role not in PERMISSIONS:
            raise BadControl(
                f"roles: {role} is unknown; known are {', '.join(PERMISSIONS)}"
            )
    return roles
