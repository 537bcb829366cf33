"""A ZITADEL with a flag that this version does not know, and a real API server.

POST and PUT replace ZITADEL's policy, and an absent flag means false. Whatever the
operator does, `emailChange` stays as people have set it.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.conftest import System
from support.running import EmulatorProcess
from support.waiting import eventually

POLICY = "/management/v1/policies/notification"
ADMIN = "/admin/v1/policies/notification"
INSTANCE = "flagged"
ON = {"passwordChange": True, "emailChange": True}


@pytest.fixture(scope="module")
def zitadel(
    system: System, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmulatorProcess]:
    """A separate emulator, whose instance has the other flag set."""
    emulator = EmulatorProcess(tmp_path_factory.mktemp("flagged"))
    with emulator.program:
        flags = {"emailChange": "bool", "retries": "uint64"}
        emulator.call("PUT", "/emulator/v1/policy-flags", flags)
        emulator.call("PUT", ADMIN, {**ON, "retries": "18446744073709551615"})
        system.instance(INSTANCE, emulator.url)
        system.wait_for("", INSTANCE, kind="zni")
        yield emulator
        system.plane.kubectl("delete", "zni", INSTANCE, "--wait=false")
        system.gone("zni", INSTANCE)


@pytest.fixture
def org(zitadel: EmulatorProcess, namespace: str) -> str:
    """An organization whose id is new in both emulators, which count as one ZITADEL."""
    made = {"name": namespace, "orgId": f"org-{namespace}"}
    zitadel.call("POST", "/v2/organizations", made)
    return made["orgId"]


def manage(system: System, namespace: str, name: str, org: str, **spec: Any) -> None:
    """Apply a policy of the organization, or of the instance."""
    whole = {"instanceRef": {"name": INSTANCE}, "passwordChange": False, **spec}
    if org:
        system.policy(namespace, name, org, **whole)
    else:
        whole = {"scope": "Instance", **whole}
        system.apply("NotificationPolicy", name, whole, namespace)


def held(zitadel: EmulatorProcess, org: str = "") -> dict[str, Any]:
    """Return the policy in force without its details."""
    found = zitadel.policy(org)
    del found["details"]
    return found


def bodies(zitadel: EmulatorProcess, owner: str) -> list[Any]:
    """Return the payloads of a policy's events, oldest first."""
    log = zitadel.call("GET", f"/emulator/v1/events?aggregate={owner}")
    return [
        event["payload"] for event in log if ".policy.notification." in event["type"]
    ]


def test_an_organization_from_create_to_restore(
    system: System, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """POST has the inherited flags, PUT its own, and the end is a DELETE."""
    inherited = held(zitadel, org)
    others = {"emailChange": True, "retries": "18446744073709551615"}
    assert inherited == {"isDefault": True, "passwordChange": True, **others}
    manage(system, namespace, "p", org, deletionPolicy="Restore")
    body = system.wait_for(namespace, "p")
    assert held(zitadel, org) == others
    assert "emailChange" not in str(body["status"])
    assert "emailChange" not in str(body["metadata"]["annotations"])
    manage(system, namespace, "p", org, passwordChange=True, deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    assert held(zitadel, org) == {**ON, **others}
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert held(zitadel, org) == inherited
    *first, update, reset = bodies(zitadel, org)
    assert first == [{"emailChange": True, "retries": 2**64 - 1}]
    assert (update, reset) == ({"passwordChange": True}, {})


def test_restore_of_an_own_policy(
    system: System, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """The operator's flag goes back; the other one stays as somebody set it."""
    zitadel.call("POST", POLICY, {"passwordChange": True}, org)
    manage(system, namespace, "p", org, deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    assert held(zitadel, org) == {}
    zitadel.call("PUT", POLICY, {"emailChange": True}, org)
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert held(zitadel, org) == ON


def test_drift_beside_the_other_flag(
    system: System, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """The other flag alone is no drift, and a correction keeps it."""
    zitadel.call("POST", POLICY, {"emailChange": True}, org)
    manage(system, namespace, "p", org)
    system.wait_for(namespace, "p")
    sequence = zitadel.call("PUT", POLICY, {"retries": 3}, org)["details"]["sequence"]

    def status() -> dict[str, Any]:
        found: dict[str, Any] = (system.get("znp", "p", namespace) or {})["status"]
        return found

    eventually(lambda: status()["sequence"] == sequence, 30, "the new sequence")
    assert "lastDrift" not in status()
    assert held(zitadel, org) == {"retries": "3"}
    zitadel.call("PUT", POLICY, {**ON, "retries": 3}, org)
    wanted = {"emailChange": True, "retries": "3"}
    eventually(lambda: held(zitadel, org) == wanted, 30, "the correction")
    drift = eventually(lambda: status().get("lastDrift"))
    assert drift["from"] == {"isDefault": False, "passwordChange": True}
    zitadel.call("DELETE", POLICY, organization=org)
    others = {"emailChange": True, "retries": "18446744073709551615"}
    eventually(lambda: held(zitadel, org) == others, 30, "a new policy of its own")
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)


def test_a_take_over_keeps_the_other_flag(
    system: System, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """The next owner writes only its own value, and restores the first one."""
    zitadel.call("POST", POLICY, ON, org)
    manage(system, namespace, "p", org, deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    successor = {"passwordChange": True, "deletionPolicy": "Restore"}
    manage(system, namespace, "q", org, **successor)
    system.wait_for(namespace, "q", ("False", "Conflict"))
    assert held(zitadel, org) == {"emailChange": True}
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    system.wait_for(namespace, "q")
    assert held(zitadel, org) == ON
    manage(system, namespace, "q", org, **{**successor, "passwordChange": False})
    system.wait_for(namespace, "q")
    assert held(zitadel, org) == {"emailChange": True}
    system.delete("q", namespace)
    system.gone("znp", "q", namespace)
    assert held(zitadel, org) == ON


def test_the_instance_from_update_to_restore(
    system: System, namespace: str, zitadel: EmulatorProcess
) -> None:
    """An update, drift with the other flag changed, and a restore."""
    others = {"isDefault": True, "retries": "18446744073709551615"}
    assert held(zitadel) == {**ON, **others}
    manage(system, namespace, "p", "", deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    assert held(zitadel) == {"emailChange": True, **others}
    zitadel.call("PUT", ADMIN, {"passwordChange": True, "retries": 2**64 - 1})
    eventually(lambda: held(zitadel) == others, 30, "the correction")
    zitadel.call("PUT", ADMIN, {"emailChange": True, "retries": 2**64 - 1})
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert held(zitadel) == {**ON, **others}
