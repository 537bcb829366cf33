"""NotificationPolicySets on bad days, on a real API server."""

import itertools
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import System
from cluster.fleets import (
    LABEL,
    SETS,
    apply_set,
    counts,
    cover,
    make,
    named,
    own,
    resets,
    touch,
    uid_of,
    wait_ready,
)
from support.audit import AuditLog
from support.kube_calls import Refused
from support.mutating import mutating
from support.planes import ready_plane
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

CRD = "notificationpolicysets.zitadel-notification.dev"
CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"


def test_two_sets_and_a_new_name_reset_nothing(system: System, namespace: str) -> None:
    """The older set owns; when it goes, as in a renaming, the other takes over."""
    org = make(system, f"{namespace}-x")
    cover(system, namespace, "old", deletionPolicy="Reset")
    original = (system.get("znp", f"old-{org}", namespace) or {})["status"]["original"]
    apply_set(system, namespace, "new", deletionPolicy="Reset")
    system.wait_for(namespace, f"new-{org}", ("False", "Conflict"))
    system.wait_for(namespace, "new", ("False", "PoliciesNotReady"), kind=SETS)
    system.plane.kubectl("delete", SETS, "old", "-n", namespace)
    wait_ready(system, namespace, "new")
    body = system.wait_for(namespace, f"new-{org}")
    assert own(system, org)
    assert resets(system, org) == 0
    assert body["status"]["original"] == original


def test_a_name_that_is_taken_is_never_touched(system: System, namespace: str) -> None:
    """The set says so, and covers the organization as soon as the name is free."""
    org, other = make(system, f"{namespace}-x"), make(system, "somebody's")
    system.policy(namespace, f"s-{org}", other, passwordChange=False)
    system.wait_for(namespace, f"s-{org}")
    before = uid_of(system, f"s-{org}", namespace)
    apply_set(system, namespace)
    body = system.wait_for(
        namespace, "s", ("False", "PoliciesNotReady"), kind=SETS, patience=30
    )
    (failure,) = body["status"]["failures"]
    assert (failure["organizationId"], failure["reason"]) == (org, "NameTaken")
    assert uid_of(system, f"s-{org}", namespace) == before
    system.delete(f"s-{org}", namespace)
    wait_ready(system, namespace)
    assert own(system, org)


def test_policies_without_owner_references_are_adopted(
    system: System, namespace: str
) -> None:
    """Backups lose them; the label and the target show whose they are."""
    org = make(system, f"{namespace}-x")
    cover(system, namespace)
    before = uid_of(system, f"s-{org}", namespace)
    patch = '[{"op":"remove","path":"/metadata/ownerReferences"}]'
    command = ("patch", "znp", f"s-{org}", "-n", namespace, "--type=json", "-p", patch)
    system.plane.kubectl(*command)

    def is_owned() -> bool:
        body = system.get("znp", f"s-{org}", namespace)
        return body is not None and "ownerReferences" in body["metadata"]

    eventually(is_owned, 30, "the adoption")
    assert uid_of(system, f"s-{org}", namespace) == before


def test_a_refused_create_is_reported_and_tried_again(
    system: System, namespace: str
) -> None:
    """An admission policy refuses it; what there is stays."""
    rule = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": f"no-{namespace}"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["zitadel-notification.dev"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE"],
                        "resources": ["notificationpolicies"],
                    }
                ]
            },
            "validations": [
                {"expression": f"object.metadata.namespace != '{namespace}'"}
            ],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": f"no-{namespace}"},
        "spec": {"policyName": f"no-{namespace}", "validationActions": ["Deny"]},
    }
    for body in (rule, binding):
        system.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    org = make(system, f"{namespace}-x")

    def is_refusing() -> bool:
        try:
            system.policy(namespace, "probe", org, managementPolicy="Observe")
        except Refused:
            return True
        system.plane.kubectl("delete", "znp", "probe", "-n", namespace)
        return False

    eventually(is_refusing, 60, "the admission policy", every=0.5)
    apply_set(system, namespace)
    system.wait_for(namespace, "s", ("False", "CreateRefused"), kind=SETS)
    assert not own(system, org)
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        system.plane.kubectl("delete", kind, f"no-{namespace}")
    system.wait_for(namespace, "s", kind=SETS, patience=120)
    assert own(system, org)


LABELLED = [{"op": "add", "path": "/metadata/labels/team", "value": "platform"}]
ANOTHER_VALUE = [{"op": "replace", "path": "/spec/passwordChange", "value": False}]


