"""Invalid input and faults: each has its condition, and recovery is automatic."""

import json
from typing import Any

import pytest

from cluster.conftest import System
from support.audit import AuditLog
from support.running import (
    OWN_NAMESPACE,
    TOKEN,
    EmulatorProcess,
    OperatorProcess,
    create_secret,
)
from support.waiting import eventually


def test_unknown_instance_and_no_grant_read_the_same(
    system: System, namespace: str
) -> None:
    """A tenant cannot distinguish a missing instance from one without grant."""
    system.instance("closed", system.emulator.url, grants=[])
    system.wait_for("", "closed", kind="zni")
    org = system.organization()
    found = []
    for name in ("closed", "absent"):
        system.policy(namespace, name, org, instanceRef={"name": name})
        body = system.wait_for(namespace, name, ("False", "InstanceNotFound"))
        text = json.dumps(body["status"]["conditions"]).replace(name, "NAME")
        times = {c["lastTransitionTime"] for c in body["status"]["conditions"]}
        for time in times:
            text = text.replace(time, "TIME")
        found.append(text)
    assert found[0] == found[1]
    system.instance("closed", system.emulator.url, grants=[{"namespaces": ["test-*"]}])
    system.wait_for(namespace, "closed")


def test_scope_must_be_granted(system: System, namespace: str) -> None:
    """A namespace with a grant for organizations may not set the instance."""
    grants = [{"namespaces": ["*"]}]
    system.instance("narrow", system.emulator.url, grants=grants)
    spec = {
        "scope": "Instance",
        "organization": None,
        "instanceRef": {"name": "narrow"},
    }
    whole: dict[str, Any] = {"passwordChange": True, **spec}
    del whole["organization"]
    system.apply("NotificationPolicy", "p", whole, namespace)
    system.wait_for(namespace, "p", ("False", "NotGranted"))
    system.wait_for(namespace, "p", ("True", "NotGranted"), "Stalled")
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)


def test_organization_unknown_or_removed(system: System, namespace: str) -> None:
    """Both are Stalled, and a removed one gets no write."""
    system.policy(namespace, "unknown", "nosuch")
    system.wait_for(namespace, "unknown", ("False", "OrganizationNotFound"))
    org = system.organization()
    system.emulator.call("DELETE", f"/admin/v1/orgs/{org}")
    system.policy(namespace, "removed", org)
    system.wait_for(namespace, "removed", ("True", "OrganizationNotFound"), "Stalled")
    assert not [w for w in system.emulator.writes() if w[2] == org and w[0] == "POST"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "CredentialsMissing"),
        ("", "CredentialsInvalid"),
        ("zwei Wörter", "CredentialsInvalid"),
        ("revoked-token", "CredentialsRejected"),
    ],
)
def test_bad_credentials_and_their_recovery(
    system: System, namespace: str, data: str | None, reason: str
) -> None:
    """Each has its reason; a valid Secret helps, at once on request."""
    secret = f"secret-{namespace}"
    ref = {"personalAccessToken": {"secretRef": {"name": secret}}}
    if data is not None:
        create_secret(system.plane, secret, data)
    system.instance(namespace, system.emulator.url, credentials=ref)
    system.wait_for("", namespace, ("False", reason), kind="zni")
    system.policy(
        namespace, "p", system.organization(), instanceRef={"name": namespace}
    )
    shown = reason if reason == "CredentialsRejected" else "InstanceNotReady"
    system.wait_for(namespace, "p", ("False", shown))
    create_secret(system.plane, secret)
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    system.plane.kubectl("annotate", "zni", namespace, annotation)
    system.wait_for("", namespace, kind="zni")
    system.wait_for(namespace, "p")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "body": "<html>down</html>"},
        {"status": 429, "headers": {"Retry-After": "1"}},
        {"body": "<html>hello</html>"},
        {"body": "{}"},
        {"reset": True},
        {"truncate": 5},
    ],
)
def test_faults_pass_and_change_nothing(
    system: System, namespace: str, fault: dict[str, Any]
) -> None:
    """A faulty response is a condition, never a value."""
    org = system.organization()
    fault = {**fault, "organization": org, "times": 3}
    system.emulator.call("POST", "/emulator/v1/faults", fault)
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    policy = system.emulator.policy(org)
    assert policy["passwordChange"] is True
    verbs = [verb for verb, _, where in system.emulator.writes() if where == org]
    assert "PUT" not in verbs
    assert "DELETE" not in verbs


