"""CRDs that are deleted under a running operator and come back: real API servers.

Each test has a separate control plane, because a CRD takes all objects with it.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import World
from faults.conftest import CRDS
from support.kube_calls import read_all
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

POLICIES = "notificationpolicies.zitadel-notification.dev"
INSTANCES = "zitadelinstances.zitadel-notification.dev"
OTHER = "example.com/keep"


@pytest.fixture
def world(second_plane: ControlPlane, tmp_path: Path) -> Iterator[World]:
    """An operator, an instance, and three policies that own one setting each."""
    create_secret(second_plane, "zitadel-credentials")
    emulator = EmulatorProcess(tmp_path)
    with emulator.program:
        operator = OperatorProcess(second_plane, tmp_path)
        made = World(second_plane, emulator, operator, tmp_path)
        try:
            operator.wait_ready()
            settle(made)
            yield made
        finally:
            code = made.operator.program.stop()
        assert code == 0


def settle(world: World) -> None:
    """Create the instance and the policies; wait until all are Ready."""
    world.instance("shared", world.emulator.url)
    for name, ending in (("reset", "Reset"), ("restore", "Restore"), ("kept", "Reset")):
        world.policy("default", name, world.organization(), deletionPolicy=ending)
    for name in ("reset", "restore", "kept"):
        world.wait_for("default", name)


def organizations(world: World) -> list[str]:
    """Return the organizations that were written to."""
    return [write[2] for write in world.emulator.writes()]


def delete_crd(world: World, *names: str) -> None:
    """Delete CRDs as kubectl, Helm and Argo CD do, without waiting."""
    world.plane.kubectl("delete", "crd", *names, "--wait=false")


def wait_for_no_crd(world: World, *names: str) -> None:
    """Wait until the CRDs, and with them all objects, are gone."""
    for name in names:
        eventually(partial(_is_gone, world, name), 30, f"{name} gone")


def _is_gone(world: World, name: str) -> bool:
    return world.get("crd", name) is None


def notes(world: World) -> dict[str, str]:
    """Return the notes of the Events about the deletion of each object."""
    return {
        event["regarding"]["name"]: event["note"]
        for event in read_all(world.plane, "event")
        if event["reason"] == "Deleted"
    }


def settings_stay(world: World) -> None:
    """Check that all settings are as the policies set them, without new writes."""
    writes = world.emulator.writes()
    assert [write[0] for write in writes] == ["POST"] * 3
    for organization in organizations(world):
        assert world.emulator.policy(organization)["passwordChange"] is True


def bring_back(world: World, *names: str) -> None:
    """Apply the CRDs again."""
    files: list[str] = []
    for name in names:
        plural, _, group = name.partition(".")
        files += ["-f", str(CRDS / f"{group}_{plural}.yaml")]
    world.plane.kubectl("apply", "--server-side", *files)
    crds = [f"crd/{name}" for name in names]
    world.plane.kubectl("wait", "--for=condition=Established", *crds)


@pytest.mark.parametrize(
    "order",
    [(POLICIES, INSTANCES), (INSTANCES, POLICIES), (POLICIES + " " + INSTANCES,)],
    ids=["policies first", "instances first", "at once"],
)
def test_both_go_and_nothing_is_undone(world: World, order: tuple[str, ...]) -> None:
    """The operator goes on, and serves the new CRDs without a restart."""
    for names in order:
        delete_crd(world, *names.split())
        wait_for_no_crd(world, *names.split())
    settings_stay(world)
    notes_by_name = notes(world)
    assert {"reset", "restore", "kept"} <= notes_by_name.keys()
    assert all("CRD of " in note for note in notes_by_name.values())
    assert "NotificationPolicy is being deleted" in notes_by_name["restore"]
    if order[0] == INSTANCES:
        assert "ZitadelInstance is being deleted" in notes_by_name["shared"]
    bring_back(world, POLICIES, INSTANCES)
    settle_anew(world)


def settle_anew(world: World) -> None:
    """Check that new objects are served, and undone when they are deleted."""
    world.instance("shared", world.emulator.url)
    organization = world.organization()
    world.policy("default", "anew", organization)
    world.wait_for("default", "anew")
    world.delete("anew", "default")
    world.gone("znp", "anew", "default")
    assert world.emulator.policy(organization)["isDefault"] is True
    eventually(world.operator.is_ready, 30, "readiness")


def test_only_the_policies_crd_goes_and_comes_back(world: World) -> None:
    """Its objects say why nothing is undone; the instance is served."""
    delete_crd(world, POLICIES)
    wait_for_no_crd(world, POLICIES)
    settings_stay(world)
    assert len(notes(world)) == 3
    bring_back(world, POLICIES)
    settle_anew(world)


def test_only_the_instances_crd_goes(world: World) -> None:
    """Policies stay, and their deletions end; then their CRD may go, too."""
    delete_crd(world, INSTANCES)
    wait_for_no_crd(world, INSTANCES)
    world.wait_for("default", "reset", ("False", "InstanceNotFound"))
    world.delete("reset", "default")
    world.gone("znp", "reset", "default")
    settings_stay(world)
    eventually(lambda: not world.operator.is_ready(), 30, "not ready without a CRD")
    world.delete("kept", "default")
    world.gone("znp", "kept", "default")
    bring_back(world, INSTANCES)
    world.instance("shared", world.emulator.url)
    world.wait_for("default", "restore")
    settle_anew(world)


def patch_all(world: World, operation: dict[str, str], *names: str) -> None:
    """Change the metadata of policies as somebody else does."""
    patch = f"--patch={json.dumps([operation])}"
    for name in names:
        where = ("znp", name, "--namespace=default", "--type=json", patch)
        world.plane.kubectl("patch", *where)


def being_deleted(world: World, kind: str, name: str, namespace: str = "") -> None:
    """Wait until an object of a deleted CRD is being deleted, too."""
    eventually(
        lambda: "deletionTimestamp" in world.stored(kind, name, namespace)["metadata"],
        20,
        f"{name} is being deleted",
    )


@pytest.mark.parametrize(
    "first",
    [(POLICIES,), (INSTANCES,), (INSTANCES, POLICIES)],
    ids=["policies first", "instances first", "at once"],
)
def test_others_finalizers_and_a_restart_in_the_middle(
    world: World, first: tuple[str, ...]
) -> None:
    """A kept object says why; the CRD goes when its finalizer is removed."""
    keep = {"op": "add", "path": "/metadata/finalizers/-", "value": OTHER}
    patch_all(world, keep, "reset", "restore")
    assert world.operator.program.stop() == 0
    delete_crd(world, *first)
    if POLICIES not in first:
        being_deleted(world, "zni", "shared")
        world.operator = OperatorProcess(world.plane, world.folder)
        wait_for_no_crd(world, INSTANCES)
        world.wait_for("default", "reset", ("False", "InstanceNotFound"))
        world.operator.program.kill()
        delete_crd(world, POLICIES)
    being_deleted(world, "znp", "kept", "default")
    world.operator = OperatorProcess(world.plane, world.folder)
    world.gone("znp", "kept", "default")
    for name in ("reset", "restore"):
        body = world.wait_for("default", name, ("False", "Deleted"))
        assert body["metadata"]["finalizers"] == [OTHER]
        (ready,) = [c for c in body["status"]["conditions"] if c["type"] == "Ready"]
        assert "CRD" in ready["message"]
    world.operator.program.kill()
    world.operator = OperatorProcess(world.plane, world.folder)
    let_go = {"op": "remove", "path": "/metadata/finalizers"}
    patch_all(world, let_go, "reset", "restore")
    wait_for_no_crd(world, POLICIES)
    settings_stay(world)
    if INSTANCES in first:
        assert "ZitadelInstance is being deleted" in notes(world)["shared"]
    else:
        delete_crd(world, INSTANCES)
    wait_for_no_crd(world, INSTANCES)
    assert {"reset", "restore", "kept"} <= notes(world).keys()
    bring_back(world, POLICIES, INSTANCES)
    settle_anew(world)


def test_an_instance_that_somebody_keeps_and_a_restart_in_the_middle(
    world: World,
) -> None:
    """Its CRD goes first, and then the CRD of the policies may go, too."""
    patch: Any = [{"op": "add", "path": "/metadata/finalizers/-", "value": OTHER}]
    where = ("zni", "shared", "--type=json", f"--patch={json.dumps(patch)}")
    world.plane.kubectl("patch", *where)
    assert world.operator.program.stop() == 0
    delete_crd(world, INSTANCES)
    being_deleted(world, "zni", "shared")
    world.operator = OperatorProcess(world.plane, world.folder)
    eventually(
        lambda: world.stored("zni", "shared")["metadata"]["finalizers"] == [OTHER],
        30,
        "only the other finalizer is left",
    )
    assert "CRD of ZitadelInstance is being deleted" in notes(world)["shared"]
    delete_crd(world, POLICIES)
    wait_for_no_crd(world, POLICIES)
    world.operator.program.kill()
    world.operator = OperatorProcess(world.plane, world.folder)
    patch = [{"op": "remove", "path": "/metadata/finalizers"}]
    where = ("zni", "shared", "--type=json", f"--patch={json.dumps(patch)}")
    world.plane.kubectl("patch", *where)
    wait_for_no_crd(world, INSTANCES)
    settings_stay(world)


def test_a_deletion_by_hand_is_undone_as_ever(world: World) -> None:
    """The CRD stays, so the deletion does its cleanup."""
    world.delete("reset", "default")
    world.gone("znp", "reset", "default")
    assert [write[0] for write in world.emulator.writes()] == ["POST"] * 3 + ["DELETE"]
