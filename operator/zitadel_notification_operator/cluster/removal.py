"""JSON patches that remove the operator's marks from an object, and nothing else.

A `test` stands before each `remove`, so that the API server refuses the whole patch if
the object has changed since it was read, or is another one of the same name (design,
section 3).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from zitadel_notification_operator.core.conditions import OWN_TYPES
from zitadel_notification_operator.core.objects import FINALIZER


def removal(
    metadata: Mapping[str, Any], *, finalizer: bool, annotation: str | None
) -> list[dict[str, Any]]:
    """Return the patch that removes our marks; it is empty if there are none.

    Args:
        metadata: The metadata of the object, just read.
        finalizer: Whether to remove our finalizer. Its index is tested, because it
            shifts when others change their finalizers.
        annotation: The annotation to remove if it still has the value that was read, or
            None.
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
    """Return the patch that removes conditions of our types that we did not write.

    Args:
        conditions: The conditions of the stored status, in their order.
        ours: The types that we wrote.
    """
    patch: list[dict[str, Any]] = []
    for index in reversed(range(len(conditions))):
        kind = conditions[index].get("type")
        if kind in OWN_TYPES and kind not in ours:
            path = f"/status/conditions/{index}"
            patch.append({"op": "test", "path": f"{path}/type", "value": kind})
            patch.append({"op": "remove", "path": path})
    return patch


def intruding_fields(
    stored: Mapping[str, Any], ours: Collection[str], known: Collection[str]
) -> list[dict[str, Any]]:
    """Return the patch that removes fields of a status that we did not write.

    Args:
        stored: The status as stored.
        ours: The fields that we wrote.
        known: The fields that this version may write. Others may be those of a newer
            version, and are kept.
    """
    patch: list[dict[str, Any]] = []
    for name in sorted((stored.keys() & known) - set(ours)):
        path = f"/status/{name}"
        patch.append({"op": "test", "path": path, "value": stored[name]})
        patch.append({"op": "remove", "path": path})
    return patch


def has_ended(metadata: Mapping[str, Any]) -> bool:
    """Return whether an object is deleted and no finalizer keeps it any longer."""
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("finalizers")
