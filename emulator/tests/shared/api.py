"""A client of ZITADEL for the emulator's tests."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt

from zitadel_emulator.server import Emulator

INSTANCE = "280000000000000001"
OWN = "280000000000000002"
ACME = "280000000000000101"
GLOBEX = "280000000000000102"

TOKEN = "/oauth/v2/token"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
API_SCOPE = "urn:zitadel:iam:org:project:id:zitadel:aud"

ADMIN = "/admin/v1/policies/notification"
POLICY = "/management/v1/policies/notification"
DEFAULT = "/management/v1/policies/default/notification"
ME = "/management/v1/orgs/me"


class Api:
    """A client with the owner's token; every part of a call can be changed."""

    def __init__(self, emulator: Emulator, client: httpx.AsyncClient) -> None:
        """Create a client of a running emulator."""
        self.emulator = emulator
        self.client = client

    async def call(
        self,
        method: str,
        path: str,
        org: str | None = None,
        *,
        token: str | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Make a call; `body` is sent as JSON, or unchanged if it is a text."""
        sent = {"Authorization": f"Bearer {token or self.emulator.token}"}
        if org is not None:
            sent["x-zitadel-orgid"] = org
        sent |= headers or {}
        text = {"content": body} if isinstance(body, str) else {"json": body}
        return await self.client.request(
            method, path, headers=sent, **({} if body is None else text)
        )

    async def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Make a call of the control path, without a token."""
        extra = {} if body is None else {"json": body}
        return await self.client.request(method, f"/emulator/v1/{path}", **extra)

    async def user(self, credential: str = "token", **fields: Any) -> dict[str, Any]:
        """Create a service user with a credential over the control path."""
        content = {"credential": credential, "roles": ["IAM_OWNER"], **fields}
        answer = await self.control("POST", "users", content)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made

    async def token(
        self,
        signed: str | None = None,
        scope: str | None = API_SCOPE,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **fields: str,
    ) -> httpx.Response:
        """Call the token endpoint with an assertion or client credentials."""
        form = {"grant_type": BEARER, "assertion": signed} if signed else {}
        form |= fields | ({} if scope is None else {"scope": scope})
        basic = httpx.USE_CLIENT_DEFAULT if auth is None else httpx.BasicAuth(*auth)
        return await self.client.post(TOKEN, data=form, headers=headers, auth=basic)

    def sign(self, key: Mapping[str, str], **what: Any) -> str:
        """Return a valid assertion for this emulator, with these changes.

        Args:
            key: The key file.
            what: Claims, `kid`, `alg` or, in seconds from now, `iat` and `exp`.
        """
        now = self.emulator.zitadel.log.clock()
        begin = now + timedelta(seconds=what.pop("iat", -5))
        length = now + timedelta(seconds=what.pop("exp", 3600)) - begin
        audience = what.pop("aud", self.emulator.url)
        return assertion(key, audience, begin, length, **what)

    async def write(self, method: str, org: str | None, value: bool) -> httpx.Response:
        """Write the policy of an organization, or of the instance."""
        body = {"passwordChange": value}
        return await self.call(method, POLICY if org else ADMIN, org, body=body)

    async def policy(self, org: str | None = None) -> dict[str, Any]:
        """Return the policy in force."""
        answer = await self.call("GET", POLICY if org else ADMIN, org)
        answer.raise_for_status()
        policy: dict[str, Any] = answer.json()["policy"]
        return policy


def assertion(
    key: Mapping[str, str],
    audience: str | list[str],
    begin: datetime,
    length: timedelta,
    **what: Any,
) -> str:
    """Return the assertion that the owner of a key file sends to the token endpoint.

    Args:
        key: The key file.
        audience: The claim `aud`.
        begin: The claim `iat`.
        length: The seconds from `iat` to `exp`.
        what: Other claims, `kid` and `alg`; None leaves a claim out.
    """
    kid, alg = what.pop("kid", key["keyId"]), what.pop("alg", "RS256")
    claims = {
        "iss": key["userId"],
        "sub": key["userId"],
        "aud": audience,
        "iat": int(begin.timestamp()),
        "exp": int((begin + length).timestamp()),
        **what,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key["key"], alg, headers={"kid": kid})


def outcome(response: httpx.Response) -> tuple[int, int, str]:
    """Return HTTP status, code and error id, or 0 and "" if they are missing."""
    body = response.json()
    details = body.get("details", [])
    error_id = details[0]["id"] if isinstance(details, list) and details else ""
    return response.status_code, body.get("code", 0), error_id
