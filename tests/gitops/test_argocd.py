"""The scripts for Argo CD, run like its own tests, and the patch with them."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import lua51

from support import judges, lua
from support.kstatus import kstatus
from zitadel_notification_operator.demo.control_plane import ControlPlane

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "argocd"
GROUP = "zitadel-notification.dev"
PATCH = FOLDER / "argocd-cm.yaml"
KINDS = {
    "NotificationPolicy": {"refresh", "suspend", "resume"},
    "NotificationPolicySet": {"refresh", "suspend", "resume"},
    "ZitadelInstance": {"refresh"},
}
ANNOTATION = f"{GROUP}/reconcile-requested-at"


def load(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text())


def cases(file: str, part: str) -> list[Any]:
    """Return each case of a test file in Argo CD's format, with its kind."""
    return [
        pytest.param(kind, case, id=f"{kind}-{Path(case['inputPath']).stem}")
        for kind in KINDS
        for case in load(FOLDER / GROUP / kind / file)[part]
    ]


@pytest.mark.parametrize(("kind", "case"), cases("health_test.yaml", "tests"))
def test_health(kind: str, case: Json) -> None:
    """Status and message fit the statuses that the operator has written."""
    body = load(FOLDER / GROUP / kind / case["inputPath"])
    assert body["kind"] == kind
    script = (FOLDER / GROUP / kind / "health.lua").read_text()
    assert lua.health(script, body) == case["healthStatus"]
    assert judges.disagreements(body) == []


def test_the_files_show_each_health() -> None:
    """They include two kinds of suspension, which kstatus distinguishes."""
    shown: dict[str, set[tuple[str, str]]] = {kind: set() for kind in KINDS}
    for kind, found in shown.items():
        for file in (FOLDER / GROUP / kind / "testdata").glob("*.yaml"):
            found.add((judges.argo(load(file))[0], str(kstatus(load(file)))))
    plain = {
        ("Healthy", "Current"),
        ("Progressing", "InProgress"),
        ("Degraded", "Failed"),
        ("Progressing", "Terminating"),
    }
    assert shown["ZitadelInstance"] == plain
    suspended = {("Suspended", "Current"), ("Suspended", "InProgress")}
    assert shown["NotificationPolicy"] == plain | suspended
    assert shown["NotificationPolicySet"] == plain | suspended


@pytest.mark.parametrize(
    ("kind", "case"), cases("actions/action_test.yaml", "discoveryTests")
)
def test_actions_offered(kind: str, case: Json) -> None:
    """Each kind has its actions, disabled if they would do nothing."""
    folder = FOLDER / GROUP / kind / "actions"
    script = (folder / "discovery.lua").read_text()
    found = lua.discover(script, load(folder / case["inputPath"]))
    assert found == {a["name"]: a["disabled"] for a in case["result"]}
    assert set(found) == KINDS[kind]
    assert set(found) == {file.parent.name for file in folder.glob("*/action.lua")}


@pytest.mark.parametrize(
    ("kind", "case"), cases("actions/action_test.yaml", "actionTests")
)
def test_action(kind: str, case: Json) -> None:
    """It returns the expected object, which differs in one field."""
    folder = FOLDER / GROUP / kind / "actions"
    script = (folder / case["action"] / "action.lua").read_text()
    before = load(folder / case["inputPath"])
    after = lua.act(script, copy.deepcopy(before))
    assert after == load(folder / case["expectedOutputPath"])
    changed = [path for path, _ in differences(before, after)]
    if case["action"] == "refresh":
        assert changed == [("metadata", "annotations", ANNOTATION)]
    else:
        assert changed == [("spec", "suspend")]


