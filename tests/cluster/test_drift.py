"""Drift on real servers: found by events, corrected, reported with its editor."""

import time
from typing import Any

import pytest

from cluster.conftest import System
from cluster.test_connections import credentials_of
from support.kube_calls import read_all
from support.running import OperatorProcess
from support.waiting import eventually

pytestmark = pytest.mark.clock

SEARCH = "/admin/v1/events/_search"
INTERVAL = 5.0


def instance(system: System, name: str, **drift: Any) -> None:
    """Apply a separate instance, so that the events of other tests do not count."""
    settings = {"eventsInterval": "5s", "pollInterval": "10s", **drift}
    system.instance(name, system.emulator.url, driftDetection=settings)
    system.wait_for("", name, kind="zni")


def managed(system: System, namespace: str, name: str = "p") -> str:
    """Apply a policy of that instance; return its organization's id."""
    org = system.organization()
    system.policy(namespace, name, org, instanceRef={"name": namespace})
    system.wait_for(namespace, name)
    return org


def change(system: System, org: str, token: str, *, value: bool | None) -> None:
    """Change the organization's policy as somebody else; None resets it."""
    call = ("DELETE", None) if value is None else ("PUT", {"passwordChange": value})
    path = "/management/v1/policies/notification"
    system.emulator.call(call[0], path, call[1], organization=org, token=token)


def test_a_change_of_others_is_corrected_and_reported(
    system: System, namespace: str
) -> None:
    """It takes the interval and a second; status and Event name the editor."""
    instance(system, namespace)
    org = managed(system, namespace)
    somebody = system.emulator.user("IAM_ORG_MANAGER", credential="token")
    time.sleep(INTERVAL + 1)
    start = time.monotonic()
    change(system, org, somebody["token"], value=False)
    eventually(lambda: system.emulator.policy(org).get("passwordChange"), 20)
    assert time.monotonic() - start < INTERVAL + 1
    body = eventually(
        lambda: (
            body
            if "lastDrift"
            in (body := system.get("znp", "p", namespace) or {})["status"]
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
            for event in read_all(system.plane, "event", namespace)
            if event["reason"] == "DriftCorrected"
        )
    )
    cursor = (system.get("zni", namespace) or {})["status"]["driftCursor"]
    assert cursor.endswith(org)


def test_a_reset_of_others_is_corrected(system: System, namespace: str) -> None:
    instance(system, namespace)
    org = managed(system, namespace)
    somebody = system.emulator.user("IAM_ORG_MANAGER", credential="token")
    time.sleep(INTERVAL + 1)
    change(system, org, somebody["token"], value=None)
    eventually(lambda: "isDefault" not in system.emulator.policy(org), 20)
    assert system.emulator.policy(org)["passwordChange"] is True


def test_an_idle_instance_costs_a_search_a_period(
    system: System, namespace: str
) -> None:
    """Three policies cost as much as one: no GET, no write."""
    instance(system, namespace)
    orgs = [managed(system, namespace, f"p{number}") for number in range(3)]
    time.sleep(INTERVAL + 1)
    before = len(system.emulator.requests())
    version = (system.get("zni", namespace) or {})["metadata"]["resourceVersion"]
    time.sleep(3 * INTERVAL)
    new = system.emulator.requests()[before:]
    assert not [request for request in new if request["organization"] in orgs]
    searches = [request for request in new if request["path"] == SEARCH]
    # The other instances of this world search equally often.
    names = system.plane.kubectl("get", "zni", "-o", "name").stdout.split()
    assert 1 <= len(searches) <= 4 * len(names)
    after = (system.get("zni", namespace) or {})["metadata"]["resourceVersion"]
    assert after == version


def test_without_the_permission_it_is_polled(system: System, namespace: str) -> None:
    """A credential that may not read events finds drift nevertheless."""
    org = system.organization()
    made = system.emulator.user("IAM_ORG_MANAGER", credential="token")
    credentials = credentials_of(system, f"s-{namespace}", made)
    system.instance(
        namespace,
        system.emulator.url,
        credentials=credentials,
        driftDetection={"method": "Events", "pollInterval": "10s"},
    )
    system.wait_for("", namespace, kind="zni")
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    change(system, org, "", value=False)
    eventually(lambda: system.emulator.policy(org).get("passwordChange"), 20)
    body = eventually(
        lambda: (
            body
            if "lastDrift"
            in (body := system.get("znp", "p", namespace) or {})["status"]
            else None
        )
    )
    assert "editor" not in body["status"]["lastDrift"]


