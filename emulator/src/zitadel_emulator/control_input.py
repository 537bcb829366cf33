"""Parsing of requests to the control path; error texts name the wrong field."""

import json
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from aiohttp import web

from .faults import BadControl
from .messages import Kind, is_moment
from .permissions import PERMISSIONS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handlers = dict[tuple[str, str], Handler]
"""Handlers by verb and by the part of the path after `/emulator/v1/`."""

_LONGEST = 10**10
"""The longest time in seconds: 317 years."""

_FLAG = re.compile(r"[a-z][a-zA-Z0-9]*")
_FLAG_KINDS = (Kind.BOOL, Kind.TEXT, Kind.UINT64)
_TAKEN = {"details", "isDefault", "passwordChange"}
"""The fields that a policy has in every ZITADEL, so no flag may use these names."""


async def read(request: web.Request) -> Any:
    """Return the parsed JSON body of a request.

    Raises:
        BadControl: The body is not JSON.
    """
    try:
        return json.loads(await request.text())
    except ValueError as error:
        raise BadControl(f"the body must be JSON: {error}") from error


async def read_object(request: web.Request, known: set[str]) -> dict[str, Any]:
    """Return the JSON object in a request's body.

    Raises:
        BadControl: The body is not a JSON object, or has a field that is not `known`.
    """
    content = await read(request)
    if not isinstance(content, dict):
        raise BadControl("the body must be a JSON object")
    for name in content.keys() - known:
        raise BadControl(f"{name}: unknown; known are {', '.join(sorted(known))}")
    return content


def text_of(content: dict[str, Any], name: str) -> str:
    """Return a string field; empty if absent.

    Raises:
        BadControl: The value is not a string.
    """
    value = content.get(name, "")
    if not isinstance(value, str):
        raise BadControl(f"{name}: must be a text")
    return value


def needed(content: dict[str, Any], name: str) -> str:
    """Return a string field that is required.

    Raises:
        BadControl: The value is absent, empty or not a string.
    """
    value = text_of(content, name)
    if not value:
        raise BadControl(f"{name}: must not be empty")
    return value


def flag(content: dict[str, Any], name: str, *, default: bool) -> bool:
    """Return a boolean field, or the default if it is absent.

    Raises:
        BadControl: The value is not a boolean.
    """
    value = content.get(name, default)
    if not isinstance(value, bool):
        raise BadControl(f"{name}: must be true or false")
    return value


def length_of(content: dict[str, Any], name: str) -> timedelta:
    """Return a length of time that is given in seconds, not below 0.

    Raises:
        BadControl: The value is absent, no number or not in this range.
    """
    value = content.get(name)
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not 0 <= value <= _LONGEST
    ):
        raise BadControl(f"{name}: must be a number from 0 to {_LONGEST}")
    return timedelta(seconds=value)


def flags_of(content: Any) -> dict[str, Kind]:
    """Parse the flags that a policy has in addition to `passwordChange`.

    Args:
        content: The JSON object that gives the type of each flag by its name.

    Raises:
        BadControl: The content is not an object, or a name or type is not allowed.
    """
    if not isinstance(content, dict):
        raise BadControl("the body must be a JSON object")
    for name, kind in content.items():
        if name in _TAKEN or not _FLAG.fullmatch(name):
            raise BadControl(f"{name}: must be a new name such as emailChange")
        if kind not in _FLAG_KINDS:
            raise BadControl(f"{name}: must be one of {', '.join(_FLAG_KINDS)}")
    return {name: Kind(kind) for name, kind in content.items()}


def moment(content: dict[str, Any]) -> str:
    """Return the field `expiration`, a time in RFC 3339; empty if absent.

    Raises:
        BadControl: The value is not such a time.
    """
    end = text_of(content, "expiration")
    if end and not is_moment(end):
        raise BadControl("expiration: must be a time such as 2030-01-01T00:00:00Z")
    return end


def roles_of(content: dict[str, Any]) -> list[str]:
    """Return the role names in the field `roles`; empty if absent.

    Raises:
        BadControl: The value is not a list of known role names.
    """
    roles = content.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(r, str) for r in roles):
        raise BadControl("roles: must be a list of role names")
    for role in roles:
        if role not in PERMISSIONS:
            raise BadControl(
                f"roles: {role} is unknown; known are {', '.join(PERMISSIONS)}"
            )
    return roles
