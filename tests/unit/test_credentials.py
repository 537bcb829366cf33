"""What Secrets must contain; each mistake has its own message without the value."""

import base64
import json
from datetime import UTC, datetime

import pytest

from zitadel_notification_operator.core.credentials import (
    AccessToken,
    CaRef,
    ClientSecret,
    CredentialKind,
    CredentialRef,
    KeyFile,
    expiry_of,
    parse_credential,
    parse_roots,
)
from zitadel_notification_operator.core.errors import OperatorError, TransientError
from zitadel_notification_operator.core.reasons import Reason

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TOKEN = CredentialRef(CredentialKind.TOKEN, "s", "token")
KEY = CredentialRef(CredentialKind.KEY, "s", "key.json")
CLIENT = CredentialRef(CredentialKind.CLIENT, "s")
FILE = {
    "type": "serviceaccount",
    "keyId": "k-1",
    "key": "canary-pem",
    "expirationDate": "2027-01-01T00:00:00Z",
    "userId": "u-1",
}


def refusal(ref: CredentialRef, data: dict[str, bytes] | None) -> OperatorError:
    """Return the error that parsing raises; it never contains a part of a value."""
    with pytest.raises(OperatorError) as caught:
        parse_credential(ref, data, "own", NOW)
    assert "canary" not in str(caught.value)
    assert "own/s" in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        ("tökén-canary".encode(), "plain ASCII"),
        (b"two words-canary", "plain ASCII"),
        (b"\xff\xfe-canary", "plain ASCII"),
        (b"canary" * 1000, "longer than"),
    ],
)
def test_what_cannot_be_a_token_is_refused(value: bytes, words: str) -> None:
    error = refusal(TOKEN, {"token": value})
    assert error.reason is Reason.CREDENTIALS_INVALID
    assert words in error.message


@pytest.mark.parametrize("ref", [TOKEN, KEY, CLIENT], ids=lambda ref: ref.kind)
@pytest.mark.parametrize("data", [None, {}, {"other": b"canary"}])
def test_what_is_not_there_may_come(
    ref: CredentialRef, data: dict[str, bytes] | None
) -> None:
    error = refusal(ref, data)
    assert isinstance(error, TransientError)
    assert error.reason is Reason.CREDENTIALS_MISSING


def test_newline_at_the_end_is_no_part_of_a_token() -> None:
    """A file that `echo` has written works."""
    found = parse_credential(TOKEN, {"token": b"abc\n"}, "own", NOW)
    assert found == AccessToken("abc")
    assert expiry_of(found) is None


def test_a_key_file_as_downloaded() -> None:
    """The credential has the file's expiry, which the status shows."""
    found = parse_credential(KEY, {"key.json": json.dumps(FILE).encode()}, "own", NOW)
    assert found == KeyFile(
        "u-1", "k-1", "canary-pem", datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert expiry_of(found) == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("end", [None, "", "9999-12-31T23:59:59Z", 7, "tomorrow"])
def test_a_key_without_a_known_end(end: object) -> None:
    """ZITADEL writes the year 9999 for a key that does not expire."""
    content = FILE | {"expirationDate": end}
    found = parse_credential(KEY, {"key.json": json.dumps(content).encode()}, "o", NOW)
    assert expiry_of(found) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("canary", "personalAccessToken"),
        ("[]", "is not JSON"),
        ('"canary"', "is not JSON"),
        (json.dumps(FILE | {"type": "application"}), "key of an application"),
        (json.dumps({"clientId": "canary", "key": "canary"}), "key of an application"),
        (json.dumps({"userId": "canary"}), "lacks keyId, key"),
        (json.dumps(FILE | {"key": ["canary"]}), "lacks key"),
        (
            json.dumps(FILE | {"expirationDate": "2026-05-31T23:59:59Z"}),
            "expired at 2026-05-31T23:59:59Z",
        ),
        (json.dumps(FILE | {"expirationDate": "2026-06-01T02:00:00+02:00"}), "expired"),
        ("", "empty"),
    ],
)
def test_each_wrong_key_file_has_its_message(content: str, words: str) -> None:
    error = refusal(KEY, {"key.json": content.encode()})
    assert error.reason is Reason.CREDENTIALS_INVALID
    assert words in error.message


