"""From one chart to the next, back, removed and installed again, with policies."""

from pathlib import Path

from chart.rendering import CHART
from cluster.conftest import System
from install.upgrading import (
    OPTIONS,
    guide,
    has_note,
    request_pass,
    roll_out,
    statuses,
    stored,
)
from support.audit import AuditLog
from support.documents import Shell
from support.installed import RELEASE, Installation
from support.running import OWN_NAMESPACE
from support.waiting import eventually

POLICIES = "notificationpolicies"


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
    assert len(before) == 4
    writes_before, writes = len(audit.by_operator(POLICIES)), system.emulator.writes()
    shell = Shell(installation.plane, tmp_path)
    assert not has_note(system)
    text = guide("Upgrade", newer)
    assert str(newer) in text
    output = shell.run(text)
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
    assert len(audit.by_operator(POLICIES)) == writes_before + 1

    shell.run(guide("Roll back"))
    assert "--workers=16" in installation.container()["args"]
    eventually(lambda: not has_note(system), what="the old CRD")
    roll_out(system, installation, "pod-3")
    for name in ("manages", "observes"):
        request_pass(system, "znp", name, namespace, "after-the-rollback")
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

    writes_before = len(audit.by_operator(POLICIES))
    installation.helm("install", RELEASE, str(CHART), *OPTIONS)
    system.operator = installation.lead("pod-4")
    system.gone("znp", "goes", namespace)
    # One write removes the finalizer; there is none to living objects.
    assert len(audit.by_operator(POLICIES)) == writes_before + 1
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
