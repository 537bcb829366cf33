"""A real API server refuses and accepts the right objects, and names the field."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from zitadel_notification_operator.demo.control_plane import ControlPlane

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"
BASE = "/apis/zitadel-notification.dev/v1alpha1"
ORG = {"scope": "Organization", "organization": {"id": "1"}, "passwordChange": True}
INSTANCE_SCOPE = {"scope": "Instance", "passwordChange": True}
TOKEN = {"personalAccessToken": {"secretRef": {"name": "s"}}}
ZNI = {"url": "https://z.example", "credentials": TOKEN}
KEY = {"privateKeyJWT": {"secretRef": {"name": "s"}}}
CLIENT = {"clientCredentials": {"secretRef": {"name": "s"}}}
BUNDLE = {"configMapRef": {"name": "c"}}

SET = {"organizations": {"all": True}, "passwordChange": True}

Change = dict[str, Any]


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Iterator[httpx.Client]:
    """A plain HTTPS client of the API server."""
    headers = {"Authorization": f"Bearer {control_plane.token}"}
    trust = str(control_plane.folder / "ca.crt")
    import ssl  # noqa: PLC0415 - needed here alone

    context = ssl.create_default_context(cafile=trust)
    with httpx.Client(
        base_url=control_plane.url, headers=headers, verify=context
    ) as client:
        yield client


def body(kind: str, spec: Change, name: str = "x") -> Change:
    """Return an object of a kind."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def changed(spec: Change, change: Change) -> Change:
    """Return a spec with fields set, or removed if the value is None."""
    result = {**copy.deepcopy(spec), **change}
    return {name: value for name, value in result.items() if value is not None}


PATHS = {
    "NotificationPolicy": f"{BASE}/namespaces/default/notificationpolicies",
    "NotificationPolicySet": f"{BASE}/namespaces/default/notificationpolicysets",
    "ZitadelInstance": f"{BASE}/zitadelinstances",
}


def create(
    api: httpx.Client, kind: str, spec: Change, name: str = "x"
) -> httpx.Response:
    """Try a create without storing it."""
    whole = body(kind, spec, name)
    return api.post(PATHS[kind], params={"dryRun": "All"}, json=whole)


ACCEPTED_POLICIES = [
    ORG,
    INSTANCE_SCOPE,
    changed(ORG, {"organization": {"ofCredential": True}}),
    *(
        changed(ORG, {"organization": {"id": id_}})
        for id_ in (
            "280000000000000101",
            "org-c-custom-id",
            "e17",
            "1e+",
            "a.b",
            "0x1f",
        )
    ),
    changed(ORG, {"organization": {"name": "ACME & Söhne"}}),
    changed(ORG, {"organization": {"domain": "acme.example"}}),
    changed(ORG, {"deletionPolicy": "Reset", "managementPolicy": "Observe"}),
    changed(INSTANCE_SCOPE, {"deletionPolicy": "Retain", "suspend": True}),
]

REFUSED_POLICIES = [
    ({"passwordChange": None}, "spec.passwordChange", "Required"),
    ({"passwordChange": "true"}, "spec.passwordChange", "boolean"),
    ({"scope": None}, "spec.scope", "Required"),
    ({"scope": "Project"}, "spec.scope", "Unsupported value"),
    ({"organization": None}, "spec.organization", "must be set when"),
    ({"scope": "Instance"}, "spec.organization", "may not be set when"),
    ({"organization": {}}, "spec.organization", "exactly one of"),
    (
        {"organization": {"id": "1", "ofCredential": True}},
        "spec.organization",
        "exactly one of",
    ),
    (
        {"organization": {"ofCredential": False}},
        "spec.organization.ofCredential",
        "must be true",
    ),
    ({"organization": {"id": ""}}, "spec.organization.id", "at least 1"),
    ({"organization": {"id": "a b"}}, "spec.organization.id", "should match"),
    ({"organization": {"id": "é"}}, "spec.organization.id", "should match"),
    ({"organization": {"id": "a\n"}}, "spec.organization.id", "should match"),
    ({"organization": {"id": 1}}, "spec.organization.id", "string"),
    *(
        ({"organization": {"id": id_}}, "spec.organization.id", "in quotes in YAML")
        for id_ in ("2.80000000000000101e+17", "2E17", "28e16", "1.0", "-1e-9", ".5e3")
    ),
    (
        {"organization": {"name": "ACME", "domain": "acme.example"}},
        "spec.organization",
        "exactly one of `id`, `name`, `domain` and `ofCredential`",
    ),
    ({"organization": {"name": "ACME "}}, "spec.organization.name", "no blanks before"),
    ({"organization": {"name": "A\nB"}}, "spec.organization.name", "no control char"),
    ({"organization": {"domain": "A.b"}}, "spec.organization.domain", "in lower case"),
    ({"instanceRef": {"name": "A_b"}}, "spec.instanceRef.name", "should match"),
    ({"instanceRef": {}}, "spec.instanceRef.name", "Required"),
    ({"managementPolicy": "Ignore"}, "spec.managementPolicy", "Unsupported value"),
    ({"deletionPolicy": "Undo"}, "spec.deletionPolicy", "Unsupported value"),
    (
        {"scope": "Instance", "organization": None, "deletionPolicy": "Reset"},
        "spec.deletionPolicy",
        "ZITADEL has no such call",
    ),
]

