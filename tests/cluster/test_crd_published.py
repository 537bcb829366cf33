"""The kinds can be found, explained and installed with the real kubectl."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
CRDS = ROOT / "deploy" / "crds"
FILES = sorted(CRDS.glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))
API = "zitadel-notification.dev/v1alpha1"

Json = dict[str, Any]

POLICIES = """
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicy
metadata: {name: a}
spec:
  {scope: Instance, instanceRef: {name: eu}, passwordChange: true, suspend: true}
---
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicy
metadata: {name: b}
spec:
  {scope: Organization, organization: {id: "1"}, passwordChange: true, suspend: true}
"""


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (("zitadel",), ["a", "b"]),
        (("znp",), ["a", "b"]),
        (("znp", "--field-selector=spec.scope=Instance"), ["a"]),
        (("znp", "--field-selector=spec.instanceRef.name=default"), ["b"]),
    ],
)
def test_policies_are_found(
    control_plane: ControlPlane,
    namespace: str,
    what: tuple[str, ...],
    names: list[str],
) -> None:
    """They are found by category, by short name, and by fields of the spec."""
    where = ("-n", namespace)
    control_plane.kubectl("create", "-f-", *where, stdin=POLICIES)
    lines = control_plane.kubectl("get", *what, *where, "--output=name").stdout.split()
    kind = "notificationpolicy.zitadel-notification.dev/"
    assert [n.removeprefix(kind) for n in lines if n.startswith(kind)] == names


SETS = """
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicySet
metadata: {name: a}
spec:
  instanceRef: {name: eu}
  organizations: {all: true}
  passwordChange: true
  suspend: true
---
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicySet
metadata: {name: b}
spec: {organizations: {include: [{id: "1"}]}, passwordChange: true, suspend: true}
"""


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (("zitadel",), ["a", "b"]),
        (("znps",), ["a", "b"]),
        (("znps", "--field-selector=spec.instanceRef.name=eu"), ["a"]),
    ],
)
def test_sets_are_found(
    control_plane: ControlPlane,
    namespace: str,
    what: tuple[str, ...],
    names: list[str],
) -> None:
    """They are found by category, by short name, and by their instance."""
    where = ("-n", namespace)
    control_plane.kubectl("create", "-f-", *where, stdin=SETS)
    lines = control_plane.kubectl("get", *what, *where, "--output=name").stdout.split()
    kind = "notificationpolicyset.zitadel-notification.dev/"
    assert [n.removeprefix(kind) for n in lines if n.startswith(kind)] == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_explain_shows_every_field(control_plane: ControlPlane, file: Path) -> None:
    """The API server publishes the descriptions of the file."""
    raw = control_plane.kubectl("get", "--raw", f"/openapi/v3/apis/{API}").stdout
    schemas = json.loads(raw)["components"]["schemas"]
    crd = yaml.safe_load(file.read_text())["spec"]
    schema = crd["versions"][0]["schema"]["openAPIV3Schema"]
    (name,) = (n for n in schemas if n.endswith(f".{crd['names']['kind']}"))
    for part in ("spec", "status"):
        published = list(descriptions(schemas[name]["properties"][part], part))
        assert published == list(descriptions(schema["properties"][part], part))
        assert all(text for _, text in published)


def descriptions(schema: Json, path: str) -> Iterator[tuple[str, str]]:
    """Yield each field and its description."""
    yield path, schema.get("description", "")
    for name, node in sorted(schema.get("properties", {}).items()):
        yield from descriptions(node, f"{path}.{name}")
    if "items" in schema:
        yield from descriptions(schema["items"], f"{path}[]")


def test_explain_finds_the_kinds(control_plane: ControlPlane) -> None:
    """`kubectl explain` accepts the short name and shows defaults."""
    output = control_plane.kubectl("explain", "znp.spec.deletionPolicy").stdout
    assert "Reset removes the organization's own policy" in " ".join(output.split())
    output = control_plane.kubectl("explain", "znps.spec.limits.removals").stdout
    assert "Default 10" in " ".join(output.split())
    output = control_plane.kubectl("explain", "zni.spec.driftDetection").stdout
    assert "Default 10m" in " ".join(output.split())


@pytest.mark.parametrize("way", [(), ("--server-side", "--force-conflicts")])
def test_crds_can_be_applied(control_plane: ControlPlane, way: tuple[str, ...]) -> None:
    """They fit the annotation of a client-side apply."""
    done = control_plane.kubectl("apply", *way, "--dry-run=server", "-f", str(CRDS))
    assert len(done.stdout.splitlines()) == len(FILES)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f"{f.parent.name}-{f.stem}")
def test_examples_are_accepted(control_plane: ControlPlane, file: Path) -> None:
    """kubectl accepts them with strict fields; none is a Secret."""
    documents = list(yaml.safe_load_all(file.read_text()))
    assert documents
    kinds = {document["kind"] for document in documents}
    assert kinds <= {
        *("NotificationPolicy", "NotificationPolicySet", "ZitadelInstance"),
        "Namespace",
    }
    for document in documents:
        if document["kind"] == "Namespace":
            # A namespace that is not there cannot take policies, not even in a dry run.
            control_plane.kubectl("apply", "-f-", stdin=json.dumps(document))
    done = control_plane.kubectl("apply", "--dry-run=server", "-f", str(file))
    assert len(done.stdout.splitlines()) == len(documents)


def test_each_kind_of_credential_has_an_example() -> None:
    """Users can copy each of them."""
    folder = ROOT / "examples" / "connections"
    specs = [yaml.safe_load(f.read_text())["spec"] for f in folder.glob("*.yaml")]
    shown = {kind for spec in specs for kind in spec["credentials"]}
    assert shown == {"personalAccessToken", "privateKeyJWT", "clientCredentials"}
    assert any({"caBundle", "externalDomain"} <= spec.keys() for spec in specs)


def test_examples_show_how_many_writes_zitadel_gets() -> None:
    """The common example and the one for teams have the default."""
    for name in ("connections/pat.yaml", "multi-tenant/10-instance.yaml"):
        spec = yaml.safe_load((ROOT / "examples" / name).read_text())["spec"]
        assert spec["rateLimit"] == {"maxConcurrentWrites": 1}
