"""Update the schemas of the CRDs that the package contains.

    python tools/schemas.py [--check]

`znp` says of a manifest what Kubernetes would refuse, also where there is no cluster.
For that, the package has the part of deploy/crds that decides about an object. With
`--check` the script writes nothing, and fails if the file is out of date.
"""

import json
import sys
from typing import Any

import generated_files
import yaml

ROOT = generated_files.ROOT
CRDS = ROOT / "deploy" / "crds"
PACKAGE = ROOT / "operator" / "zitadel_notification_operator"
FILE = PACKAGE / "manifests" / "schemas.json"
KEPT = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "required",
)
RULES = "x-kubernetes-validations"


def derive_text() -> str:
    """Return the text that the file must have."""
    found: dict[str, Any] = {}
    for path in sorted(CRDS.glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())["spec"]
        schema = crd["versions"][0]["schema"]["openAPIV3Schema"]
        root = {**schema, "properties": {"spec": schema["properties"]["spec"]}}
        found[crd["names"]["kind"]] = reduced(root)
    return json.dumps(found, indent=1) + "\n"


def reduced(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what a schema says about an object when it is created."""
    result = {key: schema[key] for key in KEPT if key in schema}
    if "default" in schema:
        result["hasDefault"] = True
    if schema.get("x-kubernetes-list-type") == "set":
        result["isSet"] = True
    rules = [
        {key: rule[key] for key in ("rule", "message", "fieldPath") if key in rule}
        for rule in schema.get(RULES, ())
        if "oldSelf" not in rule["rule"]
    ]
    if rules:
        result["rules"] = rules
    if "properties" in schema:
        members = schema["properties"].items()
        result["properties"] = {name: reduced(member) for name, member in members}
    if "items" in schema:
        result["items"] = reduced(schema["items"])
    return result


if __name__ == "__main__":
    sys.exit(generated_files.run(__doc__, lambda: {FILE: derive_text()}))
