"""What a person and other tools see of stored objects, through the real kubectl."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
CRDS = ROOT / "deploy" / "crds"
API = "zitadel-notification.dev/v1alpha1"
WIDTH = 120
MANAGER = "a-test"

Json = dict[str, Any]

CONDITIONS = [
    {
        "type": kind,
        "status": "True",
        "reason": "Succeeded",
        "message": "The organization has what the spec asks for",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    for kind in ("Ready", "InSync")
]
POLICY_STATUS = {
    "observedGeneration": 1,
    "conditions": CONDITIONS,
    "organizationId": "280000000000000101",
    "organizationName": "ACME",
    "isDefault": False,
    "passwordChange": True,
    "sequence": str(2**64 - 1),
    "creationDate": "2026-01-01T00:00:00.000000Z",
    "changeDate": "2026-01-01T00:00:00.000000Z",
    "resourceOwner": "280000000000000101",
    "original": {"isDefault": True, "passwordChange": True},
    "lastHandledReconcileAt": "a" * 5000,
}
INSTANCE_STATUS = {
    "observedGeneration": 1,
    "conditions": CONDITIONS[:1],
    "instanceId": "280000000000000001",
    "policies": 12000,
    "lastHandledReconcileAt": "now",
}


def policy(name: str, **spec: Any) -> Json:
    """Return a policy of an organization; suspended, so that nobody serves it."""
    whole = {"scope": "Organization", "organization": {"id": "1"}, **spec}
    return {
        "apiVersion": API,
        "kind": "NotificationPolicy",
        "metadata": {"name": name},
        "spec": {"passwordChange": True, "suspend": True, **whole},
    }


@pytest.fixture
def instance(control_plane: ControlPlane) -> Iterator[str]:
    """A stored instance; removed again, because all tests would see it."""
    name = "a-zitadel-of-ours"
    ref = {"secretRef": {"name": "absent"}}
    spec = {
        "url": "https://z.example:8443",
        "credentials": {"personalAccessToken": ref},
    }
    body = {"apiVersion": API, "kind": "ZitadelInstance", "metadata": {"name": name}}
    control_plane.kubectl("create", "-f-", stdin=json.dumps({**body, "spec": spec}))
    yield name
    control_plane.kubectl("delete", "zni", name, "--wait=false")


def create(plane: ControlPlane, namespace: str, body: Json) -> Json:
    """Create an object and return it as stored."""
    arguments = ("create", "-f-", "-n", namespace, "--output=json")
    stored: Json = json.loads(plane.kubectl(*arguments, stdin=json.dumps(body)).stdout)
    return stored


def apply_status(
    plane: ControlPlane, body: Json, status: Json, manager: str = MANAGER
) -> Json:
    """Server-side apply a status and return the object as stored."""
    metadata = {k: v for k, v in body["metadata"].items() if k in {"name", "namespace"}}
    whole = {**{k: body[k] for k in ("apiVersion", "kind")}, "metadata": metadata}
    done = plane.kubectl(
        *("apply", "--server-side", "--subresource=status", "--force-conflicts"),
        *(f"--field-manager={manager}", "--output=json", "-f-"),
        stdin=json.dumps({**whole, "status": status}),
    )
    stored: Json = json.loads(done.stdout)
    return stored


def test_status_is_written_apart_from_the_spec(
    control_plane: ControlPlane, namespace: str
) -> None:
    """A create cannot bring one, and every field that we write stays."""
    stored = create(
        control_plane, namespace, {**policy("a"), "status": {"sequence": "1"}}
    )
    assert stored["status"] == {"observedGeneration": -1}
    written = apply_status(control_plane, stored, POLICY_STATUS)
    assert written["status"] == POLICY_STATUS
    assert written["metadata"]["generation"] == stored["metadata"]["generation"]
    assert written["spec"] == stored["spec"]


def test_status_of_an_instance(control_plane: ControlPlane, instance: str) -> None:
    """Every field that we write stays."""
    got = control_plane.kubectl("get", "zni", instance, "--output=json")
    written = apply_status(control_plane, json.loads(got.stdout), INSTANCE_STATUS)
    assert {n: written["status"][n] for n in INSTANCE_STATUS} == INSTANCE_STATUS


def test_conditions_are_a_map(control_plane: ControlPlane, namespace: str) -> None:
    """Somebody else's condition survives ours, and one that we drop goes."""
    stored = create(control_plane, namespace, policy("a"))
    theirs = {**CONDITIONS[0], "type": "example.com/Theirs"}
    apply_status(control_plane, stored, {"conditions": [theirs]}, "others")
    both = apply_status(control_plane, stored, {"conditions": CONDITIONS})
    assert len(both["status"]["conditions"]) == 3
    left = apply_status(control_plane, stored, {"conditions": CONDITIONS[:1]})
    types = {c["type"] for c in left["status"]["conditions"]}
    assert types == {"Ready", "example.com/Theirs"}


