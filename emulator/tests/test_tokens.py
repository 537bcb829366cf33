"""The token endpoint: assertions, client secrets, and what their tokens allow."""

from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from shared.api import ACME, ADMIN, API_SCOPE, BEARER, ME, TOKEN, Api, outcome
from zitadel_emulator.signing import BadAssertion, subject


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    """Return status, error and description."""
    body = response.json()
    return response.status_code, body["error"], body["error_description"]


async def opens(api: Api, response: httpx.Response) -> int:
    """Return the status of an API call with a new token."""
    token = response.json()["access_token"]
    return (await api.call("GET", ADMIN, token=token)).status_code


async def test_assertion_buys_a_token(api: Api) -> None:
    """The token is opaque, valid for half a day, and its user's."""
    made = await api.user("key")
    answer = await api.token(api.sign(made["keyFile"]))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    content = answer.json()
    assert content.keys() == {"access_token", "token_type", "expires_in"}
    assert (content["token_type"], content["expires_in"]) == ("Bearer", 43199)
    token = content["access_token"]
    who = await api.call("GET", "/auth/v1/users/me", token=token)
    assert who.json()["user"]["id"] == made["userId"]
    assert await opens(api, answer) == 200


async def test_scope_decides_what_a_token_opens(api: Api) -> None:
    """Without ZITADEL's own audience every call refuses it."""
    key = (await api.user("key"))["keyFile"]
    for scope, status in ((f"openid {API_SCOPE}", 200), ("openid", 401), ("x", 401)):
        answer = await api.token(api.sign(key), scope)
        assert answer.status_code == 200
        assert ("id_token" in answer.json()) is scope.startswith("openid")
        assert await opens(api, answer) == status
    bare = (await api.token(api.sign(key), "openid")).json()["access_token"]
    refused = await api.call("GET", ADMIN, token=bare)
    assert outcome(refused) == (401, 16, "AUTH-7fs1e")


async def test_id_token_is_signed_with_a_published_key(api: Api) -> None:
    """`jwks_uri` of discovery has the key."""
    key = (await api.user("key"))["keyFile"]
    answer = await api.token(api.sign(key), f"openid {API_SCOPE}")
    discovery = await api.client.get("/.well-known/openid-configuration")
    keys = (await api.client.get(discovery.json()["jwks_uri"])).json()
    text = answer.json()["id_token"]
    public = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(text)["kid"]]
    claims = jwt.decode(text, public, audience=key["userId"])
    assert claims["iss"] == discovery.json()["issuer"]
    assert claims["sub"] == key["userId"]


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"aud": ["x", "http://localhost:1"]},
        {"exp": 7200},
        {"iat": -3500},
        {"iat": 0.5},
        {"alg": "PS256"},
        {"jti": "1", "nbf": 4102444800},
    ],
    ids=str,
)
async def test_good_assertions(api: Api, what: dict[str, Any]) -> None:
    """`aud` may be a list; `exp` has no upper bound; `nbf` is ignored."""
    key = (await api.user("key"))["keyFile"]
    signed = api.sign(key, **{"aud": "http://localhost:1", **what})
    answer = await api.token(signed, headers={"Host": "localhost:1"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"aud": "http://localhost:1/"}, "aud"),
        ({"aud": "http://localhost"}, "aud"),
        ({"aud": "https://localhost:1"}, "aud"),
        ({"aud": "http://localhost:1/oauth/v2/token"}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": 1}, "argument"),
        ({"iat": -3700}, "iat: is missing or too old"),
        ({"iat": 10}, "iat: is in the future"),
        ({"exp": 0}, "exp"),
        ({"exp": -10, "iat": -100}, "exp"),
        ({"kid": "1"}, "kid"),
        ({"kid": ""}, "kid"),
        ({"iss": "1"}, "iss"),
        ({"sub": "1"}, "iss"),
        ({"sub": "1", "iss": "1"}, "kid"),
        ({"sub": None}, "iss"),
        ({"alg": "RS512"}, "alg"),
    ],
    ids=str,
)
async def test_bad_assertions(api: Api, what: dict[str, Any], reason: str) -> None:
    """All get the same response; the test checks the cause."""
    key = (await api.user("key"))["keyFile"]
    signed = api.sign(key, **{"aud": "http://localhost:1", **what})
    answer = await api.token(signed, headers={"Host": "localhost:1"})
    assert refusal(answer) == (500, "server_error", "Errors.Internal")
    zitadel = api.emulator.zitadel
    with pytest.raises(BadAssertion, match=reason):
        subject(signed, zitadel.keys, "http://localhost:1", zitadel.log.clock())


