"""A ZITADEL that has deprecated or removed the calls for notification policies."""

import json

import pytest

from cluster.conftest import System
from support.waiting import eventually

PATH = "/management/v1/policies/notification"
DEPRECATED = {"Deprecation": "@1790812800", "Sunset": "Fri, 01 Oct 2027 00:00:00 GMT"}


@pytest.mark.clock
@pytest.mark.timeout(400)
def test_missing_calls_are_reported_after_a_minute_and_end_no_deletion(
    system: System, namespace: str
) -> None:
    """It is Stalled until the calls are back; other calls are deprecated."""
    ref = {"name": namespace}
    system.instance(namespace, system.emulator.url)
    kept, dying = system.organization(), system.organization()
    for name, org in (("kept", kept), ("dying", dying)):
        system.policy(namespace, name, org, instanceRef=ref)
        system.wait_for(namespace, name)
    for org in (kept, dying):
        fault = {"path": PATH, "organization": org, "status": 405, "body": "gone"}
        system.emulator.call("POST", "/emulator/v1/faults", fault)
    system.delete("dying", namespace)
    system.policy(namespace, "kept", kept, instanceRef=ref, passwordChange=False)
    for name in ("kept", "dying"):
        wanted = ("True", "ApiUnsupported")

        def is_told(name: str = name, wanted: tuple[str, str] = wanted) -> bool:
            return system.condition("znp", name, namespace, "Stalled") == wanted

        eventually(is_told, 240, f"{name}: {wanted}")
    message = json.dumps(system.get("znp", "dying", namespace))
    assert "HTTP 405" in message
    assert "spec.deletionPolicy" in message
    system.wait_for("", namespace, kind="zni")
    system.emulator.call("DELETE", "/emulator/v1/faults")
    mark = {"path": "/auth/v1/users/me", "headers": DEPRECATED}
    system.emulator.call("POST", "/emulator/v1/faults", mark)
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    system.plane.kubectl("annotate", "zni", namespace, annotation)
    system.wait_for(namespace, "kept")
    # All policies of an instance recover within a minute, one after the other.
    system.gone("znp", "dying", namespace, patience=90)
    assert system.emulator.policy(kept).get("passwordChange", False) is False
    assert system.emulator.policy(dying)["isDefault"] is True
    found = eventually(lambda: events(system, namespace), 60, "an Event")
    assert len(found) == 1
    assert "GET /auth/v1/users/me; deprecated as of 2026-10-01" in found[0]
    system.emulator.call("DELETE", "/emulator/v1/faults")


def events(system: System, instance: str) -> list[str]:
    """Return the notes of Events about an instance's deprecated calls."""
    found = json.loads(
        system.plane.kubectl("get", "events.events.k8s.io", "-A", "-ojson").stdout
    )
    return [
        event["note"]
        for event in found["items"]
        if event["reason"] == "ApiDeprecated" and event["regarding"]["name"] == instance
    ]
