"""JSON web tokens: signing ID tokens and verifying the assertions of service users.

Source: ZITADEL: `internal/api/oidc/token_jwt_profile.go`, and zitadel/oidc:
`pkg/op/verifier_jwt_profile.go`, `pkg/oidc/verifier.go`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from jwt.types import Options

from .keys import KEY_BITS, Keys

LONGEST_AGE = 3600
"""The maximum age of an assertion in seconds, by its `iat`."""

OFFSET = 1
"""The tolerated difference between the clocks of client and server, in seconds."""

_ALGORITHMS = ["RS256", "PS256", "ES256"]
_KEY_ID = "284000000000000001"
_UNCHECKED: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""Options that make PyJWT verify the signature only.

`_check_claims` verifies the claims by ZITADEL's rules.
"""


class BadAssertion(Exception):
    """An assertion that ZITADEL refuses.

    The text names the reason. It is for the emulator's own tests, because ZITADEL's
    answer does not contain it.
    """


@dataclass(frozen=True, slots=True)
class IdToken:
    """The content of an ID token.

    Attributes:
        issuer: The issuer's URL, as discovery names it.
        user: The id of the user, who is the subject.
        audience: The audiences of the token.
        now: When it is issued.
        lifetime: Seconds until it expires.
    """

    issuer: str
    user: str
    audience: tuple[str, ...]
    now: datetime
    lifetime: int

    def signed(self) -> str:
        """Return the token as a signed JSON web token."""
        begin = int(self.now.timestamp())
        claims = {
            "iss": self.issuer,
            "sub": self.user,
            "aud": list(self.audience),
            "exp": begin + self.lifetime,
            "iat": begin,
            "auth_time": begin,
            "amr": ["pwd"],
            "azp": self.user,
            "client_id": self.user,
        }
        return jwt.encode(claims, _signing_key(), "RS256", headers={"kid": _KEY_ID})


def subject(assertion: str, keys: Keys, issuer: str, now: datetime) -> str:
    """Verify an assertion and return the id of the user whose key signed it.

    Args:
        assertion: The assertion as the client sent it.
        keys: The keys of all service users.
        issuer: The issuer's URL for this request, which `aud` must contain.
        now: The current time.

    Raises:
        BadAssertion: The assertion is not a token, is for another audience, has
            expired or is too old, or is not signed by a key of its issuer.
    """
    try:
        head = jwt.get_unverified_header(assertion)
        claims = jwt.decode(assertion, options={"verify_signature": False})
        _check_claims(claims, issuer, now)
        user = str(claims["sub"])
        key = keys.public_key(user, str(head.get("kid", "")))
        if key is None:
            raise BadAssertion("kid: no such key of this user, or it has ended")
        jwt.decode(assertion, key, algorithms=_ALGORITHMS, options=_UNCHECKED)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise BadAssertion(str(error)) from error
    return user


def public_keys() -> list[dict[str, Any]]:
    """Return the public keys for verifying ID tokens (GET /oauth/v2/keys)."""
    key = json.loads(RSAAlgorithm.to_jwk(_signing_key().public_key()))
    return [{**key, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]


def _check_claims(claims: Mapping[str, Any], issuer: str, now: datetime) -> None:
    audience = claims.get("aud", [])
    if issuer not in ([audience] if isinstance(audience, str) else audience):
        raise BadAssertion(f"aud: must hold {issuer}")
    # zitadel/oidc compares with the current time rounded to whole seconds.
    ahead = round(now.timestamp() + OFFSET)
    if float(claims.get("exp", 0)) < ahead:
        raise BadAssertion("exp: has passed")
    begin = float(claims.get("iat", 0))
    if begin > ahead:
        raise BadAssertion("iat: is in the future")
    if begin < round(now.timestamp() - LONGEST_AGE):
        raise BadAssertion("iat: is missing or too old")
    if not claims.get("sub") or claims.get("iss") != claims.get("sub"):
        raise BadAssertion("iss: must be the subject")


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    """Return the key for ID tokens, which is generated once per process.

    Generating it takes a tenth of a second or more.
    """
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
