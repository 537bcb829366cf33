"""The control path `/emulator/v1`: what trials and tests may tell the emulator.

It asks for no token and no host; the emulator listens on loopback. See
`docs/reference/emulator.md`.
"""

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web

from zitadel_notification_operator.emulator.access import INSTANCE
from zitadel_notification_operator.emulator.faults import Faults, parse_fault
from zitadel_notification_operator.emulator.zitadel import Zitadel

PREFIX = "/emulator/v1"


class Control:
    """Handlers of the control path."""

    def __init__(
        self, zitadel: Zitadel, faults: Faults, requests: list[dict[str, Any]]
    ) -> None:
        self._zitadel = zitadel
        self._faults = faults
        self._requests = requests

    def add_routes(self, app: web.Application) -> None:
        """Register the control path."""
        app.router.add_get(f"{PREFIX}/faults", self._list_faults)
        app.router.add_post(f"{PREFIX}/faults", self._add_fault)
        app.router.add_delete(f"{PREFIX}/faults", self._clear_faults)
        app.router.add_get(f"{PREFIX}/requests", self._list_requests)
        app.router.add_delete(f"{PREFIX}/requests", self._clear_requests)
        app.router.add_get(f"{PREFIX}/events", self._list_events)
        app.router.add_put(f"{PREFIX}/database", self._set_database)
        app.router.add_delete(f"{PREFIX}/instance-policy", self._drop_policy)
        app.router.add_post(f"{PREFIX}/tokens", self._add_token)
        app.router.add_delete(f"{PREFIX}/tokens/{{token}}", self._revoke)

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(fault) for fault in self._faults.active])

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.add(parse_fault(await request.json()))
        except (ValueError, TypeError) as error:
            return _refused(str(error))
        return web.json_response({}, status=201)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({})

    async def _list_requests(self, _: web.Request) -> web.Response:
        return web.json_response(self._requests)

    async def _clear_requests(self, _: web.Request) -> web.Response:
        self._requests.clear()
        return web.json_response({})

    async def _list_events(self, _: web.Request) -> web.Response:
        events = [
            {
                "aggregate": event.aggregate,
                "type": event.type,
                "sequence": event.sequence,
                "time": event.time.isoformat(),
                "editor": event.editor,
                "payload": dict(event.payload),
            }
            for event in self._zitadel.log.all
        ]
        return web.json_response(events)

    async def _set_database(self, request: web.Request) -> web.Response:
        content = await _json(request)
        if not isinstance(content, dict) or not isinstance(content.get("down"), bool):
            return _refused("down: must be true or false")
        self._zitadel.database_down = content["down"]
        return web.json_response({})

    async def _drop_policy(self, _: web.Request) -> web.Response:
        self._zitadel.drop_instance_policy()
        return web.json_response({})

    async def _add_token(self, request: web.Request) -> web.Response:
        content = await _json(request)
        if not isinstance(content, dict) or not isinstance(content.get("token"), str):
            return _refused("token: must be a text")
        roles = content.get("roles", [])
        if not (isinstance(roles, list) and all(isinstance(r, str) for r in roles)):
            return _refused("roles: must be a list of role names")
        where = content.get("organization", INSTANCE)
        memberships = {where: set(roles)} if roles else {}
        self._zitadel.add_token(content["token"], memberships)
        return web.json_response({}, status=201)

    async def _revoke(self, request: web.Request) -> web.Response:
        if not self._zitadel.access.revoke(request.match_info["token"]):
            return _refused("token: unknown")
        return web.json_response({})


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except json.JSONDecodeError:
        return None


def _refused(why: str) -> web.Response:
    return web.json_response({"error": why}, status=400)
