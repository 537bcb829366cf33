"""The control path `/emulator/v1`, over which trials and tests steer the emulator.

It checks neither a token nor the host, so the emulator must listen on loopback only.
Faults do not affect these calls, and the request log does not contain them. They are
documented in `docs/reference.md`, beside this distribution's README.
"""

from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web

from .answers import Refusal, timestamp
from .behavior import TOKEN_ERRORS, Behavior
from .control_input import (
    Handler,
    Handlers,
    flag,
    length_of,
    needed,
    read,
    read_object,
    text_of,
)
from .control_policies import PolicyControl
from .control_users import UserControl
from .faults import BadControl, Faults, parse_fault
from .hosts import OUTAGES
from .losses import Losses, parse_loss
from .zitadel import Zitadel

PREFIX = "/emulator/v1"

_CHOICES = {"token_errors": TOKEN_ERRORS, "database_error": OUTAGES}
_FARTHEST = 10**10
"""The highest number that a switch accepts: 317 years in seconds."""

_KNOWN = {name: type(value) for name, value in asdict(Behavior()).items()}
_KINDS = {
    bool: "true or false",
    int: f"a number from 0 to {_FARTHEST}",
    str: "a text",
}
_SKEW = "clock_skew_milliseconds"
"""The only switch that may be negative."""

_CHANGES = {"removed", "deactivated", "reactivated"}


class Steered(Protocol):
    """The emulator, as far as the control path knows it.

    Attributes:
        zitadel: The instance, another one after each reset.
        faults: The active faults.
        requests: The request log.
    """

    zitadel: Zitadel
    faults: Faults
    requests: list[dict[str, Any]]

    def reset(self) -> None:
        """Start anew, as the emulator was when it started."""
        ...


