"""Tokens are fetched once for all, in time, not in a loop, and never shown."""

import asyncio
import logging
from datetime import UTC, datetime
from urllib.parse import parse_qs

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from support.turned_clock import turn_clock
from zitadel.servers import Server, policy, refusal, reply
from zitadel_notification_operator.core.credentials import (
    ClientSecret,
    Credential,
    KeyFile,
)
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.instance_object import Endpoint
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel import tokens
from zitadel_notification_operator.zitadel.client import ZitadelClient
from zitadel_notification_operator.zitadel.connector import ZitadelConnector

SECRET = "canary-client-secret"
CLIENT = ClientSecret("gitops", SECRET)
ISSUER = "https://auth.example.com"
SCOPE = "openid urn:zitadel:iam:org:project:id:zitadel:aud"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """Return a key in the form of ZITADEL's file: PKCS#1, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class Zitadel:
    """Issues tokens `t-1`, `t-2`, ... and accepts those that it has not revoked."""

    def __init__(self, server: Server) -> None:
        self.forms: list[dict[str, str]] = []
        self.revoked: set[str] = set()
        self.life = 43199
        self.refusal: tuple[object, int] | None = None
        self.delay = 0.0
        server.answer = self.answer

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/.well-known/openid-configuration":
            return reply({"issuer": ISSUER})
        if request.path == "/oauth/v2/token":
            form = parse_qs(await request.text())
            self.forms.append({name: values[0] for name, values in form.items()})
            await asyncio.sleep(self.delay)
            if self.refusal is not None:
                return reply(*self.refusal)
            token = f"t-{len(self.forms)}"
            return reply({"access_token": token, "expires_in": self.life})
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token in self.revoked or not token.startswith("t-"):
            return reply(refusal(16, "AUTH-7fs1e"), 401)
        return reply(policy())


@pytest.fixture
def zitadel(server: Server) -> Zitadel:
    return Zitadel(server)


def client_of(
    connector: ZitadelConnector, server: Server, credential: Credential = CLIENT
) -> ZitadelClient:
    return connector.connect("default", Endpoint(server.url), credential, None)


async def failure(client: ZitadelClient) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        await client.observe("org-a")
    return caught.value


@pytest.mark.clock
async def test_one_token_serves_all(
    connector: ZitadelConnector, server: Server, zitadel: Zitadel
) -> None:
    """Other calls wait while it is fetched; other clients share it."""
    zitadel.delay = 0.2
    clients = [client_of(connector, server) for _ in range(3)]
    await asyncio.gather(*(clients[n % 3].observe("org-a") for n in range(30)))
    await client_of(connector, server).observe("org-a")
    assert zitadel.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "gitops",
            "client_secret": SECRET,
            "scope": SCOPE,
        }
    ]


async def test_an_assertion_is_the_documented_one(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
    key: rsa.RSAPrivateKey,
) -> None:
    """Discovery has the issuer; clocks may differ by half an hour."""
    file = KeyFile("u-1", "k-1", pem(key))
    await client_of(connector, server, file).observe("org-a")
    (form,) = zitadel.forms
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert form["scope"] == SCOPE
    assertion = form["assertion"]
    assert jwt.get_unverified_header(assertion)["kid"] == "k-1"
    claims = jwt.decode(
        assertion, key.public_key(), algorithms=["RS256"], audience=ISSUER
    )
    now = datetime.now(UTC).timestamp()
    assert claims["iss"] == claims["sub"] == "u-1"
    assert claims["iat"] == pytest.approx(now - 1800, abs=5)
    assert claims["exp"] == pytest.approx(now + 1800, abs=5)


async def test_a_token_is_replaced_shortly_before_its_end(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
) -> None:
    """It is renewed at nine tenths of a short life, and used while that fails."""
    zitadel.life = 100
    client = client_of(connector, server)
    await client.observe("org-a")
    turn_clock(92)
    zitadel.refusal = ("<html>down</html>", 503)
    await client.observe("org-a")
    assert len(zitadel.forms) == 2
    zitadel.refusal = None
    turn_clock(110)
    await client.observe("org-a")
    assert len(zitadel.forms) == 3


async def test_a_revoked_token_is_replaced_within_the_call(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new token that is refused at once means a bad credential."""
    client = client_of(connector, server)
    await client.observe("org-a")
    zitadel.revoked.add("t-1")
    error = await failure(client)
    assert error.reason is Reason.CREDENTIALS_REJECTED
    assert len(zitadel.forms) == 1
    monkeypatch.setattr(tokens, "SHORTEST", 0.0)
    assert await client.observe("org-a") is not None
    assert len(zitadel.forms) == 2


