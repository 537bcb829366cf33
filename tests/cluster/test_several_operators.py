"""Operators of several classes and installations as processes, on a real API server."""

import itertools
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.conftest import condition_in
from support.audit import AuditLog
from support.kube_calls import Refused, apply, delete, merge, read, read_all
from support.planes import ready_plane
from support.replicas import Fleet, Replica
from support.running import OWN_NAMESPACE, EmulatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = pytest.mark.clock

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"
LATENCY = 0.5
"""Seconds that ZITADEL takes for each write in these tests."""
HAND_OVER = 30.0
LEASE = "5s"


@dataclass
class Cluster:
    """A cluster with the namespaces and users of two installations."""

    plane: ControlPlane
    emulator: EmulatorProcess
    fleet: Fleet
    tokens: dict[str, str]
    organizations: Iterator[str]

    def start(self, namespace: str, operator_class: str = "") -> Replica:
        """Start a replica of the installation in a namespace, with its own user."""
        options = ("--namespace", namespace, "--class", operator_class)
        replica = self.fleet.start_one(LEASE, self.tokens[namespace], *options)
        replica.process.wait_ready()
        return replica

    def instance(self, name: str, operator_class: str | None = None) -> None:
        """Create an instance that every namespace may use."""
        spec: dict[str, Any] = {
            "url": self.emulator.url,
            "allowInsecureHTTP": True,
            "credentials": {"personalAccessToken": {"secretRef": {"name": "token"}}},
            "driftDetection": {"method": "Disabled"},
            "grants": [{"namespaces": ["*"]}],
        }
        if operator_class is not None:
            spec["class"] = operator_class
        self.apply("ZitadelInstance", name, "", spec)

    def policy(self, name: str, instance: str) -> str:
        """Create a policy of a new organization; return the organization's id."""
        organization = next(self.organizations)
        spec = {
            "scope": "Organization",
            "instanceRef": {"name": instance},
            "organization": {"id": organization},
            "passwordChange": True,
        }
        self.apply("NotificationPolicy", name, OWN_NAMESPACE, spec)
        return organization

    def apply(self, kind: str, name: str, namespace: str, spec: Any) -> None:
        """Apply an object."""
        document = {
            "apiVersion": "zitadel-notification.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name}
            | ({"namespace": namespace} if namespace else {}),
            "spec": spec,
        }
        apply(self.plane, document)

    def set_class(self, name: str, operator_class: str) -> None:
        """Change the class of an instance."""
        patch = json.dumps({"spec": {"class": operator_class}})
        self.plane.kubectl("patch", "zni", name, "--type=merge", "--patch", patch)

    def take_over(self, name: str, namespace: str) -> None:
        """Let the installation in a namespace take an instance over."""
        value = f"zitadel-notification.dev/take-over={namespace}"
        self.plane.kubectl("annotate", "--overwrite", "zni", name, value)

    def set_policy(self, name: str, *, value: bool) -> None:
        """Change what a policy asks for."""
        patch = json.dumps({"spec": {"passwordChange": value}})
        where = (f"--namespace={OWN_NAMESPACE}", "--type=merge")
        self.plane.kubectl("patch", "znp", name, *where, "--patch", patch)

    def stored(self, name: str) -> dict[str, Any]:
        """Return an instance as stored."""
        body = read(self.plane, "zni", name)
        assert body is not None, f"there is no instance {name}"
        return body

    def server(self, name: str) -> str:
        """Return the namespace in `status.servedBy`; empty if nobody serves."""
        by = self.stored(name).get("status", {}).get("servedBy", {})
        return str(by.get("namespace", ""))

    def wait_served(self, name: str, namespace: str, patience: float = 20) -> float:
        """Wait until an installation serves an instance; return how long it took."""
        began = time.monotonic()
        what = f"{namespace or 'nobody'} serves {name}"
        eventually(lambda: self.server(name) == namespace, patience, what)
        return time.monotonic() - began

    def wait_settled(self, patience: float = 60) -> None:
        """Wait until all policies are Ready for their newest spec."""

        def is_settled(policy: dict[str, Any]) -> bool:
            status = policy.get("status", {})
            if status.get("observedGeneration") != policy["metadata"]["generation"]:
                return False
            return condition_in(policy, "Ready")[0] == "True"

        def settled() -> bool:
            policies = read_all(self.plane, "znp")
            return bool(policies) and all(map(is_settled, policies))

        eventually(settled, patience, "all policies Ready")

    def reason(self, name: str) -> str:
        """Return the reason of an instance's Ready condition."""
        return condition_in(self.stored(name), "Ready")[1]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    folder = tmp_path_factory.mktemp("zitadel")
    emulator = EmulatorProcess(folder, 0, "--organizations", "100")
    with emulator.program:
        yield emulator


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A separate cluster."""
    with ready_plane() as plane:
        plane.kubectl("create", "namespace", "lab")
        for namespace in (OWN_NAMESPACE, "lab"):
            plane.kubectl("create", "serviceaccount", "znp", f"--namespace={namespace}")
            plane.kubectl(
                *("create", "clusterrolebinding", namespace, "--clusterrole"),
                *("cluster-admin", f"--serviceaccount={namespace}:znp"),
            )
            create_secret(plane, "token", namespace=namespace)
        yield plane


@pytest.fixture(scope="module")
def organizations(emulator: EmulatorProcess) -> Iterator[str]:
    found = emulator.call("GET", "/emulator/v1/organizations")
    return iter([organization["id"] for organization in found][2:])


@pytest.fixture
def cluster(
    plane: ControlPlane,
    emulator: EmulatorProcess,
    organizations: Iterator[str],
    tmp_path: Path,
) -> Iterator[Cluster]:
    """The cluster, a slow ZITADEL, and no operator so far."""
    tokens = {
        namespace: plane.kubectl(
            "create", "token", "znp", f"--namespace={namespace}"
        ).stdout.strip()
        for namespace in (OWN_NAMESPACE, "lab")
    }
    fleet = Fleet(plane, emulator, tmp_path)
    for method in ("POST", "PUT", "DELETE"):
        fault = {"path": "/management/v1/policies", "method": method}
        emulator.call("POST", "/emulator/v1/faults", fault | {"latency": LATENCY})
    yield Cluster(plane, emulator, fleet, tokens, organizations)
    emulator.call("DELETE", "/emulator/v1/faults")
    fleet.stop()
    for kind in ("znps", "znp", "zni"):
        for body in read_all(plane, kind):
            name = body["metadata"]["name"]
            namespace = body["metadata"].get("namespace", "")
            merge(plane, kind, name, {"metadata": {"finalizers": None}}, namespace)
            # One that was being deleted already has gone with its finalizers.
            with suppress(Refused):
                delete(plane, kind, name, namespace)
    plane.kubectl("delete", "lease", "--all", "--all-namespaces")


def require_one_writer_at_a_time(*replicas: Replica) -> None:
    """Require that a write of one replica is over before one of another begins."""
    writes = sorted(
        (at, replica.name) for replica in replicas for at in replica.zitadel.writes()
    )
    for (before, who), (after, other) in itertools.pairwise(writes):
        if who != other:
            assert after - before >= LATENCY, f"{who} and {other} write at once"


def writers(audit: AuditLog, kind: str, name: str) -> set[str]:
    """Return the namespaces of the operators that have written to an object."""
    prefix = "system:serviceaccount:"
    return {
        write.user.removeprefix(prefix).partition(":")[0]
        for write in audit.writes(kind, name=name)
        if write.user.startswith(prefix) and write.code < 300
    }


def test_each_operator_serves_its_class_and_writes_to_nothing_else(
    cluster: Cluster,
) -> None:
    """The audit log shows it; each has a Lease, and its class in its metrics."""
    audit = AuditLog(cluster.plane)
    main, lab = cluster.start(OWN_NAMESPACE), cluster.start("lab", "canary")
    cluster.instance("ours")
    cluster.policy("of-ours", "ours")
    cluster.policy("of-nobody", "nobody")
    cluster.wait_served("ours", OWN_NAMESPACE)
    eventually(main.zitadel.writes, 10, "a write of the main operator")
    eventually(
        lambda: "InstanceNotFound" in _policy_text(cluster, "of-nobody"), 10, "a report"
    )
    time.sleep(2)
    assert lab.zitadel.requests == []
    assert writers(audit, "notificationpolicies", "of-ours") == {OWN_NAMESPACE}
    assert writers(audit, "notificationpolicies", "of-nobody") == {OWN_NAMESPACE}
    assert writers(audit, "zitadelinstances", "ours") == {OWN_NAMESPACE}
    for namespace, name in (
        (OWN_NAMESPACE, "zitadel-notification-operator"),
        ("lab", "zitadel-notification-operator-canary"),
    ):
        assert read(cluster.plane, "lease", name, namespace) is not None
    assert 'class="canary"' in lab.process.metrics()
    assert 'class=""' in main.process.metrics()
    assert 'name="ours"' not in lab.process.metrics()


def _policy_text(cluster: Cluster, name: str) -> str:
    return json.dumps(read(cluster.plane, "znp", name, OWN_NAMESPACE))


def test_a_class_changes_while_calls_hang_and_the_leader_is_killed(
    cluster: Cluster,
) -> None:
    """The next leader hands over; never do both write at the same time."""
    first = cluster.start(OWN_NAMESPACE)
    lab = cluster.start("lab", "canary")
    cluster.instance("moving")
    cluster.policy("moving-0", "moving")
    eventually(first.zitadel.writes, 20, "a write")
    second = cluster.start(OWN_NAMESPACE)
    hang = {"path": "/management/v1/policies", "method": "POST", "hang": True}
    cluster.emulator.call("POST", "/emulator/v1/faults", hang | {"times": 1})
    begun = len(first.zitadel.writes())
    for number in range(1, 5):
        cluster.policy(f"moving-{number}", "moving")
    eventually(lambda: len(first.zitadel.writes()) > begun, 10, "a hanging write")
    cluster.set_class("moving", "canary")
    first.process.program.kill()
    killed = time.monotonic()
    cluster.wait_served("moving", "lab", 40)
    assert time.monotonic() - killed < HAND_OVER
    cluster.wait_settled()
    require_one_writer_at_a_time(first, second, lab)
    assert lab.zitadel.writes()
    assert min(lab.zitadel.writes()) > max(first.zitadel.writes())
    assert second.zitadel.writes() == []


def test_a_class_that_comes_and_goes_loses_nothing(cluster: Cluster) -> None:
    """Edits meanwhile are applied by whoever serves, one writer at a time."""
    main, lab = cluster.start(OWN_NAMESPACE), cluster.start("lab", "canary")
    cluster.instance("swinging")
    organizations = [cluster.policy(f"swing-{n}", "swinging") for n in range(4)]
    value = True
    for number in range(6):
        cluster.set_class("swinging", "canary" if number % 2 == 0 else "")
        value = not value
        for each in range(4):
            cluster.set_policy(f"swing-{each}", value=value)
        time.sleep(0.4 * (number % 3))
    cluster.wait_settled()
    require_one_writer_at_a_time(main, lab)
    for organization in organizations:
        assert (
            cluster.emulator.policy(organization).get("passwordChange", False) is value
        )
    assert cluster.server("swinging") == OWN_NAMESPACE


def test_two_installations_of_one_class(cluster: Cluster) -> None:
    """The second one touches nothing and says so, until the annotation names it."""
    audit = AuditLog(cluster.plane)
    main = cluster.start(OWN_NAMESPACE)
    cluster.instance("one")
    cluster.policy("p", "one")
    cluster.wait_served("one", OWN_NAMESPACE)
    second = cluster.start("lab")
    metric = 'znp_instance_served_elsewhere{name="one"} 1'
    eventually(lambda: metric in second.process.metrics(), 20, "the metric")
    cluster.wait_settled()
    assert second.zitadel.requests == []
    assert writers(audit, "zitadelinstances", "one") == {OWN_NAMESPACE}
    log = second.process.log
    eventually(lambda: "take-over: lab" in log.read_text(), 10, "the log says how")
    eventually(lambda: "ServedElsewhere" in _events(cluster, "one"), 10, "an Event")
    assert metric not in main.process.metrics()
    cluster.take_over("one", "lab")
    assert cluster.wait_served("one", "lab") < 10
    cluster.set_policy("p", value=False)
    eventually(second.zitadel.writes, 20, "a write of the second one")
    cluster.wait_settled()
    require_one_writer_at_a_time(main, second)
    assert "HandedOver" in _events(cluster, "one")


def _events(cluster: Cluster, name: str) -> str:
    selector = f"regarding.name={name}"
    events = read_all(cluster.plane, "event", "default", fieldSelector=selector)
    return " ".join(event["reason"] for event in events)


def test_a_reinstallation_in_another_namespace(cluster: Cluster) -> None:
    """The old one is gone: half a minute after the annotation the new one serves."""
    old = cluster.start(OWN_NAMESPACE)
    cluster.instance("one")
    for number in range(3):
        cluster.policy(f"re-{number}", "one")
    cluster.wait_settled()
    old.process.program.kill()
    new = cluster.start("lab")
    audit = AuditLog(cluster.plane)
    time.sleep(5)
    assert cluster.server("one") == OWN_NAMESPACE
    assert new.zitadel.requests == []
    cluster.take_over("one", "lab")
    assert HAND_OVER - 1 < cluster.wait_served("one", "lab", 60) < HAND_OVER + 10
    time.sleep(3)
    cluster.wait_settled()
    assert new.zitadel.writes() == []
    assert writers(audit, "notificationpolicies", "re-0") == set()
    cluster.policy("re-new", "one")
    cluster.wait_settled()
    assert len(new.zitadel.writes()) == 1


def test_one_zitadel_has_one_class(cluster: Cluster) -> None:
    """The younger instance is stalled, and serves once the older one has its class."""
    main, lab = cluster.start(OWN_NAMESPACE), cluster.start("lab", "canary")
    cluster.instance("elder")
    eventually(lambda: cluster.reason("elder") == "Succeeded", 20, "the elder one")
    time.sleep(1.1)  # ages have whole seconds
    cluster.policy("of-younger", "younger")
    cluster.instance("younger", "canary")
    eventually(lambda: cluster.reason("younger") == "ClassConflict", 20, "a conflict")
    time.sleep(2)
    assert lab.zitadel.writes() == []
    cluster.set_class("elder", "canary")
    cluster.wait_settled()
    assert cluster.server("elder") == cluster.server("younger") == "lab"
    require_one_writer_at_a_time(main, lab)
    assert len(lab.zitadel.writes()) == 1


def test_an_operator_that_lost_kubernetes_is_not_overlapped(cluster: Cluster) -> None:
    """It stops with its lease; the other one begins later."""
    main, lab = cluster.start(OWN_NAMESPACE), cluster.start("lab", "canary")
    cluster.instance("cut")
    for number in range(4):
        cluster.policy(f"cut-{number}", "cut")
    eventually(main.zitadel.writes, 20, "a write")
    main.kubernetes.hang()
    cluster.set_class("cut", "canary")
    took = cluster.wait_served("cut", "lab", 60)
    assert took > HAND_OVER - 2
    cluster.wait_settled()
    require_one_writer_at_a_time(main, lab)
    assert min(lab.zitadel.writes()) - max(main.zitadel.writes()) > HAND_OVER - 6


def test_a_status_that_another_operator_has_written_is_not_replaced(
    cluster: Cluster,
) -> None:
    """A stopped process that wakes up writes over nothing that was taken from it."""
    main, lab = cluster.start(OWN_NAMESPACE), cluster.start("lab", "canary")
    cluster.instance("asleep")
    cluster.policy("z", "asleep")
    cluster.wait_settled()
    pid = main.process.program.pid
    os.kill(pid, 19)
    cluster.set_class("asleep", "canary")
    cluster.wait_served("asleep", "lab", 60)
    os.kill(pid, 18)
    eventually(lambda: not main.process.program.running, 30, "it ends")
    time.sleep(1)
    assert cluster.server("asleep") == "lab"
    require_one_writer_at_a_time(main, lab)


@pytest.fixture
def older_crd(plane: ControlPlane) -> Iterator[None]:
    """The CRD as it was before there were classes."""
    file = CRDS / "zitadel-notification.dev_zitadelinstances.yaml"
    crd = yaml.safe_load(file.read_text())
    (version,) = crd["spec"]["versions"]
    version.pop("selectableFields")
    version["additionalPrinterColumns"] = []
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    del properties["spec"]["properties"]["class"]
    del properties["status"]["properties"]["servedBy"]
    plane.kubectl("replace", "-f", "-", stdin=json.dumps(crd))
    time.sleep(2)  # until the API server serves it
    yield
    plane.kubectl("replace", "-f", str(file))


@pytest.mark.usefixtures("older_crd")
def test_an_older_crd_is_served_without_classes(cluster: Cluster) -> None:
    """It cannot store who serves; the operator without a class serves all the same."""
    cluster.instance("old")
    cluster.policy("of-old", "old")
    lab = cluster.start("lab", "canary")
    main = cluster.start(OWN_NAMESPACE)
    cluster.wait_settled()
    assert cluster.reason("old") == "Succeeded"
    assert cluster.server("old") == ""
    assert len(main.zitadel.writes()) == 1
    assert lab.zitadel.requests == []
    audit = AuditLog(cluster.plane)
    time.sleep(5)
    assert audit.writes("zitadelinstances") == []
