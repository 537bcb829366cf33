"""What the objects of a cluster would be once manifests were applied; pure.

Nothing is pruned: an object without a manifest stays as it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from zitadel_notification_operator.core.conditions import format_time
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceSpec,
)
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY, SET, Kind
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy_object import PolicySpec
from zitadel_notification_operator.core.set_object import SetSpec

_SPECS: dict[Kind, type] = {
    POLICY: PolicySpec,
    INSTANCE: InstanceSpec,
    SET: SetSpec,
}
_ANNOTATED = ("requested_at", "approved", "accepted_id")
"""The fields of records that hold an annotation which people write."""

Manifest = tuple[Kind, Mapping[str, Any]]
"""An object's JSON, with its kind."""


def with_metadata(
    kind: Kind, body: Mapping[str, Any], namespace: str, number: int, now: datetime
) -> dict[str, Any]:
    """Return a manifest with what the API server would add to the metadata.

    Args:
        kind: Its kind.
        body: The manifest.
        namespace: The namespace of objects that name none.
        number: The manifest's place among all. A later object is a younger one.
        now: The present time. New objects are younger than all that exist.
    """
    metadata = dict(body.get("metadata") or {})
    created = now + timedelta(seconds=1 + number)
    metadata |= {
        "uid": f"new-{number}",
        "generation": 1,
        "creationTimestamp": format_time(created),
    }
    if kind.namespaced:
        metadata["namespace"] = metadata.get("namespace") or namespace
    for name in ("deletionTimestamp", "finalizers", "ownerReferences"):
        metadata.pop(name, None)
    return {**body, "metadata": metadata, "status": {}}


class New(NamedTuple):
    """What a manifest would make.

    Attributes:
        record: The object, if there was none of its name.
        says_suspend: Whether the manifest has `spec.suspend`.
    """

    record: OwnObject
    says_suspend: bool


def says_suspend(body: Mapping[str, Any]) -> bool:
    """Return whether a manifest has `spec.suspend`."""
    return "suspend" in (body.get("spec") or {})


_IMMUTABLE = {
    "scope": "scope",
    "instance": "instanceRef.name",
    "organization": "organization",
}
"""The fields of a policy's record that may not change, with their names in the spec.
Of a set only the instance may not."""


def forbidden_changes(
    existing: Iterable[OwnObject], new: Iterable[New]
) -> Iterator[str]:
    """Yield what Kubernetes would refuse, because a field may not be changed.

    Args:
        existing: What the cluster holds.
        new: What the manifests would make.
    """
    objects = {(one.kind, one.key): one for one in existing}
    for made in new:
        one = made.record
        known = objects.get((one.kind, one.key))
        if known is None or one.kind is INSTANCE:
            continue
        for name, shown in _IMMUTABLE.items():
            before, after = getattr(known, name, None), getattr(one, name, None)
            if known.can_read(shown.partition(".")[0]) and before != after:
                yield (
                    f"{one.kind} {one.key}: spec.{shown} may not be changed; delete "
                    "the object first, or give it another name"
                )


def led_elsewhere(existing: Iterable[OwnObject], new: Iterable[New]) -> frozenset[str]:
    """Return the names of instances that manifests would lead somewhere else.

    That is to another URL, or with another credential or authority than the cluster's
    object of that name.
    """
    objects = {one.name: one for one in existing if isinstance(one, InstanceObject)}
    names = set()
    for made in new:
        one = made.record
        if isinstance(one, InstanceObject):
            known = objects.get(one.name)
            if known is None or _way(known) != _way(one):
                names.add(one.name)
    return frozenset(names)


def _way(one: InstanceObject) -> tuple[object, ...]:
    return one.url, one.external_domain, one.credential, one.ca


def apply(existing: Iterable[OwnObject], new: Iterable[New]) -> list[OwnObject]:
    """Return all objects, as they would be once the new ones were applied.

    A field that a manifest leaves out gets its default. Only `suspend` stays as it is,
    because commands and GitOps tools set it beside the manifests.

    Args:
        existing: What the cluster holds.
        new: What the manifests would make; of two for one object the later one counts.
    """
    objects = {(one.kind, one.key): one for one in existing}
    for one in new:
        key = one.record.kind, one.record.key
        known = objects.get(key)
        objects[key] = one.record if known is None else _applied(known, one)
    return list(objects.values())


def _applied(known: OwnObject, made: New) -> OwnObject:
    """Return an object with the spec of its manifest, and all else as it is."""
    new = made.record
    spec = [field.name for field in fields(_SPECS[known.kind])]
    changes: dict[str, Any] = {name: getattr(new, name) for name in spec}
    if "suspended" in changes and not made.says_suspend:
        changes["suspended"] = getattr(known, "suspended", False)
    for name in _ANNOTATED:
        given = getattr(new, name, None)
        if given is not None:
            changes[name] = given
    is_other = any(getattr(known, name) != changes[name] for name in spec)
    changes["not_understood"] = new.not_understood
    changes["generation"] = known.generation + is_other
    return replace(known, **changes)
