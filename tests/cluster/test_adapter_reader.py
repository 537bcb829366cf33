"""Reads of our kinds on a real API server: pages, namespaces, served kinds."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from support.apiserver import access_to, status
from support.planes import ready_plane
from support.waiting import eventually
from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.core.errors import ClusterError
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, KINDS, POLICY, ObjectKey
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.demo.control_plane import ControlPlane

CRDS = Path(__file__).parent.parent.parent / "deploy" / "crds"
ALL_KINDS = frozenset(KINDS)


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A separate control plane, because the shared one may have an operator."""
    with ready_plane() as plane:
        yield plane


def policy(name: str, namespace: str = "") -> dict[str, Any]:
    """Return a policy that the schema accepts."""
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scope": "Organization",
            "organization": {"id": "1"},
            "passwordChange": True,
        },
    }


def instance(name: str) -> dict[str, Any]:
    """Return an instance that the schema accepts."""
    reference = {"secretRef": {"name": "pat"}}
    return {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "metadata": {"name": name},
        "spec": {
            "url": "https://z.example",
            "credentials": {"personalAccessToken": reference},
        },
    }


def create(plane: ControlPlane, *bodies: dict[str, Any]) -> None:
    """Create objects as a user would."""
    items = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
    plane.kubectl("create", "-f", "-", stdin=json.dumps(items))


def lists_since(plane: ControlPlane, start: int, namespace: str) -> list[str]:
    """Return the URIs of all LISTs of a namespace's policies since an offset."""
    with plane.audit_log.open() as log:
        log.seek(start)
        entries = [json.loads(line) for line in log if line.endswith("\n")]
    return [
        entry["requestURI"]
        for entry in entries
        if entry["verb"] == "list"
        and (entry.get("objectRef") or {}).get("namespace") == namespace
        and "kubectl" not in entry["userAgent"]
    ]


