"""JSON as ZITADEL's gateway writes it, and its errors with their ids.

Source: ZITADEL's grpc-gateway with default options: false, zero and empty fields are
left out, uint64 are strings, times end in Z with 0, 3, 6 or 9 digits. The white space
after commas differs between builds, so it differs here between answers.
"""

import itertools
import json
from datetime import datetime
from typing import Any

HTTP_OF_CODE = {3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 12: 405, 16: 401}
"""gRPC code to HTTP status; 12 stands for the gateway's own 405."""

_SEPARATORS = itertools.cycle([(",", ":"), (", ", ":")])


class Refusal(Exception):
    """An error answer of ZITADEL.

    Attributes:
        code: The gRPC code; the HTTP status follows from it.
        text: Without the id.
        id: ZITADEL's error id; empty for errors that have none.
    """

    def __init__(self, code: int, text: str, error_id: str = "") -> None:
        super().__init__(f"{text} ({error_id})" if error_id else text)
        self.code = code
        self.text = text
        self.id = error_id

    @property
    def status(self) -> int:
        """The HTTP status."""
        return HTTP_OF_CODE[self.code]

    def body(self) -> dict[str, Any]:
        """Return the answer's JSON; `details` only with an id."""
        body: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.id:
            detail = {
                "@type": "type.googleapis.com/zitadel.v1.ErrorDetail",
                "id": self.id,
                "message": self.text,
            }
            body["details"] = [detail]
        return body


def encode(content: Any) -> str:
    """Return JSON text; the white space changes from one answer to the next."""
    return json.dumps(content, ensure_ascii=False, separators=next(_SEPARATORS))


def lean(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields without those that are false, zero or empty."""
    return {name: value for name, value in fields.items() if value}


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC; trailing groups of three zeros are cut."""
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    for _ in range(2):
        text = text.removesuffix("000")
    return text.removesuffix(".") + "Z"
