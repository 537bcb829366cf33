"""A ZITADEL that has deprecated or removed the calls for notification policies."""

import json

import pytest

from cluster.conftest import World
from support.waiting import eventually

PATH = "/management/v1/policies/notification"
DEPRECATED = {"Deprecation": "@1790812800", "Sunset": "Fri, 01 Oct 2027 00:00:00 GMT"}


@pytest.mark.clock
@pytest.mark.timeout(400)
def test_missing_calls_are_reported_after_a_minute_and_end_no_deletion(
    world: World, namespace: str
) -> None:
    """It is Stalled until the calls are back; other calls are deprecated."""
    ref = {"name": namespace}
    world.instance(namespace, world.emulator.url)
    kept, dying = world.organization(), world.organization()
    for name, org in (("kept", kept), ("dying", dying)):
        world.policy(namespace, name, org, instanceRef=ref)
        world.wait_for(namespace, name)
    for org in (kept, dying):
        fault = {"path": PATH, "organization": org, "status": 405, "body": "gone"}
        world.emulator.call("POST", "/emulator/v1/faults", fault)
    world.delete("dying", namespace)
    world.policy(namespace, "kept", kept, instanceRef=ref, passwordChange=False)
    for name in ("kept", "dying"):
        wanted = ("True", "ApiUnsupported")

        def is_told(name: str = name, wanted: tuple[str, str] = wanted) -> bool:
            return world.condition("znp", name, namespace, "Stalled") == wanted

        eventually(is_told, 240, f"{name}: {wanted}")
    message = json.dumps(world.get("znp", "dying", namespace))
    assert "HTTP 405" in message
    assert "spec.deletionPolicy" in message
    world.wait_for("", namespace, kind="zni")
    world.emulator.call("DELETE", "/emulator/v1/faults")
    mark = {"path": "/auth/v1/users/me", "headers": DEPRECATED}
    world.emulator.call("POST", "/emulator/v1/faults", mark)
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    world.plane.kubectl("annotate", "zni", namespace, annotation)
    world.wait_for(namespace, "kept")
    # All policies of an instance recover within a minute, one after the other.
    world.gone("znp", "dying", namespace, patience=90)
    assert world.emulator.policy(kept).get("passwordChange", False) is False
    assert world.emulator.policy(dying)["isDefault"] is True
    found = eventually(lambda: events(world, namespace), 60, "an Event")
    assert len(found) == 1
    assert "GET /auth/v1/users/me; deprecated as of 2026-10-01" in found[0]
    world.emulator.call("DELETE", "/emulator/v1/faults")


def events(world: World, instance: str) -> list[str]:
    """Return the notes of Events about an instance's deprecated calls."""
    found = json.loads(
        world.plane.kubectl("get", "events.events.k8s.io", "-A", "-ojson").stdout
    )
    return [
        event["note"]
        for event in found["items"]
        if event["reason"] == "ApiDeprecated" and event["regarding"]["name"] == instance
    ]
