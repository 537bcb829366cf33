"""Request bodies as grpc-gateway and protobuf-go decode them.

Source: ZITADEL's gateway: an empty body is `{}`, bytes after the first JSON value are
ignored, unknown fields are ignored, null is the zero value, names may be lowerCamel or
snake_case. What is wrong with a body is told before anybody asks for a token.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from zitadel_notification_operator.emulator.answers import BAD_INPUT, Refusal


class Kind(StrEnum):
    """The type of a field, by the name that protobuf-go calls it."""

    BOOL = "bool"
    TEXT = "string"
    TEXTS = "repeated string"
    MOMENT = "timestamp"


Fields = Mapping[str, Kind]
"""The fields that a call reads, by lowerCamel name."""

# protobuf-go puts a space or a no-break space after its prefix, by build; the recorded
# server's had this one.
_PROTO = "proto:\u00a0"


class _Object(list[tuple[str, Any]]):
    """A JSON object as pairs: a dict would hide that a name came twice."""


def decode(raw: bytes, fields: Fields) -> dict[str, Any]:
    """Return the fields that were given and are not null, by lowerCamel name.

    Raises:
        Refusal: 400, code 3, without details.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _refused("syntax error (line 1:1): invalid UTF-8") from error
    if not text.strip():
        return {}
    found = _first_value(text)
    if not isinstance(found, _Object):
        token = "[" if isinstance(found, list) else json.dumps(found)
        raise _refused(f"syntax error (line 1:1): unexpected token {token}")
    message: dict[str, Any] = {}
    for name, value in found:
        field = name if name in fields else _camel(name)
        if field not in fields:
            continue
        if field in message:
            where = _position(text, name)
            raise _refused(f"(line {where}): duplicate field {json.dumps(name)}")
        _check(text, name, value, fields[field])
        message[field] = value
    return {name: value for name, value in message.items() if value is not None}


def _first_value(text: str) -> Any:
    decoder = json.JSONDecoder(
        object_pairs_hook=_Object, parse_constant=_refuse_constant
    )
    start = text.lstrip()
    try:
        return decoder.raw_decode(start)[0]
    except json.JSONDecodeError as error:
        rest = start[error.pos :]
        if _is_cut_short(rest, error.msg):
            raise Refusal(BAD_INPUT, "unexpected EOF") from error
        raise Refusal(
            BAD_INPUT, f"invalid character {rest[:1]!r} looking for a value"
        ) from error


def _is_cut_short(rest: str, why: str) -> bool:
    literals = ("true", "false", "null", "-")
    return why.startswith("Unterminated") or any(
        word.startswith(rest.strip()) for word in literals
    )


def _refuse_constant(name: str) -> Any:
    # Python reads NaN and Infinity; JSON does not know them.
    raise Refusal(BAD_INPUT, f"invalid character {name[:1]!r} looking for a value")


def _check(text: str, name: str, value: Any, kind: Kind) -> None:
    if value is None:
        return
    match kind:
        case Kind.BOOL:
            right = isinstance(value, bool)
        case Kind.TEXT:
            right = isinstance(value, str)
        case Kind.TEXTS:
            right = isinstance(value, list) and all(isinstance(v, str) for v in value)
        case Kind.MOMENT:
            right = isinstance(value, str) and is_moment(value)
    if not right:
        shown = json.dumps(value, default=str)
        where = _position(text, name)
        raise _refused(
            f"(line {where}): invalid value for {kind} field {name}: {shown}"
        )


def is_moment(text: str) -> bool:
    """Return whether a text is a time with a zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _position(text: str, name: str) -> str:
    """Return line and column of a field's value, both from 1."""
    found = re.search(rf'"{re.escape(name)}"\s*:\s*', text)
    before = text[: found.end()] if found else ""
    return f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _refused(why: str) -> Refusal:
    return Refusal(BAD_INPUT, _PROTO + why)
