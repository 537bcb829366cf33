"""Applying from Git: the stored object is the applied one, and a diff is empty.

Argo CD and Flux do not run here, but their ways to compare do: a client-side three-way
diff, a server-side diff, and a server-side dry run under their own field managers.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.conftest import System
from support.running import OWN_NAMESPACE, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.binaries import find_binaries

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
QUICKSTART, GITOPS = EXAMPLES / "quickstart", EXAMPLES / "gitops"
ACME = "280000000000000101"
API = "zitadel-notification.dev/v1alpha1"
ORIGINAL = "zitadel-notification.dev/original"
OURS = "zitadel-notification-operator"

WAYS = {
    "client-side": (),
    "Argo CD": ("--server-side", "--field-manager=argocd-controller"),
    "Flux": ("--server-side", "--field-manager=kustomize-controller"),
}

Json = dict[str, Any]


def declare(kind: str, name: str, namespace: str, spec: Json) -> Json:
    """Return a manifest as it is in Git."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}


def policy(namespace: str, organization: str, **spec: Any) -> Json:
    """Return a policy's manifest."""
    whole = {
        "scope": "Organization",
        "instanceRef": {"name": "shared"},
        "organization": {"id": organization},
        "passwordChange": True,
        **spec,
    }
    return declare("NotificationPolicy", "p", namespace, whole)


def policy_set(system: System, namespace: str, **spec: Any) -> Json:
    """Return the manifest of a set for two new organizations."""
    for number in range(2):
        body = {"name": f"{namespace}-{number}"}
        system.emulator.call("POST", "/management/v1/orgs", body)
    whole = {
        "instanceRef": {"name": "shared"},
        "organizations": {"include": [{"name": f"{namespace}-*"}]},
        "passwordChange": True,
        **spec,
    }
    return declare("NotificationPolicySet", "s", namespace, whole)


def whole_instance(name: str, url: str) -> Json:
    """Return an instance's manifest in a form that a tidy program would change."""
    spec = {
        "url": url + "/",
        "allowInsecureHTTP": True,
        "credentials": {
            "personalAccessToken": {
                "secretRef": {"name": "zitadel-credentials", "key": "token"}
            }
        },
        "rateLimit": {
            "requestsPerSecond": 50,
            "burst": 100,
            "maxConcurrent": 8,
            "maxConcurrentWrites": 1,
        },
        "driftDetection": {
            "method": "Auto",
            "eventsInterval": "0h60s",
            "pollInterval": "90m",
        },
        "grants": [
            {"namespaces": ["zz", "*", "aa"], "scopes": ["Instance", "Organization"]},
            {"namespaces": ["aa"], "scopes": ["Organization"]},
        ],
    }
    return declare("ZitadelInstance", name, "", spec)


