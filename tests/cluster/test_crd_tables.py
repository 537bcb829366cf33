"""Each rule and each bound of the CRDs has a row in `tests/data/crd`.

`test_crd_rows.py` and `test_crd_bounds.py` try the rows on a real API server. A rule
without a row fails here, and so does a row whose words match two rules.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.documents import read_yaml

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "tests" / "data" / "crd").glob("*.yaml"))
TABLES = {t["kind"]: t for t in map(read_yaml, FILES)}
KINDS = sorted(TABLES)
BOUNDS = {
    "enum": "supported values",
    "pattern": "should match",
    "minLength": "chars long",
    "minItems": "at least",
}
"""What a refusal by a bound says; other bounds have their rows in `limits`."""

Json = dict[str, Any]


def nodes(schema: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Yield the path and schema of each field; items have the number 0."""
    yield path, schema
    for name, node in schema.get("properties", {}).items():
        yield from nodes(node, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[0]")


def spec_nodes(kind: str) -> list[tuple[str, Json]]:
    """Return spec and all fields below it from the CRD file."""
    (file,) = (ROOT / "deploy" / "crds").glob(f"*_{TABLES[kind]['resource']}.yaml")
    version = yaml.safe_load(file.read_text())["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return list(nodes(schema, "spec"))


def refusals(kind: str, *sections: str) -> list[tuple[str, str]]:
    """Return the fields and words of rows, with every number as 0."""
    return [
        (re.sub(r"\[\d+\]", "[0]", row["field"]), row["says"])
        for section in sections
        for row in TABLES[kind][section]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_has_a_row(kind: str) -> None:
    """It must come from this rule, and be an update for a transition rule."""
    rules = [
        (path + rule.get("fieldPath", ""), rule)
        for path, node in spec_nodes(kind)
        for rule in node.get("x-kubernetes-validations", ())
    ]
    assert rules
    for field, rule in rules:
        others = [r["message"] for f, r in rules if f == field and r is not rule]
        sections = ["updates_refused"]
        if "oldSelf" not in rule["rule"]:
            sections.append("refused")
        assert any(
            place == field
            and words in rule["message"]
            and not any(words in other for other in others)
            for place, words in refusals(kind, *sections)
        ), rule["message"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_bound_has_a_row(kind: str) -> None:
    """Required fields, enums, patterns and sets have rows; lengths have limits."""
    refused = refusals(kind, "refused")
    limits = {limit["field"] for limit in TABLES[kind]["limits"]}
    for path, node in spec_nodes(kind):
        wanted = [(path, words) for key, words in BOUNDS.items() if key in node]
        wanted += [(f"{path}.{n}", "Required value") for n in node.get("required", ())]
        if node.get("x-kubernetes-list-type") == "set":
            wanted.append((f"{path}[0]", "Duplicate value"))
        for field, words in wanted:
            assert any(f == field and words in w for f, w in refused), (field, words)
        if {"maxLength", "maxItems", "minimum", "maximum"} & node.keys():
            tried = any(f == path and w.startswith("Too") for f, w in refused)
            assert tried or path in limits, path
