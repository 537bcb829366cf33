"""`znp release` on a cluster from which the operator was removed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from cluster.conftest import System
from support.audit import AuditLog
from support.running import (
    OWN_NAMESPACE,
    EmulatorProcess,
    OperatorProcess,
    create_secret,
)
from support.waiting import eventually
from zitadel_notification_operator.cli.group import znp
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.release import holder_of_lease
from zitadel_notification_operator.core.lease import NAME
from zitadel_notification_operator.demo.control_plane import ControlPlane

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"
FINALIZER = "zitadel-notification.dev/cleanup"
ORIGINAL = "zitadel-notification.dev/original"
ANOTHER = "example.com/another"
LEASE = "zitadel-notification-operator"


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """A cluster whose objects no other test's operator reconciles."""
    with ControlPlane() as plane:
        plane.kubectl("create", "namespace", OWN_NAMESPACE)
        plane.kubectl("create", "namespace", "team-a")
        yield plane


@pytest.fixture
def plane(own_plane: ControlPlane) -> Iterator[ControlPlane]:
    """This cluster with the CRDs, and without leases and policies of earlier tests."""
    own_plane.kubectl("apply", "--server-side", "-f", str(CRDS))
    own_plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    # New CRDs are Established a moment before their storage is ready.
    lists = ("get", "znp,znps,zni", "--all-namespaces")
    eventually(lambda: own_plane.kubectl(*lists, check=False).returncode == 0)
    yield own_plane
    done = release(own_plane, "--all", "--force")
    assert done.exit_code == 0, done.stderr
    own_plane.kubectl("delete", "lease", "--all", f"--namespace={OWN_NAMESPACE}")
    if "CRD is gone" not in done.stdout:
        own_plane.kubectl("delete", "znp", "--all", "--namespace=team-a")


def release(plane: ControlPlane, *arguments: str, **environment: str) -> Result:
    """Run the command as the administrator."""
    command = ["release", f"--kubeconfig={plane.kubeconfig}", *arguments]
    return CliRunner().invoke(znp, command, env=environment, catch_exceptions=False)


def leave_policy(
    plane: ControlPlane,
    name: str,
    *finalizers: str,
    deleting: bool = True,
    instance: str = "default",
) -> None:
    """Create a policy in the state that an operator leaves it in, and delete it."""
    body = {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": name, "namespace": "team-a", "finalizers": finalizers},
        "spec": {
            "instanceRef": {"name": instance},
            "scope": "Organization",
            "organization": {"id": "o"},
            "passwordChange": False,
        },
    }
    inside = "--namespace=team-a"
    plane.kubectl("create", "-f", "-", stdin=json.dumps(body))
    original = {
        "uid": policy(plane, name)["metadata"]["uid"],
        "instanceId": "z",
        "organizationId": "o",
        "isDefault": True,
        "passwordChange": True,
    }
    mark = f"{ORIGINAL}={json.dumps(original)}"
    plane.kubectl("annotate", "znp", name, mark, inside)
    if deleting:
        plane.kubectl("delete", "znp", name, inside, "--wait=false")


