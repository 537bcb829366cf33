"""Fetches a token with a key file or a client secret, and maps the refusals.

The calls are POST `/oauth/v2/token` and, for a key file, GET
`/.well-known/openid-configuration` before it. Both are outside of ZITADEL's API, and
answer in words of their own.
"""

from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError

from zitadel_notification_operator.core.credentials import ClientSecret, KeyFile
from zitadel_notification_operator.core.errors import (
    OperatorError,
    TerminalError,
    TransientError,
)
from zitadel_notification_operator.core.reasons import Reason

from . import calls
from .calls import Call, Reply
from .errors import failure_in_text, refusal_of
from .models import DiscoveryReply, Model, TokenErrorReply, TokenReply
from .pool import Pool

SKEW = 1800
"""Seconds by which the clocks may differ.

ZITADEL accepts assertions that are up to an hour old, with any expiry time. Assertions
are therefore dated half an hour back and expire in half an hour.
"""

_SCOPE = "openid urn:zitadel:iam:org:project:id:zitadel:aud"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_OK = 200
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

M = TypeVar("M", bound=Model)


class TokenEndpoint:
    """The token endpoint of one ZITADEL, asked with one credential.

    Args:
        pool: The pool of the instance. Calls for tokens count toward its limits.
        credential: A key file, of which a signed assertion is sent (RFC 7523), or a
            client's id and secret (RFC 6749, section 4.4).

    Raises:
        TerminalError: `CredentialsInvalid`: the key cannot sign.
    """

    def __init__(self, pool: Pool, credential: KeyFile | ClientSecret) -> None:
        self._pool = pool
        self._credential = credential
        if isinstance(credential, KeyFile):
            _require_rsa(credential)

    async def fetch(self) -> TokenReply:
        """Return a new token.

        Raises:
            TerminalError: `CredentialsRejected`: the endpoint refused the credential.
            OperatorError: Any other error of the calls.
        """
        form = {**await self._form(), "scope": _SCOPE}
        call = Call("POST", calls.TOKEN, body=urlencode(form).encode())
        return await self._ask(call, TokenReply)

    async def _form(self) -> dict[str, str]:
        """Return the fields of the form, without the scope."""
        match self._credential:
            case ClientSecret(client_id, secret):
                return {
                    "grant_type": "client_credentials",
                    "client_id": client_id,
                    "client_secret": secret,
                }
            case KeyFile() as key:
                found = await self._ask(Call("GET", calls.DISCOVERY), DiscoveryReply)
                return {
                    "grant_type": _JWT_BEARER,
                    "assertion": _assertion(key, found.issuer),
                }

    async def _ask(self, call: Call, model: type[M]) -> M:
        reply = await self._pool.send(call, "")
        if reply.status != _OK:
            raise self._refused(call, reply)
        try:
            return model.model_validate_json(reply.body)
        except ValidationError as error:
            raise _unread(call, reply) from error

    def _refused(self, call: Call, reply: Reply) -> OperatorError:
        """Return the error for an answer of an endpoint outside ZITADEL's API.

        400 with `invalid_grant` or `invalid_client` means that the credential or a
        clock is wrong. Older servers answer 500 `server_error` for this, too. But a
        server with other problems gives the same answer (zitadel/zitadel#9918), so the
        error may pass.
        """
        try:
            answer = TokenErrorReply.model_validate_json(reply.body)
        except ValidationError:
            text = reply.body.decode(errors="replace")
            failure = failure_in_text(text, self._pool.hosts.shown)
            if failure is not None:
                return failure
            if reply.status in _TELLING:
                return self._pool.failure_of(call, reply, refusal_of(reply), "")
            return _unread(call, reply)
        if answer.error not in _REFUSALS | _FAILURES:
            return _unread(call, reply)
        words = [answer.error]
        if answer.error_description in _KNOWN_WORDS:
            words.append(answer.error_description)
        if answer.error in _FAILURES:
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


def _require_rsa(key: KeyFile) -> None:
    try:
        loaded = load_pem_private_key(key.private_key.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise TerminalError(
            Reason.CREDENTIALS_INVALID,
            "The field 'key' of the key file is not a private key in PEM; store "
            "ZITADEL's file as downloaded",
        ) from error
    if not isinstance(loaded, RSAPrivateKey):
        raise TerminalError(
            Reason.CREDENTIALS_INVALID,
            "The field 'key' of the key file is not an RSA key",
        )


def _assertion(key: KeyFile, issuer: str) -> str:
    """Return a new signed assertion.

    ZITADEL expects the user's id as `iss` and `sub`, and the key's id as `kid`. `aud`
    must be the issuer exactly as ZITADEL derives it from the request's host.
    """
    seconds = int(datetime.now(UTC).timestamp())
    claims: dict[str, object] = {
        "iss": key.user_id,
        "sub": key.user_id,
        "aud": issuer,
        "iat": seconds - SKEW,
        "exp": seconds + SKEW,
    }
    headers = {"kid": key.key_id}
    return jwt.encode(claims, key.private_key, algorithm="RS256", headers=headers)
