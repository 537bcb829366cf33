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

from zitadel_notification_operator.cluster.calls import (
    JSON_PATCH,
    Forbidden,
    call,
    path_of,
)
from zitadel_notification_operator.cluster.client import ApiClient
from zitadel_notification_operator.cluster.lease import LEASE, ClusterLease
from zitadel_notification_operator.cluster.names import (
    FIELD_MANAGER,
    INSTANCE_KIND,
    INSTANCES,
    ORIGINAL,
    POLICIES,
    POLICY_KIND,
)
from zitadel_notification_operator.cluster.removal import removal
from zitadel_notification_operator.cluster.resources import (
    UnusableObject,
    parse_policy,
)
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.lease import Lease
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.release import (
    OF_INSTANCE,
    UNREADABLE,
    Marked,
    is_fresh,
    tell_left,
)

KINDS = {POLICIES: POLICY_KIND, INSTANCES: INSTANCE_KIND}
_LOOK = 1.0
"""Seconds between two reads of a lease whose holder may be dead."""
_TRIES = 3


class NotServed(ClusterError):
    """The CRD of a kind is gone, and all its objects with it."""


class Release:
    """Finds marked objects of both kinds and removes the marks.

    Args:
        api: Makes the calls, with the permissions of the user who runs the command.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def list_marked(self, plural: str) -> tuple[list[Marked], int]:
        """Return the objects of a kind that are marked, and how many are not.

        Raises:
            NotServed: The kind does not exist, or no longer.
            Forbidden: The caller may not list it.
            ClusterError: Kubernetes did not answer.
        """
        try:
            items = (await self._call("GET", path_of(plural)))["items"]
        except ObjectGone as error:
            raise _not_served(plural) from error
        found = [_marked(plural, item) for item in items]
        marked = [one for one in found if one.is_marked]
        return marked, len(found) - len(marked)

    async def read_policy(self, key: PolicyKey) -> Marked:
        """Return one policy, marked or not.

        Raises:
            ObjectGone: There is no such policy.
            NotServed: The kind does not exist, or no longer.
            Forbidden: The caller may not read it.
            ClusterError: Kubernetes did not answer.
        """
        return await self._read(POLICIES, key.namespace, key.name)

    async def read_instance(self, name: str) -> Marked:
        """Return one instance, marked or not; the errors are those of `read_policy`."""
        return await self._read(INSTANCES, "", name)

    async def strip(self, marked: Marked) -> Marked | None:
        """Remove our marks from the object that was read, in one write.

        Returns:
            The marks that were removed, with the current facts that decide what becomes
            of the object. None if the object was gone already.

        Raises:
            ObjectChanged: It changed during each of three tries, or Kubernetes finds
                the object invalid. The text holds the message of Kubernetes.
            Forbidden: The caller may not patch it.
            ClusterError: Kubernetes did not accept the write.
        """
        for _ in range(_TRIES - 1):
            with suppress(ObjectChanged):
                return await self._strip_once(marked)
        return await self._strip_once(marked)

    async def _strip_once(self, marked: Marked) -> Marked | None:
        try:
            metadata = (await self._call("GET", marked.path))["metadata"]
            if metadata["uid"] != marked.uid:
                return None
            patch = removal(metadata, finalizer=True, annotation=ORIGINAL)
            if patch:
                query = {"fieldManager": FIELD_MANAGER}
                stored = await self._call("PATCH", marked.path, query, patch)
                metadata = stored["metadata"]
        except ObjectGone:
            return None
        return _at_its_end(marked, metadata)

    async def _read(self, plural: str, namespace: str, name: str) -> Marked:
        try:
            body = await self._call("GET", path_of(plural, namespace, name))
        except ObjectGone as error:
            await self._require_kind(plural)
            title = _title(plural, namespace, name)
            raise ObjectGone(f"There is no {title}") from error
        return _marked(plural, body)

    async def _require_kind(self, plural: str) -> None:
        try:
            await self._call("GET", path_of(plural), {"limit": "1"})
        except ObjectGone as error:
            raise _not_served(plural) from error
        except Forbidden:
            pass  # A caller who may not list still gets the error about the object.

    async def _call(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        return await call(
            self._api, method, path, query=query, body=body, content_type=JSON_PATCH
        )


async def holder_of_lease(
    api: ApiClient, namespace: str, tell: Callable[[str], None]
) -> Lease | None:
    """Return the lease of an operator that is running, or None if none is.

    A lease that was renewed within its duration proves it. If it looks older, the
    reason may be that the clocks differ, so the lease is watched for its duration: a
    live operator renews it.

    Args:
        api: Makes the calls.
        namespace: The operator's own namespace.
        tell: Receives a sentence for the user when there is something to wait for.

    Raises:
        ClusterError: The lease could not be read; the text says so.
    """
    store = ClusterLease(api, namespace)
    first = await _read_lease(store, namespace)
    if first is None or not first.holder:
        return None
    if is_fresh(first, datetime.now(UTC)):
        return first
    tell(
        f"{first.holder} holds the Lease {namespace}/{LEASE}, but has not renewed it "
        f"in time; looking for {first.duration} s whether it does"
    )
    for _ in range(first.duration):
        await asyncio.sleep(_LOOK)
        lease = await _read_lease(store, namespace)
        if lease is None or not lease.holder:
            return None
        if lease.version != first.version:
            return lease
    return None


async def _read_lease(store: ClusterLease, namespace: str) -> Lease | None:
    try:
        return await store.read()
    except ClusterError as error:
        why = error.message
        if isinstance(error.__cause__, Forbidden):
            why = "you may not get leases of coordination.k8s.io there"
        raise ClusterError(
            f"The Lease {namespace}/{LEASE} could not be read, so whether an operator "
            f"runs is not known: {why}; --force goes on without it"
        ) from error


def _marked(plural: str, body: Mapping[str, Any]) -> Marked:
    metadata = body["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    read = Marked(
        title=_title(plural, namespace, name),
        path=path_of(plural, namespace, name),
        uid=metadata["uid"],
        finalizer=FINALIZER in (metadata.get("finalizers") or []),
        original=ORIGINAL in (metadata.get("annotations") or {}),
        left=(OF_INSTANCE,) if plural == INSTANCES else _left(body),
    )
    return _at_its_end(read, metadata)


def _at_its_end(marked: Marked, metadata: Mapping[str, Any]) -> Marked:
    """Return `marked` with the current facts that decide what becomes of the object."""
    finalizers = metadata.get("finalizers") or []
    return replace(
        marked,
        deleting=bool(metadata.get("deletionTimestamp")),
        others=tuple(one for one in finalizers if one != FINALIZER),
    )


def _left(body: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        policy = parse_policy(body)
        told = policy.not_understood
        if told is None:
            return tell_left(policy)
        name = f"{POLICY_KIND} {policy.key}"
        return (*tell_left(policy), f"its spec cannot be read: {name}: {told.problems}")
    except UnusableObject as error:
        return (f"{UNREADABLE}: {error}",)


def _not_served(plural: str) -> NotServed:
    return NotServed(
        f"Kubernetes serves no {plural}: the CRD is gone, and with it all objects of "
        "the kind; there is nothing to release"
    )


def _title(plural: str, namespace: str, name: str) -> str:
    where = f"{namespace}/" if namespace else ""
    return f"{KINDS[plural]} {where}{name}"