def differences(
    old: Any, new: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and new value of each field that has changed."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            yield from differences(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield path, new


def test_refresh_where_there_is_no_annotation() -> None:
    """An object may have no annotations at all."""
    script = (
        FOLDER / GROUP / "ZitadelInstance" / "actions" / "refresh" / "action.lua"
    ).read_text()
    body: Json = {"metadata": {"name": "a"}, "spec": {"url": "u", "rateLimit": {}}}
    after = lua.act(script, body)
    assert after["metadata"]["annotations"] == {ANNOTATION: "2026-01-02T03:04:05Z"}
    assert after["spec"] == body["spec"]


def test_the_kinds_share_their_rules() -> None:
    """Only suspension differs, which policies and sets have."""
    policy, policy_set, instance = (
        (FOLDER / GROUP / kind / "health.lua").read_text() for kind in KINDS
    )
    for script in (policy, policy_set):
        start = script.index("if obj.spec ~= nil and obj.spec.suspend")
        end = script.index("if obj.status == nil or")
        assert script[:start] + script[end:] == instance


@pytest.mark.parametrize(
    "call",
    ["('x'):upper()", "string.len('x')", "os.time()", "math.random()", "io.open('/')"],
)
def test_the_interpreter_is_as_poor_as_argos(call: str) -> None:
    """A script that needs more would work here and fail in Argo CD."""
    with pytest.raises(lua51.LuaError, match=r"attempt to index"):
        lua.health(f"return {{ status = {call} }}", {})


def test_a_script_must_return_a_table() -> None:
    """Argo CD requires that, too."""
    with pytest.raises(lua.LuaTable):
        lua.health("return 'Healthy'", {})


def run_tool(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tools/argocd_patch.py of a checkout."""
    return subprocess.run(
        [sys.executable, str(root / "tools" / "argocd_patch.py"), *options],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_patch_is_made_of_the_files() -> None:
    """`python tools/argocd_patch.py` writes it."""
    done = run_tool(ROOT, "--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("stale", [f"{GROUP}/ZitadelInstance/health.lua", PATCH.name])
def test_a_stale_patch_is_found_and_made_anew(tmp_path: Path, stale: str) -> None:
    """Its sources or the patch itself were edited."""
    folder = tmp_path / "deploy" / "argocd"
    shutil.copytree(FOLDER, folder)
    (tmp_path / "tools").mkdir()
    for name in ("argocd_patch.py", "generated_files.py"):
        shutil.copy(ROOT / "tools" / name, tmp_path / "tools")
    file = folder / stale
    file.write_text(file.read_text() + "-- more\n")
    before = (folder / PATCH.name).read_text()
    done = run_tool(tmp_path, "--check")
    assert done.returncode == 1
    assert "deploy/argocd/argocd-cm.yaml is out of date" in done.stderr
    assert "Run: make generate" in done.stderr
    assert (folder / PATCH.name).read_text() == before
    assert run_tool(tmp_path).returncode == 0
    assert run_tool(tmp_path, "--check").returncode == 0
    edited = stale != PATCH.name
    assert ("    -- more\n" in (folder / PATCH.name).read_text()) is edited


def test_the_patch_is_what_argo_reads() -> None:
    """It contains health script and actions of each kind unchanged."""
    data = yaml.safe_load(PATCH.read_text())["data"]
    for kind, names in KINDS.items():
        folder = FOLDER / GROUP / kind
        health = data.pop(f"resource.customizations.health.{GROUP}_{kind}")
        assert health == (folder / "health.lua").read_text()
        actions = yaml.safe_load(
            data.pop(f"resource.customizations.actions.{GROUP}_{kind}")
        )
        scripts = {d["name"]: d["action.lua"] for d in actions.pop("definitions")}
        assert set(scripts) == names
        for name, script in scripts.items():
            assert script == (folder / "actions" / name / "action.lua").read_text()
        discovery = (folder / "actions" / "discovery.lua").read_text()
        assert actions == {"discovery.lua": discovery}
    assert not data


def test_the_patch_leaves_the_rest_of_the_map(
    control_plane: ControlPlane, namespace: str
) -> None:
    """The guide's command keeps other keys of the ConfigMap."""
    inside = f"--namespace={namespace}"
    found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}}
    found = {**found, "data": {"url": "https://argocd.example.com"}}
    control_plane.kubectl("create", "-f-", inside, stdin=json.dumps(found))
    patch = PATCH.read_text().replace("namespace: argocd", f"namespace: {namespace}")
    file = control_plane.folder / "argocd-cm.yaml"
    file.write_text(patch)
    control_plane.kubectl(
        *("patch", "configmap", "argocd-cm", inside, f"--patch-file={file}")
    )
    text = control_plane.kubectl(
        *("get", "configmap", "argocd-cm", inside, "--output=json")
    ).stdout
    data = json.loads(text)["data"]
    assert data.pop("url") == "https://argocd.example.com"
    assert data == yaml.safe_load(PATCH.read_text())["data"]
