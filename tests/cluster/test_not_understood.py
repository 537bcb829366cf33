"""Objects of a newer schema on a real API server, with a running operator.

Looser CRDs replace the real ones, like those of a newer version after the operator was
rolled back. Each test creates something that the older schema refused.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.replicas import Fleet, Replica
from support.running import OWN_NAMESPACE, EmulatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane

pytestmark = pytest.mark.timeout(900)

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"

PATIENCE = 120
"""Seconds that anything may take on a busy machine; none of it is about time."""

Json = dict[str, Any]


def loosened(crd: Json) -> Json:
    """Return a CRD that accepts anything in spec and status."""
    version = crd["spec"]["versions"][0]
    version.pop("selectableFields", None)
    anything = {"x-kubernetes-preserve-unknown-fields": True}
    version["schema"]["openAPIV3Schema"]["properties"] = {
        "spec": anything,
        "status": anything,
    }
    version["schema"]["openAPIV3Schema"].pop("required", None)
    version["schema"]["openAPIV3Schema"].pop("x-kubernetes-validations", None)
    return crd


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    folder = tmp_path_factory.mktemp("zitadel")
    emulator = EmulatorProcess(folder, 0, "--organizations", "20")
    with emulator.program:
        yield emulator


@pytest.fixture(scope="module")
def organizations(emulator: EmulatorProcess) -> list[str]:
    """The ids of the organizations, without the first two."""
    found = emulator.call("GET", "/emulator/v1/organizations")
    return [organization["id"] for organization in found][2:]


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A separate cluster whose CRDs refuse nothing."""
    with ControlPlane() as plane:
        plane.kubectl("create", "namespace", OWN_NAMESPACE)
        loose = [
            loosened(yaml.safe_load(file.read_text())) for file in CRDS.glob("*.yaml")
        ]
        whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": loose})
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=whole)
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        create_secret(plane, "token")
        yield plane


@pytest.fixture
def fleet(
    plane: ControlPlane, emulator: EmulatorProcess, tmp_path: Path
) -> Iterator[Fleet]:
    fleet = Fleet(plane, emulator, tmp_path)
    yield fleet
    fleet.stop()
    where = f"--namespace={OWN_NAMESPACE}"
    plane.kubectl("delete", "lease", "--all", where)


def start(fleet: Fleet) -> Replica:
    """Start a replica, and wait until it is the leader or a standby."""
    replica = fleet.start_one("15s")
    eventually(replica.process.is_ready, PATIENCE, "a replica is ready")
    eventually(fleet.holder, PATIENCE, "somebody leads")
    return replica


def apply(plane: ControlPlane, *objects: Json) -> None:
    documents = "\n---\n".join(map(json.dumps, objects))
    plane.kubectl("apply", "-f", "-", stdin=documents)


def instance(name: str, url: str, **spec: Any) -> Json:
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": name},
        "spec": {
            "url": url,
            "allowInsecureHTTP": True,
            "credentials": {"personalAccessToken": {"secretRef": {"name": "token"}}},
            "driftDetection": {"method": "Poll", "pollInterval": "10s"},
            **spec,
        },
    }


def policy(name: str, organization: str, **spec: Any) -> Json:
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": name, "namespace": OWN_NAMESPACE},
        "spec": {
            "scope": "Organization",
            "organization": {"id": organization},
            "passwordChange": True,
            **spec,
        },
    }


def read(plane: ControlPlane, kind: str, name: str) -> Json:
    where = () if kind == "zni" else (f"--namespace={OWN_NAMESPACE}",)
    text = plane.kubectl("get", kind, name, *where, "--output=json").stdout
    found: Json = json.loads(text)
    return found


def ready(plane: ControlPlane, name: str, kind: str = "znp") -> tuple[str, str, str]:
    """Return status, reason and message of Ready for the newest spec."""
    found = read(plane, kind, name)
    status = found.get("status")
    if not isinstance(status, dict):
        return "", "", ""
    for one in status.get("conditions", []):
        if one["type"] == "Ready":
            current = one["observedGeneration"] == found["metadata"]["generation"]
            return one["status"] if current else "", one["reason"], one["message"]
    return "", "", ""


def wait_for(happens: Callable[[], bool]) -> None:
    eventually(happens, PATIENCE, "what the test waits for")


def wait_ready(plane: ControlPlane, name: str) -> None:
    """Wait until a policy is Ready for its newest spec."""
    eventually(lambda: ready(plane, name)[0] == "True", PATIENCE, f"{name} is Ready")


def patch(plane: ControlPlane, name: str, change: Json, *arguments: str) -> None:
    where = (f"--namespace={OWN_NAMESPACE}", "--type=merge", *arguments)
    plane.kubectl("patch", "znp", name, *where, "--patch", json.dumps(change))


def value(emulator: EmulatorProcess, organization: str) -> bool | None:
    """Return an organization's own value, or None if it inherits."""
    found = emulator.policy(organization)
    return None if found.get("isDefault") else bool(found.get("passwordChange"))


BROKEN: dict[str, tuple[Json, str]] = {
    "scope": ({"scope": "Project"}, "spec.scope"),
    "management": ({"managementPolicy": "Audit"}, "spec.managementPolicy"),
    "deletion": ({"deletionPolicy": "Explode"}, "spec.deletionPolicy"),
    "nothing": ({"passwordChange": None}, "spec.passwordChange"),
    "text": ({"passwordChange": "true"}, "spec.passwordChange"),
    "both": ({"organization": {"name": "x"}}, "spec.organization"),
    "label": ({"organization": {"id": None, "label": "x"}}, "spec.organization"),
    "ref": ({"instanceRef": "default"}, "spec.instanceRef"),
}


