"""Deletions on real servers: each ends, or waits and says what to edit."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.conftest import System
from support.kube_calls import delete, read_all
from support.running import OWN_NAMESPACE, OperatorProcess, create_secret
from support.waiting import eventually

POLICY = "/management/v1/policies/notification"
WAY_OUT = "set spec.deletionPolicy to Retain"


@pytest.fixture
def faults(system: System) -> Iterator[System]:
    """The world; its emulator's faults are cleared afterwards."""
    yield system
    system.emulator.call("DELETE", "/emulator/v1/faults")


def patch(system: System, namespace: str, name: str, **spec: Any) -> None:
    """Edit a policy."""
    command = ("patch", "znp", name, f"--namespace={namespace}", "--type=merge")
    system.plane.kubectl(*command, "--patch", json.dumps({"spec": spec}))


def suspend(system: System, namespace: str, name: str) -> None:
    """Suspend a policy that was not edited before, and wait until it is suspended."""
    patch(system, namespace, name, suspend=True)

    def is_suspended() -> bool:
        status = system.stored("znp", name, namespace)["status"]
        return bool(status["observedGeneration"] == 2)

    eventually(is_suspended)


def delete_instance(system: System, name: str) -> None:
    """Delete an instance without waiting."""
    delete(system.plane, "zni", name)


def notes(system: System, namespace: str, name: str, reason: str) -> list[str]:
    """Return the notes of a policy's Events with a reason."""
    found = read_all(system.plane, "event", namespace, fieldSelector=f"reason={reason}")
    return [event["note"] for event in found if event["regarding"]["name"] == name]


def wait_for_note(
    system: System, namespace: str, name: str, words: str, reason: str = "Deleted"
) -> None:
    """Wait for an Event, and check that it is the only one with its reason."""
    eventually(
        lambda: notes(system, namespace, name, reason), what=f"{reason}: {words}"
    )
    (note,) = notes(system, namespace, name, reason)
    assert words in note


def wait_until_reported(system: System, namespace: str, name: str, *words: str) -> str:
    """Wait until Ready is False with words in its message; return the reason."""

    def reason() -> str:
        body = system.get("znp", name, namespace)
        assert body is not None, f"{name} is gone"
        for ready in body.get("status", {}).get("conditions", ()):
            if (ready["type"], ready["status"]) == ("Ready", "False"):
                matches = all(word in ready["message"] for word in words)
                return str(ready["reason"]) if matches else ""
        return ""

    return eventually(reason, 30, f"{name}: {words}")


def events_of(system: System, organization: str) -> Any:
    """Return all events of an organization in ZITADEL's log."""
    path = f"/emulator/v1/events?aggregate={organization}"
    return system.emulator.call("GET", path)


def writes_to(system: System, organization: str) -> list[str]:
    """Return the verbs of all writes to an organization's policy."""
    return [w[0] for w in system.emulator.writes() if w[2] == organization]


