"""The way from one version of the API to the next, as ADR 25 plans it.

There is only one version yet. So a copy of a real CRD in a group of its own gets a
second one, and then loses the first, as the CRDs of three releases would do it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.documents import ROOT, Shell, commands
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

DOCUMENT = ROOT / "docs" / "reference" / "versions-and-deprecation.md"
FILES = sorted((ROOT / "deploy" / "crds").glob("*.yaml"))
GROUP, COPY = "zitadel-notification.dev", "crd-versions.example"
OLD, NEW = "v1alpha1", "v1beta1"
PLURAL = f"notificationpolicies.{COPY}"
WARNING = f"{COPY}/{OLD} NotificationPolicy is deprecated"

Json = dict[str, Any]


class Cluster:
    """A control plane with the copy of a CRD, whose versions can be set."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        (file,) = (f for f in FILES if f.stem.endswith("_notificationpolicies"))
        self.crd: Json = yaml.safe_load(file.read_text().replace(GROUP, COPY))
        self.crd["spec"]["names"] |= {"shortNames": [], "categories": []}

    def release(
        self, versions: tuple[str, ...], stored: str, check: bool = True
    ) -> str:
        """Apply the CRD as a release has it; return the error if it is refused."""
        (only,) = self.crd["spec"]["versions"]
        made = [{**only, "name": name, "storage": name == stored} for name in versions]
        if len(made) > 1:
            made[0]["deprecated"] = True
        body = {**self.crd, "spec": {**self.crd["spec"], "versions": made}}
        done = self.plane.kubectl(
            *("apply", "--server-side", "--force-conflicts", "-f-"),
            stdin=json.dumps(body),
            check=check,
        )
        if done.returncode == 0:
            eventually(lambda: self.served() == set(versions), what=f"{versions}")
        return done.stderr

    def served(self) -> set[str]:
        """Return the versions that the API server serves."""
        done = self.plane.kubectl("get", "--raw", f"/apis/{COPY}", check=False)
        if done.returncode:
            return set()
        return {version["version"] for version in json.loads(done.stdout)["versions"]}

    def stored(self) -> list[str]:
        """Return the versions in which objects are or were stored."""
        path = "--output=jsonpath={.status.storedVersions}"
        found: list[str] = json.loads(
            self.plane.kubectl("get", "crd", PLURAL, path).stdout
        )
        return found

    def forget(self, *left: str) -> None:
        """Say which versions objects are stored in, without writing the objects."""
        patch = json.dumps({"status": {"storedVersions": left}})
        command = ("patch", "crd", PLURAL, "--subresource=status", "--type=merge")
        self.plane.kubectl(*command, f"--patch={patch}")

    def read(self, version: str, namespace: str) -> tuple[Json, str]:
        """Return the object as a version, and what kubectl warns of."""
        command = ("get", f"notificationpolicies.{version}.{COPY}", "p")
        options = ("-n", namespace, "--output=json", "--show-managed-fields")
        done = self.plane.kubectl(*command, *options)
        return json.loads(done.stdout), done.stderr

    def apply(self, version: str, namespace: str, *, value: bool) -> str:
        """Apply the object as a person does; return the error if it is refused."""
        owner = {"apiVersion": f"{COPY}/{version}", "kind": "NotificationPolicySet"}
        spec = {"scope": "Organization", "organization": {"id": "1"}}
        body = {
            "apiVersion": f"{COPY}/{version}",
            "kind": "NotificationPolicy",
            "metadata": {
                "name": "p",
                "ownerReferences": [{**owner, "name": "s", "uid": "made-up"}],
            },
            "spec": {**spec, "passwordChange": value},
        }
        command = ("apply", "--server-side", "-f-", "-n", namespace)
        done = self.plane.kubectl(*command, stdin=json.dumps(body), check=False)
        return done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[Cluster]:
    """A copy of the CRD, as it is today."""
    made = Cluster(control_plane)
    made.release((OLD,), OLD)
    yield made
    control_plane.kubectl("delete", "crd", PLURAL)


def rewrite(cluster: Cluster, home: Path) -> None:
    """Type the commands of the document, for this group and its only kind."""
    text = commands(DOCUMENT, "Rewrite the stored objects").replace(GROUP, COPY)
    kinds = "notificationpolicies notificationpolicysets zitadelinstances"
    assert kinds in text
    Shell(cluster.plane, home).run(text.replace(kinds, "notificationpolicies"))


