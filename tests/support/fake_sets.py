"""The part of a Kubernetes in memory that sets need: their objects and policies."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from support.oracle import complaints
from support.steps import Steps
from zitadel_notification_operator.cluster.records import to_json
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.errors import ObjectChanged, ObjectGone
from zitadel_notification_operator.core.kinds import ObjectKey
from zitadel_notification_operator.core.objects import FINALIZER, OwnObject
from zitadel_notification_operator.core.policy_object import (
    Controller,
    PolicyObject,
    PolicySpec,
)
from zitadel_notification_operator.core.set_object import SetObject, SetStatus


class SetStore:
    """Stores sets, and makes, changes and deletes policies for them.

    Attributes:
        sets: The sets by namespace and name.
        policies: The policies, which the rest of the cluster in memory has, too.
        watched: Called with each object that another than the caller gets to know by a
            watch, and whether it is gone.
        refused: What each create raises, or None.
        made: The number of policies that were made.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.sets: dict[ObjectKey, SetObject] = {}
        self.policies: dict[PolicyKey, PolicyObject] = {}
        self.complaints: list[str] = []
        self.watched: Callable[[OwnObject, bool], None] = lambda _one, _gone: None
        self.refused: Exception | None = None
        self.version = 0
        self.made = 0

    def put(self, policy: PolicyObject) -> PolicyObject:
        """Store a policy as a user would."""
        self.version += 1
        stored = replace(policy, resource_version=str(self.version))
        self.policies[policy.key] = stored
        if stored.deleting and not stored.finalizers:
            del self.policies[policy.key]
        return stored

    def put_set(self, one: SetObject) -> SetObject:
        """Store a set as a user would."""
        self.version += 1
        stored = replace(one, resource_version=str(self.version))
        self.sets[one.key] = stored
        if stored.deleting and not stored.finalizers:
            del self.sets[one.key]
        return stored

    async def create_policy(
        self, one: SetObject, key: ObjectKey, spec: PolicySpec
    ) -> PolicyObject:
        """Create a policy, unless there is one of this name."""

        def effect() -> PolicyObject:
            if self.refused is not None:
                raise self.refused
            if key in self.policies:
                raise ObjectChanged(f"{key} exists already")
            self.made += 1
            return self.put(
                PolicyObject(
                    key=key,
                    uid=f"made-{self.made}",
                    generation=1,
                    created=f"2026-02-01T00:00:00.{self.made:06}Z",
                    controller=Controller(one.name, one.uid),
                    set_label=one.name,
                    **_values(spec),
                )
            )

        made: PolicyObject = self.steps.step(effect, "create", str(key))
        return made

    async def apply_policy(
        self, one: SetObject, policy: PolicyObject, spec: PolicySpec
    ) -> PolicyObject:
        """Apply a whole spec, which can be read; another one is another generation."""

        def effect() -> PolicyObject:
            stored = self._stored_policy(policy)
            changed = replace(
                stored,
                controller=Controller(one.name, one.uid),
                set_label=one.name,
                not_understood=None,
                **_values(spec),
            )
            if _values(stored) != _values(changed):
                changed = replace(changed, generation=stored.generation + 1)
            return self.put(changed)

        applied: PolicyObject = self.steps.step(effect, "apply", str(policy.key))
        return applied

    async def delete(self, about: OwnObject) -> None:
        """Delete a policy, and have the watch report it."""
        assert isinstance(about, PolicyObject)

        def effect() -> PolicyObject:
            stored = self._stored_policy(about)
            return self.put(replace(stored, deleting=True))

        stored: PolicyObject = self.steps.step(effect, "delete", str(about.key))
        self.watched(stored, stored.key not in self.policies)

    async def apply_set_status(self, one: SetObject, status: SetStatus) -> SetObject:
        """Store a status, and check it as Flux does."""

        def effect() -> SetObject:
            stored = self.put_set(replace(self._stored_set(one), status=status))
            body: dict[str, Any] = {
                "metadata": {"generation": stored.generation},
                "spec": {"suspend": stored.suspended},
                "status": to_json(status),
            }
            if stored.deleting:
                body["metadata"]["deletionTimestamp"] = "-"
            self.complaints += complaints(body)
            return stored

        stored: SetObject = self.steps.step(effect, "status", str(one.key))
        return stored

    async def hold_set(self, one: SetObject) -> SetObject:
        """Add the finalizer."""

        def effect() -> SetObject:
            stored = self._stored_set(one)
            return self.put_set(replace(stored, finalizers=(FINALIZER,)))

        stored: SetObject = self.steps.step(effect, "hold", str(one.key))
        return stored

    async def release_set(self, one: SetObject) -> SetObject | None:
        """Remove the finalizer."""

        def effect() -> SetObject | None:
            self.put_set(replace(self._stored_set(one), finalizers=()))
            return self.sets.get(one.key)

        left: SetObject | None = self.steps.step(effect, "release", str(one.key))
        return left

    def _stored_set(self, one: SetObject) -> SetObject:
        stored = self.sets.get(one.key)
        if stored is None or stored.uid != one.uid:
            raise ObjectGone(str(one.key))
        return stored

    def _stored_policy(self, policy: PolicyObject) -> PolicyObject:
        stored = self.policies.get(policy.key)
        if stored is None or stored.uid != policy.uid:
            raise ObjectGone(str(policy.key))
        return stored


def _values(spec: PolicySpec) -> dict[str, Any]:
    return {field.name: getattr(spec, field.name) for field in fields(PolicySpec)}
