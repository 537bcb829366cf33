"""What a Secret's value must be to serve as a personal access token."""

from zitadel_notification_operator.core.errors import TerminalError, TransientError
from zitadel_notification_operator.core.objects import SecretRef
from zitadel_notification_operator.core.reasons import Reason

_VISIBLE_ASCII = range(0x21, 0x7F)

LONGEST = 4096
"""Bytes of a token; ZITADEL's have about a hundred, and servers refuse long headers."""


def parse_token(value: bytes | None, ref: SecretRef, own_namespace: str) -> str:
    """Return the token that a Secret's key holds.

    Args:
        value: The decoded bytes; None when the Secret or the key is not there.
        ref: Where it was looked for, for the messages.
        own_namespace: Where the operator looks for Secrets.

    Raises:
        TransientError: `CredentialsMissing`: it may come a moment later.
        TerminalError: `CredentialsInvalid`: nothing that an HTTP header can carry.
            No message ever holds a part of the value.
    """
    where = f"Secret {own_namespace}/{ref.name}, key {ref.key!r}"
    if value is None:
        raise TransientError(
            Reason.CREDENTIALS_MISSING,
            f"{where}: not found; create it with the personal access token of a "
            "ZITADEL service user",
        )
    # A file made by `echo` ends with a newline; it is never part of a token.
    text = value.strip()
    if not text:
        raise TerminalError(
            Reason.CREDENTIALS_INVALID,
            f"{where}: empty; put the personal access token there",
        )
    if len(text) > LONGEST:
        raise TerminalError(
            Reason.CREDENTIALS_INVALID,
            f"{where}: longer than {LONGEST} bytes, so it is not a personal access "
            "token; store the token alone",
        )
    if not all(byte in _VISIBLE_ASCII for byte in text):
        raise TerminalError(
            Reason.CREDENTIALS_INVALID,
            f"{where}: holds blanks or characters other than plain ASCII, so it is "
            "not a personal access token; store the token alone, not a file about it",
        )
    return text.decode("ascii")
