"""The cluster of the walk: its objects, all of one name, and their conditions."""

import json
from pathlib import Path
from typing import Any

from support.kube_calls import read
from support.running import OWN_NAMESPACE
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"
NAMESPACE = "default"
NAME = "smoke"
PATIENCE = 60.0
"""Seconds that a step may take; a real ZITADEL answers within milliseconds."""


class NotReady(Exception):
    """An object did not become Ready; the text has its conditions."""


def prepare(plane: ControlPlane) -> None:
    """Install the CRDs, and create the operator's namespace."""
    plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    plane.kubectl("create", "namespace", OWN_NAMESPACE)


def apply(plane: ControlPlane, kind: str, spec: dict[str, Any]) -> None:
    """Apply an object of a kind."""
    metadata = {"name": NAME}
    if kind == "NotificationPolicy":
        metadata["namespace"] = NAMESPACE
    document = {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(document))


def status_of(plane: ControlPlane, kind: str) -> dict[str, Any]:
    """Return the status of the object of a kind; empty if there is none yet."""
    namespace = NAMESPACE if kind == "znp" else ""
    found: dict[str, Any] = (read(plane, kind, NAME, namespace) or {}).get("status", {})
    return found


def wait_ready(plane: ControlPlane, kind: str) -> dict[str, Any]:
    """Wait until the object of a kind is Ready; return its status.

    Raises:
        NotReady: It is not Ready in time.
    """

    def ready() -> dict[str, Any] | None:
        status = status_of(plane, kind)
        conditions = {c["type"]: c["status"] for c in status.get("conditions", ())}
        return status if conditions.get("Ready") == "True" else None

    try:
        return eventually(ready, PATIENCE, f"{kind} {NAME} is Ready")
    except AssertionError as error:
        conditions = json.dumps(status_of(plane, kind).get("conditions"), indent=1)
        raise NotReady(f"{error}\n{conditions}") from error
