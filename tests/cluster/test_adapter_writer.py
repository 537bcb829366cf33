"""Writes of our kinds on a real API server: what is added, kept and removed."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from support.audit import AuditLog
from support.parsing import parse_policy
from support.planes import ready_plane
from support.settings import mails
from zitadel_notification_operator.cluster.calls import ApiClient
from zitadel_notification_operator.cluster.reader import ClusterReader
from zitadel_notification_operator.cluster.writer import ClusterWriter
from zitadel_notification_operator.core.conditions import Condition
from zitadel_notification_operator.core.errors import ObjectChanged, ObjectGone
from zitadel_notification_operator.core.identity import Capabilities, User
from zitadel_notification_operator.core.instance_object import (
    InstanceObject,
    InstanceStatus,
)
from zitadel_notification_operator.core.kinds import INSTANCE, ObjectKey
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicyStatus
from zitadel_notification_operator.demo.control_plane import ControlPlane

API_VERSION = "zitadel-notification.dev/v1alpha1"
ANNOTATION = "zitadel-notification.dev/original"
MANAGER = "zitadel-notification-operator"
OTHER = "example.com/other"
TEXT = '{"organizationId":"1"}'
READY = Condition("Ready", "True", "Succeeded", "Done", 1, "2026-01-01T00:00:00Z")
STALLED = Condition("Stalled", "True", "Conflict", "No", 1, "2026-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """A separate control plane, because the shared one may have an operator."""
    with ready_plane() as plane:
        yield plane


@pytest.fixture
def writer(api: ApiClient) -> ClusterWriter:
    """The writer under test."""
    return ClusterWriter(api)


class Objects:
    """What a user does with kubectl."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._where = ("--namespace", namespace)
        self.namespace = namespace

    def policy(self, name: str = "p", *verb: str, **metadata: Any) -> PolicyObject:
        """Create a policy, or apply it where a verb says so."""
        body = {
            "apiVersion": API_VERSION,
            "kind": "NotificationPolicy",
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": {
                "scope": "Organization",
                "organization": {"id": "1"},
                "passwordChange": True,
            },
        }
        command = verb or ("create",)
        done = self._plane.kubectl(
            *command, "-f", "-", "-ojson", stdin=json.dumps(body)
        )
        return parse_policy(json.loads(done.stdout))

    async def instance(self, api: ApiClient, **metadata: Any) -> InstanceObject:
        """Create an instance named after the namespace."""
        reference = {"secretRef": {"name": "pat"}}
        body = {
            "apiVersion": API_VERSION,
            "kind": "ZitadelInstance",
            "metadata": {"name": self.namespace, **metadata},
            "spec": {
                "url": "https://z.example",
                "credentials": {"personalAccessToken": reference},
            },
        }
        self._plane.kubectl("create", "-f", "-", stdin=json.dumps(body))
        found = await ClusterReader(api, ()).read(
            INSTANCE, ObjectKey("", self.namespace)
        )
        assert isinstance(found, InstanceObject)
        return found

    def get(self, name: str = "p", kind: str = "znp") -> dict[str, Any] | None:
        """Return an object with its managedFields, or None if there is none."""
        done = self._plane.kubectl(
            *("get", kind, name, *self._where, "-ojson", "--show-managed-fields"),
            check=False,
        )
        return json.loads(done.stdout) if done.returncode == 0 else None

    def delete(self, name: str = "p", kind: str = "znp") -> None:
        """Delete an object without waiting."""
        self._plane.kubectl("delete", kind, name, *self._where, "--wait=false")

    def patch(self, patch: Any, kind: str = "json", name: str = "p") -> None:
        """Patch a policy."""
        self._plane.kubectl(
            *("patch", "znp", name, *self._where, f"--type={kind}"),
            *("-p", json.dumps(patch)),
        )


@pytest.fixture
def objects(control_plane: ControlPlane, namespace: str) -> Objects:
    """A user with a namespace for the test."""
    return Objects(control_plane, namespace)


def owned(body: dict[str, Any] | None) -> dict[str, Any]:
    """Return the fields of the operator's manager, by operation and subresource."""
    assert body is not None
    return {
        f"{entry['operation']} {entry.get('subresource', '')}".strip(): entry[
            "fieldsV1"
        ]
        for entry in body["metadata"]["managedFields"]
        if entry["manager"] == MANAGER
    }


