"""Reads objects and their Events for a person, with that person's own rights.

The operator's reader (`cluster.reader`) works around what it may not read. Here, each
refusal is an error whose text says what the person can do about it.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from zitadel_notification_operator.core.errors import ClusterError, ObjectGone
from zitadel_notification_operator.core.kinds import POLICY, Kind, ObjectKey
from zitadel_notification_operator.core.objects import OwnObject
from zitadel_notification_operator.core.policy import Scope

from .calls import ApiClient, Forbidden, Unauthorized, call, path_of
from .names import GROUP, VERSION
from .reader import PAGE
from .resources import UnusableObject, parse, parse_answer

EVENTS_OF_CLUSTER_SCOPED = "default"
"""The namespace of Events about objects that have none."""

RIGHTS = "docs/operations/security.md says which role gives it"


class Absent(ClusterError):
    """There is no such object."""


class NotServed(ClusterError):
    """Kubernetes does not serve the kind: its CRD is missing."""


class NotPermitted(ClusterError):
    """The person lacks a right."""


class Stored(NamedTuple):
    """An object as Kubernetes stores it.

    Attributes:
        body: Its JSON.
        record: What it says.
    """

    body: Mapping[str, Any]
    record: Any


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An Event about an object.

    Attributes:
        time: When it happened last, as Kubernetes writes it.
        type: Normal or Warning.
        reason: A word in CamelCase.
        note: A sentence for people.
        count: How often it happened.
    """

    time: str
    type: str
    reason: str
    note: str
    count: int


async def read_object(api: ApiClient, kind: Kind, key: ObjectKey) -> Stored:
    """Return one object.

    Raises:
        Absent: There is none.
        NotServed: The CRD of its kind is missing.
        NotPermitted: The person may not get it.
        ClusterError: Kubernetes did not answer.
    """
    try:
        body = await call(api, "GET", path_of(kind, *key))
    except ClusterError as error:
        await explain(api, error, "get", kind, key)
    return Stored(body, parse_answer(kind, body))


async def list_objects(
    api: ApiClient, kind: Kind, namespace: str, selector: str = ""
) -> list[Stored]:
    """Return the objects of a kind that can be understood at all, by name.

    Args:
        api: Makes the calls.
        kind: The kind.
        namespace: The namespace; empty for all.
        selector: A label selector; empty for all objects.

    Raises:
        NotServed: The CRD of the kind is missing.
        NotPermitted: The person may not list it.
        ClusterError: Kubernetes did not answer.
    """
    query = {"labelSelector": selector} if selector else {}
    found = []
    async for item in _items(api, kind, namespace, query):
        stored = _stored(kind, item)
        if stored is not None:
            found.append(stored)
    return sorted(found, key=lambda one: one.record.key)


async def policies_about(
    api: ApiClient, namespace: str, organization_id: str | None
) -> list[OwnObject]:
    """Return the policies that may be about an organization, or about the instance.

    Args:
        api: Makes the calls.
        namespace: The namespace; empty for all.
        organization_id: ZITADEL's id of the organization; None for the instance.

    Raises:
        ClusterError: As `list_objects`.
    """
    scope = Scope.INSTANCE if organization_id is None else Scope.ORGANIZATION
    query = {"fieldSelector": f"spec.scope={scope}"}
    fits = _is_about(organization_id)
    found = []
    async for item in _items(api, POLICY, namespace, query):
        stored = _stored(POLICY, item) if fits(item) else None
        if stored is not None:
            found.append(stored.record)
    return found


async def events_of(api: ApiClient, one: OwnObject) -> list[SeenEvent]:
    """Return the Events about an object, the oldest first.

    Raises:
        NotPermitted: The person may not list Events.
        ClusterError: Kubernetes did not answer.
    """
    namespace = one.key.namespace or EVENTS_OF_CLUSTER_SCOPED
    path = f"/api/v1/namespaces/{namespace}/events"
    query = {"fieldSelector": f"involvedObject.uid={one.uid}"}
    try:
        found = await call(api, "GET", path, query=query)
    except Forbidden as error:
        raise NotPermitted(_may_not("list", "events", namespace)) from error
    return sorted(map(_event, found["items"]), key=lambda event: event.time)


