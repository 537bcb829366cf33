"""Service users: permissions, memberships, keys, and their creation in one call."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared.api import ACME, ADMIN, GLOBEX, INSTANCE, OWN, POLICY, Api, outcome
from zitadel_emulator.access import INSTANCE as EVERYWHERE
from zitadel_emulator.permissions import PERMISSIONS
from zitadel_emulator.server import new_emulator

PERMISSIONS_OF_MINE = "/auth/v1/permissions/zitadel/me/_search"
MEMBERSHIPS = "/auth/v1/memberships/me/_search"
USERS = "/management/v1/users"


async def permissions(api: Api, token: str, org: str | None = None) -> list[str]:
    """Return the permissions of a caller in an organization."""
    answer = await api.call("POST", PERMISSIONS_OF_MINE, org, token=token, body={})
    answer.raise_for_status()
    found: list[str] = answer.json().get("result", [])
    return found


@pytest.mark.parametrize("role", ["IAM_OWNER", "IAM_ORG_MANAGER", "IAM_LOGIN_CLIENT"])
async def test_permissions_of_an_instance_role(api: Api, role: str) -> None:
    """They are the same in every organization's context."""
    token = (await api.user(roles=[role]))["token"]
    for org in (None, ACME, GLOBEX):
        assert await permissions(api, token, org) == list(PERMISSIONS[role])


async def test_permissions_depend_on_the_context(api: Api) -> None:
    """Roles in the organization count; without any the response is empty."""
    made = await api.user(roles=["ORG_SETTINGS_MANAGER"], organization=ACME)
    token = made["token"]
    assert "policy.write" in await permissions(api, token)
    assert "policy.write" in await permissions(api, token, ACME)
    answer = await api.call("POST", PERMISSIONS_OF_MINE, GLOBEX, token=token)
    assert answer.json() == {}
    unknown = await api.call("POST", PERMISSIONS_OF_MINE, "nosuch", token=token)
    assert outcome(unknown) == (403, 7, "AUTH-Bs7Ds")


async def test_permissions_of_several_roles(api: Api) -> None:
    """Each is named once: the organization's first, then the instance's."""
    made = await api.user(roles=["ORG_OWNER"], organization=ACME)
    await api.control("PUT", f"users/{made['userId']}", {"roles": ["IAM_OWNER_VIEWER"]})
    found = await permissions(api, made["token"], ACME)
    assert len(found) == len(set(found))
    assert set(found) == {*PERMISSIONS["ORG_OWNER"], *PERMISSIONS["IAM_OWNER_VIEWER"]}
    assert found[0] == "org.read"


@pytest.mark.parametrize(
    ("permission", "roles"),
    [
        ("iam.policy.write", {"IAM_OWNER"}),
        ("iam.policy.delete", {"IAM_OWNER"}),
        ("iam.policy.read", {"IAM_OWNER", "IAM_OWNER_VIEWER", "IAM_LOGIN_CLIENT"}),
        ("iam.read", {"IAM_OWNER", "IAM_OWNER_VIEWER", "IAM_LOGIN_CLIENT"}),
        ("events.read", {"IAM_OWNER", "IAM_OWNER_VIEWER"}),
        (
            "policy.write",
            {"IAM_OWNER", "IAM_ORG_MANAGER", "ORG_OWNER", "ORG_SETTINGS_MANAGER"},
        ),
        (
            "policy.delete",
            {"IAM_OWNER", "IAM_ORG_MANAGER", "ORG_OWNER", "ORG_SETTINGS_MANAGER"},
        ),
    ],
)
def test_roles_that_hold_a_permission(permission: str, roles: set[str]) -> None:
    """This is ZITADEL's default mapping."""
    assert {r for r, names in PERMISSIONS.items() if permission in names} == roles


