"""ZITADEL's checks of a call, and their order."""

from typing import Any

import pytest

from shared.api import ACME, ADMIN, GLOBEX, ME, OWN, POLICY, Api, outcome
from zitadel_emulator.checks import Incoming

BAD_JSON = "{"
WRONG_HOST = {"Host": "nosuch.example"}
NO_TOKEN = {"Authorization": ""}
BAD_TOKEN = {"Authorization": "Bearer nosuch"}
NO_ORG = {"x-zitadel-orgid": "1"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        ("GET", "/admin/v1/nosuch", None, WRONG_HOST | NO_TOKEN, (404, 5, "")),
        ("PATCH", ADMIN, BAD_JSON, WRONG_HOST | NO_TOKEN, (405, 12, "")),
        ("PUT", ADMIN, BAD_JSON, WRONG_HOST | NO_TOKEN, (400, 3, "")),
        ("PUT", ADMIN, "{}", WRONG_HOST | NO_TOKEN, (404, 5, "")),
        ("PUT", ADMIN, "{}", NO_TOKEN | NO_ORG, (401, 16, "")),
        ("PUT", ADMIN, "{}", BAD_TOKEN | NO_ORG, (401, 16, "AUTH-7fs1e")),
        ("PUT", ADMIN, "{}", NO_ORG, (403, 7, "AUTH-Bs7Ds")),
    ],
    ids=["route", "verb", "json", "host", "header", "token", "organization"],
)
async def test_first_failing_check_answers(
    api: Api,
    method: str,
    path: str,
    body: str | None,
    headers: dict[str, str],
    expected: tuple[int, int, str],
) -> None:
    """Each request fails all checks from the named one on; that one responds."""
    answer = await api.call(method, path, body=body, headers=headers)
    assert outcome(answer) == expected


async def test_membership_comes_before_permission(api: Api) -> None:
    """No membership is 404, a membership without the permission 403."""
    api.emulator.zitadel.add_token("none", {})
    api.emulator.zitadel.add_token("viewer", {ACME: {"ORG_OWNER_VIEWER"}}, ACME)
    body = {"passwordChange": True}
    for token, org, expected in (
        ("none", ACME, (404, 5, "AUTHZ-cdgFk")),
        ("viewer", GLOBEX, (404, 5, "AUTHZ-cdgFk")),
        ("viewer", ACME, (403, 7, "AUTH-5mWD2")),
    ):
        answer = await api.call("POST", POLICY, org, token=token, body=body)
        assert outcome(answer) == expected
    assert (await api.call("GET", POLICY, ACME, token="viewer")).status_code == 200
    answer = await api.call("GET", ADMIN, token="viewer")
    assert outcome(answer) == (403, 7, "AUTH-5mWD2")


