"""Writes status, original and finalizer of the operator's kinds, and nothing else.

Marks are added by server-side apply with the object's uid, and removed by JSON patch
with a `test`. Apply cannot remove the finalizer of a copied object: kubectl co-owns it
there, so an apply without it would leave it in place (design, section 3).
"""

from collections.abc import Callable
from typing import Any

from zitadel_notification_operator.cluster.calls import (
    APPLY,
    JSON_PATCH,
    call,
    path_of,
)
from zitadel_notification_operator.cluster.client import ApiClient
from zitadel_notification_operator.cluster.names import (
    API_VERSION,
    FIELD_MANAGER,
    INSTANCE_KIND,
    INSTANCES,
    ORIGINAL,
    POLICIES,
    POLICY_KIND,
)
from zitadel_notification_operator.cluster.removal import (
    has_ended,
    intruders,
    intruding_fields,
    removal,
)
from zitadel_notification_operator.cluster.resources import (
    STATUS_FIELDS,
    instance_status_json,
    parse_answer,
    parse_instance,
    parse_policy,
    policy_status_json,
)
from zitadel_notification_operator.core.errors import (
    ClusterError,
    ObjectChanged,
    ObjectGone,
)
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    InstanceObject,
    InstanceStatus,
    PolicyObject,
    PolicyStatus,
)

_APPLY_QUERY = {"fieldManager": FIELD_MANAGER, "force": "true"}
_TRIES = 3


