"""Drift on real servers: found by events, corrected, reported with its editor."""

import json
import time
from typing import Any

import pytest

from cluster.conftest import World
from cluster.test_connections import credentials_of
from support.kube_calls import read_all
from support.running import OperatorProcess
from support.waiting import eventually

pytestmark = pytest.mark.clock

SEARCH = "/admin/v1/events/_search"
INTERVAL = 5.0


def instance(world: World, name: str, **drift: Any) -> None:
    """Apply a separate instance, so that the events of other tests do not count."""
    settings = {"eventsInterval": "5s", "pollInterval": "10s", **drift}
    world.instance(name, world.emulator.url, driftDetection=settings)
    world.wait_for("", name, kind="zni")


def managed(world: World, namespace: str, name: str = "p") -> str:
    """Apply a policy of that instance; return its organization's id."""
    org = world.organization()
    world.policy(namespace, name, org, instanceRef={"name": namespace})
    world.wait_for(namespace, name)
    return org


def change(world: World, org: str, token: str, *, value: bool | None) -> None:
    """Change the organization's policy as somebody else; None resets it."""
    call = ("DELETE", None) if value is None else ("PUT", {"passwordChange": value})
    path = "/management/v1/policies/notification"
    world.emulator.call(call[0], path, call[1], organization=org, token=token)


def test_a_change_of_others_is_corrected_and_reported(
    world: World, namespace: str
) -> None:
    """It takes the interval and a second; status and Event name the editor."""
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
    eventually(
        lambda: any(
            somebody["userId"] in event["note"]
            for event in read_all(world.plane, "event", namespace)
            if event["reason"] == "DriftCorrected"
        )
    )
    cursor = (world.get("zni", namespace) or {})["status"]["driftCursor"]
    assert cursor.endswith(org)


def test_a_reset_of_others_is_corrected(world: World, namespace: str) -> None:
    instance(world, namespace)
    org = managed(world, namespace)
    somebody = world.emulator.user("IAM_ORG_MANAGER", credential="token")
    time.sleep(INTERVAL + 1)
    change(world, org, somebody["token"], value=None)
    eventually(lambda: "isDefault" not in world.emulator.policy(org), 20)
    assert world.emulator.policy(org)["passwordChange"] is True


def test_an_idle_instance_costs_a_search_a_period(world: World, namespace: str) -> None:
    """Three policies cost as much as one: no GET, no write."""
    instance(world, namespace)
    orgs = [managed(world, namespace, f"p{number}") for number in range(3)]
    time.sleep(INTERVAL + 1)
    before = len(world.emulator.requests())
    version = (world.get("zni", namespace) or {})["metadata"]["resourceVersion"]
    time.sleep(3 * INTERVAL)
    new = world.emulator.requests()[before:]
    assert not [request for request in new if request["organization"] in orgs]
    searches = [request for request in new if request["path"] == SEARCH]
    # The other instances of this world search equally often.
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


FAULTS: dict[str, dict[str, Any]] = {
    "limited": {"status": 429, "body": "slower", "headers": {"Retry-After": "30"}},
    "empty": {"status": 200, "body": "{}"},
}
"""Of the event search; more ways to fail are tried on a virtual clock."""


@pytest.mark.timeout(300)
@pytest.mark.clock
@pytest.mark.parametrize("what", FAULTS)
def test_polled_while_events_cannot_be_used_and_back(
    world: World, namespace: str, what: str
) -> None:
    """Only the instance reports it, and stays Ready (issue 13)."""
    name = namespace
    instance(world, name, method="Events")
    org = managed(world, name)
    # Other instances of this world search, too: each reports it, and recovers.
    world.emulator.call("POST", "/emulator/v1/faults", {"path": SEARCH, **FAULTS[what]})
    try:
        body = eventually(
            lambda: (
                body
                if (body := world.get("zni", name) or {})["status"]["driftDetection"]
                != {"method": "Events", "reason": ""}
                else None
            ),
            90,
            "polling is reported",
        )
        detection = body["status"]["driftDetection"]
        assert detection["method"] == "Poll"
        assert detection["reason"].partition(":")[0].isalpha()
        assert detection["reason"].endswith("; polling takes 10s a round")
        change(world, org, "", value=False)
        eventually(lambda: world.emulator.policy(org).get("passwordChange"), 30)
        assert world.condition("zni", name, "", "Ready") == ("True", "Succeeded")
        assert world.condition("znp", "p", name, "Ready") == ("True", "Succeeded")
        assert event_reasons(world, name) == {"DriftEventsUnreadable"}
    finally:
        world.emulator.call("DELETE", "/emulator/v1/faults")
    eventually(
        lambda: (
            (world.get("zni", name) or {})["status"]["driftDetection"]
            == {"method": "Events", "reason": ""}
        ),
        90,
        "events are read again",
    )
    eventually(lambda: "DriftEventsReadable" in event_reasons(world, name))
    time.sleep(INTERVAL + 1)
    change(world, org, "", value=False)
    eventually(lambda: world.emulator.policy(org).get("passwordChange"), 30)


def event_reasons(world: World, name: str) -> set[str]:
    """Return the reasons of the Events about an instance's drift detection."""
    command = ("get", "events", "-n", "default", "-o", "json")
    return {
        event["reason"]
        for event in json.loads(world.plane.kubectl(*command).stdout)["items"]
        if event["involvedObject"]["name"] == name
        and event["reason"].startswith("DriftEvents")
    }


def test_drift_during_an_outage_in_the_first_seconds_is_found(
    world: World, namespace: str
) -> None:
    """The first status has the cursor, so a kill after it loses nothing."""
    instance(world, namespace, eventsInterval="1h", pollInterval="24h")
    org = managed(world, namespace)
    status = (world.get("zni", namespace) or {})["status"]
    assert status["driftCursor"]
    assert status["driftDetection"] == {"method": "Events", "reason": ""}
    world.operator.program.kill()
    change(world, org, "", value=False)
    world.operator = OperatorProcess(world.plane, world.folder)
    world.operator.wait_ready()
    eventually(lambda: world.emulator.policy(org).get("passwordChange"), 20)