GRANT = {"namespaces": ["team-a", "acme-*", "*"], "scopes": ["Instance"]}
ACCEPTED_INSTANCES = [
    ZNI,
    changed(ZNI, {"url": "http://127.0.0.1:8085", "allowInsecureHTTP": True}),
    changed(ZNI, {"url": "https://[::1]:443/", "externalDomain": "auth.example.com"}),
    changed(ZNI, {"rateLimit": {"burst": 1}, "grants": [GRANT]}),
    changed(ZNI, {"driftDetection": {"pollInterval": "1h30m"}}),
    changed(ZNI, {"class": ""}),
    changed(ZNI, {"class": "canary-2"}),
    changed(ZNI, {"credentials": KEY, "caBundle": BUNDLE}),
    changed(ZNI, {"credentials": CLIENT, "caBundle": {"secretRef": {"name": "c"}}}),
    changed(
        ZNI,
        {
            "grants": [
                {
                    "namespaces": ["a"],
                    "organizations": [{"id": "1"}, {"name": "A"}, {"domain": "a.b"}],
                }
            ]
        },
    ),
]

REFUSED_INSTANCES = [
    ({"url": None}, "spec.url", "Required"),
    ({"url": "http://z.example"}, "spec.url", "unless `allowInsecureHTTP` is true"),
    ({"url": "ftp://z.example"}, "spec.url", "http or https URL"),
    ({"url": "z.example"}, "spec.url", "http or https URL"),
    ({"url": "https://"}, "spec.url", "http or https URL"),
    ({"url": "https://u:p@z.example"}, "spec.url", "no user, path, query"),
    ({"url": "https://z.example/a"}, "spec.url", "no user, path, query"),
    ({"url": "https://z.example?a=b"}, "spec.url", "no user, path, query"),
    ({"externalDomain": "https://z"}, "spec.externalDomain", "should match"),
    ({"externalDomain": "a:1"}, "spec.externalDomain", "should match"),
    ({"class": "Canary"}, "spec.class", "should match"),
    ({"class": "a.b"}, "spec.class", "should match"),
    ({"class": "a-"}, "spec.class", "empty or a DNS label"),
    ({"class": "a" * 31}, "spec.class", "Too long"),
    ({"credentials": None}, "spec.credentials", "Required"),
    ({"credentials": {}}, "spec.credentials", "exactly one of `personalAccessToken`"),
    ({"credentials": {**TOKEN, **KEY}}, "spec.credentials", "exactly one of"),
    ({"credentials": {**KEY, **CLIENT}}, "spec.credentials", "exactly one of"),
    ({"caBundle": {}}, "spec.caBundle", "exactly one of `configMapRef` and"),
    (
        {"url": "http://z.example", "allowInsecureHTTP": True, "caBundle": BUNDLE},
        "spec.caBundle",
        "no certificate is checked there",
    ),
    ({"rateLimit": {"requestsPerSecond": 0}}, "requestsPerSecond", "greater than"),
    ({"rateLimit": {"maxConcurrent": 1000}}, "maxConcurrent", "less than"),
    ({"rateLimit": {"maxConcurrentWrites": 9}}, "maxConcurrentWrites", "less than"),
    ({"rateLimit": {"maxConcurrentWrites": 0}}, "maxConcurrentWrites", "greater than"),
    ({"rateLimit": {"maxConcurrentWrites": "1"}}, "maxConcurrentWrites", "integer"),
    ({"driftDetection": {"eventsInterval": "4s"}}, "eventsInterval", "at least 5s"),
    ({"driftDetection": {"pollInterval": "9s"}}, "pollInterval", "at least 10s"),
    ({"driftDetection": {"pollInterval": "25h"}}, "pollInterval", "at most 24h"),
    ({"driftDetection": {"pollInterval": "soon"}}, "pollInterval", "should match"),
    ({"grants": [{}]}, "spec.grants[0].namespaces", "Required"),
    ({"grants": [{"namespaces": []}]}, "namespaces", "at least 1"),
    ({"grants": [{"namespaces": ["a*b"]}]}, "namespaces[0]", "should match"),
    ({"grants": [{"namespaces": ["a"], "scopes": []}]}, "scopes", "at least 1"),
    (
        {
            "grants": [
                {"namespaces": ["a"], "organizations": [{"id": "2.8e+17"}]},
            ]
        },
        "spec.grants[0].organizations[0].id",
        "in quotes in YAML",
    ),
    (
        {"grants": [{"namespaces": ["a"], "organizations": []}]},
        "spec.grants[0].organizations",
        "may not be empty: leave it out to grant every",
    ),
    (
        {"grants": [{"namespaces": ["a"], "organizations": [{}]}]},
        "spec.grants[0].organizations[0]",
        "exactly one of `id`, `name` and `domain`",
    ),
    (
        {"grants": [{"namespaces": ["a"], "organizations": [{"name": " A"}]}]},
        "spec.grants[0].organizations[0].name",
        "no blanks before",
    ),
    ({"grants": [{"namespaces": ["a"], "scopes": ["X"]}]}, "scopes[0]", "Unsupported"),
]

