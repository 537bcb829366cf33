"""Events on a real API server: one for each kind of notice, repeats as a series."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.kube_calls import read_all
from support.parsing import parse_instance, parse_policy
from support.relay import Relay
from zitadel_notification_operator.cluster import recorder as recorder_module
from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.connection import connect
from zitadel_notification_operator.cluster.recorder import EventRecorder
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.demo.control_plane import ControlPlane


@dataclass(frozen=True)
class Notice:
    """A notice; it only has the attributes that the recorder reads."""

    reason: str = "Updated"
    action: str = "Apply"
    note: str = "Set passwordChange from true to false"
    warning: bool = False


@pytest.fixture
async def recorder(api: ApiClient) -> AsyncIterator[EventRecorder]:
    """A recorder that sends Events."""
    made = EventRecorder(api)
    await made.start()
    yield made
    await made.stop()


def policy(namespace: str, name: str = "acme") -> PolicyObject:
    """Return a record; an Event does not need the object itself."""
    return parse_policy(
        {
            "metadata": {"name": name, "namespace": namespace, "uid": f"u-{name}"},
            "spec": {"scope": "Instance", "passwordChange": True},
        }
    )


def instance(name: str) -> InstanceObject:
    """Return a record of the cluster-scoped kind."""
    reference = {"secretRef": {"name": "pat"}}
    spec = {
        "url": "https://z.example",
        "credentials": {"personalAccessToken": reference},
    }
    return parse_instance(
        {"metadata": {"name": name, "uid": f"u-{name}"}, "spec": spec}
    )


def events(plane: ControlPlane, namespace: str, name: str) -> list[dict[str, Any]]:
    """Return the Events about one object."""
    found = read_all(plane, "event", namespace)
    return [event for event in found if event["regarding"]["name"] == name]


async def test_an_event_says_all_that_tools_read(
    recorder: EventRecorder, control_plane: ControlPlane, namespace: str
) -> None:
    """It has the fields of events.k8s.io/v1, and names our object."""
    recorder.record(policy(namespace), Notice(warning=True))
    await recorder.stop()
    (event,) = events(control_plane, namespace, "acme")
    assert event["regarding"] == {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "namespace": namespace,
        "name": "acme",
        "uid": "u-acme",
    }
    assert (event["type"], event["reason"]) == ("Warning", "Updated")
    assert event["action"] == "Apply"
    assert event["note"] == "Set passwordChange from true to false"
    assert event["reportingController"] == (
        "zitadel-notification.dev/zitadel-notification-operator"
    )
    assert 0 < len(event["reportingInstance"]) <= 128
    assert event["related"] == {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "ZitadelInstance",
        "name": "default",
    }
    assert event["metadata"]["name"].startswith("acme.")
    age = datetime.now(UTC) - datetime.fromisoformat(event["eventTime"])
    assert 0 <= age.total_seconds() < 60
    assert "series" not in event


@pytest.mark.parametrize("pod", ["znp-0", "p" * 200, ""])
async def test_the_reporting_instance_is_the_pod(
    api: ApiClient,
    control_plane: ControlPlane,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    pod: str,
) -> None:
    """It is POD_NAME, cut to what is allowed, or the host's name."""
    monkeypatch.setenv("POD_NAME", pod)
    recorder = EventRecorder(api)
    await recorder.start()
    recorder.record(policy(namespace), Notice())
    await recorder.stop()
    (event,) = events(control_plane, namespace, "acme")
    assert event["reportingInstance"] == (pod or socket.gethostname())[:128]


async def test_a_hundred_repeats_are_one_object(
    recorder: EventRecorder, control_plane: ControlPlane, namespace: str
) -> None:
    """Notes of warnings are not compared; the series has the count."""
    for number in range(100):
        recorder.record(policy(namespace), Notice(warning=True, note=f"Try {number}"))
    await recorder.stop(grace=20)
    (event,) = events(control_plane, namespace, "acme")
    assert event["series"]["count"] == 100
    assert event["series"]["lastObservedTime"] >= event["eventTime"]


@pytest.mark.parametrize(
    "other",
    [
        Notice(reason="Created"),
        Notice(action="Reset"),
        Notice(warning=True),
        Notice(note="Somebody else did it"),
    ],
    ids=["reason", "action", "type", "facts"],
)
async def test_what_differs_is_another_event(
    recorder: EventRecorder, control_plane: ControlPlane, namespace: str, other: Notice
) -> None:
    """Type, action, reason and object are compared, and what a Normal Event says."""
    recorder.record(policy(namespace), Notice())
    recorder.record(policy(namespace), other)
    recorder.record(policy(namespace, "else"), Notice())
    await recorder.stop()
    assert len(events(control_plane, namespace, "acme")) == 2
    assert len(events(control_plane, namespace, "else")) == 1


