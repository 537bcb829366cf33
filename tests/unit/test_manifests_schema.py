"""Manifests are accepted and refused as by a real API server.

The rows of `tests/data/crd` are what `cluster/test_crd_rows.py` and
`cluster/test_crd_bounds.py` try on one.
"""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.documents import read_yaml
from zitadel_notification_operator.core.kinds import KINDS, POLICY, SET, Kind
from zitadel_notification_operator.manifests.checking import problems_of
from zitadel_notification_operator.manifests.rules import RULES

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "tests" / "data" / "crd").glob("*.yaml"))
TABLES = {t["kind"]: t for t in map(read_yaml, FILES)}
ORGANIZATION = TABLES["NotificationPolicy"]["bases"]["organization"]

Json = dict[str, Any]


def problems(kind: Kind, spec: object, name: str = "asked") -> list[str]:
    """Return what is wrong with an object of this spec."""
    return problems_of(kind, {"metadata": {"name": name}, "spec": spec})


def patched(value: Json, patch: Json) -> Json:
    """Return a merge patch's result."""
    result = copy.deepcopy(value)
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, dict):
            inner = result.get(key)
            result[key] = patched(inner if isinstance(inner, dict) else {}, change)
        else:
            result[key] = change
    return result


def rows(section: str) -> Iterator[Any]:
    """Yield a section's rows of all kinds."""
    for kind in KINDS:
        for row in TABLES[kind.name][section]:
            spec = patched(TABLES[kind.name]["bases"][row.get("base")], row["set"])
            yield pytest.param(kind, spec, row, id=f"{kind.plural}: {row['why']}")


@pytest.mark.parametrize(("kind", "spec", "row"), [*rows("accepted")])
def test_good_objects_have_no_problem(kind: Kind, spec: Json, row: Json) -> None:
    """A plan is not refused for what Kubernetes accepts."""
    assert problems(kind, spec) == [], row["why"]


@pytest.mark.parametrize(("kind", "spec", "row"), [*rows("refused")])
def test_bad_objects_have_a_problem_in_the_same_field(
    kind: Kind, spec: Json, row: Json
) -> None:
    """No problem is told of any other field than Kubernetes tells."""
    fields = {problem.partition(": ")[0] for problem in problems(kind, spec)}
    # A field that the schema lacks is dropped by the API server, and named here.
    fields = {field.removesuffix(".ofCredential") for field in fields}
    field = row["field"].removesuffix(".ofCredential")
    assert field in fields
    assert fields <= {field, *row.get("also", ())}


LIMITS = [
    pytest.param(kind, limit, id=f"{kind.plural}: {limit['field']}")
    for kind in KINDS
    for limit in TABLES[kind.name]["limits"]
]


@pytest.mark.parametrize(("kind", "limit"), LIMITS)
def test_limits(kind: Kind, limit: Json) -> None:
    """The last value fits, and the next one does not."""
    base = TABLES[kind.name]["bases"][limit["base"]]
    fits, exceeds = sides(limit)
    for value in fits:
        assert problems(kind, placed(base, limit["field"], value)) == []
    for value in exceeds:
        (problem,) = problems(kind, placed(base, limit["field"], value))
        assert problem.startswith(f"{limit['field']}: ")


def sides(limit: Json) -> tuple[list[Any], list[Any]]:
    """Return the values that just fit, and those that just do not."""
    if "range" in limit:
        low, high = limit["range"]
        return [low, high], [low - 1, high + 1]
    if "length" in limit:
        fits = limit.get("prefix", "").ljust(limit["length"], "a")
        return [fits], [fits + "a"]
    text, most = json.dumps(limit["each"]), limit["items"]
    every = [json.loads(text.replace("%", str(i))) for i in range(most + 1)]
    return [every[:most]], [every]


def placed(spec: Json, field: str, value: Any) -> Json:
    """Return a copy of the spec with one field set, by its path."""
    copied: Json = copy.deepcopy({"spec": spec})
    *parents, last = [int(p) if p.isdigit() else p for p in re.findall(r"\w+", field)]
    place: Any = copied
    for part in parents:
        place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    place[last] = value
    result: Json = copied["spec"]
    return result


def test_each_rule_of_the_crds_is_known_and_no_other() -> None:
    """A rule that changes in the CRDs has to change here."""
    texts = re.findall(r'"rule": (".*")', _schemas())
    assert {json.loads(text) for text in texts} == set(RULES)


def _schemas() -> str:
    package = ROOT / "operator" / "zitadel_notification_operator"
    return (package / "manifests" / "schemas.json").read_text()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (None, "spec: it must be an object"),
        ([], "spec: it must be an object"),
        ({**ORGANIZATION, "managmentPolicy": "Observe"}, "no such field"),
        ({**ORGANIZATION, "a\nb": 1}, r"spec.'a\nb': there is no such field"),
        (
            {**ORGANIZATION, "organization": {"id": 280000000000000101}},
            "spec.organization.id: it must be a text; put it in quotes",
        ),
        (
            {**ORGANIZATION, "passwordChange": "yes"},
            "spec.passwordChange: it must be true or false, without quotes",
        ),
    ],
)
def test_problems_in_words(spec: object, says: str) -> None:
    """No value is quoted, and a misspelt field is not ignored."""
    (problem,) = problems(POLICY, spec)
    assert says in problem


def test_names_and_unknown_members() -> None:
    """The name of a set becomes a label, and kubectl refuses unknown members."""
    spec = {"organizations": {"all": True}, "passwordChange": True}
    assert problems(SET, spec, "a" * 63) == []
    (problem,) = problems(SET, spec, "a" * 64)
    assert problem.startswith("metadata.name: `metadata.name` must have at most 63")
    body = {"metadata": {"name": "a"}, "sepc": spec}
    assert problems_of(SET, body) == [
        "sepc: there is no such field",
        "spec: it is required",
    ]
