"""The commands of docs/how-to/uninstall.md, exactly as written, and their results."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chart.rendering import CHART
from cluster.conftest import System
from cluster.fleets import apply_set, named, wait_ready
from support.documents import ROOT, Shell, commands
from support.installed import RELEASE, Installation
from support.running import OWN_NAMESPACE, EmulatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

DOCUMENT = ROOT / "docs" / "how-to" / "uninstall.md"
CRDS = (
    "notificationpolicysets.zitadel-notification.dev",
    "notificationpolicies.zitadel-notification.dev",
    "zitadelinstances.zitadel-notification.dev",
)
ACME, GLOBEX = "280000000000000101", "280000000000000102"
PART_OF = "--selector=app.kubernetes.io/part-of=zitadel-notification-operator"
OURS = (
    "deployment,serviceaccount,service,role,rolebinding,clusterrole,"
    "clusterrolebinding,poddisruptionbudget,crd"
)


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A control plane with the controllers that really delete namespaces."""
    with ControlPlane() as plane:
        plane.start_controller_manager()
        for name in ("team-a", "team-b"):
            plane.kubectl("create", "namespace", name)
        yield plane


@pytest.fixture
def installation(control_plane: ControlPlane, tmp_path: Path) -> Installation:
    """An empty cluster: each test installs the chart and leaves nothing."""
    return Installation(control_plane, tmp_path)


@pytest.fixture
def shell(control_plane: ControlPlane, tmp_path: Path) -> Shell:
    return Shell(control_plane, tmp_path)


def begin(
    installation: Installation, emulator: EmulatorProcess, *options: str
) -> System:
    """Install the chart, and create a policy for each team; both are Ready."""
    lease = ("--set", "leaderElection.leaseDuration=5s")
    installation.install(*lease, *options)
    create_secret(installation.plane, "zitadel-credentials")
    operator = installation.lead("pod-1")
    system = System(installation.plane, emulator, operator, installation.folder)
    system.instance("shared", emulator.url)
    system.policy("team-a", "acme", ACME)
    system.policy("team-b", "globex", GLOBEX)
    system.wait_for("team-a", "acme")
    system.wait_for("team-b", "globex")
    return system


def left(system: System) -> str:
    """Return what is left of the chart after all documented commands."""
    kinds = ("get", OURS, "--all-namespaces", PART_OF, "--output=name")
    found = system.plane.kubectl(*kinds).stdout
    if system.get("namespace", OWN_NAMESPACE) is not None:
        found += OWN_NAMESPACE
    return found


def lease_is_over(system: System) -> bool:
    """Return whether the Lease that could not be released has expired."""
    spec = system.stored("lease", RELEASE, OWN_NAMESPACE)["spec"]
    age = datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"])
    return age.total_seconds() > float(spec["leaseDurationSeconds"])


def inherits(system: System, organization: str) -> bool:
    """Return whether an organization has no setting of its own."""
    return bool(system.emulator.policy(organization).get("isDefault"))


def test_the_right_order(
    installation: Installation, emulator: EmulatorProcess, shell: Shell
) -> None:
    """ZITADEL and the cluster are as before."""
    system = begin(installation, emulator)
    customer = emulator.call("POST", "/management/v1/orgs", {"name": "customer-1"})
    apply_set(
        system,
        "team-a",
        "customers",
        organizations=named("customer-*"),
        deletionPolicy="Reset",
    )
    wait_ready(system, "team-a", "customers")
    assert not inherits(system, customer["id"])
    with system.operator.program:
        script = shell.start(commands(DOCUMENT, "The right order"))
        system.gone("zni", "shared")
        output, _ = script.communicate(timeout=60)
        assert script.returncode == 0, output
    assert inherits(system, ACME)
    assert inherits(system, GLOBEX)
    assert inherits(system, customer["id"])
    assert left(system) == ""


