"""JSON as ZITADEL's gateway writes it, and its errors with their ids.

Source: ZITADEL's grpc-gateway with default options: false, zero and empty fields are
left out, uint64 are strings, times end in Z with 0, 3, 6 or 9 digits. The white space
after commas differs between builds, so it differs here between answers.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zitadel_notification_operator.emulator.events import Event

BAD_INPUT, NOT_FOUND, EXISTS, FORBIDDEN, EXHAUSTED = 3, 5, 6, 7, 8
PRECONDITION, UNKNOWN, UNIMPLEMENTED, UNAUTHENTICATED = 9, 2, 12, 16

HTTP_OF_CODE = {
    2: 500,
    3: 400,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    12: 501,
    16: 401,
}
"""gRPC code to HTTP status (grpc-gateway: `runtime/errors.go`); 9 is 400, not 412."""

GERMAN = {
    "Org-ioqnxz": "Benachrichtigungsrichtlinie wurde nicht geändert",
    "Org-xa08n2": "Benachrichtigungsrichtlinie existiert bereits",
    "ORG-x029n3": "Benachrichtigungsrichtlinie nicht gefunden",
    "ORG-x029n1s": "Benachrichtigungsrichtlinie nicht gefunden",
}
"""Proof that texts follow Accept-Language and ids do not; the wording is ours."""

_SENT_ALWAYS = {
    "Cache-Control": "no-store",
    "Expires": "0",
    "Pragma": "no-cache",
    "X-Robots-Tag": "none",
}
_COOKIE = "zitadel.quota.exhausted=; Path=/; Max-Age=0; SameSite=Lax"
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_SEPARATORS = itertools.cycle([(",", ":"), (", ", ":")])


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is bytes.

    Attributes:
        status: The HTTP status.
        body: The text.
        headers: With Content-Type.
    """

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """An error answer of ZITADEL.

    Attributes:
        code: The gRPC code; the HTTP status follows from it.
        text: Without the id.
        id: ZITADEL's error id; empty for errors that have none.
    """

    def __init__(
        self, code: int, text: str, error_id: str = "", status: int = 0
    ) -> None:
        """Keep what to answer; `status` only where it does not follow from `code`."""
        super().__init__(f"{text} ({error_id})" if error_id else text)
        self.code = code
        self.text = text
        self.id = error_id
        self._status = status

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._status or HTTP_OF_CODE[self.code]

    def reply(self, language: str = "") -> Reply:
        """Return the answer; `details` only with an id.

        Args:
            language: The request's Accept-Language.
        """
        text = self.text
        if language.startswith("de"):
            text = GERMAN.get(self.id, text)
        message = f"{text} ({self.id})" if self.id else text
        body: dict[str, Any] = {"code": self.code, "message": message}
        if self.id:
            detail = {
                "@type": "type.googleapis.com/zitadel.v1.ErrorDetail",
                "id": self.id,
                "message": text,
            }
            body["details"] = [detail]
        headers = {**_SENT_ALWAYS, "Content-Type": _JSON}
        if self.code == UNAUTHENTICATED:
            # Not a valid challenge; ZITADEL puts the message there all the same.
            headers["WWW-Authenticate"] = message
        return Reply(self.status, encode(body), headers)


def ok(content: Any, status: int = 200) -> Reply:
    """Return the answer of a call that succeeded."""
    headers = {**_SENT_ALWAYS, "Content-Type": _JSON, "Set-Cookie": _COOKIE}
    return Reply(status, encode(content), headers)


def bare_json(content: Any, status: int = 200) -> Reply:
    """Return JSON from outside the API: health, discovery, tokens."""
    return Reply(status, json.dumps(content), {"Content-Type": _JSON})


def plain(text: str, status: int = 200) -> Reply:
    """Return a text from outside the API: health, errors of the OIDC paths."""
    return Reply(status, text, {"Content-Type": _TEXT})


def encode(content: Any) -> str:
    """Return JSON text; the white space changes from one answer to the next."""
    return json.dumps(content, ensure_ascii=False, separators=next(_SEPARATORS))


def lean(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without those that are false, zero or empty."""
    return {name: value for name, value in fields.items() if value}


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC; trailing groups of three zeros are cut."""
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    for _ in range(2):
        text = text.removesuffix("000")
    return text.removesuffix(".") + "Z"


def made(event: Event) -> dict[str, Any]:
    """Return `details` as calls that create answer: without `changeDate`."""
    return {
        "sequence": str(event.sequence),
        "creationDate": timestamp(event.time),
        "resourceOwner": event.owner,
    }


def done(event: Event) -> dict[str, Any]:
    """Return `details` as calls that change answer: without `creationDate`."""
    return {
        "sequence": str(event.sequence),
        "changeDate": timestamp(event.time),
        "resourceOwner": event.owner,
    }


def shown(created: Event, changed: Event) -> dict[str, Any]:
    """Return `details` as a GET gives them."""
    return {
        "sequence": str(changed.sequence),
        "creationDate": timestamp(created.time),
        "changeDate": timestamp(changed.time),
        "resourceOwner": created.owner,
    }