ACCEPTED_SETS = [
    SET,
    changed(SET, {"organizations": {"all": True, "exclude": [{"name": "sandbox-*"}]}}),
    changed(
        SET,
        {
            "organizations": {
                "include": [
                    {"name": "customer-*", "domain": "*.example.com"},
                    {"id": "280000000000000101"},
                ],
                "exclude": [{"domain": "*.test"}],
            }
        },
    ),
    changed(SET, {"managementPolicy": "Observe", "deletionPolicy": "Reset"}),
    changed(SET, {"suspend": True, "limits": {"organizations": 5000, "removals": 0}}),
]

MATCHER = "spec.organizations.include[0]"
REFUSED_SETS = [
    ({"organizations": None}, "spec.organizations", "Required"),
    ({"organizations": {}}, "spec.organizations", "exactly one of `all` and"),
    (
        {"organizations": {"all": True, "include": [{"id": "1"}]}},
        "spec.organizations",
        "exactly one of `all` and",
    ),
    (
        {"organizations": {"all": False}},
        "spec.organizations.all",
        "`all` must be true when it is set",
    ),
    ({"organizations": {"include": []}}, "organizations.include", "at least 1"),
    (
        {"organizations": {"include": [{}]}},
        MATCHER,
        "must have a `name`, a `domain` or an `id`",
    ),
    (
        {"organizations": {"all": True, "exclude": [{}]}},
        "spec.organizations.exclude[0]",
        "must have a `name`, a `domain` or an `id`",
    ),
    (
        {"organizations": {"include": [{"name": "*"}]}},
        f"{MATCHER}.name",
        "`name` must not consist of wildcards only",
    ),
    (
        {"organizations": {"all": True, "exclude": [{"domain": "*?"}]}},
        "spec.organizations.exclude[0].domain",
        "`domain` must not consist of wildcards only",
    ),
    (
        {"organizations": {"include": [{"id": "2.8e+17"}]}},
        f"{MATCHER}.id",
        "in quotes in YAML",
    ),
    ({"passwordChange": None}, "spec.passwordChange", "Required"),
    ({"deletionPolicy": "Undo"}, "spec.deletionPolicy", "Unsupported value"),
    ({"managementPolicy": "Ignore"}, "spec.managementPolicy", "Unsupported value"),
    ({"limits": {"organizations": 0}}, "spec.limits.organizations", "greater than"),
    ({"limits": {"removals": -1}}, "spec.limits.removals", "greater than"),
]
LONG_NAME = (
    "a" * 64,
    "metadata.name",
    "`metadata.name` must have at most 63 characters",
)

