"""What users see: they use kubectl, and check ZITADEL and the status."""

import json
import shutil
from pathlib import Path

import pytest

from cluster.conftest import System
from support.audit import AuditLog
from support.running import OWN_NAMESPACE
from support.waiting import eventually

QUICKSTART = Path(__file__).parent.parent.parent / "examples" / "quickstart"
ACME = "280000000000000101"


@pytest.mark.parametrize("order", ["as written", "reversed"])
def test_quickstart_both_scopes_and_both_orders(
    system: System, audit: AuditLog, tmp_path: Path, order: str
) -> None:
    """Each status field is compared with ZITADEL's GET; then all is reset."""
    kubectl = system.plane.kubectl
    for file in QUICKSTART.glob("*.yaml"):
        copy = Path(shutil.copy(file, tmp_path))
        copy.write_text(
            copy.read_text().replace("http://127.0.0.1:8085", system.emulator.url)
        )
    files = sorted(tmp_path.glob("*.yaml"), reverse=order == "reversed")
    for file in files:
        kubectl("apply", "-f", str(file))
    wait = ("wait", "--for=condition=Ready", "--timeout=90s")
    kubectl(*wait, "zni/default")
    kubectl(*wait, "znp/acme", "--namespace=default")
    kubectl(*wait, "znp/instance-default", f"--namespace={OWN_NAMESPACE}")
    for name, namespace, org in (
        ("acme", "default", ACME),
        ("instance-default", OWN_NAMESPACE, ""),
    ):
        status = system.wait_for(namespace, name)["status"]
        policy = system.emulator.policy(org)
        details = policy["details"]
        assert status["isDefault"] == policy.get("isDefault", False)
        assert status["passwordChange"] == policy.get("passwordChange", False)
        for field in ("sequence", "creationDate", "changeDate", "resourceOwner"):
            assert status[field] == details[field]
    table = kubectl("get", "znp", f"--namespace={OWN_NAMESPACE}").stdout
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 120
    writes = audit.by_operator("notificationpolicies", "default", "acme")
    expected = ["", "status"]
    if order == "reversed":
        # It existed before its instance, and its status said so.
        expected.insert(0, "status")
    assert [w.subresource for w in writes] == expected
    for file in files:
        kubectl("delete", "--wait=false", "-f", str(file))
    system.gone("znp", "acme", "default")
    system.gone("znp", "instance-default", OWN_NAMESPACE)
    system.gone("zni", "default")
    assert system.emulator.policy(ACME)["isDefault"]
    writes = audit.by_operator("notificationpolicies", "default", "acme")
    assert len(writes) == len(expected) + 1


def test_write_counts_and_managed_fields(
    system: System, audit: AuditLog, namespace: str
) -> None:
    """Create takes 2 writes, change 1, delete 1, idle 0; ZITADEL gets three."""
    org = system.organization()
    system.policy(namespace, "p", org)
    body = system.wait_for(namespace, "p")
    assert len(audit.by_operator("notificationpolicies", namespace)) == 2
    assert "kopf" not in json.dumps(body)
    system.policy(namespace, "p", org, passwordChange=False)
    body = system.wait_for(namespace, "p")
    assert body["status"]["passwordChange"] is False
    assert len(audit.by_operator("notificationpolicies", namespace)) == 3
    managed = json.loads(
        system.plane.kubectl(
            *("get", "znp", "p", f"--namespace={namespace}"),
            *("--output=json", "--show-managed-fields"),
        ).stdout
    )["metadata"]["managedFields"]
    ours = [m for m in managed if m["manager"] == "zitadel-notification-operator"]
    fields = {key for m in ours for key in m["fieldsV1"]}
    assert fields == {"f:metadata", "f:status"}
    metadata = next(
        m["fieldsV1"]["f:metadata"] for m in ours if not m.get("subresource")
    )
    assert set(metadata) == {"f:annotations", "f:finalizers"}
    assert len(metadata["f:annotations"]) == 1
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert len(audit.by_operator("notificationpolicies", namespace)) == 4
    own = [verb for verb, _, where in system.emulator.writes() if where == org]
    assert own == ["POST", "PUT", "DELETE"]


def test_own_and_equal_is_adopted_without_a_write(
    system: System, namespace: str
) -> None:
    """An organization that already has the value gets no write."""
    org = system.organization()
    path = "/management/v1/policies/notification"
    system.emulator.call("POST", path, {"passwordChange": True}, org)
    system.policy(namespace, "p", org)
    body = system.wait_for(namespace, "p")
    assert body["status"]["original"] == {"isDefault": False, "passwordChange": True}
    assert [w for w in system.emulator.writes() if w[2] == org] == [("POST", path, org)]


