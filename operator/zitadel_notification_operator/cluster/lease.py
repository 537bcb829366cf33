"""The Lease in the operator's own namespace, by which replicas elect a leader.

`ClusterLease` has the shape of the engine's `LeaseStore`. Each update names the version
that it replaces, so that only one of two competing replicas can succeed.
"""

import uuid
from datetime import datetime
from typing import Any

from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.lease import Lease

from .calls import ApiClient, Forbidden, call
from .names import micro_time, pod_name

_API_VERSION = "coordination.k8s.io/v1"
_UNTOLD_DURATION = 15


def own_identity() -> str:
    """Return the identity of this lease holder: the pod's name and a random UUID."""
    return f"{pod_name()}_{uuid.uuid4()}"


class ClusterLease:
    """Reads and writes the Lease.

    Args:
        api: Preferably a client that nothing else uses: calls about the Lease must not
            wait for others.
        namespace: The operator's own namespace.
        name: The name of the Lease.
    """

    def __init__(self, api: ApiClient, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._path = f"/apis/{_API_VERSION}/namespaces/{namespace}/leases"
        self._stored: dict[str, Any] = {}

    async def read(self) -> Lease | None:
        """Return the stored lease, or None if there is none.

        Raises:
            ClusterError: Kubernetes did not answer, or refused the call. After a 403
                the text says which permissions to grant.
        """
        try:
            return await self._call("GET", f"{self._path}/{self._name}")
        except ObjectGone:
            return None

    async def create(self, lease: Lease) -> Lease | None:
        """Create the Lease. Return None if another replica has created it first.

        Raises:
            ClusterError: As in `read`, or the namespace does not exist.
        """
        body = {
            "apiVersion": _API_VERSION,
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": _spec(lease),
        }
        try:
            return await self._call("POST", self._path, body)
        except ObjectChanged:
            return None
        except ObjectGone as error:
            raise ClusterError(
                f"There is no namespace {self._namespace!r} for the Lease; create it, "
                "or name another one with --namespace"
            ) from error

    async def update(self, lease: Lease) -> Lease | None:
        """Replace the version that `lease` names; return None if it changed or is gone.

        Whatever others have added to the Lease, such as labels, is kept.

        Raises:
            ClusterError: As in `read`.
        """
        metadata = dict(self._stored["metadata"])
        metadata["resourceVersion"] = lease.version
        spec = {**self._stored.get("spec", {}), **_spec(lease)}
        body = {**self._stored, "metadata": metadata, "spec": spec}
        try:
            return await self._call("PUT", f"{self._path}/{self._name}", body)
        except (ObjectChanged, ObjectGone):
            return None

    async def _call(self, method: str, path: str, body: Any = None) -> Lease:
        try:
            stored = await call(self._api, method, path, body=body)
        except Forbidden as error:
            raise ClusterError(
                f"The operator may not {_VERBS[method]} the Lease "
                f"{self._namespace}/{self._name}; give its role in this namespace the "
                "verbs get, create and update on leases of coordination.k8s.io, or run "
                "a single replica with --no-leader-elect"
            ) from error
        try:
            lease = _parse(stored)
        except (KeyError, TypeError, ValueError) as error:
            raise ClusterError("Kubernetes answered no Lease") from error
        self._stored = stored
        return lease


_VERBS = {"GET": "get", "POST": "create", "PUT": "update"}


def _parse(body: dict[str, Any]) -> Lease:
    spec = body.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        duration=int(spec.get("leaseDurationSeconds") or _UNTOLD_DURATION),
        acquired=_moment(spec.get("acquireTime")),
        renewed=_moment(spec.get("renewTime")),
        transitions=int(spec.get("leaseTransitions") or 0),
        version=str(body["metadata"]["resourceVersion"]),
    )


def _spec(lease: Lease) -> dict[str, Any]:
    times = {"acquireTime": lease.acquired, "renewTime": lease.renewed}
    return {
        "holderIdentity": lease.holder,
        "leaseDurationSeconds": lease.duration,
        "leaseTransitions": lease.transitions,
        **{name: micro_time(time) for name, time in times.items() if time},
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
