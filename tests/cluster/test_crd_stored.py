"""What people and tools see of stored objects, through the real kubectl.

The kinds are copied into a separate API group, because an operator that other tests
have started serves the real ones: it would write beside the test, and every status is
checked there.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
CRDS = ROOT / "deploy" / "crds"
GROUP = "zitadel-notification.dev"
COPY = "crd-stored.example"
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
SET_STATUS = {
    "observedGeneration": 1,
    "conditions": CONDITIONS,
    "organizations": {
        "matched": 1200,
        "ready": 1190,
        "overridden": 2,
        "failed": 8,
        "pending": 0,
        "drifted": 3,
        "removing": 37,
    },
    "failures": [
        {
            "organizationId": f"28000000000000{number}",
            "organizationName": "株" * 1024,
            "policy": f"customers-28000000000000{number}",
            "reason": "Conflict",
            "message": "m" * 32768,
        }
        for number in range(10)
    ],
    "removal": {"count": 37, "digest": "0123456789abcdef"},
    "lastHandledReconcileAt": "a" * 5000,
}
INSTANCE_STATUS = {
    "observedGeneration": 1,
    "conditions": CONDITIONS[:1],
    "instanceId": "280000000000000001",
    "version": "v4.7.0",
    "user": {"id": "281000000000000001", "name": "notification-operator"},
    "capabilities": {
        "readEvents": True,
        "writeInstancePolicy": False,
        "listOrganizations": True,
    },
    "credentialExpiresAt": "2027-01-01T00:00:00Z",
    "policies": 12000,
    "lastHandledReconcileAt": "now",
}


def policy(name: str, **spec: Any) -> Json:
    """Return a policy of an organization."""
    target = {"scope": "Organization", "organization": {"id": "1"}}
    return {
        "apiVersion": f"{COPY}/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": name},
        "spec": {**target, "passwordChange": True, **spec},
    }


def policy_set(name: str, **spec: Any) -> Json:
    """Return a set that selects all organizations."""
    return {
        "apiVersion": f"{COPY}/v1alpha1",
        "kind": "NotificationPolicySet",
        "metadata": {"name": name},
        "spec": {"organizations": {"all": True}, "passwordChange": True, **spec},
    }


def zitadel(name: str, credential: str = "personalAccessToken") -> Json:
    """Return an instance."""
    ref = {"secretRef": {"name": "absent"}}
    return {
        "apiVersion": f"{COPY}/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": name},
        "spec": {
            "url": "https://zitadel.example.com:8443",
            "credentials": {credential: ref},
        },
    }


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with a copy of the kinds that no operator serves."""
    texts = [file.read_text() for file in sorted(CRDS.glob("*.yaml"))]
    copies = [yaml.safe_load(text.replace(GROUP, COPY)) for text in texts]
    for crd in copies:
        crd["spec"]["names"] |= {"shortNames": [], "categories": []}
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": copies})
    control_plane.kubectl("create", "-f-", stdin=body)
    names = [crd["metadata"]["name"] for crd in copies]
    control_plane.kubectl("wait", "--for=condition=Established", "crd", *names)
    yield control_plane
    control_plane.kubectl("delete", "crd", *names)


def create(plane: ControlPlane, namespace: str, body: Json) -> Json:
    """Create an object and return it."""
    arguments = ("create", "-f-", "-n", namespace, "--output=json")
    stored: Json = json.loads(plane.kubectl(*arguments, stdin=json.dumps(body)).stdout)
    return stored


def apply_status(
    plane: ControlPlane, body: Json, status: Json, manager: str = MANAGER
) -> Json:
    """Apply a status server-side and return the object."""
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
    plane: ControlPlane, namespace: str
) -> None:
    """A create cannot contain a status; every field that we write stays."""
    stored = create(plane, namespace, {**policy("a"), "status": {"sequence": "1"}})
    assert stored["status"] == {"observedGeneration": -1}
    written = apply_status(plane, stored, POLICY_STATUS)
    assert written["status"] == POLICY_STATUS
    assert written["metadata"]["generation"] == stored["metadata"]["generation"]
    assert written["spec"] == stored["spec"]


def test_status_of_a_set(plane: ControlPlane, namespace: str) -> None:
    """Every field that we write stays; one that the next apply leaves out goes."""
    stored = create(plane, namespace, policy_set("a"))
    assert stored["status"] == {"observedGeneration": -1}
    written = apply_status(plane, stored, SET_STATUS)
    assert written["status"] == SET_STATUS
    assert written["metadata"]["generation"] == stored["metadata"]["generation"]
    known = ("observedGeneration", "conditions", "organizations")
    left = {name: SET_STATUS[name] for name in known}
    assert apply_status(plane, stored, left)["status"] == left