def test_a_webhook_that_adds_labels_is_left_alone(
    system: System, namespace: str, audit: AuditLog, tmp_path: Path
) -> None:
    """The set asks for its spec and its own label, and for nothing else."""
    org = make(system, f"{namespace}-x")
    with mutating(system.plane, tmp_path, namespace, LABELLED):
        cover(system, namespace)
        time.sleep(12)
        writes = audit.by_operator("notificationpolicies", namespace, f"s-{org}")
    body = system.stored("znp", f"s-{org}", namespace)
    assert body["metadata"]["labels"] == {LABEL: "s", "team": "platform"}
    assert sum(write.subresource == "" for write in writes) <= 3
    assert own(system, org)


def test_a_webhook_that_changes_the_spec_ends_in_no_fight(
    system: System, namespace: str, audit: AuditLog, tmp_path: Path
) -> None:
    """A few tries, then one in ten minutes; the status says what is wrong."""
    org = make(system, f"{namespace}-x")
    with mutating(system.plane, tmp_path, namespace, ANOTHER_VALUE):
        apply_set(system, namespace)
        eventually(lambda: counts(system, namespace).get("failed"), 60, "failure")
        body = system.wait_for(
            namespace, "s", ("False", "PoliciesNotReady"), kind=SETS, patience=60
        )
        (failure,) = body["status"]["failures"]
        assert (failure["policy"], failure["reason"]) == (f"s-{org}", "Contested")
        assert "an admission webhook" in failure["message"]
        started = datetime.now(UTC)
        time.sleep(20)
        assert not audit.by_operator(None, namespace, since=started)
        made = audit.by_operator("notificationpolicies", namespace, f"s-{org}")
        # Five by the set, and one of the policy's own annotation.
        assert len([write for write in made if not write.subresource]) <= 6
    cover(system, namespace, deletionPolicy="Restore")
    assert own(system, org)


def test_a_removed_organization_leaves(system: System, namespace: str) -> None:
    """Its removal is a positive answer, and there is nothing left to undo."""
    kept, gone = (make(system, f"{namespace}-{n}") for n in "kg")
    cover(system, namespace, deletionPolicy="Reset")
    system.emulator.call("DELETE", "/management/v1/orgs/me", organization=gone)
    system.gone("znp", f"s-{gone}", namespace, patience=30)
    wait_ready(system, namespace)
    assert own(system, kept)


def test_a_lost_grant_removes_nothing(system: System, namespace: str) -> None:
    """The policies report that they are not granted; back, all is as before."""
    org = make(system, f"{namespace}-x")
    system.instance(namespace, system.emulator.url)
    system.wait_for("", namespace, kind="zni")
    cover(system, namespace, instanceRef={"name": namespace}, deletionPolicy="Reset")
    before = uid_of(system, f"s-{org}", namespace)
    system.instance(namespace, system.emulator.url, grants=[{"namespaces": ["other"]}])
    system.wait_for(namespace, "s", ("False", "InstanceNotFound"), kind=SETS)
    system.wait_for(namespace, f"s-{org}", ("False", "InstanceNotFound"))
    elsewhere = [{"namespaces": ["*"], "organizations": [{"id": "1"}]}]
    system.instance(namespace, system.emulator.url, grants=elsewhere)
    system.wait_for(namespace, f"s-{org}", ("False", "NotGranted"))
    assert uid_of(system, f"s-{org}", namespace) == before
    assert own(system, org)
    system.instance(namespace, system.emulator.url)
    wait_ready(system, namespace)
    assert uid_of(system, f"s-{org}", namespace) == before
    assert resets(system, org) == 0


def test_the_longest_names(system: System, namespace: str) -> None:
    """A set's name has 63 characters at most; ids that are no names get a digest."""
    org = make(system, f"{namespace}-x")
    name = "n" * 63
    cover(system, namespace, name, organizations={"include": [{"id": org}]})
    assert own(system, org)
    with pytest.raises(Refused, match="at most 63 characters"):
        apply_set(system, namespace, f"{name}n", organizations={"all": True})