def test_another_writer_makes_it_contested(system: System, namespace: str) -> None:
    """Five corrections, then a pause; InSync says so, and Ready stays True."""
    instance(system, namespace)
    org = managed(system, namespace)

    def contested() -> bool:
        if system.emulator.policy(org).get("passwordChange"):
            change(system, org, "", value=False)
        found = system.condition("znp", "p", namespace, "InSync")
        return found == ("False", "Contested")

    eventually(contested, 60)
    assert system.condition("znp", "p", namespace, "Ready") == ("True", "Succeeded")
    writes = [w for w in system.emulator.writes() if w[2] == org and w[0] == "PUT"]
    assert len(writes) <= 2 * 6
    patch = '{"spec":{"passwordChange":false}}'
    command = ("patch", "znp", "p", "-n", namespace, "--type=merge", "-p", patch)
    system.plane.kubectl(*command)
    system.wait_for(namespace, "p", ("True", "InSync"), "InSync")


FAULTS: dict[str, dict[str, Any]] = {
    "limited": {"status": 429, "body": "slower", "headers": {"Retry-After": "30"}},
    "empty": {"status": 200, "body": "{}"},
}
"""Of the event search; more ways to fail are tried on a virtual clock."""


@pytest.mark.timeout(300)
@pytest.mark.clock
@pytest.mark.parametrize("what", FAULTS)
def test_polled_while_events_cannot_be_used_and_back(
    system: System, namespace: str, what: str
) -> None:
    """Only the instance reports it, and stays Ready (issue 13)."""
    name = namespace
    instance(system, name, method="Events")
    org = managed(system, name)
    # Other instances of this world search, too: each reports it, and recovers.
    system.emulator.call(
        "POST", "/emulator/v1/faults", {"path": SEARCH, **FAULTS[what]}
    )
    try:
        body = eventually(
            lambda: (
                body
                if (body := system.get("zni", name) or {})["status"]["driftDetection"]
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
        change(system, org, "", value=False)
        eventually(lambda: system.emulator.policy(org).get("passwordChange"), 30)
        assert system.condition("zni", name, "", "Ready") == ("True", "Succeeded")
        assert system.condition("znp", "p", name, "Ready") == ("True", "Succeeded")
        assert event_reasons(system, name) == {"DriftEventsUnreadable"}
    finally:
        system.emulator.call("DELETE", "/emulator/v1/faults")
    eventually(
        lambda: (
            (system.get("zni", name) or {})["status"]["driftDetection"]
            == {"method": "Events", "reason": ""}
        ),
        90,
        "events are read again",
    )
    eventually(lambda: "DriftEventsReadable" in event_reasons(system, name))
    time.sleep(INTERVAL + 1)
    change(system, org, "", value=False)
    eventually(lambda: system.emulator.policy(org).get("passwordChange"), 30)


def event_reasons(system: System, name: str) -> set[str]:
    """Return the reasons of the Events about an instance's drift detection."""
    return {
        event["reason"]
        for event in read_all(system.plane, "event", "default")
        if event["regarding"]["name"] == name
        and event["reason"].startswith("DriftEvents")
    }


def test_drift_during_an_outage_in_the_first_seconds_is_found(
    system: System, namespace: str
) -> None:
    """The first status has the cursor, so a kill after it loses nothing."""
    instance(system, namespace, eventsInterval="1h", pollInterval="24h")
    org = managed(system, namespace)
    status = (system.get("zni", namespace) or {})["status"]
    assert status["driftCursor"]
    assert status["driftDetection"] == {"method": "Events", "reason": ""}
    system.operator.program.kill()
    change(system, org, "", value=False)
    system.operator = OperatorProcess(system.plane, system.folder)
    system.operator.wait_ready()
    eventually(lambda: system.emulator.policy(org).get("passwordChange"), 20)
