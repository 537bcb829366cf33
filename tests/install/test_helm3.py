"""A release that Helm 3 installed: the guide's commands, and how Helm 4 takes it over.

The tests build on each other, in this order.
"""

import json
from pathlib import Path
from typing import Any

from chart.rendering import CHART, HELM_3, HELM_4
from cluster.conftest import System
from install.upgrading import (
    OPTIONS,
    guide,
    has_note,
    name_of,
    roll_out,
    statuses,
    stored,
)
from support.documents import Shell
from support.installed import RELEASE, Installation
from support.running import OWN_NAMESPACE
from support.waiting import eventually

HELM = HELM_3
CRDS = (
    "notificationpolicies.zitadel-notification.dev",
    "notificationpolicysets.zitadel-notification.dev",
    "zitadelinstances.zitadel-notification.dev",
)
KEEP_VALUES = "--reset-then-reuse-values"


def helm_4(installation: Installation, *arguments: str) -> str:
    """Run Helm 4 in the operator's namespace; return its output."""
    other = Installation(installation.plane, installation.folder, program=HELM_4)
    return other.helm(*arguments).stdout


def applied_by(installation: Installation) -> str:
    """Return how Helm 4 says that the release was applied: csa or ssa."""
    known = helm_4(installation, "get", "metadata", RELEASE, "--output=json")
    method: str = json.loads(known)["applyMethod"]
    return method


def deployment(system: System) -> dict[str, Any]:
    """Return the stored Deployment."""
    where = (f"--namespace={OWN_NAMESPACE}", "--output=json")
    done = system.plane.kubectl("get", "deployment", RELEASE, *where)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def identities(system: System) -> dict[str, str]:
    """Return the uid of each of our objects and of the Deployment."""
    found = [*stored(system), deployment(system)]
    return {name_of(body): body["metadata"]["uid"] for body in found}


def test_the_guide_with_helm_3(
    system: System,
    installation: Installation,
    namespace: str,
    newer: Path,
    tmp_path: Path,
) -> None:
    """Upgrade and rollback change CRDs and values, and write nothing to ZITADEL."""
    system.policy(namespace, "p", system.organization(), deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    before, writes = statuses(system), system.emulator.writes()
    assert len(before) == 2
    shell = Shell(installation.plane, tmp_path, HELM)
    assert "v3." in shell.run("helm version --short")
    assert not has_note(system)
    shell.run(guide("Upgrade", newer))
    assert "--workers=4" in installation.container()["args"]
    assert "--lease-duration=5s" in installation.container()["args"]
    eventually(lambda: has_note(system), what="the new field")
    shell.run(guide("Roll back"))
    assert "--workers=16" in installation.container()["args"]
    eventually(lambda: not has_note(system), what="the old CRD")
    assert statuses(system) == before
    assert system.emulator.writes() == writes


def test_helm_3_has_no_conflicts(system: System, installation: Installation) -> None:
    """It silently takes back what kubectl has changed."""
    command = ("scale", f"deployment/{RELEASE}", "--replicas=1")
    system.plane.kubectl(*command, f"--namespace={OWN_NAMESPACE}")
    change_categories(system)
    installation.helm("upgrade", RELEASE, str(CHART), KEEP_VALUES)
    assert deployment(system)["spec"]["replicas"] == 2
    assert categories(system) == ["zitadel"]


def test_helm_4_upgrades_the_release(
    system: System, installation: Installation, newer: Path
) -> None:
    """All objects stay the same ones; it goes on to apply on the client's side."""
    before, writes, uids = (
        statuses(system),
        system.emulator.writes(),
        identities(system),
    )
    helm_4(installation, "upgrade", RELEASE, str(newer), KEEP_VALUES)
    assert applied_by(installation) == "csa"
    assert "--workers=4" in installation.container()["args"]
    assert "--lease-duration=5s" in installation.container()["args"]
    eventually(lambda: has_note(system), what="the new field")
    roll_out(system, installation, "pod-2")
    assert identities(system) == uids
    assert statuses(system) == before
    assert system.emulator.writes() == writes


def test_helm_4_may_change_to_server_side_apply(
    system: System, installation: Installation
) -> None:
    """There is no conflict with Helm 3, and what the chart no longer has goes."""
    uids = identities(system)
    command = ("upgrade", RELEASE, str(CHART), KEEP_VALUES, "--server-side=true")
    helm_4(installation, *command)
    assert applied_by(installation) == "ssa"
    assert "--workers=16" in installation.container()["args"]
    eventually(lambda: not has_note(system), what="the CRD of this chart")
    assert identities(system) == uids


def test_back_to_what_helm_3_installed(
    system: System, installation: Installation
) -> None:
    """Helm 4 rolls back to Helm 3's revision, and Helm 3 can go on after that."""
    uids = identities(system)
    helm_4(installation, "rollback", RELEASE, "1")
    installation.helm("upgrade", RELEASE, str(CHART), KEEP_VALUES, "--set=workers=8")
    assert "--workers=8" in installation.container()["args"]
    assert identities(system) == uids


def categories(system: System) -> list[str]:
    """Return the categories of the CRD of policies, which kubectl may have changed."""
    crd = system.stored("crd", CRDS[0])
    found: list[str] = crd["spec"]["names"]["categories"]
    return found


def change_categories(system: System) -> None:
    """Change a field of the CRD with kubectl."""
    patch = '--patch={"spec":{"names":{"categories":["older"]}}}'
    system.plane.kubectl("patch", "crd", CRDS[0], "--type=merge", patch)


def test_crds_that_stayed(
    system: System, installation: Installation, newer: Path
) -> None:
    """They become those of the chart; foreign ones only with --take-ownership."""
    assert system.operator.program.stop() == 0
    uids = {name: uid for name, uid in identities(system).items() if "Depl" not in name}
    installation.helm("uninstall", RELEASE)
    install = ("install", RELEASE, str(newer), *OPTIONS)
    installation.helm(*install)
    eventually(lambda: has_note(system), what="the new field")
    installation.helm("uninstall", RELEASE)
    change_categories(system)
    system.plane.kubectl("annotate", "crd", *CRDS, "meta.helm.sh/release-name-")
    refused = installation.helm(*install, check=False)
    assert 'missing key "meta.helm.sh/release-name"' in refused.stderr
    installation.helm(*install, "--take-ownership")
    assert categories(system) == ["zitadel"]
    assert identities(system).items() > uids.items()