def test_status_of_an_instance(plane: ControlPlane, namespace: str) -> None:
    """Every field that we write stays."""
    stored = create(plane, namespace, zitadel("a"))
    assert stored["status"] == {"observedGeneration": -1}
    written = apply_status(plane, stored, INSTANCE_STATUS)
    assert written["status"] == INSTANCE_STATUS


def test_status_of_an_instance_forgets(plane: ControlPlane, namespace: str) -> None:
    """A field that the next apply leaves out is removed."""
    stored = create(plane, namespace, zitadel("forgetful"))
    apply_status(plane, stored, INSTANCE_STATUS)
    known = ("observedGeneration", "conditions", "instanceId", "policies")
    left = {name: INSTANCE_STATUS[name] for name in known}
    assert apply_status(plane, stored, left)["status"] == left


def test_conditions_are_a_map(plane: ControlPlane, namespace: str) -> None:
    """Somebody else's condition survives ours, and a dropped one is removed."""
    stored = create(plane, namespace, policy("a"))
    theirs = {**CONDITIONS[0], "type": "example.com/Theirs"}
    apply_status(plane, stored, {"conditions": [theirs]}, "others")
    both = apply_status(plane, stored, {"conditions": CONDITIONS})
    assert len(both["status"]["conditions"]) == 3
    left = apply_status(plane, stored, {"conditions": CONDITIONS[:1]})
    types = {c["type"] for c in left["status"]["conditions"]}
    assert types == {"Ready", "example.com/Theirs"}


def table(plane: ControlPlane, plural: str, *arguments: str) -> list[str]:
    """Return the lines that `kubectl get` prints."""
    done = plane.kubectl("get", f"{plural}.{COPY}", *arguments)
    return done.stdout.splitlines()


def test_columns_of_policies_fit_the_screen(
    plane: ControlPlane, namespace: str
) -> None:
    """Names, ids and conditions fit on one line; texts need `-o wide`."""
    stored = create(plane, namespace, policy("the-organization-of-acme"))
    apply_status(plane, stored, POLICY_STATUS)
    head, line = table(plane, "notificationpolicies", "-n", namespace)
    narrow = "NAME SCOPE ORGANIZATION PASSWORDCHANGE INSYNC READY REASON AGE"
    assert " ".join(head.split()) == narrow
    assert max(len(head), len(line)) <= WIDTH
    shown = "Organization 280000000000000101 true True True Succeeded"
    assert " ".join(line.split()[1:-1]) == shown
    wide = table(plane, "notificationpolicies", "-n", namespace, "--output=wide")
    assert {"DEFAULT", "MESSAGE", "SUSPENDED"} < set(wide[0].split())
    assert str(CONDITIONS[0]["message"]) in wide[1]


def test_columns_of_sets_fit_the_screen(plane: ControlPlane, namespace: str) -> None:
    """They show how many match and fail; texts need `-o wide`."""
    stored = create(plane, namespace, policy_set("all-customers-of-the-platform"))
    apply_status(plane, stored, SET_STATUS)
    head, line = table(plane, "notificationpolicysets", "-n", namespace)
    narrow = "NAME MATCHED FAILED PASSWORDCHANGE INSYNC READY REASON AGE"
    assert " ".join(head.split()) == narrow
    assert max(len(head), len(line)) <= WIDTH
    assert " ".join(line.split()[1:-1]) == "1200 8 true True True Succeeded"
    wide = table(plane, "notificationpolicysets", "-n", namespace, "--output=wide")
    assert {"MESSAGE", "SUSPENDED"} < set(wide[0].split())
    assert str(CONDITIONS[0]["message"]) in wide[1]


def test_columns_of_instances_fit_the_screen(
    plane: ControlPlane, namespace: str
) -> None:
    """They show the url, the number of policies, and the condition."""
    stored = create(plane, namespace, zitadel("production"))
    apply_status(plane, stored, INSTANCE_STATUS)
    head, line = table(plane, "zitadelinstances", "production")
    assert " ".join(head.split()) == "NAME URL POLICIES READY REASON AGE"
    assert max(len(head), len(line)) <= WIDTH
    shown = "production https://zitadel.example.com:8443 12000 True Succeeded"
    assert " ".join(line.split()[:-1]) == shown
    wide = table(plane, "zitadelinstances", "production", "--output=wide")
    assert {"INSTANCE-ID", "VERSION", "USER", "MESSAGE"} < set(wide[0].split())
    assert {"v4.7.0", "notification-operator"} < set(wide[1].split())


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client", "server"])
def test_another_kind_of_credential_can_be_applied(
    plane: ControlPlane, way: tuple[str, ...]
) -> None:
    """Any kind of apply removes the old one with its defaults."""
    name = "-".join(("moved", *(w.strip("-") for w in way)))
    for kind in ("personalAccessToken", "privateKeyJWT", "clientCredentials"):
        text = json.dumps(zitadel(name, kind))
        done = plane.kubectl("apply", *way, "-f-", "--output=json", stdin=text)
        assert list(json.loads(done.stdout)["spec"]["credentials"]) == [kind]


