"""What the emulator's tests share: calls as a client of ZITADEL makes them."""

from typing import Any

import httpx

from zitadel_notification_operator.emulator.server import Emulator

INSTANCE = "280000000000000001"
OWN = "280000000000000002"
ACME = "280000000000000101"
GLOBEX = "280000000000000102"

ADMIN = "/admin/v1/policies/notification"
POLICY = "/management/v1/policies/notification"
DEFAULT = "/management/v1/policies/default/notification"
ME = "/management/v1/orgs/me"


class Api:
    """A client with the owner's token; every part of a call can be changed."""

    def __init__(self, emulator: Emulator, client: httpx.AsyncClient) -> None:
        """Talk to a served emulator."""
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
        """Make a call; `body` is sent as JSON, or verbatim when it is a text."""
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

    async def write(self, method: str, org: str | None, value: bool) -> httpx.Response:
        """Write the policy of an organization, or the instance's without one."""
        body = {"passwordChange": value}
        return await self.call(method, POLICY if org else ADMIN, org, body=body)

    async def policy(self, org: str | None = None) -> dict[str, Any]:
        """Return the policy in force."""
        answer = await self.call("GET", POLICY if org else ADMIN, org)
        answer.raise_for_status()
        policy: dict[str, Any] = answer.json()["policy"]
        return policy


def outcome(response: httpx.Response) -> tuple[int, int, str]:
    """Return HTTP status, code and error id; 0 and "" where there are none."""
    body = response.json()
    details = body.get("details", [])
    error_id = details[0]["id"] if isinstance(details, list) and details else ""
    return response.status_code, body.get("code", 0), error_id
