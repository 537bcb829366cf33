"""JSON patches that take our marks off an object, and nothing else.

A `test` stands before each `remove`: an object that has changed since it was read,
or another one of its name, refuses the whole patch (design, section 3).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from zitadel_notification_operator.core.conditions import OWN_TYPES
from zitadel_notification_operator.core.objects import FINALIZER


def removal(
    metadata: Mapping[str, Any], *, finalizer: bool, annotation: str | None
) -> list[dict[str, Any]]:
    """Return the patch, each removal behind a `test`; empty when nothing is there.

    Args:
        metadata: Of the object as it was just read.
        finalizer: Whether our finalizer is to go; others' indexes may shift, so its
            place is tested.
        annotation: Which annotation is to go, if it still has the value read; None
            for none.
    """
    patch: list[dict[str, Any]] = []
    annotations = metadata.get("annotations") or {}
    if annotation is not None and annotation in annotations:
        path = "/metadata/annotations/" + annotation.replace("/", "~1")
        patch.append({"op": "test", "path": path, "value": annotations[annotation]})
        patch.append({"op": "remove", "path": path})
    finalizers = metadata.get("finalizers") or []
    if finalizer and FINALIZER in finalizers:
        path = f"/metadata/finalizers/{finalizers.index(FINALIZER)}"
        patch.append({"op": "test", "path": path, "value": FINALIZER})
        patch.append({"op": "remove", "path": path})
    if patch:
        uid = metadata["uid"]
        patch.insert(0, {"op": "test", "path": "/metadata/uid", "value": uid})
    return patch


def intruders(
    conditions: Sequence[Mapping[str, Any]], ours: Collection[str]
) -> list[dict[str, Any]]:
    """Return the patch that removes conditions of our types which we did not write.

    Args:
        conditions: Of the status as stored, in its order.
        ours: The types that we wrote.
    """
    patch: list[dict[str, Any]] = []
    for index in reversed(range(len(conditions))):
        kind = conditions[index]["type"]
        if kind in OWN_TYPES and kind not in ours:
            path = f"/status/conditions/{index}"
            patch.append({"op": "test", "path": f"{path}/type", "value": kind})
            patch.append({"op": "remove", "path": path})
    return patch


def has_ended(metadata: Mapping[str, Any]) -> bool:
    """Return whether nothing keeps a deleted object any longer."""
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("finalizers")
