"""The whole operator: one emulator and one operator process for the tests of a file."""

import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.kube_calls import Away, apply, delete, read
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from support.watching import StatusWatch
from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.demo.control_plane import ControlPlane

NUMBERS = itertools.count(1)


def condition_in(body: dict[str, Any], which: str) -> tuple[str, str]:
    """Return a condition's status and reason; empty texts if it is absent."""
    for condition in body.get("status", {}).get("conditions", ()):
        if condition["type"] == which:
            return condition["status"], condition["reason"]
    return "", ""


@dataclass
class System:
    """Control plane, emulator and operator, and what tests do with them."""

    plane: ControlPlane
    emulator: EmulatorProcess
    operator: OperatorProcess
    folder: Path

    def organization(self) -> str:
        """Create an organization and return its id."""
        body = {"name": f"Test {next(NUMBERS)}"}
        return str(self.emulator.call("POST", "/management/v1/orgs", body)["id"])

    def apply(self, kind: str, name: str, spec: dict[str, Any], namespace: str) -> None:
        """Apply an object."""
        metadata = {"name": name}
        if namespace:
            metadata["namespace"] = namespace
        document = {
            "apiVersion": "zitadel-notification.dev/v1alpha1",
            "kind": kind,
            "metadata": metadata,
            "spec": spec,
        }
        apply(self.plane, document)

    def policy(
        self,
        namespace: str,
        name: str,
        organization: str | dict[str, Any] = "",
        **spec: Any,
    ) -> None:
        """Apply a policy of the shared instance.

        Without an id, it is about the credential's own organization.
        """
        ref: Any = {"id": organization} if organization else {"ofCredential": True}
        if isinstance(organization, dict):
            ref = organization
        whole = {
            "scope": "Organization",
            "instanceRef": {"name": "shared"},
            "organization": ref,
            "passwordChange": True,
            **spec,
        }
        self.apply("NotificationPolicy", name, whole, namespace)

    def instance(self, name: str, url: str, **spec: Any) -> None:
        """Apply an instance that every namespace may use for everything."""
        whole = {
            "url": url,
            "allowInsecureHTTP": True,
            "credentials": {
                "personalAccessToken": {"secretRef": {"name": "zitadel-credentials"}}
            },
            "driftDetection": {"eventsInterval": "5s", "pollInterval": "10s"},
            "grants": [{"namespaces": ["*"], "scopes": ["Organization", "Instance"]}],
            **spec,
        }
        self.apply("ZitadelInstance", name, whole, "")

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """Return the stored object, or None if it cannot be read.

        That is where its CRD is gone, or the API server is away.
        """
        try:
            return read(self.plane, kind, name, namespace)
        except Away:
            return None

    def stored(self, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
        """Return an object that must be stored, and that can be read."""
        found = self.get(kind, name, namespace)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def condition(
        self, kind: str, name: str, namespace: str, which: str
    ) -> tuple[str, str]:
        """Return a condition's status and reason; empty texts if it is absent."""
        return condition_in(self.get(kind, name, namespace) or {}, which)

    def wait_for(
        self,
        namespace: str,
        name: str,
        wanted: tuple[str, str] = ("True", "Succeeded"),
        which: str = "Ready",
        kind: str = "znp",
        patience: float = 30,
    ) -> dict[str, Any]:
        """Wait for a condition of the newest generation; return the object."""

        def ask() -> dict[str, Any] | None:
            body = self.get(kind, name, namespace)
            if body is None:
                return None
            status = body.get("status", {})
            if status.get("observedGeneration") != body["metadata"]["generation"]:
                return None
            return body if condition_in(body, which) == wanted else None

        return eventually(ask, patience, f"{name}: {which} {wanted}")

    def gone(
        self, kind: str, name: str, namespace: str = "", patience: float = 20
    ) -> None:
        """Wait until an object is gone."""

        def is_gone() -> bool:
            try:
                return read(self.plane, kind, name, namespace) is None
            except Away:
                return False

        eventually(is_gone, patience, f"{name} gone")

    def delete(self, name: str, namespace: str) -> None:
        """Delete a policy without waiting."""
        delete(self.plane, "znp", name, namespace)


@pytest.fixture(scope="session")
def system(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """An emulator, an operator, and an instance `shared`; every status is checked."""
    folder = tmp_path_factory.mktemp("world")
    watch = StatusWatch(control_plane, folder)
    create_secret(control_plane, "zitadel-credentials")
    emulator = EmulatorProcess(folder)
    with emulator.program:
        made = System(
            control_plane, emulator, OperatorProcess(control_plane, folder), folder
        )
        made.operator.wait_ready()
        made.instance("shared", emulator.url)
        made.wait_for("", "shared", kind="zni")
        yield made
        assert made.operator.program.stop() == 0
    judged, found = watch.stop()
    assert judged
    assert not found


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[ApiClient]:
    """A client with the administrator's rights."""
    access = await connect(control_plane.kubeconfig)
    yield access.api
    await access.api.close()
