"""`znp status` with a real operator, a real API server and the emulator."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.conftest import System
from support.command_line import EVENTS, CommandLine, somebody
from support.documents import ROOT
from support.running import OWN_NAMESPACE, TOKEN
from support.waiting import eventually
from zitadel_notification_operator.core.mends import MENDS
from zitadel_notification_operator.core.reasons import Reason

SCHEMA = json.loads(
    (ROOT / "docs" / "reference" / "schemas" / "status.json").read_text()
)
LOCAL = "--allow-local-urls"


def valid(found: Any) -> Any:
    """Return the JSON, which must fit the published schema and hold no secret."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert found["formatVersion"] == "1.0"
    assert TOKEN not in json.dumps(found)
    return found


def rungs(text: str) -> dict[str, list[str]]:
    """Return the lines of each rung of a ladder."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines()[2:]:
        name = line[:12].strip() or name
        found.setdefault(name, []).append(line[12:])
    return found


def apply_set(system: System, namespace: str, name: str, organization: str) -> None:
    """Apply a set for one organization."""
    spec = {
        "instanceRef": {"name": "shared"},
        "organizations": {"include": [{"id": organization}]},
        "passwordChange": True,
    }
    system.apply("NotificationPolicySet", name, spec, namespace)


def test_a_ready_policy_up_to_zitadel(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """Every rung is there, and says the same as the operator and the emulator."""
    organization = system.organization()
    system.policy(namespace, "acme", organization)
    text = admin.says("status", "acme", "-n", namespace, "--wait", LOCAL)
    assert text.splitlines()[0] == f"NotificationPolicy {namespace}/acme: Ready"
    found = rungs(text)
    target = f"organization {organization} of zni/shared"
    assert found["spec"][0] == f"passwordChange true for {target}"
    assert found["in force"][0] == "passwordChange true, the organization's own"
    assert "mends" not in found
    assert found["instance"][0].endswith(": Ready")
    assert any("may read events" in line for line in found["instance"])
    assert found["zitadel"][0] == "own policy: passwordChange true, as declared"
    assert found["zitadel"][2].startswith("last change ")
    assert "Emulator Machine" in found["zitadel"][2]
    assert found["claims"] == ["no other object claims the same target"]
    assert "not shown" not in found
    assert TOKEN not in text

    def has_event() -> bool:
        last = admin.says("status", "acme", "-n", namespace, LOCAL)
        return any("Normal Created: Set pass" in e for e in rungs(last)["events"])

    eventually(has_event, 20, "the Event")


def test_json_of_each_kind(system: System, namespace: str, admin: CommandLine) -> None:
    """The published schema describes it; the spec and the status are as stored."""
    organization = system.organization()
    apply_set(system, namespace, "made", organization)
    inside = ("-n", namespace)
    admin.says("status", "znps/made", *inside, "--wait")
    policy = f"NotificationPolicies/made-{organization}"
    system.wait_for(namespace, f"made-{organization}")
    found = valid(admin.json("status", policy, *inside, LOCAL))
    assert found["object"]["set"] == "made"
    assert found["object"]["spec"]["passwordChange"] is True
    assert found["zitadel"]["source"] == "own"
    assert found["zitadel"]["asDeclared"] is True
    assert found["zitadel"]["lastChange"]["editor"]["name"] == "Emulator Machine"
    assert [claim["owns"] for claim in found["claims"]] == [True]
    assert found["instance"]["name"] == "shared"
    found = valid(admin.json("status", "znps/made", *inside))
    assert found["object"]["status"]["organizations"]["matched"] == 1
    assert found["zitadel"] is None
    found = valid(admin.json("status", "zni/shared", LOCAL))
    assert found["object"]["ready"] is True
    assert found["zitadel"]["asDeclared"] is None
    table = valid(admin.json("status", *inside))
    kinds = {row["kind"] for row in table["objects"]}
    assert kinds == {"NotificationPolicySet", "NotificationPolicy", "ZitadelInstance"}
    assert table["totals"]["notReady"] == 0


def test_which_operator_serves_an_instance(system: System, admin: CommandLine) -> None:
    """One that no operator serves says of which class such an operator would be."""
    served = rungs(admin.says("status", "zni/shared", LOCAL))["in force"]
    assert f"served by the operator in namespace '{OWN_NAMESPACE}'" in served
    other = {"class": "green"}
    system.instance("green", "https://zitadel.example", **other)
    try:
        found = rungs(admin.run("status", "zni/green", LOCAL).stdout)["in force"]
        assert "served by nobody: does an operator of class green run?" in found
    finally:
        system.plane.kubectl("delete", "zni", "green")


def test_who_changed_it_last(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """Under Observe the operator leaves the change, and the ladder names the person."""
    organization = system.organization()
    made = system.emulator.user(
        "ORG_OWNER", credential="token", organization=organization
    )
    path = "/management/v1/policies/notification"
    body = {"passwordChange": False}
    system.emulator.call("POST", path, body, organization, token=made["token"])
    system.policy(namespace, "acme", organization, managementPolicy="Observe")
    system.wait_for(namespace, "acme")
    found = rungs(admin.says("status", "acme", "-n", namespace, LOCAL))
    assert found["zitadel"][0] == "own policy: passwordChange false, not as declared"
    assert made["userId"] in found["zitadel"][2]
    assert found["in force"][0].endswith("which differs from the spec")
    assert found["mends"] == [f"Drifted: {MENDS[Reason.DRIFTED]}"]


def test_policies_in_conflict(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """Both ladders name the other claim, and the loser's says what mends it."""
    organization = system.organization()
    system.policy(namespace, "first", organization)
    system.wait_for(namespace, "first")
    system.policy(namespace, "second", organization)
    system.wait_for(namespace, "second", ("False", "Conflict"))
    loser = rungs(admin.says("status", "second", "-n", namespace))
    assert loser["mends"] == [f"Conflict: {MENDS[Reason.CONFLICT]}"]
    assert "does not own" in loser["claims"][0]
    assert loser["claims"][1] == f"znp/first in {namespace}"
    owner = rungs(admin.says("status", "first", "-n", namespace))
    assert owner["claims"][0].startswith("this object owns the target")
    assert owner["claims"][1] == f"znp/second in {namespace}"


