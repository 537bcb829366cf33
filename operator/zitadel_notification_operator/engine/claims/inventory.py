"""A cache of our objects in compact records, and the claims between policies.

The inventory is the only memory of the cluster. It stores the newest of the records
from watch events, from our own writes and from the periodic LIST, and it answers who
owns a target. It decides nothing about ZITADEL.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from zitadel_notification_operator.core.claims import Claim, PolicyKey, Target, owner_of
from zitadel_notification_operator.core.conditions import STALLED, is_true
from zitadel_notification_operator.core.grants import (
    POSSIBLE,
    Admission,
    Lookup,
    references_in,
)
from zitadel_notification_operator.core.instance_object import InstanceObject
from zitadel_notification_operator.core.kinds import INSTANCE, POLICY, Kind, ObjectKey
from zitadel_notification_operator.core.objects import Own, OwnObject
from zitadel_notification_operator.core.policy import Scope
from zitadel_notification_operator.core.policy_object import PolicyObject
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.core.references import Reference
from zitadel_notification_operator.engine.queue.outcome import StalePass

from .admissions import Admissions
from .deleted_uids import DeletedUids
from .originals import Originals, value_carried
from .records import as_number, had_its_target, is_older, recorded_target


class Inventory:
    """Records by key and claims by target, for the watched namespaces only."""

    def __init__(self, own_namespace: str) -> None:
        self.own_namespace = own_namespace
        self.policies: dict[PolicyKey, PolicyObject] = {}
        self.instances: dict[str, InstanceObject] = {}
        self._by_kind: defaultdict[Kind, dict[Any, Any]] = defaultdict(dict)
        self._by_kind |= {POLICY: self.policies, INSTANCE: self.instances}
        self._of_instance: dict[str, set[PolicyKey]] = defaultdict(set)
        # None means that it leads to another ZITADEL, which nobody has accepted yet.
        self._zitadel_ids: dict[str, str | None] = {}
        self._former_ids: dict[str, str] = {}
        self._lookups: dict[str, Lookup] = {}
        self._admissions = Admissions(
            own_namespace, self.instances, self._lookups, self.organization_of
        )
        self._resolved: dict[PolicyKey, Target] = {}
        self._targets: dict[PolicyKey, Target] = {}
        self._claims: dict[Target, dict[PolicyKey, Claim]] = defaultdict(dict)
        self.originals = Originals()
        self.deleted_uids = DeletedUids()

    def of(self, kind: Kind) -> Iterable[OwnObject]:
        """Return all objects of a kind."""
        return self._by_kind[kind].values()

    def find(self, kind: Kind, key: ObjectKey) -> OwnObject | None:
        """Return the object that has this name now, if any."""
        return self._by_kind[kind].get(_name_of(kind, key))

    def users_of(self, instance: str) -> frozenset[PolicyKey]:
        """Return the policies that name this instance, admitted or not."""
        return frozenset(self._of_instance.get(instance, ()))

    def policies_of(self, instance: str) -> list[PolicyObject]:
        """Return the records of the policies that name this instance."""
        return [self.policies[key] for key in self.users_of(instance)]

    def tidy(self) -> frozenset[str]:
        """Drop what is no longer needed.

        Returns:
            The names of instances that exist or that a policy uses.
        """
        self.deleted_uids.age()
        named = {name for name, users in self._of_instance.items() if users}
        used = named | self.instances.keys()
        kept: tuple[dict[str, Any], ...] = (self._of_instance, self._zitadel_ids)
        kept += (self._former_ids, self._lookups)
        for by_name in kept:
            for name in by_name.keys() - used:
                del by_name[name]
        return frozenset(used)

    def begin_anew(self) -> None:
        """Accept whatever comes next as newer: Kubernetes has gone back to older data.

        An object that was known to be gone may exist again, with its old uid.
        """
        self.deleted_uids.forget()
        for objects in self._by_kind.values():
            for key, record in objects.items():
                objects[key] = replace(record, resource_version="")

    def newest(self, one: Own) -> Own | None:
        """Return the newest record of this very object, or None if it is gone."""
        known: Any = self.find(one.kind, one.key)
        return known if known is not None and known.uid == one.uid else None

    def require_newest(self, one: Own) -> Own:
        """Return the newest record of this very object.

        Raises:
            StalePass: The object is gone; a different one may have its name.
        """
        newest = self.newest(one)
        if newest is None:
            raise StalePass
        return newest

    def has(self, kind: Kind, key: ObjectKey, uid: str, resource_version: str) -> bool:
        """Return whether this version, or a newer one, of the object is known."""
        known = self.find(kind, key)
        if known is None or known.uid != uid:
            return False
        return 0 < as_number(resource_version) <= as_number(known.resource_version)

    def put(self, one: OwnObject) -> set[PolicyKey] | None:
        """Store a record unless it is older than ours, or of an object that is gone.

        Returns:
            The other policies that this affects, or None if it is not stored or does
            not differ from what was known.
        """
        known: Any = self.find(one.kind, one.key)
        if one.uid in self.deleted_uids or (known and is_older(one, known)):
            return None
        affected: set[PolicyKey] = set()
        if known is not None and known.uid != one.uid:
            affected, known = self._forget(known), None
        self._by_kind[one.kind][_name_of(one.kind, one.key)] = one
        if known == one:
            return None
        if isinstance(one, PolicyObject):
            affected |= self._claims_of_policy(known, one)
        elif isinstance(one, InstanceObject):
            affected |= self._claim_for(one.name)
        return affected

    def _claims_of_policy(
        self, known: PolicyObject | None, policy: PolicyObject
    ) -> set[PolicyKey]:
        if known is not None and known.instance != policy.instance:
            # The present schema allows no such edit: instanceRef cannot be read now, or
            # could not be read before.
            self._of_instance[known.instance].discard(policy.key)
        self._of_instance[policy.instance].add(policy.key)
        self.originals.put(policy)
        affected = self._claim_anew(policy.key)
        target = recorded_target(policy)
        if target is not None and self.owner(target) == policy.key:
            self.originals.forget_bequest(target)
        return affected - {policy.key}

    def drop(self, kind: Kind, key: ObjectKey) -> set[PolicyKey]:
        """Forget an object that is gone; return the policies that this affects."""
        known = self.find(kind, key)
        affected = self._forget(known) if known is not None else set()
        if kind is INSTANCE:
            self._forget_zitadel(key.name)
            affected |= self.users_of(key.name) | self._claim_for(key.name)
        return affected

    def _forget(self, known: OwnObject) -> set[PolicyKey]:
        """Forget a record.

        Returns:
            The policies that claim the target of a policy, or use an instance.
        """
        affected: set[PolicyKey] = set()
        if isinstance(known, PolicyObject):
            affected = self._give_up(known.key)  # while its status is still known
            self._resolved.pop(known.key, None)
            self._of_instance[known.instance].discard(known.key)
            self.originals.drop(known.key)
        elif isinstance(known, InstanceObject):
            affected = set(self.users_of(known.name))
            self._forget_zitadel(known.name)
        del self._by_kind[known.kind][_name_of(known.kind, known.key)]
        self.deleted_uids.add(known.uid)
        return affected

    def identified(self, instance: str, zitadel_id: str) -> set[PolicyKey]:
        """Record which ZITADEL an instance reaches.

        Returns:
            The policies whose claims changed.
        """
        if self._zitadel_ids.get(instance) == zitadel_id:
            return set()
        self._lookups.pop(instance, None)
        self._zitadel_ids[instance] = zitadel_id
        self._former_ids[instance] = zitadel_id
        return self._claim_for(instance)

    def leads_elsewhere(self, instance: str) -> set[PolicyKey]:
        """Record that an instance leads to another ZITADEL: its policies claim nothing.

        Returns:
            The policies whose claims changed.
        """
        self._zitadel_ids[instance] = None
        return self._claim_for(instance)

    def _forget_zitadel(self, instance: str) -> None:
        """Forget what is known of the ZITADEL of an instance that is gone."""
        self._zitadel_ids.pop(instance, None)
        self._lookups.pop(instance, None)

    def leads_to(self, instance: str, zitadel_id: str) -> bool:
        """Return whether the instance reaches this ZITADEL, as far as is known."""
        return self._zitadel_id(instance) == zitadel_id

    def resolved(self, key: PolicyKey, target: Target) -> set[PolicyKey]:
        """Record which organization a reference means.

        Returns:
            The policies whose claims changed.
        """
        if self._resolved.get(key) == target or key not in self.policies:
            return set()
        self._resolved[key] = target
        return self._claim_anew(key)

    def looked_up(self, instance: str, lookup: Lookup) -> set[PolicyKey] | None:
        """Record what the names and domains in grants mean.

        Returns:
            The policies whose claims changed, or None if all meanings are as before.
        """
        if self._lookups.get(instance, {}) == lookup:
            return None
        self._lookups[instance] = lookup
        return self._claim_for(instance)

    def meant(self, instance: str, reference: Reference) -> str | None:
        """Return the organization that a name or domain in grants means, if known."""
        return self._lookups.get(instance, {}).get(reference)

    def to_look_up(self, instance: InstanceObject) -> frozenset[Reference]:
        """Return the names and domains in an instance's grants not looked up yet."""
        known = self._lookups.get(instance.name, {})
        return references_in(instance.grants) - known.keys()

    def admission(self, policy: PolicyObject) -> Admission:
        """Return whether the policy may use its instance; see `Admissions.decide`."""
        return self._admissions.decide(policy)

    def may_set(self, policy: PolicyObject, organization_id: str) -> bool:
        """Return whether the policy's namespace may set this organization."""
        return self._admissions.may_set(policy, organization_id)

    def granted(self, policy: PolicyObject) -> frozenset[Reference] | None:
        """Return the organizations that the policy's namespace may set; None for any.

        None also if its instance does not exist.
        """
        return self._admissions.granted(policy)

    def organization_of(self, policy: PolicyObject) -> str | None:
        """Return the id of the policy's organization, as far as it is known now.

        None also for a policy of the instance.
        """
        if policy.scope is Scope.INSTANCE or policy.organization_id is not None:
            return policy.organization_id
        zitadel_id = self._zitadel_id(policy.instance)
        found = self._resolved.get(policy.key)
        if found is not None and found.zitadel_id == zitadel_id:
            return found.organization_id
        known = policy.status.organization_id
        if known is None and not policy.can_read("organization"):
            recorded = recorded_target(policy)
            if recorded is not None and recorded.zitadel_id == zitadel_id:
                return recorded.organization_id
        return known

    def target_of(self, policy: PolicyObject) -> Target | None:
        """Return the policy's target, if ZITADEL and organization are known."""
        zitadel_id = self._zitadel_id(policy.instance)
        if zitadel_id is None:
            return None
        if policy.scope is Scope.INSTANCE:
            return Target(zitadel_id, None)
        organization_id = self.organization_of(policy)
        return Target(zitadel_id, organization_id) if organization_id else None

    def owner(self, target: Target) -> PolicyKey | None:
        """Return the policy whose claim to the target wins, if any."""
        return owner_of(self._claims.get(target, {}).values())

    def zitadel_ids_seen(self, instance: str) -> set[str]:
        """Return the ids of ZITADELs that a recreated instance may have led to.

        If this process knew the earlier object of that name, only its id counts. After
        a restart there are only the annotations of policies that have managed. Anybody
        who may edit such a policy can hold an instance up with one, but cannot lead it
        to another ZITADEL.
        """
        users = self.policies_of(instance)
        former = self._former_ids.get(instance)
        if former is not None:
            bound = any(p.status.organization_id or p.status.original for p in users)
            return {former} if bound else set()
        return {
            target.zitadel_id
            for policy in users
            if (target := recorded_target(policy)) is not None
            and policy.status.original is not None
            and self.admission(policy) in POSSIBLE
        }

    def _bequeath(self, key: PolicyKey, target: Target) -> None:
        """Keep the original of an owner whose claim ends, for others who claim too."""
        policy = self.policies[key]
        if self._claims[target].keys() == {key}:
            return  # nobody follows
        original = value_carried(policy, target)
        if original is not None:
            only = None if policy.status.original is not None else key.namespace
            self.originals.bequeath(target, original, only)

    def _zitadel_id(self, instance: str) -> str | None:
        if instance in self._zitadel_ids:
            return self._zitadel_ids[instance]
        record = self.instances.get(instance)
        if record is None:
            return None
        lost = is_true(record.status.conditions, STALLED, Reason.INSTANCE_CHANGED)
        return None if lost else record.status.instance_id

    def _claim_for(self, instance: str) -> set[PolicyKey]:
        affected: set[PolicyKey] = set()
        for key in self.users_of(instance):
            affected |= self._claim_anew(key)
        return affected

    def _claim_anew(self, key: PolicyKey) -> set[PolicyKey]:
        before, after = self._targets.get(key), self._target_claimed_by(key)
        if before == after:
            return set()
        affected = self._give_up(key)
        if after is not None:
            claims = self._claims[after]
            affected |= claims.keys()
            claims[key] = Claim(self.policies[key].created, key)
            self._targets[key] = after
        return affected | {key}

    def _give_up(self, key: PolicyKey) -> set[PolicyKey]:
        """End the claim of a policy, if it has one; return who else has that target."""
        target = self._targets.pop(key, None)
        if target is None:
            return set()
        claims = self._claims[target]
        if owner_of(claims.values()) == key:
            self._bequeath(key, target)
        del claims[key]
        if not claims:
            del self._claims[target]
            self.originals.forget_bequest(target)
        return set(claims)

    def _target_claimed_by(self, key: PolicyKey) -> Target | None:
        policy = self.policies[key]
        if policy.deleting or not policy.may_own:
            return None
        if not policy.can_read("instanceRef"):
            return recorded_target(policy) if had_its_target(policy) else None
        return self.target_of(policy) if self._admissions.may_claim(policy) else None


def _name_of(kind: Kind, key: ObjectKey) -> ObjectKey | str:
    """Return what an object is stored by; instances are by their names alone."""
    return key if kind.namespaced else key.name