UPDATES = [
    ({"scope": "Instance", "organization": None}, "spec.scope", "may not be changed"),
    ({"organization": {"id": "2"}}, "spec.organization", "may not be changed"),
    (
        {"organization": {"ofCredential": True}},
        "spec.organization",
        "may not be changed",
    ),
    (
        {"organization": {"id": None, "name": "ACME"}},
        "spec.organization",
        "may not be changed",
    ),
    ({"instanceRef": {"name": "other"}}, "spec.instanceRef", "may not be changed"),
]


@pytest.mark.parametrize("spec", ACCEPTED_POLICIES)
def test_good_policies_are_accepted(api: httpx.Client, spec: Change) -> None:
    """The operator serves what the schema accepts."""
    answer = create(api, "NotificationPolicy", spec)
    assert answer.status_code == 201, answer.text
    stored = answer.json()["spec"]
    assert {name: stored[name] for name in spec} == spec


@pytest.mark.parametrize(("change", "field", "words"), REFUSED_POLICIES)
def test_bad_policies_are_refused(
    api: httpx.Client, change: Change, field: str, words: str
) -> None:
    """The message names the field and says what is wrong."""
    answer = create(api, "NotificationPolicy", changed(ORG, change))
    assert answer.status_code == 422
    assert field in answer.json()["message"]
    assert words in answer.json()["message"]


@pytest.mark.parametrize("spec", ACCEPTED_INSTANCES)
def test_good_instances_are_accepted(api: httpx.Client, spec: Change) -> None:
    """Every documented form of an instance is accepted."""
    answer = create(api, "ZitadelInstance", spec)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("change", "field", "words"), REFUSED_INSTANCES)
def test_bad_instances_are_refused(
    api: httpx.Client, change: Change, field: str, words: str
) -> None:
    """The message names the field and says what is wrong."""
    answer = create(api, "ZitadelInstance", changed(ZNI, change))
    assert answer.status_code == 422
    assert field in answer.json()["message"]
    assert words in answer.json()["message"]


@pytest.mark.parametrize("spec", ACCEPTED_SETS)
def test_good_sets_are_accepted(api: httpx.Client, spec: Change) -> None:
    """The operator serves what the schema accepts."""
    answer = create(api, "NotificationPolicySet", spec)
    assert answer.status_code == 201, answer.text
    stored = answer.json()["spec"]
    assert {name: stored[name] for name in spec} == spec


@pytest.mark.parametrize(("change", "field", "words"), REFUSED_SETS)
def test_bad_sets_are_refused(
    api: httpx.Client, change: Change, field: str, words: str
) -> None:
    """The message names the field and says what is wrong."""
    answer = create(api, "NotificationPolicySet", changed(SET, change))
    assert answer.status_code == 422
    assert field in answer.json()["message"]
    assert words in answer.json()["message"]


def test_the_name_of_a_set_fits_a_label(api: httpx.Client) -> None:
    """It becomes the value of one; the message says so."""
    fits, (name, field, words) = "a" * 63, LONG_NAME
    answer = create(api, "NotificationPolicySet", SET, fits)
    assert answer.status_code == 201, answer.text
    answer = create(api, "NotificationPolicySet", SET, name)
    assert answer.status_code == 422
    assert words in answer.json()["message"]
    assert field in answer.json()["message"]


def test_defaults_are_the_documented_ones(api: httpx.Client) -> None:
    """The descriptions name all defaults; passwordChange has none."""
    policy = create(api, "NotificationPolicy", ORG).json()
    assert policy["spec"] == {
        **ORG,
        "instanceRef": {"name": "default"},
        "managementPolicy": "Manage",
        "suspend": False,
    }
    assert policy["status"] == {"observedGeneration": -1}
    made = create(api, "NotificationPolicySet", SET).json()
    assert made["spec"] == {
        **SET,
        "instanceRef": {"name": "default"},
        "managementPolicy": "Manage",
        "deletionPolicy": "Retain",
        "suspend": False,
        "limits": {"organizations": 1000, "removals": 10},
    }
    assert made["status"] == {"observedGeneration": -1}
    grants = [{"namespaces": ["a"]}]
    instance = create(api, "ZitadelInstance", changed(ZNI, {"grants": grants})).json()
    assert instance["spec"] == {
        "url": "https://z.example",
        "allowInsecureHTTP": False,
        "credentials": {
            "personalAccessToken": {"secretRef": {"name": "s", "key": "token"}}
        },
        "grants": [{"namespaces": ["a"], "scopes": ["Organization"]}],
    }