async def test_events_about_an_instance_live_in_default(
    recorder: EventRecorder, control_plane: ControlPlane, namespace: str
) -> None:
    """Events need a namespace, which cluster-scoped objects do not have."""
    name = f"{namespace}.example"
    recorder.record(instance(name), Notice())
    await recorder.stop()
    (event,) = events(control_plane, "default", name)
    assert event["regarding"]["kind"] == "ZitadelInstance"
    assert "related" not in event
    assert "namespace" not in event["regarding"]


async def test_long_texts_and_names_fit(
    recorder: EventRecorder, control_plane: ControlPlane, namespace: str
) -> None:
    """Limits are in bytes, and a cut name stays valid."""
    name = "a" * 199 + "." + "b" * 50
    notice = Notice(reason="R" * 200, action="A" * 200, note="ü" * 2000)
    recorder.record(policy(namespace, name), notice)
    await recorder.stop()
    (event,) = events(control_plane, namespace, name)
    assert event["note"] == "ü" * 512
    assert (len(event["reason"]), len(event["action"])) == (128, 128)


async def test_a_deleted_event_starts_anew(
    recorder: EventRecorder, control_plane: ControlPlane, namespace: str
) -> None:
    """Events expire; a repeat after that is created as a new one."""
    recorder.record(policy(namespace), Notice())
    await recorder.stop()
    control_plane.kubectl("delete", "events", "--all", "-n", namespace)
    await recorder.start()
    recorder.record(policy(namespace), Notice())
    await recorder.stop()
    (event,) = events(control_plane, namespace, "acme")
    assert "series" not in event


async def test_a_quiet_series_is_over(
    recorder: EventRecorder,
    control_plane: ControlPlane,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the idle time a repeat is a new Event."""
    monkeypatch.setattr(recorder_module, "SERIES_IDLE", 0.0)
    recorder.record(policy(namespace), Notice())
    recorder.record(policy(namespace), Notice())
    await recorder.stop()
    assert len(events(control_plane, namespace, "acme")) == 2


async def test_failures_are_reported_once_and_never_raised(
    recorder: EventRecorder,
    control_plane: ControlPlane,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A missing namespace refuses all Events; the next other one is created."""
    caplog.set_level(logging.INFO, logger=recorder_module.__name__)
    for reason in ("One", "Two", "Three"):
        recorder.record(policy("absent-namespace"), Notice(reason=reason))
    recorder.record(policy(namespace), Notice())
    await recorder.stop()
    assert len(caplog.records) == 1
    assert len(events(control_plane, namespace, "acme")) == 1


async def test_a_full_queue_drops(
    api: ApiClient,
    control_plane: ControlPlane,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Recording never blocks, so Events beyond the limit are dropped."""
    monkeypatch.setattr(recorder_module, "QUEUE_LIMIT", 300)
    recorder = EventRecorder(api)
    for number in range(recorder_module.QUEUE_LIMIT):
        recorder.record(policy(namespace), Notice(warning=True, note=str(number)))
    recorder.record(policy(namespace, "dropped"), Notice())
    await recorder.start()
    await recorder.stop(grace=30)
    (event,) = events(control_plane, namespace, "acme")
    assert event["series"]["count"] == recorder_module.QUEUE_LIMIT
    assert not events(control_plane, namespace, "dropped")


async def test_stop_without_start(api: ApiClient) -> None:
    """A stop before the start is no error, and waits for nothing."""
    await asyncio.wait_for(EventRecorder(api).stop(), 1)


@pytest.mark.parametrize("grace", [0.0, 2.0])
async def test_an_end_without_events_logs_none(
    api: ApiClient, caplog: pytest.LogCaptureFixture, grace: float
) -> None:
    """Dropped Events would be logged, and there are none."""
    caplog.set_level(logging.INFO, logger=recorder_module.__name__)
    recorder = EventRecorder(api)
    await recorder.start()
    await recorder.stop(grace)
    assert not caplog.messages
    await recorder.start()
    recorder.record(policy("anywhere"), Notice())
    await recorder.stop(0.0)
    assert caplog.messages == ["Some Events were not posted before the end"]


@pytest.mark.clock
async def test_a_stop_ends_in_the_middle_of_an_outage(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    """It ends during the backoff while Kubernetes accepts nothing."""
    with Relay(urlsplit(control_plane.url).port or 0) as relay:
        text = control_plane.kubeconfig.read_text()
        url = f"https://127.0.0.1:{relay.port}"
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(text.replace(control_plane.url, url))
        access = await connect(kubeconfig)
        recorder = EventRecorder(access.api)
        relay.cut()
        await recorder.start()
        for number in range(recorder_module.PATIENCE + 5):
            recorder.record(policy("default", f"p{number}"), Notice())
        await asyncio.sleep(1)
        async with asyncio.timeout(2):
            await recorder.stop(grace=0)
        await access.api.close()