@pytest.mark.parametrize(
    "answer",
    [
        ({"error": "invalid_grant", "error_description": "invalid signature"}, 400),
        ({"error": "invalid_client", "error_description": "client not found"}, 400),
        (
            {"error": "invalid_request", "error_description": "Errors.User.NotActive"},
            400,
        ),
    ],
    ids=["grant", "client", "inactive"],
)
async def test_all_refusals_are_one(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
    answer: tuple[object, int],
) -> None:
    """A credential or a clock is wrong; concurrent calls fetch once."""
    zitadel.refusal = answer
    client = client_of(connector, server)
    for error in await asyncio.gather(*(failure(client) for _ in range(100))):
        assert isinstance(error, TerminalError)
        assert error.reason is Reason.CREDENTIALS_REJECTED
        assert "clocks differ" in error.message
    assert len(zitadel.forms) == 1
    zitadel.refusal = None
    other = client_of(connector, server, ClientSecret("gitops", "rotated"))
    assert await other.observe("org-a") is not None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            ({"error": "server_error", "error_description": "Errors.Internal"}, 500),
            Reason.SERVER_ERROR,
        ),
        (({"error": "temporarily_unavailable"}, 503), Reason.SERVER_ERROR),
        (("<html>down</html>", 503), Reason.SERVER_ERROR),
        (("<html>down</html>", 500), Reason.SERVER_ERROR),
        (("Your ZITADEL instance is blocked.", 429), Reason.RATE_LIMITED),
        (("<html>who are you</html>", 200), Reason.UNEXPECTED_ANSWER),
        (({}, 200), Reason.UNEXPECTED_ANSWER),
        (({"access_token": ""}, 200), Reason.UNEXPECTED_ANSWER),
        (({"access_token": "t", "expires_in": "x"}, 200), Reason.UNEXPECTED_ANSWER),
        (({"error": "unsupported_grant_type"}, 400), Reason.UNEXPECTED_ANSWER),
        (("not found", 404), Reason.UNEXPECTED_ANSWER),
        (
            ("unable to set instance using origin x: ID=QUERY-1kIjX", 404),
            Reason.HOST_NOT_RECOGNIZED,
        ),
        (
            ("unable to set instance using origin x: ID=QUERY-d3fas", 404),
            Reason.SERVER_ERROR,
        ),
    ],
)
async def test_other_answers_pass_by_themselves(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
    answer: tuple[object, int],
    reason: Reason,
) -> None:
    """They say nothing about the credential."""
    zitadel.refusal = answer
    error = await failure(client_of(connector, server))
    assert isinstance(error, TransientError)
    assert error.reason is reason


SERVER_ERROR = ({"error": "server_error", "error_description": "Errors.Internal"}, 500)
INVALID = ({"error": "invalid_grant"}, 400)


async def test_an_older_server_s_words_name_the_credential_too(
    connector: ZitadelConnector, server: Server, zitadel: Zitadel
) -> None:
    """Some versions mean a bad key by them, so the message names both."""
    zitadel.refusal = SERVER_ERROR
    error = await failure(client_of(connector, server))
    for words in ("token endpoint", "server_error", "expired", "half an hour"):
        assert words in error.message


