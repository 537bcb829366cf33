"""Removes the operator's marks from objects when no operator is running to do it.

It works on the stored JSON, not on records, because an object that does not fit its
schema must be released, too. It never talks to ZITADEL.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from zitadel_notification_operator.core.errors import ClusterError, ObjectGone
from zitadel_notification_operator.core.kinds import INSTANCE, Kind, ObjectKey
from zitadel_notification_operator.core.lease import Lease
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.release import (
    OF_INSTANCE,
    UNREADABLE,
    Marked,
    is_fresh,
)

from .calls import ApiClient, Forbidden, call, path_of
from .lease import ClusterLease
from .names import ORIGINAL
from .removal import strip_marks
from .resources import FORMS, UnusableObject, parse

DEFAULT_INSTANCE = "default"
"""The name in `spec.instanceRef` if an object does not say any."""


class NotServed(ClusterError):
    """The CRD of a kind is gone, and all its objects with it."""


async def read_all(api: ApiClient, kind: Kind) -> list[Marked]:
    """Return all objects of a kind, marked or not.

    Raises:
        NotServed: The kind does not exist, or no longer.
        Forbidden: The caller may not list it.
        ClusterError: Kubernetes did not answer.
    """
    try:
        found = await call(api, "GET", path_of(kind))
    except ObjectGone as error:
        raise NotServed(
            f"Kubernetes serves no {kind.plural}: the CRD is gone, and with it all "
            "objects of the kind; there is nothing to release"
        ) from error
    return [_marked(kind, item) for item in found["items"]]


async def read_one(api: ApiClient, kind: Kind, key: ObjectKey) -> Marked:
    """Return one object, marked or not.

    Raises:
        ObjectGone: There is no such object.
        NotServed: The kind does not exist, or no longer.
        Forbidden: The caller may not read it.
        ClusterError: Kubernetes did not answer.
    """
    try:
        body = await call(api, "GET", path_of(kind, *key))
    except ObjectGone as error:
        # A caller who may not list the kind still gets the error about the object.
        with suppress(Forbidden):
            await read_all(api, kind)
        raise ObjectGone(f"There is no {kind.name} {key}") from error
    return _marked(kind, body)


async def strip(api: ApiClient, marked: Marked) -> Marked | None:
    """Remove our marks from the object that was read; raises as `strip_marks`.

    Returns:
        The marks that were removed, with the current facts that decide what becomes of
        the object. None if the object was gone already.
    """
    stored = await strip_marks(
        api, marked.path, marked.uid, finalizer=True, annotation=ORIGINAL
    )
    return None if stored is None else _at_its_end(marked, stored["metadata"])


async def classes_of_instances(
    api: ApiClient, tell: Callable[[str], None]
) -> Mapping[str, str]:
    """Return the class of each ZitadelInstance by its name.

    Args:
        api: Makes the calls.
        tell: Receives a sentence for the user if the caller may not list them.

    Raises:
        ClusterError: Kubernetes did not answer.
    """
    try:
        found = await call(api, "GET", path_of(INSTANCE))
    except ObjectGone:
        return {}  # without the CRD there are no classes
    except Forbidden:
        tell(
            "you may not list zitadelinstances, so all objects count as those of the "
            "operator without a class"
        )
        return {}
    return {
        item["metadata"]["name"]: str((item.get("spec") or {}).get("class") or "")
        for item in found["items"]
    }


async def holder_of_lease(
    api: ApiClient, namespace: str, name: str, tell: Callable[[str], None]
) -> Lease | None:
    """Return the lease of an operator that is running, or None if none is.

    A lease that was renewed within its duration proves it. If it looks older, the
    reason may be that the clocks differ, so the lease is read again after its duration:
    a live operator has renewed it.

    Args:
        api: Makes the calls.
        namespace: The operator's own namespace.
        name: The name of its Lease.
        tell: Receives a sentence for the user when there is something to wait for.

    Raises:
        ClusterError: The lease could not be read; the text says so.
    """
    first = await _read_lease(api, namespace, name)
    if first is None or is_fresh(first, datetime.now(UTC)):
        return first
    tell(
        f"{first.holder} holds the Lease {namespace}/{name}, but has not renewed it "
        f"in time; looking for {first.duration} s whether it does"
    )
    await asyncio.sleep(first.duration)
    last = await _read_lease(api, namespace, name)
    return None if last is None or last.version == first.version else last


async def _read_lease(api: ApiClient, namespace: str, name: str) -> Lease | None:
    """Return the lease, or None if nobody holds it."""
    try:
        lease = await ClusterLease(api, namespace, name).read()
    except ClusterError as error:
        why = error.message
        if isinstance(error.__cause__, Forbidden):
            why = "you may not get leases of coordination.k8s.io there"
        raise ClusterError(
            f"The Lease {namespace}/{name} could not be read, so whether an operator "
            f"runs is not known: {why}; --force goes on without it"
        ) from error
    return lease if lease is not None and lease.holder else None


def _marked(kind: Kind, body: Mapping[str, Any]) -> Marked:
    metadata = body["metadata"]
    key = ObjectKey(metadata.get("namespace", ""), metadata["name"])
    read = Marked(
        title=f"{kind.name} {key}",
        path=path_of(kind, *key),
        uid=metadata["uid"],
        finalizer=FINALIZER in (metadata.get("finalizers") or []),
        original=ORIGINAL in (metadata.get("annotations") or {}),
        left=_left(kind, body),
        instance=_instance_of(kind, body),
    )
    return _at_its_end(read, metadata)


def _instance_of(kind: Kind, body: Mapping[str, Any]) -> str:
    if kind is INSTANCE:
        return str(body["metadata"]["name"])
    try:
        return str(body["spec"]["instanceRef"]["name"])
    except (KeyError, TypeError):
        return DEFAULT_INSTANCE


def _at_its_end(marked: Marked, metadata: Mapping[str, Any]) -> Marked:
    """Return `marked` with the current facts that decide what becomes of the object."""
    finalizers = metadata.get("finalizers") or []
    return replace(
        marked,
        deleting=bool(metadata.get("deletionTimestamp")),
        others=tuple(one for one in finalizers if one != FINALIZER),
    )


def _left(kind: Kind, body: Mapping[str, Any]) -> tuple[str, ...]:
    tell_left = FORMS[kind].left
    if tell_left is None:
        return (OF_INSTANCE,)
    try:
        record = parse(kind, body)
    except UnusableObject as error:
        return (f"{UNREADABLE}: {error}",)
    if record.not_understood is None:
        return tell_left(record)
    problems = record.not_understood.problems
    return (
        *tell_left(record),
        f"its spec cannot be read: {kind.name} {record.key}: {problems}",
    )