async def test_memberships(api: Api) -> None:
    """Organizations come first, then the instance, with display names."""
    made = await api.user(roles=["ORG_OWNER"], organization=ACME)
    await api.control("PUT", f"users/{made['userId']}", {"roles": ["IAM_OWNER"]})
    answer = await api.call("POST", MEMBERSHIPS, token=made["token"], body={})
    content = answer.json()
    assert content["details"]["totalResult"] == "2"
    org, instance = content["result"]
    assert {k: v for k, v in org.items() if k != "details"} == {
        "userId": made["userId"],
        "roles": ["ORG_OWNER"],
        "displayName": "ACME",
        "orgId": ACME,
    }
    assert instance["iam"] is True
    assert instance["details"]["resourceOwner"] == INSTANCE
    second = {"query": {"offset": 1, "limit": 1}}
    answer = await api.call("POST", MEMBERSHIPS, token=made["token"], body=second)
    assert answer.json()["result"] == [instance]
    nobody = await api.user(roles=[])
    answer = await api.call("POST", MEMBERSHIPS, token=nobody["token"], body={})
    assert answer.json().keys() == {"details"}


async def test_roles_change_over_the_control_path(api: Api) -> None:
    """They are given, replaced and removed, per instance or organization."""
    made = await api.user(roles=[])
    path, token = f"users/{made['userId']}", made["token"]
    assert (await api.call("GET", POLICY, ACME, token=token)).status_code == 404
    for content, status in (
        ({"roles": ["ORG_OWNER_VIEWER"], "organization": ACME}, 403),
        ({"roles": ["ORG_OWNER"], "organization": ACME}, 200),
        ({"roles": [], "organization": ACME}, 404),
        ({"roles": ["IAM_OWNER"]}, 409),
        ({"roles": []}, 404),
    ):
        assert (await api.control("PUT", path, content)).status_code == 200
        answer = await api.call("POST", POLICY, ACME, token=token, body={})
        assert answer.status_code == status


async def test_key_of_the_api(api: Api) -> None:
    """The key file is base64; its key is PKCS#1, RSA of 2048 bits."""
    user = (await api.user())["userId"]
    end = "2040-01-02T03:04:05Z"
    sent = {"type": "KEY_TYPE_JSON", "expirationDate": end}
    answer = await api.call("POST", f"{USERS}/{user}/keys", body=sent)
    content = answer.json()
    assert content.keys() == {"keyId", "keyDetails", "details"}
    file = json.loads(base64.b64decode(content["keyDetails"]))
    assert {k: v for k, v in file.items() if k != "key"} == {
        "type": "serviceaccount",
        "keyId": content["keyId"],
        "expirationDate": end,
        "userId": user,
    }
    assert file["key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    key = load_pem_private_key(file["key"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 2048
    assert (await api.token(api.sign(file))).status_code == 200
    endless = await api.call("POST", f"{USERS}/{user}/keys")
    details = json.loads(base64.b64decode(endless.json()["keyDetails"]))
    assert details["expirationDate"] == "9999-12-31T23:59:59Z"
    past = {"expirationDate": "2020-01-01T00:00:00Z"}
    refused = await api.call("POST", f"{USERS}/{user}/keys", body=past)
    assert outcome(refused) == (400, 3, "DOMAIN-dv3t5")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "keys"),
        ("DELETE", "keys/1"),
        ("PUT", "secret"),
        ("DELETE", "secret"),
        ("POST", "pats"),
    ],
)
async def test_unknown_users(api: Api, method: str, path: str) -> None:
    """The id of an organization is no user either."""
    for user in ("1", ACME):
        answer = await api.call(method, f"{USERS}/{user}/{path}", body={})
        assert outcome(answer) == (400, 9, "COMMAND-uXHNj")


async def test_user_names_are_unique(api: Api) -> None:
    """Client credentials use them; generated ones never collide."""
    for _ in range(2):
        await api.user(name="Twice")
    body = {"userName": "once", "name": "Once"}
    assert (await api.call("POST", f"{USERS}/machine", body=body)).is_success
    answer = await api.call("POST", f"{USERS}/machine", body=body)
    assert outcome(answer) == (409, 6, "V3-DKcYh")
    answer = await api.call("POST", f"{USERS}/machine", body={"name": "x"})
    assert outcome(answer) == (400, 3, "")
    listed = (await api.control("GET", "users")).json()
    names = [user["userName"] for user in listed]
    assert len(names) == len(set(names)) == 4


