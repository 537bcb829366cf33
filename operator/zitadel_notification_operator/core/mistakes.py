"""Detects common mistakes in Secrets and describes them without showing a value.

The most common one is a value that was base64-encoded by hand and then again by the
tool that created the Secret. The operator then reads base64 text, which looks like a
token.
"""

import base64
import binascii
import json
import re
from typing import Any

TWICE = (
    "was base64-encoded twice; store it as it is, for example with kubectl create "
    "secret generic --from-file, or encode it once for `data` of a manifest, or not "
    "at all for `stringData`"
)

_LAYERS = 3
_SHORTEST = 8
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=:@-]+")
_BEARER = re.compile(rb"(?i)(authorization:\s*)?bearer\b")
_PEM = b"-----BEGIN "
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_DER = b"\x30\x82"
_QUOTES = (b'"', b"'", b"`")
_FIELDS_OF_KEYS = {"userId", "keyId", "key", "clientId"}


def in_token(value: bytes) -> str:
    """Return what is wrong with a value that should be a token, or an empty text.

    Args:
        value: The value, without surrounding blanks.
    """
    if _was_encoded(value):
        return TWICE
    if _BEARER.match(value):
        return "begins with Bearer; store the token alone, without that word"
    if _in_quotes(value):
        return "stands in quotes; store the token alone, without them"
    if _PEM in value:
        return "is a key or certificate in PEM and no token; store the token alone"
    if is_key_file(value):
        return (
            "is a key file and no token; name it in credentials.privateKeyJWT, or "
            "store a personal access token"
        )
    return ""


def in_key_file(value: bytes) -> str:
    """Return what is wrong with a value that should be a key file, or an empty text."""
    if _was_encoded(value):
        return TWICE
    if value.startswith(_PEM):
        return (
            "is a key in PEM and no key file; store the whole JSON file that ZITADEL "
            "lets you download, which holds the key and whose it is"
        )
    if _in_quotes(value) and value[1:].lstrip().startswith(b"{"):
        return "stands in quotes; store ZITADEL's key file as downloaded"
    return ""


def in_text(value: bytes) -> str:
    """Return what is wrong with a client id or client secret, or an empty text."""
    if _was_encoded(value):
        return TWICE
    if _in_quotes(value):
        return "stands in quotes; store it without them"
    if _PEM in value or _object(value):
        return "is a file and no single value; store the value alone"
    return ""


def in_bundle(value: bytes) -> str:
    """Return why a bundle contains no certificate, or an empty text if unclear."""
    if any(_CERTIFICATE in layer for layer in _layers(value)):
        return TWICE
    if any(layer.startswith(_DER) for layer in (value, *_layers(value))):
        return (
            "is a certificate in DER; convert it to PEM with openssl x509 -inform der, "
            "which puts BEGIN and END CERTIFICATE around it"
        )
    if _PEM in value:
        return "holds a key or something else in PEM, but no certificate"
    return ""


def is_key_file(value: bytes) -> bool:
    """Return whether a value is a JSON object with a field of a key file."""
    return bool(_FIELDS_OF_KEYS & _object(value).keys())


def _was_encoded(value: bytes) -> bool:
    """Return whether the value is base64 text that encodes a credential.

    A real token can be valid base64, too. It then decodes to random bytes, or to JSON
    that is not a key file (such tokens begin with `eyJ`). The chance that a real token
    decodes to the characters of a token is about one in ten million if it is short, and
    negligible if it is as long as ZITADEL's.
    """
    padded = value.endswith(b"=")
    return any(
        _PEM in layer
        or is_key_file(layer)
        or ((padded or len(layer) >= _SHORTEST) and _TOKEN.fullmatch(layer))
        for layer in _layers(value)
    )


def _layers(value: bytes) -> list[bytes]:
    """Return what base64 text decodes to, decoding again while the result is base64."""
    found: list[bytes] = []
    while len(found) < _LAYERS:
        try:
            value = base64.b64decode(b"".join(value.split()), validate=True).strip()
        except (binascii.Error, ValueError):
            break
        if not value:
            break
        found.append(value)
    return found


def _object(value: bytes) -> dict[str, Any]:
    try:
        content: Any = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _in_quotes(value: bytes) -> bool:
    return len(value) > 1 and value[:1] == value[-1:] and value[:1] in _QUOTES
