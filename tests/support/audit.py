"""Reads the API server's audit log: who wrote what, by object and verb."""

import json
from dataclasses import dataclass
from pathlib import Path

from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
AGENT = "OpenAPI-Generator"


@dataclass(frozen=True)
class Write:
    """One finished write request."""

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    agent: str
    code: int
    uri: str


class AuditLog:
    """The writes since this object was made."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._path: Path = control_plane.audit_log
        self._start = self._path.stat().st_size if self._path.exists() else 0

    def writes(
        self, resource: str = "", namespace: str = "", name: str = ""
    ) -> list[Write]:
        """Return the writes so far that match; empty means any."""
        self._settle()
        return [
            write
            for write in self._read()
            if write.verb in WRITES
            and resource in {"", write.resource}
            and namespace in {"", write.namespace}
            and name in {"", write.name}
        ]

    def by_operator(
        self, resource: str = "", namespace: str = "", name: str = ""
    ) -> list[Write]:
        """Return the operator's own writes."""
        found = self.writes(resource, namespace, name)
        return [write for write in found if "kubectl" not in write.agent]

    def _settle(self) -> None:
        """Make a request and wait for it, so that all earlier ones are in the log."""
        marker = f"/api/v1/namespaces/marker-{self._path.stat().st_size}"
        self._control_plane.kubectl("get", "--raw", marker, check=False)
        eventually(lambda: any(w.uri == marker for w in self._read()), what=marker)

    def _read(self) -> list[Write]:
        with self._path.open("rb") as log:
            log.seek(self._start)
            lines = log.read().split(b"\n")
        return [_parse(json.loads(line)) for line in lines[:-1] if line]


def _parse(entry: dict) -> Write:
    about = entry.get("objectRef") or {}
    return Write(
        entry["verb"],
        about.get("resource", ""),
        about.get("subresource", ""),
        about.get("namespace", ""),
        about.get("name", ""),
        entry.get("userAgent", ""),
        entry["responseStatus"]["code"],
        entry["requestURI"],
    )
