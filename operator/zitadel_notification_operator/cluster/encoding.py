"""Writes JSON for the API server, in the form in which the API server writes it.

Two things depend on the form. A JSON patch with a `test` compares texts byte by byte,
as they are encoded. And a body of server-side apply is read as YAML, which knows
neither surrogate pairs nor unescaped control characters.
"""

import json
import re
from typing import Any

_ESCAPED_BY_GO = re.compile("[<>&\u2028\u2029]")
"""What Go's encoder escapes besides what JSON demands; all else it writes as UTF-8."""

_NOT_IN_YAML = re.compile("[\x7f-\x9f\ufeff\ufffe\uffff]")
"""What YAML does not accept unescaped, although JSON does."""


def encode_json(body: Any) -> bytes:
    """Return a body as JSON, encoded as Go does.

    A lone surrogate cannot be encoded and becomes a question mark.
    """
    return _as_go_does(body).encode(errors="replace")


def encode_yaml(body: Any) -> bytes:
    """Return a body as JSON that is also YAML."""
    return _NOT_IN_YAML.sub(_escape, _as_go_does(body)).encode(errors="replace")


def _as_go_does(body: Any) -> str:
    return _ESCAPED_BY_GO.sub(_escape, json.dumps(body, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
