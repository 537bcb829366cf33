"""NotificationPolicySets on bad days, on a real API server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import World
from cluster.test_sets import LABEL, SETS, apply_set, make, named, own, wait_ready
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

CRD = "notificationpolicysets.zitadel-notification.dev"
CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"


def uid_of(world: World, name: str, namespace: str) -> str:
    """Return the uid of a policy; empty if there is none."""
    body = world.get("znp", name, namespace)
    return body["metadata"]["uid"] if body is not None else ""


def resets(world: World, organization: str) -> int:
    """Return how often an organization's own policy was removed."""
    writes = world.emulator.writes()
    return sum(w[0] == "DELETE" and w[2] == organization for w in writes)


def test_two_sets_and_a_new_name_reset_nothing(world: World, namespace: str) -> None:
    """The older set owns; when it goes, as in a renaming, the other takes over."""
    org = make(world, f"{namespace}-x")
    selection = named(f"{namespace}-*")
    reset = {"organizations": selection, "deletionPolicy": "Reset"}
    apply_set(world, namespace, "old", **reset)
    wait_ready(world, namespace, "old")
    original = (world.get("znp", f"old-{org}", namespace) or {})["status"]["original"]
    apply_set(world, namespace, "new", **reset)
    world.wait_for(namespace, f"new-{org}", ("False", "Conflict"))
    world.wait_for(namespace, "new", ("False", "PoliciesNotReady"), kind=SETS)
    world.plane.kubectl("delete", SETS, "old", "-n", namespace)
    wait_ready(world, namespace, "new")
    body = world.wait_for(namespace, f"new-{org}")
    assert own(world, org)
    assert resets(world, org) == 0
    assert body["status"]["original"] == original


def test_a_name_that_is_taken_is_never_touched(world: World, namespace: str) -> None:
    """The set says so, and covers the organization as soon as the name is free."""
    org, other = make(world, f"{namespace}-x"), make(world, "somebody's")
    world.policy(namespace, f"s-{org}", other, passwordChange=False)
    world.wait_for(namespace, f"s-{org}")
    before = uid_of(world, f"s-{org}", namespace)
    apply_set(world, namespace, "s", organizations=named(f"{namespace}-*"))
    body = world.wait_for(
        namespace, "s", ("False", "PoliciesNotReady"), kind=SETS, patience=30
    )
    (failure,) = body["status"]["failures"]
    assert (failure["organizationId"], failure["reason"]) == (org, "NameTaken")
    assert uid_of(world, f"s-{org}", namespace) == before
    world.delete(f"s-{org}", namespace)
    wait_ready(world, namespace, "s")
    assert own(world, org)


def test_policies_without_owner_references_are_adopted(
    world: World, namespace: str
) -> None:
    """Backups lose them; the label and the target show whose they are."""
    org = make(world, f"{namespace}-x")
    apply_set(world, namespace, "s", organizations=named(f"{namespace}-*"))
    wait_ready(world, namespace, "s")
    before = uid_of(world, f"s-{org}", namespace)
    patch = '[{"op":"remove","path":"/metadata/ownerReferences"}]'
    command = ("patch", "znp", f"s-{org}", "-n", namespace, "--type=json", "-p", patch)
    world.plane.kubectl(*command)

    def is_owned() -> bool:
        body = world.get("znp", f"s-{org}", namespace)
        return body is not None and "ownerReferences" in body["metadata"]

    eventually(is_owned, 30, "the adoption")
    assert uid_of(world, f"s-{org}", namespace) == before


