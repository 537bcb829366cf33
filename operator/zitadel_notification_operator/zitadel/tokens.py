"""Where the token of a call comes from: sent as stored, or fetched and shared.

A fetched token serves all calls of an instance object until shortly before it ends;
whoever needs one meanwhile waits for the one fetch (ZITADEL: POST `/oauth/v2/token`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError

from zitadel_notification_operator.core.credentials import (
    AccessToken,
    ClientSecret,
    Credential,
    KeyFile,
)
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.zitadel import calls
from zitadel_notification_operator.zitadel.calls import Call, Reply
from zitadel_notification_operator.zitadel.errors import (
    refusal_of,
    trouble_in_text,
)
from zitadel_notification_operator.zitadel.models import (
    DiscoveryReply,
    TokenErrorReply,
    TokenReply,
)
from zitadel_notification_operator.zitadel.pool import Pool

EARLY = 300.0
"""Seconds before its end at which a token is replaced; at most a tenth of its life."""

SHORTEST = 60.0
"""Seconds that a token must have served before a refusal replaces it."""

PATIENCE = 30.0
"""Seconds for which a refusal of the token endpoint is repeated without asking."""

SKEW = 1800
"""Seconds that clocks may differ: ZITADEL takes assertions up to an hour old, and
with any end, so they begin half an hour ago and end in half an hour."""

_SCOPE = "openid urn:zitadel:iam:org:project:id:zitadel:aud"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_OK = 200
_VISIBLE_ASCII = range(0x21, 0x7F)
_UNTOLD_LIFE = 300
# What these mean is told by the status alone; no words of the body are shown.
_TELLING = {408, 429, *range(500, 600)}
_REFUSALS = {"invalid_client", "invalid_grant", "invalid_request", "server_error"}
_REFUSALS |= {"unauthorized_client", "access_denied", "invalid_scope"}
# Shown because they help; other words might repeat what was sent.
_KNOWN_WORDS = {
    "Errors.Internal",
    "Errors.User.NotActive",
    "Errors.User.Machine.Secret.Invalid",
    "Errors.User.Machine.Secret.NotExisting",
    "client not found",
}


class TokenSource(Protocol):
    """Gives the token for a call."""

    async def token(self) -> str:
        """Return a token; may take a call.

        Raises:
            OperatorError: There is none to be had.
        """
        ...

    def discard(self, token: str) -> bool:
        """Return whether another token may be had in place of a refused one."""
        ...


def token_source(credential: Credential, pool: Pool) -> TokenSource:
    """Return the source that a credential needs; no traffic yet.

    Raises:
        TerminalError: `CredentialsInvalid`: its key cannot be read.
    """
    match credential:
        case AccessToken(token):
            return StoredToken(token)
        case KeyFile():
            return FetchedToken(pool, KeyGrant(credential))
        case ClientSecret():
            return FetchedToken(pool, ClientGrant(credential))


class StoredToken:
    """A personal access token, sent as it is.

    Raises:
        TerminalError: `CredentialsInvalid`: no header can carry it. Checked here,
            because below it would be quoted in errors and debug logs.
    """

    def __init__(self, token: str) -> None:
        if not token or not all(ord(char) in _VISIBLE_ASCII for char in token):
            raise _invalid("The token is empty or holds other than plain ASCII")
        self._token = token

    async def token(self) -> str:
        """Return it."""
        return self._token

    def discard(self, token: str) -> bool:
        """Return False: only the Secret has another one."""
        del token
        return False


class Grant(Protocol):
    """How one kind of credential asks for a token."""

    needs_issuer: bool

    def form(self, issuer: str, now: datetime) -> dict[str, str]:
        """Return the fields of the form, without the scope."""
        ...


class KeyGrant:
    """A signed assertion in place of a password (RFC 7523).

    ZITADEL: `iss` and `sub` are the user's id, `aud` the issuer exactly as it sees the
    request's host, `kid` the key's id.

    Raises:
        TerminalError: `CredentialsInvalid`: the key is none that can sign.
    """

    needs_issuer = True

    def __init__(self, key: KeyFile) -> None:
        self._key = key
        try:
            loaded = load_pem_private_key(key.private_key.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise _invalid(
                "The field 'key' of the key file is not a private key in PEM; store "
                "ZITADEL's file as downloaded"
            ) from error
        if not isinstance(loaded, RSAPrivateKey):
            raise _invalid("The field 'key' of the key file is not an RSA key")
        self._signer = loaded

    def form(self, issuer: str, now: datetime) -> dict[str, str]:
        """Return the fields with a fresh assertion."""
        seconds = int(now.timestamp())
        claims: dict[str, object] = {
            "iss": self._key.user_id,
            "sub": self._key.user_id,
            "aud": issuer,
            "iat": seconds - SKEW,
            "exp": seconds + SKEW,
        }
        assertion = jwt.encode(
            claims,
            self._signer,
            algorithm="RS256",
            headers={"kid": self._key.key_id},
        )
        return {"grant_type": _JWT_BEARER, "assertion": assertion}


class ClientGrant:
    """A client id with its secret (RFC 6749, section 4.4)."""

    needs_issuer = False

    def __init__(self, client: ClientSecret) -> None:
        self._client = client

    def form(self, issuer: str, now: datetime) -> dict[str, str]:
        """Return the fields; neither issuer nor time takes part."""
        del issuer, now
        return {
            "grant_type": "client_credentials",
            "client_id": self._client.client_id,
            "client_secret": self._client.secret,
        }


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A token and its times, in seconds of the event loop's clock."""

    token: str
    since: float
    renew_at: float
    ends_at: float


