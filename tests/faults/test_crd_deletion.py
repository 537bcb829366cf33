"""CRDs that are deleted under a running operator and come back: real API servers.

A CRD takes all objects with it, so no other tests share their control plane. Before
each test it is put in order: with the CRDs, but without objects and Events.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import System
from support.kube_calls import Away, Refused, delete, merge, read, read_all
from support.planes import CRDS
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

POLICIES = "notificationpolicies.zitadel-notification.dev"
INSTANCES = "zitadelinstances.zitadel-notification.dev"
OTHER = "example.com/keep"


@pytest.fixture
def system(control_plane: ControlPlane, tmp_path: Path) -> Iterator[System]:
    """An operator, an instance, and three policies that own one setting each."""
    put_in_order(control_plane)
    create_secret(control_plane, "zitadel-credentials")
    emulator = EmulatorProcess(tmp_path)
    with emulator.program:
        operator = OperatorProcess(control_plane, tmp_path)
        made = System(control_plane, emulator, operator, tmp_path)
        try:
            operator.wait_ready()
            settle(made)
            yield made
        finally:
            code = made.operator.program.stop()
        assert code == 0


def put_in_order(plane: ControlPlane) -> None:
    """Remove what the test before has left, whatever that is; bring the CRDs back."""
    for kind in ("znp", "zni"):
        for body in listed(plane, kind):
            name = body["metadata"]["name"]
            namespace = body["metadata"].get("namespace", "")
            # It may go at any time if its CRD is being deleted.
            with suppress(Refused):
                merge(plane, kind, name, {"metadata": {"finalizers": None}}, namespace)
                delete(plane, kind, name, namespace)
    for event in listed(plane, "event"):
        delete(
            plane, "event", event["metadata"]["name"], event["metadata"]["namespace"]
        )
    eventually(lambda: not _crds_that_go(plane), 30, "no CRD is being deleted")
    bring_back(plane, *(n for n in (POLICIES, INSTANCES) if not read(plane, "crd", n)))
    for kind in ("znp", "zni", "event"):
        assert listed(plane, kind) == []


def listed(plane: ControlPlane, kind: str) -> list[dict[str, Any]]:
    """Return all objects of a kind, once the API server serves a CRD that came back."""

    def ask() -> tuple[list[dict[str, Any]]] | None:
        try:
            return (read_all(plane, kind),)
        except Away:
            return None

    return eventually(ask, 30, f"{kind} can be listed")[0]


def _crds_that_go(plane: ControlPlane) -> list[str]:
    return [
        crd["metadata"]["name"]
        for crd in read_all(plane, "crd")
        if "deletionTimestamp" in crd["metadata"]
    ]


def settle(system: System) -> None:
    """Create the instance and the policies; wait until all are Ready."""
    system.instance("shared", system.emulator.url)
    for name, ending in (("reset", "Reset"), ("restore", "Restore"), ("kept", "Reset")):
        system.policy("default", name, system.organization(), deletionPolicy=ending)
    for name in ("reset", "restore", "kept"):
        system.wait_for("default", name)


def organizations(system: System) -> list[str]:
    """Return the organizations that were written to."""
    return [write[2] for write in system.emulator.writes()]


def delete_crd(system: System, *names: str) -> None:
    """Delete CRDs as kubectl, Helm and Argo CD do, without waiting."""
    system.plane.kubectl("delete", "crd", *names, "--wait=false")


def wait_for_no_crd(system: System, *names: str) -> None:
    """Wait until the CRDs, and with them all objects, are gone."""
    for name in names:
        eventually(partial(_is_gone, system, name), 30, f"{name} gone")


def _is_gone(system: System, name: str) -> bool:
    return system.get("crd", name) is None


def notes(system: System) -> dict[str, str]:
    """Return the notes of the Events about the deletion of each object."""
    return {
        event["regarding"]["name"]: event["note"]
        for event in read_all(system.plane, "event")
        if event["reason"] == "Deleted"
    }


def settings_stay(system: System) -> None:
    """Check that all settings are as the policies set them, without new writes."""
    writes = system.emulator.writes()
    assert [write[0] for write in writes] == ["POST"] * 3
    for organization in organizations(system):
        assert system.emulator.policy(organization)["passwordChange"] is True


def bring_back(plane: ControlPlane, *names: str) -> None:
    """Apply CRDs again, if any are named."""
    if not names:
        return
    files: list[str] = []
    for name in names:
        plural, _, group = name.partition(".")
        files += ["-f", str(CRDS / f"{group}_{plural}.yaml")]
    plane.kubectl("apply", "--server-side", *files)
    crds = [f"crd/{name}" for name in names]
    plane.kubectl("wait", "--for=condition=Established", *crds)


@pytest.mark.parametrize(
    "order",
    [(POLICIES, INSTANCES), (INSTANCES, POLICIES), (POLICIES + " " + INSTANCES,)],
    ids=["policies first", "instances first", "at once"],
)
def test_both_go_and_nothing_is_undone(system: System, order: tuple[str, ...]) -> None:
    """The operator goes on, and serves the new CRDs without a restart."""
    for names in order:
        delete_crd(system, *names.split())
        wait_for_no_crd(system, *names.split())
    settings_stay(system)
    notes_by_name = notes(system)
    assert {"reset", "restore", "kept"} <= notes_by_name.keys()
    assert all("CRD of " in note for note in notes_by_name.values())
    assert "NotificationPolicy is being deleted" in notes_by_name["restore"]
    if order[0] == INSTANCES:
        assert "ZitadelInstance is being deleted" in notes_by_name["shared"]
    bring_back(system.plane, POLICIES, INSTANCES)
    settle_anew(system)


def settle_anew(system: System) -> None:
    """Check that new objects are served, and undone when they are deleted."""
    system.instance("shared", system.emulator.url)
    organization = system.organization()
    system.policy("default", "anew", organization)
    system.wait_for("default", "anew")
    system.delete("anew", "default")
    system.gone("znp", "anew", "default")
    assert system.emulator.policy(organization)["isDefault"] is True
    eventually(system.operator.is_ready, 30, "readiness")


def test_only_the_policies_crd_goes_and_comes_back(system: System) -> None:
    """Its objects say why nothing is undone; the instance is served."""
    delete_crd(system, POLICIES)
    wait_for_no_crd(system, POLICIES)
    settings_stay(system)
    assert len(notes(system)) == 3
    bring_back(system.plane, POLICIES)
    settle_anew(system)


def test_only_the_instances_crd_goes(system: System) -> None:
    """Policies stay, and their deletions end; then their CRD may go, too."""
    delete_crd(system, INSTANCES)
    wait_for_no_crd(system, INSTANCES)
    system.wait_for("default", "reset", ("False", "InstanceNotFound"))
    system.delete("reset", "default")
    system.gone("znp", "reset", "default")
    settings_stay(system)
    eventually(lambda: not system.operator.is_ready(), 30, "not ready without a CRD")
    system.delete("kept", "default")
    system.gone("znp", "kept", "default")
    bring_back(system.plane, INSTANCES)
    system.instance("shared", system.emulator.url)
    system.wait_for("default", "restore")
    settle_anew(system)


def patch_all(system: System, operation: dict[str, str], *names: str) -> None:
    """Change the metadata of policies as somebody else does."""
    patch = f"--patch={json.dumps([operation])}"
    for name in names:
        where = ("znp", name, "--namespace=default", "--type=json", patch)
        system.plane.kubectl("patch", *where)


def being_deleted(system: System, kind: str, name: str, namespace: str = "") -> None:
    """Wait until an object of a deleted CRD is being deleted, too."""
    eventually(
        lambda: "deletionTimestamp" in system.stored(kind, name, namespace)["metadata"],
        20,
        f"{name} is being deleted",
    )


@pytest.mark.parametrize(
    "first",
    [(POLICIES,), (INSTANCES,), (INSTANCES, POLICIES)],
    ids=["policies first", "instances first", "at once"],
)
def test_others_finalizers_and_a_restart_in_the_middle(
    system: System, first: tuple[str, ...]
) -> None:
    """A kept object says why; the CRD goes when its finalizer is removed."""
    keep = {"op": "add", "path": "/metadata/finalizers/-", "value": OTHER}
    patch_all(system, keep, "reset", "restore")
    assert system.operator.program.stop() == 0
    delete_crd(system, *first)
    if POLICIES not in first:
        being_deleted(system, "zni", "shared")
        system.operator = OperatorProcess(system.plane, system.folder)
        wait_for_no_crd(system, INSTANCES)
        system.wait_for("default", "reset", ("False", "InstanceNotFound"))
        system.operator.program.kill()
        delete_crd(system, POLICIES)
    being_deleted(system, "znp", "kept", "default")
    system.operator = OperatorProcess(system.plane, system.folder)
    system.gone("znp", "kept", "default")
    for name in ("reset", "restore"):
        body = system.wait_for("default", name, ("False", "Deleted"))
        assert body["metadata"]["finalizers"] == [OTHER]
        (ready,) = [c for c in body["status"]["conditions"] if c["type"] == "Ready"]
        assert "CRD" in ready["message"]
    # An Event is posted a moment after the status, by the process that wrote it.
    told = {"reset", "restore", "kept"}
    eventually(lambda: told <= notes(system).keys(), 20, "the Events")
    system.operator.program.kill()
    system.operator = OperatorProcess(system.plane, system.folder)
    let_go = {"op": "remove", "path": "/metadata/finalizers"}
    patch_all(system, let_go, "reset", "restore")
    wait_for_no_crd(system, POLICIES)
    settings_stay(system)
    if INSTANCES in first:
        assert "ZitadelInstance is being deleted" in notes(system)["shared"]
    else:
        delete_crd(system, INSTANCES)
    wait_for_no_crd(system, INSTANCES)
    bring_back(system.plane, POLICIES, INSTANCES)
    settle_anew(system)


def test_an_instance_that_somebody_keeps_and_a_restart_in_the_middle(
    system: System,
) -> None:
    """Its CRD goes first, and then the CRD of the policies may go, too."""
    patch: Any = [{"op": "add", "path": "/metadata/finalizers/-", "value": OTHER}]
    where = ("zni", "shared", "--type=json", f"--patch={json.dumps(patch)}")
    system.plane.kubectl("patch", *where)
    assert system.operator.program.stop() == 0
    delete_crd(system, INSTANCES)
    being_deleted(system, "zni", "shared")
    system.operator = OperatorProcess(system.plane, system.folder)
    eventually(
        lambda: system.stored("zni", "shared")["metadata"]["finalizers"] == [OTHER],
        30,
        "only the other finalizer is left",
    )
    assert "CRD of ZitadelInstance is being deleted" in notes(system)["shared"]
    delete_crd(system, POLICIES)
    wait_for_no_crd(system, POLICIES)
    system.operator.program.kill()
    system.operator = OperatorProcess(system.plane, system.folder)
    patch = [{"op": "remove", "path": "/metadata/finalizers"}]
    where = ("zni", "shared", "--type=json", f"--patch={json.dumps(patch)}")
    system.plane.kubectl("patch", *where)
    wait_for_no_crd(system, INSTANCES)
    settings_stay(system)


def test_a_deletion_by_hand_is_undone_as_ever(system: System) -> None:
    """The CRD stays, so the deletion does its cleanup."""
    system.delete("reset", "default")
    system.gone("znp", "reset", "default")
    assert [write[0] for write in system.emulator.writes()] == ["POST"] * 3 + ["DELETE"]
