"""`znp reconcile`, `suspend` and `resume` with a real operator."""

from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import System
from support.command_line import EVENTS, CommandLine, somebody
from support.waiting import eventually
from zitadel_notification_operator.core.mends import MENDS
from zitadel_notification_operator.core.reasons import Reason

REQUESTED_AT = "zitadel-notification.dev/reconcile-requested-at"


def apply_set(system: System, namespace: str, name: str, organization: str) -> str:
    """Apply a set for one organization; return the name of its policy."""
    spec = {
        "instanceRef": {"name": "shared"},
        "organizations": {"include": [{"id": organization}]},
        "passwordChange": True,
    }
    system.apply("NotificationPolicySet", name, spec, namespace)
    system.wait_for(namespace, name, kind="znps", patience=60)
    return f"{name}-{organization}"


def make_policy(system: System, namespace: str, name: str, **spec: Any) -> None:
    """Apply a policy for a new organization, and wait until it is Ready."""
    system.policy(namespace, name, system.organization(), **spec)
    system.wait_for(namespace, name)


def is_suspended(system: System, namespace: str, name: str, kind: str = "znp") -> bool:
    """Return whether an object is stored as suspended."""
    return bool(system.stored(kind, name, namespace)["spec"].get("suspend"))


def test_reconcile_is_answered(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """The status repeats the token, and the annotation has a manager of its own."""
    make_policy(system, namespace, "acme")
    said = admin.says("reconcile", "acme", "-n", namespace)
    assert said.startswith(f"znp/acme in {namespace} reconciled: Ready True, Succeeded")
    body = system.stored("znp", "acme", namespace)
    token = body["metadata"]["annotations"][REQUESTED_AT]
    assert body["status"]["lastHandledReconcileAt"] == token
    (entry,) = [
        entry
        for entry in body["metadata"]["managedFields"]
        if entry["manager"] == "znp"
    ]
    assert list(entry["fieldsV1"]) == ["f:metadata"]
    admin.says("reconcile", "acme", "-n", namespace)
    newer = system.stored("znp", "acme", namespace)
    assert newer["status"]["lastHandledReconcileAt"] != token


def test_reconcile_of_all_kinds(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """By the names that kubectl prints; one that is missing fails, the others go on."""
    made = apply_set(system, namespace, "all", system.organization())
    printed = system.plane.kubectl("get", "znp", "-n", namespace, "-o", "name").stdout
    names = (*printed.split(), "znps/all", "zni/shared", "nobody")
    done = admin.run("reconcile", *names, "-n", namespace)
    assert done.exit_code == 1
    assert f"znp/{made} in {namespace} reconciled: Ready True" in done.stdout
    assert f"znps/all in {namespace} reconciled: Ready True" in done.stdout
    assert "zni/shared reconciled: Ready True" in done.stdout
    assert "znp/nobody: There is no NotificationPolicy" in done.stderr
    said = admin.says("reconcile", "--all", "-n", namespace)
    assert len(said.splitlines()) == 2


def test_reconcile_tells_what_is_wrong(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """A pass that failed is an answer, too."""
    system.policy(namespace, "lost", instanceRef={"name": "no-such-instance"})
    said = admin.says("reconcile", "lost", "-n", namespace)
    assert "reconciled: Ready False, InstanceNotFound: " in said


def test_suspend_and_resume(system: System, namespace: str, admin: CommandLine) -> None:
    """The operator confirms both, and a second time nothing is written."""
    make_policy(system, namespace, "acme")
    inside = ("-n", namespace)
    said = admin.says("suspend", "acme", *inside)
    assert said == f"znp/acme in {namespace} suspended\n"
    body = system.stored("znp", "acme", namespace)
    assert body["spec"]["suspend"] is True
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"]
    again = admin.says("suspend", "acme", *inside)
    assert "was suspended already" in again
    error = admin.fails("reconcile", "acme", *inside)
    assert f"until znp resume znp/acme -n {namespace}" in error
    said = admin.says("resume", "acme", *inside)
    assert f"znp/acme in {namespace} resumed: Ready True, Succeeded" in said
    assert not is_suspended(system, namespace, "acme")
    assert "is not suspended" in admin.says("resume", "acme", *inside)


def test_a_set_and_its_policies(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """Its policies follow it; one of them alone would be put back."""
    made = apply_set(system, namespace, "all", system.organization())
    make_policy(system, namespace, "plain")
    inside = ("-n", namespace)
    error = admin.fails("suspend", made, *inside)
    assert "the set znps/all has made it and would put it back" in error
    assert f"znp suspend znps/all -n {namespace}" in error
    said = admin.says("suspend", "--all", *inside)
    assert sorted(said.splitlines()) == [
        f"znp/plain in {namespace} suspended",
        f"znps/all in {namespace} suspended",
    ]
    eventually(lambda: is_suspended(system, namespace, made), 20, "follows its set")
    error = admin.fails("resume", made, *inside)
    assert f"znp resume znps/all -n {namespace}" in error
    error = admin.fails("reconcile", made, *inside)
    assert f"znp resume znps/all -n {namespace}" in error
    admin.says("resume", "--all", *inside)
    eventually(lambda: not is_suspended(system, namespace, made), 20, "follows again")


def test_labels_choose(system: System, namespace: str, admin: CommandLine) -> None:
    """The others stay as they are; a choice of nothing is an error."""
    make_policy(system, namespace, "web")
    make_policy(system, namespace, "other")
    system.plane.kubectl("label", "znp", "web", "team=web", "-n", namespace)
    admin.says("suspend", "-l", "team=web", "-n", namespace)
    assert is_suspended(system, namespace, "web")
    assert not is_suspended(system, namespace, "other")
    error = admin.fails("suspend", "-l", "team=none", "-n", namespace)
    assert "There are no such policies and sets" in error


def test_an_instance_cannot_be_suspended(admin: CommandLine) -> None:
    """The message says what to do instead."""
    error = admin.fails("suspend", "zni/shared")
    assert "a ZitadelInstance cannot be suspended" in error
    assert "znp suspend --all -A" in error


def test_an_object_that_is_being_deleted(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """It cannot be suspended; a pass can be asked for, and ends with the object."""
    make_policy(system, namespace, "leaving")
    inside = f"--namespace={namespace}"
    patch = ("patch", "znp", "leaving", inside, "--type=merge", "--patch")
    held = '{"metadata":{"finalizers":["zitadel-notification.dev/cleanup","a.io/b"]}}'
    system.plane.kubectl(*patch, held)
    system.delete("leaving", namespace)
    error = admin.fails("suspend", "leaving", "-n", namespace)
    assert "set spec.deletionPolicy to Retain" in error
    said = admin.says("reconcile", "leaving", "-n", namespace, "--wait=false")
    assert said == f"znp/leaving in {namespace} asked for a pass\n"
    system.plane.kubectl(*patch, '{"metadata":{"finalizers":null}}')


def test_a_deletion_that_cannot_end_is_tried_again(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """The answer tells what it waits for; with the object's end there is one, too."""
    system.instance(namespace, system.emulator.url)
    ref = {"name": namespace}
    make_policy(system, namespace, "stuck", instanceRef=ref)
    system.instance(namespace, "http://127.0.0.1:1")
    system.wait_for("", namespace, ("False", "Unreachable"), kind="zni", patience=60)
    system.delete("stuck", namespace)
    system.wait_for(namespace, "stuck", ("False", "InstanceNotReady"), patience=60)
    inside = ("-n", namespace)
    said = admin.says("reconcile", "stuck", *inside)
    assert "reconciled: Ready False, InstanceNotReady: " in said
    assert "spec.deletionPolicy" in said
    text = admin.says("status", "stuck", *inside)
    head = f"NotificationPolicy {namespace}/stuck: being deleted, not Ready: Instance"
    assert text.startswith(head)
    assert f"mend: {MENDS[Reason.UNREACHABLE]}" in text
    retain = '{"spec":{"deletionPolicy":"Retain"}}'
    patch = ("patch", "znp", "stuck", f"--namespace={namespace}", "--type=merge")
    system.plane.kubectl(*patch, "--patch", retain)
    system.gone("znp", "stuck", namespace)
    # An instance that is not Ready would stand in tables of other tests.
    system.plane.kubectl("delete", "zni", namespace)


def test_git_puts_it_back(system: System, namespace: str, admin: CommandLine) -> None:
    """The command writes once, and warns of the tool that owns the spec."""
    make_policy(system, namespace, "acme")
    system.plane.kubectl(
        *("apply", "--server-side", "--force-conflicts", "-f", "-"),
        "--field-manager=kustomize-controller",
        stdin=(
            "{apiVersion: zitadel-notification.dev/v1alpha1, kind: NotificationPolicy,"
            f" metadata: {{name: acme, namespace: {namespace}}},"
            " spec: {scope: Organization, passwordChange: true}}"
        ),
    )
    done = admin.run("suspend", "acme", "-n", namespace)
    assert done.exit_code == 0
    assert "Warning: Flux owns fields of znp/acme" in done.stderr
    assert "change it in Git" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of these"),
        (["acme", "--all"], "not several of these"),
        (["-l", "a=b", "--all"], "not several of these"),
        (["acme", "-A"], "use -n instead of -A"),
        (["pods/acme"], "is no kind of this operator"),
        (["acme", "--wait=perhaps"], "perhaps"),
    ],
)
@pytest.mark.parametrize("command", ["reconcile", "suspend", "resume"])
def test_exactly_one_way_of_naming(
    admin: CommandLine, command: str, arguments: list[str], words: str
) -> None:
    """Everything else is a wrong command line."""
    assert words in admin.fails(command, *arguments, code=64)


def test_the_roles_of_people(system: System, namespace: str, tmp_path: Path) -> None:
    """The chart's role edit suffices; with view, the message names the verb."""
    make_policy(system, namespace, "acme")
    inside = ("-n", namespace)
    editor = somebody(system.plane, tmp_path, namespace, "editor", ("-edit",))
    editor.says("reconcile", "acme", *inside)
    editor.says("suspend", "--all", *inside)
    editor.says("resume", "acme", *inside)
    viewer = somebody(system.plane, tmp_path, namespace, "viewer", ("-view", EVENTS))
    error = viewer.fails("suspend", "acme", *inside)
    assert (
        f"You may not patch notificationpolicies/acme in the namespace {namespace}"
        in (error)
    )
    assert "docs/operations/security.md" in error
    assert not is_suspended(system, namespace, "acme")
