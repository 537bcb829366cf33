"""An operator with a second flag, for which one line of code was added.

It runs from a copy of the package, with a real API server whose CRDs have the property
and an emulator whose policies have the flag (`support.second_flag`).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import System, condition_in
from support.kube_calls import create_namespace, read_all
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.second_flag import copy_crds, copy_package
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

POLICY = "/management/v1/policies/notification"
ADMIN = "/admin/v1/policies/notification"
BOTH = {"passwordChange": True, "emailChange": True}
ORIGINAL = "zitadel-notification.dev/original"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with the CRDs of a version that has the second flag."""
    crds = copy_crds(tmp_path_factory.mktemp("second-flag"))
    with ControlPlane() as made:
        made.kubectl("apply", "--server-side", "-f", str(crds))
        made.kubectl("wait", "--for=condition=Established", "crd", "--all")
        made.kubectl("create", "namespace", "zitadel-notification-operator")
        create_secret(made, "zitadel-credentials")
        yield made


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Python imports the copy."""
    root = copy_package(tmp_path_factory.mktemp("copy"))
    return {"NO_PROXY": "*", "PYTHONPATH": str(root)}


@pytest.fixture
def flagged(
    plane: ControlPlane, copied: dict[str, str], tmp_path: Path
) -> Iterator[System]:
    """The copy, and an emulator whose default policy has both flags set."""
    emulator = EmulatorProcess(tmp_path, 0, "--policy-flag", "emailChange")
    with emulator.program:
        emulator.call("PUT", ADMIN, BOTH)
        operator = OperatorProcess(plane, tmp_path, environment=copied)
        system = System(plane, emulator, operator, tmp_path)
        system.instance("shared", emulator.url)
        operator.wait_ready()
        system.wait_for("", "shared", kind="zni")
        yield system
        plane.kubectl("delete", "zni", "shared", "--wait=false")
        system.gone("zni", "shared")
        system.operator.program.stop()


@pytest.fixture
def where(plane: ControlPlane, request: pytest.FixtureRequest) -> str:
    """A namespace for the test."""
    name: str = request.function.__name__.replace("_", "-")[:60].strip("-")
    create_namespace(plane, name)
    return name


def held(system: System, org: str) -> dict[str, Any]:
    """Return the policy in force without its details."""
    found = system.emulator.policy(org)
    del found["details"]
    return found


def status_of(system: System, namespace: str) -> dict[str, Any]:
    """Return the status of the policy `p`; empty if there is none."""
    found: dict[str, Any] = (system.get("znp", "p", namespace) or {}).get("status", {})
    return found


def in_sync(body: dict[str, Any]) -> str:
    """Return the message of the InSync condition."""
    assert condition_in(body, "InSync")[0] == "True"
    message: str = next(
        condition["message"]
        for condition in body["status"]["conditions"]
        if condition["type"] == "InSync"
    )
    return message


def notes(system: System, namespace: str, reason: str) -> list[str]:
    """Return the notes of the Events with this reason."""
    found = read_all(system.plane, "event", namespace)
    return [event["note"] for event in found if event["reason"] == reason]


def test_from_create_through_drift_to_restore(flagged: System, where: str) -> None:
    """Both flags are written, reported, corrected, and restored."""
    system, org = flagged, flagged.organization()
    system.emulator.call("POST", POLICY, BOTH, org)
    wanted = {"passwordChange": False, "emailChange": False}
    system.policy(where, "p", org, **wanted, deletionPolicy="Restore")
    body = system.wait_for(where, "p")
    status = body["status"]
    assert held(system, org) == {}
    assert {name: status[name] for name in wanted} == wanted
    assert status["original"] == {"isDefault": False, **BOTH}
    assert json.loads(body["metadata"]["annotations"][ORIGINAL])["emailChange"] is True
    expected = "ZITADEL holds passwordChange false, emailChange false"
    assert in_sync(body) == expected

    system.emulator.call("PUT", POLICY, {"emailChange": True}, org)
    eventually(lambda: held(system, org) == {}, 30, "the correction")
    drift = eventually(lambda: status_of(system, where).get("lastDrift"), 30, "drift")
    assert drift["from"] == {"isDefault": False, **wanted, "emailChange": True}
    assert drift["to"] == {"isDefault": False, **wanted}
    note = eventually(lambda: notes(system, where, "DriftCorrected"))[0]
    assert note.endswith(": emailChange from true to false")

    system.delete("p", where)
    system.gone("znp", "p", where)
    assert held(system, org) == BOTH


def test_a_flag_that_is_left_out_stays_as_it_is(flagged: System, where: str) -> None:
    """Its change is no drift, and each write carries it."""
    system, org = flagged, flagged.organization()
    system.policy(where, "p", org, passwordChange=False)
    body = system.wait_for(where, "p")
    assert held(system, org) == {"emailChange": True}  # as it was inherited
    assert body["status"]["emailChange"] is True
    assert in_sync(body) == "ZITADEL holds passwordChange false"

    answer = system.emulator.call("PUT", POLICY, {"emailChange": False}, org)
    sequence = answer["details"]["sequence"]
    eventually(
        lambda: status_of(system, where)["sequence"] == sequence, 30, "the new sequence"
    )
    status = status_of(system, where)
    assert status["emailChange"] is False
    assert "lastDrift" not in status
    assert held(system, org) == {}

    system.emulator.call("PUT", POLICY, BOTH, org)
    wanted = {"emailChange": True}
    eventually(lambda: held(system, org) == wanted, 30, "the correction")
    system.policy(where, "p", org, emailChange=False, passwordChange=True)
    system.wait_for(where, "p")
    assert held(system, org) == {"passwordChange": True}
    system.delete("p", where)
    system.gone("znp", "p", where)
    assert held(system, org) == {"isDefault": True, **BOTH}


def test_an_upgrade_restores_what_the_older_version_has_recorded(
    flagged: System, where: str, copied: dict[str, str]
) -> None:
    """An original without the flag restores the others."""
    system, org = flagged, flagged.organization()
    assert system.operator.program.stop() == 0
    system.emulator.call("POST", POLICY, BOTH, org)
    older = OperatorProcess(system.plane, system.folder)
    older.wait_ready()
    system.policy(where, "p", org, passwordChange=False, deletionPolicy="Restore")
    body = system.wait_for(where, "p")
    assert "emailChange" not in str(body["metadata"]["annotations"][ORIGINAL])
    assert body["status"]["original"] == {"isDefault": False, "passwordChange": True}
    assert held(system, org) == {"emailChange": True}
    assert older.program.stop() == 0

    system.operator = OperatorProcess(system.plane, system.folder, environment=copied)
    system.operator.wait_ready()
    wanted = {"passwordChange": False, "emailChange": False}
    system.policy(where, "p", org, **wanted, deletionPolicy="Restore")
    body = system.wait_for(where, "p")
    assert held(system, org) == {}
    assert body["status"]["original"] == {"isDefault": False, "passwordChange": True}
    system.delete("p", where)
    system.gone("znp", "p", where)
    assert held(system, org) == {"passwordChange": True}
