"""Compares an object with the schema of its kind, as Kubernetes does on a create.

`schemas.json` is made of deploy/crds by `make generate`. Fields that the schema lacks
are problems, too: kubectl refuses them, and a misspelt field would silently be missing.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sized
from functools import cache
from importlib.resources import files
from typing import Any

from zitadel_notification_operator.core.kinds import POLICY, Kind

from .rules import RULES

Schema = Mapping[str, Any]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
}

_ROOT = frozenset({"apiVersion", "kind", "metadata", "status", "spec"})


def problems_with(kind: Kind, body: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an object, each with the field first.

    Args:
        kind: Its kind.
        body: Its JSON, with a name in its metadata. Its status is ignored.
    """
    for unknown in sorted(set(body) - _ROOT):
        yield f"{_shown(unknown)}: there is no such field"
    schema = _schemas()[kind.name]
    spec = _Field("spec", schema["properties"]["spec"])
    if "spec" not in body:
        yield "spec: it is required"
        return
    yield from spec.problems(body["spec"])
    yield from _broken_rules("metadata.name", schema, body)


def problems_of_name(name: str) -> list[str]:
    """Return why `spec.organization.name` may not have this value, or an empty list."""
    spec = _schemas()[POLICY.name]["properties"]["spec"]
    schema = spec["properties"]["organization"]["properties"]["name"]
    return list(_Field("spec.organization.name", schema).problems(name))


@cache
def _schemas() -> dict[str, Any]:
    text = files(__package__).joinpath("schemas.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


class _Field:
    """A field of an object, and what the schema says about it.

    Args:
        path: The field's path, such as `spec.organization`.
        schema: Its schema.
    """

    def __init__(self, path: str, schema: Schema) -> None:
        self._path, self._schema = path, schema

    def problems(self, value: Any) -> Iterator[str]:
        """Yield what is wrong with a value of the field."""
        if not self._has_type(value):
            hint = ""
            if self._schema["type"] == "string" and not isinstance(value, dict | list):
                hint = "; put it in quotes"
            yield f"{self._path}: it must be {_A[self._schema['type']]}{hint}"
            return
        found = [*self._simple(value), *self._inner(value)]
        yield from found
        if not found:
            # Kubernetes asks the rules about objects whose shape is right, too.
            yield from _broken_rules(self._path, self._schema, value)

    def _has_type(self, value: Any) -> bool:
        wanted = self._schema["type"]
        # In Python, True is an integer.
        is_odd = wanted == "integer" and isinstance(value, bool)
        return isinstance(value, _TYPES[wanted]) and not is_odd

    def _simple(self, value: Any) -> Iterator[str]:
        schema, path = self._schema, self._path
        if "enum" in schema and value not in schema["enum"]:
            yield f"{path}: it must be one of {', '.join(schema['enum'])}"
        if isinstance(value, Sized):
            yield from self._size(value)
        pattern = schema.get("pattern")
        if pattern and not _search(pattern, value):
            # Where the same has a sentence in a rule, that is easier to understand.
            said = list(_broken_rules(path, schema, value))
            yield from said or [f"{path}: it must match {pattern}"]
        if isinstance(value, int) and not isinstance(value, bool):
            least, most = schema.get("minimum", value), schema.get("maximum", value)
            if not least <= value <= most:
                yield f"{path}: it must be a number from {least} to {most}"

    def _size(self, value: Sized) -> Iterator[str]:
        size = len(value)
        for what, unit in (("Length", "characters"), ("Items", "items")):
            least = self._schema.get(f"min{what}", size)
            most = self._schema.get(f"max{what}", size)
            if size < least:
                yield f"{self._path}: it must have at least {least} {unit}"
            if size > most:
                yield f"{self._path}: it may have at most {most} {unit}"

    def _repeated(self, value: list[Any]) -> Iterator[str]:
        for number, item in enumerate(value):
            if item in value[:number]:
                yield f"{self._path}[{number}]: it is in the list twice"

    def _inner(self, value: Any) -> Iterator[str]:
        if isinstance(value, list):
            if self._schema.get("isSet"):
                yield from self._repeated(value)
            for number, item in enumerate(value):
                yield from _Field(
                    f"{self._path}[{number}]", self._schema["items"]
                ).problems(item)
        if not isinstance(value, dict):
            return
        members = self._schema.get("properties", {})
        present = _without_defaulted_nulls(value, members)
        for name in self._schema.get("required", ()):
            if name not in present:
                yield f"{self._path}.{name}: it is required"
        for name, inner in present.items():
            path = f"{self._path}.{_shown(name)}"
            if name not in members:
                yield f"{path}: there is no such field"
            else:
                yield from _Field(path, members[name]).problems(inner)


_A = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "boolean": "true or false, without quotes",
    "integer": "a whole number, without quotes",
}


def _broken_rules(path: str, schema: Schema, value: Any) -> Iterator[str]:
    members = schema.get("properties", {})
    if isinstance(value, dict):
        value = _without_defaulted_nulls(value, members)
    for rule in schema.get("rules", ()):
        if not RULES[rule["rule"]](value):
            yield f"{path}{rule.get('fieldPath', '')}: {rule['message']}"


def _without_defaulted_nulls(
    value: Mapping[str, Any], members: Mapping[str, Schema]
) -> dict[str, Any]:
    """Return an object without the nulls that become defaults."""
    return {
        name: inner
        for name, inner in value.items()
        if inner is not None or not members.get(name, {}).get("hasDefault")
    }


def _search(pattern: str, value: str) -> bool:
    """Whether a text matches as in Go, where `$` is the very end."""
    if pattern.endswith("$"):
        pattern = pattern[:-1] + r"\Z"
    return re.search(pattern, value) is not None


def _shown(name: str) -> str:
    """Return a field's name in a form that is safe to show."""
    return name if name.isidentifier() else repr(name)[:80]
