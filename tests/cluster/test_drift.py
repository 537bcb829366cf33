"""Drift on the real servers: found by events, put right, told with who did it."""

import json
import time
from typing import Any

from cluster.conftest import World
from cluster.test_connections import credentials_of
from support.waiting import eventually

SEARCH = "/admin/v1/events/_search"
INTERVAL = 5.0


def instance(world: World, name: str, **drift: Any) -> None:
    """Apply an instance of its own, so that nobody else's events count."""
    settings = {"eventsInterval": "5s", "pollInterval": "10s", **drift}
    world.instance(name, world.emulator.url, driftDetection=settings)
    world.wait_for("", name, kind="zni")


def managed(world: World, namespace: str, name: str = "p") -> str:
    """Apply a policy through that instance; return its organization's id."""
    org = world.organization()
    world.policy(namespace, name, org, instanceRef={"name": namespace})
    world.wait_for(namespace, name)
    return org


def change(world: World, org: str, token: str, *, value: bool | None) -> None:
    """Change the organization's policy as somebody; None resets it."""
    call = ("DELETE", None) if value is None else ("PUT", {"passwordChange": value})
    path = "/management/v1/policies/notification"
    world.emulator.call(call[0], path, call[1], organization=org, token=token)


def test_a_change_of_others_is_put_right_and_told(world: World, namespace: str) -> None:
    """Within the interval and a second, with who it was in status and Event."""
    instance(world, namespace)
    org = managed(world, namespace)
    somebody = world.emulator.user("IAM_ORG_MANAGER", credential="token")
    time.sleep(INTERVAL + 1)
    start = time.monotonic()
    change(world, org, somebody["token"], value=False)
    eventually(lambda: world.emulator.policy(org).get("passwordChange"), 20)
    assert time.monotonic() - start < INTERVAL + 1
    body = eventually(
        lambda: (
            body
            if "lastDrift" in (body := world.get("znp", "p", namespace) or {})["status"]
            else None
        )
    )
    drift = body["status"]["lastDrift"]
    assert drift["editor"]["id"] == somebody["userId"]
    assert drift["from"] == {"isDefault": False, "passwordChange": False}
    assert drift["to"] == {"isDefault": False, "passwordChange": True}
    command = ("get", "events", "-n", namespace, "-o", "json")
    eventually(
        lambda: any(
            somebody["userId"] in event["note" if "note" in event else "message"]
            for event in json.loads(world.plane.kubectl(*command).stdout)["items"]
            if event["reason"] == "DriftCorrected"
        )
    )
    cursor = (world.get("zni", namespace) or {})["status"]["driftCursor"]
    assert cursor.endswith(org)


def test_a_reset_of_others_is_put_right(world: World, namespace: str) -> None:
    instance(world, namespace)
    org = managed(world, namespace)
    somebody = world.emulator.user("IAM_ORG_MANAGER", credential="token")
    time.sleep(INTERVAL + 1)
    change(world, org, somebody["token"], value=None)
    eventually(lambda: "isDefault" not in world.emulator.policy(org), 20)
    assert world.emulator.policy(org)["passwordChange"] is True


def test_an_idle_instance_costs_a_search_a_period(world: World, namespace: str) -> None:
    """With three policies as with one; nobody is looked at, nothing is written."""
    instance(world, namespace)
    orgs = [managed(world, namespace, f"p{number}") for number in range(3)]
    time.sleep(INTERVAL + 1)
    before = len(world.emulator.requests())
    version = (world.get("zni", namespace) or {})["metadata"]["resourceVersion"]
    time.sleep(3 * INTERVAL)
    new = world.emulator.requests()[before:]
    assert not [request for request in new if request["organization"] in orgs]
    searches = [request for request in new if request["path"] == SEARCH]
    # The other instances of this world search as often.
    names = world.plane.kubectl("get", "zni", "-o", "name").stdout.split()
    assert 1 <= len(searches) <= 4 * len(names)
    after = (world.get("zni", namespace) or {})["metadata"]["resourceVersion"]
    assert after == version


def test_without_the_permission_it_is_polled(world: World, namespace: str) -> None:
    """A credential that may not read events finds drift nevertheless."""
    org = world.organization()
    made = world.emulator.user("IAM_ORG_MANAGER", credential="token")
    credentials = credentials_of(world, f"s-{namespace}", made)
    world.instance(
        namespace,
        world.emulator.url,
        credentials=credentials,
        driftDetection={"method": "Events", "pollInterval": "10s"},
    )
    world.wait_for("", namespace, kind="zni")
    world.policy(namespace, "p", org, instanceRef={"name": namespace})
    world.wait_for(namespace, "p")
    change(world, org, "", value=False)
    eventually(lambda: world.emulator.policy(org).get("passwordChange"), 20)
    body = eventually(
        lambda: (
            body
            if "lastDrift" in (body := world.get("znp", "p", namespace) or {})["status"]
            else None
        )
    )
    assert "editor" not in body["status"]["lastDrift"]


def test_another_writer_makes_it_contested(world: World, namespace: str) -> None:
    """Five corrections, then a pause; InSync says so, and Ready stays True."""
    instance(world, namespace)
    org = managed(world, namespace)

    def contested() -> bool:
        if world.emulator.policy(org).get("passwordChange"):
            change(world, org, "", value=False)
        found = world.condition("znp", "p", namespace, "InSync")
        return found == ("False", "Contested")

    eventually(contested, 60)
    assert world.condition("znp", "p", namespace, "Ready") == ("True", "Succeeded")
    writes = [w for w in world.emulator.writes() if w[2] == org and w[0] == "PUT"]
    assert len(writes) <= 2 * 6
    patch = '{"spec":{"passwordChange":false}}'
    command = ("patch", "znp", "p", "-n", namespace, "--type=merge", "-p", patch)
    world.plane.kubectl(*command)
    world.wait_for(namespace, "p", ("True", "InSync"), "InSync")
