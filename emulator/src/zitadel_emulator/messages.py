"""Request bodies, decoded as grpc-gateway and protobuf-go do it.

Source: ZITADEL's gateway. It reads an empty body as `{}`, ignores bytes after the first
JSON value and unknown fields, reads null as the zero value, and accepts names in
lowerCamel and in snake_case. It refuses a malformed body before it checks the token.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from .answers import BAD_INPUT, Refusal


class Kind(StrEnum):
    """The type of a field; the value is protobuf-go's name for it."""

    BOOL = "bool"
    TEXT = "string"
    TEXTS = "repeated string"
    MOMENT = "timestamp"
    UINT32 = "uint32"
    UINT64 = "uint64"


@dataclass(frozen=True, slots=True)
class Choice:
    """The type of an enum field, whose decoded value is the number.

    Attributes:
        names: The names of the values in the order of their numbers, from 0.
    """

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The type of a field that is a message itself.

    Attributes:
        fields: The fields of that message.
        repeated: Whether the field is a list of such messages.
        one_of: The full name of the oneof that all fields of the message belong to, so
            that only one may be set; empty if there is no oneof.
    """

    fields: "Fields"
    repeated: bool = False
    one_of: str = ""


Shape = Kind | Choice | Part
Fields = Mapping[str, Shape]
"""The types of the fields that a call reads, by lowerCamel name."""

# Depending on the build, protobuf-go puts a space or a no-break space after this
# prefix. The recorded server used a no-break space.
_MOST_DIGITS = 40
"""Digits of a number that is read exactly: more than any field can hold."""

_PROTO = "proto:\u00a0"


class _Object(list[tuple[str, Any]]):
    """A JSON object as a list of pairs, because a dict would hide duplicate names."""


def decode(raw: bytes, fields: Fields) -> dict[str, Any]:
    """Decode a request body.

    Returns:
        The known fields that are present and not null, by lowerCamel name.

    Raises:
        Refusal: The body is malformed (400, code 3, without details).
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
    return _message(text, found, Part(fields))


def from_query(query: Mapping[str, str], fields: Fields) -> dict[str, Any]:
    """Return the string fields that are present in the query of a GET."""
    return {
        name: query[name]
        for name, shape in fields.items()
        if shape is Kind.TEXT and query.get(name)
    }


def _message(text: str, pairs: "_Object", part: Part) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for name, value in pairs:
        field = name if name in part.fields else _camel(name)
        if field not in part.fields:
            continue
        if field in message:
            where = _position(text, name)
            raise _refused(f"(line {where}): duplicate field {json.dumps(name)}")
        message[field] = _value(text, name, value, part.fields[field])
        if message[field] is not None and part.one_of:
            _check_one_of(text, name, message, part.one_of)
    return {name: value for name, value in message.items() if value is not None}


def _check_one_of(text: str, name: str, message: Mapping[str, Any], group: str) -> None:
    if sum(value is not None for value in message.values()) > 1:
        why = f"error parsing {json.dumps(name)}, oneof {group} is already set"
        raise _refused(f"(line {_position(text, name)}): {why}")


def _first_value(text: str) -> Any:
    decoder = json.JSONDecoder(
        object_pairs_hook=_Object, parse_constant=_refuse_constant, parse_int=_read_int
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
    # Python's decoder accepts NaN and Infinity, which are not JSON.
    raise Refusal(BAD_INPUT, f"invalid character {name[:1]!r} looking for a value")


def _read_int(text: str) -> int | float:
    # Python's own parser raises an error for thousands of digits.
    return int(text) if len(text) <= _MOST_DIGITS else float(text)


def _value(text: str, name: str, value: Any, shape: Shape) -> Any:
    """Return the decoded value of a field.

    null becomes None, and the name of an enum value or a number in a string becomes a
    number.
    """
    if value is None:
        return None
    match shape:
        case Part(repeated=True):
            _expect(text, name, value, type(value) is list, "list")
            return [_inner(text, name, item, shape) for item in value]
        case Part():
            return _inner(text, name, value, shape)
        case Choice(names):
            return _number_of(text, name, value, names)
        case Kind.UINT32 | Kind.UINT64:
            return _whole(text, name, value, shape)
        case _:
            _expect(text, name, value, _is_of(value, shape), shape)
            return value


def _inner(text: str, name: str, value: Any, part: Part) -> dict[str, Any]:
    _expect(text, name, value, isinstance(value, _Object), "message")
    return _message(text, value, part)


def _is_of(value: Any, kind: Kind) -> bool:
    match kind:
        case Kind.BOOL:
            return isinstance(value, bool)
        case Kind.TEXT:
            return isinstance(value, str)
        case Kind.TEXTS:
            return type(value) is list and all(isinstance(v, str) for v in value)
        case Kind.MOMENT:
            return isinstance(value, str) and is_moment(value)
        case Kind.UINT32 | Kind.UINT64:
            return False


def _number_of(text: str, name: str, value: Any, names: Sequence[str]) -> int | None:
    if isinstance(value, str):
        # The gateway ignores unknown names of enum values, as it does unknown fields.
        return names.index(value) if value in names else None
    right = isinstance(value, int) and not isinstance(value, bool)
    _expect(text, name, value, right, "enum")
    return int(value)


def _whole(text: str, name: str, value: Any, kind: Kind) -> int:
    """Return a whole number, which JSON may write as 10, "10" or 1e1."""
    number = -1
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    bits = 32 if kind is Kind.UINT32 else 64
    _expect(text, name, value, 0 <= number < 2**bits, kind)
    return number


def _expect(text: str, name: str, value: Any, right: bool, kind: str) -> None:  # noqa: FBT001 - a check's outcome
    if not right:
        shown = json.dumps(value, default=str)
        where = _position(text, name)
        raise _refused(
            f"(line {where}): invalid value for {kind} field {name}: {shown}"
        )


def is_moment(text: str) -> bool:
    """Return whether a text is a time with a time zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _position(text: str, name: str) -> str:
    """Return the line and column of a field's value, both counted from 1."""
    found = re.search(rf'"{re.escape(name)}"\s*:\s*', text)
    before = text[: found.end()] if found else ""
    return f"{before.count(chr(10)) + 1}:{len(before.rpartition(chr(10))[2]) + 1}"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def _refused(why: str) -> Refusal:
    return Refusal(BAD_INPUT, _PROTO + why)
