"""What Secrets must hold, each mistake with a message of its own, none with a value."""

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
    """Return what parsing raises; it never holds a part of a value."""
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
    """A file made with `echo` works."""
    found = parse_credential(TOKEN, {"token": b"abc\n"}, "own", NOW)
    assert found == AccessToken("abc")
    assert expiry_of(found) is None


def test_a_key_file_as_downloaded() -> None:
    """With its end, which the status tells."""
    found = parse_credential(KEY, {"key.json": json.dumps(FILE).encode()}, "own", NOW)
    assert found == KeyFile(
        "u-1", "k-1", "canary-pem", datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert expiry_of(found) == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("end", [None, "", "9999-12-31T23:59:59Z", 7, "tomorrow"])
def test_a_key_without_a_known_end(end: object) -> None:
    """ZITADEL writes the year 9999 where there is none."""
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
    """Missing, empty and unprintable ones are named."""
    good = {"clientId": b"gitops\n", "clientSecret": b"canary\n"}
    found = parse_credential(CLIENT, good, "own", NOW)
    assert found == ClientSecret("gitops", "canary")
    assert "clientSecret" in refusal(CLIENT, {"clientId": b"x"}).message
    empty = refusal(CLIENT, good | {"clientSecret": b" "})
    assert empty.reason is Reason.CREDENTIALS_INVALID
    for value in (b"\xff", b"canary\ncanary", b"canary" * 1000):
        assert "one line" in refusal(CLIENT, good | {"clientSecret": value}).message


def test_credentials_do_not_show_when_printed() -> None:
    """Records end in logs and tracebacks."""
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