@pytest.mark.parametrize(
    ("generation", "expected"),
    [
        ("server_error", (500, "server_error", "Errors.Internal")),
        ("invalid_grant", (400, "invalid_grant", "assertion invalid")),
        ("invalid_client", (400, "invalid_client", "assertion invalid")),
    ],
)
async def test_generations_of_errors(
    api: Api, generation: str, expected: tuple[int, str, str]
) -> None:
    """The build decides how a bad assertion is refused."""
    await api.control("PUT", "behavior", {"token_errors": generation})
    assert refusal(await api.token("abc")) == expected
    answer = await api.token(auth=("nosuch", "x"), grant_type="client_credentials")
    assert refusal(answer) == (400, "invalid_client", "client not found")


async def test_assertion_of_another_key(api: Api) -> None:
    """A key signs for its own user only."""
    mine, other = [(await api.user("key"))["keyFile"] for _ in range(2)]
    forged = {**mine, "key": other["key"]}
    assert refusal(await api.token(api.sign(forged)))[0] == 500
    borrowed = {**mine, "userId": other["userId"]}
    assert refusal(await api.token(api.sign(borrowed)))[0] == 500
    for text in ("abc", "a.b.c", "é"):
        assert refusal(await api.token(text))[0] == 500


async def test_clock_of_the_server_counts(api: Api) -> None:
    """A clock that is an hour off makes good assertions invalid."""
    key = (await api.user("key"))["keyFile"]
    signed = api.sign(key)
    now = api.emulator.zitadel.log.clock() + timedelta(hours=2)
    api.emulator.zitadel.log.clock = lambda: now
    assert refusal(await api.token(signed))[0] == 500
    assert (await api.token(api.sign(key))).status_code == 200


async def test_removed_and_expired_keys(api: Api) -> None:
    """Their assertions are refused; tokens from before stay valid."""
    made = await api.user("key")
    bought = await api.token(api.sign(made["keyFile"]))
    path = f"/management/v1/users/{made['userId']}/keys/{made['keyId']}"
    assert (await api.call("DELETE", path)).is_success
    assert refusal(await api.token(api.sign(made["keyFile"])))[0] == 500
    assert await opens(api, bought) == 200
    assert outcome(await api.call("DELETE", path)) == (404, 5, "COMMAND-4m77G")
    end = api.emulator.zitadel.log.clock() + timedelta(minutes=1)
    made = await api.user("key", expiration=end.isoformat())
    assert (await api.token(api.sign(made["keyFile"]))).is_success
    api.emulator.zitadel.log.clock = lambda: end
    assert refusal(await api.token(api.sign(made["keyFile"])))[0] == 500


async def test_deactivated_user(api: Api) -> None:
    """It gets no new tokens, and the old ones are refused, until it is active."""
    made = await api.user("key")
    secret = await api.control(
        "POST", f"users/{made['userId']}/credentials", {"credential": "secret"}
    )
    auth = (secret.json()["clientId"], secret.json()["clientSecret"])
    bought = await api.token(api.sign(made["keyFile"]))
    path = f"users/{made['userId']}"
    await api.control("PUT", path, {"state": "deactivated"})
    expected = (400, "invalid_request", "Errors.User.NotActive")
    assert refusal(await api.token(api.sign(made["keyFile"]))) == expected
    credentials: dict[str, Any] = {"grant_type": "client_credentials"}
    assert refusal(await api.token(auth=auth, **credentials)) == expected
    assert await opens(api, bought) == 401
    await api.control("PUT", path, {"state": "reactivated"})
    assert await opens(api, bought) == 200