async def test_a_list_comes_in_pages(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """All objects are read, however many pages there are."""
    names = [f"p{number}" for number in range(7)]
    create(control_plane, *(policy(name, namespace) for name in names))
    start = control_plane.audit_log.stat().st_size
    found = (
        await ClusterReader(api, (namespace,), page=3).list_objects(POLICY)
    ).objects
    assert sorted(record.key.name for record in found) == names
    uris = eventually(
        lambda: len(seen := lists_since(control_plane, start, namespace)) >= 3 and seen
    )
    assert len(uris) == 3
    assert all("limit=3" in uri for uri in uris)


async def test_a_known_version_is_not_parsed_again(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """The cached record is returned, unless the object has changed or is new."""
    create(control_plane, policy("still", namespace), policy("edited", namespace))
    create(control_plane, policy("another", namespace))
    reader = ClusterReader(api, (namespace,))
    known = {
        record.key: record for record in (await reader.list_objects(POLICY)).objects
    }
    kubectl = control_plane.kubectl
    of_namespace = ("-n", namespace, "znp")
    kubectl("label", *of_namespace, "edited", "a=b")
    kubectl("delete", *of_namespace, "another")
    create(control_plane, policy("another", namespace))
    again = {
        record.key.name: record
        for record in (await reader.list_objects(POLICY, known.values())).objects
    }
    same = {key.name: again[key.name] is record for key, record in known.items()}
    assert same == {"still": True, "edited": False, "another": False}
    versions = {key.name: record.resource_version for key, record in known.items()}
    assert again["edited"].resource_version != versions["edited"]
    assert again["another"].uid not in {record.uid for record in known.values()}


async def test_no_namespace_means_all(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """With a watched namespace others are not read; without one all are."""
    other = f"{namespace}-other"
    control_plane.kubectl("create", "namespace", other)
    create(control_plane, policy("mine", namespace), policy("theirs", other))

    async def seen(*namespaces: str) -> set[str]:
        found = (await ClusterReader(api, namespaces).list_objects(POLICY)).objects
        return {record.key.namespace for record in found} & {namespace, other}

    assert await seen() == {namespace, other}
    assert await seen(namespace) == {namespace}
    assert await seen(namespace, other) == {namespace, other}


async def test_one_object_by_name(
    api: ApiClient, control_plane: ControlPlane, namespace: str
) -> None:
    """The stored object is returned, or None if there is none."""
    reader = ClusterReader(api, ())
    create(control_plane, policy("p", namespace), instance("i"))
    found = await reader.read(POLICY, ObjectKey(namespace, "p"))
    assert isinstance(found, PolicyObject)
    assert found.organization_id == "1"
    assert await reader.read(POLICY, ObjectKey(namespace, "absent")) is None
    stored = await reader.read(INSTANCE, ObjectKey("", "i"))
    assert isinstance(stored, InstanceObject)
    assert stored.credential.key == "token"
    assert await reader.read(INSTANCE, ObjectKey("", "absent")) is None
    assert "i" in {
        record.name for record in (await reader.list_objects(INSTANCE)).objects
    }


async def test_crds_are_served_or_not(
    api: ApiClient, control_plane: ControlPlane
) -> None:
    """Both kinds must be served; without the group nothing is."""
    reader = ClusterReader(api, ())
    assert await reader.kinds_served() == ALL_KINDS
    crd = "crd/zitadelinstances.zitadel-notification.dev"
    control_plane.kubectl("delete", crd)
    try:
        assert await reader.kinds_served() < ALL_KINDS
    finally:
        control_plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        control_plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
    for _ in range(100):
        if await reader.kinds_served() == ALL_KINDS:
            return
        await asyncio.sleep(0.1)
    pytest.fail("The kinds did not come back")


async def test_a_cluster_without_the_group() -> None:
    """An API server that never had the CRDs answers 404 in plain text."""
    absent = web.Response(status=404, text="404 page not found")
    async with Scripted([absent]) as (api, _):
        assert not await ClusterReader(api, ()).kinds_served()


class Scripted:
    """An API server that gives these responses in turn, and records the queries."""

    def __init__(self, answers: list[web.Response]) -> None:
        self._answers = answers
        self.queries: list[dict[str, str]] = []

    async def __aenter__(self) -> tuple[ApiClient, list[dict[str, str]]]:
        """Start the server."""

        async def answer(request: web.BaseRequest) -> web.Response:
            self.queries.append(dict(request.query))
            return self._answers.pop(0)

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        self._server = TestServer(app)
        await self._server.start_server()
        url = str(self._server.make_url("")).rstrip("/")
        self._access = access_to(url)
        return self._access.api, self.queries

    async def __aexit__(self, *_: object) -> None:
        """Stop the server."""
        await self._access.api.close()
        await self._server.close()


def page(*items: dict[str, Any], token: str = "") -> web.Response:
    """Return one page of a LIST."""
    for item in items:
        item["metadata"].setdefault("uid", "u-" + item["metadata"]["name"])
    metadata = {"continue": token} if token else {}
    return web.json_response({"metadata": metadata, "items": items})


async def test_an_expired_list_starts_over_without_pages() -> None:
    """A LIST without pages cannot expire, so it always ends."""
    expired = web.json_response(
        {"kind": "Status", "code": 410, "message": "too old"}, status=410
    )
    answers = [page(policy("a"), token="more"), expired, page(policy("a"), policy("b"))]
    async with Scripted(answers) as (api, queries):
        found = (await ClusterReader(api, ()).list_objects(POLICY)).objects
    assert [record.key.name for record in found] == ["a", "b"]
    assert queries == [{"limit": "500"}, {"limit": "500", "continue": "more"}, {}]


async def test_a_list_goes_on_at_the_token_of_an_expired_one() -> None:
    """Its version is that of its first page: the rest is of a later state."""
    expired = web.json_response(
        {
            "kind": "Status",
            "code": 410,
            "message": "too old",
            "metadata": {"continue": "later"},
        },
        status=410,
    )
    answers = [page(policy("a"), token="more"), expired, page(policy("b"))]
    async with Scripted(answers) as (api, queries):
        found = await ClusterReader(api, ()).list_objects(POLICY)
    assert [record.key.name for record in found.objects] == ["a", "b"]
    assert [query.get("continue") for query in queries] == [None, "more", "later"]


async def test_an_object_that_is_not_understood_is_listed_and_read() -> None:
    """Its record says why it cannot be used."""
    old = policy("old")
    old["spec"]["passwordChange"] = "yes"
    listed_page = page(old, policy("good"))
    answers = [listed_page, web.json_response(old)]
    async with Scripted(answers) as (api, _):
        reader = ClusterReader(api, ())
        listed, good = (await reader.list_objects(POLICY)).objects
        read = await reader.read(POLICY, ObjectKey("team-a", "old"))
    assert good.not_understood is None
    for record in (listed, read):
        assert record is not None
        assert record.not_understood is not None
        assert "spec.passwordChange" in record.not_understood.sentence


async def test_an_object_without_a_name_is_skipped_and_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It hides no other object."""

    def answer() -> web.Response:
        nameless = policy("old")
        nameless["metadata"]["uid"] = ""
        return page(nameless, policy("good"))

    caplog.set_level(logging.WARNING)
    async with Scripted([answer(), answer()]) as (api, _):
        reader = ClusterReader(api, ())
        for _ in range(2):
            found = (await reader.list_objects(POLICY)).objects
            assert [record.key.name for record in found] == ["good"]
    logged = [r for r in caplog.records if "no uid" in r.getMessage()]
    assert len(logged) == 1


async def test_an_unusable_object_is_not_an_absent_one() -> None:
    """Reading it by name is an error."""
    answer = web.json_response({"metadata": {"name": "old"}, "spec": {}})
    async with Scripted([answer]) as (api, _):
        with pytest.raises(ClusterError):
            await ClusterReader(api, ()).read(POLICY, ObjectKey("team-a", "old"))


async def test_a_broken_page_gives_no_half_list() -> None:
    """Half a list would look like many deletions."""
    answers = [page(policy("a"), token="more"), web.Response(status=500)]
    async with Scripted(answers) as (api, _):
        with pytest.raises(ClusterError):
            await ClusterReader(api, ()).list_objects(POLICY)


def crd(**metadata: Any) -> web.Response:
    """Return a CRD as stored by the API server."""
    return web.json_response({"metadata": {"name": "crd", **metadata}, "spec": {}})


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (crd(), False),
        (crd(deletionTimestamp="2026-01-01T00:00:00Z"), True),
        (status(404), True),
    ],
    ids=["stands", "is being deleted", "is gone"],
)
async def test_whether_a_crd_is_being_deleted(
    answer: web.Response, *, ending: bool
) -> None:
    """A missing CRD counts as deleted with its objects."""
    async with Scripted([answer]) as (api, _):
        found = await ClusterReader(api, ()).crd_is_ending(POLICY)
    assert found is ending


async def test_a_crd_that_may_not_be_read_counts_as_one_that_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """This is logged once; a temporary failure is an error instead."""
    refusals = [status(403) for _ in range(2)]
    caplog.set_level(logging.WARNING)
    async with Scripted([*refusals, web.Response(status=503)]) as (api, _):
        reader = ClusterReader(api, ())
        for _ in range(2):
            assert not await reader.crd_is_ending(INSTANCE)
        with pytest.raises(ClusterError):
            await reader.crd_is_ending(INSTANCE)
    logged = [r for r in caplog.records if "CRDs are being deleted" in r.getMessage()]
    assert len(logged) == 1


@pytest.mark.parametrize(("code", "absent"), [(404, True), (403, False)])
async def test_a_kind_is_absent_when_its_crd_is(code: int, *, absent: bool) -> None:
    """Discovery may be late; a LIST of an absent kind makes no call."""
    async with Scripted([status(code)]) as (api, queries):
        reader = ClusterReader(api, ())
        assert await reader.are_absent(frozenset({INSTANCE})) is absent
        reader.kinds = frozenset({POLICY})
        assert (await reader.list_objects(INSTANCE)).objects == []
        assert len(queries) == 1


async def test_why_no_kind_is_served_alone_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The role of an older chart does not permit reading a CRD."""
    caplog.set_level(logging.WARNING)
    async with Scripted([status(403), status(403)]) as (api, _):
        reader = ClusterReader(api, ())
        for _ in range(2):
            assert not await reader.are_absent(frozenset({INSTANCE}))
    logged = [r for r in caplog.messages if "Cannot tell whether a CRD is missing" in r]
    assert len(logged) == 1
    assert "grant get on the CRDs by name" in logged[0]