def versions_in(body: Json) -> set[str]:
    """Return each version that an object names, wherever it does."""
    return set(re.findall(rf"{COPY}/(\w+)", json.dumps(body)))


def test_from_one_version_to_the_next(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """Each release can be rolled back, and an object is the same in each version."""
    assert cluster.apply(OLD, namespace, value=False) == ""
    first, warning = cluster.read(OLD, namespace)
    assert warning == ""

    # The first release serves the new version, and stores the old one.
    cluster.release((OLD, NEW), OLD)
    assert cluster.stored() == [OLD]
    seen, warning = cluster.read(NEW, namespace)
    assert warning == ""
    assert {**seen, "apiVersion": ""} == {**first, "apiVersion": ""}
    assert WARNING in cluster.read(OLD, namespace)[1]
    cluster.release((OLD,), OLD)
    cluster.release((OLD, NEW), OLD)

    # The second stores the new one. The way back to the first is open.
    cluster.release((OLD, NEW), NEW)
    assert cluster.stored() == [OLD, NEW]
    cluster.release((OLD, NEW), OLD)
    cluster.release((OLD, NEW), NEW)
    assert cluster.read(OLD, namespace)[0] == first

    # The third cannot come before the objects were rewritten.
    refused = cluster.release((NEW,), NEW, check=False)
    assert f'status.storedVersions[0]: Invalid value: "{OLD}"' in refused
    assert "missing from spec.versions" in refused
    rewrite(cluster, tmp_path)
    assert cluster.stored() == [NEW]
    cluster.release((NEW,), NEW)
    last, _ = cluster.read(NEW, namespace)
    assert versions_in(first) == {OLD}
    assert versions_in(last) == {NEW}
    assert last["spec"] == first["spec"]
    for key in ("uid", "generation", "creationTimestamp"):
        assert last["metadata"][key] == first["metadata"][key]

    # Who owned a field still does.
    assert cluster.apply(NEW, namespace, value=True) == ""
    assert cluster.read(NEW, namespace)[0]["spec"]["passwordChange"] is True

    # The way back is open, too: the second release still serves the old version.
    cluster.release((OLD, NEW), NEW)
    assert cluster.read(OLD, namespace)[0]["spec"]["passwordChange"] is True


def test_why_the_objects_are_rewritten(cluster: Cluster, namespace: str) -> None:
    """Whoever only changes the CRD's status cannot read them any more."""
    kubectl = cluster.plane.kubectl
    cluster.release((OLD, NEW), OLD)
    assert cluster.apply(OLD, namespace, value=True) == ""
    cluster.release((OLD, NEW), NEW)
    cluster.forget(NEW)
    cluster.release((NEW,), NEW)
    command = ("get", f"notificationpolicies.{NEW}.{COPY}", "p", "-n", namespace)
    assert kubectl(*command, check=False).returncode == 1
    # With the old version in the CRD, they are there again.
    cluster.release((OLD, NEW), NEW)
    body = kubectl(*command, "--output=json").stdout
    # Whoever writes them without their managed fields cannot apply them any more: see
    # kubernetes/kubernetes#111937.
    kubectl("replace", "-f-", stdin=body)
    cluster.forget(NEW)
    cluster.release((NEW,), NEW)
    assert kubectl(*command).returncode == 0
    refused = cluster.apply(NEW, namespace, value=True)
    assert f"convert CR to an invalid group/version: {COPY}/{OLD}" in refused
    cluster.release((OLD, NEW), NEW)
    assert cluster.apply(NEW, namespace, value=True) == ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_crds_follow_the_plan(file: Path) -> None:
    """One version is stored, all have the same fields, and there is no webhook."""
    spec = yaml.safe_load(file.read_text())["spec"]
    versions = spec["versions"]
    assert spec.get("conversion", {"strategy": "None"}) == {"strategy": "None"}
    (stored,) = [version for version in versions if version["storage"]]
    assert stored["served"]
    schema = without_descriptions(stored["schema"])
    for version in versions:
        assert without_descriptions(version["schema"]) == schema, version["name"]


def without_descriptions(schema: Any) -> Any:
    """Return a schema without the texts, which may name the version."""
    if isinstance(schema, list):
        return [without_descriptions(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    texts = {k for k, v in schema.items() if k == "description" and isinstance(v, str)}
    return {k: without_descriptions(v) for k, v in schema.items() if k not in texts}