@pytest.mark.parametrize(
    ("name", "in_form"), [("plain", False), ("plain", True), ("a b+c:ü%", False)]
)
async def test_client_credentials(api: Api, name: str, in_form: bool) -> None:
    """Basic authentication with form-encoded parts, or two fields."""
    made = await api.user("secret", userName=name)
    assert made["clientId"] == name
    assert len(made["clientSecret"]) == 64
    pair: dict[str, Any] = {"client_id": name, "client_secret": made["clientSecret"]}
    fields: dict[str, Any] = {"grant_type": "client_credentials"}
    if in_form:
        answer = await api.token(**fields, **pair)
    else:
        quoted = httpx.QueryParams({name: made["clientSecret"]})
        user, _, secret = str(quoted).partition("=")
        answer = await api.token(auth=(user, secret), **fields)
    assert answer.status_code == 200
    assert await opens(api, answer) == 200


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (("nosuch", "x"), ("invalid_client", "client not found")),
        (("keyed", "x"), ("invalid_request", "Errors.User.Machine.Secret.NotExisting")),
        (("secretive", "x"), ("invalid_request", "Errors.User.Machine.Secret.Invalid")),
        (None, ("invalid_request", "client_id or client_assertion must be provided")),
    ],
)
async def test_refused_client_credentials(
    api: Api, auth: tuple[str, str] | None, expected: tuple[str, str]
) -> None:
    """The status is always 400, never 401."""
    await api.user("key", userName="keyed")
    await api.user("secret", userName="secretive")
    answer = await api.token(auth=auth, grant_type="client_credentials")
    assert refusal(answer) == (400, *expected)


async def test_new_secret_ends_the_old_one(api: Api) -> None:
    """A removal does so, too; both use ZITADEL's own API."""
    made = await api.user("secret")
    path = f"/management/v1/users/{made['userId']}/secret"
    new = (await api.call("PUT", path)).json()
    assert new["clientId"] == made["clientId"]
    fields: dict[str, Any] = {"grant_type": "client_credentials"}
    old = await api.token(auth=(made["clientId"], made["clientSecret"]), **fields)
    assert refusal(old)[0] == 400
    auth = (new["clientId"], new["clientSecret"])
    assert (await api.token(auth=auth, **fields)).status_code == 200
    assert (await api.call("DELETE", path)).is_success
    gone = await api.token(auth=auth, **fields)
    assert refusal(gone)[2] == "Errors.User.Machine.Secret.NotExisting"
    assert outcome(await api.call("DELETE", path)) == (400, 9, "COMMAND-coi82n")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"json": {"grant_type": BEARER}}, ("invalid_request", "grant_type missing")),
        ({"data": {}}, ("invalid_request", "grant_type missing")),
        ({"data": {"grant_type": BEARER}}, ("invalid_request", "assertion missing")),
        (
            {"data": {"grant_type": "foo"}},
            ("unsupported_grant_type", "foo not supported"),
        ),
    ],
)
async def test_senseless_requests(
    api: Api, request_: dict[str, Any], expected: tuple[str, str]
) -> None:
    """JSON is no form; each response says what is missing."""
    answer = await api.client.post(TOKEN, **request_)
    assert refusal(answer) == (400, *expected)


async def test_scope_is_needed(api: Api) -> None:
    """This holds for both grants; the assertion is checked first."""
    made = await api.user("key")
    secret = await api.user("secret")
    auth = (secret["clientId"], secret["clientSecret"])
    for scope in (None, "", " "):
        answer = await api.token(api.sign(made["keyFile"]), scope)
        assert refusal(answer)[:2] == (400, "invalid_request")
        answer = await api.token(
            None, scope, auth=auth, grant_type="client_credentials"
        )
        assert refusal(answer)[:2] == (400, "invalid_request")
    assert refusal(await api.token("abc", None))[0] == 500


async def test_two_ways_at_once(api: Api) -> None:
    """A client must not use Basic authentication and the fields together."""
    made = await api.user("secret")
    pair = (made["clientId"], made["clientSecret"])
    fields = dict(zip(("client_id", "client_secret"), pair, strict=True))
    answer = await api.token(auth=pair, grant_type="client_credentials", **fields)
    assert refusal(answer)[1] == "invalid_request"