async def test_users_are_listed(api: Api) -> None:
    """They have home, state, and roles by organization ("" is the instance)."""
    made = await api.user("secret", userName="it", organization=ACME, home=GLOBEX)
    await api.control("PUT", f"users/{made['userId']}", {"state": "deactivated"})
    owner, user = (await api.control("GET", "users")).json()
    assert owner["roles"] == {OWN: ["ORG_OWNER"], "": ["IAM_OWNER"]}
    assert user == {
        "userId": made["userId"],
        "userName": "it",
        "organization": GLOBEX,
        "state": "deactivated",
        "roles": {ACME: ["IAM_OWNER"]},
    }


async def test_credentials_are_made_and_taken(api: Api) -> None:
    """A user may have many, which can be removed one by one."""
    made = await api.user("key")
    path = f"users/{made['userId']}"
    more: dict[str, Any] = {}
    for kind in ("token", "key", "secret"):
        content = {"credential": kind}
        more |= (await api.control("POST", f"{path}/credentials", content)).json()
    assert (await api.call("GET", ADMIN, token=more["token"])).is_success
    for gone in (f"keys/{made['keyId']}", "secret"):
        assert (await api.control("DELETE", f"{path}/{gone}")).status_code == 200
        assert (await api.control("DELETE", f"{path}/{gone}")).status_code == 400
    assert (await api.token(api.sign(made["keyFile"]))).status_code == 500
    assert (await api.token(api.sign(more["keyFile"]))).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "content", "field"),
    [
        ("POST", "users", {"credential": "password"}, "credential"),
        ("POST", "users", {"roles": ["NOSUCH"]}, "roles"),
        ("POST", "users", {"organization": "nosuch"}, "organization"),
        ("POST", "users", {"home": "nosuch"}, "home"),
        ("POST", "users", {"expiration": "soon"}, "expiration"),
        ("POST", "users", {"expiration": "2020-01-01T00:00:00Z"}, "Errors.AuthNKey"),
        ("POST", "users", {"userName": "emulator-machine"}, "User already exists"),
        ("PUT", "users/1", {"state": "deactivated"}, "user"),
        ("PUT", "users/281000000000000001", {"state": "gone"}, "state"),
        ("POST", "users/281000000000000001/credentials", {}, "credential"),
        ("POST", f"organizations/{ACME}/domains", {}, "domain"),
        (
            "POST",
            f"organizations/{ACME}/domains",
            {"domain": "a", "primary": 1},
            "prim",
        ),
        ("PUT", f"organizations/{ACME}", {}, "state"),
        ("PUT", f"organizations/{ACME}", {"name": "Globex"}, "Organisation's name"),
        ("POST", "domains", {"domain": ""}, "domain"),
        ("PUT", "behavior", {"token_errors": "nosuch"}, "token_errors"),
        ("PUT", "behavior", {"token_errors": 1}, "token_errors"),
        ("PUT", "behavior", {"token_lifetime": -1}, "token_lifetime"),
    ],
)
async def test_bad_requests_name_the_field(
    api: Api, method: str, path: str, content: dict[str, Any], field: str
) -> None:
    """The response is 400 and a sentence; nothing is created."""
    before = len(api.emulator.zitadel.log.all)
    answer = await api.control(method, path, content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(field)
    assert len(api.emulator.zitadel.log.all) == before


async def test_renaming_over_the_control_path(api: Api) -> None:
    """A new name, a state, or both can be set."""
    both = {"name": "Initech", "state": "deactivated"}
    assert (await api.control("PUT", f"organizations/{ACME}", both)).status_code == 200
    listed = (await api.control("GET", "organizations")).json()
    found = next(org for org in listed if org["id"] == ACME)
    assert (found["name"], found["state"]) == ("Initech", "ORG_STATE_INACTIVE")


def test_each_token_has_an_id_of_its_own() -> None:
    """This holds for a text that is used again after a removal, too."""
    zitadel = new_emulator("token").zitadel
    access, user = zitadel.access, zitadel.add_user({EVERYWHERE: ["IAM_OWNER"]}).id
    access.add_token(user, text="a")
    assert access.revoke("a")
    ids = [access.add_token(user, text=text)[0].id for text in ("a", "b")]
    assert len(set(ids)) == 2
    assert access.revoke(ids[0])
    assert access.user("b") is not None
