"""Invalid input and faults: each has its condition, and recovery is automatic."""

import json
from typing import Any

import pytest

from cluster.conftest import World
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
    world: World, namespace: str
) -> None:
    """A tenant cannot distinguish a missing instance from one without grant."""
    world.instance("closed", world.emulator.url, grants=[])
    world.wait_for("", "closed", kind="zni")
    org = world.organization()
    found = []
    for name in ("closed", "absent"):
        world.policy(namespace, name, org, instanceRef={"name": name})
        body = world.wait_for(namespace, name, ("False", "InstanceNotFound"))
        text = json.dumps(body["status"]["conditions"]).replace(name, "NAME")
        times = {c["lastTransitionTime"] for c in body["status"]["conditions"]}
        for time in times:
            text = text.replace(time, "TIME")
        found.append(text)
    assert found[0] == found[1]
    world.instance("closed", world.emulator.url, grants=[{"namespaces": ["test-*"]}])
    world.wait_for(namespace, "closed")


def test_scope_must_be_granted(world: World, namespace: str) -> None:
    """A namespace with a grant for organizations may not set the instance."""
    grants = [{"namespaces": ["*"]}]
    world.instance("narrow", world.emulator.url, grants=grants)
    spec = {
        "scope": "Instance",
        "organization": None,
        "instanceRef": {"name": "narrow"},
    }
    whole: dict[str, Any] = {"passwordChange": True, **spec}
    del whole["organization"]
    world.apply("NotificationPolicy", "p", whole, namespace)
    world.wait_for(namespace, "p", ("False", "NotGranted"))
    world.wait_for(namespace, "p", ("True", "NotGranted"), "Stalled")
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)


def test_organization_unknown_or_removed(world: World, namespace: str) -> None:
    """Both are Stalled, and a removed one gets no write."""
    world.policy(namespace, "unknown", "nosuch")
    world.wait_for(namespace, "unknown", ("False", "OrganizationNotFound"))
    org = world.organization()
    world.emulator.call("DELETE", f"/admin/v1/orgs/{org}")
    world.policy(namespace, "removed", org)
    world.wait_for(namespace, "removed", ("True", "OrganizationNotFound"), "Stalled")
    assert not [w for w in world.emulator.writes() if w[2] == org and w[0] == "POST"]


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
    world: World, namespace: str, data: str | None, reason: str
) -> None:
    """Each has its reason; a valid Secret helps, at once on request."""
    secret = f"secret-{namespace}"
    ref = {"personalAccessToken": {"secretRef": {"name": secret}}}
    if data is not None:
        create_secret(world.plane, secret, data)
    world.instance(namespace, world.emulator.url, credentials=ref)
    world.wait_for("", namespace, ("False", reason), kind="zni")
    world.policy(namespace, "p", world.organization(), instanceRef={"name": namespace})
    shown = reason if reason == "CredentialsRejected" else "InstanceNotReady"
    world.wait_for(namespace, "p", ("False", shown))
    create_secret(world.plane, secret)
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    world.plane.kubectl("annotate", "zni", namespace, annotation)
    world.wait_for("", namespace, kind="zni")
    world.wait_for(namespace, "p")


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
    world: World, namespace: str, fault: dict[str, Any]
) -> None:
    """A faulty response is a condition, never a value."""
    org = world.organization()
    fault = {**fault, "organization": org, "times": 3}
    world.emulator.call("POST", "/emulator/v1/faults", fault)
    world.policy(namespace, "p", org)
    world.wait_for(namespace, "p")
    policy = world.emulator.policy(org)
    assert policy["passwordChange"] is True
    verbs = [verb for verb, _, where in world.emulator.writes() if where == org]
    assert "PUT" not in verbs
    assert "DELETE" not in verbs


def test_deletion_waits_for_zitadel_and_says_the_way_out(
    world: World, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The object stays and says what to edit; Retain ends it."""
    emulator = EmulatorProcess(tmp_path_factory.mktemp("down"))
    world.instance(namespace, emulator.url)
    world.wait_for("", namespace, kind="zni")
    # The two emulators are one ZITADEL by their ids, so the id must be new in both.
    org = {"name": namespace, "orgId": f"org-{namespace}"}
    emulator.call("POST", "/v2/organizations", org)
    world.policy(namespace, "p", org["orgId"], instanceRef={"name": namespace})
    world.wait_for(namespace, "p")
    emulator.program.kill()
    world.delete("p", namespace)

    def is_reported() -> bool:
        body = world.get("znp", "p", namespace)
        assert body is not None
        conditions = body["status"]["conditions"]
        ready = next(c for c in conditions if c["type"] == "Ready")
        return ready["status"] == "False" and "spec.deletionPolicy" in ready["message"]

    eventually(is_reported, 30)
    patch = '{"spec":{"deletionPolicy":"Retain"}}'
    world.plane.kubectl(
        *("patch", "znp", "p", f"--namespace={namespace}", "--type=merge"),
        *("--patch", patch),
    )
    world.gone("znp", "p", namespace)


def test_deletion_goes_on_with_the_last_good_credential(
    world: World, namespace: str
) -> None:
    """The Secret was deleted first; the reset succeeds all the same."""
    secret = f"secret-{namespace}"
    ref = {"personalAccessToken": {"secretRef": {"name": secret}}}
    create_secret(world.plane, secret)
    world.instance(namespace, world.emulator.url, credentials=ref)
    org = world.organization()
    world.policy(namespace, "p", org, instanceRef={"name": namespace})
    world.wait_for(namespace, "p")
    world.plane.kubectl("delete", "secret", secret, f"--namespace={OWN_NAMESPACE}")
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    world.plane.kubectl("annotate", "zni", namespace, annotation)
    world.wait_for("", namespace, ("False", "CredentialsMissing"), kind="zni")
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    assert world.emulator.policy(org)["isDefault"]


def test_kill_and_restart_write_nothing_and_go_on(
    world: World, audit: AuditLog, namespace: str
) -> None:
    """A new process finds what has changed in the meantime."""
    org, late = world.organization(), world.organization()
    world.policy(namespace, "p", org)
    world.wait_for(namespace, "p")
    before = len(audit.by_operator("notificationpolicies"))
    world.operator.program.kill()
    calls = len(world.emulator.writes())
    world.operator = OperatorProcess(world.plane, world.folder)
    world.operator.wait_ready()
    world.policy(namespace, "late", late)
    world.wait_for(namespace, "late")
    new = audit.by_operator("notificationpolicies")[before:]
    assert [w.name for w in new if w.name == "p"] == []
    assert world.emulator.writes()[calls:][-1][2] == late


def test_api_server_restart(world: World, namespace: str) -> None:
    """The operator goes on, or ends with an error and restarts correctly."""
    world.plane.stop_api_server()
    world.plane.start_api_server()
    org = world.organization()
    world.policy(namespace, "p", org)

    def ready() -> bool:
        if not world.operator.program.running:
            assert world.operator.program.wait(1) != 0
            world.operator = OperatorProcess(world.plane, world.folder)
        found = world.condition("znp", "p", namespace, "Ready")
        return found == ("True", "Succeeded")

    eventually(ready, 60)


def test_token_appears_nowhere(world: World) -> None:
    """It is not in the log at DEBUG, in any object, or in an Event."""
    assert TOKEN not in world.operator.log.read_text()
    for kind in ("znp", "zni", "events"):
        found = world.plane.kubectl("get", kind, "--all-namespaces", "--output=yaml")
        assert TOKEN not in found.stdout
