"""A kind more, on a real API server: the adapter serves it as it serves the others."""

import json
from collections.abc import Iterator

import pytest

from support.third_kind import (
    CRD,
    SET,
    SetObject,
    SetStatus,
    body_of,
    describe,
)
from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.recorder import EventRecorder
from zitadel_notification_operator.cluster.release import read_all, strip
from zitadel_notification_operator.cluster.writer import ClusterWriter
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.demo.control_plane import ControlPlane
from zitadel_notification_operator.engine.ports import Notice

READY = Condition("Ready", "True", "Succeeded", "Done", 1, "2026-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """One with a CRD that no other test expects."""
    with ControlPlane() as plane:
        plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(CRD))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all")
        yield plane


@pytest.fixture
async def stored(
    api: ApiClient,
    control_plane: ControlPlane,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> SetObject:
    """A set that a user has just made."""
    describe(monkeypatch)
    text = json.dumps(body_of("all", namespace))
    control_plane.kubectl("create", "-f", "-", stdin=text)
    reader = ClusterReader(api, (namespace,))
    reader.kinds |= {SET}
    (listed,) = (await reader.list_objects(SET)).objects
    read = await reader.read(SET, ObjectKey(namespace, "all"))
    assert read == listed
    assert isinstance(read, SetObject)
    assert read.size == 3
    assert not await reader.crd_is_ending(SET)
    return read


async def test_its_marks_and_its_status_are_written(
    api: ApiClient, control_plane: ControlPlane, stored: SetObject
) -> None:
    """And what others have put among its status fields goes, as with the others."""
    writer = ClusterWriter(api)
    held = await writer.apply_marks(stored, original="{}", finalizer=True)
    assert held.held
    status = SetStatus(1, (READY,), policy_count=3)
    assert (await writer.apply_status(held, status)).status == status
    meddled = {"status": {"lastHandledReconcileAt": "made up", "foreign": "stays"}}
    control_plane.kubectl(
        *("patch", SET.plural, "all", "-n", stored.key.namespace, "--type=merge"),
        *("--subresource=status", "-p", json.dumps(meddled)),
    )
    assert (await writer.apply_status(held, status)).status == status
    shown = control_plane.kubectl(
        "get", SET.plural, "all", "-n", stored.key.namespace, "-ojson"
    )
    assert json.loads(shown.stdout)["status"]["foreign"] == "stays"
    loose = await writer.strip(held, finalizer=True, original=True)
    assert loose is not None
    assert not loose.finalizers


async def test_its_events_are_about_it(
    api: ApiClient, control_plane: ControlPlane, stored: SetObject
) -> None:
    """In its namespace, and related to the instance that it needs."""
    recorder = EventRecorder(api)
    await recorder.start()
    recorder.record(stored, Notice(warning=False, reason="R", action="A", note="n"))
    await recorder.stop()
    found = control_plane.kubectl(
        "get", "events.events.k8s.io", "-n", stored.key.namespace, "-ojson"
    )
    (event,) = json.loads(found.stdout)["items"]
    assert event["regarding"]["kind"] == SET.name
    assert event["regarding"]["uid"] == stored.uid
    assert event["related"]["kind"] == "ZitadelInstance"


async def test_it_is_released(api: ApiClient, stored: SetObject) -> None:
    """Its marks go, and it says itself what stays."""
    await ClusterWriter(api).apply_marks(stored, original="{}", finalizer=True)
    (marked,) = (one for one in await read_all(api, SET) if one.uid == stored.uid)
    assert marked.is_marked
    assert marked.title == f"{SET.name} {stored.key}"
    assert marked.left == ("3 policies stay",)
    assert await strip(api, marked) is not None
    (bare,) = (one for one in await read_all(api, SET) if one.uid == stored.uid)
    assert not bare.is_marked