def policy(plane: ControlPlane, name: str) -> Any:
    """Return the stored policy, or None if there is none."""
    done = plane.kubectl(
        *("get", "znp", name, "--namespace=team-a", "--output=json"), check=False
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def leave_instance(plane: ControlPlane, name: str, **spec: str) -> None:
    """Create an instance in the state that an operator leaves it in."""
    secret = {"secretRef": {"name": "zitadel-credentials"}}
    body = {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": name, "finalizers": [FINALIZER]},
        "spec": {
            "url": "https://zitadel.example",
            "credentials": {"personalAccessToken": secret},
            **spec,
        },
    }
    plane.kubectl("create", "-f", "-", stdin=json.dumps(body))


def finalizers_of_instance(plane: ControlPlane, name: str) -> list[str]:
    """Return the finalizers of an instance."""
    done = plane.kubectl("get", "zni", name, "--output=json")
    found: list[str] = json.loads(done.stdout)["metadata"].get("finalizers", [])
    return found


def hold_lease(
    plane: ControlPlane, seconds_ago: float, duration: int = 15, name: str = LEASE
) -> None:
    """Store the Lease of an operator that last renewed it some seconds ago."""
    renewed = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": OWN_NAMESPACE},
        "spec": {
            "holderIdentity": "pod-1",
            "leaseDurationSeconds": duration,
            "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
    plane.kubectl("apply", "-f", "-", stdin=json.dumps(body))


def test_an_uninstall_in_the_wrong_order(plane: ControlPlane, tmp_path: Path) -> None:
    """The operator goes first, then the CRDs: all hangs until the release."""
    create_secret(plane, "zitadel-credentials")
    emulator = EmulatorProcess(tmp_path)
    operator = OperatorProcess(plane, tmp_path, "--lease-duration=5s", elect=True)
    system = System(plane, emulator, operator, tmp_path)
    with emulator.program:
        operator.wait_ready()
        system.instance("shared", emulator.url)
        acme, globex = "280000000000000101", "280000000000000102"
        system.policy("team-a", "acme", acme, passwordChange=False)
        system.policy("team-a", "globex", globex, deletionPolicy="Retain")
        system.wait_for("team-a", "acme")
        system.wait_for("team-a", "globex")
        refused = release(plane, "--all")
        assert refused.exit_code == 1
        assert f"holds the Lease {OWN_NAMESPACE}/{LEASE}" in refused.stderr
        assert operator.program.stop() == 0
        writes = emulator.writes()
        planned = release(plane, "--all", ZNP_DRY_RUN="1")
        assert planned.exit_code == 0, planned.stderr
        assert planned.stdout.endswith("3 objects to be released\n")
        assert FINALIZER in policy(plane, "acme")["metadata"]["finalizers"]
        plane.kubectl("delete", "-f", str(CRDS), "--wait=false")
        done = release(plane, "--all")
        assert done.exit_code == 0, done.stderr
        plane.kubectl("wait", "--for=delete", "-f", str(CRDS), "--timeout=90s")
        assert emulator.writes() == writes
        assert emulator.policy(acme).get("passwordChange", False) is False
    output = done.stdout
    assert "NotificationPolicy team-a/acme: released (finalizer, original)" in output
    assert (
        "left in ZITADEL 280000000000000001 (ZitadelInstance shared): organization "
        f"{acme} (ACME) has a setting of its own, passwordChange false, as observed "
        "last"
    ) in output
    assert "deletionPolicy Reset was not carried out" in output
    assert "the organization inherited passwordChange true" in output
    assert (
        "ZitadelInstance shared: released (finalizer); it is gone with that" in output
    )
    again = release(plane, "--all")
    assert again.exit_code == 0
    assert "notificationpolicies: the CRD is gone" in again.stdout
    assert "zitadelinstances: the CRD is gone" in again.stdout
    named = release(plane, "team-a/acme", "--instance=shared")
    assert named.exit_code == 1
    assert named.stderr.count("the CRD is gone") == 2


def test_only_what_is_named_and_what_others_hold(plane: ControlPlane) -> None:
    """One write each; a missing name is reported, and stops no other."""
    leave_policy(plane, "kept", FINALIZER, ANOTHER)
    leave_policy(plane, "going", FINALIZER)
    leave_policy(plane, "bystander", FINALIZER)
    leave_policy(plane, "alive", deleting=False)
    audit = AuditLog(plane)
    names = ("kept", "nobody", "going", "alive")
    done = release(plane, *(f"team-a/{name}" for name in names))
    assert done.exit_code == 1
    assert "Error: There is no NotificationPolicy team-a/nobody" in done.stderr
    assert f"another finalizer keeps it: {ANOTHER}" in done.stdout
    assert done.stdout.endswith("3 objects released, 1 not released\n")
    assert done.stderr.count("Warning: ") == 1
    assert "team-a/alive: it is not being deleted" in done.stderr
    assert policy(plane, "going") is None
    for name, finalizers in (("kept", [ANOTHER]), ("alive", None)):
        metadata = policy(plane, name)["metadata"]
        assert metadata.get("finalizers") == finalizers
        assert ORIGINAL not in metadata.get("annotations", {})
    assert policy(plane, "bystander")["metadata"]["finalizers"] == [FINALIZER]
    written = [(w.verb, w.name, w.code) for w in audit.by_operator()]
    assert written == [("patch", name, 200) for name in names if name != "nobody"]
    again = release(plane, "team-a/alive")
    assert again.exit_code == 0
    assert "team-a/alive: nothing of ours is on it" in again.stdout
    bare = '{"metadata": {"finalizers": null}}'
    plane.kubectl("patch", "znp", "kept", "-nteam-a", "--type=merge", f"-p={bare}")


def test_an_object_unlike_its_schema_is_released_too(plane: ControlPlane) -> None:
    """Older CRDs may have left it; only its setting cannot be printed."""
    leave_policy(plane, "odd", FINALIZER, deleting=False)
    file = CRDS / "zitadel-notification.dev_notificationpolicies.yaml"
    loose = yaml.safe_load(file.read_text())
    schema = loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["required"].remove("passwordChange")
    plane.kubectl("replace", "-f", "-", stdin=json.dumps(loose))
    patch = '[{"op": "remove", "path": "/spec/passwordChange"}]'
    command = ("patch", "znp", "odd", "-nteam-a", "--type=json", f"-p={patch}")
    # The new schema is served a moment after it was stored.
    eventually(lambda: plane.kubectl(*command, check=False).returncode == 0)
    plane.kubectl("replace", "-f", str(file))
    plane.kubectl("delete", "znp", "odd", "--namespace=team-a", "--wait=false")
    done = release(plane, "team-a/odd")
    assert done.exit_code == 0, done.stderr
    assert "cannot be read: NotificationPolicy team-a/odd: spec" in done.stdout
    assert policy(plane, "odd") is None


def test_a_lease_that_is_held_is_respected(plane: ControlPlane) -> None:
    """--force overrides it; a Lease that nobody renews expires."""
    leave_policy(plane, "p", FINALIZER)
    hold_lease(plane, seconds_ago=1)
    refused = release(plane, "team-a/p")
    assert refused.exit_code == 1
    assert "pod-1 holds the Lease" in refused.stderr
    assert policy(plane, "p") is not None
    planned = release(plane, "team-a/p", "--dry-run")
    assert planned.exit_code == 0
    assert "pod-1 holds the Lease" in planned.stderr
    elsewhere = release(plane, "team-a/p", "--dry-run", "--namespace=default")
    assert "Lease" not in elsewhere.stderr
    hold_lease(plane, seconds_ago=100, duration=2)
    done = release(plane, "team-a/p")
    assert done.exit_code == 0
    assert "looking for 2 s whether it does" in done.stderr
    assert policy(plane, "p") is None
    leave_policy(plane, "p", FINALIZER)
    hold_lease(plane, seconds_ago=1)
    assert release(plane, "team-a/p", "--force").exit_code == 0
    assert policy(plane, "p") is None


def test_only_what_the_operator_of_one_class_serves(plane: ControlPlane) -> None:
    """What names its instances, too; each class has its Lease."""
    leave_instance(plane, "common")
    leave_instance(plane, "blue", **{"class": "blue"})
    leave_policy(plane, "in-common", FINALIZER, instance="common")
    leave_policy(plane, "in-blue", FINALIZER, instance="blue")
    leave_policy(plane, "in-none", FINALIZER, instance="absent")
    hold_lease(plane, seconds_ago=1)
    named = release(plane, "team-a/in-common", "--class=blue")
    assert named.exit_code == 1
    assert "team-a/in-common: not released: it is of class ''" in named.stderr
    done = release(plane, "--all", "--class=blue")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith("2 objects released\n")
    assert "3 of other classes left alone" in done.stderr
    assert policy(plane, "in-blue") is None
    assert finalizers_of_instance(plane, "blue") == []
    for name in ("in-common", "in-none"):
        assert policy(plane, name)["metadata"]["finalizers"] == [FINALIZER]
    hold_lease(plane, seconds_ago=1, name=f"{LEASE}-blue")
    refused = release(plane, "--instance=blue", "--class=blue")
    assert refused.exit_code == 1
    assert f"holds the Lease {OWN_NAMESPACE}/{LEASE}-blue" in refused.stderr
    plane.kubectl("delete", "lease", LEASE, f"--namespace={OWN_NAMESPACE}")
    rest = release(plane, "--all")
    assert rest.exit_code == 0, rest.stderr
    assert rest.stdout.endswith("3 objects released\n")
    assert finalizers_of_instance(plane, "common") == []
    plane.kubectl("delete", "zni", "--all")


async def test_a_lease_that_looks_old_may_be_renewed(plane: ControlPlane) -> None:
    """Clocks differ: a renewal counts, whatever time it contains."""
    hold_lease(plane, seconds_ago=3600)
    warnings: list[str] = []

    def renew(sentence: str) -> None:
        warnings.append(sentence)
        hold_lease(plane, seconds_ago=3599)

    access = await connect(plane.kubeconfig)
    try:
        lease = await holder_of_lease(access.api, OWN_NAMESPACE, NAME, renew)
    finally:
        await access.api.close()
    assert lease is not None
    assert lease.holder == "pod-1"
    assert len(warnings) == 1


def test_without_the_right_to_do_it(plane: ControlPlane, tmp_path: Path) -> None:
    """The missing permission is reported, and the exit code is not 0."""
    leave_policy(plane, "p", FINALIZER)
    account = ("serviceaccount", "someone", "--namespace=team-a")
    plane.kubectl("create", *account)
    token = plane.kubectl("create", "token", "someone", "--namespace=team-a").stdout
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token.strip()}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    option = f"--kubeconfig={kubeconfig}"
    done = release(plane, option, "--all")
    assert done.exit_code == 1
    assert f"The Lease {OWN_NAMESPACE}/{LEASE} could not be read" in done.stderr
    assert "--force" in done.stderr
    for what in ("--all", "team-a/p"):
        done = release(plane, option, "--force", what)
        assert done.exit_code == 1
        assert "is forbidden" in done.stderr
        assert "Traceback" not in done.stderr
    plane.kubectl("delete", *account)
    assert policy(plane, "p")["metadata"]["finalizers"] == [FINALIZER]