def test_client_credentials_are_two_keys() -> None:
    """The message names missing, empty and unprintable values."""
    good = {"clientId": b"gitops\n", "clientSecret": b"canary\n"}
    found = parse_credential(CLIENT, good, "own", NOW)
    assert found == ClientSecret("gitops", "canary")
    assert "clientSecret" in refusal(CLIENT, {"clientId": b"x"}).message
    empty = refusal(CLIENT, good | {"clientSecret": b" "})
    assert empty.reason is Reason.CREDENTIALS_INVALID
    for value in (b"\xff", b"canary\ncanary", b"canary" * 1000):
        assert "one line" in refusal(CLIENT, good | {"clientSecret": value}).message


def test_credentials_do_not_show_when_printed() -> None:
    """Records end up in logs and tracebacks."""
    shown = [
        AccessToken("canary"),
        ClientSecret("c", "canary"),
        KeyFile("u", "k", "canary"),
    ]
    assert "canary" not in repr(shown)


def test_roots_are_certificates_or_a_message() -> None:
    ref = CaRef("ConfigMap", "ca", "ca.crt")
    pem = b"# ours\n-----BEGIN CERTIFICATE-----\n..."
    assert parse_roots(ref, {"ca.crt": pem}, "own") == pem.decode()
    for data, reason in (
        (None, Reason.CA_BUNDLE_MISSING),
        ({"other": pem}, Reason.CA_BUNDLE_MISSING),
        ({"ca.crt": b""}, Reason.CA_BUNDLE_INVALID),
        ({"ca.crt": b"-----BEGIN PRIVATE KEY-----"}, Reason.CA_BUNDLE_INVALID),
    ):
        with pytest.raises(OperatorError) as caught:
            parse_roots(ref, data, "own")
        assert caught.value.reason is reason
        assert "ConfigMap own/ca, key 'ca.crt'" in caught.value.message


def encoded(value: bytes, times: int = 1) -> bytes:
    """Encode as people do by hand: in lines of 76 letters, with a newline."""
    for _ in range(times):
        value = base64.encodebytes(value)
    return value


LONG_TOKEN = b"eyJ" + base64.urlsafe_b64encode(bytes(range(7, 215)))[:277]
OPAQUE_TOKEN = b"eyJ" + b"hbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9" + b"." * 2 + b"x" * 200
JSON_TOKEN = base64.b64encode(json.dumps({"alg": "dir", "c": "x" * 180}).encode())
RANDOM_TOKEN = b"canary7Hq2Lk9fS0aQzWx3EdC4RfV5TgB6YhN7UjM8IkOlP1QaZ2WsX3EdC4Rf"


