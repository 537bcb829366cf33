"""The control path `/emulator/v1`: what trials and tests may tell the emulator.

It asks for no token and no host, so the emulator belongs on loopback. Faults and the
request log do not know it. See `docs/reference/emulator.md`.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from zitadel_notification_operator.emulator.access import INSTANCE
from zitadel_notification_operator.emulator.answers import Refusal, timestamp
from zitadel_notification_operator.emulator.faults import (
    BadControl,
    Faults,
    parse_fault,
)
from zitadel_notification_operator.emulator.messages import is_moment
from zitadel_notification_operator.emulator.permissions import PERMISSIONS
from zitadel_notification_operator.emulator.zitadel import (
    CREDENTIAL_ORGANIZATION,
    Behavior,
    Zitadel,
)

PREFIX = "/emulator/v1"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_TOKEN_FIELDS = {"token", "roles", "organization", "home", "expiration", "name"}
_CHANGES = {"removed", "deactivated", "reactivated"}


class Control:
    """Handlers of the control path."""

    def __init__(
        self, zitadel: Zitadel, faults: Faults, requests: list[dict[str, Any]]
    ) -> None:
        """Work on the parts of one emulator."""
        self._zitadel = zitadel
        self._faults = faults
        self._requests = requests

    def add_routes(self, app: web.Application) -> None:
        """Register the control path."""
        handlers: dict[tuple[str, str], _Handler] = {
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "requests"): self._list_requests,
            ("DELETE", "requests"): self._clear_requests,
            ("GET", "events"): self._list_events,
            ("PUT", "database"): self._set_database,
            ("GET", "behavior"): self._show_behavior,
            ("PUT", "behavior"): self._set_behavior,
            ("DELETE", "instance-policy"): self._drop_policy,
            ("GET", "organizations"): self._list_organizations,
            ("POST", "organizations"): self._add_organization,
            ("PUT", "organizations/{id}"): self._change_organization,
            ("GET", "tokens"): self._list_tokens,
            ("POST", "tokens"): self._add_token,
            ("DELETE", "tokens/{token}"): self._revoke,
        }
        for (method, path), handler in handlers.items():
            app.router.add_route(method, f"{PREFIX}/{path}", _polite(handler))
        # Without this a typing error would be answered by ZITADEL, and logged.
        app.router.add_route("*", PREFIX + "{rest:(/.*)?}", _unknown)

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(fault) for fault in self._faults.active])

    async def _add_fault(self, request: web.Request) -> web.Response:
        fault = self._faults.add(parse_fault(await _read(request)))
        return web.json_response(asdict(fault), status=201)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({})

    async def _list_requests(self, _: web.Request) -> web.Response:
        return web.json_response(self._requests)

    async def _clear_requests(self, _: web.Request) -> web.Response:
        self._requests.clear()
        return web.json_response({})

    async def _list_events(self, request: web.Request) -> web.Response:
        wanted = request.query.get("aggregate")
        log = self._zitadel.log
        events = [
            {
                "aggregate": event.aggregate,
                "type": event.type,
                "sequence": event.sequence,
                "time": timestamp(event.time),
                "editor": event.editor,
                "resourceOwner": event.owner,
                "payload": dict(event.payload),
            }
            for event in (log.all if wanted is None else log.of(wanted))
        ]
        return web.json_response(events)

    async def _set_database(self, request: web.Request) -> web.Response:
        content = await _object(request, {"down"})
        if not isinstance(content.get("down"), bool):
            raise BadControl("down: must be true or false")
        self._zitadel.database_down = content["down"]
        return web.json_response({})

    async def _show_behavior(self, _: web.Request) -> web.Response:
        return web.json_response(asdict(self._zitadel.behavior))

    async def _set_behavior(self, request: web.Request) -> web.Response:
        known = {name: type(value) for name, value in asdict(Behavior()).items()}
        content = await _object(request, set(known))
        for name, value in content.items():
            if type(value) is not known[name] or value < 0:
                kind = "true or false" if known[name] is bool else "a number"
                raise BadControl(f"{name}: must be {kind}, not below 0")
        self._zitadel.behavior = Behavior(**content)
        return web.json_response(asdict(self._zitadel.behavior))

    async def _drop_policy(self, _: web.Request) -> web.Response:
        self._zitadel.drop_instance_policy()
        return web.json_response({})

    async def _list_organizations(self, _: web.Request) -> web.Response:
        orgs = [
            {"id": org.id, "name": org.name, "state": org.state.value}
            for org in self._zitadel.organizations()
        ]
        return web.json_response(orgs)

    async def _add_organization(self, request: web.Request) -> web.Response:
        content = await _object(request, {"id", "name"})
        name, wanted = _text(content, "name"), _text(content, "id")
        event = self._zitadel.orgs.create(name, wanted_id=wanted)
        return web.json_response({"id": event.aggregate}, status=201)

    async def _change_organization(self, request: web.Request) -> web.Response:
        content = await _object(request, {"state"})
        state = _text(content, "state")
        if state not in _CHANGES:
            raise BadControl(f"state: must be one of {', '.join(sorted(_CHANGES))}")
        self._zitadel.change_organization(request.match_info["id"], state)
        return web.json_response({})

    async def _list_tokens(self, _: web.Request) -> web.Response:
        return web.json_response(self._zitadel.access.tokens())

    async def _add_token(self, request: web.Request) -> web.Response:
        content = await _object(request, _TOKEN_FIELDS)
        where = _text(content, "organization")
        home = _text(content, "home") or where or CREDENTIAL_ORGANIZATION
        for name, org in (("organization", where), ("home", home)):
            if org and not self._zitadel.orgs.exists(org):
                raise BadControl(f"{name}: there is no organization {org}")
        end = _text(content, "expiration")
        if end and not is_moment(end):
            raise BadControl("expiration: must be a time such as 2030-01-01T00:00:00Z")
        roles = _roles(content)
        made = self._zitadel.add_token(
            _text(content, "token"),
            {where or INSTANCE: roles} if roles else {},
            home,
            expiration=end,
            name=_text(content, "name"),
        )
        shown = {"token": made.text, "tokenId": made.id, "userId": made.user}
        return web.json_response(shown, status=201)

    async def _revoke(self, request: web.Request) -> web.Response:
        if not self._zitadel.access.revoke(request.match_info["token"]):
            raise BadControl("token: there is no live token with this id or text")
        return web.json_response({})


def _polite(handler: _Handler) -> _Handler:
    """Answer a bad request with 400 and a sentence that names the field."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (BadControl, Refusal, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return handle


async def _unknown(request: web.Request) -> web.StreamResponse:
    text = f"{request.method} {request.path}: there is no such control call"
    return web.json_response({"error": text}, status=404)


async def _read(request: web.Request) -> Any:
    try:
        return json.loads(await request.text())
    except ValueError as error:
        raise BadControl(f"the body must be JSON: {error}") from error


async def _object(request: web.Request, known: set[str]) -> dict[str, Any]:
    content = await _read(request)
    if not isinstance(content, dict):
        raise BadControl("the body must be a JSON object")
    for name in content.keys() - known:
        raise BadControl(f"{name}: unknown; known are {', '.join(sorted(known))}")
    return content


def _text(content: dict[str, Any], name: str) -> str:
    value = content.get(name, "")
    if not isinstance(value, str):
        raise BadControl(f"{name}: must be a text")
    return value


def _roles(content: dict[str, Any]) -> list[str]:
    roles = content.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(r, str) for r in roles):
        raise BadControl("roles: must be a list of role names")
    for role in roles:
        if role not in PERMISSIONS:
            raise BadControl(
                f"roles: {role} is unknown; known are {', '.join(PERMISSIONS)}"
            )
    return roles