@pytest.mark.parametrize("before", [None, True, False])
def test_restore_goes_back_to_what_was_first_seen(
    system: System, namespace: str, before: bool | None
) -> None:
    """The organization inherited, had the other value, or the wanted one."""
    org = system.organization()
    if before is not None:
        system.emulator.call("POST", POLICY, {"passwordChange": before}, org)
    system.policy(namespace, "p", org, passwordChange=False, deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    assert system.emulator.policy(org).get("passwordChange", False) is False
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    policy = system.emulator.policy(org)
    assert policy.get("isDefault", False) is (before is None)
    if before is not None:
        assert policy.get("passwordChange", False) is before
    expected = {None: ["POST", "DELETE"], True: ["POST", "PUT", "PUT"], False: ["POST"]}
    assert writes_to(system, org) == expected[before]


def test_restore_of_the_instance(system: System, namespace: str) -> None:
    """The finalizer stays until then, although the instance has no reset."""
    before = system.emulator.policy().get("passwordChange", False)
    spec = {"scope": "Instance", "instanceRef": {"name": "shared"}}
    changes = {"passwordChange": not before, "deletionPolicy": "Restore"}
    system.apply("NotificationPolicy", "p", {**spec, **changes}, namespace)
    system.wait_for(namespace, "p")
    assert system.emulator.policy().get("passwordChange", False) is not before
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert system.emulator.policy().get("passwordChange", False) is before


@pytest.mark.parametrize("ending", ["Reset", "Restore"])
def test_a_target_that_is_gone_is_done(
    system: System, namespace: str, ending: str
) -> None:
    """A removed organization gets no event after its end.

    Reset knows of the removal if the policy has been informed; Restore finds out
    itself.
    """
    org = system.organization()
    system.policy(namespace, "p", org, deletionPolicy=ending)
    system.wait_for(namespace, "p")
    if ending == "Restore":
        suspend(system, namespace, "p")
    system.emulator.call("DELETE", f"/admin/v1/orgs/{org}")
    if ending == "Reset":
        requested = "zitadel-notification.dev/reconcile-requested-at=1"
        inside = f"--namespace={namespace}"
        system.plane.kubectl("annotate", "znp", "p", requested, inside)
        removed = ("True", "OrganizationNotFound")
        system.wait_for(namespace, "p", removed, "Stalled")
    events = events_of(system, org)
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    wait_for_note(system, namespace, "p", "no longer exists")
    assert events_of(system, org) == events


@pytest.mark.parametrize("ending", ["Reset", "Restore"])
def test_what_was_reset_by_hand_is_done(
    system: System, namespace: str, ending: str
) -> None:
    """Somebody was first while the policy was suspended: this is reported."""
    org = system.organization()
    system.policy(namespace, "p", org, deletionPolicy=ending)
    system.wait_for(namespace, "p")
    suspend(system, namespace, "p")
    system.emulator.call("DELETE", POLICY, None, org)
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    wait_for_note(system, namespace, "p", "already inherited")
    assert system.emulator.policy(org)["isDefault"]


def test_an_instance_waits_for_its_policies(system: System, namespace: str) -> None:
    """It serves until the deletion of the last policy has ended."""
    org = system.organization()
    system.instance(namespace, system.emulator.url)
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    delete_instance(system, namespace)
    wait_for_note(system, "default", namespace, "last of them", "InstanceInUse")
    assert system.get("zni", namespace) is not None
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    system.gone("zni", namespace)
    assert system.emulator.policy(org)["isDefault"]


def test_a_lost_grant_undoes_nothing(system: System, namespace: str) -> None:
    """It goes at once; ZITADEL keeps the setting, and an Event says why."""
    org = system.organization()
    system.instance(namespace, system.emulator.url)
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    system.instance(namespace, system.emulator.url, grants=[])
    system.wait_for(namespace, "p", ("False", "InstanceNotFound"))
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    wait_for_note(system, namespace, "p", "nothing was undone")
    assert writes_to(system, org) == ["POST"]
    delete_instance(system, namespace)
    system.gone("zni", namespace)


def test_zitadel_fails_and_comes_back(faults: System, namespace: str) -> None:
    """It waits with a cause and a way out, and then ends by itself."""
    system, org = faults, faults.organization()
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    fault = {"organization": org, "status": 500}
    system.emulator.call("POST", "/emulator/v1/faults", fault)
    system.delete("p", namespace)
    assert wait_until_reported(system, namespace, "p", WAY_OUT) == "ServerError"
    system.emulator.call("DELETE", "/emulator/v1/faults")
    system.gone("znp", "p", namespace)
    assert system.emulator.policy(org)["isDefault"]


@pytest.mark.parametrize("fault", [{"status": 500}, {"hang": True}], ids=str)
def test_an_edit_to_retain_lets_it_go(
    faults: System, namespace: str, fault: dict[str, Any]
) -> None:
    """ZITADEL fails or hangs; the setting stays."""
    system, org = faults, faults.organization()
    system.policy(namespace, "p", org, deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    fault = {"organization": org, "method": "DELETE", **fault}
    system.emulator.call("POST", "/emulator/v1/faults", fault)
    system.delete("p", namespace)
    wait_until_reported(system, namespace, "p", WAY_OUT)
    patch(system, namespace, "p", deletionPolicy="Retain")
    system.gone("znp", "p", namespace)
    system.emulator.call("DELETE", "/emulator/v1/faults")
    assert "isDefault" not in system.emulator.policy(org)


@pytest.mark.parametrize("lost", ["grant", "instance"])
def test_what_is_lost_meanwhile_lets_it_go(
    faults: System, namespace: str, lost: str
) -> None:
    """A waiting deletion ends when it may not, or cannot, undo any more."""
    system, org = faults, faults.organization()
    system.instance(namespace, system.emulator.url)
    system.policy(namespace, "p", org, instanceRef={"name": namespace})
    system.wait_for(namespace, "p")
    fault = {"organization": org, "method": "DELETE", "status": 503}
    system.emulator.call("POST", "/emulator/v1/faults", fault)
    system.delete("p", namespace)
    wait_until_reported(system, namespace, "p", WAY_OUT)
    if lost == "grant":
        system.instance(namespace, system.emulator.url, grants=[])
    else:
        delete_instance(system, namespace)
        bare = '--patch={"metadata": {"finalizers": null}}'
        system.plane.kubectl("patch", "zni", namespace, "--type=merge", bare)
    system.gone("znp", "p", namespace)
    system.emulator.call("DELETE", "/emulator/v1/faults")
    wait_for_note(system, namespace, "p", "nothing was undone")
    assert "isDefault" not in system.emulator.policy(org)


def restart(system: System) -> None:
    """Start an operator after the one that was killed."""
    system.operator = OperatorProcess(system.plane, system.folder)
    system.operator.wait_ready()


@pytest.mark.parametrize("before", [None, True])
def test_killed_between_zitadel_and_the_finalizer(
    faults: System, namespace: str, before: bool | None
) -> None:
    """The next process finds it undone, and undoes nothing twice."""
    system, org = faults, faults.organization()
    if before is not None:
        system.emulator.call("POST", POLICY, {"passwordChange": before}, org)
    system.policy(namespace, "p", org, passwordChange=False, deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    verb = "DELETE" if before is None else "PUT"
    fault = {"organization": org, "method": verb, "after": True, "hang": True}
    system.emulator.call("POST", "/emulator/v1/faults", fault)
    count = writes_to(system, org).count(verb)
    system.delete("p", namespace)
    eventually(lambda: writes_to(system, org).count(verb) == count + 1)
    system.operator.program.kill()
    system.emulator.call("DELETE", "/emulator/v1/faults")
    done = events_of(system, org)
    restart(system)
    system.gone("znp", "p", namespace)
    assert events_of(system, org) == done
    policy = system.emulator.policy(org)
    assert policy.get("isDefault", False) is (before is None)
    assert policy["passwordChange"] is True


def test_without_a_secret_a_restarted_operator_waits(
    system: System, namespace: str
) -> None:
    """It has no last good credential; any valid one is enough."""
    ref = {"personalAccessToken": {"secretRef": {"name": namespace}}}
    create_secret(system.plane, namespace)
    system.instance(namespace, system.emulator.url, credentials=ref)
    orgs = {name: system.organization() for name in ("resets", "retains")}
    for name, org in orgs.items():
        system.policy(namespace, name, org, instanceRef={"name": namespace})
        system.wait_for(namespace, name)
    system.operator.program.kill()
    system.plane.kubectl("delete", "secret", namespace, f"--namespace={OWN_NAMESPACE}")
    for name in orgs:
        system.delete(name, namespace)
    restart(system)
    for name in orgs:
        wait_until_reported(system, namespace, name, "CredentialsMissing", WAY_OUT)
    patch(system, namespace, "retains", deletionPolicy="Retain")
    system.gone("znp", "retains", namespace)
    create_secret(system.plane, namespace)
    annotation = "zitadel-notification.dev/reconcile-requested-at=1"
    system.plane.kubectl("annotate", "zni", namespace, annotation)
    system.gone("znp", "resets", namespace)
    assert system.emulator.policy(orgs["resets"])["isDefault"]
    assert "isDefault" not in system.emulator.policy(orgs["retains"])


def back_up(system: System, namespace: str, name: str) -> str:
    """Export a policy, remove it, and return what a restore would create."""
    body = system.get("znp", name, namespace)
    assert body is not None
    for field in ("uid", "resourceVersion", "creationTimestamp", "generation"):
        del body["metadata"][field]
    assert "zitadel-notification.dev/original" in body["metadata"]["annotations"]
    assert body["metadata"]["finalizers"]
    del body["status"]
    patch(system, namespace, name, deletionPolicy="Retain")
    system.delete(name, namespace)
    system.gone("znp", name, namespace)
    return json.dumps(body)


def test_a_restored_backup_records_anew(system: System, namespace: str) -> None:
    """The new object does not go back to the original of the former one."""
    org = system.organization()
    system.policy(namespace, "p", org, deletionPolicy="Restore")
    system.wait_for(namespace, "p")
    backup = back_up(system, namespace, "p")
    system.emulator.call("PUT", POLICY, {"passwordChange": False}, org)
    system.plane.kubectl("create", "-f", "-", stdin=backup)
    status = system.wait_for(namespace, "p")["status"]
    assert status["original"] == {"isDefault": False, "passwordChange": False}
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    policy = system.emulator.policy(org)
    assert "isDefault" not in policy
    assert policy.get("passwordChange", False) is False


def test_a_restored_backup_that_never_lived_ends(
    system: System, namespace: str
) -> None:
    """It was created and deleted without an operator: nothing is undone."""
    org = system.organization()
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    backup = back_up(system, namespace, "p")
    system.operator.program.kill()
    system.plane.kubectl("create", "-f", "-", stdin=backup)
    system.delete("p", namespace)
    assert system.get("znp", "p", namespace) is not None
    restart(system)
    system.gone("znp", "p", namespace)
    wait_for_note(system, namespace, "p", "never owned")
    assert writes_to(system, org) == ["POST"]


def test_a_namespace_goes_with_its_policies(system: System, namespace: str) -> None:
    """Each is undone, although Events cannot be stored there any more."""
    orgs = [system.organization() for _ in range(3)]
    for number, org in enumerate(orgs):
        system.policy(namespace, f"p{number}", org)
    for number in range(3):
        system.wait_for(namespace, f"p{number}")
    system.plane.start_controller_manager(("namespace-controller",))
    try:
        command = ("delete", "namespace", namespace, "--timeout=90s")
        system.plane.kubectl(*command)
    finally:
        system.plane.stop_controller_manager()
    assert all(system.emulator.policy(org)["isDefault"] for org in orgs)


@pytest.mark.parametrize("order", ["policies first", "Secret first"])
def test_everything_at_once(system: System, namespace: str, order: str) -> None:
    """Policies, instance and Secret go in one command, and all is undone."""
    ref = {"personalAccessToken": {"secretRef": {"name": namespace}}}
    create_secret(system.plane, namespace)
    system.instance(namespace, system.emulator.url, credentials=ref)
    orgs = [system.organization() for _ in range(3)]
    found = [system.get("secret", namespace, OWN_NAMESPACE)]
    found.append(system.get("zni", namespace))
    for number, org in enumerate(orgs):
        system.policy(namespace, f"p{number}", org, instanceRef={"name": namespace})
        found.append(system.wait_for(namespace, f"p{number}"))
    if order == "policies first":
        found.reverse()
    manifest = {"apiVersion": "v1", "kind": "List", "items": found}
    system.plane.kubectl(
        "delete", "-f", "-", "--timeout=90s", stdin=json.dumps(manifest)
    )
    assert system.get("zni", namespace) is None
    for number, org in enumerate(orgs):
        assert system.get("znp", f"p{number}", namespace) is None
        assert system.emulator.policy(org)["isDefault"]