class Own:
    """A control plane, an emulator and operators of one test."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self.folder = plane, folder
        create_secret(plane, "zitadel-credentials")
        self.emulator = EmulatorProcess(folder)
        self.operator = OperatorProcess(plane, folder)
        self.system = System(plane, self.emulator, self.operator, folder)

    def restart(self) -> None:
        """Kill the operator as with `kill -9`, and start another one."""
        self.operator.program.kill()
        self.operator = self.system.operator = OperatorProcess(self.plane, self.folder)
        self.operator.wait_ready()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Own]:
    """A control plane of its own, because the test kills the operator."""
    with ready_plane() as plane:
        plane.kubectl("create", "namespace", "team")
        made = Own(plane, tmp_path)
        with made.emulator.program:
            made.operator.wait_ready()
            made.system.instance("shared", made.emulator.url)
            made.system.wait_for("", "shared", kind="zni")
            yield made
            assert made.operator.program.stop() == 0


def versions(system: System) -> dict[str, str]:
    """Return the resource versions of all policies, sets and instances."""
    text = system.plane.kubectl(
        "get",
        "znp,znps,zni",
        "-A",
        "-o",
        "jsonpath={range .items[*]}{.metadata.uid}={.metadata.resourceVersion} {end}",
    ).stdout
    return dict(pair.split("=") for pair in text.split())


def test_kill_9_in_a_roll_out_and_a_restart_without_a_write(alone: Own) -> None:
    """Each organization gets exactly one policy; a restart of what is quiet is free.

    The set's status is never written twice in two seconds, by no process.
    """
    system, audit = alone.system, AuditLog(alone.plane)
    orgs = [make(system, f"team-{n}") for n in range(40)]
    apply_set(system, "team")
    for _ in range(2):
        eventually(lambda: sum(own(system, o) for o in orgs[:40]) > 5, 60, "a part")
        alone.restart()
    wait_ready(system, "team")
    assert all(own(system, org) for org in orgs)
    creates = [w for w in alone.emulator.writes() if w[0] == "POST"]
    assert len({w[2] for w in creates}) == 40
    before = versions(system)
    assert len(before) == 42
    alone.restart()
    late = make(system, "team-late")
    eventually(lambda: own(system, late), 60, "the operator's work after the restart")
    after = versions(system)
    changed = {uid for uid, version in before.items() if after[uid] != version}
    assert len(changed) <= 1  # the set itself, which counts one more
    written = [
        write.time
        for write in audit.by_operator("notificationpolicysets")
        if write.subresource == "status" and write.code < 400
    ]
    assert len(written) >= 2
    distances = [after - before for before, after in itertools.pairwise(written)]
    assert min(distances) >= timedelta(seconds=2)


def test_without_its_crd_all_else_is_served(alone: Own) -> None:
    """And a set that goes with its CRD leaves its settings in ZITADEL."""
    system = alone.system
    org = make(system, "team-1")
    cover(system, "team", deletionPolicy="Reset")
    system.plane.kubectl("delete", "crd", CRD, "--timeout=90s")
    system.gone("znp", f"s-{org}", "team", patience=60)
    assert own(system, org)
    eventually(alone.operator.is_ready, 60, "readiness without the CRD")
    other = make(system, "other")
    system.policy("team", "plain", other)
    system.wait_for("team", "plain", patience=60)
    alone.restart()
    system.policy("team", "plain", other, passwordChange=False)
    body: dict[str, Any] = system.wait_for("team", "plain", patience=60)
    assert body["status"]["passwordChange"] is False
    system.plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    system.plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    apply_set(system, "team", "again")
    system.wait_for("team", "again", kind=SETS, patience=90)
    policy = system.get("znp", f"again-{org}", "team")
    assert policy is not None
    assert policy["metadata"]["labels"][LABEL] == "again"


def test_orphans_stay_as_plain_policies(alone: Own) -> None:
    """`kubectl delete --cascade=orphan`, by the real garbage collector."""
    system = alone.system
    alone.plane.start_controller_manager(("garbage-collector-controller",))
    org = make(system, "team-1")
    cover(system, "team")
    system.plane.kubectl("delete", SETS, "s", "-n", "team", "--cascade=orphan")
    system.gone(SETS, "s", "team")
    body = system.get("znp", f"s-{org}", "team")
    assert body is not None
    assert "ownerReferences" not in body["metadata"]
    assert own(system, org)
    for cascade in ("foreground", "background"):
        apply_set(system, "team", cascade)
        system.wait_for("team", f"{cascade}-{org}", ("True", "Overridden"))
        system.plane.kubectl(
            "delete", SETS, cascade, "-n", "team", f"--cascade={cascade}"
        )
        system.gone("znp", f"{cascade}-{org}", "team")
    assert own(system, org)
    alone.plane.stop_controller_manager()


def test_a_set_that_is_deleted_in_its_first_roll_out_leaves_nothing(
    alone: Own,
) -> None:
    """What it has made is undone, and what it has not made is never made."""
    system = alone.system
    orgs = [make(system, f"team-{n}") for n in range(40)]
    apply_set(system, "team", deletionPolicy="Reset")
    eventually(lambda: any(own(system, org) for org in orgs), 60, "the first one")
    system.plane.kubectl("delete", SETS, "s", "-n", "team", "--timeout=120s")
    system.gone(SETS, "s", "team")
    assert not any(own(system, org) for org in orgs)
    left = system.plane.kubectl("get", "znp", "-n", "team", "-o", "name").stdout
    assert left == ""


def test_a_namespace_that_goes_takes_its_sets_along(alone: Own) -> None:
    """Policies are deleted before their set, and are undone all the same."""
    system = alone.system
    alone.plane.start_controller_manager(("namespace-controller",))
    orgs = [make(system, f"team-{n}") for n in range(5)]
    cover(system, "team", deletionPolicy="Reset")
    system.plane.kubectl("delete", "namespace", "team", "--timeout=120s")
    assert not any(own(system, org) for org in orgs)
    alone.plane.stop_controller_manager()


def test_a_credential_that_sees_one_row_removes_nothing(alone: Own) -> None:
    """ZITADEL leaves out what the credential may not read, without an error."""
    system, emulator = alone.system, alone.emulator
    orgs = [make(system, f"team-{n}") for n in range(3)]
    user = emulator.user("IAM_ORG_MANAGER", credential="token")
    create_secret(alone.plane, "narrow", user["token"])
    token = {"personalAccessToken": {"secretRef": {"name": "narrow"}}}
    system.instance("shared", emulator.url, credentials=token)
    cover(system, "team", deletionPolicy="Reset")
    before = [uid_of(system, f"s-{org}", "team") for org in orgs]

    path = f"/emulator/v1/users/{user['userId']}"
    narrow = {"roles": ["ORG_SETTINGS_MANAGER"], "organization": orgs[0]}
    emulator.call("PUT", path, narrow)
    emulator.call("PUT", path, {"roles": []})
    search = "/v2/organizations/_search"
    found = emulator.call("POST", search, {}, token=user["token"])
    assert [row["id"] for row in found["result"]] == [orgs[0]]

    def is_read(since: int) -> bool:
        return len(emulator.requests(search)) > since

    def read_again() -> None:
        since = len(emulator.requests(search)) + 1
        touch(system, "team")
        eventually(lambda: is_read(since), 60, "a reading")
        time.sleep(3)
        assert [uid_of(system, f"s-{org}", "team") for org in orgs] == before
        assert all(own(system, org) for org in orgs)

    read_again()
    alone.restart()
    read_again()
    without = named("team-*", exclude=[{"name": "team-0"}])
    apply_set(system, "team", organizations=without, deletionPolicy="Reset")
    system.gone("znp", f"s-{orgs[0]}", "team", patience=60)
    assert [own(system, org) for org in orgs] == [False, True, True]
    assert [uid_of(system, f"s-{org}", "team") for org in orgs[1:]] == before[1:]

    emulator.call("PUT", path, {"roles": ["IAM_ORG_MANAGER"]})
    late = make(system, "team-late")
    touch(system, "team")
    eventually(lambda: own(system, late), 60, "the organization that came meanwhile")
    wait_ready(system, "team")
    assert [uid_of(system, f"s-{org}", "team") for org in orgs[1:]] == before[1:]


def test_an_id_that_is_no_name_has_a_policy_with_a_digest(
    system: System, namespace: str
) -> None:
    """Ids may be any visible characters."""
    org = f"R&D_{namespace}"
    body = {"id": org, "name": f"{namespace}-x"}
    system.emulator.call("POST", "/emulator/v1/organizations", body)
    cover(system, namespace, deletionPolicy="Reset")
    assert own(system, org)
    (name,) = system.plane.kubectl(
        *("get", "znp", "-n", namespace, "-l", f"{LABEL}=s", "-o", "name")
    ).stdout.split()
    assert re.fullmatch(r".*/s-[0-9a-f]{16}", name)
    system.plane.kubectl("delete", SETS, "s", "-n", namespace, "--timeout=60s")
    assert not own(system, org)
