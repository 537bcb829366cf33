"""Reads the API server's audit log: who wrote what, by object and verb."""

import itertools
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from support.kube_calls import Away, request
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
_MARKERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Write:
    """One finished write request, whether it succeeded or was refused.

    Attributes:
        verb: The verb in audit.k8s.io/v1; a server-side apply is a `patch`.
        resource: The plural, such as `notificationpolicies`.
        subresource: For example `status`; empty if there is none.
        namespace: Empty for cluster-scoped objects.
        name: Empty when the server chose it (generateName) or for a collection.
        user: The user's name, such as `admin`.
        user_agent: The User-Agent header, which names the program.
        code: The HTTP status of the response.
        time: When the server received it.
        uri: The path with its query.
    """

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str
    user_agent: str
    code: int
    time: datetime
    uri: str


class AuditLog:
    """The writes since this object was created; each call reads what is new."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._path = control_plane.audit_log
        self._offset = self._path.stat().st_size if self._path.exists() else 0
        self._seen: list[Write] = []
        # A request that has ended already may be logged a moment later.
        self.settle()
        self._seen.clear()

    def writes(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        since: datetime | None = None,
    ) -> list[Write]:
        """Return the writes so far that match; None means any.

        Args:
            resource: The plural.
            namespace: The namespace; "" selects cluster-scoped objects.
            name: The object's name.
            since: The earliest time of receipt, with a time zone.
        """
        self.settle()
        return [
            write
            for write in self._seen
            if write.verb in WRITES
            and resource in {None, write.resource}
            and namespace in {None, write.namespace}
            and name in {None, write.name}
            and (since is None or write.time >= since)
        ]

    def by_operator(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        since: datetime | None = None,
    ) -> list[Write]:
        """Return these writes without those of kubectl and of Kubernetes itself."""
        found = self.writes(resource, namespace, name, since)
        return [w for w in found if not w.user_agent.startswith(("kubectl", "kube-"))]

    def settle(self) -> None:
        """Make a request and wait for it, so that all earlier ones are in the log."""
        marker = f"/api/v1/namespaces/marker-{id(self)}-{next(_MARKERS)}"
        with suppress(Away):  # a request that fails is logged, too
            request(self._control_plane, marker)
        before = len(self._seen)

        def is_there() -> bool:
            self._read_on()
            return any(write.uri == marker for write in self._seen[before:])

        eventually(is_there, what=f"{marker} in the audit log")

    def _read_on(self) -> None:
        with self._path.open("rb") as log:
            log.seek(self._offset)
            # The last line may be incomplete.
            whole, newline, _ = log.read().rpartition(b"\n")
        self._offset += len(whole + newline)
        self._seen += [_parse(json.loads(line)) for line in whole.splitlines()]


def _parse(entry: dict[str, Any]) -> Write:
    about = entry.get("objectRef") or {}
    return Write(
        verb=entry["verb"],
        resource=about.get("resource", ""),
        subresource=about.get("subresource", ""),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        user=entry["user"].get("username", ""),
        user_agent=entry.get("userAgent", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
        time=datetime.fromisoformat(entry["requestReceivedTimestamp"]),
        uri=entry["requestURI"],
    )
