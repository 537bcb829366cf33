"""The last valid value is accepted; the next one and other types are refused.

The bounds are those of the tables in `tests/data/crd`, not of the CRD files. If a bound
moves in the schema, it has to move here, too.
"""

import copy
import json
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.documents import read_yaml
from zitadel_notification_operator.demo.control_plane import ControlPlane

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "tests" / "data" / "crd").glob("*.yaml"))
TABLES = {t["kind"]: t for t in map(read_yaml, FILES)}
KINDS = sorted(TABLES)
API = "zitadel-notification.dev/v1alpha1"

Json = dict[str, Any]
Create = Callable[[str, Json], httpx.Response]


@pytest.fixture(scope="module")
def create(control_plane: ControlPlane) -> Iterator[Create]:
    """Try a create in the default namespace without storing anything."""
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    with httpx.Client(
        base_url=f"{cluster['server']}/apis/{API}",
        headers={"Authorization": f"Bearer {user['token']}"},
        params={"dryRun": "All"},
        verify=ssl.create_default_context(cafile=cluster["certificate-authority"]),
        trust_env=False,
    ) as client:

        def ask(kind: str, spec: Json) -> httpx.Response:
            scope = "" if kind == "ZitadelInstance" else "/namespaces/default"
            body = {"apiVersion": API, "kind": kind, "metadata": {"name": "asked"}}
            path = f"{scope}/{TABLES[kind]['resource']}"
            return client.post(path, json={**body, "spec": spec})

        yield ask


def causes(response: httpx.Response) -> set[tuple[str, str]]:
    """Return fields and reasons; `<nil>` only says that more may be wrong."""
    details = response.json().get("details", {})
    found = {(c.get("field", ""), c["reason"]) for c in details.get("causes", ())}
    return {cause for cause in found if cause[0] != "<nil>"}


def placed(spec: Json, field: str, value: Any) -> Json:
    """Return a copy of the spec with one field set, by its path in a response."""
    copied: Json = copy.deepcopy({"spec": spec})
    *parents, last = [int(p) if p.isdigit() else p for p in re.findall(r"\w+", field)]
    place: Any = copied
    for part in parents:
        place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    place[last] = value
    result: Json = copied["spec"]
    return result


def sides(limit: Json) -> tuple[list[Any], list[Any]]:
    """Return the values that just fit, and those that just do not."""
    match limit:
        case {"range": [low, high]}:
            return [low, high], [low - 1, high + 1]
        case {"length": most}:
            fits = limit.get("prefix", "").ljust(most, "a")
            return [fits], [fits + "a"]
        case {"items": most, "each": each}:
            text = json.dumps(each)
            every = [json.loads(text.replace("%", str(i))) for i in range(most + 1)]
            return [every[:most]], [every]
        case _:
            raise AssertionError(f"a limit of an unknown form: {limit}")


LIMITS = [
    pytest.param(kind, limit, id=limit["field"])
    for kind in KINDS
    for limit in TABLES[kind]["limits"]
]


@pytest.mark.parametrize(("kind", "limit"), LIMITS)
def test_limits(create: Create, kind: str, limit: Json) -> None:
    """One value beside a limit is accepted, the other refused for the field."""
    base = TABLES[kind]["bases"][limit["base"]]
    fits, exceeds = sides(limit)
    for value in fits:
        response = create(kind, placed(base, limit["field"], value))
        assert response.status_code == 201, response.text
    for value in exceeds:
        response = create(kind, placed(base, limit["field"], value))
        assert {field for field, _ in causes(response)} == {limit["field"]}


WIDEST = {
    "namespaces": [f"{i:063}" for i in range(64)],
    "scopes": ["Organization", "Instance"],
}
NAME, DOMAIN = "株" * 199, "a" * 251


@pytest.mark.parametrize(
    "organizations",
    [
        pytest.param([{"name": f"{NAME}{i % 10}"} for i in range(64)], id="names"),
        pytest.param([{"domain": f"{DOMAIN}{i:02}"} for i in range(64)], id="domains"),
    ],
)
def test_rules_fit_the_budget_of_one_object(
    create: Create, organizations: list[Json]
) -> None:
    """This holds for the most grants, each as long as allowed."""
    grants = [{**WIDEST, "organizations": organizations}] * 64
    spec = {**TABLES["ZitadelInstance"]["bases"]["minimal"], "grants": grants}
    response = create("ZitadelInstance", spec)
    assert response.status_code == 201, response.text


LONGEST = "a*" * 100
MATCHERS = [
    pytest.param([{"name": LONGEST}], id="names"),
    pytest.param([{"domain": "a*" * 126}], id="domains"),
    pytest.param([{"id": "1" * 200}], id="ids"),
    pytest.param([{"name": LONGEST, "domain": "a*" * 126, "id": "1" * 200}], id="all"),
]


@pytest.mark.parametrize("matchers", MATCHERS)
def test_rules_fit_the_budget_of_one_set(create: Create, matchers: list[Json]) -> None:
    """This holds for the most matchers, each as long as allowed."""
    organizations = {"include": matchers * 64, "exclude": matchers * 64}
    spec = {**TABLES["NotificationPolicySet"]["bases"]["named"]}
    response = create("NotificationPolicySet", {**spec, "organizations": organizations})
    assert response.status_code == 201, response.text


def fields(schema: Json, path: str = "spec") -> Iterator[tuple[str, str]]:
    """Yield each field below spec and its type; items have the number 0."""
    for name, node in schema.get("properties", {}).items():
        yield f"{path}.{name}", node["type"]
        yield from fields(node, f"{path}.{name}")
    if "items" in schema:
        yield f"{path}[0]", schema["items"]["type"]
        yield from fields(schema["items"], f"{path}[0]")


@pytest.mark.parametrize("kind", KINDS)
def test_types(create: Create, kind: str) -> None:
    """No field accepts another type: neither YAML's numbers nor quoted booleans."""
    (file,) = (ROOT / "deploy" / "crds").glob(f"*_{TABLES[kind]['resource']}.yaml")
    version = yaml.safe_load(file.read_text())["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for field, wanted in fields(schema):
        other = 1 if wanted == "string" else "1"
        answer = create(kind, placed(TABLES[kind]["bases"]["full"], field, other))
        assert (field, "FieldValueTypeInvalid") in causes(answer)
        assert {place for place, _ in causes(answer)} == {field}