@pytest.mark.parametrize("token", [LONG_TOKEN, OPAQUE_TOKEN, JSON_TOKEN, RANDOM_TOKEN])
def test_tokens_of_any_form_are_tokens(token: bytes) -> None:
    """Some have 280 letters and begin with eyJ; none of them is a key file."""
    found = parse_credential(TOKEN, {"token": token}, "own", NOW)
    assert found == AccessToken(token.decode())


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("ref", "key", "value"),
    [
        (TOKEN, "token", RANDOM_TOKEN),
        (TOKEN, "token", LONG_TOKEN),
        (TOKEN, "token", RANDOM_TOKEN + b"\n"),
        (TOKEN, "token", json.dumps(FILE).encode()),
        (KEY, "key.json", json.dumps(FILE).encode()),
        (KEY, "key.json", json.dumps(FILE, indent=2).encode() + b"\n"),
        (KEY, "key.json", RANDOM_TOKEN),
        (KEY, "key.json", b"-----BEGIN PRIVATE KEY-----\ncanary"),
        (CLIENT, "clientId", b"canary-machine-user"),
        (CLIENT, "clientId", b"bot"),
        (CLIENT, "clientSecret", RANDOM_TOKEN),
    ],
)
def test_a_value_that_was_encoded_twice_is_reported(
    ref: CredentialRef, key: str, value: bytes, times: int
) -> None:
    data = {"clientId": b"machine", "clientSecret": b"canary-secret-9"}
    data[key] = encoded(value, times)
    if value == b"bot":
        data[key] = data[key] if times == 2 else b"Ym90Cg=="
    error = refusal(ref, data)
    assert error.reason is Reason.CREDENTIALS_INVALID
    assert "encoded twice" in error.message
    assert repr(key) in error.message
    assert data[key].decode()[:6] not in error.message


@pytest.mark.parametrize(
    ("ref", "key", "value", "words"),
    [
        (TOKEN, "token", b"Bearer canary-1", "without that word"),
        (TOKEN, "token", b"Authorization: Bearer canary-1", "without that word"),
        (TOKEN, "token", b'"canary-1"', "in quotes"),
        (TOKEN, "token", b"'canary-1'", "in quotes"),
        (TOKEN, "token", json.dumps(FILE).encode(), "credentials.privateKeyJWT"),
        (TOKEN, "token", b"-----BEGIN PRIVATE KEY-----\ncanary", "in PEM"),
        (KEY, "key.json", b"-----BEGIN RSA PRIVATE KEY-----\ncanary", "in PEM"),
        (KEY, "key.json", json.dumps(json.dumps(FILE)).encode(), "in quotes"),
        (KEY, "key.json", RANDOM_TOKEN, "if it is a token"),
        (CLIENT, "clientSecret", b'"canary-1"', "in quotes"),
        (CLIENT, "clientSecret", json.dumps(FILE).encode(), "no single value"),
        (CLIENT, "clientId", b"-----BEGIN PRIVATE KEY-----\ncanary", "no single value"),
    ],
)
def test_what_people_store_instead_is_named(
    ref: CredentialRef, key: str, value: bytes, words: str
) -> None:
    data = {"clientId": b"machine", "clientSecret": b"canary-secret-9", key: value}
    error = refusal(ref, data)
    assert error.reason is Reason.CREDENTIALS_INVALID
    assert words in error.message


@pytest.mark.parametrize("name", ["operator", "machine1", "ci", "bot", "123456789012"])
def test_plain_names_are_client_ids(name: str) -> None:
    """This includes names that happen to be base64."""
    data = {"clientId": name.encode(), "clientSecret": RANDOM_TOKEN}
    found = parse_credential(CLIENT, data, "own", NOW)
    assert isinstance(found, ClientSecret)
    assert found.client_id == name


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (encoded(b"-----BEGIN CERTIFICATE-----\ncanary"), "encoded twice"),
        (encoded(b"-----BEGIN CERTIFICATE-----\ncanary", 2), "encoded twice"),
        (b"\x30\x82\x01\x0acanary", "DER"),
        (encoded(b"\x30\x82\x01\x0acanary"), "DER"),
        (b"-----BEGIN PRIVATE KEY-----\ncanary", "no certificate"),
        (b"canary", "holds no certificate"),
    ],
)
def test_what_a_bundle_holds_instead_of_certificates_is_named(
    value: bytes, words: str
) -> None:
    ref = CaRef("ConfigMap", "ca", "ca.crt")
    with pytest.raises(OperatorError) as caught:
        parse_roots(ref, {"ca.crt": value}, "own")
    assert caught.value.reason is Reason.CA_BUNDLE_INVALID
    assert words in caught.value.message
    assert "canary" not in caught.value.message
