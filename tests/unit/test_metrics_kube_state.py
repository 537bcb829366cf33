"""The configuration for kube-state-metrics reads fields that the CRDs have."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from support.documents import read_yaml

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "kube-state-metrics"
RESOURCES: list[dict[str, Any]] = read_yaml(FOLDER / "custom-resource-state.yaml")[
    "spec"
]["resources"]
CRDS = [*map(read_yaml, (ROOT / "deploy/crds").glob("*.yaml"))]


def schema_at(schema: dict[str, Any], path: list[str]) -> dict[str, Any] | None:
    """Return the schema of a field; `[key=value]` selects an item of a list."""
    for part in path:
        if part.startswith("["):
            key, _, wanted = part.strip("[]").partition("=")
            assert wanted
            schema = schema["items"]
            assert key in schema["properties"]
            continue
        if part not in schema.get("properties", {}):
            return None
        schema = schema["properties"][part]
    return schema


def paths_of(resource: dict[str, Any]) -> list[list[str]]:
    """Return all paths that are read."""
    found = list(resource["labelsFromPath"].values())
    for metric in resource["metrics"]:
        each = metric["each"]
        what = each[each["type"].lower()]
        found += list(what.get("labelsFromPath", {}).values())
        found += [what["path"]] if "path" in what else []
    return found


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda r: r["groupVersionKind"])
def test_each_path_is_a_field(resource: dict[str, Any]) -> None:
    """It is one of the named kind and version; a label is never an object."""
    kind = resource["groupVersionKind"]
    (crd,) = [crd for crd in CRDS if crd["spec"]["names"]["kind"] == kind["kind"]]
    assert crd["spec"]["group"] == kind["group"]
    (version,) = [v for v in crd["spec"]["versions"] if v["name"] == kind["version"]]
    paths = paths_of(resource)
    assert len(paths) >= 5
    for path in paths:
        if path[0] == "metadata":
            assert path[1] in {"name", "namespace"}
            continue
        schema = schema_at(version["schema"]["openAPIV3Schema"], path)
        assert schema is not None, path
        assert schema["type"] in {"string", "boolean", "integer"}, path


def test_both_kinds_are_configured_and_may_be_read() -> None:
    """The role has the plurals of the CRDs."""
    kinds = {resource["groupVersionKind"]["kind"] for resource in RESOURCES}
    assert kinds == {crd["spec"]["names"]["kind"] for crd in CRDS}
    role = yaml.safe_load((FOLDER / "rbac.yaml").read_text())
    (ours,) = [
        rule
        for rule in role["rules"]
        if rule["apiGroups"] == ["zitadel-notification.dev"]
    ]
    assert set(ours["resources"]) == {crd["spec"]["names"]["plural"] for crd in CRDS}
    assert set(ours["verbs"]) == {"list", "watch"}