def kubectl(
    system: System, verb: str, manifest: Json, *options: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run kubectl with a manifest."""
    return system.plane.kubectl(
        verb, "-f-", *options, stdin=json.dumps(manifest), check=check
    )


def difference(system: System, manifest: Json, *way: str) -> str:
    """Return the output of `kubectl diff`, which is empty if nothing differs."""
    done = kubectl(system, "diff", manifest, *way, check=False)
    assert done.returncode in {0, 1}, done.stderr
    assert bool(done.stdout) == bool(done.returncode)
    return done.stdout


def stored(system: System, namespace: str, *what: str) -> Json:
    """Return an object with its managedFields, if not named the policy."""
    whole = ("--output=json", "--show-managed-fields")
    inside = f"--namespace={namespace}"
    found: Json = json.loads(
        system.plane.kubectl("get", *(what or ("znp", "p")), inside, *whole).stdout
    )
    return found


@pytest.mark.parametrize("name", WAYS)
def test_a_second_diff_is_empty(system: System, namespace: str, name: str) -> None:
    """Each way to apply finds no difference, after an edit, too."""
    way = WAYS[name]
    manifest = policy(namespace, system.organization())
    for value in (True, False):
        manifest["spec"]["passwordChange"] = value
        kubectl(system, "apply", manifest, *way)
        live = system.wait_for(namespace, "p")
        assert ORIGINAL in live["metadata"]["annotations"]
        assert live["metadata"]["finalizers"]
        assert difference(system, manifest, *way) == ""
    if not way:
        assert "unchanged" in kubectl(system, "apply", manifest).stdout


@pytest.mark.parametrize("name", WAYS)
def test_a_dry_run_changes_nothing(system: System, namespace: str, name: str) -> None:
    """A server-side apply of Argo CD or Flux would store the same object."""
    manifest = policy(namespace, system.organization(), managementPolicy="Manage")
    kubectl(system, "apply", manifest, *WAYS[name])
    system.wait_for(namespace, "p")
    live = stored(system, namespace)
    for way in WAYS.values():
        if way:
            options = ("--dry-run=server", "--force-conflicts", "--output=json")
            would = json.loads(
                kubectl(system, "apply", manifest, *way, *options).stdout
            )
            assert without_managers(would) == without_managers(live)


def without_managers(body: Json) -> Json:
    """Return an object without the list of who manages which field."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return {**body, "metadata": metadata}


def test_who_manages_what(system: System, namespace: str) -> None:
    """The operator has status, annotation and finalizer; the tool has the rest."""
    manifest = policy(namespace, system.organization())
    kubectl(system, "apply", manifest, *WAYS["Argo CD"])
    system.wait_for(namespace, "p")
    entries = stored(system, namespace)["metadata"]["managedFields"]
    paths: dict[str, set[str]] = {}
    for entry in entries:
        found = paths.setdefault(entry["manager"], set())
        for top, fields in entry["fieldsV1"].items():
            found |= {f"{top}.{field}" for field in fields if field != "."}
    ours = {path for path in paths.pop(OURS) if not path.startswith("f:status.")}
    assert ours == {"f:metadata.f:annotations", "f:metadata.f:finalizers"}
    fields = {f"f:spec.f:{field}" for field in manifest["spec"]}
    assert paths == {"argocd-controller": fields}
    (marks,) = (
        e["fieldsV1"]["f:metadata"]
        for e in entries
        if e["manager"] == OURS and "f:metadata" in e["fieldsV1"]
    )
    assert set(marks["f:annotations"]) - {"."} == {f"f:{ORIGINAL}"}
    finalizer = '"zitadel-notification.dev/cleanup"'
    assert set(marks["f:finalizers"]) - {"."} == {f"v:{finalizer}"}


@pytest.mark.parametrize("name", WAYS)
def test_a_set_is_as_in_git(system: System, namespace: str, name: str) -> None:
    """No way to apply finds a difference; the operator has status and finalizer."""
    way = WAYS[name]
    manifest = policy_set(system, namespace, limits={"removals": 0})
    for value in (True, False):
        manifest["spec"]["passwordChange"] = value
        kubectl(system, "apply", manifest, *way)
        live = system.wait_for(namespace, "s", kind="znps", patience=60)
        assert live["metadata"]["finalizers"]
        assert "annotations" not in live["metadata"] or not way
        assert difference(system, manifest, *way) == ""
    live = stored(system, namespace, "znps", "s")
    for way in WAYS.values():
        if way:
            options = ("--dry-run=server", "--force-conflicts", "--output=json")
            would = json.loads(
                kubectl(system, "apply", manifest, *way, *options).stdout
            )
            assert without_managers(would) == without_managers(live)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Argo CD", "argocd/zitadel/customers.yaml"),
        ("Flux", "flux/policies/customers.yaml"),
    ],
)
def test_the_set_of_the_example(
    system: System, namespace: str, name: str, file: str
) -> None:
    """It is in force as in Git; when its file is removed, ZITADEL stays as it is.

    It gets the organizations of this test only, because others use the same ZITADEL.
    """
    covered, sandbox = (
        str(system.emulator.call("POST", "/management/v1/orgs", {"name": called})["id"])
        for called in (f"{namespace}-1", f"sandbox-{namespace}-2")
    )
    manifest: Json = yaml.safe_load((GITOPS / file).read_text())
    manifest["metadata"]["namespace"] = namespace
    manifest["spec"]["instanceRef"] = {"name": "shared"}
    selection = manifest["spec"]["organizations"]
    assert selection.pop("all")
    selection["include"] = [{"name": f"*{namespace}-*"}]
    way = WAYS[name]
    kubectl(system, "apply", manifest, *way)
    body = system.wait_for(namespace, "customers", kind="znps", patience=60)
    assert body["status"]["organizations"]["matched"] == 1
    assert difference(system, manifest, *way) == ""
    kubectl(system, "delete", manifest, "--timeout=60s")
    assert system.emulator.policy(covered)["passwordChange"]
    assert "isDefault" not in system.emulator.policy(covered)
    assert system.emulator.policy(sandbox)["isDefault"]


