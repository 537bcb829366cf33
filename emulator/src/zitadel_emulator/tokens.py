"""The token endpoint, which exchanges assertions and client secrets for access tokens.

Source: ZITADEL: `internal/api/oidc/{token_jwt_profile,client_credentials,error}.go`,
and zitadel/oidc: `pkg/op/{server_http,error}.go`. The endpoint is not part of the API:
requests are HTML forms, errors have OAuth's form, and the error for an unknown instance
is plain text.
"""

import base64
import binascii
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote_plus

from .access import User
from .answers import Refusal, Reply, bare_json, plain
from .checks import Incoming
from .hosts import check_host, issuer, without_port
from .signing import BadAssertion, IdToken, subject
from .zitadel import Zitadel

PATH = "/oauth/v2/token"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS = "client_credentials"
API_SCOPE = "urn:zitadel:iam:org:project:id:zitadel:aud"
"""The scope of ZITADEL's own project.

Without it a token is issued all the same, but every API call refuses that token.
"""

ZITADEL_PROJECT = "285000000000000001"
"""The emulated id of ZITADEL's own project, the audience of tokens for the API."""

_FORM = "application/x-www-form-urlencoded"
_BLOCKED = "Your ZITADEL instance is blocked."
_NO_SCOPE = (
    "The scope of your request is missing. Please ensure some scopes are requested. If "
    "you have any questions, you may contact the administrator of the application."
)


class TokenRefusal(Exception):
    """An error of the token endpoint, with `error` and `error_description`."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.content = {"error": error, "error_description": description}
        self.status = status


def token(zitadel: Zitadel, request: Incoming) -> Reply | None:
    """Return the token endpoint's answer, or None if the request has another path."""
    if request.path != PATH:
        return None
    try:
        check_host(
            request.headers, zitadel.domains, gateway=False, outage=zitadel.outage
        )
    except Refusal as refusal:
        return plain(str(refusal), refusal.status)
    if zitadel.behavior.instance_blocked:
        return plain(_BLOCKED, 429)
    try:
        reply = bare_json(_granted(zitadel, request))
    except TokenRefusal as refusal:
        reply = bare_json(refusal.content, refusal.status)
    reply.headers.update(_cookie(zitadel, request.headers))
    return reply


def _granted(zitadel: Zitadel, request: Incoming) -> dict[str, object]:
    form = _form(request)
    match form.get("grant_type", ""):
        case "":
            raise TokenRefusal("invalid_request", "grant_type missing")
        case grant if grant == JWT_BEARER:
            user = _by_assertion(zitadel, request, form)
        case grant if grant == CLIENT_CREDENTIALS:
            user = _by_secret(zitadel, request, form)
        case grant:
            raise TokenRefusal("unsupported_grant_type", f"{grant} not supported")
    scopes = form.get("scope", "").split()
    if not scopes:
        raise TokenRefusal("invalid_request", _NO_SCOPE)
    if not user.active:
        raise TokenRefusal("invalid_request", "Errors.User.NotActive")
    return _session(zitadel, request, user, scopes)


def _session(
    zitadel: Zitadel, request: Incoming, user: User, scopes: list[str]
) -> dict[str, object]:
    lifetime = zitadel.behavior.token_lifetime
    opens_api = API_SCOPE in scopes
    text = zitadel.access.issue(user.id, lifetime, opens_api=opens_api)
    content: dict[str, object] = {
        "access_token": text,
        "token_type": "Bearer",
        "expires_in": lifetime,
    }
    if "openid" in scopes:
        content["id_token"] = IdToken(
            issuer(request.headers, secure=zitadel.secure),
            user.id,
            (user.id, ZITADEL_PROJECT) if opens_api else (user.id,),
            zitadel.log.clock(),
            lifetime,
        ).signed()
    return content


def _by_assertion(zitadel: Zitadel, request: Incoming, form: Mapping[str, str]) -> User:
    assertion = form.get("assertion", "")
    if not assertion:
        raise TokenRefusal("invalid_request", "assertion missing")
    address = issuer(request.headers, secure=zitadel.secure)
    try:
        user_id = subject(assertion, zitadel.keys, address, zitadel.log.clock())
    except BadAssertion as error:
        generation = zitadel.behavior.token_errors
        if generation == "server_error":
            raise TokenRefusal(generation, "Errors.Internal", 500) from error
        raise TokenRefusal(generation, "assertion invalid") from error
    return zitadel.access.known(user_id)


def _by_secret(zitadel: Zitadel, request: Incoming, form: Mapping[str, str]) -> User:
    name, given = _client(request.headers.get("Authorization", ""), form)
    user = zitadel.access.named(name)
    if user is None:
        raise TokenRefusal("invalid_client", "client not found")
    known = zitadel.keys.secret(user.id)
    if known is None:
        text = "Errors.User.Machine.Secret.NotExisting"
        raise TokenRefusal("invalid_request", text)
    if not secrets.compare_digest(known.encode(), given.encode()):
        raise TokenRefusal("invalid_request", "Errors.User.Machine.Secret.Invalid")
    return user


def _client(header: str, form: Mapping[str, str]) -> tuple[str, str]:
    """Return the client id and secret from Basic authentication or from the form.

    Raises:
        TokenRefusal: Both contain a secret, or neither contains a client id.
    """
    name, secret = form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "basic":
        if name and secret:
            text = "client authentication must not use more than one method"
            raise TokenRefusal("invalid_request", text)
        name, secret = _basic(credentials)
    if not name:
        text = "client_id or client_assertion must be provided"
        raise TokenRefusal("invalid_request", text)
    return name, secret


def _basic(credentials: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    # RFC 6749, 2.3.1: the client form-encodes both parts before it joins them.
    name, _, secret = text.partition(":")
    return unquote_plus(name), unquote_plus(secret)


def _form(request: Incoming) -> dict[str, str]:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if request.method != "POST" or kind != _FORM:
        return {}
    try:
        fields = parse_qs(request.body.decode(), keep_blank_values=True)
    except UnicodeDecodeError as error:
        raise TokenRefusal("invalid_request", "error parsing form") from error
    return {name: values[0] for name, values in fields.items()}


def _cookie(zitadel: Zitadel, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that ZITADEL adds for browsers; API clients ignore them."""
    host = issuer(headers, secure=zitadel.secure).partition("://")[2]
    value = base64.urlsafe_b64encode(secrets.token_bytes(120)).decode()
    attributes = f"Domain={without_port(host)}; Max-Age=31536000; HttpOnly"
    cookie = f"zitadel.useragent={value}; Path=/; {attributes}; SameSite=Lax"
    return {"Cache-Control": "no-store", "Set-Cookie": cookie}
