"""The part of the control path that shows and sets notification policies.

It needs no token, faults do not apply to it, and no switch delays what it shows. A
test can so set up what it needs, and look at both sides of ZITADEL.
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from . import policies
from .control_input import Handlers, flags_of, read, read_object
from .faults import BadControl
from .messages import Kind
from .projections import INSTANCE_POLICY, Policy, written_policy
from .zitadel import CREDENTIAL_ORGANIZATION, INSTANCE_ID, Zitadel

_ZERO = {Kind.BOOL: False, Kind.TEXT: "", Kind.UINT64: 0}
_WORDS = {
    Kind.BOOL: "true or false",
    Kind.TEXT: "a text",
    Kind.UINT64: "a number, not below 0",
}


class PolicyControl:
    """The HTTP handlers for the policies of organizations and of the instance."""

    def __init__(self, zitadel: Callable[[], Zitadel]) -> None:
        """Attach to the instance that a function returns."""
        self._current = zitadel

    def handlers(self) -> Handlers:
        """Return the handlers by verb and path, for `Control` to register."""
        return {
            ("GET", "organizations/{id}/policy"): self._show,
            ("PUT", "organizations/{id}/policy"): self._set,
            ("DELETE", "organizations/{id}/policy"): self._remove,
            ("PUT", "policies"): self._set_all,
            ("GET", "instance-policy"): self._show,
            ("PUT", "instance-policy"): self._set,
            ("DELETE", "instance-policy"): self._drop,
            ("GET", "policy-flags"): self._show_flags,
            ("PUT", "policy-flags"): self._set_flags,
        }

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._view(*self._place(request)))

    async def _set(self, request: web.Request) -> web.Response:
        owner, level = self._place(request)
        self._write(owner, level, await self._values_in(request))
        return web.json_response(self._view(owner, level))

    async def _set_all(self, request: web.Request) -> web.Response:
        """Set the policies of all organizations that tests and trials are about."""
        given = await self._values_in(request)
        found = [org.id for org in self._current().organizations()]
        others = [owner for owner in found if owner != CREDENTIAL_ORGANIZATION]
        for owner in others:
            self._write(owner, policies.ORG, given)
        return web.json_response({"organizations": len(others)})

    async def _values_in(self, request: web.Request) -> Mapping[str, Any]:
        known = self._current().fields_of_policy
        given = await read_object(request, set(known))
        for name, value in given.items():
            if not _fits(known[name], value):
                raise BadControl(f"{name}: must be {_WORDS[known[name]]}")
        return given

    def _write(
        self, owner: str, level: policies.Level, given: Mapping[str, Any]
    ) -> None:
        zitadel = self._current()
        known = zitadel.fields_of_policy
        own = written_policy(zitadel.log.of(owner), level.prefix)
        wanted = {**_all_values(own, known), **given}
        if own is None:
            policies.add(zitadel.log, level, owner, "", wanted)
        elif wanted != _all_values(own, known):
            policies.change(zitadel.log, level, owner, "", wanted)

    async def _remove(self, request: web.Request) -> web.Response:
        owner, level = self._place(request)
        log = self._current().log
        if written_policy(log.of(owner), level.prefix) is not None:
            policies.reset(log, owner, "")
        return web.json_response(self._view(owner, level))

    async def _drop(self, _: web.Request) -> web.Response:
        self._current().drop_instance_policy()
        return web.json_response({})

    async def _show_flags(self, _: web.Request) -> web.Response:
        return web.json_response(self._current().policy_flags)

    async def _set_flags(self, request: web.Request) -> web.Response:
        self._current().policy_flags = flags_of(await read(request))
        return web.json_response(self._current().policy_flags)

    def _place(self, request: web.Request) -> tuple[str, policies.Level]:
        owner = request.match_info.get("id")
        if owner is None:
            return INSTANCE_ID, policies.INSTANCE_LEVEL
        if not self._current().orgs.exists(owner):
            raise BadControl(f"organization: there is no organization {owner}")
        return owner, policies.ORG

    def _view(self, owner: str, level: policies.Level) -> dict[str, Any]:
        zitadel = self._current()
        known, side = zitadel.fields_of_policy, zitadel.read_side
        written = written_policy(zitadel.log.of(owner), level.prefix)
        own = side.row(owner, level.prefix)
        shown = own or side.row(INSTANCE_ID, INSTANCE_POLICY)
        return {
            "shown": _all_values(shown, known) if shown else None,
            "inherited": own is None and level is policies.ORG,
            "written": _all_values(written, known) if written else None,
        }


def _all_values(policy: Policy | None, known: Mapping[str, Kind]) -> dict[str, Any]:
    """Return all values of a policy, or those that a new policy begins with."""
    zero = {name: _ZERO[kind] for name, kind in known.items()}
    values = policy.values if policy else {}
    return zero | {name: value for name, value in values.items() if name in known}


def _fits(kind: Kind, value: object) -> bool:
    if kind is Kind.UINT64:
        return type(value) is int and value >= 0
    return type(value) is type(_ZERO[kind])