@pytest.mark.parametrize(
    ("role", "org_write", "instance_read", "instance_write", "info"),
    [
        ("IAM_OWNER", 200, 200, 200, 200),
        ("IAM_OWNER_VIEWER", 403, 200, 403, 200),
        ("IAM_ORG_MANAGER", 200, 403, 403, 403),
        ("IAM_LOGIN_CLIENT", 403, 200, 403, 200),
    ],
)
async def test_instance_roles(
    api: Api,
    role: str,
    org_write: int,
    instance_read: int,
    instance_write: int,
    info: int,
) -> None:
    """An instance-wide role counts in every organization."""
    made = await api.control("POST", "tokens", {"roles": [role]})
    token = made.json()["token"]
    for method, path, org, expected in (
        ("POST", POLICY, ACME, org_write),
        ("GET", ADMIN, None, instance_read),
        ("PUT", ADMIN, None, instance_write),
        ("GET", "/admin/v1/instances/me", None, info),
    ):
        body: dict[str, Any] | None = {} if method in {"POST", "PUT"} else None
        answer = await api.call(method, path, org, token=token, body=body)
        assert answer.status_code == expected


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("bearer owner-token-5e1", "invalid auth header (AUTH-toLo1)"),
        ("Bearer", "invalid auth header (AUTH-toLo1)"),
        ("Bearer a b", "invalid auth header (AUTH-toLo1)"),
        ("Basic Zm9vOmJhcg==", "invalid auth header (AUTH-toLo1)"),
        ("Bearer nosuch", "Errors.Token.Invalid (AUTH-7fs1e)"),
    ],
)
async def test_refused_tokens_say_so_twice(api: Api, header: str, message: str) -> None:
    """The message of a 401 is in WWW-Authenticate, too."""
    answer = await api.call("GET", ADMIN, headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json()["message"] == message
    assert answer.headers["WWW-Authenticate"] == message


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8085"}, 200),
        ({"Host": "nosuch"}, 404),
        ({"Host": "nosuch", "x-zitadel-instance-host": "localhost"}, 200),
        ({"Host": "localhost", "x-zitadel-instance-host": "nosuch"}, 404),
        ({"Host": "localhost", "x-forwarded-host": "nosuch"}, 404),
        ({"Host": "nosuch", "x-zitadel-forwarded": 'proto=http;host="localhost"'}, 200),
        ({"Host": "nosuch", "Forwarded": "host=localhost"}, 404),
        ({"Host": "localhost", "x-zitadel-public-host": "nosuch"}, 404),
        ({"Host": "localhost", "x-zitadel-public-host": "127.0.0.1"}, 200),
    ],
)
async def test_hosts(api: Api, headers: dict[str, str], expected: int) -> None:
    """The first header that is set names the instance; its port does not count."""
    answer = await api.call("GET", ADMIN, headers=headers)
    assert answer.status_code == expected
    if expected == 404:
        assert outcome(answer) == (404, 5, "")
        assert "unable to set instance" in answer.json()["message"]


@pytest.mark.parametrize("org", [None, ""])
async def test_empty_organization_header_is_the_callers_own(
    api: Api, org: str | None
) -> None:
    """An empty header is silently the credential's own organization."""
    answer = await api.call("GET", ME, org)
    assert answer.json()["org"]["id"] == OWN


@pytest.mark.parametrize(("value", "org"), [(f"  {ACME} ", ACME), ("  ", "")])
def test_blanks_around_the_organization_are_trimmed(value: str, org: str) -> None:
    """The header may have blanks around the id."""
    request = Incoming("GET", ME, {"x-zitadel-orgid": value}, b"")
    assert request.organization == org


async def test_body_of_a_delete_is_ignored(api: Api) -> None:
    """This includes a malformed one."""
    await api.write("POST", ACME, value=True)
    answer = await api.call("DELETE", POLICY, ACME, body=BAD_JSON)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        '{"passwordChange":"true"}',
        '{"passwordChange":1}',
        '{"passwordChange":true,"password_change":true}',
        '{"passwordChange":true,"passwordChange":true}',
        '{"passwordChange":NaN}',
        '{"passwordChange":tru',
        "[]",
        "null",
        '"x"',
        "{",
    ],
)
async def test_malformed_bodies(api: Api, body: str) -> None:
    """They get 400 and code 3 without details."""
    assert outcome(await api.call("PUT", ADMIN, body=body)) == (400, 3, "")


@pytest.mark.parametrize("body", ["", "  ", "{}", '{"passwordChange":null}', "{}{"])
async def test_empty_bodies_mean_false(api: Api, body: str) -> None:
    """Bytes after the first JSON value are ignored, too."""
    assert (await api.call("PUT", ADMIN, body=body)).status_code == 200
    assert "passwordChange" not in await api.policy()


async def test_texts_follow_the_language_and_ids_do_not(api: Api) -> None:
    """ZITADEL translates messages by Accept-Language."""
    english = await api.call("DELETE", POLICY, ACME)
    german = await api.call("DELETE", POLICY, ACME, headers={"Accept-Language": "de"})
    assert outcome(english) == outcome(german) == (404, 5, "ORG-x029n1s")
    assert english.json()["message"] != german.json()["message"]
