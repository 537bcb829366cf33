"""Deletions on real servers: each ends, or waits and says what to edit."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.conftest import World
from support.running import OWN_NAMESPACE, OperatorProcess, create_secret
from support.waiting import eventually

POLICY = "/management/v1/policies/notification"
WAY_OUT = "set spec.deletionPolicy to Retain"


@pytest.fixture
def faults(world: World) -> Iterator[World]:
    """The world; its emulator's faults are cleared afterwards."""
    yield world
    world.emulator.call("DELETE", "/emulator/v1/faults")


def patch(world: World, namespace: str, name: str, **spec: Any) -> None:
    """Edit a policy."""
    command = ("patch", "znp", name, f"--namespace={namespace}", "--type=merge")
    world.plane.kubectl(*command, "--patch", json.dumps({"spec": spec}))


def suspend(world: World, namespace: str, name: str) -> None:
    """Suspend a policy that was not edited before, and wait until it is suspended."""
    patch(world, namespace, name, suspend=True)

    def is_suspended() -> bool:
        status = world.stored("znp", name, namespace)["status"]
        return bool(status["observedGeneration"] == 2)

    eventually(is_suspended)


def delete_instance(world: World, name: str) -> None:
    """Delete an instance without waiting."""
    world.plane.kubectl("delete", "zni", name, "--wait=false")


def notes(world: World, namespace: str, name: str, reason: str) -> list[str]:
    """Return the notes of a policy's Events with a reason."""
    selector = f"involvedObject.name={name},reason={reason}"
    done = world.plane.kubectl(
        *("get", "events", f"--namespace={namespace}", "--output=json"),
        f"--field-selector={selector}",
    )
    return [event["message"] for event in json.loads(done.stdout)["items"]]


def wait_for_note(
    world: World, namespace: str, name: str, words: str, reason: str = "Deleted"
) -> None:
    """Wait for an Event, and check that it is the only one with its reason."""
    eventually(lambda: notes(world, namespace, name, reason), what=f"{reason}: {words}")
    (note,) = notes(world, namespace, name, reason)
    assert words in note


def wait_until_reported(world: World, namespace: str, name: str, *words: str) -> str:
    """Wait until Ready is False with words in its message; return the reason."""

    def reason() -> str:
        body = world.get("znp", name, namespace)
        assert body is not None, f"{name} is gone"
        for ready in body.get("status", {}).get("conditions", ()):
            if (ready["type"], ready["status"]) == ("Ready", "False"):
                matches = all(word in ready["message"] for word in words)
                return str(ready["reason"]) if matches else ""
        return ""

    return eventually(reason, 30, f"{name}: {words}")


def events_of(world: World, organization: str) -> Any:
    """Return all events of an organization in ZITADEL's log."""
    path = f"/emulator/v1/events?aggregate={organization}"
    return world.emulator.call("GET", path)


def writes_to(world: World, organization: str) -> list[str]:
    """Return the verbs of all writes to an organization's policy."""
    return [w[0] for w in world.emulator.writes() if w[2] == organization]


