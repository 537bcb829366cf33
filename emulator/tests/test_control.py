"""The rest of the control path: tokens, logs, the database, bad requests."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.api import ACME, ADMIN, ME, POLICY, Api, outcome


async def test_token_of_one_organization(api: Api) -> None:
    """Its user belongs to that organization and has its roles there only."""
    content = {"roles": ["ORG_SETTINGS_MANAGER"], "organization": ACME, "token": "mine"}
    made = (await api.control("POST", "tokens", content)).json()
    assert made["token"] == "mine"
    me = await api.call("GET", ME, token="mine")
    assert me.json()["org"]["id"] == ACME
    who = (await api.call("GET", "/auth/v1/users/me", token="mine")).json()["user"]
    assert who["id"] == made["userId"]
    assert {"tokenId": made["tokenId"], "userId": made["userId"]} in (
        await api.control("GET", "tokens")
    ).json()


@pytest.mark.parametrize("name", ["token", "tokenId"])
async def test_revoked_token(api: Api, name: str) -> None:
    """It may be named by its id or its text, and then gets 401."""
    made = (await api.control("POST", "tokens", {"roles": ["IAM_OWNER"]})).json()
    assert (await api.call("GET", ADMIN, token=made["token"])).status_code == 200
    assert (await api.control("DELETE", f"tokens/{made[name]}")).status_code == 200
    answer = await api.call("GET", ADMIN, token=made["token"])
    assert outcome(answer) == (401, 16, "AUTH-7fs1e")
    assert (await api.control("DELETE", f"tokens/{made[name]}")).status_code == 400


async def test_expired_token(api: Api) -> None:
    """An expiry in the future takes effect; one in the past is refused."""
    end = datetime.now(UTC) + timedelta(milliseconds=200)
    content = {"roles": ["IAM_OWNER"], "expiration": end.isoformat()}
    token = (await api.control("POST", "tokens", content)).json()["token"]
    assert (await api.call("GET", ADMIN, token=token)).status_code == 200
    api.emulator.zitadel.log.clock = lambda: end
    assert (await api.call("GET", ADMIN, token=token)).status_code == 401
    past = {"roles": ["IAM_OWNER"], "expiration": "2020-01-01T00:00:00Z"}
    assert (await api.control("POST", "tokens", past)).status_code == 400


async def test_logs_hold_no_token(api: Api) -> None:
    """Neither requests nor events contain a secret."""
    content = {"roles": ["IAM_OWNER"], "token": "canary-8c2"}
    await api.control("POST", "tokens", content)
    await api.call("PUT", ADMIN, token="canary-8c2", body={})
    for path in ("requests", "events", "tokens", "faults"):
        text = (await api.control("GET", path)).text
        assert "canary-8c2" not in text
        assert api.emulator.token not in text


async def test_request_log(api: Api) -> None:
    """It has method, path, organization, status, time and client, oldest first."""
    await api.call("GET", ADMIN)
    await api.write("PUT", ACME, value=True)
    logged = (await api.control("GET", "requests")).json()
    assert [
        (r["method"], r["path"], r["organization"], r["status"]) for r in logged
    ] == [
        ("GET", ADMIN, "", 200),
        ("PUT", POLICY, ACME, 404),
    ]
    assert logged[0]["time"] <= logged[1]["time"]
    assert logged[0]["user_agent"].startswith("python-httpx/")
    await api.control("DELETE", "requests")
    assert (await api.control("GET", "requests")).json() == []


async def test_database_down(api: Api) -> None:
    """API calls get 404, even without a token; health works, readiness does not."""
    await api.control("PUT", "database", {"down": True})
    for answer in (
        await api.call("GET", ADMIN),
        await api.call("PUT", POLICY, ACME, body={}),
        await api.call("GET", ADMIN, headers={"Authorization": ""}),
        await api.client.get("/admin/v1/healthz"),
    ):
        assert outcome(answer) == (404, 5, "")
        assert "unable to set instance" in answer.json()["message"]
        assert "QUERY-d3fas" in answer.json()["message"]
    assert (await api.client.get("/debug/healthz")).text == "ok"
    assert (await api.client.get("/debug/ready")).status_code == 412
    await api.control("PUT", "database", {"down": False})
    assert (await api.call("GET", ADMIN)).status_code == 200


async def test_discovery_on_a_wrong_host_is_text(api: Api) -> None:
    """Errors outside the API are not JSON."""
    path = "/.well-known/openid-configuration"
    answer = await api.client.get(path, headers={"Host": "nosuch"})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/plain")
    right = await api.client.get(path, headers={"Host": "localhost:1"})
    assert right.json()["issuer"] == "http://localhost:1"


@pytest.mark.parametrize(
    ("method", "path", "content", "field"),
    [
        ("PUT", "database", {"down": "yes"}, "down"),
        ("PUT", "database", {}, "down"),
        ("PUT", "behavior", {"nosuch": 1}, "nosuch"),
        ("PUT", "behavior", {"stale_reads": True}, "stale_reads"),
        ("PUT", "behavior", {"stale_reads": -1}, "stale_reads"),
        ("POST", "tokens", {"roles": "IAM_OWNER"}, "roles"),
        ("POST", "tokens", {"roles": ["NOSUCH"]}, "roles"),
        ("POST", "tokens", {"organization": "nosuch"}, "organization"),
        ("POST", "tokens", {"token": 1}, "token"),
        ("POST", "tokens", {"token": "owner-token-5e1"}, "token"),
        ("POST", "tokens", {"expiration": "soon"}, "expiration"),
        ("POST", "tokens", [], "the body"),
        ("PUT", f"organizations/{ACME}", {"state": "gone"}, "state"),
        ("POST", "organizations", {"name": 1}, "name"),
    ],
)
async def test_bad_requests_name_the_field(
    api: Api, method: str, path: str, content: object, field: str
) -> None:
    """The response is 400 and a sentence that starts with the field."""
    answer = await api.control(method, path, content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(field)


async def test_what_is_not_there(api: Api) -> None:
    """An unknown control call gets 404, and is no request to ZITADEL."""
    answer = await api.control("GET", "nosuch")
    assert (answer.status_code, "error" in answer.json()) == (404, True)
    text = await api.client.post("/emulator/v1/faults", content="{")
    assert text.status_code == 400
    assert text.json()["error"].startswith("the body must be JSON")
    assert (await api.control("GET", "requests")).json() == []
