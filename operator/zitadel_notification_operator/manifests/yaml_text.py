"""Writes YAML for people: blocks, few quotes, and comments that cannot break out.

Texts come from ZITADEL and from files of other tools, and may hold anything.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from zitadel_notification_operator.core.text import one_line

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9-]*(/[A-Za-z0-9-]+|\.[A-Za-z0-9-]+)*")
"""Texts that need no quotes, if they are none of `_WORDS`."""

_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML reads as something else than a text, in any case of letters."""

_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""What YAML does not accept as it is, although JSON does."""

_LONGEST_COMMENT = 300


def yaml_of(body: Mapping[str, Any]) -> str:
    """Return an object of maps, texts, numbers, booleans and lists as YAML."""
    return "".join(f"{line}\n" for line in _lines(body, ""))


def comment(text: str) -> str:
    """Return a text as one line of comment, whatever it holds."""
    safe = _UNSAFE.sub(" ", one_line(text)).strip()
    if len(safe) > _LONGEST_COMMENT:
        safe = safe[: _LONGEST_COMMENT - 1] + "\u2026"
    return f"# {safe}".rstrip() + "\n"


def _lines(body: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in body.items():
        head = f"{indent}{_scalar(key)}:"
        if isinstance(value, Mapping) and value:
            yield head
            yield from _lines(value, indent + "  ")
        else:
            yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return _UNSAFE.sub(_escape, json.dumps(value, ensure_ascii=False))


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
