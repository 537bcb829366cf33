"""From the version that was released last to this one and back, with live objects.

At first, its own chart, its CRDs and its operator's code run. `tools/last_release.py`
says which version that is. Its operator runs with the packages of this checkout. The
tests build on each other, in this order.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, render
from cluster.conftest import System
from cluster.fleets import apply_set, make, wait_ready
from install.facts import look_at_all, lost_facts, read_facts
from install.upgrading import OPTIONS, guide, roll_out, stored
from support.documents import Shell
from support.installed import RELEASE, Installation
from support.kube_calls import read
from support.released import Released, unpack_released
from support.running import EmulatorProcess
from zitadel_notification_operator.demo.control_plane import ControlPlane

GROUP = "zitadel-notification.dev"
CRDS = tuple(
    f"{plural}.{GROUP}"
    for plural in ("notificationpolicies", "notificationpolicysets", "zitadelinstances")
)
POLICIES: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "restores": ({"deletionPolicy": "Restore"}, ("True", "Succeeded")),
    "observes": ({"managementPolicy": "Observe"}, ("True", "Succeeded")),
    "retains": ({"deletionPolicy": "Retain"}, ("True", "Succeeded")),
    "suspended": ({"suspend": True}, ("False", "Suspended")),
    "second": ({}, ("False", "Conflict")),
    "exception": ({}, ("True", "Succeeded")),
}
"""More of the spec of each policy, and its Ready condition."""
OF_SETS = 4


@dataclass(frozen=True)
class Objects:
    """The namespace of the policies and their set, and each policy's organization."""

    namespace: str
    organizations: dict[str, str]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """The version that was released last."""
    return unpack_released(tmp_path_factory.mktemp("released"))


@pytest.fixture(autouse=True)
def _told(released: Released) -> None:
    """Log which version it is; pytest shows that of a test that fails."""
    logging.getLogger(__name__).warning(released.describe())


@pytest.fixture(scope="module")
def installation(
    control_plane: ControlPlane,
    released: Released,
    tmp_path_factory: pytest.TempPathFactory,
) -> Installation:
    """Its chart, installed; what is started is its operator."""
    folder = tmp_path_factory.mktemp("installation")
    made = Installation(control_plane, folder, source=released.source)
    made.install(*OPTIONS, chart=released.chart)
    return made


@pytest.fixture(scope="module")
def organizations(emulator: EmulatorProcess) -> dict[str, str]:
    """The organization of each policy; that of `restores` has a value to go back to."""
    path = "/management/v1/orgs"
    found = {
        name: emulator.call("POST", path, {"name": name})["id"] for name in POLICIES
    }
    found["second"] = found["restores"]
    policies = "/management/v1/policies/notification"
    emulator.call("POST", policies, {"passwordChange": False}, found["restores"])
    return found


@pytest.fixture(scope="module")
def objects(
    system: System, installation: Installation, organizations: dict[str, str]
) -> Objects:
    """Policies of all sorts and a set, each with its final status."""
    namespace = installation.namespace()
    for number in range(OF_SETS - 1):
        make(system, f"{namespace}-{number}")
    for name, (spec, ready) in POLICIES.items():
        system.policy(namespace, name, organizations[name], **spec)
        system.wait_for(namespace, name, ready)
    selected = [{"name": f"{namespace}-*"}, {"id": organizations["exception"]}]
    apply_set(system, namespace, "set", organizations={"include": selected})
    wait_ready(system, namespace, "set")
    return Objects(namespace, organizations)


def events(system: System) -> list[dict[str, Any]]:
    """Return ZITADEL's whole event log."""
    found: list[dict[str, Any]] = system.emulator.call("GET", "/emulator/v1/events")
    return found


def check_stored_versions(plane: ControlPlane) -> None:
    """Check that each version in which objects are stored is one of the CRD's."""
    for name in CRDS:
        crd = read(plane, "crd", name)
        assert crd is not None, name
        served = {one["name"] for one in crd["spec"]["versions"] if one["served"]}
        assert crd["status"]["storedVersions"], name
        assert set(crd["status"]["storedVersions"]) <= served, name


def test_it_is_the_old_code_that_runs(released: Released) -> None:
    """The source of the release goes before what is installed."""
    found = released.imported_from()
    assert found == released.source / "zitadel_notification_operator"


@pytest.mark.usefixtures("objects")
def test_there_and_back(
    system: System, installation: Installation, released: Released, tmp_path: Path
) -> None:
    """ZITADEL's event log stays as it is, and so does each object."""
    shell = Shell(installation.plane, tmp_path)
    look_at_all(system, "before")
    before, log = read_facts(system), events(system)
    assert len(before) == len(POLICIES) + OF_SETS + 2
    assert [event for event in log if "policy.notification" in str(event)]

    shell.run(guide("Upgrade"))
    installation.source = None
    roll_out(system, installation, "pod-2")
    look_at_all(system, "upgraded")
    assert list(lost_facts(before, read_facts(system))) == []
    assert events(system) == log
    check_stored_versions(installation.plane)

    shell.run(guide("Roll back"))
    installation.source = released.source
    roll_out(system, installation, "pod-3")
    look_at_all(system, "back")
    assert read_facts(system) == before
    assert events(system) == log
    check_stored_versions(installation.plane)


def test_the_old_version_goes_on(system: System, objects: Objects) -> None:
    """It still knows the value that was there first, and which policies are a set's."""
    where, organization = objects.namespace, objects.organizations["restores"]
    for name in ("second", "restores"):
        system.delete(name, where)
        system.gone("znp", name, where)
    restored = system.emulator.policy(organization)
    assert restored.get("passwordChange", False) is False
    assert "isDefault" not in restored
    deletion = ("delete", "znps", "set", f"--namespace={where}", "--wait=false")
    system.plane.kubectl(*deletion)
    system.gone("znps", "set", where)
    left = {body["metadata"]["name"] for body in stored(system)}
    assert left == {"shared", *POLICIES} - {"second", "restores"}


def examples(folder: Path) -> list[dict[str, Any]]:
    """Return all manifests of our kinds among the examples of a version."""
    documents = [
        document
        for file in sorted((folder / "examples").glob("*/*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if document["apiVersion"].startswith(GROUP)
    ]
    assert len(documents) > 10
    return documents


def test_what_the_release_accepted_is_accepted(
    system: System, installation: Installation, released: Released
) -> None:
    """Its examples fit the present CRDs, which know each of their fields."""
    command = ("upgrade", RELEASE, str(CHART), "--reset-then-reuse-values")
    installation.helm(*command)
    for document in examples(released.folder):
        # The namespaces of the examples are not there.
        document["metadata"].pop("namespace", None)
        done = system.plane.kubectl(
            *("create", "--dry-run=server", "--validate=strict", "-f-"),
            stdin=json.dumps(document),
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_values_of_the_release_are_accepted(released: Released) -> None:
    """Each of its files of values still renders with the present chart."""
    files = sorted((released.chart / "ci").glob("*-values.yaml"))
    assert len(files) >= 5
    for file in files:
        assert render("--values", str(file))