def test_what_is_immutable_stays_and_the_rest_may_change(
    api: httpx.Client, namespace: str
) -> None:
    """Scope, reference and organization stay; of a set the reference alone."""
    path = f"{BASE}/namespaces/{namespace}/notificationpolicies"
    assert api.post(path, json=body("NotificationPolicy", ORG)).status_code == 201
    for change, field, words in UPDATES:
        document = json.dumps({"spec": change})
        answer = _patch(api, f"{path}/x", document)
        assert answer.status_code == 422, change
        assert field in answer.json()["message"]
        assert words in answer.json()["message"]
    free = {
        "passwordChange": False,
        "suspend": True,
        "deletionPolicy": "Retain",
        "managementPolicy": "Observe",
    }
    answer = _patch(api, f"{path}/x", json.dumps({"spec": free}))
    assert answer.status_code == 200, answer.text
    path = f"{BASE}/namespaces/{namespace}/notificationpolicysets"
    whole = changed(SET, {"instanceRef": {"name": "absent"}, "suspend": True})
    answer = api.post(path, json=body("NotificationPolicySet", whole))
    assert answer.status_code == 201, answer.text
    moved = {"instanceRef": {"name": "other"}}
    answer = _patch(api, f"{path}/x", json.dumps({"spec": moved}))
    assert answer.status_code == 422
    assert "`instanceRef` may not be changed" in answer.json()["message"]
    free |= {"organizations": {"exclude": [{"id": "1"}]}, "limits": {"removals": 0}}
    answer = _patch(api, f"{path}/x", json.dumps({"spec": free}))
    assert answer.status_code == 200, answer.text


def test_each_rule_has_a_row() -> None:
    """Otherwise no test would have tried the rule."""
    refused = (*REFUSED_POLICIES, *REFUSED_SETS, *REFUSED_INSTANCES)
    words = [row[2] for row in (*refused, LONG_NAME, *UPDATES)]
    untried = []
    for file in CRDS.glob("*.yaml"):
        for node in _nodes(yaml.safe_load(file.read_text())):
            rules = node.get("x-kubernetes-validations", ())
            untried += [
                rule["message"]
                for rule in rules
                if not any(word in rule["message"] for word in words)
            ]
    assert not untried


def test_schema_keeps_the_conventions() -> None:
    """Every node has type, bounds, list type and description."""
    for file in CRDS.glob("*.yaml"):
        assert file.stat().st_size < 262_144
        version = yaml.safe_load(file.read_text())["spec"]["versions"][0]
        schema = version["schema"]["openAPIV3Schema"]
        assert version["subresources"] == {"status": {}}
        status = schema["properties"]["status"]
        assert status["default"] == {"observedGeneration": -1}
        for path, node in _properties(schema):
            _check_node(path, node)


def _check_node(path: str, node: Change) -> None:
    assert "type" in node, path
    if path != ".metadata":
        assert len(node.get("description", "")) >= 20, path
    match node["type"]:
        case "string":
            bounded = "maxLength" in node or "enum" in node
            assert bounded or node.get("format") == "date-time", path
        case "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        case "integer":
            assert "maximum" in node, path
            assert "minimum" in node or path == ".status.observedGeneration", path
        case _:
            pass
    assert not ("default" in node and "default" in node.get("required", ()))


def _nodes(node: Any) -> Iterator[Change]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _properties(node: Change, path: str = "") -> Iterator[tuple[str, Change]]:
    for name, value in node.get("properties", {}).items():
        yield f"{path}.{name}", value
        yield from _properties(value, f"{path}.{name}")
    if "items" in node:
        yield f"{path}[]", node["items"]
        yield from _properties(node["items"], f"{path}[]")


def _patch(api: httpx.Client, path: str, document: str) -> httpx.Response:
    headers = {"Content-Type": "application/merge-patch+json"}
    return api.patch(path, content=document, headers=headers)
