"""Splits a text into its documents: YAML or JSON, one or several, as kubectl does.

Values are read as Kubernetes reads them: a date is a text, a key is a text, and a key
that occurs twice is an error, because nobody knows which of the two was meant.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from .errors import ManifestError

_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C, where PyYAML was built with it."""

_UNLIKE_JSON = frozenset({"tag:yaml.org,2002:timestamp"})
"""YAML types that JSON does not have: such a value stays a text."""

_DEEPEST = 100
"""How deep a document may be nested. PyYAML's loader in C crashes at some depth."""

_MOST_REPEATED = 100_000
"""How many nodes the aliases of a text may stand for. Each is a few bytes of text, and
aliases of aliases would make any size of them."""

_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)$")
"""Integers, without those of base 60, which Kubernetes reads as texts."""


class _Repeated(ValueError):
    """A key occurs twice in one mapping."""


class _Loader(_FAST):  # type: ignore[misc] # which of two classes it is, is known late
    """Reads a YAML document as the JSON that Kubernetes makes of it."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
        first: [
            (tag, _INTEGER if tag == "tag:yaml.org,2002:int" else pattern)
            for tag, pattern in resolvers
            if tag not in _UNLIKE_JSON
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._flat: set[Any] = set()

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Return a mapping whose keys are texts, each of which occurs once."""
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(
                None, None, "expected a mapping", node.start_mark
            )
        self.flatten_mapping(node)
        return {
            _text_of(key): self.construct_object(value, deep=deep)
            for key, value in node.value
        }

    def flatten_mapping(self, node: Any) -> None:
        """Insert what `<<` names, after a look for keys that occur twice.

        PyYAML calls this also for what is merged, which may be constructed later.
        """
        if node not in self._flat:
            self._flat.add(node)
            _require_unique(node)
            super().flatten_mapping(node)


def _require_unique(node: Any) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        text = _text_of(key)
        if text in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {text!r} occurs twice", key.start_mark
            )
        seen.add(text)


def _text_of(key: Any) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(
            None, None, "a key must be a text", key.start_mark
        )
    return str(key.value)


def documents_in(text: str, name: str) -> Iterator[tuple[int, Any]]:
    """Yield the documents of a text that are not empty, with their numbers from 1.

    Args:
        text: YAML or JSON; a byte order mark at its beginning is ignored.
        name: The name of the file, for messages.

    Raises:
        ManifestError: A document cannot be read; the text names file and document.
    """
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        try:
            found = _json_documents(text)
        except _Repeated as error:
            raise ManifestError(f"{name}: {error}") from error
        except ValueError:
            pass  # It may be YAML, which also knows braces.
        except RecursionError as error:
            raise ManifestError(f"{name} is nested too deeply") from error
        else:
            yield from enumerate(found, 1)
            return
    yield from _yaml_documents(text, name)


def _yaml_documents(text: str, name: str) -> Iterator[tuple[int, Any]]:
    loader = None
    number = 0
    try:
        _require_small(text, name)
        loader = _Loader(text)
        while loader.check_data():
            number += 1
            document = loader.get_data()
            if document is not None:
                yield number, document
    except yaml.YAMLError as error:
        where = f"{name}, document {max(number, 1)}"
        raise ManifestError(f"{where}: {_reason(error)}") from error
    except ManifestError:
        raise
    except (ValueError, ArithmeticError, AttributeError, LookupError) as error:
        # PyYAML's own constructors, of values such as `0b_` and `!!bool maybe`.
        where = f"{name}, document {number}"
        raise ManifestError(f"{where}: it holds a value that is no YAML") from error
    finally:
        if loader is not None:
            loader.dispose()


def _require_small(text: str, name: str) -> None:
    """Refuse a text that is nested too deeply, or becomes huge by its aliases.

    One that is no YAML is read later, which says where it is wrong.
    """
    sizes = _Sizes(name)
    try:
        for event in yaml.parse(text, Loader=_FAST):
            sizes.add(event)
    except yaml.YAMLError:
        return


class _Sizes:
    """Adds up how large the nodes of a text are once aliases are replaced.

    Args:
        name: The name of the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[_Open] = []
        self._known: dict[str, tuple[int, int]] = {}
        self._repeated = 0

    def add(self, event: Any) -> None:
        """Take the next event.

        Raises:
            ManifestError: The text is too deep, too large, or contains itself.
        """
        if isinstance(event, yaml.DocumentStartEvent):
            self._known.clear()
        elif isinstance(event, yaml.AliasEvent):
            self._add_alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._close(event.anchor, 1, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open.append(_Open(event.anchor))
            self._require_depth(0)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            self._close(done.anchor, done.size, done.height)

    def _add_alias(self, event: Any) -> None:
        if any(one.anchor == event.anchor for one in self._open):
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            raise ManifestError(
                f"{self._name}: the alias {event.anchor!r} is within what it stands "
                f"for (line {line}, column {column})"
            )
        size, height = self._known.get(event.anchor, (1, 0))
        self._repeated += size
        if self._repeated > _MOST_REPEATED:
            raise ManifestError(
                f"{self._name} repeats too much by aliases: they stand for more than "
                f"{_MOST_REPEATED} values"
            )
        self._require_depth(height)
        self._close(None, size, height)

    def _close(self, anchor: str | None, size: int, height: int) -> None:
        """Add a node that is complete to what contains it."""
        if anchor is not None:
            self._known[anchor] = (size, height)
        if self._open:
            outer = self._open[-1]
            outer.size += size
            outer.height = max(outer.height, height + 1)

    def _require_depth(self, height: int) -> None:
        if len(self._open) + height > _DEEPEST:
            raise ManifestError(f"{self._name} is nested too deeply")


@dataclass(slots=True)
class _Open:
    """A mapping or a list whose end has not come yet."""

    anchor: str | None
    size: int = 1
    height: int = 1


def _reason(error: yaml.YAMLError) -> str:
    """Return what is wrong and where, without an excerpt of the text."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    mark = getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"this is no YAML that can be read: {problem or 'unknown error'}{where}"


def _json_documents(text: str) -> list[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
    found: list[Any] = []
    position = _skip_blanks(text, 0)
    while position < len(text):
        document, position = decoder.raw_decode(text, position)
        found.append(document)
        position = _skip_blanks(text, position)
    return found


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Repeated(f"the key {twice!r} occurs twice in one object")
    return found


def _refuse(_constant: str) -> Any:
    raise ValueError("JSON has no such number")
