"""A real etcd that is restored to an earlier state while an operator runs."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.running import (
    OWN_NAMESPACE,
    EmulatorProcess,
    OperatorProcess,
    create_secret,
)
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.control_plane_options import etcd_options
from zitadel_notification_operator.demo.processes import free_port

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"
RENEWALS = 20.0
"""Seconds in which the Lease is renewed once at least: every sixteenth it is due."""

LEASE = "120s"
PATIENCE = 120

pytestmark = [pytest.mark.clock, pytest.mark.timeout(1200)]

Json = dict[str, Any]


class Restorable(ControlPlane):
    """A control plane whose data can be copied and restored."""

    @property
    def data(self) -> Path:
        """The folder of etcd's data."""
        return self.folder / f"etcd-{self._etcd_port}"

    @property
    def backup(self) -> Path:
        """The folder of the copy."""
        return self.folder / "backup"

    def back_up(self) -> None:
        """Copy the data while both programs are stopped."""
        self._stand_still()
        shutil.copytree(self.data, self.backup)
        self._go_on()

    def restore(self) -> None:
        """Restore the copy."""
        self._stand_still()
        shutil.rmtree(self.data)
        shutil.copytree(self.backup, self.data)
        self._go_on()

    def _stand_still(self) -> None:
        self.stop_api_server()
        assert self._etcd is not None
        self._etcd.stop()

    def _go_on(self) -> None:
        options = etcd_options(self.folder, self._etcd_port, free_port())
        self._etcd = self._run(self._binaries / "etcd", options)
        self._wait_until_ready(self._etcd, self._etcd_port, "/health")
        self.start_api_server()


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[EmulatorProcess]:
    emulator = EmulatorProcess(tmp_path / "zitadel", 0, "--organizations", "4")
    with emulator.program:
        yield emulator


@pytest.fixture
def plane(emulator: EmulatorProcess) -> Iterator[Restorable]:
    with Restorable() as plane:
        plane.kubectl("create", "namespace", OWN_NAMESPACE)
        plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        create_secret(plane, "token")
        spec = {
            "url": emulator.url,
            "allowInsecureHTTP": True,
            "credentials": {"personalAccessToken": {"secretRef": {"name": "token"}}},
        }
        create(plane, "ZitadelInstance", "default", spec)
        yield plane


def create(plane: ControlPlane, kind: str, name: str, spec: Json) -> None:
    metadata = {"name": name}
    if kind == "NotificationPolicy":
        metadata["namespace"] = OWN_NAMESPACE
    version = "zitadel-notification.dev/v1alpha1"
    body = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(body))


def organizations(emulator: EmulatorProcess) -> list[str]:
    """Return the ids of the organizations, without the first two."""
    found = emulator.call("GET", "/emulator/v1/organizations")
    return [organization["id"] for organization in found][2:]


def declare(plane: ControlPlane, name: str, organization: str) -> None:
    spec = {"scope": "Organization", "organization": {"id": organization}}
    create(plane, "NotificationPolicy", name, {**spec, "passwordChange": True})


def edit(plane: ControlPlane, name: str, *, value: bool) -> None:
    patch = json.dumps({"spec": {"passwordChange": value}})
    where = (f"--namespace={OWN_NAMESPACE}", "--type=merge", "--patch", patch)
    plane.kubectl("patch", "znp", name, *where)


def test_what_etcd_holds_is_the_truth(
    plane: Restorable, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """An edit and a deletion are undone; the process goes on."""
    edited, deleted, *_ = organizations(emulator)

    def value(organization: str) -> bool | None:
        found = emulator.policy(organization)
        return None if found.get("isDefault") else bool(found.get("passwordChange"))

    def wait(organization: str, wanted: bool | None) -> None:
        what = f"{organization} has {wanted}"
        eventually(lambda: value(organization) is wanted, PATIENCE, what)

    process = OperatorProcess(plane, tmp_path, "--lease-duration", LEASE, elect=True)
    eventually(process.is_ready, PATIENCE, "it is ready")
    declare(plane, "edited", edited)
    declare(plane, "deleted", deleted)
    wait(edited, True)
    wait(deleted, True)
    plane.back_up()
    for number in range(9):
        edit(plane, "edited", value=bool(number % 2))
    plane.kubectl("delete", "znp", "deleted", f"--namespace={OWN_NAMESPACE}")
    wait(edited, False)
    wait(deleted, None)
    # The Lease is renewed meanwhile; its version reveals a restore at once.
    time.sleep(RENEWALS)
    plane.restore()
    wait(edited, True)
    wait(deleted, True)
    edit(plane, "edited", value=False)
    wait(edited, False)
    assert process.program.running
    assert "Kubernetes holds older objects" in process.program.log.read_text()
    process.program.stop()
