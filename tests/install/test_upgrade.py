"""From one chart to the next, back, removed and installed again, with policies."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART
from cluster.conftest import System
from support.audit import AuditLog
from support.documents import ROOT, Shell, commands
from support.installed import RELEASE, Installation
from support.running import OWN_NAMESPACE
from support.waiting import eventually

OPTIONS = ("--set", "leaderElection.leaseDuration=5s")
UPGRADE = ROOT / "docs" / "how-to" / "upgrade.md"
CRD = "notificationpolicies.zitadel-notification.dev"
KINDS = ("notificationpolicies", "zitadelinstances")


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The next chart, with one more field in a CRD and another default."""
    copy = tmp_path / "newer"
    shutil.copytree(CHART, copy)
    file = (
        copy / "files" / "crds" / "zitadel-notification.dev_notificationpolicies.yaml"
    )
    crd = yaml.safe_load(file.read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["note"] = {"type": "string"}
    file.write_text(yaml.safe_dump(crd, sort_keys=False))
    values = copy / "values.yaml"
    text = values.read_text()
    assert "\nworkers: 16\n" in text
    values.write_text(text.replace("\nworkers: 16\n", "\nworkers: 4\n"))
    return copy


def stored(system: System) -> list[Any]:
    """Return all objects of both kinds."""
    done = system.plane.kubectl(
        *("get", ",".join(KINDS), "--all-namespaces", "--output=json")
    )
    items: list[Any] = json.loads(done.stdout)["items"]
    assert len(items) == 4
    return items


LATE = {"policies", "driftCursor"}
"""What an instance's status tells up to two minutes later, upgrade or not."""


def statuses(system: System) -> dict[str, Any]:
    """Return all statuses by kind and name, without fields that change late."""
    return {
        f"{item['kind']}/{item['metadata']['name']}": {
            key: value for key, value in item["status"].items() if key not in LATE
        }
        for item in stored(system)
    }


def roll_out(system: System, installation: Installation, pod: str) -> None:
    """Do what Deployment and kubelet do after a change: start a pod, end the other."""
    old, system.operator = system.operator, installation.start(pod)
    system.operator.wait_ready()
    assert old.program.stop() == 0
    eventually(lambda: installation.holder() == pod, 40, f"{pod} holds the Lease")


def has_note(system: System) -> bool:
    """Return whether the API server knows the field of the newer chart."""
    done = system.plane.kubectl("explain", "znp.spec.note", check=False)
    return done.returncode == 0


def annotate(system: System, namespace: str, name: str, token: str) -> None:
    """Request a pass over a policy, and wait until it has ended."""
    mark = f"zitadel-notification.dev/reconcile-requested-at={token}"
    where = f"--namespace={namespace}"
    system.plane.kubectl("annotate", "--overwrite", "znp", name, mark, where)

    def is_handled() -> bool:
        body = system.get("znp", name, namespace) or {}
        return bool(body["status"].get("lastHandledReconcileAt") == token)

    eventually(is_handled, 40, f"{name}: {token} handled")


def make_policies(system: System, namespace: str) -> None:
    """Create a policy of each kind that an upgrade could affect."""
    system.policy(namespace, "manages", system.organization(), deletionPolicy="Restore")
    system.policy(
        namespace, "observes", system.organization(), managementPolicy="Observe"
    )
    system.policy(namespace, "goes", system.organization())
    for name in ("manages", "observes", "goes"):
        system.wait_for(namespace, name)


def test_upgrade_and_rollback(
    system: System,
    installation: Installation,
    namespace: str,
    audit: AuditLog,
    newer: Path,
    tmp_path: Path,
) -> None:
    """The documented commands cause no write, and each status stays true."""
    make_policies(system, namespace)
    before = statuses(system)
    writes_before, writes = len(audit.by_operator(KINDS[0])), system.emulator.writes()
    shell = Shell(installation.plane, tmp_path)
    assert not has_note(system)
    text = commands(UPGRADE, "Upgrade")
    chart = str(CHART.relative_to(ROOT))
    assert chart in text
    output = shell.run(text.replace(chart, str(newer)))
    assert "manages" in output
    assert "--workers=4" in installation.container()["args"]
    assert "--lease-duration=5s" in installation.container()["args"]
    eventually(lambda: has_note(system), what="the new field")
    roll_out(system, installation, "pod-2")
    assert statuses(system) == before
    patch = ("patch", "znp", "observes", "--type=merge", '-p={"spec":{"note":"new"}}')
    system.plane.kubectl(*patch, f"--namespace={namespace}")
    body = system.wait_for(namespace, "observes")
    assert body["spec"]["note"] == "new"
    assert len(audit.by_operator(KINDS[0])) == writes_before + 1

    shell.run(commands(UPGRADE, "Roll back"))
    assert "--workers=16" in installation.container()["args"]
    eventually(lambda: not has_note(system), what="the old CRD")
    roll_out(system, installation, "pod-3")
    for name in ("manages", "observes"):
        annotate(system, namespace, name, "after-the-rollback")
        system.wait_for(namespace, name)
    assert "note" not in (system.get("znp", "observes", namespace) or {})["spec"]
    assert system.emulator.writes() == writes


def test_uninstall_with_live_objects_and_install_again(
    system: System, installation: Installation, audit: AuditLog
) -> None:
    """All stays as it is; a deletion in the meantime waits, and then ends."""
    before, writes = statuses(system), system.emulator.writes()
    installation.helm("uninstall", RELEASE)
    # The old token's account is gone; a pod would get a new token from the kubelet.
    assert system.operator.program.stop() == 0
    assert statuses(system) == before
    namespaces = {item["metadata"].get("namespace") for item in stored(system)}
    (namespace,) = namespaces - {None}
    system.delete("goes", namespace)
    body = system.get("znp", "goes", namespace)
    assert body is not None
    assert body["metadata"]["deletionTimestamp"]

    writes_before = len(audit.by_operator(KINDS[0]))
    installation.helm("install", RELEASE, str(CHART), *OPTIONS)
    system.operator = installation.lead("pod-4")
    system.gone("znp", "goes", namespace)
    # One write removes the finalizer; there is none to living objects.
    assert len(audit.by_operator(KINDS[0])) == writes_before + 1
    (undone,) = system.emulator.writes()[len(writes) :]
    assert undone[0] == "DELETE"
    for name in ("manages", "observes"):
        after = system.get("znp", name, namespace)
        assert after is not None
        assert after["status"] == before[f"NotificationPolicy/{name}"]
    system.delete("manages", namespace)
    system.gone("znp", "manages", namespace)
    assert installation.holder() == "pod-4"
    assert OWN_NAMESPACE == RELEASE