def test_drift_is_corrected(system: System, namespace: str) -> None:
    """A change in ZITADEL is corrected within the poll interval."""
    org = system.organization()
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    path = "/management/v1/policies/notification"
    system.emulator.call("PUT", path, {"passwordChange": False}, org)
    eventually(lambda: system.emulator.policy(org).get("passwordChange"), 15)
    reset = system.emulator.call("DELETE", path, None, org)
    assert reset["details"]["resourceOwner"] == org
    eventually(lambda: "isDefault" not in system.emulator.policy(org), 15)


def test_observe_reports_and_writes_nothing(
    system: System, audit: AuditLog, namespace: str
) -> None:
    """It is Ready once observed; InSync says what would be done."""
    org = system.organization()
    system.policy(namespace, "p", org, managementPolicy="Observe", passwordChange=False)
    body = system.wait_for(namespace, "p", ("False", "Drifted"), "InSync")
    assert system.condition("znp", "p", namespace, "Ready") == ("True", "Succeeded")
    assert "finalizers" not in body["metadata"]
    assert len(audit.by_operator("notificationpolicies", namespace)) == 1
    assert not [w for w in system.emulator.writes() if w[2] == org]
    system.policy(namespace, "p", org, passwordChange=False)
    system.wait_for(namespace, "p", ("True", "InSync"), "InSync")
    system.policy(namespace, "p", org, managementPolicy="Observe", passwordChange=False)
    body = system.wait_for(namespace, "p", ("True", "InSync"), "InSync")
    assert "original" not in body["status"]
    assert "finalizers" not in body["metadata"]


def test_retain_leaves_zitadel_and_needs_no_finalizer(
    system: System, namespace: str
) -> None:
    """The object goes at once, and the organization keeps its policy."""
    org = system.organization()
    system.policy(namespace, "p", org, deletionPolicy="Retain")
    body = system.wait_for(namespace, "p")
    assert "finalizers" not in body["metadata"]
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert "isDefault" not in system.emulator.policy(org)


def test_suspend_stops_calls_but_not_deletion(system: System, namespace: str) -> None:
    """While suspended there is no write; a deletion still resets."""
    org = system.organization()
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    system.policy(namespace, "p", org, suspend=True, passwordChange=False)
    eventually(
        lambda: (
            system.stored("znp", "p", namespace)["status"]["observedGeneration"] == 2
        )
    )
    assert system.emulator.policy(org)["passwordChange"] is True
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert system.emulator.policy(org)["isDefault"]


def test_credentials_own_organization(system: System, namespace: str) -> None:
    """`ofCredential` is resolved once and pinned."""
    system.policy(namespace, "p")
    status = system.wait_for(namespace, "p")["status"]
    assert status["organizationId"] == "280000000000000002"
    assert status["organizationName"] == "ZITADEL"
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)


def test_requested_pass_is_acknowledged(system: System, namespace: str) -> None:
    """The annotation's token is copied after the pass."""
    org = system.organization()
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    annotation = "zitadel-notification.dev/reconcile-requested-at=now-1"
    system.plane.kubectl("annotate", "znp", "p", annotation, f"--namespace={namespace}")
    eventually(
        lambda: (
            system.stored("znp", "p", namespace)["status"].get("lastHandledReconcileAt")
            == "now-1"
        )
    )


def test_conflict_and_take_over_without_a_reset(system: System, namespace: str) -> None:
    """When the older policy goes, the younger takes over with the original."""
    org = system.organization()
    system.policy(namespace, "first", org, passwordChange=False)
    system.wait_for(namespace, "first")
    system.policy(namespace, "second", org)
    system.wait_for(namespace, "second", ("False", "Conflict"))
    body = system.wait_for(namespace, "second", ("True", "Conflict"), "Stalled")
    assert "finalizers" not in body["metadata"]
    assert "passwordChange" not in body["status"]
    system.delete("first", namespace)
    system.gone("znp", "first", namespace)
    body = system.wait_for(namespace, "second")
    assert body["status"]["original"] == {"isDefault": True, "passwordChange": True}
    assert "DELETE" not in [w[0] for w in system.emulator.writes() if w[2] == org]


def test_loser_of_a_conflict_resets_nothing(system: System, namespace: str) -> None:
    """Deleting the younger policy changes nothing."""
    org = system.organization()
    system.policy(namespace, "a", org)
    system.wait_for(namespace, "a")
    system.policy(namespace, "b", org)
    system.wait_for(namespace, "b", ("False", "Conflict"))
    system.delete("b", namespace)
    system.gone("znp", "b", namespace)
    assert "isDefault" not in system.emulator.policy(org)
