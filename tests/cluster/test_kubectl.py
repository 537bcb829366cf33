"""The use with `kubectl`: what it shows, waits for and may do to an object."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.conftest import System
from cluster.fleets import apply_set, named
from support.waiting import eventually
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.demo.kubectl import run_kubectl

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "deploy" / "crds").glob("*.yaml"))
ORIGINAL = "zitadel-notification.dev/original"
LONG_NAME = "password-change-mails-acme-eu1"
ID_DIGITS = 20
"""As long as a uint64 can get."""
NEVER_OF_READY = {
    Reason.PROGRESS_DEADLINE_EXCEEDED,
    Reason.CLUSTER_UNAVAILABLE,
}

Json = dict[str, Any]


def objects(schema: Json, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each object of a schema as `kubectl explain` names it, and its fields."""
    fields = schema.get("properties", {})
    if fields:
        yield path, list(fields)
    for name, node in fields.items():
        yield from objects(node.get("items", node), f"{path}.{name}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem.partition("_")[2])
def test_explain_describes_each_field(control_plane: ControlPlane, file: Path) -> None:
    """The short name works; `--recursive` lists all; each has a sentence."""
    crd = yaml.safe_load(file.read_text())["spec"]
    (short,) = crd["names"]["shortNames"]
    schema = crd["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    group = f"--api-group={crd['group']}"
    # This also refreshes kubectl's discovery cache, which may lack the new kind.
    eventually(lambda: short in control_plane.kubectl("api-resources", group).stdout)
    # The server publishes a group's OpenAPI document a while after its discovery.
    whole = eventually(
        lambda: (
            control_plane.kubectl("explain", short, "--recursive", check=False).stdout
        )
    )
    names = [line.split("\t")[0].strip() for line in whole.splitlines() if "\t" in line]
    for part in ("spec", "status"):
        for path, fields in objects(schema[part], f"{short}.{part}"):
            assert [f for f in fields if f not in names] == [], path
            output = control_plane.kubectl("explain", path).stdout
            assert "<no description>" not in output, path
            assert "<empty>" not in output, path
            assert [f for f in fields if f"  {f}\t<" not in output] == [], path


def width(table: str) -> int:
    """Return the length of the longest line of a table."""
    return max(len(line.rstrip()) for line in table.splitlines())


def test_columns_fit_in_120_characters(system: System, namespace: str) -> None:
    """The name has 30 characters, or the reason is the longest one."""
    org = system.organization()
    room = ID_DIGITS - len(org)
    inside = f"--namespace={namespace}"
    system.policy(namespace, LONG_NAME, org)
    system.wait_for(namespace, LONG_NAME)
    table = system.plane.kubectl("get", "znp", inside).stdout
    assert org in table
    assert LONG_NAME in table
    assert width(table) + room <= 120
    system.delete(LONG_NAME, namespace)
    system.gone("znp", LONG_NAME, namespace)
    system.policy(namespace, LONG_NAME[:15], org)
    system.wait_for(namespace, LONG_NAME[:15])
    longest = max(len(reason) for reason in set(Reason) - NEVER_OF_READY)
    table = system.plane.kubectl("get", "znp", inside).stdout
    assert width(table) + room + longest - len("Succeeded") <= 120


def test_columns_of_sets_fit_in_120_characters(system: System, namespace: str) -> None:
    """The name has 30 characters, and the reason may be the longest one."""
    inside = f"--namespace={namespace}"
    selection = named(f"{namespace}-*", exclude=[{"name": "sandbox-*"}])
    apply_set(system, namespace, LONG_NAME, organizations=selection)
    system.wait_for(namespace, LONG_NAME, ("True", "NothingMatches"), kind="znps")
    table = system.plane.kubectl("get", "znps", inside).stdout
    assert LONG_NAME in table
    longest = max(len(reason) for reason in set(Reason) - NEVER_OF_READY)
    assert width(table) + longest - len("NothingMatches") <= 120


def test_columns_of_instances(system: System) -> None:
    """The url may be long; `-o wide` shows what has no room."""
    short = system.plane.kubectl("get", "zni", "shared").stdout
    assert short.split()[:6] == ["NAME", "URL", "POLICIES", "READY", "REASON", "AGE"]
    longest = max(len(reason) for reason in Reason)
    rest = width(short) - len(system.emulator.url) + longest - len("Succeeded")
    assert rest + len("https://zitadel-of-the-platform.example.com") <= 120
    wide = system.plane.kubectl("get", "zni", "shared", "--output=wide").stdout
    assert "INSTANCE-ID" in wide
    assert "ZITADEL answers" in wide


def test_the_category_shows_all_kinds(system: System, namespace: str) -> None:
    """`kubectl get zitadel` shows the namespace's policies and sets, and instances."""
    org = system.organization()
    apply_set(system, namespace, "s", organizations=named(f"{namespace}-*"))
    system.policy(namespace, "p", org)
    system.wait_for(namespace, "p")
    output = system.plane.kubectl("get", "zitadel", f"--namespace={namespace}").stdout
    names = {line.split()[0] for line in output.splitlines() if "/" in line}
    assert "notificationpolicy.zitadel-notification.dev/p" in names
    assert "notificationpolicyset.zitadel-notification.dev/s" in names
    assert "zitadelinstance.zitadel-notification.dev/shared" in names


def test_wait_does_not_take_an_old_true(system: System, namespace: str) -> None:
    """Ready of the former spec is True, and `kubectl wait` still waits."""
    org = system.organization()
    inside = f"--namespace={namespace}"
    wait = ("wait", "--for=condition=Ready", "znp/p", inside)
    system.policy(namespace, "p", org)
    system.plane.kubectl(*wait, "--timeout=90s")
    system.policy(namespace, "p", org, passwordChange=False, suspend=True)
    eventually(
        lambda: (
            system.stored("znp", "p", namespace)["status"]["observedGeneration"] == 2
        )
    )
    assert system.condition("znp", "p", namespace, "Ready") == ("True", "Succeeded")
    assert system.plane.kubectl(*wait, "--timeout=1s", check=False).returncode
    system.policy(namespace, "p", org, passwordChange=False)
    system.plane.kubectl(*wait, "--timeout=90s")
    assert system.emulator.policy(org).get("passwordChange", False) is False


def marks(body: Json) -> tuple[str | None, list[str]]:
    """Return annotation and finalizer of the operator on an object."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {})
    return annotations.get(ORIGINAL), metadata.get("finalizers", [])


def test_replace_by_the_manifest_is_repaired(system: System, namespace: str) -> None:
    """It removes annotation and finalizer, which come back."""
    org = system.organization()
    system.policy(namespace, "p", org, deletionPolicy="Restore")
    before = system.wait_for(namespace, "p")
    manifest = {k: before[k] for k in ("apiVersion", "kind", "spec")}
    manifest["metadata"] = {"name": "p", "namespace": namespace}
    done = system.plane.kubectl(
        *("replace", "-f-", "--output=json"), stdin=json.dumps(manifest)
    )
    assert marks(json.loads(done.stdout)) == (None, [])
    assert json.loads(done.stdout)["status"] == before["status"]

    def mended() -> bool:
        return marks(system.get("znp", "p", namespace) or {}) == marks(before)

    eventually(mended, what="annotation and finalizer")
    after = system.wait_for(namespace, "p")
    assert after["status"] == before["status"]
    assert written(system, org) == ["POST"]
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    assert system.emulator.policy(org)["isDefault"]


def test_replace_by_what_is_stored_is_nothing(system: System, namespace: str) -> None:
    """`kubectl get -o json | kubectl replace -f -`, also with a change in it."""
    org = system.organization()
    system.policy(namespace, "p", org)
    before = system.wait_for(namespace, "p")
    system.plane.kubectl("replace", "-f-", stdin=json.dumps(before))
    changed = {**before, "spec": {**before["spec"], "passwordChange": False}}
    del changed["metadata"]["resourceVersion"]
    system.plane.kubectl("replace", "-f-", stdin=json.dumps(changed))
    after = system.wait_for(namespace, "p")
    assert after["metadata"]["generation"] == 2
    assert marks(after) == marks(before)
    assert after["status"]["original"] == before["status"]["original"]
    assert written(system, org) == ["POST", "PUT"]


def test_edit_keeps_what_the_operator_keeps(system: System, namespace: str) -> None:
    """An editor changes the value everywhere, even in the status."""
    org = system.organization()
    system.policy(namespace, "p", org)
    before = system.wait_for(namespace, "p")
    editor = "sed -i -e 's/^  passwordChange: true/  passwordChange: false/'"
    done = run_kubectl(
        system.plane.kubectl_path,
        system.plane.kubeconfig,
        ("edit", "znp", "p", f"--namespace={namespace}"),
        environment={"KUBE_EDITOR": editor},
    )
    assert "edited" in done.stdout
    after = system.wait_for(namespace, "p")
    assert after["spec"]["passwordChange"] is False
    assert after["metadata"]["generation"] == 2
    assert marks(after) == marks(before)
    assert after["status"]["original"] == before["status"]["original"]
    assert written(system, org) == ["POST", "PUT"]


def written(system: System, organization: str) -> list[str]:
    """Return the verbs of all writes to an organization's policy."""
    return [w[0] for w in system.emulator.writes() if w[2] == organization]