def test_the_wrong_order(
    installation: Installation, emulator: EmulatorProcess, shell: Shell
) -> None:
    """The operator goes first: policy and CRDs hang until the release."""
    system = begin(installation, emulator)
    installation.helm("uninstall", RELEASE)
    assert system.operator.program.stop() == 0
    system.delete("acme", "team-a")
    system.plane.kubectl("delete", "crd", *CRDS, "--wait=false")
    assert system.get("znp", "acme", "team-a") is not None
    eventually(lambda: lease_is_over(system), 20, "the Lease is over")
    output = shell.run(commands(DOCUMENT, "After the wrong order"))
    assert "NotificationPolicy team-a/acme: released" in output
    assert f"organization {ACME} (ACME) has a setting of its own" in output
    assert "3 objects released" in output
    assert not inherits(system, ACME)
    assert left(system) == ""
    for organization in (ACME, GLOBEX):
        path = "/management/v1/policies/notification"
        emulator.call("DELETE", path, None, organization)


def test_stop_watching_a_namespace(
    installation: Installation, emulator: EmulatorProcess, shell: Shell
) -> None:
    """The permissions go last, and the other team is not affected."""
    system = begin(installation, emulator, "--set", "watchNamespaces={team-a,team-b}")
    with system.operator.program:
        shell.run(commands(DOCUMENT, "Stop watching a namespace"))
        assert system.get("namespace", "team-b") is None
        assert inherits(system, GLOBEX)
        assert not inherits(system, ACME)
        for namespace, answer in (("team-a", True), ("team-b", False)):
            right = ("patch", "notificationpolicies", "-n", namespace)
            assert installation.may(*right) is answer
        installation.plane.kubectl("create", "namespace", "team-b")
        end(system, installation)


def test_a_watched_namespace_that_was_deleted_first(
    installation: Installation, emulator: EmulatorProcess, shell: Shell
) -> None:
    """It takes its Role along and hangs; the documented way out ends it."""
    system = begin(installation, emulator, "--set", "watchNamespaces={team-a,team-b}")
    with system.operator.program:
        # Kubernetes decides which of them goes first; this is always the worst case.
        rights = ("rolebinding", f"{RELEASE}-policies", "--namespace=team-b")
        system.plane.kubectl("delete", *rights)
        gone = ("delete", "namespace", "team-b", "--timeout=5s")
        with pytest.raises(subprocess.CalledProcessError, match="non-zero"):
            installation.plane.kubectl(*gone)
        assert not installation.may("patch", "notificationpolicies", "-n", "team-b")
    # A restarted operator cannot read it, and serves the other namespace.
    system.operator = installation.lead("pod-2")
    with system.operator.program:
        change = ("--type=merge", '--patch={"spec":{"passwordChange":false}}')
        system.plane.kubectl("patch", "znp", "acme", "--namespace=team-a", *change)
        eventually(lambda: not system.emulator.policy(ACME).get("passwordChange"))
        chart = ("upgrade", RELEASE, str(CHART), "--reset-then-reuse-values")
        installation.helm(*chart, "--set", "watchNamespaces={team-a}")
    system.operator = installation.lead("pod-3")
    with system.operator.program:
        way_out = "znp release --force team-b/globex"
        assert way_out in DOCUMENT.read_text()
        assert "NotificationPolicy team-b/globex: released" in shell.run(way_out)
        system.plane.kubectl(
            "wait", "--for=delete", "namespace/team-b", "--timeout=180s"
        )
        system.wait_for("team-a", "acme")
        end(system, installation)


def end(system: System, installation: Installation) -> None:
    """Remove everything except the operator's namespace."""
    for kind, where in (
        ("notificationpolicysets", "-A"),
        ("notificationpolicies", "-A"),
        ("zitadelinstances", "--wait"),
    ):
        system.plane.kubectl("delete", kind, "--all", where, "--timeout=180s")
    installation.helm("uninstall", RELEASE)
    system.plane.kubectl("delete", "crd", *CRDS)
