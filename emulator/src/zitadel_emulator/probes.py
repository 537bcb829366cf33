"""Health, discovery and public keys: the paths outside the API that need no token.

Source: ZITADEL: `internal/api/http/probes.go`, `internal/api/oidc/server.go`.
"""

from collections.abc import Callable, Mapping

from .answers import Refusal, Reply, bare_json, plain
from .hosts import check_host, issuer
from .signing import public_keys
from .zitadel import Zitadel

_ENDPOINTS = {
    "authorization_endpoint": "/oauth/v2/authorize",
    "token_endpoint": "/oauth/v2/token",
    "introspection_endpoint": "/oauth/v2/introspect",
    "userinfo_endpoint": "/oidc/v1/userinfo",
    "revocation_endpoint": "/oauth/v2/revoke",
    "end_session_endpoint": "/oidc/v1/end_session",
    "device_authorization_endpoint": "/oauth/v2/device_authorization",
    "jwks_uri": "/oauth/v2/keys",
}
_AUTHENTICATION = [
    "none",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
]
_GRANT = "urn:ietf:params:oauth:grant-type:"
_CLAIMS = (
    "sub aud exp iat iss auth_time nonce acr amr c_hash at_hash act scopes client_id "
    "azp preferred_username name family_name given_name locale email email_verified "
    "phone_number phone_number_verified"
)
_LOCALES = "bg cs de en es fr hu id it ja ko mk nl pl pt ro ru sv tr zh"
_SUPPORTED: dict[str, object] = {
    "scopes_supported": [
        *("openid", "profile", "email", "phone", "address", "offline_access")
    ],
    "response_types_supported": ["code", "id_token", "id_token token"],
    "response_modes_supported": ["query", "fragment", "form_post"],
    "grant_types_supported": [
        *("authorization_code", "implicit", "refresh_token", "client_credentials"),
        *(_GRANT + "jwt-bearer", _GRANT + "device_code"),
    ],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": [
        *("EdDSA", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
    ],
    "request_object_signing_alg_values_supported": ["RS256"],
    "token_endpoint_auth_methods_supported": _AUTHENTICATION,
    "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
    "revocation_endpoint_auth_methods_supported": _AUTHENTICATION,
    "revocation_endpoint_auth_signing_alg_values_supported": ["RS256"],
    "introspection_endpoint_auth_methods_supported": [
        *("client_secret_basic", "private_key_jwt")
    ],
    "introspection_endpoint_auth_signing_alg_values_supported": ["RS256"],
    "claims_supported": _CLAIMS.split(),
    "code_challenge_methods_supported": ["S256"],
    "ui_locales_supported": _LOCALES.split(),
    "request_parameter_supported": True,
    "request_uri_parameter_supported": False,
}


def probe(
    zitadel: Zitadel, method: str, path: str, headers: Mapping[str, str]
) -> Reply | None:
    """Return the answer to a request for one of these paths, or None for any other."""
    act = _PROBES.get(path)
    return act(zitadel, headers) if act and method in {"GET", "HEAD"} else None


def _healthz(_: Zitadel, __: Mapping[str, str]) -> Reply:
    return plain("ok")


def _serving(_: Zitadel, __: Mapping[str, str]) -> Reply:
    return bare_json({"status": "SERVING"})


def _ready(zitadel: Zitadel, _: Mapping[str, str]) -> Reply:
    if not zitadel.database_down:
        return bare_json("ok")
    text = "ID=API-F24h2 Message=DB CONNECTION ERROR Parent=(driver: bad connection)"
    return plain(text, 412)


def _discovery(zitadel: Zitadel, headers: Mapping[str, str]) -> Reply:
    try:
        check_host(headers, zitadel.domains, gateway=False, outage=zitadel.outage)
    except Refusal as refusal:
        return plain(str(refusal), refusal.status)
    address = issuer(headers, secure=zitadel.secure)
    urls = {name: address + path for name, path in _ENDPOINTS.items()}
    return bare_json({"issuer": address, **urls, **_SUPPORTED})


def _keys(_: Zitadel, __: Mapping[str, str]) -> Reply:
    return bare_json({"keys": public_keys()})


_PROBES: dict[str, Callable[[Zitadel, Mapping[str, str]], Reply]] = {
    "/debug/healthz": _healthz,
    "/debug/ready": _ready,
    "/healthz": _serving,
    "/.well-known/openid-configuration": _discovery,
    "/oauth/v2/keys": _keys,
}