def test_deletion_waits_for_zitadel_and_says_the_way_out(
    system: System, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The object stays and says what to edit; Retain ends it."""
    emulator = EmulatorProcess(tmp_path_factory.mktemp("down"))
    system.instance(namespace, emulator.url)
    system.wait_for("", namespace, kind="zni")
    # The two emulators are one ZITADEL by their ids, so the id must be new in both.
    org = {"name": namespace, "orgId": f"org-{namespace}"}
    emulator.call("POST", "/v2/organizations", org)
    system.policy(namespace, "p", org["orgId"], instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    emulator.program.kill()
    system.delete("p", namespace)

    def is_reported() -> bool:
        body = system.get("znp", "p", namespace)
        assert body is not None
        conditions = body["status"]["conditions"]
        ready = next(c for c in conditions if c["type"] == "Ready")
        return ready["status"] == "False" and "spec.deletionPolicy" in ready["message"]

    eventually(is_reported, 30)
    patch = '{"spec":{"deletionPolicy":"Retain"}}'
    system.plane.kubectl(
        *("patch", "znp", "p", f"--namespace={namespace}", "--type=merge"),
        *("--patch", patch),
    )
    system.gone("znp", "p", namespace)


def test_deletion_goes_on_with_the_last_good_credential(
    system: System, namespace: str
) -> None:
    """The Secret was deleted first; the reset succeeds all the same."""
    secret = f"secret-{namespace}"
    ref = {"personalAccessToken": {"secretRef": {"name": secret}}}
    create_secret(system.plane, secret)
    system.instance(namespace, system.emulator.url, credentials=ref)
    org = system.organization()
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    system.plane.kubectl("delete", "secret", secret, f"--namespace={OWN_NAMESPACE}")
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    system.plane.kubectl("annotate", "zni", namespace, annotation)
    system.wait_for("", namespace, ("False", "CredentialsMissing"), kind="zni")
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert system.emulator.policy(org)["isDefault"]


def test_kill_and_restart_write_nothing_and_go_on(
    system: System, audit: AuditLog, namespace: str
) -> None:
    """A new process finds what has changed in the meantime."""
    org, late = system.organization(), system.organization()
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    before = len(audit.by_operator("notificationpolicies"))
    system.operator.program.kill()
    calls = len(system.emulator.writes())
    system.operator = OperatorProcess(system.plane, system.folder)
    system.operator.wait_ready()
    system.policy(namespace, "late", late)
    system.wait_for(namespace, "late")
    new = audit.by_operator("notificationpolicies")[before:]
    assert [w.name for w in new if w.name == "p"] == []
    assert system.emulator.writes()[calls:][-1][2] == late


def test_api_server_restart(system: System, namespace: str) -> None:
    """The operator goes on, or ends with an error and restarts correctly."""
    system.plane.stop_api_server()
    system.plane.start_api_server()
    org = system.organization()
    system.policy(namespace, "p", org)

    def ready() -> bool:
        if not system.operator.program.running:
            assert system.operator.program.wait(1) != 0
            system.operator = OperatorProcess(system.plane, system.folder)
        found = system.condition("znp", "p", namespace, "Ready")
        return found == ("True", "Succeeded")

    eventually(ready, 60)


def test_token_appears_nowhere(system: System) -> None:
    """It is not in the log at DEBUG, in any object, or in an Event."""
    assert TOKEN not in system.operator.log.read_text()
    for kind in ("znp", "zni", "events"):
        found = system.plane.kubectl("get", kind, "--all-namespaces", "--output=yaml")
        assert TOKEN not in found.stdout
