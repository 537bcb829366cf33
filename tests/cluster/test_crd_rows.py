"""A real API server accepts and refuses what the tables in `tests/data/crd` say.

The rows are tried as dry runs. `unit/test_crd_conventions.py` checks that every rule
and bound of the CRDs has a row; limits and types are in `test_crd_bounds.py`.
"""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
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
REFUSED = 422

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """The API server's response to one row."""

    status: int
    body: Json

    @property
    def causes(self) -> list[tuple[str, str, str]]:
        """Return field, reason and message of causes; `<nil>` refers to the others."""
        causes = self.body.get("details", {}).get("causes", ())
        return [
            (c.get("field", ""), c["reason"], c["message"])
            for c in causes
            if c.get("field") != "<nil>"
        ]


class Asker:
    """Tries objects on the API server; only the bases of updates are stored."""

    def __init__(self, client: httpx.Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def create(self, kind: str, spec: Json) -> Answer:
        """Try a create."""
        return self._answer(self._post(kind, "asked", spec, {"dryRun": "All"}))

    def update(self, kind: str, base: str, change: Json) -> Answer:
        """Try a merge patch of a base's spec."""
        response = self._client.patch(
            self._path(kind, f"rows-{base}"),
            params={"dryRun": "All"},
            content=json.dumps({"spec": change}),
            headers={"Content-Type": "application/merge-patch+json"},
        )
        return self._answer(response)

    def store_bases(self) -> None:
        """Store each base that a row updates."""
        for kind, base in _updated_bases():
            spec = TABLES[kind]["bases"][base]
            response = self._post(kind, f"rows-{base}", spec, {})
            assert response.status_code == 201, response.text

    def remove_bases(self) -> None:
        """Remove the bases; instances would otherwise stay for all other tests."""
        for kind, base in _updated_bases():
            self._client.delete(self._path(kind, f"rows-{base}"))

    def _post(self, kind: str, name: str, spec: Json, how: Json) -> httpx.Response:
        metadata = {"name": name}
        body = {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}
        return self._client.post(self._path(kind), params=how, json=body)

    def _path(self, kind: str, name: str = "") -> str:
        scope = f"/namespaces/{self._namespace}" if kind != "ZitadelInstance" else ""
        return f"/apis/{API}{scope}/{TABLES[kind]['resource']}/{name}".rstrip("/")

    @staticmethod
    def _answer(response: httpx.Response) -> Answer:
        return Answer(response.status_code, response.json())


@pytest.fixture(scope="module")
def asker(control_plane: ControlPlane) -> Iterator[Asker]:
    """One connection as an administrator, with the bases of updates."""
    config = yaml.safe_load(control_plane.kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    control_plane.kubectl("create", "namespace", "crd-rows")
    with httpx.Client(
        base_url=cluster["server"],
        headers={"Authorization": f"Bearer {user['token']}"},
        verify=ssl.create_default_context(cafile=cluster["certificate-authority"]),
        trust_env=False,
    ) as client:
        asker = Asker(client, "crd-rows")
        asker.store_bases()
        yield asker
        asker.remove_bases()


def _updated_bases() -> list[tuple[str, str]]:
    sections = ("updates_accepted", "updates_refused")
    return sorted(
        {(k, r["base"]) for k in KINDS for s in sections for r in _rows(k, s)}
    )


def _rows(kind: str, section: str) -> list[Json]:
    rows: list[Json] = TABLES[kind][section]
    return rows


def params(section: str) -> list[Any]:
    """Return the rows of all kinds, with their names."""
    return [
        pytest.param(kind, row, id=f"{kind}-{row['why']}".replace(" ", "_"))
        for kind in KINDS
        for row in _rows(kind, section)
    ]


def merge(target: Any, change: Any) -> Any:
    """Return the outcome of a merge patch (RFC 7386)."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def check_refusal(row: Json, answer: Answer) -> None:
    """Check that it is refused for the stated reason, and no other field is named."""
    assert answer.status == REFUSED, answer.body
    messages = [message for field, _, message in answer.causes if field == row["field"]]
    assert any(row["says"] in message for message in messages), answer.causes
    fields = {field for field, *_ in answer.causes}
    assert fields == {row["field"], *row.get("also", ())}


@pytest.mark.parametrize(("kind", "row"), params("accepted"))
def test_accepted(asker: Asker, kind: str, row: Json) -> None:
    """It is stored as applied, with the documented defaults and nothing else."""
    spec = merge(TABLES[kind]["bases"][row["base"]], row["set"])
    answer = asker.create(kind, spec)
    assert answer.status == 201, answer.body
    stored = answer.body["spec"]
    assert stored == row.get("stored", merge(stored, spec))
    assert answer.body["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize(("kind", "row"), params("refused"))
def test_refused(asker: Asker, kind: str, row: Json) -> None:
    """The message names the field and what to do."""
    spec = merge(TABLES[kind]["bases"][row["base"]], row["set"])
    check_refusal(row, asker.create(kind, spec))


@pytest.mark.parametrize(("kind", "row"), params("updates_accepted"))
def test_update_accepted(asker: Asker, kind: str, row: Json) -> None:
    """A field that may be changed can be."""
    answer = asker.update(kind, row["base"], row["set"])
    assert answer.status == 200, answer.body


@pytest.mark.parametrize(("kind", "row"), params("updates_refused"))
def test_update_refused(asker: Asker, kind: str, row: Json) -> None:
    """An immutable field cannot be changed, nor any field made invalid."""
    check_refusal(row, asker.update(kind, row["base"], row["set"]))
