"""JSON as ZITADEL's gateway writes it, and ZITADEL's errors with their ids.

Source: ZITADEL's grpc-gateway with default options. It leaves out fields that are
false, zero or empty, writes uint64 as a string, and ends times in Z after 0, 3, 6 or 9
fractional digits. Whether it writes a space after commas and colons differs between
builds. The emulator alternates between both, so that no client relies on one of them.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .events import Event

BAD_INPUT, NOT_FOUND, EXISTS, FORBIDDEN, EXHAUSTED = 3, 5, 6, 7, 8
PRECONDITION, UNKNOWN, UNIMPLEMENTED, UNAUTHENTICATED = 9, 2, 12, 16
INTERNAL, TOO_LATE = 13, 4

HTTP_OF_CODE = {
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    12: 501,
    13: 500,
    16: 401,
}
"""The HTTP status of each gRPC code (grpc-gateway: `runtime/errors.go`).

Note that code 9 (failed precondition) is 400, not 412.
"""

GERMAN = {
    "Org-ioqnxz": "Benachrichtigungsrichtlinie wurde nicht geändert",
    "Org-xa08n2": "Benachrichtigungsrichtlinie existiert bereits",
    "ORG-x029n3": "Benachrichtigungsrichtlinie nicht gefunden",
    "ORG-x029n1s": "Benachrichtigungsrichtlinie nicht gefunden",
}
"""German error texts by id, because ZITADEL's texts depend on Accept-Language.

The ids do not depend on it. The wording is the emulator's own.
"""

SLUGS = {
    2: "unknown",
    3: "invalid_argument",
    4: "deadline_exceeded",
    5: "not_found",
    6: "already_exists",
    7: "permission_denied",
    8: "resource_exhausted",
    9: "failed_precondition",
    12: "unimplemented",
    13: "internal",
    16: "unauthenticated",
}
"""The slug that newer servers send instead of an id, by gRPC code.

The wording is the emulator's own.
"""

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
    """An HTTP answer that is not encoded yet.

    Attributes:
        status: The HTTP status.
        body: The body as text.
        headers: All headers, including Content-Type.
    """

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """An error answer of ZITADEL.

    Attributes:
        code: The gRPC code, which normally determines the HTTP status.
        text: The message without the id.
        id: ZITADEL's error id; empty for errors that have none.
    """

    def __init__(
        self, code: int, text: str, error_id: str = "", status: int = 0
    ) -> None:
        """Describe the error; give `status` only if `code` does not determine it."""
        super().__init__(f"{text} ({error_id})" if error_id else text)
        self.code = code
        self.text = text
        self.id = error_id
        self._status = status

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._status or HTTP_OF_CODE[self.code]

    def reply(self, language: str = "", *, slugs: bool = False) -> Reply:
        """Return the error as an HTTP answer; only errors with an id have `details`.

        Args:
            language: The request's Accept-Language header.
            slugs: Whether `details` has the form `zitadel.error.v2.ErrorDetail`.
        """
        text = self.text
        if language.startswith("de"):
            text = GERMAN.get(self.id, text)
        message = f"{text} ({self.id})" if self.id else text
        body: dict[str, Any] = {"code": self.code, "message": message}
        if self.id:
            body["details"] = [self._detail(text, slugs=slugs)]
        headers = {**_SENT_ALWAYS, "Content-Type": _JSON}
        if self.code == UNAUTHENTICATED:
            # This is no valid challenge, but ZITADEL sends its message here.
            headers["WWW-Authenticate"] = message
        return Reply(self.status, encode(body), headers)

    def _detail(self, text: str, *, slugs: bool) -> dict[str, str]:
        if slugs:
            kind, name = "zitadel.error.v2", "slug"
            told = f"emulator.{SLUGS[self.code]}"
        else:
            kind, name, told = "zitadel.v1", "id", self.id
        type_url = f"type.googleapis.com/{kind}.ErrorDetail"
        return {"@type": type_url, name: told, "message": text}


def ok(content: Any, status: int = 200) -> Reply:
    """Return the answer of a call that succeeded."""
    headers = {**_SENT_ALWAYS, "Content-Type": _JSON, "Set-Cookie": _COOKIE}
    return Reply(status, encode(content), headers)


def bare_json(content: Any, status: int = 200) -> Reply:
    """Return a JSON answer from outside the API: health, discovery or a token."""
    return Reply(status, json.dumps(content), {"Content-Type": _JSON})


def plain(text: str, status: int = 200) -> Reply:
    """Return a text answer from outside the API: health, or an OIDC path's error."""
    return Reply(status, text, {"Content-Type": _TEXT})


def encode(content: Any) -> str:
    """Return the content as JSON; the white space alternates from call to call."""
    return json.dumps(content, ensure_ascii=False, separators=next(_SEPARATORS))


def lean(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields, leaving out those that are false, zero or empty."""
    return {name: value for name, value in fields.items() if value}


def allowed(limit: int, largest: int) -> int:
    """Return the limit that applies to a search.

    Args:
        limit: The requested limit; 0 requests none, and `largest` applies.
        largest: The highest allowed limit (ZITADEL: `SystemDefaults.MaxQueryLimit`);
            0 allows any.

    Raises:
        Refusal: The requested limit is too high (`QUERY-4M0fs`).
    """
    if largest and limit > largest:
        raise Refusal(BAD_INPUT, "Limit exceeded", "QUERY-4M0fs")
    return limit or largest


def timestamp(moment: datetime) -> str:
    """Return a UTC time in RFC 3339, without trailing groups of three zeros."""
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    for _ in range(2):
        text = text.removesuffix("000")
    return text.removesuffix(".") + "Z"


def made(event: Event) -> dict[str, Any]:
    """Return `details` as calls that create something send it: no `changeDate`."""
    return {
        "sequence": str(event.sequence),
        "creationDate": timestamp(event.time),
        "resourceOwner": event.owner,
    }


def done(event: Event) -> dict[str, Any]:
    """Return `details` as calls that change something send it: no `creationDate`."""
    return {
        "sequence": str(event.sequence),
        "changeDate": timestamp(event.time),
        "resourceOwner": event.owner,
    }


def shown(created: Event, changed: Event) -> dict[str, Any]:
    """Return `details` as a GET sends it, with both dates."""
    return {
        "sequence": str(changed.sequence),
        "creationDate": timestamp(created.time),
        "changeDate": timestamp(changed.time),
        "resourceOwner": created.owner,
    }