class ClusterWriter:
    """The adapter behind the engine's `ObjectWriter` and `InstanceWriter`.

    Args:
        api: Makes the calls.
        check: Called right before each write. If it raises, the write is not made.
    """

    def __init__(
        self, api: ApiClient, check: Callable[[], None] = lambda: None
    ) -> None:
        self._api = api
        self._check = check

    async def apply_policy_status(
        self, policy: PolicyObject, status: PolicyStatus
    ) -> PolicyObject:
        """Server-side apply the whole status of a policy; return the stored object.

        Raises:
            ObjectGone: The object is gone, or another one has its name.
            ObjectChanged: The write conflicts, or does not fit the schema.
            ClusterError: Kubernetes did not accept the write.
        """
        key = policy.key
        path = path_of(POLICIES, key.namespace, key.name)
        metadata = {"name": key.name, "namespace": key.namespace, "uid": policy.uid}
        body = _document(POLICY_KIND, metadata, status=policy_status_json(status))
        stored = await self._apply_status(path, body, policy.resource_version)
        return parse_answer(parse_policy, stored)

    async def apply_original(
        self, policy: PolicyObject, original: str, *, finalizer: bool
    ) -> PolicyObject:
        """Server-side apply the annotation and, if requested, the finalizer.

        Raises:
            ObjectGone: The object is gone, or another one has its name.
            ObjectChanged: It is being deleted, so no finalizer can be added.
            ClusterError: Kubernetes did not accept the write.
        """
        key = policy.key
        metadata: dict[str, Any] = {
            "name": key.name,
            "namespace": key.namespace,
            "uid": policy.uid,
            "annotations": {ORIGINAL: original},
        }
        if finalizer:
            metadata["finalizers"] = [FINALIZER]
        path = path_of(POLICIES, key.namespace, key.name)
        body = _document(POLICY_KIND, metadata)
        return parse_answer(parse_policy, await self._apply(path, body))

    async def strip_policy(
        self, policy: PolicyObject, *, finalizer: bool, original: bool
    ) -> PolicyObject | None:
        """Remove our marks. Return the object, or None if it no longer exists.

        Raises:
            ObjectChanged: It changed during each of three tries.
            ClusterError: Kubernetes did not accept the write.
        """
        path = path_of(POLICIES, policy.key.namespace, policy.key.name)
        annotation = ORIGINAL if original else None
        body = await self._strip(
            path, policy.uid, finalizer=finalizer, annotation=annotation
        )
        return None if body is None else parse_answer(parse_policy, body)

    async def apply_instance_status(
        self, instance: InstanceObject, status: InstanceStatus
    ) -> InstanceObject:
        """Server-side apply the whole status of an instance; return the stored object.

        Raises:
            ObjectGone: The object is gone, or another one has its name.
            ObjectChanged: The write conflicts, or does not fit the schema.
            ClusterError: Kubernetes did not accept the write.
        """
        metadata = {"name": instance.name, "uid": instance.uid}
        body = _document(INSTANCE_KIND, metadata, status=instance_status_json(status))
        path = path_of(INSTANCES, name=instance.name)
        stored = await self._apply_status(path, body, instance.resource_version)
        return parse_answer(parse_instance, stored)

    async def hold_instance(self, instance: InstanceObject) -> InstanceObject:
        """Server-side apply the finalizer; return the stored object.

        Raises:
            ObjectGone: The object is gone, or another one has its name.
            ObjectChanged: It is being deleted, so no finalizer can be added.
            ClusterError: Kubernetes did not accept the write.
        """
        metadata = {
            "name": instance.name,
            "uid": instance.uid,
            "finalizers": [FINALIZER],
        }
        path = path_of(INSTANCES, name=instance.name)
        body = _document(INSTANCE_KIND, metadata)
        return parse_answer(parse_instance, await self._apply(path, body))

    async def release_instance(self, instance: InstanceObject) -> InstanceObject | None:
        """Remove the finalizer. Return the object, or None if it no longer exists.

        Raises:
            ObjectChanged: It changed during each of three tries.
            ClusterError: Kubernetes did not accept the write.
        """
        path = path_of(INSTANCES, name=instance.name)
        body = await self._strip(path, instance.uid, finalizer=True, annotation=None)
        return None if body is None else parse_answer(parse_instance, body)

    async def _apply(self, path: str, body: dict[str, Any]) -> Any:
        try:
            return await self._send(path, body)
        except ObjectChanged:
            # Applying to an absent object would create it, which Kubernetes refuses
            # with 409 because of the uid. The uid of another object makes it a 422.
            await self._version(path, body["metadata"]["uid"])
            raise

    async def _apply_status(self, path: str, body: dict[str, Any], version: str) -> Any:
        """Apply to /status, but never to another object that has taken the name.

        Kubernetes ignores metadata.uid there, so the resourceVersion of a record with
        our uid is sent in its place. It does not serve as a lock: if the same object
        has changed meanwhile, the same status is applied to its newest version.
        """
        uid = body["metadata"]["uid"]
        version = version or await self._version(path, uid)
        for _ in range(_TRIES):
            body["metadata"]["resourceVersion"] = version
            try:
                stored = await self._send(f"{path}/status", body)
                return await self._without_intruders(path, body, stored)
            except ObjectChanged:
                newer = await self._version(path, uid)
                if newer == version or _is_less(newer, version):
                    # Either the version is not the problem, or the stored object went
                    # back in time, and the status does not belong to it.
                    raise
                version = newer
        raise ObjectChanged(f"{path} changes faster than its status can be applied")

    async def _without_intruders(
        self, path: str, body: dict[str, Any], stored: Any
    ) -> Any:
        """Remove conditions and fields of ours that somebody else has added.

        An apply does not remove them, because another manager owns them. Beside ours
        they would make false statements.
        """
        known = STATUS_FIELDS[body["kind"]]
        ours = {c["type"] for c in body["status"].get("conditions", ())}
        patch = intruders(stored["status"].get("conditions", ()), ours)
        patch += intruding_fields(stored["status"], body["status"].keys(), known)
        if not patch:
            return stored
        return await self._send_patch(f"{path}/status", patch)

    async def _send_patch(self, path: str, patch: list[dict[str, Any]]) -> Any:
        query = {"fieldManager": FIELD_MANAGER}
        self._check()
        return await call(
            self._api, "PATCH", path, query=query, body=patch, content_type=JSON_PATCH
        )

    async def _send(self, path: str, body: dict[str, Any]) -> Any:
        self._check()
        return await call(
            self._api,
            "PATCH",
            path,
            query=_APPLY_QUERY,
            body=body,
            content_type=APPLY,
        )

    async def _version(self, path: str, uid: str) -> str:
        """Return the stored resourceVersion; raise ObjectGone if the uid differs."""
        metadata = (await call(self._api, "GET", path))["metadata"]
        if metadata["uid"] != uid:
            raise ObjectGone(f"{path} is another object now")
        return str(metadata["resourceVersion"])

    async def _strip(
        self, path: str, uid: str, *, finalizer: bool, annotation: str | None
    ) -> Any:
        """Remove marks by JSON patch from the object as it is stored now."""
        for _ in range(_TRIES):
            try:
                stored = await call(self._api, "GET", path)
                if stored["metadata"]["uid"] != uid:
                    return None
                patch = removal(
                    stored["metadata"], finalizer=finalizer, annotation=annotation
                )
                if not patch:
                    return stored
                stored = await self._remove(path, uid, patch)
            except ObjectGone:
                return None
            except ObjectChanged:
                continue
            return None if has_ended(stored["metadata"]) else stored
        raise ObjectChanged(f"{path} changes faster than it can be patched")

    async def _remove(self, path: str, uid: str, patch: list[dict[str, Any]]) -> Any:
        """Send a removal; raise ObjectGone if the object is gone afterwards."""
        try:
            return await self._send_patch(path, patch)
        except (ObjectGone, ObjectChanged):
            raise
        except ClusterError:
            # It may have been made all the same; if it ended the object, report that.
            await self._version(path, uid)
            raise


def _is_less(version: str, other: str) -> bool:
    if not (version.isdigit() and other.isdigit()):
        return False
    return int(version) < int(other)


def _document(
    kind: str, metadata: dict[str, Any], **rest: dict[str, Any]
) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, **rest}
