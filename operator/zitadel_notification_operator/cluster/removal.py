"""Removes the operator's marks from an object by JSON patch, and nothing else.

A `test` stands before each `remove`, so that the API server refuses the whole patch if
the object has changed since it was read, or is another one of the same name
(docs/concepts/ownership.md).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from zitadel_notification_operator.core.conditions import OWN_TYPES
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.objects import FINALIZER

from .calls import JSON_PATCH, ApiClient, call
from .names import FIELD_MANAGER

Patch = list[dict[str, Any]]

TRIES = 3
"""How often an object that changes meanwhile is patched at most."""


async def strip_marks(
    api: ApiClient,
    path: str,
    uid: str,
    *,
    finalizer: bool,
    annotation: str | None,
    known: Mapping[str, Any] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Any:
    """Remove our marks from an object as it is stored now, in one write.

    If the caller knows all the marks that are to be removed, they are removed without
    reading the object first. The object is read if it turns out to differ.

    Args:
        api: Makes the calls.
        path: The path of the object in the Kubernetes API.
        uid: The uid of the object that is meant.
        finalizer: As in `removal`.
        annotation: As in `removal`.
        known: The metadata of the object as last seen: the uid, the finalizers and the
            annotation. None if nothing is known.
        check: Called right before each write. If it raises, the write is not made.

    Returns:
        The JSON of the object afterwards, also if it has ended with the removal. None
        if it was gone before, or another object has its name.

    Raises:
        ObjectChanged: It changed during each of three tries, or Kubernetes finds the
            object invalid. The text holds the message of Kubernetes.
        ClusterError: Kubernetes did not accept the write.
    """
    patch: Patch = []
    if known is not None and _has_all(
        known, finalizer=finalizer, annotation=annotation
    ):
        patch = removal(known, finalizer=finalizer, annotation=annotation)
    why = ""
    for _ in range(TRIES):
        try:
            if not patch:
                stored = await read_same(api, path, uid)
                patch = removal(
                    stored["metadata"], finalizer=finalizer, annotation=annotation
                )
                if not patch:
                    return stored
            return await _send_removal(api, path, uid, patch, check)
        except ObjectGone:
            return None
        except ObjectChanged as error:
            why, patch = error.message, []
    raise ObjectChanged(f"{path} changes faster than it can be patched: {why}")


def _has_all(
    known: Mapping[str, Any], *, finalizer: bool, annotation: str | None
) -> bool:
    """Return whether all marks that are to be removed are known.

    Otherwise the stored object may have more of them.
    """
    has_finalizer = FINALIZER in (known.get("finalizers") or ())
    has_annotation = annotation in (known.get("annotations") or {})
    return (has_finalizer or not finalizer) and (has_annotation or annotation is None)


async def _send_removal(
    api: ApiClient, path: str, uid: str, patch: Patch, check: Callable[[], None]
) -> Any:
    """Send the patch that removes marks, and return the object; raises as its caller.

    Raises:
        ObjectGone: The object is gone, also if this write has ended it and failed.
    """
    try:
        return await send_patch(api, path, patch, check)
    except (ObjectGone, ObjectChanged):
        raise
    except ClusterError:
        # It may have been made all the same; if it ended the object, say that.
        await read_same(api, path, uid)
        raise


async def read_same(api: ApiClient, path: str, uid: str) -> Any:
    """Return an object as it is stored now.

    Raises:
        ObjectGone: It is gone, or another object has its name.
        ClusterError: Kubernetes did not answer.
    """
    stored = await call(api, "GET", path)
    if stored["metadata"]["uid"] != uid:
        raise ObjectGone(f"{path} is another object now")
    return stored


async def send_patch(
    api: ApiClient, path: str, patch: Patch, check: Callable[[], None]
) -> Any:
    """Send a JSON patch, and return the object; the arguments are as above."""
    query = {"fieldManager": FIELD_MANAGER}
    check()
    return await call(
        api, "PATCH", path, query=query, body=patch, content_type=JSON_PATCH
    )


def removal(
    metadata: Mapping[str, Any], *, finalizer: bool, annotation: str | None
) -> Patch:
    """Return the patch that removes our marks; it is empty if there are none.

    Args:
        metadata: The metadata of the object, just read or as last seen.
        finalizer: Whether to remove our finalizer. Its index is tested, because it
            shifts when others change their finalizers.
        annotation: The annotation to remove if it still has the value that was read, or
            None.
    """
    patch: Patch = []
    annotations = metadata.get("annotations") or {}
    if annotation is not None and annotation in annotations:
        path = "/metadata/annotations/" + annotation.replace("/", "~1")
        patch += [_test(path, annotations[annotation]), _remove(path)]
    finalizers = metadata.get("finalizers") or []
    if finalizer and FINALIZER in finalizers:
        path = f"/metadata/finalizers/{finalizers.index(FINALIZER)}"
        patch += [_test(path, FINALIZER), _remove(path)]
    return [_test("/metadata/uid", metadata["uid"]), *patch] if patch else []


def foreign_conditions_patch(
    stored: Mapping[str, Any], ours: Mapping[str, Any], known: Collection[str]
) -> Patch:
    """Return the patch that removes what others have added to our part of a status.

    An apply does not remove it, because another manager owns it. Beside our conditions
    and fields it would make false statements.

    Args:
        stored: The status as stored.
        ours: The status that we wrote.
        known: The fields that this version may write. Others may be those of a newer
            version, and are kept.
    """
    patch: Patch = []
    conditions = stored.get("conditions", ())
    types = {condition["type"] for condition in ours.get("conditions", ())}
    for index in reversed(range(len(conditions))):
        kind = conditions[index].get("type")
        if kind in OWN_TYPES and kind not in types:
            path = f"/status/conditions/{index}"
            patch += [_test(f"{path}/type", kind), _remove(path)]
    for name in sorted((stored.keys() & known) - ours.keys()):
        path = f"/status/{name}"
        patch += [_test(path, stored[name]), _remove(path)]
    return patch


def _test(path: str, value: Any) -> dict[str, Any]:
    return {"op": "test", "path": path, "value": value}


def _remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def has_ended(metadata: Mapping[str, Any]) -> bool:
    """Return whether an object is deleted and no finalizer keeps it any longer."""
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("finalizers")