def test_a_refused_create_is_reported_and_tried_again(
    world: World, namespace: str
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
        world.plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    org = make(world, f"{namespace}-x")

    def is_refusing() -> bool:
        try:
            world.policy(namespace, "probe", org, managementPolicy="Observe")
        except subprocess.CalledProcessError:
            return True
        world.plane.kubectl("delete", "znp", "probe", "-n", namespace)
        return False

    eventually(is_refusing, 60, "the admission policy", every=0.5)
    apply_set(world, namespace, "s", organizations=named(f"{namespace}-*"))
    world.wait_for(namespace, "s", ("False", "CreateRefused"), kind=SETS)
    assert not own(world, org)
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        world.plane.kubectl("delete", kind, f"no-{namespace}")
    world.wait_for(namespace, "s", kind=SETS, patience=120)
    assert own(world, org)


def test_a_removed_organization_leaves(world: World, namespace: str) -> None:
    """Its removal is a positive answer, and there is nothing left to undo."""
    kept, gone = (make(world, f"{namespace}-{n}") for n in "kg")
    apply_set(
        world,
        namespace,
        "s",
        organizations=named(f"{namespace}-*"),
        deletionPolicy="Reset",
    )
    wait_ready(world, namespace, "s")
    world.emulator.call("DELETE", "/management/v1/orgs/me", organization=gone)
    world.gone("znp", f"s-{gone}", namespace, patience=30)
    wait_ready(world, namespace, "s")
    assert own(world, kept)


def test_a_lost_grant_removes_nothing(world: World, namespace: str) -> None:
    """The policies report that they are not granted; back, all is as before."""
    org = make(world, f"{namespace}-x")
    world.instance(namespace, world.emulator.url)
    world.wait_for("", namespace, kind="zni")
    apply_set(
        world,
        namespace,
        "s",
        instanceRef={"name": namespace},
        organizations=named(f"{namespace}-*"),
        deletionPolicy="Reset",
    )
    wait_ready(world, namespace, "s")
    before = uid_of(world, f"s-{org}", namespace)
    world.instance(namespace, world.emulator.url, grants=[{"namespaces": ["other"]}])
    world.wait_for(namespace, "s", ("False", "InstanceNotFound"), kind=SETS)
    world.wait_for(namespace, f"s-{org}", ("False", "InstanceNotFound"))
    elsewhere = [{"namespaces": ["*"], "organizations": [{"id": "1"}]}]
    world.instance(namespace, world.emulator.url, grants=elsewhere)
    world.wait_for(namespace, f"s-{org}", ("False", "NotGranted"))
    assert uid_of(world, f"s-{org}", namespace) == before
    assert own(world, org)
    world.instance(namespace, world.emulator.url)
    wait_ready(world, namespace, "s")
    assert uid_of(world, f"s-{org}", namespace) == before
    assert resets(world, org) == 0


def test_the_longest_names(world: World, namespace: str) -> None:
    """A set's name has 63 characters at most; ids that are no names get a digest."""
    org = make(world, f"{namespace}-x")
    name = "n" * 63
    apply_set(world, namespace, name, organizations={"include": [{"id": org}]})
    wait_ready(world, namespace, name)
    assert own(world, org)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        apply_set(world, namespace, f"{name}n", organizations={"all": True})
    assert "at most 63 characters" in refused.value.stderr


class Own:
    """A control plane, an emulator and operators of one test."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self.folder = plane, folder
        create_secret(plane, "zitadel-credentials")
        self.emulator = EmulatorProcess(folder)
        self.operator = OperatorProcess(plane, folder)
        self.world = World(plane, self.emulator, self.operator, folder)

    def restart(self) -> None:
        """Kill the operator as with `kill -9`, and start another one."""
        self.operator.program.kill()
        self.operator = self.world.operator = OperatorProcess(self.plane, self.folder)
        self.operator.wait_ready()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Own]:
    """A control plane of its own, because the test kills the operator."""
    with ControlPlane() as plane:
        plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        plane.kubectl("create", "namespace", "zitadel-notification-operator")
        plane.kubectl("create", "namespace", "team")
        made = Own(plane, tmp_path)
        with made.emulator.program:
            made.operator.wait_ready()
            made.world.instance("shared", made.emulator.url)
            made.world.wait_for("", "shared", kind="zni")
            yield made
            assert made.operator.program.stop() == 0


def versions(world: World) -> dict[str, str]:
    """Return the resource versions of all policies and sets."""
    text = world.plane.kubectl(
        "get",
        "znp,znps",
        "-A",
        "-o",
        "jsonpath={range .items[*]}{.metadata.uid}={.metadata.resourceVersion} {end}",
    ).stdout
    return dict(pair.split("=") for pair in text.split())


def test_kill_9_in_a_roll_out_and_a_restart_without_a_write(alone: Own) -> None:
    """Each organization gets exactly one policy; a restart of what is quiet is free."""
    world = alone.world
    orgs = [make(world, f"fleet-{n}") for n in range(40)]
    apply_set(world, "team", "s", organizations=named("fleet-*"))
    for _ in range(2):
        eventually(lambda: sum(own(world, o) for o in orgs[:40]) > 5, 60, "a part")
        alone.restart()
    wait_ready(world, "team", "s")
    assert all(own(world, org) for org in orgs)
    creates = [w for w in alone.emulator.writes() if w[0] == "POST"]
    assert len({w[2] for w in creates}) == 40
    before = versions(world)
    assert len(before) == 41
    alone.restart()
    late = make(world, "fleet-late")
    eventually(lambda: own(world, late), 60, "the operator's work after the restart")
    after = versions(world)
    changed = {uid for uid, version in before.items() if after[uid] != version}
    assert len(changed) <= 1  # the set itself, which counts one more


def test_without_its_crd_all_else_is_served(alone: Own) -> None:
    """And a set that goes with its CRD leaves its settings in ZITADEL."""
    world = alone.world
    org = make(world, "fleet-1")
    apply_set(
        world,
        "team",
        "s",
        organizations=named("fleet-*"),
        deletionPolicy="Reset",
    )
    wait_ready(world, "team", "s")
    world.plane.kubectl("delete", "crd", CRD, "--timeout=90s")
    world.gone("znp", f"s-{org}", "team", patience=60)
    assert own(world, org)
    eventually(alone.operator.is_ready, 60, "readiness without the CRD")
    other = make(world, "other")
    world.policy("team", "plain", other)
    world.wait_for("team", "plain", patience=60)
    alone.restart()
    world.policy("team", "plain", other, passwordChange=False)
    body: dict[str, Any] = world.wait_for("team", "plain", patience=60)
    assert body["status"]["passwordChange"] is False
    world.plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    world.plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    apply_set(world, "team", "again", organizations=named("fleet-*"))
    world.wait_for("team", "again", kind=SETS, patience=90)
    policy = world.get("znp", f"again-{org}", "team")
    assert policy is not None
    assert policy["metadata"]["labels"][LABEL] == "again"


def test_orphans_stay_as_plain_policies(alone: Own) -> None:
    """`kubectl delete --cascade=orphan`, by the real garbage collector."""
    world = alone.world
    alone.plane.start_controller_manager(("garbage-collector-controller",))
    org = make(world, "fleet-1")
    apply_set(world, "team", "s", organizations=named("fleet-*"))
    wait_ready(world, "team", "s")
    world.plane.kubectl("delete", SETS, "s", "-n", "team", "--cascade=orphan")
    world.gone(SETS, "s", "team")
    body = world.get("znp", f"s-{org}", "team")
    assert body is not None
    assert "ownerReferences" not in body["metadata"]
    assert own(world, org)
    for cascade in ("foreground", "background"):
        apply_set(world, "team", cascade, organizations=named("fleet-*"))
        world.wait_for("team", f"{cascade}-{org}", ("True", "Overridden"))
        world.plane.kubectl(
            "delete", SETS, cascade, "-n", "team", f"--cascade={cascade}"
        )
        world.gone("znp", f"{cascade}-{org}", "team")
    assert own(world, org)
    alone.plane.stop_controller_manager()
