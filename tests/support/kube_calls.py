"""Calls to an API server as its administrator, without a kubectl for each of them.

What is driven as a user would drive it goes by kubectl. To look again and again until
something is so, or to make what a test only needs, a program a time costs a processor
more than all that is looked at.
"""

import json
import ssl
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from zitadel_notification_operator.demo.control_plane import ControlPlane

_GROUP = "/apis/zitadel-notification.dev/v1alpha1"
_PLACES = {
    "znp": (_GROUP, "notificationpolicies"),
    "zni": (_GROUP, "zitadelinstances"),
    "secret": ("/api/v1", "secrets"),
    "event": ("/apis/events.k8s.io/v1", "events"),
    "namespace": ("/api/v1", "namespaces"),
    "lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "crd": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
}
_NOT_FOUND = 404


class Away(Exception):
    """The API server does not answer now; some tests stop it."""


def read(
    plane: ControlPlane, kind: str, name: str, namespace: str = ""
) -> dict[str, Any] | None:
    """Return an object as stored; None when there is none.

    Raises:
        Away: The API server does not answer.
    """
    return request(plane, f"{path_of(kind, namespace)}/{name}")


def read_all(
    plane: ControlPlane, kind: str, namespace: str = "", **selectors: str
) -> list[dict[str, Any]]:
    """Return all objects of a kind, in one namespace or in all.

    Args:
        plane: Whose.
        kind: Its short name.
        namespace: Empty: all.
        selectors: Such as `fieldSelector`.

    Raises:
        Away: The API server does not answer.
    """
    query = f"?{urlencode(selectors)}" if selectors else ""
    found = request(plane, path_of(kind, namespace) + query)
    items: list[dict[str, Any]] = (found or {"items": []})["items"]
    return items


def create_namespace(plane: ControlPlane, name: str) -> None:
    """Create a namespace."""
    body = {"metadata": {"name": name}}
    request(plane, path_of("namespace"), body)


def path_of(kind: str, namespace: str = "") -> str:
    """Return the path of a collection."""
    root, plural = _PLACES[kind]
    where = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{where}/{plural}"


def request(
    plane: ControlPlane, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """GET a path, or POST a body to it; return the answer; None: HTTP 404.

    Raises:
        Away: The API server does not answer, or is starting or ending.
    """
    headers = {
        "Authorization": f"Bearer {plane.token}",
        "Content-Type": "application/json",
        "User-Agent": "kubectl of the test",
    }
    data = None if body is None else json.dumps(body).encode()
    made = urllib.request.Request(plane.url + path, data, headers)  # noqa: S310 - our own server
    context = _trusting(plane.folder / "ca.crt")
    try:
        with urllib.request.urlopen(made, context=context, timeout=30) as answer:  # noqa: S310 - likewise
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if error.code == _NOT_FOUND:
            return None
        raise Away(f"HTTP {error.code}: {error.read().decode()}") from error
    except OSError as error:
        raise Away(str(error)) from error


@cache
def _trusting(roots: Path) -> ssl.SSLContext:
    """Return what connects to servers of an authority; each plane has its own."""
    return ssl.create_default_context(cafile=str(roots))