@pytest.mark.parametrize(
    "refusal", [SERVER_ERROR, INVALID, ("<html>", 200), ("<html>down</html>", 503)]
)
async def test_a_token_that_still_holds_serves_while_its_renewal_fails(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
    refusal: tuple[object, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a failed renewal the next try comes only after a while."""
    monkeypatch.setattr(tokens, "EARLY", 10_000.0)
    zitadel.life = 1000
    client = client_of(connector, server)
    await client.observe("org-a")
    turn_clock(950)
    zitadel.refusal = refusal
    for _ in range(20):
        await client.observe("org-a")
    assert len(zitadel.forms) == 2
    turn_clock(tokens.RENEWAL_PAUSE)
    await client.observe("org-a")
    assert len(zitadel.forms) == 3
    turn_clock(2 * tokens.RENEWAL_PAUSE)
    zitadel.refusal = None
    await client.observe("org-a")
    assert len(zitadel.forms) == 4
    assert server.seen[-1].headers["authorization"] == "Bearer t-4"


@pytest.mark.clock
async def test_nobody_waits_for_the_renewal_of_a_token_that_holds(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
) -> None:
    """One call renews it; the others go on."""
    zitadel.life = 1000
    client = client_of(connector, server)
    await client.observe("org-a")
    turn_clock(950)
    zitadel.delay = 1.0
    renewing = asyncio.create_task(client.observe("org-a"))
    await asyncio.sleep(0.1)
    await asyncio.gather(*(client.observe("org-a") for _ in range(5)))
    assert not renewing.done()
    await renewing
    assert len(zitadel.forms) == 2


async def test_one_refusal_of_the_endpoint_is_not_repeated_for_long(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
) -> None:
    """Otherwise three checks would all see the same refusal."""
    zitadel.refusal = INVALID
    client = client_of(connector, server)
    await failure(client)
    zitadel.refusal = None
    turn_clock(2)
    assert await client.observe("org-a") is not None


async def test_a_refused_token_is_kept_until_there_is_another_one(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
) -> None:
    """A proxy may have refused it while the endpoint fails."""
    zitadel.life = 1000
    client = client_of(connector, server)
    await client.observe("org-a")
    turn_clock(100)
    zitadel.revoked.add("t-1")
    zitadel.refusal = SERVER_ERROR
    assert (await failure(client)).reason is Reason.CREDENTIALS_REJECTED
    zitadel.revoked.clear()
    assert await client.observe("org-a") is not None
    turn_clock(10)
    zitadel.refusal = None
    await client.observe("org-a")
    assert server.seen[-1].headers["authorization"] == "Bearer t-3"


@pytest.mark.parametrize(
    "text",
    [
        "canary",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----",
    ],
)
async def test_a_key_that_cannot_sign_is_reported_before_any_call(
    connector: ZitadelConnector, server: Server, zitadel: Zitadel, text: str
) -> None:
    with pytest.raises(TerminalError) as caught:
        client_of(connector, server, KeyFile("u", "k", text))
    assert caught.value.reason is Reason.CREDENTIALS_INVALID
    assert "PEM" in caught.value.message
    assert "canary" not in str(caught.value)
    assert server.seen == []
    assert zitadel.forms == []


async def test_a_key_of_another_kind_is_reported(
    connector: ZitadelConnector, server: Server
) -> None:
    text = pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(TerminalError, match="not an RSA key"):
        client_of(connector, server, KeyFile("u", "k", text))


async def test_nothing_secret_is_ever_shown(
    connector: ZitadelConnector,
    server: Server,
    zitadel: Zitadel,
    key: rsa.RSAPrivateKey,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither logs nor errors contain it, though the server echoes all."""
    caplog.set_level(logging.DEBUG)
    seen = [SECRET, pem(key)]
    file = KeyFile("u-1", "k-1", pem(key))
    for credential in (CLIENT, file):
        for status in (200, 400, 404, 500):
            for body in ("{}", '{"error":"invalid_grant","error_description":"{}"}'):
                zitadel.refusal = (body.replace("{}", SECRET), status)
                name = f"{type(credential).__name__}{status}{len(body)}"
                made = connector.connect(name, Endpoint(server.url), credential, None)
                error = await failure(made)
                seen += [form.get("assertion", SECRET) for form in zitadel.forms]
                for secret in seen:
                    assert secret not in repr(error)
                    assert secret not in str(error.__cause__)
    assert not [secret for secret in seen if secret in caplog.text]
