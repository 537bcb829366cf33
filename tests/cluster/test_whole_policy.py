"""A ZITADEL with a flag that this version does not know, and a real API server.

POST and PUT replace ZITADEL's policy, and an absent flag means false. Whatever the
operator does, `emailChange` stays as people have set it.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.conftest import World
from support.running import EmulatorProcess
from support.waiting import eventually

POLICY = "/management/v1/policies/notification"
ADMIN = "/admin/v1/policies/notification"
INSTANCE = "flagged"
ON = {"passwordChange": True, "emailChange": True}


@pytest.fixture(scope="module")
def zitadel(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmulatorProcess]:
    """A separate emulator, whose instance has the other flag set."""
    emulator = EmulatorProcess(tmp_path_factory.mktemp("flagged"))
    with emulator.program:
        flags = {"emailChange": "bool", "retries": "uint64"}
        emulator.call("PUT", "/emulator/v1/policy-flags", flags)
        emulator.call("PUT", ADMIN, {**ON, "retries": "18446744073709551615"})
        world.instance(INSTANCE, emulator.url)
        world.wait_for("", INSTANCE, kind="zni")
        yield emulator
        world.plane.kubectl("delete", "zni", INSTANCE, "--wait=false")
        world.gone("zni", INSTANCE)


@pytest.fixture
def org(zitadel: EmulatorProcess, namespace: str) -> str:
    """An organization whose id is new in both emulators, which count as one ZITADEL."""
    made = {"name": namespace, "orgId": f"org-{namespace}"}
    zitadel.call("POST", "/v2/organizations", made)
    return made["orgId"]


def manage(world: World, namespace: str, name: str, org: str, **spec: Any) -> None:
    """Apply a policy of the organization, or of the instance."""
    whole = {"instanceRef": {"name": INSTANCE}, "passwordChange": False, **spec}
    if org:
        world.policy(namespace, name, org, **whole)
    else:
        whole = {"scope": "Instance", **whole}
        world.apply("NotificationPolicy", name, whole, namespace)


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
    world: World, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """POST has the inherited flags, PUT its own, and the end is a DELETE."""
    inherited = held(zitadel, org)
    others = {"emailChange": True, "retries": "18446744073709551615"}
    assert inherited == {"isDefault": True, "passwordChange": True, **others}
    manage(world, namespace, "p", org, deletionPolicy="Restore")
    body = world.wait_for(namespace, "p")
    assert held(zitadel, org) == others
    assert "emailChange" not in str(body["status"])
    assert "emailChange" not in str(body["metadata"]["annotations"])
    manage(world, namespace, "p", org, passwordChange=True, deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    assert held(zitadel, org) == {**ON, **others}
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    assert held(zitadel, org) == inherited
    *first, update, reset = bodies(zitadel, org)
    assert first == [{"emailChange": True, "retries": 2**64 - 1}]
    assert (update, reset) == ({"passwordChange": True}, {})


def test_restore_of_an_own_policy(
    world: World, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """The operator's flag goes back; the other one stays as somebody set it."""
    zitadel.call("POST", POLICY, {"passwordChange": True}, org)
    manage(world, namespace, "p", org, deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    assert held(zitadel, org) == {}
    zitadel.call("PUT", POLICY, {"emailChange": True}, org)
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    assert held(zitadel, org) == ON


def test_drift_beside_the_other_flag(
    world: World, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """The other flag alone is no drift, and a correction keeps it."""
    zitadel.call("POST", POLICY, {"emailChange": True}, org)
    manage(world, namespace, "p", org)
    world.wait_for(namespace, "p")
    sequence = zitadel.call("PUT", POLICY, {"retries": 3}, org)["details"]["sequence"]

    def status() -> dict[str, Any]:
        found: dict[str, Any] = (world.get("znp", "p", namespace) or {})["status"]
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
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)


def test_a_take_over_keeps_the_other_flag(
    world: World, namespace: str, zitadel: EmulatorProcess, org: str
) -> None:
    """The next owner writes only its own value, and restores the first one."""
    zitadel.call("POST", POLICY, ON, org)
    manage(world, namespace, "p", org, deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    successor = {"passwordChange": True, "deletionPolicy": "Restore"}
    manage(world, namespace, "q", org, **successor)
    world.wait_for(namespace, "q", ("False", "Conflict"))
    assert held(zitadel, org) == {"emailChange": True}
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    world.wait_for(namespace, "q")
    assert held(zitadel, org) == ON
    manage(world, namespace, "q", org, **{**successor, "passwordChange": False})
    world.wait_for(namespace, "q")
    assert held(zitadel, org) == {"emailChange": True}
    world.delete("q", namespace)
    world.gone("znp", "q", namespace)
    assert held(zitadel, org) == ON


def test_the_instance_from_update_to_restore(
    world: World, namespace: str, zitadel: EmulatorProcess
) -> None:
    """An update, drift with the other flag changed, and a restore."""
    others = {"isDefault": True, "retries": "18446744073709551615"}
    assert held(zitadel) == {**ON, **others}
    manage(world, namespace, "p", "", deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    assert held(zitadel) == {"emailChange": True, **others}
    zitadel.call("PUT", ADMIN, {"passwordChange": True, "retries": 2**64 - 1})
    eventually(lambda: held(zitadel) == others, 30, "the correction")
    zitadel.call("PUT", ADMIN, {"emailChange": True, "retries": 2**64 - 1})
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    assert held(zitadel) == {**ON, **others}