class FetchedToken:
    """Fetches a token, shares it, replaces it in time.

    Args:
        pool: The calls for tokens count towards its limits, too.
        grant: How to ask.
        now: The wall clock, UTC.
    """

    def __init__(
        self,
        pool: Pool,
        grant: Grant,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._grant = grant
        self._now = now
        self._lock = asyncio.Lock()
        self._fetched: _Fetched | None = None
        self._trouble: OperatorError | None = None
        self._quiet_until = float("-inf")

    async def token(self) -> str:
        """Return the shared token; fetch another one where it ends soon.

        Raises:
            TerminalError: `CredentialsRejected`: the token endpoint refused.
            OperatorError: What a call may raise.
        """
        fetched = self._fetched
        if fetched is not None and _time() < fetched.renew_at:
            return fetched.token
        async with self._lock:
            fetched = self._fetched
            if fetched is not None and _time() < fetched.renew_at:
                return fetched.token
            try:
                self._fetched = await self._fetch()
            except TransientError:
                if fetched is None or _time() >= fetched.ends_at:
                    raise
                return fetched.token
            return self._fetched.token

    def discard(self, token: str) -> bool:
        """Drop a token that was refused, unless it is as good as new."""
        fetched = self._fetched
        if fetched is None or fetched.token != token:
            return True
        if _time() - fetched.since < SHORTEST:
            return False
        self._fetched = None
        return True

    async def _fetch(self) -> _Fetched:
        if self._trouble is not None and _time() < self._quiet_until:
            raise self._trouble
        try:
            reply = await self._exchange()
        except OperatorError as trouble:
            self._trouble = trouble
            lasting = isinstance(trouble, TerminalError)
            self._quiet_until = _time() + (PATIENCE if lasting else 1)
            raise
        self._trouble = None
        life = float(reply.expires_in or _UNTOLD_LIFE)
        now = _time()
        early = min(EARLY, life / 10)
        return _Fetched(reply.access_token, now, now + life - early, now + life)

    async def _exchange(self) -> TokenReply:
        issuer = await self._issuer() if self._grant.needs_issuer else ""
        form = self._grant.form(issuer, self._now()) | {"scope": _SCOPE}
        call = Call("POST", calls.TOKEN, body=urlencode(form).encode())
        reply = await self._pool.send(call, "")
        if reply.status == _OK:
            try:
                return TokenReply.model_validate_json(reply.body)
            except ValidationError as error:
                raise _unread(call, reply) from error
        raise self._refused(call, reply)

    async def _issuer(self) -> str:
        call = Call("GET", calls.DISCOVERY)
        reply = await self._pool.send(call, "")
        if reply.status == _OK:
            try:
                return DiscoveryReply.model_validate_json(reply.body).issuer
            except ValidationError as error:
                raise _unread(call, reply) from error
        raise self._refused(call, reply)

    def _refused(self, call: Call, reply: Reply) -> OperatorError:
        """Return the error for an answer of the endpoints outside ZITADEL's API.

        Both generations of servers: 500 `server_error`, and 400 `invalid_grant` or
        `invalid_client`, say that the credential or a clock is wrong.
        """
        try:
            told = TokenErrorReply.model_validate_json(reply.body)
        except ValidationError:
            text = reply.body.decode(errors="replace")
            trouble = trouble_in_text(text, self._pool.hosts.shown)
            if trouble is not None:
                return trouble
            if reply.status in _TELLING:
                return self._pool.trouble_of(call, reply, refusal_of(reply), "")
            return _unread(call, reply)
        if told.error not in _REFUSALS:
            return _unread(call, reply)
        words = [told.error]
        if told.error_description in _KNOWN_WORDS:
            words.append(told.error_description)
        return TerminalError(
            Reason.CREDENTIALS_REJECTED,
            f"ZITADEL's token endpoint refused the credential ({', '.join(words)}): it "
            "is unknown, expired or removed, its service user is deactivated, or "
            "clocks differ by more than half an hour; store a valid one in the Secret",
        )


def _unread(call: Call, reply: Reply) -> TransientError:
    """Return the error for an answer that is none of these endpoints' own.

    Its words stay hidden: a token or a secret may be among them.
    """
    return TransientError(
        Reason.UNEXPECTED_ANSWER,
        f"{call} was answered with HTTP {reply.status} and not as ZITADEL does; does "
        "something else answer at spec.url?",
    )


def _time() -> float:
    return asyncio.get_running_loop().time()


def _invalid(message: str) -> TerminalError:
    return TerminalError(Reason.CREDENTIALS_INVALID, message)