def test_what_a_set_makes_is_not_in_git(system: System, namespace: str) -> None:
    """It has an owner and the set's label, and nothing of the tool's."""
    manifest = policy_set(system, namespace, deletionPolicy="Reset")
    manifest["metadata"] |= {
        "labels": {"app.kubernetes.io/instance": "an-application"},
        "annotations": {"argocd.argoproj.io/tracking-id": "an-application:s"},
    }
    kubectl(system, "apply", manifest, *WAYS["Argo CD"])
    system.wait_for(namespace, "s", kind="znps", patience=60)
    listed = stored(system, namespace, "znp")["items"]
    assert len(listed) == 2
    for made in listed:
        metadata = made["metadata"]
        assert metadata["labels"] == {"zitadel-notification.dev/set": "s"}
        assert set(metadata["annotations"]) == {ORIGINAL}
        (owner,) = metadata["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("NotificationPolicySet", "s")
        paths = {
            entry["manager"]: set(entry["fieldsV1"].get("f:metadata", {}))
            for entry in metadata["managedFields"]
            if "f:metadata" in entry["fieldsV1"]
        }
        assert paths == {
            OURS: {"f:annotations", "f:finalizers"},
            f"{OURS}-sets": {"f:labels", "f:ownerReferences"},
        }
        specs = {
            entry["manager"]
            for entry in metadata["managedFields"]
            if "f:spec" in entry["fieldsV1"]
        }
        assert specs == {f"{OURS}-sets"}


def test_the_spec_stays_byte_for_byte(system: System, namespace: str) -> None:
    """No duration is rewritten, no list sorted, no field added."""
    instance = whole_instance(namespace, system.emulator.url)
    kubectl(system, "apply", instance, *WAYS["Argo CD"])
    body = system.wait_for("", namespace, kind="zni")
    assert text(body["spec"]) == text(instance["spec"])
    whole = policy(
        namespace,
        system.organization(),
        instanceRef={"name": namespace},
        managementPolicy="Manage",
        deletionPolicy="Restore",
        suspend=False,
    )
    kubectl(system, "apply", whole, *WAYS["Flux"])
    body = system.wait_for(namespace, "p")
    assert text(body["spec"]) == text(whole["spec"])
    assert body["metadata"]["generation"] == 1
    system.delete("p", namespace)
    system.gone("znp", "p", namespace)
    system.plane.kubectl("delete", "zni", namespace, "--wait=false")
    system.gone("zni", namespace)


def text(spec: Json) -> str:
    """Return a spec as text: lists keep their order, maps are sorted."""
    return json.dumps(spec, sort_keys=True)


@pytest.mark.parametrize("name", WAYS)
def test_suspending_by_hand(system: System, namespace: str, name: str) -> None:
    """It is a difference only if Git says false."""
    silent = policy(namespace, system.organization())
    kubectl(system, "apply", silent, *WAYS[name])
    system.wait_for(namespace, "p")
    # Argo CD's server does this for an action.
    system.plane.kubectl(
        *("patch", "znp", "p", f"--namespace={namespace}", "--type=merge"),
        *("--field-manager=argocd-server", '--patch={"spec":{"suspend":true}}'),
    )
    eventually(
        lambda: (
            system.stored("znp", "p", namespace)["status"]["observedGeneration"] == 2
        )
    )
    assert difference(system, silent, *WAYS[name]) == ""
    explicit = {**silent, "spec": {**silent["spec"], "suspend": False}}
    force = ("--force-conflicts",) if WAYS[name] else ()
    found = difference(system, explicit, *WAYS[name], *force)
    assert "-  suspend: true" in found
    assert "+  suspend: false" in found


def chart(folder: Path, manifest: Json) -> Path:
    """Write a chart with one manifest, which has the release's name."""
    about = {"apiVersion": "v2", "name": "policies", "version": "0.1.0"}
    named = {**manifest, "metadata": {"name": "{{ .Release.Name }}"}}
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    (folder / "templates" / "policy.yaml").write_text(yaml.safe_dump(named))
    return folder


def test_helm_waits_for_policies(
    system: System, namespace: str, tmp_path: Path
) -> None:
    """Helm 4 uses kstatus: it ends when the policy is in force, or Stalled.

    A set is in force when all of its policies are.
    """
    folder = chart(tmp_path / "policy", policy(namespace, system.organization()))
    sets = chart(tmp_path / "set", policy_set(system, namespace))

    def install(
        release: str, folder: Path = folder
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(find_binaries(("helm",)) / "helm"),
                *("install", release, str(folder), f"--namespace={namespace}"),
                *("--wait", "--timeout=90s"),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "KUBECONFIG": str(system.plane.kubeconfig),
                "HOME": str(system.plane.folder),
            },
        )

    done = install("first")
    assert done.returncode == 0, done.stderr
    ready = system.condition("znp", "first", namespace, "Ready")
    assert ready == ("True", "Succeeded")
    done = install("both", sets)
    assert done.returncode == 0, done.stderr
    ready = system.condition("znps", "both", namespace, "Ready")
    assert ready == ("True", "Succeeded")
    done = install("second")
    assert "status: Failed" in done.stderr
    assert "The older NotificationPolicy 'first' owns this" in done.stderr


