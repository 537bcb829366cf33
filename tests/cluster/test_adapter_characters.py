"""Every character that a text may contain is written, compared and removed."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.parsing import parse_policy
from support.planes import ready_plane
from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.release import read_one, strip
from zitadel_notification_operator.cluster.writer import ClusterWriter
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.kinds import POLICY, ObjectKey
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.demo.control_plane import ControlPlane

BEFORE = "2026-01-01T00:00:00Z"

TEXTS = {
    "beyond the first plane": "\U0001f680 \U0001f6a7",
    "what Go escapes": "r&d <a> \u2028 \u2029",
    "accents": "\u00e9t\u00e9 \u4e2d\u6587",
    "controls": "a\tb\nc\x01\x1b\x7f\x80\x85\x9f",
    "marks": "\ufeff \ufffe \uffff \u200b \u202e",
    "quotes": '"\\"\\\\ \'',
}


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A separate control plane: kubectl prints no YAML of such texts."""
    with ready_plane() as plane:
        yield plane


@pytest.fixture(params=[*TEXTS.values()], ids=[*TEXTS])
def text(request: pytest.FixtureRequest) -> str:
    """A text of a kind that some encoder treats in a way of its own."""
    found: str = request.param
    return found


@pytest.fixture
def policy(control_plane: ControlPlane, namespace: str) -> PolicyObject:
    """A policy as stored."""
    body = {
        "apiVersion": "zitadel-notification.dev/v1alpha1",
        "kind": "NotificationPolicy",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {
            "scope": "Organization",
            "organization": {"id": "r&d"},
            "passwordChange": True,
        },
    }
    done = control_plane.kubectl("create", "-f", "-", "-ojson", stdin=json.dumps(body))
    return parse_policy(json.loads(done.stdout))


async def test_a_status_holds_it(
    api: ApiClient, policy: PolicyObject, text: str
) -> None:
    """Messages and names come from ZITADEL, from proxies and from people."""
    ready = Condition("Ready", "False", "UnexpectedAnswer", text, 1, BEFORE)
    status = PolicyStatus(1, (ready,), "token", organization_name=f"name {text}")
    await ClusterWriter(api).apply_status(policy, status)
    stored = await ClusterReader(api, ()).read(POLICY, policy.key)
    assert isinstance(stored, PolicyObject)
    assert stored.status == status


async def test_a_lone_surrogate_costs_only_itself(
    api: ApiClient, policy: PolicyObject
) -> None:
    """It is no character, so it cannot be stored."""
    status = PolicyStatus(1, organization_name="a\ud83db")
    stored = await ClusterWriter(api).apply_status(policy, status)
    assert stored.status.organization_name == "a?b"


async def test_an_annotation_with_it_is_removed(
    api: ApiClient, policy: PolicyObject, text: str
) -> None:
    """The patch compares it with what the API server has stored."""
    writer = ClusterWriter(api)
    marked = await writer.apply_marks(policy, original=text, finalizer=True)
    assert marked.original_text == text
    stripped = await writer.strip(marked, finalizer=True, original=True)
    assert stripped is not None
    assert (stripped.original_text, stripped.finalizers) == (None, ())


async def test_a_release_removes_it(
    api: ApiClient, policy: PolicyObject, text: str
) -> None:
    """`znp release` uses the same patch."""
    await ClusterWriter(api).apply_marks(policy, original=text, finalizer=True)
    found = await read_one(api, POLICY, ObjectKey(*policy.key))
    done = await strip(api, found)
    assert done is not None
    assert done.original
    stored = await ClusterReader(api, ()).read(POLICY, policy.key)
    assert isinstance(stored, PolicyObject)
    assert stored.original_text is None
    assert FINALIZER not in stored.finalizers


async def test_a_status_is_replaced_by_another(
    api: ApiClient, policy: PolicyObject, text: str
) -> None:
    """Also if somebody else has written one with such a text."""
    writer = ClusterWriter(api)
    ready = Condition("Ready", "False", "UnexpectedAnswer", text, 1, BEFORE)
    stored = await writer.apply_status(policy, PolicyStatus(1, (ready,), text))
    calm = replace(ready, status="True", reason="Succeeded", message="Done")
    again = await writer.apply_status(stored, PolicyStatus(1, (calm,), text))
    assert again.status.conditions == (calm,)
