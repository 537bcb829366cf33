"""What the design requires of a world, computed without the code under test.

The process may know an older version of an object than the stored one. A claim is
possible (`may_...`) if one of the versions that it may know allows the claim. A claim
is certain if all of them require it.
"""

import asyncio
import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from support.settings import mails
from support.world_cluster import SetName
from support.world_zitadel import WorldZitadel
from zitadel_notification_operator.core.claims import PolicyKey
from zitadel_notification_operator.core.grants import Grant
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.objects import FINALIZER
from zitadel_notification_operator.core.original import OriginalValue
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.set_object import SetObject

OWN_NAMESPACE = "own"
ORGANIZATION = "Organization"

LOOK_UP = 400.0
"""Seconds for which the resolution of a name may be used: a check, and a list's age."""

LEAVE = 12.0
"""Seconds for which an instance's old URL may be used after a check of the new one."""

Target = tuple[str, str | None]


class Model:
    """The requirements of the design for one world."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._led: dict[str, list[tuple[float, str]]] = {}
        self._changed: dict[str, float] = {}
        self.pins: dict[str, list[Target]] = {}
        self._sets: dict[str, list[SetObject]] = {}

    # The versions that the process may know.

    def versions(self, key: PolicyKey) -> list[PolicyObject | None]:
        """Return the versions of a policy that the process may know."""
        found: list[PolicyObject | None] = self._world.cluster.beliefs.of(key)
        return found

    def instances(self, name: str) -> list[InstanceObject | None]:
        """Return the versions of an instance that the process may know."""
        found: list[InstanceObject | None] = self._world.cluster.beliefs.of(name)
        return found

    def changed(self, instance: InstanceObject) -> None:
        """Record a change that an administrator makes."""
        self._changed[instance.name] = _time()
        zitadel = self._world.zitadels[instance.url]
        self._led.setdefault(instance.name, []).append((_time(), zitadel.id))

    def zitadel(self, zitadel_id: str) -> WorldZitadel:
        """Return the ZITADEL with this id."""
        found: WorldZitadel = next(
            z for z in self._world.zitadels.values() if z.id == zitadel_id
        )
        return found

    # The ZITADEL of an instance.

    def may_lead(self, instance: InstanceObject, zitadel_id: str) -> bool:
        """Return whether a call through the instance may reach this ZITADEL."""
        if self._world.zitadels[instance.url].id == zitadel_id:
            return True
        history = self._led[instance.name]
        ends = [since for since, _ in history[1:]]
        return any(
            led == zitadel_id and self._may_still_count(instance.name, end)
            for (_, led), end in zip(history, ends, strict=False)
        )

    def _may_still_count(self, instance: str, end: float) -> bool:
        """Return whether the process may still use the URL that was replaced then."""
        checks = [at for at in self._world.checked.get(instance, ()) if at >= end]
        return not checks or _time() - checks[0] < LEAVE

    def leads(self, instance: InstanceObject, zitadel_id: str) -> bool:
        """Return whether the process must know that the instance is this ZITADEL."""
        lost = any(c.reason == "InstanceChanged" for c in instance.status.conditions)
        truly = self._world.zitadels[instance.url].id
        return instance.status.instance_id == truly == zitadel_id and not lost

    def may_mean(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether the policy may be about this organization."""
        zitadel_id, org = target
        if policy.organization is None or org is None:
            return policy.organization is None and org is None
        if policy.status.organization_id == org or target in self.pins_of(policy):
            return True
        meant = self.zitadel(zitadel_id).meant(policy.organization, LOOK_UP)
        return org in meant

    def pins_of(self, policy: PolicyObject) -> list[Target]:
        """Return all targets that a policy was ever resolved to, the newest last."""
        return self.pins.get(policy.uid, [])

    def means(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether the process must know that it is about this organization."""
        reference = policy.organization
        if reference is None or target[1] is None:
            return reference is None and target[1] is None
        if reference.by == "id":
            return reference.value == target[1]
        return policy.status.organization_id == target[1]

    # Grants.

    def verdicts(
        self, policy: PolicyObject, instance: InstanceObject, target: Target
    ) -> set[str]:
        """Return all possible results of the grants: Granted, or a refusal's reason."""
        namespace = policy.key.namespace
        if namespace == OWN_NAMESPACE:
            return {"Granted"}
        covering = [g for g in instance.grants if _covers(g, namespace)]
        if not covering:
            return {"InstanceNotFound"}
        scoped = [g for g in covering if policy.scope in g.scopes]
        if not scoped:
            return {"NotGranted"}
        if target[1] is None or any(g.organizations is None for g in scoped):
            return {"Granted"}
        named = [ref for g in scoped for ref in g.organizations or ()]
        meanings = [self.zitadel(target[0]).meant(ref, LOOK_UP) for ref in named]
        answers = set()
        for choice in product(*meanings):
            answers.add("Granted" if target[1] in choice else "NotGranted")
        return answers

    def grants(self, namespace: str, instance: InstanceObject, target: Target) -> bool:
        """Return whether a namespace may certainly set an organization."""
        key = PolicyKey(namespace, "any")
        like = PolicyObject(
            key=key,
            uid="",
            generation=1,
            created="",
            scope=Scope.ORGANIZATION,
            settings=mails(True),
        )
        return self.verdicts(like, instance, target) == {"Granted"}

    def _looks_up(self, instance: InstanceObject) -> bool:
        orgs = [ref for g in instance.grants for ref in g.organizations or ()]
        return any(ref.by != "id" for ref in orgs)

    def _has_looked_up(self, instance: InstanceObject) -> bool:
        """Return whether the process must know what the names in grants mean."""
        since = max(self._changed[instance.name], self._world.began)
        looked = self._world.looked_up.get(instance.name, -1.0)
        return not self._looks_up(instance) or (
            looked > since and self._world.began < looked < _time() - 1
        )

    # Claims.

    def may_hold(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether a policy, deleted or not, may manage the target."""
        if not policy.may_own or not self.may_mean(policy, target):
            return False
        return any(
            instance is not None
            and self.may_lead(instance, target[0])
            and "Granted" in self.verdicts(policy, instance, target)
            for instance in self.instances(policy.instance)
        )

    def holds(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether a policy, deleted or not, certainly manages the target."""
        if not policy.may_own or not self.means(policy, target):
            return False
        return all(
            instance is not None
            and self.leads(instance, target[0])
            and self._has_looked_up(instance)
            and self.verdicts(policy, instance, target) == {"Granted"}
            for instance in self.instances(policy.instance)
        )

    def claims(self, key: PolicyKey, target: Target) -> PolicyObject | None:
        """Return the policy if its claim is certain, else None."""
        versions = self.versions(key)
        for version in versions:
            if version is None or version.deleting or not self.holds(version, target):
                return None
        if len({v.uid for v in versions if v}) != 1:
            return None
        return versions[-1]

    def rivals(self, policy: PolicyObject, target: Target) -> Iterator[PolicyObject]:
        """Yield the other policies that certainly claim the target."""
        for key in list(self._world.cluster.policies):
            if key != policy.key:
                other = self.claims(key, target)
                if other is not None:
                    yield other

    def put_set(self, one: SetObject) -> None:
        """Record a version of a set that a user stores."""
        self._sets.setdefault(one.uid, []).append(one)

    def rank(self, policy: PolicyObject) -> tuple[Any, ...]:
        """Return the place of a policy among those that claim a target.

        A policy that no set made goes first; a policy of a set has the age of the set.
        """
        versions = self._sets.get(policy.set_uid or "")
        by: Any = versions[0] if versions else policy
        return policy.set_uid is not None, by.created, by.key, policy.key

    def is_wanted_again(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether the set of a policy certainly makes it again.

        All versions that this set ever had ask for it, whatever name the organization
        ever had, and nobody ever changed the instance.
        """
        versions = self._sets.get(policy.set_uid or "", [])
        zitadel = self.zitadel(target[0])
        names = zitadel.names_of(target[1] or "")
        if target[1] in zitadel.removed:
            return False
        return bool(versions and names) and all(
            one.management == "Manage"
            and not one.suspended
            and not one.deleting
            and one.policy_key(target[1] or "") == policy.key
            and self._is_as_created(one.instance, target)
            and all(map(one.organizations.selects, names))
            for one in versions
        )

    def _is_as_created(self, instance: str, target: Target) -> bool:
        versions = self.instances(instance)
        return all(
            one is not None and one.generation == 1 and self.leads(one, target[0])
            for one in versions
        )

    def may_be_wanted(self, target: Target, by: str | None = "") -> bool:
        """Return whether some set that was not deleted long ago may claim the target.

        A set is one of these while the process may know a version that is not deleted.

        Args:
            target: The target.
            by: The uid of the only set that counts; empty for all sets.
        """
        names = self.zitadel(target[0]).names_of(target[1] or "")
        return any(
            one.organizations.selects(name)
            for uid, versions in self._sets.items()
            if by in {"", uid} and self._may_exist(versions[-1])
            for one in versions
            for name in names
        )

    def _may_exist(self, one: SetObject) -> bool:
        found = self._world.cluster.beliefs.of(SetName(one.key))
        return any(v is not None and not v.deleting for v in found)

    def older(self, policy: PolicyObject, target: Target) -> list[PolicyKey]:
        """Return the policies with certain claims that are older than this one's."""
        return [
            rival.key
            for rival in self.rivals(policy, target)
            if all(self._goes_first(rival.key, policy))
        ]

    def may_be_older(self, policy: PolicyObject, target: Target) -> bool:
        """Return whether the process may know a claim that goes before this one's."""
        versions = [v for v in self.versions(policy.key) if v is not None]
        others = self._sets.keys() - {policy.set_uid}
        if any(self.may_be_wanted(target, uid) for uid in others):
            return True  # a set claims what it selects, also without a policy
        return any(
            any(self._goes_first(key, version))
            for key in list(self._world.cluster.policies)
            if key != policy.key and self.may_claim(key, target)
            for version in versions or [policy]
        )

    def _goes_first(self, key: PolicyKey, policy: PolicyObject) -> Iterator[bool]:
        """Yield for each possible version of a policy whether it goes before another.

        Somebody may take the ownerReference of a set's policy away.
        """
        mine = self.rank(policy)
        for version in self.versions(key):
            if version is not None:
                yield self.rank(version) < mine

    def may_claim(self, key: PolicyKey, target: Target) -> bool:
        """Return whether a claim of this policy is possible."""
        return any(
            version is not None
            and not version.deleting
            and self.may_hold(version, target)
            for version in self.versions(key)
        )


def mark_of(policy: PolicyObject) -> tuple[Target, OriginalValue] | None:
    """Return the annotation `original`, or None unless it is the object's own."""
    try:
        data = json.loads(policy.original_text or "")
        if data["uid"] != policy.uid:
            return None
        target = (data["instanceId"], data["organizationId"])
        return target, OriginalValue(data["isDefault"], mails(data["passwordChange"]))
    except (ValueError, KeyError, TypeError):
        return None


def holds_finalizer(policy: PolicyObject) -> bool:
    """Return whether the object has the operator's finalizer."""
    return FINALIZER in policy.finalizers


def _covers(grant: Grant, namespace: str) -> bool:
    for name in grant.namespaces:
        if name == namespace or (name[-1:] == "*" and namespace.startswith(name[:-1])):
            return True
    return False


def _time() -> float:
    return asyncio.get_running_loop().time()