@pytest.mark.parametrize("order", ["policies first", "namespace first"])
def test_the_whole_quickstart_goes_at_once(
    system: System, namespace: str, order: str
) -> None:
    """It is deleted with its Secret and namespace, as a pruned folder."""
    create_secret(system.plane, namespace)
    secret = system.stored("secret", namespace, OWN_NAMESPACE)
    space = system.stored("namespace", namespace)
    manifests = [space, secret, *quickstart(system, namespace)]
    for manifest in manifests[2:]:
        kubectl(system, "apply", manifest)
    system.wait_for(namespace, "acme")
    system.wait_for(OWN_NAMESPACE, "instance-default")
    before = system.emulator.policy()
    if order == "policies first":
        manifests.reverse()
    system.plane.start_controller_manager(("namespace-controller",))
    try:
        everything = {"apiVersion": "v1", "kind": "List", "items": manifests}
        kubectl(system, "delete", everything, "--timeout=90s")
    finally:
        system.plane.stop_controller_manager()
    assert system.get("zni", "default") is None
    assert system.get("znp", "instance-default", OWN_NAMESPACE) is None
    assert system.get("namespace", namespace) is None
    assert system.get("secret", namespace, OWN_NAMESPACE) is None
    assert system.emulator.policy(ACME)["isDefault"]
    # The default is Retain, because ZITADEL has no reset of the instance's policy.
    assert system.emulator.policy() == before


def quickstart(system: System, namespace: str) -> list[Json]:
    """Return the quickstart's files for this emulator, Secret and namespace."""
    changes = {
        "http://127.0.0.1:8085": system.emulator.url,
        "name: zitadel-credentials": f"name: {namespace}",
        "namespace: default": f"namespace: {namespace}",
        "[default]": f"[{namespace}]",
    }
    found = []
    for file in sorted(QUICKSTART.glob("*.yaml")):
        manifest = file.read_text()
        for old, new in changes.items():
            manifest = manifest.replace(old, new)
        found.append(yaml.safe_load(manifest))
    return found