def test_a_policy_of_a_set_that_is_overridden(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """It is Ready, and the plain policy goes before it although it is younger."""
    organization = system.organization()
    apply_set(system, namespace, "all", organization)
    name = f"all-{organization}"
    eventually(lambda: system.get("znp", name, namespace), 30, name)
    system.wait_for(namespace, name)
    system.policy(namespace, "own", organization, passwordChange=False)
    system.wait_for(namespace, name, ("True", "Overridden"))
    found = rungs(admin.says("status", name, "-n", namespace))
    assert found["spec"][2] == "made by the set znps/all"
    assert found["mends"] == [f"Overridden: {MENDS[Reason.OVERRIDDEN]}"]
    assert found["claims"][1] == f"znp/own in {namespace}"
    table = admin.json("status", "-n", namespace)
    (row,) = [row for row in table["objects"] if row["name"] == name]
    assert row["ready"] is True
    assert row["reason"] == "Overridden"


def test_an_object_that_is_being_deleted(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """Nobody waits for it to become Ready."""
    system.policy(namespace, "leaving", system.organization())
    system.wait_for(namespace, "leaving")
    patch = '{"metadata":{"finalizers":["example.com/other"]}}'
    inside = f"--namespace={namespace}"
    kubectl = system.plane.kubectl
    kubectl("patch", "znp", "leaving", inside, "--type=merge", "--patch", patch)
    system.delete("leaving", namespace)
    done = admin.run("status", "leaving", "-n", namespace, "--wait", "--timeout=20s")
    assert done.exit_code == 1
    assert "being deleted" in done.stdout.splitlines()[0]
    assert "being deleted, so it does not become Ready" in done.stderr
    kubectl(
        *("patch", "znp", "leaving", inside, "--type=merge"),
        *("--patch", '{"metadata":{"finalizers":null}}'),
    )


def test_a_suspended_object_is_not_waited_for(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """The message says how it is resumed."""
    system.policy(namespace, "still", system.organization(), suspend=True)
    eventually(
        lambda: system.condition("znp", "still", namespace, "Ready")[1] == "Suspended"
    )
    done = admin.run("status", "still", "-n", namespace, "--wait", "--timeout=20s")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[0].startswith(
        f"NotificationPolicy {namespace}/still: suspended, not Ready: Suspended"
    )
    assert f"znp resume znp/still -n {namespace}" in done.stderr


def test_waiting_in_vain_ends_with_a_sentence(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """It names the object, why it is not Ready, and what mends it."""
    system.policy(namespace, "lost", instanceRef={"name": "no-such-instance"})
    command = ("status", "lost", "-n", namespace, "--wait", "--timeout", "1500ms")
    eventually(lambda: system.condition("znp", "lost", namespace, "Ready")[1])
    error = admin.fails(*command)
    assert error.startswith("Error: Not Ready within 1.5s:\n")
    assert "InstanceNotFound" in error
    assert MENDS[Reason.INSTANCE_NOT_FOUND] in error
    found = admin.json("status", "lost", "-n", namespace)
    assert found["instance"] is None
    assert found["notShown"][0]["part"] == "instance"
    assert "There is no ZitadelInstance no-such-instance" in found["notShown"][0]["why"]


def test_a_table_with_totals_and_labels(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """`-l` chooses, `-A` adds the namespaces, and the last line has the totals."""
    system.policy(namespace, "good", system.organization())
    system.policy(namespace, "lost", instanceRef={"name": "no-such-instance"})
    system.wait_for(namespace, "good")
    eventually(lambda: system.condition("znp", "lost", namespace, "Ready")[1])
    # Other tests have labelled policies, too.
    inside, mine = f"--namespace={namespace}", f"team={namespace}"
    system.plane.kubectl("label", "znp", "good", mine, inside)
    text = admin.says("status", "-n", namespace)
    head, *rows, total = text.splitlines()
    assert head.split()[:3] == ["NAME", "READY", "REASON"]
    assert [row.split()[0] for row in rows[:2]] == ["znp/good", "znp/lost"]
    assert total == f"{len(rows)} objects: {len(rows) - 1} Ready, 1 not Ready."
    assert [row.split()[0] for row in rows[2:]] == ["zni/shared"]
    chosen = admin.says("status", "-n", namespace, "-l", mine)
    assert chosen.splitlines()[-1] == "1 object: 1 Ready, 0 not Ready."
    everywhere = admin.says("status", "-A", "-l", mine)
    assert everywhere.splitlines()[1].split()[:2] == [namespace, "znp/good"]
    nothing = admin.says("status", "-n", namespace, "-l", "team=other")
    assert nothing == "There are no objects.\n"
    waiting = ("--wait", "--timeout=1s")
    error = admin.fails("status", "-n", namespace, "-l", "team=other", *waiting)
    assert "no objects to wait for" in error


def test_the_exit_code_tells_whether_all_are_ready(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """Only where it is asked for."""
    system.policy(namespace, "good", system.organization())
    system.policy(namespace, "lost", instanceRef={"name": "no-such-instance"})
    system.wait_for(namespace, "good")
    code = ("--exit-code", "-n", namespace)
    assert admin.run("status", "good", *code).exit_code == 0
    assert admin.run("status", "lost", *code).exit_code == 2
    assert admin.run("status", *code).exit_code == 2
    assert admin.run("status", "-n", namespace).exit_code == 0


def test_another_url_must_lead_to_the_same_zitadel(
    system: System, namespace: str, admin: CommandLine
) -> None:
    """`--url` is for port forwarding; an address without ZITADEL is told."""
    system.policy(namespace, "acme", system.organization())
    system.wait_for(namespace, "acme")
    command = ("status", "acme", "-n", namespace, LOCAL, "--url")
    same = rungs(admin.says(*command, system.emulator.url + "/"))
    assert same["zitadel"][0].startswith("own policy")
    none = rungs(admin.says(*command, "http://127.0.0.1:1"))
    assert "zitadel" not in none
    assert none["not shown"][0].startswith("zitadel: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["acme", "-A"], "not both"),
        (["acme", "-l", "a=b"], "not both"),
        (["-A", "-n", "x"], "not both"),
        (["pods/acme"], "is no kind of this operator"),
        (["znp/ACME"], "is not the name of an object"),
        (["--timeout", "soon"], "is not a duration"),
        (["-o", "xml"], "xml"),
    ],
)
def test_wrong_command_lines(
    admin: CommandLine, arguments: list[str], words: str
) -> None:
    """They exit with 64, before any call."""
    assert words in admin.fails("status", *arguments, code=64)


def test_a_name_that_does_not_exist(namespace: str, admin: CommandLine) -> None:
    """The message says how to find those that do."""
    error = admin.fails("status", "nobody", "-n", namespace)
    assert f"There is no NotificationPolicy {namespace}/nobody" in error
    assert f"kubectl get znp -n {namespace}" in error


def test_no_cluster(tmp_path: Path) -> None:
    """No kubeconfig, one that is no YAML, and one whose server does not answer."""
    config = tmp_path / "config"
    config.write_text("nothing")
    assert "cannot be used" in CommandLine(config).fails("status", "acme")
    cluster = {"server": "https://127.0.0.1:1"}
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    config.write_text(json.dumps(content))
    assert "127.0.0.1:1" in CommandLine(config).fails("status", "acme")
    missing = CommandLine(tmp_path / "missing")
    assert "does not exist" in missing.fails("status", "acme", code=64)


def test_a_login_that_is_over(system: System, namespace: str, tmp_path: Path) -> None:
    """The message says what to do, and shows no token."""
    person = somebody(system.plane, tmp_path, namespace, "former", ())
    config = yaml.safe_load(person.kubeconfig.read_text())
    config["users"][0]["user"]["token"] = "not-a-token-4711"
    person.kubeconfig.write_text(yaml.safe_dump(config))
    error = person.fails("status", "acme", "-n", namespace)
    assert "401" in error
    assert "log in to the cluster again" in error
    assert "4711" not in error


def test_a_viewer_sees_what_the_role_gives(
    system: System, namespace: str, tmp_path: Path
) -> None:
    """The chart's role view suffices; what it lacks is left out, with the reason."""
    organization = system.organization()
    system.policy(namespace, "acme", organization)
    system.wait_for(namespace, "acme")
    viewer = somebody(system.plane, tmp_path, namespace, "viewer", ("-view", EVENTS))
    found = valid(viewer.json("status", "acme", "-n", namespace, LOCAL))
    assert found["object"]["ready"] is True
    assert [claim["name"] for claim in found["claims"]] == ["acme"]
    assert found["events"] is not None
    missing = {one["part"]: one["why"] for one in found["notShown"]}
    assert missing.keys() == {"instance", "claims"}
    assert missing["instance"].startswith("You may not get zitadelinstances/shared")
    done = viewer.run("status", "-n", namespace)
    assert done.exit_code == 0
    assert "znp/acme" in done.stdout
    assert "Left out zitadelinstances: You may not list" in done.stderr


def test_somebody_who_may_read_instances_but_no_secrets(
    system: System, namespace: str, tmp_path: Path
) -> None:
    """ZITADEL is left out, and the text names the right."""
    system.policy(namespace, "acme", system.organization())
    system.wait_for(namespace, "acme")
    person = somebody(system.plane, tmp_path, namespace, "reader", ("-view",))
    system.plane.kubectl(
        *("create", "clusterrolebinding", f"{namespace}-reader"),
        "--clusterrole=zitadel-notification-operator-instance-view",
        f"--serviceaccount={namespace}:reader",
    )
    found = rungs(person.says("status", "acme", "-n", namespace, LOCAL))
    assert "zitadel" not in found
    assert any(
        line.startswith("zitadel: You may not read the Secret of zni/shared")
        for line in found["not shown"]
    )
    assert any(line.startswith("events: You may not") for line in found["not shown"])


def test_somebody_without_rights(
    system: System, namespace: str, tmp_path: Path
) -> None:
    """The message names the verb and where the roles are described."""
    nobody = somebody(system.plane, tmp_path, namespace, "nobody", ())
    error = nobody.fails("status", "acme", "-n", namespace)
    assert "You may not get notificationpolicies/acme" in error
    assert "docs/operations/security.md" in error
    error = nobody.fails("status", "-n", namespace)
    assert f"You may not list notificationpolicysets in the namespace {namespace}" in (
        error
    )