@pytest.mark.parametrize("before", [None, True, False])
def test_restore_goes_back_to_what_was_first_seen(
    world: World, namespace: str, before: bool | None
) -> None:
    """The organization inherited, had the other value, or the wanted one."""
    org = world.organization()
    if before is not None:
        world.emulator.call("POST", POLICY, {"passwordChange": before}, org)
    world.policy(namespace, "p", org, passwordChange=False, deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    assert world.emulator.policy(org).get("passwordChange", False) is False
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    policy = world.emulator.policy(org)
    assert policy.get("isDefault", False) is (before is None)
    if before is not None:
        assert policy.get("passwordChange", False) is before
    expected = {None: ["POST", "DELETE"], True: ["POST", "PUT", "PUT"], False: ["POST"]}
    assert writes_to(world, org) == expected[before]


def test_restore_of_the_instance(world: World, namespace: str) -> None:
    """The finalizer stays until then, although the instance has no reset."""
    before = world.emulator.policy().get("passwordChange", False)
    spec = {"scope": "Instance", "instanceRef": {"name": "shared"}}
    changes = {"passwordChange": not before, "deletionPolicy": "Restore"}
    world.apply("NotificationPolicy", "p", {**spec, **changes}, namespace)
    world.wait_for(namespace, "p")
    assert world.emulator.policy().get("passwordChange", False) is not before
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    assert world.emulator.policy().get("passwordChange", False) is before


@pytest.mark.parametrize("ending", ["Reset", "Restore"])
def test_a_target_that_is_gone_is_done(
    world: World, namespace: str, ending: str
) -> None:
    """A removed organization gets no event after its end.

    Reset knows of the removal if the policy has been informed; Restore finds out
    itself.
    """
    org = world.organization()
    world.policy(namespace, "p", org, deletionPolicy=ending)
    world.wait_for(namespace, "p")
    if ending == "Restore":
        suspend(world, namespace, "p")
    world.emulator.call("DELETE", f"/admin/v1/orgs/{org}")
    if ending == "Reset":
        requested = "zitadel-notification.dev/reconcile-requested-at=1"
        inside = f"--namespace={namespace}"
        world.plane.kubectl("annotate", "znp", "p", requested, inside)
        removed = ("True", "OrganizationNotFound")
        world.wait_for(namespace, "p", removed, "Stalled")
    events = events_of(world, org)
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    wait_for_note(world, namespace, "p", "no longer exists")
    assert events_of(world, org) == events


@pytest.mark.parametrize("ending", ["Reset", "Restore"])
def test_what_was_reset_by_hand_is_done(
    world: World, namespace: str, ending: str
) -> None:
    """Somebody was first while the policy was suspended: this is reported."""
    org = world.organization()
    world.policy(namespace, "p", org, deletionPolicy=ending)
    world.wait_for(namespace, "p")
    suspend(world, namespace, "p")
    world.emulator.call("DELETE", POLICY, None, org)
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    wait_for_note(world, namespace, "p", "already inherited")
    assert world.emulator.policy(org)["isDefault"]


def test_an_instance_waits_for_its_policies(world: World, namespace: str) -> None:
    """It serves until the deletion of the last policy has ended."""
    org = world.organization()
    world.instance(namespace, world.emulator.url)
    world.policy(namespace, "p", org, instanceRef={"name": namespace})
    world.wait_for(namespace, "p")
    delete_instance(world, namespace)
    wait_for_note(world, "default", namespace, "last of them", "InstanceInUse")
    assert world.get("zni", namespace) is not None
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    world.gone("zni", namespace)
    assert world.emulator.policy(org)["isDefault"]


def test_a_lost_grant_undoes_nothing(world: World, namespace: str) -> None:
    """It goes at once; ZITADEL keeps the setting, and an Event says why."""
    org = world.organization()
    world.instance(namespace, world.emulator.url)
    world.policy(namespace, "p", org, instanceRef={"name": namespace})
    world.wait_for(namespace, "p")
    world.instance(namespace, world.emulator.url, grants=[])
    world.wait_for(namespace, "p", ("False", "InstanceNotFound"))
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    wait_for_note(world, namespace, "p", "nothing was undone")
    assert writes_to(world, org) == ["POST"]
    delete_instance(world, namespace)
    world.gone("zni", namespace)


def test_zitadel_fails_and_comes_back(faults: World, namespace: str) -> None:
    """It waits with a cause and a way out, and then ends by itself."""
    world, org = faults, faults.organization()
    world.policy(namespace, "p", org)
    world.wait_for(namespace, "p")
    fault = {"organization": org, "status": 500}
    world.emulator.call("POST", "/emulator/v1/faults", fault)
    world.delete("p", namespace)
    assert wait_until_reported(world, namespace, "p", WAY_OUT) == "ServerError"
    world.emulator.call("DELETE", "/emulator/v1/faults")
    world.gone("znp", "p", namespace)
    assert world.emulator.policy(org)["isDefault"]


@pytest.mark.parametrize("fault", [{"status": 500}, {"hang": True}], ids=str)
def test_an_edit_to_retain_lets_it_go(
    faults: World, namespace: str, fault: dict[str, Any]
) -> None:
    """ZITADEL fails or hangs; the setting stays."""
    world, org = faults, faults.organization()
    world.policy(namespace, "p", org, deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    fault = {"organization": org, "method": "DELETE", **fault}
    world.emulator.call("POST", "/emulator/v1/faults", fault)
    world.delete("p", namespace)
    wait_until_reported(world, namespace, "p", WAY_OUT)
    patch(world, namespace, "p", deletionPolicy="Retain")
    world.gone("znp", "p", namespace)
    world.emulator.call("DELETE", "/emulator/v1/faults")
    assert "isDefault" not in world.emulator.policy(org)


@pytest.mark.parametrize("lost", ["grant", "instance"])
def test_what_is_lost_meanwhile_lets_it_go(
    faults: World, namespace: str, lost: str
) -> None:
    """A waiting deletion ends when it may not, or cannot, undo any more."""
    world, org = faults, faults.organization()
    world.instance(namespace, world.emulator.url)
    world.policy(namespace, "p", org, instanceRef={"name": namespace})
    world.wait_for(namespace, "p")
    fault = {"organization": org, "method": "DELETE", "status": 503}
    world.emulator.call("POST", "/emulator/v1/faults", fault)
    world.delete("p", namespace)
    wait_until_reported(world, namespace, "p", WAY_OUT)
    if lost == "grant":
        world.instance(namespace, world.emulator.url, grants=[])
    else:
        delete_instance(world, namespace)
        bare = '--patch={"metadata": {"finalizers": null}}'
        world.plane.kubectl("patch", "zni", namespace, "--type=merge", bare)
    world.gone("znp", "p", namespace)
    world.emulator.call("DELETE", "/emulator/v1/faults")
    wait_for_note(world, namespace, "p", "nothing was undone")
    assert "isDefault" not in world.emulator.policy(org)


def restart(world: World) -> None:
    """Start an operator after the one that was killed."""
    world.operator = OperatorProcess(world.plane, world.folder)
    world.operator.wait_ready()


@pytest.mark.parametrize("before", [None, True])
def test_killed_between_zitadel_and_the_finalizer(
    faults: World, namespace: str, before: bool | None
) -> None:
    """The next process finds it undone, and undoes nothing twice."""
    world, org = faults, faults.organization()
    if before is not None:
        world.emulator.call("POST", POLICY, {"passwordChange": before}, org)
    world.policy(namespace, "p", org, passwordChange=False, deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    verb = "DELETE" if before is None else "PUT"
    fault = {"organization": org, "method": verb, "after": True, "hang": True}
    world.emulator.call("POST", "/emulator/v1/faults", fault)
    count = writes_to(world, org).count(verb)
    world.delete("p", namespace)
    eventually(lambda: writes_to(world, org).count(verb) == count + 1)
    world.operator.program.kill()
    world.emulator.call("DELETE", "/emulator/v1/faults")
    done = events_of(world, org)
    restart(world)
    world.gone("znp", "p", namespace)
    assert events_of(world, org) == done
    policy = world.emulator.policy(org)
    assert policy.get("isDefault", False) is (before is None)
    assert policy["passwordChange"] is True


def test_without_a_secret_a_restarted_operator_waits(
    world: World, namespace: str
) -> None:
    """It has no last good credential; any valid one is enough."""
    ref = {"personalAccessToken": {"secretRef": {"name": namespace}}}
    create_secret(world.plane, namespace)
    world.instance(namespace, world.emulator.url, credentials=ref)
    orgs = {name: world.organization() for name in ("resets", "retains")}
    for name, org in orgs.items():
        world.policy(namespace, name, org, instanceRef={"name": namespace})
        world.wait_for(namespace, name)
    world.operator.program.kill()
    world.plane.kubectl("delete", "secret", namespace, f"--namespace={OWN_NAMESPACE}")
    for name in orgs:
        world.delete(name, namespace)
    restart(world)
    for name in orgs:
        wait_until_reported(world, namespace, name, "CredentialsMissing", WAY_OUT)
    patch(world, namespace, "retains", deletionPolicy="Retain")
    world.gone("znp", "retains", namespace)
    create_secret(world.plane, namespace)
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    world.plane.kubectl("annotate", "zni", namespace, annotation)
    world.gone("znp", "resets", namespace)
    assert world.emulator.policy(orgs["resets"])["isDefault"]
    assert "isDefault" not in world.emulator.policy(orgs["retains"])


def back_up(world: World, namespace: str, name: str) -> str:
    """Export a policy, remove it, and return what a restore would create."""
    body = world.get("znp", name, namespace)
    assert body is not None
    for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
        del body["metadata"][field]
    assert "zitadel-notification.dev/original" in body["metadata"]["annotations"]
    assert body["metadata"]["finalizers"]
    del body["status"]
    patch(world, namespace, name, deletionPolicy="Retain")
    world.delete(name, namespace)
    world.gone("znp", name, namespace)
    return json.dumps(body)


def test_a_restored_backup_records_anew(world: World, namespace: str) -> None:
    """The new object does not go back to the original of the former one."""
    org = world.organization()
    world.policy(namespace, "p", org, deletionPolicy="Restore")
    world.wait_for(namespace, "p")
    backup = back_up(world, namespace, "p")
    world.emulator.call("PUT", POLICY, {"passwordChange": False}, org)
    world.plane.kubectl("create", "-f", "-", stdin=backup)
    status = world.wait_for(namespace, "p")["status"]
    assert status["original"] == {"isDefault": False, "passwordChange": False}
    world.delete("p", namespace)
    world.gone("znp", "p", namespace)
    policy = world.emulator.policy(org)
    assert "isDefault" not in policy
    assert policy.get("passwordChange", False) is False


def test_a_restored_backup_that_never_lived_ends(world: World, namespace: str) -> None:
    """It was created and deleted without an operator: nothing is undone."""
    org = world.organization()
    world.policy(namespace, "p", org)
    world.wait_for(namespace, "p")
    backup = back_up(world, namespace, "p")
    world.operator.program.kill()
    world.plane.kubectl("create", "-f", "-", stdin=backup)
    world.delete("p", namespace)
    assert world.get("znp", "p", namespace) is not None
    restart(world)
    world.gone("znp", "p", namespace)
    wait_for_note(world, namespace, "p", "never owned")
    assert writes_to(world, org) == ["POST"]


def test_a_namespace_goes_with_its_policies(world: World, namespace: str) -> None:
    """Each is undone, although Events cannot be stored there any more."""
    orgs = [world.organization() for _ in range(3)]
    for number, org in enumerate(orgs):
        world.policy(namespace, f"p{number}", org)
    for number in range(3):
        world.wait_for(namespace, f"p{number}")
    world.plane.start_controller_manager(("namespace-controller",))
    try:
        command = ("delete", "namespace", namespace, "--timeout=90s")
        world.plane.kubectl(*command)
    finally:
        world.plane.stop_controller_manager()
    assert all(world.emulator.policy(org)["isDefault"] for org in orgs)


@pytest.mark.parametrize("order", ["policies first", "Secret first"])
def test_everything_at_once(world: World, namespace: str, order: str) -> None:
    """Policies, instance and Secret go in one command, and all is undone."""
    ref = {"personalAccessToken": {"secretRef": {"name": namespace}}}
    create_secret(world.plane, namespace)
    world.instance(namespace, world.emulator.url, credentials=ref)
    orgs = [world.organization() for _ in range(3)]
    found = [world.get("secret", namespace, OWN_NAMESPACE)]
    found.append(world.get("zni", namespace))
    for number, org in enumerate(orgs):
        world.policy(namespace, f"p{number}", org, instanceRef={"name": namespace})
        found.append(world.wait_for(namespace, f"p{number}"))
    if order == "policies first":
        found.reverse()
    manifest = {"apiVersion": "v1", "kind": "List", "items": found}
    world.plane.kubectl(
        "delete", "-f", "-", "--timeout=90s", stdin=json.dumps(manifest)
    )
    assert world.get("zni", namespace) is None
    for number, org in enumerate(orgs):
        assert world.get("znp", f"p{number}", namespace) is None
        assert world.emulator.policy(org)["isDefault"]