def test_unknown_fields_are_refused_or_pruned(
    plane: ControlPlane, namespace: str
) -> None:
    """kubectl refuses them; without strict validation they are pruned."""
    text = json.dumps(policy("a", passwordChanged=True))
    where = ("create", "-f-", "-n", namespace, "--output=json")
    done = plane.kubectl(*where, stdin=text, check=False)
    assert done.returncode != 0
    assert 'unknown field "spec.passwordChanged"' in done.stderr
    done = plane.kubectl(*where, "--validate=false", stdin=text)
    assert "passwordChanged" not in json.loads(done.stdout)["spec"]


def test_a_deletion_can_be_steered_to_its_end(
    plane: ControlPlane, namespace: str
) -> None:
    """During it deletionPolicy may change and the finalizer may go."""
    body = policy("a")
    body["metadata"]["finalizers"] = ["example.com/held"]
    create(plane, namespace, body)
    where = (f"notificationpolicies.{COPY}", "a", "-n", namespace)
    plane.kubectl("delete", *where, "--wait=false")
    freed = {"metadata": {"finalizers": None}}
    for change in ({"spec": {"deletionPolicy": "Retain"}}, freed):
        plane.kubectl("patch", *where, "--type=merge", "-p", json.dumps(change))
    gone = plane.kubectl("get", *where, check=False)
    assert "NotFound" in gone.stderr


ROUNDED = "2.80000000000000101e+17"


def test_a_rounded_id_that_was_stored_before_can_be_edited(
    plane: ControlPlane, namespace: str
) -> None:
    """The rule is newer: spec, status and metadata may still change."""
    crd = f"notificationpolicies.{COPY}"
    whole = json.loads(plane.kubectl("get", "crd", crd, "--output=json").stdout)
    spec: Json = {"versions": whole["spec"]["versions"]}
    looser = json.loads(json.dumps(spec))
    id_ = _schema_of_the_id(looser)
    id_["x-kubernetes-validations"] = id_["x-kubernetes-validations"][:1]
    _set_versions(plane, crd, looser)
    try:
        stored = create(plane, namespace, policy("a", organization={"id": ROUNDED}))
    finally:
        _set_versions(plane, crd, spec)
    refused = {"organization": {"id": ROUNDED}}
    done = plane.kubectl(
        *("create", "-f-", "-n", namespace),
        stdin=json.dumps(policy("b", **refused)),
        check=False,
    )
    assert "in quotes in YAML" in done.stderr
    where = (crd, "a", "-n", namespace, "--type=merge", "-p")
    held = {"metadata": {"finalizers": ["example.com/held"]}}
    free = {"metadata": {"finalizers": None}}
    for change in ({"spec": {"passwordChange": False}}, held, free):
        plane.kubectl("patch", *where, json.dumps(change))
    written = apply_status(plane, stored, POLICY_STATUS)
    assert written["status"] == POLICY_STATUS
    assert written["spec"]["organization"] == {"id": ROUNDED}


def _schema_of_the_id(spec: Json) -> Json:
    schema = spec["versions"][0]["schema"]["openAPIV3Schema"]
    organization = schema["properties"]["spec"]["properties"]["organization"]
    found: Json = organization["properties"]["id"]
    return found


def _set_versions(plane: ControlPlane, crd: str, spec: Json) -> None:
    """Replace the schema, and wait until the API server uses it."""
    patch = json.dumps({"spec": spec})
    plane.kubectl("patch", "crd", crd, "--type=merge", "-p", patch)
    rules = len(_schema_of_the_id(spec)["x-kubernetes-validations"])
    probe = json.dumps(policy("probe", organization={"id": ROUNDED}))

    def refuses() -> bool:
        arguments = ("create", "-f-", "--dry-run=server", "--namespace=default")
        return plane.kubectl(*arguments, stdin=probe, check=False).returncode != 0

    eventually(lambda: refuses() is (rules > 1), 30, "the other schema")