def test_columns_fit_the_screen(
    control_plane: ControlPlane, namespace: str, instance: str
) -> None:
    """Names, ids and conditions are readable on one line."""
    for body in (policy("the-organization-of-acme"), policy("b")):
        stored = create(control_plane, namespace, body)
        apply_status(control_plane, stored, POLICY_STATUS)
    where = ("get", "znp", "-n", namespace)
    head, *lines = control_plane.kubectl(*where).stdout.splitlines()
    assert head.split() == (
        [
            "NAME",
            "SCOPE",
            "ORGANIZATION",
            "PASSWORDCHANGE",
            "INSYNC",
            "READY",
            "REASON",
            "AGE",
        ]
    )
    assert max(len(line) for line in (head, *lines)) <= WIDTH
    first = ["Organization", "280000000000000101", *["true", "True", "True"]]
    assert lines[0].split()[1:-1] == [*first, "Succeeded"]
    wide = control_plane.kubectl(*where, "--output=wide").stdout.splitlines()
    assert {"DEFAULT", "MESSAGE", "SUSPENDED"} < set(wide[0].split())
    head, line = control_plane.kubectl("get", "zni", instance).stdout.splitlines()
    assert head.split() == ["NAME", "URL", "POLICIES", "READY", "REASON", "AGE"]
    assert max(len(head), len(line)) <= WIDTH


def test_kinds_are_found_by_short_name_category_and_field(
    control_plane: ControlPlane, namespace: str
) -> None:
    """`kubectl get zitadel` shows ours; policies can be picked by their spec."""
    create(control_plane, namespace, policy("a", instanceRef={"name": "eu"}))
    create(control_plane, namespace, policy("b", scope="Instance", organization=None))
    kubectl = control_plane.kubectl
    for selector, found in (
        ("spec.instanceRef.name=eu", "a"),
        ("spec.scope=Instance", "b"),
    ):
        where = ("-n", namespace, "--field-selector", selector, "--output=name")
        names = kubectl("get", "zitadel", *where[:2], "--output=name").stdout.split()
        assert {n.rpartition("/")[2] for n in names} >= {"a", "b"}
        assert kubectl("get", "znp", *where).stdout.split() == [
            f"notificationpolicy.zitadel-notification.dev/{found}"
        ]


def test_unknown_fields_are_refused_or_pruned(
    control_plane: ControlPlane, namespace: str
) -> None:
    """kubectl refuses them; who does not ask for that gets them removed."""
    text = json.dumps(policy("a", passwordChanged=True))
    where = ("create", "-f-", "-n", namespace, "--output=json")
    done = control_plane.kubectl(*where, stdin=text, check=False)
    assert done.returncode != 0
    assert 'unknown field "spec.passwordChanged"' in done.stderr
    done = control_plane.kubectl(*where, "--validate=false", stdin=text)
    assert "passwordChanged" not in json.loads(done.stdout)["spec"]


def test_a_deletion_can_be_steered_to_its_end(
    control_plane: ControlPlane, namespace: str
) -> None:
    """While it is deleted, deletionPolicy may change and the finalizer may go."""
    body = policy("a")
    body["metadata"]["finalizers"] = ["example.com/held"]
    create(control_plane, namespace, body)
    where = ("-n", namespace)
    control_plane.kubectl("delete", "znp", "a", *where, "--wait=false")
    for change in ({"spec": {"deletionPolicy": "Retain"}}, {"metadata": FREED}):
        text = json.dumps(change)
        control_plane.kubectl("patch", "znp", "a", *where, "--type=merge", "-p", text)
    gone = control_plane.kubectl("get", "znp", "a", *where, check=False)
    assert "NotFound" in gone.stderr


FREED = {"finalizers": None}


def test_explain_shows_every_field(control_plane: ControlPlane) -> None:
    """What is published is what the file says, word for word."""
    raw = control_plane.kubectl("get", "--raw", f"/openapi/v3/apis/{API}").stdout
    schemas = json.loads(raw)["components"]["schemas"]
    for file in CRDS.glob("*.yaml"):
        crd = yaml.safe_load(file.read_text())["spec"]
        schema = crd["versions"][0]["schema"]["openAPIV3Schema"]
        (name,) = (n for n in schemas if n.endswith(f".{crd['names']['kind']}"))
        for part in ("spec", "status"):
            published = list(descriptions(schemas[name]["properties"][part], part))
            assert published == list(descriptions(schema["properties"][part], part))
    done = control_plane.kubectl("explain", "znp.spec.deletionPolicy")
    assert "Reset removes the organization's own policy" in done.stdout


def descriptions(schema: Json, path: str) -> Iterator[tuple[str, str]]:
    """Yield each field and what is said about it."""
    yield path, schema.get("description", "")
    for name, node in sorted(schema.get("properties", {}).items()):
        yield from descriptions(node, f"{path}.{name}")
    if "items" in schema:
        yield from descriptions(schema["items"], f"{path}[]")


def test_files_can_be_applied_by_client_and_by_server(
    control_plane: ControlPlane,
) -> None:
    """The CRDs fit kubectl's annotation; the quick start is accepted as it stands."""
    trial = ("apply", "--dry-run=server")
    crds = control_plane.kubectl(*trial, "-f", str(CRDS)).stdout
    assert len(crds.splitlines()) == 2
    quickstart = str(ROOT / "examples" / "quickstart")
    assert len(control_plane.kubectl(*trial, "-f", quickstart).stdout.splitlines()) == 3
