"""Installs, upgrades, rolls back and uninstalls with a real Helm and API server.

There is no kubelet, so nothing can wait for pods: no `--wait`, no `helm test`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import (
    CHART,
    NAMESPACE,
    ROOT,
    Document,
    of_kind,
    only,
    parse,
    run_helm,
)
from support.documents import section
from support.running import OWN_NAMESPACE, OperatorProcess
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

RELEASE = "rel"
OPERATOR = "zitadel-notification-operator"
FULL = f"{RELEASE}-{OPERATOR}"
CRDS = {
    "notificationpolicies.zitadel-notification.dev",
    "notificationpolicysets.zitadel-notification.dev",
    "zitadelinstances.zitadel-notification.dev",
}
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


class Cluster:
    """A control plane with namespaces and without CRDs, and Helm for it."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        for name in (NAMESPACE, OWN_NAMESPACE, "team-a", "team-b"):
            plane.kubectl("create", "namespace", name)
        plane.kubectl("label", "namespace", NAMESPACE, RESTRICTED)

    def helm(
        self, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run Helm in the operator's namespace."""
        environment = {"KUBECONFIG": str(self.plane.kubeconfig)}
        return run_helm(
            *(*arguments, "--namespace", NAMESPACE),
            check=check,
            environment=environment,
        )

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> Any:
        """Return a stored object."""
        where = ("--namespace", namespace) if namespace else ()
        done = self.plane.kubectl("get", kind, name, *where, "--output=json")
        return json.loads(done.stdout)

    def names(self, kind: str, *options: str) -> set[str]:
        """Return the names of the chart's objects of a kind in all namespaces."""
        label = "app.kubernetes.io/part-of=zitadel-notification-operator"
        done = self.plane.kubectl(
            *("get", kind, "--all-namespaces", "--selector", label),
            *("--output=jsonpath={.items[*].metadata.name}", *options),
        )
        return set(done.stdout.split())

    def places(self, kind: str) -> set[str]:
        """Return the namespaces in which the chart has an object of a kind."""
        where = "--output=jsonpath={.items[*].metadata.namespace}"
        return self.names(kind, where)

    def generations(self) -> dict[str, int]:
        """Return the generation of each object that has one."""
        documents = parse(self.helm("get", "manifest", RELEASE).stdout)
        found = {}
        for document in documents:
            metadata = document["metadata"]
            stored = self.get(
                document["kind"], metadata["name"], metadata.get("namespace", "")
            )
            if "generation" in stored["metadata"]:
                key = f"{document['kind']}/{metadata['name']}"
                found[key] = stored["metadata"]["generation"]
        return found

    def dry_run(self, document: Document, *options: str) -> str:
        """Let the API server admit an object without storing it; return the output."""
        done = self.plane.kubectl(
            *("create", "--dry-run=server", "--filename=-", *options),
            stdin=json.dumps(document),
            check=False,
        )
        return done.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster for this file, in which CRDs are installed and removed."""
    with ControlPlane() as plane:
        yield Cluster(plane)


@pytest.fixture
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The chart, installed with its defaults."""
    cluster.helm("install", RELEASE, str(CHART))
    cluster.plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    yield cluster
    cluster.helm("uninstall", RELEASE, "--ignore-not-found")


def test_install_and_again_the_same(installed: Cluster) -> None:
    """The objects exist; the same values once more change none of them."""
    assert installed.names("crd") == CRDS
    deployment = installed.get("deployment", FULL)
    assert deployment["spec"]["replicas"] == 2
    assert installed.names("clusterrole") == {
        FULL,
        *(f"{FULL}-{role}" for role in ("view", "edit", "instance-view")),
        f"{FULL}-instance-admin",
    }
    assert installed.places("role") == {NAMESPACE}
    before = installed.generations()
    assert f"Deployment/{FULL}" in before
    installed.helm("upgrade", RELEASE, str(CHART))
    assert installed.generations() == before


def test_the_namespace_may_be_restricted(installed: Cluster) -> None:
    """Kubernetes' own admission accepts both pods, and refuses a wrong one."""
    template = installed.get("deployment", FULL)["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "like-the-operators", "namespace": NAMESPACE},
        "spec": template["spec"],
    }
    (test,) = of_kind(parse(installed.helm("get", "hooks", RELEASE).stdout), "Pod")
    for one in (pod, test):
        # The controller that creates it is not running.
        one["spec"]["serviceAccountName"] = FULL
        assert installed.dry_run(one) == ""
    pod["spec"]["securityContext"] = {}
    assert 'violates PodSecurity "restricted' in installed.dry_run(pod)


def manifests(notes: str) -> list[Document]:
    """Return the manifests that the notes tell the user to apply."""
    found = re.findall(r"<<'EOF'\n(.*?)\n *EOF\n", notes, flags=re.DOTALL)
    assert len(found) == 3
    return [yaml.safe_load(text) for text in found]


def test_what_the_chart_shows_is_valid(installed: Cluster) -> None:
    """This holds for the notes' manifests and the examples for Artifact Hub."""
    shown = manifests(installed.helm("get", "notes", RELEASE).stdout)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    annotations = chart["annotations"]
    shown += yaml.safe_load(annotations["artifacthub.io/crdsExamples"])
    kinds = [document["kind"] for document in shown]
    each = ["ZitadelInstance", "NotificationPolicy", "NotificationPolicySet"]
    assert kinds == each * 2
    for document in shown:
        where = ("--namespace", "team-a")
        options = () if document["kind"] == "ZitadelInstance" else where
        assert installed.dry_run(document, *options) == ""


def test_upgrade_and_rollback(installed: Cluster) -> None:
    """The values change all permissions and the way pods are replaced."""
    before = installed.get("deployment", FULL)["spec"]
    values = str(CHART / "ci" / "watch-namespaces-values.yaml")
    installed.helm("upgrade", RELEASE, str(CHART), "--values", values)
    spec = installed.get("deployment", FULL)["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert (
        "--watch-namespace=team-a" in spec["template"]["spec"]["containers"][0]["args"]
    )
    assert installed.places("role") == {NAMESPACE, "team-a", "team-b", "default"}
    rules = installed.get("clusterrole", FULL, "")["rules"]
    assert "notificationpolicies" not in [
        r for rule in rules for r in rule["resources"]
    ]
    installed.helm("rollback", RELEASE, "1")
    assert installed.get("deployment", FULL)["spec"] == before
    assert installed.places("role") == {NAMESPACE}


def test_uninstall_keeps_policies(installed: Cluster) -> None:
    """CRDs and objects stay; a new installation finds them again."""
    (_, *declared) = manifests(installed.helm("get", "notes", RELEASE).stdout)
    for document in declared:
        installed.plane.kubectl(
            *("apply", "--namespace", "team-a", "--filename=-"),
            stdin=json.dumps(document),
        )
    installed.helm("uninstall", RELEASE)
    for name in CRDS:
        # An object that is being deleted exists for a while.
        assert "deletionTimestamp" not in installed.get("crd", name, "")["metadata"]
    for kind in ("deployment", "serviceaccount", "role", "clusterrole", "service"):
        assert installed.names(kind) == set(), kind
    installed.helm("install", RELEASE, str(CHART))
    for document in declared:
        what = (document["kind"], document["metadata"]["name"])
        assert installed.get(*what, "team-a")["spec"]["passwordChange"] is True
        installed.plane.kubectl("delete", *what, "--namespace", "team-a")


def test_another_release_takes_the_crds_over(installed: Cluster) -> None:
    """Kept CRDs name their release; the README says how to adopt them."""
    installed.helm("uninstall", RELEASE)
    refused = installed.helm("install", "other", str(CHART), check=False)
    assert "invalid ownership metadata" in refused.stderr
    installed.helm("install", "other", str(CHART), "--take-ownership")
    installed.helm("uninstall", "other")
    # The release has to own the CRDs again for the tests that follow.
    installed.helm("install", RELEASE, str(CHART), "--take-ownership")


def test_a_second_release_is_refused(installed: Cluster) -> None:
    """Two operators would fight over every instance's status."""
    refused = installed.helm("install", "second", str(CHART), check=False)
    assert refused.returncode == 1
    assert 'must equal "second": current value is "rel"' in refused.stderr


def shown(document: str, heading: str) -> str:
    """Return the error that a guide shows in a section, in one line."""
    text = section(ROOT / "docs" / "how-to" / document, heading)
    (error,) = re.findall(r"(?s)```text\n(.*?)```", text)
    return " ".join(error.split()).replace(
        f"{OPERATOR}/{OPERATOR}", f"{NAMESPACE}/{FULL}"
    )


@pytest.mark.parametrize("side", ["--server-side=true", "--server-side=false"])
def test_crds_of_kubectl_are_taken_over(cluster: Cluster, side: str) -> None:
    """The guides show the same errors, and name the options."""
    cluster.plane.kubectl("delete", "crd", *CRDS, "--ignore-not-found")
    for path in sorted((ROOT / "deploy" / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        crd["spec"]["names"]["categories"] = ["older"]
        cluster.plane.kubectl("apply", side, "--filename=-", stdin=json.dumps(crd))
    install = ("install", RELEASE, str(CHART))
    refused = cluster.helm(*install, check=False).stderr
    heading = "When kubectl has applied the CRDs before"
    assert shown("install.md", heading) in refused
    refused = cluster.helm(*install, "--take-ownership", check=False).stderr
    assert 'with "kubectl' in refused
    assert ".spec.names.categories" in refused
    cluster.helm("uninstall", RELEASE, "--ignore-not-found")
    cluster.helm(*install, "--take-ownership", "--force-conflicts")
    for name in CRDS:
        names = cluster.get("crd", name, "")["spec"]["names"]
        assert names["categories"] != ["older"]
    cluster.helm("upgrade", RELEASE, str(CHART))
    cluster.helm("uninstall", RELEASE)


def test_a_scaled_deployment_conflicts(installed: Cluster) -> None:
    """After Helm has taken over the field, upgrades work again."""
    where = ("--namespace", NAMESPACE)
    installed.plane.kubectl("scale", f"deployment/{FULL}", "--replicas=1", *where)
    upgrade = ("upgrade", RELEASE, str(CHART))
    refused = installed.helm(*upgrade, check=False).stderr
    assert shown("upgrade.md", "Conflicts with kubectl") in refused
    for options in (["--force-conflicts"], []):
        installed.helm(*upgrade, *options)
        assert installed.get("deployment", FULL)["spec"]["replicas"] == 2


def test_an_uninstall_may_take_the_crds(installed: Cluster) -> None:
    """This is an option."""
    installed.helm("upgrade", RELEASE, str(CHART), "--set", "crds.keep=false")
    installed.helm("uninstall", RELEASE)
    installed.plane.kubectl("wait", "--for=delete", "crd", *CRDS, "--timeout=90s")
    assert installed.names("crd") == set()


def test_helm_test_distinguishes_ready_from_not_ready(
    installed: Cluster, tmp_path: Path
) -> None:
    """Its script runs against a real operator, first without CRDs."""
    pod = only(parse(installed.helm("get", "hooks", RELEASE).stdout), "Pod")
    (one,) = pod["spec"]["containers"]
    assert one["command"] == ["python", "-c"]
    script, url = one["args"]
    service = installed.get("service", f"{FULL}-metrics")
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert url == f"http://{FULL}-metrics:{ports['health']}/readyz"
    installed.helm("upgrade", RELEASE, str(CHART), "--set", "crds.keep=false")
    installed.helm("uninstall", RELEASE)
    installed.plane.kubectl("wait", "--for=delete", "crd", *CRDS, "--timeout=90s")
    operator = OperatorProcess(installed.plane, tmp_path)
    with operator.program:
        eventually(lambda: operator.probe("health", "/healthz") == 200)
        address = f"http://127.0.0.1:{operator.port('health')}/readyz"
        command = [sys.executable, "-c", script, address]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "HTTP Error 503" in done.stderr
        installed.helm("install", RELEASE, str(CHART))
        operator.wait_ready()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{address} 200 ok\n")
