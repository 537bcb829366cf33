"""Writes status, original and finalizer of our kinds, and the policies of sets.

Marks are added by server-side apply with the object's uid, and removed by JSON patch
with a `test`. Apply cannot remove the finalizer of a copied object: kubectl co-owns it
there, so an apply without it would leave it in place (docs/concepts/ownership.md).
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ObjectChanged, ObjectGone
from zitadel_notification_operator.core.kinds import POLICY
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    Own,
    OwnObject,
    OwnStatus,
)
from zitadel_notification_operator.core.policy_object import PolicyObject, PolicySpec
from zitadel_notification_operator.core.set_object import SetObject

from .calls import APPLY, ApiClient, Refused, call, path_of
from .names import (
    API_VERSION,
    FIELD_MANAGER,
    ORIGINAL,
    SET_LABEL,
    SETS_FIELD_MANAGER,
)
from .records import spec_of_policy, to_json
from .removal import (
    TRIES,
    foreign_conditions_patch,
    has_ended,
    read_same,
    send_patch,
    strip_marks,
)
from .resources import FORMS, parse_answer

_UNDECLARED = re.compile(r"\.status\.(\w+): field not declared in schema")
"""The fields that Kubernetes names when it refuses an apply."""


class ClusterWriter:
    """The adapter behind the engine's `ObjectWriter`.

    Args:
        api: Makes the calls.
        check: Called right before each write. If it raises, the write is not made.
    """

    def __init__(
        self, api: ApiClient, check: Callable[[], None] = lambda: None
    ) -> None:
        self._api = api
        self._check = check

    async def apply_status(self, about: Own, status: OwnStatus) -> Own:
        """Server-side apply the whole status; return the stored object.

        Raises:
            ObjectGone: The object is gone, or another one has its name.
            ObjectChanged: The write conflicts, or does not fit the schema.
            ClusterError: Kubernetes did not accept the write.
        """
        return _stored(about, await self._apply_status(about, to_json(status)))

    async def apply_marks(
        self, about: Own, *, original: str | None = None, finalizer: bool
    ) -> Own:
        """Server-side apply the annotation and the finalizer, as far as requested.

        Raises:
            ObjectGone: The object is gone, or another one has its name.
            ObjectChanged: It is being deleted, so no finalizer can be added.
            ClusterError: Kubernetes did not accept the write.
        """
        marks: dict[str, Any] = {}
        if original is not None:
            marks["annotations"] = {ORIGINAL: original}
        if finalizer:
            marks["finalizers"] = [FINALIZER]
        return _stored(about, await self._apply(about, marks))

    async def strip(self, about: Own, *, finalizer: bool, original: bool) -> Own | None:
        """Remove our marks. Return the object, or None if it no longer exists.

        Raises:
            ObjectChanged: It changed during each of three tries.
            ClusterError: Kubernetes did not accept the write.
        """
        body = await strip_marks(
            self._api,
            _path(about),
            about.uid,
            finalizer=finalizer,
            annotation=ORIGINAL if original else None,
            known=_marks_of(about),
            check=self._check,
        )
        return (
            None
            if body is None or has_ended(body["metadata"])
            else _stored(about, body)
        )

    async def create_policy(
        self, one: SetObject, key: PolicyKey, spec: PolicySpec
    ) -> PolicyObject:
        """Create the policy of a set.

        It is a POST and not an apply, which would take over another object that has
        got this name meanwhile.

        Args:
            one: The set that makes it.
            key: The policy's namespace and name.
            spec: The whole spec.

        Raises:
            ObjectChanged: An object has this name, or the schema refuses the policy.
            ClusterError: Kubernetes did not accept the write.
        """
        self._check()
        stored = await call(
            self._api,
            "POST",
            path_of(POLICY, key.namespace),
            query={"fieldManager": SETS_FIELD_MANAGER},
            body=_policy_of(one, key, spec),
        )
        made: PolicyObject = parse_answer(POLICY, stored)
        return made

    async def apply_policy(
        self, one: SetObject, policy: PolicyObject, spec: PolicySpec
    ) -> PolicyObject:
        """Server-side apply the whole spec of a set's policy, with label and owner.

        Raises:
            ObjectGone: The policy is gone.
            ObjectChanged: Another object has its name, or a rule forbids the change.
            ClusterError: Kubernetes did not accept the write.
        """
        body = _policy_of(one, policy.key, spec)
        body["metadata"]["uid"] = policy.uid
        path = _path(policy)
        try:
            stored = await self._send(path, body, SETS_FIELD_MANAGER)
        except ObjectChanged:
            await read_same(self._api, path, policy.uid)
            raise
        return _stored(policy, stored)

    async def delete(self, about: OwnObject) -> None:
        """Delete an object; nothing happens if another one has its name by now.

        Without our finalizer, nothing happens either if it has changed: a pass may be
        adding the finalizer at this moment, and a policy that has written must not go
        before that is undone. The watch shows the change, and the caller tries again.

        Raises:
            ClusterError: Kubernetes did not accept the call.
        """
        self._check()
        preconditions = {"uid": about.uid}
        if not about.held:
            preconditions["resourceVersion"] = about.resource_version
        only = {"preconditions": preconditions, "propagationPolicy": "Background"}
        with suppress(ObjectGone, ObjectChanged):
            await call(self._api, "DELETE", _path(about), body=only)

    async def _apply(self, about: OwnObject, marks: dict[str, Any]) -> Any:
        path = _path(about)
        try:
            return await self._send(path, _document(about, marks))
        except ObjectChanged:
            # Applying to an absent object would create it, which Kubernetes refuses
            # with 409 because of the uid. The uid of another object makes it a 422.
            await read_same(self._api, path, about.uid)
            raise

    async def _apply_status(self, about: OwnObject, status: dict[str, Any]) -> Any:
        """Apply to /status, but never to another object that has taken the name.

        Kubernetes ignores metadata.uid there, so the resourceVersion of a record with
        our uid is sent in its place. It does not serve as a lock: if the same object
        has changed meanwhile, the same status is applied to its newest version. But
        it is a lock on the field of an instance that says which operator serves it:
        that one must be as it was known, for another operator may have written it. A
        write that changes this field is a lock on the whole object, with its class.
        """
        version = about.resource_version or await self._version(about)
        path = f"{_path(about)}/status"
        for _ in range(TRIES):
            body = _document(about, {"resourceVersion": version}, status=status)
            try:
                stored = await self._send_status(path, body)
                known = FORMS[about.kind].status_fields
                patch = foreign_conditions_patch(stored["status"], status, known)
                if not patch:
                    return stored
                return await send_patch(self._api, path, patch, self._check)
            except ObjectChanged:
                found = await read_same(self._api, _path(about), about.uid)
                newer = str(found["metadata"]["resourceVersion"])
                if newer == version or _is_less(newer, version):
                    # Either the version is not the problem, or the stored object went
                    # back in time, and the status does not belong to it.
                    raise
                server = _server(to_json(about.status))
                if _server(status) != server or _server(found.get("status")) != server:
                    raise
                version = newer
        raise ObjectChanged(f"{path} changes faster than it can be applied")

    async def _send_status(self, path: str, body: dict[str, Any]) -> Any:
        """Send a status, and leave out what a CRD of an older version does not have.

        Kubernetes drops such fields of other writes, but refuses an apply with them.
        """
        try:
            return await self._send(path, body)
        except Refused as error:
            unknown = frozenset(_UNDECLARED.findall(error.message))
            status = {k: v for k, v in body["status"].items() if k not in unknown}
            if status == body["status"]:
                raise
        return await self._send(path, {**body, "status": status})

    async def _send(
        self, path: str, body: dict[str, Any], manager: str = FIELD_MANAGER
    ) -> Any:
        self._check()
        query = {"fieldManager": manager, "force": "true"}
        return await call(
            self._api, "PATCH", path, query=query, body=body, content_type=APPLY
        )

    async def _version(self, about: OwnObject) -> str:
        """Return the stored resourceVersion; raise ObjectGone if the uid differs."""
        stored = await read_same(self._api, _path(about), about.uid)
        return str(stored["metadata"]["resourceVersion"])


def _server(status: Any) -> Any:
    """Return which operator serves an instance; None for objects of other kinds."""
    return (status or {}).get("servedBy")


def _is_less(version: str, other: str) -> bool:
    if not (version.isdigit() and other.isdigit()):
        return False
    return int(version) < int(other)


def _path(about: OwnObject) -> str:
    return path_of(about.kind, *about.key)


def _marks_of(about: OwnObject) -> dict[str, Any]:
    """Return the metadata of an object that `strip_marks` looks at, as last seen."""
    marks: dict[str, Any] = {"uid": about.uid, "finalizers": [*about.finalizers]}
    if isinstance(about, PolicyObject) and about.original_text is not None:
        marks["annotations"] = {ORIGINAL: about.original_text}
    return marks


def _document(about: OwnObject, marks: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """Return what is applied: the identity of an object, and our part of it."""
    identity = {"name": about.name}
    if about.kind.namespaced:
        identity["namespace"] = about.key.namespace
    metadata = {**identity, "uid": about.uid, **marks}
    kind = about.kind.name
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, **rest}


def _policy_of(one: SetObject, key: PolicyKey, spec: PolicySpec) -> dict[str, Any]:
    owner = {
        "apiVersion": API_VERSION,
        "kind": one.kind.name,
        "name": one.name,
        "uid": one.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": POLICY.name,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {SET_LABEL: one.name},
            "ownerReferences": [owner],
        },
        "spec": spec_of_policy(spec),
    }


def _stored(about: Own, body: Any) -> Own:
    """Return the record of the response to a write."""
    stored: Own = parse_answer(about.kind, body)
    return stored
