"""Says what is wrong with an object of ours that somebody wants to apply."""

from collections.abc import Mapping
from typing import Any

from zitadel_notification_operator.cluster.resources import parse
from zitadel_notification_operator.core.kinds import Kind
from zitadel_notification_operator.core.names import is_label, is_name
from zitadel_notification_operator.core.objects import OwnObject

from .schema import problems_with

_NO_NAME = (
    "metadata.name: it must consist of small letters, digits, - and ., begin and end "
    "with a letter or digit, and have at most 253 characters"
)

_UID = "manifest"
"""Stands for the uid that Kubernetes gives to an object when it is created."""


def problems_of(kind: Kind, body: Mapping[str, Any]) -> list[str]:
    """Return why Kubernetes would refuse an object of ours, or an empty list.

    Each text begins with the name of a field. No text quotes a value of the object.
    """
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return ["metadata: it must be an object with a name"]
    return (
        _problems_of_names(kind, metadata)
        or list(problems_with(kind, body))
        or _problems_of_record(kind, body)
    )


def _problems_of_names(kind: Kind, metadata: Mapping[str, Any]) -> list[str]:
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if name is None:
        return ["metadata.name: it is required; generateName alone names no object"]
    if not isinstance(name, str) or not is_name(name):
        return [_NO_NAME]
    if namespace is None or not kind.namespaced:
        return []
    if not isinstance(namespace, str) or not is_label(namespace):
        return ["metadata.namespace: this is no name of a namespace"]
    return []


def _problems_of_record(kind: Kind, body: Mapping[str, Any]) -> list[str]:
    """Return what this version would not understand, although the schema allows it."""
    plain = {name: body["metadata"].get(name) for name in ("name", "namespace")}
    metadata = {name: text for name, text in plain.items() if text is not None}
    record: OwnObject = parse(
        kind,
        {"metadata": {**metadata, "uid": _UID}, "spec": body.get("spec")},
    )
    wrong = record.not_understood
    return [] if wrong is None else [wrong.problems]
