"""Calls to an API server as its administrator, without starting kubectl.

A test uses kubectl for what a user would do with it. For polling, and for creating
what a test merely needs, a process for each call would cost more CPU time than all the
rest of the test.
"""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlencode

from support import kept_connections
from support.kept_connections import Answer
from zitadel_notification_operator.demo.control_plane import ControlPlane

_GROUP = "/apis/zitadel-notification.dev/v1alpha1"
_PLACES = {
    "znp": (_GROUP, "notificationpolicies"),
    "znps": (_GROUP, "notificationpolicysets"),
    "zni": (_GROUP, "zitadelinstances"),
    "secret": ("/api/v1", "secrets"),
    "event": ("/apis/events.k8s.io/v1", "events"),
    "namespace": ("/api/v1", "namespaces"),
    "lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "crd": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
}
_KINDS = {
    "NotificationPolicy": "znp",
    "NotificationPolicySet": "znps",
    "ZitadelInstance": "zni",
    "Secret": "secret",
}
_NOT_FOUND = 404
_FIRST_ERROR = 400
_TRIES = 10
"""How often kubectl makes a call that the API server asks it to repeat."""


class Away(Exception):
    """The API server is not available; some tests stop it."""


class Refused(Exception):
    """The API server refuses a write; the text is what it says about that."""


def read(
    plane: ControlPlane, kind: str, name: str, namespace: str = ""
) -> dict[str, Any] | None:
    """Return the stored object, or None if there is none.

    Raises:
        Away: The API server is not available.
    """
    return request(plane, f"{path_of(kind, namespace)}/{name}")


def read_all(
    plane: ControlPlane, kind: str, namespace: str = "", **selectors: str
) -> list[dict[str, Any]]:
    """Return all objects of a kind, in one namespace or in all.

    Args:
        plane: The control plane.
        kind: The short name of the kind.
        namespace: The namespace; empty means all.
        selectors: Query parameters such as `fieldSelector`.

    Raises:
        Away: The API server is not available.
    """
    query = f"?{urlencode(selectors)}" if selectors else ""
    found = request(plane, path_of(kind, namespace) + query)
    items: list[dict[str, Any]] = (found or {"items": []})["items"]
    return items


def create_namespace(plane: ControlPlane, name: str) -> None:
    """Create a namespace."""
    body = {"metadata": {"name": name}}
    request(plane, path_of("namespace"), body)


def apply(plane: ControlPlane, body: dict[str, Any]) -> None:
    """Store an object as `kubectl apply --server-side --force-conflicts` does.

    Raises:
        Refused: The object is not accepted.
        Away: The API server is not available.
    """
    metadata = body["metadata"]
    place = path_of(_KINDS[body["kind"]], metadata.get("namespace", ""))
    path = f"{place}/{metadata['name']}?fieldManager=kubectl&force=true"
    _write(plane, "PATCH", path, body, "apply-patch+yaml")


def merge(
    plane: ControlPlane, kind: str, name: str, patch: dict[str, Any], namespace: str
) -> None:
    """Change an object as `kubectl patch --type=merge` does.

    Raises:
        Refused: There is no such object, or the change is not accepted.
        Away: The API server is not available.
    """
    path = f"{path_of(kind, namespace)}/{name}?fieldManager=kubectl-patch"
    _write(plane, "PATCH", path, patch, "merge-patch+json")


def delete(plane: ControlPlane, kind: str, name: str, namespace: str = "") -> None:
    """Delete an object as `kubectl delete --wait=false` does.

    Raises:
        Refused: There is no such object, or it may not be deleted.
        Away: The API server is not available.
    """
    path = f"{path_of(kind, namespace)}/{name}"
    _write(plane, "DELETE", path, {"propagationPolicy": "Background"}, "json")


def path_of(kind: str, namespace: str = "") -> str:
    """Return the path of a collection."""
    root, plural = _PLACES[kind]
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{where}/{plural}"


def request(
    plane: ControlPlane, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """GET a path, or POST a body to it; return the response, or None for HTTP 404.

    Raises:
        Away: The API server is not available, or is starting or stopping.
    """
    answer = _call(plane, "GET" if body is None else "POST", path, body, "json")
    if answer.status == _NOT_FOUND:
        return None
    if answer.status >= _FIRST_ERROR:
        raise Away(_text_of(answer))
    found: dict[str, Any] = json.loads(answer.body)
    return found


def _write(
    plane: ControlPlane, verb: str, path: str, body: dict[str, Any], content: str
) -> None:
    """Make a call that changes something, and repeat it where kubectl would."""
    for left in reversed(range(_TRIES)):
        answer = _call(plane, verb, path, body, content)
        if answer.status < _FIRST_ERROR:
            return
        pause = answer.headers.get("Retry-After")
        if not (pause and left):
            raise Refused(_text_of(answer))
        time.sleep(float(pause))


def _call(
    plane: ControlPlane, verb: str, path: str, body: dict[str, Any] | None, content: str
) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    try:
        return kept_connections.call(plane, verb, path, data, f"application/{content}")
    except (OSError, http.client.HTTPException) as error:
        raise Away(str(error)) from error


def _text_of(answer: Answer) -> str:
    return f"HTTP {answer.status}: {answer.body.decode()}"
