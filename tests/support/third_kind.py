"""A third kind, as somebody would add it: its records, its form, and its CRD."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from zitadel_notification_operator.cluster.models import MetadataModel, Model
from zitadel_notification_operator.cluster.records import model_of
from zitadel_notification_operator.cluster.resources import FORMS, Form
from zitadel_notification_operator.core.kinds import Kind
from zitadel_notification_operator.core.objects import OwnObject, OwnStatus

SET = Kind("MailTemplate", "mailtemplates", namespaced=True)


@dataclass(frozen=True, slots=True)
class SetStatus(OwnStatus):
    """What the operator tells of a set."""

    policy_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSpec:
    """What a set asks for."""

    size: int
    zone: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetObject(SetSpec, OwnObject):
    """A set."""

    kind: ClassVar[Kind] = SET

    status: SetStatus = field(default_factory=SetStatus)

    @property
    def needed_instance(self) -> str:
        """The instance of its policies."""
        return self.zone


def _fields_of_set(
    _metadata: MetadataModel, spec: Model, _wrong: dict[str, str]
) -> dict[str, Any]:
    return spec.__dict__


def _what_is_left(one: SetObject) -> tuple[str, ...]:
    return (f"{one.size} policies stay",)


FORM = Form(SetObject, model_of(SetSpec), _fields_of_set, _what_is_left, size=0)

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_CONDITION = {
    "type": "object",
    "required": ["type"],
    "properties": {
        **dict.fromkeys(("type", "status", "reason", "message"), _TEXT),
        "observedGeneration": _NUMBER,
        "lastTransitionTime": _TEXT,
    },
}
_CONDITIONS = {
    "type": "array",
    "items": _CONDITION,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}
_STATUS = {
    "observedGeneration": _NUMBER,
    "conditions": _CONDITIONS,
    "lastHandledReconcileAt": _TEXT,
    "policyCount": _NUMBER,
    "foreign": _TEXT,
}
_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"size": _NUMBER, "zone": _TEXT}},
        "status": {"type": "object", "properties": _STATUS},
    },
}
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{SET.plural}.zitadel-notification.dev"},
    "spec": {
        "group": "zitadel-notification.dev",
        "scope": "Namespaced",
        "names": {"kind": SET.name, "plural": SET.plural},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _SCHEMA},
            }
        ],
    },
}


def body_of(name: str, namespace: str = "own", **metadata: Any) -> dict[str, Any]:
    """Return a set as a user writes it."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": SET.name,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"size": 3},
    }


def describe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the description for one test."""
    monkeypatch.setitem(FORMS, SET, FORM)
