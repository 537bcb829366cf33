"""The part of the control path that manages service users and their credentials."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from .access import INSTANCE
from .control_input import Handlers, moment, read_object, roles_of, text_of
from .faults import BadControl
from .zitadel import CREDENTIAL_ORGANIZATION, INSTANCE_ID, Zitadel

_USER_FIELDS = {"roles", "organization", "home", "expiration", "name"}
_CREDENTIALS = ("token", "key", "secret")


class UserControl:
    """The HTTP handlers for users and their tokens, keys and secrets."""

    def __init__(self, zitadel: Callable[[], Zitadel]) -> None:
        """Attach to the instance that a function returns."""
        self._current = zitadel

    @property
    def _zitadel(self) -> Zitadel:
        return self._current()

    def handlers(self) -> Handlers:
        """Return the handlers by verb and path, for `Control` to register."""
        return {
            ("GET", "users"): self._list_users,
            ("POST", "users"): self._add_user,
            ("PUT", "users/{id}"): self._change_user,
            ("POST", "users/{id}/credentials"): self._add_credential,
            ("DELETE", "users/{id}/keys/{key}"): self._remove_key,
            ("DELETE", "users/{id}/secret"): self._remove_secret,
            ("GET", "tokens"): self._list_tokens,
            ("POST", "tokens"): self._add_token,
            ("DELETE", "tokens/{token}"): self._revoke,
        }

    async def _list_users(self, _: web.Request) -> web.Response:
        users = [
            {
                "userId": user.id,
                "userName": user.user_name,
                "organization": user.organization,
                "state": "active" if user.active else "deactivated",
                "roles": {
                    "" if m.aggregate == INSTANCE_ID else m.aggregate: list(m.roles)
                    for m in self._zitadel.access.members.of_user(user.id)
                },
            }
            for user in self._zitadel.access.all()
        ]
        return web.json_response(users)

    async def _add_user(self, request: web.Request) -> web.Response:
        known = {*_USER_FIELDS, "userName", "credential", "token"}
        content = await read_object(request, known)
        memberships, home = self._place(content)
        kind = text_of(content, "credential") or _CREDENTIALS[0]
        _check_credential(kind)
        end, token = moment(content), self._token(content, kind)
        self._zitadel.access.end(end)
        user = self._zitadel.add_user(
            memberships,
            home,
            name=text_of(content, "name"),
            user_name=text_of(content, "userName"),
        )
        shown = {"userId": user.id, "userName": user.user_name}
        made = {**shown, **self._credential(user.id, kind, end, token)}
        return web.json_response(made, status=201)

    async def _change_user(self, request: web.Request) -> web.Response:
        content = await read_object(request, {"state", "roles", "organization"})
        user = self._user(request)
        state = text_of(content, "state")
        if state not in {"", "deactivated", "reactivated"}:
            raise BadControl("state: must be deactivated or reactivated")
        if "roles" in content:
            where = self._organization(content, "organization") or INSTANCE_ID
            self._zitadel.access.members.replace(where, user, roles_of(content))
        if state:
            active = state == "reactivated"
            self._zitadel.access.set_active(user, "", active=active)
        return web.json_response({})

    async def _add_credential(self, request: web.Request) -> web.Response:
        content = await read_object(request, {"credential", "expiration", "token"})
        kind = text_of(content, "credential")
        _check_credential(kind)
        what = (kind, moment(content), self._token(content, kind))
        made = self._credential(self._user(request), *what)
        return web.json_response(made, status=201)

    async def _remove_key(self, request: web.Request) -> web.Response:
        user = self._user(request)
        self._zitadel.keys.remove_key(user, request.match_info["key"])
        return web.json_response({})

    async def _remove_secret(self, request: web.Request) -> web.Response:
        self._zitadel.keys.remove_secret(self._user(request))
        return web.json_response({})

    async def _list_tokens(self, _: web.Request) -> web.Response:
        return web.json_response(self._zitadel.access.tokens())

    async def _add_token(self, request: web.Request) -> web.Response:
        content = await read_object(request, {*_USER_FIELDS, "token"})
        memberships, home = self._place(content)
        made = self._zitadel.add_token(
            text_of(content, "token"),
            memberships,
            home,
            expiration=moment(content),
            name=text_of(content, "name"),
        )
        shown = {"token": made.text, "tokenId": made.id, "userId": made.user}
        return web.json_response(shown, status=201)

    async def _revoke(self, request: web.Request) -> web.Response:
        if not self._zitadel.access.revoke(request.match_info["token"]):
            raise BadControl("token: there is no live token with this id or text")
        return web.json_response({})

    def _credential(self, user: str, kind: str, end: str, token: str) -> dict[str, Any]:
        match kind:
            case "key":
                key = self._zitadel.keys.add_key(user, "", end)[0]
                return {"keyId": key.id, "keyFile": key.content}
            case "secret":
                secret = self._zitadel.keys.set_secret(user)[0]
                name = self._zitadel.access.known(user).user_name
                return {"clientId": name, "clientSecret": secret}
            case _:
                made = self._zitadel.access.add_token(user, "", end, token)[0]
                return {"token": made.text, "tokenId": made.id}

    def _token(self, content: dict[str, Any], kind: str) -> str:
        """Return the requested text of a new token; empty if it is to be generated."""
        token = text_of(content, "token")
        if token and kind != _CREDENTIALS[0]:
            raise BadControl(f"token: goes with the credential {_CREDENTIALS[0]} alone")
        if token and self._zitadel.access.user(token):
            raise BadControl("token: is in use")
        return token

    def _user(self, request: web.Request) -> str:
        user = request.match_info["id"]
        if self._zitadel.access.find(user) is None:
            raise BadControl(f"user: there is no user {user}")
        return user

    def _organization(self, content: dict[str, Any], name: str) -> str:
        org = text_of(content, name)
        if org and not self._zitadel.orgs.exists(org):
            raise BadControl(f"{name}: there is no organization {org}")
        return org

    def _place(self, content: dict[str, Any]) -> tuple[dict[str, list[str]], str]:
        """Return a new user's roles by organization, and the owning organization."""
        where = self._organization(content, "organization")
        home = self._organization(content, "home") or where or CREDENTIAL_ORGANIZATION
        roles = roles_of(content)
        return {where or INSTANCE: roles} if roles else {}, home


def _check_credential(kind: str) -> None:
    if kind not in _CREDENTIALS:
        raise BadControl(f"credential: must be one of {', '.join(_CREDENTIALS)}")