async def test_issuer_is_the_one_of_the_request(api: Api) -> None:
    """Discovery and the token endpoint use the same headers."""
    key = (await api.user("key"))["keyFile"]
    for headers, address in (
        ({"Host": "localhost"}, "http://localhost"),
        ({"Host": "nosuch", "x-zitadel-instance-host": "localhost:2"}, "localhost:2"),
        ({"Host": "localhost", "X-Forwarded-Proto": "https"}, "https://localhost"),
        ({"Forwarded": "proto=https;host=localhost"}, "https://localhost"),
        ({"x-zitadel-public-host": "localhost:3"}, "http://localhost:3"),
    ):
        path = "/.well-known/openid-configuration"
        issuer = (await api.client.get(path, headers=headers)).json()["issuer"]
        assert issuer.endswith(address)
        answer = await api.token(api.sign(key, aud=issuer), headers=headers)
        assert answer.status_code == 200


async def test_outside_the_instance(api: Api) -> None:
    """The response is text: 404 for host and database, 429 if blocked."""
    signed = api.sign((await api.user("key"))["keyFile"])
    wrong = await api.token(signed, headers={"Host": "nosuch"})
    await api.control("PUT", "behavior", {"instance_blocked": True})
    blocked = await api.token(signed)
    refused = await api.call("GET", ADMIN)
    await api.control("PUT", "database", {"down": True})
    down = await api.token(signed)
    assert [a.status_code for a in (wrong, blocked, down)] == [404, 429, 404]
    for answer in (wrong, blocked, down):
        assert answer.headers["Content-Type"].startswith("text/plain")
    assert "unable to set instance" in wrong.text
    assert blocked.text == "Your ZITADEL instance is blocked."
    assert outcome(refused) == (429, 8, "LIMITS-molsj")


async def test_lifetime(api: Api) -> None:
    """It can be set; a token is refused after its expiry."""
    await api.control("PUT", "behavior", {"token_lifetime": 60})
    answer = await api.token(api.sign((await api.user("key"))["keyFile"]))
    assert answer.json()["expires_in"] == 60
    now = api.emulator.zitadel.log.clock()
    api.emulator.zitadel.log.clock = lambda: now + timedelta(seconds=58)
    assert await opens(api, answer) == 200
    api.emulator.zitadel.log.clock = lambda: now + timedelta(seconds=61)
    assert await opens(api, answer) == 401


async def test_faults_and_the_request_log_know_the_endpoint(api: Api) -> None:
    """It is like any other request, and no secret is logged."""
    key = (await api.user("key"))["keyFile"]
    await api.control("POST", "faults", {"path": TOKEN, "status": 503, "times": 1})
    signed = api.sign(key)
    assert (await api.token(signed)).status_code == 503
    token = (await api.token(signed)).json()["access_token"]
    logged = (await api.control("GET", "requests")).json()
    seen = [(r["method"], r["status"]) for r in logged if r["path"] == TOKEN]
    assert seen == [("POST", 503), ("POST", 200)]
    private = key["key"].splitlines()[2]
    for path in ("requests", "events", "tokens", "users"):
        text = (await api.control("GET", path)).text
        for secret in (signed, token, private):
            assert secret not in text


async def test_token_in_an_organization(api: Api) -> None:
    """Roles count as they do for a personal access token."""
    roles = {"roles": ["ORG_SETTINGS_MANAGER"], "organization": ACME}
    answer = await api.token(api.sign((await api.user("key", **roles))["keyFile"]))
    token = answer.json()["access_token"]
    mine = await api.call("GET", ME, token=token)
    assert mine.json()["org"]["id"] == ACME
    assert (await api.call("GET", ADMIN, token=token)).status_code == 403


async def test_forgotten_tokens(api: Api) -> None:
    """Expired tokens do not accumulate."""
    access, user = api.emulator.zitadel.access, (await api.user())["userId"]
    for _ in range(10_001):
        access.issue(user, 0, opens_api=True)
    text = access.issue(user, 60, opens_api=True)
    assert access.user(text) is not None
