"""The CRD files follow the conventions of Kubernetes and the names of the design.

`cluster/test_crd_*.py` test them on a real API server.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.documents import read_yaml

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "deploy" / "crds").glob("*.yaml"))

Json = dict[str, Any]

CRDS = {c["spec"]["names"]["kind"]: c for c in map(read_yaml, FILES)}
KINDS = sorted(CRDS)

CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
CONDITIONS = {
    "type": "array",
    "maxItems": 8,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["type", "status", "reason", "message", "lastTransitionTime"],
        "properties": {
            "type": {"type": "string", "maxLength": 316, "pattern": CONDITION_TYPE},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            },
            "message": {"type": "string", "maxLength": 32768},
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "maximum": 2**53 - 1,
            },
            "lastTransitionTime": {"type": "string", "format": "date-time"},
        },
    },
}
"""metav1.Condition; the maximum is the largest number that every JSON reader keeps."""

COLUMNS = {
    "NotificationPolicy": [
        *("Scope", "Organization", "PasswordChange", "(Default)", "InSync"),
        *("Ready", "Reason", "(Message)", "(Suspended)", "Age"),
    ],
    "NotificationPolicySet": [
        *("Matched", "Failed", "PasswordChange", "InSync", "Ready", "Reason"),
        *("(Message)", "(Suspended)", "Age"),
    ],
    "ZitadelInstance": [
        *("URL", "(Instance-Id)", "(Version)", "(User)"),
        *("(Class)", "(Served-By)", "Policies"),
        *("Ready", "Reason", "(Message)", "Age"),
    ],
}
"""In brackets: only with `--output=wide`."""

SHORT_NAMES = {
    "NotificationPolicy": "znp",
    "NotificationPolicySet": "znps",
    "ZitadelInstance": "zni",
}
SELECTABLE = {
    "NotificationPolicy": [".spec.scope", ".spec.instanceRef.name"],
    "NotificationPolicySet": [".spec.instanceRef.name"],
    "ZitadelInstance": [".spec.class"],
}


def version(kind: str) -> Json:
    """Return the only version of a kind."""
    (only,) = CRDS[kind]["spec"]["versions"]
    result: Json = only
    return result


def root(kind: str) -> Json:
    """Return the schema of a kind."""
    schema: Json = version(kind)["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield the path and schema of each field; items have the number 0."""
    yield path, schema
    for name, node in schema.get("properties", {}).items():
        yield from nodes(node, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[0]")


def ours(kind: str) -> list[tuple[str, Json]]:
    """Return the nodes of spec and status, and all below them."""
    return [n for n in nodes(root(kind)) if n[0].startswith(("spec", "status"))]


def rules(kind: str) -> list[tuple[str, Json]]:
    """Return each validation rule and the field that its refusal names."""
    return [
        (path + rule.get("fieldPath", ""), rule)
        for path, node in nodes(root(kind))
        for rule in node.get("x-kubernetes-validations", ())
    ]


def bare(schema: Any) -> Any:
    """Return a schema without descriptions."""
    if isinstance(schema, dict):
        return {
            name: bare(value)
            for name, value in schema.items()
            if not (name == "description" and isinstance(value, str))
        }
    return schema


@pytest.mark.parametrize("kind", KINDS)
def test_names(kind: str) -> None:
    """The names are those of the design; one version is stored and served."""
    crd = CRDS[kind]
    names, group = crd["spec"]["names"], crd["spec"]["group"]
    assert group == "zitadel-notification.dev"
    assert crd["metadata"]["name"] == f"{names['plural']}.{group}"
    assert (ROOT / "deploy" / "crds" / f"{group}_{names['plural']}.yaml").is_file()
    assert names["shortNames"] == [SHORT_NAMES[kind]]
    assert names["categories"] == ["zitadel"]
    only = version(kind)
    assert (only["name"], only["served"], only["storage"]) == ("v1alpha1", True, True)
    assert only["subresources"] == {"status": {}}


@pytest.mark.parametrize("kind", KINDS)
def test_file_suits_every_way_to_apply_it(kind: str) -> None:
    """It fits into kubectl's annotation, and Flux substitutes no variables in it."""
    text = json.dumps(CRDS[kind])
    assert len(text) < 262_144
    assert "${" not in text
    annotations = CRDS[kind]["metadata"]["annotations"]
    assert annotations["kustomize.toolkit.fluxcd.io/substitute"] == "disabled"


@pytest.mark.parametrize("kind", KINDS)
def test_every_node_is_typed_and_bounded(kind: str) -> None:
    """Bounds keep rules within their cost budget, and objects within etcd's limit."""
    for path, node in nodes(root(kind)):
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        assert "additionalProperties" not in node, path
        match node["type"]:
            case "string":
                bounded = "maxLength" in node or "enum" in node
                assert bounded or node.get("format") == "date-time", path
            case "array":
                assert {"maxItems", "x-kubernetes-list-type"} <= node.keys(), path
            case "integer":
                assert {"minimum", "maximum"} <= node.keys(), path
            case other:
                assert other in {"object", "boolean"}, path


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_described(kind: str) -> None:
    """`kubectl explain` has a sentence for each field, which names its default."""
    for path, node in ours(kind):
        description = node.get("description", "")
        assert len(description) >= 20, path
        assert description.endswith("."), path
        default = node.get("default")
        if isinstance(default, str | int) and not isinstance(default, bool):
            assert f"Default {default}" in description, path


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_on_optional_fields_alone(kind: str) -> None:
    """A required field with a default would not have to be set."""
    for path, node in nodes(root(kind)):
        for name in node.get("required", ()):
            assert "default" not in node["properties"][name], f"{path}.{name}"
    spec = root(kind)["properties"]["spec"]
    assert "default" not in spec["properties"].get("passwordChange", {})
    if kind == "NotificationPolicy":
        # It depends on the scope.
        assert "default" not in spec["properties"]["deletionPolicy"]


@pytest.mark.parametrize("kind", KINDS)
def test_status(kind: str) -> None:
    """The default of -1 makes tools wait, and conditions have Kubernetes' own form."""
    status = root(kind)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["observedGeneration"]["minimum"] == -1
    assert bare(status["properties"]["conditions"]) == CONDITIONS
    assert not {"phase", "ready"} & status["properties"].keys()
    assert not any("x-kubernetes-validations" in n for _, n in nodes(status))


@pytest.mark.parametrize("kind", KINDS)
def test_columns_and_selectable_fields_exist(kind: str) -> None:
    """Columns are in the documented order and read fields of the schema."""
    fields = {path for path, _ in nodes(root(kind))} | {"metadata.creationTimestamp"}
    shown = version(kind)["additionalPrinterColumns"]
    names = [f"({c['name']})" if c.get("priority") else c["name"] for c in shown]
    assert names == COLUMNS[kind]
    for column in shown:
        path = re.sub(r"\[\?\(@\.type==\"\w+\"\)\]", "[0]", column["jsonPath"])
        assert path.removeprefix(".") in fields
    selectable = [f["jsonPath"] for f in version(kind).get("selectableFields", ())]
    assert selectable == SELECTABLE[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_no_reference_leaves_its_namespace(kind: str) -> None:
    """Secrets are the operator's, so a tenant cannot use those of others."""
    for path, _ in nodes(root(kind)):
        assert not path.endswith("Ref.namespace"), path


@pytest.mark.parametrize("kind", KINDS)
def test_rules_say_what_to_do(kind: str) -> None:
    """A message is one line with the field in back-quotes and what is allowed."""
    for path, rule in rules(kind):
        message = rule["message"]
        assert "\n" not in message
        assert re.search(r"\b(must|may not|may only)\b", message), message
        names = re.findall(r"[A-Za-z]+", path) or ["metadata.name"]
        assert any(f"`{name}`" in message for name in names), message


def test_what_is_optional_and_immutable_is_kept_by_its_parent() -> None:
    """A rule on the field itself would not see it added or removed."""
    spec = root("NotificationPolicy")["properties"]["spec"]
    for name, node in spec["properties"].items():
        own = [r["rule"] for r in node.get("x-kubernetes-validations", ())]
        if "self == oldSelf" in own:
            assert name in spec["required"] or "default" in node
    kept = [
        r["rule"] for r in spec["x-kubernetes-validations"] if "oldSelf" in r["rule"]
    ]
    (rule,) = kept
    assert rule == (
        "has(self.organization) == has(oldSelf.organization) && "
        "(!has(self.organization) || self.organization == oldSelf.organization)"
    )


def names_in(schema: Json) -> Iterator[str]:
    """Yield the names of all properties of a schema, at any depth."""
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from names_in(inner)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from names_in(inner)


def test_only_an_instance_says_where_to_connect() -> None:
    """A tenant may write policies and sets, and must not choose an address."""
    saying = {
        kind
        for kind, crd in CRDS.items()
        for version in crd["spec"]["versions"]
        for name in names_in(version["schema"]["openAPIV3Schema"])
        if re.search(r"url|host|address|proxy|server|external", name, re.IGNORECASE)
    }
    assert saying == {"ZitadelInstance"}