async def explain(
    api: ApiClient, error: ClusterError, verb: str, kind: Kind, key: ObjectKey
) -> NoReturn:
    """Raise the error of a call about our kinds in words that say what to do.

    Args:
        api: Asks whether the kind is served.
        error: What the call has raised.
        verb: The verb of the right that the call needs.
        kind: The kind.
        key: The object, or its namespace alone for a LIST.

    Raises:
        Absent: There is no such object.
        NotServed: The CRD of the kind is missing.
        NotPermitted: The person lacks the right.
        ClusterError: Every other error.
    """
    if isinstance(error, Forbidden):
        why = _may_not(verb, kind.plural, key.namespace, key.name)
        raise NotPermitted(why) from error
    if isinstance(error, Unauthorized):
        raise ClusterError(
            f"{error.message}; log in to the cluster again, or correct the kubeconfig"
        ) from error
    if not isinstance(error, ObjectGone):
        raise error
    if not await _is_served(api, kind):
        raise NotServed(
            f"Kubernetes serves no {kind.plural}, because their CRD is missing: "
            "install the chart, or kubectl apply --server-side -f deploy/crds"
        ) from error
    where = f" -n {key.namespace}" if key.namespace else ""
    raise Absent(
        f"There is no {kind.name} {key}; kubectl get {kind.short}{where} lists those "
        "that exist"
    ) from error


async def _is_served(api: ApiClient, kind: Kind) -> bool:
    try:
        found = await call(api, "GET", f"/apis/{GROUP}/{VERSION}")
    except ObjectGone:
        return False
    return kind.plural in {one["name"] for one in found.get("resources", [])}


def _may_not(verb: str, plural: str, namespace: str, name: str = "") -> str:
    where = f" in the namespace {namespace}" if namespace else ""
    if not namespace and not name:
        where = " of the whole cluster"
    what = f"{plural}/{name}" if name else plural
    return f"You may not {verb} {what}{where}; {RIGHTS}"


async def _items(
    api: ApiClient, kind: Kind, namespace: str, query: Mapping[str, str]
) -> AsyncIterator[Mapping[str, Any]]:
    pages = {**query, "limit": str(PAGE)}
    while True:
        try:
            page = await call(api, "GET", path_of(kind, namespace), query=pages)
        except ClusterError as error:
            await explain(api, error, "list", kind, ObjectKey(namespace, ""))
        for item in page["items"]:
            yield item
        token = page["metadata"].get("continue")
        if not token:
            return
        pages["continue"] = token


def _stored(kind: Kind, item: Mapping[str, Any]) -> Stored | None:
    """Return an object of a LIST; None if it has not even a name."""
    try:
        return Stored(item, parse(kind, item))
    except UnusableObject:
        return None


def _is_about(organization_id: str | None) -> Callable[[Mapping[str, Any]], bool]:
    """Return a check that is much cheaper than parsing an object."""

    def fits(item: Mapping[str, Any]) -> bool:
        if organization_id is None:
            return True
        spec, status = item.get("spec") or {}, item.get("status") or {}
        named = (spec.get("organization") or {}).get("id")
        return organization_id in {named, status.get("organizationId")}

    return fits


def _event(item: Mapping[str, Any]) -> SeenEvent:
    series = item.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        item.get("lastTimestamp"),
        item.get("eventTime"),
        item["metadata"].get("creationTimestamp"),
    )
    return SeenEvent(
        time=next(filter(None, times), ""),
        type=item.get("type") or "",
        reason=item.get("reason") or "",
        note=item.get("message") or "",
        count=series.get("count") or item.get("count") or 1,
    )