class Control:
    """The HTTP handlers of the control path."""

    def __init__(self, emulator: Steered) -> None:
        """Attach to one emulator."""
        self._emulator = emulator
        self._faults = emulator.faults
        self._requests = emulator.requests

    @property
    def _zitadel(self) -> Zitadel:
        return self._emulator.zitadel

    @property
    def _losses(self) -> Losses:
        return self._zitadel.read_side.losses

    def add_routes(self, app: web.Application) -> None:
        """Register the routes of the control path."""
        handlers: Handlers = {
            **UserControl(lambda: self._zitadel).handlers(),
            **PolicyControl(lambda: self._zitadel).handlers(),
            ("POST", "reset"): self._reset,
            ("GET", "clock"): self._show_clock,
            ("POST", "clock"): self._advance_clock,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "losses"): self._list_losses,
            ("POST", "losses"): self._add_loss,
            ("DELETE", "losses"): self._clear_losses,
            ("GET", "requests"): self._list_requests,
            ("DELETE", "requests"): self._clear_requests,
            ("GET", "events"): self._list_events,
            ("PUT", "database"): self._set_database,
            ("GET", "behavior"): self._show_behavior,
            ("PUT", "behavior"): self._set_behavior,
            ("GET", "organizations"): self._list_organizations,
            ("POST", "organizations"): self._add_organization,
            ("PUT", "organizations/{id}"): self._change_organization,
            ("POST", "organizations/{id}/domains"): self._add_domain,
            ("DELETE", "organizations/{id}/domains/{domain}"): self._remove_domain,
            ("POST", "domains"): self._add_host,
        }
        for (method, path), handler in handlers.items():
            app.router.add_route(method, f"{PREFIX}/{path}", _polite(handler))
        # Without this route, the emulated ZITADEL would answer a mistyped control call
        # and the request log would contain it.
        app.router.add_route("*", PREFIX + "{rest:(/.*)?}", _unknown)

    async def _reset(self, _: web.Request) -> web.Response:
        self._emulator.reset()
        return web.json_response({})

    async def _show_clock(self, _: web.Request) -> web.Response:
        return web.json_response({"time": timestamp(self._zitadel.now())})

    async def _advance_clock(self, request: web.Request) -> web.Response:
        content = await read_object(request, {"seconds"})
        self._zitadel.clock.advance(length_of(content, "seconds"))
        self._zitadel.read_side.catch_up()
        return await self._show_clock(request)

    async def _list_faults(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(fault) for fault in self._faults.active])

    async def _add_fault(self, request: web.Request) -> web.Response:
        fault = self._faults.add(parse_fault(await read(request)))
        return web.json_response(asdict(fault), status=201)

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._faults.clear()
        return web.json_response({})

    async def _list_losses(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(loss) for loss in self._losses.active])

    async def _add_loss(self, request: web.Request) -> web.Response:
        loss = self._losses.add(parse_loss(await read(request)))
        return web.json_response(asdict(loss), status=201)

    async def _clear_losses(self, _: web.Request) -> web.Response:
        self._losses.clear()
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
        content = await read_object(request, {"down"})
        if not isinstance(content.get("down"), bool):
            raise BadControl("down: must be true or false")
        self._zitadel.database_down = content["down"]
        return web.json_response({})

    async def _show_behavior(self, _: web.Request) -> web.Response:
        return web.json_response(asdict(self._zitadel.behavior))

    async def _set_behavior(self, request: web.Request) -> web.Response:
        content = await read_object(request, set(_KNOWN))
        for name, value in content.items():
            if type(value) is not _KNOWN[name] or not _is_near(name, value):
                raise BadControl(f"{name}: must be {_KINDS[_KNOWN[name]]}")
        for name, choices in _CHOICES.items():
            if content.get(name, choices[0]) not in choices:
                raise BadControl(f"{name}: must be one of {', '.join(choices)}")
        self._zitadel.switch(Behavior(**content))
        return web.json_response(asdict(self._zitadel.behavior))

    async def _list_organizations(self, _: web.Request) -> web.Response:
        orgs = [
            {"id": org.id, "name": org.name, "state": org.state.value}
            for org in self._zitadel.organizations()
        ]
        return web.json_response(orgs)

    async def _add_organization(self, request: web.Request) -> web.Response:
        content = await read_object(request, {"id", "name"})
        name, wanted = text_of(content, "name"), text_of(content, "id")
        event = self._zitadel.orgs.create(name, wanted_id=wanted)
        return web.json_response({"id": event.aggregate}, status=201)

    async def _change_organization(self, request: web.Request) -> web.Response:
        content = await read_object(request, {"state", "name"})
        org, name = request.match_info["id"], text_of(content, "name")
        state = text_of(content, "state")
        if state not in _CHANGES and (state or not name):
            raise BadControl(f"state: must be one of {', '.join(sorted(_CHANGES))}")
        if name:
            self._zitadel.orgs.rename(org, name)
        if state:
            self._zitadel.change_organization(org, state)
        return web.json_response({})

    async def _add_domain(self, request: web.Request) -> web.Response:
        content = await read_object(request, {"domain", "verified", "primary"})
        self._zitadel.orgs.add_domain(
            request.match_info["id"],
            needed(content, "domain"),
            verified=flag(content, "verified", default=True),
            primary=flag(content, "primary", default=False),
        )
        return web.json_response({}, status=201)

    async def _remove_domain(self, request: web.Request) -> web.Response:
        at = request.match_info
        self._zitadel.orgs.remove_domain(at["id"], at["domain"])
        return web.json_response({})

    async def _add_host(self, request: web.Request) -> web.Response:
        self._zitadel.add_domain(
            needed(await read_object(request, {"domain"}), "domain").lower()
        )
        return web.json_response({}, status=201)


def _is_near(name: str, value: object) -> bool:
    """Return whether a number is in the range of its switch.

    Values that are not numbers are always accepted here.
    """
    if type(value) is not int:
        return True
    return (-_FARTHEST if name == _SKEW else 0) <= value <= _FARTHEST


def _polite(handler: Handler) -> Handler:
    """Wrap a handler so that a bad request gets 400 and a text that names the field."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (BadControl, Refusal, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return handle


async def _unknown(request: web.Request) -> web.StreamResponse:
    text = f"{request.method} {request.path}: there is no such control call"
    return web.json_response({"error": text}, status=404)