class InterferingClient(ApiClient):
    """A client that lets somebody else act before each PATCH."""

    def __init__(self, api: ApiClient, meddle: Callable[[], None]) -> None:
        super().__init__(api.session, api.failure_log)
        self._meddle = meddle
        self.patches = 0
        self.reads = 0

    async def request(
        self, method: str, path: str, seconds: float, **content: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Let somebody else act first."""
        self.reads += method == "GET"
        if method == "PATCH":
            self.patches += 1
            await asyncio.to_thread(self._meddle)
        return await super().request(method, path, seconds, **content)


FULL = PolicyStatus(
    observed_generation=1,
    conditions=(STALLED, READY),
    organization_id="1",
    organization_name="ÄCME",
    is_default=False,
    settings=mails(True),
    sequence=str(2**64 - 1),
    creation_date="2026-01-01T00:00:00.000000Z",
    change_date="2026-01-01T00:00:00.000000Z",
    resource_owner="1",
    original=OriginalValue(is_default=True, settings=mails(None)),
    last_handled_reconcile_at="token",
)


@pytest.mark.parametrize(
    "status",
    [
        FULL,
        PolicyStatus(),
        PolicyStatus(observed_generation=1, conditions=(READY,), is_default=True),
    ],
    ids=["full", "empty", "some"],
)
async def test_a_status_is_stored_as_it_is(
    writer: ClusterWriter, objects: Objects, status: PolicyStatus
) -> None:
    """The server returns the applied status; spec and metadata stay."""
    policy = objects.policy()
    stored = await writer.apply_status(policy, status)
    assert stored.status == status
    assert (stored.uid, stored.generation) == (policy.uid, policy.generation)
    assert stored.finalizers == ()
    assert list(owned(objects.get())) == ["Apply status"]


async def test_a_whole_status_replaces_what_was_ours(
    writer: ClusterWriter, objects: Objects, control_plane: ControlPlane
) -> None:
    """Dropped fields and conditions go; another manager's condition stays."""
    policy = await writer.apply_status(objects.policy(), FULL)
    foreign = {
        "type": "Reviewed",
        "status": "True",
        "reason": "Looked",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    metadata = {"name": "p", "namespace": objects.namespace}
    body = {
        "apiVersion": API_VERSION,
        "kind": "NotificationPolicy",
        "metadata": metadata,
        "status": {"conditions": [foreign]},
    }
    control_plane.kubectl(
        *("apply", "--server-side", "--subresource=status"),
        *("--field-manager=reviewer", "-f", "-"),
        stdin=json.dumps(body),
    )
    few = PolicyStatus(observed_generation=1, conditions=(READY,))
    stored = await writer.apply_status(policy, few)
    assert stored.status.conditions == (READY,)
    left = objects.get()
    assert left is not None
    types = {c["type"] for c in left["status"]["conditions"]}
    assert types == {"Ready", "Reviewed"}
    assert stored.status.organization_id is None
    assert stored.status.original is None


async def test_our_conditions_are_nobody_elses(
    writer: ClusterWriter, objects: Objects, control_plane: ControlPlane
) -> None:
    """The next status removes somebody's Stalled beside our Ready."""
    policy = await writer.apply_status(
        objects.policy(), PolicyStatus(observed_generation=1, conditions=(READY,))
    )
    body = objects.get()
    assert body is not None
    body["status"]["conditions"].append(
        {
            "type": "Stalled",
            "status": "True",
            "reason": "Foo",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    )
    control_plane.kubectl(
        "replace", "--subresource=status", "-f", "-", stdin=json.dumps(body)
    )
    stored = await writer.apply_status(policy, policy.status)
    assert stored.status.conditions == (READY,)
    body = objects.get()
    assert body is not None
    assert [c["type"] for c in body["status"]["conditions"]] == ["Ready"]


async def test_our_fields_are_nobody_elses(
    writer: ClusterWriter, objects: Objects, control_plane: ControlPlane
) -> None:
    """The next status removes a drift that somebody has put there."""
    policy = await writer.apply_status(
        objects.policy(), PolicyStatus(observed_generation=1, conditions=(READY,))
    )
    body = objects.get()
    assert body is not None
    both = {"isDefault": True}
    made_up = {"observedAt": "2026-01-01T00:00:00Z", "from": both, "to": both}
    body["status"] |= {"lastDrift": made_up, "organizationId": "7"}
    control_plane.kubectl(
        "replace", "--subresource=status", "-f", "-", stdin=json.dumps(body)
    )
    stored = await writer.apply_status(policy, policy.status)
    assert stored.status == policy.status
    body = objects.get()
    assert body is not None
    assert body["status"].keys() == {"observedGeneration", "conditions"}


async def test_the_same_status_again_changes_nothing(
    writer: ClusterWriter, objects: Objects
) -> None:
    """An apply without a difference keeps the resourceVersion."""
    first = await writer.apply_status(objects.policy(), FULL)
    second = await writer.apply_status(first, FULL)
    assert second.resource_version == first.resource_version


async def test_original_and_finalizer_are_all_we_own(
    writer: ClusterWriter, objects: Objects
) -> None:
    """The operator owns no spec, label or other annotation (conventions 7.1)."""
    policy = objects.policy(labels={"a": "b"}, annotations={"c": "d"})
    stored = await writer.apply_marks(policy, original=TEXT, finalizer=True)
    assert stored.held
    assert stored.original_text == TEXT
    assert stored.generation == policy.generation
    await writer.apply_status(stored, FULL)
    body = objects.get()
    mine = owned(body)
    assert mine["Apply"] == {
        "f:metadata": {
            "f:annotations": {f"f:{ANNOTATION}": {}},
            "f:finalizers": {f'v:"{FINALIZER}"': {}},
        }
    }
    assert list(mine["Apply status"]) == ["f:status"]
    assert len(mine) == 2
    assert body is not None
    assert body["metadata"]["annotations"] == {"c": "d", ANNOTATION: TEXT}
    assert body["metadata"]["labels"] == {"a": "b"}


async def test_original_alone(writer: ClusterWriter, objects: Objects) -> None:
    """Retain needs no finalizer."""
    stored = await writer.apply_marks(objects.policy(), original=TEXT, finalizer=False)
    assert stored.finalizers == ()
    assert stored.original_text == TEXT
    again = await writer.apply_marks(stored, original="other", finalizer=True)
    assert again.held
    assert again.original_text == "other"


async def test_a_copied_object_loses_our_marks(
    writer: ClusterWriter, objects: Objects
) -> None:
    """kubectl owns them, too: an apply would leave them, a patch does not."""
    marks = {"annotations": {ANNOTATION: "copied"}, "finalizers": [FINALIZER]}
    policy = objects.policy("p", "apply", "--server-side", **marks)
    held = await writer.apply_marks(policy, original=TEXT, finalizer=True)
    assert held.original_text == TEXT
    kept = await writer.apply_marks(held, original=TEXT, finalizer=False)
    assert kept.held
    stripped = await writer.strip(kept, finalizer=True, original=True)
    assert stripped is not None
    assert stripped.finalizers == ()
    assert stripped.original_text is None
    assert "Apply" not in owned(objects.get())


async def test_strip_takes_what_was_asked(
    writer: ClusterWriter, objects: Objects
) -> None:
    """It removes only the finalizer or the annotation, and nothing of others."""
    policy = objects.policy(finalizers=[OTHER], annotations={"c": "d"})
    held = await writer.apply_marks(policy, original=TEXT, finalizer=True)
    assert set(held.finalizers) == {OTHER, FINALIZER}
    loose = await writer.strip(held, finalizer=True, original=False)
    assert loose is not None
    assert loose.finalizers == (OTHER,)
    assert loose.original_text == TEXT
    bare = await writer.strip(loose, finalizer=True, original=True)
    assert bare is not None
    assert bare.original_text is None
    body = objects.get()
    assert body is not None
    assert body["metadata"]["finalizers"] == [OTHER]
    assert body["metadata"]["annotations"] == {"c": "d"}


async def test_nothing_to_strip_is_no_write(
    writer: ClusterWriter, objects: Objects, audit: AuditLog
) -> None:
    """If there is nothing to remove, it only reads."""
    policy = objects.policy()
    stored = await writer.strip(policy, finalizer=True, original=True)
    assert stored == policy
    assert audit.by_operator("notificationpolicies", objects.namespace) == []


async def test_known_marks_are_stripped_without_a_read(
    api: ApiClient, writer: ClusterWriter, objects: Objects
) -> None:
    """The record has them all, so the removal of both is a single call."""
    policy = objects.policy(finalizers=[OTHER])
    held = await writer.apply_marks(policy, original=TEXT, finalizer=True)
    client = InterferingClient(api, lambda: None)
    stored = await ClusterWriter(client).strip(held, finalizer=True, original=True)
    assert stored is not None
    assert (stored.finalizers, stored.original_text) == ((OTHER,), None)
    assert (client.reads, client.patches) == (0, 1)


async def test_a_mark_that_is_not_known_is_stripped_as_well(
    api: ApiClient, writer: ClusterWriter, objects: Objects
) -> None:
    """The record is older than one of the marks, so the object is read."""
    held = await writer.apply_marks(objects.policy(), finalizer=True)
    await writer.apply_marks(held, original=TEXT, finalizer=True)
    client = InterferingClient(api, lambda: None)
    stored = await ClusterWriter(client).strip(held, finalizer=True, original=True)
    assert stored is not None
    assert (stored.finalizers, stored.original_text) == ((), None)
    assert (client.reads, client.patches) == (1, 1)


async def test_the_same_marks_of_another_object_stay(
    writer: ClusterWriter, objects: Objects
) -> None:
    """The name belongs to an object that looks the same, apart from its uid."""
    held = await writer.apply_marks(objects.policy(), original=TEXT, finalizer=True)
    objects.delete()
    assert await writer.strip(held, finalizer=True, original=True) is None
    new = objects.policy(annotations={ANNOTATION: TEXT}, finalizers=[FINALIZER])
    assert await writer.strip(held, finalizer=True, original=True) is None
    body = objects.get()
    assert body is not None
    assert parse_policy(body) == new


async def test_an_index_that_shifts(api: ApiClient, objects: Objects) -> None:
    """Somebody adds a finalizer before ours: the JSON patch's test fails once."""
    policy = objects.policy(finalizers=[FINALIZER])

    def insert() -> None:
        if client.patches == 1:
            add = {"op": "add", "path": "/metadata/finalizers/0", "value": OTHER}
            objects.patch([add])

    client = InterferingClient(api, insert)
    stored = await ClusterWriter(client).strip(policy, finalizer=True, original=False)
    assert stored is not None
    assert stored.finalizers == (OTHER,)
    assert client.patches == 2


async def test_a_change_under_every_try(api: ApiClient, objects: Objects) -> None:
    """After three tries the pass starts again with the stored object."""
    policy = objects.policy(annotations={ANNOTATION: "0"})

    def rewrite() -> None:
        value = {"metadata": {"annotations": {ANNOTATION: str(client.patches)}}}
        objects.patch(value, "merge")

    client = InterferingClient(api, rewrite)
    with pytest.raises(ObjectChanged):
        await ClusterWriter(client).strip(policy, finalizer=False, original=True)
    assert client.patches == 3


async def test_the_last_finalizer_lets_it_go(
    writer: ClusterWriter, objects: Objects
) -> None:
    """The result is None, also at every further call."""
    held = await writer.apply_marks(objects.policy(), original=TEXT, finalizer=True)
    objects.delete()
    objects.delete()
    assert await writer.strip(held, finalizer=True, original=False) is None
    assert objects.get() is None
    assert await writer.strip(held, finalizer=True, original=True) is None


async def test_what_was_marked_meanwhile_is_not_deleted(
    writer: ClusterWriter, objects: Objects
) -> None:
    """A record without our finalizer may be too old; one with it may be older."""
    policy = objects.policy()
    held = await writer.apply_marks(policy, original=TEXT, finalizer=True)
    await writer.delete(policy)
    body = objects.get()
    assert body is not None
    assert "deletionTimestamp" not in body["metadata"]
    await writer.apply_status(held, FULL)
    await writer.delete(held)
    body = objects.get()
    assert body is not None
    assert "deletionTimestamp" in body["metadata"]


async def test_another_finalizer_keeps_it(
    writer: ClusterWriter, objects: Objects
) -> None:
    """The object is still being deleted; our finalizer cannot come back."""
    policy = objects.policy(finalizers=[OTHER])
    held = await writer.apply_marks(policy, original=TEXT, finalizer=True)
    objects.delete()
    stored = await writer.strip(held, finalizer=True, original=True)
    assert stored is not None
    assert stored.deleting
    assert stored.finalizers == (OTHER,)
    with pytest.raises(ObjectChanged) as caught:
        await writer.apply_marks(stored, original=TEXT, finalizer=True)
    assert type(caught.value) is ObjectChanged
    updated = await writer.apply_status(stored, PolicyStatus(conditions=(READY,)))
    assert updated.deleting


async def test_it_goes_between_read_and_patch(api: ApiClient, objects: Objects) -> None:
    """Somebody else removes our finalizer from a deleted object."""
    policy = objects.policy(finalizers=[FINALIZER])
    objects.delete()
    client = InterferingClient(
        api,
        lambda: objects.patch([{"op": "remove", "path": "/metadata/finalizers/0"}]),
    )
    stripped = await ClusterWriter(client).strip(policy, finalizer=True, original=False)
    assert stripped is None


async def test_an_object_that_is_gone_stays_gone(
    writer: ClusterWriter, objects: Objects
) -> None:
    """An apply would create an object, but the uid prevents that."""
    policy = objects.policy()
    objects.delete()
    with pytest.raises(ObjectGone):
        await writer.apply_status(policy, FULL)
    with pytest.raises(ObjectGone):
        await writer.apply_marks(policy, original=TEXT, finalizer=True)
    assert await writer.strip(policy, finalizer=True, original=True) is None
    assert objects.get() is None


async def test_another_object_of_that_name_is_left_alone(
    writer: ClusterWriter, objects: Objects
) -> None:
    """The recreated object has another uid."""
    old = objects.policy()
    objects.delete()
    new = objects.policy(annotations={ANNOTATION: "new"}, finalizers=[FINALIZER])
    assert new.uid != old.uid
    with pytest.raises(ObjectGone):
        await writer.apply_status(old, FULL)
    with pytest.raises(ObjectGone):
        await writer.apply_marks(old, original=TEXT, finalizer=True)
    assert await writer.strip(old, finalizer=True, original=True) is None
    body = objects.get()
    assert body is not None
    assert parse_policy(body) == new
    assert owned(body) == {}


async def test_a_change_of_others_does_not_stop_a_status(
    writer: ClusterWriter, objects: Objects
) -> None:
    """The resourceVersion only shows that it is the same object."""
    policy = objects.policy()
    objects.patch({"metadata": {"labels": {"a": "b"}}}, "merge")
    assert (await writer.apply_status(policy, FULL)).status == FULL
    unversioned = replace(policy, resource_version="")
    assert (await writer.apply_status(unversioned, FULL)).status == FULL


async def test_a_change_under_every_status(api: ApiClient, objects: Objects) -> None:
    """After three tries the pass starts again."""
    policy = objects.policy()
    client = InterferingClient(
        api,
        lambda: objects.patch(
            {"metadata": {"labels": {"a": str(client.patches)}}}, "merge"
        ),
    )
    with pytest.raises(ObjectChanged):
        await ClusterWriter(client).apply_status(policy, FULL)
    assert client.patches == 3


async def test_recreated_between_two_tries(api: ApiClient, objects: Objects) -> None:
    """The new object never gets the old one's status, whenever it appears."""
    policy = objects.policy()

    def recreate() -> None:
        objects.delete()
        objects.policy()

    client = InterferingClient(api, recreate)
    with pytest.raises(ObjectGone):
        await ClusterWriter(client).apply_status(policy, FULL)
    assert owned(objects.get()) == {}


async def test_a_status_that_the_schema_refuses(
    writer: ClusterWriter, objects: Objects
) -> None:
    """It is an error, not a missing object."""
    bad = PolicyStatus(conditions=(Condition("Ready", "Perhaps", "R", "", 1, "x"),))
    with pytest.raises(ObjectChanged) as caught:
        await writer.apply_status(objects.policy(), bad)
    assert type(caught.value) is ObjectChanged


async def test_an_instance_is_held_updated_and_released(
    writer: ClusterWriter, objects: Objects, api: ApiClient
) -> None:
    """The same four writes exist for the other kind."""
    instance = await objects.instance(api)
    held = await writer.apply_marks(instance, finalizer=True)
    assert held.finalizers == (FINALIZER,)
    status = InstanceStatus(
        1,
        (READY,),
        last_handled_reconcile_at="token",
        instance_id="69",
        version="v4.7.0",
        user=User("u", "gitops"),
        capabilities=Capabilities(),
        credential_expires_at="2027-01-01T00:00:00Z",
        policies=12,
    )
    updated = await writer.apply_status(held, status)
    assert updated.status == status
    assert updated.held
    mine = owned(objects.get(instance.name, "zni"))
    assert mine["Apply"] == {"f:metadata": {"f:finalizers": {f'v:"{FINALIZER}"': {}}}}
    objects.delete(instance.name, "zni")
    assert await writer.strip(updated, finalizer=True, original=False) is None
    assert objects.get(instance.name, "zni") is None
    assert await writer.strip(updated, finalizer=True, original=False) is None
    with pytest.raises(ObjectGone):
        await writer.apply_marks(updated, finalizer=True)
    with pytest.raises(ObjectGone):
        await writer.apply_status(updated, status)


async def test_an_instance_that_stays_is_returned(
    writer: ClusterWriter, objects: Objects, api: ApiClient
) -> None:
    """If it is not being deleted, it stays without our finalizer."""
    instance = await objects.instance(api, finalizers=[OTHER])
    held = await writer.apply_marks(instance, finalizer=True)
    released = await writer.strip(held, finalizer=True, original=False)
    assert released is not None
    assert released.finalizers == (OTHER,)
    assert not released.deleting
