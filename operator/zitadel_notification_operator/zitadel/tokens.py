"""Where the token of a call comes from: sent as stored, or fetched and shared.

A fetched token serves all calls of an instance object until shortly before it expires.
Callers without a valid token wait for the one fetch in progress (ZITADEL: POST
`/oauth/v2/token`).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
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
"""Seconds before its expiry at which a token is renewed, or a tenth of its lifetime.

The smaller of the two applies.
"""

SHORTEST = 10.0
"""Seconds that a token must have been in use before a refusal replaces it."""

QUIET = 1.0
"""Seconds for which an error of the token endpoint is raised again without a call.

Many callers may need a token at the same moment. With a longer time, one refusal could
count as several.
"""

RENEWAL_PAUSE = 5.0
"""Seconds between two tries to renew a token that is still valid."""

SKEW = 1800
"""Seconds by which the clocks may differ.

ZITADEL accepts assertions that are up to an hour old, with any expiry time. Assertions
are therefore dated half an hour back and expire in half an hour.
"""

_SCOPE = "openid urn:zitadel:iam:org:project:id:zitadel:aud"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_OK = 200
_VISIBLE_ASCII = range(0x21, 0x7F)
_UNTOLD_LIFE = 300
# The status alone explains these answers. No text of the body is shown.
_TELLING = {408, 429, *range(500, 600)}
_REFUSALS = {"invalid_client", "invalid_grant", "invalid_request"}
_REFUSALS |= {"unauthorized_client", "access_denied", "invalid_scope"}
# Both may pass by themselves (RFC 6749, section 4.1.2.1).
_FAILURES = {"server_error", "temporarily_unavailable"}
# These texts are shown because they help. Other texts might repeat what was sent.
_KNOWN_WORDS = {
    "Errors.Internal",
    "Errors.User.NotActive",
    "Errors.User.Machine.Secret.Invalid",
    "Errors.User.Machine.Secret.NotExisting",
    "client not found",
}

_log = logging.getLogger(__name__)


class TokenSource(Protocol):
    """A source of tokens for calls."""

    async def token(self) -> str:
        """Return a token. This may make a call.

        Raises:
            OperatorError: No token can be had.
        """
        ...

    def discard(self, token: str) -> bool:
        """Report a refused token. Return whether another token can replace it."""
        ...


def token_source(credential: Credential, pool: Pool) -> TokenSource:
    """Return the source for a credential. This makes no call.

    Raises:
        TerminalError: `CredentialsInvalid`: the key cannot be read.
    """
    match credential:
        case AccessToken(token):
            return StoredToken(token)
        case KeyFile():
            return FetchedToken(pool, KeyGrant(credential))
        case ClientSecret():
            return FetchedToken(pool, ClientGrant(credential))


class StoredToken:
    """A personal access token, sent unchanged.

    Raises:
        TerminalError: `CredentialsInvalid`: no header can carry the token. This is
            checked here, because lower layers would quote it in errors and debug logs.
    """

    def __init__(self, token: str) -> None:
        if not token or not all(ord(char) in _VISIBLE_ASCII for char in token):
            raise _invalid("The token is empty or holds other than plain ASCII")
        self._token = token

    async def token(self) -> str:
        """Return the token."""
        return self._token

    def discard(self, token: str) -> bool:
        """Return False, because only the Secret can provide another token."""
        del token
        return False


class Grant(Protocol):
    """The way in which one kind of credential requests a token."""

    needs_issuer: bool

    def form(self, issuer: str, now: datetime) -> dict[str, str]:
        """Return the fields of the form, without the scope."""
        ...


class KeyGrant:
    """Requests a token with a signed assertion instead of a password (RFC 7523).

    ZITADEL expects the user's id as `iss` and `sub`, and the key's id as `kid`. `aud`
    must be the issuer exactly as ZITADEL derives it from the request's host.

    Raises:
        TerminalError: `CredentialsInvalid`: the key cannot sign.
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
        """Return the fields with a new assertion."""
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
    """Requests a token with a client id and its secret (RFC 6749, section 4.4)."""

    needs_issuer = False

    def __init__(self, client: ClientSecret) -> None:
        self._client = client

    def form(self, issuer: str, now: datetime) -> dict[str, str]:
        """Return the fields, which depend on neither issuer nor time."""
        del issuer, now
        return {
            "grant_type": "client_credentials",
            "client_id": self._client.client_id,
            "client_secret": self._client.secret,
        }


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A token and its times, in seconds of the event loop's clock.

    Attributes:
        refused: Whether a call with it was refused, so that all callers wait for a new
            one.
    """

    token: str
    since: float
    renew_at: float
    ends_at: float
    refused: bool = False


class FetchedToken:
    """Fetches a token, shares it, and renews it in time.

    Args:
        pool: The pool of the instance. Calls for tokens count toward its limits.
        grant: How to request a token.
        now: Returns the wall clock time, UTC.
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
        self._renew_again_at = float("-inf")

    async def token(self) -> str:
        """Return the shared token, after fetching a new one if it expires soon.

        A token that is still valid is used while its renewal is in progress, and also
        if the renewal fails for whatever reason (design, section 11).

        Raises:
            TerminalError: `CredentialsRejected`: the token endpoint refused the
                credential.
            OperatorError: Any other error of the call.
        """
        ready = self._ready()
        if ready is not None:
            return ready
        async with self._lock:
            ready = self._ready(renewing=True)
            if ready is not None:
                return ready
            held = self._fetched
            try:
                self._fetched = await self._fetch()
            except OperatorError as trouble:
                if held is None or _time() >= held.ends_at:
                    raise
                self._renew_again_at = _time() + RENEWAL_PAUSE
                _log.info(
                    "A token could not be renewed; the old one serves for %.0f more "
                    "seconds: %s",
                    held.ends_at - _time(),
                    trouble.message,
                )
                return held.token
            return self._fetched.token

    def _ready(self, *, renewing: bool = False) -> str | None:
        """Return the token if it may be used without trying to renew it.

        Args:
            renewing: Whether the caller is the one that renews it.
        """
        fetched, now = self._fetched, _time()
        if fetched is None:
            return None
        if now < fetched.renew_at:
            return fetched.token
        if now >= fetched.ends_at:
            return None
        under_way = self._lock.locked() and not renewing and not fetched.refused
        return fetched.token if under_way or now < self._renew_again_at else None

    def discard(self, token: str) -> bool:
        """Have a refused token replaced, unless it is almost new.

        The token is kept until there is a new one, because a single refusal may be a
        mistake of a proxy, and the token endpoint may be failing just then.

        Returns:
            Whether the refused call may be tried again.
        """
        fetched = self._fetched
        if fetched is None or fetched.token != token:
            return True
        if _time() - fetched.since < SHORTEST:
            return False
        if not fetched.refused:
            self._renew_again_at = float("-inf")
        self._fetched = replace(fetched, renew_at=_time(), refused=True)
        return True

    async def _fetch(self) -> _Fetched:
        if self._trouble is not None and _time() < self._quiet_until:
            raise self._trouble
        try:
            reply = await self._exchange()
        except OperatorError as trouble:
            self._trouble = trouble
            self._quiet_until = _time() + QUIET
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
        """Return the error for an answer of an endpoint outside ZITADEL's API.

        400 with `invalid_grant` or `invalid_client` means that the credential or a
        clock is wrong. Older servers answer 500 `server_error` for this, too. But a
        server with other problems gives the same answer (zitadel/zitadel#9918), so the
        error may pass.
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
        if told.error not in _REFUSALS | _FAILURES:
            return _unread(call, reply)
        words = [told.error]
        if told.error_description in _KNOWN_WORDS:
            words.append(told.error_description)
        if told.error in _FAILURES:
            return TransientError(
                Reason.SERVER_ERROR,
                f"ZITADEL's token endpoint cannot serve now ({', '.join(words)}); if "
                "this stays, the credential may be unknown, expired or removed, or "
                "clocks may differ by more than half an hour: some versions of ZITADEL "
                "say so in these words, too",
            )
        return TerminalError(
            Reason.CREDENTIALS_REJECTED,
            f"ZITADEL's token endpoint refused the credential ({', '.join(words)}): it "
            "is unknown, expired or removed, its service user is deactivated, or "
            "clocks differ by more than half an hour; store a valid one in the Secret",
        )


def _unread(call: Call, reply: Reply) -> TransientError:
    """Return the error for an answer that these endpoints do not give.

    Its text is not shown, because it may contain a token or a secret.
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
