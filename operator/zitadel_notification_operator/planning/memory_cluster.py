"""A copy of the objects in memory, behind the engine's ports for Kubernetes."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from zitadel_notification_operator.core.conditions import format_time
from zitadel_notification_operator.core.errors import ObjectChanged, ObjectGone
from zitadel_notification_operator.core.kinds import Kind, ObjectKey
from zitadel_notification_operator.core.objects import (
    FINALIZER,
    ObjectList,
    Own,
    OwnObject,
    OwnStatus,
)
from zitadel_notification_operator.core.original import Original
from zitadel_notification_operator.core.policy_object import (
    Controller,
    PolicyObject,
    PolicySpec,
)
from zitadel_notification_operator.core.set_object import SetObject

Watched = Callable[[OwnObject, bool], None]
"""Receives an object as the watch would deliver it, and whether it is gone now."""

_SPEC = tuple(field.name for field in fields(PolicySpec))


class MemoryCluster:
    """Implements `ObjectReader` and `ObjectWriter` of the engine's ports.

    Args:
        objects: The objects to begin with.
        crd_is_ending: Says whether the CRD of a kind is being deleted.

    Attributes:
        watched: Receives what somebody else than the caller learns by a watch. The dry
            run sets it once it has an engine.
    """

    def __init__(
        self,
        objects: Iterable[OwnObject],
        crd_is_ending: Callable[[Kind], Awaitable[bool]],
    ) -> None:
        self._objects = {(one.kind, one.key): one for one in objects}
        self._crd_is_ending = crd_is_ending
        self.watched: Watched = lambda _one, _gone: None
        self._numbers = count(1)

    def find(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return an object as it is now, or None if there is none."""
        return self._objects.get((kind, key))

    def all(self) -> list[OwnObject]:
        """Return all objects as they are now."""
        return list(self._objects.values())

    async def list_objects(self, kind: Kind, _known: Iterable[OwnObject]) -> ObjectList:
        """Return all objects of a kind."""
        return ObjectList([one for one in self._objects.values() if one.kind is kind])

    async def read(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return one object, or None if there is none."""
        return self.find(kind, key)

    async def crd_is_ending(self, kind: Kind) -> bool:
        """Return whether the CRD of a kind is being deleted or is gone."""
        return await self._crd_is_ending(kind)

    async def apply_status(self, about: Own, status: OwnStatus) -> Own:
        """Store a status."""
        changed: Any = {"status": status}
        return self._store(replace(self._stored(about), **changed))

    async def apply_marks(
        self, about: Own, *, original: str | None = None, finalizer: bool
    ) -> Own:
        """Store the annotation and the finalizer, as far as asked."""
        stored = self._stored(about)
        changes: dict[str, Any] = {}
        if finalizer and not stored.held:
            changes["finalizers"] = (*stored.finalizers, FINALIZER)
        if original is not None:
            changes["original_text"] = original
            changes["original"] = Original.from_text(original)
        return self._store(replace(stored, **changes))

    async def strip(self, about: Own, *, finalizer: bool, original: bool) -> Own | None:
        """Remove finalizer and annotation as asked; None if the object is gone now."""
        stored = self._stored(about)
        changes: dict[str, Any] = {}
        if finalizer:
            left = tuple(name for name in stored.finalizers if name != FINALIZER)
            changes["finalizers"] = left
        if original:
            changes |= {"original": None, "original_text": None}
        changed = self._store(replace(stored, **changes))
        return None if self._end(changed) else changed

    async def create_policy(
        self, one: SetObject, key: ObjectKey, spec: PolicySpec
    ) -> PolicyObject:
        """Create the policy of a set.

        Raises:
            ObjectChanged: There is an object of this name.
        """
        if (PolicyObject.kind, key) in self._objects:
            raise ObjectChanged(f"{key} exists already")
        made = PolicyObject(
            key=key,
            uid=f"planned-{next(self._numbers)}",
            generation=1,
            created=format_time(datetime.now(UTC)),
            controller=Controller(one.name, one.uid),
            set_label=one.name,
            **_values(spec),
        )
        return self._store(made)

    async def apply_policy(
        self, one: SetObject, policy: PolicyObject, spec: PolicySpec
    ) -> PolicyObject:
        """Store the spec of a set's policy, with label and owner."""
        stored = self._stored(policy)
        changed = replace(
            stored,
            controller=Controller(one.name, one.uid),
            set_label=one.name,
            not_understood=None,
            **_values(spec),
        )
        if _values(changed) != _values(stored):
            changed = replace(changed, generation=stored.generation + 1)
        return self._store(changed)

    async def delete(self, about: OwnObject) -> None:
        """Mark an object as deleted, and have the watch report it."""
        deleted = self._store(replace(self._stored(about), deleting=True))
        self.watched(deleted, self._end(deleted))

    def _stored(self, about: Own) -> Own:
        stored = self._objects.get((about.kind, about.key))
        if not isinstance(stored, type(about)) or stored.uid != about.uid:
            raise ObjectGone(f"{about.kind} {about.key} is gone")
        return stored

    def _store(self, one: Own) -> Own:
        version = str(next(self._numbers) + _NEWER)
        stored = replace(one, resource_version=version)
        self._objects[stored.kind, stored.key] = stored
        return stored

    def _end(self, one: OwnObject) -> bool:
        """Return whether the object is gone, because nothing keeps it any longer."""
        if not one.deleting or one.finalizers:
            return False
        del self._objects[one.kind, one.key]
        return True


_NEWER = 2**62
"""Is added to versions, so that they are newer than all of Kubernetes' own."""


def _values(spec: PolicySpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in _SPEC}