def test_what_is_not_understood_stops_nobody(
    fleet: Fleet, emulator: EmulatorProcess, organizations: list[str]
) -> None:
    """Each object reports it; others, a restart and a take-over work.

    After the edit back each is Ready again; after a deletion each is gone.
    """
    plane = fleet.plane
    apply(plane, instance("default", emulator.url))
    first = start(fleet)
    second = start(fleet)
    for number, name in enumerate(BROKEN):
        apply(plane, policy(name, organizations[number]))
    apply(plane, policy("good", organizations[10]))
    for name in (*BROKEN, "good"):
        wait_ready(plane, name)
    for name, (change, _) in BROKEN.items():
        patch(plane, name, {"spec": change})
    _all_say_so(plane)
    # None of them goes back to its old spec: foreign changes stay.
    path = "/management/v1/policies/notification"
    emulator.call("PUT", path, {"passwordChange": False}, organizations[3])
    first.process.program.kill()
    eventually(lambda: fleet.holder() == second.name, PATIENCE, "a take-over")
    assert second.process.probe("health", "/readyz") == 200
    patch(plane, "good", {"spec": {"passwordChange": False}})
    eventually(
        lambda: value(emulator, organizations[10]) is False,
        PATIENCE,
        "the new one works",
    )
    _all_say_so(plane)
    assert value(emulator, organizations[3]) is False
    for name in ("text", "label"):
        spec = policy(name, organizations[list(BROKEN).index(name)])["spec"]
        whole = {**spec, "organization": {**spec["organization"], "label": None}}
        patch(plane, name, {"spec": whole})
        wait_ready(plane, name)
    plane.kubectl("delete", "znp", "--all", f"--namespace={OWN_NAMESPACE}")
    inherits = {n: value(emulator, organizations[k]) for k, n in enumerate(BROKEN)}
    kept = {name for name, value in inherits.items() if value is not None}
    assert kept == {"scope", "deletion", "ref"}  # the last three as with Retain


def _all_say_so(plane: ControlPlane) -> None:
    for name, (_, field) in BROKEN.items():

        def is_reported(name: str = name, field: str = field) -> bool:
            status, reason, message = ready(plane, name)
            return (status, reason) == ("False", "SpecNotUnderstood") and (
                field in message
            )

        eventually(is_reported, PATIENCE, f"{name} says {field}")


STATUSES: list[Json] = [
    {"conditions": "all well"},
    {"conditions": [{"type": "Ready", "status": "Maybe"}, {"type": "x"}]},
    {"organizationId": 5, "original": "none", "lastDrift": [], "sequence": {}},
    {"observedGeneration": "x", "passwordChange": "true"},
]


def test_a_broken_status_is_observed_anew(
    fleet: Fleet, emulator: EmulatorProcess, organizations: list[str]
) -> None:
    """It is complete again, and none of its values was used."""
    plane = fleet.plane
    apply(plane, instance("default", emulator.url), policy("p", organizations[11]))
    start(fleet)
    wait_ready(plane, "p")
    good = read(plane, "znp", "p")["status"]
    for status in STATUSES:
        patch(plane, "p", {"status": status}, "--subresource=status")

        def whole() -> bool:
            found = read(plane, "znp", "p")["status"]
            same = ("organizationId", "original", "sequence", "passwordChange")
            return isinstance(found["conditions"], list) and (
                {k: found.get(k) for k in same} == {k: good[k] for k in same}
                and "lastDrift" not in found
                and ready(plane, "p")[0] == "True"
            )

        eventually(whole, PATIENCE, f"a whole status after {status}")
    plane.kubectl("delete", "znp", "p", f"--namespace={OWN_NAMESPACE}")


def test_an_instance_that_is_not_understood(
    fleet: Fleet, emulator: EmulatorProcess, organizations: list[str]
) -> None:
    """Its policies say so, a deletion waits, and an edit resolves it."""
    plane = fleet.plane
    apply(plane, instance("default", emulator.url))
    apply(plane, policy("p", organizations[12]), policy("q", organizations[13]))
    start(fleet)
    for name in ("p", "q"):
        wait_ready(plane, name)
    newer = [{"namespaces": ["*"], "scopes": ["World"]}]
    apply(plane, instance("default", emulator.url, grants=newer))
    eventually(
        lambda: ready(plane, "default", "zni")[1] == "SpecNotUnderstood",
        PATIENCE,
        "the reason is reported",
    )
    assert "spec.grants.0.scopes" in ready(plane, "default", "zni")[2]
    plane.kubectl("delete", "znp", "q", f"--namespace={OWN_NAMESPACE}", "--wait=false")

    def is_reported(name: str) -> bool:
        _, reason, message = ready(plane, name)
        return reason == "InstanceNotReady" and "SpecNotUnderstood" in message

    eventually(
        lambda: is_reported("p") and is_reported("q"), PATIENCE, "reported by both"
    )
    assert value(emulator, organizations[13]) is True
    apply(plane, instance("default", emulator.url, grants=[]))
    wait_ready(plane, "p")
    eventually(
        lambda: value(emulator, organizations[13]) is None, PATIENCE, "the deletion"
    )
    plane.kubectl("delete", "znp", "--all", f"--namespace={OWN_NAMESPACE}")
    apply(plane, instance("default", emulator.url, credentials={"newer": {}}))
    plane.kubectl("delete", "zni", "default", f"--timeout={PATIENCE}s")
