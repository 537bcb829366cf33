"""Compares the chart's permissions with the requests that the API server received."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from chart.rendering import Document
from chart.test_rbac import operators_rights
from zitadel_notification_operator.demo.control_plane import ControlPlane

DECISION = "authorization.k8s.io/decision"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource.

    Attributes:
        namespace: The namespace; empty means the whole cluster.
        group: The API group; empty means the core group.
        resource: The plural, with the subresource as in `notificationpolicies/status`.
        name: The only object that it applies to; empty means any.
    """

    namespace: str
    group: str
    resource: str
    name: str
    verb: str


@dataclass(frozen=True, slots=True)
class Request:
    """One finished request; the resource is empty for other paths.

    Attributes:
        code: The HTTP status of the response.
        authorized: Whether RBAC permitted it; admission may have refused it then.
        uri: The path with its query.
    """

    namespace: str
    group: str
    resource: str
    name: str
    verb: str
    code: int
    authorized: bool
    uri: str

    def needs(self, right: Right) -> bool:
        """Return whether this permission covers the request."""
        return (
            (self.group, self.resource, self.verb)
            == (right.group, right.resource, right.verb)
            and right.namespace in {"", self.namespace}
            and right.name in {"", self.name}
        )


def granted(documents: list[Document]) -> set[Right]:
    """Return each permission that a rendered chart gives to the operator."""
    return {
        Right(namespace, group, *_split(resource), verb)
        for namespace, rights in operators_rights(documents).items()
        for (group, resource), verbs in rights.items()
        for verb in verbs
    }


def requests(plane: ControlPlane, user: str) -> list[Request]:
    """Return all finished requests of a user; a watch counts after its end."""
    with plane.audit_log.open("rb") as log:
        whole, _, _ = log.read().rpartition(b"\n")
    return list(_requests(whole, user))


def _requests(log: bytes, user: str) -> Iterator[Request]:
    for line in log.splitlines():
        entry = json.loads(line)
        if entry["user"].get("username") != user:
            continue
        about = entry.get("objectRef") or {}
        parts = (about.get("resource", ""), about.get("subresource", ""))
        yield Request(
            namespace=about.get("namespace", ""),
            group=about.get("apiGroup", ""),
            resource="/".join(part for part in parts if part),
            name=about.get("name", ""),
            verb=entry["verb"],
            code=entry.get("responseStatus", {}).get("code", 0),
            authorized=entry["annotations"].get(DECISION) == "allow",
            uri=entry["requestURI"],
        )


def _split(resource: str) -> tuple[str, str]:
    plural, _, name = resource.partition(":")
    return plural, name
